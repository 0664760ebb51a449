/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/engine: one value of a column as PostgreSQL's text and as JSON.
 *
 * Design    Doubles print in the fewest digits that read back to the same
 *           value; a value with at most six decimals (most are) takes a short
 *           way through integers. Dates use the proleptic Gregorian calendar,
 *           year 0 is 1 BC, as in PostgreSQL.
 * JSON      timestamps are ISO 8601 (TIMESTAMPTZ with Z), BLOB is base64, NaN
 *           and infinities are strings, everything else as one expects.
 */
#include <ctype.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "engine_int.h"

#define DAY_US 86400000000ll

/* ---- numbers -------------------------------------------------------------- */

static void print_u64(struct leat_buf *out, uint64_t v, bool negative)
{
        char text[21], *p = text + sizeof text;
        do {
                *--p = (char)('0' + v % 10);
                v /= 10;
        } while (v != 0);
        if (negative)
                *--p = '-';
        leat_buf_add(out, p, (size_t)(text + sizeof text - p));
}

static void print_i64(struct leat_buf *out, int64_t v)
{
        print_u64(out, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, v < 0);
}

/* Prints with @scale digits behind the point. */
static void print_u128(struct leat_buf *out, unsigned __int128 v, bool negative, unsigned scale)
{
        char text[48], *p = text + sizeof text;
        for (unsigned digits = 0; v != 0 || digits <= scale; digits++) {
                if (scale != 0 && digits == scale)
                        *--p = '.';
                *--p = (char)('0' + (int)(v % 10));
                v /= 10;
        }
        if (negative)
                *--p = '-';
        leat_buf_add(out, p, (size_t)(text + sizeof text - p));
}

static void print_i128(struct leat_buf *out, __int128 v, unsigned scale)
{
        print_u128(out, v < 0 ? 0 - (unsigned __int128)v : (unsigned __int128)v, v < 0, scale);
}

/* Turns the digits of "%.*e" into PostgreSQL's form: plain for exponents in [-4, @plain_max), else d.ddde+NN. */
static void print_scientific(struct leat_buf *out, const char *text, int plain_max)
{
        char digits[32];
        int count = 0;
        const char *p = text;
        if (*p == '-') {
                leat_buf_u8(out, '-');
                p++;
        }
        for (; *p != 'e'; p++)
                if (*p != '.')
                        digits[count++] = *p;
        int exp10 = atoi(p + 1);
        while (count > 1 && digits[count - 1] == '0')
                count--;
        if (exp10 < -4 || exp10 >= plain_max) {
                leat_buf_u8(out, (uint8_t)digits[0]);
                if (count > 1) {
                        leat_buf_u8(out, '.');
                        leat_buf_add(out, digits + 1, (size_t)count - 1);
                }
                leat_buf_printf(out, "e%c%02d", exp10 < 0 ? '-' : '+', abs(exp10));
                return;
        }
        if (exp10 < 0) {
                leat_buf_add_str(out, "0.");
                for (int i = -1; i > exp10; i--)
                        leat_buf_u8(out, '0');
                leat_buf_add(out, digits, (size_t)count);
                return;
        }
        for (int i = 0; i < count || i <= exp10; i++) {
                if (i == exp10 + 1)
                        leat_buf_u8(out, '.');
                leat_buf_u8(out, i < count ? (uint8_t)digits[i] : '0');
        }
}

/* Values that are a whole number of millionths, below 1e15 millionths: exact as integers, and 15 digits are always
 * the shortest text. */
static bool print_short_decimal(struct leat_buf *out, double v)
{
        double millionths = v * 1e6;
        if (!(fabs(millionths) < 1e15) || v == 0 || fabs(v) < 1e-4)
                return false;
        double whole = rint(millionths);
        if (whole / 1e6 != v)
                return false;
        uint64_t n = (uint64_t)fabs(whole);
        print_u64(out, n / 1000000, v < 0);
        uint32_t part = (uint32_t)(n % 1000000);
        if (part == 0)
                return true;
        char text[7] = ".000000";
        int len = 7;
        for (int i = 6; i >= 1; i--, part /= 10)
                text[i] = (char)('0' + part % 10);
        while (text[len - 1] == '0')
                len--;
        leat_buf_add(out, text, (size_t)len);
        return true;
}

