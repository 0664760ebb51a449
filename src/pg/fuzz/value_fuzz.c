/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A parameter: the first four bytes are the oid that the client declares, one tells its format and what the statement
 * wants when there is no oid, the rest is the value. What is accepted is sent back in both forms and as COPY rows.
 */
#include "../pg_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void value_send(struct leat_column *col)
{
        struct leat_pg_desc desc = {.copy_delimiter = ','};
        struct leat_batch batch = {.rows = 1, .column_count = 1, .columns = col};
        struct leat_buf out = LEAT_BUF_INIT;
        leat_pg_value_put(col, 0, false, NULL, &out);
        leat_pg_value_put(col, 0, true, NULL, &out);
        leat_pg_copy_row(&desc, &batch, 0, NULL, &out);
        desc.copy_csv = true;
        leat_pg_copy_row(&desc, &batch, 0, NULL, &out);
        leat_buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        if (size < 5)
                return 0;
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_column col;
        uint32_t oid = leat_get_be32(data);
        struct leat_type type = leat_pg_type_of_oid(oid);
        bool binary = (data[4] & 0x80) != 0, is_null = (data[4] & 0x40) != 0;
        unsigned wanted = data[4] & 0x3f;
        if (oid == 0 && wanted < LEAT_TYPE_COUNT && wanted != LEAT_T_LIST && wanted != LEAT_T_STRUCT)
                type = leat_type_of((enum leat_type_id)wanted);
        /* A copy of its own size, as the session makes, so that a read behind its end is seen. */
        struct leat_view value = leat_view_of(leat_arena_strndup(arena, (const char *)data + 5, size - 5), size - 5);
        if (leat_pg_value_get(arena, value, is_null, binary, oid, &type, &col, NULL) == 0)
                value_send(&col);
        leat_arena_free(arena);
        return 0;
}
