/* SPDX-License-Identifier: Apache-2.0 */
/* Everything but produce and fetch, and connections that misbehave. */
#include <pthread.h>

#include "broker_test_int.h"

#define NOW_MS (leat_os_now_us() / 1000)

LEAT_TEST(api_versions)
{
        struct rig rig;
        struct client client;
        struct leat_kafka_api_versions_request req;
        struct leat_kafka_api_versions_response res;
        rig_start(&rig);
        client_open(&rig, &client);
        LEAT_KAFKA_INIT(api_versions_request, &req);
        req.client_software_name = leat_view_str("test");
        req.client_software_version = leat_view_str("1");
        for (int16_t version = 0; version <= 4; version++) {
                client_call(&client, LEAT_KAFKA_API_VERSIONS, version, &req, &res);
                CHECK_INT(res.error_code, 0);
                CHECK_INT(res.api_keys_count, 15);
        }
        /* A client from the future learns at version 0 what is spoken here, and goes on. */
        static const uint8_t future[] = {0, 0, 0, 13, 0, 18, 0, 99, 0, 0, 0, 6, 0xff, 0xff, 0, 1, 2};
        CHECK_INT(leat_os_send(client.fd, future, sizeof(future)), sizeof(future));
        client_receive(&client, LEAT_KAFKA_API_VERSIONS, 4, 6, &res);
        CHECK_INT(res.error_code, LEAT_KAFKA_E_UNSUPPORTED_VERSION);
        CHECK_INT(res.api_keys_count, 15);
        client_call(&client, LEAT_KAFKA_API_VERSIONS, 0, &req, &res);
        CHECK_INT(res.error_code, 0);
        client_close(&client);
        rig_stop(&rig);
}

/* Each of these closes its connection, and no other. */
LEAT_TEST(conn_hostile)
{
        static const struct {
                uint8_t bytes[24];
                size_t len;
        } cases[] = {
                {"GET / HTTP/1.1\r\n\r\n", 18},
                {{0x7f, 0xff, 0xff, 0xff, 0, 3}, 6},
                {{0xff, 0xff, 0xff, 0xff, 0, 3}, 6},
                {{0, 0, 0, 3, 0, 3, 0}, 7},
                {{0, 0, 0, 10, 0, 11, 0, 5, 0, 0, 0, 1, 0xff, 0xff}, 14},    /* JoinGroup */
                {{0, 0, 0, 10, 0x7f, 11, 0, 5, 0, 0, 0, 1, 0xff, 0xff}, 14}, /* no API */
                {{0, 0, 0, 10, 0, 3, 0, 99, 0, 0, 0, 1, 0xff, 0xff}, 14},    /* no version */
                {{0, 0, 0, 10, 0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff}, 14},     /* no body */
                {{0, 0, 0, 10, 0, 3, 0, 1, 0, 0, 0, 1, 0x7f, 0xff}, 14},     /* client id beyond the frame */
        };
        struct rig rig;
        struct client good;
        rig_start(&rig);
        client_open(&rig, &good);
        topic_make(&good, "t", 1, NULL, NULL);
        for (size_t i = 0; i < LEAT_ARRAY_LEN(cases); i++) {
                struct client bad;
                client_open(&rig, &bad);
                CHECK_INT(leat_os_send(bad.fd, cases[i].bytes, cases[i].len), (int64_t)cases[i].len);
                if (!client_is_closed(&bad))
                        leat_test_fail(__FILE__, __LINE__, "case %zu: the connection stays open", i);
                client_close(&bad);
        }
        CHECK_INT(produce(&good, "t", 0, batch_of(&rig, 1, NOW_MS, 0, false)).error_code, 0);
        client_close(&good);
        rig_stop(&rig);
}

/* Answers leave in the order of the requests, whatever each waits for. */
LEAT_TEST(conn_pipelining)
{
        struct rig rig;
        struct client client, writer;
        struct leat_kafka_fetch_response fetched;
        struct leat_kafka_metadata_response metadata;
        struct leat_kafka_metadata_request req;
        rig_start(&rig);
        client_open(&rig, &client);
        client_open(&rig, &writer);
        topic_make(&writer, "t", 1, NULL, NULL);
        LEAT_KAFKA_INIT(metadata_request, &req);
        req.topics_count = -1;
        client_send(&client, LEAT_KAFKA_FETCH, 12,
                    fetch_request(&client, 12,
                                  &(struct fetch_args){
                                          .topic = "t", .min_bytes = 1, .max_wait_ms = 200, .session_epoch = -1}));
        for (int i = 0; i < 200; i++)
                client_send(&client, LEAT_KAFKA_METADATA, 12, &req);
        client_receive(&client, LEAT_KAFKA_FETCH, 12, 1, &fetched);
        for (int i = 0; i < 200; i++)
                client_receive(&client, LEAT_KAFKA_METADATA, 12, 2 + i, &metadata);
        CHECK_INT(metadata.topics_count, 1);
        client_close(&client);
        client_close(&writer);
        rig_stop(&rig);
}

