/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/http: connections and their requests.
 *
 *   idle ──bytes──► reading head ──► checked ──► reading body ──► handler ──► answered ──► idle
 *                        │              └─ refused: answered; closed if a body would follow
 *                        └─ bad: answered, closed
 *
 * One request of a connection is worked on at a time; pipelined ones wait as
 * bytes in net, and the peer is held back by TCP when they are many. All limits
 * in time are one deadline of the connection: first byte and next request
 * (http.idle), whole request (http.request.time, 408), none while a handler works.
 * A connection between requests holds no reader, no request and no buffers.
 */
#include "http_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define WAITING_BYTES_MAX ((size_t)64 * 1024)  /* of pipelined requests */
#define QUEUED_BYTES_MAX ((size_t)1024 * 1024) /* of answers, before the next request is looked at */
#define BEAT_US (15 * 1000 * 1000)

static const char REFUSE[] =
        "HTTP/1.1 503 Service Unavailable\r\n"
        "Content-Type: application/json\r\nConnection: close\r\nRetry-After: 5\r\n"
        "Content-Length: 102\r\n\r\n"
        "{\"error\":{\"message\":\"too many connections\",\"hint\":\"close some, or raise net.connections "
        "with --set\"}}\n";

/* ---- requests ---- */

static void req_free(struct leat_http_req *req)
{
        leat_buf_done(&req->headers);
        leat_arena_free(req->arena);
        free(req);
}

static struct leat_http_req *req_new(struct http_conn *conn)
{
        struct leat_http_req *req = leat_calloc(1, sizeof(*req));
        req->conn = conn;
        req->arena = leat_arena_new(1024);
        req->method = http_method_str((enum http_method)conn->reader->parser.method);
        req->is_head = strcmp(req->method, "HEAD") == 0;
        return req;
}

static void reader_drop(struct http_conn *conn)
{
        if (!conn->reader)
                return;
        leat_http_reader_done(conn->reader);
        free(conn->reader);
        conn->reader = NULL;
}

void leat_http_req_end(struct leat_http_req *req)
{
        struct http_conn *conn = req->conn;
        bool closes = req->must_close || !conn->reader->keep_alive;
        conn->req = NULL;
        conn->is_busy = false;
        req_free(req);
        reader_drop(conn);
        if (closes) {
                leat_net_conn_finish(conn->net);
        } else {
                leat_net_conn_deadline(conn->net, leat_param(LEAT_P_HTTP_IDLE));
                leat_net_conn_resume(conn->net);
        }
}

void leat_http_req_to_stream(struct leat_http_req *req, struct http_stream *stream)
{
        struct http_conn *conn = req->conn;
        conn->req = NULL;
        conn->is_busy = false;
        conn->stream = stream;
        stream->net = conn->net;
        req_free(req);
        reader_drop(conn);
}

static void conn_refuse(struct http_conn *conn, int status, const char *hint, const char *message)
{
        if (!conn->req)
                conn->req = req_new(conn);
        conn->req->must_close = true;
        leat_http_respond_error(conn->req, status, hint, "%s", message);
}

/* The head is there. True when the request may go on. */
static bool conn_head(struct http_conn *conn)
{
        struct leat_http_req *req = conn->req = req_new(conn);
        const http_parser *parser = &conn->reader->parser;
        bool has_body =
                (parser->flags & F_CHUNKED) || (parser->content_length > 0 && parser->content_length != UINT64_MAX);
        struct http_refusal refusal = leat_http_check(req);
        if (refusal.status != 0) {
                conn->reader->keep_alive = http_should_keep_alive(parser) != 0;
                req->must_close = has_body || refusal.status == 400;
                if (!req->must_close) {
                        /* The rest of the request is its last line feed. */
                        size_t used;
                        (void)leat_http_reader_feed(conn->reader, leat_view_str("\n"), &used);
                }
                leat_http_respond_error(req, refusal.status, refusal.hint, "%s", refusal.message);
                return false;
        }
        const char *expect = leat_http_reader_header(conn->reader, "expect");
        if (has_body && expect && strcasecmp(expect, "100-continue") == 0)
                leat_net_conn_write_block(conn->net, NULL, leat_view_str("HTTP/1.1 100 Continue\r\n\r\n"));
        return true;
}

