/* SPDX-License-Identifier: Apache-2.0 */
/* leat/query: what its files share. */
#ifndef LEAT_QUERY_INT_H
#define LEAT_QUERY_INT_H

#include <pthread.h>

#include "leat/query.h"
#include "leat/sql.h"
#include "leat/view.h"

struct leat_query {
        struct leat_query_options options;
        struct leat_views *views;
        struct leat_panels *panels;
        pthread_mutex_t sessions_mutex; /* guards sessions: the follower ends statements whose time is over */
        struct query_session *sessions;
        struct leat_sql_env *env;
        struct leat_catalog *env_catalog; /* the env's, closed after it */
        struct query_flow *flow;
        struct query_refused *refused;
        pthread_mutex_t replay_mutex;        /* held by the one REPLAY that runs */
        pthread_mutex_t mutex;               /* guards engine, ddl catalog and ddl feed */
        struct leat_engine *engine;          /* NULL until the first SELECT */
        struct leat_catalog *catalog;        /* the writer's handle: DDL, one statement at a time */
        struct leat_feed *feed;              /* DDL and topic lists */
        struct leat_catalog *follow_catalog; /* the follower's own: a definition that waits for us holds the mutex */
        pthread_mutex_t topic_mutex;         /* guards topic_feed, for the same reason */
        struct leat_feed *topic_feed;
        pthread_mutex_t zone_mutex; /* guards zones; taken before macro_mutex */
        struct query_zone *zones;
        pthread_mutex_t macro_mutex; /* guards has_macros, and is held while they are defined */
        bool has_macros;             /* the engine knows PostgreSQL's functions */
        _Atomic bool recovered;      /* no statement is left between its steps; set under mutex */
        _Atomic bool closing;
        struct query_session *panel_session; /* the panels' runner's own */
        struct panel_plan *panel_plans;      /* likewise */
        pthread_t follower;                  /* tells views and env of new catalog versions */
};

/* ---- rows that we make ourselves (query_rows.c) --------------------------------- */
struct query_rows {
        struct leat_arena *arena;
        struct leat_batch batch; /* handed out when complete */
        uint32_t cap;
};
struct query_column {
        const char *name;
        enum leat_type_id type; /* VARCHAR, BIGINT, INTEGER, BOOLEAN, DOUBLE, TIMESTAMPTZ, SMALLINT */
};
void leat_query_rows_init(struct query_rows *rows, struct leat_arena *arena, const struct query_column *columns,
                          uint32_t count);
/* Begins a row; every value is NULL until it is set. */
void leat_query_rows_add(struct query_rows *rows);
void leat_query_rows_text(struct query_rows *rows, uint32_t column, const char *text); /* NULL: stays NULL; copied */
void leat_query_rows_int(struct query_rows *rows, uint32_t column,
                         int64_t value); /* any integer type, BOOLEAN, TIMESTAMPTZ */
/* query_plan.c: rows of EXPLAIN out of the engine's plan in JSON; false when it is none. */
bool leat_query_plan_rows(struct leat_view text, struct query_rows *rows);
void leat_query_rows_double(struct query_rows *rows, uint32_t column, double value);
void leat_query_rows_null(struct query_rows *rows, uint32_t column); /* takes back what was set */
/* A column of SMALLINT[]. */
void leat_query_rows_smallints(struct query_rows *rows, uint32_t column, const int16_t *values, uint32_t count);

/* ---- dashboards (query_dashboard.c) ------------------------------------------------ */
/* {"title", "refresh_ms", "variables": […], "panels": […]} */
void leat_query_dashboard_json(const struct leat_dashboard_def *def, struct leat_buf *out);

/* ---- sessions (query_session.c) --------------------------------------------------- */
struct query_prepared {
        struct query_prepared *next;
        char *name;
        char *sql; /* the text behind AS */
};

/* DECLAREd and not closed. */
struct query_named {
        struct query_named *next;
        char *name;
        bool hold;
        struct query_stmt *stmt;
        struct query_cursor *cursor;
        const struct leat_batch *rows; /* being given out, from `row` on */
        uint32_t row;
};

