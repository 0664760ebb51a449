/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/sql: the environment: a bare DuckDB with one empty table for each
 * relation, in step with the catalog.
 *
 * Tables   leat_<object id> for topics (own columns, then all pseudo columns)
 *          and materialized views, leat_q<id> for a topic's quarantine,
 *          leat_undeclared for topics without a declaration. Names by id, so
 *          that nothing a user calls his topic can meet them, and a bound plan
 *          tells the object at once.
 * Threads  one lock around the connection and the current catalog; a snapshot
 *          of the catalog is counted and immutable, and outlives the next one.
 */
#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#include "sql_int.h"

#define ENV_MEMORY_BYTES (256ll << 20)

/* ---- catalog snapshots ---------------------------------------------------------- */
struct leat_sql_catalog *leat_sql_catalog_ref(struct leat_sql_catalog *catalog)
{
        atomic_fetch_add(&((struct sql_catalog *)catalog)->refs, 1);
        return catalog;
}

void leat_sql_catalog_unref(struct leat_sql_catalog *catalog)
{
        struct sql_catalog *full = (struct sql_catalog *)catalog;
        if (full == NULL || atomic_fetch_sub(&full->refs, 1) != 1)
                return;
        leat_arena_free(full->arena);
        free(full);
}

static void unref_cleanup(void *arg)
{
        leat_sql_catalog_unref(arg);
}

void leat_sql_catalog_keep(struct leat_arena *arena, struct leat_sql_catalog *catalog)
{
        leat_arena_cleanup(arena, unref_cleanup, catalog);
}

static int refresh(struct leat_sql_env *env, struct leat_error *err)
{
        uint64_t version;
        LEAT_TRY(leat_catalog_version(env->catalog_db, &version, err));
        if (env->current != NULL && env->current->pub.snapshot->version == version)
                return 0;
        struct sql_catalog *fresh = leat_calloc(1, sizeof *fresh);
        fresh->refs = 1;
        fresh->arena = leat_arena_new(0);
        int rc = leat_catalog_load(env->catalog_db, fresh->arena, &fresh->pub.snapshot, err);
        if (rc != 0) {
                leat_sql_catalog_unref(&fresh->pub);
                return rc;
        }
        leat_sql_catalog_unref(env->current != NULL ? &env->current->pub : NULL);
        env->current = fresh;
        return 0;
}

int leat_sql_env_catalog(struct leat_sql_env *env, struct leat_sql_catalog **ret_catalog, struct leat_error *err)
{
        pthread_mutex_lock(&env->lock);
        int rc = refresh(env, err);
        if (rc == 0)
                *ret_catalog = leat_sql_catalog_ref(&env->current->pub);
        pthread_mutex_unlock(&env->lock);
        return rc;
}

/* ---- tables ------------------------------------------------------------------------ */
static void column_sql(struct leat_buf *sql, const char *name, const struct leat_type *type, bool first)
{
        leat_buf_add_str(sql, first ? "\"" : ", \"");
        for (const char *c = name; *c != 0; c++) {
                if (*c == '"')
                        leat_buf_u8(sql, '"');
                leat_buf_u8(sql, (uint8_t)*c);
        }
        leat_buf_add_str(sql, "\" ");
        leat_type_print(type, sql);
}

static void table_sql(struct leat_buf *sql, const char *name, const struct leat_column_def *columns, uint32_t count,
                      uint32_t pseudo)
{
        leat_buf_printf(sql, "CREATE OR REPLACE TABLE %s (", name);
        for (uint32_t i = 0; i < count; i++)
                column_sql(sql, columns[i].name, &columns[i].type, i == 0);
        for (int p = 0; p < LEAT_PSEUDO_COUNT; p++) {
                struct leat_type type = leat_sql_pseudo_type((enum leat_pseudo)p);
                if ((pseudo >> p & 1) != 0)
                        column_sql(sql, leat_sql_pseudo_name((enum leat_pseudo)p), &type, false);
        }
        leat_buf_add_str(sql, ");\n");
}

