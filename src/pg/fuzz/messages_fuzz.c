/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole session: what a client may send from connect to close, in any order, cut into any pieces. The session's own
 * code runs on one thread over a connection, a loop and a pool that are only these functions; the statements are a
 * small language whose answers are easy to steer (see prepare below).
 *
 *   input   u8 piece: bytes of one arrival (0: all at once)   u8 flags   the client's bytes
 *           flag 1: a good startup packet comes first   2: the client goes when all was sent, without Terminate
 *           flag 4: it goes when half of its bytes are sent
 *
 * Held after each message: answers are whole messages of known types; one ReadyForQuery, the last thing, for each Query,
 * FunctionCall and Sync, none for others; nothing at all between an error of the extended protocol and its Sync. At the
 * end every session, statement and cursor that was made is gone.
 */
#include <ctype.h>

#include "../pg_int.h"

/* ---- the connection, the loop and the pool ------------------------------------------------- */
static struct {
        struct leat_pg pg;
        bool closing, paused;
        struct leat_buf out;          /* all that was answered since it was checked */
        struct leat_pg_session *line; /* wants a worker */
        int sessions, stmts, cursors;
        uint64_t cancels;
} fake;

static struct leat_net_conn *const conn_only = (struct leat_net_conn *)&fake;
static void write_buf(struct leat_buf *buf)
{
        leat_buf_add_view(&fake.out, leat_buf_view(buf));
        leat_buf_done(buf);
}
static void post(void (*fn)(void *), void *arg)
{
        fn(arg);
}
static bool handle(struct leat_pg_session *s, const struct leat_pg_msg *msg);
static _Atomic uint64_t any_stat;

#define leat_net_conn_write_buf(conn, buf) ((void)(conn), write_buf(buf))
#define leat_net_conn_write_block(conn, block, view) ((void)(view))
#define leat_net_conn_resume(conn) (fake.paused = false)
#define leat_net_conn_pause(conn) (fake.paused = true)
#define leat_net_conn_finish(conn) (fake.closing = true)
#define leat_net_conn_close(conn) (fake.closing = true)
#define leat_net_conn_closing(conn) ((void)(conn), fake.closing)
#define leat_net_conn_want(conn, bytes) ((void)(bytes))
#define leat_net_conn_deadline(conn, us) ((void)(us))
#define leat_net_conn_set_user(conn, user) ((void)(user))
#define leat_loop_post_wait(loop, fn, arg) post(fn, arg)
#define leat_listener_count(listener) 0
#define leat_listener_close(listener) ((void)(listener))
#define leat_listener_open(loops, count, fd, ops, opts, arg, ret, err) \
        ((void)(loops), (void)(ops), (void)(opts), (void)(arg), (void)(ret), (void)(err), 0)
#define leat_os_random(to, len) memset(to, 7, len)
#define leat_stats_slot(stats, id, label) (&any_stat)
#define leat_pg_pool_new(max) ((void)(max), (struct leat_pg_pool *)&fake)
#define leat_pg_pool_free(pool) ((void)(pool))
#define leat_pg_pool_end(pool, wait_us) ((void)(pool), true)
#define leat_pg_pool_add(pool, session) (fake.line = (session))
#define leat_pg_handle(session, msg) handle(session, msg)
#include "../pg_session.c"
#undef leat_pg_handle

/* ---- statements ---------------------------------------------------------------------------- */
enum { COLUMNS_MAX = 8, HUGE_BYTES = 70000 };

struct fake_session {
        struct leat_pg_session_info own;
        enum leat_pg_txn txn;
        bool canceled;
        uint32_t settings;
};
struct fake_stmt {
        struct fake_session *session;
        char kind;
        uint32_t rows;
        struct leat_pg_desc desc;
        struct leat_type types[COLUMNS_MAX], params[COLUMNS_MAX];
};
struct fake_cursor {
        struct fake_stmt *stmt;
        struct leat_arena *arena;
        uint32_t given;
};

