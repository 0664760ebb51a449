/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/stream: following other pipelines. STREAMING.md section 2.
 *
 *   lost or new --> snapshot of the newest manifest --> its ticks, one by one
 *
 * All views that we read there stand at one tick of that pipeline: a job that
 * reads two of them sees what a SELECT would see. A view that is read for the
 * first time is copied in slices; meanwhile no ticks of that pipeline are taken.
 *
 * Ticks of which nothing concerns us are stepped over without a tick of our own
 * (two pipelines that read each other's views would never rest). What concerns us:
 * changes of our views, their watermarks and states, and the topics that the
 * pipeline has read further, since readers of ours wait for those.
 */
#include <inttypes.h>
#include <stdio.h>

#include "stream_worker.h"

#define RETRY_US 100000
#define COVERS_MAX 100000u

/* ---- finding ---------------------------------------------------------------------------------- */
struct leat_mirror *leat_mirror_find(struct leat_worker *w, uint64_t view_id)
{
        for (uint32_t i = 0; i < w->up_count; i++)
                for (uint32_t k = 0; k < w->ups[i]->mirror_count; k++)
                        if (w->ups[i]->mirrors[k]->work.view_id == view_id)
                                return w->ups[i]->mirrors[k];
        return NULL;
}

static struct leat_upstream *upstream_of_tag(struct leat_worker *w, uint32_t tag)
{
        for (uint32_t i = 0; i < w->up_count; i++)
                if (w->ups[i]->reading && w->ups[i]->tag == tag)
                        return w->ups[i];
        return NULL;
}

struct leat_mirror *leat_upstream_unloaded(const struct leat_upstream *up)
{
        for (uint32_t i = 0; i < up->mirror_count; i++)
                if (!up->mirrors[i]->loaded)
                        return up->mirrors[i];
        return NULL;
}

bool leat_upstreams_loading(const struct leat_worker *w)
{
        for (uint32_t i = 0; i < w->up_count; i++)
                if (w->ups[i]->load_scan != NULL)
                        return true;
        return false;
}

/* ---- what a tick there says ----------------------------------------------------------------------- */
const struct leat_tick_job *leat_upstream_job(const struct leat_tick *tick, uint64_t view_id)
{
        for (uint32_t i = 0; i < tick->job_count; i++)
                if (tick->jobs[i].view_id == view_id)
                        return &tick->jobs[i];
        return NULL;
}

static void cover_add(struct leat_buf *out, const struct leat_tick_position *at)
{
        struct leat_tick_position *have = (struct leat_tick_position *)(void *)out->data;
        uint32_t count = (uint32_t)(out->len / sizeof *have);
        for (uint32_t i = 0; i < count; i++)
                if (have[i].partition == at->partition && memcmp(&have[i].topic, &at->topic, sizeof at->topic) == 0) {
                        have[i].offset = LEAT_MIN(have[i].offset, at->offset);
                        return;
                }
        struct leat_tick_position cover = {
                .topic = at->topic, .partition = at->partition, .offset = at->offset, .leader_epoch = -1};
        if (count < COVERS_MAX)
                leat_buf_add(out, &cover, sizeof cover);
}

static bool is_read(const struct leat_mirror *mirror, uint64_t object_id)
{
        for (uint32_t i = 0; i < mirror->read_count; i++)
                if (mirror->reads[i] == object_id)
                        return true;
        return false;
}

/* Topics that the view reads in its pipeline, and those that the views of others had read which it stands on there. */
static void running_add(const struct leat_mirror *mirror, const struct leat_tick *tick, struct leat_buf *out)
{
        for (uint32_t u = 0; u < tick->upstream_count; u++)
                for (uint32_t m = 0; m < tick->upstreams[u].mirror_count; m++) {
                        const struct leat_tick_mirror *other = &tick->upstreams[u].mirrors[m];
                        for (uint32_t k = 0; is_read(mirror, other->view_id) && k < other->cover_count; k++)
                                cover_add(out, &other->covers[k]);
                }
        for (uint32_t i = 0; i < tick->input_count; i++) {
                const struct leat_tick_input *input = &tick->inputs[i];
                bool other = false;
                for (uint32_t u = 0; u < tick->upstream_count; u++)
                        other |= memcmp(&tick->upstreams[u].topic, &input->topic, sizeof input->topic) == 0;
                for (uint32_t k = 0; !other && is_read(mirror, input->object_id) && k < tick->position_count; k++)
                        if (memcmp(&tick->positions[k].topic, &input->topic, sizeof input->topic) == 0)
                                cover_add(out, &tick->positions[k]);
        }
}

/* Views that do not run there stand where they stopped, or where they have been filled to. */
static void stopped_add(const struct leat_mirror *mirror, const struct leat_tick *tick, struct leat_buf *out)
{
        for (uint32_t i = 0; i < mirror->under_count; i++) {
                const struct leat_tick_job *job = leat_upstream_job(tick, mirror->under[i]);
                for (uint32_t k = 0; job != NULL && job->state != LEAT_TICK_RUNNING && k < job->lane_count; k++)
                        cover_add(out, &job->lane[k]);
        }
}

/* A job that has no positions to tell how far it is in what it reads of other views: it has not moved. */
static bool stands_still(const struct leat_tick_job *job)
{
        bool behind =
                job->state == LEAT_TICK_FILLING || (job->state == LEAT_TICK_PAUSED && job->behind_us != INT64_MIN);
        return behind && (job->missed_count > 0 || job->lane_count == 0);
}

/* The pipeline reads on while such a job stands; what the view had read is what it had read before. */
static void still_keep(const struct leat_mirror *mirror, const struct leat_tick *tick, struct leat_buf *out)
{
        struct leat_tick_position *covers = (struct leat_tick_position *)(void *)out->data;
        uint32_t count = (uint32_t)(out->len / sizeof *covers);
        bool still = false;
        for (uint32_t i = 0; i < mirror->under_count; i++) {
                const struct leat_tick_job *job = leat_upstream_job(tick, mirror->under[i]);
                still |= job != NULL && stands_still(job);
        }
        for (uint32_t i = 0; still && i < count; i++) {
                int64_t before = 0;
                for (uint32_t k = 0; k < mirror->cover_count; k++)
                        if (mirror->covers[k].partition == covers[i].partition &&
                            memcmp(&mirror->covers[k].topic, &covers[i].topic, sizeof covers[i].topic) == 0)
                                before = mirror->covers[k].offset;
                covers[i].offset = LEAT_MIN(covers[i].offset, before);
        }
}

/* Takes over what the view had read; true when it is not the same as before. */
static bool covers_take(struct leat_mirror *mirror, const struct leat_tick *tick)
{
        struct leat_buf out = LEAT_BUF_INIT;
        running_add(mirror, tick, &out);
        stopped_add(mirror, tick, &out);
        still_keep(mirror, tick, &out);
        uint32_t count = (uint32_t)(out.len / sizeof *mirror->covers);
        bool moved = count != mirror->cover_count || (count > 0 && memcmp(out.data, mirror->covers, out.len) != 0);
        if (moved)
                leat_positions_keep(&mirror->covers, &mirror->cover_count,
                                    (const struct leat_tick_position *)(const void *)out.data, count);
        leat_buf_done(&out);
        return moved;
}

/* What the commit says about our views; true when something moved that can be seen. */
bool leat_upstream_commit(struct leat_upstream *up, const struct leat_tick *tick)
{
        bool moved = false;
        for (uint32_t i = 0; i < tick->input_count; i++) {
                if (tick->inputs[i].arr_id != 0)
                        continue; /* reference data is not an event */
                up->newest_event_us = LEAT_MAX(up->newest_event_us, tick->inputs[i].newest_event_us);
                up->newest_append_us = LEAT_MAX(up->newest_append_us, tick->inputs[i].newest_append_us);
        }
        for (uint32_t i = 0; i < up->mirror_count; i++) {
                struct leat_mirror *mirror = up->mirrors[i];
                const struct leat_tick_job *job = leat_upstream_job(tick, mirror->work.view_id);
                moved |= covers_take(mirror, tick);
                if (job == NULL)
                        continue;
                if (!mirror->served && job->state == LEAT_TICK_RUNNING)
                        moved = mirror->served = true;
                if (job->watermark_us > mirror->work.job->watermark_us) {
                        mirror->work.job->watermark_us = mirror->work.watermark_us = job->watermark_us;
                        moved = true;
                }
        }
        up->incarnation = tick->incarnation;
        up->tick = tick->tick;
        up->time_us = tick->time_us;
        return moved;
}

struct leat_mirror *leat_upstream_mirror(struct leat_upstream *up, uint64_t source_arr)
{
        for (uint32_t i = 0; i < up->mirror_count; i++)
                if (up->mirrors[i]->source_arr == source_arr)
                        return up->mirrors[i];
        return NULL;
}

static int tick_apply(struct leat_worker *w, struct leat_upstream *up, const struct leat_tick *tick,
                      struct leat_error *err)
{
        for (uint32_t i = 0; i < tick->section_count; i++) {
                const struct leat_tick_section *section = &tick->sections[i];
                struct leat_mirror *mirror = leat_upstream_mirror(up, section->arr_id);
                if (mirror == NULL || !mirror->loaded) /* one that is not copied yet gets all at once */
                        continue;
                LEAT_TRY(leat_mirror_apply(w, mirror, section->rows, section->weights, err));
                w->dirty = true;
        }
        for (uint32_t i = 0; i < tick->expire_count; i++) {
                struct leat_mirror *mirror = leat_upstream_mirror(up, tick->expires[i].arr_id);
                if (mirror == NULL || !mirror->loaded)
                        continue;
                LEAT_TRY(leat_tick_run_expire(&w->run, mirror->work.first_arr, tick->expires[i].time_us, err));
                w->dirty = true;
        }
        if (leat_upstream_commit(up, tick))
                w->dirty = true;
        up->offset = tick->offset + 1;
        return 0;
}

/* ---- reading its ticks --------------------------------------------------------------------------------- */
void leat_upstream_reading_end(struct leat_worker *w, struct leat_upstream *up)
{
        if (up->reading)
                leat_feed_reader_remove(w->main.reader, up->tag, 0);
        up->reading = false;
        up->record_count = 0;
        leat_tick_reader_free(up->ticks);
        up->ticks = NULL;
}

static void lost_set(struct leat_worker *w, struct leat_upstream *up, const char *why)
{
        leat_diag(LEAT_DIAG_WARN, "stream", "ticks of another pipeline are gone", "pipeline=%s tick=%" PRId64 " %s",
                  up->pipeline, up->tick, why);
        leat_upstream_reading_end(w, up);
        up->lost = true;
}

/* The topic there, when its worker has made it. */
int leat_upstream_topic(struct leat_worker *w, struct leat_upstream *up, struct leat_feed_topic *ret_topic,
                        bool *ret_is, struct leat_error *err)
{
        struct leat_error own = {0};
        int rc = leat_feed_topic(w->feed, up->name, ret_topic, &own);
        *ret_is = rc == 0;
        if (rc == 0 || rc == LEAT_ENORELATION || own.retriable || rc == LEAT_ETIMEOUT)
                return 0;
        if (err != NULL)
                *err = own;
        return rc;
}

static int reading_begin(struct leat_worker *w, struct leat_upstream *up, struct leat_error *err)
{
        struct leat_feed_topic topic;
        bool is;
        LEAT_TRY(leat_upstream_topic(w, up, &topic, &is, err));
        up->retry_us = leat_os_monotonic_us() + RETRY_US;
        if (!is)
                return 0;
        if (memcmp(&topic.id, &up->topic.id, sizeof topic.id) != 0) {
                lost_set(w, up, "its tick topic was made anew");
                return 0;
        }
        up->topic = topic;
        up->ticks = leat_tick_reader_new(up->tick);
        leat_tick_reader_fence(up->ticks, up->incarnation);
        LEAT_TRY(leat_feed_reader_add(w->main.reader, &up->topic, 0, up->offset, up->tag, err));
        up->reading = true;
        return 0;
}

bool leat_upstream_take(struct leat_worker *w, const struct leat_feed_batch *batch)
{
        struct leat_upstream *up = upstream_of_tag(w, batch->tag);
        if (up == NULL)
                return false;
        if (up->record_count + batch->record_count > up->record_cap) {
                up->record_cap = 2 * (up->record_count + batch->record_count);
                up->records = leat_realloc(up->records, up->record_cap * sizeof(*up->records));
        }
        for (uint32_t i = 0; i < batch->record_count; i++)
                up->records[up->record_count++] = &batch->records[i];
        up->end = LEAT_MAX(up->end, batch->high_watermark);
        up->leader_epoch = batch->leader_epoch;
        w->up_records += batch->record_count;
        return true;
}

bool leat_upstream_failed(struct leat_worker *w, uint32_t tag, const struct leat_error *why)
{
        struct leat_upstream *up = upstream_of_tag(w, tag);
        if (up == NULL)
                return false;
        if (why->code == LEAT_ENORELATION)
                leat_upstream_reading_end(w, up); /* gone or made anew: looked up again */
        else
                lost_set(w, up, why->message);
        return true;
}

static int records_apply(struct leat_worker *w, struct leat_upstream *up, struct leat_error *err)
{
        for (uint32_t i = 0; i < up->record_count; i++) {
                const struct leat_tick *tick;
                struct leat_error own = {0};
                int rc = leat_tick_reader_feed(up->ticks, up->records[i], &tick, &own);
                if (rc == LEAT_ECORRUPT) {
                        lost_set(w, up, own.message);
                        return 0;
                }
                if (rc == 0 && tick != NULL)
                        rc = tick_apply(w, up, tick, &own);
                if (rc != 0) {
                        if (err != NULL)
                                *err = own;
                        return rc;
                }
        }
        int64_t end = leat_feed_high_watermark(w->main.reader, up->tag, 0);
        up->end = LEAT_MAX(up->end, end);
        return 0;
}

/* ---- the part of a tick ---------------------------------------------------------------------------------------- */
static int upstream_run(struct leat_worker *w, struct leat_upstream *up, struct leat_error *err)
{
        bool due = leat_os_monotonic_us() >= up->retry_us;
        if (up->lost || !up->placed) {
                if (due)
                        LEAT_TRY(leat_upstream_place(w, up, err));
        } else if (up->load_snapshot == NULL) {
                LEAT_TRY(records_apply(w, up, err));
                if (leat_upstream_unloaded(up) != NULL && due && !up->lost)
                        LEAT_TRY(leat_upstream_place_one(w, up, err));
        }
        if (up->load_snapshot != NULL && leat_upstream_unloaded(up) != NULL)
                LEAT_TRY(leat_upstream_slice(w, up, err));
        else if (up->load_snapshot != NULL)
                leat_upstream_close(up);
        if (up->placed && !up->lost && !up->reading && up->load_snapshot == NULL && due)
                LEAT_TRY(reading_begin(w, up, err));
        for (uint32_t i = 0; i < up->mirror_count; i++) {
                struct leat_mirror *mirror = up->mirrors[i];
                mirror->work.state = mirror->loaded && mirror->served ? LEAT_WORK_RUNNING : LEAT_WORK_WAITING;
        }
        return 0;
}

int leat_upstreams_run(struct leat_worker *w, struct leat_error *err)
{
        for (uint32_t i = 0; i < w->up_count; i++)
                LEAT_TRY(upstream_run(w, w->ups[i], err));
        return 0;
}

void leat_upstreams_reset(struct leat_worker *w)
{
        w->up_records = 0;
        for (uint32_t i = 0; i < w->up_count; i++) {
                w->ups[i]->record_count = 0;
                for (uint32_t k = 0; k < w->ups[i]->mirror_count; k++) {
                        struct leat_stream_job *job = w->ups[i]->mirrors[k]->work.job;
                        leat_delta_clear(&job->out);
                        job->out_rows = NULL;
                }
        }
}

/* ---- the commit ------------------------------------------------------------------------------------------------- */
uint32_t leat_upstreams_positions(struct leat_worker *w, struct leat_tick_position *out)
{
        uint32_t count = 0;
        for (uint32_t i = 0; i < w->up_count; i++) {
                const struct leat_upstream *up = w->ups[i];
                if (!up->placed)
                        continue;
                if (out != NULL)
                        out[count] = (struct leat_tick_position){.topic = up->topic.id,
                                                                 .partition = 0,
                                                                 .offset = up->offset,
                                                                 .leader_epoch = up->leader_epoch};
                count++;
        }
        return count;
}

uint32_t leat_upstreams_inputs(struct leat_worker *w, struct leat_tick_input *out)
{
        uint32_t count = 0;
        for (uint32_t i = 0; i < w->up_count; i++) {
                const struct leat_upstream *up = w->ups[i];
                for (uint32_t k = 0; up->placed && k < up->mirror_count; k++, count++)
                        if (out != NULL)
                                out[count] = (struct leat_tick_input){.object_id = up->mirrors[k]->work.view_id,
                                                                      .topic = up->topic.id,
                                                                      .watermark_us = up->mirrors[k]->work.watermark_us,
                                                                      .newest_event_us = up->newest_event_us,
                                                                      .newest_append_us = up->newest_append_us,
                                                                      .oldest_unread_us = INT64_MIN,
                                                                      .lag_records = LEAT_MAX(up->end - up->offset, 0)};
        }
        return count;
}

void leat_upstreams_fill(struct leat_worker *w, struct leat_tick *tick)
{
        struct leat_tick_upstream *ups = leat_arena_zalloc(w->arena, (w->up_count + 1) * sizeof *ups);
        for (uint32_t i = 0; i < w->up_count; i++) {
                const struct leat_upstream *up = w->ups[i];
                struct leat_tick_mirror *mirrors =
                        leat_arena_zalloc(w->arena, (up->mirror_count + 1) * sizeof *mirrors);
                if (!up->placed)
                        continue; /* nothing of it is in the state */
                for (uint32_t k = 0; k < up->mirror_count; k++)
                        mirrors[k] = (struct leat_tick_mirror){.view_id = up->mirrors[k]->work.view_id,
                                                               .arr_id = up->mirrors[k]->work.first_arr,
                                                               .covers = up->mirrors[k]->covers,
                                                               .cover_count = up->mirrors[k]->cover_count,
                                                               .state = !up->mirrors[k]->loaded  ? LEAT_MIRROR_LOADING
                                                                        : up->mirrors[k]->served ? LEAT_MIRROR_SERVED
                                                                                                 : LEAT_MIRROR_LOADED};
                ups[tick->upstream_count++] = (struct leat_tick_upstream){.pipeline = up->pipeline,
                                                                          .topic = up->topic.id,
                                                                          .incarnation = up->incarnation,
                                                                          .tick = up->tick,
                                                                          .time_us = up->time_us,
                                                                          .mirrors = mirrors,
                                                                          .mirror_count = up->mirror_count};
        }
        tick->upstreams = ups;
}
