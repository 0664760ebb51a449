/* SPDX-License-Identifier: Apache-2.0 */
/* leat/log, tests: what several test files share. */
#include "log_test_int.h"

void leat_log_test_batch(struct leat_buf *out, struct leat_log_test_batch batch)
{
        size_t start = out->len;
        uint8_t *p = leat_buf_reserve(out, LEAT_LOG_BATCH_HEADER_BYTES + batch.payload + 8);
        uint32_t bytes = LEAT_LOG_BATCH_HEADER_BYTES + 8 + batch.payload;

        memset(p, 0, bytes);
        leat_put_be32(p + 8, bytes - 12);
        leat_put_be32(p + 12, UINT32_MAX);
        p[16] = 2;
        leat_put_be32(p + 23, (uint32_t)batch.records - 1);
        leat_put_be64(p + 27, (uint64_t)batch.time_ms);
        leat_put_be64(p + 35, (uint64_t)batch.time_ms);
        leat_put_be64(p + 43, (uint64_t)batch.producer_id);
        leat_put_be16(p + 51, (uint16_t)batch.producer_epoch);
        leat_put_be32(p + 53, batch.producer_id < 0 ? UINT32_MAX : (uint32_t)batch.sequence);
        leat_put_be32(p + 57, (uint32_t)batch.records);
        leat_put_be64(p + 61, batch.mark);
        memset(p + 69, (int)(batch.mark * 31 + 1), batch.payload);
        leat_put_be32(p + 17, leat_crc32c(0, p + 21, bytes - 21));
        out->len = start + bytes;
}

int64_t leat_log_test_mark(struct leat_view view)
{
        struct leat_log_batch batch;

        if (view.len < 69 || !leat_log_batch_parse(view.data, &batch) || batch.bytes > view.len ||
            !leat_log_batch_crc_ok(view.data, &batch))
                return -1;
        return (int64_t)leat_get_be64(view.data + 61);
}

static void wait_done(struct leat_log_waiter *waiter, const struct leat_error *err)
{
        struct leat_log_test_wait *wait = (struct leat_log_test_wait *)waiter;

        pthread_mutex_lock(&wait->lock);
        if (err)
                wait->err = *err;
        wait->done = true;
        pthread_cond_signal(&wait->cond);
        pthread_mutex_unlock(&wait->lock);
}

void leat_log_test_wait_init(struct leat_log_test_wait *wait)
{
        *wait = (struct leat_log_test_wait){.waiter = {.done = wait_done}};
        pthread_mutex_init(&wait->lock, NULL);
        pthread_cond_init(&wait->cond, NULL);
}

int leat_log_test_wait(struct leat_log_test_wait *wait, struct leat_error *err)
{
        pthread_mutex_lock(&wait->lock);
        while (!wait->done)
                pthread_cond_wait(&wait->cond, &wait->lock);
        pthread_mutex_unlock(&wait->lock);
        pthread_mutex_destroy(&wait->lock);
        pthread_cond_destroy(&wait->cond);
        if (wait->err.code && err)
                *err = wait->err;
        return wait->err.code;
}

int leat_log_test_append(struct leat_log_partition *part, struct leat_log_test_batch batch,
                         struct leat_log_appended *ret_appended, struct leat_error *err)
{
        struct leat_log_test_wait wait;
        struct leat_buf bytes = LEAT_BUF_INIT;
        int rc;

        leat_log_test_batch(&bytes, batch);
        rc = leat_log_append(part, leat_buf_view(&bytes), ret_appended, err);
        leat_buf_done(&bytes);
        if (rc != 0)
                return rc;
        leat_log_test_wait_init(&wait);
        leat_log_sync(part, ret_appended, &wait.waiter);
        return leat_log_test_wait(&wait, err);
}

int leat_log_test_open(struct leat_log_test *test, const char *dir, const struct leat_log_config *configs,
                       uint32_t config_count, struct leat_error *err)
{
        struct leat_log_topic *topic;
        int rc;

        *test = (struct leat_log_test){0};
        rc = leat_log_open(dir, &test->log, err);
        if (rc != 0)
                return rc;
        topic = leat_log_topic_find(test->log, leat_view_str("t"));
        if (!topic)
                rc = leat_log_topic_create(test->log, "t", 1, configs, config_count, &topic, err);
        if (rc != 0) {
                leat_log_test_close(test);
                return rc;
        }
        test->part = leat_log_partition_find(test->log, topic->id, 0);
        leat_log_topic_unref(topic);
        return 0;
}

void leat_log_test_close(struct leat_log_test *test)
{
        leat_log_close(test->log);
        leat_log_partition_unref(test->part);
        *test = (struct leat_log_test){0};
}

int leat_log_test_read_all(struct leat_log_partition *part, int64_t offset, uint32_t max_bytes, leat_log_test_fn *fn,
                           void *arg, uint32_t *ret_damaged, struct leat_error *err)
{
        for (;;) {
                struct leat_chain chain = LEAT_CHAIN_INIT;
                struct leat_log_read read;
                int rc = leat_log_read(part, offset, max_bytes, &chain, &read, err);

                if (rc == LEAT_ECORRUPT && ret_damaged && read.next > offset) {
                        (*ret_damaged)++;
                        offset = read.next;
                        continue;
                }
                for (uint32_t i = 0; rc == 0 && i < chain.count; i++) {
                        struct leat_view view = chain.slices[i].view;

                        while (view.len > 0) {
                                struct leat_log_batch batch;
                                int64_t mark = leat_log_test_mark(view);

                                if (!leat_log_batch_parse(view.data, &batch))
                                        return LEAT_ECORRUPT;
                                fn(arg, &batch, mark);
                                view.data += batch.bytes;
                                view.len -= batch.bytes;
                        }
                }
                leat_chain_done(&chain);
                if (rc != 0 || read.next == offset)
                        return rc;
                offset = read.next;
        }
}
