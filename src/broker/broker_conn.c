/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/broker: connections, and requests from frame to answer.
 *
 * Design    A connection cuts whole frames out of its unread bytes and keeps a
 *           reference to the block they lie in: records are never copied on the
 *           way to the log. Many requests of a connection may be in work; their
 *           answers leave in order. Reading is paused while too much is in work
 *           or the peer does not take its answers, so TCP holds it back.
 * Threads   A connection and its list belong to the home loop. A request may be
 *           lent to one other thread at a time (admin, sync).
 * Failure   Bytes that are no request, unknown APIs and versions close the
 *           connection with a line in the log, as Apache Kafka does.
 */
#include <inttypes.h>

#include "broker_int.h"

#define REQUESTS_SPARE_MAX 64
#define ANSWER_BYTES_MAX (1u << 20) /* more than this unsent: no further requests are read */
#define IN_FLIGHT_BYTES_MAX (32u << 20)

/* ---- request objects --------------------------------------------------------------------- */

static struct broker_request *request_new(struct broker_conn *conn)
{
        struct broker_loop *home = conn->home;
        struct broker_request *req = home->spare;
        struct leat_arena *arena;
        if (req != NULL) {
                home->spare = req->next;
                home->spare_count--;
                arena = req->arena;
        } else {
                req = leat_malloc(sizeof(*req));
                arena = leat_arena_new(2048);
        }
        memset(req, 0, sizeof(*req));
        req->magic = BROKER_REQUEST_MAGIC;
        req->arena = arena;
        req->home = home;
        req->conn = conn;
        req->start_us = leat_os_monotonic_us();
        atomic_fetch_add(&home->broker->requests, 1);
        return req;
}

static void request_free(struct broker_request *req)
{
        struct broker_loop *home = req->home;
        LEAT_ASSERT(req->magic == BROKER_REQUEST_MAGIC);
        leat_block_unref(req->block);
        leat_chain_done(&req->answer);
        leat_arena_reset(req->arena);
        req->magic = 0;
        atomic_fetch_sub(&home->broker->requests, 1);
        /* A request that needed much memory does not keep it. */
        if (home->spare_count >= REQUESTS_SPARE_MAX || leat_arena_bytes(req->arena) > 16384) {
                leat_arena_free(req->arena);
                free(req);
                return;
        }
        req->next = home->spare;
        home->spare = req;
        home->spare_count++;
}

void leat_broker_requests_free(struct broker_loop *loop)
{
        while (loop->spare != NULL) {
                struct broker_request *req = loop->spare;
                loop->spare = req->next;
                leat_arena_free(req->arena);
                free(req);
        }
        loop->spare_count = 0;
}

/* ---- flow ----------------------------------------------------------------------------------- */

static bool conn_is_full(const struct broker_conn *conn)
{
        return conn->in_flight >= (uint32_t)leat_param(LEAT_P_BROKER_INFLIGHT_REQUESTS) ||
               conn->in_flight_bytes >= IN_FLIGHT_BYTES_MAX || conn->queued_seen >= ANSWER_BYTES_MAX;
}

static void conn_queued_update(struct broker_conn *conn)
{
        size_t queued = leat_net_conn_queued(conn->net);
        conn->home->queued_bytes += queued - conn->queued_seen;
        conn->queued_seen = queued;
}

static void conn_flow(struct broker_conn *conn)
{
        bool full = conn_is_full(conn) || conn->home->draining;
        if (full == conn->paused)
                return;
        conn->paused = full;
        if (full)
                leat_net_conn_pause(conn->net);
        else
                leat_net_conn_resume(conn->net);
}

/* Writes the answers that are next in order. */
static void conn_flush(struct broker_conn *conn)
{
        while (conn->first != NULL && conn->first->done) {
                struct broker_request *req = conn->first;
                conn->first = req->next;
                if (conn->first == NULL)
                        conn->last = NULL;
                conn->in_flight--;
                conn->in_flight_bytes -= req->frame.len;
                if (req->drop_conn) {
                        leat_net_conn_close(conn->net);
                } else if (!req->silent) {
                        leat_net_conn_write(conn->net, &req->answer);
                }
                request_free(req);
        }
        conn_queued_update(conn);
        conn_flow(conn);
        if (conn->home->draining && conn->first == NULL)
                leat_net_conn_finish(conn->net);
}

