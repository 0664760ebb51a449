/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/log: opening and closing, the leader epoch, producer ids, housekeeping.
 *
 * The leader epoch counts the starts of the broker. It is made durable before
 * anything is appended, so that an offset that was given out twice (its first
 * bytes were never durable) can be told apart by its epoch.
 */
#include "log_int.h"

#define PRODUCER_ID_BLOCK 1000

/* ---- numbers ------------------------------------------------------------------- */

static int load_epoch(struct leat_log *log, struct leat_error *err)
{
        char *path = leat_asprintf("%s/epoch", log->dir);
        uint64_t epoch = 0;
        int rc = leat_log_number_read(path, &epoch, err);

        if (rc == LEAT_ENOTFOUND)
                rc = 0;
        if (rc == 0 && epoch >= INT32_MAX)
                rc = leat_error_set(err, LEAT_ECORRUPT, "%s holds no epoch", path);
        if (rc == 0) {
                log->epoch = (int32_t)epoch + 1;
                rc = leat_log_number_write(path, (uint64_t)log->epoch, err);
        }
        free(path);
        return rc;
}

int leat_log_producer_ids(struct leat_log *log, uint32_t count, int64_t *ret_first, struct leat_error *err)
{
        char *path = leat_asprintf("%s/producer-ids", log->dir);
        uint64_t end, first;
        int rc = 0;

        pthread_mutex_lock(&log->ids_lock);
        if (log->ids_end == 0) {
                rc = leat_log_number_read(path, &log->ids_end, err);
                if (rc == LEAT_ENOTFOUND)
                        rc = 0;
                log->ids_next = log->ids_end;
        }
        first = log->ids_next;
        if (rc == 0 && first + count > log->ids_end) {
                end = first + LEAT_MAX(count, (uint32_t)PRODUCER_ID_BLOCK);
                rc = leat_log_number_write(path, end, err);
                if (rc == 0)
                        log->ids_end = end;
        }
        if (rc == 0) {
                log->ids_next = first + count;
                *ret_first = (int64_t)first;
        }
        pthread_mutex_unlock(&log->ids_lock);
        free(path);
        return rc;
}

int32_t leat_log_epoch(const struct leat_log *log)
{
        return log->epoch;
}

void leat_log_listen(struct leat_log *log, leat_log_moved_fn *fn, void *arg)
{
        log->moved_arg = arg;
        log->moved = fn;
}

void leat_log_counters(struct leat_log *log, struct leat_log_counters *ret_counters)
{
        *ret_counters = (struct leat_log_counters){.syncs = atomic_load(&log->counters.syncs),
                                                   .sync_failures = atomic_load(&log->counters.sync_failures),
                                                   .sync_time_us = atomic_load(&log->counters.sync_time_us),
                                                   .sealed = atomic_load(&log->counters.sealed),
                                                   .removed = atomic_load(&log->counters.removed)};
}

/* ---- housekeeping ------------------------------------------------------------------ */

void leat_log_tidy(struct leat_log *log, int64_t now_us)
{
        struct leat_log_partition **parts;
        uint32_t count;

        pthread_mutex_lock(&log->tidy_lock);
        leat_log_topics_sweep(log);
        count = leat_log_partitions(log, &parts);
        for (uint32_t i = 0; i < count; i++) {
                leat_log_partition_tidy(parts[i], now_us);
                leat_log_partition_unref(parts[i]);
        }
        free(parts);
        pthread_mutex_unlock(&log->tidy_lock);
}

static void *tidy_main(void *arg)
{
        struct leat_log *log = arg;

        pthread_mutex_lock(&log->wake_lock);
        while (!log->tidy_stop) {
                int64_t wait_us = leat_param(LEAT_P_LOG_TIDY_INTERVAL);
                struct timespec until;

                clock_gettime(CLOCK_MONOTONIC, &until);
                until.tv_sec += wait_us / 1000000;
                if (!log->tidy_now)
                        pthread_cond_timedwait(&log->wake, &log->wake_lock, &until);
                log->tidy_now = false;
                if (log->tidy_stop)
                        break;
                pthread_mutex_unlock(&log->wake_lock);
                leat_log_tidy(log, leat_os_now_us());
                pthread_mutex_lock(&log->wake_lock);
        }
        pthread_mutex_unlock(&log->wake_lock);
        return NULL;
}

static int tidy_start(struct leat_log *log, struct leat_error *err)
{
        int rc = pthread_create(&log->tidy_thread, NULL, tidy_main, log);

        if (rc != 0)
                return leat_error_sys(err, rc, "cannot start the housekeeping thread");
        log->tidy_started = true;
        return 0;
}

/* ---- life ----------------------------------------------------------------------------- */

static struct leat_log *log_new(const char *dir)
{
        struct leat_log *log = leat_calloc(1, sizeof(*log));
        pthread_condattr_t monotonic;

