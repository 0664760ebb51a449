/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/net: one connection.
 *
 * libuv only tells when the socket is ready (uv_poll); reading and writing are
 * ours, because a uv_tcp stream wants a buffer per connection, allocates for
 * each write and cannot gather several writes into one.
 *
 * Read    goes into the loop's scratch block. What on_data leaves unused moves
 *         to a block of the connection's own, which grows with what has really
 *         come (a length announced by the peer alone reserves little) and goes
 *         away when it is empty. A block that somebody kept a reference to is
 *         never written below what they can see: it is left to them.
 * Write   the queue is a chain; at the end of each turn as much as the socket
 *         takes goes out with sendmsg, the rest when it is writable again.
 * Close   a handle of libuv dies one turn after uv_close; on_close and the
 *         freeing happen then, so no caller ever loses the connection under its
 *         feet. LINGER: after finish we shut our side and read until the peer
 *         has closed its side too (2 s at most): closing with unread bytes would
 *         make the kernel throw away an answer that the peer has not read.
 */
#include "net_int.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define READ_BYTES_MIN ((size_t)16 * 1024)
#define WANT_TRUST_BYTES ((size_t)1024 * 1024)
#define WRITE_PARTS 128
#define WRITES_A_TURN 4
#define LINGER_US (2 * 1000 * 1000)
#define FINISH_STALL_US (30 * 1000 * 1000) /* a finished connection does not wait for ever */

static void poll_cb(uv_poll_t *poll, int status, int events);

/* ---- life ---- */

static void conn_unlink(struct leat_net_conn *conn)
{
        if (conn->prev)
                conn->prev->next = conn->next;
        else
                conn->loop->conns = conn->next;
        if (conn->next)
                conn->next->prev = conn->prev;
        if (!conn->is_dirty)
                return;
        struct leat_net_conn **at = &conn->loop->dirty;
        while (*at != conn)
                at = &(*at)->next_dirty;
        *at = conn->next_dirty;
}

static void closed_cb(uv_handle_t *handle)
{
        struct leat_net_conn *conn = handle->data;
        static const struct leat_error no_error;
        if (conn->ops->on_close)
                conn->ops->on_close(conn, conn->user, conn->reason ? conn->reason : &no_error);
        conn_unlink(conn);
        if (conn->listener) {
                atomic_fetch_sub(&conn->listener->count, 1);
                leat_listener_unref(conn->listener);
        }
        leat_block_unref(conn->in);
        leat_chain_done(&conn->out);
        free(conn->own_opts);
        free(conn->peer_text);
        free(conn->reason);
        free(conn);
}

static void conn_end(struct leat_net_conn *conn)
{
        if (conn->state == CONN_CLOSED)
                return;
        conn->state = CONN_CLOSED;
        uv_close((uv_handle_t *)&conn->poll, closed_cb); /* stops polling, so the descriptor may go */
        leat_os_close(conn->fd);
        conn->fd = -1;
}

void leat_net_conn_fail(struct leat_net_conn *conn, const struct leat_error *reason)
{
        if (conn->state == CONN_CLOSED)
                return;
        if (!conn->reason) {
                conn->reason = leat_malloc(sizeof(*conn->reason));
                *conn->reason = *reason;
        }
        conn_end(conn);
}

static void conn_fail_sys(struct leat_net_conn *conn, int os_errno, const char *what)
{
        struct leat_error reason;
        if (os_errno == ECONNRESET || os_errno == EPIPE)
                (void)leat_error_set(&reason, LEAT_ECLOSED, "%s closed the connection", leat_net_conn_peer(conn));
        else
                (void)leat_error_sys(&reason, os_errno, "%s %s", what, leat_net_conn_peer(conn));
        leat_net_conn_fail(conn, &reason);
}

static void conn_fail_code(struct leat_net_conn *conn, int code, const char *what)
{
        struct leat_error reason;
        (void)leat_error_set(&reason, code, "%s: %s", leat_net_conn_peer(conn), what);
        leat_net_conn_fail(conn, &reason);
}

