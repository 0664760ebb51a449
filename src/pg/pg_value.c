/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/pg: values in PostgreSQL's text and binary forms.
 *
 * Binary times count from 2000-01-01, numerics are base-10,000 digits, arrays
 * have one dimension. Text is what leat_column_print makes.
 */
#include "pg_int.h"

#define PG_EPOCH_US 946684800000000LL
#define PG_EPOCH_DAYS 10957
#define DAY_US 86400000000LL

enum { NUMERIC_NEG = 0x4000, NUMERIC_NAN = 0xC000 };

/* Decimal digits, least significant first, of an unsigned 128-bit number; returns how many groups of 4. */
static int numeric_groups(unsigned __int128 value, uint16_t groups[12])
{
        int count = 0;
        while (value != 0) {
                groups[count++] = (uint16_t)(value % 10000);
                value /= 10000;
        }
        return count;
}

static void numeric_put(bool negative, unsigned __int128 magnitude, unsigned scale, struct leat_buf *out)
{
        uint16_t groups[12];
        /* The point must fall between groups: shift by the digits that are missing. */
        unsigned pad = (4 - scale % 4) % 4;
        for (unsigned i = 0; i < pad; i++)
                magnitude *= 10;
        int count = numeric_groups(magnitude, groups);
        int weight = count - 1 - (int)((scale + pad) / 4);
        int low = 0;
        while (low < count && groups[low] == 0)
                low++;
        leat_buf_be32(out, (uint32_t)(8 + 2 * (count - low)));
        leat_buf_be16(out, (uint16_t)(count - low));
        leat_buf_be16(out, (uint16_t)(count == low ? 0 : weight));
        leat_buf_be16(out, negative && count != low ? NUMERIC_NEG : 0);
        leat_buf_be16(out, (uint16_t)scale);
        for (int i = count - 1; i >= low; i--)
                leat_buf_be16(out, groups[i]);
}

static __int128 int128_at(const void *data, uint32_t row)
{
        __int128 v;
        memcpy(&v, (const uint8_t *)data + (size_t)row * 16, 16);
        return v;
}

static void numeric_signed(__int128 value, unsigned scale, struct leat_buf *out)
{
        bool negative = value < 0;
        unsigned __int128 magnitude = negative ? -(unsigned __int128)value : (unsigned __int128)value;
        numeric_put(negative, magnitude, scale, out);
}

static void decimal_put(const struct leat_column *col, uint32_t row, struct leat_buf *out)
{
        __int128 value;
        if (col->type.width <= 4)
                value = ((const int16_t *)col->data)[row];
        else if (col->type.width <= 9)
                value = ((const int32_t *)col->data)[row];
        else if (col->type.width <= 18)
                value = ((const int64_t *)col->data)[row];
        else
                value = int128_at(col->data, row);
        /* 38 digits and a shift of up to 3 fit into 128 bits unsigned only up to 10^38: wide ones go by text digits. */
        unsigned scale = col->type.scale;
        unsigned __int128 magnitude = value < 0 ? -(unsigned __int128)value : (unsigned __int128)value;
        unsigned pad = (4 - scale % 4) % 4;
        unsigned __int128 limit = ~(unsigned __int128)0 / (pad == 0 ? 1 : pad == 1 ? 10 : pad == 2 ? 100 : 1000);
        if (magnitude <= limit) {
                numeric_put(value < 0, magnitude, scale, out);
                return;
        }
        /* Split into a high and a low part so that each shifts without overflow. */
        unsigned __int128 base = 10000;
        unsigned __int128 unit = 1;
        for (unsigned i = 0; i < (4 - pad) % 4; i++)
                unit *= 10;
        uint16_t groups[12];
        unsigned __int128 fraction = magnitude % unit;
        for (unsigned i = 0; i < pad; i++)
                fraction *= 10;
        int count = 0;
        groups[count++] = (uint16_t)(fraction % base);
        unsigned __int128 rest = magnitude / unit;
        while (rest != 0) {
                groups[count++] = (uint16_t)(rest % base);
                rest /= base;
        }
        int weight = count - 1 - (int)((scale + pad) / 4);
        leat_buf_be32(out, (uint32_t)(8 + 2 * count));
        leat_buf_be16(out, (uint16_t)count);
        leat_buf_be16(out, (uint16_t)weight);
        leat_buf_be16(out, value < 0 ? NUMERIC_NEG : 0);
        leat_buf_be16(out, (uint16_t)scale);
        for (int i = count - 1; i >= 0; i--)
                leat_buf_be16(out, groups[i]);
}

