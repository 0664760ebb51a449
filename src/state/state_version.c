/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/state: which runs make an arrangement now; copied on write.
 *
 * Design    snapshot -> tables (one an arrangement) -> buckets -> runs, each level
 *           counted and immutable for everybody but its only holder. The owner
 *           changes in place what it alone holds and copies what a snapshot has
 *           too, so a snapshot costs a few counts and a change a few pointers.
 * Threads   Only the owner adds references to the current version, so "I alone
 *           hold it" cannot become false while it looks.
 */
#include "state_int.h"

static struct leat_bucket *bucket_new(int64_t id, uint32_t count)
{
        struct leat_bucket *bucket = leat_calloc(1, sizeof *bucket + count * sizeof bucket->runs[0]);
        atomic_init(&bucket->refs, 1);
        bucket->id = id;
        bucket->count = count;
        return bucket;
}

static void bucket_unref(struct leat_bucket *bucket)
{
        if (bucket == NULL || atomic_fetch_sub_explicit(&bucket->refs, 1, memory_order_acq_rel) != 1)
                return;
        for (uint32_t i = 0; i < bucket->count; i++)
                leat_run_unref(bucket->runs[i]);
        free(bucket);
}

struct leat_table *leat_table_new(struct leat_arr *arr)
{
        struct leat_table *table = leat_calloc(1, sizeof *table);
        atomic_init(&table->refs, 1);
        table->arr = leat_arr_ref(arr);
        return table;
}

struct leat_table *leat_table_ref(struct leat_table *table)
{
        atomic_fetch_add_explicit(&table->refs, 1, memory_order_relaxed);
        return table;
}

void leat_table_unref(struct leat_table *table)
{
        if (table == NULL || atomic_fetch_sub_explicit(&table->refs, 1, memory_order_acq_rel) != 1)
                return;
        for (uint32_t i = 0; i < table->count; i++)
                bucket_unref(table->buckets[i]);
        leat_arr_unref(table->arr);
        free(table->buckets);
        free(table);
}

struct leat_table *leat_table_own(struct leat_table **table)
{
        struct leat_table *old = *table;
        if (atomic_load_explicit(&old->refs, memory_order_acquire) == 1)
                return old;
        struct leat_table *copy = leat_table_new(old->arr);
        copy->count = copy->cap = old->count;
        copy->buckets = leat_malloc(LEAT_MAX(old->count, 1u) * sizeof *copy->buckets);
        for (uint32_t i = 0; i < old->count; i++) {
                copy->buckets[i] = old->buckets[i];
                atomic_fetch_add_explicit(&copy->buckets[i]->refs, 1, memory_order_relaxed);
        }
        leat_table_unref(old);
        *table = copy;
        return copy;
}

/* Place of the bucket, or where it belongs. */
static uint32_t find_place(const struct leat_table *table, int64_t bucket)
{
        uint32_t low = 0, high = table->count;
        while (low < high) {
                uint32_t mid = low + (high - low) / 2;
                if (table->buckets[mid]->id < bucket)
                        low = mid + 1;
                else
                        high = mid;
        }
        return low;
}

struct leat_bucket *leat_table_find(const struct leat_table *table, int64_t bucket)
{
        uint32_t place = find_place(table, bucket);
        return place < table->count && table->buckets[place]->id == bucket ? table->buckets[place] : NULL;
}

static void table_insert(struct leat_table *table, uint32_t place, struct leat_bucket *bucket)
{
        if (table->count == table->cap) {
                table->cap = LEAT_MAX(table->cap * 2, 4u);
                table->buckets = leat_realloc(table->buckets, table->cap * sizeof *table->buckets);
        }
        memmove(table->buckets + place + 1, table->buckets + place, (table->count - place) * sizeof *table->buckets);
        table->buckets[place] = bucket;
        table->count++;
}

void leat_table_drop_at(struct leat_table *table, uint32_t place)
{
        bucket_unref(table->buckets[place]);
        table->count--;
        memmove(table->buckets + place, table->buckets + place + 1, (table->count - place) * sizeof *table->buckets);
}

void leat_table_replace(struct leat_table *table, int64_t id, uint32_t from, uint32_t count, struct leat_run *run,
                        bool mem)
{
        uint32_t place = find_place(table, id);
        struct leat_bucket *old =
                place < table->count && table->buckets[place]->id == id ? table->buckets[place] : NULL;
        uint32_t old_count = old != NULL ? old->count : 0, old_mem = old != NULL ? old->mem_count : 0;
        uint32_t added = run != NULL;
        LEAT_ASSERT(from + count <= old_count);
        struct leat_bucket *bucket = bucket_new(id, old_count - count + added);
        uint32_t gone_mem = from < old_mem ? LEAT_MIN(count, old_mem - from) : 0;
        bucket->mem_count = old_mem - gone_mem + (mem ? added : 0);
        uint32_t n = 0;
        for (uint32_t i = 0; i < from; i++)
                bucket->runs[n++] = leat_run_ref(old->runs[i]);
        if (run != NULL)
                bucket->runs[n++] = run;
        for (uint32_t i = from + count; i < old_count; i++)
                bucket->runs[n++] = leat_run_ref(old->runs[i]);
        if (old == NULL) {
                table_insert(table, place, bucket);
        } else {
                table->buckets[place] = bucket;
                bucket_unref(old);
        }
        if (bucket->count == 0)
                leat_table_drop_at(table, place);
}

void leat_table_append(struct leat_table *table, struct leat_run *run)
{
        struct leat_bucket *bucket = leat_table_find(table, run->info.bucket);
        leat_table_replace(table, run->info.bucket, bucket != NULL ? bucket->count : 0, 0, run, false);
}

/* ---- snapshots --------------------------------------------------------------------- */

struct leat_state_snapshot *leat_state_snapshot_take(struct leat_state *state)
{
        if (state->snapshot == NULL) {
                struct leat_state_snapshot *snapshot =
                        leat_calloc(1, sizeof *snapshot + state->entry_count * sizeof snapshot->tables[0]);
                atomic_init(&snapshot->refs, 1);
                snapshot->tick = state->tick;
                snapshot->count = state->entry_count;
                for (uint32_t i = 0; i < state->entry_count; i++)
                        snapshot->tables[i] = leat_table_ref(state->entries[i].table);
                state->snapshot = snapshot;
        }
        return leat_state_snapshot_ref(state->snapshot);
}

struct leat_state_snapshot *leat_state_snapshot_ref(struct leat_state_snapshot *snapshot)
{
        atomic_fetch_add_explicit(&snapshot->refs, 1, memory_order_relaxed);
        return snapshot;
}

void leat_state_snapshot_unref(struct leat_state_snapshot *snapshot)
{
        if (snapshot == NULL || atomic_fetch_sub_explicit(&snapshot->refs, 1, memory_order_acq_rel) != 1)
                return;
        for (uint32_t i = 0; i < snapshot->count; i++)
                leat_table_unref(snapshot->tables[i]);
        free(snapshot);
}

int64_t leat_state_snapshot_tick(const struct leat_state_snapshot *snapshot)
{
        return snapshot->tick;
}

struct leat_table *leat_snapshot_table(const struct leat_state_snapshot *snapshot, uint64_t arr)
{
        uint32_t low = 0, high = snapshot->count;
        while (low < high) {
                uint32_t mid = low + (high - low) / 2;
                if (snapshot->tables[mid]->arr->def.id < arr)
                        low = mid + 1;
                else
                        high = mid;
        }
        return low < snapshot->count && snapshot->tables[low]->arr->def.id == arr ? snapshot->tables[low] : NULL;
}
