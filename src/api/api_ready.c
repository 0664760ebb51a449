/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/api: GET /readyz. Knocks at both other doors in their own protocol (the
 * broker answers ApiVersions, query says ReadyForQuery) and answers 200 when both
 * do within 2 s; else 503 and which does not. Our own door has answered by being
 * asked. No SQL is run: query opens its engine at the first SQL only.
 */
#include "api_int.h"

#include <stdio.h>
#include <stdlib.h>

#define PROBE_US (2 * 1000 * 1000)

struct probe {
        struct leat_http_req *req; /* NULL: the client has left */
        struct leat_api *api;
        struct api_pg *pg;
        struct leat_net_conn *kafka;
        struct leat_timer *timer;
        bool pg_done, pg_ok, kafka_done, kafka_ok;
        char pg_text[600], kafka_text[600];
};

static void door_json(struct leat_buf *out, const char *name, bool is_ok, const char *text)
{
        leat_buf_printf(out, ",\"%s\":{\"ok\":%s", name, is_ok ? "true" : "false");
        if (!is_ok) {
                leat_buf_add_str(out, ",\"message\":");
                leat_buf_json_str(out, leat_view_str(text));
        }
        leat_buf_u8(out, '}');
}

static void probe_answer(struct probe *probe)
{
        bool is_ready = probe->pg_ok && probe->kafka_ok;
        struct leat_buf body = LEAT_BUF_INIT;
        leat_buf_printf(&body, "{\"ready\":%s", is_ready ? "true" : "false");
        door_json(&body, "kafka", probe->kafka_ok, probe->kafka_text);
        door_json(&body, "pg", probe->pg_ok, probe->pg_text);
        door_json(&body, "http", true, "");
        leat_buf_add_str(&body, "}\n");
        leat_http_respond(probe->req, is_ready ? 200 : 503, "application/json", &body);
        probe->req = NULL;
}

/* Answers when all is known; frees when nobody can call back any more. */
static void probe_step(struct probe *probe)
{
        if (probe->req && probe->pg_done && probe->kafka_done)
                probe_answer(probe);
        if (probe->req)
                return;
        leat_api_pg_close(probe->pg);
        probe->pg = NULL;
        if (probe->kafka) {
                leat_net_conn_close(probe->kafka); /* comes back in kafka_gone */
                return;
        }
        leat_timer_free(probe->timer);
        free(probe);
}

/* ---- query ---- */

static void pg_ready(void *arg)
{
        struct probe *probe = arg;
        probe->pg_done = probe->pg_ok = true;
        leat_api_pg_close(probe->pg);
        probe->pg = NULL;
        probe_step(probe);
}

static void pg_closed(void *arg, const struct api_pg_error *error)
{
        struct probe *probe = arg;
        probe->pg_done = true;
        probe->pg = NULL;
        snprintf(probe->pg_text, sizeof(probe->pg_text), "%s", error->message);
        probe_step(probe);
}

static const struct api_pg_ops PG_OPS = {.on_ready = pg_ready, .on_closed = pg_closed};

/* ---- broker ---- */

static void kafka_open(struct leat_net_conn *conn, void *user)
{
        /* ApiVersions (18) version 0, correlation 1, no client id. */
        static const uint8_t ASK[] = {0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff};
        (void)user;
        leat_net_conn_write_block(conn, NULL, leat_view_of(ASK, sizeof(ASK)));
}

static size_t kafka_data(struct leat_net_conn *conn, void *user, struct leat_view data)
{
        struct probe *probe = user;
        if (data.len < 10)
                return 0;
        struct leat_cursor cur = leat_cursor_of(data);
        (void)leat_cursor_be32(&cur);
        probe->kafka_ok = leat_cursor_be32(&cur) == 1 && leat_cursor_be16(&cur) == 0;
        if (!probe->kafka_ok)
                snprintf(probe->kafka_text, sizeof(probe->kafka_text), "the broker does not speak the Kafka protocol");
        leat_net_conn_close(conn);
        return data.len;
}

static void kafka_gone(struct leat_net_conn *conn, void *user, const struct leat_error *reason)
{
        struct probe *probe = user;
        (void)conn;
        probe->kafka = NULL;
        if (!probe->kafka_ok && probe->kafka_text[0] == '\0')
                snprintf(probe->kafka_text, sizeof(probe->kafka_text), "%s",
                         reason->code != 0 ? reason->message : "no answer within 2 seconds");
        probe->kafka_done = true;
        probe_step(probe);
}

static const struct leat_net_ops KAFKA_OPS = {.on_open = kafka_open, .on_data = kafka_data, .on_close = kafka_gone};

/* ---- the request ---- */

static void on_time(void *arg)
{
        struct probe *probe = arg;
        if (!probe->pg_done)
                snprintf(probe->pg_text, sizeof(probe->pg_text), "the query role gives no answer within 2 seconds");
        probe->pg_done = true;
        if (probe->kafka)
                leat_net_conn_close(probe->kafka);
        else
                probe_step(probe);
}

static void on_abort(void *arg)
{
        struct probe *probe = arg;
        probe->req = NULL;
        probe_step(probe);
}

void leat_api_ready_get(struct leat_http_req *req, void *arg)
{
        struct leat_api *api = arg;
        struct leat_error err;
        struct probe *probe = leat_calloc(1, sizeof(*probe));
        probe->req = req;
        probe->api = api;
        leat_http_req_on_abort(req, on_abort, probe);
        probe->timer = leat_timer_new(api->loop, on_time, probe);
        leat_timer_start(probe->timer, PROBE_US, 0);
        probe->pg = leat_api_pg_open(api->loop, &api->options.pg, &PG_OPS, probe);
        if (leat_net_connect(api->loop, &api->options.kafka, PROBE_US, &KAFKA_OPS, NULL, probe, &probe->kafka, &err) !=
            0) {
                probe->kafka_done = true;
                snprintf(probe->kafka_text, sizeof(probe->kafka_text), "%s", err.message);
        }
}
