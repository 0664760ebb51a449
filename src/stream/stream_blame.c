/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/stream: what a job says when it cannot go on since an expression fails and
 * no record is to blame: the value comes from an aggregate, a view or a keyed
 * topic. DuckDB's message has neither the expression nor the row, so both are looked
 * for: each expression runs by itself over the rows that stand in the slots, the
 * first one that fails over the rows of one slot, halved until one is left.
 */
#include <inttypes.h>
#include <stdio.h>

#include "stream_run.h"

struct blame {
        struct leat_stream_job *job;
        struct leat_arena *arena;
        uint32_t input; /* the node whose columns the expression reads */
        const char *expr, *where;
        struct leat_error err; /* what DuckDB says to it */
        struct leat_buf text;  /* the expression with the values of its row */
};

static bool is_value_error(int rc)
{
        return rc == LEAT_EINVAL || rc == LEAT_ERANGE || rc == LEAT_ETYPE;
}

/* SELECT @list over the input's rows. */
static int run_list(struct blame *b, const char *list, struct leat_batch **ret_rows, struct leat_error *err)
{
        struct leat_buf sql = LEAT_BUF_INIT;
        struct leat_plan *plan;
        char prefix[24];
        snprintf(prefix, sizeof prefix, "%u.", b->job->slot_base);
        leat_buf_printf(&sql, "SELECT %s AS x FROM ", list);
        leat_node_sql(b->job->graph, b->input, prefix, &sql);
        if (b->where != NULL)
                leat_buf_printf(&sql, " WHERE %s", b->where);
        int rc = leat_plan_prepare(b->job->rt->conn, leat_buf_cstr(&sql), &plan, err);
        leat_buf_done(&sql);
        LEAT_TRY(rc);
        rc = leat_runtime_run(plan, b->arena, ret_rows, err);
        leat_plan_free(plan);
        return rc;
}

static bool fails(struct blame *b)
{
        struct leat_batch *ignored;
        return is_value_error(run_list(b, b->expr, &ignored, &b->err));
}

/* ---- the row -------------------------------------------------------------------------------- */
static uint32_t slots_below(struct leat_stream_job *job, uint32_t number, struct leat_slot **out, uint32_t max)
{
        const struct leat_node *node = &job->graph->nodes[number];
        uint32_t count = 0;
        if (leat_node_materialized(node)) {
                if (max > 0)
                        out[0] = job->rt->slots[job->slot_base + number];
                return 1;
        }
        for (uint32_t i = 0; i < node->input_count && count < max; i++)
                count += slots_below(job, node->inputs[i], out + count, max - count);
        return LEAT_MIN(count, max);
}

static bool fails_within(struct blame *b, struct leat_slot *slot, uint64_t from, uint64_t to)
{
        slot->ranged = true;
        slot->from = from;
        slot->to = to;
        return fails(b);
}

/* Leaves one row that fails in the slots; false when it is not one row. */
static bool row_find(struct blame *b, struct leat_slot **slots, uint32_t count)
{
        for (uint32_t i = 0; i < count; i++) {
                slots[i]->ranged = true;
                slots[i]->from = slots[i]->to = 0;
        }
        for (uint32_t i = 0; i < count; i++) {
                uint64_t from = 0, to = slots[i]->delta.rows;
                if (to == 0 || !fails_within(b, slots[i], from, to)) {
                        slots[i]->from = slots[i]->to = 0;
                        continue;
                }
                while (to - from > 1) {
                        uint64_t middle = from + (to - from) / 2;
                        if (fails_within(b, slots[i], from, middle))
                                to = middle;
                        else if (fails_within(b, slots[i], middle, to))
                                from = middle;
                        else
                                return false; /* many rows together: a sum */
                }
                return fails_within(b, slots[i], from, to);
        }
        return false;
}

/* ---- the text --------------------------------------------------------------------------------- */
static bool is_word(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '"' ||
               c == '\'';
}

/* The value of column @column in the one row that the slots leave. */
static bool value_add(struct blame *b, uint32_t column, struct leat_buf *out)
{
        char list[16];
        struct leat_error ignored;
        struct leat_batch *rows;
        snprintf(list, sizeof list, "c%u", column);
        if (column >= b->job->graph->nodes[b->input].column_count || run_list(b, list, &rows, &ignored) != 0 ||
            rows->rows != 1)
                return false;
        uint8_t type = rows->columns[0].type.id;
        const char *quote = type == LEAT_T_BOOLEAN || (type >= LEAT_T_TINYINT && type <= LEAT_T_DECIMAL) ? "" : "'";
        struct leat_buf value = LEAT_BUF_INIT;
        if (leat_column_print(&rows->columns[0], 0, &value))
                leat_buf_printf(out, "%s%.*s%s", quote, (int)LEAT_MIN(value.len, 60u), leat_buf_cstr(&value), quote);
        else
                leat_buf_add_str(out, "NULL");
        leat_buf_done(&value);
        return true;
}

