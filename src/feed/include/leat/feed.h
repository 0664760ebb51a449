/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/feed: topics of any broker that speaks the Kafka protocol, as a client.
 * The same code against Leat's broker and Apache Kafka.
 *
 *   leat_feed         connections to one cluster: metadata, topic administration
 *   leat_feed_reader  positions in many partitions; whole batches, long poll
 *   leat_feed_writer  idempotent producer; whole batches, pipelined
 *
 * A feed and what is opened from it belong to one thread and block it; nothing
 * runs in the background. A lost connection is made again inside the calls;
 * calls fail only when their time is over (LEAT_ETIMEOUT, retriable) or the
 * broker's answer is final. leat_feed_wake() ends a blocking call from another
 * thread.
 */
#ifndef LEAT_FEED_H
#define LEAT_FEED_H

#include "leat/base.h"
#include "leat/os.h"
#include "leat/record.h"

struct leat_feed;
struct leat_feed_reader;
struct leat_feed_writer;

struct leat_feed_topic {
        char name[250];
        struct leat_topic_id id;
        int32_t partitions;
        bool internal;
};

/* Connects at first use. @client_id is Kafka's client.id. */
int leat_feed_open(const struct leat_addr *addr, const char *client_id, struct leat_feed **ret_feed,
                   struct leat_error *err) LEAT_NODISCARD;
void leat_feed_close(struct leat_feed *feed);
/* Makes the blocking call return LEAT_ECANCELED soon. Thread: any. */
void leat_feed_wake(struct leat_feed *feed);
/* Forgets wakes that nobody waited for. Thread: the one that uses the feed. */
void leat_feed_wake_clear(struct leat_feed *feed);

/* ---- topics --------------------------------------------------------------- */
/* LEAT_ENORELATION when there is none; never creates one. */
int leat_feed_topic(struct leat_feed *feed, const char *name, struct leat_feed_topic *ret_topic,
                    struct leat_error *err) LEAT_NODISCARD;
/* All topics, memory from @arena. */
int leat_feed_topics(struct leat_feed *feed, struct leat_arena *arena, struct leat_feed_topic **ret_topics,
                     uint32_t *ret_count, struct leat_error *err) LEAT_NODISCARD;
struct leat_feed_config {
        const char *name;
        const char *value;
};
/* LEAT_EEXISTS when there is one already. */
int leat_feed_topic_create(struct leat_feed *feed, const char *name, int32_t partitions,
                           const struct leat_feed_config *configs, uint32_t config_count, struct leat_topic_id *ret_id,
                           struct leat_error *err) LEAT_NODISCARD;
int leat_feed_topic_delete(struct leat_feed *feed, const char *name, struct leat_error *err) LEAT_NODISCARD;
int leat_feed_topic_configure(struct leat_feed *feed, const char *name, const struct leat_feed_config *configs,
                              uint32_t config_count, struct leat_error *err) LEAT_NODISCARD;
/* Reads the given configs' values into @configs[i].value (memory from @arena). */
int leat_feed_topic_configs(struct leat_feed *feed, const char *name, struct leat_arena *arena,
                            struct leat_feed_config *configs, uint32_t config_count,
                            struct leat_error *err) LEAT_NODISCARD;
int leat_feed_topic_grow(struct leat_feed *feed, const char *name, int32_t partitions,
                         struct leat_error *err) LEAT_NODISCARD;
/* Deletes records below @offset of a partition. */
int leat_feed_topic_trim(struct leat_feed *feed, const char *name, int32_t partition, int64_t offset,
                         struct leat_error *err) LEAT_NODISCARD;
#define LEAT_FEED_LATEST (-1)   /* the durable end */
#define LEAT_FEED_EARLIEST (-2) /* the start of the log */
/* Offsets of partitions 0..@count-1 at @timestamp_ms (first record at or after it; the end when there is none), or one
 * of the two above. One request. */
int leat_feed_offsets(struct leat_feed *feed, const char *name, int64_t timestamp_ms, int64_t *ret_offsets,
                      int32_t count, struct leat_error *err) LEAT_NODISCARD;

/* ---- reading ---------------------------------------------------------------- */
/* The records of one fetched batch, decompressed, CRC checked, below-position records left out. Owns one reference;
 * at least 64 readable bytes stand behind every value (for SIMD parsers). */
