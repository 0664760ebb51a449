/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/http: reading one request.
 *
 * http-parser knows the grammar (strict: a request with both Content-Length and
 * Transfer-Encoding, or with two lengths, is refused). This file bounds what it
 * hands out, keeps it, and stops twice: after the head, so that a request that is
 * going to be refused does not send its body first, and after the message, so
 * that bytes of the next one stay where they are.
 *
 * Limits  URI 8 KiB (414), head 16 KiB or 64 headers (431), body (413). Headers
 *         behind a chunked body are thrown away: nobody has checked them.
 * Memory  grows with what has come; leat_http_reader_next keeps nothing.
 */
#include "http_int.h"

#include <stdio.h>
#include <strings.h>

#define URI_BYTES_MAX (8 * 1024)
#define HEAD_BYTES_MAX (16 * 1024)

static int reader_bad(struct http_reader *reader, int status, const char *problem)
{
        reader->status = status;
        reader->problem = problem;
        return 1;
}

static struct http_reader *reader_of(http_parser *parser)
{
        return parser->data;
}

static int url_cb(http_parser *parser, const char *at, size_t len)
{
        struct http_reader *reader = reader_of(parser);
        if (reader->text.len + len > URI_BYTES_MAX)
                return reader_bad(reader, 414, "the URI is longer than 8 KiB");
        leat_buf_add(&reader->text, at, len);
        reader->uri.len += (uint32_t)len;
        return 0;
}

/* Ends the last text and begins one in @span. */
static void text_begin(struct http_reader *reader, struct http_span *span)
{
        leat_buf_u8(&reader->text, 0);
        *span = (struct http_span){.at = (uint32_t)reader->text.len};
}

static int text_add(struct http_reader *reader, struct http_span *span, const char *at, size_t len)
{
        if (reader->text.len + len > HEAD_BYTES_MAX)
                return reader_bad(reader, 431, "the request head is larger than 16 KiB");
        leat_buf_add(&reader->text, at, len);
        span->len += (uint32_t)len;
        return 0;
}

static int field_cb(http_parser *parser, const char *at, size_t len)
{
        struct http_reader *reader = reader_of(parser);
        if (reader->is_head_done)
                return 0;
        if (reader->in_value || reader->header_count == 0) {
                if (reader->header_count == HTTP_HEADERS_MAX)
                        return reader_bad(reader, 431, "the request has more than 64 headers");
                text_begin(reader, &reader->names[reader->header_count]);
                reader->values[reader->header_count] = (struct http_span){.at = 0};
                reader->header_count++;
                reader->in_value = false;
        }
        return text_add(reader, &reader->names[reader->header_count - 1], at, len);
}

static int value_cb(http_parser *parser, const char *at, size_t len)
{
        struct http_reader *reader = reader_of(parser);
        if (reader->is_head_done)
                return 0;
        LEAT_ASSERT(reader->header_count > 0);
        struct http_span *span = &reader->values[reader->header_count - 1];
        if (!reader->in_value) {
                text_begin(reader, span);
                reader->in_value = true;
        }
        return text_add(reader, span, at, len);
}

