/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of connections, against blocking sockets in the test's own thread. */
#include "net_int.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "leat/test.h"

/* How long a test waits for what must come at once: a busy machine is no reason to fail. */
#define PATIENCE_MS (60 * 1000)

/* A server in a thread: messages are a length byte and that many bytes, and
 * come back the same. */
struct server {
        struct leat_loop *loops[2];
        struct leat_listener *listener;
        struct leat_addr addr;
        _Atomic int opened, closed, drained, last_code;
        _Atomic int loops_used; /* bit per loop */
        struct leat_net_opts opts;
        bool pause_once;
};

static void echo_open(struct leat_net_conn *conn, void *user)
{
        struct server *server = user;
        atomic_fetch_add(&server->opened, 1);
        atomic_fetch_or(&server->loops_used, leat_net_conn_loop(conn) == server->loops[0] ? 1 : 2);
}

static void resume_post(void *arg)
{
        leat_net_conn_resume(arg);
}

static size_t echo_data(struct leat_net_conn *conn, void *user, struct leat_view data)
{
        struct server *server = user;
        size_t at = 0;
        while (at < data.len && at + 1 + data.data[at] <= data.len) {
                size_t len = 1 + (size_t)data.data[at];
                if (len == 1 + (size_t)'!') { /* a message of 33: close after this answer */
                        leat_net_conn_write_block(conn, leat_net_conn_block(conn), leat_view_of(data.data + at, len));
                        leat_net_conn_finish(conn);
                        return at + len;
                }
                leat_net_conn_write_block(conn, leat_net_conn_block(conn), leat_view_of(data.data + at, len));
                at += len;
                if (server->pause_once) {
                        server->pause_once = false;
                        leat_net_conn_pause(conn);
                        CHECK(leat_loop_post(leat_net_conn_loop(conn), resume_post, conn));
                        break;
                }
        }
        if (at < data.len)
                leat_net_conn_want(conn, 1 + (size_t)data.data[at]);
        return at;
}

static void echo_drain(struct leat_net_conn *conn, void *user)
{
        (void)conn;
        atomic_fetch_add(&((struct server *)user)->drained, 1);
}

static void echo_close(struct leat_net_conn *conn, void *user, const struct leat_error *reason)
{
        struct server *server = user;
        (void)conn;
        atomic_store(&server->last_code, reason->code);
        atomic_fetch_add(&server->closed, 1);
}

static const struct leat_net_ops ECHO_OPS = {
        .on_open = echo_open, .on_data = echo_data, .on_drain = echo_drain, .on_close = echo_close};

static void server_start(struct server *server, int loop_count, const struct leat_net_ops *ops)
{
        struct leat_error err;
        int fd;
        CHECK_OK(leat_os_addr_parse("127.0.0.1:0", &server->addr, &err), &err);
        CHECK_OK(leat_os_listen(&server->addr, 512, &fd, &server->addr.port, &err), &err);
        for (int i = 0; i < loop_count; i++)
                CHECK_OK(leat_loop_new("echo", &server->loops[i], &err), &err);
        CHECK_OK(leat_listener_open(server->loops, loop_count, fd, ops, &server->opts, server, &server->listener, &err),
                 &err);
        for (int i = 0; i < loop_count; i++)
                CHECK_OK(leat_loop_spawn(server->loops[i], &err), &err);
}

static void server_stop(struct server *server)
{
        for (int i = 0; i < 2; i++) {
                if (server->loops[i])
                        leat_loop_join(server->loops[i]);
        }
        leat_listener_close(server->listener);
        for (int i = 1; i >= 0; i--)
                leat_loop_free(server->loops[i]);
        CHECK_INT(server->closed, server->opened);
}

static int dial(const struct server *server)
{
        struct leat_error err;
        int fd;
        CHECK_OK(leat_os_connect(&server->addr, 5 * 1000 * 1000, &fd, &err), &err);
        return fd;
}

