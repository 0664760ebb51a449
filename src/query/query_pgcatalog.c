/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/query: pg_catalog and information_schema as relations, made from our
 * catalog for each scan: what psql's \d commands, psycopg and pgjdbc ask for.
 *
 * A table is one line: its name, its columns as "name:type …" (o = oid, i =
 * int4, s = int2, l = int8, b = bool, t = text, d = float8, z = timestamptz, T =
 * text[], always NULL), and what fills it. Tables of things that Leat does not
 * have are there and empty, so that clients see that there are none.
 *
 * Oids: relations have QUERY_OID_FIRST plus their object id.
 */
#include <stdio.h>
#include <stdlib.h>

#include "query_int.h"

enum {
        PG_COLUMNS_MAX = 48,
        QUERY_OID_FIRST = 16384,
        OID_PUBLIC = 2200,
        OID_PG_CATALOG = 11,
        OID_INFORMATION = 13000,
        OID_LEAT_ROLE = 10,
        OID_DATABASE = 1
};

/* What a table is filled from. */
struct pg_fill {
        struct leat_query *query;
        const struct leat_snapshot *catalog;
        struct query_rows *rows;
        struct leat_arena *arena;
};

struct pg_table {
        const char *name;
        const char *columns;
        void (*fill)(struct pg_fill *fill);
};

/* Adds a row; @fmt has one letter a value as in the columns' types, '-' for NULL. */
static void row(struct pg_fill *f, const char *fmt, ...)
{
        va_list args;
        va_start(args, fmt);
        leat_query_rows_add(f->rows);
        for (uint32_t c = 0; fmt[c] != '\0'; c++) {
                switch (fmt[c]) {
                case 't':
                        leat_query_rows_text(f->rows, c, va_arg(args, const char *));
                        break;
                case 'i':
                case 'b':
                        leat_query_rows_int(f->rows, c, va_arg(args, int));
                        break;
                case 'l':
                        leat_query_rows_int(f->rows, c, va_arg(args, int64_t));
                        break;
                case 'd':
                        leat_query_rows_double(f->rows, c, va_arg(args, double));
                        break;
                default:
                        break;
                }
        }
        va_end(args);
}

static int object_oid(const struct leat_object *o)
{
        return (int)(QUERY_OID_FIRST + o->id);
}

static bool is_relation(const struct leat_object *o)
{
        return o->kind != LEAT_OBJECT_DASHBOARD && o->state == LEAT_STATE_READY;
}

static const char *relkind(const struct leat_object *o)
{
        return o->kind == LEAT_OBJECT_TOPIC ? "r" : o->kind == LEAT_OBJECT_VIEW ? "v" : "m";
}

static const struct leat_column_def *object_columns(const struct leat_object *o, uint32_t *ret_count)
{
        *ret_count = o->kind == LEAT_OBJECT_TOPIC ? o->topic->column_count : o->view->column_count;
        return o->kind == LEAT_OBJECT_TOPIC ? o->topic->columns : o->view->columns;
}

static bool in_key(const struct leat_object *o, uint32_t column)
{
        uint32_t count = o->kind == LEAT_OBJECT_TOPIC ? o->topic->key_count : o->view->key_count;
        const uint32_t *keys = o->kind == LEAT_OBJECT_TOPIC ? o->topic->keys : o->view->keys;
        for (uint32_t i = 0; i < count; i++)
                if (keys[i] == column)
                        return true;
        return false;
}

/* ---- pg_catalog ------------------------------------------------------------------------- */
static void fill_namespace(struct pg_fill *f)
{
        row(f, "iti-", OID_PG_CATALOG, "pg_catalog", OID_LEAT_ROLE);
        row(f, "iti-", OID_PUBLIC, "public", OID_LEAT_ROLE);
        row(f, "iti-", OID_INFORMATION, "information_schema", OID_LEAT_ROLE);
}