static bool print_special(struct leat_buf *out, double v, bool quoted)
{
        if (isfinite(v))
                return false;
        const char *text = isnan(v) ? "NaN" : v > 0 ? "Infinity" : "-Infinity";
        leat_buf_printf(out, quoted ? "\"%s\"" : "%s", text);
        return true;
}

static void print_double(struct leat_buf *out, double v)
{
        char text[32];
        if (print_short_decimal(out, v))
                return;
        for (int digits = fabs(v) < DBL_MIN ? 1 : 15; digits <= 17; digits++) { /* denormals have few digits */
                snprintf(text, sizeof text, "%.*e", digits - 1, v);
                if (strtod(text, NULL) == v)
                        break;
        }
        print_scientific(out, text, 15);
}

static void print_float(struct leat_buf *out, float v)
{
        char text[32];
        for (int digits = fabsf(v) < FLT_MIN ? 1 : 6; digits <= 9; digits++) {
                snprintf(text, sizeof text, "%.*e", digits - 1, (double)v);
                if (strtof(text, NULL) == v)
                        break;
        }
        print_scientific(out, text, 6);
}

/* ---- dates and times ------------------------------------------------------- */

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

static char *put_digits(char *p, uint64_t v, int width)
{
        for (int i = width - 1; i >= 0; i--, v /= 10)
                p[i] = (char)('0' + v % 10);
        return p + width;
}

/* Returns true when the year is BC; @p is moved behind the date. */
static bool put_date(char **p, int64_t days)
{
        int64_t year;
        unsigned month, day;
        civil_from_days(days, &year, &month, &day);
        bool bc = year <= 0;
        if (bc)
                year = 1 - year;
        *p = year < 10000 ? put_digits(*p, (uint64_t)year, 4) : *p + sprintf(*p, "%" PRId64, year);
        *(*p)++ = '-';
        *p = put_digits(*p, month, 2);
        *(*p)++ = '-';
        *p = put_digits(*p, day, 2);
        return bc;
}

static char *put_time(char *p, int64_t us)
{
        uint32_t seconds = (uint32_t)(us / 1000000), part = (uint32_t)(us % 1000000);
        p = put_digits(p, seconds / 3600, 2);
        *p++ = ':';
        p = put_digits(p, seconds / 60 % 60, 2);
        *p++ = ':';
        p = put_digits(p, seconds % 60, 2);
        if (part == 0)
                return p;
        *p++ = '.';
        p = put_digits(p, part, 6);
        while (p[-1] == '0')
                p--;
        return p;
}

static void print_date(struct leat_buf *out, int32_t days)
{
        char text[48], *p = text;
        if (days == LEAT_DATE_INFINITY || days == -LEAT_DATE_INFINITY) {
                leat_buf_add_str(out, days > 0 ? "infinity" : "-infinity");
                return;
        }
        bool bc = put_date(&p, days);
        leat_buf_add(out, text, (size_t)(p - text));
        if (bc)
                leat_buf_add_str(out, " BC");
}

/* @separator stands between date and time, @zone behind it. */
static void print_timestamp(struct leat_buf *out, int64_t us, char separator, const char *zone)
{
        char text[80], *p = text;
        if (us == LEAT_TIMESTAMP_INFINITY || us == -LEAT_TIMESTAMP_INFINITY) {
                leat_buf_add_str(out, us > 0 ? "infinity" : "-infinity");
                return;
        }
        int64_t days = us / DAY_US, rest = us % DAY_US;
        if (rest < 0) {
                rest += DAY_US;
                days--;
        }
        bool bc = put_date(&p, days);
        *p++ = separator;
        p = put_time(p, rest);
        leat_buf_add(out, text, (size_t)(p - text));
        leat_buf_add_str(out, zone);
        if (bc)
                leat_buf_add_str(out, " BC");
}

/* Seconds that the zone is ahead of UTC at @us. */
static int32_t zone_offset(const struct leat_zone *zone, int64_t us)
{
        uint32_t low = 0, high = zone->count;
        while (high - low > 1) {
                uint32_t middle = low + (high - low) / 2;
                if (zone->starts[middle] <= us)
                        low = middle;
                else
                        high = middle;
        }
        return zone->offsets_s[low];
}

