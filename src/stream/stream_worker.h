/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/stream: the worker, as its files share it.
 *
 *   lane   positions in some topics, with a reader of its own. The main lane is that
 *          of the pipeline; a job that is new or was paused reads in a lane of its own
 *          until it stands where the main lane stands, then it joins.
 *   input  one topic in one lane: decoder, partitions, watermark
 *   work   one view: its job, and where it reads
 *
 * One thread. A session ends by an error, a stop, or a job that failed in the
 * middle of a tick; the next session begins at the last committed tick.
 */
#ifndef LEAT_STREAM_WORKER_H
#define LEAT_STREAM_WORKER_H

#include "leat/catalog.h"
#include "leat/format.h"
#include "leat/quarantine.h"
#include "stream_run.h"

struct leat_part {
        int64_t position;
        int32_t leader_epoch;
        int64_t end;          /* high watermark; -1: not known yet */
        int64_t max_event_us; /* that moves the watermark; INT64_MIN: none yet */
        int64_t append_us;    /* newest append time read; INT64_MIN: none yet */
        int64_t data_us;      /* when rows came last (monotonic) */
        int64_t load_until;   /* keyed: ready once read up to here; -1: not known yet */
        bool waits, paused;   /* others are to be read first; the reader knows that */
};

struct leat_input {
        uint64_t object_id;
        struct leat_arena *arena;
        struct leat_topic_def def; /* copied into the arena */
        struct leat_feed_topic topic;
        struct leat_part *parts;
        int32_t part_count;
        bool keyed, ready;
        uint64_t arr_id;            /* keyed */
        struct leat_format *format; /* NULL: no job reads it */
        const char **names;         /* the decoder's columns; in an arena of their own */
        struct leat_arena *names_arena;
        uint32_t name_count;
        int32_t time_index; /* among names; -1: no watermark */
        int64_t awake_us;   /* all partitions count until then (monotonic) */
        int64_t watermark_us, newest_event_us, newest_append_us;
        /* this tick */
        struct leat_format_rows rows;
        struct leat_batch_mark *marks; /* where the records of each fetched batch begin */
        uint32_t mark_count, mark_cap, record_count;
        struct leat_delta changes; /* keyed: old rows out, new rows in */
        bool failed;
        struct leat_quarantine quarantine;
        int64_t refused; /* records that did not fit, since it was added */
};
struct leat_batch_mark {
        uint32_t first_record;
        int32_t partition;
        int64_t append_us;
        const struct leat_record *records; /* first_record and following */
};

struct leat_lane {
        struct leat_feed_reader *reader;
        struct leat_input **inputs;
        uint32_t input_count, input_cap;
        struct leat_block **blocks; /* memory of this tick's records */
        uint32_t block_count, block_cap;
        uint64_t records; /* of this tick */
};

enum leat_work_state {
        LEAT_WORK_WAITING = 1,
        LEAT_WORK_FILLING,
        LEAT_WORK_RUNNING,
        LEAT_WORK_PAUSED,
        LEAT_WORK_FAILED
};
struct leat_work {
        uint64_t view_id;
        uint64_t version; /* of the object when it was opened or paused */
        uint64_t first_arr;
        uint32_t arr_count;
        char *name;
        struct leat_stream_job *job;
        uint8_t state;           /* enum leat_work_state */
        int64_t max_state_bytes; /* <= 0: no limit */
        char reason[512];
        struct leat_lane *lane;            /* FILLING: its own; else NULL */
        struct leat_tick_position *starts; /* where it began */
        uint32_t start_count;
        struct leat_tick_position *parked; /* PAUSED, WAITING: where it goes on */
        uint32_t parked_count;
        bool begun;       /* its first tick is in the state */
        bool was_running; /* opened as paused, but ran in the last tick */
        bool time_held;   /* while it fills: rows of a view's snapshot come last, and must not be late */
        uint8_t start;    /* enum leat_start */
        int64_t start_us;
        int64_t fill_total;
        int64_t told_us;           /* when the catalog was told last */
        uint32_t **maps;           /* one a node: source columns -> columns of its input */
        int64_t rows_in, rows_out; /* of this tick */
        int64_t late_rows;         /* dropped, since the view was made */
        uint64_t late_arr;         /* tells which; 0: none yet */
        int64_t late_known;        /* of late_rows, those that it tells of; -1: given up */
        struct leat_tick_refused *refused;
        uint32_t refused_count;
        int64_t watermark_us;
        struct leat_tick_missed *missed; /* PAUSED, and until it runs again: what its views and keyed topics changed */
        uint32_t missed_count;
        int64_t behind_us; /* PAUSED: append time of the first record that it did not take; INT64_MIN: none */
        _Atomic uint64_t *stat_in, *stat_out, *stat_late, *stat_state, *stat_watermark, *stat_time;
};

