/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/stream: how a worker begins.
 *
 *   1 take the pipeline's lease: the next incarnation
 *   2 write it to the tick topic, durable: from here on readers ignore older workers
 *   3 open the state at the newest manifest
 *   4 apply the ticks that stand after it in the topic, up to the fence
 *
 * Then memory is what the last committed tick made of it, and its commit says
 * where every input and every job goes on.
 */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "stream_worker.h"

#define FLUSH_US 30000000ll

static int topic_open(struct leat_worker *w, struct leat_feed_topic *ret_topic, struct leat_error *err)
{
        static const struct leat_feed_config configs[] = {{"retention.ms", "-1"}, {"retention.bytes", "-1"}};
        struct leat_topic_id id;
        int rc = leat_feed_topic(w->feed, w->tick_topic, ret_topic, err);
        if (rc != LEAT_ENORELATION)
                return rc;
        rc = leat_feed_topic_create(w->feed, w->tick_topic, 1, configs, 2, &id, err);
        if (rc != 0 && rc != LEAT_EEXISTS)
                return rc;
        return leat_feed_topic(w->feed, w->tick_topic, ret_topic, err);
}

struct fence {
        bool done;
        int64_t offset;
        struct leat_error err;
};
static void fence_done(void *arg, int64_t base_offset, const struct leat_error *err)
{
        struct fence *fence = arg;
        fence->done = true;
        fence->offset = base_offset;
        if (err != NULL)
                fence->err = *err;
}

static int fence_write(struct leat_worker *w, int64_t *ret_offset, struct leat_error *err)
{
        struct leat_buf value = LEAT_BUF_INIT;
        struct fence fence = {0};
        leat_tick_encode_fence(w->incarnation, &value);
        struct leat_record record = {.value = leat_buf_view(&value)};
        int rc = leat_feed_send(w->writer, w->tick_topic, 0, &record, 1, 0, fence_done, &fence, err);
        if (rc == 0)
                rc = leat_feed_flush(w->writer, FLUSH_US, err);
        leat_buf_done(&value);
        LEAT_TRY(rc);
        if (fence.err.code != 0 || !fence.done)
                return leat_error_set(err, fence.err.code != 0 ? fence.err.code : LEAT_EIO,
                                      "the tick topic takes no records: %s", fence.err.message);
        *ret_offset = fence.offset;
        return 0;
}

/* Every arrangement that ticks after the manifest may name. */
static int arrs_define(struct leat_worker *w, const struct leat_snapshot *objects, struct leat_error *err)
{
        for (uint32_t i = 0; i < objects->object_count; i++) {
                const struct leat_object *object = &objects->objects[i];
                struct leat_stream_graph *graph;
                struct leat_error ignored;
                if (object->kind != LEAT_OBJECT_MATVIEW || strcmp(object->view->pipeline, w->options->pipeline) != 0 ||
                    leat_stream_graph_decode(w->last_arena, object->view->graph, &graph, &ignored) != 0)
                        continue;
                for (uint32_t k = 0; k < leat_stream_arr_count(graph); k++) {
                        struct leat_arr_def def = leat_stream_arr_def(graph, k);
                        LEAT_TRY(leat_state_define(w->state, &def, err));
                }
        }
        return 0;
}

static int keyed_define(struct leat_worker *w, const struct leat_snapshot *objects, const struct leat_tick *tick,
                        struct leat_error *err)
{
        for (uint32_t i = 0; i < tick->input_count; i++) {
                const struct leat_tick_input *input = &tick->inputs[i];
                const struct leat_object *topic = leat_snapshot_get(objects, input->object_id);
                const char **names;
                struct leat_type *types;
                uint32_t count;
                if (input->arr_id == 0 || topic == NULL || topic->kind != LEAT_OBJECT_TOPIC ||
                    leat_state_def(w->state, input->arr_id) != NULL)
                        continue;
                leat_keyed_names(topic->topic, w->last_arena, &names, &types, &count);
                struct leat_arr_def def = {.id = input->arr_id,
                                           .mode = LEAT_ARR_MAP,
                                           .key_count = topic->topic->key_count,
                                           .column_count = count,
                                           .types = types,
                                           .time_column = -1};
                LEAT_TRY(leat_state_define(w->state, &def, err));
        }
        return 0;
}

static int tick_apply(struct leat_worker *w, const struct leat_snapshot *objects, const struct leat_tick *tick,
                      struct leat_error *err)
{
        LEAT_TRY(keyed_define(w, objects, tick, err));
        LEAT_TRY(leat_mirrors_define(w->state, w->last_arena, objects, tick, err));
        LEAT_TRY(leat_missed_define(w->state, w->last_arena, objects, tick, err));
        LEAT_TRY(leat_late_define(w->state, w->last_arena, objects, tick, err));
        for (uint32_t i = 0; i < tick->section_count; i++) {
                const struct leat_tick_section *section = &tick->sections[i];
                if (leat_state_def(w->state, section->arr_id) == NULL)
                        continue; /* its view has been dropped since */
                LEAT_TRY(leat_state_apply(w->state, section->arr_id, tick->tick, section->rows, section->weights, err));
        }
        for (uint32_t i = 0; i < tick->expire_count; i++)
                if (leat_state_def(w->state, tick->expires[i].arr_id) != NULL)
                        LEAT_TRY(leat_state_expire(w->state, tick->expires[i].arr_id, tick->expires[i].time_us, err));
        struct leat_buf bytes = LEAT_BUF_INIT; /* the reader's memory goes with the next tick */
        leat_tick_encode_commit(tick, &bytes);
        uint8_t *copy = leat_arena_alloc(w->last_arena, bytes.len);
        memcpy(copy, bytes.data, bytes.len);
        int rc = leat_tick_decode_commit(w->last_arena, leat_view_of(copy, bytes.len), &w->last, err);
        leat_buf_done(&bytes);
        w->last.offset = tick->offset;
        return rc;
}

