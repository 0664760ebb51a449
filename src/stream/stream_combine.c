/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/stream: accumulators, combined in C over whole columns.
 *
 * A NULL accumulator is "nothing yet". BIGINT sums are counts and begin at 0.
 * Variance is (n, mean, M2), merged and taken apart by Chan's formulas. Strings
 * are borrowed from either side: both outlive the tick.
 */
#include <inttypes.h>
#include <math.h>

#include "stream_run.h"

/* ---- comparing ------------------------------------------------------------------------- */
#define CMP(a, b) (((a) > (b)) - ((a) < (b)))
#define CMP_AS(type) \
        do { \
                type x_ = ((const type *)a->data)[i], y_ = ((const type *)b->data)[j]; \
                return CMP(x_, y_); \
        } while (0)

static int float_compare(double x, double y)
{
        if (isnan(x) || isnan(y)) /* NaN is the greatest, and equal to itself */
                return CMP(isnan(x) != 0, isnan(y) != 0);
        return CMP(x, y);
}

static int string_compare(struct leat_view x, struct leat_view y)
{
        size_t len = LEAT_MIN(x.len, y.len);
        int c = len > 0 ? memcmp(x.data, y.data, len) : 0;
        return c != 0 ? CMP(c, 0) : CMP(x.len, y.len);
}

int leat_column_compare(const struct leat_column *a, uint32_t i, const struct leat_column *b, uint32_t j)
{
        switch (a->type.id) {
        case LEAT_T_BOOLEAN:
        case LEAT_T_UTINYINT:
                CMP_AS(uint8_t);
        case LEAT_T_TINYINT:
                CMP_AS(int8_t);
        case LEAT_T_SMALLINT:
                CMP_AS(int16_t);
        case LEAT_T_USMALLINT:
                CMP_AS(uint16_t);
        case LEAT_T_INTEGER:
        case LEAT_T_DATE:
                CMP_AS(int32_t);
        case LEAT_T_UINTEGER:
                CMP_AS(uint32_t);
        case LEAT_T_BIGINT:
        case LEAT_T_TIME:
        case LEAT_T_TIMESTAMP:
        case LEAT_T_TIMESTAMPTZ:
                CMP_AS(int64_t);
        case LEAT_T_UBIGINT:
                CMP_AS(uint64_t);
        case LEAT_T_HUGEINT:
        case LEAT_T_UUID:
                CMP_AS(__int128);
        case LEAT_T_UHUGEINT:
                CMP_AS(unsigned __int128);
        case LEAT_T_FLOAT:
                return float_compare((double)((const float *)a->data)[i], (double)((const float *)b->data)[j]);
        case LEAT_T_DOUBLE:
                return float_compare(((const double *)a->data)[i], ((const double *)b->data)[j]);
        case LEAT_T_DECIMAL:
                if (a->type.width <= 4)
                        CMP_AS(int16_t);
                if (a->type.width <= 9)
                        CMP_AS(int32_t);
                if (a->type.width <= 18)
                        CMP_AS(int64_t);
                CMP_AS(__int128);
        case LEAT_T_VARCHAR:
        case LEAT_T_BLOB:
                return string_compare(leat_string_view(&((const struct leat_string *)a->data)[i]),
                                      leat_string_view(&((const struct leat_string *)b->data)[j]));
        default: {
                uint32_t bytes = leat_type_bytes(&a->type);
                return memcmp((const uint8_t *)a->data + (size_t)i * bytes,
                              (const uint8_t *)b->data + (size_t)j * bytes, bytes);
        }
        }
}

/* ---- helpers ------------------------------------------------------------------------------ */
static inline void set_valid(struct leat_column *col, uint32_t row)
{
        col->validity[row >> 6] |= 1ull << (row & 63);
}

static void value_copy(struct leat_column *dst, uint32_t i, const struct leat_column *src, uint32_t j)
{
        uint32_t bytes = leat_type_bytes(&dst->type);
        memcpy((uint8_t *)dst->data + (size_t)i * bytes, (const uint8_t *)src->data + (size_t)j * bytes, bytes);
        set_valid(dst, i);
}

