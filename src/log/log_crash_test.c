/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/log: crashes and failing calls, against a model.
 *
 * One idempotent producer sends marks 0, 1, 2, ... with up to five batches
 * under way, and sends again whatever was not acknowledged. So at any time, and
 * after any crash, the log must read 0, 1, 2, ... k without gap or repetition,
 * k at least the newest acknowledged one; a batch that was read stays.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "leat/os_test.h"
#include "leat/test.h"
#include "log_test_int.h"

struct model {
        char *dir;
        uint64_t random;
        int64_t next;  /* mark to be sent */
        int64_t acked; /* marks below were acknowledged */
        int64_t seen;  /* marks below were read */
        int64_t start; /* marks below were deleted */
        struct leat_log_test test;
        struct leat_log_config configs[1];
};

static uint64_t roll(struct model *model, uint64_t sides)
{
        model->random = leat_hash_mix(model->random, 0x5bd1e995);
        return (model->random >> 11) % sides;
}

static int model_open(struct model *model, struct leat_error *err)
{
        return leat_log_test_open(&model->test, model->dir, model->configs, 1, err);
}

/* ---- sending ------------------------------------------------------------------- */

#define UNDER_WAY 5

static int model_append(struct model *model, int64_t mark, struct leat_log_appended *ret, struct leat_error *err)
{
        struct leat_log_test_batch batch = {.records = 1,
                                            .mark = (uint64_t)mark,
                                            .time_ms = mark,
                                            .payload = (uint32_t)(mark * 7919 % 3000),
                                            .producer_id = 42,
                                            .sequence = (int32_t)mark};
        struct leat_buf bytes = LEAT_BUF_INIT;
        int rc;

        leat_log_test_batch(&bytes, batch);
        rc = leat_log_append(model->test.part, leat_buf_view(&bytes), ret, err);
        leat_buf_done(&bytes);
        return rc;
}

/* Sends up to five batches and waits for them. Returns the first error. */
static int model_send(struct model *model, uint32_t count, struct leat_error *err)
{
        struct leat_log_test_wait waits[UNDER_WAY];
        struct leat_log_appended appended[UNDER_WAY];
        struct leat_error local;
        uint32_t sent = 0;
        int rc = 0;

        for (; sent < count; sent++) {
                rc = model_append(model, model->next + sent, &appended[sent], err);
                if (rc != 0)
                        break;
        }
        for (uint32_t i = 0; i < sent; i++) {
                leat_log_test_wait_init(&waits[i]);
                leat_log_sync(model->test.part, &appended[i], &waits[i].waiter);
        }
        for (uint32_t i = 0; i < sent; i++) {
                int wait_rc = leat_log_test_wait(&waits[i], &local);

                if (wait_rc == 0 && model->acked == model->next + i)
                        model->acked++;
                /* A gap in the sequence follows from the failure of an earlier batch. */
                if (wait_rc != 0 && (rc == 0 || rc == LEAT_ESEQUENCE)) {
                        rc = wait_rc;
                        *err = local;
                }
        }
        model->next = model->acked;
        return rc;
}

/* ---- checking -------------------------------------------------------------------- */

struct check {
        int64_t next;
        bool first;
};

static void check_batch(void *arg, const struct leat_log_batch *batch, int64_t mark)
{
        struct check *check = arg;

        (void)batch;
        if (check->first)
                check->next = mark;
        check->first = false;
        CHECK_INT(mark, check->next);
        check->next++;
}

static void model_check(struct model *model)
{
        struct check check = {.first = true};
        struct leat_log_state state;
        struct leat_error err;

        leat_log_partition_state(model->test.part, &state);
        CHECK_OK(leat_log_test_read_all(model->test.part, state.start, 20000, check_batch, &check, NULL, &err), &err);
        if (check.first) {
                CHECK_INT(state.start, state.high);
                check.next = state.start;
        }
        CHECK(check.next >= state.high && check.next <= state.end); /* one record a batch: mark = offset */
        CHECK(check.next >= model->acked);
        CHECK(check.next >= model->seen);
        CHECK(state.start <= state.high); /* retention may take what is durable, acknowledged or not */
        CHECK(state.start >= model->start);
        model->seen = check.next;
}

