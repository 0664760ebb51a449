/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/stream: tree -> graph. Expressions become text, and the way in which the
 * view's rows are kept is chosen:
 *
 *   the outermost operator is a GROUP BY   AGG: its arrangement, read through the SELECTs above
 *   ... and EMIT ON WINDOW CLOSE           CLOSED: a copy of the rows of closed windows
 *   append-only rows                       APPEND: by a sequence number; needs a retention
 *   rows that come and go                  ROWS: a multiset
 */
#include <inttypes.h>
#include <inttypes.h>
#include <stdio.h>

#include "stream_compile.h"

/* ---- nodes ------------------------------------------------------------------------------------ */
static char *part_sql(struct leat_compile *cc, const struct leat_cacc *acc, uint32_t part, const char *sign)
{
        struct leat_buf out = LEAT_BUF_INIT, filter = LEAT_BUF_INIT;
        struct leat_expr *args[2] = {acc->args[0], acc->args[1]};
        if (acc->filter != NULL || sign != NULL) {
                leat_buf_add_str(&filter, " FILTER (WHERE ");
                if (acc->filter != NULL)
                        leat_expr_print(acc->filter, &filter);
                leat_buf_printf(&filter, "%s%s)", acc->filter != NULL && sign != NULL ? " AND " : "",
                                sign != NULL ? sign : "");
        }
        for (const char *at = acc->function[part]; *at != 0; at++) {
                if (*at == '$' && at[1] == 'F') {
                        leat_buf_add_view(&out, leat_buf_view(&filter));
                        at++;
                } else if (*at == '$') {
                        leat_expr_print(args[at[1] - '0'], &out);
                        at++;
                } else {
                        leat_buf_u8(&out, (uint8_t)*at);
                }
        }
        char *text = leat_arena_strdup(cc->arena, leat_buf_cstr(&out));
        leat_buf_done(&out);
        leat_buf_done(&filter);
        return text;
}

static int arr_add(struct leat_compile *cc, const struct leat_arr_def *def, uint32_t *ret_arr)
{
        if (cc->graph->arr_count == LEAT_STREAM_ARRS_MAX)
                return leat_error_set(cc->err, LEAT_ETOOBIG, "the query needs more than %u arrangements",
                                      LEAT_STREAM_ARRS_MAX);
        *ret_arr = cc->graph->arr_count;
        cc->graph->arrs[cc->graph->arr_count] = *def;
        cc->graph->arrs[cc->graph->arr_count].id = *ret_arr;
        cc->graph->arr_count++;
        return 0;
}

static int64_t bucket_of(const struct leat_stream_graph *graph, int64_t step_us)
{
        int64_t bucket = graph->retention_us / 32 / step_us * step_us;
        return bucket > step_us ? bucket : step_us;
}

/* An arrangement with the aggregate's groups as key and @extra more columns. */
static int group_arr(struct leat_compile *cc, const struct leat_cnode *node, uint8_t mode, uint32_t extra_keys,
                     uint32_t orders, const struct leat_type *extra, uint32_t extra_count, bool closing,
                     uint32_t *ret_arr)
{
        struct leat_type *types = leat_arena_zalloc(cc->arena, (node->group_count + extra_count + 1) * sizeof *types);
        const struct leat_agg *agg = node->agg;
        struct leat_arr_def def = {.mode = mode,
                                   .key_count = node->group_count + extra_keys,
                                   .order_count = orders,
                                   .column_count = node->group_count + extra_count,
                                   .types = types,
                                   .time_column = -1};
        int32_t window = agg->start_group >= 0 ? agg->start_group : agg->end_group;
        memcpy(types, node->types, node->group_count * sizeof *types);
        memcpy(types + node->group_count, extra, extra_count * sizeof *types);
        if (window >= 0 && (closing || cc->graph->retention_us > 0)) {
                def.time_column = window;
                def.bucket_us = closing ? agg->window.slide_us : bucket_of(cc->graph, agg->window.slide_us);
        }
        return arr_add(cc, &def, ret_arr);
}

