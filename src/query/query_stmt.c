/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/query: prepare, open, next, close, by kind of statement. One table says
 * which function prepares and which opens each kind.
 */
#include <stdio.h>
#include <strings.h>

#include "query_int.h"

enum { QUERY_PREPARED_MAX = 10000 };

static int split(void *session, struct leat_arena *arena, const char *sql, uint32_t *ret_count,
                 struct leat_view **ret_parts, struct leat_error *err)
{
        struct leat_view text = leat_view_str(sql);
        size_t at = 0;
        uint32_t count = 0, room = 8;
        struct leat_view *parts = leat_arena_alloc(arena, room * sizeof *parts);
        (void)session;
        for (;;) {
                struct leat_stmt stmt;
                size_t begin = at;
                LEAT_TRY(leat_sql_parse(arena, text, &at, &stmt, err));
                if (stmt.kind == LEAT_STMT_NONE)
                        break;
                if (stmt.kind == LEAT_STMT_EMPTY)
                        continue;
                LEAT_ASSERT(at > begin);
                if (count == room) {
                        struct leat_view *more = leat_arena_alloc(arena, room * 2 * sizeof *more);
                        memcpy(more, parts, room * sizeof *parts);
                        parts = more;
                        room *= 2;
                }
                parts[count++] = leat_view_of(text.data + stmt.at.start, stmt.at.len);
        }
        *ret_parts = parts;
        *ret_count = count;
        return 0;
}

void leat_query_desc_columns(struct query_stmt *st, const struct query_column *columns, uint32_t count)
{
        const char **names = leat_arena_alloc(st->arena, (count + 1) * sizeof *names);
        struct leat_type *types = leat_arena_alloc(st->arena, (count + 1) * sizeof *types);
        for (uint32_t i = 0; i < count; i++) {
                names[i] = columns[i].name;
                types[i] = leat_type_of(columns[i].type);
        }
        st->desc.column_count = count;
        st->desc.names = names;
        st->desc.columns = types;
}

static struct query_prepared *find_prepared(struct query_session *s, const char *name)
{
        struct query_prepared *p = s->prepared;
        while (p != NULL && strcmp(p->name, name) != 0)
                p = p->next;
        return p;
}

static int prepare_text(struct query_session *s, const char *sql, const struct leat_type *hints, uint32_t hint_count,
                        int depth, struct query_stmt **ret_stmt, struct leat_error *err);

/* EXECUTE name (args): the prepared statement, its parameters' values put in by the engine as a SELECT of them. */
static int prepare_execute(struct query_stmt *st, int depth, struct leat_error *err)
{
        struct query_prepared *p = find_prepared(st->session, st->stmt.name);
        if (p == NULL)
                return leat_error_set(err, LEAT_ENOTFOUND, "prepared statement \"%s\" does not exist", st->stmt.name);
        if (depth > 0)
                return leat_error_set(err, LEAT_EUNSUPPORTED, "EXECUTE inside a prepared statement is not supported");
        LEAT_TRY(prepare_text(st->session, p->sql, NULL, 0, depth + 1, &st->inner, err));
        if (st->inner->desc.param_count != st->stmt.argument_count)
                return leat_error_set(err, LEAT_EINVAL,
                                      "wrong number of parameters for prepared statement \"%s\": %u expected, %u given",
                                      st->stmt.name, st->inner->desc.param_count, st->stmt.argument_count);
        uint32_t params = st->desc.param_count;
        st->desc = st->inner->desc;
        st->desc.param_count = params;
        return 0;
}

