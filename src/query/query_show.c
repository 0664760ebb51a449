/* SPDX-License-Identifier: Apache-2.0 */
/* leat/query: SHOW, DESCRIBE, SHOW CREATE, EXPLAIN: rows made from the catalog, the pictures and the statistics. */
#include <stdio.h>

#include "query_int.h"

static const struct query_column topic_columns[] = {
        {"name", LEAT_T_VARCHAR},        {"partitions", LEAT_T_INTEGER}, {"format", LEAT_T_VARCHAR},
        {"primary_key", LEAT_T_VARCHAR}, {"watermark", LEAT_T_VARCHAR},  {"records", LEAT_T_BIGINT},
        {"declared", LEAT_T_BOOLEAN},
};
static const struct query_column view_columns[] = {
        {"name", LEAT_T_VARCHAR}, {"kind", LEAT_T_VARCHAR},  {"pipeline", LEAT_T_VARCHAR},
        {"emit", LEAT_T_VARCHAR}, {"state", LEAT_T_VARCHAR}, {"reason", LEAT_T_VARCHAR},
};
static const struct query_column job_columns[] = {
        {"view", LEAT_T_VARCHAR},     {"pipeline", LEAT_T_VARCHAR},      {"state", LEAT_T_VARCHAR},
        {"input", LEAT_T_VARCHAR},    {"watermark", LEAT_T_TIMESTAMPTZ}, {"lag_records", LEAT_T_BIGINT},
        {"late_rows", LEAT_T_BIGINT}, {"quarantined", LEAT_T_BIGINT},    {"data_age_ms", LEAT_T_BIGINT},
        {"progress", LEAT_T_VARCHAR}, {"reason", LEAT_T_VARCHAR},
};
static const struct query_column pipeline_columns[] = {
        {"name", LEAT_T_VARCHAR}, {"incarnation", LEAT_T_BIGINT},    {"pid", LEAT_T_INTEGER},
        {"tick", LEAT_T_BIGINT},  {"tick_time", LEAT_T_TIMESTAMPTZ}, {"data_age_ms", LEAT_T_BIGINT},
};
static const struct query_column dashboard_columns[] = {
        {"name", LEAT_T_VARCHAR},      {"title", LEAT_T_VARCHAR},     {"panels", LEAT_T_INTEGER},
        {"variables", LEAT_T_VARCHAR}, {"refresh_ms", LEAT_T_BIGINT},
};
static const struct query_column table_columns[] = {{"name", LEAT_T_VARCHAR}, {"kind", LEAT_T_VARCHAR}};
static const struct query_column setting_columns[] = {
        {"name", LEAT_T_VARCHAR}, {"setting", LEAT_T_VARCHAR}, {"description", LEAT_T_VARCHAR}};
static const struct query_column describe_columns[] = {
        {"column", LEAT_T_VARCHAR}, {"type", LEAT_T_VARCHAR}, {"nullable", LEAT_T_BOOLEAN}, {"key", LEAT_T_BOOLEAN}};
static const struct query_column definition_columns[] = {
        {"name", LEAT_T_VARCHAR}, {"title", LEAT_T_VARCHAR}, {"definition", LEAT_T_VARCHAR}};
static const struct query_column create_columns[] = {{"name", LEAT_T_VARCHAR}, {"statement", LEAT_T_VARCHAR}};
static const struct query_column explain_columns[] = {{"id", LEAT_T_INTEGER},
                                                      {"operator", LEAT_T_VARCHAR},
                                                      {"detail", LEAT_T_VARCHAR},
                                                      {"properties", LEAT_T_VARCHAR},
                                                      {"inputs", LEAT_T_VARCHAR}};