static void fill_class(struct pg_fill *f)
{
        for (uint32_t i = 0; i < f->catalog->object_count; i++) {
                const struct leat_object *o = &f->catalog->objects[i];
                uint32_t columns;
                if (!is_relation(o))
                        continue;
                (void)object_columns(o, &columns);
                row(f, "itiiiiiiidiibbttiibbbbbtbiii---", object_oid(o), o->name, OID_PUBLIC, 0, 0, OID_LEAT_ROLE, 2, 0,
                    0, -1.0, 0, 0, false, false, "p", relkind(o), (int)columns, 0, false, false, false, false, true,
                    "d", false, 0, 0, 0);
        }
}

static void fill_attribute(struct pg_fill *f)
{
        for (uint32_t i = 0; i < f->catalog->object_count; i++) {
                const struct leat_object *o = &f->catalog->objects[i];
                uint32_t count;
                if (!is_relation(o))
                        continue;
                const struct leat_column_def *columns = object_columns(o, &count);
                for (uint32_t c = 0; c < count; c++) {
                        const struct leat_type *type = &columns[c].type;
                        int typmod = type->id == LEAT_T_DECIMAL ? ((type->width << 16) | type->scale) + 4 : -1;
                        bool not_null = columns[c].not_null || (o->kind == LEAT_OBJECT_TOPIC && in_key(o, c));
                        row(f, "itiiiiiiibtttbbbttbbii---", object_oid(o), columns[c].name, (int)leat_pg_type_oid(type),
                            -1, (int)leat_pg_type_len(type), (int)c + 1, 0, -1, typmod, false, "i", "x", "", not_null,
                            false, false, "", "", false, true, 0, type->id == LEAT_T_VARCHAR ? 100 : 0);
                }
        }
}

static const struct {
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
        {23, "int4", "N", "integer", 4, 1007, 0},
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
        {1185, "_timestamptz", "A", "timestamp with time zone[]", -1, 0, 1184},
        {1231, "_numeric", "A", "numeric[]", -1, 0, 1700},
        {2951, "_uuid", "A", "uuid[]", -1, 0, 2950},
};

static void fill_type(struct pg_fill *f)
{
        for (size_t i = 0; i < LEAT_ARRAY_LEN(pg_types); i++)
                row(f, "itiiibttbbtiiittttttttbiiii--", pg_types[i].oid, pg_types[i].name, OID_PG_CATALOG,
                    OID_LEAT_ROLE, pg_types[i].len, pg_types[i].len > 0 && pg_types[i].len <= 8, "b",
                    pg_types[i].category, false, true, ",", 0, pg_types[i].element, pg_types[i].array,
                    pg_types[i].element != 0 ? "array_in" : pg_types[i].name, "", "", "", "", "", "i", "p", false, 0,
                    -1, 0, pg_types[i].oid == 25 || pg_types[i].oid == 1043 ? 100 : 0);
}

static void fill_database(struct pg_fill *f)
{
        row(f, "itiitbbiiitttt-", OID_DATABASE, "leat", OID_LEAT_ROLE, 6, "c", false, true, -1, 0, 1663, "C", "C", NULL,
            NULL);
}

static void fill_roles(struct pg_fill *f)
{
        row(f, "tbbbbbbbi---it", "leat", false, true, false, false, true, false, false, -1, OID_LEAT_ROLE, "********");
}

static void fill_user(struct pg_fill *f)
{
        row(f, "tibbbbt--", "leat", OID_LEAT_ROLE, false, false, false, false, "********");
}

static void fill_am(struct pg_fill *f)
{
        row(f, "ittt", 2, "heap", "-", "t");
}

static void fill_settings(struct pg_fill *f)
{
        struct query_rows list;
        static const struct query_column columns[] = {
                {"name", LEAT_T_VARCHAR}, {"setting", LEAT_T_VARCHAR}, {"help", LEAT_T_VARCHAR}};
        struct query_session none = {0};
        leat_query_rows_init(&list, f->arena, columns, 3);
        leat_query_setting_list(&none, &list);
        for (uint32_t i = 0; i < list.batch.rows; i++) {
                const char *text[3];
                for (int c = 0; c < 3; c++) {
                        struct leat_view v = leat_string_view((struct leat_string *)list.batch.columns[c].data + i);
                        text[c] = leat_arena_strndup(f->arena, (const char *)v.data, v.len);
                }
                row(f, "tt-ttt", text[0], text[1], "Leat", text[2], "user");
        }
}

