/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/sql: the statement grammar: entry, shared pieces, dispatch.
 *
 * Design   Recursive descent over tokens that are cut once. Only our own
 *          grammar is parsed here; a query is a span of text that DuckDB will
 *          parse. A statement that Leat does not have is refused by its name,
 *          with what to write instead.
 * Memory   everything comes from the caller's arena.
 * Failure  input is bounded to 1 MiB, inner statements to a few levels; no
 *          function recurses by the depth of parentheses.
 */
#include <stdio.h>
#include <strings.h>

#include "sql_parse_int.h"

#define INNER_DEPTH_MAX 4

bool leat_sql_accept(struct sql_parser *p, const char *word)
{
        if (!sql_is(p, 0, word))
                return false;
        p->at++;
        return true;
}

bool leat_sql_accept_op(struct sql_parser *p, char op)
{
        if (!sql_is_op(p, 0, op))
                return false;
        p->at++;
        return true;
}

int leat_sql_unexpected(struct sql_parser *p, const char *wanted)
{
        const struct sql_token *token = sql_peek(p, 0);
        if (token->kind == TOKEN_END)
                leat_sql_fail(p->text, token->start, p->err, LEAT_ESYNTAX, "syntax error at end of input");
        else
                leat_sql_fail(p->text, token->start, p->err, LEAT_ESYNTAX, "syntax error at or near \"%.*s\"",
                              (int)LEAT_MIN(token->len, 100), (const char *)p->text.data + token->start);
        if (wanted != NULL)
                leat_error_hint(p->err, "Expected %s.", wanted);
        return LEAT_ESYNTAX;
}

int leat_sql_expect(struct sql_parser *p, const char *word)
{
        return leat_sql_accept(p, word) ? 0 : leat_sql_unexpected(p, word);
}

int leat_sql_expect_op(struct sql_parser *p, char op)
{
        char wanted[4] = {'"', op, '"', 0};
        return leat_sql_accept_op(p, op) ? 0 : leat_sql_unexpected(p, wanted);
}

int leat_sql_expect_end(struct sql_parser *p)
{
        return sql_at_end(p) ? 0 : leat_sql_unexpected(p, "the end of the statement");
}

int leat_sql_name(struct sql_parser *p, bool fold, const char *what, const char **ret_name, struct leat_span *ret_at)
{
        const struct sql_token *token = sql_peek(p, 0);
        if (token->kind != TOKEN_WORD && token->kind != TOKEN_QUOTED)
                return leat_sql_unexpected(p, what);
        if (token->kind == TOKEN_QUOTED && token->len <= 2)
                return leat_sql_fail(p->text, token->start, p->err, LEAT_ESYNTAX, "zero-length delimited identifier");
        if (token->len > 500)
                return leat_sql_fail(p->text, token->start, p->err, LEAT_EINVAL, "a name of more than 500 bytes");
        *ret_name = leat_sql_token_value(p->arena, p->text, token, fold);
        if (ret_at != NULL)
                *ret_at = sql_span(token);
        p->at++;
        return 0;
}

int leat_sql_relation_name(struct sql_parser *p, const char *what)
{
        struct leat_stmt *stmt = p->stmt;
        LEAT_TRY(leat_sql_name(p, true, what, &stmt->name, &stmt->name_at));
        if (!sql_is_op(p, 0, '.'))
                return 0;
        if (strcmp(stmt->name, "public") != 0) {
                leat_sql_fail(p->text, stmt->name_at.start, p->err, LEAT_ENORELATION, "schema \"%s\" does not exist",
                              stmt->name);
                leat_error_hint(p->err, "All names are in the schema \"public\"; quote a name that has a dot in it.");
                return LEAT_ENORELATION;
        }
        p->at++;
        return leat_sql_name(p, true, what, &stmt->name, &stmt->name_at);
}

