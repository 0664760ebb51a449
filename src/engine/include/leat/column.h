/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/engine: types, columns and batches.
 *
 * A batch is a set of columns side by side, in the memory layout of DuckDB's
 * vectors, so that handing one to the engine is a copy of whole arrays at
 * most: fixed-width values in arrays, a validity bitmap (bit 1 = not NULL, 64
 * rows a word), strings as 16-byte records with up to 12 bytes inside.
 *
 * Who owns what: a batch owns nothing by itself. Its arrays live in an arena
 * (leat_batch_new), in an engine result (valid until the next one is asked
 * for), or in a mapped file; the function that gives out a batch says which.
 */
#ifndef LEAT_COLUMN_H
#define LEAT_COLUMN_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "leat/bytes.h"
#include "leat/mem.h"

/* X(id, SQL name, bytes a value; 0 = by parts). The numbers are written to
 * disk (docs/formats.md): add at the end only. */
#define LEAT_TYPES(X) \
        X(BOOLEAN, "BOOLEAN", 1) \
        X(TINYINT, "TINYINT", 1) \
        X(SMALLINT, "SMALLINT", 2) \
        X(INTEGER, "INTEGER", 4) \
        X(BIGINT, "BIGINT", 8) \
        X(HUGEINT, "HUGEINT", 16) \
        X(UTINYINT, "UTINYINT", 1) \
        X(USMALLINT, "USMALLINT", 2) \
        X(UINTEGER, "UINTEGER", 4) \
        X(UBIGINT, "UBIGINT", 8) \
        X(FLOAT, "FLOAT", 4) \
        X(DOUBLE, "DOUBLE", 8) \
        X(DECIMAL, "DECIMAL", 0) /* 2, 4, 8 or 16 bytes by width <= 4, 9, 18, 38 */ \
        X(VARCHAR, "VARCHAR", 16) \
        X(BLOB, "BLOB", 16) \
        X(DATE, "DATE", 4)               /* days since 1970 */ \
        X(TIME, "TIME", 8)               /* microseconds of the day */ \
        X(TIMESTAMP, "TIMESTAMP", 8)     /* microseconds since 1970, no zone */ \
        X(TIMESTAMPTZ, "TIMESTAMPTZ", 8) /* microseconds since 1970 UTC */ \
        X(INTERVAL, "INTERVAL", 16)      /* int32 months, int32 days, int64 microseconds */ \
        X(UUID, "UUID", 16)              /* 128 bits, top bit flipped, as DuckDB keeps it */ \
        X(LIST, "LIST", 16)              /* uint64 offset, uint64 length into the child */ \
        X(STRUCT, "STRUCT", 0) \
        X(SQLNULL, "NULL", 4) \
        X(UHUGEINT, "UHUGEINT", 16)

enum leat_type_id {
        LEAT_T_INVALID = 0,
#define X(id, name, bytes) LEAT_T_##id,
        LEAT_TYPES(X)
#undef X
                LEAT_TYPE_COUNT
};

struct leat_type {
        uint8_t id;          /* enum leat_type_id */
        uint8_t width;       /* DECIMAL only */
        uint8_t scale;       /* DECIMAL only */
        uint8_t child_count; /* LIST: 1, STRUCT: fields */
        const struct leat_type *children;
        const char *const *child_names; /* STRUCT only */
};

static inline struct leat_type leat_type_of(enum leat_type_id id)
{
        return (struct leat_type){.id = (uint8_t)id};
}
/* Bytes of one value in the column's array; 0 for STRUCT. */
uint32_t leat_type_bytes(const struct leat_type *type);
bool leat_type_eq(const struct leat_type *a, const struct leat_type *b);
/* Appends the SQL text: "DECIMAL(18,3)", "VARCHAR[]", "STRUCT(key VARCHAR, value BLOB)". */
void leat_type_print(const struct leat_type *type, struct leat_buf *out);
/* Reads SQL type text, PostgreSQL's names included (text, int, int8, timestamptz,
 * "timestamp with time zone", bytea, numeric(p,s), double precision ...). Memory from @arena.
 * LEAT_ETYPE names the text and lists near names. */
int leat_type_parse(struct leat_arena *arena, struct leat_view text, struct leat_type *ret_type,
                    struct leat_error *err) LEAT_NODISCARD;
/* Deep copy into @arena. */
struct leat_type leat_type_copy(struct leat_arena *arena, const struct leat_type *type);
/* Flat encoding used in files and the catalog; reads back with leat_type_decode. */
void leat_type_encode(const struct leat_type *type, struct leat_buf *out);
int leat_type_decode(struct leat_arena *arena, struct leat_cursor *cur, struct leat_type *ret_type,
                     struct leat_error *err) LEAT_NODISCARD;

struct leat_list_entry {
        uint64_t offset, length;
};
struct leat_interval {
        int32_t months, days;
        int64_t micros;
};
/* DATE, TIMESTAMP and TIMESTAMPTZ have these for 'infinity' (and the negatives for '-infinity'). */
#define LEAT_DATE_INFINITY INT32_MAX
#define LEAT_TIMESTAMP_INFINITY INT64_MAX