struct leat_net_conn *leat_net_conn_new(struct leat_loop *loop, int fd, const union net_addr *peer,
                                        const struct leat_net_ops *ops, const struct leat_net_opts *opts, void *arg,
                                        enum conn_state state)
{
        struct leat_net_conn *conn = leat_calloc(1, sizeof(*conn));
        if (uv_poll_init(&loop->uv, &conn->poll, fd) != 0) {
                leat_os_close(fd);
                free(conn);
                return NULL;
        }
        conn->poll.data = conn;
        conn->loop = loop;
        conn->ops = ops;
        conn->opts = opts;
        conn->user = arg;
        conn->peer = *peer;
        conn->fd = fd;
        conn->state = (uint8_t)state;
        conn->opened_us = conn->active_us = leat_loop_now_us(loop);
        conn->next = loop->conns;
        if (conn->next)
                conn->next->prev = conn;
        loop->conns = conn;
        const int64_t limits[] = {opts->first_us, opts->message_us, opts->idle_us, opts->stall_us};
        for (size_t i = 0; i < LEAT_ARRAY_LEN(limits); i++)
                leat_loop_sweep_every(loop, limits[i]);
        return conn;
}

/* ---- what we wait for ---- */

void leat_net_conn_poll(struct leat_net_conn *conn)
{
        int events = 0;
        switch ((enum conn_state)conn->state) {
        case CONN_CONNECTING:
                events = UV_WRITABLE;
                break;
        case CONN_OPEN:
                if (!conn->is_paused && !conn->is_eof)
                        events |= UV_READABLE;
                break;
        case CONN_FINISHING:
                break;
        case CONN_LINGER:
                events = UV_READABLE;
                break;
        case CONN_CLOSED:
                return;
        }
        if (conn->is_blocked)
                events |= UV_WRITABLE;
        if (events == 0 && !conn->is_eof)
                events = UV_DISCONNECT; /* nothing to wait for, but hear of a reset */
        if (events == conn->events)
                return;
        conn->events = events;
        if (events == 0)
                uv_poll_stop(&conn->poll);
        else
                uv_poll_start(&conn->poll, events, poll_cb);
}

static void conn_mark(struct leat_net_conn *conn)
{
        if (conn->is_dirty)
                return;
        conn->is_dirty = true;
        conn->next_dirty = conn->loop->dirty;
        conn->loop->dirty = conn;
}

/* ---- reading ---- */

static size_t unread(const struct leat_net_conn *conn)
{
        return conn->in ? conn->in_end - conn->in_at : 0;
}

/* Size of a block for @have unread bytes and those to come: the whole message
 * when its length is known and plausible, else twice what is there. */
static size_t in_goal(const struct leat_net_conn *conn, size_t have)
{
        size_t goal = LEAT_MAX(have * 2, have + READ_BYTES_MIN);
        if (conn->want > have)
                goal = LEAT_MIN(conn->want, LEAT_MAX(have * 2, WANT_TRUST_BYTES));
        return LEAT_MIN(LEAT_MAX(goal, READ_BYTES_MIN), LEAT_MAX(conn->opts->read_max, have + 1));
}

/* Keeps @len unread bytes at @data, which may be in the block that goes away. */
static void in_move(struct leat_net_conn *conn, const uint8_t *data, size_t len)
{
        struct leat_block *block = leat_block_new(in_goal(conn, len));
        memcpy(block->data, data, len);
        leat_block_unref(conn->in);
        conn->in = block;
        conn->in_at = 0;
        conn->in_end = len;
}

/* Room for the rest of what is wanted, or for some more. */
static void in_grow(struct leat_net_conn *conn)
{
        size_t have = unread(conn);
        size_t goal = in_goal(conn, have);
        if (conn->in->len - conn->in_end > 0 && conn->in->len - conn->in_at >= goal)
                return;
        bool is_shared = atomic_load_explicit(&conn->in->refs, memory_order_acquire) > 1;
        if (!is_shared && conn->in->len >= goal) {
                memmove(conn->in->data, conn->in->data + conn->in_at, have);
                conn->in_at = 0;
                conn->in_end = have;
        } else {
                in_move(conn, conn->in->data + conn->in_at, have);
        }
}

