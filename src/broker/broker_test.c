/* SPDX-License-Identifier: Apache-2.0 */
/* Produce and fetch, through the sockets. */
#include "broker_test_int.h"

#define NOW_MS (leat_os_now_us() / 1000)

LEAT_TEST(produce_fetch_all_versions)
{
        struct rig rig;
        struct client client;
        rig_start(&rig);
        client_open(&rig, &client);
        topic_make(&client, "t", 3, NULL, NULL);
        int64_t offset = 0;
        for (int16_t version = 3; version <= 13; version++) {
                struct leat_kafka_produced_partition got = produce_at(&client, version, version % 2 ? 1 : -1, "t", 1,
                                                                      batch_of(&rig, 10, NOW_MS, version % 5, false));
                CHECK_INT(got.error_code, 0);
                CHECK_INT(got.index, 1);
                CHECK_INT(got.base_offset, offset);
                offset += 10;
        }
        for (int16_t version = 4; version <= 18; version++) {
                struct leat_kafka_fetched_partition got =
                        fetch_at(&client, version, &(struct fetch_args){.topic = "t", .partition = 1, .offset = 15});
                CHECK_INT(got.error_code, 0);
                CHECK_INT(got.high_watermark, offset);
                CHECK_INT(records_count(got.records.view), offset - 10); /* the whole batch that holds 15 */
        }
        client_close(&client);
        rig_stop(&rig);
}

LEAT_TEST(produce_restart)
{
        struct rig rig;
        struct client client;
        rig_start(&rig);
        client_open(&rig, &client);
        topic_make(&client, "t", 1, NULL, NULL);
        CHECK_INT(produce(&client, "t", 0, batch_of(&rig, 10, NOW_MS, 0, false)).base_offset, 0);
        client_close(&client);
        rig_restart(&rig);
        client_open(&rig, &client);
        CHECK_INT(records_count(fetch_at(&client, 12, &(struct fetch_args){.topic = "t"}).records.view), 10);
        CHECK_INT(produce(&client, "t", 0, batch_of(&rig, 1, NOW_MS, 0, false)).base_offset, 10);
        client_close(&client);
        rig_stop(&rig);
}

/* acks=0: no answer, but it is there; a refused batch closes the connection. */
LEAT_TEST(produce_without_acks)
{
        struct rig rig;
        struct client client;
        rig_start(&rig);
        client_open(&rig, &client);
        topic_make(&client, "t", 1, NULL, NULL);
        produce_at(&client, 9, 0, "t", 0, batch_of(&rig, 5, NOW_MS, 0, false));
        CHECK_INT(produce(&client, "t", 0, batch_of(&rig, 1, NOW_MS, 0, false)).base_offset, 5);
        produce_at(&client, 9, 0, "missing", 0, batch_of(&rig, 5, NOW_MS, 0, false));
        CHECK(client_is_closed(&client));
        client_close(&client);
        rig_stop(&rig);
}

/* A Produce request for one partition, not waited for. */
static void produce_send(struct client *client, int32_t partition, struct leat_view records)
{
        struct leat_kafka_produce_request request;
        struct leat_kafka_produce_topic topic;
        struct leat_kafka_produce_partition part;
        LEAT_KAFKA_INIT(produce_request, &request);
        LEAT_KAFKA_INIT(produce_topic, &topic);
        LEAT_KAFKA_INIT(produce_partition, &part);
        part.index = partition;
        part.records.view = records;
        topic.name = leat_view_str("t");
        topic.partition_data = &part;
        topic.partition_data_count = 1;
        request.acks = -1;
        request.timeout_ms = 10000;
        request.topic_data = &topic;
        request.topic_data_count = 1;
        client_send(client, LEAT_KAFKA_PRODUCE, 9, &request);
}

