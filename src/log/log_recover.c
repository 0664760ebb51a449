/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/log: a partition after a start.
 *
 *        checkpoint: synced up to here
 *                    |
 *   [ segment ][ segment         ][ segment ]
 *   ------------------+-------------------------
 *   trusted, not read | every batch is checked; the log ends in front of the
 *                     | first bad one, bytes from there on go to cut/
 *
 * Below the checkpoint a bad batch is damage: it is found when it is read, and
 * reported, never cut. Without a checkpoint (its file is never synced) the
 * snapshot that is made durable when a segment is complete and synced says the
 * same about all segments before; without that, everything is checked.
 * What was not known to be synced is synced before anyone may read it.
 *
 * A segment never reaches beyond the base of the next one: what lies there was
 * given up after a failed sync.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "log_int.h"

struct bases {
        int64_t *list;
        uint32_t count, cap;
};

static int bases_add(void *arg, const char *name, bool is_dir)
{
        struct bases *bases = arg;
        char *end;
        long long base;

        if (is_dir || strlen(name) != 24 || strcmp(name + 20, ".log") != 0)
                return 0;
        base = strtoll(name, &end, 10);
        if (end != name + 20 || base < 0)
                return 0;
        if (bases->count == bases->cap) {
                bases->cap = bases->cap ? bases->cap * 2 : 16;
                bases->list = leat_realloc(bases->list, bases->cap * sizeof(*bases->list));
        }
        bases->list[bases->count++] = base;
        return 0;
}

static int base_order(const void *a, const void *b)
{
        int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

        return x < y ? -1 : x > y;
}

/* Notes the segments by their names; reads nothing. */
static int load_segments(struct leat_log_partition *part, struct leat_error *err)
{
        struct bases bases = {0};
        int rc = leat_os_list(part->dir, bases_add, &bases, err);

        if (rc == LEAT_ENOTFOUND)
                rc = leat_error_set(err, LEAT_ECORRUPT, "the folder %s is missing", part->dir);
        if (rc != 0)
                goto fail;
        if (bases.count > 1)
                qsort(bases.list, bases.count, sizeof(*bases.list), base_order);
        for (uint32_t i = 0; i < bases.count; i++) {
                struct leat_log_segment *seg = leat_log_segment_new(&part->log->files, part->dir, bases.list[i]);
                struct stat st;

                leat_log_partition_push(part, seg);
                if (leat_os.stat(seg->log.path, &st) != 0) {
                        rc = leat_error_sys(err, errno, "%s", seg->log.path);
                        goto fail;
                }
                seg->bytes = seg->synced = st.st_size;
                seg->created_us = leat_os_now_us();
                seg->sealed = i + 1 < bases.count;
                seg->entry_dirty = !seg->sealed; /* nobody knows whether the process before us got that far */
                seg->end = seg->sealed ? bases.list[i + 1] : INT64_MAX;
        }
fail:
        free(bases.list);
        return rc;
}

static int load_start(struct leat_log_partition *part, struct leat_error *err)
{
        char *path = leat_asprintf("%s/start", part->dir);
        uint64_t value = 0;
        int rc = leat_log_number_read(path, &value, err);

        free(path);
        if (rc == LEAT_ENOTFOUND)
                return 0;
        LEAT_TRY(rc);
        part->start = (int64_t)value;
        return 0;
}

static bool load_checkpoint(struct leat_log_partition *part, struct leat_log_checkpoint *ret_ck)
{
        struct leat_buf file = LEAT_BUF_INIT;
        bool good = leat_os_read_file(part->checkpoint.path, 4096, &file, NULL) == 0 &&
                    leat_log_checkpoint_parse(leat_buf_view(&file), ret_ck);

        leat_buf_done(&file);
        if (good)
                part->checkpoint_number = ret_ck->number;
        return good;
}

/* ---- the tail ------------------------------------------------------------------ */

static int tail_batch(void *arg, const struct leat_log_batch *batch, int64_t pos)
{
        (void)arg;
        (void)batch;
        (void)pos;
        return 0;
}

/* Copies bytes from @pos on to cut/, unless they are all zero. */
static int keep_bytes(struct leat_log_partition *part, struct leat_log_segment *seg, int fd, int64_t pos,
                      struct leat_error *err)
{
        char *dir = leat_asprintf("%s/cut", part->dir);
        char *path = leat_asprintf("%s/%020lld-%lld.%lld", dir, (long long)seg->base, (long long)pos,
                                   (long long)leat_os_now_us());
        uint8_t *data = leat_malloc(LEAT_LOG_SCAN_BYTES);
        bool zero = true;
        int out = -1, rc = 0;
        size_t got;

