/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/view: followers. One thread a pipeline reads its tick topic and applies
 * whole ticks to a state reader; after each turn it puts a new picture in place.
 *
 * Only arrangements that are somebody's relation are kept (arrangement 0 of each
 * view): a section of an unknown arrangement makes the follower look into the
 * catalog once, since a worker may know a new view a moment before we do; ids
 * that are still unknown then are ignored for good, ids are never used again.
 *
 * When the log no longer has what comes next (the worker has trimmed the tick
 * topic while we were away), everything is opened anew from the newest manifest.
 *
 * Locks: views->mutex guards what others see (pictures, known views,
 * subscriptions); it is never held while reading or applying.
 */
#include <stdio.h>

#include "view_int.h"

enum { FOLLOW_POLL_BYTES = 8 * 1024 * 1024 };
#define FOLLOW_POLL_US (100LL * 1000)
#define FOLLOW_RETRY_US (50LL * 1000)
#define FOLLOW_REFRESH_US (1000LL * 1000)
#define FOLLOW_AHEAD_US (1000LL * 1000)

/* ---- known views ---------------------------------------------------------------------- */
static void add_inputs(const struct leat_snapshot *snap, const char *pipeline, const struct leat_object *o,
                       uint64_t *inputs, uint32_t *io_count, uint64_t *under, uint32_t *io_under, uint32_t max)
{
        for (uint32_t i = 0; i < o->read_count; i++) {
                const struct leat_object *in = leat_snapshot_get(snap, o->reads[i]);
                if (in == NULL)
                        continue;
                bool here = in->kind != LEAT_OBJECT_MATVIEW || strcmp(in->view->pipeline, pipeline) == 0;
                if (in->kind == LEAT_OBJECT_MATVIEW && here && *io_under < max)
                        under[(*io_under)++] = in->id;
                if (in->kind != LEAT_OBJECT_TOPIC && here)
                        add_inputs(snap, pipeline, in, inputs, io_count, under, io_under, max);
                else if (*io_count < max)
                        inputs[(*io_count)++] = in->id;
        }
}

static int64_t moved_before(const struct view_follower *f, uint64_t id)
{
        for (uint32_t i = 0; i < f->known_count; i++)
                if (f->known[i].id == id)
                        return f->known[i].moved;
        return 0;
}

static int know_view(struct view_follower *f, const struct leat_snapshot *snap, const struct leat_object *o,
                     struct leat_arena *arena, struct view_known *k, struct leat_error *err)
{
        struct leat_stream_graph *graph;
        LEAT_TRY(leat_stream_graph_decode(arena, o->view->graph, &graph, err));
        uint64_t *inputs = leat_arena_alloc(arena, 64 * sizeof *inputs);
        uint64_t *under = leat_arena_alloc(arena, 64 * sizeof *under);
        k->id = o->id;
        k->def = leat_stream_arr_def(graph, 0);
        k->arr = k->def.id;
        k->inputs = inputs;
        k->under = under;
        add_inputs(snap, f->pipeline, o, inputs, &k->input_count, under, &k->under_count, 64);
        k->moved = moved_before(f, o->id) + 1; /* learning happens when something is new */
        return leat_state_def(f->state, k->arr) != NULL ? 0 : leat_state_define(f->state, &k->def, err);
}

