/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/sql: tumble(relation, time, size) and hop(...) in FROM, as subqueries that
 * have window_start and window_end.
 */
#include <stdio.h>
#include <strings.h>

#include "sql_tree.h"

bool leat_sql_walk_arguments(const struct sql_walk *w, uint32_t open, struct sql_arguments *args)
{
        uint32_t depth = 0, start = open + 1;
        args->count = 0;
        for (uint32_t i = open; i < w->token_count; i++) {
                bool opens = leat_sql_walk_op(w, i, '(') || leat_sql_walk_op(w, i, '[') || leat_sql_walk_op(w, i, '{');
                bool closes = leat_sql_walk_op(w, i, ')') || leat_sql_walk_op(w, i, ']') || leat_sql_walk_op(w, i, '}');
                depth += opens;
                if (depth == 1 && (closes || leat_sql_walk_op(w, i, ',')) && i != open) {
                        if (i == start || args->count == LEAT_ARRAY_LEN(args->first))
                                return false;
                        args->first[args->count] = start;
                        args->last[args->count++] = i - 1;
                        start = i + 1;
                }
                depth -= closes;
                if (depth == 0) {
                        args->close = i;
                        return true;
                }
        }
        return false;
}

void leat_sql_walk_piece(struct sql_walk *w, struct sql_edit *edit, const struct sql_arguments *args, uint32_t n)
{
        leat_sql_edit_piece(edit, w->tokens[args->first[n]].start, leat_sql_walk_end(w, args->last[n]));
}

static bool constant(const struct leat_json *json)
{
        if (json == NULL || json->kind != LEAT_JSON_OBJECT)
                return false;
        const char *class = leat_json_str(json, "class");
        if (strcmp(class, "COLUMN_REF") == 0 || strcmp(class, "SUBQUERY") == 0 || strcmp(class, "PARAMETER") == 0)
                return false;
        LEAT_JSON_EACH(item, json)
        {
                if (item->kind == LEAT_JSON_OBJECT && leat_json_get(item, "class") != NULL && !constant(item))
                        return false;
                if (item->kind == LEAT_JSON_ARRAY) {
                        LEAT_JSON_EACH(child, item)
                        {
                                if (leat_json_get(child, "class") != NULL && !constant(child))
                                        return false;
                        }
                }
        }
        return true;
}

/* The relation in the first argument, as text inside the subquery that stands for the window. */
static int window_relation(struct sql_walk *w, const struct leat_json *arg, const struct sql_arguments *args,
                           const char *alias, const struct sql_scope *scope, struct sql_edit *edit,
                           struct sql_relation *ret_relation)
{
        uint32_t first = args->first[0], last = args->last[0];
        memset(ret_relation, 0, sizeof *ret_relation);
        if (leat_sql_walk_name(w, first) && leat_sql_walk_chain(w, first) == last) {
                if (first == last && leat_sql_walk_is_cte(scope, leat_sql_walk_text(w, first))) {
                        leat_sql_walk_piece(w, edit, args, 0);
                        return 0;
                }
                LEAT_TRY(leat_sql_walk_relation(w, first, last, alias, false, edit, ret_relation));
                leat_sql_edit_literal(
                        edit,
                        leat_arena_printf(w->rw->arena, " AS %s", leat_sql_walk_quoted(w, leat_sql_walk_text(w, last))),
                        w->tokens[first].start);
                return 0;
        }
        if (strcmp(leat_json_str(arg, "class"), "SUBQUERY") == 0 && leat_sql_walk_op(w, first, '(')) {
                LEAT_TRY(leat_sql_walk_value(w, arg, scope));
                leat_sql_walk_piece(w, edit, args, 0);
                return 0;
        }
        return leat_sql_walk_fail(w, w->tokens[first].start, LEAT_EUNSUPPORTED,
                                  "Write tumble(scans, event_time, INTERVAL '10 seconds').",
                                  "the first argument of a window must be a relation");
}

/* Window columns of the relation below make room for the new ones; of a CTE or a subquery the columns are not known. */
static const char *inner_star(const struct sql_relation *relation)
{
        if (relation->name == NULL)
                return "COLUMNS(lambda c: c NOT IN ('window_start', 'window_end'))";
        bool start = leat_columns_find(relation->columns, relation->column_count, "window_start") >= 0;
        bool end = leat_columns_find(relation->columns, relation->column_count, "window_end") >= 0;
        return start && end ? "* EXCLUDE (window_start, window_end)"
               : start      ? "* EXCLUDE (window_start)"
               : end        ? "* EXCLUDE (window_end)"
                            : "*";
}

