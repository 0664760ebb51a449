/* SPDX-License-Identifier: Apache-2.0 */
#include "leat/test.h"

#include <stdio.h>
#include <unistd.h>

#include "leat/base.h"

LEAT_TEST(param_table_is_sound)
{
        for (int i = 0; i < LEAT_PARAM_COUNT; i++) {
                const struct leat_param_info *info = leat_param_info((enum leat_param)i);
                if (info->value < info->min || info->value > info->max)
                        leat_test_fail(__FILE__, __LINE__, "default of %s is out of its range", info->name);
                for (int k = 0; k < i; k++)
                        if (strcmp(leat_param_info((enum leat_param)k)->name, info->name) == 0)
                                leat_test_fail(__FILE__, __LINE__, "%s is there twice", info->name);
                CHECK(strlen(info->help) > 10);
        }
}

LEAT_TEST(metric_table_is_sound)
{
        for (int i = 0; i < LEAT_METRIC_COUNT; i++) {
                const struct leat_metric_info *info = leat_metric_info((enum leat_metric)i);
                for (int k = 0; k < i; k++)
                        if (strcmp(leat_metric_info((enum leat_metric)k)->name, info->name) == 0)
                                leat_test_fail(__FILE__, __LINE__, "%s is there twice", info->name);
                CHECK(strncmp(info->name, "leat_", 5) == 0);
                CHECK(strlen(info->help) > 10);
        }
}

LEAT_TEST(param_set)
{
        struct leat_error err;
        struct leat_buf changed = LEAT_BUF_INIT;
        int64_t before = leat_param(LEAT_P_LOG_SEGMENT_BYTES);
        CHECK_INT(before, 256 << 20);
        CHECK_OK(leat_param_set("log.segment.bytes", "64 MiB", &err), &err);
        CHECK_INT(leat_param(LEAT_P_LOG_SEGMENT_BYTES), 64 << 20);
        leat_param_changed(&changed);
        CHECK_STR(leat_buf_cstr(&changed), "log.segment.bytes=64 MiB\n");
        CHECK_INT(leat_param_set("log.segment.bytes", "1", &err), LEAT_ERANGE);
        CHECK_STR(err.hint, "allowed is 1 MiB to 2147483647 bytes");
        CHECK_INT(leat_param_set("log.segment.bytes", "big", &err), LEAT_EINVAL);
        CHECK_OK(leat_param_set("log.sync.threads", "16", &err), &err);
        CHECK_INT(leat_param_set("log.sync.threads", "17", &err), LEAT_ERANGE);
        CHECK_INT(leat_param_set("log.sync.threads", "0", &err), LEAT_ERANGE);
        CHECK_OK(leat_param_set("log.sync.threads", "2", &err), &err);
        CHECK_INT(leat_param_set("log.sync.threads", "2.5", &err), LEAT_EINVAL);
        CHECK_INT(leat_param_set("log.sync.threads", "-1", &err), LEAT_ERANGE);
        CHECK_INT(leat_param_set("log.segmnt.bytes", "1", &err), LEAT_ENOTFOUND);
        CHECK(strstr(err.hint, "\"log.segment.bytes\"") != NULL);
        CHECK_INT(leat_param(LEAT_P_LOG_SEGMENT_BYTES), 64 << 20);
        CHECK_OK(leat_param_set("log.segment.bytes", "268435456", &err), &err);
        leat_buf_done(&changed);
}

static void check_text(enum leat_param_kind kind, int64_t value, const char *want)
{
        struct leat_buf buf = LEAT_BUF_INIT;
        leat_param_text(kind, value, &buf);
        CHECK_STR(leat_buf_cstr(&buf), want);
        leat_buf_done(&buf);
}

LEAT_TEST(param_text)
{
        check_text(LEAT_PARAM_BYTES, 64 << 20, "64 MiB");
        check_text(LEAT_PARAM_BYTES, 1500, "1500 bytes");
        check_text(LEAT_PARAM_BYTES, 0, "0 bytes");
        check_text(LEAT_PARAM_DURATION, INT64_C(604800000000), "7 days");
        check_text(LEAT_PARAM_DURATION, 90000000, "90 s");
        check_text(LEAT_PARAM_DURATION, 1, "1 us");
        check_text(LEAT_PARAM_BOOL, 1, "true");
        check_text(LEAT_PARAM_INT, -5, "-5");
}

