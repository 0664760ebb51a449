/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/broker: CreateTopics, DeleteTopics, CreatePartitions, InitProducerId.
 *
 * All run on the admin thread, since the log makes each change durable before
 * it returns. Error messages are Apache Kafka's where it has one.
 */
#include <inttypes.h>
#include <stdio.h>

#include "broker_int.h"

#define CREATE_TOPICS_MAX 10000 /* of one request */

/* ---- CreateTopics ------------------------------------------------------------------------------------ */

static int16_t refuse(struct leat_kafka_created_topic *out, int16_t code, struct leat_view message)
{
        out->error_code = code;
        out->error_message = message;
        return code;
}

/* Partitions from an explicit assignment, all of them on our one node; 0 when it is not that. */
static uint32_t assigned_partitions(struct leat_arena *arena, const struct leat_kafka_create_topic *in)
{
        uint32_t count = (uint32_t)in->assignments_count;
        bool *seen = leat_arena_zalloc(arena, count * sizeof(*seen));
        for (uint32_t i = 0; i < count; i++) {
                const struct leat_kafka_create_topic_assignment *a = &in->assignments[i];
                if (a->broker_ids_count != 1 || a->broker_ids[0] != BROKER_NODE_ID || a->partition_index < 0 ||
                    (uint32_t)a->partition_index >= count || seen[a->partition_index])
                        return 0;
                seen[a->partition_index] = true;
        }
        return count;
}

static int16_t shape_check(struct leat_arena *arena, const struct leat_kafka_create_topic *in,
                           struct leat_kafka_created_topic *out, uint32_t *ret_partitions)
{
        if (in->assignments_count > 0) {
                if (in->num_partitions != -1 || in->replication_factor != -1)
                        return refuse(out, LEAT_KAFKA_E_INVALID_REQUEST,
                                      leat_broker_text(arena, "A manual partition assignment was specified, but "
                                                              "numPartitions or replicationFactor was "
                                                              "not set to -1."));
                *ret_partitions = in->assignments_count > LEAT_LOG_PARTITIONS_MAX ? 0 : assigned_partitions(arena, in);
                if (*ret_partitions == 0)
                        return refuse(
                                out, LEAT_KAFKA_E_INVALID_REPLICA_ASSIGNMENT,
                                leat_broker_text(arena,
                                                 "Partitions must be numbered from 0 without gaps, each on node %d, "
                                                 "the only one.",
                                                 BROKER_NODE_ID));
                return 0;
        }
        if (in->replication_factor != -1 && in->replication_factor != 1)
                return refuse(
                        out, LEAT_KAFKA_E_INVALID_REPLICATION_FACTOR,
                        in->replication_factor < 1
                                ? leat_broker_text(
                                          arena,
                                          "Replication factor must be larger than 0, or -1 to use the default value.")
                                : leat_broker_text(
                                          arena,
                                          "Unable to replicate the partition %d time(s): The target replication factor "
                                          "of %d cannot be reached because only 1 broker(s) are registered.",
                                          in->replication_factor, in->replication_factor));
        if (in->num_partitions != -1 && in->num_partitions < 1)
                return refuse(
                        out, LEAT_KAFKA_E_INVALID_PARTITIONS,
                        leat_broker_text(arena, "Number of partitions was set to an invalid non-positive value."));
        if (in->num_partitions > LEAT_LOG_PARTITIONS_MAX)
                return refuse(out, LEAT_KAFKA_E_INVALID_PARTITIONS,
                              leat_broker_text(arena, "A topic has at most %d partitions.", LEAT_LOG_PARTITIONS_MAX));
        *ret_partitions = in->num_partitions == -1 ? (uint32_t)leat_param(LEAT_P_BROKER_DEFAULT_PARTITIONS)
                                                   : (uint32_t)in->num_partitions;
        return 0;
}

static bool named_twice(const struct leat_kafka_create_topics_request *msg, int32_t index)
{
        for (int32_t i = 0; i < msg->topics_count; i++) {
                if (i != index && leat_view_eq(msg->topics[i].name, msg->topics[index].name))
                        return true;
        }
        return false;
}