static void fill_views(struct pg_fill *f, int kind)
{
        for (uint32_t i = 0; i < f->catalog->object_count; i++) {
                const struct leat_object *o = &f->catalog->objects[i];
                if (o->kind != kind)
                        continue;
                const char *body = leat_arena_strndup(f->arena, (const char *)o->view->body.data, o->view->body.len);
                row(f, "tttt", "public", o->name, "leat", body);
        }
}

static void fill_pg_views(struct pg_fill *f)
{
        fill_views(f, LEAT_OBJECT_VIEW);
}

static void fill_pg_matviews(struct pg_fill *f)
{
        fill_views(f, LEAT_OBJECT_MATVIEW);
}

static void fill_pg_tables(struct pg_fill *f)
{
        for (uint32_t i = 0; i < f->catalog->object_count; i++)
                if (f->catalog->objects[i].kind == LEAT_OBJECT_TOPIC)
                        row(f, "ttt-bbb", "public", f->catalog->objects[i].name, "leat", false, false, false);
}

static void fill_collation(struct pg_fill *f)
{
        row(f, "itiitbi", 100, "default", OID_PG_CATALOG, OID_LEAT_ROLE, "d", true, -1);
}

/* ---- information_schema ---------------------------------------------------------------------- */
static void fill_schemata(struct pg_fill *f)
{
        row(f, "ttt", "leat", "public", "leat");
        row(f, "ttt", "leat", "pg_catalog", "leat");
        row(f, "ttt", "leat", "information_schema", "leat");
}

static void fill_tables(struct pg_fill *f)
{
        for (uint32_t i = 0; i < f->catalog->object_count; i++) {
                const struct leat_object *o = &f->catalog->objects[i];
                if (is_relation(o))
                        row(f, "ttttt", "leat", "public", o->name, o->kind == LEAT_OBJECT_TOPIC ? "BASE TABLE" : "VIEW",
                            o->kind == LEAT_OBJECT_TOPIC ? "YES" : "NO");
        }
}

static const char *sql_type_name(const struct leat_type *type)
{
        int oid = (int)leat_pg_type_oid(type);
        if (type->id == LEAT_T_LIST)
                return "ARRAY";
        for (size_t i = 0; i < LEAT_ARRAY_LEN(pg_types); i++)
                if (pg_types[i].oid == oid)
                        return pg_types[i].sql_name;
        return "text";
}

static const char *udt_name(const struct leat_type *type)
{
        int oid = (int)leat_pg_type_oid(type);
        for (size_t i = 0; i < LEAT_ARRAY_LEN(pg_types); i++)
                if (pg_types[i].oid == oid)
                        return pg_types[i].name;
        return "text";
}

static void fill_columns(struct pg_fill *f)
{
        for (uint32_t i = 0; i < f->catalog->object_count; i++) {
                const struct leat_object *o = &f->catalog->objects[i];
                uint32_t count;
                if (!is_relation(o))
                        continue;
                const struct leat_column_def *columns = object_columns(o, &count);
                for (uint32_t c = 0; c < count; c++)
                        row(f, "tttti-tt--t", "leat", "public", o->name, columns[c].name, (int)c + 1,
                            columns[c].not_null ? "NO" : "YES", sql_type_name(&columns[c].type),
                            udt_name(&columns[c].type));
        }
}

