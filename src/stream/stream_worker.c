/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/stream: the worker's main loop.
 *
 *   catalog -> read -> keyed topics -> watermarks -> jobs that run -> jobs that fill -> commit -> manifest, merging
 *
 * A tick waits for the first row, then for a while that follows the cost of the
 * ticks before it (a twelfth of the time at most goes to small ticks), and takes
 * everything that is there when it is behind. Without rows there is a tick only
 * when the clock moved a watermark, at most once a second, or when a job's state
 * changed.
 *
 * A job that fails in the middle of a tick is paused in the catalog, and the
 * session ends: the next one begins at the last committed tick, without it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "stream_worker.h"

#define CATALOG_POLL_US 20000
#define PROGRESS_US 1000000
#define GROW_US 5000000
#define SPACE_RETRY_US 2000000
#define SPACE_MEMORY_FACTOR 4u
#define SESSION_AGAIN (-1)

void leat_worker_state_dir(const char *data_dir, const char *pipeline, char *out)
{
        snprintf(out, 4096, "%s/store/pipelines/%s", data_dir, pipeline);
}

/* ---- keyed topics -------------------------------------------------------------------------- */
static bool keyed_read(struct leat_worker *w, const struct leat_input *input)
{
        for (uint32_t k = 0; k < w->work_count; k++) {
                const struct leat_work *work = w->works[k];
                for (uint32_t i = 0;
                     work->job != NULL && (work->state == LEAT_WORK_RUNNING || work->missed_count > 0) &&
                     i < work->job->graph->node_count;
                     i++)
                        if (work->job->graph->nodes[i].op == LEAT_OP_SOURCE &&
                            work->job->graph->nodes[i].object_id == input->object_id)
                                return true;
        }
        return false;
}

static int keyed_apply(struct leat_worker *w, struct leat_input *input, struct leat_error *err)
{
        bool ready = true;
        for (int32_t p = 0; p < input->part_count; p++)
                ready &= input->parts[p].position >= input->parts[p].load_until;
        if (ready && !input->ready) {
                input->ready = true;
                w->dirty = true;
        }
        if (input->rows.batch == NULL || input->rows.batch->rows == 0)
                return 0;
        struct leat_batch *rows = (struct leat_batch *)(uintptr_t)input->rows.batch;
        int64_t *weights = NULL;
        if (input->rows.deleted != NULL) {
                weights = leat_arena_alloc(w->arena, (rows->rows + 1) * sizeof *weights);
                for (uint32_t i = 0; i < rows->rows; i++)
                        weights[i] = input->rows.deleted[i >> 6] >> (i & 63) & 1 ? -1 : 1;
        }
        if (keyed_read(w, input))
                LEAT_TRY(leat_keyed_delta(w, input->arr_id, input->def.key_count, rows, weights, false, &input->changes,
                                          err));
        return leat_tick_run_apply(&w->run, input->arr_id, rows, weights, err);
}

/* ---- one tick --------------------------------------------------------------------------------------- */
static int input_failed(struct leat_worker *w, struct leat_input *input, const struct leat_error *why)
{
        if (input == NULL)
                return 0;
        for (uint32_t k = 0; k < w->work_count; k++) {
                struct leat_work *work = w->works[k];
                for (uint32_t i = 0;
                     work->job != NULL && work->state == LEAT_WORK_RUNNING && i < work->job->graph->object_count; i++)
                        if (work->job->graph->objects[i] == input->object_id)
                                leat_work_pause(w, work, LEAT_WORK_FAILED, why->message);
        }
        return 0;
}

static bool any_filling(const struct leat_worker *w)
{
        for (uint32_t i = 0; i < w->work_count; i++)
                if (w->works[i]->state == LEAT_WORK_FILLING)
                        return true;
        return false;
}

static bool watermarks_moved(struct leat_worker *w)
{
        for (uint32_t k = 0; k < w->work_count; k++) {
                const struct leat_work *work = w->works[k];
                for (uint32_t i = 0; work->job != NULL && work->state == LEAT_WORK_RUNNING && i < w->main.input_count;
                     i++)
                        if (w->main.inputs[i]->time_index >= 0 && w->main.inputs[i]->watermark_us > work->watermark_us)
                                return true;
        }
        return false;
}

