/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/stream: one job, that is one view's graph, tick by tick: its materialized
 * nodes in order, then the view's own rows.
 *
 * What a tick changes is applied to the state at once and noted as sections of
 * the tick. When a job fails in the middle the state holds half of its tick; the
 * owner then goes back to the last tick that it committed.
 */
#include <inttypes.h>
#include <stdio.h>

#include "stream_run.h"

#define SEQUENCE_BITS 22 /* rows a tick in an APPEND view */

/* ---- the tick's collections ----------------------------------------------------------- */
struct leat_state_snapshot *leat_tick_run_snapshot(struct leat_tick_run *run)
{
        struct leat_state_snapshot *snapshot = leat_state_snapshot_take(run->state);
        if (run->snapshot_count == run->snapshot_cap) {
                run->snapshot_cap = run->snapshot_cap == 0 ? 16 : 2 * run->snapshot_cap;
                run->snapshots = leat_realloc(run->snapshots, run->snapshot_cap * sizeof(*run->snapshots));
        }
        run->snapshots[run->snapshot_count++] = snapshot;
        return snapshot;
}

int leat_tick_run_apply(struct leat_tick_run *run, uint64_t arr, struct leat_batch *rows, int64_t *weights,
                        struct leat_error *err)
{
        if (rows->rows == 0)
                return 0;
        if (run->section_count == run->section_cap) {
                run->section_cap = run->section_cap == 0 ? 16 : 2 * run->section_cap;
                run->sections = leat_realloc(run->sections, run->section_cap * sizeof *run->sections);
        }
        run->sections[run->section_count++] =
                (struct leat_tick_section){.arr_id = arr, .rows = rows, .weights = weights};
        return leat_state_apply(run->state, arr, run->tick, rows, weights, err);
}

int leat_tick_run_expire(struct leat_tick_run *run, uint64_t arr, int64_t time_us, struct leat_error *err)
{
        if (run->expire_count == run->expire_cap) {
                run->expire_cap = run->expire_cap == 0 ? 16 : 2 * run->expire_cap;
                run->expires = leat_realloc(run->expires, run->expire_cap * sizeof *run->expires);
        }
        run->expires[run->expire_count++] = (struct leat_tick_expire){.arr_id = arr, .time_us = time_us};
        return leat_state_expire(run->state, arr, time_us, err);
}

void leat_tick_run_done(struct leat_tick_run *run)
{
        for (uint32_t i = 0; i < run->snapshot_count; i++)
                leat_state_snapshot_unref(run->snapshots[i]);
        run->snapshot_count = run->section_count = run->expire_count = run->memo_count = 0;
}

/* ---- opening ------------------------------------------------------------------------------ */
static int top_prepare(struct leat_stream_job *job, struct leat_error *err)
{
        const struct leat_stream_graph *graph = job->graph;
        struct leat_buf sql = LEAT_BUF_INIT;
        char prefix[24];
        if (graph->mode == LEAT_OUT_AGG || graph->mode == LEAT_OUT_CLOSED)
                return 0;
        snprintf(prefix, sizeof prefix, "%u.", job->slot_base);
        leat_buf_add_str(&sql, "SELECT ");
        for (uint32_t i = 0; i < graph->output.column_count; i++)
                leat_buf_printf(&sql, "%sc%u", i > 0 ? ", " : "", i);
        if (graph->mode == LEAT_OUT_ROWS)
                leat_buf_add_str(&sql, ", CAST(sum(w) AS BIGINT) AS w");
        leat_buf_add_str(&sql, " FROM ");
        leat_node_sql(graph, graph->top_node, prefix, &sql);
        if (graph->mode == LEAT_OUT_ROWS)
                leat_buf_add_str(&sql, " GROUP BY ALL HAVING sum(w) <> 0");
        int rc = leat_plan_prepare(job->rt->conn, leat_buf_cstr(&sql), &job->top_plan, err);
        leat_buf_done(&sql);
        return rc;
}