#define ROWS(i) \
        for (uint32_t i##_at = 0, i = 0, j = 0; \
             i##_at < count && (i = dst_rows != NULL ? dst_rows[i##_at] : i##_at, \
                               j = src_rows != NULL ? src_rows[i##_at] : i##_at, true); \
             i##_at++)

static int out_of_range(struct leat_error *err, const char *what)
{
        leat_error_set(err, LEAT_ERANGE, "a %s is greater than its type holds", what);
        leat_error_hint(err, "cast the summed values to DOUBLE");
        return LEAT_ERANGE;
}

/* ---- ADD ------------------------------------------------------------------------------------ */
static int add_i64(struct leat_column *dst, const uint32_t *dst_rows, const struct leat_column *src,
                   const uint32_t *src_rows, uint32_t count, int sign, struct leat_error *err)
{
        int64_t *to = dst->data;
        const int64_t *from = src->data;
        bool bad = false;
        if (dst_rows == NULL && src_rows == NULL && src->validity == NULL) {
                for (uint32_t i = 0; i < count; i++)
                        bad |= sign > 0 ? __builtin_add_overflow(to[i], from[i], &to[i])
                                        : __builtin_sub_overflow(to[i], from[i], &to[i]);
        } else {
                ROWS(i)
                {
                        if (!leat_column_valid(src, j))
                                continue;
                        bad |= sign > 0 ? __builtin_add_overflow(to[i], from[j], &to[i])
                                        : __builtin_sub_overflow(to[i], from[j], &to[i]);
                }
        }
        return bad ? out_of_range(err, "count") : 0;
}

static int add_i128(struct leat_column *dst, const uint32_t *dst_rows, const struct leat_column *src,
                    const uint32_t *src_rows, uint32_t count, int sign, struct leat_error *err)
{
        bool bad = false;
        ROWS(i)
        {
                __int128 a = 0, b;
                if (!leat_column_valid(src, j))
                        continue;
                if (leat_column_valid(dst, i))
                        memcpy(&a, (const uint8_t *)dst->data + (size_t)i * 16, 16);
                memcpy(&b, (const uint8_t *)src->data + (size_t)j * 16, 16);
                bad |= sign > 0 ? __builtin_add_overflow(a, b, &a) : __builtin_sub_overflow(a, b, &a);
                memcpy((uint8_t *)dst->data + (size_t)i * 16, &a, 16);
                set_valid(dst, i);
        }
        return bad ? out_of_range(err, "sum") : 0;
}

static int add_f64(struct leat_column *dst, const uint32_t *dst_rows, const struct leat_column *src,
                   const uint32_t *src_rows, uint32_t count, int sign)
{
        double *to = dst->data;
        const double *from = src->data;
        ROWS(i)
        {
                if (!leat_column_valid(src, j))
                        continue;
                double base = leat_column_valid(dst, i) ? to[i] : 0.0;
                to[i] = sign > 0 ? base + from[j] : base - from[j];
                set_valid(dst, i);
        }
        return 0;
}

static int add(struct leat_column *dst, const uint32_t *dst_rows, const struct leat_column *src,
               const uint32_t *src_rows, uint32_t count, int sign, struct leat_error *err)
{
        switch (dst->type.id) {
        case LEAT_T_BIGINT:
                return add_i64(dst, dst_rows, src, src_rows, count, sign, err);
        case LEAT_T_DOUBLE:
                return add_f64(dst, dst_rows, src, src_rows, count, sign);
        default:
                return add_i128(dst, dst_rows, src, src_rows, count, sign, err);
        }
}

/* ---- the others --------------------------------------------------------------------------------- */
static void extreme(struct leat_column *dst, const uint32_t *dst_rows, const struct leat_column *src,
                    const uint32_t *src_rows, uint32_t count, int want, uint32_t width)
{
        ROWS(i)
        {
                if (!leat_column_valid(src, j) ||
                    (leat_column_valid(dst, i) && leat_column_compare(src, j, dst, i) * want <= 0))
                        continue;
                for (uint32_t k = 0; k < width; k++)
                        value_copy(&dst[k], i, &src[k], j);
        }
}

static void bits(uint8_t kind, struct leat_column *dst, const uint32_t *dst_rows, const struct leat_column *src,
                 const uint32_t *src_rows, uint32_t count)
{
        uint32_t bytes = leat_type_bytes(&dst->type);
        ROWS(i)
        {
                uint8_t *to = (uint8_t *)dst->data + (size_t)i * bytes;
                const uint8_t *from = (const uint8_t *)src->data + (size_t)j * bytes;
                if (!leat_column_valid(src, j))
                        continue;
                if (!leat_column_valid(dst, i)) {
                        value_copy(dst, i, src, j);
                        continue;
                }
                for (uint32_t k = 0; k < bytes; k++)
                        to[k] = kind == LEAT_ACC_BIT_AND  ? (uint8_t)(to[k] & from[k])
                                : kind == LEAT_ACC_BIT_OR ? (uint8_t)(to[k] | from[k])
                                                          : (uint8_t)(to[k] ^ from[k]);
        }
}

static void variance(struct leat_column *dst, const uint32_t *dst_rows, const struct leat_column *src,
                     const uint32_t *src_rows, uint32_t count, int sign)
{
        ROWS(i)
        {
                int64_t *n = &((int64_t *)dst[0].data)[i], m = ((const int64_t *)src[0].data)[j];
                double *mean = &((double *)dst[1].data)[i], *m2 = &((double *)dst[2].data)[i];
                if (!leat_column_valid(&src[0], j) || m == 0)
                        continue;
                double mean_b = ((const double *)src[1].data)[j];
                double m2_b = leat_column_valid(&src[2], j) ? ((const double *)src[2].data)[j] : 0.0;
                double a = *n > 0 ? *mean : 0.0, s = *n > 0 ? *m2 : 0.0;
                int64_t total = sign > 0 ? *n + m : *n - m;
                if (total <= 0) {
                        *n = total;
                        *mean = *m2 = 0.0;
                } else if (sign > 0) {
                        double d = mean_b - a;
                        *mean = a + d * (double)m / (double)total;
                        *m2 = s + m2_b + d * d * (double)*n * (double)m / (double)total;
                        *n = total;
                } else {
                        double rest = ((double)*n * a - (double)m * mean_b) / (double)total, d = mean_b - rest;
                        double left = s - m2_b - d * d * (double)total * (double)m / (double)*n;
                        *m2 = left > 0.0 && total > 1 ? left : 0.0;
                        *mean = rest;
                        *n = total;
                }
                for (uint32_t k = 0; k < 3; k++)
                        set_valid(&dst[k], i);
        }
}

int leat_acc_merge(const struct leat_acc *acc, struct leat_column *dst, const uint32_t *dst_rows,
                   const struct leat_column *src, const uint32_t *src_rows, uint32_t count, int sign,
                   struct leat_arena *arena, struct leat_error *err)
{
        (void)arena;
        switch (acc->kind) {
        case LEAT_ACC_ADD:
                return add(dst, dst_rows, src, src_rows, count, sign, err);
        case LEAT_ACC_MIN:
        case LEAT_ACC_ARG_MIN:
                extreme(dst, dst_rows, src, src_rows, count, -1, acc->width);
                return 0;
        case LEAT_ACC_MAX:
        case LEAT_ACC_ARG_MAX:
                extreme(dst, dst_rows, src, src_rows, count, 1, acc->width);
                return 0;
        case LEAT_ACC_VAR:
                variance(dst, dst_rows, src, src_rows, count, sign);
                return 0;
        default:
                bits(acc->kind, dst, dst_rows, src, src_rows, count);
                return 0;
        }
}

void leat_acc_clear(const struct leat_acc *acc, struct leat_column *dst, uint32_t count)
{
        for (uint32_t k = 0; k < acc->width; k++) {
                bool counts =
                        dst[k].type.id == LEAT_T_BIGINT && (acc->kind == LEAT_ACC_ADD || acc->kind == LEAT_ACC_VAR);
                memset(dst[k].data, 0, (size_t)count * leat_type_bytes(&dst[k].type));
                memset(dst[k].validity, counts ? 0xFF : 0, ((size_t)count + 63) / 64 * 8);
        }
}
