/* SPDX-License-Identifier: Apache-2.0 */
/* leat/stream: numbers for the distinct keys of some rows of a tick; open addressing, grown at half full. */
#include <math.h>

#include "stream_run.h"

struct entry {
        uint64_t hash;
        const struct leat_batch *batch;
        uint32_t row;
        uint32_t id; /* + 1; 0 = free */
};
struct leat_keys {
        struct leat_arena *arena;
        uint32_t key_count, count, cap; /* cap: a power of two */
        struct entry *table;
        const struct leat_batch **first; /* of each number */
        uint32_t *row;
        uint32_t first_cap;
};

struct leat_keys *leat_keys_new(struct leat_arena *arena, uint32_t key_count, uint32_t rows_hint)
{
        struct leat_keys *keys = leat_arena_zalloc(arena, sizeof *keys);
        keys->arena = arena;
        keys->key_count = key_count;
        keys->cap = 64;
        while (keys->cap < 2 * (uint64_t)rows_hint && keys->cap < (1u << 30))
                keys->cap *= 2;
        keys->table = leat_arena_zalloc(arena, keys->cap * sizeof *keys->table);
        return keys;
}

static uint64_t value_hash(const struct leat_column *col, uint32_t row)
{
        uint32_t bytes = leat_type_bytes(&col->type);
        const uint8_t *at = (const uint8_t *)col->data + (size_t)row * bytes;
        if (!leat_column_valid(col, row))
                return 0x5DEECE66Dull;
        if (col->type.id == LEAT_T_VARCHAR || col->type.id == LEAT_T_BLOB) {
                struct leat_view text = leat_string_view((const struct leat_string *)(const void *)at);
                return leat_hash64(1, text.data, text.len);
        }
        if (col->type.id == LEAT_T_DOUBLE || col->type.id == LEAT_T_FLOAT) {
                double value = col->type.id == LEAT_T_DOUBLE ? *(const double *)(const void *)at
                                                             : (double)*(const float *)(const void *)at;
                if (isnan(value))
                        return 7;
                value += 0.0; /* -0 is 0 */
                return leat_hash64(2, &value, sizeof value);
        }
        uint64_t low = 0;
        if (bytes <= 8) {
                memcpy(&low, at, bytes);
                return leat_hash_mix(3, low);
        }
        return leat_hash64(4, at, bytes);
}

static bool value_eq(const struct leat_column *a, uint32_t i, const struct leat_column *b, uint32_t j)
{
        bool valid = leat_column_valid(a, i);
        if (valid != leat_column_valid(b, j))
                return false;
        return !valid || leat_column_compare(a, i, b, j) == 0;
}

static bool key_eq(const struct leat_keys *keys, const struct entry *entry, const struct leat_batch *batch,
                   uint32_t row)
{
        for (uint32_t k = 0; k < keys->key_count; k++)
                if (!value_eq(&entry->batch->columns[k], entry->row, &batch->columns[k], row))
                        return false;
        return true;
}

static void table_grow(struct leat_keys *keys)
{
        uint32_t cap = 2 * keys->cap;
        struct entry *table = leat_arena_zalloc(keys->arena, cap * sizeof *table);
        for (uint32_t i = 0; i < keys->cap; i++) {
                if (keys->table[i].id == 0)
                        continue;
                uint32_t at = (uint32_t)keys->table[i].hash & (cap - 1);
                while (table[at].id != 0)
                        at = (at + 1) & (cap - 1);
                table[at] = keys->table[i];
        }
        keys->table = table;
        keys->cap = cap;
}

static void first_keep(struct leat_keys *keys, const struct leat_batch *batch, uint32_t row)
{
        if (keys->count == keys->first_cap) {
                uint32_t cap = keys->first_cap == 0 ? 64 : 2 * keys->first_cap;
                const struct leat_batch **first = leat_arena_alloc(keys->arena, cap * sizeof *first);
                uint32_t *rows = leat_arena_alloc(keys->arena, cap * sizeof *rows);
                if (keys->count > 0) {
                        memcpy(first, keys->first, keys->count * sizeof *first);
                        memcpy(rows, keys->row, keys->count * sizeof *rows);
                }
                keys->first = first;
                keys->row = rows;
                keys->first_cap = cap;
        }
        keys->first[keys->count] = batch;
        keys->row[keys->count] = row;
        keys->count++;
}

void leat_keys_add(struct leat_keys *keys, const struct leat_batch *batch, uint32_t *ret_ids)
{
        for (uint32_t row = 0; row < batch->rows; row++) {
                uint64_t hash = 0;
                for (uint32_t k = 0; k < keys->key_count; k++)
                        hash = leat_hash_mix(hash + k + 1, value_hash(&batch->columns[k], row));
                if (2 * (uint64_t)keys->count >= keys->cap)
                        table_grow(keys);
                uint32_t at = (uint32_t)hash & (keys->cap - 1);
                while (keys->table[at].id != 0 &&
                       !(keys->table[at].hash == hash && key_eq(keys, &keys->table[at], batch, row)))
                        at = (at + 1) & (keys->cap - 1);
                if (keys->table[at].id == 0) {
                        first_keep(keys, batch, row);
                        keys->table[at] = (struct entry){.hash = hash, .batch = batch, .row = row, .id = keys->count};
                }
                ret_ids[row] = keys->table[at].id - 1;
        }
}

uint32_t leat_keys_count(const struct leat_keys *keys)
{
        return keys->count;
}

void leat_keys_columns(const struct leat_keys *keys, struct leat_arena *arena, struct leat_column *ret_columns)
{
        for (uint32_t k = 0; k < keys->key_count && keys->count > 0; k++) {
                struct leat_column col = {.type = keys->first[0]->columns[k].type};
                uint32_t bytes = leat_type_bytes(&col.type);
                col.data = leat_arena_alloc(arena, (size_t)keys->count * bytes + 1);
                for (uint32_t i = 0; i < keys->count; i++) {
                        const struct leat_column *from = &keys->first[i]->columns[k];
                        memcpy((uint8_t *)col.data + (size_t)i * bytes,
                               (const uint8_t *)from->data + (size_t)keys->row[i] * bytes, bytes);
                        if (!leat_column_valid(from, keys->row[i])) {
                                leat_column_make_validity(arena, &col, keys->count);
                                leat_column_set_null(&col, i);
                        }
                }
                ret_columns[k] = col;
        }
}