/* All checks; 0 when the topic can be made. */
static int16_t topic_check(struct broker_request *req, int32_t index, struct leat_kafka_created_topic *out,
                           uint32_t *ret_partitions)
{
        const struct leat_kafka_create_topics_request *msg = req->message;
        const struct leat_kafka_create_topic *in = &msg->topics[index];
        if (named_twice(msg, index))
                return refuse(out, LEAT_KAFKA_E_INVALID_REQUEST, leat_broker_text(req->arena, "Duplicate topic name."));
        const char *bad = leat_broker_topic_name_bad(req->arena, in->name);
        if (bad != NULL)
                return refuse(out, LEAT_KAFKA_E_INVALID_TOPIC_EXCEPTION, leat_view_str(bad));
        struct leat_log_topic *topic = leat_log_topic_find(req->home->broker->log, in->name);
        if (topic != NULL) {
                leat_log_topic_unref(topic);
                return refuse(
                        out, LEAT_KAFKA_E_TOPIC_ALREADY_EXISTS,
                        leat_broker_text(req->arena, "Topic '%.*s' already exists.", (int)in->name.len, in->name.data));
        }
        if (shape_check(req->arena, in, out, ret_partitions) != 0)
                return out->error_code;
        for (int32_t i = 0; i < in->configs_count; i++) {
                struct leat_view message;
                int16_t code =
                        leat_broker_config_check(req->arena, in->configs[i].name, in->configs[i].value, &message);
                if (code != 0)
                        return refuse(out, code, message);
        }
        return 0;
}

static void topic_create(struct broker_request *req, int32_t index, struct leat_kafka_created_topic *out)
{
        const struct leat_kafka_create_topics_request *msg = req->message;
        const struct leat_kafka_create_topic *in = &msg->topics[index];
        struct leat_error err;
        uint32_t partitions, count = 0;
        out->name = in->name;
        out->configs_count = -1;
        if (topic_check(req, index, out, &partitions) != 0)
                return;
        struct leat_log_config *configs = leat_arena_alloc(req->arena, (size_t)in->configs_count * sizeof(*configs));
        for (int32_t i = 0; i < in->configs_count; i++) {
                if (in->configs[i].value.data == NULL)
                        continue; /* the default */
                configs[count].name =
                        leat_arena_strndup(req->arena, (const char *)in->configs[i].name.data, in->configs[i].name.len);
                configs[count++].value = leat_arena_strndup(req->arena, (const char *)in->configs[i].value.data,
                                                            in->configs[i].value.len);
        }
        out->num_partitions = (int32_t)partitions;
        out->replication_factor = 1;
        if (msg->validate_only)
                return;
        const char *name = leat_arena_strndup(req->arena, (const char *)in->name.data, in->name.len);
        struct leat_log_topic *topic;
        if (leat_log_topic_create(req->home->broker->log, name, partitions, configs, count, &topic, &err) != 0) {
                out->num_partitions = out->replication_factor = -1;
                refuse(out, leat_broker_error_of(&err), leat_broker_error_message(req->arena, &err));
                return;
        }
        out->topic_id = broker_topic_id(topic);
        out->configs = leat_broker_config_created(req->arena, topic, &out->configs_count);
        leat_diag(LEAT_DIAG_INFO, "broker", "topic created", "topic=%s partitions=%u", name, partitions);
        leat_log_topic_unref(topic);
}

static void create_topics_answer(void *arg)
{
        struct broker_request *req = arg;
        leat_broker_respond(req, req->op);
}

static void create_topics_run(void *arg)
{
        struct broker_request *req = arg;
        const struct leat_kafka_create_topics_request *msg = req->message;
        struct leat_kafka_create_topics_response *res = req->op;
        res->topics = LEAT_KAFKA_NEW(req->arena, created_topic, (size_t)msg->topics_count);
        res->topics_count = msg->topics_count;
        for (int32_t i = 0; i < msg->topics_count; i++)
                topic_create(req, i, &res->topics[i]);
        leat_broker_go_home(req, create_topics_answer);
}

