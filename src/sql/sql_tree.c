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

#include "sql_int.h"

#define VIEW_DEPTH_MAX 32
#define ITEMS_MAX 1024
#define VIEWS_MAX 1000 /* put in place in one query, at any depth */
#define EXPANDED_BYTES_MAX (4u << 20)

struct scope {
        const char *name;
        const struct scope *up;
};

struct select_scope {
        struct sql_item *items;
        uint32_t count, cap;
        bool no_pushdown;
};

struct walk {
        struct sql_rewrite *rw;
        const struct leat_sql_map *in;
        struct leat_view text;
        struct sql_token *tokens;
        uint32_t token_count;
        struct sql_edits edits;
        /* Relations whose text waits for the conditions of their SELECT. */
        struct select_scope *select;
};

static int walk_node(struct walk *w, const struct leat_json *node, const struct scope *scope);
static int walk_value(struct walk *w, const struct leat_json *json, const struct scope *scope);
static int walk_from(struct walk *w, const struct leat_json *ref, const struct scope *scope);

static int fail(struct walk *w, int64_t at, int code, const char *hint, const char *fmt, ...) LEAT_PRINTF(5, 6);
static int fail(struct walk *w, int64_t at, int code, const char *hint, const char *fmt, ...)
{
        char message[400];
        va_list args;
        va_start(args, fmt);
        vsnprintf(message, sizeof message, fmt, args);
        va_end(args);
        leat_sql_map_fail(w->in, at, w->rw->err, code, "%s", message);
        if (hint != NULL)
                leat_error_hint(w->rw->err, "%s", hint);
        return code;
}

/* ---- tokens by place ------------------------------------------------------------------ */
/* Index of the token that starts at byte @at; token_count when there is none. */
static uint32_t token_find(const struct walk *w, int64_t at)
{
        uint32_t low = 0, high = w->token_count;
        while (low < high) {
                uint32_t middle = low + (high - low) / 2;
                if (w->tokens[middle].start < at)
                        low = middle + 1;
                else
                        high = middle;
        }
        return at >= 0 && low < w->token_count && w->tokens[low].start == at ? low : w->token_count;
}
static bool token_op(const struct walk *w, uint32_t i, char op)
{
        return i < w->token_count && leat_sql_token_op(w->text, &w->tokens[i], op);
}
static bool token_is(const struct walk *w, uint32_t i, const char *word)
{
        return i < w->token_count && leat_sql_token_is(w->text, &w->tokens[i], word);
}
static bool token_name(const struct walk *w, uint32_t i)
{
        return i < w->token_count && (w->tokens[i].kind == TOKEN_WORD || w->tokens[i].kind == TOKEN_QUOTED);
}
static uint32_t token_end(const struct walk *w, uint32_t i)
{
        return w->tokens[i].start + w->tokens[i].len;
}
/* Last token of the name a.b.c that begins at @i. */
static uint32_t chain_end(const struct walk *w, uint32_t i)
{
        while (token_op(w, i + 1, '.') && token_name(w, i + 2))
                i += 2;
        return i;
}
static const char *token_text(const struct walk *w, uint32_t i)
{
        return leat_sql_token_value(w->rw->arena, w->text, &w->tokens[i], false);
}
static const char *quoted(struct walk *w, const char *name)
{
        struct leat_buf out = LEAT_BUF_INIT;
        leat_sql_quote_name(&out, name);
        const char *copy = leat_arena_strdup(w->rw->arena, leat_buf_cstr(&out));
        leat_buf_done(&out);
        return copy;
}

/* ---- relations -------------------------------------------------------------------------- */
static void note_used(struct walk *w, const struct sql_relation *relation, int64_t at, uint32_t len)
{
        struct sql_rewrite *rw = w->rw;
        uint64_t id = relation->object != NULL ? relation->object->id : 0;
        for (uint32_t i = 0; i < rw->used_count; i++) {
                if (rw->used[i].object_id == id && rw->used[i].kind == relation->kind &&
                    strcmp(rw->used[i].name, relation->name) == 0)
                        return;
        }
        if (rw->used_count == rw->used_cap) {
                uint32_t cap = rw->used_cap != 0 ? rw->used_cap * 2 : 8;
                struct leat_sql_used *more = leat_arena_alloc(rw->arena, cap * sizeof *more);
                if (rw->used_count != 0)
                        memcpy(more, rw->used, rw->used_count * sizeof *more);
                rw->used = more;
                rw->used_cap = cap;
        }
        struct leat_sql_used used = {.object_id = id, .kind = relation->kind, .name = relation->name};
        uint32_t byte = at >= 0 ? leat_sql_map_byte(w->in, (uint32_t)at) : SQL_NOWHERE;
        if (rw->view_depth == 0 && byte != SQL_NOWHERE)
                used.at = (struct leat_span){.start = byte, .len = len};
        rw->used[rw->used_count++] = used;
}

