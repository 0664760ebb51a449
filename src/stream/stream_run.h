/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/stream: running graphs. One runtime is one thread's: an engine connection
 * and slots, the places where prepared statements find the rows of a tick.
 */
#ifndef LEAT_STREAM_RUN_H
#define LEAT_STREAM_RUN_H

#include "leat/engine.h"
#include "stream_int.h"

/* Rows of one tick at one place of a graph: batches, each with weights (NULL = all +1). */
struct leat_delta {
        uint32_t count, cap;
        const struct leat_batch **batches;
        const int64_t **weights;
        uint64_t rows;
};
void leat_delta_clear(struct leat_delta *delta);
void leat_delta_done(struct leat_delta *delta);
/* Borrows both; empty batches are left out. */
void leat_delta_add(struct leat_delta *delta, const struct leat_batch *batch, const int64_t *weights);

/* What leat_scan('<base>.<number>') reads. */
struct leat_slot {
        bool used;
        uint32_t column_count; /* without w */
        const char **names;    /* NULL: c0, c1 ... */
        struct leat_type *types;
        bool weighted;       /* has the column w */
        const uint32_t *map; /* column -> column of the batches; NULL: the same */
        struct leat_delta delta;
        /* Only these rows of all batches taken together; used to find bad rows. */
        bool ranged;
        uint64_t from, to;
        const uint64_t *skip; /* bitmap over all rows: left out; NULL: none */
};

struct leat_runtime {
        struct leat_engine *engine;
        struct leat_conn *conn;
        struct leat_slot **slots;
        uint32_t slot_count, slot_cap;
        int64_t *ones; /* weights of rows that have none */
        uint32_t ones_count;
};
int leat_runtime_open(struct leat_runtime *rt, int64_t memory_bytes, struct leat_error *err) LEAT_NODISCARD;
void leat_runtime_close(struct leat_runtime *rt);
/* @count slots with numbers that follow each other; *ret_base is the first. */
uint32_t leat_runtime_slots(struct leat_runtime *rt, uint32_t count);
void leat_runtime_slots_free(struct leat_runtime *rt, uint32_t base, uint32_t count);
/* Runs @plan to its end; all rows in one batch of @arena. */
int leat_runtime_run(struct leat_plan *plan, struct leat_arena *arena, struct leat_batch **ret_batch,
                     struct leat_error *err) LEAT_NODISCARD;

/* ---- accumulators (stream_combine.c) ------------------------------------------------------ */
/* Adds row src_rows[i] of the accumulator's columns @src to row dst_rows[i] of @dst (NULL: row i), for @count rows in
 * order; @sign -1 takes away. @dst columns have validity bitmaps. LEAT_ERANGE when a sum leaves its type. */
int leat_acc_merge(const struct leat_acc *acc, struct leat_column *dst, const uint32_t *dst_rows,
                   const struct leat_column *src, const uint32_t *src_rows, uint32_t count, int sign,
                   struct leat_arena *arena, struct leat_error *err) LEAT_NODISCARD;
/* Sets @count rows to "nothing yet". */
void leat_acc_clear(const struct leat_acc *acc, struct leat_column *dst, uint32_t count);
/* -1, 0, 1 in DuckDB's order; both valid. */
int leat_column_compare(const struct leat_column *a, uint32_t i, const struct leat_column *b, uint32_t j);

/* ---- rows by key (stream_keys.c) ------------------------------------------------------------- */
struct leat_keys;
/* Numbers the distinct values of the first @key_count columns; batches may differ, types may not. */
struct leat_keys *leat_keys_new(struct leat_arena *arena, uint32_t key_count, uint32_t rows_hint);
/* ret_ids[i] = number of the key of row i; new keys get the next numbers. Rows are borrowed. */
void leat_keys_add(struct leat_keys *keys, const struct leat_batch *batch, uint32_t *ret_ids);
uint32_t leat_keys_count(const struct leat_keys *keys);
/* The key columns, one row a number, in the order of the numbers. */
void leat_keys_columns(const struct leat_keys *keys, struct leat_arena *arena, struct leat_column *ret_columns);

