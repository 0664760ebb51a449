/* SPDX-License-Identifier: Apache-2.0 */
/* leat/sql: batch queries: rewriting, scans, parameters, errors at their place. */
#include <pthread.h>
#include <stdio.h>

#include "leat/test.h"
#include "sql_test_util.h"

static struct leat_sql_query query(struct sql_fixture *fx, const char *sql)
{
        struct leat_sql_query q;
        struct leat_span span = {.start = 0, .len = (uint32_t)strlen(sql)};
        int rc = leat_sql_select(fx->env, fx->arena, leat_view_str(sql), span, NULL, 0, &q, &fx->err);
        if (rc != 0)
                leat_test_fail(__FILE__, __LINE__, "%s: %s at %d (%s)", sql, fx->err.message, fx->err.position,
                               fx->err.hint);
        return q;
}

static void columns(struct sql_fixture *fx, const char *sql, const char *want)
{
        struct leat_sql_query q = query(fx, sql);
        struct leat_buf out = LEAT_BUF_INIT;
        for (uint32_t i = 0; i < q.column_count; i++)
                leat_buf_printf(&out, "%s%s", i != 0 ? " " : "", q.column_names[i]);
        if (strcmp(leat_buf_cstr(&out), want) != 0)
                leat_test_fail(__FILE__, __LINE__, "%s: columns %s, not %s\n%s", sql, (char *)out.data, want, q.sql);
        leat_buf_done(&out);
}

static void becomes(struct sql_fixture *fx, const char *sql, const char *want)
{
        struct leat_sql_query q = query(fx, sql);
        if (strcmp(q.sql, want) != 0)
                leat_test_fail(__FILE__, __LINE__, "%s\n  gives   %s\n  not     %s", sql, q.sql, want);
}

static void refuse(struct sql_fixture *fx, int code, const char *marked, const char *message)
{
        struct leat_sql_query q;
        size_t at;
        const char *sql = sql_unmark(fx, marked, &at);
        struct leat_span span = {.start = 0, .len = (uint32_t)strlen(sql)};
        memset(&fx->err, 0, sizeof fx->err);
        int rc = leat_sql_select(fx->env, fx->arena, leat_view_str(sql), span, NULL, 0, &q, &fx->err);
        if (rc != code || strstr(fx->err.message, message) == NULL)
                leat_test_fail(__FILE__, __LINE__, "%s: %s \"%s\", not %s \"%s\"", sql, leat_code_name(rc),
                               fx->err.message, leat_code_name(code), message);
        if (fx->err.position != leat_sql_position(leat_view_str(sql), at))
                leat_test_fail(__FILE__, __LINE__, "%s: position %d, not %d (%s)", sql, fx->err.position,
                               leat_sql_position(leat_view_str(sql), at), fx->err.message);
}

LEAT_TEST(relations_become_scans)
{
        struct sql_fixture *fx = sql_fixture_new();
        becomes(fx, "SELECT site FROM scans", "SELECT site FROM leat_scan('t1|scans|0|0|') AS scans");
        becomes(fx, "SELECT s.site FROM public.scans s", "SELECT s.site FROM leat_scan('t1|scans|0|0|')  s");
        becomes(fx, "SELECT value FROM clicks", "SELECT value FROM leat_scan('u0|clicks|0|0|') AS clicks");
        becomes(fx, "SELECT reason FROM \"scans$quarantine\"",
                "SELECT reason FROM leat_scan('q1|scans|0|0|') AS \"scans$quarantine\"");
        becomes(fx, "SELECT scans FROM inflow", "SELECT scans FROM leat_scan('v4|inflow|0|0|') AS inflow");
        becomes(fx, "WITH scans AS (SELECT 1 AS a) SELECT a FROM scans",
                "WITH scans AS (SELECT 1 AS a) SELECT a FROM scans");
        columns(fx, "SELECT * FROM scans JOIN sites USING (site)", "package_id site weight_g event_time name region");
        columns(fx, "SELECT kg FROM heavy WHERE package IS NOT NULL", "kg");
        columns(fx, "SELECT h.* FROM heavy h, heavy", "package kg");
        columns(fx, "TABLE sites", "site name region");
        columns(fx, "SELECT count(*) AS n FROM (SELECT 1 FROM scans WHERE site IN (SELECT site FROM sites)) x", "n");
        columns(fx, "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 3) SELECT * FROM t", "n");
        columns(fx, "SELECT * FROM clicks", "value");
        columns(fx, "SELECT * FROM \"scans$quarantine\"",
                "partition offset key value column reason timestamp replayed");
        struct leat_sql_query q = query(fx, "SELECT 1 FROM heavy h JOIN sites ON true");
        CHECK_INT(q.used_count, 3);
        CHECK_INT(q.used[0].at.start, 14);
        CHECK_INT(q.used[1].at.len, 0);
        CHECK_STR(q.used[2].name, "sites");
        sql_fixture_free(fx);
}

