/* SPDX-License-Identifier: Apache-2.0 */
/* leat/stream: running jobs, random rows and an oracle, for the tests that compare views with their queries. */
#ifndef LEAT_STREAM_TEST_WORLD_H
#define LEAT_STREAM_TEST_WORLD_H

#include "stream_run.h"
#include "stream_test.h"

struct oracle_relation {
        const char *name;
        uint32_t column_count;
        const char *const *names;
        const struct leat_type *types;
        struct leat_delta delta;
};
struct world {
        struct stream_fixture *fx;
        struct leat_runtime rt;
        struct leat_state *state;
        struct leat_arena *rows_arena, *tick_arena;
        struct leat_engine *engine; /* the oracle's */
        struct leat_conn *conn;
        struct oracle_relation scans, stations;
        uint64_t random;
        int64_t tick, now_us, watermark_us, next_watermark_us;
        struct leat_stream_job *jobs[8];
        const char *sql[8], *want[8];
        uint32_t job_count;
        uint64_t next_arr;
};

/* A topic `scans` and a keyed one, `stations`; the same @seed gives the same rows. */
struct world *world_new(uint64_t seed);
void world_free(struct world *w);
/* A number below @limit. */
uint32_t world_random(struct world *w, uint32_t limit);
/* Adds a job for @sql; @want: the oracle's query, NULL = the same. */
void world_job_add(struct world *w, const char *name, const char *sql, const char *want,
                   const struct leat_stream_options *options);
/* Rows for the next tick, a third of them out of order. */
struct leat_batch *world_rows(struct world *w, uint32_t rows);
void world_tick(struct world *w, struct leat_batch *rows);
/* Fails unless view @k equals its query. */
void world_check(struct world *w, uint32_t k);
/* Ticks of random sizes, with all views checked after each. */
void world_run(struct world *w, int ticks);

/* scans in windows, as the SQL layer writes them. */
#define TUMBLE \
        "(SELECT *, leat_window_start(ts, INTERVAL '10 seconds') AS window_start, leat_window_start(ts, INTERVAL '10 " \
        "seconds') + INTERVAL '10 seconds' AS window_end FROM scans)"
#define HOP(slide, size) \
        "(SELECT *, window_start + INTERVAL '" size \
        " seconds' AS window_end FROM (SELECT *, unnest(leat_hop_starts(ts, INTERVAL '" slide \
        " seconds', INTERVAL '" size " seconds')) AS window_start FROM scans))"

#endif
