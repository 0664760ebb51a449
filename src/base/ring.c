/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/base: bounded queue between threads (Vyukov).
 *
 * Each cell carries a sequence number that says whose turn it is: `seq == pos`
 * the producer that draws position pos may write, `seq == pos + 1` the
 * consumer may read; after reading, `pos + slots` opens the next lap. So a
 * producer that was preempted half-way holds up only its own cell.
 */
#include "leat/ring.h"

#include <stdatomic.h>
#include <stdint.h>

#include "leat/mem.h"

#define CACHE_LINE 64

struct ring_cell {
        _Atomic size_t seq;
        void *message;
};

struct leat_ring {
        size_t mask;
        struct ring_cell *cells;
        /* Producers and the consumer write their own cache line. */
        _Alignas(CACHE_LINE) _Atomic size_t tail;
        _Alignas(CACHE_LINE) size_t head; /* the consumer's */
};

struct leat_ring *leat_ring_new(size_t slots)
{
        size_t size = 2;
        LEAT_ASSERT(slots <= (size_t)1 << 30);
        while (size < slots)
                size *= 2;
        struct leat_ring *ring = aligned_alloc(CACHE_LINE, sizeof(*ring));
        LEAT_ASSERT(ring != NULL);
        ring->mask = size - 1;
        ring->cells = leat_calloc(size, sizeof(ring->cells[0]));
        for (size_t i = 0; i < size; i++)
                atomic_init(&ring->cells[i].seq, i);
        atomic_init(&ring->tail, 0);
        ring->head = 0;
        return ring;
}

void leat_ring_free(struct leat_ring *ring)
{
        if (ring == NULL)
                return;
        free(ring->cells);
        free(ring);
}

bool leat_ring_push(struct leat_ring *ring, void *message)
{
        size_t pos = atomic_load_explicit(&ring->tail, memory_order_relaxed);
        LEAT_DCHECK(message != NULL);
        for (;;) {
                struct ring_cell *cell = &ring->cells[pos & ring->mask];
                size_t seq = atomic_load_explicit(&cell->seq, memory_order_acquire);
                intptr_t turn = (intptr_t)(seq - pos);
                if (turn < 0)
                        return false;
                if (turn > 0) {
                        pos = atomic_load_explicit(&ring->tail, memory_order_relaxed);
                        continue;
                }
                if (atomic_compare_exchange_weak_explicit(&ring->tail, &pos, pos + 1, memory_order_relaxed,
                                                          memory_order_relaxed)) {
                        cell->message = message;
                        atomic_store_explicit(&cell->seq, pos + 1, memory_order_release);
                        return true;
                }
        }
}

void *leat_ring_pop(struct leat_ring *ring)
{
        struct ring_cell *cell = &ring->cells[ring->head & ring->mask];
        if (atomic_load_explicit(&cell->seq, memory_order_acquire) != ring->head + 1)
                return NULL;
        void *message = cell->message;
        atomic_store_explicit(&cell->seq, ring->head + ring->mask + 1, memory_order_release);
        ring->head++;
        return message;
}
