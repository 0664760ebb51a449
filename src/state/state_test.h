/* SPDX-License-Identifier: Apache-2.0 */
/* leat/state, tests: random rows, and a model of an arrangement that is a plain list. */
#ifndef LEAT_STATE_TEST_H
#define LEAT_STATE_TEST_H

#include "state_int.h"
#include "leat/test.h"

struct rng {
        uint64_t x;
};
uint64_t rng_next(struct rng *rng);
static inline uint32_t rng_below(struct rng *rng, uint32_t n)
{
        return (uint32_t)(rng_next(rng) % n);
}

/* A definition with random columns; types in @arena. */
struct leat_arr_def random_def(struct rng *rng, struct leat_arena *arena, uint64_t id);
/* Random rows over a small range of values, so that keys meet. */
struct leat_batch *random_rows(struct rng *rng, struct leat_arena *arena, const struct leat_arr_def *def,
                               uint32_t count);
int64_t *random_weights(struct rng *rng, struct leat_arena *arena, uint32_t count);
/* The first @count columns of the rows. */
struct leat_batch *first_columns(struct leat_arena *arena, const struct leat_batch *rows, uint32_t count);

/* Text of columns [from, to) of a row; equal values have equal text when @canon. */
void row_text(const struct leat_batch *rows, uint32_t row, uint32_t from, uint32_t to, bool canon,
              struct leat_buf *out);

struct model_row {
        uint64_t hash;
        char *ident, *key, *row;
        int64_t weight; /* 0: gone */
        int64_t time;
        bool timed; /* has a time that is not NULL */
};
struct model {
        struct leat_arr_def def;
        struct model_row *rows;
        uint32_t count, cap;
};
void model_apply(struct model *model, const struct leat_batch *rows, const int64_t *weights);
void model_expire(struct model *model, int64_t time_us);
struct model model_copy(const struct model *model);
void model_done(struct model *model);
/* Compares a whole scan, lookups and gathers of the given keys with the model. */
void model_check(const struct model *model, struct leat_state_snapshot *snapshot, const struct leat_batch *keys,
                 struct rng *rng);

#endif
