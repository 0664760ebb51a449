/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/sql: forms that DuckDB does not parse, rewritten on the tokens.
 *
 *   OPERATOR(pg_catalog.=)             =
 *   a ~ b, a !~* b …                   a <~> b …: macros, as DuckDB's ~ matches the whole text
 *   COLLATE pg_catalog.default         (nothing)
 *   pg_catalog.func(                   func(
 *   'x'::regclass, ::name, ::pg_catalog.text …      what DuckDB has for it
 *   $name (panels)                     $n
 *   $n with a declared type            CAST($n AS type)
 *   TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL …))        Flink → tumble(t, ts, INTERVAL …)
 *   t WINDOW TUMBLING (SIZE 10 SECONDS)                       ksqlDB → tumble(t, watermark column, INTERVAL '10 SECONDS')
 *
 * Each is an edit with its place, so that errors lead back.
 */
#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#include "sql_int.h"

struct scan {
        struct sql_rewrite *rw;
        const struct leat_sql_map *in;
        struct leat_view text;
        const struct sql_token *tokens;
        uint32_t count;
        struct sql_edits edits;
        bool ksql_window; /* GROUP BY gets the window's columns */
};

static const struct sql_token *token_at(const struct scan *s, uint32_t i)
{
        return &s->tokens[i < s->count ? i : s->count];
}
static bool is(const struct scan *s, uint32_t i, const char *word)
{
        return leat_sql_token_is(s->text, token_at(s, i), word);
}
static bool is_op(const struct scan *s, uint32_t i, char op)
{
        return leat_sql_token_op(s->text, token_at(s, i), op);
}
static bool is_text(const struct scan *s, uint32_t i, const char *text)
{
        const struct sql_token *t = token_at(s, i);
        return t->kind == TOKEN_OP && t->len == strlen(text) && memcmp(s->text.data + t->start, text, t->len) == 0;
}
static bool is_name(const struct scan *s, uint32_t i)
{
        uint8_t kind = token_at(s, i)->kind;
        return kind == TOKEN_WORD || kind == TOKEN_QUOTED;
}
/* A name with this value, quoted or not. */
static bool names(const struct scan *s, uint32_t i, const char *name)
{
        return is_name(s, i) &&
               strcasecmp(leat_sql_token_value(s->rw->arena, s->text, token_at(s, i), false), name) == 0;
}
static uint32_t start_of(const struct scan *s, uint32_t i)
{
        return token_at(s, i)->start;
}
static uint32_t end_of(const struct scan *s, uint32_t i)
{
        return token_at(s, i)->start + token_at(s, i)->len;
}
static void erase(struct scan *s, uint32_t first, uint32_t last)
{
        leat_sql_edit_replace(&s->edits, start_of(s, first), end_of(s, last), " ");
}
static int fail(struct scan *s, uint32_t i, int code, const char *message, const char *hint)
{
        leat_sql_map_fail(s->in, start_of(s, i), s->rw->err, code, "%s", message);
        if (hint != NULL)
                leat_error_hint(s->rw->err, "%s", hint);
        return code;
}
/* Index of the ")" that closes the "(" at @open; s->count when there is none. */
static uint32_t closing(const struct scan *s, uint32_t open)
{
        uint32_t depth = 0;
        for (uint32_t i = open; i < s->count; i++) {
                depth += is_op(s, i, '(');
                depth -= is_op(s, i, ')');
                if (depth == 0)
                        return i;
        }
        return s->count;
}

uint32_t leat_sql_pseudo_named(struct leat_view text, const struct sql_token *tokens, uint32_t count)
{
        uint32_t named = 0;
        for (uint32_t i = 0; i < count; i++) {
                const struct sql_token *t = &tokens[i];
                uint32_t skip = t->kind == TOKEN_QUOTED;
                if (t->kind != TOKEN_WORD && t->kind != TOKEN_QUOTED)
                        continue;
                for (int p = 0; p < LEAT_PSEUDO_COUNT; p++) {
                        const char *name = leat_sql_pseudo_name((enum leat_pseudo)p);
                        if (t->len == strlen(name) + 2 * skip &&
                            strncasecmp((const char *)text.data + t->start + skip, name, strlen(name)) == 0)
                                named |= 1u << p;
                }
        }
        return named;
}

/* ---- PostgreSQL ------------------------------------------------------------------- */
/* PostgreSQL's operators that DuckDB lacks or understands differently: operators of our own (leat_sql_macros), which
 * bind as tightly. */