int leat_sql_string(struct sql_parser *p, const char *what, const char **ret_text)
{
        const struct sql_token *token = sql_peek(p, 0);
        if (token->kind != TOKEN_STRING)
                return leat_sql_unexpected(p, what);
        *ret_text = leat_sql_token_value(p->arena, p->text, token, false);
        p->at++;
        return 0;
}

int leat_sql_parens(struct sql_parser *p, struct leat_span *ret_inside)
{
        uint32_t start = sql_peek(p, 0)->start, open = 1;
        const struct sql_token *before = p->at != 0 ? &p->tokens[p->at - 1] : sql_peek(p, 0);
        while (!sql_at_end(p)) {
                open += sql_is_op(p, 0, '(');
                open -= sql_is_op(p, 0, ')');
                if (open == 0) {
                        *ret_inside = (struct leat_span){.start = start, .len = sql_peek(p, 0)->start - start};
                        p->at++;
                        return 0;
                }
                p->at++;
        }
        return leat_sql_fail(p->text, before->start, p->err, LEAT_ESYNTAX, "\"(\" without \")\"");
}

int leat_sql_interval(struct sql_parser *p, int64_t *ret_us)
{
        const char *text;
        leat_sql_accept(p, "INTERVAL");
        const struct sql_token *token = sql_peek(p, 0);
        if (token->kind == TOKEN_NUMBER && sql_peek(p, 1)->kind == TOKEN_WORD) {
                text = leat_arena_printf(p->arena, "%.*s %.*s", (int)token->len, p->text.data + token->start,
                                         (int)sql_peek(p, 1)->len, p->text.data + sql_peek(p, 1)->start);
                p->at += 2;
        } else {
                LEAT_TRY(leat_sql_string(p, "a length of time such as INTERVAL '5 seconds'", &text));
        }
        if (!leat_duration_parse(leat_view_str(text), ret_us)) {
                leat_sql_fail(p->text, token->start, p->err, LEAT_EINVAL, "'%s' is no length of time", text);
                leat_error_hint(p->err, "Write for example '250 ms', '5 seconds', '10 minutes' or '7 days'.");
                return LEAT_EINVAL;
        }
        return 0;
}

/* One value of an option: a string, a number with an optional sign and unit, INTERVAL '…' or a word. */
static int option_value(struct sql_parser *p, struct leat_sql_option *option)
{
        leat_sql_accept(p, "INTERVAL");
        const struct sql_token *token = sql_peek(p, 0);
        option->value_at = sql_span(token);
        if (leat_sql_accept_op(p, '-') || leat_sql_accept_op(p, '+')) {
                if (sql_peek(p, 0)->kind != TOKEN_NUMBER)
                        return leat_sql_unexpected(p, "a number");
                option->value_at.len = sql_peek(p, 0)->start + sql_peek(p, 0)->len - token->start;
                option->value =
                        leat_arena_strndup(p->arena, (const char *)p->text.data + token->start, option->value_at.len);
                p->at++;
                return 0;
        }
        if (token->kind != TOKEN_STRING && token->kind != TOKEN_NUMBER && token->kind != TOKEN_WORD)
                return leat_sql_unexpected(p, "a value");
        option->value = leat_sql_token_value(p->arena, p->text, token, true);
        p->at++;
        return 0;
}

int leat_sql_option_list(struct sql_parser *p)
{
        struct leat_sql_option options[32];
        uint32_t count = 0;
        LEAT_TRY(leat_sql_expect_op(p, '('));
        do {
                struct leat_sql_option option = {.value = "true"};
                if (count == LEAT_ARRAY_LEN(options))
                        return leat_sql_unexpected(p, "at most 32 options");
                LEAT_TRY(leat_sql_name(p, true, "the name of an option", &option.name, &option.name_at));
                option.value_at = option.name_at;
                if (leat_sql_accept_op(p, '=') || (!sql_is_op(p, 0, ',') && !sql_is_op(p, 0, ')')))
                        LEAT_TRY(option_value(p, &option));
                for (uint32_t i = 0; i < count; i++) {
                        if (strcmp(options[i].name, option.name) == 0)
                                return leat_sql_fail(p->text, option.name_at.start, p->err, LEAT_ESYNTAX,
                                                     "option \"%s\" is given twice", option.name);
                }
                options[count++] = option;
        } while (leat_sql_accept_op(p, ','));
        LEAT_TRY(leat_sql_expect_op(p, ')'));
        struct leat_sql_option *copy = leat_arena_alloc(p->arena, count * sizeof *copy);
        memcpy(copy, options, count * sizeof *copy);
        p->stmt->options = copy;
        p->stmt->option_count = count;
        return 0;
}

