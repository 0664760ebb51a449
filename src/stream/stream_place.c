/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/stream: where following another pipeline begins: the newest manifest there.
 * New mirrors are copied from it in slices, those that there are get the
 * difference; then the ticks behind it follow.
 */
#include <inttypes.h>
#include <stdio.h>

#include "stream_worker.h"

#define RETRY_US 100000
#define SLICE_US 20000
#define SLICE_ROWS 200000u

void leat_upstream_close(struct leat_upstream *up)
{
        if (up->load_scan != NULL)
                leat_scan_close(up->load_scan);
        if (up->load_snapshot != NULL)
                leat_state_snapshot_unref(up->load_snapshot);
        if (up->load != NULL)
                leat_state_close(up->load);
        up->load_scan = NULL;
        up->load_snapshot = NULL;
        up->load = NULL;
        up->load_mirror = NULL;
}

/* Brings the state that was loaded to our tick: views that are new here begin where the others stand. */
static int load_follow(struct leat_worker *w, struct leat_upstream *up, int64_t begin, int64_t from,
                       struct leat_error *err)
{
        struct leat_feed_reader *reader;
        struct leat_tick_reader *ticks = leat_tick_reader_new(from);
        int64_t until = leat_os_monotonic_us() + 30000000;
        LEAT_TRY(leat_feed_reader_open(w->feed, &reader, err));
        int rc = leat_feed_reader_add(reader, &up->topic, 0, begin, 0, err);
        while (rc == 0 && from < up->tick) {
                const struct leat_feed_batch *batches;
                uint32_t count, tag;
                int32_t partition;
                rc = leat_feed_poll(reader, 200000, 8u << 20, &batches, &count, &tag, &partition, err);
                for (uint32_t b = 0; b < count && rc == 0; b++)
                        for (uint32_t i = 0; i < batches[b].record_count && rc == 0 && from < up->tick; i++) {
                                const struct leat_tick *tick;
                                rc = leat_tick_reader_feed(ticks, &batches[b].records[i], &tick, err);
                                for (uint32_t k = 0; rc == 0 && tick != NULL && k < tick->section_count; k++) {
                                        const struct leat_tick_section *s = &tick->sections[k];
                                        if (leat_state_def(up->load, s->arr_id) != NULL &&
                                            leat_upstream_mirror(up, s->arr_id))
                                                rc = leat_state_apply(up->load, s->arr_id, tick->tick, s->rows,
                                                                      s->weights, err);
                                }
                                for (uint32_t k = 0; rc == 0 && tick != NULL && k < tick->expire_count; k++)
                                        if (leat_upstream_mirror(up, tick->expires[k].arr_id))
                                                rc = leat_state_expire(up->load, tick->expires[k].arr_id,
                                                                       tick->expires[k].time_us, err);
                                if (rc == 0 && tick != NULL)
                                        from = tick->tick;
                        }
                if (rc == 0 && leat_os_monotonic_us() > until)
                        rc = leat_error_set(err, LEAT_ETIMEOUT, "the ticks of pipeline %s do not come", up->pipeline);
        }
        leat_tick_reader_free(ticks);
        leat_feed_reader_close(reader);
        return rc;
}

/* Opens the newest manifest there as up->load; what it says in @ret_commit (tick 0: there is none yet). False in *ret_is:
 * later. *ret_begin is where the topic began before that. */
static int load_open(struct leat_worker *w, struct leat_upstream *up, struct leat_tick *ret_commit, int64_t *ret_begin,
                     bool *ret_is, struct leat_error *err)
{
        char dir[4096];
        struct leat_buf extra = LEAT_BUF_INIT;
        struct leat_error own = {0};
        int64_t tick = 0;
        *ret_is = false;
        *ret_commit = (struct leat_tick){0};
        LEAT_TRY(leat_upstream_topic(w, up, &up->topic, ret_is, err));
        if (!*ret_is || leat_feed_offsets(w->feed, up->name, LEAT_FEED_EARLIEST, ret_begin, 1, &own) != 0) {
                *ret_is = false;
                return 0;
        }
        leat_worker_state_dir(w->options->data_dir, up->pipeline, dir);
        struct leat_state_options options = {.role = LEAT_STATE_READER, .dir = dir};
        int rc = leat_state_open(&options, &up->load, &tick, &extra, &own);
        for (uint32_t i = 0; rc == 0 && i < up->mirror_count; i++) {
                struct leat_arr_def def = up->mirrors[i]->work.job->graph->arrs[0];
                def.id = up->mirrors[i]->source_arr;
                if (leat_state_def(up->load, def.id) == NULL)
                        rc = leat_state_define(up->load, &def, &own);
        }
        if (rc == 0 && tick > 0) {
                uint8_t *copy = leat_arena_alloc(w->arena, extra.len + 1);
                memcpy(copy, extra.data, extra.len);
                rc = leat_tick_decode_commit(w->arena, leat_view_of(copy, extra.len), ret_commit, &own);
        }
        leat_buf_done(&extra);
        *ret_is = rc == 0;
        if (rc != 0) {
                if (rc != LEAT_ENOTFOUND)
                        leat_diag_error("stream", "the state of another pipeline cannot be opened; trying again", &own);
                leat_upstream_close(up);
        }
        return 0;
}

