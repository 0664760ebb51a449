/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/state: definitions, and what makes two values equal, ordered and hashed.
 *
 * Design    Values of key and order columns (MULTISET: of all columns) are made
 *           canonical when they come in: one NaN, no -0.0, INTERVAL with days
 *           under a month and time under a day. From then on equal means equal
 *           bytes, in memory and on disk, and only the order knows types.
 * Hash      64 bits from the values' bytes and the arrangement's random seed:
 *           keys come from strangers, who must not be able to build collisions.
 */
#include <math.h>

#include "state_int.h"

/* ---- definitions ------------------------------------------------------------- */

static int check_types(const struct leat_arr_def *def, struct leat_error *err)
{
        for (uint32_t i = 0; i < def->column_count; i++) {
                const struct leat_type *type = &def->types[i];
                if (type->child_count == 0 && type->id != LEAT_T_INVALID && leat_type_bytes(type) != 0)
                        continue;
                struct leat_buf text = LEAT_BUF_INIT;
                leat_type_print(type, &text);
                leat_error_set(err, LEAT_EUNSUPPORTED, "column %u is %s: lists and structs cannot be kept in state",
                               i + 1, leat_buf_cstr(&text));
                leat_error_hint(err,
                                "keep the fields that you need as columns of their own, or the value as JSON text");
                leat_buf_done(&text);
                return LEAT_EUNSUPPORTED;
        }
        return 0;
}

int leat_arr_check(const struct leat_arr_def *def, struct leat_error *err)
{
        if (def->mode != LEAT_ARR_MAP && def->mode != LEAT_ARR_MULTISET)
                return leat_error_set(err, LEAT_EINVAL, "arrangement mode %d is neither MAP nor MULTISET",
                                      (int)def->mode);
        if (def->column_count == 0 || def->column_count > LEAT_COLUMNS_MAX)
                return leat_error_set(err, LEAT_EINVAL, "an arrangement has 1 to %u columns, not %u", LEAT_COLUMNS_MAX,
                                      def->column_count);
        if (def->key_count > def->column_count || def->order_count > def->column_count - def->key_count ||
            def->order_count > 32)
                return leat_error_set(err, LEAT_EINVAL, "%u key and %u order columns do not fit %u columns",
                                      def->key_count, def->order_count, def->column_count);
        LEAT_TRY(check_types(def, err));
        if (def->time_column < 0)
                return 0;
        if ((uint32_t)def->time_column >= def->column_count || def->bucket_us <= 0)
                return leat_error_set(err, LEAT_EINVAL, "time column %d or bucket width is out of range",
                                      def->time_column);
        uint8_t id = def->types[def->time_column].id;
        if (id != LEAT_T_TIMESTAMP && id != LEAT_T_TIMESTAMPTZ && id != LEAT_T_BIGINT)
                return leat_error_set(err, LEAT_ETYPE, "the time column must be TIMESTAMP, TIMESTAMPTZ or BIGINT");
        return 0;
}

struct leat_arr *leat_arr_new(const struct leat_arr_def *def, uint64_t seed)
{
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_arr *arr = leat_arena_zalloc(arena, sizeof *arr);
        struct leat_type *types = leat_arena_alloc(arena, def->column_count * sizeof *types);
        for (uint32_t i = 0; i < def->column_count; i++)
                types[i] = leat_type_copy(arena, &def->types[i]);
        atomic_init(&arr->refs, 1);
        arr->arena = arena;
        arr->def = *def;
        arr->def.types = types;
        arr->seed = seed;
        arr->ident_count = def->mode == LEAT_ARR_MAP ? def->key_count + def->order_count : def->column_count;
        arr->single = def->mode == LEAT_ARR_MAP && def->order_count == 0;
        arr->time_in_key = def->time_column >= 0 && (uint32_t)def->time_column < def->key_count;
        return arr;
}

struct leat_arr *leat_arr_ref(struct leat_arr *arr)
{
        atomic_fetch_add_explicit(&arr->refs, 1, memory_order_relaxed);
        return arr;
}

void leat_arr_unref(struct leat_arr *arr)
{
        if (arr != NULL && atomic_fetch_sub_explicit(&arr->refs, 1, memory_order_acq_rel) == 1)
                leat_arena_free(arr->arena);
}

bool leat_arr_def_eq(const struct leat_arr_def *a, const struct leat_arr_def *b)
{
        if (a->id != b->id || a->mode != b->mode || a->key_count != b->key_count || a->order_count != b->order_count ||
            a->order_desc != b->order_desc || a->column_count != b->column_count || a->time_column != b->time_column ||
            (a->time_column >= 0 && a->bucket_us != b->bucket_us))
                return false;
        for (uint32_t i = 0; i < a->column_count; i++)
                if (!leat_type_eq(&a->types[i], &b->types[i]))
                        return false;
        return true;
}

/* ---- canonical values ---------------------------------------------------------- */

struct interval {
        int32_t months, days;
        int64_t us;
};
#define DAY_US 86400000000ll