LEAT_TEST(pseudo_columns_hide_from_stars)
{
        struct sql_fixture *fx = sql_fixture_new();
        columns(fx, "SELECT * FROM scans WHERE kafka_offset > 5", "package_id site weight_g event_time");
        columns(fx, "SELECT *, kafka_offset, s.kafka_partition FROM scans s",
                "package_id site weight_g event_time kafka_offset kafka_partition");
        columns(fx, "SELECT s.* FROM scans s, sites t WHERE s.kafka_offset = 1 AND t.kafka_offset = 1",
                "package_id site weight_g event_time");
        columns(fx, "SELECT * FROM (SELECT kafka_offset, site FROM scans) x", "kafka_offset site");
        columns(fx, "SELECT * EXCLUDE (site) FROM scans WHERE kafka_key IS NULL", "package_id weight_g event_time");
        columns(fx, "SELECT * EXCLUDE site FROM scans WHERE kafka_key IS NULL", "package_id weight_g event_time");
        columns(fx, "FROM sites WHERE kafka_offset > 1", "site name region");
        columns(fx, "SELECT kafka_value, value FROM raw", "kafka_value value");
        columns(fx, "SELECT kafka_headers[1].key AS k FROM scans", "k");
        columns(fx, "SELECT kafka_value FROM clicks", "kafka_value");
        columns(fx, "SELECT COLUMNS(*) FROM sites WHERE kafka_offset > 1", "site name region");
        refuse(fx, LEAT_ENOCOLUMN, "SELECT ^kafka_value FROM scans", "kafka_value");
        sql_fixture_free(fx);
}

LEAT_TEST(conditions_reach_the_scan)
{
        struct sql_fixture *fx = sql_fixture_new();
        struct leat_scan_key key;
        becomes(fx, "SELECT site FROM scans WHERE kafka_partition = 3 AND kafka_offset >= 100 AND 200 > kafka_offset",
                "SELECT site FROM leat_scan('t1|scans|3|0|4,1,0,3&5,5,0,100&5,2,0,200') AS scans WHERE kafka_partition "
                "= 3 AND "
                "kafka_offset >= 100 AND 200 > kafka_offset");
        becomes(fx, "SELECT name FROM sites WHERE site = 'a|b'",
                "SELECT name FROM leat_scan('t2|sites|0|1|0,1,0,a%7Cb') AS sites WHERE site = 'a|b'");
        becomes(fx, "SELECT name FROM sites s WHERE s.site = $1",
                "SELECT name FROM leat_scan('t2|sites|0|1|0,1,1,')  s WHERE s.site = $1");
        becomes(fx,
                "SELECT site FROM scans WHERE kafka_timestamp BETWEEN '2026-01-01' AND TIMESTAMPTZ '2026-01-02 "
                "10:00+01'",
                "SELECT site FROM leat_scan('t1|scans|4|0|4,5,0,2026-01-01T00:00:00Z&4,3,0,2026-01-02T09:00:00Z') AS "
                "scans WHERE "
                "kafka_timestamp BETWEEN '2026-01-01' AND TIMESTAMPTZ '2026-01-02 10:00+01'");
        /* No conditions that the scan could get wrong. */
        becomes(fx, "SELECT site FROM scans WHERE kafka_offset = 1 OR kafka_offset = 2",
                "SELECT site FROM leat_scan('t1|scans|2|0|') AS scans WHERE kafka_offset = 1 OR kafka_offset = 2");
        becomes(fx, "SELECT site FROM scans WHERE kafka_offset < 1.5",
                "SELECT site FROM leat_scan('t1|scans|2|0|') AS scans WHERE kafka_offset < 1.5");
        becomes(fx, "SELECT name FROM sites WHERE site > 'a'",
                "SELECT name FROM leat_scan('t2|sites|0|0|') AS sites WHERE site > 'a'");
        struct leat_sql_query q =
                query(fx, "SELECT scans FROM inflow WHERE site = 'S' AND window_start = '2026-01-01 00:00:00'");
        const char *start = strstr(q.sql, "leat_scan('") + 11;
        CHECK_OK(leat_sql_scan_key_parse(fx->arena, leat_arena_strndup(fx->arena, start, strcspn(start, "'")), &key,
                                         &fx->err),
                 &fx->err);
        CHECK(key.by_key && key.kind == LEAT_SCAN_VIEW && key.condition_count == 2 && key.object_id == 4);
        CHECK_STR(key.conditions[1].value, "2026-01-01T00:00:00Z");
        uint32_t count;
        const char **names;
        struct leat_type *types;
        CHECK_OK(leat_sql_scan_columns(q.catalog, &key, fx->arena, &count, &names, &types, &fx->err), &fx->err);
        CHECK_INT(count, 3);
        CHECK_STR(names[2], "scans");
        CHECK_INT(leat_sql_scan_key_parse(fx->arena, "t1|x|0|0|9", &key, &fx->err), LEAT_ENORELATION);
        CHECK_INT(leat_sql_scan_key_parse(fx->arena, "|", &key, &fx->err), LEAT_ENORELATION);
        sql_fixture_free(fx);
}

