/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/cli: a small blocking PostgreSQL client: startup without password, simple
 * queries, text values, COPY TO STDOUT, cancel. For the shell and `status`.
 */
#include <errno.h>
#include <stdio.h>

#include "cli_int.h"

enum { PG_MESSAGE_MAX = 256 * 1024 * 1024 };
#define PG_CONNECT_US (5LL * 1000 * 1000)

struct cli_pg {
        struct leat_addr addr;
        int fd;
        uint32_t pid, secret;
        struct leat_buf in; /* bytes read and not used, from `at` on */
        size_t at;
};

static int lost(struct leat_error *err)
{
        return leat_error_set(err, LEAT_ECLOSED, "the server closed the connection");
}

static int send_all(struct cli_pg *pg, const struct leat_buf *out, struct leat_error *err)
{
        for (size_t sent = 0; sent < out->len;) {
                ssize_t n = leat_os_send(pg->fd, out->data + sent, out->len - sent);
                if (n < 0 && errno != EINTR)
                        return lost(err);
                sent += n < 0 ? 0 : (size_t)n;
        }
        return 0;
}

static int need(struct cli_pg *pg, size_t bytes, struct leat_error *err)
{
        while (pg->in.len - pg->at < bytes) {
                if (pg->at != 0) {
                        memmove(pg->in.data, pg->in.data + pg->at, pg->in.len - pg->at);
                        pg->in.len -= pg->at;
                        pg->at = 0;
                }
                uint8_t *to = leat_buf_reserve(&pg->in, LEAT_MAX(bytes, (size_t)65536));
                ssize_t n = leat_os_recv(pg->fd, to, LEAT_MAX(bytes - pg->in.len, (size_t)65536));
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return lost(err);
                pg->in.len += (size_t)n;
        }
        return 0;
}

/* The next message; its body lives until the next call. */
static int read_message(struct cli_pg *pg, char *ret_type, struct leat_cursor *ret_body, struct leat_error *err)
{
        LEAT_TRY(need(pg, 5, err));
        uint32_t len = leat_get_be32(pg->in.data + pg->at + 1);
        if (len < 4 || len > PG_MESSAGE_MAX)
                return leat_error_set(err, LEAT_EPROTO, "this is no PostgreSQL server: message of %u bytes", len);
        LEAT_TRY(need(pg, (size_t)len + 1, err));
        *ret_type = (char)pg->in.data[pg->at];
        *ret_body = leat_cursor_of(leat_view_of(pg->in.data + pg->at + 5, len - 4));
        pg->at += (size_t)len + 1;
        return 0;
}

static const char *read_cstr(struct leat_cursor *cur)
{
        const char *text = (const char *)cur->at;
        size_t left = leat_cursor_left(cur);
        const void *nul = left == 0 ? NULL : memchr(cur->at, 0, left);
        if (nul == NULL) {
                cur->failed = true;
                return "";
        }
        cur->at = (const uint8_t *)nul + 1;
        return text;
}

static void read_error(struct leat_cursor *cur, struct cli_pg_error *e)
{
        memset(e, 0, sizeof *e);
        for (;;) {
                char field = (char)leat_cursor_u8(cur);
                if (field == 0 || cur->failed)
                        return;
                const char *text = read_cstr(cur);
                switch (field) {
                case 'S':
                        snprintf(e->severity, sizeof e->severity, "%s", text);
                        break;
                case 'C':
                        snprintf(e->sqlstate, sizeof e->sqlstate, "%s", text);
                        break;
                case 'M':
                        snprintf(e->message, sizeof e->message, "%s", text);
                        break;
                case 'H':
                        snprintf(e->hint, sizeof e->hint, "%s", text);
                        break;
                case 'P':
                        e->position = atoi(text);
                        break;
                default:
                        break;
                }
        }
}

static void put_cstr(struct leat_buf *out, const char *text)
{
        leat_buf_add(out, text, strlen(text) + 1);
}

static int start(struct cli_pg *pg, struct leat_error *err)
{
        struct leat_buf out = LEAT_BUF_INIT;
        char type;
        struct leat_cursor body;
        leat_buf_be32(&out, 0);
        leat_buf_be32(&out, 196608);
        put_cstr(&out, "user");
        put_cstr(&out, "leat");
        put_cstr(&out, "database");
        put_cstr(&out, "leat");
        put_cstr(&out, "application_name");
        put_cstr(&out, "leat");
        leat_buf_u8(&out, 0);
        leat_put_be32(out.data, (uint32_t)out.len);
        int rc = send_all(pg, &out, err);
        leat_buf_done(&out);
        while (rc == 0 && (rc = read_message(pg, &type, &body, err)) == 0 && type != 'Z') {
                if (type == 'K') {
                        pg->pid = leat_cursor_be32(&body);
                        pg->secret = leat_cursor_be32(&body);
                } else if (type == 'E') {
                        struct cli_pg_error e;
                        read_error(&body, &e);
                        rc = leat_error_set(err, LEAT_ECLOSED, "%s", e.message);
                        leat_error_hint(err, "%s", e.hint);
                } else if (type == 'R' && leat_cursor_be32(&body) != 0) {
                        rc = leat_error_set(err, LEAT_EUNSUPPORTED, "the server wants a password");
                }
        }
        return rc;
}