static void show_columns(struct query_stmt *st, const struct query_column **ret_columns, uint32_t *ret_count)
{
        const struct query_column *c = table_columns;
        uint32_t n = LEAT_ARRAY_LEN(table_columns);
        struct query_column *one;
        switch (st->stmt.kind) {
        case LEAT_STMT_DESCRIBE:
                c = describe_columns;
                n = LEAT_ARRAY_LEN(describe_columns);
                if (st->stmt.object_kind == LEAT_OBJECT_DASHBOARD) {
                        c = definition_columns;
                        n = LEAT_ARRAY_LEN(definition_columns);
                }
                break;
        case LEAT_STMT_SHOW_CREATE:
                c = create_columns;
                n = LEAT_ARRAY_LEN(create_columns);
                break;
        case LEAT_STMT_EXPLAIN:
                c = explain_columns;
                n = LEAT_ARRAY_LEN(explain_columns);
                break;
        case LEAT_STMT_SHOW_SETTING:
                one = leat_arena_alloc(st->arena, sizeof *one);
                *one = (struct query_column){st->stmt.name, LEAT_T_VARCHAR};
                c = one;
                n = 1;
                break;
        default:
                switch ((enum leat_show)st->stmt.show) {
                case LEAT_SHOW_TOPICS:
                        c = topic_columns;
                        n = LEAT_ARRAY_LEN(topic_columns);
                        break;
                case LEAT_SHOW_VIEWS:
                        c = view_columns;
                        n = LEAT_ARRAY_LEN(view_columns);
                        break;
                case LEAT_SHOW_JOBS:
                        c = job_columns;
                        n = LEAT_ARRAY_LEN(job_columns);
                        break;
                case LEAT_SHOW_PIPELINES:
                        c = pipeline_columns;
                        n = LEAT_ARRAY_LEN(pipeline_columns);
                        break;
                case LEAT_SHOW_DASHBOARDS:
                        c = dashboard_columns;
                        n = LEAT_ARRAY_LEN(dashboard_columns);
                        break;
                case LEAT_SHOW_FLOW:
                        c = leat_query_flow_columns;
                        n = leat_query_flow_column_count;
                        break;
                case LEAT_SHOW_PARTITIONS:
                        c = leat_query_partition_columns;
                        n = leat_query_partition_column_count;
                        break;
                case LEAT_SHOW_ALL:
                        c = setting_columns;
                        n = LEAT_ARRAY_LEN(setting_columns);
                        break;
                case LEAT_SHOW_TABLES:
                        break;
                }
        }
        *ret_columns = c;
        *ret_count = n;
}

int leat_query_show_prepare(struct query_stmt *st, struct leat_error *err)
{
        const struct query_column *columns;
        uint32_t count;
        if (st->stmt.kind == LEAT_STMT_SHOW_SETTING && leat_query_setting_get(st->session, st->stmt.name) == NULL) {
                leat_error_set(err, LEAT_ENOTFOUND, "unrecognized configuration parameter \"%s\"", st->stmt.name);
                leat_error_hint(err, "SHOW ALL lists the parameters; SHOW TOPICS, VIEWS, JOBS, PARTITIONS, PIPELINES, "
                                     "DASHBOARDS list objects.");
                return LEAT_ENOTFOUND;
        }
        show_columns(st, &columns, &count);
        leat_query_desc_columns(st, columns, count);
        return 0;
}

/* ---- the lists --------------------------------------------------------------------------- */
static const char *names_of(struct leat_arena *arena, const struct leat_column_def *columns, const uint32_t *keys,
                            uint32_t count)
{
        const char *text = NULL;
        for (uint32_t i = 0; i < count; i++)
                text = text == NULL ? columns[keys[i]].name
                                    : leat_arena_printf(arena, "%s, %s", text, columns[keys[i]].name);
        return text;
}

/* Records between start and end of all partitions; -1 when the broker does not tell. */
static int64_t topic_records(struct query_session *s, const char *name, int32_t partitions, struct leat_arena *arena)
{
        int64_t *ends = leat_arena_alloc(arena, (size_t)partitions * 2 * sizeof *ends), *starts = ends + partitions,
                n = 0;
        if (leat_feed_offsets(s->feed, name, LEAT_FEED_LATEST, ends, partitions, NULL) != 0 ||
            leat_feed_offsets(s->feed, name, LEAT_FEED_EARLIEST, starts, partitions, NULL) != 0)
                return -1;
        for (int32_t p = 0; p < partitions; p++)
                n += ends[p] - starts[p];
        return n;
}

