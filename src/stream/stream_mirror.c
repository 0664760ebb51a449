/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/stream: mirrors, copies of views that other pipelines keep.
 *
 * A tick there says what a view's rows are now; a job here must also know what
 * they were. So the rows stand once more in an arrangement of ours, applied and
 * committed with our ticks: it is exactly the view at the tick that our commit
 * names, whatever the other pipeline does meanwhile. A mirror whose ticks are gone
 * is compared with the view's newest snapshot, and the difference is what changed.
 */
#include <inttypes.h>
#include <stdio.h>

#include "stream_worker.h"

#define DIFF_ROWS_MAX 20000000ull /* of both sides */

/* ---- old rows and new ---------------------------------------------------------------------- */
int leat_keyed_delta(struct leat_worker *w, uint64_t arr, uint32_t key_count, struct leat_batch *rows,
                     const int64_t *weights, bool append_only, struct leat_delta *out, struct leat_error *err)
{
        struct leat_arena *arena = w->arena;
        struct leat_keys *keys = leat_keys_new(arena, key_count, rows->rows);
        uint32_t *ids = leat_arena_alloc(arena, (rows->rows + 1) * sizeof *ids), goes = 0, comes = 0;
        uint32_t *last = leat_arena_alloc(arena, (rows->rows + 1) * sizeof *last);
        uint32_t *go = leat_arena_alloc(arena, (rows->rows + 1) * sizeof *go),
                 *come = leat_arena_alloc(arena, (rows->rows + 1) * sizeof *come);
        struct leat_batch *old, key_rows = {.column_count = key_count};
        uint64_t *found;
        leat_keys_add(keys, rows, ids);
        for (uint32_t i = 0; i < rows->rows; i++)
                last[ids[i]] = i;
        key_rows.rows = leat_keys_count(keys);
        key_rows.columns = leat_arena_zalloc(arena, (key_count + 1) * sizeof *key_rows.columns);
        leat_keys_columns(keys, arena, key_rows.columns);
        LEAT_TRY(leat_state_lookup(leat_tick_run_snapshot(&w->run), arr, &key_rows, arena, &old, &found, err));
        for (uint32_t k = 0; k < key_rows.rows; k++) {
                bool had = found[k >> 6] >> (k & 63) & 1, has = weights == NULL || weights[last[k]] > 0;
                if (had && !append_only)
                        go[goes++] = k;
                if (has && !(had && append_only))
                        come[comes++] = last[k];
        }
        int64_t *minus = leat_arena_alloc(arena, (goes + 1) * sizeof *minus);
        for (uint32_t i = 0; i < goes; i++)
                minus[i] = -1;
        leat_delta_add(out, leat_batch_gather(arena, old, go, goes), minus);
        leat_delta_add(out, leat_batch_gather(arena, rows, come, comes), NULL);
        return 0;
}

int leat_mirror_apply(struct leat_worker *w, struct leat_mirror *mirror, const struct leat_batch *rows,
                      const int64_t *weights, struct leat_error *err)
{
        const struct leat_stream_graph *graph = mirror->work.job->graph;
        const struct leat_arr_def *def = &graph->arrs[0];
        struct leat_delta *out = &mirror->work.job->out;
        if (rows->rows == 0)
                return 0;
        struct leat_batch *copy = leat_batch_copy(w->arena, rows); /* the tick's memory goes with the next one */
        int64_t *signs = NULL;
        if (weights != NULL) {
                signs = leat_arena_alloc(w->arena, rows->rows * sizeof *signs);
                memcpy(signs, weights, rows->rows * sizeof *signs);
        }
        if (def->mode == LEAT_ARR_MULTISET)
                leat_delta_add(out, copy, signs);
        else
                LEAT_TRY(leat_keyed_delta(w, graph->first_arr_id, def->key_count, copy, signs,
                                          graph->output.append_only, out, err));
        return leat_tick_run_apply(&w->run, graph->first_arr_id, copy, signs, err);
}

