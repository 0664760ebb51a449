/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/api: GET /api/dashboards and GET /api/dashboards/NAME: what dashboards there
 * are, and one definition with the choices of its variables.
 *
 * `SHOW DASHBOARDS` gives name and title, `DESCRIBE DASHBOARD "name"` the definition:
 * JSON with title, refresh_ms, variables [{name, default, sql}] and panels [{name,
 * title, type, sql, x, y, series, unit, warn, alarm, at}]. It is passed on with
 * `choices` added to each variable that has SQL: the first column of its rows.
 */
#include "api_int.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define CHOICES_MAX 1000

struct dash_call {
        struct leat_api *api;
        struct leat_http_req *req; /* NULL: the client has left */
        char *name;                /* NULL: the list */
        json_t *definition;
        size_t variable; /* whose choices are asked for */
};

static void call_free(struct dash_call *call)
{
        json_decref(call->definition);
        free(call->name);
        free(call);
}

static void call_abort(void *arg)
{
        ((struct dash_call *)arg)->req = NULL; /* freed by the answer that is still to come */
}

static void answer_json(struct dash_call *call, json_t *root)
{
        struct leat_buf body = LEAT_BUF_INIT;
        char *text = json_dumps(root, JSON_COMPACT);
        leat_buf_add_str(&body, text ? text : "null");
        leat_buf_u8(&body, '\n');
        free(text);
        leat_http_respond(call->req, 200, "application/json", &body);
        call_free(call);
}

static void answer_error(struct dash_call *call, const struct api_pg_error *error)
{
        leat_api_error_respond(call->req, error, true);
        call_free(call);
}

static json_t *cell_json(const struct api_rows *rows, int row, int column)
{
        struct leat_view text = leat_api_rows_at(rows, row, column);
        json_t *value = text.data ? json_stringn((const char *)text.data, text.len) : json_null();
        return value ? value : json_null();
}

static void answer_list(struct dash_call *call, const struct api_rows *rows)
{
        json_t *list = json_array();
        for (int row = 0; row < rows->row_count; row++) {
                json_t *item = json_object();
                json_object_set_new(item, "name", cell_json(rows, row, leat_api_rows_column(rows, "name")));
                json_object_set_new(item, "title", cell_json(rows, row, leat_api_rows_column(rows, "title")));
                json_array_append_new(list, item);
        }
        json_t *root = json_object();
        json_object_set_new(root, "dashboards", list);
        answer_json(call, root);
        json_decref(root);
}

/* ---- one definition ---- */

static void choices_ask(struct dash_call *call);

static void choices_answer(void *arg, const struct api_rows *rows, const struct api_pg_error *error)
{
        struct dash_call *call = arg;
        json_t *variable = json_array_get(json_object_get(call->definition, "variables"), call->variable);
        json_t *choices = json_array();
        if (!call->req) {
                json_decref(choices);
                call_free(call);
                return;
        }
        for (int row = 0; rows && row < rows->row_count && row < CHOICES_MAX; row++)
                json_array_append_new(choices, cell_json(rows, row, 0));
        json_object_set_new(variable, "choices", choices);
        if (error)
                json_object_set_new(variable, "error", json_string(error->message));
        call->variable++;
        choices_ask(call);
}

/* Asks for the choices of the next variable that has SQL; answers when there is none. */
static void choices_ask(struct dash_call *call)
{
        json_t *variables = json_object_get(call->definition, "variables");
        for (; call->variable < json_array_size(variables); call->variable++) {
                const char *sql = json_string_value(json_object_get(json_array_get(variables, call->variable), "sql"));
                if (sql && sql[0] != '\0') {
                        leat_api_ask(call->api->asker, sql, choices_answer, call);
                        return;
                }
        }
        answer_json(call, call->definition);
}

static void answer_one(struct dash_call *call, const struct api_rows *rows)
{
        struct leat_view text = leat_view_of(NULL, 0);
        if (rows->row_count == 1)
                text = leat_api_rows_at(rows, 0, leat_api_rows_column(rows, "definition"));
        call->definition = text.data ? json_loadb((const char *)text.data, text.len, 0, NULL) : NULL;
        if (!json_is_object(call->definition)) {
                leat_http_respond_error(call->req, 502, NULL, "the query role gives no definition of dashboard \"%s\"",
                                        call->name);
                call_free(call);
                return;
        }
        json_object_set_new(call->definition, "name", json_string(call->name));
        choices_ask(call);
}

static void show_answer(void *arg, const struct api_rows *rows, const struct api_pg_error *error)
{
        struct dash_call *call = arg;
        if (!call->req)
                call_free(call);
        else if (error)
                answer_error(call, error);
        else if (call->name)
                answer_one(call, rows);
        else
                answer_list(call, rows);
}

static void call_start(struct leat_http_req *req, struct leat_api *api, const char *name)
{
        struct dash_call *call = leat_calloc(1, sizeof(*call));
        call->api = api;
        call->req = req;
        call->name = name ? leat_strdup(name) : NULL;
        leat_http_req_on_abort(req, call_abort, call);
        struct leat_buf sql = LEAT_BUF_INIT;
        leat_buf_add_str(&sql, name ? "DESCRIBE DASHBOARD " : "SHOW DASHBOARDS");
        if (name)
                leat_api_sql_name(&sql, name);
        leat_api_ask(api->asker, leat_buf_cstr(&sql), show_answer, call);
        leat_buf_done(&sql);
}

void leat_api_dashboards_get(struct leat_http_req *req, void *arg)
{
        call_start(req, arg, NULL);
}

void leat_api_dashboard_get(struct leat_http_req *req, void *arg)
{
        call_start(req, arg, leat_http_req_param(req, "name"));
}