static void send_all(int fd, const void *data, size_t bytes)
{
        const uint8_t *at = data;
        while (bytes > 0) {
                ssize_t sent = send(fd, at, bytes, MSG_NOSIGNAL);
                CHECK(sent > 0);
                at += sent;
                bytes -= (size_t)sent;
        }
}

/* True when all @bytes came; false at the end of the stream. */
static bool recv_all(int fd, void *data, size_t bytes)
{
        uint8_t *at = data;
        while (bytes > 0) {
                struct pollfd ready = {.fd = fd, .events = POLLIN};
                CHECK(poll(&ready, 1, PATIENCE_MS) > 0);
                ssize_t got = recv(fd, at, bytes, 0);
                if (got <= 0)
                        return false;
                at += got;
                bytes -= (size_t)got;
        }
        return true;
}

static void wait_for(_Atomic int *value, int want)
{
        for (int i = 0; i < PATIENCE_MS && atomic_load(value) < want; i++)
                leat_os_sleep_us(1000);
        CHECK_INT(atomic_load(value), want);
}

LEAT_TEST(net_echo_whole_split_and_many)
{
        struct server server = {.opts = {0}};
        server_start(&server, 2, &ECHO_OPS);
        int fds[4];
        for (int i = 0; i < 4; i++)
                fds[i] = dial(&server);
        uint8_t out[3000], in[3000];
        for (size_t i = 0; i < sizeof(out); i++)
                out[i] = i % 30 == 0 ? 29 : (uint8_t)i;
        for (int i = 0; i < 4; i++) {
                for (size_t at = 0; at < sizeof(out); at += 7) /* cuts every message */
                        send_all(fds[i], out + at, LEAT_MIN((size_t)7, sizeof(out) - at));
                CHECK(recv_all(fds[i], in, sizeof(in)));
                CHECK(memcmp(in, out, sizeof(in)) == 0);
                send_all(fds[i], out, sizeof(out)); /* all at once */
                CHECK(recv_all(fds[i], in, sizeof(in)));
                CHECK(memcmp(in, out, sizeof(in)) == 0);
        }
        CHECK_INT(leat_listener_count(server.listener), 4);
        CHECK_INT(server.loops_used, 3);
        for (int i = 0; i < 4; i++)
                close(fds[i]);
        wait_for(&server.closed, 4);
        CHECK_INT(server.last_code, LEAT_ECLOSED);
        server_stop(&server);
}

LEAT_TEST(net_finish_sends_what_is_queued_then_ends)
{
        struct server server = {.opts = {0}};
        server_start(&server, 1, &ECHO_OPS);
        int fd = dial(&server);
        static uint8_t out[300 * 1000] = {33}; /* more than one read: the rest is unread when the server ends it */
        uint8_t in[34];
        send_all(fd, out, sizeof(out));
        leat_os_sleep_us(20 * 1000);
        CHECK(recv_all(fd, in, sizeof(in)));
        CHECK_INT(recv(fd, in, 1, 0), 0); /* the end, and no reset */
        close(fd);
        wait_for(&server.closed, 1);
        CHECK_INT(server.last_code, 0);
        server_stop(&server);
}

LEAT_TEST(net_resume_delivers_what_is_left)
{
        struct server server = {.pause_once = true};
        server_start(&server, 1, &ECHO_OPS);
        int fd = dial(&server);
        uint8_t out[] = {1, 'a', 2, 'b', 'c'}, in[sizeof(out)];
        send_all(fd, out, sizeof(out));
        CHECK(recv_all(fd, in, sizeof(in)));
        CHECK(memcmp(in, out, sizeof(in)) == 0);
        close(fd);
        server_stop(&server);
}

