/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/pg: the PostgreSQL door. Speaks the frontend/backend protocol 3.0 (and
 * negotiates newer minor versions down), simple and extended queries, text and
 * binary values, portals, COPY … TO STDOUT, cancel. It knows messages and
 * values; what a statement means is the backend's business.
 *
 * Threads: one loop owns all sockets. A session that has a message to work on
 * gets a worker thread until it has none left; a backend session is therefore
 * used by one thread at a time and may block. Threads are made on demand
 * (pg.threads at most), so idle connections cost no thread.
 *
 * Source of the rules: PostgreSQL documentation, "Frontend/Backend Protocol".
 */
#ifndef LEAT_PG_H
#define LEAT_PG_H

#include "leat/base.h"
#include "leat/column.h"
#include "leat/net.h"

/* What a prepared statement looks like from outside. Memory belongs to the backend. */
struct leat_pg_desc {
        uint32_t param_count;
        const struct leat_type *params; /* LEAT_T_INVALID: unknown, sent as text */
        uint32_t column_count;          /* 0: returns no rows */
        const char *const *names;
        const struct leat_type *columns;
        bool copy_out; /* COPY … TO STDOUT: rows are `COPY text`, made from the columns */
        bool copy_csv;
        bool copy_header;
        char copy_delimiter;
        const char *copy_null; /* what stands for NULL; NULL: the format's own, \N or nothing */
};

enum leat_pg_txn { LEAT_PG_IDLE = 'I', LEAT_PG_IN_TXN = 'T', LEAT_PG_FAILED = 'E' };

struct leat_pg_session_info {
        const char *user;
        int pid; /* as the client was told it, for cancel */
        /* Sends a NOTICE (severity "NOTICE", "WARNING" or "INFO"). Thread: inside a call of the backend. */
        void (*notice)(void *door, const char *severity, const char *message, const char *hint);
        /* Tells the client that a reported setting has changed (ParameterStatus). */
        void (*report)(void *door, const char *name, const char *value);
        void *door;
};

/* The one who understands statements; every call may block. */
struct leat_pg_backend {
        int (*session_open)(void *arg, const struct leat_pg_session_info *info, void **ret_session,
                            struct leat_error *err);
        void (*session_close)(void *session);
        /* Splits text into statements; memory from @arena. Offsets are bytes into @sql. */
        int (*split)(void *session, struct leat_arena *arena, const char *sql, uint32_t *ret_count,
                     struct leat_view **ret_parts, struct leat_error *err);
        /* Prepares one statement. @param_hints: types that the client named, LEAT_T_INVALID when it did not. */
        int (*prepare)(void *session, const char *sql, const struct leat_type *param_hints, uint32_t hint_count,
                       void **ret_stmt, struct leat_error *err);
        const struct leat_pg_desc *(*describe)(void *stmt);
        void (*stmt_free)(void *stmt);
        /* Starts it; @params is a batch of one row with one column for each parameter (NULL when there are none). */
        int (*open)(void *stmt, const struct leat_batch *params, void **ret_cursor, struct leat_error *err);
        /* Next rows (valid until the next call), NULL at the end. */
        int (*next)(void *cursor, const struct leat_batch **ret_rows, struct leat_error *err);
        /* "SELECT", "INSERT 0", "CREATE TOPIC" …; @ret_counts true when a row count follows; @ret_rows that count when
         * it is not the number of rows given out (-1). Called at the end. */
        const char *(*tag)(void *cursor, bool *ret_counts, int64_t *ret_rows);
        void (*close)(void *cursor);
        enum leat_pg_txn (*txn)(void *session);
        /* An error was reported to the client: the transaction has failed. */
        void (*failed)(void *session);
        /* Makes the running call return LEAT_ECANCELED. Thread: any, also when nothing runs. */
        void (*cancel)(void *session);
        /* A setting from the startup packet, before the first statement; what it sets is the session's default. */
        int (*start_setting)(void *session, const char *name, const char *value, struct leat_error *err);
        /* A setting's value, NULL when there is none of that name. */
        const char *(*setting)(void *session, const char *name);
        /* The zone in which TIMESTAMPTZ is written as text; NULL: UTC. */
        const struct leat_zone *(*zone)(void *session);
        /* A cursor of SQL (DECLARE) by its name, which clients describe as a portal; NULL: there is none. */
        const struct leat_pg_desc *(*describe_cursor)(void *session, const char *name);
};

struct leat_pg;
struct leat_pg_options {
        struct leat_loop *loop;
        int listen_fd; /* owned from now on */
        const struct leat_pg_backend *backend;
        void *backend_arg;
        struct leat_stats *stats;
};

/* Starts serving. Thread: before the loop runs, or on it. */
int leat_pg_start(const struct leat_pg_options *options, struct leat_pg **ret_pg,
                  struct leat_error *err) LEAT_NODISCARD;
/* Refuses new connections, cancels what runs, tells every client that the server ends, and waits for the threads. The
 * loop has to run on for a moment, so that this is sent. Thread: the loop's, or any while it does not run. */
void leat_pg_stop(struct leat_pg *pg);
/* Frees the door; after leat_pg_stop and after the loop was freed (which closes the connections and so the sessions). */
void leat_pg_free(struct leat_pg *pg);

/* Five characters of the SQLSTATE of one of our error codes. */
const char *leat_pg_sqlstate(int code);
/* PostgreSQL's type oid for a column type. */
uint32_t leat_pg_type_oid(const struct leat_type *type);
/* Bytes of a fixed-width type on the wire, -1 for variable ones (pg_type.typlen). */
int16_t leat_pg_type_len(const struct leat_type *type);
/* The type behind an oid; LEAT_T_INVALID when we have none. */
struct leat_type leat_pg_type_of_oid(uint32_t oid);

#endif
