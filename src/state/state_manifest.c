/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/state: manifests, the list of runs that are the state at a tick.
 *
 * Format    "LMAN" u32, version u32, tick i64, next file number u64, extra (u32
 *           length, bytes), u32 arrangements; for each its definition, the time up
 *           to which buckets are gone, u32 runs, and for each run file number,
 *           place, length, bucket, rows (u64 each); CRC32C u32 of all before.
 * Names     manifest-<tick, 20 digits>, replaced in one step. The newest one
 *           counts; a damaged one is an error and never passed over, because the
 *           tick topic no longer holds the ticks since the one before.
 */
#include <stdio.h>

#include "state_int.h"

#define MANIFEST_MAGIC 0x4e414d4cu /* "LMAN" */
#define RUN_BYTES 40u

void leat_manifest_path(const char *dir, int64_t tick, char *out, size_t bytes)
{
        snprintf(out, bytes, "%s/manifest-%020" PRId64, dir, tick);
}

void leat_manifest_encode(const struct leat_manifest *manifest, struct leat_buf *out)
{
        size_t start = out->len;
        leat_buf_le32(out, MANIFEST_MAGIC);
        leat_buf_le32(out, LEAT_MANIFEST_VERSION);
        leat_buf_le64(out, (uint64_t)manifest->tick);
        leat_buf_le64(out, manifest->next_seq);
        leat_buf_le32(out, (uint32_t)manifest->extra.len);
        leat_buf_add_view(out, manifest->extra);
        leat_buf_le32(out, manifest->arr_count);
        for (uint32_t i = 0; i < manifest->arr_count; i++) {
                const struct leat_manifest_arr *arr = &manifest->arrs[i];
                leat_arr_encode(arr->arr, out);
                leat_buf_le64(out, (uint64_t)arr->expired_us);
                leat_buf_le32(out, arr->run_count);
                for (uint32_t r = 0; r < arr->run_count; r++) {
                        leat_buf_le64(out, arr->runs[r].seq);
                        leat_buf_le64(out, arr->runs[r].offset);
                        leat_buf_le64(out, arr->runs[r].bytes);
                        leat_buf_le64(out, (uint64_t)arr->runs[r].bucket);
                        leat_buf_le64(out, arr->runs[r].rows);
                }
        }
        leat_buf_le32(out, leat_crc32c(0, out->data + start, out->len - start));
}

static int bad(struct leat_error *err, const char *file, size_t at, const char *what)
{
        leat_error_set(err, LEAT_ECORRUPT, "%s at byte %zu: %s", file, at, what);
        leat_error_hint(err, "restore the file from a copy, or drop and create the views of this pipeline again");
        return LEAT_ECORRUPT;
}

static void release_arr(void *arr)
{
        leat_arr_unref(arr);
}

static int decode_arr(struct leat_arena *arena, struct leat_cursor *cur, const char *file,
                      struct leat_manifest_arr *arr, struct leat_error *err)
{
        int rc = leat_arr_decode(arena, cur, &arr->arr, err);
        if (rc != 0) {
                leat_error_prefix(err, "%s at byte %zu", file, leat_cursor_pos(cur));
                return rc;
        }
        leat_arena_cleanup(arena, release_arr, arr->arr);
        arr->expired_us = (int64_t)leat_cursor_le64(cur);
        arr->run_count = leat_cursor_le32(cur);
        if (cur->failed || arr->run_count > leat_cursor_left(cur) / RUN_BYTES)
                return bad(err, file, leat_cursor_pos(cur), "more runs than bytes");
        arr->runs = leat_arena_alloc(arena, arr->run_count * sizeof *arr->runs);
        for (uint32_t r = 0; r < arr->run_count; r++) {
                struct leat_manifest_run *run = &arr->runs[r];
                run->seq = leat_cursor_le64(cur);
                run->offset = leat_cursor_le64(cur);
                run->bytes = leat_cursor_le64(cur);
                run->bucket = (int64_t)leat_cursor_le64(cur);
                run->rows = leat_cursor_le64(cur);
        }
        return 0;
}

int leat_manifest_decode(struct leat_arena *arena, struct leat_view bytes, const char *file,
                         struct leat_manifest *ret_manifest, struct leat_error *err)
{
        if (bytes.len < 36)
                return bad(err, file, bytes.len, "cut short");
        size_t body = bytes.len - 4;
        if (leat_get_le32(bytes.data + body) != leat_crc32c(0, bytes.data, body))
                return bad(err, file, body, "checksum does not fit");
        struct leat_cursor cur = leat_cursor_of(leat_view_of(bytes.data, body));
        struct leat_manifest m = {0};
        if (leat_cursor_le32(&cur) != MANIFEST_MAGIC)
                return bad(err, file, 0, "this is no manifest");
        uint32_t version = leat_cursor_le32(&cur);
        if (version != LEAT_MANIFEST_VERSION)
                return leat_error_set(err, LEAT_EUNSUPPORTED, "%s has version %u, this program reads version %u", file,
                                      version, LEAT_MANIFEST_VERSION);
        m.tick = (int64_t)leat_cursor_le64(&cur);
        m.next_seq = leat_cursor_le64(&cur);
        m.extra = leat_cursor_bytes(&cur, leat_cursor_le32(&cur));
        m.arr_count = leat_cursor_le32(&cur);
        if (cur.failed || m.arr_count > leat_cursor_left(&cur) / 16)
                return bad(err, file, leat_cursor_pos(&cur), "more arrangements than bytes");
        m.arrs = leat_arena_zalloc(arena, m.arr_count * sizeof *m.arrs);
        for (uint32_t i = 0; i < m.arr_count; i++) {
                LEAT_TRY(decode_arr(arena, &cur, file, &m.arrs[i], err));
                if (i != 0 && m.arrs[i - 1].arr->def.id >= m.arrs[i].arr->def.id)
                        return bad(err, file, leat_cursor_pos(&cur), "arrangements are not in order");
        }
        if (cur.failed || cur.at != cur.end)
                return bad(err, file, leat_cursor_pos(&cur), "it ends at another place than it should");
        *ret_manifest = m;
        return 0;
}

struct listing {
        int64_t *ticks;
};

static int list_entry(void *arg, const char *name, bool is_dir)
{
        struct listing *l = arg;
        int64_t tick;
        int end = 0;
        if (is_dir || sscanf(name, "manifest-%20" SCNd64 "%n", &tick, &end) != 1 || name[end] != '\0' || tick < 0)
                return 0;
        if (tick > l->ticks[0]) {
                l->ticks[1] = l->ticks[0];
                l->ticks[0] = tick;
        } else if (tick > l->ticks[1]) {
                l->ticks[1] = tick;
        }
        return 0;
}

int leat_manifest_list(const char *dir, int64_t ret_ticks[2], struct leat_error *err)
{
        struct listing l = {ret_ticks};
        ret_ticks[0] = ret_ticks[1] = -1;
        if (!leat_os_exists(dir))
                return 0;
        return leat_os_list(dir, list_entry, &l, err);
}
