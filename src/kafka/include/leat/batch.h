/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/kafka: record batches (format v2, "magic 2") and their compression.
 *
 *   offset  bytes  field                       covered by the CRC
 *        0      8  base offset                 no
 *        8      4  length (of what follows)    no
 *       12      4  partition leader epoch      no
 *       16      1  magic = 2                   no
 *       17      4  CRC32C of all behind it
 *       21      2  attributes: codec (bits 0-2), timestamp type (3), transactional (4), control (5)
 *       23      4  last offset delta
 *       27      8  base timestamp, ms
 *       35      8  largest timestamp, ms
 *       43      8  producer id, -1 = none
 *       51      2  producer epoch
 *       53      4  base sequence
 *       57      4  record count
 *       61      …  records, compressed as one block when a codec is set
 *
 * A record: length (varint), attributes, timestamp delta, offset delta, key,
 * value, headers.
 *
 * Threads: no state; any. Nothing here trusts its input.
 */
#ifndef LEAT_KAFKA_BATCH_H
#define LEAT_KAFKA_BATCH_H

#include "leat/base.h"
#include "leat/record.h"

#define LEAT_KAFKA_BATCH_HEADER_BYTES 61
/* Bytes that frame a batch: base offset and length. */
#define LEAT_KAFKA_BATCH_PREFIX_BYTES 12

enum leat_kafka_codec {
        LEAT_KAFKA_CODEC_NONE = 0,
        LEAT_KAFKA_CODEC_GZIP = 1,
        LEAT_KAFKA_CODEC_SNAPPY = 2,
        LEAT_KAFKA_CODEC_LZ4 = 3,
        LEAT_KAFKA_CODEC_ZSTD = 4,
};
/* "none", "gzip", "snappy", "lz4", "zstd"; NULL for other numbers. */
const char *leat_kafka_codec_name(int codec);

struct leat_kafka_batch {
        int64_t base_offset;
        int32_t leader_epoch;
        uint32_t crc;
        int16_t attributes;
        int32_t last_offset_delta;
        int64_t base_timestamp_ms;
        int64_t max_timestamp_ms;
        int64_t producer_id; /* -1: not idempotent */
        int16_t producer_epoch;
        int32_t base_sequence;
        int32_t record_count;
        struct leat_view bytes;   /* the whole batch */
        struct leat_view payload; /* records, perhaps compressed */
};
static inline int leat_kafka_batch_codec(const struct leat_kafka_batch *batch)
{
        return batch->attributes & 7;
}
static inline bool leat_kafka_batch_append_time(const struct leat_kafka_batch *b)
{
        return (b->attributes & 8) != 0;
}
static inline bool leat_kafka_batch_transactional(const struct leat_kafka_batch *b)
{
        return (b->attributes & 16) != 0;
}
static inline bool leat_kafka_batch_control(const struct leat_kafka_batch *b)
{
        return (b->attributes & 32) != 0;
}

/* Reads the header of the batch at the start of @data, which may go on behind
 * it. Checks magic, length and counts against each other, not the CRC.
 * LEAT_EINVAL with *ret_need > data.len when @data ends too early (the bytes
 * that the batch needs, as far as known); LEAT_ECORRUPT when it is no batch,
 * LEAT_EUNSUPPORTED for the older formats (magic 0 and 1). @ret_need may be NULL. */
int leat_kafka_batch_parse(struct leat_view data, struct leat_kafka_batch *ret_batch, size_t *ret_need,
                           struct leat_error *err) LEAT_NODISCARD;
/* Compares the CRC. LEAT_ECORRUPT. */
int leat_kafka_batch_check_crc(const struct leat_kafka_batch *batch, struct leat_error *err) LEAT_NODISCARD;

/* ---- reading records ------------------------------------------------------------ */
struct leat_kafka_record_iter {
        struct leat_cursor cur;
        const struct leat_kafka_batch *batch;
        int32_t index; /* of the next record */
};
/* Starts over the records of @batch. Compressed ones are decompressed into
 * @scratch (whose old content is lost), at most @max_bytes of them; views of
 * records then point there, with 64 readable bytes behind the last. Uncompressed
 * ones point into the batch. LEAT_ECORRUPT, LEAT_ETOOBIG, LEAT_EUNSUPPORTED (codec). */
