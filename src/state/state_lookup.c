/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/state: reading by key: lookup (one row a key) and gather (all rows of a key).
 *
 * Design    The keys of a batch are sorted by bucket and hash, so that they walk
 *           through each run in the order of its memory. Runs are asked newest
 *           first; a lookup takes found keys out before it asks the next. When the
 *           bucket does not follow from the key, all buckets are asked, newest
 *           first, until the key was found in one: its rows are all there.
 */
#include "state_int.h"

struct probe_set {
        const struct leat_arr *arr;
        const struct leat_batch *keys;
        struct leat_probe *probes; /* sorted */
        int64_t *buckets;          /* of probe i; NULL: not known from the key */
        uint32_t count;
};

static int check_keys(const struct leat_arr *arr, const struct leat_batch *keys, struct leat_error *err)
{
        if (keys->column_count != arr->def.key_count)
                return leat_error_set(err, LEAT_EINVAL, "arrangement %" PRIu64 " has %u key columns, %u were given",
                                      arr->def.id, arr->def.key_count, keys->column_count);
        for (uint32_t c = 0; c < keys->column_count; c++)
                if (!leat_type_eq(&keys->columns[c].type, &arr->def.types[c]))
                        return leat_error_set(err, LEAT_ETYPE,
                                              "key column %u of arrangement %" PRIu64 " has another type", c + 1,
                                              arr->def.id);
        return 0;
}

/* Sorted by hash: stable, in arrays that the caller frees with free(). */
static struct leat_sort *sort_by_hash(const uint64_t *hashes, uint32_t count, struct leat_sort **ret_memory)
{
        struct leat_sort *e = leat_malloc((size_t)LEAT_MAX(count, 1u) * 2 * sizeof *e);
        uint32_t *bins = NULL, cap = 0;
        for (uint32_t i = 0; i < count; i++)
                e[i] = (struct leat_sort){hashes[i], 0, i};
        struct leat_sort *sorted = leat_sort_hashes(e, e + count, count, 0, &bins, &cap);
        free(bins);
        *ret_memory = e;
        return sorted;
}

static int bucket_cmp(const void *x, const void *y)
{
        const int64_t *a = x, *b = y;
        return (*a > *b) - (*a < *b);
}

/* The distinct buckets in order; each entry's `source` becomes the number of its bucket. */
static uint32_t buckets_number(struct leat_arena *arena, const int64_t *buckets, struct leat_sort *sorted,
                               uint32_t count, int64_t **ret_distinct)
{
        int64_t *distinct = leat_arena_alloc(arena, (count + 1) * sizeof *distinct);
        uint32_t n = 0, at = 0;
        /* Time comes in order, nearly: most keys are in the bucket of the one before. */
        for (uint32_t i = 0; i < count; i++)
                if (i == 0 || buckets[i] != buckets[i - 1])
                        distinct[n++] = buckets[i];
        qsort(distinct, n, sizeof *distinct, bucket_cmp);
        uint32_t kept = 0;
        for (uint32_t i = 0; i < n; i++)
                if (i == 0 || distinct[i] != distinct[i - 1])
                        distinct[kept++] = distinct[i];
        for (uint32_t i = 0; i < count; i++) {
                int64_t bucket = buckets[sorted[i].index];
                if (distinct[at] != bucket)
                        at = (uint32_t)((int64_t *)bsearch(&bucket, distinct, kept, sizeof bucket, bucket_cmp) -
                                        distinct);
                sorted[i].source = at;
        }
        *ret_distinct = distinct;
        return kept;
}

/* By bucket, and by hash within it: a sort by hash, then a counting sort over the few buckets. */
static void order_by_bucket(struct probe_set *set, struct leat_arena *arena, const uint64_t *hashes)
{
        uint32_t count = set->count;
        int64_t *buckets = leat_arena_alloc(arena, (count + 1) * sizeof *buckets), *distinct;
        struct leat_sort *memory, *sorted = sort_by_hash(hashes, count, &memory);
        leat_bucket_of(set->arr, &set->keys->columns[set->arr->def.time_column], count, buckets);
        uint32_t n = buckets_number(arena, buckets, sorted, count, &distinct);
        uint32_t *place = leat_arena_zalloc(arena, ((size_t)n + 1) * sizeof *place);
        for (uint32_t i = 0; i < count; i++)
                place[sorted[i].source + 1]++;
        for (uint32_t b = 1; b < n; b++)
                place[b] += place[b - 1];
        for (uint32_t i = 0; i < count; i++) {
                uint32_t to = place[sorted[i].source]++;
                buckets[to] = distinct[sorted[i].source];
                set->probes[to] =
                        (struct leat_probe){sorted[i].hash, leat_bloom_mask(sorted[i].hash), sorted[i].index, 0};
        }
        free(memory);
        set->buckets = buckets;
}

