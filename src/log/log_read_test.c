/* SPDX-License-Identifier: Apache-2.0 */
/* leat/log: reads that do not wait for the disk, and those that do while the log changes. */
#include <errno.h>
#include <unistd.h>

#include "leat/os_test.h"
#include "leat/test.h"
#include "log_test_int.h"

static struct leat_error err;

static void fill(struct leat_log_test *test, uint64_t from, uint64_t count)
{
        for (uint64_t i = from; i < from + count; i++) {
                struct leat_log_test_batch batch = {
                        .records = 1, .payload = 931, .mark = i, .time_ms = (int64_t)i, .producer_id = -1};
                struct leat_log_appended appended;

                CHECK_OK(leat_log_test_append(test->part, batch, &appended, &err), &err); /* 1,000 bytes */
                CHECK_INT(appended.first_offset, i);
        }
}

static void fault_cached(int os_errno, size_t short_bytes)
{
        leat_fault_install();
        leat_fault_add((struct leat_fault){.kind = LEAT_FAULT_PREAD_CACHED,
                                           .os_errno = os_errno,
                                           .short_bytes = short_bytes,
                                           .times = LEAT_FAULT_FOREVER});
}

static int read_cached(struct leat_log_test *test, int64_t offset, uint32_t max_bytes, int64_t *ret_next)
{
        struct leat_chain chain = LEAT_CHAIN_INIT;
        struct leat_log_read read;
        int rc = leat_log_read_cached(test->part, offset, max_bytes, &chain, &read, &err);

        CHECK(rc == 0 || chain.len == 0);
        if (rc == 0 && chain.len > 0)
                CHECK_INT(leat_log_test_mark(chain.slices[0].view), offset);
        *ret_next = read.next;
        leat_chain_done(&chain);
        return rc;
}

LEAT_TEST(read_cached_says_when_it_would_wait)
{
        struct leat_log_test test;
        int64_t next;
        uint64_t preads;

        CHECK_OK(leat_log_test_open(&test, leat_test_tmpdir(), NULL, 0, &err), &err);
        fill(&test, 0, 100);
        CHECK_OK(read_cached(&test, 7, 5000, &next), &err); /* just written */
        CHECK_INT(next, 12);
        fault_cached(EAGAIN, 0);
        CHECK_INT(read_cached(&test, 7, 5000, &next), LEAT_EBUSY);
        CHECK_OK(read_cached(&test, 100, 5000, &next), &err); /* the end needs no disk */
        CHECK_INT(read_cached(&test, 101, 5000, &next), LEAT_ERANGE);
        preads = leat_fault_calls(LEAT_FAULT_PREAD);
        leat_fault_remove();
        CHECK_INT(preads, 0);
        fault_cached(EIO, 0);
        CHECK_INT(read_cached(&test, 7, 5000, &next), LEAT_EIO);
        leat_fault_remove();
        fault_cached(EOPNOTSUPP, 0); /* the file system cannot tell: waits */
        CHECK_OK(read_cached(&test, 7, 5000, &next), &err);
        preads = leat_fault_calls(LEAT_FAULT_PREAD);
        leat_fault_remove();
        CHECK_INT(next, 12);
        CHECK(preads > 0);
        for (size_t piece = 1; piece < 6000; piece += 97) {
                int rc;

                fault_cached(0, piece);
                rc = read_cached(&test, 7, 5000, &next);
                leat_fault_remove();
                CHECK_INT(rc, piece < 1000 ? LEAT_EBUSY : 0);
                if (rc == 0)
                        CHECK(next > 7 && next <= 12);
        }
        leat_log_test_close(&test);
}

