/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/query: leat_scan('key') — which scan answers which key.
 *
 *   topic, undeclared topic, quarantine   query_topic.c
 *   "@" + the key of a view               its arrangement, query_view.c
 *   pg_catalog.x, information_schema.x    query_pgcatalog.c
 */
#include "query_int.h"

static int describe(void *arg, const char *key, struct leat_arena *arena, uint32_t *ret_count, const char ***ret_names,
                    struct leat_type **ret_types, struct leat_error *err)
{
        struct query_session *s = arg;
        struct leat_scan_key parsed;
        LEAT_TRY(leat_sql_scan_key_parse(arena, key[0] == '@' ? key + 1 : key, &parsed, err));
        if (parsed.kind == LEAT_SCAN_SYSTEM)
                return leat_query_system_ops.describe(s->query, parsed.name, arena, ret_count, ret_names, ret_types,
                                                      err);
        if (key[0] == '@')
                return leat_query_view_describe(s, parsed.object_id, arena, ret_count, ret_names, ret_types, err);
        return leat_sql_scan_columns(s->catalog, &parsed, arena, ret_count, ret_names, ret_types, err);
}

/* System relations come from ops of their own: a scan that passes on. */
struct system_scan {
        struct query_scan scan;
        void *inner;
};

static int system_next(struct query_scan *scan, const struct leat_batch **ret_batch, struct leat_error *err)
{
        return leat_query_system_ops.next(((struct system_scan *)scan)->inner, ret_batch, err);
}

static void system_close(struct query_scan *scan)
{
        leat_query_system_ops.close(((struct system_scan *)scan)->inner);
        free(scan);
}

static int system_open(struct query_session *s, const char *name, const uint32_t *columns, uint32_t count,
                       struct query_scan **ret_scan, struct leat_error *err)
{
        void *inner;
        LEAT_TRY(leat_query_system_ops.open(s->query, name, columns, count, &inner, err));
        struct system_scan *scan = leat_calloc(1, sizeof *scan);
        scan->scan.next = system_next;
        scan->scan.close = system_close;
        scan->inner = inner;
        *ret_scan = &scan->scan;
        return 0;
}

static int open_scan(void *arg, const char *key, const uint32_t *columns, uint32_t count, void **ret_scan,
                     struct leat_error *err)
{
        struct query_session *s = arg;
        struct leat_arena *arena = leat_arena_new(1024);
        struct leat_scan_key parsed;
        struct query_scan *scan = NULL;
        int rc = leat_sql_scan_key_parse(arena, key[0] == '@' ? key + 1 : key, &parsed, err);
        if (rc == 0 && parsed.kind == LEAT_SCAN_SYSTEM)
                rc = system_open(s, parsed.name, columns, count, &scan, err);
        else if (rc == 0 && key[0] == '@')
                rc = leat_query_view_open(s, &parsed, columns, count, &scan, err);
        else if (rc == 0)
                rc = leat_query_topic_open(s, &parsed, columns, count, &scan, err);
        leat_arena_free(arena);
        *ret_scan = scan;
        return rc;
}

static int next_rows(void *scan, const struct leat_batch **ret_batch, struct leat_error *err)
{
        struct query_scan *s = scan;
        return s->next(s, ret_batch, err);
}

static void close_scan(void *scan)
{
        struct query_scan *s = scan;
        s->close(s);
}

const struct leat_relation_ops leat_query_relation_ops = {
        .describe = describe, .open = open_scan, .next = next_rows, .close = close_scan};
