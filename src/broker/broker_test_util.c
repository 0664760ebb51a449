/* SPDX-License-Identifier: Apache-2.0 */
#include "broker_test_int.h"

#include <poll.h>
#include <stdio.h>

#include "broker_int.h"

/* How long a test waits for what must come at once: a busy machine is no reason to fail. */
#define PATIENCE_US (30 * 1000 * 1000)

static void broker_start(struct rig *rig)
{
        struct leat_error err;
        struct leat_addr addr = {.host = "127.0.0.1"};
        struct leat_broker_options options = {.data_dir = rig->dir};
        CHECK_OK(leat_os_listen(&addr, 64, &options.listen_fd, &rig->port, &err), &err);
        CHECK_OK(leat_broker_start(&options, &rig->broker, &err), &err);
}

void rig_start(struct rig *rig)
{
        *rig = (struct rig){.dir = leat_strdup(leat_test_tmpdir()), .arena = leat_arena_new(0)};
        broker_start(rig);
}

void rig_restart(struct rig *rig)
{
        leat_broker_stop(rig->broker);
        broker_start(rig);
}

void rig_stop(struct rig *rig)
{
        leat_broker_stop(rig->broker);
        leat_arena_free(rig->arena);
        free(rig->dir);
}

void client_open(struct rig *rig, struct client *client)
{
        struct leat_error err;
        struct leat_addr addr = {.host = "127.0.0.1", .port = rig->port};
        *client = (struct client){.rig = rig, .next_id = 1};
        CHECK_OK(leat_os_connect(&addr, PATIENCE_US, &client->fd, &err), &err);
}

void client_close(struct client *client)
{
        leat_os_close(client->fd);
}

void client_send(struct client *client, int16_t key, int16_t version, const void *message)
{
        struct leat_chain chain = LEAT_CHAIN_INIT;
        leat_kafka_request_encode(leat_kafka_api_find(key), version, client->next_id++, leat_view_str("test"), message,
                                  &chain);
        uint8_t *all = leat_malloc(chain.len);
        leat_chain_copy(&chain, all);
        for (size_t at = 0; at < chain.len;) {
                ssize_t n = leat_os_send(client->fd, all + at, chain.len - at);
                if (n < 0) {
                        CHECK(leat_os_poll1(client->fd, POLLOUT, PATIENCE_US) > 0);
                        continue;
                }
                at += (size_t)n;
        }
        leat_chain_done(&chain);
        free(all);
}

static bool receive_all(struct client *client, uint8_t *out, size_t bytes)
{
        for (size_t at = 0; at < bytes;) {
                if (leat_os_poll1(client->fd, POLLIN, 10000000) <= 0)
                        leat_test_fail(__FILE__, __LINE__, "no answer within 10 s");
                ssize_t n = leat_os_recv(client->fd, out + at, bytes - at);
                if (n == 0)
                        return false;
                if (n > 0)
                        at += (size_t)n;
        }
        return true;
}

void client_receive(struct client *client, int16_t key, int16_t version, int32_t id, void *ret_message)
{
        struct leat_error err;
        uint8_t size[4];
        CHECK(receive_all(client, size, 4));
        size_t bytes = leat_get_be32(size);
        uint8_t *frame = leat_arena_alloc(client->rig->arena, bytes);
        CHECK(receive_all(client, frame, bytes));
        CHECK_INT(leat_kafka_response_correlation(leat_view_of(frame, bytes)), id);
        CHECK_OK(leat_kafka_response_decode(leat_kafka_api_find(key), version, leat_view_of(frame, bytes),
                                            client->rig->arena, ret_message, &err),
                 &err);
}

void client_call(struct client *client, int16_t key, int16_t version, const void *message, void *ret_message)
{
        client_send(client, key, version, message);
        client_receive(client, key, version, client->next_id - 1, ret_message);
}

