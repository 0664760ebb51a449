/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/stream: the first half of a job's step. All statements that read rows of
 * sources run before anything is applied to the state, those of every aggregate,
 * DISTINCT and lookup, and what they give is kept for the second half. So a row
 * that an expression cannot take is found while nothing is changed yet, in
 * whichever branch of the query that expression stands: it can be left out and the
 * step made again (stream_bad.c).
 *
 *   ROWS     reads sources only, through SELECT, UNION and LOOKUP: runs once
 *   MIXED    reads aggregates too (a UNION of both): runs here over the sources'
 *            rows alone, and again over everything in the second half
 *   RESULTS  reads aggregates only: what fails there is no record
 */
#include "stream_run.h"

enum { READS_ROWS = 1, READS_RESULTS = 2 };

static uint8_t reads(const struct leat_stream_graph *graph, uint32_t number)
{
        const struct leat_node *node = &graph->nodes[number];
        uint8_t all = 0;
        if (node->op == LEAT_OP_SOURCE)
                return READS_ROWS;
        if (node->op == LEAT_OP_AGG)
                return READS_RESULTS;
        for (uint32_t i = 0; i < node->input_count; i++)
                all |= reads(graph, node->inputs[i]);
        return all;
}

void leat_rows_prepare(struct leat_stream_job *job)
{
        const struct leat_stream_graph *graph = job->graph;
        job->reads = leat_arena_zalloc(job->arena, graph->node_count + 1);
        for (uint32_t i = 0; i < graph->node_count; i++)
                if (graph->nodes[i].op == LEAT_OP_AGG || graph->nodes[i].op == LEAT_OP_LOOKUP)
                        job->reads[i] = reads(graph, graph->nodes[i].inputs[0]);
        job->top_reads = reads(graph, graph->top_node);
}

bool leat_rows_only(uint8_t reads)
{
        return reads == READS_ROWS;
}

void leat_rows_forget(struct leat_stream_job *job)
{
        const struct leat_stream_graph *graph = job->graph;
        for (uint32_t i = 0; i < graph->node_count; i++) {
                if (graph->nodes[i].op != LEAT_OP_SOURCE)
                        leat_delta_clear(&job->rt->slots[job->slot_base + i]->delta);
                job->aggs[i].ready = false;
        }
        job->top_rows = NULL;
}

int leat_rows_compute(struct leat_stream_job *job, struct leat_tick_run *run, struct leat_error *err)
{
        const struct leat_stream_graph *graph = job->graph;
        leat_rows_forget(job);
        for (uint32_t i = 0; i < graph->node_count; i++) {
                if ((job->reads[i] & READS_ROWS) == 0)
                        continue;
                if (graph->nodes[i].op == LEAT_OP_LOOKUP) /* in full: the statements above read what it finds */
                        LEAT_TRY(leat_lookup_run(job, i, run, err));
                else
                        LEAT_TRY(leat_agg_rows(job, i, run, err));
                job->aggs[i].ready = leat_rows_only(job->reads[i]);
        }
        if (job->top_plan == NULL || (job->top_reads & READS_ROWS) == 0)
                return 0;
        struct leat_batch *rows;
        LEAT_TRY(leat_runtime_run(job->top_plan, run->arena, &rows, err));
        if (leat_rows_only(job->top_reads))
                job->top_rows = rows;
        return 0;
}

int leat_stream_job_probe(struct leat_stream_job *job, struct leat_tick_run *run, struct leat_error *err)
{
        int rc = leat_rows_compute(job, run, err);
        leat_rows_forget(job);
        return rc;
}
