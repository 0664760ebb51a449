/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/state: reading several runs as one.
 *
 * Design    Hashes are spread evenly, so the runs are not merged by a tree of
 *           comparisons: the hash space is cut into slices of some thousand keys,
 *           the keys of all runs in a slice are sorted by counting, and equal ones
 *           lie side by side. A slice costs a few nanoseconds a key, fits into the
 *           cache, and is the unit in which a long merge can stop and go on.
 * Order     Runs come newest first. MAP: the newest row wins, a deletion hides the
 *           older ones and goes itself when no older run is left (keep_dead
 *           false). MULTISET: weights add up, rows of weight 0 go.
 */
#include "state_int.h"

#define BIN_MAX 32u /* entries in a bin that are sorted by insertion */

/* ---- lists of rows ---------------------------------------------------------------- */

void leat_row_list_add(struct leat_row_list *list, struct leat_ref ref, int64_t weight)
{
        if (list->count == list->cap) {
                list->cap = LEAT_MAX(list->cap * 2, 256u);
                list->refs = leat_realloc(list->refs, list->cap * sizeof *list->refs);
                list->weights = leat_realloc(list->weights, list->cap * sizeof *list->weights);
        }
        list->refs[list->count] = ref;
        list->weights[list->count++] = weight;
}

void leat_row_list_done(struct leat_row_list *list)
{
        free(list->refs);
        free(list->weights);
        *list = (struct leat_row_list){0};
}

/* ---- sorting ------------------------------------------------------------------------ */

static int sort_cmp(const void *a, const void *b)
{
        const struct leat_sort *x = a, *y = b;
        if (x->hash != y->hash)
                return x->hash > y->hash ? 1 : -1;
        if (x->source != y->source)
                return x->source > y->source ? 1 : -1;
        return (x->index > y->index) - (x->index < y->index);
}

static void sort_bin(struct leat_sort *e, uint32_t count)
{
        if (count > BIN_MAX) {
                qsort(e, count, sizeof *e, sort_cmp);
                return;
        }
        for (uint32_t i = 1; i < count; i++) {
                struct leat_sort x = e[i];
                uint32_t at = i;
                for (; at > 0 && e[at - 1].hash > x.hash; at--)
                        e[at] = e[at - 1];
                e[at] = x;
        }
}

struct leat_sort *leat_sort_hashes(struct leat_sort *in, struct leat_sort *tmp, uint32_t count, uint32_t skip_bits,
                                   uint32_t **bins, uint32_t *bins_cap)
{
        uint32_t bits = 1;
        while (bits < 20 && (1u << bits) < count)
                bits++;
        uint32_t bin_count = 1u << bits, shift = 64 - bits;
        if (*bins_cap < bin_count + 1) {
                free(*bins);
                *bins_cap = bin_count + 1;
                *bins = leat_malloc(*bins_cap * sizeof **bins);
        }
        uint32_t *at = *bins;
        memset(at, 0, (bin_count + 1) * sizeof *at);
        for (uint32_t i = 0; i < count; i++)
                at[((in[i].hash << skip_bits) >> shift) + 1]++;
        for (uint32_t i = 1; i <= bin_count; i++)
                at[i] += at[i - 1];
        for (uint32_t i = 0; i < count; i++)
                tmp[at[(in[i].hash << skip_bits) >> shift]++] = in[i];
        uint32_t begin = 0;
        for (uint32_t i = 0; i < bin_count; i++) {
                if (at[i] - begin > 1)
                        sort_bin(tmp + begin, at[i] - begin);
                begin = at[i];
        }
        return tmp;
}

/* ---- rows of one key ------------------------------------------------------------------ */

static int cmp_rows(const struct leat_arr *arr, struct leat_ref a, struct leat_ref b)
{
        const struct leat_arr_def *def = &arr->def;
        struct leat_cell_room room_a, room_b;
        for (uint32_t c = def->key_count; c < arr->ident_count; c++) {
                int order = leat_cell_cmp(&def->types[c], leat_block_cell(a.block, c, a.row, &room_a),
                                          leat_block_cell(b.block, c, b.row, &room_b));
                uint32_t place = c - def->key_count;
                if (order != 0)
                        return place < def->order_count && ((def->order_desc >> place) & 1) ? -order : order;
        }
        return 0;
}

