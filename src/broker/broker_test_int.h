/* SPDX-License-Identifier: Apache-2.0 */
/* A broker in the test's own process, and a blocking client made of the codec's client side. */
#ifndef LEAT_BROKER_TEST_INT_H
#define LEAT_BROKER_TEST_INT_H

#include "leat/batch.h"
#include "leat/broker.h"
#include "leat/kafka.h"
#include "leat/log.h"
#include "leat/os.h"
#include "leat/test.h"

struct rig {
        struct leat_broker *broker;
        struct leat_arena *arena; /* what answers point into */
        uint16_t port;
        char *dir;
};

struct client {
        struct rig *rig;
        int fd;
        int32_t next_id;
};

void rig_start(struct rig *rig);
/* Stops it and starts it again on the same data. */
void rig_restart(struct rig *rig);
void rig_stop(struct rig *rig);
void client_open(struct rig *rig, struct client *client);
void client_close(struct client *client);
/* Sends a request; the correlation id counts from 1. */
void client_send(struct client *client, int16_t key, int16_t version, const void *message);
/* Reads one answer, which must be that of correlation id @id. */
void client_receive(struct client *client, int16_t key, int16_t version, int32_t id, void *ret_message);
void client_call(struct client *client, int16_t key, int16_t version, const void *message, void *ret_message);
/* Returns when a fetch waits in the partition; fails when none does within half a minute. */
void wait_parked(struct rig *rig, struct leat_topic_id topic, uint32_t partition);
/* True when the broker closes the connection within half a minute without sending more. */
bool client_is_closed(struct client *client);

/* One batch of @count records "v0" "v1" …, keys "k" when @keys, timestamps @time_ms, +1, +2 … */
struct leat_view batch_of(struct rig *rig, int count, int64_t time_ms, int codec, bool keys);
/* As above, of an idempotent producer. */
struct leat_view batch_from(struct rig *rig, int count, int64_t producer_id, int16_t epoch, int32_t sequence);
struct leat_topic_id topic_make(struct client *client, const char *name, int32_t partitions, const char *config,
                                const char *value);
/* Produces to one partition at @version (13 by topic id) and returns its answer. */
struct leat_kafka_produced_partition produce_at(struct client *client, int16_t version, int16_t acks, const char *topic,
                                                int32_t partition, struct leat_view records);
struct leat_kafka_produced_partition produce(struct client *client, const char *topic, int32_t partition,
                                             struct leat_view records);
struct fetch_args {
        const char *topic;
        int32_t partition;
        int64_t offset;
        int32_t max_bytes, partition_max_bytes, min_bytes, max_wait_ms;
        int32_t session_id, session_epoch;
};
/* A request for one partition (none when topic is NULL), in the arena. */
struct leat_kafka_fetch_request *fetch_request(struct client *client, int16_t version, const struct fetch_args *args);
/* Asks for one partition and returns its answer. */
struct leat_kafka_fetched_partition fetch_at(struct client *client, int16_t version, const struct fetch_args *args);
/* The number of records in fetched batches, offsets checked to go on from the first. */
int records_count(struct leat_view batches);

#endif
