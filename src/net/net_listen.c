/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/net: accepting and connecting.
 *
 * One loop accepts for all: a listening socket that several loops poll wakes
 * them all for one connection, and accepting is cheap. The accepted socket
 * crosses to its loop as a post; when that queue is full the accepting loop
 * keeps it, so no accepted connection is lost.
 *
 * Limits  Over conns_max a connection is accepted, told why (opts.refuse) and
 *         closed: it must not sit in the backlog where the client waits for
 *         nothing. Out of descriptors the listener rests for 100 ms, since the
 *         pending connection keeps the socket readable.
 */
#include "net_int.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>

#define ACCEPTS_A_TURN 64
#define RETRY_MS 100
#define READ_BYTES_MAX ((size_t)1024 * 1024)
#define QUEUE_BYTES_MAX ((size_t)256 * 1024 * 1024)

/* An accepted socket on its way to its loop. */
struct handover {
        struct leat_listener *listener;
        struct leat_loop *loop;
        union net_addr peer;
        int fd;
};

void leat_net_opts_fill(struct leat_net_opts *opts)
{
        if (opts->conns_max == 0)
                opts->conns_max = (int)leat_param(LEAT_P_NET_CONNECTIONS);
        if (opts->read_max == 0)
                opts->read_max = READ_BYTES_MAX;
        if (opts->queue_max == 0)
                opts->queue_max = QUEUE_BYTES_MAX;
        if (opts->drain_bytes == 0)
                opts->drain_bytes = 1;
}

void leat_net_addr_text(const union net_addr *addr, char out[72])
{
        char host[INET6_ADDRSTRLEN] = "?";
        if (addr->any.sa_family == AF_INET6) {
                inet_ntop(AF_INET6, &addr->v6.sin6_addr, host, sizeof(host));
                snprintf(out, 72, "[%s]:%u", host, ntohs(addr->v6.sin6_port));
        } else {
                inet_ntop(AF_INET, &addr->v4.sin_addr, host, sizeof(host));
                snprintf(out, 72, "%s:%u", host, ntohs(addr->v4.sin_port));
        }
}