bool leat_key_same(const struct leat_arr *arr, struct leat_ref a, struct leat_ref b)
{
        struct leat_cell_room room_a, room_b;
        for (uint32_t c = 0; c < arr->def.key_count; c++)
                if (!leat_cell_eq(leat_block_cell(a.block, c, a.row, &room_a),
                                  leat_block_cell(b.block, c, b.row, &room_b)))
                        return false;
        return true;
}

/* The next row of a range from the end that is read. */
static inline uint64_t range_head(const struct leat_range *range, bool reverse)
{
        return reverse ? range->high - 1 : range->low;
}

static inline void range_step(struct leat_range *range, bool reverse)
{
        if (reverse)
                range->high--;
        else
                range->low++;
}

static void emit(const struct leat_arr *arr, const struct leat_key_merge *how, struct leat_row_list *out,
                 struct leat_ref ref, int64_t weight)
{
        bool live = arr->def.mode == LEAT_ARR_MAP ? weight > 0 || how->keep_dead : weight != 0;
        if (live)
                leat_row_list_add(out, ref, weight);
}

static bool full(const struct leat_key_merge *how, const struct leat_row_list *out, uint32_t begin)
{
        return how->limit != 0 && out->count - begin >= how->limit;
}

static int single_range(const struct leat_arr *arr, struct leat_range *range, const struct leat_key_merge *how,
                        struct leat_row_list *out, struct leat_error *err)
{
        uint32_t begin = out->count;
        while (range->low < range->high && !full(how, out, begin)) {
                struct leat_ref ref = {.tag = 0};
                LEAT_TRY(leat_run_ref_at(range->run, range_head(range, how->reverse), &ref, err));
                range_step(range, how->reverse);
                emit(arr, how, out, ref, leat_block_weight(ref.block, arr->def.column_count, ref.row));
        }
        return 0;
}

int leat_key_merge(const struct leat_arr *arr, struct leat_range *ranges, uint32_t count,
                   const struct leat_key_merge *how, struct leat_row_list *out, struct leat_error *err)
{
        if (count == 1)
                return single_range(arr, ranges, how, out, err);
        struct leat_ref few[16], *heads = count <= 16 ? few : leat_malloc(count * sizeof *heads);
        uint32_t begin = out->count;
        int rc = 0;
        for (uint32_t i = 0; i < count && rc == 0; i++) {
                heads[i].block = NULL;
                if (ranges[i].low < ranges[i].high)
                        rc = leat_run_ref_at(ranges[i].run, range_head(&ranges[i], how->reverse), &heads[i], err);
        }
        while (rc == 0 && !full(how, out, begin)) {
                uint32_t best = UINT32_MAX;
                for (uint32_t i = 0; i < count; i++) {
                        if (heads[i].block == NULL)
                                continue;
                        int order = best == UINT32_MAX ? -1 : cmp_rows(arr, heads[i], heads[best]);
                        if (how->reverse && best != UINT32_MAX)
                                order = -order;
                        if (order < 0)
                                best = i;
                }
                if (best == UINT32_MAX)
                        break;
                struct leat_ref row = heads[best];
                int64_t weight = 0;
                for (uint32_t i = best; i < count && rc == 0; i++) {
                        if (heads[i].block == NULL || (i != best && cmp_rows(arr, heads[i], row) != 0))
                                continue;
                        int64_t w = leat_block_weight(heads[i].block, arr->def.column_count, heads[i].row);
                        if (i == best || arr->def.mode == LEAT_ARR_MULTISET)
                                weight = (int64_t)((uint64_t)weight + (uint64_t)w);
                        range_step(&ranges[i], how->reverse);
                        heads[i].block = NULL;
                        if (ranges[i].low < ranges[i].high)
                                rc = leat_run_ref_at(ranges[i].run, range_head(&ranges[i], how->reverse), &heads[i],
                                                     err);
                }
                row.tag = 0;
                emit(arr, how, out, row, weight);
        }
        if (heads != few)
                free(heads);
        return rc;
}

