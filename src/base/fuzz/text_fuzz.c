/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of strangers: times, durations, sizes, JSON strings, varints. What is read must write back as the same. */
#include "leat/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check_time(struct leat_view text)
{
        int64_t us, again;
        char out[LEAT_TIME_TEXT_MAX];
        if (!leat_time_parse(text, &us))
                return;
        int len = leat_time_format(us, out);
        LEAT_ASSERT(len < LEAT_TIME_TEXT_MAX);
        LEAT_ASSERT(leat_time_parse(leat_view_of(out, (size_t)len), &again) && again == us);
}

static void check_amounts(struct leat_view text)
{
        int64_t value;
        if (leat_duration_parse(text, &value))
                LEAT_ASSERT(value >= 0);
        if (leat_size_parse(text, &value))
                LEAT_ASSERT(value >= 0);
}

static void check_json(struct leat_view text)
{
        struct leat_buf buf = LEAT_BUF_INIT;
        leat_buf_json_str(&buf, text);
        LEAT_ASSERT(buf.len >= 2 && buf.data[0] == '"' && buf.data[buf.len - 1] == '"');
        for (size_t i = 1; i + 1 < buf.len; i++)
                LEAT_ASSERT(buf.data[i] >= 0x20);
        leat_buf_done(&buf);
}

static void check_varints(struct leat_view bytes)
{
        struct leat_cursor cur = leat_cursor_of(bytes);
        while (!cur.failed && leat_cursor_left(&cur) > 0) {
                int64_t value = leat_cursor_varint(&cur);
                struct leat_buf buf = LEAT_BUF_INIT;
                leat_buf_varint(&buf, value);
                struct leat_cursor again = leat_cursor_of(leat_buf_view(&buf));
                LEAT_ASSERT(leat_cursor_varint(&again) == value && !again.failed);
                leat_buf_done(&buf);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
        struct leat_view text = leat_view_of(data, bytes);
        check_time(text);
        check_amounts(text);
        check_json(text);
        check_varints(text);
        return 0;
}
