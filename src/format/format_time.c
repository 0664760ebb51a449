/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/format: dates, times of day, timestamps and intervals from their text.
 *
 * Design    Timestamps of the fixed ISO form in this and the last century are read
 *           by position; all others take the general way. The calendar is the
 *           proleptic Gregorian one, years before 1 have " BC" behind them, as
 *           PostgreSQL writes and reads it.
 */
#include <ctype.h>
#include <strings.h>

#include "format_int.h"

#define SECOND_US 1000000ll
#define DAY_US 86400000000ll

static bool is_digit(uint8_t c)
{
        return (uint8_t)(c - '0') < 10;
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

bool leat_format_parse_date(struct leat_view text, int32_t *ret_days)
{
        struct scan s = {text.data, text.data + text.len};
        int64_t year, days;
        uint32_t month, day;
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
            total < LEAT_FORMAT_TIMESTAMP_MIN || total == LEAT_TIMESTAMP_INFINITY)
                return false;
        *ret_us = total;
        return true;
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
