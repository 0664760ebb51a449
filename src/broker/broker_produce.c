/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/broker: Produce.
 *
 * Design    A request's home checks its batches (size, CRC, every record's
 *           framing, timestamps, keys), appends them, and asks for their syncs
 *           when no more come (broker_gather.c); the answer is made when the
 *           last sync has ended. So batches of one connection reach a partition
 *           in the order in which they were sent. Handing them to a loop that
 *           owns the partition was tried: waking another thread for each batch
 *           costs more than the rare wait for the partition's lock.
 *           acks=1 and acks=all mean the same here: on disk. acks=0 is appended
 *           and synced like the others, but nobody waits.
 * Memory    Records are views into the frame. A batch is copied only when the
 *           broker must change what the CRC covers: append time, or a header
 *           whose largest timestamp is wrong.
 */
#include <inttypes.h>

#include "broker_int.h"

struct produce_item {
        struct leat_log_waiter waiter; /* first */
        struct produce_op *op;
        struct leat_kafka_produced_partition *answer;
        struct broker_part *part;
        struct leat_view records;
        const char *topic;
        struct broker_topic_config config;
        struct leat_error error; /* of the sync; code 0 = durable */
};

struct produce_op {
        struct broker_request *req;
        struct leat_kafka_produce_response res;
        struct produce_item *items;
        uint32_t count;
        _Atomic uint32_t pending; /* items without a result, and 1 while they are handed out */
        bool failed;              /* some partition (acks=0 closes the connection then) */
};

/* ---- answers ------------------------------------------------------------------------------------- */

static void item_fail(struct produce_item *item, int16_t code, const char *message)
{
        struct leat_kafka_produced_partition *answer = item->answer;
        answer->error_code = code;
        answer->base_offset = -1;
        answer->log_append_time_ms = -1;
        if (answer->error_message.data == NULL && message != NULL)
                answer->error_message = leat_view_str(message);
}

static void produce_finish(void *arg)
{
        struct broker_request *req = arg;
        struct produce_op *op = req->op;
        const struct leat_kafka_produce_request *msg = req->message;
        for (uint32_t i = 0; i < op->count; i++) {
                struct produce_item *item = &op->items[i];
                if (item->error.code != 0) {
                        int16_t code = item->answer->error_code; /* of a check, else that of the log */
                        if (code == 0 && leat_broker_error_of(&item->error) == LEAT_KAFKA_E_KAFKA_STORAGE_ERROR)
                                leat_diag_error("broker", "batch not written", &item->error);
                        item_fail(item, code != 0 ? code : leat_broker_error_of(&item->error), NULL);
                        item->answer->error_message = leat_broker_error_message(req->arena, &item->error);
                }
                if (item->answer->error_code != 0)
                        op->failed = true;
                leat_broker_part_unref(item->part);
        }
        if (req->conn != NULL)
                req->conn->produces--;
        if (msg->acks != 0)
                leat_broker_respond(req, &op->res);
        else if (op->failed)
                leat_broker_respond_close(req, "a batch sent with acks=0 was refused");
        else
                leat_broker_respond_nothing(req);
}

/* One result less to wait for. Thread: any. */
static void item_ended(struct produce_op *op)
{
        if (atomic_fetch_sub(&op->pending, 1) > 1)
                return;
        if (leat_loop_here(op->req->home->loop))
                produce_finish(op->req);
        else
                leat_broker_go_home(op->req, produce_finish);
}

static void sync_done(struct leat_log_waiter *waiter, const struct leat_error *err)
{
        struct produce_item *item = (struct produce_item *)waiter;
        if (err != NULL)
                item->error = *err;
        item_ended(item->op);
}

/* ---- checks ---------------------------------------------------------------------- */

static int16_t batch_refuse(struct produce_item *item, int16_t code, const struct leat_error *err)
{
        item->error = *err;
        return code;
}

