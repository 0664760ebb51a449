/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a text of statements: the parser must end, and its offsets must stay inside. */
#include "leat/sql.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct leat_view text = leat_view_of(data, size);
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_stmt stmt;
        struct leat_error err;
        size_t offset = 0;
        for (;;) {
                size_t before = offset;
                if (leat_sql_parse(arena, text, &offset, &stmt, &err) != 0 || stmt.kind == LEAT_STMT_NONE)
                        break;
                LEAT_ASSERT(offset > before && offset <= size);
                LEAT_ASSERT((size_t)stmt.body.start + stmt.body.len <= size);
        }
        leat_sql_incomplete(text);
        leat_arena_free(arena);
        return 0;
}