/* Two clients with many requests under way, on two loops, to the same partitions. */
LEAT_TEST(produce_pipelined)
{
        enum { ROUNDS = 20, WINDOW = 12, CLIENTS = 2 };
        struct rig rig;
        struct client clients[CLIENTS];
        int64_t next[CLIENTS][3] = {{0}}, total = 0;
        rig_start(&rig);
        for (int c = 0; c < CLIENTS; c++)
                client_open(&rig, &clients[c]);
        topic_make(&clients[0], "t", 3, NULL, NULL);
        struct leat_view batch = batch_of(&rig, 5, NOW_MS, 0, false);
        for (int round = 0; round < ROUNDS; round++) {
                int32_t first[CLIENTS];
                for (int c = 0; c < CLIENTS; c++) {
                        first[c] = clients[c].next_id;
                        for (int i = 0; i < WINDOW; i++)
                                produce_send(&clients[c], i % 3, batch);
                }
                for (int i = 0; i < CLIENTS * WINDOW; i++) {
                        int c = i % CLIENTS, n = i / CLIENTS;
                        struct leat_kafka_produce_response res;
                        client_receive(&clients[c], LEAT_KAFKA_PRODUCE, 9, first[c] + n, &res);
                        struct leat_kafka_produced_partition *got = &res.responses[0].partition_responses[0];
                        CHECK_INT(got->error_code, 0);
                        CHECK(got->base_offset >= next[c][n % 3]); /* in the order in which they were sent */
                        next[c][n % 3] = got->base_offset + 5;
                        total += 5;
                }
        }
        for (int p = 0; p < 3; p++)
                total -= produce(&clients[0], "t", p, batch).base_offset;
        CHECK_INT(total, 0);
        for (int c = 0; c < CLIENTS; c++)
                client_close(&clients[c]);
        rig_stop(&rig);
}

static struct leat_view changed(struct rig *rig, struct leat_view batch, size_t at, uint8_t value, bool fix_crc)
{
        uint8_t *copy = leat_arena_alloc(rig->arena, batch.len);
        memcpy(copy, batch.data, batch.len);
        copy[at] = value;
        if (fix_crc)
                leat_put_be32(copy + 17, leat_crc32c(0, copy + 21, batch.len - 21));
        return leat_view_of(copy, batch.len);
}

static struct leat_view doubled(struct rig *rig, struct leat_view batch)
{
        uint8_t *copy = leat_arena_alloc(rig->arena, batch.len * 2);
        memcpy(copy, batch.data, batch.len);
        memcpy(copy + batch.len, batch.data, batch.len);
        return leat_view_of(copy, batch.len * 2);
}

LEAT_TEST(produce_refusals)
{
        struct rig rig;
        struct client client;
        rig_start(&rig);
        client_open(&rig, &client);
        topic_make(&client, "t", 1, "max.message.bytes", "2000");
        topic_make(&client, "keyed", 1, "leat.keyed", "true");
        struct leat_view good = batch_of(&rig, 3, NOW_MS, 0, false);
        const struct {
                const char *topic;
                int32_t partition;
                struct leat_view records;
                int16_t error;
        } cases[] = {
                {"missing", 0, good, LEAT_KAFKA_E_UNKNOWN_TOPIC_OR_PARTITION},
                {"t", 7, good, LEAT_KAFKA_E_UNKNOWN_TOPIC_OR_PARTITION},
                {"t", -1, good, LEAT_KAFKA_E_UNKNOWN_TOPIC_OR_PARTITION},
                {"t", 0, {0}, LEAT_KAFKA_E_INVALID_RECORD},
                {"t", 0, doubled(&rig, good), LEAT_KAFKA_E_INVALID_RECORD},
                {"t", 0, leat_view_of(good.data, good.len - 1), LEAT_KAFKA_E_CORRUPT_MESSAGE},
                {"t", 0, changed(&rig, good, good.len - 2, 'x', false), LEAT_KAFKA_E_CORRUPT_MESSAGE},
                {"t", 0, changed(&rig, good, 16, 1, false), LEAT_KAFKA_E_UNSUPPORTED_FOR_MESSAGE_FORMAT},
                {"t", 0, changed(&rig, good, 22, 5, true), LEAT_KAFKA_E_UNSUPPORTED_COMPRESSION_TYPE},
                {"t", 0, changed(&rig, good, 22, 4, true), LEAT_KAFKA_E_INVALID_RECORD},
                {"t", 0, changed(&rig, good, 22, 8, true), LEAT_KAFKA_E_INVALID_TIMESTAMP},
                {"t", 0, changed(&rig, good, 22, 16, true), LEAT_KAFKA_E_INVALID_REQUEST},
                {"t", 0, changed(&rig, good, 22, 32, true), LEAT_KAFKA_E_INVALID_RECORD},
                {"t", 0, changed(&rig, good, 60, 2, true), LEAT_KAFKA_E_INVALID_RECORD},
                {"t", 0, changed(&rig, good, 61, 60, true), LEAT_KAFKA_E_INVALID_RECORD},
                {"t", 0, batch_of(&rig, 500, NOW_MS, 0, false), LEAT_KAFKA_E_MESSAGE_TOO_LARGE},
                {"t", 0, batch_of(&rig, 3, NOW_MS + 2 * 3600 * 1000, 0, false), LEAT_KAFKA_E_INVALID_TIMESTAMP},
                {"keyed", 0, good, LEAT_KAFKA_E_INVALID_RECORD},
        };
        for (size_t i = 0; i < LEAT_ARRAY_LEN(cases); i++) {
                struct leat_kafka_produced_partition got =
                        produce(&client, cases[i].topic, cases[i].partition, cases[i].records);
                if (got.error_code != cases[i].error)
                        leat_test_fail(__FILE__, __LINE__, "case %zu: error %d, not %d: %.*s", i, got.error_code,
                                       cases[i].error, (int)got.error_message.len, got.error_message.data);
                CHECK(got.error_message.len > 0);
                CHECK_INT(got.base_offset, -1);
        }
        struct leat_kafka_produced_partition got = produce(&client, "keyed", 0, good);
        CHECK_INT(got.record_errors_count, 1);
        CHECK_INT(produce_at(&client, 9, 2, "t", 0, good).error_code, LEAT_KAFKA_E_INVALID_REQUIRED_ACKS);
        CHECK_INT(produce(&client, "keyed", 0, batch_of(&rig, 3, NOW_MS, 4, true)).error_code, 0);
        CHECK_INT(fetch_at(&client, 12, &(struct fetch_args){.topic = "t"}).high_watermark, 0);
        client_close(&client);
        rig_stop(&rig);
}

