/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/sql: statements, names, validation, bound plans, definitions.
 *
 *   leat_sql_parse        text → one statement after the other (our grammar)
 *   leat_sql_env          a bare DuckDB with one empty table for each relation
 *   leat_sql_select       a SELECT → SQL over leat_scan('key') for the engine
 *   leat_sql_bind_stream  a SELECT → DuckDB's bound plan, for continuous queries
 *   leat_sql_ddl          runs CREATE, ALTER, DROP against catalog and broker
 *
 * DuckDB parses, binds and types; we edit the text. Every edit is kept in a
 * map, so that an error has its place in the text that the user wrote:
 * err->position is a 1-based character in the whole text given to
 * leat_sql_parse. Names: relations and dashboards fold to lower case unless
 * quoted; columns keep their case and are found without regard to it.
 */
#ifndef LEAT_SQL_H
#define LEAT_SQL_H

#include "leat/catalog.h"
#include "leat/engine.h"
#include "leat/feed.h"

/* ---- statements --------------------------------------------------------------- */
enum leat_stmt_kind {
        LEAT_STMT_NONE = 0, /* end of the text */
        LEAT_STMT_EMPTY,    /* ";" */
        LEAT_STMT_SELECT,   /* SELECT, WITH, VALUES, FROM, TABLE, ( */
        LEAT_STMT_INSERT,
        LEAT_STMT_CREATE_TOPIC,
        LEAT_STMT_CREATE_VIEW,
        LEAT_STMT_CREATE_MATVIEW,
        LEAT_STMT_CREATE_DASHBOARD,
        LEAT_STMT_ALTER_TOPIC,
        LEAT_STMT_ALTER_JOB, /* ALTER JOB | MATERIALIZED VIEW name PAUSE | RESUME | SET (…) */
        LEAT_STMT_DROP,      /* any kind of object */
        LEAT_STMT_SHOW,      /* SHOW TOPICS … */
        LEAT_STMT_SHOW_SETTING,
        LEAT_STMT_SHOW_CREATE,
        LEAT_STMT_DESCRIBE,
        LEAT_STMT_EXPLAIN,  /* inner = the statement explained */
        LEAT_STMT_VALIDATE, /* inner = the statement checked */
        LEAT_STMT_SET,
        LEAT_STMT_RESET, /* name NULL: RESET ALL */
        LEAT_STMT_BEGIN,
        LEAT_STMT_COMMIT,
        LEAT_STMT_ROLLBACK,
        LEAT_STMT_SAVEPOINT,
        LEAT_STMT_RELEASE,
        LEAT_STMT_ROLLBACK_TO,
        LEAT_STMT_COPY,                /* COPY (query) TO STDOUT: body */
        LEAT_STMT_SUBSCRIBE,           /* COPY (SUBSCRIBE TO name) TO STDOUT */
        LEAT_STMT_SUBSCRIBE_DASHBOARD, /* COPY (SUBSCRIBE TO DASHBOARD name WITH (…)) TO STDOUT */
        LEAT_STMT_PREPARE,             /* name, inner */
        LEAT_STMT_EXECUTE,             /* name, arguments */
        LEAT_STMT_DEALLOCATE,          /* name NULL: ALL */
        LEAT_STMT_DISCARD,
        LEAT_STMT_DECLARE, /* name, hold, body */
        LEAT_STMT_FETCH,   /* name, fetch_rows */
        LEAT_STMT_MOVE,
        LEAT_STMT_CLOSE,  /* name NULL: ALL */
        LEAT_STMT_REPLAY, /* QUARANTINE OF name [USING expression] [WHERE condition] */
};
/* What SHOW lists. */
enum leat_show {
        LEAT_SHOW_TOPICS = 1,
        LEAT_SHOW_VIEWS,
        LEAT_SHOW_JOBS,
        LEAT_SHOW_PIPELINES,
        LEAT_SHOW_PARTITIONS, /* what the pipelines have read of each partition */
        LEAT_SHOW_DASHBOARDS,
        LEAT_SHOW_FLOW,
        LEAT_SHOW_TABLES, /* every relation */
        LEAT_SHOW_ALL,    /* every setting */
};

/* A piece of the text, byte offsets. */
struct leat_span {
        uint32_t start;
        uint32_t len;
};

struct leat_sql_option {
        const char *name;  /* lower case */
        const char *value; /* without quotes; "true" when none was written */
        struct leat_span name_at, value_at;
};

