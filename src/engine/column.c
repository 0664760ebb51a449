/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/engine: columns and batches: room, copies, appends, gathers.
 *
 * Design    A column is a handful of plain arrays; every operation walks them
 *           one column at a time with memcpy where a value is a fixed number of
 *           bytes. LIST and STRUCT columns recurse into their children.
 * Memory    leat_batch_new remembers its arena: children of lists grow there.
 *           Long strings are copied in one block per column and call.
 * NULL      The array under a NULL is never read as a value. Appends and
 *           gathers make NULL strings empty and NULL lists short, so that a
 *           borrowed column never carries a wild pointer further.
 */
#include "leat/column.h"

#include "engine_int.h"

#define CHILD_ROWS_MIN 16

static inline bool bit_get(const uint64_t *bits, uint64_t i)
{
        return (bits[i >> 6] >> (i & 63)) & 1;
}
static inline void bit_clear(uint64_t *bits, uint64_t i)
{
        bits[i >> 6] &= ~(1ull << (i & 63));
}
static inline void bit_set(uint64_t *bits, uint64_t i)
{
        bits[i >> 6] |= 1ull << (i & 63);
}

static bool is_string(const struct leat_type *type)
{
        return type->id == LEAT_T_VARCHAR || type->id == LEAT_T_BLOB;
}

/* ---- room ---------------------------------------------------------------- */

static uint64_t *validity_new(struct leat_arena *arena, uint64_t rows)
{
        uint64_t words = (rows + 63) / 64;
        uint64_t *bits = leat_arena_alloc(arena, words * 8);
        memset(bits, 0xff, words * 8);
        return bits;
}

void leat_column_make_validity(struct leat_arena *arena, struct leat_column *col, uint32_t rows)
{
        if (col->validity == NULL)
                col->validity = validity_new(arena, rows);
}

static void column_init(struct leat_arena *arena, struct leat_column *col, const struct leat_type *type, uint64_t cap)
{
        *col = (struct leat_column){.type = *type};
        if (type->child_count != 0)
                col->children = leat_arena_zalloc(arena, type->child_count * sizeof *col->children);
        for (uint32_t i = 0; i < type->child_count; i++)
                column_init(arena, &col->children[i], &type->children[i], type->id == LEAT_T_LIST ? 0 : cap);
        uint32_t bytes = leat_type_bytes(type);
        if (bytes != 0)
                col->data = leat_arena_alloc(arena, cap * bytes);
}

/* Moves @rows rows to arrays with room for @cap. */
static void column_grow(struct leat_arena *arena, struct leat_column *col, uint64_t rows, uint64_t cap)
{
        uint32_t bytes = leat_type_bytes(&col->type);
        if (bytes != 0) {
                void *data = leat_arena_alloc(arena, cap * bytes);
                if (rows != 0)
                        memcpy(data, col->data, rows * bytes);
                col->data = data;
        }
        if (col->validity != NULL) {
                uint64_t *bits = validity_new(arena, cap);
                if (rows != 0)
                        memcpy(bits, col->validity, (rows + 63) / 64 * 8);
                col->validity = bits;
        }
        if (col->type.id == LEAT_T_STRUCT)
                for (uint32_t i = 0; i < col->type.child_count; i++)
                        column_grow(arena, &col->children[i], rows, cap);
}

void leat_column_child_reserve(struct leat_arena *arena, struct leat_column *col, uint64_t more)
{
        uint64_t need = col->child_rows + more;
        if (need <= col->child_cap)
                return;
        uint64_t cap = LEAT_MAX(LEAT_MAX(need, col->child_cap * 2), (uint64_t)CHILD_ROWS_MIN);
        column_grow(arena, &col->children[0], col->child_rows, cap);
        col->child_cap = cap;
}

struct leat_batch *leat_batch_new(struct leat_arena *arena, const struct leat_type *types, uint32_t column_count,
                                  uint32_t rows_max)
{
        struct leat_batch *batch = leat_arena_zalloc(arena, sizeof *batch);
        batch->column_count = column_count;
        batch->rows_max = rows_max;
        batch->arena = arena;
        batch->columns = leat_arena_zalloc(arena, column_count * sizeof *batch->columns);
        for (uint32_t i = 0; i < column_count; i++) {
                struct leat_type type = leat_type_copy(arena, &types[i]);
                column_init(arena, &batch->columns[i], &type, rows_max);
        }
        return batch;
}