static void object_sql(struct leat_buf *sql, const struct leat_object *object)
{
        char name[40];
        uint32_t count;
        snprintf(name, sizeof name, "leat_%llu", (unsigned long long)object->id);
        if (object->kind == LEAT_OBJECT_MATVIEW) {
                table_sql(sql, name, object->view->columns, object->view->column_count, 0);
        } else if (object->kind == LEAT_OBJECT_TOPIC) {
                table_sql(sql, name, object->topic->columns, object->topic->column_count,
                          leat_sql_pseudo_of(object->topic));
                snprintf(name, sizeof name, "leat_q%llu", (unsigned long long)object->id);
                const struct leat_column_def *columns = leat_sql_quarantine_columns(&count);
                table_sql(sql, name, columns, count, 0);
        }
}

static bool table_current(const struct leat_sql_env *env, const struct leat_object *object)
{
        for (uint32_t i = 0; i < env->table_count; i++) {
                if (env->tables[i].id == object->id)
                        return env->tables[i].version == object->version;
        }
        return false;
}

static int follow_tables(struct leat_sql_env *env, const struct leat_snapshot *snapshot, struct leat_error *err)
{
        struct leat_buf sql = LEAT_BUF_INIT;
        for (uint32_t i = 0; i < env->table_count; i++) {
                unsigned long long id = env->tables[i].id;
                if (leat_snapshot_get(snapshot, id) == NULL)
                        leat_buf_printf(&sql, "DROP TABLE IF EXISTS leat_%llu; DROP TABLE IF EXISTS leat_q%llu;\n", id,
                                        id);
        }
        for (uint32_t i = 0; i < snapshot->object_count; i++) {
                if (!table_current(env, &snapshot->objects[i]))
                        object_sql(&sql, &snapshot->objects[i]);
        }
        int rc = sql.len != 0 ? leat_conn_exec(env->conn, leat_buf_cstr(&sql), err) : 0;
        leat_buf_done(&sql);
        if (rc != 0) {
                leat_error_prefix(err, "the environment for checking SQL");
                env->table_version = 0;
                return rc;
        }
        env->tables = leat_realloc(env->tables, (snapshot->object_count + 1) * sizeof *env->tables);
        env->table_count = snapshot->object_count;
        for (uint32_t i = 0; i < snapshot->object_count; i++)
                env->tables[i] =
                        (struct sql_table){.id = snapshot->objects[i].id, .version = snapshot->objects[i].version};
        env->table_version = snapshot->version;
        return 0;
}

static int describe_relation(void *arg, const char *key, struct leat_arena *arena, uint32_t *ret_count,
                             const char ***ret_names, struct leat_type **ret_types, struct leat_error *err)
{
        struct leat_sql_env *env = arg;
        struct leat_scan_key scan;
        LEAT_TRY(leat_sql_scan_key_parse(arena, key, &scan, err));
        if (scan.kind != LEAT_SCAN_SYSTEM && env->binding != NULL)
                return leat_sql_scan_columns(env->binding, &scan, arena, ret_count, ret_names, ret_types, err);
        if (env->options.system_ops == NULL)
                return leat_error_set(err, LEAT_ENORELATION, "relation \"%s\" does not exist", key);
        return env->options.system_ops->describe(env->options.system_arg, key, arena, ret_count, ret_names, ret_types,
                                                 err);
}

/* Nothing is ever read in the environment. */
static int open_nothing(void *arg, const char *key, const uint32_t *columns, uint32_t count, void **ret_scan,
                        struct leat_error *err)
{
        (void)arg, (void)columns, (void)count, (void)ret_scan;
        return leat_error_set(err, LEAT_EINTERNAL, "\"%s\" is not read here", key);
}
static int next_nothing(void *scan, const struct leat_batch **ret_batch, struct leat_error *err)
{
        (void)scan, (void)err;
        *ret_batch = NULL;
        return 0;
}
static void close_nothing(void *scan)
{
        (void)scan;
}