static int agg_lower(struct leat_compile *cc, struct leat_cnode *from, struct leat_node *to, bool closing)
{
        struct leat_arena *arena = cc->arena;
        struct leat_agg *agg = to->agg = from->agg;
        struct leat_type value[2];
        agg->group_count = from->group_count;
        agg->groups = leat_arena_zalloc(arena, (from->group_count + 1) * sizeof *agg->groups);
        for (uint32_t i = 0; i < from->group_count; i++)
                agg->groups[i] = leat_expr_sql(arena, from->groups[i]);
        LEAT_TRY(group_arr(cc, from, LEAT_ARR_MAP, 0, 0, from->types + from->group_count,
                           from->state_columns - from->group_count, closing, &agg->arr));
        agg->distinct_count = from->distinct_count;
        agg->distincts = leat_arena_zalloc(arena, (from->distinct_count + 1) * sizeof *agg->distincts);
        for (uint32_t i = 0; i < from->distinct_count; i++) {
                struct leat_distinct *set = &agg->distincts[i];
                set->type = value[0] = from->distincts[i].value->type;
                value[1] = leat_type_of(LEAT_T_BIGINT);
                set->value = leat_expr_sql(arena, from->distincts[i].value);
                set->filter = leat_expr_sql(arena, from->distincts[i].filter);
                LEAT_TRY(group_arr(cc, from, LEAT_ARR_MAP, 1, 0, value, 2, closing, &set->arr));
        }
        agg->acc_count = from->acc_count;
        agg->accs = leat_arena_zalloc(arena, (from->acc_count + 1) * sizeof *agg->accs);
        for (uint32_t i = 0; i < from->acc_count; i++) {
                const struct leat_cacc *have = &from->accs[i];
                struct leat_acc *acc = &agg->accs[i];
                *acc = (struct leat_acc){.kind = have->kind,
                                         .signed_parts = have->signed_parts,
                                         .column = have->column,
                                         .width = have->width,
                                         .feed = have->feed,
                                         .descending = have->descending};
                if (acc->kind == LEAT_ACC_FIRST) {
                        acc->value = leat_expr_sql(arena, have->args[0]);
                        acc->filter = leat_expr_sql(arena, have->filter);
                        LEAT_TRY(group_arr(cc, from, LEAT_ARR_MULTISET, 0, 1, have->types, 1, closing, &acc->arr));
                        cc->graph->arrs[acc->arr].order_desc = acc->descending ? 1 : 0;
                        continue;
                }
                acc->part_count = acc->signed_parts ? 2 * acc->width : acc->width;
                acc->parts = leat_arena_zalloc(arena, acc->part_count * sizeof *acc->parts);
                for (uint32_t k = 0; k < acc->part_count; k++)
                        acc->parts[k] = part_sql(cc, have, k % acc->width,
                                                 !acc->signed_parts ? NULL
                                                 : k < acc->width   ? "w > 0"
                                                                    : "w < 0");
        }
        return 0;
}

static int source_lower(struct leat_compile *cc, const struct leat_cnode *from, struct leat_node *to)
{
        const struct leat_stream_relation *relation = from->relation;
        to->kind = (uint8_t)relation->kind;
        to->object_id = relation->object_id;
        to->relation = leat_arena_strdup(cc->arena, relation->title != NULL ? relation->title : relation->name);
        to->name_count = from->source_count;
        to->names = leat_arena_zalloc(cc->arena, (from->source_count + 1) * sizeof(*to->names));
        for (uint32_t i = 0; i < from->source_count; i++) {
                if (from->source_columns[i] >= relation->column_count)
                        return leat_error_set(cc->err, LEAT_EUNSUPPORTED,
                                              "row numbers cannot be used in a continuous query");
                to->names[i] = leat_arena_strdup(cc->arena, relation->names[from->source_columns[i]]);
        }
        if (relation->kind == LEAT_STREAM_TOPIC && relation->time_column >= 0)
                to->time_name = leat_arena_strdup(cc->arena, relation->names[relation->time_column]);
        if (relation->kind == LEAT_STREAM_VIEW)
                to->time_delay_us = relation->graph->time_delay_us;
        uint32_t i = 0;
        while (i < cc->graph->object_count && cc->graph->objects[i] != relation->object_id)
                i++;
        if (i == cc->graph->object_count)
                cc->graph->objects[cc->graph->object_count++] = relation->object_id;
        return 0;
}

/* A SELECT that gives its input as it is. */
static bool is_identity(const struct leat_cnode *node)
{
        bool same = node->op == LEAT_OP_SELECT && node->where == NULL && node->unnest < 0 &&
                    node->column_count == node->inputs[0]->column_count;
        for (uint32_t i = 0; same && i < node->column_count; i++)
                same = node->exprs[i]->cls == LEAT_X_REF && node->exprs[i]->index == i;
        return same;
}