static int show_topics(struct query_session *s, const struct leat_snapshot *cat, struct query_rows *rows,
                       struct leat_error *err)
{
        struct leat_feed_topic *topics;
        uint32_t count;
        LEAT_TRY(leat_query_session_feed(s, err));
        LEAT_TRY(leat_feed_topics(s->feed, rows->arena, &topics, &count, err));
        for (uint32_t i = 0; i < count; i++) {
                const struct leat_object *o = leat_snapshot_find(cat, topics[i].name, false);
                const struct leat_topic_def *t = o != NULL && o->kind == LEAT_OBJECT_TOPIC ? o->topic : NULL;
                if (topics[i].internal)
                        continue;
                int64_t records = topic_records(s, topics[i].name, topics[i].partitions, rows->arena);
                leat_query_rows_add(rows);
                leat_query_rows_text(rows, 0, topics[i].name);
                leat_query_rows_int(rows, 1, topics[i].partitions);
                leat_query_rows_text(rows, 2, t != NULL && t->format == LEAT_FORMAT_JSON ? "json" : "raw");
                if (t != NULL)
                        leat_query_rows_text(rows, 3, names_of(rows->arena, t->columns, t->keys, t->key_count));
                if (t != NULL && t->watermark_column >= 0) {
                        struct leat_buf delay = LEAT_BUF_INIT;
                        leat_param_text(LEAT_PARAM_DURATION, t->watermark_delay_us, &delay);
                        leat_query_rows_text(rows, 4,
                                             leat_arena_printf(rows->arena, "%s - %s",
                                                               t->columns[t->watermark_column].name,
                                                               leat_buf_cstr(&delay)));
                        leat_buf_done(&delay);
                }
                if (records >= 0)
                        leat_query_rows_int(rows, 5, records);
                leat_query_rows_int(rows, 6, t != NULL);
        }
        return 0;
}

static const struct leat_job *find_job(const struct leat_job *jobs, uint32_t count, uint64_t view_id)
{
        for (uint32_t i = 0; i < count; i++)
                if (jobs[i].view_id == view_id)
                        return &jobs[i];
        return NULL;
}

static int show_views(struct query_session *s, const struct leat_snapshot *cat, struct query_rows *rows,
                      struct leat_error *err)
{
        struct leat_job *jobs;
        uint32_t job_count;
        LEAT_TRY(leat_query_jobs(s->query, cat, rows->arena, &jobs, &job_count, err));
        for (uint32_t i = 0; i < cat->object_count; i++) {
                const struct leat_object *o = &cat->objects[i];
                if (o->kind != LEAT_OBJECT_VIEW && o->kind != LEAT_OBJECT_MATVIEW)
                        continue;
                leat_query_rows_add(rows);
                leat_query_rows_text(rows, 0, o->name);
                leat_query_rows_text(rows, 1, leat_object_kind_name(o->kind));
                if (o->kind == LEAT_OBJECT_VIEW)
                        continue;
                const struct leat_job *job = find_job(jobs, job_count, o->id);
                leat_query_rows_text(rows, 2, o->view->pipeline);
                leat_query_rows_text(rows, 3,
                                     o->view->emit == LEAT_EMIT_ON_WINDOW_CLOSE ? "on window close" : "changes");
                leat_query_rows_text(rows, 4, job == NULL ? "starting" : leat_job_state_name(job->state));
                leat_query_rows_text(rows, 5, job == NULL ? NULL : job->reason);
        }
        return 0;
}

/* Records of @input that the view has skipped; of a keyed topic, which all views of the pipeline share, that it has. */
static int64_t job_refused(const struct leat_tick *tick, uint64_t view_id, const struct leat_object *input)
{
        uint64_t by = input->topic->key_count != 0 ? 0 : view_id;
        for (uint32_t i = 0; i < tick->refused_count; i++)
                if (tick->refused[i].view_id == by && tick->refused[i].object_id == input->id)
                        return tick->refused[i].count;
        return 0;
}