        for (int64_t at = pos; rc == 0 && at < seg->bytes; at += (int64_t)got) {
                rc = leat_os_pread(fd, seg->log.path, data,
                                   (size_t)LEAT_MIN((int64_t)LEAT_LOG_SCAN_BYTES, seg->bytes - at), at, &got, err);
                if (rc != 0 || got == 0)
                        break;
                zero = zero && data[0] == 0 && memcmp(data, data + 1, got - 1) == 0;
                if (zero)
                        continue;
                if (out < 0) {
                        rc = leat_os_mkdirs(dir, err);
                        if (rc == 0)
                                rc = leat_os_open(path, O_RDWR | O_CREAT, &out, err);
                }
                if (rc == 0)
                        rc = leat_os_pwrite(out, path, leat_view_of(data, got), at - pos, err);
        }
        if (out >= 0) {
                leat_os_close(out);
                leat_diag(LEAT_DIAG_WARN, "log", "the log is cut at its first bad batch",
                          "file=%s pos=%lld bytes=%lld kept=%s", seg->log.path, (long long)pos,
                          (long long)(seg->bytes - pos), path);
        }
        free(data);
        free(dir);
        free(path);
        return rc;
}

/* Ends the log in segment number @at at @pos, with offset @end. */
static int cut_tail(struct leat_log_partition *part, uint32_t at, int64_t pos, int64_t end, struct leat_error *err)
{
        struct leat_log_segment *seg = part->segs[at];
        struct leat_error local;
        int fd, rc;

        while (part->seg_count > at + 1) {
                struct leat_log_segment *last = part->segs[part->seg_count - 1];

                LEAT_TRY(leat_log_partition_set_aside(part, last->log.path, err));
                LEAT_LOG_IGNORE(leat_os_unlink(last->index.path, NULL));
                leat_log_segment_unref(leat_log_partition_take_seg(part, part->seg_count - 1));
        }
        seg->sealed = false;
        seg->end = end;
        if (pos == seg->bytes)
                return 0;
        LEAT_TRY(leat_log_file_get(seg->files, &seg->log, false, &fd, err));
        rc = keep_bytes(part, seg, fd, pos, &local);
        if (rc == 0)
                rc = leat_os_ftruncate(fd, seg->log.path, pos, &local);
        leat_log_file_put(seg->files, &seg->log);
        seg->bytes = pos;
        if (rc != 0) {
                /* No room or a bad disk: leave the bytes where they are, behind the end of a closed segment. */
                leat_diag_error("log", "cut bytes stay in their segment", &local);
                if (pos == 0)
                        return leat_error_set(err, rc, "%s", local.message);
                part->end = end;
                seg->sealed = true;
                LEAT_TRY(leat_log_partition_begin(part, err));
        }
        return 0;
}

/* Checks every batch from @pos of segment number @at on; sets part->end. */
static int check_tail(struct leat_log_partition *part, uint32_t at, int64_t pos, int64_t offset, bool *ret_found,
                      struct leat_error *err)
{
        for (; at < part->seg_count; at++) {
                struct leat_log_segment *seg = part->segs[at];
                struct leat_log_walk walk = {.pos = pos,
                                             .offset = offset,
                                             .limit = seg->bytes,
                                             .offset_limit = seg->end,
                                             .epoch_max = part->log->epoch,
                                             .check_crc = true};

                LEAT_TRY(leat_log_segment_walk(seg, &walk, tail_batch, NULL, err));
                if (walk.pos > pos) {
                        *ret_found = true;
                        seg->synced = pos;
                }
                part->end = walk.offset;
                if (walk.bad || (seg->sealed && walk.offset < seg->end)) {
                        seg->synced = LEAT_MIN(seg->synced, walk.pos);
                        *ret_found = true;
                        return cut_tail(part, at, walk.pos, walk.offset, err);
                }
                seg->synced = LEAT_MIN(seg->synced, walk.pos);
                seg->bytes = walk.pos;
                if (!seg->sealed)
                        seg->end = walk.offset;
                pos = 0;
                offset = seg->end;
        }
        return 0;
}

/* Bytes below the checkpoint are missing: the file is shorter than what was
 * synced. Offsets go on behind them, so that none is given twice. */
