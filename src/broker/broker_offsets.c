/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/broker: ListOffsets, OffsetForLeaderEpoch, DeleteRecords.
 *
 * ListOffsets by time is exact to the record: the log finds the batch, its
 * records are walked here, decompressed when they must be. That may need the
 * disk several times, so it is done on a read thread.
 */
#include "broker_int.h"

enum {
        AT_LATEST = -1,
        AT_EARLIEST = -2,
        AT_MAX_TIMESTAMP = -3,
        AT_EARLIEST_LOCAL = -4,
        AT_LATEST_TIERED = -5,
        AT_EARLIEST_PENDING_UPLOAD = -6,
};

/* ---- ListOffsets ------------------------------------------------------------------------------------------ */

struct listing {
        struct leat_kafka_list_offsets_response res;
        struct leat_buf scratch; /* decompressed records */
};

/* Looks through one batch for the first record at or after @time_ms and @start. */
static int batch_search(struct broker_request *req, const struct leat_kafka_batch *batch, int64_t time_ms,
                        int64_t start, struct leat_kafka_listed_offsets_partition *out, struct leat_error *err)
{
        struct leat_kafka_record_iter iter;
        struct leat_record record;
        bool end;
        struct listing *listing = req->op;
        LEAT_TRY(leat_kafka_records_open(batch, (size_t)leat_param(LEAT_P_BROKER_MAX_DECOMPRESSED), &listing->scratch,
                                         &iter, err));
        for (;;) {
                LEAT_TRY(leat_kafka_records_next(&iter, &record, &end, err));
                if (end)
                        return 0;
                if (record.timestamp_ms >= time_ms && record.offset >= start) {
                        out->offset = record.offset;
                        out->timestamp = record.timestamp_ms;
                        out->leader_epoch = batch->leader_epoch;
                        return 0;
                }
        }
}

/* Looks through whole batches in @bytes; *ret_next is the offset behind them. */
static int bytes_search(struct broker_request *req, struct leat_view bytes, int64_t time_ms, int64_t start,
                        int64_t *ret_next, struct leat_kafka_listed_offsets_partition *out, struct leat_error *err)
{
        while (bytes.len > 0 && out->offset < 0) {
                struct leat_kafka_batch batch;
                LEAT_TRY(leat_kafka_batch_parse(bytes, &batch, NULL, err));
                if (batch.max_timestamp_ms >= time_ms)
                        LEAT_TRY(batch_search(req, &batch, time_ms, start, out, err));
                *ret_next = batch.base_offset + batch.last_offset_delta + 1;
                bytes = leat_view_of(bytes.data + batch.bytes.len, bytes.len - batch.bytes.len);
        }
        return 0;
}

static int time_search(struct broker_request *req, struct broker_part *part, int64_t time_ms,
                       struct leat_kafka_listed_offsets_partition *out, struct leat_error *err)
{
        struct leat_chain chain = LEAT_CHAIN_INIT;
        struct leat_log_read read;
        struct leat_buf bytes = LEAT_BUF_INIT;
        int64_t next = 0;
        int rc = leat_log_read_time(part->log_part, time_ms, &chain, &read, err);
        while (rc == 0 && chain.len > 0 && out->offset < 0) {
                /* The record may stand in a later batch: this one's may lie below the log start. */
                leat_buf_clear(&bytes);
                leat_chain_copy(&chain, leat_buf_reserve(&bytes, chain.len));
                bytes.len = chain.len;
                leat_chain_done(&chain);
                rc = bytes_search(req, leat_buf_view(&bytes), time_ms, read.start, &next, out, err);
                if (rc == 0 && out->offset < 0)
                        rc = leat_log_read(part->log_part, next, 1u << 20, &chain, &read, err);
        }
        leat_chain_done(&chain);
        leat_buf_done(&bytes);
        return rc == LEAT_ENOTFOUND ? 0 : rc; /* all records are older: offset -1 */
}

static int offset_find(struct broker_request *req, struct broker_part *part, int64_t time_ms,
                       struct leat_kafka_listed_offsets_partition *out, struct leat_error *err)
{
        struct leat_log_state state;
        int64_t max_ms;
        leat_log_partition_state(part->log_part, &state);
        switch (time_ms) {
        case AT_LATEST:
                out->offset = state.high;
                out->leader_epoch = leat_log_epoch(part->broker->log);
                return 0;
        case AT_EARLIEST:
        case AT_EARLIEST_LOCAL:
                out->offset = state.start;
                out->leader_epoch = leat_log_epoch(part->broker->log);
                return 0;
        case AT_MAX_TIMESTAMP:
                LEAT_TRY(leat_log_max_time(part->log_part, &max_ms, err));
                return max_ms < 0 ? 0 : time_search(req, part, max_ms, out, err);
        case AT_LATEST_TIERED:
        case AT_EARLIEST_PENDING_UPLOAD:
                return 0; /* there is no second tier: offset -1 */
        default:
                return time_search(req, part, time_ms, out, err);
        }
}

