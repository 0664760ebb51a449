/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/broker: partitions, as the broker sees them.
 *
 * Design    The log keeps one word per partition for us: a broker_part, made at
 *           first use, which names the loops whose fetches wait, and the
 *           counters of the topic. It goes when the
 *           partition was deleted and the last user has let go.
 * Threads   Any; parts_lock guards the word and the list.
 */
#include <stdio.h>

#include "broker_int.h"

static struct broker_part *part_new(struct leat_broker *broker, struct leat_log_partition *log_part)
{
        char labels[LEAT_STATS_LABEL_BYTES];
        struct broker_part *part = leat_calloc(1, sizeof(*part));
        struct leat_log_topic *topic = leat_log_partition_topic(log_part);
        uint32_t index = leat_log_partition_index(log_part);
        part->broker = broker;
        part->log_part = leat_log_partition_ref(log_part);
        snprintf(labels, sizeof(labels), "topic=\"%s\",partition=\"%u\"", topic->name, index);
        part->end_offset = leat_stats_slot(broker->stats, LEAT_M_BROKER_PARTITION_END, labels);
        snprintf(labels, sizeof(labels), "topic=\"%s\"", topic->name);
        part->topic_bytes = leat_stats_slot(broker->stats, LEAT_M_BROKER_TOPIC_SIZE, labels);
        part->produced_bytes = leat_stats_slot(broker->stats, LEAT_M_BROKER_PRODUCED_BYTES, labels);
        part->produced_records = leat_stats_slot(broker->stats, LEAT_M_BROKER_PRODUCED_RECORDS, labels);
        part->fetched_bytes = leat_stats_slot(broker->stats, LEAT_M_BROKER_FETCHED_BYTES, labels);
        part->fetched_records = leat_stats_slot(broker->stats, LEAT_M_BROKER_FETCHED_RECORDS, labels);
        leat_log_topic_unref(topic);
        return part;
}

struct broker_part *leat_broker_part_get(struct leat_broker *broker, const uint8_t id[LEAT_LOG_ID_BYTES],
                                         uint32_t index)
{
        struct leat_log_partition *log_part = leat_log_partition_find(broker->log, id, index);
        if (log_part == NULL)
                return NULL;
        pthread_mutex_lock(&broker->parts_lock);
        struct broker_part *part = leat_log_partition_user(log_part);
        if (part == NULL) {
                part = part_new(broker, log_part);
                atomic_init(&part->refs, 1);
                part->next = broker->parts;
                if (part->next != NULL)
                        part->next->prev = part;
                broker->parts = part;
                leat_log_partition_set_user(log_part, part);
        }
        atomic_fetch_add(&part->refs, 1);
        pthread_mutex_unlock(&broker->parts_lock);
        leat_log_partition_unref(log_part);
        return part;
}

struct broker_part *leat_broker_part_ref(struct broker_part *part)
{
        atomic_fetch_add(&part->refs, 1);
        return part;
}

void leat_broker_part_unref(struct broker_part *part)
{
        if (part == NULL || atomic_fetch_sub(&part->refs, 1) > 1)
                return;
        leat_log_partition_unref(part->log_part);
        free(part);
}

/* Takes the part out of the table. parts_lock is held. */
static void part_forget(struct broker_part *part)
{
        leat_log_partition_set_user(part->log_part, NULL);
        if (part->next != NULL)
                part->next->prev = part->prev;
        if (part->prev != NULL)
                part->prev->next = part->next;
        else
                part->broker->parts = part->next;
        part->next = part->prev = NULL;
}

struct wake {
        struct broker_loop *loop;
        struct broker_part *part;
};

static void wake_run(void *arg)
{
        struct wake wake = *(struct wake *)arg;
        free(arg);
        leat_broker_fetch_wake(wake.loop, wake.part);
}

void leat_broker_part_moved(void *arg, struct leat_log_partition *log_part)
{
        struct leat_broker *broker = arg;
        pthread_mutex_lock(&broker->parts_lock);
        struct broker_part *part = leat_log_partition_user(log_part);
        if (part != NULL)
                leat_broker_part_ref(part);
        pthread_mutex_unlock(&broker->parts_lock);
        if (part == NULL)
                return;
        uint32_t waiting = atomic_exchange(&part->waiting, 0);
        for (int i = 0; i < broker->loop_count; i++) {
                if ((waiting & 1u << i) == 0)
                        continue;
                struct wake *wake = leat_malloc(sizeof(*wake));
                *wake = (struct wake){.loop = &broker->loops[i], .part = leat_broker_part_ref(part)};
                leat_broker_post(broker, wake->loop, wake_run, wake);
        }
        struct leat_log_state state;
        leat_log_partition_state(log_part, &state);
        if (state.deleted) {
                pthread_mutex_lock(&broker->parts_lock);
                bool known = leat_log_partition_user(log_part) == part;
                if (known)
                        part_forget(part);
                pthread_mutex_unlock(&broker->parts_lock);
                if (known)
                        leat_broker_part_unref(part);
        }
        leat_broker_part_unref(part);
}

void leat_broker_parts_free(struct leat_broker *broker)
{
        while (broker->parts != NULL) {
                struct broker_part *part = broker->parts;
                part_forget(part);
                leat_broker_part_unref(part);
        }
}
