/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/log: what a partition remembers: idempotent producers, leader epochs.
 *
 * Per producer id: the newest epoch and the last five batches, so that a batch
 * sent again is answered with its first offset and not written twice. All of
 * it follows from the batches; a snapshot only saves reading them.
 *
 * Snapshot (little endian): "LPRD" u32, version u32, offset i64 (covers all
 * batches below), epochs u32, producers u32; per epoch: epoch i32, start i64;
 * per producer: id i64, epoch i16, batches u8, time i64, per batch: first and
 * last sequence i32, base and end offset i64; CRC32C of everything before.
 *
 * Bounded by log.producers.max: beyond it the producers that were silent
 * longest are forgotten, an eighth at a time.
 */
#include "log_int.h"

#define SNAPSHOT_MAGIC 0x4452504cu /* "LPRD" */

void leat_log_memory_done(struct leat_log_memory *mem)
{
        free(mem->prods.slots);
        *mem = (struct leat_log_memory){0};
}

/* ---- the table -------------------------------------------------------------- */

static struct leat_log_prod *prods_place(const struct leat_log_prods *prods, int64_t id)
{
        uint32_t at = (uint32_t)leat_hash_mix(7, (uint64_t)id) & (prods->cap - 1);

        while (prods->slots[at].id != -1 && prods->slots[at].id != id)
                at = (at + 1) & (prods->cap - 1);
        return &prods->slots[at];
}

static void prods_resize(struct leat_log_prods *prods, uint32_t cap, int64_t not_before_ms)
{
        struct leat_log_prod *old = prods->slots;
        uint32_t old_cap = prods->cap;

        prods->slots = leat_malloc(cap * sizeof(*prods->slots));
        prods->cap = cap;
        prods->count = 0;
        for (uint32_t i = 0; i < cap; i++)
                prods->slots[i].id = -1;
        for (uint32_t i = 0; i < old_cap; i++) {
                if (old[i].id == -1 || old[i].time_ms < not_before_ms)
                        continue;
                *prods_place(prods, old[i].id) = old[i];
                prods->count++;
        }
        free(old);
}

static int time_order(const void *a, const void *b)
{
        int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

        return x < y ? -1 : x > y;
}

/* Forgets about an eighth, those silent longest. */
static void prods_shed(struct leat_log_prods *prods)
{
        int64_t *times = leat_malloc(prods->count * sizeof(*times));
        uint32_t n = 0;

        for (uint32_t i = 0; i < prods->cap; i++) {
                if (prods->slots[i].id != -1)
                        times[n++] = prods->slots[i].time_ms;
        }
        qsort(times, n, sizeof(*times), time_order);
        prods_resize(prods, prods->cap, times[n / 8] + 1);
        free(times);
}

static struct leat_log_prod *prods_get(struct leat_log_prods *prods, int64_t id)
{
        struct leat_log_prod *prod;

        if (prods->count >= (uint32_t)leat_param(LEAT_P_LOG_PRODUCERS_MAX))
                prods_shed(prods);
        if (prods->count * 4 >= prods->cap * 3)
                prods_resize(prods, prods->cap ? prods->cap * 2 : 4, INT64_MIN);
        prod = prods_place(prods, id);
        if (prod->id == -1) {
                *prod = (struct leat_log_prod){.id = id, .epoch = -1};
                prods->count++;
        }
        return prod;
}

static const struct leat_log_prod *prods_find(const struct leat_log_prods *prods, int64_t id)
{
        const struct leat_log_prod *prod;

        if (prods->count == 0)
                return NULL;
        prod = prods_place(prods, id);
        return prod->id == id ? prod : NULL;
}

/* ---- sequences ----------------------------------------------------------------- */

/* Sequence numbers go round from 2^31-1 to 0. */
static int32_t sequence_add(int32_t sequence, int32_t n)
{
        return (int32_t)(((uint32_t)sequence + (uint32_t)n) & INT32_MAX);
}

