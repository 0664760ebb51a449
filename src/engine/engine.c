/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/engine: instances and connections.
 *
 * Design    An instance is in memory and never sees a file but its spill
 *           folder: extensions are not loaded, external access is off, and the
 *           configuration is locked before anyone's SQL runs. Errors come as
 *           JSON from DuckDB (errors_as_json), which is where positions are.
 *           TimeZone is UTC; NULLs sort as in PostgreSQL (last, first with
 *           DESC); the collation is binary.
 * Threads   An engine may be used from any thread. A connection belongs to one
 *           thread at a time, but for leat_conn_interrupt.
 */
#include <inttypes.h>
#include <stdio.h>

#include "duck_int.h"

#define MEMORY_BYTES_DEFAULT (1ll << 30)

static int run_setup(duckdb_connection con, const char *sql, struct leat_error *err)
{
        duckdb_result result;
        int rc = 0;
        if (duckdb_query(con, sql, &result) != DuckDBSuccess)
                rc = leat_error_set(err, LEAT_EINTERNAL, "DuckDB: %s: %s", sql, duckdb_result_error(&result));
        duckdb_destroy_result(&result);
        return rc;
}

static int open_database(const struct leat_engine_options *options, duckdb_database *ret_db, struct leat_error *err)
{
        char threads[16], memory[32];
        snprintf(threads, sizeof threads, "%d", options->threads > 0 ? options->threads : 1);
        snprintf(memory, sizeof memory, "%" PRId64 "B",
                 options->memory_bytes > 0 ? options->memory_bytes : (int64_t)MEMORY_BYTES_DEFAULT);
        const char *const settings[][2] = {
                {"threads", threads},
                {"memory_limit", memory},
                {"autoinstall_known_extensions", "false"},
                {"autoload_known_extensions", "false"},
                {"allow_community_extensions", "false"},
                {"default_null_order", "nulls_last_on_asc_first_on_desc"},
                {"errors_as_json", "true"},
        };
        duckdb_config config;
        if (duckdb_create_config(&config) != DuckDBSuccess)
                return leat_error_set(err, LEAT_ENOMEM, "DuckDB: no memory for its configuration");
        int rc = 0;
        for (size_t i = 0; i < LEAT_ARRAY_LEN(settings) && rc == 0; i++)
                if (duckdb_set_config(config, settings[i][0], settings[i][1]) != DuckDBSuccess)
                        rc = leat_error_set(err, LEAT_EINTERNAL, "DuckDB: cannot set %s to %s", settings[i][0],
                                            settings[i][1]);
        char *text = NULL;
        if (rc == 0 && duckdb_open_ext(NULL, ret_db, config, &text) != DuckDBSuccess)
                rc = leat_error_set(err, LEAT_EINTERNAL, "DuckDB does not open: %s", text != NULL ? text : "no reason");
        duckdb_free(text);
        duckdb_destroy_config(&config);
        return rc;
}

/* All of DuckDB's optimizers but filter_pushdown, filter_pullup, deliminator, unnest_rewriter, expression_rewriter,
 * in_clause and cte_filter_pusher. */
static const char bind_only_sql[] =
        "SET GLOBAL "
        "disabled_optimizers='empty_result_pullup,regex_range,join_order,unused_columns,statistics_propagation,"
        "common_subexpressions,common_aggregate,column_lifetime,limit_pushdown,row_group_pruner,top_n,"
        "top_n_window_elimination,build_side_probe_side,compressed_materialization,duplicate_groups,reorder_filter,"
        "sampling_pushdown,join_filter_pushdown,extension,materialized_cte,sum_rewriter,late_materialization,cte_"
        "inlining,"
        "common_subplan,join_elimination,window_self_join'";

/* Everything that must be done on a connection before the configuration is locked. */
static int lock_down(struct leat_engine *engine, duckdb_connection con, const struct leat_engine_options *options,
                     struct leat_error *err)
{
        const char *temp_dir = options->temp_dir;
        struct leat_buf sql = LEAT_BUF_INIT;
        leat_buf_add_str(&sql, "SET GLOBAL temp_directory='");
        for (const char *p = temp_dir != NULL ? temp_dir : ""; *p != '\0'; p++) {
                if (*p == '\'')
                        leat_buf_u8(&sql, '\'');
                leat_buf_u8(&sql, (uint8_t)*p);
        }
        leat_buf_add_str(&sql, "'");
        int rc = run_setup(con, leat_buf_cstr(&sql), err);
        leat_buf_done(&sql);
        LEAT_TRY(rc);
        LEAT_TRY(run_setup(con, "SET GLOBAL TimeZone='UTC'", err));
        LEAT_TRY(run_setup(con, "SET GLOBAL enable_external_access=false", err));
        if (options->bind_only)
                LEAT_TRY(run_setup(con, bind_only_sql, err));
        if (leat_duck_register_scan(engine, con) != 0 || leat_duck_register_windows(con) != 0)
                return leat_error_set(err, LEAT_EINTERNAL, "DuckDB: cannot register the functions of Leat");
        return run_setup(con, "SET GLOBAL lock_configuration=true", err);
}

/* Ours instead of DuckDB's, which tells of files and settings that nobody can reach here. */
static char *memory_hint(const struct leat_engine_options *options)
{
        struct leat_buf hint = LEAT_BUF_INIT;
        leat_buf_add_str(&hint, "Read less at a time (fewer columns or groups, a WHERE, a LIMIT)");
        if (options->memory_param != NULL) {
                leat_buf_printf(&hint, ", or raise %s, which all statements share: it is ", options->memory_param);
                leat_param_text(LEAT_PARAM_BYTES, options->memory_bytes, &hint);
                leat_buf_printf(&hint, ", leat serve --set '%s=", options->memory_param);
                leat_param_text(LEAT_PARAM_BYTES, options->memory_bytes * 2, &hint);
                leat_buf_add_str(&hint, "'");
        }
        leat_buf_add_str(&hint, ".");
        char *text = leat_strdup(leat_buf_cstr(&hint));
        leat_buf_done(&hint);
        return text;
}

