/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/log: the header of a record batch (v2), as far as storage needs it.
 *
 *   0 base offset i64 | 8 length i32 (bytes after it) | 12 leader epoch i32 | 16 magic i8 | 17 crc u32 |
 *   21 attributes i16 | 23 last offset delta i32 | 27 base timestamp i64 | 35 max timestamp i64 |
 *   43 producer id i64 | 51 producer epoch i16 | 53 base sequence i32 | 57 records i32 | 61 records
 *
 * The CRC32C covers bytes from 21 on, so offset and epoch can be assigned
 * without touching it; what it does not cover is checked against continuity.
 */
#include "log_int.h"

bool leat_log_batch_parse(const uint8_t *p, struct leat_log_batch *ret_batch)
{
        uint32_t length = leat_get_be32(p + 8);
        struct leat_log_batch batch = {
                .base = (int64_t)leat_get_be64(p),
                .epoch = (int32_t)leat_get_be32(p + 12),
                .crc = leat_get_be32(p + 17),
                .attributes = leat_get_be16(p + 21),
                .last_delta = (int32_t)leat_get_be32(p + 23),
                .max_time_ms = (int64_t)leat_get_be64(p + 35),
                .producer_id = (int64_t)leat_get_be64(p + 43),
                .producer_epoch = (int16_t)leat_get_be16(p + 51),
                .base_sequence = (int32_t)leat_get_be32(p + 53),
                .count = (int32_t)leat_get_be32(p + 57),
        };

        if (p[16] != 2 || length < LEAT_LOG_BATCH_HEADER_BYTES - 12 || length > LEAT_LOG_BATCH_BYTES_MAX - 12)
                return false;
        if (batch.last_delta < 0 || batch.count < 0 || batch.base < 0)
                return false;
        batch.bytes = length + 12;
        *ret_batch = batch;
        return true;
}

bool leat_log_batch_crc_ok(const uint8_t *p, const struct leat_log_batch *batch)
{
        return leat_crc32c(0, p + 21, batch->bytes - 21) == batch->crc;
}
