/* SPDX-License-Identifier: Apache-2.0 */
/* leat/state, tests: the model. Slow and obvious: a list of rows, found by the text of what tells them apart. */
#include <math.h>
#include <stdio.h>

#include "state_test.h"

uint64_t rng_next(struct rng *rng)
{
        rng->x += 0x9E3779B97F4A7C15ull;
        uint64_t z = rng->x;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
        return z ^ (z >> 31);
}

/* ---- random rows ------------------------------------------------------------------ */

static const uint8_t all_types[] = {
        LEAT_T_BOOLEAN,     LEAT_T_TINYINT,   LEAT_T_SMALLINT, LEAT_T_INTEGER, LEAT_T_BIGINT,   LEAT_T_HUGEINT,
        LEAT_T_UTINYINT,    LEAT_T_USMALLINT, LEAT_T_UINTEGER, LEAT_T_UBIGINT, LEAT_T_FLOAT,    LEAT_T_DOUBLE,
        LEAT_T_DECIMAL,     LEAT_T_VARCHAR,   LEAT_T_BLOB,     LEAT_T_DATE,    LEAT_T_TIME,     LEAT_T_TIMESTAMP,
        LEAT_T_TIMESTAMPTZ, LEAT_T_INTERVAL,  LEAT_T_UUID,     LEAT_T_SQLNULL, LEAT_T_UHUGEINT,
};

struct leat_arr_def random_def(struct rng *rng, struct leat_arena *arena, uint64_t id)
{
        static const uint8_t widths[] = {4, 9, 18, 38};
        struct leat_arr_def def = {.id = id, .time_column = -1};
        def.mode = rng_below(rng, 2) ? LEAT_ARR_MAP : LEAT_ARR_MULTISET;
        def.key_count = rng_below(rng, 4);
        def.order_count = rng_below(rng, 2) ? rng_below(rng, 3) : 0;
        def.order_desc = rng_below(rng, 4);
        def.column_count = def.key_count + def.order_count + rng_below(rng, 4);
        if (def.column_count == 0)
                def.column_count = 1;
        struct leat_type *types = leat_arena_alloc(arena, def.column_count * sizeof *types);
        for (uint32_t c = 0; c < def.column_count; c++) {
                types[c] = leat_type_of((enum leat_type_id)all_types[rng_below(rng, LEAT_ARRAY_LEN(all_types))]);
                if (types[c].id == LEAT_T_DECIMAL) {
                        types[c].width = widths[rng_below(rng, 4)];
                        types[c].scale = 2;
                }
        }
        if (rng_below(rng, 2)) {
                uint32_t c = rng_below(rng, def.column_count);
                if (c < def.key_count || (c >= def.key_count + def.order_count && def.mode == LEAT_ARR_MAP)) {
                        types[c] = leat_type_of(LEAT_T_TIMESTAMPTZ);
                        def.time_column = (int32_t)c;
                        def.bucket_us = 1000;
                }
        }
        def.types = types;
        return def;
}

/* Empty, with zeros inside, differing only behind them, short, and some hundred bytes. */
static struct leat_string random_text(struct leat_arena *arena, uint32_t pick, uint32_t spread)
{
        char *text;
        if (pick < 3)
                return leat_string_borrow(leat_view_of(&"\0a\0b"[pick == 2 ? 2 : 0], pick == 0 ? 0 : 2));
        if (spread == 4) {
                text = leat_arena_alloc(arena, 400);
                memset(text, 'a' + (int)pick, 400);
                return leat_string_borrow(leat_view_of(text, 400 - pick));
        }
        text = leat_arena_printf(arena, pick % 3 == 0 ? "%u" : "a longer text, number %u", pick);
        return leat_string_borrow(leat_view_str(text));
}

