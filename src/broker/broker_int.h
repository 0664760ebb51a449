/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/broker: what its files share.
 *
 * Life of a request: a connection's loop (its home) cuts a frame out of the
 * bytes, decodes it and calls the API's handler. A handler answers at once
 * (leat_broker_respond) or later, after work on other threads:
 *
 *   Produce     checked and appended at home; the sync that follows is asked for
 *               when no more batches come (gather), and ends on a sync thread of the log
 *   Fetch       read at home what is in memory, else on a read thread (reads); parked
 *               in wait lists when there is too little
 *   ListOffsets by time: on a read thread
 *   changes     of topics, producer ids …: on the admin thread, because the log
 *               syncs small files there
 *
 * and always comes home for the answer. Answers leave in the order of the
 * requests. A connection that closes leaves its requests to end on their own.
 *
 * Locks: parts_lock (table partition -> broker_part), sessions->lock (fetch
 * sessions); neither is held while another is taken or the log is called,
 * except leat_log_partition_user/_set_user under parts_lock.
 */
#ifndef LEAT_BROKER_INT_H
#define LEAT_BROKER_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "leat/base.h"
#include "leat/batch.h"
#include "leat/broker.h"
#include "leat/kafka.h"
#include "leat/log.h"
#include "leat/net.h"
#include "leat/os.h"

#define BROKER_LOOPS_MAX 8
#define BROKER_NODE_ID 1
#define BROKER_CONN_MAGIC 0x6272636fu
#define BROKER_REQUEST_MAGIC 0x62727271u

struct broker_conn;
struct broker_request;
struct broker_reads;
struct broker_sessions;
struct fetch_watch;

/* ---- loops --------------------------------------------------------------------- */
struct leat_broker_post {
        struct leat_broker_post *next;
        struct broker_loop *to;
        void (*fn)(void *arg);
        void *arg;
};

/* One event loop; all fields belong to its thread. */
struct broker_loop {
        struct leat_broker *broker;
        struct leat_loop *loop;
        int index;
        struct leat_buf scratch;   /* decompressed records of the batch in hand */
        struct broker_conn *conns; /* all of this loop */
        int conn_count;
        size_t queued_bytes;            /* answers that slow peers have not taken, about */
        size_t lent_bytes;              /* what requests on read threads may bring, at most */
        struct leat_broker_post *posts; /* that found a full queue, oldest first */
        struct leat_broker_post **posts_end;
        struct leat_timer *posts_timer;
        struct broker_request *spare; /* for reuse */
        int spare_count;
        bool draining; /* no new requests */

        /* partitions that wait to be synced (broker_gather.c) */
        struct broker_part **gather;
        uint32_t gather_count, gather_cap;
        size_t gather_bytes;
        int64_t gather_us;               /* since when */
        uint64_t gather_number;          /* counts the times that syncs were asked for */
        bool gather_more, gather_enough; /* this round brought some of a Produce request; do not wait for another */
};

struct leat_broker {
        struct leat_log *log;
        struct leat_stats *stats;
        struct leat_stats *own_stats; /* when the caller gave none */
        struct leat_listener *listener;
        struct leat_net_ops ops;
        struct leat_net_opts opts;
        char cluster_id[32];
        struct broker_loop loops[BROKER_LOOPS_MAX];
        int loop_count;
        struct broker_loop admin;  /* a thread for work that blocks */
        struct leat_timer *gauges; /* on loops[0] */
        pthread_mutex_t parts_lock;
        struct broker_part *parts; /* parts_lock */
        struct broker_sessions *sessions;
        struct broker_reads *reads;
        _Atomic int conns;
        _Atomic int requests; /* in work, of all loops */
        _Atomic uint64_t *api_requests[128];
        _Atomic uint64_t *api_time_us[128];
        _Atomic uint64_t *errors;
        _Atomic uint64_t *connections;
        _Atomic uint64_t *refused;
        _Atomic uint64_t *cold_reads;
        _Atomic uint64_t *log_syncs, *log_sync_failures, *log_sync_time_us, *log_sealed, *log_removed, *log_segments,
                *log_bytes;
};

