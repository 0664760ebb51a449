/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/stream: GROUP BY, tick by tick.
 *
 *   1 one SELECT aggregates the tick's rows: groups, row counter, parts; others give
 *     the values of DISTINCT and of ordered arrangements. Nothing is applied before
 *     all of these are done
 *   2 panes are expanded to windows; rows of windows that are gone are dropped
 *   3 DISTINCT: values that come or go in their sets are a second input
 *   4 the groups' old rows are looked up, and combined with the parts
 *   5 min and max over rows that change: first row of the ordered arrangement
 *   6 the new rows go to the arrangement, old and new ones to whoever reads on
 *
 * The work follows the rows of the tick and the groups that they touch.
 */
#include <inttypes.h>
#include <stdio.h>

#include "stream_run.h"

/* ---- statements ----------------------------------------------------------------------- */
static const struct leat_agg *agg_of(const struct leat_stream_job *job, uint32_t node)
{
        return job->graph->nodes[node].agg;
}

static void cast_add(struct leat_buf *sql, const char *expr, const struct leat_type *type, const char *as,
                     uint32_t number)
{
        leat_buf_printf(sql, "CAST(%s AS ", expr);
        leat_type_print(type, sql);
        leat_buf_printf(sql, ") AS %s%u", as, number);
}

static void groups_add(struct leat_buf *sql, const struct leat_stream_job *job, uint32_t node)
{
        const struct leat_agg *agg = agg_of(job, node);
        for (uint32_t i = 0; i < agg->group_count; i++) {
                cast_add(sql, agg->groups[i], &job->graph->nodes[node].types[i], "c", i);
                leat_buf_add_str(sql, ", ");
        }
}

static void group_by_add(struct leat_buf *sql, uint32_t count)
{
        for (uint32_t i = 0; i < count; i++)
                leat_buf_printf(sql, "%s%u", i == 0 ? " GROUP BY " : ", ", i + 1);
}

static bool input_weighted(const struct leat_stream_job *job, uint32_t node)
{
        const struct leat_node *agg = &job->graph->nodes[node];
        return !job->graph->nodes[agg->inputs[0]].append_only;
}

static void from_add(struct leat_buf *sql, const struct leat_stream_job *job, uint32_t node)
{
        char prefix[24];
        snprintf(prefix, sizeof prefix, "%u.", job->slot_base);
        leat_buf_add_str(sql, " FROM ");
        leat_node_sql(job->graph, job->graph->nodes[node].inputs[0], prefix, sql);
}

static int prepare(struct leat_stream_job *job, struct leat_buf *sql, struct leat_plan **ret_plan,
                   struct leat_error *err)
{
        int rc = leat_plan_prepare(job->rt->conn, leat_buf_cstr(sql), ret_plan, err);
        if (rc != 0)
                leat_error_prefix(err, "view %s", job->name);
        leat_buf_clear(sql);
        return rc;
}

static void parts_add(struct leat_buf *sql, const struct leat_stream_job *job, uint32_t node, uint32_t feed)
{
        const struct leat_agg *agg = agg_of(job, node);
        uint32_t number = 0;
        for (uint32_t i = 0; i < agg->acc_count; i++) {
                const struct leat_acc *acc = &agg->accs[i];
                for (uint32_t k = 0; acc->feed == feed && k < acc->part_count; k++) {
                        leat_buf_add_str(sql, ", ");
                        cast_add(sql, acc->parts[k], &job->graph->nodes[node].types[acc->column + k % acc->width], "p",
                                 number++);
                }
        }
}

static const char *count_sql(bool weighted)
{
        return weighted ? "CAST(sum(w) AS BIGINT)" : "count(*)";
}

