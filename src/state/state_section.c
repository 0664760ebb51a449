/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/state: sections, the changes of one arrangement in one tick record.
 *
 * Format    "LSEC" u32, version u16 (2; 1 is read too), columns u16, arrangement u64, rows u32, bytes
 *           of the types u32, the types, zeros to a multiple of 16, one block of
 *           all rows (none when rows = 0), CRC32C u32 of all before. Little endian.
 * Failure   Bytes come from a topic that anybody with access can write to: the
 *           checksum, then every place and length is checked before use.
 */
#include "state_int.h"

#define SECTION_MAGIC 0x4345534cu /* "LSEC" */
#define SECTION_HEAD 24u

void leat_state_section_encode(uint64_t arr, const struct leat_batch *rows, const int64_t *weights,
                               struct leat_buf *out)
{
        struct leat_buf body = LEAT_BUF_INIT;
        struct leat_buf types = LEAT_BUF_INIT;
        for (uint32_t c = 0; c < rows->column_count; c++)
                leat_type_encode(&rows->columns[c].type, &types);
        leat_buf_le32(&body, SECTION_MAGIC);
        leat_buf_le16(&body, LEAT_SECTION_VERSION);
        leat_buf_le16(&body, (uint16_t)rows->column_count);
        leat_buf_le64(&body, arr);
        leat_buf_le32(&body, rows->rows);
        leat_buf_le32(&body, (uint32_t)types.len);
        leat_buf_add_view(&body, leat_buf_view(&types));
        while ((body.len & 15) != 0)
                leat_buf_u8(&body, 0);
        LEAT_ASSERT(rows->rows <= LEAT_SECTION_ROWS_MAX);
        if (rows->rows != 0)
                LEAT_ASSERT(leat_block_encode(&body, rows, NULL, 0, rows->rows, weights));
        leat_buf_le32(&body, leat_crc32c(0, body.data, body.len));
        leat_buf_add_view(out, leat_buf_view(&body));
        leat_buf_done(&body);
        leat_buf_done(&types);
}

static int bad(struct leat_error *err, const char *what)
{
        return leat_error_set(err, LEAT_ECORRUPT, "section of a tick: %s", what);
}

static void section_rows(struct leat_arena *arena, const uint8_t *block, struct leat_batch *batch,
                         int64_t **ret_weights)
{
        uint32_t rows = leat_block_head(block)->rows;
        struct leat_ref *refs = leat_arena_alloc(arena, rows * sizeof *refs);
        for (uint32_t i = 0; i < rows; i++)
                refs[i] = (struct leat_ref){.block = block, .row = i};
        for (uint32_t c = 0; c < batch->column_count; c++)
                leat_refs_column(arena, refs, rows, c, &batch->columns[c]);
        batch->rows = rows;
        const struct leat_block_col *weight = leat_block_col(block, batch->column_count);
        *ret_weights = NULL;
        if (weight->enc == LEAT_ENC_CONST && leat_block_weight(block, batch->column_count, 0) == 1)
                return;
        *ret_weights = leat_arena_alloc(arena, rows * sizeof **ret_weights);
        leat_refs_weights(refs, rows, batch->column_count, *ret_weights);
}

int leat_state_section_decode(struct leat_arena *arena, struct leat_view bytes, uint64_t *ret_arr,
                              struct leat_batch **ret_rows, int64_t **ret_weights, struct leat_error *err)
{
        if (bytes.len < SECTION_HEAD + 4 || bytes.len > UINT32_MAX)
                return bad(err, "too short");
        size_t body = bytes.len - 4;
        if (leat_get_le32(bytes.data + body) != leat_crc32c(0, bytes.data, body))
                return bad(err, "checksum does not fit");
        struct leat_cursor cur = leat_cursor_of(leat_view_of(bytes.data, body));
        if (leat_cursor_le32(&cur) != SECTION_MAGIC)
                return bad(err, "no section");
        uint32_t version = leat_cursor_le16(&cur);
        if (version == 0 || version > LEAT_SECTION_VERSION)
                return leat_error_set(err, LEAT_EUNSUPPORTED,
                                      "section of a tick of version %u, this program reads version %u", version,
                                      LEAT_SECTION_VERSION);
        uint32_t columns = leat_cursor_le16(&cur);
        uint64_t arr = leat_cursor_le64(&cur);
        uint32_t rows = leat_cursor_le32(&cur);
        uint32_t type_bytes = leat_cursor_le32(&cur);
        struct leat_cursor types_cur = leat_cursor_of(leat_cursor_bytes(&cur, type_bytes));
        if (cur.failed || columns == 0 || columns > LEAT_COLUMNS_MAX || rows > LEAT_SECTION_ROWS_MAX)
                return bad(err, "columns out of range");
        struct leat_type *types = leat_arena_alloc(arena, columns * sizeof *types);
        for (uint32_t c = 0; c < columns; c++) {
                LEAT_TRY(leat_type_decode(arena, &types_cur, &types[c], err));
                if (types[c].child_count != 0 || leat_type_bytes(&types[c]) == 0)
                        return bad(err, "a list or struct column");
        }
        size_t at = (leat_cursor_pos(&cur) + 15) & ~(size_t)15;
        struct leat_batch *batch;
        *ret_weights = NULL;
        if (rows == 0) {
                batch = leat_batch_new(arena, types, columns, 1);
        } else {
                if (at > body)
                        return bad(err, "cut short");
                const uint8_t *block = bytes.data + at;
                if (((uintptr_t)block & 15) != 0) {
                        uint8_t *copy = leat_arena_alloc(arena, body - at);
                        memcpy(copy, block, body - at);
                        block = copy;
                }
                if (!leat_block_check(block, body - at, types, columns, rows) || leat_block_head(block)->rows != rows)
                        return bad(err, "its rows are damaged");
                batch = leat_batch_new(arena, types, columns, rows);
                section_rows(arena, block, batch, ret_weights);
        }
        *ret_arr = arr;
        *ret_rows = batch;
        return 0;
}
