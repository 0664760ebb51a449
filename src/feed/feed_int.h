/* SPDX-License-Identifier: Apache-2.0 */
/* leat/feed: what its files share. */
#ifndef LEAT_FEED_INT_H
#define LEAT_FEED_INT_H

#include "leat/batch.h"
#include "leat/feed.h"
#include "leat/kafka.h"

enum {
        FEED_API_MAX = 128,
        FEED_FRAME_MAX = 128 * 1024 * 1024,
        FEED_RECORDS_MAX = 256 * 1024 * 1024, /* decompressed bytes of one batch */
};
#define FEED_CALL_US (15LL * 1000 * 1000) /* one administrative call, connecting included */
#define FEED_RETRY_US (50LL * 1000)       /* between tries to connect */

/* One connection; made anew when it is lost. */
struct feed_conn {
        int fd; /* -1: none */
        int32_t next_correlation;
        struct leat_buf in; /* bytes read and not used */
        size_t at;
        int16_t max_version[FEED_API_MAX]; /* of the broker; -1: it has not this API */
        int16_t min_version[FEED_API_MAX];
};

struct leat_feed {
        struct leat_addr addr;
        char *client_id;
        struct feed_conn conn;    /* administration */
        int wake_fds[2];          /* leat_feed_wake writes into [1] */
        struct leat_arena *arena; /* of the running call */
};

/* ---- connections (feed_conn.c) ------------------------------------------------------- */
void leat_feed_conn_init(struct feed_conn *conn);
void leat_feed_conn_close(struct feed_conn *conn);
/* Connects and asks for the API versions unless it is open. Tries until @end_us (monotonic); LEAT_ETIMEOUT,
 * LEAT_ECANCELED after a wake. */
int leat_feed_conn_open(struct leat_feed *feed, struct feed_conn *conn, int64_t end_us,
                        struct leat_error *err) LEAT_NODISCARD;
/* The version that both sides speak, at most @max. LEAT_EUNSUPPORTED names the API. */
int leat_feed_conn_version(const struct feed_conn *conn, int16_t key, int16_t max, int16_t *ret_version,
                           struct leat_error *err) LEAT_NODISCARD;
/* Sends a request. LEAT_ECLOSED: the connection is lost (and closed). */
int leat_feed_conn_send(struct leat_feed *feed, struct feed_conn *conn, int16_t key, int16_t version,
                        const void *message, int32_t *ret_correlation, struct leat_error *err) LEAT_NODISCARD;
/* The next frame (without its length), into a block with 64 readable bytes behind it; LEAT_ETIMEOUT at @end_us,
 * LEAT_ECANCELED after a wake, LEAT_ECLOSED when the connection is lost. */
int leat_feed_conn_receive(struct leat_feed *feed, struct feed_conn *conn, int64_t end_us,
                           struct leat_block **ret_frame, struct leat_error *err) LEAT_NODISCARD;
/* Request and answer on the administrative connection, tried again when the connection is lost. @response lives in
 * feed->arena until the next call. */
int leat_feed_call(struct leat_feed *feed, int16_t key, int16_t max_version, const void *request, void *response,
                   struct leat_error *err) LEAT_NODISCARD;
/* A Kafka error code as ours: fills @err with the name, the broker's own words when it has some, and "topic x". */
int leat_feed_error(int code, struct leat_view message, const char *topic, struct leat_error *err);

#endif