/* ---- the tables --------------------------------------------------------------------------------- */
static const struct pg_table tables[] = {
        {"pg_catalog.pg_namespace", "oid:o nspname:t nspowner:o nspacl:T", fill_namespace},
        {"pg_catalog.pg_class",
         "oid:o relname:t relnamespace:o reltype:o reloftype:o relowner:o relam:o relfilenode:o reltablespace:o "
         "reltuples:d "
         "relpages:i relallvisible:i relhasindex:b relisshared:b relpersistence:t relkind:t relnatts:s relchecks:s "
         "relhasrules:b relhastriggers:b relhassubclass:b relrowsecurity:b relispopulated:b relreplident:t "
         "relispartition:b "
         "reltoastrelid:o relfrozenxid:i relminmxid:i relacl:T reloptions:T relforcerowsecurity:b",
         fill_class},
        {"pg_catalog.pg_attribute",
         "attrelid:o attname:t atttypid:o attstattarget:i attlen:s attnum:s attndims:i attcacheoff:i atttypmod:i "
         "attbyval:b "
         "attalign:t attstorage:t attcompression:t attnotnull:b atthasdef:b atthasmissing:b attidentity:t "
         "attgenerated:t attisdropped:b "
         "attislocal:b attinhcount:i attcollation:o attacl:T attoptions:T attfdwoptions:T",
         fill_attribute},
        {"pg_catalog.pg_type",
         "oid:o typname:t typnamespace:o typowner:o typlen:s typbyval:b typtype:t typcategory:t typispreferred:b "
         "typisdefined:b typdelim:t typrelid:o typelem:o typarray:o typinput:t typoutput:t typreceive:t typsend:t "
         "typmodin:t "
         "typmodout:t typalign:t typstorage:t typnotnull:b typbasetype:o typtypmod:i typndims:i typcollation:o "
         "typdefault:t "
         "typacl:T",
         fill_type},
        {"pg_catalog.pg_database",
         "oid:o datname:t datdba:o encoding:i datlocprovider:t datistemplate:b datallowconn:b datconnlimit:i "
         "datfrozenxid:i "
         "dattablespace:o datcollate:t datctype:t daticulocale:t datcollversion:t datacl:T",
         fill_database},
        {"pg_catalog.pg_roles",
         "rolname:t rolsuper:b rolinherit:b rolcreaterole:b rolcreatedb:b rolcanlogin:b rolreplication:b "
         "rolbypassrls:b "
         "rolconnlimit:i rolvaliduntil:z rolconfig:T rolacl:T oid:o rolpassword:t",
         fill_roles},
        {"pg_catalog.pg_user",
         "usename:t usesysid:o usecreatedb:b usesuper:b userepl:b usebypassrls:b passwd:t valuntil:z useconfig:T",
         fill_user},
        {"pg_catalog.pg_auth_members", "roleid:o member:o grantor:o admin_option:b", NULL},
        {"pg_catalog.pg_am", "oid:o amname:t amhandler:t amtype:t", fill_am},
        {"pg_catalog.pg_settings", "name:t setting:t unit:t category:t short_desc:t context:t", fill_settings},
        {"pg_catalog.pg_views", "schemaname:t viewname:t viewowner:t definition:t", fill_pg_views},
        {"pg_catalog.pg_matviews", "schemaname:t matviewname:t matviewowner:t definition:t", fill_pg_matviews},
        {"pg_catalog.pg_tables",
         "schemaname:t tablename:t tableowner:t tablespace:t hasindexes:b hasrules:b hastriggers:b", fill_pg_tables},
        {"pg_catalog.pg_collation",
         "oid:o collname:t collnamespace:o collowner:o collprovider:t collisdeterministic:b collencoding:i",
         fill_collation},
        {"pg_catalog.pg_proc",
         "oid:o proname:t pronamespace:o proowner:o prolang:o prokind:t prosecdef:b proretset:b provolatile:t "
         "pronargs:s "
         "prorettype:o proargtypes:t proargmodes:T proargnames:T proallargtypes:T prosrc:t",
         NULL},
        {"pg_catalog.pg_index",
         "indexrelid:o indrelid:o indnatts:s indnkeyatts:s indisunique:b indisprimary:b indisexclusion:b "
         "indimmediate:b "
         "indisclustered:b indisvalid:b indisready:b indislive:b indisreplident:b indkey:t indoption:t indexprs:t "
         "indpred:t",
         NULL},
        {"pg_catalog.pg_constraint",
         "oid:o conname:t connamespace:o contype:t condeferrable:b condeferred:b convalidated:b conrelid:o contypid:o "
         "conindid:o conparentid:o confrelid:o confupdtype:t confdeltype:t confmatchtype:t conislocal:b connoinherit:b "
         "conkey:T confkey:T conbin:t",
         NULL},
        {"pg_catalog.pg_attrdef", "oid:o adrelid:o adnum:s adbin:t", NULL},
        {"pg_catalog.pg_description", "objoid:o classoid:o objsubid:i description:t", NULL},
        {"pg_catalog.pg_shdescription", "objoid:o classoid:o description:t", NULL},
        {"pg_catalog.pg_inherits", "inhrelid:o inhparent:o inhseqno:i inhdetachpending:b", NULL},
        {"pg_catalog.pg_trigger",
         "oid:o tgrelid:o tgparentid:o tgname:t tgfoid:o tgtype:s tgenabled:t tgisinternal:b tgconstraint:o "
         "tgdeferrable:b "
         "tginitdeferred:b",
         NULL},
        {"pg_catalog.pg_policy",
         "oid:o polname:t polrelid:o polcmd:t polpermissive:b polroles:T polqual:t polwithcheck:t", NULL},
        {"pg_catalog.pg_rewrite", "oid:o rulename:t ev_class:o ev_type:t ev_enabled:t is_instead:b", NULL},
        {"pg_catalog.pg_statistic_ext",
         "oid:o stxrelid:o stxname:t stxnamespace:o stxowner:o stxstattarget:i stxkeys:t stxkind:T", NULL},
        {"pg_catalog.pg_publication",
         "oid:o pubname:t pubowner:o puballtables:b pubinsert:b pubupdate:b pubdelete:b pubtruncate:b pubviaroot:b",
         NULL},
        {"pg_catalog.pg_publication_rel", "oid:o prpubid:o prrelid:o prqual:t prattrs:t", NULL},
        {"pg_catalog.pg_publication_namespace", "oid:o pnpubid:o pnnspid:o", NULL},
        {"pg_catalog.pg_foreign_table", "ftrelid:o ftserver:o ftoptions:T", NULL},
        {"pg_catalog.pg_foreign_server", "oid:o srvname:t srvowner:o srvfdw:o srvtype:t srvversion:t", NULL},
        {"pg_catalog.pg_tablespace", "oid:o spcname:t spcowner:o", NULL},
        {"pg_catalog.pg_enum", "oid:o enumtypid:o enumsortorder:d enumlabel:t", NULL},
        {"pg_catalog.pg_range", "rngtypid:o rngsubtype:o rngmultitypid:o", NULL},
        {"pg_catalog.pg_sequence", "seqrelid:o seqtypid:o seqstart:l seqincrement:l seqmax:l seqmin:l seqcycle:b",
         NULL},
        {"pg_catalog.pg_partitioned_table", "partrelid:o partstrat:t partnatts:s partdefid:o", NULL},
        {"pg_catalog.pg_operator", "oid:o oprname:t oprnamespace:o", NULL},
        {"pg_catalog.pg_extension", "oid:o extname:t extowner:o extnamespace:o extversion:t", NULL},
        {"pg_catalog.pg_language", "oid:o lanname:t lanowner:o", NULL},
        {"pg_catalog.pg_cast", "oid:o castsource:o casttarget:o castcontext:t", NULL},
        {"information_schema.schemata", "catalog_name:t schema_name:t schema_owner:t", fill_schemata},
        {"information_schema.tables", "table_catalog:t table_schema:t table_name:t table_type:t is_insertable_into:t",
         fill_tables},
        {"information_schema.columns",
         "table_catalog:t table_schema:t table_name:t column_name:t ordinal_position:i column_default:t is_nullable:t "
         "data_type:t character_maximum_length:i numeric_precision:i udt_name:t",
         fill_columns},
        {"information_schema.table_constraints",
         "constraint_catalog:t constraint_schema:t constraint_name:t table_schema:t table_name:t constraint_type:t",
         NULL},
        {"information_schema.key_column_usage",
         "constraint_catalog:t constraint_schema:t constraint_name:t table_schema:t table_name:t column_name:t "
         "ordinal_position:i",
         NULL},
};

