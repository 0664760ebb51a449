/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/sql: which functions a user's SQL may call.
 *
 * Design   Table functions pass only if they are on a list. Scalar functions
 *          pass unless DuckDB calls them VOLATILE (asked of the engine itself,
 *          so that a new version of it cannot smuggle one in) and they are not
 *          on the list of harmless ones, or unless they tell of the instance.
 *          The engine's lock-down (no files, no extensions, configuration
 *          locked) stands behind all this.
 *          leat_sql_macros() are PostgreSQL's functions that clients call;
 *          they go before DuckDB's own of the same name.
 */
#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#include "sql_int.h"

static bool listed(const char *const *list, size_t count, const char *name)
{
        for (size_t i = 0; i < count; i++) {
                if (strcasecmp(list[i], name) == 0)
                        return true;
        }
        return false;
}
#define LISTED(list, name) listed(list, LEAT_ARRAY_LEN(list), name)

bool leat_sql_table_function_allowed(const char *name)
{
        static const char *const allowed[] = {"unnest",
                                              "range",
                                              "generate_series",
                                              "repeat",
                                              "pg_timezone_names",
                                              "string_to_array",
                                              "json_each",
                                              "json_tree",
                                              "generate_subscripts",
                                              "pg_get_keywords"};
        return LISTED(allowed, name);
}

const char *leat_sql_now_text(const char *name)
{
        static const char stamp[] = "CAST($leat_now AS TIMESTAMPTZ)";
        static const char *const stamps[] = {"now", "current_timestamp", "get_current_timestamp",
                                             "transaction_timestamp"};
        static const char *const dates[] = {"current_date", "today"};
        static const char *const times[] = {"current_time", "get_current_time", "localtime", "current_localtime"};
        static const char *const locals[] = {"localtimestamp", "current_localtimestamp"};
        if (LISTED(stamps, name))
                return stamp;
        if (LISTED(dates, name))
                return "CAST(CAST($leat_now AS TIMESTAMPTZ) AS DATE)";
        if (LISTED(times, name))
                return "CAST(CAST($leat_now AS TIMESTAMPTZ) AS TIME)";
        return LISTED(locals, name) ? "CAST(CAST($leat_now AS TIMESTAMPTZ) AS TIMESTAMP)" : NULL;
}

enum sql_function_class leat_sql_function_class(struct leat_sql_env *env, const char *name)
{
        /* They show the instance, run text as SQL, or belong to the inside. */
        static const char *const denied[] = {
                "getvariable",
                "current_query",
                "current_query_id",
                "current_connection_id",
                "current_transaction_id",
                "json_serialize_plan",
                "json_serialize_sql",
                "json_deserialize_sql",
                "json_execute_serialized_sql",
                "in_search_path",
                "parse_duckdb_log_message",
                "getenv",
                "leat_scan",
                "add_parquet_key",
                "pg_sleep",
                "get_block_size",
                "nextval",
                "currval",
                "write_log",
                "sleep_ms",
                "stats",
                "setseed",
                "query",
                "query_table",
                "create_sort_key",
                "vector_type",
                "which_secret",
                "read_text",
                "read_blob",
                "read_csv",
                "read_json",
                "read_parquet",
                "glob",
        };
        static const char *const harmless[] = {"random", "uuid", "gen_random_uuid", "uuidv4", "uuidv7", "error"};
        static const char *const by_clock[] = {"age", "ago", "pg_postmaster_start_time", "pg_conf_load_time"};
        if (LISTED(denied, name) || strncasecmp(name, "__internal", 10) == 0 || strncasecmp(name, "duckdb_", 7) == 0 ||
            strncasecmp(name, "pragma_", 7) == 0)
                return SQL_FUNCTION_DENIED;
        if (LISTED(harmless, name))
                return SQL_FUNCTION_VOLATILE;
        if (leat_sql_now_text(name) != NULL || LISTED(by_clock, name))
                return SQL_FUNCTION_NOW;
        return leat_sql_env_volatile(env, name) ? SQL_FUNCTION_DENIED : SQL_FUNCTION_OK;
}

bool leat_sql_function_of_session(const char *name)
{
        static const char *const names[] = {"current_user", "session_user",   "user",
                                            "current_role", "pg_backend_pid", "current_setting"};
        return LISTED(names, name);
}

