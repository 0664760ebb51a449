/* SPDX-License-Identifier: Apache-2.0 */
/* leat/stream: plans become graphs, what is not supported is refused at its place, graphs survive as bytes. */
#include <stdio.h>

#include "leat/engine.h"
#include "leat/test.h"
#include "stream_test.h"

static void golden(struct stream_fixture *fx, const char *sql, const char *want)
{
        struct leat_stream_graph *graph;
        struct leat_error err = {0};
        struct leat_buf text = LEAT_BUF_INIT;
        CHECK_OK(stream_fixture_compile(fx, sql, NULL, &graph, &err), &err);
        struct leat_stream_explain_row *rows;
        uint32_t count;
        leat_stream_explain(graph, fx->arena, &rows, &count);
        for (uint32_t i = 0; i < count; i++)
                leat_buf_printf(&text, "%*s%s [%s] {%s}\n", (int)rows[i].depth, "", rows[i].op, rows[i].detail,
                                rows[i].properties);
        if (getenv("LEAT_STREAM_PRINT") != NULL)
                fprintf(stderr, "== %s\n%s\n", sql, leat_buf_cstr(&text));
        if (want != NULL && strstr(leat_buf_cstr(&text), want) == NULL)
                leat_test_fail(__FILE__, __LINE__, "no \"%s\" in\n%s", want, leat_buf_cstr(&text));
        /* bytes and back */
        struct leat_buf a = LEAT_BUF_INIT, b = LEAT_BUF_INIT;
        struct leat_stream_graph *again;
        leat_stream_graph_encode(graph, &a);
        stream_corpus_add("graph", leat_buf_view(&a));
        CHECK_OK(leat_stream_graph_decode(fx->arena, leat_buf_view(&a), &again, &err), &err);
        leat_stream_graph_encode(again, &b);
        CHECK(leat_view_eq(leat_buf_view(&a), leat_buf_view(&b)));
        leat_buf_done(&text);
        leat_buf_done(&a);
        leat_buf_done(&b);
}

static void refused(struct stream_fixture *fx, const char *sql, const char *at, const char *want)
{
        struct leat_stream_graph *graph;
        struct leat_error err = {0};
        int rc = stream_fixture_compile(fx, sql, NULL, &graph, &err);
        if (rc == 0)
                leat_test_fail(__FILE__, __LINE__, "accepted: %s", sql);
        if (strstr(err.message, want) == NULL || err.hint[0] == 0)
                leat_test_fail(__FILE__, __LINE__, "%s: \"%s\" hint \"%s\"", sql, err.message, err.hint);
        if (at != NULL && (err.position == 0 || strncmp(sql + err.position - 1, at, strlen(at)) != 0))
                leat_test_fail(__FILE__, __LINE__, "%s: position %d, message %s", sql, err.position, err.message);
}

/* WITH is its definition, wherever it is named. */
LEAT_TEST(compile_with)
{
        struct stream_fixture *fx = stream_fixture_new();
        golden(fx,
               "WITH q AS (SELECT site, weight FROM scans WHERE weight > 3), r AS (SELECT site AS k FROM q UNION ALL "
               "SELECT "
               "'all' FROM q) SELECT k, count(*) FROM r GROUP BY k",
               "topic [scans (weight, site)]");
        golden(fx, "WITH q(k, n) AS MATERIALIZED (SELECT site, count(*) FROM scans GROUP BY site) SELECT max(n) FROM q",
               "topic [scans (site)]");
        refused(fx,
                "WITH RECURSIVE q AS (SELECT weight AS n FROM scans UNION ALL SELECT n + 1 FROM q) SELECT max(n) FROM "
                "q",
                NULL, "recursive CTE");
        stream_fixture_free(fx);
}

/* A row without time has no window, which GROUP BY over the window knows by itself: no filter is left. */
LEAT_TEST(compile_time_check)
{
        struct stream_fixture *fx = stream_fixture_new();
        struct leat_stream_graph *graph;
        struct leat_error err = {0};
        static const char with[] =
                "(SELECT *, leat_window_start(ts, INTERVAL '10 seconds') AS window_start FROM scans WHERE ts "
                "IS NOT NULL)";
        for (int grouped = 0; grouped < 2; grouped++) {
                bool filtered = false;
                char sql[300];
                snprintf(sql, sizeof sql, "SELECT %s, count(*) AS n FROM %s WHERE site <> 'a' GROUP BY 1",
                         grouped ? "window_start" : "site", with);
                CHECK_OK(stream_fixture_compile(fx, sql, NULL, &graph, &err), &err);
                for (uint32_t i = 0; i < graph->node_count; i++)
                        filtered |=
                                graph->nodes[i].where != NULL && strstr(graph->nodes[i].where, "IS NOT NULL") != NULL;
                CHECK_INT(filtered, !grouped);
        }
        stream_fixture_free(fx);
}