LEAT_TEST(windows)
{
        struct sql_fixture *fx = sql_fixture_new();
        columns(fx, "SELECT * FROM tumble(scans, event_time, INTERVAL '10 seconds')",
                "package_id site weight_g event_time window_start window_end");
        columns(fx,
                "SELECT scans.site, window_end FROM tumble(scans, event_time, INTERVAL 10 SECONDS) WHERE kafka_offset "
                "> 1",
                "site window_end");
        columns(fx, "SELECT * FROM tumble(scans, event_time, INTERVAL 10 SECONDS) t WHERE kafka_offset > 1",
                "package_id site weight_g event_time window_start window_end");
        columns(fx, "SELECT t.* FROM hop(scans, event_time, INTERVAL '5 seconds', INTERVAL '1 minute') AS t",
                "package_id site weight_g event_time window_start window_end");
        columns(fx, "SELECT * FROM tumble(inflow, window_start, INTERVAL '1 minute')",
                "site scans window_start window_end");
        columns(fx,
                "SELECT window_start FROM tumble((SELECT event_time AS t, 1 AS window_start FROM scans), t, INTERVAL "
                "'1 minute') x",
                "window_start");
        columns(fx, "WITH c AS (SELECT * FROM scans) SELECT window_end FROM tumble(c, event_time, INTERVAL '1 minute')",
                "window_end");
        /* Flink */
        columns(fx,
                "SELECT window_start, count(*) AS n FROM TABLE(TUMBLE(TABLE scans, DESCRIPTOR(event_time), INTERVAL "
                "'10' SECOND)) "
                "GROUP BY window_start, window_end",
                "window_start n");
        columns(fx,
                "SELECT window_start FROM TABLE(HOP(DATA => TABLE scans, TIMECOL => DESCRIPTOR(event_time), SLIDE => "
                "INTERVAL '5' "
                "SECOND, SIZE => INTERVAL '10' SECOND)) AS w",
                "window_start");
        /* ksqlDB */
        columns(fx,
                "SELECT site, WINDOWSTART, count(*) AS n FROM scans WINDOW TUMBLING (SIZE 10 SECONDS) GROUP BY site",
                "site window_start n");
        columns(fx, "SELECT s.site FROM scans s WINDOW HOPPING (SIZE 10 SECONDS, ADVANCE BY 5 SECONDS) GROUP BY s.site",
                "site");
        refuse(fx, LEAT_EUNSUPPORTED, "SELECT 1 FROM ^sites WINDOW TUMBLING (SIZE 10 SECONDS)", "WATERMARK");
        refuse(fx, LEAT_EUNSUPPORTED, "SELECT 1 FROM scans WINDOW ^SESSION (10 SECONDS)", "SESSION");
        refuse(fx, LEAT_EUNSUPPORTED, "SELECT 1 FROM ^session(scans, event_time, INTERVAL '1 minute')",
               "session windows");
        refuse(fx, LEAT_ENOFUNCTION, "SELECT 1 FROM ^tumble(scans, event_time)", "tumble takes");
        refuse(fx, LEAT_ENOCOLUMN, "SELECT 1 FROM tumble(scans, ^event_tim, INTERVAL '10 seconds')", "event_tim");
        refuse(fx, LEAT_ENORELATION, "SELECT 1 FROM tumble(^scnas, event_time, INTERVAL '10 seconds')", "scnas");
        refuse(fx, LEAT_EUNSUPPORTED, "SELECT 1 FROM tumble(scans, event_time, ^weight_g)", "constant");
        refuse(fx, LEAT_ENOCOLUMN,
               "SELECT ^nothing FROM TABLE(TUMBLE(TABLE scans, DESCRIPTOR(event_time), INTERVAL '10' SECOND))",
               "nothing");
        sql_fixture_free(fx);
}

