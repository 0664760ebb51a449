/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/stream: ticks as records of the tick topic, and back.
 *
 * Record value (docs/formats.md), little endian:
 *
 *   u32 magic "LTK1", u32 CRC32C of what follows, u8 kind, varints:
 *   kind 1 section: incarnation, tick, number of the section in the tick; bytes of leat_state_section_encode
 *   kind 2 commit:  incarnation, tick, how many sections; the commit's fields
 *   kind 3 fence:   incarnation
 *
 * A section is a record of its own that decodes by itself: rows are split over
 * as many as the size of a record needs. The reader takes a tick only when the
 * commit came after exactly its sections, of the newest incarnation, so records
 * written twice and ticks cut off by a crash do no harm.
 */
#include <inttypes.h>
#include <stdio.h>

#include "stream_int.h"

#define TICK_MAGIC 0x314B544Cu /* "LTK1" */
#define VALUE_MAX_DEFAULT (900u * 1024)
#define COUNT_MAX 1000000u
enum { KIND_SECTION = 1, KIND_COMMIT = 2, KIND_FENCE = 3 };

void leat_tick_topic_name(const char *pipeline, char *out)
{
        snprintf(out, 250, "__leat_ticks_%s", pipeline);
}

static void begin(struct leat_buf *out, uint8_t kind, uint64_t incarnation)
{
        leat_buf_clear(out);
        leat_buf_le32(out, TICK_MAGIC);
        leat_buf_le32(out, 0);
        leat_buf_u8(out, kind);
        leat_buf_uvarint(out, incarnation);
}

static void finish(struct leat_buf *out)
{
        leat_put_le32(out->data + 4, leat_crc32c(0, out->data + 8, out->len - 8));
}

/* ---- writing --------------------------------------------------------------------------- */
static void text_put(struct leat_buf *out, const char *text)
{
        leat_buf_uvarint(out, strlen(text));
        leat_buf_add_str(out, text);
}

static void positions_put(struct leat_buf *out, const struct leat_tick_position *positions, uint32_t count)
{
        leat_buf_uvarint(out, count);
        for (uint32_t i = 0; i < count; i++) {
                leat_buf_add(out, positions[i].topic.bytes, sizeof positions[i].topic.bytes);
                leat_buf_varint(out, positions[i].partition);
                leat_buf_varint(out, positions[i].offset);
                leat_buf_varint(out, positions[i].leader_epoch);
                leat_buf_varint(out, positions[i].event_us);
                leat_buf_varint(out, positions[i].append_us);
        }
}

static void upstreams_put(struct leat_buf *out, const struct leat_tick *tick)
{
        leat_buf_uvarint(out, tick->upstream_count);
        for (uint32_t i = 0; i < tick->upstream_count; i++) {
                const struct leat_tick_upstream *up = &tick->upstreams[i];
                text_put(out, up->pipeline);
                leat_buf_add(out, up->topic.bytes, sizeof up->topic.bytes);
                leat_buf_uvarint(out, up->incarnation);
                leat_buf_varint(out, up->tick);
                leat_buf_varint(out, up->time_us);
                leat_buf_uvarint(out, up->mirror_count);
                for (uint32_t k = 0; k < up->mirror_count; k++) {
                        leat_buf_uvarint(out, up->mirrors[k].view_id);
                        leat_buf_uvarint(out, up->mirrors[k].arr_id);
                        leat_buf_u8(out, up->mirrors[k].state);
                        positions_put(out, up->mirrors[k].covers, up->mirrors[k].cover_count);
                }
        }
}

