/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/state: the changes of one tick become runs in memory.
 *
 * Design    Rows are cut by time bucket, sorted by the hash of their key, rows of
 *           one key together and in order, equal rows folded into one: the newest
 *           (MAP) or the sum of weights (MULTISET). The result has the form of any
 *           other run, so that reading, merging and snapshots know one thing only.
 */
#include "state_int.h"

struct apply {
        struct leat_arr *arr;
        int64_t tick;
        const struct leat_batch *rows;
        const int64_t *weights; /* NULL = all +1 */
        uint64_t *hashes;
        uint32_t *bins;
        uint32_t bins_cap;
        int64_t *sums; /* by row, MULTISET: weights after folding */
        struct leat_run **runs;
        uint32_t run_count;
};

static int check_batch(const struct leat_arr *arr, const struct leat_batch *rows, struct leat_error *err)
{
        const struct leat_arr_def *def = &arr->def;
        if (rows->column_count != def->column_count)
                return leat_error_set(err, LEAT_EINVAL, "arrangement %" PRIu64 " has %u columns, the rows have %u",
                                      def->id, def->column_count, rows->column_count);
        for (uint32_t c = 0; c < def->column_count; c++) {
                const struct leat_column *col = &rows->columns[c];
                if (!leat_type_eq(&col->type, &def->types[c]))
                        return leat_error_set(err, LEAT_ETYPE, "column %u of arrangement %" PRIu64 " has another type",
                                              c + 1, def->id);
                if (!leat_type_is_text(&col->type))
                        continue;
                for (uint32_t i = 0; i < rows->rows; i++)
                        if (leat_column_cell(col, i).len > LEAT_ROW_TEXT_MAX)
                                return leat_error_set(
                                        err, LEAT_ETOOBIG,
                                        "a value of %u bytes in column %u: state keeps values up to %u bytes",
                                        leat_column_cell(col, i).len, c + 1, LEAT_ROW_TEXT_MAX);
        }
        return 0;
}

static int cmp_columns(const struct apply *a, uint32_t from, uint32_t to, uint32_t x, uint32_t y)
{
        const struct leat_arr_def *def = &a->arr->def;
        for (uint32_t c = from; c < to; c++) {
                const struct leat_column *col = &a->rows->columns[c];
                int order = leat_cell_cmp(&col->type, leat_column_cell(col, x), leat_column_cell(col, y));
                uint32_t place = c - def->key_count;
                if (order != 0)
                        return c >= def->key_count && place < def->order_count && ((def->order_desc >> place) & 1)
                                       ? -order
                                       : order;
        }
        return 0;
}

static bool same_key(const struct apply *a, uint32_t x, uint32_t y)
{
        for (uint32_t c = 0; c < a->arr->def.key_count; c++) {
                const struct leat_column *col = &a->rows->columns[c];
                if (!leat_cell_eq(leat_column_cell(col, x), leat_column_cell(col, y)))
                        return false;
        }
        return true;
}

/* Merge sort of row numbers by key, then by what tells rows apart; stable. */
static void sort_rows(const struct apply *a, uint32_t *rows, uint32_t *tmp, uint32_t count)
{
        if (count < 2)
                return;
        uint32_t half = count / 2, i = 0, k = half, n = 0;
        sort_rows(a, rows, tmp, half);
        sort_rows(a, rows + half, tmp, count - half);
        if (cmp_columns(a, 0, a->arr->ident_count, rows[half - 1], rows[half]) <= 0)
                return;
        memcpy(tmp, rows, half * sizeof *rows);
        while (i < half && k < count)
                rows[n++] = cmp_columns(a, 0, a->arr->ident_count, tmp[i], rows[k]) <= 0 ? tmp[i++] : rows[k++];
        memcpy(rows + n, tmp + i, (half - i) * sizeof *rows);
}