static void no_delay(int fd)
{
        int on = 1;
        /* Answers are gathered by the turn already; a failure costs only latency. */
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

/* ---- accepting ---- */

void leat_listener_unref(struct leat_listener *listener)
{
        if (atomic_fetch_sub(&listener->refs, 1) > 1)
                return;
        free(listener->loops);
        free(listener);
}

static void conn_start(const struct handover *hand)
{
        struct leat_listener *listener = hand->listener;
        struct leat_net_conn *conn = leat_net_conn_new(hand->loop, hand->fd, &hand->peer, listener->ops,
                                                       &listener->opts, listener->arg, CONN_OPEN);
        if (!conn) {
                atomic_fetch_sub(&listener->count, 1);
                leat_listener_unref(listener);
                return;
        }
        conn->listener = listener;
        if (conn->ops->on_open)
                conn->ops->on_open(conn, conn->user);
        leat_net_conn_poll(conn);
}

static void handover_post(void *arg)
{
        conn_start(arg);
        free(arg);
}

static void hand_over(struct leat_listener *listener, int fd, const union net_addr *peer)
{
        struct handover hand = {.listener = listener, .loop = listener->loops[0], .peer = *peer, .fd = fd};
        struct leat_loop *to = listener->loops[listener->next_loop];
        listener->next_loop = (listener->next_loop + 1) % listener->loop_count;
        if (to != listener->loops[0]) {
                struct handover *post = leat_malloc(sizeof(*post));
                *post = hand;
                post->loop = to;
                if (leat_loop_post(to, handover_post, post))
                        return;
                free(post);
        }
        conn_start(&hand);
}

static void refuse(struct leat_listener *listener, int fd)
{
        atomic_fetch_add(&listener->refused, 1);
        leat_diag(LEAT_DIAG_WARN, "net", "connection refused: too many", "limit=%d", listener->opts.conns_max);
        if (listener->opts.refuse.len > 0)
                (void)leat_os_send(fd, listener->opts.refuse.data, listener->opts.refuse.len);
        leat_os_close(fd);
}

static void listen_cb(uv_poll_t *poll, int status, int events);

static void retry_cb(uv_timer_t *timer)
{
        struct leat_listener *listener = timer->data;
        uv_poll_start(&listener->poll, UV_READABLE, listen_cb);
}

/* Accepts one connection; false when there is none (now). */
static bool accept_one(struct leat_listener *listener)
{
        union net_addr peer = {0};
        socklen_t len = sizeof(peer);
        int fd = leat_os_accept(listener->fd, &peer.any, &len);
        if (fd < 0) {
                if (errno == EINTR || errno == ECONNABORTED)
                        return true;
                if (errno != EAGAIN && errno != EWOULDBLOCK) {
                        leat_diag(LEAT_DIAG_WARN, "net", "cannot accept connections, trying again", "error=\"%s\"",
                                  strerror(errno));
                        uv_poll_stop(&listener->poll);
                        uv_timer_start(&listener->retry, retry_cb, RETRY_MS, 0);
                }
                return false;
        }
        if (atomic_load(&listener->count) >= listener->opts.conns_max) {
                refuse(listener, fd);
                return true;
        }
        no_delay(fd);
        atomic_fetch_add(&listener->count, 1);
        atomic_fetch_add(&listener->refs, 1);
        hand_over(listener, fd, &peer);
        return true;
}

static void listen_cb(uv_poll_t *poll, int status, int events)
{
        struct leat_listener *listener = poll->data;
        (void)status;
        (void)events;
        for (int i = 0; i < ACCEPTS_A_TURN && !listener->is_closed; i++) {
                if (!accept_one(listener))
                        return;
        }
}

int leat_listener_open(struct leat_loop *const loops[], int loop_count, int fd, const struct leat_net_ops *ops,
                       const struct leat_net_opts *opts, void *arg, struct leat_listener **ret_listener,
                       struct leat_error *err)
{
        ASSERT_LOOP(loops[0]);
        LEAT_ASSERT(loop_count > 0 && ops->on_data);
        struct leat_listener *listener = leat_calloc(1, sizeof(*listener));
        int rc = uv_poll_init(&loops[0]->uv, &listener->poll, fd);
        if (rc != 0) {
                leat_os_close(fd);
                free(listener);
                return leat_error_sys(err, -rc, "cannot watch the listening socket");
        }
        uv_timer_init(&loops[0]->uv, &listener->retry);
        listener->poll.data = listener;
        listener->retry.data = listener;
        listener->loops = leat_malloc((size_t)loop_count * sizeof(loops[0]));
        memcpy(listener->loops, loops, (size_t)loop_count * sizeof(loops[0]));
        listener->loop_count = loop_count;
        listener->fd = fd;
        listener->ops = ops;
        if (opts)
                listener->opts = *opts;
        leat_net_opts_fill(&listener->opts);
        listener->arg = arg;
        atomic_init(&listener->refs, 1);
        uv_poll_start(&listener->poll, UV_READABLE, listen_cb);
        *ret_listener = listener;
        return 0;
}

static void listener_closed_cb(uv_handle_t *handle)
{
        struct leat_listener *listener = handle->data;
        if (--listener->open_handles == 0)
                leat_listener_unref(listener);
}

void leat_listener_close(struct leat_listener *listener)
{
        if (!listener || listener->is_closed)
                return;
        ASSERT_LOOP(listener->loops[0]);
        listener->is_closed = true;
        listener->open_handles = 2;
        uv_close((uv_handle_t *)&listener->poll, listener_closed_cb);
        uv_close((uv_handle_t *)&listener->retry, listener_closed_cb);
        leat_os_close(listener->fd);
}

int leat_listener_count(const struct leat_listener *listener)
{
        return atomic_load(&listener->count);
}

uint64_t leat_listener_refused(const struct leat_listener *listener)
{
        return atomic_load(&listener->refused);
}

/* ---- connecting ---- */

static int addr_fill(const struct leat_addr *addr, union net_addr *ret_addr, socklen_t *ret_len)
{
        memset(ret_addr, 0, sizeof(*ret_addr));
        const char *host = strcmp(addr->host, "localhost") == 0 ? "127.0.0.1" : addr->host;
        if (inet_pton(AF_INET, host, &ret_addr->v4.sin_addr) == 1) {
                ret_addr->v4.sin_family = AF_INET;
                ret_addr->v4.sin_port = htons(addr->port);
                *ret_len = sizeof(ret_addr->v4);
                return 0;
        }
        if (inet_pton(AF_INET6, host, &ret_addr->v6.sin6_addr) == 1) {
                ret_addr->v6.sin6_family = AF_INET6;
                ret_addr->v6.sin6_port = htons(addr->port);
                *ret_len = sizeof(ret_addr->v6);
                return 0;
        }
        return -1;
}

int leat_net_connect(struct leat_loop *loop, const struct leat_addr *addr, int64_t timeout_us,
                     const struct leat_net_ops *ops, const struct leat_net_opts *opts, void *arg,
                     struct leat_net_conn **ret_conn, struct leat_error *err)
{
        ASSERT_LOOP(loop);
        LEAT_ASSERT(ops->on_data);
        union net_addr peer;
        socklen_t len;
        if (addr_fill(addr, &peer, &len) != 0)
                return leat_error_set(err, LEAT_EINVAL, "\"%s\" is not a numeric address", addr->host);
        int fd = socket(peer.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return leat_error_sys(err, errno, "cannot make a socket");
        no_delay(fd);
        int os_errno = connect(fd, &peer.any, len) == 0 || errno == EINPROGRESS || errno == EINTR ? 0 : errno;
        struct leat_net_opts *own = leat_calloc(1, sizeof(*own));
        if (opts)
                *own = *opts;
        leat_net_opts_fill(own);
        struct leat_net_conn *conn = leat_net_conn_new(loop, fd, &peer, ops, own, arg, CONN_CONNECTING);
        if (!conn) {
                free(own);
                return leat_error_set(err, LEAT_EIO, "cannot watch a socket");
        }
        conn->own_opts = own;
        if (timeout_us > 0) {
                conn->deadline_us = leat_loop_now_us(loop) + timeout_us;
                leat_loop_sweep_every(loop, timeout_us);
        }
        if (os_errno == 0) {
                leat_net_conn_poll(conn);
        } else { /* refused at once; told by on_close all the same */
                struct leat_error reason;
                (void)leat_error_sys(&reason, os_errno, "cannot connect to %s:%u", addr->host, addr->port);
                leat_net_conn_fail(conn, &reason);
        }
        *ret_conn = conn;
        return 0;
}
