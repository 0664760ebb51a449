/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/catalog: the definitions that all roles share, in DATA/catalog.db; the
 * only module that sees sqlite3.h.
 *
 *   objects     topics, views, materialized views, dashboards: id (never used
 *               twice), the user's text, the checked definition, state
 *   reads       which object reads which
 *   intents     the journal of statements that touch broker and catalog
 *   version     raised by every change; roles poll it
 *   applied     which version each role process works with
 *   pipelines   leases: who may write a pipeline's tick topic
 *   jobs        state of each view's job, written by workers
 *   arrangement ids, never used twice
 *
 * `query` is the only writer of objects, reads and intents. Workers write
 * leases, jobs, applied and take arrangement ids.
 *
 * Thread: a handle belongs to one thread at a time. Every call may block for
 * the disk (synchronous=FULL) and up to the busy timeout for another writer.
 * Errors: LEAT_EIO, LEAT_EFULL (retriable), LEAT_EBUSY (retriable),
 * LEAT_ECORRUPT names the file.
 */
#ifndef LEAT_CATALOG_H
#define LEAT_CATALOG_H

#include "leat/base.h"
#include "leat/column.h"

struct leat_catalog;

/* The numbers are on disk: add at the end only. */
enum leat_object_kind {
        LEAT_OBJECT_TOPIC = 1,
        LEAT_OBJECT_VIEW = 2,      /* a name for a query, inlined where it is used */
        LEAT_OBJECT_MATVIEW = 3,   /* kept up to date by a job */
        LEAT_OBJECT_DASHBOARD = 4, /* names of dashboards are apart from those of relations */
};
enum leat_object_state {
        LEAT_STATE_CREATING = 1,
        LEAT_STATE_READY = 2,
        LEAT_STATE_DROPPING = 3,
        LEAT_STATE_FAILED = 4,
};
enum leat_topic_format { LEAT_FORMAT_JSON = 1, LEAT_FORMAT_RAW = 2 };
enum leat_emit { LEAT_EMIT_CHANGES = 1, LEAT_EMIT_ON_WINDOW_CLOSE = 2 };
enum leat_late { LEAT_LATE_APPLY = 1, LEAT_LATE_DROP = 2, LEAT_LATE_GRACE = 3, LEAT_LATE_REEMIT = 4 };
enum leat_start { LEAT_START_EARLIEST = 1, LEAT_START_LATEST = 2, LEAT_START_TIME = 3 };

struct leat_column_def {
        const char *name;
        struct leat_type type;
        bool not_null;
        bool added; /* by ALTER: a value that does not fit reads as NULL, so that records stay as valid as they were */
};

struct leat_topic_def {
        uint8_t topic_id[16]; /* the broker's id of the topic; zeros while creating */
        bool adopted;         /* the topic was there before CREATE TOPIC */
        uint8_t format;       /* enum leat_topic_format */
        uint32_t column_count;
        const struct leat_column_def *columns;
        uint32_t key_count; /* PRIMARY KEY: indexes into columns; 0 = append topic */
        const uint32_t *keys;
        int32_t watermark_column; /* -1: none */
        int64_t watermark_delay_us;
        int32_t partitions;
        int64_t retention_us;    /* -1: the broker's default */
        int64_t retention_bytes; /* -1: the broker's default */
        int64_t idle_timeout_us; /* default 5 s */
        int64_t max_ahead_us;    /* default 1 minute */
};

/* Plain and materialized views. */
struct leat_view_def {
        uint32_t column_count;
        const struct leat_column_def *columns;
        struct leat_view body; /* the SELECT as the user wrote it, without EMIT */
        /* materialized views only: */
        uint32_t key_count; /* unique key of the rows, by column index; 0 = none known */
        const uint32_t *keys;
        const char *pipeline;
        uint8_t emit;  /* enum leat_emit */
        uint8_t late;  /* enum leat_late */
        uint8_t start; /* enum leat_start */
        int64_t start_us;
        int64_t grace_us;        /* LEAT_LATE_GRACE */
        int64_t retention_us;    /* -1: none */
        int64_t max_state_bytes; /* -1: default */
        bool paused;             /* wanted by ALTER … PAUSE */
        struct leat_view graph;  /* stream's encoding */
};

