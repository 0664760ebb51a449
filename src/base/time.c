/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/base: points in time and durations as text.
 *
 * All arithmetic is on the proleptic Gregorian calendar in UTC, without leap
 * seconds, as POSIX and PostgreSQL have it. Readers are strict: a text that is
 * read at all is read in one way.
 */
#include "leat/time.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

#include "leat/mem.h"

#define US_PER_S INT64_C(1000000)
#define US_PER_DAY (INT64_C(86400) * US_PER_S)

/* Howard Hinnant's algorithm: eras of 400 years that begin in March. */
int64_t leat_days_from_civil(int64_t year, unsigned month, unsigned day)
{
        year -= month <= 2;
        int64_t era = (year >= 0 ? year : year - 399) / 400;
        unsigned yoe = (unsigned)(year - era * 400);
        unsigned doy = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
        unsigned doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
        return era * 146097 + (int64_t)doe - 719468;
}

static void civil_from_days(int64_t days, int64_t *ret_year, unsigned *ret_month, unsigned *ret_day)
{
        days += 719468;
        int64_t era = (days >= 0 ? days : days - 146096) / 146097;
        unsigned doe = (unsigned)(days - era * 146097);
        unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
        unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        unsigned mp = (5 * doy + 2) / 153;
        *ret_day = doy - (153 * mp + 2) / 5 + 1;
        *ret_month = mp < 10 ? mp + 3 : mp - 9;
        *ret_year = (int64_t)yoe + era * 400 + (*ret_month <= 2);
}

int leat_time_format(int64_t time_us, char *out)
{
        int64_t days = time_us / US_PER_DAY;
        int64_t rest = time_us % US_PER_DAY;
        if (rest < 0) {
                rest += US_PER_DAY;
                days--;
        }
        int64_t year;
        unsigned month, day;
        civil_from_days(days, &year, &month, &day);
        int64_t sec = rest / US_PER_S;
        int us = (int)(rest % US_PER_S);
        /* Years of more than four digits carry a sign, as ISO 8601 wants it. */
        const char *sign = year < 0 ? "-" : year > 9999 ? "+" : "";
        int len =
                snprintf(out, LEAT_TIME_TEXT_MAX, "%s%04" PRId64 "-%02u-%02uT%02d:%02d:%02d", sign,
                         year < 0 ? -year : year, month, day, (int)(sec / 3600), (int)(sec / 60 % 60), (int)(sec % 60));
        if (us != 0) {
                len += snprintf(out + len, (size_t)(LEAT_TIME_TEXT_MAX - len), ".%06d", us);
                while (out[len - 1] == '0')
                        len--;
        }
        out[len++] = 'Z';
        out[len] = '\0';
        return len;
}

/* ---- reading ------------------------------------------------------------------ */

struct scan {
        const uint8_t *at, *end;
};

static bool scan_char(struct scan *s, char c)
{
        if (s->at == s->end || *s->at != (uint8_t)c)
                return false;
        s->at++;
        return true;
}

static bool scan_digits(struct scan *s, int count, int64_t *ret)
{
        int64_t value = 0;
        if (s->end - s->at < count)
                return false;
        for (int i = 0; i < count; i++, s->at++) {
                if (*s->at < '0' || *s->at > '9')
                        return false;
                value = value * 10 + (*s->at - '0');
        }
        *ret = value;
        return true;
}

static int scan_digit_run(const struct scan *s)
{
        int n = 0;
        while (s->at + n < s->end && s->at[n] >= '0' && s->at[n] <= '9')
                n++;
        return n;
}

static bool scan_date(struct scan *s, int64_t *ret_days)
{
        static const uint8_t month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
        int64_t year, month, day;
        bool minus = scan_char(s, '-');
        bool is_signed = minus || scan_char(s, '+');
        int digits = is_signed ? scan_digit_run(s) : 4;
        if (digits < 4 || digits > 6 || !scan_digits(s, digits, &year) || !scan_char(s, '-') ||
            !scan_digits(s, 2, &month) || !scan_char(s, '-') || !scan_digits(s, 2, &day))
                return false;
        if (minus)
                year = -year;
        if (month < 1 || month > 12 || day < 1)
                return false;
        bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        if (day > month_days[month - 1] + (month == 2 && leap))
                return false;
        *ret_days = leat_days_from_civil(year, (unsigned)month, (unsigned)day);
        return true;
}

/* ".123456789": digits beyond the microsecond are cut. */
static bool scan_fraction(struct scan *s, int64_t *ret_us)
{
        int64_t us = 0, unit = 100000;
        int digits = scan_digit_run(s);
        if (digits == 0)
                return false;
        for (int i = 0; i < digits; i++, s->at++, unit /= 10)
                us += (*s->at - '0') * unit;
        *ret_us = us;
        return true;
}

