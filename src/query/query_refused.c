/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/query: records that a SELECT met and could not fit to their topic.
 *
 * The scan hands copies to a thread of its own and goes on; the thread writes to
 * the topic's quarantine those that are not there yet. It knows what is there by
 * reading the quarantine's keys, once, and then what has been added. A SELECT
 * never waits for it and never fails by it; what the broker refuses, or is more
 * than the queue holds, is told in the log and met again by the next SELECT. A
 * SELECT over the quarantine waits a moment for what was handed over before.
 *
 * Memory: QUEUE_BYTES of copies, KNOWN_MAX places (16 bytes each, at most half
 * full) of each of TOPICS_MAX topics.
 * Threads: the mutex guards everything but the thread's own feed.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "leat/quarantine.h"
#include "query_int.h"

enum { TOPICS_MAX = 256, KNOWN_MAX = 1 << 20 };
#define QUEUE_BYTES (8u << 20)
#define SEND_US (10LL * 1000 * 1000)
#define WAIT_US (2LL * 1000 * 1000)
#define LEARN_BYTES (1u << 20)

/* Copies of one portion of a scan. */
struct packet {
        struct packet *next;
        struct leat_arena *arena;
        struct refused_topic *topic;
        struct leat_topic_def def; /* names of the columns */
        struct leat_format_invalid *invalids;
        uint32_t count;
        size_t bytes;
};

struct refused_topic {
        char name[250];
        struct leat_topic_id id;
        uint32_t waiting; /* packets */
        struct query_places known;
        bool full, complained;
        /* the thread's own */
        struct leat_quarantine quarantine;
        int64_t read_to, begins; /* of the quarantine */
};

struct query_refused {
        struct leat_addr kafka;
        pthread_mutex_t mutex;
        pthread_cond_t work, done;
        pthread_t thread;
        bool started, closing;
        struct packet *first, **last;
        size_t bytes;
        struct refused_topic *topics[TOPICS_MAX];
        uint32_t topic_count;
};

/* ---- what is there ---------------------------------------------------------------------- */
static void known_add(struct refused_topic *t, uint64_t place)
{
        if (t->known.count >= KNOWN_MAX)
                t->full = true;
        else
                leat_query_places_put(&t->known, place, 0);
}

static void known_forget(struct refused_topic *t)
{
        leat_query_places_done(&t->known);
        t->full = false;
        t->read_to = -1;
}

/* ---- the thread --------------------------------------------------------------------------- */
static void learn_batch(struct query_refused *r, struct refused_topic *t, const struct leat_format_rows *rows)
{
        pthread_mutex_lock(&r->mutex);
        for (uint32_t i = 0; i < rows->batch->rows; i++)
                known_add(t, leat_query_place(((const int32_t *)rows->batch->columns[0].data)[i],
                                              ((const int64_t *)rows->batch->columns[1].data)[i]));
        pthread_mutex_unlock(&r->mutex);
}

static int learn_from(struct query_refused *r, struct refused_topic *t, struct leat_feed_reader *reader,
                      struct leat_format *format, int64_t end, struct leat_error *err)
{
        int64_t give_up_us = leat_os_monotonic_us() + SEND_US;
        while (t->read_to < end && !t->full) {
                const struct leat_feed_batch *batches;
                struct leat_format_rows rows;
                uint32_t count, tag;
                int32_t partition;
                if (leat_os_monotonic_us() > give_up_us)
                        return leat_error_set(err, LEAT_ETIMEOUT, "topic %s cannot be read in time",
                                              t->quarantine.name);
                LEAT_TRY(leat_feed_poll(reader, 200000, LEARN_BYTES, &batches, &count, &tag, &partition, err));
                leat_format_reset(format);
                for (uint32_t b = 0; b < count; b++) {
                        leat_format_decode(format, batches[b].records, batches[b].record_count);
                        t->read_to = batches[b].next_offset;
                }
                leat_format_rows(format, &rows);
                learn_batch(r, t, &rows);
        }
        return 0;
}

