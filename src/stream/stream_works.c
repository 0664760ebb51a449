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
#include <stdio.h>
#include <unistd.h>

#include "stream_worker.h"

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
                }
                for (uint32_t k = 0; known && k < w->last.refused_count; k++)
                        if (w->last.refused[k].view_id == 0 && w->last.refused[k].object_id == node->object_id)
                                input->refused = w->last.refused[k].count;
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
        work->watermark_us = work->behind_us = INT64_MIN;
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
                work->behind_us = last->behind_us;
                work->job->watermark_us = work->watermark_us = last->watermark_us;
                work->late_rows = last->late_rows;
                work->late_arr = last->late_arr;
                work->late_known = last->late_known;
                for (uint32_t i = 0; i < w->last.refused_count; i++)
                        if (w->last.refused[i].view_id == object->id)
                                leat_work_refused(work, w->last.refused[i].object_id, w->last.refused[i].count);
                leat_positions_keep(&work->starts, &work->start_count, last->starts, last->start_count);
        }
        char reason[sizeof work->reason] = "";
        uint8_t state = LEAT_WORK_PAUSED;
        bool failed = job_failed(w, object, reason, sizeof reason, &state);
        if (last != NULL && last->state == LEAT_TICK_RUNNING && !failed && !object->view->paused) {
                work->state = LEAT_WORK_RUNNING;
                return 0;
        }
        if (last != NULL && last->state != LEAT_TICK_RUNNING)
                leat_positions_keep(&work->parked, &work->parked_count, last->lane, last->lane_count);
        else if (last != NULL)
                leat_positions_keep(&work->parked, &work->parked_count, w->last.positions, w->last.position_count);
        if (last != NULL)
                leat_work_missed_restore(work, last);
        if (failed || object->view->paused) {
                work->was_running = last != NULL && last->state == LEAT_TICK_RUNNING;
                work->state = failed ? state : LEAT_WORK_PAUSED;
                snprintf(work->reason, sizeof work->reason, "%s", failed ? reason : "paused by ALTER JOB");
                return 0;
        }
        return leat_work_lane_open(w, work, objects, err);
}

static void work_drop(struct leat_worker *w, uint32_t index)
{
        struct leat_work *work = w->works[index];
        struct leat_error ignored;
        for (uint32_t i = 0; i < work->arr_count; i++)
                (void)!leat_state_drop(w->state, work->first_arr + i, &ignored);
        leat_work_missed_drop(w, work);
        leat_work_late_drop(w, work);
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

/* A job goes on from the positions where it stopped, and with what was kept of the changes of views and keyed topics;
 * without that, reading them anew would count twice. */
static int resume_check(const struct leat_work *work, struct leat_error *err)
{
        const struct leat_stream_graph *graph = work->job->graph;
        for (uint32_t i = 0; i < graph->node_count && work->missed_count > 0; i++)
                if (graph->nodes[i].op == LEAT_OP_SOURCE && graph->nodes[i].kind != LEAT_STREAM_TOPIC &&
                    leat_work_missed_arr(work, graph->nodes[i].object_id) == 0)
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
                else if (own.retriable || rc == LEAT_ENOMEM) /* not the job's fault */
                        return leat_error_set(err, rc, "%s", own.message);
                w->dirty = true;
        } else if (object->view->paused && (work->state == LEAT_WORK_RUNNING || work->state == LEAT_WORK_FILLING)) {
                leat_work_pause(w, work, LEAT_WORK_PAUSED, "paused by ALTER JOB");
        } else if (!object->view->paused && (work->state == LEAT_WORK_PAUSED || work->state == LEAT_WORK_FAILED) &&
                   object->version != work->version && work->job != NULL) {
                rc = resume_check(work, &own);
                if (rc == 0)
                        rc = leat_work_lane_open(w, work, objects, &own);
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

static bool arr_owned(struct leat_worker *w, uint64_t arr)
{
        for (uint32_t i = 0; i < w->work_count; i++) {
                const struct leat_work *work = w->works[i];
                if ((arr >= work->first_arr && arr < work->first_arr + work->arr_count) || arr == work->late_arr)
                        return true;
                for (uint32_t k = 0; k < work->missed_count; k++)
                        if (work->missed[k].arr_id == arr)
                                return true;
        }
        for (uint32_t i = 0; i < w->main.input_count; i++)
                if (w->main.inputs[i]->keyed && w->main.inputs[i]->arr_id == arr)
                        return true;
        for (uint32_t i = 0; i < w->up_count; i++)
                for (uint32_t k = 0; k < w->ups[i]->mirror_count; k++)
                        if (w->ups[i]->mirrors[k]->work.first_arr == arr)
                                return true;
        return false;
}

/* What was given up while the worker was away, or shortly before, goes. */
static void arrs_sweep(struct leat_worker *w)
{
        struct leat_error ignored;
        uint32_t count = leat_state_list(w->state, NULL, 0);
        uint64_t *arrs = leat_calloc(count + 1, sizeof *arrs);
        count = LEAT_MIN(count, leat_state_list(w->state, arrs, count));
        bool known = true; /* a graph that could not be read does not tell what it owns */
        for (uint32_t i = 0; i < w->work_count; i++)
                known &= w->works[i]->arr_count > 0;
        for (uint32_t i = 0; i < count && known; i++)
                if (!arr_owned(w, arrs[i]))
                        (void)!leat_state_drop(w->state, arrs[i], &ignored);
        free(arrs);
        w->swept = true;
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
                rc = leat_upstreams_sync(w, objects, err);
        }
        for (uint32_t i = 0; rc == 0 && i < w->work_count; i++)
                if (w->works[i]->was_running) { /* what it reads is known now */
                        w->works[i]->was_running = false;
                        rc = leat_work_missed_open(w, w->works[i], err);
                }
        if (rc == 0 && !w->swept)
                arrs_sweep(w);
        if (rc == 0) {
                rc = leat_lane_rebuild(w, &w->main, err);
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
