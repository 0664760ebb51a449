/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/state: opening, definitions, applying ticks, expiry.
 *
 * Files     DATA/store/pipelines/<pipeline>/
 *             lock                    held by the writer
 *             manifest-<tick>         the newest is the state, one older one stays
 *             run-<number>            packs: one or more runs
 * Threads   One owner. Snapshots, and what is opened from them, belong to whoever
 *           holds them.
 */
#include <stdio.h>

#include "state_int.h"

#define MEMORY_DEFAULT (64ll << 20)
#define LOCK_WAIT_US 5000000

struct leat_state_tuning leat_state_tuning = {
        .hash_bits = UINT64_MAX, .fanout_memory = 16, .fanout_files = 8, .slice_keys = 4096};

/* ---- entries ------------------------------------------------------------------- */

static uint32_t entry_place(const struct leat_state *state, uint64_t arr)
{
        uint32_t low = 0, high = state->entry_count;
        while (low < high) {
                uint32_t mid = low + (high - low) / 2;
                if (state->entries[mid].table->arr->def.id < arr)
                        low = mid + 1;
                else
                        high = mid;
        }
        return low;
}

struct leat_entry *leat_state_entry(const struct leat_state *state, uint64_t arr)
{
        uint32_t place = entry_place(state, arr);
        if (place == state->entry_count || state->entries[place].table->arr->def.id != arr)
                return NULL;
        return &state->entries[place];
}

struct leat_entry *leat_state_entry_add(struct leat_state *state, struct leat_table *table)
{
        uint32_t place = entry_place(state, table->arr->def.id);
        if (state->entry_count == state->entry_cap) {
                state->entry_cap = LEAT_MAX(state->entry_cap * 2, 8u);
                state->entries = leat_realloc(state->entries, state->entry_cap * sizeof *state->entries);
        }
        struct leat_entry *entry = &state->entries[place];
        memmove(entry + 1, entry, (state->entry_count - place) * sizeof *entry);
        *entry = (struct leat_entry){.table = table, .expired_us = INT64_MIN};
        state->entry_count++;
        return entry;
}

void leat_entry_done(struct leat_entry *entry)
{
        for (uint32_t i = 0; i < entry->leaf_count; i++)
                leat_run_unref(entry->leaves[i]);
        free(entry->leaves);
        free(entry->expiries);
        leat_table_unref(entry->table);
        *entry = (struct leat_entry){0};
}

/* Something changed: the next snapshot is a new one. */
static void changed(struct leat_state *state)
{
        leat_state_snapshot_unref(state->snapshot);
        state->snapshot = NULL;
}

void leat_state_replace(struct leat_state *state, struct leat_entry *entry, int64_t bucket, uint32_t from,
                        uint32_t count, struct leat_run *run, bool mem)
{
        changed(state);
        struct leat_table *table = leat_table_own(&entry->table);
        const struct leat_bucket *old = leat_table_find(table, bucket);
        for (uint32_t i = from; i < from + count; i++)
                if (old->runs[i]->pack == NULL)
                        state->memory_bytes -= old->runs[i]->bytes;
        if (run != NULL && mem)
                state->memory_bytes += run->bytes;
        leat_table_replace(table, bucket, from, count, run, mem);
}

/* ---- opening ------------------------------------------------------------------- */

/* Makes the folder and those above it, so that their names survive a power loss. */
static int make_folder(const char *dir, struct leat_error *err)
{
        char parent[4096];
        if (leat_os_exists(dir))
                return 0;
        snprintf(parent, sizeof parent, "%s", dir);
        char *slash = strrchr(parent, '/');
        if (slash == NULL)
                snprintf(parent, sizeof parent, ".");
        else
                slash[slash == parent] = '\0';
        LEAT_TRY(make_folder(parent, err));
        LEAT_TRY(leat_os_mkdirs(dir, err));
        return leat_os_sync_dir(parent, err);
}

static int open_writer(struct leat_state *state, struct leat_error *err)
{
        char path[4096];
        LEAT_TRY(make_folder(state->dir, err));
        snprintf(path, sizeof path, "%s/lock", state->dir);
        return leat_os_lock_file(path, state->options.lock_wait_us > 0 ? state->options.lock_wait_us : LOCK_WAIT_US,
                                 &state->lock_fd, err);
}