void leat_tick_encode_commit(const struct leat_tick *tick, struct leat_buf *out)
{
        text_put(out, tick->pipeline);
        leat_buf_uvarint(out, tick->incarnation);
        leat_buf_varint(out, tick->tick);
        leat_buf_varint(out, tick->time_us);
        positions_put(out, tick->positions, tick->position_count);
        leat_buf_uvarint(out, tick->input_count);
        for (uint32_t i = 0; i < tick->input_count; i++) {
                const struct leat_tick_input *input = &tick->inputs[i];
                leat_buf_uvarint(out, input->object_id);
                leat_buf_add(out, input->topic.bytes, sizeof input->topic.bytes);
                leat_buf_varint(out, input->watermark_us);
                leat_buf_varint(out, input->newest_event_us);
                leat_buf_varint(out, input->newest_append_us);
                leat_buf_varint(out, input->oldest_unread_us);
                leat_buf_varint(out, input->lag_records);
                leat_buf_uvarint(out, input->arr_id);
        }
        leat_buf_uvarint(out, tick->job_count);
        for (uint32_t i = 0; i < tick->job_count; i++) {
                const struct leat_tick_job *job = &tick->jobs[i];
                leat_buf_uvarint(out, job->view_id);
                leat_buf_u8(out, job->state);
                leat_buf_varint(out, job->watermark_us);
                leat_buf_varint(out, job->late_rows);
                leat_buf_varint(out, job->rows_in);
                positions_put(out, job->starts, job->start_count);
                positions_put(out, job->lane, job->lane_count);
        }
        leat_buf_uvarint(out, tick->expire_count);
        for (uint32_t i = 0; i < tick->expire_count; i++) {
                leat_buf_uvarint(out, tick->expires[i].arr_id);
                leat_buf_varint(out, tick->expires[i].time_us);
        }
        leat_buf_uvarint(out, tick->refused_count);
        for (uint32_t i = 0; i < tick->refused_count; i++) {
                leat_buf_uvarint(out, tick->refused[i].view_id);
                leat_buf_uvarint(out, tick->refused[i].object_id);
                leat_buf_varint(out, tick->refused[i].count);
        }
        upstreams_put(out, tick);
        for (uint32_t i = 0; i < tick->job_count; i++) {
                const struct leat_tick_job *job = &tick->jobs[i];
                leat_buf_varint(out, job->behind_us);
                leat_buf_uvarint(out, job->missed_count);
                for (uint32_t k = 0; k < job->missed_count; k++) {
                        leat_buf_uvarint(out, job->missed[k].object_id);
                        leat_buf_uvarint(out, job->missed[k].arr_id);
                }
        }
        for (uint32_t i = 0; i < tick->job_count; i++) {
                leat_buf_uvarint(out, tick->jobs[i].late_arr);
                leat_buf_varint(out, tick->jobs[i].late_known);
        }
}

struct encoder {
        struct leat_arena *arena;
        const struct leat_tick *tick;
        size_t value_max;
        struct leat_buf buf;
        struct leat_view *values;
        uint32_t count, cap;
        struct leat_error *err;
};

static void value_add(struct encoder *enc)
{
        if (enc->count == enc->cap) {
                uint32_t cap = enc->cap == 0 ? 16 : 2 * enc->cap;
                struct leat_view *values = leat_arena_alloc(enc->arena, cap * sizeof *values);
                if (enc->count > 0)
                        memcpy(values, enc->values, enc->count * sizeof *values);
                enc->values = values;
                enc->cap = cap;
        }
        finish(&enc->buf);
        uint8_t *copy = leat_arena_alloc(enc->arena, enc->buf.len);
        memcpy(copy, enc->buf.data, enc->buf.len);
        enc->values[enc->count++] = leat_view_of(copy, enc->buf.len);
}

/* Rows [from, from+count) of a section as a batch of its own; shares the arrays where it can. */
static struct leat_batch *slice(struct leat_arena *arena, const struct leat_batch *rows, uint32_t from, uint32_t count)
{
        struct leat_type *types = leat_arena_alloc(arena, (rows->column_count + 1) * sizeof *types);
        for (uint32_t i = 0; i < rows->column_count; i++)
                types[i] = rows->columns[i].type;
        struct leat_batch *part = leat_batch_new(arena, types, rows->column_count, count);
        leat_batch_append(NULL, part, rows, from, count);
        return part;
}

static int section_put(struct encoder *enc, const struct leat_tick_section *section, uint32_t from, uint32_t count)
{
        const struct leat_batch *rows = section->rows;
        if (from != 0 || count != rows->rows)
                rows = slice(enc->arena, rows, from, count);
        begin(&enc->buf, KIND_SECTION, enc->tick->incarnation);
        leat_buf_varint(&enc->buf, enc->tick->tick);
        leat_buf_uvarint(&enc->buf, enc->count);
        leat_state_section_encode(section->arr_id, rows, section->weights != NULL ? section->weights + from : NULL,
                                  &enc->buf);
        if (enc->buf.len <= enc->value_max) {
                value_add(enc);
                return 0;
        }
        if (count <= 1)
                return leat_error_set(enc->err, LEAT_ETOOBIG,
                                      "one row of a view has %zu bytes; at most %zu fit into a tick", enc->buf.len,
                                      enc->value_max);
        /* as many parts as the size asks for, a little smaller than needed */
        uint32_t parts = (uint32_t)(enc->buf.len / enc->value_max) + 1, step = count / (parts + parts / 8 + 1) + 1;
        if (step >= count)
                step = count - 1;
        for (uint32_t at = 0; at < count; at += step)
                LEAT_TRY(section_put(enc, section, from + at, LEAT_MIN(step, count - at)));
        return 0;
}

