/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/stream: watermarks. STREAMING.md section 5.
 *
 * A partition counts unless it was read to its end and has been silent for the
 * idle timeout, or never had a record. A lane that begins behind a partition's
 * records does not know when they came: it waits for the timeout too. When all
 * were idle and one wakes, all count again for the idle timeout. When all are idle
 * and the input is live, the watermark goes with the clock.
 */
#include "stream_worker.h"

bool leat_part_idle(const struct leat_input *input, const struct leat_part *part, int64_t mono_us)
{
        if (part->end < 0 || part->position < part->end || mono_us < input->awake_us)
                return false; /* unread records, or all count */
        if (part->end == 0)
                return true; /* never written; a lane that began at the end has read nothing, and says nothing of it */
        return mono_us - part->data_us >= input->def.idle_timeout_us;
}

/* Event times of this tick's rows, by partition. */
static void events_take(struct leat_input *input, int64_t mono_us)
{
        const struct leat_batch *batch = input->rows.batch;
        const struct leat_column *time = &batch->columns[input->time_index];
        const int64_t *values = time->data;
        uint32_t row = 0;
        for (uint32_t m = 0; m < input->mark_count; m++) {
                const struct leat_batch_mark *mark = &input->marks[m];
                struct leat_part *part = &input->parts[mark->partition];
                uint32_t end = m + 1 < input->mark_count ? input->marks[m + 1].first_record : UINT32_MAX;
                int64_t ahead = mark->append_us + input->def.max_ahead_us, max = part->max_event_us;
                for (; row < batch->rows && input->rows.records[row] < end; row++) {
                        if (!leat_column_valid(time, row))
                                continue;
                        if (values[row] > input->newest_event_us)
                                input->newest_event_us = values[row];
                        if (values[row] > max && values[row] <= ahead)
                                max = values[row];
                }
                part->max_event_us = max;
                part->data_us = mono_us;
        }
}

void leat_input_time(struct leat_input *input, int64_t now_us, int64_t mono_us)
{
        bool all_idle = true, rows = input->record_count > 0;
        int64_t least = INT64_MAX, newest = INT64_MIN, appended = INT64_MIN;
        for (int32_t i = 0; i < input->part_count; i++)
                all_idle &= leat_part_idle(input, &input->parts[i], mono_us);
        for (uint32_t m = 0; m < input->mark_count; m++) {
                struct leat_part *part = &input->parts[input->marks[m].partition];
                part->append_us = LEAT_MAX(part->append_us, input->marks[m].append_us);
                input->newest_append_us = LEAT_MAX(input->newest_append_us, input->marks[m].append_us);
        }
        if (input->time_index < 0)
                return;
        if (all_idle && rows)
                input->awake_us = mono_us + input->def.idle_timeout_us;
        if (input->rows.batch != NULL)
                events_take(input, mono_us);
        all_idle = true;
        for (int32_t i = 0; i < input->part_count; i++) {
                const struct leat_part *part = &input->parts[i];
                newest = LEAT_MAX(newest, part->max_event_us);
                appended = LEAT_MAX(appended, part->append_us);
                if (leat_part_idle(input, part, mono_us))
                        continue;
                all_idle = false;
                least = LEAT_MIN(least, part->max_event_us);
        }
        int64_t to = INT64_MIN;
        if (!all_idle && least != INT64_MIN)
                to = least - input->def.watermark_delay_us;
        else if (all_idle && newest != INT64_MIN && newest >= appended - input->def.max_ahead_us)
                to = LEAT_MAX(newest, now_us) - input->def.watermark_delay_us;
        input->watermark_us = LEAT_MAX(input->watermark_us, to);
}
