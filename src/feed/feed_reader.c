/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/feed: reading many partitions.
 *
 * One request is always under way: as soon as an answer has been taken, the next
 * Fetch leaves with the new positions, so that the broker reads while the caller
 * works. It waits at most READER_WAIT_MS at the broker; a partition that is added
 * meanwhile is in the request after it, and one that is paused is left out of that.
 * Data of a partition that has moved or gone since the request left are thrown away.
 *
 * The memory of a poll (frame, decompressed records, the record array) is one
 * reference-counted block; unless the caller holds it, it is used again.
 */
#include <stdio.h>

#include "feed_int.h"

enum {
        READER_WAIT_MS = 100,
        READER_CATCH_UP_WAIT_MS = 5,
        READER_PARTITION_BYTES = 8 * 1024 * 1024,
        READER_PARTITIONS_MAX = 100000
};

struct reader_part {
        char topic[250];
        struct leat_topic_id id;
        int32_t partition;
        uint32_t tag;
        int64_t offset;         /* next to give */
        int64_t asked;          /* offset in the request under way; -1: not in it */
        int64_t high_watermark; /* -1: unknown */
        bool paused;
};

/* What a poll gives out. */
struct reader_memory {
        struct leat_block block; /* first: the caller holds this */
        struct leat_block *frame;
        struct leat_arena *arena; /* batches, records */
        struct leat_buf *scratch; /* decompressed records, one a batch that needs it */
        uint32_t scratch_count, scratch_cap;
};

struct leat_feed_reader {
        struct leat_feed *feed;
        struct feed_conn conn;
        struct reader_part *parts;
        uint32_t count, cap;
        size_t part_bytes;   /* of one partition in one answer */
        int32_t wait_ms;     /* at the broker */
        uint32_t first;      /* where the next request begins, so that none starves */
        int32_t correlation; /* of the request under way; -1: none */
        int16_t version;
        struct reader_memory *memory;
};

/* ---- memory --------------------------------------------------------------------------- */
static void memory_release(struct leat_block *block)
{
        struct reader_memory *m = (struct reader_memory *)block;
        if (m->frame != NULL)
                leat_block_unref(m->frame);
        for (uint32_t i = 0; i < m->scratch_cap; i++)
                leat_buf_done(&m->scratch[i]);
        free(m->scratch);
        leat_arena_free(m->arena);
        free(m);
}

static struct reader_memory *memory_fresh(struct leat_feed_reader *reader)
{
        struct reader_memory *m = reader->memory;
        if (m != NULL && atomic_load(&m->block.refs) == 1) {
                if (m->frame != NULL)
                        leat_block_unref(m->frame);
                m->frame = NULL;
                m->scratch_count = 0;
                leat_arena_reset(m->arena);
                return m;
        }
        if (m != NULL)
                leat_block_unref(&m->block);
        m = leat_calloc(1, sizeof *m);
        atomic_init(&m->block.refs, 1);
        m->block.release = memory_release;
        m->arena = leat_arena_new(64 * 1024);
        reader->memory = m;
        return m;
}

static struct leat_buf *memory_scratch(struct reader_memory *m)
{
        if (m->scratch_count == m->scratch_cap) {
                uint32_t cap = m->scratch_cap == 0 ? 16 : m->scratch_cap * 2;
                m->scratch = leat_realloc(m->scratch, cap * sizeof *m->scratch);
                memset(m->scratch + m->scratch_cap, 0, (cap - m->scratch_cap) * sizeof *m->scratch);
                m->scratch_cap = cap;
        }
        return &m->scratch[m->scratch_count++];
}

