/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/stream: continuous queries. STREAMING.md.
 *
 *   graph      what a SELECT became: operators with typed columns, made by
 *              leat_stream_compile() at CREATE, kept as bytes in the catalog
 *   relation   what readers see of a view: one arrangement and a SELECT over its
 *              columns, so that accumulators are stored once
 *   tick       one step of a pipeline, as records of its tick topic; the codec and
 *              the assembler that readers and a restarting worker share
 *   worker     the main loop: inputs -> tick -> tick topic
 *
 * Graphs are immutable after compile or decode, except for the one call that
 * gives their arrangements numbers. Thread: any, one at a time for one object.
 */
#ifndef LEAT_STREAM_H
#define LEAT_STREAM_H

#include <stdatomic.h>

#include "leat/base.h"
#include "leat/column.h"
#include "leat/feed.h"
#include "leat/state.h"

/* ---- compiling ------------------------------------------------------------------ */
struct leat_stream_graph;

enum leat_stream_kind {
        LEAT_STREAM_TOPIC = 1, /* append-only topic */
        LEAT_STREAM_KEYED = 2, /* topic with a PRIMARY KEY: lookup side of joins only */
        LEAT_STREAM_VIEW = 3,  /* materialized view, of this pipeline or another */
};

/* One relation that the plan may read: the empty table that sql bound it against. Columns in the table's order; they
 * may go beyond the declared ones (kafka_offset ...): the decoder is asked for columns by name. */
struct leat_stream_relation {
        const char *name;  /* of the empty table, as LOGICAL_GET shows it */
        const char *title; /* what users call it; NULL = name */
        enum leat_stream_kind kind;
        uint64_t object_id;
        uint32_t column_count;
        const char *const *names;
        const struct leat_type *types;
        int32_t time_column; /* TOPIC: the column with the WATERMARK; -1 = none */
        uint32_t key_count;  /* KEYED: PRIMARY KEY, column indexes */
        const uint32_t *keys;
        const struct leat_stream_graph *graph; /* VIEW */
};

enum leat_stream_emit { LEAT_STREAM_CHANGES = 1, LEAT_STREAM_ON_CLOSE = 2 }; /* = enum leat_emit */
enum leat_stream_late {                                                      /* = enum leat_late */
                        LEAT_STREAM_LATE_APPLY = 1,
                        LEAT_STREAM_LATE_DROP = 2,
                        LEAT_STREAM_LATE_GRACE = 3,
                        LEAT_STREAM_LATE_REEMIT = 4,
};

struct leat_stream_options {
        uint8_t emit;          /* 0 = CHANGES */
        uint8_t late;          /* 0 = APPLY for CHANGES, DROP for ON_CLOSE */
        int64_t grace_us;      /* for LATE_GRACE */
        int64_t retention_us;  /* <= 0: none */
        uint32_t column_count; /* names of the view's columns; 0 = take the plan's aliases */
        const char *const *names;
        struct leat_view
                sql; /* the SQL that was planned: finds the place of what DuckDB gives none; len 0 = not given */
};

/* Translates the bound plan (json_serialize_plan with the optimizer list of STREAMING.md 1). What is not supported is
 * refused: LEAT_EUNSUPPORTED or LEAT_EINVAL with err->position (1-based byte in the SQL that was planned, 0 when DuckDB
 * kept none) and in the hint what to write instead. Memory from @arena; @relations are not kept. */
int leat_stream_compile(struct leat_arena *arena, struct leat_view plan_json,
                        const struct leat_stream_relation *relations, uint32_t relation_count,
                        const struct leat_stream_options *options, struct leat_stream_graph **ret_graph,
                        struct leat_error *err) LEAT_NODISCARD;

/* Bytes for the catalog, versioned (docs/formats.md); decode bounds everything. LEAT_ECORRUPT. */
void leat_stream_graph_encode(const struct leat_stream_graph *graph, struct leat_buf *out);
int leat_stream_graph_decode(struct leat_arena *arena, struct leat_view bytes, struct leat_stream_graph **ret_graph,
                             struct leat_error *err) LEAT_NODISCARD;

/* Arrangements of the graph. Number 0 is the view's relation. CREATE takes leat_stream_arr_count() ids from the catalog
 * and gives the graph the first of them, before it encodes it. */
uint32_t leat_stream_arr_count(const struct leat_stream_graph *graph);
void leat_stream_arr_assign(struct leat_stream_graph *graph, uint64_t first_id);
/* Types live as long as the graph. */
struct leat_arr_def leat_stream_arr_def(const struct leat_stream_graph *graph, uint32_t index);

