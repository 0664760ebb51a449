/* SPDX-License-Identifier: Apache-2.0 */
/* leat/sql: rewriting of queries and the environment, inside. */
#ifndef LEAT_SQL_INT_H
#define LEAT_SQL_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "leat/json.h"
#include "sql_parse_int.h"

/* ---- text with a map (sql_text.c) -------------------------------------------- */
#define SQL_NOWHERE UINT32_MAX

/* Out bytes from `out` on come from user byte `user` on: one for one when verbatim, else all from that one place. */
struct sql_segment {
        uint32_t out;
        uint32_t user;
        bool verbatim;
};
struct leat_sql_map {
        struct leat_view user; /* the whole text that the user gave */
        struct leat_view text; /* our text */
        struct sql_segment *segments;
        uint32_t count;
};
/* What an edit puts in the place of [start, end) of its input: literals (all at one place of the input) and pieces of
 * the input, which are edited in turn. */
struct sql_piece {
        const char *literal; /* NULL: a piece of the input */
        uint32_t from, to;   /* literal: from = its place in the input */
};
struct sql_edit {
        uint32_t start, end;
        uint32_t piece_count;
        struct sql_piece pieces[24];
        struct sql_edit *next;
};
/* The span of @user as a text of its own, one for one. */
const struct leat_sql_map *leat_sql_map_span(struct leat_arena *arena, struct leat_view user, struct leat_span span);
/* A text without places in the user's. */
const struct leat_sql_map *leat_sql_map_nowhere(struct leat_arena *arena, struct leat_view text);
/* Applies the edits (any order, none overlaps another but inside its pieces) to in->text. */
const struct leat_sql_map *leat_sql_map_edit(struct leat_arena *arena, const struct leat_sql_map *in,
                                             struct sql_edit *edits);
/* User byte of our byte, SQL_NOWHERE when there is none. */
uint32_t leat_sql_map_byte(const struct leat_sql_map *map, uint32_t at);
/* Error at byte @at of map->text. */
int leat_sql_map_fail(const struct leat_sql_map *map, int64_t at, struct leat_error *err, int code, const char *fmt,
                      ...) LEAT_PRINTF(5, 6);

struct sql_edits {
        struct leat_arena *arena;
        struct sql_edit *list;
};
/* Replaces [start, end) by @literal. */
void leat_sql_edit_replace(struct sql_edits *edits, uint32_t start, uint32_t end, const char *literal);
struct sql_edit *leat_sql_edit_new(struct sql_edits *edits, uint32_t start, uint32_t end);
void leat_sql_edit_literal(struct sql_edit *edit, const char *literal, uint32_t at);
void leat_sql_edit_piece(struct sql_edit *edit, uint32_t from, uint32_t to);

/* ---- environment (sql_env.c) ---------------------------------------------------- */
struct sql_catalog {
        struct leat_sql_catalog pub;
        _Atomic uint32_t refs;
        struct leat_arena *arena;
};
struct sql_table {
        uint64_t id, version;
};
struct sql_cached;
#define SQL_CACHE_ENTRIES 256
struct leat_sql_env {
        struct leat_sql_env_options options;
        pthread_mutex_t lock; /* all below */
        struct leat_catalog *catalog_db;
        struct leat_engine *engine;
        struct leat_conn *conn;
        struct sql_catalog *current;
        const struct leat_sql_catalog *binding; /* what leat_scan sees while a statement is bound */
        uint64_t table_version;                 /* of the catalog that the tables follow */
        struct sql_table *tables;
        uint32_t table_count;
        struct sql_cached *cache[SQL_CACHE_ENTRIES]; /* panels (sql_cache.c) */
        uint32_t cache_next;
        char *volatile_functions; /* " nextval random …" with blanks on both sides */
};
/* json_serialize_sql of @text, parsed; LEAT_ESYNTAX at its place. Locks. */
int leat_sql_env_tree(struct leat_sql_env *env, struct leat_arena *arena, const struct leat_sql_map *map,
                      const struct leat_json **ret_node, struct leat_error *err) LEAT_NODISCARD;
bool leat_sql_env_volatile(struct leat_sql_env *env, const char *function);
/* True when system_ops knows "pg_catalog.pg_class". */
bool leat_sql_env_system(struct leat_sql_env *env, const char *key);
/* Makes the connection usable. With the lock held. */
int leat_sql_env_ready(struct leat_sql_env *env, struct leat_error *err) LEAT_NODISCARD;
/* Brings the tables in step with @catalog. With the lock held. */
int leat_sql_env_tables(struct leat_sql_env *env, const struct leat_sql_catalog *catalog,
                        struct leat_error *err) LEAT_NODISCARD;
void leat_sql_catalog_keep(struct leat_arena *arena, struct leat_sql_catalog *catalog);

/* The panel as it was checked against @version; memory as long as @arena. */
bool leat_sql_cache_find(struct leat_sql_env *env, struct leat_arena *arena, uint64_t version, struct leat_view sql,
                         const char *const *names, uint32_t name_count, struct leat_sql_query *ret_query);
/* Takes over @own, which holds @sql and the query; it lives as long as @arena at least. */
void leat_sql_cache_add(struct leat_sql_env *env, struct leat_arena *own, struct leat_view sql,
                        const char *const *names, uint32_t name_count, const struct leat_sql_query *query,
                        struct leat_arena *arena);
void leat_sql_cache_clear(struct leat_sql_env *env);

