/* SPDX-License-Identifier: Apache-2.0 */
/* leat/feed against the broker: the two ends that Leat itself puts together. */
#include "broker_test_int.h"

#include <stdio.h>

#include "leat/feed.h"

static struct leat_error err;

static struct leat_feed *feed_open(const struct rig *rig)
{
        struct leat_addr addr = {.host = "127.0.0.1", .port = rig->port};
        struct leat_feed *feed;

        CHECK_OK(leat_feed_open(&addr, "test", &feed, &err), &err);
        return feed;
}

struct sent {
        uint32_t done, failed;
        int64_t last_offset[3];
};
struct sent_one {
        struct sent *sent;
        int32_t partition;
};

static void sent_done(void *arg, int64_t base_offset, const struct leat_error *error)
{
        struct sent_one *one = arg;

        one->sent->done++;
        if (error)
                one->sent->failed++;
        else
                one->sent->last_offset[one->partition] = LEAT_MAX(one->sent->last_offset[one->partition], base_offset);
        free(one);
}

/* Sends @count batches of four records, "<n>" each, round the partitions, with every codec in turn. */
static void send_all(struct leat_feed_writer *writer, int32_t partitions, uint32_t from, uint32_t count,
                     struct sent *sent)
{
        for (uint32_t n = from; n < from + count; n++) {
                struct leat_record records[4] = {{0}};
                struct sent_one *one = leat_malloc(sizeof(*one));
                char text[4][16];

                for (uint32_t i = 0; i < 4; i++) {
                        int len = snprintf(text[i], sizeof(text[i]), "%u", n * 4 + i);

                        records[i].value = leat_view_of(text[i], (size_t)len);
                        records[i].key = leat_view_of(text[i], 1);
                        records[i].timestamp_ms = 1000 + n;
                }
                *one = (struct sent_one){.sent = sent, .partition = (int32_t)n % partitions};
                CHECK_OK(leat_feed_send(writer, "t", one->partition, records, 4, (int)(n % 5), sent_done, one, &err),
                         &err);
        }
}

/* Reads until @records came; checks that each partition's values are in order without gap. */
static void read_all(struct leat_feed_reader *reader, int32_t partitions, uint32_t records)
{
        int64_t next[3] = {0};
        uint32_t got = 0;

        for (int turns = 0; got < records; turns++) {
                const struct leat_feed_batch *batches;
                uint32_t count, tag;
                int32_t partition;

                CHECK(turns < 1000);
                CHECK_OK(leat_feed_poll(reader, 500000, 64 << 10, &batches, &count, &tag, &partition, &err), &err);
                for (uint32_t b = 0; b < count; b++) {
                        int32_t p = batches[b].partition;

                        CHECK_INT(batches[b].tag, 7);
                        for (uint32_t r = 0; r < batches[b].record_count; r++) {
                                const struct leat_record *record = &batches[b].records[r];
                                /* Offset o of partition p is record o % 4 of batch o / 4 * partitions + p. */
                                int64_t want = (next[p] / 4 * partitions + p) * 4 + next[p] % 4;

                                CHECK_INT(record->offset, next[p]);
                                CHECK_INT(strtoll((const char *)record->value.data, NULL, 10), want);
                                CHECK(record->key.len == 1);
                                next[p]++;
                                got++;
                        }
                        CHECK_INT(batches[b].next_offset, next[p]);
                }
        }
}

