/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/stream: the invariant, in process. Random rows in random ticks through
 * running jobs; after each tick the view must equal its query as a batch over
 * all rows so far, without those that were late.
 */
#include "leat/test.h"
#include "stream_test_world.h"

static void check_one(const char *sql, const char *want, const struct leat_stream_options *options)
{
        for (int round = 0; round < leat_test_scale(); round++) {
                struct world *w = world_new(leat_test_seed() + (uint64_t)round);
                world_job_add(w, "v", sql, want, options);
                world_run(w, 30);
                world_free(w);
        }
}

LEAT_TEST(job_count)
{
        check_one("SELECT site, count(*) AS n FROM scans GROUP BY site", NULL, NULL);
        check_one("SELECT count(*) AS n, sum(weight) AS s, min(f) AS m FROM scans", NULL, NULL);
}
LEAT_TEST(job_all_aggregates)
{
        check_one("SELECT site, count(*) AS n, count(weight) AS c, count(*) FILTER (WHERE weight > 3) AS cf, "
                  "sum(weight) AS s, "
                  "sum(price) AS sp, min(weight) AS mi, max(site || package_id) AS ms, bool_and(weight > -4) AS ba, "
                  "bool_or(weight > 14) AS bo, "
                  "bit_and(weight) AS bi, bit_or(weight) AS bor, bit_xor(weight) AS bx, count_if(weight > 2) AS ci, "
                  "min(ts) AS mt, max(price) AS mp, arg_max(weight, ts) AS am, arg_min(package_id, f) AS an, "
                  "avg(weight) AS a, "
                  "avg(price) AS ap, avg(f) AS af, sum(f) AS sf, stddev(f) AS sd, var_pop(f) AS vp, stddev_pop(weight) "
                  "AS sdp, "
                  "variance(weight) AS va FROM scans GROUP BY site",
                  NULL, NULL);
}
LEAT_TEST(job_count_if)
{
        /* nothing to look at: NULL, as in batch */
        check_one("SELECT site, count_if(weight > 3) FILTER (WHERE weight > 13 AND price < 20) AS f, "
                  "count_if(nullif(weight, weight) > 1) AS n, count_if(weight > 100) AS z FROM scans GROUP BY site",
                  NULL, NULL);
        check_one("SELECT count_if(n > 3) AS f FROM (SELECT package_id, count(*) AS n FROM scans WHERE weight > 12 "
                  "GROUP BY 1 HAVING count(*) % 5 = 3)",
                  NULL, NULL);
}
LEAT_TEST(job_filter_having)
{
        check_one("SELECT upper(site) AS u, weight % 3 AS m, sum(weight) + 1 AS s FROM scans WHERE weight BETWEEN 1 "
                  "AND 12 AND site IN "
                  "('S1', 'S2', 'site-name-3-long', 'a', 'b', 'c', 'd', 'e', 'f') GROUP BY 1, 2 HAVING count(*) > 3",
                  NULL, NULL);
}
LEAT_TEST(job_utc_arithmetic)
{
        check_one("SELECT ts - kafka_timestamp > INTERVAL '1 second' AS a, date_trunc('minute', ts) AS m, max(ts + "
                  "INTERVAL '1 month 3 days') AS x, "
                  "count(kafka_timestamp - ts) AS y, max(CAST(ts - kafka_timestamp AS TEXT)) AS z, max(ts - INTERVAL "
                  "'90 minutes') AS w FROM scans GROUP BY 1, 2",
                  NULL, NULL);
}
LEAT_TEST(job_tumble)
{
        check_one("SELECT site, window_start, window_end, count(*) AS n, max(weight) AS m FROM " TUMBLE " GROUP BY ALL",
                  NULL, NULL);
}
LEAT_TEST(job_hop)
{
        check_one("SELECT site, window_start, window_end, count(*) AS n, max(weight) AS m, avg(f) AS a, stddev(f) AS "
                  "sd FROM " HOP("5", "20") " GROUP BY ALL",
                  NULL, NULL);
        check_one("SELECT window_start, count(*) AS n, sum(weight) AS m FROM " HOP("4", "10") " GROUP BY ALL", NULL,
                  NULL);
        check_one("SELECT window_start, count(DISTINCT package_id) AS n, sum(weight) AS m FROM " HOP(
                          "4", "10") " GROUP BY ALL",
                  NULL, NULL);
}
LEAT_TEST(job_distinct)
{
        check_one("SELECT DISTINCT site, weight FROM scans", NULL, NULL);
        check_one("SELECT site, count(DISTINCT package_id) AS n, count(*) AS c, sum(DISTINCT weight) AS s, "
                  "count(DISTINCT weight) FILTER "
                  "(WHERE price > 50) AS f FROM scans GROUP BY site",
                  NULL, NULL);
        check_one("SELECT site FROM scans UNION SELECT package_id FROM scans WHERE weight > 3", NULL, NULL);
}
LEAT_TEST(job_updating)
{
        check_one("SELECT n % 7 AS k, count(*) AS c, max(n) AS m, min(n) AS mi, avg(n) AS a, sum(n) AS s, "
                  "count(DISTINCT site) AS d, stddev(s) AS sd, "
                  "bool_and(n > 5) AS b, sum(d) AS sd2 FROM (SELECT site, weight, count(*) AS n, sum(weight) AS s, "
                  "sum(f) AS d FROM scans GROUP BY site, weight) GROUP BY 1",
                  NULL, NULL);
        check_one("SELECT count(*) AS c, max(n) AS m FROM (SELECT site, count(*) AS n FROM scans GROUP BY site)", NULL,
                  NULL);
        check_one("SELECT n FROM (SELECT site, count(*) AS n FROM scans GROUP BY site) UNION ALL SELECT weight FROM "
                  "(SELECT weight, count(*) AS c FROM scans GROUP BY weight HAVING count(*) % 2 = 0)",
                  NULL, NULL);
}
/* Large values come and go, and leave nothing of their rounding behind. */
LEAT_TEST(job_variance_of_rows_that_change)
{
        check_one(
                "SELECT var_samp(v) AS a, stddev_pop(v) AS b, variance(v) FILTER (WHERE v < 1000) AS c, stddev(v * 3) "
                "AS d "
                "FROM (SELECT package_id, CASE WHEN count(*) % 7 = 3 THEN 2000000000 ELSE count(*) END AS v FROM scans "
                "GROUP BY 1)",
                NULL, NULL);
        check_one("SELECT k % 2 AS k, min(v) AS mi, max(v) AS ma, count(v) AS n, var_pop(v) AS a, stddev(v) AS b FROM "
                  "(SELECT weight AS k, sum(weight) * CASE WHEN "
                  "count(*) % 5 = 2 THEN 900000000000 ELSE 1 END AS v FROM scans GROUP BY 1) GROUP BY 1",
                  NULL, NULL);
}
LEAT_TEST(job_lookup)
{
        check_one("SELECT t.region, t.name, count(*) AS n FROM scans s JOIN stations t ON s.site = t.id WHERE t.name "
                  "<> 'x' GROUP BY ALL",
                  NULL, NULL);
        check_one("SELECT t.region, count(*) AS n, count(t.id) AS m FROM stations t JOIN scans s ON s.site = t.id AND "
                  "s.weight > 3 GROUP BY ALL",
                  NULL, NULL);
        check_one("SELECT upper(t.region) AS r, coalesce(t.name, 'none') AS nm, count(*) AS n FROM scans s LEFT JOIN "
                  "(SELECT id, region, name FROM stations WHERE name <> 'x') t ON s.site = t.id AND s.weight > 5 GROUP "
                  "BY ALL",
                  NULL, NULL);
        check_one("SELECT t.region, u.name, count(*) AS n FROM scans s LEFT JOIN stations t ON s.site = t.id LEFT JOIN "
                  "stations u ON t.id = u.id GROUP BY ALL",
                  NULL, NULL);
}
LEAT_TEST(job_with)
{
        check_one(
                "WITH q AS (SELECT site, weight FROM scans WHERE weight > 3), r AS (SELECT site AS k FROM q UNION ALL "
                "SELECT 'all' FROM q) SELECT k, count(*) AS n FROM r GROUP BY k",
                NULL, NULL);
}
LEAT_TEST(job_union)
{
        check_one("SELECT k, count(*) AS n FROM (SELECT site AS k, weight FROM scans UNION ALL SELECT package_id, 3 "
                  "FROM scans WHERE weight > 7) GROUP BY k",
                  NULL, NULL);
}
LEAT_TEST(job_late)
{
        struct leat_stream_options drop = {.late = LEAT_STREAM_LATE_DROP},
                                   grace = {.late = LEAT_STREAM_LATE_GRACE, .grace_us = 3000000};
        check_one("SELECT site, window_start, count(*) AS n, count(DISTINCT weight) AS d FROM " TUMBLE " GROUP BY ALL",
                  "SELECT site, window_start, count(*) AS n, count(DISTINCT weight) AS d FROM " TUMBLE
                  " WHERE window_end > w_at GROUP BY ALL",
                  &drop);
        check_one("SELECT window_end, count(*) AS n FROM " TUMBLE " GROUP BY ALL",
                  "SELECT window_end, count(*) AS n FROM " TUMBLE
                  " WHERE window_end + INTERVAL '3 seconds' > w_at GROUP BY ALL",
                  &grace);
        check_one("SELECT DISTINCT site, window_start FROM " TUMBLE,
                  "SELECT DISTINCT site, window_start FROM " TUMBLE " WHERE window_end > w_at", &drop);
        check_one(
                "SELECT site, window_start, count(*) AS n FROM " HOP("5", "20") " GROUP BY ALL",
                "SELECT site, window_start, count(*) AS n FROM " HOP("5", "20") " WHERE window_end > w_at GROUP BY ALL",
                &drop);
}

