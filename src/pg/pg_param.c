/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/pg: values of parameters that need more than copying: numerics, bytea as
 * text, arrays in both forms. Arrays and numerics become text that the engine
 * casts (["a", NULL], -12.50), as the statement knows the type it wants.
 */
#include <stdio.h>
#include <strings.h>

#include "pg_int.h"

enum { NUMERIC_NEG = 0x4000, NUMERIC_NAN = 0xC000, NUMERIC_PINF = 0xD000, NUMERIC_NINF = 0xF000 };
enum { NUMERIC_DIGITS_MAX = 64, ARRAY_ELEMENTS_MAX = 1000000 };

static int bad(const char *what, struct leat_error *err)
{
        return leat_error_set(err, LEAT_EINVAL, "invalid %s value in a parameter", what);
}

int leat_pg_numeric_text(struct leat_view bytes, struct leat_buf *out, struct leat_error *err)
{
        struct leat_cursor cur = leat_cursor_of(bytes);
        unsigned count = leat_cursor_be16(&cur);
        int weight = (int16_t)leat_cursor_be16(&cur);
        unsigned sign = leat_cursor_be16(&cur), scale = leat_cursor_be16(&cur);
        uint16_t digits[NUMERIC_DIGITS_MAX];
        if (cur.failed || count > NUMERIC_DIGITS_MAX || leat_cursor_left(&cur) != count * 2 ||
            weight > NUMERIC_DIGITS_MAX || weight < -NUMERIC_DIGITS_MAX || scale > 4 * NUMERIC_DIGITS_MAX)
                return bad("numeric", err);
        if (sign == NUMERIC_NAN || sign == NUMERIC_PINF || sign == NUMERIC_NINF) {
                leat_buf_add_str(out, sign == NUMERIC_NAN ? "NaN" : sign == NUMERIC_PINF ? "Infinity" : "-Infinity");
                return 0;
        }
        for (unsigned i = 0; i < count; i++) {
                digits[i] = leat_cursor_be16(&cur);
                if (digits[i] > 9999)
                        return bad("numeric", err);
        }
        if (sign == NUMERIC_NEG)
                leat_buf_u8(out, '-');
        else if (sign != 0)
                return bad("numeric", err);
        if (weight < 0)
                leat_buf_u8(out, '0');
        for (int g = 0; g <= weight; g++)
                leat_buf_printf(out, g == 0 ? "%u" : "%04u", g < (int)count ? digits[g] : 0u);
        if (scale == 0)
                return 0;
        leat_buf_u8(out, '.');
        size_t end = out->len + scale;
        for (int g = weight < 0 ? -1 : weight; out->len < end; g++) {
                int at =
                        weight < 0 ? g + 1 + weight + 1 : g + 1; /* group behind the point, leading zero groups first */
                leat_buf_printf(out, "%04u", at >= 0 && at < (int)count ? digits[at] : 0u);
        }
        out->len = end;
        return 0;
}

/* The engine takes any bytes for text and stumbles over them later, in a function or a file. */
static int text_check(struct leat_view text, struct leat_error *err)
{
        for (size_t i = 0, len; i < text.len; i += len) {
                len = text.data[i] == 0 ? 0 : leat_utf8_len(text.data + i, text.len - i); /* PostgreSQL has no NUL */
                if (len == 0)
                        return leat_error_set(err, LEAT_EINVAL,
                                              "invalid byte sequence for encoding \"UTF8\": 0x%02x at byte %zu of a "
                                              "parameter",
                                              text.data[i], i);
        }
        return 0;
}

