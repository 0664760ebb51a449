/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/broker: Fetch with long poll.
 *
 * Design    Reads are done on the connection's loop, partition after partition
 *           in the client's order (a session rotates it), until the answer is
 *           full. When it holds less than min_bytes and no error, the fetch is
 *           parked: each of its partitions gets a watch in the partition's list
 *           of this loop. When the log says that a high watermark has moved, the
 *           loops that wait are called, and read on from where they were, so
 *           nothing is read twice. max_wait ends the wait.
 * Disk      A loop reads only what is in memory. At the first partition that
 *           needs the disk the fetch goes to a read thread as a whole, which reads
 *           the rest, and comes home to be answered or parked.
 * Races     A watch is linked and the partition's bit set before its watermark
 *           is looked at once more; the log moves the watermark before it takes
 *           the bits. So no move is missed.
 * Bounds    One answer: the client's max_bytes and broker.fetch.max. All of a
 *           loop: when slow peers hold broker.fetch.memory of answers, further
 *           ones are cut to one batch.
 * Threads   A fetch and its watches belong to the home loop, but for the time
 *           that it is lent to a read thread; it is not parked then.
 */
#include <inttypes.h>

#include "broker_int.h"

struct fetch_watch {
        struct fetch_op *op;
        struct fetch_item *item;
        struct fetch_watch *next, *prev; /* in the partition's list of this loop */
};

struct fetch_op {
        struct broker_request *req;
        struct fetch_list list;
        size_t bytes; /* in the answer */
        size_t max_bytes, min_bytes;
        bool any;    /* some partition has records already */
        bool failed; /* some partition has an error: the answer does not wait */
        bool full;
        bool lent; /* to a read thread: the disk may be waited for */
        bool cold; /* some partition's records are not in memory */
        int64_t until_us;
        struct fetch_watch *watches;
        struct leat_timer *timer;
};

/* ---- reading ---------------------------------------------------------------------------------------- */

static void item_error(struct fetch_op *op, struct fetch_item *item, int16_t code)
{
        item->error = code;
        op->failed = true;
        leat_chain_done(&item->records);
}

static int16_t read_error(const struct fetch_item *item, const struct leat_error *err)
{
        switch (err->code) {
        case LEAT_ERANGE:
                return LEAT_KAFKA_E_OFFSET_OUT_OF_RANGE;
        case LEAT_ECORRUPT:
                return LEAT_KAFKA_E_CORRUPT_MESSAGE;
        case LEAT_ENOTFOUND:
                return item->topic.data == NULL ? LEAT_KAFKA_E_UNKNOWN_TOPIC_ID
                                                : LEAT_KAFKA_E_UNKNOWN_TOPIC_OR_PARTITION;
        default:
                return leat_broker_error_of(err);
        }
}

/* Reads on for one partition, as far as the answer has room. */
static void item_read(struct fetch_op *op, struct fetch_item *item)
{
        struct leat_error err;
        while (item->error == 0 && !op->full && !(op->lent && atomic_load(&op->req->give_up))) {
                if (op->any && op->bytes >= op->max_bytes) {
                        op->full = true;
                        return;
                }
                size_t room = op->bytes < op->max_bytes ? op->max_bytes - op->bytes : 0;
                size_t own = item->max_bytes > 0 && (size_t)item->max_bytes > item->records.len
                                     ? (size_t)item->max_bytes - item->records.len
                                     : 0;
                if (item->records.len > 0 && own == 0)
                        return;
                struct leat_chain more = LEAT_CHAIN_INIT;
                struct leat_log_read read;
                int rc = (op->lent ? leat_log_read : leat_log_read_cached)(
                        item->part->log_part, item->next, (uint32_t)LEAT_MIN(room, own), &more, &read, &err);
                if (rc != 0) {
                        leat_chain_done(&more);
                        if (rc == LEAT_EBUSY && !op->lent) {
                                op->cold = true;
                                return;
                        }
                        if (item->records.len > 0)
                                return; /* what was read is fine; the client meets the error at the next fetch */
                        if (rc == LEAT_ECORRUPT || rc == LEAT_EIO)
                                leat_diag_error("broker", "fetch failed", &err);
                        item_error(op, item, read_error(item, &err));
                        return;
                }
                item->high = read.high;
                item->start = read.start;
                if (more.len == 0)
                        return;
                /* Only the answer's first batch may be larger than its room. */
                if (op->any && more.len > room) {
                        leat_chain_done(&more);
                        op->full = true;
                        return;
                }
                if (item->records.len > 0 && more.len > own) {
                        leat_chain_done(&more);
                        return;
                }
                op->any = true;
                op->bytes += more.len;
                leat_stat_add(item->part->fetched_bytes, more.len);
                leat_stat_add(item->part->fetched_records, (uint64_t)(read.next - item->next));
                leat_chain_move(&item->records, &more);
                item->next = read.next;
                if (read.next >= read.high)
                        return;
        }
}

