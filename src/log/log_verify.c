/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/log: verify: reads every byte below DATA/log and checks every checksum.
 *
 * A broker may be writing meanwhile. So batches are only required up to the
 * checkpoint as it was when the partition's turn came, and a file that has
 * gone is no error: retention took it.
 */
#include <stdio.h>
#include <sys/stat.h>

#include "log_int.h"

struct verify {
        struct leat_log_files files;
        leat_log_report_fn *report;
        void *arg;
        struct leat_log_verified sum;
};

/* @damage is false for a file that holds no truth and is not synced: a loss of power may tear it. */
__attribute__((format(printf, 3, 4))) static void verify_report(struct verify *ver, bool damage, const char *fmt, ...)
{
        char text[1024];
        va_list args;

        va_start(args, fmt);
        vsnprintf(text, sizeof(text), fmt, args);
        va_end(args);
        if (damage)
                ver->sum.bad++;
        else
                ver->sum.stale++;
        if (ver->report)
                ver->report(ver->arg, damage, text);
}

#define verify_bad(ver, ...) verify_report(ver, true, __VA_ARGS__)

static int verify_batch(void *arg, const struct leat_log_batch *batch, int64_t pos)
{
        struct verify *ver = arg;

        (void)pos;
        ver->sum.batches++;
        ver->sum.bytes += batch->bytes;
        return 0;
}

/* Batches of one segment up to @must (bytes; INT64_MAX: all) and @offset_limit. */
static void verify_segment(struct verify *ver, struct leat_log_segment *seg, int64_t must)
{
        struct leat_log_walk walk = {.offset = seg->base,
                                     .limit = seg->bytes,
                                     .offset_limit = seg->end,
                                     .epoch_max = INT32_MAX,
                                     .check_crc = true};
        struct leat_log_batch batch;
        struct leat_error err;

        for (;;) {
                int64_t bad_pos, bad_offset;
                int rc = leat_log_segment_walk(seg, &walk, verify_batch, ver, &err);

                if (rc == LEAT_ENOTFOUND)
                        return;
                if (rc != 0) {
                        verify_bad(ver, "%s: %s", seg->log.path, err.message);
                        return;
                }
                if (!walk.bad && (walk.offset >= seg->end || walk.pos >= must || must == INT64_MAX))
                        break;
                if (walk.pos >= must)
                        return; /* being written */
                bad_pos = walk.pos;
                bad_offset = walk.offset;
                rc = leat_log_segment_resync(seg, bad_pos + 1, seg->bytes, bad_offset, seg->end, &walk.pos, &batch,
                                             &err);
                verify_bad(ver, "%s: no good batch at byte %lld (offset %lld); the next good one is at %s%lld",
                           seg->log.path, (long long)bad_pos, (long long)bad_offset, rc == 0 ? "offset " : "the end, ",
                           (long long)(rc == 0 ? batch.base : seg->end));
                if (rc != 0)
                        return;
                walk.offset = batch.base;
        }
        if (walk.offset < seg->end && seg->end != INT64_MAX)
                verify_bad(ver, "%s: ends at offset %lld, the next segment begins at %lld", seg->log.path,
                           (long long)walk.offset, (long long)seg->end);
}

static void verify_index(struct verify *ver, struct leat_log_segment *seg)
{
        struct leat_log_entry entry;
        struct leat_error err;
        struct stat st;
        uint32_t count;

        if (leat_os.stat(seg->index.path, &st) != 0)
                return; /* is made anew when it is needed */
        ver->sum.files++;
        count = (uint32_t)(st.st_size / LEAT_LOG_ENTRY_BYTES);
        for (uint32_t i = 1; i <= count; i++) {
                /* Looking for the last of the first i entries reads entry i-1. */
                if (leat_log_index_find(seg, false, i, UINT32_MAX, &entry, &err) == LEAT_ECORRUPT) {
                        verify_report(ver, false, "%s (it is made anew when it is read)", err.message);
                        return;
                }
        }
}

struct bases {
        int64_t *list;
        uint32_t count;
};

static int bases_add(void *arg, const char *name, bool is_dir)
{
        struct bases *bases = arg;

        if (is_dir || strlen(name) != 24 || strcmp(name + 20, ".log") != 0)
                return 0;
        bases->list = leat_realloc(bases->list, (bases->count + 1) * sizeof(*bases->list));
        bases->list[bases->count++] = strtoll(name, NULL, 10);
        return 0;
}

static int base_order(const void *a, const void *b)
{
        int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

        return x < y ? -1 : x > y;
}

