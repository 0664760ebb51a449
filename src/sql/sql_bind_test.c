/* SPDX-License-Identifier: Apache-2.0 */
/* leat/sql: bound plans for continuous queries. */
#include <stdio.h>

#include "leat/json.h"
#include "leat/test.h"
#include "sql_test_util.h"

static struct leat_sql_bound bound;

static int bind(struct sql_fixture *fx, const char *sql)
{
        struct leat_stmt stmt;
        size_t offset = 0;
        memset(&fx->err, 0, sizeof fx->err);
        LEAT_TRY(leat_sql_parse(fx->arena, leat_view_str(sql), &offset, &stmt, &fx->err));
        return leat_sql_bind_stream(fx->env, fx->arena, &stmt, &bound, &fx->err);
}

static void refuse(struct sql_fixture *fx, int code, const char *marked, const char *message)
{
        size_t at;
        const char *sql = sql_unmark(fx, marked, &at);
        int rc = bind(fx, sql);
        if (rc != code || strstr(fx->err.message, message) == NULL || fx->err.position != (int)at + 1)
                leat_test_fail(__FILE__, __LINE__, "%s: %s \"%s\" at %d", sql, leat_code_name(rc), fx->err.message,
                               fx->err.position);
}

/* The first LOGICAL_GET below @plan. */
static const struct leat_json *find_get(const struct leat_json *plan)
{
        if (strcmp(leat_json_str(plan, "type"), "LOGICAL_GET") == 0)
                return plan;
        LEAT_JSON_EACH(child, leat_json_get(plan, "children"))
        {
                const struct leat_json *get = find_get(child);
                if (get != NULL)
                        return get;
        }
        return NULL;
}

LEAT_TEST(plans_name_their_relations)
{
        struct sql_fixture *fx = sql_fixture_new();
        struct leat_scan_key key;
        CHECK_OK(bind(fx, "CREATE MATERIALIZED VIEW v AS SELECT site, window_start, count(*) AS scans FROM "
                          "tumble(scans, event_time, "
                          "INTERVAL '10 seconds') GROUP BY site, window_start EMIT ON WINDOW CLOSE"),
                 &fx->err);
        CHECK_INT(bound.emit, LEAT_EMIT_ON_WINDOW_CLOSE);
        CHECK_INT(bound.column_count, 3);
        CHECK_STR(bound.columns[2].name, "scans");
        CHECK_INT(bound.columns[1].type.id, LEAT_T_TIMESTAMPTZ);
        CHECK_INT(bound.used_count, 1);
        const struct leat_json *get = find_get(bound.plan);
        CHECK(get != NULL);
        CHECK_STR(leat_json_str(leat_json_get(get, "function_data"), "table"), "leat_1");
        CHECK_OK(leat_sql_bound_relation(&bound, "leat_1", &key, &fx->err), &fx->err);
        CHECK(key.kind == LEAT_SCAN_TOPIC && key.object_id == 1 && strcmp(key.name, "scans") == 0);
        uint32_t count;
        const char **names;
        struct leat_type *types;
        CHECK_OK(leat_sql_scan_columns(bound.catalog, &key, fx->arena, &count, &names, &types, &fx->err), &fx->err);
        CHECK_INT(count, leat_json_get(get, "names")->count);
        CHECK_STR(names[count - 1], (const char *)leat_json_at(leat_json_get(get, "names"), count - 1)->text.data);
        CHECK(strstr(bound.plan_json, "leat_window_start") != NULL);
        sql_fixture_free(fx);
}

LEAT_TEST(shapes_that_bind)
{
        static const char *const shapes[] = {
                "SELECT * FROM scans",
                "SELECT site, weight_g * 2 AS w FROM scans WHERE weight_g > 5",
                "SELECT site, count(*) FILTER (WHERE weight_g > 3) AS n, count(DISTINCT package_id) AS d FROM scans "
                "GROUP BY site",
                "SELECT s.site, t.region, count(*) AS n FROM scans s JOIN sites t ON s.site = t.site GROUP BY ALL",
                "SELECT s.*, t.region FROM scans s LEFT JOIN sites t USING (site)",
                "SELECT site FROM scans UNION ALL SELECT site FROM sites",
                "SELECT package, kg FROM heavy WHERE kg > 2",
                "SELECT site, sum(scans) AS s FROM inflow GROUP BY site",
                "SELECT window_start, site, count(*) AS n FROM hop(scans, event_time, INTERVAL '5 seconds', INTERVAL "
                "'20 seconds') GROUP BY 1, 2",
                "SELECT DISTINCT site FROM scans",
                "SELECT kafka_partition, max(kafka_offset) AS o FROM scans GROUP BY 1",
        };
        struct sql_fixture *fx = sql_fixture_new();
        for (size_t i = 0; i < LEAT_ARRAY_LEN(shapes); i++) {
                if (bind(fx, shapes[i]) != 0)
                        leat_test_fail(__FILE__, __LINE__, "%s: %s", shapes[i], fx->err.message);
                CHECK(bound.plan != NULL && !bound.uses_now);
        }
        CHECK_OK(bind(fx, shapes[0]), &fx->err);
        CHECK_INT(bound.column_count, 4);
        CHECK_OK(bind(fx, shapes[4]), &fx->err);
        CHECK_INT(bound.column_count, 5);
        sql_fixture_free(fx);
}