/* ---- one tick ------------------------------------------------------------------------------------ */
/* Rows found under the same keys in the same tick: jobs that join the same column with the same topic share them. */
struct leat_lookup_memo {
        uint64_t arr_id;
        uint32_t rows, key_count;
        const void *keys[4];
        struct leat_batch *right; /* one row a key; or, with @ids, one row a distinct key */
        const uint32_t *ids;      /* row of the keys -> row of right; NULL: the same */
        struct leat_column *wide; /* with @ids: columns that somebody wanted, one row a key; data NULL: not made yet */
        uint8_t *matched;         /* one a key */
};
#define LEAT_LOOKUP_MEMOS 64

struct leat_tick_run {
        struct leat_lookup_memo memos[LEAT_LOOKUP_MEMOS];
        uint32_t memo_count;
        struct leat_arena *arena; /* of this tick */
        struct leat_state *state;
        int64_t tick;
        struct leat_tick_section *sections;
        uint32_t section_count, section_cap;
        struct leat_tick_expire *expires;
        uint32_t expire_count, expire_cap;
        struct leat_state_snapshot **snapshots; /* kept until the tick is encoded: rows borrow from them */
        uint32_t snapshot_count, snapshot_cap;
};
struct leat_state_snapshot *leat_tick_run_snapshot(struct leat_tick_run *run);
/* Applies a change to the state and adds it to the tick's sections. */
int leat_tick_run_apply(struct leat_tick_run *run, uint64_t arr, struct leat_batch *rows, int64_t *weights,
                        struct leat_error *err) LEAT_NODISCARD;
int leat_tick_run_expire(struct leat_tick_run *run, uint64_t arr, int64_t time_us,
                         struct leat_error *err) LEAT_NODISCARD;
void leat_tick_run_done(struct leat_tick_run *run);

/* ---- jobs (stream_job.c, stream_agg.c) ----------------------------------------------------------- */
/* A keyed topic as lookups see it: its arrangement has the key columns first. */
struct leat_lookup {
        uint64_t arr_id;
        uint32_t column_count;
        const char *const *names; /* in the arrangement's order */
};

struct leat_agg_plans {
        struct leat_plan *main;
        struct leat_plan **distincts; /* a distinct set's values */
        struct leat_plan **feeds;     /* parts of what comes and goes in a distinct set */
        struct leat_plan **firsts;    /* one an accumulator; NULL but for FIRST */
        uint32_t *part_at;            /* accumulator -> its first part in the combined partial rows */
        uint32_t part_columns;        /* groups, n, parts */
        struct leat_type *part_types;
        uint32_t slot_at; /* first slot of the distinct sets */
        /* This step's rows of main, distincts and firsts, when they were computed before: leat_rows_compute(). */
        bool ready;
        struct leat_batch *main_rows, **distinct_rows, **first_rows;
};

/* A lookup whose input only passes columns on from a node with rows: it takes them from there, nothing is computed. */
struct leat_lookup_path {
        bool direct;
        uint32_t node;           /* with the rows */
        const uint32_t *columns; /* of its columns, one for each column of the input */
        const uint32_t *keys;    /* likewise for the keys */
};

struct leat_stream_job {
        uint64_t view_id;
        const char *name;
        struct leat_arena *arena;
        struct leat_stream_graph *graph;
        struct leat_runtime *rt;
        uint32_t slot_base, slot_count;
        struct leat_agg_plans *aggs;     /* one a node */
        struct leat_plan **lookup_plans; /* one a node */
        struct leat_lookup_path *paths;  /* one a node */
        struct leat_lookup *lookups;     /* one a node; set by the owner */
        struct leat_plan *top_plan;      /* APPEND, ROWS: the view's rows */
        uint8_t *reads;                  /* AGG, LOOKUP: what their statements read; one a node */
        uint8_t top_reads;               /* the same of top_plan */
        struct leat_batch *top_rows;     /* its rows in this step, when they were computed before */
        struct leat_plan *out_plan;      /* the view's columns of out_slot, with w; made at first use */
        uint32_t out_slot;               /* number in the job */
        /* the tick */
        int64_t watermark_us;      /* at the start of the tick; INT64_MIN: none */
        int64_t next_watermark_us; /* at its end */
        bool first_tick;           /* makes the row of aggregates without GROUP BY */
        int64_t late_rows, rows_in, rows_out;
        struct leat_delta out;       /* changes of arrangement 0, with weights */
        struct leat_batch *out_rows; /* the same as the view's columns and w, when somebody asked; NULL: none */
};
/* Prepares all statements. @graph must live in @arena, which the job takes over. */
int leat_stream_job_open(struct leat_runtime *rt, struct leat_arena *arena, struct leat_stream_graph *graph,
                         uint64_t view_id, const char *name, struct leat_stream_job **ret_job,
                         struct leat_error *err) LEAT_NODISCARD;
