/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/stream: reading topics. Every declared column of a record is checked by
 * the decoder; the columns that some job needs become vectors, once for all jobs
 * of the lane. The records' memory is held until the tick is done, since strings
 * point into it.
 */
#include <inttypes.h>
#include <stdio.h>

#include "stream_worker.h"

int leat_lane_open(struct leat_worker *w, struct leat_lane *lane, struct leat_error *err)
{
        *lane = (struct leat_lane){0};
        return leat_feed_reader_open(w->feed, &lane->reader, err);
}

static void input_free(struct leat_input *input)
{
        leat_format_close(input->format);
        leat_delta_done(&input->changes);
        leat_arena_free(input->names_arena);
        leat_arena_free(input->arena);
        free(input->parts);
        free(input->marks);
        free(input);
}

void leat_lane_reset(struct leat_lane *lane)
{
        for (uint32_t i = 0; i < lane->input_count; i++) {
                struct leat_input *input = lane->inputs[i];
                if (input->format != NULL)
                        leat_format_reset(input->format);
                input->rows = (struct leat_format_rows){0};
                input->mark_count = input->record_count = 0;
                leat_delta_clear(&input->changes);
        }
        for (uint32_t i = 0; i < lane->block_count; i++)
                leat_block_unref(lane->blocks[i]);
        lane->block_count = 0;
        lane->records = 0;
}

void leat_lane_done(struct leat_lane *lane)
{
        leat_lane_reset(lane);
        for (uint32_t i = 0; i < lane->input_count; i++)
                input_free(lane->inputs[i]);
        if (lane->reader != NULL)
                leat_feed_reader_close(lane->reader);
        free(lane->inputs);
        free(lane->blocks);
        *lane = (struct leat_lane){0};
}

struct leat_input *leat_lane_find(struct leat_lane *lane, uint64_t object_id)
{
        for (uint32_t i = 0; i < lane->input_count; i++)
                if (lane->inputs[i]->object_id == object_id)
                        return lane->inputs[i];
        return NULL;
}

void leat_keyed_names(const struct leat_topic_def *def, struct leat_arena *arena, const char ***ret_names,
                      struct leat_type **ret_types, uint32_t *ret_count)
{
        const char **names = leat_arena_zalloc(arena, (def->column_count + 1) * sizeof *names);
        struct leat_type *types = leat_arena_zalloc(arena, (def->column_count + 1) * sizeof *types);
        uint32_t count = 0;
        for (uint32_t k = 0; k < def->key_count; k++, count++) {
                names[count] = def->columns[def->keys[k]].name;
                types[count] = def->columns[def->keys[k]].type;
        }
        for (uint32_t i = 0; i < def->column_count; i++) {
                bool key = false;
                for (uint32_t k = 0; k < def->key_count; k++)
                        key |= def->keys[k] == i;
                if (key || def->columns[i].type.id == LEAT_T_LIST || def->columns[i].type.id == LEAT_T_STRUCT)
                        continue; /* state keeps no nested values; the compiler refuses them */
                names[count] = def->columns[i].name;
                types[count++] = def->columns[i].type;
        }
        *ret_names = names;
        *ret_types = types;
        *ret_count = count;
}

static int def_copy(struct leat_arena *arena, const struct leat_object *object, struct leat_topic_def *ret_def,
                    struct leat_error *err)
{
        struct leat_buf bytes = LEAT_BUF_INIT;
        struct leat_object copy;
        leat_object_encode(object, &bytes);
        struct leat_view view = leat_view_of(leat_arena_alloc(arena, bytes.len + 1), bytes.len);
        memcpy((void *)(uintptr_t)view.data, bytes.data, bytes.len);
        leat_buf_done(&bytes);
        LEAT_TRY(leat_object_decode(arena, object->kind, view, &copy, err));
        *ret_def = *copy.topic;
        return 0;
}

