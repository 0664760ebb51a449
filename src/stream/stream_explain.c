/* SPDX-License-Identifier: Apache-2.0 */
/* leat/stream: a graph for people: EXPLAIN's rows, and JSON for the console's drawing. */
#include <inttypes.h>
#include <stdio.h>

#include "stream_int.h"

static const char *op_name(const struct leat_node *node)
{
        switch (node->op) {
        case LEAT_OP_SOURCE:
                return node->kind == LEAT_STREAM_VIEW    ? "view"
                       : node->kind == LEAT_STREAM_KEYED ? "keyed topic"
                                                         : "topic";
        case LEAT_OP_SELECT:
                return node->unnest >= 0 ? "expand" : node->where != NULL ? "filter" : "project";
        case LEAT_OP_UNION:
                return "union all";
        case LEAT_OP_LOOKUP:
                return "lookup join";
        default:
                return node->agg->set_only ? "distinct" : "aggregate";
        }
}

static void list_add(struct leat_buf *out, const char *const *texts, uint32_t count)
{
        for (uint32_t i = 0; i < count; i++)
                leat_buf_printf(out, "%s%s", i > 0 ? ", " : "", texts[i]);
}

static void span_add(struct leat_buf *out, int64_t us)
{
        leat_param_text(LEAT_PARAM_DURATION, us, out);
}

static void agg_detail(const struct leat_agg *agg, struct leat_buf *out)
{
        leat_buf_add_str(out, "GROUP BY ");
        list_add(out, agg->groups, agg->group_count);
        leat_buf_add_str(out, agg->group_count == 0 ? "() " : " ");
        for (uint32_t i = 0; i < agg->acc_count; i++) {
                const struct leat_acc *acc = &agg->accs[i];
                leat_buf_printf(out, "%sc%u = ", i > 0 ? "; " : "KEEP ", acc->column);
                if (acc->kind == LEAT_ACC_FIRST)
                        leat_buf_printf(out, "%s of ordered %s", acc->descending ? "last" : "first", acc->value);
                else
                        list_add(out, acc->parts, acc->part_count);
                if (acc->feed > 0)
                        leat_buf_printf(out, " over distinct %s", agg->distincts[acc->feed - 1].value);
        }
}

static void detail_add(const struct leat_node *node, struct leat_buf *out)
{
        if (node->op == LEAT_OP_SOURCE || node->op == LEAT_OP_LOOKUP) {
                leat_buf_printf(out, "%s (", node->relation);
                list_add(out, node->names, node->name_count);
                leat_buf_add_str(out, ")");
        }
        if (node->op == LEAT_OP_LOOKUP) {
                leat_buf_add_str(out, " KEY ");
                list_add(out, node->keys, node->key_count);
        }
        if (node->op == LEAT_OP_SELECT) {
                list_add(out, node->exprs, node->column_count);
                if (node->where != NULL)
                        leat_buf_printf(out, " WHERE %s", node->where);
        }
        if (node->op == LEAT_OP_AGG)
                agg_detail(node->agg, out);
}

static void time_add(const struct leat_node *node, struct leat_buf *out)
{
        static const char *const kinds[] = {"", "event time", "window start", "window end"};
        for (uint32_t i = 0; i < node->column_count; i++) {
                const struct leat_time_prop *prop = &node->props[i];
                if (prop->kind == LEAT_TIME_NONE)
                        continue;
                leat_buf_printf(out, "; c%u: %s", i, kinds[prop->kind]);
                if (prop->kind == LEAT_TIME_EVENT)
                        continue;
                leat_buf_add_str(out, " of ");
                span_add(out, prop->size_us);
                if (prop->slide_us != prop->size_us) {
                        leat_buf_add_str(out, " every ");
                        span_add(out, prop->slide_us);
                }
        }
}

static void state_add(const struct leat_stream_graph *graph, const struct leat_node *node, struct leat_buf *out)
{
        const struct leat_agg *agg = node->agg;
        leat_buf_add_str(out, agg->group_count == 0 ? "; state: one row" : "; state: a row a key");
        if (agg->distinct_count > 0)
                leat_buf_printf(out, ", %u set%s of distinct values", agg->distinct_count,
                                agg->distinct_count > 1 ? "s" : "");
        if (agg->window.kind != LEAT_TIME_NONE && graph->arrs[agg->arr].time_column >= 0) {
                leat_buf_add_str(out, ", kept ");
                if (graph->mode == LEAT_OUT_CLOSED && agg->arr != 0)
                        leat_buf_add_str(out, "until the window closes");
                else
                        span_add(out, graph->retention_us);
        }
        if (agg->pane_us > 0) {
                leat_buf_add_str(out, "; by panes of ");
                span_add(out, agg->pane_us);
        }
        if (agg->group_count > 0) {
                leat_buf_add_str(out, "; unique (");
                for (uint32_t i = 0; i < agg->group_count; i++)
                        leat_buf_printf(out, "%sc%u", i > 0 ? ", " : "", i);
                leat_buf_add_str(out, ")");
        }
}

