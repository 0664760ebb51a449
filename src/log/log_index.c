/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/log: the sparse index of a segment, offset and time in one.
 *
 * An entry is made for the first batch and then whenever LEAT_LOG_INDEX_EVERY
 * bytes of log have passed. 24 bytes, little endian:
 *
 *   0 offset of the batch, less the segment's base, u32 | 4 position of the batch, u32 |
 *   8 largest timestamp of all batches before it in this segment (-1 none), i64 | 16 zero u32 |
 *   20 CRC32C over bytes 0-19 and the base offset (8 bytes)
 *
 * A closed segment ends with an entry for its end, which tells its size and
 * its largest timestamp at a glance. Entries wait in memory and go to the file
 * after the bytes that they point at were synced; the file itself is not
 * synced, except when the segment is closed. Every entry read is checked; a bad
 * one means that the index is made anew from the log. No memory is kept for
 * segments that nobody reads.
 */
#include "log_int.h"

static void entry_format(const struct leat_log_segment *seg, const struct leat_log_entry *entry, uint8_t *out)
{
        uint8_t base[8];

        leat_put_le32(out, entry->rel);
        leat_put_le32(out + 4, entry->pos);
        leat_put_le64(out + 8, (uint64_t)entry->max_before_ms);
        leat_put_le32(out + 16, 0);
        leat_put_le64(base, (uint64_t)seg->base);
        leat_put_le32(out + 20, leat_crc32c(leat_crc32c(0, out, 20), base, 8));
}

static bool entry_parse(const struct leat_log_segment *seg, const uint8_t *in, struct leat_log_entry *ret_entry)
{
        uint8_t base[8];

        leat_put_le64(base, (uint64_t)seg->base);
        if (leat_get_le32(in + 20) != leat_crc32c(leat_crc32c(0, in, 20), base, 8))
                return false;
        ret_entry->rel = leat_get_le32(in);
        ret_entry->pos = leat_get_le32(in + 4);
        ret_entry->max_before_ms = (int64_t)leat_get_le64(in + 8);
        return true;
}

static void pending_add(struct leat_log_segment *seg, int64_t offset, int64_t pos)
{
        if (seg->pending_count == seg->pending_cap) {
                seg->pending_cap = seg->pending_cap ? seg->pending_cap * 2 : 16;
                seg->pending = leat_realloc(seg->pending, seg->pending_cap * sizeof(*seg->pending));
        }
        seg->pending[seg->pending_count++] = (struct leat_log_entry){
                .rel = (uint32_t)(offset - seg->base), .pos = (uint32_t)pos, .max_before_ms = seg->max_time_ms};
        seg->entry_pos = pos;
}

void leat_log_index_note(struct leat_log_segment *seg, const struct leat_log_batch *batch, int64_t pos)
{
        if (seg->entry_pos < 0 || pos - seg->entry_pos >= LEAT_LOG_INDEX_EVERY)
                pending_add(seg, batch->base, pos);
        seg->max_time_ms = LEAT_MAX(seg->max_time_ms, batch->max_time_ms);
}

int leat_log_index_flush(struct leat_log_segment *seg, int64_t synced_bytes, bool close, struct leat_error *err)
{
        uint32_t n = 0;
        uint8_t *out;
        int fd, rc;

        if (seg->index_closed)
                return 0;
        if (close && seg->entry_pos != seg->bytes)
                pending_add(seg, seg->end, seg->bytes);
        while (n < seg->pending_count && (seg->pending[n].pos < synced_bytes || close))
                n++;
        if (n == 0 && !close)
                return 0;
        LEAT_TRY(leat_log_file_get(seg->files, &seg->index, true, &fd, err));
        out = leat_malloc((size_t)n * LEAT_LOG_ENTRY_BYTES + 1);
        for (uint32_t i = 0; i < n; i++)
                entry_format(seg, &seg->pending[i], out + (size_t)i * LEAT_LOG_ENTRY_BYTES);
        rc = leat_os_pwrite(fd, seg->index.path, leat_view_of(out, (size_t)n * LEAT_LOG_ENTRY_BYTES),
                            (int64_t)seg->index_count * LEAT_LOG_ENTRY_BYTES, err);
        leat_log_file_put(seg->files, &seg->index);
        free(out);
        if (rc != 0)
                return rc;
        seg->index_count += n;
        seg->pending_count -= n;
        memmove(seg->pending, seg->pending + n, seg->pending_count * sizeof(*seg->pending));
        if (close) {
                seg->index_closed = true;
                free(seg->pending);
                seg->pending = NULL;
                seg->pending_cap = 0;
        }
        return 0;
}

