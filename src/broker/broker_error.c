/* SPDX-License-Identifier: Apache-2.0 */
/* leat/broker: from our errors to Kafka's codes and messages; looking up topics. */
#include <ctype.h>
#include <stdio.h>

#include "broker_int.h"

int16_t leat_broker_error_of(const struct leat_error *err)
{
        switch (err->code) {
        case 0:
                return LEAT_KAFKA_E_NONE;
        case LEAT_EFULL:
        case LEAT_EIO:
        case LEAT_ECORRUPT:
                return LEAT_KAFKA_E_KAFKA_STORAGE_ERROR;
        case LEAT_ESEQUENCE:
                return LEAT_KAFKA_E_OUT_OF_ORDER_SEQUENCE_NUMBER;
        case LEAT_EDUPLICATE:
                return LEAT_KAFKA_E_DUPLICATE_SEQUENCE_NUMBER;
        case LEAT_EFENCED:
                return LEAT_KAFKA_E_INVALID_PRODUCER_EPOCH;
        case LEAT_ENOTFOUND:
                return LEAT_KAFKA_E_UNKNOWN_TOPIC_OR_PARTITION;
        case LEAT_EEXISTS:
                return LEAT_KAFKA_E_TOPIC_ALREADY_EXISTS;
        case LEAT_EINVAL:
                return LEAT_KAFKA_E_INVALID_REQUEST;
        case LEAT_ERANGE:
                return LEAT_KAFKA_E_OFFSET_OUT_OF_RANGE;
        case LEAT_ETOOBIG:
                return LEAT_KAFKA_E_MESSAGE_TOO_LARGE;
        case LEAT_ECLOSED:
                return LEAT_KAFKA_E_NOT_LEADER_OR_FOLLOWER;
        default:
                return LEAT_KAFKA_E_UNKNOWN_SERVER_ERROR;
        }
}

struct leat_view leat_broker_error_message(struct leat_arena *arena, const struct leat_error *err)
{
        if (err->hint[0] != '\0')
                return leat_view_str(leat_arena_printf(arena, "%s (%s)", err->message, err->hint));
        return leat_view_str(leat_arena_strdup(arena, err->message));
}

struct leat_view leat_broker_text(struct leat_arena *arena, const char *fmt, ...)
{
        char text[1024];
        va_list args;
        va_start(args, fmt);
        vsnprintf(text, sizeof(text), fmt, args);
        va_end(args);
        return leat_view_str(leat_arena_strdup(arena, text));
}

const char *leat_broker_topic_name_bad(struct leat_arena *arena, struct leat_view name)
{
        if (name.len == 0)
                return "Topic name is invalid: the empty string is not allowed";
        if (name.len > 249)
                return leat_arena_printf(arena,
                                         "Topic name is invalid: the length of '%.*s' is longer than the max "
                                         "allowed length 249",
                                         (int)LEAT_MIN(name.len, (size_t)300), name.data);
        if (leat_view_eq_str(name, ".") || leat_view_eq_str(name, ".."))
                return leat_arena_printf(arena, "Topic name is invalid: '%.*s' is not allowed", (int)name.len,
                                         name.data);
        for (size_t i = 0; i < name.len; i++) {
                uint8_t c = name.data[i];
                if (!isalnum(c) && c != '.' && c != '_' && c != '-')
                        return leat_arena_printf(arena,
                                                 "Topic name is invalid: '%.*s' contains one or more characters "
                                                 "other than ASCII alphanumerics, '.', '_' and '-'",
                                                 (int)name.len, name.data);
        }
        return NULL;
}

bool leat_broker_topic_internal(const char *name)
{
        return name[0] == '_' && name[1] == '_';
}

int16_t leat_broker_epoch_check(struct leat_broker *broker, int32_t epoch)
{
        int32_t ours = leat_log_epoch(broker->log);
        if (epoch < 0 || epoch == ours)
                return LEAT_KAFKA_E_NONE;
        return epoch < ours ? LEAT_KAFKA_E_FENCED_LEADER_EPOCH : LEAT_KAFKA_E_UNKNOWN_LEADER_EPOCH;
}

struct leat_log_topic *leat_broker_topic_lookup(struct leat_broker *broker, struct leat_view name,
                                                const struct leat_topic_id *id, int16_t *ret_error)
{
        struct leat_log_topic *topic = name.data != NULL ? leat_log_topic_find(broker->log, name)
                                                         : leat_log_topic_find_id(broker->log, id->bytes);
        if (topic == NULL)
                *ret_error =
                        name.data != NULL ? LEAT_KAFKA_E_UNKNOWN_TOPIC_OR_PARTITION : LEAT_KAFKA_E_UNKNOWN_TOPIC_ID;
        return topic;
}
