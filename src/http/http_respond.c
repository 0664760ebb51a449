/* SPDX-License-Identifier: Apache-2.0 */
/* leat/http: answers. Every answer, errors too, carries the security headers. */
#include "http_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Nothing from elsewhere, nothing inline, no frames: the console is static
 * modules, styles and pictures from this server, and talks to this server only. */
#define SECURITY_HEADERS \
        "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " \
        "font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; " \
        "frame-ancestors 'none'\r\n" \
        "X-Content-Type-Options: nosniff\r\n" \
        "Referrer-Policy: no-referrer\r\n" \
        "Cross-Origin-Resource-Policy: same-origin\r\n" \
        "Cross-Origin-Opener-Policy: same-origin\r\n"

static const char *status_text(int status)
{
        switch (status) {
#define XX(num, name, string) \
        case num: \
                return #string;
                HTTP_STATUS_MAP(XX)
#undef XX
        default:
                return "Unknown";
        }
}

static const char *date_text(struct leat_http *http)
{
        int64_t now_us = leat_loop_now_us(http->loop);
        if (http->date[0] == '\0' || now_us - http->date_us >= 500 * 1000) {
                time_t now = (time_t)(leat_os_now_us() / 1000000);
                struct tm utc;
                gmtime_r(&now, &utc);
                strftime(http->date, sizeof(http->date), "%a, %d %b %Y %H:%M:%S GMT", &utc);
                http->date_us = now_us;
        }
        return http->date;
}

void leat_http_head(struct leat_http_req *req, struct leat_buf *out, int status, const char *type)
{
        struct leat_http *http = req->conn->http;
        const struct http_reader *reader = req->conn->reader;
        bool closes = req->must_close || !reader->keep_alive;
        leat_buf_printf(out, "HTTP/1.1 %d %s\r\nDate: %s\r\n", status, status_text(status), date_text(http));
        if (type)
                leat_buf_printf(out, "Content-Type: %s\r\n", type);
        leat_buf_add_str(out, SECURITY_HEADERS);
        leat_buf_add_view(out, leat_buf_view(&req->headers));
        if (closes)
                leat_buf_add_str(out, "Connection: close\r\n");
        else if (reader->parser.http_minor == 0)
                leat_buf_add_str(out, "Connection: keep-alive\r\n");
        leat_http_count(http, status);
}

void leat_http_send(struct leat_http_req *req, struct leat_buf *head, struct leat_block *block, struct leat_view body)
{
        if (body.len > 0 || strstr(leat_buf_cstr(head), " 304 ") == NULL)
                leat_buf_printf(head, "Content-Length: %zu\r\n", body.len);
        leat_buf_add_str(head, "\r\n");
        struct leat_net_conn *net = req->conn->net;
        leat_net_conn_write_buf(net, head);
        if (!req->is_head)
                leat_net_conn_write_block(net, block, body);
        leat_http_req_end(req);
}

void leat_http_req_answer_header(struct leat_http_req *req, const char *name, const char *value)
{
        if (strpbrk(value, "\r\n")) /* a value made of input must not start a header of its own */
                return;
        leat_buf_printf(&req->headers, "%s: %s\r\n", name, value);
}

void leat_http_respond(struct leat_http_req *req, int status, const char *type, struct leat_buf *body)
{
        struct leat_buf head = LEAT_BUF_INIT;
        leat_http_head(req, &head, status, type);
        leat_buf_add_str(&head, "Cache-Control: no-store\r\n");
        if (body->len == 0) {
                leat_buf_done(body);
                *body = (struct leat_buf)LEAT_BUF_INIT;
                leat_http_send(req, &head, NULL, leat_view_of(NULL, 0));
                return;
        }
        struct leat_block *block = leat_block_from_buf(body);
        leat_http_send(req, &head, block, leat_view_of(block->data, block->len));
        leat_block_unref(block);
}

void leat_http_respond_error(struct leat_http_req *req, int status, const char *hint, const char *fmt, ...)
{
        char message[512];
        va_list args;
        va_start(args, fmt);
        vsnprintf(message, sizeof(message), fmt, args);
        va_end(args);
        struct leat_buf body = LEAT_BUF_INIT;
        leat_buf_add_str(&body, "{\"error\":{\"message\":");
        leat_buf_json_str(&body, leat_view_str(message));
        if (hint) {
                leat_buf_add_str(&body, ",\"hint\":");
                leat_buf_json_str(&body, leat_view_str(hint));
        }
        leat_buf_add_str(&body, "}}\n");
        leat_http_respond(req, status, "application/json", &body);
}

int leat_http_status(int code)
{
        switch (code) {
        case LEAT_OK:
                return 200;
        case LEAT_EINVAL:
        case LEAT_ERANGE:
        case LEAT_ESYNTAX:
        case LEAT_ETYPE:
        case LEAT_EAMBIGUOUS:
        case LEAT_ENOCOLUMN:
        case LEAT_ENOFUNCTION:
        case LEAT_EUNSUPPORTED:
        case LEAT_EPROTO:
                return 400;
        case LEAT_EDENIED:
                return 403;
        case LEAT_ENOTFOUND:
        case LEAT_ENORELATION:
                return 404;
        case LEAT_EEXISTS:
        case LEAT_ECONFLICT:
        case LEAT_EDEPENDENT:
        case LEAT_EDUPLICATE:
        case LEAT_ESEQUENCE:
        case LEAT_EFENCED:
                return 409;
        case LEAT_ETOOBIG:
                return 413;
        case LEAT_EFULL:
                return 507;
        case LEAT_EBUSY:
        case LEAT_ECLOSED:
        case LEAT_ECANCELED:
                return 503;
        case LEAT_ETIMEOUT:
                return 504;
        default:
                return 500;
        }
}
