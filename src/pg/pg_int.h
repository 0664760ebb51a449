/* SPDX-License-Identifier: Apache-2.0 */
/* leat/pg: what its files share. */
#ifndef LEAT_PG_INT_H
#define LEAT_PG_INT_H

#include <pthread.h>

#include "leat/pg.h"

/* ---- values (pg_value.c) -------------------------------------------------- */
/* Appends the value with its length in front, as in DataRow; NULL is length -1. @binary false: text. */
void leat_pg_value_put(const struct leat_column *col, uint32_t row, bool binary, const struct leat_zone *zone,
                       struct leat_buf *out);
/* Reads a parameter of @type into row 0 of a fresh column; text values stay VARCHAR and are cast by the backend. */
int leat_pg_value_get(struct leat_arena *arena, struct leat_view bytes, bool is_null, bool binary, uint32_t oid,
                      const struct leat_type *type, struct leat_column *ret_col, struct leat_error *err) LEAT_NODISCARD;
/* A value as text that the engine casts to @type, or a bytea's bytes (pg_param.c). @oid: the client's type, 0 = none. */
int leat_pg_param_text(struct leat_arena *arena, struct leat_view bytes, bool binary, uint32_t oid,
                       const struct leat_type *type, struct leat_view *ret, struct leat_error *err) LEAT_NODISCARD;
/* A binary numeric as decimal digits. */
int leat_pg_numeric_text(struct leat_view bytes, struct leat_buf *out, struct leat_error *err) LEAT_NODISCARD;
/* Appends one row in COPY's text or CSV form as @desc asks for, newline included. */
void leat_pg_copy_row(const struct leat_pg_desc *desc, const struct leat_batch *batch, uint32_t row,
                      const struct leat_zone *zone, struct leat_buf *out);
void leat_pg_copy_header(const struct leat_pg_desc *desc, struct leat_buf *out);

/* ---- messages (pg_message.c) ---------------------------------------------- */
enum { LEAT_PG_PROTOCOL_3 = 196608, LEAT_PG_CANCEL = 80877102, LEAT_PG_SSL = 80877103, LEAT_PG_GSS = 80877104 };
enum { LEAT_PG_STARTUP_MAX = 10000, LEAT_PG_PARAMS_MAX = 65535 };

/* Starts a message of @type and returns where its length goes; finish it with msg_end. */
size_t leat_pg_msg_begin(struct leat_buf *out, char type);
void leat_pg_msg_end(struct leat_buf *out, size_t at);
void leat_pg_msg_cstr(struct leat_buf *out, const char *text);
void leat_pg_msg_error(struct leat_buf *out, const char *severity, const char *sqlstate, const char *message,
                       const char *hint, int position);
void leat_pg_msg_row_desc(struct leat_buf *out, const struct leat_pg_desc *desc, const uint16_t *formats,
                          uint32_t format_count);
void leat_pg_msg_status(struct leat_buf *out, const char *name, const char *value);
/* Reads a NUL-terminated text; sets the cursor's error when there is no NUL. */
const char *leat_pg_read_cstr(struct leat_cursor *cur);

struct leat_pg_startup {
        uint32_t version;
        const char *user, *database;
        struct leat_buf unknown; /* names of _pq_. options: answered by NegotiateProtocolVersion; NUL-terminated each */
        uint32_t unknown_count;
        /* Settings: those of `options` first, then the packet's other parameters; memory of the body and the arena. */
        struct leat_pg_start_setting {
                const char *name, *value;
        } *settings;
        uint32_t setting_count;
};
enum { LEAT_PG_START_SETTINGS_MAX = 256 };
/* Decodes what follows the length of a StartupMessage. */
int leat_pg_startup_decode(struct leat_arena *arena, struct leat_view body, struct leat_pg_startup *ret,
                           struct leat_error *err) LEAT_NODISCARD;

/* One Bind message; views point into it. */
struct leat_pg_bind {
        const char *portal, *stmt;
        uint32_t format_count, param_count, result_format_count;
        uint16_t *formats, *result_formats;
        struct leat_view *params; /* data NULL: NULL */
};
int leat_pg_bind_decode(struct leat_arena *arena, struct leat_view body, struct leat_pg_bind *ret,
                        struct leat_error *err) LEAT_NODISCARD;