int cli_pg_connect(const char *addr, struct cli_pg **ret_pg, struct leat_error *err)
{
        struct cli_pg *pg = leat_calloc(1, sizeof *pg);
        int rc;
        pg->fd = -1;
        LEAT_TRY_GOTO(leat_os_addr_parse(addr, &pg->addr, err));
        rc = leat_os_connect(&pg->addr, PG_CONNECT_US, &pg->fd, err);
        if (rc != 0) {
                leat_error_hint(err, "Is Leat running? `leat serve` starts it; --pg or LEAT_PG names another address.");
                goto fail;
        }
        LEAT_TRY_GOTO(start(pg, err));
        *ret_pg = pg;
        return 0;
fail:
        cli_pg_close(pg);
        return rc;
}

void cli_pg_close(struct cli_pg *pg)
{
        if (pg == NULL)
                return;
        leat_os_close(pg->fd);
        leat_buf_done(&pg->in);
        free(pg);
}

void cli_pg_cancel(struct cli_pg *pg)
{
        uint8_t packet[16];
        int fd;
        if (leat_os_connect(&pg->addr, PG_CONNECT_US, &fd, NULL) != 0)
                return;
        leat_put_be32(packet, 16);
        leat_put_be32(packet + 4, 80877102);
        leat_put_be32(packet + 8, pg->pid);
        leat_put_be32(packet + 12, pg->secret);
        (void)!leat_os_send(fd, packet, sizeof packet);
        leat_os_close(fd);
}

/* ---- results ----------------------------------------------------------------------- */
struct collect {
        struct leat_arena *arena;
        struct cli_pg_result result;
        uint32_t cell_cap;
};

static void read_columns(struct collect *c, struct leat_cursor *body)
{
        uint32_t n = leat_cursor_be16(body);
        c->result.has_rows = true;
        c->result.column_count = n;
        c->result.names = leat_arena_zalloc(c->arena, (n + 1) * sizeof *c->result.names);
        c->result.right = leat_arena_zalloc(c->arena, (n + 1) * sizeof *c->result.right);
        for (uint32_t i = 0; i < n; i++) {
                c->result.names[i] = leat_arena_strdup(c->arena, read_cstr(body));
                (void)leat_cursor_be32(body);
                (void)leat_cursor_be16(body);
                uint32_t oid = leat_cursor_be32(body);
                (void)leat_cursor_bytes(body, 8);
                c->result.right[i] =
                        oid == 20 || oid == 21 || oid == 23 || oid == 700 || oid == 701 || oid == 1700 || oid == 26;
        }
}

static void read_row(struct collect *c, struct leat_cursor *body)
{
        uint32_t n = leat_cursor_be16(body);
        size_t need_cells = ((size_t)c->result.row_count + 1) * c->result.column_count;
        if (n != c->result.column_count)
                return;
        if (need_cells > c->cell_cap) {
                c->cell_cap = (uint32_t)LEAT_MAX(need_cells * 2, (size_t)256);
                c->result.cells = leat_realloc(c->result.cells, c->cell_cap * sizeof *c->result.cells);
        }
        char **cells = c->result.cells + (size_t)c->result.row_count * n;
        for (uint32_t i = 0; i < n; i++) {
                int32_t len = (int32_t)leat_cursor_be32(body);
                struct leat_view v = len < 0 ? leat_view_of(NULL, 0) : leat_cursor_bytes(body, (size_t)len);
                cells[i] = len < 0 ? NULL : leat_arena_strndup(c->arena, (const char *)v.data, v.len);
        }
        c->result.row_count++;
}

static void collect_reset(struct collect *c)
{
        leat_arena_reset(c->arena);
        free(c->result.cells);
        memset(&c->result, 0, sizeof c->result);
        c->cell_cap = 0;
}

int cli_pg_query(struct cli_pg *pg, const char *sql, const struct cli_pg_ops *ops, struct cli_pg_error *ret_error,
                 struct leat_error *err)
{
        struct collect c = {.arena = leat_arena_new(0)};
        struct leat_buf out = LEAT_BUF_INIT;
        struct cli_pg_error e;
        struct leat_cursor body;
        char type;
        bool failed = false;
        leat_buf_u8(&out, 'Q');
        leat_buf_be32(&out, (uint32_t)(strlen(sql) + 5));
        put_cstr(&out, sql);
        int rc = send_all(pg, &out, err);
        leat_buf_done(&out);
        while (rc == 0 && (rc = read_message(pg, &type, &body, err)) == 0 && type != 'Z') {
                switch (type) {
                case 'T':
                        read_columns(&c, &body);
                        break;
                case 'D':
                        read_row(&c, &body);
                        break;
                case 'd':
                        if (ops->copy != NULL)
                                ops->copy(ops->arg, leat_cursor_bytes(&body, leat_cursor_left(&body)));
                        break;
                case 'C':
                        snprintf(c.result.tag, sizeof c.result.tag, "%s", read_cstr(&body));
                        if (ops->result != NULL)
                                ops->result(ops->arg, &c.result);
                        collect_reset(&c);
                        break;
                case 'N':
                        read_error(&body, &e);
                        if (ops->notice != NULL)
                                ops->notice(ops->arg, e.severity, e.message, e.hint);
                        break;
                case 'E':
                        read_error(&body, ret_error);
                        failed = true;
                        collect_reset(&c);
                        break;
                default:
                        break;
                }
        }
        collect_reset(&c);
        leat_arena_free(c.arena);
        if (rc == 0 && failed)
                return leat_error_set(err, LEAT_EINVAL, "%s", ret_error->message);
        return rc;
}
