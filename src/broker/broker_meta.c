/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/broker: Metadata, DescribeCluster, DescribeTopicPartitions.
 *
 * One node leads everything. Its address is the one by which the client reached
 * us, so that no address needs to be configured. Metadata makes a missing topic
 * (parameter broker.auto.create) on the admin thread, then answers.
 */
#include <stdio.h>

#include "broker_int.h"

#define METADATA_PARTITIONS_MAX 500000 /* of one answer */
#define AUTO_CREATE_MAX 1000           /* topics made by one request */

/* AclOperation bits: all that exist for a topic, and for the cluster. */
#define TOPIC_OPERATIONS 0x0df8
#define CLUSTER_OPERATIONS 0x1fa0

/* Splits "127.0.0.1:9092" or "[::1]:9092". */
static struct leat_view address_split(const char *text, int32_t *ret_port)
{
        const char *colon = strrchr(text, ':');
        if (colon == NULL) {
                *ret_port = 0;
                return leat_view_str(text);
        }
        *ret_port = (int32_t)strtol(colon + 1, NULL, 10);
        if (text[0] == '[')
                return leat_view_of(text + 1, (size_t)(colon - text) - 2);
        return leat_view_of(text, (size_t)(colon - text));
}

/* ---- Metadata --------------------------------------------------------------------------------------- */

static int32_t *one_node(struct leat_arena *arena)
{
        int32_t *nodes = leat_arena_alloc(arena, sizeof(*nodes));
        nodes[0] = BROKER_NODE_ID;
        return nodes;
}

static void topic_fill(struct broker_request *req, const struct leat_log_topic *topic,
                       struct leat_kafka_metadata_topic *out)
{
        const struct leat_kafka_metadata_request *msg = req->message;
        int32_t epoch = leat_log_epoch(req->home->broker->log), *nodes = one_node(req->arena);
        out->name = leat_view_str(leat_arena_strdup(req->arena, topic->name));
        out->topic_id = broker_topic_id(topic);
        out->is_internal = leat_broker_topic_internal(topic->name);
        out->partitions = LEAT_KAFKA_NEW(req->arena, metadata_partition, topic->partitions);
        out->partitions_count = (int32_t)topic->partitions;
        for (uint32_t i = 0; i < topic->partitions; i++) {
                struct leat_kafka_metadata_partition *part = &out->partitions[i];
                part->partition_index = (int32_t)i;
                part->leader_id = BROKER_NODE_ID;
                part->leader_epoch = epoch;
                part->replica_nodes = part->isr_nodes = nodes;
                part->replica_nodes_count = part->isr_nodes_count = 1;
        }
        if (msg->include_topic_authorized_operations)
                out->topic_authorized_operations = TOPIC_OPERATIONS;
}

static void all_topics_fill(struct broker_request *req, struct leat_kafka_metadata_response *res)
{
        struct leat_log_topic **topics;
        uint32_t count = leat_log_topics(req->home->broker->log, &topics);
        res->topics = LEAT_KAFKA_NEW(req->arena, metadata_topic, count);
        res->topics_count = (int32_t)count;
        for (uint32_t i = 0; i < count; i++) {
                topic_fill(req, topics[i], &res->topics[i]);
                leat_log_topic_unref(topics[i]);
        }
        free(topics);
}

/* @budget: partitions that the answer may still hold; a request that names a large topic many times ends there. */
static void named_topic_fill(struct broker_request *req, const struct leat_kafka_metadata_request_topic *in,
                             int64_t *budget, struct leat_kafka_metadata_topic *out)
{
        int16_t error = 0;
        struct leat_log_topic *topic = leat_broker_topic_lookup(req->home->broker, in->name, &in->topic_id, &error);
        if (topic != NULL && (*budget -= topic->partitions) >= 0) {
                topic_fill(req, topic, out);
                leat_log_topic_unref(topic);
                return;
        }
        if (topic != NULL)
                error = LEAT_KAFKA_E_INVALID_REQUEST;
        leat_log_topic_unref(topic);
        if (in->name.data != NULL && leat_broker_topic_name_bad(req->arena, in->name) != NULL)
                error = LEAT_KAFKA_E_INVALID_TOPIC_EXCEPTION;
        out->error_code = error;
        out->name = in->name;
        out->topic_id = in->topic_id;
        /* Before version 12 the name is never null. */
        if (out->name.data == NULL && req->header.api_version < 12)
                out->name = leat_view_of("", 0);
}

static bool wants_all(const struct broker_request *req)
{
        const struct leat_kafka_metadata_request *msg = req->message;
        return req->header.api_version == 0 ? msg->topics_count == 0 : msg->topics_count < 0;
}

