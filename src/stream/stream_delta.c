/* SPDX-License-Identifier: Apache-2.0 */
/* leat/stream: deltas, and the slots through which prepared statements read them. */
#include <stdio.h>

#include "stream_run.h"

#define SLOTS_MAX 65536

void leat_delta_clear(struct leat_delta *delta)
{
        delta->count = 0;
        delta->rows = 0;
}

void leat_delta_done(struct leat_delta *delta)
{
        free(delta->batches);
        free(delta->weights);
        *delta = (struct leat_delta){0};
}

void leat_delta_add(struct leat_delta *delta, const struct leat_batch *batch, const int64_t *weights)
{
        if (batch == NULL || batch->rows == 0)
                return;
        if (delta->count == delta->cap) {
                delta->cap = delta->cap == 0 ? 4 : 2 * delta->cap;
                delta->batches = leat_realloc(delta->batches, delta->cap * sizeof(*delta->batches));
                delta->weights = leat_realloc(delta->weights, delta->cap * sizeof(*delta->weights));
        }
        delta->batches[delta->count] = batch;
        delta->weights[delta->count] = weights;
        delta->count++;
        delta->rows += batch->rows;
}

/* ---- relation callbacks --------------------------------------------------------------------- */
static struct leat_slot *slot_find(struct leat_runtime *rt, const char *key)
{
        unsigned base, number;
        if (sscanf(key, "%u.%u", &base, &number) != 2 || base + number >= rt->slot_count)
                return NULL;
        struct leat_slot *slot = rt->slots[base + number];
        return slot->used ? slot : NULL;
}

static int describe(void *arg, const char *key, struct leat_arena *arena, uint32_t *ret_count, const char ***ret_names,
                    struct leat_type **ret_types, struct leat_error *err)
{
        struct leat_slot *slot = slot_find(arg, key);
        if (slot == NULL)
                return leat_error_set(err, LEAT_ENORELATION, "no rows stand under %s", key);
        uint32_t count = slot->column_count + (slot->weighted ? 1 : 0);
        const char **names = leat_arena_zalloc(arena, (count + 2) * sizeof *names);
        struct leat_type *types = leat_arena_zalloc(arena, (count + 2) * sizeof *types);
        for (uint32_t i = 0; i < slot->column_count; i++) {
                names[i] = leat_arena_printf(arena, "c%u", i);
                types[i] = slot->types[i];
        }
        if (slot->weighted) {
                names[count - 1] = "w";
                types[count - 1] = leat_type_of(LEAT_T_BIGINT);
        }
        if (count == 0) { /* a relation needs a column; nobody asks for this one */
                names[count] = "x";
                types[count++] = leat_type_of(LEAT_T_BIGINT);
        }
        *ret_count = count;
        *ret_names = names;
        *ret_types = types;
        return 0;
}

struct scan {
        struct leat_runtime *rt;
        struct leat_slot *slot;
        struct leat_arena *arena;
        uint32_t *columns;
        uint32_t count, at;
        uint64_t row; /* of the first row of batch `at` */
        struct leat_batch batch;
};

static int open_scan(void *arg, const char *key, const uint32_t *columns, uint32_t count, void **ret_scan,
                     struct leat_error *err)
{
        struct leat_slot *slot = slot_find(arg, key);
        if (slot == NULL)
                return leat_error_set(err, LEAT_ENORELATION, "no rows stand under %s", key);
        struct scan *scan = leat_calloc(1, sizeof *scan);
        scan->rt = arg;
        scan->slot = slot;
        scan->count = count;
        scan->columns = leat_malloc((count + 1) * sizeof *scan->columns);
        if (count > 0)
                memcpy(scan->columns, columns, count * sizeof *columns);
        scan->batch.columns = leat_calloc(count + 1, sizeof *scan->batch.columns);
        scan->batch.column_count = count;
        *ret_scan = scan;
        return 0;
}

static void close_scan(void *arg)
{
        struct scan *scan = arg;
        leat_arena_free(scan->arena);
        free(scan->columns);
        free(scan->batch.columns);
        free(scan);
}

static struct leat_column weights_column(struct leat_runtime *rt, const int64_t *weights, uint32_t rows)
{
        if (weights == NULL && rt->ones_count < rows) {
                rt->ones = leat_realloc(rt->ones, rows * sizeof *rt->ones);
                for (uint32_t i = rt->ones_count; i < rows; i++)
                        rt->ones[i] = 1;
                rt->ones_count = rows;
        }
        return (struct leat_column){.type = leat_type_of(LEAT_T_BIGINT),
                                    .data = (void *)(uintptr_t)(weights != NULL ? weights : rt->ones)};
}

/* Rows of @batch that the slot's range and skips leave: NULL when none. */
static const struct leat_batch *rows_choose(struct scan *scan, const struct leat_batch *batch, uint64_t first)
{
        const struct leat_slot *slot = scan->slot;
        if (!slot->ranged && slot->skip == NULL)
                return batch;
        if (scan->arena == NULL)
                scan->arena = leat_arena_new(0);
        uint32_t *rows = leat_arena_alloc(scan->arena, (batch->rows + 1) * sizeof *rows), count = 0;
        for (uint32_t i = 0; i < batch->rows; i++) {
                uint64_t row = first + i;
                if ((slot->ranged && (row < slot->from || row >= slot->to)) ||
                    (slot->skip != NULL && (slot->skip[row >> 6] >> (row & 63) & 1)))
                        continue;
                rows[count++] = i;
        }
        return leat_batch_gather(scan->arena, batch, rows, count);
}