static const struct pg_table *find_table(const char *name)
{
        for (size_t i = 0; i < LEAT_ARRAY_LEN(tables); i++)
                if (strcmp(tables[i].name, name) == 0)
                        return &tables[i];
        return NULL;
}

static enum leat_type_id letter_type(char letter)
{
        switch (letter) {
        case 'o':
        case 'i':
                return LEAT_T_INTEGER;
        case 's':
                return LEAT_T_SMALLINT;
        case 'l':
                return LEAT_T_BIGINT;
        case 'b':
                return LEAT_T_BOOLEAN;
        case 'd':
                return LEAT_T_DOUBLE;
        case 'z':
                return LEAT_T_TIMESTAMPTZ;
        case 'T':
                return LEAT_T_LIST;
        default:
                return LEAT_T_VARCHAR;
        }
}

/* Lists are of texts, but for the roles of a policy, which psql compares with oids. */
static const struct leat_type *list_child(const char *name)
{
        static const struct leat_type text = {.id = LEAT_T_VARCHAR}, oid = {.id = LEAT_T_INTEGER};
        return strcmp(name, "polroles") == 0 ? &oid : &text;
}

/* Reads "name:type …"; returns how many columns. */
static uint32_t table_columns(const struct pg_table *table, struct leat_arena *arena, struct query_column *columns)
{
        uint32_t n = 0;
        for (const char *p = table->columns; *p != '\0';) {
                size_t len = strcspn(p, ":");
                LEAT_ASSERT(n < PG_COLUMNS_MAX);
                columns[n].name = leat_arena_strndup(arena, p, len);
                columns[n++].type = letter_type(p[len + 1]);
                p += len + 2;
                p += *p == ' ';
        }
        return n;
}

