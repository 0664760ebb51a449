/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/log: the durable log of the broker: topics, partitions, segments.
 *
 *   leat_log            all topics of a data directory (DATA/log)
 *   leat_log_topic      an immutable picture of one topic's definition
 *   leat_log_partition  one append-only sequence of Kafka record batches
 *
 * Producers' batches (Kafka record batch v2) are kept byte for byte, except
 * base offset and leader epoch, which the log assigns. An append is durable
 * only when a sync has covered it: append, then leat_log_sync(). Readers see
 * nothing beyond the durable end, which is the high watermark.
 *
 * Threads: every function may be called from any thread; each partition has
 * one lock, never held during fdatasync. The broker calls a partition's
 * append and read from the loop that owns it, so that lock is rarely waited
 * for. Functions marked "Blocks" sync small files (about a millisecond).
 *
 * Failure of a sync: the segment ends at its last synced offset, waiters get
 * LEAT_EIO (retriable), the next append begins a new segment at that offset;
 * a second failure makes the partition read-only until restart (LEAT_EIO,
 * fatal). A full disk is LEAT_EFULL (retriable) and heals by itself. Damage
 * below the synced end is LEAT_ECORRUPT with file and offset, and never cut.
 */
#ifndef LEAT_LOG_H
#define LEAT_LOG_H

#include "leat/base.h"

#define LEAT_LOG_ID_BYTES 16
/* Bytes of a batch header up to the first record; its first 12 bytes (base
 * offset, length) frame it. */
#define LEAT_LOG_BATCH_HEADER_BYTES 61
#define LEAT_LOG_PARTITIONS_MAX 10000

struct leat_log;
struct leat_log_partition;

/* ---- the log --------------------------------------------------------------- */

/* Opens (makes when missing) @dir, which is DATA/log: recovers every
 * partition, counts the leader epoch up, starts the sync pool (parameter
 * log.sync.threads) and the housekeeping thread. One process at a time: the
 * caller holds the lock of the data directory.
 * Errors: LEAT_ECORRUPT when the list of topics is damaged (nothing is guessed),
 * LEAT_EIO, LEAT_EFULL. A single bad partition does not fail the open: its own
 * functions return the error. Blocks. */
int leat_log_open(const char *dir, struct leat_log **ret_log, struct leat_error *err) LEAT_NODISCARD;
/* Syncs what was appended, completes all waiters, writes snapshots, so that
 * the next open reads next to nothing; frees everything. Partitions and topics
 * still referenced stay valid in memory, their functions return LEAT_ECLOSED.
 * NULL is allowed. Blocks. */
void leat_log_close(struct leat_log *log);
/* The number of this start of the broker, > 0: the leader epoch of everything
 * that is appended. */
int32_t leat_log_epoch(const struct leat_log *log);

/* Calls @fn after a partition's high watermark or log start has moved, or the
 * partition was deleted. One listener; set it before the first append. Called
 * on a sync or housekeeping thread, without locks; must not block. */
typedef void leat_log_moved_fn(void *arg, struct leat_log_partition *part);
void leat_log_listen(struct leat_log *log, leat_log_moved_fn *fn, void *arg);

/* What the log did since it was opened. */
struct leat_log_counters {
        uint64_t syncs, sync_failures, sync_time_us;
        uint64_t sealed;  /* segments closed: full, old, after a failed write or sync */
        uint64_t removed; /* segments removed by retention or DeleteRecords */
};
void leat_log_counters(struct leat_log *log, struct leat_log_counters *ret_counters);

/* Next @count producer ids, never handed out before or again, over any crash
 * (durable in blocks of 1,000). Blocks once a block. */
int leat_log_producer_ids(struct leat_log *log, uint32_t count, int64_t *ret_first,
                          struct leat_error *err) LEAT_NODISCARD;

/* Housekeeping, which also runs by itself every log.tidy.interval: closes
 * segments by time, applies retention at wall clock @now_us, forgets producers
 * that were silent for log.producer.expiry, removes deleted topics. Blocks. */
void leat_log_tidy(struct leat_log *log, int64_t now_us);

/* ---- topics ----------------------------------------------------------------- */

struct leat_log_config {
        const char *name;
        const char *value;
};

/* Immutable; leat_log_topic_unref() frees. A change of the topic makes a new one. */
struct leat_log_topic {
        uint8_t id[LEAT_LOG_ID_BYTES];
        const char *name;
        uint32_t partitions;
        int64_t created_us;
        uint32_t config_count;
        const struct leat_log_config *configs; /* sorted by name; only what was set */
};
struct leat_log_topic *leat_log_topic_ref(const struct leat_log_topic *topic);
void leat_log_topic_unref(const struct leat_log_topic *topic);
/* The value of a setting, or NULL when it was not set. */
const char *leat_log_topic_config(const struct leat_log_topic *topic, const char *name);

