/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/kafka: reading record batches.
 *
 * Design    A header is read once into a struct; records are walked in place.
 *           Readers accept what compaction leaves behind (gaps in the offsets,
 *           even a batch without records); a broker that takes a batch in is
 *           stricter: leat_kafka_records_check().
 * Failure   Any bytes may come. Every length is checked against what is left.
 */
#include "leat/batch.h"

#include <inttypes.h>

int leat_kafka_batch_parse(struct leat_view data, struct leat_kafka_batch *ret_batch, size_t *ret_need,
                           struct leat_error *err)
{
        if (ret_need != NULL)
                *ret_need = 0;
        if (data.len < LEAT_KAFKA_BATCH_PREFIX_BYTES) {
                if (ret_need != NULL)
                        *ret_need = LEAT_KAFKA_BATCH_HEADER_BYTES;
                return leat_error_set(err, LEAT_EINVAL, "record batch ends within its first 12 bytes");
        }
        int32_t length = (int32_t)leat_get_be32(data.data + 8);
        /* The older formats have the magic at the same place. */
        if (data.len > 16 && data.data[16] < 2)
                return leat_error_set(err, LEAT_EUNSUPPORTED,
                                      "record batch has message format %u; only format 2 is taken", data.data[16]);
        if (length < LEAT_KAFKA_BATCH_HEADER_BYTES - LEAT_KAFKA_BATCH_PREFIX_BYTES)
                return leat_error_set(err, LEAT_ECORRUPT, "record batch says it has %" PRId32 " bytes", length);
        size_t bytes = (size_t)length + LEAT_KAFKA_BATCH_PREFIX_BYTES;
        if (data.len < bytes) {
                if (ret_need != NULL)
                        *ret_need = bytes;
                return leat_error_set(err, LEAT_EINVAL, "record batch of %zu bytes ends after %zu", bytes, data.len);
        }
        const uint8_t *p = data.data;
        if (p[16] != 2)
                return leat_error_set(err, LEAT_ECORRUPT, "record batch has message format %u", p[16]);
        struct leat_kafka_batch batch = {
                .base_offset = (int64_t)leat_get_be64(p),
                .leader_epoch = (int32_t)leat_get_be32(p + 12),
                .crc = leat_get_be32(p + 17),
                .attributes = (int16_t)leat_get_be16(p + 21),
                .last_offset_delta = (int32_t)leat_get_be32(p + 23),
                .base_timestamp_ms = (int64_t)leat_get_be64(p + 27),
                .max_timestamp_ms = (int64_t)leat_get_be64(p + 35),
                .producer_id = (int64_t)leat_get_be64(p + 43),
                .producer_epoch = (int16_t)leat_get_be16(p + 51),
                .base_sequence = (int32_t)leat_get_be32(p + 53),
                .record_count = (int32_t)leat_get_be32(p + 57),
                .bytes = leat_view_of(p, bytes),
                .payload = leat_view_of(p + LEAT_KAFKA_BATCH_HEADER_BYTES, bytes - LEAT_KAFKA_BATCH_HEADER_BYTES),
        };
        if (batch.last_offset_delta < 0 || batch.record_count < 0 ||
            (int64_t)batch.record_count > (int64_t)batch.last_offset_delta + 1)
                return leat_error_set(err, LEAT_ECORRUPT,
                                      "record batch says it has %" PRId32 " records and a last offset of +%" PRId32,
                                      batch.record_count, batch.last_offset_delta);
        *ret_batch = batch;
        return 0;
}

int leat_kafka_batch_check_crc(const struct leat_kafka_batch *batch, struct leat_error *err)
{
        uint32_t crc = leat_crc32c(0, batch->bytes.data + 21, batch->bytes.len - 21);
        if (crc != batch->crc)
                return leat_error_set(err, LEAT_ECORRUPT, "record batch has CRC %08" PRIx32 ", its bytes %08" PRIx32,
                                      batch->crc, crc);
        return 0;
}

