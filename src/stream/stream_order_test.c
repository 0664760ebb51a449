/* SPDX-License-Identifier: Apache-2.0 */
/* leat/stream: a lane that fills reads next from the partition whose event time is the least. */
#include "leat/test.h"
#include "stream_worker.h"

enum { PARTS = 4, RECORDS = 2000, PIECE = 50 };

struct lanes {
        struct leat_part parts[PARTS], limits[PARTS];
        struct leat_input input, limit_input;
        struct leat_input *inputs[1], *limit_inputs[1];
        struct leat_lane lane, limit;
};

static void lanes_make(struct lanes *l)
{
        *l = (struct lanes){0};
        for (int p = 0; p < PARTS; p++) {
                l->parts[p] = (struct leat_part){.max_event_us = INT64_MIN, .append_us = INT64_MIN};
                l->limits[p] = (struct leat_part){.position = RECORDS};
        }
        l->input = (struct leat_input){.object_id = 1, .parts = l->parts, .part_count = PARTS};
        l->limit_input = (struct leat_input){.object_id = 1, .parts = l->limits, .part_count = PARTS};
        l->inputs[0] = &l->input;
        l->limit_inputs[0] = &l->limit_input;
        l->lane = (struct leat_lane){.inputs = l->inputs, .input_count = 1};
        l->limit = (struct leat_lane){.inputs = l->limit_inputs, .input_count = 1};
}

/* Partition 0 has the newest records, the last one the oldest; one a second. */
static int64_t event_us(int p, int64_t offset)
{
        return ((PARTS - 1 - p) * (RECORDS / 2) + offset) * 1000000ll;
}

static void read_piece(struct leat_part *part, int p)
{
        part->position += PIECE;
        part->append_us = 1;
        part->max_event_us = event_us(p, part->position - 1);
}

/* Each partition is looked at once; from then on nothing is read far ahead of what is unread elsewhere. */
LEAT_TEST(order_by_event_time)
{
        struct lanes l;
        lanes_make(&l);
        CHECK(leat_lane_choose(&l.lane, &l.limit));
        for (int p = 0; p < PARTS; p++) {
                CHECK(!l.parts[p].waits);
                read_piece(&l.parts[p], p);
        }
        for (bool more = true; more;) {
                int64_t unread = INT64_MAX;
                CHECK(!leat_lane_choose(&l.lane, &l.limit));
                for (int p = 0; p < PARTS; p++)
                        if (l.parts[p].position < RECORDS)
                                unread = LEAT_MIN(unread, event_us(p, l.parts[p].position));
                more = false;
                for (int p = 0; p < PARTS; p++) {
                        CHECK_INT(l.parts[p].position < RECORDS || l.parts[p].waits, 1);
                        if (l.parts[p].waits)
                                continue;
                        CHECK(event_us(p, l.parts[p].position) <= unread + 61 * 1000000ll);
                        read_piece(&l.parts[p], p);
                        more = true;
                }
        }
        for (int p = 0; p < PARTS; p++)
                CHECK_INT(l.parts[p].position, RECORDS);
}

/* One without any event time so far holds the watermark: it comes first. Ends follow the limit, so that a partition that
 * waits is not idle. Topics without event time never wait. */
LEAT_TEST(order_at_the_edges)
{
        struct lanes l;
        lanes_make(&l);
        for (int p = 0; p < PARTS; p++)
                read_piece(&l.parts[p], p);
        l.parts[2].max_event_us = INT64_MIN;
        CHECK(!leat_lane_choose(&l.lane, &l.limit));
        for (int p = 0; p < PARTS; p++) {
                CHECK_INT(l.parts[p].waits, p != 2);
                CHECK_INT(l.parts[p].end, RECORDS);
                CHECK(!leat_part_idle(&l.input, &l.parts[p], INT64_MAX));
        }
        l.limits[2].position = l.parts[2].position; /* nothing more there */
        CHECK(!leat_lane_choose(&l.lane, &l.limit));
        for (int p = 0; p < PARTS; p++)
                CHECK_INT(l.parts[p].waits, p != 3);
        l.input.time_index = -1;
        CHECK(!leat_lane_choose(&l.lane, &l.limit));
        for (int p = 0; p < PARTS; p++)
                CHECK_INT(l.parts[p].waits, p == 2);
}