/* ---- rewriting -------------------------------------------------------------------- */
enum sql_mode {
        SQL_MODE_BATCH, /* relations become leat_scan('key') */
        SQL_MODE_STREAM /* relations become the empty tables of the environment, now() a parameter */
};
struct sql_rewrite {
        struct leat_sql_env *env;
        struct leat_arena *arena;
        struct leat_sql_catalog *catalog;
        enum sql_mode mode;
        uint32_t pseudo; /* pseudo columns that the text names */
        uint32_t view_depth;
        size_t expanded_bytes; /* of plain views put in place */
        uint32_t expanded_views;
        const char *const *param_names; /* panels: $name */
        uint32_t param_name_count;
        const struct leat_type *param_types; /* $n gets CAST($n AS type) when the type is known */
        uint32_t param_type_count;
        uint32_t param_count;
        bool uses_now;
        struct leat_sql_used *used;
        uint32_t used_count, used_cap;
        const struct leat_json *node; /* the query's tree, once it has been rewritten */
        struct leat_error *err;
};
/* Token level: PostgreSQL's, Flink's and ksqlDB's forms (sql_tokens.c). */
int leat_sql_rewrite_tokens(struct sql_rewrite *rw, const struct leat_sql_map *in,
                            const struct leat_sql_map **ret_map) LEAT_NODISCARD;
/* Tree level: relations, stars, functions (sql_tree.c). */
int leat_sql_rewrite_tree(struct sql_rewrite *rw, const struct leat_sql_map *in,
                          const struct leat_sql_map **ret_map) LEAT_NODISCARD;
/* Both. */
int leat_sql_rewrite_query(struct sql_rewrite *rw, const struct leat_sql_map *in,
                           const struct leat_sql_map **ret_map) LEAT_NODISCARD;
/* Bit set of the pseudo columns that the tokens of @text name. */
uint32_t leat_sql_pseudo_named(struct leat_view text, const struct sql_token *tokens, uint32_t count);
/* Prepares map->text in the environment; errors at their place, internal names taken out. With the lock held. */
int leat_sql_env_plan(struct leat_sql_env *env, const struct leat_sql_catalog *catalog, const struct leat_sql_map *map,
                      struct leat_plan **ret_plan, struct leat_error *err) LEAT_NODISCARD;

/* What PostgreSQL would call a column without AS: "count" for count(*); DuckDB's name for the rest. */
/* Puts PostgreSQL's names over those of expressions without an alias (sql_names.c). */
void leat_sql_result_names(struct leat_arena *arena, const struct leat_json *node, const char **names, uint32_t count);
const char *leat_sql_output_name(struct leat_arena *arena, const char *name);

/* DuckDB's error in words that say what to do, internal names taken out (sql_message.c). */
void leat_sql_message_clean(const struct leat_sql_catalog *catalog, struct leat_error *err);

/* What does the same here as a function that others have, or as the function, type or column that @message says is
 * missing; NULL when we know none (sql_hints.c). */
const char *leat_sql_hint_function(const char *name);
const char *leat_sql_hint_message(const char *message);

/* ---- functions (sql_functions.c) ----------------------------------------------------- */
enum sql_function_class { SQL_FUNCTION_OK, SQL_FUNCTION_DENIED, SQL_FUNCTION_VOLATILE, SQL_FUNCTION_NOW };
enum sql_function_class leat_sql_function_class(struct leat_sql_env *env, const char *name);
bool leat_sql_table_function_allowed(const char *name);
/* It tells who asks: current_user and the like. */
bool leat_sql_function_of_session(const char *name);
/* SQL for now() and its kin over $leat_now; NULL when @name is none. */
const char *leat_sql_now_text(const char *name);

/* ---- relations ------------------------------------------------------------------------- */
struct sql_relation {
        enum leat_scan_kind kind;
        const struct leat_object *object; /* TOPIC, VIEW, QUARANTINE; plain views too */
        const char *name;
        uint32_t column_count;
        const struct leat_column_def *columns; /* its own, without pseudo columns */
        uint32_t pseudo;                       /* those that it can have */
};
int leat_sql_relation_find(struct sql_rewrite *rw, const char *schema, const char *name, const struct leat_sql_map *map,
                           int64_t at, struct sql_relation *ret_relation) LEAT_NODISCARD;
void leat_sql_scan_key_print(const struct leat_scan_key *key, struct leat_buf *out);
/* "leat_12", "leat_q12", "leat_undeclared". */
const char *leat_sql_table_name(struct leat_arena *arena, const struct sql_relation *relation);
uint32_t leat_sql_pseudo_of(const struct leat_topic_def *topic);

/* ---- conditions that a scan can use (sql_pushdown.c) ------------------------------------- */
struct sql_item { /* a relation in a FROM */
        struct sql_relation relation;
        const char *alias;
        bool renamed;    /* has a column alias list */
        uint32_t pseudo; /* those exposed */
        struct leat_scan_key *key;
        struct sql_edit *edit; /* where its text goes when the conditions are known, */
        uint32_t piece;        /* and which piece */
};
void leat_sql_pushdown(struct leat_arena *arena, const struct leat_json *where, struct sql_item *items, uint32_t count);

/* Nearest of @count names to @name, NULL when none is near (sql_suggest.c). */
const char *leat_sql_suggest(const char *name, const char *const *names, uint32_t count);

/* ---- batch queries (sql_select.c) -------------------------------------------------- */
/* A rewrite for a query at the newest catalog, which @arena keeps; and a query of ours with the user's pieces in it. */
int leat_sql_begin(struct sql_rewrite *rw, struct leat_sql_env *env, struct leat_arena *arena,
                   struct leat_error *err) LEAT_NODISCARD;
int leat_sql_select_map(struct sql_rewrite *rw, const struct leat_sql_map *user,
                        struct leat_sql_query *ret_query) LEAT_NODISCARD;

#endif