/* Spread 0 to 4: how far the integers of one column and tick lie apart, up to the ends of their type. */
static void random_value(struct rng *rng, struct leat_arena *arena, struct leat_column *col, uint32_t row,
                         uint32_t spread)
{
        static const int64_t steps[] = {1, 700, 100000007, 1ll << 59};
        uint32_t pick = rng_below(rng, 12);
        uint32_t width = leat_type_bytes(&col->type);
        if (leat_type_is_text(&col->type)) {
                ((struct leat_string *)col->data)[row] = random_text(arena, pick, spread);
                return;
        }
        static const double doubles[] = {0.0, -0.0, 1.5, -1.5, NAN, INFINITY, -INFINITY, 1e300, 2, 3, 4, 5};
        uint8_t *to = (uint8_t *)col->data + (size_t)row * width;
        if (col->type.id == LEAT_T_DOUBLE) {
                double v = pick == 4 && rng_below(rng, 2) ? -(double)NAN : doubles[pick];
                memcpy(to, &v, 8);
        } else if (col->type.id == LEAT_T_FLOAT) {
                float v = (float)doubles[pick];
                memcpy(to, &v, 4);
        } else if (col->type.id == LEAT_T_INTERVAL) {
                /* A month and 30 days are the same length. */
                int32_t parts[2] = {(int32_t)(pick % 2), pick % 2 ? 0 : (int32_t)(pick % 3) * 30};
                int64_t us = (int64_t)(pick % 4) * 43200000000ll;
                memcpy(to, parts, 8);
                memcpy(to + 8, &us, 8);
        } else {
                __int128 v = spread == 4 ? (__int128)((__uint128_t)1 << (8 * width - 1))
                                         : (__int128)pick * steps[spread] - ((__int128)steps[spread] * 4 + 200);
                if (spread == 4)
                        v = (__int128)(pick % 2 ? (__uint128_t)v - 1 - pick / 4 : (__uint128_t)v + pick / 4);
                if (col->type.id == LEAT_T_BOOLEAN)
                        v = pick & 1;
                memcpy(to, &v, width);
        }
}

struct leat_batch *random_rows(struct rng *rng, struct leat_arena *arena, const struct leat_arr_def *def,
                               uint32_t count)
{
        struct leat_batch *rows = leat_batch_new(arena, def->types, def->column_count, count);
        rows->rows = count;
        for (uint32_t c = 0; c < def->column_count; c++) {
                struct leat_column *col = &rows->columns[c];
                bool nulls = rng_below(rng, 2) || col->type.id == LEAT_T_SQLNULL;
                if (nulls)
                        leat_column_make_validity(arena, col, count);
                uint32_t spread = rng_below(rng, 8);
                spread = spread > 4 ? 1 : spread;
                for (uint32_t i = 0; i < count; i++) {
                        random_value(rng, arena, col, i, spread);
                        if (nulls && (rng_below(rng, 8) == 0 || col->type.id == LEAT_T_SQLNULL))
                                leat_column_set_null(col, i);
                }
        }
        if (def->time_column >= 0 && (uint32_t)def->time_column >= def->key_count) {
                /* All rows of a key in one bucket: the time follows from the key. */
                struct leat_column *col = &rows->columns[def->time_column];
                for (uint32_t i = 0; i < count; i++) {
                        struct leat_buf text = LEAT_BUF_INIT;
                        row_text(rows, i, 0, def->key_count, true, &text);
                        ((int64_t *)col->data)[i] = (int64_t)(leat_hash64(7, text.data, text.len) % 7000);
                        leat_buf_done(&text);
                }
                col->validity = NULL;
        }
        return rows;
}

int64_t *random_weights(struct rng *rng, struct leat_arena *arena, uint32_t count)
{
        int64_t *weights = leat_arena_alloc(arena, count * sizeof *weights + 8);
        for (uint32_t i = 0; i < count; i++)
                weights[i] = rng_below(rng, 3) ? 1 : -1;
        return weights;
}

struct leat_batch *first_columns(struct leat_arena *arena, const struct leat_batch *rows, uint32_t count)
{
        struct leat_batch *part = leat_arena_alloc(arena, sizeof *part);
        *part = *rows;
        part->column_count = count;
        return part;
}

