/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/query: COPY (SUBSCRIBE TO …) TO STDOUT.
 *
 * A view: tick, diff, then the view's columns; first all rows of a snapshot with
 * diff 1, then per tick what went (-1) and what came (+1). The events of leat/view
 * are rows of the arrangement; the view's SELECT is run over them through
 * leat_scan('#removed') and leat_scan('#added') on a connection of our own.
 *
 * A dashboard: tick, panel, kind, data, data_age_ms, newest_event_time.
 */
#include "query_int.h"

#define SUBSCRIBE_WAIT_US (500LL * 1000)

enum { SIDE_REMOVED, SIDE_ADDED, SIDE_COUNT };

struct subscription {
        struct query_session *session;
        const struct leat_object *view;
        struct leat_stream_graph *graph;
        struct leat_view_sub *sub;
        struct leat_conn *conn;
        struct leat_plan *plans[SIDE_COUNT];
        const struct leat_view_event *event;
        int side; /* being read */
        struct leat_result *result;
        struct leat_arena *arena; /* one batch */
};

/* ---- relations of the event ------------------------------------------------------------- */
static int side_describe(void *arg, const char *key, struct leat_arena *arena, uint32_t *ret_count,
                         const char ***ret_names, struct leat_type **ret_types, struct leat_error *err)
{
        struct subscription *u = arg;
        (void)key;
        (void)err;
        leat_query_arr_describe(u->graph, arena, ret_count, ret_names, ret_types);
        return 0;
}

struct side_scan {
        struct subscription *sub;
        struct leat_scan *rows; /* of a snapshot; NULL: the event's batch */
        bool given;
        uint32_t count;
        uint32_t *columns;
        struct leat_batch out;
        struct leat_arena *arena;
};

static void side_close(void *scan)
{
        struct side_scan *v = scan;
        leat_scan_close(v->rows);
        leat_arena_free(v->arena);
        free(v);
}

static int side_open(void *arg, const char *key, const uint32_t *columns, uint32_t count, void **ret_scan,
                     struct leat_error *err)
{
        struct subscription *u = arg;
        struct side_scan *v = leat_calloc(1, sizeof *v);
        int rc = 0;
        (void)key;
        v->sub = u;
        v->arena = leat_arena_new(0);
        v->count = count;
        v->columns = leat_arena_alloc(v->arena, (count + 1) * sizeof *v->columns);
        memcpy(v->columns, columns, count * sizeof *columns);
        v->out.column_count = count;
        v->out.columns = leat_arena_zalloc(v->arena, (count + 1) * sizeof *v->out.columns);
        if (u->event->snapshot != NULL && u->side == SIDE_ADDED)
                rc = leat_scan_open(leat_picture_state(u->event->snapshot), leat_stream_arr_def(u->graph, 0).id, NULL,
                                    0, &v->rows, err);
        if (rc != 0) {
                side_close(v);
                return rc;
        }
        *ret_scan = v;
        return 0;
}

/* Rows of weight n are given n times. */
static void side_give(struct side_scan *v, const struct leat_batch *rows, const int64_t *weights)
{
        struct leat_batch narrow = {.rows = rows->rows, .column_count = v->count};
        uint32_t n = 0;
        narrow.columns = leat_arena_zalloc(v->arena, (v->count + 1) * sizeof *narrow.columns);
        for (uint32_t c = 0; c < v->count; c++)
                narrow.columns[c] = rows->columns[v->columns[c]];
        for (uint32_t i = 0; weights != NULL && i < rows->rows; i++)
                n += (uint32_t)LEAT_MAX(weights[i], 0);
        if (weights == NULL || n == rows->rows) {
                v->out.rows = rows->rows;
                memcpy(v->out.columns, narrow.columns, v->count * sizeof *narrow.columns);
                return;
        }
        uint32_t *pick = leat_arena_alloc(v->arena, (n + 1) * sizeof *pick), k = 0;
        for (uint32_t i = 0; i < rows->rows; i++)
                for (int64_t w = 0; w < weights[i]; w++)
                        pick[k++] = i;
        struct leat_batch *picked = leat_batch_gather(v->arena, &narrow, pick, n);
        v->out.rows = n;
        memcpy(v->out.columns, picked->columns, v->count * sizeof *narrow.columns);
}

