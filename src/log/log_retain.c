/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/log: what goes away: retention by time and size, DeleteRecords.
 *
 * Whole segments are removed, oldest first, never the last. Two things are made
 * durable before a file is removed: the new start of the log, so that after a
 * crash no gap is taken for a loss, and what the segment's batches say of
 * idempotent producers and epochs (producers.roll), so that nobody's newest
 * sequence number is forgotten. A segment that still waits for the second is
 * below the start, read by nobody, and removed by a later round.
 */
#include "log_int.h"

static int write_start(struct leat_log_partition *part, int64_t start, struct leat_error *err)
{
        char *path = leat_asprintf("%s/start", part->dir);
        int rc = leat_log_number_write(path, (uint64_t)start, err);

        free(path);
        return rc;
}

/* Moves the start to @start (durable already) and removes segments below it. */
static void apply_start(struct leat_log_partition *part, int64_t start)
{
        struct leat_log_segment **gone;
        uint32_t count = 0;

        pthread_mutex_lock(&part->lock);
        part->start = LEAT_MAX(part->start, start);
        gone = leat_malloc((part->seg_count + 1) * sizeof(struct leat_log_segment *));
        while (part->seg_count > 1 && part->segs[0]->end <= part->start && !leat_log_segment_dirty(part->segs[0])) {
                if (part->segs[0]->end > part->kept_offset) {
                        part->keep_wanted = true;
                        leat_log_partition_want_sync(part);
                        break;
                }
                gone[count++] = leat_log_partition_take_seg(part, 0);
        }
        if (count > 0)
                atomic_fetch_add(&part->log->counters.removed, count);
        leat_log_memory_trim(&part->mem, part->start, INT64_MAX);
        pthread_mutex_unlock(&part->lock);
        for (uint32_t i = 0; i < count; i++) {
                struct leat_error err;

                if (leat_os_unlink(gone[i]->log.path, &err) != 0 || leat_os_unlink(gone[i]->index.path, &err) != 0)
                        leat_diag_error("log", "segment not removed", &err);
                leat_log_segment_unref(gone[i]);
        }
        free(gone);
}

/* Lock held. Where the log should begin by now. */
static int64_t retention_start(struct leat_log_partition *part, int64_t now_ms)
{
        int64_t start = part->start, bytes = 0;

        for (uint32_t i = 0; i < part->seg_count; i++)
                bytes += part->segs[i]->bytes;
        for (uint32_t i = 0; i + 1 < part->seg_count; i++) {
                struct leat_log_segment *seg = part->segs[i];
                bool old = false, much;

                if (leat_log_segment_dirty(seg) || seg->end > part->high)
                        break;
                much = part->retention_bytes >= 0 && bytes - seg->bytes >= part->retention_bytes;
                if (!much && part->retention_ms >= 0) {
                        if (!seg->index_ready && leat_log_index_load(seg, seg->bytes, NULL) != 0)
                                break;
                        old = seg->max_time_ms >= 0 && seg->max_time_ms < now_ms - part->retention_ms;
                }
                if (!old && !much)
                        break;
                bytes -= seg->bytes;
                start = LEAT_MAX(start, seg->end);
        }
        return start;
}

/* Lock held. Ends the active segment when it is old, or when all in it is beyond retention. */
static void roll_by_time(struct leat_log_partition *part, int64_t now_us)
{
        struct leat_log_segment *seg = leat_log_partition_active(part);
        struct leat_error err;
        bool expired;

        if (!seg || seg->bytes == 0 || part->read_only)
                return;
        expired = part->deletes && part->retention_ms >= 0 && seg->max_time_ms >= 0 &&
                  seg->max_time_ms < now_us / 1000 - part->retention_ms;
        if (!expired && (part->segment_ms < 0 || now_us - seg->created_us < part->segment_ms * 1000))
                return;
        leat_log_partition_roll(part);
        if (leat_log_partition_begin(part, &err) != 0)
                leat_diag_error("log", "no new segment yet", &err);
}

void leat_log_partition_tidy(struct leat_log_partition *part, int64_t now_us)
{
        int64_t start, before;

        pthread_mutex_lock(&part->lock);
        if (leat_log_partition_usable(part, NULL) != 0) {
                pthread_mutex_unlock(&part->lock);
                return;
        }
        leat_log_memory_expire(&part->mem, (now_us - leat_param(LEAT_P_LOG_PRODUCER_EXPIRY)) / 1000);
        roll_by_time(part, now_us);
        if (part->snapshot_bytes > 0 || part->index_bytes > 0) {
                part->save_wanted = true;
                leat_log_partition_want_sync(part);
        }
        before = part->start;
        start = part->deletes ? retention_start(part, now_us / 1000) : before;
        pthread_mutex_unlock(&part->lock);
        if (start > before) {
                struct leat_error err;

                if (write_start(part, start, &err) != 0) {
                        leat_diag_error("log", "retention waits", &err);
                        return;
                }
                apply_start(part, start);
                if (part->log->moved)
                        part->log->moved(part->log->moved_arg, part);
        } else {
                apply_start(part, start); /* segments that DeleteRecords could not remove yet */
        }
}

int leat_log_delete_records(struct leat_log_partition *part, int64_t offset, int64_t *ret_start, struct leat_error *err)
{
        struct leat_log *log = part->log;
        int64_t before = 0;
        int rc;

        if (!log)
                return leat_error_set(err, LEAT_ECLOSED, "the log is closed");
        pthread_mutex_lock(&log->tidy_lock);
        pthread_mutex_lock(&part->lock);
        rc = leat_log_partition_usable(part, err);
        if (rc == 0) {
                before = part->start;
                offset = offset == -1 ? part->high : offset;
                if (offset < 0 || offset > part->high)
                        rc = leat_error_set(err, LEAT_ERANGE, "offset %lld is beyond the high watermark %lld",
                                            (long long)offset, (long long)part->high);
                else if (offset == part->high && offset > before && !part->read_only)
                        leat_log_partition_roll(part); /* so that its bytes can go, too */
        }
        pthread_mutex_unlock(&part->lock);
        if (rc == 0 && offset > before) {
                rc = write_start(part, offset, err);
                if (rc == 0) {
                        apply_start(part, offset);
                        if (log->moved)
                                log->moved(log->moved_arg, part);
                }
        }
        if (rc == 0)
                *ret_start = LEAT_MAX(before, offset);
        pthread_mutex_unlock(&log->tidy_lock);
        return rc;
}
