/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/view: the reading side of streaming, in the query role.
 *
 *   leat_views     follows the tick topic of every pipeline (one thread each) and
 *                  keeps its arrangements as a state reader
 *   leat_picture   one pipeline at one tick: what a SELECT reads, immutable
 *   leat_view_sub  the changes of one view, tick by tick, from a snapshot on
 *   leat_panels    dashboards: each distinct panel is run once, however many watch
 *
 * A view's rows are the rows of its arrangement 0 seen through
 * leat_stream_read_sql(); this module gives out arrangement rows, the query
 * session runs the SQL over them.
 *
 * Thread: any, unless a line says otherwise.
 */
#ifndef LEAT_VIEW_H
#define LEAT_VIEW_H

#include "leat/catalog.h"
#include "leat/feed.h"
#include "leat/state.h"
#include "leat/stream.h"

struct leat_views;
struct leat_picture;
struct leat_view_sub;

struct leat_views_options {
        const char *data_dir;
        struct leat_addr kafka;
        struct leat_stats *stats;
};

/* ---- following (view_follow.c) ------------------------------------------------ */
int leat_views_open(const struct leat_views_options *options, struct leat_views **ret_views,
                    struct leat_error *err) LEAT_NODISCARD;
/* Ends the followers; pictures and subscriptions must be gone. */
void leat_views_close(struct leat_views *views);
/* Follows the pipelines of all materialized views in @catalog, and forgets those that have none. Cheap when the
 * catalog's version is the one of the last call. */
int leat_views_update(struct leat_views *views, const struct leat_snapshot *catalog,
                      struct leat_error *err) LEAT_NODISCARD;

/* The newest picture of a pipeline, counted. LEAT_EBUSY (retriable) until its first tick has been read, waits for it up
 * to @timeout_us. */
int leat_picture_get(struct leat_views *views, const char *pipeline, int64_t timeout_us,
                     struct leat_picture **ret_picture, struct leat_error *err) LEAT_NODISCARD;
struct leat_picture *leat_picture_ref(struct leat_picture *picture);
void leat_picture_unref(struct leat_picture *picture);
/* The commit (no sections): tick number and time, positions, inputs, jobs. Lives as long as the picture. */
const struct leat_tick *leat_picture_tick(const struct leat_picture *picture);
struct leat_state_snapshot *leat_picture_state(const struct leat_picture *picture);
/* 0 when readers may see the view: LEAT_EBUSY (retriable) "is being filled: 42 %", LEAT_ENORELATION when the pipeline
 * does not know it yet. */
int leat_picture_check(const struct leat_picture *picture, uint64_t view_id, const char *name,
                       struct leat_error *err) LEAT_NODISCARD;
/* Microseconds between now and the append time of the oldest input record that the picture does not reflect, 0 when it
 * reflects all that was acknowledged. @view_id 0: any input of the pipeline. */
int64_t leat_picture_age_us(struct leat_views *views, const struct leat_picture *picture, uint64_t view_id);
/* Newest event time (else append time) that the view's inputs have brought; INT64_MIN: none. */
int64_t leat_picture_newest_us(const struct leat_picture *picture, uint64_t view_id);

/* Waits until the view @view_id is filled and its pipeline's picture covers all @positions whose topic is an input of the
 * pipeline. LEAT_ETIMEOUT (retriable) names what is missing. */
int leat_views_wait(struct leat_views *views, const char *pipeline, uint64_t view_id,
                    const struct leat_tick_position *positions, uint32_t count, int64_t timeout_us,
                    struct leat_error *err) LEAT_NODISCARD;
/* The view, or the one among those that it stands on, which is paused by the newest tick and so misses some of @positions;
 * 0: none. */
uint64_t leat_views_paused(struct leat_views *views, const char *pipeline, uint64_t view_id,
                           const struct leat_tick_position *positions, uint32_t count);
/* A number that grows whenever the view changes; 0 when it never did or is unknown. */
int64_t leat_views_moved(struct leat_views *views, uint64_t view_id);

/* ---- subscriptions (view_sub.c) -------------------------------------------------- */
/* What happened to a view in one tick, as rows of its arrangement 0. */
struct leat_view_event {
        int64_t tick;
        int64_t time_us;
        struct leat_picture *snapshot; /* first event, and after an overrun: read all rows from it; else NULL */
        const struct leat_batch *removed;
        const int64_t *removed_weights; /* NULL: all 1 */
        const struct leat_batch *added;
        const int64_t *added_weights;
};
/* From the next call of next on: first a snapshot, then every tick in which the view changed. A subscriber that is too
 * slow (view.subscription.ticks waiting) gets a snapshot again. LEAT_EBUSY while it fills. */