static int parts_add(struct leat_worker *w, struct leat_lane *lane, struct leat_input *input, uint32_t tag,
                     const struct leat_tick_position *positions, uint32_t position_count, struct leat_error *err)
{
        int32_t count = input->topic.partitions;
        int64_t *ends = leat_calloc((size_t)count, sizeof *ends), *begins = leat_calloc((size_t)count, sizeof *begins);
        int rc = leat_feed_offsets(w->feed, input->topic.name, LEAT_FEED_LATEST, ends, count, err);
        if (rc == 0)
                rc = leat_feed_offsets(w->feed, input->topic.name, LEAT_FEED_EARLIEST, begins, count, err);
        input->parts = leat_realloc(input->parts, ((size_t)count + 1) * sizeof *input->parts);
        for (int32_t i = input->part_count; i < count && rc == 0; i++) {
                const struct leat_tick_position *at =
                        leat_position_find(positions, position_count, &input->topic.id, i);
                input->parts[i] = (struct leat_part){.end = ends[i],
                                                     .max_event_us = INT64_MIN,
                                                     .append_us = INT64_MIN,
                                                     .data_us = leat_os_monotonic_us(),
                                                     .load_until = ends[i],
                                                     .position = ends[i],
                                                     .leader_epoch = -1};
                if (at != NULL) {
                        input->parts[i].position = at->offset;
                        input->parts[i].max_event_us = at->event_us != 0 ? at->event_us : INT64_MIN;
                        input->parts[i].append_us = at->append_us != 0 ? at->append_us : INT64_MIN;
                } else if (positions != NULL || input->part_count > 0 || input->keyed) {
                        input->parts[i].position = begins[i]; /* a partition that came later, a keyed topic */
                }
                rc = leat_feed_reader_add(lane->reader, &input->topic, i, input->parts[i].position, tag, err);
        }
        if (rc == 0)
                input->part_count = count;
        free(ends);
        free(begins);
        return rc;
}

int leat_lane_add(struct leat_worker *w, struct leat_lane *lane, const struct leat_object *object,
                  const struct leat_tick_position *positions, uint32_t position_count, struct leat_input **ret_input,
                  struct leat_error *err)
{
        struct leat_input *input = leat_calloc(1, sizeof *input);
        int rc;
        input->arena = leat_arena_new(0);
        input->object_id = object->id;
        input->time_index = -1;
        input->watermark_us = input->newest_event_us = input->newest_append_us = INT64_MIN;
        LEAT_TRY_GOTO(def_copy(input->arena, object, &input->def, err));
        input->keyed = input->def.key_count > 0;
        LEAT_TRY_GOTO(leat_feed_topic(w->feed, object->name, &input->topic, err));
        if (memcmp(input->topic.id.bytes, input->def.topic_id, 16) != 0) {
                rc = leat_error_set(err, LEAT_ENORELATION, "topic %s was deleted and made again by another client",
                                    object->name);
                leat_error_hint(err, "drop the views that read it and create them again");
                goto fail;
        }
        if (lane->input_count == lane->input_cap) {
                lane->input_cap = lane->input_cap == 0 ? 8 : 2 * lane->input_cap;
                lane->inputs = leat_realloc(lane->inputs, lane->input_cap * sizeof(*lane->inputs));
        }
        LEAT_TRY_GOTO(parts_add(w, lane, input, (uint32_t)object->id, positions, position_count, err));
        lane->inputs[lane->input_count++] = input;
        *ret_input = input;
        return 0;
fail:
        input_free(input);
        return rc;
}

int leat_lane_grow(struct leat_worker *w, struct leat_lane *lane, struct leat_error *err)
{
        for (uint32_t i = 0; i < lane->input_count; i++) {
                struct leat_input *input = lane->inputs[i];
                struct leat_feed_topic topic;
                LEAT_TRY(leat_feed_topic(w->feed, input->topic.name, &topic, err));
                if (topic.partitions <= input->part_count || memcmp(&topic.id, &input->topic.id, sizeof topic.id) != 0)
                        continue;
                input->topic = topic;
                LEAT_TRY(parts_add(w, lane, input, (uint32_t)input->object_id, NULL, 0, err));
        }
        return 0;
}

struct leat_tick_position leat_input_position(const struct leat_input *input, int32_t partition)
{
        const struct leat_part *part = &input->parts[partition];
        return (struct leat_tick_position){.topic = input->topic.id,
                                           .partition = partition,
                                           .offset = part->position,
                                           .leader_epoch = part->leader_epoch,
                                           .event_us = part->max_event_us == INT64_MIN ? 0 : part->max_event_us,
                                           .append_us = part->append_us == INT64_MIN ? 0 : part->append_us};
}

void leat_lane_remove(struct leat_lane *lane, uint64_t object_id)
{
        for (uint32_t i = 0; i < lane->input_count; i++) {
                struct leat_input *input = lane->inputs[i];
                if (input->object_id != object_id)
                        continue;
                for (int32_t p = 0; p < input->part_count; p++)
                        leat_feed_reader_remove(lane->reader, (uint32_t)object_id, p);
                input_free(input);
                lane->inputs[i] = lane->inputs[--lane->input_count];
                return;
        }
}