static int distinct_prepare(struct leat_stream_job *job, uint32_t node, uint32_t k, struct leat_buf *sql,
                            struct leat_error *err)
{
        const struct leat_agg *agg = agg_of(job, node);
        const struct leat_distinct *set = &agg->distincts[k];
        struct leat_agg_plans *plans = &job->aggs[node];
        bool weighted = input_weighted(job, node);
        struct leat_slot *slot = job->rt->slots[job->slot_base + plans->slot_at + k];
        leat_buf_add_str(sql, "SELECT ");
        groups_add(sql, job, node);
        cast_add(sql, set->value, &set->type, "c", agg->group_count);
        leat_buf_printf(sql, ", %s AS n", count_sql(weighted));
        from_add(sql, job, node);
        if (set->filter != NULL)
                leat_buf_printf(sql, " WHERE %s", set->filter);
        group_by_add(sql, agg->group_count + 1);
        if (weighted)
                leat_buf_add_str(sql, " HAVING sum(w) <> 0");
        LEAT_TRY(prepare(job, sql, &plans->distincts[k], err));
        slot->column_count = agg->group_count + 1;
        slot->types = leat_arena_zalloc(job->arena, (slot->column_count + 1) * sizeof *slot->types);
        memcpy(slot->types, job->graph->nodes[node].types, agg->group_count * sizeof *slot->types);
        slot->types[agg->group_count] = set->type;
        slot->weighted = true;
        leat_buf_add_str(sql, "SELECT ");
        for (uint32_t i = 0; i < agg->group_count; i++)
                leat_buf_printf(sql, "c%u, ", i);
        leat_buf_add_str(sql, "CAST(0 AS BIGINT) AS n");
        parts_add(sql, job, node, k + 1);
        leat_buf_printf(sql, " FROM leat_scan('%u.%u')", job->slot_base, plans->slot_at + k);
        group_by_add(sql, agg->group_count);
        return prepare(job, sql, &plans->feeds[k], err);
}

static int first_prepare(struct leat_stream_job *job, uint32_t node, uint32_t k, struct leat_buf *sql,
                         struct leat_error *err)
{
        const struct leat_agg *agg = agg_of(job, node);
        const struct leat_acc *acc = &agg->accs[k];
        leat_buf_add_str(sql, "SELECT ");
        groups_add(sql, job, node);
        cast_add(sql, acc->value, &job->graph->nodes[node].types[acc->column], "c", agg->group_count);
        leat_buf_printf(sql, ", %s AS n", count_sql(input_weighted(job, node)));
        from_add(sql, job, node);
        if (acc->filter != NULL)
                leat_buf_printf(sql, " WHERE %s", acc->filter);
        group_by_add(sql, agg->group_count + 1);
        if (input_weighted(job, node))
                leat_buf_add_str(sql, " HAVING sum(w) <> 0");
        return prepare(job, sql, &job->aggs[node].firsts[k], err);
}

/* Where each accumulator's parts stand in the combined partial rows: groups, n, parts in the order of accumulators. */
static void parts_layout(struct leat_stream_job *job, uint32_t node)
{
        const struct leat_agg *agg = agg_of(job, node);
        const struct leat_type *types = job->graph->nodes[node].types;
        struct leat_agg_plans *plans = &job->aggs[node];
        uint32_t at = agg->group_count + 1, most = at;
        for (uint32_t i = 0; i < agg->acc_count; i++)
                most += agg->accs[i].part_count;
        plans->part_at = leat_arena_zalloc(job->arena, (agg->acc_count + 1) * sizeof *plans->part_at);
        plans->part_types = leat_arena_zalloc(job->arena, (most + 1) * sizeof *plans->part_types);
        memcpy(plans->part_types, types, (agg->group_count + 1) * sizeof *types);
        for (uint32_t i = 0; i < agg->acc_count; i++) {
                plans->part_at[i] = at;
                for (uint32_t k = 0; k < agg->accs[i].part_count; k++)
                        plans->part_types[at++] = types[agg->accs[i].column + k % agg->accs[i].width];
        }
        plans->part_columns = at;
}