static void probe_set_init(struct probe_set *set, struct leat_arena *arena, const struct leat_arr *arr,
                           const struct leat_batch *keys)
{
        uint32_t count = keys->rows;
        *set = (struct probe_set){.arr = arr, .count = count};
        set->keys = leat_canon(arena, keys, arr->def.key_count);
        set->probes = leat_arena_alloc(arena, count * sizeof *set->probes);
        uint64_t *hashes = leat_arena_alloc(arena, count * sizeof *hashes);
        leat_hash_keys(arr, set->keys, hashes);
        if (arr->time_in_key) {
                order_by_bucket(set, arena, hashes);
                return;
        }
        struct leat_sort *memory, *sorted = sort_by_hash(hashes, count, &memory);
        for (uint32_t i = 0; i < count; i++)
                set->probes[i] =
                        (struct leat_probe){sorted[i].hash, leat_bloom_mask(sorted[i].hash), sorted[i].index, 0};
        free(memory);
}

/* ---- lookup ------------------------------------------------------------------------- */

/* Keys that go through all runs together: what they touched is still in the cache when their values are read. */
#define LOOKUP_KEYS 1024u

struct lookup {
        const struct probe_set *set;
        struct leat_batch *out;
        uint64_t *found;
        struct leat_arena *arena;            /* of the caller */
        struct leat_batch *scratch;          /* rows of one group, in the order of the probes */
        struct leat_probe open[LOOKUP_KEYS]; /* not found yet, or not yet taken out */
        uint32_t open_count, done_count;
        bool done[LOOKUP_KEYS]; /* by place in the group */
        struct leat_hit hits[LOOKUP_KEYS];
        struct leat_ref refs[LOOKUP_KEYS];
};

/* Takes out what was found. */
static void lookup_compact(struct lookup *l)
{
        uint32_t n = 0;
        for (uint32_t i = 0; i < l->open_count; i++) {
                l->open[n] = l->open[i];
                n += !l->done[l->open[i].place];
        }
        l->open_count = n;
        l->done_count = 0;
}

static int lookup_run(struct lookup *l, struct leat_run *run, const struct leat_batch *keys, struct leat_error *err)
{
        uint32_t hit_count = 0;
        const struct leat_arr *arr = l->set->arr;
        LEAT_TRY(leat_run_probe(run, arr, keys, l->open, l->open_count, l->hits, &hit_count, err));
        for (uint32_t i = 0; i < hit_count; i++) {
                struct leat_probe *probe = &l->open[l->hits[i].probe];
                struct leat_ref *ref = &l->refs[probe->place];
                if (l->done[probe->place])
                        continue;
                LEAT_TRY(leat_run_ref_at(run, l->hits[i].key, ref, err));
                if (run->info.dead && leat_block_weight(ref->block, arr->def.column_count, ref->row) <= 0)
                        ref->block = NULL;
                l->done[probe->place] = true;
                probe->mask = UINT64_MAX; /* passes no filter that is not full */
                l->done_count++;
        }
        return 0;
}

static int lookup_bucket(struct lookup *l, const struct leat_bucket *bucket, struct leat_error *err)
{
        for (uint32_t r = 0; r < bucket->count; r++) {
                bool unfiltered = !leat_run_filters(bucket->runs[r]);
                if (l->done_count > (unfiltered ? 0 : l->open_count / 8))
                        lookup_compact(l);
                if (l->open_count == 0)
                        break;
                LEAT_TRY(lookup_run(l, bucket->runs[r], l->set->keys, err));
        }
        lookup_compact(l);
        return 0;
}