void leat_broker_create_topics(struct broker_request *req)
{
        const struct leat_kafka_create_topics_request *msg = req->message;
        if (msg->topics_count > CREATE_TOPICS_MAX) {
                leat_broker_respond_close(req, "CreateTopics with too many topics");
                return;
        }
        req->op = LEAT_KAFKA_NEW(req->arena, create_topics_response, 1);
        leat_broker_go_admin(req, create_topics_run);
}

/* ---- DeleteTopics -------------------------------------------------------------------------------------- */

static void topic_delete(struct broker_request *req, struct leat_view name, const struct leat_topic_id *id,
                         struct leat_kafka_deleted_topic *out)
{
        struct leat_broker *broker = req->home->broker;
        struct leat_error err;
        char labels[LEAT_STATS_LABEL_BYTES];
        out->name = name;
        out->topic_id = *id;
        if (name.data != NULL && !broker_topic_id_none(id)) {
                out->error_code = LEAT_KAFKA_E_INVALID_REQUEST;
                out->error_message = leat_view_str("You may not specify both topic name and topic id.");
                return;
        }
        struct leat_log_topic *topic = leat_broker_topic_lookup(broker, name, id, &out->error_code);
        if (topic == NULL) {
                out->error_message = leat_view_str(leat_kafka_error_text(out->error_code));
                return;
        }
        out->name = leat_view_str(leat_arena_strdup(req->arena, topic->name));
        out->topic_id = broker_topic_id(topic);
        if (leat_log_topic_delete(broker->log, topic->id, &err) != 0) {
                out->error_code = leat_broker_error_of(&err);
                out->error_message = leat_broker_error_message(req->arena, &err);
        } else {
                leat_diag(LEAT_DIAG_INFO, "broker", "topic deleted", "topic=%s", topic->name);
                snprintf(labels, sizeof(labels), "topic=\"%s\"", topic->name);
                leat_stats_drop(broker->stats, labels);
                for (uint32_t i = 0; i < topic->partitions; i++) {
                        snprintf(labels, sizeof(labels), "topic=\"%s\",partition=\"%u\"", topic->name, i);
                        leat_stats_drop(broker->stats, labels);
                }
        }
        leat_log_topic_unref(topic);
}

static void delete_topics_answer(void *arg)
{
        struct broker_request *req = arg;
        leat_broker_respond(req, req->op);
}

static void delete_topics_run(void *arg)
{
        static const struct leat_topic_id none;
        struct broker_request *req = arg;
        const struct leat_kafka_delete_topics_request *msg = req->message;
        struct leat_kafka_delete_topics_response *res = req->op;
        int32_t count = req->header.api_version >= 6 ? msg->topics_count : msg->topic_names_count;
        res->responses = LEAT_KAFKA_NEW(req->arena, deleted_topic, (size_t)count);
        res->responses_count = count;
        for (int32_t i = 0; i < count; i++) {
                if (req->header.api_version >= 6)
                        topic_delete(req, msg->topics[i].name, &msg->topics[i].topic_id, &res->responses[i]);
                else
                        topic_delete(req, msg->topic_names[i], &none, &res->responses[i]);
        }
        leat_broker_go_home(req, delete_topics_answer);
}

void leat_broker_delete_topics(struct broker_request *req)
{
        req->op = LEAT_KAFKA_NEW(req->arena, delete_topics_response, 1);
        leat_broker_go_admin(req, delete_topics_run);
}

/* ---- CreatePartitions ------------------------------------------------------------------------------------ */

static int16_t grow_check(struct broker_request *req, const struct leat_kafka_create_partitions_topic *in, uint32_t now,
                          struct leat_kafka_created_partitions *out)
{
        if (in->count <= (int32_t)now) {
                out->error_message =
                        in->count == (int32_t)now
                                ? leat_broker_text(req->arena, "Topic already has %u partition(s).", now)
                                : leat_broker_text(req->arena,
                                                   "The topic %.*s currently has %u partition(s); %d would not be an "
                                                   "increase.",
                                                   (int)in->name.len, in->name.data, now, in->count);
                return LEAT_KAFKA_E_INVALID_PARTITIONS;
        }
        if (in->count > LEAT_LOG_PARTITIONS_MAX) {
                out->error_message =
                        leat_broker_text(req->arena, "A topic has at most %d partitions.", LEAT_LOG_PARTITIONS_MAX);
                return LEAT_KAFKA_E_INVALID_PARTITIONS;
        }
        if (in->assignments_count < 0)
                return 0;
        bool fits = in->assignments_count == in->count - (int32_t)now;
        for (int32_t i = 0; i < in->assignments_count && fits; i++)
                fits = in->assignments[i].broker_ids_count == 1 && in->assignments[i].broker_ids[0] == BROKER_NODE_ID;
        if (fits)
                return 0;
        out->error_message = leat_broker_text(req->arena, "Each of the %d new partitions must be assigned to node %d.",
                                              in->count - (int32_t)now, BROKER_NODE_ID);
        return LEAT_KAFKA_E_INVALID_REPLICA_ASSIGNMENT;
}