static int head_cb(http_parser *parser)
{
        struct http_reader *reader = reader_of(parser);
        leat_buf_u8(&reader->text, 0);
        reader->is_head_done = true;
        parser->upgrade = 0; /* we speak nothing else: the offer is ignored */
        if (parser->http_major != 1)
                return reader_bad(reader, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
        if (parser->method == HTTP_CONNECT)
                return reader_bad(reader, 405, "this is no proxy");
        if (parser->content_length != UINT64_MAX && parser->content_length > reader->body_max)
                return reader_bad(reader, 413, "the request body is larger than allowed");
        http_parser_pause(parser, 1);
        return 0;
}

static int body_cb(http_parser *parser, const char *at, size_t len)
{
        struct http_reader *reader = reader_of(parser);
        if (reader->body.len + len > reader->body_max)
                return reader_bad(reader, 413, "the request body is larger than allowed");
        leat_buf_add(&reader->body, at, len);
        return 0;
}

static int whole_cb(http_parser *parser)
{
        struct http_reader *reader = reader_of(parser);
        reader->is_whole = true;
        reader->keep_alive = http_should_keep_alive(parser) != 0;
        http_parser_pause(parser, 1);
        return 0;
}

static const http_parser_settings SETTINGS = {
        .on_url = url_cb,
        .on_header_field = field_cb,
        .on_header_value = value_cb,
        .on_headers_complete = head_cb,
        .on_body = body_cb,
        .on_message_complete = whole_cb,
};

void leat_http_reader_init(struct http_reader *reader, size_t body_max)
{
        memset(reader, 0, sizeof(*reader));
        reader->body_max = body_max;
        http_parser_init(&reader->parser, HTTP_REQUEST);
        reader->parser.data = reader;
}

void leat_http_reader_done(struct http_reader *reader)
{
        leat_buf_done(&reader->text);
        leat_buf_done(&reader->body);
}

void leat_http_reader_next(struct http_reader *reader)
{
        leat_http_reader_done(reader);
        leat_http_reader_init(reader, reader->body_max);
}

enum http_step leat_http_reader_feed(struct http_reader *reader, struct leat_view data, size_t *ret_used)
{
        bool had_head = reader->is_head_done;
        reader->began = reader->began || data.len > 0;
        http_parser_pause(&reader->parser, 0);
        *ret_used = http_parser_execute(&reader->parser, &SETTINGS, (const char *)data.data, data.len);
        if (reader->status != 0)
                return HTTP_STEP_BAD;
        if (reader->is_whole)
                return HTTP_STEP_WHOLE;
        enum http_errno error = HTTP_PARSER_ERRNO(&reader->parser);
        if (error == HPE_PAUSED || (error == HPE_OK && reader->is_head_done && !had_head))
                return HTTP_STEP_HEAD;
        if (error == HPE_OK)
                return HTTP_STEP_MORE;
        if (error == HPE_HEADER_OVERFLOW)
                reader_bad(reader, 431, "the request head is larger than allowed");
        else
                reader_bad(reader, 400, http_errno_description(error));
        return HTTP_STEP_BAD;
}

const char *leat_http_reader_header(const struct http_reader *reader, const char *name)
{
        size_t len = strlen(name);
        for (int i = 0; i < reader->header_count; i++) {
                const char *text = (const char *)reader->text.data;
                if (reader->names[i].len == len && strncasecmp(text + reader->names[i].at, name, len) == 0)
                        return reader->values[i].at != 0 ? text + reader->values[i].at : "";
        }
        return NULL;
}

/* ---- texts in it ---- */

static int hex_digit(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        c = (char)(c | 0x20);
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

char *leat_http_decode(struct leat_arena *arena, const char *text, size_t len, bool plus)
{
        char *out = leat_arena_alloc(arena, len + 1);
        size_t n = 0;
        for (size_t i = 0; i < len; i++) {
                char c = text[i];
                if (c == '%') {
                        int high = i + 2 < len ? hex_digit(text[i + 1]) : -1;
                        int low = i + 2 < len ? hex_digit(text[i + 2]) : -1;
                        if (high < 0 || low < 0)
                                return NULL;
                        c = (char)(high * 16 + low);
                        i += 2;
                } else if (c == '+' && plus) {
                        c = ' ';
                }
                if (c == '\0')
                        return NULL;
                out[n++] = c;
        }
        out[n] = '\0';
        return out;
}

bool leat_http_host_is_ours(const char *host, uint16_t port)
{
        static const char *const NAMES[] = {"localhost", "127.0.0.1", "[::1]"};
        for (size_t i = 0; i < LEAT_ARRAY_LEN(NAMES); i++) {
                size_t len = strlen(NAMES[i]);
                if (strncasecmp(host, NAMES[i], len) != 0)
                        continue;
                if (host[len] == '\0')
                        return port == 80;
                char want[8];
                snprintf(want, sizeof(want), ":%u", port);
                return strcmp(host + len, want) == 0;
        }
        return false;
}

bool leat_http_origin_is_ours(const char *origin, uint16_t port)
{
        return strncasecmp(origin, "http://", 7) == 0 && leat_http_host_is_ours(origin + 7, port);
}