/* ---- random crashes ------------------------------------------------------------------ */

static int model_step(struct model *model, struct leat_error *err)
{
        struct leat_log_appended appended;
        int64_t start;
        int rc = 0;

        switch (roll(model, 24)) {
        case 0:
                leat_log_tidy(model->test.log, leat_os_now_us());
                break;
        case 1:
                model_check(model);
                break;
        case 2:
                if (model->acked > model->start && roll(model, 3) == 0) {
                        int64_t to = model->start + (int64_t)roll(model, (uint64_t)(model->acked - model->start));

                        rc = leat_log_delete_records(model->test.part, to, &start, err);
                        if (rc == 0)
                                model->start = LEAT_MAX(model->start, to);
                }
                break;
        case 3: /* appended, never waited for: may be lost; is sent again, as the producer got no answer */
                rc = model_append(model, model->next, &appended, err);
                if (rc == 0 && roll(model, 2))
                        leat_log_sync(model->test.part, &appended, NULL);
                break;
        default:
                rc = model_send(model, 1 + (uint32_t)roll(model, UNDER_WAY), err);
        }
        return rc;
}

/* A disk whose fsync (small files and folders) takes its time, so that much happens meanwhile. */
static int (*quick_fsync)(int fd);

static int slow_fsync(int fd)
{
        if (leat_os_now_us() % 8 == 0)
                usleep(10000);
        return quick_fsync(fd);
}

/* Lives of the log, each ended by calls that fail from some point on (as if the
 * process had died there), with or without a loss of power. */
static void crash_run(uint64_t seed)
{
        struct model model = {.random = seed * 2654435761u + 1};
        char segment[24];
        struct leat_simdisk *disk;
        struct leat_error err = {0};
        char *root = leat_asprintf("%s/%llu", leat_test_tmpdir(), (unsigned long long)seed);

        CHECK_OK(leat_os_mkdirs(root, &err), &err);
        model.dir = leat_asprintf("%s/log", root);
        snprintf(segment, sizeof(segment), "%d", 2000 + (int)roll(&model, 60000));
        model.configs[0] = (struct leat_log_config){"segment.bytes", segment};
        disk = leat_simdisk_new(root);
        quick_fsync = leat_os.fsync;
        if (roll(&model, 4) == 0)
                leat_os.fsync = slow_fsync;
        for (int life = 0; life < 6; life++) {
                bool power = roll(&model, 3) != 0, opened;
                int rc = 0;

                leat_fault_install();
                leat_fault_add((struct leat_fault){.kind = LEAT_FAULT_WRITES,
                                                   .nth = 1 + roll(&model, 400),
                                                   .times = LEAT_FAULT_FOREVER,
                                                   .os_errno = EIO,
                                                   .short_bytes = roll(&model, 2) ? roll(&model, 2000) : 0});
                opened = model_open(&model, &err) == 0;
                if (opened && !model.test.part->broken.code)
                        model_check(&model);
                for (int step = 0; opened && step < 60 && rc == 0 && !model.test.part->broken.code; step++)
                        rc = model_step(&model, &err);
                if (opened)
                        leat_log_test_close(&model.test);
                leat_fault_remove();
                if (power)
                        leat_simdisk_power_loss(disk, roll(&model, 1 << 30));
                CHECK_OK(model_open(&model, &err), &err);
                CHECK_INT(model.test.part->broken.code, 0);
                model_check(&model);
                for (int i = 0; i < 3; i++)
                        CHECK_OK(model_send(&model, UNDER_WAY, &err), &err);
                model_check(&model);
                leat_log_test_close(&model.test);
        }
        leat_simdisk_free(disk);
        CHECK_OK(leat_os_remove_tree(root, &err), &err);
        free(model.dir);
        free(root);
}

LEAT_TEST(log_crash_model)
{
        int rounds = 30 * leat_test_scale();

        leat_diag_init("test", LEAT_DIAG_ERROR + 1);
        for (int i = 0; i < rounds; i++)
                crash_run(leat_test_seed() + (uint64_t)i);
        leat_diag_init("test", LEAT_DIAG_INFO);
}

/* ---- each call fails once --------------------------------------------------------------- */