/* Records of a topic that the running statement has skipped. */
struct query_skipped {
        char *topic;
        int64_t count;
};

#define QUERY_PIPELINES_MAX 64
#define QUERY_SKIPPED_MAX 16
struct query_session {
        struct query_session *next, *prev; /* under the query's sessions_mutex */
        struct leat_query *query;
        struct leat_pg_session_info info;
        struct leat_arena *arena; /* lives as long as the session */
        struct leat_conn *conn;   /* NULL until the first SELECT */
        struct leat_feed *feed;   /* NULL until needed: INSERT, freshness */
        struct leat_feed_writer *writer;
        enum leat_pg_txn txn;
        struct query_setting *settings;
        const struct leat_zone *zone; /* of the setting TimeZone; NULL: UTC */
        struct query_prepared *prepared;
        struct query_named *named;
        struct query_cursor *reader; /* whose result is read from conn; others get a connection of their own */
        struct leat_conn *running;   /* under mutex: what cancel interrupts */
        struct leat_feed *defining;  /* under mutex: the query's feed while this session defines something */
        _Atomic int64_t deadline_us; /* statement_timeout of the running statement; 0 = none */
        _Atomic bool timed_out;
        /* Positions that this session has written and its SELECTs wait for. */
        struct leat_tick_position *written;
        uint32_t written_count, written_cap;
        /* What the running statement was checked against, and its parameters (one row; NULL: none). */
        struct leat_sql_catalog *catalog;
        const struct leat_batch *params;
        /* Pictures that the running statement (or transaction) reads, one a pipeline. */
        struct leat_picture *pictures[QUERY_PIPELINES_MAX];
        uint32_t picture_count;
        _Atomic bool canceled;
        pthread_mutex_t mutex; /* guards what cancel touches */
        struct leat_view_sub *sub;
        struct leat_panel_sub *panel_sub;
        uint32_t next_partition; /* round robin of records without a key */
        struct query_skipped skipped[QUERY_SKIPPED_MAX];
        uint32_t skipped_count;
};

/* The engine, opened at first use. Thread: any. */
int leat_query_engine(struct leat_query *q, struct leat_engine **ret_engine, struct leat_error *err) LEAT_NODISCARD;
/* "canceling statement due to …" */
int leat_query_canceled(struct query_session *s, struct leat_error *err);
/* The session's connection to the engine, opened at first use; and another one. */
int leat_query_conn_open(struct query_session *s, struct leat_conn **ret_conn, struct leat_error *err) LEAT_NODISCARD;
int leat_query_session_conn(struct query_session *s, struct leat_error *err) LEAT_NODISCARD;
int leat_query_session_feed(struct query_session *s, struct leat_error *err) LEAT_NODISCARD;
/* The picture of @pipeline for the running statement, taken once. */
int leat_query_session_picture(struct query_session *s, const char *pipeline, struct leat_picture **ret_picture,
                               struct leat_error *err) LEAT_NODISCARD;
void leat_query_session_drop_pictures(struct query_session *s);
void leat_query_session_wrote(struct query_session *s, const struct leat_tick_position *position);

/* Waits as leat.freshness says until the view's pipeline covers what the statement must see. */
int leat_query_session_wait_fresh(struct query_session *s, const struct leat_object *view, struct leat_arena *arena,
                                  struct leat_error *err) LEAT_NODISCARD;
/* The door's calls about sessions. */
int leat_query_session_open(void *arg, const struct leat_pg_session_info *info, void **ret_session,
                            struct leat_error *err) LEAT_NODISCARD;
void leat_query_session_close(void *session);
enum leat_pg_txn leat_query_session_txn(void *session);
void leat_query_session_failed(void *session);
void leat_query_session_cancel(void *session);

/* Settings (query_setting.c). */
const char *leat_query_setting_get(const struct query_session *s, const char *name); /* NULL: unknown */
int leat_query_setting_set(struct query_session *s, const char *name, const char *value, bool local,
                           struct leat_error *err) LEAT_NODISCARD;