/* The oldest version that knows a special timestamp. */
static int timestamp_version(int64_t time_ms)
{
        switch (time_ms) {
        case AT_MAX_TIMESTAMP:
                return 7;
        case AT_EARLIEST_LOCAL:
                return 8;
        case AT_LATEST_TIERED:
                return 9;
        case AT_EARLIEST_PENDING_UPLOAD:
                return 11;
        default:
                return time_ms >= AT_EARLIEST ? 1 : 127;
        }
}

static void partition_list(struct broker_request *req, const struct leat_log_topic *topic, int16_t topic_error,
                           const struct leat_kafka_list_offsets_partition *in,
                           struct leat_kafka_listed_offsets_partition *out)
{
        struct leat_broker *broker = req->home->broker;
        struct leat_error err;
        out->partition_index = in->partition_index;
        out->error_code = topic_error;
        if (topic == NULL)
                return;
        struct broker_part *part =
                in->partition_index < 0 ? NULL : leat_broker_part_get(broker, topic->id, (uint32_t)in->partition_index);
        if (part == NULL) {
                out->error_code = LEAT_KAFKA_E_UNKNOWN_TOPIC_OR_PARTITION;
                return;
        }
        out->error_code = leat_broker_epoch_check(broker, in->current_leader_epoch);
        if (out->error_code == 0 && atomic_load(&req->give_up))
                out->error_code = LEAT_KAFKA_E_NOT_LEADER_OR_FOLLOWER;
        if (out->error_code == 0 && req->header.api_version < timestamp_version(in->timestamp))
                out->error_code = LEAT_KAFKA_E_UNSUPPORTED_VERSION;
        if (out->error_code == 0 && offset_find(req, part, in->timestamp, out, &err) != 0) {
                leat_diag_error("broker", "offsets not listed", &err);
                out->error_code = leat_broker_error_of(&err);
        }
        leat_broker_part_unref(part);
}

static void list_run(struct broker_request *req)
{
        const struct leat_kafka_list_offsets_request *msg = req->message;
        struct listing *listing = req->op;
        struct leat_kafka_list_offsets_response *res = &listing->res;
        res->topics = LEAT_KAFKA_NEW(req->arena, listed_offsets_topic, (size_t)msg->topics_count);
        res->topics_count = msg->topics_count;
        for (int32_t i = 0; i < msg->topics_count; i++) {
                const struct leat_kafka_list_offsets_topic *in = &msg->topics[i];
                struct leat_kafka_listed_offsets_topic *out = &res->topics[i];
                int16_t error = 0;
                struct leat_log_topic *topic = leat_broker_topic_lookup(req->home->broker, in->name, NULL, &error);
                out->name = in->name;
                out->partitions = LEAT_KAFKA_NEW(req->arena, listed_offsets_partition, (size_t)in->partitions_count);
                out->partitions_count = in->partitions_count;
                for (int32_t j = 0; j < in->partitions_count; j++)
                        partition_list(req, topic, error, &in->partitions[j], &out->partitions[j]);
                leat_log_topic_unref(topic);
        }
        leat_buf_done(&listing->scratch);
}

static void list_answer(void *arg)
{
        struct broker_request *req = arg;
        struct listing *listing = req->op;
        if (listing->res.topics == NULL) /* given up before it began: says why for each partition */
                list_run(req);
        leat_broker_respond(req, &listing->res);
}

static bool list_may_block(const struct leat_kafka_list_offsets_request *msg)
{
        for (int32_t i = 0; i < msg->topics_count; i++) {
                for (int32_t j = 0; j < msg->topics[i].partitions_count; j++) {
                        int64_t time_ms = msg->topics[i].partitions[j].timestamp;
                        if (time_ms >= 0 || time_ms == AT_MAX_TIMESTAMP)
                                return true;
                }
        }
        return false;
}

void leat_broker_list_offsets(struct broker_request *req)
{
        struct listing *listing = leat_arena_zalloc(req->arena, sizeof(*listing));
        LEAT_KAFKA_INIT(list_offsets_response, &listing->res);
        req->op = listing;
        if (list_may_block(req->message))
                leat_broker_read(req, list_run, list_answer, 0);
        else
                list_answer(req);
}

/* ---- OffsetForLeaderEpoch ------------------------------------------------------------------------------------ */