static void metadata_answer(void *arg)
{
        struct broker_request *req = arg;
        struct leat_broker *broker = req->home->broker;
        const struct leat_kafka_metadata_request *msg = req->message;
        struct leat_kafka_metadata_response res;
        struct leat_kafka_metadata_broker node;
        int64_t budget = METADATA_PARTITIONS_MAX;
        LEAT_KAFKA_INIT(metadata_response, &res);
        LEAT_KAFKA_INIT(metadata_broker, &node);
        node.node_id = BROKER_NODE_ID;
        node.host = address_split(req->local, &node.port);
        res.brokers = &node;
        res.brokers_count = 1;
        res.cluster_id = leat_view_str(broker->cluster_id);
        res.controller_id = BROKER_NODE_ID;
        if (msg->include_cluster_authorized_operations)
                res.cluster_authorized_operations = CLUSTER_OPERATIONS;
        if (wants_all(req)) {
                all_topics_fill(req, &res);
        } else {
                res.topics = LEAT_KAFKA_NEW(req->arena, metadata_topic, (size_t)msg->topics_count);
                res.topics_count = msg->topics_count;
                for (int32_t i = 0; i < msg->topics_count; i++)
                        named_topic_fill(req, &msg->topics[i], &budget, &res.topics[i]);
        }
        leat_broker_respond(req, &res);
}

/* True when the topic is not there and may be made by being asked for. */
static bool may_create(const struct broker_request *req, const struct leat_kafka_metadata_request_topic *in)
{
        const struct leat_kafka_metadata_request *msg = req->message;
        int16_t error;
        if (!leat_param(LEAT_P_BROKER_AUTO_CREATE) || !msg->allow_auto_topic_creation || in->name.data == NULL ||
            leat_broker_topic_name_bad(req->arena, in->name) != NULL ||
            (in->name.len >= 2 && memcmp(in->name.data, "__", 2) == 0))
                return false;
        struct leat_log_topic *topic = leat_broker_topic_lookup(req->home->broker, in->name, &in->topic_id, &error);
        leat_log_topic_unref(topic);
        return topic == NULL;
}

/* Thread: admin. */
static void metadata_create(void *arg)
{
        struct broker_request *req = arg;
        const struct leat_kafka_metadata_request *msg = req->message;
        for (int32_t i = 0, made = 0; i < msg->topics_count && made < AUTO_CREATE_MAX; i++) {
                struct leat_error err;
                struct leat_log_topic *topic = NULL;
                if (!may_create(req, &msg->topics[i]))
                        continue;
                const char *name =
                        leat_arena_strndup(req->arena, (const char *)msg->topics[i].name.data, msg->topics[i].name.len);
                int rc = leat_log_topic_create(req->home->broker->log, name,
                                               (uint32_t)leat_param(LEAT_P_BROKER_DEFAULT_PARTITIONS), NULL, 0, &topic,
                                               &err);
                if (rc == 0)
                        leat_diag(LEAT_DIAG_INFO, "broker", "topic created on first use", "topic=%s", name);
                else if (rc != LEAT_EEXISTS)
                        leat_diag_error("broker", "topic not created", &err);
                if (rc == 0)
                        leat_log_topic_unref(topic);
                made++;
        }
        leat_broker_go_home(req, metadata_answer);
}

void leat_broker_metadata(struct broker_request *req)
{
        const struct leat_kafka_metadata_request *msg = req->message;
        if (!wants_all(req)) {
                for (int32_t i = 0; i < msg->topics_count; i++) {
                        if (may_create(req, &msg->topics[i])) {
                                leat_broker_go_admin(req, metadata_create);
                                return;
                        }
                }
        }
        metadata_answer(req);
}

/* ---- DescribeCluster ----------------------------------------------------------------------------------- */

void leat_broker_describe_cluster(struct broker_request *req)
{
        const struct leat_kafka_describe_cluster_request *msg = req->message;
        struct leat_kafka_describe_cluster_response res;
        struct leat_kafka_described_broker node;
        LEAT_KAFKA_INIT(describe_cluster_response, &res);
        LEAT_KAFKA_INIT(described_broker, &node);
        if (msg->endpoint_type != 1) {
                res.error_code = msg->endpoint_type == 2 ? LEAT_KAFKA_E_MISMATCHED_ENDPOINT_TYPE
                                                         : LEAT_KAFKA_E_UNSUPPORTED_ENDPOINT_TYPE;
                res.error_message = leat_broker_text(req->arena, "This is a broker, not an endpoint of type %d.",
                                                     msg->endpoint_type);
                res.cluster_id = leat_view_of("", 0);
                leat_broker_respond(req, &res);
                return;
        }
        node.broker_id = BROKER_NODE_ID;
        node.host = address_split(req->local, &node.port);
        res.cluster_id = leat_view_str(req->home->broker->cluster_id);
        res.controller_id = BROKER_NODE_ID;
        res.brokers = &node;
        res.brokers_count = 1;
        if (msg->include_cluster_authorized_operations)
                res.cluster_authorized_operations = CLUSTER_OPERATIONS;
        leat_broker_respond(req, &res);
}

/* ---- DescribeTopicPartitions ------------------------------------------------------------------------------ */

#define DESCRIBE_PARTITIONS_MAX 2000

