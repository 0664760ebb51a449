/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/stream: which rows a view has dropped as late, so that it can be told later.
 *
 * Whether a row is late depends on the watermark of the step that took it, and
 * where steps begin and end is written in ticks, which are cut below the manifests.
 * So a step that drops rows keeps, in an arrangement of the view's own, what it took
 * of each partition and under which watermark:
 *
 *   topic, partition, first offset  ->  offset behind the last one, watermark
 *
 * A record within such a span was dropped from the windows whose end, with the
 * grace, lies at or before that watermark; any other record from none. Steps without late
 * rows keep nothing. With a retention, spans go as the windows go that they can
 * speak of. A view that has dropped late rows in SPANS_MAX spans gives them up.
 */
#include "stream_worker.h"

#define SPANS_MAX 1000000u

static const struct leat_type types[] = {{.id = LEAT_T_BIGINT},
                                         {.id = LEAT_T_INTEGER},
                                         {.id = LEAT_T_BIGINT},
                                         {.id = LEAT_T_BIGINT},
                                         {.id = LEAT_T_BIGINT}};
enum { OBJECT, PARTITION, FROM, TO, WATERMARK, COLUMNS };

bool leat_late_drops(const struct leat_stream_graph *graph)
{
        bool windows = false;
        for (uint32_t i = 0; i < graph->node_count; i++)
                windows |= graph->nodes[i].agg != NULL && graph->nodes[i].agg->late_check;
        return windows && graph->late != LEAT_STREAM_LATE_REEMIT &&
               (graph->late != LEAT_STREAM_LATE_APPLY || graph->mode == LEAT_OUT_CLOSED);
}

/* Rows of a view have no offsets. */
static bool topics_only(const struct leat_stream_graph *graph)
{
        for (uint32_t i = 0; i < graph->node_count; i++)
                if (graph->nodes[i].op == LEAT_OP_SOURCE && graph->nodes[i].kind != LEAT_STREAM_TOPIC)
                        return false;
        return true;
}

static bool kept_for_a_while(const struct leat_stream_graph *graph)
{
        return graph->retention_us > 0 && graph->arrs[0].time_column >= 0;
}

static struct leat_arr_def late_def(const struct leat_stream_graph *graph, uint64_t id)
{
        bool ends = kept_for_a_while(graph);
        return (struct leat_arr_def){.id = id,
                                     .mode = LEAT_ARR_MAP,
                                     .key_count = TO,
                                     .column_count = COLUMNS,
                                     .types = types,
                                     .time_column = ends ? WATERMARK : -1,
                                     .bucket_us = ends ? graph->arrs[0].bucket_us : 0};
}

int leat_late_define(struct leat_state *state, struct leat_arena *arena, const struct leat_snapshot *objects,
                     const struct leat_tick *tick, struct leat_error *err)
{
        for (uint32_t i = 0; i < tick->job_count; i++) {
                const struct leat_object *object = leat_snapshot_get(objects, tick->jobs[i].view_id);
                struct leat_stream_graph *graph;
                struct leat_error ignored;
                if (tick->jobs[i].late_arr == 0 || leat_state_def(state, tick->jobs[i].late_arr) != NULL ||
                    object == NULL || object->kind != LEAT_OBJECT_MATVIEW ||
                    leat_stream_graph_decode(arena, object->view->graph, &graph, &ignored) != 0)
                        continue;
                struct leat_arr_def def = late_def(graph, tick->jobs[i].late_arr);
                LEAT_TRY(leat_state_define(state, &def, err));
        }
        return 0;
}

/* ---- the worker writes ---------------------------------------------------------------------- */
void leat_work_late_drop(struct leat_worker *w, struct leat_work *work)
{
        struct leat_error ignored;
        if (work->late_arr != 0 && leat_state_def(w->state, work->late_arr) != NULL)
                (void)!leat_state_drop(w->state, work->late_arr, &ignored);
        work->late_arr = 0;
}

static int arr_open(struct leat_worker *w, struct leat_work *work, struct leat_error *err)
{
        if (work->late_arr != 0)
                return 0;
        LEAT_TRY(leat_catalog_arrangement_ids(w->catalog, 1, &work->late_arr, err));
        struct leat_arr_def def = late_def(work->job->graph, work->late_arr);
        return leat_state_define(w->state, &def, err);
}

static uint32_t spans_take(const struct leat_input *input, int64_t watermark_us, struct leat_late_span *out)
{
        for (int32_t p = 0; p < input->part_count; p++)
                out[p] = (struct leat_late_span){
                        .object_id = input->object_id, .partition = p, .from = -1, .watermark_us = watermark_us};
        for (uint32_t m = 0; m < input->mark_count; m++) {
                const struct leat_batch_mark *mark = &input->marks[m];
                uint32_t end = m + 1 < input->mark_count ? input->marks[m + 1].first_record : input->record_count;
                struct leat_late_span *span = &out[mark->partition];
                if (end == mark->first_record)
                        continue;
                if (span->from < 0)
                        span->from = mark->records[0].offset;
                span->to = mark->records[end - mark->first_record - 1].offset + 1;
        }
        uint32_t count = 0;
        for (int32_t p = 0; p < input->part_count; p++)
                if (out[p].from >= 0)
                        out[count++] = out[p];
        return count;
}