static int session_open(void *arg, const struct leat_pg_session_info *info, void **ret, struct leat_error *err)
{
        struct fake_session *s = leat_calloc(1, sizeof *s);
        (void)arg;
        (void)err;
        s->own = *info;
        s->txn = LEAT_PG_IDLE;
        fake.sessions++;
        *ret = s;
        return 0;
}

static void session_close(void *session)
{
        fake.sessions--;
        free(session);
}

static int split(void *session, struct leat_arena *arena, const char *sql, uint32_t *ret_count,
                 struct leat_view **ret_parts, struct leat_error *err)
{
        uint32_t count = 0, room = 1;
        (void)session;
        if (*sql == '!')
                return leat_error_set(err, LEAT_ESYNTAX, "syntax error");
        for (const char *p = sql; *p != '\0'; p++)
                room += *p == ';';
        *ret_parts = leat_arena_alloc(arena, room * sizeof **ret_parts);
        for (const char *p = sql; *p != '\0';) {
                size_t len = strcspn(p, ";");
                if (strspn(p, " ") < len)
                        (*ret_parts)[count++] = leat_view_of(p, len);
                p += len + (p[len] == ';');
        }
        *ret_count = count;
        return 0;
}

static struct leat_type type_of(char letter)
{
        static const struct leat_type int4 = {.id = LEAT_T_INTEGER};
        struct leat_type type = {0};
        switch (letter) {
        case 'i':
                return int4;
        case 'd':
                type.id = LEAT_T_DECIMAL;
                type.width = 30;
                type.scale = 3;
                return type;
        case 'l':
                type.id = LEAT_T_LIST;
                type.child_count = 1;
                type.children = &int4;
                return type;
        case 'z':
                return leat_type_of(LEAT_T_TIMESTAMPTZ);
        case 'B':
                return leat_type_of(LEAT_T_BLOB);
        case '?':
                return leat_type_of(LEAT_T_INVALID);
        default:
                return leat_type_of(LEAT_T_VARCHAR);
        }
}

/* KIND [rows] [letters of column types] [$ letters of parameter types]; KIND e: fails here, o: fails when it is opened,
 * x: fails behind its rows, k: is canceled there, h: gives a huge row, c C: COPY, as CSV with a head, b: BEGIN,
 * m: COMMIT, n: sends a notice and a report */
static int prepare(void *session, const char *sql, const struct leat_type *hints, uint32_t hint_count, void **ret,
                   struct leat_error *err)
{
        static const char *const names[COLUMNS_MAX] = {"a", "b", "c", "d", "e", "f", "g", "h"};
        struct fake_session *s = session;
        if (s->txn == LEAT_PG_FAILED && *sql != 'm')
                return leat_error_set(err, LEAT_ESEQUENCE, "current transaction is aborted");
        if (*sql == 'e') {
                leat_error_set(err, LEAT_ENOCOLUMN, "no such column");
                if (err != NULL)
                        err->position = 1;
                return LEAT_ENOCOLUMN;
        }
        struct fake_stmt *st = leat_calloc(1, sizeof *st);
        st->session = s;
        st->kind = *sql;
        sql += *sql != '\0';
        while (isdigit((unsigned char)*sql) && st->rows < 1000)
                st->rows = st->rows * 10 + (uint32_t)(*sql++ - '0');
        for (; *sql != '\0' && *sql != '$' && st->desc.column_count < COLUMNS_MAX; sql++)
                st->types[st->desc.column_count++] = type_of(*sql == '?' ? 't' : *sql);
        for (sql += *sql == '$'; *sql != '\0' && st->desc.param_count < COLUMNS_MAX; sql++)
                st->params[st->desc.param_count++] = type_of(*sql);
        for (uint32_t i = 0; i < hint_count && i < st->desc.param_count; i++)
                if (hints[i].id != LEAT_T_INVALID)
                        st->params[i] = hints[i];
        st->desc.names = names;
        st->desc.columns = st->types;
        st->desc.params = st->params;
        st->desc.copy_out = st->kind == 'c' || st->kind == 'C';
        st->desc.copy_csv = st->desc.copy_header = st->kind == 'C';
        st->desc.copy_delimiter = '\t';
        fake.stmts++;
        *ret = st;
        return 0;
}

