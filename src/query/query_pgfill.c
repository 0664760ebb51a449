/* SPDX-License-Identifier: Apache-2.0 */
/* leat/query: what fills the tables of pg_catalog and information_schema that are not empty. */
#include <stdio.h>

#include "query_pg.h"

/* Says which columns row() gives from now on: their names, separated by spaces. Others get false, 0 or NULL. */
static void give(struct query_pg_fill *f, const char *names)
{
        f->value_count = 0;
        for (const char *p = names; *p != '\0';) {
                size_t len = strcspn(p, " ");
                uint32_t c = 0;
                while (c < f->column_count &&
                       (strncmp(f->columns[c].name, p, len) != 0 || f->columns[c].name[len] != 0))
                        c++;
                LEAT_ASSERT(c < f->column_count && f->value_count < QUERY_PG_VALUES_MAX);
                f->values[f->value_count++] = (uint8_t)c;
                p += len + (p[len] == ' ');
        }
}

/* Whole and truth values that a row does not give are 0 and false: PostgreSQL's catalogs have few NULLs. */
static void blank(struct query_pg_fill *f)
{
        leat_query_rows_add(f->rows);
        for (uint32_t c = 0; c < f->column_count; c++) {
                enum leat_type_id type = f->columns[c].type;
                if (strcmp(f->columns[c].name, "tableoid") == 0)
                        leat_query_rows_int(f->rows, c, f->table->oid);
                else if (type == LEAT_T_INTEGER || type == LEAT_T_SMALLINT || type == LEAT_T_BIGINT ||
                         type == LEAT_T_BOOLEAN)
                        leat_query_rows_int(f->rows, c, 0);
                else if (type == LEAT_T_DOUBLE)
                        leat_query_rows_double(f->rows, c, 0);
        }
}

/* One row: a value for each name of give(): const char * for text, int for int, oid and bool, int64_t, double. */
static void row(struct query_pg_fill *f, ...)
{
        va_list args;
        va_start(args, f);
        blank(f);
        for (uint32_t v = 0; v < f->value_count; v++) {
                uint32_t c = f->values[v];
                switch (f->columns[c].type) {
                case LEAT_T_VARCHAR:
                        leat_query_rows_text(f->rows, c, va_arg(args, const char *));
                        break;
                case LEAT_T_BIGINT:
                        leat_query_rows_int(f->rows, c, va_arg(args, int64_t));
                        break;
                case LEAT_T_DOUBLE:
                        leat_query_rows_double(f->rows, c, va_arg(args, double));
                        break;
                default:
                        leat_query_rows_int(f->rows, c, va_arg(args, int));
                        break;
                }
        }
        va_end(args);
}

/* Sets an int2[] of the row that was added last: @values plus @add each. */
static void numbers(struct query_pg_fill *f, const char *name, const uint32_t *values, uint32_t count, int add)
{
        uint32_t c = 0;
        int16_t list[64];
        while (strcmp(f->columns[c].name, name) != 0)
                c++;
        count = LEAT_MIN(count, (uint32_t)LEAT_ARRAY_LEN(list));
        for (uint32_t i = 0; i < count; i++)
                list[i] = (int16_t)((values == NULL ? 0 : (int)values[i]) + add);
        leat_query_rows_smallints(f->rows, c, list, count);
}

static const char *schema_name(int oid)
{
        return oid == QUERY_OID_PUBLIC ? "public" : oid == QUERY_OID_PG_CATALOG ? "pg_catalog" : "information_schema";
}

static bool in_key(const struct query_pg_relation *r, uint32_t column)
{
        for (uint32_t i = 0; i < r->key_count; i++)
                if (r->keys[i] == column)
                        return true;
        return false;
}

static const char *key_name(struct query_pg_fill *f, const struct query_pg_relation *r)
{
        return leat_arena_printf(f->arena, "%s_pkey", r->name);
}