int leat_tick_encode(struct leat_arena *arena, const struct leat_tick *tick, size_t value_max,
                     struct leat_view **ret_values, uint32_t *ret_count, struct leat_error *err)
{
        struct encoder enc = {
                .arena = arena, .tick = tick, .value_max = value_max != 0 ? value_max : VALUE_MAX_DEFAULT, .err = err};
        int rc = 0;
        for (uint32_t i = 0; i < tick->section_count && rc == 0; i++)
                if (tick->sections[i].rows->rows > 0)
                        rc = section_put(&enc, &tick->sections[i], 0, tick->sections[i].rows->rows);
        if (rc == 0) {
                begin(&enc.buf, KIND_COMMIT, tick->incarnation);
                leat_buf_varint(&enc.buf, tick->tick);
                leat_buf_uvarint(&enc.buf, enc.count);
                leat_tick_encode_commit(tick, &enc.buf);
                if (enc.buf.len > enc.value_max)
                        rc = leat_error_set(err, LEAT_ETOOBIG,
                                            "the commit of a tick has %zu bytes: too many partitions", enc.buf.len);
                else
                        value_add(&enc);
        }
        leat_buf_done(&enc.buf);
        if (rc != 0)
                return rc;
        *ret_values = enc.values;
        *ret_count = enc.count;
        return 0;
}

void leat_tick_encode_fence(uint64_t incarnation, struct leat_buf *out)
{
        begin(out, KIND_FENCE, incarnation);
        finish(out);
}

/* ---- reading --------------------------------------------------------------------------------- */
static uint32_t count_get(struct leat_cursor *cur)
{
        uint64_t count = leat_cursor_uvarint(cur);
        if (count > COUNT_MAX || count > leat_cursor_left(cur)) {
                cur->failed |= count != 0;
                return 0;
        }
        return (uint32_t)count;
}

static const struct leat_tick_position *positions_get(struct leat_arena *arena, struct leat_cursor *cur,
                                                      uint32_t *ret_count)
{
        uint32_t count = count_get(cur);
        struct leat_tick_position *positions = leat_arena_zalloc(arena, (count + 1) * sizeof *positions);
        for (uint32_t i = 0; i < count && !cur->failed; i++) {
                struct leat_view id = leat_cursor_bytes(cur, sizeof positions[i].topic.bytes);
                if (!cur->failed)
                        memcpy(positions[i].topic.bytes, id.data, id.len);
                positions[i].partition = (int32_t)leat_cursor_varint(cur);
                positions[i].offset = leat_cursor_varint(cur);
                positions[i].leader_epoch = (int32_t)leat_cursor_varint(cur);
                positions[i].event_us = leat_cursor_varint(cur);
                positions[i].append_us = leat_cursor_varint(cur);
        }
        *ret_count = cur->failed ? 0 : count;
        return positions;
}

static void inputs_get(struct leat_arena *arena, struct leat_cursor *cur, struct leat_tick *tick)
{
        uint32_t count = count_get(cur);
        struct leat_tick_input *inputs = leat_arena_zalloc(arena, (count + 1) * sizeof *inputs);
        for (uint32_t i = 0; i < count && !cur->failed; i++) {
                inputs[i].object_id = leat_cursor_uvarint(cur);
                struct leat_view id = leat_cursor_bytes(cur, sizeof inputs[i].topic.bytes);
                if (!cur->failed)
                        memcpy(inputs[i].topic.bytes, id.data, id.len);
                inputs[i].watermark_us = leat_cursor_varint(cur);
                inputs[i].newest_event_us = leat_cursor_varint(cur);
                inputs[i].newest_append_us = leat_cursor_varint(cur);
                inputs[i].oldest_unread_us = leat_cursor_varint(cur);
                inputs[i].lag_records = leat_cursor_varint(cur);
                inputs[i].arr_id = leat_cursor_uvarint(cur);
        }
        tick->inputs = inputs;
        tick->input_count = cur->failed ? 0 : count;
}

