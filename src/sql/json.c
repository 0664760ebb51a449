/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/sql: a JSON reader for DuckDB's trees and plans.
 *
 * Purpose  jansson cannot hold DuckDB's numbers (query_location is 2^64-1 for
 *          "nowhere", HUGEINT constants have 39 digits); here a number keeps
 *          its text. One pass, one arena, members as linked lists.
 * Failure  bad input gives LEAT_EPROTO with the byte; depth is bounded, so the
 *          recursion is.
 */
#include "leat/json.h"

#include <errno.h>
#include <stdlib.h>

#define JSON_DEPTH_MAX 1000

struct parser {
        struct leat_arena *arena;
        const uint8_t *start, *at, *end;
        uint32_t depth;
        struct leat_error *err;
};

static int bad(struct parser *p, const char *what)
{
        return leat_error_set(p->err, LEAT_EPROTO, "bad JSON at byte %zu: %s", (size_t)(p->at - p->start), what);
}

static void skip_space(struct parser *p)
{
        while (p->at < p->end && (*p->at == ' ' || *p->at == '\n' || *p->at == '\t' || *p->at == '\r'))
                p->at++;
}

static int hex4(struct parser *p, uint32_t *ret_value)
{
        uint32_t value = 0;
        if (p->end - p->at < 4)
                return bad(p, "short \\u escape");
        for (int i = 0; i < 4; i++) {
                uint8_t c = *p->at++;
                uint32_t digit = c >= '0' && c <= '9'   ? c - (uint32_t)'0'
                                 : c >= 'a' && c <= 'f' ? c - (uint32_t)'a' + 10
                                 : c >= 'A' && c <= 'F' ? c - (uint32_t)'A' + 10
                                                        : 16u;
                if (digit == 16)
                        return bad(p, "no hex digit in \\u escape");
                value = value << 4 | digit;
        }
        *ret_value = value;
        return 0;
}

static size_t put_utf8(uint8_t *out, uint32_t c)
{
        if (c < 0x80) {
                out[0] = (uint8_t)c;
                return 1;
        }
        if (c < 0x800) {
                out[0] = (uint8_t)(0xC0 | c >> 6);
                out[1] = (uint8_t)(0x80 | (c & 63));
                return 2;
        }
        if (c < 0x10000) {
                out[0] = (uint8_t)(0xE0 | c >> 12);
                out[1] = (uint8_t)(0x80 | (c >> 6 & 63));
                out[2] = (uint8_t)(0x80 | (c & 63));
                return 3;
        }
        out[0] = (uint8_t)(0xF0 | c >> 18);
        out[1] = (uint8_t)(0x80 | (c >> 12 & 63));
        out[2] = (uint8_t)(0x80 | (c >> 6 & 63));
        out[3] = (uint8_t)(0x80 | (c & 63));
        return 4;
}

static int unicode_escape(struct parser *p, uint8_t *out, size_t *len)
{
        uint32_t c, low;
        LEAT_TRY(hex4(p, &c));
        if (c >= 0xD800 && c < 0xDC00 && p->end - p->at >= 6 && p->at[0] == '\\' && p->at[1] == 'u') {
                p->at += 2;
                LEAT_TRY(hex4(p, &low));
                c = low >= 0xDC00 && low < 0xE000 ? 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00) : 0xFFFD;
        } else if (c >= 0xD800 && c < 0xE000) {
                c = 0xFFFD;
        }
        *len += put_utf8(out + *len, c);
        return 0;
}

/* The text of a string is never longer than its source, so one allocation of that size holds it. */
static int parse_string(struct parser *p, struct leat_view *ret_text)
{
        static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
        const uint8_t *close = ++p->at;
        while (close < p->end && *close != '"')
                close += *close == '\\' ? 2 : 1;
        if (close >= p->end)
                return bad(p, "string without end");
        uint8_t *out = leat_arena_alloc(p->arena, (size_t)(close - p->at) + 4);
        size_t len = 0;
        while (p->at < close) {
                uint8_t c = *p->at++;
                if (c != '\\') {
                        out[len++] = c;
                        continue;
                }
                c = *p->at++;
                const char *known = c != 0 ? strchr(from, c) : NULL;
                if (known != NULL)
                        out[len++] = (uint8_t)to[known - from];
                else if (c == 'u')
                        LEAT_TRY(unicode_escape(p, out, &len));
                else
                        return bad(p, "unknown escape");
        }
        if (p->at != close)
                return bad(p, "string without end");
        p->at = close + 1;
        out[len] = 0;
        *ret_text = leat_view_of(out, len);
        return 0;
}

static int parse_value(struct parser *p, struct leat_json *out);

