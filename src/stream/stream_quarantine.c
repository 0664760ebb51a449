/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/stream: refused records on their way to the quarantine.
 *
 * A tick sends its refused records while it is computed, and its commit waits
 * for their acknowledgement: a tick that steps over a record is durable only
 * after the record's copy is. When the copy cannot be written, the tick is not;
 * the session ends, and the next one reads the same records again.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "leat/quarantine.h"
#include "stream_worker.h"

#define BATCH_MAX (900u * 1024)
#define RECORD_SPARE 2048u /* names, numbers, column, time */
#define CUT_TEXT " (cut: key and value have %zu bytes, %zu are kept)"

/* ---- the topic ------------------------------------------------------------------------- */
/* The largest batch, as the quarantine's own settings have it. */
static uint32_t batch_max(struct leat_feed *feed, const char *name)
{
        struct leat_feed_config config = {.name = "max.message.bytes"};
        struct leat_arena *arena = leat_arena_new(1024);
        int64_t most = 0;
        if (leat_feed_topic_configs(feed, name, arena, &config, 1, NULL) == 0 && config.value != NULL)
                most = strtoll(config.value, NULL, 10);
        leat_arena_free(arena);
        return most < 1024 ? BATCH_MAX : (uint32_t)LEAT_MIN(most, (int64_t)64 << 20);
}

/* Settings after those of @topic: as long kept, and room for its largest record in base64. */
static void quarantine_configs(struct leat_feed *feed, const char *topic, struct leat_arena *arena,
                               struct leat_feed_config configs[2])
{
        struct leat_feed_config theirs[2] = {{.name = "retention.ms"}, {.name = "max.message.bytes"}};
        int64_t retention_ms = -1, most = 0;
        if (leat_feed_topic_configs(feed, topic, arena, theirs, 2, NULL) == 0) {
                retention_ms = theirs[0].value != NULL ? strtoll(theirs[0].value, NULL, 10) : -1;
                most = theirs[1].value != NULL ? strtoll(theirs[1].value, NULL, 10) : 0;
        }
        if (retention_ms < 0)
                retention_ms = leat_param(LEAT_P_QUARANTINE_RETENTION) / 1000;
        most = LEAT_MIN(LEAT_MAX(2 * most, (int64_t)2 << 20), (int64_t)64 << 20);
        configs[0] = (struct leat_feed_config){"retention.ms", leat_arena_printf(arena, "%" PRId64, retention_ms)};
        configs[1] = (struct leat_feed_config){"max.message.bytes", leat_arena_printf(arena, "%" PRId64, most)};
}

int leat_quarantine_open(struct leat_feed *feed, const char *topic, struct leat_quarantine *q, struct leat_error *err)
{
        struct leat_feed_topic info;
        snprintf(q->name, sizeof q->name, "%s.quarantine", topic);
        int rc = leat_feed_topic(feed, q->name, &info, err);
        if (rc == LEAT_ENORELATION) {
                struct leat_arena *arena = leat_arena_new(1024);
                struct leat_feed_config configs[2];
                quarantine_configs(feed, topic, arena, configs);
                rc = leat_feed_topic_create(feed, q->name, 1, configs, 2, &info.id, err);
                leat_arena_free(arena);
                if (rc == LEAT_EEXISTS)
                        rc = leat_feed_topic(feed, q->name, &info, err);
        }
        LEAT_TRY(rc);
        if (q->batch_max != 0 && memcmp(&q->id, &info.id, sizeof q->id) == 0)
                return 0;
        q->id = info.id;
        q->batch_max = batch_max(feed, q->name);
        return 0;
}

