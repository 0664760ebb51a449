/* SPDX-License-Identifier: Apache-2.0 */
/* leat/view: pictures: one pipeline at one tick, and what can be told from its commit. */
#include "view_int.h"

struct leat_picture *leat_view_picture_new(const struct leat_tick *tick, struct leat_state *state)
{
        struct leat_picture *p = leat_calloc(1, sizeof *p);
        struct leat_tick *t;
        atomic_init(&p->refs, 1);
        p->arena = leat_arena_new(4096);
        t = p->tick = leat_arena_copy(p->arena, tick, sizeof *tick);
        t->pipeline = leat_arena_strdup(p->arena, tick->pipeline);
        t->positions = leat_arena_copy(p->arena, tick->positions, tick->position_count * sizeof *tick->positions);
        t->inputs = leat_arena_copy(p->arena, tick->inputs, tick->input_count * sizeof *tick->inputs);
        struct leat_tick_job *jobs = leat_arena_copy(p->arena, tick->jobs, tick->job_count * sizeof *tick->jobs);
        for (uint32_t i = 0; i < tick->job_count; i++) {
                jobs[i].starts =
                        leat_arena_copy(p->arena, jobs[i].starts, jobs[i].start_count * sizeof *jobs[i].starts);
                jobs[i].lane = leat_arena_copy(p->arena, jobs[i].lane, jobs[i].lane_count * sizeof *jobs[i].lane);
                jobs[i].missed =
                        leat_arena_copy(p->arena, jobs[i].missed, jobs[i].missed_count * sizeof *jobs[i].missed);
        }
        t->jobs = jobs;
        struct leat_tick_upstream *ups = leat_arena_copy(p->arena, tick->upstreams, tick->upstream_count * sizeof *ups);
        for (uint32_t i = 0; i < tick->upstream_count; i++) {
                ups[i].pipeline = leat_arena_strdup(p->arena, ups[i].pipeline);
                struct leat_tick_mirror *m = leat_arena_copy(p->arena, ups[i].mirrors, ups[i].mirror_count * sizeof *m);
                for (uint32_t k = 0; k < ups[i].mirror_count; k++)
                        m[k].covers = leat_arena_copy(p->arena, m[k].covers, m[k].cover_count * sizeof *m[k].covers);
                ups[i].mirrors = m;
        }
        t->upstreams = ups;
        t->refused = leat_arena_copy(p->arena, tick->refused, tick->refused_count * sizeof *tick->refused);
        t->section_count = t->expire_count = 0;
        t->sections = NULL;
        t->expires = NULL;
        p->state = leat_state_snapshot_take(state);
        return p;
}

struct leat_picture *leat_picture_ref(struct leat_picture *picture)
{
        atomic_fetch_add(&picture->refs, 1);
        return picture;
}

void leat_picture_unref(struct leat_picture *picture)
{
        if (picture == NULL || atomic_fetch_sub(&picture->refs, 1) != 1)
                return;
        leat_state_snapshot_unref(picture->state);
        leat_arena_free(picture->arena);
        free(picture);
}

const struct leat_tick *leat_picture_tick(const struct leat_picture *picture)
{
        return picture->tick;
}

struct leat_state_snapshot *leat_picture_state(const struct leat_picture *picture)
{
        return picture->state;
}

int leat_picture_check(const struct leat_picture *picture, uint64_t view_id, const char *name, struct leat_error *err)
{
        for (uint32_t i = 0; i < picture->tick->job_count; i++) {
                const struct leat_tick_job *job = &picture->tick->jobs[i];
                if (job->view_id != view_id)
                        continue;
                if (job->state != LEAT_TICK_FILLING)
                        return 0;
                leat_error_set(err, LEAT_EBUSY, "view \"%s\" is still being filled", name);
                leat_error_hint(err, "SHOW JOBS tells how far it is.");
                if (err != NULL)
                        err->retriable = true;
                return LEAT_EBUSY;
        }
        leat_error_set(err, LEAT_EBUSY, "view \"%s\" has not been started by its pipeline \"%s\" yet", name,
                       picture->tick->pipeline);
        leat_error_hint(err, "SHOW JOBS tells why.");
        if (err != NULL)
                err->retriable = true;
        return LEAT_EBUSY;
}

/* True when @object_id is an input of the view; view 0: any. Called with the mutex held. */
bool leat_view_is_input(const struct view_follower *f, uint64_t view_id, uint64_t object_id)
{
        for (uint32_t v = 0; f != NULL && v < f->known_count; v++) {
                if (view_id != 0 && f->known[v].id != view_id)
                        continue;
                for (uint32_t i = 0; i < f->known[v].input_count; i++)
                        if (f->known[v].inputs[i] == object_id)
                                return true;
        }
        return false;
}

bool leat_view_is_under(const struct view_follower *f, uint64_t view_id, uint64_t below)
{
        for (uint32_t v = 0; f != NULL && v < f->known_count; v++)
                for (uint32_t i = 0; f->known[v].id == view_id && i < f->known[v].under_count; i++)
                        if (f->known[v].under[i] == below)
                                return true;
        return false;
}

