/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of values as JSON, COPY lines, literals. */
#include "api_int.h"

#include "leat/test.h"

static const char *json_of(uint32_t type, const char *text)
{
        static struct leat_buf buf;
        leat_buf_clear(&buf);
        leat_api_value_json(&buf, type, text ? leat_view_str(text) : leat_view_of(NULL, 0));
        return leat_buf_cstr(&buf);
}

LEAT_TEST(api_values_as_json)
{
        CHECK_STR(json_of(25, NULL), "null");
        CHECK_STR(json_of(25, "a\"b"), "\"a\\\"b\"");
        CHECK_STR(json_of(16, "t"), "true");
        CHECK_STR(json_of(16, "f"), "false");
        CHECK_STR(json_of(20, "-42"), "-42");
        CHECK_STR(json_of(20, "9007199254740993"), "\"9007199254740993\"");
        CHECK_STR(json_of(701, "1.5e-07"), "1.5e-07");
        CHECK_STR(json_of(701, "NaN"), "\"NaN\"");
        CHECK_STR(json_of(701, "-Infinity"), "\"-Infinity\"");
        CHECK_STR(json_of(1700, "0.10"), "0.10");
        CHECK_STR(json_of(1700, "123456789012345678.9"), "\"123456789012345678.9\"");
        CHECK_STR(json_of(1700, "01"), "\"01\"");
        CHECK_STR(json_of(1700, "1."), "\"1.\"");
        CHECK_STR(json_of(1184, "2026-01-02 03:04:05+00"), "\"2026-01-02 03:04:05+00\"");
}

LEAT_TEST(api_copy_lines)
{
        struct leat_buf scratch = LEAT_BUF_INIT;
        struct leat_view fields[3];
        CHECK_INT(leat_api_copy_split(leat_view_str("1\t\\N\ta\\tb\\\\c\\n\n"), &scratch, fields, 3), 3);
        CHECK(leat_view_eq_str(fields[0], "1"));
        CHECK(fields[1].data == NULL);
        CHECK(leat_view_eq_str(fields[2], "a\tb\\c\n"));
        CHECK_INT(leat_api_copy_split(leat_view_str("\t\\\\N"), &scratch, fields, 3), 2);
        CHECK(fields[0].data != NULL && fields[0].len == 0);
        CHECK(leat_view_eq_str(fields[1], "\\N"));
        CHECK_INT(leat_api_copy_split(leat_view_str("1\t2\t3\t4"), &scratch, fields, 3), -1);
        CHECK_INT(leat_api_copy_split(leat_view_str("end\\"), &scratch, fields, 3), 1);
        leat_buf_done(&scratch);
}

LEAT_TEST(api_literals_and_status)
{
        struct leat_buf buf = LEAT_BUF_INIT;
        leat_api_sql_literal(&buf, "it's");
        CHECK_STR(leat_buf_cstr(&buf), "'it''s'");
        leat_buf_done(&buf);
        CHECK_INT(leat_api_error_status(&(struct api_pg_error){.sqlstate = "42P01"}), 400);
        CHECK_INT(leat_api_error_status(&(struct api_pg_error){.sqlstate = "08006"}), 503);
        CHECK_INT(leat_api_error_status(&(struct api_pg_error){.sqlstate = "57014"}), 409);
        CHECK_INT(leat_api_error_status(&(struct api_pg_error){.sqlstate = "53100"}), 507);
        CHECK_INT(leat_api_error_status(&(struct api_pg_error){.sqlstate = "XX000"}), 500);
}
