/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/query: REPLAY QUARANTINE OF topic: refused records that fit now become
 * records of the topic again, each once.
 *
 *   fits where it stands   the log still has it, and by the columns of today every
 *                          reader takes it: it is only marked
 *   fits                   gone from the log, or made to fit by USING: written anew,
 *                          with its key and time and a header that names its origin
 *   does not fit           stays
 *
 * Once, also over a crash: a piece of the work is
 *
 *   1 marks "about to be played back", with the end of the topic's partition   durable
 *   2 the records, into the partition that they came from                      durable
 *   3 marks "played back"                                                      durable
 *
 * and a REPLAY begins by looking for the records of step 2 behind the offsets of
 * step 1, for those that a dead one left without step 3. One REPLAY runs at a
 * time. What a dying one has sent the broker appends or drops within moments;
 * the next one comes after this role has started again.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "leat/batch.h"
#include "leat/format.h"
#include "leat/quarantine.h"
#include "query_int.h"

enum { PIECE_RECORDS = 500, PIECE_BYTES = 512 * 1024, POLL_BYTES = 1 << 20 };
#define FLUSH_US (30LL * 1000 * 1000)
#define ORIGIN "leat-replayed-from"
#define SETTLED (-1) /* in place of an offset: nothing is open */

struct item {
        int32_t partition;
        int64_t offset, from; /* from -1: only marked */
        struct leat_record record;
};

struct replay {
        struct query_session *session;
        const struct leat_topic_def *def;
        struct leat_arena *arena, *piece;
        struct leat_feed_topic topic;
        struct leat_quarantine quarantine;
        struct leat_format *format;
        int64_t *begins, *ends;
        struct item items[PIECE_RECORDS];
        uint32_t count;
        size_t bytes;
        int64_t written, standing, found, unfit;
        char reason[300]; /* why the first one does not fit */
        struct leat_error failed;
};

int leat_query_replay_prepare(struct query_stmt *st, struct leat_error *err)
{
        return leat_sql_replay(st->session->query->env, st->arena, &st->stmt, &st->sql, &st->topic, err);
}

/* ---- writing ----------------------------------------------------------------------------- */
struct part_sent {
        struct replay *replay;
        int32_t partition; /* of the topic; -1: the quarantine */
        uint32_t count;
};

static void on_sent(void *arg, int64_t base_offset, const struct leat_error *err)
{
        struct part_sent *sent = arg;
        if (err != NULL && err->code != 0) {
                if (sent->replay->failed.code == 0)
                        sent->replay->failed = *err;
        } else if (sent->partition >= 0) {
                struct leat_tick_position position = {.topic = sent->replay->topic.id,
                                                      .partition = sent->partition,
                                                      .offset = base_offset + sent->count};
                leat_query_session_wrote(sent->replay->session, &position);
        }
        free(sent);
}

static int send_records(struct replay *r, const char *topic, int32_t partition, const struct leat_record *records,
                        uint32_t count, struct leat_error *err)
{
        if (count == 0)
                return 0;
        struct part_sent *sent = leat_calloc(1, sizeof *sent);
        *sent = (struct part_sent){.replay = r, .partition = partition, .count = count};
        int rc = leat_feed_send(r->session->writer, topic, LEAT_MAX(partition, 0), records, count, 0, on_sent, sent,
                                err);
        if (rc != 0)
                free(sent);
        return rc;
}

static int flush(struct replay *r, struct leat_error *err)
{
        LEAT_TRY(leat_feed_flush(r->session->writer, FLUSH_US, err));
        if (r->failed.code == 0)
                return 0;
        *err = r->failed;
        return err->code;
}

static struct leat_record mark(struct replay *r, const struct item *item, bool done)
{
        struct leat_buf key = LEAT_BUF_INIT, value = LEAT_BUF_INIT;
        int64_t now_ms = leat_os_now_us() / 1000;
        leat_format_encode_mark(item->partition, item->offset, item->from, done ? now_ms : -1, &key, &value);
        struct leat_record record = {
                .key = leat_view_of(leat_arena_strndup(r->piece, leat_buf_cstr(&key), key.len), key.len),
                .value = leat_view_of(leat_arena_strndup(r->piece, leat_buf_cstr(&value), value.len), value.len)};
        leat_buf_done(&key);
        leat_buf_done(&value);
        return record;
}