/* What can be said from the header. 0 or Kafka's code, with the reason in item->error. */
static int16_t header_check(struct produce_item *item, struct leat_kafka_batch *batch)
{
        struct leat_error err;
        uint32_t index = leat_log_partition_index(item->part->log_part);
        if (item->records.len == 0) {
                leat_error_set(&err, LEAT_EINVAL, "no record batch for partition %s-%u", item->topic, index);
                return batch_refuse(item, LEAT_KAFKA_E_INVALID_RECORD, &err);
        }
        int rc = leat_kafka_batch_parse(item->records, batch, NULL, &err);
        if (rc != 0)
                return batch_refuse(item,
                                    rc == LEAT_EUNSUPPORTED ? LEAT_KAFKA_E_UNSUPPORTED_FOR_MESSAGE_FORMAT
                                                            : LEAT_KAFKA_E_CORRUPT_MESSAGE,
                                    &err);
        if (batch->bytes.len != item->records.len) {
                leat_error_set(&err, LEAT_EINVAL, "Produce requests must have exactly one record batch per partition");
                return batch_refuse(item, LEAT_KAFKA_E_INVALID_RECORD, &err);
        }
        if ((int64_t)batch->bytes.len > item->config.max_message_bytes) {
                leat_error_set(&err, LEAT_ETOOBIG,
                               "The record batch size in the append to %s-%u is %zu bytes which exceeds the maximum "
                               "configured value of %" PRId64 ".",
                               item->topic, index, batch->bytes.len, item->config.max_message_bytes);
                return batch_refuse(item, LEAT_KAFKA_E_MESSAGE_TOO_LARGE, &err);
        }
        if (leat_kafka_batch_check_crc(batch, &err) != 0)
                return batch_refuse(item, LEAT_KAFKA_E_CORRUPT_MESSAGE, &err);
        if (leat_kafka_batch_control(batch)) {
                leat_error_set(&err, LEAT_EINVAL, "Clients are not allowed to write control records");
                return batch_refuse(item, LEAT_KAFKA_E_INVALID_RECORD, &err);
        }
        if (leat_kafka_batch_append_time(batch)) {
                leat_error_set(&err, LEAT_EINVAL,
                               "Invalid timestamp type in message. Producer should not set timestamp "
                               "type to LogAppendTime.");
                return batch_refuse(item, LEAT_KAFKA_E_INVALID_TIMESTAMP, &err);
        }
        if (leat_kafka_batch_transactional(batch)) {
                leat_error_set(&err, LEAT_EUNSUPPORTED, "transactions are not supported");
                return batch_refuse(item, LEAT_KAFKA_E_INVALID_REQUEST, &err);
        }
        if (leat_kafka_codec_name(leat_kafka_batch_codec(batch)) == NULL) {
                leat_error_set(&err, LEAT_EUNSUPPORTED, "compression number %d is none of Kafka's",
                               leat_kafka_batch_codec(batch));
                return batch_refuse(item, LEAT_KAFKA_E_UNSUPPORTED_COMPRESSION_TYPE, &err);
        }
        if (batch->producer_id >= 0 && batch->base_sequence < 0) {
                leat_error_set(&err, LEAT_EINVAL,
                               "Invalid sequence number %" PRId32 " in record batch with producerId %" PRId64,
                               batch->base_sequence, batch->producer_id);
                return batch_refuse(item, LEAT_KAFKA_E_INVALID_RECORD, &err);
        }
        return 0;
}

static void record_error_add(struct produce_item *item, int32_t index, const char *why)
{
        struct leat_kafka_produced_record_error *list = item->answer->record_errors;
        list->batch_index = index;
        list->batch_index_error_message = leat_view_str(why);
        item->answer->record_errors_count = 1;
}

static int16_t records_check(struct produce_item *item, const struct leat_kafka_batch *batch, struct leat_buf *scratch,
                             int64_t *ret_max_ms)
{
        struct leat_error err;
        int32_t bad = 0;
        int rc = leat_kafka_records_check(batch, (size_t)leat_param(LEAT_P_BROKER_MAX_DECOMPRESSED), item->config.keyed,
                                          scratch, &bad, ret_max_ms, &err);
        if (rc == 0)
                return 0;
        if (rc == LEAT_ETOOBIG)
                return batch_refuse(item, LEAT_KAFKA_E_MESSAGE_TOO_LARGE, &err);
        if (rc == LEAT_EINVAL)
                record_error_add(item, bad, "Compacted topic cannot accept message without key.");
        return batch_refuse(item, LEAT_KAFKA_E_INVALID_RECORD, &err);
}