/* Makes a topic with a fresh random id; empty partitions. The log acts on
 * retention.ms, retention.bytes, segment.bytes, segment.ms, cleanup.policy and
 * keeps every other setting for the caller, who checks names and values.
 * LEAT_EEXISTS when the name is taken; LEAT_EINVAL for a name or count outside
 * Kafka's rules (1-249 of [a-zA-Z0-9._-], not "." or ".."). Blocks. */
int leat_log_topic_create(struct leat_log *log, const char *name, uint32_t partitions,
                          const struct leat_log_config *configs, uint32_t config_count,
                          struct leat_log_topic **ret_topic, struct leat_error *err) LEAT_NODISCARD;
/* Deletes a topic: gone from here on, also after a crash; files are removed in
 * the background. LEAT_ENOTFOUND. Blocks. */
int leat_log_topic_delete(struct leat_log *log, const uint8_t id[LEAT_LOG_ID_BYTES],
                          struct leat_error *err) LEAT_NODISCARD;
/* Raises the number of partitions to @partitions. LEAT_ENOTFOUND, LEAT_EINVAL
 * when it is not more than now. Blocks. */
int leat_log_topic_grow(struct leat_log *log, const uint8_t id[LEAT_LOG_ID_BYTES], uint32_t partitions,
                        struct leat_error *err) LEAT_NODISCARD;
/* Sets each of @configs; a NULL value removes the setting. Blocks. */
int leat_log_topic_set(struct leat_log *log, const uint8_t id[LEAT_LOG_ID_BYTES], const struct leat_log_config *configs,
                       uint32_t config_count, struct leat_error *err) LEAT_NODISCARD;
/* NULL when there is none; else a reference of the caller's. */
struct leat_log_topic *leat_log_topic_find(struct leat_log *log, struct leat_view name);
struct leat_log_topic *leat_log_topic_find_id(struct leat_log *log, const uint8_t id[LEAT_LOG_ID_BYTES]);
/* All topics, sorted by name, in an array to free() after unref of each. */
uint32_t leat_log_topics(struct leat_log *log, struct leat_log_topic ***ret_topics);
/* Counts every change of any topic; cheap to poll. */
uint64_t leat_log_topics_version(const struct leat_log *log);

/* ---- partitions -------------------------------------------------------------- */

/* NULL when there is none; else a reference of the caller's. */
struct leat_log_partition *leat_log_partition_find(struct leat_log *log, const uint8_t id[LEAT_LOG_ID_BYTES],
                                                   uint32_t index);
struct leat_log_partition *leat_log_partition_ref(struct leat_log_partition *part);
void leat_log_partition_unref(struct leat_log_partition *part);
uint32_t leat_log_partition_index(const struct leat_log_partition *part);
/* The topic as it is now; a reference of the caller's. */
struct leat_log_topic *leat_log_partition_topic(struct leat_log_partition *part);
/* A word for the caller (waiting fetches, owning loop); the log only keeps it. */
void leat_log_partition_set_user(struct leat_log_partition *part, void *user);
void *leat_log_partition_user(struct leat_log_partition *part);

struct leat_log_state {
        int64_t start; /* first offset that can be read */
        int64_t high;  /* high watermark: end of what is durable and read */
        int64_t end;   /* next offset to be assigned */
        int64_t bytes; /* of all segments */
        uint32_t segments;
        bool read_only; /* two syncs have failed; restart after mending the disk */
        bool deleted;
};
void leat_log_partition_state(struct leat_log_partition *part, struct leat_log_state *ret_state);

/* ---- appending --------------------------------------------------------------- */

struct leat_log_appended {
        int64_t first_offset; /* of the first batch */
        int64_t end_offset;   /* last offset + 1: what a sync has to reach */
        int64_t log_start;
        uint64_t generation; /* hands the place to leat_log_sync() */
        bool duplicate;      /* an idempotent producer sent it before; offsets are those of the first time */
};

/* Appends one or more whole batches (v2) in one write, without sync. The caller
 * has checked each CRC and what is inside; the log checks framing and
 * idempotence. Nothing is kept of @records. All batches or none.
 * Errors: LEAT_EFULL (retriable), LEAT_EIO (retriable; fatal when read-only),
 * LEAT_EINVAL (framing), LEAT_ESEQUENCE (gap in a producer's sequence numbers),
 * LEAT_EFENCED (older producer epoch), LEAT_ENOTFOUND (deleted), LEAT_ECLOSED. */
int leat_log_append(struct leat_log_partition *part, struct leat_view records, struct leat_log_appended *ret_appended,
                    struct leat_error *err) LEAT_NODISCARD;
/* As leat_log_append, for batches that lie in several pieces. */
int leat_log_append_chain(struct leat_log_partition *part, const struct leat_chain *records,
                          struct leat_log_appended *ret_appended, struct leat_error *err) LEAT_NODISCARD;

/* Waits for durability. Embedded in the caller's own structure; must stay valid
 * until done() was called, exactly once. */
