/* SPDX-License-Identifier: Apache-2.0 */
/* Reads that wait for the disk: a disk that is cold (nothing is in memory) and stands still when told. */
#include <errno.h>
#include <pthread.h>

#include "broker_test_int.h"

#define NOW_MS (leat_os_now_us() / 1000)
#define FETCH_VERSION 12

static struct {
        _Atomic bool cold, stands;
        _Atomic int waiting; /* reads that stand now */
        _Atomic size_t piece_bytes;
} disk;

static ssize_t disk_pread_cached(int fd, void *data, size_t bytes, off_t offset)
{
        size_t piece = atomic_load(&disk.piece_bytes);
        if (!atomic_load(&disk.cold))
                return leat_os_system.pread_cached(fd, data, piece > 0 ? LEAT_MIN(bytes, piece) : bytes, offset);
        errno = EAGAIN;
        return -1;
}

static ssize_t disk_pread(int fd, void *data, size_t bytes, off_t offset)
{
        atomic_fetch_add(&disk.waiting, 1);
        while (atomic_load(&disk.stands))
                leat_os_sleep_us(1000);
        atomic_fetch_sub(&disk.waiting, 1);
        return leat_os_system.pread(fd, data, bytes, offset);
}

/* One loop, so that who waits for the disk is seen by all. */
static void cold_start(struct rig *rig, struct client *a, struct client *b)
{
        struct leat_error err;
        CHECK_OK(leat_param_set("broker.loops", "1", &err), &err);
        atomic_store(&disk.cold, false);
        atomic_store(&disk.stands, false);
        atomic_store(&disk.piece_bytes, 0);
        leat_os.pread_cached = disk_pread_cached;
        leat_os.pread = disk_pread;
        rig_start(rig);
        client_open(rig, a);
        client_open(rig, b);
        topic_make(a, "t", 2, NULL, NULL);
        for (int i = 0; i < 10; i++)
                CHECK_INT(produce(a, "t", 0, batch_of(rig, 10, NOW_MS, i % 2, false)).base_offset, 10 * i);
        atomic_store(&disk.cold, true);
}

static void cold_end(struct rig *rig, struct client *a, struct client *b)
{
        struct leat_error err;
        client_close(a);
        client_close(b);
        rig_stop(rig);
        leat_os = leat_os_system;
        CHECK_OK(leat_param_set("broker.loops", "0", &err), &err);
}

static void wait_for_reads(int count)
{
        for (int i = 0; i < 5000 && atomic_load(&disk.waiting) < count; i++)
                leat_os_sleep_us(1000);
        CHECK_INT(atomic_load(&disk.waiting), count);
}

static int32_t fetch_send(struct client *client, int64_t offset, int32_t min_bytes, int32_t max_wait_ms)
{
        struct fetch_args args = {.topic = "t",
                                  .offset = offset,
                                  .min_bytes = min_bytes,
                                  .max_wait_ms = max_wait_ms,
                                  .session_epoch = -1};
        client_send(client, LEAT_KAFKA_FETCH, FETCH_VERSION, fetch_request(client, FETCH_VERSION, &args));
        return client->next_id - 1;
}

static struct leat_kafka_fetched_partition fetch_receive(struct client *client, int32_t id)
{
        struct leat_kafka_fetch_response res;
        client_receive(client, LEAT_KAFKA_FETCH, FETCH_VERSION, id, &res);
        CHECK_INT(res.responses_count, 1);
        return res.responses[0].partitions[0];
}

static struct leat_kafka_list_offsets_request *list_request(struct client *client, int64_t time_ms)
{
        struct leat_arena *arena = client->rig->arena;
        struct leat_kafka_list_offsets_request *req = LEAT_KAFKA_NEW(arena, list_offsets_request, 1);
        req->replica_id = -1;
        req->topics = LEAT_KAFKA_NEW(arena, list_offsets_topic, 1);
        req->topics_count = 1;
        req->topics[0].name = leat_view_str("t");
        req->topics[0].partitions = LEAT_KAFKA_NEW(arena, list_offsets_partition, 1);
        req->topics[0].partitions_count = 1;
        req->topics[0].partitions[0].timestamp = time_ms;
        return req;
}

static int64_t list_receive(struct client *client, int32_t id)
{
        struct leat_kafka_list_offsets_response res;
        client_receive(client, LEAT_KAFKA_LIST_OFFSETS, 7, id, &res);
        CHECK_INT(res.topics_count, 1);
        CHECK_INT(res.topics[0].partitions[0].error_code, 0);
        return res.topics[0].partitions[0].offset;
}

/* Others are served while one waits; the one gets its answers in the order of its requests. */
LEAT_TEST(reads_hold_back_nobody_else)
{
        struct rig rig;
        struct client a, b;
        cold_start(&rig, &a, &b);
        atomic_store(&disk.stands, true);
        int32_t first = fetch_send(&a, 0, 1, 1000), second = a.next_id;
        client_send(&a, LEAT_KAFKA_LIST_OFFSETS, 7, list_request(&a, -1)); /* the end: needs no disk */
        int32_t third = a.next_id;
        client_send(&a, LEAT_KAFKA_LIST_OFFSETS, 7, list_request(&a, 0));
        int32_t fourth = fetch_send(&a, 50, 1, 1000);
        wait_for_reads(3);
        CHECK_INT(produce(&b, "t", 0, batch_of(&rig, 5, NOW_MS, 0, false)).base_offset, 100);
        CHECK_INT(produce(&b, "t", 1, batch_of(&rig, 5, NOW_MS, 0, false)).base_offset, 0);
        CHECK_INT(fetch_at(&b, FETCH_VERSION, &(struct fetch_args){.topic = "t", .offset = 105}).error_code, 0);
        CHECK_INT(atomic_load(&disk.waiting), 3);
        atomic_store(&disk.stands, false);
        CHECK(records_count(fetch_receive(&a, first).records.view) >= 100);
        CHECK(list_receive(&a, second) >= 100);
        CHECK_INT(list_receive(&a, third), 0);
        CHECK(records_count(fetch_receive(&a, fourth).records.view) >= 50);
        cold_end(&rig, &a, &b);
}