/* EMIT CHANGES | EMIT ON WINDOW CLOSE | EMIT FINAL as the last words: takes them off *io_end. */
static int body_emit(struct sql_parser *p, bool allowed, uint32_t *io_end)
{
        static const struct {
                uint8_t emit;
                const char *words[4];
        } forms[] = {{LEAT_EMIT_CHANGES, {"EMIT", "CHANGES"}},
                     {LEAT_EMIT_ON_WINDOW_CLOSE, {"EMIT", "ON", "WINDOW", "CLOSE"}},
                     {LEAT_EMIT_ON_WINDOW_CLOSE, {"EMIT", "FINAL"}}};
        for (size_t f = 0; f < LEAT_ARRAY_LEN(forms); f++) {
                uint32_t words = forms[f].words[2] == NULL ? 2 : 4, hit = 0;
                if (*io_end < p->at + words + 1)
                        continue;
                while (hit < words &&
                       leat_sql_token_is(p->text, &p->tokens[*io_end - words + hit], forms[f].words[hit]))
                        hit++;
                if (hit != words)
                        continue;
                if (!allowed) {
                        leat_sql_fail(p->text, p->tokens[*io_end - words].start, p->err, LEAT_EUNSUPPORTED,
                                      "EMIT belongs to CREATE MATERIALIZED VIEW");
                        leat_error_hint(p->err,
                                        "Make a view of the query and read it, or COPY (SUBSCRIBE TO view) TO STDOUT.");
                        return LEAT_EUNSUPPORTED;
                }
                p->stmt->emit = forms[f].emit;
                *io_end -= words;
                return 0;
        }
        return 0;
}

static bool starts_query(const struct sql_parser *p)
{
        static const char *const words[] = {"SELECT", "WITH", "VALUES", "FROM", "TABLE"};
        for (size_t i = 0; i < LEAT_ARRAY_LEN(words); i++) {
                if (sql_is(p, 0, words[i]))
                        return true;
        }
        return sql_is_op(p, 0, '(');
}

int leat_sql_body(struct sql_parser *p, bool emit_allowed)
{
        uint32_t end = p->count;
        if (!starts_query(p))
                return leat_sql_unexpected(p, "SELECT");
        LEAT_TRY(body_emit(p, emit_allowed, &end));
        LEAT_TRY(leat_sql_refuse_query(p, p->at, end, p->stmt->kind == LEAT_STMT_INSERT));
        const struct sql_token *last = &p->tokens[end - 1];
        p->stmt->body.start = sql_peek(p, 0)->start;
        p->stmt->body.len = last->start + last->len - p->stmt->body.start;
        p->at = p->count;
        return 0;
}