int leat_state_open(const struct leat_state_options *options, struct leat_state **ret_state, int64_t *ret_tick,
                    struct leat_buf *ret_extra, struct leat_error *err)
{
        struct leat_state *state = leat_calloc(1, sizeof *state);
        state->options = *options;
        state->dir = leat_strdup(options->dir);
        state->options.dir = state->dir;
        state->lock_fd = -1;
        state->next_seq = 1;
        state->named[0].tick = state->named[1].tick = -1;
        if (state->options.memory_bytes <= 0)
                state->options.memory_bytes = MEMORY_DEFAULT;
        int64_t ticks[2] = {-1, -1};
        int rc = options->role == LEAT_STATE_WRITER ? open_writer(state, err) : 0;
        for (int attempt = 0; rc == 0; attempt++) {
                rc = leat_manifest_list(state->dir, ticks, err);
                if (rc != 0 || ticks[0] < 0)
                        break;
                rc = leat_state_load(state, ticks[0], ret_extra, err);
                /* A newer manifest came and its writer removed what this one names. */
                if (rc != LEAT_ENOTFOUND || options->role == LEAT_STATE_WRITER || attempt == 10)
                        break;
                rc = 0;
        }
        if (rc == 0 && options->role == LEAT_STATE_WRITER)
                rc = leat_state_sweep(state, ticks[1], err);
        if (rc != 0) {
                leat_state_close(state);
                return rc;
        }
        *ret_tick = state->tick;
        *ret_state = state;
        return 0;
}

void leat_state_close(struct leat_state *state)
{
        if (state == NULL)
                return;
        leat_job_abort(state);
        changed(state);
        for (uint32_t i = 0; i < state->entry_count; i++)
                leat_entry_done(&state->entries[i]);
        leat_os_close(state->lock_fd);
        free(state->entries);
        free(state->files);
        free(state->named[0].seqs);
        free(state->named[1].seqs);
        free(state->dir);
        free(state);
}

int64_t leat_state_tick(const struct leat_state *state)
{
        return state->tick;
}

int64_t leat_state_unpublished_bytes(const struct leat_state *state)
{
        uint64_t bytes = 0;
        for (uint32_t e = 0; e < state->entry_count; e++) {
                const struct leat_table *table = state->entries[e].table;
                for (uint32_t b = 0; b < table->count; b++)
                        for (uint32_t r = 0; r < table->buckets[b]->count; r++)
                                if (table->buckets[b]->runs[r]->info.tick_low > state->named[0].tick)
                                        bytes += table->buckets[b]->runs[r]->bytes;
        }
        return (int64_t)bytes;
}

uint32_t leat_state_list(const struct leat_state *state, uint64_t *out, uint32_t max)
{
        for (uint32_t i = 0; i < LEAT_MIN(max, state->entry_count); i++)
                out[i] = state->entries[i].table->arr->def.id;
        return state->entry_count;
}

/* ---- definitions ---------------------------------------------------------------- */

int leat_state_define(struct leat_state *state, const struct leat_arr_def *def, struct leat_error *err)
{
        LEAT_TRY(leat_arr_check(def, err));
        const struct leat_entry *have = leat_state_entry(state, def->id);
        if (have != NULL) {
                if (leat_arr_def_eq(&have->table->arr->def, def))
                        return 0;
                return leat_error_set(err, LEAT_EEXISTS, "arrangement %" PRIu64 " exists with another definition",
                                      def->id);
        }
        uint64_t seed;
        leat_os_random(&seed, sizeof seed);
        struct leat_arr *arr = leat_arr_new(def, seed);
        changed(state);
        leat_state_entry_add(state, leat_table_new(arr));
        leat_arr_unref(arr);
        return 0;
}

int leat_state_drop(struct leat_state *state, uint64_t arr, struct leat_error *err)
{
        struct leat_entry *entry = leat_state_entry(state, arr);
        if (entry == NULL)
                return leat_error_set(err, LEAT_ENOTFOUND, "there is no arrangement %" PRIu64, arr);
        while (entry->table->count != 0) {
                const struct leat_bucket *bucket = entry->table->buckets[0];
                if (leat_job_uses(state, arr, bucket->id))
                        leat_job_abort(state);
                leat_state_replace(state, entry, bucket->id, 0, bucket->count, NULL, false);
        }
        changed(state);
        leat_entry_done(entry);
        state->entry_count--;
        memmove(entry, entry + 1, (size_t)(state->entries + state->entry_count - entry) * sizeof *entry);
        return 0;
}

const struct leat_arr_def *leat_state_def(const struct leat_state *state, uint64_t arr)
{
        const struct leat_entry *entry = leat_state_entry(state, arr);
        return entry != NULL ? &entry->table->arr->def : NULL;
}

/* ---- ticks ------------------------------------------------------------------------ */

static int merge_memory(struct leat_state *state, struct leat_entry *entry, int64_t id, struct leat_error *err)
{
        for (;;) {
                const struct leat_bucket *bucket = leat_table_find(entry->table, id);
                uint32_t from, count;
                if (bucket == NULL ||
                    !leat_merge_pick(bucket->runs, bucket->mem_count, leat_state_tuning.fanout_memory, &from, &count))
                        return 0;
                struct leat_run *run;
                LEAT_TRY(leat_merge_all(entry->table->arr, id, bucket->runs + from, count, from + count < bucket->count,
                                        NULL, &run, err));
                leat_state_replace(state, entry, id, from, count, run, true);
        }
}