/* Rows of one hash, in order of arrival: sorted, equal rows folded, in place. Returns how many are left. */
static uint32_t fold_rows(struct apply *a, uint32_t *rows, uint32_t *tmp, uint32_t count)
{
        uint32_t n = 0;
        sort_rows(a, rows, tmp, count);
        for (uint32_t i = 0; i < count; i++) {
                bool same = n != 0 && cmp_columns(a, 0, a->arr->ident_count, rows[n - 1], rows[i]) == 0;
                if (!same) {
                        rows[n++] = rows[i];
                } else if (a->arr->def.mode == LEAT_ARR_MAP) {
                        rows[n - 1] = rows[i];
                } else {
                        /* Weights of strangers may run over: they wrap. */
                        a->sums[rows[n - 1]] = (int64_t)((uint64_t)a->sums[rows[n - 1]] + (uint64_t)a->sums[rows[i]]);
                }
        }
        if (a->arr->def.mode == LEAT_ARR_MAP)
                return n;
        uint32_t live = 0;
        for (uint32_t i = 0; i < n; i++)
                if (a->sums[rows[i]] != 0)
                        rows[live++] = rows[i];
        return live;
}

/* The keys of the folded rows and where each begins. */
static uint32_t list_keys(const struct apply *a, const uint32_t *rows, uint32_t count, uint64_t *hashes,
                          uint32_t *firsts)
{
        uint32_t keys = 0;
        for (uint32_t i = 0; i < count; i++) {
                uint64_t hash = a->hashes[rows[i]];
                if (!a->arr->single && i != 0 && hash == hashes[keys - 1] && same_key(a, rows[i - 1], rows[i]))
                        continue;
                hashes[keys] = hash;
                firsts[keys++] = i;
        }
        return keys;
}

static int build_run(struct apply *a, int64_t bucket, const uint32_t *rows, uint32_t count, uint64_t *hashes,
                     uint32_t *firsts, struct leat_error *err)
{
        uint32_t keys = list_keys(a, rows, count, hashes, firsts);
        const int64_t *weights = a->arr->def.mode == LEAT_ARR_MULTISET ? a->sums : a->weights;
        struct leat_builder *builder = leat_builder_new(a->arr, bucket, keys, count, NULL);
        leat_builder_ticks(builder, a->tick, a->tick);
        struct leat_run *run = NULL;
        int rc = leat_builder_keys(builder, hashes, firsts, keys, err);
        if (rc == 0)
                rc = leat_builder_batch(builder, a->rows, rows, weights, count, err);
        if (rc == 0)
                rc = leat_builder_finish(builder, &run, err);
        leat_builder_free(builder);
        LEAT_TRY(rc);
        a->runs = leat_realloc(a->runs, (a->run_count + 1) * sizeof *a->runs);
        a->runs[a->run_count++] = run;
        return 0;
}

/* The rows of one bucket, as entries with hash and row number. */
static int apply_bucket(struct apply *a, int64_t bucket, struct leat_sort *e, struct leat_sort *tmp, uint32_t count,
                        struct leat_error *err)
{
        struct leat_sort *sorted = leat_sort_hashes(e, tmp, count, 0, &a->bins, &a->bins_cap);
        uint32_t *rows = leat_malloc(count * sizeof *rows * 3);
        uint64_t *hashes = leat_malloc(count * sizeof *hashes);
        uint32_t n = 0;
        for (uint32_t i = 0; i < count;) {
                uint32_t same = 1;
                rows[n] = sorted[i].index;
                while (i + same < count && sorted[i + same].hash == sorted[i].hash) {
                        rows[n + same] = sorted[i + same].index;
                        same++;
                }
                i += same;
                if (same > 1 || (a->sums != NULL && a->sums[rows[n]] == 0))
                        same = fold_rows(a, rows + n, rows + 2 * (size_t)count, same);
                n += same;
        }
        int rc = n == 0 ? 0 : build_run(a, bucket, rows, n, hashes, rows + count, err);
        free(rows);
        free(hashes);
        return rc;
}

struct bucket_entry {
        int64_t bucket;
        uint32_t row;
};

static int bucket_cmp(const void *x, const void *y)
{
        const struct bucket_entry *a = x, *b = y;
        if (a->bucket != b->bucket)
                return a->bucket > b->bucket ? 1 : -1;
        return (a->row > b->row) - (a->row < b->row);
}

#define FEW_BUCKETS 16