void leat_batch_reserve(struct leat_batch *batch, uint32_t rows_max)
{
        LEAT_ASSERT(batch->arena != NULL);
        if (rows_max <= batch->rows_max)
                return;
        for (uint32_t i = 0; i < batch->column_count; i++)
                column_grow(batch->arena, &batch->columns[i], batch->rows, rows_max);
        batch->rows_max = rows_max;
}

/* ---- append -------------------------------------------------------------- */

/* Copies @count bits; @dst starts anywhere, and has its bitmap. */
static void bits_append(uint64_t *dst, uint64_t dst_at, const uint64_t *src, uint64_t src_at, uint64_t count)
{
        if (src == NULL) {
                for (uint64_t i = 0; i < count; i++)
                        bit_set(dst, dst_at + i);
                return;
        }
        if (((dst_at | src_at) & 63) == 0) {
                uint64_t words = count / 64;
                memcpy(dst + dst_at / 64, src + src_at / 64, words * 8);
                dst_at += words * 64;
                src_at += words * 64;
                count -= words * 64;
        }
        for (uint64_t i = 0; i < count; i++)
                if (bit_get(src, src_at + i))
                        bit_set(dst, dst_at + i);
                else
                        bit_clear(dst, dst_at + i);
}

static void strings_own(struct leat_arena *arena, struct leat_column *dst, uint64_t at, uint64_t count)
{
        struct leat_string *s = (struct leat_string *)dst->data + at;
        size_t bytes = 0;
        for (uint64_t i = 0; i < count; i++)
                bytes += s[i].len > 12 ? s[i].len : 0;
        if (bytes == 0)
                return;
        char *to = leat_arena_alloc(arena, bytes);
        for (uint64_t i = 0; i < count; i++) {
                if (s[i].len <= 12)
                        continue;
                memcpy(to, s[i].u.far.ptr, s[i].len);
                s[i].u.far.ptr = to;
                to += s[i].len;
        }
}

static void column_append(struct leat_arena *strings, struct leat_arena *arena, struct leat_column *dst,
                          uint64_t dst_rows, uint64_t dst_cap, const struct leat_column *src, uint64_t from,
                          uint64_t count);

static void list_append(struct leat_arena *strings, struct leat_arena *arena, struct leat_column *dst, uint64_t at,
                        const struct leat_column *src, uint64_t from, uint64_t count)
{
        struct leat_list_entry *to = (struct leat_list_entry *)dst->data + at;
        const struct leat_list_entry *entries = (const struct leat_list_entry *)src->data + from;
        uint64_t run_from = 0, run = 0; /* child rows that follow each other are copied as one */
        for (uint64_t i = 0; i <= count; i++) {
                bool valid = i < count && (src->validity == NULL || bit_get(src->validity, from + i));
                if (i == count || (valid && entries[i].length != 0 && entries[i].offset != run_from + run)) {
                        leat_column_child_reserve(arena, dst, run);
                        column_append(strings, arena, &dst->children[0], dst->child_rows, dst->child_cap,
                                      &src->children[0], run_from, run);
                        dst->child_rows += run;
                        run = 0;
                }
                if (i == count)
                        break;
                uint64_t length = valid ? entries[i].length : 0;
                if (run == 0 && length != 0)
                        run_from = entries[i].offset;
                to[i] = (struct leat_list_entry){.offset = dst->child_rows + run, .length = length};
                run += length;
        }
}

static void column_append(struct leat_arena *strings, struct leat_arena *arena, struct leat_column *dst,
                          uint64_t dst_rows, uint64_t dst_cap, const struct leat_column *src, uint64_t from,
                          uint64_t count)
{
        if (count == 0)
                return;
        LEAT_DCHECK(dst_rows + count <= dst_cap);
        if (src->validity != NULL && dst->validity == NULL)
                dst->validity = validity_new(arena, dst_cap);
        if (dst->validity != NULL)
                bits_append(dst->validity, dst_rows, src->validity, from, count);
        if (dst->type.id == LEAT_T_LIST) {
                list_append(strings, arena, dst, dst_rows, src, from, count);
                return;
        }
        for (uint32_t i = 0; i < dst->type.child_count; i++)
                column_append(strings, arena, &dst->children[i], dst_rows, dst_cap, &src->children[i], from, count);
        uint32_t bytes = leat_type_bytes(&dst->type);
        if (bytes == 0)
                return;
        memcpy((char *)dst->data + dst_rows * bytes, (const char *)src->data + from * bytes, count * bytes);
        if (!is_string(&dst->type))
                return;
        if (src->validity != NULL)
                for (uint64_t i = 0; i < count; i++)
                        if (!bit_get(src->validity, from + i))
                                memset((struct leat_string *)dst->data + dst_rows + i, 0, sizeof(struct leat_string));
        if (strings != NULL)
                strings_own(strings, dst, dst_rows, count);
}