int leat_engine_open(const struct leat_engine_options *options, struct leat_engine **ret_engine, struct leat_error *err)
{
        static const struct leat_engine_options defaults;
        if (options == NULL)
                options = &defaults;
        struct leat_engine *engine = leat_calloc(1, sizeof *engine);
        pthread_mutex_init(&engine->lock, NULL);
        engine->memory_hint = memory_hint(options);
        duckdb_connection con = NULL;
        int rc;
        LEAT_TRY_GOTO(open_database(options, &engine->db, err));
        if (duckdb_connect(engine->db, &con) != DuckDBSuccess) {
                rc = leat_error_set(err, LEAT_EINTERNAL, "DuckDB: cannot connect to a new instance");
                goto fail;
        }
        LEAT_TRY_GOTO(lock_down(engine, con, options, err));
        duckdb_disconnect(&con);
        *ret_engine = engine;
        return 0;
fail:
        if (con != NULL)
                duckdb_disconnect(&con);
        leat_engine_close(engine);
        return rc;
}

void leat_engine_close(struct leat_engine *engine)
{
        if (engine == NULL)
                return;
        LEAT_ASSERT(engine->conns == NULL);
        if (engine->db != NULL)
                duckdb_close(&engine->db);
        pthread_mutex_destroy(&engine->lock);
        free(engine->memory_hint);
        free(engine);
}

/* ---- connections ------------------------------------------------------------ */

int leat_conn_open(struct leat_engine *engine, const struct leat_relation_ops *ops, void *ops_arg,
                   struct leat_conn **ret_conn, struct leat_error *err)
{
        struct leat_conn *conn = leat_calloc(1, sizeof *conn);
        if (duckdb_connect(engine->db, &conn->con) != DuckDBSuccess) {
                free(conn);
                return leat_error_set(err, LEAT_EINTERNAL, "DuckDB: cannot open a connection");
        }
        duckdb_client_context context;
        duckdb_connection_get_client_context(conn->con, &context);
        conn->id = duckdb_client_context_get_connection_id(context);
        duckdb_destroy_client_context(&context);
        conn->engine = engine;
        conn->ops = ops;
        conn->ops_arg = ops_arg;
        pthread_mutex_init(&conn->lock, NULL);
        pthread_mutex_lock(&engine->lock);
        conn->next = engine->conns;
        engine->conns = conn;
        pthread_mutex_unlock(&engine->lock);
        *ret_conn = conn;
        return 0;
}

void leat_conn_close(struct leat_conn *conn)
{
        if (conn == NULL)
                return;
        struct leat_engine *engine = conn->engine;
        duckdb_disconnect(&conn->con);
        pthread_mutex_lock(&engine->lock);
        struct leat_conn **at = &engine->conns;
        while (*at != conn)
                at = &(*at)->next;
        *at = conn->next;
        pthread_mutex_unlock(&engine->lock);
        pthread_mutex_destroy(&conn->lock);
        free(conn);
}

struct leat_conn *leat_duck_conn_find(struct leat_engine *engine, idx_t id)
{
        pthread_mutex_lock(&engine->lock);
        struct leat_conn *conn = engine->conns;
        while (conn != NULL && conn->id != id)
                conn = conn->next;
        pthread_mutex_unlock(&engine->lock);
        return conn;
}

void leat_conn_interrupt(struct leat_conn *conn)
{
        duckdb_interrupt(conn->con);
}

int leat_conn_exec(struct leat_conn *conn, const char *sql, struct leat_error *err)
{
        duckdb_result result;
        int rc = 0;
        leat_duck_scan_error_clear(conn);
        if (duckdb_query(conn->con, sql, &result) != DuckDBSuccess)
                rc = leat_duck_error(conn, sql, duckdb_result_error(&result), err);
        duckdb_destroy_result(&result);
        return rc;
}

int leat_conn_text(struct leat_conn *conn, const char *sql, const char *const *args, int arg_count,
                   struct leat_buf *out, struct leat_error *err)
{
        struct leat_plan *plan = NULL;
        struct leat_result *result = NULL;
        const struct leat_batch *batch;
        int rc;
        LEAT_TRY_GOTO(leat_plan_prepare(conn, sql, &plan, err));
        for (int i = 0; i < arg_count; i++) {
                struct leat_string value = leat_string_borrow(leat_view_str(args[i]));
                struct leat_column col = {.type = leat_type_of(LEAT_T_VARCHAR), .data = &value};
                LEAT_TRY_GOTO(leat_plan_bind(plan, (uint32_t)i, &col, 0, err));
        }
        LEAT_TRY_GOTO(leat_plan_run(plan, false, &result, err));
        LEAT_TRY_GOTO(leat_result_next(result, &batch, err));
        if (batch == NULL || batch->columns[0].type.id != LEAT_T_VARCHAR || !leat_column_valid(&batch->columns[0], 0)) {
                rc = leat_error_set(err, LEAT_ENOTFOUND, "the statement gives no text");
                goto fail;
        }
        leat_buf_add_view(out, leat_string_view((const struct leat_string *)batch->columns[0].data));
fail:
        leat_result_free(result);
        leat_plan_free(plan);
        return rc;
}
