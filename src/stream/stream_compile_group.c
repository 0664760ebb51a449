/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/stream: GROUP BY and DISTINCT of a plan. The aggregate functions
 * themselves are in stream_aggregate.c.
 */
#include <jansson.h>

#include "stream_compile.h"

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
                if (!input->append_only && leat_expr_has_window(group))
                        return leat_compile_refuse(cc, group->position,
                                                   "use the window in the view that reads the topic",
                                                   "a window over rows that change");
                agg->types[i] = group->type;
                agg->props[i] = leat_expr_time(group, input->props);
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
        if (agg->agg->late_check)
                leat_compile_time_check_drop(input);
        agg->agg->always = agg->group_count == 0;
        agg->types[agg->group_count] = leat_type_of(LEAT_T_BIGINT);
        agg->state_columns = agg->group_count + 1;
        return 0;
}

int leat_compile_group(struct leat_compile *cc, const json_t *json, struct leat_cnode **ret_node)
{
        struct leat_cnode *input;
        const json_t *groups = json_object_get(json, "groups"), *list = json_object_get(json, "expressions");
        LEAT_TRY(leat_compile_child(cc, json, 0, &input));
        if (json_array_size(json_object_get(json, "grouping_sets")) > 1 ||
            json_array_size(json_object_get(json, "grouping_functions")) > 0)
                return leat_compile_refuse(cc, leat_compile_position(groups), "make one view for each grouping",
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
        struct leat_cnode *node = leat_compile_select_new(cc, agg, agg->group_count + count);
        for (uint32_t i = 0; i < node->column_count; i++) {
                node->exprs[i] = i < agg->group_count ? leat_expr_ref(cc->arena, i, agg->types[i])
                                                      : results[i - agg->group_count];
                if (i < agg->group_count && agg->groups[i]->cls == LEAT_X_REF && input->aliases != NULL)
                        node->aliases[i] = input->aliases[agg->groups[i]->index];
        }
        *ret_node = node;
        return leat_compile_select_finish(cc, node);
}

int leat_compile_distinct(struct leat_compile *cc, const json_t *json, struct leat_cnode **ret_node)
{
        struct leat_cnode *input;
        LEAT_TRY(leat_compile_child(cc, json, 0, &input));
        if (strcmp(leat_json_text(json, "distinct_type"), "DISTINCT") != 0)
                return leat_compile_refuse(cc, leat_compile_position(json_object_get(json, "distinct_targets")),
                                           "use arg_min or arg_max with GROUP BY",
                                           "DISTINCT ON cannot be used in a continuous query");
        struct leat_cnode *agg = agg_new(cc, input, input->column_count);
        for (uint32_t i = 0; i < input->column_count; i++)
                agg->groups[i] = leat_expr_ref(cc->arena, i, input->types[i]);
        LEAT_TRY(groups_finish(cc, agg));
        agg->agg->set_only = true;
        agg->append_only = input->append_only;
        agg->column_count = agg->state_columns;
        struct leat_cnode *node = leat_compile_select_new(cc, agg, input->column_count);
        for (uint32_t i = 0; i < node->column_count; i++) {
                node->exprs[i] = leat_expr_ref(cc->arena, i, agg->types[i]);
                node->aliases[i] = input->aliases != NULL ? input->aliases[i] : NULL;
        }
        *ret_node = node;
        return leat_compile_select_finish(cc, node);
}
