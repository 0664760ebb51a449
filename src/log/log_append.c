/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/log: the append path.
 *
 * The batches of one call go out in one pwritev: for each batch sixteen bytes
 * of our own (base offset, length, leader epoch) and the producer's bytes from
 * 16 on. Nothing of the partition changes before the write has succeeded.
 *
 * Failure  The file is cut back to where it was. When that fails too the
 *          segment ends there: whatever was written behind its end is beyond
 *          the base of the next segment and never read.
 */
#include "log_int.h"

#define HEAD_BYTES 16

/* The batches of one call. */
struct incoming {
        const struct leat_chain *chain;
        struct leat_log_batch *batches;
        uint32_t count, cap;
        struct leat_log_batch few[4];
};

/* Copies @bytes at @pos out of a chain; @slice and @slice_pos follow along. */
static void chain_peek(const struct leat_chain *chain, uint32_t slice, size_t at, uint8_t *out, size_t bytes)
{
        while (bytes > 0) {
                struct leat_view view = chain->slices[slice].view;
                size_t n = LEAT_MIN(bytes, view.len - at);

                memcpy(out, view.data + at, n);
                out += n;
                bytes -= n;
                at = 0;
                slice++;
        }
}

static void incoming_add(struct incoming *in, const struct leat_log_batch *batch)
{
        if (in->count == in->cap) {
                struct leat_log_batch *grown = leat_malloc(in->cap * 2 * sizeof(*grown));

                memcpy(grown, in->batches, in->count * sizeof(*grown));
                if (in->batches != in->few)
                        free(in->batches);
                in->batches = grown;
                in->cap *= 2;
        }
        in->batches[in->count++] = *batch;
}

/* Frames the chain into batches. */
static int incoming_parse(struct incoming *in, struct leat_error *err)
{
        const struct leat_chain *chain = in->chain;
        size_t left = chain->len, at = 0;
        uint32_t slice = 0;

        while (left > 0) {
                uint8_t head[LEAT_LOG_BATCH_HEADER_BYTES];
                struct leat_log_batch batch;
                size_t skip;

                while (slice < chain->count && at >= chain->slices[slice].view.len) {
                        at -= chain->slices[slice].view.len;
                        slice++;
                }
                if (left < sizeof(head))
                        return leat_error_set(err, LEAT_EINVAL, "a record batch is shorter than its header");
                chain_peek(chain, slice, at, head, sizeof(head));
                if (!leat_log_batch_parse(head, &batch) || batch.bytes > left)
                        return leat_error_set(err, LEAT_EINVAL, "the bytes are no record batch of version 2");
                incoming_add(in, &batch);
                skip = batch.bytes;
                left -= skip;
                at += skip;
        }
        if (in->count == 0)
                return leat_error_set(err, LEAT_EINVAL, "there is no record batch to append");
        return 0;
}

/* Idempotence: 0 to go on, LEAT_EDUPLICATE with @ret filled, or an error. */
static int incoming_check(struct leat_log_partition *part, const struct incoming *in, struct leat_log_appended *ret,
                          struct leat_error *err)
{
        struct leat_log_seq seq;
        int rc;

        for (uint32_t i = 0; i < in->count; i++) {
                const struct leat_log_batch *batch = &in->batches[i];

                if (batch->producer_id < 0 || batch->base_sequence < 0)
                        continue;
                if (in->count > 1)
                        return leat_error_set(err, LEAT_EINVAL,
                                              "an idempotent producer sends one batch a partition and request, not %u",
                                              in->count);
                rc = leat_log_memory_check(&part->mem, batch, &seq, err);
                if (rc == LEAT_EDUPLICATE) {
                        ret->first_offset = seq.base;
                        ret->end_offset = seq.end;
                        ret->duplicate = true;
                }
                return rc;
        }
        return 0;
}

/* Adds @bytes of @from, starting at *slice and *at, to @to. */
static void chain_pass(struct leat_chain *to, const struct leat_chain *from, uint32_t *slice, size_t *at, size_t bytes)
{
        while (bytes > 0) {
                struct leat_view view = from->slices[*slice].view;
                size_t n = LEAT_MIN(bytes, view.len - *at);

                if (n > 0)
                        leat_chain_add(to, NULL, leat_view_of(view.data + *at, n));
                bytes -= n;
                *at += n;
                if (*at == view.len) {
                        *at = 0;
                        (*slice)++;
                }
        }
}

static void chain_skip(const struct leat_chain *from, uint32_t *slice, size_t *at, size_t bytes)
{
        *at += bytes;
        while (*slice < from->count && *at >= from->slices[*slice].view.len) {
                *at -= from->slices[*slice].view.len;
                (*slice)++;
        }
}

/* Gives the batches their offsets and builds what is written. */
static void incoming_assign(struct leat_log_partition *part, struct incoming *in)
{
        struct leat_chain *out = &part->scratch;
        uint32_t slice = 0;
        size_t at = 0;
        int64_t offset = part->end;
        uint8_t *head;

        leat_buf_clear(&part->scratch_heads);
        head = leat_buf_reserve(&part->scratch_heads, (size_t)in->count * HEAD_BYTES);
        out->count = 0;
        out->len = 0;
        for (uint32_t i = 0; i < in->count; i++, head += HEAD_BYTES) {
                struct leat_log_batch *batch = &in->batches[i];

                batch->base = offset;
                batch->epoch = part->log->epoch;
                offset = leat_log_batch_end(batch);
                leat_put_be64(head, (uint64_t)batch->base);
                leat_put_be32(head + 8, batch->bytes - 12);
                leat_put_be32(head + 12, (uint32_t)batch->epoch);
                leat_chain_add(out, NULL, leat_view_of(head, HEAD_BYTES));
                chain_skip(in->chain, &slice, &at, HEAD_BYTES);
                chain_pass(out, in->chain, &slice, &at, batch->bytes - HEAD_BYTES);
        }
}