/* ---- records --------------------------------------------------------------------- */

int leat_kafka_records_open(const struct leat_kafka_batch *batch, size_t max_bytes, struct leat_buf *scratch,
                            struct leat_kafka_record_iter *ret_iter, struct leat_error *err)
{
        struct leat_view records = batch->payload;
        int codec = leat_kafka_batch_codec(batch);
        if (codec != LEAT_KAFKA_CODEC_NONE) {
                leat_buf_clear(scratch);
                LEAT_TRY(leat_kafka_decompress(codec, batch->payload, max_bytes, scratch, err));
                /* Parsers of values read a little beyond them. */
                memset(leat_buf_reserve(scratch, 64), 0, 64);
                records = leat_buf_view(scratch);
        }
        *ret_iter = (struct leat_kafka_record_iter){.cur = leat_cursor_of(records), .batch = batch};
        return 0;
}

/* A zigzag varint; most take one to three bytes. */
static inline int64_t varint(struct leat_cursor *cur)
{
        const uint8_t *p = cur->at;
        if (!cur->failed && cur->end - p >= 3) {
                uint32_t v = p[0] & 0x7f, bytes = 1;
                if (p[0] >= 0x80) {
                        v |= (uint32_t)(p[1] & 0x7f) << 7;
                        bytes = 2;
                        if (p[1] >= 0x80) {
                                v |= (uint32_t)p[2] << 14;
                                bytes = p[2] < 0x80 ? 3 : 0;
                        }
                }
                if (bytes > 0) {
                        cur->at = p + bytes;
                        return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
                }
        }
        return leat_cursor_varint(cur);
}

/* Bytes with a varint length, -1 = null. */
static inline struct leat_view varint_bytes(struct leat_cursor *cur)
{
        int64_t len = varint(cur);
        if (cur->failed || len < 0) {
                if (len < -1)
                        cur->failed = true;
                return (struct leat_view){0};
        }
        if (len > cur->end - cur->at) {
                cur->failed = true;
                return (struct leat_view){0};
        }
        struct leat_view view = leat_view_of(cur->at, (size_t)len);
        cur->at += len;
        return view;
}

struct raw_record {
        int64_t timestamp_delta;
        int64_t offset_delta;
        struct leat_view key, value, headers;
};

/* Reads one record; false when its bytes do not fit. */
static bool record_read(struct leat_cursor *cur, struct raw_record *record)
{
        struct leat_view body = varint_bytes(cur);
        if (cur->failed || body.data == NULL)
                return false;
        struct leat_cursor in = leat_cursor_of(body);
        if (body.len == 0)
                return false;
        in.at++; /* attributes: none are defined */
        record->timestamp_delta = varint(&in);
        record->offset_delta = varint(&in);
        record->key = varint_bytes(&in);
        record->value = varint_bytes(&in);
        if (in.failed || in.at >= in.end)
                return false;
        record->headers = *in.at == 0 ? (struct leat_view){0} : leat_view_of(in.at, (size_t)(in.end - in.at));
        return record->headers.len > 0 || in.at + 1 == in.end;
}

static int record_bad(const struct leat_kafka_batch *batch, int32_t index, struct leat_error *err)
{
        return leat_error_set(err, LEAT_ECORRUPT,
                              "record %" PRId32 " of %" PRId32 " of the batch at offset %" PRId64 " is damaged", index,
                              batch->record_count, batch->base_offset);
}

