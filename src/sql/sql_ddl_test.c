/* SPDX-License-Identifier: Apache-2.0 */
/* leat/sql: CREATE, ALTER, DROP, SHOW CREATE. */
#include <stdio.h>
#include <unistd.h>

#include "leat/test.h"
#include "sql_test_feed.h"
#include "sql_test_util.h"

static char notices[2000];

static void note(void *arg, const char *text)
{
        (void)arg;
        size_t len = strlen(notices);
        snprintf(notices + len, sizeof notices - len, "%s\n", text);
}

static int compile(void *arg, struct leat_arena *arena, const struct leat_sql_bound *bound,
                   const struct leat_view_def *def, struct leat_sql_compiled *ret_compiled, struct leat_error *err)
{
        static const uint32_t keys[] = {0};
        (void)arena, (void)arg;
        if (strstr(bound->bound_sql, "row_number") != NULL)
                return leat_error_set(err, LEAT_EUNSUPPORTED, "no OVER");
        CHECK(def->emit != 0 && bound->plan != NULL);
        *ret_compiled = (struct leat_sql_compiled){.graph = leat_view_str("graph"),
                                                   .key_count = 1,
                                                   .keys = keys,
                                                   .notice = "state grows with the number of keys"};
        return 0;
}

static int run_in(struct sql_fixture *fx, const char *sql, bool check)
{
        struct leat_sql_ddl_context ctx = {.catalog = fx->cat,
                                           .feed = (struct leat_feed *)test_broker,
                                           .env = fx->env,
                                           .compile = compile,
                                           .notice = note,
                                           .timeout_us = 20000};
        struct leat_stmt stmt;
        size_t offset = 0;
        memset(&fx->err, 0, sizeof fx->err);
        notices[0] = 0;
        LEAT_TRY(leat_sql_parse(fx->arena, leat_view_str(sql), &offset, &stmt, &fx->err));
        CHECK(leat_sql_is_ddl(&stmt));
        return check ? leat_sql_ddl_check(&ctx, &stmt, &fx->err) : leat_sql_ddl(&ctx, &stmt, &fx->err);
}

static void run(struct sql_fixture *fx, const char *sql)
{
        int rc = run_in(fx, sql, false);
        if (rc != 0)
                leat_test_fail(__FILE__, __LINE__, "%s: %s: %s", sql, leat_code_name(rc), fx->err.message);
}

static void refuse(struct sql_fixture *fx, int code, const char *marked, const char *message)
{
        size_t at;
        const char *sql = sql_unmark(fx, marked, &at);
        for (int check = 1; check >= 0; check--) {
                int rc = run_in(fx, sql, check);
                if (rc != code || strstr(fx->err.message, message) == NULL ||
                    fx->err.position != leat_sql_position(leat_view_str(sql), at))
                        leat_test_fail(__FILE__, __LINE__, "%s: %s \"%s\" at %d", sql, leat_code_name(rc),
                                       fx->err.message, fx->err.position);
        }
}

static const struct leat_object *find(struct sql_fixture *fx, const char *name, bool dashboard)
{
        const struct leat_snapshot *snapshot;
        CHECK_OK(leat_catalog_load(fx->cat, fx->arena, &snapshot, &fx->err), &fx->err);
        return leat_snapshot_find(snapshot, name, dashboard);
}

static void show(struct sql_fixture *fx, const char *name, bool dashboard, const char *want)
{
        struct leat_buf out = LEAT_BUF_INIT;
        leat_sql_show_create(find(fx, name, dashboard), &out);
        if (strcmp(leat_buf_cstr(&out), want) != 0)
                leat_test_fail(__FILE__, __LINE__, "%s\nnot\n%s", (char *)out.data, want);
        leat_buf_done(&out);
}

