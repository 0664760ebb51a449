/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a definition: the first byte chooses the kind. What decodes must encode to something that decodes again. */
#include "leat/catalog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_object object = {0}, again = {0};
        struct leat_error err;
        if (size > 0 && leat_object_decode(arena, data[0] % 6, leat_view_of(data + 1, size - 1), &object, &err) == 0) {
                struct leat_buf bytes = LEAT_BUF_INIT;
                leat_object_encode(&object, &bytes);
                LEAT_ASSERT(leat_object_decode(arena, object.kind, leat_buf_view(&bytes), &again, &err) == 0);
                leat_buf_done(&bytes);
        }
        leat_arena_free(arena);
        return 0;
}
