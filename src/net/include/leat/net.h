/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/net: event loops and connections.
 *
 * A loop is one thread. Everything that hangs on it (timers, connections) is
 * used on that thread only, and callbacks come on it; the one exception is
 * leat_loop_post(), which brings a function call from any thread. Callbacks
 * never block.
 *
 * Reading: a connection hands its unread bytes to on_data, which answers how
 * many it has used; the rest comes again, with more behind it. Nothing is held
 * for a connection whose bytes are all used, so idle ones cost about 500 bytes.
 *
 * Writing: leat_net_conn_write() queues; all that was queued in one turn of the
 * loop leaves in one system call at its end. leat_net_conn_queued() shows what
 * a slow peer has not taken yet; on_drain tells when it has.
 *
 * Closing: on_close comes exactly once for every connection, always from the
 * loop and never from inside a call into this module. The pointer is valid
 * until on_close returns; calls on a connection that is closing do nothing.
 *
 * Unless a line says otherwise: Thread: that of the loop. Never blocks.
 */
#ifndef LEAT_NET_H
#define LEAT_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "leat/bytes.h"
#include "leat/error.h"
#include "leat/os.h"

/* ---- loops ---------------------------------------------------------------- */
struct leat_loop;

/* @name is for the thread and for messages. Thread: any. */
int leat_loop_new(const char *name, struct leat_loop **ret_loop, struct leat_error *err) LEAT_NODISCARD;
/* Closes what is left on it (each on_close is called) and runs posts that are
 * left. It does not run any more. NULL is allowed. Thread: the one that ran it,
 * or any after leat_loop_join. */
void leat_loop_free(struct leat_loop *loop);
/* Runs until leat_loop_stop; runs all posts that came before the stop. */
void leat_loop_run(struct leat_loop *loop);
/* Runs it in a thread of its own, until leat_loop_join (which stops it). */
int leat_loop_spawn(struct leat_loop *loop, struct leat_error *err) LEAT_NODISCARD;
void leat_loop_join(struct leat_loop *loop);
/* Thread: any, also a signal handler. */
void leat_loop_stop(struct leat_loop *loop);
/* True on the thread that runs the loop. Thread: any. */
bool leat_loop_here(const struct leat_loop *loop);
/* Monotonic time of this turn of the loop: as leat_os_monotonic_us, but free. */
int64_t leat_loop_now_us(const struct leat_loop *loop);

/* For work that gets cheaper when it is done for many at once: @fn(@arg) is called after each look at sockets and posts,
 * at first after the one in which we are, until it returns false; meanwhile the loop looks without waiting. So @fn sees,
 * after a microsecond, whether anything more has come. One @fn a loop; does nothing while it is called already. */
void leat_loop_gather(struct leat_loop *loop, bool (*fn)(void *arg), void *arg);

/* Calls @fn(@arg) on the loop, in the order of the posts of one thread. False
 * when the queue is full: nothing was taken, try later. Thread: any. */
bool leat_loop_post(struct leat_loop *loop, void (*fn)(void *arg), void *arg);
/* As leat_loop_post, but waits for room. Thread: any that runs no loop. */
void leat_loop_post_wait(struct leat_loop *loop, void (*fn)(void *arg), void *arg);
/* Calls @fn on the loop for each signal @signo, until the loop is freed. */
int leat_loop_on_signal(struct leat_loop *loop, int signo, void (*fn)(void *arg, int signo), void *arg,
                        struct leat_error *err) LEAT_NODISCARD;

/* ---- timers --------------------------------------------------------------- */
struct leat_timer;

/* A timer that is not running yet. Free it before its loop. */
struct leat_timer *leat_timer_new(struct leat_loop *loop, void (*fn)(void *arg), void *arg);
/* NULL is allowed; may be called from its own callback. */
void leat_timer_free(struct leat_timer *timer);
/* Calls back after @delay_us and then every @repeat_us (0: once). Starting a
 * running timer sets it anew. Resolution: 1 ms, rounded up. */
void leat_timer_start(struct leat_timer *timer, int64_t delay_us, int64_t repeat_us);
void leat_timer_stop(struct leat_timer *timer);
bool leat_timer_running(const struct leat_timer *timer);

/* ---- connections ------------------------------------------------------------ */
struct leat_net_conn;

/* Any of them may be NULL but on_data. @user is what leat_net_conn_set_user set
 * last; at on_open it is the `arg` of the listener or of leat_net_connect. */
struct leat_net_ops {
        /* Accepted, or the outgoing connection is there. */
        void (*on_open)(struct leat_net_conn *conn, void *user);
        /* All unread bytes, at least 1 (at least leat_net_conn_want of them when
         * that was set). Returns how many were used; the rest comes again when
         * more has arrived, so use all complete messages that are there. */
        size_t (*on_data)(struct leat_net_conn *conn, void *user, struct leat_view data);
        /* The peer will send no more. Without it the connection is finished
         * (leat_net_conn_finish). */
        void (*on_eof)(struct leat_net_conn *conn, void *user);
        /* The queue was at or over opts.drain_bytes and fell under it. */
        void (*on_drain)(struct leat_net_conn *conn, void *user);
        /* leat_net_conn_deadline has passed. Without it the connection closes with
         * LEAT_ETIMEOUT. */
        void (*on_deadline)(struct leat_net_conn *conn, void *user);
        /* The end; @reason->code is 0 when we closed it ourselves, LEAT_ECLOSED
         * when the peer did, LEAT_ETIMEOUT, LEAT_ETOOBIG, LEAT_EIO ... */
        void (*on_close)(struct leat_net_conn *conn, void *user, const struct leat_error *reason);
};