int leat_agg_prepare(struct leat_stream_job *job, uint32_t node, uint32_t slot_at, struct leat_error *err)
{
        const struct leat_agg *agg = agg_of(job, node);
        struct leat_agg_plans *plans = &job->aggs[node];
        struct leat_buf sql = LEAT_BUF_INIT;
        plans->slot_at = slot_at;
        plans->distincts = leat_arena_zalloc(job->arena, (agg->distinct_count + 1) * sizeof(*plans->distincts));
        plans->feeds = leat_arena_zalloc(job->arena, (agg->distinct_count + 1) * sizeof(*plans->feeds));
        plans->firsts = leat_arena_zalloc(job->arena, (agg->acc_count + 1) * sizeof(*plans->firsts));
        plans->distinct_rows = leat_arena_zalloc(job->arena, (agg->distinct_count + 1) * sizeof(*plans->distinct_rows));
        plans->first_rows = leat_arena_zalloc(job->arena, (agg->acc_count + 1) * sizeof(*plans->first_rows));
        parts_layout(job, node);
        leat_buf_add_str(&sql, "SELECT ");
        groups_add(&sql, job, node);
        leat_buf_printf(&sql, "%s AS n", count_sql(input_weighted(job, node)));
        parts_add(&sql, job, node, 0);
        from_add(&sql, job, node);
        group_by_add(&sql, agg->group_count);
        int rc = prepare(job, &sql, &plans->main, err);
        for (uint32_t k = 0; k < agg->distinct_count && rc == 0; k++)
                rc = distinct_prepare(job, node, k, &sql, err);
        for (uint32_t k = 0; k < agg->acc_count && rc == 0; k++)
                if (agg->accs[k].kind == LEAT_ACC_FIRST)
                        rc = first_prepare(job, node, k, &sql, err);
        leat_buf_done(&sql);
        return rc;
}

void leat_agg_plans_done(struct leat_stream_job *job, uint32_t node)
{
        const struct leat_agg *agg = agg_of(job, node);
        struct leat_agg_plans *plans = &job->aggs[node];
        leat_plan_free(plans->main);
        for (uint32_t k = 0; plans->distincts != NULL && k < agg->distinct_count; k++) {
                leat_plan_free(plans->distincts[k]);
                leat_plan_free(plans->feeds[k]);
        }
        for (uint32_t k = 0; plans->firsts != NULL && k < agg->acc_count; k++)
                leat_plan_free(plans->firsts[k]);
}

/* ---- windows ------------------------------------------------------------------------------- */
static int64_t floor_to(int64_t value, int64_t step)
{
        int64_t rest = value % step;
        return value - (rest < 0 ? rest + step : rest);
}

/* The rows of whole windows out of the rows of panes. */
static struct leat_batch *panes_expand(const struct leat_agg *agg, struct leat_arena *arena,
                                       const struct leat_batch *panes)
{
        const struct leat_time_prop *w = &agg->window;
        uint64_t most = (uint64_t)panes->rows * (uint64_t)((w->size_us - 1) / w->slide_us + 1);
        uint32_t *rows = leat_arena_alloc(arena, (most + 1) * sizeof *rows), count = 0;
        int64_t *starts = leat_arena_alloc(arena, (most + 1) * sizeof *starts);
        const struct leat_column *pane = &panes->columns[agg->start_group];
        for (uint32_t i = 0; i < panes->rows; i++) {
                int64_t at = ((const int64_t *)pane->data)[i];
                if (!leat_column_valid(pane, i))
                        continue; /* no time, no window */
                for (int64_t start = floor_to(at - w->offset_us, w->slide_us) + w->offset_us; start + w->size_us > at;
                     start -= w->slide_us) {
                        rows[count] = i;
                        starts[count++] = start;
                }
        }
        struct leat_batch *batch = leat_batch_gather(arena, panes, rows, count);
        for (int32_t k = 0; k < 2; k++) {
                int32_t group = k == 0 ? agg->start_group : agg->end_group;
                if (group < 0)
                        continue;
                int64_t *times = leat_arena_alloc(arena, (count + 1) * sizeof *times);
                for (uint32_t i = 0; i < count; i++)
                        times[i] = starts[i] + (k == 0 ? 0 : w->size_us);
                batch->columns[group].data = times;
                batch->columns[group].validity = NULL;
        }
        return batch;
}

