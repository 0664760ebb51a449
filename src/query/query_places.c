/* SPDX-License-Identifier: Apache-2.0 */
/* leat/query: a number for each of many records of a topic, by partition and offset: open addressing, half full at most. */
#include <stdlib.h>

#include "query_int.h"

uint64_t leat_query_place(int32_t partition, int64_t offset)
{
        return ((uint64_t)(uint32_t)partition << 48 | ((uint64_t)offset & 0xffffffffffffull)) + 1;
}

static uint32_t slot(const struct query_places *p, uint64_t place)
{
        uint32_t at = (uint32_t)leat_hash_mix(place, 0x9e3779b97f4a7c15ull) & (p->size - 1);
        while (p->places[at] != 0 && p->places[at] != place)
                at = (at + 1) & (p->size - 1);
        return at;
}

bool leat_query_places_find(const struct query_places *p, uint64_t place, int64_t *ret_value)
{
        uint32_t at = p->size != 0 ? slot(p, place) : 0;
        if (p->size == 0 || p->places[at] != place)
                return false;
        if (ret_value != NULL)
                *ret_value = p->values[at];
        return true;
}

static void grow(struct query_places *p)
{
        struct query_places old = *p;
        p->size = old.size == 0 ? 1024 : 2 * old.size;
        p->places = leat_calloc(p->size, sizeof *p->places);
        p->values = leat_calloc(p->size, sizeof *p->values);
        for (uint32_t i = 0; i < old.size; i++) {
                if (old.places[i] == 0)
                        continue;
                uint32_t at = slot(p, old.places[i]);
                p->places[at] = old.places[i];
                p->values[at] = old.values[i];
        }
        free(old.places);
        free(old.values);
}

void leat_query_places_put(struct query_places *p, uint64_t place, int64_t value)
{
        if (2 * p->count >= p->size)
                grow(p);
        uint32_t at = slot(p, place);
        p->count += p->places[at] == 0;
        p->places[at] = place;
        p->values[at] = value;
}

void leat_query_places_done(struct query_places *p)
{
        free(p->places);
        free(p->values);
        *p = (struct query_places){0};
}