static const char *own_operator(struct leat_view op)
{
        static const char *const operators[][2] = {{"~", "<~>"}, {"!~", "<!~>"}, {"~*", "<~*>"}, {"!~*", "<!~*>"}};
        for (size_t i = 0; i < LEAT_ARRAY_LEN(operators); i++)
                if (leat_view_eq_str(op, operators[i][0]))
                        return operators[i][1];
        return NULL;
}

/* A column called at: the engine's grammar has AT (VERSION …) behind relations, and so wants it in quotes. */
static bool at_form(struct scan *s, uint32_t i)
{
        const struct sql_token *t = token_at(s, i);
        if (t->kind != TOKEN_WORD || !is(s, i, "AT") || is_op(s, i + 1, '(') || is(s, i + 1, "TIME"))
                return false;
        leat_sql_edit_replace(&s->edits, t->start, t->start + t->len,
                              leat_arena_printf(s->rw->arena, "\"%.*s\"", (int)t->len, s->text.data + t->start));
        return true;
}

/* Functions that take any number of arguments, and so cannot be macros, by the engine's names. */
static bool function_form(struct scan *s, uint32_t i)
{
        static const char *const other[][2] = {{"json_build_object", "json_object"},
                                               {"jsonb_build_object", "json_object"},
                                               {"json_build_array", "json_array"},
                                               {"jsonb_build_array", "json_array"}};
        if (!is_op(s, i + 1, '('))
                return false;
        for (size_t f = 0; f < LEAT_ARRAY_LEN(other); f++) {
                if (!names(s, i, other[f][0]))
                        continue;
                leat_sql_edit_replace(&s->edits, start_of(s, i), end_of(s, i), other[f][1]);
                return true;
        }
        return false;
}

/* True when the token can end an operand: what follows is an operator between two. */
static bool ends_operand(const struct scan *s, uint32_t i)
{
        static const char *const words[] = {"SELECT", "DISTINCT", "ALL",  "WHERE", "AND",    "OR",      "NOT",  "WHEN",
                                            "THEN",   "ELSE",     "CASE", "ON",    "IN",     "BETWEEN", "LIKE", "ILIKE",
                                            "BY",     "HAVING",   "FROM", "LIMIT", "OFFSET", "IS",      "AS"};
        const struct sql_token *t = token_at(s, i);
        if (t->kind == TOKEN_OP)
                return is_op(s, i, ')') || is_op(s, i, ']');
        if (t->kind == TOKEN_WORD)
                for (size_t w = 0; w < LEAT_ARRAY_LEN(words); w++)
                        if (is(s, i, words[w]))
                                return false;
        return true;
}

static bool match_form(struct scan *s, uint32_t i)
{
        const struct sql_token *t = token_at(s, i);
        if (t->kind != TOKEN_OP || i == 0 || !ends_operand(s, i - 1))
                return false;
        const char *own = own_operator(leat_view_of(s->text.data + t->start, t->len));
        if (own == NULL)
                return false;
        leat_sql_edit_replace(&s->edits, start_of(s, i), end_of(s, i), own);
        return true;
}

/* OPERATOR(pg_catalog.~) */
static bool operator_form(struct scan *s, uint32_t i)
{
        uint32_t at = i + 2;
        if (!is(s, i, "OPERATOR") || !is_op(s, i + 1, '('))
                return false;
        if (is_name(s, at) && is_op(s, at + 1, '.'))
                at += 2;
        if (token_at(s, at)->kind != TOKEN_OP || !is_op(s, at + 1, ')'))
                return false;
        struct leat_view text = leat_view_of(s->text.data + start_of(s, at), token_at(s, at)->len);
        const char *own = own_operator(text);
        const char *op =
                own != NULL ? own : leat_arena_printf(s->rw->arena, " %.*s ", (int)text.len, (const char *)text.data);
        leat_sql_edit_replace(&s->edits, start_of(s, i), end_of(s, at + 1), op);
        return true;
}

/* COLLATE [pg_catalog.]"default" | "C" | "POSIX" */
static bool collate_form(struct scan *s, uint32_t i)
{
        uint32_t at = i + 1;
        if (!is(s, i, "COLLATE"))
                return false;
        if (names(s, at, "pg_catalog") && is_op(s, at + 1, '.'))
                at += 2;
        if (!names(s, at, "default") && !names(s, at, "C") && !names(s, at, "POSIX"))
                return false;
        erase(s, i, at);
        return true;
}

