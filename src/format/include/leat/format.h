/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/format: record bytes to columns, and columns to record bytes.
 *
 * A decoder is made for one topic and the columns that somebody wants. Every
 * declared column of every record is checked, the wanted ones become vectors.
 * Whether a record is valid depends on the topic's definition alone, never on
 * what is wanted.
 *
 * JSON. A value is an object. Names are compared exactly; unknown fields are
 * ignored (but must be JSON); a missing field or null is NULL; of a repeated
 * field the last one counts, and each must fit.
 *   numbers      no strings; a fraction or digits that the type cannot hold are
 *                invalid, nothing is rounded (5.0 and 5e2 are whole numbers);
 *                FLOAT and DOUBLE also take "NaN", "Infinity", "-Infinity"
 *   TEXT         a string; a number, true or false, an array, an object as they
 *                are written; \u0000 is invalid
 *   TIMESTAMP(TZ) ISO 8601 (no zone = UTC; digits beyond microseconds are cut), or
 *                milliseconds since 1970 as a number
 *   DATE, TIME, INTERVAL, UUID  text;  BLOB base64;  BOOLEAN true, false
 *   T[], STRUCT  array, object, by the same rules
 * Empty and NULL values are invalid. With a PRIMARY KEY a NULL value deletes the
 * row of the record's key (one TEXT column: the key's bytes; else a JSON object),
 * and key columns that the value repeats must agree with it.
 *
 * Raw (and undeclared topics). `value` TEXT, NULL when the bytes are no UTF-8 or
 * have a zero byte; `kafka_value` BLOB. Every record is valid.
 *
 * Every topic has kafka_partition INTEGER, kafka_offset BIGINT, kafka_timestamp
 * TIMESTAMPTZ, kafka_key BLOB, kafka_headers STRUCT(key VARCHAR, value BLOB)[].
 */
#ifndef LEAT_FORMAT_H
#define LEAT_FORMAT_H

#include "leat/base.h"
#include "leat/column.h"
#include "leat/record.h"

struct leat_topic_def; /* leat/catalog.h */
struct leat_format;

/* A record that does not fit its topic. */
struct leat_format_invalid {
        struct leat_record record; /* views as they were given */
        int32_t column;            /* index into the topic's columns; -1: the whole value or key */
        const char *reason;        /* one line, with the value; lives until reset */
};

struct leat_format_rows {
        const struct leat_batch *batch; /* the wanted columns; one row a valid record */
        const uint32_t *records;        /* for each row the number of its record since reset */
        const uint64_t *deleted;        /* bitmap over rows: the key is gone, other columns are NULL; NULL: none */
        uint32_t record_count;          /* records seen since reset */
        uint32_t invalid_count;
        const struct leat_format_invalid *invalids; /* in the order of the records */
};

/* Makes a decoder that gives the columns @names, in this order (declared ones, `value`, kafka_*). @def NULL is an
 * undeclared topic. Keeps a copy of @def. LEAT_ENOCOLUMN names the one that there is not. */
int leat_format_open(const struct leat_topic_def *def, const char *const *names, uint32_t count,
                     struct leat_format **ret_format, struct leat_error *err) LEAT_NODISCARD;
void leat_format_close(struct leat_format *format);
/* Forgets all rows. */
void leat_format_reset(struct leat_format *format);
/* Decodes @count records to new rows behind those that are there. Strings of the rows point into the records: keep
 * these until reset. Nothing behind a value is read. */
void leat_format_decode(struct leat_format *format, const struct leat_record *records, uint32_t count);
/* All rows since reset; valid until the next call on the decoder. */
void leat_format_rows(struct leat_format *format, struct leat_format_rows *ret_rows);
/* Type of the wanted column @index. */
const struct leat_type *leat_format_type(const struct leat_format *format, uint32_t index);

/* ---- encoding ------------------------------------------------------------------ */
/* Appends row @row as the record value of the topic: an object of all columns, NULLs as null. Columns of @batch are
 * those of @def, in their order. Raw topics: the text or bytes of the first column. False: the value is NULL. */
bool leat_format_encode_value(const struct leat_topic_def *def, const struct leat_batch *batch, uint32_t row,
                              struct leat_buf *out);
/* Appends the record key of a topic with a PRIMARY KEY; false when it has none. */
bool leat_format_encode_key(const struct leat_topic_def *def, const struct leat_batch *batch, uint32_t row,
                            struct leat_buf *out);
/* Key and value of the quarantine record of @invalid; @column is the name of its column or NULL. */
void leat_format_encode_quarantine(const struct leat_format_invalid *invalid, const char *column,
                                   struct leat_buf *out_key, struct leat_buf *out_value);
/* Key and value of the mark of a refused record that is being played back (@replayed_ms -1) to what stands at or behind
 * offset @from of its partition, or that was at @replayed_ms. */
void leat_format_encode_mark(int32_t partition, int64_t offset, int64_t from, int64_t replayed_ms,
                             struct leat_buf *out_key, struct leat_buf *out_value);
/* The definition by which quarantine topics are read: PRIMARY KEY (partition, offset); key, value, column, reason,
 * timestamp; of marks: mark (true), replayed, from. */
const struct leat_topic_def *leat_format_quarantine_def(void);

/* ---- single values --------------------------------------------------------------- */
/* Reads text as PostgreSQL and ISO 8601 write it. */
bool leat_format_parse_date(struct leat_view text, int32_t *ret_days);
bool leat_format_parse_time(struct leat_view text, int64_t *ret_us);
bool leat_format_parse_timestamp(struct leat_view text, int64_t *ret_us);
bool leat_format_parse_interval(struct leat_view text, struct leat_interval *ret_interval);
bool leat_format_parse_uuid(struct leat_view text, void *ret_16_bytes);

#endif