LEAT_TEST(ddl_create_topic)
{
        struct sql_fixture *fx = sql_fixture_new();
        test_broker_reset();
        run(fx, "CREATE TOPIC orders (id BIGINT NOT NULL, \"at\" TIMESTAMPTZ, tags TEXT[], WATERMARK FOR \"at\" AS "
                "\"at\" - INTERVAL '5 "
                "seconds') WITH (partitions = 4, retention = '7 days', max_ahead = '2 minutes')");
        struct test_topic *topic = test_broker_find("orders");
        CHECK(topic != NULL && topic->partitions == 4);
        CHECK_STR(topic->configs, "retention.ms=604800000 ");
        const struct leat_object *object = find(fx, "orders", false);
        CHECK(object->state == LEAT_STATE_READY && object->topic->topic_id[0] == 7 && !object->topic->adopted);
        show(fx, "orders", false,
             "CREATE TOPIC orders (\n    id BIGINT NOT NULL,\n    at TIMESTAMPTZ,\n    tags VARCHAR[],\n    "
             "WATERMARK FOR at AS at - INTERVAL '5 seconds'\n)\nWITH (format = 'json', partitions = 4, retention = "
             "'7 days', idle_timeout = '5 seconds', max_ahead = '2 minutes')");
        run(fx, "CREATE TOPIC IF NOT EXISTS orders (x INT)");
        CHECK(strstr(notices, "already exists, skipping") != NULL);
        refuse(fx, LEAT_EEXISTS, "CREATE TOPIC ^orders (x INT)", "already exists");
        refuse(fx, LEAT_EEXISTS, "CREATE OR REPLACE TOPIC ^inflow (x INT)", "already exists");
        run(fx, "CREATE OR REPLACE TOPIC orders (id BIGINT)");
        CHECK_INT(find(fx, "orders", false)->id, object->id);
        CHECK_INT(find(fx, "orders", false)->topic->partitions, 4);
        CHECK_INT(find(fx, "orders", false)->topic->column_count, 1);
        run(fx, "CREATE TOPIC lines WITH (format = raw)");
        CHECK_STR(find(fx, "lines", false)->topic->columns[0].name, "value");
        refuse(fx, LEAT_EINVAL, "CREATE TOPIC t (a INT) WITH (^formt = 'json')", "no option \"formt\"");
        CHECK_STR(fx->err.hint, "Did you mean \"format\"?");
        refuse(fx, LEAT_EINVAL, "CREATE TOPIC t (a INT) WITH (format = ^'avro')", "avro");
        refuse(fx, LEAT_EINVAL, "CREATE TOPIC t (a INT) WITH (partitions = ^0)", "\"0\"");
        refuse(fx, LEAT_EINVAL, "CREATE TOPIC t (a INT) WITH (retention = ^'a week')", "a week");
        refuse(fx, LEAT_EINVAL, "CREATE TOPIC t (^kafka_x INT)", "kafka_");
        refuse(fx, LEAT_EINVAL, "CREATE TOPIC ^\"a b\" (a INT)", "\" \"");
        refuse(fx, LEAT_EINVAL, "CREATE TOPIC ^__t (a INT)", "internal");
        refuse(fx, LEAT_ESYNTAX, "CREATE TOPIC ^t", "needs columns");
        refuse(fx, LEAT_EUNSUPPORTED, "CREATE TOPIC t (^a INT) WITH (format = raw)", "raw topic");
        refuse(fx, LEAT_EUNSUPPORTED, "CREATE TOPIC t (a INT PRIMARY KEY) WITH (^retention = '1 day')", "PRIMARY KEY");
        CHECK(find(fx, "t", false) == NULL && test_broker_find("t") == NULL);
        sql_fixture_free(fx);
}

LEAT_TEST(ddl_adopts_topics)
{
        struct sql_fixture *fx = sql_fixture_new();
        test_broker_reset();
        test_broker_add("clicks", 3);
        run(fx, "CREATE TOPIC clicks (url TEXT)");
        CHECK(strstr(notices, "was there already") != NULL);
        const struct leat_object *object = find(fx, "clicks", false);
        CHECK(object->topic->adopted && object->topic->partitions == 3 && test_broker->made == 0);
        test_broker_add("more", 3);
        refuse(fx, LEAT_EINVAL, "CREATE TOPIC more (a INT) WITH (partitions = ^2)", "can only grow");
        run(fx, "CREATE TOPIC more (a INT) WITH (partitions = 6)");
        CHECK_INT(test_broker_find("more")->partitions, 6);
        run(fx, "CREATE TOPIC keyed (k TEXT PRIMARY KEY, v INT)");
        CHECK_STR(test_broker_find("keyed")->configs, "retention.ms=-1 leat.keyed=true ");
        test_broker->knows_keyed = false;
        run(fx, "CREATE TOPIC compact (k TEXT PRIMARY KEY, v INT)");
        CHECK_STR(test_broker_find("compact")->configs, "retention.ms=-1 cleanup.policy=compact ");
        sql_fixture_free(fx);
}