LEAT_TEST(errors_have_their_place)
{
        struct sql_fixture *fx = sql_fixture_new();
        refuse(fx, LEAT_ENORELATION, "SELECT * FROM ^scnas", "relation \"scnas\" does not exist");
        CHECK_STR(fx->err.hint, "Did you mean \"scans\"?");
        refuse(fx, LEAT_ENORELATION, "SELECT 'ä', * FROM scans, ^lake.scans", "schema \"lake\"");
        refuse(fx, LEAT_ENOCOLUMN, "SELECT ^weigt_g FROM scans", "weigt_g");
        CHECK(strstr(fx->err.hint, "weight_g") != NULL);
        refuse(fx, LEAT_ENOCOLUMN, "SELECT package_id, kg, ^pakage FROM heavy, scans", "pakage");
        refuse(fx, LEAT_ESYNTAX, "SELECT 1 FRM ^scans", "syntax error");
        refuse(fx, LEAT_ESYNTAX, "SELECT 'ö', a::regclass, 1 FROM scans WHERE ^)", "syntax error");
        refuse(fx, LEAT_ENOFUNCTION, "SELECT 'ü', ^foo(site) FROM scans", "foo");
        refuse(fx, LEAT_ENOFUNCTION, "SELECT ^lower(1, 2) FROM scans", "lower");
        refuse(fx, LEAT_EINVAL, "SELECT ^x.site FROM scans", "x");
        refuse(fx, LEAT_EAMBIGUOUS, "SELECT ^site FROM scans, sites", "site");
        refuse(fx, LEAT_EINVAL, "SELECT ^site, count(*) FROM scans", "GROUP BY");
        refuse(fx, LEAT_EUNSUPPORTED, "^INSERT INTO scans VALUES (1)", "no query");
        refuse(fx, LEAT_ESYNTAX, "SELECT 1^; SELECT 2", "one query");
        sql_fixture_free(fx);
}

LEAT_TEST(hints_name_the_way_here)
{
        struct sql_fixture *fx = sql_fixture_new();
        refuse(fx, LEAT_ENOFUNCTION, "SELECT ^to_char(event_time, 'YYYY') FROM scans", "to_char does not exist");
        CHECK(strstr(fx->err.hint, "strftime(") != NULL);
        refuse(fx, LEAT_ENOFUNCTION, "SELECT ^to_timestamp('a', 'b') FROM scans", "to_timestamp");
        CHECK(strstr(fx->err.hint, "strptime(") != NULL);
        refuse(fx, LEAT_EDENIED, "SELECT ^nextval('a')", "nextval");
        CHECK(strstr(fx->err.hint, "gen_random_uuid") != NULL);
        refuse(fx, LEAT_ENOCOLUMN, "SELECT ^ctid FROM scans", "ctid");
        CHECK(strstr(fx->err.hint, "kafka_offset") != NULL);
        /* Nothing is asked that is far off, a slip is. */
        refuse(fx, LEAT_ENOFUNCTION, "SELECT ^justify_hours(1)", "justify_hours does not exist");
        CHECK_STR(fx->err.hint, "");
        refuse(fx, LEAT_ENOFUNCTION, "SELECT ^sumx(1)", "sumx does not exist");
        CHECK_STR(fx->err.hint, "Did you mean \"sum\"?");
        sql_fixture_free(fx);
}

