/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/engine: prepared plans and their results.
 *
 * Design    A plan is prepared once and run many times; a run costs some tens
 *           of microseconds in DuckDB whatever we do (bench/engine_bench.c), so
 *           callers give it thousands of rows. Results are views of DuckDB's
 *           chunks: no copy.
 * Memory    A result has a small arena for its column headers; the values stay
 *           in the chunk, which lives until the next one is asked for.
 */
#include <stdio.h>

#include "duck_int.h"

struct leat_plan {
        struct leat_conn *conn;
        char *sql;
        duckdb_prepared_statement stmt;
        struct leat_arena *arena; /* types and names */
        uint32_t column_count;
        struct leat_type *types;
        const char **names;
        uint32_t param_count;
        struct leat_type *param_types;
        bool known; /* false: columns are known when it has run, their types depend on parameters */
};

struct leat_result {
        struct leat_plan *plan;
        struct leat_arena *arena;
        duckdb_result res;
        duckdb_data_chunk chunk;
        struct leat_batch batch;
        const struct leat_type *types; /* the plan's or our own */
        const char **names;
};

/* ---- prepare ------------------------------------------------------------------ */

static int load_columns(struct leat_plan *plan, struct leat_error *err)
{
        plan->column_count = (uint32_t)duckdb_prepared_statement_column_count(plan->stmt);
        plan->types = leat_arena_zalloc(plan->arena, plan->column_count * sizeof *plan->types);
        plan->names = leat_arena_zalloc(plan->arena, plan->column_count * sizeof *plan->names);
        plan->known = true;
        for (uint32_t i = 0; i < plan->column_count; i++) {
                const char *name = duckdb_prepared_statement_column_name(plan->stmt, i);
                plan->names[i] = leat_arena_strdup(plan->arena, name != NULL ? name : "");
                duckdb_free((void *)(uintptr_t)name);
                duckdb_logical_type type = duckdb_prepared_statement_column_logical_type(plan->stmt, i);
                int rc = type != NULL ? leat_duck_type_from(plan->arena, type, &plan->types[i], err) : 0;
                duckdb_destroy_logical_type(&type);
                if (rc != 0)
                        leat_error_prefix(err, "column \"%s\"", plan->names[i]);
                LEAT_TRY(rc);
                if (plan->types[i].id == LEAT_T_INVALID)
                        plan->known = false;
        }
        return 0;
}

static int load_params(struct leat_plan *plan)
{
        plan->param_count = (uint32_t)duckdb_nparams(plan->stmt);
        plan->param_types = leat_arena_zalloc(plan->arena, plan->param_count * sizeof *plan->param_types);
        for (uint32_t i = 0; i < plan->param_count; i++) {
                duckdb_logical_type type = duckdb_param_logical_type(plan->stmt, i + 1);
                /* A type that we do not have is as good as an unknown one: the value is cast when bound. */
                if (type == NULL || leat_duck_type_from(plan->arena, type, &plan->param_types[i], NULL) != 0 ||
                    plan->param_types[i].id == LEAT_T_SQLNULL)
                        plan->param_types[i] = leat_type_of(LEAT_T_INVALID);
                duckdb_destroy_logical_type(&type);
        }
        return 0;
}

int leat_plan_prepare(struct leat_conn *conn, const char *sql, struct leat_plan **ret_plan, struct leat_error *err)
{
        struct leat_plan *plan = leat_calloc(1, sizeof *plan);
        plan->conn = conn;
        plan->sql = leat_strdup(sql);
        plan->arena = leat_arena_new(2048);
        int rc;
        leat_duck_scan_error_clear(conn);
        if (duckdb_prepare(conn->con, sql, &plan->stmt) != DuckDBSuccess) {
                rc = leat_duck_error(conn, sql, duckdb_prepare_error(plan->stmt), err);
                goto fail;
        }
        LEAT_TRY_GOTO(load_columns(plan, err));
        LEAT_TRY_GOTO(load_params(plan));
        *ret_plan = plan;
        return 0;
fail:
        leat_plan_free(plan);
        return rc;
}

void leat_plan_free(struct leat_plan *plan)
{
        if (plan == NULL)
                return;
        if (plan->stmt != NULL)
                duckdb_destroy_prepare(&plan->stmt);
        leat_arena_free(plan->arena);
        free(plan->sql);
        free(plan);
}

uint32_t leat_plan_column_count(const struct leat_plan *plan)
{
        return plan->column_count;
}

const char *leat_plan_column_name(const struct leat_plan *plan, uint32_t column)
{
        return plan->names[column];
}

struct leat_type leat_plan_column_type(const struct leat_plan *plan, uint32_t column)
{
        return plan->types[column];
}

uint32_t leat_plan_param_count(const struct leat_plan *plan)
{
        return plan->param_count;
}

struct leat_type leat_plan_param_type(const struct leat_plan *plan, uint32_t param)
{
        return plan->param_types[param];
}

