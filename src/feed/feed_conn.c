/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/feed: connections to the broker: connect, negotiate versions, frames.
 *
 * Sockets are non-blocking; every wait is a poll() over the socket and the wake
 * pipe with the caller's deadline. A connection that fails in any way is closed
 * and made anew by the next use: nothing is resumed in the middle of a frame.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "feed_int.h"

enum { FEED_READ_BYTES = 256 * 1024, FEED_PAD_BYTES = 64 };

void leat_feed_conn_init(struct feed_conn *conn)
{
        memset(conn, 0, sizeof *conn);
        conn->fd = -1;
}

void leat_feed_conn_close(struct feed_conn *conn)
{
        leat_os_close(conn->fd);
        conn->fd = -1;
        conn->at = 0;
        leat_buf_done(&conn->in);
}

static int lost(struct feed_conn *conn, const struct leat_feed *feed, struct leat_error *err)
{
        leat_feed_conn_close(conn);
        leat_error_set(err, LEAT_ECLOSED, "connection to the broker at %s:%u was lost", feed->addr.host,
                       feed->addr.port);
        if (err != NULL)
                err->retriable = true;
        return LEAT_ECLOSED;
}

static int timed_out(const struct leat_feed *feed, struct leat_error *err)
{
        leat_error_set(err, LEAT_ETIMEOUT, "the broker at %s:%u does not answer in time", feed->addr.host,
                       feed->addr.port);
        leat_error_hint(err, "Is the broker running? `leat status` tells.");
        if (err != NULL)
                err->retriable = true;
        return LEAT_ETIMEOUT;
}

/* Waits for @want on the socket; 0, LEAT_ETIMEOUT or LEAT_ECANCELED. */
static int wait_ready(struct leat_feed *feed, const struct feed_conn *conn, short want, int64_t end_us,
                      struct leat_error *err)
{
        struct pollfd fds[2] = {{.fd = conn->fd, .events = want}, {.fd = feed->wake_fds[0], .events = POLLIN}};
        int64_t left_us = end_us - leat_os_monotonic_us();
        char bytes[64];
        (void)leat_os_poll(fds, 2, LEAT_MAX(left_us, 0));
        if (fds[1].revents != 0) {
                while (leat_os_read(feed->wake_fds[0], bytes, sizeof bytes) > 0)
                        ;
                return leat_error_set(err, LEAT_ECANCELED, "woken");
        }
        return fds[0].revents != 0 ? 0 : timed_out(feed, err);
}

static int send_bytes(struct leat_feed *feed, struct feed_conn *conn, struct leat_view bytes, struct leat_error *err)
{
        int64_t end_us = leat_os_monotonic_us() + FEED_CALL_US;
        while (bytes.len > 0) {
                ssize_t n = leat_os_send(conn->fd, bytes.data, bytes.len);
                if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
                        int rc = wait_ready(feed, conn, POLLOUT, end_us, err);
                        if (rc == LEAT_ETIMEOUT)
                                return lost(conn, feed, err);
                        /* A wake must not tear a frame: the caller sees it at its next wait. */
                        if (rc == LEAT_ECANCELED)
                                leat_feed_wake(feed);
                        continue;
                }
                if (n <= 0)
                        return lost(conn, feed, err);
                bytes = leat_view_of(bytes.data + n, bytes.len - (size_t)n);
        }
        return 0;
}

int leat_feed_conn_send(struct leat_feed *feed, struct feed_conn *conn, int16_t key, int16_t version,
                        const void *message, int32_t *ret_correlation, struct leat_error *err)
{
        struct leat_chain frame = LEAT_CHAIN_INIT;
        int32_t correlation = conn->next_correlation++;
        int rc = 0;
        leat_kafka_request_encode(leat_kafka_api_find(key), version, correlation, leat_view_str(feed->client_id),
                                  message, &frame);
        for (uint32_t i = 0; rc == 0 && i < frame.count; i++)
                rc = send_bytes(feed, conn, frame.slices[i].view, err);
        leat_chain_done(&frame);
        if (rc == 0)
                *ret_correlation = correlation;
        return rc;
}

