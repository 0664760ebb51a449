/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/state: finding many keys in a run.
 *
 * Design    A lookup in a large run is four reads that depend on each other, and
 *           each misses the cache. So keys go through in groups: every step
 *           touches the memory of the next one for all keys of the group before
 *           any waits for it. Keys that the filter refuses cost one read.
 */
#include "state_int.h"

#define GROUP 64u
#define WINDOW 8u /* hashes around the guess: one or two lines of the cache */

struct cand {
        uint32_t probe;
        uint32_t low, high; /* keys that may be it */
        uint32_t guess;
};

#define FILTER_CACHED (1u << 17) /* words of a filter that is in the cache anyway */
#define FILTER_AHEAD 24u

/* Step 1: the filter, for probes [from, from + count). Where most keys are found it is left out. */
static int probe_filter(struct leat_run *run, const struct leat_probe *probes, uint32_t from, uint32_t count,
                        uint32_t limit, bool trusted, struct cand *out, uint32_t *ret, struct leat_error *err)
{
        uint32_t n = *ret;
        const uint64_t *bloom = run->bloom;
        uint64_t words = run->bloom_words;
        if (!trusted)
                for (uint32_t i = from; i < from + count; i++)
                        LEAT_TRY(leat_run_touch(run, LEAT_R_BLOOM, leat_bloom_word(probes[i].hash, words) * 8, 8, err));
        if (words > FILTER_CACHED) {
                uint32_t end = LEAT_MIN(limit, from + count + FILTER_AHEAD);
                for (uint32_t i = from == 0 ? 0 : from + FILTER_AHEAD; i < end; i++)
                        __builtin_prefetch(&bloom[leat_bloom_word(probes[i].hash, words)]);
        }
        for (uint32_t i = from; i < from + count; i++) {
                uint64_t mask = probes[i].mask;
                out[n].probe = i;
                n += (bloom[leat_bloom_word(probes[i].hash, words)] & mask) == mask;
        }
        *ret = n;
        return 0;
}

/* Step 2: the keys of the prefix, and where among them the hash should be. */
static int probe_prefix(struct leat_run *run, const struct leat_probe *probes, struct cand *cands, uint32_t count,
                        bool trusted, struct leat_error *err)
{
        uint32_t bits = run->info.prefix_bits;
        for (uint32_t i = 0; i < count; i++)
                __builtin_prefetch(&run->starts[probes[cands[i].probe].hash >> (64u - bits)]);
        for (uint32_t i = 0; i < count; i++) {
                struct cand *c = &cands[i];
                uint64_t hash = probes[c->probe].hash, prefix = hash >> (64u - bits);
                if (!trusted)
                        LEAT_TRY(leat_run_touch(run, LEAT_R_START, prefix * 4, 8, err));
                c->high = (uint32_t)LEAT_MIN((uint64_t)run->starts[prefix + 1], run->info.keys);
                c->low = LEAT_MIN(run->starts[prefix], c->high);
                c->guess = c->low + (uint32_t)((((hash << bits) >> 32) * (c->high - c->low)) >> 32);
                c->guess = c->guess > WINDOW / 2 ? c->guess - WINDOW / 2 : 0;
                __builtin_prefetch(&run->hashes[c->guess]);
                __builtin_prefetch(&run->hashes[c->guess] + WINDOW - 1);
        }
        return 0;
}

/* First key from @low on, below @high, whose hash is not less. */
static uint32_t walk(const uint64_t *hashes, uint32_t at, uint32_t low, uint32_t high, uint64_t hash)
{
        at = LEAT_MAX(LEAT_MIN(at, high), low);
        while (at > low && hashes[at - 1] >= hash)
                at--;
        while (at < high && hashes[at] < hash)
                at++;
        return at;
}

/* Step 3: the first key of that hash. Hashes ascend over all prefixes, so the few around the guess are counted without a
 * branch, and only a count at an end says that the guess was too far off. */
static int probe_hashes(struct leat_run *run, const struct leat_probe *probes, struct cand *cands, uint32_t *count,
                        bool trusted, struct leat_error *err)
{
        uint32_t n = 0, keys = (uint32_t)run->info.keys;
        const uint64_t *hashes = run->hashes;
        for (uint32_t i = 0; i < *count; i++) {
                uint64_t hash = probes[cands[i].probe].hash;
                uint32_t at = cands[i].guess, low = cands[i].low, high = cands[i].high, less = 0;
                if (!trusted) {
                        uint32_t from = LEAT_MIN(at, low), to = LEAT_MIN(LEAT_MAX(at + WINDOW, high), keys);
                        LEAT_TRY(leat_run_touch(run, LEAT_R_HASH, (uint64_t)from * 8, (uint64_t)(to - from) * 8, err));
                }
                if (at + WINDOW <= keys)
                        for (uint32_t k = 0; k < WINDOW; k++)
                                less += hashes[at + k] < hash;
                at = less != 0 && less != WINDOW ? at + less : walk(hashes, at, low, high, hash);
                if (at >= high || at < low || hashes[at] != hash)
                        continue;
                cands[n] = (struct cand){.probe = cands[i].probe, .low = at, .high = high};
                if (run->rows != NULL)
                        __builtin_prefetch(&run->rows[at]);
                else if (run->info.stride == 0)
                        __builtin_prefetch(&run->table[at / LEAT_BLOCK_ROWS]);
                n++;
        }
        *count = n;
        return 0;
}

