/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/sql: batch queries: SELECT, the query of an INSERT, panels.
 *
 * A query is rewritten (sql_tokens.c, sql_tree.c) to SQL over leat_scan('key')
 * and prepared once in the environment, where the scans have columns and no
 * rows: that finds every mistake, at its place in the user's text, and gives
 * names and types. What the caller then prepares on his own connection is the
 * same text.
 */
#include <stdio.h>

#include "sql_int.h"

static void set_params(struct leat_arena *arena, const struct leat_plan *plan, struct leat_sql_query *query,
                       uint32_t count)
{
        struct leat_type *types = leat_arena_zalloc(arena, (count + 1) * sizeof *types);
        query->param_count = count;
        query->param_types = types;
        for (uint32_t i = 0; i < count; i++) {
                struct leat_type type = leat_plan_param_type(plan, i);
                types[i] = leat_type_copy(arena, &type);
        }
}

const char *leat_sql_output_name(struct leat_arena *arena, const char *name)
{
        const char *start = *name == '"' ? name + 1 : name;
        size_t len = strspn(start, "abcdefghijklmnopqrstuvwxyz_0123456789");
        const char *after = start + len + (start != name && start[len] == '"');
        if (len == 0 || *after != '(')
                return leat_arena_strdup(arena, strstr(name, "leat_") != NULL ? "?column?" : name);
        return len == 10 && memcmp(start, "count_star", 10) == 0 ? "count" : leat_arena_strndup(arena, start, len);
}

static void set_columns(struct leat_arena *arena, const struct leat_plan *plan, const struct leat_json *node,
                        struct leat_sql_query *query)
{
        uint32_t count = leat_plan_column_count(plan);
        const char **names = leat_arena_alloc(arena, (count + 1) * sizeof *names);
        struct leat_type *types = leat_arena_alloc(arena, (count + 1) * sizeof *types);
        for (uint32_t i = 0; i < count; i++) {
                struct leat_type type = leat_plan_column_type(plan, i);
                names[i] = leat_sql_output_name(arena, leat_plan_column_name(plan, i));
                types[i] = leat_type_copy(arena, &type);
        }
        leat_sql_result_names(arena, node, names, count);
        query->column_count = count;
        query->column_names = names;
        query->column_types = types;
}

/* $1 … $n must all be there, as in PostgreSQL; DuckDB binds by place. */
static int check_params(struct sql_rewrite *rw, const struct leat_plan *plan)
{
        for (uint32_t i = 0; i < rw->param_count; i++) {
                char name[12];
                snprintf(name, sizeof name, "%u", i + 1);
                if (leat_plan_param_find(plan, name) != (int)i)
                        return leat_error_set(rw->err, LEAT_ETYPE,
                                              "could not determine the type of parameter $%u: it is not used", i + 1);
        }
        return 0;
}

static int bind_map(struct sql_rewrite *rw, const struct leat_sql_map *map, struct leat_sql_query *query)
{
        struct leat_plan *plan;
        pthread_mutex_lock(&rw->env->lock);
        int rc = leat_sql_env_plan(rw->env, rw->catalog, map, &plan, rw->err);
        if (rc == 0) {
                rc = check_params(rw, plan);
                if (rc == 0) {
                        set_columns(rw->arena, plan, rw->node, query);
                        set_params(rw->arena, plan, query, rw->param_count);
                }
                leat_plan_free(plan);
        }
        pthread_mutex_unlock(&rw->env->lock);
        return rc;
}

/* Wraps the query in @before and @after, whose places are those of its ends. */
static const struct leat_sql_map *wrap(struct leat_arena *arena, const struct leat_sql_map *map, const char *before,
                                       const char *after)
{
        struct sql_edits edits = {.arena = arena};
        uint32_t end = (uint32_t)map->text.len;
        leat_sql_edit_replace(&edits, 0, 0, before);
        leat_sql_edit_replace(&edits, end, end, after);
        return leat_sql_map_edit(arena, map, edits.list);
}