static int hex_digit(uint8_t c)
{
        return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* \x6869 or the escape form, h\151 */
static int bytea_get(struct leat_arena *arena, struct leat_view text, struct leat_view *ret, struct leat_error *err)
{
        uint8_t *to = leat_arena_alloc(arena, text.len + 1);
        size_t n = 0;
        if (text.len >= 2 && text.data[0] == '\\' && text.data[1] == 'x') {
                if (text.len % 2 != 0)
                        return bad("bytea", err);
                for (size_t i = 2; i < text.len; i += 2) {
                        int high = hex_digit(text.data[i]), low = hex_digit(text.data[i + 1]);
                        if (high < 0 || low < 0)
                                return bad("bytea", err);
                        to[n++] = (uint8_t)(high << 4 | low);
                }
        } else {
                for (size_t i = 0; i < text.len; i++) {
                        const uint8_t *p = text.data + i;
                        size_t left = text.len - i;
                        if (*p != '\\') {
                                to[n++] = *p;
                        } else if (left >= 2 && p[1] == '\\') {
                                to[n++] = '\\';
                                i++;
                        } else if (left >= 4 && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' && p[2] <= '7' &&
                                   p[3] >= '0' && p[3] <= '7') {
                                to[n++] = (uint8_t)((p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0'));
                                i += 3;
                        } else {
                                return bad("bytea", err);
                        }
                }
        }
        *ret = leat_view_of(to, n);
        return 0;
}

/* Appends "text" with quotes and backslashes escaped, as the engine reads list elements. */
static void add_element(struct leat_buf *out, struct leat_view text)
{
        leat_buf_u8(out, '"');
        for (size_t i = 0; i < text.len; i++) {
                if (text.data[i] == '"' || text.data[i] == '\\')
                        leat_buf_u8(out, '\\');
                leat_buf_u8(out, text.data[i]);
        }
        leat_buf_u8(out, '"');
}

/* {1,"a b",NULL} → ["1", "a b", NULL]; one dimension, as the engine's lists of lists would need a cast each. */
static int array_text(struct leat_view text, struct leat_buf *out, struct leat_error *err)
{
        struct leat_buf item = LEAT_BUF_INIT;
        size_t i = 1, end = text.len;
        bool first = true;
        if (end < 2 || text.data[0] != '{' || text.data[end - 1] != '}')
                return bad("array", err);
        end--;
        leat_buf_u8(out, '[');
        while (i < end) {
                bool quoted = text.data[i] == '"', closed = !quoted;
                leat_buf_clear(&item);
                i += quoted;
                while (i < end) {
                        uint8_t c = text.data[i];
                        if (quoted ? c == '"' : c == ',') {
                                closed = true;
                                break;
                        }
                        if (!quoted && (c == '{' || c == '}'))
                                goto fail;
                        if (c == '\\' && ++i == end)
                                goto fail;
                        leat_buf_u8(&item, text.data[i++]);
                }
                i += quoted;
                if (!closed || (i < end && text.data[i] != ',') || (i + 1 == end && text.data[i] == ','))
                        goto fail;
                i++;
                if (!first)
                        leat_buf_add_str(out, ", ");
                first = false;
                if (!quoted && item.len == 4 && strncasecmp((const char *)item.data, "NULL", 4) == 0)
                        leat_buf_add_str(out, "NULL");
                else
                        add_element(out, leat_buf_view(&item));
        }
        leat_buf_u8(out, ']');
        leat_buf_done(&item);
        return 0;
fail:
        leat_buf_done(&item);
        return bad("array", err);
}

static int array_binary(struct leat_arena *arena, struct leat_view bytes, struct leat_buf *out, struct leat_error *err)
{
        struct leat_cursor cur = leat_cursor_of(bytes);
        uint32_t dimensions = leat_cursor_be32(&cur), count = 0;
        (void)leat_cursor_be32(&cur);
        uint32_t oid = leat_cursor_be32(&cur);
        struct leat_type type = leat_pg_type_of_oid(oid);
        if (dimensions > 1)
                return leat_error_set(err, LEAT_EUNSUPPORTED, "arrays of %u dimensions are not supported as parameters",
                                      dimensions);
        if (dimensions == 1) {
                count = leat_cursor_be32(&cur);
                (void)leat_cursor_be32(&cur);
        }
        if (cur.failed || count > ARRAY_ELEMENTS_MAX || leat_cursor_left(&cur) < (size_t)count * 4 ||
            type.id == LEAT_T_LIST)
                return bad("array", err);
        struct leat_buf item = LEAT_BUF_INIT;
        int rc = 0;
        leat_buf_u8(out, '[');
        for (uint32_t i = 0; i < count && rc == 0; i++) {
                int32_t len = (int32_t)leat_cursor_be32(&cur);
                struct leat_view v = leat_cursor_bytes(&cur, len > 0 ? (size_t)len : 0);
                struct leat_column col;
                if (i != 0)
                        leat_buf_add_str(out, ", ");
                if (cur.failed) {
                        rc = bad("array", err);
                } else if (len < -1) {
                        rc = bad("array", err);
                } else if (len == -1) {
                        leat_buf_add_str(out, "NULL");
                } else {
                        rc = leat_pg_value_get(arena, v, false, true, oid, &type, &col, err);
                        leat_buf_clear(&item);
                        if (rc == 0)
                                (void)leat_column_print(&col, 0, &item);
                        add_element(out, leat_buf_view(&item));
                }
        }
        leat_buf_u8(out, ']');
        leat_buf_done(&item);
        return rc == 0 && leat_cursor_left(&cur) != 0 ? bad("array", err) : rc;
}

int leat_pg_param_text(struct leat_arena *arena, struct leat_view bytes, bool binary, uint32_t oid,
                       const struct leat_type *type, struct leat_view *ret, struct leat_error *err)
{
        struct leat_buf out = LEAT_BUF_INIT;
        int rc = 0;
        if (type->id == LEAT_T_BLOB)
                return bytea_get(arena, bytes, ret, err);
        if (type->id == LEAT_T_LIST)
                rc = binary ? array_binary(arena, bytes, &out, err) : array_text(bytes, &out, err);
        else if (binary && (oid == 1700 || type->id == LEAT_T_DECIMAL || type->id == LEAT_T_HUGEINT ||
                            type->id == LEAT_T_UBIGINT || type->id == LEAT_T_UHUGEINT))
                rc = leat_pg_numeric_text(bytes, &out, err);
        else
                leat_buf_add_view(&out, bytes);
        if (rc == 0)
                rc = text_check(leat_buf_view(&out), err);
        if (rc == 0)
                *ret = leat_view_of((const uint8_t *)leat_arena_strndup(arena, (const char *)out.data, out.len),
                                    out.len);
        leat_buf_done(&out);
        return rc;
}
