/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/stream: what a paused job misses.
 *
 * Topics can be read again; what a view or a keyed topic changed is nowhere else.
 * While a job that reads one is paused, these changes are added up in an
 * arrangement of rows and weights, of which only the sum remains: at most the rows
 * that were there when it was paused and those that are there now. When the job
 * goes on it takes them as one change, at the boundary of the tick in which its
 * lane has caught up.
 */
#include "stream_worker.h"

static bool is_kept(const struct leat_node *node)
{
        return node->op == LEAT_OP_SOURCE && node->kind != LEAT_STREAM_TOPIC;
}

static struct leat_arr_def missed_def(uint64_t id, const struct leat_type *types, uint32_t count)
{
        return (struct leat_arr_def){.id = id,
                                     .mode = LEAT_ARR_MULTISET,
                                     .key_count = count,
                                     .column_count = count,
                                     .types = types,
                                     .time_column = -1};
}

static int object_define(struct leat_worker *w, uint64_t object_id, uint64_t *ret_arr, struct leat_error *err)
{
        const struct leat_work *view = leat_work_find(w, object_id);
        const struct leat_input *input = leat_lane_find(&w->main, object_id);
        const char **names;
        struct leat_type *types;
        struct leat_arr_def def;
        uint32_t count;
        uint64_t id;
        *ret_arr = 0;
        if (view == NULL && input == NULL)
                return 0;
        LEAT_TRY(leat_catalog_arrangement_ids(w->catalog, 1, &id, err));
        if (view != NULL) {
                def = missed_def(id, view->job->graph->arrs[0].types, view->job->graph->arrs[0].column_count);
        } else {
                leat_keyed_names(&input->def, w->arena, &names, &types, &count);
                def = missed_def(id, types, count);
        }
        LEAT_TRY(leat_state_define(w->state, &def, err));
        *ret_arr = id;
        return 0;
}

int leat_work_missed_open(struct leat_worker *w, struct leat_work *work, struct leat_error *err)
{
        const struct leat_stream_graph *graph = work->job->graph;
        leat_work_missed_drop(w, work);
        work->missed = leat_calloc(graph->node_count + 1, sizeof *work->missed);
        for (uint32_t i = 0; i < graph->node_count; i++) {
                uint64_t object_id = graph->nodes[i].object_id;
                bool had = false;
                for (uint32_t k = 0; k < work->missed_count; k++)
                        had |= work->missed[k].object_id == object_id;
                if (!is_kept(&graph->nodes[i]) || had)
                        continue;
                struct leat_tick_missed *missed = &work->missed[work->missed_count++];
                missed->object_id = object_id;
                LEAT_TRY(object_define(w, object_id, &missed->arr_id, err));
        }
        return 0;
}

void leat_work_missed_restore(struct leat_work *work, const struct leat_tick_job *last)
{
        free(work->missed);
        work->missed = leat_calloc(last->missed_count + 1, sizeof *work->missed);
        work->missed_count = last->missed_count;
        if (last->missed_count > 0)
                memcpy(work->missed, last->missed, last->missed_count * sizeof *work->missed);
}

int leat_work_missed_add(struct leat_worker *w, struct leat_work *work, struct leat_error *err)
{
        for (uint32_t k = 0; k < work->missed_count; k++) {
                const struct leat_tick_missed *missed = &work->missed[k];
                const struct leat_work *view = leat_work_find(w, missed->object_id);
                const struct leat_input *input = leat_lane_find(&w->main, missed->object_id);
                const struct leat_delta *out = view != NULL && view->job != NULL ? &view->job->out
                                               : input != NULL && input->keyed   ? &input->changes
                                                                                 : NULL;
                for (uint32_t b = 0; out != NULL && missed->arr_id != 0 && b < out->count; b++)
                        LEAT_TRY(leat_tick_run_apply(&w->run, missed->arr_id,
                                                     (struct leat_batch *)(uintptr_t)out->batches[b],
                                                     (int64_t *)(uintptr_t)out->weights[b], err));
        }
        return 0;
}

uint64_t leat_work_missed_arr(const struct leat_work *work, uint64_t object_id)
{
        for (uint32_t k = 0; k < work->missed_count; k++)
                if (work->missed[k].object_id == object_id)
                        return work->missed[k].arr_id;
        return 0;
}

static void arr_drop(struct leat_worker *w, uint64_t arr_id)
{
        struct leat_error ignored;
        if (arr_id != 0 && leat_state_def(w->state, arr_id) != NULL)
                (void)!leat_state_drop(w->state, arr_id, &ignored);
}

void leat_work_missed_lose(struct leat_worker *w, struct leat_work *work, uint64_t object_id)
{
        for (uint32_t k = 0; k < work->missed_count; k++)
                if (work->missed[k].object_id == object_id) {
                        arr_drop(w, work->missed[k].arr_id);
                        work->missed[k].arr_id = 0;
                }
}

void leat_work_missed_drop(struct leat_worker *w, struct leat_work *work)
{
        for (uint32_t k = 0; k < work->missed_count; k++)
                arr_drop(w, work->missed[k].arr_id);
        free(work->missed);
        work->missed = NULL;
        work->missed_count = 0;
}

int leat_missed_define(struct leat_state *state, struct leat_arena *arena, const struct leat_snapshot *objects,
                       const struct leat_tick *tick, struct leat_error *err)
{
        for (uint32_t i = 0; i < tick->job_count; i++)
                for (uint32_t k = 0; k < tick->jobs[i].missed_count; k++) {
                        const struct leat_tick_missed *missed = &tick->jobs[i].missed[k];
                        const struct leat_object *object = leat_snapshot_get(objects, missed->object_id);
                        struct leat_stream_graph *graph;
                        struct leat_error ignored;
                        const char **names;
                        struct leat_type *types;
                        uint32_t count;
                        struct leat_arr_def def = {0};
                        if (missed->arr_id == 0 || leat_state_def(state, missed->arr_id) != NULL || object == NULL)
                                continue;
                        if (object->kind == LEAT_OBJECT_MATVIEW) {
                                if (leat_stream_graph_decode(arena, object->view->graph, &graph, &ignored) != 0)
                                        continue;
                                def = missed_def(missed->arr_id, graph->arrs[0].types, graph->arrs[0].column_count);
                        } else if (object->kind == LEAT_OBJECT_TOPIC) {
                                leat_keyed_names(object->topic, arena, &names, &types, &count);
                                def = missed_def(missed->arr_id, types, count);
                        } else {
                                continue;
                        }
                        LEAT_TRY(leat_state_define(state, &def, err));
                }
        return 0;
}