static int parse_members(struct parser *p, struct leat_json *out, bool object)
{
        struct leat_json **link = &out->first;
        uint8_t close = object ? '}' : ']';
        if (++p->depth > JSON_DEPTH_MAX)
                return leat_error_set(p->err, LEAT_ETOOBIG, "JSON nested deeper than %d", JSON_DEPTH_MAX);
        out->kind = object ? LEAT_JSON_OBJECT : LEAT_JSON_ARRAY;
        p->at++;
        skip_space(p);
        if (p->at < p->end && *p->at == close)
                goto end;
        for (;;) {
                struct leat_json *item = leat_arena_zalloc(p->arena, sizeof *item);
                skip_space(p);
                if (object) {
                        struct leat_view name;
                        if (p->at >= p->end || *p->at != '"')
                                return bad(p, "a name is missing");
                        LEAT_TRY(parse_string(p, &name));
                        item->name = (const char *)name.data;
                        skip_space(p);
                        if (p->at >= p->end || *p->at != ':')
                                return bad(p, "\":\" is missing");
                        p->at++;
                }
                LEAT_TRY(parse_value(p, item));
                *link = item;
                link = &item->next;
                out->count++;
                skip_space(p);
                if (p->at < p->end && *p->at == ',') {
                        p->at++;
                        continue;
                }
                if (p->at < p->end && *p->at == close)
                        break;
                return bad(p, "\",\" or an end is missing");
        }
end:
        p->at++;
        p->depth--;
        return 0;
}

static int parse_word(struct parser *p, const char *word)
{
        size_t len = strlen(word);
        if ((size_t)(p->end - p->at) < len || memcmp(p->at, word, len) != 0)
                return bad(p, "unknown word");
        p->at += len;
        return 0;
}

/* Letters too: exponents, and the NaN and Infinity of DOUBLE constants. */
static bool number_char(uint8_t c)
{
        return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || (c >= 'a' && c <= 'z') ||
               (c >= 'A' && c <= 'Z');
}

static int parse_value(struct parser *p, struct leat_json *out)
{
        skip_space(p);
        if (p->at >= p->end)
                return bad(p, "a value is missing");
        switch (*p->at) {
        case '{':
                return parse_members(p, out, true);
        case '[':
                return parse_members(p, out, false);
        case '"':
                out->kind = LEAT_JSON_STRING;
                return parse_string(p, &out->text);
        case 't':
                out->kind = LEAT_JSON_BOOL;
                out->flag = true;
                return parse_word(p, "true");
        case 'f':
                out->kind = LEAT_JSON_BOOL;
                return parse_word(p, "false");
        case 'n':
                out->kind = LEAT_JSON_NULL;
                return parse_word(p, "null");
        default:
                break;
        }
        const uint8_t *start = p->at;
        while (p->at < p->end && number_char(*p->at))
                p->at++;
        if (p->at == start)
                return bad(p, "unknown character");
        out->kind = LEAT_JSON_NUMBER;
        size_t len = (size_t)(p->at - start);
        out->text = leat_view_of(leat_arena_strndup(p->arena, (const char *)start, len), len);
        return 0;
}

int leat_json_parse(struct leat_arena *arena, struct leat_view text, struct leat_json **ret_json,
                    struct leat_error *err)
{
        struct parser p = {
                .arena = arena, .start = text.data, .at = text.data, .end = text.data + text.len, .err = err};
        struct leat_json *json = leat_arena_zalloc(arena, sizeof *json);
        LEAT_TRY(parse_value(&p, json));
        skip_space(&p);
        if (p.at != p.end)
                return bad(&p, "text after the end");
        *ret_json = json;
        return 0;
}

const struct leat_json *leat_json_get(const struct leat_json *json, const char *name)
{
        if (json == NULL || json->kind != LEAT_JSON_OBJECT)
                return NULL;
        LEAT_JSON_EACH(item, json)
        {
                if (strcmp(item->name, name) == 0)
                        return item;
        }
        return NULL;
}

const struct leat_json *leat_json_at(const struct leat_json *json, uint32_t index)
{
        if (json == NULL || json->kind != LEAT_JSON_ARRAY)
                return NULL;
        LEAT_JSON_EACH(item, json)
        {
                if (index-- == 0)
                        return item;
        }
        return NULL;
}

const char *leat_json_str(const struct leat_json *json, const char *name)
{
        const struct leat_json *item = leat_json_get(json, name);
        return item != NULL && (item->kind == LEAT_JSON_STRING || item->kind == LEAT_JSON_NUMBER)
                       ? (const char *)item->text.data
                       : "";
}

bool leat_json_bool(const struct leat_json *json, const char *name)
{
        const struct leat_json *item = leat_json_get(json, name);
        return item != NULL && item->kind == LEAT_JSON_BOOL && item->flag;
}

int64_t leat_json_int(const struct leat_json *json, const char *name, int64_t other)
{
        const struct leat_json *item = leat_json_get(json, name);
        char *end;
        if (item == NULL || (item->kind != LEAT_JSON_NUMBER && item->kind != LEAT_JSON_STRING) || item->text.len == 0 ||
            item->text.len > 20)
                return other;
        const char *text = (const char *)item->text.data;
        errno = 0;
        int64_t value = strtoll(text, &end, 10);
        return *end == 0 && errno == 0 ? value : other;
}

int64_t leat_json_location(const struct leat_json *json)
{
        return leat_json_int(json, "query_location", -1);
}
