/* SPDX-License-Identifier: Apache-2.0 */
/* leat/sql: grammar of SET, SHOW, COPY and transactions, as clients of PostgreSQL send them. */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "sql_parse_int.h"

static int transaction_modes(struct sql_parser *p);

/* A setting's name, "leat.freshness". */
static int setting_name(struct sql_parser *p)
{
        struct leat_stmt *stmt = p->stmt;
        LEAT_TRY(leat_sql_name(p, true, "the name of a setting", &stmt->name, &stmt->name_at));
        while (leat_sql_accept_op(p, '.')) {
                const char *part;
                struct leat_span at;
                LEAT_TRY(leat_sql_name(p, true, "the name of a setting", &part, &at));
                stmt->name = leat_arena_printf(p->arena, "%s.%s", stmt->name, part);
                stmt->name_at.len = at.start + at.len - stmt->name_at.start;
        }
        return 0;
}

/* The rest of the statement as one text; values of a list are joined by ", ". */
static int setting_value(struct sql_parser *p)
{
        struct leat_buf value = LEAT_BUF_INIT;
        if (sql_at_end(p))
                return leat_sql_unexpected(p, "a value");
        for (bool first = true; !sql_at_end(p); first = false) {
                const struct sql_token *token = sql_peek(p, 0);
                if (!first && leat_sql_accept_op(p, ',')) {
                        leat_buf_add_str(&value, ",");
                        if (sql_at_end(p)) {
                                leat_buf_done(&value);
                                return leat_sql_unexpected(p, "a value");
                        }
                        token = sql_peek(p, 0);
                }
                bool sign =
                        token->kind == TOKEN_OP && token->len == 1 && strchr("+-", p->text.data[token->start]) != NULL;
                if (token->kind == TOKEN_OP && !sign) {
                        leat_buf_done(&value);
                        return leat_sql_unexpected(p, "a value");
                }
                if (!first && value.len != 0 && value.data[value.len - 1] != '-' && value.data[value.len - 1] != '+')
                        leat_buf_add_str(&value, " ");
                leat_buf_add_str(&value, leat_sql_token_value(p->arena, p->text, token, false));
                p->at++;
        }
        p->stmt->value = leat_arena_strndup(p->arena, leat_buf_cstr(&value), value.len);
        leat_buf_done(&value);
        return 0;
}

static int fixed_setting(struct sql_parser *p, const char *name)
{
        p->stmt->name = name;
        p->stmt->name_at = sql_span(&p->tokens[p->at - 1]);
        if (leat_sql_accept(p, "DEFAULT"))
                return leat_sql_expect_end(p);
        return setting_value(p);
}

/* SET TRANSACTION …: the isolation level as a setting, as that is what clients read back; else READ ONLY or WRITE. */
static int transaction_setting(struct sql_parser *p, const char *isolation, const char *read_only)
{
        struct leat_stmt *stmt = p->stmt;
        static const char *const levels[][3] = {{"READ", "COMMITTED", "read committed"},
                                                {"READ", "UNCOMMITTED", "read uncommitted"},
                                                {"REPEATABLE", "READ", "repeatable read"},
                                                {"SERIALIZABLE", NULL, "serializable"}};
        for (uint32_t i = 0; i < p->count - p->at; i++) {
                if (!sql_is(p, i, "LEVEL"))
                        continue;
                for (size_t l = 0; l < LEAT_ARRAY_LEN(levels); l++)
                        if (sql_is(p, i + 1, levels[l][0]) && (levels[l][1] == NULL || sql_is(p, i + 2, levels[l][1])))
                                stmt->value = levels[l][2];
        }
        stmt->name = stmt->value != NULL ? isolation : read_only;
        stmt->name_at = sql_span(&p->tokens[p->at - 1]);
        LEAT_TRY(transaction_modes(p));
        if (stmt->value == NULL)
                stmt->value = stmt->read_only ? "on" : "off";
        return 0;
}