/* Half of the time the watermark stands still at the start of a window, or a microsecond before it. */
static void watermark_to_edge(struct world *w)
{
        const int64_t window_us = 10000000;
        int64_t edge_us = w->next_watermark_us / window_us * window_us - world_random(w, 2);
        if (world_random(w, 2) == 0 && w->next_watermark_us != INT64_MIN && edge_us > w->watermark_us)
                w->next_watermark_us = edge_us;
}

/* The oracle shows windows that the watermark has passed; @want has one %lld for it. */
static void check_closed(const char *sql, const char *want, const struct leat_stream_options *options)
{
        struct world *w = world_new(leat_test_seed());
        struct leat_error err = {0};
        world_job_add(w, "v", sql, NULL, options);
        for (int t = 0; t < 40; t++) {
                struct leat_batch *rows = world_rows(w, world_random(w, 5) == 0 ? 0 : world_random(w, 200));
                watermark_to_edge(w);
                world_tick(w, rows);
                struct leat_buf create = LEAT_BUF_INIT;
                leat_buf_add_str(&create, "CREATE OR REPLACE VIEW v AS ");
                leat_buf_printf(&create, want, (long long)(w->watermark_us == INT64_MIN ? 0 : w->watermark_us));
                CHECK_OK(leat_conn_exec(w->conn, leat_buf_cstr(&create), &err), &err);
                leat_buf_done(&create);
                world_check(w, 0);
        }
        world_free(w);
}

