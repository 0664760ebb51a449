/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/stream: the graph as bytes, and what others ask of it.
 *
 * Format (docs/formats.md): "LSG1", CRC32C of the rest, then the graph's fields,
 * arrangements, nodes, output. Integers are varints, texts are length and bytes
 * with 0 for NULL and length + 1 otherwise. Decoding checks every count against
 * the limits in stream_int.h and every reference against what stands before it,
 * so that a running graph needs no checks.
 */
#include <stdio.h>

#include "stream_int.h"

#define GRAPH_MAGIC 0x3147534Cu /* "LSG1" */

/* ---- accessors -------------------------------------------------------------------------- */
uint32_t leat_stream_arr_count(const struct leat_stream_graph *graph)
{
        return graph->arr_count;
}

void leat_stream_arr_assign(struct leat_stream_graph *graph, uint64_t first_id)
{
        graph->first_arr_id = first_id;
        graph->output.arr_id = first_id;
}

struct leat_arr_def leat_stream_arr_def(const struct leat_stream_graph *graph, uint32_t index)
{
        struct leat_arr_def def = graph->arrs[index];
        def.id = graph->first_arr_id + index;
        return def;
}

const struct leat_stream_output *leat_stream_output(const struct leat_stream_graph *graph)
{
        return &graph->output;
}

uint32_t leat_stream_inputs(const struct leat_stream_graph *graph, const uint64_t **ret_object_ids)
{
        *ret_object_ids = graph->objects;
        return graph->object_count;
}

/* ---- encoding ------------------------------------------------------------------------------ */
static void text_put(struct leat_buf *out, const char *text)
{
        leat_buf_uvarint(out, text != NULL ? strlen(text) + 1 : 0);
        if (text != NULL)
                leat_buf_add_str(out, text);
}

static void texts_put(struct leat_buf *out, const char *const *texts, uint32_t count)
{
        leat_buf_uvarint(out, count);
        for (uint32_t i = 0; i < count; i++)
                text_put(out, texts[i]);
}

static void types_put(struct leat_buf *out, const struct leat_type *types, uint32_t count)
{
        leat_buf_uvarint(out, count);
        for (uint32_t i = 0; i < count; i++)
                leat_type_encode(&types[i], out);
}

static void prop_put(struct leat_buf *out, const struct leat_time_prop *prop)
{
        leat_buf_u8(out, prop->kind);
        leat_buf_varint(out, prop->size_us);
        leat_buf_varint(out, prop->slide_us);
        leat_buf_varint(out, prop->offset_us);
}

static void acc_put(struct leat_buf *out, const struct leat_acc *acc)
{
        leat_buf_u8(out, acc->kind);
        leat_buf_u8(out, (uint8_t)(acc->signed_parts | acc->descending << 1));
        leat_buf_uvarint(out, acc->column);
        leat_buf_uvarint(out, acc->width);
        leat_buf_uvarint(out, acc->feed);
        leat_buf_uvarint(out, acc->arr);
        texts_put(out, acc->parts, acc->part_count);
        text_put(out, acc->value);
        text_put(out, acc->filter);
}

static void agg_put(struct leat_buf *out, const struct leat_agg *agg)
{
        texts_put(out, agg->groups, agg->group_count);
        leat_buf_uvarint(out, agg->acc_count);
        for (uint32_t i = 0; i < agg->acc_count; i++)
                acc_put(out, &agg->accs[i]);
        leat_buf_uvarint(out, agg->distinct_count);
        for (uint32_t i = 0; i < agg->distinct_count; i++) {
                leat_buf_uvarint(out, agg->distincts[i].arr);
                leat_type_encode(&agg->distincts[i].type, out);
                text_put(out, agg->distincts[i].value);
                text_put(out, agg->distincts[i].filter);
        }
        leat_buf_uvarint(out, agg->arr);
        leat_buf_u8(out, (uint8_t)(agg->set_only | agg->always << 1 | agg->late_check << 2));
        leat_buf_varint(out, agg->start_group);
        leat_buf_varint(out, agg->end_group);
        prop_put(out, &agg->window);
        leat_buf_varint(out, agg->pane_us);
}

