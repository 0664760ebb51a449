/* SPDX-License-Identifier: Apache-2.0 */
/* leat/log: append, sync, read, restart, topics, idempotence, retention. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "leat/test.h"
#include "log_test_int.h"

static struct leat_error err;

static struct leat_log_test_batch plain(int32_t records, uint32_t payload, uint64_t mark)
{
        return (struct leat_log_test_batch){.records = records,
                                            .payload = payload,
                                            .mark = mark,
                                            .time_ms = (int64_t)(1000 + mark),
                                            .producer_id = -1};
}

static struct leat_log_test_batch sequenced(int32_t records, uint64_t mark, int16_t epoch, int32_t sequence)
{
        struct leat_log_test_batch batch = plain(records, 100, mark);

        batch.producer_id = 7;
        batch.producer_epoch = epoch;
        batch.sequence = sequence;
        return batch;
}

static void append_ok(struct leat_log_test *test, struct leat_log_test_batch batch, int64_t want_offset)
{
        struct leat_log_appended appended;

        CHECK_OK(leat_log_test_append(test->part, batch, &appended, &err), &err);
        CHECK_INT(appended.first_offset, want_offset);
        CHECK_INT(appended.end_offset, want_offset + batch.records);
}

struct seen {
        int64_t next; /* offset expected, -1 = any */
        uint64_t batches;
        int64_t marks; /* sum */
        int32_t epoch;
};

static void see(void *arg, const struct leat_log_batch *batch, int64_t mark)
{
        struct seen *seen = arg;

        CHECK(mark >= 0);
        if (seen->next >= 0)
                CHECK_INT(batch->base, seen->next);
        seen->next = leat_log_batch_end(batch);
        seen->marks += mark;
        seen->epoch = batch->epoch;
        seen->batches++;
}

static struct seen read_all(struct leat_log_test *test, int64_t offset, uint32_t max_bytes)
{
        struct seen seen = {.next = -1};

        CHECK_OK(leat_log_test_read_all(test->part, offset, max_bytes, see, &seen, NULL, &err), &err);
        return seen;
}

static bool exists_free(char *path)
{
        bool exists = leat_os_exists(path);
        free(path);
        return exists;
}

LEAT_TEST(log_append_read_restart)
{
        const char *dir = leat_test_tmpdir();
        struct leat_log_test test;
        struct seen seen;

        for (int round = 0; round < 3; round++) {
                CHECK_OK(leat_log_test_open(&test, dir, NULL, 0, &err), &err);
                CHECK_INT(leat_log_epoch(test.log), round + 1);
                for (int i = 0; i < 50; i++)
                        append_ok(&test, plain(3, (uint32_t)(i * 37 % 900), (uint64_t)i), round * 150 + i * 3);
                seen = read_all(&test, 0, 1 << 20);
                CHECK_INT(seen.batches, 50 * (round + 1));
                CHECK_INT(seen.marks, (round + 1) * 49 * 50 / 2);
                CHECK_INT(seen.epoch, round + 1);
                seen = read_all(&test, 100, 10); /* one batch at a time, from the middle of one */
                CHECK_INT(seen.batches, 50 * (round + 1) - 33);
                CHECK_INT(leat_log_last_epoch(test.part), round + 1);
                leat_log_test_close(&test);
        }
}

