/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/sql: relations, stars and functions of a query, found in DuckDB's tree
 * and rewritten in the text.
 *
 * Design   json_serialize_sql says what each word means (a relation or a CTE, a
 *          column or a keyword) and where it stands; the tokens say how far it
 *          reaches. So every change is an edit of the text at a known place, and
 *          the tree itself is never written back.
 *
 *   scans                  leat_scan('…') AS scans     (or the empty table)
 *   a plain view v         (its query, rewritten) AS v
 *   tumble(t, ts, i)       (SELECT *, leat_window_start(ts, i) AS window_start, … FROM t) AS t
 *   *                      * EXCLUDE (t.kafka_offset, …) where t shows pseudo columns
 *   now()                  CAST($leat_now AS TIMESTAMPTZ)    (streaming)
 *
 * Safety   A node, a table reference or a function that is not on a list is
 *          refused at its place. The tree is walked with the stack; leat_json
 *          bounds its depth.
 */
#include <stdio.h>
#include <strings.h>

#include "sql_tree.h"

static int walk_node(struct sql_walk *w, const struct leat_json *node, const struct sql_scope *scope);
static int walk_from(struct sql_walk *w, const struct leat_json *ref, const struct sql_scope *scope);

/* ---- FROM --------------------------------------------------------------------------------------- */
static int walk_table_function(struct sql_walk *w, const struct leat_json *ref, const struct sql_scope *scope)
{
        const struct leat_json *function = leat_json_get(ref, "function");
        const char *name = leat_json_str(function, "function_name");
        int64_t at = leat_json_location(function);
        if (at < 0)
                at = leat_json_location(ref);
        uint32_t token = leat_sql_walk_token(w, at);
        if (strcasecmp(name, "tumble") == 0 || strcasecmp(name, "hop") == 0) {
                if (token >= w->token_count || !leat_sql_walk_op(w, token + 1, '('))
                        return leat_sql_walk_fail(w, at, LEAT_EUNSUPPORTED, NULL,
                                                  "%s must stand in FROM by its plain name", name);
                return leat_sql_walk_window(w, ref, function, token, scope);
        }
        if (strcasecmp(name, "session") == 0 || strcasecmp(name, "cumulate") == 0)
                return leat_sql_walk_fail(w, at, LEAT_EUNSUPPORTED, "There are tumble and hop.",
                                          "Leat has no %s windows", name);
        if (!leat_sql_table_function_allowed(name))
                return leat_sql_walk_fail(w, at, LEAT_EDENIED, "SQL reads topics and views only.",
                                          "function %s is not allowed in FROM", name);
        if (leat_json_str(ref, "alias")[0] != 0)
                leat_sql_walk_name_column(w, token, leat_json_str(ref, "alias"));
        return leat_sql_walk_value(w, leat_json_get(function, "children"), scope);
}

static bool plain_join(const struct leat_json *ref)
{
        const char *type = leat_json_str(ref, "join_type"), *kind = leat_json_str(ref, "ref_type");
        static const char *const types[] = {"INNER", "LEFT", "RIGHT", "OUTER", "FULL"};
        static const char *const kinds[] = {"REGULAR", "CROSS", "NATURAL"};
        bool good = false, known = false;
        for (size_t i = 0; i < LEAT_ARRAY_LEN(types); i++)
                good |= strcmp(type, types[i]) == 0;
        for (size_t i = 0; i < LEAT_ARRAY_LEN(kinds); i++)
                known |= strcmp(kind, kinds[i]) == 0;
        return good && known;
}

static int walk_join(struct sql_walk *w, const struct leat_json *ref, const struct sql_scope *scope)
{
        w->select->no_pushdown |= !plain_join(ref);
        if (strcmp(leat_json_str(ref, "ref_type"), "NATURAL") == 0 && w->rw->mode == SQL_MODE_STREAM)
                return leat_sql_walk_fail(w, leat_json_location(ref), LEAT_EUNSUPPORTED,
                                          "Write JOIN ... USING (column).", "NATURAL JOIN in a materialized view");
        LEAT_TRY(walk_from(w, leat_json_get(ref, "left"), scope));
        LEAT_TRY(walk_from(w, leat_json_get(ref, "right"), scope));
        return leat_sql_walk_value(w, leat_json_get(ref, "condition"), scope);
}

