/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load: lines of a file as records of a topic, as fast as the broker takes them or
 * at a given rate. The loader of the end-to-end benchmarks: it makes whole record
 * batches and no JSON, so that it costs little beside what is measured.
 *
 *   load --kafka ADDR --topic NAME --file LINES [--rate N] [--batch RECORDS] [--from LINE] [--count N] [--begin US]
 *
 * Batches go to the partitions in turn. Record n of a paced run is due at begin + n / rate (begin: microseconds since
 * 1970, default now); a batch leaves when its last record is due. At the end it prints one line of JSON: records, seconds, its own CPU seconds.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "leat/feed.h"

struct options {
        const char *kafka, *topic, *file;
        uint64_t rate, from, count;
        int64_t begin_us;
        uint32_t batch;
};

static uint64_t lost;

static void batch_done(void *arg, int64_t base_offset, const struct leat_error *err)
{
        (void)base_offset;
        if (err != NULL && err->code != 0) {
                fprintf(stderr, "load: %s\n", err->message);
                lost += (uint64_t)(uintptr_t)arg;
        }
}

static void fail(const char *what, const struct leat_error *err)
{
        fprintf(stderr, "load: %s: %s\n", what, err->message);
        exit(1);
}

static struct options options_read(int argc, char **argv)
{
        struct options o = {.kafka = "127.0.0.1:9092", .batch = 500, .count = UINT64_MAX};
        for (int i = 1; i + 1 < argc; i += 2) {
                const char *name = argv[i], *value = argv[i + 1];
                if (strcmp(name, "--kafka") == 0)
                        o.kafka = value;
                else if (strcmp(name, "--topic") == 0)
                        o.topic = value;
                else if (strcmp(name, "--file") == 0)
                        o.file = value;
                else if (strcmp(name, "--rate") == 0)
                        o.rate = strtoull(value, NULL, 10);
                else if (strcmp(name, "--batch") == 0)
                        o.batch = (uint32_t)strtoul(value, NULL, 10);
                else if (strcmp(name, "--from") == 0)
                        o.from = strtoull(value, NULL, 10);
                else if (strcmp(name, "--count") == 0)
                        o.count = strtoull(value, NULL, 10);
                else if (strcmp(name, "--begin") == 0)
                        o.begin_us = strtoll(value, NULL, 10);
        }
        if (o.topic == NULL || o.file == NULL || o.batch == 0 || argc % 2 == 0) {
                fprintf(stderr, "usage: load --kafka ADDR --topic NAME --file LINES [--rate N] [--batch RECORDS] "
                                "[--from LINE] [--count N]\n");
                exit(2);
        }
        return o;
}

static struct leat_view file_map(const char *path)
{
        struct stat st;
        int fd = open(path, O_RDONLY);
        if (fd < 0 || fstat(fd, &st) != 0 || st.st_size == 0) {
                perror(path);
                exit(1);
        }
        void *at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (at == MAP_FAILED) {
                perror(path);
                exit(1);
        }
        madvise(at, (size_t)st.st_size, MADV_SEQUENTIAL);
        close(fd);
        return leat_view_of(at, (size_t)st.st_size);
}

/* Takes one line off @io_rest. */
static bool line_next(struct leat_view *io_rest, struct leat_view *ret_line)
{
        if (io_rest->len == 0)
                return false;
        const uint8_t *end = memchr(io_rest->data, '\n', io_rest->len);
        size_t len = end != NULL ? (size_t)(end - io_rest->data) : io_rest->len;
        size_t used = end != NULL ? len + 1 : len;
        *ret_line = leat_view_of(io_rest->data, len);
        *io_rest = leat_view_of(io_rest->data + used, io_rest->len - used);
        return true;
}

/* Sends everything; returns how many records. */
static uint64_t send_all(const struct options *o, struct leat_feed_writer *writer, int32_t partitions)
{
        struct leat_error err = {0};
        struct leat_view rest = file_map(o->file), line;
        struct leat_record *records = calloc(o->batch, sizeof *records);
        int64_t begun = leat_os_monotonic_us() + (o->begin_us != 0 ? o->begin_us - leat_os_now_us() : 0);
        uint64_t sent = 0;
        int32_t partition = 0;
        for (uint64_t i = 0; i < o->from && line_next(&rest, &line);)
                i++;
        while (sent < o->count) {
                uint32_t n = 0;
                while (n < o->batch && sent + n < o->count && line_next(&rest, &line))
                        records[n++].value = line;
                if (n == 0)
                        break;
                if (o->rate > 0) {
                        int64_t due = begun + (int64_t)((sent + n) * 1000000 / o->rate);
                        while (leat_os_monotonic_us() < due) {
                                int64_t left = due - leat_os_monotonic_us();
                                if (leat_feed_service(writer, &err) != 0)
                                        fail("service", &err);
                                leat_os_sleep_us(LEAT_MAX(LEAT_MIN(left, 2000), 1));
                        }
                }
                if (leat_feed_send(writer, o->topic, partition, records, n, 0, batch_done, (void *)(uintptr_t)n,
                                   &err) != 0)
                        fail("send", &err);
                partition = (partition + 1) % partitions;
                sent += n;
        }
        free(records);
        return sent;
}

int main(int argc, char **argv)
{
        struct options o = options_read(argc, argv);
        struct leat_error err = {0};
        struct leat_addr addr;
        struct leat_feed *feed = NULL;
        struct leat_feed_writer *writer = NULL;
        struct leat_feed_topic topic;
        struct rusage use;
        if (leat_os_addr_parse(o.kafka, &addr, &err) != 0 || leat_feed_open(&addr, "load", &feed, &err) != 0 ||
            leat_feed_topic(feed, o.topic, &topic, &err) != 0 || leat_feed_writer_open(feed, &writer, &err) != 0)
                fail(o.kafka, &err);
        int64_t begun = leat_os_monotonic_us();
        uint64_t sent = send_all(&o, writer, topic.partitions);
        if (leat_feed_flush(writer, 60000000, &err) != 0)
                fail("flush", &err);
        double seconds = (double)(leat_os_monotonic_us() - begun) / 1e6;
        getrusage(RUSAGE_SELF, &use);
        printf("{\"records\": %llu, \"lost\": %llu, \"seconds\": %.3f, \"cpu_s\": %.3f}\n", (unsigned long long)sent,
               (unsigned long long)lost, seconds,
               (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
                       (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6);
        leat_feed_writer_close(writer);
        leat_feed_close(feed);
        return lost == 0 ? 0 : 1;
}
