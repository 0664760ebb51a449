/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/api: an asynchronous client of the PostgreSQL protocol (version 3.0), for
 * one server: our own query role. Simple queries, text format, COPY … TO STDOUT,
 * notices, errors, cancel. No passwords and no TLS: the doors are on loopback.
 *
 *   connecting ──on_open──► starting ──ReadyForQuery──► ready ──query──► busy ──ReadyForQuery──► ready
 *
 * Memory  a message is read where net has put it; nothing is copied but the names
 *         of columns. A message over 64 MiB ends the connection.
 * Close   the owner may close inside any callback: `is_closed` is looked at after
 *         each, and the struct goes when net says that the connection is gone.
 */
#include "api_int.h"

#include <stdio.h>
#include <stdlib.h>

#define MESSAGE_BYTES_MAX ((size_t)64 * 1024 * 1024)
#define COLUMNS_MAX 4096
#define CONNECT_US (3 * 1000 * 1000)

struct api_pg {
        struct leat_loop *loop;
        struct leat_addr addr;
        struct leat_net_conn *conn;
        const struct api_pg_ops *ops;
        void *arg;
        uint32_t pid, secret;
        bool is_ready;
        bool is_closed; /* by the owner: no callbacks any more */
        bool is_broken; /* close the connection */
        bool has_error; /* error holds the reason for the end */
        struct api_pg_error error;
        struct leat_view *values;
        int value_cap;
};

static void error_fill(struct api_pg_error *error, const char *sqlstate, const char *message)
{
        memset(error, 0, sizeof(*error));
        snprintf(error->severity, sizeof(error->severity), "ERROR");
        snprintf(error->sqlstate, sizeof(error->sqlstate), "%s", sqlstate);
        snprintf(error->message, sizeof(error->message), "%s", message);
}

static void pg_break(struct api_pg *pg, const char *sqlstate, const char *what)
{
        error_fill(&pg->error, sqlstate, what);
        pg->has_error = true;
        pg->is_broken = true;
}

/* ---- messages from the server ---- */

/* A NUL-terminated text; NULL (and the cursor's error) when its end is missing. */
static const char *cursor_text(struct leat_cursor *cur)
{
        const uint8_t *nul = memchr(cur->at, 0, leat_cursor_left(cur));
        if (!nul) {
                cur->failed = true;
                return NULL;
        }
        return (const char *)leat_cursor_bytes(cur, (size_t)(nul - cur->at) + 1).data;
}

static bool error_read(struct leat_cursor *cur, struct api_pg_error *ret_error)
{
        struct api_pg_error error;
        error_fill(&error, "XX000", "");
        uint8_t field;
        while ((field = leat_cursor_u8(cur)) != 0) {
                const char *text = cursor_text(cur);
                if (!text)
                        return false;
                switch (field) {
                case 'V': /* severity, never translated; comes after S */
                case 'S':
                        snprintf(error.severity, sizeof(error.severity), "%s", text);
                        break;
                case 'C':
                        snprintf(error.sqlstate, sizeof(error.sqlstate), "%s", text);
                        break;
                case 'M':
                        snprintf(error.message, sizeof(error.message), "%s", text);
                        break;
                case 'D':
                        snprintf(error.detail, sizeof(error.detail), "%s", text);
                        break;
                case 'H':
                        snprintf(error.hint, sizeof(error.hint), "%s", text);
                        break;
                case 'P':
                        error.position = atoi(text);
                        break;
                default:
                        break;
                }
        }
        *ret_error = error;
        return !cur->failed;
}

static bool read_columns(struct api_pg *pg, struct leat_cursor *cur)
{
        int count = leat_cursor_be16(cur);
        if (cur->failed || count > COLUMNS_MAX)
                return false;
        struct api_pg_column *columns = leat_calloc((size_t)count + 1, sizeof(columns[0]));
        for (int i = 0; i < count && !cur->failed; i++) {
                columns[i].name = cursor_text(cur);
                (void)leat_cursor_bytes(cur, 6); /* table, attribute */
                columns[i].type = leat_cursor_be32(cur);
                (void)leat_cursor_bytes(cur, 8); /* size, modifier, format */
        }
        bool is_good = !cur->failed;
        if (is_good && pg->ops->on_columns)
                pg->ops->on_columns(pg->arg, columns, count);
        free(columns);
        return is_good;
}

static bool read_row(struct api_pg *pg, struct leat_cursor *cur)
{
        int count = leat_cursor_be16(cur);
        if (cur->failed || count > COLUMNS_MAX)
                return false;
        if (count > pg->value_cap) {
                pg->values = leat_realloc(pg->values, (size_t)count * sizeof(pg->values[0]));
                pg->value_cap = count;
        }
        for (int i = 0; i < count; i++) {
                int32_t len = (int32_t)leat_cursor_be32(cur);
                pg->values[i] = len < 0 ? leat_view_of(NULL, 0) : leat_cursor_bytes(cur, (size_t)len);
        }
        if (cur->failed)
                return false;
        if (pg->ops->on_row)
                pg->ops->on_row(pg->arg, pg->values, count);
        return true;
}

