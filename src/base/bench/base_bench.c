/* SPDX-License-Identifier: Apache-2.0 */
/* Figures of base: checksums, the ring, arenas. */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "leat/base.h"

static double now_s(void)
{
        struct timespec ts;
        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static void bench_crc(size_t bytes)
{
        uint8_t *data = leat_calloc(1, bytes);
        size_t rounds = ((size_t)2 << 30) / bytes;
        uint32_t sum = 0;
        double start_s = now_s();
        for (size_t i = 0; i < rounds; i++)
                sum = leat_crc32c(sum, data, bytes);
        double took_s = now_s() - start_s;
        printf("crc32c of %7zu bytes  %6.1f GB/s  (%08x)\n", bytes, (double)(rounds * bytes) / took_s / 1e9, sum);
        free(data);
}

#define RING_MESSAGES 5000000u

static void *ring_produce(void *arg)
{
        for (uintptr_t i = 1; i <= RING_MESSAGES; i++)
                while (!leat_ring_push(arg, (void *)i))
                        sched_yield();
        return NULL;
}

static void bench_ring(void)
{
        struct leat_ring *ring = leat_ring_new(1024);
        pthread_t producer;
        double start_s = now_s();
        if (pthread_create(&producer, NULL, ring_produce, ring) != 0)
                abort();
        for (size_t got = 0; got < RING_MESSAGES;) {
                if (leat_ring_pop(ring) != NULL)
                        got++;
                else
                        sched_yield();
        }
        pthread_join(producer, NULL);
        printf("ring, two threads       %6.1f M messages/s\n", RING_MESSAGES / (now_s() - start_s) / 1e6);
        leat_ring_free(ring);
}

static void bench_arena(void)
{
        struct leat_arena *arena = leat_arena_new(0);
        size_t count = 0;
        double start_s = now_s();
        for (int round = 0; round < 20000; round++) {
                for (size_t i = 0; i < 500; i++, count++)
                        leat_arena_alloc(arena, 16 + i % 100);
                leat_arena_reset(arena);
        }
        printf("arena, 66 bytes each    %6.1f ns an allocation\n", (now_s() - start_s) * 1e9 / (double)count);
        leat_arena_free(arena);
}

int main(void)
{
        bench_crc(200);
        bench_crc(16384);
        bench_crc(1048576);
        bench_ring();
        bench_arena();
        return 0;
}
