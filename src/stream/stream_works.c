/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/stream: the views of a pipeline as the worker runs them.
 *
 *            +---------- positions reached ----------+
 *            |                                       v
 *   WAITING --> FILLING (a lane of its own) ------> RUNNING (the main lane)
 *      ^                                              |
 *      +------ ALTER JOB ... RESUME ---- PAUSED <-----+  ALTER JOB ... PAUSE, a failure
 *
 * A job waits while a keyed topic that it looks up is being loaded, or a view that
 * it reads is not running. A lane is read up to the main lane's positions; when
 * it stands there at the end of a tick, that tick holds the job's rows up to the
 * same positions as everybody's, and the next one runs it with the others.
 */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "stream_worker.h"

#define FILL_RECORDS_MIN 50000

struct leat_work *leat_work_find(struct leat_worker *w, uint64_t view_id)
{
        for (uint32_t i = 0; i < w->work_count; i++)
                if (w->works[i]->view_id == view_id)
                        return w->works[i];
        return NULL;
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
                        work->parked[work->parked_count++] =
                                (struct leat_tick_position){.topic = input->topic.id,
                                                            .partition = p,
                                                            .offset = input->parts[p].position,
                                                            .leader_epoch = input->parts[p].leader_epoch};
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
        struct leat_error ignored;
        if (work->state == LEAT_WORK_RUNNING || work->state == LEAT_WORK_FILLING)
                park(work, work->lane != NULL ? work->lane : &w->main);
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

static int lane_rebuild(struct leat_worker *w, struct leat_lane *lane, struct leat_error *err)
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

static int run_now(struct leat_worker *w, struct leat_work *work, struct leat_lane *lane, struct leat_error *err)
{
        struct leat_stream_job *job = work->job;
        int64_t begun = leat_os_monotonic_us(), late = work->late_rows;
        job->next_watermark_us = LEAT_MAX(job->watermark_us, work_watermark(w, work, lane));
        keyed_lookups(w, work, w->arena);
        LEAT_TRY(leat_stream_job_run(job, &w->run, err));
        work->begun = true;
        work->late_rows = late + job->late_rows;
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
                        if (view == NULL || view->job == NULL || view->state != LEAT_WORK_RUNNING ||
                            view->job->out.rows == 0)
                                continue;
                        LEAT_TRY(leat_stream_job_out(view->job, &w->run, &rows, err));
                        leat_delta_add(&slot->delta, rows, rows->columns[rows->column_count - 1].data);
                }
        }
        uint32_t sections = w->run.section_count;
        struct leat_error own = {0};
        int rc = run_now(w, work, lane, &own);
        if (rc != 0 &&
            w->run.section_count == sections) { /* nothing is changed yet: without the rows that cannot be computed */
                rc = leat_work_bad_rows(w, work, lane, &own);
                if (rc == 0)
                        rc = run_now(w, work, lane, &own);
                for (uint32_t i = 0; i < graph->node_count; i++)
                        leat_stream_job_source(work->job, i)->skip = NULL;
        }
        if (rc != 0 && err != NULL)
                *err = own;
        return rc;
}

/* ---- joining: what views and keyed topics hold, as rows that come ------------------------------------- */
#define JOIN_ROWS 200000

static struct leat_batch *repeat(struct leat_arena *arena, const struct leat_batch *chunk, const int64_t *weights)
{
        uint64_t total = 0;
        for (uint32_t i = 0; weights != NULL && i < chunk->rows; i++)
                total += (uint64_t)LEAT_MAX(weights[i], 0);
        if (weights == NULL || total == chunk->rows)
                return leat_batch_copy(arena, chunk);
        uint32_t *rows = leat_arena_alloc(arena, (total + 1) * sizeof *rows), count = 0;
        for (uint32_t i = 0; i < chunk->rows; i++)
                for (int64_t n = 0; n < weights[i]; n++)
                        rows[count++] = i;
        return leat_batch_copy(arena, leat_batch_gather(arena, chunk, rows, count));
}