/* As DuckDB compares intervals: 30 days are a month, 24 hours a day. */
static void canon_interval(struct interval *v)
{
        __int128 us = (__int128)v->us + ((__int128)v->days + (__int128)v->months * 30) * DAY_US;
        __int128 month_us = (__int128)30 * DAY_US;
        __int128 months = us / month_us;
        us -= months * month_us;
        v->months = (int32_t)months;
        v->days = (int32_t)(us / DAY_US);
        v->us = (int64_t)(us % DAY_US);
}

static bool needs_canon(const struct leat_type *type)
{
        return type->id == LEAT_T_FLOAT || type->id == LEAT_T_DOUBLE || type->id == LEAT_T_INTERVAL;
}

static void canon_column(struct leat_arena *arena, struct leat_column *col, uint32_t rows)
{
        size_t bytes = (size_t)rows * leat_type_bytes(&col->type);
        void *data = leat_arena_alloc(arena, bytes);
        if (bytes != 0)
                memcpy(data, col->data, bytes);
        col->data = data;
        for (uint32_t i = 0; i < rows; i++) {
                if (!leat_column_valid(col, i))
                        continue;
                if (col->type.id == LEAT_T_FLOAT) {
                        float *v = (float *)data + i;
                        *v = isnan(*v) ? NAN : *v == 0 ? 0 : *v;
                } else if (col->type.id == LEAT_T_DOUBLE) {
                        double *v = (double *)data + i;
                        *v = isnan(*v) ? (double)NAN : *v == 0 ? 0 : *v;
                } else {
                        canon_interval((struct interval *)data + i);
                }
        }
}

const struct leat_batch *leat_canon(struct leat_arena *arena, const struct leat_batch *batch, uint32_t count)
{
        uint32_t first = 0;
        while (first < count && !needs_canon(&batch->columns[first].type))
                first++;
        if (first == count)
                return batch;
        struct leat_batch *copy = leat_arena_alloc(arena, sizeof *copy);
        *copy = *batch;
        copy->columns = leat_arena_alloc(arena, batch->column_count * sizeof *copy->columns);
        memcpy(copy->columns, batch->columns, batch->column_count * sizeof *copy->columns);
        for (uint32_t i = first; i < count; i++)
                if (needs_canon(&copy->columns[i].type))
                        canon_column(arena, &copy->columns[i], batch->rows);
        return copy;
}

/* ---- hashes ----------------------------------------------------------------------- */

#define HASH_NULL 0xA24BAED4963EE407ull

static void hash_wide(const struct leat_column *col, uint32_t width, uint32_t rows, uint64_t *out)
{
        const uint8_t *data = col->data;
        for (uint32_t i = 0; i < rows; i++) {
                uint64_t part[2] = {0, 0};
                memcpy(part, data + (size_t)i * width, width);
                out[i] = leat_hash_mix(leat_hash_mix(out[i], part[0]), part[1]);
        }
}

#define HASH_LOOP(ctype) \
        for (uint32_t i = 0; i < rows; i++) \
        out[i] = leat_hash_mix(out[i], ((const ctype *)col->data)[i])

static void hash_column(const struct leat_column *col, uint64_t seed, uint32_t rows, uint64_t *out)
{
        if (leat_type_is_text(&col->type)) {
                const struct leat_string *s = col->data;
                for (uint32_t i = 0; i < rows; i++) {
                        struct leat_view v = leat_string_view(&s[i]);
                        if (leat_column_valid(col, i))
                                out[i] = leat_hash_mix(out[i], leat_hash64(seed, v.data, v.len));
                }
                return;
        }
        switch (leat_type_bytes(&col->type)) {
        case 1:
                HASH_LOOP(uint8_t);
                break;
        case 2:
                HASH_LOOP(uint16_t);
                break;
        case 4:
                HASH_LOOP(uint32_t);
                break;
        case 8:
                HASH_LOOP(uint64_t);
                break;
        default:
                hash_wide(col, leat_type_bytes(&col->type), rows, out);
        }
}

/* Rows that are NULL here must not depend on what lies under the NULL: their hash goes on from before. */
static void hash_nullable(const struct leat_column *col, uint64_t seed, uint32_t rows, uint64_t *out)
{
        uint64_t *before = leat_malloc(LEAT_MAX(rows, 1u) * sizeof *before);
        memcpy(before, out, rows * sizeof *before);
        hash_column(col, seed, rows, out);
        for (uint32_t i = 0; i < rows; i++)
                if (!leat_column_valid(col, i))
                        out[i] = leat_hash_mix(before[i], HASH_NULL);
        free(before);
}

