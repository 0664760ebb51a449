/* SPDX-License-Identifier: Apache-2.0 */
/* leat/engine: instances, plans, parameters, results, errors, sandbox. */
#include "engine_int.h"
#include "leat/engine.h"
#include "leat/test.h"

struct fixture {
        struct leat_engine *engine;
        struct leat_conn *conn;
        struct leat_error err;
};

static struct fixture open_fixture(void)
{
        struct fixture f = {0};
        CHECK_OK(leat_engine_open(&(struct leat_engine_options){.memory_bytes = 200 << 20}, &f.engine, &f.err), &f.err);
        CHECK_OK(leat_conn_open(f.engine, NULL, NULL, &f.conn, &f.err), &f.err);
        return f;
}

static void close_fixture(struct fixture *f)
{
        leat_conn_close(f->conn);
        leat_engine_close(f->engine);
}

/* Rows of @sql as text: values joined by '|', rows by '\n', NULL as \N. */
static const char *query(struct fixture *f, const char *sql, bool stream, struct leat_buf *out)
{
        struct leat_plan *plan;
        struct leat_result *result;
        const struct leat_batch *batch;
        leat_buf_clear(out);
        CHECK_OK(leat_plan_prepare(f->conn, sql, &plan, &f->err), &f->err);
        CHECK_OK(leat_plan_run(plan, stream, &result, &f->err), &f->err);
        for (;;) {
                CHECK_OK(leat_result_next(result, &batch, &f->err), &f->err);
                if (batch == NULL)
                        break;
                for (uint32_t r = 0; r < batch->rows; r++) {
                        if (out->len != 0)
                                leat_buf_u8(out, '\n');
                        for (uint32_t c = 0; c < batch->column_count; c++) {
                                if (c != 0)
                                        leat_buf_u8(out, '|');
                                if (!leat_column_print(&batch->columns[c], r, out))
                                        leat_buf_add_str(out, "\\N");
                        }
                }
        }
        leat_result_free(result);
        leat_plan_free(plan);
        return leat_buf_cstr(out);
}

LEAT_TEST(engine_types_in_results)
{
        struct fixture f = open_fixture();
        struct leat_buf out = LEAT_BUF_INIT;
        static const char *const cases[][2] = {
                {"SELECT 1::tinyint, -2::smallint, 3::int, 4::bigint, 5::hugeint, 6::utinyint, 7::uhugeint",
                 "1|-2|3|4|5|6|7"},
                {"SELECT true, NULL, 'x', 'a long string of text', '\\x00'::blob",
                 "t|\\N|x|a long string of text|\\x00"},
                {"SELECT 1.25::decimal(4,2), 1.25::decimal(9,2), -1.25::decimal(18,2), 1.25::decimal(38,2)",
                 "1.25|1.25|-1.25|1.25"},
                {"SELECT date '2024-02-29', time '01:02:03.5', timestamp '2024-01-01 00:00:00', "
                 "timestamptz '2024-01-01 00:00:00+02'",
                 "2024-02-29|01:02:03.5|2024-01-01 00:00:00|2023-12-31 22:00:00+00"},
                {"SELECT interval '1 day 02:03:04', interval '14 months', uuid '12ab34cd-56ef-7890-1122-334455667788'",
                 "1 day 02:03:04|1 year 2 mons|12ab34cd-56ef-7890-1122-334455667788"},
                {"SELECT [1,2,NULL], {'a': 1, 'b': 'x y'}, MAP {'k': 1}, [[1],[]]",
                 "{1,2,NULL}|(1,\"x y\")|{\"(k,1)\"}|{{1},{}}"},
                {"SELECT {'a': 1, 'b': [i, i+1]}, 'const' FROM range(2) t(i)",
                 "(1,\"{0,1}\")|const\n(1,\"{1,2}\")|const"},
                {"SELECT x FROM (VALUES (2),(NULL),(1)) t(x) ORDER BY x", "1\n2\n\\N"},
                {"SELECT x FROM (VALUES (2),(NULL),(1)) t(x) ORDER BY x DESC", "\\N\n2\n1"},
                {"SELECT '1044-03-15 (BC)'::date, 'infinity'::timestamp, 'NaN'::double, 5/2",
                 "1044-03-15 BC|infinity|NaN|2.5"},
                {"SELECT i FROM range(0) t(i)", ""},
        };
        for (size_t i = 0; i < LEAT_ARRAY_LEN(cases); i++) {
                CHECK_STR(query(&f, cases[i][0], false, &out), cases[i][1]);
                CHECK_STR(query(&f, cases[i][0], true, &out), cases[i][1]);
        }
        leat_buf_done(&out);
        close_fixture(&f);
}