static struct leat_tick_job *jobs_get(struct leat_arena *arena, struct leat_cursor *cur, struct leat_tick *tick)
{
        uint32_t count = count_get(cur);
        struct leat_tick_job *jobs = leat_arena_zalloc(arena, (count + 1) * sizeof *jobs);
        for (uint32_t i = 0; i < count && !cur->failed; i++) {
                jobs[i].view_id = leat_cursor_uvarint(cur);
                jobs[i].state = leat_cursor_u8(cur);
                jobs[i].watermark_us = leat_cursor_varint(cur);
                jobs[i].late_rows = leat_cursor_varint(cur);
                jobs[i].rows_in = leat_cursor_varint(cur);
                jobs[i].starts = positions_get(arena, cur, &jobs[i].start_count);
                jobs[i].lane = positions_get(arena, cur, &jobs[i].lane_count);
                jobs[i].behind_us = INT64_MIN;
        }
        tick->jobs = jobs;
        tick->job_count = cur->failed ? 0 : count;
        return jobs;
}

static const char *text_get(struct leat_arena *arena, struct leat_cursor *cur)
{
        uint64_t len = leat_cursor_uvarint(cur);
        struct leat_view text = leat_cursor_bytes(cur, len > 250 ? SIZE_MAX / 2 : (size_t)len);
        return cur->failed ? "" : leat_arena_strndup(arena, (const char *)text.data, text.len);
}

static void upstreams_get(struct leat_arena *arena, struct leat_cursor *cur, struct leat_tick *tick)
{
        uint32_t count = count_get(cur);
        struct leat_tick_upstream *ups = leat_arena_zalloc(arena, (count + 1) * sizeof *ups);
        for (uint32_t i = 0; i < count && !cur->failed; i++) {
                ups[i].pipeline = text_get(arena, cur);
                struct leat_view id = leat_cursor_bytes(cur, sizeof ups[i].topic.bytes);
                if (!cur->failed)
                        memcpy(ups[i].topic.bytes, id.data, id.len);
                ups[i].incarnation = leat_cursor_uvarint(cur);
                ups[i].tick = leat_cursor_varint(cur);
                ups[i].time_us = leat_cursor_varint(cur);
                uint32_t mirrors = count_get(cur);
                struct leat_tick_mirror *list = leat_arena_zalloc(arena, (mirrors + 1) * sizeof *list);
                for (uint32_t k = 0; k < mirrors && !cur->failed; k++) {
                        list[k].view_id = leat_cursor_uvarint(cur);
                        list[k].arr_id = leat_cursor_uvarint(cur);
                        list[k].state = leat_cursor_u8(cur);
                        list[k].covers = positions_get(arena, cur, &list[k].cover_count);
                }
                ups[i].mirrors = list;
                ups[i].mirror_count = cur->failed ? 0 : mirrors;
        }
        tick->upstreams = ups;
        tick->upstream_count = cur->failed ? 0 : count;
}

static void missed_get(struct leat_arena *arena, struct leat_cursor *cur, struct leat_tick_job *job)
{
        job->behind_us = leat_cursor_varint(cur);
        uint32_t count = count_get(cur);
        struct leat_tick_missed *missed = leat_arena_zalloc(arena, (count + 1) * sizeof *missed);
        for (uint32_t k = 0; k < count && !cur->failed; k++) {
                missed[k].object_id = leat_cursor_uvarint(cur);
                missed[k].arr_id = leat_cursor_uvarint(cur);
        }
        job->missed = missed;
        job->missed_count = cur->failed ? 0 : count;
}

/* Commits written before there was this list end here. */
static void refused_get(struct leat_arena *arena, struct leat_cursor *cur, struct leat_tick *tick)
{
        uint32_t count = leat_cursor_left(cur) == 0 ? 0 : count_get(cur);
        struct leat_tick_refused *refused = leat_arena_zalloc(arena, (count + 1) * sizeof *refused);
        for (uint32_t i = 0; i < count && !cur->failed; i++) {
                refused[i].view_id = leat_cursor_uvarint(cur);
                refused[i].object_id = leat_cursor_uvarint(cur);
                refused[i].count = leat_cursor_varint(cur);
        }
        tick->refused = refused;
        tick->refused_count = cur->failed ? 0 : count;
}