static const struct leat_pg_desc *describe(void *stmt)
{
        return &((struct fake_stmt *)stmt)->desc;
}

static void stmt_free(void *stmt)
{
        fake.stmts--;
        free(stmt);
}

/* Every byte of the parameters is read: they must be there. */
static void read_params(const struct leat_batch *params)
{
        struct leat_buf text = LEAT_BUF_INIT;
        for (uint32_t i = 0; params != NULL && i < params->column_count; i++)
                if (leat_column_valid(&params->columns[i], 0))
                        (void)leat_column_print(&params->columns[i], 0, &text);
        leat_buf_done(&text);
}

static int open_stmt(void *stmt, const struct leat_batch *params, void **ret, struct leat_error *err)
{
        struct fake_stmt *st = stmt;
        struct fake_session *s = st->session;
        if ((params == NULL ? 0 : params->column_count) != st->desc.param_count)
                __builtin_trap();
        read_params(params);
        s->canceled = false;
        if (st->kind == 'o')
                return leat_error_set(err, LEAT_ERANGE, "division by zero");
        if (st->kind == 'b')
                s->txn = LEAT_PG_IN_TXN;
        if (st->kind == 'm')
                s->txn = LEAT_PG_IDLE;
        if (st->kind == 'n') {
                s->own.notice(s->own.door, "WARNING", "look out", NULL);
                s->own.report(s->own.door, "TimeZone", "UTC");
        }
        struct fake_cursor *cur = leat_calloc(1, sizeof *cur);
        cur->stmt = st;
        cur->arena = leat_arena_new(0);
        fake.cursors++;
        *ret = cur;
        return 0;
}

static void make_value(struct leat_arena *arena, struct leat_batch *batch, uint32_t c, uint32_t row, bool huge)
{
        struct leat_column *col = &batch->columns[c];
        char text[32];
        switch (col->type.id) {
        case LEAT_T_INTEGER:
                ((int32_t *)col->data)[row] = (int32_t)(row * 7919);
                break;
        case LEAT_T_TIMESTAMPTZ:
                ((int64_t *)col->data)[row] = (int64_t)row << 40;
                break;
        case LEAT_T_VARCHAR:
        case LEAT_T_BLOB: {
                char *bytes = huge ? leat_arena_zalloc(arena, HUGE_BYTES) : text;
                size_t len = huge ? HUGE_BYTES : (size_t)snprintf(text, sizeof text, "v\t\"%u\n", row);
                ((struct leat_string *)col->data)[row] =
                        leat_string_borrow(leat_view_of(leat_arena_strndup(arena, bytes, len), len));
                break;
        }
        default: /* an empty list, a wide decimal of 0 */
                memset((uint8_t *)col->data + (size_t)row * 16, 0, 16);
                break;
        }
        if (row % 5 == 4)
                leat_column_set_null(col, row);
}