int leat_kafka_records_next(struct leat_kafka_record_iter *iter, struct leat_record *ret_record, bool *ret_end,
                            struct leat_error *err)
{
        const struct leat_kafka_batch *batch = iter->batch;
        *ret_end = iter->index >= batch->record_count;
        if (*ret_end) {
                if (iter->cur.at != iter->cur.end)
                        return leat_error_set(err, LEAT_ECORRUPT,
                                              "the batch at offset %" PRId64 " has bytes behind its last record",
                                              batch->base_offset);
                return 0;
        }
        struct raw_record raw;
        if (!record_read(&iter->cur, &raw) || raw.offset_delta < 0 || raw.offset_delta > batch->last_offset_delta)
                return record_bad(batch, iter->index, err);
        iter->index++;
        ret_record->offset = (int64_t)((uint64_t)batch->base_offset + (uint64_t)raw.offset_delta);
        ret_record->timestamp_ms =
                leat_kafka_batch_append_time(batch)
                        ? batch->max_timestamp_ms
                        : (int64_t)((uint64_t)batch->base_timestamp_ms + (uint64_t)raw.timestamp_delta);
        ret_record->key = raw.key;
        ret_record->value = raw.value;
        ret_record->headers = raw.headers;
        return 0;
}

/* True when a header section holds exactly what its count says. */
static bool headers_fit(struct leat_view headers)
{
        if (headers.len == 0)
                return true;
        struct leat_cursor cur = leat_cursor_of(headers);
        int64_t count = varint(&cur);
        if (count < 0 || count > (int64_t)headers.len / 2)
                return false;
        for (int64_t i = 0; i < count && !cur.failed; i++) {
                if (varint_bytes(&cur).data == NULL)
                        return false;
                varint_bytes(&cur);
        }
        return !cur.failed && cur.at == cur.end;
}

int leat_kafka_records_check(const struct leat_kafka_batch *batch, size_t max_bytes, bool need_key,
                             struct leat_buf *scratch, int32_t *ret_index, int64_t *ret_max_ms, struct leat_error *err)
{
        int64_t max_ms = INT64_MIN;
        if (batch->record_count < 1 || batch->record_count - 1 != batch->last_offset_delta)
                return leat_error_set(err, LEAT_ECORRUPT,
                                      "record batch has %" PRId32 " records but ends at offset +%" PRId32,
                                      batch->record_count, batch->last_offset_delta);
        struct leat_kafka_record_iter iter;
        LEAT_TRY(leat_kafka_records_open(batch, max_bytes, scratch, &iter, err));
        for (int32_t i = 0; i < batch->record_count; i++) {
                struct raw_record raw;
                if (!record_read(&iter.cur, &raw) || raw.offset_delta != i || !headers_fit(raw.headers))
                        return record_bad(batch, i, err);
                max_ms =
                        LEAT_MAX(max_ms, (int64_t)((uint64_t)batch->base_timestamp_ms + (uint64_t)raw.timestamp_delta));
                if (need_key && raw.key.data == NULL) {
                        if (ret_index != NULL)
                                *ret_index = i;
                        return leat_error_set(err, LEAT_EINVAL, "record %" PRId32 " of the batch has no key", i);
                }
        }
        if (iter.cur.at != iter.cur.end)
                return leat_error_set(err, LEAT_ECORRUPT, "record batch has bytes behind its last record");
        if (ret_max_ms != NULL)
                *ret_max_ms = max_ms;
        return 0;
}

/* ---- headers ------------------------------------------------------------------------ */

void leat_kafka_headers_open(struct leat_view headers, struct leat_kafka_headers_iter *ret_iter)
{
        *ret_iter = (struct leat_kafka_headers_iter){.cur = leat_cursor_of(headers)};
        if (headers.len == 0)
                return;
        int64_t count = varint(&ret_iter->cur);
        if (!ret_iter->cur.failed && count > 0 && count <= (int64_t)headers.len / 2)
                ret_iter->left = (uint32_t)count;
}

bool leat_kafka_headers_next(struct leat_kafka_headers_iter *iter, struct leat_view *ret_key,
                             struct leat_view *ret_value)
{
        if (iter->left == 0)
                return false;
        struct leat_view key = varint_bytes(&iter->cur);
        struct leat_view value = varint_bytes(&iter->cur);
        if (iter->cur.failed || key.data == NULL) {
                iter->left = 0;
                return false;
        }
        iter->left--;
        *ret_key = key;
        *ret_value = value;
        return true;
}
