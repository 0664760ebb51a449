/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/net: the loop, posts, timers, signals.
 *
 * Posts   go through a bounded ring; the poster then rings a bell (uv_async),
 *         which libuv merges. The loop empties the ring in slices, so that a
 *         flood of posts does not starve sockets.
 * Turn    one round of libuv: timers, sockets, posts. Before it waits again, the
 *         prepare handle flushes each connection that was written to: many
 *         small answers to one peer cost one system call.
 * Stop    is a flag and the bell, so that a signal handler may use it. Posts that
 *         came before it are run before leat_loop_run returns.
 * Sweep   one timer looks through all connections for time-outs, four times in
 *         the shortest limit but at most once in 20 ms: a timer for each
 *         connection would be more work for limits that almost never strike.
 */
#include "net_int.h"

#include <signal.h>

#define POSTS_A_SLICE 1024
#define SWEEP_MIN_US (20 * 1000)
#define SWEEP_MAX_US (1000 * 1000)

struct post {
        void (*fn)(void *arg);
        void *arg;
};

struct leat_timer {
        uv_timer_t uv;
        struct leat_loop *loop;
        struct leat_timer *prev, *next;
        void (*fn)(void *arg);
        void *arg;
};

struct loop_signal {
        uv_signal_t uv;
        struct loop_signal *next;
        void (*fn)(void *arg, int signo);
        void *arg;
};

static int error_uv(struct leat_error *err, int uv_code, const char *what)
{
        return leat_error_sys(err, -uv_code, "%s", what);
}

/* ---- posts ---- */

/* Runs at most @limit posts; true when some may be left. */
static bool posts_run(struct leat_loop *loop, int limit)
{
        for (int i = 0; i < limit; i++) {
                struct post *post = leat_ring_pop(loop->posts);
                if (!post)
                        return false;
                post->fn(post->arg);
                free(post);
        }
        return true;
}

static void wake_cb(uv_async_t *wake)
{
        struct leat_loop *loop = wake->data;
        bool stop = atomic_load(&loop->stop); /* before the posts: those before the stop are run */
        bool more = posts_run(loop, POSTS_A_SLICE);
        while (stop && more)
                more = posts_run(loop, POSTS_A_SLICE);
        if (more)
                uv_async_send(&loop->wake);
        if (stop)
                uv_stop(&loop->uv);
}

bool leat_loop_post(struct leat_loop *loop, void (*fn)(void *arg), void *arg)
{
        if (atomic_load(&loop->ended))
                return false;
        struct post *post = leat_malloc(sizeof(*post));
        *post = (struct post){.fn = fn, .arg = arg};
        if (!leat_ring_push(loop->posts, post)) {
                free(post);
                return false;
        }
        uv_async_send(&loop->wake);
        return true;
}

void leat_loop_post_wait(struct leat_loop *loop, void (*fn)(void *arg), void *arg)
{
        while (!leat_loop_post(loop, fn, arg)) {
                LEAT_ASSERT(!atomic_load(&loop->ended)); /* would wait for ever */
                leat_os_sleep_us(200);
        }
}

/* ---- turns ---- */

static void turn_cb(uv_prepare_t *turn)
{
        struct leat_loop *loop = turn->data;
        struct leat_net_conn *conn = loop->dirty;
        loop->dirty = NULL; /* what its callbacks make dirty is for the next turn */
        while (conn) {
                struct leat_net_conn *next = conn->next_dirty;
                conn->is_dirty = false;
                leat_net_conn_turn(conn);
                conn = next;
        }
        if (loop->dirty)
                uv_async_send(&loop->wake);
}

static void restless_cb(uv_idle_t *restless)
{
        (void)restless; /* that it is active keeps the loop from waiting */
}

static void after_cb(uv_check_t *after)
{
        struct leat_loop *loop = after->data;
        if (loop->gather_fn(loop->gather_arg))
                return;
        uv_idle_stop(&loop->restless);
        uv_check_stop(&loop->after);
}

void leat_loop_gather(struct leat_loop *loop, bool (*fn)(void *arg), void *arg)
{
        ASSERT_LOOP(loop);
        if (uv_is_active((const uv_handle_t *)&loop->after))
                return;
        loop->gather_fn = fn;
        loop->gather_arg = arg;
        uv_idle_start(&loop->restless, restless_cb);
        uv_check_start(&loop->after, after_cb);
}