int leat_sql_walk_window(struct sql_walk *w, const struct leat_json *ref, const struct leat_json *function,
                         uint32_t name_token, const struct sql_scope *scope)
{
        bool hop = strcasecmp(leat_json_str(function, "function_name"), "hop") == 0;
        const struct leat_json *children = leat_json_get(function, "children");
        const char *alias = leat_json_str(ref, "alias");
        uint32_t at = w->tokens[name_token].start, sizes = hop ? 2 : 1;
        struct sql_arguments args;
        struct sql_relation relation;
        if (!leat_sql_walk_arguments(w, name_token + 1, &args) || args.count != children->count ||
            args.count < 2 + sizes || args.count > 3 + sizes)
                return leat_sql_walk_fail(
                        w, at, LEAT_ENOFUNCTION,
                        hop ? "Write hop(relation, time_column, slide, size), slide and size as INTERVAL '...'."
                            : "Write tumble(relation, time_column, INTERVAL '10 seconds').",
                        "%s takes %s", hop ? "hop" : "tumble",
                        hop ? "a relation, a time, two intervals and an optional offset"
                            : "a relation, a time, an interval and an optional offset");
        for (uint32_t i = 2; i < args.count; i++) {
                if (!constant(leat_json_at(children, i)))
                        return leat_sql_walk_fail(w, w->tokens[args.first[i]].start, LEAT_EUNSUPPORTED,
                                                  "Write INTERVAL '10 seconds'.",
                                                  "the size of a window must be a constant");
                LEAT_TRY(leat_sql_walk_value(w, leat_json_at(children, i), scope));
        }
        LEAT_TRY(leat_sql_walk_value(w, leat_json_at(children, 1), scope));

        struct sql_edit *edit = leat_sql_edit_new(&w->edits, at, leat_sql_walk_end(w, args.close));
        uint32_t rest = w->tokens[args.first[2]].start, rest_end = leat_sql_walk_end(w, args.last[args.count - 1]);
        const char *own = leat_sql_walk_name(w, args.first[0]) ? leat_sql_walk_text(w, args.last[0])
                          : hop                                ? "hop"
                                                               : "tumble";
        const char *shown = alias[0] != 0 ? alias : own;
        /* The star is chosen when the relation is known. */
        uint32_t star = hop ? 2 : 0;
        if (hop) {
                leat_sql_edit_literal(edit, "(SELECT *, window_start + ", at);
                leat_sql_walk_piece(w, edit, &args, 3);
        }
        leat_sql_edit_literal(edit, "", at);
        leat_sql_walk_piece(w, edit, &args, 1);
        leat_sql_edit_literal(edit, ", ", at);
        leat_sql_edit_piece(edit, rest, rest_end);
        if (!hop) {
                /* Not "window_start + …": the relation may have a column of that name, which would go first. */
                leat_sql_edit_literal(edit, ") AS window_start, leat_window_start(", at);
                leat_sql_walk_piece(w, edit, &args, 1);
                leat_sql_edit_literal(edit, ", ", at);
                leat_sql_edit_piece(edit, rest, rest_end);
                leat_sql_edit_literal(edit, ") + ", at);
                leat_sql_walk_piece(w, edit, &args, 2);
                leat_sql_edit_literal(edit, " AS window_end FROM ", at);
        } else {
                leat_sql_edit_literal(edit, ")) AS window_start FROM ", at);
        }
        LEAT_TRY(window_relation(w, leat_json_at(children, 0), &args, shown, scope, edit, &relation));
        edit->pieces[star].literal = leat_arena_printf(w->rw->arena,
                                                       hop ? " AS window_end FROM (SELECT %s, unnest(leat_hop_starts("
                                                           : "(SELECT %s, leat_window_start(",
                                                       inner_star(&relation));
        if (hop) {
                leat_sql_edit_literal(edit, ") AS leat_hop)", at);
        } else { /* as hop: a row without a time lies in no window */
                leat_sql_edit_literal(edit, " WHERE (", at);
                leat_sql_walk_piece(w, edit, &args, 1);
                leat_sql_edit_literal(edit, ") IS NOT NULL)", at);
        }
        leat_sql_edit_literal(
                edit, alias[0] != 0 ? " " : leat_arena_printf(w->rw->arena, " AS %s", leat_sql_walk_quoted(w, own)),
                at);
        return 0;
}

/* In PostgreSQL the column of generate_series(…) s is called s; psql's \d counts on it. */
void leat_sql_walk_name_column(struct sql_walk *w, uint32_t token, const char *alias)
{
        struct sql_arguments args;
        if (token >= w->token_count || !leat_sql_walk_op(w, token + 1, '(') ||
            !leat_sql_walk_arguments(w, token + 1, &args))
                return;
        uint32_t name = args.close + 1 + leat_sql_walk_is(w, args.close + 1, "AS");
        if (leat_sql_walk_name(w, name) && strcmp(leat_sql_walk_text(w, name), alias) == 0 &&
            !leat_sql_walk_op(w, name + 1, '('))
                leat_sql_edit_replace(&w->edits, leat_sql_walk_end(w, name), leat_sql_walk_end(w, name),
                                      leat_arena_printf(w->rw->arena, "(%s)", leat_sql_walk_quoted(w, alias)));
}