/* ---- statements ----------------------------------------------------------------------- */
static int parse_insert(struct sql_parser *p)
{
        struct leat_sql_column columns[256];
        uint32_t count = 0;
        p->stmt->kind = LEAT_STMT_INSERT;
        LEAT_TRY(leat_sql_expect(p, "INTO"));
        LEAT_TRY(leat_sql_relation_name(p, "the name of a topic"));
        bool list = sql_is_op(p, 0, '(') &&
                    (sql_peek(p, 1)->kind == TOKEN_WORD || sql_peek(p, 1)->kind == TOKEN_QUOTED) &&
                    (sql_is_op(p, 2, ',') || sql_is_op(p, 2, ')'));
        if (list) {
                p->at++;
                do {
                        if (count == LEAT_ARRAY_LEN(columns))
                                return leat_sql_unexpected(p, "at most 256 columns");
                        columns[count] = (struct leat_sql_column){0};
                        LEAT_TRY(leat_sql_name(p, false, "a column", &columns[count].name, &columns[count].at));
                        count++;
                } while (leat_sql_accept_op(p, ','));
                LEAT_TRY(leat_sql_expect_op(p, ')'));
                struct leat_sql_column *copy = leat_arena_alloc(p->arena, count * sizeof *copy);
                memcpy(copy, columns, count * sizeof *copy);
                p->stmt->columns = copy;
                p->stmt->column_count = count;
        }
        if (sql_is(p, 0, "DEFAULT"))
                return leat_sql_unexpected(p, "VALUES or SELECT; columns that are not named become NULL");
        return leat_sql_body(p, false);
}

int leat_sql_inner(struct sql_parser *p)
{
        struct leat_stmt *inner = leat_arena_zalloc(p->arena, sizeof *inner);
        struct sql_parser sub = *p;
        if (p->depth >= INNER_DEPTH_MAX)
                return leat_sql_unexpected(p, "a statement");
        *inner = (struct leat_stmt){.text = p->text, .watermark_column = -1, .copy_delimiter = '\t'};
        inner->at.start = sql_peek(p, 0)->start;
        inner->at.len = p->stmt->at.start + p->stmt->at.len - inner->at.start;
        sub.stmt = inner;
        sub.depth++;
        LEAT_TRY(leat_sql_statement(&sub));
        p->at = p->count;
        p->stmt->inner = inner;
        return 0;
}

static int parse_explain(struct sql_parser *p)
{
        p->stmt->kind = LEAT_STMT_EXPLAIN;
        bool options = sql_is_op(p, 0, '(') && (sql_is(p, 1, "ANALYZE") || sql_is(p, 1, "VERBOSE") ||
                                                sql_is(p, 1, "COSTS") || sql_is(p, 1, "FORMAT"));
        if (sql_is(p, 0, "ANALYZE") || (options && sql_is(p, 1, "ANALYZE"))) {
                const struct sql_token *token = sql_peek(p, options ? 1 : 0);
                leat_sql_fail(p->text, token->start, p->err, LEAT_EUNSUPPORTED, "Leat has no EXPLAIN ANALYZE");
                leat_error_hint(p->err, "EXPLAIN shows the operators; SHOW JOBS what a running view does.");
                return LEAT_EUNSUPPORTED;
        }
        if (options)
                return leat_sql_unexpected(p, "EXPLAIN without options");
        leat_sql_accept(p, "VERBOSE");
        if (!starts_query(p) && !sql_is(p, 0, "CREATE"))
                return leat_sql_unexpected(p, "SELECT or CREATE MATERIALIZED VIEW");
        LEAT_TRY(leat_sql_inner(p));
        if (p->stmt->inner->kind == LEAT_STMT_SELECT || p->stmt->inner->kind == LEAT_STMT_CREATE_MATVIEW)
                return 0;
        return leat_sql_fail(p->text, p->stmt->inner->at.start, p->err, LEAT_EUNSUPPORTED,
                             "EXPLAIN is for SELECT and CREATE MATERIALIZED VIEW");
}

/* PREPARE name [(types)] AS statement */
static int parse_prepare(struct sql_parser *p)
{
        struct leat_span types;
        p->stmt->kind = LEAT_STMT_PREPARE;
        LEAT_TRY(leat_sql_name(p, true, "a name", &p->stmt->name, &p->stmt->name_at));
        if (leat_sql_accept_op(p, '('))
                LEAT_TRY(leat_sql_parens(p, &types));
        LEAT_TRY(leat_sql_expect(p, "AS"));
        LEAT_TRY(leat_sql_inner(p));
        if (p->stmt->inner->kind != LEAT_STMT_SELECT && p->stmt->inner->kind != LEAT_STMT_INSERT)
                return leat_sql_fail(p->text, p->stmt->inner->at.start, p->err, LEAT_EUNSUPPORTED,
                                     "PREPARE is for SELECT and INSERT");
        return 0;
}