/* Calls @fn(@arg) on @to; keeps the order of one sender's calls to one loop. Thread: any. */
void leat_broker_post(struct leat_broker *broker, struct broker_loop *to, void (*fn)(void *arg), void *arg);
/* The loop whose thread this is, or NULL. */
struct broker_loop *leat_broker_loop_here(struct leat_broker *broker);

/* ---- connections and requests (broker_conn.c) --------------------------------------- */
extern const struct leat_net_ops leat_broker_conn_ops;

struct broker_conn {
        uint32_t magic;
        struct leat_net_conn *net; /* NULL once closed */
        struct broker_loop *home;
        struct broker_conn *next, *prev;
        struct broker_request *first, *last; /* in order of arrival, not answered yet */
        uint32_t in_flight;
        size_t in_flight_bytes;
        size_t queued_seen; /* part of home->queued_bytes */
        bool paused;
        bool greeted;                 /* sent a request that we understood */
        uint32_t produces;            /* Produce requests in work */
        uint32_t window, window_peak; /* most of them at a time, lately; since the last look */
        uint32_t window_age;          /* requests since then */
        uint64_t gather_number;       /* of the loop, to which `gathered` belongs */
        uint32_t gathered;            /* of them, appended and no sync asked for */
};

struct broker_request {
        uint32_t magic;
        struct broker_loop *home;
        struct broker_conn *conn; /* NULL when it has closed; home thread */
        struct broker_request *next;
        struct leat_kafka_header header; /* client_id points into the frame */
        const struct leat_kafka_api *api;
        struct leat_block *block; /* keeps the frame */
        struct leat_view frame;
        struct leat_arena *arena;
        void *message;                              /* struct leat_kafka_<api>_request */
        void *op;                                   /* the handler's own */
        void (*cancel)(struct broker_request *req); /* the connection closed, or the broker stops: end it soon */
        int64_t start_us;
        struct leat_chain answer;
        bool done;
        bool silent;    /* Produce with acks=0: no answer */
        bool drop_conn; /* close the connection in place of an answer */
        /* on a read thread (broker_reads.c) */
        struct broker_request *read_next;
        void (*read_fn)(struct broker_request *req);
        void (*read_done)(void *req);
        size_t read_bytes;
        _Atomic bool give_up; /* what is not read yet is not needed any more */
        char local[72];       /* the address that the client reached us by */
};

/* Encodes @message (struct leat_kafka_<api>_response) as the answer and ends the request, which is freed before this
 * returns, or later when older ones are not answered yet. Thread: home. */
void leat_broker_respond(struct broker_request *req, const void *message);
/* As above, at another version (ApiVersions). */
void leat_broker_respond_version(struct broker_request *req, int16_t version, const void *message);
/* Ends the request without an answer. */
void leat_broker_respond_nothing(struct broker_request *req);
/* Ends the request by closing its connection; @why is logged. */
void leat_broker_respond_close(struct broker_request *req, const char *why);
/* Closes connections that are idle, answers parked fetches, and closes each other one after its last answer. */
void leat_broker_conns_drain(struct broker_loop *loop);
/* Closes all. */
void leat_broker_conns_close(struct broker_loop *loop);
/* Runs @fn(req) on the admin thread; it ends with leat_broker_go_home. */
void leat_broker_go_admin(struct broker_request *req, void (*fn)(void *req));
/* Runs @fn(req) on the request's home loop. */
void leat_broker_go_home(struct broker_request *req, void (*fn)(void *req));
void leat_broker_requests_free(struct broker_loop *loop);

/* ---- reads that wait for the disk (broker_reads.c) ------------------------------------------ */
struct broker_reads *leat_broker_reads_new(struct leat_broker *broker);
/* Runs @fn(req) on a read thread and then @done(req) at home. @fn ends early when req->give_up becomes true, and is left
 * out when it is from the start. @bytes: of the answer, at most. Thread: home. */
void leat_broker_read(struct broker_request *req, void (*fn)(struct broker_request *req), void (*done)(void *req),
                      size_t bytes);