static void node_put(struct leat_buf *out, const struct leat_node *node)
{
        leat_buf_u8(out, node->op);
        leat_buf_u8(out, node->append_only);
        leat_buf_uvarint(out, node->input_count);
        for (uint32_t i = 0; i < node->input_count; i++)
                leat_buf_uvarint(out, node->inputs[i]);
        types_put(out, node->types, node->column_count);
        for (uint32_t i = 0; i < node->column_count; i++)
                prop_put(out, &node->props[i]);
        if (node->op == LEAT_OP_SOURCE || node->op == LEAT_OP_LOOKUP) {
                leat_buf_u8(out, node->kind);
                leat_buf_uvarint(out, node->object_id);
                text_put(out, node->relation);
                texts_put(out, node->names, node->name_count);
                text_put(out, node->time_name);
                leat_buf_varint(out, node->time_delay_us);
        }
        if (node->op == LEAT_OP_SELECT) {
                texts_put(out, node->exprs, node->column_count);
                text_put(out, node->where);
                leat_buf_varint(out, node->unnest);
        }
        if (node->op == LEAT_OP_LOOKUP) {
                texts_put(out, node->keys, node->key_count);
                types_put(out, node->key_types, node->key_count);
        }
        if (node->op == LEAT_OP_AGG)
                agg_put(out, node->agg);
}

static void arr_put(struct leat_buf *out, const struct leat_arr_def *def)
{
        leat_buf_u8(out, (uint8_t)def->mode);
        leat_buf_uvarint(out, def->key_count);
        leat_buf_uvarint(out, def->order_count);
        leat_buf_uvarint(out, def->order_desc);
        types_put(out, def->types, def->column_count);
        leat_buf_varint(out, def->time_column);
        leat_buf_varint(out, def->bucket_us);
}

static void output_put(struct leat_buf *out, const struct leat_stream_output *output)
{
        texts_put(out, output->names, output->column_count);
        types_put(out, output->types, output->column_count);
        leat_buf_u8(out, (uint8_t)(output->keyed | output->append_only << 1 | output->weighted << 2));
        leat_buf_uvarint(out, output->key_count);
        for (uint32_t i = 0; i < output->key_count; i++)
                leat_buf_uvarint(out, output->key_columns[i]);
        leat_buf_varint(out, output->time_column);
        text_put(out, output->notice);
}

void leat_stream_graph_encode(const struct leat_stream_graph *graph, struct leat_buf *out)
{
        leat_buf_le32(out, GRAPH_MAGIC);
        size_t sum = out->len;
        leat_buf_le32(out, 0);
        leat_buf_u8(out, graph->emit);
        leat_buf_u8(out, graph->late);
        leat_buf_u8(out, graph->mode);
        leat_buf_varint(out, graph->grace_us);
        leat_buf_varint(out, graph->retention_us);
        leat_buf_varint(out, graph->time_delay_us);
        leat_buf_uvarint(out, graph->first_arr_id);
        leat_buf_uvarint(out, graph->arr_count);
        for (uint32_t i = 0; i < graph->arr_count; i++)
                arr_put(out, &graph->arrs[i]);
        leat_buf_uvarint(out, graph->node_count);
        for (uint32_t i = 0; i < graph->node_count; i++)
                node_put(out, &graph->nodes[i]);
        leat_buf_uvarint(out, graph->agg_node);
        leat_buf_uvarint(out, graph->top_node);
        leat_buf_uvarint(out, graph->object_count);
        for (uint32_t i = 0; i < graph->object_count; i++)
                leat_buf_uvarint(out, graph->objects[i]);
        output_put(out, &graph->output);
        leat_put_le32(out->data + sum, leat_crc32c(0, out->data + sum + 4, out->len - sum - 4));
}

/* ---- decoding --------------------------------------------------------------------------------- */
struct reader {
        struct leat_arena *arena;
        struct leat_cursor cur;
        struct leat_error *err;
        struct leat_stream_graph *graph;
};