/* ---- views of other pipelines --------------------------------------------------------------- */
/*
 * What jobs here see of a view there: its rows, copied into an arrangement of
 * ours, and as `work` a view that is always up to the upstream's tick.
 */
struct leat_mirror {
        struct leat_work work; /* job: reads arrangement 0 of the view, under our number; runs nothing */
        uint64_t source_arr;   /* there */
        uint64_t *under;       /* the view, and those of its pipeline that it stands on */
        uint32_t under_count;
        uint64_t *reads; /* topics and views of other pipelines that these read */
        uint32_t read_count;
        struct leat_tick_position *covers; /* of topics, which it had read by the upstream's tick */
        uint32_t cover_count;
        bool loaded; /* whole: follows the ticks */
        bool served; /* has been running there: jobs may join */
};

/* Another pipeline, followed by its tick topic. */
struct leat_upstream {
        char *pipeline;
        char name[256]; /* of its tick topic */
        uint32_t tag;   /* in the main lane's reader */
        struct leat_feed_topic topic;
        bool placed;  /* the loaded mirrors stand at its tick */
        bool reading; /* its topic is in the main lane's reader */
        bool lost;    /* ticks that come next are gone: go on by the difference to its newest manifest */
        struct leat_tick_reader *ticks;
        uint64_t incarnation;
        int64_t tick, time_us, offset, end; /* offset: behind that tick */
        int32_t leader_epoch;
        int64_t newest_event_us, newest_append_us;
        int64_t retry_us; /* monotonic: not before */
        struct leat_mirror **mirrors;
        uint32_t mirror_count, mirror_cap;
        const struct leat_record **records; /* fetched for this tick */
        uint32_t record_count, record_cap;
        /* loading */
        struct leat_state *load; /* its state, at our tick */
        struct leat_state_snapshot *load_snapshot;
        struct leat_scan *load_scan; /* of load_mirror */
        struct leat_mirror *load_mirror;
};

/* A tick that is on its way to the log. */
struct leat_flight {
        int64_t tick;
        uint32_t parts_left; /* batches */
        int64_t end_offset;  /* behind its commit */
        uint32_t last_count;
};
#define LEAT_FLIGHTS_MAX 4
struct leat_tick_cut {
        int64_t offset;
        uint64_t tick_bytes;
};

struct leat_worker {
        const struct leat_worker_options *options;
        struct leat_catalog *catalog;
        uint64_t version; /* of the catalog that is applied */
        struct leat_feed *feed;
        struct leat_feed_writer *writer;
        struct leat_state *state;
        struct leat_runtime rt;
        uint64_t incarnation;
        char role[280];
        char tick_topic[256];
        struct leat_lane main;
        struct leat_work **works; /* a view stands behind those that it reads */
        uint32_t work_count, work_cap;
        struct leat_upstream **ups; /* pipelines whose views jobs here read */
        uint32_t up_count, up_cap;
        uint32_t up_tag;
        uint64_t up_records;      /* fetched for this tick */
        bool swept;               /* arrangements that nobody owns are gone */
        bool read_elsewhere;      /* other pipelines read views of this one */
        struct leat_arena *arena; /* of the tick */
        struct leat_tick_run run;
        int64_t tick;    /* last one made */
        int64_t time_us; /* its time */
        struct leat_flight flights[LEAT_FLIGHTS_MAX];
        int64_t durable_tick, durable_offset; /* offset behind it */
        struct leat_error lost;               /* a tick, or what it refused, could not be written */
        bool refused_sent;                    /* and not known to be durable */
        int64_t published_tick, published_offset, space_us, published_us;
        uint64_t unpublished_bytes;
        uint64_t tick_bytes;           /* written by this session */
        struct leat_tick_cut cuts[64]; /* where manifests of this session stood: the tick topic may be cut there */
        uint32_t cut_count;
        int64_t tick_us;       /* cost of the last ticks, smoothed */
        int64_t tick_begun_us; /* monotonic */
        int64_t last_commit_us, grown_us;
        bool dirty;            /* jobs or positions changed without rows */
        struct leat_tick last; /* commit that was replayed last; memory in last_arena */
        struct leat_arena *last_arena;
        _Atomic uint64_t *stat_ticks, *stat_tick_time, *stat_tick_bytes, *stat_quarantined, *stat_lag;
};