/* Makes sure that there is a segment which may take @bytes more. */
static int append_segment(struct leat_log_partition *part, const struct incoming *in, struct leat_log_segment **ret_seg,
                          struct leat_error *err)
{
        struct leat_log_segment *seg = leat_log_partition_active(part);
        int64_t bytes = (int64_t)in->chain->len;
        int64_t records = 0;

        for (uint32_t i = 0; i < in->count; i++)
                records += (int64_t)in->batches[i].last_delta + 1;
        if (seg && seg->bytes > 0 &&
            (seg->bytes + bytes > part->segment_bytes || part->end + records - seg->base > UINT32_MAX ||
             (part->segment_ms >= 0 && leat_os_now_us() - seg->created_us > part->segment_ms * 1000))) {
                leat_log_partition_roll(part);
                seg = NULL;
        }
        if (!seg)
                LEAT_TRY(leat_log_partition_begin(part, err));
        *ret_seg = leat_log_partition_active(part);
        return 0;
}

/* A write has failed: what it may have left behind must never be read. */
static void append_undo(struct leat_log_partition *part, struct leat_log_segment *seg, int fd)
{
        struct leat_error err;

        if (leat_os_ftruncate(fd, seg->log.path, seg->bytes, &err) == 0)
                return;
        leat_diag_error("log", "segment ends after a failed write", &err);
        if (seg->bytes > 0) {
                leat_log_partition_roll(part);
                return;
        }
        if (leat_log_partition_set_aside(part, seg->log.path, &err) != 0)
                part->read_only = true;
        seg = leat_log_partition_take_seg(part, part->seg_count - 1);
        leat_log_segment_unref(seg);
}

/* The bytes are in the file: the log now has them. */
static void append_learn(struct leat_log_partition *part, struct leat_log_segment *seg, const struct incoming *in)
{
        int64_t pos = seg->bytes, now_ms = leat_os_now_us() / 1000;

        for (uint32_t i = 0; i < in->count; i++) {
                leat_log_index_note(seg, &in->batches[i], pos);
                leat_log_memory_note(&part->mem, &in->batches[i], now_ms);
                pos += in->batches[i].bytes;
        }
        seg->bytes = pos;
        part->end = seg->end = leat_log_batch_end(&in->batches[in->count - 1]);
        part->snapshot_bytes += (int64_t)in->chain->len;
        part->index_bytes += (int64_t)in->chain->len;
}

static int append_write(struct leat_log_partition *part, struct incoming *in, struct leat_error *err)
{
        struct leat_log_segment *seg;
        int fd, rc;

        LEAT_TRY(append_segment(part, in, &seg, err));
        leat_log_segment_ref(seg);
        LEAT_TRY_GOTO(leat_log_file_get(seg->files, &seg->log, false, &fd, err));
        incoming_assign(part, in);
        rc = leat_os_pwrite_chain(fd, seg->log.path, &part->scratch, seg->bytes, err);
        if (rc == 0)
                append_learn(part, seg, in);
        else
                append_undo(part, seg, fd);
        if (rc == 0 && !seg->pinned)
                seg->pinned = true; /* keeps our pin until it is synced */
        else
                leat_log_file_put(seg->files, &seg->log);
fail:
        leat_log_segment_unref(seg);
        return rc;
}

static int append_locked(struct leat_log_partition *part, struct incoming *in, struct leat_log_appended *ret,
                         struct leat_error *err)
{
        int rc;

        LEAT_TRY(leat_log_partition_usable(part, err));
        rc = incoming_check(part, in, ret, err);
        if (rc == LEAT_EDUPLICATE)
                return 0;
        LEAT_TRY(rc);
        if (part->read_only) {
                rc = leat_error_set(err, LEAT_EIO, "partition %s-%u is read-only since its disk has failed twice",
                                    part->topic->name, part->index);
                leat_error_hint(err, "mend or replace the disk, then restart the broker");
                if (err)
                        err->fatal = true;
                return rc;
        }
        ret->first_offset = part->end;
        rc = append_write(part, in, err);
        if (rc != 0) {
                if (err)
                        err->retriable = true;
                return rc == LEAT_EFULL || rc == LEAT_ENOMEM ? rc : LEAT_EIO;
        }
        ret->end_offset = part->end;
        return 0;
}

int leat_log_append_chain(struct leat_log_partition *part, const struct leat_chain *records,
                          struct leat_log_appended *ret_appended, struct leat_error *err)
{
        struct incoming in = {.chain = records, .cap = LEAT_ARRAY_LEN(in.few)};
        struct leat_log_appended appended = {0};
        int rc;

        in.batches = in.few;
        rc = incoming_parse(&in, err);
        if (rc == 0) {
                pthread_mutex_lock(&part->lock);
                rc = append_locked(part, &in, &appended, err);
                appended.log_start = part->start;
                appended.generation = part->generation;
                pthread_mutex_unlock(&part->lock);
        }
        if (in.batches != in.few)
                free(in.batches);
        if (rc == 0)
                *ret_appended = appended;
        return rc;
}

int leat_log_append(struct leat_log_partition *part, struct leat_view records, struct leat_log_appended *ret_appended,
                    struct leat_error *err)
{
        struct leat_slice slice = {.view = records};
        struct leat_chain chain = {.slices = &slice, .count = 1, .cap = 1, .len = records.len};

        return leat_log_append_chain(part, &chain, ret_appended, err);
}