/* The query of a plain view, rewritten with places that all lie at the reference. */
static int view_text(struct walk *w, const struct leat_object *object, int64_t at, const char **ret_text)
{
        struct sql_rewrite *rw = w->rw;
        const struct leat_sql_map *map;
        struct leat_error local;
        struct leat_error *outer = rw->err;
        const struct leat_view_def *def = object->view;
        if (rw->view_depth >= VIEW_DEPTH_MAX)
                return fail(w, at, LEAT_EUNSUPPORTED, NULL, "views that stand on more than %d others", VIEW_DEPTH_MAX);
        uint32_t pseudo = rw->pseudo;
        const char *const *names = rw->param_names;
        rw->view_depth++;
        rw->err = &local;
        rw->pseudo = 0;
        int rc = leat_sql_rewrite_query(rw, leat_sql_map_nowhere(rw->arena, def->body), &map);
        rw->param_names = names;
        rw->pseudo = pseudo;
        rw->err = outer;
        rw->view_depth--;
        if (rc != 0) {
                fail(w, at, rc, local.hint[0] != 0 ? local.hint : NULL, "view \"%s\": %s", object->name, local.message);
                return rc;
        }
        /* v2 = v1, v1; v3 = v2, v2; … doubles each time. */
        rw->expanded_bytes += map->text.len;
        if (rw->expanded_bytes > EXPANDED_BYTES_MAX || ++rw->expanded_views > VIEWS_MAX)
                return fail(w, at, LEAT_ETOOBIG, "Make one of the views a materialized view.",
                            "the plain views of this query come to more than %d, or %u MiB of SQL", VIEWS_MAX,
                            EXPANDED_BYTES_MAX >> 20);
        /* The view's own columns, whatever the query calls them today. */
        struct leat_buf out = LEAT_BUF_INIT;
        leat_buf_add_str(&out, "(SELECT ");
        for (uint32_t i = 0; i < def->column_count; i++)
                leat_buf_printf(&out, "%s%s", i != 0 ? ", " : "", quoted(w, def->columns[i].name));
        leat_buf_add_str(&out, " FROM (");
        leat_buf_add_view(&out, map->text);
        leat_buf_add_str(&out, ") AS leat_view(");
        for (uint32_t i = 0; i < def->column_count; i++)
                leat_buf_printf(&out, "%s%s", i != 0 ? ", " : "", quoted(w, def->columns[i].name));
        leat_buf_add_str(&out, "))");
        *ret_text = leat_arena_strdup(rw->arena, leat_buf_cstr(&out));
        leat_buf_done(&out);
        return 0;
}

static int relation_text(struct walk *w, struct sql_item *item, const char **ret_text)
{
        struct sql_rewrite *rw = w->rw;
        if (rw->mode == SQL_MODE_STREAM && item->relation.kind != LEAT_SCAN_SYSTEM) {
                *ret_text = leat_sql_table_name(rw->arena, &item->relation);
                return 0;
        }
        struct leat_buf key = LEAT_BUF_INIT, out = LEAT_BUF_INIT;
        leat_sql_scan_key_print(item->key, &key);
        leat_buf_add_str(&out, "leat_scan(");
        leat_sql_quote_text(&out, leat_buf_view(&key));
        leat_buf_add_str(&out, ")");
        *ret_text = leat_arena_strdup(rw->arena, leat_buf_cstr(&out));
        leat_buf_done(&key);
        leat_buf_done(&out);
        return 0;
}

