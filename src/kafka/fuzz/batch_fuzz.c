/* SPDX-License-Identifier: Apache-2.0 */
/* Record batches one behind the other, as a broker and a reader walk them; the CRC is not asked. */
#include "leat/batch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void batch_read(const struct leat_kafka_batch *batch, struct leat_buf *scratch)
{
        struct leat_kafka_record_iter iter;
        struct leat_record record;
        bool end = false;
        (void)!leat_kafka_records_check(batch, 1 << 20, true, scratch, NULL, NULL, NULL);
        if (leat_kafka_records_open(batch, 1 << 20, scratch, &iter, NULL) != 0)
                return;
        while (leat_kafka_records_next(&iter, &record, &end, NULL) == 0 && !end) {
                struct leat_kafka_headers_iter headers;
                struct leat_view key, value;
                leat_kafka_headers_open(record.headers, &headers);
                while (leat_kafka_headers_next(&headers, &key, &value)) {}
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct leat_buf scratch = LEAT_BUF_INIT;
        struct leat_kafka_batch batch;
        struct leat_view rest = leat_view_of(data, size);
        while (leat_kafka_batch_parse(rest, &batch, NULL, NULL) == 0) {
                (void)!leat_kafka_batch_check_crc(&batch, NULL);
                batch_read(&batch, &scratch);
                rest = leat_view_of(rest.data + batch.bytes.len, rest.len - batch.bytes.len);
        }
        leat_buf_done(&scratch);
        return 0;
}
