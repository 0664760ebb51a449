/* SPDX-License-Identifier: Apache-2.0 */
/* leat/format: single values. */
#include <inttypes.h>
#include <stdio.h>

#include "format_int.h"
#include "leat/test.h"

/* Reads @token as @type and prints it as PostgreSQL would; or "! why". */
static void check_scalar(const char *type_text, const char *token, const char *want)
{
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_error err = {0};
        struct leat_column col = {0};
        struct leat_buf out = LEAT_BUF_INIT;
        _Alignas(16) uint8_t value[16];
        CHECK_OK(leat_type_parse(arena, leat_view_str(type_text), &col.type, &err), &err);
        col.data = value;
        struct leat_view view = leat_view_str(token);
        bool is_string = token[0] == '"';
        if (is_string)
                view = leat_view_of(view.data + 1, view.len - 2);
        const char *why = leat_format_scalar(&col.type, view, is_string, value);
        if (why != NULL)
                leat_buf_printf(&out, "! %s", why);
        else
                leat_column_print(&col, 0, &out);
        if (strcmp(leat_buf_cstr(&out), want) != 0)
                leat_test_fail(__FILE__, __LINE__, "%s as %s is %s, not %s", token, type_text, leat_buf_cstr(&out),
                               want);
        leat_buf_done(&out);
        leat_arena_free(arena);
}

LEAT_TEST(value_integers)
{
        check_scalar("int", "0", "0");
        check_scalar("int", "-0", "0");
        check_scalar("int", "2147483647", "2147483647");
        check_scalar("int", "-2147483648", "-2147483648");
        check_scalar("int", "2147483648", "! is out of range");
        check_scalar("int", "-2147483649", "! is out of range");
        check_scalar("int", "1.5", "! has a fraction");
        check_scalar("int", "1e-1", "! has a fraction");
        check_scalar("int", "5.0", "5");
        check_scalar("int", "5e2", "500");
        check_scalar("int", "1e400", "! is out of range");
        check_scalar("int", "0e999999999999", "0");
        check_scalar("int", "12.50e1", "125");
        check_scalar("int", "007", "! is not a number");
        check_scalar("int", "+1", "! is not a number");
        check_scalar("int", ".5", "! is not a number");
        check_scalar("int", "5.", "! is not a number");
        check_scalar("int", "-", "! is not a number");
        check_scalar("int", "1e", "! is not a number");
        check_scalar("int", "0x10", "! is not a number");
        check_scalar("int", "true", "! is not a number");
        check_scalar("int", "\"5\"", "! is a string, not a number");
        check_scalar("tinyint", "127", "127");
        check_scalar("tinyint", "128", "! is out of range");
        check_scalar("utinyint", "255", "255");
        check_scalar("utinyint", "-1", "! is out of range");
        check_scalar("smallint", "-32769", "! is out of range");
        check_scalar("bigint", "9223372036854775807", "9223372036854775807");
        check_scalar("bigint", "-9223372036854775808", "-9223372036854775808");
        check_scalar("bigint", "9223372036854775808", "! is out of range");
        check_scalar("bigint", "123456789012345678901234567890123456789012345678901234567890", "! is out of range");
        check_scalar("ubigint", "18446744073709551615", "18446744073709551615");
        check_scalar("ubigint", "18446744073709551616", "! is out of range");
        check_scalar("hugeint", "-170141183460469231731687303715884105728", "-170141183460469231731687303715884105728");
        check_scalar("hugeint", "170141183460469231731687303715884105728", "! is out of range");
        check_scalar("uhugeint", "340282366920938463463374607431768211455", "340282366920938463463374607431768211455");
        check_scalar("uhugeint", "340282366920938463463374607431768211456", "! is out of range");
}

LEAT_TEST(value_decimals_and_floats)
{
        check_scalar("decimal(10,2)", "12.34", "12.34");
        check_scalar("decimal(10,2)", "12.3400", "12.34");
        check_scalar("decimal(10,2)", "-0.05", "-0.05");
        check_scalar("decimal(10,2)", "12.345", "! has more digits behind the point than the column");
        check_scalar("decimal(10,2)", "1.2e3", "1200.00");
        check_scalar("decimal(4,2)", "99.99", "99.99");
        check_scalar("decimal(4,2)", "100", "! is out of range");
        check_scalar("decimal(38,0)", "99999999999999999999999999999999999999",
                     "99999999999999999999999999999999999999");
        check_scalar("decimal(38,38)", "0.1", "0.10000000000000000000000000000000000000");
        check_scalar("double", "0.1", "0.1");
        check_scalar("double", "-1.5e3", "-1500");
        check_scalar("double", "1e308", "1e+308");
        check_scalar("double", "1e309", "! is out of range");
        check_scalar("double", "1e-400", "0");
        check_scalar("double", "123456789012345678", "1.2345678901234568e+17");
        check_scalar("double", "0.30000000000000004", "0.30000000000000004");
        check_scalar("double", "\"NaN\"", "NaN");
        check_scalar("double", "\"-Infinity\"", "-Infinity");
        check_scalar("double", "\"1\"", "! is a string, not a number");
        check_scalar("double", "NaN", "! is not a number");
        check_scalar("float", "3.4e38", "3.4e+38");
        check_scalar("float", "3.5e38", "! is out of range");
        check_scalar("boolean", "true", "t");
        check_scalar("boolean", "false", "f");
        check_scalar("boolean", "1", "! is not true or false");
        check_scalar("boolean", "\"true\"", "! is not true or false");
}