LEAT_TEST(metadata)
{
        struct rig rig;
        struct client client;
        struct leat_kafka_metadata_request req;
        struct leat_kafka_metadata_response res;
        struct leat_kafka_metadata_request_topic topic;
        rig_start(&rig);
        client_open(&rig, &client);
        LEAT_KAFKA_INIT(metadata_request, &req);
        LEAT_KAFKA_INIT(metadata_request_topic, &topic);
        req.topics = &topic;
        req.topics_count = 1;
        topic.name = leat_view_str("fresh");
        req.allow_auto_topic_creation = false;
        client_call(&client, LEAT_KAFKA_METADATA, 12, &req, &res);
        CHECK_INT(res.topics[0].error_code, LEAT_KAFKA_E_UNKNOWN_TOPIC_OR_PARTITION);
        req.allow_auto_topic_creation = true;
        for (int16_t version = 0; version <= 13; version++) {
                client_call(&client, LEAT_KAFKA_METADATA, version, &req, &res);
                CHECK_INT(res.brokers_count, 1);
                CHECK_INT(res.brokers[0].port, rig.port);
                CHECK(leat_view_eq_str(res.brokers[0].host, "127.0.0.1"));
                CHECK_INT(res.topics_count, 1);
                CHECK_INT(res.topics[0].error_code, 0);
                CHECK_INT(res.topics[0].partitions_count, 1);
                CHECK_INT(res.topics[0].partitions[0].leader_id, 1);
        }
        topic.topic_id = res.topics[0].topic_id;
        topic.name = (struct leat_view){0};
        client_call(&client, LEAT_KAFKA_METADATA, 12, &req, &res);
        CHECK_INT(res.topics[0].error_code, 0);
        CHECK(leat_view_eq_str(res.topics[0].name, "fresh"));
        topic.topic_id.bytes[0] ^= 1;
        client_call(&client, LEAT_KAFKA_METADATA, 12, &req, &res);
        CHECK_INT(res.topics[0].error_code, LEAT_KAFKA_E_UNKNOWN_TOPIC_ID);
        topic = (struct leat_kafka_metadata_request_topic){.name = leat_view_str("bad name")};
        client_call(&client, LEAT_KAFKA_METADATA, 12, &req, &res);
        CHECK_INT(res.topics[0].error_code, LEAT_KAFKA_E_INVALID_TOPIC_EXCEPTION);
        topic.name = leat_view_str("__internal");
        client_call(&client, LEAT_KAFKA_METADATA, 12, &req, &res);
        CHECK_INT(res.topics[0].error_code, LEAT_KAFKA_E_UNKNOWN_TOPIC_OR_PARTITION);
        req.topics_count = 0;
        client_call(&client, LEAT_KAFKA_METADATA, 12, &req, &res);
        CHECK_INT(res.topics_count, 0);
        client_call(&client, LEAT_KAFKA_METADATA, 0, &req, &res);
        CHECK_INT(res.topics_count, 1);
        client_close(&client);
        rig_stop(&rig);
}

static struct leat_kafka_listed_offsets_partition offsets_at(struct client *client, int16_t version, int64_t time_ms)
{
        struct leat_kafka_list_offsets_request req;
        struct leat_kafka_list_offsets_response res;
        struct leat_kafka_list_offsets_topic topic;
        struct leat_kafka_list_offsets_partition part;
        LEAT_KAFKA_INIT(list_offsets_request, &req);
        LEAT_KAFKA_INIT(list_offsets_topic, &topic);
        LEAT_KAFKA_INIT(list_offsets_partition, &part);
        part.timestamp = time_ms;
        topic.name = leat_view_str("t");
        topic.partitions = &part;
        topic.partitions_count = 1;
        req.topics = &topic;
        req.topics_count = 1;
        client_call(client, LEAT_KAFKA_LIST_OFFSETS, version, &req, &res);
        return res.topics[0].partitions[0];
}

