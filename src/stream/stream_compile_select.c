/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/stream: projections, filters, relations, UNION ALL and UNNEST of a plan.
 */
#include <jansson.h>

#include "stream_compile.h"

/* ---- time ---------------------------------------------------------------------------------- */
bool leat_expr_is_window(const struct leat_expr *expr)
{
        return expr->cls == LEAT_X_WINDOW;
}

bool leat_expr_has_window(const struct leat_expr *expr)
{
        if (leat_expr_is_window(expr))
                return true;
        for (uint32_t i = 0; i < expr->argc; i++)
                if (leat_expr_has_window(expr->args[i]))
                        return true;
        return false;
}

/* What an expression over columns with @props knows about time. */
struct leat_time_prop leat_expr_time(const struct leat_expr *expr, const struct leat_time_prop *props)
{
        struct leat_time_prop none = {0};
        int64_t us;
        if (expr->cls == LEAT_X_REF)
                return props[expr->index];
        if (leat_expr_is_window(expr) || (expr->cls == LEAT_X_UNNEST && leat_expr_is_window(expr->args[0]))) {
                const struct leat_expr *window = leat_expr_is_window(expr) ? expr : expr->args[0];
                return leat_expr_time(window->args[0], props).kind == LEAT_TIME_EVENT ? window->window : none;
        }
        if (expr->cls == LEAT_X_CALL && strcmp(expr->name, "+") == 0 && expr->argc == 2 &&
            leat_expr_interval(expr->args[1], &us)) {
                struct leat_time_prop prop = leat_expr_time(expr->args[0], props);
                if (prop.kind == LEAT_TIME_START && us == prop.size_us) {
                        prop.kind = LEAT_TIME_END;
                        return prop;
                }
        }
        return none;
}

/* ---- SELECT nodes ---------------------------------------------------------------------------- */
int leat_compile_select_finish(struct leat_compile *cc, struct leat_cnode *node)
{
        struct leat_cnode *input = node->inputs[0];
        node->append_only = input->append_only;
        for (uint32_t i = 0; i < node->column_count; i++) {
                if (!input->append_only && leat_expr_has_window(node->exprs[i]))
                        return leat_compile_refuse(cc, node->exprs[i]->position,
                                                   "put the window into the view that reads the topic, and GROUP BY "
                                                   "its window_start here",
                                                   "a window over rows that change (an updating view or aggregate)");
                node->types[i] = node->exprs[i]->type;
                node->props[i] = leat_expr_time(node->exprs[i], input->props);
        }
        return 0;
}

struct leat_cnode *leat_compile_select_new(struct leat_compile *cc, struct leat_cnode *input, uint32_t column_count)
{
        struct leat_cnode *node = leat_cnode_new(cc, LEAT_OP_SELECT, column_count);
        node->input_count = 1;
        node->inputs[0] = input;
        node->exprs = leat_arena_zalloc(cc->arena, (column_count + 1) * sizeof(*node->exprs));
        node->aliases = leat_arena_zalloc(cc->arena, (column_count + 1) * sizeof(*node->aliases));
        return node;
}

static struct leat_cnode *identity_new(struct leat_compile *cc, struct leat_cnode *input)
{
        struct leat_cnode *node = leat_compile_select_new(cc, input, input->column_count);
        node->append_only = input->append_only;
        for (uint32_t i = 0; i < input->column_count; i++) {
                node->exprs[i] = leat_expr_ref(cc->arena, i, input->types[i]);
                node->types[i] = input->types[i];
                node->props[i] = input->props[i];
                if (input->aliases != NULL)
                        node->aliases[i] = input->aliases[i];
        }
        return node;
}

struct leat_expr *leat_compile_and(struct leat_compile *cc, struct leat_expr *a, struct leat_expr *b)
{
        struct leat_expr *both[2] = {a, b};
        if (a == NULL || b == NULL)
                return a != NULL ? a : b;
        return leat_expr_text(cc->arena, leat_type_of(LEAT_T_BOOLEAN), "($0 AND $1)", 2, both);
}

int leat_compile_projection(struct leat_compile *cc, const json_t *json, struct leat_cnode **ret_node)
{
        struct leat_cnode *input, *node;
        const json_t *list = json_object_get(json, "expressions");
        LEAT_TRY(leat_compile_child(cc, json, 0, &input));
        node = leat_compile_select_new(cc, input, (uint32_t)json_array_size(list));
        for (uint32_t i = 0; i < node->column_count; i++) {
                LEAT_TRY(leat_compile_expr(cc, json_array_get(list, i), input->column_count, &node->exprs[i]));
                const char *alias = leat_json_text(json_array_get(list, i), "alias");
                if (*alias != 0)
                        node->aliases[i] = leat_arena_strdup(cc->arena, alias);
                else if (node->exprs[i]->cls == LEAT_X_REF && input->aliases != NULL)
                        node->aliases[i] = input->aliases[node->exprs[i]->index];
        }
        *ret_node = node;
        return leat_compile_select_finish(cc, node);
}