LEAT_TEST(log_many_batches_one_write)
{
        struct leat_log_test test;
        struct leat_log_appended appended;
        struct leat_buf bytes = LEAT_BUF_INIT;
        struct leat_chain chain = LEAT_CHAIN_INIT;
        struct leat_log_test_wait wait;

        CHECK_OK(leat_log_test_open(&test, leat_test_tmpdir(), NULL, 0, &err), &err);
        for (uint64_t i = 0; i < 20; i++)
                leat_log_test_batch(&bytes, plain(2, 10 + (uint32_t)i, i));
        /* In pieces that cut through headers. */
        for (size_t at = 0; at < bytes.len; at += 7)
                leat_chain_add(&chain, NULL, leat_view_of(bytes.data + at, LEAT_MIN(7u, bytes.len - at)));
        CHECK_OK(leat_log_append_chain(test.part, &chain, &appended, &err), &err);
        CHECK_INT(appended.first_offset, 0);
        CHECK_INT(appended.end_offset, 40);
        CHECK_INT(read_all(&test, 0, 1 << 20).batches, 0); /* not durable: not read */
        leat_log_test_wait_init(&wait);
        leat_log_sync(test.part, &appended, &wait.waiter);
        CHECK_OK(leat_log_test_wait(&wait, &err), &err);
        CHECK_INT(read_all(&test, 0, 1 << 20).marks, 190);
        CHECK_INT(leat_log_append(test.part, leat_view_of(bytes.data, 60), &appended, &err), LEAT_EINVAL);
        bytes.data[16] = 1;
        CHECK_INT(leat_log_append(test.part, leat_buf_view(&bytes), &appended, &err), LEAT_EINVAL);
        leat_chain_done(&chain);
        leat_buf_done(&bytes);
        leat_log_test_close(&test);
}

LEAT_TEST(log_segments_roll)
{
        const struct leat_log_config configs[] = {{"segment.bytes", "20000"}};
        const char *dir = leat_test_tmpdir();
        struct leat_log_state state;
        struct leat_log_test test;

        CHECK_OK(leat_log_test_open(&test, dir, configs, 1, &err), &err);
        for (uint64_t i = 0; i < 200; i++)
                append_ok(&test, plain(1, 1000, i), (int64_t)i);
        leat_log_partition_state(test.part, &state);
        CHECK(state.segments > 9);
        CHECK_INT(read_all(&test, 0, 100000).marks, 199 * 200 / 2);
        leat_log_test_close(&test);
        CHECK_OK(leat_log_test_open(&test, dir, NULL, 0, &err), &err);
        CHECK_INT(read_all(&test, 0, 5000).marks, 199 * 200 / 2);
        CHECK_INT(read_all(&test, 123, 5000).batches, 77);
        append_ok(&test, plain(1, 1000, 200), 200);
        leat_log_test_close(&test);
}

LEAT_TEST(log_read_range)
{
        struct leat_log_test test;
        struct leat_log_read read;
        struct leat_chain chain = LEAT_CHAIN_INIT;

        CHECK_OK(leat_log_test_open(&test, leat_test_tmpdir(), NULL, 0, &err), &err);
        append_ok(&test, plain(5, 10, 1), 0);
        CHECK_INT(leat_log_read(test.part, 6, 100, &chain, &read, &err), LEAT_ERANGE);
        CHECK_INT(read.high, 5);
        CHECK_INT(leat_log_read(test.part, -1, 100, &chain, &read, &err), LEAT_ERANGE);
        CHECK_INT(leat_log_read(test.part, 5, 100, &chain, &read, &err), 0);
        CHECK_INT(chain.len, 0);
        leat_log_test_close(&test);
}

LEAT_TEST(log_by_time)
{
        const struct leat_log_config configs[] = {{"segment.bytes", "9000"}};
        struct leat_log_test test;
        struct leat_log_read read;
        int64_t max;

        CHECK_OK(leat_log_test_open(&test, leat_test_tmpdir(), configs, 1, &err), &err);
        for (uint64_t i = 0; i < 100; i++) {
                struct leat_log_test_batch batch = plain(2, 700, i);

                batch.time_ms = 10 * (int64_t)(i ^ 1); /* a little out of order */
                append_ok(&test, batch, (int64_t)(2 * i));
        }
        for (int64_t t = 0; t <= 990; t += 5) {
                struct leat_chain chain = LEAT_CHAIN_INIT;
                int64_t mark = (t + 9) / 10;       /* the first batch with time >= t */
                int64_t want = mark & ~INT64_C(1); /* pairs are swapped: the even one of a pair holds the later time */

                CHECK_OK(leat_log_read_time(test.part, t, &chain, &read, &err), &err);
                CHECK_INT(leat_log_test_mark(chain.slices[0].view), want);
                leat_chain_done(&chain);
        }
        CHECK_INT(leat_log_read_time(test.part, 991, &(struct leat_chain){0}, &read, &err), LEAT_ENOTFOUND);
        CHECK_OK(leat_log_max_time(test.part, &max, &err), &err);
        CHECK_INT(max, 990);
        leat_log_test_close(&test);
}

