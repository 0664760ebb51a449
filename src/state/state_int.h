/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/state: what the parts of the module share.
 *
 *   arr       definition of an arrangement with its hash seed; immutable
 *   block     up to 256 rows side by side; the unit of runs and of tick sections
 *   run       immutable rows of one time bucket, sorted by key hash; in memory or in a mapped file
 *   merge     reads several runs as one, in slices of the hash space
 *   builder   writes a run, to memory or to a pack (a file of one or more runs)
 *   bucket, table, snapshot   which runs make the arrangement now; copied on write
 */
#ifndef LEAT_STATE_INT_H
#define LEAT_STATE_INT_H

#include <inttypes.h>
#include <stdatomic.h>

#include "leat/base.h"
#include "leat/os.h"
#include "leat/state.h"

#define LEAT_BLOCK_ROWS 256u
#define LEAT_DIR_PAGE 65536u
#define LEAT_ROW_TEXT_MAX (4u << 20) /* bytes of one string in a row: keeps a block under 4 GiB */
#define LEAT_RUN_VERSION 2u
#define LEAT_SECTION_VERSION 2u /* version 1 is read too: it knew fewer encodings */
#define LEAT_MANIFEST_VERSION 1u
#define LEAT_BUCKET_NONE INT64_MIN /* rows whose time is NULL: never expires */
#define LEAT_COLUMNS_MAX 4096u
#define LEAT_SECTION_ROWS_MAX (1u << 22)
#define LEAT_PREFIX_BITS_MAX 28u

/* Numbers that tests make small, so that little work reaches every path. */
struct leat_state_tuning {
        uint64_t hash_bits;     /* of a hash that count: all; fewer, and keys collide */
        uint32_t fanout_memory; /* runs of one size class that make a merge: small ones cost little to ask ... */
        uint32_t fanout_files;  /* ... large ones a cache miss a key */
        uint32_t slice_keys;    /* of a merge, in one step */
};
extern struct leat_state_tuning leat_state_tuning;

/* ---- definitions ------------------------------------------------------------- */
struct leat_arr {
        _Atomic uint32_t refs;
        struct leat_arena *arena;
        struct leat_arr_def def;
        uint64_t seed;
        uint32_t ident_count; /* leading columns that tell rows apart: MAP key + order, MULTISET all */
        bool single;          /* one row a key: MAP without order columns */
        bool time_in_key;     /* the bucket follows from the key */
};

int leat_arr_check(const struct leat_arr_def *def, struct leat_error *err) LEAT_NODISCARD;
struct leat_arr *leat_arr_new(const struct leat_arr_def *def, uint64_t seed);
struct leat_arr *leat_arr_ref(struct leat_arr *arr);
void leat_arr_unref(struct leat_arr *arr);
bool leat_arr_def_eq(const struct leat_arr_def *a, const struct leat_arr_def *b);

static inline bool leat_type_is_text(const struct leat_type *type)
{
        return type->id == LEAT_T_VARCHAR || type->id == LEAT_T_BLOB;
}

/* Rewrites values that are equal but differ in bytes (-0.0, NaN, INTERVAL) in the first @count columns; gives @batch
 * itself when there is nothing to do. */
const struct leat_batch *leat_canon(struct leat_arena *arena, const struct leat_batch *batch, uint32_t count);
/* Hash of the key columns of each row. */
void leat_hash_keys(const struct leat_arr *arr, const struct leat_batch *keys, uint64_t *out);
/* Bucket of each row by the values of @col. */
void leat_bucket_of(const struct leat_arr *arr, const struct leat_column *col, uint32_t rows, int64_t *out);