/* What DuckDB has for a type of PostgreSQL's catalogs; NULL: the name is good as it is. */
static const char *catalog_type(const char *name)
{
        static const char *const texts[] = {"name",      "regtype", "regproc",  "regprocedure",   "regnamespace",
                                            "regrole",   "regoper", "regclass", "sql_identifier", "character_data",
                                            "yes_or_no", "char",    "aclitem",  "pg_node_tree",   "cstring",
                                            "xid",       "unknown"};
        for (size_t i = 0; i < LEAT_ARRAY_LEN(texts); i++) {
                if (strcasecmp(texts[i], name) == 0)
                        return "VARCHAR";
        }
        static const char *const numbers[] = {"oid", "cid", "cardinal_number"};
        for (size_t i = 0; i < LEAT_ARRAY_LEN(numbers); i++) {
                if (strcasecmp(numbers[i], name) == 0)
                        return "BIGINT";
        }
        return strcasecmp(name, "int2vector") == 0 || strcasecmp(name, "oidvector") == 0 ? "BIGINT[]" : NULL;
}

/* 'x'::regclass → the oid of x, by the macro regclass(). */
static bool regclass_literal(struct scan *s, uint32_t i, uint32_t type_at)
{
        if (i == 0 || token_at(s, i - 1)->kind != TOKEN_STRING || !names(s, type_at, "regclass"))
                return false;
        const char *name = leat_sql_token_value(s->rw->arena, s->text, token_at(s, i - 1), false);
        struct leat_buf out = LEAT_BUF_INIT;
        leat_buf_add_str(&out, "regclass(");
        leat_sql_quote_text(&out, leat_view_str(name));
        leat_buf_add_str(&out, ")");
        leat_sql_edit_replace(&s->edits, start_of(s, i - 1), end_of(s, type_at),
                              leat_arena_strdup(s->rw->arena, leat_buf_cstr(&out)));
        leat_buf_done(&out);
        return true;
}

/* '\x6869'::bytea → unhex('6869'); '{1,2}'::int[] → '[1,2]'::int[]: literals that DuckDB writes otherwise. */
static bool value_literal(struct scan *s, uint32_t i, uint32_t type_at)
{
        if (i == 0 || token_at(s, i - 1)->kind != TOKEN_STRING)
                return false;
        const char *value = leat_sql_token_value(s->rw->arena, s->text, token_at(s, i - 1), false);
        size_t len = strlen(value);
        struct leat_buf out = LEAT_BUF_INIT;
        if (names(s, type_at, "bytea") && len >= 2 && value[0] == '\\' && value[1] == 'x' && len % 2 == 0 &&
            strspn(value + 2, "0123456789abcdefABCDEF") == len - 2) {
                leat_buf_printf(&out, "unhex('%s')", value + 2);
                leat_sql_edit_replace(&s->edits, start_of(s, i - 1), end_of(s, type_at),
                                      leat_arena_strdup(s->rw->arena, leat_buf_cstr(&out)));
        } else if (is_op(s, type_at + 1, '[') && len >= 2 && value[0] == '{' && value[len - 1] == '}' &&
                   strpbrk(value + 1, "{\\") == NULL) {
                const char *list = leat_arena_printf(s->rw->arena, "[%.*s]", (int)len - 2, value + 1);
                leat_sql_quote_text(&out, leat_view_str(list));
                leat_sql_edit_replace(&s->edits, start_of(s, i - 1), end_of(s, i - 1),
                                      leat_arena_strdup(s->rw->arena, leat_buf_cstr(&out)));
                leat_buf_done(&out);
                return false;
        } else {
                return false;
        }
        leat_buf_done(&out);
        return true;
}

/* The type behind "::" or inside CAST( … AS type ); @i is the token before it. */
static void type_form(struct scan *s, uint32_t i)
{
        uint32_t at = i + 1;
        bool schema = (names(s, at, "pg_catalog") || names(s, at, "information_schema")) && is_op(s, at + 1, '.');
        if (schema)
                at += 2;
        if (!is_name(s, at))
                return;
        const char *type = catalog_type(leat_sql_token_value(s->rw->arena, s->text, token_at(s, at), false));
        /* char without quotes is character(1), a type of SQL. */
        if (is(s, at, "char"))
                type = NULL;
        if (is_text(s, i, "::") && (regclass_literal(s, i, at) || value_literal(s, i, at)))
                return;
        if (type != NULL)
                leat_sql_edit_replace(&s->edits, start_of(s, i + 1), end_of(s, at), type);
        else if (schema)
                erase(s, i + 1, i + 2);
}