/* When a window counts as over for rows that come: its end at or before this; INT64_MIN: never. */
static int64_t late_limit(const struct leat_stream_job *job, const struct leat_agg *agg)
{
        const struct leat_stream_graph *graph = job->graph;
        bool closing = graph->mode == LEAT_OUT_CLOSED && graph->nodes[graph->agg_node].agg == agg;
        if (!agg->late_check || job->watermark_us == INT64_MIN)
                return INT64_MIN;
        if (graph->late == LEAT_STREAM_LATE_REEMIT || (graph->late == LEAT_STREAM_LATE_APPLY && !closing))
                return INT64_MIN;
        return job->watermark_us - graph->grace_us;
}

/* Drops rows whose window is over or no longer kept; they have the groups first. Counts @n of them when it is given. */
static struct leat_batch *late_drop(struct leat_stream_job *job, const struct leat_agg *agg, uint32_t arr,
                                    struct leat_arena *arena, struct leat_batch *rows, int32_t n_column)
{
        int32_t group = agg->start_group >= 0 ? agg->start_group : agg->end_group;
        int64_t limit = late_limit(job, agg), horizon = leat_stream_job_horizon(job, arr, job->watermark_us);
        if (group < 0 || (!agg->late_check && horizon == INT64_MIN))
                return rows;
        const struct leat_column *time = &rows->columns[group];
        int64_t to_end = agg->start_group >= 0 ? agg->window.size_us : 0;
        uint32_t *keep = leat_arena_alloc(arena, (rows->rows + 1) * sizeof *keep), count = 0;
        for (uint32_t i = 0; i < rows->rows; i++) {
                int64_t at = ((const int64_t *)time->data)[i];
                bool gone = leat_column_valid(time, i) ? at < horizon || (limit != INT64_MIN && at + to_end <= limit)
                                                       : agg->late_check;
                if (!gone)
                        keep[count++] = i;
                else if (n_column >= 0)
                        job->late_rows += ((const int64_t *)rows->columns[n_column].data)[i];
        }
        return count == rows->rows ? rows : leat_batch_gather(arena, rows, keep, count);
}

/* ---- partial rows ------------------------------------------------------------------------------ */
static struct leat_batch *batch_zero(struct leat_arena *arena, const struct leat_type *types, uint32_t columns,
                                     uint32_t rows)
{
        struct leat_batch *batch = leat_batch_new(arena, types, columns, rows + 1);
        batch->rows = rows;
        for (uint32_t i = 0; i < columns; i++) {
                leat_column_make_validity(arena, &batch->columns[i], rows + 1);
                memset(batch->columns[i].validity, 0, ((size_t)rows + 64) / 64 * 8);
                memset(batch->columns[i].data, 0, (size_t)rows * leat_type_bytes(&types[i]));
        }
        return batch;
}

static void part_place(struct leat_column *dst, const uint32_t *ids, const struct leat_column *src, uint32_t rows)
{
        uint32_t bytes = leat_type_bytes(&dst->type);
        for (uint32_t i = 0; i < rows; i++) {
                if (!leat_column_valid(src, i))
                        continue;
                memcpy((uint8_t *)dst->data + (size_t)ids[i] * bytes, (const uint8_t *)src->data + (size_t)i * bytes,
                       bytes);
                dst->validity[ids[i] >> 6] |= 1ull << (ids[i] & 63);
        }
}

