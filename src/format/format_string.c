/* SPDX-License-Identifier: Apache-2.0 */
/* leat/format: escapes of JSON strings. */
#include "format_int.h"

static bool hex4(const uint8_t *p, uint32_t *ret)
{
        uint32_t v = 0;
        for (int i = 0; i < 4; i++) {
                uint8_t c = p[i];
                uint32_t digit = c - (uint32_t)'0';
                if (digit > 9)
                        digit = (c | 0x20u) - 'a' < 6 ? (c | 0x20u) - 'a' + 10 : 16;
                if (digit > 15)
                        return false;
                v = v << 4 | digit;
        }
        *ret = v;
        return true;
}

static uint8_t *put_utf8(uint8_t *to, uint32_t c)
{
        if (c < 0x80) {
                *to++ = (uint8_t)c;
        } else if (c < 0x800) {
                *to++ = (uint8_t)(0xc0 | c >> 6);
                *to++ = (uint8_t)(0x80 | (c & 63));
        } else if (c < 0x10000) {
                *to++ = (uint8_t)(0xe0 | c >> 12);
                *to++ = (uint8_t)(0x80 | (c >> 6 & 63));
                *to++ = (uint8_t)(0x80 | (c & 63));
        } else {
                *to++ = (uint8_t)(0xf0 | c >> 18);
                *to++ = (uint8_t)(0x80 | (c >> 12 & 63));
                *to++ = (uint8_t)(0x80 | (c >> 6 & 63));
                *to++ = (uint8_t)(0x80 | (c & 63));
        }
        return to;
}

/* \uXXXX at @p (behind the backslash), with the second half of a pair; moves @p. */
static const char *unescape_unicode(const uint8_t **p, const uint8_t *end, uint32_t *ret_char)
{
        uint32_t c, low;
        if (end - *p < 5 || !hex4(*p + 1, &c))
                return "has a \\u without four hexadecimal digits";
        *p += 5;
        if (c >= 0xdc00 && c < 0xe000)
                return "has half of a surrogate pair";
        if (c >= 0xd800 && c < 0xdc00) {
                if (end - *p < 6 || (*p)[0] != '\\' || (*p)[1] != 'u' || !hex4(*p + 2, &low) || low < 0xdc00 ||
                    low >= 0xe000)
                        return "has half of a surrogate pair";
                *p += 6;
                c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        }
        *ret_char = c;
        return NULL;
}

const char *leat_format_unescape(struct leat_view text, uint8_t *out, size_t *ret_len, bool *ret_nul)
{
        static const char from[] = "\"\\/bfnrt", to_chars[] = "\"\\/\b\f\n\r\t";
        const uint8_t *p = text.data, *end = p + text.len;
        uint8_t *to = out;
        *ret_nul = false;
        while (p < end) {
                const uint8_t *slash = memchr(p, '\\', (size_t)(end - p));
                size_t plain = (size_t)((slash != NULL ? slash : end) - p);
                memcpy(to, p, plain);
                to += plain;
                p += plain;
                if (p == end)
                        break;
                p++;
                if (p == end)
                        return "ends with a backslash";
                if (*p == 'u') {
                        uint32_t c;
                        const char *why = unescape_unicode(&p, end, &c);
                        if (why != NULL)
                                return why;
                        *ret_nul = *ret_nul || c == 0;
                        to = put_utf8(to, c);
                        continue;
                }
                const char *known = *p != 0 ? strchr(from, *p) : NULL;
                if (known == NULL)
                        return "has an unknown escape";
                *to++ = (uint8_t)to_chars[known - from];
                p++;
        }
        *ret_len = (size_t)(to - out);
        return NULL;
}