/* All of its parameters can be bound, used or not. */
static void run_panel(struct sql_fixture *fx, const struct leat_sql_query *q)
{
        struct leat_engine *engine;
        struct leat_conn *conn;
        struct leat_plan *plan;
        struct leat_result *result;
        const struct leat_batch *batch;
        struct leat_string text = leat_string_borrow(leat_view_str("sea"));
        struct leat_column value = {.type = {.id = LEAT_T_VARCHAR}, .data = &text};
        CHECK_OK(leat_engine_open(NULL, &engine, &fx->err), &fx->err);
        CHECK_OK(leat_conn_open(engine, NULL, NULL, &conn, &fx->err), &fx->err);
        CHECK_OK(leat_conn_exec(conn, leat_sql_macros(), &fx->err), &fx->err);
        CHECK_OK(leat_plan_prepare(conn, q->sql, &plan, &fx->err), &fx->err);
        CHECK_OK(leat_plan_bind(plan, 0, &value, 0, &fx->err), &fx->err);
        CHECK_OK(leat_plan_bind(plan, 1, &value, 0, &fx->err), &fx->err);
        CHECK_OK(leat_plan_run(plan, false, &result, &fx->err), &fx->err);
        CHECK_OK(leat_result_next(result, &batch, &fx->err), &fx->err);
        CHECK(batch != NULL && leat_view_eq_str(leat_string_view(batch->columns[0].data), "SEA"));
        leat_result_free(result);
        leat_plan_free(plan);
        leat_conn_close(conn);
        leat_engine_close(engine);
}

LEAT_TEST(parameters)
{
        struct sql_fixture *fx = sql_fixture_new();
        struct leat_sql_query q =
                query(fx, "SELECT site, $2 AS x FROM scans WHERE weight_g > $1 AND kafka_offset = $3");
        CHECK_INT(q.param_count, 3);
        CHECK_INT(q.param_types[0].id, LEAT_T_INTEGER);
        CHECK_INT(q.param_types[1].id, LEAT_T_VARCHAR);
        CHECK_INT(q.param_types[2].id, LEAT_T_BIGINT);
        CHECK_INT(q.column_types[1].id, LEAT_T_VARCHAR);
        const struct leat_type given[] = {{.id = LEAT_T_DOUBLE}};
        const char *sql = "SELECT $1 + 1";
        CHECK_OK(leat_sql_select(fx->env, fx->arena, leat_view_str(sql), (struct leat_span){0, 13}, given, 1, &q,
                                 &fx->err),
                 &fx->err);
        CHECK_INT(q.column_types[0].id, LEAT_T_DOUBLE);
        const char *names[] = {"site", "least"};
        CHECK_OK(leat_sql_panel(fx->env, fx->arena, leat_view_str("SELECT 1 FROM scans WHERE weight_g > $least"), names,
                                2, &q, &fx->err),
                 &fx->err);
        CHECK_INT(q.param_count, 2);
        CHECK(strstr(q.sql, "weight_g > $2") != NULL);
        CHECK_OK(leat_sql_panel(fx->env, fx->arena, leat_view_str("WITH x AS (SELECT 1) SELECT upper($site), * FROM x"),
                                names, 2, &q, &fx->err),
                 &fx->err);
        CHECK_INT(q.param_count, 2);
        run_panel(fx, &q);
        CHECK_INT(leat_sql_select(fx->env, fx->arena, leat_view_str("SELECT $2"), (struct leat_span){0, 9}, NULL, 0, &q,
                                  &fx->err),
                  LEAT_ETYPE);
        CHECK_INT(leat_sql_panel(fx->env, fx->arena, leat_view_str("SELECT 1 FROM scans WHERE site = $sit"), names, 2,
                                 &q, &fx->err),
                  LEAT_ENOCOLUMN);
        CHECK_INT(fx->err.position, 34);
        sql_fixture_free(fx);
}