/* ---- inputs and lanes (stream_input.c) -------------------------------------------------- */
int leat_lane_open(struct leat_worker *w, struct leat_lane *lane, struct leat_error *err) LEAT_NODISCARD;
void leat_lane_done(struct leat_lane *lane);
struct leat_input *leat_lane_find(struct leat_lane *lane, uint64_t object_id);
/* Adds the topic @object with its partitions at @positions (NULL: at their ends). */
int leat_lane_add(struct leat_worker *w, struct leat_lane *lane, const struct leat_object *object,
                  const struct leat_tick_position *positions, uint32_t position_count, struct leat_input **ret_input,
                  struct leat_error *err) LEAT_NODISCARD;
/* Columns that topics got since; the lane is to be rebuilt then. Keyed topics stay as their state is. */
int leat_lane_redefine(struct leat_lane *lane, const struct leat_snapshot *objects,
                       struct leat_error *err) LEAT_NODISCARD;
/* Partitions that topics got since. */
int leat_lane_grow(struct leat_worker *w, struct leat_lane *lane, struct leat_error *err) LEAT_NODISCARD;
void leat_lane_remove(struct leat_lane *lane, uint64_t object_id);
/* Reads records until @deadline_us (monotonic), @max_records or @max_bytes, with @limit each partition up to its
 * position there, in the order of event times; decodes them. *ret_failed is the input that cannot be read any more,
 * with @err. */
int leat_lane_fill(struct leat_worker *w, struct leat_lane *lane, struct leat_lane *limit, int64_t deadline_us,
                   uint64_t max_records, size_t max_bytes, struct leat_input **ret_failed,
                   struct leat_error *err) LEAT_NODISCARD;
/* The offset up to which the lane may read the partition: INT64_MAX when none is set. */
int64_t leat_lane_limit(struct leat_lane *limit, const struct leat_input *input, int32_t partition);
/* Says of each partition whether it waits for others (part->waits): event time order. True when some were never looked
 * at: the next piece is to be the only one before the times are taken and this is asked again. */
bool leat_lane_choose(struct leat_lane *lane, struct leat_lane *limit);
/* The same, and tells the reader. */
bool leat_lane_order(struct leat_lane *lane, struct leat_lane *limit);
/* Forgets the tick's rows. */
void leat_lane_reset(struct leat_lane *lane);
/* Makes the decoder for the columns that the works which read it need. */
int leat_input_rebuild(struct leat_worker *w, struct leat_lane *lane, struct leat_input *input,
                       struct leat_error *err) LEAT_NODISCARD;
/* True when each partition stands at or behind that of the same topic in @other. */
bool leat_lane_reached(struct leat_lane *lane, struct leat_lane *other);
/* Column names of a keyed topic's arrangement: key columns first. */
void leat_keyed_names(const struct leat_topic_def *def, struct leat_arena *arena, const char ***ret_names,
                      struct leat_type **ret_types, uint32_t *ret_count);

/* ---- time (stream_time.c) ----------------------------------------------------------------- */
/* Takes in this tick's event times; moves the watermark. @now_us wall clock, @mono_us monotonic. */
void leat_input_time(struct leat_input *input, int64_t now_us, int64_t mono_us);
bool leat_part_idle(const struct leat_input *input, const struct leat_part *part, int64_t mono_us);