/* Appends @from and what is under it; *ret_id is its number. */
static int lower(struct leat_compile *cc, struct leat_cnode *from, struct leat_cnode *closing, uint32_t *ret_id)
{
        struct leat_arena *arena = cc->arena;
        while (is_identity(from))
                from = from->inputs[0];
        struct leat_node node = {.op = from->op,
                                 .append_only = from->append_only,
                                 .input_count = from->input_count,
                                 .column_count = from->column_count,
                                 .types = from->types,
                                 .props = from->props,
                                 .unnest = from->unnest};
        for (uint32_t i = 0; i < from->input_count; i++)
                LEAT_TRY(lower(cc, from->inputs[i], closing, &node.inputs[i]));
        if (from->op == LEAT_OP_SELECT) {
                node.exprs = leat_arena_zalloc(arena, (from->column_count + 1) * sizeof(*node.exprs));
                for (uint32_t i = 0; i < from->column_count; i++)
                        node.exprs[i] = leat_expr_sql(arena, from->exprs[i]);
                node.where = leat_expr_sql(arena, from->where);
        } else if (from->op == LEAT_OP_SOURCE || from->op == LEAT_OP_LOOKUP) {
                LEAT_TRY(source_lower(cc, from, &node));
        }
        if (from->op == LEAT_OP_LOOKUP) {
                node.key_count = from->relation->key_count;
                node.keys = leat_arena_zalloc(arena, (node.key_count + 1) * sizeof(*node.keys));
                node.key_types = leat_arena_zalloc(arena, (node.key_count + 1) * sizeof *node.key_types);
                for (uint32_t k = 0; k < node.key_count; k++) {
                        node.keys[k] = leat_expr_sql(arena, from->keys[k]);
                        node.key_types[k] = leat_type_copy(arena, &from->relation->types[from->relation->keys[k]]);
                }
        }
        if (from->op == LEAT_OP_AGG)
                LEAT_TRY(agg_lower(cc, from, &node, from == closing));
        if (cc->graph->node_count == LEAT_STREAM_NODES_MAX)
                return leat_error_set(cc->err, LEAT_ETOOBIG, "the query has more than %u operators",
                                      LEAT_STREAM_NODES_MAX);
        *ret_id = cc->graph->node_count;
        cc->graph->nodes[cc->graph->node_count++] = node;
        return 0;
}

/* ---- the view's relation ------------------------------------------------------------------------ */
/* The output column that is column @column of the aggregate @agg, through the SELECTs from @top down. */
static uint32_t column_trace(const struct leat_cnode *top, const struct leat_cnode *agg, uint32_t column)
{
        for (uint32_t i = 0; i < top->column_count; i++) {
                const struct leat_cnode *node = top;
                uint32_t at = i;
                while (node != agg && node->op == LEAT_OP_SELECT && node->exprs[at]->cls == LEAT_X_REF) {
                        at = node->exprs[at]->index;
                        node = node->inputs[0];
                }
                if (node == agg && at == column)
                        return i;
        }
        return UINT32_MAX;
}

static void keyed_output(struct leat_compile *cc, const struct leat_cnode *top, const struct leat_cnode *agg)
{
        struct leat_stream_output *out = &cc->graph->output;
        uint32_t *keys = leat_arena_zalloc(cc->arena, (agg->group_count + 1) * sizeof *keys);
        out->keyed = true;
        out->key_count = agg->group_count;
        out->key_columns = keys;
        for (uint32_t i = 0; i < agg->group_count; i++) {
                keys[i] = column_trace(top, agg, i);
                out->keyed &= keys[i] != UINT32_MAX;
        }
}

static void names_set(struct leat_compile *cc, const struct leat_cnode *top)
{
        struct leat_stream_output *out = &cc->graph->output;
        const char **names = leat_arena_zalloc(cc->arena, (top->column_count + 1) * sizeof *names);
        struct leat_type *types = leat_arena_zalloc(cc->arena, (top->column_count + 1) * sizeof *types);
        out->column_count = top->column_count;
        out->time_column = -1;
        for (uint32_t i = 0; i < top->column_count; i++) {
                types[i] = leat_type_copy(cc->arena, &top->types[i]);
                if (i < cc->options->column_count && cc->options->names != NULL)
                        names[i] = leat_arena_strdup(cc->arena, cc->options->names[i]);
                else
                        names[i] = top->aliases != NULL && top->aliases[i] != NULL
                                           ? leat_arena_strdup(cc->arena, top->aliases[i])
                                           : leat_arena_printf(cc->arena, "column%u", i);
                if (out->time_column < 0 && top->props[i].kind != LEAT_TIME_NONE)
                        out->time_column = (int32_t)i;
        }
        out->names = names;
        out->types = types;
}