/* ---- the difference to a snapshot ---------------------------------------------------------------- */
static int rows_collect(struct leat_arena *arena, struct leat_state_snapshot *snapshot, uint64_t arr, int sign,
                        struct leat_delta *out, struct leat_error *err)
{
        struct leat_scan *scan;
        const struct leat_batch *chunk;
        const int64_t *weights;
        LEAT_TRY(leat_scan_open(snapshot, arr, NULL, 0, &scan, err));
        int rc;
        while ((rc = leat_scan_next(scan, &chunk, &weights, err)) == 0 && chunk != NULL) {
                int64_t *signs = leat_arena_alloc(arena, (chunk->rows + 1) * sizeof *signs);
                for (uint32_t i = 0; i < chunk->rows; i++)
                        signs[i] = sign * (weights != NULL ? weights[i] : 1);
                leat_delta_add(out, leat_batch_copy(arena, chunk), signs);
                if (out->rows > DIFF_ROWS_MAX) {
                        rc = leat_error_set(err, LEAT_EUNSUPPORTED,
                                            "its pipeline is too far ahead, and the view too large to be compared");
                        break;
                }
        }
        leat_scan_close(scan);
        return rc;
}

/* Rows that only one side has, those that go first; the last column is the weight. */
static int rows_compare(struct leat_worker *w, const struct leat_arr_def *def, struct leat_delta *both,
                        struct leat_batch **ret_rows, struct leat_error *err)
{
        uint32_t base = leat_runtime_slots(&w->rt, 1);
        struct leat_slot *slot = w->rt.slots[base];
        struct leat_buf sql = LEAT_BUF_INIT;
        struct leat_plan *plan;
        slot->column_count = def->column_count;
        slot->types = (struct leat_type *)(uintptr_t)def->types;
        slot->weighted = true;
        for (uint32_t i = 0; i < both->count; i++)
                leat_delta_add(&slot->delta, both->batches[i], both->weights[i]);
        leat_buf_add_str(&sql, "SELECT ");
        for (uint32_t i = 0; i < def->column_count; i++)
                leat_buf_printf(&sql, "c%u, ", i);
        leat_buf_printf(&sql,
                        "CAST(sum(w) AS BIGINT) AS w FROM leat_scan('%u.0') GROUP BY ALL HAVING sum(w) <> 0 ORDER BY w",
                        base);
        int rc = leat_plan_prepare(w->rt.conn, leat_buf_cstr(&sql), &plan, err);
        if (rc == 0) {
                rc = leat_runtime_run(plan, w->arena, ret_rows, err);
                leat_plan_free(plan);
        }
        leat_buf_done(&sql);
        leat_runtime_slots_free(&w->rt, base, 1);
        return rc;
}

/* What the view forgot by its retention is no change, unless we had not seen it yet. */
static int horizon_pass(struct leat_worker *w, struct leat_mirror *mirror, int64_t watermark_us, struct leat_error *err)
{
        struct leat_stream_job *job = mirror->work.job;
        int64_t horizon = leat_stream_job_horizon(job, 0, watermark_us);
        if (horizon == INT64_MIN)
                return 0;
        if (job->watermark_us != INT64_MIN && horizon > job->watermark_us)
                return leat_error_set(err, LEAT_EUNSUPPORTED,
                                      "it has forgotten rows, by its retention, that were not read yet");
        return leat_tick_run_expire(&w->run, job->graph->first_arr_id, horizon, err);
}