/* "(a, b)" */
static const char *key_columns(struct query_pg_fill *f, const struct query_pg_relation *r)
{
        struct leat_buf out = LEAT_BUF_INIT;
        for (uint32_t i = 0; i < r->key_count; i++) {
                leat_buf_add_str(&out, i == 0 ? "(" : ", ");
                leat_sql_quote_name(&out, r->columns[r->keys[i]].name);
        }
        leat_buf_add_str(&out, ")");
        const char *text = leat_arena_strdup(f->arena, leat_buf_cstr(&out));
        leat_buf_done(&out);
        return text;
}

static const char *index_definition(struct query_pg_fill *f, const struct query_pg_relation *r)
{
        struct leat_buf out = LEAT_BUF_INIT;
        leat_buf_add_str(&out, "CREATE UNIQUE INDEX ");
        leat_sql_quote_name(&out, key_name(f, r));
        leat_buf_add_str(&out, " ON public.");
        leat_sql_quote_name(&out, r->name);
        leat_buf_printf(&out, " USING btree %s", key_columns(f, r));
        const char *text = leat_arena_strdup(f->arena, leat_buf_cstr(&out));
        leat_buf_done(&out);
        return text;
}

#define EACH_RELATION(f, r) \
        for (const struct query_pg_relation *r = (f)->relations; r < (f)->relations + (f)->relation_count; r++)

static int key_oid(const struct query_pg_relation *r, int base)
{
        return base + (r->oid - QUERY_OID_FIRST);
}

/* ---- types ------------------------------------------------------------------------------ */
static const struct pg_type_info {
        int oid;
        const char *name, *category, *sql_name;
        int len, array, element;
} pg_types[] = {
        {16, "bool", "B", "boolean", 1, 1000, 0},
        {17, "bytea", "U", "bytea", -1, 1001, 0},
        {18, "char", "Z", "\"char\"", 1, 1002, 0},
        {19, "name", "S", "name", 64, 1003, 0},
        {20, "int8", "N", "bigint", 8, 1016, 0},
        {21, "int2", "N", "smallint", 2, 1005, 0},
        {22, "int2vector", "A", "int2vector", -1, 0, 21},
        {23, "int4", "N", "integer", 4, 1007, 0},
        {24, "regproc", "N", "regproc", 4, 1008, 0},
        {25, "text", "S", "text", -1, 1009, 0},
        {26, "oid", "N", "oid", 4, 1028, 0},
        {114, "json", "U", "json", -1, 199, 0},
        {700, "float4", "N", "real", 4, 1021, 0},
        {701, "float8", "N", "double precision", 8, 1022, 0},
        {1042, "bpchar", "S", "character", -1, 1014, 0},
        {1043, "varchar", "S", "character varying", -1, 1015, 0},
        {1082, "date", "D", "date", 4, 1182, 0},
        {1083, "time", "D", "time without time zone", 8, 1183, 0},
        {1114, "timestamp", "D", "timestamp without time zone", 8, 1115, 0},
        {1184, "timestamptz", "D", "timestamp with time zone", 8, 1185, 0},
        {1186, "interval", "T", "interval", 16, 1187, 0},
        {1700, "numeric", "N", "numeric", -1, 1231, 0},
        {2205, "regclass", "N", "regclass", 4, 2210, 0},
        {2950, "uuid", "U", "uuid", 16, 2951, 0},
        {199, "_json", "A", "json[]", -1, 0, 114},
        {1000, "_bool", "A", "boolean[]", -1, 0, 16},
        {1001, "_bytea", "A", "bytea[]", -1, 0, 17},
        {1005, "_int2", "A", "smallint[]", -1, 0, 21},
        {1007, "_int4", "A", "integer[]", -1, 0, 23},
        {1009, "_text", "A", "text[]", -1, 0, 25},
        {1016, "_int8", "A", "bigint[]", -1, 0, 20},
        {1021, "_float4", "A", "real[]", -1, 0, 700},
        {1022, "_float8", "A", "double precision[]", -1, 0, 701},
        {1115, "_timestamp", "A", "timestamp without time zone[]", -1, 0, 1114},
        {1182, "_date", "A", "date[]", -1, 0, 1082},
        {1183, "_time", "A", "time without time zone[]", -1, 0, 1083},
        {1185, "_timestamptz", "A", "timestamp with time zone[]", -1, 0, 1184},
        {1187, "_interval", "A", "interval[]", -1, 0, 1186},
        {1231, "_numeric", "A", "numeric[]", -1, 0, 1700},
        {2951, "_uuid", "A", "uuid[]", -1, 0, 2950},
};

