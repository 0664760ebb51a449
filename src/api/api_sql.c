/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/api: POST /api/sql. Each request has a connection of its own, so nothing
 * that one sets (SET, BEGIN) is seen by another; a client that leaves has its query
 * cancelled.
 *
 * Bounds  rows: max_rows of the request (5,000 unless it says, 100,000 at most);
 *         bytes: api.sql.bytes; requests at a time: api.sql.calls. What does not
 *         fit is left out and the answer says "truncated"; a query that goes on for
 *         long after that is cancelled.
 */
#include "api_int.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define ROWS_DEFAULT 5000
#define ROWS_MAX 100000
#define NOTICES_MAX 100
#define STATEMENTS_MAX 1000
#define SKIPPED_MAX 100000 /* rows after which a truncated query is cancelled */

struct sql_call {
        struct leat_api *api;
        struct leat_http_req *req;
        struct api_pg *pg;
        char *sql;
        int64_t rows_max;
        size_t bytes_max;
        int64_t start_us;
        bool is_sent;
        /* the statement that runs, then the last one */
        uint32_t *types;
        int column_count;
        bool in_result; /* it has given columns */
        struct leat_buf columns, rows;
        int64_t row_count, skipped;
        bool is_truncated, is_cancelled;
        char command[64];
        /* over all statements */
        struct leat_buf notices, statements;
        int notice_count, statement_count;
        bool has_error;
        struct api_pg_error error;
};

static void call_free(struct sql_call *call)
{
        leat_api_pg_close(call->pg);
        call->api->sql_calls--;
        free(call->sql);
        free(call->types);
        leat_buf_done(&call->columns);
        leat_buf_done(&call->rows);
        leat_buf_done(&call->notices);
        leat_buf_done(&call->statements);
        free(call);
}

static void buf_list(struct leat_buf *out, const char *name, struct leat_buf *list)
{
        leat_buf_printf(out, ",\"%s\":[", name);
        leat_buf_add_view(out, leat_buf_view(list));
        leat_buf_u8(out, ']');
}

static void answer_error(struct sql_call *call)
{
        struct leat_buf body = LEAT_BUF_INIT;
        leat_buf_add_str(&body, "{\"error\":");
        leat_api_error_json(&body, &call->error);
        buf_list(&body, "notices", &call->notices);
        buf_list(&body, "statements", &call->statements);
        leat_buf_add_str(&body, "}\n");
        leat_http_respond(call->req, leat_api_error_status(&call->error), "application/json", &body);
        call_free(call);
}

static void answer(struct sql_call *call)
{
        struct leat_buf body = LEAT_BUF_INIT;
        leat_buf_reserve(&body, call->columns.len + call->rows.len + call->notices.len + call->statements.len + 256);
        leat_buf_add_str(&body, "{\"columns\":[");
        leat_buf_add_view(&body, leat_buf_view(&call->columns));
        leat_buf_u8(&body, ']');
        buf_list(&body, "rows", &call->rows);
        leat_buf_printf(&body, ",\"truncated\":%s", call->is_truncated ? "true" : "false");
        buf_list(&body, "notices", &call->notices);
        leat_buf_add_str(&body, ",\"command\":");
        leat_buf_json_str(&body, leat_view_str(call->command));
        buf_list(&body, "statements", &call->statements);
        leat_buf_printf(&body, ",\"elapsed_ms\":%.3f}\n", (double)(leat_os_monotonic_us() - call->start_us) / 1000);
        leat_http_respond(call->req, 200, "application/json", &body);
        call_free(call);
}

/* ---- callbacks of the connection ---- */

static void on_columns(void *arg, const struct api_pg_column *columns, int count)
{
        struct sql_call *call = arg;
        char scratch[24];
        call->in_result = true;
        call->is_truncated = false;
        call->row_count = call->skipped = 0;
        leat_buf_clear(&call->columns);
        leat_buf_clear(&call->rows);
        call->types = leat_realloc(call->types, ((size_t)count + 1) * sizeof(call->types[0]));
        call->column_count = count;
        for (int i = 0; i < count; i++) {
                call->types[i] = columns[i].type;
                leat_buf_add_str(&call->columns, i > 0 ? ",{\"name\":" : "{\"name\":");
                leat_buf_json_str(&call->columns, leat_view_str(columns[i].name));
                leat_buf_printf(&call->columns, ",\"type\":\"%s\"}", leat_api_type_name(columns[i].type, scratch));
        }
}

static void cancel(struct sql_call *call)
{
        if (!call->is_cancelled)
                leat_api_pg_cancel(call->pg);
        call->is_cancelled = true;
}

static void on_row(void *arg, const struct leat_view *values, int count)
{
        struct sql_call *call = arg;
        if (count != call->column_count)
                return;
        size_t start = call->rows.len;
        if (!call->is_truncated && call->row_count < call->rows_max) {
                leat_buf_add_str(&call->rows, start > 0 ? ",\n[" : "\n[");
                for (int i = 0; i < count; i++) {
                        if (i > 0)
                                leat_buf_u8(&call->rows, ',');
                        leat_api_value_json(&call->rows, call->types[i], values[i]);
                }
                leat_buf_u8(&call->rows, ']');
                if (call->rows.len <= call->bytes_max) {
                        call->row_count++;
                        return;
                }
                call->rows.len = start;
        }
        call->is_truncated = true;
        if (++call->skipped > SKIPPED_MAX)
                cancel(call);
}