/* Rows of windows that overlap: those of one key become one. */
static int windows_merge(const struct leat_agg *agg, const struct leat_agg_plans *plans, struct leat_arena *arena,
                         const struct leat_batch *rows, struct leat_batch **ret_batch, struct leat_error *err)
{
        static const struct leat_acc counter = {.kind = LEAT_ACC_ADD, .width = 1};
        struct leat_keys *keys = leat_keys_new(arena, agg->group_count, rows->rows);
        uint32_t *ids = leat_arena_alloc(arena, (rows->rows + 1) * sizeof *ids);
        leat_keys_add(keys, rows, ids);
        struct leat_batch *all = batch_zero(arena, plans->part_types, plans->part_columns, leat_keys_count(keys));
        leat_keys_columns(keys, arena, all->columns);
        leat_acc_clear(&counter, &all->columns[agg->group_count], all->rows);
        LEAT_TRY(leat_acc_merge(&counter, &all->columns[agg->group_count], ids, &rows->columns[agg->group_count], NULL,
                                rows->rows, 1, arena, err));
        for (uint32_t i = 0; i < agg->acc_count; i++) {
                leat_acc_clear(&agg->accs[i], &all->columns[plans->part_at[i]], all->rows);
                LEAT_TRY(leat_acc_merge(&agg->accs[i], &all->columns[plans->part_at[i]], ids,
                                        &rows->columns[plans->part_at[i]], NULL, rows->rows, 1, arena, err));
        }
        *ret_batch = all;
        return 0;
}

/* Main rows and those of the distinct feeds side by side, one row a group. */
static struct leat_batch *feeds_join(const struct leat_agg *agg, const struct leat_agg_plans *plans,
                                     struct leat_arena *arena, struct leat_batch *const *inputs)
{
        uint32_t hint = 0;
        for (uint32_t f = 0; f <= agg->distinct_count; f++)
                hint += inputs[f]->rows;
        struct leat_keys *keys = leat_keys_new(arena, agg->group_count, hint);
        uint32_t **ids = leat_arena_alloc(arena, (agg->distinct_count + 1) * sizeof(*ids));
        for (uint32_t f = 0; f <= agg->distinct_count; f++) {
                ids[f] = leat_arena_alloc(arena, (inputs[f]->rows + 1) * sizeof **ids);
                leat_keys_add(keys, inputs[f], ids[f]);
        }
        struct leat_batch *all = batch_zero(arena, plans->part_types, plans->part_columns, leat_keys_count(keys));
        leat_keys_columns(keys, arena, all->columns);
        memset(all->columns[agg->group_count].validity, 0xFF, ((size_t)all->rows + 64) / 64 * 8);
        part_place(&all->columns[agg->group_count], ids[0], &inputs[0]->columns[agg->group_count], inputs[0]->rows);
        for (uint32_t f = 0; f <= agg->distinct_count; f++) {
                uint32_t from = agg->group_count + 1;
                for (uint32_t i = 0; i < agg->acc_count; i++)
                        for (uint32_t k = 0; agg->accs[i].feed == f && k < agg->accs[i].part_count; k++)
                                part_place(&all->columns[plans->part_at[i] + k], ids[f], &inputs[f]->columns[from++],
                                           inputs[f]->rows);
        }
        return all;
}

static struct leat_batch *key_part(struct leat_arena *arena, const struct leat_batch *rows, uint32_t columns)
{
        struct leat_batch *keys = leat_arena_zalloc(arena, sizeof *keys);
        keys->rows = rows->rows;
        keys->column_count = columns;
        keys->columns = rows->columns;
        return keys;
}

