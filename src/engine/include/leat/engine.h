/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/engine: DuckDB, behind one header; the only module that sees duckdb.h.
 *
 *   leat_engine      one DuckDB instance, locked down (no extension loading, no
 *                    external access, memory limit, configuration locked, UTC)
 *   leat_conn        one connection: one statement at a time, one thread at a time
 *   leat_plan        a prepared statement; cheap to run again
 *   leat_result      its rows, as batches
 *   relation         what SQL text reaches by `leat_scan('key')`: rows that come
 *                    from us (a delta, a topic, a view), pulled through callbacks
 *
 * Every connection has these functions besides DuckDB's own (integer arithmetic
 * on microseconds since 1970-01-01, the same for TIMESTAMP and TIMESTAMPTZ;
 * intervals with months are refused, a day is 24 hours):
 *
 *   leat_window_start(ts, size INTERVAL [, shift INTERVAL])
 *        start of the tumbling window that holds ts
 *   leat_hop_starts(ts, slide INTERVAL, size INTERVAL [, shift INTERVAL])
 *        starts of all hopping windows that hold ts, as a list, oldest first
 */
#ifndef LEAT_ENGINE_H
#define LEAT_ENGINE_H

#include "leat/column.h"

struct leat_engine;
struct leat_conn;
struct leat_plan;
struct leat_result;

struct leat_engine_options {
        int threads;              /* 0 = 1 */
        int64_t memory_bytes;     /* 0 = 1 GiB */
        const char *memory_param; /* the parameter that it comes from, for the error when it is used up; may be NULL */
        const char *temp_dir;     /* spill folder; NULL = no spilling */
        bool bind_only; /* for json_serialize_plan: only the optimizers of STREAMING.md 1, so that a plan over empty
                               * tables keeps its shape */
};

/* A source of rows. All callbacks run on the thread that executes the plan
 * (or, with threads > 1, on an engine thread, one at a time for one scan). */
struct leat_relation_ops {
        /* Columns of the relation @key (memory from @arena). LEAT_ENORELATION when there is none. */
        int (*describe)(void *arg, const char *key, struct leat_arena *arena, uint32_t *ret_count,
                        const char ***ret_names, struct leat_type **ret_types, struct leat_error *err);
        /* Starts a scan that must deliver only @columns (indexes into describe's), in this order. @count may be 0:
         * then only row counts matter. */
        int (*open)(void *arg, const char *key, const uint32_t *columns, uint32_t count, void **ret_scan,
                    struct leat_error *err);
        /* The next rows, any number; *ret_batch NULL at the end. The batch stays valid until the next call or close,
         * and its strings until close. */
        int (*next)(void *scan, const struct leat_batch **ret_batch, struct leat_error *err);
        void (*close)(void *scan);
};

/* Opens an in-memory instance. Errors: LEAT_EINTERNAL with DuckDB's text. */
int leat_engine_open(const struct leat_engine_options *options, struct leat_engine **ret_engine,
                     struct leat_error *err) LEAT_NODISCARD;
void leat_engine_close(struct leat_engine *engine);

/* A connection; @ops (may be NULL) answers `leat_scan('key')` in its statements. */
int leat_conn_open(struct leat_engine *engine, const struct leat_relation_ops *ops, void *ops_arg,
                   struct leat_conn **ret_conn, struct leat_error *err) LEAT_NODISCARD;
void leat_conn_close(struct leat_conn *conn);
/* Makes the running statement fail with LEAT_ECANCELED. Thread: any. */
void leat_conn_interrupt(struct leat_conn *conn);
/* Runs one or more statements, result thrown away (set-up: macros, empty tables). */
int leat_conn_exec(struct leat_conn *conn, const char *sql, struct leat_error *err) LEAT_NODISCARD;
/* Runs a statement that gives one VARCHAR value, appended to @out; LEAT_ENOTFOUND when it is NULL or no row. Used for
 * json_serialize_sql, json_serialize_plan and json_deserialize_sql; @args are bound as VARCHAR to $1, $2 …
 * (write $1::VARCHAR: DuckDB wants to know the type when it prepares). */
int leat_conn_text(struct leat_conn *conn, const char *sql, const char *const *args, int arg_count,
                   struct leat_buf *out, struct leat_error *err) LEAT_NODISCARD;

/* Prepares one statement. Errors carry the position when DuckDB gives one:
 * LEAT_ESYNTAX, LEAT_ENORELATION, LEAT_ENOCOLUMN, LEAT_ENOFUNCTION, LEAT_ETYPE, LEAT_EINVAL. */
int leat_plan_prepare(struct leat_conn *conn, const char *sql, struct leat_plan **ret_plan,
                      struct leat_error *err) LEAT_NODISCARD;
void leat_plan_free(struct leat_plan *plan);
uint32_t leat_plan_column_count(const struct leat_plan *plan);
const char *leat_plan_column_name(const struct leat_plan *plan, uint32_t column);
struct leat_type leat_plan_column_type(const struct leat_plan *plan, uint32_t column); /* lives as long as the plan */
uint32_t leat_plan_param_count(const struct leat_plan *plan);
/* The 0-based index of the parameter "$name", -1 when the statement has none of that name. */
int leat_plan_param_find(const struct leat_plan *plan, const char *name);
/* LEAT_T_INVALID when the type is not known yet. */
struct leat_type leat_plan_param_type(const struct leat_plan *plan, uint32_t param);
/* Binds parameter @param (0-based) to row @row of @col; of any type, DuckDB casts. */
int leat_plan_bind(struct leat_plan *plan, uint32_t param, const struct leat_column *col, uint32_t row,
                   struct leat_error *err) LEAT_NODISCARD;
/* Runs it. @stream true gives rows while they are made (needed for LIMIT over endless scans and large results), and
 * the scans stay open until the result is freed; false computes all of them first and closes the scans. For small
 * results false is the cheaper one. The bound parameters stay. Only one result of a connection can be open: free it
 * before the next call on the connection. */
int leat_plan_run(struct leat_plan *plan, bool stream, struct leat_result **ret_result,
                  struct leat_error *err) LEAT_NODISCARD;
/* The next rows; NULL at the end. Valid until the next call or free. Runtime errors: LEAT_ERANGE (overflow, division),
 * LEAT_EINVAL (casts), LEAT_ENOMEM, LEAT_ECANCELED; a relation callback's own error comes back as it was. */
int leat_result_next(struct leat_result *result, const struct leat_batch **ret_batch,
                     struct leat_error *err) LEAT_NODISCARD;
void leat_result_free(struct leat_result *result);
uint32_t leat_result_column_count(const struct leat_result *result);
const char *leat_result_column_name(const struct leat_result *result, uint32_t column);
struct leat_type leat_result_column_type(const struct leat_result *result, uint32_t column);

#endif
