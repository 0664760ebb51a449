/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/state: arrangements, keyed rows that remember. STREAMING.md section 3.
 *
 * A `leat_state` holds all arrangements of one pipeline at one tick: immutable
 * runs in a folder of the object store plus the recent ticks in memory. The
 * pipeline's worker writes it (role `writer`: applies, merges, publishes manifests);
 * `query` opens the same folder as `reader`: it maps the runs of the newest
 * manifest, applies the ticks after it and never merges.
 *
 * Rows of an arrangement are: key columns, then order columns, then value
 * columns. In mode MAP there is one row a key (and order value): the newest
 * wins. In mode MULTISET rows have weights that add up; a row whose weight is
 * 0 is gone. Arrangements with order columns keep a key's rows sorted by them.
 *
 * Thread: one owner; snapshots may be read by any thread while the owner goes on.
 */
#ifndef LEAT_STATE_H
#define LEAT_STATE_H

#include "leat/base.h"
#include "leat/column.h"

struct leat_state;
struct leat_state_snapshot;

enum leat_arr_mode { LEAT_ARR_MAP = 1, LEAT_ARR_MULTISET = 2 };

struct leat_arr_def {
        uint64_t id; /* unique in the pipeline, never used again */
        enum leat_arr_mode mode;
        uint32_t key_count; /* columns that make the key, first; 0 = one single key */
        /* Ascending order has NULLs after all values, descending before them, as in PostgreSQL; NaN is the greatest
         * number. -0.0 and 0.0, all NaN, and intervals of equal length (30 days a month, 24 hours a day) are one value
         * in key and order columns (MULTISET: in all columns). LIST and STRUCT columns are refused (LEAT_EUNSUPPORTED),
         * and values of more than 4 MiB (LEAT_ETOOBIG). */
        uint32_t order_count;  /* columns that order the rows of a key, next */
        uint32_t order_desc;   /* bit i: order column i is descending */
        uint32_t column_count; /* all columns */
        const struct leat_type *types;
        /* Time buckets: the TIMESTAMP, TIMESTAMPTZ or BIGINT key or value column whose value / bucket_us picks the
         * bucket; -1 = one bucket for all. Rows of one key must always fall in one bucket. */
        int32_t time_column;
        int64_t bucket_us;
};

enum leat_state_role { LEAT_STATE_WRITER, LEAT_STATE_READER };

struct leat_state_options {
        enum leat_state_role role;
        const char *dir;      /* made when missing (writer) */
        int64_t memory_bytes; /* budget of recent ticks; reached: the writer spills them to runs (0 = 64 MiB) */
        int64_t disk_bytes;   /* 0 = no limit; LEAT_EFULL beyond */
        int64_t lock_wait_us; /* writer: how long to wait for the one before to end (0 = 5 s); then LEAT_EBUSY */
};

/* Loads the newest complete manifest, or starts empty (tick 0). *ret_tick is its tick, and @ret_extra gets the bytes
 * that the writer put into it (positions, watermarks). LEAT_ECORRUPT names file and place. */
int leat_state_open(const struct leat_state_options *options, struct leat_state **ret_state, int64_t *ret_tick,
                    struct leat_buf *ret_extra, struct leat_error *err) LEAT_NODISCARD;
void leat_state_close(struct leat_state *state);
/* The last tick applied, or loaded. */
int64_t leat_state_tick(const struct leat_state *state);
/* Bytes of what was applied and is in no manifest yet: the worker publishes when it is much, so that readers, which
 * hold it in memory, can let it go. */
int64_t leat_state_unpublished_bytes(const struct leat_state *state);
/* Ids of all arrangements into @out (at most @max); returns how many there are. */
uint32_t leat_state_list(const struct leat_state *state, uint64_t *out, uint32_t max);

/* Declares an arrangement. Opening one that the manifest has already is right when the definition is equal. */
int leat_state_define(struct leat_state *state, const struct leat_arr_def *def, struct leat_error *err) LEAT_NODISCARD;
/* Forgets an arrangement; its files go with the next manifest. */
int leat_state_drop(struct leat_state *state, uint64_t arr, struct leat_error *err) LEAT_NODISCARD;
const struct leat_arr_def *leat_state_def(const struct leat_state *state, uint64_t arr); /* NULL: none */

/* ---- writing (owner) -------------------------------------------------------- */
/* Applies one tick's changes. @rows has the arrangement's columns; @weights[i] (NULL = all +1):
 *   MAP: > 0 puts the row, < 0 deletes the row of that key (and order value)
 *   MULTISET: added to the row's weight
 * Rows may repeat; later ones win. Ticks must not go back. */
int leat_state_apply(struct leat_state *state, uint64_t arr, int64_t tick, const struct leat_batch *rows,
                     const int64_t *weights, struct leat_error *err) LEAT_NODISCARD;
