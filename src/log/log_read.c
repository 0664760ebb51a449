/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/log: the read path.
 *
 * The place to begin is noted under the lock (from the last read, from entries
 * in memory, or from the index file); bytes are read without it, into one block
 * that goes to the socket as it is. Every batch given out has its CRC checked.
 *
 * Damage   A batch that does not fit ends the answer in front of it. Asked for
 *          that place itself, the answer is LEAT_ECORRUPT with the offset of
 *          the next good batch, found by looking for one byte by byte.
 */
#include "log_int.h"

#define READ_BYTES_MAX (64u << 20)

struct reading {
        struct leat_log_partition *part;
        struct leat_log_segment *seg;
        bool cached;          /* the disk is not waited for: LEAT_EBUSY instead */
        int64_t pos, offset;  /* a batch begins here, with this offset */
        int64_t target;       /* the offset asked for */
        int64_t limit;        /* bytes of the segment that may be read */
        int64_t offset_limit; /* end of what may be read */
        struct leat_log_read *ret;
};

/* What one block gave. */
enum outcome { READ_TAKEN, READ_AGAIN, READ_BAD };

static bool header_good(const struct reading *r, const uint8_t *p, int64_t pos, struct leat_log_batch *ret_batch)
{
        return leat_log_batch_parse(p, ret_batch) && ret_batch->base == r->offset &&
               ret_batch->bytes <= r->limit - pos && leat_log_batch_end(ret_batch) <= r->offset_limit;
}

/* Takes whole batches out of a block that was read at r->pos. READ_AGAIN: move
 * on to r->pos and read at least *need bytes there. */
static enum outcome take_batches(struct reading *r, struct leat_block *block, size_t got, uint32_t max_bytes,
                                 size_t *need, struct leat_chain *out)
{
        size_t at = 0, from = SIZE_MAX;
        bool bad = false;

        while (at + LEAT_LOG_BATCH_HEADER_BYTES <= got && r->offset < r->offset_limit) {
                struct leat_log_batch batch;

                bad = !header_good(r, block->data + at, r->pos + (int64_t)at, &batch);
                if (bad)
                        break;
                if (leat_log_batch_end(&batch) > r->target) {
                        if (from != SIZE_MAX && at + batch.bytes - from > max_bytes)
                                break;
                        if (at + batch.bytes > got) {
                                *need = batch.bytes;
                                break;
                        }
                        bad = !leat_log_batch_crc_ok(block->data + at, &batch);
                        if (bad)
                                break;
                        if (from == SIZE_MAX)
                                from = at;
                }
                at += batch.bytes;
                r->offset = leat_log_batch_end(&batch);
                if (at >= got)
                        break;
        }
        if (from != SIZE_MAX)
                leat_chain_add(out, block, leat_view_of(block->data + from, at - from));
        r->pos += (int64_t)at;
        return from != SIZE_MAX ? READ_TAKEN : bad ? READ_BAD : READ_AGAIN;
}

static int corrupt(struct reading *r, int64_t pos, int64_t next, struct leat_error *err)
{
        int rc = leat_error_set(err, LEAT_ECORRUPT,
                                "%s: no good batch at byte %lld (offset %lld); the next begins at %lld",
                                r->seg->log.path, (long long)pos, (long long)r->target, (long long)next);

        leat_error_hint(err, "run leat verify; offsets %lld to %lld are lost to readers", (long long)r->target,
                        (long long)next - 1);
        r->ret->next = next;
        return rc;
}

/* There is no good batch at r->pos. Goes on behind it when the target may still
 * lie there, else reports. */
static int pass_damage(struct reading *r, struct leat_error *err)
{
        struct leat_log_batch batch;
        int64_t pos;
        int rc;

        if (r->cached) /* may need to look through much */
                return leat_log_busy(err);
        rc = leat_log_segment_resync(r->seg, r->pos + 1, r->limit, r->offset, r->offset_limit, &pos, &batch, err);
        if (rc == LEAT_ENOTFOUND)
                return corrupt(r, r->pos, r->offset_limit, err);
        LEAT_TRY(rc);
        if (batch.base > r->target)
                return corrupt(r, r->pos, batch.base, err);
        r->pos = pos;
        r->offset = batch.base;
        return 0;
}

