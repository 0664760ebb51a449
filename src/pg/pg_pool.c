/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/pg: the threads that run statements.
 *
 * A thread is made when a session waits and none is idle, up to the limit, and
 * ends after it was idle for a while. A session that waits while all threads are
 * busy stays in line. Statements block (they wait for the broker, for ticks, for
 * a slow client), so this is a pool of blocking threads with one lock around
 * the line; nothing else is shared.
 */
#include <time.h>

#include "leat/os.h"
#include "pg_int.h"

enum { POOL_IDLE_S = 10, POOL_STACK_BYTES = 8 * 1024 * 1024 };

struct leat_pg_pool {
        pthread_mutex_t mutex; /* guards all below */
        pthread_cond_t work;   /* a session waits, or the pool closes */
        pthread_cond_t ended;  /* a thread has ended */
        struct leat_pg_session *first, *last;
        int threads, idle, waiting, threads_max;
        bool closing;
};

static struct leat_pg_session *pool_take(struct leat_pg_pool *pool)
{
        struct leat_pg_session *s = pool->first;
        if (s != NULL) {
                pool->first = s->pool_next;
                if (pool->first == NULL)
                        pool->last = NULL;
                s->pool_next = NULL;
                pool->waiting--;
        }
        return s;
}

/* The next session, or NULL when the thread is to end. Called with the mutex held. */
static struct leat_pg_session *pool_wait(struct leat_pg_pool *pool)
{
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += POOL_IDLE_S;
        for (;;) {
                struct leat_pg_session *s = pool_take(pool);
                if (s != NULL || pool->closing)
                        return s;
                pool->idle++;
                int rc = pthread_cond_timedwait(&pool->work, &pool->mutex, &until);
                pool->idle--;
                if (rc != 0 && pool->first == NULL)
                        return NULL;
        }
}

static void *pool_thread(void *arg)
{
        struct leat_pg_pool *pool = arg;
        pthread_mutex_lock(&pool->mutex);
        for (;;) {
                struct leat_pg_session *s = pool_wait(pool);
                if (s == NULL)
                        break;
                pthread_mutex_unlock(&pool->mutex);
                leat_pg_session_work(s);
                pthread_mutex_lock(&pool->mutex);
        }
        pool->threads--;
        pthread_cond_broadcast(&pool->ended);
        pthread_mutex_unlock(&pool->mutex);
        return NULL;
}

struct leat_pg_pool *leat_pg_pool_new(int threads_max)
{
        struct leat_pg_pool *pool = leat_calloc(1, sizeof *pool);
        pthread_mutex_init(&pool->mutex, NULL);
        pthread_cond_init(&pool->work, NULL);
        pthread_cond_init(&pool->ended, NULL);
        pool->threads_max = threads_max;
        return pool;
}

void leat_pg_pool_add(struct leat_pg_pool *pool, struct leat_pg_session *session)
{
        pthread_mutex_lock(&pool->mutex);
        if (pool->last == NULL)
                pool->first = session;
        else
                pool->last->pool_next = session;
        pool->last = session;
        pool->waiting++;
        pthread_cond_signal(&pool->work);
        /* An idle thread may be promised to another session already: one for each that waits. */
        if (pool->waiting > pool->idle && pool->threads < pool->threads_max) {
                pthread_t thread;
                pthread_attr_t attr;
                pthread_attr_init(&attr);
                pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
                pthread_attr_setstacksize(&attr, POOL_STACK_BYTES);
                if (pthread_create(&thread, &attr, pool_thread, pool) == 0)
                        pool->threads++;
                else if (pool->threads == 0)
                        leat_diag(LEAT_DIAG_ERROR, "pg", "no thread can be started; statements wait", "%s", "");
                pthread_attr_destroy(&attr);
        }
        pthread_mutex_unlock(&pool->mutex);
}

bool leat_pg_pool_end(struct leat_pg_pool *pool, int64_t wait_us)
{
        int64_t end_us = leat_os_now_us() + wait_us;
        struct timespec until = {.tv_sec = end_us / 1000000, .tv_nsec = end_us % 1000000 * 1000};
        pthread_mutex_lock(&pool->mutex);
        pool->closing = true;
        pthread_cond_broadcast(&pool->work);
        while (pool->threads != 0 && pthread_cond_timedwait(&pool->ended, &pool->mutex, &until) == 0)
                ;
        bool ended = pool->threads == 0;
        pthread_mutex_unlock(&pool->mutex);
        return ended;
}

void leat_pg_pool_free(struct leat_pg_pool *pool)
{
        if (pool == NULL)
                return;
        pthread_mutex_lock(&pool->mutex);
        pool->closing = true;
        pthread_cond_broadcast(&pool->work);
        while (pool->threads != 0)
                pthread_cond_wait(&pool->ended, &pool->mutex);
        pthread_mutex_unlock(&pool->mutex);
        pthread_mutex_destroy(&pool->mutex);
        pthread_cond_destroy(&pool->work);
        pthread_cond_destroy(&pool->ended);
        free(pool);
}
