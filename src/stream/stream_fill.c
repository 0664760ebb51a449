/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/stream: a job that fills. It reads its topics in a lane of its own, up to
 * the main lane's positions; when it stands there, the rows that views and keyed
 * topics hold come at once, and it joins.
 */
#include <inttypes.h>
#include <stdio.h>

#include "stream_worker.h"

#define FILL_RECORDS_MIN 50000
#define FILL_PIECE_BYTES (1u << 20) /* of one partition at once: so much is read ahead of the others */

/* ---- the lane ----------------------------------------------------------------------------------------- */
/* Where a new job begins in @topic's partitions. */
static int starts_find(struct leat_worker *w, struct leat_work *work, struct leat_input *main, struct leat_buf *out,
                       struct leat_error *err)
{
        int64_t *offsets = leat_calloc((size_t)main->part_count + 1, sizeof *offsets);
        int rc = 0;
        if (work->start != LEAT_START_LATEST)
                rc = leat_feed_offsets(w->feed, main->topic.name,
                                       work->start == LEAT_START_TIME ? work->start_us / 1000 : LEAT_FEED_EARLIEST,
                                       offsets, main->part_count, err);
        for (int32_t p = 0; p < main->part_count && rc == 0; p++) {
                struct leat_tick_position at = {
                        .topic = main->topic.id, .partition = p, .leader_epoch = -1, .offset = main->parts[p].position};
                if (work->start != LEAT_START_LATEST)
                        at.offset = LEAT_MIN(at.offset, offsets[p]);
                leat_buf_add(out, &at, sizeof at);
        }
        free(offsets);
        return rc;
}

/* Opens the job's own lane at its parked positions, or at its start. */
int leat_work_lane_open(struct leat_worker *w, struct leat_work *work, const struct leat_snapshot *objects,
                        struct leat_error *err)
{
        const struct leat_stream_graph *graph = work->job->graph;
        struct leat_buf starts = LEAT_BUF_INIT;
        int rc = 0;
        for (uint32_t i = 0; i < graph->node_count && rc == 0 && work->parked == NULL; i++) {
                struct leat_input *main = leat_lane_find(&w->main, graph->nodes[i].object_id);
                if (graph->nodes[i].op == LEAT_OP_SOURCE && graph->nodes[i].kind == LEAT_STREAM_TOPIC && main != NULL)
                        rc = starts_find(w, work, main, &starts, err);
        }
        if (work->parked == NULL && rc == 0) {
                uint32_t count = (uint32_t)(starts.len / sizeof(struct leat_tick_position));
                leat_positions_keep(&work->parked, &work->parked_count,
                                    (const struct leat_tick_position *)(const void *)starts.data, count);
                leat_positions_keep(&work->starts, &work->start_count, work->parked, count);
        }
        leat_buf_done(&starts);
        LEAT_TRY(rc);
        work->lane = leat_calloc(1, sizeof *work->lane);
        LEAT_TRY(leat_lane_open(w, work->lane, err));
        leat_feed_reader_catch_up(work->lane->reader, FILL_PIECE_BYTES);
        for (uint32_t i = 0; i < graph->node_count; i++) {
                const struct leat_node *node = &graph->nodes[i];
                struct leat_input *input;
                if (node->op != LEAT_OP_SOURCE || node->kind != LEAT_STREAM_TOPIC ||
                    leat_lane_find(work->lane, node->object_id) != NULL)
                        continue;
                LEAT_TRY(leat_lane_add(w, work->lane, leat_snapshot_get(objects, node->object_id), work->parked,
                                       work->parked_count, &input, err));
                input->watermark_us = work->job->watermark_us;
        }
        work->state = LEAT_WORK_FILLING;
        return leat_lane_rebuild(w, work->lane, err);
}

/* ---- joining: what views and keyed topics hold, as rows that come ------------------------------------- */
#define JOIN_ROWS 200000