/* ---- a view as a relation -------------------------------------------------------- */
struct leat_stream_output {
        uint64_t arr_id; /* arrangement 0 */
        uint32_t column_count;
        const char *const *names;
        const struct leat_type *types;
        /* Unique key of the rows: output columns that equal the arrangement's key columns, in their order; a key column
         * that is not in the output is UINT32_MAX. key_count = arrangement's key_count; 0 = one row at most. When
         * keyed is false rows may repeat (the arrangement's weight or a hidden sequence number tells them apart). */
        bool keyed;
        uint32_t key_count;
        const uint32_t *key_columns;
        bool append_only;
        int32_t time_column; /* output column with event time or window start; -1 = none */
        bool weighted;       /* rows of the arrangement carry weights > 1: multiply */
        const char *notice;  /* what the user should know at CREATE ("state grows with ..."); NULL = nothing */
};
const struct leat_stream_output *leat_stream_output(const struct leat_stream_graph *graph);
/* Appends "SELECT ... FROM <source> ..." that turns the arrangement's columns, which @source names c0, c1 ..., into the
 * view's columns under their names. @source is SQL text, e.g. leat_scan('17'). */
void leat_stream_read_sql(const struct leat_stream_graph *graph, const char *source, struct leat_buf *out);
/* Object ids of the relations that it reads. */
uint32_t leat_stream_inputs(const struct leat_stream_graph *graph, const uint64_t **ret_object_ids);

/* ---- explaining -------------------------------------------------------------------- */
struct leat_stream_explain_row {
        uint32_t id;
        uint32_t depth;         /* for indentation: the view's relation is 0 */
        const char *op;         /* "aggregate", "source" ... */
        const char *detail;     /* expressions as SQL */
        const char *properties; /* "append-only; time column event_time; state: 1 row a key" */
        uint32_t input_count;
        const uint32_t *inputs; /* ids */
};
void leat_stream_explain(const struct leat_stream_graph *graph, struct leat_arena *arena,
                         struct leat_stream_explain_row **ret_rows, uint32_t *ret_count);
/* [{"id":1,"op":"source","detail":"...","properties":"...","inputs":[0]}, ...] */
void leat_stream_explain_json(const struct leat_stream_graph *graph, struct leat_buf *out);

/* ---- ticks ---------------------------------------------------------------------------- */
/* "__leat_ticks_<pipeline>", one partition, internal. @out has 250 bytes. */
void leat_tick_topic_name(const char *pipeline, char *out);

struct leat_tick_position {
        struct leat_topic_id topic;
        int32_t partition;
        int64_t offset; /* next record to read: everything below is inside the tick */
        int32_t leader_epoch;
        /* What the partition has seen of time, in microseconds; 0 = nothing yet. */
        int64_t event_us;  /* greatest event time that counts for the watermark */
        int64_t append_us; /* newest append time */
};

/* One input topic. Times in microseconds; INT64_MIN = none yet. */
struct leat_tick_input {
        uint64_t object_id;
        struct leat_topic_id topic;
        int64_t watermark_us;
        int64_t newest_event_us;  /* newest event time inside */
        int64_t newest_append_us; /* newest append time inside */
        int64_t oldest_unread_us; /* append time (lower bound) of the oldest record not inside; INT64_MIN = all inside */
        int64_t lag_records;
        uint64_t arr_id; /* KEYED topics: the arrangement that holds them; 0 for append topics */
};

enum leat_tick_job_state { LEAT_TICK_FILLING = 1, LEAT_TICK_RUNNING = 2, LEAT_TICK_PAUSED = 3 };

enum leat_mirror_state {
        LEAT_MIRROR_LOADING = 1, /* not whole yet */
        LEAT_MIRROR_SERVED = 2,  /* the view, at the upstream's tick */
        LEAT_MIRROR_LOADED = 3,  /* the same, but it is still being filled there */
};
/* A view of another pipeline that jobs of this one read: a copy of its rows in an arrangement of this pipeline. */
struct leat_tick_mirror {
        uint64_t view_id;
        uint64_t arr_id;
        uint8_t state;        /* enum leat_mirror_state */
        uint32_t cover_count; /* topics that the view had read by then, itself or by others */
        const struct leat_tick_position *covers;
};

/* Another pipeline that this one follows, and how far: everything up to its tick is inside. */
struct leat_tick_upstream {
        const char *pipeline;
        struct leat_topic_id topic; /* its tick topic; the offset is among the positions */
        uint64_t incarnation;
        int64_t tick;
        int64_t time_us; /* of that tick */
        uint32_t mirror_count;
        const struct leat_tick_mirror *mirrors;
};

/* What a view or a keyed topic changed while a job that reads it was paused: an arrangement of rows and weights. */
struct leat_tick_missed {
        uint64_t object_id;
        uint64_t arr_id; /* 0: not kept, the job cannot go on */
};

/* One job (materialized view) of the pipeline. While it fills, readers do not show it. */
struct leat_tick_job {
        uint64_t view_id;
        uint8_t state;        /* enum leat_tick_job_state */
        int64_t watermark_us; /* of its output */
        int64_t late_rows;    /* dropped as late, since the view was made */
        int64_t rows_in;      /* of this tick */
        uint32_t start_count;
        const struct leat_tick_position *starts; /* where it began */
        uint32_t lane_count;
        const struct leat_tick_position *lane; /* FILLING: its own positions */
        int64_t behind_us; /* append time (lower bound) of the oldest record that a paused job does not reflect; INT64_MIN */
        uint32_t missed_count; /* since it was paused, until it has caught up */
        const struct leat_tick_missed *missed;
        uint64_t late_arr;  /* which records were dropped as late: arrangement; 0: none */
        int64_t late_known; /* of late_rows, those that it tells of; -1: it was given up */
};