LEAT_TEST(time_and_chance)
{
        struct sql_fixture *fx = sql_fixture_new();
        CHECK_OK(bind(fx, "SELECT site FROM scans WHERE event_time > now() - INTERVAL '1 hour' AND CURRENT_DATE > "
                          "'2020-01-01'"),
                 &fx->err);
        CHECK(bound.uses_now && strstr(bound.plan_json, "\"leat_now\"") != NULL);
        refuse(fx, LEAT_EUNSUPPORTED, "SELECT site, ^random() AS r FROM scans", "random()");
        refuse(fx, LEAT_EUNSUPPORTED, "SELECT ^current_user AS u, site FROM scans", "current_user");
        refuse(fx, LEAT_EUNSUPPORTED, "SELECT ^pg_backend_pid() AS u, site FROM scans", "pg_backend_pid");
        refuse(fx, LEAT_EUNSUPPORTED, "SELECT ^gen_random_uuid() AS r FROM scans", "gen_random_uuid()");
        refuse(fx, LEAT_EUNSUPPORTED, "SELECT ^age(event_time) AS r FROM scans", "age reads the clock");
        CHECK_OK(bind(fx, "SELECT age(event_time, event_time) AS r FROM scans"), &fx->err);
        sql_fixture_free(fx);
}

LEAT_TEST(bind_errors)
{
        struct sql_fixture *fx = sql_fixture_new();
        refuse(fx, LEAT_ENOCOLUMN, "CREATE MATERIALIZED VIEW v AS SELECT ^nix FROM scans EMIT CHANGES", "nix");
        refuse(fx, LEAT_EAMBIGUOUS, "CREATE MATERIALIZED VIEW v AS ^SELECT site, site FROM scans", "comes twice");
        refuse(fx, LEAT_EUNSUPPORTED, "SELECT * FROM ^clicks", "clicks");
        refuse(fx, LEAT_EUNSUPPORTED, "SELECT * FROM ^pg_catalog.pg_class", "pg_class");
        refuse(fx, LEAT_EUNSUPPORTED, "SELECT * FROM scans WHERE site = ^$1", "no parameter");
        refuse(fx, LEAT_ESYNTAX, "CREATE MATERIALIZED VIEW v (a, b, ^c) AS SELECT site, weight_g FROM scans",
               "names 3 columns");
        CHECK_OK(bind(fx, "CREATE MATERIALIZED VIEW v (a) AS SELECT site, site FROM scans"), &fx->err);
        CHECK_STR(bound.columns[0].name, "a");
        /* Places in the plan lead back to the text. */
        CHECK_OK(bind(fx, "SELECT 'ä' AS x, weight_g + 1 AS y FROM scans"), &fx->err);
        CHECK_INT(leat_sql_map_position(bound.map, strstr(bound.bound_sql, "weight_g") - bound.bound_sql), 18);
        sql_fixture_free(fx);
}

LEAT_TEST(the_catalog_is_followed)
{
        struct sql_fixture *fx = sql_fixture_new();
        static const struct leat_column_def columns[] = {{.name = "a", .type = {.id = LEAT_T_VARCHAR}}};
        struct leat_topic_def topic = {
                .format = LEAT_FORMAT_JSON, .column_count = 1, .columns = columns, .watermark_column = -1};
        struct leat_object object = {
                .kind = LEAT_OBJECT_TOPIC, .state = LEAT_STATE_READY, .name = "fresh", .sql = "", .topic = &topic};
        CHECK_INT(bind(fx, "SELECT a FROM fresh"), LEAT_ENORELATION);
        object.id = sql_fixture_put(fx, &object);
        CHECK_OK(bind(fx, "SELECT a FROM fresh"), &fx->err);
        static const struct leat_column_def other[] = {{.name = "b", .type = {.id = LEAT_T_INTEGER}}};
        topic.columns = other;
        sql_fixture_put(fx, &object);
        CHECK_INT(bind(fx, "SELECT a FROM fresh"), LEAT_ENOCOLUMN);
        CHECK_OK(bind(fx, "SELECT b FROM fresh"), &fx->err);
        sql_fixture_free(fx);
}
