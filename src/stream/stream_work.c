/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/stream: one view as the worker runs it: its state in the catalog, which
 * columns it takes from its inputs, and its part of a tick.
 */
#include <stdio.h>

#include "stream_worker.h"

struct leat_work *leat_work_find(struct leat_worker *w, uint64_t view_id)
{
        for (uint32_t i = 0; i < w->work_count; i++)
                if (w->works[i]->view_id == view_id)
                        return w->works[i];
        struct leat_mirror *mirror = leat_mirror_find(w, view_id);
        return mirror != NULL ? &mirror->work : NULL;
}

const struct leat_tick_position *leat_position_find(const struct leat_tick_position *positions, uint32_t count,
                                                    const struct leat_topic_id *topic, int32_t partition)
{
        for (uint32_t i = 0; i < count; i++)
                if (positions[i].partition == partition && memcmp(&positions[i].topic, topic, sizeof *topic) == 0)
                        return &positions[i];
        return NULL;
}

static void lane_close(struct leat_work *work)
{
        if (work->lane == NULL)
                return;
        leat_lane_done(work->lane);
        free(work->lane);
        work->lane = NULL;
}

void leat_positions_keep(struct leat_tick_position **io_positions, uint32_t *io_count,
                         const struct leat_tick_position *from, uint32_t count)
{
        free(*io_positions);
        *io_positions = leat_calloc(count + 1, sizeof **io_positions);
        if (count > 0)
                memcpy(*io_positions, from, count * sizeof *from);
        *io_count = count;
}

static void maps_free(struct leat_work *work)
{
        for (uint32_t i = 0; work->maps != NULL && work->job != NULL && i < work->job->graph->node_count; i++)
                free(work->maps[i]);
        free(work->maps);
        work->maps = NULL;
}

void leat_work_free(struct leat_work *work)
{
        maps_free(work);
        lane_close(work);
        leat_stream_job_close(work->job);
        free(work->starts);
        free(work->parked);
        free(work->refused);
        free(work->missed);
        free(work->name);
        free(work);
}

/* ---- telling the catalog ------------------------------------------------------------------- */
int leat_work_tell(struct leat_worker *w, struct leat_work *work, const char *progress, struct leat_error *err)
{
        static const uint8_t states[] = {
                0, LEAT_JOB_FILLING, LEAT_JOB_FILLING, LEAT_JOB_RUNNING, LEAT_JOB_PAUSED, LEAT_JOB_FAILED};
        struct leat_job job = {.view_id = work->view_id,
                               .pipeline = w->options->pipeline,
                               .state = states[work->state],
                               .reason = work->reason,
                               .progress = progress != NULL ? progress : "",
                               .changed_us = leat_os_now_us()};
        work->told_us = leat_os_monotonic_us();
        return leat_catalog_job_set(w->catalog, &job, w->incarnation, err);
}

/* Positions of the work's topics as @lane has them. */
static void park(struct leat_work *work, struct leat_lane *lane)
{
        uint32_t count = 0;
        for (uint32_t i = 0; i < lane->input_count; i++)
                count += (uint32_t)lane->inputs[i]->part_count;
        free(work->parked);
        work->parked = leat_calloc(count + 1, sizeof *work->parked);
        work->parked_count = 0;
        for (uint32_t i = 0; i < lane->input_count; i++) {
                const struct leat_input *input = lane->inputs[i];
                for (int32_t p = 0; p < input->part_count && !input->keyed; p++)
                        work->parked[work->parked_count++] = leat_input_position(input, p);
        }
}

/* What happened to a topic in words of its users, and what to do; by Kafka's name, since an overflow in an expression
 * has the same code as an offset out of range. */
static const char *pause_remedy(const char *reason)
{
        if (strstr(reason, "(UNKNOWN_TOPIC") != NULL)
                return "; the topic was deleted by another client: DROP TOPIC ... CASCADE and create it again";
        if (strstr(reason, "(OFFSET_OUT_OF_RANGE)") != NULL)
                return "; records were deleted before the view read them: CREATE OR REPLACE the view to begin anew";
        return "";
}

void leat_work_pause(struct leat_worker *w, struct leat_work *work, uint8_t state, const char *reason)
{
        struct leat_error ignored, own = {0};
        if (work->state == LEAT_WORK_RUNNING || work->state == LEAT_WORK_FILLING)
                park(work, work->lane != NULL ? work->lane : &w->main);
        if (work->state == LEAT_WORK_RUNNING && leat_work_missed_open(w, work, &own) != 0)
                leat_diag_error("stream", "changes that a paused job misses cannot be kept", &own);
        lane_close(work);
        work->state = state;
        snprintf(work->reason, sizeof work->reason, "%s%s", reason, pause_remedy(reason));
        w->dirty = true;
        leat_diag(LEAT_DIAG_WARN, "stream", "job paused", "view=%s reason=\"%s\"", work->name, work->reason);
        (void)!leat_work_tell(w, work, NULL, &ignored);
}