/* Adds the relation to the SELECT's items; its text is known when the conditions are. */
static int add_item(struct walk *w, const struct sql_relation *relation, const char *alias, bool renamed, int64_t at,
                    struct sql_item **ret_item)
{
        struct select_scope *select = w->select;
        if (select->count == ITEMS_MAX)
                return fail(w, at, LEAT_EUNSUPPORTED, NULL, "more than %d relations in one FROM", ITEMS_MAX);
        if (select->count == select->cap) {
                uint32_t cap = select->cap != 0 ? select->cap * 2 : 4;
                struct sql_item *more = leat_arena_zalloc(w->rw->arena, cap * sizeof *more);
                if (select->count != 0)
                        memcpy(more, select->items, select->count * sizeof *more);
                select->items = more;
                select->cap = cap;
        }
        struct sql_item *item = &select->items[select->count++];
        struct leat_scan_key *key = leat_arena_zalloc(w->rw->arena, sizeof *key);
        *item = (struct sql_item){.relation = *relation, .alias = alias, .renamed = renamed, .key = key};
        /* In the environment the tables have all of them, in a scan only those that are named. */
        item->pseudo = relation->pseudo & (w->rw->mode == SQL_MODE_BATCH ? w->rw->pseudo : UINT32_MAX);
        *key = (struct leat_scan_key){
                .kind = relation->kind,
                .object_id = relation->object != NULL ? relation->object->id : 0,
                .name = relation->name,
                .pseudo = item->pseudo,
        };
        *ret_item = item;
        return 0;
}

static bool is_cte(const struct scope *scope, const char *name)
{
        for (; scope != NULL; scope = scope->up) {
                if (strcasecmp(scope->name, name) == 0)
                        return true;
        }
        return false;
}

/* Resolves the name [first, last] and adds "before relation after" to @edit. */
static int place_relation(struct walk *w, uint32_t first, uint32_t last, const char *alias, bool renamed,
                          struct sql_edit *edit, struct sql_relation *ret_relation)
{
        struct sql_rewrite *rw = w->rw;
        const char *name = token_text(w, last), *schema = first != last ? token_text(w, last - 2) : "";
        uint32_t at = w->tokens[first].start;
        struct sql_relation relation;
        struct sql_item *item;
        const char *text;
        if (last - first > 2)
                return fail(w, at, LEAT_ENORELATION, "A name is \"relation\" or \"schema.relation\".",
                            "cross-database references are not implemented");
        LEAT_TRY(leat_sql_relation_find(rw, schema, name, w->in, at, &relation));
        note_used(w, &relation, at, token_end(w, last) - at);
        *ret_relation = relation;
        if (relation.object != NULL && relation.object->kind == LEAT_OBJECT_VIEW) {
                LEAT_TRY(view_text(w, relation.object, at, &text));
                leat_sql_edit_literal(edit, text, at);
                return 0;
        }
        if (rw->mode == SQL_MODE_STREAM && (relation.kind == LEAT_SCAN_UNDECLARED || relation.kind == LEAT_SCAN_SYSTEM))
                return fail(w, at, LEAT_EUNSUPPORTED, "CREATE TOPIC gives a topic its columns.",
                            "a materialized view cannot read \"%s\"", name);
        LEAT_TRY(add_item(w, &relation, alias, renamed, at, &item));
        if (rw->mode == SQL_MODE_STREAM && relation.kind != LEAT_SCAN_SYSTEM) {
                LEAT_TRY(relation_text(w, item, &text));
                leat_sql_edit_literal(edit, text, at);
                return 0;
        }
        /* Filled in by finish_items(). */
        item->edit = edit;
        item->piece = edit->piece_count;
        leat_sql_edit_literal(edit, "", at);
        return 0;
}

static int finish_items(struct walk *w, const struct leat_json *where)
{
        struct select_scope *select = w->select;
        if (w->rw->mode == SQL_MODE_BATCH && !select->no_pushdown)
                leat_sql_pushdown(w->rw->arena, where, select->items, select->count);
        for (uint32_t i = 0; i < select->count; i++) {
                const char *text;
                if (select->items[i].edit == NULL)
                        continue;
                LEAT_TRY(relation_text(w, &select->items[i], &text));
                select->items[i].edit->pieces[select->items[i].piece].literal = text;
        }
        return 0;
}

static int walk_base_table(struct walk *w, const struct leat_json *ref, const struct scope *scope)
{
        const char *name = leat_json_str(ref, "table_name"), *alias = leat_json_str(ref, "alias");
        const struct leat_json *names = leat_json_get(ref, "column_name_alias");
        const struct leat_json *as_of = leat_json_get(ref, "at_clause");
        int64_t at = leat_json_location(ref);
        struct sql_relation relation;
        if (leat_json_str(ref, "schema_name")[0] == 0 && is_cte(scope, name))
                return 0;
        uint32_t first = token_find(w, at);
        if (!token_name(w, first) || strcmp(token_text(w, chain_end(w, first)), name) != 0)
                return fail(w, at, LEAT_ENORELATION, "SHOW TABLES lists the relations there are.",
                            "relation \"%s\" does not exist", name);
        if (as_of != NULL && as_of->kind != LEAT_JSON_NULL)
                return fail(w, at, LEAT_EUNSUPPORTED, NULL, "topics and views have no past versions to read");
        uint32_t last = chain_end(w, first);
        struct sql_edit *edit = leat_sql_edit_new(&w->edits, w->tokens[first].start, token_end(w, last));
        LEAT_TRY(place_relation(w, first, last, alias[0] != 0 ? alias : name, names != NULL && names->count != 0, edit,
                                &relation));
        if (alias[0] == 0)
                leat_sql_edit_literal(edit, leat_arena_printf(w->rw->arena, " AS %s", quoted(w, name)), (uint32_t)at);
        else
                leat_sql_edit_literal(edit, " ", (uint32_t)at);
        return 0;
}