void wait_parked(struct rig *rig, struct leat_topic_id topic, uint32_t partition)
{
        struct broker_part *part = leat_broker_part_get(rig->broker, topic.bytes, partition);
        CHECK(part != NULL);
        for (int64_t end_us = leat_os_monotonic_us() + PATIENCE_US; atomic_load(&part->waiting) == 0;) {
                CHECK(leat_os_monotonic_us() < end_us);
                leat_os_sleep_us(200);
        }
        leat_broker_part_unref(part);
}

bool client_is_closed(struct client *client)
{
        uint8_t byte;
        return leat_os_poll1(client->fd, POLLIN, PATIENCE_US) > 0 && leat_os_recv(client->fd, &byte, 1) <= 0;
}

static struct leat_view batch_build(struct rig *rig, int count, int64_t time_ms, int codec, bool keys,
                                    int64_t producer_id, int16_t epoch, int32_t sequence)
{
        struct leat_error err;
        struct leat_kafka_batch_builder builder = {0};
        struct leat_buf out = LEAT_BUF_INIT;
        for (int i = 0; i < count; i++) {
                struct leat_record record = {
                        .timestamp_ms = time_ms + i,
                        .key = keys ? leat_view_str("k") : (struct leat_view){0},
                        .value = leat_view_str(leat_arena_printf(rig->arena, "v%d", i)),
                };
                leat_kafka_builder_add(&builder, &record);
        }
        CHECK_OK(leat_kafka_builder_finish(&builder, codec, producer_id, epoch, sequence, &out, &err), &err);
        uint8_t *copy = leat_arena_alloc(rig->arena, out.len);
        memcpy(copy, out.data, out.len);
        struct leat_view view = leat_view_of(copy, out.len);
        leat_buf_done(&out);
        leat_kafka_builder_done(&builder);
        return view;
}

struct leat_view batch_of(struct rig *rig, int count, int64_t time_ms, int codec, bool keys)
{
        return batch_build(rig, count, time_ms, codec, keys, -1, -1, -1);
}

struct leat_view batch_from(struct rig *rig, int count, int64_t producer_id, int16_t epoch, int32_t sequence)
{
        return batch_build(rig, count, leat_os_now_us() / 1000, 0, false, producer_id, epoch, sequence);
}

struct leat_topic_id topic_make(struct client *client, const char *name, int32_t partitions, const char *config,
                                const char *value)
{
        struct leat_kafka_create_topics_request req;
        struct leat_kafka_create_topics_response res;
        struct leat_kafka_create_topic topic;
        struct leat_kafka_create_topic_config setting;
        LEAT_KAFKA_INIT(create_topics_request, &req);
        LEAT_KAFKA_INIT(create_topic, &topic);
        LEAT_KAFKA_INIT(create_topic_config, &setting);
        topic.name = leat_view_str(name);
        topic.num_partitions = partitions;
        topic.replication_factor = -1;
        if (config != NULL) {
                setting.name = leat_view_str(config);
                setting.value = leat_view_str(value);
                topic.configs = &setting;
                topic.configs_count = 1;
        }
        req.topics = &topic;
        req.topics_count = 1;
        client_call(client, LEAT_KAFKA_CREATE_TOPICS, 7, &req, &res);
        CHECK_INT(res.topics_count, 1);
        CHECK_INT(res.topics[0].error_code, 0);
        return res.topics[0].topic_id;
}

static struct leat_topic_id topic_id_of(struct rig *rig, const char *name)
{
        struct leat_topic_id id = {0};
        struct leat_log_topic *topic = leat_log_topic_find(leat_broker_log(rig->broker), leat_view_str(name));
        if (topic != NULL)
                memcpy(id.bytes, topic->id, sizeof(id.bytes));
        leat_log_topic_unref(topic);
        return id;
}

