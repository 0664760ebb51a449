/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/sql: tokens of SQL text, as PostgreSQL and DuckDB cut them.
 *
 * Purpose  finds the ends of statements and the words of our own grammar, and
 *          never looks into what DuckDB will parse: strings of all kinds,
 *          quoted names, nested comments, numbers, parameters, operators.
 * Failure  text is hostile: every read is inside the view; what has no end is
 *          an error at its start.
 */
#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#include "sql_parse_int.h"

int leat_sql_position(struct leat_view text, size_t byte)
{
        int chars = 1;
        for (size_t i = 0; i < byte && i < text.len; i++)
                chars += (text.data[i] & 0xC0) != 0x80;
        return chars;
}

int leat_sql_fail(struct leat_view text, uint32_t byte, struct leat_error *err, int code, const char *fmt, ...)
{
        char message[sizeof err->message];
        va_list args;
        va_start(args, fmt);
        vsnprintf(message, sizeof message, fmt, args);
        va_end(args);
        leat_error_set(err, code, "%s", message);
        if (err != NULL)
                err->position = leat_sql_position(text, byte);
        return code;
}

static bool name_start(uint8_t c)
{
        return isalpha(c) || c == '_' || c >= 0x80;
}
static bool name_part(uint8_t c)
{
        return isalnum(c) || c == '_' || c == '$' || c >= 0x80;
}

static uint8_t peek(struct leat_view text, uint32_t at)
{
        return at < text.len ? text.data[at] : 0;
}

/* Skips space and comments; false when a block comment has no end (*io_at is its start then). */
static bool skip_space(struct leat_view text, uint32_t *io_at)
{
        uint32_t at = *io_at;
        for (;;) {
                while (at < text.len && (isspace(text.data[at]) || text.data[at] == 0))
                        at++;
                if (peek(text, at) == '-' && peek(text, at + 1) == '-') {
                        while (at < text.len && text.data[at] != '\n')
                                at++;
                } else if (peek(text, at) == '/' && peek(text, at + 1) == '*') {
                        uint32_t start = at, depth = 0;
                        do {
                                bool open = peek(text, at) == '/' && peek(text, at + 1) == '*';
                                bool close = peek(text, at) == '*' && peek(text, at + 1) == '/';
                                depth += open;
                                depth -= close;
                                at += open || close ? 2 : 1;
                        } while (depth != 0 && at < text.len);
                        if (depth != 0) {
                                *io_at = start;
                                return false;
                        }
                } else {
                        break;
                }
        }
        *io_at = at;
        return true;
}

/* The end behind the closing @quote of what begins at @at (its opening quote); 0 when there is none. */
static uint32_t quoted_end(struct leat_view text, uint32_t at, uint8_t quote, bool backslash)
{
        for (at++; at < text.len; at++) {
                if (backslash && text.data[at] == '\\') {
                        at++;
                } else if (text.data[at] == quote) {
                        if (peek(text, at + 1) != quote)
                                return at + 1;
                        at++;
                }
        }
        return 0;
}

/* The length of a dollar quote's tag with both dollars at @at, 0 when there is none. */
static uint32_t dollar_tag(struct leat_view text, uint32_t at)
{
        uint32_t end = at + 1;
        if (name_start(peek(text, end)))
                while (isalnum(peek(text, end)) || peek(text, end) == '_' || peek(text, end) >= 0x80)
                        end++;
        return peek(text, end) == '$' ? end + 1 - at : 0;
}

static uint32_t dollar_end(struct leat_view text, uint32_t at, uint32_t tag)
{
        for (uint32_t i = at + tag; i + tag <= text.len; i++) {
                if (memcmp(text.data + i, text.data + at, tag) == 0)
                        return i + tag;
        }
        return 0;
}