/* ---- columns ------------------------------------------------------------------------------------ */
static uint32_t name_index(const char *const *names, uint32_t count, const char *name)
{
        for (uint32_t i = 0; i < count; i++)
                if (strcmp(names[i], name) == 0)
                        return i;
        return UINT32_MAX;
}

int leat_work_maps(struct leat_worker *w, struct leat_work *work, struct leat_error *err)
{
        const struct leat_stream_graph *graph = work->job->graph;
        struct leat_lane *lane = work->lane != NULL ? work->lane : &w->main;
        if (work->maps == NULL)
                work->maps = leat_calloc(graph->node_count + 1, sizeof(*work->maps));
        for (uint32_t i = 0; i < graph->node_count; i++) {
                const struct leat_node *node = &graph->nodes[i];
                const char *const *names = NULL;
                uint32_t count = 0;
                if (node->op != LEAT_OP_SOURCE)
                        continue;
                if (node->kind == LEAT_STREAM_VIEW) {
                        struct leat_work *view = leat_work_find(w, node->object_id);
                        if (view == NULL || view->job == NULL)
                                continue;
                        names = view->job->graph->output.names;
                        count = view->job->graph->output.column_count;
                } else {
                        struct leat_input *input =
                                leat_lane_find(node->kind == LEAT_STREAM_KEYED ? &w->main : lane, node->object_id);
                        if (input == NULL)
                                continue;
                        names = input->names;
                        count = input->name_count;
                }
                free(work->maps[i]);
                work->maps[i] = leat_calloc(node->name_count + 1, sizeof(uint32_t));
                for (uint32_t c = 0; c < node->name_count; c++) {
                        work->maps[i][c] = name_index(names, count, node->names[c]);
                        if (work->maps[i][c] == UINT32_MAX)
                                return leat_error_set(err, LEAT_ENOCOLUMN, "%s has no column %s any more",
                                                      node->relation, node->names[c]);
                }
                leat_stream_job_source(work->job, i)->map = work->maps[i];
        }
        return 0;
}

int leat_lane_rebuild(struct leat_worker *w, struct leat_lane *lane, struct leat_error *err)
{
        for (uint32_t i = 0; i < lane->input_count; i++)
                LEAT_TRY(leat_input_rebuild(w, lane, lane->inputs[i], err));
        for (uint32_t k = 0; k < w->work_count; k++)
                if (w->works[k]->job != NULL && (w->works[k]->lane != NULL ? w->works[k]->lane : &w->main) == lane)
                        LEAT_TRY(leat_work_maps(w, w->works[k], err));
        return 0;
}

/* ---- running -------------------------------------------------------------------------------------- */
static int64_t min_time(int64_t a, int64_t b, bool *io_any)
{
        int64_t least = *io_any ? LEAT_MIN(a, b) : b;
        *io_any = true;
        return least;
}

/* The watermark of what the job reads; INT64_MIN when nothing tells time. */
static int64_t work_watermark(struct leat_worker *w, struct leat_work *work, struct leat_lane *lane)
{
        const struct leat_stream_graph *graph = work->job->graph;
        int64_t least = INT64_MIN;
        bool any = false;
        for (uint32_t i = 0; i < graph->node_count; i++) {
                const struct leat_node *node = &graph->nodes[i];
                if (node->op != LEAT_OP_SOURCE)
                        continue;
                if (node->kind == LEAT_STREAM_TOPIC && node->time_name != NULL) {
                        const struct leat_input *input = leat_lane_find(lane, node->object_id);
                        least = min_time(least, input != NULL ? input->watermark_us : INT64_MIN, &any);
                } else if (node->kind == LEAT_STREAM_VIEW) {
                        const struct leat_work *view = leat_work_find(w, node->object_id);
                        if (view == NULL || view->job == NULL || view->job->watermark_us == INT64_MIN)
                                continue;
                        least = min_time(least, view->job->watermark_us - node->time_delay_us, &any);
                }
        }
        return least;
}

