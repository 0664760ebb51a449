/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/stream: bound plan -> tree of operators. STREAMING.md section 1.
 *
 * The plan's columns are numbers into the child's columns, so each plan node is
 * read by itself, children first. Plan nodes that are not on the list in
 * node_read() are refused at their place, with what to write instead.
 *
 * What a join needs to know: the only join here is the lookup of a PRIMARY KEY
 * topic. Its right side may be filtered and projected in the plan; both move
 * behind the lookup (right_read), so that the operator itself only gives each
 * row the topic's row under its key, or none.
 */
#include <jansson.h>
#include <stdio.h>

#include "stream_int.h"

int leat_compile_refuse(struct leat_compile *cc, int position, const char *hint, const char *fmt, ...)
{
        char text[400];
        va_list args;
        va_start(args, fmt);
        vsnprintf(text, sizeof text, fmt, args);
        va_end(args);
        leat_error_set(cc->err, LEAT_EUNSUPPORTED, "%s", text);
        leat_error_hint(cc->err, "%s", hint);
        if (cc->err != NULL)
                cc->err->position = position;
        return LEAT_EUNSUPPORTED;
}

struct leat_cnode *leat_cnode_new(struct leat_compile *cc, uint8_t op, uint32_t column_count)
{
        struct leat_cnode *node = leat_arena_zalloc(cc->arena, sizeof *node);
        node->op = op;
        node->column_count = column_count;
        node->types = leat_arena_zalloc(cc->arena, (column_count + 1) * sizeof *node->types);
        node->props = leat_arena_zalloc(cc->arena, (column_count + 1) * sizeof *node->props);
        node->unnest = -1;
        return node;
}

/* ---- positions: the nearest one under a plan node ---------------------------------------- */
static int position_of(const json_t *json)
{
        int at = json_is_object(json) ? leat_json_position(json) : 0;
        const char *key;
        json_t *value;
        size_t i;
        if (at != 0)
                return at;
        if (json_is_object(json)) {
                json_object_foreach((json_t *)(uintptr_t)json, key,
                                    value) if ((at = position_of(value)) != 0) return at;
        } else if (json_is_array(json)) {
                json_array_foreach(json, i, value) if ((at = position_of(value)) != 0) return at;
        }
        return 0;
}

/* ---- SELECT nodes ---------------------------------------------------------------------------- */
static bool is_window(const struct leat_expr *expr)
{
        return expr->cls == LEAT_X_WINDOW;
}

static bool contains_window(const struct leat_expr *expr)
{
        if (is_window(expr))
                return true;
        for (uint32_t i = 0; i < expr->argc; i++)
                if (contains_window(expr->args[i]))
                        return true;
        return false;
}

/* What an expression over columns with @props knows about time. */
static struct leat_time_prop prop_of(const struct leat_expr *expr, const struct leat_time_prop *props)
{
        struct leat_time_prop none = {0};
        int64_t us;
        if (expr->cls == LEAT_X_REF)
                return props[expr->index];
        if (is_window(expr) || (expr->cls == LEAT_X_UNNEST && is_window(expr->args[0]))) {
                const struct leat_expr *window = is_window(expr) ? expr : expr->args[0];
                return prop_of(window->args[0], props).kind == LEAT_TIME_EVENT ? window->window : none;
        }
        if (expr->cls == LEAT_X_CALL && strcmp(expr->name, "+") == 0 && expr->argc == 2 &&
            leat_expr_interval(expr->args[1], &us)) {
                struct leat_time_prop prop = prop_of(expr->args[0], props);
                if (prop.kind == LEAT_TIME_START && us == prop.size_us) {
                        prop.kind = LEAT_TIME_END;
                        return prop;
                }
        }
        return none;
}

static int select_finish(struct leat_compile *cc, struct leat_cnode *node)
{
        struct leat_cnode *input = node->inputs[0];
        node->append_only = input->append_only;
        for (uint32_t i = 0; i < node->column_count; i++) {
                if (!input->append_only && contains_window(node->exprs[i]))
                        return leat_compile_refuse(cc, node->exprs[i]->position,
                                                   "put the window into the view that reads the topic, and GROUP BY "
                                                   "its window_start here",
                                                   "a window over rows that change (an updating view or aggregate)");
                node->types[i] = node->exprs[i]->type;
                node->props[i] = prop_of(node->exprs[i], input->props);
        }
        return 0;
}

static struct leat_cnode *select_new(struct leat_compile *cc, struct leat_cnode *input, uint32_t column_count)
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
        struct leat_cnode *node = select_new(cc, input, input->column_count);
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