static bool read_auth(struct api_pg *pg, struct leat_cursor *cur)
{
        if (leat_cursor_be32(cur) == 0)
                return !cur->failed;
        pg_break(pg, "28000", "the query role asks for a password, which this client does not have");
        return true;
}

static bool read_error(struct api_pg *pg, struct leat_cursor *cur)
{
        struct api_pg_error error;
        if (!error_read(cur, &error))
                return false;
        if (strcmp(error.severity, "FATAL") == 0 || strcmp(error.severity, "PANIC") == 0) {
                pg->error = error; /* the end follows; on_closed tells */
                pg->has_error = true;
        } else if (pg->ops->on_error) {
                pg->ops->on_error(pg->arg, &error);
        }
        return true;
}

static bool read_notice(struct api_pg *pg, struct leat_cursor *cur)
{
        struct api_pg_error notice;
        if (!error_read(cur, &notice))
                return false;
        if (pg->ops->on_notice)
                pg->ops->on_notice(pg->arg, &notice);
        return true;
}

static void refuse_copy_in(struct api_pg *pg)
{
        static const char FAIL[] = "f\0\0\0\x23"
                                   "COPY FROM is not possible here"; /* its NUL counts */
        _Static_assert(sizeof(FAIL) == 36, "length in the message");
        if (pg->conn)
                leat_net_conn_write_block(pg->conn, NULL, leat_view_of(FAIL, sizeof(FAIL)));
}

static bool read_message(struct api_pg *pg, uint8_t type, struct leat_view body)
{
        struct leat_cursor cur = leat_cursor_of(body);
        const char *tag;
        switch (type) {
        case 'R':
                return read_auth(pg, &cur);
        case 'K':
                pg->pid = leat_cursor_be32(&cur);
                pg->secret = leat_cursor_be32(&cur);
                return !cur.failed;
        case 'Z':
                pg->is_ready = true;
                if (pg->ops->on_ready)
                        pg->ops->on_ready(pg->arg);
                return true;
        case 'T':
                return read_columns(pg, &cur);
        case 'D':
                return read_row(pg, &cur);
        case 'C':
                tag = cursor_text(&cur);
                if (tag && pg->ops->on_command)
                        pg->ops->on_command(pg->arg, tag);
                return tag != NULL;
        case 'E':
                return read_error(pg, &cur);
        case 'N':
                return read_notice(pg, &cur);
        case 'H':
                if (pg->ops->on_copy_begin)
                        pg->ops->on_copy_begin(pg->arg);
                return true;
        case 'd':
                if (pg->ops->on_copy)
                        pg->ops->on_copy(pg->arg, body);
                return true;
        case 'G':
                refuse_copy_in(pg);
                return true;
        default: /* ParameterStatus, CopyDone, EmptyQueryResponse ...: nothing to do */
                return true;
        }
}

/* ---- the connection ---- */

/* Reads whole messages until the owner or a fault ends it; returns the bytes used. @ret_want is the length of the message
 * that is there in part, 0 when even that is unknown. */
static size_t pg_messages(struct api_pg *pg, struct leat_view data, size_t *ret_want)
{
        size_t at = 0;
        *ret_want = 0;
        while (data.len - at >= 5 && !pg->is_closed && !pg->is_broken) {
                size_t len = leat_get_be32(data.data + at + 1);
                if (len < 4 || len > MESSAGE_BYTES_MAX) {
                        pg_break(pg, "08P01", "the query role sent a message of impossible length");
                        break;
                }
                if (data.len - at < 1 + len) {
                        *ret_want = 1 + len;
                        break;
                }
                if (!read_message(pg, data.data[at], leat_view_of(data.data + at + 5, len - 4)))
                        pg_break(pg, "08P01", "the query role sent a message that ends too early");
                at += 1 + len;
        }
        return at;
}

static size_t pg_data(struct leat_net_conn *conn, void *user, struct leat_view data)
{
        struct api_pg *pg = user;
        size_t want, used = pg_messages(pg, data, &want);
        if (pg->is_broken && !pg->is_closed)
                leat_net_conn_close(conn);
        else if (want > 0)
                leat_net_conn_want(conn, want);
        return leat_net_conn_closing(conn) ? data.len : used;
}