struct leat_sql_column {
        const char *name;
        struct leat_type type;
        bool not_null;
        struct leat_span at; /* the name */
};

enum leat_alter {
        LEAT_ALTER_ADD = 1,
        LEAT_ALTER_DROP,
        LEAT_ALTER_RENAME,
        LEAT_ALTER_SET,
        LEAT_ALTER_PAUSE,
        LEAT_ALTER_RESUME
};
enum leat_copy_format { LEAT_COPY_TEXT, LEAT_COPY_CSV };

struct leat_panel_at {
        struct leat_span name, sql; /* where panel name and SQL stand in the text */
};

/* One statement; memory from the arena given to leat_sql_parse, `text` borrowed. */
struct leat_stmt {
        enum leat_stmt_kind kind;
        struct leat_view text; /* the whole text */
        struct leat_span at;   /* this statement in it, without ";" */
        struct leat_span body; /* SELECT (views, COPY, INSERT … SELECT | VALUES): the query's text, without EMIT */
        bool or_replace, if_exists, if_not_exists, cascade;
        uint8_t emit;     /* enum leat_emit; 0: none written */
        const char *name; /* object, setting, savepoint, prepared statement */
        struct leat_span name_at;
        uint8_t object_kind; /* DROP, SHOW CREATE, DESCRIBE: enum leat_object_kind; 0 = any relation */
        uint8_t show;        /* enum leat_show */
        uint32_t option_count;
        const struct leat_sql_option *options; /* WITH (…), SET (…) */
        /* CREATE TOPIC; ALTER TOPIC ADD (one column); INSERT and CREATE VIEW column lists (names only) */
        uint32_t column_count;
        const struct leat_sql_column *columns;
        uint32_t key_count;
        const uint32_t *keys;
        int32_t watermark_column; /* -1: none */
        int64_t watermark_delay_us;
        struct leat_span watermark_at;
        uint8_t alter;        /* enum leat_alter */
        const char *column;   /* ALTER … DROP, RENAME: the column */
        const char *new_name; /* RENAME */
        struct leat_span column_at;
        const struct leat_dashboard_def *dashboard;
        const struct leat_panel_at *panel_at; /* one a panel */
        const struct leat_span *variable_at;  /* one a variable: its SQL */
        const char *value;                    /* SET: text; NULL = DEFAULT */
        bool local;                           /* SET LOCAL */
        bool read_only;                       /* BEGIN READ ONLY */
        bool hold;                            /* DECLARE … WITH HOLD */
        int64_t fetch_rows;                   /* FETCH, MOVE; INT64_MAX: ALL */
        uint8_t copy_format;                  /* enum leat_copy_format */
        bool copy_header;
        char copy_delimiter;     /* tab or comma unless given */
        const char *copy_null;   /* NULL: the format's own */
        uint32_t argument_count; /* EXECUTE: expressions as text */
        const struct leat_span *arguments;
        struct leat_span using_at, where_at; /* REPLAY: expression and condition; len 0: none */
        const struct leat_stmt *inner;
};

/* Reads the statement that begins at byte *io_offset of @text and moves the offset behind it and its ";"; kind
 * LEAT_STMT_NONE at the end. LEAT_ESYNTAX and LEAT_EUNSUPPORTED have position and hint. @text up to 1 MiB. */
int leat_sql_parse(struct leat_arena *arena, struct leat_view text, size_t *io_offset, struct leat_stmt *ret_stmt,
                   struct leat_error *err) LEAT_NODISCARD;
/* True when @text ends inside a statement (an open quote, comment or parenthesis, or no ";"): shells ask for more. */
bool leat_sql_incomplete(struct leat_view text);
/* PostgreSQL's command tag: "CREATE TOPIC", "INSERT 0 3", "SELECT 5", "SET" … @rows for those that count. */
void leat_sql_tag(const struct leat_stmt *stmt, uint64_t rows, char *out, size_t out_bytes);
/* 1-based character of byte offset @byte of @text. */
int leat_sql_position(struct leat_view text, size_t byte);
/* Quotes a name when it must be: "my topic". */
void leat_sql_quote_name(struct leat_buf *out, const char *name);
/* 'text' with quotes doubled. */
void leat_sql_quote_text(struct leat_buf *out, struct leat_view text);

/* ---- environment ---------------------------------------------------------------- */
struct leat_sql_env;

