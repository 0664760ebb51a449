/* SPDX-License-Identifier: Apache-2.0 */
/* leat/api: scripted stand-ins for query and broker, for tests: one thread, known answers. */
#ifndef LEAT_API_TEST_PEERS_H
#define LEAT_API_TEST_PEERS_H

#include "api_int.h"

#include <stdlib.h>

#include "leat/test.h"

struct peer_script {
        const char *sql;
        /* Writes the whole answer but ReadyForQuery; false: the answer goes on (no ReadyForQuery). */
        bool (*answer)(struct leat_buf *out);
};

struct peers {
        struct leat_loop *loop;
        struct leat_listener *pg_door, *kafka_door;
        struct leat_addr pg, kafka;
        const struct peer_script *scripts;
        int script_count;
        _Atomic int sessions, cancels, queries;
        struct leat_net_conn *last; /* the newest session; the peers' thread only */
};

/* ---- messages ---- */

static inline size_t msg_begin(struct leat_buf *out, char type)
{
        leat_buf_u8(out, (uint8_t)type);
        leat_buf_be32(out, 0);
        return out->len - 4;
}

static inline void msg_end(struct leat_buf *out, size_t at)
{
        leat_put_be32(out->data + at, (uint32_t)(out->len - at));
}

static inline void msg_text(struct leat_buf *out, const char *text)
{
        leat_buf_add(out, text, strlen(text) + 1);
}

/* "name:oid name:oid" */
static inline void msg_columns(struct leat_buf *out, const char *columns)
{
        size_t at = msg_begin(out, 'T'), count_at = out->len;
        uint16_t count = 0;
        leat_buf_be16(out, 0);
        while (*columns) {
                size_t len = strcspn(columns, ":");
                leat_buf_add(out, columns, len);
                leat_buf_u8(out, 0);
                leat_buf_be32(out, 0);
                leat_buf_be16(out, 0);
                leat_buf_be32(out, (uint32_t)strtoul(columns + len + 1, (char **)(uintptr_t)&columns, 10));
                leat_buf_be16(out, 0xffff);
                leat_buf_be32(out, 0xffffffff);
                leat_buf_be16(out, 0);
                count++;
                columns += *columns == ' ';
        }
        leat_put_be16(out->data + count_at, count);
        msg_end(out, at);
}

/* Values with | between them; "-" is NULL. */
static inline void msg_row(struct leat_buf *out, const char *values)
{
        size_t at = msg_begin(out, 'D'), count_at = out->len;
        uint16_t count = 0;
        leat_buf_be16(out, 0);
        for (bool more = true; more; count++) {
                size_t len = strcspn(values, "|");
                if (len == 1 && values[0] == '-') {
                        leat_buf_be32(out, 0xffffffff);
                } else {
                        leat_buf_be32(out, (uint32_t)len);
                        leat_buf_add(out, values, len);
                }
                more = values[len] != '\0';
                values += len + more;
        }
        leat_put_be16(out->data + count_at, count);
        msg_end(out, at);
}

static inline void msg_one_text(struct leat_buf *out, char type, const char *text)
{
        size_t at = msg_begin(out, type);
        msg_text(out, text);
        msg_end(out, at);
}

/* An error ('E') or notice ('N'). */
static inline void msg_error(struct leat_buf *out, char type, const char *severity, const char *sqlstate,
                             const char *message, const char *hint, const char *position)
{
        const char keys[] = "SVCMHP";
        const char *values[] = {severity, severity, sqlstate, message, hint, position};
        size_t at = msg_begin(out, type);
        for (int i = 0; i < 6; i++) {
                if (!values[i])
                        continue;
                leat_buf_u8(out, (uint8_t)keys[i]);
                msg_text(out, values[i]);
        }
        leat_buf_u8(out, 0);
        msg_end(out, at);
}

static inline void msg_copy_begin(struct leat_buf *out)
{
        size_t at = msg_begin(out, 'H');
        leat_buf_u8(out, 0);
        leat_buf_be16(out, 0);
        msg_end(out, at);
}

static inline void msg_copy(struct leat_buf *out, const char *line)
{
        size_t at = msg_begin(out, 'd');
        leat_buf_add_str(out, line);
        leat_buf_u8(out, '\n');
        msg_end(out, at);
}

static inline void msg_ready(struct leat_buf *out)
{
        size_t at = msg_begin(out, 'Z');
        leat_buf_u8(out, 'I');
        msg_end(out, at);
}

/* ---- query ---- */

static inline void peer_startup(struct peers *peers, struct leat_net_conn *conn, struct leat_view body)
{
        struct leat_buf out = LEAT_BUF_INIT;
        if (body.len == 16) { /* CancelRequest */
                CHECK_INT(leat_get_be32(body.data + 8), 4711);
                CHECK_INT(leat_get_be32(body.data + 12), 815);
                atomic_fetch_add(&peers->cancels, 1);
                leat_net_conn_close(conn);
                return;
        }
        CHECK(memmem(body.data, body.len, "user\0leat\0database\0leat", 23) != NULL);
        atomic_fetch_add(&peers->sessions, 1);
        leat_net_conn_set_user(conn, (void *)((uintptr_t)peers | 1)); /* has started */
        peers->last = conn;
        size_t at = msg_begin(&out, 'R');
        leat_buf_be32(&out, 0);
        msg_end(&out, at);
        at = msg_begin(&out, 'K');
        leat_buf_be32(&out, 4711);
        leat_buf_be32(&out, 815);
        msg_end(&out, at);
        msg_ready(&out);
        leat_net_conn_write_buf(conn, &out);
}