/* ---- text --------------------------------------------------------------------------- */

static bool canon_text(const struct leat_column *col, struct leat_cell cell, struct leat_buf *out)
{
        if (col->type.id == LEAT_T_DOUBLE || col->type.id == LEAT_T_FLOAT) {
                double v;
                float f;
                if (col->type.id == LEAT_T_DOUBLE) {
                        memcpy(&v, cell.data, 8);
                } else {
                        memcpy(&f, cell.data, 4);
                        v = (double)f;
                }
                leat_buf_printf(out, isnan(v) ? "nan|" : "%.17g|", v == 0 ? 0.0 : v);
                return true;
        }
        if (col->type.id == LEAT_T_INTERVAL) {
                int32_t part[2];
                int64_t us;
                memcpy(part, cell.data, 8);
                memcpy(&us, (const uint8_t *)cell.data + 8, 8);
                leat_buf_printf(out, "%lld|", (long long)(us + (part[1] + part[0] * 30ll) * 86400000000ll));
                return true;
        }
        return false;
}

void row_text(const struct leat_batch *rows, uint32_t row, uint32_t from, uint32_t to, bool canon, struct leat_buf *out)
{
        for (uint32_t c = from; c < to; c++) {
                struct leat_cell cell = leat_column_cell(&rows->columns[c], row);
                if (cell.data == NULL) {
                        leat_buf_add_str(out, "NULL|");
                        continue;
                }
                if (canon && canon_text(&rows->columns[c], cell, out))
                        continue;
                uint8_t *hex = leat_buf_reserve(out, 2 * (size_t)cell.len);
                for (uint32_t i = 0; i < cell.len; i++) {
                        hex[2 * i] = (uint8_t)('a' + (((const uint8_t *)cell.data)[i] >> 4));
                        hex[2 * i + 1] = (uint8_t)('a' + (((const uint8_t *)cell.data)[i] & 15));
                }
                out->len += 2 * (size_t)cell.len;
                leat_buf_add_str(out, "|");
        }
        leat_buf_cstr(out);
}

static char *text_of(const struct leat_batch *rows, uint32_t row, uint32_t from, uint32_t to, bool canon)
{
        struct leat_buf buf = LEAT_BUF_INIT;
        row_text(rows, row, from, to, canon, &buf);
        char *text = leat_strdup(leat_buf_cstr(&buf));
        leat_buf_done(&buf);
        return text;
}

static uint32_t ident_count(const struct leat_arr_def *def)
{
        return def->mode == LEAT_ARR_MAP ? def->key_count + def->order_count : def->column_count;
}

/* All columns; those that are canonical in the arrangement are so here. */
static char *full_text(const struct leat_arr_def *def, const struct leat_batch *rows, uint32_t row)
{
        struct leat_buf buf = LEAT_BUF_INIT;
        row_text(rows, row, 0, ident_count(def), true, &buf);
        row_text(rows, row, ident_count(def), def->column_count, false, &buf);
        char *text = leat_strdup(leat_buf_cstr(&buf));
        leat_buf_done(&buf);
        return text;
}

/* ---- the model ------------------------------------------------------------------------- */

static struct model_row *model_find(const struct model *model, const char *ident)
{
        uint64_t hash = leat_hash64(1, ident, strlen(ident));
        for (uint32_t i = 0; i < model->count; i++)
                if (model->rows[i].hash == hash && strcmp(model->rows[i].ident, ident) == 0)
                        return &model->rows[i];
        return NULL;
}