static int prepare_kind(struct query_stmt *st, const struct leat_type *hints, uint32_t hint_count, int depth,
                        struct leat_error *err)
{
        switch (st->stmt.kind) {
        case LEAT_STMT_SELECT:
                return leat_query_select_prepare(st, st->stmt.body, hints, hint_count, err);
        case LEAT_STMT_COPY:
                st->desc.copy_out = true;
                st->desc.copy_csv = st->stmt.copy_format == LEAT_COPY_CSV;
                st->desc.copy_header = st->stmt.copy_header;
                st->desc.copy_delimiter = st->stmt.copy_delimiter;
                st->desc.copy_null = st->stmt.copy_null;
                return leat_query_select_prepare(st, st->stmt.body, hints, hint_count, err);
        case LEAT_STMT_INSERT:
                return leat_query_insert_prepare(st, hints, hint_count, err);
        case LEAT_STMT_REPLAY:
                return leat_query_replay_prepare(st, err);
        case LEAT_STMT_SUBSCRIBE:
        case LEAT_STMT_SUBSCRIBE_DASHBOARD:
                st->desc.copy_out = true;
                st->desc.copy_delimiter = '\t';
                return leat_query_subscribe_prepare(st, err);
        case LEAT_STMT_SHOW:
        case LEAT_STMT_SHOW_SETTING:
        case LEAT_STMT_SHOW_CREATE:
        case LEAT_STMT_DESCRIBE:
        case LEAT_STMT_EXPLAIN:
                return leat_query_show_prepare(st, err);
        case LEAT_STMT_DECLARE:
                return leat_query_declare_prepare(st, hints, hint_count, err);
        case LEAT_STMT_FETCH:
        case LEAT_STMT_MOVE:
                return leat_query_fetch_prepare(st, err);
        case LEAT_STMT_EXECUTE:
                return prepare_execute(st, depth, err);
        default:
                return 0;
        }
}

void leat_query_stmt_free(void *stmt)
{
        struct query_stmt *st = stmt;
        if (st == NULL)
                return;
        leat_query_stmt_free(st->inner);
        leat_query_stmt_free(st->renewed);
        leat_plan_free(st->plan);
        leat_arena_free(st->arena);
        free(st);
}

static int prepare_text(struct query_session *s, const char *sql, const struct leat_type *hints, uint32_t hint_count,
                        int depth, struct query_stmt **ret_stmt, struct leat_error *err)
{
        struct query_stmt *st = leat_calloc(1, sizeof *st);
        size_t at = 0;
        st->session = s;
        st->arena = leat_arena_new(4096);
        st->text = leat_arena_strdup(st->arena, sql);
        int rc = leat_sql_parse(st->arena, leat_view_str(st->text), &at, &st->stmt, err);
        if (rc == 0 && s->txn == LEAT_PG_FAILED && st->stmt.kind != LEAT_STMT_ROLLBACK &&
            st->stmt.kind != LEAT_STMT_COMMIT && st->stmt.kind != LEAT_STMT_ROLLBACK_TO)
                rc = leat_error_set(err, LEAT_ESEQUENCE,
                                    "current transaction is aborted, commands ignored until end of transaction block");
        if (rc == 0)
                rc = leat_query_catalog_version(s, &st->version, err);
        if (rc == 0)
                rc = prepare_kind(st, hints, hint_count, depth, err);
        if (rc != 0) {
                leat_query_stmt_free(st);
                return rc;
        }
        *ret_stmt = st;
        return 0;
}

int leat_query_stmt_new(struct query_session *s, const char *sql, const struct leat_type *hints, uint32_t hint_count,
                        struct query_stmt **ret_stmt, struct leat_error *err)
{
        return prepare_text(s, sql, hints, hint_count, 0, ret_stmt, err);
}

static int prepare(void *session, const char *sql, const struct leat_type *hints, uint32_t hint_count, void **ret_stmt,
                   struct leat_error *err)
{
        struct query_stmt *st;
        atomic_store(&((struct query_session *)session)->canceled, false);
        LEAT_TRY(prepare_text(session, sql, hints, hint_count, 0, &st, err));
        *ret_stmt = st;
        return 0;
}

static const struct leat_pg_desc *describe(void *stmt)
{
        return &((struct query_stmt *)stmt)->desc;
}

/* ---- small statements ------------------------------------------------------------- */
void leat_query_notice(struct query_session *s, const char *severity, const char *message)
{
        if (leat_query_setting_wants(s, severity))
                s->info.notice(s->info.door, severity, message, NULL);
}