struct leat_sql_env_options {
        /* Relations that are no catalog objects (pg_catalog.pg_class, information_schema.tables …): asked by the key
         * "pg_catalog.pg_class". NULL: none. Only describe is called. */
        const struct leat_relation_ops *system_ops;
        void *system_arg;
        /* True when the broker has this (undeclared) topic. NULL: undeclared topics are not seen. Called without locks. */
        bool (*topic_exists)(void *arg, const char *name);
        void *topic_arg;
};

/* Opens its own engine instance at first use. @catalog is used by the env alone until it is closed; the caller closes it afterwards.
 * Thread: all calls below lock the env; any thread. */
int leat_sql_env_open(struct leat_catalog *catalog, const struct leat_sql_env_options *options,
                      struct leat_sql_env **ret_env, struct leat_error *err) LEAT_NODISCARD;
void leat_sql_env_close(struct leat_sql_env *env);

/* The catalog at the newest version, immutable and counted; free with leat_sql_catalog_unref. */
struct leat_sql_catalog {
        const struct leat_snapshot *snapshot;
};
int leat_sql_env_catalog(struct leat_sql_env *env, struct leat_sql_catalog **ret_catalog,
                         struct leat_error *err) LEAT_NODISCARD;
struct leat_sql_catalog *leat_sql_catalog_ref(struct leat_sql_catalog *catalog);
void leat_sql_catalog_unref(struct leat_sql_catalog *catalog);

/* Set-up statements (macros such as format_type, pg_get_userbyid, current_database) that a connection needs before
 * it prepares what leat_sql_select gives: pass to leat_conn_exec. */
const char *leat_sql_macros(void);
/* SQL for leat_conn_exec: what current_user and pg_backend_pid() say on a connection. */
void leat_sql_session_text(const char *user, int pid, struct leat_buf *out);
/* After them, where leat_scan knows pg_catalog: functions that look something up there (pg_get_indexdef, regclass). */
const char *leat_sql_catalog_macros(void);

/* ---- scans: what stands in leat_scan('key') ---------------------------------------- */
/* Columns that every topic has but `*` does not show, in this order behind its own. */
#define LEAT_PSEUDO_COLUMNS(X) \
        X(PARTITION, "kafka_partition", INTEGER) \
        X(OFFSET, "kafka_offset", BIGINT) \
        X(TIMESTAMP, "kafka_timestamp", TIMESTAMPTZ) \
        X(KEY, "kafka_key", BLOB) \
        X(HEADERS, "kafka_headers", LIST) /* STRUCT(key VARCHAR, value BLOB)[] */ \
        X(VALUE, "kafka_value", BLOB)     /* undeclared and raw topics only */
enum leat_pseudo {
#define X(id, name, type) LEAT_PSEUDO_##id,
        LEAT_PSEUDO_COLUMNS(X)
#undef X
                LEAT_PSEUDO_COUNT
};

enum leat_scan_kind {
        LEAT_SCAN_TOPIC = 1,  /* a declared topic */
        LEAT_SCAN_UNDECLARED, /* a topic of the broker without declaration: value TEXT */
        LEAT_SCAN_QUARANTINE, /* "<topic>$quarantine" */
        LEAT_SCAN_VIEW,       /* a materialized view */
        LEAT_SCAN_SYSTEM,     /* pg_catalog.x, information_schema.x */
};
enum leat_scan_op { LEAT_SCAN_EQ = 1, LEAT_SCAN_LT, LEAT_SCAN_LE, LEAT_SCAN_GT, LEAT_SCAN_GE };
/* A condition that the scan may use to read less; the query still checks it. */
struct leat_scan_condition {
        uint32_t column;   /* index into the scan's columns (leat_sql_scan_columns) */
        uint8_t op;        /* enum leat_scan_op */
        uint32_t param;    /* 1-based: the value is parameter $n; 0: `value` */
        const char *value; /* as text, e.g. 3, 2026-11-24 10:00:00, SEA1 */
};
struct leat_scan_key {
        enum leat_scan_kind kind;
        uint64_t object_id;       /* TOPIC, VIEW; QUARANTINE: the topic's, 0 when undeclared */
        const char *name;         /* topic, view or "pg_catalog.pg_class"; QUARANTINE: the topic's name */
        uint32_t pseudo;          /* bit set of enum leat_pseudo: those that the query names */
        uint32_t condition_count; /* all hold together */
        const struct leat_scan_condition *conditions;
        bool by_key; /* conditions give one value for each key column: read by key */
};
int leat_sql_scan_key_parse(struct leat_arena *arena, const char *key, struct leat_scan_key *ret_key,
                            struct leat_error *err) LEAT_NODISCARD;
