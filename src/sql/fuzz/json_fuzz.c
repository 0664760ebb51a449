/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a JSON document. */
#include "leat/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_json *json;
        struct leat_error err;
        if (leat_json_parse(arena, leat_view_of(data, size), &json, &err) == 0)
                (void)leat_json_location(json);
        leat_arena_free(arena);
        return 0;
}