/* Reads entry @number with its checksum. */
static int entry_read(struct leat_log_segment *seg, int fd, bool cached, uint32_t number,
                      struct leat_log_entry *ret_entry, struct leat_error *err)
{
        uint8_t raw[LEAT_LOG_ENTRY_BYTES];
        size_t got = 0;

        LEAT_TRY(leat_log_pread(cached, fd, seg->index.path, raw, sizeof(raw), (int64_t)number * LEAT_LOG_ENTRY_BYTES,
                                &got, err));
        if (cached && got > 0 && got < sizeof(raw)) /* lies across two pages, of which one is in memory */
                return leat_log_busy(err);
        if (got != sizeof(raw) || !entry_parse(seg, raw, ret_entry))
                return leat_error_set(err, LEAT_ECORRUPT, "%s: entry %u is damaged", seg->index.path, number);
        return 0;
}

/* The last of the first @count entries for which it is at or before the place
 * looked for: by offset, or by time. Both grow along the file. */
static int index_search(struct leat_log_segment *seg, bool cached, uint32_t count, bool by_time, int64_t key,
                        struct leat_log_entry *ret_entry, struct leat_error *err)
{
        uint32_t low = 0, high = count;
        struct leat_log_entry entry;
        int fd, rc = 0;
        bool found = false;

        if (count == 0)
                return leat_error_set(err, LEAT_ENOTFOUND, "%s has no entry", seg->index.path);
        if (!cached)
                LEAT_TRY(leat_log_file_get(seg->files, &seg->index, false, &fd, err));
        else if (!leat_log_file_get_open(seg->files, &seg->index, &fd))
                return leat_log_busy(err);
        while (low < high) {
                uint32_t mid = low + (high - low) / 2;

                rc = entry_read(seg, fd, cached, mid, &entry, err);
                if (rc != 0)
                        break;
                if (by_time ? entry.max_before_ms < key : (int64_t)entry.rel <= key) {
                        *ret_entry = entry;
                        found = true;
                        low = mid + 1;
                } else {
                        high = mid;
                }
        }
        leat_log_file_put(seg->files, &seg->index);
        if (rc == 0 && !found)
                rc = leat_error_set(err, LEAT_ENOTFOUND, "%s has no entry for it", seg->index.path);
        return rc;
}

int leat_log_index_find(struct leat_log_segment *seg, bool cached, uint32_t count, uint32_t rel,
                        struct leat_log_entry *ret_entry, struct leat_error *err)
{
        return index_search(seg, cached, count, false, rel, ret_entry, err);
}

int leat_log_index_find_time(struct leat_log_segment *seg, uint32_t count, int64_t time_ms,
                             struct leat_log_entry *ret_entry, struct leat_error *err)
{
        return index_search(seg, false, count, true, time_ms, ret_entry, err);
}

bool leat_log_index_pending(const struct leat_log_segment *seg, uint32_t rel, struct leat_log_entry *ret_entry)
{
        uint32_t low = 0, high = seg->pending_count;

        while (low < high) {
                uint32_t mid = low + (high - low) / 2;

                if (seg->pending[mid].rel <= rel)
                        low = mid + 1;
                else
                        high = mid;
        }
        if (low > 0)
                *ret_entry = seg->pending[low - 1];
        return low > 0;
}

bool leat_log_index_pending_time(const struct leat_log_segment *seg, int64_t time_ms, struct leat_log_entry *ret_entry)
{
        bool found = false;

        for (uint32_t i = 0; i < seg->pending_count && seg->pending[i].max_before_ms < time_ms; i++) {
                *ret_entry = seg->pending[i];
                found = true;
        }
        return found;
}

static int note_walked(void *arg, const struct leat_log_batch *batch, int64_t pos)
{
        leat_log_index_note(arg, batch, pos);
        return 0;
}

/* True when a batch with the entry's offset begins where the entry says. */
static bool entry_fits(struct leat_log_segment *seg, const struct leat_log_entry *entry)
{
        uint8_t head[8];
        size_t got = 0;
        int fd;

        if (leat_log_file_get(seg->files, &seg->log, false, &fd, NULL) != 0)
                return false;
        if (leat_os_pread(fd, seg->log.path, head, sizeof(head), entry->pos, &got, NULL) != 0)
                got = 0;
        leat_log_file_put(seg->files, &seg->log);
        return got == sizeof(head) && (int64_t)leat_get_be64(head) == seg->base + entry->rel;
}