static void topic_grow(struct broker_request *req, const struct leat_kafka_create_partitions_topic *in,
                       struct leat_kafka_created_partitions *out)
{
        struct leat_broker *broker = req->home->broker;
        const struct leat_kafka_create_partitions_request *msg = req->message;
        struct leat_error err;
        out->name = in->name;
        struct leat_log_topic *topic = leat_broker_topic_lookup(broker, in->name, NULL, &out->error_code);
        if (topic == NULL) {
                out->error_message = leat_view_str(leat_kafka_error_text(out->error_code));
                return;
        }
        out->error_code = grow_check(req, in, topic->partitions, out);
        if (out->error_code == 0 && !msg->validate_only &&
            leat_log_topic_grow(broker->log, topic->id, (uint32_t)in->count, &err) != 0) {
                out->error_code = leat_broker_error_of(&err);
                out->error_message = leat_broker_error_message(req->arena, &err);
        }
        leat_log_topic_unref(topic);
}

static void create_partitions_answer(void *arg)
{
        struct broker_request *req = arg;
        leat_broker_respond(req, req->op);
}

static void create_partitions_run(void *arg)
{
        struct broker_request *req = arg;
        const struct leat_kafka_create_partitions_request *msg = req->message;
        struct leat_kafka_create_partitions_response *res = req->op;
        res->results = LEAT_KAFKA_NEW(req->arena, created_partitions, (size_t)msg->topics_count);
        res->results_count = msg->topics_count;
        for (int32_t i = 0; i < msg->topics_count; i++)
                topic_grow(req, &msg->topics[i], &res->results[i]);
        leat_broker_go_home(req, create_partitions_answer);
}

void leat_broker_create_partitions(struct broker_request *req)
{
        req->op = LEAT_KAFKA_NEW(req->arena, create_partitions_response, 1);
        leat_broker_go_admin(req, create_partitions_run);
}

/* ---- InitProducerId ---------------------------------------------------------------------------------------- */

static void init_producer_answer(void *arg)
{
        struct broker_request *req = arg;
        leat_broker_respond(req, req->op);
}

static void init_producer_run(void *arg)
{
        struct broker_request *req = arg;
        struct leat_kafka_init_producer_id_response *res = req->op;
        struct leat_error err;
        if (leat_log_producer_ids(req->home->broker->log, 1, &res->producer_id, &err) != 0) {
                res->producer_id = -1;
                res->error_code = leat_broker_error_of(&err);
                leat_diag_error("broker", "no producer id", &err);
        } else {
                res->producer_epoch = 0;
        }
        leat_broker_go_home(req, init_producer_answer);
}

void leat_broker_init_producer_id(struct broker_request *req)
{
        const struct leat_kafka_init_producer_id_request *msg = req->message;
        struct leat_kafka_init_producer_id_response *res = LEAT_KAFKA_NEW(req->arena, init_producer_id_response, 1);
        req->op = res;
        if (msg->transactional_id.data != NULL) {
                /* The protocol has no message here; the log names the reason. */
                leat_diag(LEAT_DIAG_WARN, "broker", "transactions are not supported", "transactional_id=%.*s",
                          (int)LEAT_MIN(msg->transactional_id.len, (size_t)100), msg->transactional_id.data);
                res->error_code = LEAT_KAFKA_E_UNSUPPORTED_VERSION;
                leat_broker_respond(req, res);
                return;
        }
        leat_broker_go_admin(req, init_producer_run);
}
