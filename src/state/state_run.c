/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/state: runs, immutable sorted rows in memory or in a mapped file.
 *
 * Design    A run is a directory and blocks. The directory: for each prefix of
 *           the hash the first key (`starts`), the hashes of the keys in order,
 *           for arrangements with several rows a key the first row of each, a
 *           Bloom filter of one word a key that tells most absent keys at the
 *           cost of one read, and the places of the blocks. Finding a key is
 *           `starts`, a short step over `hashes`, the key in the block.
 * Checks    A run that this process wrote is trusted. One that was opened is
 *           checked where it is read, once: directory by pages of 64 KiB, rows by
 *           blocks, with a bit for each; so opening costs milliseconds whatever
 *           the size, and no byte is used that was not checked.
 * Threads   Immutable but for the bits; any number of readers.
 * Failure   A file that is cut while it is mapped ends the process (SIGBUS); the
 *           length is compared with the manifest when it is opened.
 */
#include <fcntl.h>
#include <stdio.h>

#include "state_int.h"

/* ---- packs ---------------------------------------------------------------------- */

void leat_pack_path(const char *dir, uint64_t seq, char *out, size_t bytes)
{
        snprintf(out, bytes, "%s/run-%020" PRIu64, dir, seq);
}

struct leat_pack *leat_pack_ref(struct leat_pack *pack)
{
        atomic_fetch_add_explicit(&pack->refs, 1, memory_order_relaxed);
        return pack;
}

void leat_pack_unref(struct leat_pack *pack)
{
        if (pack == NULL || atomic_fetch_sub_explicit(&pack->refs, 1, memory_order_acq_rel) != 1)
                return;
        if (pack->map != NULL)
                leat_os_unmap(pack->map, pack->bytes);
        free(pack->path);
        free(pack);
}

int leat_pack_open(const char *dir, uint64_t seq, struct leat_pack **ret_pack, struct leat_error *err)
{
        char path[4096];
        leat_pack_path(dir, seq, path, sizeof path);
        int fd, rc;
        LEAT_TRY(leat_os_open(path, O_RDONLY, &fd, err));
        int64_t bytes = 0;
        struct leat_pack *pack = leat_calloc(1, sizeof *pack);
        atomic_init(&pack->refs, 1);
        pack->seq = seq;
        pack->path = leat_strdup(path);
        rc = leat_os_size(fd, path, &bytes, err);
        if (rc == 0 && bytes == 0)
                rc = leat_error_set(err, LEAT_ECORRUPT, "%s is empty", path);
        if (rc == 0)
                rc = leat_os_map(fd, path, (size_t)bytes, &pack->map, err);
        leat_os_close(fd);
        if (rc != 0) {
                pack->map = NULL;
                leat_pack_unref(pack);
                return rc;
        }
        pack->bytes = (size_t)bytes;
        *ret_pack = pack;
        return 0;
}

/* ---- life of a run ----------------------------------------------------------------- */

struct leat_run *leat_run_ref(struct leat_run *run)
{
        atomic_fetch_add_explicit(&run->refs, 1, memory_order_relaxed);
        return run;
}

void leat_run_unref(struct leat_run *run)
{
        if (run == NULL || atomic_fetch_sub_explicit(&run->refs, 1, memory_order_acq_rel) != 1)
                return;
        for (int r = 0; r < LEAT_R_COUNT; r++)
                leat_buf_done(&run->owned[r]);
        leat_pack_unref(run->pack);
        leat_arr_unref(run->arr);
        free(run->page_crc);
        free((void *)run->page_seen);
        free((void *)run->block_seen);
        free(run);
}

static const void *region_at(const struct leat_run *run, enum leat_region r)
{
        return run->pack->map + run->pack_offset + run->region_offset[r];
}

void leat_run_attach(struct leat_run *run, struct leat_pack *pack)
{
        run->pack = leat_pack_ref(pack);
        run->hashes = region_at(run, LEAT_R_HASH);
        run->rows = run->region_bytes[LEAT_R_ROW] == 0 ? NULL : region_at(run, LEAT_R_ROW);
        run->starts = region_at(run, LEAT_R_START);
        run->bloom = region_at(run, LEAT_R_BLOOM);
        run->bloom_words = run->region_bytes[LEAT_R_BLOOM] / 8;
        run->table = region_at(run, LEAT_R_TABLE);
        run->blocks = region_at(run, LEAT_R_BLOCK);
        run->block_count = (uint32_t)(run->region_bytes[LEAT_R_TABLE] / sizeof(struct leat_block_place));
}

