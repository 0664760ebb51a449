/* SPDX-License-Identifier: Apache-2.0 */
/* leat/engine: what the files around DuckDB share. */
#ifndef LEAT_DUCK_INT_H
#define LEAT_DUCK_INT_H

#include <duckdb.h>
#include <pthread.h>

#include "engine_int.h"
#include "leat/engine.h"

/* Rows of one DuckDB vector: chunks never have more. */
#define DUCK_VECTOR_ROWS 2048

struct leat_engine {
        duckdb_database db;
        char *memory_hint; /* what to do when the memory is used up */
        pthread_mutex_t lock;
        struct leat_conn *conns; /* lock; found again by DuckDB's connection id when a scan is bound */
};

struct leat_conn {
        struct leat_engine *engine;
        struct leat_conn *next; /* engine->lock */
        duckdb_connection con;
        idx_t id;
        const struct leat_relation_ops *ops;
        void *ops_arg;
        pthread_mutex_t lock;
        struct leat_error scan_error; /* lock; what a relation callback returned, until the statement reports it */
};

/* ---- engine_error.c -------------------------------------------------------- */
/* Notes the error of a relation callback (the first one counts). */
void leat_duck_scan_failed(struct leat_conn *conn, const struct leat_error *scan_error);
void leat_duck_scan_error_clear(struct leat_conn *conn);
/* Turns DuckDB's error text (or the callback's error behind it) into @err; returns the code.
 * @sql is the statement that DuckDB's positions refer to, may be NULL. */
int leat_duck_error(struct leat_conn *conn, const char *sql, const char *text, struct leat_error *err);

/* ---- engine_type.c ---------------------------------------------------------- */
/* Destroy the result with duckdb_destroy_logical_type. */
duckdb_logical_type leat_duck_type_to(const struct leat_type *type);
/* LEAT_EUNSUPPORTED for types that leat_type does not have; DUCKDB_TYPE_INVALID gives LEAT_T_INVALID. */
int leat_duck_type_from(struct leat_arena *arena, duckdb_logical_type from, struct leat_type *ret_type,
                        struct leat_error *err);
/* A column of @type over the memory of @vector; children of @col are there already. */
void leat_duck_column_view(duckdb_vector vector, struct leat_column *col);
/* Allocates the children of @col for leat_duck_column_view. */
void leat_duck_column_prepare(struct leat_arena *arena, const struct leat_type *type, struct leat_column *col);
/* Copies rows [from, from+count) to the start of @vector. */
void leat_duck_vector_fill(duckdb_vector vector, const struct leat_column *col, uint64_t from, uint64_t count);
/* One value; destroy it with duckdb_destroy_value. */
duckdb_value leat_duck_value(const struct leat_column *col, uint64_t row);

/* ---- engine_scan.c, engine_window.c ------------------------------------------ */
int leat_duck_register_scan(struct leat_engine *engine, duckdb_connection con);
int leat_duck_register_windows(duckdb_connection con);
/* The connection with DuckDB's @id. */
struct leat_conn *leat_duck_conn_find(struct leat_engine *engine, idx_t id);

#endif