/* Steps 1 and 3. */
static int write_marks(struct replay *r, bool done, struct leat_error *err)
{
        struct leat_record *marks = leat_arena_alloc(r->piece, PIECE_RECORDS * sizeof *marks);
        uint32_t count = 0;
        for (uint32_t i = 0; i < r->count; i++)
                if (done || r->items[i].from >= 0)
                        marks[count++] = mark(r, &r->items[i], done);
        LEAT_TRY(send_records(r, r->quarantine.name, -1, marks, count, err));
        return flush(r, err);
}

static int write_piece(struct replay *r, struct leat_error *err)
{
        if (r->count == 0)
                return 0;
        LEAT_TRY(leat_feed_offsets(r->session->feed, r->topic.name, LEAT_FEED_LATEST, r->ends, r->topic.partitions,
                                   err));
        for (uint32_t i = 0; i < r->count; i++)
                if (r->items[i].from >= 0)
                        r->items[i].from = r->ends[r->items[i].partition];
        LEAT_TRY(write_marks(r, false, err));
        struct leat_record *records = leat_arena_alloc(r->piece, PIECE_RECORDS * sizeof *records);
        for (int32_t p = 0; p < r->topic.partitions; p++) {
                uint32_t count = 0;
                for (uint32_t i = 0; i < r->count; i++)
                        if (r->items[i].from >= 0 && r->items[i].partition == p)
                                records[count++] = r->items[i].record;
                LEAT_TRY(send_records(r, r->topic.name, p, records, count, err));
                r->written += count;
        }
        LEAT_TRY(flush(r, err));
        LEAT_TRY(write_marks(r, true, err));
        r->count = 0;
        r->bytes = 0;
        leat_arena_reset(r->piece);
        return 0;
}

/* ---- what a dead one left ------------------------------------------------------------------- */
/* Calls @take for all records of @partition from @from up to @end. */
static int read_records(struct replay *r, const struct leat_feed_topic *topic, int32_t partition, int64_t from,
                        int64_t end, int (*take)(struct replay *r, const struct leat_feed_batch *batch, void *arg),
                        void *arg, struct leat_error *err)
{
        struct leat_feed_reader *reader;
        LEAT_TRY(leat_feed_reader_open(r->session->feed, &reader, err));
        int rc = leat_feed_reader_add(reader, topic, partition, from, 0, err);
        while (rc == 0 && from < end) {
                const struct leat_feed_batch *batches;
                uint32_t count, tag;
                int32_t at;
                if (atomic_load(&r->session->canceled)) {
                        rc = leat_query_canceled(r->session, err);
                        break;
                }
                rc = leat_feed_poll(reader, 200000, POLL_BYTES, &batches, &count, &tag, &at, err);
                for (uint32_t b = 0; rc == 0 && b < count; b++) {
                        rc = take(r, &batches[b], arg);
                        from = batches[b].next_offset;
                }
        }
        leat_feed_reader_close(reader);
        return rc;
}

/* The open marks: place -> offset in the topic behind which the record is, if it is. */
struct open_marks {
        struct leat_format *format;
        struct query_places places;
};

static int take_marks(struct replay *r, const struct leat_feed_batch *batch, void *arg)
{
        struct open_marks *open = arg;
        struct leat_format_rows rows;
        (void)r;
        leat_format_reset(open->format);
        leat_format_decode(open->format, batch->records, batch->record_count);
        leat_format_rows(open->format, &rows);
        const struct leat_column *c = rows.batch->columns;
        for (uint32_t i = 0; i < rows.batch->rows; i++) {
                if (!leat_column_valid(&c[2], i))
                        continue;
                uint64_t place = leat_query_place(((const int32_t *)c[0].data)[i], ((const int64_t *)c[1].data)[i]);
                leat_query_places_put(&open->places, place,
                                      leat_column_valid(&c[3], i) ? SETTLED : ((const int64_t *)c[4].data)[i]);
        }
        return 0;
}

