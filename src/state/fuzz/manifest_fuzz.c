/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests. What decodes encodes to the same bytes. */
#include "../state_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_manifest m;
        uint8_t *copy = leat_arena_alloc(arena, bytes + 4);
        if (bytes != 0)
                memcpy(copy, data, bytes);
        leat_put_le32(copy + bytes, leat_crc32c(0, copy, bytes));
        if (leat_manifest_decode(arena, leat_view_of(copy, bytes + 4), "fuzz", &m, NULL) == 0) {
                struct leat_buf again = LEAT_BUF_INIT;
                leat_manifest_encode(&m, &again);
                LEAT_ASSERT(leat_view_eq(leat_buf_view(&again), leat_view_of(copy, bytes + 4)));
                leat_buf_done(&again);
        }
        if (leat_manifest_decode(arena, leat_view_of(data, bytes), "fuzz", &m, NULL) == 0)
                LEAT_ASSERT(m.arr_count <= bytes);
        leat_arena_free(arena);
        return 0;
}