/* Rewrites and binds; parameters whose type nothing tells become VARCHAR, as PostgreSQL's unknown becomes text. */
static int select_query(struct sql_rewrite *rw, const struct leat_sql_map *user, const char *before, const char *after,
                        struct leat_sql_query *ret_query)
{
        struct leat_type *types = NULL;
        for (int round = 0;; round++) {
                struct leat_sql_query query = {0};
                const struct leat_sql_map *map;
                bool unknown = false;
                rw->pseudo = rw->param_count = rw->used_count = 0;
                rw->expanded_bytes = rw->expanded_views = 0;
                LEAT_TRY(leat_sql_rewrite_query(rw, user, &map));
                if (before != NULL)
                        map = wrap(rw->arena, map, before, after);
                LEAT_TRY(bind_map(rw, map, &query));
                if (rw->param_count != 0 && round == 0) {
                        types = leat_arena_zalloc(rw->arena, rw->param_count * sizeof *types);
                        for (uint32_t i = 0; i < rw->param_count; i++) {
                                bool given = i < rw->param_type_count && rw->param_types[i].id != LEAT_T_INVALID;
                                bool known = given || (query.param_types[i].id != LEAT_T_INVALID &&
                                                       query.param_types[i].id != LEAT_T_SQLNULL);
                                if (given)
                                        types[i] = rw->param_types[i];
                                else if (!known)
                                        types[i] = leat_type_of(LEAT_T_VARCHAR);
                                unknown |= !known;
                        }
                }
                if (unknown) {
                        rw->param_types = types;
                        rw->param_type_count = rw->param_count;
                        continue;
                }
                /* What the client declared is what it sends, whatever the statement casts it to. */
                struct leat_type *declared = (struct leat_type *)query.param_types;
                for (uint32_t i = 0; i < rw->param_count && i < rw->param_type_count; i++)
                        if (rw->param_types[i].id != LEAT_T_INVALID)
                                declared[i] = rw->param_types[i];
                /* A text without edits is a piece of the statement, with more behind it. */
                query.sql = leat_arena_strndup(rw->arena, (const char *)map->text.data, map->text.len);
                query.map = map;
                query.used = rw->used;
                query.used_count = rw->used_count;
                query.catalog = rw->catalog;
                *ret_query = query;
                return 0;
        }
}

int leat_sql_begin(struct sql_rewrite *rw, struct leat_sql_env *env, struct leat_arena *arena, struct leat_error *err)
{
        *rw = (struct sql_rewrite){.env = env, .arena = arena, .mode = SQL_MODE_BATCH, .err = err};
        LEAT_TRY(leat_sql_env_catalog(env, &rw->catalog, err));
        leat_sql_catalog_keep(arena, rw->catalog);
        return 0;
}

int leat_sql_select_map(struct sql_rewrite *rw, const struct leat_sql_map *user, struct leat_sql_query *ret_query)
{
        return select_query(rw, user, NULL, NULL, ret_query);
}

int leat_sql_select(struct leat_sql_env *env, struct leat_arena *arena, struct leat_view text, struct leat_span span,
                    const struct leat_type *param_types, uint32_t param_count, struct leat_sql_query *ret_query,
                    struct leat_error *err)
{
        struct sql_rewrite rw;
        LEAT_TRY(leat_sql_begin(&rw, env, arena, err));
        rw.param_types = param_types;
        rw.param_type_count = param_types != NULL ? param_count : 0;
        return select_query(&rw, leat_sql_map_span(arena, text, span), NULL, NULL, ret_query);
}

/* DuckDB binds parameters 1 … n only when each of them is there: an unused CTE names them all. */
static int all_parameters(struct leat_arena *arena, const struct leat_sql_map *map, const char *const *names,
                          uint32_t name_count, const struct leat_sql_map **ret_map, struct leat_error *err)
{
        struct sql_token first;
        struct sql_edits edits = {.arena = arena};
        struct leat_buf cte = LEAT_BUF_INIT;
        uint32_t at = 0;
        LEAT_TRY(leat_sql_token_next(map->text, &at, &first, err));
        *ret_map = map;
        if (name_count == 0)
                return 0;
        bool with = leat_sql_token_is(map->text, &first, "WITH");
        if (with) {
                struct sql_token second;
                uint32_t next = at;
                LEAT_TRY(leat_sql_token_next(map->text, &next, &second, err));
                if (leat_sql_token_is(map->text, &second, "RECURSIVE"))
                        at = next;
        } else {
                at = first.start;
        }
        leat_buf_add_str(&cte, with ? " leat_variables AS (SELECT " : "WITH leat_variables AS (SELECT ");
        for (uint32_t i = 0; i < name_count; i++)
                leat_buf_printf(&cte, "%sCAST($%s AS VARCHAR) AS v%u", i != 0 ? ", " : "", names[i], i);
        leat_buf_add_str(&cte, with ? ")," : ") ");
        leat_sql_edit_replace(&edits, at, at, leat_arena_strdup(arena, leat_buf_cstr(&cte)));
        *ret_map = leat_sql_map_edit(arena, map, edits.list);
        leat_buf_done(&cte);
        return 0;
}

