/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/feed: the idempotent producer.
 *
 * Each batch is one Produce request, and answers come in order. Of one partition
 * at most WRITER_PART_FLIGHT are under way, since that many are what a broker
 * remembers of a producer; of all partitions together WRITER_FLIGHT_MAX, or
 * fewer when they are large. So a broker that syncs several batches of each
 * partition at once need not leave the producer waiting meanwhile. Sequence
 * numbers are counted for each partition.
 *
 * When the connection is lost, or the broker refuses a batch for a reason that
 * passes (disk full, time-out), the requests under way are answered or given up,
 * and then all batches that are not durable yet are sent again, in order, with
 * the sequence numbers that they had: the broker knows those that it has. After
 * WRITER_GIVE_UP they are lost for good and the producer takes a new id, since
 * the sequence has a gap.
 */
#include <stdio.h>

#include "feed_int.h"

enum { WRITER_PART_FLIGHT = 5, WRITER_FLIGHT_MAX = 40, WRITER_BATCH_BYTES = 900 * 1024 };
/* Beyond it no more than WRITER_PART_FLIGHT are under way, and as many wait. */
#define WRITER_FLIGHT_BYTES (2u << 20)
#define WRITER_GIVE_UP_US (120LL * 1000 * 1000)
#define WRITER_ID_WAIT_US (30LL * 1000 * 1000)
#define WRITER_BACKOFF_US (100LL * 1000)

struct writer_part {
        char topic[250];
        int32_t partition;
        int32_t sequence; /* of the next record */
        uint32_t under_way;
};

/* A call of leat_feed_send; its batches share it. */
struct writer_send {
        leat_feed_done_fn *done;
        void *arg;
        int64_t first_offset;
        uint32_t left; /* batches */
        bool failed;
        struct leat_error error;
};

struct writer_batch {
        struct writer_batch *next;
        struct writer_send *send;
        char topic[250];
        int32_t partition;
        uint32_t part; /* number in the writer's list */
        struct leat_block *bytes;
        int64_t queued_us;
        int32_t correlation; /* -1: not under way */
};

struct leat_feed_writer {
        struct leat_feed *feed;
        struct feed_conn conn;
        int64_t producer_id; /* -1: none yet */
        int16_t producer_epoch;
        int16_t version;
        struct writer_part *parts;
        uint32_t part_count, part_cap;
        struct writer_batch *first, *last; /* not durable yet, in order */
        uint32_t waiting;                  /* how many these are */
        size_t waiting_bytes;
        uint32_t under_way;
        size_t under_way_bytes;
        bool resend; /* something failed: wait for the answers, then send all again */
        int64_t backoff_until_us;
        struct leat_error refused; /* why the broker did not take a batch the last time; code 0: it takes them */
        struct leat_kafka_batch_builder builder;
};

/* ---- finishing ------------------------------------------------------------------------------ */
static void finish_batch(struct leat_feed_writer *w, int64_t offset, const struct leat_error *error)
{
        struct writer_batch *b = w->first;
        struct writer_send *send = b->send;
        w->first = b->next;
        if (w->first == NULL)
                w->last = NULL;
        w->waiting--;
        w->waiting_bytes -= b->bytes->len;
        if (error != NULL && !send->failed) {
                send->failed = true;
                send->error = *error;
        }
        if (send->first_offset < 0)
                send->first_offset = offset;
        leat_block_unref(b->bytes);
        free(b);
        if (--send->left != 0)
                return;
        if (send->done != NULL)
                send->done(send->arg, send->failed ? -1 : send->first_offset, send->failed ? &send->error : NULL);
        free(send);
}

/* Everything that is not durable is lost: a gap in the sequence, so a new producer id. */
static void fail_all(struct leat_feed_writer *w, const struct leat_error *error)
{
        leat_feed_conn_close(&w->conn);
        w->under_way = 0;
        w->under_way_bytes = 0;
        w->resend = false;
        w->producer_id = -1;
        w->part_count = 0;
        while (w->first != NULL)
                finish_batch(w, -1, error);
}

