/* SPDX-License-Identifier: Apache-2.0 */
/* leat/stream: copies of views follow the originals, tick by tick and by difference. Random changes; the sum of what a
 * mirror tells its jobs must always be what the view is. */
#include <stdio.h>

#include "leat/test.h"
#include "stream_test.h"
#include "stream_worker.h"

static const struct leat_type types[] = {{.id = LEAT_T_BIGINT}, {.id = LEAT_T_VARCHAR}};
enum { KEYS = 40, SOURCE = 500 };

struct both {
        struct leat_worker w;
        struct leat_state *source; /* there */
        struct leat_arr_def def;
        struct leat_mirror mirror;
        int64_t sums[KEYS][KEYS]; /* weights that the mirror told, by key and value */
        char dirs[2][600];
};

static struct leat_state *state_new(const char *dir)
{
        struct leat_state_options options = {.role = LEAT_STATE_WRITER, .dir = dir};
        struct leat_state *state;
        struct leat_error err;
        int64_t tick;
        CHECK_OK(leat_state_open(&options, &state, &tick, NULL, &err), &err);
        return state;
}

static void both_open(struct both *b, enum leat_arr_mode mode, bool append_only)
{
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_stream_graph *graph = leat_arena_zalloc(arena, sizeof *graph);
        struct leat_error err;
        b->def = (struct leat_arr_def){.id = SOURCE,
                                       .mode = mode,
                                       .key_count = mode == LEAT_ARR_MAP ? 1 : 2,
                                       .column_count = 2,
                                       .types = types,
                                       .time_column = -1};
        graph->arena = arena;
        graph->arr_count = 1;
        graph->arrs = leat_arena_zalloc(arena, sizeof *graph->arrs);
        graph->arrs[0] = b->def;
        graph->output.append_only = append_only;
        leat_stream_arr_assign(graph, 900);
        for (int i = 0; i < 2; i++)
                snprintf(b->dirs[i], sizeof b->dirs[i], "%s/%d", leat_test_tmpdir(), i);
        b->source = state_new(b->dirs[0]);
        CHECK_OK(leat_state_define(b->source, &b->def, &err), &err);
        b->w.arena = leat_arena_new(0);
        b->w.state = state_new(b->dirs[1]);
        CHECK_OK(leat_runtime_open(&b->w.rt, 0, &err), &err);
        b->w.run = (struct leat_tick_run){.arena = b->w.arena, .state = b->w.state};
        b->mirror.source_arr = SOURCE;
        b->mirror.work.name = (char *)(uintptr_t) "v";
        b->mirror.work.job = leat_stream_job_mirror(&b->w.rt, arena, graph, 1, "v");
        struct leat_arr_def def = b->def;
        def.id = 900;
        CHECK_OK(leat_state_define(b->w.state, &def, &err), &err);
}

static void both_close(struct both *b)
{
        leat_stream_job_close(b->mirror.work.job);
        leat_runtime_close(&b->w.rt);
        leat_state_close(b->source);
        leat_state_close(b->w.state);
        leat_arena_free(b->w.arena);
        free(b->w.run.sections);
        free(b->w.run.expires);
        free(b->w.run.snapshots);
}

static uint64_t next_random(uint64_t *rng)
{
        *rng = *rng * 6364136223846793005ull + 1442695040888963407ull;
        return *rng >> 16;
}

static struct leat_batch *rows_make(struct leat_arena *arena, uint64_t *rng, bool map, int64_t **ret_weights)
{
        uint32_t count = 1 + (uint32_t)(next_random(rng) % 30);
        struct leat_batch *rows = leat_batch_new(arena, types, 2, count);
        int64_t *weights = leat_arena_alloc(arena, count * sizeof *weights);
        rows->rows = count;
        for (uint32_t i = 0; i < count; i++) {
                uint64_t r = next_random(rng);
                ((int64_t *)rows->columns[0].data)[i] = (int64_t)(r % KEYS);
                char *value = leat_arena_printf(arena, "value number %d", (int)(r / KEYS % KEYS));
                ((struct leat_string *)rows->columns[1].data)[i] = leat_string_borrow(leat_view_str(value));
                weights[i] = map ? (r >> 40) % 4 == 0 ? -1 : 1 : (int64_t)((r >> 40) % 3) + 1;
        }
        *ret_weights = weights;
        return rows;
}

static void told(struct both *b)
{
        const struct leat_delta *out = &b->mirror.work.job->out;
        for (uint32_t k = 0; k < out->count; k++)
                for (uint32_t i = 0; i < out->batches[k]->rows; i++) {
                        struct leat_buf text = LEAT_BUF_INIT;
                        int value = 0;
                        leat_column_print(&out->batches[k]->columns[1], i, &text);
                        CHECK_INT(sscanf(leat_buf_cstr(&text), "value number %d", &value), 1);
                        leat_buf_done(&text);
                        b->sums[((const int64_t *)out->batches[k]->columns[0].data)[i]][value] +=
                                out->weights[k] != NULL ? out->weights[k][i] : 1;
                }
        leat_delta_clear(&b->mirror.work.job->out);
        leat_tick_run_done(&b->w.run);
        leat_arena_reset(b->w.arena);
}