static uint32_t number_end(struct leat_view text, uint32_t at)
{
        if (peek(text, at) == '0' && strchr("xXbBoO", peek(text, at + 1)) != NULL && isxdigit(peek(text, at + 2))) {
                at += 2;
                while (isxdigit(peek(text, at)) || peek(text, at) == '_')
                        at++;
                return at;
        }
        while (isdigit(peek(text, at)) || peek(text, at) == '_')
                at++;
        if (peek(text, at) == '.' && peek(text, at + 1) != '.') {
                at++;
                while (isdigit(peek(text, at)) || peek(text, at) == '_')
                        at++;
        }
        uint32_t e = at;
        if (peek(text, e) == 'e' || peek(text, e) == 'E') {
                e++;
                if (peek(text, e) == '+' || peek(text, e) == '-')
                        e++;
                if (isdigit(peek(text, e))) {
                        while (isdigit(peek(text, e)))
                                e++;
                        at = e;
                }
        }
        return at;
}

static const char operator_chars[] = "+-*/<>=~!@#%^&|`?:";

/* Operators of several characters stay together, but a comment inside ends them. */
static uint32_t operator_end(struct leat_view text, uint32_t at)
{
        uint32_t start = at;
        if (strchr(operator_chars, text.data[at]) == NULL)
                return at + 1;
        while (at < text.len && text.data[at] != 0 && strchr(operator_chars, text.data[at]) != NULL) {
                bool comment = (text.data[at] == '-' && peek(text, at + 1) == '-') ||
                               (text.data[at] == '/' && peek(text, at + 1) == '*');
                if (comment && at > start)
                        break;
                at++;
        }
        return at;
}

static int unterminated(struct leat_view text, uint32_t at, const char *what, struct leat_error *err)
{
        return leat_sql_fail(text, at, err, LEAT_ESYNTAX, "unterminated %s", what);
}

static int set_token(struct sql_token *token, uint8_t kind, uint32_t start, uint32_t end, uint32_t *io_at)
{
        *token = (struct sql_token){.kind = kind, .start = start, .len = end - start};
        *io_at = end;
        return 0;
}

static int dollar_token(struct leat_view text, uint32_t at, uint32_t *io_at, struct sql_token *token,
                        struct leat_error *err)
{
        uint32_t tag = dollar_tag(text, at), end = at + 1;
        if (tag != 0) {
                end = dollar_end(text, at, tag);
                if (end == 0)
                        return unterminated(text, at, "dollar-quoted string", err);
                return set_token(token, TOKEN_STRING, at, end, io_at);
        }
        while (name_part(peek(text, end)) && peek(text, end) != '$')
                end++;
        return set_token(token, end > at + 1 ? TOKEN_PARAM : TOKEN_OP, at, end, io_at);
}

int leat_sql_token_next(struct leat_view text, uint32_t *io_at, struct sql_token *ret_token, struct leat_error *err)
{
        uint32_t at = *io_at, end;
        if (!skip_space(text, &at))
                return unterminated(text, at, "comment", err);
        if (at >= text.len)
                return set_token(ret_token, TOKEN_END, (uint32_t)text.len, (uint32_t)text.len, io_at);
        uint8_t c = text.data[at], next = peek(text, at + 1);
        if (c == '\'' || ((c == 'e' || c == 'E' || c == 'x' || c == 'X' || c == 'b' || c == 'B') && next == '\'') ||
            ((c == 'u' || c == 'U') && next == '&' && peek(text, at + 2) == '\'')) {
                uint32_t quote = at;
                while (text.data[quote] != '\'')
                        quote++;
                end = quoted_end(text, quote, '\'', c == 'e' || c == 'E');
                return end != 0 ? set_token(ret_token, TOKEN_STRING, at, end, io_at)
                                : unterminated(text, at, "quoted string", err);
        }
        if (c == '"') {
                end = quoted_end(text, at, '"', false);
                return end != 0 ? set_token(ret_token, TOKEN_QUOTED, at, end, io_at)
                                : unterminated(text, at, "quoted identifier", err);
        }
        if (c == '$')
                return dollar_token(text, at, io_at, ret_token, err);
        if (name_start(c)) {
                for (end = at; name_part(peek(text, end)) && end < text.len;)
                        end++;
                return set_token(ret_token, TOKEN_WORD, at, end, io_at);
        }
        if (isdigit(c) || (c == '.' && isdigit(next)))
                return set_token(ret_token, TOKEN_NUMBER, at, number_end(text, at), io_at);
        return set_token(ret_token, TOKEN_OP, at, operator_end(text, at), io_at);
}

