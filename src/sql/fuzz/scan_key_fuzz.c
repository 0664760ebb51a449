/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as the key of a scan. */
#include "leat/sql.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_scan_key key;
        struct leat_error err;
        (void)!leat_sql_scan_key_parse(arena, leat_arena_strndup(arena, (const char *)data, size), &key, &err);
        leat_arena_free(arena);
        return 0;
}
