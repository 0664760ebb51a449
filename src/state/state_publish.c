/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/state: memory to files, manifests, what is removed when.
 *
 * Order     A run file is synced before it takes the place of anything. A manifest
 *           is written when all files that it names, and their names in the folder,
 *           are on disk. A file goes when neither this manifest nor the one before
 *           names it; who still has it mapped keeps it. So at any instant the
 *           newest manifest can be opened, and a reader that looked a moment ago
 *           has the time of one whole manifest to open what it saw.
 * Failure   A write or sync that fails throws the new file away and leaves the
 *           state as it was, in memory; the same call may succeed later.
 */
#include <stdio.h>

#include "state_int.h"

#define RUNS_MAX 64u /* file runs of a bucket; beyond, merging does not wait to be asked */

/* ---- files -------------------------------------------------------------------------- */

void leat_state_file_add(struct leat_state *state, uint64_t seq, uint64_t bytes)
{
        if (state->file_count == state->file_cap) {
                state->file_cap = LEAT_MAX(state->file_cap * 2, 16u);
                state->files = leat_realloc(state->files, state->file_cap * sizeof *state->files);
        }
        state->files[state->file_count++] = (struct leat_file){seq, bytes};
        state->disk_bytes += bytes;
        state->dir_dirty = true;
}

int leat_state_room(const struct leat_state *state, uint64_t bytes, struct leat_error *err)
{
        if (state->options.disk_bytes <= 0 || state->disk_bytes + bytes <= (uint64_t)state->options.disk_bytes)
                return 0;
        leat_error_set(err, LEAT_EFULL, "state in %s would take %" PRIu64 " bytes, its limit is %" PRId64, state->dir,
                       state->disk_bytes + bytes, state->options.disk_bytes);
        leat_error_hint(err, "raise max_state, shorten the retention of its views, or drop one");
        if (err != NULL)
                err->retriable = true;
        return LEAT_EFULL;
}

/* ---- flush --------------------------------------------------------------------------- */

struct flush_item {
        uint64_t arr;
        int64_t bucket;
        uint32_t count;
        struct leat_run *run;
};
struct flush {
        struct flush_item *items;
        uint32_t count, cap;
};

static uint64_t entry_memory(const struct leat_entry *entry)
{
        uint64_t bytes = 0;
        for (uint32_t b = 0; b < entry->table->count; b++)
                for (uint32_t r = 0; r < entry->table->buckets[b]->mem_count; r++)
                        bytes += entry->table->buckets[b]->runs[r]->bytes;
        return bytes;
}

static void flush_list(const struct leat_state *state, bool all, struct flush *f)
{
        uint64_t least = all ? 0 : state->memory_bytes / (2ull * state->entry_count);
        for (uint32_t e = 0; e < state->entry_count; e++) {
                const struct leat_entry *entry = &state->entries[e];
                if (entry_memory(entry) < least)
                        continue;
                for (uint32_t b = 0; b < entry->table->count; b++) {
                        const struct leat_bucket *bucket = entry->table->buckets[b];
                        if (bucket->mem_count == 0)
                                continue;
                        if (f->count == f->cap) {
                                f->cap = LEAT_MAX(f->cap * 2, 16u);
                                f->items = leat_realloc(f->items, f->cap * sizeof *f->items);
                        }
                        f->items[f->count++] =
                                (struct flush_item){entry->table->arr->def.id, bucket->id, bucket->mem_count, NULL};
                }
        }
}

static int flush_write(struct leat_state *state, struct flush *f, struct leat_pack_writer *pack, struct leat_error *err)
{
        for (uint32_t i = 0; i < f->count; i++) {
                struct flush_item *item = &f->items[i];
                const struct leat_entry *entry = leat_state_entry(state, item->arr);
                const struct leat_bucket *bucket = leat_table_find(entry->table, item->bucket);
                LEAT_TRY(leat_merge_all(entry->table->arr, bucket->id, bucket->runs, item->count,
                                        item->count < bucket->count, pack, &item->run, err));
        }
        return 0;
}

static void flush_swap(struct leat_state *state, struct flush *f, struct leat_pack *pack)
{
        for (uint32_t i = 0; i < f->count; i++) {
                struct flush_item *item = &f->items[i];
                if (item->run != NULL)
                        leat_run_attach(item->run, pack);
                leat_state_replace(state, leat_state_entry(state, item->arr), item->bucket, 0, item->count, item->run,
                                   false);
                item->run = NULL;
        }
        if (pack != NULL)
                leat_state_file_add(state, pack->seq, pack->bytes);
}

