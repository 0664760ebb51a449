/* SPDX-License-Identifier: Apache-2.0 */
/* leat/state: random work on a writer and a reader that follows it, against the model. */
#include <stdio.h>

#include "state_test.h"

/* What the tick topic would have: a section, or an expiry when there are no bytes. */
struct logged {
        int64_t tick, expire_us;
        struct leat_buf bytes;
};

struct world {
        struct rng rng;
        char dir[4096];
        struct leat_state *writer, *reader;
        struct model model;
        struct leat_arena *arena;
        int64_t tick;
        int64_t published;  /* tick of the newest manifest */
        struct logged *log; /* since then */
        uint32_t log_count;
        /* A snapshot from earlier, and the model of then. */
        struct leat_state_snapshot *old;
        struct model old_model;
};

static void open_state(struct world *w, enum leat_state_role role, struct leat_state **ret)
{
        struct leat_error err;
        int64_t tick;
        struct leat_buf extra = LEAT_BUF_INIT;
        struct leat_state_options options = {.role = role, .dir = w->dir, .memory_bytes = 200000};
        CHECK_OK(leat_state_open(&options, ret, &tick, &extra, &err), &err);
        CHECK_OK(leat_state_define(*ret, &w->model.def, &err), &err);
        if (tick > 0) {
                char want[32];
                snprintf(want, sizeof want, "extra %lld", (long long)tick);
                CHECK_STR(leat_buf_cstr(&extra), want);
        }
        leat_buf_done(&extra);
}

static struct logged *log_add(struct world *w)
{
        w->log = leat_realloc(w->log, (w->log_count + 1) * sizeof *w->log);
        w->log[w->log_count] = (struct logged){.tick = w->tick, .bytes = LEAT_BUF_INIT};
        return &w->log[w->log_count++];
}

static void log_clear(struct world *w)
{
        for (uint32_t i = 0; i < w->log_count; i++)
                leat_buf_done(&w->log[i].bytes);
        w->log_count = 0;
}

static void apply_section(struct world *w, struct leat_state *state, int64_t tick, struct leat_view bytes)
{
        struct leat_error err;
        uint64_t arr;
        struct leat_batch *rows;
        int64_t *weights;
        CHECK_OK(leat_state_section_decode(w->arena, bytes, &arr, &rows, &weights, &err), &err);
        CHECK_INT(arr, w->model.def.id);
        CHECK_OK(leat_state_apply(state, arr, tick, rows, weights, &err), &err);
}

/* One tick at the writer, and by way of a section at the reader. */
static void do_apply(struct world *w)
{
        struct leat_error err;
        uint32_t count = rng_below(&w->rng, 5) == 0   ? 0
                         : rng_below(&w->rng, 8) == 0 ? 2000
                                                      : 1 + rng_below(&w->rng, 200);
        struct leat_batch *rows = random_rows(&w->rng, w->arena, &w->model.def, count);
        int64_t *weights = rng_below(&w->rng, 2) ? random_weights(&w->rng, w->arena, count) : NULL;
        w->tick++;
        CHECK_OK(leat_state_apply(w->writer, w->model.def.id, w->tick, rows, weights, &err), &err);
        struct leat_buf *bytes = &log_add(w)->bytes;
        leat_state_section_encode(w->model.def.id, rows, weights, bytes);
        apply_section(w, w->reader, w->tick, leat_buf_view(bytes));
        model_apply(&w->model, rows, weights);
}

static void do_expire(struct world *w)
{
        struct leat_error err;
        if (w->model.def.time_column < 0)
                return;
        int64_t time = (int64_t)rng_below(&w->rng, 9000) - 3000;
        if (rng_below(&w->rng, 2))
                time = time / 1000 * 1000 - (int64_t)rng_below(&w->rng, 2);
        CHECK_OK(leat_state_expire(w->writer, w->model.def.id, time, &err), &err);
        CHECK_OK(leat_state_expire(w->reader, w->model.def.id, time, &err), &err);
        log_add(w)->expire_us = time;
        model_expire(&w->model, time);
}

static void do_publish(struct world *w)
{
        struct leat_error err;
        char extra[32];
        snprintf(extra, sizeof extra, "extra %lld", (long long)w->tick);
        CHECK_OK(leat_state_publish(w->writer, w->tick, leat_view_str(extra), &err), &err);
        CHECK_INT(leat_state_unpublished_bytes(w->writer), 0);
        w->published = w->tick;
        log_clear(w);
}

static void do_merge(struct world *w)
{
        struct leat_error err;
        bool more = true;
        int steps = rng_below(&w->rng, 2) ? 50 : 1 + (int)rng_below(&w->rng, 4);
        for (int i = 0; more && i < steps; i++)
                CHECK_OK(leat_state_merge(w->writer, 1, &more, &err), &err);
}

