/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/state: reading all rows of an arrangement, bucket after bucket, each as
 * one merge of its runs (state_merge.c). Memory: one slice and one chunk.
 */
#include "state_int.h"

#define CHUNK_ROWS 8192u

struct leat_scan {
        struct leat_state_snapshot *snapshot;
        const struct leat_table *table;
        uint32_t *columns;
        uint32_t column_count;
        struct leat_type *types;
        struct leat_arena *arena;
        uint32_t bucket; /* to read next */
        bool merging;
        struct leat_merge merge;
        uint32_t given; /* rows of the slice that were given out */
};

int leat_scan_open(struct leat_state_snapshot *snapshot, uint64_t arr_id, const uint32_t *columns,
                   uint32_t column_count, struct leat_scan **ret_scan, struct leat_error *err)
{
        const struct leat_table *table = leat_snapshot_table(snapshot, arr_id);
        if (table == NULL)
                return leat_error_set(err, LEAT_ENOTFOUND, "there is no arrangement %" PRIu64, arr_id);
        const struct leat_arr_def *def = &table->arr->def;
        uint32_t count = columns != NULL ? column_count : def->column_count;
        for (uint32_t i = 0; columns != NULL && i < count; i++)
                if (columns[i] >= def->column_count)
                        return leat_error_set(err, LEAT_EINVAL, "arrangement %" PRIu64 " has no column %u", arr_id,
                                              columns[i]);
        struct leat_scan *scan = leat_calloc(1, sizeof *scan);
        scan->snapshot = leat_state_snapshot_ref(snapshot);
        scan->table = table;
        scan->column_count = count;
        scan->columns = leat_malloc(LEAT_MAX(count, 1u) * sizeof *scan->columns);
        scan->types = leat_malloc(LEAT_MAX(count, 1u) * sizeof *scan->types);
        for (uint32_t i = 0; i < count; i++) {
                scan->columns[i] = columns != NULL ? columns[i] : i;
                scan->types[i] = def->types[scan->columns[i]];
        }
        scan->arena = leat_arena_new(1u << 16);
        *ret_scan = scan;
        return 0;
}

void leat_scan_close(struct leat_scan *scan)
{
        if (scan == NULL)
                return;
        if (scan->merging)
                leat_merge_done(&scan->merge);
        leat_arena_free(scan->arena);
        leat_state_snapshot_unref(scan->snapshot);
        free(scan->columns);
        free(scan->types);
        free(scan);
}

/* Rows to give out, or the end. */
static int scan_advance(struct leat_scan *scan, bool *ret_end, struct leat_error *err)
{
        *ret_end = false;
        while (!scan->merging || scan->given == scan->merge.rows.count) {
                scan->given = 0;
                if (scan->merging) {
                        bool end;
                        LEAT_TRY(leat_merge_next(&scan->merge, &end, err));
                        if (!end)
                                continue;
                        leat_merge_done(&scan->merge);
                        scan->merging = false;
                }
                if (scan->bucket == scan->table->count) {
                        *ret_end = true;
                        return 0;
                }
                const struct leat_bucket *bucket = scan->table->buckets[scan->bucket++];
                leat_merge_init(&scan->merge, scan->table->arr, bucket->runs, bucket->count, false);
                scan->merging = true;
        }
        return 0;
}

int leat_scan_next(struct leat_scan *scan, const struct leat_batch **ret_rows, const int64_t **ret_weights,
                   struct leat_error *err)
{
        bool end;
        *ret_rows = NULL;
        LEAT_TRY(scan_advance(scan, &end, err));
        if (end)
                return 0;
        const struct leat_row_list *list = &scan->merge.rows;
        uint32_t n = LEAT_MIN(list->count - scan->given, CHUNK_ROWS);
        leat_arena_reset(scan->arena);
        struct leat_batch *rows = leat_batch_new(scan->arena, scan->types, scan->column_count, n);
        rows->rows = n;
        for (uint32_t i = 0; i < scan->column_count; i++)
                leat_refs_column(scan->arena, list->refs + scan->given, n, scan->columns[i], &rows->columns[i]);
        *ret_weights = list->weights + scan->given;
        *ret_rows = rows;
        scan->given += n;
        return 0;
}