static int join_chunk(struct leat_worker *w, struct leat_work *work, uint32_t node, struct leat_work *view,
                      struct leat_delta *held, struct leat_error *err)
{
        struct leat_slot *slot = leat_stream_job_source(work->job, node);
        struct leat_batch *rows = NULL;
        leat_delta_clear(&slot->delta);
        if (view == NULL) {
                for (uint32_t b = 0; b < held->count; b++)
                        leat_delta_add(&slot->delta, held->batches[b], NULL);
        } else {
                struct leat_delta now = view->job->out;
                struct leat_batch *had = view->job->out_rows;
                view->job->out = *held;
                view->job->out_rows = NULL;
                int rc = leat_stream_job_out(view->job, &w->run, &rows, err);
                view->job->out = now;
                view->job->out_rows = had;
                LEAT_TRY(rc);
                leat_delta_add(&slot->delta, rows, NULL);
        }
        LEAT_TRY(run_now(w, work, work->lane != NULL ? work->lane : &w->main, err));
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
        uint64_t arr = view != NULL ? view->job->graph->first_arr_id : keyed->arr_id;
        LEAT_TRY(leat_scan_open(leat_tick_run_snapshot(&w->run), arr, NULL, 0, &scan, err));
        int rc;
        while ((rc = leat_scan_next(scan, &chunk, &weights, err)) == 0 && chunk != NULL) {
                leat_delta_add(
                        &held,
                        repeat(w->arena, chunk, view != NULL && view->job->graph->output.weighted ? weights : NULL),
                        NULL);
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
        if (work->lane->records > 0 || !work->begun || reached)
                LEAT_TRY(leat_work_run(w, work, work->lane, err));
        if (reached) {
                for (uint32_t i = 0; i < work->job->graph->node_count; i++)
                        if (work->job->graph->nodes[i].op == LEAT_OP_SOURCE &&
                            work->job->graph->nodes[i].kind != LEAT_STREAM_TOPIC)
                                LEAT_TRY(join_source(w, work, i, err));
                LEAT_TRY(join_main(w, work, err));
        } else {
                LEAT_TRY(progress_tell(w, work, err));
        }
        w->dirty = true;
        return 0;
}

/* ---- the catalog ---------------------------------------------------------------------------------------- */
static void stats_open(struct leat_worker *w, struct leat_work *work)
{
        char labels[LEAT_STATS_LABEL_BYTES];
        snprintf(labels, sizeof labels, "view=\"%.80s\"", work->name);
        work->stat_in = leat_stats_slot(w->options->stats, LEAT_M_WORKER_ROWS_IN, labels);
        work->stat_out = leat_stats_slot(w->options->stats, LEAT_M_WORKER_ROWS_OUT, labels);
        work->stat_late = leat_stats_slot(w->options->stats, LEAT_M_WORKER_LATE, labels);
        work->stat_state = leat_stats_slot(w->options->stats, LEAT_M_WORKER_STATE, labels);
        work->stat_watermark = leat_stats_slot(w->options->stats, LEAT_M_WORKER_WATERMARK, labels);
        work->stat_time = leat_stats_slot(w->options->stats, LEAT_M_WORKER_JOB_TIME, labels);
}

static void positions_keep(struct leat_tick_position **io_positions, uint32_t *io_count,
                           const struct leat_tick_position *from, uint32_t count)
{
        free(*io_positions);
        *io_positions = leat_calloc(count + 1, sizeof **io_positions);
        if (count > 0)
                memcpy(*io_positions, from, count * sizeof *from);
        *io_count = count;
}

/* Topics that the job reads and keyed topics that it needs get into the main lane. */
static int main_inputs_add(struct leat_worker *w, const struct leat_stream_graph *graph,
                           const struct leat_snapshot *objects, struct leat_error *err)
{
        for (uint32_t i = 0; i < graph->node_count; i++) {
                const struct leat_node *node = &graph->nodes[i];
                struct leat_input *input;
                if ((node->op != LEAT_OP_SOURCE && node->op != LEAT_OP_LOOKUP) || node->kind == LEAT_STREAM_VIEW ||
                    leat_lane_find(&w->main, node->object_id) != NULL)
                        continue;
                const struct leat_object *topic = leat_snapshot_get(objects, node->object_id);
                if (topic == NULL || topic->kind != LEAT_OBJECT_TOPIC)
                        return leat_error_set(err, LEAT_ENORELATION, "topic %s is not there", node->relation);
                /* known from the last tick, or new: then it begins at its end, and the job's lane reads what was before */
                bool known = false;
                for (uint32_t k = 0; k < w->last.input_count; k++)
                        known |= w->last.inputs[k].object_id == node->object_id;
                LEAT_TRY(leat_lane_add(w, &w->main, topic, known ? w->last.positions : NULL,
                                       known ? w->last.position_count : 0, &input, err));
                for (uint32_t k = 0; k < w->last.input_count; k++) {
                        const struct leat_tick_input *had = &w->last.inputs[k];
                        if (had->object_id != node->object_id)
                                continue;
                        input->watermark_us = had->watermark_us;
                        input->newest_event_us = had->newest_event_us;
                        input->newest_append_us = had->newest_append_us;
                        input->arr_id = had->arr_id;
                        for (int32_t p = 0; p < input->part_count; p++) {
                                /* what each partition had seen is not kept; the watermark is, and holds for all */
                                if (had->watermark_us != INT64_MIN)
                                        input->parts[p].max_event_us =
                                                had->watermark_us + input->def.watermark_delay_us;
                                input->parts[p].append_us = had->newest_append_us;
                                if (input->parts[p].position >= input->parts[p].end)
                                        continue;
                                input->parts[p].quarantined = 0;
                        }
                }
                if (!input->keyed)
                        continue;
                const char **names;
                struct leat_type *types;
                uint32_t count;
                leat_keyed_names(&input->def, input->arena, &names, &types, &count);
                if (input->arr_id == 0)
                        LEAT_TRY(leat_catalog_arrangement_ids(w->catalog, 1, &input->arr_id, err));
                struct leat_arr_def def = {.id = input->arr_id,
                                           .mode = LEAT_ARR_MAP,
                                           .key_count = input->def.key_count,
                                           .column_count = count,
                                           .types = types,
                                           .time_column = -1};
                LEAT_TRY(leat_state_define(w->state, &def, err));
                LEAT_TRY(leat_input_rebuild(w, &w->main, input, err));
        }
        return 0;
}

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
static int lane_open(struct leat_worker *w, struct leat_work *work, const struct leat_snapshot *objects,
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
                positions_keep(&work->parked, &work->parked_count,
                               (const struct leat_tick_position *)(const void *)starts.data, count);
                positions_keep(&work->starts, &work->start_count, work->parked, count);
        }
        leat_buf_done(&starts);
        LEAT_TRY(rc);
        work->lane = leat_calloc(1, sizeof *work->lane);
        LEAT_TRY(leat_lane_open(w, work->lane, err));
        for (uint32_t i = 0; i < graph->node_count; i++) {
                const struct leat_node *node = &graph->nodes[i];
                struct leat_input *input;
                if (node->op != LEAT_OP_SOURCE || node->kind != LEAT_STREAM_TOPIC ||
                    leat_lane_find(work->lane, node->object_id) != NULL)
                        continue;
                LEAT_TRY(leat_lane_add(w, work->lane, leat_snapshot_get(objects, node->object_id), work->parked,
                                       work->parked_count, &input, err));
                input->watermark_us = work->job->watermark_us;
                for (int32_t p = 0; p < input->part_count && input->watermark_us != INT64_MIN; p++)
                        input->parts[p].max_event_us = input->watermark_us + input->def.watermark_delay_us;
        }
        work->state = LEAT_WORK_FILLING;
        return lane_rebuild(w, work->lane, err);
}