LEAT_TEST(log_idempotent)
{
        const char *dir = leat_test_tmpdir();
        struct leat_log_appended appended;
        struct leat_log_test test;

        CHECK_OK(leat_log_test_open(&test, dir, NULL, 0, &err), &err);
        for (int32_t i = 0; i < 8; i++)
                append_ok(&test, sequenced(2, (uint64_t)i, 0, 2 * i), 2 * i);
        for (int round = 0; round < 2; round++) {
                for (int32_t i = 3; i < 8; i++) { /* the last five are known */
                        CHECK_OK(leat_log_test_append(test.part, sequenced(2, (uint64_t)i, 0, 2 * i), &appended, &err),
                                 &err);
                        CHECK(appended.duplicate);
                        CHECK_INT(appended.first_offset, 2 * i);
                }
                CHECK_INT(leat_log_test_append(test.part, sequenced(2, 9, 0, 18), &appended, &err), LEAT_ESEQUENCE);
                CHECK_INT(leat_log_test_append(test.part, sequenced(2, 9, 1, 4), &appended, &err), LEAT_ESEQUENCE);
                leat_log_test_close(&test);
                CHECK_OK(leat_log_test_open(&test, dir, NULL, 0, &err), &err);
        }
        append_ok(&test, sequenced(1, 9, 1, 0), 16);
        CHECK_INT(leat_log_test_append(test.part, sequenced(1, 9, 0, 16), &appended, &err), LEAT_EFENCED);
        leat_log_test_close(&test);
}

LEAT_TEST(log_sequence_wraps)
{
        struct leat_log_appended appended;
        struct leat_log_test test;

        CHECK_OK(leat_log_test_open(&test, leat_test_tmpdir(), NULL, 0, &err), &err);
        append_ok(&test, sequenced(4, 1, 0, INT32_MAX - 1), 0); /* MAX-1, MAX, 0, 1 */
        append_ok(&test, sequenced(1, 2, 0, 2), 4);
        CHECK_OK(leat_log_test_append(test.part, sequenced(4, 1, 0, INT32_MAX - 1), &appended, &err), &err);
        CHECK(appended.duplicate);
        leat_log_test_close(&test);
}