static void model_one(struct model *model, const struct leat_batch *rows, uint32_t i, int64_t weight)
{
        const struct leat_arr_def *def = &model->def;
        char *ident = text_of(rows, i, 0, ident_count(def), true);
        struct model_row *row = model_find(model, ident);
        if (row == NULL) {
                if (model->count == model->cap) {
                        model->cap = LEAT_MAX(model->cap * 2, 64u);
                        model->rows = leat_realloc(model->rows, model->cap * sizeof *model->rows);
                }
                row = &model->rows[model->count++];
                *row = (struct model_row){.hash = leat_hash64(1, ident, strlen(ident)), .ident = ident};
                row->key = text_of(rows, i, 0, def->key_count, true);
                row->row = full_text(def, rows, i);
                row->timed = def->time_column >= 0 && leat_column_valid(&rows->columns[def->time_column], i);
                if (row->timed)
                        row->time = ((const int64_t *)rows->columns[def->time_column].data)[i];
                ident = NULL;
        }
        if (def->mode == LEAT_ARR_MAP) {
                free(row->row);
                row->row = full_text(def, rows, i);
                row->weight = weight > 0;
        } else {
                row->weight += weight;
        }
        free(ident);
}

void model_apply(struct model *model, const struct leat_batch *rows, const int64_t *weights)
{
        for (uint32_t i = 0; i < rows->rows; i++)
                model_one(model, rows, i, weights != NULL ? weights[i] : 1);
}

void model_expire(struct model *model, int64_t time_us)
{
        int64_t width = model->def.bucket_us;
        for (uint32_t i = 0; i < model->count; i++) {
                int64_t t = model->rows[i].time;
                if (!model->rows[i].timed)
                        continue;
                __int128 bucket = t / width - (t % width < 0);
                if ((bucket + 1) * width <= time_us)
                        model->rows[i].weight = 0;
        }
}

struct model model_copy(const struct model *model)
{
        struct model copy = *model;
        copy.cap = copy.count;
        copy.rows = leat_malloc(copy.count * sizeof *copy.rows + 1);
        for (uint32_t i = 0; i < copy.count; i++) {
                copy.rows[i] = model->rows[i];
                copy.rows[i].ident = leat_strdup(model->rows[i].ident);
                copy.rows[i].key = leat_strdup(model->rows[i].key);
                copy.rows[i].row = leat_strdup(model->rows[i].row);
        }
        return copy;
}

void model_done(struct model *model)
{
        for (uint32_t i = 0; i < model->count; i++) {
                free(model->rows[i].ident);
                free(model->rows[i].key);
                free(model->rows[i].row);
        }
        free(model->rows);
        *model = (struct model){0};
}

/* ---- comparing ---------------------------------------------------------------------------- */

static void check_scan(const struct model *model, struct leat_state_snapshot *snapshot)
{
        struct leat_error err;
        struct leat_scan *scan;
        const struct leat_batch *rows;
        const int64_t *weights;
        uint32_t live = 0, seen = 0;
        for (uint32_t i = 0; i < model->count; i++)
                live += model->rows[i].weight != 0;
        CHECK_OK(leat_scan_open(snapshot, model->def.id, NULL, 0, &scan, &err), &err);
        for (;;) {
                CHECK_OK(leat_scan_next(scan, &rows, &weights, &err), &err);
                if (rows == NULL)
                        break;
                for (uint32_t i = 0; i < rows->rows; i++) {
                        char *ident = text_of(rows, i, 0, ident_count(&model->def), true);
                        char *full = full_text(&model->def, rows, i);
                        const struct model_row *row = model_find(model, ident);
                        CHECK(row != NULL);
                        CHECK_STR(full, row->row);
                        CHECK_INT(weights[i], row->weight);
                        free(ident);
                        free(full);
                        seen++;
                }
        }
        leat_scan_close(scan);
        CHECK_INT(seen, live);
}

