/* SPDX-License-Identifier: Apache-2.0 */
/* leat/sql: what checking a statement costs. bench_sql FOLDER prints microseconds a call. */
#include <stdio.h>

#include "leat/os.h"
#include "leat/sql.h"

#define ROUNDS 300

static struct leat_error err;

static void must(int rc)
{
        if (rc != 0) {
                fprintf(stderr, "%s at %d\n", err.message, err.position);
                exit(1);
        }
}

static void put_topic(struct leat_catalog *cat)
{
        static const struct leat_column_def columns[] = {{.name = "site", .type = {.id = LEAT_T_VARCHAR}},
                                                         {.name = "w", .type = {.id = LEAT_T_INTEGER}},
                                                         {.name = "ts", .type = {.id = LEAT_T_TIMESTAMPTZ}}};
        const struct leat_topic_def topic = {
                .format = LEAT_FORMAT_JSON, .column_count = 3, .columns = columns, .watermark_column = 2};
        for (int i = 0; i < 100; i++) {
                char name[16];
                uint64_t id, version;
                snprintf(name, sizeof name, "t%d", i);
                struct leat_object object = {
                        .kind = LEAT_OBJECT_TOPIC, .state = LEAT_STATE_READY, .name = name, .sql = "", .topic = &topic};
                must(leat_catalog_begin(cat, &err));
                must(leat_catalog_put(cat, &object, &id, &err));
                must(leat_catalog_commit(cat, &version, &err));
        }
}

static void measure(struct leat_sql_env *env, const char *what, const char *sql, bool stream)
{
        int64_t start = 0;
        for (int i = -1; i < ROUNDS; i++) {
                struct leat_arena *arena = leat_arena_new(0);
                struct leat_stmt stmt;
                struct leat_sql_query query;
                struct leat_sql_bound bound;
                size_t offset = 0;
                must(leat_sql_parse(arena, leat_view_str(sql), &offset, &stmt, &err));
                must(stream ? leat_sql_bind_stream(env, arena, &stmt, &bound, &err)
                            : leat_sql_select(env, arena, stmt.text, stmt.body, NULL, 0, &query, &err));
                leat_arena_free(arena);
                if (i < 0) /* the first opens the engine */
                        start = leat_os_monotonic_us();
        }
        printf("%-28s %8.0f us\n", what, (double)(leat_os_monotonic_us() - start) / ROUNDS);
}

int main(int argc, char **argv)
{
        char path[512];
        struct leat_catalog *cat;
        struct leat_sql_env *env;
        if (argc != 2) {
                fprintf(stderr, "usage: bench_sql FOLDER\n");
                return 2;
        }
        snprintf(path, sizeof path, "%s/bench-catalog.db", argv[1]);
        must(leat_catalog_open(path, &cat, &err));
        put_topic(cat);
        must(leat_sql_env_open(cat, NULL, &env, &err));
        measure(env, "point query", "SELECT site, w FROM t1 WHERE kafka_partition = 0 AND kafka_offset = 5", false);
        measure(env, "join and group",
                "SELECT a.site, count(*) AS n FROM t1 a JOIN t2 b ON a.site = b.site GROUP BY ALL", false);
        measure(env, "window",
                "SELECT site, window_start, count(*) AS n FROM tumble(t1, ts, INTERVAL '10 s') GROUP BY ALL", false);
        measure(env, "window, continuous",
                "SELECT site, window_start, count(*) AS n FROM tumble(t1, ts, INTERVAL '10 s') GROUP BY ALL", true);
        leat_sql_env_close(env);
        leat_catalog_close(cat);
        (void)!leat_os_unlink(path, NULL);
        return 0;
}
