/* SPDX-License-Identifier: Apache-2.0 */
/* leat/pg: what its unit tests share. Not part of the product. */
#ifndef LEAT_PG_TEST_INT_H
#define LEAT_PG_TEST_INT_H

#include <stdio.h>

#include "leat/test.h"

#include "pg_int.h"

/* What @buf holds as lower-case hex, in memory of the arena. */
static inline const char *test_hex(struct leat_arena *arena, struct leat_view bytes)
{
        char *text = leat_arena_zalloc(arena, bytes.len * 2 + 1);
        for (size_t i = 0; i < bytes.len; i++)
                snprintf(text + 2 * i, 3, "%02x", bytes.data[i]);
        return text;
}
/* The bytes of a text of hex digits. */
static inline struct leat_view test_unhex(struct leat_arena *arena, const char *hex)
{
        size_t len = strlen(hex) / 2;
        uint8_t *bytes = leat_arena_alloc(arena, len + 1);
        for (size_t i = 0; i < len; i++) {
                unsigned byte = 0;
                (void)sscanf(hex + 2 * i, "%2x", &byte);
                bytes[i] = (uint8_t)byte;
        }
        return leat_view_of(bytes, len);
}

#endif
