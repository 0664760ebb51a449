/* SPDX-License-Identifier: Apache-2.0 */
/* leat/kafka: the tables behind the messages, shared by codec and generated code. */
#ifndef LEAT_KAFKA_INT_H
#define LEAT_KAFKA_INT_H

#include "leat/kafka.h"

enum leat_kafka_type {
        LEAT_KAFKA_T_BOOL,
        LEAT_KAFKA_T_INT8,
        LEAT_KAFKA_T_INT16,
        LEAT_KAFKA_T_INT32,
        LEAT_KAFKA_T_INT64,
        LEAT_KAFKA_T_UUID,
        LEAT_KAFKA_T_STRING,
        LEAT_KAFKA_T_BYTES,
        LEAT_KAFKA_T_RECORDS,
        LEAT_KAFKA_T_STRUCT,
};

struct leat_kafka_field {
        const char *name;
        uint8_t type; /* enum leat_kafka_type; of the elements for an array */
        bool array;
        int8_t from, to;                     /* versions that have it */
        int8_t null;                         /* first version in which it may be null; 127 = never */
        int8_t tag;                          /* -1: not a tagged field */
        uint16_t at;                         /* offset of the member */
        uint16_t count_at;                   /* offset of an array's count */
        int64_t value;                       /* default */
        const struct leat_kafka_schema *sub; /* of structs */
};

struct leat_kafka_schema {
        const char *name;
        uint16_t bytes;
        uint16_t field_count;
        const struct leat_kafka_field *fields;
};

#endif