LEAT_TEST(log_topics)
{
        const struct leat_log_config configs[] = {{"retention.ms", "1000"}, {"cleanup.policy", "delete"}};
        const struct leat_log_config change[] = {{"retention.ms", NULL}, {"a", "b"}};
        const char *dir = leat_test_tmpdir();
        struct leat_log_topic *topic, **all;
        struct leat_log_partition *part;
        struct leat_log_appended appended;
        struct leat_log *log;
        uint8_t id[LEAT_LOG_ID_BYTES];
        char text[33];

        CHECK_OK(leat_log_open(dir, &log, &err), &err);
        CHECK_OK(leat_log_topic_create(log, "b", 2, configs, 2, &topic, &err), &err);
        memcpy(id, topic->id, sizeof(id));
        leat_log_topic_unref(topic);
        CHECK_OK(leat_log_topic_create(log, "a", 1, NULL, 0, NULL, &err), &err);
        CHECK_INT(leat_log_topic_create(log, "a", 1, NULL, 0, NULL, &err), LEAT_EEXISTS);
        CHECK_INT(leat_log_topic_create(log, "a/b", 1, NULL, 0, NULL, &err), LEAT_EINVAL);
        CHECK_INT(leat_log_topic_create(log, "..", 1, NULL, 0, NULL, &err), LEAT_EINVAL);
        CHECK_OK(leat_log_topic_grow(log, id, 3, &err), &err);
        CHECK_INT(leat_log_topic_grow(log, id, 3, &err), LEAT_EINVAL);
        CHECK_OK(leat_log_topic_set(log, id, change, 2, &err), &err);
        leat_log_close(log);

        CHECK_OK(leat_log_open(dir, &log, &err), &err);
        CHECK_INT(leat_log_topics(log, &all), 2);
        CHECK_STR(all[0]->name, "a");
        CHECK_INT(all[1]->partitions, 3);
        CHECK(!leat_log_topic_config(all[1], "retention.ms"));
        CHECK_STR(leat_log_topic_config(all[1], "a"), "b");
        leat_log_topic_unref(all[0]);
        leat_log_topic_unref(all[1]);
        free(all);
        part = leat_log_partition_find(log, id, 2);
        CHECK_OK(leat_log_test_append(part, plain(1, 1, 1), &appended, &err), &err);
        CHECK_OK(leat_log_topic_delete(log, id, &err), &err);
        CHECK_INT(leat_log_topic_delete(log, id, &err), LEAT_ENOTFOUND);
        CHECK_INT(leat_log_test_append(part, plain(1, 1, 1), &appended, &err), LEAT_ENOTFOUND);
        CHECK(!leat_log_topic_find_id(log, id));
        leat_log_partition_unref(part);
        leat_log_tidy(log, leat_os_now_us());
        leat_log_id_text(id, text);
        CHECK(!exists_free(leat_asprintf("%s/%s", dir, text)));
        leat_log_close(log);
}

LEAT_TEST(log_sync_in_two_steps)
{
        struct leat_log_test_wait waits[3];
        struct leat_log_appended appended;
        struct leat_log_state state;
        struct leat_log_test test;

        CHECK_OK(leat_log_test_open(&test, leat_test_tmpdir(), NULL, 0, &err), &err);
        for (uint64_t i = 0; i < 3; i++) {
                struct leat_buf bytes = LEAT_BUF_INIT;

                leat_log_test_batch(&bytes, plain(1, 10, i));
                CHECK_OK(leat_log_append(test.part, leat_buf_view(&bytes), &appended, &err), &err);
                leat_buf_done(&bytes);
                leat_log_test_wait_init(&waits[i]);
                leat_log_sync_join(test.part, &appended, &waits[i].waiter);
        }
        leat_os_sleep_us(5000);
        leat_log_partition_state(test.part, &state);
        CHECK_INT(state.high, 0); /* nobody has asked yet */
        leat_log_sync_begin(test.part);
        for (int i = 0; i < 3; i++)
                CHECK_OK(leat_log_test_wait(&waits[i], &err), &err);
        leat_log_partition_state(test.part, &state);
        CHECK_INT(state.high, 3);
        leat_log_sync_begin(test.part); /* nothing to do */
        leat_log_test_close(&test);
}