/* Doubles are rounded as the C library rounds. */
LEAT_TEST(value_doubles_random)
{
        uint64_t x = leat_test_seed();
        struct leat_type type = leat_type_of(LEAT_T_DOUBLE);
        for (int i = 0; i < 20000; i++) {
                char text[64];
                double got;
                x = leat_hash_mix(x, (uint64_t)i);
                int digits = 1 + (int)(x % 19), exponent = (int)(x >> 8 & 63) - 32;
                uint64_t mantissa = x >> 20;
                for (int k = digits; k < 19; k++)
                        mantissa /= 10;
                snprintf(text, sizeof text, "%s%" PRIu64 ".%" PRIu64 "e%d", x & 1 ? "-" : "", mantissa, x % 1000,
                         exponent);
                CHECK(leat_format_scalar(&type, leat_view_str(text), false, &got) == NULL);
                if (got != strtod(text, NULL))
                        leat_test_fail(__FILE__, __LINE__, "%s is %.17g, not %.17g", text, got, strtod(text, NULL));
        }
}

LEAT_TEST(value_times)
{
        check_scalar("timestamptz", "\"2026-11-24T21:54:55.123Z\"", "2026-11-24 21:54:55.123+00");
        check_scalar("timestamptz", "\"2026-11-24T21:54:55\"", "2026-11-24 21:54:55+00");
        check_scalar("timestamptz", "\"2026-11-24 21:54:55.123456\"", "2026-11-24 21:54:55.123456+00");
        check_scalar("timestamptz", "\"2026-11-24T21:54:55.123456789Z\"", "2026-11-24 21:54:55.123456+00");
        check_scalar("timestamptz", "\"2026-11-24T21:54:55.1234567\"", "2026-11-24 21:54:55.123456+00");
        check_scalar("timestamptz", "\"2026-11-24T21:54:55+02:00\"", "2026-11-24 19:54:55+00");
        check_scalar("timestamptz", "\"2026-11-24T21:54:55-0530\"", "2026-11-25 03:24:55+00");
        check_scalar("timestamptz", "\"2026-11-24 21:54:55 +02\"", "2026-11-24 19:54:55+00");
        check_scalar("timestamp", "\"2026-11-24T21:54:55+02:00\"", "2026-11-24 19:54:55");
        check_scalar("timestamptz", "\"2026-11-24T21:54\"", "2026-11-24 21:54:00+00");
        check_scalar("timestamptz", "\"2026-11-24\"", "2026-11-24 00:00:00+00");
        check_scalar("timestamptz", "\"2024-02-29T00:00:00Z\"", "2024-02-29 00:00:00+00");
        check_scalar("timestamptz", "\"2023-02-29T00:00:00Z\"", "! is no ISO 8601 time");
        check_scalar("timestamptz", "\"2026-11-31T00:00:00Z\"", "! is no ISO 8601 time");
        check_scalar("timestamptz", "\"2026-13-01T00:00:00Z\"", "! is no ISO 8601 time");
        check_scalar("timestamptz", "\"2026-11-24T25:00:00Z\"", "! is no ISO 8601 time");
        check_scalar("timestamptz", "\"2026-11-24T24:00:00Z\"", "2026-11-25 00:00:00+00");
        check_scalar("timestamptz", "\"2026-11-24T21:54:60Z\"", "! is no ISO 8601 time");
        check_scalar("timestamptz", "\"2026-11-24T21:54:55ZZ\"", "! is no ISO 8601 time");
        check_scalar("timestamptz", "\"2026-11-24T21:54:55.Z\"", "! is no ISO 8601 time");
        check_scalar("timestamptz", "\"2026-11-24T21:54:55.12x\"", "! is no ISO 8601 time");
        check_scalar("timestamptz", "\"26-11-24\"", "! is no ISO 8601 time");
        check_scalar("timestamptz", "\"\"", "! is no ISO 8601 time");
        check_scalar("timestamptz", "\"now\"", "! is no ISO 8601 time");
        check_scalar("timestamptz", "\"0044-03-15 00:00:00+00 BC\"", "0044-03-15 00:00:00+00 BC");
        check_scalar("timestamptz", "\"0044-03-15T00:00:00Z BC\"", "0044-03-15 00:00:00+00 BC");
        check_scalar("timestamptz", "\"10000-01-01T00:00:00Z\"", "10000-01-01 00:00:00+00");
        check_scalar("timestamptz", "\"infinity\"", "! is no ISO 8601 time");
        check_scalar("timestamp", "\"-infinity\"", "! is no ISO 8601 time");
        check_scalar("date", "\"infinity\"", "! is no date (\"2026-11-24\")");
        check_scalar("timestamptz", "\"9999999-01-01T00:00:00Z\"", "! is no ISO 8601 time");
        check_scalar("timestamptz", "1764021295123", "2025-11-24 21:54:55.123+00");
        check_scalar("timestamptz", "1764021295123.25", "2025-11-24 21:54:55.12325+00");
        check_scalar("timestamptz", "1764021295123.0001", "! has more than microseconds");
        check_scalar("timestamptz", "1.764021295123e12", "2025-11-24 21:54:55.123+00");
        check_scalar("timestamptz", "-1", "1969-12-31 23:59:59.999+00");
        check_scalar("timestamptz", "99999999999999999", "! is out of range");
        check_scalar("timestamptz", "true", "! is not a number");
        check_scalar("date", "\"2024-02-29\"", "2024-02-29");
        check_scalar("date", "\"2023-02-29\"", "! is no date (\"2026-11-24\")");
        check_scalar("date", "\"2024-02-29T00:00:00\"", "! is no date (\"2026-11-24\")");
        check_scalar("date", "\"0001-01-01 BC\"", "0001-01-01 BC");
        check_scalar("date", "\"0000-01-01\"", "! is no date (\"2026-11-24\")");
        check_scalar("date", "20000", "! is no date (\"2026-11-24\")");
        check_scalar("time", "\"21:54:55.5\"", "21:54:55.5");
        check_scalar("time", "\"21:54\"", "21:54:00");
        check_scalar("time", "\"24:00:01\"", "! is no time of day (\"21:54:55.5\")");
}