static int read_batches(struct reading *r, uint32_t max_bytes, struct leat_chain *out, struct leat_error *err)
{
        size_t need = LEAT_LOG_BATCH_HEADER_BYTES;
        int fd, rc;

        max_bytes = LEAT_MIN(max_bytes, READ_BYTES_MAX);
        if (!r->cached)
                LEAT_TRY(leat_log_file_get(r->seg->files, &r->seg->log, false, &fd, err));
        else if (!leat_log_file_get_open(r->seg->files, &r->seg->log, &fd))
                return leat_log_busy(err);
        for (;;) {
                size_t slack = r->offset < r->target ? LEAT_LOG_INDEX_EVERY : 0;
                size_t want = LEAT_MAX((size_t)max_bytes, need) + slack, got = 0;
                struct leat_block *block;
                enum outcome outcome;

                want = (size_t)LEAT_MIN((int64_t)want, r->limit - r->pos);
                block = leat_block_new(want);
                rc = leat_log_pread(r->cached, fd, r->seg->log.path, block->data, want, r->pos, &got, err);
                if (rc != 0) {
                        leat_block_unref(block);
                        break;
                }
                need = LEAT_LOG_BATCH_HEADER_BYTES;
                outcome = got < need ? READ_BAD : take_batches(r, block, got, max_bytes, &need, out);
                leat_block_unref(block);
                if (outcome == READ_TAKEN)
                        break;
                if (r->cached && got < want && got < need) {
                        rc = leat_log_busy(err);
                        break;
                }
                if (outcome == READ_BAD || (got < want && got < need)) {
                        rc = pass_damage(r, err);
                        if (rc != 0)
                                break;
                }
        }
        leat_log_file_put(r->seg->files, &r->seg->log);
        return rc;
}

/* Lock held. */
static void reading_begin(struct reading *r, struct leat_log_partition *part, struct leat_log_segment *seg)
{
        r->part = part;
        r->seg = leat_log_segment_ref(seg);
        r->limit = seg->synced;
        r->offset_limit = seg->sealed ? LEAT_MIN(seg->end, part->high) : part->high;
}

/* Where the last reader stopped, or an entry in memory. */
static bool locate_in_memory(struct reading *r, struct leat_log_entry *ret_entry)
{
        struct leat_log_partition *part = r->part;

        for (uint32_t i = 0; i < LEAT_LOG_HINTS; i++) {
                if (part->hints[i].offset == r->target && part->hints[i].segment == r->seg->base &&
                    r->target > r->seg->base) {
                        *ret_entry = (struct leat_log_entry){.rel = (uint32_t)(r->target - r->seg->base),
                                                             .pos = (uint32_t)part->hints[i].pos};
                        return true;
                }
        }
        return r->seg->index_ready && leat_log_index_pending(r->seg, (uint32_t)(r->target - r->seg->base), ret_entry);
}

/* Lock held. While it was not, the segment may have been removed. */
static bool segment_there(struct leat_log_partition *part, const struct leat_log_segment *seg)
{
        int at = leat_log_partition_seg_at(part, seg->base);

        return leat_log_partition_usable(part, NULL) == 0 && at >= 0 && part->segs[at] == seg;
}

static int locate_cached(struct reading *r, uint32_t rel, struct leat_log_entry *ret_entry, struct leat_error *err)
{
        int rc = LEAT_EBUSY;

        if (r->seg->index_ready)
                rc = leat_log_index_find(r->seg, true, r->seg->index_count, rel, ret_entry, err);
        return rc == LEAT_EBUSY || rc == LEAT_ECORRUPT ? leat_log_busy(err) : rc;
}

/* Lock held, given up while the disk is waited for, and taken again: who appends must not wait for it too. */
static int locate_on_disk(struct reading *r, uint32_t rel, struct leat_log_entry *ret_entry, struct leat_error *err)
{
        struct leat_log_partition *part = r->part;
        uint32_t count = r->seg->index_count;
        bool ready = r->seg->index_ready;
        int rc = LEAT_ECORRUPT;

        pthread_mutex_unlock(&part->lock);
        if (ready)
                rc = leat_log_index_find(r->seg, false, count, rel, ret_entry, err);
        else
                leat_log_index_warm(r->seg);
        pthread_mutex_lock(&part->lock);
        if (rc != LEAT_ECORRUPT)
                return rc;
        if (!segment_there(part, r->seg))
                return leat_error_set(err, LEAT_ENOTFOUND, "%s was removed", r->seg->log.path);
        return leat_log_segment_locate(r->seg, r->target, ret_entry, err);
}

/* Lock held; may be given up and taken again. */
static int reading_locate(struct reading *r, struct leat_error *err)
{
        uint32_t rel = (uint32_t)(r->target - r->seg->base);
        struct leat_log_entry entry = {.max_before_ms = -1};
        int rc = 0;

        if (!locate_in_memory(r, &entry))
                rc = r->cached ? locate_cached(r, rel, &entry, err) : locate_on_disk(r, rel, &entry, err);
        if (rc != LEAT_ENOTFOUND) /* without an entry from the segment's begin on */
                LEAT_TRY(rc);
        r->pos = entry.pos;
        r->offset = r->seg->base + entry.rel;
        return 0;
}