/* ---- the request --------------------------------------------------------------------------- */
static int send_fetch(struct leat_feed_reader *reader, size_t max_bytes, struct leat_error *err)
{
        struct leat_kafka_fetch_request request;
        struct leat_arena *arena = leat_arena_new(16 * 1024);
        struct leat_kafka_fetch_topic *topics = LEAT_KAFKA_NEW(arena, fetch_topic, reader->count);
        struct leat_kafka_fetch_partition *parts = LEAT_KAFKA_NEW(arena, fetch_partition, reader->count);
        LEAT_KAFKA_INIT(fetch_request, &request);
        request.max_wait_ms = reader->wait_ms;
        request.min_bytes = 1;
        request.max_bytes = (int32_t)LEAT_MIN(max_bytes, (size_t)INT32_MAX);
        request.session_epoch = -1;
        request.topics = topics;
        for (uint32_t i = 0, n = 0; i < reader->count; i++) {
                struct reader_part *p = &reader->parts[(reader->first + i) % reader->count];
                p->asked = -1;
                if (p->paused)
                        continue;
                parts[n].partition = p->partition;
                parts[n].fetch_offset = p->offset;
                parts[n].partition_max_bytes = (int32_t)LEAT_MIN(max_bytes, reader->part_bytes);
                topics[n].topic = leat_view_str(p->topic);
                topics[n].topic_id = p->id;
                topics[n].partitions = &parts[n];
                topics[n].partitions_count = 1;
                request.topics_count = (int32_t)++n;
                p->asked = p->offset;
        }
        reader->first = reader->count == 0 ? 0 : (reader->first + 1) % reader->count;
        int rc = leat_feed_conn_version(&reader->conn, 1, 17, &reader->version, err);
        if (rc == 0)
                rc = leat_feed_conn_send(reader->feed, &reader->conn, 1, reader->version, &request,
                                         &reader->correlation, err);
        if (rc != 0)
                reader->correlation = -1;
        leat_arena_free(arena);
        return rc;
}

/* ---- the answer ------------------------------------------------------------------------------- */
static struct reader_part *find_asked(struct leat_feed_reader *reader, const struct leat_kafka_fetched_topic *topic,
                                      int32_t partition)
{
        for (uint32_t i = 0; i < reader->count; i++) {
                struct reader_part *p = &reader->parts[i];
                bool same = reader->version >= 13 ? memcmp(&p->id, &topic->topic_id, sizeof p->id) == 0
                                                  : leat_view_eq_str(topic->topic, p->topic);
                if (same && p->partition == partition && p->asked == p->offset)
                        return p;
        }
        return NULL;
}

static int part_error(const struct reader_part *p, int code, struct leat_error *err)
{
        int rc = leat_feed_error(code, leat_view_of(NULL, 0), p->topic, err);
        char where[300];
        snprintf(where, sizeof where, "partition %d at offset %lld", p->partition, (long long)p->offset);
        leat_error_prefix(err, "%s", where);
        return rc;
}

/* Codes that pass by themselves: ask again. */
static bool passes(int code)
{
        return code == LEAT_KAFKA_E_NOT_LEADER_OR_FOLLOWER || code == LEAT_KAFKA_E_LEADER_NOT_AVAILABLE ||
               code == LEAT_KAFKA_E_FENCED_LEADER_EPOCH || code == LEAT_KAFKA_E_UNKNOWN_LEADER_EPOCH ||
               code == LEAT_KAFKA_E_KAFKA_STORAGE_ERROR;
}

struct batch_list {
        struct leat_feed_batch *batches;
        uint32_t count, cap;
};

static struct leat_feed_batch *add_batch(struct reader_memory *m, struct batch_list *list)
{
        if (list->count == list->cap) {
                uint32_t cap = list->cap == 0 ? 64 : list->cap * 2;
                struct leat_feed_batch *more = leat_arena_alloc(m->arena, cap * sizeof *more);
                if (list->count != 0)
                        memcpy(more, list->batches, list->count * sizeof *more);
                list->batches = more;
                list->cap = cap;
        }
        return &list->batches[list->count++];
}

/* The records of one batch at or above @from. */
static int take_records(struct reader_memory *m, const struct leat_kafka_batch *batch, const struct reader_part *p,
                        int64_t from, struct leat_feed_batch *out, struct leat_error *err)
{
        struct leat_kafka_record_iter iter;
        bool end = false;
        bool packed = leat_kafka_batch_codec(batch) != LEAT_KAFKA_CODEC_NONE;
        struct leat_buf none = LEAT_BUF_INIT, *scratch = packed ? memory_scratch(m) : &none;
        LEAT_TRY(leat_kafka_batch_check_crc(batch, err));
        LEAT_TRY(leat_kafka_records_open(batch, FEED_RECORDS_MAX, scratch, &iter, err));
        struct leat_record *records = leat_arena_alloc(m->arena, ((size_t)batch->record_count + 1) * sizeof *records);
        uint32_t n = 0;
        while (!leat_kafka_batch_control(batch)) {
                struct leat_record *r = &records[n];
                LEAT_TRY(leat_kafka_records_next(&iter, r, &end, err));
                if (end)
                        break;
                r->partition = p->partition;
                n += r->offset >= from;
        }
        out->records = records;
        out->record_count = n;
        return 0;
}