static inline void peer_query(struct peers *peers, struct leat_net_conn *conn, const char *sql)
{
        struct leat_buf out = LEAT_BUF_INIT;
        bool is_done = true;
        int i = 0;
        atomic_fetch_add(&peers->queries, 1);
        while (i < peers->script_count && strcmp(peers->scripts[i].sql, sql) != 0)
                i++;
        if (i < peers->script_count)
                is_done = peers->scripts[i].answer(&out);
        else
                msg_error(&out, 'E', "ERROR", "42601", sql, NULL, "1");
        if (is_done)
                msg_ready(&out);
        leat_net_conn_write_buf(conn, &out);
}

static inline size_t peer_pg_data(struct leat_net_conn *conn, void *user, struct leat_view data)
{
        struct peers *peers = (struct peers *)((uintptr_t)user & ~(uintptr_t)1);
        bool has_started = ((uintptr_t)user & 1) != 0;
        size_t head = has_started ? 5 : 4, at = head - 4;
        if (data.len < head || data.len < at + leat_get_be32(data.data + at))
                return 0;
        size_t len = at + leat_get_be32(data.data + at);
        if (!has_started)
                peer_startup(peers, conn, leat_view_of(data.data, len));
        else if (data.data[0] == 'Q')
                peer_query(peers, conn, (const char *)data.data + 5);
        else if (data.data[0] == 'X')
                leat_net_conn_close(conn);
        if (len < data.len && !leat_net_conn_closing(conn))
                return len +
                       peer_pg_data(conn, leat_net_conn_user(conn), leat_view_of(data.data + len, data.len - len));
        return leat_net_conn_closing(conn) ? data.len : len;
}

static inline void peer_gone(struct leat_net_conn *conn, void *user, const struct leat_error *reason)
{
        struct peers *peers = (struct peers *)((uintptr_t)user & ~(uintptr_t)1);
        (void)reason;
        if (peers->last == conn)
                peers->last = NULL;
}

/* ---- broker ---- */

static inline size_t peer_kafka_data(struct leat_net_conn *conn, void *user, struct leat_view data)
{
        static const uint8_t ANSWER[] = {0, 0, 0, 10, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0};
        (void)user;
        if (data.len < 14)
                return 0;
        leat_net_conn_write_block(conn, NULL, leat_view_of(ANSWER, sizeof(ANSWER)));
        return data.len;
}

static inline struct leat_listener *peer_door(struct peers *peers, const struct leat_net_ops *ops,
                                              struct leat_addr *addr)
{
        struct leat_error err;
        struct leat_listener *listener;
        uint16_t port = addr->port;
        char text[32];
        int fd;
        snprintf(text, sizeof(text), "127.0.0.1:%u", port);
        CHECK_OK(leat_os_addr_parse(text, addr, &err), &err);
        CHECK_OK(leat_os_listen(addr, 128, &fd, &addr->port, &err), &err);
        CHECK_OK(leat_listener_open(&peers->loop, 1, fd, ops, NULL, peers, &listener, &err), &err);
        return listener;
}

/* With peers->pg.port set, takes that port again. */
static inline void peers_start(struct peers *peers, const struct peer_script *scripts, int script_count)
{
        static const struct leat_net_ops PG = {.on_data = peer_pg_data, .on_close = peer_gone};
        static const struct leat_net_ops KAFKA = {.on_data = peer_kafka_data};
        struct leat_error err;
        peers->scripts = scripts;
        peers->script_count = script_count;
        CHECK_OK(leat_loop_new("peers", &peers->loop, &err), &err);
        peers->pg_door = peer_door(peers, &PG, &peers->pg);
        peers->kafka_door = peer_door(peers, &KAFKA, &peers->kafka);
        CHECK_OK(leat_loop_spawn(peers->loop, &err), &err);
}

static inline void peers_stop(struct peers *peers)
{
        leat_loop_join(peers->loop);
        leat_listener_close(peers->pg_door);
        leat_listener_close(peers->kafka_door);
        leat_loop_free(peers->loop);
        peers->loop = NULL;
}

/* Sends a line of the running COPY from the peers' thread. */
struct peer_line {
        struct peers *peers;
        const char *line;
        _Atomic bool done;
};

static inline void peer_line_post(void *arg)
{
        struct peer_line *line = arg;
        struct leat_buf out = LEAT_BUF_INIT;
        CHECK(line->peers->last != NULL);
        msg_copy(&out, line->line);
        leat_net_conn_write_buf(line->peers->last, &out);
        atomic_store(&line->done, true);
}

static inline void peers_copy(struct peers *peers, const char *text)
{
        struct peer_line line = {.peers = peers, .line = text};
        leat_loop_post_wait(peers->loop, peer_line_post, &line);
        while (!atomic_load(&line.done))
                leat_os_sleep_us(100);
}

#endif