/* ---- sending ------------------------------------------------------------------------------ */
/* @invalid as it fits into a batch: key and value grow by a third in base64. */
static void record_fit(struct leat_format_invalid *invalid, size_t most, char *text, size_t text_size)
{
        size_t spare = RECORD_SPARE + 2 * strlen(invalid->reason), bytes;
        size_t room = most > 2 * spare ? (most - spare) / 4 * 3 : most / 4;
        bytes = invalid->record.key.len + invalid->record.value.len;
        if (bytes <= room)
                return;
        invalid->record.key.len = LEAT_MIN(invalid->record.key.len, room / 2);
        invalid->record.value.len = LEAT_MIN(invalid->record.value.len, room - invalid->record.key.len);
        int len = snprintf(text, text_size, "%.400s", invalid->reason);
        snprintf(text + len, text_size - (size_t)len, CUT_TEXT, bytes,
                 invalid->record.key.len + invalid->record.value.len);
        invalid->reason = text;
}

struct pieces {
        struct leat_buf bytes;       /* keys and values behind each other */
        struct leat_record *records; /* data = 1 + place in bytes until sent */
        uint32_t count;
};

static struct leat_view placed(struct leat_buf *bytes, struct leat_buf *text)
{
        struct leat_view view = leat_view_of((const void *)(bytes->len + 1), text->len);
        leat_buf_add_view(bytes, leat_buf_view(text));
        leat_buf_clear(text);
        return view;
}

static int pieces_send(struct pieces *p, struct leat_feed_writer *writer, const char *topic, leat_feed_done_fn *done,
                       void *arg, uint32_t *io_batches, struct leat_error *err)
{
        if (p->count == 0)
                return 0;
        for (uint32_t i = 0; i < p->count; i++) {
                p->records[i].key.data = p->bytes.data + ((uintptr_t)p->records[i].key.data - 1);
                p->records[i].value.data = p->bytes.data + ((uintptr_t)p->records[i].value.data - 1);
        }
        LEAT_TRY(leat_feed_send(writer, topic, 0, p->records, p->count, 0, done, arg, err));
        ++*io_batches;
        p->count = 0;
        leat_buf_clear(&p->bytes);
        return 0;
}

int leat_quarantine_send(struct leat_feed_writer *writer, const struct leat_quarantine *quarantine,
                         const struct leat_topic_def *def, const struct leat_format_invalid *invalids, uint32_t count,
                         leat_feed_done_fn *done, void *arg, uint32_t *ret_batches, struct leat_error *err)
{
        struct pieces p = {.bytes = LEAT_BUF_INIT, .records = leat_calloc((size_t)count + 1, sizeof *p.records)};
        struct leat_buf key = LEAT_BUF_INIT, value = LEAT_BUF_INIT;
        char text[600];
        int rc = 0;
        *ret_batches = 0;
        for (uint32_t i = 0; rc == 0 && i < count; i++) {
                struct leat_format_invalid invalid = invalids[i];
                const char *column = invalid.column >= 0 ? def->columns[invalid.column].name : NULL;
                record_fit(&invalid, quarantine->batch_max, text, sizeof text);
                leat_format_encode_quarantine(&invalid, column, &key, &value);
                if (p.bytes.len + key.len + value.len + 64ull * (p.count + 1) + 128 >
                    LEAT_MIN(quarantine->batch_max, BATCH_MAX))
                        rc = pieces_send(&p, writer, quarantine->name, done, arg, ret_batches, err);
                p.records[p.count].key = placed(&p.bytes, &key);
                p.records[p.count++].value = placed(&p.bytes, &value);
        }
        if (rc == 0)
                rc = pieces_send(&p, writer, quarantine->name, done, arg, ret_batches, err);
        leat_buf_done(&key);
        leat_buf_done(&value);
        leat_buf_done(&p.bytes);
        free(p.records);
        return rc;
}

/* ---- the worker's --------------------------------------------------------------------------- */
static void refused_done(void *arg, int64_t base_offset, const struct leat_error *err)
{
        struct leat_worker *w = arg;
        (void)base_offset;
        if (err == NULL || err->code == 0 || w->lost.code != 0)
                return;
        w->lost = *err;
        leat_error_set(&w->lost, err->code, "refused records could not be put aside: %s", err->message);
        w->lost.retriable = err->retriable;
}