/* A projection_map chooses columns of the input. */
static int map_apply(struct leat_compile *cc, const json_t *map, struct leat_cnode *node)
{
        uint32_t count = (uint32_t)json_array_size(map);
        if (count == 0)
                return 0;
        struct leat_expr **exprs = leat_arena_zalloc(cc->arena, (count + 1) * sizeof *exprs);
        for (uint32_t i = 0; i < count; i++) {
                json_int_t at = json_integer_value(json_array_get(map, i));
                if (at < 0 || at >= node->column_count)
                        return leat_error_set(cc->err, LEAT_EINTERNAL, "the plan maps a column that is not there");
                exprs[i] = node->exprs[at];
        }
        node->exprs = exprs;
        node->column_count = count;
        return leat_compile_select_finish(cc, node);
}

/* True for "time IS NOT NULL" over a topic's event time, which every tumble() brings. */
static bool is_time_check(const struct leat_expr *cond, const struct leat_cnode *input)
{
        return cond->cls == LEAT_X_POST && strcmp(cond->name, "IS NOT NULL") == 0 && cond->args[0]->cls == LEAT_X_REF &&
               input->props[cond->args[0]->index].kind == LEAT_TIME_EVENT;
}

int leat_compile_filter(struct leat_compile *cc, const json_t *json, struct leat_cnode **ret_node)
{
        struct leat_cnode *input, *timed, *node;
        const json_t *list = json_object_get(json, "expressions");
        LEAT_TRY(leat_compile_child(cc, json, 0, &input));
        timed = identity_new(cc, input); /* by itself, so that it can be left out */
        node = identity_new(cc, timed);
        for (size_t i = 0; i < json_array_size(list); i++) {
                struct leat_expr *cond;
                LEAT_TRY(leat_compile_expr(cc, json_array_get(list, i), input->column_count, &cond));
                if (!input->append_only && leat_expr_has_window(cond))
                        return leat_compile_refuse(cc, cond->position,
                                                   "use the window in the view that reads the topic",
                                                   "a window over rows that change");
                if (is_time_check(cond, input))
                        timed->where = cond;
                else
                        node->where = leat_compile_and(cc, node->where, cond);
        }
        *ret_node = node;
        return map_apply(cc, json_object_get(json, "projection_map"), node);
}

void leat_compile_time_check_drop(struct leat_cnode *node)
{
        while (node->op == LEAT_OP_SELECT || node->op == LEAT_OP_LOOKUP) {
                if (node->op == LEAT_OP_SELECT && node->where != NULL && is_time_check(node->where, node->inputs[0]))
                        node->where = NULL;
                node = node->inputs[0];
        }
}

/* ---- sources ------------------------------------------------------------------------------------ */
static const struct leat_stream_relation *relation_find(struct leat_compile *cc, const char *name)
{
        for (uint32_t i = 0; i < cc->relation_count; i++)
                if (strcmp(cc->relations[i].name, name) == 0)
                        return &cc->relations[i];
        return NULL;
}

static struct leat_cnode *source_new(struct leat_compile *cc, const struct leat_stream_relation *relation,
                                     uint32_t column_count)
{
        struct leat_cnode *node = leat_cnode_new(cc, LEAT_OP_SOURCE, column_count);
        const struct leat_stream_output *view = relation->graph != NULL ? &relation->graph->output : NULL;
        node->relation = relation;
        node->source_count = column_count;
        node->source_columns = leat_arena_zalloc(cc->arena, (column_count + 1) * sizeof(uint32_t));
        node->aliases = leat_arena_zalloc(cc->arena, (column_count + 1) * sizeof(*node->aliases));
        node->append_only = relation->kind == LEAT_STREAM_TOPIC || (view != NULL && view->append_only);
        return node;
}

/* What column @column of a relation knows about time. */
static struct leat_time_prop source_prop(const struct leat_stream_relation *relation, uint32_t column)
{
        struct leat_time_prop prop = {0};
        if (relation->kind == LEAT_STREAM_TOPIC && relation->time_column == (int32_t)column)
                prop.kind = LEAT_TIME_EVENT;
        if (relation->kind != LEAT_STREAM_VIEW)
                return prop;
        const struct leat_stream_graph *graph = relation->graph;
        const struct leat_node *top = &graph->nodes[graph->top_node];
        if (graph->output.append_only)
                prop.kind = graph->output.time_column == (int32_t)column ? LEAT_TIME_EVENT : LEAT_TIME_NONE;
        else
                prop = top->props[column];
        return prop;
}

