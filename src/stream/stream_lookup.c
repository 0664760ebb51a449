/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/stream: lookup joins. Each row asks the keyed topic's arrangement for the
 * row under its key, as it is at this tick.
 *
 * Where the input is a chain of plain columns over rows that are there already (a
 * topic's batch, another lookup), no statement runs: the columns are passed on as
 * they are, and what was found under the same key column is shared by all jobs
 * of the tick. Enriching a topic by three reference topics in four views costs
 * three lookups a row, not twelve.
 */
#include <inttypes.h>
#include <stdio.h>

#include "stream_run.h"

/* ---- opening ---------------------------------------------------------------------------- */
static bool plain_column(const char *sql, uint32_t *ret_column)
{
        char *end;
        if (sql[0] != 'c' || sql[1] < '0' || sql[1] > '9')
                return false;
        *ret_column = (uint32_t)strtoul(sql + 1, &end, 10);
        return *end == 0;
}

static void path_find(struct leat_stream_job *job, uint32_t number)
{
        const struct leat_stream_graph *graph = job->graph;
        const struct leat_node *node = &graph->nodes[number];
        struct leat_lookup_path *path = &job->paths[number];
        uint32_t at = node->inputs[0], count = graph->nodes[at].column_count, column;
        uint32_t *columns = leat_arena_alloc(job->arena, (count + 1) * sizeof *columns);
        uint32_t *keys = leat_arena_alloc(job->arena, (node->key_count + 1) * sizeof *keys);
        for (uint32_t i = 0; i < count; i++)
                columns[i] = i;
        for (; !leat_node_materialized(&graph->nodes[at]); at = graph->nodes[at].inputs[0]) {
                const struct leat_node *select = &graph->nodes[at];
                if (select->op != LEAT_OP_SELECT || select->where != NULL || select->unnest >= 0)
                        return;
                for (uint32_t i = 0; i < count; i++) {
                        if (!plain_column(select->exprs[columns[i]], &column) ||
                            column >= graph->nodes[select->inputs[0]].column_count)
                                return;
                        columns[i] = column;
                }
        }
        for (uint32_t k = 0; k < node->key_count; k++) {
                if (!plain_column(node->keys[k], &column) || column >= count ||
                    !leat_type_eq(&graph->nodes[node->inputs[0]].types[column], &node->key_types[k]))
                        return;
                keys[k] = columns[column];
        }
        *path = (struct leat_lookup_path){.direct = graph->nodes[at].append_only && node->key_count <= 4,
                                          .node = at,
                                          .columns = columns,
                                          .keys = keys};
}

int leat_lookup_prepare(struct leat_stream_job *job, uint32_t number, struct leat_error *err)
{
        const struct leat_node *node = &job->graph->nodes[number];
        uint32_t left = job->graph->nodes[node->inputs[0]].column_count;
        struct leat_buf sql = LEAT_BUF_INIT;
        char prefix[24];
        path_find(job, number);
        snprintf(prefix, sizeof prefix, "%u.", job->slot_base);
        leat_buf_add_str(&sql, "SELECT ");
        for (uint32_t i = 0; i < left; i++)
                leat_buf_printf(&sql, "c%u, ", i);
        for (uint32_t k = 0; k < node->key_count; k++) {
                leat_buf_printf(&sql, "%sCAST(%s AS ", k > 0 ? ", " : "", node->keys[k]);
                leat_type_print(&node->key_types[k], &sql);
                leat_buf_printf(&sql, ") AS k%u", k);
        }
        leat_buf_add_str(&sql, " FROM ");
        leat_node_sql(job->graph, node->inputs[0], prefix, &sql);
        int rc = leat_plan_prepare(job->rt->conn, leat_buf_cstr(&sql), &job->lookup_plans[number], err);
        leat_buf_done(&sql);
        return rc;
}

/* ---- running ---------------------------------------------------------------------------------- */
/* The input's columns followed by the keys, without running anything; NULL when the rows have to be computed. */
static struct leat_batch *rows_direct(struct leat_stream_job *job, uint32_t number, struct leat_arena *arena)
{
        const struct leat_node *node = &job->graph->nodes[number];
        const struct leat_lookup_path *path = &job->paths[number];
        const struct leat_slot *slot = job->rt->slots[job->slot_base + path->node];
        uint32_t left = job->graph->nodes[node->inputs[0]].column_count;
        if (!path->direct || slot->delta.count != 1 || slot->skip != NULL || slot->ranged ||
            slot->delta.weights[0] != NULL)
                return NULL;
        const struct leat_batch *from = slot->delta.batches[0];
        struct leat_batch *rows = leat_arena_zalloc(arena, sizeof *rows);
        rows->rows = from->rows;
        rows->column_count = left + node->key_count;
        rows->columns = leat_arena_zalloc(arena, (rows->column_count + 1) * sizeof *rows->columns);
        for (uint32_t i = 0; i < rows->column_count; i++) {
                uint32_t column = i < left ? path->columns[i] : path->keys[i - left];
                rows->columns[i] = from->columns[slot->map != NULL ? slot->map[column] : column];
        }
        return rows;
}

static bool memo_fits(const struct leat_lookup_memo *memo, uint64_t arr_id, const struct leat_batch *keys)
{
        if (memo->arr_id != arr_id || memo->rows != keys->rows || memo->key_count != keys->column_count)
                return false;
        for (uint32_t k = 0; k < keys->column_count; k++)
                if (memo->keys[k] != keys->columns[k].data)
                        return false;
        return true;
}

/* Keyed topics change before all jobs of the tick, so what was found stays true until its end. */
static int find(struct leat_tick_run *run, uint64_t arr_id, const struct leat_batch *keys, bool keep,
                struct leat_batch **ret_right, uint64_t **ret_found, struct leat_error *err)
{
        for (uint32_t i = 0; keep && i < run->memo_count; i++) {
                if (!memo_fits(&run->memos[i], arr_id, keys))
                        continue;
                *ret_right = run->memos[i].right;
                *ret_found = run->memos[i].found;
                return 0;
        }
        LEAT_TRY(leat_state_lookup(leat_tick_run_snapshot(run), arr_id, keys, run->arena, ret_right, ret_found, err));
        if (!keep || run->memo_count == LEAT_LOOKUP_MEMOS)
                return 0;
        struct leat_lookup_memo *memo = &run->memos[run->memo_count++];
        *memo = (struct leat_lookup_memo){.arr_id = arr_id,
                                          .rows = keys->rows,
                                          .key_count = keys->column_count,
                                          .right = *ret_right,
                                          .found = *ret_found};
        for (uint32_t k = 0; k < keys->column_count; k++)
                memo->keys[k] = keys->columns[k].data;
        return 0;
}

static int right_columns(struct leat_stream_job *job, uint32_t number, const struct leat_batch *right,
                         struct leat_column *to, struct leat_error *err)
{
        const struct leat_node *node = &job->graph->nodes[number];
        const struct leat_lookup *lookup = &job->lookups[number];
        for (uint32_t i = 0; i < node->name_count; i++) {
                uint32_t k = 0;
                while (k < lookup->column_count && strcmp(lookup->names[k], node->names[i]) != 0)
                        k++;
                if (k == lookup->column_count)
                        return leat_error_set(err, LEAT_ENOCOLUMN, "view %s: topic %s has no column %s any more",
                                              job->name, node->relation, node->names[i]);
                to[i] = right->columns[k];
        }
        return 0;
}

int leat_lookup_run(struct leat_stream_job *job, uint32_t number, struct leat_tick_run *run, struct leat_error *err)
{
        const struct leat_node *node = &job->graph->nodes[number];
        struct leat_delta *delta = &job->rt->slots[job->slot_base + number]->delta;
        uint32_t left = job->graph->nodes[node->inputs[0]].column_count;
        struct leat_batch *rows = rows_direct(job, number, run->arena), *right;
        bool direct = rows != NULL;
        uint64_t *found;
        leat_delta_clear(delta);
        if (!direct)
                LEAT_TRY(leat_runtime_run(job->lookup_plans[number], run->arena, &rows, err));
        if (rows->rows == 0)
                return 0;
        struct leat_batch keys = {.rows = rows->rows, .column_count = node->key_count, .columns = rows->columns + left};
        LEAT_TRY(find(run, job->lookups[number].arr_id, &keys, direct, &right, &found, err));
        struct leat_batch *out = leat_arena_zalloc(run->arena, sizeof *out);
        out->rows = rows->rows;
        out->column_count = node->column_count;
        out->columns = leat_arena_zalloc(run->arena, node->column_count * sizeof *out->columns);
        memcpy(out->columns, rows->columns, left * sizeof *out->columns);
        LEAT_TRY(right_columns(job, number, right, out->columns + left, err));
        uint8_t *matched = leat_arena_alloc(run->arena, rows->rows);
        for (uint32_t i = 0; i < rows->rows; i++)
                matched[i] = found[i >> 6] >> (i & 63) & 1;
        out->columns[node->column_count - 1] =
                (struct leat_column){.type = leat_type_of(LEAT_T_BOOLEAN), .data = matched};
        leat_delta_add(delta, out, NULL);
        return 0;
}