int leat_sql_set(struct sql_parser *p)
{
        p->stmt->kind = LEAT_STMT_SET;
        if (sql_is(p, 0, "SESSION") && sql_is(p, 1, "CHARACTERISTICS")) {
                p->at += 2;
                LEAT_TRY(leat_sql_expect(p, "AS"));
                LEAT_TRY(leat_sql_expect(p, "TRANSACTION"));
                return transaction_setting(p, "default_transaction_isolation", "default_transaction_read_only");
        }
        if (leat_sql_accept(p, "TRANSACTION"))
                return transaction_setting(p, "transaction_isolation", "transaction_read_only");
        p->stmt->local = leat_sql_accept(p, "LOCAL");
        if (!p->stmt->local)
                leat_sql_accept(p, "SESSION");
        if (sql_is(p, 0, "TIME") && sql_is(p, 1, "ZONE")) {
                p->at += 2;
                return fixed_setting(p, "timezone");
        }
        if (leat_sql_accept(p, "NAMES"))
                return fixed_setting(p, "client_encoding");
        if (sql_is(p, 0, "ROLE") || sql_is(p, 0, "AUTHORIZATION")) {
                leat_sql_fail(p->text, sql_peek(p, 0)->start, p->err, LEAT_EUNSUPPORTED,
                              "there are no users and roles yet");
                leat_error_hint(p->err, "Leat listens on this machine only.");
                return LEAT_EUNSUPPORTED;
        }
        LEAT_TRY(setting_name(p));
        if (!leat_sql_accept_op(p, '=') && !leat_sql_accept(p, "TO"))
                return leat_sql_unexpected(p, "= or TO");
        if (leat_sql_accept(p, "DEFAULT"))
                return leat_sql_expect_end(p);
        return setting_value(p);
}

int leat_sql_reset(struct sql_parser *p)
{
        p->stmt->kind = LEAT_STMT_RESET;
        if (leat_sql_accept(p, "ALL"))
                return leat_sql_expect_end(p);
        if (sql_is(p, 0, "TIME") && sql_is(p, 1, "ZONE")) {
                p->at += 2;
                p->stmt->name = "timezone";
                return leat_sql_expect_end(p);
        }
        LEAT_TRY(setting_name(p));
        return leat_sql_expect_end(p);
}

/* ---- SHOW ------------------------------------------------------------------------- */
static int show_create(struct sql_parser *p)
{
        p->stmt->kind = LEAT_STMT_SHOW_CREATE;
        if (leat_sql_accept(p, "TOPIC")) {
                p->stmt->object_kind = LEAT_OBJECT_TOPIC;
        } else if (leat_sql_accept(p, "VIEW")) {
                p->stmt->object_kind = LEAT_OBJECT_VIEW;
        } else if (leat_sql_accept(p, "DASHBOARD")) {
                p->stmt->object_kind = LEAT_OBJECT_DASHBOARD;
        } else if (leat_sql_accept(p, "MATERIALIZED")) {
                LEAT_TRY(leat_sql_expect(p, "VIEW"));
                p->stmt->object_kind = LEAT_OBJECT_MATVIEW;
        } else {
                leat_sql_accept(p, "TABLE"); /* what DBeaver and MySQL users write: any relation */
        }
        LEAT_TRY(leat_sql_relation_name(p, "a name"));
        return leat_sql_expect_end(p);
}

int leat_sql_show(struct sql_parser *p)
{
        static const struct {
                const char *word;
                uint8_t show;
        } lists[] = {
                {"TOPICS", LEAT_SHOW_TOPICS},       {"VIEWS", LEAT_SHOW_VIEWS}, {"JOBS", LEAT_SHOW_JOBS},
                {"PIPELINES", LEAT_SHOW_PIPELINES}, {"FLOW", LEAT_SHOW_FLOW},   {"DASHBOARDS", LEAT_SHOW_DASHBOARDS},
                {"TABLES", LEAT_SHOW_TABLES},       {"ALL", LEAT_SHOW_ALL},     {"PARTITIONS", LEAT_SHOW_PARTITIONS}};
        if (leat_sql_accept(p, "CREATE"))
                return show_create(p);
        p->stmt->kind = LEAT_STMT_SHOW;
        if (sql_is(p, 0, "MATERIALIZED") && sql_is(p, 1, "VIEWS"))
                p->at++;
        for (size_t i = 0; i < LEAT_ARRAY_LEN(lists); i++) {
                if (leat_sql_accept(p, lists[i].word)) {
                        p->stmt->show = lists[i].show;
                        return leat_sql_expect_end(p);
                }
        }
        LEAT_TRY(leat_sql_refuse(p, "SHOW"));
        p->stmt->kind = LEAT_STMT_SHOW_SETTING;
        if (sql_is(p, 0, "TIME") && sql_is(p, 1, "ZONE")) {
                p->at += 2;
                p->stmt->name = "timezone";
        } else if (sql_is(p, 0, "TRANSACTION") && sql_is(p, 1, "ISOLATION")) {
                p->at += 2;
                LEAT_TRY(leat_sql_expect(p, "LEVEL"));
                p->stmt->name = "transaction_isolation";
        } else {
                LEAT_TRY(setting_name(p));
        }
        return leat_sql_expect_end(p);
}