/* ---- DISTINCT -------------------------------------------------------------------------------------- */
static int distinct_run(struct leat_stream_job *job, uint32_t node, uint32_t k, struct leat_tick_run *run,
                        struct leat_batch **ret_parts, struct leat_error *err)
{
        const struct leat_agg *agg = agg_of(job, node);
        struct leat_agg_plans *plans = &job->aggs[node];
        struct leat_arena *arena = run->arena;
        uint64_t arr = job->graph->first_arr_id + agg->distincts[k].arr;
        uint32_t columns = agg->group_count + 2, flips = 0;
        struct leat_batch *rows, *old;
        uint64_t *found;
        rows = late_drop(job, agg, agg->arr, arena, plans->distinct_rows[k], -1);
        LEAT_TRY(leat_state_lookup(leat_tick_run_snapshot(run), arr, key_part(arena, rows, columns - 1), arena, &old,
                                   &found, err));
        int64_t *weights = leat_arena_alloc(arena, (rows->rows + 1) * sizeof *weights);
        int64_t *counts = leat_arena_alloc(arena, (rows->rows + 1) * sizeof *counts);
        uint32_t *flip = leat_arena_alloc(arena, (rows->rows + 1) * sizeof *flip);
        int64_t *flip_weights = leat_arena_alloc(arena, (rows->rows + 1) * sizeof *flip_weights);
        for (uint32_t i = 0; i < rows->rows; i++) {
                int64_t before =
                        found[i >> 6] >> (i & 63) & 1 ? ((const int64_t *)old->columns[columns - 1].data)[i] : 0;
                counts[i] = before + ((const int64_t *)rows->columns[columns - 1].data)[i];
                if (counts[i] < 0)
                        return leat_error_set(err, LEAT_EINTERNAL,
                                              "view %s: a distinct value went more often than it came", job->name);
                weights[i] = counts[i] > 0 ? 1 : -1;
                if ((before > 0) != (counts[i] > 0)) {
                        flip_weights[flips] = counts[i] > 0 ? 1 : -1;
                        flip[flips++] = i;
                }
        }
        rows->columns[columns - 1].data = counts;
        LEAT_TRY(leat_tick_run_apply(run, arr, rows, weights, err));
        struct leat_slot *slot = job->rt->slots[job->slot_base + plans->slot_at + k];
        leat_delta_clear(&slot->delta);
        leat_delta_add(&slot->delta, leat_batch_gather(arena, rows, flip, flips), flip_weights);
        return leat_runtime_run(plans->feeds[k], arena, ret_parts, err);
}

static int partial_run(struct leat_stream_job *job, uint32_t node, struct leat_tick_run *run,
                       struct leat_batch **ret_part, struct leat_error *err)
{
        const struct leat_agg *agg = agg_of(job, node);
        struct leat_agg_plans *plans = &job->aggs[node];
        struct leat_batch *inputs[17], *part = plans->main_rows;
        if (agg->pane_us > 0 && part->rows > 0)
                LEAT_TRY(windows_merge(agg, plans, run->arena, panes_expand(agg, run->arena, part), &part, err));
        part = late_drop(job, agg, agg->arr, run->arena, part, (int32_t)agg->group_count);
        if (agg->distinct_count > 0) {
                inputs[0] = part;
                for (uint32_t k = 0; k < agg->distinct_count; k++)
                        LEAT_TRY(distinct_run(job, node, k, run, &inputs[k + 1], err));
                part = feeds_join(agg, plans, run->arena, inputs);
        }
        *ret_part = part;
        return 0;
}

/* ---- combining ------------------------------------------------------------------------------------------ */
/* New rows: the old ones (or nothing yet) with the parts. */
static int combine(struct leat_stream_job *job, uint32_t node, struct leat_arena *arena, const struct leat_batch *part,
                   const struct leat_batch *old, const uint64_t *found, struct leat_batch **ret_rows,
                   struct leat_error *err)
{
        static const struct leat_acc counter = {.kind = LEAT_ACC_ADD, .width = 1};
        const struct leat_agg *agg = agg_of(job, node);
        const struct leat_node *info = &job->graph->nodes[node];
        const struct leat_agg_plans *plans = &job->aggs[node];
        struct leat_batch *rows = leat_batch_new(arena, info->types, info->column_count, part->rows + 1);
        uint32_t *hits = leat_arena_alloc(arena, (part->rows + 1) * sizeof *hits), hit_count = 0;
        rows->rows = part->rows;
        for (uint32_t i = 0; i < part->rows; i++)
                if (found[i >> 6] >> (i & 63) & 1)
                        hits[hit_count++] = i;
        for (uint32_t i = 0; i < agg->group_count; i++)
                rows->columns[i] = part->columns[i];
        for (uint32_t i = 0; i <= agg->acc_count; i++) {
                const struct leat_acc *acc = i == 0 ? &counter : &agg->accs[i - 1];
                uint32_t at = i == 0 ? agg->group_count : acc->column;
                struct leat_column *to = &rows->columns[at];
                for (uint32_t k = 0; k < acc->width; k++)
                        leat_column_make_validity(arena, &to[k], part->rows + 1);
                leat_acc_clear(acc, to, part->rows);
                for (uint32_t k = 0; k < acc->width; k++) { /* the old values, as they are */
                        const struct leat_column *from = &old->columns[at + k];
                        uint32_t bytes = leat_type_bytes(&to[k].type);
                        for (uint32_t h = 0; h < hit_count; h++) {
                                uint32_t row = hits[h];
                                if (!leat_column_valid(from, row))
                                        continue;
                                memcpy((uint8_t *)to[k].data + (size_t)row * bytes,
                                       (const uint8_t *)from->data + (size_t)row * bytes, bytes);
                                to[k].validity[row >> 6] |= 1ull << (row & 63);
                        }
                }
                if (acc->kind == LEAT_ACC_FIRST)
                        continue;
                const struct leat_column *parts = &part->columns[i == 0 ? agg->group_count : plans->part_at[i - 1]];
                LEAT_TRY(leat_acc_merge(acc, to, NULL, parts, NULL, part->rows, 1, arena, err));
                if (acc->signed_parts)
                        LEAT_TRY(leat_acc_merge(acc, to, NULL, parts + acc->width, NULL, part->rows, -1, arena, err));
        }
        *ret_rows = rows;
        return 0;
}