static int check_panel(struct leat_sql_env *env, struct leat_arena *arena, struct leat_view sql,
                       const char *const *names, uint32_t name_count, struct leat_sql_query *ret_query,
                       struct leat_error *err)
{
        static const char *const none[] = {""};
        const struct leat_sql_map *user;
        struct sql_rewrite rw;
        LEAT_TRY(leat_sql_begin(&rw, env, arena, err));
        rw.param_names = name_count != 0 ? names : none;
        rw.param_name_count = name_count;
        struct leat_span span = {.start = 0, .len = (uint32_t)sql.len};
        LEAT_TRY(all_parameters(arena, leat_sql_map_span(arena, sql, span), names, name_count, &user, err));
        return select_query(&rw, user, NULL, NULL, ret_query);
}

int leat_sql_panel(struct leat_sql_env *env, struct leat_arena *arena, struct leat_view sql, const char *const *names,
                   uint32_t name_count, struct leat_sql_query *ret_query, struct leat_error *err)
{
        struct leat_sql_catalog *catalog;
        LEAT_TRY(leat_sql_env_catalog(env, &catalog, err));
        bool found = leat_sql_cache_find(env, arena, catalog->snapshot->version, sql, names, name_count, ret_query);
        leat_sql_catalog_unref(catalog);
        if (found)
                return 0;
        struct leat_arena *own = leat_arena_new(0);
        struct leat_view copy = leat_view_of(leat_arena_strndup(own, (const char *)sql.data, sql.len), sql.len);
        int rc = check_panel(env, own, copy, names, name_count, ret_query, err);
        if (rc != 0)
                leat_arena_free(own);
        else
                leat_sql_cache_add(env, own, copy, names, name_count, ret_query, arena);
        return rc;
}

/* ---- INSERT ----------------------------------------------------------------------------- */
static int insert_topic(struct sql_rewrite *rw, const struct leat_stmt *stmt, const struct leat_object **ret_topic)
{
        const struct leat_sql_map *user =
                leat_sql_map_span(rw->arena, stmt->text, (struct leat_span){0, (uint32_t)stmt->text.len});
        struct sql_relation relation;
        LEAT_TRY(leat_sql_relation_find(rw, "", stmt->name, user, stmt->name_at.start, &relation));
        if (relation.kind == LEAT_SCAN_TOPIC) {
                *ret_topic = relation.object;
                return 0;
        }
        if (relation.kind == LEAT_SCAN_UNDECLARED) {
                leat_sql_map_fail(user, stmt->name_at.start, rw->err, LEAT_EUNSUPPORTED,
                                  "topic \"%s\" has no columns declared", stmt->name);
                leat_error_hint(rw->err, "CREATE TOPIC gives it columns, or produce to it with a Kafka client.");
                return LEAT_EUNSUPPORTED;
        }
        leat_sql_map_fail(user, stmt->name_at.start, rw->err, LEAT_EUNSUPPORTED,
                          "cannot insert into \"%s\": it is no topic", stmt->name);
        leat_error_hint(rw->err, "Insert into a topic that the view reads.");
        return LEAT_EUNSUPPORTED;
}