/* ---- sending ----------------------------------------------------------------------------------- */
static int take_producer_id(struct leat_feed_writer *w, struct leat_error *err)
{
        struct leat_kafka_init_producer_id_request request;
        struct leat_kafka_init_producer_id_response response;
        LEAT_KAFKA_INIT(init_producer_id_request, &request);
        request.transactional_id = leat_view_of(NULL, 0);
        request.transaction_timeout_ms = 60000;
        /* A broker that has just started (Apache Kafka) has no ids for a moment. */
        for (int64_t begun_us = leat_os_monotonic_us();;) {
                LEAT_TRY(leat_feed_call(w->feed, 22, 4, &request, &response, err));
                bool passes = response.error_code == LEAT_KAFKA_E_COORDINATOR_LOAD_IN_PROGRESS ||
                              response.error_code == LEAT_KAFKA_E_COORDINATOR_NOT_AVAILABLE;
                if (!passes || leat_os_monotonic_us() - begun_us > WRITER_ID_WAIT_US)
                        break;
                leat_os_sleep_us(WRITER_BACKOFF_US);
        }
        LEAT_TRY(leat_feed_error(response.error_code, leat_view_of(NULL, 0), "producer id", err));
        w->producer_id = response.producer_id;
        w->producer_epoch = response.producer_epoch;
        return 0;
}

static int send_batch(struct leat_feed_writer *w, struct writer_batch *b, struct leat_error *err)
{
        struct leat_kafka_produce_request request;
        struct leat_kafka_produce_topic topic;
        struct leat_kafka_produce_partition part;
        struct leat_chain chain = LEAT_CHAIN_INIT;
        LEAT_KAFKA_INIT(produce_request, &request);
        LEAT_KAFKA_INIT(produce_topic, &topic);
        LEAT_KAFKA_INIT(produce_partition, &part);
        leat_chain_add(&chain, b->bytes, leat_view_of(b->bytes->data, b->bytes->len));
        part.index = b->partition;
        part.records.chain = &chain;
        part.records.view = leat_view_of(b->bytes->data, b->bytes->len);
        topic.name = leat_view_str(b->topic);
        topic.partition_data = &part;
        topic.partition_data_count = 1;
        request.transactional_id = leat_view_of(NULL, 0);
        request.acks = -1;
        request.timeout_ms = 30000;
        request.topic_data = &topic;
        request.topic_data_count = 1;
        int rc = leat_feed_conn_version(&w->conn, 0, 12, &w->version, err);
        if (rc == 0)
                rc = leat_feed_conn_send(w->feed, &w->conn, 0, w->version, &request, &b->correlation, err);
        leat_chain_done(&chain);
        if (rc == 0) {
                w->under_way++;
                w->under_way_bytes += b->bytes->len;
                w->parts[b->part].under_way++;
        }
        return rc;
}

/* The batch has its answer. */
static void land_batch(struct leat_feed_writer *w, struct writer_batch *b)
{
        w->under_way--;
        w->under_way_bytes -= b->bytes->len;
        w->parts[b->part].under_way--;
        b->correlation = -1;
}

/* Whether one more may be under way; the order is kept, so the others wait for it. */
static bool may_fly(const struct leat_feed_writer *w, const struct writer_batch *b)
{
        if (w->under_way >= WRITER_PART_FLIGHT && w->under_way_bytes + b->bytes->len > WRITER_FLIGHT_BYTES)
                return false;
        return w->under_way < WRITER_FLIGHT_MAX && w->parts[b->part].under_way < WRITER_PART_FLIGHT;
}

static void forget_flight(struct leat_feed_writer *w)
{
        for (struct writer_batch *b = w->first; b != NULL; b = b->next)
                b->correlation = -1;
        for (uint32_t i = 0; i < w->part_count; i++)
                w->parts[i].under_way = 0;
        w->under_way = 0;
        w->under_way_bytes = 0;
        w->resend = false;
}