int leat_mirror_diff(struct leat_worker *w, struct leat_mirror *mirror, struct leat_state_snapshot *snapshot,
                     int64_t watermark_us, struct leat_error *err)
{
        struct leat_stream_job *job = mirror->work.job;
        const struct leat_arr_def *def = &job->graph->arrs[0];
        uint64_t own = job->graph->first_arr_id;
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_delta both = {0};
        struct leat_batch *rows = NULL;
        int rc = horizon_pass(w, mirror, watermark_us, err);
        if (rc == 0)
                rc = rows_collect(arena, snapshot, mirror->source_arr, 1, &both, err);
        if (rc == 0)
                rc = rows_collect(arena, leat_tick_run_snapshot(&w->run), own, -1, &both, err);
        if (rc == 0)
                rc = rows_compare(w, def, &both, &rows, err);
        if (rc == 0) {
                rows->column_count--;
                int64_t *weights = rows->columns[rows->column_count].data;
                if (job->graph->output.append_only && rows->rows > 0 && weights[0] < 0)
                        rc = leat_error_set(err, LEAT_EUNSUPPORTED, "it was made anew: rows that it had are gone");
                leat_diag(LEAT_DIAG_INFO, "stream", "mirror compared", "view=%s changes=%u", mirror->work.name,
                          rows->rows);
                if (rc == 0) {
                        leat_delta_add(&job->out, rows, weights);
                        rc = leat_tick_run_apply(&w->run, own, rows, weights, err);
                }
        }
        leat_delta_done(&both);
        leat_arena_free(arena);
        return rc;
}

int leat_mirror_reset(struct leat_worker *w, struct leat_mirror *mirror, struct leat_error *err)
{
        struct leat_stream_graph *graph = mirror->work.job->graph;
        struct leat_error ignored;
        uint64_t id;
        LEAT_TRY(leat_catalog_arrangement_ids(w->catalog, 1, &id, err));
        if (leat_state_def(w->state, graph->first_arr_id) != NULL && mirror->work.arr_count > 0)
                (void)!leat_state_drop(w->state, graph->first_arr_id, &ignored);
        leat_stream_arr_assign(graph, id);
        mirror->work.first_arr = id;
        mirror->work.arr_count = 1;
        mirror->loaded = mirror->work.begun = false;
        mirror->work.state = LEAT_WORK_WAITING;
        struct leat_arr_def def = leat_stream_arr_def(graph, 0);
        return leat_state_define(w->state, &def, err);
}

/* ---- which there are ------------------------------------------------------------------------------ */
static bool is_mirror(const struct leat_snapshot *objects, const char *pipeline, uint64_t id)
{
        const struct leat_object *object = leat_snapshot_get(objects, id);
        return object != NULL && object->kind == LEAT_OBJECT_MATVIEW && object->state == LEAT_STATE_READY &&
               strcmp(object->view->pipeline, pipeline) != 0;
}

static bool is_read(const struct leat_worker *w, uint64_t view_id)
{
        for (uint32_t k = 0; k < w->work_count; k++)
                for (uint32_t n = 0; w->works[k]->job != NULL && n < w->works[k]->job->graph->object_count; n++)
                        if (w->works[k]->job->graph->objects[n] == view_id)
                                return true;
        return false;
}

static void mirror_free(struct leat_mirror *mirror)
{
        free(mirror->under);
        free(mirror->reads);
        free(mirror->covers);
        leat_stream_job_close(mirror->work.job);
        free(mirror->work.name);
        free(mirror);
}

static void upstream_free(struct leat_upstream *up)
{
        for (uint32_t i = 0; i < up->mirror_count; i++)
                mirror_free(up->mirrors[i]);
        leat_upstream_close(up);
        leat_tick_reader_free(up->ticks);
        free(up->mirrors);
        free(up->records);
        free(up->pipeline);
        free(up);
}

void leat_upstreams_done(struct leat_worker *w)
{
        for (uint32_t i = 0; i < w->up_count; i++)
                upstream_free(w->ups[i]);
        free(w->ups);
}

static const struct leat_tick_upstream *last_upstream(const struct leat_worker *w, const char *pipeline)
{
        for (uint32_t i = 0; i < w->last.upstream_count; i++)
                if (strcmp(w->last.upstreams[i].pipeline, pipeline) == 0)
                        return &w->last.upstreams[i];
        return NULL;
}

/* Goes on where the last committed tick stood. */
static void upstream_restore(struct leat_worker *w, struct leat_upstream *up, const struct leat_tick_upstream *last)
{
        const struct leat_tick_position *at =
                leat_position_find(w->last.positions, w->last.position_count, &last->topic, 0);
        if (at == NULL)
                return;
        up->placed = true;
        up->topic.id = last->topic;
        up->incarnation = last->incarnation;
        up->tick = last->tick;
        up->time_us = last->time_us;
        up->offset = up->end = at->offset;
}

