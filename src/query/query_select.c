/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/query: SELECT and COPY (query) TO STDOUT.
 *
 * sql checks the text and rewrites it over leat_scan('key'). A materialized view
 * is stored as accumulators, so its scan is put in place as a subquery that
 * turns them into the view's columns; DuckDB then moves filters and projections
 * through it. The plan is prepared when the statement is opened, after the
 * pictures have been taken.
 */
#include <ctype.h>

#include "query_int.h"

int leat_query_select_prepare(struct query_stmt *st, struct leat_span body, const struct leat_type *hints,
                              uint32_t count, struct leat_error *err)
{
        LEAT_TRY(leat_sql_select(st->session->query->env, st->arena, leat_view_str(st->text), body, hints, count,
                                 &st->sql, err));
        st->desc.param_count = st->sql.param_count;
        st->desc.params = st->sql.param_types;
        st->desc.column_count = st->sql.column_count;
        st->desc.names = st->sql.column_names;
        st->desc.columns = st->sql.column_types;
        return 0;
}

/* Waits for freshness and takes the pictures of all views that the statement reads. */
static int take_pictures(struct query_stmt *st, struct leat_arena *arena, struct leat_error *err)
{
        struct query_session *s = st->session;
        for (uint32_t i = 0; i < st->sql.used_count; i++) {
                const struct leat_sql_used *used = &st->sql.used[i];
                struct leat_picture *pic;
                if (used->kind != LEAT_SCAN_VIEW)
                        continue;
                const struct leat_object *view = leat_snapshot_get(st->sql.catalog->snapshot, used->object_id);
                if (view == NULL || view->view == NULL)
                        return leat_error_set(err, LEAT_ENORELATION, "relation \"%s\" does not exist", used->name);
                if (view->kind != LEAT_OBJECT_MATVIEW)
                        continue;
                if (s->txn == LEAT_PG_IDLE || s->picture_count == 0)
                        LEAT_TRY(leat_query_session_wait_fresh(s, view, arena, err));
                LEAT_TRY(leat_query_session_picture(s, view->view->pipeline, &pic, err));
                LEAT_TRY(leat_picture_check(pic, view->id, view->name, err));
        }
        return 0;
}

int leat_query_select_open(struct query_cursor *cur, const struct leat_batch *params, struct leat_error *err)
{
        struct query_stmt *st = cur->stmt;
        struct query_session *s = st->session;
        LEAT_TRY(leat_query_session_conn(s, err));
        LEAT_TRY(take_pictures(st, cur->arena, err));
        s->catalog = st->sql.catalog;
        if (st->engine_sql == NULL)
                LEAT_TRY(leat_query_views_inline(s, st->arena, &st->sql, &st->engine_sql, err));
        /* A connection streams one result: while one is read, the next statement takes a connection of its own. */
        if (s->reader != NULL)
                LEAT_TRY(leat_query_conn_open(s, &cur->conn, err));
        else
                s->reader = cur;
        struct leat_plan **plan = cur->conn != NULL ? &cur->plan : &st->plan;
        struct leat_conn *conn = cur->conn != NULL ? cur->conn : s->conn;
        if (*plan == NULL) {
                int rc = leat_plan_prepare(conn, st->engine_sql, plan, err);
                if (rc != 0) {
                        leat_sql_map_error(st->sql.map, err);
                        return rc;
                }
        }
        for (uint32_t i = 0; params != NULL && i < params->column_count; i++)
                LEAT_TRY(leat_plan_bind(*plan, i, &params->columns[i], 0, err));
        cur->params = s->params = params;
        pthread_mutex_lock(&s->mutex);
        s->running = conn;
        pthread_mutex_unlock(&s->mutex);
        int rc = leat_plan_run(*plan, true, &cur->result, err);
        if (rc == LEAT_ECANCELED)
                return leat_query_canceled(s, err);
        if (rc != 0)
                leat_sql_map_error(st->sql.map, err);
        return rc;
}

/* ---- views in place ------------------------------------------------------------------- */
/* Skips a quoted piece that begins at @p; returns what stands behind it. */
static const char *skip_quoted(const char *p)
{
        char quote = *p++;
        for (; *p != '\0'; p++) {
                if (*p == quote && p[1] == quote)
                        p++;
                else if (*p == quote)
                        return p + 1;
        }
        return p;
}

static bool is_word(char c)
{
        return isalnum((unsigned char)c) || c == '_' || c == '"' || c == '$';
}

/* Copies the text between the quotes at @p, undoubled. */
static char *unquote(struct leat_arena *arena, const char *p, const char **ret_end)
{
        const char *end = skip_quoted(p);
        char *text = leat_arena_alloc(arena, (size_t)(end - p)), *to = text;
        for (p++; p < end - 1; p++) {
                *to++ = *p;
                if (*p == '\'')
                        p++;
        }
        *to = '\0';
        *ret_end = end;
        return text;
}

/* One leat_scan('key') of a materialized view: the SELECT over its arrangement. */
static int inline_view(struct query_session *s, struct leat_arena *arena, const struct leat_sql_query *sql,
                       const char *key_text, const struct leat_scan_key *key, struct leat_buf *out,
                       struct leat_error *err)
{
        const struct leat_object *view = leat_snapshot_get(sql->catalog->snapshot, key->object_id);
        struct leat_stream_graph *graph;
        struct leat_buf source = LEAT_BUF_INIT;
        (void)s;
        if (view == NULL || view->view == NULL)
                return leat_error_set(err, LEAT_ENORELATION, "relation \"%s\" does not exist", key->name);
        LEAT_TRY(leat_query_graph(view, arena, &graph, err));
        leat_buf_add_str(&source, "leat_scan(");
        const char *inner = leat_arena_printf(arena, "@%s", key_text);
        leat_sql_quote_text(&source, leat_view_str(inner));
        leat_buf_add_str(&source, ")");
        leat_buf_add_str(out, "(");
        leat_stream_read_sql(graph, leat_buf_cstr(&source), out);
        leat_buf_add_str(out, ")");
        leat_buf_done(&source);
        return 0;
}

int leat_query_views_inline(struct query_session *s, struct leat_arena *arena, const struct leat_sql_query *sql,
                            const char **ret_sql, struct leat_error *err)
{
        static const char call[] = "leat_scan('";
        struct leat_buf out = LEAT_BUF_INIT;
        char before = ' ';
        int rc = 0;
        for (const char *p = sql->sql; *p != '\0' && rc == 0;) {
                if (!is_word(before) && strncmp(p, call, sizeof call - 1) == 0) {
                        struct leat_scan_key key;
                        const char *end;
                        const char *text = unquote(arena, p + sizeof call - 2, &end);
                        rc = leat_sql_scan_key_parse(arena, text, &key, err);
                        if (rc == 0 && key.kind == LEAT_SCAN_VIEW && *end == ')') {
                                rc = inline_view(s, arena, sql, text, &key, &out, err);
                                p = end + 1;
                                before = ')';
                                continue;
                        }
                        leat_buf_add(&out, p, (size_t)(end - p));
                        p = end;
                        before = '\'';
                } else if (*p == '\'' || *p == '"') {
                        const char *end = skip_quoted(p);
                        leat_buf_add(&out, p, (size_t)(end - p));
                        before = *p;
                        p = end;
                } else {
                        before = *p;
                        leat_buf_u8(&out, (uint8_t)*p++);
                }
        }
        if (rc == 0)
                *ret_sql = leat_arena_strdup(arena, leat_buf_cstr(&out));
        leat_buf_done(&out);
        return rc;
}
