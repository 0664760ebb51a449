/* SPDX-License-Identifier: Apache-2.0 */
/* leat/pg: messages against bytes written down from PostgreSQL's "Message Formats". */
#include "pg_test_int.h"

#define BYTES(text) leat_view_of(text, sizeof(text) - 1)

static int startup(struct leat_view body, struct leat_pg_startup *ret, struct leat_error *err)
{
        static struct leat_arena *arena;
        leat_arena_free(arena);
        arena = leat_arena_new(0);
        return leat_pg_startup_decode(arena, body, ret, err);
}

LEAT_TEST(message_startup)
{
        struct leat_pg_startup s;
        struct leat_error err;
        CHECK_OK(startup(BYTES("\0\3\0\0user\0ann\0database\0d\0application_name\0app\0x\0y\0\0"), &s, &err), &err);
        CHECK_STR(s.user, "ann");
        CHECK_STR(s.database, "d");
        CHECK_INT(s.setting_count, 2);
        CHECK_STR(s.settings[0].name, "application_name");
        CHECK_STR(s.settings[0].value, "app");
        CHECK_STR(s.settings[1].name, "x");
        CHECK_INT(s.unknown_count, 0);
        CHECK_OK(startup(BYTES("\0\3\0\2user\0ann\0_pq_.a\0on\0_pq_.b\0\0\0"), &s, &err), &err);
        CHECK_INT(s.version, LEAT_PG_PROTOCOL_3 + 2);
        CHECK_INT(s.unknown_count, 2);
        CHECK_INT(s.unknown.len, 14);
        CHECK(memcmp(s.unknown.data, "_pq_.a\0_pq_.b", 14) == 0);
        leat_buf_done(&s.unknown);
}

LEAT_TEST(message_startup_options)
{
        struct leat_pg_startup s;
        struct leat_error err;
        CHECK_OK(startup(BYTES("\0\3\0\0user\0ann\0DateStyle\0ISO\0options\0"
                               "-c a=1  -cb=x\\ y\\\\ --search-path=c\0\0"),
                         &s, &err),
                 &err);
        static const char *const want[][2] = {{"a", "1"}, {"b", "x y\\"}, {"search_path", "c"}, {"DateStyle", "ISO"}};
        CHECK_INT(s.setting_count, 4);
        for (size_t i = 0; i < 4; i++) {
                CHECK_STR(s.settings[i].name, want[i][0]);
                CHECK_STR(s.settings[i].value, want[i][1]);
        }
        static const char *const bad[][2] = {{"-x", "invalid command-line argument for server process: -x"},
                                             {"a=1", "invalid command-line argument for server process: a=1"},
                                             {"-c", "-c  requires a value"},
                                             {"-c a", "-c a requires a value"},
                                             {"--a", "--a requires a value"},
                                             {"--", "invalid command-line argument for server process: --"}};
        for (size_t i = 0; i < LEAT_ARRAY_LEN(bad); i++) {
                struct leat_buf body = LEAT_BUF_INIT;
                leat_buf_add_view(&body, BYTES("\0\3\0\0user\0ann\0options\0"));
                leat_buf_add(&body, bad[i][0], strlen(bad[i][0]) + 1);
                leat_buf_u8(&body, 0);
                CHECK_INT(startup(leat_buf_view(&body), &s, &err), LEAT_ESYNTAX);
                CHECK_STR(err.message, bad[i][1]);
                leat_buf_done(&body);
        }
}

LEAT_TEST(message_startup_refused)
{
        static const char whole[] = "\0\3\0\0user\0ann\0_pq_.a\0on\0";
        struct leat_pg_startup s;
        struct leat_error err;
        /* The NUL that C adds is the terminator. */
        for (size_t cut = 0; cut < sizeof whole; cut++) {
                int rc = startup(leat_view_of(whole, cut), &s, &err);
                CHECK_INT(rc, cut < 4 ? LEAT_EUNSUPPORTED : LEAT_EPROTO);
        }
        CHECK_OK(startup(leat_view_of(whole, sizeof whole), &s, &err), &err);
        leat_buf_done(&s.unknown);
        CHECK_INT(startup(BYTES("\0\3\0\0user\0ann\0\0more"), &s, &err), LEAT_EPROTO);
        CHECK_INT(startup(BYTES("\0\3\0\0user\0ann\0x"), &s, &err), LEAT_EPROTO);
        CHECK_INT(startup(BYTES("\0\3\0\0database\0d\0\0"), &s, &err), LEAT_EPROTO);
        CHECK_STR(err.message, "no PostgreSQL user name specified in startup packet");
        CHECK_INT(startup(BYTES("\0\2\0\0user\0ann\0\0"), &s, &err), LEAT_EUNSUPPORTED);
}

