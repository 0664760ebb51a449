/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/state: writing runs, to memory or to a file.
 *
 * Design    One pass: rows come in hash order, blocks are encoded as they fill,
 *           the directory grows beside them. To a file each part goes to a place
 *           of its own; hashes and first rows stand before the blocks in room
 *           for as many keys as may come at most, and what is not needed of it
 *           stays a hole in the file. So a merge of any size needs little memory:
 *           1 MiB a part, and the filter, prefixes and block places (about 2 bytes a key).
 * Failure   Any error leaves a builder that can only be freed, and a pack that is
 *           aborted: its file goes, the runs that it was made from stay.
 */
#include <fcntl.h>

#include "state_int.h"

#define FLUSH_BYTES (1u << 20)
#define SYNC_BYTES (32u << 20)
#define BLOOM_BITS_PER_KEY 10u
#define PREFIX_KEYS 32u /* a guess among so many is off by about two */

/* ---- packs under construction -------------------------------------------------------- */

int leat_pack_writer_open(const char *dir, uint64_t seq, struct leat_pack_writer *pack, struct leat_error *err)
{
        *pack = (struct leat_pack_writer){.seq = seq, .fd = -1};
        leat_pack_path(dir, seq, pack->path, sizeof pack->path);
        return leat_os_open(pack->path, O_RDWR | O_CREAT | O_TRUNC, &pack->fd, err);
}

void leat_pack_writer_abort(struct leat_pack_writer *pack)
{
        if (pack->fd < 0)
                return;
        leat_os_close(pack->fd);
        pack->fd = -1;
        struct leat_error ignored;
        if (leat_os_unlink(pack->path, &ignored) != 0)
                leat_diag_error("state", "an unfinished run file stays until the next start", &ignored);
}

static int pack_write(struct leat_pack_writer *pack, struct leat_view data, uint64_t offset, struct leat_error *err)
{
        LEAT_TRY(leat_os_pwrite(pack->fd, pack->path, data, (int64_t)offset, err));
        pack->unsynced += data.len;
        if (pack->unsynced < SYNC_BYTES)
                return 0;
        /* In steps, so that the last sync does not wait for all of a large file. */
        pack->unsynced = 0;
        return leat_os_fdatasync(pack->fd, pack->path, err);
}

int leat_pack_writer_finish(struct leat_pack_writer *pack, struct leat_pack **ret_pack, struct leat_error *err)
{
        struct leat_pack *made = leat_calloc(1, sizeof *made);
        atomic_init(&made->refs, 1);
        made->seq = pack->seq;
        made->path = leat_strdup(pack->path);
        int rc = leat_os_fdatasync(pack->fd, pack->path, err);
        if (rc == 0)
                rc = leat_os_map(pack->fd, pack->path, pack->end, &made->map, err);
        if (rc != 0) {
                made->map = NULL;
                leat_pack_unref(made);
                leat_pack_writer_abort(pack);
                return rc;
        }
        made->bytes = pack->end;
        leat_os_close(pack->fd);
        pack->fd = -1;
        *ret_pack = made;
        return 0;
}

/* ---- parts of a run ------------------------------------------------------------------- */

struct part {
        struct leat_buf buf;
        uint64_t base; /* place in the file */
        uint64_t done; /* bytes written there */
        struct leat_buf crcs;
};

struct leat_builder {
        struct leat_arr *arr;
        struct leat_pack_writer *pack;
        uint64_t offset; /* of the run in the pack */
        struct leat_run_info info;
        struct part parts[LEAT_R_COUNT];
        uint64_t keys_max;
        uint64_t next_prefix;
        uint64_t bloom_words;
        /* rows of the block being filled */
        uint32_t pending;
        struct leat_ref refs[LEAT_BLOCK_ROWS];
        int64_t weights[LEAT_BLOCK_ROWS];
        struct leat_arena *arena;
        struct leat_batch *scratch;
};

static uint64_t align64(uint64_t n)
{
        return (n + 63) & ~63ull;
}

static uint8_t prefix_bits_for(uint64_t keys)
{
        uint8_t bits = 1;
        while (bits < LEAT_PREFIX_BITS_MAX && ((uint64_t)PREFIX_KEYS << bits) <= keys)
                bits++;
        return bits;
}