static void reading_end(struct reading *r, bool good)
{
        if (good) {
                struct leat_log_partition *part = r->part;
                struct leat_log_hint hint = {.offset = r->offset, .segment = r->seg->base, .pos = r->pos};
                uint32_t at;

                pthread_mutex_lock(&part->lock);
                for (at = 0; at < LEAT_LOG_HINTS; at++) {
                        if (part->hints[at].offset == r->target && part->hints[at].segment == r->seg->base)
                                break; /* the reader moves on */
                }
                part->hints[at < LEAT_LOG_HINTS ? at : part->hint_next++ % LEAT_LOG_HINTS] = hint;
                pthread_mutex_unlock(&part->lock);
        }
        leat_log_segment_unref(r->seg);
}

static int read_at(struct leat_log_partition *part, bool cached, int64_t offset, uint32_t max_bytes,
                   struct leat_chain *out, struct leat_log_read *ret_read, struct leat_error *err)
{
        struct reading r = {.target = offset, .ret = ret_read, .cached = cached};
        int rc, at;

        pthread_mutex_lock(&part->lock);
        *ret_read = (struct leat_log_read){.start = part->start, .high = part->high, .next = offset};
        rc = leat_log_partition_usable(part, err);
        if (rc == 0 && (offset < part->start || offset > part->high))
                rc = leat_error_set(err, LEAT_ERANGE, "offset %lld is outside of %lld to %lld", (long long)offset,
                                    (long long)part->start, (long long)part->high);
        at = leat_log_partition_seg_at(part, offset);
        if (rc != 0 || offset == part->high || at < 0) {
                pthread_mutex_unlock(&part->lock);
                return rc;
        }
        reading_begin(&r, part, part->segs[at]);
        rc = reading_locate(&r, err);
        pthread_mutex_unlock(&part->lock);
        if (rc == 0)
                rc = r.pos >= r.limit ? corrupt(&r, r.pos, r.offset_limit, err) : read_batches(&r, max_bytes, out, err);
        if (rc == 0)
                ret_read->next = r.offset;
        reading_end(&r, rc == 0);
        return rc;
}

int leat_log_read(struct leat_log_partition *part, int64_t offset, uint32_t max_bytes, struct leat_chain *out,
                  struct leat_log_read *ret_read, struct leat_error *err)
{
        int rc = read_at(part, false, offset, max_bytes, out, ret_read, err);

        /* The file has gone: the segment was removed or given up meanwhile, and the second look says so. */
        return rc == LEAT_ENOTFOUND ? read_at(part, false, offset, max_bytes, out, ret_read, err) : rc;
}

int leat_log_read_cached(struct leat_log_partition *part, int64_t offset, uint32_t max_bytes, struct leat_chain *out,
                         struct leat_log_read *ret_read, struct leat_error *err)
{
        return read_at(part, true, offset, max_bytes, out, ret_read, err);
}

/* ---- by time --------------------------------------------------------------------- */

struct time_search {
        int64_t time_ms, start;
        int64_t pos, offset;
        bool found;
};

static int time_batch(void *arg, const struct leat_log_batch *batch, int64_t pos)
{
        struct time_search *search = arg;

        if (batch->max_time_ms < search->time_ms || leat_log_batch_end(batch) <= search->start)
                return 0;
        search->pos = pos;
        search->offset = batch->base;
        search->found = true;
        return LEAT_ECANCELED; /* ends the walk */
}

/* Brings the ends of indexes into memory, which the next step needs under the lock. */
static void segments_warm(struct leat_log_partition *part)
{
        struct leat_log_segment **segs;
        uint32_t count = 0;

        pthread_mutex_lock(&part->lock);
        segs = leat_malloc((part->seg_count + 1) * sizeof(struct leat_log_segment *));
        for (uint32_t i = 0; i < part->seg_count; i++) {
                if (!part->segs[i]->index_ready)
                        segs[count++] = leat_log_segment_ref(part->segs[i]);
        }
        pthread_mutex_unlock(&part->lock);
        for (uint32_t i = 0; i < count; i++) {
                leat_log_index_warm(segs[i]);
                leat_log_segment_unref(segs[i]);
        }
        free(segs);
}

/* Lock held. False when all in @seg is older. Where to begin: *ret_entry, or what time_find tells of the *ret_count
 * entries in the file. */
static bool time_may_be(struct leat_log_segment *seg, int64_t time_ms, struct leat_log_entry *ret_entry,
                        uint32_t *ret_count, struct leat_error *err, int *rc)
{
        *rc = 0;
        if (!seg->index_ready && (*rc = leat_log_index_load(seg, seg->bytes, err)) != 0)
                return false;
        if (seg->max_time_ms < time_ms)
                return false;
        *ret_entry = (struct leat_log_entry){.max_before_ms = -1};
        *ret_count = leat_log_index_pending_time(seg, time_ms, ret_entry) ? 0 : seg->index_count;
        return true;
}