LEAT_TEST(produce_idempotent)
{
        struct rig rig;
        struct client client;
        struct leat_kafka_init_producer_id_request req;
        struct leat_kafka_init_producer_id_response res;
        rig_start(&rig);
        client_open(&rig, &client);
        topic_make(&client, "t", 1, NULL, NULL);
        LEAT_KAFKA_INIT(init_producer_id_request, &req);
        client_call(&client, LEAT_KAFKA_INIT_PRODUCER_ID, 4, &req, &res);
        CHECK_INT(res.error_code, 0);
        CHECK_INT(res.producer_epoch, 0);
        int64_t id = res.producer_id;
        CHECK_INT(produce(&client, "t", 0, batch_from(&rig, 5, id, 0, 0)).base_offset, 0);
        CHECK_INT(produce(&client, "t", 0, batch_from(&rig, 5, id, 0, 5)).base_offset, 5);
        struct leat_kafka_produced_partition again = produce(&client, "t", 0, batch_from(&rig, 5, id, 0, 0));
        CHECK_INT(again.error_code, 0);
        CHECK_INT(again.base_offset, 0);
        CHECK_INT(produce(&client, "t", 0, batch_from(&rig, 5, id, 0, 50)).error_code,
                  LEAT_KAFKA_E_OUT_OF_ORDER_SEQUENCE_NUMBER);
        CHECK_INT(produce(&client, "t", 0, batch_from(&rig, 5, id, 1, 0)).error_code, 0);
        CHECK_INT(produce(&client, "t", 0, batch_from(&rig, 5, id, 0, 10)).error_code,
                  LEAT_KAFKA_E_INVALID_PRODUCER_EPOCH);
        CHECK_INT(fetch_at(&client, 12, &(struct fetch_args){.topic = "t"}).high_watermark, 15);
        /* Transactions are refused by a code; the log has the words. */
        req.transactional_id = leat_view_str("tx");
        client_call(&client, LEAT_KAFKA_INIT_PRODUCER_ID, 4, &req, &res);
        CHECK_INT(res.error_code, LEAT_KAFKA_E_UNSUPPORTED_VERSION);
        client_close(&client);
        rig_stop(&rig);
}

