/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/stream: what `leat verify` leaves out of a view's query since the view does
 * not have it: rows that were dropped as late, and with EMIT ON WINDOW CLOSE the rows
 * of windows that are not over.
 *
 * Both are decided for a row and one of its windows, while the query's relations are
 * rows. Where each row lies in one window at most that is the same. Hopping windows
 * are taken apart: those with every n-th start (n = size / slide) do not overlap. So
 * the query runs n times, each time over the windows of one class and the rows that
 * count in them, and its results are put together.
 */
#include <inttypes.h>
#include <stdio.h>

#include "stream_verify.h"

#define CLASSES_MAX 100

static int64_t floor_to(int64_t value, int64_t step)
{
        int64_t rest = value % step;
        return value - (rest < 0 ? rest + step : rest);
}

/* Sources below a window: every row of the topic that comes out is one row of it, or several with the same time. */
static bool linear(const struct leat_stream_graph *graph, uint32_t number)
{
        const struct leat_node *node = &graph->nodes[number];
        if (node->op == LEAT_OP_AGG || (node->op == LEAT_OP_SOURCE && node->kind == LEAT_STREAM_KEYED))
                return false;
        for (uint32_t i = 0; i < node->input_count; i++)
                if (!linear(graph, node->inputs[i]))
                        return false;
        return true;
}

static bool same_windows(const struct leat_time_prop *a, const struct leat_time_prop *b)
{
        return a->size_us == b->size_us && a->slide_us == b->slide_us && a->offset_us == b->offset_us;
}

/* True when all rows come through windows like @window, so that leaving out a row of a topic leaves out its part of one
 * window and nothing else. */
static bool windowed(const struct leat_stream_graph *graph, uint32_t number, const struct leat_time_prop *window)
{
        const struct leat_node *node = &graph->nodes[number];
        if (node->op == LEAT_OP_SOURCE)
                return node->kind == LEAT_STREAM_KEYED;
        if (node->op == LEAT_OP_AGG && node->agg->late_check)
                return same_windows(&node->agg->window, window) && linear(graph, node->inputs[0]);
        for (uint32_t i = 0; i < node->input_count; i++)
                if (!windowed(graph, node->inputs[i], window))
                        return false;
        return true;
}

static const struct leat_agg *windows_of(const struct leat_stream_graph *graph)
{
        if (graph->mode == LEAT_OUT_CLOSED)
                return graph->nodes[graph->agg_node].agg;
        for (uint32_t i = 0; i < graph->node_count; i++)
                if (graph->nodes[i].agg != NULL && graph->nodes[i].agg->late_check)
                        return graph->nodes[i].agg;
        return NULL;
}

static int refuse(const char *view, const char *why, struct leat_error *err)
{
        return leat_error_set(err, LEAT_EUNSUPPORTED, "view %s cannot be verified afterwards: %s", view, why);
}

int leat_verify_windows_open(const struct leat_stream_graph *graph, const struct leat_tick_job *job, const char *view,
                             struct leat_verify_windows *ret_windows, struct leat_error *err)
{
        bool closed = graph->mode == LEAT_OUT_CLOSED, late = leat_late_drops(graph) && job->late_rows > 0;
        struct leat_verify_windows w = {.classes = 1, .upto_us = INT64_MAX};
        if (!closed && !late) {
                *ret_windows = w;
                return 0;
        }
        const struct leat_agg *agg = windows_of(graph);
        if (late && job->late_known != job->late_rows)
                return refuse(view, "it has dropped late rows of which it is not kept which ones they were", err);
        if (agg == NULL || !windowed(graph, graph->top_node, &agg->window))
                return refuse(view, "it drops late rows, and reads the same rows outside of its windows or in others",
                              err);
        w.filters = true;
        w.size_us = agg->window.size_us;
        w.slide_us = agg->window.slide_us;
        w.offset_us = agg->window.offset_us;
        w.grace_us = graph->grace_us;
        w.classes = (w.size_us - 1) / w.slide_us + 1;
        if (w.classes > CLASSES_MAX)
                return refuse(view, "it drops late rows, and each of them lies in more than 100 windows", err);
        if (w.classes > 1 && ((graph->mode != LEAT_OUT_AGG && !closed) || graph->nodes[graph->agg_node].agg != agg))
                return refuse(view, "it drops late rows of windows that overlap, and puts the windows together", err);
        if (closed)
                w.upto_us = job->watermark_us == INT64_MIN ? INT64_MIN : job->watermark_us - graph->grace_us;
        *ret_windows = w;
        return 0;
}

bool leat_verify_counts(const struct leat_verify_windows *w, int64_t time_us, int64_t late_us)
{
        int64_t shift = w->offset_us + w->at_class * w->slide_us;
        int64_t start = floor_to(time_us - shift, w->classes * w->slide_us) + shift, end = start + w->size_us;
        if (time_us >= end)
                return false; /* between the windows of this class */
        return end <= w->upto_us && (late_us == INT64_MIN || end > late_us - w->grace_us);
}

struct leat_batch *leat_verify_choose(const struct leat_verify_windows *w, struct leat_arena *arena,
                                      const struct leat_batch *rows, uint32_t time_column, const int64_t *late_us)
{
        const struct leat_column *time = &rows->columns[time_column];
        uint32_t *keep = leat_arena_alloc(arena, (rows->rows + 1) * sizeof *keep), count = 0;
        for (uint32_t i = 0; i < rows->rows; i++)
                if (leat_column_valid(time, i) &&
                    leat_verify_counts(w, ((const int64_t *)time->data)[i], late_us != NULL ? late_us[i] : INT64_MIN))
                        keep[count++] = i;
        return leat_batch_gather(arena, rows, keep, count);
}

void leat_verify_hops(const struct leat_verify_windows *w, const char *sql, struct leat_buf *ret_sql,
                      struct leat_buf *ret_macro)
{
        static const char name[] = "leat_hop_starts(", ours[] = "leat_class_starts(";
        const char *at;
        while ((at = strstr(sql, name)) != NULL) {
                leat_buf_add(ret_sql, sql, (size_t)(at - sql));
                leat_buf_add_str(ret_sql, ours);
                sql = at + strlen(name);
        }
        leat_buf_add_str(ret_sql, sql);
        leat_buf_add_str(ret_macro, "CREATE OR REPLACE MACRO leat_class_starts");
        for (int arguments = 3; arguments <= 4; arguments++) {
                const char *list = arguments == 3 ? "t, slide, size" : "t, slide, size, shift";
                leat_buf_printf(ret_macro,
                                "%s(%s) AS list_filter(leat_hop_starts(%s), lambda s: (epoch_us(s) - %" PRId64
                                ") %% %" PRId64 " = 0)",
                                arguments == 3 ? "" : ", ", list, list, w->offset_us + w->at_class * w->slide_us,
                                w->classes * w->slide_us);
        }
}