/* Jobs that are paused and miss what comes in this tick. */
static void behind_note(struct leat_worker *w)
{
        for (uint32_t k = 0; k < w->work_count; k++) {
                struct leat_work *work = w->works[k];
                if (work->state == LEAT_WORK_RUNNING || work->state == LEAT_WORK_FILLING)
                        work->behind_us = INT64_MIN;
                if ((work->state != LEAT_WORK_PAUSED && work->state != LEAT_WORK_FAILED) ||
                    work->behind_us != INT64_MIN || work->job == NULL)
                        continue;
                for (uint32_t n = 0; n < work->job->graph->object_count; n++) {
                        const struct leat_input *input = leat_lane_find(&w->main, work->job->graph->objects[n]);
                        const struct leat_work *view = leat_work_find(w, work->job->graph->objects[n]);
                        for (uint32_t m = 0; input != NULL && m < input->mark_count; m++)
                                work->behind_us = work->behind_us == INT64_MIN
                                                          ? input->marks[m].append_us
                                                          : LEAT_MIN(work->behind_us, input->marks[m].append_us);
                        if (view != NULL && view->job != NULL && view->job->out.rows > 0 &&
                            work->behind_us == INT64_MIN)
                                work->behind_us = w->time_us;
                }
        }
}

static int jobs_run(struct leat_worker *w, struct leat_error *err)
{
        for (uint32_t i = 0; i < w->work_count; i++) {
                struct leat_work *work = w->works[i];
                if (work->job != NULL) {
                        leat_delta_clear(&work->job->out);
                        work->job->out_rows = NULL;
                }
                if (work->missed_count > 0)
                        LEAT_TRY(leat_work_missed_add(w, work, err));
                if (work->state != LEAT_WORK_RUNNING && work->state != LEAT_WORK_FILLING)
                        continue;
                struct leat_error own = {0};
                int rc = work->state == LEAT_WORK_RUNNING ? leat_work_run(w, work, &w->main, &own)
                                                          : leat_work_fill(w, work, &own);
                if (rc == 0)
                        continue;
                if (rc == LEAT_EFULL || own.retriable || rc == LEAT_ENOMEM || w->lost.code != 0) {
                        if (err != NULL)
                                *err = own;
                        return rc; /* not the job's fault */
                }
                leat_work_pause(w, work, LEAT_WORK_FAILED, own.message);
                return SESSION_AGAIN;
        }
        return 0;
}

/* Jobs that have joined read the main lane from the next tick on. */
static int lanes_merge(struct leat_worker *w, struct leat_error *err)
{
        bool joined = false;
        for (uint32_t i = 0; i < w->work_count; i++) {
                struct leat_work *work = w->works[i];
                if (work->lane == NULL)
                        continue;
                leat_lane_reset(work->lane);
                if (work->state != LEAT_WORK_RUNNING)
                        continue;
                leat_lane_done(work->lane);
                free(work->lane);
                work->lane = NULL;
                joined = true;
        }
        w->dirty |= joined; /* the next tick tells the watermarks of inputs that are new here */
        for (uint32_t i = 0; joined && i < w->main.input_count; i++)
                LEAT_TRY(leat_input_rebuild(w, &w->main, w->main.inputs[i], err));
        for (uint32_t i = 0; joined && i < w->work_count; i++)
                if (w->works[i]->job != NULL)
                        LEAT_TRY(leat_work_maps(w, w->works[i], err));
        return 0;
}

static int tick_make(struct leat_worker *w, struct leat_error *err)
{
        int64_t mono = leat_os_monotonic_us();
        int rc = 0;
        w->time_us = LEAT_MAX(w->time_us, leat_os_now_us());
        w->run.arena = w->arena;
        w->run.state = w->state;
        w->run.tick = w->tick + 1;
        for (uint32_t i = 0; i < w->main.input_count; i++)
                leat_input_time(w->main.inputs[i], w->time_us, mono);
        LEAT_TRY(leat_upstreams_run(w, err));
        bool idle = w->main.records == 0 && !w->dirty && !any_filling(w);
        bool clock = watermarks_moved(w) && mono - w->last_commit_us >= PROGRESS_US;
        if (idle && !clock)
                return 0;
        LEAT_TRY(leat_worker_quarantine(w, &w->main, err));
        for (uint32_t i = 0; i < w->main.input_count && rc == 0; i++)
                if (w->main.inputs[i]->keyed)
                        rc = keyed_apply(w, w->main.inputs[i], err);
        if (rc == 0)
                rc = jobs_run(w, err);
        if (rc == 0)
                behind_note(w);
        if (rc == 0 && (w->main.records > 0 || w->dirty || clock || w->run.section_count > 0)) {
                w->dirty = false;
                rc = leat_worker_commit(w, err);
                w->last_commit_us = leat_os_monotonic_us();
        }
        leat_tick_run_done(&w->run);
        int64_t cost = leat_os_monotonic_us() - mono;
        w->tick_us = (3 * w->tick_us + cost) / 4;
        leat_stat_add(w->stat_tick_time, (uint64_t)cost);
        return rc;
}