static const struct pg_type_info *type_info(const struct leat_type *type)
{
        int oid = (int)leat_pg_type_oid(type);
        for (size_t i = 0; i < LEAT_ARRAY_LEN(pg_types); i++)
                if (pg_types[i].oid == oid)
                        return &pg_types[i];
        return type_info(&(struct leat_type){.id = LEAT_T_VARCHAR});
}

void leat_query_fill_type(struct query_pg_fill *f)
{
        give(f, "oid typname typnamespace typowner typlen typbyval typtype typcategory typisdefined typdelim typelem "
                "typarray typinput typoutput typreceive typsend typalign typstorage typtypmod typcollation");
        for (size_t i = 0; i < LEAT_ARRAY_LEN(pg_types); i++) {
                const struct pg_type_info *t = &pg_types[i];
                bool array = t->category[0] == 'A';
                const char *stem = array ? "array_" : t->name;
                row(f, t->oid, t->name, QUERY_OID_PG_CATALOG, QUERY_OID_ROLE, t->len, t->len > 0 && t->len <= 8, "b",
                    t->category, true, ",", t->element, t->array, leat_arena_printf(f->arena, "%sin", stem),
                    leat_arena_printf(f->arena, "%sout", stem), leat_arena_printf(f->arena, "%srecv", stem),
                    leat_arena_printf(f->arena, "%ssend", stem), t->len == 8 ? "d" : "i", t->len < 0 ? "x" : "p", -1,
                    t->category[0] == 'S' ? 100 : 0);
        }
}

static int type_modifier(const struct leat_type *type)
{
        return type->id == LEAT_T_DECIMAL ? ((type->width << 16) | type->scale) + 4 : -1;
}

/* ---- relations ---------------------------------------------------------------------------- */
void leat_query_fill_class(struct query_pg_fill *f)
{
        give(f, "oid relname relnamespace relowner relam reltuples relhasindex relpersistence relkind relnatts "
                "relispopulated relreplident");
        EACH_RELATION(f, r)
        row(f, r->oid, r->name, r->schema, QUERY_OID_ROLE, r->kind[0] == 'v' ? 0 : QUERY_OID_HEAP, -1.0,
            r->key_count != 0, "p", r->kind, (int)r->column_count, true, r->kind[0] == 'v' ? "n" : "d");
        EACH_RELATION(f, r)
        if (r->key_count != 0)
                row(f, key_oid(r, QUERY_OID_INDEX), key_name(f, r), r->schema, QUERY_OID_ROLE, QUERY_OID_BTREE, -1.0,
                    false, "p", "i", (int)r->key_count, true, "n");
}

static void attribute(struct query_pg_fill *f, int relation, uint32_t number, const struct leat_column_def *column,
                      bool not_null)
{
        const struct leat_type *type = &column->type;
        row(f, relation, column->name, (int)leat_pg_type_oid(type), -1, (int)leat_pg_type_len(type), (int)number,
            type->id == LEAT_T_LIST, -1, type_modifier(type), "i", leat_pg_type_len(type) < 0 ? "x" : "p", "", not_null,
            "", "", true, type->id == LEAT_T_VARCHAR ? 100 : 0);
}

void leat_query_fill_attribute(struct query_pg_fill *f)
{
        give(f, "attrelid attname atttypid attstattarget attlen attnum attndims attcacheoff atttypmod attalign "
                "attstorage attcompression attnotnull attidentity attgenerated attislocal attcollation");
        EACH_RELATION(f, r)
        {
                for (uint32_t c = 0; c < r->column_count; c++)
                        attribute(f, r->oid, c + 1, &r->columns[c], r->columns[c].not_null || in_key(r, c));
                for (uint32_t k = 0; k < r->key_count; k++)
                        attribute(f, key_oid(r, QUERY_OID_INDEX), k + 1, &r->columns[r->keys[k]], false);
        }
}