/* Reads the catalog and takes over the views of this pipeline; drops arrangements of those that have gone. */
static int learn(struct view_follower *f, struct leat_error *err)
{
        const struct leat_snapshot *snap;
        struct leat_arena *arena = leat_arena_new(0);
        struct view_known *known;
        uint32_t count = 0;
        int rc = leat_catalog_load(f->catalog, arena, &snap, err);
        if (rc != 0) {
                leat_arena_free(arena);
                return rc;
        }
        known = leat_arena_zalloc(arena, (snap->object_count + 1) * sizeof *known);
        pthread_mutex_lock(&f->views->mutex);
        for (uint32_t i = 0; rc == 0 && i < snap->object_count; i++) {
                const struct leat_object *o = &snap->objects[i];
                if (o->kind == LEAT_OBJECT_MATVIEW && strcmp(o->view->pipeline, f->pipeline) == 0)
                        rc = know_view(f, snap, o, arena, &known[count++], err);
        }
        for (uint32_t i = 0; rc == 0 && i < f->known_count; i++) {
                bool kept = false;
                for (uint32_t k = 0; k < count; k++)
                        kept |= known[k].id == f->known[i].id && known[k].arr == f->known[i].arr;
                if (kept)
                        continue;
                leat_view_subs_drop(f, f->known[i].id);
                (void)!leat_state_drop(f->state, f->known[i].arr, NULL);
        }
        if (rc == 0) {
                leat_arena_free(f->known_arena);
                f->known_arena = arena;
                f->known = known;
                f->known_count = count;
                f->known_version = snap->version;
                f->ahead_count = 0;
                f->ahead = leat_arena_zalloc(arena, (snap->object_count + 1) * sizeof *f->ahead);
                for (uint32_t i = 0; i < snap->object_count; i++)
                        if (snap->objects[i].kind == LEAT_OBJECT_TOPIC)
                                f->ahead[f->ahead_count++].object_id = snap->objects[i].id;
        }
        pthread_mutex_unlock(&f->views->mutex);
        if (rc != 0)
                leat_arena_free(arena);
        return rc;
}

static bool is_ignored(const struct view_follower *f, uint64_t arr)
{
        for (uint32_t i = 0; i < f->ignored_count; i++)
                if (f->ignored[i] == arr)
                        return true;
        return false;
}

static void ignore(struct view_follower *f, uint64_t arr)
{
        if (f->ignored_count == f->ignored_cap) {
                f->ignored_cap = f->ignored_cap == 0 ? 64 : f->ignored_cap * 2;
                f->ignored = leat_realloc(f->ignored, f->ignored_cap * sizeof *f->ignored);
        }
        f->ignored[f->ignored_count++] = arr;
}

/* Only this thread changes what is known. */
static bool is_known(const struct view_follower *f, uint64_t arr)
{
        for (uint32_t i = 0; i < f->known_count; i++)
                if (f->known[i].arr == arr)
                        return true;
        return false;
}

/* True when a section of this arrangement is to be applied. What only the worker needs is left out, even where a
 * manifest brought it: it would cost as much again as the views. */
static int wants(struct view_follower *f, uint64_t arr, bool *ret_wants, struct leat_error *err)
{
        *ret_wants = is_known(f, arr);
        if (*ret_wants || is_ignored(f, arr))
                return 0;
        LEAT_TRY(learn(f, err));
        *ret_wants = is_known(f, arr);
        if (!*ret_wants)
                ignore(f, arr);
        return 0;
}

/* ---- ticks -------------------------------------------------------------------------------- */
static int apply_sections(struct view_follower *f, const struct leat_tick *tick, struct leat_error *err)
{
        bool wanted;
        for (uint32_t i = 0; i < tick->section_count; i++) {
                const struct leat_tick_section *s = &tick->sections[i];
                LEAT_TRY(wants(f, s->arr_id, &wanted, err));
                if (!wanted)
                        continue;
                LEAT_TRY(leat_state_apply(f->state, s->arr_id, tick->tick, s->rows, s->weights, err));
        }
        for (uint32_t i = 0; i < tick->expire_count; i++) {
                if (!is_known(f, tick->expires[i].arr_id))
                        continue;
                LEAT_TRY(leat_state_expire(f->state, tick->expires[i].arr_id, tick->expires[i].time_us, err));
        }
        leat_state_advance(f->state, tick->tick);
        return 0;
}