static int open_set(struct query_cursor *cur, struct leat_error *err)
{
        struct query_stmt *st = cur->stmt;
        struct query_session *s = st->session;
        if (st->stmt.local && s->txn == LEAT_PG_IDLE) {
                leat_query_notice(s, "WARNING", "SET LOCAL can only be used in transaction blocks");
                return 0;
        }
        int rc = leat_query_setting_set(s, st->stmt.name, st->stmt.value, st->stmt.local, err);
        if (rc != 0 && err != NULL && st->stmt.name_at.len != 0)
                err->position = leat_sql_position(leat_view_str(st->text), st->stmt.name_at.start);
        return rc;
}

static void open_begin(struct query_session *s, bool read_only)
{
        if (s->txn == LEAT_PG_IN_TXN)
                leat_query_notice(s, "WARNING", "there is already a transaction in progress");
        s->txn = LEAT_PG_IN_TXN;
        if (read_only)
                (void)!leat_query_setting_set(s, "transaction_read_only", "on", true, NULL);
}

/* What writes is refused where the session asked for it. */
static int check_writable(struct query_session *s, const struct query_cursor *cur, struct leat_error *err)
{
        if (strcmp(leat_query_setting_get(s, "transaction_read_only"), "on") != 0)
                return 0;
        leat_error_set(err, LEAT_EDENIED, "cannot execute %s in a read-only transaction", cur->tag);
        leat_error_hint(err, "SET default_transaction_read_only = off, or begin with READ WRITE.");
        return LEAT_EDENIED;
}

static void open_end(struct query_cursor *cur, bool commit)
{
        struct query_session *s = cur->stmt->session;
        if (s->txn == LEAT_PG_IDLE)
                leat_query_notice(s, "WARNING", "there is no transaction in progress");
        if (commit && s->txn == LEAT_PG_FAILED)
                snprintf(cur->tag, sizeof cur->tag, "ROLLBACK");
        leat_query_setting_end_txn(s, commit && s->txn != LEAT_PG_FAILED);
        leat_query_named_close(s, NULL, true);
        s->txn = LEAT_PG_IDLE;
        leat_query_session_drop_pictures(s);
}

static int open_prepare(struct query_cursor *cur, struct leat_error *err)
{
        struct query_stmt *st = cur->stmt;
        struct query_session *s = st->session;
        struct query_stmt *tried;
        uint32_t count = 0;
        for (const struct query_prepared *other = s->prepared; other != NULL; other = other->next)
                count++;
        if (count >= QUERY_PREPARED_MAX)
                return leat_error_set(err, LEAT_ETOOBIG, "too many prepared statements in one session (%u)", count);
        if (find_prepared(s, st->stmt.name) != NULL)
                return leat_error_set(err, LEAT_EEXISTS, "prepared statement \"%s\" already exists", st->stmt.name);
        struct leat_span at = st->stmt.inner->at;
        char *sql = leat_strndup(st->text + at.start, at.len);
        int rc = prepare_text(s, sql, NULL, 0, 1, &tried, err);
        if (rc != 0) {
                if (err != NULL && err->position > 0)
                        err->position += leat_sql_position(leat_view_str(st->text), at.start) - 1;
                free(sql);
                return rc;
        }
        leat_query_stmt_free(tried);
        struct query_prepared *p = leat_calloc(1, sizeof *p);
        p->name = leat_strdup(st->stmt.name);
        p->sql = sql;
        p->next = s->prepared;
        s->prepared = p;
        return 0;
}

static int open_deallocate(struct query_session *s, const char *name, struct leat_error *err)
{
        bool found = false;
        for (struct query_prepared **at = &s->prepared; *at != NULL;) {
                struct query_prepared *p = *at;
                if (name != NULL && strcmp(p->name, name) != 0) {
                        at = &p->next;
                        continue;
                }
                found = true;
                *at = p->next;
                free(p->name);
                free(p->sql);
                free(p);
        }
        if (name != NULL && !found)
                return leat_error_set(err, LEAT_ENOTFOUND, "prepared statement \"%s\" does not exist", name);
        return 0;
}