static void check_lookup(const struct model *model, struct leat_state_snapshot *snapshot, const struct leat_batch *keys)
{
        struct leat_error err;
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_batch *rows;
        uint64_t *found;
        CHECK_OK(leat_state_lookup(snapshot, model->def.id, keys, arena, &rows, &found, &err), &err);
        CHECK_INT(rows->rows, keys->rows);
        for (uint32_t i = 0; i < keys->rows; i++) {
                char *ident = text_of(keys, i, 0, model->def.key_count, true);
                const struct model_row *row = model_find(model, ident);
                bool want = row != NULL && row->weight != 0;
                CHECK_INT((found[i >> 6] >> (i & 63)) & 1, want);
                char *full = full_text(&model->def, rows, i);
                if (want)
                        CHECK_STR(full, row->row);
                else
                        for (uint32_t c = 0; c < rows->column_count; c++)
                                CHECK(!leat_column_valid(&rows->columns[c], i));
                free(full);
                free(ident);
        }
        leat_arena_free(arena);
}

static int order_cmp(const struct leat_arr_def *def, const struct leat_batch *a, uint32_t x, const struct leat_batch *b,
                     uint32_t y)
{
        for (uint32_t i = 0; i < def->order_count; i++) {
                uint32_t c = def->key_count + i;
                int order = leat_cell_cmp(&def->types[c], leat_column_cell(&a->columns[c], x),
                                          leat_column_cell(&b->columns[c], y));
                if (order != 0)
                        return (def->order_desc >> i) & 1 ? -order : order;
        }
        return 0;
}

struct gathered {
        char **rows;
        int64_t *weights;
        uint32_t count;
};

/* All rows of key @want, as text in order. */
static struct gathered gather_one(const struct leat_arr_def *def, struct leat_state_snapshot *snapshot,
                                  const struct leat_batch *keys, uint32_t want,
                                  const struct leat_gather_options *options)
{
        struct leat_error err;
        struct leat_gather *g;
        struct gathered out = {0};
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_batch *last = NULL;
        CHECK_OK(leat_gather_open(snapshot, def->id, keys, options, &g, &err), &err);
        for (;;) {
                const struct leat_batch *rows;
                const uint32_t *ordinals;
                const int64_t *weights;
                CHECK_OK(leat_gather_next(g, &rows, &ordinals, &weights, &err), &err);
                if (rows == NULL)
                        break;
                for (uint32_t i = 0; i < rows->rows; i++) {
                        CHECK(ordinals[i] < keys->rows);
                        char *asked = text_of(keys, ordinals[i], 0, def->key_count, true);
                        char *got = text_of(rows, i, 0, def->key_count, true);
                        CHECK_STR(got, asked);
                        free(asked);
                        free(got);
                        if (ordinals[i] != want)
                                continue;
                        if (last != NULL) {
                                int order = order_cmp(def, last, 0, rows, i);
                                CHECK(options->reverse ? order >= 0 : order <= 0);
                        }
                        last = leat_batch_new(arena, def->types, def->column_count, 1);
                        leat_batch_append(arena, last, rows, i, 1);
                        out.rows = leat_realloc(out.rows, (out.count + 1) * sizeof *out.rows);
                        out.weights = leat_realloc(out.weights, (out.count + 1) * sizeof *out.weights);
                        out.rows[out.count] = full_text(def, rows, i);
                        out.weights[out.count++] = weights[i];
                }
        }
        leat_gather_close(g);
        leat_arena_free(arena);
        return out;
}

static void gathered_done(struct gathered *g)
{
        for (uint32_t i = 0; i < g->count; i++)
                free(g->rows[i]);
        free(g->rows);
        free(g->weights);
}