/* ---- works (stream_works.c) ------------------------------------------------------------------- */
/* Brings the works in line with the catalog; does nothing when its version is the applied one. */
int leat_works_sync(struct leat_worker *w, struct leat_error *err) LEAT_NODISCARD;

/* ---- one work (stream_work.c) ------------------------------------------------------------------- */
void leat_work_free(struct leat_work *work);
struct leat_work *leat_work_find(struct leat_worker *w, uint64_t view_id);
/* Stops it with the reason; positions are kept for ALTER JOB ... RESUME. */
void leat_work_pause(struct leat_worker *w, struct leat_work *work, uint8_t state, const char *reason);
int leat_work_tell(struct leat_worker *w, struct leat_work *work, const char *progress,
                   struct leat_error *err) LEAT_NODISCARD;
/* Runs it over the rows of @lane (its topics) and of the views that it reads. */
int leat_work_run(struct leat_worker *w, struct leat_work *work, struct leat_lane *lane,
                  struct leat_error *err) LEAT_NODISCARD;
/* The same over what stands in its source slots. */
int leat_work_step(struct leat_worker *w, struct leat_work *work, struct leat_lane *lane,
                   struct leat_error *err) LEAT_NODISCARD;
/* Makes maps anew after inputs were rebuilt. */
int leat_work_maps(struct leat_worker *w, struct leat_work *work, struct leat_error *err) LEAT_NODISCARD;
/* Makes the decoders of a lane's inputs anew, and the maps of the works that read it. */
int leat_lane_rebuild(struct leat_worker *w, struct leat_lane *lane, struct leat_error *err) LEAT_NODISCARD;
/* Where a partition stands, and what it has seen of time. */
struct leat_tick_position leat_input_position(const struct leat_input *input, int32_t partition);
const struct leat_tick_position *leat_position_find(const struct leat_tick_position *positions, uint32_t count,
                                                    const struct leat_topic_id *topic, int32_t partition);
/* Replaces *io_positions by a copy of @from. */
void leat_positions_keep(struct leat_tick_position **io_positions, uint32_t *io_count,
                         const struct leat_tick_position *from, uint32_t count);

/* ---- what a paused job misses (stream_missed.c) ------------------------------------------------------- */
/* A running job stops: from now on changes of the views and keyed topics that it reads are kept. */
int leat_work_missed_open(struct leat_worker *w, struct leat_work *work, struct leat_error *err) LEAT_NODISCARD;
/* Takes over what the last tick names. */
void leat_work_missed_restore(struct leat_work *work, const struct leat_tick_job *last);
/* Keeps this tick's changes. */
int leat_work_missed_add(struct leat_worker *w, struct leat_work *work, struct leat_error *err) LEAT_NODISCARD;
/* The arrangement for @object_id; 0: none. */
uint64_t leat_work_missed_arr(const struct leat_work *work, uint64_t object_id);
/* Nothing can be kept for @object_id: the job cannot go on. */
void leat_work_missed_lose(struct leat_worker *w, struct leat_work *work, uint64_t object_id);
/* The job has taken everything. */
void leat_work_missed_drop(struct leat_worker *w, struct leat_work *work);
int leat_missed_define(struct leat_state *state, struct leat_arena *arena, const struct leat_snapshot *objects,
                       const struct leat_tick *tick, struct leat_error *err) LEAT_NODISCARD;

/* ---- late rows (stream_late.c) ------------------------------------------------------------------ */
/* Records of a partition that one step took, under this watermark, and some of which it dropped from windows. */
struct leat_late_span {
        uint64_t object_id;
        int32_t partition;
        int64_t from, to; /* offsets */
        int64_t watermark_us;
};
/* True when the view drops rows since their window is over (and not only since it keeps it no longer). */
bool leat_late_drops(const struct leat_stream_graph *graph);
/* After a step of the job over the rows of @lane that began at @watermark_us. */
int leat_work_late_keep(struct leat_worker *w, struct leat_work *work, struct leat_lane *lane, int64_t watermark_us,
                        struct leat_error *err) LEAT_NODISCARD;