/* True when the picture has what was ahead when we looked last: between two looks most of it has come. */
static bool has_come(const struct leat_tick *tick, const struct view_ahead *ahead)
{
        for (uint32_t i = 0; i < tick->input_count; i++) {
                int64_t done = 0;
                if (tick->inputs[i].object_id != ahead->object_id)
                        continue;
                for (uint32_t k = 0; k < tick->position_count; k++)
                        if (memcmp(&tick->positions[k].topic, &tick->inputs[i].topic, sizeof tick->inputs[i].topic) ==
                            0)
                                done += tick->positions[k].offset;
                return done >= ahead->end;
        }
        return false;
}

static bool is_further(const struct leat_tick_position *have, uint32_t count, const struct leat_tick_position *than)
{
        for (uint32_t i = 0; i < count; i++)
                if (have[i].partition == than->partition && have[i].offset > than->offset &&
                    memcmp(&have[i].topic, &than->topic, sizeof than->topic) == 0)
                        return true;
        return false;
}

/* True when one of the topics that @mirror names has been read further by @tick, by itself or by others. */
static bool is_behind(const struct leat_tick *tick, const struct leat_tick_mirror *mirror)
{
        for (uint32_t c = 0; c < mirror->cover_count; c++) {
                if (is_further(tick->positions, tick->position_count, &mirror->covers[c]))
                        return true;
                for (uint32_t u = 0; u < tick->upstream_count; u++)
                        for (uint32_t m = 0; m < tick->upstreams[u].mirror_count; m++)
                                if (is_further(tick->upstreams[u].mirrors[m].covers,
                                               tick->upstreams[u].mirrors[m].cover_count, &mirror->covers[c]))
                                        return true;
        }
        return false;
}

static int64_t oldest_missing(struct leat_views *views, const struct leat_tick *tick, uint64_t view_id, uint32_t depth);

/* What views of other pipelines that the view reads do not reflect, and what they have that it does not. */
static int64_t oldest_upstream(struct leat_views *views, const struct view_follower *f, const struct leat_tick *tick,
                               uint64_t view_id, uint32_t depth)
{
        int64_t oldest_us = INT64_MAX;
        for (uint32_t u = 0; u < tick->upstream_count && depth < UPSTREAM_DEPTH_MAX; u++) {
                const struct leat_tick_upstream *up = &tick->upstreams[u];
                const struct view_follower *there = leat_view_follower_find(views, up->pipeline);
                for (uint32_t m = 0; m < up->mirror_count; m++) {
                        if (!leat_view_is_input(f, view_id, up->mirrors[m].view_id) || there == NULL ||
                            there->picture == NULL)
                                continue;
                        const struct leat_tick *now = there->picture->tick;
                        oldest_us = LEAT_MIN(oldest_us, oldest_missing(views, now, up->mirrors[m].view_id, depth + 1));
                        if (now->tick > up->tick && is_behind(now, &up->mirrors[m]))
                                oldest_us = LEAT_MIN(oldest_us, up->time_us);
                }
        }
        return oldest_us;
}

/* Append time of the oldest record that the view does not reflect; INT64_MAX: it reflects all. The mutex is held. */
static int64_t oldest_missing(struct leat_views *views, const struct leat_tick *tick, uint64_t view_id, uint32_t depth)
{
        int64_t oldest_us = INT64_MAX;
        const struct view_follower *f = leat_view_follower_find(views, tick->pipeline);
        for (uint32_t j = 0; j < tick->job_count; j++) {
                const struct leat_tick_job *job = &tick->jobs[j];
                if (job->behind_us != INT64_MIN &&
                    (job->view_id == view_id || view_id == 0 || leat_view_is_under(f, view_id, job->view_id)))
                        oldest_us = LEAT_MIN(oldest_us, job->behind_us);
        }
        for (uint32_t i = 0; i < tick->input_count; i++) {
                const struct leat_tick_input *in = &tick->inputs[i];
                if (in->oldest_unread_us != INT64_MIN && leat_view_is_input(f, view_id, in->object_id))
                        oldest_us = LEAT_MIN(oldest_us, in->oldest_unread_us);
        }
        for (uint32_t i = 0; f != NULL && i < f->ahead_count; i++)
                if (f->ahead[i].since_us != 0 && !has_come(tick, &f->ahead[i]) &&
                    leat_view_is_input(f, view_id, f->ahead[i].object_id))
                        oldest_us = LEAT_MIN(oldest_us, f->ahead[i].since_us);
        return LEAT_MIN(oldest_us, oldest_upstream(views, f, tick, view_id, depth));
}

int64_t leat_picture_age_us(struct leat_views *views, const struct leat_picture *picture, uint64_t view_id)
{
        pthread_mutex_lock(&views->mutex);
        int64_t oldest_us = oldest_missing(views, picture->tick, view_id, 0);
        pthread_mutex_unlock(&views->mutex);
        return oldest_us == INT64_MAX ? 0 : LEAT_MAX(leat_os_now_us() - oldest_us, 0);
}

int64_t leat_picture_newest_us(const struct leat_picture *picture, uint64_t view_id)
{
        int64_t event_us = INT64_MIN, append_us = INT64_MIN;
        (void)view_id;
        for (uint32_t i = 0; i < picture->tick->input_count; i++) {
                const struct leat_tick_input *in = &picture->tick->inputs[i];
                if (in->arr_id != 0)
                        continue; /* reference data is not an event */
                event_us = LEAT_MAX(event_us, in->newest_event_us);
                append_us = LEAT_MAX(append_us, in->newest_append_us);
        }
        return event_us != INT64_MIN ? event_us : append_us;
}