LEAT_TEST(job_closed)
{
        struct leat_stream_options close = {.emit = LEAT_STREAM_ON_CLOSE};
        struct leat_stream_options again = {.emit = LEAT_STREAM_ON_CLOSE, .late = LEAT_STREAM_LATE_REEMIT};
        check_closed("SELECT site, window_start, count(*) AS n FROM " TUMBLE " GROUP BY ALL",
                     "SELECT site, window_start, count(*) AS n FROM " TUMBLE
                     " WHERE window_end > w_at AND window_end <= make_timestamptz(%lld) GROUP BY ALL",
                     &close);
        check_closed(
                "SELECT window_end, count(DISTINCT site) AS n FROM " TUMBLE " GROUP BY ALL HAVING count(*) > 3",
                "SELECT window_end, count(DISTINCT site) AS n FROM " TUMBLE
                " WHERE window_end > w_at AND window_end <= make_timestamptz(%lld) GROUP BY ALL HAVING count(*) > 3",
                &close);
        check_closed("SELECT DISTINCT site, window_start FROM " TUMBLE,
                     "SELECT DISTINCT site, window_start FROM " TUMBLE
                     " WHERE window_end > w_at AND window_end <= make_timestamptz(%lld)",
                     &close);
        check_closed("SELECT site, window_start, count(*) AS n FROM " HOP("3", "9") " GROUP BY ALL",
                     "SELECT site, window_start, count(*) AS n FROM " HOP(
                             "3", "9") " WHERE window_end > w_at AND window_end <= make_timestamptz(%lld) GROUP BY ALL",
                     &close);
        check_closed("SELECT site, window_start, count(*) AS n FROM " TUMBLE " GROUP BY ALL",
                     "SELECT site, window_start, count(*) AS n FROM " TUMBLE
                     " WHERE window_end <= make_timestamptz(%lld) GROUP BY ALL",
                     &again);
}