/* The expression; with @values its columns c0, c1 ... as what the row has there. */
static void text_write(struct blame *b, bool values)
{
        const char *at = b->expr;
        char quote = 0, before = 0;
        leat_buf_clear(&b->text);
        for (; *at != 0; before = *at++) {
                char *end;
                if (quote != 0 || *at == '\'' || *at == '"')
                        quote = quote == 0 ? *at : quote == *at ? 0 : quote;
                if (quote == 0 && values && *at == 'c' && at[1] >= '0' && at[1] <= '9' && !is_word(before)) {
                        uint32_t column = (uint32_t)strtoul(at + 1, &end, 10);
                        if (!is_word(*end) && *end != '(' && value_add(b, column, &b->text)) {
                                at = end - 1;
                                continue;
                        }
                }
                leat_buf_u8(&b->text, (uint8_t)*at);
        }
}

/* Without what only those inside know: numbers of columns, signs of rows. */
static void text_trim(struct blame *b)
{
        static const char *const ours[] = {" FILTER (WHERE w > 0)", " FILTER (WHERE w < 0)"};
        char *from = strstr(b->err.message, " when casting from source column");
        if (from != NULL)
                *from = 0;
        for (size_t i = 0; i < LEAT_ARRAY_LEN(ours); i++) {
                const char *at = strstr(leat_buf_cstr(&b->text), ours[i]);
                if (at != NULL)
                        b->text.len = (size_t)(at - leat_buf_cstr(&b->text));
        }
}

static bool blamed(struct blame *b, uint32_t input, const char *expr, const char *where)
{
        struct leat_slot *slots[64];
        struct leat_error err;
        b->input = input;
        b->expr = expr;
        b->where = where;
        if (expr == NULL || !fails(b))
                return false;
        err = b->err;
        uint32_t count = slots_below(b->job, input, slots, LEAT_ARRAY_LEN(slots));
        text_write(b, row_find(b, slots, count));
        for (uint32_t i = 0; i < count; i++)
                slots[i]->ranged = false;
        b->err = err;
        text_trim(b);
        return true;
}

/* ---- expressions in the order in which they run ------------------------------------------------ */
static bool below(struct blame *b, uint32_t number)
{
        const struct leat_node *node = &b->job->graph->nodes[number];
        if (leat_node_materialized(node))
                return false;
        for (uint32_t i = 0; i < node->input_count; i++)
                if (below(b, node->inputs[i]))
                        return true;
        if (node->op != LEAT_OP_SELECT)
                return false;
        if (blamed(b, node->inputs[0], node->where, NULL))
                return true;
        for (uint32_t i = 0; i < node->column_count; i++)
                if (blamed(b, node->inputs[0], node->exprs[i], node->where))
                        return true;
        return false;
}

static bool of_aggregate(struct blame *b, const struct leat_agg *agg, uint32_t input)
{
        for (uint32_t i = 0; i < agg->group_count; i++)
                if (blamed(b, input, agg->groups[i], NULL))
                        return true;
        for (uint32_t i = 0; i < agg->distinct_count; i++)
                if (blamed(b, input, agg->distincts[i].filter, NULL) ||
                    blamed(b, input, agg->distincts[i].value, agg->distincts[i].filter))
                        return true;
        for (uint32_t i = 0; i < agg->acc_count; i++) {
                const struct leat_acc *acc = &agg->accs[i];
                if (acc->kind == LEAT_ACC_FIRST &&
                    (blamed(b, input, acc->filter, NULL) || blamed(b, input, acc->value, acc->filter)))
                        return true;
                for (uint32_t k = 0; acc->feed == 0 && k < acc->part_count; k++)
                        if (blamed(b, input, acc->parts[k], NULL))
                                return true;
        }
        return false;
}

static bool of_node(struct blame *b, uint32_t number)
{
        const struct leat_node *node = &b->job->graph->nodes[number];
        if (node->op != LEAT_OP_AGG && node->op != LEAT_OP_LOOKUP)
                return false;
        if (below(b, node->inputs[0]))
                return true;
        for (uint32_t k = 0; node->op == LEAT_OP_LOOKUP && k < node->key_count; k++)
                if (blamed(b, node->inputs[0], node->keys[k], NULL))
                        return true;
        return node->op == LEAT_OP_AGG && of_aggregate(b, node->agg, node->inputs[0]);
}

void leat_stream_job_blame(struct leat_stream_job *job, struct leat_error *io_err)
{
        struct blame b = {.job = job, .arena = leat_arena_new(0)};
        bool found = false;
        if (is_value_error(io_err->code)) {
                for (uint32_t i = 0; i < job->graph->node_count && !found; i++)
                        found = of_node(&b, i);
                found = found || (job->top_plan != NULL && below(&b, job->graph->top_node));
        }
        if (found)
                leat_error_set(io_err, b.err.code,
                               "%.200s cannot be computed, and no single record is to blame: %.130s; use TRY_CAST, a "
                               "wider type or a filter there and CREATE OR REPLACE the view",
                               leat_buf_cstr(&b.text), b.err.message);
        leat_buf_done(&b.text);
        leat_arena_free(b.arena);
}