static struct leat_batch *spans_batch(struct leat_arena *arena, const struct leat_late_span *spans, uint32_t count)
{
        struct leat_batch *batch = leat_batch_new(arena, types, COLUMNS, count + 1);
        batch->rows = count;
        for (uint32_t i = 0; i < count; i++) {
                ((int64_t *)batch->columns[OBJECT].data)[i] = (int64_t)spans[i].object_id;
                ((int32_t *)batch->columns[PARTITION].data)[i] = spans[i].partition;
                ((int64_t *)batch->columns[FROM].data)[i] = spans[i].from;
                ((int64_t *)batch->columns[TO].data)[i] = spans[i].to;
                ((int64_t *)batch->columns[WATERMARK].data)[i] = spans[i].watermark_us;
        }
        return batch;
}

static int expire(struct leat_worker *w, struct leat_work *work, int64_t before_us, struct leat_error *err)
{
        const struct leat_stream_job *job = work->job;
        if (work->late_arr == 0 || !kept_for_a_while(job->graph))
                return 0;
        int64_t from = leat_stream_job_horizon(job, 0, before_us),
                to = leat_stream_job_horizon(job, 0, job->watermark_us);
        return to == INT64_MIN || to == from ? 0 : leat_tick_run_expire(&w->run, work->late_arr, to, err);
}

int leat_work_late_keep(struct leat_worker *w, struct leat_work *work, struct leat_lane *lane, int64_t watermark_us,
                        struct leat_error *err)
{
        const struct leat_stream_job *job = work->job;
        uint32_t most = 0, count = 0;
        LEAT_TRY(expire(w, work, watermark_us, err));
        if (job->late_rows == 0 || work->late_known < 0 || !leat_late_drops(job->graph) || !topics_only(job->graph))
                return 0;
        LEAT_TRY(arr_open(w, work, err));
        if (leat_state_stats(w->state, work->late_arr).rows > SPANS_MAX) {
                leat_work_late_drop(w, work);
                work->late_known = -1;
                return 0;
        }
        for (uint32_t i = 0; i < lane->input_count; i++)
                most += (uint32_t)lane->inputs[i]->part_count;
        struct leat_late_span *spans = leat_arena_alloc(w->arena, (most + 1) * sizeof *spans);
        for (uint32_t i = 0; i < lane->input_count; i++) {
                bool read = false;
                for (uint32_t k = 0; k < job->graph->object_count; k++)
                        read |= job->graph->objects[k] == lane->inputs[i]->object_id;
                if (read && !lane->inputs[i]->keyed)
                        count += spans_take(lane->inputs[i], watermark_us, spans + count);
        }
        work->late_known += job->late_rows;
        return leat_tick_run_apply(&w->run, work->late_arr, spans_batch(w->arena, spans, count), NULL, err);
}

/* ---- others read ----------------------------------------------------------------------------------- */
static int by_place(const void *a, const void *b)
{
        const struct leat_late_span *x = a, *y = b;
        if (x->object_id != y->object_id)
                return x->object_id < y->object_id ? -1 : 1;
        if (x->partition != y->partition)
                return x->partition < y->partition ? -1 : 1;
        return x->from < y->from ? -1 : x->from > y->from;
}

int leat_late_read(struct leat_state *state, uint64_t arr, struct leat_arena *arena, struct leat_late_span **ret_spans,
                   uint32_t *ret_count, struct leat_error *err)
{
        struct leat_buf spans = LEAT_BUF_INIT;
        struct leat_scan *scan;
        const struct leat_batch *chunk;
        const int64_t *ignored;
        *ret_count = 0;
        if (arr == 0)
                return 0;
        struct leat_state_snapshot *snapshot = leat_state_snapshot_take(state);
        int rc = leat_scan_open(snapshot, arr, NULL, 0, &scan, err);
        if (rc == 0) {
                while ((rc = leat_scan_next(scan, &chunk, &ignored, err)) == 0 && chunk != NULL) {
                        for (uint32_t i = 0; i < chunk->rows; i++) {
                                struct leat_late_span span = {
                                        .object_id = (uint64_t)((const int64_t *)chunk->columns[OBJECT].data)[i],
                                        .partition = ((const int32_t *)chunk->columns[PARTITION].data)[i],
                                        .from = ((const int64_t *)chunk->columns[FROM].data)[i],
                                        .to = ((const int64_t *)chunk->columns[TO].data)[i],
                                        .watermark_us = ((const int64_t *)chunk->columns[WATERMARK].data)[i]};
                                leat_buf_add(&spans, &span, sizeof span);
                        }
                }
                leat_scan_close(scan);
        }
        leat_state_snapshot_unref(snapshot);
        if (rc == 0 && spans.len > 0) {
                *ret_count = (uint32_t)(spans.len / sizeof **ret_spans);
                *ret_spans = leat_arena_alloc(arena, spans.len);
                memcpy(*ret_spans, spans.data, spans.len);
                qsort(*ret_spans, *ret_count, sizeof **ret_spans, by_place);
        }
        leat_buf_done(&spans);
        return rc;
}

int64_t leat_late_watermark(const struct leat_late_span *spans, uint32_t count, uint64_t object_id, int32_t partition,
                            int64_t offset)
{
        struct leat_late_span at = {.object_id = object_id, .partition = partition, .from = offset};
        uint32_t low = 0, high = count;
        while (low < high) { /* the first span that begins behind it */
                uint32_t middle = low + (high - low) / 2;
                if (by_place(&spans[middle], &at) <= 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        if (low == 0)
                return INT64_MIN;
        const struct leat_late_span *span = &spans[low - 1];
        return span->object_id == object_id && span->partition == partition && offset < span->to ? span->watermark_us
                                                                                                 : INT64_MIN;
}