/* Finds the partition; the item holds the error when it cannot be read. */
static void item_open(struct fetch_op *op, struct fetch_item *item, bool by_id)
{
        struct leat_broker *broker = op->req->home->broker;
        int16_t error = 0;
        item->high = item->start = -1;
        item->next = item->offset;
        if (by_id)
                item->topic = (struct leat_view){0};
        struct leat_log_topic *topic = leat_broker_topic_lookup(broker, item->topic, &item->topic_id, &error);
        if (topic != NULL) {
                item->part =
                        item->partition < 0 ? NULL : leat_broker_part_get(broker, topic->id, (uint32_t)item->partition);
                leat_log_topic_unref(topic);
                error = item->part == NULL ? LEAT_KAFKA_E_UNKNOWN_TOPIC_OR_PARTITION
                                           : leat_broker_epoch_check(broker, item->leader_epoch);
        }
        if (error != 0)
                item_error(op, item, error);
}

/* ---- the answer ---------------------------------------------------------------------------------------- */

static void op_unpark(struct fetch_op *op)
{
        int loop = op->req->home->index;
        for (uint32_t i = 0; op->watches != NULL && i < op->list.count; i++) {
                struct fetch_watch *watch = op->list.items[i].watch;
                if (watch == NULL)
                        continue;
                if (watch->next != NULL)
                        watch->next->prev = watch->prev;
                if (watch->prev != NULL)
                        watch->prev->next = watch->next;
                else
                        op->list.items[i].part->watches[loop] = watch->next;
                op->list.items[i].watch = NULL;
        }
        op->watches = NULL;
        leat_timer_free(op->timer);
        op->timer = NULL;
}

static void answer_partition(struct fetch_op *op, struct fetch_item *item, struct leat_kafka_fetched_partition *out)
{
        const struct leat_kafka_fetch_request *msg = op->req->message;
        out->partition_index = item->partition;
        out->error_code = item->error;
        out->aborted_transactions_count = msg->isolation_level == 1 ? 0 : -1;
        out->records.view = leat_view_of("", 0);
        if (item->error != 0)
                return;
        out->high_watermark = item->high;
        out->last_stable_offset = item->high;
        out->log_start_offset = item->start;
        if (item->records.len > 0)
                out->records.chain = &item->records;
}

static bool same_topic(const struct fetch_item *a, const struct fetch_item *b)
{
        return a->topic.data != NULL ? leat_view_eq(a->topic, b->topic)
                                     : memcmp(&a->topic_id, &b->topic_id, sizeof(a->topic_id)) == 0;
}