static void out_slot_set(struct leat_stream_job *job)
{
        struct leat_slot *out = job->rt->slots[job->slot_base + job->out_slot];
        out->column_count = job->graph->arrs[0].column_count;
        out->types = (struct leat_type *)(uintptr_t)job->graph->arrs[0].types;
        out->weighted = true;
}

static void slots_set(struct leat_stream_job *job)
{
        const struct leat_stream_graph *graph = job->graph;
        for (uint32_t i = 0; i < graph->node_count; i++) {
                struct leat_slot *slot = job->rt->slots[job->slot_base + i];
                slot->column_count = graph->nodes[i].column_count;
                slot->types = graph->nodes[i].types;
                slot->weighted = !graph->nodes[i].append_only;
        }
        out_slot_set(job);
}

static struct leat_stream_job *job_new(struct leat_runtime *rt, struct leat_arena *arena,
                                       struct leat_stream_graph *graph, uint64_t view_id, const char *name)
{
        struct leat_stream_job *job = leat_arena_zalloc(arena, sizeof *job);
        job->view_id = view_id;
        job->name = leat_arena_strdup(arena, name);
        job->arena = arena;
        job->graph = graph;
        job->rt = rt;
        job->watermark_us = job->next_watermark_us = INT64_MIN;
        job->first_tick = true;
        job->aggs = leat_arena_zalloc(arena, graph->node_count * sizeof *job->aggs);
        job->lookups = leat_arena_zalloc(arena, graph->node_count * sizeof *job->lookups);
        job->paths = leat_arena_zalloc(arena, graph->node_count * sizeof *job->paths);
        job->lookup_plans = leat_arena_zalloc(arena, graph->node_count * sizeof(*job->lookup_plans));
        return job;
}

struct leat_stream_job *leat_stream_job_mirror(struct leat_runtime *rt, struct leat_arena *arena,
                                               struct leat_stream_graph *graph, uint64_t view_id, const char *name)
{
        struct leat_stream_job *job = job_new(rt, arena, graph, view_id, name);
        job->slot_count = 1;
        job->slot_base = leat_runtime_slots(rt, job->slot_count);
        out_slot_set(job);
        return job;
}

int leat_stream_job_open(struct leat_runtime *rt, struct leat_arena *arena, struct leat_stream_graph *graph,
                         uint64_t view_id, const char *name, struct leat_stream_job **ret_job, struct leat_error *err)
{
        struct leat_stream_job *job = job_new(rt, arena, graph, view_id, name);
        uint32_t next = graph->node_count + 1;
        job->out_slot = graph->node_count;
        job->slot_count = next;
        for (uint32_t i = 0; i < graph->node_count; i++)
                job->slot_count += graph->nodes[i].agg != NULL ? graph->nodes[i].agg->distinct_count : 0;
        job->slot_base = leat_runtime_slots(rt, job->slot_count);
        slots_set(job);
        leat_rows_prepare(job);
        int rc = 0;
        for (uint32_t i = 0; i < graph->node_count && rc == 0; i++) {
                if (graph->nodes[i].op == LEAT_OP_AGG) {
                        rc = leat_agg_prepare(job, i, next, err);
                        next += graph->nodes[i].agg->distinct_count;
                } else if (graph->nodes[i].op == LEAT_OP_LOOKUP) {
                        rc = leat_lookup_prepare(job, i, err);
                }
        }
        if (rc == 0)
                rc = top_prepare(job, err);
        if (rc != 0) {
                leat_stream_job_close(job);
                return rc;
        }
        *ret_job = job;
        return 0;
}

void leat_stream_job_close(struct leat_stream_job *job)
{
        if (job == NULL)
                return;
        for (uint32_t i = 0; i < job->graph->node_count; i++) {
                if (job->graph->nodes[i].op == LEAT_OP_AGG)
                        leat_agg_plans_done(job, i);
                leat_plan_free(job->lookup_plans[i]);
        }
        leat_plan_free(job->top_plan);
        leat_plan_free(job->out_plan);
        leat_delta_done(&job->out);
        leat_runtime_slots_free(job->rt, job->slot_base, job->slot_count);
        leat_arena_free(job->arena);
}