/* ---- slices ------------------------------------------------------------------------------ */

void leat_merge_init(struct leat_merge *merge, struct leat_arr *arr, struct leat_run *const *runs, uint32_t count,
                     bool keep_dead)
{
        *merge = (struct leat_merge){.arr = leat_arr_ref(arr), .count = count, .keep_dead = keep_dead};
        merge->runs = leat_malloc(LEAT_MAX(count, 1u) * sizeof *merge->runs);
        merge->at = leat_calloc(LEAT_MAX(count, 1u), sizeof *merge->at);
        for (uint32_t i = 0; i < count; i++) {
                merge->runs[i] = leat_run_ref(runs[i]);
                merge->keys_max += runs[i]->info.keys;
                merge->rows_max += runs[i]->info.rows;
        }
        while (merge->slice_bits < 40 && (merge->keys_max >> merge->slice_bits) > leat_state_tuning.slice_keys)
                merge->slice_bits++;
        merge->slice_count = 1ull << merge->slice_bits;
}

void leat_merge_done(struct leat_merge *merge)
{
        for (uint32_t i = 0; i < merge->count; i++)
                leat_run_unref(merge->runs[i]);
        leat_arr_unref(merge->arr);
        leat_row_list_done(&merge->rows);
        free(merge->runs);
        free(merge->at);
        free(merge->hashes);
        free(merge->firsts);
        free(merge->sort);
        free(merge->sort_to);
        free(merge->sort_bins);
        *merge = (struct leat_merge){0};
}

static void sort_room(struct leat_merge *merge, uint32_t count)
{
        if (count <= merge->sort_cap)
                return;
        merge->sort_cap = LEAT_MAX(count, merge->sort_cap * 2);
        merge->sort = leat_realloc(merge->sort, merge->sort_cap * sizeof *merge->sort);
        free(merge->sort_to);
        merge->sort_to = leat_malloc(merge->sort_cap * sizeof *merge->sort_to);
}

/* The keys of all runs in the slice, run after run. */
static int slice_collect(struct leat_merge *merge, uint32_t *ret_count, struct leat_error *err)
{
        uint32_t count = 0;
        bool last = merge->slice + 1 == merge->slice_count;
        for (uint32_t r = 0; r < merge->count; r++) {
                struct leat_run *run = merge->runs[r];
                uint64_t at = merge->at[r], end = run->info.keys;
                if (!last) {
                        /* Step on in growing strides, then look for the end in the last one. */
                        uint64_t bound = (merge->slice + 1) << (64 - merge->slice_bits), stride = 64, low = at;
                        LEAT_TRY(leat_run_touch(run, LEAT_R_HASH, at * 8,
                                                (LEAT_MIN(end, at + leat_state_tuning.slice_keys * 8ull) - at) * 8,
                                                err));
                        while (low < end && run->hashes[low] < bound) {
                                at = low + 1;
                                low = LEAT_MIN(low + stride, end - 1) == low ? end : LEAT_MIN(low + stride, end - 1);
                                stride *= 2;
                                if (low < end)
                                        LEAT_TRY(leat_run_touch(run, LEAT_R_HASH, low * 8, 8, err));
                        }
                        uint64_t high = LEAT_MIN(low, end);
                        while (at < high) {
                                uint64_t mid = at + (high - at) / 2;
                                LEAT_TRY(leat_run_touch(run, LEAT_R_HASH, mid * 8, 8, err));
                                if (run->hashes[mid] < bound)
                                        at = mid + 1;
                                else
                                        high = mid;
                        }
                        end = at;
                }
                uint64_t n = end - merge->at[r];
                if (n > UINT32_MAX / 2 - count)
                        return leat_error_set(err, LEAT_ECORRUPT, "%s: hashes of its keys are not spread",
                                              run->pack != NULL ? run->pack->path : "memory");
                LEAT_TRY(leat_run_touch(run, LEAT_R_HASH, merge->at[r] * 8, n * 8, err));
                sort_room(merge, count + (uint32_t)n);
                for (uint64_t k = merge->at[r]; k < end; k++)
                        merge->sort[count++] = (struct leat_sort){run->hashes[k], r, (uint32_t)k};
                merge->at[r] = end;
        }
        *ret_count = count;
        return 0;
}

