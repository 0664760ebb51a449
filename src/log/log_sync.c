/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/log: group commit.
 *
 *   append ... append ... append        the loops, without waiting
 *        \        |        /
 *      want_sync: the partition goes into the queue once
 *                 |
 *   sync thread:  note how far the segment reaches, fdatasync, move the high
 *                 watermark there, finish all waiters up to it, checkpoint
 *
 * A partition is synced by one thread at a time; what is appended meanwhile is
 * covered by the next round, so that the slower the disk, the more each sync
 * carries. Segments are synced oldest first, so what is durable is a prefix.
 *
 *            want_sync           a thread takes it
 *     IDLE ------------> QUEUED -------------------> RUNNING ---> IDLE
 *                           ^--------------------------'  when there is more to do
 *
 * Failure  A failed fdatasync says nothing about which bytes are on disk, and
 *          the kernel may have dropped them from its cache: they are given up.
 *          See sync_failed().
 */
#include <fcntl.h>

#include "log_int.h"

/* ---- waiters ------------------------------------------------------------------- */

struct leat_log_waiter *leat_log_partition_take_waiters(struct leat_log_partition *part, bool only_done)
{
        struct leat_log_waiter *list = NULL, **tail = &list, **at = &part->waiters;

        while (*at) {
                struct leat_log_waiter *waiter = *at;

                if (only_done && waiter->end_offset > part->high) {
                        at = &waiter->next;
                        continue;
                }
                *at = waiter->next;
                waiter->next = NULL;
                *tail = waiter;
                tail = &waiter->next;
        }
        part->waiters_tail = at;
        return list;
}

void leat_log_waiters_finish(struct leat_log_waiter *list, const struct leat_error *err)
{
        while (list) {
                struct leat_log_waiter *next = list->next;

                list->done(list, err);
                list = next;
        }
}

static void sync_wait(struct leat_log_partition *part, const struct leat_log_appended *appended,
                      struct leat_log_waiter *waiter, bool begin)
{
        struct leat_error err = {0};
        bool done = false;

        pthread_mutex_lock(&part->lock);
        if (leat_log_partition_usable(part, &err) != 0) {
                done = true;
        } else if (appended->generation != part->generation || appended->end_offset > part->end) {
                err = part->sync_error;
                done = true;
        } else if (appended->end_offset <= part->high) {
                done = true;
        } else {
                if (waiter) {
                        waiter->end_offset = appended->end_offset;
                        waiter->next = NULL;
                        *part->waiters_tail = waiter;
                        part->waiters_tail = &waiter->next;
                }
                if (begin)
                        leat_log_partition_want_sync(part);
        }
        pthread_mutex_unlock(&part->lock);
        if (done && waiter)
                waiter->done(waiter, err.code ? &err : NULL);
}

void leat_log_sync(struct leat_log_partition *part, const struct leat_log_appended *appended,
                   struct leat_log_waiter *waiter)
{
        sync_wait(part, appended, waiter, true);
}

void leat_log_sync_join(struct leat_log_partition *part, const struct leat_log_appended *appended,
                        struct leat_log_waiter *waiter)
{
        sync_wait(part, appended, waiter, false);
}

void leat_log_sync_begin(struct leat_log_partition *part)
{
        pthread_mutex_lock(&part->lock);
        if (part->end > part->high && leat_log_partition_usable(part, NULL) == 0)
                leat_log_partition_want_sync(part);
        pthread_mutex_unlock(&part->lock);
}

/* ---- one partition ---------------------------------------------------------------- */