/* "+02", "-03:30", "+00:53:28", as PostgreSQL writes offsets. */
static void print_local(struct leat_buf *out, int64_t us, const struct leat_zone *zone)
{
        bool infinite = us == LEAT_TIMESTAMP_INFINITY || us == -LEAT_TIMESTAMP_INFINITY;
        int32_t offset_s = zone == NULL || zone->count == 0 || infinite ? 0 : zone_offset(zone, us);
        uint32_t ahead = (uint32_t)(offset_s < 0 ? -offset_s : offset_s);
        char text[16];
        int64_t local;
        if (__builtin_add_overflow(us, (int64_t)offset_s * 1000000, &local)) {
                local = us;
                ahead = 0;
        }
        int len = snprintf(text, sizeof text, "%c%02u", offset_s < 0 ? '-' : '+', ahead / 3600 % 100);
        if (ahead % 3600 != 0)
                len += snprintf(text + len, sizeof text - (size_t)len, ":%02u", ahead / 60 % 60);
        if (ahead % 60 != 0)
                snprintf(text + len, sizeof text - (size_t)len, ":%02u", ahead % 60);
        print_timestamp(out, local, ' ', text);
}

static void print_interval_part(struct leat_buf *out, int64_t v, const char *unit, bool *first, bool *before)
{
        if (v == 0)
                return;
        leat_buf_printf(out, "%s%s%" PRId64 " %s%s", *first ? "" : " ", *before && v > 0 ? "+" : "", v, unit,
                        v != 1 ? "s" : "");
        *before = v < 0;
        *first = false;
}

static void print_interval(struct leat_buf *out, const struct leat_interval *v)
{
        bool first = true, before = false;
        print_interval_part(out, v->months / 12, "year", &first, &before);
        print_interval_part(out, v->months % 12, "mon", &first, &before);
        print_interval_part(out, v->days, "day", &first, &before);
        if (v->micros == 0 && !first)
                return;
        uint64_t us = v->micros < 0 ? 0 - (uint64_t)v->micros : (uint64_t)v->micros;
        uint64_t hours = us / 3600000000ull;
        leat_buf_printf(out, "%s%s%02" PRIu64, first ? "" : " ", v->micros < 0 ? "-" : before ? "+" : "", hours);
        char text[32];
        char *end = put_time(text, (int64_t)(us - hours * 3600000000ull));
        leat_buf_add(out, text + 2, (size_t)(end - text - 2));
}

/* ---- bytes ------------------------------------------------------------------ */

static const char hex_digits[] = "0123456789abcdef";

static void print_hex(struct leat_buf *out, struct leat_view v)
{
        uint8_t *p = leat_buf_reserve(out, v.len * 2);
        for (size_t i = 0; i < v.len; i++) {
                *p++ = (uint8_t)hex_digits[v.data[i] >> 4];
                *p++ = (uint8_t)hex_digits[v.data[i] & 15];
        }
        out->len += v.len * 2;
}

static void print_base64(struct leat_buf *out, struct leat_view v)
{
        static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        for (size_t i = 0; i < v.len; i += 3) {
                uint32_t n = (uint32_t)v.data[i] << 16;
                n |= i + 1 < v.len ? (uint32_t)v.data[i + 1] << 8 : 0;
                n |= i + 2 < v.len ? v.data[i + 2] : 0;
                leat_buf_u8(out, (uint8_t)digits[n >> 18]);
                leat_buf_u8(out, (uint8_t)digits[n >> 12 & 63]);
                leat_buf_u8(out, i + 1 < v.len ? (uint8_t)digits[n >> 6 & 63] : '=');
                leat_buf_u8(out, i + 2 < v.len ? (uint8_t)digits[n & 63] : '=');
        }
}

static void print_uuid(struct leat_buf *out, const void *value)
{
        uint64_t low, high;
        memcpy(&low, value, 8);
        memcpy(&high, (const char *)value + 8, 8);
        high ^= 1ull << 63;
        leat_buf_printf(out, "%08" PRIx64 "-%04" PRIx64 "-%04" PRIx64 "-%04" PRIx64 "-%012" PRIx64, high >> 32,
                        high >> 16 & 0xffff, high & 0xffff, low >> 48, low & (uint64_t)0xffffffffffff);
}

/* ---- nested values as PostgreSQL's text -------------------------------------- */