/* A job that the tick names is a view with rows that may be read, be they none: its arrangement must be there. */
static int know_jobs(struct view_follower *f, const struct leat_tick *tick, struct leat_error *err)
{
        for (uint32_t j = 0; j < tick->job_count; j++) {
                uint64_t version;
                uint32_t i = 0;
                while (i < f->known_count && f->known[i].id != tick->jobs[j].view_id)
                        i++;
                if (i < f->known_count)
                        continue;
                LEAT_TRY(leat_catalog_version(f->catalog, &version, err));
                return version == f->known_version ? 0 : learn(f, err);
        }
        return 0;
}

int leat_view_apply_tick(struct view_follower *f, const struct leat_tick *tick, struct leat_error *err)
{
        if (tick->tick <= f->state_tick)
                return 0;
        LEAT_TRY(know_jobs(f, tick, err));
        struct view_change *change = leat_view_change_begin(f, tick);
        int rc = apply_sections(f, tick, err);
        if (rc == 0)
                f->state_tick = tick->tick;
        leat_view_change_end(f, change, rc == 0 ? tick : NULL);
        return rc;
}

static bool touches(const struct leat_tick *tick, uint64_t arr)
{
        for (uint32_t i = 0; i < tick->section_count; i++)
                if (tick->sections[i].arr_id == arr)
                        return true;
        for (uint32_t i = 0; i < tick->expire_count; i++)
                if (tick->expires[i].arr_id == arr)
                        return true;
        return false;
}

/* "Moved" and the picture change in one step: who sees the count sees the picture too. */
void leat_view_show(struct view_follower *f, const struct leat_tick *tick, bool all)
{
        struct leat_picture *picture = leat_view_picture_new(tick, f->state), *old;
        pthread_mutex_lock(&f->views->mutex);
        old = f->picture;
        f->picture = picture;
        for (uint32_t i = 0; i < f->known_count; i++)
                if (all || touches(tick, f->known[i].arr))
                        f->known[i].moved++;
        pthread_cond_broadcast(&f->views->changed);
        pthread_mutex_unlock(&f->views->mutex);
        leat_picture_unref(old);
}

/* Everything that has come; a picture after each whole tick. */
static int turn(struct view_follower *f, struct leat_error *err)
{
        const struct leat_feed_batch *batches;
        uint32_t count, tag;
        int32_t partition;
        LEAT_TRY(leat_feed_poll(f->reader, FOLLOW_POLL_US, FOLLOW_POLL_BYTES, &batches, &count, &tag, &partition, err));
        for (uint32_t b = 0; b < count; b++) {
                for (uint32_t r = 0; r < batches[b].record_count; r++) {
                        const struct leat_tick *tick;
                        LEAT_TRY(leat_tick_reader_feed(f->ticks, &batches[b].records[r], &tick, err));
                        if (tick == NULL)
                                continue;
                        LEAT_TRY(leat_view_apply_tick(f, tick, err));
                        leat_view_show(f, tick, false);
                }
        }
        return 0;
}

/* Takes over a newer manifest, so that the ticks in memory stay few. */
static int refresh(struct view_follower *f, struct leat_error *err)
{
        int64_t now_us = leat_os_monotonic_us(), tick;
        if (now_us - f->refresh_us < FOLLOW_REFRESH_US)
                return 0;
        f->refresh_us = now_us;
        uint64_t version;
        LEAT_TRY(leat_catalog_version(f->catalog, &version, err));
        if (version != f->known_version)
                LEAT_TRY(learn(f, err));
        return leat_state_refresh(f->state, &tick, err);
}