/* LogAppendTime stamps; a header whose largest timestamp is wrong is put right. */
LEAT_TEST(produce_timestamps)
{
        struct rig rig;
        struct client client;
        struct leat_error err;
        struct leat_kafka_batch batch;
        rig_start(&rig);
        client_open(&rig, &client);
        topic_make(&client, "append", 1, "message.timestamp.type", "LogAppendTime");
        topic_make(&client, "create", 1, NULL, NULL);
        struct leat_kafka_produced_partition got = produce(&client, "append", 0, batch_of(&rig, 3, 1000, 0, false));
        CHECK(got.log_append_time_ms >= NOW_MS - 60000);
        struct leat_view view = fetch_at(&client, 12, &(struct fetch_args){.topic = "append"}).records.view;
        CHECK_INT(records_count(view), 3);
        CHECK_OK(leat_kafka_batch_parse(view, &batch, NULL, &err), &err);
        CHECK(leat_kafka_batch_append_time(&batch));
        CHECK_INT(batch.max_timestamp_ms, got.log_append_time_ms);
        got = produce(&client, "create", 0, changed(&rig, batch_of(&rig, 3, 1000, 0, false), 42, 7, true));
        CHECK_INT(got.error_code, 0);
        CHECK_INT(got.log_append_time_ms, -1);
        view = fetch_at(&client, 12, &(struct fetch_args){.topic = "create"}).records.view;
        CHECK_OK(leat_kafka_batch_parse(view, &batch, NULL, &err), &err);
        CHECK_INT(batch.max_timestamp_ms, 1002);
        client_close(&client);
        rig_stop(&rig);
}

/* ---- fetch ---------------------------------------------------------------------------------------- */

LEAT_TEST(fetch_limits)
{
        struct rig rig;
        struct client client;
        rig_start(&rig);
        client_open(&rig, &client);
        topic_make(&client, "t", 1, NULL, NULL);
        for (int i = 0; i < 10; i++)
                produce(&client, "t", 0, batch_of(&rig, 100, NOW_MS, 0, false));
        /* The first batch comes whole, though it is larger than the limits. */
        struct leat_kafka_fetched_partition got =
                fetch_at(&client, 12,
                         &(struct fetch_args){.topic = "t", .offset = 250, .max_bytes = 10, .partition_max_bytes = 10});
        CHECK_INT(records_count(got.records.view), 100);
        size_t batch_bytes = got.records.view.len;
        got = fetch_at(&client, 12,
                       &(struct fetch_args){
                               .topic = "t", .offset = 0, .partition_max_bytes = (int32_t)(batch_bytes * 3 + 10)});
        CHECK_INT(records_count(got.records.view), 300);
        got = fetch_at(&client, 12, &(struct fetch_args){.topic = "t", .offset = 1000});
        CHECK_INT(got.error_code, 0);
        CHECK_INT(got.records.view.len, 0);
        CHECK_INT(fetch_at(&client, 12, &(struct fetch_args){.topic = "t", .offset = 1001}).error_code,
                  LEAT_KAFKA_E_OFFSET_OUT_OF_RANGE);
        CHECK_INT(fetch_at(&client, 12, &(struct fetch_args){.topic = "t", .offset = -1}).error_code,
                  LEAT_KAFKA_E_OFFSET_OUT_OF_RANGE);
        CHECK_INT(fetch_at(&client, 12, &(struct fetch_args){.topic = "x"}).error_code,
                  LEAT_KAFKA_E_UNKNOWN_TOPIC_OR_PARTITION);
        CHECK_INT(fetch_at(&client, 13, &(struct fetch_args){.topic = "x"}).error_code, LEAT_KAFKA_E_UNKNOWN_TOPIC_ID);
        client_close(&client);
        rig_stop(&rig);
}

LEAT_TEST(fetch_leader_epoch)
{
        struct rig rig;
        struct client client;
        struct leat_kafka_fetch_response res;
        rig_start(&rig);
        client_open(&rig, &client);
        topic_make(&client, "t", 1, NULL, NULL);
        struct leat_kafka_fetch_request *req =
                fetch_request(&client, 12, &(struct fetch_args){.topic = "t", .session_epoch = -1});
        int32_t epoch = leat_log_epoch(leat_broker_log(rig.broker));
        const struct {
                int32_t epoch;
                int16_t error;
        } cases[] = {{epoch, 0},
                     {epoch - 1, LEAT_KAFKA_E_FENCED_LEADER_EPOCH},
                     {epoch + 1, LEAT_KAFKA_E_UNKNOWN_LEADER_EPOCH}};
        for (size_t i = 0; i < LEAT_ARRAY_LEN(cases); i++) {
                req->topics[0].partitions[0].current_leader_epoch = cases[i].epoch;
                client_call(&client, LEAT_KAFKA_FETCH, 12, req, &res);
                CHECK_INT(res.responses[0].partitions[0].error_code, cases[i].error);
        }
        client_close(&client);
        rig_stop(&rig);
}