static void answer_topics(struct fetch_op *op, struct leat_kafka_fetch_response *res)
{
        struct leat_arena *arena = op->req->arena;
        struct fetch_item *items = op->list.items;
        res->responses = LEAT_KAFKA_NEW(arena, fetched_topic, op->list.count);
        struct leat_kafka_fetched_partition *parts = LEAT_KAFKA_NEW(arena, fetched_partition, op->list.count);
        struct fetch_item *last = NULL;
        struct leat_kafka_fetched_topic *topic = NULL;
        for (uint32_t i = 0; i < op->list.count; i++) {
                struct fetch_item *item = &items[i];
                if (op->list.incremental && !item->changed && item->records.len == 0)
                        continue;
                if (last == NULL || !same_topic(last, item)) {
                        topic = &res->responses[res->responses_count++];
                        topic->topic = item->topic;
                        topic->topic_id = item->topic_id;
                        topic->partitions = parts;
                }
                answer_partition(op, item, parts++);
                topic->partitions_count++;
                last = item;
        }
}

static void op_answer(struct fetch_op *op)
{
        struct broker_request *req = op->req;
        struct leat_kafka_fetch_response res;
        req->cancel = NULL;
        op_unpark(op);
        LEAT_KAFKA_INIT(fetch_response, &res);
        res.error_code = op->list.error;
        res.session_id = op->list.session_id;
        leat_broker_session_end(req->home->broker->sessions, &op->list);
        answer_topics(op, &res);
        for (uint32_t i = 0; i < op->list.count; i++)
                leat_broker_part_unref(op->list.items[i].part);
        if (req->conn == NULL) {
                for (uint32_t i = 0; i < op->list.count; i++)
                        leat_chain_done(&op->list.items[i].records);
        }
        leat_broker_respond(req, &res);
}

/* ---- waiting --------------------------------------------------------------------------------------------- */

static bool op_ready(const struct fetch_op *op)
{
        return op->failed || op->full || op->bytes >= op->min_bytes;
}

static void op_read_all(struct fetch_op *op)
{
        for (uint32_t i = 0; i < op->list.count && !op->full && !op->cold; i++)
                item_read(op, &op->list.items[i]);
}

/* ---- the disk ----------------------------------------------------------------------------------------------- */

static void op_go_on(struct fetch_op *op);

/* Thread: a read thread. */
static void lent_read(struct broker_request *req)
{
        op_read_all(req->op);
}

static void lent_home(void *arg)
{
        struct broker_request *req = arg;
        struct fetch_op *op = req->op;
        op->lent = false;
        if (atomic_load(&req->give_up)) {
                for (uint32_t i = 0; i < op->list.count; i++) {
                        struct fetch_item *item = &op->list.items[i];
                        if (item->error == 0 && item->high < 0) /* not looked at */
                                item_error(op, item, LEAT_KAFKA_E_NOT_LEADER_OR_FOLLOWER);
                }
                op_answer(op);
                return;
        }
        op_go_on(op);
}

static void op_lend(struct fetch_op *op)
{
        size_t bytes = 0;
        for (uint32_t i = 0; i < op->list.count; i++)
                bytes += (size_t)LEAT_MAX(op->list.items[i].max_bytes, 0);
        op_unpark(op);
        op->cold = false;
        op->lent = true;
        leat_broker_read(op->req, lent_read, lent_home, LEAT_MIN(bytes, op->max_bytes));
}

/* After reading for one that is parked: true when its waiting is over. */
static bool op_end_wait(struct fetch_op *op)
{
        if (op->cold)
                op_lend(op);
        else if (op_ready(op))
                op_answer(op);
        else
                return false;
        return true;
}

/* ---- parked ------------------------------------------------------------------------------------------------- */

static void op_timeout(void *arg)
{
        op_answer(arg);
}

static void op_cancel(struct broker_request *req)
{
        op_answer(req->op);
}

static bool item_moved(const struct fetch_item *item)
{
        struct leat_log_state state;
        leat_log_partition_state(item->part->log_part, &state);
        return state.deleted || state.high > item->next || state.start != item->start;
}

