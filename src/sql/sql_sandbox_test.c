/* SPDX-License-Identifier: Apache-2.0 */
/* leat/sql: attempts to get out of the sandbox. */
#include <stdio.h>

#include "leat/test.h"
#include "sql_test_util.h"

static int try(struct sql_fixture *fx, const char *sql)
{
        struct leat_sql_query q;
        memset(&fx->err, 0, sizeof fx->err);
        return leat_sql_select(fx->env, fx->arena, leat_view_str(sql), (struct leat_span){0, (uint32_t)strlen(sql)},
                               NULL, 0, &q, &fx->err);
}

LEAT_TEST(escapes_are_refused)
{
        static const char *const attempts[] = {
                "SELECT * FROM read_csv('/etc/passwd')",
                "SELECT * FROM read_csv_auto('/etc/passwd')",
                "SELECT * FROM read_text('/etc/passwd')",
                "SELECT * FROM read_blob('/etc/passwd')",
                "SELECT * FROM read_json('/etc/passwd')",
                "SELECT * FROM read_parquet('x')",
                "SELECT * FROM parquet_metadata('x')",
                "SELECT * FROM sniff_csv('/etc/passwd')",
                "SELECT * FROM glob('/*')",
                "SELECT * FROM '/etc/passwd'",
                "SELECT * FROM \"/etc/passwd\"",
                "SELECT * FROM 'x.parquet'",
                "SELECT * FROM query('SELECT 1')",
                "SELECT * FROM query_table('sqlite_master')",
                "SELECT * FROM sqlite_master",
                "SELECT * FROM main.sqlite_master",
                "SELECT * FROM leat_1",
                "SELECT * FROM main.leat_1",
                "SELECT * FROM memory.main.leat_1",
                "SELECT * FROM leat_scan('t1|scans|0|0|')",
                "SELECT * FROM leat_undeclared",
                "SELECT * FROM duckdb_settings()",
                "SELECT * FROM duckdb_databases()",
                "SELECT * FROM duckdb_functions()",
                "SELECT * FROM duckdb_secrets()",
                "SELECT * FROM pragma_version()",
                "SELECT * FROM pragma_database_size()",
                "SELECT * FROM pragma_table_info('leat_1')",
                "SELECT * FROM json_execute_serialized_sql('{}')",
                "SELECT * FROM enable_logging()",
                "SELECT * FROM disable_logging()",
                "SELECT * FROM checkpoint()",
                "SELECT * FROM force_checkpoint()",
                "SELECT * FROM truncate_duckdb_logs()",
                "SELECT * FROM which_secret('x', 's3')",
                "SELECT * FROM sql_auto_complete('SEL')",
                "SELECT * FROM seq_scan('x')",
                "SELECT * FROM arrow_scan(1, 2, 3)",
                "SELECT * FROM system.information_schema.tables",
                "SELECT * FROM information_schema.tables",
                "SELECT getenv('HOME')",
                "SELECT getvariable('x')",
                "SELECT current_query()",
                "SELECT write_log('x')",
                "SELECT nextval('x')",
                "SELECT sleep_ms(1000)",
                "SELECT pg_sleep(1)",
                "SELECT setseed(0.5)",
                "SELECT json_serialize_plan('SELECT * FROM read_csv(''/etc/passwd'')')",
                "SELECT json_serialize_sql('SELECT 1')",
                "SELECT system.main.getvariable('x')",
                "SELECT main.getvariable('x')",
                "SELECT list_transform([1], lambda x: write_log('x'))",
                "SELECT * FROM (SELECT 1 WHERE EXISTS (SELECT * FROM glob('*')))",
                "WITH x AS (SELECT * FROM glob('*')) SELECT 1",
                "SELECT 1 ORDER BY (SELECT count(*) FROM glob('*'))",
                "SELECT 1 LIMIT (SELECT count(*) FROM glob('*'))",
                "SELECT count(*) FILTER (WHERE 1 IN (SELECT 1 FROM glob('*'))) FROM scans",
                "SELECT sum(1) OVER (ORDER BY (SELECT 1 FROM glob('*'))) FROM scans",
                "SELECT 1 FROM scans s JOIN LATERAL (SELECT * FROM read_text('/etc/passwd')) t ON true",
                "VALUES ((SELECT content FROM read_text('/etc/passwd')))",
                "SELECT 1 UNION ALL SELECT content FROM read_text('/etc/passwd')",
                "SELECT * FROM (PIVOT (SELECT * FROM glob('*')) ON file IN ('a') USING count(*))",
                "SELECT * FROM range(1), read_text('/etc/passwd')",
                "SELECT * FROM (DESCRIBE scans)",
                "SELECT * FROM (SHOW TABLES)",
                "SELECT * FROM (SUMMARIZE scans)",
                "FROM read_text('/etc/passwd') SELECT *",
                "ATTACH '/tmp/x.db'",
                "COPY (SELECT 1) TO '/tmp/x'",
                "INSTALL httpfs",
                "LOAD httpfs",
                "EXPORT DATABASE '/tmp/x'",
                "SET enable_external_access = true",
                "PRAGMA version",
                "CALL enable_logging()",
                "CREATE TABLE x (a int)",
                "DELETE FROM leat_1",
                "SELECT 1; DROP TABLE leat_1",
                "SELECT * FROM tumble(glob('*'), file, INTERVAL '1 second')",
                "SELECT * FROM tumble((SELECT * FROM glob('*')), file, INTERVAL '1 second')",
                "SELECT * FROM TABLE(TUMBLE(TABLE read_text('/etc/passwd'), DESCRIPTOR(x), INTERVAL '1' SECOND))",
                "SELECT * FROM main.glob('*')",
                "SELECT * FROM \"GLOB\"('*')",
                "SELECT \"WRITE_LOG\"('x')",
        };
        struct sql_fixture *fx = sql_fixture_new();
        for (size_t i = 0; i < LEAT_ARRAY_LEN(attempts); i++) {
                if (try(fx, attempts[i]) == 0)
                        leat_test_fail(__FILE__, __LINE__, "passed: %s", attempts[i]);
        }
        CHECK_OK(try(fx, "SELECT current_setting('server_version')"), &fx->err);
        CHECK_OK(try(fx, "SELECT * FROM range(5), unnest([1, 2]), generate_series(1, 3), json_each('{}')"), &fx->err);
        CHECK_OK(try(fx, "SELECT random(), gen_random_uuid(), now(), current_date FROM scans"), &fx->err);
        sql_fixture_free(fx);
}