static void put16(struct leat_buf *out, int16_t v)
{
        leat_buf_be32(out, 2);
        leat_buf_be16(out, (uint16_t)v);
}
static void put32(struct leat_buf *out, int32_t v)
{
        leat_buf_be32(out, 4);
        leat_buf_be32(out, (uint32_t)v);
}
static void put64(struct leat_buf *out, int64_t v)
{
        leat_buf_be32(out, 8);
        leat_buf_be64(out, (uint64_t)v);
}

static void text_put(const struct leat_column *col, uint32_t row, const struct leat_zone *zone, struct leat_buf *out)
{
        size_t at = out->len;
        leat_buf_be32(out, 0);
        if (col->type.id == LEAT_T_STRUCT)
                leat_column_json(col, row, out);
        else
                (void)leat_column_print_in(col, row, zone, out);
        leat_put_be32(out->data + at, (uint32_t)(out->len - at - 4));
}

static void list_put(const struct leat_column *col, uint32_t row, struct leat_buf *out)
{
        const struct leat_column *child = &col->children[0];
        const uint64_t *entry = (const uint64_t *)col->data + (size_t)row * 2;
        size_t at = out->len;
        bool nulls = false;
        for (uint64_t i = 0; i < entry[1]; i++)
                nulls |= !leat_column_valid(child, (uint32_t)(entry[0] + i));
        leat_buf_be32(out, 0);
        leat_buf_be32(out, entry[1] == 0 ? 0 : 1);
        leat_buf_be32(out, nulls);
        leat_buf_be32(out, leat_pg_type_oid(&child->type));
        if (entry[1] != 0) {
                leat_buf_be32(out, (uint32_t)entry[1]);
                leat_buf_be32(out, 1);
        }
        for (uint64_t i = 0; i < entry[1]; i++)
                leat_pg_value_put(child, (uint32_t)(entry[0] + i), true, NULL, out);
        leat_put_be32(out->data + at, (uint32_t)(out->len - at - 4));
}

static void interval_put(const struct leat_column *col, uint32_t row, struct leat_buf *out)
{
        const uint8_t *p = (const uint8_t *)col->data + (size_t)row * 16;
        int32_t months, days;
        int64_t us;
        memcpy(&months, p, 4);
        memcpy(&days, p + 4, 4);
        memcpy(&us, p + 8, 8);
        leat_buf_be32(out, 16);
        leat_buf_be64(out, (uint64_t)us);
        leat_buf_be32(out, (uint32_t)days);
        leat_buf_be32(out, (uint32_t)months);
}

static void uuid_put(const struct leat_column *col, uint32_t row, struct leat_buf *out)
{
        unsigned __int128 v = (unsigned __int128)int128_at(col->data, row) ^ ((unsigned __int128)1 << 127);
        leat_buf_be32(out, 16);
        leat_buf_be64(out, (uint64_t)(v >> 64));
        leat_buf_be64(out, (uint64_t)v);
}

/* DuckDB's infinities are the outermost values, as PostgreSQL's are. What is too early to be counted from 2000 (300,000
 * years BC) is before everything that PostgreSQL knows, too. */
static int64_t pg_time(int64_t us)
{
        int64_t ret;
        if (us == LEAT_TIMESTAMP_INFINITY)
                return INT64_MAX;
        if (us == -LEAT_TIMESTAMP_INFINITY || __builtin_sub_overflow(us, PG_EPOCH_US, &ret))
                return INT64_MIN;
        return ret;
}

static int32_t pg_date(int32_t days)
{
        int32_t ret;
        if (days == LEAT_DATE_INFINITY)
                return INT32_MAX;
        if (days == -LEAT_DATE_INFINITY || __builtin_sub_overflow(days, PG_EPOCH_DAYS, &ret))
                return INT32_MIN;
        return ret;
}