static const struct {
        int os_errno;
        size_t short_bytes;
        enum leat_fault_kind kind;
} failures[] = {
        {EIO, 0, LEAT_FAULT_WRITES},      {EIO, 700, LEAT_FAULT_PWRITE}, {ENOSPC, 0, LEAT_FAULT_WRITES},
        {ENOSPC, 700, LEAT_FAULT_PWRITE}, {EINTR, 0, LEAT_FAULT_PWRITE}, {EINTR, 0, LEAT_FAULT_SYNCS},
        {EINTR, 0, LEAT_FAULT_OPEN},      {0, 700, LEAT_FAULT_PWRITE},
};

/* A whole life in which the @n-th call that changes the disk fails once. */
static bool fault_run(const char *root, size_t failure, uint64_t n)
{
        struct model model = {.random = n + 1, .configs = {{"segment.bytes", "12000"}}};
        struct leat_error err = {0};
        bool fired, harmless = failures[failure].os_errno == EINTR || failures[failure].os_errno == 0;
        int failed = 0;

        model.dir = leat_asprintf("%s/%zu-%llu", root, failure, (unsigned long long)n);
        leat_fault_install();
        leat_fault_add((struct leat_fault){.kind = failures[failure].kind,
                                           .nth = n,
                                           .os_errno = failures[failure].os_errno,
                                           .short_bytes = failures[failure].short_bytes});
        for (int life = 0; life < 2; life++) {
                if (model_open(&model, &err) != 0) {
                        CHECK(!harmless);
                        CHECK_OK(model_open(&model, &err), &err); /* the second try is well */
                }
                CHECK_INT(model.test.part->broken.code, 0); /* a partition is tried again at once */
                for (int i = 0; i < 12; i++) {
                        int rc = model_send(&model, 4, &err);

                        if (rc != 0) {
                                CHECK(!harmless);
                                CHECK(err.retriable);
                                CHECK_INT(rc, failures[failure].os_errno == ENOSPC ? LEAT_EFULL : LEAT_EIO);
                                failed++;
                                model_check(&model); /* reads go on */
                        }
                        if (i == 6)
                                leat_log_tidy(model.test.log, leat_os_now_us());
                }
                CHECK(failed <= 1); /* one failing call: one failing request, then all is well */
                model_check(&model);
                leat_log_test_close(&model.test);
        }
        fired = leat_fault_fired() > 0;
        leat_fault_remove();
        CHECK_OK(model_open(&model, &err), &err);
        CHECK_INT(model.test.part->broken.code, 0);
        model_check(&model);
        CHECK_OK(model_send(&model, 1, &err), &err);
        leat_log_test_close(&model.test);
        CHECK_OK(leat_os_remove_tree(model.dir, &err), &err);
        free(model.dir);
        return fired;
}

static int no_sync(int fd)
{
        (void)fd;
        return 0;
}

LEAT_TEST(log_each_call_fails_once)
{
        uint64_t stride = leat_test_scale() > 1 ? 1 : 3;

        leat_diag_init("test", LEAT_DIAG_ERROR + 1);
        leat_os.fdatasync = leat_os.fsync = no_sync; /* nothing here loses power: save the time */
        for (size_t failure = 0; failure < LEAT_ARRAY_LEN(failures); failure++) {
                for (uint64_t n = 1 + failure % stride; fault_run(leat_test_tmpdir(), failure, n); n += stride)
                        ;
        }
        leat_os = leat_os_system;
        leat_diag_init("test", LEAT_DIAG_INFO);
}

/* ---- retention and what is remembered ------------------------------------------------------ */

static int64_t far_future_us(void)
{
        return leat_os_now_us() + 8 * 86400 * INT64_C(1000000); /* everything is older than retention.ms */
}

/* Tidies until one segment is left; false when that does not happen within ten seconds. */
static bool tidied(struct model *model)
{
        struct leat_log_state state;

        for (int i = 0; i < 1000; i++) {
                leat_log_tidy(model->test.log, far_future_us());
                leat_log_partition_state(model->test.part, &state);
                if (state.segments == 1)
                        return true;
                usleep(10000);
        }
        return false;
}