/* Text of an array element or a row field, in quotes when its text would be read otherwise. */
static void print_quoted(struct leat_buf *out, struct leat_view text, bool in_array)
{
        const char *special = in_array ? "{},\"\\" : "(),\"\\";
        bool quote =
                text.len == 0 || (in_array && text.len == 4 && strncasecmp((const char *)text.data, "null", 4) == 0);
        for (size_t i = 0; i < text.len && !quote; i++)
                quote = isspace(text.data[i]) || (text.data[i] != 0 && strchr(special, text.data[i]) != NULL);
        if (!quote) {
                leat_buf_add_view(out, text);
                return;
        }
        leat_buf_u8(out, '"');
        for (size_t i = 0; i < text.len; i++) {
                if (text.data[i] == '"' || text.data[i] == '\\')
                        leat_buf_u8(out, in_array ? '\\' : text.data[i]);
                leat_buf_u8(out, text.data[i]);
        }
        leat_buf_u8(out, '"');
}

static bool print_value(const struct leat_column *col, uint64_t row, const struct leat_zone *zone,
                        struct leat_buf *out);

static void print_list(const struct leat_column *col, uint64_t row, const struct leat_zone *zone, struct leat_buf *out)
{
        const struct leat_list_entry *entry = (const struct leat_list_entry *)col->data + row;
        const struct leat_column *child = &col->children[0];
        leat_buf_u8(out, '{');
        for (uint64_t i = 0; i < entry->length; i++) {
                if (i != 0)
                        leat_buf_u8(out, ',');
                struct leat_buf text = LEAT_BUF_INIT;
                if (!print_value(child, entry->offset + i, zone, &text))
                        leat_buf_add_str(out, "NULL");
                else if (child->type.id == LEAT_T_LIST)
                        leat_buf_add_view(out, leat_buf_view(&text));
                else
                        print_quoted(out, leat_buf_view(&text), true);
                leat_buf_done(&text);
        }
        leat_buf_u8(out, '}');
}

static void print_struct(const struct leat_column *col, uint64_t row, const struct leat_zone *zone,
                         struct leat_buf *out)
{
        leat_buf_u8(out, '(');
        for (uint32_t i = 0; i < col->type.child_count; i++) {
                if (i != 0)
                        leat_buf_u8(out, ',');
                struct leat_buf text = LEAT_BUF_INIT;
                if (print_value(&col->children[i], row, zone, &text))
                        print_quoted(out, leat_buf_view(&text), false);
                leat_buf_done(&text);
        }
        leat_buf_u8(out, ')');
}

/* ---- one value ---------------------------------------------------------------- */

#define AT(ctype) (((const ctype *)col->data)[row])

static __int128 decimal_at(const struct leat_column *col, uint64_t row)
{
        switch (leat_type_bytes(&col->type)) {
        case 2:
                return AT(int16_t);
        case 4:
                return AT(int32_t);
        case 8:
                return AT(int64_t);
        default:
                return AT(__int128);
        }
}

/* Prints the types whose text is the same in PostgreSQL's form and in JSON; false for all others. */
static bool print_number(const struct leat_column *col, uint64_t row, struct leat_buf *out, bool json)
{
        switch (col->type.id) {
        case LEAT_T_TINYINT:
                print_i64(out, AT(int8_t));
                return true;
        case LEAT_T_SMALLINT:
                print_i64(out, AT(int16_t));
                return true;
        case LEAT_T_INTEGER:
                print_i64(out, AT(int32_t));
                return true;
        case LEAT_T_BIGINT:
                print_i64(out, AT(int64_t));
                return true;
        case LEAT_T_UTINYINT:
                print_u64(out, AT(uint8_t), false);
                return true;
        case LEAT_T_USMALLINT:
                print_u64(out, AT(uint16_t), false);
                return true;
        case LEAT_T_UINTEGER:
                print_u64(out, AT(uint32_t), false);
                return true;
        case LEAT_T_UBIGINT:
                print_u64(out, AT(uint64_t), false);
                return true;
        case LEAT_T_HUGEINT:
                print_i128(out, AT(__int128), 0);
                return true;
        case LEAT_T_UHUGEINT:
                print_u128(out, AT(unsigned __int128), false, 0);
                return true;
        case LEAT_T_DECIMAL:
                print_i128(out, decimal_at(col, row), col->type.scale);
                return true;
        case LEAT_T_FLOAT:
                if (!print_special(out, (double)AT(float), json))
                        print_float(out, AT(float));
                return true;
        case LEAT_T_DOUBLE:
                if (!print_special(out, AT(double), json))
                        print_double(out, AT(double));
                return true;
        default:
                return false;
        }
}

static void print_time(struct leat_buf *out, int64_t us)
{
        char text[32];
        leat_buf_add(out, text, (size_t)(put_time(text, us) - text));
}