static int job_open(struct leat_worker *w, struct leat_work *work, const struct leat_object *object,
                    struct leat_error *err)
{
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_stream_graph *graph;
        int rc = leat_stream_graph_decode(arena, object->view->graph, &graph, err);
        if (rc != 0) {
                leat_arena_free(arena);
                return rc;
        }
        work->first_arr = graph->first_arr_id;
        work->arr_count = graph->arr_count;
        LEAT_TRY(leat_stream_job_open(&w->rt, arena, graph, object->id, object->name, &work->job, err));
        return leat_stream_job_define(work->job, w->state, err);
}

/* What the last tick says about the job, when it has been in it. */
static const struct leat_tick_job *last_job(const struct leat_worker *w, uint64_t view_id)
{
        for (uint32_t i = 0; i < w->last.job_count; i++)
                if (w->last.jobs[i].view_id == view_id)
                        return &w->last.jobs[i];
        return NULL;
}

static bool job_failed(struct leat_worker *w, const struct leat_object *object, char *reason, size_t size,
                       uint8_t *ret_state)
{
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_error ignored;
        struct leat_job *jobs;
        uint32_t count;
        bool failed = false;
        if (leat_catalog_jobs(w->catalog, arena, &jobs, &count, &ignored) == 0)
                for (uint32_t i = 0; i < count; i++)
                        if (jobs[i].view_id == object->id &&
                            (jobs[i].state == LEAT_JOB_FAILED || jobs[i].state == LEAT_JOB_PAUSED) &&
                            jobs[i].reason[0] != 0 && object->changed_us <= jobs[i].changed_us) {
                                failed = true;
                                *ret_state = jobs[i].state == LEAT_JOB_FAILED ? LEAT_WORK_FAILED : LEAT_WORK_PAUSED;
                                snprintf(reason, size, "%s", jobs[i].reason);
                        }
        leat_arena_free(arena);
        return failed;
}

