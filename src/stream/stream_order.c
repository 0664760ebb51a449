/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/stream: in which order a lane that fills reads its partitions. Those whose
 * event time is the least go first, the others wait: so the rows of old and of
 * new partitions come together as they came when they were new, and the windows
 * that are open at one time are few, however far the partitions lie apart.
 *
 * What time a partition is at is known once a piece of it was read: each is looked
 * at once. Looking ahead is bounded by that piece, by one more that may be under
 * way, and by AHEAD_US: partitions that are about equally far are read together.
 */
#include "stream_worker.h"

#define AHEAD_US (60 * 1000000ll)

/* How far it holds the watermark; INT64_MIN: no time known. */
static int64_t part_time(const struct leat_input *input, const struct leat_part *part)
{
        return part->max_event_us == INT64_MIN ? INT64_MIN : part->max_event_us - input->def.watermark_delay_us;
}

bool leat_lane_choose(struct leat_lane *lane, struct leat_lane *limit)
{
        int64_t least = INT64_MAX;
        bool look = false;
        for (uint32_t i = 0; i < lane->input_count; i++) {
                struct leat_input *input = lane->inputs[i];
                for (int32_t p = 0; p < input->part_count; p++) {
                        struct leat_part *part = &input->parts[p];
                        int64_t upto = leat_lane_limit(limit, input, p);
                        part->waits = part->position >= upto;
                        if (part->waits || upto == INT64_MAX)
                                continue;
                        part->end = LEAT_MAX(part->end, upto); /* unread records, asked for or not: not idle */
                        if (input->time_index < 0)
                                continue;
                        look |= part->append_us == INT64_MIN;
                        least = LEAT_MIN(least, part_time(input, part));
                }
        }
        for (uint32_t i = 0; i < lane->input_count; i++) {
                struct leat_input *input = lane->inputs[i];
                for (int32_t p = 0; p < input->part_count && input->time_index >= 0; p++) {
                        int64_t time = part_time(input, &input->parts[p]);
                        if (time != INT64_MIN && (least == INT64_MIN || time - AHEAD_US > least))
                                input->parts[p].waits = true;
                }
        }
        return look;
}

bool leat_lane_order(struct leat_lane *lane, struct leat_lane *limit)
{
        bool look = leat_lane_choose(lane, limit);
        for (uint32_t i = 0; i < lane->input_count; i++)
                for (int32_t p = 0; p < lane->inputs[i]->part_count; p++) {
                        struct leat_part *part = &lane->inputs[i]->parts[p];
                        if (part->waits != part->paused)
                                leat_feed_reader_pause(lane->reader, (uint32_t)lane->inputs[i]->object_id, p,
                                                       part->waits);
                        part->paused = part->waits;
                }
        return look;
}