/* Sends what may be sent now. */
static int pump(struct leat_feed_writer *w, struct leat_error *err)
{
        if (w->resend && w->under_way != 0)
                return 0;
        if (w->resend)
                forget_flight(w);
        if (w->first == NULL || leat_os_monotonic_us() < w->backoff_until_us)
                return 0;
        if (w->conn.fd < 0)
                forget_flight(w);
        int rc = leat_feed_conn_open(w->feed, &w->conn, leat_os_monotonic_us() + FEED_RETRY_US, err);
        for (struct writer_batch *b = w->first; rc == 0 && b != NULL; b = b->next) {
                if (b->correlation >= 0)
                        continue;
                if (!may_fly(w, b))
                        break;
                rc = send_batch(w, b, err);
        }
        if (rc == LEAT_ECLOSED || rc == LEAT_ETIMEOUT) {
                leat_feed_conn_close(&w->conn);
                w->backoff_until_us = leat_os_monotonic_us() + WRITER_BACKOFF_US;
                return 0;
        }
        return rc;
}

/* ---- answers -------------------------------------------------------------------------------------- */
static bool is_final(int code)
{
        return !leat_kafka_error_retriable(code) && code != LEAT_KAFKA_E_OUT_OF_ORDER_SEQUENCE_NUMBER;
}

static int take_answer(struct leat_feed_writer *w, struct leat_block *frame, struct leat_error *err)
{
        struct leat_kafka_produce_response response;
        struct leat_arena *arena = leat_arena_new(1024);
        struct leat_view bytes = leat_view_of(frame->data, frame->len);
        struct writer_batch *b = w->first;
        /* Answers come in order; batches before it may wait for being sent again. */
        while (b != NULL && b->correlation != leat_kafka_response_correlation(bytes))
                b = b->next;
        int rc = leat_kafka_response_decode(leat_kafka_api_find(0), w->version, bytes, arena, &response, err);
        if (rc == 0 &&
            (b == NULL || response.responses_count != 1 || response.responses[0].partition_responses_count != 1))
                rc = leat_error_set(err, LEAT_EPROTO,
                                    "the broker's answer to a Produce request fits none that was sent");
        if (rc == 0) {
                const struct leat_kafka_produced_partition *p = &response.responses[0].partition_responses[0];
                int code = p->error_code == LEAT_KAFKA_E_DUPLICATE_SEQUENCE_NUMBER ? 0 : p->error_code;
                struct leat_error error = {0};
                land_batch(w, b);
                if (code == 0 && !w->resend && b == w->first) {
                        w->refused.code = 0;
                        finish_batch(w, p->base_offset, NULL);
                } else if (code != 0 && is_final(code)) {
                        (void)leat_feed_error(code, p->error_message, b->topic, &error);
                        fail_all(w, &error);
                } else if (code == LEAT_KAFKA_E_OUT_OF_ORDER_SEQUENCE_NUMBER && !w->resend && b == w->first) {
                        (void)leat_feed_error(code, p->error_message, b->topic, &error);
                        fail_all(w, &error);
                } else {
                        if (code != 0 && code != LEAT_KAFKA_E_OUT_OF_ORDER_SEQUENCE_NUMBER)
                                (void)leat_feed_error(code, p->error_message, b->topic, &w->refused);
                        w->resend = true;
                        w->backoff_until_us = leat_os_monotonic_us() + WRITER_BACKOFF_US;
                }
        }
        leat_arena_free(arena);
        leat_block_unref(frame);
        return rc;
}

/* Out of time: the broker's own reason when it gave one. */
static int timed_out(const struct leat_feed_writer *w, struct leat_error *err)
{
        if (w->refused.code == 0)
                leat_error_set(err, LEAT_ETIMEOUT, "the broker has not acknowledged everything in time");
        else if (err != NULL)
                *err = w->refused;
        if (err != NULL)
                err->retriable = true;
        return w->refused.code == 0 ? LEAT_ETIMEOUT : w->refused.code;
}