struct leat_kafka_produced_partition produce_at(struct client *client, int16_t version, int16_t acks, const char *topic,
                                                int32_t partition, struct leat_view records)
{
        struct leat_kafka_produce_request req;
        struct leat_kafka_produce_response res;
        struct leat_kafka_produce_topic in;
        struct leat_kafka_produce_partition part;
        struct leat_kafka_produced_partition none = {0};
        LEAT_KAFKA_INIT(produce_request, &req);
        LEAT_KAFKA_INIT(produce_topic, &in);
        LEAT_KAFKA_INIT(produce_partition, &part);
        in.name = leat_view_str(topic);
        in.topic_id = topic_id_of(client->rig, topic);
        part.index = partition;
        part.records.view = records;
        in.partition_data = &part;
        in.partition_data_count = 1;
        req.acks = acks;
        req.topic_data = &in;
        req.topic_data_count = 1;
        if (acks == 0) {
                client_send(client, LEAT_KAFKA_PRODUCE, version, &req);
                return none;
        }
        client_call(client, LEAT_KAFKA_PRODUCE, version, &req, &res);
        CHECK_INT(res.responses_count, 1);
        CHECK_INT(res.responses[0].partition_responses_count, 1);
        return res.responses[0].partition_responses[0];
}

struct leat_kafka_produced_partition produce(struct client *client, const char *topic, int32_t partition,
                                             struct leat_view records)
{
        return produce_at(client, 9, -1, topic, partition, records);
}

struct leat_kafka_fetch_request *fetch_request(struct client *client, int16_t version, const struct fetch_args *args)
{
        struct leat_arena *arena = client->rig->arena;
        struct leat_kafka_fetch_request *req = LEAT_KAFKA_NEW(arena, fetch_request, 1);
        req->max_bytes = args->max_bytes != 0 ? args->max_bytes : 1 << 20;
        req->min_bytes = args->min_bytes;
        req->max_wait_ms = args->max_wait_ms;
        req->session_id = args->session_id;
        req->session_epoch = args->session_epoch;
        if (args->topic == NULL)
                return req;
        req->topics = LEAT_KAFKA_NEW(arena, fetch_topic, 1);
        req->topics_count = 1;
        if (version >= 13)
                req->topics[0].topic_id = topic_id_of(client->rig, args->topic);
        else
                req->topics[0].topic = leat_view_str(args->topic);
        req->topics[0].partitions = LEAT_KAFKA_NEW(arena, fetch_partition, 1);
        req->topics[0].partitions_count = 1;
        req->topics[0].partitions[0].partition = args->partition;
        req->topics[0].partitions[0].fetch_offset = args->offset;
        req->topics[0].partitions[0].partition_max_bytes =
                args->partition_max_bytes != 0 ? args->partition_max_bytes : 1 << 20;
        return req;
}

struct leat_kafka_fetched_partition fetch_at(struct client *client, int16_t version, const struct fetch_args *args)
{
        struct leat_kafka_fetch_response res;
        struct fetch_args full = *args;
        if (full.session_id == 0 && full.session_epoch == 0)
                full.session_epoch = -1;
        client_call(client, LEAT_KAFKA_FETCH, version, fetch_request(client, version, &full), &res);
        CHECK_INT(res.error_code, 0);
        CHECK_INT(res.responses_count, 1);
        CHECK_INT(res.responses[0].partitions_count, 1);
        return res.responses[0].partitions[0];
}

int records_count(struct leat_view batches)
{
        int count = 0;
        int64_t next = -1;
        struct leat_buf scratch = LEAT_BUF_INIT;
        while (batches.len > 0) {
                struct leat_error err;
                struct leat_kafka_batch batch;
                CHECK_OK(leat_kafka_batch_parse(batches, &batch, NULL, &err), &err);
                CHECK_OK(leat_kafka_batch_check_crc(&batch, &err), &err);
                CHECK_OK(leat_kafka_records_check(&batch, 1 << 20, false, &scratch, NULL, NULL, &err), &err);
                CHECK(next < 0 || batch.base_offset == next);
                next = batch.base_offset + batch.record_count;
                count += batch.record_count;
                batches = leat_view_of(batches.data + batch.bytes.len, batches.len - batch.bytes.len);
        }
        leat_buf_done(&scratch);
        return count;
}