/* ---- how far inputs are ahead ------------------------------------------------------------------ */
/* A worker that is down commits nothing and so tells no age: look at the ends ourselves, once a second. */
static void look_ahead(struct view_follower *f)
{
        int64_t now_us = leat_os_now_us(), ends[256];
        if (f->picture == NULL || now_us - f->ahead_us < FOLLOW_AHEAD_US)
                return;
        f->ahead_us = now_us;
        const struct leat_tick *tick = f->picture->tick; /* only this thread replaces it */
        struct leat_arena *arena = leat_arena_new(0);
        const struct leat_snapshot *snap;
        if (leat_catalog_load(f->catalog, arena, &snap, NULL) != 0) {
                leat_arena_free(arena);
                return;
        }
        for (uint32_t i = 0; i < tick->input_count; i++) {
                const struct leat_tick_input *in = &tick->inputs[i];
                const char *name = NULL;
                struct leat_feed_topic topic;
                int64_t done = 0, end = 0;
                const struct leat_object *object = leat_snapshot_get(snap, in->object_id);
                if (object != NULL && object->kind == LEAT_OBJECT_TOPIC) /* views there are looked at there */
                        name = object->name;
                if (name != NULL && leat_feed_topic(f->feed, name, &topic, NULL) == 0 &&
                    leat_feed_offsets(f->feed, name, LEAT_FEED_LATEST, ends, LEAT_MIN(topic.partitions, 256), NULL) ==
                            0) {
                        for (int32_t p = 0; p < LEAT_MIN(topic.partitions, 256); p++)
                                end += ends[p];
                        for (uint32_t k = 0; k < tick->position_count; k++)
                                if (memcmp(&tick->positions[k].topic, &in->topic, sizeof in->topic) == 0)
                                        done += tick->positions[k].offset;
                        pthread_mutex_lock(&f->views->mutex);
                        for (uint32_t a = 0; a < f->ahead_count; a++) {
                                struct view_ahead *ahead = &f->ahead[a];
                                if (ahead->object_id != in->object_id)
                                        continue;
                                if (done >= end) {
                                        ahead->since_us = 0;
                                } else if (ahead->since_us == 0 || done >= ahead->end) {
                                        ahead->since_us = now_us;
                                        ahead->end = end;
                                }
                        }
                        pthread_mutex_unlock(&f->views->mutex);
                }
        }
        leat_arena_free(arena);
}

/* ---- the thread ------------------------------------------------------------------------------------ */
static void close_all(struct view_follower *f)
{
        leat_feed_reader_close(f->reader);
        leat_tick_reader_free(f->ticks);
        f->reader = NULL;
        f->ticks = NULL;
        pthread_mutex_lock(&f->views->mutex);
        struct leat_picture *picture = f->picture;
        f->picture = NULL;
        leat_view_subs_drop(f, 0);
        pthread_mutex_unlock(&f->views->mutex);
        leat_picture_unref(picture);
        leat_state_close(f->state);
        f->state = NULL;
        f->ignored_count = 0;
}

static int open_all(struct view_follower *f, struct leat_error *err)
{
        char path[4096], name[250];
        struct leat_feed_topic topic;
        struct leat_buf extra = LEAT_BUF_INIT;
        int64_t start;
        if (f->catalog == NULL) {
                snprintf(path, sizeof path, "%s/catalog.db", f->views->options.data_dir);
                LEAT_TRY(leat_catalog_open(path, &f->catalog, err));
        }
        if (f->feed == NULL)
                LEAT_TRY(leat_feed_open(&f->views->options.kafka, "leat-query-ticks", &f->feed, err));
        leat_tick_topic_name(f->pipeline, name);
        LEAT_TRY(leat_feed_topic(f->feed, name, &topic, err));
        leat_worker_state_dir(f->views->options.data_dir, f->pipeline, path);
        struct leat_state_options options = {.role = LEAT_STATE_READER, .dir = path};
        LEAT_TRY(leat_feed_offsets(f->feed, name, LEAT_FEED_EARLIEST, &start, 1, err));
        LEAT_TRY(leat_state_open(&options, &f->state, &f->state_tick, &extra, err));
        /* The manifest carries the commit of its tick: a picture at once. */
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_tick tick;
        int rc = learn(f, err);
        if (rc == 0 && extra.len != 0 && leat_tick_decode_commit(arena, leat_buf_view(&extra), &tick, err) == 0)
                leat_view_show(f, &tick, true);
        leat_arena_free(arena);
        leat_buf_done(&extra);
        if (rc != 0)
                return rc;
        f->ticks = leat_tick_reader_new(f->state_tick);
        LEAT_TRY(leat_feed_reader_open(f->feed, &f->reader, err));
        return leat_feed_reader_add(f->reader, &topic, 0, start, 0, err);
}