/* ---- COPY --------------------------------------------------------------------------- */
static int copy_format(struct sql_parser *p, const char *format, uint32_t at)
{
        if (strcasecmp(format, "csv") == 0) {
                p->stmt->copy_format = LEAT_COPY_CSV;
                p->stmt->copy_delimiter = ',';
                return 0;
        }
        if (strcasecmp(format, "text") == 0)
                return 0;
        leat_sql_fail(p->text, at, p->err, LEAT_EUNSUPPORTED, "COPY in format %s is not supported", format);
        leat_error_hint(p->err, "Write FORMAT text or FORMAT csv.");
        return LEAT_EUNSUPPORTED;
}

static int copy_option(struct sql_parser *p, const char *name, uint32_t at, const char *value, uint32_t value_at)
{
        struct leat_stmt *stmt = p->stmt;
        if (strcmp(name, "format") == 0)
                return copy_format(p, value, value_at);
        if (strcmp(name, "header") == 0) {
                stmt->copy_header =
                        strcasecmp(value, "false") != 0 && strcasecmp(value, "off") != 0 && strcmp(value, "0") != 0;
                return 0;
        }
        if (strcmp(name, "delimiter") == 0) {
                if (strlen(value) != 1 || *value == '\n' || *value == '\r' || *value == '"')
                        return leat_sql_fail(p->text, value_at, p->err, LEAT_EINVAL,
                                             "a delimiter is one character, no quote and no line end");
                stmt->copy_delimiter = *value;
                return 0;
        }
        if (strcmp(name, "null") == 0) {
                stmt->copy_null = value;
                return 0;
        }
        if (strcmp(name, "encoding") == 0 && (strcasecmp(value, "utf8") == 0 || strcasecmp(value, "utf-8") == 0))
                return 0;
        leat_sql_fail(p->text, at, p->err, LEAT_EUNSUPPORTED, "COPY option \"%s\" is not supported", name);
        leat_error_hint(p->err, "There are FORMAT, HEADER, DELIMITER and NULL.");
        return LEAT_EUNSUPPORTED;
}

/* [WITH] (FORMAT csv, …) or the old words CSV HEADER DELIMITER ',' NULL ''. */
static int copy_options(struct sql_parser *p)
{
        struct leat_stmt *stmt = p->stmt;
        leat_sql_accept(p, "WITH");
        if (sql_is_op(p, 0, '(')) {
                LEAT_TRY(leat_sql_option_list(p));
                /* The format first: it sets the delimiter that another option may change. */
                for (int format = 1; format >= 0; format--) {
                        for (uint32_t i = 0; i < stmt->option_count; i++) {
                                const struct leat_sql_option *o = &stmt->options[i];
                                if ((strcmp(o->name, "format") == 0) == format)
                                        LEAT_TRY(
                                                copy_option(p, o->name, o->name_at.start, o->value, o->value_at.start));
                        }
                }
                stmt->option_count = 0;
                return leat_sql_expect_end(p);
        }
        while (!sql_at_end(p)) {
                const struct sql_token *token = sql_peek(p, 0);
                const char *value;
                if (leat_sql_accept(p, "CSV")) {
                        LEAT_TRY(copy_format(p, "csv", token->start));
                } else if (leat_sql_accept(p, "BINARY")) {
                        LEAT_TRY(copy_format(p, "binary", token->start));
                } else if (leat_sql_accept(p, "HEADER")) {
                        stmt->copy_header = true;
                } else if (leat_sql_accept(p, "DELIMITER") || leat_sql_accept(p, "NULL")) {
                        const char *name = leat_sql_token_is(p->text, token, "NULL") ? "null" : "delimiter";
                        leat_sql_accept(p, "AS");
                        LEAT_TRY(leat_sql_string(p, "a text in quotes", &value));
                        LEAT_TRY(copy_option(p, name, token->start, value, p->tokens[p->at - 1].start));
                } else {
                        return leat_sql_unexpected(p, "(FORMAT csv, HEADER)");
                }
        }
        return 0;
}

