/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/sql: names of relations in a query's text: tokens by their place, and what
 * stands for each relation. sql_tree.c walks the tree.
 */
#include <stdio.h>
#include <strings.h>

#include "sql_tree.h"

#define VIEW_DEPTH_MAX 32
#define ITEMS_MAX 1024
#define VIEWS_MAX 1000 /* put in place in one query, at any depth */
#define EXPANDED_BYTES_MAX (4u << 20)

int leat_sql_walk_fail(struct sql_walk *w, int64_t at, int code, const char *hint, const char *fmt, ...)
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
uint32_t leat_sql_walk_token(const struct sql_walk *w, int64_t at)
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
bool leat_sql_walk_op(const struct sql_walk *w, uint32_t i, char op)
{
        return i < w->token_count && leat_sql_token_op(w->text, &w->tokens[i], op);
}
bool leat_sql_walk_is(const struct sql_walk *w, uint32_t i, const char *word)
{
        return i < w->token_count && leat_sql_token_is(w->text, &w->tokens[i], word);
}
bool leat_sql_walk_name(const struct sql_walk *w, uint32_t i)
{
        return i < w->token_count && (w->tokens[i].kind == TOKEN_WORD || w->tokens[i].kind == TOKEN_QUOTED);
}
uint32_t leat_sql_walk_end(const struct sql_walk *w, uint32_t i)
{
        return w->tokens[i].start + w->tokens[i].len;
}
/* Last token of the name a.b.c that begins at @i. */
uint32_t leat_sql_walk_chain(const struct sql_walk *w, uint32_t i)
{
        while (leat_sql_walk_op(w, i + 1, '.') && leat_sql_walk_name(w, i + 2))
                i += 2;
        return i;
}
const char *leat_sql_walk_text(const struct sql_walk *w, uint32_t i)
{
        return leat_sql_token_value(w->rw->arena, w->text, &w->tokens[i], false);
}
const char *leat_sql_walk_quoted(struct sql_walk *w, const char *name)
{
        struct leat_buf out = LEAT_BUF_INIT;
        leat_sql_quote_name(&out, name);
        const char *copy = leat_arena_strdup(w->rw->arena, leat_buf_cstr(&out));
        leat_buf_done(&out);
        return copy;
}

/* ---- relations -------------------------------------------------------------------------- */
static void note_used(struct sql_walk *w, const struct sql_relation *relation, int64_t at, uint32_t len)
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
static int view_text(struct sql_walk *w, const struct leat_object *object, int64_t at, const char **ret_text)
{
        struct sql_rewrite *rw = w->rw;
        const struct leat_sql_map *map;
        struct leat_error local;
        struct leat_error *outer = rw->err;
        const struct leat_view_def *def = object->view;
        if (rw->view_depth >= VIEW_DEPTH_MAX)
                return leat_sql_walk_fail(w, at, LEAT_EUNSUPPORTED, NULL, "views that stand on more than %d others",
                                          VIEW_DEPTH_MAX);
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
                leat_sql_walk_fail(w, at, rc, local.hint[0] != 0 ? local.hint : NULL, "view \"%s\": %s", object->name,
                                   local.message);
                return rc;
        }
        /* v2 = v1, v1; v3 = v2, v2; … doubles each time. */
        rw->expanded_bytes += map->text.len;
        if (rw->expanded_bytes > EXPANDED_BYTES_MAX || ++rw->expanded_views > VIEWS_MAX)
                return leat_sql_walk_fail(w, at, LEAT_ETOOBIG, "Make one of the views a materialized view.",
                                          "the plain views of this query come to more than %d, or %u MiB of SQL",
                                          VIEWS_MAX, EXPANDED_BYTES_MAX >> 20);
        /* The view's own columns, whatever the query calls them today. */
        struct leat_buf out = LEAT_BUF_INIT;
        leat_buf_add_str(&out, "(SELECT ");
        for (uint32_t i = 0; i < def->column_count; i++)
                leat_buf_printf(&out, "%s%s", i != 0 ? ", " : "", leat_sql_walk_quoted(w, def->columns[i].name));
        leat_buf_add_str(&out, " FROM (");
        leat_buf_add_view(&out, map->text);
        leat_buf_add_str(&out, ") AS leat_view(");
        for (uint32_t i = 0; i < def->column_count; i++)
                leat_buf_printf(&out, "%s%s", i != 0 ? ", " : "", leat_sql_walk_quoted(w, def->columns[i].name));
        leat_buf_add_str(&out, "))");
        *ret_text = leat_arena_strdup(rw->arena, leat_buf_cstr(&out));
        leat_buf_done(&out);
        return 0;
}