static bool upstream_reading(const struct leat_worker *w)
{
        for (uint32_t i = 0; i < w->up_count; i++)
                if (w->ups[i]->reading)
                        return true;
        return false;
}

/* ---- the loop ----------------------------------------------------------------------------------------- */
static int read_main(struct leat_worker *w, struct leat_error *err)
{
        struct leat_input *failed = NULL;
        struct leat_error own = {0};
        int64_t now = leat_os_monotonic_us();
        int64_t least = leat_param(LEAT_P_WORKER_TICK_MIN), most = leat_param(LEAT_P_WORKER_TICK_MAX);
        int64_t gap = LEAT_MIN(LEAT_MAX(12 * w->tick_us, least), most), next = w->tick_begun_us + gap;
        uint64_t records = (uint64_t)leat_param(LEAT_P_WORKER_TICK_RECORDS);
        size_t bytes = (size_t)leat_param(LEAT_P_WORKER_TICK_BYTES);
        int64_t first = any_filling(w) || leat_upstreams_loading(w) ? now : now + CATALOG_POLL_US;
        if (w->main.input_count == 0 && !upstream_reading(w)) {
                leat_os_sleep_us(first == now ? 0 : CATALOG_POLL_US);
                w->tick_begun_us = leat_os_monotonic_us();
                return 0;
        }
        int rc = leat_lane_fill(w, &w->main, NULL, first, records, bytes, &failed, &own);
        uint64_t got = w->main.records + w->up_records;
        if (rc == 0 && got > 0 && got < records && leat_os_monotonic_us() < next)
                rc = leat_lane_fill(w, &w->main, NULL, next, records, bytes, &failed, &own);
        w->tick_begun_us = leat_os_monotonic_us();
        if (failed != NULL)
                return input_failed(w, failed, &own);
        if (rc == LEAT_ETIMEOUT || own.retriable) { /* the broker is away: it will come back */
                leat_diag_error("stream", "no records can be read", &own);
                leat_os_sleep_us(200000);
                return 0;
        }
        if (rc != 0 && err != NULL)
                *err = own;
        return rc;
}

/*
 * Manifest and merging. When the disk is full they are put off: the ticks are in
 * the log, so nothing is lost by it, but memory grows until SPACE_MEMORY_FACTOR
 * manifests' worth is in none; then the session ends and the reason is told.
 */
static int state_to_disk(struct leat_worker *w, int64_t now, struct leat_error *err)
{
        bool more;
        uint64_t most = (uint64_t)leat_param(LEAT_P_WORKER_MANIFEST_BYTES);
        struct leat_error own = {0};
        bool due = now - w->published_us >= leat_param(LEAT_P_WORKER_MANIFEST_INTERVAL) && w->tick != w->published_tick;
        if (now < w->space_us)
                return 0;
        int rc = due || w->unpublished_bytes >= most ? leat_worker_publish(w, &own) : 0;
        if (rc == 0)
                rc = leat_state_merge(w->state, w->main.records > 0 ? 2000 : 10000, &more, &own);
        if (rc == LEAT_EFULL && w->unpublished_bytes < SPACE_MEMORY_FACTOR * most) {
                leat_diag_error("stream", "state stays in memory, the log has its ticks", &own);
                w->space_us = now + SPACE_RETRY_US;
                return 0;
        }
        if (rc != 0 && err != NULL)
                *err = own;
        return rc;
}

static int housekeeping(struct leat_worker *w, struct leat_error *err)
{
        int64_t now = leat_os_monotonic_us();
        LEAT_TRY(state_to_disk(w, now, err));
        if (now - w->grown_us >= GROW_US) {
                struct leat_error own = {0};
                w->grown_us = now;
                int rc = leat_lane_grow(w, &w->main, &own);
                if (rc != 0 && rc != LEAT_ENORELATION && !own.retriable) {
                        *err = own;
                        return rc;
                }
        }
        return leat_feed_service(w->writer, err);
}

