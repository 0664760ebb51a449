/* SPDX-License-Identifier: Apache-2.0 */
/* Batches made, read, damaged; compression of every kind, also against its bombs. */
#include "leat/batch.h"
#include <stdio.h>

#include "leat/test.h"

static const int codecs[] = {LEAT_KAFKA_CODEC_NONE, LEAT_KAFKA_CODEC_GZIP, LEAT_KAFKA_CODEC_SNAPPY,
                             LEAT_KAFKA_CODEC_LZ4, LEAT_KAFKA_CODEC_ZSTD};

static void batch_make(int codec, int count, struct leat_buf *out)
{
        struct leat_error err;
        struct leat_kafka_batch_builder builder = {0};
        char value[64];
        static const uint8_t headers[] = {2, 2, 'h', 2, 'v'}; /* one pair, h = v */
        for (int i = 0; i < count; i++) {
                int len = snprintf(value, sizeof(value), "value number %d", i);
                struct leat_record record = {
                        .timestamp_ms = 1000 + (i * 7) % 50,
                        .key = i % 3 == 0 ? (struct leat_view){0} : leat_view_str("key"),
                        .value = i % 5 == 0 ? (struct leat_view){0} : leat_view_of(value, (size_t)len),
                        .headers = i % 2 ? leat_view_of(headers, sizeof(headers)) : (struct leat_view){0},
                };
                leat_kafka_builder_add(&builder, &record);
        }
        CHECK_OK(leat_kafka_builder_finish(&builder, codec, 42, 3, 100, out, &err), &err);
        leat_kafka_builder_done(&builder);
}

LEAT_TEST(batch_round_trip)
{
        for (size_t c = 0; c < LEAT_ARRAY_LEN(codecs); c++) {
                struct leat_error err;
                struct leat_buf bytes = LEAT_BUF_INIT, scratch = LEAT_BUF_INIT;
                struct leat_kafka_batch batch;
                struct leat_kafka_record_iter iter;
                struct leat_record record;
                int64_t max_ms;
                bool end;
                batch_make(codecs[c], 1000, &bytes);
                leat_kafka_batch_place(bytes.data, 5000, 9);
                CHECK_OK(leat_kafka_batch_parse(leat_buf_view(&bytes), &batch, NULL, &err), &err);
                CHECK_OK(leat_kafka_batch_check_crc(&batch, &err), &err);
                CHECK_OK(leat_kafka_records_check(&batch, 1 << 20, false, &scratch, NULL, &max_ms, &err), &err);
                CHECK_INT(max_ms, batch.max_timestamp_ms);
                CHECK_INT(leat_kafka_records_check(&batch, 1 << 20, true, &scratch, NULL, NULL, &err), LEAT_EINVAL);
                CHECK_INT(leat_kafka_batch_codec(&batch), codecs[c]);
                CHECK_INT(batch.record_count, 1000);
                CHECK_INT(batch.leader_epoch, 9);
                CHECK_INT(batch.producer_id, 42);
                CHECK_INT(batch.base_sequence, 100);
                CHECK_OK(leat_kafka_records_open(&batch, 1 << 20, &scratch, &iter, &err), &err);
                for (int i = 0; i < 1000; i++) {
                        char value[64];
                        snprintf(value, sizeof(value), "value number %d", i);
                        CHECK_OK(leat_kafka_records_next(&iter, &record, &end, &err), &err);
                        CHECK(!end);
                        CHECK_INT(record.offset, 5000 + i);
                        CHECK_INT(record.timestamp_ms, 1000 + (i * 7) % 50);
                        CHECK((record.key.data == NULL) == (i % 3 == 0));
                        CHECK(i % 5 == 0 ? record.value.data == NULL : leat_view_eq_str(record.value, value));
                        struct leat_kafka_headers_iter headers;
                        struct leat_view key, content;
                        leat_kafka_headers_open(record.headers, &headers);
                        CHECK(leat_kafka_headers_next(&headers, &key, &content) == (i % 2 == 1));
                        CHECK(i % 2 == 0 || (leat_view_eq_str(key, "h") && leat_view_eq_str(content, "v")));
                }
                CHECK_OK(leat_kafka_records_next(&iter, &record, &end, &err), &err);
                CHECK(end);
                leat_buf_done(&bytes);
                leat_buf_done(&scratch);
        }
}