static void described_fill(struct broker_request *req, const struct leat_log_topic *topic, uint32_t first,
                           uint32_t count, struct leat_kafka_described_topic *out)
{
        int32_t *nodes = one_node(req->arena), epoch = leat_log_epoch(req->home->broker->log);
        out->name = leat_view_str(leat_arena_strdup(req->arena, topic->name));
        out->topic_id = broker_topic_id(topic);
        out->is_internal = leat_broker_topic_internal(topic->name);
        out->topic_authorized_operations = TOPIC_OPERATIONS;
        out->partitions = LEAT_KAFKA_NEW(req->arena, described_partition, count);
        out->partitions_count = (int32_t)count;
        for (uint32_t i = 0; i < count; i++) {
                struct leat_kafka_described_partition *part = &out->partitions[i];
                part->partition_index = (int32_t)(first + i);
                part->leader_id = BROKER_NODE_ID;
                part->leader_epoch = epoch;
                part->replica_nodes = part->isr_nodes = nodes;
                part->replica_nodes_count = part->isr_nodes_count = 1;
        }
}

struct describe {
        struct broker_request *req;
        struct leat_kafka_describe_topic_partitions_response res;
        uint32_t left; /* partitions that still fit */
        bool full;
};

/* Adds one topic from @first on; what does not fit becomes the cursor. */
static void describe_add(struct describe *d, const struct leat_log_topic *topic, uint32_t first)
{
        struct leat_arena *arena = d->req->arena;
        if (first > topic->partitions)
                first = topic->partitions;
        uint32_t count = LEAT_MIN(topic->partitions - first, d->left);
        if (count > 0)
                described_fill(d->req, topic, first, count, &d->res.topics[d->res.topics_count++]);
        d->left -= count;
        if (first + count < topic->partitions) {
                d->full = true;
                d->res.next_cursor = LEAT_KAFKA_NEW(arena, described_topic_cursor, 1);
                d->res.next_cursor->topic_name = leat_view_str(leat_arena_strdup(arena, topic->name));
                d->res.next_cursor->partition_index = (int32_t)(first + count);
        }
}

static int view_compare(struct leat_view a, struct leat_view b)
{
        int cmp = memcmp(a.data, b.data, LEAT_MIN(a.len, b.len));
        return cmp != 0 ? cmp : (a.len > b.len) - (a.len < b.len);
}

static int topic_compare(const void *a, const void *b)
{
        return view_compare(((const struct leat_kafka_describe_topic *)a)->name,
                            ((const struct leat_kafka_describe_topic *)b)->name);
}

/* All topics when the request names none. */
static void describe_all_names(struct broker_request *req, struct leat_kafka_describe_topic_partitions_request *msg)
{
        struct leat_log_topic **topics;
        uint32_t count = leat_log_topics(req->home->broker->log, &topics);
        msg->topics = LEAT_KAFKA_NEW(req->arena, describe_topic, count);
        msg->topics_count = (int32_t)count;
        for (uint32_t i = 0; i < count; i++) {
                msg->topics[i].name = leat_view_str(leat_arena_strdup(req->arena, topics[i]->name));
                leat_log_topic_unref(topics[i]);
        }
        free(topics);
}

void leat_broker_describe_topic_partitions(struct broker_request *req)
{
        struct leat_kafka_describe_topic_partitions_request *msg = req->message;
        struct describe d = {.req = req};
        LEAT_KAFKA_INIT(describe_topic_partitions_response, &d.res);
        d.left = (uint32_t)LEAT_MIN(LEAT_MAX(msg->response_partition_limit, 1), DESCRIBE_PARTITIONS_MAX);
        if (msg->topics_count == 0)
                describe_all_names(req, msg);
        qsort(msg->topics, (size_t)msg->topics_count, sizeof(msg->topics[0]), topic_compare);
        d.res.topics = LEAT_KAFKA_NEW(req->arena, described_topic, (size_t)msg->topics_count);
        for (int32_t i = 0; i < msg->topics_count && !d.full; i++) {
                struct leat_view name = msg->topics[i].name;
                uint32_t first = 0;
                int16_t error = 0;
                if (msg->cursor != NULL) {
                        int cmp = view_compare(name, msg->cursor->topic_name);
                        if (cmp < 0)
                                continue;
                        if (cmp == 0)
                                first = (uint32_t)LEAT_MAX(msg->cursor->partition_index, 0);
                }
                struct leat_log_topic *topic = leat_broker_topic_lookup(req->home->broker, name, NULL, &error);
                if (topic != NULL) {
                        describe_add(&d, topic, first);
                        leat_log_topic_unref(topic);
                } else {
                        struct leat_kafka_described_topic *out = &d.res.topics[d.res.topics_count++];
                        out->error_code = leat_broker_topic_name_bad(req->arena, name) != NULL
                                                  ? LEAT_KAFKA_E_INVALID_TOPIC_EXCEPTION
                                                  : error;
                        out->name = name;
                }
        }
        leat_broker_respond(req, &d.res);
}
