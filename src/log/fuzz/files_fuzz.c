/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small files: list of topics, snapshot of producers, checkpoint. Their CRC
 * is made right first, so that what lies behind it is reached.
 */
#include "../log_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct leat_log_topics_file topics;
        struct leat_log_memory mem = {0};
        struct leat_log_checkpoint ck;
        struct leat_buf copy = LEAT_BUF_INIT, again = LEAT_BUF_INIT;
        int64_t offset;

        if (size < 4)
                return 0;
        leat_buf_add(&copy, data, size);
        leat_put_le32(copy.data + size - 4, leat_crc32c(0, copy.data, size - 4));
        if (leat_log_topics_parse(leat_buf_view(&copy), &topics, NULL) == 0)
                leat_log_topics_file_done(&topics);
        if (leat_log_memory_parse(leat_buf_view(&copy), &mem, &offset, NULL) == 0) {
                leat_log_memory_write(&mem, offset, &again);
                LEAT_ASSERT(leat_log_memory_parse(leat_buf_view(&again), &mem, &offset, NULL) == 0);
        }
        leat_log_checkpoint_parse(leat_buf_view(&copy), &ck);
        leat_log_memory_done(&mem);
        leat_buf_done(&copy);
        leat_buf_done(&again);
        return 0;
}
