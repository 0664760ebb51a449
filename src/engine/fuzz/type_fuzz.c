/* SPDX-License-Identifier: Apache-2.0 */
/* leat/engine: hostile bytes as the text and as the encoding of a type. What is read must print and encode to itself. */
#include "leat/column.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_again(struct leat_arena *arena, const struct leat_type *type, bool text)
{
        struct leat_buf out = LEAT_BUF_INIT;
        struct leat_type again;
        leat_type_encode(type, &out);
        struct leat_cursor cur = leat_cursor_of(leat_buf_view(&out));
        LEAT_ASSERT(leat_type_decode(arena, &cur, &again, NULL) == 0 && leat_type_eq(type, &again));
        leat_buf_clear(&out);
        leat_type_print(type, &out);
        if (text)
                LEAT_ASSERT(leat_type_parse(arena, leat_buf_view(&out), &again, NULL) == 0 &&
                            leat_type_eq(type, &again));
        leat_buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_type type;
        struct leat_error err;
        if (leat_type_parse(arena, leat_view_of(data, size), &type, &err) == 0)
                check_again(arena, &type, true);
        struct leat_cursor cur = leat_cursor_of(leat_view_of(data, size));
        if (leat_type_decode(arena, &cur, &type, &err) == 0)
                check_again(arena, &type, false);
        leat_arena_free(arena);
        return 0;
}