/* Every function of the engine, asked one by one: table functions and side effects only from the lists. */
LEAT_TEST(every_function_of_the_engine)
{
        struct sql_fixture *fx = sql_fixture_new();
        struct leat_engine *engine;
        struct leat_conn *conn;
        struct leat_plan *plan;
        struct leat_result *result;
        const struct leat_batch *batch;
        uint32_t tables = 0, scalars = 0;
        CHECK_OK(leat_engine_open(NULL, &engine, &fx->err), &fx->err);
        CHECK_OK(leat_conn_open(engine, NULL, NULL, &conn, &fx->err), &fx->err);
        CHECK_OK(leat_plan_prepare(
                         conn,
                         "SELECT DISTINCT function_name, function_type IN ('table', 'table_macro', 'pragma') FROM "
                         "duckdb_functions() WHERE (function_type IN ('table', 'table_macro', 'pragma') OR stability = "
                         "'VOLATILE') AND regexp_full_match(function_name, '[a-z_0-9]+') AND function_name NOT IN "
                         "('unnest', "
                         "'range', 'generate_series', 'repeat', 'json_each', 'json_tree', 'random', 'uuid', 'uuidv4', "
                         "'uuidv7', 'gen_random_uuid', 'error', 'pg_timezone_names')",
                         &plan, &fx->err),
                 &fx->err);
        CHECK_OK(leat_plan_run(plan, false, &result, &fx->err), &fx->err);
        for (;;) {
                CHECK_OK(leat_result_next(result, &batch, &fx->err), &fx->err);
                if (batch == NULL)
                        break;
                for (uint32_t i = 0; i < batch->rows; i++) {
                        struct leat_view name =
                                leat_string_view((const struct leat_string *)batch->columns[0].data + i);
                        bool table = ((const bool *)batch->columns[1].data)[i];
                        char sql[300];
                        snprintf(sql, sizeof sql, table ? "SELECT * FROM %.*s('x')" : "SELECT %.*s('x')", (int)name.len,
                                 name.data);
                        int rc = try(fx, sql);
                        if (rc != LEAT_EDENIED && rc != LEAT_ESYNTAX)
                                leat_test_fail(__FILE__, __LINE__, "%s: %s", sql, fx->err.message);
                        tables += table;
                        scalars += !table;
                }
        }
        CHECK(tables > 100 && scalars > 5);
        leat_result_free(result);
        leat_plan_free(plan);
        leat_conn_close(conn);
        leat_engine_close(engine);
        sql_fixture_free(fx);
}
