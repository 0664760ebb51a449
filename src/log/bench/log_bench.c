/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Append and sync, as the broker does it: each partition has a few batches under way; the answer to one is the
 * permission for the next.
 *
 *   log_bench DIR [seconds]
 *
 * Prints one line per number of partitions: MB/s of batches that are on disk, syncs are as many as it takes.
 */
#include <pthread.h>
#include <stdio.h>

#include "leat/log.h"
#include "leat/os.h"

#define UNDER_WAY_BYTES (1 << 20) /* of each partition, as a client with many requests in flight */

struct run {
        pthread_mutex_t lock;
        pthread_cond_t cond;
        struct slot *ready; /* slots whose sync is done */
        uint64_t bytes;
        uint32_t under_way;
        bool failed;
};
struct slot {
        struct leat_log_waiter waiter; /* first */
        struct run *run;
        struct leat_log_partition *part;
        struct slot *next;
        uint32_t bytes;
};

static void synced(struct leat_log_waiter *waiter, const struct leat_error *err)
{
        struct slot *slot = (struct slot *)waiter;
        struct run *run = slot->run;

        pthread_mutex_lock(&run->lock);
        run->failed |= err != NULL;
        run->bytes += slot->bytes;
        run->under_way--;
        slot->next = run->ready;
        run->ready = slot;
        pthread_cond_signal(&run->cond);
        pthread_mutex_unlock(&run->lock);
}

static void make_batch(struct leat_buf *out, uint32_t bytes)
{
        uint8_t *p = leat_buf_reserve(out, bytes);

        leat_os_random(p, bytes);
        leat_put_be64(p, 0);
        leat_put_be32(p + 8, bytes - 12);
        p[16] = 2;
        leat_put_be32(p + 23, bytes / 1024);
        leat_put_be64(p + 43, UINT64_MAX);
        leat_put_be32(p + 53, UINT32_MAX);
        leat_put_be32(p + 57, bytes / 1024 + 1);
        leat_put_be32(p + 17, leat_crc32c(0, p + 21, bytes - 21));
        out->len += bytes;
}

static int send(struct slot *slot, struct leat_view batch, struct leat_error *err)
{
        struct leat_log_appended appended;

        LEAT_TRY(leat_log_append(slot->part, batch, &appended, err));
        pthread_mutex_lock(&slot->run->lock);
        slot->run->under_way++;
        pthread_mutex_unlock(&slot->run->lock);
        leat_log_sync(slot->part, &appended, &slot->waiter);
        return 0;
}

/* Keeps all slots busy for @seconds; returns MB/s. */
static double drive(struct run *run, struct slot *slots, uint32_t count, struct leat_view batch, double seconds)
{
        int64_t start = leat_os_monotonic_us(), end = start + (int64_t)(seconds * 1e6);
        struct leat_error err;

        for (uint32_t i = 0; i < count; i++) {
                slots[i].next = run->ready;
                run->ready = &slots[i];
        }
        while (!run->failed) {
                struct slot *list;
                bool over = leat_os_monotonic_us() >= end;

                pthread_mutex_lock(&run->lock);
                while (!run->ready && run->under_way > 0)
                        pthread_cond_wait(&run->cond, &run->lock);
                list = run->ready;
                run->ready = NULL;
                pthread_mutex_unlock(&run->lock);
                if (!list)
                        break;
                while (list && !over) {
                        struct slot *slot = list;

                        list = list->next;
                        if (send(slot, batch, &err) != 0) {
                                fprintf(stderr, "%s\n", err.message);
                                run->failed = true;
                                break;
                        }
                }
        }
        return (double)run->bytes / (double)(leat_os_monotonic_us() - start);
}

static int bench(const char *dir, uint32_t partitions, uint32_t batch_bytes, double seconds)
{
        struct run run = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
        uint32_t depth = LEAT_MAX(1u, LEAT_MIN(64u, UNDER_WAY_BYTES / batch_bytes));
        uint32_t count = partitions >= 1000 ? partitions : partitions * depth;
        struct slot *slots = leat_calloc(count, sizeof(*slots));
        struct leat_buf batch = LEAT_BUF_INIT;
        struct leat_log_topic *topic;
        struct leat_error err;
        struct leat_log *log;
        double rate;

        if (leat_os_remove_tree(dir, &err) != 0 || leat_log_open(dir, &log, &err) != 0 ||
            leat_log_topic_create(log, "bench", partitions, NULL, 0, &topic, &err) != 0) {
                fprintf(stderr, "%s\n", err.message);
                return 1;
        }
        make_batch(&batch, batch_bytes);
        for (uint32_t i = 0; i < count; i++) {
                slots[i].waiter.done = synced;
                slots[i].run = &run;
                slots[i].bytes = batch_bytes;
                slots[i].part = leat_log_partition_find(log, topic->id, i % partitions);
        }
        rate = drive(&run, slots, count, leat_buf_view(&batch), seconds);
        printf("%4u partitions  %4u KB batches  %2u under way each  %7.0f MB/s\n", partitions, batch_bytes / 1024,
               count / partitions, rate);
        for (uint32_t i = 0; i < count; i++)
                leat_log_partition_unref(slots[i].part);
        leat_log_topic_unref(topic);
        leat_log_close(log);
        leat_buf_done(&batch);
        free(slots);
        return leat_os_remove_tree(dir, &err) != 0 || run.failed;
}

int main(int argc, char **argv)
{
        static const uint32_t partitions[] = {1, 6, 64, 1000};
        double seconds = argc > 2 ? atof(argv[2]) : 3;
        int rc = 0;

        if (argc < 2) {
                fprintf(stderr, "usage: log_bench DIR [seconds]\n");
                return 2;
        }
        for (size_t i = 0; i < LEAT_ARRAY_LEN(partitions); i++) {
                rc |= bench(argv[1], partitions[i], 16 << 10, seconds);
                rc |= bench(argv[1], partitions[i], 128 << 10, seconds);
        }
        return rc;
}
