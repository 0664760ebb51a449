/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/base: bounded queue between threads; the only way that data crosses
 * them. Any number of producers, one consumer. Lock-free (Vyukov's bounded
 * queue); waking the consumer is the caller's business (leat/net.h does).
 */
#ifndef LEAT_RING_H
#define LEAT_RING_H

#include <stdbool.h>
#include <stddef.h>

struct leat_ring;

/* @slots is rounded up to a power of two. */
struct leat_ring *leat_ring_new(size_t slots);
/* Messages still inside are the caller's to free. */
void leat_ring_free(struct leat_ring *ring);
/* False when it is full. Thread: any. */
bool leat_ring_push(struct leat_ring *ring, void *message);
/* NULL when it is empty. Thread: the consumer. */
void *leat_ring_pop(struct leat_ring *ring);

#endif
