/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/format: single values from their text.
 *
 * Design    The common shapes have a short way: integers by plain digits, doubles
 *           of at most 15 digits through an exact division, timestamps of
 *           the fixed ISO form by position. All others take the general one.
 */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <strings.h>

#include "format_int.h"

#define SECOND_US 1000000ll
#define DAY_US 86400000000ll
/* DuckDB's earliest timestamp, 290309-12-22 (BC). */
#define TIMESTAMP_MIN (-9223372022400000000ll)

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

/* ---- dates and times --------------------------------------------------------------- */

struct scan {
        const uint8_t *at, *end;
};

static bool take(struct scan *s, char c)
{
        if (s->at == s->end || *s->at != (uint8_t)c)
                return false;
        s->at++;
        return true;
}

/* Exactly @count digits. */
static bool digits(struct scan *s, int count, uint32_t *ret)
{
        uint32_t v = 0;
        if (s->end - s->at < count)
                return false;
        for (int i = 0; i < count; i++) {
                if (!is_digit(s->at[i]))
                        return false;
                v = v * 10 + (uint32_t)(s->at[i] - '0');
        }
        s->at += count;
        *ret = v;
        return true;
}

/* Four to seven digits, month, day. */
static bool scan_date(struct scan *s, int64_t *ret_year, uint32_t *ret_month, uint32_t *ret_day)
{
        static const uint8_t month_days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
        int count = 0;
        while (s->at + count < s->end && is_digit(s->at[count]))
                count++;
        uint32_t year, month, day;
        if (count < 4 || count > 7 || !digits(s, count, &year) || !take(s, '-') || !digits(s, 2, &month) ||
            !take(s, '-') || !digits(s, 2, &day))
                return false;
        if (month < 1 || month > 12 || day < 1 || day > month_days[month - 1])
                return false;
        *ret_year = year;
        *ret_month = month;
        *ret_day = day;
        return true;
}

/* Days since 1970 once it is known whether the year is BC; false for a February 29 that there was not. */
static bool date_days(int64_t year, uint32_t month, uint32_t day, bool bc, int64_t *ret_days)
{
        if (bc)
                year = 1 - year;
        else if (year == 0)
                return false;
        bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        if (month == 2 && day == 29 && !leap)
                return false;
        *ret_days = leat_days_from_civil(year, month, day);
        return true;
}

/* HH:MM[:SS[.f]]; seconds beyond microseconds are cut. */
static bool scan_time(struct scan *s, int64_t *ret_us)
{
        uint32_t hour, minute, second = 0, part = 0;
        if (!digits(s, 2, &hour) || !take(s, ':') || !digits(s, 2, &minute))
                return false;
        if (take(s, ':')) {
                if (!digits(s, 2, &second))
                        return false;
                if (take(s, '.') || take(s, ',')) {
                        int count = 0;
                        for (; s->at < s->end && is_digit(*s->at); s->at++, count++)
                                if (count < 6)
                                        part = part * 10 + (uint32_t)(*s->at - '0');
                        if (count == 0)
                                return false;
                        for (; count < 6; count++)
                                part *= 10;
                }
        }
        if (hour > 24 || minute > 59 || second > 59 || (hour == 24 && (minute | second | part) != 0))
                return false;
        *ret_us = ((int64_t)hour * 3600 + minute * 60 + second) * SECOND_US + part;
        return true;
}

/* Z, +hh, +hhmm, +hh:mm or nothing; microseconds east of UTC. */
static bool scan_zone(struct scan *s, int64_t *ret_us)
{
        uint32_t hour, minute = 0;
        *ret_us = 0;
        if (s->at == s->end)
                return true;
        if (take(s, 'Z') || take(s, 'z'))
                return true;
        bool west = *s->at == '-';
        if (!take(s, '+') && !take(s, '-'))
                return true; /* what it is else the caller finds */
        if (!digits(s, 2, &hour))
                return false;
        if (take(s, ':') || (s->at < s->end && is_digit(*s->at)))
                if (!digits(s, 2, &minute))
                        return false;
        if (hour > 15 || minute > 59)
                return false;
        int64_t us = ((int64_t)hour * 60 + minute) * 60 * SECOND_US;
        *ret_us = west ? -us : us;
        return true;
}

static bool scan_bc(struct scan *s)
{
        if (s->end - s->at == 3 && memcmp(s->at, " BC", 3) == 0) {
                s->at += 3;
                return true;
        }
        return false;
}

static bool text_infinity(struct leat_view text, bool *ret_negative)
{
        *ret_negative = text.len != 0 && text.data[0] == '-';
        struct leat_view rest = leat_view_of(text.data + *ret_negative, text.len - *ret_negative);
        return rest.len == 8 && strncasecmp((const char *)rest.data, "infinity", 8) == 0;
}