static int join_chunk(struct leat_worker *w, struct leat_work *work, uint32_t node, struct leat_work *view,
                      struct leat_delta *held, struct leat_error *err)
{
        struct leat_slot *slot = leat_stream_job_source(work->job, node);
        struct leat_batch *rows = NULL;
        leat_delta_clear(&slot->delta);
        if (view == NULL) {
                for (uint32_t b = 0; b < held->count; b++)
                        leat_delta_add(&slot->delta, held->batches[b], held->weights[b]);
        } else {
                struct leat_delta now = view->job->out;
                struct leat_batch *had = view->job->out_rows;
                view->job->out = *held;
                view->job->out_rows = NULL;
                int rc = leat_stream_job_out(view->job, &w->run, &rows, err);
                view->job->out = now;
                view->job->out_rows = had;
                LEAT_TRY(rc);
                leat_delta_add(&slot->delta, rows, rows->columns[rows->column_count - 1].data);
        }
        struct leat_error own = {0};
        int rc = leat_work_step(w, work, work->lane != NULL ? work->lane : &w->main, &own);
        if (rc != 0) {
                leat_stream_job_blame(work->job, &own);
                if (err != NULL)
                        *err = own;
                return rc;
        }
        leat_delta_clear(&slot->delta);
        return 0;
}

static int join_source(struct leat_worker *w, struct leat_work *work, uint32_t number, struct leat_error *err)
{
        const struct leat_node *node = &work->job->graph->nodes[number];
        struct leat_work *view = node->kind == LEAT_STREAM_VIEW ? leat_work_find(w, node->object_id) : NULL;
        struct leat_input *keyed = node->kind == LEAT_STREAM_KEYED ? leat_lane_find(&w->main, node->object_id) : NULL;
        struct leat_delta held = {0};
        struct leat_scan *scan;
        const struct leat_batch *chunk;
        const int64_t *weights;
        if (view == NULL && keyed == NULL)
                return 0;
        bool missed = work->missed_count > 0; /* it had run: what came since, else all that is there */
        uint64_t arr = missed         ? leat_work_missed_arr(work, node->object_id)
                       : view != NULL ? view->job->graph->first_arr_id
                                      : keyed->arr_id;
        LEAT_TRY(leat_scan_open(leat_tick_run_snapshot(&w->run), arr, NULL, 0, &scan, err));
        int rc;
        while ((rc = leat_scan_next(scan, &chunk, &weights, err)) == 0 && chunk != NULL) {
                bool counted = missed || (view != NULL && view->job->graph->output.weighted);
                leat_delta_add(&held, leat_batch_copy(w->arena, chunk),
                               counted ? leat_arena_copy(w->arena, weights, chunk->rows * sizeof *weights) : NULL);
                if (held.rows < JOIN_ROWS)
                        continue;
                if ((rc = join_chunk(w, work, number, view, &held, err)) != 0)
                        break;
                leat_delta_clear(&held);
        }
        if (rc == 0 && held.rows > 0)
                rc = join_chunk(w, work, number, view, &held, err);
        leat_scan_close(scan);
        leat_delta_done(&held);
        return rc;
}

/* What the job reads besides topics: everything must be there. */
static bool sources_ready(struct leat_worker *w, const struct leat_work *work)
{
        const struct leat_stream_graph *graph = work->job->graph;
        for (uint32_t i = 0; i < graph->node_count; i++) {
                const struct leat_node *node = &graph->nodes[i];
                if (node->op != LEAT_OP_SOURCE && node->op != LEAT_OP_LOOKUP)
                        continue;
                if (node->kind == LEAT_STREAM_KEYED) {
                        const struct leat_input *input = leat_lane_find(&w->main, node->object_id);
                        if (input == NULL || !input->ready)
                                return false;
                } else if (node->kind == LEAT_STREAM_VIEW) {
                        const struct leat_work *view = leat_work_find(w, node->object_id);
                        if (view == NULL || view->state != LEAT_WORK_RUNNING || !view->begun)
                                return false;
                }
        }
        return true;
}

/* The main lane takes over: its partitions know at least what the job's lane knows about time. */
static int join_main(struct leat_worker *w, struct leat_work *work, struct leat_error *err)
{
        for (uint32_t i = 0; work->lane != NULL && i < work->lane->input_count; i++) {
                const struct leat_input *from = work->lane->inputs[i];
                struct leat_input *to = leat_lane_find(&w->main, from->object_id);
                for (int32_t p = 0; to != NULL && p < from->part_count && p < to->part_count; p++) {
                        to->parts[p].max_event_us = LEAT_MAX(to->parts[p].max_event_us, from->parts[p].max_event_us);
                        to->parts[p].append_us = LEAT_MAX(to->parts[p].append_us, from->parts[p].append_us);
                }
                if (to != NULL) {
                        to->newest_event_us = LEAT_MAX(to->newest_event_us, from->newest_event_us);
                        to->newest_append_us = LEAT_MAX(to->newest_append_us, from->newest_append_us);
                }
        }
        work->state = LEAT_WORK_RUNNING;
        work->reason[0] = 0;
        w->dirty = true;
        leat_diag(LEAT_DIAG_INFO, "stream", "job runs", "view=%s", work->name);
        return leat_work_tell(w, work, NULL, err);
}