static void request_end(struct broker_request *req)
{
        struct leat_broker *broker = req->home->broker;
        LEAT_ASSERT(req->magic == BROKER_REQUEST_MAGIC && !req->done);
        LEAT_DCHECK(leat_loop_here(req->home->loop));
        int16_t key = req->header.api_key;
        if (req->api != NULL && key >= 0 && (size_t)key < LEAT_ARRAY_LEN(broker->api_requests)) {
                leat_stat_add(broker->api_requests[key], 1);
                leat_stat_add(broker->api_time_us[key], (uint64_t)(leat_os_monotonic_us() - req->start_us));
        }
        req->done = true;
        if (req->conn != NULL)
                conn_flush(req->conn);
        else
                request_free(req);
}

void leat_broker_respond_version(struct broker_request *req, int16_t version, const void *message)
{
        if (req->conn != NULL)
                leat_kafka_response_encode(req->api, version, req->header.correlation_id, message, &req->answer);
        request_end(req);
}

void leat_broker_respond(struct broker_request *req, const void *message)
{
        leat_broker_respond_version(req, req->header.api_version, message);
}

void leat_broker_respond_nothing(struct broker_request *req)
{
        req->silent = true;
        request_end(req);
}

void leat_broker_respond_close(struct broker_request *req, const char *why)
{
        if (req->conn != NULL)
                leat_diag(LEAT_DIAG_WARN, "broker", why, "peer=%s version=%d then=\"connection closed\"",
                          leat_net_conn_peer(req->conn->net), req->header.api_version);
        leat_stat_add(req->home->broker->errors, 1);
        req->drop_conn = true;
        request_end(req);
}

void leat_broker_go_admin(struct broker_request *req, void (*fn)(void *req))
{
        struct leat_broker *broker = req->home->broker;
        leat_broker_post(broker, &broker->admin, fn, req);
}

void leat_broker_go_home(struct broker_request *req, void (*fn)(void *req))
{
        leat_broker_post(req->home->broker, req->home, fn, req);
}

/* ---- callbacks of net ------------------------------------------------------------------------ */

static struct broker_loop *loop_of(struct leat_broker *broker, const struct leat_loop *loop)
{
        for (int i = 0; i < broker->loop_count; i++) {
                if (broker->loops[i].loop == loop)
                        return &broker->loops[i];
        }
        LEAT_ASSERT(!"a loop of ours");
        return NULL;
}

static void on_open(struct leat_net_conn *net, void *user)
{
        struct leat_broker *broker = user;
        struct broker_conn *conn = leat_calloc(1, sizeof(*conn));
        conn->magic = BROKER_CONN_MAGIC;
        conn->net = net;
        conn->home = loop_of(broker, leat_net_conn_loop(net));
        conn->next = conn->home->conns;
        if (conn->next != NULL)
                conn->next->prev = conn;
        conn->home->conns = conn;
        conn->home->conn_count++;
        leat_net_conn_set_user(net, conn);
        leat_stat_set(broker->connections, (uint64_t)(atomic_fetch_add(&broker->conns, 1) + 1));
        if (conn->home->draining)
                leat_net_conn_close(net);
}

/* Takes in one frame. False when the connection must not go on. */
static bool conn_frame(struct broker_conn *conn, struct leat_view frame)
{
        struct leat_error err;
        struct broker_request *req = request_new(conn);
        if (conn->last != NULL)
                conn->last->next = req;
        else
                conn->first = req;
        conn->last = req;
        conn->in_flight++;
        conn->in_flight_bytes += frame.len;
        req->frame = frame;
        req->block = leat_block_ref(leat_net_conn_block(conn->net));
        if (leat_kafka_header_parse(frame, &req->header, &err) != 0) {
                leat_broker_respond_close(req, err.message);
                return false;
        }
        leat_broker_dispatch(req);
        return !leat_net_conn_closing(conn->net);
}