static void *follow(void *arg)
{
        struct view_follower *f = arg;
        while (!atomic_load(&f->stop)) {
                struct leat_error err = {0};
                bool opening = f->reader == NULL;
                int rc = opening ? open_all(f, &err) : turn(f, &err);
                if (rc == 0)
                        rc = refresh(f, &err);
                if (rc == 0) {
                        look_ahead(f);
                        continue;
                }
                if (atomic_load(&f->stop))
                        break;
                /* Not there yet (the worker makes topic and state), or the broker is away: both pass. */
                if (rc != LEAT_ENORELATION && rc != LEAT_ENOTFOUND && rc != LEAT_ETIMEOUT && rc != LEAT_ECANCELED)
                        leat_diag_error("view", "a pipeline cannot be followed; trying again", &err);
                if (opening || (rc != LEAT_ETIMEOUT && rc != LEAT_ECANCELED))
                        close_all(f);
                leat_os_sleep_us(FOLLOW_RETRY_US);
        }
        close_all(f);
        return NULL;
}

static void end_follower(struct view_follower *f)
{
        atomic_store(&f->stop, true);
        pthread_join(f->thread, NULL);
        leat_feed_close(f->feed);
        leat_catalog_close(f->catalog);
        leat_arena_free(f->known_arena);
        free(f->ignored);
        free(f->pipeline);
        free(f);
}

/* ---- the public side -------------------------------------------------------------------------------- */
int leat_views_open(const struct leat_views_options *options, struct leat_views **ret_views, struct leat_error *err)
{
        struct leat_views *views = leat_calloc(1, sizeof *views);
        (void)err;
        views->options = *options;
        views->version = UINT64_MAX;
        pthread_mutex_init(&views->mutex, NULL);
        pthread_mutex_init(&views->update, NULL);
        pthread_condattr_t attr;
        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        pthread_cond_init(&views->changed, &attr);
        pthread_condattr_destroy(&attr);
        *ret_views = views;
        return 0;
}

void leat_views_close(struct leat_views *views)
{
        if (views == NULL)
                return;
        for (struct view_follower *f = views->followers, *next; f != NULL; f = next) {
                next = f->next;
                end_follower(f);
        }
        pthread_mutex_destroy(&views->mutex);
        pthread_mutex_destroy(&views->update);
        pthread_cond_destroy(&views->changed);
        free(views);
}

struct view_follower *leat_view_follower_find(const struct leat_views *views, const char *pipeline)
{
        struct view_follower *f = views->followers;
        while (f != NULL && strcmp(f->pipeline, pipeline) != 0)
                f = f->next;
        return f;
}

static int add_follower(struct leat_views *views, const char *pipeline, struct leat_error *err)
{
        struct view_follower *f = leat_calloc(1, sizeof *f);
        f->views = views;
        f->pipeline = leat_strdup(pipeline);
        if (pthread_create(&f->thread, NULL, follow, f) != 0) {
                free(f->pipeline);
                free(f);
                return leat_error_set(err, LEAT_ENOMEM, "cannot start a thread for pipeline \"%s\"", pipeline);
        }
        pthread_mutex_lock(&views->mutex);
        f->next = views->followers;
        views->followers = f;
        pthread_mutex_unlock(&views->mutex);
        return 0;
}

int leat_views_update(struct leat_views *views, const struct leat_snapshot *catalog, struct leat_error *err)
{
        int rc = 0;
        pthread_mutex_lock(&views->update);
        for (uint32_t i = 0; rc == 0 && catalog->version != views->version && i < catalog->object_count; i++) {
                const struct leat_object *o = &catalog->objects[i];
                if (o->kind == LEAT_OBJECT_MATVIEW && leat_view_follower_find(views, o->view->pipeline) == NULL)
                        rc = add_follower(views, o->view->pipeline, err);
        }
        /* A pipeline that has lost its last view keeps its follower: it reads nothing that costs. */
        if (rc == 0)
                views->version = catalog->version;
        pthread_mutex_unlock(&views->update);
        return rc;
}