/* A string or blob; the layout of duckdb_string_t. */
struct leat_string {
        uint32_t len;
        union {
                char inlined[12];
                struct __attribute__((packed)) {
                        char prefix[4];
                        char *ptr;
                } far; /* packed: the pointer stands at byte 8, aligned */
        } u;
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct leat_string) == 16, "layout of duckdb_string_t");

/* Points into @s itself for short strings: keep @s in place while it is used. */
static inline struct leat_view leat_string_view(const struct leat_string *s)
{
        return leat_view_of(s->len <= 12 ? s->u.inlined : s->u.far.ptr, s->len);
}
/* Long strings are not copied: @text must live as long as the column. */
static inline struct leat_string leat_string_borrow(struct leat_view text)
{
        struct leat_string s;
        memset(&s, 0, sizeof s);
        s.len = (uint32_t)text.len;
        if (text.len <= 12) {
                if (text.len != 0)
                        memcpy(s.u.inlined, text.data, text.len);
        } else {
                memcpy(s.u.far.prefix, text.data, 4);
                s.u.far.ptr = (char *)(uintptr_t)text.data;
        }
        return s;
}

struct leat_column {
        struct leat_type type;
        void *data;                   /* rows * leat_type_bytes; NULL for STRUCT */
        uint64_t *validity;           /* NULL: no NULLs */
        struct leat_column *children; /* LIST: one, STRUCT: one a field */
        uint64_t child_rows;          /* LIST: rows in the child */
        uint64_t child_cap;           /* LIST: room in the child (leat_column_child_reserve) */
};

struct leat_batch {
        uint32_t rows;
        uint32_t column_count;
        struct leat_column *columns;
        uint32_t rows_max;        /* room, of a batch from leat_batch_new; else 0 */
        struct leat_arena *arena; /* where a batch from leat_batch_new grows; else NULL */
};

static inline bool leat_column_valid(const struct leat_column *col, uint32_t row)
{
        return col->validity == NULL || ((col->validity[row >> 6] >> (row & 63)) & 1);
}
/* Needs a validity bitmap (leat_column_make_validity). */
static inline void leat_column_set_null(struct leat_column *col, uint32_t row)
{
        col->validity[row >> 6] &= ~(1ull << (row & 63));
}
/* Gives the column an all-valid bitmap for @rows unless it has one. */
void leat_column_make_validity(struct leat_arena *arena, struct leat_column *col, uint32_t rows);
/* Makes room for @more rows in the child of the LIST column @col, whose child_rows say how many are used. Arrays of
 * the child may move. */
void leat_column_child_reserve(struct leat_arena *arena, struct leat_column *col, uint64_t more);
/* Makes room for @rows_max in all columns of a batch from leat_batch_new; arrays may move. */
void leat_batch_reserve(struct leat_batch *batch, uint32_t rows_max);
/* Columns of @types with room for @rows_max, zeroed rows count, arrays uninitialized, no validity. */
struct leat_batch *leat_batch_new(struct leat_arena *arena, const struct leat_type *types, uint32_t column_count,
                                  uint32_t rows_max);
/* Deep copy, strings included. */
struct leat_batch *leat_batch_copy(struct leat_arena *arena, const struct leat_batch *batch);
/* Appends rows [@from, @from+@count) of @src to @dst, a batch from leat_batch_new which has room for them; long strings are copied to @arena
 * unless @arena is NULL (then they are borrowed). Types must be equal. */
void leat_batch_append(struct leat_arena *arena, struct leat_batch *dst, const struct leat_batch *src, uint32_t from,
                       uint32_t count);
/* Rows of @src chosen by @rows (indexes), fixed order. Strings borrowed. */
struct leat_batch *leat_batch_gather(struct leat_arena *arena, const struct leat_batch *src, const uint32_t *rows,
                                     uint32_t count);
/* Appends one value as text, the way PostgreSQL prints it (timestamps ISO with +00, bytea as \x, booleans t/f,
 * lists {..}); NULL appends nothing and returns false. */
bool leat_column_print(const struct leat_column *col, uint32_t row, struct leat_buf *out);
/* A time zone: from starts[i] on (us since 1970 UTC, growing; the first is the beginning of time) local time is
 * offsets_s[i] seconds ahead of UTC. */
struct leat_zone {
        uint32_t count;
        const int64_t *starts;
        const int32_t *offsets_s;
};
/* As leat_column_print, with TIMESTAMPTZ in local time and its offset behind it; @zone NULL: UTC. */
bool leat_column_print_in(const struct leat_column *col, uint32_t row, const struct leat_zone *zone,
                          struct leat_buf *out);
/* Appends one value as JSON (numbers as numbers, HUGEINT and DECIMAL as numbers, timestamps as ISO 8601 strings). */
void leat_column_json(const struct leat_column *col, uint32_t row, struct leat_buf *out);

#endif
