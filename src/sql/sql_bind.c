/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/sql: bound plans for continuous queries.
 *
 * The rewritten query is bound over the environment's empty tables with
 * json_serialize_plan. Output names come from preparing the same text. Two
 * tables of one object never meet: names are by object id.
 */
#include <stdio.h>
#include <strings.h>

#include "sql_int.h"

/* Output columns, named as the view's list says; each name once. */
static int output_columns(struct sql_rewrite *rw, const struct leat_stmt *stmt, const struct leat_plan *plan,
                          struct leat_sql_bound *bound)
{
        uint32_t count = leat_plan_column_count(plan);
        struct leat_column_def *columns = leat_arena_zalloc(rw->arena, (count + 1) * sizeof *columns);
        if (stmt->column_count > count)
                return leat_sql_fail(stmt->text, stmt->columns[count].at.start, rw->err, LEAT_ESYNTAX,
                                     "the list names %u columns, the query gives %u", stmt->column_count, count);
        for (uint32_t i = 0; i < count; i++) {
                struct leat_type type = leat_plan_column_type(plan, i);
                columns[i].name = i < stmt->column_count
                                          ? stmt->columns[i].name
                                          : leat_sql_output_name(rw->arena, leat_plan_column_name(plan, i));
                columns[i].type = leat_type_copy(rw->arena, &type);
                for (uint32_t k = 0; k < i; k++) {
                        if (strcasecmp(columns[k].name, columns[i].name) != 0)
                                continue;
                        leat_sql_fail(stmt->text, stmt->body.start, rw->err, LEAT_EAMBIGUOUS,
                                      "column \"%s\" comes twice in the result", columns[i].name);
                        leat_error_hint(rw->err, "Give one of them another name with AS.");
                        return LEAT_EAMBIGUOUS;
                }
                if (type.id == LEAT_T_INVALID || type.id == LEAT_T_SQLNULL) {
                        leat_sql_fail(stmt->text, stmt->body.start, rw->err, LEAT_ETYPE,
                                      "the type of column \"%s\" is not known", columns[i].name);
                        leat_error_hint(rw->err, "Write CAST(... AS type).");
                        return LEAT_ETYPE;
                }
        }
        bound->columns = columns;
        bound->column_count = count;
        return 0;
}

static int plan_json(struct sql_rewrite *rw, const struct leat_sql_map *map, struct leat_sql_bound *bound)
{
        struct leat_buf json = LEAT_BUF_INIT;
        struct leat_json *root;
        const char *text = (const char *)map->text.data;
        int rc = leat_conn_text(rw->env->conn, "SELECT CAST(json_serialize_plan($1::VARCHAR) AS VARCHAR)", &text, 1,
                                &json, rw->err);
        if (rc == 0) {
                bound->plan_json = leat_arena_strndup(rw->arena, (const char *)json.data, json.len);
                rc = leat_json_parse(rw->arena, leat_view_str(bound->plan_json), &root, rw->err);
        }
        leat_buf_done(&json);
        if (rc != 0)
                return rc;
        if (leat_json_bool(root, "error"))
                return leat_sql_map_fail(map, leat_json_int(root, "position", -1), rw->err, LEAT_EUNSUPPORTED, "%s",
                                         leat_json_str(root, "error_message"));
        bound->plan = leat_json_at(leat_json_get(root, "plans"), 0);
        return 0;
}

static int bind_locked(struct sql_rewrite *rw, const struct leat_stmt *stmt, const struct leat_sql_map *map,
                       struct leat_sql_bound *bound)
{
        struct leat_plan *plan;
        LEAT_TRY(leat_sql_env_tables(rw->env, rw->catalog, rw->err));
        LEAT_TRY(leat_sql_env_plan(rw->env, rw->catalog, map, &plan, rw->err));
        int rc = output_columns(rw, stmt, plan, bound);
        leat_plan_free(plan);
        return rc != 0 ? rc : plan_json(rw, map, bound);
}

int leat_sql_bind_stream(struct leat_sql_env *env, struct leat_arena *arena, const struct leat_stmt *stmt,
                         struct leat_sql_bound *ret_bound, struct leat_error *err)
{
        struct sql_rewrite rw = {.env = env, .arena = arena, .mode = SQL_MODE_STREAM, .err = err};
        struct leat_sql_bound bound = {0};
        const struct leat_sql_map *map;
        LEAT_TRY(leat_sql_env_catalog(env, &rw.catalog, err));
        leat_sql_catalog_keep(arena, rw.catalog);
        LEAT_TRY(leat_sql_rewrite_query(&rw, leat_sql_map_span(arena, stmt->text, stmt->body), &map));
        pthread_mutex_lock(&env->lock);
        int rc = bind_locked(&rw, stmt, map, &bound);
        pthread_mutex_unlock(&env->lock);
        if (rc != 0)
                return rc;
        bound.bound_sql = (const char *)map->text.data;
        bound.used = rw.used;
        bound.used_count = rw.used_count;
        bound.emit = stmt->emit != 0 ? stmt->emit : LEAT_EMIT_CHANGES;
        bound.uses_now = rw.uses_now;
        bound.map = map;
        bound.catalog = rw.catalog;
        *ret_bound = bound;
        return 0;
}

int leat_sql_bound_relation(const struct leat_sql_bound *bound, const char *table, struct leat_scan_key *ret_key,
                            struct leat_error *err)
{
        bool quarantine = strncmp(table, "leat_q", 6) == 0;
        char *end = NULL;
        if (strncmp(table, "leat_", 5) == 0) {
                uint64_t id = strtoull(table + (quarantine ? 6 : 5), &end, 10);
                const struct leat_object *object = *end == 0 ? leat_snapshot_get(bound->catalog->snapshot, id) : NULL;
                if (object != NULL) {
                        *ret_key = (struct leat_scan_key){
                                .kind = quarantine                          ? LEAT_SCAN_QUARANTINE
                                        : object->kind == LEAT_OBJECT_TOPIC ? LEAT_SCAN_TOPIC
                                                                            : LEAT_SCAN_VIEW,
                                .object_id = id,
                                .name = object->name,
                                .pseudo = !quarantine && object->kind == LEAT_OBJECT_TOPIC
                                                  ? leat_sql_pseudo_of(object->topic)
                                                  : 0,
                        };
                        return 0;
                }
        }
        return leat_error_set(err, LEAT_ENORELATION, "\"%s\" is no relation of this plan", table);
}