static int replay(struct leat_worker *w, const struct leat_snapshot *objects, const struct leat_feed_topic *topic,
                  int64_t upto, struct leat_error *err)
{
        struct leat_feed_reader *reader;
        int64_t begin, at;
        bool first = true;
        LEAT_TRY(leat_feed_offsets(w->feed, w->tick_topic, LEAT_FEED_EARLIEST, &begin, 1, err));
        LEAT_TRY(leat_feed_reader_open(w->feed, &reader, err));
        struct leat_tick_reader *ticks = leat_tick_reader_new(w->tick);
        int rc = leat_feed_reader_add(reader, topic, 0, begin, 0, err);
        for (at = begin; rc == 0 && at < upto;) {
                const struct leat_feed_batch *batches;
                uint32_t count, tag;
                int32_t partition;
                rc = leat_feed_poll(reader, 1000000, 16u << 20, &batches, &count, &tag, &partition, err);
                for (uint32_t b = 0; b < count && rc == 0; b++) {
                        for (uint32_t i = 0; i < batches[b].record_count && rc == 0; i++) {
                                const struct leat_tick *tick;
                                rc = leat_tick_reader_feed(ticks, &batches[b].records[i], &tick, err);
                                if (rc != 0 || tick == NULL)
                                        continue;
                                if (first && tick->tick != w->tick + 1 && w->tick == 0) {
                                        rc = leat_error_set(
                                                err, LEAT_ECORRUPT,
                                                "the state of pipeline %s is gone: its ticks begin at %" PRId64,
                                                w->options->pipeline, tick->tick);
                                        leat_error_hint(err,
                                                        "delete the topic %s and restart: its views are then made anew",
                                                        w->tick_topic);
                                        break;
                                }
                                first = false;
                                rc = tick_apply(w, objects, tick, err);
                                w->tick = tick->tick;
                                w->durable_offset = tick->offset + 1;
                        }
                        at = batches[b].next_offset;
                }
        }
        leat_tick_reader_free(ticks);
        leat_feed_reader_close(reader);
        return rc;
}

int leat_worker_recover(struct leat_worker *w, struct leat_error *err)
{
        char dir[4096];
        struct leat_feed_topic topic;
        struct leat_buf extra = LEAT_BUF_INIT;
        int64_t fence = 0, begun = leat_os_monotonic_us();
        const struct leat_snapshot *objects;
        struct leat_arena *arena = leat_arena_new(0);
        int rc;
        w->last_arena = leat_arena_new(0);
        LEAT_TRY_GOTO(leat_catalog_lease_take(w->catalog, w->options->pipeline, getpid(), &w->incarnation, err));
        LEAT_TRY_GOTO(topic_open(w, &topic, err));
        LEAT_TRY_GOTO(fence_write(w, &fence, err));
        leat_worker_state_dir(w->options->data_dir, w->options->pipeline, dir);
        struct leat_state_options options = {
                .role = LEAT_STATE_WRITER, .dir = dir, .memory_bytes = leat_param(LEAT_P_WORKER_STATE_MEMORY)};
        LEAT_TRY_GOTO(leat_state_open(&options, &w->state, &w->tick, &extra, err));
        if (w->tick > 0) {
                uint8_t *copy = leat_arena_alloc(w->last_arena, extra.len + 1);
                memcpy(copy, extra.data, extra.len);
                LEAT_TRY_GOTO(leat_tick_decode_commit(w->last_arena, leat_view_of(copy, extra.len), &w->last, err));
        }
        int64_t manifest = w->tick;
        LEAT_TRY_GOTO(leat_catalog_load(w->catalog, arena, &objects, err));
        LEAT_TRY_GOTO(arrs_define(w, objects, err));
        LEAT_TRY_GOTO(keyed_define(w, objects, &w->last, err));
        LEAT_TRY_GOTO(leat_mirrors_define(w->state, w->last_arena, objects, &w->last, err));
        LEAT_TRY_GOTO(leat_missed_define(w->state, w->last_arena, objects, &w->last, err));
        LEAT_TRY_GOTO(leat_late_define(w->state, w->last_arena, objects, &w->last, err));
        LEAT_TRY_GOTO(replay(w, objects, &topic, fence, err));
        w->durable_tick = w->published_tick = manifest;
        w->durable_tick = w->tick;
        w->published_us = leat_os_monotonic_us();
        leat_diag(LEAT_DIAG_INFO, "stream", "pipeline begins",
                  "pipeline=%s incarnation=%" PRIu64 " manifest=%" PRId64 " tick=%" PRId64 " ms=%" PRId64,
                  w->options->pipeline, w->incarnation, manifest, w->tick, (leat_os_monotonic_us() - begun) / 1000);
        rc = 0;
fail:
        leat_buf_done(&extra);
        leat_arena_free(arena);
        return rc;
}
