/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/state: reading rows out of blocks, one value or a column of many.
 *
 * Design    Rows that a lookup wants lie all over the memory: nearly every value
 *           is a cache miss. So columns are put together in two steps over 64
 *           rows: first all addresses (fetched ahead), then all values.
 */
#include "state_int.h"

#define GROUP 64u

static inline const uint8_t *text_at(const uint8_t *block, const struct leat_block_col *col, uint32_t row,
                                     uint32_t *ret_len)
{
        const uint8_t *ends = block + col->data;
        uint32_t rows = leat_block_head(block)->rows, count = rows, at = row;
        if (col->enc == LEAT_ENC_TEXT2) {
                uint32_t begin = leat_block_get16(ends + 2 * (size_t)at);
                *ret_len = leat_block_get16(ends + 2 * ((size_t)at + 1)) - begin;
                return ends + ((size_t)count + 1) * 2 + begin;
        }
        if (col->enc == LEAT_ENC_DICT) {
                at = ends[row];
                count = col->dict;
                ends += (rows + 3) & ~3u;
        }
        uint32_t begin = leat_get_le32(ends + 4 * (size_t)at);
        *ret_len = leat_get_le32(ends + 4 * ((size_t)at + 1)) - begin;
        return ends + ((size_t)count + 1) * 4 + begin;
}

static inline bool block_null(const uint8_t *block, const struct leat_block_col *col, uint32_t row)
{
        if (col->enc == LEAT_ENC_NULL)
                return true;
        if (col->validity == 0)
                return false;
        const uint64_t *bits = (const uint64_t *)(const void *)(block + col->validity);
        return ((bits[row >> 6] >> (row & 63)) & 1) == 0;
}

/* Where the value, or its difference to the base, lies. */
static inline const uint8_t *fixed_at(const uint8_t *block, const struct leat_block_col *col, uint32_t row)
{
        if (col->enc == LEAT_ENC_FOR)
                return block + col->data + (size_t)row * col->dict;
        return block + col->data + (col->enc == LEAT_ENC_CONST ? 0 : (size_t)row * col->width);
}

static inline int64_t base_of(const uint8_t *block, const struct leat_block_col *col)
{
        int64_t base;
        memcpy(&base, block + col->bytes, sizeof base);
        return base;
}

static inline uint64_t narrow_at(const uint8_t *at, uint32_t bytes)
{
        switch (bytes) {
        case 1:
                return *at;
        case 2:
                return leat_block_get16(at);
        case 4:
                return leat_get_le32(at);
        default:
                return leat_get_le64(at);
        }
}

struct leat_cell leat_block_cell(const uint8_t *block, uint32_t number, uint32_t row, struct leat_cell_room *room)
{
        const struct leat_block_col *col = leat_block_col(block, number);
        struct leat_cell cell = {NULL, 0};
        if (block_null(block, col, row))
                return cell;
        if (col->enc == LEAT_ENC_FOR) {
                __int128_t value = (__int128_t)base_of(block, col) + narrow_at(fixed_at(block, col, row), col->dict);
                memcpy(room, &value, sizeof value);
                cell.data = room;
                cell.len = col->width;
        } else if (col->width != 0) {
                cell.data = fixed_at(block, col, row);
                cell.len = col->width;
        } else {
                cell.data = text_at(block, col, row, &cell.len);
        }
        return cell;
}

int64_t leat_block_weight(const uint8_t *block, uint32_t column_count, uint32_t row)
{
        const struct leat_block_col *col = leat_block_col(block, column_count);
        if (col->enc == LEAT_ENC_FOR)
                return (int64_t)((uint64_t)base_of(block, col) + narrow_at(fixed_at(block, col, row), col->dict));
        int64_t weight;
        memcpy(&weight, fixed_at(block, col, row), sizeof weight);
        return weight;
}

void leat_refs_weights(const struct leat_ref *refs, uint32_t count, uint32_t column_count, int64_t *out)
{
        for (uint32_t i = 0; i < count; i++)
                out[i] = refs[i].block == NULL ? 0 : leat_block_weight(refs[i].block, column_count, refs[i].row);
}

