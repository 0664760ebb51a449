/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/state: definitions and footers as bytes.
 *
 * Format    docs/formats.md. A run ends with its footer, and the footer with its
 *           length and a magic number, so that a run can be read backwards from
 *           the end that the manifest names.
 * Failure   A footer is checked as a whole (CRC32C) and then line by line against
 *           itself: region sizes follow from the counts, places lie inside. What
 *           the regions hold is checked when it is read first (state_run.c).
 */
#include "state_int.h"

#define FOOTER_MAGIC 0x4e55524cu /* "LRUN" */

void leat_arr_encode(const struct leat_arr *arr, struct leat_buf *out)
{
        const struct leat_arr_def *def = &arr->def;
        leat_buf_le64(out, def->id);
        leat_buf_le64(out, arr->seed);
        leat_buf_le32(out, (uint32_t)def->mode);
        leat_buf_le32(out, def->key_count);
        leat_buf_le32(out, def->order_count);
        leat_buf_le32(out, def->order_desc);
        leat_buf_le32(out, def->column_count);
        leat_buf_le32(out, (uint32_t)def->time_column);
        leat_buf_le64(out, (uint64_t)def->bucket_us);
        for (uint32_t c = 0; c < def->column_count; c++)
                leat_type_encode(&def->types[c], out);
}

int leat_arr_decode(struct leat_arena *arena, struct leat_cursor *cur, struct leat_arr **ret_arr,
                    struct leat_error *err)
{
        struct leat_arr_def def = {.id = leat_cursor_le64(cur)};
        uint64_t seed = leat_cursor_le64(cur);
        def.mode = (enum leat_arr_mode)leat_cursor_le32(cur);
        def.key_count = leat_cursor_le32(cur);
        def.order_count = leat_cursor_le32(cur);
        def.order_desc = leat_cursor_le32(cur);
        def.column_count = leat_cursor_le32(cur);
        def.time_column = (int32_t)leat_cursor_le32(cur);
        def.bucket_us = (int64_t)leat_cursor_le64(cur);
        if (cur->failed || def.column_count == 0 || def.column_count > LEAT_COLUMNS_MAX)
                return leat_error_set(err, LEAT_ECORRUPT, "definition of an arrangement is damaged");
        struct leat_type *types = leat_arena_alloc(arena, def.column_count * sizeof *types);
        for (uint32_t c = 0; c < def.column_count; c++)
                LEAT_TRY(leat_type_decode(arena, cur, &types[c], err));
        def.types = types;
        if (leat_arr_check(&def, NULL) != 0)
                return leat_error_set(err, LEAT_ECORRUPT, "definition of an arrangement is damaged");
        *ret_arr = leat_arr_new(&def, seed);
        return 0;
}

/* ---- footers ------------------------------------------------------------------ */

void leat_footer_encode(const struct leat_arr *arr, const struct leat_run *run, struct leat_view page_crcs,
                        struct leat_buf *out)
{
        size_t start = out->len;
        const struct leat_run_info *info = &run->info;
        leat_buf_le32(out, FOOTER_MAGIC);
        leat_buf_le32(out, LEAT_RUN_VERSION);
        leat_buf_le32(out, info->shard);
        leat_buf_u8(out, info->prefix_bits);
        leat_buf_u8(out, info->dead);
        leat_buf_le16(out, LEAT_BLOCK_ROWS);
        leat_buf_le32(out, info->stride);
        leat_buf_le64(out, (uint64_t)info->bucket);
        leat_buf_le64(out, (uint64_t)info->tick_low);
        leat_buf_le64(out, (uint64_t)info->tick_high);
        leat_buf_le64(out, info->rows);
        leat_buf_le64(out, info->keys);
        for (int r = 0; r < LEAT_R_COUNT; r++) {
                leat_buf_le64(out, run->region_offset[r]);
                leat_buf_le64(out, run->region_bytes[r]);
        }
        leat_arr_encode(arr, out);
        leat_buf_le32(out, (uint32_t)(page_crcs.len / 4));
        leat_buf_add_view(out, page_crcs);
        leat_buf_le32(out, leat_crc32c(0, out->data + start, out->len - start));
        leat_buf_le32(out, (uint32_t)(out->len - start + 8));
        leat_buf_le32(out, FOOTER_MAGIC);
}

static int bad(struct leat_error *err, const char *what)
{
        return leat_error_set(err, LEAT_ECORRUPT, "footer of a run: %s", what);
}