/* After a start no file is open and no index known: those are on the disk too. */
LEAT_TEST(read_cached_of_closed_segments)
{
        const struct leat_log_config configs[] = {{"segment.bytes", "20000"}};
        const char *dir = leat_test_tmpdir();
        struct leat_log_test test;
        int64_t next;

        CHECK_OK(leat_log_test_open(&test, dir, configs, 1, &err), &err);
        fill(&test, 0, 100);
        leat_log_test_close(&test);
        CHECK_OK(leat_log_test_open(&test, dir, NULL, 0, &err), &err);
        for (int64_t at = 0; at < 100; at += 20) {
                struct leat_chain chain = LEAT_CHAIN_INIT;
                struct leat_log_read read;

                if (at < 80) {
                        CHECK_INT(read_cached(&test, at + 13, 1000, &next), LEAT_EBUSY);
                        CHECK_OK(leat_log_read(test.part, at + 13, 1000, &chain, &read, &err), &err);
                        leat_chain_done(&chain);
                }
                CHECK_OK(read_cached(&test, at + 5, 1000, &next), &err); /* open now */
                CHECK_INT(next, at + 6);
        }
        leat_log_test_close(&test);
}

/* ---- while the log changes ------------------------------------------------------- */

enum { CHANGES = 300 };

struct race {
        struct leat_log_test test;
        _Atomic bool stop;
        _Atomic uint64_t reads;
};

static void *race_read(void *arg)
{
        struct race *race = arg;
        uint32_t turn = 0;

        while (!atomic_load(&race->stop)) {
                struct leat_chain chain = LEAT_CHAIN_INIT;
                struct leat_log_read read;
                struct leat_log_state state;
                struct leat_error error;
                int64_t offset;
                int rc;

                leat_log_partition_state(race->test.part, &state);
                offset = state.start + (int64_t)(++turn % 5);
                if (turn % 3 == 0)
                        rc = leat_log_read_time(race->test.part, offset, &chain, &read, &error);
                else if (turn % 3 == 1)
                        rc = leat_log_read(race->test.part, offset, 3000, &chain, &read, &error);
                else
                        rc = leat_log_read_cached(race->test.part, offset, 3000, &chain, &read, &error);
                if (rc == 0 && chain.len > 0 && turn % 3 != 0)
                        CHECK_INT(leat_log_test_mark(chain.slices[0].view), offset);
                else if (rc != 0 && rc != LEAT_ERANGE && !(rc == LEAT_EBUSY && turn % 3 == 2) &&
                         !(rc == LEAT_ENOTFOUND && turn % 3 == 0))
                        CHECK_OK(rc, &error);
                leat_chain_done(&chain);
                atomic_fetch_add(&race->reads, 1);
        }
        return NULL;
}

/* Segments come and go, indexes are damaged and made anew, files are closed because others are open. */
LEAT_TEST(read_while_segments_go)
{
        const struct leat_log_config configs[] = {{"segment.bytes", "5000"}};
        struct race race = {0};
        pthread_t threads[3];
        int64_t start;

        CHECK_OK(leat_param_set("log.open.files", "16", &err), &err);
        CHECK_OK(leat_log_test_open(&race.test, leat_test_tmpdir(), configs, 1, &err), &err);
        fill(&race.test, 0, 50);
        for (int i = 0; i < 3; i++)
                CHECK_INT(pthread_create(&threads[i], NULL, race_read, &race), 0);
        for (uint64_t i = 50; i < CHANGES; i++) {
                fill(&race.test, i, 1);
                if (i % 3 == 0)
                        CHECK_OK(leat_log_delete_records(race.test.part, (int64_t)i - 40, &start, &err), &err);
                if (i % 20 == 0) {
                        char *path = leat_asprintf("%s/%020lld.index", race.test.part->dir,
                                                   (long long)race.test.part->segs[2]->base);

                        CHECK_INT(truncate(path, 5), 0);
                        free(path);
                }
        }
        atomic_store(&race.stop, true);
        for (int i = 0; i < 3; i++)
                CHECK_INT(pthread_join(threads[i], NULL), 0);
        CHECK(atomic_load(&race.reads) > 100);
        leat_log_test_close(&race.test);
        CHECK_OK(leat_param_set("log.open.files", "400", &err), &err);
}