void leat_query_setting_reset(struct query_session *s, const char *name); /* NULL: all */
void leat_query_setting_list(const struct query_session *s, struct query_rows *rows);
void leat_query_setting_end_txn(struct query_session *s, bool commit);
int64_t leat_query_setting_duration_us(const struct query_session *s, const char *name);
void leat_query_setting_free(struct query_session *s);
/* From the startup packet: the door's call. */
int leat_query_setting_start(void *session, const char *name, const char *value, struct leat_error *err) LEAT_NODISCARD;
/* True when client_min_messages lets "NOTICE", "WARNING" or "INFO" through. */
bool leat_query_setting_wants(const struct query_session *s, const char *severity);
/* Sends a notice when the client wants it. */
void leat_query_notice(struct query_session *s, const char *severity, const char *message);

/* The zone of @name, kept by the query; NULL for UTC. LEAT_EINVAL when there is none (query_zone.c). */
int leat_query_zone(struct query_session *s, const char *name, const struct leat_zone **ret_zone, const char **ret_name,
                    struct leat_error *err) LEAT_NODISCARD;
void leat_query_zones_free(struct leat_query *q);

/* ---- statements (query_stmt.c) ------------------------------------------------------ */
struct query_stmt {
        struct query_session *session;
        struct leat_arena *arena;
        const char *text; /* the statement's text */
        struct leat_stmt stmt;
        struct leat_pg_desc desc;
        /* SELECT, COPY, INSERT */
        struct leat_sql_query sql;
        const char *engine_sql; /* views put in place */
        struct leat_plan *plan;
        const struct leat_object *topic; /* INSERT, REPLAY */
        const uint32_t *topic_columns;
        struct query_stmt *inner;   /* EXECUTE: the prepared one */
        uint64_t version;           /* of the catalog that it was prepared over */
        struct query_stmt *renewed; /* the same over a newer one (query_renew.c); may be NULL */
        uint32_t cursors;           /* open ones */
        bool uses_conn;
};

struct query_cursor {
        struct query_stmt *stmt;
        bool owns_stmt;
        struct leat_arena *arena;
        struct leat_conn *conn; /* of its own, while another result is read from the session's */
        struct leat_plan *plan; /* on it */
        const struct leat_batch *params;
        struct leat_result *result;    /* rows from the engine */
        const struct leat_batch *rows; /* or rows of our own, given out once */
        int (*next)(struct query_cursor *cursor, const struct leat_batch **ret_rows, struct leat_error *err);
        void (*close)(struct query_cursor *cursor);
        void *state;      /* of next and close */
        int64_t affected; /* INSERT; -1: count the rows */
        char tag[64];
};

int leat_query_stmt_new(struct query_session *s, const char *sql, const struct leat_type *hints, uint32_t hint_count,
                        struct query_stmt **ret_stmt, struct leat_error *err) LEAT_NODISCARD;
void leat_query_stmt_free(void *stmt);
/* @st as the catalog is now: itself, or prepared once more. @ret_own: the caller frees it. LEAT_EUNSUPPORTED: its columns
 * are others now; errors of preparing. (query_renew.c) */
int leat_query_stmt_current(struct query_stmt *st, struct query_stmt **ret_stmt, bool *ret_own,
                            struct leat_error *err) LEAT_NODISCARD;
int leat_query_catalog_version(struct query_session *s, uint64_t *ret_version, struct leat_error *err) LEAT_NODISCARD;
int leat_query_cursor_open(struct query_stmt *st, const struct leat_batch *params, struct query_cursor **ret_cursor,
                           struct leat_error *err) LEAT_NODISCARD;
int leat_query_cursor_next(struct query_cursor *cur, const struct leat_batch **ret_rows,
                           struct leat_error *err) LEAT_NODISCARD;
void leat_query_cursor_close(struct query_cursor *cur); /* NULL: nothing */

/* ---- DECLARE, FETCH, CLOSE (query_cursor.c) --------------------------------------------- */
int leat_query_declare_prepare(struct query_stmt *st, const struct leat_type *hints, uint32_t count,
                               struct leat_error *err) LEAT_NODISCARD;