/* Waits for the reads under way; all that are in work come home, others do not begin. NULL is allowed. Blocks. */
void leat_broker_reads_stop(struct broker_reads *reads);
void leat_broker_reads_free(struct broker_reads *reads);

/* ---- APIs (broker_api.c) ---------------------------------------------------------------- */
/* Decodes the message and calls the handler. Thread: home. */
void leat_broker_dispatch(struct broker_request *req);
/* One line of this list per API that is advertised. */
#define BROKER_APIS(X) \
        X(LEAT_KAFKA_PRODUCE, leat_broker_produce) \
        X(LEAT_KAFKA_FETCH, leat_broker_fetch) \
        X(LEAT_KAFKA_LIST_OFFSETS, leat_broker_list_offsets) \
        X(LEAT_KAFKA_METADATA, leat_broker_metadata) \
        X(LEAT_KAFKA_API_VERSIONS, leat_broker_api_versions) \
        X(LEAT_KAFKA_CREATE_TOPICS, leat_broker_create_topics) \
        X(LEAT_KAFKA_DELETE_TOPICS, leat_broker_delete_topics) \
        X(LEAT_KAFKA_DELETE_RECORDS, leat_broker_delete_records) \
        X(LEAT_KAFKA_INIT_PRODUCER_ID, leat_broker_init_producer_id) \
        X(LEAT_KAFKA_OFFSET_FOR_LEADER_EPOCH, leat_broker_offset_for_leader_epoch) \
        X(LEAT_KAFKA_DESCRIBE_CONFIGS, leat_broker_describe_configs) \
        X(LEAT_KAFKA_CREATE_PARTITIONS, leat_broker_create_partitions) \
        X(LEAT_KAFKA_INCREMENTAL_ALTER_CONFIGS, leat_broker_alter_configs) \
        X(LEAT_KAFKA_DESCRIBE_CLUSTER, leat_broker_describe_cluster) \
        X(LEAT_KAFKA_DESCRIBE_TOPIC_PARTITIONS, leat_broker_describe_topic_partitions)
#define X(key, handler) void handler(struct broker_request *req);
BROKER_APIS(X)
#undef X
/* NULL when it is not served. */
const struct leat_kafka_api *leat_broker_api_served(int16_t key);

/* ---- partitions (broker_parts.c) ------------------------------------------------------------ */
/* What the broker adds to a partition of the log. Reference-counted: one for being in the table, one for each user. */
struct broker_part {
        struct leat_broker *broker;
        struct leat_log_partition *log_part; /* owns a reference */
        _Atomic int refs;
        struct broker_part *next, *prev;               /* parts_lock */
        bool gathered[BROKER_LOOPS_MAX];               /* in the loop's list; each of its loop's thread */
        _Atomic uint32_t waiting;                      /* loops (bits) with parked fetches */
        struct fetch_watch *watches[BROKER_LOOPS_MAX]; /* each of its loop's thread */
        _Atomic uint64_t *produced_bytes, *produced_records, *fetched_bytes, *fetched_records, *end_offset,
                *topic_bytes;
};
/* The partition, one reference; NULL when there is none. */
struct broker_part *leat_broker_part_get(struct leat_broker *broker, const uint8_t id[LEAT_LOG_ID_BYTES],
                                         uint32_t index);
struct broker_part *leat_broker_part_ref(struct broker_part *part);
void leat_broker_part_unref(struct broker_part *part);
/* Listener of the log: something moved in @log_part. Thread: any. */
void leat_broker_part_moved(void *broker, struct leat_log_partition *log_part);
void leat_broker_parts_free(struct leat_broker *broker);

/* ---- syncs for many batches (broker_gather.c) ------------------------------------------------ */
/* @bytes were appended to @part, and leat_log_sync_join was called: the sync is asked for soon. Thread: @loop. */
void leat_broker_gather_add(struct broker_loop *loop, struct broker_part *part, size_t bytes);
/* A Produce request of @conn begins; it ends with its answer. Thread: @conn's. */
void leat_broker_gather_begin(struct broker_conn *conn);
void leat_broker_gather_free(struct broker_loop *loop);

