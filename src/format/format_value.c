/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/format: single values from their text.
 *
 * Design    The common shapes have a short way: integers by plain digits, doubles
 *           of at most 15 digits through an exact division. All others take the
 *           general one. Times are read in format_time.c.
 */
#include <math.h>
#include <stdio.h>

#include "format_int.h"

static const char not_a_number[] = "is a string, not a number";
static const char not_number[] = "is not a number";
static const char out_of_range[] = "is out of range";
static const char has_fraction[] = "has a fraction";

static bool is_digit(uint8_t c)
{
        return (uint8_t)(c - '0') < 10;
}

/* ---- numbers -------------------------------------------------------------------- */

/* The parts of a number by JSON's grammar. */
struct number {
        bool negative;
        const uint8_t *whole, *fraction;
        uint32_t whole_len, fraction_len;
        int32_t exponent; /* cut at +-100000 */
};

static bool number_split(struct leat_view token, struct number *ret)
{
        const uint8_t *p = token.data, *end = p + token.len;
        struct number n = {0};
        if (p < end && *p == '-') {
                n.negative = true;
                p++;
        }
        n.whole = p;
        while (p < end && is_digit(*p))
                p++;
        n.whole_len = (uint32_t)(p - n.whole);
        if (n.whole_len == 0 || (n.whole_len > 1 && n.whole[0] == '0'))
                return false;
        if (p < end && *p == '.') {
                n.fraction = ++p;
                while (p < end && is_digit(*p))
                        p++;
                n.fraction_len = (uint32_t)(p - n.fraction);
                if (n.fraction_len == 0)
                        return false;
        }
        if (p < end && (*p == 'e' || *p == 'E')) {
                p++;
                bool minus = p < end && *p == '-';
                if (p < end && (*p == '-' || *p == '+'))
                        p++;
                if (p == end || !is_digit(*p))
                        return false;
                for (; p < end && is_digit(*p); p++)
                        n.exponent = LEAT_MIN(n.exponent * 10 + (*p - '0'), 100000);
                if (minus)
                        n.exponent = -n.exponent;
        }
        *ret = n;
        return p == end;
}

bool leat_format_is_number(struct leat_view token)
{
        struct number n;
        return number_split(token, &n);
}

/* The value times 10^scale as an integer; NULL or what is wrong. */
static const char *number_scaled(const struct number *n, int scale, unsigned __int128 *ret)
{
        /* Digits in a row: whole then fraction; the point moves by exponent and scale. */
        int64_t point = (int64_t)n->whole_len + n->exponent + scale; /* digits in front of the point */
        uint32_t digits = n->whole_len + n->fraction_len;
        unsigned __int128 v = 0;
        for (uint32_t i = 0; i < digits; i++) {
                uint8_t digit = (uint8_t)((i < n->whole_len ? n->whole[i] : n->fraction[i - n->whole_len]) - '0');
                if ((int64_t)i >= point) {
                        if (digit != 0)
                                return has_fraction;
                        continue;
                }
                if (v > (((unsigned __int128)-1) - digit) / 10)
                        return out_of_range;
                v = v * 10 + digit;
        }
        for (int64_t i = digits; i < point && v != 0; i++) {
                if (v > ((unsigned __int128)-1) / 10)
                        return out_of_range;
                v *= 10;
        }
        *ret = v;
        return NULL;
}

/* Up to 18 plain digits: the usual integer. */
static bool short_integer(struct leat_view token, int64_t *ret)
{
        const uint8_t *p = token.data, *end = p + token.len;
        bool negative = *p == '-';
        p += negative;
        if (p == end || end - p > 18 || (*p == '0' && end - p > 1))
                return false;
        int64_t v = 0;
        for (; p < end; p++) {
                if (!is_digit(*p))
                        return false;
                v = v * 10 + (*p - '0');
        }
        *ret = negative ? -v : v;
        return true;
}

/* The value times 10^scale, within [min, max]. */
static const char *read_int128(struct leat_view token, int scale, __int128 min, __int128 max, __int128 *ret)
{
        struct number n;
        unsigned __int128 v;
        if (!number_split(token, &n))
                return not_number;
        const char *why = number_scaled(&n, scale, &v);
        if (why != NULL)
                return why;
        unsigned __int128 limit = n.negative ? 0 - (unsigned __int128)min : (unsigned __int128)max;
        if (v > limit)
                return out_of_range;
        *ret = n.negative ? (__int128)(0 - v) : (__int128)v;
        return NULL;
}

static const char *read_int64(struct leat_view token, int64_t min, int64_t max, int64_t *ret)
{
        int64_t v;
        if (!short_integer(token, &v)) {
                __int128 wide;
                const char *why = read_int128(token, 0, min, max, &wide);
                if (why != NULL)
                        return why;
                v = (int64_t)wide;
        }
        if (v < min || v > max)
                return out_of_range;
        *ret = v;
        return NULL;
}