/* The columns that a scan of @key has, for describe(): the relation's own, then the pseudo columns named. System
 * relations: LEAT_ENORELATION (ask their owner). Returns LEAT_ENORELATION when the object has gone. */
int leat_sql_scan_columns(const struct leat_sql_catalog *catalog, const struct leat_scan_key *key,
                          struct leat_arena *arena, uint32_t *ret_count, const char ***ret_names,
                          struct leat_type **ret_types, struct leat_error *err) LEAT_NODISCARD;
/* Columns of "<topic>$quarantine": partition, offset, key, value, column, reason, timestamp, replayed. */
const struct leat_column_def *leat_sql_quarantine_columns(uint32_t *ret_count);
/* The type of a pseudo column. */
struct leat_type leat_sql_pseudo_type(enum leat_pseudo pseudo);
const char *leat_sql_pseudo_name(enum leat_pseudo pseudo);

/* ---- batch SELECT -------------------------------------------------------------------- */
struct leat_sql_map; /* a place in our text → a place in the user's */

struct leat_sql_used {
        uint64_t object_id; /* 0: undeclared or system */
        enum leat_scan_kind kind;
        const char *name;
        struct leat_span at; /* first use in the user's text; len 0 when inside a view */
};

struct leat_sql_query {
        const char *sql; /* for leat_plan_prepare on a connection that has leat_sql_macros */
        uint32_t column_count;
        const char *const *column_names;
        const struct leat_type *column_types;
        uint32_t param_count;                /* $1 … $n */
        const struct leat_type *param_types; /* id LEAT_T_INVALID: unknown, treat as VARCHAR */
        uint32_t used_count;                 /* relations, views' own included */
        const struct leat_sql_used *used;
        const struct leat_sql_map *map;
        struct leat_sql_catalog *catalog; /* the version it was checked against; lives as long as the arena */
};
/* Checks the query in @span of @text completely and rewrites it. @param_types (may be NULL) are types that the client
 * declared. Errors: LEAT_ESYNTAX, LEAT_ENORELATION, LEAT_ENOCOLUMN, LEAT_ENOFUNCTION, LEAT_ETYPE, LEAT_EAMBIGUOUS,
 * LEAT_EDENIED, LEAT_EUNSUPPORTED with position and hint. Memory from @arena. */
int leat_sql_select(struct leat_sql_env *env, struct leat_arena *arena, struct leat_view text, struct leat_span span,
                    const struct leat_type *param_types, uint32_t param_count, struct leat_sql_query *ret_query,
                    struct leat_error *err) LEAT_NODISCARD;
/* The query behind INSERT INTO topic [(cols)] body: as leat_sql_select, its columns cast to those of the topic that are
 * named; *ret_topic and *ret_columns (indexes into the topic's columns, one for each result column). */
int leat_sql_insert(struct leat_sql_env *env, struct leat_arena *arena, const struct leat_stmt *stmt,
                    const struct leat_type *param_types, uint32_t param_count, struct leat_sql_query *ret_query,
                    const struct leat_object **ret_topic, const uint32_t **ret_columns,
                    struct leat_error *err) LEAT_NODISCARD;
/* The query behind REPLAY QUARANTINE: partition, offset, key, value, timestamp and what USING gives (NULL: the old value)
 * of what was not played back yet, in the order of the log; and its topic. */
int leat_sql_replay(struct leat_sql_env *env, struct leat_arena *arena, const struct leat_stmt *stmt,
                    struct leat_sql_query *ret_query, const struct leat_object **ret_topic,
                    struct leat_error *err) LEAT_NODISCARD;
/* Dashboard panels: @names are the variables; $name becomes the parameter with its place in @names. All of them can be
 * bound, as VARCHAR, whether the panel uses them or not. */
int leat_sql_panel(struct leat_sql_env *env, struct leat_arena *arena, struct leat_view sql, const char *const *names,
                   uint32_t name_count, struct leat_sql_query *ret_query, struct leat_error *err) LEAT_NODISCARD;