static void conn_handle(struct http_conn *conn)
{
        struct leat_http_req *req = conn->req;
        conn->is_busy = true;
        leat_net_conn_deadline(conn->net, 0);
        if (req->route)
                req->route->handle(req, conn->http->opts.arg);
        else
                leat_http_respond_file(req, req->path);
}

/* ---- bytes ---- */

/* Reads on with the current request; returns how many bytes were used. */
static size_t conn_feed(struct http_conn *conn, struct leat_view data)
{
        if (!conn->reader) {
                conn->reader = leat_malloc(sizeof(*conn->reader));
                leat_http_reader_init(conn->reader, (size_t)leat_param(LEAT_P_HTTP_BODY_BYTES));
                leat_net_conn_deadline(conn->net, leat_param(LEAT_P_HTTP_REQUEST_TIME));
        }
        size_t used = 0;
        switch (leat_http_reader_feed(conn->reader, data, &used)) {
        case HTTP_STEP_MORE:
                break;
        case HTTP_STEP_HEAD:
                if (!conn_head(conn))
                        used++; /* its last line feed */
                break;
        case HTTP_STEP_WHOLE:
                conn_handle(conn);
                break;
        case HTTP_STEP_BAD:
                conn_refuse(conn, conn->reader->status, NULL, conn->reader->problem);
                break;
        }
        return used;
}

static size_t conn_data(struct leat_net_conn *net, void *user, struct leat_view data)
{
        struct http_conn *conn = user;
        size_t at = 0;
        while (at < data.len && !conn->is_busy && !conn->stream && !leat_net_conn_closing(net)) {
                if (leat_net_conn_queued(net) > QUEUED_BYTES_MAX) {
                        conn->is_held = true;
                        leat_net_conn_pause(net); /* until on_drain */
                        return at;
                }
                at += conn_feed(conn, leat_view_of(data.data + at, data.len - at));
        }
        if (conn->stream || leat_net_conn_closing(net))
                return data.len; /* nobody will read it */
        if (conn->is_busy && data.len - at > WAITING_BYTES_MAX)
                leat_net_conn_pause(net); /* until the answer */
        return at;
}

static void conn_drain(struct leat_net_conn *net, void *user)
{
        struct http_conn *conn = user;
        if (conn->stream)
                leat_http_stream_drained(conn->stream);
        else if (conn->is_held)
                leat_net_conn_resume(net);
        conn->is_held = false;
}

static void conn_eof(struct leat_net_conn *net, void *user)
{
        struct http_conn *conn = user;
        if (conn->is_busy || conn->stream)
                leat_net_conn_close(net); /* nobody waits for the rest of it */
        else
                leat_net_conn_finish(net);
}

static void conn_deadline(struct leat_net_conn *net, void *user)
{
        struct http_conn *conn = user;
        if (conn->reader && conn->reader->began)
                conn_refuse(conn, 408, NULL, "the request did not arrive in time");
        else
                leat_net_conn_finish(net);
}

static void conn_open(struct leat_net_conn *net, void *user)
{
        struct leat_http *http = user;
        struct http_conn *conn = leat_calloc(1, sizeof(*conn));
        conn->http = http;
        conn->net = net;
        conn->next = http->conns;
        if (conn->next)
                conn->next->prev = conn;
        http->conns = conn;
        leat_net_conn_set_user(net, conn);
        leat_net_conn_deadline(net, leat_param(LEAT_P_HTTP_IDLE));
        if (http->is_freed)
                leat_net_conn_close(net);
}

static void http_done(struct leat_http *http)
{
        if (http->is_freed && !http->conns)
                free(http);
}

static void conn_close(struct leat_net_conn *net, void *user, const struct leat_error *reason)
{
        struct http_conn *conn = user;
        struct leat_http *http = conn->http;
        (void)net;
        (void)reason;
        if (conn->stream)
                leat_http_stream_closed(conn->stream);
        if (conn->req) {
                if (conn->req->on_abort)
                        conn->req->on_abort(conn->req->abort_arg);
                req_free(conn->req);
        }
        reader_drop(conn);
        if (conn->prev)
                conn->prev->next = conn->next;
        else
                http->conns = conn->next;
        if (conn->next)
                conn->next->prev = conn->prev;
        free(conn);
        http_done(http);
}

