/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/base: owned bytes (leat_buf) and what can be written to them.
 *
 * A buffer doubles when it is full, so that n appended bytes cost O(n).
 */
#include "leat/bytes.h"

#include <stdio.h>
#include <stdlib.h>

#include "leat/mem.h"

void leat_buf_done(struct leat_buf *buf)
{
        free(buf->data);
        *buf = (struct leat_buf)LEAT_BUF_INIT;
}

uint8_t *leat_buf_reserve(struct leat_buf *buf, size_t bytes)
{
        LEAT_ASSERT(bytes <= SIZE_MAX / 4 && buf->len <= SIZE_MAX / 4);
        size_t need = buf->len + bytes;
        if (need > buf->cap || buf->data == NULL) {
                size_t cap = LEAT_MAX(buf->cap * 2, (size_t)64);
                cap = LEAT_MAX(cap, need);
                buf->data = leat_realloc(buf->data, cap);
                buf->cap = cap;
        }
        return buf->data + buf->len;
}

void leat_buf_add(struct leat_buf *buf, const void *data, size_t len)
{
        if (len == 0)
                return;
        memcpy(leat_buf_reserve(buf, len), data, len);
        buf->len += len;
}

void leat_buf_add_view(struct leat_buf *buf, struct leat_view view)
{
        leat_buf_add(buf, view.data, view.len);
}

void leat_buf_add_str(struct leat_buf *buf, const char *text)
{
        leat_buf_add(buf, text, strlen(text));
}

void leat_buf_printf(struct leat_buf *buf, const char *fmt, ...)
{
        size_t room = 128;
        for (int round = 0; round < 2; round++) {
                char *at = (char *)leat_buf_reserve(buf, room);
                va_list args;
                va_start(args, fmt);
                int len = vsnprintf(at, buf->cap - buf->len, fmt, args);
                va_end(args);
                LEAT_ASSERT(len >= 0);
                if ((size_t)len < buf->cap - buf->len) {
                        buf->len += (size_t)len;
                        return;
                }
                room = (size_t)len + 1;
        }
        LEAT_ASSERT(false);
}

void leat_buf_u8(struct leat_buf *buf, uint8_t value)
{
        *leat_buf_reserve(buf, 1) = value;
        buf->len += 1;
}

void leat_buf_be16(struct leat_buf *buf, uint16_t value)
{
        leat_put_be16(leat_buf_reserve(buf, 2), value);
        buf->len += 2;
}

void leat_buf_be32(struct leat_buf *buf, uint32_t value)
{
        leat_put_be32(leat_buf_reserve(buf, 4), value);
        buf->len += 4;
}

void leat_buf_be64(struct leat_buf *buf, uint64_t value)
{
        leat_put_be64(leat_buf_reserve(buf, 8), value);
        buf->len += 8;
}

void leat_buf_le16(struct leat_buf *buf, uint16_t value)
{
        leat_buf_add(buf, &value, 2);
}

void leat_buf_le32(struct leat_buf *buf, uint32_t value)
{
        leat_put_le32(leat_buf_reserve(buf, 4), value);
        buf->len += 4;
}

void leat_buf_le64(struct leat_buf *buf, uint64_t value)
{
        leat_put_le64(leat_buf_reserve(buf, 8), value);
        buf->len += 8;
}

void leat_buf_uvarint(struct leat_buf *buf, uint64_t value)
{
        uint8_t *at = leat_buf_reserve(buf, 10);
        size_t n = 0;
        while (value >= 0x80) {
                at[n++] = (uint8_t)(value | 0x80);
                value >>= 7;
        }
        at[n++] = (uint8_t)value;
        buf->len += n;
}

void leat_buf_varint(struct leat_buf *buf, int64_t value)
{
        leat_buf_uvarint(buf, ((uint64_t)value << 1) ^ (uint64_t)(value >> 63));
}

const char *leat_buf_cstr(struct leat_buf *buf)
{
        *leat_buf_reserve(buf, 1) = '\0';
        return (const char *)buf->data;
}

/* ---- JSON strings ---------------------------------------------------------- */

size_t leat_utf8_len(const uint8_t *p, size_t left)
{
        if (p[0] < 0x80)
                return 1;
        size_t len = p[0] >= 0xC2 && p[0] <= 0xDF   ? 2
                     : p[0] >= 0xE0 && p[0] <= 0xEF ? 3
                     : p[0] >= 0xF0 && p[0] <= 0xF4 ? 4
                                                    : 0;
        if (len == 0 || len > left)
                return 0;
        for (size_t i = 1; i < len; i++)
                if ((p[i] & 0xC0) != 0x80)
                        return 0;
        if ((p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] > 0x9F) || (p[0] == 0xF0 && p[1] < 0x90) ||
            (p[0] == 0xF4 && p[1] > 0x8F))
                return 0;
        return len;
}

/* Writes the escape of one byte below 0x20, '"' or '\'. */
static void json_escape(struct leat_buf *buf, uint8_t byte)
{
        static const char hex[] = "0123456789abcdef";
        char text[6] = {'\\', 0};
        size_t len = 2;
        switch (byte) {
        case '"':
        case '\\':
                text[1] = (char)byte;
                break;
        case '\n':
                text[1] = 'n';
                break;
        case '\r':
                text[1] = 'r';
                break;
        case '\t':
                text[1] = 't';
                break;
        default:
                text[1] = 'u';
                text[2] = text[3] = '0';
                text[4] = hex[byte >> 4];
                text[5] = hex[byte & 15];
                len = 6;
        }
        leat_buf_add(buf, text, len);
}

void leat_buf_json_str(struct leat_buf *buf, struct leat_view text)
{
        leat_buf_reserve(buf, text.len + 2);
        leat_buf_u8(buf, '"');
        size_t plain = 0; /* start of the run of bytes that are copied as they are */
        size_t i = 0;
        while (i < text.len) {
                uint8_t byte = text.data[i];
                if (byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\') {
                        i++;
                        continue;
                }
                size_t len = byte < 0x80 ? 0 : leat_utf8_len(text.data + i, text.len - i);
                if (len > 0) {
                        i += len;
                        continue;
                }
                leat_buf_add(buf, text.data + plain, i - plain);
                if (byte < 0x80)
                        json_escape(buf, byte);
                else
                        leat_buf_add(buf, "\xEF\xBF\xBD", 3);
                plain = ++i;
        }
        leat_buf_add(buf, text.data + plain, i - plain);
        leat_buf_u8(buf, '"');
}