int leat_tick_decode_commit(struct leat_arena *arena, struct leat_view bytes, struct leat_tick *ret_tick,
                            struct leat_error *err)
{
        struct leat_cursor cur = leat_cursor_of(bytes);
        struct leat_tick tick = {0};
        tick.pipeline = text_get(arena, &cur);
        if (cur.failed)
                return leat_error_set(err, LEAT_ECORRUPT, "damaged commit of a tick");
        tick.incarnation = leat_cursor_uvarint(&cur);
        tick.tick = leat_cursor_varint(&cur);
        tick.time_us = leat_cursor_varint(&cur);
        tick.positions = positions_get(arena, &cur, &tick.position_count);
        inputs_get(arena, &cur, &tick);
        struct leat_tick_job *jobs = jobs_get(arena, &cur, &tick);
        uint32_t count = count_get(&cur);
        struct leat_tick_expire *expires = leat_arena_zalloc(arena, (count + 1) * sizeof *expires);
        for (uint32_t i = 0; i < count && !cur.failed; i++) {
                expires[i].arr_id = leat_cursor_uvarint(&cur);
                expires[i].time_us = leat_cursor_varint(&cur);
        }
        tick.expires = expires;
        tick.expire_count = count;
        refused_get(arena, &cur, &tick);
        if (cur.at != cur.end) { /* commits from before there was such a thing end here */
                upstreams_get(arena, &cur, &tick);
                for (uint32_t i = 0; i < tick.job_count && !cur.failed; i++)
                        missed_get(arena, &cur, &jobs[i]);
        }
        for (uint32_t i = 0; i < tick.job_count && !cur.failed && (i > 0 || cur.at != cur.end); i++) { /* likewise */
                jobs[i].late_arr = leat_cursor_uvarint(&cur);
                jobs[i].late_known = leat_cursor_varint(&cur);
        }
        if (cur.failed || cur.at != cur.end)
                return leat_error_set(err, LEAT_ECORRUPT, "damaged commit of a tick near byte %zu",
                                      leat_cursor_pos(&cur));
        *ret_tick = tick;
        return 0;
}

struct leat_tick_reader {
        struct leat_arena *arenas[2]; /* the tick being put together, and the one given out last */
        uint64_t incarnation;
        int64_t last_tick;
        int64_t pending_tick; /* 0: none */
        struct leat_tick_section *sections;
        uint32_t section_count, section_cap;
        struct leat_tick tick;
};

struct leat_tick_reader *leat_tick_reader_new(int64_t after_tick)
{
        struct leat_tick_reader *reader = leat_calloc(1, sizeof *reader);
        reader->arenas[0] = leat_arena_new(256 * 1024);
        reader->arenas[1] = leat_arena_new(256 * 1024);
        reader->last_tick = after_tick;
        return reader;
}

void leat_tick_reader_free(struct leat_tick_reader *reader)
{
        if (reader == NULL)
                return;
        leat_arena_free(reader->arenas[0]);
        leat_arena_free(reader->arenas[1]);
        free(reader);
}

uint64_t leat_tick_reader_incarnation(const struct leat_tick_reader *reader)
{
        return reader->incarnation;
}

void leat_tick_reader_fence(struct leat_tick_reader *reader, uint64_t incarnation)
{
        reader->incarnation = LEAT_MAX(reader->incarnation, incarnation);
}

static void pending_drop(struct leat_tick_reader *reader)
{
        leat_arena_reset(reader->arenas[0]);
        reader->sections = NULL;
        reader->section_count = reader->section_cap = 0;
        reader->pending_tick = 0;
}