void leat_batch_append(struct leat_arena *arena, struct leat_batch *dst, const struct leat_batch *src, uint32_t from,
                       uint32_t count)
{
        LEAT_ASSERT(dst->arena != NULL && dst->column_count == src->column_count);
        LEAT_ASSERT(count <= dst->rows_max - dst->rows && count <= src->rows - from);
        for (uint32_t i = 0; i < dst->column_count; i++)
                column_append(arena, dst->arena, &dst->columns[i], dst->rows, dst->rows_max, &src->columns[i], from,
                              count);
        dst->rows += count;
}

struct leat_batch *leat_batch_copy(struct leat_arena *arena, const struct leat_batch *batch)
{
        struct leat_type *types = leat_arena_alloc(arena, batch->column_count * sizeof *types);
        for (uint32_t i = 0; i < batch->column_count; i++)
                types[i] = batch->columns[i].type;
        struct leat_batch *copy = leat_batch_new(arena, types, batch->column_count, batch->rows);
        leat_batch_append(arena, copy, batch, 0, batch->rows);
        return copy;
}

/* ---- gather -------------------------------------------------------------- */

#define GATHER(ctype) \
        do { \
                ctype *to = dst->data; \
                const ctype *from = src->data; \
                for (uint64_t i = 0; i < count; i++) \
                        to[i] = from[rows[i]]; \
        } while (0)

static void list_gather(struct leat_arena *arena, struct leat_column *dst, const struct leat_column *src,
                        const uint32_t *rows, uint32_t count)
{
        struct leat_list_entry *to = dst->data;
        const struct leat_list_entry *from = src->data;
        for (uint32_t i = 0; i < count; i++) {
                bool valid = leat_column_valid(src, rows[i]);
                to[i] = (struct leat_list_entry){.offset = dst->child_rows, .length = valid ? from[rows[i]].length : 0};
                if (to[i].length == 0)
                        continue;
                leat_column_child_reserve(arena, dst, to[i].length);
                column_append(NULL, arena, &dst->children[0], dst->child_rows, dst->child_cap, &src->children[0],
                              from[rows[i]].offset, to[i].length);
                dst->child_rows += to[i].length;
        }
}

static void column_gather(struct leat_arena *arena, struct leat_column *dst, const struct leat_column *src,
                          const uint32_t *rows, uint32_t count)
{
        if (src->validity != NULL) {
                dst->validity = validity_new(arena, count);
                for (uint32_t i = 0; i < count; i++)
                        if (!bit_get(src->validity, rows[i]))
                                bit_clear(dst->validity, i);
        }
        if (dst->type.id == LEAT_T_LIST) {
                list_gather(arena, dst, src, rows, count);
                return;
        }
        for (uint32_t i = 0; i < dst->type.child_count; i++)
                column_gather(arena, &dst->children[i], &src->children[i], rows, count);
        switch (leat_type_bytes(&dst->type)) {
        case 1:
                GATHER(uint8_t);
                break;
        case 2:
                GATHER(uint16_t);
                break;
        case 4:
                GATHER(uint32_t);
                break;
        case 8:
                GATHER(uint64_t);
                break;
        case 16:
                GATHER(struct leat_string);
                if (is_string(&dst->type) && dst->validity != NULL)
                        for (uint32_t i = 0; i < count; i++)
                                if (!bit_get(dst->validity, i))
                                        memset((struct leat_string *)dst->data + i, 0, sizeof(struct leat_string));
                break;
        default:
                break;
        }
}

struct leat_batch *leat_batch_gather(struct leat_arena *arena, const struct leat_batch *src, const uint32_t *rows,
                                     uint32_t count)
{
        struct leat_type *types = leat_arena_alloc(arena, src->column_count * sizeof *types);
        for (uint32_t i = 0; i < src->column_count; i++)
                types[i] = src->columns[i].type;
        struct leat_batch *batch = leat_batch_new(arena, types, src->column_count, count);
        for (uint32_t i = 0; i < src->column_count; i++)
                column_gather(arena, &batch->columns[i], &src->columns[i], rows, count);
        batch->rows = count;
        return batch;
}