static void sweep_cb(uv_timer_t *timer)
{
        struct leat_loop *loop = timer->data;
        int64_t now_us = leat_loop_now_us(loop);
        /* Closing does not unlink at once, so the walk is safe. */
        for (struct leat_net_conn *conn = loop->conns; conn; conn = conn->next)
                leat_net_conn_check_time(conn, now_us);
        if (!loop->conns) {
                uv_timer_stop(timer);
                loop->sweep_us = 0;
        }
}

void leat_loop_sweep_every(struct leat_loop *loop, int64_t limit_us)
{
        int64_t every_us = limit_us > 0 ? LEAT_MAX(LEAT_MIN(limit_us / 4, SWEEP_MAX_US), SWEEP_MIN_US) : SWEEP_MAX_US;
        if (loop->sweep_us != 0 && loop->sweep_us <= every_us)
                return;
        loop->sweep_us = every_us;
        uint64_t every_ms = (uint64_t)every_us / 1000;
        uv_timer_start(&loop->sweep, sweep_cb, every_ms, every_ms);
}

/* ---- life ---- */

int leat_loop_new(const char *name, struct leat_loop **ret_loop, struct leat_error *err)
{
        struct leat_loop *loop = leat_calloc(1, sizeof(*loop));
        snprintf(loop->name, sizeof(loop->name), "%s", name);
        int rc = uv_loop_init(&loop->uv);
        if (rc != 0) {
                free(loop);
                return error_uv(err, rc, "cannot make an event loop");
        }
        rc = uv_async_init(&loop->uv, &loop->wake, wake_cb);
        if (rc != 0) {
                uv_loop_close(&loop->uv);
                free(loop);
                return error_uv(err, rc, "cannot make an event loop");
        }
        uv_prepare_init(&loop->uv, &loop->turn);
        uv_prepare_start(&loop->turn, turn_cb);
        uv_timer_init(&loop->uv, &loop->sweep);
        uv_idle_init(&loop->uv, &loop->restless);
        uv_check_init(&loop->uv, &loop->after);
        loop->after.data = loop;
        loop->wake.data = loop;
        loop->turn.data = loop;
        loop->sweep.data = loop;
        loop->posts = leat_ring_new((size_t)leat_param(LEAT_P_NET_POST_SLOTS));
        loop->scratch = leat_block_new(NET_SCRATCH_BYTES);
        *ret_loop = loop;
        return 0;
}

void leat_loop_run(struct leat_loop *loop)
{
        LEAT_ASSERT(atomic_load(&loop->thread) == 0);
        atomic_store(&loop->thread, (uintptr_t)pthread_self());
        uv_run(&loop->uv, UV_RUN_DEFAULT);
        atomic_store(&loop->stop, false);
        atomic_store(&loop->thread, 0);
}

static void *thread_main(void *arg)
{
        struct leat_loop *loop = arg;
        pthread_setname_np(pthread_self(), loop->name);
        leat_loop_run(loop);
        return NULL;
}

int leat_loop_spawn(struct leat_loop *loop, struct leat_error *err)
{
        LEAT_ASSERT(!loop->is_spawned);
        /* Signals belong to the main thread. */
        sigset_t all, old;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &old);
        int rc = pthread_create(&loop->spawned, NULL, thread_main, loop);
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        if (rc != 0)
                return leat_error_sys(err, rc, "cannot start the thread of loop %s", loop->name);
        loop->is_spawned = true;
        return 0;
}

void leat_loop_stop(struct leat_loop *loop)
{
        atomic_store(&loop->stop, true);
        uv_async_send(&loop->wake);
}

void leat_loop_join(struct leat_loop *loop)
{
        if (!loop->is_spawned)
                return;
        leat_loop_stop(loop);
        pthread_join(loop->spawned, NULL);
        loop->is_spawned = false;
}

bool leat_loop_here(const struct leat_loop *loop)
{
        return atomic_load(&loop->thread) == (uintptr_t)pthread_self();
}

int64_t leat_loop_now_us(const struct leat_loop *loop)
{
        return (int64_t)uv_now(&loop->uv) * 1000;
}

static void signals_free(struct leat_loop *loop)
{
        while (loop->signals) {
                struct loop_signal *sig = loop->signals;
                loop->signals = sig->next;
                free(sig);
        }
}

static void must_be_closing(uv_handle_t *handle, void *arg)
{
        (void)arg;
        LEAT_ASSERT(uv_is_closing(handle)); /* a listener was not closed before its loop */
}