static bool regions_fit(const struct leat_run *run, bool single, uint64_t body)
{
        const struct leat_run_info *info = &run->info;
        uint64_t blocks = (info->rows + LEAT_BLOCK_ROWS - 1) / LEAT_BLOCK_ROWS;
        const uint64_t *bytes = run->region_bytes;
        for (int r = 0; r < LEAT_R_COUNT; r++)
                if ((run->region_offset[r] & 15) != 0 || run->region_offset[r] > body ||
                    bytes[r] > body - run->region_offset[r])
                        return false;
        return bytes[LEAT_R_HASH] == info->keys * 8 && bytes[LEAT_R_ROW] == (single ? 0 : (info->keys + 1) * 4) &&
               bytes[LEAT_R_START] == ((1ull << info->prefix_bits) + 1) * 4 && bytes[LEAT_R_BLOOM] >= 8 &&
               bytes[LEAT_R_BLOOM] % 8 == 0 && bytes[LEAT_R_TABLE] == blocks * sizeof(struct leat_block_place);
}

static int footer_fields(struct leat_cursor *cur, struct leat_run *run, struct leat_error *err)
{
        struct leat_run_info *info = &run->info;
        if (leat_cursor_le32(cur) != FOOTER_MAGIC)
                return bad(err, "no footer where one must be");
        uint32_t version = leat_cursor_le32(cur);
        if (version != LEAT_RUN_VERSION)
                return leat_error_set(err, LEAT_EUNSUPPORTED, "run of version %u, this program reads version %u",
                                      version, LEAT_RUN_VERSION);
        info->shard = leat_cursor_le32(cur);
        info->prefix_bits = leat_cursor_u8(cur);
        info->dead = leat_cursor_u8(cur) != 0;
        uint32_t block_rows = leat_cursor_le16(cur);
        info->stride = leat_cursor_le32(cur);
        info->bucket = (int64_t)leat_cursor_le64(cur);
        info->tick_low = (int64_t)leat_cursor_le64(cur);
        info->tick_high = (int64_t)leat_cursor_le64(cur);
        info->rows = leat_cursor_le64(cur);
        info->keys = leat_cursor_le64(cur);
        for (int r = 0; r < LEAT_R_COUNT; r++) {
                run->region_offset[r] = leat_cursor_le64(cur);
                run->region_bytes[r] = leat_cursor_le64(cur);
        }
        if (cur->failed || block_rows != LEAT_BLOCK_ROWS || info->shard != 0 || info->rows == 0 ||
            info->rows >= UINT32_MAX || info->keys == 0 || info->keys > info->rows || info->prefix_bits == 0 ||
            info->prefix_bits > LEAT_PREFIX_BITS_MAX)
                return bad(err, "counts out of range");
        return 0;
}

/* Numbers the pages and takes their checksums over. */
static int footer_pages(struct leat_cursor *cur, struct leat_run *run, struct leat_error *err)
{
        uint32_t pages = 0;
        for (int r = 0; r < LEAT_R_BLOCK; r++) {
                run->region_page[r] = pages;
                pages += (uint32_t)((run->region_bytes[r] + LEAT_DIR_PAGE - 1) / LEAT_DIR_PAGE);
        }
        uint32_t count = leat_cursor_le32(cur);
        struct leat_view crcs = leat_cursor_bytes(cur, (size_t)count * 4);
        if (cur->failed || count != pages || cur->at != cur->end)
                return bad(err, "page checksums are missing");
        run->page_crc = leat_malloc(LEAT_MAX(crcs.len, (size_t)4));
        if (crcs.len != 0)
                memcpy(run->page_crc, crcs.data, crcs.len);
        run->region_page[LEAT_R_BLOCK] = pages;
        return 0;
}

int leat_footer_decode(struct leat_view bytes, const struct leat_arr *arr, struct leat_run *run, struct leat_error *err)
{
        if (bytes.len < LEAT_FOOTER_TAIL || leat_get_le32(bytes.data + bytes.len - 4) != FOOTER_MAGIC)
                return bad(err, "no end mark");
        uint64_t length = leat_get_le32(bytes.data + bytes.len - 8);
        if (length < LEAT_FOOTER_TAIL || length > bytes.len)
                return bad(err, "length out of range");
        const uint8_t *at = bytes.data + bytes.len - length;
        size_t body = length - LEAT_FOOTER_TAIL;
        if (leat_get_le32(at + body) != leat_crc32c(0, at, body))
                return bad(err, "checksum does not fit");
        struct leat_cursor cur = leat_cursor_of(leat_view_of(at, body));
        LEAT_TRY(footer_fields(&cur, run, err));
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_arr *own = NULL;
        int rc = leat_arr_decode(arena, &cur, &own, err);
        if (rc == 0 && arr != NULL && (own->seed != arr->seed || !leat_arr_def_eq(&own->def, &arr->def)))
                rc = bad(err, "it belongs to another arrangement");
        if (rc == 0 && !regions_fit(run, own->single, (uint64_t)(at - bytes.data)))
                rc = bad(err, "regions do not fit their counts");
        if (rc == 0)
                rc = footer_pages(&cur, run, err);
        if (rc == 0 && arr == NULL)
                run->arr = leat_arr_ref(own);
        leat_arr_unref(own);
        leat_arena_free(arena);
        return rc;
}
