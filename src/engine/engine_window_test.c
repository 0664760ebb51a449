/* SPDX-License-Identifier: Apache-2.0 */
/* leat/engine: leat_window_start, leat_hop_starts. */
#include "engine_int.h"
#include "leat/engine.h"
#include "leat/test.h"

static struct leat_engine *engine;
static struct leat_conn *conn;

static void open_engine(void)
{
        struct leat_error err;
        CHECK_OK(leat_engine_open(NULL, &engine, &err), &err);
        CHECK_OK(leat_conn_open(engine, NULL, NULL, &conn, &err), &err);
}

static void close_engine(void)
{
        leat_conn_close(conn);
        leat_engine_close(engine);
}

static void check(const char *expr, const char *want)
{
        struct leat_error err;
        struct leat_buf sql = LEAT_BUF_INIT, out = LEAT_BUF_INIT;
        leat_buf_printf(&sql, "SELECT (%s)::varchar", expr);
        int rc = leat_conn_text(conn, leat_buf_cstr(&sql), NULL, 0, &out, &err);
        if (rc == LEAT_ENOTFOUND)
                leat_buf_add_str(&out, "NULL");
        else if (rc != 0)
                leat_buf_printf(&out, "%s", err.message);
        if (strstr(leat_buf_cstr(&out), want) == NULL)
                leat_test_fail(__FILE__, __LINE__, "%s gives %s, not %s", expr, leat_buf_cstr(&out), want);
        leat_buf_done(&sql);
        leat_buf_done(&out);
}

LEAT_TEST(window_start_values)
{
        open_engine();
        check("leat_window_start(TIMESTAMP '2024-01-01 00:00:17.5', INTERVAL '10 seconds')", "2024-01-01 00:00:10");
        check("leat_window_start(TIMESTAMPTZ '2024-01-01 00:00:17.5+00', INTERVAL '10 seconds')",
              "2024-01-01 00:00:10+00");
        check("leat_window_start(TIMESTAMP '2024-01-01 00:00:20', INTERVAL '10 seconds')", "2024-01-01 00:00:20");
        check("leat_window_start(TIMESTAMP '1969-12-31 23:59:59.999999', INTERVAL '10 seconds')",
              "1969-12-31 23:59:50");
        check("leat_window_start(TIMESTAMP '1969-12-31 23:59:50', INTERVAL '10 seconds')", "1969-12-31 23:59:50");
        check("leat_window_start(TIMESTAMP '2024-02-29 13:00:00', INTERVAL '1 day')", "2024-02-29 00:00:00");
        check("leat_window_start(TIMESTAMP '2024-02-29 13:00:00', INTERVAL '7 days')", "2024-02-29 00:00:00");
        check("leat_window_start(TIMESTAMP '2024-02-28 13:00:00', INTERVAL '7 days')", "2024-02-22 00:00:00");
        check("leat_window_start(TIMESTAMP '2024-01-01 00:00:17', INTERVAL '1 minute', INTERVAL '20 seconds')",
              "2023-12-31 23:59:20");
        check("leat_window_start(NULL::timestamp, INTERVAL '1 minute')", "NULL");
        check("leat_window_start(TIMESTAMP '2024-01-01', NULL::interval)", "NULL");
        check("leat_window_start('infinity'::timestamp, INTERVAL '1 minute')", "infinity");
        check("leat_window_start('-infinity'::timestamptz, INTERVAL '1 minute')", "-infinity");
        check("leat_window_start(TIMESTAMP '2024-01-01', INTERVAL '1 month')", "months or years");
        check("leat_window_start(TIMESTAMP '2024-01-01', INTERVAL '0 seconds')", "longer than 0");
        check("leat_window_start(TIMESTAMP '2024-01-01', INTERVAL '-1 second')", "longer than 0");
        /* The same as DuckDB's time_bucket with our origin, over many times in and out of order, NULLs between. */
        check("SELECT count(*) FROM (SELECT TIMESTAMP '1969-06-01' + to_microseconds((hash(i) % "
              "40000000000000)::bigint) AS t, "
              "INTERVAL '1 second' * (1 + i % 5) AS w FROM range(20000) r(i)) "
              "WHERE leat_window_start(t, w) IS DISTINCT FROM time_bucket(w, t, TIMESTAMP '1970-01-01')",
              "0");
        check("SELECT count(*) || '/' || count(w) FROM (SELECT leat_window_start(CASE WHEN i % 7 <> 0 THEN TIMESTAMP "
              "'2024-01-01' "
              "+ to_seconds(i) END, INTERVAL 10 SECOND) w FROM range(7000) r(i))",
              "7000/6000");
        close_engine();
}

LEAT_TEST(hop_starts_values)
{
        open_engine();
        check("leat_hop_starts(TIMESTAMP '2024-01-01 00:00:17', INTERVAL '5 seconds', INTERVAL '15 seconds')",
              "['2024-01-01 00:00:05', '2024-01-01 00:00:10', '2024-01-01 00:00:15']");
        check("leat_hop_starts(TIMESTAMP '2024-01-01 00:00:15', INTERVAL '5 seconds', INTERVAL '15 seconds')",
              "['2024-01-01 00:00:05', '2024-01-01 00:00:10', '2024-01-01 00:00:15']");
        /* A size that is no multiple of the slide; a slide longer than the size leaves gaps. */
        check("leat_hop_starts(TIMESTAMP '2024-01-01 00:00:03', INTERVAL '5 seconds', INTERVAL '7 seconds')",
              "['2024-01-01 00:00:00']");
        check("leat_hop_starts(TIMESTAMP '2024-01-01 00:00:01', INTERVAL '5 seconds', INTERVAL '7 seconds')",
              "['2023-12-31 23:59:55', '2024-01-01 00:00:00']");
        check("leat_hop_starts(TIMESTAMP '2024-01-01 00:00:04', INTERVAL '5 seconds', INTERVAL '2 seconds')", "[]");
        check("leat_hop_starts(TIMESTAMPTZ '1969-12-31 23:59:59+00', INTERVAL '5 seconds', INTERVAL '10 seconds')",
              "['1969-12-31 23:59:50+00', '1969-12-31 23:59:55+00']");
        check("leat_hop_starts(NULL::timestamp, INTERVAL '5 seconds', INTERVAL '10 seconds')", "NULL");
        check("leat_hop_starts('infinity'::timestamp, INTERVAL '5 seconds', INTERVAL '10 seconds')", "[infinity]");
        check("leat_hop_starts(TIMESTAMP '2024-01-01', INTERVAL '1 second', INTERVAL '1 month')", "months or years");
        check("leat_hop_starts(TIMESTAMP '2024-01-01', INTERVAL '1 microsecond', INTERVAL '1 day')", "10000 windows");
        check("SELECT count(*) || ' ' || count(DISTINCT w) FROM (SELECT unnest(leat_hop_starts(TIMESTAMP '2024-01-01' "
              "+ "
              "to_seconds(i), INTERVAL 5 SECOND, INTERVAL 15 SECOND)) w FROM range(10000) r(i))",
              "30000 2002");
        close_engine();
}