/* ---- the decoder ----------------------------------------------------------------------------- */
static void name_want(struct leat_input *input, const char *name)
{
        for (uint32_t i = 0; i < input->name_count; i++)
                if (strcmp(input->names[i], name) == 0)
                        return;
        input->names[input->name_count++] = leat_arena_strdup(input->names_arena, name);
}

int leat_lane_redefine(struct leat_lane *lane, const struct leat_snapshot *objects, struct leat_error *err)
{
        for (uint32_t i = 0; i < lane->input_count; i++) {
                struct leat_input *input = lane->inputs[i];
                const struct leat_object *topic = leat_snapshot_get(objects, input->object_id);
                if (topic == NULL || topic->kind != LEAT_OBJECT_TOPIC || input->keyed ||
                    topic->topic->column_count == input->def.column_count)
                        continue;
                LEAT_TRY(def_copy(input->arena, topic, &input->def, err));
        }
        return 0;
}

int leat_input_rebuild(struct leat_worker *w, struct leat_lane *lane, struct leat_input *input, struct leat_error *err)
{
        leat_format_close(input->format);
        input->format = NULL;
        leat_arena_free(input->names_arena);
        input->names_arena = leat_arena_new(0);
        input->names = leat_arena_zalloc(input->names_arena, 2 * LEAT_STREAM_COLUMNS_MAX * sizeof(*input->names));
        input->name_count = 0;
        input->time_index = -1;
        if (input->keyed) {
                const char **names;
                struct leat_type *types;
                leat_keyed_names(&input->def, input->names_arena, &names, &types, &input->name_count);
                memcpy(input->names, names, input->name_count * sizeof *names);
                return leat_format_open(&input->def, input->names, input->name_count, &input->format, err);
        }
        for (uint32_t k = 0; k < w->work_count; k++) {
                const struct leat_work *work = w->works[k];
                if (work->job == NULL || (work->lane != NULL ? work->lane : &w->main) != lane)
                        continue;
                for (uint32_t i = 0; i < work->job->graph->node_count; i++) {
                        const struct leat_node *node = &work->job->graph->nodes[i];
                        for (uint32_t c = 0; node->op == LEAT_OP_SOURCE && node->object_id == input->object_id &&
                                             c < node->name_count && input->name_count < LEAT_STREAM_COLUMNS_MAX;
                             c++)
                                name_want(input, node->names[c]);
                }
        }
        if (input->def.watermark_column >= 0) {
                const char *time = input->def.columns[input->def.watermark_column].name;
                name_want(input, time);
                while (strcmp(input->names[++input->time_index], time) != 0)
                        continue;
        }
        return leat_format_open(&input->def, input->names, input->name_count, &input->format, err);
}

/* ---- reading ------------------------------------------------------------------------------------- */
static void mark_add(struct leat_input *input, const struct leat_feed_batch *batch, const struct leat_record *records)
{
        if (input->mark_count == input->mark_cap) {
                input->mark_cap = input->mark_cap == 0 ? 64 : 2 * input->mark_cap;
                input->marks = leat_realloc(input->marks, input->mark_cap * sizeof *input->marks);
        }
        input->marks[input->mark_count++] = (struct leat_batch_mark){.first_record = input->record_count,
                                                                     .partition = batch->partition,
                                                                     .append_us = batch->max_timestamp_ms * 1000,
                                                                     .records = records};
}

/* Takes one fetched batch, up to @limit (offset); returns false when it had to be cut. */
static bool batch_take(struct leat_lane *lane, struct leat_input *input, const struct leat_feed_batch *batch,
                       int64_t limit)
{
        struct leat_part *part = &input->parts[batch->partition];
        uint32_t count = batch->record_count, from = 0;
        part->end = batch->high_watermark;
        while (from < count && batch->records[from].offset < part->position)
                from++;
        while (count > from && batch->records[count - 1].offset >= limit)
                count--;
        if (count > from) {
                mark_add(input, batch, batch->records + from);
                if (input->format != NULL)
                        leat_format_decode(input->format, batch->records + from, count - from);
                input->record_count += count - from;
                lane->records += count - from;
        }
        part->leader_epoch = batch->leader_epoch;
        part->position = LEAT_MAX(part->position, LEAT_MIN(batch->next_offset, limit));
        return batch->next_offset <= limit;
}

int64_t leat_lane_limit(struct leat_lane *limit, const struct leat_input *input, int32_t partition)
{
        if (limit == NULL)
                return INT64_MAX;
        const struct leat_input *other = leat_lane_find(limit, input->object_id);
        return other != NULL && partition < other->part_count ? other->parts[partition].position : INT64_MAX;
}

