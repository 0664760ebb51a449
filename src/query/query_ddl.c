/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/query: definitions. sql runs the statement; what stream needs to know of
 * the relations that a view reads is put together here, and stream's graph goes
 * back to sql, which stores it. One definition at a time (query->mutex).
 */
#include "query_int.h"

/* ---- what stream must know ------------------------------------------------------------ */
static void describe_topic(struct leat_arena *arena, const struct leat_topic_def *topic,
                           struct leat_stream_relation *rel)
{
        uint32_t room = topic->column_count + LEAT_PSEUDO_COUNT;
        const char **names = leat_arena_alloc(arena, room * sizeof *names);
        struct leat_type *types = leat_arena_alloc(arena, room * sizeof *types);
        uint32_t n = 0;
        for (uint32_t i = 0; i < topic->column_count; i++, n++) {
                names[n] = topic->columns[i].name;
                types[n] = topic->columns[i].type;
        }
        for (int p = 0; p < LEAT_PSEUDO_COUNT; p++) {
                if (p == LEAT_PSEUDO_VALUE && topic->format != LEAT_FORMAT_RAW)
                        continue;
                names[n] = leat_sql_pseudo_name((enum leat_pseudo)p);
                types[n++] = leat_sql_pseudo_type((enum leat_pseudo)p);
        }
        rel->kind = topic->key_count != 0 ? LEAT_STREAM_KEYED : LEAT_STREAM_TOPIC;
        rel->names = names;
        rel->types = types;
        rel->column_count = n;
        rel->time_column = topic->watermark_column;
        rel->key_count = topic->key_count;
        rel->keys = topic->keys;
}

static int describe_view(struct leat_arena *arena, const struct leat_object *view, struct leat_stream_relation *rel,
                         struct leat_error *err)
{
        struct leat_stream_graph *graph;
        LEAT_TRY(leat_query_graph(view, arena, &graph, err));
        const struct leat_stream_output *output = leat_stream_output(graph);
        rel->kind = LEAT_STREAM_VIEW;
        rel->column_count = output->column_count;
        rel->names = output->names;
        rel->types = output->types;
        rel->time_column = output->time_column;
        rel->graph = graph;
        return 0;
}

static int describe_used(struct leat_arena *arena, const struct leat_sql_bound *bound, const struct leat_sql_used *used,
                         const struct leat_view_def *def, struct leat_stream_relation *rel, struct leat_error *err)
{
        const struct leat_object *o = leat_snapshot_get(bound->catalog->snapshot, used->object_id);
        memset(rel, 0, sizeof *rel);
        rel->time_column = -1;
        rel->object_id = used->object_id;
        rel->name = leat_arena_printf(arena, "leat_%llu", (unsigned long long)used->object_id);
        rel->title = used->name;
        if (o == NULL || used->kind == LEAT_SCAN_QUARANTINE || used->kind == LEAT_SCAN_UNDECLARED) {
                leat_error_set(err, LEAT_EUNSUPPORTED, "a materialized view cannot read \"%s\"", used->name);
                leat_error_hint(err, "Declare it first: CREATE TOPIC %s (…).", used->name);
                return LEAT_EUNSUPPORTED;
        }
        if (o->kind == LEAT_OBJECT_TOPIC) {
                describe_topic(arena, o->topic, rel);
                return 0;
        }
        if (strcmp(o->view->pipeline, def->pipeline) != 0)
                rel->title = leat_arena_printf(arena, "%s of pipeline %s", used->name, o->view->pipeline);
        return describe_view(arena, o, rel, err);
}

