/* SPDX-License-Identifier: Apache-2.0 */
/* leat/api: what its files share. Thread: the loop's, for everything. */
#ifndef LEAT_API_INT_H
#define LEAT_API_INT_H

#include "leat/api.h"
#include "leat/http.h"

#define API_PATCH_LIMIT ((size_t)256 * 1024)

/* ---- api_pgclient.c: an asynchronous client of the PostgreSQL protocol ---- */
struct api_pg;

struct api_pg_error {
        char severity[16]; /* ERROR, FATAL, NOTICE, WARNING ... */
        char sqlstate[6];
        char message[1024];
        char detail[1024];
        char hint[512];
        int position; /* character in the statement, from 1; 0: none */
};

struct api_pg_column {
        const char *name;
        uint32_t type; /* OID */
};

/* Any may be NULL. None is called inside a call of this module, nor after
 * api_pg_close; each may call api_pg_close. */
struct api_pg_ops {
        /* Ready for a query: after connecting and after each query. */
        void (*on_ready)(void *arg);
        /* A statement gives rows. */
        void (*on_columns)(void *arg, const struct api_pg_column *columns, int count);
        /* NULL data: NULL. */
        void (*on_row)(void *arg, const struct leat_view *values, int count);
        /* COPY … TO STDOUT begins; brings one message, mostly one line. */
        void (*on_copy_begin)(void *arg);
        void (*on_copy)(void *arg, struct leat_view data);
        /* A statement is done: "SELECT 3". */
        void (*on_command)(void *arg, const char *tag);
        void (*on_notice)(void *arg, const struct api_pg_error *notice);
        /* The query failed; on_ready follows. */
        void (*on_error)(void *arg, const struct api_pg_error *error);
        /* The connection is gone, or never came. Do not use it any more. */
        void (*on_closed)(void *arg, const struct api_pg_error *error);
};

/* Connects as user and database "leat". Never NULL. */
struct api_pg *leat_api_pg_open(struct leat_loop *loop, const struct leat_addr *addr, const struct api_pg_ops *ops,
                                void *arg);
/* Sends a query (one or more statements); only when it is ready. */
void leat_api_pg_query(struct api_pg *pg, const char *sql);
/* Asks the server to stop the query that runs. */
void leat_api_pg_cancel(struct api_pg *pg);
/* Says goodbye. NULL is allowed. */
void leat_api_pg_close(struct api_pg *pg);

/* ---- api_value.c: values of PostgreSQL as JSON ---- */
const char *leat_api_type_name(uint32_t type, char scratch[24]);
void leat_api_value_json(struct leat_buf *out, uint32_t type, struct leat_view value);
/* {"message":…,"sqlstate":…,"position":…,"hint":…,"detail":…} */
void leat_api_error_json(struct leat_buf *out, const struct api_pg_error *error);
int leat_api_error_status(const struct api_pg_error *error);
/* Answers @req with it; @is_address: what does not exist is what the address names, so 404. */
void leat_api_error_respond(struct leat_http_req *req, const struct api_pg_error *error, bool is_address);
/* Appends @text as a literal in quotes, as a name in double quotes. */
void leat_api_sql_literal(struct leat_buf *out, const char *text);
void leat_api_sql_name(struct leat_buf *out, const char *text);
/* Splits one line of COPY's text format into at most @max fields, decoded in
 * @scratch; NULL data: NULL. Returns how many; -1 when there are more. */
int leat_api_copy_split(struct leat_view line, struct leat_buf *scratch, struct leat_view *fields, int max);

/* ---- api_ask.c: small questions of our own, one after the other on one connection ---- */
struct api_rows {
        struct leat_arena *arena;
        int column_count;
        const char **columns;
        uint32_t *types;
        int row_count;
        int row_cap;
        struct leat_view **rows;
};
/* Exactly one of @rows and @error is not NULL; both live during the call. */
typedef void api_answer_fn(void *arg, const struct api_rows *rows, const struct api_pg_error *error);
struct api_asker;
struct api_asker *leat_api_asker_new(struct leat_loop *loop, const struct leat_addr *addr);
/* Questions that wait are answered with an error. */
void leat_api_asker_free(struct api_asker *asker);
void leat_api_ask(struct api_asker *asker, const char *sql, api_answer_fn *fn, void *arg);
/* -1 when there is none. */
int leat_api_rows_column(const struct api_rows *rows, const char *name);
/* NULL data when the value is NULL or the column -1. */
struct leat_view leat_api_rows_at(const struct api_rows *rows, int row, int column);

/* ---- the role ---- */
struct leat_api {
        struct leat_loop *loop;
        struct leat_http *http;
        struct leat_api_options options;
        struct api_asker *asker;
        struct api_flow *flow;
        struct api_board *boards;
        int sql_calls; /* under way */
        bool is_ending;
};

void leat_api_sql_post(struct leat_http_req *req, void *arg);
void leat_api_ready_get(struct leat_http_req *req, void *arg);
void leat_api_metrics_get(struct leat_http_req *req, void *arg);
void leat_api_flow_get(struct leat_http_req *req, void *arg);
void leat_api_flow_stream_get(struct leat_http_req *req, void *arg);
void leat_api_dashboards_get(struct leat_http_req *req, void *arg);
void leat_api_dashboard_get(struct leat_http_req *req, void *arg);
void leat_api_board_stream_get(struct leat_http_req *req, void *arg);
struct api_flow *leat_api_flow_new(struct leat_api *api);
void leat_api_flow_free(struct api_flow *flow);
void leat_api_boards_free(struct leat_api *api);

/* console/ as a table; made by tools/embed.py. */
extern const struct leat_http_file leat_api_files[];
extern const int leat_api_file_count;

#endif