static struct leat_upstream *upstream_get(struct leat_worker *w, const char *pipeline)
{
        for (uint32_t i = 0; i < w->up_count; i++)
                if (strcmp(w->ups[i]->pipeline, pipeline) == 0)
                        return w->ups[i];
        struct leat_upstream *up = leat_calloc(1, sizeof *up);
        up->pipeline = leat_strdup(pipeline);
        leat_tick_topic_name(pipeline, up->name);
        up->tag = 0x80000000u | w->up_tag++;
        up->newest_event_us = up->newest_append_us = INT64_MIN;
        up->leader_epoch = -1;
        if (w->up_count == w->up_cap) {
                w->up_cap = w->up_cap == 0 ? 4 : 2 * w->up_cap;
                w->ups = leat_realloc(w->ups, w->up_cap * sizeof(*w->ups));
        }
        w->ups[w->up_count++] = up;
        const struct leat_tick_upstream *last = last_upstream(w, pipeline);
        if (last != NULL)
                upstream_restore(w, up, last);
        return up;
}

/* What the last tick has of it: whole, it goes on; else it is copied anew. */
static int mirror_restore(struct leat_worker *w, struct leat_mirror *mirror, const struct leat_tick_upstream *last,
                          struct leat_error *err)
{
        const struct leat_tick_mirror *had = NULL;
        for (uint32_t i = 0; last != NULL && i < last->mirror_count; i++)
                if (last->mirrors[i].view_id == mirror->work.view_id)
                        had = &last->mirrors[i];
        if (had == NULL || had->state == LEAT_MIRROR_LOADING || leat_state_def(w->state, had->arr_id) == NULL)
                return leat_mirror_reset(w, mirror, err);
        leat_stream_arr_assign(mirror->work.job->graph, had->arr_id);
        mirror->work.first_arr = had->arr_id;
        mirror->work.arr_count = 1;
        mirror->loaded = mirror->work.begun = true;
        mirror->served = had->state == LEAT_MIRROR_SERVED;
        leat_positions_keep(&mirror->covers, &mirror->cover_count, had->covers, had->cover_count);
        mirror->work.state = mirror->served ? LEAT_WORK_RUNNING : LEAT_WORK_WAITING;
        for (uint32_t i = 0; i < w->last.input_count; i++)
                if (w->last.inputs[i].object_id == mirror->work.view_id)
                        mirror->work.watermark_us = mirror->work.job->watermark_us = w->last.inputs[i].watermark_us;
        return 0;
}

static void under_add(const struct leat_snapshot *objects, const struct leat_object *view, struct leat_mirror *mirror)
{
        for (uint32_t i = 0; i < mirror->under_count; i++)
                if (mirror->under[i] == view->id)
                        return;
        mirror->under = leat_realloc(mirror->under, (mirror->under_count + 1) * sizeof *mirror->under);
        mirror->under[mirror->under_count++] = view->id;
        for (uint32_t i = 0; i < view->read_count; i++) {
                const struct leat_object *in = leat_snapshot_get(objects, view->reads[i]);
                if (in == NULL || in->kind == LEAT_OBJECT_VIEW)
                        continue; /* plain: what it reads is in the list too */
                if (in->kind == LEAT_OBJECT_MATVIEW && strcmp(in->view->pipeline, view->view->pipeline) == 0) {
                        under_add(objects, in, mirror);
                        continue;
                }
                mirror->reads = leat_realloc(mirror->reads, (mirror->read_count + 1) * sizeof *mirror->reads);
                mirror->reads[mirror->read_count++] = in->id;
        }
}