static bool inside_cast(const struct scan *s, uint32_t as)
{
        uint32_t depth = 0;
        for (uint32_t i = as; i-- > 0;) {
                depth += is_op(s, i, ')');
                if (is_op(s, i, '(')) {
                        if (depth == 0)
                                return i != 0 && (is(s, i - 1, "CAST") || is(s, i - 1, "TRY_CAST"));
                        depth--;
                }
        }
        return false;
}

/* ---- parameters ------------------------------------------------------------------------ */
static int parameter_form(struct scan *s, uint32_t i)
{
        struct sql_rewrite *rw = s->rw;
        const struct sql_token *t = token_at(s, i);
        char *name = leat_arena_strndup(rw->arena, (const char *)s->text.data + t->start + 1, t->len - 1);
        uint32_t number = 0;
        if (isdigit((uint8_t)name[0])) {
                unsigned long n = strtoul(name, NULL, 10);
                if (n < 1 || n > 65535 || rw->param_names != NULL || rw->mode == SQL_MODE_STREAM)
                        return fail(s, i, LEAT_EUNSUPPORTED, "there is no parameter here", NULL);
                number = (uint32_t)n;
        }
        for (uint32_t k = 0; k < rw->param_name_count && number == 0; k++) {
                if (strcasecmp(rw->param_names[k], name) == 0)
                        number = k + 1;
        }
        if (number == 0) {
                leat_sql_map_fail(s->in, t->start, rw->err, LEAT_ENOCOLUMN, "there is no variable $%s", name);
                leat_error_hint(rw->err,
                                rw->param_names != NULL ? "Declare it with VARIABLE." : "Parameters are $1, $2, ...");
                return LEAT_ENOCOLUMN;
        }
        rw->param_count = LEAT_MAX(rw->param_count, number);
        const struct leat_type *type =
                number <= rw->param_type_count && rw->param_types[number - 1].id != LEAT_T_INVALID
                        ? &rw->param_types[number - 1]
                        : NULL;
        struct leat_buf out = LEAT_BUF_INIT;
        /* What no client declares and stands in ANY($1) is an array of texts. */
        static const struct leat_type text = {.id = LEAT_T_VARCHAR};
        struct leat_type texts = leat_type_of(LEAT_T_LIST);
        texts.child_count = 1;
        texts.children = &text;
        if (i >= 2 && (type == NULL || type->id == LEAT_T_VARCHAR) && is_op(s, i - 1, '(') && is_op(s, i + 1, ')') &&
            (is(s, i - 2, "ANY") || is(s, i - 2, "ALL") || is(s, i - 2, "SOME")))
                type = &texts;
        leat_buf_printf(&out, type != NULL ? "CAST($%u AS " : "$%u", number);
        if (type != NULL) {
                leat_type_print(type, &out);
                leat_buf_add_str(&out, ")");
        }
        leat_sql_edit_replace(&s->edits, t->start, t->start + t->len,
                              leat_arena_strdup(rw->arena, leat_buf_cstr(&out)));
        leat_buf_done(&out);
        return 0;
}

/* ---- Flink -------------------------------------------------------------------------------- */
static bool window_function(const struct scan *s, uint32_t i)
{
        return is(s, i, "TUMBLE") || is(s, i, "HOP") || is(s, i, "CUMULATE") || is(s, i, "SESSION");
}

/* Inside the argument list of a window function: TABLE t → t, DESCRIPTOR(c) → c, NAME => gone. */
static void flink_arguments(struct scan *s, uint32_t open, uint32_t close)
{
        for (uint32_t i = open + 1; i < close; i++) {
                bool first = is_op(s, i - 1, '(') || is_op(s, i - 1, ',');
                if (first && is_name(s, i) && is_text(s, i + 1, "=>")) {
                        erase(s, i, i + 1);
                        i++;
                } else if (is(s, i, "TABLE") && is_name(s, i + 1)) {
                        erase(s, i, i);
                } else if (is(s, i, "DESCRIPTOR") && is_op(s, i + 1, '(') && is_name(s, i + 2) &&
                           is_op(s, i + 3, ')')) {
                        erase(s, i, i + 1);
                        erase(s, i + 3, i + 3);
                        i += 3;
                }
        }
}