/* Each of the three limits alone, the others are far away: so it does not matter how long anything takes. */
LEAT_TEST(net_slow_peers_are_cut)
{
        const int64_t ms = 1000, never = 600 * 1000 * ms;
        struct server first = {.opts = {.first_us = 100 * ms, .message_us = never, .idle_us = never}},
                      message = {.opts = {.first_us = never, .message_us = 200 * ms, .idle_us = never}},
                      idle = {.opts = {.first_us = never, .message_us = never, .idle_us = 200 * ms}};
        uint8_t byte = 255, out[] = {1, 'x'}, in[2];

        server_start(&first, 1, &ECHO_OPS);
        int64_t from_us = leat_os_monotonic_us();
        int fd = dial(&first);
        CHECK(!recv_all(fd, in, 1));
        CHECK(leat_os_monotonic_us() - from_us >= 99 * ms);
        wait_for(&first.closed, 1);
        CHECK_INT(first.last_code, LEAT_ETIMEOUT);
        close(fd);
        server_stop(&first);

        /* A byte now and then does not help. */
        server_start(&message, 1, &ECHO_OPS);
        from_us = leat_os_monotonic_us();
        fd = dial(&message);
        int sent = 0;
        while (sent < 200 && send(fd, &byte, 1, MSG_NOSIGNAL) == 1) {
                sent++;
                leat_os_sleep_us(50 * ms);
        }
        CHECK(sent < 200);
        CHECK(leat_os_monotonic_us() - from_us >= 199 * ms);
        wait_for(&message.closed, 1);
        CHECK_INT(message.last_code, LEAT_ETIMEOUT);
        close(fd);
        server_stop(&message);

        server_start(&idle, 1, &ECHO_OPS);
        from_us = leat_os_monotonic_us();
        fd = dial(&idle);
        send_all(fd, out, 2);
        CHECK(recv_all(fd, in, 2));
        CHECK(!recv_all(fd, in, 1));
        CHECK(leat_os_monotonic_us() - from_us >= 199 * ms);
        wait_for(&idle.closed, 1);
        CHECK_INT(idle.last_code, LEAT_ETIMEOUT);
        close(fd);
        server_stop(&idle);
}

LEAT_TEST(net_too_many_are_told)
{
        struct server server = {.opts = {.conns_max = 2, .refuse = leat_view_str("full")}};
        server_start(&server, 1, &ECHO_OPS);
        int a = dial(&server), b = dial(&server), c = dial(&server);
        char in[5] = "";
        CHECK(recv_all(c, in, 4));
        CHECK_STR(in, "full");
        CHECK(!recv_all(c, in, 1));
        CHECK_INT(leat_listener_refused(server.listener), 1);
        close(a);
        wait_for(&server.closed, 1);
        int d = dial(&server); /* room again */
        uint8_t out[] = {1, 'x'};
        send_all(d, out, 2);
        CHECK(recv_all(d, in, 2));
        close(b);
        close(c);
        close(d);
        server_stop(&server);
}

LEAT_TEST(net_out_of_descriptors_heals)
{
        struct server server = {.opts = {0}};
        server_start(&server, 1, &ECHO_OPS);
        int fd = dial(&server), next = dup(fd);
        struct rlimit old, tight;
        CHECK_INT(getrlimit(RLIMIT_NOFILE, &old), 0);
        wait_for(&server.opened, 1);
        int queued = socket(AF_INET, SOCK_STREAM, 0);
        tight = old;
        tight.rlim_cur = (rlim_t)next + 1;
        CHECK_INT(setrlimit(RLIMIT_NOFILE, &tight), 0);
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(server.addr.port)};
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        CHECK_INT(connect(queued, (struct sockaddr *)&to, sizeof(to)), 0);
        struct rusage before, after;
        getrusage(RUSAGE_SELF, &before);
        leat_os_sleep_us(300 * 1000);
        getrusage(RUSAGE_SELF, &after);
        CHECK_INT(server.opened, 1);
        int64_t cpu_us =
                (after.ru_utime.tv_sec - before.ru_utime.tv_sec + after.ru_stime.tv_sec - before.ru_stime.tv_sec) *
                        1000000 +
                after.ru_utime.tv_usec - before.ru_utime.tv_usec + after.ru_stime.tv_usec - before.ru_stime.tv_usec;
        CHECK(cpu_us < 50 * 1000); /* did not spin */
        CHECK_INT(setrlimit(RLIMIT_NOFILE, &old), 0);
        wait_for(&server.opened, 2);
        close(queued);
        close(next);
        close(fd);
        server_stop(&server);
}