static int time_get(struct leat_view bytes, int64_t *ret, struct leat_error *err)
{
        int64_t v = (int64_t)leat_get_be64(bytes.data);
        if (v == INT64_MAX || v == INT64_MIN)
                *ret = v > 0 ? LEAT_TIMESTAMP_INFINITY : -LEAT_TIMESTAMP_INFINITY;
        else if (__builtin_add_overflow(v, PG_EPOCH_US, ret) || *ret == LEAT_TIMESTAMP_INFINITY)
                return leat_error_set(err, LEAT_ERANGE, "timestamp out of range");
        return 0;
}

static int date_get(struct leat_view bytes, int32_t *ret, struct leat_error *err)
{
        int32_t v = (int32_t)leat_get_be32(bytes.data);
        if (v == INT32_MAX || v == INT32_MIN)
                *ret = v > 0 ? LEAT_DATE_INFINITY : -LEAT_DATE_INFINITY;
        else if (__builtin_add_overflow(v, PG_EPOCH_DAYS, ret) || *ret == LEAT_DATE_INFINITY)
                return leat_error_set(err, LEAT_ERANGE, "date out of range");
        return 0;
}

static void binary_put(const struct leat_column *col, uint32_t row, struct leat_buf *out)
{
        const void *data = col->data;
        switch ((enum leat_type_id)col->type.id) {
        case LEAT_T_BOOLEAN:
                leat_buf_be32(out, 1);
                leat_buf_u8(out, ((const uint8_t *)data)[row] != 0);
                return;
        case LEAT_T_TINYINT:
                put16(out, ((const int8_t *)data)[row]);
                return;
        case LEAT_T_UTINYINT:
                put16(out, ((const uint8_t *)data)[row]);
                return;
        case LEAT_T_SMALLINT:
                put16(out, ((const int16_t *)data)[row]);
                return;
        case LEAT_T_USMALLINT:
                put32(out, ((const uint16_t *)data)[row]);
                return;
        case LEAT_T_INTEGER:
                put32(out, ((const int32_t *)data)[row]);
                return;
        case LEAT_T_FLOAT:
                put32(out, ((const int32_t *)data)[row]);
                return;
        case LEAT_T_UINTEGER:
                put64(out, ((const uint32_t *)data)[row]);
                return;
        case LEAT_T_BIGINT:
        case LEAT_T_DOUBLE:
        case LEAT_T_TIME:
                put64(out, ((const int64_t *)data)[row]);
                return;
        case LEAT_T_TIMESTAMP:
        case LEAT_T_TIMESTAMPTZ:
                put64(out, pg_time(((const int64_t *)data)[row]));
                return;
        case LEAT_T_DATE:
                put32(out, pg_date(((const int32_t *)data)[row]));
                return;
        case LEAT_T_UBIGINT:
                numeric_put(false, ((const uint64_t *)data)[row], 0, out);
                return;
        case LEAT_T_HUGEINT:
                numeric_signed(int128_at(data, row), 0, out);
                return;
        case LEAT_T_UHUGEINT:
                numeric_put(false, (unsigned __int128)int128_at(data, row), 0, out);
                return;
        case LEAT_T_DECIMAL:
                decimal_put(col, row, out);
                return;
        case LEAT_T_INTERVAL:
                interval_put(col, row, out);
                return;
        case LEAT_T_UUID:
                uuid_put(col, row, out);
                return;
        case LEAT_T_LIST:
                list_put(col, row, out);
                return;
        case LEAT_T_VARCHAR:
        case LEAT_T_BLOB: {
                struct leat_view view = leat_string_view((const struct leat_string *)data + row);
                leat_buf_be32(out, (uint32_t)view.len);
                leat_buf_add_view(out, view);
                return;
        }
        default:
                text_put(col, row, NULL, out);
                return;
        }
}

void leat_pg_value_put(const struct leat_column *col, uint32_t row, bool binary, const struct leat_zone *zone,
                       struct leat_buf *out)
{
        if (!leat_column_valid(col, row))
                leat_buf_be32(out, (uint32_t)-1);
        else if (binary)
                binary_put(col, row, out);
        else
                text_put(col, row, zone, out);
}

