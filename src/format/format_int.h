/* SPDX-License-Identifier: Apache-2.0 */
/* leat/format: what its files share. */
#ifndef LEAT_FORMAT_INT_H
#define LEAT_FORMAT_INT_H

#include "format_index.h"
#include "leat/format.h"

/* Nesting of arrays and objects in a value. */
#define LEAT_FORMAT_DEPTH_MAX 128
#define LEAT_FORMAT_REASON_MAX 240

/* DuckDB's earliest timestamp, 290309-12-22 (BC). */
#define LEAT_FORMAT_TIMESTAMP_MIN (-9223372022400000000ll)

/* ---- format_value.c ----------------------------------------------------------- */
/* Reads one scalar of @type, any but VARCHAR, BLOB, LIST and STRUCT, to @ret (leat_type_bytes of it). @token is the
 * JSON text; of a string what stands between the quotes, unescaped. NULL, or what is wrong ("is out of range"). */
const char *leat_format_scalar(const struct leat_type *type, struct leat_view token, bool is_string, void *ret);
/* True when @token is a number by JSON's grammar. */
bool leat_format_is_number(struct leat_view token);
/* Decodes base64 to @out, which has room for 3/4 of the text; -1 when it is none. */
int64_t leat_format_base64(struct leat_view text, uint8_t *out);

/* ---- format_string.c ------------------------------------------------------------ */
/* Writes the JSON string @text (what stands between the quotes) to @out, which has room for text.len. NULL, or what is
 * wrong. *ret_nul tells of \u0000, which JSON has and TEXT has not. */
const char *leat_format_unescape(struct leat_view text, uint8_t *out, size_t *ret_len, bool *ret_nul);

/* ---- format_walk.c -------------------------------------------------------------- */
/* One declared column and where its values go. */
struct leat_format_field {
        const char *name;
        uint32_t name_len;
        struct leat_type type;
        bool not_null;
        bool added; /* later than the topic: what does not fit is NULL */
        bool is_key;
        bool wanted;               /* @col is a column of the batch; else one row of scratch */
        struct leat_column *col;   /* @col->type is the declared type */
        struct leat_column *check; /* key columns: where the value's copy goes to be compared */
        uint64_t seen;             /* number of the last record that had it */
};

struct leat_walk {
        struct leat_format_index *index;
        struct leat_arena *arena; /* unescaped strings, growing children */
        struct leat_format_field *fields;
        uint32_t field_count;
        uint32_t hash_mask;   /* of @hash, 0: few fields, no table */
        uint16_t *hash;       /* field + 1 by hash of the name; 0 = free */
        int32_t *guess;       /* field of the k-th member of the last object; -1 unknown */
        uint32_t guess_count; /* room in @guess */
        uint64_t number;      /* of this record, from 1 */
        const uint8_t *data;
        const uint32_t *tokens;
        uint32_t at, count, len;
        bool escapes;   /* there is a backslash somewhere */
        int32_t column; /* where a failure was: field, or -1 */
        char reason[LEAT_FORMAT_REASON_MAX];
};

void leat_walk_init(struct leat_walk *walk, struct leat_arena *owner, struct leat_format_field *fields,
                    uint32_t field_count);
/* Reads the object @value to row @row of the fields' columns, which have room for @cap rows. With @only_keys the value
 * is a record's key: other members are unknown ones. False: column and reason are set. */
bool leat_walk_object(struct leat_walk *walk, struct leat_view value, uint32_t row, uint32_t cap, bool only_keys);
/* Puts a NULL. */
void leat_walk_null(struct leat_walk *walk, struct leat_column *col, uint64_t row, uint64_t cap);
/* Puts the raw bytes of a key as text. */
bool leat_walk_text(struct leat_walk *walk, struct leat_column *col, uint64_t row, uint64_t cap, struct leat_view text);
bool leat_walk_fail(struct leat_walk *walk, const char *fmt, ...) LEAT_PRINTF(2, 3);

#endif
