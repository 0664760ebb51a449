/* SPDX-License-Identifier: Apache-2.0 */
/* leat/stream: ticks as records, and back. */
#include "leat/test.h"
#include "stream_test.h"

static const struct leat_topic_id topic_a = {.bytes = {1, 2, 3}}, topic_b = {.bytes = {4, 5, 6}};

static struct leat_tick tick_make(int64_t number, uint64_t incarnation)
{
        static const struct leat_tick_position positions[] = {{.topic = {.bytes = {1, 2, 3}}, .offset = 17},
                                                              {.topic = {.bytes = {4, 5, 6}}, .offset = 99}};
        static const struct leat_tick_mirror mirrors[] = {{7, 70, LEAT_MIRROR_SERVED, 1, positions},
                                                          {8, 80, LEAT_MIRROR_LOADING, 0, NULL}};
        static const struct leat_tick_upstream ups[] = {{.pipeline = "other",
                                                         .topic = {.bytes = {4, 5, 6}},
                                                         .incarnation = 5,
                                                         .tick = 1234,
                                                         .time_us = -3,
                                                         .mirror_count = 2,
                                                         .mirrors = mirrors}};
        static const struct leat_tick_missed missed[] = {{7, 90}};
        static const struct leat_tick_job jobs[] = {{.view_id = 3,
                                                     .state = LEAT_TICK_PAUSED,
                                                     .behind_us = 55,
                                                     .missed_count = 1,
                                                     .missed = missed,
                                                     .late_arr = 91,
                                                     .late_known = 12}};
        return (struct leat_tick){.pipeline = "mine",
                                  .incarnation = incarnation,
                                  .tick = number,
                                  .time_us = 1000,
                                  .position_count = 2,
                                  .positions = positions,
                                  .job_count = 1,
                                  .jobs = jobs,
                                  .upstream_count = 1,
                                  .upstreams = ups};
}

LEAT_TEST(tick_commit_and_back)
{
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_buf bytes = LEAT_BUF_INIT;
        struct leat_tick tick = tick_make(9, 2), back;
        struct leat_error err;
        leat_tick_encode_commit(&tick, &bytes);
        CHECK_OK(leat_tick_decode_commit(arena, leat_buf_view(&bytes), &back, &err), &err);
        CHECK_INT(back.position_count, 2);
        CHECK(memcmp(&back.positions[0].topic, &topic_a, sizeof topic_a) == 0);
        CHECK_INT(back.upstream_count, 1);
        const struct leat_tick_upstream *up = &back.upstreams[0];
        CHECK_STR(up->pipeline, "other");
        CHECK(memcmp(&up->topic, &topic_b, sizeof topic_b) == 0);
        CHECK_INT(up->incarnation, 5);
        CHECK_INT(up->tick, 1234);
        CHECK_INT(up->time_us, -3);
        CHECK_INT(up->mirrors[0].cover_count, 1);
        CHECK_INT(up->mirrors[0].covers[0].offset, 17);
        CHECK_INT(up->mirror_count, 2);
        CHECK_INT(up->mirrors[1].view_id, 8);
        CHECK_INT(up->mirrors[1].arr_id, 80);
        CHECK_INT(up->mirrors[0].state, LEAT_MIRROR_SERVED);
        CHECK_INT(back.jobs[0].behind_us, 55);
        CHECK_INT(back.jobs[0].missed_count, 1);
        CHECK_INT(back.jobs[0].missed[0].arr_id, 90);
        CHECK_INT(back.jobs[0].late_arr, 91);
        CHECK_INT(back.jobs[0].late_known, 12);
        for (size_t len = 0; len < bytes.len; len++) { /* cut anywhere: refused, or it is a commit of before */
                struct leat_view part = leat_view_of(bytes.data, len);
                CHECK(leat_tick_decode_commit(arena, part, &back, &err) != 0 || back.upstream_count == 0 ||
                      back.jobs[0].late_arr == 0);
        }
        leat_buf_done(&bytes);
        leat_arena_free(arena);
}

static const struct leat_tick *feed(struct leat_tick_reader *reader, const struct leat_tick *tick)
{
        static int64_t offset;
        struct leat_arena *arena = leat_arena_new(0);
        const struct leat_tick *got = NULL;
        struct leat_view *values;
        struct leat_error err;
        uint32_t count;
        CHECK_OK(leat_tick_encode(arena, tick, 0, &values, &count, &err), &err);
        for (uint32_t i = 0; i < count; i++) {
                struct leat_record record = {.offset = offset++, .value = values[i]};
                stream_corpus_add("tick", values[i]);
                CHECK_OK(leat_tick_reader_feed(reader, &record, &got, &err), &err);
        }
        leat_arena_free(arena);
        return got;
}

LEAT_TEST(tick_reader_begins_behind_a_fence)
{
        struct leat_tick_reader *reader = leat_tick_reader_new(8);
        struct leat_tick old = tick_make(9, 1), new = tick_make(9, 2), next = tick_make(10, 2);
        leat_tick_reader_fence(reader, 2);
        CHECK(feed(reader, &old) == NULL); /* of a worker that had been fenced before */
        CHECK(feed(reader, &new) != NULL);
        CHECK(feed(reader, &new) == NULL);
        CHECK(feed(reader, &next) != NULL);
        leat_tick_reader_free(reader);
}