int leat_run_open(struct leat_pack *pack, uint64_t offset, uint64_t bytes, struct leat_arr *arr,
                  struct leat_run **ret_run, struct leat_error *err)
{
        if (offset > pack->bytes || bytes > pack->bytes - offset || (offset & 15) != 0)
                return leat_error_set(err, LEAT_ECORRUPT, "%s is cut short: a run ends at byte %" PRIu64 " of %zu",
                                      pack->path, offset + bytes, pack->bytes);
        struct leat_run *run = leat_calloc(1, sizeof *run);
        atomic_init(&run->refs, 1);
        run->pack_offset = offset;
        run->pack_bytes = run->bytes = bytes;
        int rc = leat_footer_decode(leat_view_of(pack->map + offset, bytes), arr, run, err);
        if (rc != 0) {
                leat_error_prefix(err, "%s at byte %" PRIu64, pack->path, offset);
                leat_run_unref(run);
                return rc;
        }
        if (run->arr == NULL)
                run->arr = leat_arr_ref(arr);
        leat_run_attach(run, pack);
        uint64_t pages = run->region_page[LEAT_R_BLOCK];
        run->page_seen = leat_calloc((pages + 63) / 64 + 1, 8);
        run->block_seen = leat_calloc(((uint64_t)run->block_count + 63) / 64 + 1, 8);
        atomic_init(&run->unseen, pages + run->block_count);
        *ret_run = run;
        return 0;
}

/* ---- checks ------------------------------------------------------------------------- */

static bool seen(_Atomic uint64_t *bits, uint64_t i)
{
        return (atomic_load_explicit(&bits[i >> 6], memory_order_acquire) >> (i & 63)) & 1;
}

static void see(struct leat_run *run, _Atomic uint64_t *bits, uint64_t i)
{
        uint64_t bit = 1ull << (i & 63);
        if ((atomic_fetch_or_explicit(&bits[i >> 6], bit, memory_order_acq_rel) & bit) != 0)
                return;
        if (atomic_fetch_sub_explicit(&run->unseen, 1, memory_order_acq_rel) == 1)
                atomic_store_explicit(&run->trusted, true, memory_order_release);
}

static int damaged(const struct leat_run *run, uint64_t offset, const char *what, struct leat_error *err)
{
        leat_error_set(err, LEAT_ECORRUPT, "%s: %s at byte %" PRIu64 " is damaged", run->pack->path, what,
                       run->pack_offset + offset);
        leat_error_hint(err, "restore the file from a copy, or drop and create the views of this pipeline again");
        return LEAT_ECORRUPT;
}

int leat_run_touch(struct leat_run *run, enum leat_region region, uint64_t from, uint64_t bytes, struct leat_error *err)
{
        if (leat_run_trusted(run) || bytes == 0)
                return 0;
        uint64_t last = (from + bytes - 1) / LEAT_DIR_PAGE;
        for (uint64_t page = from / LEAT_DIR_PAGE; page <= last; page++) {
                uint64_t number = run->region_page[region] + page;
                if (seen(run->page_seen, number))
                        continue;
                uint64_t at = run->region_offset[region] + page * LEAT_DIR_PAGE;
                uint64_t len = LEAT_MIN((uint64_t)LEAT_DIR_PAGE, run->region_bytes[region] - page * LEAT_DIR_PAGE);
                if (leat_crc32c(0, run->pack->map + run->pack_offset + at, len) != run->page_crc[number])
                        return damaged(run, at, "directory page", err);
                see(run, run->page_seen, number);
        }
        return 0;
}

int leat_run_block_slow(struct leat_run *run, uint32_t block, struct leat_error *err)
{
        if (block >= run->block_count)
                return damaged(run, run->region_offset[LEAT_R_TABLE], "block table", err);
        if (seen(run->block_seen, block))
                return 0;
        LEAT_TRY(leat_run_touch(run, LEAT_R_TABLE, block * sizeof(struct leat_block_place),
                                sizeof(struct leat_block_place), err));
        const struct leat_block_place *place = &run->table[block];
        uint64_t room = run->region_bytes[LEAT_R_BLOCK];
        uint64_t at = run->region_offset[LEAT_R_BLOCK] + place->offset;
        if ((run->info.stride != 0 && place->offset != (uint64_t)block * run->info.stride) ||
            (place->offset & 15) != 0 || place->offset > room || place->bytes > room - place->offset)
                return damaged(run, run->region_offset[LEAT_R_TABLE], "block table", err);
        const uint8_t *data = run->blocks + place->offset;
        uint64_t rows = LEAT_MIN((uint64_t)LEAT_BLOCK_ROWS, run->info.rows - (uint64_t)block * LEAT_BLOCK_ROWS);
        if (leat_crc32c(0, data, place->bytes) != place->crc ||
            !leat_block_check(data, place->bytes, run->arr->def.types, run->arr->def.column_count, LEAT_BLOCK_ROWS) ||
            leat_block_head(data)->rows != rows)
                return damaged(run, at, "block", err);
        see(run, run->block_seen, block);
        return 0;
}

int leat_run_verify(struct leat_run *run, struct leat_error *err)
{
        for (int r = 0; r < LEAT_R_BLOCK; r++)
                LEAT_TRY(leat_run_touch(run, (enum leat_region)r, 0, run->region_bytes[r], err));
        if (!leat_run_trusted(run))
                for (uint32_t b = 0; b < run->block_count; b++)
                        LEAT_TRY(leat_run_block_slow(run, b, err));
        return 0;
}