static int64_t source_delay(const struct leat_cnode *node)
{
        int64_t delay = node->op == LEAT_OP_SOURCE && node->relation->kind == LEAT_STREAM_VIEW
                                ? node->relation->graph->time_delay_us
                                : 0;
        for (uint32_t i = 0; i < node->input_count; i++)
                delay = LEAT_MAX(delay, source_delay(node->inputs[i]));
        return delay;
}

static int closed_check(struct leat_compile *cc, const struct leat_cnode *agg)
{
        static const char hint[] = "SELECT site, window_start, count(*) FROM tumble(topic, event_time, INTERVAL '10 "
                                   "seconds') GROUP BY site, window_start EMIT ON WINDOW CLOSE";
        if (agg == NULL || !agg->agg->late_check || agg->agg->window.kind == LEAT_TIME_NONE)
                return leat_compile_refuse(cc, 0, hint,
                                           "EMIT ON WINDOW CLOSE needs a GROUP BY over the window_start or "
                                           "window_end of a topic's event time as the outermost operator");
        return 0;
}

/* Rows that no aggregate keeps: APPEND or ROWS. */
static int rows_output(struct leat_compile *cc, struct leat_cnode *top)
{
        struct leat_stream_graph *graph = cc->graph;
        struct leat_stream_output *out = &graph->output;
        struct leat_arr_def def = {.time_column = -1};
        uint32_t first = top->append_only ? 1 : 0, arr;
        struct leat_type *types = leat_arena_zalloc(cc->arena, (top->column_count + 2) * sizeof *types);
        types[0] = leat_type_of(LEAT_T_BIGINT);
        memcpy(types + first, out->types, top->column_count * sizeof *types);
        def.types = types;
        def.column_count = top->column_count + first;
        graph->mode = top->append_only ? LEAT_OUT_APPEND : LEAT_OUT_ROWS;
        for (uint32_t i = 0; i < top->column_count; i++)
                if (out->types[i].id == LEAT_T_LIST || out->types[i].id == LEAT_T_STRUCT)
                        return leat_compile_refuse(cc, 0, "select its parts, or cast it to TEXT",
                                                   "column \"%s\" of type LIST or STRUCT cannot be kept by a view",
                                                   out->names[i]);
        if (!top->append_only) {
                def.mode = LEAT_ARR_MULTISET;
                def.key_count = def.column_count;
        } else {
                def.mode = LEAT_ARR_MAP;
                def.key_count = 1;
                if (graph->retention_us <= 0)
                        return leat_compile_refuse(cc, 0,
                                                   "add WITH (retention = '1 day') and select the event time, or "
                                                   "GROUP BY, or use CREATE VIEW, which keeps no rows",
                                                   "this view would keep every row of its input for ever");
                if (out->time_column < 0)
                        for (uint32_t i = 0; i < top->column_count; i++)
                                if (strcmp(out->names[i], "kafka_timestamp") == 0 &&
                                    types[i + 1].id == LEAT_T_TIMESTAMPTZ)
                                        out->time_column = (int32_t)i;
                if (out->time_column < 0)
                        return leat_compile_refuse(
                                cc, 0, "select the topic's event time or kafka_timestamp as a column",
                                "the retention of this view needs a column that tells the age of a row");
                def.time_column = out->time_column + 1;
                def.bucket_us = bucket_of(graph, 1000000);
        }
        out->append_only = top->append_only;
        out->weighted = !top->append_only;
        return arr_add(cc, &def, &arr);
}

static void notice_set(struct leat_compile *cc, const struct leat_cnode *node)
{
        struct leat_stream_graph *graph = cc->graph;
        if (node->op == LEAT_OP_AGG && node->group_count > 0 && graph->output.notice == NULL) {
                bool windows = node->agg->window.kind != LEAT_TIME_NONE;
                if (!windows)
                        graph->output.notice =
                                "the state of this view grows with the number of different keys of its GROUP BY";
                else if (graph->retention_us <= 0)
                        graph->output.notice = "this view keeps all its windows; WITH (retention = '7 days') bounds it";
        }
        for (uint32_t i = 0; i < node->input_count; i++)
                notice_set(cc, node->inputs[i]);
}