static int insert_columns(struct sql_rewrite *rw, const struct leat_stmt *stmt, const struct leat_topic_def *topic,
                          uint32_t **ret_columns, uint32_t *ret_count)
{
        uint32_t count = stmt->column_count != 0 ? stmt->column_count : topic->column_count;
        uint32_t *columns = leat_arena_alloc(rw->arena, (count + 1) * sizeof *columns);
        for (uint32_t i = 0; i < count; i++) {
                columns[i] = i;
                if (stmt->column_count == 0)
                        continue;
                int column = leat_columns_find(topic->columns, topic->column_count, stmt->columns[i].name);
                bool twice = false;
                for (uint32_t k = 0; k < i && column >= 0; k++)
                        twice |= columns[k] == (uint32_t)column;
                if (column >= 0 && !twice) {
                        columns[i] = (uint32_t)column;
                        continue;
                }
                if (twice)
                        return leat_sql_fail(stmt->text, stmt->columns[i].at.start, rw->err, LEAT_EEXISTS,
                                             "column \"%s\" is given twice", stmt->columns[i].name);
                const char **names = leat_arena_alloc(rw->arena, topic->column_count * sizeof *names);
                for (uint32_t k = 0; k < topic->column_count; k++)
                        names[k] = topic->columns[k].name;
                const char *near = leat_sql_suggest(stmt->columns[i].name, names, topic->column_count);
                leat_sql_fail(stmt->text, stmt->columns[i].at.start, rw->err, LEAT_ENOCOLUMN,
                              "column \"%s\" of topic \"%s\" does not exist", stmt->columns[i].name, stmt->name);
                if (near != NULL)
                        leat_error_hint(rw->err, "Did you mean \"%s\"?", near);
                return LEAT_ENOCOLUMN;
        }
        *ret_columns = columns;
        *ret_count = count;
        return 0;
}

/* SELECT CAST(c0 AS type) AS "name", … FROM ( body ) AS leat_insert(c0, …) */
static void insert_wrapper(const struct leat_topic_def *topic, const uint32_t *columns, uint32_t count,
                           struct leat_buf *before, struct leat_buf *after)
{
        leat_buf_add_str(before, "SELECT ");
        leat_buf_add_str(after, ") AS leat_insert(");
        for (uint32_t i = 0; i < count; i++) {
                const struct leat_column_def *column = &topic->columns[columns[i]];
                leat_buf_printf(before, "%sCAST(c%u AS ", i != 0 ? ", " : "", i);
                leat_type_print(&column->type, before);
                leat_buf_add_str(before, ") AS ");
                leat_sql_quote_name(before, column->name);
                leat_buf_printf(after, "%sc%u", i != 0 ? ", " : "", i);
        }
        leat_buf_add_str(before, " FROM (");
        leat_buf_add_str(after, ")");
}

int leat_sql_insert(struct leat_sql_env *env, struct leat_arena *arena, const struct leat_stmt *stmt,
                    const struct leat_type *param_types, uint32_t param_count, struct leat_sql_query *ret_query,
                    const struct leat_object **ret_topic, const uint32_t **ret_columns, struct leat_error *err)
{
        struct sql_rewrite rw;
        struct leat_sql_query body;
        const struct leat_object *topic;
        uint32_t *columns, count;
        LEAT_TRY(leat_sql_begin(&rw, env, arena, err));
        rw.param_types = param_types;
        rw.param_type_count = param_types != NULL ? param_count : 0;
        LEAT_TRY(insert_topic(&rw, stmt, &topic));
        LEAT_TRY(insert_columns(&rw, stmt, topic->topic, &columns, &count));
        const struct leat_sql_map *user = leat_sql_map_span(arena, stmt->text, stmt->body);
        struct sql_rewrite alone = rw;
        LEAT_TRY(select_query(&alone, user, NULL, NULL, &body));
        if (body.column_count > count || (stmt->column_count != 0 && body.column_count < count))
                return leat_sql_fail(stmt->text, stmt->body.start, err, LEAT_ESYNTAX,
                                     "INSERT has %s expressions than target columns (%u, not %u)",
                                     body.column_count > count ? "more" : "fewer", body.column_count, count);
        struct leat_buf before = LEAT_BUF_INIT, after = LEAT_BUF_INIT;
        insert_wrapper(topic->topic, columns, body.column_count, &before, &after);
        int rc = select_query(&rw, user, leat_arena_strdup(arena, leat_buf_cstr(&before)),
                              leat_arena_strdup(arena, leat_buf_cstr(&after)), ret_query);
        leat_buf_done(&before);
        leat_buf_done(&after);
        if (rc != 0)
                return rc;
        *ret_topic = topic;
        *ret_columns = columns;
        return 0;
}
