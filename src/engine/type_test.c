/* SPDX-License-Identifier: Apache-2.0 */
/* leat/engine: text and encoding of types. */
#include "engine_int.h"
#include "leat/test.h"

static void check_type(const char *text, const char *want)
{
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_error err = {0};
        struct leat_type type;
        CHECK_OK(leat_type_parse(arena, leat_view_str(text), &type, &err), &err);
        struct leat_buf out = LEAT_BUF_INIT;
        leat_type_print(&type, &out);
        CHECK_STR(leat_buf_cstr(&out), want);

        /* Its own text and its encoding read back to the same type. */
        struct leat_type again;
        CHECK_OK(leat_type_parse(arena, leat_buf_view(&out), &again, &err), &err);
        CHECK(leat_type_eq(&type, &again));
        leat_buf_clear(&out);
        leat_type_encode(&type, &out);
        struct leat_cursor cur = leat_cursor_of(leat_buf_view(&out));
        CHECK_OK(leat_type_decode(arena, &cur, &again, &err), &err);
        CHECK_INT(leat_cursor_left(&cur), 0);
        CHECK(leat_type_eq(&type, &again));
        struct leat_type copy = leat_type_copy(arena, &type);
        CHECK(leat_type_eq(&type, &copy));
        leat_buf_done(&out);
        leat_arena_free(arena);
}

LEAT_TEST(type_text)
{
        check_type("text", "VARCHAR");
        check_type("TEXT", "VARCHAR");
        check_type("varchar(20)", "VARCHAR");
        check_type("character varying ( 20 )", "VARCHAR");
        check_type("int", "INTEGER");
        check_type("int8", "BIGINT");
        check_type("float8", "DOUBLE");
        check_type("double precision", "DOUBLE");
        check_type("float(53)", "DOUBLE");
        check_type("float", "FLOAT");
        check_type("timestamptz", "TIMESTAMPTZ");
        check_type("timestamp with time zone", "TIMESTAMPTZ");
        check_type("timestamp(3) with time zone", "TIMESTAMPTZ");
        check_type("timestamp(6)", "TIMESTAMP");
        check_type("timestamp without time zone", "TIMESTAMP");
        check_type("time without time zone", "TIME");
        check_type("bytea", "BLOB");
        check_type("numeric", "DECIMAL(18,3)");
        check_type("numeric(10)", "DECIMAL(10,0)");
        check_type(" numeric ( 10 , 2 ) ", "DECIMAL(10,2)");
        check_type("int[]", "INTEGER[]");
        check_type("int [ ] []", "INTEGER[][]");
        check_type("STRUCT(key TEXT, \"Odd \"\"name\" bytea)[]", "STRUCT(key VARCHAR, \"Odd \"\"name\" BLOB)[]");
        check_type("map(text, int)", "STRUCT(key VARCHAR, value INTEGER)[]");
        check_type("struct(a struct(b decimal(38,38)))", "STRUCT(a STRUCT(b DECIMAL(38,38)))");
        check_type("hugeint", "HUGEINT");
        check_type("uuid", "UUID");
        check_type("interval", "INTERVAL");
}

static void check_refused(const char *text, const char *message, const char *hint)
{
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_error err = {0};
        struct leat_type type;
        CHECK_INT(leat_type_parse(arena, leat_view_str(text), &type, &err), LEAT_ETYPE);
        CHECK(strstr(err.message, message) != NULL);
        CHECK(strstr(err.hint, hint) != NULL);
        leat_arena_free(arena);
}

LEAT_TEST(type_refused)
{
        check_refused("strng", "\"strng\" does not exist", "string");
        check_refused("inetger", "\"inetger\"", "integer");
        check_refused("flurb", "\"flurb\"", "Types are");
        check_refused("", "expected the name of a type", "");
        check_refused("decimal(39,2)", "1 to 38", "");
        check_refused("decimal(3,4)", "1 to 38", "");
        check_refused("int(", "expected a number", "");
        check_refused("int(4)", "takes no length", "");
        check_refused("int[3]", "fixed length", "");
        check_refused("int x", "something follows", "");
        check_refused("struct(a)", "expected the name of a type", "");
        check_refused("struct(a int", "\")\" is missing", "");
        check_refused("map(int)", "key and a value", "");
        check_refused("int[][][][][][][][][][][][][][][][][][]", "nested too deeply", "");
        check_refused("\"open", "expected", "");
}

LEAT_TEST(type_decode_damaged)
{
        static const uint8_t bad[][4] = {{0},
                                         {200},
                                         {LEAT_T_DECIMAL, 39, 1},
                                         {LEAT_T_DECIMAL, 0, 0},
                                         {LEAT_T_LIST, LEAT_T_LIST, LEAT_T_LIST, LEAT_T_LIST},
                                         {LEAT_T_STRUCT, 3, 200, 'a'}};
        for (size_t i = 0; i < LEAT_ARRAY_LEN(bad); i++) {
                struct leat_arena *arena = leat_arena_new(0);
                struct leat_error err = {0};
                struct leat_type type;
                struct leat_cursor cur = leat_cursor_of(leat_view_of(bad[i], 4));
                CHECK_INT(leat_type_decode(arena, &cur, &type, &err), LEAT_ECORRUPT);
                leat_arena_free(arena);
        }
        uint8_t deep[100];
        memset(deep, LEAT_T_LIST, sizeof deep);
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_type type;
        struct leat_cursor cur = leat_cursor_of(leat_view_of(deep, sizeof deep));
        CHECK_INT(leat_type_decode(arena, &cur, &type, NULL), LEAT_ECORRUPT);
        leat_arena_free(arena);
}