static int mirror_add(struct leat_worker *w, const struct leat_snapshot *objects, const struct leat_object *view,
                      struct leat_error *err)
{
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_stream_graph *graph;
        int rc = leat_stream_graph_decode(arena, view->view->graph, &graph, err);
        if (rc != 0) {
                leat_arena_free(arena);
                return rc;
        }
        struct leat_mirror *mirror = leat_calloc(1, sizeof *mirror);
        mirror->source_arr = graph->first_arr_id;
        under_add(objects, view, mirror);
        mirror->work.view_id = view->id;
        mirror->work.name = leat_strdup(view->name);
        mirror->work.state = LEAT_WORK_WAITING;
        mirror->work.watermark_us = INT64_MIN;
        mirror->work.job = leat_stream_job_mirror(&w->rt, arena, graph, view->id, view->name);
        struct leat_upstream *up = upstream_get(w, view->view->pipeline);
        if (up->mirror_count == up->mirror_cap) {
                up->mirror_cap = up->mirror_cap == 0 ? 4 : 2 * up->mirror_cap;
                up->mirrors = leat_realloc(up->mirrors, up->mirror_cap * sizeof(*up->mirrors));
        }
        up->mirrors[up->mirror_count++] = mirror;
        return mirror_restore(w, mirror, last_upstream(w, up->pipeline), err);
}

int leat_upstreams_sync(struct leat_worker *w, const struct leat_snapshot *objects, struct leat_error *err)
{
        struct leat_error ignored;
        for (uint32_t k = 0; k < w->work_count; k++) {
                const struct leat_stream_graph *graph = w->works[k]->job != NULL ? w->works[k]->job->graph : NULL;
                for (uint32_t n = 0; graph != NULL && n < graph->object_count; n++)
                        if (is_mirror(objects, w->options->pipeline, graph->objects[n]) &&
                            leat_mirror_find(w, graph->objects[n]) == NULL)
                                LEAT_TRY(mirror_add(w, objects, leat_snapshot_get(objects, graph->objects[n]), err));
        }
        for (uint32_t i = 0; i < w->up_count;) {
                struct leat_upstream *up = w->ups[i];
                for (uint32_t k = 0; k < up->mirror_count;) {
                        struct leat_mirror *mirror = up->mirrors[k];
                        if (is_read(w, mirror->work.view_id)) {
                                k++;
                                continue;
                        }
                        leat_upstream_close(up); /* a copy on its way begins again */
                        (void)!leat_state_drop(w->state, mirror->work.first_arr, &ignored);
                        mirror_free(mirror);
                        up->mirrors[k] = up->mirrors[--up->mirror_count];
                        w->dirty = true;
                }
                if (up->mirror_count > 0) {
                        i++;
                        continue;
                }
                if (up->reading)
                        leat_feed_reader_remove(w->main.reader, up->tag, 0);
                upstream_free(up);
                w->ups[i] = w->ups[--w->up_count];
        }
        w->read_elsewhere = false;
        for (uint32_t i = 0; i < objects->object_count; i++) {
                const struct leat_object *object = &objects->objects[i];
                if (!is_mirror(objects, w->options->pipeline, object->id))
                        continue;
                for (uint32_t r = 0; r < object->read_count; r++)
                        w->read_elsewhere |= leat_work_find(w, object->reads[r]) != NULL &&
                                             leat_mirror_find(w, object->reads[r]) == NULL;
        }
        return 0;
}

int leat_mirrors_define(struct leat_state *state, struct leat_arena *arena, const struct leat_snapshot *objects,
                        const struct leat_tick *tick, struct leat_error *err)
{
        for (uint32_t i = 0; i < tick->upstream_count; i++)
                for (uint32_t k = 0; k < tick->upstreams[i].mirror_count; k++) {
                        const struct leat_tick_mirror *mirror = &tick->upstreams[i].mirrors[k];
                        const struct leat_object *view = leat_snapshot_get(objects, mirror->view_id);
                        struct leat_stream_graph *graph;
                        struct leat_error ignored;
                        if (leat_state_def(state, mirror->arr_id) != NULL || view == NULL ||
                            view->kind != LEAT_OBJECT_MATVIEW ||
                            leat_stream_graph_decode(arena, view->view->graph, &graph, &ignored) != 0)
                                continue;
                        struct leat_arr_def def = leat_stream_arr_def(graph, 0);
                        def.id = mirror->arr_id;
                        LEAT_TRY(leat_state_define(state, &def, err));
                }
        return 0;
}