/* ---- bytes that are kept ---- */

#define KEPT_MAX 4096

struct keeper {
        struct server server;
        struct leat_block *blocks[KEPT_MAX];
        struct leat_view views[KEPT_MAX];
        _Atomic int count;
};

/* As echo, but keeps every message instead of answering. */
static size_t keep_data(struct leat_net_conn *conn, void *user, struct leat_view data)
{
        struct keeper *keeper = user;
        size_t at = 0;
        while (at < data.len && at + 1 + data.data[at] <= data.len) {
                int i = atomic_load(&keeper->count);
                CHECK(i < KEPT_MAX);
                keeper->blocks[i] = leat_block_ref(leat_net_conn_block(conn));
                keeper->views[i] = leat_view_of(data.data + at, 1 + (size_t)data.data[at]);
                at += keeper->views[i].len;
                atomic_store(&keeper->count, i + 1);
        }
        return at;
}

LEAT_TEST(net_bytes_that_are_kept_never_change)
{
        static const struct leat_net_ops ops = {.on_open = echo_open, .on_data = keep_data, .on_close = echo_close};
        static struct keeper keeper;
        static uint8_t out[KEPT_MAX * 256];
        uint64_t random = leat_test_seed();
        size_t len = 0;
        server_start(&keeper.server, 1, &ops);
        int fd = dial(&keeper.server);
        for (int i = 0; i < KEPT_MAX; i++) {
                random = leat_hash_mix(random, (uint64_t)i);
                out[len] = (uint8_t)random;
                memset(out + len + 1, i, out[len]);
                len += 1 + (size_t)out[len];
        }
        for (size_t at = 0; at < len;) {
                random = leat_hash_mix(random, at);
                size_t piece = LEAT_MIN((size_t)(random % 9000) + 1, len - at);
                if (at < 4000) { /* at first one whole message at a time */
                        piece = 1 + (size_t)out[at];
                        leat_os_sleep_us(500);
                }
                send_all(fd, out + at, piece);
                at += piece;
                if (random % 16 == 0)
                        leat_os_sleep_us(500);
        }
        wait_for(&keeper.count, KEPT_MAX);
        close(fd);
        server_stop(&keeper.server);
        size_t at = 0;
        for (int i = 0; i < KEPT_MAX; i++) {
                CHECK(leat_view_eq(keeper.views[i], leat_view_of(out + at, 1 + (size_t)out[at])));
                at += keeper.views[i].len;
                leat_block_unref(keeper.blocks[i]);
        }
}

/* ---- failing system calls ---- */

static _Atomic int calls;

/* Every other call is interrupted or not ready, the rest move a few bytes. */
static ssize_t recv_badly(int fd, void *data, size_t bytes, int flags)
{
        int call = atomic_fetch_add(&calls, 1);
        if (call % 3 != 0) {
                errno = call % 3 == 1 ? EINTR : EAGAIN;
                return -1;
        }
        return leat_os_system.recv(fd, data, LEAT_MIN(bytes, (size_t)5), flags);
}

static ssize_t sendmsg_badly(int fd, const struct msghdr *message, int flags)
{
        int call = atomic_fetch_add(&calls, 1);
        if (call % 3 != 0) {
                errno = call % 3 == 1 ? EINTR : EAGAIN;
                return -1;
        }
        struct iovec part = message->msg_iov[0];
        part.iov_len = LEAT_MIN(part.iov_len, (size_t)3);
        struct msghdr less = {.msg_iov = &part, .msg_iovlen = 1};
        return leat_os_system.sendmsg(fd, &less, flags);
}