static int walk_from(struct sql_walk *w, const struct leat_json *ref, const struct sql_scope *scope)
{
        const char *type = leat_json_str(ref, "type");
        if (ref == NULL || ref->kind == LEAT_JSON_NULL || strcmp(type, "EMPTY") == 0)
                return 0;
        if (strcmp(type, "BASE_TABLE") == 0)
                return leat_sql_walk_base_table(w, ref, scope);
        if (strcmp(type, "JOIN") == 0)
                return walk_join(w, ref, scope);
        if (strcmp(type, "SUBQUERY") == 0)
                return walk_node(w, leat_json_get(leat_json_get(ref, "subquery"), "node"), scope);
        if (strcmp(type, "TABLE_FUNCTION") == 0)
                return walk_table_function(w, ref, scope);
        if (strcmp(type, "EXPRESSION_LIST") == 0)
                return leat_sql_walk_value(w, leat_json_get(ref, "values"), scope);
        if (strcmp(type, "PIVOT") == 0) {
                LEAT_TRY(walk_from(w, leat_json_get(ref, "source"), scope));
                LEAT_TRY(leat_sql_walk_value(w, leat_json_get(ref, "aggregates"), scope));
                return leat_sql_walk_value(w, leat_json_get(ref, "pivots"), scope);
        }
        if (strcmp(type, "SHOW_REF") == 0)
                return leat_sql_walk_fail(w,
                                          leat_json_location(leat_json_get(leat_json_get(ref, "query"), "from_table")),
                                          LEAT_EUNSUPPORTED, "Write DESCRIBE name as a statement.",
                                          "DESCRIBE and SHOW do not stand in FROM");
        return leat_sql_walk_fail(w, leat_json_location(ref), LEAT_EUNSUPPORTED, NULL, "%s in FROM is not supported",
                                  type);
}

/* ---- expressions ----------------------------------------------------------------------------------- */
/* pg_get_viewdef(oid): a macro cannot hold leat_scan(), since it is bound when it is made. */
static void view_definition(struct sql_walk *w, uint32_t token)
{
        struct sql_arguments args;
        uint32_t at = w->tokens[token].start;
        if (!leat_sql_env_system(w->rw->env, "pg_catalog.pg_views") || !leat_sql_walk_op(w, token + 1, '(') ||
            !leat_sql_walk_arguments(w, token + 1, &args) || args.count == 0)
                return;
        struct sql_edit *edit = leat_sql_edit_new(&w->edits, at, leat_sql_walk_end(w, args.close));
        leat_sql_edit_literal(
                edit,
                "(SELECT leat_v.definition FROM (SELECT viewname, definition FROM "
                "leat_scan('pg_catalog.pg_views') UNION ALL SELECT matviewname, definition FROM "
                "leat_scan('pg_catalog.pg_matviews')) leat_v JOIN leat_scan('pg_catalog.pg_class') leat_c ON "
                "leat_c.relname = leat_v.viewname WHERE leat_c.oid = (",
                at);
        leat_sql_walk_piece(w, edit, &args, 0);
        leat_sql_edit_literal(edit, "))", at);
}

static int of_session(struct sql_walk *w, int64_t at, const char *name)
{
        return leat_sql_walk_fail(w, at, LEAT_EUNSUPPORTED, "A view is the same for all who read it.",
                                  "%s belongs to a session and cannot stand in a materialized view", name);
}