static const char *read_uint128(struct leat_view token, unsigned __int128 max, unsigned __int128 *ret)
{
        struct number n;
        unsigned __int128 v;
        if (!number_split(token, &n))
                return not_number;
        const char *why = number_scaled(&n, 0, &v);
        if (why != NULL)
                return why;
        if (v > max || (n.negative && v != 0))
                return out_of_range;
        *ret = v;
        return NULL;
}

static const char *read_double(struct leat_view token, double *ret)
{
        static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                        1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
        struct number n;
        if (!number_split(token, &n))
                return not_number;
        int32_t exponent = n.exponent - (int32_t)n.fraction_len;
        if (n.whole_len + n.fraction_len <= 15 && exponent >= -22 && exponent <= 22) {
                uint64_t v = 0;
                for (uint32_t i = 0; i < n.whole_len; i++)
                        v = v * 10 + (uint64_t)(n.whole[i] - '0');
                for (uint32_t i = 0; i < n.fraction_len; i++)
                        v = v * 10 + (uint64_t)(n.fraction[i] - '0');
                double d = exponent < 0 ? (double)v / powers[-exponent] : (double)v * powers[exponent];
                *ret = n.negative ? -d : d;
                return NULL;
        }
        char local[128], *text = token.len < sizeof local ? local : leat_malloc(token.len + 1);
        memcpy(text, token.data, token.len);
        text[token.len] = '\0';
        double d = strtod(text, NULL);
        if (text != local)
                free(text);
        if (isinf(d))
                return out_of_range;
        *ret = d;
        return NULL;
}

static const char *read_float_type(const struct leat_type *type, struct leat_view token, bool is_string, void *ret)
{
        double d;
        if (is_string) {
                if (leat_view_eq_str(token, "NaN"))
                        d = NAN;
                else if (leat_view_eq_str(token, "Infinity"))
                        d = INFINITY;
                else if (leat_view_eq_str(token, "-Infinity"))
                        d = -INFINITY;
                else
                        return not_a_number;
        } else {
                const char *why = read_double(token, &d);
                if (why != NULL)
                        return why;
                if (type->id == LEAT_T_FLOAT && isinf((float)d))
                        return out_of_range;
        }
        if (type->id == LEAT_T_FLOAT)
                *(float *)ret = (float)d;
        else
                *(double *)ret = d;
        return NULL;
}

static const char *read_decimal(const struct leat_type *type, struct leat_view token, void *ret)
{
        __int128 max = 1, v;
        for (int i = 0; i < type->width; i++)
                max *= 10;
        max -= 1;
        const char *why = read_int128(token, type->scale, -max, max, &v);
        if (why != NULL)
                return why == has_fraction ? "has more digits behind the point than the column" : why;
        switch (leat_type_bytes(type)) {
        case 2:
                *(int16_t *)ret = (int16_t)v;
                break;
        case 4:
                *(int32_t *)ret = (int32_t)v;
                break;
        case 8:
                *(int64_t *)ret = (int64_t)v;
                break;
        default:
                *(__int128 *)ret = v;
        }
        return NULL;
}

#define I128_MAX ((__int128)(((unsigned __int128)-1) >> 1))

static const char *read_integer(const struct leat_type *type, struct leat_view token, void *ret)
{
        int64_t v = 0;
        unsigned __int128 wide;
        const char *why;
        switch (type->id) {
        case LEAT_T_TINYINT:
                why = read_int64(token, INT8_MIN, INT8_MAX, &v);
                *(int8_t *)ret = (int8_t)v;
                return why;
        case LEAT_T_SMALLINT:
                why = read_int64(token, INT16_MIN, INT16_MAX, &v);
                *(int16_t *)ret = (int16_t)v;
                return why;
        case LEAT_T_INTEGER:
                why = read_int64(token, INT32_MIN, INT32_MAX, &v);
                *(int32_t *)ret = (int32_t)v;
                return why;
        case LEAT_T_BIGINT:
                return read_int64(token, INT64_MIN, INT64_MAX, ret);
        case LEAT_T_UTINYINT:
                why = read_int64(token, 0, UINT8_MAX, &v);
                *(uint8_t *)ret = (uint8_t)v;
                return why;
        case LEAT_T_USMALLINT:
                why = read_int64(token, 0, UINT16_MAX, &v);
                *(uint16_t *)ret = (uint16_t)v;
                return why;
        case LEAT_T_UINTEGER:
                why = read_int64(token, 0, UINT32_MAX, &v);
                *(uint32_t *)ret = (uint32_t)v;
                return why;
        case LEAT_T_UBIGINT:
                why = read_uint128(token, UINT64_MAX, &wide);
                if (why == NULL)
                        *(uint64_t *)ret = (uint64_t)wide;
                return why;
        case LEAT_T_UHUGEINT:
                return read_uint128(token, (unsigned __int128)-1, ret);
        default:
                return read_int128(token, 0, -I128_MAX - 1, I128_MAX, ret);
        }
}