/* A parked fetch is answered by the produce that it waits for, long before its time. */
LEAT_TEST(fetch_long_poll)
{
        struct rig rig;
        struct client reader, writer;
        struct leat_kafka_fetch_response res;
        rig_start(&rig);
        client_open(&rig, &reader);
        client_open(&rig, &writer);
        struct leat_topic_id topic = topic_make(&writer, "t", 4, NULL, NULL);
        for (int32_t partition = 0; partition < 4; partition++) {
                int64_t start_us = leat_os_monotonic_us();
                client_send(&reader, LEAT_KAFKA_FETCH, 12,
                            fetch_request(&reader, 12,
                                          &(struct fetch_args){.topic = "t",
                                                               .partition = partition,
                                                               .min_bytes = 1,
                                                               .max_wait_ms = 120000,
                                                               .session_epoch = -1}));
                wait_parked(&rig, topic, (uint32_t)partition);
                produce(&writer, "t", partition, batch_of(&rig, 5, NOW_MS, 0, false));
                client_receive(&reader, LEAT_KAFKA_FETCH, 12, reader.next_id - 1, &res);
                CHECK_INT(records_count(res.responses[0].partitions[0].records.view), 5);
                CHECK(leat_os_monotonic_us() - start_us < 60 * 1000 * 1000);
        }
        /* min_bytes: one batch is not enough, two are. */
        size_t bytes = res.responses[0].partitions[0].records.view.len;
        client_send(&reader, LEAT_KAFKA_FETCH, 12,
                    fetch_request(&reader, 12,
                                  &(struct fetch_args){.topic = "t",
                                                       .offset = 5,
                                                       .min_bytes = (int32_t)bytes + 1,
                                                       .max_wait_ms = 120000,
                                                       .session_epoch = -1}));
        produce(&writer, "t", 0, batch_of(&rig, 5, NOW_MS, 0, false));
        leat_os_sleep_us(30000);
        produce(&writer, "t", 0, batch_of(&rig, 5, NOW_MS, 0, false));
        client_receive(&reader, LEAT_KAFKA_FETCH, 12, reader.next_id - 1, &res);
        CHECK_INT(records_count(res.responses[0].partitions[0].records.view), 10);
        /* max_wait ends it. */
        int64_t start_us = leat_os_monotonic_us();
        client_call(
                &reader, LEAT_KAFKA_FETCH, 12,
                fetch_request(
                        &reader, 12,
                        &(struct fetch_args){
                                .topic = "t", .offset = 15, .min_bytes = 1, .max_wait_ms = 100, .session_epoch = -1}),
                &res);
        CHECK(leat_os_monotonic_us() - start_us >= 90000);
        CHECK_INT(res.responses[0].partitions[0].records.view.len, 0);
        client_close(&reader);
        client_close(&writer);
        rig_stop(&rig);
}

/* Deleting a topic ends the fetches that wait for it; a reader that goes leaves nothing behind. */
LEAT_TEST(fetch_parked_ends)
{
        struct rig rig;
        struct client reader, gone, writer;
        struct leat_kafka_fetch_response res;
        struct leat_kafka_delete_topics_request req;
        struct leat_kafka_delete_topics_response deleted;
        struct leat_kafka_delete_topic topic;
        struct fetch_args args = {.topic = "t", .min_bytes = 1, .max_wait_ms = 120000, .session_epoch = -1};
        rig_start(&rig);
        client_open(&rig, &reader);
        client_open(&rig, &gone);
        client_open(&rig, &writer);
        struct leat_topic_id id = topic_make(&writer, "t", 1, NULL, NULL);
        client_send(&gone, LEAT_KAFKA_FETCH, 13, fetch_request(&gone, 13, &args));
        client_send(&reader, LEAT_KAFKA_FETCH, 13, fetch_request(&reader, 13, &args));
        wait_parked(&rig, id, 0);
        client_close(&gone);
        LEAT_KAFKA_INIT(delete_topics_request, &req);
        LEAT_KAFKA_INIT(delete_topic, &topic);
        topic.name = leat_view_str("t");
        req.topics = &topic;
        req.topics_count = 1;
        client_call(&writer, LEAT_KAFKA_DELETE_TOPICS, 6, &req, &deleted);
        CHECK_INT(deleted.responses[0].error_code, 0);
        client_receive(&reader, LEAT_KAFKA_FETCH, 13, 1, &res);
        CHECK_INT(res.responses[0].partitions[0].error_code, LEAT_KAFKA_E_UNKNOWN_TOPIC_ID);
        /* Stopping answers what waits. */
        id = topic_make(&writer, "u", 1, NULL, NULL);
        args.topic = "u";
        client_send(&reader, LEAT_KAFKA_FETCH, 13, fetch_request(&reader, 13, &args));
        wait_parked(&rig, id, 0);
        int64_t start_us = leat_os_monotonic_us();
        leat_broker_stop(rig.broker);
        CHECK(leat_os_monotonic_us() - start_us < 60 * 1000 * 1000);
        rig.broker = NULL;
        client_receive(&reader, LEAT_KAFKA_FETCH, 13, 2, &res);
        client_close(&reader);
        client_close(&writer);
        rig_stop(&rig);
}