void leat_log_partition_save(struct leat_log_partition *part, struct leat_buf *snapshot)
{
        struct leat_log_segment *seg = part->seg_count ? part->segs[part->seg_count - 1] : NULL;
        struct leat_log_checkpoint ck = {
                .number = ++part->checkpoint_number, .segment = part->high, .offset = part->high};
        uint8_t slot[LEAT_LOG_CHECKPOINT_SLOT];
        struct leat_error err = {0};
        int fd, at, rc;

        at = leat_log_partition_seg_at(part, part->high);
        if (seg && seg->index_ready &&
            (part->save_wanted || part->index_bytes >= LEAT_MIN(leat_log_partition_snapshot_every(part), 1 << 20))) {
                part->index_bytes = 0;
                if (leat_log_index_flush(seg, seg->synced, false, &err) != 0)
                        leat_diag_error("log", "index not written", &err);
        }
        part->save_wanted = false;
        if (at >= 0) {
                ck.segment = part->segs[at]->base;
                ck.pos = part->segs[at]->synced;
        }
        pthread_mutex_unlock(&part->lock);
        leat_log_checkpoint_format(&ck, slot);
        rc = leat_log_file_get(&part->log->files, &part->checkpoint, true, &fd, &err);
        if (rc == 0) {
                rc = leat_os_pwrite(fd, part->checkpoint.path, leat_view_of(slot, sizeof(slot)),
                                    (int64_t)(ck.number & 1) * LEAT_LOG_CHECKPOINT_SLOT, &err);
                leat_log_file_put(&part->log->files, &part->checkpoint);
        }
        if (rc == 0 && snapshot && snapshot->len > 0) {
                char *path = leat_asprintf("%s/producers", part->dir);

                rc = leat_os_replace_file(path, leat_buf_view(snapshot), false, &err);
                free(path);
        }
        if (snapshot)
                leat_buf_clear(snapshot);
        if (rc != 0) /* an older one only makes recovery read more */
                leat_diag_error("log", "checkpoint not written", &err);
        pthread_mutex_lock(&part->lock);
}

/* What one round does, noted under the lock. */
struct round {
        struct leat_log_segment *seg;
        int64_t bytes, end;
        bool entry_dirty, write, closed;
        struct leat_buf snapshot;
};

static struct leat_log_segment *first_dirty(struct leat_log_partition *part)
{
        struct leat_log_segment *first = NULL;

        for (uint32_t at = part->seg_count; at > 0; at--) {
                struct leat_log_segment *seg = part->segs[at - 1];

                if (leat_log_segment_dirty(seg))
                        first = seg;
                else if (seg->sealed)
                        break;
        }
        return first;
}

static bool round_begin(struct leat_log_partition *part, struct round *round)
{
        struct leat_log_segment *seg = first_dirty(part);

        if (!seg || leat_log_partition_usable(part, NULL) != 0)
                return false;
        round->seg = leat_log_segment_ref(seg);
        round->bytes = seg->bytes;
        round->end = seg->sealed ? seg->end : part->end;
        round->entry_dirty = seg->entry_dirty;
        round->write = seg->bytes > seg->synced;
        round->closed = seg->sealed;
        leat_buf_clear(&round->snapshot);
        if (!seg->sealed && (part->save_wanted || part->keep_wanted ||
                             part->snapshot_bytes >= leat_log_partition_snapshot_every(part))) {
                part->snapshot_bytes = 0;
                leat_log_memory_write(&part->mem, part->end, &round->snapshot);
        }
        return true;
}

static int round_sync(struct leat_log_partition *part, struct round *round, struct leat_error *err)
{
        struct leat_log_segment *seg = round->seg;
        int64_t begun_us = leat_os_monotonic_us();
        int fd, rc = 0;

        if (round->write) {
                LEAT_TRY(leat_log_file_get(seg->files, &seg->log, false, &fd, err));
                rc = leat_os_fdatasync(fd, seg->log.path, err);
                leat_log_file_put(seg->files, &seg->log);
        }
        if (rc == 0 && round->entry_dirty)
                rc = leat_os_sync_dir(part->dir, err);
        if (round->write || round->entry_dirty) {
                atomic_fetch_add(&part->log->counters.syncs, 1);
                atomic_fetch_add(&part->log->counters.sync_time_us, (uint64_t)(leat_os_monotonic_us() - begun_us));
        }
        return rc;
}

/* Lock held, given up and taken again. Makes durable what all batches below
 * @offset, which are synced, say of producers. Only then may segments below be
 * removed (log_retain.c): they would take with them what nobody could learn again. */
static void memory_keep(struct leat_log_partition *part, const struct leat_buf *snapshot, int64_t offset)
{
        struct leat_error err = {0};
        char *path = leat_asprintf("%s/producers.roll", part->dir);
        int rc;

        pthread_mutex_unlock(&part->lock);
        rc = leat_os_replace_file(path, leat_buf_view(snapshot), true, &err);
        if (rc != 0) /* housekeeping asks again */
                leat_diag_error("log", "snapshot not written", &err);
        free(path);
        pthread_mutex_lock(&part->lock);
        part->keep_wanted = false;
        if (rc == 0)
                part->kept_offset = LEAT_MAX(part->kept_offset, offset);
}

/* Lock held, given up and taken again. The segment is complete and synced:
 * closes its index, and writes the state of producers durably, so that no
 * crash makes recovery read closed segments. */
