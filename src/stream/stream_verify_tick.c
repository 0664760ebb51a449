/* SPDX-License-Identifier: Apache-2.0 */
/* leat/stream: a pipeline's state at one of its ticks, put together as its readers do: manifest, and the ticks after it. */
#include <inttypes.h>
#include <stdio.h>

#include "stream_verify.h"

#define OPEN_TRIES 6

static int arrs_define(struct leat_verify *v, const char *pipeline, struct leat_error *err)
{
        for (uint32_t i = 0; i < v->objects->object_count; i++) {
                const struct leat_object *object = &v->objects->objects[i];
                struct leat_stream_graph *graph;
                if (object->kind != LEAT_OBJECT_MATVIEW || strcmp(object->view->pipeline, pipeline) != 0)
                        continue;
                LEAT_TRY(leat_stream_graph_decode(v->arena, object->view->graph, &graph, err));
                struct leat_arr_def def = leat_stream_arr_def(graph, 0);
                LEAT_TRY(leat_state_define(v->state, &def, err));
        }
        return 0;
}

static int keyed_define(struct leat_verify *v, const struct leat_tick *tick, struct leat_error *err)
{
        for (uint32_t i = 0; i < tick->input_count; i++) {
                const struct leat_object *topic = leat_snapshot_get(v->objects, tick->inputs[i].object_id);
                const char **names;
                struct leat_type *types;
                uint32_t count;
                if (tick->inputs[i].arr_id == 0 || topic == NULL || topic->topic == NULL)
                        continue;
                leat_keyed_names(topic->topic, v->arena, &names, &types, &count);
                struct leat_arr_def def = {.id = tick->inputs[i].arr_id,
                                           .mode = LEAT_ARR_MAP,
                                           .key_count = topic->topic->key_count,
                                           .column_count = count,
                                           .types = types,
                                           .time_column = -1};
                LEAT_TRY(leat_state_define(v->state, &def, err));
        }
        return 0;
}

static int commit_keep(struct leat_verify *v, struct leat_view bytes, struct leat_error *err)
{
        uint8_t *copy = leat_arena_alloc(v->arena, bytes.len + 1);
        memcpy(copy, bytes.data, bytes.len);
        LEAT_TRY(leat_tick_decode_commit(v->arena, leat_view_of(copy, bytes.len), &v->tick, err));
        LEAT_TRY(leat_mirrors_define(v->state, v->arena, v->objects, &v->tick, err));
        LEAT_TRY(leat_late_define(v->state, v->arena, v->objects, &v->tick, err));
        return keyed_define(v, &v->tick, err);
}

static int tick_take(struct leat_verify *v, const struct leat_tick *tick, struct leat_error *err)
{
        if (v->tick.tick == 0 && tick->tick != 1)
                return leat_error_set(err, LEAT_ECORRUPT, "the ticks before tick %" PRId64 " are not there",
                                      tick->tick);
        struct leat_buf bytes = LEAT_BUF_INIT;
        leat_tick_encode_commit(tick, &bytes);
        int rc = commit_keep(v, leat_buf_view(&bytes), err);
        leat_buf_done(&bytes);
        for (uint32_t i = 0; i < tick->section_count && rc == 0; i++)
                if (leat_state_def(v->state, tick->sections[i].arr_id) != NULL)
                        rc = leat_state_apply(v->state, tick->sections[i].arr_id, tick->tick, tick->sections[i].rows,
                                              tick->sections[i].weights, err);
        for (uint32_t i = 0; i < tick->expire_count && rc == 0; i++)
                if (leat_state_def(v->state, tick->expires[i].arr_id) != NULL)
                        rc = leat_state_expire(v->state, tick->expires[i].arr_id, tick->expires[i].time_us, err);
        return rc;
}

static int ticks_follow(struct leat_verify *v, const char *pipeline, int64_t after, struct leat_error *err)
{
        char name[250];
        struct leat_feed_topic topic;
        struct leat_feed_reader *reader;
        int64_t begin, end;
        leat_tick_topic_name(pipeline, name);
        LEAT_TRY(leat_feed_topic(v->feed, name, &topic, err));
        LEAT_TRY(leat_feed_offsets(v->feed, name, LEAT_FEED_EARLIEST, &begin, 1, err));
        LEAT_TRY(leat_feed_offsets(v->feed, name, LEAT_FEED_LATEST, &end, 1, err));
        LEAT_TRY(leat_feed_reader_open(v->feed, &reader, err));
        struct leat_tick_reader *ticks = leat_tick_reader_new(after);
        int rc = leat_feed_reader_add(reader, &topic, 0, begin, 0, err);
        while (rc == 0 && begin < end && (v->upto == 0 || v->tick.tick < v->upto)) {
                const struct leat_feed_batch *batches;
                uint32_t count, tag;
                int32_t partition;
                rc = leat_feed_poll(reader, 1000000, 16u << 20, &batches, &count, &tag, &partition, err);
                for (uint32_t b = 0; b < count && rc == 0; b++) {
                        for (uint32_t i = 0; i < batches[b].record_count && rc == 0; i++) {
                                const struct leat_tick *tick;
                                rc = leat_tick_reader_feed(ticks, &batches[b].records[i], &tick, err);
                                if (rc == 0 && tick != NULL && (v->upto == 0 || tick->tick <= v->upto))
                                        rc = tick_take(v, tick, err);
                        }
                        begin = batches[b].next_offset;
                }
        }
        leat_tick_reader_free(ticks);
        leat_feed_reader_close(reader);
        return rc;
}

int leat_verify_pipeline_open(struct leat_verify *v, const char *pipeline, struct leat_error *err)
{
        char dir[4096];
        struct leat_buf extra = LEAT_BUF_INIT;
        int64_t tick = 0;
        leat_worker_state_dir(v->options->data_dir, pipeline, dir);
        struct leat_state_options options = {.role = LEAT_STATE_READER, .dir = dir};
        int rc = leat_state_open(&options, &v->state, &tick, &extra, err);
        if (rc == 0)
                rc = arrs_define(v, pipeline, err);
        if (rc == 0 && tick > 0)
                rc = commit_keep(v, leat_buf_view(&extra), err);
        leat_buf_done(&extra);
        return rc != 0 ? rc : ticks_follow(v, pipeline, tick, err);
}

/* The worker may write the next manifest meanwhile, cut the ticks below it and delete files: then from that one. */
int leat_verify_pipeline_open_again(struct leat_verify *v, const char *pipeline, struct leat_error *err)
{
        int rc = leat_verify_pipeline_open(v, pipeline, err);
        for (int i = 1; i < OPEN_TRIES && rc != 0; i++) {
                if (v->state != NULL)
                        leat_state_close(v->state);
                v->state = NULL;
                v->tick = (struct leat_tick){0};
                leat_os_sleep_us(20000ll * i);
                rc = leat_verify_pipeline_open(v, pipeline, err);
        }
        return rc;
}