static int side_next(void *scan, const struct leat_batch **ret_batch, struct leat_error *err)
{
        struct side_scan *v = scan;
        const struct leat_view_event *e = v->sub->event;
        const struct leat_batch *rows = NULL;
        const int64_t *weights = NULL;
        *ret_batch = NULL;
        if (v->rows != NULL) {
                LEAT_TRY(leat_scan_next(v->rows, &rows, &weights, err));
        } else if (!v->given) {
                v->given = true;
                rows = v->sub->side == SIDE_REMOVED ? e->removed : e->added;
                weights = v->sub->side == SIDE_REMOVED ? e->removed_weights : e->added_weights;
        }
        if (rows == NULL)
                return 0;
        side_give(v, rows, weights);
        *ret_batch = &v->out;
        return 0;
}

static const struct leat_relation_ops side_ops = {
        .describe = side_describe, .open = side_open, .next = side_next, .close = side_close};

/* ---- views ----------------------------------------------------------------------------------- */
static int next_event(struct query_cursor *cur, struct subscription *u, struct leat_error *err)
{
        u->event = NULL;
        while (u->event == NULL) {
                if (atomic_load(&u->session->canceled))
                        return leat_query_canceled(cur->stmt->session, err);
                LEAT_TRY(leat_view_sub_next(u->sub, SUBSCRIBE_WAIT_US, &u->event, err));
        }
        u->side = SIDE_REMOVED;
        return 0;
}

/* tick and diff in front of the view's columns. */
static const struct leat_batch *with_tick(struct subscription *u, const struct leat_batch *rows)
{
        leat_arena_reset(u->arena);
        struct leat_batch *out = leat_arena_zalloc(u->arena, sizeof *out);
        int64_t *ticks = leat_arena_alloc(u->arena, (rows->rows + 1) * sizeof *ticks);
        int32_t *diffs = leat_arena_alloc(u->arena, (rows->rows + 1) * sizeof *diffs);
        for (uint32_t i = 0; i < rows->rows; i++) {
                ticks[i] = u->event->tick;
                diffs[i] = u->side == SIDE_REMOVED ? -1 : 1;
        }
        out->rows = rows->rows;
        out->column_count = rows->column_count + 2;
        out->columns = leat_arena_zalloc(u->arena, out->column_count * sizeof *out->columns);
        out->columns[0] = (struct leat_column){.type = leat_type_of(LEAT_T_BIGINT), .data = ticks};
        out->columns[1] = (struct leat_column){.type = leat_type_of(LEAT_T_INTEGER), .data = diffs};
        memcpy(out->columns + 2, rows->columns, rows->column_count * sizeof *rows->columns);
        return out;
}

static int view_next(struct query_cursor *cur, const struct leat_batch **ret_rows, struct leat_error *err)
{
        struct subscription *u = cur->state;
        const struct leat_batch *rows;
        for (;;) {
                if (u->event == NULL)
                        LEAT_TRY(next_event(cur, u, err));
                if (u->result == NULL)
                        LEAT_TRY(leat_plan_run(u->plans[u->side], false, &u->result, err));
                LEAT_TRY(leat_result_next(u->result, &rows, err));
                if (rows != NULL && rows->rows != 0) {
                        *ret_rows = with_tick(u, rows);
                        return 0;
                }
                if (rows != NULL)
                        continue;
                leat_result_free(u->result);
                u->result = NULL;
                if (++u->side == SIDE_COUNT)
                        u->event = NULL;
        }
}

static void view_close(struct query_cursor *cur)
{
        struct subscription *u = cur->state;
        leat_result_free(u->result);
        for (int i = 0; i < SIDE_COUNT; i++)
                leat_plan_free(u->plans[i]);
        leat_conn_close(u->conn);
        pthread_mutex_lock(&u->session->mutex);
        u->session->sub = NULL;
        pthread_mutex_unlock(&u->session->mutex);
        leat_view_sub_close(u->sub);
        leat_arena_free(u->arena);
        free(u);
}