static bool print_value(const struct leat_column *col, uint64_t row, const struct leat_zone *zone, struct leat_buf *out)
{
        if (col->validity != NULL && !((col->validity[row >> 6] >> (row & 63)) & 1))
                return false;
        if (print_number(col, row, out, false))
                return true;
        switch (col->type.id) {
        case LEAT_T_BOOLEAN:
                leat_buf_u8(out, AT(uint8_t) ? 't' : 'f');
                break;
        case LEAT_T_VARCHAR:
                leat_buf_add_view(out, leat_string_view(&AT(struct leat_string)));
                break;
        case LEAT_T_BLOB:
                leat_buf_add_str(out, "\\x");
                print_hex(out, leat_string_view(&AT(struct leat_string)));
                break;
        case LEAT_T_DATE:
                print_date(out, AT(int32_t));
                break;
        case LEAT_T_TIME:
                print_time(out, AT(int64_t));
                break;
        case LEAT_T_TIMESTAMP:
                print_timestamp(out, AT(int64_t), ' ', "");
                break;
        case LEAT_T_TIMESTAMPTZ:
                print_local(out, AT(int64_t), zone);
                break;
        case LEAT_T_INTERVAL:
                print_interval(out, &AT(struct leat_interval));
                break;
        case LEAT_T_UUID:
                print_uuid(out, (const char *)col->data + row * 16);
                break;
        case LEAT_T_LIST:
                print_list(col, row, zone, out);
                break;
        case LEAT_T_STRUCT:
                print_struct(col, row, zone, out);
                break;
        default:
                return false;
        }
        return true;
}

bool leat_column_print(const struct leat_column *col, uint32_t row, struct leat_buf *out)
{
        return print_value(col, row, NULL, out);
}

bool leat_column_print_in(const struct leat_column *col, uint32_t row, const struct leat_zone *zone,
                          struct leat_buf *out)
{
        return print_value(col, row, zone, out);
}

/* ---- JSON ----------------------------------------------------------------------- */

static void json_value(const struct leat_column *col, uint64_t row, struct leat_buf *out);

static void json_nested(const struct leat_column *col, uint64_t row, struct leat_buf *out)
{
        if (col->type.id == LEAT_T_LIST) {
                const struct leat_list_entry *entry = (const struct leat_list_entry *)col->data + row;
                leat_buf_u8(out, '[');
                for (uint64_t i = 0; i < entry->length; i++) {
                        if (i != 0)
                                leat_buf_u8(out, ',');
                        json_value(&col->children[0], entry->offset + i, out);
                }
                leat_buf_u8(out, ']');
                return;
        }
        leat_buf_u8(out, '{');
        for (uint32_t i = 0; i < col->type.child_count; i++) {
                if (i != 0)
                        leat_buf_u8(out, ',');
                leat_buf_json_str(out, leat_view_str(col->type.child_names[i]));
                leat_buf_u8(out, ':');
                json_value(&col->children[i], row, out);
        }
        leat_buf_u8(out, '}');
}

static void json_value(const struct leat_column *col, uint64_t row, struct leat_buf *out)
{
        if (col->type.id == LEAT_T_SQLNULL ||
            (col->validity != NULL && !((col->validity[row >> 6] >> (row & 63)) & 1))) {
                leat_buf_add_str(out, "null");
                return;
        }
        if (print_number(col, row, out, true))
                return;
        switch (col->type.id) {
        case LEAT_T_BOOLEAN:
                leat_buf_add_str(out, AT(uint8_t) ? "true" : "false");
                return;
        case LEAT_T_VARCHAR:
                leat_buf_json_str(out, leat_string_view(&AT(struct leat_string)));
                return;
        case LEAT_T_LIST:
        case LEAT_T_STRUCT:
                json_nested(col, row, out);
                return;
        default:
                break;
        }
        leat_buf_u8(out, '"');
        if (col->type.id == LEAT_T_BLOB)
                print_base64(out, leat_string_view(&AT(struct leat_string)));
        else if (col->type.id == LEAT_T_TIMESTAMP)
                print_timestamp(out, AT(int64_t), 'T', "");
        else if (col->type.id == LEAT_T_TIMESTAMPTZ)
                print_timestamp(out, AT(int64_t), 'T', "Z");
        else
                print_value(col, row, NULL, out);
        leat_buf_u8(out, '"');
}

void leat_column_json(const struct leat_column *col, uint32_t row, struct leat_buf *out)
{
        json_value(col, row, out);
}