static int next(void *cursor, const struct leat_batch **ret, struct leat_error *err)
{
        struct fake_cursor *cur = cursor;
        struct fake_stmt *st = cur->stmt;
        uint32_t left = st->rows - cur->given, rows = LEAT_MIN(left, 3u);
        *ret = NULL;
        if (st->session->canceled)
                return leat_error_set(err, LEAT_ECANCELED, "canceling statement due to user request");
        if (rows == 0 && st->kind == 'x')
                return leat_error_set(err, LEAT_EINVAL, "a row that cannot be");
        if (rows == 0 && st->kind == 'k') { /* as it comes on the loop's thread while this one works */
                struct leat_buf body = LEAT_BUF_INIT;
                leat_buf_be32(&body, LEAT_PG_CANCEL);
                leat_buf_be32(&body, 1);
                leat_buf_be32(&body, 0x07070707);
                cancel_request(&fake.pg, leat_buf_view(&body));
                leat_buf_done(&body);
                if (!st->session->canceled)
                        __builtin_trap();
                return leat_error_set(err, LEAT_ECANCELED, "canceling statement due to user request");
        }
        if (rows == 0 || st->desc.column_count == 0)
                return 0;
        leat_arena_reset(cur->arena);
        struct leat_batch *batch = leat_batch_new(cur->arena, st->types, st->desc.column_count, rows);
        batch->rows = rows;
        for (uint32_t c = 0; c < st->desc.column_count; c++) {
                leat_column_make_validity(cur->arena, &batch->columns[c], rows);
                for (uint32_t r = 0; r < rows; r++)
                        make_value(cur->arena, batch, c, r, st->kind == 'h' && cur->given + r == 1);
        }
        cur->given += rows;
        *ret = batch;
        return 0;
}

static const char *tag(void *cursor, bool *ret_counts, int64_t *ret_rows)
{
        *ret_counts = ((struct fake_cursor *)cursor)->stmt->desc.column_count != 0;
        (void)ret_rows;
        return *ret_counts ? "SELECT" : "DONE";
}

static void close_cursor(void *cursor)
{
        struct fake_cursor *cur = cursor;
        leat_arena_free(cur->arena);
        free(cur);
        fake.cursors--;
}

static enum leat_pg_txn txn(void *session)
{
        return ((struct fake_session *)session)->txn;
}

static void failed(void *session)
{
        struct fake_session *s = session;
        if (s->txn == LEAT_PG_IN_TXN)
                s->txn = LEAT_PG_FAILED;
}

static void cancel(void *session)
{
        ((struct fake_session *)session)->canceled = true;
        fake.cancels++;
}

/* "e" is a value that nothing takes; "n" a name that there is not. */
static int start_setting(void *session, const char *name, const char *value, struct leat_error *err)
{
        struct fake_session *s = session;
        s->settings += (uint32_t)(strlen(name) + strlen(value));
        if (*value == 'e')
                return leat_error_set(err, LEAT_EINVAL, "invalid value for parameter \"%s\"", name);
        return *name == 'n' ? leat_error_set(err, LEAT_ENOTFOUND, "unrecognized configuration parameter") : 0;
}

static const char *setting(void *session, const char *name)
{
        (void)session;
        return *name == 'T' ? "UTC" : NULL;
}

static const struct leat_zone *zone(void *session)
{
        static const int64_t starts[] = {INT64_MIN, 0};
        static const int32_t offsets[] = {-3208, 7200};
        static const struct leat_zone any = {2, starts, offsets};
        return ((struct fake_session *)session)->settings % 2 == 0 ? NULL : &any;
}

static const struct leat_pg_backend backend = {
        session_open, session_close, split,  prepare, describe,      stmt_free, open_stmt, next, tag,
        close_cursor, txn,           failed, cancel,  start_setting, setting,   zone,      NULL,
};

/* ---- what must hold -------------------------------------------------------------------------- */
struct answer {
        uint32_t messages, errors, ready;
        char last;
};

/* Takes the answers apart; also those that are still with the session. */
static struct answer read_answers(const struct leat_buf *more)
{
        struct answer a = {0};
        struct leat_buf all = LEAT_BUF_INIT;
        leat_buf_add_view(&all, leat_buf_view(&fake.out));
        if (more != NULL)
                leat_buf_add_view(&all, leat_buf_view(more));
        struct leat_cursor cur = leat_cursor_of(leat_buf_view(&all));
        while (leat_cursor_left(&cur) != 0) {
                char type = (char)leat_cursor_u8(&cur);
                uint32_t len = leat_cursor_be32(&cur);
                if (type == '\0' || strchr("RSKZTDCENIHdc123stnv", type) == NULL || len < 4)
                        __builtin_trap();
                (void)leat_cursor_bytes(&cur, len - 4);
                if (cur.failed)
                        __builtin_trap();
                a.messages++;
                a.errors += type == 'E';
                a.ready += type == 'Z';
                a.last = type;
        }
        leat_buf_done(&all);
        return a;
}