/* Values of the group to the rows of the keys that asked. */
static void scatter(struct lookup *l, const struct leat_probe *probes, uint32_t count, uint32_t number)
{
        struct leat_column from = l->scratch->columns[number], *to = &l->out->columns[number];
        uint32_t width = leat_type_bytes(&from.type);
        leat_refs_column(l->arena, l->refs, count, number, &from);
        if (width == 8)
                for (uint32_t i = 0; i < count; i++)
                        ((uint64_t *)to->data)[probes[i].row] = ((const uint64_t *)from.data)[i];
        else
                for (uint32_t i = 0; i < count; i++)
                        memcpy((uint8_t *)to->data + (size_t)probes[i].row * width,
                               (const uint8_t *)from.data + (size_t)i * width, width);
        if (from.validity == NULL)
                return;
        l->scratch->columns[number].validity = from.validity;
        bool any = false;
        for (uint32_t i = 0; i < count && !any; i++)
                any = !leat_column_valid(&from, i);
        if (!any)
                return;
        leat_column_make_validity(l->arena, to, l->out->rows);
        for (uint32_t i = 0; i < count; i++)
                if (!leat_column_valid(&from, i))
                        leat_column_set_null(to, probes[i].row);
        memset(from.validity, 0xff, LOOKUP_KEYS / 8);
}

/* Probes [from, from + count), all of one bucket when the key tells it. */
static int lookup_group(struct lookup *l, const struct leat_table *table, uint32_t from, uint32_t count,
                        struct leat_error *err)
{
        const struct probe_set *set = l->set;
        const struct leat_probe *probes = set->probes + from;
        memcpy(l->open, probes, count * sizeof *l->open);
        memset(l->refs, 0, count * sizeof *l->refs);
        for (uint32_t i = 0; i < count; i++)
                l->open[i].place = i;
        l->open_count = count;
        l->done_count = 0;
        memset(l->done, 0, count * sizeof *l->done);
        if (set->buckets != NULL) {
                const struct leat_bucket *bucket = leat_table_find(table, set->buckets[from]);
                if (bucket != NULL)
                        LEAT_TRY(lookup_bucket(l, bucket, err));
        } else {
                for (uint32_t b = table->count; b > 0 && l->open_count != 0; b--)
                        LEAT_TRY(lookup_bucket(l, table->buckets[b - 1], err));
        }
        for (uint32_t c = 0; c < set->arr->def.column_count; c++)
                scatter(l, probes, count, c);
        for (uint32_t i = 0; i < count; i++)
                l->found[probes[i].row >> 6] |= (uint64_t)(l->refs[i].block != NULL) << (probes[i].row & 63);
        return 0;
}

static int lookup_all(struct lookup *l, const struct leat_table *table, struct leat_error *err)
{
        const struct probe_set *set = l->set;
        for (uint32_t i = 0; i < set->count;) {
                uint32_t n = LEAT_MIN(set->count - i, LOOKUP_KEYS), same = 1;
                while (set->buckets != NULL && same < n && set->buckets[i + same] == set->buckets[i])
                        same++;
                if (set->buckets != NULL)
                        n = same;
                LEAT_TRY(lookup_group(l, table, i, n, err));
                i += n;
        }
        return 0;
}

static struct leat_table *table_of(const struct leat_state_snapshot *snapshot, uint64_t arr, struct leat_error *err)
{
        struct leat_table *table = leat_snapshot_table(snapshot, arr);
        if (table == NULL)
                leat_error_set(err, LEAT_ENOTFOUND, "there is no arrangement %" PRIu64, arr);
        return table;
}