static uint32_t count_get(struct reader *in, uint32_t max)
{
        uint64_t count = leat_cursor_uvarint(&in->cur);
        if (count > max || count > leat_cursor_left(&in->cur)) {
                in->cur.failed |= count != 0;
                return 0;
        }
        return (uint32_t)count;
}

/* A number below @limit. */
static uint32_t index_get(struct reader *in, uint32_t limit)
{
        uint64_t value = leat_cursor_uvarint(&in->cur);
        if (value >= limit)
                in->cur.failed = true;
        return in->cur.failed ? 0 : (uint32_t)value;
}

static int32_t signed_get(struct reader *in, int32_t limit)
{
        int64_t value = leat_cursor_varint(&in->cur);
        if (value < -1 || value >= limit)
                in->cur.failed = true;
        return in->cur.failed ? -1 : (int32_t)value;
}

static const char *text_get(struct reader *in)
{
        uint64_t len = leat_cursor_uvarint(&in->cur);
        if (len == 0)
                return NULL;
        if (len - 1 > LEAT_STREAM_TEXT_MAX) {
                in->cur.failed = true;
                return "";
        }
        struct leat_view bytes = leat_cursor_bytes(&in->cur, len - 1);
        if (in->cur.failed)
                return "";
        if (memchr(bytes.data, 0, bytes.len) != NULL)
                in->cur.failed = true;
        return leat_arena_strndup(in->arena, (const char *)bytes.data, bytes.len);
}

static const char *text_need(struct reader *in)
{
        const char *text = text_get(in);
        in->cur.failed |= text == NULL;
        return text != NULL ? text : "";
}

static const char **texts_get(struct reader *in, uint32_t max, uint32_t *ret_count)
{
        uint32_t count = count_get(in, max);
        const char **texts = leat_arena_zalloc(in->arena, (count + 1) * sizeof *texts);
        for (uint32_t i = 0; i < count && !in->cur.failed; i++)
                texts[i] = text_need(in);
        *ret_count = in->cur.failed ? 0 : count;
        return texts;
}

static void type_get(struct reader *in, struct leat_type *type)
{
        struct leat_error ignored;
        if (in->cur.failed || leat_type_decode(in->arena, &in->cur, type, &ignored) != 0)
                in->cur.failed = true;
}

static struct leat_type *types_get(struct reader *in, uint32_t *ret_count)
{
        uint32_t count = count_get(in, LEAT_STREAM_COLUMNS_MAX);
        struct leat_type *types = leat_arena_zalloc(in->arena, (count + 1) * sizeof *types);
        for (uint32_t i = 0; i < count && !in->cur.failed; i++)
                type_get(in, &types[i]);
        *ret_count = in->cur.failed ? 0 : count;
        return types;
}

static void prop_get(struct reader *in, struct leat_time_prop *prop)
{
        prop->kind = leat_cursor_u8(&in->cur);
        prop->size_us = leat_cursor_varint(&in->cur);
        prop->slide_us = leat_cursor_varint(&in->cur);
        prop->offset_us = leat_cursor_varint(&in->cur);
        bool window = prop->kind == LEAT_TIME_START || prop->kind == LEAT_TIME_END;
        if (prop->kind > LEAT_TIME_END || (window && (prop->slide_us <= 0 || prop->size_us < prop->slide_us)))
                in->cur.failed = true;
}

static void acc_get(struct reader *in, const struct leat_node *node, uint32_t distincts_max, struct leat_acc *acc)
{
        acc->kind = leat_cursor_u8(&in->cur);
        uint8_t flags = leat_cursor_u8(&in->cur);
        acc->signed_parts = flags & 1;
        acc->descending = flags >> 1 & 1;
        acc->column = index_get(in, node->column_count);
        acc->width = index_get(in, 4);
        acc->feed = index_get(in, distincts_max + 1);
        acc->arr = index_get(in, in->graph->arr_count);
        acc->parts = texts_get(in, 6, &acc->part_count);
        acc->value = text_get(in);
        acc->filter = text_get(in);
        uint32_t want = acc->kind == LEAT_ACC_VAR                                        ? 3
                        : acc->kind == LEAT_ACC_ARG_MIN || acc->kind == LEAT_ACC_ARG_MAX ? 2
                                                                                         : 1;
        uint32_t parts = acc->kind == LEAT_ACC_FIRST ? 0 : acc->signed_parts ? 2 * want : want;
        if (acc->kind < LEAT_ACC_ADD || acc->kind > LEAT_ACC_FIRST || acc->width != want || acc->part_count != parts ||
            acc->column + acc->width > node->column_count || (acc->kind == LEAT_ACC_FIRST) != (acc->value != NULL))
                in->cur.failed = true;
}