static const char *read_timestamp(struct leat_view token, bool is_string, int64_t *ret)
{
        __int128 us;
        if (is_string)
                return leat_format_parse_timestamp(token, ret) ? NULL : "is no ISO 8601 time";
        int64_t ms;
        if (short_integer(token, &ms) && ms < 1000000000000000ll && ms > -1000000000000000ll) {
                *ret = ms * 1000;
                return NULL;
        }
        const char *why = read_int128(token, 3, LEAT_FORMAT_TIMESTAMP_MIN, LEAT_TIMESTAMP_INFINITY - 1, &us);
        if (why == NULL)
                *ret = (int64_t)us;
        return why == has_fraction ? "has more than microseconds" : why;
}

/* ---- bytes ---------------------------------------------------------------------------- */

static int hex_digit(uint8_t c)
{
        if (is_digit(c))
                return c - '0';
        c |= 0x20;
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool leat_format_parse_uuid(struct leat_view text, void *ret_16_bytes)
{
        unsigned __int128 v = 0;
        int count = 0;
        if (text.len != 36 && text.len != 32)
                return false;
        for (size_t i = 0; i < text.len; i++) {
                if (text.len == 36 && (i == 8 || i == 13 || i == 18 || i == 23)) {
                        if (text.data[i] != '-')
                                return false;
                        continue;
                }
                int digit = hex_digit(text.data[i]);
                if (digit < 0)
                        return false;
                v = v << 4 | (unsigned)digit;
                count++;
        }
        if (count != 32)
                return false;
        v ^= (unsigned __int128)1 << 127; /* DuckDB keeps the top bit flipped, so that it sorts */
        memcpy(ret_16_bytes, &v, 16);
        return true;
}

int64_t leat_format_base64(struct leat_view text, uint8_t *out)
{
        size_t len = text.len;
        while (len != 0 && text.data[len - 1] == '=' && text.len - len < 2)
                len--;
        if (len % 4 == 1 || (len != text.len && text.len % 4 != 0))
                return -1;
        uint32_t bits = 0;
        int64_t used = 0;
        for (size_t i = 0; i < len; i++) {
                uint8_t c = text.data[i];
                uint32_t v;
                if (c >= 'A' && c <= 'Z')
                        v = c - 'A';
                else if (c >= 'a' && c <= 'z')
                        v = c - 'a' + 26u;
                else if (is_digit(c))
                        v = c - '0' + 52u;
                else if (c == '+' || c == '-')
                        v = 62;
                else if (c == '/' || c == '_')
                        v = 63;
                else
                        return -1;
                bits = bits << 6 | v;
                if (i % 4 != 0)
                        out[used++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
        }
        return used;
}

/* ---- by type ---------------------------------------------------------------------------- */

const char *leat_format_scalar(const struct leat_type *type, struct leat_view token, bool is_string, void *ret)
{
        switch (type->id) {
        case LEAT_T_BOOLEAN:
                if (is_string || !(leat_view_eq_str(token, "true") || leat_view_eq_str(token, "false")))
                        return "is not true or false";
                *(uint8_t *)ret = token.data[0] == 't';
                return NULL;
        case LEAT_T_FLOAT:
        case LEAT_T_DOUBLE:
                return read_float_type(type, token, is_string, ret);
        case LEAT_T_TIMESTAMP:
        case LEAT_T_TIMESTAMPTZ:
                return read_timestamp(token, is_string, ret);
        case LEAT_T_DATE:
                return is_string && leat_format_parse_date(token, ret) ? NULL : "is no date (\"2026-11-24\")";
        case LEAT_T_TIME:
                return is_string && leat_format_parse_time(token, ret) ? NULL : "is no time of day (\"21:54:55.5\")";
        case LEAT_T_INTERVAL:
                return is_string && leat_format_parse_interval(token, ret) ? NULL
                                                                           : "is no interval (\"1 day 02:03:04\")";
        case LEAT_T_UUID:
                return is_string && leat_format_parse_uuid(token, ret) ? NULL : "is no UUID";
        case LEAT_T_SQLNULL:
                return "is not null";
        default:
                break;
        }
        if (is_string)
                return not_a_number;
        return type->id == LEAT_T_DECIMAL ? read_decimal(type, token, ret) : read_integer(type, token, ret);
}