/* Records of a topic that did not fit, or could not be computed, up to this tick. */
struct leat_tick_refused {
        uint64_t view_id; /* the view that skipped them; 0: all that the pipeline's main lane has read of the topic */
        uint64_t object_id;
        int64_t count;
};

struct leat_tick_expire {
        uint64_t arr_id;
        int64_t time_us;
};

struct leat_tick_section {
        uint64_t arr_id;
        struct leat_batch *rows;
        int64_t *weights; /* NULL = all +1 */
};

struct leat_tick {
        const char *pipeline;
        uint64_t incarnation;
        int64_t tick;    /* 1, 2, ... without gaps */
        int64_t time_us; /* tick time */
        uint32_t position_count;
        const struct leat_tick_position *positions;
        uint32_t input_count;
        const struct leat_tick_input *inputs;
        uint32_t job_count;
        const struct leat_tick_job *jobs;
        uint32_t refused_count;
        const struct leat_tick_refused *refused;
        uint32_t expire_count;
        const struct leat_tick_expire *expires; /* after the sections: leat_state_expire */
        uint32_t upstream_count;
        const struct leat_tick_upstream *upstreams;
        uint32_t section_count;
        const struct leat_tick_section *sections;
        int64_t offset; /* reading: of the commit record in the tick topic */
};

/* Splits a tick into record values of at most @value_max bytes each (0 = 900 KiB); the last one commits. Values and
 * the array live in @arena. LEAT_ETOOBIG when one row alone does not fit. */
int leat_tick_encode(struct leat_arena *arena, const struct leat_tick *tick, size_t value_max,
                     struct leat_view **ret_values, uint32_t *ret_count, struct leat_error *err) LEAT_NODISCARD;
/* The record that a starting worker writes first. */
void leat_tick_encode_fence(uint64_t incarnation, struct leat_buf *out);
/* Only the commit's fields, sections left out: what the state's manifest carries as extra. */
void leat_tick_encode_commit(const struct leat_tick *tick, struct leat_buf *out);
int leat_tick_decode_commit(struct leat_arena *arena, struct leat_view bytes, struct leat_tick *ret_tick,
                            struct leat_error *err) LEAT_NODISCARD;

/* Puts ticks together from the records of the tick topic, in the order of the log. */
struct leat_tick_reader;
/* Ticks up to @after_tick are left out. */
struct leat_tick_reader *leat_tick_reader_new(int64_t after_tick);
void leat_tick_reader_free(struct leat_tick_reader *reader);
/* Feeds one record. *ret_tick is a whole new tick, or NULL: unfinished, of a fenced incarnation, or had already. It
 * lives until the next call. LEAT_ECORRUPT for bytes that are no tick, or when a tick number was skipped. */
int leat_tick_reader_feed(struct leat_tick_reader *reader, const struct leat_record *record,
                          const struct leat_tick **ret_tick, struct leat_error *err) LEAT_NODISCARD;
/* The newest incarnation seen. */
uint64_t leat_tick_reader_incarnation(const struct leat_tick_reader *reader);
/* What workers older than @incarnation write is ignored from now on: for a reader that begins behind a fence. */
void leat_tick_reader_fence(struct leat_tick_reader *reader, uint64_t incarnation);

/* ---- checking the invariant --------------------------------------------------------------- */
struct leat_verify_options {
        const char *data_dir;
        struct leat_addr kafka;
        const char *view;
};
struct leat_verify_result {
        int64_t tick; /* that was checked */
        uint64_t rows, batch_rows, differences;
        char view_row[512], batch_row[512]; /* the first difference */
};
/* Runs the view's query as a batch over what its newest tick covers, and compares. Works beside a running server.
 * LEAT_EUNSUPPORTED for views that drop late rows; LEAT_EBUSY while it fills. */
int leat_stream_verify(const struct leat_verify_options *options, struct leat_verify_result *ret_result,
                       struct leat_error *err) LEAT_NODISCARD;

/* ---- the worker -------------------------------------------------------------------------- */
struct leat_worker_options {
        const char *data_dir;
        struct leat_addr kafka;
        const char *pipeline;
        struct leat_stats *stats; /* NULL: not counted */
        const _Atomic bool *stop; /* true: end at the next tick boundary, with a manifest */
};
/* Folder of the pipeline's state: DATA/store/pipelines/<pipeline>. @out has PATH_MAX bytes. */
void leat_worker_state_dir(const char *data_dir, const char *pipeline, char *out);
/* Runs until *stop, or until it is fenced (LEAT_EFENCED) or cannot go on. */
int leat_worker_run(const struct leat_worker_options *options, struct leat_error *err) LEAT_NODISCARD;

#endif