/* Where the record was played back from, by its header; 0: it was not. */
static uint64_t origin_of(const struct leat_record *record)
{
        struct leat_kafka_headers_iter iter;
        struct leat_view key, value;
        if (record->headers.len == 0)
                return 0;
        leat_kafka_headers_open(record->headers, &iter);
        while (leat_kafka_headers_next(&iter, &key, &value)) {
                char text[48], *end;
                if (!leat_view_eq_str(key, ORIGIN) || value.len >= sizeof text)
                        continue;
                memcpy(text, value.data, value.len);
                text[value.len] = '\0';
                long partition = strtol(text, &end, 10);
                if (*end == ':')
                        return leat_query_place((int32_t)partition, strtoll(end + 1, NULL, 10));
        }
        return 0;
}

static int take_replayed(struct replay *r, const struct leat_feed_batch *batch, void *arg)
{
        struct open_marks *open = arg;
        (void)r;
        for (uint32_t i = 0; i < batch->record_count; i++) {
                uint64_t place = origin_of(&batch->records[i]);
                int64_t from;
                if (place != 0 && leat_query_places_find(&open->places, place, &from) && from >= 0 &&
                    batch->records[i].offset >= from)
                        leat_query_places_put(&open->places, place, -2 - from); /* found */
        }
        return 0;
}

static int settle_found(struct replay *r, const struct open_marks *open, struct leat_error *err)
{
        for (uint32_t i = 0; i < open->places.size; i++) {
                int64_t from = open->places.values[i];
                int32_t partition = (int32_t)((open->places.places[i] - 1) >> 48);
                if (open->places.places[i] == 0 || from == SETTLED || partition >= r->topic.partitions)
                        continue;
                /* What retention has taken since cannot be looked for: written is likelier than not. */
                if (from >= 0 && from >= r->begins[partition])
                        continue;
                r->items[r->count++] =
                        (struct item){.partition = partition,
                                      .offset = (int64_t)((open->places.places[i] - 1) & 0xffffffffffffull),
                                      .from = -1};
                r->found++;
                if (r->count == PIECE_RECORDS)
                        LEAT_TRY(write_piece(r, err));
        }
        return write_piece(r, err);
}

static int settle_old(struct replay *r, const struct leat_feed_topic *quarantine, struct leat_error *err)
{
        static const char *const names[] = {"partition", "offset", "mark", "replayed", "from"};
        struct open_marks open = {0};
        int64_t begin, end;
        int rc;
        LEAT_TRY(leat_feed_offsets(r->session->feed, quarantine->name, LEAT_FEED_EARLIEST, &begin, 1, err));
        LEAT_TRY(leat_feed_offsets(r->session->feed, quarantine->name, LEAT_FEED_LATEST, &end, 1, err));
        LEAT_TRY(leat_format_open(leat_format_quarantine_def(), names, 5, &open.format, err));
        LEAT_TRY_GOTO(read_records(r, quarantine, 0, begin, end, take_marks, &open, err));
        for (int32_t p = 0; p < r->topic.partitions; p++) {
                int64_t from = INT64_MAX;
                for (uint32_t i = 0; i < open.places.size; i++)
                        if (open.places.places[i] != 0 && (int32_t)((open.places.places[i] - 1) >> 48) == p &&
                            open.places.values[i] >= r->begins[p])
                                from = LEAT_MIN(from, open.places.values[i]);
                if (from < r->ends[p])
                        LEAT_TRY_GOTO(read_records(r, &r->topic, p, from, r->ends[p], take_replayed, &open, err));
        }
        rc = settle_found(r, &open, err);
fail:
        leat_format_close(open.format);
        leat_query_places_done(&open.places);
        return rc;
}

/* ---- the rows ----------------------------------------------------------------------------------- */
static struct leat_view bytes_at(const struct leat_column *column, uint32_t row)
{
        return leat_column_valid(column, row) ? leat_string_view((const struct leat_string *)column->data + row)
                                              : (struct leat_view){0};
}