/* ---- opening ------------------------------------------------------------------------ */
/* Values of EXECUTE's arguments: one row of SELECT arg, arg … */
static int execute_args(struct query_cursor *cur, struct leat_batch **ret_params, struct leat_error *err)
{
        struct query_stmt *st = cur->stmt, *args;
        struct leat_buf sql = LEAT_BUF_INIT;
        *ret_params = NULL;
        if (st->stmt.argument_count == 0)
                return 0;
        leat_buf_add_str(&sql, "SELECT ");
        for (uint32_t i = 0; i < st->stmt.argument_count; i++)
                leat_buf_printf(&sql, "%s%.*s", i == 0 ? "" : ", ", (int)st->stmt.arguments[i].len,
                                st->text + st->stmt.arguments[i].start);
        int rc = prepare_text(st->session, leat_buf_cstr(&sql), NULL, 0, 1, &args, err);
        leat_buf_done(&sql);
        if (rc != 0)
                return rc;
        struct query_cursor inner = {.stmt = args, .arena = cur->arena, .affected = -1};
        const struct leat_batch *row = NULL;
        rc = leat_query_select_open(&inner, NULL, err);
        if (rc == 0)
                rc = leat_result_next(inner.result, &row, err);
        if (rc == 0)
                *ret_params = leat_batch_copy(cur->arena, row);
        leat_result_free(inner.result);
        leat_query_stmt_free(args);
        return rc;
}

static int open_kind(struct query_cursor *cur, const struct leat_batch *params, struct leat_error *err)
{
        struct query_stmt *st = cur->stmt;
        struct query_session *s = st->session;
        switch (st->stmt.kind) {
        case LEAT_STMT_SELECT:
        case LEAT_STMT_COPY:
                return leat_query_select_open(cur, params, err);
        case LEAT_STMT_INSERT:
                LEAT_TRY(check_writable(s, cur, err));
                return leat_query_insert_open(cur, params, err);
        case LEAT_STMT_REPLAY:
                LEAT_TRY(check_writable(s, cur, err));
                if (s->txn == LEAT_PG_IN_TXN)
                        leat_query_notice(s, "NOTICE", "REPLAY takes effect at once: ROLLBACK does not undo it");
                return leat_query_replay_open(cur, err);
        case LEAT_STMT_SUBSCRIBE:
        case LEAT_STMT_SUBSCRIBE_DASHBOARD:
                return leat_query_subscribe_open(cur, err);
        case LEAT_STMT_SHOW:
        case LEAT_STMT_SHOW_SETTING:
        case LEAT_STMT_SHOW_CREATE:
        case LEAT_STMT_DESCRIBE:
                return leat_query_show_open(cur, err);
        case LEAT_STMT_EXPLAIN:
                return leat_query_explain_open(cur, err);
        case LEAT_STMT_VALIDATE:
                return leat_query_ddl_open(cur, true, err);
        case LEAT_STMT_SET:
                return open_set(cur, err);
        case LEAT_STMT_RESET:
                if (st->stmt.name != NULL && leat_query_setting_get(s, st->stmt.name) == NULL)
                        return leat_error_set(err, LEAT_ENOTFOUND, "unrecognized configuration parameter \"%s\"",
                                              st->stmt.name);
                leat_query_setting_reset(s, st->stmt.name);
                return 0;
        case LEAT_STMT_BEGIN:
                open_begin(s, st->stmt.read_only);
                return 0;
        case LEAT_STMT_COMMIT:
        case LEAT_STMT_ROLLBACK:
                open_end(cur, st->stmt.kind == LEAT_STMT_COMMIT);
                return 0;
        case LEAT_STMT_SAVEPOINT:
        case LEAT_STMT_RELEASE:
                if (s->txn == LEAT_PG_IDLE)
                        return leat_error_set(err, LEAT_ESEQUENCE, "%s can only be used in transaction blocks",
                                              st->stmt.kind == LEAT_STMT_SAVEPOINT ? "SAVEPOINT" : "RELEASE SAVEPOINT");
                return 0;
        case LEAT_STMT_ROLLBACK_TO:
                if (s->txn == LEAT_PG_IDLE)
                        return leat_error_set(err, LEAT_ESEQUENCE,
                                              "ROLLBACK TO SAVEPOINT can only be used in transaction blocks");
                s->txn = LEAT_PG_IN_TXN;
                return 0;
        case LEAT_STMT_PREPARE:
                return open_prepare(cur, err);
        case LEAT_STMT_DEALLOCATE:
                return open_deallocate(s, st->stmt.name, err);
        case LEAT_STMT_DECLARE:
                return leat_query_declare_open(cur, params, err);
        case LEAT_STMT_FETCH:
        case LEAT_STMT_MOVE:
                return leat_query_fetch_open(cur, err);
        case LEAT_STMT_CLOSE:
                return leat_query_close_named(s, st->stmt.name, err);
        case LEAT_STMT_DISCARD:
                leat_query_named_close(s, NULL, false);
                leat_query_setting_reset(s, NULL);
                return open_deallocate(s, NULL, err);
        default:
                if (!leat_sql_is_ddl(&st->stmt))
                        return leat_error_set(err, LEAT_EUNSUPPORTED, "this statement is not supported");
                LEAT_TRY(check_writable(s, cur, err));
                if (s->txn == LEAT_PG_IN_TXN)
                        leat_query_notice(s, "NOTICE", "definitions take effect at once: ROLLBACK does not undo them");
                return leat_query_ddl_open(cur, false, err);
        }
}

