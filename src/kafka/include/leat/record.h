/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/kafka: one record, as it comes out of a record batch. The unit that
 * feed gives and format decodes. All views point into the (decompressed) batch.
 */
#ifndef LEAT_RECORD_H
#define LEAT_RECORD_H

#include "leat/bytes.h"

/* A topic's identity: 16 random bytes; all zero is none. */
struct leat_topic_id {
        uint8_t bytes[16];
};

/* view.data == NULL is Kafka's null; an empty value has data != NULL, len 0. */
struct leat_record {
        int64_t offset;
        int64_t timestamp_ms; /* append or create time, as the batch says */
        struct leat_view key;
        struct leat_view value;
        struct leat_view headers; /* the records' header section: varint count, then pairs; len 0 = none */
        int32_t partition;
};

#endif