LEAT_TEST(log_retention)
{
        const struct leat_log_config configs[] = {{"segment.bytes", "10000"}, {"retention.bytes", "30000"}};
        const char *dir = leat_test_tmpdir();
        struct leat_log_state state;
        struct leat_log_test test;
        struct leat_log_read read;
        int64_t start;

        CHECK_OK(leat_log_test_open(&test, dir, configs, 2, &err), &err);
        for (uint64_t i = 0; i < 100; i++) {
                struct leat_log_test_batch batch = plain(1, 1000, i);

                batch.time_ms = leat_os_now_us() / 1000;
                append_ok(&test, batch, (int64_t)i);
        }
        leat_log_tidy(test.log, leat_os_now_us());
        leat_log_partition_state(test.part, &state);
        CHECK(state.bytes >= 30000 && state.bytes < 50000);
        CHECK(state.start > 40);
        CHECK_INT(read_all(&test, state.start, 3000).batches, 100 - state.start);
        CHECK_OK(leat_log_delete_records(test.part, 90, &start, &err), &err);
        CHECK_INT(start, 90);
        CHECK_INT(leat_log_read(test.part, 89, 1, &(struct leat_chain){0}, &read, &err), LEAT_ERANGE);
        leat_log_test_close(&test);
        CHECK_OK(leat_log_test_open(&test, dir, NULL, 0, &err), &err);
        leat_log_partition_state(test.part, &state);
        CHECK_INT(state.start, 90);
        CHECK_INT(read_all(&test, 90, 3000).batches, 10);
        leat_log_tidy(test.log, leat_os_now_us() + 8 * 86400 * INT64_C(1000000)); /* all is older than 7 days */
        append_ok(&test, plain(1, 1000, 5), 100);
        leat_log_tidy(test.log, leat_os_now_us() + 8 * 86400 * INT64_C(1000000));
        leat_log_partition_state(test.part, &state);
        CHECK_INT(state.start, 100);
        CHECK_OK(leat_log_delete_records(test.part, -1, &start, &err), &err);
        CHECK_INT(start, 101);
        append_ok(&test, plain(1, 1000, 5), 101);
        leat_log_test_close(&test);
        CHECK_OK(leat_log_test_open(&test, dir, NULL, 0, &err), &err);
        append_ok(&test, plain(1, 1000, 5), 102);
        CHECK_INT(read_all(&test, 101, 3000).batches, 2);
        leat_log_test_close(&test);
}

LEAT_TEST(log_producer_ids)
{
        const char *dir = leat_test_tmpdir();
        struct leat_log *log;
        int64_t first, last = -1;

        for (int round = 0; round < 3; round++) {
                CHECK_OK(leat_log_open(dir, &log, &err), &err);
                for (int i = 0; i < 700; i++) {
                        CHECK_OK(leat_log_producer_ids(log, 2, &first, &err), &err);
                        CHECK(first > last);
                        last = first + 1;
                }
                leat_log_close(log);
        }
}

/* ---- damage ------------------------------------------------------------------------- */

static void flip(const char *path, int64_t pos)
{
        uint8_t byte;
        int fd = open(path, O_RDWR);

        CHECK(fd >= 0);
        CHECK_INT(pread(fd, &byte, 1, pos), 1);
        byte ^= 0x40;
        CHECK_INT(pwrite(fd, &byte, 1, pos), 1);
        close(fd);
}

static char *segment_path(const struct leat_log_test *test, int64_t base)
{
        return leat_asprintf("%s/%020lld.log", test->part->dir, (long long)base);
}

static void count_report(void *arg, bool damage, const char *message)
{
        (void)message;
        (*(uint32_t *)arg) += damage;
}

static void add_marks(void *arg, const struct leat_log_batch *batch, int64_t mark)
{
        (void)batch;
        CHECK(mark >= 0);
        *(int64_t *)arg += mark;
}