/* Reads what is there, at least one byte. */
static int read_some(struct leat_feed *feed, struct feed_conn *conn, uint8_t *to, size_t bytes, int64_t end_us,
                     size_t *ret_bytes, struct leat_error *err)
{
        for (;;) {
                ssize_t n = leat_os_recv(conn->fd, to, bytes);
                if (n > 0) {
                        *ret_bytes = (size_t)n;
                        return 0;
                }
                if (n == 0 || (errno != EAGAIN && errno != EINTR))
                        return lost(conn, feed, err);
                LEAT_TRY(wait_ready(feed, conn, POLLIN, end_us, err));
        }
}

/* Whole frames are read into a block of their own; small leftovers wait in conn->in. */
int leat_feed_conn_receive(struct leat_feed *feed, struct feed_conn *conn, int64_t end_us,
                           struct leat_block **ret_frame, struct leat_error *err)
{
        size_t n;
        if (conn->fd < 0)
                return lost(conn, feed, err);
        for (;;) {
                size_t have = conn->in.len - conn->at;
                size_t need = 4;
                if (have >= 4) {
                        uint32_t len = leat_get_be32(conn->in.data + conn->at);
                        if (len > FEED_FRAME_MAX) {
                                leat_feed_conn_close(conn);
                                return leat_error_set(
                                        err, LEAT_EPROTO,
                                        "the broker at %s:%u sends a frame of %u bytes: not Kafka's protocol",
                                        feed->addr.host, feed->addr.port, len);
                        }
                        need = (size_t)len + 4;
                        if (have >= need) {
                                struct leat_block *block = leat_block_new(len + FEED_PAD_BYTES);
                                memcpy(block->data, conn->in.data + conn->at + 4, len);
                                memset(block->data + len, 0, FEED_PAD_BYTES);
                                block->len = len;
                                conn->at += need;
                                *ret_frame = block;
                                return 0;
                        }
                }
                if (conn->at != 0) {
                        memmove(conn->in.data, conn->in.data + conn->at, have);
                        conn->in.len = have;
                        conn->at = 0;
                }
                size_t room = LEAT_MAX(need - have, (size_t)FEED_READ_BYTES);
                uint8_t *to = leat_buf_reserve(&conn->in, room);
                LEAT_TRY(read_some(feed, conn, to, room, end_us, &n, err));
                conn->in.len += n;
        }
}

/* ---- opening ------------------------------------------------------------------------------ */
static int ask_versions(struct leat_feed *feed, struct feed_conn *conn, int64_t end_us, struct leat_error *err)
{
        struct leat_kafka_api_versions_request request;
        struct leat_kafka_api_versions_response response;
        struct leat_block *frame;
        int32_t correlation;
        LEAT_KAFKA_INIT(api_versions_request, &request);
        request.client_software_name = leat_view_str("leat");
        request.client_software_version = leat_view_str("0.1.0");
        LEAT_TRY(leat_feed_conn_send(feed, conn, 18, 3, &request, &correlation, err));
        LEAT_TRY(leat_feed_conn_receive(feed, conn, end_us, &frame, err));
        struct leat_arena *arena = leat_arena_new(0);
        int rc = leat_kafka_response_decode(leat_kafka_api_find(18), 3, leat_view_of(frame->data, frame->len), arena,
                                            &response, err);
        for (int i = 0; i < FEED_API_MAX; i++)
                conn->max_version[i] = conn->min_version[i] = -1;
        for (size_t i = 0; rc == 0 && i < (size_t)response.api_keys_count; i++) {
                int16_t key = response.api_keys[i].api_key;
                if (key >= 0 && key < FEED_API_MAX) {
                        conn->max_version[key] = response.api_keys[i].max_version;
                        conn->min_version[key] = response.api_keys[i].min_version;
                }
        }
        leat_arena_free(arena);
        leat_block_unref(frame);
        return rc;
}