LEAT_TEST(list_offsets)
{
        struct rig rig;
        struct client client;
        rig_start(&rig);
        client_open(&rig, &client);
        topic_make(&client, "t", 1, NULL, NULL);
        CHECK_INT(offsets_at(&client, 11, -1).offset, 0);
        CHECK_INT(offsets_at(&client, 11, -2).offset, 0);
        CHECK_INT(offsets_at(&client, 11, -3).offset, -1);
        CHECK_INT(offsets_at(&client, 11, 0).offset, -1);
        for (int codec = 0; codec < 5; codec++)
                produce(&client, "t", 0, batch_of(&rig, 100, 100000 + codec * 1000, codec, false));
        for (int16_t version = 1; version <= 11; version++) {
                CHECK_INT(offsets_at(&client, version, -1).offset, 500);
                CHECK_INT(offsets_at(&client, version, -2).offset, 0);
                for (int codec = 0; codec < 5; codec++) {
                        struct leat_kafka_listed_offsets_partition got =
                                offsets_at(&client, version, 100000 + codec * 1000 + 37);
                        CHECK_INT(got.error_code, 0);
                        CHECK_INT(got.offset, codec * 100 + 37);
                        CHECK_INT(got.timestamp, 100000 + codec * 1000 + 37);
                }
                CHECK_INT(offsets_at(&client, version, 101500).offset, 200);
                CHECK_INT(offsets_at(&client, version, 200000).offset, -1);
        }
        CHECK_INT(offsets_at(&client, 11, -3).offset, 499);
        CHECK_INT(offsets_at(&client, 11, -4).offset, 0);
        CHECK_INT(offsets_at(&client, 11, -5).offset, -1);
        CHECK_INT(offsets_at(&client, 6, -3).error_code, LEAT_KAFKA_E_UNSUPPORTED_VERSION);
        client_close(&client);
        rig_stop(&rig);
}

LEAT_TEST(delete_records)
{
        struct rig rig;
        struct client client;
        struct leat_kafka_delete_records_request req;
        struct leat_kafka_delete_records_response res;
        struct leat_kafka_delete_records_topic topic;
        struct leat_kafka_delete_records_partition part = {.offset = 50};
        rig_start(&rig);
        client_open(&rig, &client);
        topic_make(&client, "t", 1, NULL, NULL);
        produce(&client, "t", 0, batch_of(&rig, 100, 1000, 0, false));
        LEAT_KAFKA_INIT(delete_records_request, &req);
        LEAT_KAFKA_INIT(delete_records_topic, &topic);
        topic.name = leat_view_str("t");
        topic.partitions = &part;
        topic.partitions_count = 1;
        req.topics = &topic;
        req.topics_count = 1;
        client_call(&client, LEAT_KAFKA_DELETE_RECORDS, 2, &req, &res);
        CHECK_INT(res.topics[0].partitions[0].error_code, 0);
        CHECK_INT(res.topics[0].partitions[0].low_watermark, 50);
        CHECK_INT(offsets_at(&client, 9, -2).offset, 50);
        CHECK_INT(offsets_at(&client, 9, 0).offset, 50); /* not the first record of its batch */
        part.offset = 101;
        client_call(&client, LEAT_KAFKA_DELETE_RECORDS, 2, &req, &res);
        CHECK_INT(res.topics[0].partitions[0].error_code, LEAT_KAFKA_E_OFFSET_OUT_OF_RANGE);
        part.offset = -1;
        client_call(&client, LEAT_KAFKA_DELETE_RECORDS, 2, &req, &res);
        CHECK_INT(res.topics[0].partitions[0].low_watermark, 100);
        client_close(&client);
        rig_stop(&rig);
}

static int16_t create_error(struct client *client, const char *name, int32_t partitions, int16_t replicas,
                            const char *config, const char *value)
{
        struct leat_kafka_create_topics_request req;
        struct leat_kafka_create_topics_response res;
        struct leat_kafka_create_topic topic;
        struct leat_kafka_create_topic_config setting = {0};
        LEAT_KAFKA_INIT(create_topics_request, &req);
        LEAT_KAFKA_INIT(create_topic, &topic);
        topic.name = leat_view_str(name);
        topic.num_partitions = partitions;
        topic.replication_factor = replicas;
        if (config != NULL) {
                setting.name = leat_view_str(config);
                setting.value = leat_view_str(value);
                topic.configs = &setting;
                topic.configs_count = 1;
        }
        req.topics = &topic;
        req.topics_count = 1;
        req.validate_only = true;
        client_call(client, LEAT_KAFKA_CREATE_TOPICS, 7, &req, &res);
        CHECK((res.topics[0].error_code != 0) == (res.topics[0].error_message.len > 0));
        return res.topics[0].error_code;
}