static int subscribe(struct sql_parser *p)
{
        p->stmt->kind = LEAT_STMT_SUBSCRIBE;
        p->at++;
        LEAT_TRY(leat_sql_expect(p, "TO"));
        if (sql_is(p, 0, "DASHBOARD") && !sql_is_op(p, 1, ')')) {
                p->at++;
                p->stmt->kind = LEAT_STMT_SUBSCRIBE_DASHBOARD;
        }
        LEAT_TRY(leat_sql_relation_name(p, "the name of a view"));
        if (leat_sql_accept(p, "WITH"))
                LEAT_TRY(leat_sql_option_list(p));
        return leat_sql_expect_op(p, ')');
}

int leat_sql_copy(struct sql_parser *p)
{
        struct leat_stmt *stmt = p->stmt;
        stmt->kind = LEAT_STMT_COPY;
        if (!leat_sql_accept_op(p, '(')) {
                LEAT_TRY(leat_sql_relation_name(p, "a query in parentheses"));
                leat_sql_fail(p->text, stmt->name_at.start, p->err, LEAT_EUNSUPPORTED,
                              sql_is(p, 0, "FROM") ? "COPY ... FROM is not supported" : "COPY needs a query");
                if (sql_is(p, 0, "FROM"))
                        leat_error_hint(p->err, "Write INSERT INTO, or produce to the topic with a Kafka client.");
                else
                        leat_error_hint(p->err, "Write COPY (SELECT * FROM %s) TO STDOUT.", stmt->name);
                return LEAT_EUNSUPPORTED;
        }
        if (sql_is(p, 0, "SUBSCRIBE")) {
                LEAT_TRY(subscribe(p));
        } else {
                if (!sql_is(p, 0, "SELECT") && !sql_is(p, 0, "WITH") && !sql_is(p, 0, "VALUES") &&
                    !sql_is(p, 0, "FROM") && !sql_is(p, 0, "TABLE") && !sql_is_op(p, 0, '('))
                        return leat_sql_unexpected(p, "SELECT or SUBSCRIBE TO");
                uint32_t first = p->at;
                LEAT_TRY(leat_sql_parens(p, &stmt->body));
                LEAT_TRY(leat_sql_refuse_query(p, first, p->at, false));
                const struct sql_token *last = &p->tokens[p->at - 2];
                stmt->body.start = p->tokens[first].start;
                stmt->body.len = last->start + last->len - stmt->body.start;
        }
        LEAT_TRY(leat_sql_expect(p, "TO"));
        if (!leat_sql_accept(p, "STDOUT")) {
                leat_sql_fail(p->text, sql_peek(p, 0)->start, p->err, LEAT_EDENIED, "COPY goes TO STDOUT only");
                leat_error_hint(p->err, "The server writes no files; psql's \\copy does.");
                return LEAT_EDENIED;
        }
        return copy_options(p);
}

