/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/log: one segment: a file of batches, one behind the other.
 *
 * Format   nothing but record batches (log_batch.c); the name is the offset of
 *          the first. No header, no padding. What lies behind `bytes` does not
 *          belong to the log: after a failed sync a segment ends where the next
 *          one begins, whatever the file still holds.
 * Threads  batches below `bytes` never change, so walking needs no lock.
 * Memory   walking takes one buffer of 256 KiB, or of the size of one batch.
 */
#include "log_int.h"

struct leat_log_segment *leat_log_segment_new(struct leat_log_files *files, const char *dir, int64_t base)
{
        struct leat_log_segment *seg = leat_calloc(1, sizeof(*seg));

        seg->refs = 1;
        seg->files = files;
        seg->base = seg->end = base;
        seg->max_time_ms = -1;
        seg->entry_pos = -1;
        leat_log_file_init(&seg->log, leat_asprintf("%s/%020lld.log", dir, (long long)base));
        leat_log_file_init(&seg->index, leat_asprintf("%s/%020lld.index", dir, (long long)base));
        return seg;
}

struct leat_log_segment *leat_log_segment_ref(struct leat_log_segment *seg)
{
        atomic_fetch_add_explicit(&seg->refs, 1, memory_order_relaxed);
        return seg;
}

void leat_log_segment_unref(struct leat_log_segment *seg)
{
        if (!seg || atomic_fetch_sub_explicit(&seg->refs, 1, memory_order_acq_rel) != 1)
                return;
        if (seg->pinned)
                leat_log_file_put(seg->files, &seg->log);
        leat_log_file_done(seg->files, &seg->log);
        leat_log_file_done(seg->files, &seg->index);
        leat_buf_done(&seg->roll_snapshot);
        free(seg->pending);
        free(seg);
}

/* A window of the file. */
struct window {
        struct leat_log_segment *seg;
        int fd;
        uint8_t *data;
        size_t cap, len;
        int64_t pos;
        int64_t limit;
};

/* Makes @bytes at @pos readable; NULL with err->code 0 when the file has fewer. */
static const uint8_t *window_get(struct window *win, int64_t pos, size_t bytes, struct leat_error *err)
{
        size_t want;

        err->code = 0;
        if (pos >= win->pos && pos + (int64_t)bytes <= win->pos + (int64_t)win->len)
                return win->data + (pos - win->pos);
        if ((int64_t)bytes > win->limit - pos)
                return NULL;
        want = LEAT_MAX(bytes, (size_t)LEAT_MIN((int64_t)LEAT_LOG_SCAN_BYTES, win->limit - pos));
        if (want > win->cap) {
                free(win->data);
                win->data = leat_malloc(want);
                win->cap = want;
        }
        win->pos = pos;
        win->len = 0;
        if (leat_os_pread(win->fd, win->seg->log.path, win->data, want, pos, &win->len, err) != 0)
                return NULL;
        return win->len >= bytes ? win->data : NULL;
}

/* Reads and checks the batch at walk->pos. 0 with walk->bad set when it is none. */
static int walk_batch(struct window *win, struct leat_log_walk *walk, struct leat_log_batch *batch,
                      struct leat_error *err)
{
        const uint8_t *p = window_get(win, walk->pos, LEAT_LOG_BATCH_HEADER_BYTES, err);

        walk->bad = true;
        if (!p)
                return err->code;
        if (!leat_log_batch_parse(p, batch) || batch->epoch > walk->epoch_max || batch->bytes > walk->limit - walk->pos)
                return 0;
        if ((walk->offset >= 0 && batch->base != walk->offset) || leat_log_batch_end(batch) > walk->offset_limit)
                return 0;
        if (walk->check_crc) {
                p = window_get(win, walk->pos, batch->bytes, err);
                if (!p)
                        return err->code;
                if (!leat_log_batch_crc_ok(p, batch))
                        return 0;
        }
        walk->bad = false;
        return 0;
}

int leat_log_segment_walk(struct leat_log_segment *seg, struct leat_log_walk *walk, leat_log_walk_fn *fn, void *arg,
                          struct leat_error *err)
{
        struct leat_error local;
        struct window win = {.seg = seg, .limit = walk->limit};
        int rc;

        err = err ? err : &local;
        walk->bad = false;
        if (walk->pos >= walk->limit)
                return 0;
        LEAT_TRY(leat_log_file_get(seg->files, &seg->log, false, &win.fd, err));
        while (walk->pos < walk->limit && walk->offset < walk->offset_limit) {
                struct leat_log_batch batch;

                LEAT_TRY_GOTO(walk_batch(&win, walk, &batch, err));
                if (walk->bad)
                        break;
                LEAT_TRY_GOTO(fn(arg, &batch, walk->pos));
                walk->pos += batch.bytes;
                walk->offset = leat_log_batch_end(&batch);
        }
        rc = 0;
fail:
        free(win.data);
        leat_log_file_put(seg->files, &seg->log);
        return rc;
}

int leat_log_segment_resync(struct leat_log_segment *seg, int64_t pos, int64_t limit, int64_t low, int64_t high,
                            int64_t *ret_pos, struct leat_log_batch *ret_batch, struct leat_error *err)
{
        struct leat_error local;
        struct window win = {.seg = seg, .limit = limit}, body = {.seg = seg, .limit = limit};
        int rc = LEAT_ENOTFOUND;

        err = err ? err : &local;
        LEAT_TRY(leat_log_file_get(seg->files, &seg->log, false, &win.fd, err));
        body.fd = win.fd;
        for (; pos + LEAT_LOG_BATCH_HEADER_BYTES <= limit; pos++) {
                struct leat_log_batch batch;
                const uint8_t *p = window_get(&win, pos, LEAT_LOG_BATCH_HEADER_BYTES, err);

                if (!p) {
                        rc = err->code ? err->code : LEAT_ENOTFOUND;
                        break;
                }
                if (p[16] != 2 || !leat_log_batch_parse(p, &batch) || batch.base < low || batch.bytes > limit - pos ||
                    leat_log_batch_end(&batch) > high)
                        continue;
                p = window_get(&body, pos, batch.bytes, err);
                if (p && leat_log_batch_crc_ok(p, &batch)) {
                        *ret_pos = pos;
                        *ret_batch = batch;
                        rc = 0;
                        break;
                }
        }
        free(win.data);
        free(body.data);
        leat_log_file_put(seg->files, &seg->log);
        if (rc == LEAT_ENOTFOUND)
                return leat_error_set(err, LEAT_ENOTFOUND, "%s: no good batch behind the damage", seg->log.path);
        return rc;
}

int leat_log_segment_walk_around(struct leat_log_segment *seg, struct leat_log_walk *walk, leat_log_walk_fn *fn,
                                 void *arg, struct leat_error *err)
{
        for (;;) {
                struct leat_log_batch batch;
                int64_t pos;
                int rc;

                LEAT_TRY(leat_log_segment_walk(seg, walk, fn, arg, err));
                if (!walk->bad)
                        return 0;
                rc = leat_log_segment_resync(seg, walk->pos + 1, walk->limit, walk->offset, walk->offset_limit, &pos,
                                             &batch, NULL);
                if (rc == LEAT_ENOTFOUND)
                        return 0;
                if (rc != 0)
                        return leat_error_set(err, rc, "%s cannot be read", seg->log.path);
                walk->pos = pos;
                walk->offset = batch.base;
        }
}