/* EXECUTE name [(expression, …)]: spans between commas at depth 0. */
static int parse_execute(struct sql_parser *p)
{
        struct leat_span arguments[256];
        uint32_t count = 0;
        p->stmt->kind = LEAT_STMT_EXECUTE;
        LEAT_TRY(leat_sql_name(p, true, "the name of a prepared statement", &p->stmt->name, &p->stmt->name_at));
        if (!leat_sql_accept_op(p, '('))
                return leat_sql_expect_end(p);
        uint32_t depth = 0, start = p->at;
        for (;; p->at++) {
                bool end = sql_is_op(p, 0, ')') && depth == 0;
                if (sql_at_end(p))
                        return leat_sql_unexpected(p, "\")\"");
                if (end || (sql_is_op(p, 0, ',') && depth == 0)) {
                        if (p->at == start || count == LEAT_ARRAY_LEN(arguments))
                                return leat_sql_unexpected(p, "a value");
                        const struct sql_token *first = &p->tokens[start], *last = &p->tokens[p->at - 1];
                        arguments[count++] = (struct leat_span){.start = first->start,
                                                                .len = last->start + last->len - first->start};
                        start = p->at + 1;
                }
                if (end)
                        break;
                depth += sql_is_op(p, 0, '(') || sql_is_op(p, 0, '[');
                depth -= depth != 0 && (sql_is_op(p, 0, ')') || sql_is_op(p, 0, ']'));
        }
        p->at++;
        struct leat_span *copy = leat_arena_alloc(p->arena, count * sizeof *copy);
        memcpy(copy, arguments, count * sizeof *copy);
        p->stmt->arguments = copy;
        p->stmt->argument_count = count;
        return leat_sql_expect_end(p);
}

static int parse_deallocate(struct sql_parser *p)
{
        p->stmt->kind = LEAT_STMT_DEALLOCATE;
        leat_sql_accept(p, "PREPARE");
        if (!leat_sql_accept(p, "ALL"))
                LEAT_TRY(leat_sql_name(p, true, "a name", &p->stmt->name, &p->stmt->name_at));
        return leat_sql_expect_end(p);
}

static int parse_discard(struct sql_parser *p)
{
        p->stmt->kind = LEAT_STMT_DISCARD;
        if (!leat_sql_accept(p, "ALL") && !leat_sql_accept(p, "PLANS") && !leat_sql_accept(p, "SEQUENCES") &&
            !leat_sql_accept(p, "TEMP") && !leat_sql_accept(p, "TEMPORARY"))
                return leat_sql_unexpected(p, "ALL");
        return leat_sql_expect_end(p);
}