LEAT_TEST(engine_many_chunks)
{
        struct fixture f = open_fixture();
        for (int stream = 0; stream < 2; stream++) {
                struct leat_plan *plan;
                struct leat_result *result;
                const struct leat_batch *batch;
                int64_t rows = 0;
                CHECK_OK(leat_plan_prepare(f.conn, "SELECT i, repeat('x', (i % 50)::int) FROM range(100000) t(i)",
                                           &plan, &f.err),
                         &f.err);
                CHECK_INT(leat_plan_column_count(plan), 2);
                CHECK_STR(leat_plan_column_name(plan, 0), "i");
                CHECK_INT(leat_plan_column_type(plan, 0).id, LEAT_T_BIGINT);
                CHECK_OK(leat_plan_run(plan, stream, &result, &f.err), &f.err);
                for (;;) {
                        CHECK_OK(leat_result_next(result, &batch, &f.err), &f.err);
                        if (batch == NULL)
                                break;
                        for (uint32_t r = 0; r < batch->rows; r++, rows++) {
                                CHECK_INT(((int64_t *)batch->columns[0].data)[r], rows);
                                CHECK_INT(((struct leat_string *)batch->columns[1].data)[r].len, rows % 50);
                        }
                }
                CHECK_INT(rows, 100000);
                leat_result_free(result);
                leat_plan_free(plan);
        }
        close_fixture(&f);
}

static void check_param(struct fixture *f, struct leat_plan *plan, const struct leat_column *col, const char *want)
{
        struct leat_result *result;
        const struct leat_batch *batch;
        struct leat_buf out = LEAT_BUF_INIT;
        CHECK_OK(leat_plan_bind(plan, 0, col, 0, &f->err), &f->err);
        CHECK_OK(leat_plan_run(plan, false, &result, &f->err), &f->err);
        CHECK_OK(leat_result_next(result, &batch, &f->err), &f->err);
        CHECK_INT(batch->rows, 1);
        CHECK_INT(leat_result_column_count(result), 1);
        if (!leat_column_print(&batch->columns[0], 0, &out))
                leat_buf_add_str(&out, "\\N");
        CHECK_STR(leat_buf_cstr(&out), want);
        leat_buf_done(&out);
        leat_result_free(result);
}