/* Byte @offset of the rewritten text → 1-based character of the user's text; 0 when it has no place there. */
int leat_sql_map_position(const struct leat_sql_map *map, int64_t offset);
/* Position of the first token of the user's text that is the unquoted @word, 0 when there is none. */
int leat_sql_map_word(const struct leat_sql_map *map, const char *word);
/* Byte of the user's text (struct leat_sql_used) → 1-based character. */
int leat_sql_map_user_position(const struct leat_sql_map *map, uint32_t byte);
/* Moves err->position (1-based character of query->sql, as the engine gives it) to the user's text. */
void leat_sql_map_error(const struct leat_sql_map *map, struct leat_error *err);

/* ---- streaming bind ------------------------------------------------------------------- */
struct leat_sql_bound {
        const char *plan_json;        /* what json_serialize_plan gave: {"error":false,"plans":[…]} */
        const struct leat_json *plan; /* plans[0] of it, parsed */
        const char *bound_sql;        /* the text that was bound; query_location counts in it */
        uint32_t column_count;
        const struct leat_column_def *columns; /* output names and types */
        uint32_t used_count; /* LOGICAL_GET: function_data.table is "leat_<object id>" ("leat_q<id>" for quarantine) */
        const struct leat_sql_used *used;
        uint8_t emit;  /* enum leat_emit */
        bool uses_now; /* parameter "leat_now" stands for the tick's time */
        const struct leat_sql_map *map;
        struct leat_sql_catalog *catalog;
};
/* @stmt: CREATE MATERIALIZED VIEW or SELECT (EXPLAIN). Columns of a topic's table: its own, then all pseudo columns
 * in their order (kafka_value only for raw topics). now(), current_timestamp and their kin become the parameter
 * $leat_now (TIMESTAMPTZ); VOLATILE functions are refused. */
int leat_sql_bind_stream(struct leat_sql_env *env, struct leat_arena *arena, const struct leat_stmt *stmt,
                         struct leat_sql_bound *ret_bound, struct leat_error *err) LEAT_NODISCARD;
/* Name and columns of the relation behind a LOGICAL_GET's table, as bound. LEAT_ENORELATION. */
int leat_sql_bound_relation(const struct leat_sql_bound *bound, const char *table, struct leat_scan_key *ret_key,
                            struct leat_error *err) LEAT_NODISCARD;

/* ---- definitions ------------------------------------------------------------------------ */
/* What stream adds to a materialized view; memory from the arena passed in. */
struct leat_sql_compiled {
        struct leat_view graph;
        uint32_t key_count; /* unique key of the output, by column; 0 = none */
        const uint32_t *keys;
        const char *notice; /* e.g. "state grows with the number of keys"; NULL = none */
};
/* Checks a bound plan and its options (def: emit, late, retention …) and makes the graph. */
typedef int leat_sql_compile_fn(void *arg, struct leat_arena *arena, const struct leat_sql_bound *bound,
                                const struct leat_view_def *def, struct leat_sql_compiled *ret_compiled,
                                struct leat_error *err);

struct leat_sql_ddl_context {
        struct leat_catalog *catalog; /* a writer's handle, not the env's */
        struct leat_feed *feed;       /* NULL: statements about topics fail */
        struct leat_sql_env *env;
        leat_sql_compile_fn *compile;
        void *compile_arg;
        int64_t timeout_us;                          /* for the roles to apply the change; 0 = 10 s */
        void (*notice)(void *arg, const char *text); /* may be NULL */
        void *notice_arg;
};
/* True for statements that leat_sql_ddl runs. */
bool leat_sql_is_ddl(const struct leat_stmt *stmt);
/* Runs CREATE, ALTER, DROP; returns when the roles concerned have applied it. */
int leat_sql_ddl(struct leat_sql_ddl_context *ctx, const struct leat_stmt *stmt, struct leat_error *err) LEAT_NODISCARD;
/* The same checks, nothing done (VALIDATE). */
int leat_sql_ddl_check(struct leat_sql_ddl_context *ctx, const struct leat_stmt *stmt,
                       struct leat_error *err) LEAT_NODISCARD;
/* Completes or undoes statements that a crash or an error cut off. Call when `query` starts, once the broker
 * answers, and after a statement that failed. */
int leat_sql_ddl_recover(struct leat_sql_ddl_context *ctx, struct leat_error *err) LEAT_NODISCARD;
/* SHOW CREATE: the normalized statement. */
void leat_sql_show_create(const struct leat_object *object, struct leat_buf *out);
/* Layout of panels without AT on 12 columns, in order (numbers four a row, others half or full width). */
void leat_sql_dashboard_layout(struct leat_panel_def *panels, uint32_t count, const bool *placed);

#endif