/* Puts the first value of each group's ordered rows into the accumulator. */
static int first_run(struct leat_stream_job *job, uint32_t node, uint32_t k, struct leat_tick_run *run,
                     struct leat_batch *groups, struct leat_error *err)
{
        const struct leat_agg *agg = agg_of(job, node);
        const struct leat_acc *acc = &agg->accs[k];
        uint64_t arr = job->graph->first_arr_id + acc->arr;
        uint32_t value = agg->group_count;
        struct leat_column *to = &groups->columns[acc->column];
        struct leat_batch *rows;
        rows = late_drop(job, agg, agg->arr, run->arena, job->aggs[node].first_rows[k], -1);
        int64_t *weights = rows->columns[value + 1].data;
        LEAT_TRY(leat_tick_run_apply(run, arr, key_part(run->arena, rows, value + 1), weights, err));
        leat_acc_clear(acc, to, groups->rows);
        if (groups->rows == 0)
                return 0;
        struct leat_gather_options options = {.limit = 1};
        struct leat_gather *gather;
        const struct leat_batch *chunk;
        const uint32_t *ordinals;
        const int64_t *ignored;
        int rc;
        LEAT_TRY(leat_gather_open(leat_tick_run_snapshot(run), arr, key_part(run->arena, groups, value), &options,
                                  &gather, err));
        while ((rc = leat_gather_next(gather, &chunk, &ordinals, &ignored, err)) == 0 && chunk != NULL) {
                struct leat_batch *copy = leat_batch_copy(run->arena, chunk);
                part_place(to, ordinals, &copy->columns[value], copy->rows);
        }
        leat_gather_close(gather);
        return rc;
}

/* ---- output ------------------------------------------------------------------------------------------------- */
static struct leat_batch *rows_of(struct leat_arena *arena, const struct leat_batch *from, const uint32_t *rows,
                                  uint32_t count)
{
        return count == from->rows ? (struct leat_batch *)(uintptr_t)from : leat_batch_gather(arena, from, rows, count);
}

static int64_t *weights_of(struct leat_arena *arena, int64_t value, uint32_t count)
{
        int64_t *weights = leat_arena_alloc(arena, (count + 1) * sizeof *weights);
        for (uint32_t i = 0; i < count; i++)
                weights[i] = value;
        return weights;
}