static void do_refresh(struct world *w)
{
        struct leat_error err;
        int64_t tick;
        CHECK_OK(leat_state_refresh(w->reader, &tick, &err), &err);
        CHECK_INT(tick, w->tick);
}

static void do_reopen(struct world *w)
{
        do_publish(w);
        leat_state_close(w->writer);
        open_state(w, LEAT_STATE_WRITER, &w->writer);
        CHECK_INT(leat_state_tick(w->writer), w->tick);
        if (rng_below(&w->rng, 2)) {
                leat_state_close(w->reader);
                open_state(w, LEAT_STATE_READER, &w->reader);
        }
}

/* The writer dies with run files written that no manifest names; the next one goes on from the manifest and the log. */
static void do_crash(struct world *w)
{
        struct leat_error err;
        leat_state_close(w->writer);
        open_state(w, LEAT_STATE_WRITER, &w->writer);
        CHECK_INT(leat_state_tick(w->writer), w->published);
        for (uint32_t i = 0; i < w->log_count; i++) {
                const struct logged *entry = &w->log[i];
                if (entry->bytes.len != 0)
                        apply_section(w, w->writer, entry->tick, leat_buf_view(&entry->bytes));
                else
                        CHECK_OK(leat_state_expire(w->writer, w->model.def.id, entry->expire_us, &err), &err);
        }
        CHECK_INT(leat_state_tick(w->writer), w->tick);
}

static void do_check(struct world *w)
{
        struct leat_batch *keys = random_rows(&w->rng, w->arena, &w->model.def, rng_below(&w->rng, 60));
        struct leat_state_snapshot *snapshot = leat_state_snapshot_take(rng_below(&w->rng, 2) ? w->writer : w->reader);
        model_check(&w->model, snapshot, keys, &w->rng);
        if (w->old != NULL) {
                model_check(&w->old_model, w->old, keys, &w->rng);
                leat_state_snapshot_unref(w->old);
                model_done(&w->old_model);
                w->old = NULL;
        }
        if (rng_below(&w->rng, 2)) {
                w->old = leat_state_snapshot_ref(snapshot);
                w->old_model = model_copy(&w->model);
        }
        leat_state_snapshot_unref(snapshot);
        leat_arena_reset(w->arena);
}

static void no_damage(void *arg, const char *file, const char *what)
{
        (void)arg;
        leat_test_fail(__FILE__, __LINE__, "%s: %s", file, what);
}

static void run_world(uint64_t seed, const char *dir, int steps)
{
        struct leat_error err;
        struct world w = {.rng = {seed}, .arena = leat_arena_new(0)};
        struct leat_arena *types = leat_arena_new(0);
        snprintf(w.dir, sizeof w.dir, "%s/%llu", dir, (unsigned long long)seed);
        w.model.def = random_def(&w.rng, types, 1 + rng_below(&w.rng, 3));
        open_state(&w, LEAT_STATE_WRITER, &w.writer);
        open_state(&w, LEAT_STATE_READER, &w.reader);
        for (int i = 0; i < steps; i++) {
                uint32_t what = rng_below(&w.rng, 44);
                if (what < 26)
                        do_apply(&w);
                else if (what < 28)
                        do_expire(&w);
                else if (what < 31)
                        do_publish(&w);
                else if (what < 33 || what >= 42)
                        do_merge(&w);
                else if (what < 35)
                        do_refresh(&w);
                else if (what < 36)
                        do_reopen(&w);
                else if (what < 38)
                        do_crash(&w);
                else
                        do_check(&w);
        }
        do_check(&w);
        do_publish(&w);
        CHECK_OK(leat_state_verify(w.dir, no_damage, NULL, &err), &err);
        log_clear(&w);
        free(w.log);
        leat_state_snapshot_unref(w.old);
        model_done(&w.old_model);
        leat_state_close(w.reader);
        leat_state_close(w.writer);
        model_done(&w.model);
        leat_arena_free(w.arena);
        leat_arena_free(types);
}

LEAT_TEST(state_model)
{
        const struct leat_state_tuning usual = leat_state_tuning;
        uint64_t seed = leat_test_seed();
        for (int i = 0; i < 12 * leat_test_scale(); i++) {
                /* Most worlds merge often and in many steps; every third has 32 hashes for all keys. */
                leat_state_tuning = usual;
                if (i % 3 == 2)
                        leat_state_tuning.hash_bits = 31ull << 59;
                if (i % 4 != 0) {
                        leat_state_tuning.fanout_memory = 3;
                        leat_state_tuning.fanout_files = 2;
                        leat_state_tuning.slice_keys = 50;
                }
                printf("# seed %llu\n", (unsigned long long)(seed + (uint64_t)i));
                run_world(seed + (uint64_t)i, leat_test_tmpdir(), 60);
        }
        leat_state_tuning = usual;
}