int leat_sql_tokens(struct leat_arena *arena, struct leat_view text, uint32_t from, uint32_t to, bool stop_semicolon,
                    struct sql_token **ret_tokens, uint32_t *ret_count, struct leat_error *err)
{
        struct leat_view part = leat_view_of(text.data, to);
        uint32_t cap = 64, count = 0;
        struct sql_token *tokens = leat_arena_alloc(arena, cap * sizeof *tokens);
        for (;;) {
                if (count == cap) {
                        struct sql_token *more = leat_arena_alloc(arena, 2 * (size_t)cap * sizeof *more);
                        memcpy(more, tokens, cap * sizeof *more);
                        tokens = more;
                        cap *= 2;
                }
                LEAT_TRY(leat_sql_token_next(part, &from, &tokens[count], err));
                if (stop_semicolon && leat_sql_token_op(text, &tokens[count], ';'))
                        tokens[count].kind = TOKEN_END;
                if (tokens[count].kind == TOKEN_END)
                        break;
                count++;
        }
        *ret_tokens = tokens;
        *ret_count = count;
        return 0;
}

bool leat_sql_token_is(struct leat_view text, const struct sql_token *token, const char *word)
{
        return token->kind == TOKEN_WORD && token->len == strlen(word) &&
               strncasecmp((const char *)text.data + token->start, word, token->len) == 0;
}

bool leat_sql_token_op(struct leat_view text, const struct sql_token *token, char op)
{
        return token->kind == TOKEN_OP && token->len == 1 && text.data[token->start] == (uint8_t)op;
}

/* Escapes of E'…': \n, \t, \\, \', \xHH, \OOO, \uXXXX; others stand for themselves. */
static size_t decode_escape(const char *from, size_t len, char *out, size_t *out_len)
{
        static const char names[] = "bfnrt", values[] = "\b\f\n\r\t";
        const char *known = from[1] != 0 ? strchr(names, from[1]) : NULL;
        char digits[5] = {0};
        if (known != NULL) {
                out[(*out_len)++] = values[known - names];
                return 2;
        }
        if (from[1] == 'x' && len > 2 && isxdigit((uint8_t)from[2])) {
                size_t n = len > 3 && isxdigit((uint8_t)from[3]) ? 2 : 1;
                memcpy(digits, from + 2, n);
                out[(*out_len)++] = (char)strtol(digits, NULL, 16);
                return 2 + n;
        }
        if (from[1] == 'u' && len > 5) {
                memcpy(digits, from + 2, 4);
                long c = strtol(digits, NULL, 16);
                if (c < 0x80) {
                        out[(*out_len)++] = (char)c;
                } else if (c < 0x800) {
                        out[(*out_len)++] = (char)(0xC0 | c >> 6);
                        out[(*out_len)++] = (char)(0x80 | (c & 63));
                } else {
                        out[(*out_len)++] = (char)(0xE0 | c >> 12);
                        out[(*out_len)++] = (char)(0x80 | (c >> 6 & 63));
                        out[(*out_len)++] = (char)(0x80 | (c & 63));
                }
                return 6;
        }
        if (from[1] >= '0' && from[1] <= '7') {
                size_t n = 0;
                while (n < 3 && n + 1 < len && from[1 + n] >= '0' && from[1 + n] <= '7')
                        n++;
                memcpy(digits, from + 1, n);
                out[(*out_len)++] = (char)strtol(digits, NULL, 8);
                return 1 + n;
        }
        out[(*out_len)++] = from[1];
        return 2;
}