static int describe(void *arg, const char *key, struct leat_arena *arena, uint32_t *ret_count, const char ***ret_names,
                    struct leat_type **ret_types, struct leat_error *err)
{
        const struct pg_table *table = find_table(key);
        struct query_column columns[PG_COLUMNS_MAX];
        (void)arg;
        if (table == NULL)
                return leat_error_set(err, LEAT_ENORELATION, "relation \"%s\" does not exist", key);
        uint32_t count = table_columns(table, arena, columns);
        const char **names = leat_arena_alloc(arena, count * sizeof *names);
        struct leat_type *types = leat_arena_alloc(arena, count * sizeof *types);
        for (uint32_t i = 0; i < count; i++) {
                names[i] = columns[i].name;
                types[i] = leat_type_of(columns[i].type);
                if (columns[i].type == LEAT_T_LIST) {
                        types[i].child_count = 1;
                        types[i].children = list_child(names[i]);
                }
        }
        *ret_count = count;
        *ret_names = names;
        *ret_types = types;
        return 0;
}

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

static int open_scan(void *arg, const char *key, const uint32_t *wanted, uint32_t count, void **ret_scan,
                     struct leat_error *err)
{
        const struct pg_table *table = find_table(key);
        struct query_column columns[PG_COLUMNS_MAX];
        struct leat_sql_catalog *catalog;
        struct query_rows rows;
        if (table == NULL)
                return leat_error_set(err, LEAT_ENORELATION, "relation \"%s\" does not exist", key);
        struct leat_query *q = arg;
        LEAT_TRY(leat_sql_env_catalog(q->env, &catalog, err));
        struct pg_scan *s = leat_calloc(1, sizeof *s);
        s->arena = leat_arena_new(0);
        uint32_t all = table_columns(table, s->arena, columns);
        leat_query_rows_init(&rows, s->arena, columns, all);
        struct pg_fill fill = {.query = q, .catalog = catalog->snapshot, .rows = &rows, .arena = s->arena};
        if (table->fill != NULL)
                table->fill(&fill);
        leat_sql_catalog_unref(catalog);
        s->out.rows = rows.batch.rows;
        s->out.column_count = count;
        s->out.columns = leat_arena_zalloc(s->arena, (count + 1) * sizeof *s->out.columns);
        for (uint32_t i = 0; i < count; i++) {
                s->out.columns[i] = rows.batch.columns[wanted[i]];
                if (columns[wanted[i]].type != LEAT_T_LIST)
                        continue;
                s->out.columns[i].type.child_count = 1;
                s->out.columns[i].type.children = list_child(columns[wanted[i]].name);
                s->out.columns[i].children = leat_arena_zalloc(s->arena, sizeof *s->out.columns[i].children);
                s->out.columns[i].children->type = *list_child(columns[wanted[i]].name);
        }
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
