/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/query: running the panels of dashboards for leat/view.
 *
 * A panel is a SELECT with $variables. It runs on a session of the query's own
 * (one at a time: the panels' runner is one thread), as any client's would, and
 * its answer becomes JSON once.
 */
#include "query_int.h"

enum { PANEL_ROWS_MAX = 5000 };

const struct leat_object *leat_query_panel_dashboard(void *arg, const char *name, struct leat_arena *arena)
{
        struct leat_query *q = arg;
        struct leat_sql_catalog *catalog;
        if (leat_sql_env_catalog(q->env, &catalog, NULL) != 0)
                return NULL;
        leat_arena_cleanup(arena, (void (*)(void *))leat_sql_catalog_unref, catalog);
        return leat_snapshot_find(catalog->snapshot, name, true);
}

static void no_notice(void *door, const char *severity, const char *message, const char *hint)
{
        (void)door;
        (void)severity;
        (void)message;
        (void)hint;
}

static void no_report(void *door, const char *name, const char *value)
{
        (void)door;
        (void)name;
        (void)value;
}

/* Checks the panel's SQL; the variables become parameters in the dashboard's order. */
static int panel_query(struct leat_query *q, struct leat_arena *arena, const struct leat_object *dashboard,
                       uint32_t panel, struct leat_sql_query *ret_query, struct leat_error *err)
{
        const struct leat_dashboard_def *d = dashboard->dashboard;
        const char **names = leat_arena_alloc(arena, (d->variable_count + 1) * sizeof *names);
        for (uint32_t i = 0; i < d->variable_count; i++)
                names[i] = d->variables[i].name;
        return leat_sql_panel(q->env, arena, leat_view_str(d->panels[panel].sql), names, d->variable_count, ret_query,
                              err);
}

static struct leat_batch *variable_row(struct leat_arena *arena, const char *const *values, uint32_t count)
{
        struct leat_batch *row = leat_arena_zalloc(arena, sizeof *row);
        row->rows = 1;
        row->column_count = count;
        row->columns = leat_arena_zalloc(arena, (count + 1) * sizeof *row->columns);
        for (uint32_t i = 0; i < count; i++) {
                struct leat_string *s = leat_arena_alloc(arena, sizeof *s);
                *s = leat_string_borrow(leat_view_str(values[i] == NULL ? "" : values[i]));
                row->columns[i] = (struct leat_column){.type = leat_type_of(LEAT_T_VARCHAR), .data = s};
                if (values[i] == NULL) {
                        leat_column_make_validity(arena, &row->columns[i], 1);
                        leat_column_set_null(&row->columns[i], 0);
                }
        }
        return row;
}

static void json_columns(const struct leat_sql_query *sql, struct leat_buf *out)
{
        leat_buf_add_str(out, "[");
        for (uint32_t c = 0; c < sql->column_count; c++) {
                struct leat_buf type = LEAT_BUF_INIT;
                leat_type_print(&sql->column_types[c], &type);
                leat_buf_add_str(out, c == 0 ? "{\"name\":" : ",{\"name\":");
                leat_buf_json_str(out, leat_view_str(sql->column_names[c]));
                leat_buf_add_str(out, ",\"type\":");
                leat_buf_json_str(out, leat_buf_view(&type));
                leat_buf_add_str(out, "}");
                leat_buf_done(&type);
        }
        leat_buf_add_str(out, "]");
}

static int json_rows(struct leat_result *result, struct leat_panel_answer *answer, struct leat_error *err)
{
        struct leat_buf *out = &answer->rows;
        const struct leat_batch *rows;
        answer->row_ends = leat_malloc(PANEL_ROWS_MAX * sizeof *answer->row_ends);
        for (;;) {
                LEAT_TRY(leat_result_next(result, &rows, err));
                if (rows == NULL)
                        return 0;
                for (uint32_t r = 0; r < rows->rows; r++) {
                        if (answer->row_count == PANEL_ROWS_MAX) {
                                leat_error_set(err, LEAT_ETOOBIG, "a panel shows at most %d rows, this one has more",
                                               PANEL_ROWS_MAX);
                                leat_error_hint(err, "Add a LIMIT, or a condition on the time.");
                                return LEAT_ETOOBIG;
                        }
                        for (uint32_t c = 0; c < rows->column_count; c++) {
                                leat_buf_u8(out, c == 0 ? '[' : ',');
                                leat_column_json(&rows->columns[c], r, out);
                        }
                        leat_buf_u8(out, ']');
                        answer->row_ends[answer->row_count++] = (uint32_t)out->len;
                }
        }
}

/* Tick, age and newest event of the views that were read: the oldest of them counts. */
static void fill_age(struct query_session *s, const struct leat_sql_query *sql, struct leat_panel_answer *answer)
{
        answer->newest_us = INT64_MIN;
        for (uint32_t i = 0; i < sql->used_count; i++) {
                struct leat_picture *pic;
                if (sql->used[i].kind != LEAT_SCAN_VIEW)
                        continue;
                const struct leat_object *view = leat_snapshot_get(sql->catalog->snapshot, sql->used[i].object_id);
                if (view == NULL || view->kind != LEAT_OBJECT_MATVIEW ||
                    leat_query_session_picture(s, view->view->pipeline, &pic, NULL) != 0)
                        continue;
                answer->tick = LEAT_MAX(answer->tick, leat_picture_tick(pic)->tick);
                answer->age_us = LEAT_MAX(answer->age_us, leat_picture_age_us(s->query->views, pic, view->id));
                answer->newest_us = LEAT_MAX(answer->newest_us, leat_picture_newest_us(pic, view->id));
        }
}

static int panel_session(struct leat_query *q, struct query_session **ret_session, struct leat_error *err)
{
        struct leat_pg_session_info info = {
                .user = "leat", .application_name = "panels", .notice = no_notice, .report = no_report};
        void *session;
        if (q->panel_session == NULL) {
                LEAT_TRY(leat_query_session_open(q, &info, &session, err));
                q->panel_session = session;
        }
        *ret_session = q->panel_session;
        return 0;
}

int leat_query_panel_run(void *arg, const struct leat_object *dashboard, uint32_t panel, const char *const *values,
                         struct leat_panel_answer *ret_answer, struct leat_error *err)
{
        struct leat_query *q = arg;
        struct query_session *s;
        LEAT_TRY(panel_session(q, &s, err));
        struct query_stmt st = {.session = s, .arena = leat_arena_new(4096), .stmt = {.kind = LEAT_STMT_SELECT}};
        struct query_cursor cur = {.stmt = &st, .arena = st.arena};
        int rc = panel_query(q, st.arena, dashboard, panel, &st.sql, err);
        if (rc == 0)
                rc = leat_query_select_open(&cur, variable_row(st.arena, values, dashboard->dashboard->variable_count),
                                            err);
        if (rc == 0) {
                json_columns(&st.sql, &ret_answer->columns);
                rc = json_rows(cur.result, ret_answer, err);
        }
        if (rc == 0)
                fill_age(s, &st.sql, ret_answer);
        leat_result_free(cur.result);
        leat_plan_free(st.plan);
        leat_query_session_drop_pictures(s);
        leat_arena_free(st.arena);
        return rc;
}

/* Changes when any relation under the panel has moved: views by their own count, topics by the sum of their ends. */
int leat_query_panel_moved(void *arg, const struct leat_object *dashboard, uint32_t panel, uint64_t *ret_moved,
                           struct leat_error *err)
{
        struct leat_query *q = arg;
        struct query_session *s;
        struct leat_sql_query sql;
        struct leat_arena *arena = leat_arena_new(4096);
        uint64_t moved = 0;
        int rc = panel_session(q, &s, err);
        if (rc == 0)
                rc = panel_query(q, arena, dashboard, panel, &sql, err);
        for (uint32_t i = 0; rc == 0 && i < sql.used_count; i++) {
                const struct leat_sql_used *used = &sql.used[i];
                struct leat_feed_topic topic;
                if (used->kind == LEAT_SCAN_VIEW) {
                        moved = leat_hash_mix(moved, (uint64_t)leat_views_moved(q->views, used->object_id));
                } else if (used->kind == LEAT_SCAN_TOPIC || used->kind == LEAT_SCAN_UNDECLARED ||
                           used->kind == LEAT_SCAN_QUARANTINE) {
                        const char *name = used->kind == LEAT_SCAN_QUARANTINE
                                                   ? leat_arena_printf(arena, "%s.quarantine", used->name)
                                                   : used->name;
                        if (leat_query_session_feed(s, err) != 0 || leat_feed_topic(s->feed, name, &topic, NULL) != 0)
                                continue;
                        int64_t *ends = leat_arena_zalloc(arena, (size_t)topic.partitions * sizeof *ends);
                        (void)!leat_feed_offsets(s->feed, name, LEAT_FEED_LATEST, ends, topic.partitions, NULL);
                        for (int32_t p = 0; p < topic.partitions; p++)
                                moved = leat_hash_mix(moved, (uint64_t)ends[p]);
                }
        }
        leat_arena_free(arena);
        *ret_moved = moved;
        return rc;
}