LEAT_TEST(job_retention)
{
        struct leat_stream_options keep = {.retention_us = 20000000};
        check_closed(
                "SELECT site, window_start, count(*) AS n FROM " TUMBLE " GROUP BY ALL",
                "SELECT site, window_start, count(*) AS n FROM " TUMBLE
                " WHERE window_start >= leat_window_start(w_at - INTERVAL '20 seconds', INTERVAL '10 seconds') AND "
                "window_start >= "
                "leat_window_start(make_timestamptz(%lld) - INTERVAL '20 seconds', INTERVAL '10 seconds') GROUP BY ALL",
                &keep);
        check_closed(
                "SELECT DISTINCT site, window_start FROM " TUMBLE,
                "SELECT DISTINCT site, window_start FROM " TUMBLE
                " WHERE window_start >= leat_window_start(w_at - INTERVAL '20 seconds', INTERVAL '10 seconds') AND "
                "window_start >= "
                "leat_window_start(make_timestamptz(%lld) - INTERVAL '20 seconds', INTERVAL '10 seconds')",
                &keep);
        check_closed("SELECT site, weight, ts FROM scans WHERE weight > 3",
                     "SELECT site, weight, ts FROM scans WHERE weight > 3 AND ts >= leat_window_start(w_at - INTERVAL "
                     "'20 seconds', INTERVAL '1 second') AND ts >= "
                     "leat_window_start(make_timestamptz(%lld) - INTERVAL '20 seconds', INTERVAL '1 second')",
                     &keep);
}

LEAT_TEST(job_views_on_views)
{
        struct world *w = world_new(leat_test_seed());
        world_job_add(w, "a", "SELECT site, window_start, count(*) AS n, max(weight) AS m FROM " TUMBLE " GROUP BY ALL",
                      NULL, NULL);
        world_job_add(w, "b", "SELECT site, sum(n) AS s, max(m) AS mm FROM a WHERE n > 2 GROUP BY site", NULL, NULL);
        world_job_add(w, "c", "SELECT count(*) AS c, max(s) AS x FROM b", NULL, NULL);
        world_job_add(w, "d", "SELECT window_start, sum(n) AS s FROM a GROUP BY window_start", NULL, NULL);
        world_run(w, 30);
        world_free(w);
}

/* A view of rows that change may have a row several times; who reads it counts each. */
LEAT_TEST(job_views_on_repeated_rows)
{
        struct world *w = world_new(leat_test_seed());
        world_job_add(w, "a", "SELECT site, package_id, count(*) AS n FROM scans GROUP BY ALL", NULL, NULL);
        world_job_add(w, "b", "SELECT n % 3 AS k, n FROM a WHERE n > 2", NULL, NULL);
        world_job_add(
                w, "c",
                "SELECT k, count(*) AS c, count(n) FILTER (WHERE n > 4) AS f, sum(n) AS s, avg(n) AS a, stddev(n) AS "
                "d, "
                "bool_or(n > 5) AS o, max(n) AS m, count(DISTINCT n) AS e FROM b GROUP BY k",
                NULL, NULL);
        world_run(w, 30);
        world_free(w);
}