static size_t on_data(struct leat_net_conn *net, void *user, struct leat_view data)
{
        struct broker_conn *conn = user;
        LEAT_ASSERT(conn->magic == BROKER_CONN_MAGIC);
        size_t used = 0, frame_max = (size_t)leat_param(LEAT_P_BROKER_MAX_FRAME);
        while (!conn->paused && data.len - used >= 4) {
                size_t bytes = leat_get_be32(data.data + used);
                if (bytes < 10 || bytes > frame_max) {
                        leat_diag(LEAT_DIAG_WARN, "broker", "connection closed",
                                  "peer=%s bytes=%zu max_bytes=%zu reason=\"%s\"", leat_net_conn_peer(net), bytes,
                                  frame_max,
                                  bytes < 10 ? "no Kafka request"
                                             : "frame larger than broker.max.frame, or no Kafka client");
                        leat_stat_add(conn->home->broker->errors, 1);
                        leat_net_conn_close(net);
                        return data.len;
                }
                if (data.len - used < 4 + bytes) {
                        leat_net_conn_want(net, 4 + bytes);
                        if (data.len - used >= 6 && leat_get_be16(data.data + used + 4) == LEAT_KAFKA_PRODUCE)
                                conn->home->gather_more = true; /* a batch is on its way */
                        break;
                }
                if (!conn_frame(conn, leat_view_of(data.data + used + 4, bytes)))
                        return data.len;
                used += 4 + bytes;
                conn_flow(conn);
        }
        return used;
}

static void on_drain(struct leat_net_conn *net, void *user)
{
        struct broker_conn *conn = user;
        (void)net;
        conn_queued_update(conn);
        conn_flow(conn);
}

static void on_close(struct leat_net_conn *net, void *user, const struct leat_error *reason)
{
        struct broker_conn *conn = user;
        LEAT_ASSERT(conn->magic == BROKER_CONN_MAGIC);
        struct broker_loop *home = conn->home;
        if (reason->code != 0 && reason->code != LEAT_ECLOSED)
                leat_diag(LEAT_DIAG_INFO, "broker", "connection lost", "peer=%s reason=\"%s\"", leat_net_conn_peer(net),
                          reason->message);
        /* What is in work ends by itself. */
        struct broker_request *req = conn->first;
        conn->first = conn->last = NULL;
        while (req != NULL) {
                struct broker_request *next = req->next;
                req->next = NULL;
                req->conn = NULL;
                if (req->done)
                        request_free(req);
                else if (req->cancel != NULL)
                        req->cancel(req);
                req = next;
        }
        home->queued_bytes -= conn->queued_seen;
        home->conn_count--;
        if (conn->next != NULL)
                conn->next->prev = conn->prev;
        if (conn->prev != NULL)
                conn->prev->next = conn->next;
        else
                home->conns = conn->next;
        leat_stat_set(home->broker->connections, (uint64_t)(atomic_fetch_sub(&home->broker->conns, 1) - 1));
        conn->magic = 0;
        free(conn);
}

const struct leat_net_ops leat_broker_conn_ops = {
        .on_open = on_open,
        .on_data = on_data,
        .on_drain = on_drain,
        .on_close = on_close,
};

/* ---- the end ----------------------------------------------------------------------------------- */

static struct broker_request *request_to_cancel(struct broker_conn *conn)
{
        struct broker_request *req = conn->first;
        while (req != NULL && (req->done || req->cancel == NULL))
                req = req->next;
        return req;
}

void leat_broker_conns_drain(struct broker_loop *loop)
{
        loop->draining = true;
        struct broker_conn *next;
        for (struct broker_conn *conn = loop->conns; conn != NULL; conn = next) {
                next = conn->next;
                conn_flow(conn);
                /* Cancelling answers, which takes requests off the list. */
                struct broker_request *req;
                while ((req = request_to_cancel(conn)) != NULL) {
                        void (*cancel)(struct broker_request *) = req->cancel;
                        req->cancel = NULL;
                        cancel(req);
                }
                if (conn->first == NULL)
                        leat_net_conn_finish(conn->net);
        }
}

void leat_broker_conns_close(struct broker_loop *loop)
{
        for (struct broker_conn *conn = loop->conns; conn != NULL; conn = conn->next)
                leat_net_conn_close(conn->net);
}