/* Reads the places that have come to the quarantine since it was looked at. */
static int learn(struct query_refused *r, struct refused_topic *t, struct leat_feed *feed, struct leat_error *err)
{
        static const char *const names[] = {"partition", "offset"};
        struct leat_feed_topic info;
        struct leat_feed_reader *reader = NULL;
        struct leat_format *format = NULL;
        struct leat_topic_id had = t->quarantine.id;
        int64_t begin, end;
        int rc;
        LEAT_TRY(leat_quarantine_open(feed, t->name, &t->quarantine, err));
        LEAT_TRY(leat_feed_offsets(feed, t->quarantine.name, LEAT_FEED_EARLIEST, &begin, 1, err));
        LEAT_TRY(leat_feed_offsets(feed, t->quarantine.name, LEAT_FEED_LATEST, &end, 1, err));
        /* Made anew, or its oldest are gone: what was there may be wanted again. */
        pthread_mutex_lock(&r->mutex);
        if (memcmp(&had, &t->quarantine.id, sizeof had) != 0 || begin > t->begins)
                known_forget(t);
        pthread_mutex_unlock(&r->mutex);
        t->begins = begin;
        t->read_to = LEAT_MAX(t->read_to, begin);
        if (t->read_to >= end)
                return 0;
        LEAT_TRY_GOTO(leat_feed_topic(feed, t->quarantine.name, &info, err));
        LEAT_TRY_GOTO(leat_format_open(leat_format_quarantine_def(), names, 2, &format, err));
        LEAT_TRY_GOTO(leat_feed_reader_open(feed, &reader, err));
        LEAT_TRY_GOTO(leat_feed_reader_add(reader, &info, 0, t->read_to, 0, err));
        rc = learn_from(r, t, reader, format, end, err);
fail:
        if (reader != NULL)
                leat_feed_reader_close(reader);
        leat_format_close(format);
        return rc;
}

static void sent(void *arg, int64_t base_offset, const struct leat_error *err)
{
        struct leat_error *failed = arg;
        (void)base_offset;
        if (err != NULL && err->code != 0 && failed->code == 0)
                *failed = *err;
}

static int send_packet(struct leat_feed *feed, struct packet *p, struct leat_error *err)
{
        struct leat_error failed = {0};
        struct leat_feed_writer *writer;
        uint32_t batches;
        LEAT_TRY(leat_feed_writer_open(feed, &writer, err));
        int rc = leat_quarantine_send(writer, &p->topic->quarantine, &p->def, p->invalids, p->count, sent, &failed,
                                      &batches, err);
        if (rc == 0)
                rc = leat_feed_flush(writer, SEND_US, err);
        if (rc == 0 && failed.code != 0) {
                *err = failed;
                rc = failed.code;
        }
        leat_feed_writer_close(writer);
        return rc;
}

/* Leaves those that are not there yet; they count as there from now on. */
static void keep_new(struct query_refused *r, struct packet *p)
{
        uint32_t count = 0;
        pthread_mutex_lock(&r->mutex);
        for (uint32_t i = 0; i < p->count; i++) {
                uint64_t place = leat_query_place(p->invalids[i].record.partition, p->invalids[i].record.offset);
                if (leat_query_places_find(&p->topic->known, place, NULL) || p->topic->full)
                        continue;
                known_add(p->topic, place);
                p->invalids[count++] = p->invalids[i];
        }
        if (p->topic->full && !p->topic->complained) {
                leat_diag(LEAT_DIAG_WARN, "query", "refused records are too many to be compared; SELECT writes no more",
                          "topic=%s known=%u", p->topic->name, p->topic->known.count);
                p->topic->complained = true;
        }
        pthread_mutex_unlock(&r->mutex);
        p->count = count;
}

static void write_packet(struct query_refused *r, struct leat_feed *feed, struct packet *p)
{
        struct leat_error err = {0};
        struct leat_feed_topic info;
        /* A topic that was dropped meanwhile must not get its quarantine back. */
        int rc = leat_feed_topic(feed, p->topic->name, &info, &err);
        if (rc == LEAT_ENORELATION || (rc == 0 && memcmp(&info.id, &p->topic->id, sizeof info.id) != 0))
                return;
        if (rc == 0)
                rc = learn(r, p->topic, feed, &err);
        if (rc == 0)
                keep_new(r, p);
        if (rc == 0 && p->count != 0)
                rc = send_packet(feed, p, &err);
        if (rc == 0)
                return;
        leat_diag_error("query", "refused records were not put aside, the next SELECT tries again", &err);
        pthread_mutex_lock(&r->mutex);
        known_forget(p->topic);
        pthread_mutex_unlock(&r->mutex);
}