int leat_feed_conn_open(struct leat_feed *feed, struct feed_conn *conn, int64_t end_us, struct leat_error *err)
{
        while (conn->fd < 0) {
                int64_t left_us = end_us - leat_os_monotonic_us();
                int rc = leat_os_connect(&feed->addr, LEAT_MAX(LEAT_MIN(left_us, FEED_CALL_US), 1000), &conn->fd, err);
                leat_os_nonblock(conn->fd);
                if (rc == 0)
                        rc = ask_versions(feed, conn, end_us, err);
                if (rc == 0)
                        return 0;
                leat_feed_conn_close(conn);
                if (rc == LEAT_ECANCELED || rc == LEAT_EPROTO)
                        return rc;
                if (leat_os_monotonic_us() + FEED_RETRY_US >= end_us)
                        return timed_out(feed, err);
                /* Waiting for the wake pipe is the sleep. */
                rc = wait_ready(feed, conn, 0, leat_os_monotonic_us() + FEED_RETRY_US, err);
                if (rc == LEAT_ECANCELED)
                        return rc;
        }
        return 0;
}

int leat_feed_conn_version(const struct feed_conn *conn, int16_t key, int16_t max, int16_t *ret_version,
                           struct leat_error *err)
{
        const struct leat_kafka_api *api = leat_kafka_api_find(key);
        int16_t version = LEAT_MIN(LEAT_MIN(api->max_version, max), conn->max_version[key]);
        if (conn->max_version[key] < 0 || version < api->min_version || version < conn->min_version[key])
                return leat_error_set(err, LEAT_EUNSUPPORTED, "the broker has no version of %s that we speak",
                                      api->name);
        *ret_version = version;
        return 0;
}

/* ---- calls ----------------------------------------------------------------------------------- */
static int call_once(struct leat_feed *feed, int16_t key, int16_t max_version, const void *request, void *response,
                     int64_t end_us, struct leat_error *err)
{
        int16_t version;
        int32_t correlation;
        struct leat_block *frame;
        LEAT_TRY(leat_feed_conn_open(feed, &feed->conn, end_us, err));
        LEAT_TRY(leat_feed_conn_version(&feed->conn, key, max_version, &version, err));
        LEAT_TRY(leat_feed_conn_send(feed, &feed->conn, key, version, request, &correlation, err));
        int rc = leat_feed_conn_receive(feed, &feed->conn, end_us, &frame, err);
        if (rc != 0) {
                leat_feed_conn_close(&feed->conn); /* the answer would be taken for the next call's */
                return rc;
        }
        leat_arena_cleanup(feed->arena, (void (*)(void *))leat_block_unref, frame);
        struct leat_view bytes = leat_view_of(frame->data, frame->len);
        if (leat_kafka_response_correlation(bytes) != correlation) {
                leat_feed_conn_close(&feed->conn);
                return leat_error_set(err, LEAT_EPROTO,
                                      "the broker answers another request than the one that was sent");
        }
        return leat_kafka_response_decode(leat_kafka_api_find(key), version, bytes, feed->arena, response, err);
}

int leat_feed_call(struct leat_feed *feed, int16_t key, int16_t max_version, const void *request, void *response,
                   struct leat_error *err)
{
        int64_t end_us = leat_os_monotonic_us() + FEED_CALL_US;
        int rc;
        do {
                leat_arena_reset(feed->arena);
                rc = call_once(feed, key, max_version, request, response, end_us, err);
        } while (rc == LEAT_ECLOSED && leat_os_monotonic_us() < end_us);
        return rc;
}

/* Kafka has one code for disks that fail and disks that are full. */
static bool says_full(struct leat_view message)
{
        static const int causes[] = {ENOSPC, EDQUOT};
        for (size_t i = 0; i < LEAT_ARRAY_LEN(causes); i++) {
                char reason[96];
                const char *text = strerror_r(causes[i], reason, sizeof reason);
                if (message.len != 0 && memmem(message.data, message.len, text, strlen(text)) != NULL)
                        return true;
        }
        return false;
}

