/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/stream: a tick goes to the log; manifests.
 *
 * Up to LEAT_FLIGHTS_MAX ticks may be on their way: the next one is computed while
 * the broker syncs the last. The state in memory is ahead of the log by these; a
 * manifest is only written when all of them are durable, so that no crash can
 * leave a state that the log does not know.
 */
#include <inttypes.h>
#include <stdio.h>

#include "stream_worker.h"

#define BATCH_BYTES (900u * 1024)
#define FLUSH_US 30000000ll

/* ---- what the commit says -------------------------------------------------------------- */
static void positions_fill(struct leat_worker *w, struct leat_tick *tick)
{
        uint32_t count = 0;
        for (uint32_t i = 0; i < w->main.input_count; i++)
                count += (uint32_t)w->main.inputs[i]->part_count;
        count += leat_upstreams_positions(w, NULL);
        struct leat_tick_position *positions = leat_arena_zalloc(w->arena, (count + 1) * sizeof *positions);
        for (uint32_t i = 0; i < w->main.input_count; i++) {
                const struct leat_input *input = w->main.inputs[i];
                for (int32_t p = 0; p < input->part_count; p++)
                        positions[tick->position_count++] = leat_input_position(input, p);
        }
        tick->position_count += leat_upstreams_positions(w, positions + tick->position_count);
        tick->positions = positions;
}

static void inputs_fill(struct leat_worker *w, struct leat_tick *tick)
{
        uint32_t count = w->main.input_count + leat_upstreams_inputs(w, NULL);
        struct leat_tick_input *inputs = leat_arena_zalloc(w->arena, (count + 1) * sizeof *inputs);
        int64_t total = 0;
        for (uint32_t i = 0; i < w->main.input_count; i++) {
                const struct leat_input *input = w->main.inputs[i];
                struct leat_tick_input *to = &inputs[i];
                *to = (struct leat_tick_input){.object_id = input->object_id,
                                               .topic = input->topic.id,
                                               .watermark_us = input->watermark_us,
                                               .newest_event_us = input->newest_event_us,
                                               .newest_append_us = input->newest_append_us,
                                               .oldest_unread_us = INT64_MIN,
                                               .arr_id = input->arr_id};
                for (int32_t p = 0; p < input->part_count; p++) {
                        const struct leat_part *part = &input->parts[p];
                        if (part->end <= part->position)
                                continue;
                        to->lag_records += part->end - part->position;
                        int64_t unread = part->append_us != INT64_MIN ? part->append_us : w->time_us;
                        to->oldest_unread_us =
                                to->oldest_unread_us == INT64_MIN ? unread : LEAT_MIN(to->oldest_unread_us, unread);
                }
                total += to->lag_records;
        }
        leat_stat_set(w->stat_lag, (uint64_t)total);
        (void)leat_upstreams_inputs(w, inputs + w->main.input_count);
        tick->inputs = inputs;
        tick->input_count = count;
        leat_upstreams_fill(w, tick);
}

static void lane_positions(struct leat_worker *w, const struct leat_work *work, struct leat_tick_job *job)
{
        uint32_t count = 0;
        if (work->lane == NULL || work->state != LEAT_WORK_FILLING) {
                job->lane = work->parked;
                job->lane_count = work->state == LEAT_WORK_RUNNING ? 0 : work->parked_count;
                return;
        }
        for (uint32_t i = 0; i < work->lane->input_count; i++)
                count += (uint32_t)work->lane->inputs[i]->part_count;
        struct leat_tick_position *positions = leat_arena_zalloc(w->arena, (count + 1) * sizeof *positions);
        for (uint32_t i = 0; i < work->lane->input_count; i++) {
                const struct leat_input *input = work->lane->inputs[i];
                for (int32_t p = 0; p < input->part_count; p++)
                        positions[job->lane_count++] = leat_input_position(input, p);
        }
        job->lane = positions;
}

static void jobs_fill(struct leat_worker *w, struct leat_tick *tick)
{
        struct leat_tick_job *jobs = leat_arena_zalloc(w->arena, (w->work_count + 1) * sizeof *jobs);
        for (uint32_t i = 0; i < w->work_count; i++) {
                const struct leat_work *work = w->works[i];
                if (!work->begun)
                        continue; /* nothing of it is in the state yet */
                struct leat_tick_job *job = &jobs[tick->job_count++];
                *job = (struct leat_tick_job){.view_id = work->view_id,
                                              .watermark_us = work->watermark_us,
                                              .late_rows = work->late_rows,
                                              .rows_in = work->rows_in,
                                              .starts = work->starts,
                                              .start_count = work->start_count,
                                              .behind_us = work->behind_us,
                                              .missed = work->missed,
                                              .missed_count = work->missed_count,
                                              .late_arr = work->late_arr,
                                              .late_known = work->late_known};
                job->state = work->state == LEAT_WORK_RUNNING   ? LEAT_TICK_RUNNING
                             : work->state == LEAT_WORK_FILLING ? LEAT_TICK_FILLING
                                                                : LEAT_TICK_PAUSED;
                lane_positions(w, work, job);
        }
        tick->jobs = jobs;
}