static int relation_text(struct sql_walk *w, struct sql_item *item, const char **ret_text)
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
static int add_item(struct sql_walk *w, const struct sql_relation *relation, const char *alias, bool renamed,
                    int64_t at, struct sql_item **ret_item)
{
        struct sql_select_scope *select = w->select;
        if (select->count == ITEMS_MAX)
                return leat_sql_walk_fail(w, at, LEAT_EUNSUPPORTED, NULL, "more than %d relations in one FROM",
                                          ITEMS_MAX);
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

bool leat_sql_walk_is_cte(const struct sql_scope *scope, const char *name)
{
        for (; scope != NULL; scope = scope->up) {
                if (strcasecmp(scope->name, name) == 0)
                        return true;
        }
        return false;
}

/* Resolves the name [first, last] and adds "before relation after" to @edit. */
int leat_sql_walk_relation(struct sql_walk *w, uint32_t first, uint32_t last, const char *alias, bool renamed,
                           struct sql_edit *edit, struct sql_relation *ret_relation)
{
        struct sql_rewrite *rw = w->rw;
        const char *name = leat_sql_walk_text(w, last), *schema = first != last ? leat_sql_walk_text(w, last - 2) : "";
        uint32_t at = w->tokens[first].start;
        struct sql_relation relation;
        struct sql_item *item;
        const char *text;
        if (last - first > 2)
                return leat_sql_walk_fail(w, at, LEAT_ENORELATION, "A name is \"relation\" or \"schema.relation\".",
                                          "cross-database references are not implemented");
        LEAT_TRY(leat_sql_relation_find(rw, schema, name, w->in, at, &relation));
        note_used(w, &relation, at, leat_sql_walk_end(w, last) - at);
        *ret_relation = relation;
        if (relation.object != NULL && relation.object->kind == LEAT_OBJECT_VIEW) {
                LEAT_TRY(view_text(w, relation.object, at, &text));
                leat_sql_edit_literal(edit, text, at);
                return 0;
        }
        if (rw->mode == SQL_MODE_STREAM && (relation.kind == LEAT_SCAN_UNDECLARED || relation.kind == LEAT_SCAN_SYSTEM))
                return leat_sql_walk_fail(w, at, LEAT_EUNSUPPORTED, "CREATE TOPIC gives a topic its columns.",
                                          "a materialized view cannot read \"%s\"", name);
        LEAT_TRY(add_item(w, &relation, alias, renamed, at, &item));
        if (rw->mode == SQL_MODE_STREAM && relation.kind != LEAT_SCAN_SYSTEM) {
                LEAT_TRY(relation_text(w, item, &text));
                leat_sql_edit_literal(edit, text, at);
                return 0;
        }
        /* Filled in by leat_sql_walk_finish(). */
        item->edit = edit;
        item->piece = edit->piece_count;
        leat_sql_edit_literal(edit, "", at);
        return 0;
}

int leat_sql_walk_finish(struct sql_walk *w, const struct leat_json *where)
{
        struct sql_select_scope *select = w->select;
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

int leat_sql_walk_base_table(struct sql_walk *w, const struct leat_json *ref, const struct sql_scope *scope)
{
        const char *name = leat_json_str(ref, "table_name"), *alias = leat_json_str(ref, "alias");
        const struct leat_json *names = leat_json_get(ref, "column_name_alias");
        const struct leat_json *as_of = leat_json_get(ref, "at_clause");
        int64_t at = leat_json_location(ref);
        struct sql_relation relation;
        if (leat_json_str(ref, "schema_name")[0] == 0 && leat_sql_walk_is_cte(scope, name))
                return 0;
        uint32_t first = leat_sql_walk_token(w, at);
        if (!leat_sql_walk_name(w, first) || strcmp(leat_sql_walk_text(w, leat_sql_walk_chain(w, first)), name) != 0)
                return leat_sql_walk_fail(w, at, LEAT_ENORELATION, "SHOW TABLES lists the relations there are.",
                                          "relation \"%s\" does not exist", name);
        if (as_of != NULL && as_of->kind != LEAT_JSON_NULL)
                return leat_sql_walk_fail(w, at, LEAT_EUNSUPPORTED, NULL,
                                          "topics and views have no past versions to read");
        uint32_t last = leat_sql_walk_chain(w, first);
        struct sql_edit *edit = leat_sql_edit_new(&w->edits, w->tokens[first].start, leat_sql_walk_end(w, last));
        LEAT_TRY(leat_sql_walk_relation(w, first, last, alias[0] != 0 ? alias : name,
                                        names != NULL && names->count != 0, edit, &relation));
        if (alias[0] == 0)
                leat_sql_edit_literal(edit, leat_arena_printf(w->rw->arena, " AS %s", leat_sql_walk_quoted(w, name)),
                                      (uint32_t)at);
        else
                leat_sql_edit_literal(edit, " ", (uint32_t)at);
        return 0;
}