/* ---- fetch sessions (broker_session.c) ---------------------------------------------------------- */
struct fetch_item {
        struct leat_topic_id topic_id;
        struct leat_view topic; /* versions before 13 */
        int32_t partition;
        int32_t leader_epoch;
        int64_t offset;
        int32_t max_bytes;
        /* the answer */
        struct broker_part *part;
        struct fetch_watch *watch;
        struct leat_chain records;
        int64_t next;
        int64_t high, start; /* -1 unknown */
        int16_t error;
        bool changed; /* sessions: must be in the answer though it has no records */
};
struct fetch_list {
        struct fetch_item *items; /* of the request's arena */
        uint32_t count;
        int32_t session_id; /* of the answer; 0 none */
        int16_t error;      /* top level; nothing else counts then */
        bool incremental;   /* leave out partitions without news */
};
struct broker_sessions *leat_broker_sessions_new(uint32_t limit);
void leat_broker_sessions_free(struct broker_sessions *sessions);
/* What a request asks for, sessions applied. */
void leat_broker_session_begin(struct broker_sessions *sessions, const struct leat_kafka_fetch_request *msg,
                               int16_t version, int64_t now_us, struct leat_arena *arena, struct fetch_list *ret_list);
/* Marks items that have news for the session (watermarks), and notes what is sent. */
void leat_broker_session_end(struct broker_sessions *sessions, struct fetch_list *list);
uint32_t leat_broker_sessions_count(struct broker_sessions *sessions);

/* ---- fetch (leat_broker_fetch.c) -------------------------------------------------------------------------- */
struct fetch_op;
/* @part moved: looks again at the fetches of this loop that wait for it. Takes over a reference. Thread: @loop. */
void leat_broker_fetch_wake(struct broker_loop *loop, struct broker_part *part);

/* ---- topics, settings (broker_topic.c, broker_config.c) --------------------------------------------------- */
/* Kafka's code for an error of the log. */
int16_t leat_broker_error_of(const struct leat_error *err);
/* @err's message (with hint) as a view in @arena, at most 32,767 bytes. */
struct leat_view leat_broker_error_message(struct leat_arena *arena, const struct leat_error *err);
/* A message made by printf. */
struct leat_view leat_broker_text(struct leat_arena *arena, const char *fmt, ...) LEAT_PRINTF(2, 3);
/* NULL when the name is allowed, else why not (arena). */
const char *leat_broker_topic_name_bad(struct leat_arena *arena, struct leat_view name);
bool leat_broker_topic_internal(const char *name);
/* Compares the client's leader epoch (-1: unknown) with ours. */
int16_t leat_broker_epoch_check(struct leat_broker *broker, int32_t epoch);
static inline struct leat_topic_id broker_topic_id(const struct leat_log_topic *topic)
{
        struct leat_topic_id id;
        memcpy(id.bytes, topic->id, sizeof(id.bytes));
        return id;
}
static inline bool broker_topic_id_none(const struct leat_topic_id *id)
{
        static const struct leat_topic_id none;
        return memcmp(id, &none, sizeof(none)) == 0;
}
/* The topic by name when it has one, else by id; *ret_error says what is wrong when NULL. */
struct leat_log_topic *leat_broker_topic_lookup(struct leat_broker *broker, struct leat_view name,
                                                const struct leat_topic_id *id, int16_t *ret_error);

struct broker_topic_config {
        int64_t max_message_bytes;
        int64_t before_max_ms, after_max_ms;
        bool append_time;
        bool keyed;
};
void leat_broker_topic_config_read(const struct leat_log_topic *topic, struct broker_topic_config *ret_config);
/* Checks one setting; NULL value = back to the default. Kafka's code, and the message in *ret_message. */
int16_t leat_broker_config_check(struct leat_arena *arena, struct leat_view name, struct leat_view value,
                                 struct leat_view *ret_message);
/* The settings of a topic as CreateTopics answers them. */
struct leat_kafka_created_topic_config *leat_broker_config_created(struct leat_arena *arena,
                                                                   const struct leat_log_topic *topic,
                                                                   int32_t *ret_count);

#endif