/* ---- writing ------------------------------------------------------------------------------- */
struct part_done {
        struct leat_worker *w;
        struct leat_flight *flight;
        bool last;
};

static void part_done(void *arg, int64_t base_offset, const struct leat_error *err)
{
        struct part_done *done = arg;
        struct leat_worker *w = done->w;
        struct leat_flight *flight = done->flight;
        if (err != NULL && err->code != 0) {
                if (w->lost.code == 0)
                        w->lost = *err;
        } else if (done->last) {
                flight->end_offset = base_offset + flight->last_count;
        }
        flight->parts_left--;
        if (flight->parts_left == 0 && w->lost.code == 0) {
                w->durable_tick = flight->tick;
                w->durable_offset = flight->end_offset;
                flight->tick = 0;
        }
        free(done);
}

static struct leat_flight *flight_free(struct leat_worker *w)
{
        for (uint32_t i = 0; i < LEAT_FLIGHTS_MAX; i++)
                if (w->flights[i].tick == 0)
                        return &w->flights[i];
        return NULL;
}

static int lost_check(struct leat_worker *w, struct leat_error *err)
{
        if (w->lost.code == 0)
                return 0;
        return leat_error_set(err, w->lost.code, "tick %" PRId64 " could not be written: %s", w->durable_tick + 1,
                              w->lost.message);
}

static int values_send(struct leat_worker *w, struct leat_flight *flight, const struct leat_view *values,
                       uint32_t count, struct leat_error *err)
{
        struct leat_record *records = leat_arena_zalloc(w->arena, (count + 1) * sizeof *records);
        for (uint32_t from = 0, to; from < count; from = to) {
                size_t bytes = 0;
                for (to = from; to < count && (to == from || bytes + values[to].len <= BATCH_BYTES); to++) {
                        bytes += values[to].len;
                        records[to].value = values[to];
                        records[to].timestamp_ms = w->time_us / 1000;
                }
                struct part_done *done = leat_calloc(1, sizeof *done);
                *done = (struct part_done){.w = w, .flight = flight, .last = to == count};
                flight->parts_left++;
                flight->last_count = to - from;
                int rc =
                        leat_feed_send(w->writer, w->tick_topic, 0, records + from, to - from, 0, part_done, done, err);
                if (rc != 0) {
                        flight->parts_left--;
                        free(done);
                        return rc;
                }
                w->unpublished_bytes += bytes;
                w->tick_bytes += bytes;
                leat_stat_add(w->stat_tick_bytes, bytes);
        }
        return 0;
}

int leat_worker_commit(struct leat_worker *w, struct leat_error *err)
{
        struct leat_tick tick = {.pipeline = w->options->pipeline,
                                 .incarnation = w->incarnation,
                                 .tick = w->run.tick,
                                 .time_us = w->time_us,
                                 .sections = w->run.sections,
                                 .section_count = w->run.section_count,
                                 .expires = w->run.expires,
                                 .expire_count = w->run.expire_count};
        struct leat_view *values;
        uint32_t count;
        positions_fill(w, &tick);
        inputs_fill(w, &tick);
        jobs_fill(w, &tick);
        leat_worker_refused_fill(w, &tick);
        LEAT_TRY(leat_worker_quarantine_wait(w, err));
        LEAT_TRY(leat_tick_encode(w->arena, &tick, 0, &values, &count, err));
        struct leat_flight *flight;
        LEAT_TRY(leat_feed_service(w->writer, err));
        LEAT_TRY(lost_check(w, err));
        while ((flight = flight_free(w)) == NULL)
                LEAT_TRY(leat_worker_flush(w, err));
        /* One more than there are: the callback of a part may come before the next part is sent. */
        *flight = (struct leat_flight){.tick = tick.tick, .parts_left = 1};
        int rc = values_send(w, flight, values, count, err);
        flight->parts_left--;
        if (rc == 0 && flight->parts_left == 0 && w->lost.code == 0) {
                w->durable_tick = flight->tick;
                w->durable_offset = flight->end_offset;
                flight->tick = 0;
        }
        w->tick = tick.tick;
        for (uint32_t i = 0; i < w->work_count; i++)
                w->works[i]->rows_in = w->works[i]->rows_out = 0;
        leat_stat_add(w->stat_ticks, 1);
        return rc != 0 ? rc : lost_check(w, err);
}