void leat_query_fill_index(struct query_pg_fill *f)
{
        give(f, "indexrelid indrelid indnatts indnkeyatts indisunique indisprimary indimmediate indisvalid indisready "
                "indislive");
        EACH_RELATION(f, r)
        {
                if (r->key_count == 0)
                        continue;
                row(f, key_oid(r, QUERY_OID_INDEX), r->oid, (int)r->key_count, (int)r->key_count, true, true, true,
                    true, true, true);
                numbers(f, "indkey", r->keys, r->key_count, 1);
                numbers(f, "indcollation", NULL, r->key_count, 0);
                numbers(f, "indclass", NULL, r->key_count, 0);
                numbers(f, "indoption", NULL, r->key_count, 0);
        }
}

void leat_query_fill_constraint(struct query_pg_fill *f)
{
        give(f, "oid conname connamespace contype convalidated conrelid conindid confupdtype confdeltype confmatchtype "
                "conislocal connoinherit");
        EACH_RELATION(f, r)
        {
                if (r->key_count == 0)
                        continue;
                row(f, key_oid(r, QUERY_OID_CONSTRAINT), key_name(f, r), r->schema, "p", true, r->oid,
                    key_oid(r, QUERY_OID_INDEX), " ", " ", " ", true, true);
                numbers(f, "conkey", r->keys, r->key_count, 1);
        }
}

void leat_query_fill_definitions(struct query_pg_fill *f)
{
        give(f, "oid number definition");
        EACH_RELATION(f, r)
        {
                if (r->body != NULL)
                        row(f, r->oid, 0, r->body);
                if (r->key_count == 0)
                        continue;
                row(f, key_oid(r, QUERY_OID_INDEX), 0, index_definition(f, r));
                for (uint32_t k = 0; k < r->key_count; k++)
                        row(f, key_oid(r, QUERY_OID_INDEX), (int)k + 1, r->columns[r->keys[k]].name);
                row(f, key_oid(r, QUERY_OID_CONSTRAINT), 0,
                    leat_arena_printf(f->arena, "PRIMARY KEY %s", key_columns(f, r)));
        }
}

void leat_query_fill_indexes(struct query_pg_fill *f)
{
        give(f, "schemaname tablename indexname indexdef");
        EACH_RELATION(f, r)
        if (r->key_count != 0)
                row(f, "public", r->name, key_name(f, r), index_definition(f, r));
}

void leat_query_fill_views(struct query_pg_fill *f)
{
        give(f, "schemaname viewname viewowner definition");
        EACH_RELATION(f, r)
        if (r->kind[0] == 'v' && r->body != NULL)
                row(f, "public", r->name, "leat", r->body);
}

void leat_query_fill_matviews(struct query_pg_fill *f)
{
        give(f, "schemaname matviewname matviewowner ispopulated definition");
        EACH_RELATION(f, r)
        if (r->kind[0] == 'm')
                row(f, "public", r->name, "leat", true, r->body);
}

void leat_query_fill_tables(struct query_pg_fill *f)
{
        give(f, "schemaname tablename tableowner hasindexes");
        EACH_RELATION(f, r)
        if (r->kind[0] == 'r')
                row(f, schema_name(r->schema), r->name, "leat", r->key_count != 0);
}

/* ---- the rest of pg_catalog ------------------------------------------------------------------- */
void leat_query_fill_namespace(struct query_pg_fill *f)
{
        give(f, "oid nspname nspowner");
        row(f, QUERY_OID_PG_CATALOG, "pg_catalog", QUERY_OID_ROLE);
        row(f, QUERY_OID_PUBLIC, "public", QUERY_OID_ROLE);
        row(f, QUERY_OID_INFORMATION, "information_schema", QUERY_OID_ROLE);
}