/* Whether a record fits the topic's columns; else why not. */
static bool fits(struct replay *r, const struct leat_record *record, char *reason, size_t size)
{
        struct leat_format_rows rows;
        leat_format_reset(r->format);
        leat_format_decode(r->format, record, 1);
        leat_format_rows(r->format, &rows);
        if (rows.invalid_count != 0 && reason != NULL && reason[0] == '\0')
                snprintf(reason, size, "%s", rows.invalids[0].reason);
        return rows.invalid_count == 0;
}

static struct leat_view origin_header(struct replay *r, int32_t partition, int64_t offset)
{
        struct leat_buf headers = LEAT_BUF_INIT;
        char text[48];
        int len = snprintf(text, sizeof text, "%d:%lld", partition, (long long)offset);
        leat_buf_varint(&headers, 1);
        leat_buf_varint(&headers, (int64_t)strlen(ORIGIN));
        leat_buf_add_str(&headers, ORIGIN);
        leat_buf_varint(&headers, len);
        leat_buf_add_str(&headers, text);
        struct leat_view view =
                leat_view_of(leat_arena_strndup(r->piece, (const char *)headers.data, headers.len), headers.len);
        leat_buf_done(&headers);
        return view;
}

static struct leat_view kept(struct replay *r, struct leat_view bytes)
{
        return bytes.data == NULL
                       ? bytes
                       : leat_view_of(leat_arena_strndup(r->piece, (const char *)bytes.data, bytes.len), bytes.len);
}

static int take_row(struct replay *r, const struct leat_batch *rows, uint32_t row, bool with, struct leat_error *err)
{
        const struct leat_column *c = rows->columns;
        struct item item = {.partition = ((const int32_t *)c[0].data)[row],
                            .offset = ((const int64_t *)c[1].data)[row]};
        struct leat_record old = {.partition = item.partition,
                                  .offset = item.offset,
                                  .key = bytes_at(&c[2], row),
                                  .value = bytes_at(&c[3], row)};
        if (leat_column_valid(&c[4], row))
                old.timestamp_ms = ((const int64_t *)c[4].data)[row] / 1000;
        if (item.partition < 0 || item.partition >= r->topic.partitions)
                return 0;
        if (item.offset >= r->begins[item.partition] && fits(r, &old, NULL, 0)) {
                item.from = -1;
                r->standing++;
        } else {
                item.record = old;
                if (with)
                        item.record.value = bytes_at(&c[5], row);
                if (!fits(r, &item.record, r->reason, sizeof r->reason)) {
                        r->unfit++;
                        return 0;
                }
                item.record.key = kept(r, item.record.key);
                item.record.value = kept(r, item.record.value);
                item.record.headers = origin_header(r, item.partition, item.offset);
                r->bytes += item.record.key.len + item.record.value.len;
        }
        r->items[r->count++] = item;
        return r->count == PIECE_RECORDS || r->bytes >= PIECE_BYTES ? write_piece(r, err) : 0;
}

static int take_rows(struct replay *r, struct query_cursor *cur, struct leat_error *err)
{
        const struct leat_batch *rows;
        int rc;
        while ((rc = leat_result_next(cur->result, &rows, err)) == 0 && rows != NULL) {
                for (uint32_t i = 0; rc == 0 && i < rows->rows; i++)
                        rc = take_row(r, rows, i, cur->stmt->stmt.using_at.len != 0, err);
                if (rc == 0 && atomic_load(&r->session->canceled))
                        rc = leat_query_canceled(r->session, err);
                if (rc != 0)
                        return rc;
        }
        if (rc != 0) {
                leat_sql_map_error(cur->stmt->sql.map, err);
                return rc;
        }
        return write_piece(r, err);
}