/* ---- transactions ---------------------------------------------------------------------- */
static int transaction_modes(struct sql_parser *p)
{
        while (!sql_at_end(p)) {
                if (leat_sql_accept(p, "ISOLATION")) {
                        LEAT_TRY(leat_sql_expect(p, "LEVEL"));
                        if (leat_sql_accept(p, "READ") || leat_sql_accept(p, "REPEATABLE")) {
                                if (!leat_sql_accept(p, "COMMITTED") && !leat_sql_accept(p, "UNCOMMITTED"))
                                        LEAT_TRY(leat_sql_expect(p, "READ"));
                        } else {
                                LEAT_TRY(leat_sql_expect(p, "SERIALIZABLE"));
                        }
                } else if (leat_sql_accept(p, "READ")) {
                        if (leat_sql_accept(p, "ONLY"))
                                p->stmt->read_only = true;
                        else
                                LEAT_TRY(leat_sql_expect(p, "WRITE"));
                } else if (leat_sql_accept(p, "NOT")) {
                        LEAT_TRY(leat_sql_expect(p, "DEFERRABLE"));
                } else if (!leat_sql_accept(p, "DEFERRABLE") && !leat_sql_accept_op(p, ',')) {
                        return leat_sql_unexpected(p, "ISOLATION LEVEL, READ ONLY or READ WRITE");
                }
        }
        return 0;
}

static int end_of_transaction(struct sql_parser *p)
{
        if (leat_sql_accept(p, "AND")) {
                leat_sql_accept(p, "NO");
                LEAT_TRY(leat_sql_expect(p, "CHAIN"));
        }
        return leat_sql_expect_end(p);
}

int leat_sql_transaction(struct sql_parser *p, const char *word)
{
        struct leat_stmt *stmt = p->stmt;
        if (strcmp(word, "SAVEPOINT") == 0 || strcmp(word, "RELEASE") == 0) {
                stmt->kind = strcmp(word, "RELEASE") == 0 ? LEAT_STMT_RELEASE : LEAT_STMT_SAVEPOINT;
                if (stmt->kind == LEAT_STMT_RELEASE)
                        leat_sql_accept(p, "SAVEPOINT");
                LEAT_TRY(leat_sql_name(p, true, "a name", &stmt->name, &stmt->name_at));
                return leat_sql_expect_end(p);
        }
        if (strcmp(word, "START") == 0)
                LEAT_TRY(leat_sql_expect(p, "TRANSACTION"));
        else if (!leat_sql_accept(p, "TRANSACTION"))
                leat_sql_accept(p, "WORK");
        if (strcmp(word, "BEGIN") == 0 || strcmp(word, "START") == 0) {
                stmt->kind = LEAT_STMT_BEGIN;
                return transaction_modes(p);
        }
        stmt->kind = strcmp(word, "COMMIT") == 0 || strcmp(word, "END") == 0 ? LEAT_STMT_COMMIT : LEAT_STMT_ROLLBACK;
        if (stmt->kind == LEAT_STMT_ROLLBACK && leat_sql_accept(p, "TO")) {
                stmt->kind = LEAT_STMT_ROLLBACK_TO;
                leat_sql_accept(p, "SAVEPOINT");
                LEAT_TRY(leat_sql_name(p, true, "a name", &stmt->name, &stmt->name_at));
                return leat_sql_expect_end(p);
        }
        return end_of_transaction(p);
}

/* ---- cursors ---------------------------------------------------------------------------- */
/* name [ASENSITIVE | INSENSITIVE] [NO SCROLL] CURSOR [WITH | WITHOUT HOLD] FOR query */
int leat_sql_declare(struct sql_parser *p)
{
        struct leat_stmt *stmt = p->stmt;
        stmt->kind = LEAT_STMT_DECLARE;
        LEAT_TRY(leat_sql_name(p, true, "the cursor's name", &stmt->name, &stmt->name_at));
        while (!leat_sql_accept(p, "CURSOR")) {
                uint32_t at = sql_peek(p, 0)->start;
                if (leat_sql_accept(p, "NO")) {
                        LEAT_TRY(leat_sql_expect(p, "SCROLL"));
                } else if (sql_is(p, 0, "SCROLL") || sql_is(p, 0, "BINARY")) {
                        leat_sql_fail(p->text, at, p->err, LEAT_EUNSUPPORTED, "cursors with %s are not supported",
                                      sql_is(p, 0, "SCROLL") ? "SCROLL" : "BINARY");
                        leat_error_hint(p->err, "Cursors go forward, and the client says which form it wants.");
                        return LEAT_EUNSUPPORTED;
                } else if (!leat_sql_accept(p, "ASENSITIVE") && !leat_sql_accept(p, "INSENSITIVE")) {
                        return leat_sql_unexpected(p, "CURSOR");
                }
        }
        if (leat_sql_accept(p, "WITH")) {
                LEAT_TRY(leat_sql_expect(p, "HOLD"));
                stmt->hold = true;
        } else if (leat_sql_accept(p, "WITHOUT")) {
                LEAT_TRY(leat_sql_expect(p, "HOLD"));
        }
        LEAT_TRY(leat_sql_expect(p, "FOR"));
        return leat_sql_body(p, false);
}