void leat_sql_session_text(const char *user, int pid, struct leat_buf *out)
{
        leat_buf_add_str(out, "SET VARIABLE leat_user = '");
        for (const char *c = user; *c != 0; c++)
                leat_buf_printf(out, *c == '\'' ? "''" : "%c", *c);
        leat_buf_printf(out, "'; SET VARIABLE leat_pid = %d;", pid);
}

const char *leat_sql_macros(void)
{
        return "CREATE OR REPLACE MACRO current_database() AS 'leat';"
               "CREATE OR REPLACE MACRO current_catalog() AS 'leat';"
               "CREATE OR REPLACE MACRO current_schema() AS 'public';"
               "CREATE OR REPLACE MACRO current_schemas(implicit) AS CASE WHEN implicit THEN ['pg_catalog', 'public'] "
               "ELSE "
               "['public'] END;"
               "CREATE OR REPLACE MACRO current_user() AS getvariable('leat_user');"
               "CREATE OR REPLACE MACRO session_user() AS getvariable('leat_user');"
               "CREATE OR REPLACE MACRO user() AS getvariable('leat_user');"
               "CREATE OR REPLACE MACRO current_role() AS getvariable('leat_user');"
               "CREATE OR REPLACE MACRO version() AS 'PostgreSQL 15.0 (Leat 0.1)';"
               "CREATE OR REPLACE MACRO pg_get_userbyid(id) AS 'leat';"
               "CREATE OR REPLACE MACRO pg_backend_pid() AS getvariable('leat_pid');"
               "CREATE OR REPLACE MACRO pg_encoding_to_char(encoding) AS 'UTF8';"
               "CREATE OR REPLACE MACRO pg_client_encoding() AS 'UTF8';"
               "CREATE OR REPLACE MACRO pg_is_in_recovery() AS false;"
               /* Relations of information_schema have these oids (query_pgtables.c). */
               "CREATE OR REPLACE MACRO pg_table_is_visible(id) AS id NOT BETWEEN 12101 AND 12199;"
               /* As a relation of one row, which Grafana asks for. */
               "CREATE OR REPLACE MACRO string_to_array(a, b) AS TABLE SELECT string_split(a, b) AS string_to_array;"
               "CREATE OR REPLACE MACRO quote_literal(x) AS '''' || replace(CAST(x AS VARCHAR), '''', '''''') || '''';"
               "CREATE OR REPLACE MACRO quote_nullable(x) AS coalesce('''' || replace(CAST(x AS VARCHAR), '''', "
               "'''''') "
               "|| '''', 'NULL');"
               "CREATE OR REPLACE MACRO pg_type_is_visible(id) AS true;"
               "CREATE OR REPLACE MACRO pg_function_is_visible(id) AS true;"
               "CREATE OR REPLACE MACRO pg_relation_is_publishable(id) AS false;"
               "CREATE OR REPLACE MACRO obj_description(id, kind := '') AS CAST(NULL AS VARCHAR);"
               "CREATE OR REPLACE MACRO col_description(id, number) AS CAST(NULL AS VARCHAR);"
               "CREATE OR REPLACE MACRO shobj_description(id, kind := '') AS CAST(NULL AS VARCHAR);"
               "CREATE OR REPLACE MACRO pg_get_expr(expr, relation, pretty := false) AS CAST(expr AS VARCHAR);"
               "CREATE OR REPLACE MACRO pg_get_constraintdef(id, pretty := false) AS CAST(NULL AS VARCHAR);"
               "CREATE OR REPLACE MACRO pg_get_indexdef(id, nth := 0, pretty := false) AS CAST(NULL AS VARCHAR);"
               "CREATE OR REPLACE MACRO to_regtype(name) AS CAST(NULL AS INTEGER);"
               "CREATE OR REPLACE MACRO regclass(name) AS CAST(NULL AS INTEGER);"
               "CREATE OR REPLACE MACRO pg_get_keywords() AS TABLE SELECT unnest(['topic', 'watermark', 'emit', "
               "'panel', "
               "'dashboard', 'pipeline', 'subscribe']) AS word, 'U' AS catcode, 'unreserved' AS catdesc;"
               "CREATE OR REPLACE MACRO to_regclass(name) AS CAST(NULL AS INTEGER);"
               "CREATE OR REPLACE MACRO pg_get_function_sqlbody(id) AS CAST(NULL AS VARCHAR);"
               "CREATE OR REPLACE MACRO \"<~>\"(a, b) AS regexp_matches(a, b, 's');"
               "CREATE OR REPLACE MACRO \"<!~>\"(a, b) AS NOT regexp_matches(a, b, 's');"
               "CREATE OR REPLACE MACRO \"<~*>\"(a, b) AS regexp_matches(a, b, 'si');"
               "CREATE OR REPLACE MACRO \"<!~*>\"(a, b) AS NOT regexp_matches(a, b, 'si');"
               "CREATE OR REPLACE MACRO _pg_expandarray(a) AS unnest(list_transform(a, lambda v, k: {'x': v, 'n': k}));"
               "CREATE OR REPLACE MACRO pg_statistics_obj_is_visible(id) AS true;"
               "CREATE OR REPLACE MACRO pg_get_viewdef(id, pretty := false) AS CAST(NULL AS VARCHAR);"
               "CREATE OR REPLACE MACRO pg_tablespace_location(id) AS '';"
               "CREATE OR REPLACE MACRO pg_get_functiondef(id) AS CAST(NULL AS VARCHAR);"
               "CREATE OR REPLACE MACRO pg_get_ruledef(id, pretty := false) AS CAST(NULL AS VARCHAR);"
               "CREATE OR REPLACE MACRO pg_get_triggerdef(id, pretty := false) AS CAST(NULL AS VARCHAR);"
               "CREATE OR REPLACE MACRO pg_get_partkeydef(id) AS CAST(NULL AS VARCHAR);"
               "CREATE OR REPLACE MACRO pg_get_function_identity_arguments(id) AS CAST(NULL AS VARCHAR);"
               "CREATE OR REPLACE MACRO pg_get_serial_sequence(relation, name) AS CAST(NULL AS VARCHAR);"
               "CREATE OR REPLACE MACRO pg_char_to_encoding(name) AS 6;"
               "CREATE OR REPLACE MACRO array_remove(a, gone) AS list_filter(a, lambda x: x IS DISTINCT FROM gone);"
               "CREATE OR REPLACE MACRO pg_get_function_result(id) AS CAST(NULL AS VARCHAR);"
               "CREATE OR REPLACE MACRO pg_get_function_arguments(id) AS CAST(NULL AS VARCHAR);"
               "CREATE OR REPLACE MACRO pg_get_statisticsobjdef_columns(id) AS CAST(NULL AS VARCHAR);"
               "CREATE OR REPLACE MACRO pg_total_relation_size(id) AS CAST(0 AS BIGINT);"
               "CREATE OR REPLACE MACRO pg_relation_size(id) AS CAST(0 AS BIGINT);"
               "CREATE OR REPLACE MACRO pg_table_size(id) AS CAST(0 AS BIGINT);"
               "CREATE OR REPLACE MACRO pg_database_size(id) AS CAST(0 AS BIGINT);"
               "CREATE OR REPLACE MACRO has_table_privilege(a, b := '', c := '') AS true;"
               "CREATE OR REPLACE MACRO has_schema_privilege(a, b := '', c := '') AS true;"
               "CREATE OR REPLACE MACRO has_database_privilege(a, b := '', c := '') AS true;"
               "CREATE OR REPLACE MACRO has_column_privilege(a, b := '', c := '', d := '') AS true;"
               "CREATE OR REPLACE MACRO array_lower(a, dimension) AS CASE WHEN len(a) > 0 THEN 1 END;"
               "CREATE OR REPLACE MACRO array_upper(a, dimension) AS nullif(len(a), 0);"
               "CREATE OR REPLACE MACRO quote_ident(name) AS CASE WHEN regexp_full_match(name, '[a-z_][a-z0-9_]*') "
               "THEN name ELSE "
               "concat('\"', replace(name, '\"', '\"\"'), '\"') END;"
               "CREATE OR REPLACE MACRO current_setting(name, missing := false) AS CASE lower(name) WHEN "
               "'server_version_num' "
               "THEN '150000' WHEN 'server_version' THEN '15.0' WHEN 'timezone' THEN 'UTC' WHEN 'search_path' THEN "
               "'\"$user\", public' WHEN 'client_encoding' THEN 'UTF8' WHEN 'server_encoding' THEN 'UTF8' WHEN "
               "'standard_conforming_strings' THEN 'on' WHEN 'datestyle' THEN 'ISO, MDY' WHEN 'max_index_keys' THEN "
               "'32' END;"
               "CREATE OR REPLACE MACRO set_config(name, value, is_local) AS value;"
               "CREATE OR REPLACE MACRO format_type(id, modifier) AS CASE CAST(id AS BIGINT)"
               " WHEN 16 THEN 'boolean' WHEN 17 THEN 'bytea' WHEN 18 THEN '\"char\"' WHEN 19 THEN 'name' WHEN 20 THEN "
               "'bigint'"
               " WHEN 21 THEN 'smallint' WHEN 23 THEN 'integer' WHEN 25 THEN 'text' WHEN 26 THEN 'oid' WHEN 114 THEN "
               "'json'"
               " WHEN 700 THEN 'real' WHEN 701 THEN 'double precision' WHEN 1042 THEN 'character' WHEN 1043 THEN "
               "'character"
               " varying' WHEN 1082 THEN 'date' WHEN 1083 THEN 'time without time zone' WHEN 1114 THEN 'timestamp "
               "without time"
               " zone' WHEN 1184 THEN 'timestamp with time zone' WHEN 1186 THEN 'interval' WHEN 2950 THEN 'uuid'"
               " WHEN 1000 THEN 'boolean[]' WHEN 1001 THEN 'bytea[]' WHEN 1005 THEN 'smallint[]' WHEN 1007 THEN "
               "'integer[]'"
               " WHEN 1016 THEN 'bigint[]' WHEN 1009 THEN 'text[]' WHEN 1021 THEN 'real[]' WHEN 1022 THEN 'double"
               " precision[]' WHEN 1115 THEN 'timestamp without time zone[]' WHEN 1182 THEN 'date[]' WHEN 1185 THEN "
               "'timestamp"
               " with time zone[]' WHEN 1231 THEN 'numeric[]' WHEN 2951 THEN 'uuid[]' WHEN 1700 THEN CASE WHEN"
               " CAST(modifier AS BIGINT) > 4 THEN concat('numeric(', (CAST(modifier AS BIGINT) - 4) // 65536, ',',"
               " (CAST(modifier AS BIGINT) - 4) % 65536, ')') ELSE 'numeric' END ELSE 'text' END;";
}