static void note_null(struct leat_arena *arena, struct leat_column *out, uint32_t row, uint32_t rows, bool *any)
{
        if (!*any) {
                leat_column_make_validity(arena, out, rows);
                memset(out->validity, 0xff, ((size_t)rows + 63) / 64 * 8);
                *any = true;
        }
        leat_column_set_null(out, row);
}

#define PUT(ctype) \
        do { \
                ctype *to_ = (ctype *)out->data + base; \
                for (uint32_t i = 0; i < n; i++) { \
                        if (at[i] == NULL) { \
                                memset(&to_[i], 0, sizeof to_[i]); \
                                note_null(arena, out, base + i, count, any); \
                                continue; \
                        } \
                        const struct leat_block_col *col_ = leat_block_col(refs[base + i].block, number); \
                        if (col_->enc == LEAT_ENC_FOR) \
                                to_[i] = (ctype)base_of(refs[base + i].block, col_) + \
                                         (ctype)narrow_at(at[i], col_->dict); \
                        else \
                                memcpy(&to_[i], at[i], sizeof to_[i]); \
                } \
        } while (0)

static void put_fixed(struct leat_arena *arena, const struct leat_ref *refs, const uint8_t *const *at, uint32_t base,
                      uint32_t n, uint32_t count, uint32_t number, struct leat_column *out, bool *any)
{
        switch (leat_type_bytes(&out->type)) {
        case 1:
                PUT(uint8_t);
                break;
        case 2:
                PUT(uint16_t);
                break;
        case 4:
                PUT(uint32_t);
                break;
        case 8:
                PUT(uint64_t);
                break;
        default:
                PUT(__uint128_t);
        }
}

static void column_fixed(struct leat_arena *arena, const struct leat_ref *refs, uint32_t count, uint32_t number,
                         struct leat_column *out, bool *any)
{
        for (uint32_t base = 0; base < count; base += GROUP) {
                const uint8_t *at[GROUP];
                uint32_t n = LEAT_MIN(GROUP, count - base);
                for (uint32_t i = 0; i < n; i++) {
                        const struct leat_ref *ref = &refs[base + i];
                        at[i] = NULL;
                        if (ref->block == NULL)
                                continue;
                        const struct leat_block_col *col = leat_block_col(ref->block, number);
                        if (block_null(ref->block, col, ref->row))
                                continue;
                        at[i] = fixed_at(ref->block, col, ref->row);
                        __builtin_prefetch(at[i]);
                }
                put_fixed(arena, refs, at, base, n, count, number, out, any);
        }
}

static void column_text(struct leat_arena *arena, const struct leat_ref *refs, uint32_t count, uint32_t number,
                        struct leat_column *out, bool *any)
{
        struct leat_string *to = out->data;
        for (uint32_t base = 0; base < count; base += GROUP) {
                const uint8_t *at[GROUP];
                uint32_t len[GROUP];
                uint32_t n = LEAT_MIN(GROUP, count - base);
                for (uint32_t i = 0; i < n; i++) {
                        const struct leat_ref *ref = &refs[base + i];
                        if (ref->block == NULL)
                                continue;
                        __builtin_prefetch(leat_block_spot(ref->block, number, ref->row));
                }
                for (uint32_t i = 0; i < n; i++) {
                        const struct leat_ref *ref = &refs[base + i];
                        at[i] = NULL;
                        if (ref->block == NULL)
                                continue;
                        const struct leat_block_col *col = leat_block_col(ref->block, number);
                        if (block_null(ref->block, col, ref->row))
                                continue;
                        at[i] = text_at(ref->block, col, ref->row, &len[i]);
                        __builtin_prefetch(at[i]);
                }
                for (uint32_t i = 0; i < n; i++) {
                        if (at[i] != NULL) {
                                to[base + i] = leat_string_borrow(leat_view_of(at[i], len[i]));
                        } else {
                                memset(&to[base + i], 0, sizeof *to);
                                note_null(arena, out, base + i, count, any);
                        }
                }
        }
}

void leat_refs_column(struct leat_arena *arena, const struct leat_ref *refs, uint32_t count, uint32_t col,
                      struct leat_column *out)
{
        bool any = false;
        if (leat_type_is_text(&out->type))
                column_text(arena, refs, count, col, out, &any);
        else
                column_fixed(arena, refs, count, col, out, &any);
}