/* One row for each input of the view. */
static void job_rows(struct query_session *s, const struct leat_snapshot *cat, const struct leat_object *view,
                     const struct leat_job *job, struct query_rows *rows)
{
        struct leat_picture *pic = NULL;
        const struct leat_tick *tick = NULL;
        int64_t late = 0, age_us = 0;
        if (leat_picture_get(s->query->views, view->view->pipeline, 0, &pic, NULL) == 0) {
                tick = leat_picture_tick(pic);
                age_us = leat_picture_age_us(s->query->views, pic, view->id);
                for (uint32_t j = 0; j < tick->job_count; j++)
                        late += tick->jobs[j].view_id == view->id ? tick->jobs[j].late_rows : 0;
        }
        for (uint32_t r = 0; r < LEAT_MAX(view->read_count, 1u); r++) {
                const struct leat_object *in = view->read_count == 0 ? NULL : leat_snapshot_get(cat, view->reads[r]);
                if (in != NULL && in->kind == LEAT_OBJECT_VIEW)
                        continue; /* plain: what it reads is in the list too */
                leat_query_rows_add(rows);
                leat_query_rows_text(rows, 0, view->name);
                leat_query_rows_text(rows, 1, view->view->pipeline);
                leat_query_rows_text(rows, 2, job == NULL ? "starting" : leat_job_state_name(job->state));
                leat_query_rows_text(rows, 3, in == NULL ? NULL : in->name);
                for (uint32_t i = 0; in != NULL && tick != NULL && i < tick->input_count; i++) {
                        if (tick->inputs[i].object_id != in->id)
                                continue;
                        if (tick->inputs[i].watermark_us != INT64_MIN)
                                leat_query_rows_int(rows, 4, tick->inputs[i].watermark_us);
                        leat_query_rows_int(rows, 5, tick->inputs[i].lag_records);
                }
                leat_query_rows_int(rows, 6, late);
                if (in != NULL && in->topic != NULL && tick != NULL)
                        leat_query_rows_int(rows, 7, job_refused(tick, view->id, in));
                if (tick != NULL)
                        leat_query_rows_int(rows, 8, age_us / 1000);
                leat_query_rows_text(rows, 9, job == NULL ? NULL : job->progress);
                leat_query_rows_text(rows, 10, job == NULL ? NULL : job->reason);
        }
        leat_picture_unref(pic);
}

static int show_jobs(struct query_session *s, const struct leat_snapshot *cat, struct query_rows *rows,
                     struct leat_error *err)
{
        struct leat_job *jobs;
        uint32_t job_count;
        LEAT_TRY(leat_query_jobs(s->query, cat, rows->arena, &jobs, &job_count, err));
        for (uint32_t i = 0; i < cat->object_count; i++)
                if (cat->objects[i].kind == LEAT_OBJECT_MATVIEW)
                        job_rows(s, cat, &cat->objects[i], find_job(jobs, job_count, cat->objects[i].id), rows);
        return 0;
}

static int show_pipelines(struct query_session *s, struct query_rows *rows, struct leat_error *err)
{
        struct leat_lease *leases;
        uint32_t count;
        pthread_mutex_lock(&s->query->mutex);
        int rc = leat_catalog_leases(s->query->catalog, rows->arena, &leases, &count, err);
        pthread_mutex_unlock(&s->query->mutex);
        for (uint32_t i = 0; rc == 0 && i < count; i++) {
                struct leat_picture *pic;
                leat_query_rows_add(rows);
                leat_query_rows_text(rows, 0, leases[i].pipeline);
                leat_query_rows_int(rows, 1, (int64_t)leases[i].incarnation);
                leat_query_rows_int(rows, 2, leases[i].pid);
                if (leat_picture_get(s->query->views, leases[i].pipeline, 0, &pic, NULL) != 0)
                        continue;
                leat_query_rows_int(rows, 3, leat_picture_tick(pic)->tick);
                leat_query_rows_int(rows, 4, leat_picture_tick(pic)->time_us);
                leat_query_rows_int(rows, 5, leat_picture_age_us(s->query->views, pic, 0) / 1000);
                leat_picture_unref(pic);
        }
        return rc;
}