static void note_short(struct leat_log_partition *part, struct leat_log_segment *seg, int64_t end)
{
        leat_diag(LEAT_DIAG_ERROR, "log", "a segment is shorter than what was synced", "file=%s bytes=%lld end=%lld",
                  seg->log.path, (long long)seg->bytes, (long long)end);
        if (!seg->sealed) {
                seg->sealed = true;
                seg->end = end;
        }
        part->end = seg->end;
}

/* Number of the first segment that may hold anything not synced, when there is no checkpoint. */
static uint32_t first_unsure(struct leat_log_partition *part)
{
        struct leat_log_memory mem = {0};
        struct leat_buf file = LEAT_BUF_INIT;
        char *path = leat_asprintf("%s/producers.roll", part->dir);
        int64_t offset = 0;
        int at = 0;

        if (leat_os_read_file(path, 64 << 20, &file, NULL) == 0 &&
            leat_log_memory_parse(leat_buf_view(&file), &mem, &offset, NULL) == 0)
                at = leat_log_partition_seg_at(part, offset);
        leat_log_memory_done(&mem);
        leat_buf_done(&file);
        free(path);
        return (uint32_t)LEAT_MAX(at, 0);
}

static int find_tail(struct leat_log_partition *part, const struct leat_log_checkpoint *ck, bool *ret_found,
                     struct leat_error *err)
{
        uint32_t at = ck ? 0 : first_unsure(part);
        int64_t pos = 0, offset;

        if (ck) {
                int i = leat_log_partition_seg_at(part, ck->segment);

                at = (uint32_t)LEAT_MAX(i, 0);
                if (i >= 0 && part->segs[i]->base == ck->segment) {
                        if (ck->pos > part->segs[i]->bytes) {
                                note_short(part, part->segs[i], ck->offset);
                                *ret_found = true;
                                at++;
                                if (at == part->seg_count)
                                        return 0;
                        } else {
                                pos = ck->pos;
                        }
                }
        }
        offset = pos > 0 ? ck->offset : part->segs[at]->base;
        return check_tail(part, at, pos, offset, ret_found, err);
}

/* Makes durable what was found beyond the checkpoint. */
static int sync_tail(struct leat_log_partition *part, struct leat_error *err)
{
        for (uint32_t i = 0; i < part->seg_count; i++) {
                struct leat_log_segment *seg = part->segs[i];
                int fd, rc;

                if (seg->synced >= seg->bytes && i + 1 < part->seg_count)
                        continue;
                LEAT_TRY(leat_log_file_get(seg->files, &seg->log, false, &fd, err));
                rc = leat_os_fdatasync(fd, seg->log.path, err);
                leat_log_file_put(seg->files, &seg->log);
                LEAT_TRY(rc);
                seg->synced = seg->bytes;
        }
        return leat_os_sync_dir(part->dir, err);
}

/* ---- the whole ------------------------------------------------------------------------ */

int leat_log_partition_recover(struct leat_log_partition *part, struct leat_error *err)
{
        struct leat_log_checkpoint ck = {0};
        struct leat_log_segment *active;
        bool found = false, known;

        LEAT_TRY(load_start(part, err));
        LEAT_TRY(load_segments(part, err));
        known = load_checkpoint(part, &ck);
        if (part->seg_count == 0) {
                if (known && ck.offset > 0)
                        return leat_error_set(err, LEAT_ECORRUPT, "all segments of %s are missing, up to offset %lld",
                                              part->dir, (long long)ck.offset);
                part->end = part->high = part->start;
                return 0;
        }
        LEAT_TRY(find_tail(part, known ? &ck : NULL, &found, err));
        if (found)
                LEAT_TRY(sync_tail(part, err));
        part->high = part->end;
        active = leat_log_partition_active(part);
        if (part->end < part->start) {
                /* The start moved only below what was durable: the rest is gone with the damage. */
                if (active)
                        active->sealed = true;
                part->segs[part->seg_count - 1]->end = part->start;
                part->end = part->high = part->start;
                active = NULL;
                found = true;
        }
        part->start = LEAT_MAX(part->start, part->segs[0]->base);
        if (active)
                LEAT_TRY(leat_log_index_load(active, active->bytes, err));
        LEAT_TRY(leat_log_partition_remember(part, part->end, err));
        if (found || !known) {
                pthread_mutex_lock(&part->lock);
                leat_log_partition_save(part, NULL);
                pthread_mutex_unlock(&part->lock);
        }
        return 0;
}