static struct leat_expr *and_of(struct leat_compile *cc, struct leat_expr *a, struct leat_expr *b)
{
        struct leat_expr *both[2] = {a, b};
        if (a == NULL || b == NULL)
                return a != NULL ? a : b;
        return leat_expr_text(cc->arena, leat_type_of(LEAT_T_BOOLEAN), "($0 AND $1)", 2, both);
}

/* Every REF inside stands for a column that is there. */
struct refs_check {
        uint32_t columns;
        bool bad;
};
static void ref_check(void *arg, struct leat_expr *ref)
{
        struct refs_check *check = arg;
        check->bad |= ref->index >= check->columns;
}
int leat_compile_expr(struct leat_compile *cc, const json_t *json, uint32_t columns, struct leat_expr **ret_expr)
{
        struct refs_check check = {.columns = columns};
        LEAT_TRY(leat_expr_read(cc->arena, json, ret_expr, cc->err));
        leat_expr_refs(*ret_expr, ref_check, &check);
        if (check.bad)
                return leat_error_set(cc->err, LEAT_EINTERNAL, "the plan has a column beyond its input");
        return 0;
}

static int node_read(struct leat_compile *cc, const json_t *json, struct leat_cnode **ret_node);

static int child_read(struct leat_compile *cc, const json_t *json, size_t i, struct leat_cnode **ret_node)
{
        const json_t *child = json_array_get(json_object_get(json, "children"), i);
        if (child == NULL)
                return leat_error_set(cc->err, LEAT_EINTERNAL, "the plan has an operator without input");
        return node_read(cc, child, ret_node);
}

static int projection_read(struct leat_compile *cc, const json_t *json, struct leat_cnode **ret_node)
{
        struct leat_cnode *input, *node;
        const json_t *list = json_object_get(json, "expressions");
        LEAT_TRY(child_read(cc, json, 0, &input));
        node = select_new(cc, input, (uint32_t)json_array_size(list));
        for (uint32_t i = 0; i < node->column_count; i++) {
                LEAT_TRY(leat_compile_expr(cc, json_array_get(list, i), input->column_count, &node->exprs[i]));
                const char *alias = leat_json_text(json_array_get(list, i), "alias");
                if (*alias != 0)
                        node->aliases[i] = leat_arena_strdup(cc->arena, alias);
                else if (node->exprs[i]->cls == LEAT_X_REF && input->aliases != NULL)
                        node->aliases[i] = input->aliases[node->exprs[i]->index];
        }
        *ret_node = node;
        return select_finish(cc, node);
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
        return select_finish(cc, node);
}