int leat_query_declare_open(struct query_cursor *cur, const struct leat_batch *params,
                            struct leat_error *err) LEAT_NODISCARD;
int leat_query_fetch_prepare(struct query_stmt *st, struct leat_error *err) LEAT_NODISCARD;
int leat_query_fetch_open(struct query_cursor *cur, struct leat_error *err) LEAT_NODISCARD;
int leat_query_close_named(struct query_session *s, const char *name, struct leat_error *err) LEAT_NODISCARD;
/* Closes one cursor, or all (NULL), or all that are not WITH HOLD. */
void leat_query_named_close(struct query_session *s, const char *name, bool keep_held);
const struct leat_pg_desc *leat_query_named_describe(void *session, const char *name);

/* Each fills stmt->desc at prepare, and rows (or does its work) at open. */
int leat_query_select_prepare(struct query_stmt *st, struct leat_span body, const struct leat_type *hints,
                              uint32_t count, struct leat_error *err) LEAT_NODISCARD;
int leat_query_select_open(struct query_cursor *cur, const struct leat_batch *params,
                           struct leat_error *err) LEAT_NODISCARD;
int leat_query_insert_prepare(struct query_stmt *st, const struct leat_type *hints, uint32_t count,
                              struct leat_error *err) LEAT_NODISCARD;
int leat_query_insert_open(struct query_cursor *cur, const struct leat_batch *params,
                           struct leat_error *err) LEAT_NODISCARD;
int leat_query_replay_prepare(struct query_stmt *st, struct leat_error *err) LEAT_NODISCARD;
int leat_query_replay_open(struct query_cursor *cur, struct leat_error *err) LEAT_NODISCARD;
int leat_query_show_prepare(struct query_stmt *st, struct leat_error *err) LEAT_NODISCARD;
int leat_query_show_open(struct query_cursor *cur, struct leat_error *err) LEAT_NODISCARD;
int leat_query_explain_open(struct query_cursor *cur, struct leat_error *err) LEAT_NODISCARD;
int leat_query_subscribe_prepare(struct query_stmt *st, struct leat_error *err) LEAT_NODISCARD;
int leat_query_subscribe_open(struct query_cursor *cur, struct leat_error *err) LEAT_NODISCARD;
int leat_query_ddl_open(struct query_cursor *cur, bool check_only, struct leat_error *err) LEAT_NODISCARD;
/* Describes the columns of rows that we make: fills stmt->desc. */
void leat_query_desc_columns(struct query_stmt *st, const struct query_column *columns, uint32_t count);

/* ---- relations behind leat_scan (query_relation.c and others) ------------------------ */
extern const struct leat_relation_ops leat_query_relation_ops; /* arg: the query_session */

/* A running scan; the first member of each kind. */
struct query_scan {
        int (*next)(struct query_scan *scan, const struct leat_batch **ret_batch, struct leat_error *err);
        void (*close)(struct query_scan *scan);
};
int leat_query_topic_open(struct query_session *s, const struct leat_scan_key *key, const uint32_t *columns,
                          uint32_t count, struct query_scan **ret_scan, struct leat_error *err) LEAT_NODISCARD;
int leat_query_view_open(struct query_session *s, const struct leat_scan_key *key, const uint32_t *columns,
                         uint32_t count, struct query_scan **ret_scan, struct leat_error *err) LEAT_NODISCARD;
/* Columns of the graph's arrangement 0, named c0, c1 … */
void leat_query_arr_describe(const struct leat_stream_graph *graph, struct leat_arena *arena, uint32_t *ret_count,
                             const char ***ret_names, struct leat_type **ret_types);
/* Columns of the arrangement behind a view, named c0, c1 … */
int leat_query_view_describe(struct query_session *s, uint64_t view_id, struct leat_arena *arena, uint32_t *ret_count,
                             const char ***ret_names, struct leat_type **ret_types,
                             struct leat_error *err) LEAT_NODISCARD;