static int next_batch(void *arg, const struct leat_batch **ret_batch, struct leat_error *err)
{
        struct scan *scan = arg;
        struct leat_delta *delta = &scan->slot->delta;
        (void)err;
        *ret_batch = NULL;
        if (scan->at >= delta->count)
                return 0;
        const struct leat_batch *from = delta->batches[scan->at];
        const int64_t *weights = delta->weights[scan->at];
        scan->batch.rows = from->rows;
        for (uint32_t i = 0; i < scan->count; i++) {
                uint32_t column = scan->columns[i];
                if (column < scan->slot->column_count)
                        scan->batch.columns[i] =
                                from->columns[scan->slot->map != NULL ? scan->slot->map[column] : column];
                else
                        scan->batch.columns[i] = weights_column(scan->rt, weights, from->rows);
        }
        *ret_batch = rows_choose(scan, &scan->batch, scan->row);
        scan->row += from->rows;
        scan->at++;
        return 0;
}

static const struct leat_relation_ops slot_ops = {
        .describe = describe,
        .open = open_scan,
        .next = next_batch,
        .close = close_scan,
};

/* ---- the runtime ------------------------------------------------------------------------------ */
int leat_runtime_open(struct leat_runtime *rt, int64_t memory_bytes, struct leat_error *err)
{
        struct leat_engine_options options = {.threads = 1, .memory_bytes = memory_bytes};
        if (memory_bytes > 0)
                options.memory_param = leat_param_info(LEAT_P_WORKER_MEMORY)->name;
        *rt = (struct leat_runtime){0};
        LEAT_TRY(leat_engine_open(&options, &rt->engine, err));
        int rc = leat_conn_open(rt->engine, &slot_ops, rt, &rt->conn, err);
        if (rc != 0)
                leat_engine_close(rt->engine);
        return rc;
}

void leat_runtime_close(struct leat_runtime *rt)
{
        for (uint32_t i = 0; i < rt->slot_count; i++) {
                leat_delta_done(&rt->slots[i]->delta);
                free(rt->slots[i]);
        }
        leat_conn_close(rt->conn);
        leat_engine_close(rt->engine);
        free(rt->slots);
        free(rt->ones);
        *rt = (struct leat_runtime){0};
}

uint32_t leat_runtime_slots(struct leat_runtime *rt, uint32_t count)
{
        uint32_t run = 0, base = rt->slot_count;
        for (uint32_t i = 0; i < rt->slot_count && run < count; i++) {
                run = rt->slots[i]->used ? 0 : run + 1;
                base = i + 1 - run;
        }
        if (run < count) {
                base = rt->slot_count;
                rt->slot_cap = rt->slot_count + count;
                LEAT_ASSERT(rt->slot_cap < SLOTS_MAX * 16u);
                rt->slots = leat_realloc(rt->slots, rt->slot_cap * sizeof(*rt->slots));
                for (uint32_t i = 0; i < count; i++)
                        rt->slots[rt->slot_count++] = leat_calloc(1, sizeof **rt->slots);
        }
        for (uint32_t i = 0; i < count; i++)
                rt->slots[base + i]->used = true;
        return base;
}

void leat_runtime_slots_free(struct leat_runtime *rt, uint32_t base, uint32_t count)
{
        for (uint32_t i = 0; i < count; i++) {
                leat_delta_done(&rt->slots[base + i]->delta);
                *rt->slots[base + i] = (struct leat_slot){0};
        }
}

int leat_runtime_run(struct leat_plan *plan, struct leat_arena *arena, struct leat_batch **ret_batch,
                     struct leat_error *err)
{
        struct leat_result *result;
        const struct leat_batch *chunk;
        uint32_t columns = leat_plan_column_count(plan), cap = 2048;
        struct leat_type *types = leat_arena_alloc(arena, (columns + 1) * sizeof *types);
        for (uint32_t i = 0; i < columns; i++)
                types[i] = leat_plan_column_type(plan, i);
        struct leat_batch *all = leat_batch_new(arena, types, columns, cap);
        all->rows = 0;
        LEAT_TRY(leat_plan_run(plan, true, &result, err));
        int rc;
        while ((rc = leat_result_next(result, &chunk, err)) == 0 && chunk != NULL) {
                if ((uint64_t)all->rows + chunk->rows > cap) {
                        while ((uint64_t)all->rows + chunk->rows > cap)
                                cap *= 4;
                        struct leat_batch *more = leat_batch_new(arena, types, columns, cap);
                        more->rows = 0;
                        leat_batch_append(NULL, more, all, 0, all->rows);
                        all = more;
                }
                leat_batch_append(arena, all, chunk, 0, chunk->rows);
        }
        leat_result_free(result);
        if (rc == 0)
                *ret_batch = all;
        return rc;
}