static int keyed_lookups(struct leat_worker *w, struct leat_work *work, struct leat_arena *arena)
{
        const struct leat_stream_graph *graph = work->job->graph;
        for (uint32_t i = 0; i < graph->node_count; i++) {
                if (graph->nodes[i].op != LEAT_OP_LOOKUP)
                        continue;
                struct leat_input *input = leat_lane_find(&w->main, graph->nodes[i].object_id);
                const char **names;
                struct leat_type *types;
                uint32_t count;
                if (input == NULL)
                        continue;
                leat_keyed_names(&input->def, arena, &names, &types, &count);
                work->job->lookups[i] =
                        (struct leat_lookup){.arr_id = input->arr_id, .column_count = count, .names = names};
        }
        return 0;
}

int leat_work_step(struct leat_worker *w, struct leat_work *work, struct leat_lane *lane, struct leat_error *err)
{
        struct leat_stream_job *job = work->job;
        int64_t begun = leat_os_monotonic_us(), late = work->late_rows, watermark = job->watermark_us;
        job->next_watermark_us =
                work->time_held ? job->watermark_us : LEAT_MAX(job->watermark_us, work_watermark(w, work, lane));
        keyed_lookups(w, work, w->arena);
        LEAT_TRY(leat_stream_job_run(job, &w->run, err));
        work->begun = true;
        work->late_rows = late + job->late_rows;
        LEAT_TRY(leat_work_late_keep(w, work, lane, watermark, err));
        work->rows_in += job->rows_in;
        work->rows_out += job->rows_out;
        work->watermark_us = job->watermark_us;
        leat_stat_add(work->stat_in, (uint64_t)job->rows_in);
        leat_stat_add(work->stat_out, (uint64_t)job->rows_out);
        leat_stat_add(work->stat_late, (uint64_t)job->late_rows);
        leat_stat_add(work->stat_time, (uint64_t)(leat_os_monotonic_us() - begun));
        if (job->watermark_us != INT64_MIN)
                leat_stat_set(work->stat_watermark, (uint64_t)(job->watermark_us / 1000000));
        return 0;
}

int leat_work_run(struct leat_worker *w, struct leat_work *work, struct leat_lane *lane, struct leat_error *err)
{
        const struct leat_stream_graph *graph = work->job->graph;
        bool fill = work->state != LEAT_WORK_RUNNING;
        for (uint32_t i = 0; i < graph->node_count; i++) {
                const struct leat_node *node = &graph->nodes[i];
                struct leat_slot *slot = leat_stream_job_source(work->job, i);
                if (node->op != LEAT_OP_SOURCE)
                        continue;
                leat_delta_clear(&slot->delta);
                if (node->kind == LEAT_STREAM_TOPIC) {
                        struct leat_input *input = leat_lane_find(lane, node->object_id);
                        if (input != NULL)
                                leat_delta_add(&slot->delta, input->rows.batch, NULL);
                } else if (fill) {
                        continue; /* what views and keyed topics have comes at once, when the job joins */
                } else if (node->kind == LEAT_STREAM_KEYED) {
                        struct leat_input *input = leat_lane_find(&w->main, node->object_id);
                        for (uint32_t b = 0; input != NULL && b < input->changes.count; b++)
                                leat_delta_add(&slot->delta, input->changes.batches[b], input->changes.weights[b]);
                } else {
                        struct leat_work *view = leat_work_find(w, node->object_id);
                        struct leat_batch *rows;
                        if (view == NULL || view->job == NULL || view->job->out.rows == 0)
                                continue;
                        int rc = leat_stream_job_out(view->job, &w->run, &rows, err);
                        if (rc != 0)
                                leat_error_prefix(err, "view %s cannot be read", view->name);
                        LEAT_TRY(rc);
                        leat_delta_add(&slot->delta, rows, rows->columns[rows->column_count - 1].data);
                }
        }
        uint32_t sections = w->run.section_count;
        struct leat_error own = {0};
        int rc = leat_work_step(w, work, lane, &own);
        if (rc != 0 && w->run.section_count != sections)
                leat_stream_job_blame(work->job, &own);
        else if (rc != 0) { /* nothing is changed yet: without the rows that cannot be computed */
                rc = leat_work_bad_rows(w, work, lane, &own);
                if (rc == 0)
                        rc = leat_work_step(w, work, lane, &own);
                if (rc != 0)
                        leat_stream_job_blame(work->job, &own);
                for (uint32_t i = 0; i < graph->node_count; i++)
                        leat_stream_job_source(work->job, i)->skip = NULL;
        }
        if (rc == 0)
                leat_work_refused_take(work, lane);
        else if (err != NULL)
                *err = own;
        return rc;
}