/* How many entries of the file are good for the log up to @limit; *ret_last is the last of them. */
static uint32_t entries_good(struct leat_log_segment *seg, int fd, int64_t limit, struct leat_log_entry *ret_last)
{
        int64_t size = 0;
        uint32_t count;

        if (leat_os_size(fd, seg->index.path, &size, NULL) != 0)
                return 0;
        for (count = (uint32_t)(size / LEAT_LOG_ENTRY_BYTES); count > 0; count--) {
                struct leat_log_entry entry;

                if (entry_read(seg, fd, false, count - 1, &entry, NULL) != 0)
                        continue;
                seg->index_closed = seg->sealed && entry.pos <= limit && seg->base + entry.rel == seg->end;
                *ret_last = entry;
                if (seg->index_closed || (entry.pos < limit && (!seg->sealed || seg->base + entry.rel < seg->end) &&
                                          entry_fits(seg, &entry)))
                        break;
        }
        if (size != (int64_t)count * LEAT_LOG_ENTRY_BYTES)
                LEAT_LOG_IGNORE(leat_os_ftruncate(fd, seg->index.path, (int64_t)count * LEAT_LOG_ENTRY_BYTES, NULL));
        return count;
}

/* A missing or unreadable file only means more work: reads go on without it. */
int leat_log_index_load(struct leat_log_segment *seg, int64_t limit, struct leat_error *err)
{
        struct leat_log_walk walk = {.offset = seg->base,
                                     .limit = limit,
                                     .epoch_max = INT32_MAX,
                                     .offset_limit = seg->sealed ? seg->end : INT64_MAX};
        struct leat_log_entry last;
        int fd, rc = 0;

        seg->pending_count = seg->index_count = 0;
        seg->index_closed = false;
        seg->entry_pos = -1;
        seg->max_time_ms = -1;
        if (leat_log_file_get(seg->files, &seg->index, false, &fd, NULL) == 0) {
                seg->index_count = entries_good(seg, fd, limit, &last);
                leat_log_file_put(seg->files, &seg->index);
        }
        if (seg->index_count > 0) {
                walk.pos = seg->entry_pos = last.pos;
                walk.offset = seg->base + last.rel;
                seg->max_time_ms = last.max_before_ms;
        }
        if (!seg->index_closed)
                rc = leat_log_segment_walk_around(seg, &walk, note_walked, seg, err);
        seg->index_ready = rc == 0;
        if (rc == 0 && seg->sealed && seg->synced >= limit) {
                /* What lies behind the next segment's base was given up. */
                if (seg->index_closed || walk.offset >= seg->end)
                        seg->bytes = seg->synced = LEAT_MIN(limit, seg->index_closed ? last.pos : walk.pos);
                LEAT_LOG_IGNORE(leat_log_index_flush(seg, seg->bytes, true, NULL)); /* else it is made again */
        }
        return rc;
}

int leat_log_index_rebuild(struct leat_log_segment *seg, struct leat_error *err)
{
        int fd, rc;

        leat_diag(LEAT_DIAG_WARN, "log", "index is made anew", "file=%s", seg->index.path);
        /* Emptied and not replaced: who searches it without the lock finds it damaged, and comes here. */
        LEAT_TRY(leat_log_file_get(seg->files, &seg->index, true, &fd, err));
        rc = leat_os_ftruncate(fd, seg->index.path, 0, err);
        leat_log_file_put(seg->files, &seg->index);
        LEAT_TRY(rc);
        return leat_log_index_load(seg, seg->bytes, err);
}

void leat_log_index_warm(struct leat_log_segment *seg)
{
        struct leat_log_entry entry;
        int64_t size = 0;
        int fd;

        if (leat_log_file_get(seg->files, &seg->index, false, &fd, NULL) != 0)
                return;
        if (leat_os_size(fd, seg->index.path, &size, NULL) == 0 && size >= LEAT_LOG_ENTRY_BYTES)
                LEAT_LOG_IGNORE(entry_read(seg, fd, false, (uint32_t)(size / LEAT_LOG_ENTRY_BYTES) - 1, &entry, NULL));
        leat_log_file_put(seg->files, &seg->index);
}