int leat_state_flush(struct leat_state *state, bool all, struct leat_error *err)
{
        struct flush f = {0};
        flush_list(state, all, &f);
        if (f.count == 0)
                return 0;
        struct leat_pack_writer writer = {.fd = -1};
        struct leat_pack *pack = NULL;
        int rc = leat_state_room(state, state->memory_bytes, err);
        if (rc == 0)
                rc = leat_pack_writer_open(state->dir, state->next_seq, &writer, err);
        if (rc == 0)
                state->next_seq++;
        if (rc == 0)
                rc = flush_write(state, &f, &writer, err);
        if (rc == 0 && writer.end != 0)
                rc = leat_pack_writer_finish(&writer, &pack, err);
        leat_pack_writer_abort(&writer);
        if (rc == 0)
                flush_swap(state, &f, pack);
        for (uint32_t i = 0; i < f.count; i++)
                leat_run_unref(f.items[i].run);
        leat_pack_unref(pack);
        free(f.items);
        return rc;
}

/* ---- publish ---------------------------------------------------------------------------- */

static int u64_cmp(const void *x, const void *y)
{
        uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
        return (a > b) - (a < b);
}

static bool named_has(const struct leat_named *named, uint64_t seq)
{
        return named->count != 0 && bsearch(&seq, named->seqs, named->count, sizeof seq, u64_cmp) != NULL;
}

/* Sorted, each once. */
static void named_of(const struct leat_manifest *manifest, struct leat_named *ret)
{
        uint32_t count = 0, unique = 0;
        for (uint32_t i = 0; i < manifest->arr_count; i++)
                count += manifest->arrs[i].run_count;
        uint64_t *seqs = leat_malloc(LEAT_MAX(count, 1u) * sizeof *seqs);
        count = 0;
        for (uint32_t i = 0; i < manifest->arr_count; i++)
                for (uint32_t r = 0; r < manifest->arrs[i].run_count; r++)
                        seqs[count++] = manifest->arrs[i].runs[r].seq;
        qsort(seqs, count, sizeof *seqs, u64_cmp);
        for (uint32_t i = 0; i < count; i++)
                if (i == 0 || seqs[i] != seqs[unique - 1])
                        seqs[unique++] = seqs[i];
        *ret = (struct leat_named){manifest->tick, seqs, unique};
}

static void manifest_fill(const struct leat_state *state, struct leat_arena *arena, struct leat_manifest *m)
{
        m->arr_count = state->entry_count;
        m->arrs = leat_arena_zalloc(arena, state->entry_count * sizeof *m->arrs);
        for (uint32_t e = 0; e < state->entry_count; e++) {
                const struct leat_table *table = state->entries[e].table;
                struct leat_manifest_arr *arr = &m->arrs[e];
                arr->arr = table->arr;
                arr->expired_us = state->entries[e].expired_us;
                for (uint32_t b = 0; b < table->count; b++)
                        arr->run_count += table->buckets[b]->count;
                arr->runs = leat_arena_alloc(arena, arr->run_count * sizeof *arr->runs);
                uint32_t n = 0;
                for (uint32_t b = 0; b < table->count; b++)
                        for (uint32_t r = 0; r < table->buckets[b]->count; r++) {
                                const struct leat_run *run = table->buckets[b]->runs[r];
                                LEAT_ASSERT(run->pack != NULL);
                                arr->runs[n++] =
                                        (struct leat_manifest_run){run->pack->seq, run->pack_offset, run->pack_bytes,
                                                                   run->info.bucket, run->info.rows};
                        }
        }
}

static int drop_manifest(void *arg, const char *name, bool is_dir)
{
        const struct leat_state *state = arg;
        int64_t tick;
        int end = 0;
        char path[4096];
        if (is_dir || sscanf(name, "manifest-%20" SCNd64 "%n", &tick, &end) != 1 || end == 0)
                return 0;
        if (name[end] == '\0' && (tick == state->named[0].tick || tick == state->named[1].tick))
                return 0;
        snprintf(path, sizeof path, "%s/%s", state->dir, name);
        struct leat_error err;
        if (leat_os_unlink(path, &err) != 0)
                leat_diag_error("state", "an old manifest could not be removed", &err);
        return 0;
}

/* Removes files that no manifest names. What fails now is tried again after the next manifest. */
static void drop_files(struct leat_state *state)
{
        struct leat_error err;
        uint32_t kept = 0;
        char path[4096];
        if (leat_os_list(state->dir, drop_manifest, state, &err) != 0)
                leat_diag_error("state", "old manifests could not be listed", &err);
        for (uint32_t i = 0; i < state->file_count; i++) {
                struct leat_file file = state->files[i];
                bool keep = named_has(&state->named[0], file.seq) || named_has(&state->named[1], file.seq);
                leat_pack_path(state->dir, file.seq, path, sizeof path);
                if (!keep && leat_os_unlink(path, &err) != 0) {
                        leat_diag_error("state", "an old run file could not be removed", &err);
                        keep = true;
                }
                if (keep)
                        state->files[kept++] = file;
                else
                        state->disk_bytes -= file.bytes;
        }
        state->file_count = kept;
}