static void flink_form(struct scan *s, uint32_t i)
{
        bool wrapped = is(s, i, "TABLE") && is_op(s, i + 1, '(') && window_function(s, i + 2) && is_op(s, i + 3, '(');
        if (wrapped) {
                uint32_t close = closing(s, i + 1);
                if (close >= s->count)
                        return;
                erase(s, i, i + 1);
                erase(s, close, close);
        } else if (window_function(s, i) && is_op(s, i + 1, '(')) {
                flink_arguments(s, i + 1, closing(s, i + 1));
        }
}

/* ---- ksqlDB ---------------------------------------------------------------------------------- */
static bool interval_words(struct scan *s, uint32_t i, char **ret_text)
{
        static const char *const units[] = {"DAY", "HOUR", "MINUTE", "SECOND", "MILLISECOND"};
        char *unit = leat_sql_token_value(s->rw->arena, s->text, token_at(s, i + 1), false);
        size_t len = strlen(unit);
        if (token_at(s, i)->kind != TOKEN_NUMBER || token_at(s, i + 1)->kind != TOKEN_WORD)
                return false;
        if (len > 1 && (unit[len - 1] == 's' || unit[len - 1] == 'S'))
                unit[len - 1] = 0;
        for (size_t u = 0; u < LEAT_ARRAY_LEN(units); u++) {
                if (strcasecmp(units[u], unit) != 0)
                        continue;
                *ret_text = leat_arena_printf(s->rw->arena, "INTERVAL '%.*s %s'", (int)token_at(s, i)->len,
                                              s->text.data + start_of(s, i), units[u]);
                return true;
        }
        return false;
}

/* The event time column of the relation that the tokens [first, last] name. */
static int event_time_column(struct scan *s, uint32_t first, uint32_t last, const char **ret_column)
{
        const char *name = leat_sql_token_value(s->rw->arena, s->text, token_at(s, last), true);
        const struct leat_object *object = leat_snapshot_find(s->rw->catalog->snapshot, name, false);
        if (object == NULL || object->topic == NULL || object->topic->watermark_column < 0) {
                fail(s, first, LEAT_EUNSUPPORTED, "WINDOW needs a topic with a WATERMARK",
                     "Write FROM tumble(relation, time_column, INTERVAL '10 seconds') for anything else.");
                return LEAT_EUNSUPPORTED;
        }
        struct leat_buf out = LEAT_BUF_INIT;
        leat_sql_quote_name(&out, object->topic->columns[object->topic->watermark_column].name);
        *ret_column = leat_arena_strdup(s->rw->arena, leat_buf_cstr(&out));
        leat_buf_done(&out);
        return 0;
}

/* name [[AS] alias] WINDOW TUMBLING (SIZE 10 SECONDS) | HOPPING (SIZE …, ADVANCE BY …); @i is WINDOW. */
static int ksql_form(struct scan *s, uint32_t i)
{
        uint32_t first, last, alias = i, close = closing(s, i + 2);
        char *size, *advance = NULL;
        const char *column;
        if (!is(s, i + 1, "TUMBLING") && !is(s, i + 1, "HOPPING"))
                return fail(s, i + 1, LEAT_EUNSUPPORTED, "WINDOW SESSION is not supported",
                            "There are TUMBLING and HOPPING.");
        if (!is(s, i + 3, "SIZE") || !interval_words(s, i + 4, &size))
                return fail(s, i + 3, LEAT_ESYNTAX, "SIZE and a length such as 10 SECONDS are missing", NULL);
        uint32_t at = i + 6;
        if (is(s, i + 1, "HOPPING")) {
                if (!is_op(s, at, ',') || !is(s, at + 1, "ADVANCE") || !is(s, at + 2, "BY") ||
                    !interval_words(s, at + 3, &advance))
                        return fail(s, at, LEAT_ESYNTAX, "ADVANCE BY and a length such as 5 SECONDS are missing", NULL);
                at += 5;
        }
        if (at != close)
                return fail(s, at, LEAT_EUNSUPPORTED, "RETENTION and GRACE PERIOD are options of the view",
                            "Write WITH (retention = '1 day', late = 'grace 10 seconds') behind the view's name.");
        /* Backwards: the alias, then the relation. */
        last = i - 1;
        if (i >= 3 && is(s, i - 2, "AS")) {
                alias = i - 2;
                last = i - 3;
        } else if (i >= 2 && is_name(s, i - 1) && is_name(s, i - 2) && !is(s, i - 2, "FROM") && !is(s, i - 2, "JOIN")) {
                alias = i - 1;
                last = i - 2;
        }
        if (!is_name(s, last))
                return fail(s, i, LEAT_ESYNTAX, "WINDOW must stand behind a topic in FROM", NULL);
        first = last >= 2 && is_op(s, last - 1, '.') ? last - 2 : last;
        LEAT_TRY(event_time_column(s, first, last, &column));
        struct sql_edit *edit = leat_sql_edit_new(&s->edits, start_of(s, first), end_of(s, close));
        leat_sql_edit_literal(edit, advance != NULL ? "hop(" : "tumble(", start_of(s, i));
        leat_sql_edit_piece(edit, start_of(s, first), end_of(s, last));
        leat_sql_edit_literal(edit,
                              leat_arena_printf(s->rw->arena, ", %s, %s%s%s) ", column, advance != NULL ? advance : "",
                                                advance != NULL ? ", " : "", size),
                              start_of(s, i));
        if (alias != i)
                leat_sql_edit_piece(edit, start_of(s, alias), end_of(s, i - 1));
        s->ksql_window = true;
        return 0;
}