struct leat_feed_batch {
        uint32_t tag; /* as given to leat_feed_reader_add */
        int32_t partition;
        int64_t base_offset; /* first record that is given */
        int64_t next_offset; /* position after this batch */
        int32_t leader_epoch;
        int64_t max_timestamp_ms;
        int64_t high_watermark; /* end of the partition when it was fetched */
        uint32_t record_count;
        const struct leat_record *records;
        size_t bytes; /* size in the log */
};

int leat_feed_reader_open(struct leat_feed *feed, struct leat_feed_reader **ret_reader,
                          struct leat_error *err) LEAT_NODISCARD;
void leat_feed_reader_close(struct leat_feed_reader *reader);
/* Reads @partition of @topic from @offset on; batches carry @tag. Adding it again moves the position. */
int leat_feed_reader_add(struct leat_feed_reader *reader, const struct leat_feed_topic *topic, int32_t partition,
                         int64_t offset, uint32_t tag, struct leat_error *err) LEAT_NODISCARD;
void leat_feed_reader_remove(struct leat_feed_reader *reader, uint32_t tag, int32_t partition);
/* A paused partition is left out of requests; what was asked for before still comes, once. Adding it again ends that. */
void leat_feed_reader_pause(struct leat_feed_reader *reader, uint32_t tag, int32_t partition, bool paused);
/* For a reader of what is there already: at most about @bytes of each partition in one poll, and hardly a wait when there
 * is nothing more in the partitions that are not paused. */
void leat_feed_reader_catch_up(struct leat_feed_reader *reader, size_t bytes);
/* Waits up to @timeout_us for batches and gives out at most about @max_bytes of them, round-robin over partitions.
 * Their memory lives until the next poll, or longer with leat_feed_hold. *ret_count 0 at timeout.
 * Errors that name one partition (err->message has topic and partition): LEAT_ERANGE position outside the log,
 * LEAT_ENORELATION topic gone or recreated, LEAT_ECORRUPT damaged data. The reader stays usable for the others
 * after leat_feed_reader_remove; *ret_tag and *ret_partition say which. */
int leat_feed_poll(struct leat_feed_reader *reader, int64_t timeout_us, size_t max_bytes,
                   const struct leat_feed_batch **ret_batches, uint32_t *ret_count, uint32_t *ret_tag,
                   int32_t *ret_partition, struct leat_error *err) LEAT_NODISCARD;
/* Keeps the memory of the last poll until leat_block_unref of the result. */
struct leat_block *leat_feed_hold(struct leat_feed_reader *reader);
/* The last known end of a partition, -1 when not fetched yet. */
int64_t leat_feed_high_watermark(const struct leat_feed_reader *reader, uint32_t tag, int32_t partition);

/* ---- writing ---------------------------------------------------------------- */
/* acks=all, idempotent, up to 5 requests in flight per partition, order kept per partition. */
int leat_feed_writer_open(struct leat_feed *feed, struct leat_feed_writer **ret_writer,
                          struct leat_error *err) LEAT_NODISCARD;
/* Closes without waiting: flush first. */
void leat_feed_writer_close(struct leat_feed_writer *writer);
/* Called on the owning thread, from inside send, flush or service, once a batch is durable (code 0) or lost for good. */
typedef void leat_feed_done_fn(void *arg, int64_t base_offset, const struct leat_error *err);
/* Sends @count records as one batch (split at the broker's limit; then @done gets the first part's offset once all
 * parts are durable). Records are copied before it returns; @codec is leat_kafka's
 * compression number (0 none, 4 zstd). Blocks when too much is in flight. offset and partition of the records are
 * ignored; timestamp_ms 0 = now. */
int leat_feed_send(struct leat_feed_writer *writer, const char *topic, int32_t partition,
                   const struct leat_record *records, uint32_t count, int codec, leat_feed_done_fn *done, void *arg,
                   struct leat_error *err) LEAT_NODISCARD;
/* Waits until nothing is in flight. */
int leat_feed_flush(struct leat_feed_writer *writer, int64_t timeout_us, struct leat_error *err) LEAT_NODISCARD;
/* Reads answers that are there without waiting (calls done functions). */
int leat_feed_service(struct leat_feed_writer *writer, struct leat_error *err) LEAT_NODISCARD;

#endif