static void segment_finish(struct leat_log_partition *part, struct leat_log_segment *seg)
{
        struct leat_buf snapshot = seg->roll_snapshot;

        seg->roll_snapshot = (struct leat_buf)LEAT_BUF_INIT;
        if (!seg->index_ready || leat_log_index_flush(seg, seg->bytes, true, NULL) != 0)
                seg->index_ready = false; /* is completed when it is next needed */
        if (snapshot.len > 0)
                memory_keep(part, &snapshot, seg->end);
        leat_buf_done(&snapshot);
}

/* Lock held. The log now ends at the high watermark again: what came after it
 * is given up, waiters get the error, and a new segment begins there. */
static struct leat_log_waiter *sync_failed(struct leat_log_partition *part, struct leat_log_segment *seg,
                                           const struct leat_error *cause)
{
        struct leat_error err = {0};
        bool lost = false;
        int fd;

        while (part->seg_count > 0 && part->segs[part->seg_count - 1]->base > part->high) {
                struct leat_log_segment *last = leat_log_partition_take_seg(part, part->seg_count - 1);

                lost |= leat_log_partition_set_aside(part, last->log.path, &err) != 0;
                LEAT_LOG_IGNORE(leat_os_unlink(last->index.path, NULL));
                leat_log_segment_unref(last);
        }
        if (seg->synced == 0 && part->seg_count > 0 && part->segs[part->seg_count - 1] == seg) {
                lost |= leat_log_partition_set_aside(part, seg->log.path, &err) != 0;
                LEAT_LOG_IGNORE(leat_os_unlink(seg->index.path, NULL));
                leat_log_segment_unref(leat_log_partition_take_seg(part, part->seg_count - 1));
        } else if (seg->synced > 0) {
                seg->bytes = seg->synced;
                seg->end = part->high;
                if (!seg->sealed)
                        atomic_fetch_add(&part->log->counters.sealed, 1);
                seg->sealed = true;
                seg->index_ready = seg->index_closed = false;
                seg->pending_count = 0;
                leat_buf_clear(&seg->roll_snapshot);
                if (leat_log_file_get(seg->files, &seg->log, false, &fd, &err) == 0) {
                        LEAT_LOG_IGNORE(leat_os_ftruncate(fd, seg->log.path, seg->bytes,
                                                          NULL)); /* the next base bounds it anyhow */
                        leat_log_file_put(seg->files, &seg->log);
                }
                leat_log_segment_unpin(seg);
        }
        atomic_fetch_add(&part->log->counters.sync_failures, 1);
        part->end = part->high;
        part->generation++;
        part->sync_error = *cause;
        if (cause->code != LEAT_EFULL)
                part->sync_failures++;
        lost |= leat_log_partition_remember(part, part->end, &err) != 0;
        if (part->sync_failures >= 2 || lost)
                part->read_only = true;
        else if (leat_log_partition_begin(part, &err) != 0)
                leat_diag_error("log", "no new segment yet", &err);
        memset(part->hints, 0xff, sizeof(part->hints));
        leat_diag_error("log",
                        part->read_only ? "sync failed, partition is read-only until restart"
                                        : "sync failed, segment sealed at its last synced offset",
                        cause);
        return leat_log_partition_take_waiters(part, false);
}

/* Lock held, given up and taken again. False when the partition is in order
 * and nothing is left to do. */
static bool sync_round(struct leat_log_partition *part, struct round *round)
{
        struct leat_log_waiter *done;
        struct leat_error err = {0};
        bool moved = false;
        int rc;

        if (!round_begin(part, round))
                return false;
        pthread_mutex_unlock(&part->lock);
        rc = round_sync(part, round, &err);
        pthread_mutex_lock(&part->lock);
        if (rc != 0) {
                err.code = rc == LEAT_EFULL ? LEAT_EFULL : LEAT_EIO;
                err.retriable = true;
                done = sync_failed(part, round->seg, &err);
        } else {
                if (round->entry_dirty)
                        round->seg->entry_dirty = false;
                round->seg->synced = round->bytes;
                leat_log_segment_unpin(round->seg);
                moved = round->end > part->high;
                part->high = LEAT_MAX(part->high, round->end);
                done = leat_log_partition_take_waiters(part, true);
        }
        pthread_mutex_unlock(&part->lock);
        leat_log_waiters_finish(done, rc ? &err : NULL);
        if (moved && part->log->moved)
                part->log->moved(part->log->moved_arg, part);
        pthread_mutex_lock(&part->lock);
        if (rc == 0 && round->seg->sealed && round->seg->synced >= round->seg->bytes)
                segment_finish(part, round->seg);
        if (rc == 0 && part->keep_wanted && round->snapshot.len > 0)
                memory_keep(part, &round->snapshot, round->end);
        if (rc == 0)
                leat_log_partition_save(part, &round->snapshot);
        leat_log_segment_unref(round->seg);
        return rc == 0;
}