int leat_query_cursor_open(struct query_stmt *st, const struct leat_batch *params, struct query_cursor **ret_cursor,
                           struct leat_error *err)
{
        struct query_cursor *cur = leat_calloc(1, sizeof *cur);
        struct leat_batch *args;
        int rc = 0;
        cur->arena = leat_arena_new(0);
        cur->stmt = st;
        cur->affected = -1;
        if (st->stmt.kind == LEAT_STMT_EXECUTE) {
                rc = execute_args(cur, &args, err);
                params = args;
                cur->stmt = st->inner;
        }
        if (rc == 0)
                rc = leat_query_stmt_current(cur->stmt, &cur->stmt, &cur->owns_stmt, err);
        cur->stmt->cursors++;
        leat_sql_tag(&cur->stmt->stmt, 0, cur->tag, sizeof cur->tag);
        if (rc == 0)
                rc = open_kind(cur, params, err);
        if (rc != 0) {
                leat_query_cursor_close(cur);
                return rc;
        }
        *ret_cursor = cur;
        return 0;
}

/* statement_timeout counts from here to the statement's end; the follower watches. */
static void begin_deadline(struct query_session *s)
{
        int64_t timeout_us = leat_query_setting_duration_us(s, "statement_timeout");
        atomic_store(&s->canceled, false);
        atomic_store(&s->timed_out, false);
        atomic_store(&s->deadline_us, timeout_us > 0 ? leat_os_monotonic_us() + timeout_us : 0);
        if (s->feed != NULL)
                leat_feed_wake_clear(s->feed);
}

static int open_cursor(void *stmt, const struct leat_batch *params, void **ret_cursor, struct leat_error *err)
{
        struct query_stmt *st = stmt;
        struct query_cursor *cur;
        begin_deadline(st->session);
        int rc = leat_query_cursor_open(st, params, &cur, err);
        if (rc != 0) {
                atomic_store(&st->session->deadline_us, 0);
                return rc;
        }
        *ret_cursor = cur;
        return 0;
}

/* Rows of the engine: scans that begin late read this statement's catalog and parameters. */
static int next_result(struct query_cursor *cur, const struct leat_batch **ret_rows, struct leat_error *err)
{
        struct query_session *s = cur->stmt->session;
        s->catalog = cur->stmt->sql.catalog;
        s->params = cur->params;
        pthread_mutex_lock(&s->mutex);
        s->running = cur->conn != NULL ? cur->conn : s->conn;
        pthread_mutex_unlock(&s->mutex);
        int rc = leat_result_next(cur->result, ret_rows, err);
        if (rc == LEAT_ECANCELED)
                return leat_query_canceled(s, err);
        if (rc != 0 && cur->stmt->sql.map != NULL)
                leat_sql_map_error(cur->stmt->sql.map, err);
        if (rc == 0 && *ret_rows == NULL)
                leat_query_session_tell_skipped(s);
        if (rc == 0 && *ret_rows == NULL && s->reader == cur)
                s->reader = NULL;
        return rc;
}

