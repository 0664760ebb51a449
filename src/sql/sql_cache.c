/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/sql: panels that were checked already.
 *
 * A dashboard asks for the same queries several times a second, and the catalog
 * hardly ever changes: a checked panel is kept, with its own copy of the text,
 * as long as the catalog's version is the one it was checked against. Entries
 * are counted, so one that is thrown out lives on where it is used.
 */
#include "sql_int.h"

struct sql_cached {
        _Atomic uint32_t refs;
        struct leat_arena *arena;
        uint64_t version;
        struct leat_view sql;
        const char *names; /* each followed by a blank */
        struct leat_sql_query query;
};

static void cached_unref(void *arg)
{
        struct sql_cached *entry = arg;
        if (entry == NULL || atomic_fetch_sub(&entry->refs, 1) != 1)
                return;
        struct leat_arena *arena = entry->arena;
        free(entry);
        leat_arena_free(arena);
}

void leat_sql_cache_clear(struct leat_sql_env *env)
{
        for (uint32_t i = 0; i < SQL_CACHE_ENTRIES; i++) {
                cached_unref(env->cache[i]);
                env->cache[i] = NULL;
        }
}

static const char *joined(struct leat_arena *arena, const char *const *names, uint32_t count)
{
        const char *text = "";
        for (uint32_t i = 0; i < count; i++)
                text = leat_arena_printf(arena, "%s%s ", text, names[i]);
        return text;
}

bool leat_sql_cache_find(struct leat_sql_env *env, struct leat_arena *arena, uint64_t version, struct leat_view sql,
                         const char *const *names, uint32_t name_count, struct leat_sql_query *ret_query)
{
        const char *list = joined(arena, names, name_count);
        bool found = false;
        pthread_mutex_lock(&env->lock);
        for (uint32_t i = 0; i < SQL_CACHE_ENTRIES && !found; i++) {
                struct sql_cached *entry = env->cache[i];
                if (entry == NULL || entry->version != version || !leat_view_eq(entry->sql, sql) ||
                    strcmp(entry->names, list) != 0)
                        continue;
                atomic_fetch_add(&entry->refs, 1);
                leat_arena_cleanup(arena, cached_unref, entry);
                *ret_query = entry->query;
                found = true;
        }
        pthread_mutex_unlock(&env->lock);
        return found;
}

void leat_sql_cache_add(struct leat_sql_env *env, struct leat_arena *own, struct leat_view sql,
                        const char *const *names, uint32_t name_count, const struct leat_sql_query *query,
                        struct leat_arena *arena)
{
        struct sql_cached *entry = leat_calloc(1, sizeof *entry);
        entry->refs = 2; /* the cache's and the caller's */
        entry->arena = own;
        entry->version = query->catalog->snapshot->version;
        entry->sql = sql;
        entry->names = joined(own, names, name_count);
        entry->query = *query;
        leat_arena_cleanup(arena, cached_unref, entry);
        pthread_mutex_lock(&env->lock);
        uint32_t slot = env->cache_next++ % SQL_CACHE_ENTRIES;
        struct sql_cached *old = env->cache[slot];
        env->cache[slot] = entry;
        pthread_mutex_unlock(&env->lock);
        cached_unref(old);
}