LEAT_TEST(postgres_forms)
{
        struct sql_fixture *fx = sql_fixture_new();
        columns(fx,
                "SELECT c.oid, n.nspname, c.relname FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON "
                "n.oid = "
                "c.relnamespace WHERE c.relname OPERATOR(pg_catalog.~) '^(scans)$' COLLATE pg_catalog.default AND "
                "pg_catalog.pg_table_is_visible(c.oid) ORDER BY 2, 3",
                "oid nspname relname");
        columns(fx,
                "SELECT c.relkind::pg_catalog.\"char\" AS k, 'scans'::regclass::oid AS o, relname::name AS n, "
                "CAST(relname AS "
                "pg_catalog.text) AS t, pg_catalog.format_type(23, NULL) AS f, version(), current_schema(), "
                "pg_catalog.pg_get_userbyid(c.relowner) AS u FROM pg_class c",
                "k o n t f version current_schema u");
        columns(fx,
                "SELECT 1, 'a'::text, site::text, true, CASE WHEN true THEN 1 END, (SELECT 1 AS x), now(), "
                "coalesce(site, ''), 'scans'::regclass, site ~ 'a', ARRAY[1], EXISTS (SELECT 1), site, scans.*, 2 "
                "FROM scans",
                "?column? text site bool case x now coalesce regclass ?column? array exists site package_id site "
                "weight_g event_time ?column?");
        columns(fx, "SELECT count(*), max(site), count(*) + 1, lower(site) FROM scans GROUP BY site",
                "count max ?column? lower");
        columns(fx, "SELECT ARRAY(SELECT relname FROM pg_catalog.pg_class) AS a, 1 = ANY(ARRAY[1, 2]) AS b", "a b");
        columns(fx, "SELECT pg_class.relname FROM pg_catalog.pg_class", "relname");
        columns(fx, "SELECT s, s + 1 AS t FROM generate_series(1, 3) AS s, unnest([1]) u(x), range(2)", "s t");
        columns(fx, "SELECT public.scans.site FROM public.scans", "site");
        refuse(fx, LEAT_ENORELATION, "SELECT 1 FROM ^pg_catalog.pg_nothing", "pg_nothing");
        sql_fixture_free(fx);
}

LEAT_TEST(panels_are_checked_once)
{
        struct sql_fixture *fx = sql_fixture_new();
        struct leat_arena *first = leat_arena_new(0), *second = leat_arena_new(0);
        struct leat_sql_query a, b;
        const char *names[] = {"site"};
        struct leat_view sql = leat_view_str("SELECT count(*) AS n FROM scans WHERE site = $site");
        CHECK_OK(leat_sql_panel(fx->env, first, sql, names, 1, &a, &fx->err), &fx->err);
        CHECK_OK(leat_sql_panel(fx->env, second, sql, names, 1, &b, &fx->err), &fx->err);
        CHECK(a.sql == b.sql && a.used_count == 1);
        leat_arena_free(first);
        CHECK_STR(b.column_names[0], "n");
        CHECK_INT(leat_sql_panel(fx->env, second, sql, names, 0, &b, &fx->err), LEAT_ENOCOLUMN);
        /* A change of the catalog makes it be checked again. */
        const struct leat_object *scans;
        struct leat_sql_catalog *catalog;
        CHECK_OK(leat_sql_env_catalog(fx->env, &catalog, &fx->err), &fx->err);
        scans = leat_snapshot_find(catalog->snapshot, "scans", false);
        struct leat_object renamed = *scans;
        renamed.name = "scanned";
        sql_fixture_put(fx, &renamed);
        leat_sql_catalog_unref(catalog);
        CHECK_INT(leat_sql_panel(fx->env, second, sql, names, 1, &b, &fx->err), LEAT_ENORELATION);
        leat_arena_free(second);
        sql_fixture_free(fx);
}

/* Views that double with each step end in an error, soon. */
LEAT_TEST(views_that_explode)
{
        struct sql_fixture *fx = sql_fixture_new();
        static const struct leat_column_def a[] = {{.name = "a", .type = {.id = LEAT_T_INTEGER}}};
        const char *body = "SELECT 1 AS a FROM sites";
        for (int i = 0; i < 20; i++) {
                struct leat_view_def view = {.column_count = 1, .columns = a, .body = leat_view_str(body)};
                struct leat_object object = {.kind = LEAT_OBJECT_VIEW,
                                             .state = LEAT_STATE_READY,
                                             .sql = "",
                                             .view = &view,
                                             .name = leat_arena_printf(fx->arena, "boom%d", i)};
                sql_fixture_put(fx, &object);
                body = leat_arena_printf(fx->arena, "SELECT x.a FROM boom%d x, boom%d y", i, i);
        }
        columns(fx, "SELECT * FROM boom5", "a");
        refuse(fx, LEAT_ETOOBIG, "SELECT * FROM ^boom19", "plain views");
        sql_fixture_free(fx);
}

struct reader {
        struct sql_fixture *fx;
        int failures;
};

static void *read_often(void *arg)
{
        struct reader *reader = arg;
        for (int i = 0; i < 100; i++) {
                struct leat_arena *arena = leat_arena_new(0);
                struct leat_sql_query q;
                struct leat_error err;
                const char *sql = "SELECT site, count(*) AS n FROM scans WHERE kafka_offset > $1 GROUP BY site";
                reader->failures +=
                        leat_sql_select(reader->fx->env, arena, leat_view_str(sql),
                                        (struct leat_span){0, (uint32_t)strlen(sql)}, NULL, 0, &q, &err) != 0;
                leat_arena_free(arena);
        }
        return NULL;
}