static void *writer_thread(void *arg)
{
        struct query_refused *r = arg;
        struct leat_feed *feed = NULL;
        struct leat_error err;
        pthread_mutex_lock(&r->mutex);
        for (;;) {
                while (r->first == NULL && !r->closing)
                        pthread_cond_wait(&r->work, &r->mutex);
                struct packet *p = r->first;
                if (p == NULL)
                        break;
                r->first = p->next;
                if (r->first == NULL)
                        r->last = &r->first;
                bool closing = r->closing;
                pthread_mutex_unlock(&r->mutex);
                if (feed == NULL && leat_feed_open(&r->kafka, "leat-query-quarantine", &feed, &err) != 0)
                        leat_diag_error("query", "refused records cannot be put aside", &err);
                if (feed != NULL && !closing)
                        write_packet(r, feed, p);
                pthread_mutex_lock(&r->mutex);
                r->bytes -= p->bytes;
                p->topic->waiting--;
                pthread_cond_broadcast(&r->done);
                leat_arena_free(p->arena);
        }
        pthread_mutex_unlock(&r->mutex);
        if (feed != NULL)
                leat_feed_close(feed);
        return NULL;
}

/* ---- the scans' side ---------------------------------------------------------------------- */
struct query_refused *leat_query_refused_new(const struct leat_addr *kafka)
{
        struct query_refused *r = leat_calloc(1, sizeof *r);
        pthread_condattr_t monotonic;
        r->kafka = *kafka;
        r->last = &r->first;
        pthread_mutex_init(&r->mutex, NULL);
        pthread_condattr_init(&monotonic);
        pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
        pthread_cond_init(&r->work, NULL);
        pthread_cond_init(&r->done, &monotonic);
        pthread_condattr_destroy(&monotonic);
        return r;
}

void leat_query_refused_free(struct query_refused *r)
{
        if (r == NULL)
                return;
        pthread_mutex_lock(&r->mutex);
        r->closing = true;
        pthread_cond_broadcast(&r->work);
        pthread_mutex_unlock(&r->mutex);
        if (r->started)
                pthread_join(r->thread, NULL);
        for (uint32_t i = 0; i < r->topic_count; i++) {
                leat_query_places_done(&r->topics[i]->known);
                free(r->topics[i]);
        }
        pthread_cond_destroy(&r->work);
        pthread_cond_destroy(&r->done);
        pthread_mutex_destroy(&r->mutex);
        free(r);
}

static struct refused_topic *topic_get(struct query_refused *r, const struct leat_feed_topic *topic)
{
        for (uint32_t i = 0; i < r->topic_count; i++)
                if (memcmp(&r->topics[i]->id, &topic->id, sizeof topic->id) == 0)
                        return r->topics[i];
        if (r->topic_count == TOPICS_MAX)
                return NULL;
        struct refused_topic *t = r->topics[r->topic_count++] = leat_calloc(1, sizeof *t);
        snprintf(t->name, sizeof t->name, "%s", topic->name);
        t->id = topic->id;
        t->read_to = -1;
        return t;
}

static struct leat_view copied(struct leat_arena *arena, struct leat_view bytes)
{
        return bytes.data == NULL
                       ? bytes
                       : leat_view_of(leat_arena_strndup(arena, (const char *)bytes.data, bytes.len), bytes.len);
}

static struct packet *packet_new(struct refused_topic *t, const struct leat_topic_def *def, uint32_t count)
{
        struct leat_arena *arena = leat_arena_new(0);
        struct packet *p = leat_arena_zalloc(arena, sizeof *p);
        struct leat_column_def *columns = leat_arena_zalloc(arena, (def->column_count + 1) * sizeof *columns);
        for (uint32_t i = 0; i < def->column_count; i++)
                columns[i].name = leat_arena_strdup(arena, def->columns[i].name);
        p->arena = arena;
        p->topic = t;
        p->def.columns = columns;
        p->def.column_count = def->column_count;
        p->invalids = leat_arena_alloc(arena, count * sizeof *p->invalids);
        return p;
}