/* Every type goes in as a parameter and comes out as it was. */
LEAT_TEST(engine_parameters)
{
        struct fixture f = open_fixture();
        struct leat_buf out = LEAT_BUF_INIT;
        static const char *const values[] = {
                "true",
                "1::tinyint",
                "300::smallint",
                "-70000::int",
                "5000000000::bigint",
                "-170141183460469231731687303715884105727::hugeint",
                "255::utinyint",
                "65535::usmallint",
                "4000000000::uinteger",
                "18446744073709551615::ubigint",
                "7::uhugeint",
                "1.5::float",
                "0.1::double",
                "-1.25::decimal(4,2)",
                "1.25::decimal(9,2)",
                "1.25::decimal(18,2)",
                "123456789012345678901234567890.12::decimal(38,2)",
                "'text'",
                "'a longer text than twelve'",
                "'\\x00\\xFF'::blob",
                "date '2024-02-29'",
                "time '01:02:03.5'",
                "timestamp '2024-01-01 00:00:00'",
                "timestamptz '2024-01-01 00:00:00+02'",
                "interval '1 month 2 days 3 us'",
                "uuid '92ab34cd-56ef-7890-1122-334455667788'",
                "[1,2,NULL]::int[]",
                "[]::varchar[]",
                "{'a': 1, 'b': ['x', NULL]}",
                "NULL",
        };
        struct leat_plan *identity, *plan;
        CHECK_OK(leat_plan_prepare(f.conn, "SELECT $1", &identity, &f.err), &f.err);
        CHECK_INT(leat_plan_param_count(identity), 1);
        CHECK_INT(leat_plan_param_type(identity, 0).id, LEAT_T_INVALID);
        for (size_t i = 0; i < LEAT_ARRAY_LEN(values); i++) {
                struct leat_result *result;
                const struct leat_batch *batch;
                leat_buf_clear(&out);
                leat_buf_printf(&out, "SELECT %s", values[i]);
                CHECK_OK(leat_plan_prepare(f.conn, leat_buf_cstr(&out), &plan, &f.err), &f.err);
                CHECK_OK(leat_plan_run(plan, false, &result, &f.err), &f.err);
                CHECK_OK(leat_result_next(result, &batch, &f.err), &f.err);
                struct leat_arena *arena = leat_arena_new(0);
                struct leat_batch *value = leat_batch_copy(arena, batch);
                leat_result_free(result);
                leat_plan_free(plan);
                leat_buf_clear(&out);
                if (!leat_column_print(&value->columns[0], 0, &out))
                        leat_buf_add_str(&out, "\\N");
                check_param(&f, identity, &value->columns[0], leat_buf_cstr(&out));
                leat_arena_free(arena);
        }
        struct leat_column null = {.type = leat_type_of(LEAT_T_SQLNULL)};
        CHECK_INT(leat_plan_bind(identity, 1, &null, 0, &f.err), LEAT_EINVAL);
        leat_plan_free(identity);

        /* Known types are cast to: text into a date; named parameters are found by name. */
        CHECK_OK(leat_plan_prepare(f.conn, "SELECT $now::timestamptz + INTERVAL 1 DAY", &plan, &f.err), &f.err);
        CHECK_INT(leat_plan_param_find(plan, "now"), 0);
        CHECK_INT(leat_plan_param_find(plan, "other"), -1);
        CHECK_INT(leat_plan_param_type(plan, 0).id, LEAT_T_TIMESTAMPTZ);
        struct leat_string text = leat_string_borrow(leat_view_str("2024-02-28 12:00:00+00"));
        struct leat_column col = {.type = leat_type_of(LEAT_T_VARCHAR), .data = &text};
        check_param(&f, plan, &col, "2024-02-29 12:00:00+00");
        int64_t us = 0;
        col = (struct leat_column){.type = leat_type_of(LEAT_T_TIMESTAMPTZ), .data = &us};
        check_param(&f, plan, &col, "1970-01-02 00:00:00+00");
        leat_plan_free(plan);
        leat_buf_done(&out);
        close_fixture(&f);
}

LEAT_TEST(engine_errors)
{
        struct fixture f = open_fixture();
        static const struct {
                const char *sql;
                int code, position;
                const char *message, *hint;
        } cases[] = {
                {"SELEC 1", LEAT_ESYNTAX, 1, "syntax error at or near \"SELEC\"", ""},
                {"SELECT 1 +", LEAT_ESYNTAX, 11, "syntax error at end of input", ""},
                {"SELECT 1,\n nope(2)", LEAT_ENOFUNCTION, 12, "nope does not exist", "Did you mean"},
                {"SELECT foo FROM (SELECT 1 AS a)", LEAT_ENOCOLUMN, 8, "\"foo\" not found", "\"a\""},
                {"SELECT 'ä', foo FROM (SELECT 1 AS a)", LEAT_ENOCOLUMN, 13, "\"foo\" not found", ""},
                {"SELECT * FROM nosuch", LEAT_ENORELATION, 15, "nosuch does not exist", ""},
                {"SELECT length(1,2,3)", LEAT_ENOFUNCTION, 8, "No function matches", "length(VARCHAR)"},
                {"SELECT a FROM (SELECT 1 a) x, (SELECT 2 a) y", LEAT_EAMBIGUOUS, 8, "Ambiguous", ""},
                {"SELECT 1::nosuchtype", LEAT_ETYPE, 11, "nosuchtype", ""},
                {"SELECT 'a'::int", LEAT_EINVAL, 11, "Could not convert string 'a' to INT32", ""},
                {"SELECT 2147483647::int + 1::int", LEAT_ERANGE, 0, "Overflow", ""},
                {"SELECT * FROM read_csv('/etc/passwd')", LEAT_EDENIED, 15, "disabled by configuration", ""},
                {"SELECT 1; SELECT 2", LEAT_EINVAL, 0, "multiple statements", ""},
                {"SELECT error('boo')", LEAT_EINVAL, 0, "boo", ""},
                {"SELECT '2024-01-01'::timestamp_ns", LEAT_EUNSUPPORTED, 0, "TIMESTAMP_NS", "Cast it"},
                {"SELECT date '2024-01-01' = 5", LEAT_ETYPE, 0, "(INTEGER -> DATE)", ""},
        };
        for (size_t i = 0; i < LEAT_ARRAY_LEN(cases); i++) {
                struct leat_plan *plan = NULL;
                struct leat_result *result = NULL;
                memset(&f.err, 0, sizeof f.err);
                int rc = leat_plan_prepare(f.conn, cases[i].sql, &plan, &f.err);
                if (rc == 0)
                        rc = leat_plan_run(plan, false, &result, &f.err);
                if (rc != cases[i].code || strstr(f.err.message, cases[i].message) == NULL ||
                    strstr(f.err.hint, cases[i].hint) == NULL ||
                    (cases[i].position != 0 && f.err.position != cases[i].position))
                        leat_test_fail(__FILE__, __LINE__, "%s: %s at %d: %s (%s)", cases[i].sql, leat_code_name(rc),
                                       f.err.position, f.err.message, f.err.hint);
                leat_result_free(result);
                leat_plan_free(plan);
        }
        close_fixture(&f);
}