static int take_partition(struct leat_feed_reader *reader, struct reader_part *p,
                          const struct leat_kafka_fetched_partition *from, struct batch_list *list,
                          struct leat_error *err)
{
        struct reader_memory *m = reader->memory;
        struct leat_view rest = from->records.view;
        int64_t position = p->offset;
        p->high_watermark = from->high_watermark;
        while (rest.len > 0) {
                struct leat_kafka_batch batch;
                size_t need;
                int rc = leat_kafka_batch_parse(rest, &batch, &need, err);
                if (rc == LEAT_EINVAL && need > rest.len)
                        break; /* the broker cut the last one */
                if (rc != 0)
                        return rc;
                rest = leat_view_of(rest.data + batch.bytes.len, rest.len - batch.bytes.len);
                int64_t next = batch.base_offset + batch.last_offset_delta + 1;
                if (next <= position)
                        continue;
                struct leat_feed_batch *out = add_batch(m, list);
                *out = (struct leat_feed_batch){.tag = p->tag,
                                                .partition = p->partition,
                                                .next_offset = next,
                                                .leader_epoch = batch.leader_epoch,
                                                .max_timestamp_ms = batch.max_timestamp_ms,
                                                .high_watermark = from->high_watermark,
                                                .bytes = batch.bytes.len};
                LEAT_TRY(take_records(m, &batch, p, position, out, err));
                out->base_offset = out->record_count != 0 ? out->records[0].offset : position;
                position = next;
        }
        p->offset = position;
        return 0;
}

/* Errors that concern one partition come first, before any position has moved. */
static int find_error(struct leat_feed_reader *reader, const struct leat_kafka_fetch_response *response,
                      uint32_t *ret_tag, int32_t *ret_partition, struct leat_error *err)
{
        for (int32_t t = 0; t < response->responses_count; t++) {
                const struct leat_kafka_fetched_topic *topic = &response->responses[t];
                for (int32_t i = 0; i < topic->partitions_count; i++) {
                        int code = topic->partitions[i].error_code;
                        struct reader_part *p = find_asked(reader, topic, topic->partitions[i].partition_index);
                        if (code == 0 || p == NULL || passes(code))
                                continue;
                        *ret_tag = p->tag;
                        *ret_partition = p->partition;
                        return part_error(p, code, err);
                }
        }
        return 0;
}

static int take_answer(struct leat_feed_reader *reader, struct leat_block *frame, struct batch_list *list,
                       uint32_t *ret_tag, int32_t *ret_partition, struct leat_error *err)
{
        struct leat_kafka_fetch_response response;
        struct reader_memory *m = memory_fresh(reader);
        struct leat_view bytes = leat_view_of(frame->data, frame->len);
        m->frame = frame;
        if (leat_kafka_response_correlation(bytes) != reader->correlation) {
                leat_feed_conn_close(&reader->conn);
                return leat_error_set(err, LEAT_EPROTO,
                                      "the broker answers another request than the one that was sent");
        }
        LEAT_TRY(leat_kafka_response_decode(leat_kafka_api_find(1), reader->version, bytes, m->arena, &response, err));
        if (response.error_code != 0)
                return leat_feed_error(response.error_code, leat_view_of(NULL, 0), "", err);
        LEAT_TRY(find_error(reader, &response, ret_tag, ret_partition, err));
        for (int32_t t = 0; t < response.responses_count; t++) {
                const struct leat_kafka_fetched_topic *topic = &response.responses[t];
                for (int32_t i = 0; i < topic->partitions_count; i++) {
                        struct reader_part *p = find_asked(reader, topic, topic->partitions[i].partition_index);
                        if (p == NULL || topic->partitions[i].error_code != 0)
                                continue;
                        int rc = take_partition(reader, p, &topic->partitions[i], list, err);
                        if (rc != 0) {
                                *ret_tag = p->tag;
                                *ret_partition = p->partition;
                                leat_error_prefix(err, "topic \"%s\" partition %d", p->topic, p->partition);
                                return rc;
                        }
                }
        }
        return 0;
}