enum leat_panel_type {
        LEAT_PANEL_LINE = 1,
        LEAT_PANEL_BAR = 2,
        LEAT_PANEL_TABLE = 3,
        LEAT_PANEL_NUMBER = 4,
        LEAT_PANEL_HEATMAP = 5,
};
struct leat_panel_def {
        const char *name;
        const char *title; /* the name when none was given */
        uint8_t type;      /* enum leat_panel_type */
        const char *sql;   /* with $variable in it */
        const char *x;     /* column name or NULL: the page chooses */
        uint32_t y_count;
        const char *const *y;
        const char *series; /* or NULL */
        const char *unit;   /* or NULL */
        bool has_warn, has_alarm;
        double warn, alarm;
        int32_t at[4]; /* x, y, w, h on 12 columns; always filled */
};
struct leat_variable_def {
        const char *name;
        const char *sql;           /* first column = the choices; NULL: free text */
        const char *default_value; /* NULL: the first choice */
};
struct leat_dashboard_def {
        const char *title;
        int64_t refresh_us;
        uint32_t variable_count;
        const struct leat_variable_def *variables;
        uint32_t panel_count;
        const struct leat_panel_def *panels;
};

struct leat_object {
        uint64_t id;
        uint8_t kind;  /* enum leat_object_kind */
        uint8_t state; /* enum leat_object_state */
        const char *name;
        const char *sql;    /* the whole statement, as the user wrote it */
        const char *reason; /* of LEAT_STATE_FAILED; else NULL */
        int64_t created_us, changed_us;
        uint64_t version;                           /* of its last change */
        const struct leat_topic_def *topic;         /* TOPIC */
        const struct leat_view_def *view;           /* VIEW, MATVIEW */
        const struct leat_dashboard_def *dashboard; /* DASHBOARD */
        uint32_t read_count;
        const uint64_t *reads; /* ids of the objects that it reads directly */
};

/* All objects at one version; objects sorted by name, relations before dashboards. */
struct leat_snapshot {
        uint64_t version;
        uint32_t object_count;
        const struct leat_object *objects;
};

/* ---- open ------------------------------------------------------------------- */
/* Opens DATA/catalog.db, made when missing. A damaged file, or one of another format version, is refused by name. */
int leat_catalog_open(const char *path, struct leat_catalog **ret_cat, struct leat_error *err) LEAT_NODISCARD;
void leat_catalog_close(struct leat_catalog *cat);
/* Checks the whole file (leat verify). */
int leat_catalog_verify(struct leat_catalog *cat, struct leat_error *err) LEAT_NODISCARD;

/* ---- reading ---------------------------------------------------------------- */
/* The version now. Cheap when nothing changed: made to be polled every 20 ms. */
int leat_catalog_version(struct leat_catalog *cat, uint64_t *ret_version, struct leat_error *err) LEAT_NODISCARD;
/* Everything, in one read transaction; memory from @arena. */
int leat_catalog_load(struct leat_catalog *cat, struct leat_arena *arena, const struct leat_snapshot **ret_snapshot,
                      struct leat_error *err) LEAT_NODISCARD;
/* NULL when there is none. By name: exact, else the only one that differs in case alone. @dashboard chooses the name
 * space. */
const struct leat_object *leat_snapshot_find(const struct leat_snapshot *snapshot, const char *name, bool dashboard);
const struct leat_object *leat_snapshot_get(const struct leat_snapshot *snapshot, uint64_t id);
/* Column index by name (exact, else case-insensitive), -1 when there is none. */
int leat_columns_find(const struct leat_column_def *columns, uint32_t count, const char *name);
/* "topic", "view", "materialized view", "dashboard". */
const char *leat_object_kind_name(int kind);
const char *leat_object_state_name(int state);
const char *leat_panel_type_name(int type); /* "LINE" … */

/* ---- writing (query only) ----------------------------------------------------- */
/* One transaction of changes; commit raises the version by one. */
int leat_catalog_begin(struct leat_catalog *cat, struct leat_error *err) LEAT_NODISCARD;
int leat_catalog_commit(struct leat_catalog *cat, uint64_t *ret_version, struct leat_error *err) LEAT_NODISCARD;
void leat_catalog_rollback(struct leat_catalog *cat);
/* Writes @object: a new one when id is 0 (*ret_id tells its id), else it replaces the one with this id. LEAT_EEXISTS
 * when the name is taken. */
int leat_catalog_put(struct leat_catalog *cat, const struct leat_object *object, uint64_t *ret_id,
                     struct leat_error *err) LEAT_NODISCARD;
int leat_catalog_delete(struct leat_catalog *cat, uint64_t id, struct leat_error *err) LEAT_NODISCARD;

/* Journal: what a statement is about to do outside the catalog. Added in the transaction that marks the object, removed
 * in the one that ends the statement; what is left at start belongs to a statement that a crash cut off. */
