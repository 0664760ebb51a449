/* SPDX-License-Identifier: Apache-2.0 */
/* leat/stream: `leat verify --view`, as its files share it. */
#ifndef LEAT_STREAM_VERIFY_H
#define LEAT_STREAM_VERIFY_H

#include "leat/sql.h"
#include "stream_worker.h"

/* ---- verifying (stream_verify_refused.c) --------------------------------------------------------- */
struct leat_record_place {
        int32_t partition;
        int64_t offset;
};
/* Records of @topic that view @view left out because its expressions could not take them, in order. */
int leat_verify_refused(struct leat_feed *feed, const char *topic, const char *view, struct leat_arena *arena,
                        struct leat_record_place **ret_places, uint32_t *ret_count,
                        struct leat_error *err) LEAT_NODISCARD;
/* Decodes @records of @partition without those; @io_offsets (int64_t) gets the offset of each that is decoded. */
void leat_verify_decode(struct leat_format *format, const struct leat_record *records, uint32_t count,
                        int32_t partition, const struct leat_record_place *places, uint32_t place_count,
                        struct leat_buf *io_offsets);

/* ---- verifying views that drop rows (stream_verify_late.c) -------------------------------------- */
struct leat_verify_windows {
        bool filters; /* else everything counts */
        int64_t size_us, slide_us, offset_us, grace_us;
        int64_t upto_us; /* windows that end later are not over */
        int64_t classes, at_class;
};
/* What the view has dropped and not emitted; LEAT_EUNSUPPORTED when that cannot be told apart by rows. */
int leat_verify_windows_open(const struct leat_stream_graph *graph, const struct leat_tick_job *job, const char *view,
                             struct leat_verify_windows *ret_windows, struct leat_error *err) LEAT_NODISCARD;
/* Whether a row at @time_us, in whose step rows were dropped at the watermark @late_us (INT64_MIN: none), is in its
 * window of the class. */
bool leat_verify_counts(const struct leat_verify_windows *w, int64_t time_us, int64_t late_us);
/* The rows that are. */
struct leat_batch *leat_verify_choose(const struct leat_verify_windows *w, struct leat_arena *arena,
                                      const struct leat_batch *rows, uint32_t time_column, const int64_t *late_us);
/* The query for the windows of the class alone, with the macro that it calls. */
void leat_verify_hops(const struct leat_verify_windows *w, const char *sql, struct leat_buf *ret_sql,
                      struct leat_buf *ret_macro);

/* ---- a run (stream_verify.c) ----------------------------------------------------------------------- */
struct leat_verify_relation {
        char *key;
        struct leat_batch *rows; /* all of its columns, as describe() gives them */
        int32_t time_column;     /* -1: none that windows could be over */
        int64_t *late_us;        /* topics: for each row, see leat_verify_counts(); NULL: INT64_MIN for all */
        struct leat_batch *chosen;
        int64_t chosen_class;
        struct leat_verify_relation *next;
};
struct leat_verify {
        const struct leat_verify_options *options;
        struct leat_arena *arena;
        struct leat_catalog *catalog, *env_catalog;
        struct leat_feed *feed;
        struct leat_state *state;
        struct leat_sql_env *env;
        const struct leat_snapshot *objects;
        struct leat_sql_catalog *names;
        const struct leat_tick_job *job;
        struct leat_tick tick;
        int64_t upto;           /* the tick to stop at; 0 = the newest */
        struct leat_runtime rt; /* runs a view's read SQL and the comparison */
        struct leat_verify_relation *relations;
        const char *without; /* what this view put into quarantines is left out; NULL: nothing */
        struct leat_verify_windows windows;
        struct leat_late_span *spans;
        uint32_t span_count;
};

/* ---- the pipeline at a tick (stream_verify_tick.c) ----------------------------------------------- */
/* Sets v->state and v->tick: the newest tick, or v->upto. */
int leat_verify_pipeline_open(struct leat_verify *v, const char *pipeline, struct leat_error *err) LEAT_NODISCARD;
/* The same, again when files and ticks went while they were read. */
int leat_verify_pipeline_open_again(struct leat_verify *v, const char *pipeline, struct leat_error *err) LEAT_NODISCARD;

#endif