static void key_begin(struct leat_merge *merge, uint64_t hash, uint32_t first)
{
        if (merge->key_count == merge->key_cap) {
                merge->key_cap = LEAT_MAX(merge->key_cap * 2, 2 * leat_state_tuning.slice_keys);
                merge->hashes = leat_realloc(merge->hashes, merge->key_cap * sizeof *merge->hashes);
                merge->firsts = leat_realloc(merge->firsts, merge->key_cap * sizeof *merge->firsts);
        }
        merge->hashes[merge->key_count] = hash;
        merge->firsts[merge->key_count++] = first;
}

static int entry_ref(const struct leat_merge *merge, const struct leat_sort *e, struct leat_ref *ret,
                     struct leat_error *err)
{
        struct leat_run *run = merge->runs[e->source];
        if (run->rows != NULL)
                LEAT_TRY(leat_run_touch(run, LEAT_R_ROW, (uint64_t)e->index * 4, 8, err));
        uint64_t row = leat_run_key_row(run, e->index);
        if (row >= run->info.rows)
                return leat_error_set(err, LEAT_ECORRUPT, "%s: first rows of its keys are damaged",
                                      run->pack != NULL ? run->pack->path : "memory");
        ret->tag = 0;
        return leat_run_ref_at(run, row, ret, err);
}

/* Entries of one key (all of the same hash, newest first): to rows. */
static int key_rows(struct leat_merge *merge, const struct leat_sort *e, uint32_t count, struct leat_ref first,
                    struct leat_error *err)
{
        const struct leat_arr *arr = merge->arr;
        uint32_t begin = merge->rows.count;
        if (arr->single) {
                int64_t weight = leat_block_weight(first.block, arr->def.column_count, first.row);
                if (weight > 0 || merge->keep_dead)
                        leat_row_list_add(&merge->rows, first, weight);
        } else {
                struct leat_range few[16], *ranges = count <= 16 ? few : leat_malloc(count * sizeof *ranges);
                struct leat_key_merge how = {.keep_dead = merge->keep_dead};
                for (uint32_t i = 0; i < count; i++) {
                        struct leat_run *run = merge->runs[e[i].source];
                        ranges[i] = (struct leat_range){run, leat_run_key_row(run, e[i].index),
                                                        leat_run_key_row(run, (uint64_t)e[i].index + 1)};
                }
                int rc = leat_key_merge(arr, ranges, count, &how, &merge->rows, err);
                if (ranges != few)
                        free(ranges);
                LEAT_TRY(rc);
        }
        if (merge->rows.count != begin)
                key_begin(merge, e->hash, begin);
        return 0;
}

/* Entries of one hash: nearly always one key; else they are taken apart. */
static int hash_rows(struct leat_merge *merge, struct leat_sort *e, uint32_t count, struct leat_error *err)
{
        while (count > 0) {
                struct leat_ref first, other;
                uint32_t same = 1, rest = 0;
                LEAT_TRY(entry_ref(merge, e, &first, err));
                struct leat_sort few[16], *others = count <= 16 ? few : leat_malloc(count * sizeof *others);
                int rc = 0;
                for (uint32_t i = 1; i < count && rc == 0; i++) {
                        rc = entry_ref(merge, &e[i], &other, err);
                        if (rc == 0 && leat_key_same(merge->arr, first, other))
                                e[same++] = e[i];
                        else if (rc == 0)
                                others[rest++] = e[i];
                }
                if (rc == 0)
                        rc = key_rows(merge, e, same, first, err);
                memcpy(e, others, rest * sizeof *e);
                count = rest;
                if (others != few)
                        free(others);
                LEAT_TRY(rc);
        }
        return 0;
}

