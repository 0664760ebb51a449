/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/state: loading manifests: at the start, and, for readers, while ticks go on.
 *
 * Design    A reader keeps the runs of single ticks ("leaves") beside what it
 *           merged from them, because a manifest can come for any tick: then the
 *           leaves up to that tick go and the later ones are put on top of the
 *           manifest's runs again. What both manifests name is taken over as it is,
 *           with its maps and the marks of what was checked.
 */
#include <stdio.h>

#include "state_int.h"

#define MANIFEST_MAX (1u << 30)

/* Runs and packs that are open, by file and place. */
struct open_runs {
        struct leat_run **runs;
        uint32_t count, cap;
};

static void open_add(struct open_runs *open, struct leat_run *run)
{
        if (open->count == open->cap) {
                open->cap = LEAT_MAX(open->cap * 2, 64u);
                open->runs = leat_realloc(open->runs, open->cap * sizeof *open->runs);
        }
        open->runs[open->count++] = run;
}

static int open_cmp(const void *x, const void *y)
{
        const struct leat_run *a = *(struct leat_run *const *)x, *b = *(struct leat_run *const *)y;
        if (a->pack->seq != b->pack->seq)
                return a->pack->seq > b->pack->seq ? 1 : -1;
        return (a->pack_offset > b->pack_offset) - (a->pack_offset < b->pack_offset);
}

static void open_collect(const struct leat_entry *entries, uint32_t count, struct open_runs *open)
{
        for (uint32_t e = 0; e < count; e++)
                for (uint32_t b = 0; b < entries[e].table->count; b++) {
                        const struct leat_bucket *bucket = entries[e].table->buckets[b];
                        for (uint32_t r = bucket->mem_count; r < bucket->count; r++)
                                open_add(open, bucket->runs[r]);
                }
        if (open->count != 0)
                qsort(open->runs, open->count, sizeof *open->runs, open_cmp);
}

static struct leat_run *open_find(const struct open_runs *open, const struct leat_manifest_run *want)
{
        uint32_t low = 0, high = open->count;
        while (low < high) {
                uint32_t mid = low + (high - low) / 2;
                const struct leat_run *run = open->runs[mid];
                if (run->pack->seq < want->seq || (run->pack->seq == want->seq && run->pack_offset < want->offset))
                        low = mid + 1;
                else
                        high = mid;
        }
        /* The run itself, or another one of the same pack. */
        return low < open->count && open->runs[low]->pack->seq == want->seq ? open->runs[low] : NULL;
}

struct loading {
        const char *dir;
        struct open_runs old;     /* of the state before */
        struct leat_pack **packs; /* opened now */
        uint32_t pack_count, pack_cap;
};

static int load_pack(struct loading *l, uint64_t seq, struct leat_pack **ret, struct leat_error *err)
{
        for (uint32_t i = l->pack_count; i > 0; i--)
                if (l->packs[i - 1]->seq == seq) {
                        *ret = l->packs[i - 1];
                        return 0;
                }
        struct leat_pack *pack;
        LEAT_TRY(leat_pack_open(l->dir, seq, &pack, err));
        if (l->pack_count == l->pack_cap) {
                l->pack_cap = LEAT_MAX(l->pack_cap * 2, 16u);
                l->packs = leat_realloc(l->packs, l->pack_cap * sizeof *l->packs);
        }
        l->packs[l->pack_count++] = *ret = pack;
        return 0;
}

static int load_run(struct loading *l, struct leat_arr *arr, const struct leat_manifest_run *want,
                    struct leat_run **ret, struct leat_error *err)
{
        struct leat_run *have = open_find(&l->old, want);
        if (have != NULL && have->pack_offset == want->offset && have->arr->seed == arr->seed) {
                *ret = leat_run_ref(have);
                return 0;
        }
        struct leat_pack *pack = have != NULL ? have->pack : NULL;
        if (pack == NULL)
                LEAT_TRY(load_pack(l, want->seq, &pack, err));
        struct leat_run *run;
        LEAT_TRY(leat_run_open(pack, want->offset, want->bytes, arr, &run, err));
        if (run->info.bucket != want->bucket || run->info.rows != want->rows) {
                leat_error_set(err, LEAT_ECORRUPT,
                               "%s at byte %" PRIu64 ": the run is not the one that the manifest names", pack->path,
                               want->offset);
                leat_run_unref(run);
                return LEAT_ECORRUPT;
        }
        *ret = run;
        return 0;
}

static int load_arr(struct leat_state *state, struct loading *l, const struct leat_manifest_arr *from,
                    struct leat_error *err)
{
        struct leat_entry *entry = leat_state_entry_add(state, leat_table_new(from->arr));
        entry->expired_us = from->expired_us;
        entry->loaded = true;
        for (uint32_t r = 0; r < from->run_count; r++) {
                struct leat_run *run;
                LEAT_TRY(load_run(l, from->arr, &from->runs[r], &run, err));
                leat_table_append(entry->table, run);
        }
        return 0;
}