int leat_query_cursor_next(struct query_cursor *cur, const struct leat_batch **ret_rows, struct leat_error *err)
{
        if (atomic_load(&cur->stmt->session->canceled))
                return leat_query_canceled(cur->stmt->session, err);
        if (cur->next != NULL)
                return cur->next(cur, ret_rows, err);
        if (cur->result != NULL)
                return next_result(cur, ret_rows, err);
        *ret_rows = cur->rows;
        cur->rows = NULL;
        return 0;
}

static int next_rows(void *cursor, const struct leat_batch **ret_rows, struct leat_error *err)
{
        return leat_query_cursor_next(cursor, ret_rows, err);
}

static const char *tag(void *cursor, bool *ret_counts, int64_t *ret_rows)
{
        struct query_cursor *cur = cursor;
        switch (cur->stmt->stmt.kind) {
        case LEAT_STMT_SELECT:
                *ret_counts = true;
                return "SELECT";
        case LEAT_STMT_FETCH:
                *ret_counts = true;
                return "FETCH";
        case LEAT_STMT_MOVE:
                *ret_counts = true;
                *ret_rows = cur->affected;
                return "MOVE";
        case LEAT_STMT_COPY:
        case LEAT_STMT_SUBSCRIBE:
        case LEAT_STMT_SUBSCRIBE_DASHBOARD:
                *ret_counts = true;
                return "COPY";
        case LEAT_STMT_REPLAY:
                *ret_counts = true;
                *ret_rows = cur->affected;
                return "REPLAY";
        case LEAT_STMT_INSERT:
                *ret_counts = true;
                *ret_rows = cur->affected;
                return "INSERT 0";
        default:
                return cur->tag;
        }
}

void leat_query_cursor_close(struct query_cursor *cur)
{
        if (cur == NULL)
                return;
        struct query_session *s = cur->stmt->session;
        cur->stmt->cursors--;
        if (cur->close != NULL)
                cur->close(cur);
        leat_result_free(cur->result);
        leat_plan_free(cur->plan);
        leat_query_session_tell_skipped(s);
        pthread_mutex_lock(&s->mutex);
        if (s->running == cur->conn || s->reader == cur)
                s->running = NULL;
        pthread_mutex_unlock(&s->mutex);
        leat_conn_close(cur->conn);
        if (s->reader == cur)
                s->reader = NULL;
        leat_arena_free(cur->arena);
        if (cur->owns_stmt)
                leat_query_stmt_free(cur->stmt);
        free(cur);
}

static void close_cursor(void *cursor)
{
        struct query_session *s = ((struct query_cursor *)cursor)->stmt->session;
        leat_query_cursor_close(cursor);
        atomic_store(&s->deadline_us, 0);
        if (s->txn == LEAT_PG_IDLE && s->named == NULL)
                leat_query_session_drop_pictures(s);
}

static const char *setting(void *session, const char *name)
{
        return leat_query_setting_get(session, name);
}

static const struct leat_zone *zone(void *session)
{
        return ((struct query_session *)session)->zone;
}

const struct leat_pg_backend leat_query_backend = {
        .session_open = leat_query_session_open,
        .session_close = leat_query_session_close,
        .split = split,
        .prepare = prepare,
        .describe = describe,
        .stmt_free = leat_query_stmt_free,
        .open = open_cursor,
        .next = next_rows,
        .tag = tag,
        .close = close_cursor,
        .txn = leat_query_session_txn,
        .failed = leat_query_session_failed,
        .cancel = leat_query_session_cancel,
        .start_setting = leat_query_setting_start,
        .setting = setting,
        .zone = zone,
        .describe_cursor = leat_query_named_describe,
};
