/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/broker: syncs for many batches at once.
 *
 * A sync costs the processor about as much as checking and appending 40 KB, so
 * batches that come one behind the other should share it. A loop therefore asks
 * for no sync while batches keep coming: it notes the partitions that it has
 * appended to, and asks for all of them
 *
 *   - when half of a client's window has come: a window is the largest number of
 *     Produce requests that the client had in work at a time, lately. So the
 *     disk and the client work at the same time, and a client that waits for
 *     each answer never waits for a gathering;
 *   - after a round in which no batch came and none is on its way (part of its
 *     frame is here), which one more look at the sockets tells;
 *   - broker.gather after the first of them, or when there are GATHER_BYTES of
 *     them, so that the disk works while more is appended.
 *
 * Threads   Each loop has a list of its own; nothing is shared but the log.
 */
#include "broker_int.h"

#define GATHER_BYTES (1u << 20)
#define WINDOW_REQUESTS 200 /* a window is looked at anew after so many */

static void gather_end(struct broker_loop *loop)
{
        for (uint32_t i = 0; i < loop->gather_count; i++) {
                struct broker_part *part = loop->gather[i];
                part->gathered[loop->index] = false;
                leat_log_sync_begin(part->log_part);
                leat_broker_part_unref(part);
        }
        loop->gather_count = 0;
        loop->gather_bytes = 0;
        loop->gather_enough = false;
        loop->gather_number++;
}

/* After each round, while there is something in the list. */
static bool gather_round(void *arg)
{
        struct broker_loop *loop = arg;
        bool more = loop->gather_more;
        loop->gather_more = false;
        if (more && !loop->gather_enough && loop->gather_bytes < GATHER_BYTES &&
            leat_os_monotonic_us() - loop->gather_us < leat_param(LEAT_P_BROKER_GATHER))
                return true;
        gather_end(loop);
        return false;
}

void leat_broker_gather_add(struct broker_loop *loop, struct broker_part *part, size_t bytes)
{
        loop->gather_more = true;
        loop->gather_bytes += bytes;
        if (part->gathered[loop->index])
                return;
        part->gathered[loop->index] = true;
        if (loop->gather_count == loop->gather_cap) {
                loop->gather_cap = loop->gather_cap ? loop->gather_cap * 2 : 16;
                loop->gather = leat_realloc(loop->gather, loop->gather_cap * sizeof(loop->gather[0]));
        }
        if (loop->gather_count == 0)
                loop->gather_us = leat_os_monotonic_us();
        loop->gather[loop->gather_count++] = leat_broker_part_ref(part);
        leat_loop_gather(loop->loop, gather_round, loop);
}

void leat_broker_gather_begin(struct broker_conn *conn)
{
        struct broker_loop *loop = conn->home;
        conn->produces++;
        conn->window_peak = LEAT_MAX(conn->window_peak, conn->produces);
        conn->window = LEAT_MAX(conn->window, conn->window_peak);
        if (++conn->window_age >= WINDOW_REQUESTS) {
                conn->window = conn->window_peak;
                conn->window_peak = conn->produces;
                conn->window_age = 0;
        }
        if (conn->gather_number != loop->gather_number) {
                conn->gather_number = loop->gather_number;
                conn->gathered = 0;
        }
        if (++conn->gathered * 2 >= conn->window)
                loop->gather_enough = true;
}

void leat_broker_gather_free(struct broker_loop *loop)
{
        gather_end(loop);
        free(loop->gather);
        loop->gather = NULL;
        loop->gather_cap = 0;
}
