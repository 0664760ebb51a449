/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Figures of the broker: records of 1 KiB, acks=all, on the disk before they are acknowledged.
 *
 * The broker runs in a process of its own. The client sends batches that were made beforehand, one per partition and
 * request, so its own work is small; both CPU times are printed. Five requests in flight are what an idempotent producer
 * has; librdkafka without idempotence has more.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "leat/batch.h"
#include "leat/broker.h"
#include "leat/kafka.h"
#include "leat/os.h"

#define RECORD_BYTES 1024
#define REQUEST_PARTITIONS_MAX 64
#define RUNS 5

static struct leat_arena *arena;
static uint16_t port;
static int32_t next_id = 1;

static _Noreturn void fail(const char *what, const struct leat_error *err)
{
        fprintf(stderr, "%s: %s\n", what, err != NULL ? err->message : "failed");
        exit(1);
}

/* ---- the broker ----------------------------------------------------------------------------- */

static pid_t broker_begin(const char *dir)
{
        struct leat_error err;
        struct leat_addr addr = {.host = "127.0.0.1"};
        int fd;
        if (leat_os_listen(&addr, 64, &fd, &port, &err) != 0)
                fail("listen", &err);
        pid_t pid = fork();
        if (pid != 0) {
                leat_os_close(fd);
                return pid;
        }
        sigset_t set;
        int signo;
        struct leat_broker *broker;
        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        pthread_sigmask(SIG_BLOCK, &set, NULL);
        leat_diag_init("broker", LEAT_DIAG_WARN);
        if (leat_broker_start(&(struct leat_broker_options){.data_dir = dir, .listen_fd = fd}, &broker, &err) != 0)
                fail("broker", &err);
        sigwait(&set, &signo);
        leat_broker_stop(broker);
        _exit(0);
}

