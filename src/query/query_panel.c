/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/query: running the panels of dashboards for leat/view.
 *
 * A panel is a SELECT with $variables. It runs on a session of the query's own
 * (one at a time: the panels' runner is one thread), as any client's would, and
 * its answer becomes JSON once.
 *
 * Checking and planning cost far more than a run: both are kept for each panel
 * until the catalog changes, for all values of the variables alike. At most
 * PANEL_PLANS_MAX are kept, the one used longest ago makes room.
 */
#include <stdio.h>

#include "query_int.h"

enum { PANEL_ROWS_MAX = 5000, PANEL_PLANS_MAX = 256 };

struct panel_plan {
        struct panel_plan *next; /* newest use first */
        uint64_t dashboard_id, dashboard_version, catalog_version;
        uint32_t panel;
        struct query_stmt stmt; /* its arena holds the checked query */
};

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

/* ---- checked and planned once ------------------------------------------------------ */
static void plan_free(struct panel_plan *p)
{
        leat_plan_free(p->stmt.plan);
        leat_arena_free(p->stmt.arena);
        free(p);
}

void leat_query_panel_plans_drop(struct leat_query *q)
{
        while (q->panel_plans != NULL) {
                struct panel_plan *p = q->panel_plans;
                q->panel_plans = p->next;
                plan_free(p);
        }
}

/* Takes a plan that is still good out of the list; frees those of older catalogs and the last one of too many. */
static struct panel_plan *plan_take(struct leat_query *q, const struct leat_object *dashboard, uint32_t panel,
                                    uint64_t catalog_version)
{
        struct panel_plan *found = NULL;
        uint32_t kept = 0;
        for (struct panel_plan **at = &q->panel_plans; *at != NULL;) {
                struct panel_plan *p = *at;
                bool good = p->catalog_version == catalog_version;
                bool same = good && p->dashboard_id == dashboard->id && p->dashboard_version == dashboard->version &&
                            p->panel == panel;
                if (!same && good && ++kept < PANEL_PLANS_MAX) {
                        at = &p->next;
                        continue;
                }
                *at = p->next;
                if (same)
                        found = p;
                else
                        plan_free(p);
        }
        return found;
}

/* Checks the panel's SQL; the variables become parameters in the dashboard's order. */
static int plan_check(struct leat_query *q, struct panel_plan *p, const struct leat_object *dashboard,
                      struct leat_error *err)
{
        const struct leat_dashboard_def *d = dashboard->dashboard;
        struct leat_arena *arena = p->stmt.arena;
        const char **names = leat_arena_alloc(arena, (d->variable_count + 1) * sizeof *names);
        for (uint32_t i = 0; i < d->variable_count; i++)
                names[i] = leat_arena_strdup(arena, d->variables[i].name);
        const char *text = leat_arena_strdup(arena, d->panels[p->panel].sql);
        LEAT_TRY(leat_sql_panel(q->env, arena, leat_view_str(text), names, d->variable_count, &p->stmt.sql, err));
        p->catalog_version = p->stmt.sql.catalog->snapshot->version;
        return 0;
}

/* The panel's query, checked against the newest catalog; kept in the list. */
static int plan_get(struct leat_query *q, struct query_session *s, const struct leat_object *dashboard, uint32_t panel,
                    struct panel_plan **ret_plan, struct leat_error *err)
{
        struct leat_sql_catalog *catalog;
        LEAT_TRY(leat_sql_env_catalog(q->env, &catalog, err));
        struct panel_plan *p = plan_take(q, dashboard, panel, catalog->snapshot->version);
        leat_sql_catalog_unref(catalog);
        if (p == NULL) {
                p = leat_calloc(1, sizeof *p);
                p->dashboard_id = dashboard->id;
                p->dashboard_version = dashboard->version;
                p->panel = panel;
                p->stmt = (struct query_stmt){
                        .session = s, .arena = leat_arena_new(4096), .stmt = {.kind = LEAT_STMT_SELECT}};
                int rc = plan_check(q, p, dashboard, err);
                if (rc != 0) {
                        plan_free(p);
                        return rc;
                }
        }
        p->next = q->panel_plans;
        q->panel_plans = p;
        *ret_plan = p;
        return 0;
}

/* After an error the next run begins anew, whatever it was. */
static void plan_failed(struct leat_query *q, struct panel_plan *p)
{
        LEAT_ASSERT(q->panel_plans == p);
        q->panel_plans = p->next;
        plan_free(p);
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
        struct leat_pg_session_info info = {.user = "leat", .notice = no_notice, .report = no_report};
        void *session;
        if (q->panel_session == NULL) {
                LEAT_TRY(leat_query_session_open(q, &info, &session, err));
                q->panel_session = session;
                /* The panels' one thread never waits for a view: a panel is run again when the view has moved. */
                LEAT_TRY(leat_query_setting_set(session, "leat.freshness", "none", false, err));
        }
        *ret_session = q->panel_session;
        return 0;
}

int leat_query_panel_run(void *arg, const struct leat_object *dashboard, uint32_t panel, const char *const *values,
                         struct leat_panel_answer *ret_answer, struct leat_error *err)
{
        struct leat_query *q = arg;
        struct query_session *s;
        struct panel_plan *p;
        LEAT_TRY(panel_session(q, &s, err));
        LEAT_TRY(plan_get(q, s, dashboard, panel, &p, err));
        struct query_cursor *cur = leat_calloc(1, sizeof *cur);
        cur->stmt = &p->stmt;
        cur->stmt->cursors++;
        cur->arena = leat_arena_new(4096);
        int rc = leat_query_select_open(cur, variable_row(cur->arena, values, dashboard->dashboard->variable_count),
                                        err);
        if (rc == 0) {
                json_columns(&p->stmt.sql, &ret_answer->columns);
                rc = json_rows(cur->result, ret_answer, err);
        }
        if (rc == 0)
                fill_age(s, &p->stmt.sql, ret_answer);
        leat_query_cursor_close(cur);
        leat_query_session_drop_pictures(s);
        if (rc != 0)
                plan_failed(q, p);
        return rc;
}

/* Folds the ends of a topic's partitions into @io_moved. */
static int topic_moved(struct query_session *s, const struct leat_sql_used *used, uint64_t *io_moved,
                       struct leat_error *err)
{
        char name[300];
        struct leat_feed_topic topic;
        snprintf(name, sizeof name, "%.250s%s", used->name, used->kind == LEAT_SCAN_QUARANTINE ? ".quarantine" : "");
        LEAT_TRY(leat_query_session_feed(s, err));
        if (leat_feed_topic(s->feed, name, &topic, NULL) != 0)
                return 0;
        int64_t *ends = leat_calloc((size_t)topic.partitions + 1, sizeof *ends);
        (void)!leat_feed_offsets(s->feed, name, LEAT_FEED_LATEST, ends, topic.partitions, NULL);
        for (int32_t i = 0; i < topic.partitions; i++)
                *io_moved = leat_hash_mix(*io_moved, (uint64_t)ends[i]);
        free(ends);
        return 0;
}

/* Changes when any relation under the panel has moved: views by their own count, topics by the sum of their ends; and
 * with the catalog, as the query may mean something else then. */
int leat_query_panel_moved(void *arg, const struct leat_object *dashboard, uint32_t panel, uint64_t *ret_moved,
                           struct leat_error *err)
{
        struct leat_query *q = arg;
        struct query_session *s;
        struct panel_plan *p;
        LEAT_TRY(panel_session(q, &s, err));
        LEAT_TRY(plan_get(q, s, dashboard, panel, &p, err));
        uint64_t moved = p->catalog_version;
        for (uint32_t i = 0; i < p->stmt.sql.used_count; i++) {
                const struct leat_sql_used *used = &p->stmt.sql.used[i];
                if (used->kind == LEAT_SCAN_VIEW)
                        moved = leat_hash_mix(moved, (uint64_t)leat_views_moved(q->views, used->object_id));
                else if (used->kind == LEAT_SCAN_TOPIC || used->kind == LEAT_SCAN_UNDECLARED ||
                         used->kind == LEAT_SCAN_QUARANTINE)
                        LEAT_TRY(topic_moved(s, used, &moved, err));
        }
        *ret_moved = moved;
        return 0;
}