static void give_up_old(struct leat_feed_writer *w)
{
        if (w->first == NULL || leat_os_monotonic_us() - w->first->queued_us < WRITER_GIVE_UP_US)
                return;
        struct leat_error error = {0};
        leat_error_set(&error, LEAT_ETIMEOUT, "topic \"%s\" partition %d: not durable after %lld s", w->first->topic,
                       w->first->partition, WRITER_GIVE_UP_US / 1000000);
        if (w->refused.code != 0)
                error = w->refused;
        error.retriable = true;
        fail_all(w, &error);
}

/* Whether so little waits that no more than @left batches are not durable, or (@left not 0) all of it is small. */
static bool is_light(const struct leat_feed_writer *w, uint32_t left)
{
        return w->waiting <= left ||
               (left > 0 && w->waiting < WRITER_FLIGHT_MAX && w->waiting_bytes < WRITER_FLIGHT_BYTES);
}

/* Sends and takes answers until @end_us, or until little enough waits (@left as in is_light). */
static int work(struct leat_feed_writer *w, uint32_t left, int64_t end_us, struct leat_error *err)
{
        for (;;) {
                struct leat_block *frame;
                LEAT_TRY(pump(w, err));
                if (is_light(w, left))
                        return 0;
                int64_t until_us =
                        w->under_way == 0
                                ? LEAT_MIN(end_us, LEAT_MAX(w->backoff_until_us, leat_os_monotonic_us() + 1000))
                                : end_us;
                if (w->under_way == 0) {
                        give_up_old(w);
                        if (leat_os_monotonic_us() >= end_us)
                                return timed_out(w, err);
                        leat_os_sleep_us(LEAT_MIN(until_us - leat_os_monotonic_us(), 5000));
                        continue;
                }
                int rc = leat_feed_conn_receive(w->feed, &w->conn, until_us, &frame, err);
                if (rc == 0)
                        rc = take_answer(w, frame, err);
                if (rc == LEAT_ECLOSED) {
                        forget_flight(w); /* no answers will come: all of it goes out again */
                        w->backoff_until_us = leat_os_monotonic_us() + FEED_RETRY_US;
                        continue;
                }
                if (rc == LEAT_ETIMEOUT && leat_os_monotonic_us() < end_us)
                        continue;
                if (rc == LEAT_ETIMEOUT)
                        return timed_out(w, err);
                if (rc != 0)
                        return rc;
        }
}

/* ---- the public side ---------------------------------------------------------------------------------- */
int leat_feed_writer_open(struct leat_feed *feed, struct leat_feed_writer **ret_writer, struct leat_error *err)
{
        struct leat_feed_writer *w = leat_calloc(1, sizeof *w);
        (void)err;
        w->feed = feed;
        w->producer_id = -1;
        leat_feed_conn_init(&w->conn);
        *ret_writer = w;
        return 0;
}

void leat_feed_writer_close(struct leat_feed_writer *w)
{
        struct leat_error error = {0};
        if (w == NULL)
                return;
        leat_error_set(&error, LEAT_ECLOSED, "the writer was closed");
        fail_all(w, &error);
        leat_kafka_builder_done(&w->builder);
        free(w->parts);
        free(w);
}

static struct writer_part *get_part(struct leat_feed_writer *w, const char *topic, int32_t partition)
{
        for (uint32_t i = 0; i < w->part_count; i++)
                if (w->parts[i].partition == partition && strcmp(w->parts[i].topic, topic) == 0)
                        return &w->parts[i];
        if (w->part_count == w->part_cap) {
                w->part_cap = w->part_cap == 0 ? 16 : w->part_cap * 2;
                w->parts = leat_realloc(w->parts, w->part_cap * sizeof *w->parts);
        }
        struct writer_part *p = &w->parts[w->part_count++];
        memset(p, 0, sizeof *p);
        snprintf(p->topic, sizeof p->topic, "%s", topic);
        p->partition = partition;
        return p;
}