/* ---- tumble and hop -------------------------------------------------------------------------- */
struct arguments {
        uint32_t first[6], last[6]; /* tokens of each */
        uint32_t count;
        uint32_t close;
};

static bool read_arguments(const struct walk *w, uint32_t open, struct arguments *args)
{
        uint32_t depth = 0, start = open + 1;
        args->count = 0;
        for (uint32_t i = open; i < w->token_count; i++) {
                bool opens = token_op(w, i, '(') || token_op(w, i, '[') || token_op(w, i, '{');
                bool closes = token_op(w, i, ')') || token_op(w, i, ']') || token_op(w, i, '}');
                depth += opens;
                if (depth == 1 && (closes || token_op(w, i, ',')) && i != open) {
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

static void piece(struct walk *w, struct sql_edit *edit, const struct arguments *args, uint32_t n)
{
        leat_sql_edit_piece(edit, w->tokens[args->first[n]].start, token_end(w, args->last[n]));
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
static int window_relation(struct walk *w, const struct leat_json *arg, const struct arguments *args, const char *alias,
                           const struct scope *scope, struct sql_edit *edit, struct sql_relation *ret_relation)
{
        uint32_t first = args->first[0], last = args->last[0];
        memset(ret_relation, 0, sizeof *ret_relation);
        if (token_name(w, first) && chain_end(w, first) == last) {
                if (first == last && is_cte(scope, token_text(w, first))) {
                        piece(w, edit, args, 0);
                        return 0;
                }
                LEAT_TRY(place_relation(w, first, last, alias, false, edit, ret_relation));
                leat_sql_edit_literal(edit, leat_arena_printf(w->rw->arena, " AS %s", quoted(w, token_text(w, last))),
                                      w->tokens[first].start);
                return 0;
        }
        if (strcmp(leat_json_str(arg, "class"), "SUBQUERY") == 0 && token_op(w, first, '(')) {
                LEAT_TRY(walk_value(w, arg, scope));
                piece(w, edit, args, 0);
                return 0;
        }
        return fail(w, w->tokens[first].start, LEAT_EUNSUPPORTED,
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

static int walk_window(struct walk *w, const struct leat_json *ref, const struct leat_json *function,
                       uint32_t name_token, const struct scope *scope)
{
        bool hop = strcasecmp(leat_json_str(function, "function_name"), "hop") == 0;
        const struct leat_json *children = leat_json_get(function, "children");
        const char *alias = leat_json_str(ref, "alias");
        uint32_t at = w->tokens[name_token].start, sizes = hop ? 2 : 1;
        struct arguments args;
        struct sql_relation relation;
        if (!read_arguments(w, name_token + 1, &args) || args.count != children->count || args.count < 2 + sizes ||
            args.count > 3 + sizes)
                return fail(w, at, LEAT_ENOFUNCTION,
                            hop ? "Write hop(relation, time_column, slide, size), slide and size as INTERVAL '...'."
                                : "Write tumble(relation, time_column, INTERVAL '10 seconds').",
                            "%s takes %s", hop ? "hop" : "tumble",
                            hop ? "a relation, a time, two intervals and an optional offset"
                                : "a relation, a time, an interval and an optional offset");
        for (uint32_t i = 2; i < args.count; i++) {
                if (!constant(leat_json_at(children, i)))
                        return fail(w, w->tokens[args.first[i]].start, LEAT_EUNSUPPORTED,
                                    "Write INTERVAL '10 seconds'.", "the size of a window must be a constant");
                LEAT_TRY(walk_value(w, leat_json_at(children, i), scope));
        }
        LEAT_TRY(walk_value(w, leat_json_at(children, 1), scope));

        struct sql_edit *edit = leat_sql_edit_new(&w->edits, at, token_end(w, args.close));
        uint32_t rest = w->tokens[args.first[2]].start, rest_end = token_end(w, args.last[args.count - 1]);
        const char *own = token_name(w, args.first[0]) ? token_text(w, args.last[0]) : hop ? "hop" : "tumble";
        const char *shown = alias[0] != 0 ? alias : own;
        /* The star is chosen when the relation is known. */
        uint32_t star = hop ? 2 : 0;
        if (hop) {
                leat_sql_edit_literal(edit, "(SELECT *, window_start + ", at);
                piece(w, edit, &args, 3);
        }
        leat_sql_edit_literal(edit, "", at);
        piece(w, edit, &args, 1);
        leat_sql_edit_literal(edit, ", ", at);
        leat_sql_edit_piece(edit, rest, rest_end);
        if (!hop) {
                /* Not "window_start + …": the relation may have a column of that name, which would go first. */
                leat_sql_edit_literal(edit, ") AS window_start, leat_window_start(", at);
                piece(w, edit, &args, 1);
                leat_sql_edit_literal(edit, ", ", at);
                leat_sql_edit_piece(edit, rest, rest_end);
                leat_sql_edit_literal(edit, ") + ", at);
                piece(w, edit, &args, 2);
                leat_sql_edit_literal(edit, " AS window_end FROM ", at);
        } else {
                leat_sql_edit_literal(edit, ")) AS window_start FROM ", at);
        }
        LEAT_TRY(window_relation(w, leat_json_at(children, 0), &args, shown, scope, edit, &relation));
        edit->pieces[star].literal = leat_arena_printf(w->rw->arena,
                                                       hop ? " AS window_end FROM (SELECT %s, unnest(leat_hop_starts("
                                                           : "(SELECT %s, leat_window_start(",
                                                       inner_star(&relation));
        leat_sql_edit_literal(edit, hop ? ") AS leat_hop)" : ")", at);
        leat_sql_edit_literal(edit, alias[0] != 0 ? " " : leat_arena_printf(w->rw->arena, " AS %s", quoted(w, own)),
                              at);
        return 0;
}

/* In PostgreSQL the column of generate_series(…) s is called s; psql's \d counts on it. */
static void name_column(struct walk *w, uint32_t token, const char *alias)
{
        struct arguments args;
        if (token >= w->token_count || !token_op(w, token + 1, '(') || !read_arguments(w, token + 1, &args))
                return;
        uint32_t name = args.close + 1 + token_is(w, args.close + 1, "AS");
        if (token_name(w, name) && strcmp(token_text(w, name), alias) == 0 && !token_op(w, name + 1, '('))
                leat_sql_edit_replace(&w->edits, token_end(w, name), token_end(w, name),
                                      leat_arena_printf(w->rw->arena, "(%s)", quoted(w, alias)));
}

/* ---- FROM --------------------------------------------------------------------------------------- */
static int walk_table_function(struct walk *w, const struct leat_json *ref, const struct scope *scope)
{
        const struct leat_json *function = leat_json_get(ref, "function");
        const char *name = leat_json_str(function, "function_name");
        int64_t at = leat_json_location(function);
        if (at < 0)
                at = leat_json_location(ref);
        uint32_t token = token_find(w, at);
        if (strcasecmp(name, "tumble") == 0 || strcasecmp(name, "hop") == 0) {
                if (token >= w->token_count || !token_op(w, token + 1, '('))
                        return fail(w, at, LEAT_EUNSUPPORTED, NULL, "%s must stand in FROM by its plain name", name);
                return walk_window(w, ref, function, token, scope);
        }
        if (strcasecmp(name, "session") == 0 || strcasecmp(name, "cumulate") == 0)
                return fail(w, at, LEAT_EUNSUPPORTED, "There are tumble and hop.", "Leat has no %s windows", name);
        if (!leat_sql_table_function_allowed(name))
                return fail(w, at, LEAT_EDENIED, "SQL reads topics and views only.",
                            "function %s is not allowed in FROM", name);
        if (leat_json_str(ref, "alias")[0] != 0)
                name_column(w, token, leat_json_str(ref, "alias"));
        return walk_value(w, leat_json_get(function, "children"), scope);
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

static int walk_join(struct walk *w, const struct leat_json *ref, const struct scope *scope)
{
        w->select->no_pushdown |= !plain_join(ref);
        if (strcmp(leat_json_str(ref, "ref_type"), "NATURAL") == 0 && w->rw->mode == SQL_MODE_STREAM)
                return fail(w, leat_json_location(ref), LEAT_EUNSUPPORTED, "Write JOIN ... USING (column).",
                            "NATURAL JOIN in a materialized view");
        LEAT_TRY(walk_from(w, leat_json_get(ref, "left"), scope));
        LEAT_TRY(walk_from(w, leat_json_get(ref, "right"), scope));
        return walk_value(w, leat_json_get(ref, "condition"), scope);
}

static int walk_from(struct walk *w, const struct leat_json *ref, const struct scope *scope)
{
        const char *type = leat_json_str(ref, "type");
        if (ref == NULL || ref->kind == LEAT_JSON_NULL || strcmp(type, "EMPTY") == 0)
                return 0;
        if (strcmp(type, "BASE_TABLE") == 0)
                return walk_base_table(w, ref, scope);
        if (strcmp(type, "JOIN") == 0)
                return walk_join(w, ref, scope);
        if (strcmp(type, "SUBQUERY") == 0)
                return walk_node(w, leat_json_get(leat_json_get(ref, "subquery"), "node"), scope);
        if (strcmp(type, "TABLE_FUNCTION") == 0)
                return walk_table_function(w, ref, scope);
        if (strcmp(type, "EXPRESSION_LIST") == 0)
                return walk_value(w, leat_json_get(ref, "values"), scope);
        if (strcmp(type, "PIVOT") == 0) {
                LEAT_TRY(walk_from(w, leat_json_get(ref, "source"), scope));
                LEAT_TRY(walk_value(w, leat_json_get(ref, "aggregates"), scope));
                return walk_value(w, leat_json_get(ref, "pivots"), scope);
        }
        if (strcmp(type, "SHOW_REF") == 0)
                return fail(w, leat_json_location(leat_json_get(leat_json_get(ref, "query"), "from_table")),
                            LEAT_EUNSUPPORTED, "Write DESCRIBE name as a statement.",
                            "DESCRIBE and SHOW do not stand in FROM");
        return fail(w, leat_json_location(ref), LEAT_EUNSUPPORTED, NULL, "%s in FROM is not supported", type);
}

/* ---- expressions ----------------------------------------------------------------------------------- */
/* pg_get_viewdef(oid): a macro cannot hold leat_scan(), since it is bound when it is made. */
static void view_definition(struct walk *w, uint32_t token)
{
        struct arguments args;
        uint32_t at = w->tokens[token].start;
        if (!leat_sql_env_system(w->rw->env, "pg_catalog.pg_views") || !token_op(w, token + 1, '(') ||
            !read_arguments(w, token + 1, &args) || args.count == 0)
                return;
        struct sql_edit *edit = leat_sql_edit_new(&w->edits, at, token_end(w, args.close));
        leat_sql_edit_literal(
                edit,
                "(SELECT leat_v.definition FROM (SELECT viewname, definition FROM "
                "leat_scan('pg_catalog.pg_views') UNION ALL SELECT matviewname, definition FROM "
                "leat_scan('pg_catalog.pg_matviews')) leat_v JOIN leat_scan('pg_catalog.pg_class') leat_c ON "
                "leat_c.relname = leat_v.viewname WHERE leat_c.oid = (",
                at);
        piece(w, edit, &args, 0);
        leat_sql_edit_literal(edit, "))", at);
}

static int walk_function(struct walk *w, const struct leat_json *expr)
{
        const char *name = leat_json_str(expr, "function_name"), *schema = leat_json_str(expr, "schema");
        int64_t at = leat_json_location(expr);
        uint32_t token = token_find(w, at);
        if (leat_json_str(expr, "catalog")[0] != 0 ||
            (schema[0] != 0 && strcmp(schema, "main") != 0 && strcmp(schema, "pg_catalog") != 0))
                return fail(w, at, LEAT_EDENIED, "Write the function's name without a schema.",
                            "function %s.%s is not allowed", schema, name);
        const struct leat_json *children = leat_json_get(expr, "children");
        if (strcasecmp(name, "pg_get_viewdef") == 0 && w->rw->mode == SQL_MODE_BATCH && token < w->token_count)
                view_definition(w, token);
        switch (leat_sql_function_class(w->rw->env, name)) {
        case SQL_FUNCTION_DENIED:
                return fail(w, at, LEAT_EDENIED, NULL, "function %s is not allowed", name);
        case SQL_FUNCTION_VOLATILE:
                if (w->rw->mode == SQL_MODE_STREAM)
                        return fail(w, at, LEAT_EUNSUPPORTED,
                                    "Its value must be the same when the row is taken back later; use a column.",
                                    "%s() gives another value each time and cannot stand in a materialized view", name);
                return 0;
        case SQL_FUNCTION_NOW:
                if (w->rw->mode != SQL_MODE_STREAM ||
                    (strcasecmp(name, "age") == 0 && children != NULL && children->count == 2))
                        return 0;
                if (leat_sql_now_text(name) == NULL || !token_op(w, token + 1, '(') || !token_op(w, token + 2, ')'))
                        return fail(w, at, LEAT_EUNSUPPORTED, "Write it with now().",
                                    "%s reads the clock and cannot stand in a materialized view", name);
                w->rw->uses_now = true;
                leat_sql_edit_replace(&w->edits, w->tokens[token].start, token_end(w, token + 2),
                                      leat_sql_now_text(name));
                return 0;
        default:
                return 0;
        }
}

static int walk_column(struct walk *w, const struct leat_json *expr)
{
        const struct leat_json *names = leat_json_get(expr, "column_names");
        int64_t at = leat_json_location(expr);
        uint32_t token = token_find(w, at);
        if (names == NULL || names->count == 0 || token >= w->token_count)
                return 0;
        const char *name = (const char *)leat_json_at(names, 0)->text.data;
        if (names->count == 1 && w->tokens[token].kind == TOKEN_WORD && leat_sql_now_text(name) != NULL &&
            w->rw->mode == SQL_MODE_STREAM) {
                w->rw->uses_now = true;
                leat_sql_edit_replace(&w->edits, w->tokens[token].start, token_end(w, token), leat_sql_now_text(name));
        } else if (names->count >= 3 && (strcmp(name, "public") == 0 || strcmp(name, "pg_catalog") == 0)) {
                leat_sql_edit_replace(&w->edits, w->tokens[token].start, token_end(w, token + 1), " ");
        }
        return 0;
}

/* The names to hide behind a star of @relation ("" = all), qualified. */
static void hidden_names(struct walk *w, const char *relation, struct leat_buf *out)
{
        for (uint32_t i = 0; w->select != NULL && i < w->select->count; i++) {
                const struct sql_item *item = &w->select->items[i];
                if (item->renamed || (relation[0] != 0 && strcasecmp(relation, item->alias) != 0))
                        continue;
                for (int p = 0; p < LEAT_PSEUDO_COUNT; p++) {
                        if ((item->pseudo >> p & 1) == 0)
                                continue;
                        leat_buf_printf(out, "%s%s.%s", out->len != 0 ? ", " : "", quoted(w, item->alias),
                                        leat_sql_pseudo_name((enum leat_pseudo)p));
                }
        }
}

/* The token of the "*" of a STAR at @token: "*", "t.*", COLUMNS(*); token_count when it has none. */
static uint32_t star_token(const struct walk *w, uint32_t token)
{
        if (token_op(w, token, '*'))
                return token;
        if (token_is(w, token, "COLUMNS") && token_op(w, token + 1, '('))
                return star_token(w, token + 2);
        if (token_name(w, token)) {
                uint32_t last = chain_end(w, token);
                if (token_op(w, last + 1, '.') && token_op(w, last + 2, '*'))
                        return last + 2;
        }
        return w->token_count;
}

static int walk_star(struct walk *w, const struct leat_json *expr)
{
        struct leat_buf names = LEAT_BUF_INIT;
        uint32_t token = token_find(w, leat_json_location(expr));
        hidden_names(w, leat_json_str(expr, "relation_name"), &names);
        /* TABLE t takes no leat_scan(). */
        if (names.len == 0 && token_is(w, token, "TABLE"))
                leat_sql_edit_replace(&w->edits, w->tokens[token].start, token_end(w, token), "SELECT * FROM");
        if (names.len == 0 || token >= w->token_count) {
                leat_buf_done(&names);
                return 0;
        }
        const char *list = leat_arena_strdup(w->rw->arena, leat_buf_cstr(&names));
        leat_buf_done(&names);
        uint32_t start = w->tokens[token].start, star = star_token(w, token);
        if (token_is(w, token, "FROM")) {
                leat_sql_edit_replace(&w->edits, start, start,
                                      leat_arena_printf(w->rw->arena, "SELECT * EXCLUDE (%s) ", list));
        } else if (token_is(w, token, "TABLE")) {
                leat_sql_edit_replace(&w->edits, start, token_end(w, token),
                                      leat_arena_printf(w->rw->arena, "SELECT * EXCLUDE (%s) FROM", list));
        } else if (star < w->token_count && token_is(w, star + 1, "EXCLUDE") && token_op(w, star + 2, '(')) {
                uint32_t at = token_end(w, star + 2);
                leat_sql_edit_replace(&w->edits, at, at, leat_arena_printf(w->rw->arena, "%s, ", list));
        } else if (star < w->token_count && token_is(w, star + 1, "EXCLUDE")) {
                struct sql_edit *edit = leat_sql_edit_new(&w->edits, w->tokens[star + 2].start, token_end(w, star + 2));
                leat_sql_edit_literal(edit, leat_arena_printf(w->rw->arena, "(%s, ", list), start);
                leat_sql_edit_literal(edit, leat_arena_printf(w->rw->arena, "%s)", token_text(w, star + 2)), start);
        } else if (star < w->token_count) {
                uint32_t at = token_end(w, star);
                leat_sql_edit_replace(&w->edits, at, at, leat_arena_printf(w->rw->arena, " EXCLUDE (%s)", list));
        }
        return 0;
}

static int walk_expression(struct walk *w, const struct leat_json *expr, const char *class, const struct scope *scope)
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
                        LEAT_TRY(walk_value(w, item, scope));
        }
        return 0;
}

static int walk_value(struct walk *w, const struct leat_json *json, const struct scope *scope)
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
        LEAT_TRY(walk_value(w, item, scope));
        return 0;
}

/* ---- query nodes ----------------------------------------------------------------------------------- */
static int walk_select(struct walk *w, const struct leat_json *node, const struct scope *scope)
{
        static const char *const parts[] = {"select_list", "where_clause", "group_expressions",
                                            "having",      "qualify",      "modifiers"};
        struct select_scope *outer = w->select;
        w->select = leat_arena_zalloc(w->rw->arena, sizeof *w->select);
        int rc = walk_from(w, leat_json_get(node, "from_table"), scope);
        if (rc == 0)
                rc = finish_items(w, leat_json_get(node, "where_clause"));
        for (size_t i = 0; i < LEAT_ARRAY_LEN(parts) && rc == 0; i++)
                rc = walk_value(w, leat_json_get(node, parts[i]), scope);
        w->select = outer;
        return rc;
}

static int walk_body(struct walk *w, const struct leat_json *node, const struct scope *scope)
{
        const char *type = leat_json_str(node, "type");
        if (strcmp(type, "SELECT_NODE") == 0)
                return walk_select(w, node, scope);
        if (strcmp(type, "SET_OPERATION_NODE") == 0 || strcmp(type, "RECURSIVE_CTE_NODE") == 0) {
                struct scope self = {.name = leat_json_str(node, "cte_name"), .up = scope};
                const struct scope *inner = self.name[0] != 0 ? &self : scope;
                const struct leat_json *children = leat_json_get(node, "children");
                LEAT_TRY(walk_node(w, leat_json_get(node, "left"), inner));
                LEAT_TRY(walk_node(w, leat_json_get(node, "right"), inner));
                LEAT_TRY(walk_value(w, children, inner));
                struct select_scope *outer = w->select;
                w->select = NULL;
                int rc = walk_value(w, leat_json_get(node, "modifiers"), scope);
                w->select = outer;
                return rc;
        }
        return fail(w, -1, LEAT_EUNSUPPORTED, NULL, "%s is not supported", type);
}

static int walk_ctes(struct walk *w, const struct leat_json *node, const struct leat_json *cte,
                     const struct scope *scope)
{
        if (cte == NULL)
                return walk_body(w, node, scope);
        struct scope self = {.name = leat_json_str(cte, "key"), .up = scope};
        const struct leat_json *query = leat_json_get(leat_json_get(leat_json_get(cte, "value"), "query"), "node");
        bool recursive = strcmp(leat_json_str(query, "type"), "RECURSIVE_CTE_NODE") == 0;
        LEAT_TRY(walk_node(w, query, recursive ? &self : scope));
        return walk_ctes(w, node, cte->next, &self);
}

static int walk_node(struct walk *w, const struct leat_json *node, const struct scope *scope)
{
        if (node == NULL || node->kind != LEAT_JSON_OBJECT)
                return 0;
        const struct leat_json *ctes = leat_json_get(leat_json_get(node, "cte_map"), "map");
        return walk_ctes(w, node, ctes != NULL ? ctes->first : NULL, scope);
}

int leat_sql_rewrite_tree(struct sql_rewrite *rw, const struct leat_sql_map *in, const struct leat_sql_map **ret_map)
{
        struct walk w = {.rw = rw, .in = in, .text = in->text, .edits = {.arena = rw->arena}};
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