void leat_hash_keys(const struct leat_arr *arr, const struct leat_batch *keys, uint64_t *out)
{
        for (uint32_t i = 0; i < keys->rows; i++)
                out[i] = arr->seed;
        for (uint32_t c = 0; c < arr->def.key_count; c++) {
                if (keys->columns[c].validity == NULL)
                        hash_column(&keys->columns[c], arr->seed, keys->rows, out);
                else
                        hash_nullable(&keys->columns[c], arr->seed, keys->rows, out);
        }
        for (uint32_t i = 0; i < keys->rows; i++)
                out[i] = leat_hash_mix(out[i], arr->seed) & leat_state_tuning.hash_bits;
}

void leat_bucket_of(const struct leat_arr *arr, const struct leat_column *col, uint32_t rows, int64_t *out)
{
        const int64_t *times = col->data;
        int64_t width = arr->def.bucket_us;
        for (uint32_t i = 0; i < rows; i++) {
                if (!leat_column_valid(col, i)) {
                        out[i] = LEAT_BUCKET_NONE;
                        continue;
                }
                int64_t q = times[i] / width;
                out[i] = q - (times[i] % width < 0);
        }
}

/* ---- order --------------------------------------------------------------------------- */

#define CMP(ctype) \
        do { \
                ctype x_, y_; \
                memcpy(&x_, a.data, sizeof x_); \
                memcpy(&y_, b.data, sizeof y_); \
                return (x_ > y_) - (x_ < y_); \
        } while (0)

static int cmp_text(struct leat_cell a, struct leat_cell b)
{
        int order = memcmp(a.data, b.data, LEAT_MIN(a.len, b.len));
        return order != 0 ? (order > 0) - (order < 0) : (a.len > b.len) - (a.len < b.len);
}

static int cmp_double(double x, double y)
{
        if (isnan(x) || isnan(y))
                return (isnan(x) != 0) - (isnan(y) != 0);
        return (x > y) - (x < y);
}

static int cmp_decimal(uint32_t width, struct leat_cell a, struct leat_cell b)
{
        switch (width) {
        case 2:
                CMP(int16_t);
        case 4:
                CMP(int32_t);
        case 8:
                CMP(int64_t);
        default:
                CMP(__int128_t);
        }
}

static int cmp_interval(struct leat_cell a, struct leat_cell b)
{
        struct interval x, y;
        memcpy(&x, a.data, sizeof x);
        memcpy(&y, b.data, sizeof y);
        if (x.months != y.months)
                return x.months > y.months ? 1 : -1;
        if (x.days != y.days)
                return x.days > y.days ? 1 : -1;
        return (x.us > y.us) - (x.us < y.us);
}

static int cmp_float(const struct leat_type *type, struct leat_cell a, struct leat_cell b)
{
        if (type->id == LEAT_T_DOUBLE) {
                double x, y;
                memcpy(&x, a.data, sizeof x);
                memcpy(&y, b.data, sizeof y);
                return cmp_double(x, y);
        }
        float x, y;
        memcpy(&x, a.data, sizeof x);
        memcpy(&y, b.data, sizeof y);
        return cmp_double((double)x, (double)y);
}

int leat_cell_cmp(const struct leat_type *type, struct leat_cell a, struct leat_cell b)
{
        if (a.data == NULL || b.data == NULL)
                return (a.data == NULL) - (b.data == NULL);
        switch (type->id) {
        case LEAT_T_BOOLEAN:
        case LEAT_T_UTINYINT:
                CMP(uint8_t);
        case LEAT_T_TINYINT:
                CMP(int8_t);
        case LEAT_T_SMALLINT:
                CMP(int16_t);
        case LEAT_T_USMALLINT:
                CMP(uint16_t);
        case LEAT_T_INTEGER:
        case LEAT_T_DATE:
        case LEAT_T_SQLNULL:
                CMP(int32_t);
        case LEAT_T_UINTEGER:
                CMP(uint32_t);
        case LEAT_T_BIGINT:
        case LEAT_T_TIME:
        case LEAT_T_TIMESTAMP:
        case LEAT_T_TIMESTAMPTZ:
                CMP(int64_t);
        case LEAT_T_UBIGINT:
                CMP(uint64_t);
        case LEAT_T_HUGEINT:
        case LEAT_T_UUID:
                CMP(__int128_t);
        case LEAT_T_UHUGEINT:
                CMP(__uint128_t);
        case LEAT_T_FLOAT:
        case LEAT_T_DOUBLE:
                return cmp_float(type, a, b);
        case LEAT_T_DECIMAL:
                return cmp_decimal(leat_type_bytes(type), a, b);
        case LEAT_T_INTERVAL:
                return cmp_interval(a, b);
        default:
                return cmp_text(a, b);
        }
}

struct leat_cell leat_column_cell(const struct leat_column *col, uint32_t row)
{
        if (!leat_column_valid(col, row))
                return (struct leat_cell){NULL, 0};
        if (leat_type_is_text(&col->type)) {
                struct leat_view v = leat_string_view((const struct leat_string *)col->data + row);
                return (struct leat_cell){v.data, (uint32_t)v.len};
        }
        uint32_t width = leat_type_bytes(&col->type);
        return (struct leat_cell){(const uint8_t *)col->data + (size_t)row * width, width};
}