/* [NEXT | FORWARD] [n | ALL] [FROM | IN] name */
int leat_sql_fetch(struct sql_parser *p)
{
        static const char *const backward[] = {"PRIOR", "FIRST", "LAST", "ABSOLUTE", "RELATIVE", "BACKWARD"};
        struct leat_stmt *stmt = p->stmt;
        stmt->fetch_rows = 1;
        for (size_t i = 0; i < LEAT_ARRAY_LEN(backward); i++) {
                if (!sql_is(p, 0, backward[i]) || sql_at_end(p))
                        continue;
                leat_sql_fail(p->text, sql_peek(p, 0)->start, p->err, LEAT_EUNSUPPORTED, "FETCH %s is not supported",
                              backward[i]);
                leat_error_hint(p->err, "Cursors go forward only.");
                return LEAT_EUNSUPPORTED;
        }
        if (!leat_sql_accept(p, "NEXT"))
                leat_sql_accept(p, "FORWARD");
        if (leat_sql_accept(p, "ALL")) {
                stmt->fetch_rows = INT64_MAX;
        } else if (sql_peek(p, 0)->kind == TOKEN_NUMBER) {
                stmt->fetch_rows = strtoll(leat_sql_token_value(p->arena, p->text, sql_peek(p, 0), false), NULL, 10);
                p->at++;
        }
        if (!leat_sql_accept(p, "FROM"))
                leat_sql_accept(p, "IN");
        LEAT_TRY(leat_sql_name(p, true, "the cursor's name", &stmt->name, &stmt->name_at));
        return leat_sql_expect_end(p);
}

int leat_sql_close(struct sql_parser *p)
{
        p->stmt->kind = LEAT_STMT_CLOSE;
        if (!leat_sql_accept(p, "ALL"))
                LEAT_TRY(leat_sql_name(p, true, "the cursor's name", &p->stmt->name, &p->stmt->name_at));
        return leat_sql_expect_end(p);
}

/* ---- REPLAY ------------------------------------------------------------------------- */
/* Everything up to @word outside of parentheses, or to the end. */
static int piece(struct sql_parser *p, const char *word, const char *what, struct leat_span *ret_at)
{
        uint32_t first = p->at, depth = 0;
        for (; !sql_at_end(p) && (depth != 0 || word == NULL || !sql_is(p, 0, word)); p->at++) {
                if (sql_is_op(p, 0, '(') || sql_is_op(p, 0, '['))
                        depth++;
                else if ((sql_is_op(p, 0, ')') || sql_is_op(p, 0, ']')) && depth-- == 0)
                        return leat_sql_unexpected(p, what);
        }
        if (p->at == first || depth != 0)
                return leat_sql_unexpected(p, p->at == first ? what : "\")\"");
        const struct sql_token *last = &p->tokens[p->at - 1];
        ret_at->start = p->tokens[first].start;
        ret_at->len = last->start + last->len - ret_at->start;
        return 0;
}

/* REPLAY QUARANTINE OF name [USING expression] [WHERE condition] */
int leat_sql_replay_parse(struct sql_parser *p)
{
        p->stmt->kind = LEAT_STMT_REPLAY;
        LEAT_TRY(leat_sql_expect(p, "QUARANTINE"));
        LEAT_TRY(leat_sql_expect(p, "OF"));
        LEAT_TRY(leat_sql_relation_name(p, "the name of a topic"));
        if (leat_sql_accept(p, "USING"))
                LEAT_TRY(piece(p, "WHERE", "an expression", &p->stmt->using_at));
        if (leat_sql_accept(p, "WHERE"))
                LEAT_TRY(piece(p, NULL, "a condition", &p->stmt->where_at));
        return leat_sql_expect_end(p);
}