bool leat_format_parse_date(struct leat_view text, int32_t *ret_days)
{
        struct scan s = {text.data, text.data + text.len};
        int64_t year, days;
        uint32_t month, day;
        bool negative;
        if (text_infinity(text, &negative)) {
                *ret_days = negative ? -LEAT_DATE_INFINITY : LEAT_DATE_INFINITY;
                return true;
        }
        if (!scan_date(&s, &year, &month, &day) || !date_days(year, month, day, scan_bc(&s), &days) || s.at != s.end ||
            days > INT32_MAX - 1 || days < -(INT32_MAX - 1))
                return false;
        *ret_days = (int32_t)days;
        return true;
}

bool leat_format_parse_time(struct leat_view text, int64_t *ret_us)
{
        struct scan s = {text.data, text.data + text.len};
        int64_t us;
        if (!scan_time(&s, &us) || s.at != s.end)
                return false;
        *ret_us = us;
        return true;
}

/* Two digits at @p, 100 or more when they are none. */
static inline uint32_t two(const uint8_t *p)
{
        uint32_t a = (uint32_t)p[0] - '0', b = (uint32_t)p[1] - '0';
        return a > 9 || b > 9 ? 1000 : a * 10 + b;
}

/* YYYY-MM-DDTHH:MM:SS[.f…][Z], years 1900 to 2099, day at most 28: nearly all there are. */
static bool short_timestamp(struct leat_view text, int64_t *ret_us)
{
        const uint8_t *p = text.data;
        if (text.len < 19 || text.len > 27 || p[4] != '-' || p[7] != '-' || (p[10] != 'T' && p[10] != ' ') ||
            p[13] != ':' || p[16] != ':')
                return false;
        uint32_t century = two(p), year = two(p + 2), month = two(p + 5), day = two(p + 8);
        uint32_t hour = two(p + 11), minute = two(p + 14), second = two(p + 17);
        if ((century != 19 && century != 20) || year > 99 || month - 1 > 11 || day - 1 > 27 || hour > 23 ||
            minute > 59 || second > 59)
                return false;
        const uint8_t *end = p + text.len;
        if (end[-1] == 'Z')
                end--;
        uint32_t part = 0;
        if (end > p + 19) {
                if (p[19] != '.' || end - p < 21 || end - p > 26)
                        return false;
                int count = 0;
                for (const uint8_t *q = p + 20; q < end; q++, count++) {
                        if (!is_digit(*q))
                                return false;
                        part = part * 10 + (uint32_t)(*q - '0');
                }
                for (; count < 6; count++)
                        part *= 10;
        }
        int64_t days = leat_days_from_civil(century * 100 + year, month, day);
        *ret_us = (days * 86400 + hour * 3600 + minute * 60 + second) * SECOND_US + part;
        return true;
}

bool leat_format_parse_timestamp(struct leat_view text, int64_t *ret_us)
{
        if (short_timestamp(text, ret_us))
                return true;
        struct scan s = {text.data, text.data + text.len};
        int64_t year, days, us = 0, zone = 0, total;
        uint32_t month, day;
        bool negative;
        if (text_infinity(text, &negative)) {
                *ret_us = negative ? -LEAT_TIMESTAMP_INFINITY : LEAT_TIMESTAMP_INFINITY;
                return true;
        }
        if (!scan_date(&s, &year, &month, &day))
                return false;
        if (s.end - s.at > 3 && (take(&s, 'T') || take(&s, 't') || take(&s, ' '))) {
                if (!scan_time(&s, &us))
                        return false;
                if (s.end - s.at > 3 && *s.at == ' ' && (s.at[1] == '+' || s.at[1] == '-'))
                        s.at++;
                if (!scan_zone(&s, &zone))
                        return false;
        }
        if (!date_days(year, month, day, scan_bc(&s), &days) || s.at != s.end)
                return false;
        if (__builtin_mul_overflow(days, DAY_US, &total) || __builtin_add_overflow(total, us - zone, &total) ||
            total < TIMESTAMP_MIN || total == LEAT_TIMESTAMP_INFINITY)
                return false;
        *ret_us = total;
        return true;
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
        const char *why = read_int128(token, 3, TIMESTAMP_MIN, LEAT_TIMESTAMP_INFINITY - 1, &us);
        if (why == NULL)
                *ret = (int64_t)us;
        return why == has_fraction ? "has more than microseconds" : why;
}

/* ---- intervals ------------------------------------------------------------------------ */

