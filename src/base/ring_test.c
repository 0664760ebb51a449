/* SPDX-License-Identifier: Apache-2.0 */
#include "leat/test.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "leat/base.h"

#define PRODUCERS 4
#define EACH 20000u

LEAT_TEST(ring_bounded_fifo)
{
        struct leat_ring *ring = leat_ring_new(3); /* 4 slots */
        int items[5];
        CHECK(leat_ring_pop(ring) == NULL);
        for (int lap = 0; lap < 10; lap++) {
                for (int i = 0; i < 4; i++)
                        CHECK(leat_ring_push(ring, &items[i]));
                CHECK(!leat_ring_push(ring, &items[4]));
                CHECK(leat_ring_pop(ring) == &items[0]);
                CHECK(leat_ring_push(ring, &items[4]));
                for (int i = 1; i < 5; i++)
                        CHECK(leat_ring_pop(ring) == &items[i]);
                CHECK(leat_ring_pop(ring) == NULL);
        }
        leat_ring_free(ring);
        ring = leat_ring_new(1); /* the smallest has 2 */
        for (int lap = 0; lap < 5; lap++) {
                CHECK(leat_ring_push(ring, &items[0]) && leat_ring_push(ring, &items[1]));
                CHECK(!leat_ring_push(ring, &items[2]));
                CHECK(leat_ring_pop(ring) == &items[0] && leat_ring_pop(ring) == &items[1]);
        }
        leat_ring_free(ring);
        leat_ring_free(NULL);
}

struct producer {
        struct leat_ring *ring;
        uintptr_t id;
};

static void *produce(void *arg)
{
        struct producer *p = arg;
        for (uintptr_t i = 1; i <= EACH; i++)
                while (!leat_ring_push(p->ring, (void *)(p->id << 32 | i)))
                        sched_yield();
        return NULL;
}

/* Nothing lost, nothing twice, each producer's messages in their order. */
LEAT_TEST(ring_many_producers)
{
        struct leat_ring *ring = leat_ring_new(64);
        struct producer producers[PRODUCERS];
        pthread_t threads[PRODUCERS];
        uintptr_t last[PRODUCERS] = {0};
        for (uintptr_t i = 0; i < PRODUCERS; i++) {
                producers[i] = (struct producer){.ring = ring, .id = i};
                CHECK(pthread_create(&threads[i], NULL, produce, &producers[i]) == 0);
        }
        for (size_t got = 0; got < (size_t)PRODUCERS * EACH;) {
                uintptr_t message = (uintptr_t)leat_ring_pop(ring);
                if (message == 0) {
                        sched_yield();
                        continue;
                }
                CHECK_INT(message & UINT32_MAX, last[message >> 32] + 1);
                last[message >> 32]++;
                got++;
        }
        for (int i = 0; i < PRODUCERS; i++)
                pthread_join(threads[i], NULL);
        CHECK(leat_ring_pop(ring) == NULL);
        leat_ring_free(ring);
}

static void *ref_unref(void *arg)
{
        struct leat_block *block = arg;
        for (int i = 0; i < 10000; i++)
                leat_block_unref(leat_block_ref(block));
        leat_block_unref(block);
        return NULL;
}

LEAT_TEST(block_shared_by_threads)
{
        struct leat_block *block = leat_block_new(100);
        pthread_t threads[2];
        memset(block->data, 1, 100);
        for (int i = 0; i < 2; i++)
                CHECK(pthread_create(&threads[i], NULL, ref_unref, leat_block_ref(block)) == 0);
        leat_block_unref(block);
        for (int i = 0; i < 2; i++)
                pthread_join(threads[i], NULL);
}
