/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/http: what a request must fulfil before its body is read.
 *
 * Loopback is not safe from browsers: any page of any site may send requests to
 * 127.0.0.1, and with a name that it lets point there (DNS rebinding) may read the
 * answers. So Host must be one of our own addresses, an Origin must be our own,
 * and what changes something must be JSON, which a page of another site cannot
 * send without being asked for leave (a CORS preflight, that we never grant).
 */
#include "http_int.h"

#include <stdio.h>
#include <strings.h>

static const struct http_refusal FINE = {0};

static struct http_refusal refuse(int status, const char *message, const char *hint)
{
        return (struct http_refusal){.status = status, .message = message, .hint = hint};
}

/* ---- URI ---- */

static struct http_refusal query_parse(struct leat_http_req *req, const char *at, size_t len)
{
        const char *end = at + len;
        while (at < end) {
                const char *amp = memchr(at, '&', (size_t)(end - at));
                const char *stop = amp ? amp : end;
                const char *eq = memchr(at, '=', (size_t)(stop - at));
                if (stop > at) {
                        if (req->query_count == HTTP_QUERY_MAX)
                                return refuse(400, "the query has more than 64 parameters", NULL);
                        const char *name_end = eq ? eq : stop, *value = eq ? eq + 1 : stop;
                        struct http_field *field = &req->query[req->query_count++];
                        field->name = leat_http_decode(req->arena, at, (size_t)(name_end - at), true);
                        field->value = leat_http_decode(req->arena, value, (size_t)(stop - value), true);
                        if (!field->name || !field->value)
                                return refuse(400, "the query has a bad %-escape", NULL);
                }
                at = amp ? amp + 1 : end;
        }
        return FINE;
}

static struct http_refusal uri_parse(struct leat_http_req *req)
{
        const struct http_reader *reader = req->conn->reader;
        const char *uri = (const char *)reader->text.data;
        struct http_parser_url url;
        http_parser_url_init(&url);
        if (http_parser_parse_url(uri, reader->uri.len, 0, &url) != 0 || !(url.field_set & (1 << UF_PATH)))
                return refuse(400, "the URI is not valid", NULL);
        const char *host = leat_http_reader_header(reader, "host");
        if (url.field_set & (1 << UF_HOST)) { /* an absolute URI counts instead of Host */
                size_t from = url.field_data[UF_HOST].off, to = url.field_data[UF_PATH].off;
                if (uri[from - 1] == '[')
                        from--;
                host = leat_arena_strndup(req->arena, uri + from, to - from);
        }
        if (!host)
                return refuse(400, "the request has no Host header", NULL);
        if (!leat_http_host_is_ours(host, req->conn->http->opts.port))
                return refuse(421, "this server does not go by the name in Host",
                              "use localhost, 127.0.0.1 or [::1], with the port that it listens on");
        req->raw_path = leat_arena_strndup(req->arena, uri + url.field_data[UF_PATH].off, url.field_data[UF_PATH].len);
        req->path = leat_http_decode(req->arena, req->raw_path, strlen(req->raw_path), false);
        if (!req->path)
                return refuse(400, "the path has a bad %-escape", NULL);
        if (url.field_set & (1 << UF_QUERY))
                return query_parse(req, uri + url.field_data[UF_QUERY].off, url.field_data[UF_QUERY].len);
        return FINE;
}

/* ---- routes ---- */

static size_t segment_len(const char *at)
{
        return strcspn(at, "/");
}

/* Compares @path with @pattern segment by segment and decodes {parameters}. */
static bool route_fits(struct leat_http_req *req, const char *pattern, const char *path)
{
        req->param_count = 0;
        while (*pattern == '/' && *path == '/') {
                pattern++;
                path++;
                size_t pattern_len = segment_len(pattern), path_len = segment_len(path);
                if (*pattern == '{') {
                        if (path_len == 0 || req->param_count == HTTP_PARAMS_MAX)
                                return false;
                        struct http_field *param = &req->params[req->param_count++];
                        param->name = leat_arena_strndup(req->arena, pattern + 1, pattern_len - 2);
                        param->value = leat_http_decode(req->arena, path, path_len, false);
                } else if (pattern_len != path_len || memcmp(pattern, path, path_len) != 0) {
                        return false;
                }
                pattern += pattern_len;
                path += path_len;
        }
        return *pattern == '\0' && *path == '\0';
}

static struct http_refusal route_find(struct leat_http_req *req)
{
        const struct leat_http_opts *opts = &req->conn->http->opts;
        const char *method = req->is_head ? "GET" : req->method;
        char allow[128] = "";
        for (int i = 0; i < opts->route_count; i++) {
                const struct leat_http_route *route = &opts->routes[i];
                if (!route_fits(req, route->path, req->raw_path))
                        continue;
                if (strcmp(route->method, method) == 0) {
                        req->route = route;
                        return FINE;
                }
                size_t len = strlen(allow);
                snprintf(allow + len, sizeof(allow) - len, "%s%s", len > 0 ? ", " : "", route->method);
        }
        if (allow[0] == '\0' && leat_http_file_exists(req->conn->http, req->path)) {
                if (strcmp(method, "GET") == 0)
                        return FINE;
                snprintf(allow, sizeof(allow), "GET, HEAD");
        }
        if (allow[0] == '\0')
                return refuse(404, "there is nothing at this address", "GET / shows the console");
        leat_http_req_answer_header(req, "Allow", allow);
        return refuse(405, "this address does not take that method", "the header Allow names those that it takes");
}

/* ---- all of it ---- */

static bool is_json(const char *type)
{
        static const char JSON[] = "application/json";
        size_t len = sizeof(JSON) - 1;
        return type && strncasecmp(type, JSON, len) == 0 && (type[len] == '\0' || strchr("; \t", type[len]) != NULL);
}

static int header_count(const struct http_reader *reader, const char *name)
{
        int count = 0;
        for (int i = 0; i < reader->header_count; i++)
                count += strcasecmp((const char *)reader->text.data + reader->names[i].at, name) == 0;
        return count;
}

struct http_refusal leat_http_check(struct leat_http_req *req)
{
        const struct http_reader *reader = req->conn->reader;
        if (header_count(reader, "host") > 1)
                return refuse(400, "the request has more than one Host header", NULL);
        struct http_refusal refusal = uri_parse(req);
        if (refusal.status != 0)
                return refusal;
        const char *origin = leat_http_reader_header(reader, "origin");
        if (origin && !leat_http_origin_is_ours(origin, req->conn->http->opts.port))
                return refuse(403, "pages of other sites may not use this server",
                              "open the console at its own address, or send no Origin header");
        refusal = route_find(req);
        if (refusal.status != 0)
                return refusal;
        bool changes = !req->is_head && strcmp(req->method, "GET") != 0;
        if (changes && !is_json(leat_http_reader_header(reader, "content-type")))
                return refuse(415, "the request must be JSON", "send the header Content-Type: application/json");
        return FINE;
}