LEAT_TEST(create_topics_refusals)
{
        struct rig rig;
        struct client client;
        rig_start(&rig);
        client_open(&rig, &client);
        topic_make(&client, "there", 1, NULL, NULL);
        CHECK_INT(create_error(&client, "a", -1, -1, NULL, NULL), 0);
        CHECK_INT(create_error(&client, "there", 1, 1, NULL, NULL), LEAT_KAFKA_E_TOPIC_ALREADY_EXISTS);
        CHECK_INT(create_error(&client, "a b", 1, 1, NULL, NULL), LEAT_KAFKA_E_INVALID_TOPIC_EXCEPTION);
        CHECK_INT(create_error(&client, "", 1, 1, NULL, NULL), LEAT_KAFKA_E_INVALID_TOPIC_EXCEPTION);
        CHECK_INT(create_error(&client, "..", 1, 1, NULL, NULL), LEAT_KAFKA_E_INVALID_TOPIC_EXCEPTION);
        CHECK_INT(create_error(&client, "a", 0, 1, NULL, NULL), LEAT_KAFKA_E_INVALID_PARTITIONS);
        CHECK_INT(create_error(&client, "a", 2000000, 1, NULL, NULL), LEAT_KAFKA_E_INVALID_PARTITIONS);
        CHECK_INT(create_error(&client, "a", 1, 3, NULL, NULL), LEAT_KAFKA_E_INVALID_REPLICATION_FACTOR);
        CHECK_INT(create_error(&client, "a", 1, 1, "cleanup.policy", "compact"), LEAT_KAFKA_E_INVALID_CONFIG);
        CHECK_INT(create_error(&client, "a", 1, 1, "cleanup.policy", "delete"), 0);
        CHECK_INT(create_error(&client, "a", 1, 1, "retention.ms", "soon"), LEAT_KAFKA_E_INVALID_CONFIG);
        CHECK_INT(create_error(&client, "a", 1, 1, "retention.ms", "-2"), LEAT_KAFKA_E_INVALID_CONFIG);
        CHECK_INT(create_error(&client, "a", 1, 1, "retention.ms", "-1"), 0);
        CHECK_INT(create_error(&client, "a", 1, 1, "no.such", "1"), LEAT_KAFKA_E_INVALID_CONFIG);
        CHECK_INT(create_error(&client, "a", 1, 1, "message.timestamp.type", "LogAppendTime"), 0);
        CHECK_INT(create_error(&client, "a", 1, 1, "message.timestamp.type", "Never"), LEAT_KAFKA_E_INVALID_CONFIG);
        client_close(&client);
        rig_stop(&rig);
}

static int16_t assigned_error(struct client *client, const char *name, int32_t first, int32_t second, int32_t node)
{
        struct leat_kafka_create_topics_request req;
        struct leat_kafka_create_topics_response res;
        struct leat_kafka_create_topic topic;
        struct leat_kafka_create_topic_assignment both[2] = {{.partition_index = first}, {.partition_index = second}};
        LEAT_KAFKA_INIT(create_topics_request, &req);
        LEAT_KAFKA_INIT(create_topic, &topic);
        topic.name = leat_view_str(name);
        topic.num_partitions = -1;
        topic.replication_factor = -1;
        topic.assignments = both;
        topic.assignments_count = 2;
        both[0].broker_ids = both[1].broker_ids = &node;
        both[0].broker_ids_count = both[1].broker_ids_count = 1;
        req.topics = &topic;
        req.topics_count = 1;
        client_call(client, LEAT_KAFKA_CREATE_TOPICS, 5, &req, &res);
        CHECK(res.topics[0].error_code != 0 || res.topics[0].num_partitions == 2);
        return res.topics[0].error_code;
}

