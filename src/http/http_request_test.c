/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of reading requests, without sockets. */
#include "http_int.h"

#include <stdio.h>

#include "leat/test.h"

#define HOST "Host: localhost:8080\r\n"

/* Feeds @text in pieces of @step bytes; returns what came at the end. */
static enum http_step feed(struct http_reader *reader, struct leat_view text, size_t step)
{
        enum http_step got = HTTP_STEP_MORE;
        size_t at = 0;
        while (at < text.len && got != HTTP_STEP_BAD && got != HTTP_STEP_WHOLE) {
                size_t used = 0;
                got = leat_http_reader_feed(reader, leat_view_of(text.data + at, LEAT_MIN(step, text.len - at)), &used);
                at += used;
        }
        return got;
}

static int status_of(struct leat_view text)
{
        struct http_reader reader;
        leat_http_reader_init(&reader, 100);
        enum http_step got = feed(&reader, text, SIZE_MAX);
        int status = got == HTTP_STEP_BAD ? reader.status : got == HTTP_STEP_WHOLE ? 200 : 0;
        leat_http_reader_done(&reader);
        return status;
}

LEAT_TEST(http_request_is_read_in_any_pieces)
{
        static const char TEXT[] = "POST /api/sql?a=b HTTP/1.1\r\n" HOST "X-Empty:\r\nContent-Length: 5\r\n\r\nhello";
        for (size_t step = 1; step < sizeof(TEXT); step++) {
                struct http_reader reader;
                leat_http_reader_init(&reader, 100);
                CHECK_INT(feed(&reader, leat_view_str(TEXT), step), HTTP_STEP_WHOLE);
                CHECK_STR((const char *)reader.text.data, "/api/sql?a=b");
                CHECK_STR(leat_http_reader_header(&reader, "HOST"), "localhost:8080");
                CHECK_STR(leat_http_reader_header(&reader, "x-empty"), "");
                CHECK(leat_http_reader_header(&reader, "x-emp") == NULL);
                CHECK(leat_view_eq_str(leat_buf_view(&reader.body), "hello"));
                CHECK(reader.keep_alive);
                leat_http_reader_done(&reader);
        }
}

LEAT_TEST(http_request_leaves_bytes_of_the_next)
{
        static const char TEXT[] = "GET /a HTTP/1.1\r\n" HOST "\r\nGET /b HTTP/1.1\r\n\r\n";
        struct http_reader reader;
        size_t used = 0, at = 0;
        leat_http_reader_init(&reader, 100);
        CHECK_INT(leat_http_reader_feed(&reader, leat_view_str(TEXT), &used), HTTP_STEP_HEAD);
        at += used;
        CHECK_INT(leat_http_reader_feed(&reader, leat_view_str(TEXT + at), &used), HTTP_STEP_WHOLE);
        at += used;
        CHECK_STR(TEXT + at, "GET /b HTTP/1.1\r\n\r\n");
        leat_http_reader_next(&reader);
        CHECK_INT(feed(&reader, leat_view_str(TEXT + at), 3), HTTP_STEP_WHOLE);
        CHECK_STR((const char *)reader.text.data, "/b");
        leat_http_reader_done(&reader);
}

LEAT_TEST(http_request_limits)
{
        struct leat_buf buf = LEAT_BUF_INIT;
        leat_buf_printf(&buf, "GET /%09000d HTTP/1.1\r\n\r\n", 0);
        CHECK_INT(status_of(leat_buf_view(&buf)), 414);
        leat_buf_clear(&buf);
        leat_buf_printf(&buf, "GET / HTTP/1.1\r\nX: %017000d\r\n\r\n", 0);
        CHECK_INT(status_of(leat_buf_view(&buf)), 431);
        leat_buf_clear(&buf);
        leat_buf_add_str(&buf, "GET / HTTP/1.1\r\n");
        for (int i = 0; i < 65; i++)
                leat_buf_printf(&buf, "h%d: v\r\n", i);
        leat_buf_add_str(&buf, "\r\n");
        CHECK_INT(status_of(leat_buf_view(&buf)), 431);
        CHECK_INT(status_of(leat_view_str("POST / HTTP/1.1\r\nContent-Length: 101\r\n\r\n")), 413);
        leat_buf_clear(&buf);
        leat_buf_add_str(&buf, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
        for (int i = 0; i < 11; i++)
                leat_buf_add_str(&buf, "a\r\n0123456789\r\n");
        leat_buf_add_str(&buf, "0\r\n\r\n");
        CHECK_INT(status_of(leat_buf_view(&buf)), 413);
        leat_buf_done(&buf);
}

LEAT_TEST(http_request_ambiguity_is_refused)
{
        CHECK_INT(status_of(leat_view_str(
                          "POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")),
                  400);
        CHECK_INT(status_of(leat_view_str("POST / HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n")), 400);
        CHECK_INT(status_of(leat_view_str("POST / HTTP/1.1\r\nContent-Length: 1e3\r\n\r\n")), 400);
        CHECK_INT(status_of(leat_view_str("GET / HTTP/2.0\r\n\r\n")), 505);
        CHECK_INT(status_of(leat_view_str("\x16\x03\x01 garbage")), 400);
        CHECK_INT(status_of(leat_view_str("CONNECT x:1 HTTP/1.1\r\n\r\n")), 405);
        CHECK_INT(status_of(leat_view_str("GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n")), 200);
}

LEAT_TEST(http_percent_decoding)
{
        struct leat_arena *arena = leat_arena_new(0);
        CHECK_STR(leat_http_decode(arena, "a%20b+c%2F", 10, false), "a b+c/");
        CHECK_STR(leat_http_decode(arena, "a%20b+c%2f", 10, true), "a b c/");
        CHECK_STR(leat_http_decode(arena, "", 0, true), "");
        CHECK_STR(leat_http_decode(arena, "%41", 3, true), "A");
        CHECK(leat_http_decode(arena, "a%2", 3, true) == NULL);
        CHECK(leat_http_decode(arena, "a%", 2, true) == NULL);
        CHECK(leat_http_decode(arena, "%zz", 3, true) == NULL);
        CHECK(leat_http_decode(arena, "a%00b", 5, true) == NULL);
        leat_arena_free(arena);
}

LEAT_TEST(http_own_addresses)
{
        CHECK(leat_http_host_is_ours("localhost:8080", 8080));
        CHECK(leat_http_host_is_ours("LocalHost:8080", 8080));
        CHECK(leat_http_host_is_ours("127.0.0.1:8080", 8080));
        CHECK(leat_http_host_is_ours("[::1]:8080", 8080));
        CHECK(leat_http_host_is_ours("localhost", 80));
        CHECK(!leat_http_host_is_ours("localhost", 8080));
        CHECK(!leat_http_host_is_ours("localhost:8081", 8080));
        CHECK(!leat_http_host_is_ours("localhost:8080.evil.example", 8080));
        CHECK(!leat_http_host_is_ours("localhost.evil.example:8080", 8080));
        CHECK(!leat_http_host_is_ours("evil.example:8080", 8080));
        CHECK(!leat_http_host_is_ours("", 8080));
        CHECK(leat_http_origin_is_ours("http://localhost:8080", 8080));
        CHECK(!leat_http_origin_is_ours("null", 8080));
        CHECK(!leat_http_origin_is_ours("https://localhost:8080", 8080));
        CHECK(!leat_http_origin_is_ours("http://evil.example", 8080));
}
