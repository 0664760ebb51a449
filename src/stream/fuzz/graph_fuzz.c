/* SPDX-License-Identifier: Apache-2.0 */
/* An operator graph out of the catalog, with its checksum made right: what decodes can be printed and encoded again. */
#include "../stream_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_stream_graph *graph, *again;
        struct leat_error err;
        uint8_t *copy = leat_arena_alloc(arena, size + 1);
        memcpy(copy, data, size);
        if (size >= 8)
                leat_put_le32(copy + 4, leat_crc32c(0, copy + 8, size - 8));
        if (leat_stream_graph_decode(arena, leat_view_of(copy, size), &graph, &err) == 0) {
                struct leat_buf out = LEAT_BUF_INIT, text = LEAT_BUF_INIT;
                leat_stream_graph_encode(graph, &out);
                LEAT_ASSERT(leat_stream_graph_decode(arena, leat_buf_view(&out), &again, &err) == 0);
                leat_stream_read_sql(graph, "leat_scan('1')", &text);
                leat_stream_explain_json(graph, &text);
                leat_buf_done(&out);
                leat_buf_done(&text);
        }
        leat_arena_free(arena);
        return 0;
}