LEAT_TEST(ddl_alter_topic)
{
        struct sql_fixture *fx = sql_fixture_new();
        test_broker_reset();
        test_broker_add("scans", 4);
        run(fx, "ALTER TOPIC scans ADD COLUMN zone TEXT");
        CHECK_STR(find(fx, "scans", false)->topic->columns[4].name, "zone");
        refuse(fx, LEAT_EEXISTS, "ALTER TOPIC scans ADD ^Zone TEXT", "already exists");
        refuse(fx, LEAT_EDEPENDENT, "ALTER TOPIC ^scans DROP COLUMN zone", "view heavy");
        run(fx, "DROP VIEW heavy");
        run(fx, "DROP MATERIALIZED VIEW inflow");
        run(fx, "ALTER TOPIC scans RENAME COLUMN zone TO area");
        run(fx, "ALTER TOPIC scans DROP COLUMN weight_g");
        const struct leat_topic_def *def = find(fx, "scans", false)->topic;
        CHECK(def->column_count == 4 && def->watermark_column == 2 && strcmp(def->columns[3].name, "area") == 0);
        refuse(fx, LEAT_EUNSUPPORTED, "ALTER TOPIC scans DROP COLUMN ^event_time", "watermark");
        refuse(fx, LEAT_ENOCOLUMN, "ALTER TOPIC scans DROP COLUMN ^nix", "nix");
        refuse(fx, LEAT_EUNSUPPORTED, "ALTER TOPIC sites DROP COLUMN ^site", "PRIMARY KEY");
        run(fx, "ALTER TOPIC scans SET (partitions = 8, retention = '1 day', idle_timeout = '10 seconds')");
        CHECK_INT(test_broker_find("scans")->partitions, 8);
        CHECK_STR(test_broker_find("scans")->configs, "retention.ms=86400000 ");
        CHECK_INT(find(fx, "scans", false)->topic->idle_timeout_us, 10000000);
        refuse(fx, LEAT_EINVAL, "ALTER TOPIC scans SET (partitions = ^2)", "only grow");
        refuse(fx, LEAT_EUNSUPPORTED, "ALTER TOPIC scans SET (^format = 'raw')", "cannot be changed");
        refuse(fx, LEAT_ENORELATION, "ALTER TOPIC ^scnas DROP COLUMN a", "does not exist");
        run(fx, "ALTER TOPIC IF EXISTS nothing DROP COLUMN a");
        run(fx, "CREATE VIEW all_scans AS SELECT *, 1 AS one FROM scans");
        refuse(fx, LEAT_EDEPENDENT, "ALTER TOPIC ^scans ADD COLUMN another INT", "all_scans");
        sql_fixture_free(fx);
}

LEAT_TEST(ddl_views)
{
        struct sql_fixture *fx = sql_fixture_new();
        test_broker_reset();
        run(fx, "CREATE VIEW light (p, grams) AS SELECT package_id, weight_g FROM scans WHERE weight_g < 100");
        show(fx, "light", false,
             "CREATE VIEW light (p, grams)\nAS SELECT package_id, weight_g FROM scans WHERE weight_g < 100");
        run(fx, "CREATE VIEW lighter AS SELECT * FROM light WHERE grams < 10");
        CHECK_INT(find(fx, "lighter", false)->view->column_count, 2);
        run(fx, "CREATE OR REPLACE VIEW light AS SELECT package_id AS p, weight_g AS grams, site FROM scans");
        run(fx, "CREATE OR REPLACE VIEW light AS SELECT package_id AS p, weight_g AS grams, site FROM scans");
        refuse(fx, LEAT_EDEPENDENT, "CREATE OR REPLACE VIEW ^light AS SELECT site FROM scans", "lighter");
        refuse(fx, LEAT_EUNSUPPORTED, "CREATE OR REPLACE VIEW light AS SELECT p, grams FROM ^light", "read itself");
        refuse(fx, LEAT_EEXISTS, "CREATE VIEW ^light AS SELECT 1 AS a", "already exists");
        refuse(fx, LEAT_EEXISTS, "CREATE OR REPLACE VIEW ^scans AS SELECT 1 AS a", "topic \"scans\" already exists");
        refuse(fx, LEAT_EAMBIGUOUS, "CREATE VIEW v AS ^SELECT site, site FROM scans", "comes twice");
        refuse(fx, LEAT_EUNSUPPORTED, "CREATE VIEW v AS ^SELECT site FROM scans WHERE site = $1", "parameters");
        refuse(fx, LEAT_ENOCOLUMN, "CREATE VIEW v AS SELECT ^nix FROM scans", "nix");
        refuse(fx, LEAT_ESYNTAX, "CREATE VIEW v (a, ^b) AS SELECT site FROM scans", "names 2 columns");
        CHECK_INT(find(fx, "light", false)->view->column_count, 3);
        sql_fixture_free(fx);
}