void leat_work_late_drop(struct leat_worker *w, struct leat_work *work);
/* The arrangements of spans that @tick names. */
int leat_late_define(struct leat_state *state, struct leat_arena *arena, const struct leat_snapshot *objects,
                     const struct leat_tick *tick, struct leat_error *err) LEAT_NODISCARD;
/* All spans of @arr in order; none when it is 0. */
int leat_late_read(struct leat_state *state, uint64_t arr, struct leat_arena *arena, struct leat_late_span **ret_spans,
                   uint32_t *ret_count, struct leat_error *err) LEAT_NODISCARD;
/* The watermark under which the record was taken; INT64_MIN: nothing was dropped in its step. */
int64_t leat_late_watermark(const struct leat_late_span *spans, uint32_t count, uint64_t object_id, int32_t partition,
                            int64_t offset);

/* ---- filling (stream_fill.c) ---------------------------------------------------------------------- */
/* Opens the job's own lane at its parked positions, or at its start. */
int leat_work_lane_open(struct leat_worker *w, struct leat_work *work, const struct leat_snapshot *objects,
                        struct leat_error *err) LEAT_NODISCARD;
/* The next slice of a job that fills; may end with it running. */
int leat_work_fill(struct leat_worker *w, struct leat_work *work, struct leat_error *err) LEAT_NODISCARD;

/* ---- other pipelines (stream_upstream.c) ----------------------------------------------------------- */
/* Follows the pipelines of the views that the works read, and no others. @objects: the catalog. */
int leat_upstreams_sync(struct leat_worker *w, const struct leat_snapshot *objects,
                        struct leat_error *err) LEAT_NODISCARD;
void leat_upstreams_done(struct leat_worker *w);
/* Ends a copy that is being made. */
void leat_upstream_close(struct leat_upstream *up);
/* NULL: no mirror of that view. */
struct leat_mirror *leat_mirror_find(struct leat_worker *w, uint64_t view_id);
/* Takes a fetched batch of ticks; false when @batch is of a topic that is none's. */
bool leat_upstream_take(struct leat_worker *w, const struct leat_feed_batch *batch);
/* True when the partition under @tag that cannot be read any more was an upstream's. */
bool leat_upstream_failed(struct leat_worker *w, uint32_t tag, const struct leat_error *why);
/* The part of a tick: opens, loads, applies what was fetched; sets w->dirty when something moved that our jobs or their
 * readers can see. */
int leat_upstreams_run(struct leat_worker *w, struct leat_error *err) LEAT_NODISCARD;
/* Forgets the tick's records and changes. */
void leat_upstreams_reset(struct leat_worker *w);
/* True while a mirror is being loaded: ticks follow each other. */
bool leat_upstreams_loading(const struct leat_worker *w);
/* What the commit says of them, positions and inputs included. */
uint32_t leat_upstreams_positions(struct leat_worker *w, struct leat_tick_position *out);
uint32_t leat_upstreams_inputs(struct leat_worker *w, struct leat_tick_input *out);
void leat_upstreams_fill(struct leat_worker *w, struct leat_tick *tick);
/* Recovery: the arrangements of the mirrors that @tick names. */
int leat_mirrors_define(struct leat_state *state, struct leat_arena *arena, const struct leat_snapshot *objects,
                        const struct leat_tick *tick, struct leat_error *err) LEAT_NODISCARD;

/* Shared by stream_upstream.c and stream_place.c: */
struct leat_mirror *leat_upstream_mirror(struct leat_upstream *up, uint64_t source_arr);
struct leat_mirror *leat_upstream_unloaded(const struct leat_upstream *up);
const struct leat_tick_job *leat_upstream_job(const struct leat_tick *tick, uint64_t view_id);
/* What the commit says about our views; true when something moved that can be seen. */
bool leat_upstream_commit(struct leat_upstream *up, const struct leat_tick *tick);
void leat_upstream_reading_end(struct leat_worker *w, struct leat_upstream *up);
/* The topic there, when its worker has made it. */
int leat_upstream_topic(struct leat_worker *w, struct leat_upstream *up, struct leat_feed_topic *ret_topic,
                        bool *ret_is, struct leat_error *err) LEAT_NODISCARD;
