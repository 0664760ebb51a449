/* SPDX-License-Identifier: Apache-2.0 */
#include "sql_test_util.h"

#include <stdio.h>

#include "leat/test.h"

static bool topic_exists(void *arg, const char *name)
{
        (void)arg;
        return strcmp(name, "clicks") == 0;
}

static int describe(void *arg, const char *key, struct leat_arena *arena, uint32_t *ret_count, const char ***ret_names,
                    struct leat_type **ret_types, struct leat_error *err)
{
        static const char *const names[] = {"oid", "relname", "relnamespace", "relkind", "relowner"};
        (void)arg;
        if (strcmp(key, "pg_catalog.pg_class") != 0 && strcmp(key, "pg_catalog.pg_namespace") != 0)
                return leat_error_set(err, LEAT_ENORELATION, "no %s", key);
        *ret_count = 5;
        *ret_names = leat_arena_alloc(arena, sizeof names);
        *ret_types = leat_arena_zalloc(arena, 5 * sizeof **ret_types);
        for (int i = 0; i < 5; i++) {
                (*ret_names)[i] = names[i];
                (*ret_types)[i] = leat_type_of(i == 0 || i == 2 || i == 4 ? LEAT_T_BIGINT : LEAT_T_VARCHAR);
        }
        if (strcmp(key, "pg_catalog.pg_namespace") == 0)
                (*ret_names)[1] = "nspname";
        return 0;
}

uint64_t sql_fixture_put(struct sql_fixture *fx, const struct leat_object *object)
{
        uint64_t id, version;
        CHECK_OK(leat_catalog_begin(fx->cat, &fx->err), &fx->err);
        CHECK_OK(leat_catalog_put(fx->cat, object, &id, &fx->err), &fx->err);
        CHECK_OK(leat_catalog_commit(fx->cat, &version, &fx->err), &fx->err);
        return id;
}

static void put_relations(struct sql_fixture *fx)
{
        static const struct leat_column_def scans[] = {
                {.name = "package_id", .type = {.id = LEAT_T_VARCHAR}},
                {.name = "site", .type = {.id = LEAT_T_VARCHAR}, .not_null = true},
                {.name = "weight_g", .type = {.id = LEAT_T_INTEGER}},
                {.name = "event_time", .type = {.id = LEAT_T_TIMESTAMPTZ}}};
        static const struct leat_column_def sites[] = {
                {.name = "site", .type = {.id = LEAT_T_VARCHAR}, .not_null = true},
                {.name = "name", .type = {.id = LEAT_T_VARCHAR}},
                {.name = "region", .type = {.id = LEAT_T_VARCHAR}}};
        static const struct leat_column_def raw[] = {{.name = "value", .type = {.id = LEAT_T_VARCHAR}}};
        static const struct leat_column_def inflow[] = {{.name = "site", .type = {.id = LEAT_T_VARCHAR}},
                                                        {.name = "window_start", .type = {.id = LEAT_T_TIMESTAMPTZ}},
                                                        {.name = "scans", .type = {.id = LEAT_T_BIGINT}}};
        static const struct leat_column_def heavy[] = {{.name = "package", .type = {.id = LEAT_T_VARCHAR}},
                                                       {.name = "kg", .type = {.id = LEAT_T_DOUBLE}}};
        static const uint32_t first[] = {0}, two[] = {0, 1};
        static const struct leat_topic_def topics[] = {
                {.format = LEAT_FORMAT_JSON,
                 .column_count = 4,
                 .columns = scans,
                 .watermark_column = 3,
                 .partitions = 4,
                 .retention_us = -1,
                 .retention_bytes = -1},
                {.format = LEAT_FORMAT_JSON,
                 .column_count = 3,
                 .columns = sites,
                 .key_count = 1,
                 .keys = first,
                 .watermark_column = -1,
                 .retention_us = -1,
                 .retention_bytes = -1},
                {.format = LEAT_FORMAT_RAW, .column_count = 1, .columns = raw, .watermark_column = -1}};
        static const char *const names[] = {"scans", "sites", "raw"};
        struct leat_object object = {.kind = LEAT_OBJECT_TOPIC, .state = LEAT_STATE_READY, .sql = ""};
        for (int i = 0; i < 3; i++) {
                object.name = names[i];
                object.topic = &topics[i];
                sql_fixture_put(fx, &object);
        }
        struct leat_view_def view = {.column_count = 3,
                                     .columns = inflow,
                                     .key_count = 2,
                                     .keys = two,
                                     .pipeline = "main",
                                     .body = leat_view_str("SELECT 1"),
                                     .emit = LEAT_EMIT_CHANGES};
        static const uint64_t reads[] = {1};
        object = (struct leat_object){.kind = LEAT_OBJECT_MATVIEW,
                                      .state = LEAT_STATE_READY,
                                      .name = "inflow",
                                      .sql = "",
                                      .view = &view,
                                      .read_count = 1,
                                      .reads = reads};
        sql_fixture_put(fx, &object);
        view = (struct leat_view_def){
                .column_count = 2,
                .columns = heavy,
                .body = leat_view_str("SELECT package_id, weight_g / 1000.0 FROM scans WHERE weight_g > 1000")};
        object = (struct leat_object){.kind = LEAT_OBJECT_VIEW,
                                      .state = LEAT_STATE_READY,
                                      .name = "heavy",
                                      .sql = "",
                                      .view = &view,
                                      .read_count = 1,
                                      .reads = reads};
        sql_fixture_put(fx, &object);
}

struct sql_fixture *sql_fixture_new(void)
{
        static const struct leat_relation_ops ops = {.describe = describe};
        const struct leat_sql_env_options options = {.system_ops = &ops, .topic_exists = topic_exists};
        struct sql_fixture *fx = leat_calloc(1, sizeof *fx);
        char path[512];
        snprintf(path, sizeof path, "%s/catalog.db", leat_test_tmpdir());
        CHECK_OK(leat_catalog_open(path, &fx->cat, &fx->err), &fx->err);
        CHECK_OK(leat_catalog_open(path, &fx->env_cat, &fx->err), &fx->err);
        fx->arena = leat_arena_new(0);
        put_relations(fx);
        CHECK_OK(leat_sql_env_open(fx->env_cat, &options, &fx->env, &fx->err), &fx->err);
        return fx;
}

void sql_fixture_free(struct sql_fixture *fx)
{
        leat_arena_free(fx->arena);
        leat_sql_env_close(fx->env);
        leat_catalog_close(fx->cat);
        leat_catalog_close(fx->env_cat);
        free(fx);
}

char *sql_unmark(struct sql_fixture *fx, const char *marked, size_t *ret_at)
{
        size_t at = strcspn(marked, "^");
        *ret_at = at;
        return leat_arena_printf(fx->arena, "%.*s%s", (int)at, marked, marked[at] != 0 ? marked + at + 1 : "");
}