enum leat_intent_kind { LEAT_INTENT_CREATE = 1, LEAT_INTENT_ALTER = 2, LEAT_INTENT_DROP = 3 };
struct leat_intent {
        uint64_t id;
        uint8_t kind; /* enum leat_intent_kind */
        uint64_t object_id;
        struct leat_view payload; /* the new definition (leat_object_encode) for ALTER */
        int64_t at_us;
};
int leat_catalog_intent_add(struct leat_catalog *cat, const struct leat_intent *intent, uint64_t *ret_id,
                            struct leat_error *err) LEAT_NODISCARD;
int leat_catalog_intent_remove(struct leat_catalog *cat, uint64_t id, struct leat_error *err) LEAT_NODISCARD;
int leat_catalog_intents(struct leat_catalog *cat, struct leat_arena *arena, struct leat_intent **ret_intents,
                         uint32_t *ret_count, struct leat_error *err) LEAT_NODISCARD;
/* The definition part of an object as bytes (docs/formats.md), and back. Decoding bounds everything. */
void leat_object_encode(const struct leat_object *object, struct leat_buf *out);
int leat_object_decode(struct leat_arena *arena, int kind, struct leat_view bytes, struct leat_object *ret_object,
                       struct leat_error *err) LEAT_NODISCARD;

/* ---- roles: which version they work with ---------------------------------------- */
/* "This process has applied @version." One row a process; @role is "query", "worker:main" … */
int leat_catalog_applied_set(struct leat_catalog *cat, const char *role, int pid, uint64_t version,
                             struct leat_error *err) LEAT_NODISCARD;
/* Waits until every living process whose role starts with one of @roles has applied @version or has gone (its pid does
 * not exist; its row is then removed). LEAT_ETIMEOUT names the one that has not. */
int leat_catalog_applied_wait(struct leat_catalog *cat, const char *const *roles, uint32_t role_count, uint64_t version,
                              int64_t timeout_us, struct leat_error *err) LEAT_NODISCARD;
/* Forgets a process (clean end). */
int leat_catalog_applied_remove(struct leat_catalog *cat, const char *role, int pid,
                                struct leat_error *err) LEAT_NODISCARD;

/* ---- pipelines -------------------------------------------------------------------- */
struct leat_lease {
        const char *pipeline;
        uint64_t incarnation;
        int pid;
        int64_t taken_us;
};
/* Takes the pipeline: the next incarnation number, in one transaction. */
int leat_catalog_lease_take(struct leat_catalog *cat, const char *pipeline, int pid, uint64_t *ret_incarnation,
                            struct leat_error *err) LEAT_NODISCARD;
int leat_catalog_leases(struct leat_catalog *cat, struct leat_arena *arena, struct leat_lease **ret_leases,
                        uint32_t *ret_count, struct leat_error *err) LEAT_NODISCARD;
/* @count new arrangement ids, *ret_first and following; never given twice. */
int leat_catalog_arrangement_ids(struct leat_catalog *cat, uint32_t count, uint64_t *ret_first,
                                 struct leat_error *err) LEAT_NODISCARD;

/* ---- jobs -------------------------------------------------------------------------- */
/* DOWN and STARTING are never stored: readers say it of a job whose worker does not run, or has not written yet. */
enum leat_job_state {
        LEAT_JOB_RUNNING = 1,
        LEAT_JOB_FILLING = 2,
        LEAT_JOB_PAUSED = 3,
        LEAT_JOB_FAILED = 4,
        LEAT_JOB_DOWN = 5,
        LEAT_JOB_STARTING = 6
};
struct leat_job {
        uint64_t view_id;
        const char *pipeline;
        uint8_t state;        /* enum leat_job_state */
        const char *reason;   /* why paused or failed; "" */
        const char *progress; /* "42 % of 1,000,000 records"; "" */
        int64_t changed_us;
};
/* Writes the row of job->view_id. Does not raise the version. A fenced worker must not call it: pass the incarnation,
 * LEAT_EFENCED when the pipeline has a newer one. */
int leat_catalog_job_set(struct leat_catalog *cat, const struct leat_job *job, uint64_t incarnation,
                         struct leat_error *err) LEAT_NODISCARD;
int leat_catalog_jobs(struct leat_catalog *cat, struct leat_arena *arena, struct leat_job **ret_jobs,
                      uint32_t *ret_count, struct leat_error *err) LEAT_NODISCARD;
const char *leat_job_state_name(int state);

#endif