LEAT_TEST(log_damage_is_reported_not_cut)
{
        const char *dir = leat_test_tmpdir();
        struct leat_log_verified verified;
        struct leat_log_test test;
        uint32_t reports = 0;
        char *path;

        CHECK_OK(leat_log_test_open(&test, dir, NULL, 0, &err), &err);
        for (uint64_t i = 0; i < 100; i++)
                append_ok(&test, plain(1, 931, i), (int64_t)i); /* 1000 bytes each */
        path = segment_path(&test, 0);
        leat_log_test_close(&test);
        CHECK_OK(leat_log_verify(dir, count_report, &reports, &verified, &err), &err);
        CHECK_INT(verified.bad, 0);
        CHECK_INT(verified.batches, 100);
        flip(path, 50500); /* body of batch 50 */
        flip(path, 70009); /* length of batch 70 */
        flip(path, 99003); /* offset of the last one */
        for (int round = 0; round < 2; round++) {
                struct leat_log_read read;
                struct leat_chain chain = LEAT_CHAIN_INIT;
                uint32_t damaged = 0;
                int64_t marks = 0;

                CHECK_OK(leat_log_test_open(&test, dir, NULL, 0, &err), &err);
                CHECK_INT(leat_log_read(test.part, 50, 1, &chain, &read, &err), LEAT_ECORRUPT);
                CHECK(strstr(err.message, path) && strstr(err.message, "offset 50"));
                CHECK_INT(read.next, 51);
                CHECK_OK(leat_log_test_read_all(test.part, 0, 5000, add_marks, &marks, &damaged, &err), &err);
                CHECK_INT(damaged, 3);
                CHECK_INT(marks, 99 * 50 - 50 - 70 - 99);
                for (int64_t i = 0; i < 99; i++) { /* each alone: what index entry it begins at does not matter */
                        bool bad = i == 50 || i == 70;

                        CHECK_INT(leat_log_read(test.part, i, 1, &chain, &read, &err), bad ? LEAT_ECORRUPT : 0);
                }
                leat_chain_done(&chain);
                append_ok(&test, plain(1, 931, 0), 100 + round); /* nothing was cut: offsets go on */
                leat_log_test_close(&test);
        }
        CHECK_OK(leat_log_verify(dir, count_report, &reports, &verified, &err), &err);
        CHECK_INT(reports, 3);
        free(path);
}

LEAT_TEST(log_tail_is_cut_at_first_bad_batch)
{
        const char *dir = leat_test_tmpdir();
        struct leat_log_test test;
        char *path, *synced;
        struct seen seen;

        CHECK_OK(leat_log_test_open(&test, dir, NULL, 0, &err), &err);
        for (uint64_t i = 0; i < 20; i++)
                append_ok(&test, plain(1, 931, i), (int64_t)i);
        path = segment_path(&test, 0);
        synced = leat_asprintf("%s/synced", test.part->dir);
        leat_log_test_close(&test);
        flip(path, 15500);
        CHECK_OK(leat_os_unlink(synced, &err), &err); /* as if nothing were known to be synced */
        CHECK_OK(leat_log_test_open(&test, dir, NULL, 0, &err), &err);
        seen = read_all(&test, 0, 1 << 20);
        CHECK_INT(seen.batches, 15);
        CHECK(exists_free(leat_asprintf("%s/cut", test.part->dir)));
        append_ok(&test, plain(1, 500, 15), 15);
        CHECK_INT(leat_log_last_epoch(test.part), 2);
        leat_log_test_close(&test);
        CHECK_OK(leat_log_test_open(&test, dir, NULL, 0, &err), &err);
        CHECK_INT(read_all(&test, 0, 1 << 20).batches, 16);
        leat_log_test_close(&test);
        free(path);
        free(synced);
}

LEAT_TEST(log_index_is_made_anew)
{
        const struct leat_log_config configs[] = {{"segment.bytes", "40000"}};
        const char *dir = leat_test_tmpdir();
        struct leat_log_test test;

        CHECK_OK(leat_log_test_open(&test, dir, configs, 1, &err), &err);
        for (uint64_t i = 0; i < 100; i++)
                append_ok(&test, plain(1, 931, i), (int64_t)i);
        for (int round = 0; round < 3; round++) {
                char *path = leat_asprintf("%s/%020d.index", test.part->dir, 0);

                leat_log_test_close(&test);
                if (round == 0)
                        flip(path, 30);
                else if (round == 1)
                        CHECK_INT(truncate(path, 35), 0);
                else
                        CHECK_INT(unlink(path), 0);
                CHECK_OK(leat_log_test_open(&test, dir, NULL, 0, &err), &err);
                for (int64_t i = 0; i < 100; i += 7)
                        CHECK_INT(read_all(&test, i, 1 << 20).batches, 100 - i);
                free(path);
        }
        leat_log_test_close(&test);
}