struct leat_slot *leat_stream_job_source(struct leat_stream_job *job, uint32_t node)
{
        return job->rt->slots[job->slot_base + node];
}

int leat_stream_job_define(struct leat_stream_job *job, struct leat_state *state, struct leat_error *err)
{
        for (uint32_t i = 0; i < job->graph->arr_count; i++) {
                struct leat_arr_def def = leat_stream_arr_def(job->graph, i);
                LEAT_TRY(leat_state_define(state, &def, err));
        }
        return 0;
}

/* ---- time ------------------------------------------------------------------------------------- */
static int64_t floor_to(int64_t value, int64_t step)
{
        int64_t rest = value % step;
        return value - (rest < 0 ? rest + step : rest);
}

int64_t leat_stream_job_horizon(const struct leat_stream_job *job, uint32_t arr, int64_t watermark_us)
{
        const struct leat_stream_graph *graph = job->graph;
        const struct leat_arr_def *def = &graph->arrs[arr];
        if (graph->retention_us <= 0 || def->time_column < 0 || watermark_us == INT64_MIN)
                return INT64_MIN;
        if (graph->mode == LEAT_OUT_CLOSED && graph->late != LEAT_STREAM_LATE_REEMIT && arr != 0)
                return INT64_MIN; /* open windows only */
        return floor_to(watermark_us - graph->retention_us, def->bucket_us);
}

/* The greatest value of the window column whose window is over at @watermark_us. */
static int64_t closed_value(const struct leat_stream_graph *graph, const struct leat_agg *agg, int64_t watermark_us)
{
        return watermark_us - graph->grace_us - (agg->start_group >= 0 ? agg->window.size_us : 0);
}

/* ---- the view's rows ----------------------------------------------------------------------------------- */
static int top_run(struct leat_stream_job *job, struct leat_tick_run *run, struct leat_batch **ret_rows,
                   struct leat_error *err)
{
        if (job->top_rows == NULL)
                return leat_runtime_run(job->top_plan, run->arena, ret_rows, err);
        *ret_rows = job->top_rows;
        return 0;
}

static int append_rows(struct leat_stream_job *job, struct leat_tick_run *run, struct leat_error *err)
{
        const struct leat_arr_def *def = &job->graph->arrs[0];
        struct leat_batch *rows, *out = leat_arena_zalloc(run->arena, sizeof *out);
        LEAT_TRY(top_run(job, run, &rows, err));
        int64_t horizon = leat_stream_job_horizon(job, 0, job->watermark_us);
        const struct leat_column *time = &rows->columns[def->time_column - 1];
        uint32_t *keep = leat_arena_alloc(run->arena, (rows->rows + 1) * sizeof *keep), count = 0;
        for (uint32_t i = 0; i < rows->rows; i++)
                if (leat_column_valid(time, i) && ((const int64_t *)time->data)[i] >= horizon)
                        keep[count++] = i;
        job->late_rows += rows->rows - count;
        if (count < rows->rows)
                rows = leat_batch_gather(run->arena, rows, keep, count);
        if (rows->rows >= 1u << SEQUENCE_BITS)
                return leat_error_set(err, LEAT_ETOOBIG, "view %s: more than %u rows in one tick", job->name,
                                      1u << SEQUENCE_BITS);
        int64_t *sequence = leat_arena_alloc(run->arena, (rows->rows + 1) * sizeof *sequence);
        for (uint32_t i = 0; i < rows->rows; i++)
                sequence[i] = (int64_t)((uint64_t)run->tick << SEQUENCE_BITS | i);
        out->rows = rows->rows;
        out->column_count = def->column_count;
        out->columns = leat_arena_zalloc(run->arena, def->column_count * sizeof *out->columns);
        out->columns[0] = (struct leat_column){.type = leat_type_of(LEAT_T_BIGINT), .data = sequence};
        memcpy(out->columns + 1, rows->columns, rows->column_count * sizeof *out->columns);
        leat_delta_add(&job->out, out, NULL);
        return leat_tick_run_apply(run, job->graph->first_arr_id, out, NULL, err);
}