static const struct {
        const char *name; /* singular */
        int32_t months, days;
        int64_t micros;
} units[] = {
        {"year", 12, 0, 0},
        {"yr", 12, 0, 0},
        {"y", 12, 0, 0},
        {"mon", 1, 0, 0},
        {"month", 1, 0, 0},
        {"week", 0, 7, 0},
        {"w", 0, 7, 0},
        {"day", 0, 1, 0},
        {"d", 0, 1, 0},
        {"hour", 0, 0, 3600 * SECOND_US},
        {"hr", 0, 0, 3600 * SECOND_US},
        {"h", 0, 0, 3600 * SECOND_US},
        {"minute", 0, 0, 60 * SECOND_US},
        {"min", 0, 0, 60 * SECOND_US},
        {"m", 0, 0, 60 * SECOND_US},
        {"second", 0, 0, SECOND_US},
        {"sec", 0, 0, SECOND_US},
        {"s", 0, 0, SECOND_US},
        {"millisecond", 0, 0, 1000},
        {"msec", 0, 0, 1000},
        {"ms", 0, 0, 1000},
        {"microsecond", 0, 0, 1},
        {"usec", 0, 0, 1},
        {"us", 0, 0, 1},
};

/* Adds @whole and @millionths (same sign) of unit @u. */
static bool interval_add(struct leat_interval *v, size_t u, int64_t whole, int64_t millionths)
{
        int64_t months, days, micros;
        if (__builtin_mul_overflow(whole, (int64_t)units[u].months, &months) ||
            __builtin_mul_overflow(whole, (int64_t)units[u].days, &days) ||
            __builtin_mul_overflow(whole, units[u].micros, &micros))
                return false;
        if (units[u].micros != 0)
                micros += (int64_t)((__int128)millionths * units[u].micros / 1000000);
        else if (units[u].days != 0)
                micros += (int64_t)((__int128)millionths * units[u].days * DAY_US / 1000000);
        else if (millionths != 0)
                return false;
        return !__builtin_add_overflow(v->months, months, &v->months) &&
               !__builtin_add_overflow(v->days, days, &v->days) &&
               !__builtin_add_overflow(v->micros, micros, &v->micros);
}

static size_t find_unit(const uint8_t *p, size_t len)
{
        for (size_t i = 0; i < LEAT_ARRAY_LEN(units); i++) {
                size_t n = strlen(units[i].name);
                if (strncasecmp((const char *)p, units[i].name, LEAT_MIN(n, len)) == 0 &&
                    (len == n || (len == n + 1 && n > 1 && (p[n] == 's' || p[n] == 'S'))))
                        return i;
        }
        return SIZE_MAX;
}

/* One "[+-]number unit" or "[+-]hh:mm[:ss[.f]]". */
static bool interval_part(struct scan *s, struct leat_interval *v)
{
        bool negative = take(s, '-');
        if (!negative)
                take(s, '+');
        uint64_t whole = 0, count = 0;
        int64_t part = 0, weight = 100000;
        for (; s->at < s->end && is_digit(*s->at); s->at++) {
                whole = whole * 10 + (uint64_t)(*s->at - '0');
                if (++count > 18)
                        return false;
        }
        if (count != 0 && s->at < s->end && *s->at == ':') {
                uint32_t minute, second = 0;
                s->at++;
                if (!digits(s, 2, &minute) || minute > 59)
                        return false;
                if (take(s, ':') && (!digits(s, 2, &second) || second > 59))
                        return false;
                if (take(s, '.'))
                        for (; s->at < s->end && is_digit(*s->at); s->at++, weight /= 10)
                                part += (*s->at - '0') * weight;
                if (whole > 2562047788ull)
                        return false;
                __int128 us = ((__int128)whole * 3600 + minute * 60 + second) * SECOND_US + part;
                us = v->micros + (negative ? -us : us);
                v->micros = (int64_t)us;
                return v->micros == us;
        }
        if (take(s, '.'))
                for (; s->at < s->end && is_digit(*s->at); s->at++, weight /= 10, count++)
                        part += (*s->at - '0') * weight;
        if (count == 0)
                return false;
        while (take(s, ' '))
                ;
        const uint8_t *unit = s->at;
        while (s->at < s->end && isalpha(*s->at))
                s->at++;
        size_t u = find_unit(unit, (size_t)(s->at - unit));
        return u != SIZE_MAX &&
               interval_add(v, u, negative ? -(int64_t)whole : (int64_t)whole, negative ? -part : part);
}

bool leat_format_parse_interval(struct leat_view text, struct leat_interval *ret_interval)
{
        struct scan s = {text.data, text.data + text.len};
        struct leat_interval v = {0};
        while (take(&s, ' '))
                ;
        if (s.at == s.end)
                return false;
        while (s.at < s.end) {
                if (!interval_part(&s, &v))
                        return false;
                while (take(&s, ' '))
                        ;
        }
        *ret_interval = v;
        return true;
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

bool leat_format_utf8(struct leat_view text)
{
        return leat_format_index_utf8(text.data, text.len);
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
