/* SPDX-License-Identifier: Apache-2.0 */
/* leat/stream: which rows were late, told afterwards. */
#include <stdio.h>

#include "leat/test.h"
#include "stream_verify.h"

static uint64_t state;

static uint32_t random_below(uint32_t limit)
{
        state = state * 6364136223846793005ull + 1442695040888963407ull;
        return (uint32_t)((state >> 33) % limit);
}

LEAT_TEST(late_spans_are_found_by_place)
{
        const struct leat_late_span spans[] = {
                {.object_id = 1, .partition = 0, .from = 10, .to = 20, .watermark_us = 5},
                {.object_id = 1, .partition = 0, .from = 20, .to = 21, .watermark_us = 6},
                {.object_id = 1, .partition = 2, .from = 0, .to = 5, .watermark_us = 7},
                {.object_id = 3, .partition = 0, .from = 8, .to = 9, .watermark_us = 8}};
        const struct {
                uint64_t object_id;
                int32_t partition;
                int64_t offset, want;
        } cases[] = {{1, 0, 9, INT64_MIN},  {1, 0, 10, 5},         {1, 0, 19, 5},        {1, 0, 20, 6},
                     {1, 0, 21, INT64_MIN}, {1, 1, 15, INT64_MIN}, {1, 2, 0, 7},         {1, 2, 4, 7},
                     {1, 2, 5, INT64_MIN},  {2, 0, 8, INT64_MIN},  {3, 0, 8, 8},         {3, 0, 9, INT64_MIN},
                     {0, 0, 0, INT64_MIN},  {3, 9, 8, INT64_MIN},  {1, 0, -1, INT64_MIN}};
        for (size_t i = 0; i < LEAT_ARRAY_LEN(cases); i++)
                CHECK_INT(leat_late_watermark(spans, LEAT_ARRAY_LEN(spans), cases[i].object_id, cases[i].partition,
                                              cases[i].offset),
                          cases[i].want);
        CHECK_INT(leat_late_watermark(NULL, 0, 1, 0, 10), INT64_MIN);
}

/* Over all classes a row counts in just those of its windows that were not over when it came, and are by now. */
LEAT_TEST(late_rows_by_window_and_class)
{
        state = leat_test_seed();
        for (uint32_t round = 0; round < 3000; round++) {
                struct leat_verify_windows w = {.filters = true, .slide_us = 1 + random_below(6)};
                w.size_us = w.slide_us + random_below(20);
                w.offset_us = random_below((uint32_t)w.slide_us);
                w.grace_us = random_below(4);
                w.classes = (w.size_us - 1) / w.slide_us + 1;
                w.upto_us = random_below(3) == 0 ? INT64_MAX : (int64_t)random_below(60) - 30;
                int64_t time = (int64_t)random_below(60) - 30;
                int64_t late = random_below(3) == 0 ? INT64_MIN : (int64_t)random_below(60) - 30;
                uint32_t have = 0, want = 0;
                for (w.at_class = 0; w.at_class < w.classes; w.at_class++)
                        have += leat_verify_counts(&w, time, late);
                for (int64_t n = -100; n < 100; n++) {
                        int64_t start = n * w.slide_us + w.offset_us, end = start + w.size_us;
                        want += start <= time && time < end && end <= w.upto_us &&
                                (late == INT64_MIN || end > late - w.grace_us);
                }
                CHECK_INT(have, want);
        }
}