static void on_command(void *arg, const char *tag)
{
        struct sql_call *call = arg;
        if (!call->in_result) { /* a statement without rows: those of the one before are not its own */
                leat_buf_clear(&call->columns);
                leat_buf_clear(&call->rows);
                call->row_count = 0;
                call->is_truncated = false;
        }
        snprintf(call->command, sizeof(call->command), "%s", tag);
        if (call->statement_count++ < STATEMENTS_MAX) {
                leat_buf_add_str(&call->statements, call->statement_count > 1 ? ",{\"command\":" : "{\"command\":");
                leat_buf_json_str(&call->statements, leat_view_str(tag));
                leat_buf_printf(&call->statements, ",\"rows\":%lld}", (long long)call->row_count);
        }
        call->in_result = false;
}

static void copy_refused(struct sql_call *call)
{
        struct api_pg_error *error = &call->error;
        memset(error, 0, sizeof(*error));
        call->has_error = true;
        snprintf(error->sqlstate, sizeof(error->sqlstate), "0A000");
        snprintf(error->message, sizeof(error->message), "COPY … TO STDOUT is not possible over HTTP");
        snprintf(error->hint, sizeof(error->hint),
                 "run the SELECT itself, or COPY with psql; live dashboards are at /api/dashboards/NAME/stream");
}

static void on_copy_begin(void *arg)
{
        struct sql_call *call = arg;
        cancel(call);
        copy_refused(call);
        answer_error(call); /* a subscription never ends, so do not wait */
}

static void on_notice(void *arg, const struct api_pg_error *notice)
{
        struct sql_call *call = arg;
        if (call->notice_count++ >= NOTICES_MAX)
                return;
        if (call->notice_count > 1)
                leat_buf_u8(&call->notices, ',');
        size_t at = call->notices.len;
        leat_api_error_json(&call->notices, notice);
        call->notices.len--; /* its brace */
        leat_buf_add_str(&call->notices, ",\"severity\":");
        leat_buf_json_str(&call->notices, leat_view_str(notice->severity));
        leat_buf_u8(&call->notices, '}');
        LEAT_ASSERT(call->notices.data[at] == '{');
}

static void on_error(void *arg, const struct api_pg_error *error)
{
        struct sql_call *call = arg;
        if (call->has_error)
                return;
        if (call->is_truncated && call->is_cancelled && strcmp(error->sqlstate, "57014") == 0) {
                on_command(call, "SELECT"); /* what we have is the answer */
                return;
        }
        call->has_error = true;
        call->error = *error;
}

static void on_ready(void *arg)
{
        struct sql_call *call = arg;
        if (!call->is_sent) {
                call->is_sent = true;
                leat_api_pg_query(call->pg, call->sql);
                return;
        }
        if (call->has_error)
                answer_error(call);
        else
                answer(call);
}

static void on_closed(void *arg, const struct api_pg_error *error)
{
        struct sql_call *call = arg;
        call->pg = NULL;
        if (!call->has_error)
                call->error = *error;
        answer_error(call);
}

static const struct api_pg_ops OPS = {.on_ready = on_ready,
                                      .on_columns = on_columns,
                                      .on_row = on_row,
                                      .on_copy_begin = on_copy_begin,
                                      .on_command = on_command,
                                      .on_notice = on_notice,
                                      .on_error = on_error,
                                      .on_closed = on_closed};

/* The client has left. */
static void on_abort(void *arg)
{
        struct sql_call *call = arg;
        if (call->pg && !call->api->is_ending)
                cancel(call);
        call_free(call);
}

/* ---- the request ---- */

/* Reads {"sql": …, "max_rows": …}; false when it has answered with an error. */
static bool body_read(struct leat_http_req *req, char **ret_sql, int64_t *ret_rows_max)
{
        struct leat_view body = leat_http_req_body(req);
        json_error_t problem;
        json_t *root = json_loadb((const char *)body.data, body.len, JSON_REJECT_DUPLICATES, &problem);
        if (!root) {
                leat_http_respond_error(req, 400, "send {\"sql\": \"SELECT …\", \"max_rows\": 5000}",
                                        "the body is not JSON: %s", problem.text);
                return false;
        }
        json_t *sql = json_object_get(root, "sql"), *rows = json_object_get(root, "max_rows");
        const char *wrong = NULL;
        if (!json_is_string(sql))
                wrong = "\"sql\" must be a text";
        else if (rows &&
                 (!json_is_integer(rows) || json_integer_value(rows) < 0 || json_integer_value(rows) > ROWS_MAX))
                wrong = "\"max_rows\" must be a number from 0 to 100000";
        if (wrong) {
                leat_http_respond_error(req, 400, "send {\"sql\": \"SELECT …\", \"max_rows\": 5000}", "%s", wrong);
        } else {
                *ret_sql = leat_strdup(json_string_value(sql));
                *ret_rows_max = rows ? json_integer_value(rows) : ROWS_DEFAULT;
        }
        json_decref(root);
        return !wrong;
}

void leat_api_sql_post(struct leat_http_req *req, void *arg)
{
        struct leat_api *api = arg;
        char *sql;
        int64_t rows_max;
        if (!body_read(req, &sql, &rows_max))
                return;
        if (api->sql_calls >= leat_param(LEAT_P_API_SQL_CALLS)) {
                free(sql);
                leat_http_req_answer_header(req, "Retry-After", "1");
                leat_http_respond_error(req, 503, "try again, or raise api.sql.calls with --set",
                                        "too many SQL requests run at this moment");
                return;
        }
        struct sql_call *call = leat_calloc(1, sizeof(*call));
        call->api = api;
        call->req = req;
        call->sql = sql;
        call->rows_max = rows_max;
        call->bytes_max = (size_t)leat_param(LEAT_P_API_SQL_BYTES);
        call->start_us = leat_os_monotonic_us();
        api->sql_calls++;
        leat_http_req_on_abort(req, on_abort, call);
        call->pg = leat_api_pg_open(api->loop, &api->options.pg, &OPS, call);
}