/* Everything anew from the newest manifest: views that we have by their difference, new ones by slices. */
int leat_upstream_place(struct leat_worker *w, struct leat_upstream *up, struct leat_error *err) LEAT_NODISCARD;
/* A view that is new here while others follow: its rows at our tick. */
int leat_upstream_place_one(struct leat_worker *w, struct leat_upstream *up, struct leat_error *err) LEAT_NODISCARD;
/* One slice of the rows that a new mirror gets. */
int leat_upstream_slice(struct leat_worker *w, struct leat_upstream *up, struct leat_error *err) LEAT_NODISCARD;

/* ---- copies of views (stream_mirror.c) --------------------------------------------------------------- */
/* Its changes in a tick of the upstream. */
int leat_mirror_apply(struct leat_worker *w, struct leat_mirror *mirror, const struct leat_batch *rows,
                      const int64_t *weights, struct leat_error *err) LEAT_NODISCARD;
/* Makes the mirror what @snapshot has, in one step, as changes. LEAT_EUNSUPPORTED, with the reason, when that is not
 * possible: rows have been forgotten meanwhile, an append-only view has lost rows, or it is too much for one tick. */
int leat_mirror_diff(struct leat_worker *w, struct leat_mirror *mirror, struct leat_state_snapshot *snapshot,
                     int64_t watermark_us, struct leat_error *err) LEAT_NODISCARD;
/* Empties it: a new arrangement. */
int leat_mirror_reset(struct leat_worker *w, struct leat_mirror *mirror, struct leat_error *err) LEAT_NODISCARD;
/* Changes of a MAP by @rows and @weights (NULL: all come) as rows that go and rows that come, into @out. @append_only:
 * only rows whose key is new. */
int leat_keyed_delta(struct leat_worker *w, uint64_t arr, uint32_t key_count, struct leat_batch *rows,
                     const int64_t *weights, bool append_only, struct leat_delta *out,
                     struct leat_error *err) LEAT_NODISCARD;

/* ---- rows that cannot be computed (stream_bad.c) ---------------------------------------------------- */
/* After @io_err of a run that changed nothing: finds the rows of the topics in @lane that an expression of the job cannot
 * take, quarantines them and marks them in *ret_skip of their slots, so that the run can be made again. Returns the
 * first error when no single row is to blame. */
int leat_work_bad_rows(struct leat_worker *w, struct leat_work *work, struct leat_lane *lane,
                       struct leat_error *io_err) LEAT_NODISCARD;

/* ---- ticks (stream_commit.c) --------------------------------------------------------------------- */
int leat_worker_commit(struct leat_worker *w, struct leat_error *err) LEAT_NODISCARD;
/* Waits until every tick is durable. */
int leat_worker_flush(struct leat_worker *w, struct leat_error *err) LEAT_NODISCARD;
int leat_worker_publish(struct leat_worker *w, struct leat_error *err) LEAT_NODISCARD;

/* ---- quarantine (stream_quarantine.c) ------------------------------------------------------------ */
/* Sends one record, which @work cannot compute, to its topic's quarantine. */
int leat_worker_quarantine_row(struct leat_worker *w, struct leat_work *work, struct leat_input *input, uint32_t row,
                               const char *reason, struct leat_error *err) LEAT_NODISCARD;
/* Sends invalid records of this tick to their topics' quarantine. */
int leat_worker_quarantine(struct leat_worker *w, struct leat_lane *lane, struct leat_error *err) LEAT_NODISCARD;
/* Waits until all that was sent is durable: before the tick that steps over it. */
int leat_worker_quarantine_wait(struct leat_worker *w, struct leat_error *err) LEAT_NODISCARD;
/* Counts records of a topic that the work has skipped; and those of a whole tick of @lane. */
void leat_work_refused(struct leat_work *work, uint64_t object_id, int64_t count);
void leat_work_refused_take(struct leat_work *work, struct leat_lane *lane);
void leat_worker_refused_fill(struct leat_worker *w, struct leat_tick *tick);

/* ---- start (stream_recover.c) ----------------------------------------------------------------------- */
/* Lease, fence, state, replay: afterwards w->last is the newest tick. */
int leat_worker_recover(struct leat_worker *w, struct leat_error *err) LEAT_NODISCARD;

#endif