void leat_loop_free(struct leat_loop *loop)
{
        if (!loop)
                return;
        leat_loop_join(loop);
        LEAT_ASSERT(atomic_load(&loop->thread) == 0);
        atomic_store(&loop->ended, true);
        while (posts_run(loop, POSTS_A_SLICE)) {}
        for (struct leat_net_conn *conn = loop->conns; conn; conn = conn->next)
                leat_net_conn_close(conn);
        while (loop->conns)
                uv_run(&loop->uv, UV_RUN_NOWAIT);
        for (struct loop_signal *sig = loop->signals; sig; sig = sig->next)
                uv_close((uv_handle_t *)&sig->uv, NULL);
        while (loop->timers)
                leat_timer_free(loop->timers);
        uv_close((uv_handle_t *)&loop->wake, NULL);
        uv_close((uv_handle_t *)&loop->turn, NULL);
        uv_close((uv_handle_t *)&loop->sweep, NULL);
        uv_close((uv_handle_t *)&loop->restless, NULL);
        uv_close((uv_handle_t *)&loop->after, NULL);
        uv_walk(&loop->uv, must_be_closing, NULL);
        uv_run(&loop->uv, UV_RUN_DEFAULT); /* until every handle is closed */
        int rc = uv_loop_close(&loop->uv);
        LEAT_ASSERT(rc == 0);
        signals_free(loop);
        leat_ring_free(loop->posts);
        leat_block_unref(loop->scratch);
        free(loop);
}

/* ---- signals ---- */

static void signal_cb(uv_signal_t *uv, int signo)
{
        struct loop_signal *sig = uv->data;
        sig->fn(sig->arg, signo);
}

int leat_loop_on_signal(struct leat_loop *loop, int signo, void (*fn)(void *arg, int signo), void *arg,
                        struct leat_error *err)
{
        struct loop_signal *sig = leat_calloc(1, sizeof(*sig));
        int rc = uv_signal_init(&loop->uv, &sig->uv);
        if (rc != 0) {
                free(sig);
                return error_uv(err, rc, "cannot watch for signals");
        }
        sig->uv.data = sig;
        sig->fn = fn;
        sig->arg = arg;
        sig->next = loop->signals;
        loop->signals = sig; /* freed with the loop, started or not */
        rc = uv_signal_start(&sig->uv, signal_cb, signo);
        return rc == 0 ? 0 : error_uv(err, rc, "cannot watch for signals");
}

/* ---- timers ---- */

struct leat_timer *leat_timer_new(struct leat_loop *loop, void (*fn)(void *arg), void *arg)
{
        ASSERT_LOOP(loop);
        struct leat_timer *timer = leat_calloc(1, sizeof(*timer));
        uv_timer_init(&loop->uv, &timer->uv);
        timer->uv.data = timer;
        timer->loop = loop;
        timer->fn = fn;
        timer->arg = arg;
        timer->next = loop->timers;
        if (timer->next)
                timer->next->prev = timer;
        loop->timers = timer;
        return timer;
}

static void timer_closed_cb(uv_handle_t *handle)
{
        free(handle->data);
}

void leat_timer_free(struct leat_timer *timer)
{
        if (!timer)
                return;
        ASSERT_LOOP(timer->loop);
        if (timer->prev)
                timer->prev->next = timer->next;
        else
                timer->loop->timers = timer->next;
        if (timer->next)
                timer->next->prev = timer->prev;
        uv_close((uv_handle_t *)&timer->uv, timer_closed_cb);
}

static void timer_cb(uv_timer_t *uv)
{
        struct leat_timer *timer = uv->data;
        timer->fn(timer->arg);
}

void leat_timer_start(struct leat_timer *timer, int64_t delay_us, int64_t repeat_us)
{
        ASSERT_LOOP(timer->loop);
        /* libuv counts from the start of the turn; a long turn must not make it early. */
        uv_update_time(&timer->loop->uv);
        uint64_t delay_ms = (uint64_t)(LEAT_MAX(delay_us, 0) + 999) / 1000;
        uint64_t repeat_ms = (uint64_t)(LEAT_MAX(repeat_us, 0) + 999) / 1000;
        uv_timer_start(&timer->uv, timer_cb, delay_ms, repeat_ms);
}

void leat_timer_stop(struct leat_timer *timer)
{
        ASSERT_LOOP(timer->loop);
        uv_timer_stop(&timer->uv);
}

bool leat_timer_running(const struct leat_timer *timer)
{
        return uv_is_active((const uv_handle_t *)&timer->uv) != 0;
}