static int view_start(struct query_cursor *cur, struct subscription *u, struct leat_error *err)
{
        static const char *const sources[SIDE_COUNT] = {"leat_scan('#removed')", "leat_scan('#added')"};
        struct leat_engine *engine;
        LEAT_TRY(leat_query_session_conn(u->session, err)); /* the engine then knows PostgreSQL's functions */
        LEAT_TRY(leat_query_engine(u->session->query, &engine, err));
        LEAT_TRY(leat_query_graph(u->view, cur->arena, &u->graph, err));
        LEAT_TRY(leat_conn_open(engine, &side_ops, u, &u->conn, err));
        for (int i = 0; i < SIDE_COUNT; i++) {
                struct leat_buf sql = LEAT_BUF_INIT;
                leat_stream_read_sql(u->graph, sources[i], &sql);
                int rc = leat_plan_prepare(u->conn, leat_buf_cstr(&sql), &u->plans[i], err);
                leat_buf_done(&sql);
                if (rc != 0)
                        return rc;
        }
        LEAT_TRY(leat_view_subscribe(u->session->query->views, u->view, &u->sub, err));
        pthread_mutex_lock(&u->session->mutex);
        u->session->sub = u->sub;
        pthread_mutex_unlock(&u->session->mutex);
        return 0;
}

/* ---- dashboards -------------------------------------------------------------------------------- */
static const struct query_column dashboard_columns[] = {
        {"tick", LEAT_T_BIGINT},  {"panel", LEAT_T_INTEGER},      {"kind", LEAT_T_VARCHAR},
        {"data", LEAT_T_VARCHAR}, {"data_age_ms", LEAT_T_BIGINT}, {"newest_event_time", LEAT_T_TIMESTAMPTZ},
};

struct panel_state {
        struct leat_panel_sub *sub;
        struct leat_arena *arena;
};

static int panel_next(struct query_cursor *cur, const struct leat_batch **ret_rows, struct leat_error *err)
{
        struct panel_state *p = cur->state;
        const struct leat_panel_event *e = NULL;
        struct query_rows rows;
        while (e == NULL) {
                if (atomic_load(&cur->stmt->session->canceled))
                        return leat_error_set(err, LEAT_ECANCELED, "canceling statement due to user request");
                LEAT_TRY(leat_panel_sub_next(p->sub, SUBSCRIBE_WAIT_US, &e, err));
        }
        leat_arena_reset(p->arena);
        leat_query_rows_init(&rows, p->arena, dashboard_columns, LEAT_ARRAY_LEN(dashboard_columns));
        leat_query_rows_add(&rows);
        leat_query_rows_int(&rows, 0, e->tick);
        leat_query_rows_int(&rows, 1, e->panel);
        leat_query_rows_text(&rows, 2, e->kind);
        leat_query_rows_text(&rows, 3, leat_arena_strndup(p->arena, (const char *)e->data.data, e->data.len));
        leat_query_rows_int(&rows, 4, e->age_ms);
        if (e->newest_us != INT64_MIN)
                leat_query_rows_int(&rows, 5, e->newest_us);
        struct leat_batch *batch = leat_arena_alloc(p->arena, sizeof *batch);
        *batch = rows.batch;
        *ret_rows = batch;
        return 0;
}

static void panel_close(struct query_cursor *cur)
{
        struct panel_state *p = cur->state;
        struct query_session *s = cur->stmt->session;
        pthread_mutex_lock(&s->mutex);
        s->panel_sub = NULL;
        pthread_mutex_unlock(&s->mutex);
        leat_panel_sub_close(p->sub);
        leat_arena_free(p->arena);
        free(p);
}