static void show_dashboards(const struct leat_snapshot *cat, struct query_rows *rows)
{
        for (uint32_t i = 0; i < cat->object_count; i++) {
                const struct leat_object *o = &cat->objects[i];
                const char *variables = NULL;
                if (o->kind != LEAT_OBJECT_DASHBOARD)
                        continue;
                for (uint32_t v = 0; v < o->dashboard->variable_count; v++)
                        variables = variables == NULL ? o->dashboard->variables[v].name
                                                      : leat_arena_printf(rows->arena, "%s, %s", variables,
                                                                          o->dashboard->variables[v].name);
                leat_query_rows_add(rows);
                leat_query_rows_text(rows, 0, o->name);
                leat_query_rows_text(rows, 1, o->dashboard->title);
                leat_query_rows_int(rows, 2, o->dashboard->panel_count);
                leat_query_rows_text(rows, 3, variables);
                leat_query_rows_int(rows, 4, o->dashboard->refresh_us / 1000);
        }
}

static void show_tables(const struct leat_snapshot *cat, struct query_rows *rows)
{
        for (uint32_t i = 0; i < cat->object_count; i++) {
                if (cat->objects[i].kind == LEAT_OBJECT_DASHBOARD)
                        continue;
                leat_query_rows_add(rows);
                leat_query_rows_text(rows, 0, cat->objects[i].name);
                leat_query_rows_text(rows, 1, leat_object_kind_name(cat->objects[i].kind));
        }
}

/* ---- one object ------------------------------------------------------------------------------ */
static bool is_key(const uint32_t *keys, uint32_t count, uint32_t column)
{
        for (uint32_t i = 0; i < count; i++)
                if (keys[i] == column)
                        return true;
        return false;
}

static int missing(struct query_stmt *st, struct leat_error *err)
{
        leat_error_set(err, LEAT_ENORELATION, "\"%s\" does not exist", st->stmt.name);
        leat_error_hint(err, "SHOW TABLES and SHOW DASHBOARDS list what there is.");
        if (err != NULL)
                err->position = leat_sql_position(leat_view_str(st->text), st->stmt.name_at.start);
        return LEAT_ENORELATION;
}

static int describe_dashboard(struct query_stmt *st, const struct leat_snapshot *cat, struct query_rows *rows,
                              struct leat_error *err)
{
        const struct leat_object *o = leat_snapshot_find(cat, st->stmt.name, true);
        struct leat_buf json = LEAT_BUF_INIT;
        if (o == NULL)
                return missing(st, err);
        leat_query_dashboard_json(o->dashboard, &json);
        leat_query_rows_add(rows);
        leat_query_rows_text(rows, 0, o->name);
        leat_query_rows_text(rows, 1, o->dashboard->title);
        leat_query_rows_text(rows, 2, leat_buf_cstr(&json));
        leat_buf_done(&json);
        return 0;
}

/* A quarantine, a topic that nobody declared, a relation of the catalog: what a SELECT of it has. */
static int describe_other(struct query_stmt *st, struct query_rows *rows, struct leat_error *err)
{
        struct leat_sql_query query;
        struct leat_buf sql = LEAT_BUF_INIT;
        struct leat_view name = leat_view_of((const uint8_t *)st->text + st->stmt.name_at.start, st->stmt.name_at.len);
        leat_buf_add_str(&sql, "SELECT * FROM ");
        leat_buf_add_view(&sql, name);
        struct leat_span span = {.start = 0, .len = (uint32_t)sql.len};
        const char *text = leat_arena_strdup(rows->arena, leat_buf_cstr(&sql));
        leat_buf_done(&sql);
        if (leat_sql_select(st->session->query->env, rows->arena, leat_view_str(text), span, NULL, 0, &query, NULL) !=
            0)
                return missing(st, err);
        for (uint32_t i = 0; i < query.column_count; i++) {
                struct leat_buf type = LEAT_BUF_INIT;
                leat_type_print(&query.column_types[i], &type);
                leat_query_rows_add(rows);
                leat_query_rows_text(rows, 0, query.column_names[i]);
                leat_query_rows_text(rows, 1, leat_buf_cstr(&type));
                leat_query_rows_int(rows, 2, true);
                leat_query_rows_int(rows, 3, false);
                leat_buf_done(&type);
        }
        return 0;
}