struct leat_builder *leat_builder_new(struct leat_arr *arr, int64_t bucket, uint64_t keys_max, uint64_t rows_max,
                                      struct leat_pack_writer *pack)
{
        struct leat_builder *b = leat_calloc(1, sizeof *b);
        b->arr = leat_arr_ref(arr);
        b->pack = pack;
        b->keys_max = LEAT_MAX(keys_max, 1u);
        b->info.bucket = bucket;
        b->info.tick_low = INT64_MAX;
        b->info.tick_high = INT64_MIN;
        b->info.prefix_bits = prefix_bits_for(keys_max);
        struct leat_buf *starts = &b->parts[LEAT_R_START].buf, *bloom = &b->parts[LEAT_R_BLOOM].buf;
        starts->len = ((1ull << b->info.prefix_bits) + 1) * 4;
        starts->data = leat_malloc(starts->len);
        starts->cap = starts->len;
        b->bloom_words = LEAT_MAX(keys_max * BLOOM_BITS_PER_KEY / 64, 1u);
        bloom->len = bloom->cap = b->bloom_words * 8;
        bloom->data = leat_calloc(b->bloom_words, 8);
        if (pack != NULL) {
                b->offset = align64(pack->end);
                uint64_t at = b->offset;
                b->parts[LEAT_R_HASH].base = at;
                at = align64(at + b->keys_max * 8);
                b->parts[LEAT_R_ROW].base = at;
                if (!arr->single)
                        at = align64(at + (b->keys_max + 1) * 4);
                b->parts[LEAT_R_BLOCK].base = at;
        } else {
                leat_buf_reserve(&b->parts[LEAT_R_HASH].buf, b->keys_max * 8);
                leat_buf_reserve(&b->parts[LEAT_R_TABLE].buf,
                                 (rows_max / LEAT_BLOCK_ROWS + 1) * sizeof(struct leat_block_place));
        }
        return b;
}

void leat_builder_free(struct leat_builder *b)
{
        if (b == NULL)
                return;
        for (int r = 0; r < LEAT_R_COUNT; r++) {
                leat_buf_done(&b->parts[r].buf);
                leat_buf_done(&b->parts[r].crcs);
        }
        leat_arena_free(b->arena);
        leat_arr_unref(b->arr);
        free(b);
}

void leat_builder_ticks(struct leat_builder *b, int64_t low, int64_t high)
{
        b->info.tick_low = LEAT_MIN(b->info.tick_low, low);
        b->info.tick_high = LEAT_MAX(b->info.tick_high, high);
}

uint64_t leat_builder_rows(const struct leat_builder *b)
{
        return b->info.rows + b->pending;
}

/* Writes whole pages of a part (all of it when @all) and keeps their checksums. */
static int part_flush(struct leat_builder *b, enum leat_region r, bool all, struct leat_error *err)
{
        struct part *part = &b->parts[r];
        size_t bytes = all ? part->buf.len : part->buf.len / LEAT_DIR_PAGE * LEAT_DIR_PAGE;
        if (r != LEAT_R_BLOCK)
                for (size_t at = 0; at < bytes; at += LEAT_DIR_PAGE)
                        leat_buf_le32(&part->crcs,
                                      leat_crc32c(0, part->buf.data + at, LEAT_MIN((size_t)LEAT_DIR_PAGE, bytes - at)));
        if (bytes == 0)
                return 0;
        LEAT_TRY(pack_write(b->pack, leat_view_of(part->buf.data, bytes), part->base + part->done, err));
        part->done += bytes;
        memmove(part->buf.data, part->buf.data + bytes, part->buf.len - bytes);
        part->buf.len -= bytes;
        return 0;
}

static int part_grown(struct leat_builder *b, enum leat_region r, struct leat_error *err)
{
        if (b->pack == NULL || b->parts[r].buf.len < FLUSH_BYTES)
                return 0;
        return part_flush(b, r, false, err);
}

/* ---- keys ------------------------------------------------------------------------------ */

