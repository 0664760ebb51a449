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
 *
 * Many rows have few keys (scans of eighty stations): when the first rows of a
 * tick say so, only the distinct keys are looked up, and the columns that some
 * job wants are spread over the rows.
 */
#include <inttypes.h>
#include <stdio.h>

#include "stream_run.h"

#define DISTINCT_TRY 1024u /* rows that tell whether keys repeat */

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

/* Numbers the keys of the rows, NULL when too many of them are distinct for that to help. */
static const uint32_t *keys_distinct(const struct leat_batch *keys, struct leat_arena *arena,
                                     struct leat_batch *ret_keys)
{
        struct leat_batch part = *keys;
        if (keys->rows < DISTINCT_TRY)
                return NULL;
        struct leat_keys *distinct = leat_keys_new(arena, keys->column_count, DISTINCT_TRY);
        uint32_t *ids = leat_arena_alloc(arena, ((size_t)keys->rows + 1) * sizeof *ids);
        part.rows = DISTINCT_TRY;
        leat_keys_add(distinct, &part, ids);
        if (leat_keys_count(distinct) > DISTINCT_TRY / 2)
                return NULL;
        leat_keys_add(distinct, keys, ids); /* the first ones again: they have their numbers */
        *ret_keys = (struct leat_batch){.rows = leat_keys_count(distinct), .column_count = keys->column_count};
        ret_keys->columns = leat_arena_zalloc(arena, (keys->column_count + 1) * sizeof *ret_keys->columns);
        leat_keys_columns(distinct, arena, ret_keys->columns);
        return ids;
}

/* Asks the arrangement; fills all of @memo but the keys that it stands for. */
static int ask(struct leat_tick_run *run, const struct leat_batch *keys, struct leat_lookup_memo *memo,
               struct leat_error *err)
{
        struct leat_batch distinct;
        uint64_t *found;
        memo->ids = keys_distinct(keys, run->arena, &distinct);
        LEAT_TRY(leat_state_lookup(leat_tick_run_snapshot(run), memo->arr_id, memo->ids != NULL ? &distinct : keys,
                                   run->arena, &memo->right, &found, err));
        memo->matched = leat_arena_alloc(run->arena, keys->rows + 1);
        for (uint32_t i = 0; i < keys->rows; i++) {
                uint32_t at = memo->ids != NULL ? memo->ids[i] : i;
                memo->matched[i] = found[at >> 6] >> (at & 63) & 1;
        }
        memo->wide = leat_arena_zalloc(run->arena, (memo->right->column_count + 1) * sizeof *memo->wide);
        return 0;
}

/* Keyed topics change before all jobs of the tick, so what was found stays true until its end. */
static int find(struct leat_tick_run *run, uint64_t arr_id, const struct leat_batch *keys, bool keep,
                struct leat_lookup_memo **ret_memo, struct leat_error *err)
{
        struct leat_lookup_memo *memo;
        for (uint32_t i = 0; keep && i < run->memo_count; i++) {
                *ret_memo = &run->memos[i];
                if (memo_fits(*ret_memo, arr_id, keys))
                        return 0;
        }
        keep = keep && run->memo_count < LEAT_LOOKUP_MEMOS;
        memo = keep ? &run->memos[run->memo_count] : leat_arena_alloc(run->arena, sizeof *memo);
        *memo = (struct leat_lookup_memo){.arr_id = arr_id, .rows = keys->rows, .key_count = keys->column_count};
        for (uint32_t k = 0; keep && k < keys->column_count; k++)
                memo->keys[k] = keys->columns[k].data;
        LEAT_TRY(ask(run, keys, memo, err));
        run->memo_count += keep;
        *ret_memo = memo;
        return 0;
}

/* One column of what was found, one row a key. */
static struct leat_column memo_column(struct leat_lookup_memo *memo, uint32_t column, struct leat_arena *arena)
{
        if (memo->ids == NULL)
                return memo->right->columns[column];
        if (memo->wide[column].data == NULL) {
                struct leat_batch one = {
                        .rows = memo->right->rows, .column_count = 1, .columns = &memo->right->columns[column]};
                memo->wide[column] = leat_batch_gather(arena, &one, memo->ids, memo->rows)->columns[0];
        }
        return memo->wide[column];
}

static int right_columns(struct leat_stream_job *job, uint32_t number, struct leat_lookup_memo *memo,
                         struct leat_arena *arena, struct leat_column *to, struct leat_error *err)
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
                to[i] = memo_column(memo, k, arena);
        }
        return 0;
}

int leat_lookup_run(struct leat_stream_job *job, uint32_t number, struct leat_tick_run *run, struct leat_error *err)
{
        const struct leat_node *node = &job->graph->nodes[number];
        struct leat_delta *delta = &job->rt->slots[job->slot_base + number]->delta;
        uint32_t left = job->graph->nodes[node->inputs[0]].column_count;
        struct leat_batch *rows = rows_direct(job, number, run->arena);
        struct leat_lookup_memo *memo;
        bool direct = rows != NULL;
        leat_delta_clear(delta);
        if (!direct)
                LEAT_TRY(leat_runtime_run(job->lookup_plans[number], run->arena, &rows, err));
        if (rows->rows == 0)
                return 0;
        struct leat_batch keys = {.rows = rows->rows, .column_count = node->key_count, .columns = rows->columns + left};
        LEAT_TRY(find(run, job->lookups[number].arr_id, &keys, direct, &memo, err));
        struct leat_batch *out = leat_arena_zalloc(run->arena, sizeof *out);
        out->rows = rows->rows;
        out->column_count = node->column_count;
        out->columns = leat_arena_zalloc(run->arena, node->column_count * sizeof *out->columns);
        memcpy(out->columns, rows->columns, left * sizeof *out->columns);
        LEAT_TRY(right_columns(job, number, memo, run->arena, out->columns + left, err));
        out->columns[node->column_count - 1] =
                (struct leat_column){.type = leat_type_of(LEAT_T_BOOLEAN), .data = memo->matched};
        leat_delta_add(delta, out, NULL);
        return 0;
}