LEAT_TEST(feed_writes_and_reads)
{
        struct rig rig;
        struct leat_feed *feed;
        struct leat_feed_writer *writer;
        struct leat_feed_reader *reader;
        struct leat_feed_topic topic;
        struct sent sent = {0};
        int64_t offsets[3];

        rig_start(&rig);
        feed = feed_open(&rig);
        CHECK_OK(leat_feed_topic_create(feed, "t", 3, NULL, 0, NULL, &err), &err);
        CHECK_OK(leat_feed_topic(feed, "t", &topic, &err), &err);
        CHECK_INT(topic.partitions, 3);
        CHECK_OK(leat_feed_writer_open(feed, &writer, &err), &err);
        send_all(writer, 3, 0, 300, &sent);
        CHECK_OK(leat_feed_flush(writer, 60000000, &err), &err);
        CHECK_INT(sent.done, 300);
        CHECK_INT(sent.failed, 0);
        CHECK_INT(sent.last_offset[1], 396);
        CHECK_OK(leat_feed_offsets(feed, "t", LEAT_FEED_LATEST, offsets, 3, &err), &err);
        CHECK_INT(offsets[2], 400);
        CHECK_OK(leat_feed_offsets(feed, "t", 1000 + 150, offsets, 3, &err), &err);
        CHECK_INT(offsets[0], 200); /* batch 150 is the 50th of partition 0 */
        CHECK_OK(leat_feed_offsets(feed, "t", 5000, offsets, 3, &err), &err);
        CHECK_INT(offsets[0], 400); /* none so late: the end */
        CHECK_OK(leat_feed_reader_open(feed, &reader, &err), &err);
        for (int32_t p = 0; p < 3; p++)
                CHECK_OK(leat_feed_reader_add(reader, &topic, p, 0, 7, &err), &err);
        read_all(reader, 3, 1200);
        CHECK_INT(leat_feed_high_watermark(reader, 7, 0), 400);
        leat_feed_reader_close(reader);
        leat_feed_writer_close(writer);
        leat_feed_close(feed);
        rig_stop(&rig);
}

LEAT_TEST(feed_position_inside_a_batch)
{
        struct rig rig;
        struct leat_feed *feed;
        struct leat_feed_writer *writer;
        struct leat_feed_reader *reader;
        struct leat_feed_topic topic;
        struct sent sent = {0};
        const struct leat_feed_batch *batches;
        uint32_t count = 0, tag;
        int32_t partition;

        rig_start(&rig);
        feed = feed_open(&rig);
        CHECK_OK(leat_feed_topic_create(feed, "t", 1, NULL, 0, NULL, &err), &err);
        CHECK_OK(leat_feed_topic(feed, "t", &topic, &err), &err);
        CHECK_OK(leat_feed_writer_open(feed, &writer, &err), &err);
        send_all(writer, 1, 0, 5, &sent);
        CHECK_OK(leat_feed_flush(writer, 60000000, &err), &err);
        CHECK_OK(leat_feed_reader_open(feed, &reader, &err), &err);
        CHECK_OK(leat_feed_reader_add(reader, &topic, 0, 18, 1, &err), &err);
        while (count == 0)
                CHECK_OK(leat_feed_poll(reader, 1000000, 1 << 20, &batches, &count, &tag, &partition, &err), &err);
        CHECK_INT(batches[0].base_offset, 18);
        CHECK_INT(batches[0].record_count, 2);
        CHECK_OK(leat_feed_poll(reader, 1000, 1 << 20, &batches, &count, &tag, &partition, &err), &err);
        CHECK_INT(count, 0);
        /* Held memory outlives the reader. */
        CHECK_OK(leat_feed_reader_add(reader, &topic, 0, 0, 1, &err), &err);
        while (count == 0)
                CHECK_OK(leat_feed_poll(reader, 1000000, 1 << 20, &batches, &count, &tag, &partition, &err), &err);
        struct leat_block *held = leat_feed_hold(reader);
        struct leat_view value = batches[0].records[0].value;
        leat_feed_reader_close(reader);
        CHECK(leat_view_eq_str(value, "0"));
        leat_block_unref(held);
        leat_feed_writer_close(writer);
        leat_feed_close(feed);
        rig_stop(&rig);
}