/* Numbers of one to four bytes: lengths, and deltas of time both ways. */
LEAT_TEST(batch_numbers_of_all_sizes)
{
        static const size_t lens[] = {0,    1,    55,   56,      63,      64,      65,     8180,
                                      8191, 8192, 8193, 1048560, 1048575, 1048576, 1100000};
        uint8_t *value = leat_calloc(1, 1100000);
        for (size_t i = 0; i < LEAT_ARRAY_LEN(lens); i++) {
                struct leat_error err;
                struct leat_kafka_batch_builder builder = {0};
                struct leat_buf bytes = LEAT_BUF_INIT, scratch = LEAT_BUF_INIT;
                struct leat_kafka_batch batch;
                struct leat_kafka_record_iter iter;
                struct leat_record record = {.timestamp_ms = 5000000, .value = leat_view_str("first")};
                int64_t max_ms;
                bool end;
                leat_kafka_builder_add(&builder, &record);
                record.timestamp_ms += i % 2 ? (int64_t)lens[i] : -(int64_t)lens[i];
                record.value = leat_view_of(value, lens[i]);
                leat_kafka_builder_add(&builder, &record);
                CHECK_OK(leat_kafka_builder_finish(&builder, LEAT_KAFKA_CODEC_NONE, -1, -1, -1, &bytes, &err), &err);
                CHECK_OK(leat_kafka_batch_parse(leat_buf_view(&bytes), &batch, NULL, &err), &err);
                CHECK_OK(leat_kafka_records_check(&batch, 0, false, &scratch, NULL, &max_ms, &err), &err);
                CHECK_INT(max_ms, LEAT_MAX(record.timestamp_ms, 5000000));
                CHECK_OK(leat_kafka_records_open(&batch, 0, &scratch, &iter, &err), &err);
                for (int n = 0; n < 2; n++) {
                        struct leat_record got;
                        CHECK_OK(leat_kafka_records_next(&iter, &got, &end, &err), &err);
                        CHECK_INT(got.value.len, n == 0 ? 5 : lens[i]);
                        CHECK_INT(got.timestamp_ms, n == 0 ? 5000000 : record.timestamp_ms);
                }
                leat_buf_done(&bytes);
                leat_buf_done(&scratch);
                leat_kafka_builder_done(&builder);
        }
        free(value);
}

LEAT_TEST(batch_append_time)
{
        struct leat_error err;
        struct leat_buf bytes = LEAT_BUF_INIT, scratch = LEAT_BUF_INIT;
        struct leat_kafka_batch batch;
        struct leat_kafka_record_iter iter;
        struct leat_record record;
        bool end;
        batch_make(0, 3, &bytes);
        leat_kafka_batch_stamp(bytes.data, bytes.len, LEAT_KAFKA_TIME_APPEND, 777);
        CHECK_OK(leat_kafka_batch_parse(leat_buf_view(&bytes), &batch, NULL, &err), &err);
        CHECK_OK(leat_kafka_batch_check_crc(&batch, &err), &err);
        CHECK_OK(leat_kafka_records_open(&batch, 1 << 20, &scratch, &iter, &err), &err);
        CHECK_OK(leat_kafka_records_next(&iter, &record, &end, &err), &err);
        CHECK_INT(record.timestamp_ms, 777);
        leat_buf_done(&bytes);
        leat_buf_done(&scratch);
}

/* Reads everything that a reader would; any answer is fine, no crash. */
static bool reads_well(struct leat_view bytes)
{
        struct leat_error err;
        struct leat_kafka_batch batch;
        struct leat_buf scratch = LEAT_BUF_INIT;
        bool well = leat_kafka_batch_parse(bytes, &batch, NULL, &err) == 0 &&
                    leat_kafka_batch_check_crc(&batch, &err) == 0 &&
                    leat_kafka_records_check(&batch, 1 << 20, false, &scratch, NULL, NULL, &err) == 0;
        leat_buf_done(&scratch);
        return well;
}

/* Every flipped bit behind the CRC is found, and without the CRC nothing worse than an error comes of it. */
LEAT_TEST(batch_bit_flips)
{
        for (size_t c = 0; c < LEAT_ARRAY_LEN(codecs); c++) {
                struct leat_error err;
                struct leat_buf bytes = LEAT_BUF_INIT, scratch = LEAT_BUF_INIT;
                batch_make(codecs[c], 10, &bytes);
                CHECK(reads_well(leat_buf_view(&bytes)));
                for (size_t bit = 16 * 8; bit < bytes.len * 8; bit++) {
                        struct leat_kafka_batch batch;
                        bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
                        CHECK(!reads_well(leat_buf_view(&bytes)));
                        if (leat_kafka_batch_parse(leat_buf_view(&bytes), &batch, NULL, &err) == 0)
                                (void)!leat_kafka_records_check(&batch, 1 << 20, false, &scratch, NULL, NULL, &err);
                        bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
                }
                for (size_t len = 0; len < bytes.len; len++) {
                        size_t need;
                        struct leat_kafka_batch batch;
                        CHECK_INT(leat_kafka_batch_parse(leat_view_of(bytes.data, len), &batch, &need, &err),
                                  LEAT_EINVAL);
                        CHECK(need > len);
                }
                leat_buf_done(&bytes);
                leat_buf_done(&scratch);
        }
}