int leat_log_memory_check(const struct leat_log_memory *mem, const struct leat_log_batch *batch,
                          struct leat_log_seq *ret_seq, struct leat_error *err)
{
        const struct leat_log_prod *prod = prods_find(&mem->prods, batch->producer_id);
        int32_t first = batch->base_sequence, last = sequence_add(first, batch->last_delta);
        int32_t expected;

        if (!prod)
                return 0; /* unknown or forgotten: any sequence may begin, as in Kafka */
        if (batch->producer_epoch < prod->epoch)
                return leat_error_set(err, LEAT_EFENCED, "producer %lld has epoch %d, the batch came with %d",
                                      (long long)batch->producer_id, prod->epoch, batch->producer_epoch);
        if (batch->producer_epoch > prod->epoch) {
                if (first == 0)
                        return 0;
                return leat_error_set(err, LEAT_ESEQUENCE, "producer %lld began epoch %d with sequence %d, not 0",
                                      (long long)batch->producer_id, batch->producer_epoch, first);
        }
        for (uint32_t i = 0; i < prod->count; i++) {
                if (prod->batches[i].first == first && prod->batches[i].last == last) {
                        *ret_seq = prod->batches[i];
                        return LEAT_EDUPLICATE;
                }
        }
        expected = prod->count ? sequence_add(prod->batches[prod->count - 1].last, 1) : 0;
        if (first == expected)
                return 0;
        return leat_error_set(err, LEAT_ESEQUENCE, "producer %lld sent sequence %d, expected %d",
                              (long long)batch->producer_id, first, expected);
}

void leat_log_memory_note(struct leat_log_memory *mem, const struct leat_log_batch *batch, int64_t now_ms)
{
        struct leat_log_prod *prod;

        if (mem->epoch_count == 0 || mem->epochs[mem->epoch_count - 1].epoch < batch->epoch) {
                if (mem->epoch_count == LEAT_LOG_EPOCHS_MAX)
                        memmove(mem->epochs, mem->epochs + 1, --mem->epoch_count * sizeof(mem->epochs[0]));
                mem->epochs[mem->epoch_count++] = (struct leat_log_epoch){.epoch = batch->epoch, .start = batch->base};
        }
        if (batch->producer_id < 0 || batch->base_sequence < 0)
                return;
        prod = prods_get(&mem->prods, batch->producer_id);
        if (prod->epoch != batch->producer_epoch) {
                prod->epoch = batch->producer_epoch;
                prod->count = 0;
        }
        if (prod->count == LEAT_LOG_PRODUCER_BATCHES)
                memmove(prod->batches, prod->batches + 1, --prod->count * sizeof(prod->batches[0]));
        prod->batches[prod->count++] =
                (struct leat_log_seq){.first = batch->base_sequence,
                                      .last = sequence_add(batch->base_sequence, batch->last_delta),
                                      .base = batch->base,
                                      .end = leat_log_batch_end(batch)};
        prod->time_ms = now_ms;
}

void leat_log_memory_expire(struct leat_log_memory *mem, int64_t before_ms)
{
        for (uint32_t i = 0; i < mem->prods.cap; i++) {
                if (mem->prods.slots[i].id != -1 && mem->prods.slots[i].time_ms < before_ms) {
                        prods_resize(&mem->prods, mem->prods.cap, before_ms);
                        return;
                }
        }
}

void leat_log_memory_trim(struct leat_log_memory *mem, int64_t start, int64_t end)
{
        uint32_t drop = 0;

        while (mem->epoch_count > 0 && mem->epochs[mem->epoch_count - 1].start >= end)
                mem->epoch_count--;
        while (drop + 1 < mem->epoch_count && mem->epochs[drop + 1].start <= start)
                drop++;
        mem->epoch_count -= drop;
        memmove(mem->epochs, mem->epochs + drop, mem->epoch_count * sizeof(mem->epochs[0]));
}

/* ---- the snapshot ---------------------------------------------------------------- */