void leat_query_fill_database(struct query_pg_fill *f)
{
        give(f,
             "oid datname datdba encoding datlocprovider datallowconn datconnlimit dattablespace datcollate datctype");
        row(f, QUERY_OID_DATABASE, "leat", QUERY_OID_ROLE, 6, "c", true, -1, QUERY_OID_TABLESPACE, "C", "C");
}

void leat_query_fill_roles(struct query_pg_fill *f)
{
        give(f, "oid rolname rolinherit rolcanlogin rolconnlimit rolpassword");
        row(f, QUERY_OID_ROLE, "leat", true, true, -1, "********");
}

void leat_query_fill_user(struct query_pg_fill *f)
{
        give(f, "usename usesysid passwd");
        row(f, "leat", QUERY_OID_ROLE, "********");
}

void leat_query_fill_am(struct query_pg_fill *f)
{
        give(f, "oid amname amhandler amtype");
        row(f, QUERY_OID_HEAP, "heap", "heap_tableam_handler", "t");
        row(f, QUERY_OID_BTREE, "btree", "bthandler", "i");
}

void leat_query_fill_tablespace(struct query_pg_fill *f)
{
        give(f, "oid spcname spcowner");
        row(f, QUERY_OID_TABLESPACE, "pg_default", QUERY_OID_ROLE);
}

void leat_query_fill_collation(struct query_pg_fill *f)
{
        give(f, "oid collname collnamespace collowner collprovider collisdeterministic collencoding");
        row(f, 100, "default", QUERY_OID_PG_CATALOG, QUERY_OID_ROLE, "d", true, -1);
        row(f, 950, "C", QUERY_OID_PG_CATALOG, QUERY_OID_ROLE, "c", true, -1);
}

void leat_query_fill_settings(struct query_pg_fill *f)
{
        static const struct query_column columns[] = {
                {"name", LEAT_T_VARCHAR}, {"setting", LEAT_T_VARCHAR}, {"help", LEAT_T_VARCHAR}};
        struct query_rows list;
        struct query_session none = {0};
        leat_query_rows_init(&list, f->arena, columns, 3);
        leat_query_setting_list(&none, &list);
        give(f, "name setting category short_desc context vartype source boot_val reset_val");
        for (uint32_t i = 0; i < list.batch.rows; i++) {
                const char *text[3];
                for (int c = 0; c < 3; c++) {
                        struct leat_view v = leat_string_view((struct leat_string *)list.batch.columns[c].data + i);
                        text[c] = leat_arena_strndup(f->arena, (const char *)v.data, v.len);
                }
                row(f, text[0], text[1], "Leat", text[2], "user", "string", "default", text[1], text[1]);
        }
}

/* ---- information_schema ---------------------------------------------------------------------- */
void leat_query_fill_is_schemata(struct query_pg_fill *f)
{
        give(f, "catalog_name schema_name schema_owner");
        row(f, "leat", "public", "leat");
        row(f, "leat", "pg_catalog", "leat");
        row(f, "leat", "information_schema", "leat");
}

void leat_query_fill_is_tables(struct query_pg_fill *f)
{
        give(f, "table_catalog table_schema table_name table_type is_insertable_into is_typed");
        EACH_RELATION(f, r)
        {
                bool own = r->kind[0] == 'r';
                row(f, "leat", schema_name(r->schema), r->name, own ? "BASE TABLE" : "VIEW",
                    own && r->schema == QUERY_OID_PUBLIC ? "YES" : "NO", "NO");
        }
}

void leat_query_fill_is_views(struct query_pg_fill *f)
{
        give(f, "table_catalog table_schema table_name view_definition check_option is_updatable is_insertable_into");
        EACH_RELATION(f, r)
        if (r->body != NULL)
                row(f, "leat", schema_name(r->schema), r->name, r->body, "NONE", "NO", "NO");
}