/* Calls on_data with @data; returns how many bytes it used (all, when the
 * connection has ended in it). */
static size_t call_on_data(struct leat_net_conn *conn, struct leat_block *block, struct leat_view data)
{
        conn->want = 0;
        conn->now = block;
        size_t used = conn->ops->on_data(conn, conn->user, data);
        conn->now = NULL;
        LEAT_ASSERT(used <= data.len);
        if (conn->state != CONN_OPEN)
                return data.len;
        size_t left = data.len - used;
        if (left == 0)
                conn->message_us = 0;
        else if (used > 0 || conn->message_us == 0)
                conn->message_us = leat_loop_now_us(conn->loop);
        if (left >= conn->opts->read_max || conn->want > conn->opts->read_max)
                conn_fail_code(conn, LEAT_ETOOBIG, "a message is larger than allowed");
        return used;
}

static void deliver_own(struct leat_net_conn *conn)
{
        size_t len = unread(conn);
        if (len == 0 || len < conn->want || conn->is_paused)
                return;
        conn->in_at += call_on_data(conn, conn->in, leat_view_of(conn->in->data + conn->in_at, len));
        if (conn->in_at == conn->in_end) {
                leat_block_unref(conn->in);
                conn->in = NULL;
        }
}

static void deliver_scratch(struct leat_net_conn *conn, size_t len)
{
        struct leat_loop *loop = conn->loop;
        struct leat_block *scratch = loop->scratch;
        size_t used = 0;
        if (len >= conn->want)
                used = call_on_data(conn, scratch, leat_view_of(scratch->data, len));
        if (used < len)
                in_move(conn, scratch->data + used, len - used);
        if (atomic_load_explicit(&scratch->refs, memory_order_acquire) > 1) { /* somebody keeps it */
                leat_block_unref(scratch);
                loop->scratch = leat_block_new(NET_SCRATCH_BYTES);
        }
}

static void conn_eof(struct leat_net_conn *conn)
{
        conn->is_eof = true;
        if (conn->ops->on_eof) {
                conn->ops->on_eof(conn, conn->user);
        } else if (conn->state == CONN_OPEN) {
                if (!conn->reason) {
                        conn->reason = leat_malloc(sizeof(*conn->reason));
                        (void)leat_error_set(conn->reason, LEAT_ECLOSED, "%s closed the connection",
                                             leat_net_conn_peer(conn));
                }
                leat_net_conn_finish(conn);
        }
        leat_net_conn_poll(conn);
}

static void conn_read(struct leat_net_conn *conn)
{
        uint8_t *at = conn->loop->scratch->data;
        size_t room = NET_SCRATCH_BYTES;
        if (conn->in) {
                in_grow(conn);
                at = conn->in->data + conn->in_end;
                room = conn->in->len - conn->in_end;
        }
        ssize_t got = leat_os_recv(conn->fd, at, room);
        if (got < 0) {
                if (errno != EAGAIN && errno != EWOULDBLOCK)
                        conn_fail_sys(conn, errno, "cannot read from");
                return;
        }
        if (got == 0) {
                conn_eof(conn);
                return;
        }
        conn->got_first = true;
        conn->active_us = leat_loop_now_us(conn->loop);
        if (conn->in) {
                conn->in_end += (size_t)got;
                deliver_own(conn);
        } else {
                deliver_scratch(conn, (size_t)got);
        }
}

/* ---- writing ---- */

static void queue_take(struct leat_net_conn *conn, size_t bytes)
{
        conn->queued -= bytes;
        while (bytes > 0) {
                struct leat_slice *slice = &conn->out.slices[conn->out_head];
                size_t left = slice->view.len - conn->out_at;
                if (bytes < left) {
                        conn->out_at += bytes;
                        break;
                }
                bytes -= left;
                leat_block_unref(slice->block);
                slice->block = NULL;
                conn->out_at = 0;
                conn->out_head++;
        }
        if (conn->queued == 0) {
                leat_chain_done(&conn->out); /* an idle connection holds nothing */
                conn->out = (struct leat_chain)LEAT_CHAIN_INIT;
                conn->out_head = 0;
                conn->out_at = 0;
        } else if (conn->out_head > 256 && conn->out_head > conn->out.count / 2) {
                conn->out.count -= conn->out_head;
                memmove(conn->out.slices, conn->out.slices + conn->out_head,
                        conn->out.count * sizeof(conn->out.slices[0]));
                conn->out_head = 0;
        }
}