static int16_t time_check(struct produce_item *item, int64_t max_ms, int64_t now_ms)
{
        struct leat_error err;
        const struct broker_topic_config *config = &item->config;
        if (config->append_time || max_ms < 0)
                return 0;
        if (max_ms - now_ms <= config->after_max_ms && now_ms - max_ms <= config->before_max_ms)
                return 0;
        leat_error_set(&err, LEAT_ERANGE,
                       "Timestamp %" PRId64 " of message is out of range: the broker's time is %" PRId64
                       " and message.timestamp.%s.max.ms %" PRId64,
                       max_ms, now_ms, max_ms > now_ms ? "after" : "before",
                       max_ms > now_ms ? config->after_max_ms : config->before_max_ms);
        return batch_refuse(item, LEAT_KAFKA_E_INVALID_TIMESTAMP, &err);
}

/* ---- appending --------------------------------------------------------------------- */

/* The bytes to append: the producer's, or a copy where the header must change. */
static struct leat_view bytes_to_append(struct produce_item *item, const struct leat_kafka_batch *batch, int64_t max_ms,
                                        int64_t now_ms, struct leat_buf *copy)
{
        if (!item->config.append_time && batch->max_timestamp_ms == max_ms)
                return batch->bytes;
        leat_buf_add_view(copy, batch->bytes);
        if (item->config.append_time)
                leat_kafka_batch_stamp(copy->data, copy->len, LEAT_KAFKA_TIME_APPEND, now_ms);
        else
                leat_kafka_batch_stamp(copy->data, copy->len, LEAT_KAFKA_TIME_CREATE, max_ms);
        return leat_buf_view(copy);
}

static void item_append(struct broker_loop *loop, struct produce_item *item)
{
        struct leat_kafka_batch batch;
        struct leat_log_appended appended;
        struct leat_buf copy = LEAT_BUF_INIT;
        struct leat_error err;
        int64_t max_ms = -1, now_ms = leat_os_now_us() / 1000;
        int acks = ((const struct leat_kafka_produce_request *)item->op->req->message)->acks;
        int16_t code = header_check(item, &batch);
        if (code == 0)
                code = records_check(item, &batch, &loop->scratch, &max_ms);
        if (code == 0)
                code = time_check(item, max_ms, now_ms);
        if (code != 0) {
                item->answer->error_code = code;
                item_ended(item->op);
                return;
        }
        struct leat_view bytes = bytes_to_append(item, &batch, max_ms, now_ms, &copy);
        int rc = leat_log_append(item->part->log_part, bytes, &appended, &err);
        leat_buf_done(&copy);
        if (rc != 0) {
                item->error = err;
                item_ended(item->op);
                return;
        }
        if (!appended.duplicate) {
                leat_stat_add(item->part->produced_bytes, batch.bytes.len);
                leat_stat_add(item->part->produced_records, (uint64_t)batch.record_count);
        }
        item->answer->base_offset = appended.first_offset;
        item->answer->log_start_offset = appended.log_start;
        if (item->config.append_time)
                item->answer->log_append_time_ms = now_ms;
        leat_broker_gather_add(loop, item->part, batch.bytes.len);
        if (acks == 0) {
                item_ended(item->op);
        } else {
                item->waiter.done = sync_done;
                leat_log_sync_join(item->part->log_part, &appended, &item->waiter);
        }
}

/* ---- the request, at home ----------------------------------------------------------------------------- */

