/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/api: the live drawing of the flow: GET /api/flow and its stream.
 *
 * `SHOW FLOW` gives one row a thing: kind (topic, job, view, dashboard …), name,
 * inputs, rows_total, rows_per_s, lag, data_age_ms, state, detail. `inputs` names
 * what flows into it: a JSON list ["topic/scans", …] or names with commas; a name
 * without a kind is looked up. Columns that we do not know are passed on. `doors`
 * are the addresses for Kafka and PostgreSQL clients.
 *
 * While somebody listens, one question twice a second serves all; a picture that
 * has not changed is not sent.
 */
#include "api_int.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define POLL_US (500 * 1000)

struct api_flow {
        struct leat_api *api;
        struct leat_http_hub *hub;
        struct leat_timer *timer;
        struct leat_buf last; /* what was sent last */
        int64_t tick;
        bool is_asking;
        bool is_failing;
};

/* ---- rows to a drawing ---- */

static json_t *cell_json(const struct api_rows *rows, int row, int column)
{
        struct leat_buf buf = LEAT_BUF_INIT;
        leat_api_value_json(&buf, rows->types[column], rows->rows[row][column]);
        json_t *value = json_loadb((const char *)buf.data, buf.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        leat_buf_done(&buf);
        return value ? value : json_null();
}

/* ["a","b"], {a,b} or a, b as a list of texts. */
static json_t *inputs_json(struct leat_view text)
{
        json_t *list = NULL;
        if (text.len > 0 && text.data[0] == '[')
                list = json_loadb((const char *)text.data, text.len, 0, NULL);
        if (json_is_array(list))
                return list;
        json_decref(list);
        list = json_array();
        const char *at = (const char *)text.data, *end = at + text.len;
        while (at < end) {
                const char *stop = at;
                while (stop < end && *stop != ',')
                        stop++;
                const char *from = at, *to = stop;
                while (from < to && strchr(" {}\"", *from))
                        from++;
                while (to > from && strchr(" {}\"", to[-1]))
                        to--;
                if (to > from)
                        json_array_append_new(list, json_stringn(from, (size_t)(to - from)));
                at = stop < end ? stop + 1 : end;
        }
        return list;
}

static json_t *nodes_json(const struct api_rows *rows)
{
        int kind = leat_api_rows_column(rows, "kind"), name = leat_api_rows_column(rows, "name");
        json_t *nodes = json_array();
        for (int row = 0; row < rows->row_count; row++) {
                json_t *node = json_object();
                struct leat_view k = leat_api_rows_at(rows, row, kind), n = leat_api_rows_at(rows, row, name);
                json_object_set_new(node, "id",
                                    json_sprintf("%.*s/%.*s", (int)k.len, k.data ? (const char *)k.data : "",
                                                 (int)n.len, n.data ? (const char *)n.data : ""));
                for (int i = 0; i < rows->column_count; i++) {
                        if (strcmp(rows->columns[i], "inputs") == 0)
                                json_object_set_new(node, "inputs", inputs_json(rows->rows[row][i]));
                        else
                                json_object_set_new(node, rows->columns[i], cell_json(rows, row, i));
                }
                json_array_append_new(nodes, node);
        }
        return nodes;
}

/* The node that @input means: an id, else the first thing of that name that is not
 * the node itself; what only shows (a dashboard) flows into nothing. */
static const char *input_id(json_t *nodes, json_t *self, const char *input)
{
        const char *found = NULL;
        size_t i;
        json_t *node;
        json_array_foreach(nodes, i, node)
        {
                const char *id = json_string_value(json_object_get(node, "id"));
                const char *name = json_string_value(json_object_get(node, "name"));
                const char *kind = json_string_value(json_object_get(node, "kind"));
                if (id && strcmp(id, input) == 0)
                        return id;
                if (!found && node != self && name && strcmp(name, input) == 0 && kind &&
                    strcmp(kind, "dashboard") != 0)
                        found = id;
        }
        return found;
}

static json_t *edges_json(json_t *nodes)
{
        json_t *edges = json_array(), *node, *input;
        size_t i, k;
        json_array_foreach(nodes, i, node)
        {
                json_array_foreach(json_object_get(node, "inputs"), k, input)
                {
                        const char *from =
                                json_is_string(input) ? input_id(nodes, node, json_string_value(input)) : NULL;
                        if (from)
                                json_array_append_new(edges, json_pack("{s:s, s:s?}", "from", from, "to",
                                                                       json_string_value(json_object_get(node, "id"))));
                }
        }
        return edges;
}

static json_t *door_json(const struct leat_addr *addr)
{
        return json_sprintf("%s:%d", addr->host, (int)addr->port);
}

static void flow_json(const struct leat_api *api, const struct api_rows *rows, struct leat_buf *out)
{
        json_t *nodes = nodes_json(rows);
        json_t *edges = edges_json(nodes);
        json_t *root = json_object();
        json_object_set_new(root, "nodes", nodes);
        json_object_set_new(root, "edges", edges);
        json_object_set_new(
                root, "doors",
                json_pack("{s:o, s:o}", "kafka", door_json(&api->options.kafka), "pg", door_json(&api->options.pg)));
        char *text = json_dumps(root, JSON_COMPACT);
        json_decref(root);
        if (text)
                leat_buf_add_str(out, text);
        free(text);
}

/* ---- one request ---- */

struct flow_call {
        struct leat_api *api;
        struct leat_http_req *req;
};

static void call_answer(void *arg, const struct api_rows *rows, const struct api_pg_error *error)
{
        struct flow_call *call = arg;
        struct leat_buf body = LEAT_BUF_INIT;
        if (call->req && error) {
                leat_api_error_respond(call->req, error, false);
        } else if (call->req) {
                flow_json(call->api, rows, &body);
                leat_http_respond(call->req, 200, "application/json", &body);
        }
        free(call);
}

static void call_abort(void *arg)
{
        ((struct flow_call *)arg)->req = NULL;
}

void leat_api_flow_get(struct leat_http_req *req, void *arg)
{
        struct leat_api *api = arg;
        struct flow_call *call = leat_calloc(1, sizeof(*call));
        call->api = api;
        call->req = req;
        leat_http_req_on_abort(req, call_abort, call);
        leat_api_ask(api->asker, "SHOW FLOW", call_answer, call);
}

/* ---- the stream ---- */

static void stream_answer(void *arg, const struct api_rows *rows, const struct api_pg_error *error)
{
        struct api_flow *flow = arg;
        struct leat_buf buf = LEAT_BUF_INIT;
        flow->is_asking = false;
        if (leat_http_hub_viewers(flow->hub) == 0)
                return;
        if (error) {
                leat_buf_add_str(&buf, "{\"connected\":false,\"error\":");
                leat_api_error_json(&buf, error);
                leat_buf_u8(&buf, '}');
        } else {
                flow_json(flow->api, rows, &buf);
        }
        if (!leat_view_eq(leat_buf_view(&buf), leat_buf_view(&flow->last))) {
                if (flow->is_failing && !error)
                        leat_http_hub_send(flow->hub, LEAT_HTTP_NOTE, -1, flow->tick, "status",
                                           leat_view_str("{\"connected\":true}"));
                flow->tick++;
                if (error)
                        leat_http_hub_send(flow->hub, LEAT_HTTP_NOTE, -1, flow->tick, "status", leat_buf_view(&buf));
                else
                        leat_http_hub_send(flow->hub, LEAT_HTTP_SNAPSHOT, 0, flow->tick, "flow", leat_buf_view(&buf));
                leat_buf_clear(&flow->last);
                leat_buf_add_view(&flow->last, leat_buf_view(&buf));
        }
        flow->is_failing = error != NULL;
        leat_buf_done(&buf);
}

static void poll_cb(void *arg)
{
        struct api_flow *flow = arg;
        if (flow->is_asking)
                return; /* a slow answer is not asked for twice */
        flow->is_asking = true;
        leat_api_ask(flow->api->asker, "SHOW FLOW", stream_answer, flow);
}

static void on_viewers(void *arg, int viewers)
{
        struct api_flow *flow = arg;
        if (viewers == 0) {
                leat_timer_stop(flow->timer);
                leat_http_hub_reset(flow->hub); /* the next viewer must not see an old picture */
                leat_buf_clear(&flow->last);
        } else if (!leat_timer_running(flow->timer)) {
                leat_timer_start(flow->timer, 0, POLL_US);
        }
}

void leat_api_flow_stream_get(struct leat_http_req *req, void *arg)
{
        leat_http_hub_join(((struct leat_api *)arg)->flow->hub, req);
}

struct api_flow *leat_api_flow_new(struct leat_api *api)
{
        struct api_flow *flow = leat_calloc(1, sizeof(*flow));
        flow->api = api;
        flow->hub = leat_http_hub_new(api->http, &(struct leat_http_hub_opts){.on_viewers = on_viewers, .arg = flow});
        flow->timer = leat_timer_new(api->loop, poll_cb, flow);
        return flow;
}

void leat_api_flow_free(struct api_flow *flow)
{
        if (!flow)
                return;
        leat_http_hub_free(flow->hub);
        leat_timer_free(flow->timer);
        leat_buf_done(&flow->last);
        free(flow);
}