static int queue_parts(const struct leat_net_conn *conn, struct iovec parts[WRITE_PARTS])
{
        int count = 0;
        size_t skip = conn->out_at;
        for (uint32_t i = conn->out_head; i < conn->out.count && count < WRITE_PARTS; i++) {
                struct leat_view view = conn->out.slices[i].view;
                parts[count++] =
                        (struct iovec){.iov_base = (void *)(uintptr_t)(view.data + skip), .iov_len = view.len - skip};
                skip = 0;
        }
        return count;
}

/* One system call; false when there is nothing more to do now. */
static bool conn_write_some(struct leat_net_conn *conn)
{
        struct iovec parts[WRITE_PARTS];
        int count = queue_parts(conn, parts);
        size_t bytes = 0;
        for (int i = 0; i < count; i++)
                bytes += parts[i].iov_len;
        ssize_t sent = leat_os_sendv(conn->fd, parts, count);
        if (sent < 0) {
                conn->is_blocked = errno == EAGAIN || errno == EWOULDBLOCK;
                if (!conn->is_blocked)
                        conn_fail_sys(conn, errno, "cannot write to");
                return false;
        }
        queue_take(conn, (size_t)sent);
        conn->active_us = leat_loop_now_us(conn->loop);
        conn->stalled_us = conn->queued > 0 ? conn->active_us : 0;
        conn->is_blocked = (size_t)sent < bytes;
        return !conn->is_blocked && conn->queued > 0;
}

static void conn_flush(struct leat_net_conn *conn)
{
        if (conn->state != CONN_OPEN && conn->state != CONN_FINISHING)
                return;
        conn->is_blocked = false;
        bool more = conn->queued > 0;
        for (int i = 0; more && i < WRITES_A_TURN; i++)
                more = conn_write_some(conn);
        if (conn->state == CONN_CLOSED)
                return;
        if (more)
                conn->is_blocked = true; /* the others first */
        if (conn->is_over && conn->queued < conn->opts->drain_bytes) {
                conn->is_over = false;
                if (conn->state == CONN_OPEN && conn->ops->on_drain)
                        conn->ops->on_drain(conn, conn->user);
        }
        if (conn->state == CONN_FINISHING && conn->queued == 0) {
                if (conn->is_eof || shutdown(conn->fd, SHUT_WR) != 0) {
                        conn_end(conn);
                        return;
                }
                conn->state = CONN_LINGER;
                conn->deadline_us = leat_loop_now_us(conn->loop) + LINGER_US;
        }
        leat_net_conn_poll(conn);
}

/* Reads what the peer still sends and throws it away, until it has closed. */
static void conn_discard(struct leat_net_conn *conn)
{
        ssize_t got = leat_os_recv(conn->fd, conn->loop->scratch->data, NET_SCRATCH_BYTES);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK))
                conn_end(conn);
}

/* ---- events ---- */

static int socket_error(const struct leat_net_conn *conn)
{
        int os_errno = 0;
        socklen_t len = sizeof(os_errno);
        return getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &os_errno, &len) == 0 ? os_errno : errno;
}

static void conn_connected(struct leat_net_conn *conn)
{
        int os_errno = socket_error(conn);
        if (os_errno != 0) {
                conn_fail_sys(conn, os_errno, "cannot connect to");
                return;
        }
        conn->state = CONN_OPEN;
        conn->deadline_us = 0;
        if (conn->ops->on_open)
                conn->ops->on_open(conn, conn->user);
        if (conn->queued > 0)
                conn_mark(conn);
        leat_net_conn_poll(conn);
}