static void sessions_at(struct rig *rig, int16_t version, const char *topic)
{
        struct client client;
        struct leat_kafka_fetch_response res;
        client_open(rig, &client);
        topic_make(&client, topic, 2, NULL, NULL);
        produce(&client, topic, 0, batch_of(rig, 5, NOW_MS, 0, false));
        client_call(&client, LEAT_KAFKA_FETCH, version,
                    fetch_request(&client, version, &(struct fetch_args){.topic = topic, .session_epoch = 0}), &res);
        int32_t id = res.session_id;
        CHECK(id > 0);
        CHECK_INT(res.responses_count, 1);
        /* No news: nothing in the answer. The position is still 0, so the records come again. */
        client_call(
                &client, LEAT_KAFKA_FETCH, version,
                fetch_request(&client, version,
                              &(struct fetch_args){.topic = topic, .offset = 5, .session_id = id, .session_epoch = 1}),
                &res);
        CHECK_INT(res.error_code, 0);
        CHECK_INT(res.responses_count, 0);
        /* A partition joins, unnamed ones stay. */
        client_call(&client, LEAT_KAFKA_FETCH, version,
                    fetch_request(
                            &client, version,
                            &(struct fetch_args){.topic = topic, .partition = 1, .session_id = id, .session_epoch = 2}),
                    &res);
        CHECK_INT(res.responses_count, 1);
        CHECK_INT(res.responses[0].partitions_count, 1);
        CHECK_INT(res.responses[0].partitions[0].partition_index, 1);
        produce(&client, topic, 0, batch_of(rig, 7, NOW_MS, 0, false));
        struct leat_kafka_fetch_request *empty =
                fetch_request(&client, version, &(struct fetch_args){.session_id = id, .session_epoch = 3});
        client_call(&client, LEAT_KAFKA_FETCH, version, empty, &res);
        CHECK_INT(res.responses_count, 1);
        CHECK_INT(records_count(res.responses[0].partitions[0].records.view), 7);
        /* The wrong epoch, an unknown session. */
        client_call(&client, LEAT_KAFKA_FETCH, version, empty, &res);
        CHECK_INT(res.error_code, LEAT_KAFKA_E_INVALID_FETCH_SESSION_EPOCH);
        empty->session_id = id ^ 1;
        client_call(&client, LEAT_KAFKA_FETCH, version, empty, &res);
        CHECK_INT(res.error_code, LEAT_KAFKA_E_FETCH_SESSION_ID_NOT_FOUND);
        /* Forgotten partitions are not read any more. */
        struct leat_kafka_fetch_request *forget =
                fetch_request(&client, version, &(struct fetch_args){.session_id = id, .session_epoch = 4});
        struct leat_kafka_fetch_request *named = fetch_request(&client, version, &(struct fetch_args){.topic = topic});
        int32_t zero = 0;
        forget->forgotten_topics_data = LEAT_KAFKA_NEW(rig->arena, fetch_forgotten, 1);
        forget->forgotten_topics_data_count = 1;
        forget->forgotten_topics_data[0].topic = named->topics[0].topic;
        forget->forgotten_topics_data[0].topic_id = named->topics[0].topic_id;
        forget->forgotten_topics_data[0].partitions = &zero;
        forget->forgotten_topics_data[0].partitions_count = 1;
        client_call(&client, LEAT_KAFKA_FETCH, version, forget, &res);
        CHECK_INT(res.error_code, 0);
        CHECK_INT(res.responses_count, 0);
        client_close(&client);
}

LEAT_TEST(fetch_sessions)
{
        struct rig rig;
        rig_start(&rig);
        sessions_at(&rig, 12, "by-name");
        sessions_at(&rig, 13, "by-id");
        rig_stop(&rig);
}