/* The same for a view that others compute: only leat_stream_job_out() and leat_stream_job_horizon(). */
struct leat_stream_job *leat_stream_job_mirror(struct leat_runtime *rt, struct leat_arena *arena,
                                               struct leat_stream_graph *graph, uint64_t view_id, const char *name);
void leat_stream_job_close(struct leat_stream_job *job);
/* The slot of a SOURCE node: set its delta before each tick. */
struct leat_slot *leat_stream_job_source(struct leat_stream_job *job, uint32_t node);
/* Defines its arrangements in @state. */
int leat_stream_job_define(struct leat_stream_job *job, struct leat_state *state,
                           struct leat_error *err) LEAT_NODISCARD;
/* One step over what stands in the source slots; a tick may have several. Its changes are added to job->out, which the
 * owner clears for each tick. After an error the state holds a part of the tick. */
int leat_stream_job_run(struct leat_stream_job *job, struct leat_tick_run *run, struct leat_error *err) LEAT_NODISCARD;
/* Runs the statements that read rows of sources over what stands in the source slots, and throws the rows away: an error
 * means that a row in the slots cannot be computed. Nothing is applied; @run is one for this call alone, with the state,
 * the tick and an arena. */
int leat_stream_job_probe(struct leat_stream_job *job, struct leat_tick_run *run,
                          struct leat_error *err) LEAT_NODISCARD;
/* After @io_err of a run: when an expression fails over what stands in the slots, the error names it with the values of
 * its row, and what to do (stream_blame.c). */
void leat_stream_job_blame(struct leat_stream_job *job, struct leat_error *io_err);
/* This tick's changes as the view's columns followed by w; for jobs that read the view. */
int leat_stream_job_out(struct leat_stream_job *job, struct leat_tick_run *run, struct leat_batch **ret_rows,
                        struct leat_error *err) LEAT_NODISCARD;
/* The start below which rows of windows are gone: retention, in whole buckets; INT64_MIN: none. */
int64_t leat_stream_job_horizon(const struct leat_stream_job *job, uint32_t arr, int64_t watermark_us);

/* ---- rows of sources first (stream_rows.c) ------------------------------------------------------- */
/* Which statements read what. */
void leat_rows_prepare(struct leat_stream_job *job);
/* True when the statement with these `reads` has run in leat_rows_compute() with all that it will ever read. */
bool leat_rows_only(uint8_t reads);
/* Empties the slots of all nodes but sources, and forgets what was computed. */
void leat_rows_forget(struct leat_stream_job *job);
/* The first half of a step: applies nothing. */
int leat_rows_compute(struct leat_stream_job *job, struct leat_tick_run *run, struct leat_error *err) LEAT_NODISCARD;

int leat_lookup_prepare(struct leat_stream_job *job, uint32_t number, struct leat_error *err) LEAT_NODISCARD;
int leat_lookup_run(struct leat_stream_job *job, uint32_t number, struct leat_tick_run *run,
                    struct leat_error *err) LEAT_NODISCARD;

int leat_agg_prepare(struct leat_stream_job *job, uint32_t node, uint32_t slot_at,
                     struct leat_error *err) LEAT_NODISCARD;
void leat_agg_plans_done(struct leat_stream_job *job, uint32_t node);
/* Runs its statements over the rows of its input, for leat_agg_run(). Applies nothing. */
int leat_agg_rows(struct leat_stream_job *job, uint32_t node, struct leat_tick_run *run,
                  struct leat_error *err) LEAT_NODISCARD;
int leat_agg_run(struct leat_stream_job *job, uint32_t node, struct leat_tick_run *run,
                 struct leat_error *err) LEAT_NODISCARD;

#endif