int leat_builder_keys(struct leat_builder *b, const uint64_t *hashes, const uint32_t *first_rows, uint32_t count,
                      struct leat_error *err)
{
        LEAT_ASSERT(b->info.keys + count <= b->keys_max);
        uint32_t *starts = (uint32_t *)(void *)b->parts[LEAT_R_START].buf.data;
        uint64_t *bloom = (uint64_t *)(void *)b->parts[LEAT_R_BLOOM].buf.data;
        uint32_t shift = 64u - b->info.prefix_bits;
        for (uint32_t i = 0; i < count; i++) {
                uint64_t prefix = hashes[i] >> shift;
                while (b->next_prefix <= prefix)
                        starts[b->next_prefix++] = (uint32_t)(b->info.keys + i);
                bloom[leat_bloom_word(hashes[i], b->bloom_words)] |= leat_bloom_mask(hashes[i]);
        }
        leat_buf_add(&b->parts[LEAT_R_HASH].buf, hashes, (size_t)count * 8);
        if (!b->arr->single) {
                uint64_t rows = leat_builder_rows(b);
                uint8_t *at = leat_buf_reserve(&b->parts[LEAT_R_ROW].buf, (size_t)count * 4);
                for (uint32_t i = 0; i < count; i++)
                        leat_put_le32(at + (size_t)i * 4, (uint32_t)(rows + first_rows[i]));
                b->parts[LEAT_R_ROW].buf.len += (size_t)count * 4;
                LEAT_TRY(part_grown(b, LEAT_R_ROW, err));
        }
        b->info.keys += count;
        return part_grown(b, LEAT_R_HASH, err);
}

/* ---- rows ------------------------------------------------------------------------------ */

static int add_block(struct leat_builder *b, const struct leat_batch *batch, const uint32_t *rows, uint32_t from,
                     uint32_t count, const int64_t *weights, struct leat_error *err)
{
        struct part *part = &b->parts[LEAT_R_BLOCK];
        size_t at = part->buf.len;
        if (b->info.rows + count >= UINT32_MAX)
                return leat_error_set(err, LEAT_ETOOBIG,
                                      "a run of arrangement %" PRIu64 " would hold more than 4 billion rows",
                                      b->arr->def.id);
        if (!leat_block_encode(&part->buf, batch, rows, from, count, weights))
                return leat_error_set(err, LEAT_ETOOBIG, "%u rows of arrangement %" PRIu64 " take more than 4 GiB",
                                      count, b->arr->def.id);
        struct leat_block_place place = {.offset = part->done + at, .bytes = (uint32_t)(part->buf.len - at)};
        if (b->pack != NULL)
                place.crc = leat_crc32c(0, part->buf.data + at, place.bytes);
        leat_buf_add(&b->parts[LEAT_R_TABLE].buf, &place, sizeof place);
        if (b->info.rows == 0)
                b->info.stride = place.bytes;
        else if (place.offset != b->info.rows / LEAT_BLOCK_ROWS * b->info.stride)
                b->info.stride = 0;
        b->info.rows += count;
        return part_grown(b, LEAT_R_BLOCK, err);
}

static int flush_pending(struct leat_builder *b, struct leat_error *err)
{
        if (b->pending == 0)
                return 0;
        const struct leat_arr_def *def = &b->arr->def;
        if (b->scratch == NULL) {
                b->arena = leat_arena_new(0);
                b->scratch = leat_batch_new(b->arena, def->types, def->column_count, LEAT_BLOCK_ROWS);
                for (uint32_t c = 0; c < def->column_count; c++)
                        leat_column_make_validity(b->arena, &b->scratch->columns[c], LEAT_BLOCK_ROWS);
        }
        uint32_t count = b->pending;
        b->scratch->rows = count;
        bool ones = true;
        for (uint32_t i = 0; i < count; i++)
                ones = ones && b->weights[i] == 1;
        for (uint32_t c = 0; c < def->column_count; c++) {
                struct leat_column col = b->scratch->columns[c];
                uint64_t *validity = col.validity;
                validity[0] = UINT64_MAX;
                memset(validity, 0xff, LEAT_BLOCK_ROWS / 8);
                leat_refs_column(b->arena, b->refs, count, c, &col);
        }
        b->pending = 0;
        return add_block(b, b->scratch, NULL, 0, count, ones ? NULL : b->weights, err);
}

int leat_builder_refs(struct leat_builder *b, const struct leat_ref *refs, const int64_t *weights, uint32_t count,
                      struct leat_error *err)
{
        for (uint32_t i = 0; i < count;) {
                uint32_t n = LEAT_MIN(count - i, LEAT_BLOCK_ROWS - b->pending);
                memcpy(b->refs + b->pending, refs + i, n * sizeof *refs);
                memcpy(b->weights + b->pending, weights + i, n * sizeof *weights);
                for (uint32_t k = i; k < i + n; k++)
                        b->info.dead |= weights[k] < 0;
                b->pending += n;
                i += n;
                if (b->pending == LEAT_BLOCK_ROWS)
                        LEAT_TRY(flush_pending(b, err));
        }
        return 0;
}

