/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/stream: rows that an expression cannot take (a cast, an overflow, a date
 * that is none). DuckDB ends the whole batch and names no row: the batch is
 * halved until single rows are left that fail by themselves. These go to the
 * topic's quarantine with the reason, the rest goes on. Each half runs through all
 * linear operators, lookups with them, so a row that fails on what it found in a
 * keyed topic is found too.
 *
 * When the halves pass but the whole does not, it is an aggregate that overflows:
 * no row is to blame, and the job stops.
 */
#include <inttypes.h>

#include "stream_worker.h"

#define BAD_ROWS_MAX 1000 /* a tick */

struct search {
        struct leat_worker *w;
        struct leat_work *work;
        struct leat_stream_job *job;
        struct leat_input *input;
        struct leat_slot *slot;
        struct leat_tick_run run; /* of one probe, not the worker's tick */
        uint64_t *skip;
        uint32_t found;
};

static int halve(struct search *s, uint64_t from, uint64_t to, struct leat_error *err)
{
        struct leat_error own = {0};
        s->slot->ranged = true;
        s->slot->from = from;
        s->slot->to = to;
        leat_arena_reset(s->run.arena);
        int rc = leat_stream_job_probe(s->job, &s->run, &own);
        leat_tick_run_done(&s->run);
        if (rc == 0)
                return 0;
        if (rc != LEAT_EINVAL && rc != LEAT_ERANGE && rc != LEAT_ETYPE) {
                *err = own;
                return rc;
        }
        if (to - from > 1) {
                uint64_t middle = from + (to - from) / 2;
                LEAT_TRY(halve(s, from, middle, err));
                return halve(s, middle, to, err);
        }
        if (++s->found > BAD_ROWS_MAX)
                return leat_error_set(err, LEAT_ETOOBIG,
                                      "more than %d rows of one tick cannot be computed, the last: %s", BAD_ROWS_MAX,
                                      own.message);
        s->skip[from >> 6] |= 1ull << (from & 63);
        return leat_worker_quarantine_row(s->w, s->work, s->input, (uint32_t)from, own.message, err);
}

/* The slot with no rows at all, or with all of them. */
static struct leat_slot with_range(const struct leat_slot *slot, bool empty)
{
        struct leat_slot to = *slot;
        to.ranged = empty;
        to.from = to.to = 0;
        return to;
}

/* What is left out is a record: a query that reads the topic twice goes without it in both places. */
static uint64_t *skip_of(const struct leat_work *work, uint64_t **skips, uint32_t number, uint64_t rows,
                         struct leat_arena *arena)
{
        const struct leat_node *nodes = work->job->graph->nodes;
        for (uint32_t i = 0; i < number; i++)
                if (skips[i] != NULL && nodes[i].object_id == nodes[number].object_id)
                        return skips[i];
        return leat_arena_zalloc(arena, (rows / 64 + 1) * 8);
}

int leat_work_bad_rows(struct leat_worker *w, struct leat_work *work, struct leat_lane *lane, struct leat_error *io_err)
{
        const struct leat_stream_graph *graph = work->job->graph;
        struct leat_error first = *io_err;
        uint64_t **skips = leat_arena_zalloc(w->arena, (graph->node_count + 1) * sizeof(*skips));
        uint32_t found = 0;
        int rc = 0;
        if (first.code != LEAT_EINVAL && first.code != LEAT_ERANGE && first.code != LEAT_ETYPE)
                return first.code;
        for (uint32_t i = 0; i < graph->node_count; i++) /* one source at a time, the others empty */
                if (graph->nodes[i].op == LEAT_OP_SOURCE)
                        *leat_stream_job_source(work->job, i) = with_range(leat_stream_job_source(work->job, i), true);
        for (uint32_t i = 0; i < graph->node_count && rc == 0; i++) {
                const struct leat_node *node = &graph->nodes[i];
                struct leat_slot *slot = leat_stream_job_source(work->job, i);
                struct leat_input *input = leat_lane_find(lane, node->object_id);
                if (node->op != LEAT_OP_SOURCE || node->kind != LEAT_STREAM_TOPIC || input == NULL ||
                    slot->delta.rows == 0)
                        continue;
                struct search s = {.w = w,
                                   .work = work,
                                   .job = work->job,
                                   .input = input,
                                   .slot = slot,
                                   .run = {.arena = leat_arena_new(0), .state = w->state, .tick = w->run.tick}};
                s.skip = skips[i] = skip_of(work, skips, i, slot->delta.rows, w->arena);
                slot->skip = s.skip;
                rc = halve(&s, 0, slot->delta.rows, io_err);
                *slot = with_range(slot, true);
                found += s.found;
                free(s.run.snapshots);
                leat_arena_free(s.run.arena);
        }
        for (uint32_t i = 0; i < graph->node_count; i++)
                if (graph->nodes[i].op == LEAT_OP_SOURCE)
                        *leat_stream_job_source(work->job, i) = with_range(leat_stream_job_source(work->job, i), false);
        if (rc == 0 && found == 0) {
                *io_err = first;
                return first.code;
        }
        return rc;
}