static void poll_cb(uv_poll_t *poll, int status, int events)
{
        struct leat_net_conn *conn = poll->data;
        if (conn->state == CONN_CONNECTING) {
                conn_connected(conn);
                return;
        }
        if (status < 0) { /* libuv says EBADF for any error; the socket knows which */
                int os_errno = socket_error(conn);
                conn_fail_sys(conn, os_errno != 0 ? os_errno : ECONNRESET, "lost the connection to");
                return;
        }
        if (conn->state == CONN_LINGER) {
                conn_discard(conn);
                return;
        }
        if ((events & UV_READABLE) && conn->state == CONN_OPEN && !conn->is_paused)
                conn_read(conn);
        if ((events & UV_WRITABLE) && conn->state != CONN_CLOSED)
                conn_flush(conn);
        if ((events & UV_DISCONNECT) && conn->state != CONN_CLOSED) {
                /* The peer sends no more, but bytes of it may wait for a resume: the
                 * read then finds the end. Until that do not ask again. */
                conn->events = 0;
                uv_poll_stop(&conn->poll);
        }
}

void leat_net_conn_turn(struct leat_net_conn *conn)
{
        if (conn->redeliver) {
                conn->redeliver = false;
                if (conn->state == CONN_OPEN)
                        deliver_own(conn);
        }
        if (!conn->is_blocked)
                conn_flush(conn);
        leat_net_conn_poll(conn);
}

void leat_net_conn_check_time(struct leat_net_conn *conn, int64_t now_us)
{
        const struct leat_net_opts *opts = conn->opts;
        int64_t stall_us = opts->stall_us > 0 || conn->state != CONN_FINISHING ? opts->stall_us : FINISH_STALL_US;
        if (conn->state == CONN_CLOSED)
                return;
        if (conn->deadline_us != 0 && now_us >= conn->deadline_us && conn->state == CONN_OPEN &&
            conn->ops->on_deadline) {
                conn->deadline_us = 0;
                conn->ops->on_deadline(conn, conn->user);
        } else if (conn->deadline_us != 0 && now_us >= conn->deadline_us)
                conn_fail_code(conn, LEAT_ETIMEOUT,
                               conn->state == CONN_CONNECTING ? "the connection was not answered in time"
                                                              : "a message did not arrive in time");
        else if (conn->state == CONN_CONNECTING)
                return;
        else if (opts->first_us > 0 && !conn->got_first && conn->listener && now_us - conn->opened_us >= opts->first_us)
                conn_fail_code(conn, LEAT_ETIMEOUT, "nothing was sent after connecting");
        else if (opts->message_us > 0 && conn->message_us != 0 && !conn->is_paused &&
                 now_us - conn->message_us >= opts->message_us)
                conn_fail_code(conn, LEAT_ETIMEOUT, "a message did not arrive in time");
        else if (stall_us > 0 && conn->stalled_us != 0 && now_us - conn->stalled_us >= stall_us)
                conn_fail_code(conn, LEAT_ETIMEOUT, "the peer takes nothing of what is sent to it");
        else if (opts->idle_us > 0 && now_us - conn->active_us >= opts->idle_us)
                conn_fail_code(conn, LEAT_ETIMEOUT, "the connection was idle");
}

/* ---- calls ---- */

static void queue_added(struct leat_net_conn *conn, size_t bytes)
{
        if (bytes == 0)
                return;
        if (conn->queued == 0)
                conn->stalled_us = leat_loop_now_us(conn->loop);
        conn->queued += bytes;
        if (conn->queued >= conn->opts->drain_bytes)
                conn->is_over = true;
        if (conn->queued > conn->opts->queue_max) {
                conn_fail_code(conn, LEAT_ETOOBIG, "too much is queued for a peer that does not take it");
                return;
        }
        if (conn->state != CONN_CONNECTING)
                conn_mark(conn);
}

void leat_net_conn_write(struct leat_net_conn *conn, struct leat_chain *chain)
{
        ASSERT_LOOP(conn->loop);
        size_t bytes = chain->len;
        if (conn->state == CONN_OPEN || conn->state == CONN_CONNECTING) {
                leat_chain_move(&conn->out, chain);
                queue_added(conn, bytes);
        }
        leat_chain_done(chain);
        *chain = (struct leat_chain)LEAT_CHAIN_INIT;
}