static bool ksql_window_at(const struct scan *s, uint32_t i)
{
        return i != 0 && is(s, i, "WINDOW") && is_op(s, i + 2, '(') &&
               (is(s, i + 1, "TUMBLING") || is(s, i + 1, "HOPPING") ||
                (is(s, i + 1, "SESSION") && !is(s, i + 1, "AS")));
}

/* In ksqlDB the window belongs to the group; its bounds are WINDOWSTART and WINDOWEND. */
static void ksql_names(struct scan *s)
{
        for (uint32_t i = 0; i < s->count; i++) {
                if (is(s, i, "GROUP") && is(s, i + 1, "BY") && !is(s, i + 2, "ALL"))
                        leat_sql_edit_replace(&s->edits, start_of(s, i + 2), start_of(s, i + 2),
                                              "window_start, window_end, ");
                else if (is(s, i, "WINDOWSTART") || is(s, i, "WINDOWEND"))
                        leat_sql_edit_replace(&s->edits, start_of(s, i), end_of(s, i),
                                              is(s, i, "WINDOWSTART") ? "window_start" : "window_end");
        }
}

/* ---- all ------------------------------------------------------------------------------------- */
int leat_sql_rewrite_tokens(struct sql_rewrite *rw, const struct leat_sql_map *in, const struct leat_sql_map **ret_map)
{
        struct scan s = {.rw = rw, .in = in, .text = in->text, .edits = {.arena = rw->arena}};
        struct sql_token *tokens;
        struct leat_error local;
        int rc = leat_sql_tokens(rw->arena, in->text, 0, (uint32_t)in->text.len, false, &tokens, &s.count, &local);
        if (rc != 0) {
                leat_sql_map_error(in, &local);
                if (rw->err != NULL)
                        *rw->err = local;
                return rc;
        }
        s.tokens = tokens;
        rw->pseudo |= leat_sql_pseudo_named(s.text, tokens, s.count);
        for (uint32_t i = 0; i < s.count; i++) {
                if (is_op(&s, i, ';'))
                        return fail(&s, i, LEAT_ESYNTAX, "one query only", NULL);
                if (at_form(&s, i) || function_form(&s, i) || operator_form(&s, i) || match_form(&s, i) ||
                    collate_form(&s, i))
                        continue;
                if (is_text(&s, i, "::") || (is(&s, i, "AS") && inside_cast(&s, i)))
                        type_form(&s, i);
                else if ((names(&s, i, "pg_catalog") || names(&s, i, "information_schema")) && is_op(&s, i + 1, '.') &&
                         is_name(&s, i + 2) && is_op(&s, i + 3, '('))
                        erase(&s, i, i + 1);
                else if (token_at(&s, i)->kind == TOKEN_PARAM)
                        LEAT_TRY(parameter_form(&s, i));
                else if (ksql_window_at(&s, i))
                        LEAT_TRY(ksql_form(&s, i));
                flink_form(&s, i);
        }
        if (s.ksql_window)
                ksql_names(&s);
        *ret_map = s.edits.list == NULL ? in : leat_sql_map_edit(rw->arena, in, s.edits.list);
        return 0;
}