        log->dir = leat_strdup(dir);
        leat_log_files_init(&log->files, (uint32_t)leat_param(LEAT_P_LOG_OPEN_FILES));
        pthread_mutex_init(&log->pool.lock, NULL);
        pthread_cond_init(&log->pool.work, NULL);
        pthread_mutex_init(&log->change, NULL);
        pthread_rwlock_init(&log->topics_lock, NULL);
        pthread_mutex_init(&log->ids_lock, NULL);
        pthread_mutex_init(&log->tidy_lock, NULL);
        pthread_mutex_init(&log->wake_lock, NULL);
        pthread_condattr_init(&monotonic);
        pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
        pthread_cond_init(&log->wake, &monotonic);
        pthread_condattr_destroy(&monotonic);
        return log;
}

static void log_free(struct leat_log *log)
{
        leat_log_topics_free(log);
        leat_log_files_done(&log->files);
        pthread_mutex_destroy(&log->pool.lock);
        pthread_cond_destroy(&log->pool.work);
        pthread_mutex_destroy(&log->change);
        pthread_rwlock_destroy(&log->topics_lock);
        pthread_mutex_destroy(&log->ids_lock);
        pthread_mutex_destroy(&log->tidy_lock);
        pthread_mutex_destroy(&log->wake_lock);
        pthread_cond_destroy(&log->wake);
        free(log->dir);
        free(log);
}

static void stop_threads(struct leat_log *log)
{
        pthread_mutex_lock(&log->wake_lock);
        log->tidy_stop = true;
        pthread_cond_signal(&log->wake);
        pthread_mutex_unlock(&log->wake_lock);
        if (log->tidy_started)
                pthread_join(log->tidy_thread, NULL);
        leat_log_pool_stop(log);
}

/* Everything is synced or has failed: what is left is written, and the files are closed. */
static void partition_close(struct leat_log_partition *part)
{
        struct leat_buf snapshot = LEAT_BUF_INIT;
        struct leat_log_waiter *waiters;
        struct leat_error err;

        pthread_mutex_lock(&part->lock);
        if (leat_log_partition_usable(part, NULL) == 0 && part->end == part->high && part->seg_count > 0 &&
            (part->snapshot_bytes > 0 || part->index_bytes > 0)) {
                part->save_wanted = true;
                leat_log_memory_write(&part->mem, part->end, &snapshot);
                leat_log_partition_save(part, &snapshot);
        }
        part->closed = true;
        waiters = leat_log_partition_take_waiters(part, false);
        for (uint32_t i = 0; i < part->seg_count; i++)
                leat_log_segment_unref(part->segs[i]);
        part->seg_count = 0;
        leat_log_file_done(&part->log->files, &part->checkpoint);
        part->log = NULL;
        pthread_mutex_unlock(&part->lock);
        leat_error_set(&err, LEAT_ECLOSED, "the log is closed");
        leat_log_waiters_finish(waiters, &err);
        leat_buf_done(&snapshot);
}

/* Makes the folder, and its name durable. */
static int make_dir(const char *dir, struct leat_error *err)
{
        char *parent = leat_strdup(dir);
        char *slash = strrchr(parent, '/');
        int rc = leat_os_mkdirs(dir, err);

        if (slash)
                *(slash == parent ? slash + 1 : slash) = 0;
        if (rc == 0)
                rc = leat_os_sync_dir(slash ? parent : ".", err);
        free(parent);
        return rc;
}

int leat_log_open(const char *dir, struct leat_log **ret_log, struct leat_error *err)
{
        struct leat_log *log = log_new(dir);
        int rc;

        LEAT_TRY_GOTO(make_dir(dir, err));
        LEAT_TRY_GOTO(load_epoch(log, err));
        LEAT_TRY_GOTO(leat_log_topics_load(log, err));
        LEAT_TRY_GOTO(leat_log_pool_start(log, err));
        LEAT_TRY_GOTO(tidy_start(log, err));
        *ret_log = log;
        return 0;
fail:
        stop_threads(log);
        log_free(log);
        return rc;
}

void leat_log_close(struct leat_log *log)
{
        struct leat_log_partition **parts;
        uint32_t count;

        if (!log)
                return;
        count = leat_log_partitions(log, &parts);
        for (uint32_t i = 0; i < count; i++) {
                pthread_mutex_lock(&parts[i]->lock);
                if (parts[i]->end > parts[i]->high)
                        leat_log_partition_want_sync(parts[i]);
                pthread_mutex_unlock(&parts[i]->lock);
        }
        stop_threads(log);
        for (uint32_t i = 0; i < count; i++) {
                partition_close(parts[i]);
                leat_log_partition_unref(parts[i]);
        }
        free(parts);
        log_free(log);
}