/* Aggregates take each row by the sign of its weight: a row that came twice must be there twice. */
static void units_add(struct leat_delta *out, struct leat_arena *arena, struct leat_batch *rows, int64_t *weights)
{
        uint64_t total = 0;
        for (uint32_t i = 0; i < rows->rows; i++)
                total += (uint64_t)(weights[i] < 0 ? -weights[i] : weights[i]);
        if (total == rows->rows) {
                leat_delta_add(out, rows, weights);
                return;
        }
        uint32_t *from = leat_arena_alloc(arena, (total + 1) * sizeof *from), count = 0;
        int64_t *units = leat_arena_alloc(arena, (total + 1) * sizeof *units);
        for (uint32_t i = 0; i < rows->rows; i++) {
                for (int64_t n = weights[i] < 0 ? -weights[i] : weights[i]; n > 0; n--) {
                        units[count] = weights[i] < 0 ? -1 : 1;
                        from[count++] = i;
                }
        }
        leat_delta_add(out, leat_batch_gather(arena, rows, from, count), units);
}

static int weighted_rows(struct leat_stream_job *job, struct leat_tick_run *run, struct leat_error *err)
{
        struct leat_batch *rows;
        LEAT_TRY(top_run(job, run, &rows, err));
        rows->column_count--;
        int64_t *weights = rows->columns[rows->column_count].data;
        units_add(&job->out, run->arena, rows, weights);
        return leat_tick_run_apply(run, job->graph->first_arr_id, rows, weights, err);
}

/* ---- windows that close -------------------------------------------------------------------------------------- */
struct closing {
        struct leat_arena *arena;
        struct leat_batch *rows;
        uint32_t cap;
};

static void closing_add(struct closing *to, const struct leat_batch *chunk, const uint32_t *rows, uint32_t count)
{
        struct leat_batch *some = leat_batch_gather(to->arena, chunk, rows, count);
        if (to->rows->rows + count > to->cap) {
                struct leat_type *types = leat_arena_alloc(to->arena, chunk->column_count * sizeof *types);
                for (uint32_t i = 0; i < chunk->column_count; i++)
                        types[i] = chunk->columns[i].type;
                to->cap = 2 * (to->rows->rows + count);
                struct leat_batch *more = leat_batch_new(to->arena, types, chunk->column_count, to->cap);
                more->rows = 0;
                leat_batch_append(NULL, more, to->rows, 0, to->rows->rows);
                to->rows = more;
        }
        leat_batch_append(to->arena, to->rows, some, 0, count);
}

/* Rows of the aggregate whose window column is in (@after, @upto]. */
static int closed_scan(struct leat_stream_job *job, struct leat_tick_run *run, int64_t after, int64_t upto,
                       struct leat_batch **ret_rows, struct leat_error *err)
{
        const struct leat_node *node = &job->graph->nodes[job->graph->agg_node];
        const struct leat_agg *agg = node->agg;
        uint32_t group = (uint32_t)(agg->start_group >= 0 ? agg->start_group : agg->end_group);
        struct closing closing = {.arena = run->arena,
                                  .rows = leat_batch_new(run->arena, node->types, node->column_count, 64),
                                  .cap = 64};
        struct leat_scan *scan;
        const struct leat_batch *chunk;
        const int64_t *ignored;
        int rc;
        closing.rows->rows = 0;
        LEAT_TRY(leat_scan_open(leat_tick_run_snapshot(run), job->graph->first_arr_id + agg->arr, NULL, 0, &scan, err));
        while ((rc = leat_scan_next(scan, &chunk, &ignored, err)) == 0 && chunk != NULL) {
                uint32_t *rows = leat_arena_alloc(run->arena, (chunk->rows + 1) * sizeof *rows), count = 0;
                const int64_t *time = chunk->columns[group].data;
                for (uint32_t i = 0; i < chunk->rows; i++)
                        if (leat_column_valid(&chunk->columns[group], i) && time[i] > after && time[i] <= upto)
                                rows[count++] = i;
                if (count > 0)
                        closing_add(&closing, chunk, rows, count);
        }
        leat_scan_close(scan);
        if (rc == 0)
                *ret_rows = closing.rows;
        return rc;
}