static void properties_add(const struct leat_stream_graph *graph, const struct leat_node *node, struct leat_buf *out)
{
        leat_buf_add_str(out, node->append_only ? "append-only" : "updating");
        time_add(node, out);
        if (node->op == LEAT_OP_AGG)
                state_add(graph, node, out);
}

static char *text_of(struct leat_arena *arena, struct leat_buf *buf)
{
        char *text = leat_arena_strdup(arena, leat_buf_cstr(buf));
        leat_buf_clear(buf);
        return text;
}

static void view_row(const struct leat_stream_graph *graph, struct leat_arena *arena,
                     struct leat_stream_explain_row *row)
{
        static const char *const lates[] = {"", "late rows count", "late rows are dropped", "late rows count for ",
                                            "late rows make a second result"};
        struct leat_buf buf = LEAT_BUF_INIT;
        uint32_t *inputs = leat_arena_alloc(arena, sizeof *inputs);
        inputs[0] = graph->top_node;
        row->id = graph->node_count;
        row->op = graph->emit == LEAT_STREAM_ON_CLOSE ? "emit on window close" : "materialize";
        row->input_count = 1;
        row->inputs = inputs;
        list_add(&buf, graph->output.names, graph->output.column_count);
        row->detail = text_of(arena, &buf);
        leat_buf_add_str(&buf, graph->output.append_only ? "append-only" : "updating");
        leat_buf_printf(&buf, "; %s", lates[graph->late]);
        if (graph->late == LEAT_STREAM_LATE_GRACE)
                span_add(&buf, graph->grace_us);
        if (graph->retention_us > 0) {
                leat_buf_add_str(&buf, "; retention ");
                span_add(&buf, graph->retention_us);
        }
        if (graph->output.notice != NULL)
                leat_buf_printf(&buf, "; %s", graph->output.notice);
        row->properties = text_of(arena, &buf);
        leat_buf_done(&buf);
}

static uint32_t node_rows(const struct leat_stream_graph *graph, struct leat_arena *arena, uint32_t number,
                          uint32_t depth, struct leat_stream_explain_row *rows, uint32_t count)
{
        const struct leat_node *node = &graph->nodes[number];
        struct leat_buf buf = LEAT_BUF_INIT;
        struct leat_stream_explain_row *row = &rows[count++];
        row->id = number;
        row->depth = depth;
        row->op = op_name(node);
        row->input_count = node->input_count;
        row->inputs = node->inputs;
        detail_add(node, &buf);
        row->detail = text_of(arena, &buf);
        properties_add(graph, node, &buf);
        row->properties = text_of(arena, &buf);
        leat_buf_done(&buf);
        for (uint32_t i = 0; i < node->input_count && count < graph->node_count + 1; i++)
                count = node_rows(graph, arena, node->inputs[i], depth + 1, rows, count);
        return count;
}

void leat_stream_explain(const struct leat_stream_graph *graph, struct leat_arena *arena,
                         struct leat_stream_explain_row **ret_rows, uint32_t *ret_count)
{
        struct leat_stream_explain_row *rows = leat_arena_zalloc(arena, (graph->node_count + 2) * sizeof *rows);
        view_row(graph, arena, &rows[0]);
        *ret_count = node_rows(graph, arena, graph->top_node, 1, rows, 1);
        *ret_rows = rows;
}

void leat_stream_explain_json(const struct leat_stream_graph *graph, struct leat_buf *out)
{
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_stream_explain_row *rows;
        uint32_t count;
        leat_stream_explain(graph, arena, &rows, &count);
        leat_buf_u8(out, '[');
        for (uint32_t i = 0; i < count; i++) {
                leat_buf_printf(out, "%s{\"id\":%u,\"depth\":%u,\"op\":", i > 0 ? "," : "", rows[i].id, rows[i].depth);
                leat_buf_json_str(out, leat_view_str(rows[i].op));
                leat_buf_add_str(out, ",\"detail\":");
                leat_buf_json_str(out, leat_view_str(rows[i].detail));
                leat_buf_add_str(out, ",\"properties\":");
                leat_buf_json_str(out, leat_view_str(rows[i].properties));
                leat_buf_add_str(out, ",\"inputs\":[");
                for (uint32_t k = 0; k < rows[i].input_count; k++)
                        leat_buf_printf(out, "%s%u", k > 0 ? "," : "", rows[i].inputs[k]);
                leat_buf_add_str(out, "]}");
        }
        leat_buf_u8(out, ']');
        leat_arena_free(arena);
}