static int binary_get(struct leat_arena *arena, struct leat_view bytes, const struct leat_type *type,
                      struct leat_column *col, struct leat_error *err)
{
        int16_t want = leat_pg_type_len(type);
        if (want >= 0 && bytes.len != (size_t)want)
                return leat_error_set(err, LEAT_EPROTO, "incorrect binary data format: %zu bytes, %d expected",
                                      bytes.len, want);
        uint8_t *to = leat_arena_zalloc(arena, 16);
        col->type = *type;
        col->data = to;
        switch ((enum leat_type_id)type->id) {
        case LEAT_T_BOOLEAN:
                to[0] = bytes.data[0] != 0;
                return 0;
        case LEAT_T_SMALLINT: {
                uint16_t v = leat_get_be16(bytes.data);
                memcpy(to, &v, 2);
                return 0;
        }
        case LEAT_T_INTEGER:
        case LEAT_T_FLOAT: {
                uint32_t v = leat_get_be32(bytes.data);
                memcpy(to, &v, 4);
                return 0;
        }
        case LEAT_T_BIGINT:
        case LEAT_T_DOUBLE:
        case LEAT_T_TIME: {
                uint64_t v = leat_get_be64(bytes.data);
                if (type->id == LEAT_T_TIME && v > DAY_US) /* 24:00:00 is a time */
                        return leat_error_set(err, LEAT_ERANGE, "time out of range");
                memcpy(to, &v, 8);
                return 0;
        }
        case LEAT_T_DATE: {
                int32_t v;
                LEAT_TRY(date_get(bytes, &v, err));
                memcpy(to, &v, 4);
                return 0;
        }
        case LEAT_T_TIMESTAMP:
        case LEAT_T_TIMESTAMPTZ: {
                int64_t v;
                LEAT_TRY(time_get(bytes, &v, err));
                memcpy(to, &v, 8);
                return 0;
        }
        case LEAT_T_UUID: {
                unsigned __int128 v =
                        ((unsigned __int128)leat_get_be64(bytes.data) << 64) | leat_get_be64(bytes.data + 8);
                v ^= (unsigned __int128)1 << 127;
                memcpy(to, &v, 16);
                return 0;
        }
        case LEAT_T_INTERVAL: {
                int64_t us = (int64_t)leat_get_be64(bytes.data);
                int32_t days = (int32_t)leat_get_be32(bytes.data + 8), months = (int32_t)leat_get_be32(bytes.data + 12);
                memcpy(to, &months, 4);
                memcpy(to + 4, &days, 4);
                memcpy(to + 8, &us, 8);
                return 0;
        }
        case LEAT_T_BLOB: {
                struct leat_string s = leat_string_borrow(bytes);
                memcpy(to, &s, sizeof s);
                return 0;
        }
        default:
                return leat_error_set(err, LEAT_EINTERNAL, "type %u has no binary form", type->id);
        }
}

/* Types whose binary form is not their text: they become columns of their own. The rest is text for the engine. */
static bool has_binary(const struct leat_type *type)
{
        switch ((enum leat_type_id)type->id) {
        case LEAT_T_BOOLEAN:
        case LEAT_T_SMALLINT:
        case LEAT_T_INTEGER:
        case LEAT_T_BIGINT:
        case LEAT_T_FLOAT:
        case LEAT_T_DOUBLE:
        case LEAT_T_DATE:
        case LEAT_T_TIME:
        case LEAT_T_TIMESTAMP:
        case LEAT_T_TIMESTAMPTZ:
        case LEAT_T_INTERVAL:
        case LEAT_T_UUID:
        case LEAT_T_BLOB:
                return true;
        default:
                return false;
        }
}