static int dashboard_open(struct query_cursor *cur, struct leat_error *err)
{
        struct query_stmt *st = cur->stmt;
        struct query_session *s = st->session;
        const struct leat_stmt *stmt = &st->stmt;
        const char **names = leat_arena_alloc(cur->arena, (stmt->option_count + 1) * sizeof *names);
        const char **values = leat_arena_alloc(cur->arena, (stmt->option_count + 1) * sizeof *values);
        struct leat_panel_sub *sub;
        for (uint32_t i = 0; i < stmt->option_count; i++) {
                names[i] = stmt->options[i].name;
                values[i] = stmt->options[i].value;
        }
        LEAT_TRY(leat_panels_watch(s->query->panels, stmt->name, names, values, stmt->option_count, &sub, err));
        struct panel_state *p = leat_calloc(1, sizeof *p);
        p->sub = sub;
        p->arena = leat_arena_new(0);
        pthread_mutex_lock(&s->mutex);
        s->panel_sub = sub;
        pthread_mutex_unlock(&s->mutex);
        cur->state = p;
        cur->next = panel_next;
        cur->close = panel_close;
        return 0;
}

/* ---- both ----------------------------------------------------------------------------------------- */
/* The view by name, from the newest catalog; the catalog stays with the statement's arena. */
static int find_view(struct query_stmt *st, const struct leat_object **ret_view, struct leat_error *err)
{
        struct leat_sql_catalog *catalog;
        LEAT_TRY(leat_sql_env_catalog(st->session->query->env, &catalog, err));
        leat_arena_cleanup(st->arena, (void (*)(void *))leat_sql_catalog_unref, catalog);
        const struct leat_object *o = leat_snapshot_find(catalog->snapshot, st->stmt.name, false);
        int rc = 0;
        if (o == NULL) {
                rc = leat_error_set(err, LEAT_ENORELATION, "relation \"%s\" does not exist", st->stmt.name);
        } else if (o->kind != LEAT_OBJECT_MATVIEW) {
                rc = leat_error_set(err, LEAT_EUNSUPPORTED,
                                    "\"%s\" is a %s: only materialized views can be subscribed to", o->name,
                                    leat_object_kind_name(o->kind));
                leat_error_hint(err, "CREATE MATERIALIZED VIEW … AS SELECT … FROM %s; then subscribe to that.",
                                o->name);
        }
        if (rc != 0 && err != NULL)
                err->position = leat_sql_position(leat_view_str(st->text), st->stmt.name_at.start);
        *ret_view = o;
        return rc;
}

int leat_query_subscribe_prepare(struct query_stmt *st, struct leat_error *err)
{
        const struct leat_object *view;
        if (st->stmt.kind == LEAT_STMT_SUBSCRIBE_DASHBOARD) {
                leat_query_desc_columns(st, dashboard_columns, LEAT_ARRAY_LEN(dashboard_columns));
                return 0;
        }
        LEAT_TRY(find_view(st, &view, err));
        uint32_t count = view->view->column_count + 2;
        const char **names = leat_arena_alloc(st->arena, count * sizeof *names);
        struct leat_type *types = leat_arena_alloc(st->arena, count * sizeof *types);
        names[0] = "tick";
        types[0] = leat_type_of(LEAT_T_BIGINT);
        names[1] = "diff";
        types[1] = leat_type_of(LEAT_T_INTEGER);
        for (uint32_t i = 2; i < count; i++) {
                names[i] = view->view->columns[i - 2].name;
                types[i] = view->view->columns[i - 2].type;
        }
        st->desc.column_count = count;
        st->desc.names = names;
        st->desc.columns = types;
        return 0;
}

int leat_query_subscribe_open(struct query_cursor *cur, struct leat_error *err)
{
        if (cur->stmt->stmt.kind == LEAT_STMT_SUBSCRIBE_DASHBOARD)
                return dashboard_open(cur, err);
        struct subscription *u = leat_calloc(1, sizeof *u);
        u->session = cur->stmt->session;
        u->arena = leat_arena_new(0);
        cur->state = u;
        cur->next = view_next;
        cur->close = view_close;
        LEAT_TRY(find_view(cur->stmt, &u->view, err));
        return view_start(cur, u, err);
}
