/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/pg: values. The binary numerics were written down from another
 * implementation (psycopg's), the others from PostgreSQL's *send functions.
 */
#include "pg_test_int.h"

typedef __int128 i128;

static struct leat_column column_of(struct leat_type type, const void *data)
{
        return (struct leat_column){.type = type, .data = (void *)(uintptr_t)data};
}

/* The value as it is sent, without its length, which is checked. */
static struct leat_view sent(struct leat_arena *arena, const struct leat_column *col, bool binary)
{
        struct leat_buf out = LEAT_BUF_INIT;
        leat_pg_value_put(col, 0, binary, NULL, &out);
        CHECK(out.len >= 4);
        CHECK_INT(leat_get_be32(out.data), out.len - 4);
        struct leat_view ret =
                leat_view_of(leat_arena_strndup(arena, (const char *)out.data + 4, out.len - 4), out.len - 4);
        leat_buf_done(&out);
        return ret;
}

static void check_sent(struct leat_type type, const void *data, const char *text, const char *hex)
{
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_column col = column_of(type, data);
        CHECK_STR((const char *)sent(arena, &col, false).data, text);
        CHECK_STR(test_hex(arena, sent(arena, &col, true)), hex);
        leat_arena_free(arena);
}
#define SENT(id, ctype, value, text, hex) check_sent(leat_type_of(LEAT_T_##id), (ctype[]){value}, text, hex)

LEAT_TEST(value_put_plain)
{
        SENT(BOOLEAN, uint8_t, 1, "t", "01");
        SENT(BOOLEAN, uint8_t, 0, "f", "00");
        SENT(TINYINT, int8_t, -128, "-128", "ff80");
        SENT(UTINYINT, uint8_t, 255, "255", "00ff");
        SENT(SMALLINT, int16_t, -2, "-2", "fffe");
        SENT(USMALLINT, uint16_t, 65535, "65535", "0000ffff");
        SENT(INTEGER, int32_t, INT32_MIN, "-2147483648", "80000000");
        SENT(UINTEGER, uint32_t, UINT32_MAX, "4294967295", "00000000ffffffff");
        SENT(BIGINT, int64_t, INT64_MAX, "9223372036854775807", "7fffffffffffffff");
        SENT(FLOAT, float, 1.5f, "1.5", "3fc00000");
        SENT(DOUBLE, double, -0.1, "-0.1", "bfb999999999999a");
        SENT(DOUBLE, double, __builtin_inf(), "Infinity", "7ff0000000000000");
        SENT(VARCHAR, struct leat_string, leat_string_borrow(leat_view_str("g\xc3\xbcn")), "g\xc3\xbcn", "67c3bc6e");
        SENT(VARCHAR, struct leat_string, leat_string_borrow(leat_view_str("more than twelve")), "more than twelve",
             "6d6f7265207468616e207477656c7665");
        SENT(BLOB, struct leat_string, leat_string_borrow(leat_view_of("\0\xff", 2)), "\\x00ff", "00ff");
}

LEAT_TEST(value_put_times)
{
        SENT(DATE, int32_t, 10957, "2000-01-01", "00000000");
        SENT(DATE, int32_t, -1, "1969-12-31", "ffffd532");
        SENT(DATE, int32_t, LEAT_DATE_INFINITY, "infinity", "7fffffff");
        SENT(DATE, int32_t, -LEAT_DATE_INFINITY, "-infinity", "80000000");
        SENT(TIME, int64_t, 3661000001, "01:01:01.000001", "00000000da366d41");
        SENT(TIMESTAMP, int64_t, 946684800000000, "2000-01-01 00:00:00", "0000000000000000");
        SENT(TIMESTAMP, int64_t, -1, "1969-12-31 23:59:59.999999", "fffca2fec4c81fff");
        SENT(TIMESTAMPTZ, int64_t, 0, "1970-01-01 00:00:00+00", "fffca2fec4c82000");
        SENT(TIMESTAMP, int64_t, LEAT_TIMESTAMP_INFINITY, "infinity", "7fffffffffffffff");
        SENT(TIMESTAMPTZ, int64_t, -LEAT_TIMESTAMP_INFINITY, "-infinity", "8000000000000000");
        /* 1 year 2 mons -3 days 04:05:06.000007; PostgreSQL's order is time, days, months. */
        const struct leat_interval interval = {14, -3, 14706000007};
        check_sent(leat_type_of(LEAT_T_INTERVAL), &interval, "1 year 2 mons -3 days +04:05:06.000007",
                   "000000036c8bc087fffffffd0000000e");
        i128 uuid =
                (i128)((unsigned __int128)0x8011223344556677 << 64 | 0x8899aabbccddeeff); /* the top bit is flipped */
        check_sent(leat_type_of(LEAT_T_UUID), &uuid, "00112233-4455-6677-8899-aabbccddeeff",
                   "00112233445566778899aabbccddeeff");
}

/* What is earlier than the wire can say must not come out as a late date. */
LEAT_TEST(value_put_in_a_zone)
{
        static const int64_t starts[] = {-3000000000000000, 0, 1000000000000000};
        static const int32_t offsets[] = {3208, 3600, -12600};
        const struct leat_zone zone = {3, starts, offsets};
        int64_t at;
        struct leat_column col = {.type = leat_type_of(LEAT_T_TIMESTAMPTZ), .data = &at};
        static const struct {
                int64_t us;
                const char *text;
        } cases[] = {{0, "1970-01-01 01:00:00+01"},
                     {-1, "1970-01-01 00:53:27.999999+00:53:28"},
                     {-4000000000000000, "1843-03-31 17:46:48+00:53:28"},
                     {999999999999999, "2001-09-09 02:46:39.999999+01"},
                     {1000000000000000, "2001-09-08 22:16:40-03:30"},
                     {LEAT_TIMESTAMP_INFINITY, "infinity"}};
        for (size_t i = 0; i < LEAT_ARRAY_LEN(cases); i++) {
                struct leat_buf out = LEAT_BUF_INIT;
                at = cases[i].us;
                leat_pg_value_put(&col, 0, false, &zone, &out);
                CHECK_STR(leat_buf_cstr(&out) + 4, cases[i].text);
                leat_buf_done(&out);
        }
}

LEAT_TEST(value_put_first_day)
{
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_column date = column_of(leat_type_of(LEAT_T_DATE), &(int32_t){-2147483646});
        struct leat_column stamp = column_of(leat_type_of(LEAT_T_TIMESTAMP), &(int64_t){-9223372022400000000});
        CHECK_STR(test_hex(arena, sent(arena, &date, true)), "80000000");
        CHECK_STR(test_hex(arena, sent(arena, &stamp, true)), "8000000000000000");
        leat_arena_free(arena);
}

static i128 i128_of(const char *text)
{
        i128 v = 0;
        for (const char *p = text + (*text == '-'); *p != '\0'; p++)
                v = *p == '.' ? v : v * 10 + (*p - '0');
        return *text == '-' ? -v : v;
}

LEAT_TEST(value_put_decimal)
{
        static const struct {
                uint8_t width, scale;
                const char *text, *hex;
        } rows[] = {
                {4, 0, "0", "0000000000000000"},
                {4, 0, "1", "00010000000000000001"},
                {9, 0, "-1", "00010000400000000001"},
                {9, 0, "10000", "00010001000000000001"},
                {4, 1, "0.5", "0001ffff000000011388"},
                {4, 2, "0.50", "0001ffff000000021388"},
                {4, 2, "-0.05", "0001ffff4000000201f4"},
                {9, 4, "0.0001", "0001ffff000000040001"},
                {9, 2, "120000.00", "0001000100000002000c"},
                {18, 6, "12345.678901", "0004000100000006000109291a850064"},
                {38, 6, "12345.678901", "0004000100000006000109291a850064"},
                {38, 0, "99999999999999999999999999999999999999",
                 "000a0009000000000063270f270f270f270f270f270f270f270f270f"},
                {38, 3, "-12345678901234567890123456789012345.678",
                 "000a000840000003007b11d722c509291a85007b11d722c509291a7c"},
                {38, 1, "1234567890123456789012345678901234567.8",
                 "000b000900000001000109291a85007b11d722c509291a85007b11d71f40"},
                {38, 38, "0.00000000000000000000000000000000000001", "0001fff6000000260064"},
        };
        for (size_t i = 0; i < LEAT_ARRAY_LEN(rows); i++) {
                i128 v = i128_of(rows[i].text); /* little endian: its first bytes are the narrow form */
                struct leat_type type = {.id = LEAT_T_DECIMAL, .width = rows[i].width, .scale = rows[i].scale};
                check_sent(type, &v, rows[i].text, rows[i].hex);
        }
}

LEAT_TEST(value_put_huge)
{
        i128 min = (i128)((unsigned __int128)1 << 127), max = ~min;
        check_sent(leat_type_of(LEAT_T_HUGEINT), &min, "-170141183460469231731687303715884105728",
                   "000a00094000000000aa0583209a01d5090d0c601c871bf620da1660");
        check_sent(leat_type_of(LEAT_T_HUGEINT), &max, "170141183460469231731687303715884105727",
                   "000a00090000000000aa0583209a01d5090d0c601c871bf620da165f");
        check_sent(leat_type_of(LEAT_T_UHUGEINT), &(i128){-1}, "340282366920938463463374607431768211455",
                   "000a00090000000001540b071a2403aa121a18c111ff10dd1aa505af");
        SENT(UBIGINT, uint64_t, UINT64_MAX, "18446744073709551615", "000500040000000007341a5802e103bb064f");
}

LEAT_TEST(value_put_list)
{
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_type element = leat_type_of(LEAT_T_INTEGER);
        struct leat_type type = {.id = LEAT_T_LIST, .child_count = 1, .children = &element};
        struct leat_column child = column_of(element, (int32_t[]){9, 1, 0, -1});
        struct leat_column col = column_of(type, &(struct leat_list_entry){1, 3});
        leat_column_make_validity(arena, &child, 4);
        leat_column_set_null(&child, 2);
        col.children = &child;
        col.child_rows = 4;
        CHECK_STR((const char *)sent(arena, &col, false).data, "{1,NULL,-1}");
        CHECK_STR(test_hex(arena, sent(arena, &col, true)), "000000010000000100000017000000030000000100000004"
                                                            "00000001"
                                                            "ffffffff"
                                                            "00000004ffffffff");
        col.data = &(struct leat_list_entry){0, 0};
        CHECK_STR((const char *)sent(arena, &col, false).data, "{}");
        CHECK_STR(test_hex(arena, sent(arena, &col, true)), "000000000000000000000017");
        leat_arena_free(arena);
}

LEAT_TEST(value_put_null)
{
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_column col = column_of(leat_type_of(LEAT_T_INTEGER), &(int32_t){7});
        struct leat_buf out = LEAT_BUF_INIT;
        leat_column_make_validity(arena, &col, 1);
        leat_column_set_null(&col, 0);
        leat_pg_value_put(&col, 0, true, NULL, &out);
        leat_pg_value_put(&col, 0, false, NULL, &out);
        CHECK_STR(test_hex(arena, leat_buf_view(&out)), "ffffffffffffffff");
        leat_buf_done(&out);
        leat_arena_free(arena);
}

/* ---- parameters -------------------------------------------------------------- */
/* Reads a parameter and gives it as text; NULL: refused. */
static const char *got(struct leat_arena *arena, uint32_t oid, uint8_t wanted, bool binary, struct leat_view bytes,
                       struct leat_error *err)
{
        struct leat_column col;
        struct leat_type type = oid != 0 ? leat_pg_type_of_oid(oid) : leat_type_of(wanted);
        struct leat_buf out = LEAT_BUF_INIT;
        if (leat_pg_value_get(arena, bytes, false, binary, oid, &type, &col, err) != 0)
                return NULL;
        CHECK(leat_column_print(&col, 0, &out));
        const char *text = leat_arena_strndup(arena, (const char *)out.data, out.len);
        leat_buf_done(&out);
        return text;
}

LEAT_TEST(value_get_binary)
{
        static const struct {
                uint32_t oid;
                const char *hex, *text;
        } rows[] = {
                {16, "01", "t"},
                {21, "fffe", "-2"},
                {23, "80000000", "-2147483648"},
                {20, "7fffffffffffffff", "9223372036854775807"},
                {700, "3fc00000", "1.5"},
                {701, "bfb999999999999a", "-0.1"},
                {25, "67c3bc6e", "g\xc3\xbcn"},
                {25, "", ""},
                {17, "00ff", "\\x00ff"},
                {17, "", "\\x"},
                {1082, "ffffd532", "1969-12-31"},
                {1082, "7fffffff", "infinity"},
                {1082, "80000000", "-infinity"},
                {1083, "00000000da366d41", "01:01:01.000001"},
                {1083, "000000141dd76000", "24:00:00"},
                {1114, "fffca2fec4c81fff", "1969-12-31 23:59:59.999999"},
                {1184, "fffca2fec4c82000", "1970-01-01 00:00:00+00"},
                {1114, "7fffffffffffffff", "infinity"},
                {1184, "8000000000000000", "-infinity"},
                {1186, "000000036c8bc087fffffffd0000000e", "1 year 2 mons -3 days +04:05:06.000007"},
                {2950, "00112233445566778899aabbccddeeff", "00112233-4455-6677-8899-aabbccddeeff"},
                {1700, "0000000000000000", "0"},
                {1700, "00010000400000000001", "-1"},
                {1700, "0001ffff4000000201f4", "-0.05"},
                {1700, "0001fffe000000050064", "0.00000"},
                {1700, "0001fffe000000060064", "0.000001"},
                {1700, "0001000100000002000c", "120000.00"},
                {1700, "0004000100000006000109291a850064", "12345.678901"},
                {1700, "000a00094000000000aa0583209a01d5090d0c601c871bf620da1660",
                 "-170141183460469231731687303715884105728"},
                {1700, "00000000c0000000", "NaN"},
                {1700, "00000000f0000020", "-Infinity"},
                {1007,
                 "000000010000000100000017000000030000000100000004"
                 "00000001"
                 "ffffffff"
                 "00000004ffffffff",
                 "[\"1\", NULL, \"-1\"]"},
                {1007, "000000000000000000000017", "[]"},
                {1009, "00000001000000000000001900000001000000010000000461225c62", "[\"a\\\"\\\\b\"]"},
        };
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_error err;
        for (size_t i = 0; i < LEAT_ARRAY_LEN(rows); i++) {
                const char *text = got(arena, rows[i].oid, 0, true, test_unhex(arena, rows[i].hex), &err);
                if (text == NULL)
                        leat_test_fail(__FILE__, __LINE__, "oid %u, %s: %s", rows[i].oid, rows[i].hex, err.message);
                CHECK_STR(text, rows[i].text);
        }
        CHECK_STR(got(arena, 0, LEAT_T_UBIGINT, true, test_unhex(arena, "000500040000000007341a5802e103bb064f"), &err),
                  "18446744073709551615");
        leat_arena_free(arena);
}

LEAT_TEST(value_get_refused)
{
        static const struct {
                uint32_t oid;
                const char *hex;
        } rows[] = {
                {16, ""},
                {23, "000000"},
                {20, "00000000"},
                {2950, "00"},
                {1186, "0000000000000000"},
                {1082, "7ffffffe"}, /* beyond what the engine counts */
                {1114, "7ffffffffffffffe"},
                {1083, "ffffffffffffffff"},
                {1083, "000000141dd76001"},
                {1700, ""},
                {1700, "000100000000"},
                {1700, "0002000000000000"
                       "0001"}, /* a digit is missing */
                {1700, "0001000000000000"
                       "2710"}, /* a digit of 10,000 */
                {1700, "00017fff00000000"
                       "0001"}, /* 10^131068 */
                {1700, "0001000000007fff"
                       "0001"},
                {1700, "0001000012340000"
                       "0001"},
                {1007, "0000000100000000000000177fffffff00000001"},
                {1007, "00000001000000000000001700000001000000010000000400"},
                {1007, "000000010000000000000017000000010000000"
                       "1fffffffe"},
                {1007, "0000000200000000000000170000000100000001"
                       "0000000100000001"},
                {1007, "00000001000000000000001700000001000000010000000200000"
                       "1"},
                {1009, "0000000100000000000003f1000000010000000100000000"}, /* arrays in an array */
                {1007, "000000000000000000000017ff"},
                {25, "61ff"},
                {25, "6100"},
                {25, "eda080"}, /* a surrogate */
                {25, "c080"},
                {25, "f0"},
                {600, "00000000000000000000000000000000"}, /* point: no type of ours */
        };
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_error err;
        for (size_t i = 0; i < LEAT_ARRAY_LEN(rows); i++)
                if (got(arena, rows[i].oid, 0, true, test_unhex(arena, rows[i].hex), &err) != NULL)
                        leat_test_fail(__FILE__, __LINE__, "oid %u took %s", rows[i].oid, rows[i].hex);
        CHECK(leat_arena_bytes(arena) < 256 << 10);
        leat_arena_free(arena);
}

LEAT_TEST(value_get_text)
{
        static const struct {
                uint32_t oid;
                const char *in, *text; /* NULL: refused */
        } rows[] = {
                {23, "42", "42"},
                {1082, "today", "today"},
                {17, "\\x00fF", "\\x00ff"},
                {17, "h\\151\\\\", "\\x68695c"},
                {17, "\\x0", NULL},
                {17, "\\xzz", NULL},
                {17, "a\\9", NULL},
                {1009, "{a,\"b c\",NULL,\"NULL\",\"\\\"x\"}", "[\"a\", \"b c\", NULL, \"NULL\", \"\\\"x\"]"},
                {1007, "{}", "[]"},
                {1007, "{1,2", NULL},
                {1007, "{{1},{2}}", NULL},
                {1009, "{\"a}", NULL},
                {1009, "{a,}", NULL},
                {25, "\xff", NULL},
        };
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_error err;
        for (size_t i = 0; i < LEAT_ARRAY_LEN(rows); i++) {
                const char *text = got(arena, rows[i].oid, 0, false, leat_view_str(rows[i].in), &err);
                if ((text == NULL) != (rows[i].text == NULL))
                        leat_test_fail(__FILE__, __LINE__, "%s: %s", rows[i].in, text == NULL ? err.message : text);
                if (text != NULL)
                        CHECK_STR(text, rows[i].text);
        }
        struct leat_column col;
        struct leat_type type = leat_type_of(LEAT_T_INTEGER);
        CHECK_OK(leat_pg_value_get(arena, leat_view_of(NULL, 0), true, true, 23, &type, &col, &err), &err);
        CHECK(!leat_column_valid(&col, 0));
        leat_arena_free(arena);
}

/* ---- COPY --------------------------------------------------------------------- */
static const char *copied_as(struct leat_arena *arena, const char *text, const struct leat_pg_desc *desc)
{
        const struct leat_type types[] = {{.id = LEAT_T_VARCHAR}, {.id = LEAT_T_INTEGER}};
        struct leat_batch *batch = leat_batch_new(arena, types, 2, 1);
        struct leat_buf out = LEAT_BUF_INIT;
        batch->rows = 1;
        ((struct leat_string *)batch->columns[0].data)[0] = leat_string_borrow(leat_view_str(text));
        ((int32_t *)batch->columns[1].data)[0] = 0;
        leat_column_make_validity(arena, &batch->columns[1], 1);
        leat_column_set_null(&batch->columns[1], 0);
        leat_pg_copy_row(desc, batch, 0, NULL, &out);
        const char *ret = leat_arena_strndup(arena, (const char *)out.data, out.len);
        leat_buf_done(&out);
        return ret;
}

static const char *copied(struct leat_arena *arena, const char *text, bool csv)
{
        const struct leat_pg_desc desc = {.copy_csv = csv, .copy_delimiter = csv ? ',' : '\t'};
        return copied_as(arena, text, &desc);
}

LEAT_TEST(value_copy)
{
        static const char *const names[] = {"a,b", "c\td"};
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_buf out = LEAT_BUF_INIT;
        CHECK_STR(copied(arena, "a\tb\\c\nd\re\bf\fg\vh", false), "a\\tb\\\\c\\nd\\re\\bf\\fg\\vh\t\\N\n");
        CHECK_STR(copied(arena, "", false), "\t\\N\n");
        CHECK_STR(copied(arena, "plain\ttext", true), "plain\ttext,\n");
        CHECK_STR(copied(arena, "", true), "\"\",\n"); /* NULL is nothing at all */
        CHECK_STR(copied(arena, "a,\"b\"\n", true), "\"a,\"\"b\"\"\n\",\n");
        CHECK_STR(copied(arena, "\\.", true), "\"\\.\",\n");
        struct leat_pg_desc desc = {.names = names, .column_count = 2, .copy_csv = true, .copy_delimiter = ','};
        leat_pg_copy_header(&desc, &out);
        desc.copy_csv = false;
        desc.copy_delimiter = '\t';
        leat_pg_copy_header(&desc, &out);
        CHECK_STR(leat_buf_cstr(&out), "\"a,b\",c\td\na,b\tc\\td\n");
        desc = (struct leat_pg_desc){.copy_csv = true, .copy_delimiter = ';', .copy_null = "-"};
        CHECK_STR(copied_as(arena, "a,b;c", &desc), "\"a,b;c\";-\n");
        CHECK_STR(copied_as(arena, "-", &desc), "\"-\";-\n"); /* no NULL */
        CHECK_STR(copied_as(arena, "", &desc), ";-\n");
        desc.copy_csv = false;
        CHECK_STR(copied_as(arena, "a\tb;c", &desc), "a\\tb\\;c;-\n");
        leat_buf_done(&out);
        leat_arena_free(arena);
}