static int key_ref(struct leat_run *run, uint32_t key, struct leat_ref *ret, struct leat_error *err)
{
        if (run->rows != NULL)
                LEAT_TRY(leat_run_touch(run, LEAT_R_ROW, (uint64_t)key * 4, 8, err));
        uint64_t row = leat_run_key_row(run, key);
        if (row >= run->info.rows)
                return leat_error_set(err, LEAT_ECORRUPT, "%s: first rows of its keys are damaged",
                                      run->pack != NULL ? run->pack->path : "memory");
        return leat_run_ref_at(run, row, ret, err);
}

static bool key_equal(const struct leat_arr *arr, const struct leat_batch *keys, uint32_t row, struct leat_ref ref)
{
        struct leat_cell_room room;
        for (uint32_t c = 0; c < arr->def.key_count; c++) {
                const struct leat_column *col = &keys->columns[c];
                struct leat_cell have = leat_block_cell(ref.block, c, ref.row, &room);
                if (have.len == 8 && col->validity == NULL && !leat_type_is_text(&col->type)) {
                        uint64_t x;
                        memcpy(&x, have.data, 8);
                        if (x != ((const uint64_t *)col->data)[row])
                                return false;
                } else if (!leat_cell_eq(have, leat_column_cell(col, row))) {
                        return false;
                }
        }
        return true;
}

/* Steps 4 to 6: block, key column, comparison. */
static int probe_rows(struct leat_run *run, const struct leat_arr *arr, const struct leat_batch *keys,
                      const struct leat_probe *probes, const struct cand *cands, uint32_t count, struct leat_hit *hits,
                      uint32_t *hit_count, struct leat_error *err)
{
        struct leat_ref refs[2 * GROUP];
        for (uint32_t i = 0; i < count; i++) {
                LEAT_TRY(key_ref(run, cands[i].low, &refs[i], err));
                __builtin_prefetch(refs[i].block);
                __builtin_prefetch(refs[i].block + 64);
        }
        for (uint32_t i = 0; i < count && arr->def.key_count != 0; i++) {
                __builtin_prefetch(leat_block_spot(refs[i].block, 0, refs[i].row));
        }
        for (uint32_t i = 0; i < count; i++) {
                const struct leat_probe *p = &probes[cands[i].probe];
                uint32_t key = cands[i].low;
                struct leat_ref ref = refs[i];
                bool equal = key_equal(arr, keys, p->row, ref);
                /* Another key of the same hash: go on in the directory. */
                while (!equal && ++key < cands[i].high && run->hashes[key] == p->hash) {
                        LEAT_TRY(key_ref(run, key, &ref, err));
                        equal = key_equal(arr, keys, p->row, ref);
                }
                if (!equal)
                        continue;
                hits[(*hit_count)++] = (struct leat_hit){cands[i].probe, key};
                for (uint32_t c = arr->def.key_count; c < LEAT_MIN(arr->def.column_count, 4u); c++)
                        __builtin_prefetch(leat_block_spot(ref.block, c, ref.row));
        }
        return 0;
}

int leat_run_probe(struct leat_run *run, const struct leat_arr *arr, const struct leat_batch *keys,
                   const struct leat_probe *probes, uint32_t count, struct leat_hit *hits, uint32_t *ret_hits,
                   struct leat_error *err)
{
        struct cand cands[2 * GROUP];
        uint32_t hit_count = 0, open = 0;
        bool trusted = leat_run_trusted(run);
        bool filters = leat_run_filters(run);
        uint32_t hit_share = atomic_load_explicit(&run->hit_share, memory_order_relaxed);
        for (uint32_t from = 0; from < count; from += GROUP) {
                uint32_t n = LEAT_MIN(GROUP, count - from);
                if (filters)
                        LEAT_TRY(probe_filter(run, probes, from, n, count, trusted, cands, &open, err));
                else
                        for (uint32_t i = 0; i < n; i++)
                                cands[open++].probe = from + i;
                /* Few pass the filter: the later steps wait until they are a whole group. */
                if (open < GROUP && from + n < count)
                        continue;
                LEAT_TRY(probe_prefix(run, probes, cands, open, trusted, err));
                LEAT_TRY(probe_hashes(run, probes, cands, &open, trusted, err));
                LEAT_TRY(probe_rows(run, arr, keys, probes, cands, open, hits, &hit_count, err));
                open = 0;
        }
        if (count >= GROUP)
                atomic_store_explicit(&run->hit_share, (hit_share * 3 + hit_count * 256ull / count) / 4,
                                      memory_order_relaxed);
        *ret_hits = hit_count;
        return 0;
}