static int describe_object(struct query_stmt *st, const struct leat_snapshot *cat, struct query_rows *rows,
                           struct leat_error *err)
{
        const struct leat_object *o = leat_snapshot_find(cat, st->stmt.name, false);
        if (o == NULL)
                return describe_other(st, rows, err);
        bool topic = o->kind == LEAT_OBJECT_TOPIC;
        const struct leat_column_def *columns = topic ? o->topic->columns : o->view->columns;
        uint32_t count = topic ? o->topic->column_count : o->view->column_count;
        for (uint32_t i = 0; i < count; i++) {
                struct leat_buf type = LEAT_BUF_INIT;
                leat_type_print(&columns[i].type, &type);
                leat_query_rows_add(rows);
                leat_query_rows_text(rows, 0, columns[i].name);
                leat_query_rows_text(rows, 1, leat_buf_cstr(&type));
                leat_query_rows_int(rows, 2, !columns[i].not_null);
                leat_query_rows_int(rows, 3,
                                    topic ? is_key(o->topic->keys, o->topic->key_count, i)
                                          : is_key(o->view->keys, o->view->key_count, i));
                leat_buf_done(&type);
        }
        return 0;
}

static int show_create(struct query_stmt *st, const struct leat_snapshot *cat, struct query_rows *rows,
                       struct leat_error *err)
{
        const struct leat_object *o =
                leat_snapshot_find(cat, st->stmt.name, st->stmt.object_kind == LEAT_OBJECT_DASHBOARD);
        struct leat_buf text = LEAT_BUF_INIT;
        if (o == NULL && st->stmt.object_kind == 0)
                o = leat_snapshot_find(cat, st->stmt.name, true);
        if (o == NULL)
                return missing(st, err);
        leat_sql_show_create(o, &text);
        leat_query_rows_add(rows);
        leat_query_rows_text(rows, 0, o->name);
        leat_query_rows_text(rows, 1, leat_buf_cstr(&text));
        leat_buf_done(&text);
        return 0;
}

static int fill(struct query_stmt *st, const struct leat_snapshot *cat, struct query_rows *rows, struct leat_error *err)
{
        struct query_session *s = st->session;
        if (st->stmt.kind == LEAT_STMT_DESCRIBE && st->stmt.object_kind == LEAT_OBJECT_DASHBOARD)
                return describe_dashboard(st, cat, rows, err);
        if (st->stmt.kind == LEAT_STMT_DESCRIBE)
                return describe_object(st, cat, rows, err);
        if (st->stmt.kind == LEAT_STMT_SHOW_CREATE)
                return show_create(st, cat, rows, err);
        if (st->stmt.kind == LEAT_STMT_SHOW_SETTING) {
                leat_query_rows_add(rows);
                leat_query_rows_text(rows, 0, leat_query_setting_get(s, st->stmt.name));
                return 0;
        }
        switch ((enum leat_show)st->stmt.show) {
        case LEAT_SHOW_TOPICS:
                return show_topics(s, cat, rows, err);
        case LEAT_SHOW_VIEWS:
                return show_views(s, cat, rows, err);
        case LEAT_SHOW_JOBS:
                return show_jobs(s, cat, rows, err);
        case LEAT_SHOW_PIPELINES:
                return show_pipelines(s, rows, err);
        case LEAT_SHOW_PARTITIONS:
                return leat_query_partition_rows(s, cat, rows, err);
        case LEAT_SHOW_DASHBOARDS:
                show_dashboards(cat, rows);
                return 0;
        case LEAT_SHOW_FLOW:
                leat_query_flow_rows(s->query, cat, rows);
                return 0;
        case LEAT_SHOW_TABLES:
                show_tables(cat, rows);
                return 0;
        case LEAT_SHOW_ALL:
                leat_query_setting_list(s, rows);
                return 0;
        }
        return leat_error_set(err, LEAT_EUNSUPPORTED, "this SHOW is not supported");
}

static struct query_rows *new_rows(struct query_cursor *cur)
{
        const struct query_column *columns;
        uint32_t count;
        struct query_rows *rows = leat_arena_alloc(cur->arena, sizeof *rows);
        show_columns(cur->stmt, &columns, &count);
        leat_query_rows_init(rows, cur->arena, columns, count);
        cur->rows = &rows->batch;
        return rows;
}

int leat_query_show_open(struct query_cursor *cur, struct leat_error *err)
{
        struct leat_sql_catalog *catalog;
        struct query_rows *rows = new_rows(cur);
        LEAT_TRY(leat_sql_env_catalog(cur->stmt->session->query->env, &catalog, err));
        int rc = fill(cur->stmt, catalog->snapshot, rows, err);
        leat_sql_catalog_unref(catalog);
        return rc;
}