static int walk_function(struct sql_walk *w, const struct leat_json *expr)
{
        const char *name = leat_json_str(expr, "function_name"), *schema = leat_json_str(expr, "schema");
        int64_t at = leat_json_location(expr);
        uint32_t token = leat_sql_walk_token(w, at);
        if (leat_json_str(expr, "catalog")[0] != 0 ||
            (schema[0] != 0 && strcmp(schema, "main") != 0 && strcmp(schema, "pg_catalog") != 0))
                return leat_sql_walk_fail(w, at, LEAT_EDENIED, "Write the function's name without a schema.",
                                          "function %s.%s is not allowed", schema, name);
        const struct leat_json *children = leat_json_get(expr, "children");
        if (strcasecmp(name, "pg_get_viewdef") == 0 && w->rw->mode == SQL_MODE_BATCH && token < w->token_count)
                view_definition(w, token);
        if (w->rw->mode == SQL_MODE_STREAM && leat_sql_function_of_session(name))
                return of_session(w, at, name);
        switch (leat_sql_function_class(w->rw->env, name)) {
        case SQL_FUNCTION_DENIED:
                return leat_sql_walk_fail(w, at, LEAT_EDENIED, leat_sql_hint_function(name),
                                          "function %s is not allowed", name);
        case SQL_FUNCTION_VOLATILE:
                if (w->rw->mode == SQL_MODE_STREAM)
                        return leat_sql_walk_fail(
                                w, at, LEAT_EUNSUPPORTED,
                                "Its value must be the same when the row is taken back later; use a column.",
                                "%s() gives another value each time and cannot stand in a materialized view", name);
                return 0;
        case SQL_FUNCTION_NOW:
                if (w->rw->mode != SQL_MODE_STREAM ||
                    (strcasecmp(name, "age") == 0 && children != NULL && children->count == 2))
                        return 0;
                if (leat_sql_now_text(name) == NULL || !leat_sql_walk_op(w, token + 1, '(') ||
                    !leat_sql_walk_op(w, token + 2, ')'))
                        return leat_sql_walk_fail(w, at, LEAT_EUNSUPPORTED, "Write it with now().",
                                                  "%s reads the clock and cannot stand in a materialized view", name);
                w->rw->uses_now = true;
                leat_sql_edit_replace(&w->edits, w->tokens[token].start, leat_sql_walk_end(w, token + 2),
                                      leat_sql_now_text(name));
                return 0;
        default:
                return 0;
        }
}

static int walk_column(struct sql_walk *w, const struct leat_json *expr)
{
        const struct leat_json *names = leat_json_get(expr, "column_names");
        int64_t at = leat_json_location(expr);
        uint32_t token = leat_sql_walk_token(w, at);
        if (names == NULL || names->count == 0 || token >= w->token_count)
                return 0;
        const char *name = (const char *)leat_json_at(names, 0)->text.data;
        /* "user" may be a column of the relation. */
        if (names->count == 1 && w->tokens[token].kind == TOKEN_WORD && w->rw->mode == SQL_MODE_STREAM &&
            strcasecmp(name, "user") != 0 && leat_sql_function_of_session(name))
                return of_session(w, at, name);
        if (names->count == 1 && w->tokens[token].kind == TOKEN_WORD && leat_sql_now_text(name) != NULL &&
            w->rw->mode == SQL_MODE_STREAM) {
                w->rw->uses_now = true;
                leat_sql_edit_replace(&w->edits, w->tokens[token].start, leat_sql_walk_end(w, token),
                                      leat_sql_now_text(name));
        } else if (names->count >= 3 && (strcmp(name, "public") == 0 || strcmp(name, "pg_catalog") == 0)) {
                leat_sql_edit_replace(&w->edits, w->tokens[token].start, leat_sql_walk_end(w, token + 1), " ");
        }
        return 0;
}

/* The names to hide behind a star of @relation ("" = all), qualified. */
static void hidden_names(struct sql_walk *w, const char *relation, struct leat_buf *out)
{
        for (uint32_t i = 0; w->select != NULL && i < w->select->count; i++) {
                const struct sql_item *item = &w->select->items[i];
                if (item->renamed || (relation[0] != 0 && strcasecmp(relation, item->alias) != 0))
                        continue;
                for (int p = 0; p < LEAT_PSEUDO_COUNT; p++) {
                        if ((item->pseudo >> p & 1) == 0)
                                continue;
                        leat_buf_printf(out, "%s%s.%s", out->len != 0 ? ", " : "", leat_sql_walk_quoted(w, item->alias),
                                        leat_sql_pseudo_name((enum leat_pseudo)p));
                }
        }
}

/* The token of the "*" of a STAR at @token: "*", "t.*", COLUMNS(*); token_count when it has none. */
static uint32_t star_token(const struct sql_walk *w, uint32_t token)
{
        if (leat_sql_walk_op(w, token, '*'))
                return token;
        if (leat_sql_walk_is(w, token, "COLUMNS") && leat_sql_walk_op(w, token + 1, '('))
                return star_token(w, token + 2);
        if (leat_sql_walk_name(w, token)) {
                uint32_t last = leat_sql_walk_chain(w, token);
                if (leat_sql_walk_op(w, last + 1, '.') && leat_sql_walk_op(w, last + 2, '*'))
                        return last + 2;
        }
        return w->token_count;
}