/* Waits on views->changed until @end_us; false when the time is over. The mutex is held. */
static bool wait_until(struct leat_views *views, int64_t end_us)
{
        struct timespec at = {.tv_sec = end_us / 1000000, .tv_nsec = end_us % 1000000 * 1000};
        return leat_os_monotonic_us() < end_us && pthread_cond_timedwait(&views->changed, &views->mutex, &at) == 0;
}

int leat_picture_get(struct leat_views *views, const char *pipeline, int64_t timeout_us,
                     struct leat_picture **ret_picture, struct leat_error *err)
{
        int64_t end_us = leat_os_monotonic_us() + timeout_us;
        pthread_mutex_lock(&views->mutex);
        struct view_follower *f;
        while ((f = leat_view_follower_find(views, pipeline)) == NULL || f->picture == NULL)
                if (!wait_until(views, LEAT_MIN(end_us, leat_os_monotonic_us() + 20000)) &&
                    leat_os_monotonic_us() >= end_us)
                        break;
        if (f != NULL && f->picture != NULL) {
                *ret_picture = leat_picture_ref(f->picture);
                pthread_mutex_unlock(&views->mutex);
                return 0;
        }
        pthread_mutex_unlock(&views->mutex);
        int rc = leat_error_set(err, LEAT_EBUSY, "pipeline \"%s\" has not committed a tick yet", pipeline);
        leat_error_hint(err, "Its worker may be starting: SHOW PIPELINES.");
        if (err != NULL)
                err->retriable = true;
        return rc;
}

/* ---- waiting ------------------------------------------------------------------------------------------- */
/* False when @want's topic is among @have, but not as far as @want. */
static bool reaches(const struct leat_tick_position *have, uint32_t count, const struct leat_tick_position *want)
{
        bool topic = false, done = want->offset == 0;
        for (uint32_t i = 0; i < count && !done; i++) {
                bool same = memcmp(&have[i].topic, &want->topic, sizeof want->topic) == 0;
                topic |= same;
                done = same && have[i].partition == want->partition && have[i].offset >= want->offset;
        }
        return done || !topic;
}

/* What the pipeline has read by itself, and what it has by others. */
static bool covers(const struct view_follower *f, uint64_t view_id, const struct leat_tick_position *positions,
                   uint32_t count)
{
        const struct leat_tick *tick = f->picture->tick;
        bool running = false;
        for (uint32_t j = 0; j < tick->job_count; j++)
                running |= tick->jobs[j].view_id == view_id && tick->jobs[j].state != LEAT_TICK_FILLING;
        for (uint32_t j = 0; j < tick->job_count && count > 0; j++)
                running &= tick->jobs[j].state != LEAT_TICK_FILLING ||
                           !leat_view_is_under(f, view_id, tick->jobs[j].view_id);
        for (uint32_t i = 0; running && i < count; i++) {
                running = reaches(tick->positions, tick->position_count, &positions[i]);
                for (uint32_t u = 0; u < tick->upstream_count; u++)
                        for (uint32_t m = 0; running && m < tick->upstreams[u].mirror_count; m++) {
                                const struct leat_tick_mirror *mirror = &tick->upstreams[u].mirrors[m];
                                running = !leat_view_is_input(f, view_id, mirror->view_id) ||
                                          reaches(mirror->covers, mirror->cover_count, &positions[i]);
                        }
        }
        return running;
}

/* A paused job that reads views: its lane tells how far it is in topics only. */
static bool misses_views(const struct view_follower *f, const struct leat_tick_job *job)
{
        const struct leat_tick *tick = f->picture->tick;
        bool misses = false;
        for (uint32_t k = 0; k < job->missed_count; k++) {
                misses |= leat_view_is_under(f, job->view_id, job->missed[k].object_id);
                for (uint32_t u = 0; u < tick->upstream_count; u++)
                        for (uint32_t m = 0; m < tick->upstreams[u].mirror_count; m++)
                                misses |= tick->upstreams[u].mirrors[m].view_id == job->missed[k].object_id;
        }
        return misses;
}