int leat_plan_param_find(const struct leat_plan *plan, const char *name)
{
        idx_t index;
        if (duckdb_bind_parameter_index(plan->stmt, &index, name) != DuckDBSuccess)
                return -1;
        return (int)index - 1;
}

int leat_plan_bind(struct leat_plan *plan, uint32_t param, const struct leat_column *col, uint32_t row,
                   struct leat_error *err)
{
        if (param >= plan->param_count)
                return leat_error_set(err, LEAT_EINVAL, "the statement has %u parameters, there is no number %u",
                                      plan->param_count, param + 1);
        duckdb_value value = leat_duck_value(col, row);
        if (value == NULL)
                return leat_error_set(err, LEAT_EINVAL, "parameter %u has a value that its type cannot hold",
                                      param + 1);
        duckdb_state state = duckdb_bind_value(plan->stmt, param + 1, value);
        duckdb_destroy_value(&value);
        if (state != DuckDBSuccess)
                return leat_duck_error(plan->conn, plan->sql, duckdb_prepare_error(plan->stmt), err);
        return 0;
}

/* ---- run ------------------------------------------------------------------------ */

/* Columns of a result whose plan did not know them. */
static int result_columns(struct leat_result *result, struct leat_error *err)
{
        uint32_t count = (uint32_t)duckdb_column_count(&result->res);
        struct leat_type *types = leat_arena_zalloc(result->arena, count * sizeof *types);
        const char **names = leat_arena_zalloc(result->arena, count * sizeof *names);
        for (uint32_t i = 0; i < count; i++) {
                duckdb_logical_type type = duckdb_column_logical_type(&result->res, i);
                names[i] = leat_arena_strdup(result->arena, duckdb_column_name(&result->res, i));
                int rc = leat_duck_type_from(result->arena, type, &types[i], err);
                duckdb_destroy_logical_type(&type);
                if (rc != 0)
                        leat_error_prefix(err, "column \"%s\"", names[i]);
                LEAT_TRY(rc);
        }
        result->types = types;
        result->names = names;
        result->batch.column_count = count;
        return 0;
}

int leat_plan_run(struct leat_plan *plan, bool stream, struct leat_result **ret_result, struct leat_error *err)
{
        struct leat_result *result = leat_calloc(1, sizeof *result);
        result->plan = plan;
        result->arena = leat_arena_new(1024);
        leat_duck_scan_error_clear(plan->conn);
        duckdb_state state = stream ? duckdb_execute_prepared_streaming(plan->stmt, &result->res)
                                    : duckdb_execute_prepared(plan->stmt, &result->res);
        int rc = 0;
        if (state != DuckDBSuccess)
                rc = leat_duck_error(plan->conn, plan->sql, duckdb_result_error(&result->res), err);
        else if (!plan->known || duckdb_column_count(&result->res) != plan->column_count)
                rc = result_columns(result, err);
        if (rc != 0) {
                leat_result_free(result);
                return rc;
        }
        if (result->types == NULL) {
                result->types = plan->types;
                result->names = plan->names;
                result->batch.column_count = plan->column_count;
        }
        result->batch.columns =
                leat_arena_alloc(result->arena, result->batch.column_count * sizeof *result->batch.columns);
        for (uint32_t i = 0; i < result->batch.column_count; i++)
                leat_duck_column_prepare(result->arena, &result->types[i], &result->batch.columns[i]);
        *ret_result = result;
        return 0;
}

static int fetch_error(struct leat_result *result, struct leat_error *err)
{
        const char *text = duckdb_result_error(&result->res);
        return text != NULL && *text != '\0' ? leat_duck_error(result->plan->conn, result->plan->sql, text, err) : 0;
}

int leat_result_next(struct leat_result *result, const struct leat_batch **ret_batch, struct leat_error *err)
{
        if (result->chunk != NULL)
                duckdb_destroy_data_chunk(&result->chunk);
        result->chunk = duckdb_fetch_chunk(result->res);
        idx_t rows = result->chunk != NULL ? duckdb_data_chunk_get_size(result->chunk) : 0;
        if (rows == 0) {
                LEAT_TRY(fetch_error(result, err));
                *ret_batch = NULL;
                return 0;
        }
        result->batch.rows = (uint32_t)rows;
        for (uint32_t i = 0; i < result->batch.column_count; i++)
                leat_duck_column_view(duckdb_data_chunk_get_vector(result->chunk, i), &result->batch.columns[i]);
        *ret_batch = &result->batch;
        return 0;
}

void leat_result_free(struct leat_result *result)
{
        if (result == NULL)
                return;
        if (result->chunk != NULL)
                duckdb_destroy_data_chunk(&result->chunk);
        duckdb_destroy_result(&result->res);
        leat_arena_free(result->arena);
        free(result);
}

uint32_t leat_result_column_count(const struct leat_result *result)
{
        return result->batch.column_count;
}

const char *leat_result_column_name(const struct leat_result *result, uint32_t column)
{
        return result->names[column];
}

struct leat_type leat_result_column_type(const struct leat_result *result, uint32_t column)
{
        return result->types[column];
}