static int walk_star(struct sql_walk *w, const struct leat_json *expr)
{
        struct leat_buf names = LEAT_BUF_INIT;
        uint32_t token = leat_sql_walk_token(w, leat_json_location(expr));
        hidden_names(w, leat_json_str(expr, "relation_name"), &names);
        /* TABLE t takes no leat_scan(). */
        if (names.len == 0 && leat_sql_walk_is(w, token, "TABLE"))
                leat_sql_edit_replace(&w->edits, w->tokens[token].start, leat_sql_walk_end(w, token), "SELECT * FROM");
        if (names.len == 0 || token >= w->token_count) {
                leat_buf_done(&names);
                return 0;
        }
        const char *list = leat_arena_strdup(w->rw->arena, leat_buf_cstr(&names));
        leat_buf_done(&names);
        uint32_t start = w->tokens[token].start, star = star_token(w, token);
        if (leat_sql_walk_is(w, token, "FROM")) {
                leat_sql_edit_replace(&w->edits, start, start,
                                      leat_arena_printf(w->rw->arena, "SELECT * EXCLUDE (%s) ", list));
        } else if (leat_sql_walk_is(w, token, "TABLE")) {
                leat_sql_edit_replace(&w->edits, start, leat_sql_walk_end(w, token),
                                      leat_arena_printf(w->rw->arena, "SELECT * EXCLUDE (%s) FROM", list));
        } else if (star < w->token_count && leat_sql_walk_is(w, star + 1, "EXCLUDE") &&
                   leat_sql_walk_op(w, star + 2, '(')) {
                uint32_t at = leat_sql_walk_end(w, star + 2);
                leat_sql_edit_replace(&w->edits, at, at, leat_arena_printf(w->rw->arena, "%s, ", list));
        } else if (star < w->token_count && leat_sql_walk_is(w, star + 1, "EXCLUDE")) {
                struct sql_edit *edit =
                        leat_sql_edit_new(&w->edits, w->tokens[star + 2].start, leat_sql_walk_end(w, star + 2));
                leat_sql_edit_literal(edit, leat_arena_printf(w->rw->arena, "(%s, ", list), start);
                leat_sql_edit_literal(edit, leat_arena_printf(w->rw->arena, "%s)", leat_sql_walk_text(w, star + 2)),
                                      start);
        } else if (star < w->token_count) {
                uint32_t at = leat_sql_walk_end(w, star);
                leat_sql_edit_replace(&w->edits, at, at, leat_arena_printf(w->rw->arena, " EXCLUDE (%s)", list));
        }
        return 0;
}

static int walk_expression(struct sql_walk *w, const struct leat_json *expr, const char *class,
                           const struct sql_scope *scope)
{
        if (strcmp(class, "FUNCTION") == 0 || strcmp(class, "WINDOW") == 0)
                LEAT_TRY(walk_function(w, expr));
        else if (strcmp(class, "COLUMN_REF") == 0)
                LEAT_TRY(walk_column(w, expr));
        else if (strcmp(class, "STAR") == 0)
                LEAT_TRY(walk_star(w, expr));
        else if (strcmp(class, "SUBQUERY") == 0)
                LEAT_TRY(walk_node(w, leat_json_get(leat_json_get(expr, "subquery"), "node"), scope));
        LEAT_JSON_EACH(item, expr)
        {
                if (strcmp(item->name, "subquery") != 0)
                        LEAT_TRY(leat_sql_walk_value(w, item, scope));
        }
        return 0;
}

int leat_sql_walk_value(struct sql_walk *w, const struct leat_json *json, const struct sql_scope *scope)
{
        if (json == NULL || (json->kind != LEAT_JSON_ARRAY && json->kind != LEAT_JSON_OBJECT))
                return 0;
        const char *class = leat_json_str(json, "class");
        if (class[0] != 0)
                return walk_expression(w, json, class, scope);
        size_t len = strlen(leat_json_str(json, "type"));
        if (len > 5 && strcmp(leat_json_str(json, "type") + len - 5, "_NODE") == 0)
                return walk_node(w, json, scope);
        LEAT_JSON_EACH(item, json)
        LEAT_TRY(leat_sql_walk_value(w, item, scope));
        return 0;
}