LEAT_TEST(message_bind)
{
        static const char whole[] = "p\0s\0\0\1\0\1\0\3\0\0\0\2ab\377\377\377\377\0\0\0\0\0\2\0\0\0\1";
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_pg_bind bind;
        struct leat_error err;
        CHECK_OK(leat_pg_bind_decode(arena, BYTES(whole), &bind, &err), &err);
        CHECK_STR(bind.portal, "p");
        CHECK_STR(bind.stmt, "s");
        CHECK_INT(bind.format_count, 1);
        CHECK_INT(bind.formats[0], 1);
        CHECK_INT(bind.param_count, 3);
        CHECK(leat_view_eq_str(bind.params[0], "ab"));
        CHECK(bind.params[1].data == NULL);
        CHECK(bind.params[2].data != NULL && bind.params[2].len == 0);
        CHECK_INT(bind.result_format_count, 2);
        CHECK_INT(bind.result_formats[1], 1);
        for (size_t cut = 0; cut < sizeof whole - 1; cut++)
                CHECK_INT(leat_pg_bind_decode(arena, leat_view_of(whole, cut), &bind, &err), LEAT_EPROTO);
        CHECK_INT(leat_pg_bind_decode(arena, leat_view_of(whole, sizeof whole), &bind, &err), LEAT_EPROTO);
        leat_arena_free(arena);
}

LEAT_TEST(message_bind_hostile)
{
        static const struct {
                const char *bytes;
                size_t len;
        } bad[] = {
#define BAD(text) {text, sizeof(text) - 1}
                BAD("\0\0\377\377\0\0\0\0"),             /* formats that are not there */
                BAD("\0\0\0\0\377\377\0\0\0\0"),         /* parameters */
                BAD("\0\0\0\0\0\1\177\377\377\377\0\0"), /* a length of 2 GiB */
                BAD("\0\0\0\0\0\1\377\377\377\376\0\0"), /* a length of -2 */
                BAD("\0\0\0\0\0\0\377\377"),             /* result formats */
                BAD("\0\0\0\1\0\2\0\0\0\0"),             /* format 2 */
                BAD("\0\0\0\2\0\0\0\1\0\1\0\0\0\0\0\0"), /* two formats, one parameter */
        };
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_pg_bind bind;
        struct leat_error err;
        for (size_t i = 0; i < LEAT_ARRAY_LEN(bad); i++)
                CHECK_INT(leat_pg_bind_decode(arena, leat_view_of(bad[i].bytes, bad[i].len), &bind, &err), LEAT_EPROTO);
        CHECK(leat_arena_bytes(arena) < 64 << 10);
        leat_arena_free(arena);
}

#define CHECK_BYTES(buf, text) \
        do { \
                CHECK_INT((buf).len, sizeof(text) - 1); \
                CHECK(memcmp((buf).data, text, sizeof(text) - 1) == 0); \
        } while (0)

LEAT_TEST(message_error)
{
        struct leat_buf out = LEAT_BUF_INIT;
        leat_pg_msg_error(&out, "ERROR", "42601", "no", "try", 7);
        CHECK_BYTES(out, "E\0\0\0\46SERROR\0VERROR\0C42601\0Mno\0Htry\0P7\0\0");
        leat_buf_clear(&out);
        leat_pg_msg_error(&out, "NOTICE", "00000", "so", "", 0);
        CHECK_BYTES(out, "N\0\0\0\40SNOTICE\0VNOTICE\0C00000\0Mso\0\0");
        leat_buf_clear(&out);
        leat_pg_msg_status(&out, "TimeZone", "UTC");
        CHECK_BYTES(out, "S\0\0\0\21TimeZone\0UTC\0");
        leat_buf_done(&out);
}

LEAT_TEST(message_row_desc)
{
        static const char *const names[] = {"a", "n"};
        const struct leat_type types[] = {{.id = LEAT_T_INTEGER}, {.id = LEAT_T_DECIMAL, .width = 18, .scale = 3}};
        const struct leat_pg_desc desc = {.column_count = 2, .names = names, .columns = types};
        const uint16_t formats[] = {0, 1};
        struct leat_buf out = LEAT_BUF_INIT;
        leat_pg_msg_row_desc(&out, &desc, formats, 2);
        CHECK_BYTES(out, "T\0\0\0\56\0\2"
                         "a\0\0\0\0\0\0\0\0\0\0\27\0\4\377\377\377\377\0\0"
                         "n\0\0\0\0\0\0\0\0\0\6\244\377\377\0\22\0\7\0\1");
        leat_buf_clear(&out);
        leat_pg_msg_row_desc(&out, &desc, formats + 1, 1); /* one for all */
        CHECK_INT(out.data[26], 1);
        CHECK_INT(out.data[46], 1);
        leat_buf_clear(&out);
        leat_pg_msg_row_desc(&out, &desc, NULL, 0);
        CHECK_INT(out.data[46], 0);
        leat_buf_done(&out);
}