LEAT_TEST(ddl_materialized_views)
{
        struct sql_fixture *fx = sql_fixture_new();
        test_broker_reset();
        run(fx, "CREATE MATERIALIZED VIEW per_site WITH (pipeline = p2, start = '2026-11-24 10:00', late = 'grace 10 "
                "seconds', retention = "
                "'2 days', max_state = '1 GiB') AS SELECT site, window_start, count(*) AS n FROM tumble(scans, "
                "event_time, INTERVAL '10 "
                "seconds') GROUP BY ALL EMIT ON WINDOW CLOSE");
        CHECK(strstr(notices, "state grows") != NULL);
        const struct leat_object *object = find(fx, "per_site", false);
        CHECK(object->view->graph.len == 5 && object->view->key_count == 1 && object->read_count == 1);
        show(fx, "per_site", false,
             "CREATE MATERIALIZED VIEW per_site (site, window_start, n)\nWITH (pipeline = 'p2', start = "
             "'2026-11-24T10:00:00Z', late = 'grace "
             "10 seconds', retention = '2 days', max_state = 1073741824)\nAS SELECT site, window_start, count(*) AS n "
             "FROM tumble(scans, "
             "event_time, INTERVAL '10 seconds') GROUP BY ALL\nEMIT ON WINDOW CLOSE");
        run(fx, "CREATE MATERIALIZED VIEW total AS SELECT sum(n) AS n FROM per_site");
        run(fx, "ALTER MATERIALIZED VIEW per_site PAUSE");
        CHECK(find(fx, "per_site", false)->view->paused);
        run(fx, "ALTER JOB per_site RESUME");
        CHECK(!find(fx, "per_site", false)->view->paused);
        run(fx, "ALTER JOB total PAUSE");
        CHECK(find(fx, "total", false)->view->paused);
        run(fx, "ALTER JOB total RESUME");
        run(fx, "ALTER JOB total SET (max_state = '2 GiB')");
        refuse(fx, LEAT_EUNSUPPORTED, "ALTER JOB total SET (^retention = '1 day')", "cannot be changed");
        refuse(fx, LEAT_ENORELATION, "ALTER JOB ^scans PAUSE", "is a topic");
        refuse(fx, LEAT_EDEPENDENT, "CREATE OR REPLACE MATERIALIZED VIEW ^per_site AS SELECT site FROM scans", "total");
        uint64_t before = find(fx, "total", false)->id;
        run(fx, "CREATE OR REPLACE MATERIALIZED VIEW total AS SELECT max(n) AS n FROM per_site");
        CHECK(find(fx, "total", false)->id > before);
        refuse(fx, LEAT_EINVAL, "CREATE MATERIALIZED VIEW v WITH (late = ^'reemit') AS SELECT site FROM scans",
               "reemit");
        refuse(fx, LEAT_EINVAL,
               "CREATE MATERIALIZED VIEW v WITH (late = ^'apply') AS SELECT site FROM scans EMIT ON WINDOW CLOSE",
               "apply");
        refuse(fx, LEAT_EINVAL, "CREATE MATERIALIZED VIEW v WITH (start = ^'soon') AS SELECT site FROM scans", "soon");
        refuse(fx, LEAT_EINVAL, "CREATE MATERIALIZED VIEW v WITH (pipeline = ^'a b') AS SELECT site FROM scans", "a b");
        refuse(fx, LEAT_EINVAL, "CREATE MATERIALIZED VIEW v WITH (^retain = '1 day') AS SELECT site FROM scans",
               "retain");
        sql_fixture_free(fx);
}