int leat_state_lookup(struct leat_state_snapshot *snapshot, uint64_t arr_id, const struct leat_batch *keys,
                      struct leat_arena *arena, struct leat_batch **ret_rows, uint64_t **ret_found,
                      struct leat_error *err)
{
        const struct leat_table *table = table_of(snapshot, arr_id, err);
        if (table == NULL)
                return LEAT_ENOTFOUND;
        const struct leat_arr *arr = table->arr;
        if (!arr->single)
                return leat_error_set(err, LEAT_EINVAL,
                                      "arrangement %" PRIu64 " has several rows a key: gather them, lookup is for one",
                                      arr_id);
        LEAT_TRY(check_keys(arr, keys, err));
        struct probe_set set;
        struct leat_arena *work = leat_arena_new(0);
        probe_set_init(&set, work, arr, keys);
        uint32_t count = keys->rows;
        struct lookup *l = leat_arena_alloc(work, sizeof *l);
        l->set = &set;
        l->arena = arena;
        l->out = leat_batch_new(arena, arr->def.types, arr->def.column_count, count);
        l->out->rows = count;
        l->found = leat_arena_zalloc(arena, ((size_t)count + 63) / 64 * 8 + 8);
        l->scratch = leat_batch_new(work, arr->def.types, arr->def.column_count, LEAT_MIN(count, LOOKUP_KEYS));
        for (uint32_t c = 0; c < arr->def.column_count; c++)
                leat_column_make_validity(work, &l->scratch->columns[c], LOOKUP_KEYS);
        int rc = lookup_all(l, table, err);
        if (rc == 0) {
                *ret_rows = l->out;
                *ret_found = l->found;
        }
        leat_arena_free(work);
        return rc;
}

/* ---- gather -------------------------------------------------------------------------- */

#define GATHER_KEYS 1024u /* keys that are probed together */
#define CHUNK_ROWS 65536u

struct found {
        uint32_t row; /* of the keys */
        uint32_t seq; /* order of finding: newest run first */
        struct leat_range range;
};

struct leat_gather {
        struct leat_state_snapshot *snapshot;
        const struct leat_table *table;
        struct leat_gather_options options;
        struct leat_arena *arena; /* of the whole gather: keys */
        struct leat_arena *chunk; /* of the rows given out last */
        struct probe_set set;
        uint32_t next; /* probe to go on with */
        struct found *found;
        uint32_t found_count, found_cap, found_next;
        struct leat_row_list rows;
        uint32_t given; /* rows of the list that were given out */
        uint32_t *ordinals;
        uint32_t ordinal_cap;
};

int leat_gather_open(struct leat_state_snapshot *snapshot, uint64_t arr_id, const struct leat_batch *keys,
                     const struct leat_gather_options *options, struct leat_gather **ret_gather, struct leat_error *err)
{
        static const struct leat_gather_options none;
        const struct leat_table *table = table_of(snapshot, arr_id, err);
        if (table == NULL)
                return LEAT_ENOTFOUND;
        const struct leat_arr *arr = table->arr;
        if (options == NULL)
                options = &none;
        LEAT_TRY(check_keys(arr, keys, err));
        if (options->low != NULL || options->high != NULL) {
                const struct leat_type *type = &arr->def.types[arr->def.key_count];
                if (arr->def.order_count == 0)
                        return leat_error_set(err, LEAT_EINVAL, "arrangement %" PRIu64 " has no order columns", arr_id);
                if ((options->low != NULL && !leat_type_eq(&options->low->type, type)) ||
                    (options->high != NULL && !leat_type_eq(&options->high->type, type)) || leat_type_is_text(type))
                        return leat_error_set(err, LEAT_ETYPE, "the range does not have the type of the order column");
        }
        struct leat_gather *g = leat_calloc(1, sizeof *g);
        g->snapshot = leat_state_snapshot_ref(snapshot);
        g->table = table;
        g->options = *options;
        if (g->options.chunk_rows == 0)
                g->options.chunk_rows = CHUNK_ROWS;
        g->arena = leat_arena_new(0);
        g->chunk = leat_arena_new(1u << 16);
        probe_set_init(&g->set, g->arena, arr, leat_batch_copy(g->arena, keys));
        if (g->options.low != NULL || g->options.high != NULL) {
                /* The callers' columns need not outlive this call. */
                struct leat_column bounds[2];
                struct leat_batch both = {.rows = keys->rows, .column_count = 0, .columns = bounds};
                if (options->low != NULL)
                        bounds[both.column_count++] = *options->low;
                if (options->high != NULL)
                        bounds[both.column_count++] = *options->high;
                const struct leat_batch *copy =
                        leat_canon(g->arena, leat_batch_copy(g->arena, &both), both.column_count);
                if (options->low != NULL)
                        g->options.low = &copy->columns[0];
                if (options->high != NULL)
                        g->options.high = &copy->columns[both.column_count - 1];
        }
        *ret_gather = g;
        return 0;
}