/* Says that everything up to @tick was applied, also when nothing changed. */
void leat_state_advance(struct leat_state *state, int64_t tick);
/* Drops whole buckets that end at or before @time_us. */
int leat_state_expire(struct leat_state *state, uint64_t arr, int64_t time_us, struct leat_error *err) LEAT_NODISCARD;
/* One tick's section of one arrangement as bytes for the tick record, in the encoding of runs, checksummed; and back.
 * Decoded rows live in @arena or point into @bytes. */
void leat_state_section_encode(uint64_t arr, const struct leat_batch *rows, const int64_t *weights,
                               struct leat_buf *out);
int leat_state_section_decode(struct leat_arena *arena, struct leat_view bytes, uint64_t *ret_arr,
                              struct leat_batch **ret_rows, int64_t **ret_weights,
                              struct leat_error *err) LEAT_NODISCARD;
/* Writes what is in memory to runs and replaces the manifest: from then on the state can be opened at @tick, with
 * @extra. Old files stay until no reader can need them (one older manifest is kept). Writer only. */
int leat_state_publish(struct leat_state *state, int64_t tick, struct leat_view extra,
                       struct leat_error *err) LEAT_NODISCARD;
/* Does up to about @budget_us of merging; true in *ret_more when there is more to do. Writer only. */
int leat_state_merge(struct leat_state *state, int64_t budget_us, bool *ret_more,
                     struct leat_error *err) LEAT_NODISCARD;
/* Reader: takes over a newer manifest that is not ahead of the ticks applied here, when there is one: what was in memory
 * up to its tick goes. The state does not change by it. *ret_tick is the state's tick. After an error with err->fatal
 * close it and open it anew. */
int leat_state_refresh(struct leat_state *state, int64_t *ret_tick, struct leat_error *err) LEAT_NODISCARD;

/* ---- reading ------------------------------------------------------------------ */
/* An immutable picture of now, reference-counted; free with unref. Thread: take: owner; use: any. */
struct leat_state_snapshot *leat_state_snapshot_take(struct leat_state *state);
struct leat_state_snapshot *leat_state_snapshot_ref(struct leat_state_snapshot *snapshot);
void leat_state_snapshot_unref(struct leat_state_snapshot *snapshot);
int64_t leat_state_snapshot_tick(const struct leat_state_snapshot *snapshot);

/* For each row i of @keys (the key columns) the newest row of that key: MAP without order columns. *ret_rows has
 * exactly keys->rows rows, all columns; rows of absent keys are all NULL and their bit in *ret_found is 0.
 * Strings live as long as the snapshot; the rest in @arena. */
int leat_state_lookup(struct leat_state_snapshot *snapshot, uint64_t arr, const struct leat_batch *keys,
                      struct leat_arena *arena, struct leat_batch **ret_rows, uint64_t **ret_found,
                      struct leat_error *err) LEAT_NODISCARD;

struct leat_gather_options {
        uint32_t limit;      /* rows a key at most, in order; 0 = all */
        bool reverse;        /* from the end of the order */
        uint32_t chunk_rows; /* rows a chunk at most; 0 = 65,536 */
        /* Optional range on the first order column (fixed-width types): rows with low <= x < high; column values at row
         * i of @keys. NULL = open. */
        const struct leat_column *low;
        const struct leat_column *high;
};
struct leat_gather;
/* All rows of the given keys: chunks of rows with the ordinal of the key that asked (row number in @keys) and the
 * weight. Starts it; then next until *ret_rows is NULL. */
int leat_gather_open(struct leat_state_snapshot *snapshot, uint64_t arr, const struct leat_batch *keys,
                     const struct leat_gather_options *options, struct leat_gather **ret_gather,
                     struct leat_error *err) LEAT_NODISCARD;
int leat_gather_next(struct leat_gather *gather, const struct leat_batch **ret_rows, const uint32_t **ret_ordinals,
                     const int64_t **ret_weights, struct leat_error *err) LEAT_NODISCARD;
void leat_gather_close(struct leat_gather *gather);

/* All rows of the arrangement, in no order, in chunks; only @columns (NULL = all) are filled in. */
struct leat_scan;
int leat_scan_open(struct leat_state_snapshot *snapshot, uint64_t arr, const uint32_t *columns, uint32_t column_count,
                   struct leat_scan **ret_scan, struct leat_error *err) LEAT_NODISCARD;
int leat_scan_next(struct leat_scan *scan, const struct leat_batch **ret_rows, const int64_t **ret_weights,
                   struct leat_error *err) LEAT_NODISCARD;
void leat_scan_close(struct leat_scan *scan);

/* Rows, bytes in memory and on disk, runs: for SHOW JOBS and metrics. Rows may be counted twice before merges. */
struct leat_arr_stats {
        uint64_t rows, memory_bytes, disk_bytes, runs;
};
struct leat_arr_stats leat_state_stats(const struct leat_state *state, uint64_t arr);

/* Checks every checksum of a state folder; calls @fn for each damage. */
int leat_state_verify(const char *dir, void (*fn)(void *arg, const char *file, const char *what), void *arg,
                      struct leat_error *err) LEAT_NODISCARD;

#endif