static int64_t expire_value(const struct leat_agg *agg, int64_t closed)
{
        const struct leat_time_prop *w = &agg->window;
        int64_t shift = w->offset_us + (agg->start_group >= 0 ? 0 : w->size_us), rest = shift % w->slide_us;
        return closed + w->slide_us - (rest < 0 ? rest + w->slide_us : rest);
}

static int closed_rows(struct leat_stream_job *job, struct leat_tick_run *run, struct leat_error *err)
{
        const struct leat_stream_graph *graph = job->graph;
        const struct leat_agg *agg = graph->nodes[graph->agg_node].agg;
        bool again = graph->late == LEAT_STREAM_LATE_REEMIT;
        struct leat_batch *rows;
        if (job->next_watermark_us == INT64_MIN)
                return 0;
        int64_t upto = closed_value(graph, agg, job->next_watermark_us), after = INT64_MIN;
        if (job->watermark_us != INT64_MIN)
                after = closed_value(graph, agg, job->watermark_us);
        if (again && after != INT64_MIN) { /* windows that had closed and got another row */
                const struct leat_delta *delta = &job->rt->slots[job->slot_base + graph->agg_node]->delta;
                uint32_t group = (uint32_t)(agg->start_group >= 0 ? agg->start_group : agg->end_group);
                for (uint32_t b = 0; b < delta->count; b++) {
                        const struct leat_batch *batch = delta->batches[b];
                        uint32_t *keep = leat_arena_alloc(run->arena, (batch->rows + 1) * sizeof *keep), count = 0;
                        for (uint32_t i = 0; i < batch->rows; i++)
                                if (((const int64_t *)batch->columns[group].data)[i] <= after)
                                        keep[count++] = i;
                        struct leat_batch *late = leat_batch_gather(run->arena, batch, keep, count);
                        int64_t *weights = leat_arena_alloc(run->arena, (count + 1) * sizeof *weights);
                        for (uint32_t i = 0; i < count; i++)
                                weights[i] = delta->weights[b][i];
                        leat_delta_add(&job->out, late, weights);
                        if (count > 0 && weights[0] > 0)
                                LEAT_TRY(leat_tick_run_apply(run, graph->first_arr_id, late, weights, err));
                }
        }
        if (after != INT64_MIN &&
            floor_to(upto - agg->window.offset_us, agg->window.slide_us) ==
                    floor_to(after - agg->window.offset_us, agg->window.slide_us) &&
            agg->start_group >= 0)
                return 0; /* no window ends in between */
        LEAT_TRY(closed_scan(job, run, again ? after : INT64_MIN, upto, &rows, err));
        leat_delta_add(&job->out, rows, NULL);
        LEAT_TRY(leat_tick_run_apply(run, graph->first_arr_id, rows, NULL, err));
        for (uint32_t i = 1; i < graph->arr_count && !again; i++)
                if (graph->arrs[i].time_column >= 0 && graph->arrs[i].bucket_us == agg->window.slide_us)
                        LEAT_TRY(leat_tick_run_expire(run, graph->first_arr_id + i, expire_value(agg, upto), err));
        return 0;
}

