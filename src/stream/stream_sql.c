/* SPDX-License-Identifier: Apache-2.0 */
/* leat/stream: SQL text of a graph's nodes. Filters and projections are never run by themselves: they are text inside
 * the SELECT of the operator that uses them, so one prepared statement does a whole chain in one pass. */
#include "stream_int.h"

static void select_body(const struct leat_node *node, bool weighted, struct leat_buf *out)
{
        leat_buf_add_str(out, "SELECT ");
        for (uint32_t i = 0; i < node->column_count; i++)
                leat_buf_printf(out, "%s%s AS c%u", i > 0 ? ", " : "", node->exprs[i], i);
        if (node->column_count == 0)
                leat_buf_add_str(out, "1 AS x");
        if (weighted)
                leat_buf_add_str(out, ", w");
}

static void where_add(const struct leat_node *node, struct leat_buf *out)
{
        if (node->where != NULL)
                leat_buf_printf(out, " WHERE %s", node->where);
}

void leat_node_sql(const struct leat_stream_graph *graph, uint32_t number, const char *prefix, struct leat_buf *out)
{
        const struct leat_node *node = &graph->nodes[number];
        if (leat_node_materialized(node)) {
                leat_buf_printf(out, "leat_scan('%s%u')", prefix, number);
                return;
        }
        leat_buf_u8(out, '(');
        for (uint32_t i = 0; i < node->input_count; i++) {
                const struct leat_node *input = &graph->nodes[node->inputs[i]];
                leat_buf_add_str(out, i > 0 ? " UNION ALL " : "");
                if (node->op == LEAT_OP_SELECT) {
                        select_body(node, !node->append_only, out);
                } else {
                        leat_buf_add_str(out, "SELECT ");
                        for (uint32_t k = 0; k < node->column_count; k++)
                                leat_buf_printf(out, "%sc%u", k > 0 ? ", " : "", k);
                        if (!node->append_only)
                                leat_buf_add_str(out, input->append_only ? ", CAST(1 AS BIGINT) AS w" : ", w");
                }
                leat_buf_add_str(out, " FROM ");
                leat_node_sql(graph, node->inputs[i], prefix, out);
                where_add(node, out);
        }
        leat_buf_u8(out, ')');
}

static void read_sql(const struct leat_stream_graph *graph, uint32_t number, const char *source, bool weighted,
                     struct leat_buf *out)
{
        const struct leat_node *node = &graph->nodes[number];
        if (number == graph->agg_node) {
                leat_buf_add_str(out, source);
                return;
        }
        leat_buf_u8(out, '(');
        select_body(node, weighted, out);
        leat_buf_add_str(out, " FROM ");
        read_sql(graph, node->inputs[0], source, weighted, out);
        where_add(node, out);
        leat_buf_u8(out, ')');
}

static void name_quote(struct leat_buf *out, const char *name)
{
        leat_buf_u8(out, '"');
        for (; *name != 0; name++) {
                if (*name == '"')
                        leat_buf_u8(out, '"');
                leat_buf_u8(out, (uint8_t)*name);
        }
        leat_buf_u8(out, '"');
}

void leat_stream_read_sql(const struct leat_stream_graph *graph, const char *source, struct leat_buf *out)
{
        bool by_agg = graph->mode == LEAT_OUT_AGG || graph->mode == LEAT_OUT_CLOSED;
        uint32_t first = graph->mode == LEAT_OUT_APPEND ? 1 : 0;
        leat_buf_add_str(out, "SELECT ");
        for (uint32_t i = 0; i < graph->output.column_count; i++) {
                leat_buf_printf(out, "%sc%u AS ", i > 0 ? ", " : "", i + first);
                name_quote(out, graph->output.names[i]);
        }
        leat_buf_add_str(out, " FROM ");
        if (by_agg)
                read_sql(graph, graph->top_node, source, false, out);
        else
                leat_buf_add_str(out, source);
}

void leat_view_delta_sql(const struct leat_stream_graph *graph, const char *source, struct leat_buf *out)
{
        bool by_agg = graph->mode == LEAT_OUT_AGG || graph->mode == LEAT_OUT_CLOSED;
        uint32_t first = graph->mode == LEAT_OUT_APPEND ? 1 : 0;
        leat_buf_add_str(out, "SELECT ");
        for (uint32_t i = 0; i < graph->output.column_count; i++)
                leat_buf_printf(out, "c%u AS o%u, ", i + first, i);
        leat_buf_add_str(out, "w FROM ");
        if (by_agg)
                read_sql(graph, graph->top_node, source, true, out);
        else
                leat_buf_add_str(out, source);
}