int leat_pg_value_get(struct leat_arena *arena, struct leat_view bytes, bool is_null, bool binary, uint32_t oid,
                      const struct leat_type *type, struct leat_column *ret_col, struct leat_error *err)
{
        memset(ret_col, 0, sizeof *ret_col);
        if (!is_null && binary && has_binary(type))
                return binary_get(arena, bytes, type, ret_col, err);
        if (!is_null && binary && oid != 0 && oid != 1700 && type->id == LEAT_T_INVALID)
                return leat_error_set(err, LEAT_EUNSUPPORTED,
                                      "binary parameters of type oid %u are not supported: send text", oid);
        struct leat_string *s = leat_arena_zalloc(arena, sizeof *s);
        ret_col->type = leat_type_of(!is_null && type->id == LEAT_T_BLOB ? LEAT_T_BLOB : LEAT_T_VARCHAR);
        ret_col->data = s;
        if (is_null) {
                leat_column_make_validity(arena, ret_col, 1);
                leat_column_set_null(ret_col, 0);
                return 0;
        }
        LEAT_TRY(leat_pg_param_text(arena, bytes, binary, oid, type, &bytes, err));
        *s = leat_string_borrow(bytes);
        return 0;
}

/* ---- COPY ------------------------------------------------------------------- */
static void copy_text(struct leat_view text, char delimiter, struct leat_buf *out)
{
        static const char special[] = "\b\f\n\r\t\v\\", letters[] = "bfnrtv\\";
        for (size_t i = 0; i < text.len; i++) {
                char c = (char)text.data[i];
                const char *at = c == '\0' ? NULL : strchr(special, c);
                if (at != NULL || c == delimiter)
                        leat_buf_u8(out, '\\');
                leat_buf_u8(out, (uint8_t)(at != NULL ? letters[at - special] : c));
        }
}

/* @null: what stands for NULL; a value that looks the same is quoted. */
static void copy_csv(struct leat_view text, char delimiter, const char *null, struct leat_buf *out)
{
        bool quote = leat_view_eq_str(text, null) || leat_view_eq_str(text, "\\.");
        for (size_t i = 0; i < text.len && !quote; i++) {
                char c = (char)text.data[i];
                quote = c == delimiter || c == '"' || c == '\r' || c == '\n';
        }
        if (!quote) {
                leat_buf_add_view(out, text);
                return;
        }
        leat_buf_u8(out, '"');
        for (size_t i = 0; i < text.len; i++) {
                if (text.data[i] == '"')
                        leat_buf_u8(out, '"');
                leat_buf_u8(out, text.data[i]);
        }
        leat_buf_u8(out, '"');
}

static void copy_cell(const struct leat_pg_desc *desc, struct leat_view text, struct leat_buf *out)
{
        if (desc->copy_csv)
                copy_csv(text, desc->copy_delimiter, desc->copy_null == NULL ? "" : desc->copy_null, out);
        else
                copy_text(text, desc->copy_delimiter, out);
}

void leat_pg_copy_row(const struct leat_pg_desc *desc, const struct leat_batch *batch, uint32_t row,
                      const struct leat_zone *zone, struct leat_buf *out)
{
        const char *null = desc->copy_null != NULL ? desc->copy_null : desc->copy_csv ? "" : "\\N";
        struct leat_buf cell = LEAT_BUF_INIT;
        for (uint32_t c = 0; c < batch->column_count; c++) {
                const struct leat_column *col = &batch->columns[c];
                if (c != 0)
                        leat_buf_u8(out, (uint8_t)desc->copy_delimiter);
                if (!leat_column_valid(col, row)) {
                        leat_buf_add_str(out, null);
                        continue;
                }
                leat_buf_clear(&cell);
                if (col->type.id == LEAT_T_STRUCT)
                        leat_column_json(col, row, &cell);
                else
                        (void)leat_column_print_in(col, row, zone, &cell);
                copy_cell(desc, leat_buf_view(&cell), out);
        }
        leat_buf_u8(out, '\n');
        leat_buf_done(&cell);
}

void leat_pg_copy_header(const struct leat_pg_desc *desc, struct leat_buf *out)
{
        for (uint32_t c = 0; c < desc->column_count; c++) {
                if (c != 0)
                        leat_buf_u8(out, (uint8_t)desc->copy_delimiter);
                copy_cell(desc, leat_view_str(desc->names[c]), out);
        }
        leat_buf_u8(out, '\n');
}