/* What retention takes away: whole buckets, when the watermark has passed another one. */
static int expire_rows(struct leat_stream_job *job, struct leat_tick_run *run, struct leat_error *err)
{
        for (uint32_t i = 0; i < job->graph->arr_count; i++) {
                int64_t before = leat_stream_job_horizon(job, i, job->watermark_us);
                int64_t after = leat_stream_job_horizon(job, i, job->next_watermark_us);
                if (after != INT64_MIN && after != before)
                        LEAT_TRY(leat_tick_run_expire(run, job->graph->first_arr_id + i, after, err));
        }
        return 0;
}

/* ---- one tick ---------------------------------------------------------------------------------------------------- */
static int out_run(struct leat_stream_job *job, struct leat_tick_run *run, struct leat_error *err)
{
        const struct leat_delta *delta = &job->rt->slots[job->slot_base + job->graph->agg_node]->delta;
        switch (job->graph->mode) {
        case LEAT_OUT_AGG:
                for (uint32_t i = 0; i < delta->count; i++)
                        leat_delta_add(&job->out, delta->batches[i], delta->weights[i]);
                return 0;
        case LEAT_OUT_CLOSED:
                return closed_rows(job, run, err);
        case LEAT_OUT_APPEND:
                return append_rows(job, run, err);
        default:
                return weighted_rows(job, run, err);
        }
}

int leat_stream_job_run(struct leat_stream_job *job, struct leat_tick_run *run, struct leat_error *err)
{
        const struct leat_stream_graph *graph = job->graph;
        bool moved = job->first_tick;
        uint64_t before = job->out.rows;
        job->late_rows = job->rows_in = job->rows_out = 0;
        job->out_rows = NULL;
        for (uint32_t i = 0; i < graph->node_count; i++)
                if (graph->nodes[i].op == LEAT_OP_SOURCE)
                        job->rows_in += (int64_t)job->rt->slots[job->slot_base + i]->delta.rows;
        moved |= job->rows_in > 0;
        if (moved)
                LEAT_TRY(leat_rows_compute(job, run, err));
        else
                leat_rows_forget(job);
        for (uint32_t i = 0; i < graph->node_count && moved; i++) {
                if (graph->nodes[i].op == LEAT_OP_AGG)
                        LEAT_TRY(leat_agg_run(job, i, run, err));
                else if (graph->nodes[i].op == LEAT_OP_LOOKUP && !leat_rows_only(job->reads[i]))
                        LEAT_TRY(leat_lookup_run(job, i, run, err));
        }
        if (moved || graph->mode == LEAT_OUT_CLOSED)
                LEAT_TRY(out_run(job, run, err));
        LEAT_TRY(expire_rows(job, run, err));
        job->rows_out = (int64_t)(job->out.rows - before);
        job->watermark_us = job->next_watermark_us;
        job->first_tick = false;
        return 0;
}

int leat_stream_job_out(struct leat_stream_job *job, struct leat_tick_run *run, struct leat_batch **ret_rows,
                        struct leat_error *err)
{
        struct leat_slot *slot = job->rt->slots[job->slot_base + job->out_slot];
        if (job->out_plan == NULL) {
                struct leat_buf sql = LEAT_BUF_INIT;
                char source[48];
                snprintf(source, sizeof source, "leat_scan('%u.%u')", job->slot_base, job->out_slot);
                leat_view_delta_sql(job->graph, source, &sql);
                int rc = leat_plan_prepare(job->rt->conn, leat_buf_cstr(&sql), &job->out_plan, err);
                leat_buf_done(&sql);
                LEAT_TRY(rc);
        }
        if (job->out_rows == NULL) {
                leat_delta_clear(&slot->delta);
                for (uint32_t i = 0; i < job->out.count; i++)
                        leat_delta_add(&slot->delta, job->out.batches[i], job->out.weights[i]);
                LEAT_TRY(leat_runtime_run(job->out_plan, run->arena, &job->out_rows, err));
        }
        *ret_rows = job->out_rows;
        return 0;
}