/* ---- query nodes ----------------------------------------------------------------------------------- */
static int walk_select(struct sql_walk *w, const struct leat_json *node, const struct sql_scope *scope)
{
        static const char *const parts[] = {"select_list", "where_clause", "group_expressions",
                                            "having",      "qualify",      "modifiers"};
        struct sql_select_scope *outer = w->select;
        w->select = leat_arena_zalloc(w->rw->arena, sizeof *w->select);
        int rc = walk_from(w, leat_json_get(node, "from_table"), scope);
        if (rc == 0)
                rc = leat_sql_walk_finish(w, leat_json_get(node, "where_clause"));
        for (size_t i = 0; i < LEAT_ARRAY_LEN(parts) && rc == 0; i++)
                rc = leat_sql_walk_value(w, leat_json_get(node, parts[i]), scope);
        w->select = outer;
        return rc;
}

static int walk_body(struct sql_walk *w, const struct leat_json *node, const struct sql_scope *scope)
{
        const char *type = leat_json_str(node, "type");
        if (strcmp(type, "SELECT_NODE") == 0)
                return walk_select(w, node, scope);
        if (strcmp(type, "SET_OPERATION_NODE") == 0 || strcmp(type, "RECURSIVE_CTE_NODE") == 0) {
                struct sql_scope self = {.name = leat_json_str(node, "cte_name"), .up = scope};
                const struct sql_scope *inner = self.name[0] != 0 ? &self : scope;
                const struct leat_json *children = leat_json_get(node, "children");
                LEAT_TRY(walk_node(w, leat_json_get(node, "left"), inner));
                LEAT_TRY(walk_node(w, leat_json_get(node, "right"), inner));
                LEAT_TRY(leat_sql_walk_value(w, children, inner));
                struct sql_select_scope *outer = w->select;
                w->select = NULL;
                int rc = leat_sql_walk_value(w, leat_json_get(node, "modifiers"), scope);
                w->select = outer;
                return rc;
        }
        return leat_sql_walk_fail(w, -1, LEAT_EUNSUPPORTED, NULL, "%s is not supported", type);
}

static int walk_ctes(struct sql_walk *w, const struct leat_json *node, const struct leat_json *cte,
                     const struct sql_scope *scope)
{
        if (cte == NULL)
                return walk_body(w, node, scope);
        struct sql_scope self = {.name = leat_json_str(cte, "key"), .up = scope};
        const struct leat_json *query = leat_json_get(leat_json_get(leat_json_get(cte, "value"), "query"), "node");
        bool recursive = strcmp(leat_json_str(query, "type"), "RECURSIVE_CTE_NODE") == 0;
        LEAT_TRY(walk_node(w, query, recursive ? &self : scope));
        return walk_ctes(w, node, cte->next, &self);
}

static int walk_node(struct sql_walk *w, const struct leat_json *node, const struct sql_scope *scope)
{
        if (node == NULL || node->kind != LEAT_JSON_OBJECT)
                return 0;
        const struct leat_json *ctes = leat_json_get(leat_json_get(node, "cte_map"), "map");
        return walk_ctes(w, node, ctes != NULL ? ctes->first : NULL, scope);
}

int leat_sql_rewrite_tree(struct sql_rewrite *rw, const struct leat_sql_map *in, const struct leat_sql_map **ret_map)
{
        struct sql_walk w = {.rw = rw, .in = in, .text = in->text, .edits = {.arena = rw->arena}};
        const struct leat_json *node;
        LEAT_TRY(leat_sql_env_tree(rw->env, rw->arena, in, &node, rw->err));
        LEAT_TRY(leat_sql_tokens(rw->arena, in->text, 0, (uint32_t)in->text.len, false, &w.tokens, &w.token_count,
                                 rw->err));
        LEAT_TRY(walk_node(&w, node, NULL));
        rw->node = node;
        *ret_map = w.edits.list == NULL ? in : leat_sql_map_edit(rw->arena, in, w.edits.list);
        return 0;
}

int leat_sql_rewrite_query(struct sql_rewrite *rw, const struct leat_sql_map *in, const struct leat_sql_map **ret_map)
{
        const struct leat_sql_map *tokens;
        LEAT_TRY(leat_sql_rewrite_tokens(rw, in, &tokens));
        return leat_sql_rewrite_tree(rw, tokens, ret_map);
}