static void entries_free(struct leat_entry *entries, uint32_t count)
{
        for (uint32_t i = 0; i < count; i++)
                leat_entry_done(&entries[i]);
        free(entries);
}

/* Replaces state->entries by those of the manifest; the old ones are given back. */
static int load_entries(struct leat_state *state, int64_t tick, struct leat_buf *ret_extra, struct leat_entry **ret_old,
                        uint32_t *ret_old_count, struct leat_error *err)
{
        char path[4096];
        struct leat_buf bytes = LEAT_BUF_INIT;
        struct leat_manifest m;
        struct loading l = {.dir = state->dir};
        struct leat_arena *arena = leat_arena_new(0);
        leat_manifest_path(state->dir, tick, path, sizeof path);
        int rc = leat_os_read_file(path, MANIFEST_MAX, &bytes, err);
        if (rc == 0)
                rc = leat_manifest_decode(arena, leat_buf_view(&bytes), path, &m, err);
        if (rc == 0 && m.tick != tick)
                rc = leat_error_set(err, LEAT_ECORRUPT, "%s holds the manifest of tick %" PRId64, path, m.tick);
        struct leat_entry *old = state->entries;
        uint32_t old_count = state->entry_count, old_cap = state->entry_cap;
        state->entries = NULL;
        state->entry_count = state->entry_cap = 0;
        open_collect(old, old_count, &l.old);
        for (uint32_t i = 0; rc == 0 && i < m.arr_count; i++)
                rc = load_arr(state, &l, &m.arrs[i], err);
        if (rc == 0) {
                leat_state_named(state, &m);
                state->next_seq = LEAT_MAX(state->next_seq, m.next_seq);
                leat_state_snapshot_unref(state->snapshot);
                state->snapshot = NULL;
                if (ret_extra != NULL) {
                        leat_buf_clear(ret_extra);
                        leat_buf_add_view(ret_extra, m.extra);
                }
                *ret_old = old;
                *ret_old_count = old_count;
        } else {
                entries_free(state->entries, state->entry_count);
                state->entries = old;
                state->entry_count = old_count;
                state->entry_cap = old_cap;
        }
        for (uint32_t i = 0; i < l.pack_count; i++)
                leat_pack_unref(l.packs[i]);
        free(l.packs);
        free(l.old.runs);
        leat_arena_free(arena);
        leat_buf_done(&bytes);
        return rc;
}

int leat_state_load(struct leat_state *state, int64_t tick, struct leat_buf *ret_extra, struct leat_error *err)
{
        struct leat_entry *old;
        uint32_t old_count;
        LEAT_TRY(load_entries(state, tick, ret_extra, &old, &old_count, err));
        entries_free(old, old_count);
        state->tick = tick;
        return 0;
}

/* ---- refresh -------------------------------------------------------------------------- */

/* The rows of a leaf under another hash seed. */
static int leaf_again(struct leat_state *state, struct leat_entry *entry, struct leat_run *leaf, struct leat_error *err)
{
        const struct leat_arr_def *def = &leaf->arr->def;
        struct leat_arena *arena = leat_arena_new(0);
        uint32_t count = (uint32_t)leaf->info.rows;
        struct leat_ref *refs = leat_arena_alloc(arena, count * sizeof *refs);
        int64_t *weights = leat_arena_alloc(arena, count * sizeof *weights);
        int rc = 0;
        for (uint32_t i = 0; i < count && rc == 0; i++)
                rc = leat_run_ref_at(leaf, i, &refs[i], err);
        struct leat_run **runs = NULL;
        uint32_t run_count = 0;
        if (rc == 0) {
                struct leat_batch *rows = leat_batch_new(arena, def->types, def->column_count, count);
                rows->rows = count;
                for (uint32_t c = 0; c < def->column_count; c++)
                        leat_refs_column(arena, refs, count, c, &rows->columns[c]);
                leat_refs_weights(refs, count, def->column_count, weights);
                rc = leat_apply_runs(entry->table->arr, leaf->info.tick_high, rows, weights, &runs, &run_count, err);
        }
        for (uint32_t i = 0; i < run_count; i++) {
                if (rc == 0)
                        rc = leat_state_push(state, entry, runs[i], err);
                else
                        leat_run_unref(runs[i]);
        }
        free(runs);
        leat_arena_free(arena);
        return rc;
}