void leat_gather_close(struct leat_gather *g)
{
        if (g == NULL)
                return;
        leat_row_list_done(&g->rows);
        free(g->found);
        free(g->ordinals);
        leat_arena_free(g->arena);
        leat_arena_free(g->chunk);
        leat_state_snapshot_unref(g->snapshot);
        free(g);
}

/* First row of the range whose order value is not before @bound. */
static int range_bound(const struct leat_arr *arr, struct leat_range *range, struct leat_cell bound, bool after,
                       uint64_t *ret, struct leat_error *err)
{
        uint32_t col = arr->def.key_count;
        bool desc = arr->def.order_desc & 1;
        uint64_t low = range->low, high = range->high;
        while (low < high) {
                uint64_t mid = low + (high - low) / 2;
                struct leat_ref ref = {.tag = 0};
                LEAT_TRY(leat_run_ref_at(range->run, mid, &ref, err));
                struct leat_cell_room room;
                int order = leat_cell_cmp(&arr->def.types[col], leat_block_cell(ref.block, col, ref.row, &room), bound);
                if (desc)
                        order = -order;
                if (order < 0 || (after && order == 0))
                        low = mid + 1;
                else
                        high = mid;
        }
        *ret = low;
        return 0;
}

/* Cuts the range to low <= x < high. */
static int range_narrow(const struct leat_gather *g, uint32_t row, struct leat_range *range, struct leat_error *err)
{
        const struct leat_arr *arr = g->table->arr;
        bool desc = arr->def.order_desc & 1;
        struct leat_cell low = {NULL, 0}, high = {NULL, 0};
        if (g->options.low != NULL)
                low = leat_column_cell(g->options.low, row);
        if (g->options.high != NULL)
                high = leat_column_cell(g->options.high, row);
        if (low.data == NULL && high.data == NULL)
                return 0;
        /* A NULL is in no range; it lies behind all values, before them when descending. */
        struct leat_cell null = {NULL, 0};
        uint64_t from = range->low, to = range->high;
        if (!desc) {
                if (low.data != NULL)
                        LEAT_TRY(range_bound(arr, range, low, false, &from, err));
                LEAT_TRY(range_bound(arr, range, high.data != NULL ? high : null, false, &to, err));
        } else {
                LEAT_TRY(range_bound(arr, range, high.data != NULL ? high : null, true, &from, err));
                if (low.data != NULL)
                        LEAT_TRY(range_bound(arr, range, low, true, &to, err));
        }
        range->low = from;
        range->high = LEAT_MAX(from, to);
        return 0;
}

static int found_add(struct leat_gather *g, struct leat_run *run, uint32_t key, uint32_t row, struct leat_error *err)
{
        if (run->rows != NULL)
                LEAT_TRY(leat_run_touch(run, LEAT_R_ROW, (uint64_t)key * 4, 8, err));
        struct leat_range range = {run, leat_run_key_row(run, key), leat_run_key_row(run, (uint64_t)key + 1)};
        LEAT_TRY(range_narrow(g, row, &range, err));
        if (range.low >= range.high)
                return 0;
        if (g->found_count == g->found_cap) {
                g->found_cap = LEAT_MAX(g->found_cap * 2, 2 * GATHER_KEYS);
                g->found = leat_realloc(g->found, g->found_cap * sizeof *g->found);
        }
        g->found[g->found_count] = (struct found){row, g->found_count, range};
        g->found_count++;
        return 0;
}

static int gather_bucket(struct leat_gather *g, const struct leat_bucket *bucket, struct leat_probe *probes,
                         uint32_t *count, bool take_out, struct leat_error *err)
{
        struct leat_hit hits[GATHER_KEYS];
        bool hit[GATHER_KEYS] = {false};
        for (uint32_t r = 0; r < bucket->count; r++) {
                uint32_t n = 0;
                LEAT_TRY(leat_run_probe(bucket->runs[r], g->table->arr, g->set.keys, probes, *count, hits, &n, err));
                for (uint32_t i = 0; i < n; i++) {
                        hit[hits[i].probe] = true;
                        LEAT_TRY(found_add(g, bucket->runs[r], hits[i].key, probes[hits[i].probe].row, err));
                }
        }
        if (!take_out)
                return 0;
        uint32_t left = 0;
        for (uint32_t i = 0; i < *count; i++)
                if (!hit[i])
                        probes[left++] = probes[i];
        *count = left;
        return 0;
}