LEAT_TEST(size_parse)
{
        static const struct {
                const char *text;
                int64_t bytes;
        } good[] = {{"64 MiB", 64 << 20}, {"1g", 1 << 30},          {"1048576", 1 << 20}, {"1.5 KiB", 1536}, {"0", 0},
                    {"2 kb", 2048},       {"1T", INT64_C(1) << 40}, {"7 bytes", 7},       {"7b", 7}};
        static const char *const bad[] = {"",          "x",  "-1",    "1 XB", "1 MiB x",  "99999999999999999999",
                                          "9999999 T", "1.", "0x100", "1 1",  "1megabyte"};
        int64_t bytes;
        for (size_t i = 0; i < LEAT_ARRAY_LEN(good); i++) {
                CHECK(leat_size_parse(leat_view_str(good[i].text), &bytes));
                CHECK_INT(bytes, good[i].bytes);
        }
        for (size_t i = 0; i < LEAT_ARRAY_LEN(bad); i++)
                if (leat_size_parse(leat_view_str(bad[i]), &bytes))
                        leat_test_fail(__FILE__, __LINE__, "\"%s\" was read", bad[i]);
}

struct seen {
        int count;
        uint64_t sum;
        char labels[LEAT_STATS_LABEL_BYTES];
};

static void see(void *arg, enum leat_metric metric, const char *labels, uint64_t value)
{
        struct seen *seen = arg;
        CHECK_INT(metric, LEAT_M_BROKER_PRODUCED_BYTES);
        seen->count++;
        seen->sum += value;
        snprintf(seen->labels, sizeof(seen->labels), "%s", labels);
}

LEAT_TEST(stats_file)
{
        struct leat_error err;
        struct leat_stats *stats;
        struct seen seen = {0};
        char path[512];
        int32_t pid;
        int64_t start_us;
        snprintf(path, sizeof(path), "%s/broker.stats", leat_test_tmpdir());
        CHECK_OK(leat_stats_open(path, 2, &stats, &err), &err);
        _Atomic uint64_t *a = leat_stats_slot(stats, LEAT_M_BROKER_PRODUCED_BYTES, "topic=\"a\"");
        _Atomic uint64_t *b = leat_stats_slot(stats, LEAT_M_BROKER_PRODUCED_BYTES, "topic=\"b\"");
        CHECK(a != b && leat_stats_slot(stats, LEAT_M_BROKER_PRODUCED_BYTES, "topic=\"a\"") == a);
        leat_stat_add(a, 5);
        leat_stat_add(a, 5);
        leat_stat_set(b, 100);
        _Atomic uint64_t *full = leat_stats_slot(stats, LEAT_M_BROKER_PRODUCED_BYTES, "topic=\"c\"");
        CHECK(full != NULL && full != a && full != b); /* counted nowhere, but counted in */
        leat_stat_add(full, 1000);
        CHECK_OK(leat_stats_read(path, see, &seen, &pid, &start_us, &err), &err);
        CHECK_INT(seen.count, 2);
        CHECK_INT(seen.sum, 110);
        CHECK_INT(pid, getpid());
        CHECK(start_us > INT64_C(1700000000000000));
        leat_stats_drop(stats, "topic=\"b\"");
        CHECK(leat_stats_slot(stats, LEAT_M_BROKER_PRODUCED_BYTES, "topic=\"c\"") == b);
        seen = (struct seen){0};
        CHECK_OK(leat_stats_read(path, see, &seen, NULL, NULL, &err), &err);
        CHECK_INT(seen.sum, 10); /* a slot begins at 0 */
        leat_stats_close(stats);
        leat_stats_close(NULL);
        CHECK_INT(leat_stats_open("/nonexistent/x", 8, &stats, &err), LEAT_ENOTFOUND);
        CHECK_INT(leat_stats_open(NULL, 0, &stats, &err), LEAT_ERANGE);
        CHECK_OK(leat_stats_open(NULL, 8, &stats, &err), &err);
        leat_stat_add(leat_stats_slot(stats, LEAT_M_BROKER_PRODUCED_BYTES, ""), 1);
        leat_stats_close(stats);
}

LEAT_TEST(stats_damaged_file)
{
        struct leat_error err;
        struct leat_stats *stats;
        struct seen seen = {0};
        char path[512];
        snprintf(path, sizeof(path), "%s/x.stats", leat_test_tmpdir());
        CHECK_OK(leat_stats_open(path, 4, &stats, &err), &err);
        leat_stats_close(stats);
        CHECK(truncate(path, 64 + 4 * 128 - 1) == 0);
        CHECK_INT(leat_stats_read(path, see, &seen, NULL, NULL, &err), LEAT_ECORRUPT);
        CHECK(truncate(path, 3) == 0);
        CHECK_INT(leat_stats_read(path, see, &seen, NULL, NULL, &err), LEAT_ECORRUPT);
        CHECK_INT(leat_stats_read("/nonexistent/x", see, &seen, NULL, NULL, &err), LEAT_ENOTFOUND);
}