struct leat_log_waiter {
        /* @err is NULL when all is durable; else LEAT_EIO, LEAT_EFULL (both retriable) or
         * LEAT_ECLOSED. Called without locks, on a sync thread, or before
         * leat_log_sync() returns when there is nothing to wait for. */
        void (*done)(struct leat_log_waiter *waiter, const struct leat_error *err);
        struct leat_log_waiter *next; /* the log's */
        int64_t end_offset;           /* the log's */
};
/* Asks for a sync up to @appended; one fdatasync serves all who wait for the
 * same partition. @waiter NULL asks without waiting (acks=0). Never blocks. */
void leat_log_sync(struct leat_log_partition *part, const struct leat_log_appended *appended,
                   struct leat_log_waiter *waiter);

/* leat_log_sync in two steps, for callers that may have more for the same partition in a moment: the first only lets
 * @waiter wait for whatever sync comes, the second asks for one that covers all who wait. Never block. */
void leat_log_sync_join(struct leat_log_partition *part, const struct leat_log_appended *appended,
                        struct leat_log_waiter *waiter);
void leat_log_sync_begin(struct leat_log_partition *part);

/* ---- reading ------------------------------------------------------------------ */

struct leat_log_read {
        int64_t start; /* log start, also filled with LEAT_ERANGE and LEAT_ECORRUPT */
        int64_t high;  /* high watermark, as `start` */
        int64_t next;  /* offset after the last batch returned; with LEAT_ECORRUPT the next offset to try */
};

/* Adds whole batches from the one that holds @offset up to the high watermark,
 * at most @max_bytes, but the first always whole, to @out (owned blocks). At
 * the high watermark nothing is added and 0 returned. One call does not cross
 * a segment: fewer bytes than asked for do not mean the end.
 * Errors: LEAT_ERANGE (offset below start or above high), LEAT_ECORRUPT,
 * LEAT_EIO, LEAT_ENOTFOUND (deleted). Blocks when the disk must be read. */
int leat_log_read(struct leat_log_partition *part, int64_t offset, uint32_t max_bytes, struct leat_chain *out,
                  struct leat_log_read *ret_read, struct leat_error *err) LEAT_NODISCARD;

/* The same without waiting for the disk: LEAT_EBUSY when what is asked for is not in memory; then leat_log_read, on a
 * thread that may wait. What is in memory only in part may come in pieces. */
int leat_log_read_cached(struct leat_log_partition *part, int64_t offset, uint32_t max_bytes, struct leat_chain *out,
                         struct leat_log_read *ret_read, struct leat_error *err) LEAT_NODISCARD;

/* Adds to @out the first batch whose largest timestamp is >= @timestamp_ms (the
 * caller looks for the record inside). LEAT_ENOTFOUND when all are older. Blocks when the disk must be read. */
int leat_log_read_time(struct leat_log_partition *part, int64_t timestamp_ms, struct leat_chain *out,
                       struct leat_log_read *ret_read, struct leat_error *err) LEAT_NODISCARD;
/* The largest timestamp of the partition, -1 when it is empty (the batch is
 * then found by leat_log_read_time). Blocks when the disk must be read. */
int leat_log_max_time(struct leat_log_partition *part, int64_t *ret_timestamp_ms,
                      struct leat_error *err) LEAT_NODISCARD;
/* The largest epoch <= @epoch in the log, and the offset where it ends
 * (OffsetForLeaderEpoch); -1 and -1 when there is none. */
void leat_log_epoch_end(struct leat_log_partition *part, int32_t epoch, int32_t *ret_epoch, int64_t *ret_end);
/* The epoch of the last batch, -1 when there is none. */
int32_t leat_log_last_epoch(struct leat_log_partition *part);

/* Moves the log start to @offset (-1 = high watermark), durably; segments wholly
 * below it are removed. LEAT_ERANGE beyond the high watermark. Blocks. */
int leat_log_delete_records(struct leat_log_partition *part, int64_t offset, int64_t *ret_start,
                            struct leat_error *err) LEAT_NODISCARD;

/* What a partition remembers of idempotent producers (DescribeProducers). */
struct leat_log_producer {
        int64_t id;
        int16_t epoch;
        int32_t last_sequence;
        int64_t last_offset;
        int64_t last_time_ms;
};
/* Array to free(). */
uint32_t leat_log_producers(struct leat_log_partition *part, struct leat_log_producer **ret_producers);

/* ---- verify --------------------------------------------------------------------- */

struct leat_log_verified {
        uint64_t files, batches, bytes;
        uint64_t bad;
        uint64_t stale; /* derived files that are made anew from the log: what a loss of power may leave, no damage */
};
/* @message names file, offset and what is wrong; @damage is false for a derived file. */
typedef void leat_log_report_fn(void *arg, bool damage, const char *message);
/* Reads everything under @dir (DATA/log), which a running broker may be using,
 * and checks every checksum. Returns 0 also when damage was found: see
 * ret->bad. LEAT_EIO, LEAT_ENOTFOUND when nothing can be read. Blocks. */
int leat_log_verify(const char *dir, leat_log_report_fn *report, void *arg, struct leat_log_verified *ret_verified,
                    struct leat_error *err) LEAT_NODISCARD;

#endif