void leat_log_memory_write(const struct leat_log_memory *mem, int64_t offset, struct leat_buf *out)
{
        leat_buf_le32(out, SNAPSHOT_MAGIC);
        leat_buf_le32(out, 1);
        leat_buf_le64(out, (uint64_t)offset);
        leat_buf_le32(out, mem->epoch_count);
        leat_buf_le32(out, mem->prods.count);
        for (uint32_t i = 0; i < mem->epoch_count; i++) {
                leat_buf_le32(out, (uint32_t)mem->epochs[i].epoch);
                leat_buf_le64(out, (uint64_t)mem->epochs[i].start);
        }
        for (uint32_t i = 0; i < mem->prods.cap; i++) {
                const struct leat_log_prod *prod = &mem->prods.slots[i];

                if (prod->id == -1)
                        continue;
                leat_buf_le64(out, (uint64_t)prod->id);
                leat_buf_le16(out, (uint16_t)prod->epoch);
                leat_buf_u8(out, prod->count);
                leat_buf_le64(out, (uint64_t)prod->time_ms);
                for (uint32_t b = 0; b < prod->count; b++) {
                        leat_buf_le32(out, (uint32_t)prod->batches[b].first);
                        leat_buf_le32(out, (uint32_t)prod->batches[b].last);
                        leat_buf_le64(out, (uint64_t)prod->batches[b].base);
                        leat_buf_le64(out, (uint64_t)prod->batches[b].end);
                }
        }
        leat_buf_le32(out, leat_crc32c(0, out->data, out->len));
}

static bool producer_parse(struct leat_cursor *cur, struct leat_log_memory *mem)
{
        int64_t id = (int64_t)leat_cursor_le64(cur);
        int16_t epoch = (int16_t)leat_cursor_le16(cur);
        uint8_t count = leat_cursor_u8(cur);
        struct leat_log_prod prod = {.id = id, .epoch = epoch, .count = count};

        prod.time_ms = (int64_t)leat_cursor_le64(cur);
        if (cur->failed || count > LEAT_LOG_PRODUCER_BATCHES || id < 0)
                return false;
        for (uint32_t b = 0; b < count; b++) {
                prod.batches[b].first = (int32_t)leat_cursor_le32(cur);
                prod.batches[b].last = (int32_t)leat_cursor_le32(cur);
                prod.batches[b].base = (int64_t)leat_cursor_le64(cur);
                prod.batches[b].end = (int64_t)leat_cursor_le64(cur);
        }
        if (!cur->failed)
                *prods_get(&mem->prods, id) = prod;
        return !cur->failed;
}

int leat_log_memory_parse(struct leat_view file, struct leat_log_memory *ret_mem, int64_t *ret_offset,
                          struct leat_error *err)
{
        struct leat_log_memory mem = {0};
        struct leat_cursor cur;
        uint32_t epochs, producers;
        int64_t offset;
        bool good = false;

        if (file.len >= 28 && leat_get_le32(file.data + file.len - 4) == leat_crc32c(0, file.data, file.len - 4)) {
                cur = leat_cursor_of(leat_view_of(file.data, file.len - 4));
                good = leat_cursor_le32(&cur) == SNAPSHOT_MAGIC && leat_cursor_le32(&cur) == 1;
        }
        if (!good)
                return leat_error_set(err, LEAT_ECORRUPT, "the snapshot of producers is damaged");
        offset = (int64_t)leat_cursor_le64(&cur);
        epochs = leat_cursor_le32(&cur);
        producers = leat_cursor_le32(&cur);
        good = epochs <= LEAT_LOG_EPOCHS_MAX;
        for (uint32_t i = 0; good && i < epochs; i++) {
                mem.epochs[i].epoch = (int32_t)leat_cursor_le32(&cur);
                mem.epochs[i].start = (int64_t)leat_cursor_le64(&cur);
        }
        mem.epoch_count = good ? epochs : 0;
        for (uint32_t i = 0; good && i < producers; i++)
                good = producer_parse(&cur, &mem);
        if (!good || cur.failed || leat_cursor_left(&cur) != 0) {
                leat_log_memory_done(&mem);
                return leat_error_set(err, LEAT_ECORRUPT, "the snapshot of producers is damaged");
        }
        leat_log_memory_done(ret_mem);
        *ret_mem = mem;
        *ret_offset = offset;
        return 0;
}