/* A counting sort when the rows are of few buckets, as those of a tick nearly always are; false: they are not. */
static bool sort_few(const int64_t *buckets, uint32_t count, struct bucket_entry *e)
{
        struct {
                int64_t bucket;
                uint32_t place; /* first how many, then where the next one goes */
        } few[FEW_BUCKETS];
        uint32_t n = 0, at = 0, sum = 0;
        for (uint32_t i = 0; i < count; i++) {
                if (n == 0 || few[at].bucket != buckets[i])
                        for (at = 0; at < n && few[at].bucket < buckets[i]; at++)
                                continue;
                if (at == n || few[at].bucket != buckets[i]) {
                        if (n == FEW_BUCKETS)
                                return false;
                        memmove(few + at + 1, few + at, (n - at) * sizeof *few);
                        few[at].bucket = buckets[i];
                        few[at].place = 0;
                        n++;
                }
                few[at].place++;
        }
        for (uint32_t b = 0; b < n; b++) {
                uint32_t rows = few[b].place;
                few[b].place = sum;
                sum += rows;
        }
        for (uint32_t i = 0; i < count; i++) {
                for (at = at < n && few[at].bucket == buckets[i] ? at : 0; few[at].bucket != buckets[i]; at++)
                        continue;
                e[few[at].place++] = (struct bucket_entry){buckets[i], i};
        }
        return true;
}

/* Row numbers by bucket: mostly there is one, or time ascends. */
static struct bucket_entry *cut_buckets(const struct apply *a)
{
        uint32_t count = a->rows->rows;
        struct bucket_entry *e = leat_malloc(count * sizeof *e);
        int64_t *buckets = leat_malloc(count * sizeof *buckets);
        bool ordered = true;
        if (a->arr->def.time_column >= 0)
                leat_bucket_of(a->arr, &a->rows->columns[a->arr->def.time_column], count, buckets);
        else
                memset(buckets, 0, count * sizeof *buckets);
        for (uint32_t i = 0; i < count; i++) {
                e[i] = (struct bucket_entry){buckets[i], i};
                ordered = ordered && (i == 0 || buckets[i - 1] <= buckets[i]);
        }
        if (!ordered && !sort_few(buckets, count, e))
                qsort(e, count, sizeof *e, bucket_cmp);
        free(buckets);
        return e;
}

int leat_apply_runs(struct leat_arr *arr, int64_t tick, const struct leat_batch *rows, const int64_t *weights,
                    struct leat_run ***ret_runs, uint32_t *ret_count, struct leat_error *err)
{
        *ret_runs = NULL;
        *ret_count = 0;
        LEAT_TRY(check_batch(arr, rows, err));
        uint32_t count = rows->rows;
        if (count == 0)
                return 0;
        struct leat_arena *arena = leat_arena_new(0);
        struct apply a = {.arr = arr, .tick = tick, .weights = weights};
        a.rows = leat_canon(arena, rows, arr->ident_count);
        a.hashes = leat_malloc(count * sizeof *a.hashes);
        leat_hash_keys(arr, a.rows, a.hashes);
        if (arr->def.mode == LEAT_ARR_MULTISET) {
                a.sums = leat_malloc(count * sizeof *a.sums);
                for (uint32_t i = 0; i < count; i++)
                        a.sums[i] = weights != NULL ? weights[i] : 1;
        }
        struct bucket_entry *cut = cut_buckets(&a);
        struct leat_sort *e = leat_malloc((size_t)count * 2 * sizeof *e);
        int rc = 0;
        for (uint32_t i = 0; i < count && rc == 0;) {
                uint32_t n = 0;
                int64_t bucket = cut[i].bucket;
                for (; i < count && cut[i].bucket == bucket; i++)
                        e[n++] = (struct leat_sort){a.hashes[cut[i].row], 0, cut[i].row};
                rc = apply_bucket(&a, bucket, e, e + n, n, err);
        }
        free(e);
        free(cut);
        free(a.sums);
        free(a.bins);
        free(a.hashes);
        leat_arena_free(arena);
        if (rc != 0) {
                for (uint32_t i = 0; i < a.run_count; i++)
                        leat_run_unref(a.runs[i]);
                free(a.runs);
                return rc;
        }
        *ret_runs = a.runs;
        *ret_count = a.run_count;
        return 0;
}
