/* SPDX-License-Identifier: Apache-2.0 */
/* What a stranger sends first: a StartupMessage behind its length. */
#include "../pg_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct leat_pg_startup start;
        if (leat_pg_startup_decode(leat_view_of(data, size), &start, NULL) != 0)
                return 0;
        volatile size_t len = strlen(start.user) + strlen(start.database) + strlen(start.application_name);
        if (len > size || start.unknown.len > size || start.unknown_count > size)
                __builtin_trap();
        leat_buf_done(&start.unknown);
        return 0;
}