/* Makes a batch of what the builder holds and puts it in line. */
static int queue_batch(struct leat_feed_writer *w, const char *topic, int32_t partition, int codec,
                       struct writer_send *send, struct leat_error *err)
{
        struct writer_part *p = get_part(w, topic, partition);
        struct leat_buf bytes = LEAT_BUF_INIT;
        int32_t count = w->builder.count;
        LEAT_TRY(leat_kafka_builder_finish(&w->builder, codec, w->producer_id, w->producer_epoch, p->sequence, &bytes,
                                           err));
        /* Sequence numbers go round at 2^31. */
        p->sequence = (int32_t)(((int64_t)p->sequence + count) & INT32_MAX);
        struct writer_batch *b = leat_calloc(1, sizeof *b);
        snprintf(b->topic, sizeof b->topic, "%s", topic);
        b->partition = partition;
        b->part = (uint32_t)(p - w->parts);
        b->bytes = leat_block_from_buf(&bytes);
        w->waiting++;
        w->waiting_bytes += b->bytes->len;
        b->queued_us = leat_os_monotonic_us();
        b->correlation = -1;
        b->send = send;
        send->left++;
        if (w->last == NULL)
                w->first = b;
        else
                w->last->next = b;
        w->last = b;
        return 0;
}

int leat_feed_send(struct leat_feed_writer *w, const char *topic, int32_t partition, const struct leat_record *records,
                   uint32_t count, int codec, leat_feed_done_fn *done, void *arg, struct leat_error *err)
{
        int64_t now_ms = leat_os_now_us() / 1000;
        if (count == 0)
                return leat_error_set(err, LEAT_EINVAL, "a send needs at least one record");
        if (w->producer_id < 0)
                LEAT_TRY(take_producer_id(w, err));
        LEAT_TRY(work(w, WRITER_PART_FLIGHT * 2, leat_os_monotonic_us() + WRITER_GIVE_UP_US, err));
        if (w->producer_id < 0) /* everything before was lost meanwhile */
                LEAT_TRY(take_producer_id(w, err));
        struct writer_send *send = leat_calloc(1, sizeof *send);
        send->done = done;
        send->arg = arg;
        send->first_offset = -1;
        send->left = 1; /* held until all batches are in line */
        int rc = 0;
        for (uint32_t i = 0; rc == 0 && i < count; i++) {
                struct leat_record r = records[i];
                size_t bytes = leat_kafka_builder_bytes(&w->builder) + r.key.len + r.value.len + r.headers.len + 64;
                if (w->builder.count != 0 && bytes > WRITER_BATCH_BYTES)
                        rc = queue_batch(w, topic, partition, codec, send, err);
                if (r.timestamp_ms == 0)
                        r.timestamp_ms = now_ms;
                if (rc == 0)
                        leat_kafka_builder_add(&w->builder, &r);
        }
        if (rc == 0)
                rc = queue_batch(w, topic, partition, codec, send, err);
        send->left--;
        if (rc != 0 && send->left == 0) {
                free(send);
                return rc;
        }
        return rc != 0 ? rc : pump(w, err);
}

int leat_feed_flush(struct leat_feed_writer *w, int64_t timeout_us, struct leat_error *err)
{
        return work(w, 0, leat_os_monotonic_us() + timeout_us, err);
}

int leat_feed_service(struct leat_feed_writer *w, struct leat_error *err)
{
        struct leat_error own = {0};
        int rc = work(w, 0, leat_os_monotonic_us(), &own);
        if (rc == 0 || rc == LEAT_ETIMEOUT || rc == w->refused.code)
                return 0;
        if (err != NULL)
                *err = own;
        return rc;
}
