/* SPDX-License-Identifier: Apache-2.0 */
/* leat/sql: the JSON reader. */
#include "leat/json.h"

#include "leat/test.h"

static struct leat_error err;

LEAT_TEST(json_reads)
{
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_json *json;
        const char *text =
                "{\"a\": [1, -2.5e3, {\"b\": \"x\\n\\u00e9\\ud83d\\ude00\"}], \"query_location\":18446744073709551615,"
                " \"c\": true, \"d\": null, \"e\": {}, \"n\": NaN}";
        CHECK_OK(leat_json_parse(arena, leat_view_str(text), &json, &err), &err);
        CHECK_INT(json->count, 6);
        CHECK_INT(leat_json_location(json), -1);
        CHECK(leat_json_bool(json, "c") && !leat_json_bool(json, "d"));
        const struct leat_json *list = leat_json_get(json, "a");
        CHECK_INT(list->count, 3);
        CHECK_STR((const char *)leat_json_at(list, 1)->text.data, "-2.5e3");
        CHECK_STR(leat_json_str(leat_json_at(list, 2), "b"), "x\n\xc3\xa9\xf0\x9f\x98\x80");
        CHECK_STR(leat_json_str(json, "nothing"), "");
        CHECK(leat_json_get(NULL, "a") == NULL && leat_json_at(json, 0) == NULL);
        leat_arena_free(arena);
}

LEAT_TEST(json_refuses)
{
        static const char *const bad[] = {"",    "{",   "[1", "{\"a\"}", "\"x", "\"\\",    "\"\\u12\"", "[1,]",
                                          "{,}", "1 2", "?",  "[1}",     "tru", "\"\\q\"", "{\"a\":}"};
        for (size_t i = 0; i < LEAT_ARRAY_LEN(bad); i++) {
                struct leat_arena *arena = leat_arena_new(0);
                struct leat_json *json;
                CHECK_INT(leat_json_parse(arena, leat_view_str(bad[i]), &json, &err), LEAT_EPROTO);
                leat_arena_free(arena);
        }
        char deep[3000];
        memset(deep, '[', sizeof deep);
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_json *json;
        CHECK_INT(leat_json_parse(arena, leat_view_of(deep, sizeof deep), &json, &err), LEAT_ETOOBIG);
        leat_arena_free(arena);
}