LEAT_TEST(create_topics_assigned)
{
        struct rig rig;
        struct client client;
        rig_start(&rig);
        client_open(&rig, &client);
        CHECK_INT(assigned_error(&client, "a", 1, 0, 1), 0);
        CHECK_INT(assigned_error(&client, "b", 0, 0, 1), LEAT_KAFKA_E_INVALID_REPLICA_ASSIGNMENT);
        CHECK_INT(assigned_error(&client, "b", 0, 2, 1), LEAT_KAFKA_E_INVALID_REPLICA_ASSIGNMENT);
        CHECK_INT(assigned_error(&client, "b", 0, 1, 2), LEAT_KAFKA_E_INVALID_REPLICA_ASSIGNMENT);
        client_close(&client);
        rig_stop(&rig);
}

/* A small request must not make a huge answer, nor a huge request much work. */
LEAT_TEST(metadata_bounds)
{
        struct rig rig;
        struct client client;
        struct leat_kafka_metadata_request req;
        struct leat_kafka_metadata_response res;
        rig_start(&rig);
        client_open(&rig, &client);
        topic_make(&client, "wide", 1000, NULL, NULL);
        LEAT_KAFKA_INIT(metadata_request, &req);
        req.topics = LEAT_KAFKA_NEW(rig.arena, metadata_request_topic, 501);
        req.topics_count = 501;
        for (int i = 0; i < 501; i++)
                req.topics[i].name = leat_view_str("wide");
        client_call(&client, LEAT_KAFKA_METADATA, 12, &req, &res);
        CHECK_INT(res.topics[0].error_code, 0);
        CHECK_INT(res.topics[499].error_code, 0);
        CHECK_INT(res.topics[500].error_code, LEAT_KAFKA_E_INVALID_REQUEST);
        req.topics_count = 800000;
        req.topics = LEAT_KAFKA_NEW(rig.arena, metadata_request_topic, 800000);
        for (int i = 0; i < 800000; i++)
                req.topics[i].name = leat_view_str("other name");
        client_send(&client, LEAT_KAFKA_METADATA, 12, &req);
        CHECK(client_is_closed(&client));
        client_close(&client);
        rig_stop(&rig);
}

LEAT_TEST(settings)
{
        struct rig rig;
        struct client client;
        struct leat_kafka_incremental_alter_configs_request alter;
        struct leat_kafka_incremental_alter_configs_response altered;
        struct leat_kafka_alter_configs_resource resource;
        struct leat_kafka_alter_config change;
        struct leat_kafka_describe_configs_request describe;
        struct leat_kafka_describe_configs_response described;
        struct leat_kafka_describe_configs_resource what;
        rig_start(&rig);
        client_open(&rig, &client);
        topic_make(&client, "t", 1, "retention.ms", "1000");
        LEAT_KAFKA_INIT(incremental_alter_configs_request, &alter);
        LEAT_KAFKA_INIT(alter_configs_resource, &resource);
        LEAT_KAFKA_INIT(alter_config, &change);
        change.name = leat_view_str("retention.bytes");
        change.value = leat_view_str("4096");
        resource.resource_type = 2;
        resource.resource_name = leat_view_str("t");
        resource.configs = &change;
        resource.configs_count = 1;
        alter.resources = &resource;
        alter.resources_count = 1;
        client_call(&client, LEAT_KAFKA_INCREMENTAL_ALTER_CONFIGS, 1, &alter, &altered);
        CHECK_INT(altered.responses[0].error_code, 0);
        change.name = leat_view_str("retention.ms");
        change.value = (struct leat_view){0};
        change.config_operation = 1; /* back to the default */
        client_call(&client, LEAT_KAFKA_INCREMENTAL_ALTER_CONFIGS, 1, &alter, &altered);
        CHECK_INT(altered.responses[0].error_code, 0);
        change.config_operation = 0;
        client_call(&client, LEAT_KAFKA_INCREMENTAL_ALTER_CONFIGS, 1, &alter, &altered);
        CHECK_INT(altered.responses[0].error_code, LEAT_KAFKA_E_INVALID_REQUEST);
        LEAT_KAFKA_INIT(describe_configs_request, &describe);
        LEAT_KAFKA_INIT(describe_configs_resource, &what);
        what.resource_type = 2;
        what.resource_name = leat_view_str("t");
        what.configuration_keys_count = -1;
        describe.resources = &what;
        describe.resources_count = 1;
        describe.include_synonyms = true;
        for (int16_t version = 1; version <= 4; version++) {
                client_call(&client, LEAT_KAFKA_DESCRIBE_CONFIGS, version, &describe, &described);
                CHECK_INT(described.results[0].error_code, 0);
                CHECK_INT(described.results[0].configs_count, 12);
                for (int32_t i = 0; i < described.results[0].configs_count; i++) {
                        const struct leat_kafka_described_config *config = &described.results[0].configs[i];
                        bool ours = leat_view_eq_str(config->name, "retention.bytes");
                        CHECK_INT(config->config_source, ours ? 1 : 5);
                        CHECK(!ours || leat_view_eq_str(config->value, "4096"));
                }
        }
        client_close(&client);
        rig_stop(&rig);
}

