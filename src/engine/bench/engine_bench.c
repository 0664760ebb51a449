/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/engine: what the engine costs.
 *
 *   keyed count     10-second windows by key over micro-batches of 20,000 rows from C memory, one thread
 *   run             one prepared plan over one row: the fixed cost of a tick's statement
 *   instance        memory of one more open instance
 */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "leat/base.h"
#include "leat/engine.h"
#include "leat/os.h"

#define BATCH_ROWS 20000

static struct leat_batch *source; /* columns: key VARCHAR, id BIGINT, event_time TIMESTAMPTZ */
static uint32_t source_rows;

static int source_describe(void *arg, const char *key, struct leat_arena *arena, uint32_t *ret_count,
                           const char ***ret_names, struct leat_type **ret_types, struct leat_error *err)
{
        static const char *names[] = {"site", "id", "event_time"};
        static struct leat_type types[3];
        (void)arg, (void)key, (void)arena, (void)err;
        types[0] = leat_type_of(LEAT_T_VARCHAR);
        types[1] = leat_type_of(LEAT_T_BIGINT);
        types[2] = leat_type_of(LEAT_T_TIMESTAMPTZ);
        *ret_count = 3;
        *ret_names = names;
        *ret_types = types;
        return 0;
}

struct scan {
        struct leat_batch batch;
        struct leat_column columns[3];
        bool done;
};

static int source_open(void *arg, const char *key, const uint32_t *columns, uint32_t count, void **ret_scan,
                       struct leat_error *err)
{
        (void)arg, (void)key, (void)err;
        struct scan *scan = leat_calloc(1, sizeof *scan);
        for (uint32_t i = 0; i < count; i++)
                scan->columns[i] = source->columns[columns[i]];
        scan->batch = (struct leat_batch){.rows = source_rows, .column_count = count, .columns = scan->columns};
        *ret_scan = scan;
        return 0;
}

static int source_next(void *arg, const struct leat_batch **ret_batch, struct leat_error *err)
{
        struct scan *scan = arg;
        (void)err;
        *ret_batch = scan->done ? NULL : &scan->batch;
        scan->done = true;
        return 0;
}

static const struct leat_relation_ops source_ops = {source_describe, source_open, source_next, free};

static void check(int rc, const struct leat_error *err)
{
        if (rc != 0) {
                fprintf(stderr, "%s\n", err->message);
                exit(1);
        }
}

static void make_source(struct leat_arena *arena, int keys)
{
        struct leat_type types[] = {leat_type_of(LEAT_T_VARCHAR), leat_type_of(LEAT_T_BIGINT),
                                    leat_type_of(LEAT_T_TIMESTAMPTZ)};
        source = leat_batch_new(arena, types, 3, BATCH_ROWS);
        uint64_t x = 1;
        for (uint32_t i = 0; i < BATCH_ROWS; i++) {
                x = leat_hash_mix(x, i);
                char *text = leat_arena_printf(arena, "station-%06d", (int)(x % (uint64_t)keys));
                ((struct leat_string *)source->columns[0].data)[i] = leat_string_borrow(leat_view_str(text));
                ((int64_t *)source->columns[1].data)[i] = (int64_t)(x % (uint64_t)keys);
                ((int64_t *)source->columns[2].data)[i] = 1700000000000000 + i * 500;
        }
        source->rows = source_rows = BATCH_ROWS;
}

static void bench_plan(struct leat_conn *conn, const char *name, const char *sql, uint32_t rows, int runs, bool stream)
{
        struct leat_error err = {0};
        struct leat_plan *plan;
        int64_t out = 0;
        source_rows = rows;
        check(leat_plan_prepare(conn, sql, &plan, &err), &err);
        int64_t start = 0;
        for (int i = -runs / 10; i < runs; i++) {
                struct leat_result *result;
                const struct leat_batch *batch;
                if (i == 0)
                        start = leat_os_monotonic_us();
                check(leat_plan_run(plan, stream, &result, &err), &err);
                for (;;) {
                        check(leat_result_next(result, &batch, &err), &err);
                        if (batch == NULL)
                                break;
                        out += batch->rows;
                }
                leat_result_free(result);
        }
        double us = (double)(leat_os_monotonic_us() - start) / runs;
        printf("%-44s %8.1f us a run", name, us);
        if (rows > 1)
                printf("  %6.1f M rows/s", rows / us);
        printf("  (%" PRId64 " rows out)\n", out / runs);
        leat_plan_free(plan);
}

static long resident_kib(void)
{
        long pages = 0, resident = 0;
        FILE *file = fopen("/proc/self/statm", "r");
        if (file != NULL && fscanf(file, "%ld %ld", &pages, &resident) != 2)
                resident = 0;
        if (file != NULL)
                fclose(file);
        return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static void bench_instances(void)
{
        struct leat_engine *engines[8];
        struct leat_conn *conns[8];
        struct leat_error err = {0};
        int64_t start = leat_os_monotonic_us();
        long before = resident_kib();
        for (int i = 0; i < 8; i++) {
                check(leat_engine_open(NULL, &engines[i], &err), &err);
                check(leat_conn_open(engines[i], NULL, NULL, &conns[i], &err), &err);
                check(leat_conn_exec(conns[i], "SELECT 1", &err), &err);
        }
        printf("instance: %.1f ms to open, %.1f MiB\n", (double)(leat_os_monotonic_us() - start) / 8000,
               (double)(resident_kib() - before) / 8 / 1024);
        for (int i = 0; i < 8; i++) {
                leat_conn_close(conns[i]);
                leat_engine_close(engines[i]);
        }
}

int main(void)
{
        struct leat_engine *engine;
        struct leat_conn *conn;
        struct leat_error err = {0};
        struct leat_arena *arena = leat_arena_new(0);
        check(leat_engine_open(NULL, &engine, &err), &err);
        check(leat_conn_open(engine, &source_ops, NULL, &conn, &err), &err);
        make_source(arena, 1000);
        bench_plan(conn, "count by BIGINT key and window",
                   "SELECT id, leat_window_start(event_time, INTERVAL 10 SECOND) w, count(*) FROM leat_scan('s') GROUP "
                   "BY ALL",
                   BATCH_ROWS, 500, false);
        bench_plan(conn, "count by VARCHAR key and window",
                   "SELECT site, leat_window_start(event_time, INTERVAL 10 SECOND) w, count(*) FROM leat_scan('s') "
                   "GROUP BY ALL",
                   BATCH_ROWS, 500, false);
        bench_plan(
                conn, "count by VARCHAR key, time_bucket",
                "SELECT site, time_bucket(INTERVAL 10 SECOND, event_time) w, count(*) FROM leat_scan('s') GROUP BY ALL",
                BATCH_ROWS, 500, false);
        bench_plan(conn, "filter and project, materialized", "SELECT site, id + 1 FROM leat_scan('s') WHERE id % 2 = 0",
                   BATCH_ROWS, 500, false);
        bench_plan(conn, "filter and project, streaming", "SELECT site, id + 1 FROM leat_scan('s') WHERE id % 2 = 0",
                   BATCH_ROWS, 500, true);
        bench_plan(conn, "one row through, materialized", "SELECT id + 1 FROM leat_scan('s')", 1, 5000, false);
        bench_plan(conn, "one row through, streaming", "SELECT id + 1 FROM leat_scan('s')", 1, 5000, true);
        bench_plan(conn, "one row grouped, materialized", "SELECT id, count(*) FROM leat_scan('s') GROUP BY id", 1,
                   5000, false);
        leat_conn_close(conn);
        leat_engine_close(engine);
        leat_arena_free(arena);
        bench_instances();
        return 0;
}