static bool handle(struct leat_pg_session *s, const struct leat_pg_msg *msg)
{
        char type = msg->type == LEAT_PG_MSG_TOO_BIG ? (char)msg->body[0] : msg->type < 256 ? (char)msg->type : '\0';
        bool extended = type != '\0' && strchr("PBDEC", type) != NULL, skipping = s->skip_to_sync;
        struct answer before = read_answers(&s->out);
        bool go_on = leat_pg_handle(s, msg);
        struct answer after = read_answers(&s->out);
        uint32_t messages = after.messages - before.messages, errors = after.errors - before.errors,
                 ready = after.ready - before.ready;
        bool asks = type == 'S' || (!skipping && (type == 'Q' || type == 'F'));
        if (go_on && asks && (ready != 1 || after.last != 'Z'))
                __builtin_trap();
        if (!asks && ready != 0)
                __builtin_trap();
        if (errors > 1 || (extended && errors == 1 && !s->skip_to_sync))
                __builtin_trap();
        if (skipping && go_on && type != 'S' && messages != 0)
                __builtin_trap();
        if (asks && s->skip_to_sync)
                __builtin_trap();
        leat_buf_clear(&fake.out); /* looked at; what is still with the session comes again */
        return go_on;
}

static void work(void)
{
        while (fake.line != NULL) {
                struct leat_pg_session *s = fake.line;
                fake.line = NULL;
                leat_pg_session_work(s);
        }
}

/* As the loop gives it out: all unread bytes, in arrivals of @piece bytes. */
static void arrive(struct leat_pg_session *s, struct leat_view bytes, size_t piece)
{
        struct leat_buf in = LEAT_BUF_INIT;
        for (size_t at = 0; at < bytes.len && !fake.closing; at += piece) {
                leat_buf_add(&in, bytes.data + at, LEAT_MIN(piece, bytes.len - at));
                size_t used = on_data(conn_only, s, leat_buf_view(&in));
                if (used > in.len)
                        __builtin_trap();
                memmove(in.data, in.data + used, in.len - used);
                in.len -= used;
                work();
                on_drain(conn_only, s);
        }
        leat_buf_done(&in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const char hello[] = "\0\0\0\x13\0\3\0\0user\0leat\0";
        const struct leat_pg_options options = {.backend = &backend};
        struct leat_pg *pg = NULL;
        if (size < 2 || leat_param_set("pg.row.bytes", "64 KiB", NULL) != 0 ||
            leat_param_set("pg.message.bytes", "64 KiB", NULL) != 0)
                return 0;
        memset(&fake, 0, sizeof fake);
        if (leat_pg_start(&options, &pg, NULL) != 0)
                __builtin_trap();
        fake.pg = *pg;
        on_open(conn_only, &fake.pg);
        struct leat_pg_session *s = fake.pg.sessions;
        size_t piece = data[0] == 0 ? size : data[0];
        uint8_t flags = data[1];
        if (flags & 1)
                arrive(s, leat_view_of(hello, sizeof hello), sizeof hello);
        arrive(s, leat_view_of(data + 2, flags & 4 ? (size - 2) / 2 : size - 2), piece);
        (void)read_answers(&s->out);
        on_close(conn_only, s, NULL);
        work();
        if (fake.sessions != 0 || fake.stmts != 0 || fake.cursors != 0)
                __builtin_trap();
        leat_buf_done(&fake.out);
        leat_pg_free(pg);
        return 0;
}