static void op_park(struct fetch_op *op, int64_t wait_us)
{
        struct broker_request *req = op->req;
        int loop = req->home->index;
        op->watches = leat_arena_zalloc(req->arena, op->list.count * sizeof(op->watches[0]));
        for (uint32_t i = 0; i < op->list.count; i++) {
                struct fetch_item *item = &op->list.items[i];
                struct fetch_watch *watch = &op->watches[i];
                *watch = (struct fetch_watch){.op = op, .item = item, .next = item->part->watches[loop]};
                if (watch->next != NULL)
                        watch->next->prev = watch;
                item->part->watches[loop] = watch;
                item->watch = watch;
                atomic_fetch_or(&item->part->waiting, 1u << loop);
        }
        bool moved = false;
        for (uint32_t i = 0; i < op->list.count && !moved; i++)
                moved = item_moved(&op->list.items[i]);
        if (moved) {
                op_read_all(op);
                if (op_end_wait(op))
                        return;
        }
        req->cancel = op_cancel;
        op->timer = leat_timer_new(req->home->loop, op_timeout, op);
        leat_timer_start(op->timer, wait_us, 0);
}

static void op_go_on(struct fetch_op *op)
{
        struct broker_request *req = op->req;
        int64_t wait_us = op->until_us - leat_os_monotonic_us();
        if (op->cold)
                op_lend(op);
        else if (op_ready(op) || wait_us <= 0 || req->conn == NULL || req->home->draining)
                op_answer(op);
        else
                op_park(op, wait_us);
}

void leat_broker_fetch_wake(struct broker_loop *loop, struct broker_part *part)
{
        /* Answering one takes all its watches away, so begin anew after each; the others of this partition are marked
         * by having read on. */
        struct fetch_watch *watch = part->watches[loop->index];
        if (watch != NULL)
                atomic_fetch_or(&part->waiting, 1u << loop->index);
        while (watch != NULL) {
                struct fetch_op *op = watch->op;
                struct fetch_watch *next = watch->next;
                /* The same fetch may watch a partition twice; its watches stand together. */
                while (next != NULL && next->op == op)
                        next = next->next;
                item_read(op, watch->item);
                if (op_ready(op))
                        op_read_all(op);
                op_end_wait(op);
                watch = next;
        }
        leat_broker_part_unref(part);
}

/* ---- the request ------------------------------------------------------------------------------------------- */

static size_t answer_limit(const struct broker_request *req, int32_t max_bytes)
{
        if (max_bytes <= 0)
                return 0;
        size_t limit = LEAT_MIN((size_t)max_bytes, (size_t)leat_param(LEAT_P_BROKER_FETCH_MAX));
        /* Slow peers and reads from the disk hold much already: one batch at a time. */
        if (req->home->queued_bytes + req->home->lent_bytes >
            (size_t)leat_param(LEAT_P_BROKER_FETCH_MEMORY) / (size_t)req->home->broker->loop_count)
                limit = LEAT_MIN(limit, (size_t)1);
        return limit;
}

void leat_broker_fetch(struct broker_request *req)
{
        const struct leat_kafka_fetch_request *msg = req->message;
        struct leat_broker *broker = req->home->broker;
        struct fetch_op *op = leat_arena_zalloc(req->arena, sizeof(*op));
        req->op = op;
        op->req = req;
        op->max_bytes = answer_limit(req, msg->max_bytes);
        op->min_bytes = LEAT_MIN((size_t)LEAT_MAX(msg->min_bytes, 0), op->max_bytes);
        leat_broker_session_begin(broker->sessions, msg, req->header.api_version, leat_loop_now_us(req->home->loop),
                                  req->arena, &op->list);
        for (uint32_t i = 0; i < op->list.count; i++)
                item_open(op, &op->list.items[i], req->header.api_version >= 13);
        bool waits = op->list.error == 0 && op->list.count > 0 && msg->max_wait_ms > 0;
        op->until_us = waits ? req->start_us + (int64_t)msg->max_wait_ms * 1000 : 0;
        op_read_all(op);
        op_go_on(op);
}