static int accept_badly(int fd, struct sockaddr *addr, unsigned *len, int flags)
{
        static const int errors[] = {EINTR, ECONNABORTED, EMFILE, ENOBUFS};
        unsigned call = (unsigned)atomic_fetch_add(&calls, 1);
        if (call < LEAT_ARRAY_LEN(errors)) {
                errno = errors[call];
                return -1;
        }
        return leat_os_system.accept4(fd, addr, len, flags);
}

static ssize_t sendmsg_broken(int fd, const struct msghdr *message, int flags)
{
        (void)fd;
        (void)message;
        (void)flags;
        errno = EIO;
        return -1;
}

/* Replaces the table on the server's thread, so that it is not reading it. */
struct table_change {
        struct leat_os_table table;
        _Atomic bool done;
};

static void table_post(void *arg)
{
        struct table_change *change = arg;
        leat_os = change->table;
        atomic_store(&change->done, true);
}

static void table_use(const struct server *server, struct leat_os_table table)
{
        struct table_change change = {.table = table};
        leat_loop_post_wait(server->loops[0], table_post, &change);
        while (!atomic_load(&change.done))
                sched_yield();
}

LEAT_TEST(net_short_and_interrupted_calls)
{
        struct leat_os_table table = leat_os_system;
        struct server server = {.opts = {0}};
        uint8_t out[300], in[300];
        for (size_t i = 0; i < sizeof(out); i++)
                out[i] = i % 30 == 0 ? 29 : (uint8_t)i;
        atomic_store(&calls, 0);
        leat_os.accept4 = accept_badly;
        server_start(&server, 1, &ECHO_OPS);
        int fd = dial(&server);
        wait_for(&server.opened, 1);
        table.recv = recv_badly;
        table.sendmsg = sendmsg_badly;
        table_use(&server, table);
        send_all(fd, out, sizeof(out)); /* this side calls the system itself */
        CHECK(recv_all(fd, in, sizeof(in)));
        CHECK(memcmp(in, out, sizeof(in)) == 0);
        table.recv = leat_os_system.recv;
        table.sendmsg = sendmsg_broken;
        table_use(&server, table);
        send_all(fd, out, 30);
        CHECK(!recv_all(fd, in, 1));
        wait_for(&server.closed, 1);
        CHECK_INT(server.last_code, LEAT_EIO);
        close(fd);
        server_stop(&server);
        leat_os = leat_os_system;
}

/* ---- a large message, back-pressure ---- */

struct sink {
        struct server server; /* first: ECHO_OPS's functions take it */
        struct leat_block *kept;
        size_t got;
};

#define BIG ((size_t)5 * 1024 * 1024)

static size_t big_data(struct leat_net_conn *conn, void *user, struct leat_view data)
{
        struct sink *sink = user;
        if (data.len < BIG) {
                leat_net_conn_want(conn, BIG);
                return 0;
        }
        sink->kept = leat_block_ref(leat_net_conn_block(conn));
        sink->got = data.len;
        for (int i = 0; i < 8; i++) /* 40 MB against a peer that sleeps */
                leat_net_conn_write_block(conn, sink->kept, leat_view_of(data.data, BIG));
        CHECK(leat_net_conn_queued(conn) >= 8 * BIG);
        return BIG;
}

LEAT_TEST(net_large_message_and_back_pressure)
{
        static const struct leat_net_ops ops = {
                .on_open = echo_open, .on_data = big_data, .on_drain = echo_drain, .on_close = echo_close};
        struct sink sink = {.server = {.opts = {.read_max = BIG, .drain_bytes = BIG}}};
        server_start(&sink.server, 1, &ops);
        int fd = dial(&sink.server);
        uint8_t *out = leat_malloc(BIG), *in = leat_malloc(BIG);
        for (size_t i = 0; i < BIG; i++)
                out[i] = (uint8_t)(i * 31 >> 3);
        send_all(fd, out, BIG);
        leat_os_sleep_us(50 * 1000);
        CHECK_INT(sink.server.drained, 0);
        for (int i = 0; i < 8; i++) {
                CHECK(recv_all(fd, in, BIG));
                CHECK(memcmp(in, out, BIG) == 0);
        }
        wait_for(&sink.server.drained, 1);
        CHECK_INT(sink.got, BIG);
        send_all(fd, out, 100);
        close(fd);
        server_stop(&sink.server);
        CHECK(memcmp(sink.kept->data, out, BIG) == 0); /* still ours */
        leat_block_unref(sink.kept);
        free(out);
        free(in);
}