/* ---- sessions ---------------------------------------------------------------- */
/* Types of our own in the session's line, outside of what a client's byte can say. */
enum {
        LEAT_PG_MSG_STARTUP = 256, /* the startup packet, without its length */
        LEAT_PG_MSG_TOO_BIG
}; /* stands for a message over pg.message.bytes: its type (QPBFd), its length (be32) */

/* One message of the client, waiting for its turn. */
struct leat_pg_msg {
        struct leat_pg_msg *next;
        uint16_t type;
        uint32_t len;
        uint8_t body[];
};

struct leat_pg_session;

/* The door. */
struct leat_pg {
        struct leat_pg_options options;
        struct leat_listener *listener;
        struct leat_pg_session *sessions; /* loop thread only */
        int32_t next_pid;
        struct leat_pg_pool *pool;
        bool stopping;
        _Atomic uint64_t *errors, *queries, *connections;
};

/* Works through one message on a worker thread (pg_query.c); false ends the session. */
bool leat_pg_handle(struct leat_pg_session *session, const struct leat_pg_msg *msg);
/* Frees statements and portals. */
void leat_pg_objects_free(struct leat_pg_session *session);
/* Sends what is in session->out; blocks while the client takes nothing. False when the connection is gone. */
bool leat_pg_flush(struct leat_pg_session *session);

struct leat_pg_stmt {
        struct leat_pg_stmt *next;
        char *name;
        uint32_t refs;  /* the session and each portal: portals outlive the name of their statement */
        void *handle;   /* of the backend; NULL: empty statement */
        uint32_t *oids; /* of parameters, as the client declared them; 0 = not */
        uint32_t oid_count;
};
struct leat_pg_portal {
        struct leat_pg_portal *next;
        char *name;
        struct leat_pg_stmt *stmt;
        void *cursor;
        const struct leat_pg_desc *desc;
        uint16_t *formats;
        uint32_t format_count;
        struct leat_arena *arena; /* parameters, formats */
        struct leat_batch *params;
        const struct leat_batch *rows; /* the batch that is being sent */
        uint32_t row;
        int64_t sent;
        bool done;
};

#define LEAT_PG_SESSION_MAGIC 0x50475353u
struct leat_pg_session {
        uint32_t magic;
        struct leat_pg *pg;
        struct leat_net_conn *conn; /* loop thread only */
        int32_t pid;
        int32_t secret;
        /* under mutex */
        pthread_mutex_t mutex;
        pthread_cond_t drained;
        struct leat_pg_msg *first, *last;
        size_t waiting_bytes;
        bool running; /* a worker has it */
        bool gone;    /* connection closed */
        bool paused;
        bool ending;         /* Terminate was read, or a fatal error was sent */
        size_t queued_bytes; /* handed to the loop and not yet taken by the socket */
        /* the loop's */
        bool started;
        size_t skip_bytes;    /* of a message that is too large: still to come, and thrown away */
        uint8_t skip_head[5]; /* its type and length */
        struct leat_pg_session *next, *prev;
        struct leat_pg_session *pool_next; /* the pool's, under its mutex */
        /* the worker's */
        char *user;
        void *backend;
        struct leat_buf out;
        bool skip_to_sync; /* an error in the extended protocol: everything until Sync is dropped */
        struct leat_pg_stmt *stmts;
        struct leat_pg_portal *portals;
        struct leat_arena *arena; /* one message */
        _Atomic uint32_t refs;
};

/* ---- worker threads (pg_pool.c) ------------------------------------------- */
/* Gives the session to a thread, which calls leat_pg_session_work. Thread: loop. */
struct leat_pg_pool *leat_pg_pool_new(int threads_max);
void leat_pg_pool_add(struct leat_pg_pool *pool, struct leat_pg_session *session);
/* No more work is begun; true when every thread has ended within @wait_us. */
bool leat_pg_pool_end(struct leat_pg_pool *pool, int64_t wait_us);
/* Waits until every thread has ended. */
void leat_pg_pool_free(struct leat_pg_pool *pool);
/* Works through the messages that wait (pg_session.c). Thread: a pool thread. */
void leat_pg_session_work(struct leat_pg_session *session);

#endif