static void agg_get(struct reader *in, struct leat_node *node)
{
        struct leat_agg *agg = node->agg = leat_arena_zalloc(in->arena, sizeof *agg);
        uint32_t next;
        agg->groups = texts_get(in, node->column_count, &agg->group_count);
        agg->acc_count = count_get(in, node->column_count);
        agg->accs = leat_arena_zalloc(in->arena, (agg->acc_count + 1) * sizeof *agg->accs);
        next = agg->group_count + 1;
        for (uint32_t i = 0; i < agg->acc_count && !in->cur.failed; i++) {
                acc_get(in, node, 16, &agg->accs[i]);
                in->cur.failed |= agg->accs[i].column != next;
                next += agg->accs[i].width;
        }
        in->cur.failed |= next != node->column_count;
        agg->distinct_count = count_get(in, 16);
        agg->distincts = leat_arena_zalloc(in->arena, (agg->distinct_count + 1) * sizeof *agg->distincts);
        for (uint32_t i = 0; i < agg->distinct_count && !in->cur.failed; i++) {
                agg->distincts[i].arr = index_get(in, in->graph->arr_count);
                type_get(in, &agg->distincts[i].type);
                agg->distincts[i].value = text_need(in);
                agg->distincts[i].filter = text_get(in);
        }
        for (uint32_t i = 0; i < agg->acc_count && !in->cur.failed; i++)
                in->cur.failed |= agg->accs[i].feed > agg->distinct_count;
        agg->arr = index_get(in, in->graph->arr_count);
        uint8_t flags = leat_cursor_u8(&in->cur);
        agg->set_only = flags & 1;
        agg->always = flags >> 1 & 1;
        agg->late_check = flags >> 2 & 1;
        agg->start_group = signed_get(in, (int32_t)agg->group_count);
        agg->end_group = signed_get(in, (int32_t)agg->group_count);
        prop_get(in, &agg->window);
        agg->pane_us = leat_cursor_varint(&in->cur);
        bool window = agg->start_group >= 0 || agg->end_group >= 0;
        if (agg->pane_us < 0 ||
            (agg->pane_us > 0 && (agg->start_group < 0 || agg->window.slide_us % agg->pane_us != 0 ||
                                  agg->window.size_us / agg->pane_us > 100000)) ||
            ((agg->late_check || window) && agg->window.kind != LEAT_TIME_START && agg->window.kind != LEAT_TIME_END))
                in->cur.failed = true;
        if (!in->cur.failed && in->graph->arrs[agg->arr].column_count != node->column_count)
                in->cur.failed = true;
}

