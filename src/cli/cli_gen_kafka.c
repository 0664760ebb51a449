/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/cli: the generator's output to Kafka.
 *
 * Design    Events are collected by topic and partition and sent as one batch
 *           when the loop flushes or a batch is large enough. Keys choose their
 *           partition as Kafka's own clients do (murmur2); without a key a
 *           batch goes to one partition, the next batch to the next.
 * Counting  A record is done when the broker has acknowledged it (acks=all).
 */
#include <stdio.h>

#include "cli_gen_int.h"
#include "leat/feed.h"

#define BATCH_BYTES (256 * 1024)
#define FLUSH_TIMEOUT_US (30 * 1000000ll)

struct part {
        struct leat_buf bytes; /* key and value of each record, one behind the other */
        struct entry {
                uint32_t key_len, value_len;
                int64_t timestamp_ms;
                bool keyed;
        } *entries;
        uint32_t count;
};

struct target {
        struct leat_feed_topic topic;
        struct part *parts;
        uint32_t next; /* partition of records without a key */
};

struct kafka_out {
        struct leat_gen_out out;
        const struct leat_gen *gen;
        struct leat_feed *feed;
        struct leat_feed_writer *writer;
        struct target *targets; /* by topic of the spec */
        struct leat_record *records;
        uint32_t batch_records; /* most in a batch */
};

/* What is in flight. */
struct sent {
        struct kafka_out *kafka;
        uint32_t count;
};

static void sent_done(void *arg, int64_t base_offset, const struct leat_error *err)
{
        struct sent *sent = arg;
        (void)base_offset;
        if (err == NULL || err->code == 0) {
                sent->kafka->out.done += sent->count;
        } else {
                sent->kafka->out.lost += sent->count;
                sent->kafka->out.lost_error = *err;
        }
        free(sent);
}

static int part_send(struct kafka_out *k, const struct target *target, int32_t partition, struct leat_error *err)
{
        struct part *part = &target->parts[partition];
        const uint8_t *at = part->bytes.data;
        if (part->count == 0)
                return 0;
        for (uint32_t i = 0; i < part->count; i++) {
                const struct entry *e = &part->entries[i];
                k->records[i] = (struct leat_record){
                        .timestamp_ms = e->timestamp_ms,
                        .key = e->keyed ? leat_view_of(at, e->key_len) : (struct leat_view){0},
                        .value = leat_view_of(at + e->key_len, e->value_len),
                };
                at += e->key_len + e->value_len;
        }
        struct sent *sent = leat_malloc(sizeof *sent);
        *sent = (struct sent){.kafka = k, .count = part->count};
        int rc = leat_feed_send(k->writer, target->topic.name, partition, k->records, part->count, 0, sent_done, sent,
                                err);
        if (rc != 0) {
                free(sent); /* refused, so nobody calls back */
                return rc;
        }
        part->count = 0;
        leat_buf_clear(&part->bytes);
        return 0;
}

static int kafka_put(struct leat_gen_out *out, const struct leat_gen_event *event, struct leat_error *err)
{
        struct kafka_out *k = (struct kafka_out *)out;
        struct target *target = &k->targets[event->topic];
        uint32_t count = (uint32_t)target->topic.partitions;
        uint32_t partition = event->keyed ? (leat_murmur2(event->key.data, event->key.len) & 0x7fffffffu) % count
                                          : target->next % count;
        struct part *part = &target->parts[partition];
        if (part->entries == NULL)
                part->entries = leat_malloc(k->batch_records * sizeof *part->entries);
        part->entries[part->count++] = (struct entry){
                .key_len = event->keyed ? (uint32_t)event->key.len : 0,
                .value_len = (uint32_t)event->value.len,
                .timestamp_ms = event->time_us / 1000,
                .keyed = event->keyed,
        };
        if (event->keyed)
                leat_buf_add_view(&part->bytes, event->key);
        leat_buf_add_view(&part->bytes, event->value);
        if (part->bytes.len < BATCH_BYTES && part->count < k->batch_records)
                return 0;
        target->next += !event->keyed;
        return part_send(k, target, (int32_t)partition, err);
}

static int kafka_flush(struct leat_gen_out *out, bool wait, struct leat_error *err)
{
        struct kafka_out *k = (struct kafka_out *)out;
        for (uint32_t i = 0; i < k->gen->topic_count; i++) {
                struct target *target = &k->targets[i];
                for (int32_t p = 0; target->parts != NULL && p < target->topic.partitions; p++)
                        LEAT_TRY(part_send(k, target, p, err));
                target->next++;
        }
        return wait ? leat_feed_flush(k->writer, FLUSH_TIMEOUT_US, err) : leat_feed_service(k->writer, err);
}

static void kafka_close(struct leat_gen_out *out)
{
        struct kafka_out *k = (struct kafka_out *)out;
        if (k->writer != NULL)
                leat_feed_writer_close(k->writer);
        if (k->feed != NULL)
                leat_feed_close(k->feed);
        for (uint32_t i = 0; i < k->gen->topic_count; i++) {
                for (int32_t p = 0; k->targets[i].parts != NULL && p < k->targets[i].topic.partitions; p++) {
                        leat_buf_done(&k->targets[i].parts[p].bytes);
                        free(k->targets[i].parts[p].entries);
                }
                free(k->targets[i].parts);
        }
        free(k->targets);
        free(k->records);
        free(k);
}

static const struct leat_gen_out_ops kafka_ops = {kafka_put, kafka_flush, kafka_close};

/* Finds the topic or makes it. */
static int open_target(struct kafka_out *k, uint32_t index, struct leat_error *err)
{
        const struct leat_gen_topic *topic = &k->gen->topics[index];
        struct target *target = &k->targets[index];
        int rc = leat_feed_topic(k->feed, topic->name, &target->topic, err);
        if (rc == LEAT_ENORELATION) {
                rc = leat_feed_topic_create(k->feed, topic->name, topic->partitions, NULL, 0, &target->topic.id, err);
                if (rc == 0 || rc == LEAT_EEXISTS)
                        rc = leat_feed_topic(k->feed, topic->name, &target->topic, err);
        }
        LEAT_TRY(rc);
        if (target->topic.partitions < 1)
                return leat_error_set(err, LEAT_EINTERNAL, "topic \"%s\" has no partitions", topic->name);
        target->parts = leat_calloc((size_t)target->topic.partitions, sizeof *target->parts);
        return 0;
}

int leat_gen_out_kafka(const struct leat_gen *gen, const char *address, uint32_t batch_records,
                       struct leat_gen_out **ret_out, struct leat_error *err)
{
        struct leat_addr addr;
        struct kafka_out *k = leat_calloc(1, sizeof *k);
        k->out.ops = &kafka_ops;
        k->gen = gen;
        k->targets = leat_calloc(gen->topic_count, sizeof *k->targets);
        k->batch_records = batch_records;
        k->records = leat_malloc(batch_records * sizeof *k->records);
        int rc;
        LEAT_TRY_GOTO(leat_os_addr_parse(address, &addr, err));
        LEAT_TRY_GOTO(leat_feed_open(&addr, "leat-generate", &k->feed, err));
        for (uint32_t i = 0; i < gen->topic_count; i++)
                if (gen->topics[i].selected)
                        LEAT_TRY_GOTO(open_target(k, i, err));
        LEAT_TRY_GOTO(leat_feed_writer_open(k->feed, &k->writer, err));
        *ret_out = &k->out;
        return 0;
fail:
        kafka_close(&k->out);
        return rc;
}