static int work_open(struct leat_worker *w, const struct leat_object *object, const struct leat_snapshot *objects,
                     struct leat_work **ret_work, struct leat_error *err)
{
        struct leat_work *work = leat_calloc(1, sizeof *work);
        const struct leat_tick_job *last = last_job(w, object->id);
        work->view_id = object->id;
        work->version = object->version;
        work->max_state_bytes = object->view->max_state_bytes;
        work->name = leat_strdup(object->name);
        work->start = object->view->start;
        work->start_us = object->view->start_us;
        work->watermark_us = INT64_MIN;
        work->state = LEAT_WORK_WAITING;
        stats_open(w, work);
        if (w->work_count == w->work_cap) {
                w->work_cap = w->work_cap == 0 ? 16 : 2 * w->work_cap;
                w->works = leat_realloc(w->works, w->work_cap * sizeof(*w->works));
        }
        w->works[w->work_count++] = work;
        *ret_work = work;
        LEAT_TRY(job_open(w, work, object, err));
        LEAT_TRY(main_inputs_add(w, work->job->graph, objects, err));
        if (last != NULL) {
                work->begun = true;
                work->job->first_tick = false;
                work->job->watermark_us = work->watermark_us = last->watermark_us;
                positions_keep(&work->starts, &work->start_count, last->starts, last->start_count);
        }
        char reason[sizeof work->reason] = "";
        uint8_t state = LEAT_WORK_PAUSED;
        bool failed = job_failed(w, object, reason, sizeof reason, &state);
        if (last != NULL && last->state == LEAT_TICK_RUNNING && !failed && !object->view->paused) {
                work->state = LEAT_WORK_RUNNING;
                return 0;
        }
        if (last != NULL && last->state != LEAT_TICK_RUNNING)
                positions_keep(&work->parked, &work->parked_count, last->lane, last->lane_count);
        else if (last != NULL)
                positions_keep(&work->parked, &work->parked_count, w->last.positions, w->last.position_count);
        if (failed || object->view->paused) {
                work->state = failed ? state : LEAT_WORK_PAUSED;
                snprintf(work->reason, sizeof work->reason, "%s", failed ? reason : "paused by ALTER JOB");
                return 0;
        }
        return lane_open(w, work, objects, err);
}

static void work_drop(struct leat_worker *w, uint32_t index)
{
        struct leat_work *work = w->works[index];
        struct leat_error ignored;
        for (uint32_t i = 0; i < work->arr_count; i++)
                (void)!leat_state_drop(w->state, work->first_arr + i, &ignored);
        leat_diag(LEAT_DIAG_INFO, "stream", "job ends", "view=%s", work->name);
        leat_work_free(work);
        memmove(w->works + index, w->works + index + 1, (w->work_count - index - 1) * sizeof(*w->works));
        w->work_count--;
        w->dirty = true;
}

/* Main inputs that no job needs any more go. */
static void inputs_drop(struct leat_worker *w)
{
        struct leat_error ignored;
        for (uint32_t i = 0; i < w->main.input_count;) {
                struct leat_input *input = w->main.inputs[i];
                bool needed = false;
                for (uint32_t k = 0; k < w->work_count && !needed; k++)
                        for (uint32_t n = 0; w->works[k]->job != NULL && n < w->works[k]->job->graph->object_count; n++)
                                needed |= w->works[k]->job->graph->objects[n] == input->object_id;
                if (needed) {
                        i++;
                        continue;
                }
                if (input->keyed)
                        (void)!leat_state_drop(w->state, input->arr_id, &ignored);
                leat_lane_remove(&w->main, input->object_id);
        }
}

/* A view behind those that it reads. */
static void works_sort(struct leat_worker *w)
{
        for (uint32_t done = 0, from = 0; done < w->work_count; from = done) {
                for (uint32_t i = from; i < w->work_count; i++) {
                        const struct leat_work *work = w->works[i];
                        bool ready = true;
                        for (uint32_t n = 0; work->job != NULL && n < work->job->graph->object_count; n++)
                                for (uint32_t k = done; k < w->work_count; k++)
                                        ready &= w->works[k]->view_id != work->job->graph->objects[n];
                        if (!ready)
                                continue;
                        struct leat_work *moved = w->works[i];
                        memmove(w->works + done + 1, w->works + done, (i - done) * sizeof(*w->works));
                        w->works[done++] = moved;
                }
                if (done == from)
                        return; /* a circle: cannot be, views are made one after the other */
        }
}