int leat_merge_next(struct leat_merge *merge, bool *ret_end, struct leat_error *err)
{
        uint32_t count = 0;
        merge->rows.count = merge->key_count = 0;
        *ret_end = merge->slice == merge->slice_count;
        if (*ret_end)
                return 0;
        LEAT_TRY(slice_collect(merge, &count, err));
        merge->slice++;
        if (count == 0)
                return 0;
        struct leat_sort *e = merge->sort;
        if (merge->count > 1)
                e = leat_sort_hashes(merge->sort, merge->sort_to, count, merge->slice_bits, &merge->sort_bins,
                                     &merge->sort_bins_cap);
        for (uint32_t i = 0; i < count;) {
                uint32_t n = 1;
                bool alone = i + 1 == count || e[i + 1].hash != e[i].hash;
                if (alone && merge->arr->single && !merge->runs[e[i].source]->info.dead) {
                        struct leat_ref ref = {.tag = 0};
                        LEAT_TRY(leat_run_ref_at(merge->runs[e[i].source], e[i].index, &ref, err));
                        key_begin(merge, e[i].hash, merge->rows.count);
                        leat_row_list_add(&merge->rows, ref, 1);
                        i++;
                        continue;
                }
                while (i + n < count && e[i + n].hash == e[i].hash)
                        n++;
                LEAT_TRY(hash_rows(merge, e + i, n, err));
                i += n;
        }
        return 0;
}

/* ---- whole merges ------------------------------------------------------------------------- */

int leat_merge_all(struct leat_arr *arr, int64_t bucket, struct leat_run *const *runs, uint32_t count, bool keep_dead,
                   struct leat_pack_writer *pack, struct leat_run **ret_run, struct leat_error *err)
{
        struct leat_merge merge;
        leat_merge_init(&merge, arr, runs, count, keep_dead);
        struct leat_builder *builder = leat_builder_new(arr, bucket, merge.keys_max, merge.rows_max, pack);
        bool end = false;
        int rc = 0;
        for (uint32_t i = 0; i < count; i++)
                leat_builder_ticks(builder, runs[i]->info.tick_low, runs[i]->info.tick_high);
        while (rc == 0 && !end) {
                rc = leat_merge_next(&merge, &end, err);
                if (rc == 0)
                        rc = leat_builder_keys(builder, merge.hashes, merge.firsts, merge.key_count, err);
                if (rc == 0)
                        rc = leat_builder_refs(builder, merge.rows.refs, merge.rows.weights, merge.rows.count, err);
        }
        if (rc == 0)
                rc = leat_builder_finish(builder, ret_run, err);
        leat_builder_free(builder);
        leat_merge_done(&merge);
        return rc;
}

static uint32_t size_class(uint64_t rows, uint32_t fanout)
{
        uint32_t class = 0;
        for (; rows >= fanout; rows /= fanout)
                class ++;
        return class;
}

bool leat_merge_pick(struct leat_run *const *runs, uint32_t count, uint32_t fanout, uint32_t *ret_from,
                     uint32_t *ret_count)
{
        /* A run counts at least as large as every newer one, so that classes ascend with age. */
        uint32_t from = 0, class = 0;
        for (uint32_t i = 0; i < count; i++) {
                uint32_t own = LEAT_MAX(size_class(runs[i]->info.rows, fanout), class);
                if (own != class)
                        from = i;
                class = own;
                if (i - from + 1 >= fanout && (i + 1 == count || size_class(runs[i + 1]->info.rows, fanout) > class)) {
                        *ret_from = from;
                        *ret_count = i - from + 1;
                        return true;
                }
        }
        return false;
}