int leat_state_push(struct leat_state *state, struct leat_entry *entry, struct leat_run *run, struct leat_error *err)
{
        int64_t bucket = run->info.bucket;
        if (state->options.role == LEAT_STATE_READER) {
                if (entry->leaf_count == entry->leaf_cap) {
                        entry->leaf_cap = LEAT_MAX(entry->leaf_cap * 2, 16u);
                        entry->leaves = leat_realloc(entry->leaves, entry->leaf_cap * sizeof *entry->leaves);
                }
                entry->leaves[entry->leaf_count++] = leat_run_ref(run);
        }
        leat_state_replace(state, entry, bucket, 0, 0, run, true);
        return merge_memory(state, entry, bucket, err);
}

int leat_state_apply(struct leat_state *state, uint64_t arr, int64_t tick, const struct leat_batch *rows,
                     const int64_t *weights, struct leat_error *err)
{
        struct leat_entry *entry = leat_state_entry(state, arr);
        if (entry == NULL)
                return leat_error_set(err, LEAT_ENOTFOUND, "there is no arrangement %" PRIu64, arr);
        if (tick < state->tick)
                return leat_error_set(err, LEAT_EINVAL, "tick %" PRId64 " comes after tick %" PRId64, tick,
                                      state->tick);
        if (state->options.role == LEAT_STATE_WRITER && state->memory_bytes > (uint64_t)state->options.memory_bytes)
                LEAT_TRY(leat_state_flush(state, false, err));
        struct leat_run **runs;
        uint32_t count;
        LEAT_TRY(leat_apply_runs(entry->table->arr, tick, rows, weights, &runs, &count, err));
        int rc = 0;
        for (uint32_t i = 0; i < count; i++) {
                if (rc == 0)
                        rc = leat_state_push(state, entry, runs[i], err);
                else
                        leat_run_unref(runs[i]);
        }
        free(runs);
        if (tick != state->tick)
                changed(state);
        state->tick = tick;
        return rc;
}

void leat_state_advance(struct leat_state *state, int64_t tick)
{
        if (tick <= state->tick)
                return;
        changed(state);
        state->tick = tick;
}

void leat_state_drop_expired(struct leat_state *state, struct leat_entry *entry, int64_t time_us)
{
        const struct leat_arr_def *def = &entry->table->arr->def;
        for (uint32_t i = 0; i < entry->table->count;) {
                const struct leat_bucket *bucket = entry->table->buckets[i];
                int64_t end;
                bool open = bucket->id == LEAT_BUCKET_NONE || __builtin_add_overflow(bucket->id, 1, &end) ||
                            __builtin_mul_overflow(end, def->bucket_us, &end) || end > time_us;
                if (open) {
                        i++;
                        continue;
                }
                if (leat_job_uses(state, def->id, bucket->id))
                        leat_job_abort(state);
                leat_state_replace(state, entry, bucket->id, 0, bucket->count, NULL, false);
        }
}

void leat_entry_expired(struct leat_entry *entry, int64_t tick, int64_t time_us)
{
        uint32_t n = entry->expiry_count;
        while (n > 0 && entry->expiries[n - 1].time_us <= time_us)
                n--;
        entry->expiries = leat_realloc(entry->expiries, (n + 1) * sizeof *entry->expiries);
        entry->expiries[n] = (struct leat_expiry){tick, time_us};
        entry->expiry_count = n + 1;
}

int leat_state_expire(struct leat_state *state, uint64_t arr, int64_t time_us, struct leat_error *err)
{
        struct leat_entry *entry = leat_state_entry(state, arr);
        if (entry == NULL)
                return leat_error_set(err, LEAT_ENOTFOUND, "there is no arrangement %" PRIu64, arr);
        if (entry->table->arr->def.time_column < 0)
                return leat_error_set(err, LEAT_EINVAL, "arrangement %" PRIu64 " has no time buckets", arr);
        entry->expired_us = LEAT_MAX(entry->expired_us, time_us);
        if (state->options.role == LEAT_STATE_READER)
                leat_entry_expired(entry, state->tick, time_us);
        leat_state_drop_expired(state, entry, time_us);
        uint32_t kept = 0;
        for (uint32_t i = 0; i < entry->leaf_count; i++) {
                if (leat_table_find(entry->table, entry->leaves[i]->info.bucket) != NULL)
                        entry->leaves[kept++] = entry->leaves[i];
                else
                        leat_run_unref(entry->leaves[i]);
        }
        entry->leaf_count = kept;
        return 0;
}

struct leat_arr_stats leat_state_stats(const struct leat_state *state, uint64_t arr)
{
        struct leat_arr_stats stats = {0};
        const struct leat_entry *entry = leat_state_entry(state, arr);
        for (uint32_t b = 0; entry != NULL && b < entry->table->count; b++) {
                const struct leat_bucket *bucket = entry->table->buckets[b];
                for (uint32_t r = 0; r < bucket->count; r++) {
                        const struct leat_run *run = bucket->runs[r];
                        stats.rows += run->info.rows;
                        stats.runs++;
                        if (run->pack == NULL)
                                stats.memory_bytes += run->bytes;
                        else
                                stats.disk_bytes += run->bytes;
                }
        }
        return stats;
}