int leat_builder_batch(struct leat_builder *b, const struct leat_batch *batch, const uint32_t *rows,
                       const int64_t *weights, uint32_t count, struct leat_error *err)
{
        LEAT_ASSERT(b->pending == 0);
        if (weights != NULL)
                for (uint32_t i = 0; i < count; i++)
                        b->info.dead |= weights[rows[i]] < 0;
        for (uint32_t i = 0; i < count; i += LEAT_BLOCK_ROWS)
                LEAT_TRY(add_block(b, batch, rows + i, 0, LEAT_MIN(count - i, LEAT_BLOCK_ROWS), weights, err));
        return 0;
}

/* ---- the end --------------------------------------------------------------------------- */

static void finish_memory(struct leat_builder *b, struct leat_run *run)
{
        for (int r = 0; r < LEAT_R_COUNT; r++) {
                struct leat_buf *buf = &b->parts[r].buf;
                if (buf->cap > buf->len + buf->len / 8 && buf->len != 0) {
                        buf->data = leat_realloc(buf->data, buf->len);
                        buf->cap = buf->len;
                }
                run->owned[r] = *buf;
                run->region_bytes[r] = buf->len;
                run->bytes += buf->cap;
                *buf = (struct leat_buf)LEAT_BUF_INIT;
        }
        run->hashes = (const uint64_t *)(const void *)run->owned[LEAT_R_HASH].data;
        run->rows = b->arr->single ? NULL : (const uint32_t *)(const void *)run->owned[LEAT_R_ROW].data;
        run->starts = (const uint32_t *)(const void *)run->owned[LEAT_R_START].data;
        run->bloom = (const uint64_t *)(const void *)run->owned[LEAT_R_BLOOM].data;
        run->bloom_words = b->bloom_words;
        run->table = (const struct leat_block_place *)(const void *)run->owned[LEAT_R_TABLE].data;
        run->blocks = run->owned[LEAT_R_BLOCK].data;
        run->block_count = (uint32_t)(run->owned[LEAT_R_TABLE].len / sizeof(struct leat_block_place));
}

static int finish_file(struct leat_builder *b, struct leat_run *run, struct leat_error *err)
{
        uint64_t end = b->parts[LEAT_R_BLOCK].base + b->parts[LEAT_R_BLOCK].done + b->parts[LEAT_R_BLOCK].buf.len;
        struct leat_buf crcs = LEAT_BUF_INIT, footer = LEAT_BUF_INIT;
        int rc = 0;
        for (int r = 0; r < LEAT_R_COUNT && rc == 0; r++) {
                struct part *part = &b->parts[r];
                if (r == LEAT_R_START || r == LEAT_R_BLOOM || r == LEAT_R_TABLE) {
                        part->base = align64(end);
                        end = part->base + part->buf.len;
                }
                run->region_offset[r] = part->base - b->offset;
                run->region_bytes[r] = part->done + part->buf.len;
                rc = part_flush(b, (enum leat_region)r, true, err);
                leat_buf_add_view(&crcs, leat_buf_view(&part->crcs));
        }
        if (rc == 0) {
                leat_footer_encode(b->arr, run, leat_buf_view(&crcs), &footer);
                rc = pack_write(b->pack, leat_buf_view(&footer), end, err);
        }
        run->pack_offset = b->offset;
        run->pack_bytes = run->bytes = end + footer.len - b->offset;
        b->pack->end = end + footer.len;
        leat_buf_done(&crcs);
        leat_buf_done(&footer);
        return rc;
}

int leat_builder_finish(struct leat_builder *b, struct leat_run **ret_run, struct leat_error *err)
{
        *ret_run = NULL;
        LEAT_TRY(flush_pending(b, err));
        if (b->info.rows == 0)
                return 0;
        uint32_t *starts = (uint32_t *)(void *)b->parts[LEAT_R_START].buf.data;
        while (b->next_prefix <= 1ull << b->info.prefix_bits)
                starts[b->next_prefix++] = (uint32_t)b->info.keys;
        if (!b->arr->single)
                leat_buf_le32(&b->parts[LEAT_R_ROW].buf, (uint32_t)b->info.rows);
        struct leat_run *run = leat_calloc(1, sizeof *run);
        atomic_init(&run->refs, 1);
        atomic_init(&run->trusted, true);
        run->info = b->info;
        run->arr = leat_arr_ref(b->arr);
        if (b->pack == NULL) {
                finish_memory(b, run);
        } else {
                int rc = finish_file(b, run, err);
                if (rc != 0) {
                        leat_run_unref(run);
                        return rc;
                }
        }
        *ret_run = run;
        return 0;
}