static void options_set(struct leat_compile *cc)
{
        struct leat_stream_graph *graph = cc->graph;
        graph->emit = cc->options->emit != 0 ? cc->options->emit : LEAT_STREAM_CHANGES;
        graph->late = cc->options->late;
        if (graph->late == 0)
                graph->late = graph->emit == LEAT_STREAM_ON_CLOSE ? LEAT_STREAM_LATE_DROP : LEAT_STREAM_LATE_APPLY;
        graph->grace_us =
                graph->late == LEAT_STREAM_LATE_GRACE && cc->options->grace_us > 0 ? cc->options->grace_us : 0;
        graph->retention_us = cc->options->retention_us > 0 ? cc->options->retention_us : 0;
}

int leat_compile_finish(struct leat_compile *cc, struct leat_cnode *top)
{
        struct leat_stream_graph *graph = leat_arena_zalloc(cc->arena, sizeof *graph);
        struct leat_cnode *node = top, *agg = NULL, *closing = NULL;
        cc->graph = graph;
        graph->arena = cc->arena;
        graph->nodes = leat_arena_zalloc(cc->arena, LEAT_STREAM_NODES_MAX * sizeof *graph->nodes);
        graph->arrs = leat_arena_zalloc(cc->arena, LEAT_STREAM_ARRS_MAX * sizeof *graph->arrs);
        graph->objects = leat_arena_zalloc(cc->arena, LEAT_STREAM_NODES_MAX * sizeof *graph->objects);
        options_set(cc);
        leat_compile_panes(cc, top);
        bool *need = leat_arena_alloc(cc->arena, top->column_count + 1);
        memset(need, 1, top->column_count);
        leat_compile_prune(cc, top, need);
        names_set(cc, top);
        while (node->op == LEAT_OP_SELECT && node->unnest < 0)
                node = node->inputs[0];
        if (node->op == LEAT_OP_AGG)
                agg = node;
        if (graph->emit == LEAT_STREAM_ON_CLOSE) {
                LEAT_TRY(closed_check(cc, agg));
                closing = graph->late == LEAT_STREAM_LATE_REEMIT ? NULL : agg;
                graph->mode = LEAT_OUT_CLOSED;
                uint32_t arr;
                LEAT_TRY(group_arr(cc, agg, LEAT_ARR_MAP, 0, 0, agg->types + agg->group_count,
                                   agg->state_columns - agg->group_count, false, &arr));
                graph->output.append_only = graph->late != LEAT_STREAM_LATE_REEMIT;
                graph->time_delay_us = graph->grace_us + (agg->agg->start_group >= 0 ? agg->agg->window.size_us : 0);
        } else if (agg != NULL) {
                graph->mode = LEAT_OUT_AGG;
                graph->output.append_only = agg->append_only;
        } else {
                LEAT_TRY(rows_output(cc, top));
                graph->time_delay_us = source_delay(top);
        }
        if (agg != NULL)
                keyed_output(cc, top, agg);
        notice_set(cc, top);
        /* The outermost aggregate's arrangement must be number 0: its numbers are given before those below it. */
        LEAT_TRY(lower(cc, top, closing, &graph->top_node));
        for (uint32_t i = 0; i < graph->node_count; i++)
                if (agg != NULL && graph->nodes[i].agg == agg->agg)
                        graph->agg_node = i;
        if (graph->mode == LEAT_OUT_AGG && agg->agg->arr != 0) {
                uint32_t at = agg->agg->arr;
                struct leat_arr_def first = graph->arrs[0];
                graph->arrs[0] = graph->arrs[at];
                graph->arrs[at] = first;
                graph->arrs[0].id = 0;
                graph->arrs[at].id = at;
                for (uint32_t i = 0; i < graph->node_count; i++) {
                        struct leat_agg *other = graph->nodes[i].agg;
                        if (other == NULL)
                                continue;
                        for (uint32_t k = 0; k < other->acc_count; k++)
                                if (other->accs[k].kind == LEAT_ACC_FIRST && other->accs[k].arr == 0)
                                        other->accs[k].arr = at;
                        for (uint32_t k = 0; k < other->distinct_count; k++)
                                if (other->distincts[k].arr == 0)
                                        other->distincts[k].arr = at;
                        if (other->arr == 0)
                                other->arr = at;
                }
                agg->agg->arr = 0;
        }
        graph->output.arr_id = graph->first_arr_id;
        return 0;
}
