/* SPDX-License-Identifier: Apache-2.0 */
#include "leat/test.h"

#include <stdlib.h>

#include "leat/base.h"

static char order[8];

static void note(void *arg)
{
        size_t len = strlen(order);
        order[len] = *(const char *)arg;
        order[len + 1] = '\0';
}

LEAT_TEST(arena_alloc_reset)
{
        struct leat_arena *arena = leat_arena_new(1024);
        for (int round = 0; round < 3; round++) {
                uint8_t *all[100];
                for (size_t i = 0; i < 100; i++) {
                        size_t bytes = i * i % 900;
                        all[i] = leat_arena_alloc(arena, bytes);
                        CHECK_INT((uintptr_t)all[i] % 16, 0);
                        memset(all[i], (int)i, bytes);
                }
                for (size_t i = 0; i < 100; i++)
                        for (size_t k = 0; k < i * i % 900; k++)
                                CHECK_INT(all[i][k], i);
                CHECK(leat_arena_bytes(arena) > 20000);
                leat_arena_reset(arena);
                CHECK(leat_arena_bytes(arena) < 2000);
        }
        leat_arena_free(arena);
        leat_arena_free(NULL);
}

LEAT_TEST(arena_text)
{
        struct leat_arena *arena = leat_arena_new(0);
        char longer[600];
        memset(longer, 'y', sizeof(longer) - 1);
        longer[sizeof(longer) - 1] = '\0';
        CHECK_STR(leat_arena_strdup(arena, "text"), "text");
        CHECK_STR(leat_arena_strndup(arena, "text", 2), "te");
        CHECK(memcmp(leat_arena_strndup(arena, "a\0b", 3), "a\0b", 4) == 0); /* bytes, not only text */
        CHECK_STR(leat_arena_strndup(arena, NULL, 0), "");
        CHECK_STR(leat_arena_printf(arena, "%d-%s", 5, "x"), "5-x");
        CHECK_INT(strlen(leat_arena_printf(arena, "%s%s", longer, longer)), 1198);
        uint8_t *zeros = leat_arena_zalloc(arena, 100);
        for (int i = 0; i < 100; i++)
                CHECK_INT(zeros[i], 0);
        leat_arena_free(arena);
}

LEAT_TEST(arena_cleanups_last_first)
{
        static char a = 'a', b = 'b', c = 'c';
        struct leat_arena *arena = leat_arena_new(0);
        order[0] = '\0';
        leat_arena_cleanup(arena, note, &a);
        leat_arena_cleanup(arena, note, &b);
        leat_arena_reset(arena);
        CHECK_STR(order, "ba");
        leat_arena_cleanup(arena, note, &c);
        leat_arena_free(arena);
        CHECK_STR(order, "bac");
}

LEAT_TEST(mem_text)
{
        char *a = leat_strdup("x"), *b = leat_strndup("abc", 2), *c = leat_asprintf("%s%d", "n", 1);
        CHECK_STR(a, "x");
        CHECK_STR(b, "ab");
        CHECK_STR(c, "n1");
        free(a), free(b), free(c);
}

LEAT_TEST(error_values)
{
        struct leat_error err;
        CHECK_INT(leat_error_set(&err, LEAT_EINVAL, "x is %d", 5), LEAT_EINVAL);
        CHECK_STR(err.message, "x is 5");
        leat_error_hint(&err, "write %s", "y");
        leat_error_prefix(&err, "topic %s", "t");
        CHECK_STR(err.message, "topic t: x is 5");
        CHECK_STR(err.hint, "write y");
        CHECK_INT(leat_error_set(&err, LEAT_EIO, "again: %s", err.message), LEAT_EIO); /* from itself */
        CHECK_STR(err.message, "again: topic t: x is 5");
        CHECK_STR(err.hint, "");
        CHECK_INT(leat_error_sys(&err, 28, "cannot write %s", "f"), LEAT_EFULL); /* ENOSPC */
        CHECK(err.retriable && err.os_errno == 28);
        CHECK_STR(err.message, "cannot write f: No space left on device");
        CHECK_INT(leat_error_sys(&err, 2, "x"), LEAT_ENOTFOUND);
        CHECK_INT(leat_error_sys(&err, 17, "x"), LEAT_EEXISTS);
        CHECK_INT(leat_error_sys(&err, 12, "x"), LEAT_ENOMEM);
        CHECK_INT(leat_error_sys(NULL, 5, "x"), LEAT_EIO);
        CHECK_INT(leat_error_set(NULL, LEAT_EBUSY, "x"), LEAT_EBUSY);
        leat_error_hint(NULL, "x");
        leat_error_prefix(NULL, "x");
        CHECK_STR(leat_code_name(LEAT_ECORRUPT), "LEAT_ECORRUPT");
        CHECK_STR(leat_code_text(LEAT_ECORRUPT), "damaged data");
        CHECK_STR(leat_code_text(9999), "unknown error");
        char longer[2000];
        memset(longer, 'z', sizeof(longer) - 1);
        longer[sizeof(longer) - 1] = '\0';
        leat_error_set(&err, LEAT_EINVAL, "%s", longer);
        leat_error_prefix(&err, "%s", longer);
        CHECK_INT(strlen(err.message), sizeof(err.message) - 1);
}