const char *leat_sql_catalog_macros(void)
{
        return "CREATE OR REPLACE MACRO pg_get_constraintdef(id, pretty := false) AS (SELECT definition FROM "
               "leat_scan('pg_catalog.leat_definitions') WHERE oid = id AND number = 0);"
               "CREATE OR REPLACE MACRO to_regtype(name) AS (SELECT min(oid) FROM leat_scan('pg_catalog.pg_type') "
               "WHERE "
               "typname = name);"
               "CREATE OR REPLACE MACRO pg_get_indexdef(id, nth := 0, pretty := false) AS (SELECT definition FROM "
               "leat_scan('pg_catalog.leat_definitions') WHERE oid = id AND number = nth);"
               "CREATE OR REPLACE MACRO regclass(name) AS CASE WHEN regexp_full_match(name, '[0-9]+') THEN CAST(name "
               "AS "
               "INTEGER) ELSE coalesce((SELECT min(c.oid) FROM leat_scan('pg_catalog.pg_class') c WHERE "
               "(c.relname = trim(regexp_replace(name, '^(public|pg_catalog|information_schema)\\.', ''), '\"')) AND "
               "c.relnamespace IN (SELECT oid FROM leat_scan('pg_catalog.pg_namespace') WHERE NOT "
               "regexp_matches(name, '^(public|pg_catalog|information_schema)\\.') OR nspname = "
               "regexp_extract(name, '^[a-z_]+'))), error(concat('relation \"', name, '\" does not exist'))) END;"
               "CREATE OR REPLACE MACRO to_regclass(name) AS (SELECT min(oid) FROM leat_scan('pg_catalog.pg_class') "
               "WHERE "
               "relname = trim(regexp_replace(name, '^(public|pg_catalog|information_schema)\\.', ''), '\"'));";
}
