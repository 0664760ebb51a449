/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/cli: random numbers of the generator.
 *
 * Design    A counter through a 128-bit mix (wyrand): fast, and one number a
 *           call, so every generator of a spec draws in a fixed order. Weighted
 *           choices and Zipf use Vose's alias tables.
 */
#include <math.h>

#include "cli_gen_int.h"

void leat_gen_seed(struct leat_gen_rng *rng, uint64_t seed, const char *name)
{
        *rng = (struct leat_gen_rng){.state = leat_hash64(seed, name, strlen(name))};
}

/* Marsaglia's polar method; two values a turn. */
double leat_gen_normal(struct leat_gen_rng *rng)
{
        if (rng->has_spare) {
                rng->has_spare = false;
                return rng->spare;
        }
        double x, y, s;
        do {
                x = 2 * leat_gen_unit(rng) - 1;
                y = 2 * leat_gen_unit(rng) - 1;
                s = x * x + y * y;
        } while (s >= 1 || s == 0);
        double factor = sqrt(-2 * log(s) / s);
        rng->spare = y * factor;
        rng->has_spare = true;
        return x * factor;
}

double leat_gen_exponential(struct leat_gen_rng *rng)
{
        return -log(1 - leat_gen_unit(rng));
}

void leat_gen_alias_init(struct leat_gen_alias *alias, struct leat_arena *arena, const double *weights, uint32_t count)
{
        double sum = 0, *scaled = leat_malloc((count + 1) * sizeof *scaled);
        uint32_t *small = leat_malloc((count + 1) * sizeof *small), *large = leat_malloc((count + 1) * sizeof *large);
        uint32_t small_count = 0, large_count = 0;
        alias->count = count;
        alias->threshold = leat_arena_alloc(arena, count * sizeof *alias->threshold);
        alias->other = leat_arena_alloc(arena, count * sizeof *alias->other);
        for (uint32_t i = 0; i < count; i++)
                sum += weights[i];
        for (uint32_t i = 0; i < count; i++) {
                scaled[i] = weights[i] / sum * count;
                if (scaled[i] < 1)
                        small[small_count++] = i;
                else
                        large[large_count++] = i;
        }
        while (small_count != 0 && large_count != 0) {
                uint32_t s = small[--small_count], l = large[large_count - 1];
                alias->threshold[s] = (uint32_t)(scaled[s] * 0xffffffffu);
                alias->other[s] = l;
                scaled[l] -= 1 - scaled[s];
                if (scaled[l] < 1) {
                        large_count--;
                        small[small_count++] = l;
                }
        }
        /* What is left is 1 but for rounding. */
        while (large_count != 0) {
                uint32_t l = large[--large_count];
                alias->threshold[l] = UINT32_MAX;
                alias->other[l] = l;
        }
        while (small_count != 0) {
                uint32_t s = small[--small_count];
                alias->threshold[s] = UINT32_MAX;
                alias->other[s] = s;
        }
        free(scaled);
        free(small);
        free(large);
}