/* ---- the statement -------------------------------------------------------------------------------- */
static int replay_start(struct replay *r, const struct leat_object *topic, struct leat_error *err)
{
        static const char *const names[] = {"kafka_offset"};
        struct query_session *s = r->session;
        LEAT_TRY(leat_query_session_feed(s, err));
        if (s->writer == NULL)
                LEAT_TRY(leat_feed_writer_open(s->feed, &s->writer, err));
        LEAT_TRY(leat_feed_topic(s->feed, topic->name, &r->topic, err));
        if (memcmp(r->topic.id.bytes, topic->topic->topic_id, sizeof r->topic.id.bytes) != 0)
                return leat_error_set(err, LEAT_ENORELATION,
                                      "topic \"%s\" was deleted and made again by another client", topic->name);
        r->begins = leat_arena_zalloc(r->arena, ((size_t)r->topic.partitions + 1) * sizeof *r->begins);
        r->ends = leat_arena_zalloc(r->arena, ((size_t)r->topic.partitions + 1) * sizeof *r->ends);
        LEAT_TRY(leat_feed_offsets(s->feed, topic->name, LEAT_FEED_EARLIEST, r->begins, r->topic.partitions, err));
        LEAT_TRY(leat_feed_offsets(s->feed, topic->name, LEAT_FEED_LATEST, r->ends, r->topic.partitions, err));
        return leat_format_open(r->def, names, 1, &r->format, err);
}

static int replay_run(struct replay *r, struct query_cursor *cur, struct leat_error *err)
{
        char name[300];
        struct leat_feed_topic quarantine;
        leat_query_refused_wait(r->session->query->refused, cur->stmt->topic->name);
        LEAT_TRY(replay_start(r, cur->stmt->topic, err));
        snprintf(name, sizeof name, "%s.quarantine", r->topic.name);
        int rc = leat_feed_topic(r->session->feed, name, &quarantine, err);
        if (rc == LEAT_ENORELATION)
                return 0; /* nothing was ever refused */
        LEAT_TRY(rc);
        LEAT_TRY(leat_quarantine_open(r->session->feed, r->topic.name, &r->quarantine, err));
        LEAT_TRY(settle_old(r, &quarantine, err));
        LEAT_TRY(leat_query_select_open(cur, NULL, err));
        return take_rows(r, cur, err);
}

static void tell(const struct replay *r)
{
        struct leat_buf text = LEAT_BUF_INIT;
        leat_buf_printf(&text, "topic %s: %lld record%s played back", r->topic.name, (long long)(r->written + r->found),
                        r->written + r->found == 1 ? "" : "s");
        if (r->found != 0)
                leat_buf_printf(&text, " (%lld by an earlier REPLAY that did not end)", (long long)r->found);
        if (r->standing != 0)
                leat_buf_printf(&text, ", %lld fit%s where %s", (long long)r->standing, r->standing == 1 ? "s" : "",
                                r->standing == 1 ? "it stands" : "they stand");
        if (r->unfit != 0)
                leat_buf_printf(&text, ", %lld %s not fit: %s", (long long)r->unfit, r->unfit == 1 ? "does" : "do",
                                r->reason);
        leat_query_notice(r->session, "NOTICE", leat_buf_cstr(&text));
        leat_buf_done(&text);
}

int leat_query_replay_open(struct query_cursor *cur, struct leat_error *err)
{
        struct query_session *s = cur->stmt->session;
        struct replay *r = leat_calloc(1, sizeof *r);
        int rc = pthread_mutex_trylock(&s->query->replay_mutex) == EBUSY
                         ? leat_error_set(err, LEAT_EBUSY, "another REPLAY is running")
                         : 0;
        if (rc != 0) {
                free(r);
                return rc;
        }
        r->session = s;
        r->def = cur->stmt->topic->topic;
        r->arena = leat_arena_new(0);
        r->piece = leat_arena_new(0);
        rc = replay_run(r, cur, err);
        if (rc != 0) { /* what is in flight calls back into our memory: end the writer */
                leat_feed_writer_close(s->writer);
                s->writer = NULL;
        } else {
                tell(r);
        }
        cur->affected = r->written + r->found;
        leat_result_free(cur->result);
        cur->result = NULL;
        leat_format_close(r->format);
        leat_arena_free(r->piece);
        leat_arena_free(r->arena);
        free(r);
        pthread_mutex_unlock(&s->query->replay_mutex);
        return rc;
}