static void is_column(struct query_pg_fill *f, const struct query_pg_relation *r, uint32_t c)
{
        const struct leat_column_def *column = &r->columns[c];
        const struct pg_type_info *type = type_info(&column->type);
        row(f, "leat", schema_name(r->schema), r->name, column->name, (int)c + 1,
            column->not_null || in_key(r, c) ? "NO" : "YES", column->type.id == LEAT_T_LIST ? "ARRAY" : type->sql_name,
            "leat", "pg_catalog", type->name, "NO", "NO", "NEVER", r->kind[0] == 'r' ? "YES" : "NO");
}

/* numeric_precision and its kin are NULL where they mean nothing. */
static void is_column_numbers(struct query_pg_fill *f, const struct leat_type *type)
{
        static const struct {
                int oid, precision, radix, scale, datetime;
        } facts[] = {{21, 16, 2, 0, -1},    {23, 32, 2, 0, -1},    {20, 64, 2, 0, -1},    {700, 24, 2, -1, -1},
                     {701, 53, 2, -1, -1},  {1082, -1, -1, -1, 0}, {1083, -1, -1, -1, 6}, {1114, -1, -1, -1, 6},
                     {1184, -1, -1, -1, 6}, {1186, -1, -1, -1, 6}};
        int values[4] = {-1, -1, -1, -1};
        if (type->id == LEAT_T_DECIMAL) {
                values[0] = type->width;
                values[1] = 10;
                values[2] = type->scale;
        }
        for (size_t i = 0; i < LEAT_ARRAY_LEN(facts); i++)
                if (facts[i].oid == (int)leat_pg_type_oid(type))
                        memcpy(values, &facts[i].precision, sizeof values);
        static const char *const names[] = {"numeric_precision", "numeric_precision_radix", "numeric_scale",
                                            "datetime_precision"};
        for (uint32_t c = 0; c < f->column_count; c++) {
                if (f->columns[c].type != LEAT_T_INTEGER || strcmp(f->columns[c].name, "ordinal_position") == 0)
                        continue;
                int value = -1;
                for (int i = 0; i < 4; i++)
                        if (strcmp(names[i], f->columns[c].name) == 0)
                                value = values[i];
                if (value < 0)
                        leat_query_rows_null(f->rows, c);
                else
                        leat_query_rows_int(f->rows, c, value);
        }
}

void leat_query_fill_is_columns(struct query_pg_fill *f)
{
        give(f, "table_catalog table_schema table_name column_name ordinal_position is_nullable data_type udt_catalog "
                "udt_schema udt_name is_self_referencing is_identity is_generated is_updatable");
        EACH_RELATION(f, r)
        for (uint32_t c = 0; c < r->column_count; c++) {
                is_column(f, r, c);
                is_column_numbers(f, &r->columns[c].type);
        }
}

void leat_query_fill_is_constraints(struct query_pg_fill *f)
{
        give(f, "constraint_catalog constraint_schema constraint_name table_catalog table_schema table_name "
                "constraint_type is_deferrable initially_deferred enforced");
        EACH_RELATION(f, r)
        if (r->key_count != 0)
                row(f, "leat", "public", key_name(f, r), "leat", "public", r->name, "PRIMARY KEY", "NO", "NO", "YES");
}

/* key_column_usage and constraint_column_usage, which has no positions. */
void leat_query_fill_is_keys(struct query_pg_fill *f)
{
        bool positions = strcmp(f->table->name, "information_schema.key_column_usage") == 0;
        give(f, positions
                        ? "constraint_catalog constraint_schema constraint_name table_catalog table_schema table_name "
                          "column_name ordinal_position"
                        : "constraint_catalog constraint_schema constraint_name table_catalog table_schema table_name "
                          "column_name");
        EACH_RELATION(f, r)
        for (uint32_t k = 0; k < r->key_count; k++) {
                row(f, "leat", "public", key_name(f, r), "leat", "public", r->name, r->columns[r->keys[k]].name,
                    (int)k + 1);
                if (positions)
                        leat_query_rows_null(f->rows, f->column_count - 1);
        }
}