void leat_query_refused_add(struct query_refused *r, const struct leat_feed_topic *topic,
                            const struct leat_topic_def *def, const struct leat_format_invalid *invalids,
                            uint32_t count)
{
        struct packet *p = NULL;
        uint32_t left = 0;
        pthread_mutex_lock(&r->mutex);
        struct refused_topic *t = topic_get(r, topic);
        for (uint32_t i = 0; t != NULL && !t->full && i < count; i++) {
                const struct leat_record *from = &invalids[i].record;
                size_t bytes = from->key.len + from->value.len + 512;
                if (leat_query_places_find(&t->known, leat_query_place(from->partition, from->offset), NULL))
                        continue;
                if (r->bytes + bytes > QUEUE_BYTES) {
                        left++;
                        continue;
                }
                if (p == NULL)
                        p = packet_new(t, def, count);
                struct leat_format_invalid *to = &p->invalids[p->count++];
                *to = invalids[i];
                to->record.key = copied(p->arena, from->key);
                to->record.value = copied(p->arena, from->value);
                to->record.headers = (struct leat_view){0};
                to->reason = leat_arena_strdup(p->arena, invalids[i].reason);
                p->bytes += bytes;
                r->bytes += bytes;
        }
        if (p != NULL) {
                t->waiting++;
                *r->last = p;
                r->last = &p->next;
                if (!r->started)
                        r->started = pthread_create(&r->thread, NULL, writer_thread, r) == 0;
                pthread_cond_signal(&r->work);
        }
        pthread_mutex_unlock(&r->mutex);
        if (left != 0)
                leat_diag(LEAT_DIAG_INFO, "query", "refused records are more than are put aside at once",
                          "topic=%s left=%u", topic->name, left);
}

void leat_query_refused_wait(struct query_refused *r, const char *topic)
{
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += WAIT_US / 1000000;
        pthread_mutex_lock(&r->mutex);
        for (;;) {
                uint32_t waiting = 0;
                for (uint32_t i = 0; i < r->topic_count; i++)
                        waiting += strcmp(r->topics[i]->name, topic) == 0 ? r->topics[i]->waiting : 0;
                if (waiting == 0 || pthread_cond_timedwait(&r->done, &r->mutex, &until) != 0)
                        break;
        }
        pthread_mutex_unlock(&r->mutex);
}

/* ---- what the user is told ------------------------------------------------------------------ */
void leat_query_session_skipped(struct query_session *s, const char *topic, int64_t count)
{
        for (uint32_t i = 0; i < s->skipped_count; i++)
                if (strcmp(s->skipped[i].topic, topic) == 0) {
                        s->skipped[i].count = LEAT_MAX(s->skipped[i].count, count);
                        return;
                }
        if (s->skipped_count == QUERY_SKIPPED_MAX)
                return;
        s->skipped[s->skipped_count++] = (struct query_skipped){.topic = leat_strdup(topic), .count = count};
}

void leat_query_session_tell_skipped(struct query_session *s)
{
        for (uint32_t i = 0; i < s->skipped_count; i++) {
                struct query_skipped *k = &s->skipped[i];
                struct leat_buf text = LEAT_BUF_INIT, name = LEAT_BUF_INIT;
                leat_buf_printf(&name, "%s$quarantine", k->topic);
                leat_buf_printf(&text, "%lld record%s of topic %s did not fit %s columns: SELECT * FROM ",
                                (long long)k->count, k->count == 1 ? "" : "s", k->topic,
                                k->count == 1 ? "its" : "their");
                leat_sql_quote_name(&text, leat_buf_cstr(&name));
                leat_query_notice(s, "NOTICE", leat_buf_cstr(&text));
                leat_buf_done(&text);
                leat_buf_done(&name);
                free(k->topic);
        }
        s->skipped_count = 0;
}