LEAT_TEST(batch_old_formats)
{
        struct leat_error err;
        struct leat_kafka_batch batch;
        uint8_t old[34] = {[11] = 22, [16] = 1};
        CHECK_INT(leat_kafka_batch_parse(leat_view_of(old, sizeof(old)), &batch, NULL, &err), LEAT_EUNSUPPORTED);
}

/* ---- compression ------------------------------------------------------------------------------ */

LEAT_TEST(compress_sizes)
{
        static const size_t sizes[] = {0, 1, 100, 4096, 32768, 32769, 100000, 3000000};
        uint8_t *data = leat_malloc(3000000);
        uint64_t x = leat_test_seed();
        for (size_t i = 0; i < 3000000; i++) {
                x = x * 6364136223846793005ull + 1;
                data[i] = (uint8_t)(x >> 60);
        }
        for (size_t c = 1; c < LEAT_ARRAY_LEN(codecs); c++) {
                for (size_t i = 0; i < LEAT_ARRAY_LEN(sizes); i++) {
                        struct leat_error err;
                        struct leat_buf packed = LEAT_BUF_INIT, out = LEAT_BUF_INIT;
                        CHECK_OK(leat_kafka_compress(codecs[c], leat_view_of(data, sizes[i]), &packed, &err), &err);
                        CHECK_OK(leat_kafka_decompress(codecs[c], leat_buf_view(&packed), sizes[i], &out, &err), &err);
                        CHECK(leat_view_eq(leat_buf_view(&out), leat_view_of(data, sizes[i])));
                        leat_buf_clear(&out);
                        if (sizes[i] > 0)
                                CHECK_INT(leat_kafka_decompress(codecs[c], leat_buf_view(&packed), sizes[i] - 1, &out,
                                                                &err),
                                          LEAT_ETOOBIG);
                        leat_buf_clear(&out);
                        CHECK_INT(leat_kafka_decompress(codecs[c], leat_view_of(packed.data, packed.len / 2), 1 << 22,
                                                        &out, &err),
                                  LEAT_ECORRUPT);
                        leat_buf_done(&packed);
                        leat_buf_done(&out);
                }
        }
        free(data);
}

/* 64 MiB of zeros in a few KiB: the limit holds, and memory with it. */
LEAT_TEST(compress_bombs)
{
        struct leat_view zeros = leat_view_of(leat_calloc(1, 64u << 20), 64u << 20);
        for (size_t c = 1; c < LEAT_ARRAY_LEN(codecs); c++) {
                struct leat_error err;
                struct leat_buf packed = LEAT_BUF_INIT, out = LEAT_BUF_INIT;
                CHECK_OK(leat_kafka_compress(codecs[c], zeros, &packed, &err), &err);
                CHECK_INT(leat_kafka_decompress(codecs[c], leat_buf_view(&packed), 1 << 20, &out, &err), LEAT_ETOOBIG);
                CHECK(out.cap <= 8u << 20);
                leat_buf_done(&packed);
                leat_buf_done(&out);
        }
        free((void *)(uintptr_t)zeros.data);
}

LEAT_TEST(compress_raw_snappy)
{
        /* "aaaa…" (20 a) as librdkafka sends it, without framing. */
        static const uint8_t raw[] = {20, 0, 'a', 0x4a, 1, 0};
        struct leat_error err;
        struct leat_buf out = LEAT_BUF_INIT;
        CHECK_OK(leat_kafka_decompress(LEAT_KAFKA_CODEC_SNAPPY, leat_view_of(raw, sizeof(raw)), 100, &out, &err), &err);
        CHECK(leat_view_eq_str(leat_buf_view(&out), "aaaaaaaaaaaaaaaaaaaa"));
        leat_buf_done(&out);
        CHECK_INT(leat_kafka_decompress(9, leat_view_of(raw, sizeof(raw)), 100, &out, &err), LEAT_EUNSUPPORTED);
}