static const struct leat_relation_ops env_ops = {
        .describe = describe_relation, .open = open_nothing, .next = next_nothing, .close = close_nothing};

static int open_engine(struct leat_sql_env *env, struct leat_error *err)
{
        const struct leat_engine_options options = {.threads = 1, .memory_bytes = ENV_MEMORY_BYTES, .bind_only = true};
        struct leat_buf names = LEAT_BUF_INIT;
        int rc;
        LEAT_TRY(leat_engine_open(&options, &env->engine, err));
        LEAT_TRY_GOTO(leat_conn_open(env->engine, &env_ops, env, &env->conn, err));
        LEAT_TRY_GOTO(leat_conn_text(
                env->conn,
                "SELECT ' ' || string_agg(DISTINCT lower(function_name), ' ') || ' ' FROM duckdb_functions()"
                " WHERE stability = 'VOLATILE'",
                NULL, 0, &names, err));
        /* Read without the lock: written once, however often the engine is opened. */
        if (env->volatile_functions == NULL)
                env->volatile_functions = leat_strdup(leat_buf_cstr(&names));
        LEAT_TRY_GOTO(leat_conn_exec(env->conn, "SET VARIABLE leat_user = 'leat'; SET VARIABLE leat_pid = 0", err));
        LEAT_TRY_GOTO(leat_conn_exec(env->conn, leat_sql_macros(), err));
        if (leat_sql_env_system(env, "pg_catalog.leat_definitions"))
                LEAT_TRY_GOTO(leat_conn_exec(env->conn, leat_sql_catalog_macros(), err));
        struct leat_buf sql = LEAT_BUF_INIT;
        const struct leat_column_def value = {.name = "value", .type = {.id = LEAT_T_VARCHAR}};
        table_sql(&sql, "leat_undeclared", &value, 1, leat_sql_pseudo_of(NULL));
        rc = leat_conn_exec(env->conn, leat_buf_cstr(&sql), err);
        leat_buf_done(&sql);
        if (rc != 0)
                goto fail;
        env->table_version = 0;
        env->table_count = 0;
        leat_buf_done(&names);
        return 0;
fail:
        leat_buf_done(&names);
        leat_conn_close(env->conn);
        leat_engine_close(env->engine);
        env->conn = NULL;
        env->engine = NULL;
        return rc;
}

int leat_sql_env_ready(struct leat_sql_env *env, struct leat_error *err)
{
        return env->engine == NULL ? open_engine(env, err) : 0;
}

int leat_sql_env_tables(struct leat_sql_env *env, const struct leat_sql_catalog *catalog, struct leat_error *err)
{
        LEAT_TRY(leat_sql_env_ready(env, err));
        return env->table_version != catalog->snapshot->version ? follow_tables(env, catalog->snapshot, err) : 0;
}

/* ---- open, close ---------------------------------------------------------------------- */
int leat_sql_env_open(struct leat_catalog *catalog, const struct leat_sql_env_options *options,
                      struct leat_sql_env **ret_env, struct leat_error *err)
{
        struct leat_sql_env *env = leat_calloc(1, sizeof *env);
        if (options != NULL)
                env->options = *options;
        env->catalog_db = catalog;
        pthread_mutex_init(&env->lock, NULL);
        int rc = refresh(env, err);
        if (rc != 0) {
                leat_sql_env_close(env);
                return rc;
        }
        *ret_env = env;
        return 0;
}

void leat_sql_env_close(struct leat_sql_env *env)
{
        if (env == NULL)
                return;
        leat_sql_cache_clear(env);
        leat_conn_close(env->conn);
        leat_engine_close(env->engine);
        leat_sql_catalog_unref(env->current != NULL ? &env->current->pub : NULL);
        pthread_mutex_destroy(&env->lock);
        free(env->tables);
        free(env->volatile_functions);
        free(env);
}