/* CPU seconds that the broker has used. */
static double broker_cpu_s(pid_t pid)
{
        char path[64];
        unsigned long user = 0, kernel = 0;
        snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
        FILE *file = fopen(path, "r");
        if (file == NULL ||
            fscanf(file, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &kernel) != 2)
                fail("broker's times", NULL);
        fclose(file);
        return (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
}

static double own_cpu_s(void)
{
        struct rusage use;
        getrusage(RUSAGE_SELF, &use);
        return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
               (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1e-6;
}

/* ---- the client ------------------------------------------------------------------------------ */

static void send_all(int fd, struct leat_view data)
{
        for (size_t at = 0; at < data.len;) {
                ssize_t n = leat_os_send(fd, data.data + at, data.len - at);
                if (n > 0)
                        at += (size_t)n;
                else if (leat_os_poll1(fd, POLLOUT, 10000000) <= 0)
                        fail("send", NULL);
        }
}

static void receive_all(int fd, uint8_t *out, size_t bytes)
{
        for (size_t at = 0; at < bytes;) {
                ssize_t n = leat_os_recv(fd, out + at, bytes - at);
                if (n > 0)
                        at += (size_t)n;
                else if (n == 0 || leat_os_poll1(fd, POLLIN, 30000000) <= 0)
                        fail("receive", NULL);
        }
}

/* Reads one answer into @buf, decodes it into @ret_message. */
static void answer_read(int fd, int16_t key, int16_t version, struct leat_buf *buf, void *ret_message)
{
        struct leat_error err;
        uint8_t size[4];
        receive_all(fd, size, 4);
        leat_buf_clear(buf);
        size_t bytes = leat_get_be32(size);
        receive_all(fd, leat_buf_reserve(buf, bytes), bytes);
        buf->len = bytes;
        if (leat_kafka_response_decode(leat_kafka_api_find(key), version, leat_buf_view(buf), arena, ret_message,
                                       &err) != 0)
                fail("answer", &err);
}

static struct leat_view request_bytes(int16_t key, int16_t version, const void *message)
{
        struct leat_chain chain = LEAT_CHAIN_INIT;
        leat_kafka_request_encode(leat_kafka_api_find(key), version, next_id++, leat_view_str("bench"), message,
                                  &chain);
        uint8_t *all = leat_arena_alloc(arena, chain.len);
        size_t len = chain.len;
        leat_chain_copy(&chain, all);
        leat_chain_done(&chain);
        return leat_view_of(all, len);
}

static struct leat_view batch_make(size_t batch_bytes)
{
        struct leat_error err;
        struct leat_kafka_batch_builder builder = {0};
        struct leat_buf out = LEAT_BUF_INIT;
        uint8_t value[RECORD_BYTES];
        leat_os_random(value, sizeof(value));
        for (size_t i = 0; i < batch_bytes / RECORD_BYTES; i++) {
                struct leat_record record = {.timestamp_ms = leat_os_now_us() / 1000,
                                             .value = leat_view_of(value, sizeof(value))};
                leat_kafka_builder_add(&builder, &record);
        }
        if (leat_kafka_builder_finish(&builder, LEAT_KAFKA_CODEC_NONE, -1, -1, -1, &out, &err) != 0)
                fail("batch", &err);
        leat_kafka_builder_done(&builder);
        return leat_buf_view(&out);
}

static void topic_make(int fd, const char *name, int32_t partitions)
{
        struct leat_kafka_create_topics_request req;
        struct leat_kafka_create_topics_response res;
        struct leat_kafka_create_topic topic;
        struct leat_buf buf = LEAT_BUF_INIT;
        LEAT_KAFKA_INIT(create_topics_request, &req);
        LEAT_KAFKA_INIT(create_topic, &topic);
        topic.name = leat_view_str(name);
        topic.num_partitions = partitions;
        topic.replication_factor = 1;
        req.topics = &topic;
        req.topics_count = 1;
        send_all(fd, request_bytes(LEAT_KAFKA_CREATE_TOPICS, 5, &req));
        answer_read(fd, LEAT_KAFKA_CREATE_TOPICS, 5, &buf, &res);
        if (res.topics[0].error_code != 0)
                fail("topic", NULL);
        leat_buf_done(&buf);
}

/* One request with a batch for each partition from @first on. */
static struct leat_view produce_request(const char *topic, int32_t first, int32_t count, struct leat_view batch)
{
        struct leat_kafka_produce_request req;
        struct leat_kafka_produce_topic in;
        LEAT_KAFKA_INIT(produce_request, &req);
        LEAT_KAFKA_INIT(produce_topic, &in);
        in.name = leat_view_str(topic);
        in.partition_data = LEAT_KAFKA_NEW(arena, produce_partition, (size_t)count);
        in.partition_data_count = count;
        for (int32_t i = 0; i < count; i++) {
                in.partition_data[i].index = first + i;
                in.partition_data[i].records.view = batch;
        }
        req.acks = -1;
        req.topic_data = &in;
        req.topic_data_count = 1;
        return request_bytes(LEAT_KAFKA_PRODUCE, 9, &req);
}

static void produced_check(int fd, struct leat_buf *buf)
{
        struct leat_kafka_produce_response res;
        answer_read(fd, LEAT_KAFKA_PRODUCE, 9, buf, &res);
        for (int32_t i = 0; i < res.responses[0].partition_responses_count; i++) {
                if (res.responses[0].partition_responses[i].error_code != 0)
                        fail("batch refused", NULL);
        }
}

/* Produces about @total bytes to all partitions in turn, for @limit_us at most; returns how many, and the seconds. */
static size_t produce_run(int fd, const char *topic, int32_t partitions, struct leat_view batch, size_t in_flight,
                          size_t total, int64_t limit_us, double *ret_seconds)
{
        int32_t each = LEAT_MIN(partitions, REQUEST_PARTITIONS_MAX), groups = partitions / each;
        struct leat_view *requests = leat_arena_alloc(arena, (size_t)groups * sizeof(*requests));
        struct leat_buf buf = LEAT_BUF_INIT;
        for (int32_t i = 0; i < groups; i++)
                requests[i] = produce_request(topic, i * each, each, batch);
        size_t count = LEAT_MAX(total / (batch.len * (size_t)each), (size_t)1);
        int64_t start_us = leat_os_monotonic_us();
        for (size_t sent = 0, answered = 0; answered < count;) {
                while (sent < count && sent - answered < in_flight)
                        send_all(fd, requests[sent++ % (size_t)groups]);
                produced_check(fd, &buf);
                answered++;
                if (leat_os_monotonic_us() - start_us >= limit_us)
                        count = sent;
        }
        leat_buf_done(&buf);
        *ret_seconds = (double)(leat_os_monotonic_us() - start_us) * 1e-6;
        return count * batch.len * (size_t)each;
}

/* Seconds to read @total bytes of partition 0. */
static double fetch_run(int fd, const char *topic, size_t total)
{
        struct leat_kafka_fetch_request req;
        struct leat_kafka_fetch_topic in;
        struct leat_kafka_fetch_partition part;
        struct leat_buf buf = LEAT_BUF_INIT;
        size_t got = 0;
        LEAT_KAFKA_INIT(fetch_request, &req);
        LEAT_KAFKA_INIT(fetch_topic, &in);
        LEAT_KAFKA_INIT(fetch_partition, &part);
        in.topic = leat_view_str(topic);
        in.partitions = &part;
        in.partitions_count = 1;
        part.partition_max_bytes = 1 << 20;
        req.min_bytes = 1;
        req.topics = &in;
        req.topics_count = 1;
        int64_t start_us = leat_os_monotonic_us();
        while (got < total) {
                struct leat_kafka_fetch_response res;
                send_all(fd, request_bytes(LEAT_KAFKA_FETCH, 11, &req));
                answer_read(fd, LEAT_KAFKA_FETCH, 11, &buf, &res);
                const struct leat_kafka_fetched_partition *out = &res.responses[0].partitions[0];
                struct leat_view rest = out->records.view;
                if (out->error_code != 0 || rest.len == 0)
                        break;
                got += rest.len;
                struct leat_kafka_batch batch;
                while (leat_kafka_batch_parse(rest, &batch, NULL, NULL) == 0) {
                        part.fetch_offset = batch.base_offset + batch.record_count;
                        rest = leat_view_of(rest.data + batch.bytes.len, rest.len - batch.bytes.len);
                }
                leat_arena_reset(arena);
        }
        leat_buf_done(&buf);
        return (double)(leat_os_monotonic_us() - start_us) * 1e-6 * (double)total / (double)LEAT_MAX(got, (size_t)1);
}

static int double_compare(const void *a, const void *b)
{
        double x = *(const double *)a, y = *(const double *)b;
        return (x > y) - (x < y);
}

static void produce_figure(int fd, pid_t broker, int32_t partitions, size_t batch_bytes, size_t in_flight, size_t total)
{
        double rates[RUNS], broker_s = broker_cpu_s(broker), own_s = own_cpu_s();
        char topic[64];
        struct leat_view batch = batch_make(batch_bytes);
        snprintf(topic, sizeof(topic), "p%d-%zu-%zu", partitions, batch_bytes, in_flight);
        topic_make(fd, topic, partitions);
        double records = 0, seconds;
        for (int i = 0; i < RUNS; i++) {
                size_t bytes = produce_run(fd, topic, partitions, batch, in_flight, total, INT64_MAX, &seconds);
                rates[i] = (double)bytes / seconds / 1e6;
                records += (double)bytes / RECORD_BYTES / 1e6;
                leat_arena_reset(arena);
        }
        qsort(rates, RUNS, sizeof(rates[0]), double_compare);
        printf("produce %4d partitions, %3zu KB batches, %2zu in flight  %6.0f MB/s (%.0f to %.0f), broker %.2f and "
               "client %.2f CPU-s "
               "a "
               "million\n",
               partitions, batch_bytes / 1024, in_flight, rates[RUNS / 2], rates[0], rates[RUNS - 1],
               (broker_cpu_s(broker) - broker_s) / records, (own_cpu_s() - own_s) / records);
        fflush(stdout);
        free((void *)(uintptr_t)batch.data);
}

/* ---- any broker ------------------------------------------------------------------------------- */

/* What `bench_broker at=...` was asked for. */
static struct {
        struct leat_addr at;
        int64_t pid, partitions, batch_kb, in_flight, ms, warm_ms, runs;
} other = {.partitions = 1, .batch_kb = 16, .in_flight = 5, .ms = 2000, .warm_ms = 4000, .runs = RUNS};

/* Apache Kafka answers CreateTopics before the partitions have a leader: batches are refused for a moment. */
static void topic_wait(int fd, const char *topic, int32_t partitions, struct leat_view batch)
{
        struct leat_buf buf = LEAT_BUF_INIT;
        int64_t give_up_us = leat_os_monotonic_us() + 10000000;
        for (int32_t i = 0; i < partitions;) {
                struct leat_kafka_produce_response res;
                send_all(fd, produce_request(topic, i, 1, batch));
                answer_read(fd, LEAT_KAFKA_PRODUCE, 9, &buf, &res);
                if (res.responses[0].partition_responses[0].error_code == 0)
                        i++;
                else if (leat_os_monotonic_us() > give_up_us)
                        fail("the topic stays without a leader", NULL);
                else
                        leat_os_sleep_us(20000);
                leat_arena_reset(arena);
        }
        leat_buf_done(&buf);
}

/* One case against a broker that runs already, Leat's or Apache Kafka; a line of JSON for each run. A run of
 * warm_ms comes first and is not told. */
static int other_run(void)
{
        struct leat_error err;
        int fd;
        if (leat_os_connect(&other.at, 5000000, &fd, &err) != 0)
                fail("connect", &err);
        struct leat_view batch = batch_make((size_t)other.batch_kb << 10);
        char topic[64];
        snprintf(topic, sizeof(topic), "bench-%d", (int)getpid());
        topic_make(fd, topic, (int32_t)other.partitions);
        topic_wait(fd, topic, (int32_t)other.partitions, batch);
        for (int64_t i = 0; i <= other.runs; i++) {
                double broker_s = broker_cpu_s((pid_t)other.pid), own_s = own_cpu_s();
                double seconds;
                size_t bytes = produce_run(fd, topic, (int32_t)other.partitions, batch, (size_t)other.in_flight,
                                           SIZE_MAX, (i == 0 ? other.warm_ms : other.ms) * 1000, &seconds);
                leat_arena_reset(arena);
                if (i > 0)
                        printf("{\"mb\": %.3f, \"seconds\": %.4f, \"broker_cpu_s\": %.3f, \"client_cpu_s\": %.3f}\n",
                               (double)bytes / 1e6, seconds, broker_cpu_s((pid_t)other.pid) - broker_s,
                               own_cpu_s() - own_s);
                fflush(stdout);
        }
        leat_os_close(fd);
        free((void *)(uintptr_t)batch.data);
        leat_arena_free(arena);
        return 0;
}

static bool other_option(const char *name, const char *value)
{
        const struct {
                const char *name;
                int64_t *to;
        } numbers[] = {{"pid", &other.pid},
                       {"partitions", &other.partitions},
                       {"batch_kb", &other.batch_kb},
                       {"in_flight", &other.in_flight},
                       {"ms", &other.ms},
                       {"warm_ms", &other.warm_ms},
                       {"runs", &other.runs}};
        if (strcmp(name, "at") == 0)
                return leat_os_addr_parse(value, &other.at, NULL) == 0;
        for (size_t i = 0; i < LEAT_ARRAY_LEN(numbers); i++) {
                if (strcmp(name, numbers[i].name) == 0) {
                        *numbers[i].to = strtoll(value, NULL, 10);
                        return *numbers[i].to > 0;
                }
        }
        return false;
}

/* bench_broker [name=value]...: parameters of the broker that it starts.
 * bench_broker at=HOST:PORT pid=N [partitions=N] [batch_kb=N] [in_flight=N] [ms=N] [warm_ms=N] [runs=N]: a broker that runs. */
int main(int argc, char **argv)
{
        struct leat_error err;
        arena = leat_arena_new(0);
        for (int i = 1; i < argc; i++) {
                char *value = strchr(argv[i], '=');
                if (value == NULL)
                        fail(argv[i], NULL);
                *value++ = '\0';
                if (other_option(argv[i], value))
                        continue;
                if (leat_param_set(argv[i], value, &err) != 0)
                        fail(argv[i], &err);
        }
        if (other.at.port != 0)
                return other_run();
        const char *base = getenv("LEAT_BENCH_DATA");
        char *dir = leat_asprintf("%s/broker-bench-%d", base != NULL ? base : "/tmp", (int)getpid());
        struct leat_addr addr = {.host = "127.0.0.1"};
        int fd;
        pid_t broker = broker_begin(dir);
        addr.port = port;
        if (leat_os_connect(&addr, 5000000, &fd, &err) != 0)
                fail("connect", &err);
        printf("records of 1 KiB, acks=all, synced; median (least to most) of %d\n", RUNS);
        static const struct {
                int32_t partitions;
                size_t batch_bytes, in_flight;
        } cases[] = {{1, 16 << 10, 5},  {1, 16 << 10, 50}, {1, 128 << 10, 5}, {6, 16 << 10, 5},
                     {6, 16 << 10, 50}, {6, 128 << 10, 5}, {64, 16 << 10, 5}, {1000, 16 << 10, 5}};
        for (size_t i = 0; i < LEAT_ARRAY_LEN(cases); i++)
                produce_figure(fd, broker, cases[i].partitions, cases[i].batch_bytes, cases[i].in_flight, 256u << 20);
        double broker_s = broker_cpu_s(broker);
        printf("fetch   1 partition, 1 MiB at a time     %6.0f MB/s, ",
               1024e6 / fetch_run(fd, "p1-16384-5", 1024000000) / 1e6);
        printf("broker %.2f CPU-s a million\n", (broker_cpu_s(broker) - broker_s) / 1.0);
        kill(broker, SIGTERM);
        waitpid(broker, NULL, 0);
        leat_os_close(fd);
        if (leat_os_remove_tree(dir, &err) != 0)
                fail("clean up", &err);
        leat_arena_free(arena);
        free(dir);
        return 0;
}