LEAT_TEST(ddl_dashboards)
{
        struct sql_fixture *fx = sql_fixture_new();
        test_broker_reset();
        run(fx, "CREATE DASHBOARD wall TITLE 'The wall' VARIABLE site AS (SELECT site FROM sites) DEFAULT 'SEA1' PANEL "
                "n NUMBER WARN 5 AS "
                "(SELECT count(*) AS n FROM scans WHERE site = $site) PANEL f LINE X window_start Y scans SERIES site "
                "AS (SELECT * FROM "
                "inflow)");
        const struct leat_object *object = find(fx, "wall", true);
        CHECK_INT(object->read_count, 3);
        show(fx, "wall", true,
             "CREATE DASHBOARD wall TITLE 'The wall'\nVARIABLE site AS (\n  SELECT site FROM sites\n) DEFAULT "
             "'SEA1'\nREFRESH '500 ms'\nPANEL n "
             "TITLE 'n' NUMBER WARN 5 AT (0, 0, 3, 2) AS (\n  SELECT count(*) AS n FROM scans WHERE site = "
             "$site\n)\nPANEL f TITLE 'f' LINE X "
             "window_start Y scans SERIES site AT (6, 0, 6, 4) AS (\n  SELECT * FROM inflow\n)");
        refuse(fx, LEAT_EEXISTS, "CREATE DASHBOARD ^wall PANEL p NUMBER AS (SELECT 1)", "already exists");
        refuse(fx, LEAT_ENOCOLUMN, "CREATE DASHBOARD d TITLE 'ä' PANEL p NUMBER AS (SELECT ^nix FROM scans)", "nix");
        refuse(fx, LEAT_ENOCOLUMN, "CREATE DASHBOARD d PANEL p NUMBER AS (SELECT 1 WHERE 'a' = ^$site)", "$site");
        refuse(fx, LEAT_ENOCOLUMN,
               "CREATE DASHBOARD d PANEL ^p LINE X windw_start AS (SELECT window_start FROM inflow)", "windw_start");
        refuse(fx, LEAT_ENORELATION,
               "CREATE DASHBOARD d VARIABLE v AS (SELECT 1 FROM ^nothing) PANEL p NUMBER AS (SELECT 1)", "nothing");
        run(fx, "CREATE OR REPLACE DASHBOARD wall PANEL p NUMBER AS (SELECT 1)");
        CHECK_INT(find(fx, "wall", true)->id, object->id);
        run(fx, "DROP DASHBOARD wall");
        CHECK(find(fx, "wall", true) == NULL);
        sql_fixture_free(fx);
}

LEAT_TEST(ddl_drop)
{
        struct sql_fixture *fx = sql_fixture_new();
        test_broker_reset();
        test_broker_add("scans", 4);
        test_broker_add("scans.quarantine", 1);
        test_broker_add("loose", 1);
        run(fx, "CREATE VIEW heavier AS SELECT kg FROM heavy WHERE kg > 5");
        run(fx, "CREATE DASHBOARD d PANEL p NUMBER AS (SELECT count(*) FROM heavier)");
        refuse(fx, LEAT_EDEPENDENT, "DROP TOPIC ^scans",
               "view heavier, view heavy, materialized view inflow, dashboard d");
        refuse(fx, LEAT_ENORELATION, "DROP VIEW ^scans", "is a topic, not a view");
        refuse(fx, LEAT_ENORELATION, "DROP TOPIC ^scnas", "does not exist");
        CHECK_STR(fx->err.hint, "Did you mean \"scans\"?");
        run(fx, "DROP TOPIC IF EXISTS nothing");
        CHECK(strstr(notices, "skipping") != NULL);
        run(fx, "DROP TOPIC scans CASCADE");
        CHECK(strstr(notices, "cascades to dashboard d") != NULL);
        CHECK(find(fx, "scans", false) == NULL && find(fx, "heavy", false) == NULL && find(fx, "d", true) == NULL);
        CHECK(test_broker_find("scans") == NULL && test_broker_find("scans.quarantine") == NULL);
        run(fx, "DROP TOPIC loose");
        CHECK(test_broker_find("loose") == NULL);
        sql_fixture_free(fx);
}

LEAT_TEST(ddl_waits_for_roles)
{
        struct sql_fixture *fx = sql_fixture_new();
        test_broker_reset();
        CHECK_OK(leat_catalog_applied_set(fx->cat, "worker:main", getpid(), 1, &fx->err), &fx->err);
        run(fx, "CREATE TOPIC slow (a INT)");
        CHECK(strstr(notices, "the change is made, but worker:main") != NULL);
        CHECK_OK(leat_catalog_applied_set(fx->cat, "worker:main", getpid(), 1000, &fx->err), &fx->err);
        run(fx, "CREATE TOPIC quick (a INT)");
        CHECK_STR(notices, "");
        sql_fixture_free(fx);
}