/* A segment may only go when what its batches say of producers is on disk elsewhere. */
LEAT_TEST(log_segments_outlive_unsaved_producers)
{
        struct model model = {.configs = {{"segment.bytes", "1000000"}}};
        struct leat_log_appended appended;
        struct leat_log_state state;
        struct leat_simdisk *disk;
        struct leat_error err = {0};
        char *root = leat_asprintf("%s/disk", leat_test_tmpdir());

        leat_diag_init("test", LEAT_DIAG_ERROR + 1);
        CHECK_OK(leat_os_mkdirs(root, &err), &err);
        disk = leat_simdisk_new(root);
        model.dir = leat_asprintf("%s/log", root);
        CHECK_OK(model_open(&model, &err), &err);
        CHECK_OK(model_send(&model, 3, &err), &err);
        CHECK(tidied(&model)); /* what is remembered of marks 0 to 2 is durable, and they are gone */
        leat_fault_install();
        leat_fault_add((struct leat_fault){
                .kind = LEAT_FAULT_RENAME, .path = "/producers", .times = LEAT_FAULT_FOREVER, .os_errno = EIO});
        CHECK_OK(model_send(&model, 5, &err), &err);
        for (int i = 0; i < 30; i++) {
                leat_log_tidy(model.test.log, far_future_us());
                usleep(1000);
        }
        leat_log_partition_state(model.test.part, &state);
        CHECK_INT(state.start, 8);
        CHECK_INT(state.segments, 2);
        leat_log_test_close(&model.test);
        leat_fault_remove();
        leat_simdisk_power_loss(disk, 0);
        CHECK_OK(model_open(&model, &err), &err);
        CHECK_OK(model_append(&model, 7, &appended, &err), &err);
        CHECK(appended.duplicate);
        CHECK_OK(model_send(&model, 3, &err), &err);
        CHECK(tidied(&model)); /* now that it can be written, they go */
        CHECK_OK(model_send(&model, 3, &err), &err);
        leat_log_test_close(&model.test);
        leat_simdisk_free(disk);
        leat_diag_init("test", LEAT_DIAG_INFO);
        free(model.dir);
        free(root);
}

/* ---- failed syncs -------------------------------------------------------------------------- */

static void sync_failure(int os_errno, int times)
{
        const struct leat_log_config configs[] = {{"segment.bytes", "1000000"}};
        struct model model = {.configs = {configs[0]}};
        struct leat_simdisk *disk;
        struct leat_error err = {0};
        char *root = leat_asprintf("%s/%d-%d", leat_test_tmpdir(), os_errno, times);

        CHECK_OK(leat_os_mkdirs(root, &err), &err);
        disk = leat_simdisk_new(root);
        model.dir = leat_asprintf("%s/log", root);
        CHECK_OK(model_open(&model, &err), &err);
        CHECK_OK(model_send(&model, 4, &err), &err);
        for (int i = 0; i < times; i++) {
                struct leat_log_state state;

                leat_simdisk_fail_sync(disk, ".log", os_errno);
                CHECK_INT(model_send(&model, 4, &err), os_errno == ENOSPC ? LEAT_EFULL : LEAT_EIO);
                CHECK(err.retriable);
                leat_log_partition_state(model.test.part, &state);
                CHECK_INT(state.end, 4 * (i + 1));
                model_check(&model);
                if (i == 1 && os_errno == EIO) {
                        CHECK(state.read_only);
                        CHECK_INT(model_send(&model, 4, &err), LEAT_EIO);
                        CHECK(err.fatal);
                        model_check(&model);
                        break;
                }
                CHECK_OK(model_send(&model, 4, &err), &err);
                model_check(&model);
        }
        leat_log_test_close(&model.test);
        leat_simdisk_power_loss(disk, 1);
        CHECK_OK(model_open(&model, &err), &err);
        model_check(&model);
        CHECK_OK(model_send(&model, 4, &err), &err);
        model_check(&model);
        leat_log_test_close(&model.test);
        leat_simdisk_free(disk);
        free(model.dir);
        free(root);
}

LEAT_TEST(log_failed_sync_seals_then_stops)
{
        leat_diag_init("test", LEAT_DIAG_ERROR + 1);
        sync_failure(EIO, 1);
        sync_failure(EIO, 2);
        sync_failure(ENOSPC, 3);
        leat_diag_init("test", LEAT_DIAG_INFO);
}