/* A long poll: reads what there is, waits for more, is woken by it and reads again. */
LEAT_TEST(reads_then_waits)
{
        struct rig rig;
        struct client a, b;
        cold_start(&rig, &a, &b);
        int64_t begun_us = leat_os_monotonic_us();
        CHECK_INT(records_count(fetch_receive(&a, fetch_send(&a, 0, 1 << 20, 300)).records.view), 100);
        CHECK(leat_os_monotonic_us() - begun_us >= 290000);
        int32_t id = fetch_send(&a, 100, 1, 10000);
        leat_os_sleep_us(20000);
        CHECK_INT(produce(&b, "t", 0, batch_of(&rig, 5, NOW_MS, 0, false)).base_offset, 100);
        CHECK_INT(records_count(fetch_receive(&a, id).records.view), 5);
        cold_end(&rig, &a, &b);
}

/* Memory holds a part: what is there comes, the rest is read. */
LEAT_TEST(reads_in_pieces)
{
        struct rig rig;
        struct client a, b;
        cold_start(&rig, &a, &b);
        atomic_store(&disk.cold, false);
        for (size_t piece = 1; piece < 3000; piece = piece * 3 / 2 + 7) {
                atomic_store(&disk.piece_bytes, piece);
                for (int64_t offset = 0; offset < 100; offset += 9)
                        CHECK_INT(records_count(fetch_receive(&a, fetch_send(&a, offset, 1, 1000)).records.view),
                                  100 - offset / 10 * 10);
        }
        cold_end(&rig, &a, &b);
}

/* The client goes away while its requests wait, more than there are threads. */
LEAT_TEST(reads_of_a_closed_connection)
{
        struct rig rig;
        struct client a, b;
        cold_start(&rig, &a, &b);
        atomic_store(&disk.stands, true);
        for (int i = 0; i < 20; i++)
                fetch_send(&a, i, 1, 1000);
        client_send(&a, LEAT_KAFKA_LIST_OFFSETS, 7, list_request(&a, 5));
        wait_for_reads(4);
        leat_os_close(a.fd);
        CHECK_INT(produce(&b, "t", 0, batch_of(&rig, 5, NOW_MS, 0, false)).base_offset, 100);
        while (leat_broker_connections(rig.broker) > 1)
                leat_os_sleep_us(1000);
        atomic_store(&disk.stands, false);
        CHECK_INT(records_count(fetch_receive(&b, fetch_send(&b, 0, 1, 1000)).records.view), 105);
        client_open(&rig, &a);
        cold_end(&rig, &a, &b);
}

/* Deleting a topic, and its records, under a read. */
LEAT_TEST(reads_of_a_deleted_topic)
{
        struct rig rig;
        struct client a, b;
        struct leat_error err;
        cold_start(&rig, &a, &b);
        atomic_store(&disk.stands, true);
        int32_t ids[3];
        for (int i = 0; i < 3; i++)
                ids[i] = fetch_send(&a, 10 * i, 1, 1000);
        wait_for_reads(3);
        struct leat_log *log = leat_broker_log(rig.broker);
        struct leat_log_topic *topic = leat_log_topic_find(log, leat_view_str("t"));
        CHECK_OK(leat_log_topic_delete(log, topic->id, &err), &err);
        leat_log_topic_unref(topic);
        atomic_store(&disk.stands, false);
        for (int i = 0; i < 3; i++) {
                struct leat_kafka_fetched_partition got = fetch_receive(&a, ids[i]);
                if (got.error_code != LEAT_KAFKA_E_UNKNOWN_TOPIC_OR_PARTITION)
                        CHECK_INT(records_count(got.records.view), 100 - 10 * i);
        }
        cold_end(&rig, &a, &b);
}

static void *disk_goes_on(void *arg)
{
        (void)arg;
        leat_os_sleep_us(300000);
        atomic_store(&disk.stands, false);
        return NULL;
}

/* The broker stops: what is read is answered, what waits for a thread gets an error. */
LEAT_TEST(reads_when_the_broker_stops)
{
        struct rig rig;
        struct client a, b;
        pthread_t thread;
        int32_t ids[10];
        cold_start(&rig, &a, &b);
        atomic_store(&disk.stands, true);
        for (int i = 0; i < 10; i++)
                ids[i] = fetch_send(&a, 0, 1, 1000);
        client_send(&b, LEAT_KAFKA_LIST_OFFSETS, 7, list_request(&b, 5));
        wait_for_reads(4);
        CHECK_INT(pthread_create(&thread, NULL, disk_goes_on, NULL), 0);
        leat_broker_stop(rig.broker);
        CHECK_INT(pthread_join(thread, NULL), 0);
        for (int i = 0; i < 10; i++) {
                struct leat_kafka_fetched_partition got = fetch_receive(&a, ids[i]);
                if (got.error_code == 0)
                        CHECK_INT(records_count(got.records.view), 100);
                else
                        CHECK_INT(got.error_code, LEAT_KAFKA_E_NOT_LEADER_OR_FOLLOWER);
                CHECK(i >= 4 || got.error_code == 0);
        }
        rig.broker = NULL;
        cold_end(&rig, &a, &b);
}