LEAT_TEST(feed_errors_name_the_partition)
{
        struct rig rig;
        struct leat_feed *feed;
        struct leat_feed_writer *writer;
        struct leat_feed_reader *reader;
        struct leat_feed_topic topic;
        struct sent sent = {0};
        const struct leat_feed_batch *batches;
        uint32_t count, tag = 0;
        int32_t partition = -1;
        int rc;

        rig_start(&rig);
        feed = feed_open(&rig);
        CHECK_INT(leat_feed_topic(feed, "t", &topic, &err), LEAT_ENORELATION);
        CHECK_OK(leat_feed_topic_create(feed, "t", 2, NULL, 0, NULL, &err), &err);
        CHECK_INT(leat_feed_topic_create(feed, "t", 2, NULL, 0, NULL, &err), LEAT_EEXISTS);
        CHECK_OK(leat_feed_topic(feed, "t", &topic, &err), &err);
        CHECK_OK(leat_feed_writer_open(feed, &writer, &err), &err);
        send_all(writer, 2, 0, 10, &sent);
        CHECK_OK(leat_feed_flush(writer, 60000000, &err), &err);
        CHECK_OK(leat_feed_topic_trim(feed, "t", 1, 8, &err), &err);
        CHECK_OK(leat_feed_reader_open(feed, &reader, &err), &err);
        CHECK_OK(leat_feed_reader_add(reader, &topic, 1, 3, 9, &err), &err);
        CHECK_INT(leat_feed_poll(reader, 60000000, 1 << 20, &batches, &count, &tag, &partition, &err), LEAT_ERANGE);
        CHECK_INT(tag, 9);
        CHECK_INT(partition, 1);
        leat_feed_reader_remove(reader, 9, 1);
        CHECK_OK(leat_feed_reader_add(reader, &topic, 0, 0, 8, &err), &err);
        for (count = 0; count == 0;)
                CHECK_OK(leat_feed_poll(reader, 1000000, 1 << 20, &batches, &count, &tag, &partition, &err), &err);
        CHECK_OK(leat_feed_topic_delete(feed, "t", &err), &err);
        for (int i = 0; (rc = leat_feed_poll(reader, 1000000, 1 << 20, &batches, &count, &tag, &partition, &err)) == 0;
             i++)
                CHECK(i < 60);
        CHECK_INT(rc, LEAT_ENORELATION);
        CHECK_INT(tag, 8);
        leat_feed_reader_close(reader);
        leat_feed_writer_close(writer);
        leat_feed_close(feed);
        rig_stop(&rig);
}

/* The broker goes away and comes back on the same port: nothing is lost, nothing twice. */
LEAT_TEST(feed_goes_on_after_a_restart)
{
        struct rig rig;
        struct leat_feed *feed;
        struct leat_feed_writer *writer;
        struct leat_feed_reader *reader;
        struct leat_feed_topic topic;
        struct sent sent = {0};

        rig_start(&rig);
        feed = feed_open(&rig);
        CHECK_OK(leat_feed_topic_create(feed, "t", 3, NULL, 0, NULL, &err), &err);
        CHECK_OK(leat_feed_topic(feed, "t", &topic, &err), &err);
        CHECK_OK(leat_feed_writer_open(feed, &writer, &err), &err);
        CHECK_OK(leat_feed_reader_open(feed, &reader, &err), &err);
        for (uint32_t round = 0; round < 4; round++) {
                struct leat_addr addr = {.host = "127.0.0.1", .port = rig.port};
                struct leat_broker_options options = {.data_dir = rig.dir};
                uint16_t port;

                send_all(writer, 3, round * 60, 60, &sent); /* some of it is under way when the broker stops */
                leat_broker_stop(rig.broker);
                CHECK_OK(leat_os_listen(&addr, 64, &options.listen_fd, &port, &err), &err);
                CHECK_OK(leat_broker_start(&options, &rig.broker, &err), &err);
        }
        CHECK_OK(leat_feed_flush(writer, 20000000, &err), &err);
        CHECK_INT(sent.done, 240);
        CHECK_INT(sent.failed, 0);
        for (int32_t p = 0; p < 3; p++)
                CHECK_OK(leat_feed_reader_add(reader, &topic, p, 0, 7, &err), &err);
        read_all(reader, 3, 960);
        leat_feed_reader_close(reader);
        leat_feed_writer_close(writer);
        leat_feed_close(feed);
        rig_stop(&rig);
}