static int session_open(struct leat_worker *w, struct leat_error *err)
{
        char path[4096];
        snprintf(path, sizeof path, "%s/catalog.db", w->options->data_dir);
        snprintf(w->role, sizeof w->role, "worker:%.250s", w->options->pipeline);
        leat_tick_topic_name(w->options->pipeline, w->tick_topic);
        LEAT_TRY(leat_catalog_open(path, &w->catalog, err));
        LEAT_TRY(leat_feed_open(&w->options->kafka, w->role, &w->feed, err));
        LEAT_TRY(leat_feed_writer_open(w->feed, &w->writer, err));
        LEAT_TRY(leat_runtime_open(&w->rt, leat_param(LEAT_P_WORKER_MEMORY), err));
        w->arena = leat_arena_new(1 << 20);
        w->stat_ticks = leat_stats_slot(w->options->stats, LEAT_M_WORKER_TICKS, "");
        w->stat_tick_time = leat_stats_slot(w->options->stats, LEAT_M_WORKER_TICK_TIME, "");
        w->stat_tick_bytes = leat_stats_slot(w->options->stats, LEAT_M_WORKER_TICK_BYTES, "");
        w->stat_quarantined = leat_stats_slot(w->options->stats, LEAT_M_WORKER_QUARANTINED, "");
        w->stat_lag = leat_stats_slot(w->options->stats, LEAT_M_WORKER_LAG, "");
        LEAT_TRY(leat_worker_recover(w, err));
        return leat_lane_open(w, &w->main, err);
}

static void session_close(struct leat_worker *w)
{
        leat_tick_run_done(&w->run);
        for (uint32_t i = 0; i < w->work_count; i++)
                leat_work_free(w->works[i]);
        free(w->works);
        leat_upstreams_done(w);
        leat_lane_done(&w->main);
        if (w->state != NULL)
                leat_state_close(w->state);
        if (w->rt.engine != NULL)
                leat_runtime_close(&w->rt);
        if (w->writer != NULL)
                leat_feed_writer_close(w->writer);
        if (w->feed != NULL)
                leat_feed_close(w->feed);
        if (w->catalog != NULL)
                leat_catalog_close(w->catalog);
        free(w->run.sections);
        free(w->run.expires);
        free(w->run.snapshots);
        leat_arena_free(w->arena);
        leat_arena_free(w->last_arena);
}

static int session_loop(struct leat_worker *w, struct leat_error *err)
{
        while (!atomic_load_explicit(w->options->stop, memory_order_relaxed)) {
                LEAT_TRY(leat_works_sync(w, err));
                LEAT_TRY(read_main(w, err));
                int rc = tick_make(w, err);
                LEAT_TRY(rc);
                LEAT_TRY(housekeeping(w, err));
                leat_lane_reset(&w->main);
                leat_upstreams_reset(w);
                LEAT_TRY(lanes_merge(w, err));
                leat_arena_reset(w->arena);
        }
        return leat_worker_publish(w, err);
}

static int session_run(const struct leat_worker_options *options, struct leat_error *err)
{
        struct leat_worker w = {.options = options};
        struct leat_error ignored;
        int rc = session_open(&w, err);
        if (rc == 0)
                rc = session_loop(&w, err);
        if (rc == SESSION_AGAIN && leat_worker_flush(&w, &ignored) != 0)
                leat_diag(LEAT_DIAG_WARN, "stream", "ticks before a failed one may be repeated", "%s", "");
        if (w.catalog != NULL && rc != SESSION_AGAIN)
                (void)!leat_catalog_applied_remove(w.catalog, w.role, getpid(), &ignored);
        session_close(&w);
        return rc;
}

int leat_worker_run(const struct leat_worker_options *options, struct leat_error *err)
{
        struct leat_stats *own = NULL;
        struct leat_worker_options with = *options;
        if (with.stats == NULL) {
                LEAT_TRY(leat_stats_open(NULL, 1024, &own, err));
                with.stats = own;
        }
        int rc;
        do {
                rc = session_run(&with, err);
        } while (rc == SESSION_AGAIN);
        leat_stats_close(own);
        return rc;
}