/* A job goes on from the positions where it stopped. What views and keyed topics that it reads have changed meanwhile is
 * kept nowhere: reading them anew would count twice. */
static int resume_check(const struct leat_work *work, struct leat_error *err)
{
        const struct leat_stream_graph *graph = work->job->graph;
        for (uint32_t i = 0; i < graph->node_count; i++)
                if (graph->nodes[i].op == LEAT_OP_SOURCE && graph->nodes[i].kind != LEAT_STREAM_TOPIC)
                        return leat_error_set(
                                err, LEAT_EUNSUPPORTED,
                                "it reads %s, whose changes were missed: drop the view and create it again",
                                graph->nodes[i].relation);
        return 0;
}

static int view_sync(struct leat_worker *w, const struct leat_object *object, const struct leat_snapshot *objects,
                     struct leat_error *err)
{
        struct leat_work *work = leat_work_find(w, object->id);
        struct leat_error own = {0};
        int rc = 0;
        if (work == NULL) {
                rc = work_open(w, object, objects, &work, &own);
                if (rc == 0)
                        rc = leat_work_tell(w, work, NULL, err);
                else if (own.retriable)
                        return leat_error_set(err, rc, "%s", own.message);
                w->dirty = true;
        } else if (object->view->paused && (work->state == LEAT_WORK_RUNNING || work->state == LEAT_WORK_FILLING)) {
                leat_work_pause(w, work, LEAT_WORK_PAUSED, "paused by ALTER JOB");
        } else if (!object->view->paused && (work->state == LEAT_WORK_PAUSED || work->state == LEAT_WORK_FAILED) &&
                   object->version != work->version && work->job != NULL) {
                rc = resume_check(work, &own);
                if (rc == 0)
                        rc = lane_open(w, work, objects, &own);
                if (rc == 0)
                        rc = leat_work_tell(w, work, NULL, err);
        }
        work->version = object->version;
        work->max_state_bytes = object->view->max_state_bytes;
        if (rc != 0 && own.code != 0) { /* this job cannot run; the others do */
                leat_work_pause(w, work, LEAT_WORK_FAILED, own.message);
                rc = 0;
        }
        return rc;
}

int leat_works_sync(struct leat_worker *w, struct leat_error *err)
{
        uint64_t version;
        const struct leat_snapshot *objects;
        LEAT_TRY(leat_catalog_version(w->catalog, &version, err));
        if (version == w->version)
                return 0;
        struct leat_arena *arena = leat_arena_new(0);
        int rc = leat_catalog_load(w->catalog, arena, &objects, err);
        for (uint32_t i = 0; rc == 0 && i < w->work_count;) {
                const struct leat_object *object = leat_snapshot_get(objects, w->works[i]->view_id);
                struct leat_stream_graph *graph = NULL;
                bool keep = object != NULL && object->kind == LEAT_OBJECT_MATVIEW &&
                            object->state == LEAT_STATE_READY &&
                            strcmp(object->view->pipeline, w->options->pipeline) == 0;
                if (keep && w->works[i]->job != NULL && object->version != w->works[i]->version) {
                        struct leat_error ignored; /* CREATE OR REPLACE: other arrangements */
                        if (leat_stream_graph_decode(arena, object->view->graph, &graph, &ignored) == 0)
                                keep = graph->first_arr_id == w->works[i]->first_arr;
                }
                if (keep)
                        i++;
                else
                        work_drop(w, i);
        }
        if (rc == 0)
                rc = leat_lane_redefine(&w->main, objects, err);
        for (uint32_t i = 0; rc == 0 && i < objects->object_count; i++) {
                const struct leat_object *object = &objects->objects[i];
                if (object->kind == LEAT_OBJECT_MATVIEW && object->state == LEAT_STATE_READY &&
                    strcmp(object->view->pipeline, w->options->pipeline) == 0)
                        rc = view_sync(w, object, objects, err);
        }
        if (rc == 0) {
                inputs_drop(w);
                works_sort(w);
                rc = lane_rebuild(w, &w->main, err);
        }
        for (uint32_t i = 0; rc == 0 && i < w->work_count; i++)
                if (w->works[i]->job != NULL)
                        rc = leat_work_maps(w, w->works[i], err);
        if (rc == 0) {
                w->last = (struct leat_tick){0}; /* from now on the works know better */
                w->version = objects->version;
                rc = leat_catalog_applied_set(w->catalog, w->role, getpid(), objects->version, err);
        }
        leat_arena_free(arena);
        return rc;
}