LEAT_TEST(compile_shapes)
{
        struct stream_fixture *fx = stream_fixture_new();
        golden(fx, "SELECT site, count(*) AS n FROM scans GROUP BY site", "topic [scans (site)]");
        golden(fx,
               "SELECT site, window_start, count(*) FROM (SELECT *, leat_window_start(ts, INTERVAL '10 seconds') AS "
               "window_start FROM scans) WHERE weight > 3 GROUP BY site, window_start",
               "window start of 10 s");
        golden(fx,
               "SELECT site, sum(weight) FILTER (WHERE price > 2), avg(price), stddev(f) + 1 FROM scans GROUP BY site "
               "HAVING count(*) > 2",
               NULL);
        golden(fx,
               "SELECT site, window_start, count(*), max(weight) FROM (SELECT site, weight, unnest(leat_hop_starts(ts, "
               "INTERVAL '5 seconds', INTERVAL '20 seconds')) AS window_start FROM scans) GROUP BY ALL",
               "by panes of 5 s");
        golden(fx, "SELECT site, count(DISTINCT package_id) FROM scans GROUP BY site", "distinct");
        golden(fx, "SELECT count(*) FROM (SELECT DISTINCT site FROM scans)", "distinct");
        golden(fx, "SELECT max(n) FROM (SELECT site, count(*) AS n FROM scans GROUP BY site)", "last of ordered c0");
        golden(fx,
               "SELECT t.region, count(*) FROM scans s JOIN stations t ON s.site = t.id WHERE t.name <> 'x' GROUP BY 1",
               "lookup join [stations (name, region) KEY c0]");
        golden(fx, "SELECT t.region, count(*) FROM stations t JOIN scans s ON s.site = t.id GROUP BY 1", "lookup join");
        golden(fx,
               "SELECT upper(t.region), count(*) FROM scans s LEFT JOIN stations t ON s.site = t.id AND s.weight > 5 "
               "AND "
               "t.region <> 'q' GROUP BY 1",
               "CASE WHEN");
        golden(fx,
               "SELECT site, count(*) FROM (SELECT site FROM scans UNION ALL SELECT package_id FROM scans WHERE weight "
               "> "
               "7) GROUP BY site",
               "union all");
        stream_fixture_free(fx);
}

LEAT_TEST(compile_refusals)
{
        struct stream_fixture *fx = stream_fixture_new();
        refused(fx, "SELECT site, median(weight) FROM scans GROUP BY site", NULL, "aggregate");
        refused(fx, "SELECT site FROM scans ORDER BY site", NULL, "ORDER BY");
        refused(fx, "SELECT site FROM scans LIMIT 3", NULL, "LIMIT");
        refused(fx, "SELECT site, row_number() OVER (PARTITION BY site) FROM scans", NULL, "window function");
        refused(fx, "SELECT site, random() FROM scans", "random", "random");
        refused(fx, "SELECT site, count(*) FROM scans GROUP BY ROLLUP(site)", NULL, "GROUPING SETS");
        refused(fx, "SELECT site FROM scans", NULL, "for ever");
        refused(fx, "SELECT a.site FROM scans a, stations b", NULL, "cross join");
        refused(fx, "SELECT a.site FROM scans a JOIN scans b ON a.site = b.site", NULL,
                "only joins with a PRIMARY KEY");
        refused(fx, "SELECT t.name FROM scans s JOIN stations t ON s.site = t.name", NULL, "key column \"id\"");
        refused(fx, "SELECT DISTINCT ON (site) site, weight FROM scans", NULL, "DISTINCT ON");
        refused(fx, "SELECT site FROM scans WHERE site IN (SELECT id FROM stations)", NULL, "MARK join");
        refused(fx, "SELECT list_transform([weight], x -> x + 1), count(*) FROM scans GROUP BY 1", NULL, "lambda");
        refused(fx, "SELECT leat_window_start(ts, INTERVAL '1 month'), count(*) FROM scans GROUP BY 1", "'1 month'",
                "constant");
        refused(fx, "SELECT site, [weight] AS l, count(*) FROM scans GROUP BY ALL", NULL, "LIST");
        stream_fixture_free(fx);
}

LEAT_TEST(compile_every_cut_and_flip)
{
        struct stream_fixture *fx = stream_fixture_new();
        struct leat_stream_graph *graph, *again;
        struct leat_error err = {0};
        struct leat_buf bytes = LEAT_BUF_INIT;
        CHECK_OK(stream_fixture_compile(fx, "SELECT site, count(DISTINCT package_id), avg(f) FROM scans GROUP BY site",
                                        NULL, &graph, &err),
                 &err);
        leat_stream_graph_encode(graph, &bytes);
        for (size_t i = 0; i < bytes.len; i++) {
                struct leat_arena *arena = leat_arena_new(0);
                CHECK(leat_stream_graph_decode(arena, leat_view_of(bytes.data, i), &again, &err) != 0);
                bytes.data[i] ^= 0x55; /* with a right checksum: the decoder itself has to hold */
                if (i >= 8)
                        leat_put_le32(bytes.data + 4, leat_crc32c(0, bytes.data + 8, bytes.len - 8));
                if (leat_stream_graph_decode(arena, leat_buf_view(&bytes), &again, &err) != 0)
                        CHECK(err.code == LEAT_ECORRUPT);
                bytes.data[i] ^= 0x55;
                leat_arena_free(arena);
        }
        leat_buf_done(&bytes);
        stream_fixture_free(fx);
}
