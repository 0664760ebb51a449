/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/broker: threads that wait for the disk.
 *
 * Design    Loops read records only as far as they are in memory. A request
 *           that needs others is lent to one of these threads as a whole and
 *           comes home when it has read, so a slow disk holds back those who
 *           read old records and nobody else. Requests are taken in the order
 *           in which they came.
 * Threads   broker.read.threads at most; one more is started when a request
 *           finds none free. A request that gives up (its connection closed,
 *           the broker stops) comes home after the read that is under way.
 * Bounds    One place in the queue a request, of which connections have few;
 *           what they may bring counts as their loop's (lent_bytes).
 * Stopping  before the log is closed: nobody reads it any more then.
 */
#include <signal.h>

#include "broker_int.h"

#define THREADS_MAX 32

struct broker_reads {
        struct leat_broker *broker;
        pthread_mutex_t lock;
        pthread_cond_t work;
        struct broker_request *first, **last;        /* lock, as all below */
        struct broker_request *running[THREADS_MAX]; /* of each thread */
        pthread_t threads[THREADS_MAX];
        uint32_t thread_count, idle, queued;
        bool stop;
        _Atomic int lent; /* requests that are not home again */
};

struct broker_reads *leat_broker_reads_new(struct leat_broker *broker)
{
        struct broker_reads *reads = leat_calloc(1, sizeof(*reads));
        reads->broker = broker;
        reads->last = &reads->first;
        pthread_mutex_init(&reads->lock, NULL);
        pthread_cond_init(&reads->work, NULL);
        return reads;
}

/* At home again. */
static void read_ended(void *arg)
{
        struct broker_request *req = arg;
        req->cancel = NULL;
        req->home->lent_bytes -= req->read_bytes;
        struct broker_reads *reads = req->home->broker->reads;
        req->read_done(req);
        atomic_fetch_sub(&reads->lent, 1);
}

static void read_cancel(struct broker_request *req)
{
        atomic_store(&req->give_up, true);
}

static struct broker_request *read_take(struct broker_reads *reads)
{
        struct broker_request *req = reads->first;
        reads->first = req->read_next;
        if (reads->first == NULL)
                reads->last = &reads->first;
        reads->queued--;
        if (reads->stop)
                atomic_store(&req->give_up, true);
        return req;
}

static void *reads_main(void *arg)
{
        struct broker_reads *reads = arg;
        pthread_mutex_lock(&reads->lock);
        uint32_t self = 0;
        while (!pthread_equal(reads->threads[self], pthread_self()))
                self++;
        for (;;) {
                if (reads->first == NULL) {
                        if (reads->stop)
                                break;
                        reads->idle++;
                        pthread_cond_wait(&reads->work, &reads->lock);
                        reads->idle--;
                        continue;
                }
                struct broker_request *req = read_take(reads);
                reads->running[self] = req;
                pthread_mutex_unlock(&reads->lock);
                if (!atomic_load(&req->give_up))
                        req->read_fn(req);
                pthread_mutex_lock(&reads->lock);
                reads->running[self] = NULL;
                pthread_mutex_unlock(&reads->lock);
                leat_broker_go_home(req, read_ended);
                pthread_mutex_lock(&reads->lock);
        }
        pthread_mutex_unlock(&reads->lock);
        return NULL;
}

/* Lock held. One thread more when there is more to do than who waits for it. */
static void threads_grow(struct broker_reads *reads)
{
        uint32_t max = (uint32_t)LEAT_MIN(leat_param(LEAT_P_BROKER_READ_THREADS), (int64_t)THREADS_MAX);
        if (reads->queued <= reads->idle || reads->thread_count >= max)
                return;
        sigset_t all, old;
        sigfillset(&all); /* signals belong to the main thread */
        pthread_sigmask(SIG_SETMASK, &all, &old);
        int rc = pthread_create(&reads->threads[reads->thread_count], NULL, reads_main, reads);
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        if (rc == 0)
                reads->thread_count++;
}

void leat_broker_read(struct broker_request *req, void (*fn)(struct broker_request *req), void (*done)(void *req),
                      size_t bytes)
{
        struct broker_reads *reads = req->home->broker->reads;
        req->read_fn = fn;
        req->read_done = done;
        req->read_bytes = bytes;
        req->read_next = NULL;
        req->cancel = read_cancel;
        req->home->lent_bytes += bytes;
        atomic_fetch_add(&reads->lent, 1);
        leat_stat_add(req->home->broker->cold_reads, 1);
        pthread_mutex_lock(&reads->lock);
        bool stop = reads->stop;
        if (!stop) {
                *reads->last = req;
                reads->last = &req->read_next;
                reads->queued++;
                threads_grow(reads);
                pthread_cond_signal(&reads->work);
        }
        bool alone = !stop && reads->thread_count == 0; /* no thread to be had: the loop reads itself */
        if (alone)
                read_take(reads);
        pthread_mutex_unlock(&reads->lock);
        if (stop)
                atomic_store(&req->give_up, true);
        if (alone)
                fn(req);
        if (stop || alone)
                read_ended(req);
}

void leat_broker_reads_stop(struct broker_reads *reads)
{
        if (reads == NULL)
                return;
        pthread_mutex_lock(&reads->lock);
        reads->stop = true;
        for (uint32_t i = 0; i < reads->thread_count; i++) {
                if (reads->running[i] != NULL)
                        atomic_store(&reads->running[i]->give_up, true);
        }
        pthread_cond_broadcast(&reads->work);
        uint32_t count = reads->thread_count;
        pthread_mutex_unlock(&reads->lock);
        for (uint32_t i = 0; i < count; i++)
                pthread_join(reads->threads[i], NULL);
        while (atomic_load(&reads->lent) > 0) /* on their way home, which may ask the log */
                leat_os_sleep_us(1000);
}

void leat_broker_reads_free(struct broker_reads *reads)
{
        if (reads == NULL)
                return;
        pthread_mutex_destroy(&reads->lock);
        pthread_cond_destroy(&reads->work);
        free(reads);
}
