/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/engine: leat_scan('key'), the table function behind which our rows stand.
 *
 * Design    Bind asks the connection's relation_ops for the columns; the start
 *           of an execution opens the relation with the columns that the plan
 *           needs; each call hands up to 2,048 rows on. A prepared plan binds
 *           once and opens anew for every run, so it reads what the key stands
 *           for at that moment.
 * Finding   Functions are registered once for each instance; the connection is
 *           found by DuckDB's connection id when the statement is bound.
 * Errors    A callback's error is kept in the connection, and the statement
 *           returns it as it was (engine_error.c).
 * Threads   One thread at a time reads one scan (max threads is 1).
 */
#include "duck_int.h"

#define NO_COLUMN UINT32_MAX

struct scan_bind {
        struct leat_conn *conn;
        char *key;
        uint32_t column_count;
};

struct scan {
        struct leat_conn *conn;
        void *source; /* from ops->open */
        const struct leat_batch *batch;
        uint64_t at; /* next row of the batch */
        uint32_t output_count;
        uint32_t *outputs; /* column of the batch for each output vector, NO_COLUMN: nobody reads it */
};

static void bind_free(void *arg)
{
        struct scan_bind *bind = arg;
        free(bind->key);
        free(bind);
}

static void bind_columns(duckdb_bind_info info, struct scan_bind *bind)
{
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_error err = {0};
        const char **names;
        struct leat_type *types;
        struct leat_conn *conn = bind->conn;
        int rc = conn->ops->describe(conn->ops_arg, bind->key, arena, &bind->column_count, &names, &types, &err);
        if (rc != 0) {
                err.code = rc;
                leat_duck_scan_failed(conn, &err);
                duckdb_bind_set_error(info, err.message);
        } else {
                for (uint32_t i = 0; i < bind->column_count; i++) {
                        duckdb_logical_type type = leat_duck_type_to(&types[i]);
                        duckdb_bind_add_result_column(info, names[i], type);
                        duckdb_destroy_logical_type(&type);
                }
        }
        leat_arena_free(arena);
}

static void scan_bind(duckdb_bind_info info)
{
        struct leat_engine *engine = duckdb_bind_get_extra_info(info);
        duckdb_client_context context;
        duckdb_table_function_get_client_context(info, &context);
        struct leat_conn *conn = leat_duck_conn_find(engine, duckdb_client_context_get_connection_id(context));
        duckdb_destroy_client_context(&context);
        if (conn == NULL || conn->ops == NULL) {
                duckdb_bind_set_error(info, "leat_scan: this connection has no relations");
                return;
        }
        duckdb_value value = duckdb_bind_get_parameter(info, 0);
        char *key = duckdb_is_null_value(value) ? NULL : duckdb_get_varchar(value);
        duckdb_destroy_value(&value);
        struct scan_bind *bind = leat_calloc(1, sizeof *bind);
        bind->conn = conn;
        bind->key = leat_strdup(key != NULL ? key : "");
        duckdb_free(key);
        duckdb_bind_set_bind_data(info, bind, bind_free);
        bind_columns(info, bind);
}

static void scan_free(void *arg)
{
        struct scan *scan = arg;
        if (scan->source != NULL)
                scan->conn->ops->close(scan->source);
        free(scan->outputs);
        free(scan);
}

static void scan_init(duckdb_init_info info)
{
        const struct scan_bind *bind = duckdb_init_get_bind_data(info);
        uint32_t count = (uint32_t)duckdb_init_get_column_count(info), wanted = 0;
        uint32_t *columns = leat_malloc((count + 1) * sizeof *columns);
        struct scan *scan = leat_calloc(1, sizeof *scan);
        scan->conn = bind->conn;
        scan->output_count = count;
        scan->outputs = leat_malloc((count + 1) * sizeof *scan->outputs);
        for (uint32_t i = 0; i < count; i++) {
                /* Where only rows count DuckDB asks for a row id, which lies beyond our columns. */
                idx_t column = duckdb_init_get_column_index(info, i);
                scan->outputs[i] = column < bind->column_count ? wanted : NO_COLUMN;
                if (column < bind->column_count)
                        columns[wanted++] = (uint32_t)column;
        }
        struct leat_error err = {0};
        int rc = scan->conn->ops->open(scan->conn->ops_arg, bind->key, columns, wanted, &scan->source, &err);
        free(columns);
        if (rc != 0) {
                err.code = rc;
                scan->source = NULL;
                leat_duck_scan_failed(scan->conn, &err);
                duckdb_init_set_error(info, err.message);
        }
        duckdb_init_set_init_data(info, scan, scan_free);
        duckdb_init_set_max_threads(info, 1);
}

static void scan_next(duckdb_function_info info, duckdb_data_chunk output)
{
        struct scan *scan = duckdb_function_get_init_data(info);
        while (scan->batch == NULL || scan->at == scan->batch->rows) {
                struct leat_error err = {0};
                scan->at = 0;
                int rc = scan->conn->ops->next(scan->source, &scan->batch, &err);
                if (rc != 0) {
                        err.code = rc;
                        scan->batch = NULL;
                        leat_duck_scan_failed(scan->conn, &err);
                        duckdb_function_set_error(info, err.message);
                        return;
                }
                if (scan->batch == NULL) {
                        duckdb_data_chunk_set_size(output, 0);
                        return;
                }
        }
        uint64_t rows = LEAT_MIN(scan->batch->rows - scan->at, (uint64_t)DUCK_VECTOR_ROWS);
        for (uint32_t i = 0; i < scan->output_count; i++)
                if (scan->outputs[i] != NO_COLUMN)
                        leat_duck_vector_fill(duckdb_data_chunk_get_vector(output, i),
                                              &scan->batch->columns[scan->outputs[i]], scan->at, rows);
        scan->at += rows;
        duckdb_data_chunk_set_size(output, rows);
}

int leat_duck_register_scan(struct leat_engine *engine, duckdb_connection con)
{
        duckdb_table_function function = duckdb_create_table_function();
        duckdb_logical_type text = duckdb_create_logical_type(DUCKDB_TYPE_VARCHAR);
        duckdb_table_function_set_name(function, "leat_scan");
        duckdb_table_function_add_parameter(function, text);
        duckdb_table_function_set_extra_info(function, engine, NULL);
        duckdb_table_function_set_bind(function, scan_bind);
        duckdb_table_function_set_init(function, scan_init);
        duckdb_table_function_set_function(function, scan_next);
        duckdb_table_function_supports_projection_pushdown(function, true);
        int rc = duckdb_register_table_function(con, function) == DuckDBSuccess ? 0 : LEAT_EINTERNAL;
        duckdb_destroy_logical_type(&text);
        duckdb_destroy_table_function(&function);
        return rc;
}