static int refused_send(struct leat_worker *w, struct leat_input *input, const struct leat_format_invalid *invalids,
                        uint32_t count, struct leat_error *err)
{
        uint32_t batches;
        LEAT_TRY(leat_quarantine_open(w->feed, input->topic.name, &input->quarantine, err));
        w->refused_sent = true;
        LEAT_TRY(leat_quarantine_send(w->writer, &input->quarantine, &input->def, invalids, count, refused_done, w,
                                      &batches, err));
        leat_stat_add(w->stat_quarantined, count);
        return 0;
}

int leat_worker_quarantine_row(struct leat_worker *w, struct leat_work *work, struct leat_input *input, uint32_t row,
                               const char *reason, struct leat_error *err)
{
        uint32_t number = input->rows.records[row], m = 0;
        const char *text = leat_arena_printf(w->arena, "view %s: %.400s", work->name, reason);
        struct leat_format_invalid invalid = {.column = -1, .reason = text};
        while (m + 1 < input->mark_count && input->marks[m + 1].first_record <= number)
                m++;
        invalid.record = input->marks[m].records[number - input->marks[m].first_record];
        LEAT_TRY(refused_send(w, input, &invalid, 1, err));
        leat_work_refused(work, input->object_id, 1);
        return 0;
}

int leat_worker_quarantine(struct leat_worker *w, struct leat_lane *lane, struct leat_error *err)
{
        for (uint32_t i = 0; i < lane->input_count; i++) {
                struct leat_input *input = lane->inputs[i];
                if (input->rows.invalid_count == 0)
                        continue;
                LEAT_TRY(refused_send(w, input, input->rows.invalids, input->rows.invalid_count, err));
                input->refused += input->rows.invalid_count;
        }
        return 0;
}

int leat_worker_quarantine_wait(struct leat_worker *w, struct leat_error *err)
{
        if (!w->refused_sent)
                return 0;
        w->refused_sent = false;
        return leat_worker_flush(w, err);
}

/* ---- how many --------------------------------------------------------------------------------- */
void leat_work_refused(struct leat_work *work, uint64_t object_id, int64_t count)
{
        uint32_t i = 0;
        if (count == 0)
                return;
        while (i < work->refused_count && work->refused[i].object_id != object_id)
                i++;
        if (i == work->refused_count) {
                work->refused = leat_realloc(work->refused, (i + 1) * sizeof *work->refused);
                work->refused[work->refused_count++] =
                        (struct leat_tick_refused){.view_id = work->view_id, .object_id = object_id};
        }
        work->refused[i].count += count;
}

void leat_work_refused_take(struct leat_work *work, struct leat_lane *lane)
{
        const struct leat_stream_graph *graph = work->job->graph;
        for (uint32_t i = 0; i < graph->object_count; i++) {
                const struct leat_input *input = leat_lane_find(lane, graph->objects[i]);
                if (input != NULL && !input->keyed)
                        leat_work_refused(work, input->object_id, input->rows.invalid_count);
        }
}

void leat_worker_refused_fill(struct leat_worker *w, struct leat_tick *tick)
{
        uint32_t count = w->main.input_count;
        for (uint32_t i = 0; i < w->work_count; i++)
                count += w->works[i]->refused_count;
        struct leat_tick_refused *refused = leat_arena_zalloc(w->arena, (count + 1) * sizeof *refused);
        for (uint32_t i = 0; i < w->main.input_count; i++)
                if (w->main.inputs[i]->refused != 0)
                        refused[tick->refused_count++] = (struct leat_tick_refused){
                                .object_id = w->main.inputs[i]->object_id, .count = w->main.inputs[i]->refused};
        for (uint32_t i = 0; i < w->work_count; i++)
                for (uint32_t k = 0; w->works[i]->begun && k < w->works[i]->refused_count; k++)
                        refused[tick->refused_count++] = w->works[i]->refused[k];
        tick->refused = refused;
}