static int time_find(struct reading *r, uint32_t count, int64_t time_ms, struct leat_log_entry *io_entry,
                     struct leat_error *err)
{
        struct leat_log_entry entry;
        int rc = count > 0 ? leat_log_index_find_time(r->seg, count, time_ms, &entry, err) : LEAT_ENOTFOUND;

        if (rc == 0)
                *io_entry = entry;
        if (rc == LEAT_ECORRUPT) {
                pthread_mutex_lock(&r->part->lock);
                rc = segment_there(r->part, r->seg) ? leat_log_index_rebuild(r->seg, err) : 0;
                pthread_mutex_unlock(&r->part->lock);
        }
        return rc == LEAT_ENOTFOUND ? 0 : rc; /* from the segment's begin on */
}

static int time_in_segment(struct reading *r, int64_t time_ms, const struct leat_log_entry *entry,
                           struct leat_chain *out, bool *ret_found, struct leat_error *err)
{
        struct time_search search = {.time_ms = time_ms, .start = r->ret->start};
        struct leat_log_walk walk = {.pos = entry->pos,
                                     .offset = r->seg->base + entry->rel,
                                     .limit = r->limit,
                                     .offset_limit = r->offset_limit,
                                     .epoch_max = INT32_MAX};
        int rc = leat_log_segment_walk_around(r->seg, &walk, time_batch, &search, err);

        if (rc != 0 && !search.found)
                return rc;
        *ret_found = search.found;
        if (!search.found)
                return 0;
        r->pos = search.pos;
        r->offset = r->target = search.offset;
        LEAT_TRY(read_batches(r, 1, out, err));
        r->ret->next = r->offset;
        return 0;
}

/* Takes the first segment behind *io_from in which the time may be. LEAT_ENOTFOUND: there is none. */
static int time_segment(struct reading *r, int64_t time_ms, int64_t *io_from, struct leat_log_entry *ret_entry,
                        uint32_t *ret_count, struct leat_error *err)
{
        struct leat_log_partition *part = r->part;
        int at, rc;

        pthread_mutex_lock(&part->lock);
        *r->ret = (struct leat_log_read){.start = part->start, .high = part->high, .next = part->high};
        rc = leat_log_partition_usable(part, err);
        *io_from = LEAT_MAX(*io_from, part->start);
        at = LEAT_MAX(leat_log_partition_seg_at(part, *io_from), 0);
        for (; rc == 0 && *io_from < part->high && at < (int)part->seg_count && !r->seg; at++) {
                if (time_may_be(part->segs[at], time_ms, ret_entry, ret_count, err, &rc))
                        reading_begin(r, part, part->segs[at]);
                *io_from = part->segs[at]->end;
        }
        pthread_mutex_unlock(&part->lock);
        if (rc == 0 && !r->seg)
                rc = leat_error_set(err, LEAT_ENOTFOUND, "all records are older than %lld", (long long)time_ms);
        return rc;
}

int leat_log_read_time(struct leat_log_partition *part, int64_t timestamp_ms, struct leat_chain *out,
                       struct leat_log_read *ret_read, struct leat_error *err)
{
        int64_t from = 0;
        bool found = false;

        segments_warm(part);
        while (!found) {
                struct reading r = {.part = part, .ret = ret_read};
                struct leat_log_entry entry;
                uint32_t count = 0;
                int rc;

                LEAT_TRY(time_segment(&r, timestamp_ms, &from, &entry, &count, err));
                rc = time_find(&r, count, timestamp_ms, &entry, err);
                if (rc == 0)
                        rc = time_in_segment(&r, timestamp_ms, &entry, out, &found, err);
                leat_log_segment_unref(r.seg);
                if (rc != 0 && rc != LEAT_ENOTFOUND) /* the file has gone: the segment was removed, look in the next */
                        return rc;
        }
        return 0;
}

int leat_log_max_time(struct leat_log_partition *part, int64_t *ret_timestamp_ms, struct leat_error *err)
{
        int64_t max = -1;
        int rc;

        segments_warm(part);
        pthread_mutex_lock(&part->lock);
        rc = leat_log_partition_usable(part, err);
        for (uint32_t i = 0; rc == 0 && i < part->seg_count; i++) {
                if (!part->segs[i]->index_ready)
                        rc = leat_log_index_load(part->segs[i], part->segs[i]->bytes, err);
                if (rc == 0)
                        max = LEAT_MAX(max, part->segs[i]->max_time_ms);
        }
        pthread_mutex_unlock(&part->lock);
        if (rc == 0)
                *ret_timestamp_ms = max;
        return rc;
}
