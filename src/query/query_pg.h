/* SPDX-License-Identifier: Apache-2.0 */
/* leat/query: what the files of pg_catalog share (query_pgcatalog.c, query_pgtables.c, query_pgfill.c). */
#ifndef LEAT_QUERY_PG_H
#define LEAT_QUERY_PG_H

#include "query_int.h"

enum {
        QUERY_PG_COLUMNS_MAX = 48,
        QUERY_PG_VALUES_MAX = 24,
        /* Relations have their object's id behind QUERY_OID_FIRST, undeclared topics a hash of their name behind
         * QUERY_OID_UNDECLARED, the index and the constraint of a primary key theirs. */
        QUERY_OID_FIRST = 16384,
        QUERY_OID_UNDECLARED = 0x20000000,
        QUERY_OID_INDEX = 0x40000000,
        QUERY_OID_CONSTRAINT = 0x60000000,
        QUERY_OID_PUBLIC = 2200,
        QUERY_OID_PG_CATALOG = 11,
        QUERY_OID_INFORMATION = 13000,
        QUERY_OID_ROLE = 10,
        QUERY_OID_DATABASE = 1,
        QUERY_OID_TABLESPACE = 1663,
        QUERY_OID_HEAP = 2,
        QUERY_OID_BTREE = 403,
};

/* A relation as clients see it: an object of the catalog, an undeclared topic, or a system table. */
struct query_pg_relation {
        int oid;
        int schema;
        const char *name;
        const char *kind; /* relkind: r, v, m */
        uint32_t column_count;
        const struct leat_column_def *columns;
        uint32_t key_count;
        const uint32_t *keys;
        const char *body; /* of a view */
};

/* One scan: the table that is filled and where the values go. */
struct query_pg_fill {
        struct leat_query *query;
        const struct query_pg_table *table;
        struct query_rows *rows;
        struct leat_arena *arena;
        uint32_t relation_count;
        const struct query_pg_relation *relations;
        uint32_t column_count;
        const struct query_column *columns; /* of the table */
        uint32_t value_count;
        uint8_t values[QUERY_PG_VALUES_MAX]; /* columns that row() gives, in its order */
};

struct query_pg_table {
        int oid;
        const char *name;
        const char *columns;
        void (*fill)(struct query_pg_fill *fill);
};
extern const struct query_pg_table leat_query_pg_tables[];
extern const uint32_t leat_query_pg_table_count;

void leat_query_fill_am(struct query_pg_fill *f);
void leat_query_fill_attribute(struct query_pg_fill *f);
void leat_query_fill_class(struct query_pg_fill *f);
void leat_query_fill_collation(struct query_pg_fill *f);
void leat_query_fill_constraint(struct query_pg_fill *f);
void leat_query_fill_database(struct query_pg_fill *f);
void leat_query_fill_definitions(struct query_pg_fill *f);
void leat_query_fill_index(struct query_pg_fill *f);
void leat_query_fill_indexes(struct query_pg_fill *f);
void leat_query_fill_matviews(struct query_pg_fill *f);
void leat_query_fill_namespace(struct query_pg_fill *f);
void leat_query_fill_roles(struct query_pg_fill *f);
void leat_query_fill_settings(struct query_pg_fill *f);
void leat_query_fill_tables(struct query_pg_fill *f);
void leat_query_fill_tablespace(struct query_pg_fill *f);
void leat_query_fill_type(struct query_pg_fill *f);
void leat_query_fill_user(struct query_pg_fill *f);
void leat_query_fill_views(struct query_pg_fill *f);
void leat_query_fill_zones(struct query_pg_fill *f); /* query_zone.c */
void leat_query_fill_is_columns(struct query_pg_fill *f);
void leat_query_fill_is_constraints(struct query_pg_fill *f);
void leat_query_fill_is_keys(struct query_pg_fill *f);
void leat_query_fill_is_schemata(struct query_pg_fill *f);
void leat_query_fill_is_tables(struct query_pg_fill *f);
void leat_query_fill_is_views(struct query_pg_fill *f);

#endif