static int replay_leaves(struct leat_state *state, struct leat_entry *entry, const struct leat_entry *old,
                         int64_t manifest_tick, struct leat_error *err)
{
        for (uint32_t i = 0; i < old->leaf_count; i++) {
                struct leat_run *leaf = old->leaves[i];
                if (leaf->info.tick_high <= manifest_tick)
                        continue;
                if (leaf->arr->seed == entry->table->arr->seed)
                        LEAT_TRY(leat_state_push(state, entry, leat_run_ref(leaf), err));
                else
                        LEAT_TRY(leaf_again(state, entry, leaf, err));
        }
        return 0;
}

static int carry_over(struct leat_state *state, const struct leat_entry *old, int64_t manifest_tick,
                      struct leat_error *err)
{
        const struct leat_arr *arr = old->table->arr;
        struct leat_entry *entry = leat_state_entry(state, arr->def.id);
        if (entry == NULL) {
                if (old->loaded)
                        return 0; /* the writer dropped it */
                entry = leat_state_entry_add(state, leat_table_new(old->table->arr));
        } else if (!leat_arr_def_eq(&entry->table->arr->def, &arr->def)) {
                return leat_error_set(err, LEAT_ECORRUPT,
                                      "arrangement %" PRIu64 " has another definition in the manifest", arr->def.id);
        }
        for (uint32_t i = 0; i < old->expiry_count; i++) {
                const struct leat_expiry *expiry = &old->expiries[i];
                if (expiry->tick < manifest_tick)
                        continue;
                leat_state_drop_expired(state, entry, expiry->time_us);
                leat_entry_expired(entry, expiry->tick, expiry->time_us);
        }
        entry->expired_us = LEAT_MAX(entry->expired_us, old->expired_us);
        return replay_leaves(state, entry, old, manifest_tick, err);
}

int leat_state_refresh(struct leat_state *state, int64_t *ret_tick, struct leat_error *err)
{
        if (state->options.role != LEAT_STATE_READER)
                return leat_error_set(err, LEAT_EDENIED, "the writer of a state has nothing to refresh");
        int64_t ticks[2], manifest_tick = -1;
        int rc = 0;
        struct leat_entry *old = NULL;
        uint32_t old_count = 0;
        for (int attempt = 0;; attempt++) {
                LEAT_TRY(leat_manifest_list(state->dir, ticks, err));
                *ret_tick = state->tick;
                /* The state never jumps: a manifest that is ahead waits until the ticks have come to it. */
                manifest_tick = ticks[0] <= state->tick ? ticks[0] : ticks[1];
                if (manifest_tick < 0 || manifest_tick <= state->named[0].tick || manifest_tick > state->tick)
                        return 0;
                rc = load_entries(state, manifest_tick, NULL, &old, &old_count, err);
                if (rc != LEAT_ENOTFOUND || attempt == 10)
                        break;
        }
        LEAT_TRY(rc);
        state->memory_bytes = 0;
        for (uint32_t i = 0; i < old_count && rc == 0; i++)
                rc = carry_over(state, &old[i], manifest_tick, err);
        entries_free(old, old_count);
        *ret_tick = state->tick;
        if (rc != 0 && err != NULL)
                err->fatal = true;
        return rc;
}

/* ---- verify ---------------------------------------------------------------------------- */

int leat_state_verify(const char *dir, void (*fn)(void *arg, const char *file, const char *what), void *arg,
                      struct leat_error *err)
{
        int64_t ticks[2];
        LEAT_TRY(leat_manifest_list(dir, ticks, err));
        if (ticks[0] < 0)
                return 0;
        char path[4096];
        struct leat_buf bytes = LEAT_BUF_INIT;
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_manifest m;
        leat_manifest_path(dir, ticks[0], path, sizeof path);
        int rc = leat_os_read_file(path, MANIFEST_MAX, &bytes, err);
        struct leat_error found;
        if (rc == 0 && leat_manifest_decode(arena, leat_buf_view(&bytes), path, &m, &found) != 0) {
                fn(arg, path, found.message);
                m.arr_count = 0;
        }
        struct loading l = {.dir = dir};
        for (uint32_t i = 0; rc == 0 && i < m.arr_count; i++)
                for (uint32_t r = 0; r < m.arrs[i].run_count; r++) {
                        struct leat_run *run = NULL;
                        int bad = load_run(&l, m.arrs[i].arr, &m.arrs[i].runs[r], &run, &found);
                        if (bad == 0)
                                bad = leat_run_verify(run, &found);
                        leat_run_unref(run);
                        leat_pack_path(dir, m.arrs[i].runs[r].seq, path, sizeof path);
                        if (bad != 0)
                                fn(arg, path, found.message);
                }
        for (uint32_t i = 0; i < l.pack_count; i++)
                leat_pack_unref(l.packs[i]);
        free(l.packs);
        leat_arena_free(arena);
        leat_buf_done(&bytes);
        return rc;
}