void leat_net_conn_write_block(struct leat_net_conn *conn, struct leat_block *block, struct leat_view view)
{
        ASSERT_LOOP(conn->loop);
        if ((conn->state != CONN_OPEN && conn->state != CONN_CONNECTING) || view.len == 0)
                return;
        leat_chain_add(&conn->out, block, view);
        queue_added(conn, view.len);
}

void leat_net_conn_write_buf(struct leat_net_conn *conn, struct leat_buf *buf)
{
        ASSERT_LOOP(conn->loop);
        size_t bytes = buf->len;
        if ((conn->state == CONN_OPEN || conn->state == CONN_CONNECTING) && bytes > 0) {
                leat_chain_add_buf(&conn->out, buf);
                queue_added(conn, bytes);
        } else {
                leat_buf_done(buf);
                *buf = (struct leat_buf)LEAT_BUF_INIT;
        }
}

size_t leat_net_conn_queued(const struct leat_net_conn *conn)
{
        return conn->queued;
}

void leat_net_conn_pause(struct leat_net_conn *conn)
{
        ASSERT_LOOP(conn->loop);
        conn->is_paused = true;
        conn->message_us = 0;
        conn->redeliver = false;
        conn_mark(conn); /* what we poll for is set at the end of the turn: pause and resume in one cost nothing */
}

void leat_net_conn_resume(struct leat_net_conn *conn)
{
        ASSERT_LOOP(conn->loop);
        conn->is_paused = false;
        conn->redeliver = true;
        conn_mark(conn);
}

void leat_net_conn_want(struct leat_net_conn *conn, size_t bytes)
{
        ASSERT_LOOP(conn->loop);
        conn->want = bytes;
}

struct leat_block *leat_net_conn_block(struct leat_net_conn *conn)
{
        LEAT_ASSERT(conn->now);
        return conn->now;
}

void leat_net_conn_deadline(struct leat_net_conn *conn, int64_t us)
{
        ASSERT_LOOP(conn->loop);
        if (conn->state == CONN_OPEN)
                conn->deadline_us = us > 0 ? leat_loop_now_us(conn->loop) + us : 0;
        leat_loop_sweep_every(conn->loop, us);
}

void leat_net_conn_close(struct leat_net_conn *conn)
{
        ASSERT_LOOP(conn->loop);
        conn_end(conn);
}

void leat_net_conn_finish(struct leat_net_conn *conn)
{
        ASSERT_LOOP(conn->loop);
        if (conn->state == CONN_CONNECTING) {
                conn_end(conn);
        } else if (conn->state == CONN_OPEN) {
                conn->state = CONN_FINISHING;
                conn->deadline_us = 0;
                conn->message_us = 0;
                conn_mark(conn);
        }
}

bool leat_net_conn_closing(const struct leat_net_conn *conn)
{
        return conn->state >= CONN_FINISHING;
}

void leat_net_conn_set_user(struct leat_net_conn *conn, void *user)
{
        conn->user = user;
}

void *leat_net_conn_user(const struct leat_net_conn *conn)
{
        return conn->user;
}

struct leat_loop *leat_net_conn_loop(const struct leat_net_conn *conn)
{
        return conn->loop;
}

const char *leat_net_conn_peer(const struct leat_net_conn *conn)
{
        if (!conn->peer_text) {
                struct leat_net_conn *mine = (struct leat_net_conn *)(uintptr_t)conn; /* made when first asked for */
                char text[72];
                leat_net_addr_text(&conn->peer, text);
                mine->peer_text = leat_strdup(text);
        }
        return conn->peer_text;
}

void leat_net_conn_local(const struct leat_net_conn *conn, char out[72])
{
        union net_addr addr = {0};
        socklen_t len = sizeof(addr);
        if (conn->fd < 0 || getsockname(conn->fd, &addr.any, &len) != 0)
                memset(&addr, 0, sizeof(addr));
        leat_net_addr_text(&addr, out);
}