int leat_feed_error(int code, struct leat_view message, const char *topic, struct leat_error *err)
{
        int ours = LEAT_EINVAL;
        switch (code) {
        case 0:
                return 0;
        case LEAT_KAFKA_E_OFFSET_OUT_OF_RANGE:
                ours = LEAT_ERANGE;
                break;
        case LEAT_KAFKA_E_CORRUPT_MESSAGE:
                ours = LEAT_ECORRUPT;
                break;
        case LEAT_KAFKA_E_UNKNOWN_TOPIC_OR_PARTITION:
        case LEAT_KAFKA_E_UNKNOWN_TOPIC_ID:
        case LEAT_KAFKA_E_INCONSISTENT_TOPIC_ID:
                ours = LEAT_ENORELATION;
                break;
        case LEAT_KAFKA_E_TOPIC_ALREADY_EXISTS:
                ours = LEAT_EEXISTS;
                break;
        case LEAT_KAFKA_E_MESSAGE_TOO_LARGE:
        case LEAT_KAFKA_E_RECORD_LIST_TOO_LARGE:
                ours = LEAT_ETOOBIG;
                break;
        case LEAT_KAFKA_E_KAFKA_STORAGE_ERROR:
                ours = says_full(message) ? LEAT_EFULL : LEAT_EIO;
                break;
        case LEAT_KAFKA_E_REQUEST_TIMED_OUT:
                ours = LEAT_ETIMEOUT;
                break;
        case LEAT_KAFKA_E_INVALID_PRODUCER_EPOCH:
        case LEAT_KAFKA_E_PRODUCER_FENCED:
                ours = LEAT_EFENCED;
                break;
        case LEAT_KAFKA_E_OUT_OF_ORDER_SEQUENCE_NUMBER:
        case LEAT_KAFKA_E_UNKNOWN_PRODUCER_ID:
                ours = LEAT_ESEQUENCE;
                break;
        default:
                break;
        }
        if (message.len == 0)
                message = leat_view_str(leat_kafka_error_text(code));
        leat_error_set(err, ours, "topic \"%s\": %.*s (%s)", topic, (int)LEAT_MIN(message.len, (size_t)300),
                       message.len == 0 ? "" : (const char *)message.data, leat_kafka_error_name(code));
        if (err != NULL)
                err->retriable = leat_kafka_error_retriable(code);
        return ours;
}

/* ---- the feed ------------------------------------------------------------------------------------ */
int leat_feed_open(const struct leat_addr *addr, const char *client_id, struct leat_feed **ret_feed,
                   struct leat_error *err)
{
        struct leat_feed *feed = leat_calloc(1, sizeof *feed);
        feed->addr = *addr;
        leat_feed_conn_init(&feed->conn);
        int rc = leat_os_pipe(feed->wake_fds, err);
        if (rc != 0) {
                free(feed);
                return rc;
        }
        feed->client_id = leat_strdup(client_id);
        feed->arena = leat_arena_new(4096);
        *ret_feed = feed;
        return 0;
}

void leat_feed_close(struct leat_feed *feed)
{
        if (feed == NULL)
                return;
        leat_feed_conn_close(&feed->conn);
        leat_os_close(feed->wake_fds[0]);
        leat_os_close(feed->wake_fds[1]);
        leat_arena_free(feed->arena);
        free(feed->client_id);
        free(feed);
}

void leat_feed_wake_clear(struct leat_feed *feed)
{
        uint8_t bytes[64];
        while (leat_os_read(feed->wake_fds[0], bytes, sizeof bytes) > 0)
                ;
}

void leat_feed_wake(struct leat_feed *feed)
{
        (void)!leat_os_write(feed->wake_fds[1], "w", 1);
}
