/* SPDX-License-Identifier: Apache-2.0 */
/* Sections of tick records. The checksum is made right, so that what stands behind it is reached. What decodes can be
 * applied, and encodes to bytes that decode to as many rows. */
#include "../state_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void apply(const struct leat_batch *rows, const int64_t *weights)
{
        struct leat_run **runs;
        uint32_t count;
        struct leat_type *types = leat_malloc(rows->column_count * sizeof *types);
        for (uint32_t c = 0; c < rows->column_count; c++)
                types[c] = rows->columns[c].type;
        struct leat_arr_def def = {.id = 1,
                                   .mode = LEAT_ARR_MULTISET,
                                   .key_count = 1,
                                   .column_count = rows->column_count,
                                   .types = types,
                                   .time_column = -1};
        struct leat_arr *arr = leat_arr_new(&def, 1);
        if (leat_apply_runs(arr, 1, rows, weights, &runs, &count, NULL) == 0) {
                for (uint32_t i = 0; i < count; i++)
                        leat_run_unref(runs[i]);
                free(runs);
        }
        leat_arr_unref(arr);
        free(types);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
        struct leat_arena *arena = leat_arena_new(0);
        uint8_t *copy = leat_arena_alloc(arena, bytes + 4);
        if (bytes != 0)
                memcpy(copy, data, bytes);
        leat_put_le32(copy + bytes, leat_crc32c(0, copy, bytes));
        uint64_t id;
        struct leat_batch *rows;
        int64_t *weights;
        if (leat_state_section_decode(arena, leat_view_of(data, bytes), &id, &rows, &weights, NULL) == 0)
                apply(rows, weights);
        if (leat_state_section_decode(arena, leat_view_of(copy, bytes + 4), &id, &rows, &weights, NULL) == 0 &&
            rows->rows < 100000) {
                struct leat_buf again = LEAT_BUF_INIT;
                struct leat_batch *second;
                uint32_t count = rows->rows;
                apply(rows, weights);
                leat_state_section_encode(id, rows, weights, &again);
                LEAT_ASSERT(leat_state_section_decode(arena, leat_buf_view(&again), &id, &second, &weights, NULL) == 0);
                LEAT_ASSERT(second->rows == count);
                leat_buf_done(&again);
        }
        leat_arena_free(arena);
        return 0;
}
