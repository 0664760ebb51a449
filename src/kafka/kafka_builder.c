/* SPDX-License-Identifier: Apache-2.0 */
/* leat/kafka: making record batches. */
#include "leat/batch.h"

void leat_kafka_builder_done(struct leat_kafka_batch_builder *builder)
{
        leat_buf_done(&builder->records);
        leat_buf_done(&builder->packed);
        builder->count = 0;
}

static size_t varint_bytes(int64_t value)
{
        uint64_t zigzag = ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
        size_t bytes = 1;
        while (zigzag >= 0x80) {
                zigzag >>= 7;
                bytes++;
        }
        return bytes;
}

static size_t field_bytes(struct leat_view view)
{
        return view.data == NULL ? 1 : varint_bytes((int64_t)view.len) + view.len;
}

static void field_add(struct leat_buf *buf, struct leat_view view)
{
        leat_buf_varint(buf, view.data == NULL ? -1 : (int64_t)view.len);
        leat_buf_add_view(buf, view);
}

void leat_kafka_builder_add(struct leat_kafka_batch_builder *builder, const struct leat_record *record)
{
        if (builder->count == 0) {
                leat_buf_clear(&builder->records);
                builder->base_timestamp_ms = builder->max_timestamp_ms = record->timestamp_ms;
        }
        int64_t time_delta = record->timestamp_ms - builder->base_timestamp_ms;
        size_t headers = record->headers.len > 0 ? record->headers.len : 1;
        size_t bytes = 1 + varint_bytes(time_delta) + varint_bytes(builder->count) + field_bytes(record->key) +
                       field_bytes(record->value) + headers;
        leat_buf_varint(&builder->records, (int64_t)bytes);
        leat_buf_u8(&builder->records, 0);
        leat_buf_varint(&builder->records, time_delta);
        leat_buf_varint(&builder->records, builder->count);
        field_add(&builder->records, record->key);
        field_add(&builder->records, record->value);
        if (record->headers.len > 0)
                leat_buf_add_view(&builder->records, record->headers);
        else
                leat_buf_u8(&builder->records, 0);
        builder->max_timestamp_ms = LEAT_MAX(builder->max_timestamp_ms, record->timestamp_ms);
        builder->count++;
}

size_t leat_kafka_builder_bytes(const struct leat_kafka_batch_builder *builder)
{
        return LEAT_KAFKA_BATCH_HEADER_BYTES + (builder->count > 0 ? builder->records.len : 0);
}

int leat_kafka_builder_finish(struct leat_kafka_batch_builder *builder, int codec, int64_t producer_id,
                              int16_t producer_epoch, int32_t base_sequence, struct leat_buf *out,
                              struct leat_error *err)
{
        LEAT_ASSERT(builder->count > 0);
        struct leat_view payload = leat_buf_view(&builder->records);
        if (codec != LEAT_KAFKA_CODEC_NONE) {
                leat_buf_clear(&builder->packed);
                LEAT_TRY(leat_kafka_compress(codec, payload, &builder->packed, err));
                payload = leat_buf_view(&builder->packed);
        }
        size_t bytes = LEAT_KAFKA_BATCH_HEADER_BYTES + payload.len;
        if (bytes - LEAT_KAFKA_BATCH_PREFIX_BYTES > INT32_MAX)
                return leat_error_set(err, LEAT_ETOOBIG, "a record batch of %zu bytes is larger than the format allows",
                                      bytes);
        uint8_t *p = leat_buf_reserve(out, bytes);
        leat_kafka_batch_place(p, 0, -1);
        leat_put_be32(p + 8, (uint32_t)(bytes - LEAT_KAFKA_BATCH_PREFIX_BYTES));
        p[16] = 2;
        leat_put_be16(p + 21, (uint16_t)codec);
        leat_put_be32(p + 23, (uint32_t)(builder->count - 1));
        leat_put_be64(p + 27, (uint64_t)builder->base_timestamp_ms);
        leat_put_be64(p + 35, (uint64_t)builder->max_timestamp_ms);
        leat_put_be64(p + 43, (uint64_t)producer_id);
        leat_put_be16(p + 51, (uint16_t)producer_epoch);
        leat_put_be32(p + 53, (uint32_t)base_sequence);
        leat_put_be32(p + 57, (uint32_t)builder->count);
        memcpy(p + LEAT_KAFKA_BATCH_HEADER_BYTES, payload.data, payload.len);
        leat_put_be32(p + 17, leat_crc32c(0, p + 21, bytes - 21));
        out->len += bytes;
        builder->count = 0;
        leat_buf_clear(&builder->records);
        return 0;
}

void leat_kafka_batch_place(uint8_t *batch, int64_t base_offset, int32_t leader_epoch)
{
        leat_put_be64(batch, (uint64_t)base_offset);
        leat_put_be32(batch + 12, (uint32_t)leader_epoch);
}

void leat_kafka_batch_stamp(uint8_t *batch, size_t bytes, enum leat_kafka_time type, int64_t max_timestamp_ms)
{
        uint16_t attributes = leat_get_be16(batch + 21);
        attributes = type == LEAT_KAFKA_TIME_APPEND ? attributes | 8 : attributes & (uint16_t)~8;
        leat_put_be16(batch + 21, attributes);
        leat_put_be64(batch + 35, (uint64_t)max_timestamp_ms);
        leat_put_be32(batch + 17, leat_crc32c(0, batch + 21, bytes - 21));
}