/* Old rows out, new rows in. A set only says which groups come and go. */
static int emit(struct leat_stream_job *job, uint32_t node, struct leat_tick_run *run, const struct leat_batch *old,
                const uint64_t *found, struct leat_batch *rows, struct leat_error *err)
{
        const struct leat_agg *agg = agg_of(job, node);
        struct leat_arena *arena = run->arena;
        struct leat_delta *delta = &job->rt->slots[job->slot_base + node]->delta;
        const int64_t *n = rows->columns[agg->group_count].data;
        uint32_t *out = leat_arena_alloc(arena, (rows->rows + 1) * sizeof *out), outs = 0, ins = 0, changes = 0;
        uint32_t *in = leat_arena_alloc(arena, (rows->rows + 1) * sizeof *in);
        uint32_t *change = leat_arena_alloc(arena, (rows->rows + 1) * sizeof *change);
        int64_t *weights = leat_arena_alloc(arena, (rows->rows + 1) * sizeof *weights);
        bool append_only = job->graph->nodes[node].append_only;
        for (uint32_t i = 0; i < rows->rows; i++) {
                bool before = found[i >> 6] >> (i & 63) & 1, after = n[i] > 0 || agg->always;
                if (n[i] < 0)
                        return leat_error_set(err, LEAT_EINTERNAL, "view %s: a group lost more rows than it had",
                                              job->name);
                if (before && !(agg->set_only && after))
                        out[outs++] = i;
                if (after && !(agg->set_only && before))
                        in[ins++] = i;
                if ((!before && !after) || (agg->set_only && append_only && before))
                        continue;
                weights[changes] = after ? 1 : -1;
                change[changes++] = i;
        }
        leat_delta_clear(delta);
        leat_delta_add(delta, rows_of(arena, old, out, outs), weights_of(arena, -1, outs));
        leat_delta_add(delta, rows_of(arena, rows, in, ins), weights_of(arena, 1, ins));
        return leat_tick_run_apply(run, job->graph->first_arr_id + agg->arr, rows_of(arena, rows, change, changes),
                                   weights, err);
}

/* The row that an aggregate without GROUP BY has from the start. */
static struct leat_batch *always_row(struct leat_stream_job *job, uint32_t node, struct leat_arena *arena)
{
        const struct leat_agg_plans *plans = &job->aggs[node];
        struct leat_batch *row = batch_zero(arena, plans->part_types, plans->part_columns, 1);
        row->columns[0].validity[0] |= 1; /* n = 0 */
        return row;
}

int leat_agg_rows(struct leat_stream_job *job, uint32_t node, struct leat_tick_run *run, struct leat_error *err)
{
        const struct leat_agg *agg = agg_of(job, node);
        struct leat_agg_plans *plans = &job->aggs[node];
        LEAT_TRY(leat_runtime_run(plans->main, run->arena, &plans->main_rows, err));
        for (uint32_t k = 0; k < agg->distinct_count; k++)
                LEAT_TRY(leat_runtime_run(plans->distincts[k], run->arena, &plans->distinct_rows[k], err));
        for (uint32_t k = 0; k < agg->acc_count; k++)
                if (plans->firsts[k] != NULL)
                        LEAT_TRY(leat_runtime_run(plans->firsts[k], run->arena, &plans->first_rows[k], err));
        return 0;
}

int leat_agg_run(struct leat_stream_job *job, uint32_t node, struct leat_tick_run *run, struct leat_error *err)
{
        const struct leat_agg *agg = agg_of(job, node);
        struct leat_batch *part, *old, *rows;
        uint64_t *found;
        if (!job->aggs[node].ready)
                LEAT_TRY(leat_agg_rows(job, node, run, err));
        LEAT_TRY(partial_run(job, node, run, &part, err));
        if (agg->always && part->rows == 0)
                part = always_row(job, node, run->arena);
        if (agg->always && !job->first_tick && part->rows == 1 && ((const int64_t *)part->columns[0].data)[0] == 0 &&
            job->rows_in == 0)
                return 0; /* no rows came */
        if (part->rows == 0)
                return 0;
        LEAT_TRY(leat_state_lookup(leat_tick_run_snapshot(run), job->graph->first_arr_id + agg->arr,
                                   key_part(run->arena, part, agg->group_count), run->arena, &old, &found, err));
        LEAT_TRY(combine(job, node, run->arena, part, old, found, &rows, err));
        for (uint32_t k = 0; k < agg->acc_count; k++)
                if (agg->accs[k].kind == LEAT_ACC_FIRST)
                        LEAT_TRY(first_run(job, node, k, run, rows, err));
        return emit(job, node, run, old, found, rows, err);
}
