/* SPDX-License-Identifier: Apache-2.0 */
/* leat/view: pictures: one pipeline at one tick, and what can be told from its commit. */
#include "view_int.h"

static void *copy(struct leat_arena *arena, const void *from, size_t bytes)
{
        void *to = leat_arena_alloc(arena, bytes);
        if (bytes != 0)
                memcpy(to, from, bytes);
        return to;
}

struct leat_picture *leat_view_picture_new(const struct leat_tick *tick, struct leat_state *state)
{
        struct leat_picture *p = leat_calloc(1, sizeof *p);
        struct leat_tick *t;
        atomic_init(&p->refs, 1);
        p->arena = leat_arena_new(4096);
        t = p->tick = copy(p->arena, tick, sizeof *tick);
        t->pipeline = leat_arena_strdup(p->arena, tick->pipeline);
        t->positions = copy(p->arena, tick->positions, tick->position_count * sizeof *tick->positions);
        t->inputs = copy(p->arena, tick->inputs, tick->input_count * sizeof *tick->inputs);
        struct leat_tick_job *jobs = copy(p->arena, tick->jobs, tick->job_count * sizeof *tick->jobs);
        for (uint32_t i = 0; i < tick->job_count; i++) {
                jobs[i].starts = copy(p->arena, jobs[i].starts, jobs[i].start_count * sizeof *jobs[i].starts);
                jobs[i].lane = copy(p->arena, jobs[i].lane, jobs[i].lane_count * sizeof *jobs[i].lane);
        }
        t->jobs = jobs;
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
static bool is_input(const struct view_follower *f, uint64_t view_id, uint64_t object_id)
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

int64_t leat_picture_age_us(struct leat_views *views, const struct leat_picture *picture, uint64_t view_id)
{
        int64_t oldest_us = INT64_MAX, now_us = leat_os_now_us();
        pthread_mutex_lock(&views->mutex);
        const struct view_follower *f = leat_view_follower_find(views, picture->tick->pipeline);
        for (uint32_t i = 0; i < picture->tick->input_count; i++) {
                const struct leat_tick_input *in = &picture->tick->inputs[i];
                if (in->oldest_unread_us != INT64_MIN && is_input(f, view_id, in->object_id))
                        oldest_us = LEAT_MIN(oldest_us, in->oldest_unread_us);
        }
        for (uint32_t i = 0; f != NULL && i < f->ahead_count; i++)
                if (f->ahead[i].since_us != 0 && !has_come(picture->tick, &f->ahead[i]) &&
                    is_input(f, view_id, f->ahead[i].object_id))
                        oldest_us = LEAT_MIN(oldest_us, f->ahead[i].since_us);
        pthread_mutex_unlock(&views->mutex);
        return oldest_us == INT64_MAX ? 0 : LEAT_MAX(now_us - oldest_us, 0);
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