int leat_view_subscribe(struct leat_views *views, const struct leat_object *view, struct leat_view_sub **ret_sub,
                        struct leat_error *err) LEAT_NODISCARD;
/* Waits for the next event; NULL at timeout. It lives until the next call or close. LEAT_ENORELATION when the view has
 * been dropped, LEAT_ECANCELED after leat_view_sub_cancel. */
int leat_view_sub_next(struct leat_view_sub *sub, int64_t timeout_us, const struct leat_view_event **ret_event,
                       struct leat_error *err) LEAT_NODISCARD;
void leat_view_sub_cancel(struct leat_view_sub *sub);
void leat_view_sub_close(struct leat_view_sub *sub);

/* ---- panels (view_panel.c) ---------------------------------------------------------- */
struct leat_panels;
struct leat_panel_sub;

/* The answer of one run of a panel. */
struct leat_panel_answer {
        struct leat_buf columns; /* [{"name":"site","type":"VARCHAR"}, …] */
        struct leat_buf rows;    /* the rows as JSON arrays behind each other: ["SEA1",12]["PDX2",7] */
        uint32_t *row_ends;      /* byte behind each row; malloc */
        uint32_t row_count;
        int64_t tick; /* of the newest pipeline it read; 0 = none */
        int64_t age_us;
        int64_t newest_us; /* INT64_MIN: unknown */
};
struct leat_panels_options {
        struct leat_views *views;
        /* Runs the SQL of panel @panel with the variables' values; called on the runner's thread, one panel at a time.
         * @ret_moved: changes when a relation under it has moved since (asked before each run, cheap). */
        int (*run)(void *arg, const struct leat_object *dashboard, uint32_t panel, const char *const *values,
                   struct leat_panel_answer *ret_answer, struct leat_error *err);
        int (*moved)(void *arg, const struct leat_object *dashboard, uint32_t panel, uint64_t *ret_moved,
                     struct leat_error *err);
        /* Age and newest event of the panel's relations as they are now. */
        void (*age)(void *arg, const struct leat_object *dashboard, uint32_t panel, int64_t *ret_age_us,
                    int64_t *ret_newest_us);
        /* The dashboard as it is now; NULL when dropped. Memory from @arena. */
        const struct leat_object *(*dashboard)(void *arg, const char *name, struct leat_arena *arena);
        void *arg;
};
int leat_panels_open(const struct leat_panels_options *options, struct leat_panels **ret_panels,
                     struct leat_error *err) LEAT_NODISCARD;
void leat_panels_close(struct leat_panels *panels);

void leat_panel_answer_done(struct leat_panel_answer *answer);

/* kind and data:
 *   "snapshot"  {"columns":[…],"rows":[[…],…]}
 *   "patch"     {"count":N,"set":[[I,[…]],…]}: the rows are N now; rows at these places are new or changed
 *   "age"       {}: nothing moved; age and newest are up to date
 *   "error"     {"message":…,"hint":…} */
struct leat_panel_event {
        int64_t tick;
        uint32_t panel;
        const char *kind;
        struct leat_view data;
        int64_t age_ms;
        int64_t newest_us; /* INT64_MIN: unknown */
};
/* Watches all panels of a dashboard with these values of its variables (NULL: the default). Watchers of the same
 * dashboard and values share one runner; it ends with the last one. */
int leat_panels_watch(struct leat_panels *panels, const char *dashboard, const char *const *names,
                      const char *const *values, uint32_t value_count, struct leat_panel_sub **ret_sub,
                      struct leat_error *err) LEAT_NODISCARD;
/* The next event; NULL at timeout; lives until the next call. A slow watcher skips to the next snapshot.
 * LEAT_ENOTFOUND when the dashboard has been dropped or changed (watch again), LEAT_ECANCELED after cancel. */
int leat_panel_sub_next(struct leat_panel_sub *sub, int64_t timeout_us, const struct leat_panel_event **ret_event,
                        struct leat_error *err) LEAT_NODISCARD;
void leat_panel_sub_cancel(struct leat_panel_sub *sub);
void leat_panel_sub_close(struct leat_panel_sub *sub);

#endif
