/* SPDX-License-Identifier: Apache-2.0 */
/* What a stranger sends first: a StartupMessage behind its length. */
#include "../pg_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_pg_startup start;
        if (leat_pg_startup_decode(arena, leat_view_of(data, size), &start, NULL) == 0) {
                volatile size_t len = strlen(start.user) + strlen(start.database);
                for (uint32_t i = 0; i < start.setting_count; i++)
                        len += strlen(start.settings[i].name) + strlen(start.settings[i].value);
                if (len > size || start.unknown.len > size || start.unknown_count > size)
                        __builtin_trap();
                leat_buf_done(&start.unknown);
        }
        leat_arena_free(arena);
        return 0;
}