static void block_hold(struct leat_lane *lane)
{
        if (lane->block_count == lane->block_cap) {
                lane->block_cap = lane->block_cap == 0 ? 16 : 2 * lane->block_cap;
                lane->blocks = leat_realloc(lane->blocks, lane->block_cap * sizeof(*lane->blocks));
        }
        lane->blocks[lane->block_count++] = leat_feed_hold(lane->reader);
}

static int batches_take(struct leat_worker *w, struct leat_lane *lane, struct leat_lane *limit,
                        const struct leat_feed_batch *batches, uint32_t count, size_t *io_bytes, struct leat_error *err)
{
        for (uint32_t i = 0; i < count; i++) {
                struct leat_input *input = leat_lane_find(lane, batches[i].tag);
                *io_bytes += batches[i].bytes;
                if (lane == &w->main && leat_upstream_take(w, &batches[i]))
                        continue;
                if (input == NULL || batches[i].partition >= input->part_count)
                        continue;
                if (!batch_take(lane, input, &batches[i], leat_lane_limit(limit, input, batches[i].partition))) {
                        input->parts[batches[i].partition].paused = false;
                        LEAT_TRY(leat_feed_reader_add(lane->reader, &input->topic, batches[i].partition,
                                                      input->parts[batches[i].partition].position, batches[i].tag,
                                                      err));
                }
        }
        return 0;
}

bool leat_lane_reached(struct leat_lane *lane, struct leat_lane *other)
{
        for (uint32_t i = 0; i < lane->input_count; i++)
                for (int32_t p = 0; p < lane->inputs[i]->part_count; p++) {
                        int64_t limit = leat_lane_limit(other, lane->inputs[i], p);
                        if (limit != INT64_MAX && lane->inputs[i]->parts[p].position < limit)
                                return false;
                }
        return true;
}

static void ends_take(struct leat_lane *lane)
{
        for (uint32_t i = 0; i < lane->input_count; i++) {
                struct leat_input *input = lane->inputs[i];
                for (int32_t p = 0; p < input->part_count; p++) {
                        int64_t end = leat_feed_high_watermark(lane->reader, (uint32_t)input->object_id, p);
                        if (end > input->parts[p].end)
                                input->parts[p].end = end;
                }
        }
}

int leat_lane_fill(struct leat_worker *w, struct leat_lane *lane, struct leat_lane *limit, int64_t deadline_us,
                   uint64_t max_records, size_t max_bytes, struct leat_input **ret_failed, struct leat_error *err)
{
        size_t bytes = 0;
        bool look = false;
        int rc = 0;
        *ret_failed = NULL;
        while (rc == 0 && bytes < max_bytes && lane->records + w->up_records < max_records) {
                const struct leat_feed_batch *batches;
                uint32_t count = 0, tag = 0;
                int32_t partition = 0;
                int64_t wait = deadline_us - leat_os_monotonic_us();
                if (limit != NULL && (look || leat_lane_reached(lane, limit)))
                        break;
                if (limit != NULL)
                        look = leat_lane_order(lane, limit);
                rc = leat_feed_poll(lane->reader, LEAT_MAX(wait, 0), max_bytes - bytes, &batches, &count, &tag,
                                    &partition, err);
                if ((rc == LEAT_ERANGE || rc == LEAT_ENORELATION || rc == LEAT_ECORRUPT) && lane == &w->main &&
                    leat_upstream_failed(w, tag, err)) {
                        rc = 0;
                        continue;
                }
                if (rc == LEAT_ERANGE || rc == LEAT_ENORELATION || rc == LEAT_ECORRUPT) {
                        *ret_failed = leat_lane_find(lane, tag);
                        leat_feed_reader_remove(lane->reader, tag, partition);
                        break;
                }
                if (rc == LEAT_ECANCELED || rc == LEAT_ETIMEOUT)
                        rc = rc == LEAT_ECANCELED ? 0 : rc;
                if (rc != 0 || count == 0)
                        break;
                block_hold(lane);
                rc = batches_take(w, lane, limit, batches, count, &bytes, err);
        }
        ends_take(lane);
        for (uint32_t i = 0; i < lane->input_count; i++)
                if (lane->inputs[i]->format != NULL && lane->inputs[i]->record_count > 0)
                        leat_format_rows(lane->inputs[i]->format, &lane->inputs[i]->rows);
        return rc;
}