static const struct leat_net_ops OPS = {
        .on_open = conn_open,
        .on_data = conn_data,
        .on_eof = conn_eof,
        .on_drain = conn_drain,
        .on_deadline = conn_deadline,
        .on_close = conn_close,
};

/* ---- server ---- */

static void beat_cb(void *arg)
{
        leat_http_hubs_beat(arg);
}

static void stats_open(struct leat_http *http)
{
        static _Atomic uint64_t nowhere;
        for (int i = 0; i < 6; i++) {
                char labels[16];
                snprintf(labels, sizeof(labels), "code=\"%dxx\"", i);
                http->requests[i] = &nowhere;
                if (http->opts.stats && i > 0)
                        http->requests[i] = leat_stats_slot(http->opts.stats, LEAT_M_HTTP_REQUESTS, labels);
        }
        http->streams = http->skips = &nowhere;
        if (http->opts.stats) {
                http->streams = leat_stats_slot(http->opts.stats, LEAT_M_HTTP_STREAMS, "");
                http->skips = leat_stats_slot(http->opts.stats, LEAT_M_HTTP_STREAM_SKIPS, "");
        }
}

void leat_http_count(struct leat_http *http, int status)
{
        int group = status / 100;
        leat_stat_add(http->requests[group < 6 ? group : 0], 1);
}

int leat_http_new(struct leat_loop *loop, int fd, const struct leat_http_opts *opts, struct leat_http **ret_http,
                  struct leat_error *err)
{
        struct leat_http *http = leat_calloc(1, sizeof(*http));
        http->loop = loop;
        http->opts = *opts;
        struct leat_net_opts net = {
                .read_max = 2 * WAITING_BYTES_MAX + (size_t)64 * 1024,
                .queue_max = (size_t)leat_param(LEAT_P_HTTP_QUEUE_BYTES),
                .stall_us = leat_param(LEAT_P_HTTP_STALL_TIME),
                .refuse = leat_view_of(REFUSE, sizeof(REFUSE) - 1),
        };
        int rc = leat_listener_open(&loop, 1, fd, &OPS, &net, http, &http->listener, err);
        if (rc != 0) {
                free(http);
                return rc;
        }
        stats_open(http);
        http->beat = leat_timer_new(loop, beat_cb, http);
        leat_timer_start(http->beat, BEAT_US, BEAT_US);
        *ret_http = http;
        return 0;
}

void leat_http_free(struct leat_http *http)
{
        if (!http)
                return;
        LEAT_ASSERT(!http->hubs && !http->is_freed);
        http->is_freed = true;
        leat_listener_close(http->listener);
        leat_timer_free(http->beat);
        for (struct http_conn *conn = http->conns; conn; conn = conn->next)
                leat_net_conn_close(conn->net);
        http_done(http);
}

/* ---- what handlers ask ---- */

const char *leat_http_req_method(const struct leat_http_req *req)
{
        return req->method;
}

const char *leat_http_req_path(const struct leat_http_req *req)
{
        return req->path;
}

const char *leat_http_req_param(const struct leat_http_req *req, const char *name)
{
        for (int i = 0; i < req->param_count; i++) {
                if (strcmp(req->params[i].name, name) == 0)
                        return req->params[i].value;
        }
        return "";
}

const char *leat_http_req_query(const struct leat_http_req *req, const char *name)
{
        for (int i = 0; i < req->query_count; i++) {
                if (strcmp(req->query[i].name, name) == 0)
                        return req->query[i].value;
        }
        return NULL;
}

bool leat_http_req_query_at(const struct leat_http_req *req, int i, const char **ret_name, const char **ret_value)
{
        if (i < 0 || i >= req->query_count)
                return false;
        *ret_name = req->query[i].name;
        *ret_value = req->query[i].value;
        return true;
}

const char *leat_http_req_header(const struct leat_http_req *req, const char *name)
{
        return leat_http_reader_header(req->conn->reader, name);
}

struct leat_view leat_http_req_body(const struct leat_http_req *req)
{
        return leat_buf_view(&req->conn->reader->body);
}

void leat_http_req_on_abort(struct leat_http_req *req, void (*fn)(void *arg), void *arg)
{
        req->on_abort = fn;
        req->abort_arg = arg;
}