LEAT_TEST(net_message_over_the_limit_is_refused)
{
        static const struct leat_net_ops ops = {.on_open = echo_open, .on_data = big_data, .on_close = echo_close};
        struct sink sink = {.server = {.opts = {.read_max = 64 * 1024}}};
        server_start(&sink.server, 1, &ops);
        int fd = dial(&sink.server);
        send_all(fd, "x", 1);
        wait_for(&sink.server.closed, 1);
        CHECK_INT(sink.server.last_code, LEAT_ETOOBIG);
        close(fd);
        server_stop(&sink.server);
}

/* ---- outgoing ---- */

struct client {
        struct leat_loop *loop;
        struct leat_net_conn *conn;
        int opened, code;
        struct leat_buf got;
};

static void client_open(struct leat_net_conn *conn, void *user)
{
        (void)conn;
        ((struct client *)user)->opened++;
}

static size_t client_data(struct leat_net_conn *conn, void *user, struct leat_view data)
{
        struct client *client = user;
        leat_buf_add_view(&client->got, data);
        if (client->got.len == 3)
                leat_net_conn_close(conn);
        return data.len;
}

static void client_close(struct leat_net_conn *conn, void *user, const struct leat_error *reason)
{
        struct client *client = user;
        (void)conn;
        client->code = reason->code;
        leat_loop_stop(client->loop);
}

static const struct leat_net_ops CLIENT = {.on_open = client_open, .on_data = client_data, .on_close = client_close};

LEAT_TEST(net_connect_writes_before_it_is_there)
{
        struct leat_error err;
        struct server server = {.opts = {0}};
        server_start(&server, 1, &ECHO_OPS);
        struct client client = {.code = -1};
        CHECK_OK(leat_loop_new("client", &client.loop, &err), &err);
        CHECK_OK(leat_net_connect(client.loop, &server.addr, 1000000, &CLIENT, NULL, &client, &client.conn, &err),
                 &err);
        struct leat_buf buf = LEAT_BUF_INIT;
        leat_buf_add(&buf, "\002ok", 3);
        leat_net_conn_write_buf(client.conn, &buf);
        leat_loop_run(client.loop);
        CHECK_INT(client.opened, 1);
        CHECK_INT(client.code, 0);
        CHECK(memcmp(client.got.data, "\002ok", 3) == 0);
        leat_buf_done(&client.got);
        leat_loop_free(client.loop);
        server_stop(&server);
}

LEAT_TEST(net_connect_refused_is_told)
{
        struct leat_error err;
        struct server server = {.opts = {0}};
        int fd;
        CHECK_OK(leat_os_addr_parse("127.0.0.1:0", &server.addr, &err), &err);
        CHECK_OK(leat_os_listen(&server.addr, 1, &fd, &server.addr.port, &err), &err);
        leat_os_close(fd); /* nobody listens there now */
        struct client client = {.code = -1};
        CHECK_OK(leat_loop_new("client", &client.loop, &err), &err);
        CHECK_OK(leat_net_connect(client.loop, &server.addr, 1000000, &CLIENT, NULL, &client, &client.conn, &err),
                 &err);
        leat_loop_run(client.loop);
        CHECK_INT(client.opened, 0);
        CHECK_INT(client.code, LEAT_EIO);
        leat_loop_free(client.loop);
}
