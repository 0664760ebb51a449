/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/query: pg_catalog and information_schema as relations, made from our
 * catalog and the broker's topics for each scan: what psql's \d commands,
 * psycopg and pgjdbc ask for. query_pgtables.c has their columns,
 * query_pgfill.c what stands in them.
 */
#include <stdio.h>
#include <stdlib.h>

#include "query_pg.h"

static const struct query_pg_table *find_table(const char *name)
{
        for (uint32_t i = 0; i < leat_query_pg_table_count; i++)
                if (strcmp(leat_query_pg_tables[i].name, name) == 0)
                        return &leat_query_pg_tables[i];
        return NULL;
}

static struct leat_type letter_type(char letter)
{
        static const struct leat_type text = {.id = LEAT_T_VARCHAR}, small = {.id = LEAT_T_SMALLINT};
        struct leat_type list = leat_type_of(LEAT_T_LIST);
        list.child_count = 1;
        switch (letter) {
        case 'o':
        case 'i':
                return leat_type_of(LEAT_T_INTEGER);
        case 's':
                return leat_type_of(LEAT_T_SMALLINT);
        case 'l':
                return leat_type_of(LEAT_T_BIGINT);
        case 'b':
                return leat_type_of(LEAT_T_BOOLEAN);
        case 'd':
                return leat_type_of(LEAT_T_DOUBLE);
        case 'z':
                return leat_type_of(LEAT_T_TIMESTAMPTZ);
        case 'T':
                list.children = &text;
                return list;
        case 'S':
                list.children = &small;
                return list;
        default:
                return text;
        }
}

/* Reads "name:type …" into columns with their full types; returns how many. */
static uint32_t table_columns(const struct query_pg_table *table, struct leat_arena *arena,
                              struct leat_column_def *columns)
{
        uint32_t n = 0;
        for (const char *p = table->columns; *p != '\0';) {
                size_t len = strcspn(p, ":");
                LEAT_ASSERT(n < QUERY_PG_COLUMNS_MAX);
                columns[n] = (struct leat_column_def){.name = leat_arena_strndup(arena, p, len),
                                                      .type = letter_type(p[len + 1])};
                n++;
                p += len + 2;
                p += *p == ' ';
        }
        return n;
}

static int describe(void *arg, const char *key, struct leat_arena *arena, uint32_t *ret_count, const char ***ret_names,
                    struct leat_type **ret_types, struct leat_error *err)
{
        const struct query_pg_table *table = find_table(key);
        struct leat_column_def columns[QUERY_PG_COLUMNS_MAX];
        (void)arg;
        if (table == NULL)
                return leat_error_set(err, LEAT_ENORELATION, "relation \"%s\" does not exist", key);
        uint32_t count = table_columns(table, arena, columns);
        const char **names = leat_arena_alloc(arena, count * sizeof *names);
        struct leat_type *types = leat_arena_alloc(arena, count * sizeof *types);
        for (uint32_t i = 0; i < count; i++) {
                names[i] = columns[i].name;
                types[i] = columns[i].type;
        }
        *ret_count = count;
        *ret_names = names;
        *ret_types = types;
        return 0;
}

/* ---- relations that the tables tell of ---------------------------------------------- */
static void object_relation(struct leat_arena *arena, const struct leat_object *o, struct query_pg_relation *r)
{
        *r = (struct query_pg_relation){.oid = (int)(QUERY_OID_FIRST + o->id),
                                        .schema = QUERY_OID_PUBLIC,
                                        .name = o->name,
                                        .kind = o->kind == LEAT_OBJECT_TOPIC  ? "r"
                                                : o->kind == LEAT_OBJECT_VIEW ? "v"
                                                                              : "m"};
        if (o->kind == LEAT_OBJECT_TOPIC) {
                r->columns = o->topic->columns;
                r->column_count = o->topic->column_count;
                r->keys = o->topic->keys;
                r->key_count = o->topic->key_count;
        } else {
                r->columns = o->view->columns;
                r->column_count = o->view->column_count;
                r->body = leat_arena_strndup(arena, (const char *)o->view->body.data, o->view->body.len);
        }
}

/* Topics without a declaration; those that hold a declared topic's quarantine belong to it. */
static uint32_t undeclared_relations(struct leat_query *q, struct leat_arena *arena,
                                     const struct leat_snapshot *catalog, struct query_pg_relation **ret_relations)
{
        static const struct leat_column_def value = {.name = "value", .type = {.id = LEAT_T_VARCHAR}};
        static const char quarantine[] = ".quarantine";
        struct leat_feed_topic *topics = NULL;
        uint32_t count = 0, n = 0;
        pthread_mutex_lock(&q->topic_mutex);
        int rc = leat_feed_topics(q->topic_feed, arena, &topics, &count, NULL);
        pthread_mutex_unlock(&q->topic_mutex);
        if (rc != 0)
                return 0; /* the broker is away: what the catalog knows is still true */
        struct query_pg_relation *list = leat_arena_zalloc(arena, (count + 1) * sizeof *list);
        for (uint32_t i = 0; i < count; i++) {
                size_t len = strlen(topics[i].name), tail = sizeof quarantine - 1;
                const char *name = leat_arena_strdup(arena, topics[i].name);
                if (topics[i].internal || leat_snapshot_find(catalog, name, false) != NULL)
                        continue;
                if (len > tail && strcmp(name + len - tail, quarantine) == 0 &&
                    leat_snapshot_find(catalog, leat_arena_strndup(arena, name, len - tail), false) != NULL)
                        continue;
                list[n++] = (struct query_pg_relation){.oid = QUERY_OID_UNDECLARED +
                                                              (int)(leat_hash64(0, name, len) & 0xfffffff),
                                                       .schema = QUERY_OID_PUBLIC,
                                                       .name = name,
                                                       .kind = "r",
                                                       .columns = &value,
                                                       .column_count = 1};
        }
        *ret_relations = list;
        return n;
}

