/* SPDX-License-Identifier: Apache-2.0 */
/* leat/view: what its files share. */
#ifndef LEAT_VIEW_INT_H
#define LEAT_VIEW_INT_H

#include <pthread.h>

#include "leat/view.h"

#define UPSTREAM_DEPTH_MAX 32u /* pipelines behind each other */

/* One materialized view of a pipeline, as its follower knows it. */
struct view_known {
        uint64_t id;
        uint64_t arr; /* arrangement 0 */
        struct leat_arr_def def;
        uint32_t input_count; /* topics and views of other pipelines, views of this one resolved */
        const uint64_t *inputs;
        uint32_t under_count; /* views of this pipeline that it stands on */
        const uint64_t *under;
        int64_t moved; /* under views->mutex: counts the ticks that changed it */
};

/* A topic whose end is ahead of what the pipeline has committed, seen by ourselves. */
struct view_ahead {
        uint64_t object_id;
        int64_t since_us; /* 0: not ahead */
        int64_t end;      /* sum of ends when it was first seen */
};

struct view_follower {
        struct view_follower *next;
        struct leat_views *views;
        char *pipeline;
        pthread_t thread;
        _Atomic bool stop;
        /* the thread's own */
        struct leat_feed *feed;
        struct leat_feed_reader *reader;
        struct leat_state *state;
        int64_t state_tick; /* everything up to here is in the state */
        struct leat_tick_reader *ticks;
        struct leat_catalog *catalog;
        uint64_t *ignored; /* arrangements that are nobody's relation */
        uint32_t ignored_count, ignored_cap;
        int64_t refresh_us, ahead_us;
        /* under views->mutex */
        struct leat_arena *known_arena;
        struct view_known *known;
        uint32_t known_count;
        uint64_t known_version;
        struct leat_picture *picture; /* NULL until the first tick */
        struct leat_view_sub *subs;
        struct view_ahead *ahead;
        uint32_t ahead_count;
};

struct leat_views {
        struct leat_views_options options;
        pthread_mutex_t mutex;
        pthread_cond_t changed; /* a picture came, a subscription was canceled */
        pthread_mutex_t update; /* one leat_views_update at a time; before `mutex` */
        struct view_follower *followers;
        uint64_t version; /* of the catalog at the last update */
};

struct leat_picture {
        _Atomic uint32_t refs;
        struct leat_arena *arena; /* the commit */
        struct leat_tick *tick;
        struct leat_state_snapshot *state;
};

/* A new picture, one reference; copies the commit. */
struct leat_picture *leat_view_picture_new(const struct leat_tick *tick, struct leat_state *state);

/* True when @object_id is an input of the view; view 0: any. The mutex is held. */
bool leat_view_is_input(const struct view_follower *f, uint64_t view_id, uint64_t object_id);
/* True when @below is a view of the same pipeline that the view stands on. The mutex is held. */
bool leat_view_is_under(const struct view_follower *f, uint64_t view_id, uint64_t below);

/* The follower of a pipeline; NULL: none. The mutex is held, unless only this thread adds followers. */
struct view_follower *leat_view_follower_find(const struct leat_views *views, const char *pipeline);

/* ---- subscriptions (view_sub.c) ---------------------------------------------------- */
struct view_rows; /* the rows of a tick's events, shared by all who have them in their queues */

struct view_queued {
        struct view_queued *next;
        struct view_rows *rows; /* NULL: a snapshot */
        struct leat_view_event event;
};

struct leat_view_sub {
        struct leat_view_sub *next; /* under views->mutex, as all below */
        struct leat_views *views;
        struct view_follower *follower; /* NULL: the view has gone */
        uint64_t view_id, arr;
        struct view_queued *first, *last;
        uint32_t queued;
        size_t queued_bytes;
        bool canceled, overrun;
        struct view_queued *given; /* the reader's */
        int64_t need_tick;         /* a snapshot must have at least this tick */
        int64_t seen_tick;         /* of the last snapshot that was given; a tick may have several events */
};

/* Puts the picture of @tick in place and counts the views that it moved; @all: every view. In view_follow.c. */
void leat_view_show(struct view_follower *f, const struct leat_tick *tick, bool all);
/* Applies a tick and makes the events of it. */
int leat_view_apply_tick(struct view_follower *f, const struct leat_tick *tick, struct leat_error *err) LEAT_NODISCARD;

/* Before a tick's sections are applied: the rows that they replace, for each subscriber. After: the event. */
struct view_change;
struct view_change *leat_view_change_begin(struct view_follower *f, const struct leat_tick *tick);
void leat_view_change_end(struct view_follower *f, struct view_change *change, const struct leat_tick *tick);
/* The follower loses this view, or ends. */
void leat_view_subs_drop(struct view_follower *f, uint64_t view_id);

#endif
