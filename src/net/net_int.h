/* SPDX-License-Identifier: Apache-2.0 */
/* leat/net: what its files share. */
#ifndef LEAT_NET_INT_H
#define LEAT_NET_INT_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#include "leat/base.h"
#include "leat/net.h"

#define NET_SCRATCH_BYTES ((size_t)64 * 1024)

struct leat_loop {
        uv_loop_t uv;
        uv_async_t wake;    /* posts or a stop are there */
        uv_prepare_t turn;  /* before each wait: flushes what the turn has queued */
        uv_idle_t restless; /* while it runs, the loop does not wait */
        uv_check_t after;   /* after each look at the sockets, while restless */
        bool (*gather_fn)(void *arg);
        void *gather_arg;
        uv_timer_t sweep; /* looks for connections that are over their time */
        int64_t sweep_us; /* 0: nobody has a limit */
        char name[16];
        struct leat_ring *posts;
        _Atomic bool stop;
        _Atomic bool ended;       /* takes no posts any more */
        _Atomic uintptr_t thread; /* who runs it; 0 before and after */
        pthread_t spawned;
        bool is_spawned;
        struct leat_net_conn *conns; /* all, doubly linked */
        struct leat_net_conn *dirty; /* with something to do at the end of the turn */
        struct leat_block *scratch;  /* where reads go first */
        struct loop_signal *signals;
        struct leat_timer *timers;
};

union net_addr {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
};

/*
 *   CONNECTING ──► OPEN ──► FINISHING (queue drains) ──► LINGER (discards until EOF) ──► CLOSED
 *        └───────────┴─────────────┴── close, error, time-out ─────────────────────────────┘
 */
enum conn_state { CONN_CONNECTING, CONN_OPEN, CONN_FINISHING, CONN_LINGER, CONN_CLOSED };

struct leat_net_conn {
        uv_poll_t poll;
        struct leat_loop *loop;
        struct leat_net_conn *prev, *next;
        struct leat_net_conn *next_dirty;
        const struct leat_net_ops *ops;
        const struct leat_net_opts *opts; /* filled: no 0 that means a default */
        struct leat_net_opts *own_opts;   /* of an outgoing connection */
        struct leat_listener *listener;   /* NULL: outgoing */
        void *user;
        struct leat_error *reason; /* NULL: closed by us */
        union net_addr peer;
        char *peer_text;
        int fd;
        uint8_t state; /* enum conn_state */
        bool is_dirty;
        bool is_paused;
        bool is_blocked; /* the socket took less than we had */
        bool is_over;    /* the queue has been at drain_bytes */
        bool is_eof;
        bool redeliver; /* unread bytes wait for a call without new ones */
        bool got_first;
        int events; /* what we poll for */

        /* reading: bytes [in_at, in_end) of block in; NULL when there are none */
        struct leat_block *in;
        struct leat_block *now; /* the block under on_data */
        size_t in_at, in_end;
        size_t want;

        /* writing: slices [out_head, out.count), the first from out_at on */
        struct leat_chain out;
        uint32_t out_head;
        size_t out_at;
        size_t queued;

        /* monotonic us; 0 = not running */
        int64_t opened_us, message_us, active_us, stalled_us, deadline_us;
};

struct leat_listener {
        uv_poll_t poll;
        uv_timer_t retry;
        struct leat_loop **loops;
        int loop_count;
        int next_loop;
        int fd;
        bool is_closed;
        int open_handles;
        const struct leat_net_ops *ops;
        struct leat_net_opts opts;
        void *arg;
        _Atomic int count;
        _Atomic uint64_t refused;
        _Atomic int refs; /* itself and each connection */
};

#define ASSERT_LOOP(loop) LEAT_ASSERT(atomic_load(&(loop)->thread) == 0 || leat_loop_here(loop))

/* net_conn.c */
/* Makes a connection of @fd, which it owns from now on. NULL when libuv
 * refuses it (then @fd is closed). */
struct leat_net_conn *leat_net_conn_new(struct leat_loop *loop, int fd, const union net_addr *peer,
                                        const struct leat_net_ops *ops, const struct leat_net_opts *opts, void *arg,
                                        enum conn_state state);
void leat_net_conn_poll(struct leat_net_conn *conn);
void leat_net_conn_fail(struct leat_net_conn *conn, const struct leat_error *reason);
/* End of a turn: delivers what a resume has left, writes what was queued. */
void leat_net_conn_turn(struct leat_net_conn *conn);
void leat_net_conn_check_time(struct leat_net_conn *conn, int64_t now_us);

/* net_loop.c */
/* Makes the sweep often enough for a limit (0: no limit). */
void leat_loop_sweep_every(struct leat_loop *loop, int64_t limit_us);

/* net_listen.c */
void leat_net_opts_fill(struct leat_net_opts *opts);
void leat_listener_unref(struct leat_listener *listener);
void leat_net_addr_text(const union net_addr *addr, char out[72]);

#endif