int leat_worker_flush(struct leat_worker *w, struct leat_error *err)
{
        LEAT_TRY(leat_feed_flush(w->writer, FLUSH_US, err));
        return lost_check(w, err);
}

/* Counts what a view's state takes; one that is beyond its max_state is paused with the reason. */
static void state_measure(struct leat_worker *w, struct leat_work *work)
{
        uint64_t bytes = 0;
        char reason[160];
        for (uint32_t k = 0; k < work->arr_count; k++) {
                struct leat_arr_stats stats = leat_state_stats(w->state, work->first_arr + k);
                bytes += stats.memory_bytes + stats.disk_bytes;
        }
        if (work->late_arr != 0) {
                struct leat_arr_stats stats = leat_state_stats(w->state, work->late_arr);
                bytes += stats.memory_bytes + stats.disk_bytes;
        }
        leat_stat_set(work->stat_state, bytes);
        if (work->max_state_bytes <= 0 || bytes <= (uint64_t)work->max_state_bytes ||
            (work->state != LEAT_WORK_RUNNING && work->state != LEAT_WORK_FILLING))
                return;
        snprintf(reason, sizeof reason,
                 "its state takes %" PRIu64 " bytes, max_state allows %" PRId64 ": raise it and resume", bytes,
                 work->max_state_bytes);
        leat_work_pause(w, work, LEAT_WORK_FAILED, reason);
}

/* ---- manifests -------------------------------------------------------------------------------- */
/*
 * Where the tick topic is cut: below the manifest before the newest one, since
 * nobody needs those ticks. Pipelines that read views of this one may be a while
 * behind: for them the last worker.tick.keep bytes of ticks stay.
 */
static int64_t cut_find(struct leat_worker *w, int64_t below)
{
        uint64_t keep = w->read_elsewhere ? (uint64_t)leat_param(LEAT_P_WORKER_TICK_KEEP) : 0;
        int64_t cut = 0;
        uint32_t kept = 0;
        if (below > 0) {
                if (w->cut_count == LEAT_ARRAY_LEN(w->cuts)) { /* every second place is enough */
                        for (uint32_t i = 0; 2 * i < w->cut_count; i++)
                                w->cuts[i] = w->cuts[2 * i];
                        w->cut_count /= 2;
                }
                w->cuts[w->cut_count++] = (struct leat_tick_cut){.offset = below, .tick_bytes = w->tick_bytes};
        }
        while (kept < w->cut_count && w->tick_bytes - w->cuts[kept].tick_bytes >= keep)
                cut = w->cuts[kept++].offset;
        memmove(w->cuts, w->cuts + kept, (w->cut_count - kept) * sizeof w->cuts[0]);
        w->cut_count -= kept;
        return cut;
}

int leat_worker_publish(struct leat_worker *w, struct leat_error *err)
{
        struct leat_buf extra = LEAT_BUF_INIT;
        struct leat_tick tick = {.pipeline = w->options->pipeline,
                                 .incarnation = w->incarnation,
                                 .tick = w->tick,
                                 .time_us = w->time_us};
        if (w->tick == w->published_tick)
                return 0;
        LEAT_TRY(leat_worker_flush(w, err));
        positions_fill(w, &tick);
        inputs_fill(w, &tick);
        jobs_fill(w, &tick);
        leat_worker_refused_fill(w, &tick);
        leat_tick_encode_commit(&tick, &extra);
        int rc = leat_state_publish(w->state, w->tick, leat_buf_view(&extra), err);
        leat_buf_done(&extra);
        LEAT_TRY(rc);
        int64_t below = w->published_offset;
        w->published_tick = w->tick;
        w->published_offset = w->durable_offset;
        w->published_us = leat_os_monotonic_us();
        w->unpublished_bytes = 0;
        below = cut_find(w, below);
        if (below > 0) {
                struct leat_error trim = {0};
                if (leat_feed_topic_trim(w->feed, w->tick_topic, 0, below, &trim) != 0)
                        leat_diag_error("stream", "tick topic not trimmed", &trim);
        }
        for (uint32_t i = 0; i < w->work_count; i++)
                state_measure(w, w->works[i]);
        return 0;
}
