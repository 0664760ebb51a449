/* SPDX-License-Identifier: Apache-2.0 */
/* Records of a tick topic, each with its length (u16) in front, and their checksums made right. */
#include "../stream_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct leat_tick_reader *reader = leat_tick_reader_new(0);
        struct leat_cursor cur = leat_cursor_of(leat_view_of(data, size));
        for (int64_t offset = 0; leat_cursor_left(&cur) >= 2; offset++) {
                size_t len = leat_cursor_le16(&cur);
                len = LEAT_MIN(len, leat_cursor_left(&cur));
                struct leat_view value = leat_cursor_bytes(&cur, len);
                uint8_t *copy = leat_malloc(len + 1);
                const struct leat_tick *tick;
                struct leat_error err;
                if (len > 0)
                        memcpy(copy, value.data, len);
                if (len >= 8)
                        leat_put_le32(copy + 4, leat_crc32c(0, copy + 8, len - 8));
                struct leat_record record = {.offset = offset, .value = leat_view_of(copy, len)};
                if (leat_tick_reader_feed(reader, &record, &tick, &err) == 0 && tick != NULL) {
                        struct leat_buf out = LEAT_BUF_INIT;
                        leat_tick_encode_commit(tick, &out);
                        leat_buf_done(&out);
                }
                free(copy);
        }
        leat_tick_reader_free(reader);
        return 0;
}