/* Fills one item; the answer holds the error when it cannot be appended. */
static void item_prepare(struct produce_op *op, struct produce_item *item, const struct leat_log_topic *topic,
                         int16_t topic_error, const struct broker_topic_config *config,
                         const struct leat_kafka_produce_partition *in)
{
        struct leat_broker *broker = op->req->home->broker;
        const struct leat_kafka_produce_request *msg = op->req->message;
        item->op = op;
        item->answer->index = in->index;
        item->records = in->records.view;
        if (topic == NULL) {
                item_fail(item, topic_error, leat_kafka_error_text(topic_error));
                return;
        }
        if (msg->acks < -1 || msg->acks > 1) {
                item_fail(item, LEAT_KAFKA_E_INVALID_REQUIRED_ACKS,
                          leat_kafka_error_text(LEAT_KAFKA_E_INVALID_REQUIRED_ACKS));
                return;
        }
        if (msg->transactional_id.data != NULL) {
                item_fail(item, LEAT_KAFKA_E_INVALID_REQUEST, "transactions are not supported");
                return;
        }
        item->topic = leat_arena_strdup(op->req->arena, topic->name);
        item->config = *config;
        item->part = in->index < 0 ? NULL : leat_broker_part_get(broker, topic->id, (uint32_t)in->index);
        if (item->part == NULL) {
                item_fail(item, LEAT_KAFKA_E_UNKNOWN_TOPIC_OR_PARTITION,
                          leat_kafka_error_text(LEAT_KAFKA_E_UNKNOWN_TOPIC_OR_PARTITION));
                return;
        }
        item->answer->record_errors = LEAT_KAFKA_NEW(op->req->arena, produced_record_error, 1);
}

static void topic_prepare(struct produce_op *op, const struct leat_kafka_produce_topic *in,
                          struct leat_kafka_produced_topic *out, struct produce_item *items)
{
        struct broker_request *req = op->req;
        struct broker_topic_config config = {0};
        int16_t error = 0;
        struct leat_log_topic *topic = leat_broker_topic_lookup(req->home->broker, in->name, &in->topic_id, &error);
        if (topic != NULL)
                leat_broker_topic_config_read(topic, &config);
        out->name = in->name;
        out->topic_id = in->topic_id;
        out->partition_responses = LEAT_KAFKA_NEW(req->arena, produced_partition, (size_t)in->partition_data_count);
        out->partition_responses_count = in->partition_data_count;
        for (int32_t i = 0; i < in->partition_data_count; i++) {
                items[i].answer = &out->partition_responses[i];
                item_prepare(op, &items[i], topic, error, &config, &in->partition_data[i]);
        }
        leat_log_topic_unref(topic);
}

void leat_broker_produce(struct broker_request *req)
{
        const struct leat_kafka_produce_request *msg = req->message;
        struct produce_op *op = leat_arena_zalloc(req->arena, sizeof(*op));
        req->op = op;
        op->req = req;
        leat_broker_gather_begin(req->conn);
        for (int32_t i = 0; i < msg->topic_data_count; i++)
                op->count += (uint32_t)msg->topic_data[i].partition_data_count;
        op->items = leat_arena_zalloc(req->arena, op->count * sizeof(op->items[0]));
        LEAT_KAFKA_INIT(produce_response, &op->res);
        op->res.responses = LEAT_KAFKA_NEW(req->arena, produced_topic, (size_t)msg->topic_data_count);
        op->res.responses_count = msg->topic_data_count;
        struct produce_item *items = op->items;
        for (int32_t i = 0; i < msg->topic_data_count; i++) {
                topic_prepare(op, &msg->topic_data[i], &op->res.responses[i], items);
                items += msg->topic_data[i].partition_data_count;
        }
        uint32_t to_append = 0;
        for (uint32_t i = 0; i < op->count; i++)
                to_append += op->items[i].part != NULL;
        atomic_init(&op->pending, to_append + 1);
        struct broker_loop *loop = req->home;
        for (uint32_t i = 0; i < op->count; i++) {
                if (op->items[i].part != NULL)
                        item_append(loop, &op->items[i]);
        }
        /* A huge batch does not keep its memory. */
        if (loop->scratch.cap > 1u << 20)
                leat_buf_done(&loop->scratch);
        item_ended(op);
}