static void system_relation(struct leat_arena *arena, const struct query_pg_table *table, struct query_pg_relation *r)
{
        struct leat_column_def *columns = leat_arena_alloc(arena, QUERY_PG_COLUMNS_MAX * sizeof *columns);
        bool information = strncmp(table->name, "information_schema.", 19) == 0;
        *r = (struct query_pg_relation){.oid = table->oid,
                                        .schema = information ? QUERY_OID_INFORMATION : QUERY_OID_PG_CATALOG,
                                        .name = strchr(table->name, '.') + 1,
                                        .kind = table->oid >= 12000 ? "v" : "r",
                                        .columns = columns,
                                        .column_count = table_columns(table, arena, columns)};
}

static void list_relations(struct query_pg_fill *f, const struct leat_snapshot *catalog)
{
        struct query_pg_relation *undeclared = NULL;
        uint32_t more = undeclared_relations(f->query, f->arena, catalog, &undeclared), n = 0;
        size_t most = catalog->object_count + more + leat_query_pg_table_count;
        struct query_pg_relation *list = leat_arena_zalloc(f->arena, most * sizeof *list);
        for (uint32_t i = 0; i < catalog->object_count; i++) {
                const struct leat_object *o = &catalog->objects[i];
                if (o->kind != LEAT_OBJECT_DASHBOARD && o->state == LEAT_STATE_READY)
                        object_relation(f->arena, o, &list[n++]);
        }
        for (uint32_t i = 0; i < more; i++)
                list[n++] = undeclared[i];
        for (uint32_t i = 0; i < leat_query_pg_table_count; i++)
                system_relation(f->arena, &leat_query_pg_tables[i], &list[n++]);
        f->relations = list;
        f->relation_count = n;
}

/* ---- scans ------------------------------------------------------------------------------ */
struct pg_scan {
        struct leat_arena *arena;
        struct leat_batch out;
        bool given;
};

static void close_scan(void *scan)
{
        struct pg_scan *s = scan;
        leat_arena_free(s->arena);
        free(s);
}

static void fill_table(struct leat_query *q, const struct query_pg_table *table, const struct leat_snapshot *catalog,
                       struct leat_arena *arena, struct query_rows *rows)
{
        struct leat_column_def defs[QUERY_PG_COLUMNS_MAX];
        struct query_column columns[QUERY_PG_COLUMNS_MAX];
        struct query_pg_fill fill = {.query = q, .table = table, .rows = rows, .arena = arena, .columns = columns};
        fill.column_count = table_columns(table, arena, defs);
        for (uint32_t i = 0; i < fill.column_count; i++)
                columns[i] = (struct query_column){defs[i].name, (enum leat_type_id)defs[i].type.id};
        leat_query_rows_init(rows, arena, columns, fill.column_count);
        for (uint32_t i = 0; i < fill.column_count; i++) {
                struct leat_column *col = &rows->batch.columns[i];
                if (col->type.id != LEAT_T_LIST)
                        continue;
                col->type = defs[i].type;
                col->children = leat_arena_zalloc(arena, sizeof *col->children);
                col->children->type = defs[i].type.children[0];
        }
        if (table->fill == NULL)
                return;
        list_relations(&fill, catalog);
        table->fill(&fill);
}

static int open_scan(void *arg, const char *key, const uint32_t *wanted, uint32_t count, void **ret_scan,
                     struct leat_error *err)
{
        const struct query_pg_table *table = find_table(key);
        struct leat_sql_catalog *catalog;
        struct query_rows rows;
        if (table == NULL)
                return leat_error_set(err, LEAT_ENORELATION, "relation \"%s\" does not exist", key);
        struct leat_query *q = arg;
        LEAT_TRY(leat_sql_env_catalog(q->env, &catalog, err));
        struct pg_scan *s = leat_calloc(1, sizeof *s);
        s->arena = leat_arena_new(0);
        fill_table(q, table, catalog->snapshot, s->arena, &rows);
        leat_sql_catalog_unref(catalog);
        s->out.rows = rows.batch.rows;
        s->out.column_count = count;
        s->out.columns = leat_arena_zalloc(s->arena, (count + 1) * sizeof *s->out.columns);
        for (uint32_t i = 0; i < count; i++)
                s->out.columns[i] = rows.batch.columns[wanted[i]];
        *ret_scan = s;
        return 0;
}

static int next_rows(void *scan, const struct leat_batch **ret_batch, struct leat_error *err)
{
        struct pg_scan *s = scan;
        (void)err;
        *ret_batch = s->given || s->out.rows == 0 ? NULL : &s->out;
        s->given = true;
        return 0;
}

const struct leat_relation_ops leat_query_system_ops = {
        .describe = describe, .open = open_scan, .next = next_rows, .close = close_scan};