int leat_sql_statement(struct sql_parser *p)
{
        static const char *const transaction[] = {"BEGIN",    "START", "COMMIT",    "END",
                                                  "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE"};
        if (starts_query(p)) {
                p->stmt->kind = LEAT_STMT_SELECT;
                return leat_sql_body(p, p->depth != 0);
        }
        if (leat_sql_accept(p, "CREATE"))
                return leat_sql_create(p);
        if (leat_sql_accept(p, "ALTER"))
                return leat_sql_alter(p);
        if (leat_sql_accept(p, "DROP"))
                return leat_sql_drop(p);
        if (leat_sql_accept(p, "INSERT"))
                return parse_insert(p);
        if (leat_sql_accept(p, "SHOW"))
                return leat_sql_show(p);
        if (leat_sql_accept(p, "DESCRIBE") || leat_sql_accept(p, "DESC")) {
                p->stmt->kind = LEAT_STMT_DESCRIBE;
                bool named = sql_peek(p, 1)->kind == TOKEN_WORD || sql_peek(p, 1)->kind == TOKEN_QUOTED;
                if (sql_is(p, 0, "SELECT"))
                        LEAT_TRY(leat_sql_refuse(p, "DESCRIBE"));
                if (named && leat_sql_accept(p, "DASHBOARD"))
                        p->stmt->object_kind = LEAT_OBJECT_DASHBOARD;
                else if (named && !leat_sql_accept(p, "TOPIC") && !leat_sql_accept(p, "TABLE") &&
                         !leat_sql_accept(p, "VIEW") && sql_is(p, 0, "MATERIALIZED") && sql_is(p, 1, "VIEW"))
                        p->at += 2; /* any relation, whatever it is called */
                LEAT_TRY(leat_sql_relation_name(p, "the name of a relation"));
                return leat_sql_expect_end(p);
        }
        if (leat_sql_accept(p, "EXPLAIN"))
                return parse_explain(p);
        if (leat_sql_accept(p, "VALIDATE")) {
                p->stmt->kind = LEAT_STMT_VALIDATE;
                return leat_sql_inner(p);
        }
        if (leat_sql_accept(p, "SET"))
                return leat_sql_set(p);
        if (leat_sql_accept(p, "RESET"))
                return leat_sql_reset(p);
        if (leat_sql_accept(p, "COPY"))
                return leat_sql_copy(p);
        for (size_t i = 0; i < LEAT_ARRAY_LEN(transaction); i++) {
                if (leat_sql_accept(p, transaction[i]))
                        return leat_sql_transaction(p, transaction[i]);
        }
        if (leat_sql_accept(p, "PREPARE"))
                return parse_prepare(p);
        if (leat_sql_accept(p, "EXECUTE"))
                return parse_execute(p);
        if (leat_sql_accept(p, "DEALLOCATE"))
                return parse_deallocate(p);
        if (leat_sql_accept(p, "DISCARD"))
                return parse_discard(p);
        if (leat_sql_accept(p, "REPLAY"))
                return leat_sql_replay_parse(p);
        if (leat_sql_accept(p, "DECLARE"))
                return leat_sql_declare(p);
        if (leat_sql_accept(p, "CLOSE"))
                return leat_sql_close(p);
        if (sql_is(p, 0, "FETCH") || sql_is(p, 0, "MOVE")) {
                p->stmt->kind = sql_is(p, 0, "FETCH") ? LEAT_STMT_FETCH : LEAT_STMT_MOVE;
                p->at++;
                return leat_sql_fetch(p);
        }
        LEAT_TRY(leat_sql_refuse(p, ""));
        return leat_sql_unexpected(p, NULL);
}

int leat_sql_parse(struct leat_arena *arena, struct leat_view text, size_t *io_offset, struct leat_stmt *ret_stmt,
                   struct leat_error *err)
{
        struct leat_stmt stmt = {.text = text, .watermark_column = -1, .copy_delimiter = '\t'};
        struct sql_parser p = {.arena = arena, .text = text, .stmt = &stmt, .err = err};
        struct sql_token *tokens;
        if (text.len > LEAT_SQL_TEXT_MAX)
                return leat_error_set(err, LEAT_ETOOBIG, "a statement text of %zu bytes; at most %u are allowed",
                                      text.len, LEAT_SQL_TEXT_MAX);
        LEAT_TRY(leat_sql_tokens(arena, text, (uint32_t)*io_offset, (uint32_t)text.len, true, &tokens, &p.count, err));
        p.tokens = tokens;
        const struct sql_token *end = &tokens[p.count];
        bool semicolon = end->start < text.len;
        stmt.kind = semicolon ? LEAT_STMT_EMPTY : LEAT_STMT_NONE;
        if (p.count != 0) {
                stmt.kind = LEAT_STMT_NONE;
                stmt.at.start = tokens[0].start;
                stmt.at.len = tokens[p.count - 1].start + tokens[p.count - 1].len - tokens[0].start;
                LEAT_TRY(leat_sql_statement(&p));
        }
        *io_offset = semicolon ? end->start + 1 : text.len;
        *ret_stmt = stmt;
        return 0;
}