static int progress_tell(struct leat_worker *w, struct leat_work *work, struct leat_error *err)
{
        char text[128];
        int64_t left = 0, total;
        if (leat_os_monotonic_us() - work->told_us < 1000000)
                return 0;
        for (uint32_t i = 0; i < work->lane->input_count; i++) {
                const struct leat_input *input = work->lane->inputs[i],
                                        *main = leat_lane_find(&w->main, input->object_id);
                for (int32_t p = 0; main != NULL && p < input->part_count && p < main->part_count; p++)
                        left += LEAT_MAX(0, main->parts[p].position - input->parts[p].position);
        }
        work->fill_total = LEAT_MAX(work->fill_total, left);
        total = LEAT_MAX(work->fill_total, 1);
        snprintf(text, sizeof text, "%d %% of %" PRId64 " records", (int)((total - left) * 100 / total), total);
        return leat_work_tell(w, work, text, err);
}

static bool reads_views(const struct leat_work *work)
{
        const struct leat_stream_graph *graph = work->job->graph;
        for (uint32_t i = 0; i < graph->node_count; i++)
                if (graph->nodes[i].op == LEAT_OP_SOURCE && graph->nodes[i].kind == LEAT_STREAM_VIEW)
                        return true;
        return false;
}

int leat_work_fill(struct leat_worker *w, struct leat_work *work, struct leat_error *err)
{
        struct leat_input *failed;
        if (!sources_ready(w, work))
                return 0;
        if (work->lane->input_count > 0) {
                int64_t now = leat_os_monotonic_us();
                bool busy = w->main.records > FILL_RECORDS_MIN / 10;
                uint64_t records = (uint64_t)leat_param(LEAT_P_WORKER_TICK_RECORDS);
                if (busy) /* more than the main lane takes, or it would never be reached */
                        records = LEAT_MIN(records, LEAT_MAX(2 * w->main.records, FILL_RECORDS_MIN));
                int rc = leat_lane_fill(w, work->lane, &w->main, now + 20000, records,
                                        (size_t)leat_param(LEAT_P_WORKER_TICK_BYTES), &failed, err);
                if (failed != NULL) {
                        leat_work_pause(w, work, LEAT_WORK_FAILED,
                                        err != NULL ? err->message : "its input cannot be read");
                        return 0;
                }
                LEAT_TRY(rc);
                for (uint32_t i = 0; i < work->lane->input_count; i++)
                        leat_input_time(work->lane->inputs[i], w->time_us, now);
                LEAT_TRY(leat_worker_quarantine(w, work->lane, err));
        }
        bool reached = leat_lane_reached(work->lane, &w->main);
        work->time_held = reads_views(work);
        if (work->lane->records > 0 || !work->begun || reached)
                LEAT_TRY(leat_work_run(w, work, work->lane, err));
        if (reached) {
                for (uint32_t i = 0; i < work->job->graph->node_count; i++) /* the lane's rows are in */
                        leat_delta_clear(&leat_stream_job_source(work->job, i)->delta);
                for (uint32_t i = 0; i < work->job->graph->node_count; i++)
                        if (work->job->graph->nodes[i].op == LEAT_OP_SOURCE &&
                            work->job->graph->nodes[i].kind != LEAT_STREAM_TOPIC)
                                LEAT_TRY(join_source(w, work, i, err));
                leat_work_missed_drop(w, work);
                if (work->time_held) {
                        work->time_held = false;
                        LEAT_TRY(leat_work_step(w, work, work->lane, err));
                }
                LEAT_TRY(join_main(w, work, err));
        } else {
                LEAT_TRY(progress_tell(w, work, err));
        }
        w->dirty = true;
        return 0;
}