/* Jobs whose view cannot be brought up to date stop with the reason; the copy begins anew. */
static int mirror_failed(struct leat_worker *w, struct leat_upstream *up, struct leat_mirror *mirror,
                         const struct leat_error *why, struct leat_error *err)
{
        char reason[400];
        snprintf(reason, sizeof reason,
                 "view %s of pipeline %s cannot be followed: %.200s; CREATE OR REPLACE this view", mirror->work.name,
                 up->pipeline, why->message);
        for (uint32_t k = 0; k < w->work_count; k++) {
                struct leat_work *work = w->works[k];
                for (uint32_t i = 0; work->job != NULL && work->state != LEAT_WORK_FAILED &&
                                     work->state != LEAT_WORK_PAUSED && i < work->job->graph->object_count;
                     i++)
                        if (work->job->graph->objects[i] == mirror->work.view_id && work->begun) {
                                leat_work_pause(w, work, LEAT_WORK_FAILED, reason);
                                break;
                        }
                leat_work_missed_lose(w, work, mirror->work.view_id);
        }
        leat_delta_clear(&mirror->work.job->out);
        return leat_mirror_reset(w, mirror, err);
}

/* Everything anew from the newest manifest: views that we have by their difference, new ones by slices. */
int leat_upstream_place(struct leat_worker *w, struct leat_upstream *up, struct leat_error *err)
{
        struct leat_tick commit;
        int64_t begin;
        bool is;
        leat_upstream_close(up);
        LEAT_TRY(load_open(w, up, &commit, &begin, &is, err));
        up->retry_us = leat_os_monotonic_us() + RETRY_US;
        if (!is)
                return 0;
        up->load_snapshot = leat_state_snapshot_take(up->load);
        for (uint32_t i = 0; i < up->mirror_count; i++) {
                struct leat_mirror *mirror = up->mirrors[i];
                const struct leat_tick_job *job = leat_upstream_job(&commit, mirror->work.view_id);
                struct leat_error own = {0};
                if (!mirror->loaded) {
                        LEAT_TRY(leat_mirror_reset(w, mirror, err));
                        continue;
                }
                int rc = leat_mirror_diff(w, mirror, up->load_snapshot, job != NULL ? job->watermark_us : INT64_MIN,
                                          &own);
                if (rc != 0 && (own.retriable || (rc != LEAT_EUNSUPPORTED && rc != LEAT_ENOMEM))) {
                        if (err != NULL)
                                *err = own;
                        return rc;
                }
                if (rc != 0)
                        LEAT_TRY(mirror_failed(w, up, mirror, &own, err));
        }
        leat_upstream_commit(up, &commit);
        up->offset = begin;
        up->placed = true;
        up->lost = false;
        up->end = LEAT_MAX(begin, up->end);
        w->dirty = true;
        leat_diag(LEAT_DIAG_INFO, "stream", "another pipeline is followed", "pipeline=%s tick=%" PRId64, up->pipeline,
                  up->tick);
        return 0;
}

/* A view that is new here while others follow: its rows at our tick. */
int leat_upstream_place_one(struct leat_worker *w, struct leat_upstream *up, struct leat_error *err)
{
        struct leat_tick commit;
        struct leat_error own = {0};
        int64_t begin;
        bool is;
        if (!up->reading)
                return 0;
        LEAT_TRY(load_open(w, up, &commit, &begin, &is, err));
        up->retry_us = leat_os_monotonic_us() + RETRY_US;
        if (!is)
                return 0;
        if (commit.tick > up->tick) { /* we are behind it: when we have passed it */
                leat_upstream_close(up);
                return 0;
        }
        int rc = load_follow(w, up, begin, commit.tick, &own);
        if (rc != 0) {
                leat_diag_error("stream", "a view of another pipeline cannot be read; trying again", &own);
                leat_upstream_close(up);
                return 0;
        }
        leat_upstream_reading_end(w, up);
        up->load_snapshot = leat_state_snapshot_take(up->load);
        return 0;
}

/* One slice of the rows that a new mirror gets. */
int leat_upstream_slice(struct leat_worker *w, struct leat_upstream *up, struct leat_error *err)
{
        int64_t until = leat_os_monotonic_us() + SLICE_US;
        uint32_t rows = 0;
        if (up->load_mirror == NULL) {
                up->load_mirror = leat_upstream_unloaded(up);
                LEAT_TRY(leat_scan_open(up->load_snapshot, up->load_mirror->source_arr, NULL, 0, &up->load_scan, err));
        }
        struct leat_mirror *mirror = up->load_mirror;
        while (rows < SLICE_ROWS && leat_os_monotonic_us() < until) {
                const struct leat_batch *chunk;
                const int64_t *weights;
                LEAT_TRY(leat_scan_next(up->load_scan, &chunk, &weights, err));
                if (chunk == NULL) {
                        leat_scan_close(up->load_scan);
                        up->load_scan = NULL;
                        up->load_mirror = NULL;
                        mirror->loaded = mirror->work.begun = true;
                        break;
                }
                struct leat_batch *copy = leat_batch_copy(w->arena, chunk);
                int64_t *signs = NULL;
                if (weights != NULL) {
                        signs = leat_arena_alloc(w->arena, (chunk->rows + 1) * sizeof *signs);
                        memcpy(signs, weights, chunk->rows * sizeof *signs);
                }
                LEAT_TRY(leat_tick_run_apply(&w->run, mirror->work.first_arr, copy, signs, err));
                rows += chunk->rows;
        }
        w->dirty = true;
        if (leat_upstream_unloaded(up) == NULL)
                leat_upstream_close(up);
        return 0;
}