static int filter_read(struct leat_compile *cc, const json_t *json, struct leat_cnode **ret_node)
{
        struct leat_cnode *input, *node;
        const json_t *list = json_object_get(json, "expressions");
        LEAT_TRY(child_read(cc, json, 0, &input));
        node = identity_new(cc, input);
        for (size_t i = 0; i < json_array_size(list); i++) {
                struct leat_expr *cond;
                LEAT_TRY(leat_compile_expr(cc, json_array_get(list, i), input->column_count, &cond));
                if (!input->append_only && contains_window(cond))
                        return leat_compile_refuse(cc, cond->position,
                                                   "use the window in the view that reads the topic",
                                                   "a window over rows that change");
                node->where = and_of(cc, node->where, cond);
        }
        *ret_node = node;
        return map_apply(cc, json_object_get(json, "projection_map"), node);
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

static int get_read(struct leat_compile *cc, const json_t *json, struct leat_cnode **ret_node)
{
        const char *table = leat_json_text(json_object_get(json, "function_data"), "table");
        const json_t *names = json_object_get(json, "names"), *list = json_object_get(json, "column_indexes");
        const struct leat_stream_relation *relation = relation_find(cc, table);
        if (relation == NULL)
                return leat_compile_refuse(
                        cc, position_of(json), "read topics, views and materialized views of the same pipeline",
                        "%s cannot be read by a continuous query", *table != 0 ? table : leat_json_text(json, "name"));
        if (relation->kind == LEAT_STREAM_VIEW && relation->graph == NULL)
                return leat_compile_refuse(cc, position_of(json), "create it again", "view %s has no graph", table);
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
                                cc, position_of(json), "use the topic's own columns",
                                "column %s of a PRIMARY KEY topic cannot be used in a continuous query", name);
                if (relation->kind == LEAT_STREAM_KEYED &&
                    (relation->types[column].id == LEAT_T_LIST || relation->types[column].id == LEAT_T_STRUCT))
                        return leat_compile_refuse(
                                cc, position_of(json), "give the topic columns of simple types",
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

/* ---- GROUP BY, DISTINCT ----------------------------------------------------------------------------- */
static struct leat_cnode *agg_new(struct leat_compile *cc, struct leat_cnode *input, uint32_t group_count)
{
        struct leat_cnode *agg = leat_cnode_new(cc, LEAT_OP_AGG, LEAT_STREAM_COLUMNS_MAX);
        agg->input_count = 1;
        agg->inputs[0] = input;
        agg->group_count = group_count;
        agg->groups = leat_arena_zalloc(cc->arena, (group_count + 1) * sizeof(*agg->groups));
        agg->agg = leat_arena_zalloc(cc->arena, sizeof *agg->agg);
        agg->agg->start_group = agg->agg->end_group = -1;
        return agg;
}

static int groups_finish(struct leat_compile *cc, struct leat_cnode *agg)
{
        struct leat_cnode *input = agg->inputs[0];
        for (uint32_t i = 0; i < agg->group_count; i++) {
                struct leat_expr *group = agg->groups[i];
                if (group->type.id == LEAT_T_LIST || group->type.id == LEAT_T_STRUCT ||
                    group->type.id == LEAT_T_SQLNULL)
                        return leat_compile_refuse(cc, group->position, "group by its parts",
                                                   "GROUP BY or DISTINCT over a column of type LIST, STRUCT or NULL");
                if (!input->append_only && contains_window(group))
                        return leat_compile_refuse(cc, group->position,
                                                   "use the window in the view that reads the topic",
                                                   "a window over rows that change");
                agg->types[i] = group->type;
                agg->props[i] = prop_of(group, input->props);
                if (agg->props[i].kind == LEAT_TIME_EVENT)
                        agg->props[i].kind = LEAT_TIME_NONE;
                if (agg->props[i].kind == LEAT_TIME_START && agg->agg->start_group < 0)
                        agg->agg->start_group = (int32_t)i;
                if (agg->props[i].kind == LEAT_TIME_END && agg->agg->end_group < 0)
                        agg->agg->end_group = (int32_t)i;
        }
        int32_t window = agg->agg->start_group >= 0 ? agg->agg->start_group : agg->agg->end_group;
        if (window >= 0)
                agg->agg->window = agg->props[window];
        agg->agg->late_check = window >= 0 && input->append_only;
        agg->agg->always = agg->group_count == 0;
        agg->types[agg->group_count] = leat_type_of(LEAT_T_BIGINT);
        agg->state_columns = agg->group_count + 1;
        return 0;
}

static int aggregate_read(struct leat_compile *cc, const json_t *json, struct leat_cnode **ret_node)
{
        struct leat_cnode *input;
        const json_t *groups = json_object_get(json, "groups"), *list = json_object_get(json, "expressions");
        LEAT_TRY(child_read(cc, json, 0, &input));
        if (json_array_size(json_object_get(json, "grouping_sets")) > 1 ||
            json_array_size(json_object_get(json, "grouping_functions")) > 0)
                return leat_compile_refuse(cc, position_of(groups), "make one view for each grouping",
                                           "GROUPING SETS, ROLLUP and CUBE cannot be used in a continuous query");
        struct leat_cnode *agg = agg_new(cc, input, (uint32_t)json_array_size(groups));
        for (uint32_t i = 0; i < agg->group_count; i++)
                LEAT_TRY(leat_compile_expr(cc, json_array_get(groups, i), input->column_count, &agg->groups[i]));
        LEAT_TRY(groups_finish(cc, agg));
        uint32_t count = (uint32_t)json_array_size(list);
        struct leat_expr **results = leat_arena_zalloc(cc->arena, (count + 1) * sizeof *results);
        for (uint32_t i = 0; i < count; i++)
                LEAT_TRY(leat_compile_aggregate(cc, agg, json_array_get(list, i), &results[i]));
        agg->column_count = agg->state_columns;
        struct leat_cnode *node = select_new(cc, agg, agg->group_count + count);
        for (uint32_t i = 0; i < node->column_count; i++) {
                node->exprs[i] = i < agg->group_count ? leat_expr_ref(cc->arena, i, agg->types[i])
                                                      : results[i - agg->group_count];
                if (i < agg->group_count && agg->groups[i]->cls == LEAT_X_REF && input->aliases != NULL)
                        node->aliases[i] = input->aliases[agg->groups[i]->index];
        }
        *ret_node = node;
        return select_finish(cc, node);
}

static int distinct_read(struct leat_compile *cc, const json_t *json, struct leat_cnode **ret_node)
{
        struct leat_cnode *input;
        LEAT_TRY(child_read(cc, json, 0, &input));
        if (strcmp(leat_json_text(json, "distinct_type"), "DISTINCT") != 0)
                return leat_compile_refuse(cc, position_of(json_object_get(json, "distinct_targets")),
                                           "use arg_min or arg_max with GROUP BY",
                                           "DISTINCT ON cannot be used in a continuous query");
        struct leat_cnode *agg = agg_new(cc, input, input->column_count);
        for (uint32_t i = 0; i < input->column_count; i++)
                agg->groups[i] = leat_expr_ref(cc->arena, i, input->types[i]);
        LEAT_TRY(groups_finish(cc, agg));
        agg->agg->set_only = true;
        agg->append_only = input->append_only;
        agg->column_count = agg->state_columns;
        struct leat_cnode *node = select_new(cc, agg, input->column_count);
        for (uint32_t i = 0; i < node->column_count; i++) {
                node->exprs[i] = leat_expr_ref(cc->arena, i, agg->types[i]);
                node->aliases[i] = input->aliases != NULL ? input->aliases[i] : NULL;
        }
        *ret_node = node;
        return select_finish(cc, node);
}

static int union_read(struct leat_compile *cc, const json_t *json, struct leat_cnode **ret_node)
{
        size_t count = json_array_size(json_object_get(json, "children"));
        if (count < 2 || count > 16)
                return leat_compile_refuse(cc, position_of(json), "make a view of a part", "a UNION of %zu inputs",
                                           count);
        struct leat_cnode *node = NULL;
        for (size_t i = 0; i < count; i++) {
                struct leat_cnode *input;
                LEAT_TRY(child_read(cc, json, i, &input));
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

static int unnest_read(struct leat_compile *cc, const json_t *json, struct leat_cnode **ret_node)
{
        struct leat_cnode *input;
        const json_t *list = json_object_get(json, "expressions");
        struct leat_expr *expr = NULL;
        LEAT_TRY(child_read(cc, json, 0, &input));
        if (json_array_size(list) != 1)
                return leat_compile_refuse(cc, position_of(list), "unnest one list", "UNNEST of several lists at once");
        LEAT_TRY(leat_compile_expr(cc, json_array_get(list, 0), input->column_count, &expr));
        if (expr->cls != LEAT_X_UNNEST)
                return leat_compile_refuse(cc, expr->position, "unnest a list", "UNNEST of this expression");
        struct leat_cnode *node = select_new(cc, input, input->column_count + 1);
        for (uint32_t i = 0; i < input->column_count; i++) {
                node->exprs[i] = leat_expr_ref(cc->arena, i, input->types[i]);
                node->aliases[i] = input->aliases != NULL ? input->aliases[i] : NULL;
        }
        node->exprs[input->column_count] = expr;
        node->unnest = (int32_t)input->column_count;
        if (is_window(expr->args[0]))
                node->hop = expr->args[0]->window;
        *ret_node = node;
        return select_finish(cc, node);
}

/* ---- lookup join ------------------------------------------------------------------------------------------ */
struct right_side {
        struct leat_cnode *source;
        struct leat_expr *where;    /* over the topic's columns, or NULL */
        struct leat_expr **columns; /* the plan's right columns over the topic's */
        uint32_t column_count;
};

/* Flattens SELECTs over a keyed topic; false when it is anything else. */
static bool right_read(struct leat_compile *cc, struct leat_cnode *node, struct right_side *right)
{
        if (node->op == LEAT_OP_SOURCE) {
                if (node->relation->kind != LEAT_STREAM_KEYED)
                        return false;
                right->source = node;
                right->column_count = node->column_count;
                right->columns = leat_arena_zalloc(cc->arena, (node->column_count + 1) * sizeof(*right->columns));
                for (uint32_t i = 0; i < node->column_count; i++)
                        right->columns[i] = leat_expr_ref(cc->arena, i, node->types[i]);
                return true;
        }
        if (node->op != LEAT_OP_SELECT || node->unnest >= 0 || !right_read(cc, node->inputs[0], right))
                return false;
        struct leat_expr **below = right->columns;
        right->where = and_of(cc, right->where, leat_expr_replace(cc->arena, node->where, below));
        right->columns = leat_arena_zalloc(cc->arena, (node->column_count + 1) * sizeof(*right->columns));
        right->column_count = node->column_count;
        for (uint32_t i = 0; i < node->column_count; i++)
                right->columns[i] = leat_expr_replace(cc->arena, node->exprs[i], below);
        return true;
}

/* Splits a condition into its AND parts. */
static void parts_of(struct leat_expr *cond, struct leat_expr **parts, uint32_t *count, uint32_t max)
{
        if (cond->cls == LEAT_X_INFIX && strcmp(cond->name, "AND") == 0) {
                for (uint32_t i = 0; i < cond->argc; i++)
                        parts_of(cond->args[i], parts, count, max);
        } else if (*count < max) {
                parts[(*count)++] = cond;
        }
}

struct side_check {
        uint32_t split; /* columns below it are the left's */
        bool left, right;
};
static void side_ref(void *arg, struct leat_expr *ref)
{
        struct side_check *check = arg;
        if (ref->index < check->split)
                check->left = true;
        else
                check->right = true;
}
static struct side_check side_of(struct leat_expr *expr, uint32_t split)
{
        struct side_check check = {.split = split};
        leat_expr_refs(expr, side_ref, &check);
        return check;
}

/* The key column of the topic that @part compares with an expression of the left; -1 when it is no such part. */
static int32_t key_part(struct leat_expr *part, uint32_t left_columns, const struct right_side *right,
                        struct leat_expr **ret_left)
{
        if (part->cls != LEAT_X_INFIX || strcmp(part->name, "=") != 0)
                return -1;
        for (uint32_t i = 0; i < 2; i++) {
                struct leat_expr *a = part->args[i], *b = part->args[1 - i];
                if (b->cls != LEAT_X_REF || b->index < left_columns || side_of(a, left_columns).right)
                        continue;
                struct leat_expr *column = right->columns[b->index - left_columns];
                if (column->cls != LEAT_X_REF)
                        continue;
                uint32_t at = right->source->source_columns[column->index];
                for (uint32_t k = 0; k < right->source->relation->key_count; k++)
                        if (right->source->relation->keys[k] == at) {
                                *ret_left = a;
                                return (int32_t)k;
                        }
        }
        return -1;
}

static int lookup_build(struct leat_compile *cc, struct leat_cnode *left, struct right_side *right, bool outer,
                        struct leat_expr *cond, int position, struct leat_cnode **ret_node)
{
        const struct leat_stream_relation *topic = right->source->relation;
        struct leat_expr *parts[64], *rest = NULL;
        uint32_t part_count = 0, nl = left->column_count, nr = right->source->column_count;
        struct leat_cnode *node = leat_cnode_new(cc, LEAT_OP_LOOKUP, nl + nr + 1);
        if (!left->append_only)
                return leat_compile_refuse(cc, position, "join before you aggregate",
                                           "a lookup join whose left side changes (an updating view or aggregate)");
        node->input_count = 1;
        node->inputs[0] = left;
        node->append_only = true;
        node->relation = topic;
        node->source_columns = right->source->source_columns;
        node->source_count = nr;
        node->keys = leat_arena_zalloc(cc->arena, (topic->key_count + 1) * sizeof(*node->keys));
        memcpy(node->types, left->types, nl * sizeof *node->types);
        memcpy(node->props, left->props, nl * sizeof *node->props);
        memcpy(node->types + nl, right->source->types, nr * sizeof *node->types);
        node->types[nl + nr] = leat_type_of(LEAT_T_BOOLEAN);
        parts_of(cond, parts, &part_count, LEAT_ARRAY_LEN(parts));
        /* over the lookup's columns: the left's stay, the right's become expressions over the topic's */
        struct leat_expr **with = leat_arena_zalloc(cc->arena, (nl + right->column_count + 1) * sizeof *with);
        struct leat_expr **shift = leat_arena_zalloc(cc->arena, (nr + 1) * sizeof *shift);
        for (uint32_t i = 0; i < nr; i++)
                shift[i] = leat_expr_ref(cc->arena, nl + i, right->source->types[i]);
        for (uint32_t i = 0; i < nl; i++)
                with[i] = leat_expr_ref(cc->arena, i, left->types[i]);
        for (uint32_t i = 0; i < right->column_count; i++)
                with[nl + i] = leat_expr_replace(cc->arena, right->columns[i], shift);
        for (uint32_t i = 0; i < part_count; i++) {
                struct leat_expr *key = NULL;
                int32_t at = key_part(parts[i], nl, right, &key);
                if (at >= 0 && node->keys[at] == NULL)
                        node->keys[at] = key;
                else
                        rest = and_of(cc, rest, leat_expr_replace(cc->arena, parts[i], with));
        }
        for (uint32_t k = 0; k < topic->key_count; k++)
                if (node->keys[k] == NULL)
                        return leat_compile_refuse(cc, position, "join ON every column of its PRIMARY KEY with =",
                                                   "the join does not compare the key column \"%s\" of the keyed topic",
                                                   topic->names[topic->keys[k]]);
        struct leat_expr *matched = leat_expr_ref(cc->arena, nl + nr, node->types[nl + nr]);
        struct leat_expr *hit = and_of(cc, matched, rest);
        hit = and_of(cc, hit, leat_expr_replace(cc->arena, right->where, shift));
        struct leat_cnode *out = select_new(cc, node, nl + right->column_count);
        for (uint32_t i = 0; i < out->column_count; i++) {
                struct leat_expr *args[2] = {hit, with[i]};
                out->exprs[i] = with[i];
                /* a plain column of a row that is not there is NULL by itself */
                if (outer && i >= nl && (hit != matched || with[i]->cls != LEAT_X_REF))
                        out->exprs[i] = leat_expr_text(cc->arena, with[i]->type, "(CASE WHEN $0 THEN $1 END)", 2, args);
                if (i < nl && left->aliases != NULL)
                        out->aliases[i] = left->aliases[i];
        }
        out->where = outer ? NULL : hit;
        *ret_node = out;
        return select_finish(cc, out);
}

/* Puts the columns of a join whose sides were changed back into the plan's order. */
static int swap_back(struct leat_compile *cc, struct leat_cnode *join, uint32_t moved, struct leat_cnode **ret_node)
{
        struct leat_cnode *node = select_new(cc, join, join->column_count);
        uint32_t first = join->column_count - moved;
        for (uint32_t i = 0; i < join->column_count; i++) {
                uint32_t at = i < moved ? first + i : i - moved;
                node->exprs[i] = leat_expr_ref(cc->arena, at, join->types[at]);
        }
        *ret_node = node;
        return select_finish(cc, node);
}

static int condition_read(struct leat_compile *cc, const json_t *json, uint32_t left_columns, uint32_t right_columns,
                          struct leat_expr **ret_cond)
{
        const json_t *list = json_object_get(json, "conditions");
        struct leat_expr **shift = leat_arena_zalloc(cc->arena, (right_columns + 1) * sizeof *shift);
        for (uint32_t i = 0; i < right_columns; i++)
                shift[i] = leat_expr_ref(cc->arena, left_columns + i, leat_type_of(LEAT_T_INVALID));
        *ret_cond = NULL;
        if (list == NULL)
                return leat_compile_expr(cc, json_object_get(json, "condition"), left_columns + right_columns,
                                         ret_cond);
        for (size_t i = 0; i < json_array_size(list); i++) {
                const json_t *one = json_array_get(list, i);
                /* a condition is a comparison without its class */
                json_t *cmp = json_pack("{s:s,s:O,s:O,s:O}", "expression_class", "BOUND_COMPARISON", "type",
                                        json_object_get(one, "comparison"), "left", json_object_get(one, "left"),
                                        "right", json_object_get(one, "right"));
                struct leat_expr *cond = NULL;
                if (cmp == NULL)
                        return leat_compile_refuse(cc, position_of(json), "join ON columns = key",
                                                   "this join condition");
                int rc = leat_expr_read(cc->arena, cmp, &cond, cc->err);
                json_decref(cmp);
                LEAT_TRY(rc);
                struct refs_check left = {.columns = left_columns}, right = {.columns = right_columns};
                leat_expr_refs(cond->args[0], ref_check, &left);
                leat_expr_refs(cond->args[1], ref_check, &right);
                if (left.bad || right.bad)
                        return leat_error_set(cc->err, LEAT_EINTERNAL,
                                              "a join condition has a column beyond its input");
                cond->args[1] = leat_expr_replace(cc->arena, cond->args[1], shift);
                *ret_cond = and_of(cc, *ret_cond, cond);
                if (i > 0)
                        (*ret_cond)->cls = LEAT_X_INFIX, (*ret_cond)->name = "AND";
        }
        return 0;
}

/* The same condition with left and right columns exchanged. */
static struct leat_expr *condition_swap(struct leat_compile *cc, struct leat_expr *cond, uint32_t left_columns,
                                        uint32_t right_columns)
{
        struct leat_expr **with = leat_arena_zalloc(cc->arena, (left_columns + right_columns + 1) * sizeof *with);
        for (uint32_t i = 0; i < left_columns + right_columns; i++)
                with[i] = leat_expr_ref(cc->arena, i < left_columns ? right_columns + i : i - left_columns,
                                        leat_type_of(LEAT_T_INVALID));
        return leat_expr_replace(cc->arena, cond, with);
}

static int join_read(struct leat_compile *cc, const json_t *json, struct leat_cnode **ret_node)
{
        static const char hint[] = "join a topic or an append-only view with a PRIMARY KEY topic: FROM scans s JOIN "
                                   "stations t ON s.station = t.id (or LEFT JOIN)";
        const char *kind = leat_json_text(json, "join_type");
        int position = position_of(json_object_get(json, "conditions"));
        struct leat_cnode *left, *right_node;
        struct right_side right = {0};
        struct leat_expr *cond;
        if (position == 0)
                position = position_of(json_object_get(json, "condition"));
        LEAT_TRY(child_read(cc, json, 0, &left));
        LEAT_TRY(child_read(cc, json, 1, &right_node));
        bool inner = strcmp(kind, "INNER") == 0;
        if (!inner && strcmp(kind, "LEFT") != 0 && strcmp(kind, "RIGHT") != 0)
                return leat_compile_refuse(cc, position, hint, "a %s join cannot be used in a continuous query yet",
                                           kind);
        uint32_t nl = left->column_count, nr = right_node->column_count;
        LEAT_TRY(condition_read(cc, json, nl, nr, &cond));
        if (cond == NULL)
                return leat_compile_refuse(cc, position, hint, "a join without condition");
        if (strcmp(kind, "RIGHT") != 0 && right_read(cc, right_node, &right))
                return lookup_build(cc, left, &right, !inner, cond, position, ret_node);
        if (strcmp(kind, "LEFT") != 0 && right_read(cc, left, &right)) {
                struct leat_cnode *join;
                cond = condition_swap(cc, cond, nl, nr);
                LEAT_TRY(lookup_build(cc, right_node, &right, !inner, cond, position, &join));
                return swap_back(cc, join, nl, ret_node);
        }
        return leat_compile_refuse(cc, position, hint,
                                   "only joins with a PRIMARY KEY topic can be used in a continuous query yet");
}

/* ---- all nodes ------------------------------------------------------------------------------------------------ */
static int refused_read(struct leat_compile *cc, const json_t *json, const char *type)
{
        static const char *const hints[][3] = {
                {"LOGICAL_ORDER_BY", "ORDER BY", "a view has no order: leave it out and order when you read the view"},
                {"LOGICAL_LIMIT", "LIMIT", "leave it out and use LIMIT when you read the view"},
                {"LOGICAL_TOP_N", "ORDER BY with LIMIT", "leave it out and use it when you read the view"},
                {"LOGICAL_WINDOW", "a window function (OVER, QUALIFY)", "use GROUP BY with arg_max, max or min"},
                {"LOGICAL_CROSS_PRODUCT", "a cross join", "join ON the PRIMARY KEY of a keyed topic"},
                {"LOGICAL_DELIM_JOIN", "a correlated subquery", "join ON the PRIMARY KEY of a keyed topic"},
                {"LOGICAL_EXCEPT", "EXCEPT", "use a filter"},
                {"LOGICAL_INTERSECT", "INTERSECT", "use a filter"},
                {"LOGICAL_SAMPLE", "SAMPLE", "use a filter, e.g. hash(id) % 10 = 0"},
                {"LOGICAL_MATERIALIZED_CTE", "a MATERIALIZED CTE", "leave MATERIALIZED out"},
                {"LOGICAL_RECURSIVE_CTE", "a recursive CTE", "write it without recursion"},
                {"LOGICAL_EXPRESSION_GET", "VALUES", "read at least one topic or view"},
                {"LOGICAL_CHUNK_GET", "VALUES", "read at least one topic or view"},
                {"LOGICAL_DUMMY_SCAN", "a SELECT without FROM", "read at least one topic or view"},
                {"LOGICAL_EMPTY_RESULT", "a query that never has rows", "remove the contradiction in its conditions"},
                {"LOGICAL_PIVOT", "PIVOT", "write the columns with FILTER"},
        };
        for (size_t i = 0; i < LEAT_ARRAY_LEN(hints); i++)
                if (strcmp(type, hints[i][0]) == 0)
                        return leat_compile_refuse(cc, position_of(json), hints[i][2],
                                                   "%s cannot be used in a continuous query", hints[i][1]);
        return leat_compile_refuse(cc, position_of(json), "write the query with SELECT, WHERE, GROUP BY, UNION ALL",
                                   "%s cannot be used in a continuous query", type);
}

static int type_read(struct leat_compile *cc, const json_t *json, struct leat_cnode **ret_node)
{
        static const struct {
                const char *type;
                int (*read)(struct leat_compile *cc, const json_t *json, struct leat_cnode **ret_node);
        } list[] = {
                {"LOGICAL_GET", get_read},           {"LOGICAL_PROJECTION", projection_read},
                {"LOGICAL_FILTER", filter_read},     {"LOGICAL_AGGREGATE_AND_GROUP_BY", aggregate_read},
                {"LOGICAL_DISTINCT", distinct_read}, {"LOGICAL_UNION", union_read},
                {"LOGICAL_UNNEST", unnest_read},     {"LOGICAL_COMPARISON_JOIN", join_read},
                {"LOGICAL_ANY_JOIN", join_read},
        };
        const char *type = leat_json_text(json, "type");
        if (strcmp(type, "LOGICAL_UNION") == 0 && !json_is_true(json_object_get(json, "setop_all")))
                return leat_compile_refuse(cc, position_of(json), "write UNION ALL", "UNION");
        for (size_t i = 0; i < LEAT_ARRAY_LEN(list); i++)
                if (strcmp(type, list[i].type) == 0)
                        return list[i].read(cc, json, ret_node);
        return refused_read(cc, json, type);
}

static int node_read(struct leat_compile *cc, const json_t *json, struct leat_cnode **ret_node)
{
        if (cc->depth >= LEAT_STREAM_DEPTH_MAX || ++cc->node_count > LEAT_STREAM_NODES_MAX)
                return leat_error_set(cc->err, LEAT_ETOOBIG,
                                      "the query has more than %u operators or is nested too deep",
                                      LEAT_STREAM_NODES_MAX);
        cc->depth++;
        int rc = type_read(cc, json, ret_node);
        cc->depth--;
        if (rc == 0 && (*ret_node)->column_count > LEAT_STREAM_COLUMNS_MAX / 2)
                return leat_error_set(cc->err, LEAT_ETOOBIG, "the query has more than %u columns",
                                      LEAT_STREAM_COLUMNS_MAX / 2);
        return rc;
}

/* jansson refuses numbers beyond 64 bits signed; DuckDB writes 2^64 - 1 for "no place". Long numbers become texts. */
static void numbers_quote(struct leat_view json, struct leat_buf *out)
{
        bool quoted = false;
        for (size_t i = 0; i < json.len;) {
                size_t end = i;
                while (!quoted && end < json.len && json.data[end] >= '0' && json.data[end] <= '9')
                        end++;
                if (end - i >= 19 && !(end < json.len && (json.data[end] == '.' || json.data[end] == 'e'))) {
                        leat_buf_u8(out, '"');
                        leat_buf_add(out, json.data + i, end - i);
                        leat_buf_u8(out, '"');
                        i = end;
                        continue;
                }
                if (end > i) {
                        leat_buf_add(out, json.data + i, end - i);
                        i = end;
                        continue;
                }
                if (quoted && json.data[i] == '\\' && i + 1 < json.len)
                        leat_buf_u8(out, json.data[i++]);
                else if (json.data[i] == '"')
                        quoted = !quoted;
                leat_buf_u8(out, json.data[i++]);
        }
}

int leat_stream_compile(struct leat_arena *arena, struct leat_view plan_json,
                        const struct leat_stream_relation *relations, uint32_t relation_count,
                        const struct leat_stream_options *options, struct leat_stream_graph **ret_graph,
                        struct leat_error *err)
{
        static const struct leat_stream_options defaults;
        struct leat_compile cc = {.arena = arena,
                                  .relations = relations,
                                  .relation_count = relation_count,
                                  .options = options != NULL ? options : &defaults,
                                  .err = err};
        struct leat_buf text = LEAT_BUF_INIT;
        struct leat_cnode *top = NULL;
        json_error_t bad;
        int rc = 0;
        numbers_quote(plan_json, &text);
        json_t *json = json_loadb((const char *)text.data, text.len, JSON_ALLOW_NUL, &bad);
        leat_buf_done(&text);
        const json_t *plans = json_object_get(json, "plans");
        const json_t *plan = json_array_get(plans, 0);
        if (plan == NULL && json_object_get(json, "type") != NULL)
                plan = json;
        if (json == NULL || plan == NULL || json_array_size(plans) > 1) {
                rc = leat_error_set(err, LEAT_EINVAL, "no plan of one statement: %s",
                                    json == NULL ? bad.text : leat_json_text(json, "error_message"));
        } else {
                rc = node_read(&cc, plan, &top);
        }
        if (rc == 0)
                rc = leat_compile_finish(&cc, top);
        json_decref(json);
        if (rc == 0)
                *ret_graph = cc.graph;
        return rc;
}