static void check_gather(const struct model *model, struct leat_state_snapshot *snapshot, const struct leat_batch *keys,
                         struct rng *rng)
{
        if (keys->rows == 0)
                return;
        uint32_t want = rng_below(rng, keys->rows), expect = 0;
        struct leat_gather_options all = {.chunk_rows = 1 + rng_below(rng, 50)};
        struct gathered g = gather_one(&model->def, snapshot, keys, want, &all);
        char *key = text_of(keys, want, 0, model->def.key_count, true);
        for (uint32_t i = 0; i < model->count; i++)
                expect += model->rows[i].weight != 0 && strcmp(model->rows[i].key, key) == 0;
        CHECK_INT(g.count, expect);
        for (uint32_t i = 0; i < g.count; i++) {
                uint32_t j = 0;
                while (j < model->count && (model->rows[j].weight == 0 || strcmp(model->rows[j].row, g.rows[i]) != 0))
                        j++;
                CHECK(j < model->count);
                CHECK_INT(g.weights[i], model->rows[j].weight);
        }
        struct leat_gather_options some = {.limit = 1 + rng_below(rng, 4), .reverse = rng_below(rng, 2) != 0};
        struct gathered part = gather_one(&model->def, snapshot, keys, want, &some);
        CHECK_INT(part.count, LEAT_MIN(some.limit, g.count));
        for (uint32_t i = 0; i < part.count; i++)
                CHECK_STR(part.rows[i], g.rows[some.reverse ? g.count - 1 - i : i]);
        gathered_done(&part);
        gathered_done(&g);
        free(key);
}

/* A range on the first order column: as many rows as a filter over all of them. */
static void check_range(const struct model *model, struct leat_state_snapshot *snapshot, const struct leat_batch *keys,
                        const struct leat_batch *bounds, struct rng *rng)
{
        const struct leat_arr_def *def = &model->def;
        uint32_t c = def->key_count;
        if (def->order_count == 0 || leat_type_is_text(&def->types[c]) || keys->rows == 0)
                return;
        struct leat_error err;
        struct leat_gather_options range = {0};
        const struct leat_column *col = &bounds->columns[c];
        struct leat_arena *arena = leat_arena_new(0);
        const struct leat_column *canon = &leat_canon(arena, bounds, c + 1)->columns[c];
        if (rng_below(rng, 3))
                range.low = col;
        if (rng_below(rng, 3))
                range.high = col;
        struct leat_gather *g;
        uint64_t got = 0, want = 0;
        for (int pass = 0; pass < 2; pass++) {
                CHECK_OK(leat_gather_open(snapshot, def->id, keys, pass ? &range : NULL, &g, &err), &err);
                for (;;) {
                        const struct leat_batch *rows;
                        const uint32_t *ordinals;
                        const int64_t *weights;
                        CHECK_OK(leat_gather_next(g, &rows, &ordinals, &weights, &err), &err);
                        if (rows == NULL)
                                break;
                        for (uint32_t i = 0; i < rows->rows; i++) {
                                struct leat_cell x = leat_column_cell(&rows->columns[c], i), low = {0}, high = {0};
                                if (range.low != NULL)
                                        low = leat_column_cell(canon, ordinals[i]);
                                if (range.high != NULL)
                                        high = leat_column_cell(canon, ordinals[i]);
                                bool open = low.data == NULL && high.data == NULL;
                                bool in = open || (x.data != NULL &&
                                                   (low.data == NULL || leat_cell_cmp(&def->types[c], low, x) <= 0) &&
                                                   (high.data == NULL || leat_cell_cmp(&def->types[c], x, high) < 0));
                                if (pass == 0)
                                        want += in;
                                else
                                        CHECK(in);
                                got += (uint64_t)pass;
                        }
                }
                leat_gather_close(g);
        }
        CHECK_INT(got, want);
        leat_arena_free(arena);
}

void model_check(const struct model *model, struct leat_state_snapshot *snapshot, const struct leat_batch *keys,
                 struct rng *rng)
{
        struct leat_arena *arena = leat_arena_new(0);
        const struct leat_batch *key_columns = first_columns(arena, keys, model->def.key_count);
        check_scan(model, snapshot);
        if (model->def.mode == LEAT_ARR_MAP && model->def.order_count == 0)
                check_lookup(model, snapshot, key_columns);
        for (int i = 0; i < 3; i++)
                check_gather(model, snapshot, key_columns, rng);
        check_range(model, snapshot, key_columns, keys, rng);
        leat_arena_free(arena);
}