LEAT_TEST(create_partitions)
{
        struct rig rig;
        struct client client;
        struct leat_kafka_create_partitions_request req;
        struct leat_kafka_create_partitions_response res;
        struct leat_kafka_create_partitions_topic topics[2];
        rig_start(&rig);
        client_open(&rig, &client);
        topic_make(&client, "t", 2, NULL, NULL);
        LEAT_KAFKA_INIT(create_partitions_request, &req);
        for (int i = 0; i < 2; i++) {
                LEAT_KAFKA_INIT(create_partitions_topic, &topics[i]);
                topics[i].assignments_count = -1;
        }
        topics[0].name = leat_view_str("t");
        topics[0].count = 5;
        topics[1].name = leat_view_str("missing");
        topics[1].count = 5;
        req.topics = topics;
        req.topics_count = 2;
        client_call(&client, LEAT_KAFKA_CREATE_PARTITIONS, 3, &req, &res);
        CHECK_INT(res.results_count, 2);
        CHECK_INT(res.results[0].error_code, 0);
        CHECK_INT(res.results[1].error_code, LEAT_KAFKA_E_UNKNOWN_TOPIC_OR_PARTITION);
        CHECK_INT(produce(&client, "t", 4, batch_of(&rig, 1, NOW_MS, 0, false)).error_code, 0);
        client_call(&client, LEAT_KAFKA_CREATE_PARTITIONS, 3, &req, &res);
        CHECK_INT(res.results[0].error_code, LEAT_KAFKA_E_INVALID_PARTITIONS);
        client_close(&client);
        rig_stop(&rig);
}

/* Several writers and readers at once: every acknowledged record is read once, in order. */
struct worker {
        struct rig *rig;
        int32_t partition;
        int batches;
};

static void *write_all(void *arg)
{
        struct worker *worker = arg;
        struct rig own = *worker->rig; /* with an arena of its own */
        struct client client;
        own.arena = leat_arena_new(0);
        client_open(&own, &client);
        for (int i = 0; i < worker->batches; i++) {
                int32_t partition = (worker->partition + i) % 4;
                CHECK_INT(produce(&client, "t", partition, batch_of(&own, 20, NOW_MS, i % 5, false)).error_code, 0);
                leat_arena_reset(own.arena);
        }
        client_close(&client);
        leat_arena_free(own.arena);
        return NULL;
}

static void *read_all(void *arg)
{
        struct worker *worker = arg;
        struct rig own = *worker->rig;
        struct client client;
        int64_t next = 0;
        own.arena = leat_arena_new(0);
        client_open(&own, &client);
        while (next < worker->batches * 20) {
                struct leat_kafka_fetched_partition got = fetch_at(&client, 13,
                                                                   &(struct fetch_args){.topic = "t",
                                                                                        .partition = worker->partition,
                                                                                        .offset = next,
                                                                                        .min_bytes = 1,
                                                                                        .max_wait_ms = 500});
                CHECK_INT(got.error_code, 0);
                next += records_count(got.records.view);
                leat_arena_reset(own.arena);
        }
        client_close(&client);
        leat_arena_free(own.arena);
        return NULL;
}

LEAT_TEST(conn_many)
{
        enum { COUNT = 4 };
        int batches = 40 * leat_test_scale();
        struct rig rig;
        struct client client;
        struct worker workers[COUNT];
        pthread_t writers[COUNT], readers[COUNT];
        rig_start(&rig);
        client_open(&rig, &client);
        topic_make(&client, "t", COUNT, NULL, NULL);
        for (int i = 0; i < COUNT; i++) {
                workers[i] = (struct worker){.rig = &rig, .partition = i, .batches = batches};
                CHECK(pthread_create(&readers[i], NULL, read_all, &workers[i]) == 0);
                CHECK(pthread_create(&writers[i], NULL, write_all, &workers[i]) == 0);
        }
        for (int i = 0; i < COUNT; i++) {
                pthread_join(writers[i], NULL);
                pthread_join(readers[i], NULL);
        }
        client_close(&client);
        rig_stop(&rig);
}