/* One value, wherever it lies. */
struct leat_cell {
        const void *data; /* NULL: NULL */
        uint32_t len;
};
/* Order of values: as SQL has it, NULL after all others, NaN after all numbers. */
int leat_cell_cmp(const struct leat_type *type, struct leat_cell a, struct leat_cell b);
struct leat_cell leat_column_cell(const struct leat_column *col, uint32_t row);
static inline bool leat_cell_eq(struct leat_cell a, struct leat_cell b)
{
        if (a.data == NULL || b.data == NULL)
                return a.data == b.data;
        return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

/* ---- blocks --------------------------------------------------------------------- */
enum leat_enc {
        LEAT_ENC_RAW = 1,   /* one value a row */
        LEAT_ENC_CONST = 2, /* one value for all rows */
        LEAT_ENC_TEXT = 3,  /* u32 ends of the strings, rows + 1 of them, then their bytes */
        LEAT_ENC_NULL = 4,  /* all NULL, no bytes */
        LEAT_ENC_DICT = 5,  /* u8 number a row, then as TEXT the strings they number */
        LEAT_ENC_FOR = 6,   /* integers as the difference to a base, in 1, 2, 4 or 8 bytes */
        LEAT_ENC_TEXT2 = 7, /* as TEXT, with u16 ends */
};

struct leat_block_head {
        uint32_t bytes; /* of the block, head included, a multiple of 16 */
        uint32_t rows;
        uint32_t columns; /* the weights are the last one */
        uint32_t zero;
};
struct leat_block_col {
        uint8_t enc;
        uint8_t width;     /* bytes a value; 0 = text */
        uint16_t dict;     /* DICT: strings in it; FOR: bytes of a difference */
        uint32_t validity; /* place of the bitmap in the block; 0 = no NULLs */
        uint32_t data;     /* place of the values in the block */
        uint32_t bytes;    /* of the values; FOR: place of the base, an i64, in the block */
};

/* A row of a block; block NULL = a row of NULLs. */
struct leat_ref {
        const uint8_t *block;
        uint32_t row;
        uint32_t tag; /* free for the user */
};

static inline uint16_t leat_block_get16(const uint8_t *at)
{
        uint16_t value;
        memcpy(&value, at, sizeof value);
        return value;
}
static inline const struct leat_block_head *leat_block_head(const uint8_t *block)
{
        return (const struct leat_block_head *)block;
}
static inline const struct leat_block_col *leat_block_col(const uint8_t *block, uint32_t col)
{
        return (const struct leat_block_col *)(block + sizeof(struct leat_block_head)) + col;
}

/* Where what is read first of a value lies, to fetch it ahead. */
static inline const uint8_t *leat_block_spot(const uint8_t *block, uint32_t number, uint32_t row)
{
        const struct leat_block_col *col = leat_block_col(block, number);
        uint32_t bytes = col->enc == LEAT_ENC_FOR     ? col->dict
                         : col->enc == LEAT_ENC_TEXT2 ? 2
                         : col->enc == LEAT_ENC_DICT  ? 1
                         : col->enc == LEAT_ENC_CONST ? 0
                         : col->width != 0            ? col->width
                                                      : 4;
        return block + col->data + (size_t)row * bytes;
}

/* Appends a block of the rows @rows[0..count) of @batch (NULL: @from, @from + 1, ...) at the end of @out, which must be
 * a multiple of 16 long. @weights goes with the batch's row numbers; NULL = all +1. False when a block cannot be that
 * large; nothing was appended then. */
bool leat_block_encode(struct leat_buf *out, const struct leat_batch *batch, const uint32_t *rows, uint32_t from,
                       uint32_t count, const int64_t *weights);
/* Checks that all places lie inside and all text ends ascend: afterwards rows can be read without a check. */
bool leat_block_check(const uint8_t *block, size_t bytes, const struct leat_type *types, uint32_t column_count,
                      uint32_t rows_max);
/* Room for a value that does not lie in its block as it is. */
struct leat_cell_room {
        uint64_t part[2];
};
struct leat_cell leat_block_cell(const uint8_t *block, uint32_t col, uint32_t row, struct leat_cell_room *room);
int64_t leat_block_weight(const uint8_t *block, uint32_t column_count, uint32_t row);
/* Puts column @col of the given rows into @out (data has room, type is set). A validity bitmap is taken from @arena when
 * there are NULLs and @out has none; text is borrowed. */
void leat_refs_column(struct leat_arena *arena, const struct leat_ref *refs, uint32_t count, uint32_t col,
                      struct leat_column *out);
void leat_refs_weights(const struct leat_ref *refs, uint32_t count, uint32_t column_count, int64_t *out);

/* ---- packs and runs ---------------------------------------------------------------- */
/* A mapped file that holds runs. */
struct leat_pack {
        _Atomic uint32_t refs;
        uint64_t seq;
        const uint8_t *map;
        size_t bytes;
        char *path;
};
struct leat_pack *leat_pack_ref(struct leat_pack *pack);
void leat_pack_unref(struct leat_pack *pack);
int leat_pack_open(const char *dir, uint64_t seq, struct leat_pack **ret_pack, struct leat_error *err) LEAT_NODISCARD;
void leat_pack_path(const char *dir, uint64_t seq, char *out, size_t bytes);

enum leat_region { LEAT_R_HASH, LEAT_R_ROW, LEAT_R_START, LEAT_R_BLOOM, LEAT_R_TABLE, LEAT_R_BLOCK, LEAT_R_COUNT };

struct leat_block_place {
        uint64_t offset; /* in the block region */
        uint32_t bytes;
        uint32_t crc;
};

/* What a manifest says of a run, and what its footer says again. */
struct leat_run_info {
        int64_t bucket;
        int64_t tick_low, tick_high;
        uint64_t rows, keys;
        uint32_t shard;
        uint8_t prefix_bits; /* of the hash that number a start */
        bool dead;           /* some rows are deletions */
        uint32_t stride;     /* bytes of every block but the last, when they are equal; else 0 */
};

struct leat_run {
        _Atomic uint32_t refs;
        struct leat_run_info info;
        const uint64_t *hashes; /* one a key, ascending */
        const uint32_t *rows;   /* first row of each key and the end; NULL: row i is key i */
        const uint32_t *starts; /* first key of each hash prefix, 2^prefix_bits + 1 of them */
        const uint64_t *bloom;
        uint64_t bloom_words;
        const struct leat_block_place *table;
        uint32_t block_count;
        const uint8_t *blocks;
        uint64_t bytes;             /* all of it */
        _Atomic uint32_t hit_share; /* of 256 keys that were asked for lately, how many were here */
        /* memory: what the builder made */
        struct leat_buf owned[LEAT_R_COUNT];
        /* file */
        struct leat_pack *pack;
        uint64_t pack_offset, pack_bytes; /* place in the pack */
        struct leat_arr *arr;             /* for checks */
        _Atomic bool trusted;             /* everything was checked, or made here */
        uint32_t *page_crc;
        uint64_t region_offset[LEAT_R_COUNT], region_bytes[LEAT_R_COUNT]; /* from pack_offset on */
        uint32_t region_page[LEAT_R_COUNT];                               /* number of the region's first page */
        _Atomic uint64_t *page_seen, *block_seen;
        _Atomic uint64_t unseen;
};

struct leat_run *leat_run_ref(struct leat_run *run);
void leat_run_unref(struct leat_run *run);
/* Opens the run at @offset of a pack: only its footer is read. */
int leat_run_open(struct leat_pack *pack, uint64_t offset, uint64_t bytes, struct leat_arr *arr,
                  struct leat_run **ret_run, struct leat_error *err) LEAT_NODISCARD;
/* Checks what has not been read before; fast when trusted. */
int leat_run_touch(struct leat_run *run, enum leat_region region, uint64_t from, uint64_t bytes,
                   struct leat_error *err) LEAT_NODISCARD;
int leat_run_block_slow(struct leat_run *run, uint32_t block, struct leat_error *err) LEAT_NODISCARD;
int leat_run_verify(struct leat_run *run, struct leat_error *err) LEAT_NODISCARD;

static inline bool leat_run_trusted(const struct leat_run *run)
{
        return atomic_load_explicit(&run->trusted, memory_order_acquire);
}
static inline uint64_t leat_run_key_row(const struct leat_run *run, uint64_t key)
{
        return run->rows == NULL ? key : LEAT_MIN(run->rows[key], run->info.rows);
}
static inline int leat_run_block(struct leat_run *run, uint32_t block, const uint8_t **ret, struct leat_error *err)
{
        if (!leat_run_trusted(run))
                LEAT_TRY(leat_run_block_slow(run, block, err));
        *ret = run->blocks + (run->info.stride != 0 ? (uint64_t)block * run->info.stride : run->table[block].offset);
        return 0;
}
static inline int leat_run_ref_at(struct leat_run *run, uint64_t row, struct leat_ref *ret, struct leat_error *err)
{
        ret->row = (uint32_t)(row % LEAT_BLOCK_ROWS);
        return leat_run_block(run, (uint32_t)(row / LEAT_BLOCK_ROWS), &ret->block, err);
}
static inline uint64_t leat_bloom_mask(uint64_t hash)
{
        return 1ull << (hash & 63) | 1ull << ((hash >> 6) & 63) | 1ull << ((hash >> 12) & 63) |
               1ull << ((hash >> 18) & 63);
}
static inline uint64_t leat_bloom_word(uint64_t hash, uint64_t words)
{
        return ((hash >> 32) * words) >> 32;
}

/* ---- building ---------------------------------------------------------------------- */
/* A file under construction. Runs are appended one after the other. */
struct leat_pack_writer {
        char path[4096];
        uint64_t seq;
        int fd;
        uint64_t end; /* where the next run begins */
        uint64_t unsynced;
};
int leat_pack_writer_open(const char *dir, uint64_t seq, struct leat_pack_writer *pack,
                          struct leat_error *err) LEAT_NODISCARD;
/* Syncs, closes and maps it. On failure the file is removed. */
int leat_pack_writer_finish(struct leat_pack_writer *pack, struct leat_pack **ret_pack,
                            struct leat_error *err) LEAT_NODISCARD;
void leat_pack_writer_abort(struct leat_pack_writer *pack);

struct leat_builder;
/* @keys_max and @rows_max: at most so many will come (bounds from the inputs). @pack NULL: in memory. */
struct leat_builder *leat_builder_new(struct leat_arr *arr, int64_t bucket, uint64_t keys_max, uint64_t rows_max,
                                      struct leat_pack_writer *pack);
void leat_builder_free(struct leat_builder *builder);
void leat_builder_ticks(struct leat_builder *builder, int64_t low, int64_t high);
/* Keys in hash order: the next key begins at the next row added. */
int leat_builder_keys(struct leat_builder *builder, const uint64_t *hashes, const uint32_t *first_rows, uint32_t count,
                      struct leat_error *err) LEAT_NODISCARD;
int leat_builder_refs(struct leat_builder *builder, const struct leat_ref *refs, const int64_t *weights, uint32_t count,
                      struct leat_error *err) LEAT_NODISCARD;
int leat_builder_batch(struct leat_builder *builder, const struct leat_batch *batch, const uint32_t *rows,
                       const int64_t *weights, uint32_t count, struct leat_error *err) LEAT_NODISCARD;
/* Rows added so far. */
uint64_t leat_builder_rows(const struct leat_builder *builder);
/* The run; NULL when no row came. A run of a pack gets its pack by leat_run_attach once that is finished. */
int leat_builder_finish(struct leat_builder *builder, struct leat_run **ret_run, struct leat_error *err) LEAT_NODISCARD;
/* Points the run at the mapped pack. */
void leat_run_attach(struct leat_run *run, struct leat_pack *pack);

/* The run's footer, in state_footer.c. */
#define LEAT_FOOTER_TAIL 12u
void leat_footer_encode(const struct leat_arr *arr, const struct leat_run *run, struct leat_view page_crcs,
                        struct leat_buf *out);
/* @bytes: the whole run; fills info, regions and page_crc. @arr NULL: any arrangement. LEAT_ECORRUPT without a file name. */
int leat_footer_decode(struct leat_view bytes, const struct leat_arr *arr, struct leat_run *run,
                       struct leat_error *err) LEAT_NODISCARD;
void leat_arr_encode(const struct leat_arr *arr, struct leat_buf *out);
int leat_arr_decode(struct leat_arena *arena, struct leat_cursor *cur, struct leat_arr **ret_arr,
                    struct leat_error *err) LEAT_NODISCARD;

/* ---- merging ------------------------------------------------------------------------ */
struct leat_row_list {
        struct leat_ref *refs;
        int64_t *weights;
        uint32_t count, cap;
};
void leat_row_list_add(struct leat_row_list *list, struct leat_ref ref, int64_t weight);
void leat_row_list_done(struct leat_row_list *list);

/* Rows [low, high) of one run that belong to one key. */
struct leat_range {
        struct leat_run *run;
        uint64_t low, high;
};
struct leat_key_merge {
        uint32_t limit; /* 0 = all */
        bool reverse;
        bool keep_dead; /* MAP: give deletions too */
};
/* Merges the rows of one key out of several runs, newest first; equal rows become one. */
int leat_key_merge(const struct leat_arr *arr, struct leat_range *ranges, uint32_t count,
                   const struct leat_key_merge *how, struct leat_row_list *out, struct leat_error *err) LEAT_NODISCARD;
bool leat_key_same(const struct leat_arr *arr, struct leat_ref a, struct leat_ref b);

/* Several runs of one bucket, newest first, read as one in slices of the hash space. */
struct leat_merge {
        struct leat_arr *arr;
        struct leat_run **runs;
        uint64_t *at;
        uint32_t count;
        bool keep_dead;
        uint64_t keys_max, rows_max;
        uint32_t slice_bits;
        uint64_t slice, slice_count;
        struct leat_row_list rows; /* of this slice */
        uint64_t *hashes;          /* its keys ... */
        uint32_t *firsts;          /* ... and the place of their first row in rows */
        uint32_t key_count, key_cap;
        struct leat_sort *sort, *sort_to;
        uint32_t sort_cap;
        uint32_t *sort_bins;
        uint32_t sort_bins_cap;
};
struct leat_sort {
        uint64_t hash;
        uint32_t source;
        uint32_t index;
};
/* Takes references of its own. */
void leat_merge_init(struct leat_merge *merge, struct leat_arr *arr, struct leat_run *const *runs, uint32_t count,
                     bool keep_dead);
void leat_merge_done(struct leat_merge *merge);
/* The next slice into rows, hashes, firsts; *ret_end when there is no more. */
int leat_merge_next(struct leat_merge *merge, bool *ret_end, struct leat_error *err) LEAT_NODISCARD;
/* Stable sort by hash of entries whose hashes spread over the range given by their top bits after @skip_bits. */
struct leat_sort *leat_sort_hashes(struct leat_sort *in, struct leat_sort *tmp, uint32_t count, uint32_t skip_bits,
                                   uint32_t **bins, uint32_t *bins_cap);
/* All of the runs to one, in memory or appended to @pack; *ret_run NULL when nothing is left. */
int leat_merge_all(struct leat_arr *arr, int64_t bucket, struct leat_run *const *runs, uint32_t count, bool keep_dead,
                   struct leat_pack_writer *pack, struct leat_run **ret_run, struct leat_error *err) LEAT_NODISCARD;
/* Which runs to merge: newest first, the first group of size class that is full. False: none. */
bool leat_merge_pick(struct leat_run *const *runs, uint32_t count, uint32_t fanout, uint32_t *ret_from,
                     uint32_t *ret_count);

/* A batch as runs: one for each bucket, appended to @ret_runs (malloc). In state_apply.c. */
int leat_apply_runs(struct leat_arr *arr, int64_t tick, const struct leat_batch *rows, const int64_t *weights,
                    struct leat_run ***ret_runs, uint32_t *ret_count, struct leat_error *err) LEAT_NODISCARD;

/* ---- probing ------------------------------------------------------------------------ */
struct leat_probe {
        uint64_t hash;
        uint64_t mask;
        uint32_t row;   /* of the key batch */
        uint32_t place; /* free for the user */
};
struct leat_hit {
        uint32_t probe; /* place in the probes */
        uint32_t key;   /* of the run */
};
/* Finds the keys in the run; @hits has room for @count. */
int leat_run_probe(struct leat_run *run, const struct leat_arr *arr, const struct leat_batch *keys,
                   const struct leat_probe *probes, uint32_t count, struct leat_hit *hits, uint32_t *ret_hits,
                   struct leat_error *err) LEAT_NODISCARD;

#define LEAT_FILTER_SHARE 128u /* of 256 keys found: from here on the filter costs more than it saves */
static inline bool leat_run_filters(const struct leat_run *run)
{
        return atomic_load_explicit(&run->hit_share, memory_order_relaxed) < LEAT_FILTER_SHARE;
}

/* ---- versions ------------------------------------------------------------------------ */
/* Runs of one time bucket, newest first: those in memory, then those in files. */
struct leat_bucket {
        _Atomic uint32_t refs;
        int64_t id;
        uint32_t mem_count, count;
        struct leat_run *runs[];
};
/* All buckets of one arrangement, ascending. */
struct leat_table {
        _Atomic uint32_t refs;
        struct leat_arr *arr;
        uint32_t count, cap;
        struct leat_bucket **buckets;
};
struct leat_state_snapshot {
        _Atomic uint32_t refs;
        int64_t tick;
        uint32_t count;
        struct leat_table *tables[]; /* by arrangement id */
};

struct leat_table *leat_table_new(struct leat_arr *arr);
struct leat_table *leat_table_ref(struct leat_table *table);
void leat_table_unref(struct leat_table *table);
/* The table itself when nobody else has it, else a copy that replaces *table. */
struct leat_table *leat_table_own(struct leat_table **table);
struct leat_bucket *leat_table_find(const struct leat_table *table, int64_t bucket);
/* Replaces @count runs from @from on with @run (NULL: with nothing; takes its reference over). The bucket is made when
 * missing and goes when empty. @mem: the new run is in memory. */
void leat_table_replace(struct leat_table *table, int64_t bucket, uint32_t from, uint32_t count, struct leat_run *run,
                        bool mem);
/* Puts a run behind all others of its bucket (loading a manifest). */
void leat_table_append(struct leat_table *table, struct leat_run *run);
void leat_table_drop_at(struct leat_table *table, uint32_t place);
struct leat_table *leat_snapshot_table(const struct leat_state_snapshot *snapshot, uint64_t arr);

/* ---- manifests ------------------------------------------------------------------------- */
struct leat_manifest_run {
        uint64_t seq, offset, bytes;
        int64_t bucket;
        uint64_t rows;
};
struct leat_manifest_arr {
        struct leat_arr *arr;
        int64_t expired_us;
        uint32_t run_count;
        struct leat_manifest_run *runs; /* bucket by bucket, newest first */
};
struct leat_manifest {
        int64_t tick;
        uint64_t next_seq;
        struct leat_view extra;
        uint32_t arr_count;
        struct leat_manifest_arr *arrs;
};
void leat_manifest_encode(const struct leat_manifest *manifest, struct leat_buf *out);
/* Memory from @arena, extra points into @bytes; definitions are released with the arena. */
int leat_manifest_decode(struct leat_arena *arena, struct leat_view bytes, const char *file,
                         struct leat_manifest *ret_manifest, struct leat_error *err) LEAT_NODISCARD;
void leat_manifest_path(const char *dir, int64_t tick, char *out, size_t bytes);
/* Ticks of the two newest manifests in @dir, -1 = none. */
int leat_manifest_list(const char *dir, int64_t ret_ticks[2], struct leat_error *err) LEAT_NODISCARD;

/* ---- the state --------------------------------------------------------------------------- */
struct leat_expiry {
        int64_t tick, time_us;
};
struct leat_entry {
        struct leat_table *table;
        int64_t expired_us;
        /* reader: what was dropped since the manifest, to drop it again from a newer one; times descend, and while
         * expiry goes forwards there is one */
        struct leat_expiry *expiries;
        uint32_t expiry_count;
        bool loaded;              /* the newest manifest that was read names it */
        struct leat_run **leaves; /* reader: the runs of single ticks after the manifest */
        uint32_t leaf_count, leaf_cap;
};
struct leat_file {
        uint64_t seq, bytes;
};
/* The files that a manifest names. */
struct leat_named {
        int64_t tick; /* -1: no such manifest */
        uint64_t *seqs;
        uint32_t count;
};
struct leat_job; /* a merge under way, state_job.c */

struct leat_state {
        struct leat_state_options options;
        char *dir;
        int lock_fd;
        int64_t tick;
        struct leat_entry *entries; /* by arrangement id */
        uint32_t entry_count, entry_cap;
        struct leat_state_snapshot *snapshot; /* of now; NULL when something changed since */
        uint64_t next_seq;
        struct leat_file *files; /* on disk: writer */
        uint32_t file_count, file_cap;
        struct leat_named named[2]; /* newest manifest, and the one before */
        bool dir_dirty;             /* a file was made since the folder was synced */
        uint64_t memory_bytes, disk_bytes;
        struct leat_job *job;
};

struct leat_entry *leat_state_entry(const struct leat_state *state, uint64_t arr);
/* Adds the arrangement with @table (taken over). */
struct leat_entry *leat_state_entry_add(struct leat_state *state, struct leat_table *table);
void leat_entry_done(struct leat_entry *entry);
/* Replaces runs of a bucket, and keeps the counts of bytes. */
void leat_state_replace(struct leat_state *state, struct leat_entry *entry, int64_t bucket, uint32_t from,
                        uint32_t count, struct leat_run *run, bool mem);
/* Runs of a tick go in front; full size classes in memory become one. */
int leat_state_push(struct leat_state *state, struct leat_entry *entry, struct leat_run *run,
                    struct leat_error *err) LEAT_NODISCARD;
/* Notes that buckets were dropped at @tick. */
void leat_entry_expired(struct leat_entry *entry, int64_t tick, int64_t time_us);
void leat_state_drop_expired(struct leat_state *state, struct leat_entry *entry, int64_t time_us);
/* Loads the manifest at @tick into an empty list of entries. */
int leat_state_load(struct leat_state *state, int64_t tick, struct leat_buf *ret_extra,
                    struct leat_error *err) LEAT_NODISCARD;
/* Writer: takes stock of the folder and removes what no manifest names. */
int leat_state_sweep(struct leat_state *state, int64_t older_tick, struct leat_error *err) LEAT_NODISCARD;
/* Runs in memory to a file; @all false: only of arrangements that hold much. */
int leat_state_flush(struct leat_state *state, bool all, struct leat_error *err) LEAT_NODISCARD;
void leat_state_file_add(struct leat_state *state, uint64_t seq, uint64_t bytes);
/* LEAT_EFULL when @bytes more would pass the limit. */
int leat_state_room(const struct leat_state *state, uint64_t bytes, struct leat_error *err) LEAT_NODISCARD;
void leat_job_abort(struct leat_state *state);
bool leat_job_uses(const struct leat_state *state, uint64_t arr, int64_t bucket);
/* Notes the files of the manifest that was loaded. */
void leat_state_named(struct leat_state *state, const struct leat_manifest *manifest);

#endif