int leat_compile_get(struct leat_compile *cc, const json_t *json, struct leat_cnode **ret_node)
{
        const char *table = leat_json_text(json_object_get(json, "function_data"), "table");
        const json_t *names = json_object_get(json, "names"), *list = json_object_get(json, "column_indexes");
        const struct leat_stream_relation *relation = relation_find(cc, table);
        if (relation == NULL)
                return leat_compile_refuse(cc, leat_compile_position(json),
                                           "read topics, views and materialized views of the same pipeline",
                                           "%s cannot be read by a continuous query",
                                           *table != 0 ? table : leat_json_text(json, "name"));
        if (relation->kind == LEAT_STREAM_VIEW && relation->graph == NULL)
                return leat_compile_refuse(cc, leat_compile_position(json), "create it again", "view %s has no graph",
                                           table);
        struct leat_cnode *node = source_new(cc, relation, (uint32_t)json_array_size(list));
        for (uint32_t i = 0; i < node->column_count; i++) {
                const json_t *index = json_object_get(json_array_get(list, i), "index");
                const char *name = json_is_integer(index)
                                           ? json_string_value(json_array_get(names, (size_t)json_integer_value(index)))
                                           : NULL;
                uint32_t column = 0;
                if (name == NULL) { /* the row number that stands for "no column": count(*) */
                        node->source_columns[i] = UINT32_MAX;
                        node->types[i] = leat_type_of(LEAT_T_BIGINT);
                        continue;
                }
                while (column < relation->column_count && strcmp(relation->names[column], name) != 0)
                        column++;
                if (column == relation->column_count)
                        return leat_error_set(cc->err, LEAT_EINTERNAL, "relation %s has no column %s", table, name);
                if (relation->kind == LEAT_STREAM_KEYED && strncmp(name, "kafka_", 6) == 0)
                        return leat_compile_refuse(
                                cc, leat_compile_position(json), "use the topic's own columns",
                                "column %s of a PRIMARY KEY topic cannot be used in a continuous query", name);
                if (relation->kind == LEAT_STREAM_KEYED &&
                    (relation->types[column].id == LEAT_T_LIST || relation->types[column].id == LEAT_T_STRUCT))
                        return leat_compile_refuse(
                                cc, leat_compile_position(json), "give the topic columns of simple types",
                                "column %s of a PRIMARY KEY topic is a LIST or STRUCT, which a lookup cannot keep",
                                name);
                node->source_columns[i] = column;
                node->aliases[i] = leat_arena_strdup(cc->arena, name);
                node->types[i] = leat_type_copy(cc->arena, &relation->types[column]);
                node->props[i] = source_prop(relation, column);
        }
        *ret_node = node;
        return 0;
}

/* ---- UNION ALL, UNNEST ------------------------------------------------------------------------- */
int leat_compile_union(struct leat_compile *cc, const json_t *json, struct leat_cnode **ret_node)
{
        size_t count = json_array_size(json_object_get(json, "children"));
        if (count < 2 || count > 16)
                return leat_compile_refuse(cc, leat_compile_position(json), "make a view of a part",
                                           "a UNION of %zu inputs", count);
        struct leat_cnode *node = NULL;
        for (size_t i = 0; i < count; i++) {
                struct leat_cnode *input;
                LEAT_TRY(leat_compile_child(cc, json, i, &input));
                input = identity_new(cc, input);
                if (node == NULL) {
                        node = leat_cnode_new(cc, LEAT_OP_UNION, input->column_count);
                        node->append_only = true;
                        node->aliases = input->aliases;
                        memcpy(node->types, input->types, input->column_count * sizeof *node->types);
                        memcpy(node->props, input->props, input->column_count * sizeof *node->props);
                }
                if (input->column_count != node->column_count)
                        return leat_error_set(cc->err, LEAT_EINTERNAL, "UNION of different column counts");
                for (uint32_t k = 0; k < node->column_count; k++)
                        if (memcmp(&node->props[k], &input->props[k], sizeof node->props[k]) != 0)
                                node->props[k] = (struct leat_time_prop){0};
                node->append_only &= input->append_only;
                node->inputs[i] = input;
        }
        node->input_count = (uint32_t)count;
        *ret_node = node;
        return 0;
}

int leat_compile_unnest(struct leat_compile *cc, const json_t *json, struct leat_cnode **ret_node)
{
        struct leat_cnode *input;
        const json_t *list = json_object_get(json, "expressions");
        struct leat_expr *expr = NULL;
        LEAT_TRY(leat_compile_child(cc, json, 0, &input));
        if (json_array_size(list) != 1)
                return leat_compile_refuse(cc, leat_compile_position(list), "unnest one list",
                                           "UNNEST of several lists at once");
        LEAT_TRY(leat_compile_expr(cc, json_array_get(list, 0), input->column_count, &expr));
        if (expr->cls != LEAT_X_UNNEST)
                return leat_compile_refuse(cc, expr->position, "unnest a list", "UNNEST of this expression");
        struct leat_cnode *node = leat_compile_select_new(cc, input, input->column_count + 1);
        for (uint32_t i = 0; i < input->column_count; i++) {
                node->exprs[i] = leat_expr_ref(cc->arena, i, input->types[i]);
                node->aliases[i] = input->aliases != NULL ? input->aliases[i] : NULL;
        }
        node->exprs[input->column_count] = expr;
        node->unnest = (int32_t)input->column_count;
        if (leat_expr_is_window(expr->args[0]))
                node->hop = expr->args[0]->window;
        *ret_node = node;
        return leat_compile_select_finish(cc, node);
}