int leat_query_compile(void *arg, struct leat_arena *arena, const struct leat_sql_bound *bound,
                       const struct leat_view_def *def, struct leat_sql_compiled *ret_compiled, struct leat_error *err)
{
        struct leat_query *q = arg;
        struct leat_stream_graph *graph;
        struct leat_buf bytes = LEAT_BUF_INIT;
        uint64_t first_id;
        struct leat_stream_relation *rels = leat_arena_alloc(arena, (bound->used_count + 1) * sizeof *rels);
        uint32_t rel_count = 0;
        for (uint32_t i = 0; i < bound->used_count; i++) {
                const struct leat_object *o = leat_snapshot_get(bound->catalog->snapshot, bound->used[i].object_id);
                if (o != NULL && o->kind == LEAT_OBJECT_VIEW)
                        continue; /* put in place already: what it reads is in the list too */
                int rc = describe_used(arena, bound, &bound->used[i], def, &rels[rel_count++], err);
                if (rc != 0) {
                        if (err != NULL && bound->used[i].at.len != 0)
                                err->position = leat_sql_map_user_position(bound->map, bound->used[i].at.start);
                        return rc;
                }
        }
        const char **names = leat_arena_alloc(arena, (bound->column_count + 1) * sizeof *names);
        for (uint32_t i = 0; i < bound->column_count; i++)
                names[i] = bound->columns[i].name;
        struct leat_stream_options options = {.emit = def->emit,
                                              .late = def->late,
                                              .grace_us = def->grace_us,
                                              .retention_us = def->retention_us,
                                              .column_count = bound->column_count,
                                              .names = names,
                                              .sql = leat_view_str(bound->bound_sql)};
        int rc = leat_stream_compile(arena, leat_view_str(bound->plan_json), rels, rel_count, &options, &graph, err);
        if (rc != 0) {
                /* stream counts bytes of the text that was planned. */
                if (err != NULL && err->position != 0)
                        err->position = leat_sql_map_position(bound->map, err->position - 1);
                else if (err != NULL && strncmp(err->message, "a window function", 17) == 0)
                        /* The plan does not say where it stands. */
                        err->position = leat_sql_map_word(bound->map, "OVER");
                return rc;
        }
        if (q != NULL) {
                LEAT_TRY(leat_catalog_arrangement_ids(q->catalog, leat_stream_arr_count(graph), &first_id, err));
                leat_stream_arr_assign(graph, first_id);
        }
        leat_stream_graph_encode(graph, &bytes);
        const struct leat_stream_output *output = leat_stream_output(graph);
        memset(ret_compiled, 0, sizeof *ret_compiled);
        ret_compiled->graph = leat_view_of(leat_arena_strndup(arena, (const char *)bytes.data, bytes.len), bytes.len);
        ret_compiled->notice = output->notice;
        leat_buf_done(&bytes);
        bool whole = output->keyed;
        for (uint32_t i = 0; i < output->key_count; i++)
                whole &= output->key_columns[i] != UINT32_MAX;
        if (whole) {
                ret_compiled->key_count = output->key_count;
                ret_compiled->keys = output->key_columns;
        }
        return 0;
}

/* ---- running ------------------------------------------------------------------------------ */
static void ddl_notice(void *arg, const char *text)
{
        struct query_session *s = arg;
        leat_query_notice(s, "NOTICE", text);
}

/* What a cancel of the session wakes while the statement waits for the broker. */
static void set_defining(struct query_session *s, struct leat_feed *feed)
{
        pthread_mutex_lock(&s->mutex);
        s->defining = feed;
        pthread_mutex_unlock(&s->mutex);
}

int leat_query_ddl_open(struct query_cursor *cur, bool check_only, struct leat_error *err)
{
        struct query_stmt *st = cur->stmt;
        struct query_session *s = st->session;
        struct leat_query *q = s->query;
        const struct leat_stmt *stmt = check_only ? st->stmt.inner : &st->stmt;
        struct leat_sql_ddl_context ctx = {.catalog = q->catalog,
                                           .feed = q->feed,
                                           .env = q->env,
                                           .compile = leat_query_compile,
                                           .compile_arg = check_only ? NULL : q,
                                           .notice = ddl_notice,
                                           .notice_arg = s};
        if (check_only && !leat_sql_is_ddl(stmt)) {
                struct leat_sql_query query;
                const struct leat_object *topic;
                if (stmt->kind == LEAT_STMT_REPLAY)
                        return leat_sql_replay(q->env, cur->arena, stmt, &query, &topic, err);
                return leat_sql_select(q->env, cur->arena, leat_view_str(st->text), stmt->body, NULL, 0, &query, err);
        }
        pthread_mutex_lock(&q->mutex);
        set_defining(s, q->feed);
        if (atomic_load(&s->canceled)) { /* while it waited for its turn */
                set_defining(s, NULL);
                pthread_mutex_unlock(&q->mutex);
                return leat_query_canceled(s, err);
        }
        /* What an earlier statement began is completed first; if that cannot be, the follower says why and tries on. */
        if (!q->recovered && !check_only)
                q->recovered = leat_sql_ddl_recover(&ctx, NULL) == 0;
        int rc = check_only ? leat_sql_ddl_check(&ctx, stmt, err) : leat_sql_ddl(&ctx, stmt, err);
        if (rc != 0 && !check_only)
                q->recovered = false; /* it may have failed between its steps */
        set_defining(s, NULL);
        leat_feed_wake_clear(q->feed); /* it was for this statement */
        pthread_mutex_unlock(&q->mutex);
        return rc;
}
