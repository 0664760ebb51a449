/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/api: values of PostgreSQL's text format as JSON. Numbers that JavaScript
 * would round (over 15 digits) and those that JSON does not have (NaN) stay text.
 */
#include "api_int.h"

#include <stdio.h>

enum {
        OID_BOOL = 16,
        OID_INT8 = 20,
        OID_INT2 = 21,
        OID_INT4 = 23,
        OID_OID = 26,
        OID_FLOAT4 = 700,
        OID_FLOAT8 = 701,
        OID_NUMERIC = 1700
};

static const struct {
        uint32_t type;
        const char *name;
} TYPES[] = {
        {16, "boolean"},     {17, "bytea"},        {18, "char"},        {19, "name"},          {20, "bigint"},
        {21, "smallint"},    {23, "integer"},      {25, "text"},        {26, "oid"},           {114, "json"},
        {700, "real"},       {701, "double"},      {705, "unknown"},    {1042, "char"},        {1043, "varchar"},
        {1082, "date"},      {1083, "time"},       {1114, "timestamp"}, {1184, "timestamptz"}, {1186, "interval"},
        {1266, "timetz"},    {1560, "bit"},        {1700, "numeric"},   {2950, "uuid"},        {3802, "jsonb"},
        {1000, "boolean[]"}, {1005, "smallint[]"}, {1007, "integer[]"}, {1016, "bigint[]"},    {1009, "text[]"},
        {1021, "real[]"},    {1022, "double[]"},   {1231, "numeric[]"}, {1115, "timestamp[]"}, {1185, "timestamptz[]"},
        {1182, "date[]"},    {2951, "uuid[]"},     {1015, "varchar[]"},
};

const char *leat_api_type_name(uint32_t type, char scratch[24])
{
        for (size_t i = 0; i < LEAT_ARRAY_LEN(TYPES); i++) {
                if (TYPES[i].type == type)
                        return TYPES[i].name;
        }
        snprintf(scratch, 24, "oid %u", type);
        return scratch;
}

static size_t digits(const uint8_t *at, const uint8_t *end)
{
        const uint8_t *from = at;
        while (at < end && *at >= '0' && *at <= '9')
                at++;
        return (size_t)(at - from);
}

/* -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)? with at most @max digits before the exponent */
static bool is_number(struct leat_view text, size_t max)
{
        const uint8_t *at = text.data, *end = text.data + text.len;
        if (at < end && *at == '-')
                at++;
        size_t whole = digits(at, end), part = 0;
        if (whole == 0 || (whole > 1 && *at == '0'))
                return false;
        at += whole;
        if (at < end && *at == '.') {
                part = digits(at + 1, end);
                if (part == 0)
                        return false;
                at += 1 + part;
        }
        if (at < end && (*at == 'e' || *at == 'E')) {
                at++;
                if (at < end && (*at == '+' || *at == '-'))
                        at++;
                size_t power = digits(at, end);
                if (power == 0)
                        return false;
                at += power;
        }
        return at == end && whole + part <= max;
}

void leat_api_value_json(struct leat_buf *out, uint32_t type, struct leat_view value)
{
        if (!value.data) {
                leat_buf_add_str(out, "null");
                return;
        }
        switch (type) {
        case OID_BOOL:
                leat_buf_add_str(out, leat_view_eq_str(value, "t") ? "true" : "false");
                return;
        case OID_INT2:
        case OID_INT4:
        case OID_INT8:
        case OID_OID:
        case OID_NUMERIC:
                if (is_number(value, 15)) {
                        leat_buf_add_view(out, value);
                        return;
                }
                break;
        case OID_FLOAT4:
        case OID_FLOAT8:
                if (is_number(value, 400)) {
                        leat_buf_add_view(out, value);
                        return;
                }
                break;
        default:
                break;
        }
        leat_buf_json_str(out, value);
}

static void field_json(struct leat_buf *out, const char *name, const char *text)
{
        if (text[0] == '\0')
                return;
        leat_buf_printf(out, ",\"%s\":", name);
        leat_buf_json_str(out, leat_view_str(text));
}

void leat_api_error_json(struct leat_buf *out, const struct api_pg_error *error)
{
        leat_buf_add_str(out, "{\"message\":");
        leat_buf_json_str(out, leat_view_str(error->message));
        field_json(out, "sqlstate", error->sqlstate);
        if (error->position > 0)
                leat_buf_printf(out, ",\"position\":%d", error->position);
        field_json(out, "hint", error->hint);
        field_json(out, "detail", error->detail);
        leat_buf_add_str(out, "}");
}

int leat_api_error_status(const struct api_pg_error *error)
{
        static const struct {
                const char *prefix;
                int status;
        } STATUS[] = {
                {"08", 503},    {"57014", 409}, {"57", 503}, {"53100", 507}, {"53", 503}, {"55", 409},
                {"42501", 403}, {"28", 403},    {"58", 500}, {"XX", 500},    {"", 400},
        };
        for (size_t i = 0;; i++) {
                if (strncmp(error->sqlstate, STATUS[i].prefix, strlen(STATUS[i].prefix)) == 0)
                        return STATUS[i].status;
        }
}

void leat_api_error_respond(struct leat_http_req *req, const struct api_pg_error *error, bool is_address)
{
        struct leat_buf body = LEAT_BUF_INIT;
        bool is_unknown = strcmp(error->sqlstate, "42P01") == 0 || strcmp(error->sqlstate, "42704") == 0;
        leat_buf_add_str(&body, "{\"error\":");
        leat_api_error_json(&body, error);
        leat_buf_add_str(&body, "}\n");
        leat_http_respond(req, is_address && is_unknown ? 404 : leat_api_error_status(error), "application/json",
                          &body);
}

static void quoted(struct leat_buf *out, uint8_t quote, const char *text)
{
        leat_buf_u8(out, quote);
        for (; *text; text++) {
                if ((uint8_t)*text == quote)
                        leat_buf_u8(out, quote);
                leat_buf_u8(out, (uint8_t)*text);
        }
        leat_buf_u8(out, quote);
}

void leat_api_sql_literal(struct leat_buf *out, const char *text)
{
        quoted(out, '\'', text);
}

void leat_api_sql_name(struct leat_buf *out, const char *text)
{
        quoted(out, '"', text);
}

/* ---- COPY ---- */

static uint8_t unescape(uint8_t c)
{
        switch (c) {
        case 'b':
                return '\b';
        case 'f':
                return '\f';
        case 'n':
                return '\n';
        case 'r':
                return '\r';
        case 't':
                return '\t';
        case 'v':
                return '\v';
        default:
                return c;
        }
}

int leat_api_copy_split(struct leat_view line, struct leat_buf *scratch, struct leat_view *fields, int max)
{
        if (line.len > 0 && line.data[line.len - 1] == '\n')
                line.len--;
        leat_buf_clear(scratch);
        uint8_t *out = leat_buf_reserve(scratch, line.len + 1); /* decoding never makes it longer */
        size_t at = 0;
        for (int count = 0;; count++) {
                if (count == max)
                        return -1;
                const uint8_t *from = out;
                size_t start = at;
                while (at < line.len && line.data[at] != '\t') {
                        uint8_t c = line.data[at++];
                        if (c == '\\' && at < line.len)
                                c = unescape(line.data[at++]);
                        *out++ = c;
                }
                bool is_null = at - start == 2 && line.data[start] == '\\' && line.data[start + 1] == 'N';
                fields[count] = is_null ? leat_view_of(NULL, 0) : leat_view_of(from, (size_t)(out - from));
                if (at == line.len)
                        return count + 1;
                at++;
        }
}
