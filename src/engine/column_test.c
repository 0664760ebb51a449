/* SPDX-License-Identifier: Apache-2.0 */
/* leat/engine: columns: text, JSON, append, copy, gather. */
#include <math.h>

#include "engine_int.h"
#include "leat/test.h"

static void check_text(const struct leat_column *col, uint32_t row, const char *text, const char *json)
{
        struct leat_buf out = LEAT_BUF_INIT;
        CHECK(leat_column_print(col, row, &out) == (text != NULL));
        CHECK_STR(leat_buf_cstr(&out), text != NULL ? text : "");
        leat_buf_clear(&out);
        leat_column_json(col, row, &out);
        CHECK_STR(leat_buf_cstr(&out), json);
        leat_buf_done(&out);
}

/* Prints one value of the C type @ctype as @sql_type. */
#define CHECK_VALUE(id_, ctype, value, text, json) \
        do { \
                _Alignas(16) ctype v_ = (value); \
                struct leat_column col_ = {.type = leat_type_of(LEAT_T_##id_), .data = &v_}; \
                check_text(&col_, 0, text, json); \
        } while (0)
#define CHECK_SAME(id_, ctype, value, text) CHECK_VALUE(id_, ctype, value, text, text)
#define CHECK_QUOTED(id_, ctype, value, text) CHECK_VALUE(id_, ctype, value, text, "\"" text "\"")

#define I128(high, low) ((__int128)(((unsigned __int128)(high) << 64) | (low)))

LEAT_TEST(column_integers)
{
        CHECK_VALUE(BOOLEAN, uint8_t, 1, "t", "true");
        CHECK_VALUE(BOOLEAN, uint8_t, 0, "f", "false");
        CHECK_SAME(TINYINT, int8_t, -128, "-128");
        CHECK_SAME(SMALLINT, int16_t, INT16_MIN, "-32768");
        CHECK_SAME(INTEGER, int32_t, INT32_MIN, "-2147483648");
        CHECK_SAME(BIGINT, int64_t, INT64_MIN, "-9223372036854775808");
        CHECK_SAME(UBIGINT, uint64_t, UINT64_MAX, "18446744073709551615");
        CHECK_SAME(UTINYINT, uint8_t, 255, "255");
        CHECK_SAME(HUGEINT, __int128, 0, "0");
        CHECK_SAME(HUGEINT, __int128, I128(0x7fffffffffffffffull, UINT64_MAX),
                   "170141183460469231731687303715884105727");
        CHECK_SAME(HUGEINT, __int128, I128(0x8000000000000000ull, 0), "-170141183460469231731687303715884105728");
        CHECK_SAME(HUGEINT, __int128, -1, "-1");
        CHECK_SAME(UHUGEINT, __int128, -1, "340282366920938463463374607431768211455");
        CHECK_VALUE(SQLNULL, uint32_t, 0, NULL, "null");
}

LEAT_TEST(column_floats)
{
        CHECK_SAME(DOUBLE, double, 0.0, "0");
        CHECK_SAME(DOUBLE, double, -0.0, "-0");
        CHECK_SAME(DOUBLE, double, 0.1, "0.1");
        CHECK_SAME(DOUBLE, double, 0.1 + 0.2, "0.30000000000000004");
        CHECK_SAME(DOUBLE, double, 1.5, "1.5");
        CHECK_SAME(DOUBLE, double, -123.456789, "-123.456789");
        CHECK_SAME(DOUBLE, double, 100, "100");
        CHECK_SAME(DOUBLE, double, 123456789012345.0, "123456789012345");
        CHECK_SAME(DOUBLE, double, 1e15, "1e+15");
        CHECK_SAME(DOUBLE, double, 1e20, "1e+20");
        CHECK_SAME(DOUBLE, double, 1.7976931348623157e308, "1.7976931348623157e+308");
        CHECK_SAME(DOUBLE, double, 5e-324, "5e-324");
        CHECK_SAME(DOUBLE, double, 0.0001, "0.0001");
        CHECK_SAME(DOUBLE, double, 0.00001, "1e-05");
        CHECK_SAME(DOUBLE, double, 0.000123456789, "0.000123456789");
        CHECK_QUOTED(DOUBLE, double, NAN, "NaN");
        CHECK_QUOTED(DOUBLE, double, INFINITY, "Infinity");
        CHECK_QUOTED(DOUBLE, double, -INFINITY, "-Infinity");
        CHECK_SAME(FLOAT, float, 0.1f, "0.1");
        CHECK_SAME(FLOAT, float, 3.4028235e38f, "3.4028235e+38");
        CHECK_SAME(FLOAT, float, 1e6f, "1e+06");
        CHECK_SAME(FLOAT, float, 123456.0f, "123456");
        CHECK_SAME(FLOAT, float, 16777216.0f, "1.6777216e+07");
        /* Every text reads back to its value. */
        uint64_t seed = leat_test_seed();
        for (int i = 0; i < 20000; i++) {
                seed = leat_hash_mix(seed, (uint64_t)i);
                double v;
                memcpy(&v, &seed, 8);
                if (i % 2 == 0)
                        v = (double)(int64_t)(seed % 2000000000) / 1000.0;
                if (!isfinite(v))
                        continue;
                struct leat_column col = {.type = leat_type_of(LEAT_T_DOUBLE), .data = &v};
                struct leat_buf out = LEAT_BUF_INIT;
                leat_column_print(&col, 0, &out);
                CHECK(strtod(leat_buf_cstr(&out), NULL) == v);
                leat_buf_done(&out);
        }
}

static void check_decimal(uint8_t width, uint8_t scale, const void *data, const char *text)
{
        struct leat_column col = {.type = {.id = LEAT_T_DECIMAL, .width = width, .scale = scale},
                                  .data = (void *)(uintptr_t)data};
        check_text(&col, 0, text, text);
}

LEAT_TEST(column_decimals)
{
        check_decimal(4, 2, &(int16_t){-5}, "-0.05");
        check_decimal(4, 4, &(int16_t){12}, "0.0012");
        check_decimal(9, 0, &(int32_t){123456789}, "123456789");
        check_decimal(18, 3, &(int64_t){-1234567}, "-1234.567");
        check_decimal(18, 3, &(int64_t){0}, "0.000");
        _Alignas(16) __int128 big = I128(0x4b3b4ca85a86c47aull, 0x098a223fffffffffull); /* 10^38 - 1 */
        check_decimal(38, 0, &big, "99999999999999999999999999999999999999");
        check_decimal(38, 38, &big, "0.99999999999999999999999999999999999999");
}

LEAT_TEST(column_dates)
{
        CHECK_QUOTED(DATE, int32_t, 0, "1970-01-01");
        CHECK_QUOTED(DATE, int32_t, -1, "1969-12-31");
        CHECK_QUOTED(DATE, int32_t, 11016, "2000-02-29");
        CHECK_QUOTED(DATE, int32_t, -719162, "0001-01-01");
        CHECK_QUOTED(DATE, int32_t, -719163, "0001-12-31 BC");
        CHECK_QUOTED(DATE, int32_t, -735160, "0044-03-15 BC");
        CHECK_QUOTED(DATE, int32_t, 2932897, "10000-01-01");
        CHECK_QUOTED(DATE, int32_t, INT32_MAX, "infinity");
        CHECK_QUOTED(DATE, int32_t, -INT32_MAX, "-infinity");
        CHECK_QUOTED(TIME, int64_t, 0, "00:00:00");
        CHECK_QUOTED(TIME, int64_t, 86399999999, "23:59:59.999999");
        CHECK_QUOTED(TIME, int64_t, 3600500000, "01:00:00.5");
        CHECK_VALUE(TIMESTAMP, int64_t, 0, "1970-01-01 00:00:00", "\"1970-01-01T00:00:00\"");
        CHECK_VALUE(TIMESTAMP, int64_t, -1, "1969-12-31 23:59:59.999999", "\"1969-12-31T23:59:59.999999\"");
        CHECK_VALUE(TIMESTAMPTZ, int64_t, 1764021295123400, "2025-11-24 21:54:55.1234+00",
                    "\"2025-11-24T21:54:55.1234Z\"");
        CHECK_VALUE(TIMESTAMPTZ, int64_t, -63517824000000000, "0044-03-15 00:00:00+00 BC",
                    "\"0044-03-15T00:00:00Z BC\"");
        CHECK_QUOTED(TIMESTAMPTZ, int64_t, INT64_MAX, "infinity");
        CHECK_QUOTED(TIMESTAMP, int64_t, -INT64_MAX, "-infinity");
}

#define INTERVAL(...) ((struct leat_interval){__VA_ARGS__})

LEAT_TEST(column_intervals)
{
        CHECK_QUOTED(INTERVAL, struct leat_interval, INTERVAL(0, 0, 0), "00:00:00");
        CHECK_QUOTED(INTERVAL, struct leat_interval, INTERVAL(0, 1, 7384000000), "1 day 02:03:04");
        CHECK_QUOTED(INTERVAL, struct leat_interval, INTERVAL(14, 3, 0), "1 year 2 mons 3 days");
        CHECK_QUOTED(INTERVAL, struct leat_interval, INTERVAL(-14, 3, 500000), "-1 years -2 mons +3 days 00:00:00.5");
        CHECK_QUOTED(INTERVAL, struct leat_interval, INTERVAL(0, -1, 7384000000), "-1 days +02:03:04");
        CHECK_QUOTED(INTERVAL, struct leat_interval, INTERVAL(0, 0, -1), "-00:00:00.000001");
        CHECK_QUOTED(INTERVAL, struct leat_interval, INTERVAL(0, 0, 360000000000), "100:00:00");
        CHECK_QUOTED(INTERVAL, struct leat_interval, INTERVAL(0, 0, INT64_MIN), "-2562047788:00:54.775808");
}

static void check_string(uint8_t id, const char *bytes, size_t len, const char *text, const char *json)
{
        struct leat_string s = leat_string_borrow(leat_view_of(bytes, len));
        struct leat_column col = {.type = {.id = id}, .data = &s};
        check_text(&col, 0, text, json);
}

LEAT_TEST(column_strings)
{
        check_string(LEAT_T_VARCHAR, "", 0, "", "\"\"");
        check_string(LEAT_T_VARCHAR, "twelve bytes", 12, "twelve bytes", "\"twelve bytes\"");
        check_string(LEAT_T_VARCHAR, "more than twelve", 16, "more than twelve", "\"more than twelve\"");
        check_string(LEAT_T_VARCHAR, "a\"b\n", 4, "a\"b\n", "\"a\\\"b\\n\"");
        check_string(LEAT_T_BLOB, "\0\xff", 2, "\\x00ff", "\"AP8=\"");
        check_string(LEAT_T_BLOB, "abc", 3, "\\x616263", "\"YWJj\"");
        check_string(LEAT_T_BLOB, "a", 1, "\\x61", "\"YQ==\"");
        CHECK_QUOTED(UUID, __int128, I128(0x92ab34cd56ef7890ull, 0x1122334455667788ull),
                     "12ab34cd-56ef-7890-1122-334455667788");
}

/* ---- whole batches ------------------------------------------------------------ */

/* Columns BIGINT, VARCHAR, VARCHAR[], STRUCT(a INT, b VARCHAR); row i is made from i; every 7th value NULL. */
static struct leat_batch *sample(struct leat_arena *arena, uint32_t rows)
{
        struct leat_error err = {0};
        static const char *const texts[] = {"bigint", "text", "text[]", "struct(a int, b text)"};
        struct leat_type types[4];
        for (int i = 0; i < 4; i++)
                CHECK_OK(leat_type_parse(arena, leat_view_str(texts[i]), &types[i], &err), &err);
        struct leat_batch *batch = leat_batch_new(arena, types, 4, rows);
        struct leat_column *c = batch->columns;
        for (uint32_t i = 0; i < 4; i++)
                leat_column_make_validity(arena, &c[i], rows);
        for (uint32_t i = 0; i < rows; i++) {
                ((int64_t *)c[0].data)[i] = i * 1000;
                char *text = leat_arena_printf(arena, i % 3 == 0 ? "s%u" : "a longer string %u", i);
                ((struct leat_string *)c[1].data)[i] = leat_string_borrow(leat_view_str(text));
                leat_column_child_reserve(arena, &c[2], i % 4);
                for (uint32_t k = 0; k < i % 4; k++)
                        ((struct leat_string *)c[2].children[0].data)[c[2].child_rows + k] = leat_string_borrow(
                                leat_view_str(leat_arena_printf(arena, "element number %u.%u", i, k)));
                ((struct leat_list_entry *)c[2].data)[i] = (struct leat_list_entry){c[2].child_rows, i % 4};
                c[2].child_rows += i % 4;
                ((int32_t *)c[3].children[0].data)[i] = (int32_t)i;
                ((struct leat_string *)c[3].children[1].data)[i] = leat_string_borrow(leat_view_str(text));
                for (uint32_t k = 0; k < 4; k++)
                        if ((i + k) % 7 == 0)
                                leat_column_set_null(&c[k], i);
        }
        batch->rows = rows;
        return batch;
}

static void check_same_row(const struct leat_batch *a, uint32_t row_a, const struct leat_batch *b, uint32_t row_b)
{
        struct leat_buf x = LEAT_BUF_INIT, y = LEAT_BUF_INIT;
        for (uint32_t i = 0; i < a->column_count; i++) {
                leat_column_json(&a->columns[i], row_a, &x);
                leat_column_json(&b->columns[i], row_b, &y);
        }
        CHECK_STR(leat_buf_cstr(&x), leat_buf_cstr(&y));
        leat_buf_done(&x);
        leat_buf_done(&y);
}

LEAT_TEST(column_nested_text)
{
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_batch *b = sample(arena, 20);
        check_text(&b->columns[2], 2, "{\"element number 2.0\",\"element number 2.1\"}",
                   "[\"element number 2.0\",\"element number 2.1\"]");
        check_text(&b->columns[2], 4, "{}", "[]");
        check_text(&b->columns[3], 3, "(3,s3)", "{\"a\":3,\"b\":\"s3\"}");
        check_text(&b->columns[3], 5, "(5,\"a longer string 5\")", "{\"a\":5,\"b\":\"a longer string 5\"}");
        check_text(&b->columns[3], 4, NULL, "null");
        leat_arena_free(arena);
}

LEAT_TEST(batch_append_copy_gather)
{
        struct leat_arena *src_arena = leat_arena_new(0), *arena = leat_arena_new(0);
        struct leat_batch *src = sample(src_arena, 1000);
        struct leat_batch *copy = leat_batch_copy(arena, src);
        uint32_t rows[500];
        for (uint32_t i = 0; i < 500; i++)
                rows[i] = (i * 37) % 1000;
        struct leat_batch *gathered = leat_batch_gather(arena, src, rows, 500);
        for (uint32_t i = 0; i < 500; i++)
                check_same_row(src, rows[i], gathered, i);

        struct leat_type types[4];
        for (int i = 0; i < 4; i++)
                types[i] = src->columns[i].type;
        struct leat_batch *dst = leat_batch_new(arena, types, 4, 3000);
        leat_batch_append(arena, dst, src, 0, 64);
        leat_batch_append(arena, dst, src, 64, 1);
        leat_batch_append(arena, dst, gathered, 0, 500); /* unaligned */
        leat_batch_append(arena, dst, src, 100, 900);
        leat_batch_reserve(dst, 5000);
        leat_batch_append(arena, dst, src, 0, 1000);
        leat_batch_append(arena, dst, dst, 0, 0);
        CHECK_INT(dst->rows, 2465);
        struct leat_batch *late = leat_batch_copy(arena, gathered); /* before its strings go */
        for (uint32_t i = 0; i < 65; i++)
                check_same_row(src, i, dst, i);
        leat_arena_free(src_arena); /* everything in @arena must be its own by now, but @gathered */
        for (uint32_t i = 0; i < 1000; i++)
                check_same_row(copy, i, dst, 1465 + i);
        for (uint32_t i = 0; i < 500; i++)
                check_same_row(late, i, dst, 65 + i);
        for (uint32_t i = 0; i < 900; i++)
                check_same_row(copy, 100 + i, dst, 565 + i);
        leat_arena_free(arena);
}

LEAT_TEST(batch_append_without_nulls_then_nulls)
{
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_type type = leat_type_of(LEAT_T_BIGINT);
        struct leat_batch *plain = leat_batch_new(arena, &type, 1, 70), *nulls = leat_batch_new(arena, &type, 1, 70);
        struct leat_batch *dst = leat_batch_new(arena, &type, 1, 210);
        leat_column_make_validity(arena, &nulls->columns[0], 70);
        for (uint32_t i = 0; i < 70; i++) {
                ((int64_t *)plain->columns[0].data)[i] = ((int64_t *)nulls->columns[0].data)[i] = i;
                leat_column_set_null(&nulls->columns[0], i);
        }
        plain->rows = nulls->rows = 70;
        leat_batch_append(NULL, dst, plain, 0, 70);
        CHECK(dst->columns[0].validity == NULL);
        leat_batch_append(NULL, dst, nulls, 0, 70);
        leat_batch_append(NULL, dst, plain, 0, 70);
        for (uint32_t i = 0; i < 210; i++)
                CHECK(leat_column_valid(&dst->columns[0], i) == (i < 70 || i >= 140));
        leat_arena_free(arena);
}