LEAT_TEST(value_intervals_and_bytes)
{
        check_scalar("interval", "\"1 day 02:03:04\"", "1 day 02:03:04");
        check_scalar("interval", "\"1 year 2 mons 3 days\"", "1 year 2 mons 3 days");
        check_scalar("interval", "\"-1 years -2 mons +3 days 00:00:00.5\"", "-1 years -2 mons +3 days 00:00:00.5");
        check_scalar("interval", "\"-00:00:00.000001\"", "-00:00:00.000001");
        check_scalar("interval", "\"10 seconds\"", "00:00:10");
        check_scalar("interval", "\"1.5 hours\"", "01:30:00");
        check_scalar("interval", "\"250ms\"", "00:00:00.25");
        check_scalar("interval", "\"2 weeks\"", "14 days");
        check_scalar("interval", "\"\"", "! is no interval (\"1 day 02:03:04\")");
        check_scalar("interval", "\"1 parsec\"", "! is no interval (\"1 day 02:03:04\")");
        check_scalar("interval", "\"99999999999 years\"", "! is no interval (\"1 day 02:03:04\")");
        check_scalar("interval", "10", "! is no interval (\"1 day 02:03:04\")");
        check_scalar("uuid", "\"92AB34cd-56ef-7890-1122-334455667788\"", "92ab34cd-56ef-7890-1122-334455667788");
        check_scalar("uuid", "\"92ab34cd56ef78901122334455667788\"", "92ab34cd-56ef-7890-1122-334455667788");
        check_scalar("uuid", "\"92ab34cd-56ef-7890-1122-33445566778\"", "! is no UUID");
        check_scalar("uuid", "\"92ab34cd-56ef-7890-1122-33445566778g\"", "! is no UUID");
}

LEAT_TEST(value_base64)
{
        static const struct {
                const char *text;
                int64_t len;
                const char *bytes;
        } cases[] = {{"", 0, ""},        {"YQ==", 1, "a"},        {"YQ", 1, "a"},          {"YWI=", 2, "ab"},
                     {"YWJj", 3, "abc"}, {"YWJjZA==", 4, "abcd"}, {"_-8=", 2, "\xff\xef"}, {"/+8=", 2, "\xff\xef"},
                     {"Y", -1, ""},      {"YQ=", -1, ""},         {"Y Q=", -1, ""},        {"YQ==YQ==", -1, ""},
                     {"====", -1, ""}};
        for (size_t i = 0; i < LEAT_ARRAY_LEN(cases); i++) {
                uint8_t out[16];
                int64_t len = leat_format_base64(leat_view_str(cases[i].text), out);
                CHECK_INT(len, cases[i].len);
                CHECK(len <= 0 || memcmp(out, cases[i].bytes, (size_t)len) == 0);
        }
}