static char *string_value(struct leat_arena *arena, const char *from, size_t len)
{
        char *out = leat_arena_alloc(arena, len + 1);
        size_t out_len = 0;
        bool escapes = from[0] == 'e' || from[0] == 'E';
        if (from[0] == '$') {
                size_t tag = 1;
                while (from[tag] != '$')
                        tag++;
                tag++;
                return leat_arena_strndup(arena, from + tag, len - 2 * tag);
        }
        while (*from != '\'') {
                from++;
                len--;
        }
        for (size_t i = 1; i + 1 < len;) {
                if (from[i] == '\'') {
                        out[out_len++] = '\'';
                        i += 2;
                } else if (escapes && from[i] == '\\') {
                        i += decode_escape(from + i, len - 1 - i, out, &out_len);
                } else {
                        out[out_len++] = from[i++];
                }
        }
        out[out_len] = 0;
        return out;
}

char *leat_sql_token_value(struct leat_arena *arena, struct leat_view text, const struct sql_token *token, bool fold)
{
        const char *from = (const char *)text.data + token->start;
        if (token->kind == TOKEN_STRING)
                return string_value(arena, from, token->len);
        char *out = leat_arena_strndup(arena, from, token->len);
        if (token->kind == TOKEN_QUOTED) {
                size_t len = 0;
                for (uint32_t i = 1; i + 1 < token->len; i++) {
                        out[len++] = from[i];
                        if (from[i] == '"')
                                i++;
                }
                out[len] = 0;
        } else if (fold) {
                for (char *c = out; *c != 0; c++)
                        *c = (char)tolower((uint8_t)*c);
        }
        return out;
}

bool leat_sql_incomplete(struct leat_view text)
{
        struct sql_token token;
        uint32_t at = 0;
        bool open = false;
        int depth = 0;
        if (text.len > LEAT_SQL_TEXT_MAX)
                return false;
        for (;;) {
                if (leat_sql_token_next(text, &at, &token, NULL) != 0)
                        return true;
                if (token.kind == TOKEN_END)
                        return open;
                depth += leat_sql_token_op(text, &token, '(');
                depth -= leat_sql_token_op(text, &token, ')');
                open = !leat_sql_token_op(text, &token, ';') || depth > 0;
        }
}

void leat_sql_quote_text(struct leat_buf *out, struct leat_view text)
{
        leat_buf_u8(out, '\'');
        for (size_t i = 0; i < text.len; i++) {
                if (text.data[i] == '\'')
                        leat_buf_u8(out, '\'');
                leat_buf_u8(out, text.data[i]);
        }
        leat_buf_u8(out, '\'');
}

/* Words that DuckDB or our grammar would not take as a name. */
static bool reserved(const char *name)
{
        static const char *const words[] = {
                "all",     "analyse",   "analyze",  "and",       "any",     "array",      "as",     "asc",
                "between", "both",      "by",       "case",      "cast",    "check",      "column", "create",
                "default", "desc",      "distinct", "do",        "else",    "end",        "except", "exists",
                "false",   "for",       "foreign",  "from",      "grant",   "group",      "having", "in",
                "inner",   "intersect", "interval", "into",      "is",      "join",       "key",    "left",
                "like",    "limit",     "natural",  "not",       "null",    "offset",     "on",     "or",
                "order",   "outer",     "pivot",    "primary",   "qualify", "references", "right",  "select",
                "set",     "some",      "table",    "then",      "to",      "true",       "union",  "unique",
                "unpivot", "using",     "values",   "watermark", "when",    "where",      "window", "with",
        };
        for (size_t i = 0; i < LEAT_ARRAY_LEN(words); i++) {
                if (strcasecmp(words[i], name) == 0)
                        return true;
        }
        return false;
}

void leat_sql_quote_name(struct leat_buf *out, const char *name)
{
        bool plain = (islower((uint8_t)name[0]) || name[0] == '_') && !reserved(name);
        for (const char *c = name; *c != 0 && plain; c++)
                plain = islower((uint8_t)*c) || isdigit((uint8_t)*c) || *c == '_';
        if (plain) {
                leat_buf_add_str(out, name);
                return;
        }
        leat_buf_u8(out, '"');
        for (const char *c = name; *c != 0; c++) {
                if (*c == '"')
                        leat_buf_u8(out, '"');
                leat_buf_u8(out, (uint8_t)*c);
        }
        leat_buf_u8(out, '"');
}
