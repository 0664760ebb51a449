/* SPDX-License-Identifier: Apache-2.0 */
/* leat/stream: which partitions hold the watermark. */
#include "leat/test.h"
#include "stream_worker.h"

enum { PARTS = 3 };
#define SECOND 1000000ll
#define IDLE (5 * SECOND)

/* Partition 0 has records from before the lane began, 1 gets new ones, 2 was never written. */
struct lane {
        struct leat_arena *arena;
        struct leat_part parts[PARTS];
        struct leat_input input;
};

static void lane_make(struct lane *l, int64_t mono_us)
{
        *l = (struct lane){.arena = leat_arena_new(0)};
        for (int p = 0; p < PARTS; p++)
                l->parts[p] = (struct leat_part){
                        .max_event_us = INT64_MIN, .append_us = INT64_MIN, .data_us = mono_us, .leader_epoch = -1};
        l->parts[0].position = l->parts[0].end = 1000;
        l->parts[1].position = l->parts[1].end = 7;
        l->input = (struct leat_input){
                .parts = l->parts, .part_count = PARTS, .watermark_us = INT64_MIN, .newest_event_us = INT64_MIN};
        l->input.def.idle_timeout_us = IDLE;
        l->input.def.max_ahead_us = 60 * SECOND;
        l->input.def.watermark_delay_us = SECOND;
}

/* A record of @partition, appended when it happened, comes at @mono_us. */
static void record_come(struct lane *l, int32_t partition, int64_t event_us, int64_t mono_us)
{
        static const struct leat_type types[] = {{.id = LEAT_T_TIMESTAMPTZ}};
        struct leat_batch *batch = leat_batch_new(l->arena, types, 1, 1);
        uint32_t *record = leat_arena_zalloc(l->arena, sizeof *record);
        struct leat_batch_mark mark = {.partition = partition, .append_us = event_us};
        ((int64_t *)batch->columns[0].data)[0] = event_us;
        batch->rows = 1;
        l->parts[partition].position++;
        l->parts[partition].end++;
        l->input.rows = (struct leat_format_rows){.batch = batch, .records = record};
        l->input.marks = &mark;
        l->input.mark_count = l->input.record_count = 1;
        leat_input_time(&l->input, event_us, mono_us);
        l->input.rows = (struct leat_format_rows){0};
        l->input.marks = NULL;
        l->input.mark_count = l->input.record_count = 0;
}

/* What the other partition's producer sends next, within the idle timeout, is on time. */
LEAT_TEST(time_history_counts_until_it_is_silent)
{
        struct lane l;
        lane_make(&l, 0);
        record_come(&l, 1, 7200 * SECOND, SECOND);
        CHECK_INT(l.input.watermark_us, INT64_MIN);
        record_come(&l, 0, 3600 * SECOND, 4 * SECOND);
        CHECK_INT(l.input.watermark_us, 3599 * SECOND);
        leat_arena_free(l.arena);
}

/* The same after a start, with what the last tick knew of the other one. */
LEAT_TEST(time_history_counts_after_a_start)
{
        struct lane l;
        lane_make(&l, 0);
        l.parts[1].max_event_us = l.parts[1].append_us = 3600 * SECOND;
        l.input.watermark_us = 3599 * SECOND;
        record_come(&l, 1, 7200 * SECOND, SECOND);
        CHECK_INT(l.input.watermark_us, 3599 * SECOND);
        leat_arena_free(l.arena);
}

/* Nobody waits longer than that, nor at all for one that has no records. */
LEAT_TEST(time_history_that_stays_silent_holds_nothing)
{
        struct lane l;
        lane_make(&l, 0);
        record_come(&l, 1, 7200 * SECOND, IDLE - 1);
        CHECK_INT(l.input.watermark_us, INT64_MIN);
        leat_input_time(&l.input, 7200 * SECOND, IDLE);
        CHECK_INT(l.input.watermark_us, 7199 * SECOND);
        lane_make(&l, 0);
        l.parts[0].position = l.parts[0].end = 0;
        record_come(&l, 1, 7200 * SECOND, SECOND);
        CHECK_INT(l.input.watermark_us, 7199 * SECOND);
        CHECK(leat_part_idle(&l.input, &l.parts[2], 0));
        leat_arena_free(l.arena);
}
