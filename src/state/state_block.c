/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/state: blocks, some hundred rows with their columns side by side.
 *
 * Purpose   The one encoding of rows: runs in memory, runs in files and the
 *           sections of tick records hold blocks.
 * Design    Values lie as they are in memory, aligned, so that one row is read
 *           out of a mapped block by a few additions, without decoding the rest.
 *           What costs nothing to read is folded: a column of one value, a
 *           column of NULLs, few distinct strings, integers that lie close together
 *           (their least one stands in the block's head, where it is read anyway).
 * Format    head (16 bytes), an entry of 16 bytes for each column and one for
 *           the weights, then bitmaps and values, each at a multiple of 16;
 *           docs/formats.md. Little endian.
 * Failure   leat_block_check() looks at a block from a file once; after that
 *           reads are free of checks. Never trusts a place or a length.
 */
#include "state_int.h"

#define ALIGN16(n) (((n) + 15) & ~(size_t)15)

static void pad16(struct leat_buf *out)
{
        size_t bytes = ALIGN16(out->len) - out->len;
        if (bytes != 0) {
                memset(leat_buf_reserve(out, bytes), 0, bytes);
                out->len += bytes;
        }
}

/* ---- encoding -------------------------------------------------------------------- */

/* What is being written: @start is the block's place in @out. */
struct encode {
        struct leat_buf *out;
        size_t start;
        const uint32_t *rows;
        uint32_t from, count;
        uint32_t base; /* place of the next base */
};

/* Types whose values are integers in two's complement. */
static bool narrows(const struct leat_type *type)
{
        switch (type->id) {
        case LEAT_T_SMALLINT:
        case LEAT_T_USMALLINT:
        case LEAT_T_INTEGER:
        case LEAT_T_UINTEGER:
        case LEAT_T_BIGINT:
        case LEAT_T_UBIGINT:
        case LEAT_T_HUGEINT:
        case LEAT_T_UHUGEINT:
        case LEAT_T_DATE:
        case LEAT_T_TIME:
        case LEAT_T_TIMESTAMP:
        case LEAT_T_TIMESTAMPTZ:
        case LEAT_T_DECIMAL:
                return true;
        default:
                return false;
        }
}

static inline uint32_t source_row(const struct encode *e, uint32_t i)
{
        return e->rows != NULL ? e->rows[i] : e->from + i;
}

static void add_validity(struct encode *e, const struct leat_column *col, struct leat_block_col *head)
{
        if (col->validity == NULL)
                return;
        uint32_t valid = 0;
        for (uint32_t i = 0; i < e->count; i++)
                valid += leat_column_valid(col, source_row(e, i));
        if (valid == e->count)
                return;
        if (valid == 0) {
                head->enc = LEAT_ENC_NULL;
                return;
        }
        size_t bytes = ((size_t)e->count + 63) / 64 * 8;
        head->validity = (uint32_t)(e->out->len - e->start);
        uint64_t *bits = (uint64_t *)(void *)leat_buf_reserve(e->out, bytes);
        memset(bits, 0, bytes);
        for (uint32_t i = 0; i < e->count; i++)
                if (leat_column_valid(col, source_row(e, i)))
                        bits[i >> 6] |= 1ull << (i & 63);
        e->out->len += bytes;
        pad16(e->out);
}

#define COPY_LOOP(ctype) \
        do { \
                const ctype *from_ = col->data; \
                ctype *to_ = (ctype *)(void *)to; \
                if (e->rows == NULL) \
                        memcpy(to_, from_ + e->from, (size_t)e->count * sizeof *to_); \
                else \
                        for (uint32_t i = 0; i < e->count; i++) \
                                to_[i] = from_[e->rows[i]]; \
        } while (0)

typedef struct {
        uint64_t part[2];
} wide;

static void copy_fixed(const struct encode *e, const struct leat_column *col, uint32_t width, uint8_t *to)
{
        switch (width) {
        case 1:
                COPY_LOOP(uint8_t);
                break;
        case 2:
                COPY_LOOP(uint16_t);
                break;
        case 4:
                COPY_LOOP(uint32_t);
                break;
        case 8:
                COPY_LOOP(uint64_t);
                break;
        default:
                COPY_LOOP(wide);
        }
}

#define RANGE_LOOP(ctype) \
        do { \
                const ctype *at_ = (const ctype *)(const void *)to; \
                ctype low_ = at_[0], high_ = at_[0]; \
                for (uint32_t i = 1; i < count; i++) { \
                        low_ = at_[i] < low_ ? at_[i] : low_; \
                        high_ = at_[i] > high_ ? at_[i] : high_; \
                } \
                low = low_; \
                high = high_; \
        } while (0)

/* Least value, and bytes that the differences to it need; the type's own width when they cannot be kept so. */
static uint32_t narrow_width(const uint8_t *to, uint32_t count, uint32_t width, int64_t *ret_base)
{
        __int128_t low, high;
        switch (width) {
        case 2:
                RANGE_LOOP(int16_t);
                break;
        case 4:
                RANGE_LOOP(int32_t);
                break;
        case 8:
                RANGE_LOOP(int64_t);
                break;
        default:
                RANGE_LOOP(__int128_t);
        }
        *ret_base = (int64_t)low;
        /* The difference of two values of 128 bits may not fit into 128: such columns are not narrow anyway. */
        __uint128_t span = (__uint128_t)high - (__uint128_t)low;
        if (low < INT64_MIN || low > INT64_MAX || span > UINT64_MAX)
                return width;
        return LEAT_MIN(width, span <= UINT8_MAX ? 1u : span <= UINT16_MAX ? 2u : span <= UINT32_MAX ? 4u : 8u);
}

#define NARROW_LOOP(wtype, ntype) \
        do { \
                const wtype *at_ = (const wtype *)(const void *)to; \
                ntype *put_ = (ntype *)(void *)to; \
                for (uint32_t i = 0; i < count; i++) \
                        put_[i] = (ntype)(at_[i] - (wtype)base); \
        } while (0)

#define NARROW_FROM(wtype) \
        do { \
                if (bytes == 1) \
                        NARROW_LOOP(wtype, uint8_t); \
                else if (bytes == 2) \
                        NARROW_LOOP(wtype, uint16_t); \
                else if (bytes == 4) \
                        NARROW_LOOP(wtype, uint32_t); \
                else \
                        NARROW_LOOP(wtype, uint64_t); \
        } while (0)

/* In place: a narrow value never lies behind the wide one that comes next. */
static void narrow(uint8_t *to, uint32_t count, uint32_t width, uint32_t bytes, int64_t base)
{
        switch (width) {
        case 2:
                NARROW_FROM(uint16_t);
                break;
        case 4:
                NARROW_FROM(uint32_t);
                break;
        case 8:
                NARROW_FROM(uint64_t);
                break;
        default:
                NARROW_FROM(__uint128_t);
        }
}

/* What lies under a NULL must not widen the others. */
static void blank_nulls(const struct encode *e, const struct leat_column *col, uint32_t width, bool narrow, uint8_t *to)
{
        uint32_t first = 0;
        while (!leat_column_valid(col, source_row(e, first)))
                first++;
        for (uint32_t i = 0; i < e->count; i++) {
                if (leat_column_valid(col, source_row(e, i)))
                        continue;
                if (narrow)
                        memcpy(to + (size_t)i * width, to + (size_t)first * width, width);
                else
                        memset(to + (size_t)i * width, 0, width);
        }
}

static void encode_fixed(struct encode *e, const struct leat_column *col, uint32_t width, struct leat_block_col *head)
{
        /* Values of 16 bytes are read as such below. */
        uint8_t *to = leat_buf_reserve(e->out, (size_t)e->count * width + 16);
        bool narrow_type = narrows(&col->type);
        copy_fixed(e, col, width, to);
        if (head->validity != 0)
                blank_nulls(e, col, width, narrow_type, to);
        size_t bytes = (size_t)e->count * width;
        int64_t base;
        head->enc = LEAT_ENC_RAW;
        head->bytes = (uint32_t)bytes;
        if (e->count > 1 && memcmp(to, to + width, bytes - width) == 0) {
                head->enc = LEAT_ENC_CONST;
                head->bytes = (uint32_t)(bytes = width);
        } else if (narrow_type && e->count > 1) {
                uint32_t small = narrow_width(to, e->count, width, &base);
                if (small < width) {
                        narrow(to, e->count, width, small, base);
                        head->enc = LEAT_ENC_FOR;
                        head->dict = (uint16_t)small;
                        head->bytes = e->base;
                        memcpy(e->out->data + e->start + e->base, &base, sizeof base);
                        bytes = (size_t)e->count * small;
                }
        }
        e->base += narrow_type ? 8 : 0;
        head->data = (uint32_t)(e->out->len - e->start);
        e->out->len += bytes;
        pad16(e->out);
}

#define DICT_MAX 64u /* strings; more do not save enough */
#define DICT_SLOTS 256u

/* Numbers the distinct strings of the rows; 0 when there are too many to be worth it. */
static uint32_t dict_build(const struct encode *e, const struct leat_column *col, uint8_t *codes, uint32_t *firsts)
{
        uint8_t slots[DICT_SLOTS] = {0};
        uint32_t distinct = 0, limit = LEAT_MIN(DICT_MAX, e->count / 4);
        for (uint32_t i = 0; i < e->count; i++) {
                uint32_t row = source_row(e, i);
                struct leat_cell cell = leat_column_cell(col, row);
                if (cell.data == NULL)
                        cell = (struct leat_cell){"", 0};
                uint32_t slot = (uint32_t)leat_hash64(0, cell.data, cell.len) & (DICT_SLOTS - 1);
                for (;; slot = (slot + 1) & (DICT_SLOTS - 1)) {
                        if (slots[slot] == 0) {
                                if (distinct == limit)
                                        return 0;
                                firsts[distinct] = row;
                                slots[slot] = (uint8_t)++distinct;
                                break;
                        }
                        struct leat_cell have = leat_column_cell(col, firsts[slots[slot] - 1]);
                        if (have.data == NULL)
                                have = (struct leat_cell){"", 0};
                        if (leat_cell_eq(have, cell))
                                break;
                }
                codes[i] = (uint8_t)(slots[slot] - 1);
        }
        return distinct;
}

/* Ends, from 0 on, then the bytes, at the end of @out. Gives the bytes of an end: 4, or 2 when @narrow and they do. */
static uint32_t add_strings(struct encode *e, const struct leat_column *col, const uint32_t *rows, uint32_t count,
                            bool narrow)
{
        size_t total = 0;
        for (uint32_t i = 0; i < count; i++)
                total += leat_column_cell(col, rows != NULL ? rows[i] : source_row(e, i)).len;
        uint32_t width = narrow && total <= UINT16_MAX ? 2 : 4;
        uint8_t *at = leat_buf_reserve(e->out, ((size_t)count + 1) * width + total);
        uint8_t *heap = at + ((size_t)count + 1) * width;
        uint32_t end = 0;
        memset(at, 0, width);
        for (uint32_t i = 0; i < count; i++) {
                struct leat_cell cell = leat_column_cell(col, rows != NULL ? rows[i] : source_row(e, i));
                if (cell.len != 0)
                        memcpy(heap + end, cell.data, cell.len);
                end += cell.len;
                if (width == 2)
                        memcpy(at + 2 * ((size_t)i + 1), &(uint16_t){(uint16_t)end}, 2);
                else
                        leat_put_le32(at + 4 * ((size_t)i + 1), end);
        }
        e->out->len += ((size_t)count + 1) * width + total;
        return width;
}

static void encode_text(struct encode *e, const struct leat_column *col, struct leat_block_col *head)
{
        uint8_t codes[LEAT_BLOCK_ROWS];
        uint32_t firsts[DICT_MAX];
        uint32_t distinct = e->count <= LEAT_BLOCK_ROWS ? dict_build(e, col, codes, firsts) : 0;
        size_t at = e->out->len;
        head->data = (uint32_t)(at - e->start);
        if (distinct != 0) {
                head->enc = LEAT_ENC_DICT;
                head->dict = (uint16_t)distinct;
                leat_buf_add(e->out, codes, e->count);
                while ((e->out->len & 3) != 0)
                        leat_buf_u8(e->out, 0);
                add_strings(e, col, firsts, distinct, false);
        } else {
                head->enc = add_strings(e, col, NULL, e->count, true) == 2 ? LEAT_ENC_TEXT2 : LEAT_ENC_TEXT;
        }
        head->bytes = (uint32_t)(e->out->len - at);
        pad16(e->out);
}

static void encode_column(struct encode *e, const struct leat_column *col, uint32_t number)
{
        struct leat_block_col head = {.width = (uint8_t)leat_type_bytes(&col->type)};
        bool text = leat_type_is_text(&col->type);
        if (text)
                head.width = 0;
        add_validity(e, col, &head);
        if (head.enc != LEAT_ENC_NULL) {
                if (text)
                        encode_text(e, col, &head);
                else
                        encode_fixed(e, col, head.width, &head);
        }
        memcpy(e->out->data + e->start + sizeof(struct leat_block_head) + number * sizeof head, &head, sizeof head);
}

/* Bytes that the block takes at most. */
static uint64_t encode_bound(const struct encode *e, const struct leat_batch *batch)
{
        uint64_t bytes = 64 + (uint64_t)e->count * 9;
        for (uint32_t c = 0; c < batch->column_count; c++) {
                const struct leat_column *col = &batch->columns[c];
                bytes += 80 + (uint64_t)e->count * (leat_type_bytes(&col->type) + 1);
                if (!leat_type_is_text(&col->type))
                        continue;
                for (uint32_t i = 0; i < e->count; i++)
                        bytes += leat_column_cell(col, source_row(e, i)).len;
        }
        return bytes;
}

bool leat_block_encode(struct leat_buf *out, const struct leat_batch *batch, const uint32_t *rows, uint32_t from,
                       uint32_t count, const int64_t *weights)
{
        LEAT_ASSERT((out->len & 15) == 0 && count != 0);
        struct encode e = {.out = out, .start = out->len, .rows = rows, .from = from, .count = count};
        uint64_t bound = encode_bound(&e, batch);
        if (bound > UINT32_MAX)
                return false;
        leat_buf_reserve(out, bound);
        struct leat_block_head head = {.rows = count, .columns = batch->column_count + 1};
        size_t bytes = sizeof head + head.columns * sizeof(struct leat_block_col);
        e.base = (uint32_t)bytes;
        for (uint32_t c = 0; c < batch->column_count && count > 1; c++)
                bytes += narrows(&batch->columns[c].type) ? 8 : 0;
        bytes = ALIGN16(bytes + (count > 1 && weights != NULL ? 8 : 0));
        memset(leat_buf_reserve(out, bytes), 0, bytes);
        out->len += bytes;
        for (uint32_t c = 0; c < batch->column_count; c++)
                encode_column(&e, &batch->columns[c], c);
        int64_t one = 1;
        struct leat_column weight = {.type = leat_type_of(LEAT_T_BIGINT), .data = (void *)(uintptr_t)weights};
        if (weights == NULL) {
                /* A column of ones: encode the first and say that it is for all. */
                weight.data = &one;
                e.count = 1;
                e.rows = NULL;
                e.from = 0;
        }
        encode_column(&e, &weight, batch->column_count);
        if (weights == NULL) {
                struct leat_block_col *col =
                        (struct leat_block_col *)(void *)(out->data + e.start + sizeof head) + batch->column_count;
                col->enc = LEAT_ENC_CONST;
        }
        head.bytes = (uint32_t)(out->len - e.start);
        memcpy(out->data + e.start, &head, sizeof head);
        return true;
}

/* ---- checking ---------------------------------------------------------------------- */

static bool check_strings(const uint8_t *at, uint64_t bytes, uint32_t count, uint32_t width)
{
        uint64_t ends = ((uint64_t)count + 1) * width;
        if (bytes < ends || (width == 2 ? leat_block_get16(at) : leat_get_le32(at)) != 0)
                return false;
        uint32_t last = 0;
        for (uint32_t i = 1; i <= count; i++) {
                uint32_t end = width == 2 ? leat_block_get16(at + 2 * (size_t)i) : leat_get_le32(at + 4 * (size_t)i);
                if (end < last)
                        return false;
                last = end;
        }
        return last <= bytes - ends;
}

static bool check_dict(const uint8_t *at, uint64_t bytes, uint32_t rows, uint32_t dict)
{
        uint64_t codes = ((uint64_t)rows + 3) & ~3ull;
        if (bytes < codes || dict == 0 || dict > 256 || !check_strings(at + codes, bytes - codes, dict, 4))
                return false;
        for (uint32_t i = 0; i < rows; i++)
                if (at[i] >= dict)
                        return false;
        return true;
}

static bool check_for(const struct leat_block_head *head, const struct leat_block_col *col)
{
        uint32_t bytes = col->dict;
        return (bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8) && bytes < col->width &&
               (uint64_t)head->rows * bytes <= head->bytes - col->data && (col->bytes & 7) == 0 && head->bytes >= 8 &&
               col->bytes <= head->bytes - 8;
}

static bool check_column(const uint8_t *block, const struct leat_block_head *head, const struct leat_block_col *col,
                         const struct leat_type *type)
{
        bool text = leat_type_is_text(type);
        if (col->width != (text ? 0 : leat_type_bytes(type)))
                return false;
        if (col->enc == LEAT_ENC_NULL)
                return true;
        bool differs = col->enc == LEAT_ENC_FOR;
        if ((col->data & 15) != 0 || col->data > head->bytes || (!differs && col->bytes > head->bytes - col->data))
                return false;
        if (col->validity != 0 && ((col->validity & 7) != 0 || col->validity > head->bytes ||
                                   ((uint64_t)head->rows + 63) / 64 * 8 > head->bytes - col->validity))
                return false;
        switch (col->enc) {
        case LEAT_ENC_RAW:
                return !text && col->bytes == (uint64_t)head->rows * col->width;
        case LEAT_ENC_CONST:
                return !text && col->bytes == col->width;
        case LEAT_ENC_TEXT:
                return text && check_strings(block + col->data, col->bytes, head->rows, 4);
        case LEAT_ENC_TEXT2:
                return text && check_strings(block + col->data, col->bytes, head->rows, 2);
        case LEAT_ENC_FOR:
                return !text && check_for(head, col);
        case LEAT_ENC_DICT:
                return text && check_dict(block + col->data, col->bytes, head->rows, col->dict);
        default:
                return false;
        }
}

bool leat_block_check(const uint8_t *block, size_t bytes, const struct leat_type *types, uint32_t column_count,
                      uint32_t rows_max)
{
        const struct leat_block_head *head = leat_block_head(block);
        if (bytes < sizeof *head || head->bytes > bytes || head->rows == 0 || head->rows > rows_max ||
            head->columns != column_count + 1 ||
            head->bytes < sizeof *head + (uint64_t)head->columns * sizeof(struct leat_block_col))
                return false;
        for (uint32_t c = 0; c < column_count; c++)
                if (!check_column(block, head, leat_block_col(block, c), &types[c]))
                        return false;
        struct leat_type weight = leat_type_of(LEAT_T_BIGINT);
        const struct leat_block_col *col = leat_block_col(block, column_count);
        return col->enc != LEAT_ENC_NULL && col->validity == 0 && check_column(block, head, col, &weight);
}