/* 0 means the default that stands behind it. Times in microseconds. */
struct leat_net_opts {
        int conns_max;           /* of this listener; net.connections (4,096) */
        size_t read_max;         /* unread bytes of one connection; beyond it LEAT_ETOOBIG; 1 MiB */
        size_t queue_max;        /* unwritten bytes; beyond it LEAT_ETOOBIG; 256 MiB */
        size_t drain_bytes;      /* see on_drain; 1: when all is written */
        int64_t first_us;        /* from accept to the first byte; none */
        int64_t message_us;      /* for bytes that on_data does not use (half a message); none */
        int64_t idle_us;         /* without a byte either way; none */
        int64_t stall_us;        /* for a peer that takes nothing of what is queued; none */
        struct leat_view refuse; /* sent before closing when conns_max is reached; must outlive the listener */
};

/* Queues all of @chain, which becomes empty; blocks stay referenced until written. */
void leat_net_conn_write(struct leat_net_conn *conn, struct leat_chain *chain);
/* Queues a reference to @view inside @block (NULL: @view is static). */
void leat_net_conn_write_block(struct leat_net_conn *conn, struct leat_block *block, struct leat_view view);
/* Queues the bytes of @buf, which becomes empty. */
void leat_net_conn_write_buf(struct leat_net_conn *conn, struct leat_buf *buf);
/* Bytes that the peer's socket has not taken yet. */
size_t leat_net_conn_queued(const struct leat_net_conn *conn);

/* Stops and resumes on_data: the peer's sending is held back by TCP. Resuming
 * also calls on_data with bytes that lie there unused, without waiting for new
 * ones, whether it was paused or not. */
void leat_net_conn_pause(struct leat_net_conn *conn);
void leat_net_conn_resume(struct leat_net_conn *conn);
/* Holds on_data back until @bytes are there (the length of the message that has
 * begun); counts for the next call only. Over opts.read_max: LEAT_ETOOBIG. */
void leat_net_conn_want(struct leat_net_conn *conn, size_t bytes);
/* Inside on_data: the block that holds the bytes. Whoever takes a reference
 * keeps them without copying. */
struct leat_block *leat_net_conn_block(struct leat_net_conn *conn);
/* Calls on_deadline @us from now (later by up to a quarter of it), whatever
 * happens; 0 takes it back. For protocols that use bytes before a message is whole. */
void leat_net_conn_deadline(struct leat_net_conn *conn, int64_t us);

/* Closes at once, throws the queue away. */
void leat_net_conn_close(struct leat_net_conn *conn);
/* Reads no more, writes what is queued, tells the peer, then closes. */
void leat_net_conn_finish(struct leat_net_conn *conn);
/* True from close, finish or an error on. */
bool leat_net_conn_closing(const struct leat_net_conn *conn);

void leat_net_conn_set_user(struct leat_net_conn *conn, void *user);
void *leat_net_conn_user(const struct leat_net_conn *conn);
struct leat_loop *leat_net_conn_loop(const struct leat_net_conn *conn);
/* "127.0.0.1:50312", "[::1]:8080". */
const char *leat_net_conn_peer(const struct leat_net_conn *conn);
/* Our side; looked up at each call. */
void leat_net_conn_local(const struct leat_net_conn *conn, char out[72]);

/* Connects; returns at once. on_open when it is there, else on_close with the
 * reason (LEAT_ETIMEOUT after @timeout_us, LEAT_EIO when refused). Fails itself
 * only for an address that is none and without descriptors. @opts may be NULL. */
int leat_net_connect(struct leat_loop *loop, const struct leat_addr *addr, int64_t timeout_us,
                     const struct leat_net_ops *ops, const struct leat_net_opts *opts, void *arg,
                     struct leat_net_conn **ret_conn, struct leat_error *err) LEAT_NODISCARD;

/* ---- listeners -------------------------------------------------------------- */
struct leat_listener;

/* Accepts on the listening socket @fd (which it owns from now on, also when it
 * fails) on loops[0], and spreads connections over the @loop_count loops in
 * turn. Without descriptors (EMFILE) it waits and tries again; nothing spins.
 * @ops and @opts->refuse outlive it. Call it before the loops run, or on loops[0]. */
int leat_listener_open(struct leat_loop *const loops[], int loop_count, int fd, const struct leat_net_ops *ops,
                       const struct leat_net_opts *opts, void *arg, struct leat_listener **ret_listener,
                       struct leat_error *err) LEAT_NODISCARD;
/* Stops accepting and closes the socket; connections stay. NULL is allowed.
 * Thread: loops[0], or any when it does not run. Free it before the loops: they
 * still count their connections on it, so the memory goes with the last one. */
void leat_listener_close(struct leat_listener *listener);
/* Connections open now, refused so far. Thread: any. */
int leat_listener_count(const struct leat_listener *listener);
uint64_t leat_listener_refused(const struct leat_listener *listener);

#endif