int leat_feed_poll(struct leat_feed_reader *reader, int64_t timeout_us, size_t max_bytes,
                   const struct leat_feed_batch **ret_batches, uint32_t *ret_count, uint32_t *ret_tag,
                   int32_t *ret_partition, struct leat_error *err)
{
        int64_t end_us = leat_os_monotonic_us() + timeout_us;
        struct batch_list list = {0};
        *ret_count = 0;
        while (list.count == 0) {
                struct leat_block *frame;
                int rc = 0;
                if (reader->conn.fd < 0)
                        reader->correlation = -1;
                rc = leat_feed_conn_open(reader->feed, &reader->conn,
                                         LEAT_MAX(end_us, leat_os_monotonic_us() + FEED_CALL_US), err);
                if (rc == 0 && reader->correlation < 0 && reader->count != 0)
                        rc = send_fetch(reader, max_bytes, err);
                if (rc == 0)
                        rc = leat_feed_conn_receive(reader->feed, &reader->conn, end_us, &frame, err);
                if (rc == LEAT_ETIMEOUT) {
                        if (err != NULL)
                                memset(err, 0, sizeof *err); /* nothing came: no error */
                        return 0;
                }
                if (rc == LEAT_ECLOSED)
                        continue;
                if (rc != 0)
                        return rc;
                rc = take_answer(reader, frame, &list, ret_tag, ret_partition, err);
                reader->correlation = -1;
                if (rc != 0)
                        return rc;
                if (reader->count != 0 && reader->conn.fd >= 0 && send_fetch(reader, max_bytes, NULL) != 0)
                        leat_feed_conn_close(&reader->conn);
                if (leat_os_monotonic_us() >= end_us)
                        break;
        }
        *ret_batches = list.batches;
        *ret_count = list.count;
        return 0;
}

struct leat_block *leat_feed_hold(struct leat_feed_reader *reader)
{
        LEAT_ASSERT(reader->memory != NULL);
        return leat_block_ref(&reader->memory->block);
}

/* ---- partitions ----------------------------------------------------------------------------------- */
int leat_feed_reader_open(struct leat_feed *feed, struct leat_feed_reader **ret_reader, struct leat_error *err)
{
        struct leat_feed_reader *reader = leat_calloc(1, sizeof *reader);
        (void)err;
        reader->feed = feed;
        reader->part_bytes = READER_PARTITION_BYTES;
        reader->wait_ms = READER_WAIT_MS;
        reader->correlation = -1;
        leat_feed_conn_init(&reader->conn);
        *ret_reader = reader;
        return 0;
}

void leat_feed_reader_close(struct leat_feed_reader *reader)
{
        if (reader == NULL)
                return;
        leat_feed_conn_close(&reader->conn);
        if (reader->memory != NULL)
                leat_block_unref(&reader->memory->block);
        free(reader->parts);
        free(reader);
}

static struct reader_part *find_part(const struct leat_feed_reader *reader, uint32_t tag, int32_t partition)
{
        for (uint32_t i = 0; i < reader->count; i++)
                if (reader->parts[i].tag == tag && reader->parts[i].partition == partition)
                        return &reader->parts[i];
        return NULL;
}

int leat_feed_reader_add(struct leat_feed_reader *reader, const struct leat_feed_topic *topic, int32_t partition,
                         int64_t offset, uint32_t tag, struct leat_error *err)
{
        struct reader_part *p = find_part(reader, tag, partition);
        if (p == NULL && reader->count == READER_PARTITIONS_MAX)
                return leat_error_set(err, LEAT_ETOOBIG, "one reader reads at most %d partitions",
                                      READER_PARTITIONS_MAX);
        if (p == NULL && reader->count == reader->cap) {
                reader->cap = reader->cap == 0 ? 16 : reader->cap * 2;
                reader->parts = leat_realloc(reader->parts, reader->cap * sizeof *reader->parts);
        }
        if (p == NULL)
                p = &reader->parts[reader->count++];
        memset(p, 0, sizeof *p);
        snprintf(p->topic, sizeof p->topic, "%s", topic->name);
        p->id = topic->id;
        p->partition = partition;
        p->tag = tag;
        p->offset = offset;
        p->asked = -1;
        p->high_watermark = -1;
        return 0;
}

void leat_feed_reader_remove(struct leat_feed_reader *reader, uint32_t tag, int32_t partition)
{
        struct reader_part *p = find_part(reader, tag, partition);
        if (p == NULL)
                return;
        *p = reader->parts[--reader->count];
        reader->first = 0;
}

void leat_feed_reader_pause(struct leat_feed_reader *reader, uint32_t tag, int32_t partition, bool paused)
{
        struct reader_part *p = find_part(reader, tag, partition);
        if (p != NULL)
                p->paused = paused;
}

void leat_feed_reader_catch_up(struct leat_feed_reader *reader, size_t bytes)
{
        reader->part_bytes = LEAT_MIN(bytes, (size_t)READER_PARTITION_BYTES);
        reader->wait_ms = READER_CATCH_UP_WAIT_MS;
}

int64_t leat_feed_high_watermark(const struct leat_feed_reader *reader, uint32_t tag, int32_t partition)
{
        const struct reader_part *p = find_part(reader, tag, partition);
        return p == NULL ? -1 : p->high_watermark;
}