static void pg_started(struct leat_net_conn *conn, void *user)
{
        static const char STARTUP[] = "user\0leat\0database\0leat\0application_name\0leat-api\0client_encoding\0UTF8\0";
        struct leat_buf buf = LEAT_BUF_INIT;
        (void)user;
        leat_buf_be32(&buf, 8 + sizeof(STARTUP));
        leat_buf_be32(&buf, 3u << 16);
        leat_buf_add(&buf, STARTUP, sizeof(STARTUP)); /* with the NUL that ends the list */
        leat_net_conn_write_buf(conn, &buf);
}

static void pg_gone(struct leat_net_conn *conn, void *user, const struct leat_error *reason)
{
        struct api_pg *pg = user;
        (void)conn;
        if (!pg->has_error) {
                char message[600];
                snprintf(message, sizeof(message), "no connection to the query role: %s",
                         reason->code != 0 ? reason->message : "closed");
                error_fill(&pg->error, "08006", message);
                snprintf(pg->error.hint, sizeof(pg->error.hint), "it may be starting; leat status shows the roles");
        }
        if (!pg->is_closed && pg->ops->on_closed)
                pg->ops->on_closed(pg->arg, &pg->error);
        free(pg->values);
        free(pg);
}

static const struct leat_net_ops NET_OPS = {.on_open = pg_started, .on_data = pg_data, .on_close = pg_gone};

static void gone_at_once(void *arg)
{
        struct api_pg *pg = arg;
        struct leat_error reason = {.code = 0};
        pg_gone(NULL, pg, &reason);
}

struct api_pg *leat_api_pg_open(struct leat_loop *loop, const struct leat_addr *addr, const struct api_pg_ops *ops,
                                void *arg)
{
        struct api_pg *pg = leat_calloc(1, sizeof(*pg));
        struct leat_net_opts opts = {.read_max = MESSAGE_BYTES_MAX + 1};
        struct leat_error err;
        pg->loop = loop;
        pg->addr = *addr;
        pg->ops = ops;
        pg->arg = arg;
        if (leat_net_connect(loop, addr, CONNECT_US, &NET_OPS, &opts, pg, &pg->conn, &err) != 0) {
                error_fill(&pg->error, "08006", err.message);
                pg->has_error = true;
                while (!leat_loop_post(loop, gone_at_once, pg)) /* out of descriptors and of posts: wait it out */
                        leat_os_sleep_us(1000);
        }
        return pg;
}

void leat_api_pg_query(struct api_pg *pg, const char *sql)
{
        LEAT_ASSERT(pg->is_ready);
        size_t len = strlen(sql) + 1;
        struct leat_buf buf = LEAT_BUF_INIT;
        pg->is_ready = false;
        leat_buf_u8(&buf, 'Q');
        leat_buf_be32(&buf, (uint32_t)(4 + len));
        leat_buf_add(&buf, sql, len);
        leat_net_conn_write_buf(pg->conn, &buf);
}

void leat_api_pg_close(struct api_pg *pg)
{
        static const char BYE[] = {'X', 0, 0, 0, 4};
        if (!pg || pg->is_closed)
                return;
        pg->is_closed = true;
        if (!pg->conn)
                return;
        leat_net_conn_write_block(pg->conn, NULL, leat_view_of(BYE, sizeof(BYE)));
        leat_net_conn_finish(pg->conn);
}

/* ---- cancel: a connection of its own that says one thing ---- */

struct cancel {
        uint32_t pid, secret;
};

static void cancel_open(struct leat_net_conn *conn, void *user)
{
        struct cancel *cancel = user;
        struct leat_buf buf = LEAT_BUF_INIT;
        leat_buf_be32(&buf, 16);
        leat_buf_be32(&buf, 80877102);
        leat_buf_be32(&buf, cancel->pid);
        leat_buf_be32(&buf, cancel->secret);
        leat_net_conn_write_buf(conn, &buf);
        leat_net_conn_finish(conn);
}

static size_t cancel_data(struct leat_net_conn *conn, void *user, struct leat_view data)
{
        (void)conn;
        (void)user;
        return data.len;
}

static void cancel_gone(struct leat_net_conn *conn, void *user, const struct leat_error *reason)
{
        (void)conn;
        (void)reason;
        free(user);
}

void leat_api_pg_cancel(struct api_pg *pg)
{
        static const struct leat_net_ops OPS = {
                .on_open = cancel_open, .on_data = cancel_data, .on_close = cancel_gone};
        struct cancel *cancel = leat_malloc(sizeof(*cancel));
        struct leat_net_conn *conn;
        *cancel = (struct cancel){.pid = pg->pid, .secret = pg->secret};
        if (pg->pid == 0 || leat_net_connect(pg->loop, &pg->addr, CONNECT_US, &OPS, NULL, cancel, &conn, NULL) != 0)
                free(cancel); /* closing the connection ends the query, too */
}
