/* SPDX-License-Identifier: Apache-2.0 */
/* leat/sql: tokens and the statement parser, inside. */
#ifndef LEAT_SQL_PARSE_INT_H
#define LEAT_SQL_PARSE_INT_H

#include "leat/sql.h"

#define LEAT_SQL_TEXT_MAX (1u << 20)

enum sql_token_kind {
        TOKEN_END = 0,
        TOKEN_WORD,   /* name or keyword, unquoted */
        TOKEN_QUOTED, /* "name" */
        TOKEN_STRING, /* '…', E'…', $tag$…$tag$; also x'…', b'…', U&'…' */
        TOKEN_NUMBER,
        TOKEN_PARAM, /* $1, $name */
        TOKEN_OP,    /* everything else, one operator or one character */
};

struct sql_token {
        uint8_t kind;
        uint32_t start, len;
};

/* Reads the next token at or behind *io_at; comments and space are skipped. LEAT_ESYNTAX for what has no end. */
int leat_sql_token_next(struct leat_view text, uint32_t *io_at, struct sql_token *ret_token,
                        struct leat_error *err) LEAT_NODISCARD;
/* All tokens of [@from, @to), with a TOKEN_END behind them (not counted). @stop_semicolon ends at the first ";". */
int leat_sql_tokens(struct leat_arena *arena, struct leat_view text, uint32_t from, uint32_t to, bool stop_semicolon,
                    struct sql_token **ret_tokens, uint32_t *ret_count, struct leat_error *err) LEAT_NODISCARD;
bool leat_sql_token_is(struct leat_view text, const struct sql_token *token, const char *word);
bool leat_sql_token_op(struct leat_view text, const struct sql_token *token, char op);
/* The value of a STRING (escapes decoded), the name of a QUOTED or WORD (@fold: WORD in lower case). */
char *leat_sql_token_value(struct leat_arena *arena, struct leat_view text, const struct sql_token *token, bool fold);
int leat_sql_fail(struct leat_view text, uint32_t byte, struct leat_error *err, int code, const char *fmt, ...)
        LEAT_PRINTF(5, 6);

struct sql_parser {
        struct leat_arena *arena;
        struct leat_view text;
        const struct sql_token *tokens;
        uint32_t count, at;
        uint32_t depth; /* of inner statements */
        struct leat_stmt *stmt;
        struct leat_error *err;
};

static inline const struct sql_token *sql_peek(const struct sql_parser *p, uint32_t ahead)
{
        return &p->tokens[p->at + ahead < p->count ? p->at + ahead : p->count];
}
static inline bool sql_at_end(const struct sql_parser *p)
{
        return p->at >= p->count;
}
static inline bool sql_is(const struct sql_parser *p, uint32_t ahead, const char *word)
{
        return leat_sql_token_is(p->text, sql_peek(p, ahead), word);
}
static inline bool sql_is_op(const struct sql_parser *p, uint32_t ahead, char op)
{
        return leat_sql_token_op(p->text, sql_peek(p, ahead), op);
}
bool leat_sql_accept(struct sql_parser *p, const char *word);
bool leat_sql_accept_op(struct sql_parser *p, char op);
int leat_sql_expect(struct sql_parser *p, const char *word) LEAT_NODISCARD;
int leat_sql_expect_op(struct sql_parser *p, char op) LEAT_NODISCARD;
/* Error at the current token: syntax error at or near "…". */
int leat_sql_unexpected(struct sql_parser *p, const char *wanted);
int leat_sql_expect_end(struct sql_parser *p) LEAT_NODISCARD;
/* One name (folded unless quoted when @fold). */
int leat_sql_name(struct sql_parser *p, bool fold, const char *what, const char **ret_name,
                  struct leat_span *ret_at) LEAT_NODISCARD;
/* A relation's name, "public." in front allowed. */
int leat_sql_relation_name(struct sql_parser *p, const char *what) LEAT_NODISCARD;
int leat_sql_string(struct sql_parser *p, const char *what, const char **ret_text) LEAT_NODISCARD;
/* Skips to the ")" that closes the "(" before the current token, returns what is between; at = behind ")". */
int leat_sql_parens(struct sql_parser *p, struct leat_span *ret_inside) LEAT_NODISCARD;
/* ( name = value, … ) */
int leat_sql_option_list(struct sql_parser *p) LEAT_NODISCARD;
/* INTERVAL '…' | '…' as microseconds. */
int leat_sql_interval(struct sql_parser *p, int64_t *ret_us) LEAT_NODISCARD;
/* The rest as query text, EMIT at its end taken off. */
int leat_sql_body(struct sql_parser *p, bool emit_allowed) LEAT_NODISCARD;
static inline struct leat_span sql_span(const struct sql_token *token)
{
        return (struct leat_span){.start = token->start, .len = token->len};
}

/* What other systems have and Leat does not (sql_refused.c): LEAT_EUNSUPPORTED at the current token when it is such a
 * word behind @verb ("" at the beginning of a statement), and the like for words within a query. */
int leat_sql_refuse(struct sql_parser *p, const char *verb) LEAT_NODISCARD;
int leat_sql_refuse_query(struct sql_parser *p, uint32_t from, uint32_t to, bool insert) LEAT_NODISCARD;

int leat_sql_statement(struct sql_parser *p) LEAT_NODISCARD;
int leat_sql_replay_parse(struct sql_parser *p) LEAT_NODISCARD;
int leat_sql_inner(struct sql_parser *p) LEAT_NODISCARD;
int leat_sql_create(struct sql_parser *p) LEAT_NODISCARD;
int leat_sql_create_dashboard(struct sql_parser *p) LEAT_NODISCARD;
int leat_sql_alter(struct sql_parser *p) LEAT_NODISCARD;
int leat_sql_drop(struct sql_parser *p) LEAT_NODISCARD;
int leat_sql_column_item(struct sql_parser *p, struct leat_sql_column *ret_column, bool *ret_key) LEAT_NODISCARD;
int leat_sql_set(struct sql_parser *p) LEAT_NODISCARD;
int leat_sql_reset(struct sql_parser *p) LEAT_NODISCARD;
int leat_sql_show(struct sql_parser *p) LEAT_NODISCARD;
int leat_sql_copy(struct sql_parser *p) LEAT_NODISCARD;
int leat_sql_declare(struct sql_parser *p) LEAT_NODISCARD;
int leat_sql_fetch(struct sql_parser *p) LEAT_NODISCARD; /* FETCH, MOVE */
int leat_sql_close(struct sql_parser *p) LEAT_NODISCARD;
int leat_sql_transaction(struct sql_parser *p, const char *word) LEAT_NODISCARD;

#endif