bool leat_sql_env_volatile(struct leat_sql_env *env, const char *function)
{
        char needle[128];
        snprintf(needle, sizeof needle, " %s ", function);
        return env->volatile_functions != NULL && strcasestr(env->volatile_functions, needle) != NULL;
}

bool leat_sql_env_system(struct leat_sql_env *env, const char *key)
{
        const char **names;
        struct leat_type *types;
        uint32_t count;
        if (env->options.system_ops == NULL)
                return false;
        struct leat_arena *arena = leat_arena_new(0);
        int rc = env->options.system_ops->describe(env->options.system_arg, key, arena, &count, &names, &types, NULL);
        leat_arena_free(arena);
        return rc == 0;
}

/* ---- DuckDB's tree ------------------------------------------------------------------------ */
int leat_sql_env_tree(struct leat_sql_env *env, struct leat_arena *arena, const struct leat_sql_map *map,
                      const struct leat_json **ret_node, struct leat_error *err)
{
        struct leat_buf json = LEAT_BUF_INIT;
        struct leat_json *root = NULL;
        const char *text = leat_arena_strndup(arena, (const char *)map->text.data, map->text.len);
        pthread_mutex_lock(&env->lock);
        int rc = leat_sql_env_ready(env, err);
        if (rc == 0)
                rc = leat_conn_text(env->conn, "SELECT CAST(json_serialize_sql($1::VARCHAR) AS VARCHAR)", &text, 1,
                                    &json, err);
        pthread_mutex_unlock(&env->lock);
        if (rc == 0)
                rc = leat_json_parse(arena, leat_buf_view(&json), &root, err);
        leat_buf_done(&json);
        if (rc != 0)
                return rc;
        if (leat_json_bool(root, "error")) {
                /* The parser counts characters, the binder bytes. */
                int64_t position = leat_json_int(root, "position", -1), at = 0;
                for (int64_t chars = 0; at < (int64_t)map->text.len && chars < position; chars++) {
                        at++;
                        while (at < (int64_t)map->text.len && (map->text.data[at] & 0xC0) == 0x80)
                                at++;
                }
                const char *message = leat_json_str(root, "error_message");
                bool syntax = strcmp(leat_json_str(root, "error_type"), "parser") == 0;
                int code = syntax ? LEAT_ESYNTAX : LEAT_EUNSUPPORTED;
                return leat_sql_map_fail(map, syntax && position < 0 ? -1 : at, err, code, "%s",
                                         syntax ? message : "this is no query: only SELECT stands here");
        }
        const struct leat_json *statements = leat_json_get(root, "statements");
        if (statements == NULL || statements->count != 1)
                return leat_sql_map_fail(map, 0, err, LEAT_ESYNTAX, "one query is wanted here");
        *ret_node = leat_json_get(leat_json_at(statements, 0), "node");
        return 0;
}

int leat_sql_env_plan(struct leat_sql_env *env, const struct leat_sql_catalog *catalog, const struct leat_sql_map *map,
                      struct leat_plan **ret_plan, struct leat_error *err)
{
        struct leat_error local;
        LEAT_TRY(leat_sql_env_ready(env, err));
        char *text = leat_strndup((const char *)map->text.data, map->text.len);
        memset(&local, 0, sizeof local);
        env->binding = catalog;
        int rc = leat_plan_prepare(env->conn, text, ret_plan, &local);
        env->binding = NULL;
        free(text);
        if (rc == 0)
                return 0;
        leat_sql_map_error(map, &local);
        leat_sql_message_clean(catalog, &local);
        if (local.fatal) {
                /* DuckDB gave up on the instance: begin anew with the next statement. */
                leat_conn_close(env->conn);
                leat_engine_close(env->engine);
                env->conn = NULL;
                env->engine = NULL;
                local.fatal = false;
        }
        if (err != NULL)
                *err = local;
        return rc;
}