/* ---- EXPLAIN --------------------------------------------------------------------------------- */
static void graph_rows(const struct leat_stream_graph *graph, struct query_rows *rows)
{
        struct leat_stream_explain_row *lines;
        uint32_t count;
        leat_stream_explain(graph, rows->arena, &lines, &count);
        for (uint32_t i = 0; i < count; i++) {
                const char *inputs = NULL;
                for (uint32_t k = 0; k < lines[i].input_count; k++)
                        inputs = inputs == NULL ? leat_arena_printf(rows->arena, "%u", lines[i].inputs[k])
                                                : leat_arena_printf(rows->arena, "%s, %u", inputs, lines[i].inputs[k]);
                leat_query_rows_add(rows);
                leat_query_rows_int(rows, 0, lines[i].id);
                leat_query_rows_text(rows, 1,
                                     leat_arena_printf(rows->arena, "%*s%s", (int)lines[i].depth * 2, "", lines[i].op));
                leat_query_rows_text(rows, 2, lines[i].detail);
                leat_query_rows_text(rows, 3, lines[i].properties);
                leat_query_rows_text(rows, 4, inputs);
        }
}

/* The engine's own plan of a SELECT, one operator a row. */
static int batch_rows(struct query_cursor *cur, const struct leat_stmt *stmt, struct query_rows *rows,
                      struct leat_error *err)
{
        struct query_stmt *st = cur->stmt;
        struct query_session *s = st->session;
        struct leat_sql_query query;
        const char *sql;
        struct leat_plan *plan = NULL;
        struct leat_result *result = NULL;
        const struct leat_batch *batch;
        LEAT_TRY(leat_sql_select(s->query->env, cur->arena, leat_view_str(st->text), stmt->body, NULL, 0, &query, err));
        LEAT_TRY(leat_query_session_conn(s, err));
        s->catalog = query.catalog;
        LEAT_TRY(leat_query_views_inline(s, cur->arena, &query, &sql, err));
        int rc = leat_plan_prepare(s->conn, leat_arena_printf(cur->arena, "EXPLAIN (FORMAT JSON) %s", sql), &plan, err);
        if (rc == 0)
                rc = leat_plan_run(plan, false, &result, err);
        while (rc == 0 && (rc = leat_result_next(result, &batch, err)) == 0 && batch != NULL) {
                for (uint32_t r = 0; r < batch->rows; r++) {
                        struct leat_view v = leat_string_view(
                                (struct leat_string *)batch->columns[batch->column_count - 1].data + r);
                        if (!leat_query_plan_rows(v, rows))
                                rc = leat_error_set(err, LEAT_EINTERNAL, "the engine's plan cannot be read");
                }
        }
        leat_result_free(result);
        leat_plan_free(plan);
        return rc;
}

int leat_query_explain_open(struct query_cursor *cur, struct leat_error *err)
{
        struct query_stmt *st = cur->stmt;
        const struct leat_stmt *inner = st->stmt.inner;
        struct query_rows *rows = new_rows(cur);
        struct leat_sql_bound bound;
        struct leat_sql_compiled compiled;
        struct leat_stream_graph *graph;
        struct leat_view_def def = {.pipeline = "main",
                                    .emit = inner->emit == 0 ? LEAT_EMIT_CHANGES : inner->emit,
                                    .retention_us = -1,
                                    .max_state_bytes = -1};
        if (inner->kind == LEAT_STMT_SELECT && inner->emit == 0)
                return batch_rows(cur, inner, rows, err);
        LEAT_TRY(leat_sql_bind_stream(st->session->query->env, cur->arena, inner, &bound, err));
        def.late = def.emit == LEAT_EMIT_CHANGES ? LEAT_LATE_APPLY : LEAT_LATE_DROP;
        LEAT_TRY(leat_query_compile(NULL, cur->arena, &bound, &def, &compiled, err));
        LEAT_TRY(leat_stream_graph_decode(cur->arena, compiled.graph, &graph, err));
        graph_rows(graph, rows);
        return 0;
}
