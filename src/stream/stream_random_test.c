/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/stream: the invariant for queries made at random. A world gets some jobs,
 * over the topic, over aggregates and over each other, then random rows; after
 * each tick all views are compared with their queries as a batch. What the
 * compiler refuses is counted: more than a third is a failure.
 *
 * tests/stream/test_random.py does the same with a running server and an oracle
 * that is not ours; here it is a thousand times cheaper.
 */
#include <stdio.h>

#include "leat/test.h"
#include "stream_test_world.h"

/* A relation that queries read: the columns are w0 (whole numbers) and s0, s1 (texts) and, of topics, the rest. */
struct source {
        const char *from;
        bool append_only, timed, view;
};
struct maker {
        struct world *w;
        struct leat_arena *arena;
        struct source views[8];
        uint32_t view_count;
};

static const char *pick(struct maker *m, const char *const *list, uint32_t count)
{
        return list[world_random(m->w, count)];
}
#define PICK(m, ...) \
        pick(m, (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

/* A whole number out of every relation. */
static const char *number(struct maker *m, int depth)
{
        char text[400];
        const char *base = PICK(m, "w0", "w0", "length(s0)", "length(s1)", "coalesce(w0, 3)", "(w0 % 4)");
        if (depth == 0 || world_random(m->w, 3) == 0)
                return base;
        const char *other = number(m, depth - 1);
        switch (world_random(m->w, 5)) {
        case 0:
                snprintf(text, sizeof text, "(%s + %s)", base, other);
                break;
        case 1:
                snprintf(text, sizeof text, "CASE WHEN %s > 3 THEN %s ELSE 7 END", other, base);
                break;
        case 2:
                snprintf(text, sizeof text, "nullif(%s, %u)", base, world_random(m->w, 6));
                break;
        case 3:
                snprintf(text, sizeof text, "greatest(%s, %s)", base, other);
                break;
        default:
                snprintf(text, sizeof text, "(%s * 3 - %u)", base, world_random(m->w, 9));
        }
        return leat_arena_strdup(m->arena, text);
}

static const char *condition(struct maker *m)
{
        char text[500];
        switch (world_random(m->w, 6)) {
        case 0:
                return PICK(m, "w0 IS NULL", "s0 IS NOT NULL", "s1 IS DISTINCT FROM s0", "s0 LIKE '%1%'", "s1 > 'm'");
        case 1:
                snprintf(text, sizeof text, "(%s IN (1, 3, %u))", number(m, 1), world_random(m->w, 20));
                break;
        case 2:
                snprintf(text, sizeof text, "(%s OR %s)", condition(m), condition(m));
                break;
        case 3:
                snprintf(text, sizeof text, "NOT coalesce(%s > 2, s0 IS NULL)", number(m, 0));
                break;
        default:
                snprintf(text, sizeof text, "(%s > %u)", number(m, 1), world_random(m->w, 14));
        }
        return leat_arena_strdup(m->arena, text);
}

static const char *aggregate(struct maker *m, const struct source *from)
{
        char text[1200], filter[600] = "";
        const char *x = number(m, 1), *distinct = world_random(m->w, 4) == 0 ? "DISTINCT " : "";
        if (world_random(m->w, 4) == 0)
                snprintf(filter, sizeof filter, " FILTER (WHERE %s)", condition(m));
        switch (world_random(m->w, from->append_only && !from->view ? 9 : 7)) {
        case 0:
                snprintf(text, sizeof text, "count(*)%s", filter);
                break;
        case 1:
                snprintf(text, sizeof text, "count(%s%s)%s", distinct, PICK(m, "w0", "s0", "s1", x), filter);
                break;
        case 2:
                snprintf(text, sizeof text, "%s(%s%s)%s", PICK(m, "sum", "avg"), distinct, x, filter);
                break;
        case 3:
                snprintf(text, sizeof text, "%s(%s)%s", PICK(m, "min", "max"), PICK(m, "s0", "s1", "w0", x), filter);
                break;
        case 4:
                snprintf(text, sizeof text, "%s(%s)%s", PICK(m, "bool_and", "bool_or", "count_if"), condition(m),
                         filter);
                break;
        case 5:
                snprintf(text, sizeof text, "%s(%s)%s", PICK(m, "stddev", "stddev_pop", "var_samp", "var_pop"), x,
                         filter);
                break;
        case 6:
                snprintf(text, sizeof text, "sum(%s) + count(*)", x);
                break;
        case 7:
                snprintf(text, sizeof text, "%s(%s)%s", PICK(m, "bit_and", "bit_or", "bit_xor"), x, filter);
                break;
        default:
                snprintf(text, sizeof text, "%s%s",
                         PICK(m, "sum(price)", "max(price)", "avg(f)", "min(ts)", "sum(f)", "max(f)",
                              "count(DISTINCT price)", "stddev(f)"),
                         filter);
        }
        return leat_arena_strdup(m->arena, text);
}

/* What a query reads; scans have their columns under the names that all relations share as well. */
static struct source source(struct maker *m, bool windowed)
{
#define SCANS "SELECT *, weight AS w0, site AS s0, package_id AS s1 FROM "
        struct source from = {.append_only = true, .timed = windowed};
        if (windowed) {
                from.from = PICK(m, "(" SCANS TUMBLE ")", "(" SCANS HOP("5", "20") ")", "(" SCANS HOP("4", "10") ")",
                                 "(" SCANS HOP("3", "3") ")");
                return from;
        }
        if (m->view_count > 0 && world_random(m->w, 2) == 0) {
                from = m->views[world_random(m->w, m->view_count)];
                return from;
        }
        from.from = PICK(
                m, "(" SCANS "scans)", "(" SCANS "scans)",
                "(" SCANS "scans s JOIN (SELECT id, region FROM stations) t ON s.site = t.id)",
                "(" SCANS
                "scans s LEFT JOIN (SELECT id, region FROM stations WHERE name <> 'x') t ON s.site = t.id AND "
                "weight > 2)",
                "(SELECT weight AS w0, site AS s0, package_id AS s1 FROM scans UNION ALL SELECT 4, package_id, site "
                "FROM scans WHERE weight > 7)",
                "(SELECT n AS w0, site AS s0, site AS s1 FROM (SELECT site, count(*) AS n FROM scans GROUP BY site) "
                "UNION ALL SELECT weight, package_id, 'u' FROM scans WHERE weight % 5 = 2)",
                "(SELECT DISTINCT weight AS w0, site AS s0, 'd' AS s1 FROM scans)",
                "(SELECT max(weight) AS w0, site AS s0, package_id AS s1 FROM scans GROUP BY ALL HAVING count(*) % 3 "
                "<> 1)",
                "(SELECT count(*) AS w0, min(site) AS s0, window_start::TEXT AS s1 FROM " TUMBLE
                " GROUP BY window_start)");
        from.append_only = strstr(from.from, "GROUP BY") == NULL && strstr(from.from, "DISTINCT") == NULL;
        from.view = strstr(from.from, "UNION") != NULL || strstr(from.from, "DISTINCT") != NULL || !from.append_only;
        return from;
}

/* SELECT groups, aggregates; a view of it can be read by others: g0 w0, g1 s0, g2 s1. */
static const char *grouped(struct maker *m, const struct source *from, const char *also)
{
        struct leat_buf sql = LEAT_BUF_INIT;
        leat_buf_printf(&sql, "SELECT %s(%s) %% %u AS w0, %s AS s0, %s AS s1", from->timed ? "window_start, " : "",
                        number(m, 1), 2 + world_random(m->w, 6), PICK(m, "s0", "left(s1, 1)", "upper(s0)", "'k'"),
                        PICK(m, "s1", "right(s0, 2)", "coalesce(s1, 'none')", "'all'", "CAST(w0 % 2 AS TEXT)"));
        uint32_t groups = from->timed ? 4 : 3, count = world_random(m->w, 5);
        for (uint32_t i = 0; i < count; i++)
                leat_buf_printf(&sql, ", %s AS a%u", aggregate(m, from), i);
        leat_buf_printf(&sql, " FROM %s", from->from);
        if (world_random(m->w, 2) == 0 || also != NULL)
                leat_buf_printf(&sql, " WHERE %s%s%s", also != NULL ? also : "", also != NULL ? " AND " : "",
                                condition(m));
        leat_buf_add_str(&sql, " GROUP BY 1");
        for (uint32_t i = 2; i <= groups; i++)
                leat_buf_printf(&sql, ", %u", i);
        if (world_random(m->w, 5) == 0)
                leat_buf_add_str(&sql, PICK(m, " HAVING count(*) > 2", " HAVING count(*) % 2 = 0",
                                            " HAVING max(s0) IS NOT NULL"));
        const char *text = leat_arena_strdup(m->arena, leat_buf_cstr(&sql));
        leat_buf_done(&sql);
        return text;
}

static const char *query_make(struct maker *m, const struct source *from)
{
        char text[1600];
        switch (world_random(m->w, from->timed ? 2 : 6)) {
        case 0: { /* without GROUP BY, or DISTINCT */
                if (!from->timed && world_random(m->w, 2) == 0) {
                        snprintf(text, sizeof text, "SELECT 0 AS w0, 'x' AS s0, 'y' AS s1, %s AS a, %s AS b FROM %s",
                                 aggregate(m, from), aggregate(m, from), from->from);
                        break;
                }
                snprintf(text, sizeof text, "SELECT DISTINCT %s%s AS w0, s0, left(s1, 1) AS s1 FROM %s WHERE %s",
                         from->timed ? "window_start, " : "", number(m, 1), from->from, condition(m));
                break;
        }
        case 1:
                if (from->append_only)
                        return grouped(m, from, NULL);
                snprintf(text, sizeof text, "SELECT %s AS w0, s0, s1 FROM %s WHERE %s", number(m, 1), from->from,
                         condition(m));
                break;
        default:
                return grouped(m, from, NULL);
        }
        return leat_arena_strdup(m->arena, text);
}

LEAT_TEST(random_queries)
{
        static const char *const names[] = {"window_start", "w0", "s0", "s1"};
        uint32_t asked = 0, refused = 0;
        for (int round = 0; round < 6 * leat_test_scale(); round++) {
                uint64_t seed = leat_test_seed() + (uint64_t)round;
                struct maker m = {.w = world_new(seed), .arena = leat_arena_new(0)};
                while (m.view_count < 6) {
                        struct source from = source(&m, world_random(m.w, 4) == 0);
                        const char *sql = query_make(&m, &from),
                                   *name = leat_arena_printf(m.arena, "v%u", m.view_count);
                        struct leat_stream_graph *graph;
                        struct leat_error err = {0};
                        asked++;
                        if (stream_fixture_compile(m.w->fx, sql, NULL, &graph, &err) != 0) {
                                if (err.code != LEAT_EUNSUPPORTED || err.hint[0] == 0)
                                        leat_test_fail(__FILE__, __LINE__, "seed %llu: %s\n%s",
                                                       (unsigned long long)seed, sql, err.message);
                                refused++;
                                continue;
                        }
                        struct leat_stream_options options = {.names = from.timed ? names : names + 1,
                                                              .column_count = 3 + from.timed};
                        world_job_add(m.w, name, sql, NULL, &options);
                        m.views[m.view_count++] = (struct source){.from = name, .view = true};
                }
                world_run(m.w, 12);
                world_free(m.w);
                leat_arena_free(m.arena);
        }
        CHECK(refused * 3 <= asked);
}

/* Late rows dropped, with grace; windows that close. @want is the same query over the rows that count. */
LEAT_TEST(random_late)
{
        for (int round = 0; round < 4 * leat_test_scale(); round++) {
                struct maker m = {.w = world_new(leat_test_seed() + (uint64_t)round), .arena = leat_arena_new(0)};
                while (m.view_count < 4) {
                        struct source from = source(&m, true);
                        int64_t grace = world_random(m.w, 3) * 2;
                        struct leat_stream_options options = {.late = grace > 0 ? LEAT_STREAM_LATE_GRACE
                                                                                : LEAT_STREAM_LATE_DROP,
                                                              .grace_us = grace * 1000000};
                        const char *keep =
                                leat_arena_printf(m.arena, "window_end + INTERVAL '%d seconds' > w_at", (int)grace);
                        uint64_t before = m.w->random;
                        const char *sql = grouped(&m, &from, "true");
                        m.w->random = before; /* the same query once more */
                        const char *want = grouped(&m, &from, keep);
                        const char *name = leat_arena_printf(m.arena, "v%u", m.view_count++);
                        world_job_add(m.w, name, sql, want, &options);
                }
                world_run(m.w, 15);
                world_free(m.w);
                leat_arena_free(m.arena);
        }
}
