/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/http: an HTTP/1.1 server on one loop, with server-sent events.
 *
 * A request reaches its handler when it is whole and has passed the checks that
 * every request must pass (see leat_http_new). The handler answers it once, at
 * once or later. If the client leaves before that, on_abort is called and the
 * request is gone.
 *
 * Thread: that of the loop, for everything here. Nothing blocks.
 */
#ifndef LEAT_HTTP_H
#define LEAT_HTTP_H

#include "leat/base.h"
#include "leat/net.h"

struct leat_http;
struct leat_http_req;

/* ---- the server ------------------------------------------------------------- */
/* A file in the program; tools/embed.py makes tables of them. */
struct leat_http_file {
        const char *path; /* "/index.html" */
        const char *type; /* "text/html; charset=utf-8" */
        const char *etag; /* with quotes */
        struct leat_view data;
        struct leat_view gzip; /* empty: not worth it */
};

struct leat_http_route {
        const char *method; /* "GET" answers HEAD too */
        const char *path;   /* "/api/dashboards/{name}/stream"; {name} is one segment */
        void (*handle)(struct leat_http_req *req, void *arg);
};

struct leat_http_opts {
        uint16_t port; /* of the listening socket: part of our addresses */
        const struct leat_http_route *routes;
        int route_count;
        const struct leat_http_file *files; /* what GET answers when no route fits */
        int file_count;
        const char *file_dir;     /* what this folder has goes before `files`; NULL: none */
        void *arg;                /* of the handlers */
        struct leat_stats *stats; /* may be NULL */
};

/* Serves the listening socket @fd, which it owns from now on, also when it fails.
 * Every request must name us in Host (localhost, 127.0.0.1, [::1], with our
 * port), else 421; an Origin, if there is one, must be the same, else 403; POST,
 * PUT, PATCH and DELETE must say Content-Type: application/json, else 415. So no
 * page of another site reads or changes anything through the user's browser.
 * Tables and texts in @opts must outlive the server. */
int leat_http_new(struct leat_loop *loop, int fd, const struct leat_http_opts *opts, struct leat_http **ret_http,
                  struct leat_error *err) LEAT_NODISCARD;
/* Stops accepting and closes all connections (on_abort, on_close of streams are
 * called on the loop's next turns). Free the loop after it. */
void leat_http_free(struct leat_http *http);

/* ---- requests ---------------------------------------------------------------- */
/* All texts live until the request is answered. */
const char *leat_http_req_method(const struct leat_http_req *req);
/* Percent-decoded path, as sent. */
const char *leat_http_req_path(const struct leat_http_req *req);
/* Value of {@name} in the route; never NULL for a name that the route has. */
const char *leat_http_req_param(const struct leat_http_req *req, const char *name);
/* Decoded value of ?@name=, the first of several; NULL when it is not there. */
const char *leat_http_req_query(const struct leat_http_req *req, const char *name);
/* The @i-th pair of the query; false beyond the last. */
bool leat_http_req_query_at(const struct leat_http_req *req, int i, const char **ret_name, const char **ret_value);
/* Value of a header, any case; NULL when it is not there. */
const char *leat_http_req_header(const struct leat_http_req *req, const char *name);
struct leat_view leat_http_req_body(const struct leat_http_req *req);
/* Called instead of an answer when the client leaves; the request must not be
 * used any more after it. */
void leat_http_req_on_abort(struct leat_http_req *req, void (*fn)(void *arg), void *arg);

/* ---- answers: exactly one for each request ------------------------------------ */
/* A header of the answer to come; no line breaks in it. */
void leat_http_req_answer_header(struct leat_http_req *req, const char *name, const char *value);
/* Takes the bytes of @body, which becomes empty. */
void leat_http_respond(struct leat_http_req *req, int status, const char *type, struct leat_buf *body);
/* {"error":{"message":...,"hint":...}}; @hint may be NULL. */
void leat_http_respond_error(struct leat_http_req *req, int status, const char *hint, const char *fmt, ...)
        LEAT_PRINTF(4, 5);
/* The file @path of opts.files (or of opts.file_dir), with ETag and gzip; 404 when there is none. */
void leat_http_respond_file(struct leat_http_req *req, const char *path);
/* HTTP status for a code of ours. */
int leat_http_status(int code);

/* ---- server-sent events --------------------------------------------------------- */
/*
 * A hub sends one series of events to many viewers. Each event is encoded once
 * and shared. The hub remembers the state that a new viewer must be given: for
 * each key the last snapshot and what came after it. An event that a later one
 * has made needless is forgotten, so whoever has seen the events up to some point
 * is brought up to date by what is remembered from there on:
 *
 *   new viewer      all that is remembered, then events as they come
 *   Last-Event-ID   what is remembered after it (all, when it is not one of ours)
 *   slow viewer     gets nothing more once opts.slow_bytes wait for it; when it has
 *                   read them all, what is remembered after its last event: it
 *                   skips, and never lags behind
 */
struct leat_http_hub;

enum leat_http_event {
        LEAT_HTTP_SNAPSHOT, /* replaces all that is remembered of its key */
        LEAT_HTTP_PATCH,    /* is remembered behind it */
        LEAT_HTTP_NOTE,     /* replaces the last note of its key and name */
};

struct leat_http_hub_opts {
        size_t slow_bytes; /* 0: http.stream.slow.bytes */
        /* The number of viewers has changed. */
        void (*on_viewers)(void *arg, int viewers);
        void *arg;
};

struct leat_http_hub *leat_http_hub_new(struct leat_http *http, const struct leat_http_hub_opts *opts);
/* Ends the streams of all viewers. NULL is allowed. Before leat_http_free. */
void leat_http_hub_free(struct leat_http_hub *hub);
/* Answers @req with the stream. */
void leat_http_hub_join(struct leat_http_hub *hub, struct leat_http_req *req);
/* Sends one event: "id: @tick.<sequence>", "event: @name", "data: @data". */
void leat_http_hub_send(struct leat_http_hub *hub, enum leat_http_event kind, int key, int64_t tick, const char *name,
                        struct leat_view data);
/* Forgets all of the state. Viewers stay. */
void leat_http_hub_reset(struct leat_http_hub *hub);
int leat_http_hub_viewers(const struct leat_http_hub *hub);
/* Bytes that a new viewer would get, of snapshots and of what came after them. */
size_t leat_http_hub_snapshot_bytes(const struct leat_http_hub *hub);
size_t leat_http_hub_patch_bytes(const struct leat_http_hub *hub);

#endif