int leat_kafka_records_open(const struct leat_kafka_batch *batch, size_t max_bytes, struct leat_buf *scratch,
                            struct leat_kafka_record_iter *ret_iter, struct leat_error *err) LEAT_NODISCARD;
/* The next record. *ret_end is true, and *ret_record untouched, after the last one. LEAT_ECORRUPT when the records do
 * not fit the header (count, offsets, lengths). */
int leat_kafka_records_next(struct leat_kafka_record_iter *iter, struct leat_record *ret_record, bool *ret_end,
                            struct leat_error *err) LEAT_NODISCARD;
/* Walks all records without giving them out, as a broker does before it accepts a batch: framing, offset deltas 0, 1,
 * 2 …, exactly as many as the header says, header section. @need_key: every record must have a key.
 * *ret_max_ms is the largest timestamp (create time) found. LEAT_EINVAL with the record's number in *ret_index for a
 * missing key, else as above. Both outputs may be NULL. */
int leat_kafka_records_check(const struct leat_kafka_batch *batch, size_t max_bytes, bool need_key,
                             struct leat_buf *scratch, int32_t *ret_index, int64_t *ret_max_ms,
                             struct leat_error *err) LEAT_NODISCARD;

/* Header section of a record, as in leat_record.headers. */
struct leat_kafka_headers_iter {
        struct leat_cursor cur;
        uint32_t left;
};
void leat_kafka_headers_open(struct leat_view headers, struct leat_kafka_headers_iter *ret_iter);
/* False at the end (or when the rest is damaged). A null value has data NULL. */
bool leat_kafka_headers_next(struct leat_kafka_headers_iter *iter, struct leat_view *ret_key,
                             struct leat_view *ret_value);

/* ---- writing batches -------------------------------------------------------------- */
/* Collects records and makes one batch of them. Zero-initialize; reuse after finish; free with _done. */
struct leat_kafka_batch_builder {
        struct leat_buf records;
        struct leat_buf packed;
        int64_t base_timestamp_ms;
        int64_t max_timestamp_ms;
        int32_t count;
};
void leat_kafka_builder_done(struct leat_kafka_batch_builder *builder);
/* Adds a record: timestamp, key, value, headers are used. Copies. */
void leat_kafka_builder_add(struct leat_kafka_batch_builder *builder, const struct leat_record *record);
/* Uncompressed bytes so far, batch header included. */
size_t leat_kafka_builder_bytes(const struct leat_kafka_batch_builder *builder);
/* Appends the batch to @out (base offset 0, leader epoch -1) and empties the builder. @producer_id -1: not idempotent. */
int leat_kafka_builder_finish(struct leat_kafka_batch_builder *builder, int codec, int64_t producer_id,
                              int16_t producer_epoch, int32_t base_sequence, struct leat_buf *out,
                              struct leat_error *err) LEAT_NODISCARD;
/* Writes base offset and leader epoch into a batch (they are outside the CRC). */
void leat_kafka_batch_place(uint8_t *batch, int64_t base_offset, int32_t leader_epoch);
/* Sets timestamp type and largest timestamp (with APPEND: of every record), and computes the CRC anew. */
enum leat_kafka_time { LEAT_KAFKA_TIME_CREATE, LEAT_KAFKA_TIME_APPEND };
void leat_kafka_batch_stamp(uint8_t *batch, size_t bytes, enum leat_kafka_time type, int64_t max_timestamp_ms);

/* ---- compression -------------------------------------------------------------------- */
/* Appends the compressed bytes. Snappy is written in the framing of the Java client. LEAT_EUNSUPPORTED for a codec that
 * is none of ours. */
int leat_kafka_compress(int codec, struct leat_view data, struct leat_buf *out, struct leat_error *err) LEAT_NODISCARD;
/* Appends the decompressed bytes, at most @max_bytes. LEAT_ECORRUPT, LEAT_ETOOBIG, LEAT_EUNSUPPORTED. */
int leat_kafka_decompress(int codec, struct leat_view data, size_t max_bytes, struct leat_buf *out,
                          struct leat_error *err) LEAT_NODISCARD;

#endif
