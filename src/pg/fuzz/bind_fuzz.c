/* SPDX-License-Identifier: Apache-2.0 */
/* Bind messages; every byte that a parameter claims to have is read, and memory stays in proportion to the message. */
#include "../pg_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_pg_bind bind;
        if (leat_pg_bind_decode(arena, leat_view_of(data, size), &bind, NULL) == 0) {
                volatile size_t sum = strlen(bind.portal) + strlen(bind.stmt);
                for (uint32_t i = 0; i < bind.param_count; i++)
                        for (size_t b = 0; b < bind.params[i].len; b++)
                                sum += bind.params[i].data[b];
                for (uint32_t i = 0; i < bind.format_count; i++)
                        sum += bind.formats[i];
                for (uint32_t i = 0; i < bind.result_format_count; i++)
                        sum += bind.result_formats[i];
        }
        if (leat_arena_bytes(arena) > 64 * size + (64 << 10))
                __builtin_trap();
        leat_arena_free(arena);
        return 0;
}