/* Nothing to sync, but index and snapshot lag behind: an idle partition. */
static void save_idle(struct leat_log_partition *part, struct round *round)
{
        if (part->end != part->high || leat_log_partition_usable(part, NULL) != 0)
                return;
        leat_buf_clear(&round->snapshot);
        part->snapshot_bytes = 0;
        leat_log_memory_write(&part->mem, part->end, &round->snapshot);
        if (part->keep_wanted)
                memory_keep(part, &round->snapshot, part->end);
        leat_log_partition_save(part, &round->snapshot);
}

/* ---- the pool ------------------------------------------------------------------------ */

void leat_log_partition_want_sync(struct leat_log_partition *part)
{
        struct leat_log_pool *pool = &part->log->pool;

        if (part->sync_state != LEAT_LOG_SYNC_IDLE) {
                part->sync_again = true;
                return;
        }
        part->sync_state = LEAT_LOG_SYNC_QUEUED;
        leat_log_partition_ref(part);
        part->sync_next = NULL;
        pthread_mutex_lock(&pool->lock);
        if (pool->last)
                pool->last->sync_next = part;
        else
                pool->first = part;
        pool->last = part;
        pthread_cond_signal(&pool->work);
        pthread_mutex_unlock(&pool->lock);
}

static void pool_run(struct leat_log_partition *part)
{
        struct round round = {0};
        bool more;

        pthread_mutex_lock(&part->lock);
        part->sync_state = LEAT_LOG_SYNC_RUNNING;
        part->sync_again = false;
        more = sync_round(part, &round) && round.closed;
        if ((part->save_wanted || part->keep_wanted) && !first_dirty(part))
                save_idle(part, &round);
        part->sync_state = LEAT_LOG_SYNC_IDLE;
        if ((more || part->sync_again) && first_dirty(part)) /* who only joined is not served yet */
                leat_log_partition_want_sync(part);
        pthread_mutex_unlock(&part->lock);
        leat_buf_done(&round.snapshot);
        leat_log_partition_unref(part);
}

static void *pool_main(void *arg)
{
        struct leat_log_pool *pool = &((struct leat_log *)arg)->pool;

        pthread_mutex_lock(&pool->lock);
        for (;;) {
                struct leat_log_partition *part = pool->first;

                if (!part) {
                        if (pool->stop && pool->running == 0)
                                break;
                        pthread_cond_wait(&pool->work, &pool->lock);
                        continue;
                }
                pool->first = part->sync_next;
                if (!pool->first)
                        pool->last = NULL;
                pool->running++;
                pthread_mutex_unlock(&pool->lock);
                pool_run(part);
                pthread_mutex_lock(&pool->lock);
                pool->running--;
                if (pool->stop && pool->running == 0 && !pool->first)
                        pthread_cond_broadcast(&pool->work);
        }
        pthread_mutex_unlock(&pool->lock);
        return NULL;
}

int leat_log_pool_start(struct leat_log *log, struct leat_error *err)
{
        struct leat_log_pool *pool = &log->pool;
        uint32_t want = (uint32_t)LEAT_MIN(leat_param(LEAT_P_LOG_SYNC_THREADS), (int64_t)LEAT_ARRAY_LEN(pool->threads));

        for (; pool->thread_count < want; pool->thread_count++) {
                int rc = pthread_create(&pool->threads[pool->thread_count], NULL, pool_main, log);

                if (rc != 0)
                        return leat_error_sys(err, rc, "cannot start a sync thread");
        }
        return 0;
}

void leat_log_pool_stop(struct leat_log *log)
{
        struct leat_log_pool *pool = &log->pool;

        pthread_mutex_lock(&pool->lock);
        pool->stop = true;
        pthread_cond_broadcast(&pool->work);
        pthread_mutex_unlock(&pool->lock);
        for (uint32_t i = 0; i < pool->thread_count; i++)
                pthread_join(pool->threads[i], NULL);
        pool->thread_count = 0;
}