/* Small files of a partition: each must parse when it is there. */
static void verify_small(struct verify *ver, const char *dir, bool is_active)
{
        static const char *const names[] = {"producers", "producers.roll"};
        struct leat_error err;
        uint64_t start;
        char *path;

        (void)is_active;
        for (size_t i = 0; i < LEAT_ARRAY_LEN(names); i++) {
                struct leat_log_memory mem = {0};
                struct leat_buf file = LEAT_BUF_INIT;
                int64_t offset;

                path = leat_asprintf("%s/%s", dir, names[i]);
                if (leat_os_read_file(path, 64 << 20, &file, &err) == 0) {
                        ver->sum.files++;
                        ver->sum.bytes += file.len;
                        if (leat_log_memory_parse(leat_buf_view(&file), &mem, &offset, &err) != 0)
                                verify_report(ver, i > 0, "%s: %s (it is rebuilt from the log)", path, err.message);
                        leat_log_memory_done(&mem);
                }
                leat_buf_done(&file);
                free(path);
        }
        path = leat_asprintf("%s/start", dir);
        if (leat_log_number_read(path, &start, &err) == LEAT_ECORRUPT)
                verify_bad(ver, "%s", err.message);
        free(path);
}

static void verify_partition(struct verify *ver, const char *dir)
{
        struct leat_log_checkpoint ck = {0};
        struct leat_buf file = LEAT_BUF_INIT;
        struct bases bases = {0};
        char *path = leat_asprintf("%s/synced", dir);
        struct leat_error err;
        bool known = false;

        if (leat_os_read_file(path, 4096, &file, &err) == 0) {
                ver->sum.files++;
                known = leat_log_checkpoint_parse(leat_buf_view(&file), &ck);
                if (!known)
                        verify_bad(ver, "%s is damaged", path);
        }
        leat_buf_done(&file);
        free(path);
        verify_small(ver, dir, known);
        if (leat_os_list(dir, bases_add, &bases, &err) != 0)
                verify_bad(ver, "%s: %s", dir, err.message);
        if (bases.count > 1)
                qsort(bases.list, bases.count, sizeof(*bases.list), base_order);
        for (uint32_t i = 0; i < bases.count; i++) {
                struct leat_log_segment *seg = leat_log_segment_new(&ver->files, dir, bases.list[i]);
                struct stat st;

                seg->sealed = i + 1 < bases.count;
                seg->end = seg->sealed ? bases.list[i + 1] : INT64_MAX;
                if (leat_os.stat(seg->log.path, &st) == 0) {
                        bool tail = !known || seg->base > ck.segment;

                        ver->sum.files++;
                        seg->bytes = st.st_size;
                        if (known && seg->base == ck.segment && ck.pos > seg->bytes)
                                verify_bad(ver, "%s has %lld bytes, %lld were synced", seg->log.path,
                                           (long long)seg->bytes, (long long)ck.pos);
                        verify_segment(ver, seg, tail ? 0 : seg->base == ck.segment ? ck.pos : INT64_MAX);
                        verify_index(ver, seg);
                }
                leat_log_segment_unref(seg);
        }
        free(bases.list);
}

int leat_log_verify(const char *dir, leat_log_report_fn *report, void *arg, struct leat_log_verified *ret_verified,
                    struct leat_error *err)
{
        struct verify ver = {.report = report, .arg = arg};
        struct leat_log_topics_file topics = {0};
        struct leat_buf file = LEAT_BUF_INIT;
        char *path = leat_asprintf("%s/topics", dir);
        int rc = leat_os_read_file(path, 256u << 20, &file, err);

        leat_log_files_init(&ver.files, 64);
        if (rc == 0) {
                ver.sum.files++;
                ver.sum.bytes += file.len;
                if (leat_log_topics_parse(leat_buf_view(&file), &topics, err) != 0)
                        verify_bad(&ver, "%s: the list of topics is damaged", path);
        }
        for (uint32_t i = 0; i < topics.count; i++) {
                for (uint32_t p = 0; p < topics.topics[i]->partitions; p++) {
                        char id[2 * LEAT_LOG_ID_BYTES + 1];
                        char *part;

                        leat_log_id_text(topics.topics[i]->id, id);
                        part = leat_asprintf("%s/%s/%u", dir, id, p);
                        verify_partition(&ver, part);
                        free(part);
                }
        }
        leat_log_topics_file_done(&topics);
        leat_log_files_done(&ver.files);
        leat_buf_done(&file);
        free(path);
        if (rc == 0)
                *ret_verified = ver.sum;
        return rc;
}