/* Sessions are threads over one environment, while definitions come and go. */
LEAT_TEST(sessions_share_an_environment)
{
        struct sql_fixture *fx = sql_fixture_new();
        struct reader readers[3] = {{fx, 0}, {fx, 0}, {fx, 0}};
        pthread_t threads[3];
        static const struct leat_column_def a[] = {{.name = "a", .type = {.id = LEAT_T_INTEGER}}};
        struct leat_topic_def topic = {
                .format = LEAT_FORMAT_JSON, .column_count = 1, .columns = a, .watermark_column = -1};
        for (int i = 0; i < 3; i++)
                CHECK_INT(pthread_create(&threads[i], NULL, read_often, &readers[i]), 0);
        for (int i = 0; i < 20; i++) {
                struct leat_object object = {.kind = LEAT_OBJECT_TOPIC,
                                             .state = LEAT_STATE_READY,
                                             .sql = "",
                                             .topic = &topic,
                                             .name = leat_arena_printf(fx->arena, "t%d", i)};
                sql_fixture_put(fx, &object);
        }
        for (int i = 0; i < 3; i++) {
                pthread_join(threads[i], NULL);
                CHECK_INT(readers[i].failures, 0);
        }
        columns(fx, "SELECT * FROM t19", "a");
        sql_fixture_free(fx);
}

LEAT_TEST(inserts)
{
        struct sql_fixture *fx = sql_fixture_new();
        struct leat_stmt stmt;
        struct leat_sql_query q;
        const struct leat_object *topic;
        const uint32_t *targets;
        static const struct {
                const char *sql;
                int code;
                const char *message;
        } cases[] = {
                {"INSERT INTO scans VALUES ('p', 'S', 5, '2026-01-01')", 0, NULL},
                {"INSERT INTO scans (weight_g, site) SELECT 5, site FROM sites", 0, NULL},
                {"INSERT INTO scans (site) VALUES ($1)", 0, NULL},
                {"INSERT INTO scans (^sitee) VALUES ('S')", LEAT_ENOCOLUMN, "sitee"},
                {"INSERT INTO scans (site, ^site) VALUES ('S', 'T')", LEAT_EEXISTS, "twice"},
                {"INSERT INTO scans (site) ^VALUES ('S', 1)", LEAT_ESYNTAX, "more expressions"},
                {"INSERT INTO scans (site, weight_g) ^VALUES ('S')", LEAT_ESYNTAX, "fewer expressions"},
                {"INSERT INTO ^inflow VALUES (1)", LEAT_EUNSUPPORTED, "no topic"},
                {"INSERT INTO ^clicks VALUES ('x')", LEAT_EUNSUPPORTED, "no columns declared"},
                {"INSERT INTO ^nothing VALUES ('x')", LEAT_ENORELATION, "nothing"},
                {"INSERT INTO scans (site) SELECT ^nix FROM sites", LEAT_ENOCOLUMN, "nix"},
        };
        for (size_t i = 0; i < LEAT_ARRAY_LEN(cases); i++) {
                size_t at, offset = 0;
                const char *sql = sql_unmark(fx, cases[i].sql, &at);
                CHECK_OK(leat_sql_parse(fx->arena, leat_view_str(sql), &offset, &stmt, &fx->err), &fx->err);
                memset(&fx->err, 0, sizeof fx->err);
                int rc = leat_sql_insert(fx->env, fx->arena, &stmt, NULL, 0, &q, &topic, &targets, &fx->err);
                if (rc != cases[i].code ||
                    (rc != 0 && (strstr(fx->err.message, cases[i].message) == NULL || fx->err.position != (int)at + 1)))
                        leat_test_fail(__FILE__, __LINE__, "%s: %s %s at %d", sql, leat_code_name(rc), fx->err.message,
                                       fx->err.position);
                if (i == 0) {
                        CHECK_INT(q.column_count, 4);
                        CHECK_INT(q.column_types[3].id, LEAT_T_TIMESTAMPTZ);
                }
                if (i == 1)
                        CHECK(targets[0] == 2 && targets[1] == 1 && strcmp(topic->name, "scans") == 0);
        }
        sql_fixture_free(fx);
}