/* Takes what @state has away from the sums, and checks that nothing is left; puts it back. */
static void check_same(struct both *b, struct leat_state *state, uint64_t arr)
{
        for (int sign = -1; sign <= 1; sign += 2) {
                struct leat_state_snapshot *snapshot = leat_state_snapshot_take(state);
                struct leat_scan *scan;
                const struct leat_batch *chunk;
                const int64_t *weights;
                struct leat_error err;
                CHECK_OK(leat_scan_open(snapshot, arr, NULL, 0, &scan, &err), &err);
                while (leat_scan_next(scan, &chunk, &weights, &err) == 0 && chunk != NULL)
                        for (uint32_t i = 0; i < chunk->rows; i++) {
                                struct leat_buf text = LEAT_BUF_INIT;
                                int value = 0;
                                leat_column_print(&chunk->columns[1], i, &text);
                                CHECK_INT(sscanf(leat_buf_cstr(&text), "value number %d", &value), 1);
                                leat_buf_done(&text);
                                b->sums[((const int64_t *)chunk->columns[0].data)[i]][value] +=
                                        sign * (weights != NULL ? weights[i] : 1);
                        }
                leat_scan_close(scan);
                leat_state_snapshot_unref(snapshot);
                for (int k = 0; k < KEYS && sign < 0; k++)
                        for (int v = 0; v < KEYS; v++)
                                CHECK_INT(b->sums[k][v], 0);
        }
}

static void follow(enum leat_arr_mode mode, uint64_t seed)
{
        struct both *b = leat_calloc(1, sizeof *b);
        struct leat_error err = {0};
        both_open(b, mode, false);
        for (int64_t tick = 1; tick <= 60; tick++) {
                bool away = tick % 20 >= 12 && tick % 20 < 18;
                struct leat_arena *arena = leat_arena_new(0);
                int64_t *weights;
                struct leat_batch *rows = rows_make(arena, &seed, mode == LEAT_ARR_MAP, &weights);
                CHECK_OK(leat_state_apply(b->source, SOURCE, tick, rows, weights, &err), &err);
                b->w.run.tick = tick;
                if (tick % 20 == 18) { /* ticks were missed */
                        struct leat_state_snapshot *snapshot = leat_state_snapshot_take(b->source);
                        CHECK_OK(leat_mirror_diff(&b->w, &b->mirror, snapshot, INT64_MIN, &err), &err);
                        leat_state_snapshot_unref(snapshot);
                } else if (!away) {
                        CHECK_OK(leat_mirror_apply(&b->w, &b->mirror, rows, weights, &err), &err);
                }
                leat_arena_free(arena);
                told(b);
                check_same(b, b->w.state, 900);
                if (!away)
                        check_same(b, b->source, SOURCE);
        }
        both_close(b);
        free(b);
}

LEAT_TEST(mirror_follows_newest_rows)
{
        follow(LEAT_ARR_MAP, 1);
}

LEAT_TEST(mirror_follows_weights)
{
        follow(LEAT_ARR_MULTISET, 2);
}

LEAT_TEST(mirror_of_append_only_rows_takes_none_back)
{
        struct both *b = leat_calloc(1, sizeof *b);
        struct leat_error err = {0};
        int64_t *weights;
        uint64_t seed = 3;
        both_open(b, LEAT_ARR_MAP, true);
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_batch *rows = rows_make(arena, &seed, true, &weights);
        b->w.run.tick = 1;
        CHECK_OK(leat_mirror_apply(&b->w, &b->mirror, rows, NULL, &err), &err);
        CHECK_OK(leat_mirror_apply(&b->w, &b->mirror, rows, NULL, &err), &err); /* keys that are there: no news */
        told(b);
        int64_t total = 0;
        for (int k = 0; k < KEYS; k++)
                for (int v = 0; v < KEYS; v++)
                        total += b->sums[k][v];
        CHECK(total > 0 && total <= rows->rows);
        struct leat_state_snapshot *snapshot = leat_state_snapshot_take(b->source); /* empty: made anew */
        CHECK_INT(leat_mirror_diff(&b->w, &b->mirror, snapshot, INT64_MIN, &err), LEAT_EUNSUPPORTED);
        leat_state_snapshot_unref(snapshot);
        leat_arena_free(arena);
        leat_tick_run_done(&b->w.run);
        both_close(b);
        free(b);
}