void leat_sql_tag(const struct leat_stmt *stmt, uint64_t rows, char *out, size_t out_bytes)
{
        static const char *const tags[] = {
                [LEAT_STMT_CREATE_TOPIC] = "CREATE TOPIC",
                [LEAT_STMT_CREATE_VIEW] = "CREATE VIEW",
                [LEAT_STMT_CREATE_MATVIEW] = "CREATE MATERIALIZED VIEW",
                [LEAT_STMT_CREATE_DASHBOARD] = "CREATE DASHBOARD",
                [LEAT_STMT_ALTER_TOPIC] = "ALTER TOPIC",
                [LEAT_STMT_ALTER_JOB] = "ALTER MATERIALIZED VIEW",
                [LEAT_STMT_SHOW] = "SHOW",
                [LEAT_STMT_SHOW_SETTING] = "SHOW",
                [LEAT_STMT_SHOW_CREATE] = "SHOW",
                [LEAT_STMT_DESCRIBE] = "DESCRIBE",
                [LEAT_STMT_EXPLAIN] = "EXPLAIN",
                [LEAT_STMT_VALIDATE] = "VALIDATE",
                [LEAT_STMT_SET] = "SET",
                [LEAT_STMT_RESET] = "RESET",
                [LEAT_STMT_BEGIN] = "BEGIN",
                [LEAT_STMT_COMMIT] = "COMMIT",
                [LEAT_STMT_ROLLBACK] = "ROLLBACK",
                [LEAT_STMT_SAVEPOINT] = "SAVEPOINT",
                [LEAT_STMT_RELEASE] = "RELEASE",
                [LEAT_STMT_ROLLBACK_TO] = "ROLLBACK",
                [LEAT_STMT_PREPARE] = "PREPARE",
                [LEAT_STMT_DEALLOCATE] = "DEALLOCATE",
                [LEAT_STMT_DISCARD] = "DISCARD ALL",
                [LEAT_STMT_DECLARE] = "DECLARE CURSOR",
                [LEAT_STMT_CLOSE] = "CLOSE CURSOR",
                [LEAT_STMT_FETCH] = "FETCH",
                [LEAT_STMT_MOVE] = "MOVE",
                [LEAT_STMT_REPLAY] = "REPLAY",
        };
        const char *tag = (size_t)stmt->kind < LEAT_ARRAY_LEN(tags) ? tags[stmt->kind] : NULL;
        unsigned long long n = rows;
        switch (stmt->kind) {
        case LEAT_STMT_SELECT:
        case LEAT_STMT_EXECUTE:
                snprintf(out, out_bytes, "SELECT %llu", n);
                break;
        case LEAT_STMT_INSERT:
                snprintf(out, out_bytes, "INSERT 0 %llu", n);
                break;
        case LEAT_STMT_COPY:
        case LEAT_STMT_SUBSCRIBE:
        case LEAT_STMT_SUBSCRIBE_DASHBOARD:
                snprintf(out, out_bytes, "COPY %llu", n);
                break;
        case LEAT_STMT_DROP: {
                static const char *const kinds[] = {"DROP", "DROP TOPIC", "DROP VIEW", "DROP MATERIALIZED VIEW",
                                                    "DROP DASHBOARD"};
                snprintf(out, out_bytes, "%s",
                         kinds[stmt->object_kind <= LEAT_OBJECT_DASHBOARD ? stmt->object_kind : 0]);
                break;
        }
        default:
                snprintf(out, out_bytes, "%s", tag != NULL ? tag : "");
        }
}
