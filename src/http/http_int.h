/* SPDX-License-Identifier: Apache-2.0 */
/* leat/http: what its files share. */
#ifndef LEAT_HTTP_INT_H
#define LEAT_HTTP_INT_H

#include <http_parser.h>

#include "leat/http.h"

#define HTTP_HEADERS_MAX 64
#define HTTP_QUERY_MAX 64
#define HTTP_PARAMS_MAX 4

struct http_field {
        const char *name;
        const char *value;
};

/* ---- http_request.c: bytes to one request, no sockets ---- */

/* Where a piece of the head lies in `text`. */
struct http_span {
        uint32_t at, len;
};

enum http_step {
        HTTP_STEP_MORE,  /* needs more bytes */
        HTTP_STEP_HEAD,  /* the head is there: check it, then feed on */
        HTTP_STEP_WHOLE, /* the request is whole */
        HTTP_STEP_BAD,   /* see status and problem */
};

/* Reads one request after the other. Holds memory only while one is under way. */
struct http_reader {
        http_parser parser;
        size_t body_max;
        struct leat_buf text; /* URI, names and values, each NUL-terminated */
        struct leat_buf body;
        struct http_span uri;
        struct http_span names[HTTP_HEADERS_MAX], values[HTTP_HEADERS_MAX];
        int header_count;
        bool in_value;
        bool began; /* a byte of the request has come */
        bool is_head_done;
        bool is_whole;
        bool keep_alive;
        int status; /* of HTTP_STEP_BAD */
        const char *problem;
};

void leat_http_reader_init(struct http_reader *reader, size_t body_max);
void leat_http_reader_done(struct http_reader *reader);
/* Makes it ready for the next request. */
void leat_http_reader_next(struct http_reader *reader);
enum http_step leat_http_reader_feed(struct http_reader *reader, struct leat_view data, size_t *ret_used);
/* NULL when there is none. */
const char *leat_http_reader_header(const struct http_reader *reader, const char *name);

/* Decodes %xx (and + as a space when @plus) in place of a copy in @arena. NULL for
 * a bad escape or a NUL byte. */
char *leat_http_decode(struct leat_arena *arena, const char *text, size_t len, bool plus);
/* True when @host (a Host header) is one of our addresses. */
bool leat_http_host_is_ours(const char *host, uint16_t port);
bool leat_http_origin_is_ours(const char *origin, uint16_t port);

/* ---- http_server.c ---- */

struct leat_http_req {
        struct http_conn *conn;
        struct leat_arena *arena;
        const char *method;
        const char *path;     /* decoded */
        const char *raw_path; /* up to the query */
        const struct leat_http_route *route;
        struct http_field params[HTTP_PARAMS_MAX];
        int param_count;
        struct http_field query[HTTP_QUERY_MAX];
        int query_count;
        struct leat_buf headers; /* extra ones of the answer */
        bool is_head;
        bool must_close; /* a body may still come that nobody will read */
        void (*on_abort)(void *arg);
        void *abort_arg;
};

struct http_stream;

struct http_conn {
        struct leat_http *http;
        struct leat_net_conn *net;
        struct http_conn *prev, *next;
        struct http_reader *reader; /* NULL between requests */
        struct leat_http_req *req;  /* from the end of its head to its answer */
        bool is_busy;               /* req is with its handler */
        bool is_held;               /* reading waits until answers have left */
        struct http_stream *stream; /* instead of requests */
};

struct leat_http {
        struct leat_loop *loop;
        struct leat_listener *listener;
        struct leat_http_opts opts;
        struct http_conn *conns;
        struct leat_http_hub *hubs;
        struct leat_timer *beat; /* keeps streams and what is between awake */
        bool is_freed;
        char date[40];
        int64_t date_us;
        _Atomic uint64_t *requests[6]; /* by first digit of the status */
        _Atomic uint64_t *streams;
        _Atomic uint64_t *skips;
};

/* Starts an answer: status line and all headers but the length; without the empty line. */
void leat_http_head(struct leat_http_req *req, struct leat_buf *out, int status, const char *type);
/* Ends the request @req after its answer was queued. */
void leat_http_req_end(struct leat_http_req *req);
/* Ends it and leaves its connection to @stream. */
void leat_http_req_to_stream(struct leat_http_req *req, struct http_stream *stream);
/* Sends head, Content-Length and body (a reference; not for HEAD). */
void leat_http_send(struct leat_http_req *req, struct leat_buf *head, struct leat_block *block, struct leat_view body);
void leat_http_count(struct leat_http *http, int status);

/* ---- http_check.c: what a request must fulfil before it is read further ---- */
struct http_refusal {
        int status; /* 0: none */
        const char *message;
        const char *hint;
};
/* Takes the head apart (path, query, route) and checks it. */
struct http_refusal leat_http_check(struct leat_http_req *req);

/* ---- http_static.c ---- */
/* True when GET on @path would give a file. */
bool leat_http_file_exists(const struct leat_http *http, const char *path);

/* ---- http_hub.c ---- */
struct http_stream {
        struct leat_http_hub *hub; /* NULL: it is ending */
        struct http_stream *prev, *next;
        struct leat_net_conn *net;
        uint64_t seq; /* last event that it was given */
        bool is_slow;
};
void leat_http_stream_drained(struct http_stream *stream);
void leat_http_stream_closed(struct http_stream *stream);
void leat_http_hubs_beat(struct leat_http *http);

#endif
