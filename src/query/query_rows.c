/* SPDX-License-Identifier: Apache-2.0 */
/* leat/query: small results that we make ourselves (SHOW, EXPLAIN, pg_catalog), as one batch. */
#include "query_int.h"

void leat_query_rows_init(struct query_rows *rows, struct leat_arena *arena, const struct query_column *columns,
                          uint32_t count)
{
        memset(rows, 0, sizeof *rows);
        rows->arena = arena;
        rows->batch.column_count = count;
        rows->batch.columns = leat_arena_zalloc(arena, (count + 1) * sizeof *rows->batch.columns);
        for (uint32_t c = 0; c < count; c++)
                rows->batch.columns[c].type = leat_type_of(columns[c].type);
}

static void rows_grow(struct query_rows *rows)
{
        uint32_t cap = rows->cap == 0 ? 64 : rows->cap * 2;
        for (uint32_t c = 0; c < rows->batch.column_count; c++) {
                struct leat_column *col = &rows->batch.columns[c];
                size_t width = leat_type_bytes(&col->type);
                void *data = leat_arena_zalloc(rows->arena, cap * width);
                uint64_t *validity = leat_arena_zalloc(rows->arena, cap / 64 * sizeof *validity);
                if (rows->cap != 0) {
                        memcpy(data, col->data, rows->cap * width);
                        memcpy(validity, col->validity, rows->cap / 64 * sizeof *validity);
                }
                col->data = data;
                col->validity = validity;
        }
        rows->cap = cap;
}

void leat_query_rows_add(struct query_rows *rows)
{
        if (rows->batch.rows == rows->cap)
                rows_grow(rows);
        rows->batch.rows++;
}

static struct leat_column *rows_cell(struct query_rows *rows, uint32_t column, uint32_t *ret_row)
{
        uint32_t row = rows->batch.rows - 1;
        struct leat_column *col = &rows->batch.columns[column];
        LEAT_ASSERT(column < rows->batch.column_count && rows->batch.rows != 0);
        col->validity[row >> 6] |= 1ull << (row & 63);
        *ret_row = row;
        return col;
}

void leat_query_rows_text(struct query_rows *rows, uint32_t column, const char *text)
{
        uint32_t row;
        if (text == NULL)
                return;
        struct leat_column *col = rows_cell(rows, column, &row);
        LEAT_ASSERT(col->type.id == LEAT_T_VARCHAR);
        ((struct leat_string *)col->data)[row] =
                leat_string_borrow(leat_view_str(leat_arena_strdup(rows->arena, text)));
}

void leat_query_rows_int(struct query_rows *rows, uint32_t column, int64_t value)
{
        uint32_t row;
        struct leat_column *col = rows_cell(rows, column, &row);
        size_t width = leat_type_bytes(&col->type);
        memcpy((uint8_t *)col->data + row * width, &value, width);
}

void leat_query_rows_double(struct query_rows *rows, uint32_t column, double value)
{
        uint32_t row;
        struct leat_column *col = rows_cell(rows, column, &row);
        ((double *)col->data)[row] = value;
}

void leat_query_rows_null(struct query_rows *rows, uint32_t column)
{
        uint32_t row = rows->batch.rows - 1;
        rows->batch.columns[column].validity[row >> 6] &= ~(1ull << (row & 63));
}

void leat_query_rows_smallints(struct query_rows *rows, uint32_t column, const int16_t *values, uint32_t count)
{
        uint32_t row;
        struct leat_column *col = rows_cell(rows, column, &row);
        LEAT_ASSERT(col->type.id == LEAT_T_LIST && col->children[0].type.id == LEAT_T_SMALLINT);
        leat_column_child_reserve(rows->arena, col, count);
        uint64_t *entry = (uint64_t *)col->data + (size_t)row * 2;
        entry[0] = col->child_rows;
        entry[1] = count;
        memcpy((int16_t *)col->children[0].data + col->child_rows, values, count * sizeof *values);
        col->child_rows += count;
}