static void node_get(struct reader *in, uint32_t number, struct leat_node *node)
{
        uint32_t count;
        node->op = leat_cursor_u8(&in->cur);
        node->append_only = leat_cursor_u8(&in->cur) != 0;
        node->input_count = count_get(in, 16);
        for (uint32_t i = 0; i < node->input_count; i++)
                node->inputs[i] = index_get(in, number);
        node->types = types_get(in, &node->column_count);
        node->props = leat_arena_zalloc(in->arena, (node->column_count + 1) * sizeof *node->props);
        for (uint32_t i = 0; i < node->column_count && !in->cur.failed; i++)
                prop_get(in, &node->props[i]);
        node->unnest = -1;
        if (node->op == LEAT_OP_SOURCE || node->op == LEAT_OP_LOOKUP) {
                node->kind = leat_cursor_u8(&in->cur);
                node->object_id = leat_cursor_uvarint(&in->cur);
                node->relation = text_need(in);
                node->names = texts_get(in, LEAT_STREAM_COLUMNS_MAX, &node->name_count);
                node->time_name = text_get(in);
                node->time_delay_us = leat_cursor_varint(&in->cur);
                in->cur.failed |= node->kind < LEAT_STREAM_TOPIC || node->kind > LEAT_STREAM_VIEW;
                in->cur.failed |= node->op == LEAT_OP_SOURCE && node->name_count != node->column_count;
        }
        if (node->op == LEAT_OP_SELECT) {
                node->exprs = texts_get(in, LEAT_STREAM_COLUMNS_MAX, &count);
                node->where = text_get(in);
                node->unnest = signed_get(in, (int32_t)node->column_count);
                in->cur.failed |= count != node->column_count;
        }
        if (node->op == LEAT_OP_LOOKUP) {
                node->keys = texts_get(in, 64, &node->key_count);
                node->key_types = types_get(in, &count);
                in->cur.failed |= count != node->key_count || node->key_count == 0 || node->input_count != 1;
                if (!in->cur.failed)
                        in->cur.failed = in->graph->nodes[node->inputs[0]].column_count + node->name_count + 1 !=
                                         node->column_count;
        }
        uint32_t inputs = node->op == LEAT_OP_SOURCE ? 0 : 1;
        if (node->op < LEAT_OP_SOURCE || node->op > LEAT_OP_AGG ||
            (node->op != LEAT_OP_UNION && node->input_count != inputs) ||
            (node->op == LEAT_OP_UNION && node->input_count < 2))
                in->cur.failed = true;
        for (uint32_t i = 0; node->op == LEAT_OP_UNION && i < node->input_count && !in->cur.failed; i++)
                in->cur.failed = in->graph->nodes[node->inputs[i]].column_count != node->column_count;
        if (node->op == LEAT_OP_AGG && !in->cur.failed)
                agg_get(in, node);
}

static void arr_get(struct reader *in, struct leat_arr_def *def)
{
        def->mode = leat_cursor_u8(&in->cur);
        def->key_count = index_get(in, LEAT_STREAM_COLUMNS_MAX);
        def->order_count = index_get(in, LEAT_STREAM_COLUMNS_MAX);
        def->order_desc = (uint32_t)leat_cursor_uvarint(&in->cur);
        def->types = types_get(in, &def->column_count);
        def->time_column = signed_get(in, (int32_t)def->column_count);
        def->bucket_us = leat_cursor_varint(&in->cur);
        if ((def->mode != LEAT_ARR_MAP && def->mode != LEAT_ARR_MULTISET) ||
            def->key_count + def->order_count > def->column_count || (def->time_column >= 0 && def->bucket_us <= 0))
                in->cur.failed = true;
}

static void output_get(struct reader *in, struct leat_stream_output *output)
{
        uint32_t count;
        output->names = texts_get(in, LEAT_STREAM_COLUMNS_MAX, &output->column_count);
        output->types = types_get(in, &count);
        in->cur.failed |= count != output->column_count;
        uint8_t flags = leat_cursor_u8(&in->cur);
        output->keyed = flags & 1;
        output->append_only = flags >> 1 & 1;
        output->weighted = flags >> 2 & 1;
        output->key_count = count_get(in, LEAT_STREAM_COLUMNS_MAX);
        uint32_t *keys = leat_arena_zalloc(in->arena, (output->key_count + 1) * sizeof *keys);
        for (uint32_t i = 0; i < output->key_count; i++) {
                keys[i] = (uint32_t)leat_cursor_uvarint(&in->cur);
                in->cur.failed |= keys[i] >= output->column_count && keys[i] != UINT32_MAX;
        }
        output->key_columns = keys;
        output->time_column = signed_get(in, (int32_t)output->column_count);
        output->notice = text_get(in);
}

