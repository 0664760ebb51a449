/* SPDX-License-Identifier: Apache-2.0 */
/* leat/log, tests: making batches, waiting for syncs, reading all there is. */
#ifndef LEAT_LOG_TEST_INT_H
#define LEAT_LOG_TEST_INT_H

#include "log_int.h"

struct leat_log_test_batch {
        int32_t records;
        uint32_t payload; /* bytes behind the header */
        uint64_t mark;    /* told apart by it; fills the payload */
        int64_t time_ms;
        int64_t producer_id; /* -1 = none */
        int16_t producer_epoch;
        int32_t sequence;
};
/* A batch that the log takes: right framing and CRC; the records are no records. */
void leat_log_test_batch(struct leat_buf *out, struct leat_log_test_batch batch);
/* The mark of a batch in the log; CRC and size must be right (-1 otherwise). */
int64_t leat_log_test_mark(struct leat_view batch);

/* Appends and waits for the sync. Returns the first error of the two. */
int leat_log_test_append(struct leat_log_partition *part, struct leat_log_test_batch batch,
                         struct leat_log_appended *ret_appended, struct leat_error *err);
/* A waiter to wait for. */
struct leat_log_test_wait {
        struct leat_log_waiter waiter; /* first */
        pthread_mutex_t lock;
        pthread_cond_t cond;
        bool done;
        struct leat_error err;
};
void leat_log_test_wait_init(struct leat_log_test_wait *wait);
int leat_log_test_wait(struct leat_log_test_wait *wait, struct leat_error *err);

/* Opens the log and its one topic "t" (made when missing) and partition 0. */
struct leat_log_test {
        struct leat_log *log;
        struct leat_log_partition *part;
};
int leat_log_test_open(struct leat_log_test *test, const char *dir, const struct leat_log_config *configs,
                       uint32_t config_count, struct leat_error *err);
void leat_log_test_close(struct leat_log_test *test);
/* Calls @fn for every batch from @offset to the high watermark; damage is passed and counted. */
typedef void leat_log_test_fn(void *arg, const struct leat_log_batch *batch, int64_t mark);
int leat_log_test_read_all(struct leat_log_partition *part, int64_t offset, uint32_t max_bytes, leat_log_test_fn *fn,
                           void *arg, uint32_t *ret_damaged, struct leat_error *err);

#endif