static void epoch_end(struct broker_request *req, const struct leat_log_topic *topic, int16_t topic_error,
                      const struct leat_kafka_leader_epoch_partition *in, struct leat_kafka_epoch_end_partition *out)
{
        struct leat_broker *broker = req->home->broker;
        out->partition = in->partition;
        out->error_code = topic_error;
        if (topic == NULL)
                return;
        struct broker_part *part =
                in->partition < 0 ? NULL : leat_broker_part_get(broker, topic->id, (uint32_t)in->partition);
        if (part == NULL) {
                out->error_code = LEAT_KAFKA_E_UNKNOWN_TOPIC_OR_PARTITION;
                return;
        }
        out->error_code = leat_broker_epoch_check(broker, in->current_leader_epoch);
        if (out->error_code == 0)
                leat_log_epoch_end(part->log_part, in->leader_epoch, &out->leader_epoch, &out->end_offset);
        leat_broker_part_unref(part);
}

void leat_broker_offset_for_leader_epoch(struct broker_request *req)
{
        const struct leat_kafka_offset_for_leader_epoch_request *msg = req->message;
        struct leat_kafka_offset_for_leader_epoch_response res;
        LEAT_KAFKA_INIT(offset_for_leader_epoch_response, &res);
        res.topics = LEAT_KAFKA_NEW(req->arena, epoch_end_topic, (size_t)msg->topics_count);
        res.topics_count = msg->topics_count;
        for (int32_t i = 0; i < msg->topics_count; i++) {
                const struct leat_kafka_leader_epoch_topic *in = &msg->topics[i];
                struct leat_kafka_epoch_end_topic *out = &res.topics[i];
                int16_t error = 0;
                struct leat_log_topic *topic = leat_broker_topic_lookup(req->home->broker, in->topic, NULL, &error);
                out->topic = in->topic;
                out->partitions = LEAT_KAFKA_NEW(req->arena, epoch_end_partition, (size_t)in->partitions_count);
                out->partitions_count = in->partitions_count;
                for (int32_t j = 0; j < in->partitions_count; j++)
                        epoch_end(req, topic, error, &in->partitions[j], &out->partitions[j]);
                leat_log_topic_unref(topic);
        }
        leat_broker_respond(req, &res);
}

/* ---- DeleteRecords --------------------------------------------------------------------------------------------- */

static void partition_trim(struct broker_request *req, const struct leat_log_topic *topic, int16_t topic_error,
                           const struct leat_kafka_delete_records_partition *in,
                           struct leat_kafka_deleted_records_partition *out)
{
        struct leat_error err;
        out->partition_index = in->partition_index;
        out->error_code = topic_error;
        if (topic == NULL)
                return;
        struct broker_part *part = in->partition_index < 0 ? NULL
                                                           : leat_broker_part_get(req->home->broker, topic->id,
                                                                                  (uint32_t)in->partition_index);
        if (part == NULL) {
                out->error_code = LEAT_KAFKA_E_UNKNOWN_TOPIC_OR_PARTITION;
                return;
        }
        if (in->offset < -1) {
                out->error_code = LEAT_KAFKA_E_OFFSET_OUT_OF_RANGE;
        } else if (leat_log_delete_records(part->log_part, in->offset, &out->low_watermark, &err) != 0) {
                out->low_watermark = -1;
                out->error_code = leat_broker_error_of(&err);
                if (out->error_code == LEAT_KAFKA_E_KAFKA_STORAGE_ERROR) /* the answer has no room for the reason */
                        leat_diag_error("broker", "records not deleted", &err);
        }
        leat_broker_part_unref(part);
}

static void delete_records_answer(void *arg)
{
        struct broker_request *req = arg;
        leat_broker_respond(req, req->op);
}

/* Thread: admin. */
static void delete_records_run(void *arg)
{
        struct broker_request *req = arg;
        const struct leat_kafka_delete_records_request *msg = req->message;
        struct leat_kafka_delete_records_response *res = req->op;
        res->topics = LEAT_KAFKA_NEW(req->arena, deleted_records_topic, (size_t)msg->topics_count);
        res->topics_count = msg->topics_count;
        for (int32_t i = 0; i < msg->topics_count; i++) {
                const struct leat_kafka_delete_records_topic *in = &msg->topics[i];
                struct leat_kafka_deleted_records_topic *out = &res->topics[i];
                int16_t error = 0;
                struct leat_log_topic *topic = leat_broker_topic_lookup(req->home->broker, in->name, NULL, &error);
                out->name = in->name;
                out->partitions = LEAT_KAFKA_NEW(req->arena, deleted_records_partition, (size_t)in->partitions_count);
                out->partitions_count = in->partitions_count;
                for (int32_t j = 0; j < in->partitions_count; j++)
                        partition_trim(req, topic, error, &in->partitions[j], &out->partitions[j]);
                leat_log_topic_unref(topic);
        }
        leat_broker_go_home(req, delete_records_answer);
}

void leat_broker_delete_records(struct broker_request *req)
{
        req->op = LEAT_KAFKA_NEW(req->arena, delete_records_response, 1);
        leat_broker_go_admin(req, delete_records_run);
}