static int merge_crowded(struct leat_state *state, struct leat_error *err)
{
        bool crowded = false, more = true;
        for (uint32_t e = 0; e < state->entry_count; e++)
                for (uint32_t b = 0; b < state->entries[e].table->count; b++)
                        crowded = crowded || state->entries[e].table->buckets[b]->count > RUNS_MAX;
        while (crowded && more)
                LEAT_TRY(leat_state_merge(state, INT64_MAX, &more, err));
        return 0;
}

int leat_state_publish(struct leat_state *state, int64_t tick, struct leat_view extra, struct leat_error *err)
{
        if (state->options.role != LEAT_STATE_WRITER)
                return leat_error_set(err, LEAT_EDENIED, "only the writer of a state publishes manifests");
        if (tick < state->tick || tick < 0 || extra.len > UINT32_MAX)
                return leat_error_set(err, LEAT_EINVAL,
                                      "a manifest for tick %" PRId64 " after tick %" PRId64 " was applied", tick,
                                      state->tick);
        LEAT_TRY(leat_state_flush(state, true, err));
        LEAT_TRY(merge_crowded(state, err));
        if (state->dir_dirty)
                LEAT_TRY(leat_os_sync_dir(state->dir, err));
        state->dir_dirty = false;
        char path[4096];
        struct leat_buf bytes = LEAT_BUF_INIT;
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_manifest m = {.tick = tick, .next_seq = state->next_seq, .extra = extra};
        manifest_fill(state, arena, &m);
        leat_manifest_encode(&m, &bytes);
        leat_manifest_path(state->dir, tick, path, sizeof path);
        int rc = leat_os_replace_file(path, leat_buf_view(&bytes), true, err);
        if (rc == 0) {
                free(state->named[1].seqs);
                state->named[1] = state->named[0];
                named_of(&m, &state->named[0]);
                state->tick = tick;
                leat_state_snapshot_unref(state->snapshot);
                state->snapshot = NULL;
                drop_files(state);
        }
        leat_arena_free(arena);
        leat_buf_done(&bytes);
        return rc;
}

/* ---- taking stock ---------------------------------------------------------------------- */

static int sweep_entry(void *arg, const char *name, bool is_dir)
{
        struct leat_state *state = arg;
        uint64_t seq;
        int end = 0;
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", state->dir, name);
        if (is_dir)
                return 0;
        if (sscanf(name, "run-%20" SCNu64 "%n", &seq, &end) == 1 && name[end] == '\0') {
                int fd;
                int64_t bytes = 0;
                if (leat_os_open(path, 0, &fd, NULL) == 0) {
                        if (leat_os_size(fd, path, &bytes, NULL) != 0)
                                bytes = 0;
                        leat_os_close(fd);
                }
                leat_state_file_add(state, seq, (uint64_t)bytes);
                state->next_seq = LEAT_MAX(state->next_seq, seq + 1);
        } else if (strlen(name) > 4 && strcmp(name + strlen(name) - 4, ".tmp") == 0) {
                struct leat_error err;
                if (leat_os_unlink(path, &err) != 0)
                        leat_diag_error("state", "a left-over file could not be removed", &err);
        }
        return 0;
}

int leat_state_sweep(struct leat_state *state, int64_t older_tick, struct leat_error *err)
{
        if (older_tick >= 0) {
                /* Readers may be opening it. A damaged one names nothing. */
                char path[4096];
                struct leat_buf bytes = LEAT_BUF_INIT;
                struct leat_arena *arena = leat_arena_new(0);
                struct leat_manifest m;
                leat_manifest_path(state->dir, older_tick, path, sizeof path);
                if (leat_os_read_file(path, 1u << 30, &bytes, NULL) == 0 &&
                    leat_manifest_decode(arena, leat_buf_view(&bytes), path, &m, NULL) == 0)
                        named_of(&m, &state->named[1]);
                leat_arena_free(arena);
                leat_buf_done(&bytes);
        }
        LEAT_TRY(leat_os_list(state->dir, sweep_entry, state, err));
        drop_files(state);
        return 0;
}

void leat_state_named(struct leat_state *state, const struct leat_manifest *manifest)
{
        free(state->named[0].seqs);
        named_of(manifest, &state->named[0]);
}