static int section_take(struct leat_tick_reader *reader, struct leat_cursor *cur, struct leat_error *err)
{
        int64_t tick = leat_cursor_varint(cur);
        uint64_t number = leat_cursor_uvarint(cur);
        struct leat_tick_section section = {0};
        if (cur->failed)
                return leat_error_set(err, LEAT_ECORRUPT, "damaged section of a tick");
        if (tick <= reader->last_tick)
                return 0;
        if (number == 0 || tick != reader->pending_tick) {
                pending_drop(reader);
                reader->pending_tick = tick;
        }
        if (number !=
            reader->section_count) { /* written twice, or its beginning was cut off: the commit will not match */
                if (number > reader->section_count)
                        reader->pending_tick = 0;
                return 0;
        }
        struct leat_arena *arena = reader->arenas[0];
        size_t len = leat_cursor_left(cur);
        uint8_t *copy = leat_arena_alloc(arena, len + 64);
        memcpy(copy, cur->at, len);
        LEAT_TRY(leat_state_section_decode(arena, leat_view_of(copy, len), &section.arr_id, &section.rows,
                                           &section.weights, err));
        if (reader->section_count == reader->section_cap) {
                uint32_t cap = reader->section_cap == 0 ? 16 : 2 * reader->section_cap;
                struct leat_tick_section *sections = leat_arena_alloc(arena, cap * sizeof *sections);
                if (reader->section_count > 0)
                        memcpy(sections, reader->sections, reader->section_count * sizeof *sections);
                reader->sections = sections;
                reader->section_cap = cap;
        }
        reader->sections[reader->section_count++] = section;
        return 0;
}

static int commit_take(struct leat_tick_reader *reader, struct leat_cursor *cur, int64_t offset,
                       const struct leat_tick **ret_tick, struct leat_error *err)
{
        int64_t number = leat_cursor_varint(cur);
        uint64_t sections = leat_cursor_uvarint(cur);
        if (cur->failed)
                return leat_error_set(err, LEAT_ECORRUPT, "damaged commit of a tick");
        if (number <= reader->last_tick)
                return 0;
        if (sections == 0 && reader->pending_tick != number)
                pending_drop(reader);
        else if (reader->pending_tick != number || reader->section_count != sections)
                return 0; /* its beginning is missing: it is there again, whole, or its worker was fenced */
        if (reader->last_tick > 0 && number != reader->last_tick + 1)
                return leat_error_set(err, LEAT_ECORRUPT,
                                      "tick %" PRId64 " follows tick %" PRId64 " at offset %" PRId64, number,
                                      reader->last_tick, offset);
        struct leat_tick tick;
        LEAT_TRY(leat_tick_decode_commit(reader->arenas[0], leat_view_of(cur->at, leat_cursor_left(cur)), &tick, err));
        if (tick.tick != number)
                return leat_error_set(err, LEAT_ECORRUPT, "a commit names two ticks, %" PRId64 " and %" PRId64, number,
                                      tick.tick);
        tick.sections = reader->sections;
        tick.section_count = reader->section_count;
        tick.offset = offset;
        reader->tick = tick;
        reader->last_tick = number;
        struct leat_arena *arena = reader->arenas[0]; /* the tick given out keeps its memory until the next one */
        reader->arenas[0] = reader->arenas[1];
        reader->arenas[1] = arena;
        pending_drop(reader);
        *ret_tick = &reader->tick;
        return 0;
}

int leat_tick_reader_feed(struct leat_tick_reader *reader, const struct leat_record *record,
                          const struct leat_tick **ret_tick, struct leat_error *err)
{
        struct leat_cursor cur = leat_cursor_of(record->value);
        *ret_tick = NULL;
        if (record->value.len < 9 || leat_cursor_le32(&cur) != TICK_MAGIC)
                return leat_error_set(err, LEAT_ECORRUPT, "record %" PRId64 " of the tick topic is no tick",
                                      record->offset);
        if (leat_cursor_le32(&cur) != leat_crc32c(0, record->value.data + 8, record->value.len - 8))
                return leat_error_set(err, LEAT_ECORRUPT,
                                      "the checksum of record %" PRId64 " of the tick topic does not match",
                                      record->offset);
        uint8_t kind = leat_cursor_u8(&cur);
        uint64_t incarnation = leat_cursor_uvarint(&cur);
        if (incarnation < reader->incarnation)
                return 0; /* fenced */
        if (incarnation > reader->incarnation) {
                reader->incarnation = incarnation;
                pending_drop(reader);
        }
        switch (kind) {
        case KIND_SECTION:
                return section_take(reader, &cur, err);
        case KIND_COMMIT:
                return commit_take(reader, &cur, record->offset, ret_tick, err);
        case KIND_FENCE:
                return cur.failed ? leat_error_set(err, LEAT_ECORRUPT, "damaged fence") : 0;
        default:
                return leat_error_set(err, LEAT_ECORRUPT, "record %" PRId64 " of the tick topic has kind %u",
                                      record->offset, kind);
        }
}