static int found_cmp(const void *x, const void *y)
{
        const struct found *a = x, *b = y;
        if (a->row != b->row)
                return a->row > b->row ? 1 : -1;
        return (a->seq > b->seq) - (a->seq < b->seq);
}

/* Probes the next keys; their ranges, key by key, newest first. */
static int gather_probe(struct leat_gather *g, struct leat_error *err)
{
        struct leat_probe probes[GATHER_KEYS];
        const struct probe_set *set = &g->set;
        uint32_t count = LEAT_MIN(set->count - g->next, GATHER_KEYS), from = g->next;
        g->found_count = g->found_next = 0;
        if (set->buckets == NULL) {
                memcpy(probes, set->probes + from, count * sizeof *probes);
                uint32_t open = count;
                for (uint32_t b = g->table->count; b > 0 && open != 0; b--)
                        LEAT_TRY(gather_bucket(g, g->table->buckets[b - 1], probes, &open, b > 1, err));
        } else {
                int64_t id = set->buckets[from];
                uint32_t same = 0;
                while (same < count && set->buckets[from + same] == id)
                        same++;
                count = same;
                memcpy(probes, set->probes + from, count * sizeof *probes);
                const struct leat_bucket *bucket = leat_table_find(g->table, id);
                if (bucket != NULL)
                        LEAT_TRY(gather_bucket(g, bucket, probes, &same, false, err));
        }
        g->next += count;
        if (g->found_count > 1)
                qsort(g->found, g->found_count, sizeof *g->found, found_cmp);
        return 0;
}

/* Merges found keys until a chunk is full. */
static int gather_fill(struct leat_gather *g, struct leat_error *err)
{
        const struct leat_key_merge how = {.limit = g->options.limit, .reverse = g->options.reverse};
        while (g->rows.count < g->options.chunk_rows) {
                if (g->found_next == g->found_count) {
                        if (g->next == g->set.count)
                                return 0;
                        LEAT_TRY(gather_probe(g, err));
                        continue;
                }
                struct leat_range few[16], *ranges = few;
                uint32_t first = g->found_next, n = 0, row = g->found[first].row, begin = g->rows.count;
                while (first + n < g->found_count && g->found[first + n].row == row)
                        n++;
                if (n > 16)
                        ranges = leat_malloc(n * sizeof *ranges);
                for (uint32_t i = 0; i < n; i++)
                        ranges[i] = g->found[first + i].range;
                int rc = leat_key_merge(g->table->arr, ranges, n, &how, &g->rows, err);
                if (ranges != few)
                        free(ranges);
                LEAT_TRY(rc);
                g->found_next += n;
                for (uint32_t i = begin; i < g->rows.count; i++)
                        g->rows.refs[i].tag = row;
        }
        return 0;
}

int leat_gather_next(struct leat_gather *g, const struct leat_batch **ret_rows, const uint32_t **ret_ordinals,
                     const int64_t **ret_weights, struct leat_error *err)
{
        const struct leat_arr_def *def = &g->table->arr->def;
        *ret_rows = NULL;
        if (g->given == g->rows.count) {
                g->rows.count = g->given = 0;
                LEAT_TRY(gather_fill(g, err));
        }
        uint32_t n = LEAT_MIN(g->rows.count - g->given, g->options.chunk_rows);
        if (n == 0)
                return 0;
        leat_arena_reset(g->chunk);
        struct leat_batch *rows = leat_batch_new(g->chunk, def->types, def->column_count, n);
        rows->rows = n;
        for (uint32_t c = 0; c < def->column_count; c++)
                leat_refs_column(g->chunk, g->rows.refs + g->given, n, c, &rows->columns[c]);
        uint32_t *ordinals = leat_arena_alloc(g->chunk, n * sizeof *ordinals);
        for (uint32_t i = 0; i < n; i++)
                ordinals[i] = g->rows.refs[g->given + i].tag;
        *ret_ordinals = ordinals;
        *ret_weights = g->rows.weights + g->given;
        *ret_rows = rows;
        g->given += n;
        return 0;
}