/* What the locked configuration must refuse. */
LEAT_TEST(engine_sandbox)
{
        struct fixture f = open_fixture();
        static const char *const refused[] = {
                "SET enable_external_access=true",
                "SET lock_configuration=false",
                "SET TimeZone='Europe/Berlin'",
                "RESET memory_limit",
                "PRAGMA threads=4",
                "INSTALL httpfs",
                "LOAD '/tmp/x.duckdb_extension'",
                "ATTACH '/tmp/leat_sandbox.db'",
                "COPY (SELECT 1) TO '/tmp/leat_sandbox.csv'",
                "SELECT * FROM '/etc/passwd'",
                "SELECT * FROM read_text('/etc/passwd')",
                "SELECT * FROM read_blob('/etc/passwd')",
                "SELECT * FROM read_parquet('http://127.0.0.1/x.parquet')",
                "SELECT * FROM glob('/etc/*')",
                "EXPORT DATABASE '/tmp/leat_sandbox'",
        };
        for (size_t i = 0; i < LEAT_ARRAY_LEN(refused); i++)
                if (leat_conn_exec(f.conn, refused[i], &f.err) == 0)
                        leat_test_fail(__FILE__, __LINE__, "ran: %s", refused[i]);
        close_fixture(&f);
}

LEAT_TEST(engine_exec_and_text)
{
        struct fixture f = open_fixture();
        struct leat_buf out = LEAT_BUF_INIT;
        CHECK_OK(leat_conn_exec(f.conn, "CREATE TABLE t (a INT); CREATE MACRO twice(x) AS x * 2", &f.err), &f.err);
        CHECK_OK(leat_conn_text(f.conn, "SELECT json_serialize_sql($1::VARCHAR)",
                                (const char *[]){"SELECT a FROM t WHERE a > 1"}, 1, &out, &f.err),
                 &f.err);
        CHECK(strstr(leat_buf_cstr(&out), "\"error\":false") != NULL);
        leat_buf_clear(&out);
        CHECK_OK(leat_conn_text(f.conn, "SELECT json_serialize_plan($1::VARCHAR)",
                                (const char *[]){"SELECT twice(a) FROM t"}, 1, &out, &f.err),
                 &f.err);
        CHECK(strstr(leat_buf_cstr(&out), "LOGICAL_GET") != NULL);
        CHECK_INT(leat_conn_text(f.conn, "SELECT NULL::varchar", NULL, 0, &out, &f.err), LEAT_ENOTFOUND);
        CHECK_INT(leat_conn_exec(f.conn, "CREATE TABLE t (a INT)", &f.err), LEAT_ENOTFOUND);
        leat_buf_done(&out);
        close_fixture(&f);
}

LEAT_TEST(engine_many_instances)
{
        struct fixture a = open_fixture(), b = open_fixture();
        struct leat_buf out = LEAT_BUF_INIT;
        CHECK_OK(leat_conn_exec(a.conn, "CREATE TABLE only_a (x INT)", &a.err), &a.err);
        CHECK_INT(leat_conn_exec(b.conn, "SELECT * FROM only_a", &b.err), LEAT_ENORELATION);
        CHECK_STR(query(&b, "SELECT 1", false, &out), "1");
        close_fixture(&a);
        CHECK_STR(query(&b, "SELECT 2", false, &out), "2");
        leat_buf_done(&out);
        close_fixture(&b);
}