static void graph_get(struct reader *in)
{
        struct leat_stream_graph *graph = in->graph;
        graph->emit = leat_cursor_u8(&in->cur);
        graph->late = leat_cursor_u8(&in->cur);
        graph->mode = leat_cursor_u8(&in->cur);
        graph->grace_us = leat_cursor_varint(&in->cur);
        graph->retention_us = leat_cursor_varint(&in->cur);
        graph->time_delay_us = leat_cursor_varint(&in->cur);
        graph->first_arr_id = leat_cursor_uvarint(&in->cur);
        uint32_t arr_count = count_get(in, LEAT_STREAM_ARRS_MAX);
        graph->arrs = leat_arena_zalloc(in->arena, (arr_count + 1) * sizeof *graph->arrs);
        for (uint32_t i = 0; i < arr_count && !in->cur.failed; i++) {
                arr_get(in, &graph->arrs[i]);
                graph->arrs[i].id = i;
        }
        graph->arr_count = arr_count;
        uint32_t node_count = count_get(in, LEAT_STREAM_NODES_MAX);
        graph->nodes = leat_arena_zalloc(in->arena, (node_count + 1) * sizeof *graph->nodes);
        graph->node_count = node_count;
        for (uint32_t i = 0; i < node_count && !in->cur.failed; i++)
                node_get(in, i, &graph->nodes[i]);
        graph->agg_node = index_get(in, node_count);
        graph->top_node = index_get(in, node_count);
        graph->object_count = count_get(in, LEAT_STREAM_NODES_MAX);
        graph->objects = leat_arena_zalloc(in->arena, (graph->object_count + 1) * sizeof *graph->objects);
        for (uint32_t i = 0; i < graph->object_count; i++)
                graph->objects[i] = leat_cursor_uvarint(&in->cur);
        output_get(in, &graph->output);
        graph->output.arr_id = graph->first_arr_id;
}

/* What spans several parts. */
static bool graph_holds(const struct leat_stream_graph *graph)
{
        if (graph->emit < LEAT_STREAM_CHANGES || graph->emit > LEAT_STREAM_ON_CLOSE ||
            graph->late < LEAT_STREAM_LATE_APPLY || graph->late > LEAT_STREAM_LATE_REEMIT ||
            graph->mode < LEAT_OUT_AGG || graph->mode > LEAT_OUT_ROWS || graph->grace_us < 0 ||
            graph->retention_us < 0 || graph->arr_count == 0)
                return false;
        const struct leat_node *top = &graph->nodes[graph->top_node], *agg = &graph->nodes[graph->agg_node];
        if (top->column_count != graph->output.column_count)
                return false;
        bool by_agg = graph->mode == LEAT_OUT_AGG || graph->mode == LEAT_OUT_CLOSED;
        uint32_t hidden = graph->mode == LEAT_OUT_APPEND ? 1 : 0;
        if (!by_agg)
                return graph->arrs[0].column_count == top->column_count + hidden;
        for (uint32_t at = graph->top_node; at != graph->agg_node; at = graph->nodes[at].inputs[0])
                if (graph->nodes[at].op != LEAT_OP_SELECT)
                        return false;
        return agg->op == LEAT_OP_AGG && graph->arrs[0].column_count == agg->column_count &&
               (graph->mode != LEAT_OUT_AGG || agg->agg->arr == 0) && graph->output.key_count == agg->agg->group_count;
}

int leat_stream_graph_decode(struct leat_arena *arena, struct leat_view bytes, struct leat_stream_graph **ret_graph,
                             struct leat_error *err)
{
        struct reader in = {.arena = arena, .cur = leat_cursor_of(bytes), .err = err};
        if (leat_cursor_le32(&in.cur) != GRAPH_MAGIC || bytes.len < 8)
                return leat_error_set(err, LEAT_ECORRUPT, "these bytes are no operator graph of this version");
        if (leat_cursor_le32(&in.cur) != leat_crc32c(0, bytes.data + 8, bytes.len - 8))
                return leat_error_set(err, LEAT_ECORRUPT, "the checksum of an operator graph does not match");
        in.graph = leat_arena_zalloc(arena, sizeof *in.graph);
        in.graph->arena = arena;
        graph_get(&in);
        if (in.cur.failed || in.cur.at != in.cur.end || !graph_holds(in.graph))
                return leat_error_set(err, LEAT_ECORRUPT, "damaged operator graph near byte %zu",
                                      leat_cursor_pos(&in.cur));
        *ret_graph = in.graph;
        return 0;
}