/* pg_catalog and information_schema (query_pgcatalog.c). */
extern const struct leat_relation_ops leat_query_system_ops; /* arg: the leat_query */
/* Puts "(SELECT … FROM leat_scan('arr …'))" in place of each view's leat_scan. */
int leat_query_views_inline(struct query_session *s, struct leat_arena *arena, const struct leat_sql_query *sql,
                            const char **ret_sql, struct leat_error *err) LEAT_NODISCARD;

/* The decoded graph of a materialized view, kept while its catalog version lives; memory from @arena. */
int leat_query_graph(const struct leat_object *view, struct leat_arena *arena, struct leat_stream_graph **ret_graph,
                     struct leat_error *err) LEAT_NODISCARD;
/* sql's compile callback. */
int leat_query_compile(void *arg, struct leat_arena *arena, const struct leat_sql_bound *bound,
                       const struct leat_view_def *def, struct leat_sql_compiled *ret_compiled,
                       struct leat_error *err) LEAT_NODISCARD;

/* ---- a number a record (query_places.c) ------------------------------------------------ */
struct query_places {
        uint64_t *places; /* 0 = free */
        int64_t *values;
        uint32_t count, size;
};
/* Partitions below 65,536, offsets below 2^48. */
uint64_t leat_query_place(int32_t partition, int64_t offset);
bool leat_query_places_find(const struct query_places *places, uint64_t place, int64_t *ret_value);
void leat_query_places_put(struct query_places *places, uint64_t place, int64_t value);
void leat_query_places_done(struct query_places *places);

/* ---- refused records (query_refused.c) ------------------------------------------------ */
struct leat_format_invalid;
struct query_refused *leat_query_refused_new(const struct leat_addr *kafka);
void leat_query_refused_free(struct query_refused *refused);
/* Takes copies of records that do not fit, to be put aside if they are not yet. Never waits. Thread: any. */
void leat_query_refused_add(struct query_refused *refused, const struct leat_feed_topic *topic,
                            const struct leat_topic_def *def, const struct leat_format_invalid *invalids,
                            uint32_t count);
/* Waits a moment until what was handed over of @topic is there. */
void leat_query_refused_wait(struct query_refused *refused, const char *topic);
/* A scan of the running statement has skipped @count records so far; and the NOTICE about it at the statement's end. */
void leat_query_session_skipped(struct query_session *s, const char *topic, int64_t count);
void leat_query_session_tell_skipped(struct query_session *s);

/* ---- panels (query_panel.c): callbacks of leat_panels --------------------------------- */
int leat_query_panel_run(void *arg, const struct leat_object *dashboard, uint32_t panel, const char *const *values,
                         struct leat_panel_answer *ret_answer, struct leat_error *err);
int leat_query_panel_moved(void *arg, const struct leat_object *dashboard, uint32_t panel, uint64_t *ret_moved,
                           struct leat_error *err);
/* Forgets all plans that were kept; before the panels' session closes. */
void leat_query_panel_plans_drop(struct leat_query *q);
const struct leat_object *leat_query_panel_dashboard(void *arg, const char *name, struct leat_arena *arena);

/* ---- SHOW FLOW (query_flow.c) ----------------------------------------------------------- */
struct query_flow *leat_query_flow_new(void);
void leat_query_flow_free(struct query_flow *flow);
/* Figures of a relation out of the stats files (query_flow.c), for SHOW. */
/* The jobs as the catalog has them, but LEAT_JOB_DOWN where the worker does not run. Thread: any. */
int leat_query_jobs(struct leat_query *query, const struct leat_snapshot *cat, struct leat_arena *arena,
                    struct leat_job **ret_jobs, uint32_t *ret_count, struct leat_error *err) LEAT_NODISCARD;
void leat_query_flow_rows(struct leat_query *query, const struct leat_snapshot *catalog, struct query_rows *rows);
extern const struct query_column leat_query_flow_columns[];
extern const uint32_t leat_query_flow_column_count;
int leat_query_partition_rows(struct query_session *s, const struct leat_snapshot *cat, struct query_rows *rows,
                              struct leat_error *err) LEAT_NODISCARD;
extern const struct query_column leat_query_partition_columns[];
extern const uint32_t leat_query_partition_column_count;

#endif
