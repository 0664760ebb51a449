/* SPDX-License-Identifier: Apache-2.0 */
/* Runs in files. All checksums are made right, then the run is verified, scanned and asked for keys: nothing may be read
 * outside of the bytes. */
#include "../state_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* Makes the footer's checksum right, and those of blocks whose place is inside. */
static void mend(uint8_t *at, size_t bytes)
{
        if (bytes < LEAT_FOOTER_TAIL)
                return;
        uint64_t length = leat_get_le32(at + bytes - 8);
        if (length < LEAT_FOOTER_TAIL || length > bytes)
                return;
        uint8_t *footer = at + bytes - length;
        leat_put_le32(footer + length - LEAT_FOOTER_TAIL, leat_crc32c(0, footer, length - LEAT_FOOTER_TAIL));
        struct leat_run run = {0};
        if (leat_footer_decode(leat_view_of(at, bytes), NULL, &run, NULL) == 0) {
                struct leat_block_place *table =
                        (struct leat_block_place *)(void *)(at + run.region_offset[LEAT_R_TABLE]);
                uint64_t count = run.region_bytes[LEAT_R_TABLE] / sizeof *table, room = run.region_bytes[LEAT_R_BLOCK];
                const uint8_t *blocks = at + run.region_offset[LEAT_R_BLOCK];
                for (uint64_t i = 0; i < count; i++)
                        if (table[i].offset <= room && table[i].bytes <= room - table[i].offset)
                                table[i].crc = leat_crc32c(0, blocks + table[i].offset, table[i].bytes);
        }
        free(run.page_crc);
        leat_arr_unref(run.arr);
}

static void ask(struct leat_run *run)
{
        const struct leat_arr *arr = run->arr;
        struct leat_merge merge;
        bool end = false;
        int rc = 0;
        leat_merge_init(&merge, run->arr, &run, 1, true);
        struct leat_arena *arena = leat_arena_new(0);
        uint64_t rows = 0;
        while (rc == 0 && !end && rows < 100000) {
                rc = leat_merge_next(&merge, &end, NULL);
                rows += merge.rows.count + 1;
                if (rc != 0 || end || merge.rows.count == 0)
                        continue;
                uint32_t n = LEAT_MIN(merge.rows.count, 300u), hit_count;
                struct leat_batch *keys = leat_batch_new(arena, arr->def.types, arr->def.column_count, n);
                keys->rows = n;
                for (uint32_t c = 0; c < arr->def.column_count; c++)
                        leat_refs_column(arena, merge.rows.refs, n, c, &keys->columns[c]);
                uint64_t *hashes = leat_arena_alloc(arena, n * sizeof *hashes);
                struct leat_probe *probes = leat_arena_zalloc(arena, n * sizeof *probes);
                struct leat_hit *hits = leat_arena_alloc(arena, n * sizeof *hits);
                leat_hash_keys(arr, keys, hashes);
                for (uint32_t i = 0; i < n; i++)
                        probes[i] = (struct leat_probe){hashes[i], 0, i, 0};
                rc = leat_run_probe(run, arr, keys, probes, n, hits, &hit_count, NULL);
        }
        leat_arena_free(arena);
        leat_merge_done(&merge);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
        if (bytes == 0)
                return 0;
        uint8_t *copy = leat_malloc(bytes);
        memcpy(copy, data, bytes);
        mend(copy, bytes);
        struct leat_pack *pack = leat_calloc(1, sizeof *pack);
        atomic_init(&pack->refs, 1);
        pack->path = leat_strdup("fuzz");
        pack->map = copy;
        pack->bytes = bytes;
        struct leat_run *run;
        if (leat_run_open(pack, 0, bytes, NULL, &run, NULL) == 0) {
                for (int r = 0; r < LEAT_R_BLOCK; r++)
                        for (uint64_t at = 0, page = run->region_page[r]; at < run->region_bytes[r];
                             at += LEAT_DIR_PAGE)
                                run->page_crc[page++] =
                                        leat_crc32c(0, copy + run->region_offset[r] + at,
                                                    LEAT_MIN((uint64_t)LEAT_DIR_PAGE, run->region_bytes[r] - at));
                ask(run);
                if (leat_run_verify(run, NULL) == 0)
                        ask(run);
                leat_run_unref(run);
        }
        pack->map = NULL;
        leat_pack_unref(pack);
        free(copy);
        return 0;
}