/* A paused view among the view and those that it stands on, which misses what is wanted; 0: none. */
static uint64_t paused_under(struct leat_views *views, const struct view_follower *f, uint64_t view_id,
                             const struct leat_tick_position *positions, uint32_t count, uint32_t depth)
{
        const struct leat_tick *tick = f != NULL && f->picture != NULL ? f->picture->tick : NULL;
        for (uint32_t j = 0; tick != NULL && j < tick->job_count; j++) {
                const struct leat_tick_job *job = &tick->jobs[j];
                bool has = job->lane_count > 0 && !misses_views(f, job);
                if (job->state != LEAT_TICK_PAUSED || job->behind_us == INT64_MIN ||
                    (job->view_id != view_id && !leat_view_is_under(f, view_id, job->view_id)))
                        continue;
                for (uint32_t i = 0; has && i < count; i++)
                        has = reaches(job->lane, job->lane_count, &positions[i]);
                if (!has)
                        return job->view_id;
        }
        for (uint32_t u = 0; tick != NULL && u < tick->upstream_count && depth < UPSTREAM_DEPTH_MAX; u++)
                for (uint32_t m = 0; m < tick->upstreams[u].mirror_count; m++) {
                        const struct leat_tick_upstream *up = &tick->upstreams[u];
                        uint64_t paused = 0;
                        if (leat_view_is_input(f, view_id, up->mirrors[m].view_id))
                                paused = paused_under(views, leat_view_follower_find(views, up->pipeline),
                                                      up->mirrors[m].view_id, positions, count, depth + 1);
                        if (paused != 0)
                                return paused;
                }
        return 0;
}

uint64_t leat_views_paused(struct leat_views *views, const char *pipeline, uint64_t view_id,
                           const struct leat_tick_position *positions, uint32_t count)
{
        pthread_mutex_lock(&views->mutex);
        uint64_t paused = paused_under(views, leat_view_follower_find(views, pipeline), view_id, positions, count, 0);
        pthread_mutex_unlock(&views->mutex);
        return paused;
}

int leat_views_wait(struct leat_views *views, const char *pipeline, uint64_t view_id,
                    const struct leat_tick_position *positions, uint32_t count, int64_t timeout_us,
                    struct leat_error *err)
{
        int64_t end_us = leat_os_monotonic_us() + timeout_us;
        bool done = false;
        pthread_mutex_lock(&views->mutex);
        for (;;) {
                const struct view_follower *f = leat_view_follower_find(views, pipeline);
                done = f != NULL && f->picture != NULL && covers(f, view_id, positions, count) &&
                       (count == 0 || paused_under(views, f, view_id, positions, count, 0) == 0);
                if (done || leat_os_monotonic_us() >= end_us)
                        break;
                (void)wait_until(views, LEAT_MIN(end_us, leat_os_monotonic_us() + 100000));
        }
        pthread_mutex_unlock(&views->mutex);
        if (done)
                return 0;
        leat_error_set(err, LEAT_ETIMEOUT, "pipeline \"%s\" has not covered the newest records within %lld ms",
                       pipeline, (long long)(timeout_us / 1000));
        leat_error_hint(err, "SHOW JOBS tells lag and state; SET leat.freshness = 'none' reads what there is.");
        if (err != NULL)
                err->retriable = true;
        return LEAT_ETIMEOUT;
}

int64_t leat_views_moved(struct leat_views *views, uint64_t view_id)
{
        int64_t moved = 0;
        pthread_mutex_lock(&views->mutex);
        for (const struct view_follower *f = views->followers; f != NULL; f = f->next)
                for (uint32_t i = 0; i < f->known_count; i++)
                        moved = f->known[i].id == view_id ? f->known[i].moved : moved;
        pthread_mutex_unlock(&views->mutex);
        return moved;
}