static bool scan_clock(struct scan *s, int64_t *ret_us)
{
        int64_t hour, minute, second = 0, fraction = 0;
        if (!scan_digits(s, 2, &hour) || !scan_char(s, ':') || !scan_digits(s, 2, &minute))
                return false;
        if (scan_char(s, ':') && !scan_digits(s, 2, &second))
                return false;
        if ((scan_char(s, '.') || scan_char(s, ',')) && !scan_fraction(s, &fraction))
                return false;
        if (hour > 23 || minute > 59 || second > 59)
                return false;
        *ret_us = (hour * 3600 + minute * 60 + second) * US_PER_S + fraction;
        return true;
}

/* Z, +hh, +hh:mm, +hhmm, or nothing. */
static bool scan_zone(struct scan *s, int64_t *ret_us)
{
        *ret_us = 0;
        if (s->at == s->end || scan_char(s, 'Z') || scan_char(s, 'z'))
                return true;
        int64_t hour, minute = 0;
        bool minus = scan_char(s, '-');
        if (!minus && !scan_char(s, '+'))
                return false;
        if (!scan_digits(s, 2, &hour))
                return false;
        if ((scan_char(s, ':') || s->at < s->end) && !scan_digits(s, 2, &minute))
                return false;
        if (hour > 18 || minute > 59)
                return false;
        *ret_us = (hour * 60 + minute) * 60 * US_PER_S * (minus ? -1 : 1);
        return true;
}

bool leat_time_parse(struct leat_view text, int64_t *ret_us)
{
        struct scan s = {.at = text.data, .end = text.data + text.len};
        int64_t days, clock_us = 0, zone_us = 0;
        if (!scan_date(&s, &days))
                return false;
        if (scan_char(&s, 'T') || scan_char(&s, 't') || scan_char(&s, ' ')) {
                if (!scan_clock(&s, &clock_us) || !scan_zone(&s, &zone_us))
                        return false;
        }
        if (s.at != s.end)
                return false;
        __int128 us = (__int128)days * US_PER_DAY + clock_us - zone_us;
        if (us < INT64_MIN || us > INT64_MAX)
                return false;
        *ret_us = (int64_t)us;
        return true;
}

/* ---- durations ------------------------------------------------------------------ */

static const struct duration_unit {
        const char *name;
        int64_t us;
} duration_units[] = {
        {"us", 1},
        {"microsecond", 1},
        {"microseconds", 1},
        {"ms", 1000},
        {"millisecond", 1000},
        {"milliseconds", 1000},
        {"s", US_PER_S},
        {"sec", US_PER_S},
        {"secs", US_PER_S},
        {"second", US_PER_S},
        {"seconds", US_PER_S},
        {"m", 60 * US_PER_S},
        {"min", 60 * US_PER_S},
        {"mins", 60 * US_PER_S},
        {"minute", 60 * US_PER_S},
        {"minutes", 60 * US_PER_S},
        {"h", 3600 * US_PER_S},
        {"hour", 3600 * US_PER_S},
        {"hours", 3600 * US_PER_S},
        {"d", US_PER_DAY},
        {"day", US_PER_DAY},
        {"days", US_PER_DAY},
        {"w", 7 * US_PER_DAY},
        {"week", 7 * US_PER_DAY},
        {"weeks", 7 * US_PER_DAY},
};

static void scan_spaces(struct scan *s)
{
        while (s->at < s->end && *s->at == ' ')
                s->at++;
}

/* The unit at the cursor; 0 when there is no word, -1 when it is unknown. */
static int64_t scan_unit(struct scan *s)
{
        char word[16];
        size_t len = 0;
        while (s->at < s->end && isalpha(*s->at)) {
                if (len == sizeof(word) - 1)
                        return -1;
                word[len++] = (char)tolower(*s->at++);
        }
        if (len == 0)
                return 0;
        word[len] = '\0';
        for (size_t i = 0; i < LEAT_ARRAY_LEN(duration_units); i++)
                if (strcmp(word, duration_units[i].name) == 0)
                        return duration_units[i].us;
        return -1;
}

/* "1.5": whole part and millionths. */
static bool scan_number(struct scan *s, int64_t *ret_whole, int64_t *ret_millionths)
{
        int digits = scan_digit_run(s);
        *ret_millionths = 0;
        if (digits < 1 || digits > 18 || !scan_digits(s, digits, ret_whole))
                return false;
        return !scan_char(s, '.') || scan_fraction(s, ret_millionths);
}

bool leat_duration_parse(struct leat_view text, int64_t *ret_us)
{
        struct scan s = {.at = text.data, .end = text.data + text.len};
        int64_t total = 0;
        scan_spaces(&s);
        for (bool first = true; first || s.at < s.end; first = false) {
                int64_t whole, millionths, part;
                if (!scan_number(&s, &whole, &millionths))
                        return false;
                scan_spaces(&s);
                int64_t unit = scan_unit(&s);
                if (unit == 0 && first && s.at == s.end)
                        unit = 1000; /* a bare number is milliseconds */
                if (unit <= 0)
                        return false;
                if (__builtin_mul_overflow(whole, unit, &part) || __builtin_add_overflow(total, part, &total) ||
                    __builtin_add_overflow(total, (int64_t)((__int128)millionths * unit / 1000000), &total))
                        return false;
                scan_spaces(&s);
        }
        *ret_us = total;
        return true;
}
