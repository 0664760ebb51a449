/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of the server over real sockets: answers, refusals, files, hostile clients. */
#include "http_test_util.h"

struct held {
        struct leat_http_req *req; /* answered by the next request */
        _Atomic int count, aborted;
};

static void echo(struct leat_http_req *req, void *arg)
{
        struct leat_buf body = LEAT_BUF_INIT;
        const char *name, *value;
        (void)arg;
        leat_buf_printf(&body, "%s name=%s", leat_http_req_method(req), leat_http_req_param(req, "name"));
        for (int i = 0; leat_http_req_query_at(req, i, &name, &value); i++)
                leat_buf_printf(&body, " %s=%s", name, value);
        leat_buf_add_str(&body, " body=");
        leat_buf_add_view(&body, leat_http_req_body(req));
        leat_http_respond(req, 200, "text/plain", &body);
}

static void on_abort(void *arg)
{
        struct held *held = arg;
        held->req = NULL;
        atomic_fetch_add(&held->aborted, 1);
}

static void hold(struct leat_http_req *req, void *arg)
{
        struct held *held = arg;
        held->req = req;
        leat_http_req_on_abort(req, on_abort, held);
        atomic_fetch_add(&held->count, 1);
}

static void let_go(struct leat_http_req *req, void *arg)
{
        struct held *held = arg;
        if (held->req)
                leat_http_respond_error(held->req, 409, "a \"hint\"", "held");
        held->req = NULL;
        echo(req, arg);
}

static const struct leat_http_route ROUTES[] = {{"GET", "/echo/{name}/x", echo},
                                                {"POST", "/echo/{name}/x", echo},
                                                {"GET", "/hold", hold},
                                                {"GET", "/go", let_go}};
static const struct leat_http_file FILES[] = {
        {.path = "/index.html",
         .type = "text/html; charset=utf-8",
         .etag = "W/\"1\"",
         .data = {(const uint8_t *)"<p>", 3},
         .gzip = {(const uint8_t *)"zip", 3}},
};

static struct held the_held;
static const struct leat_http_opts OPTS = {.routes = ROUTES,
                                           .route_count = (int)LEAT_ARRAY_LEN(ROUTES),
                                           .files = FILES,
                                           .file_count = (int)LEAT_ARRAY_LEN(FILES),
                                           .arg = &the_held};

static void becomes(_Atomic int *value, int want)
{
        for (int i = 0; i < PATIENCE_MS && atomic_load(value) != want; i++)
                leat_os_sleep_us(1000);
        CHECK_INT(atomic_load(value), want);
}

static void start(struct test_http *test)
{
        test_http_start(test, &OPTS);
        test_http_run(test);
}

/* The answer must begin with "HTTP/1.1 <status>" and hold @part. */
static void check_answer(struct test_http *test, const char *request, int status, const char *part)
{
        struct leat_buf buf = LEAT_BUF_INIT;
        char want[32];
        int fd = test_http_dial(test);
        test_http_say(test, fd, request);
        shutdown(fd, SHUT_WR);
        const char *got = test_http_hear(fd, NULL, &buf);
        snprintf(want, sizeof(want), "HTTP/1.1 %d ", status);
        if (strncmp(got, want, strlen(want)) != 0 || !strstr(got, part))
                leat_test_fail(__FILE__, __LINE__, "not %d with \"%s\" for %s\nbut %s", status, part, request, got);
        CHECK(strstr(got, "Content-Security-Policy: default-src 'none'"));
        CHECK(strstr(got, "X-Content-Type-Options: nosniff"));
        close(fd);
        leat_buf_done(&buf);
}

LEAT_TEST(http_answers)
{
        struct test_http test;
        start(&test);
        check_answer(&test, "GET /echo/a%2Fb%20c/x?q=1%262&r HTTP/1.1\r\n%H\r\n", 200, "GET name=a/b c q=1&2 r= body=");
        check_answer(&test, "HEAD /echo/a/x HTTP/1.1\r\n%H\r\n", 200, "Content-Length: 17\r\n\r\n");
        check_answer(&test,
                     "POST /echo/a/x HTTP/1.1\r\n%HContent-Type: application/json; charset=utf-8\r\nTransfer-Encoding: "
                     "chunked\r\n\r\n2\r\n{}\r\n1\r\n!\r\n0\r\n\r\n",
                     200, "body={}!");
        check_answer(&test, "GET /nothing HTTP/1.1\r\n%H\r\n", 404, "\"message\"");
        check_answer(&test, "GET /echo//x HTTP/1.1\r\n%H\r\n", 404, "");
        check_answer(&test, "GET /echo/a/x/y HTTP/1.1\r\n%H\r\n", 404, "");
        check_answer(&test, "DELETE /echo/a/x HTTP/1.1\r\n%H\r\n", 405, "Allow: GET, POST\r\n");
        check_answer(&test, "POST /index.html HTTP/1.1\r\n%H\r\n", 405, "Allow: GET, HEAD\r\n");
        test_http_stop(&test);
}

LEAT_TEST(http_browsers_of_other_sites_are_kept_out)
{
        struct test_http test;
        start(&test);
        check_answer(&test, "GET /go HTTP/1.1\r\nHost: evil.example:80\r\n\r\n", 421, "use localhost");
        check_answer(&test, "GET http://evil.example/go HTTP/1.1\r\n%H\r\n", 421, "");
        check_answer(&test, "GET /go HTTP/1.1\r\n\r\n", 400, "no Host");
        check_answer(&test, "GET /go HTTP/1.1\r\n%H%H\r\n", 400, "more than one Host");
        check_answer(&test, "GET /go HTTP/1.1\r\n%HOrigin: http://evil.example\r\n\r\n", 403, "other sites");
        check_answer(&test, "POST /echo/a/x HTTP/1.1\r\n%HOrigin: null\r\nContent-Length: 2\r\n\r\n{}", 403, "");
        check_answer(&test, "POST /echo/a/x HTTP/1.1\r\n%HContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}", 415,
                     "Connection: close");
        check_answer(&test, "POST /echo/a/x HTTP/1.1\r\n%HContent-Type: application/jsonx\r\nContent-Length: 0\r\n\r\n",
                     415, "");
        test_http_stop(&test);
}

LEAT_TEST(http_bad_requests)
{
        struct test_http test;
        start(&test);
        check_answer(&test, "GARBAGE\r\n\r\n", 400, "Connection: close");
        check_answer(&test, "GET /a%zz HTTP/1.1\r\n%H\r\n", 400, "escape");
        check_answer(&test, "GET /go?x=%00 HTTP/1.1\r\n%H\r\n", 400, "escape");
        check_answer(&test,
                     "POST /echo/a/x HTTP/1.1\r\n%HContent-Type: application/json\r\nContent-Length: 9999999\r\n\r\n",
                     413, "larger than allowed");
        check_answer(&test, "GET / HTTP/3.0\r\n%H\r\n", 505, "HTTP/1.1");
        test_http_stop(&test);
}

LEAT_TEST(http_files)
{
        struct test_http test;
        start(&test);
        check_answer(&test, "GET / HTTP/1.1\r\n%HAccept-Encoding: br\r\n\r\n", 200, "\r\n\r\n<p>");
        check_answer(&test, "GET /index.html HTTP/1.1\r\n%HAccept-Encoding: deflate, gzip\r\n\r\n", 200,
                     "Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nzip");
        check_answer(&test, "GET / HTTP/1.1\r\n%HAccept-Encoding: gzip;q=0\r\n\r\n", 200, "\r\n\r\n<p>");
        check_answer(&test, "GET / HTTP/1.1\r\n%HIf-None-Match: W/\"1\"\r\n\r\n", 304, "ETag: W/\"1\"\r\n");
        check_answer(&test, "GET /no.js HTTP/1.1\r\n%H\r\n", 404, "");
        test_http_stop(&test);
}

LEAT_TEST(http_files_of_a_folder)
{
        struct test_http test;
        struct leat_http_opts opts = OPTS;
        struct leat_error err;
        char path[512];
        char dir[400];
        snprintf(dir, sizeof(dir), "%s/www", leat_test_tmpdir());
        opts.file_dir = dir;
        CHECK_OK(leat_os_mkdirs(dir, &err), &err);
        snprintf(path, sizeof(path), "%s/secret.js", leat_test_tmpdir());
        CHECK_OK(leat_os_replace_file(path, leat_view_str("secret"), false, &err), &err);
        snprintf(path, sizeof(path), "%s/a.js", opts.file_dir);
        CHECK_OK(leat_os_replace_file(path, leat_view_str("x()"), false, &err), &err);
        snprintf(path, sizeof(path), "%s/empty.css", opts.file_dir);
        CHECK_OK(leat_os_replace_file(path, leat_view_str(""), false, &err), &err);
        test_http_start(&test, &opts);
        test_http_run(&test);
        check_answer(&test, "GET /a.js HTTP/1.1\r\n%H\r\n", 200, "text/javascript");
        check_answer(&test, "GET /empty.css HTTP/1.1\r\n%H\r\n", 200, "Content-Length: 0\r\n\r\n");
        check_answer(&test, "GET /../secret.js HTTP/1.1\r\n%H\r\n", 404, "");
        check_answer(&test, "GET /%2e%2e/secret.js HTTP/1.1\r\n%H\r\n", 404, "");
        check_answer(&test, "GET /..%2fsecret.js HTTP/1.1\r\n%H\r\n", 404, "");
        check_answer(&test, "GET //a.js HTTP/1.1\r\n%H\r\n", 404, "");
        test_http_stop(&test);
}

LEAT_TEST(http_pipelined_and_held)
{
        struct test_http test;
        struct leat_buf buf = LEAT_BUF_INIT;
        start(&test);
        int fd = test_http_dial(&test), other = test_http_dial(&test);
        int before = atomic_load(&the_held.count);
        test_http_say(&test, fd, "GET /hold HTTP/1.1\r\n%H\r\nGET /echo/second/x HTTP/1.1\r\n%H\r\n");
        becomes(&the_held.count, before + 1);
        test_http_say(&test, other, "GET /go HTTP/1.1\r\n%H\r\n");
        const char *got = test_http_hear(fd, "name=second", &buf);
        CHECK(strncmp(got, "HTTP/1.1 409 ", 13) == 0);
        CHECK(strstr(got, "{\"error\":{\"message\":\"held\",\"hint\":\"a \\\"hint\\\"\"}}"));
        for (int i = 0; i < 200; i++) /* many more than one read takes */
                test_http_say(&test, fd, "GET /echo/many/x HTTP/1.1\r\n%H\r\nGET /echo/many/x?y HTTP/1.1\r\n%H\r\n");
        test_http_say(&test, fd, "GET /echo/last/x HTTP/1.1\r\n%H\r\n");
        got = test_http_hear(fd, "name=last", &buf);
        int answers = 0;
        for (const char *at = got; (at = strstr(at, "HTTP/1.1 200")) != NULL; at++)
                answers++;
        CHECK_INT(answers, 401);
        close(fd);
        close(other);
        leat_buf_done(&buf);
        test_http_stop(&test);
}

LEAT_TEST(http_body_of_a_refused_request_is_no_request)
{
        struct test_http test;
        struct leat_buf buf = LEAT_BUF_INIT;
        start(&test);
        int fd = test_http_dial(&test);
        test_http_say(&test, fd,
                      "POST /nothing HTTP/1.1\r\n%HContent-Length: 200\r\n\r\nGET /echo/hidden/x HTTP/1.1\r\n%H\r\n");
        const char *got = test_http_hear(fd, NULL, &buf);
        CHECK(strncmp(got, "HTTP/1.1 404 ", 13) == 0);
        CHECK(!strstr(got, "hidden") && !strstr(got, "HTTP/1.1 200"));
        close(fd);
        leat_buf_done(&buf);
        test_http_stop(&test);
}

LEAT_TEST(http_answers_that_nobody_reads_hold_requests_back)
{
        enum { ROUNDS = 20000 };
        struct test_http test;
        char text[128];
        static char in[65536 + 1];
        start(&test);
        int fd = test_http_dial(&test), len, sent = 0, answers = 0, matched = 0;
        len = snprintf(text, sizeof(text), "GET /echo/a/x HTTP/1.1\r\nHost: localhost:%u\r\n\r\n", test.addr.port);
        struct leat_buf out = LEAT_BUF_INIT;
        for (int i = 0; i < ROUNDS; i++)
                leat_buf_add(&out, text, (size_t)len);
        for (int quiet = 0; quiet < 50;) { /* send all that it takes, read nothing */
                ssize_t put = send(fd, out.data + sent, out.len - (size_t)sent, MSG_NOSIGNAL | MSG_DONTWAIT);
                sent += put > 0 ? (int)put : 0;
                quiet = put > 0 ? 0 : quiet + 1;
                if (put <= 0)
                        leat_os_sleep_us(2000);
        }
        while (answers < ROUNDS) {
                struct pollfd ready = {.fd = fd, .events = POLLIN};
                CHECK(poll(&ready, 1, PATIENCE_MS) > 0);
                ssize_t got = recv(fd, in, sizeof(in) - 1, 0);
                CHECK(got > 0);
                for (ssize_t i = 0; i < got; i++) { /* each answer ends with "body="; nothing else has a "dy=" */
                        static const char END[] = "dy=";
                        matched = in[i] == END[matched] ? matched + 1 : in[i] == END[0];
                        answers += matched == 3;
                        matched = matched == 3 ? 0 : matched;
                }
                ssize_t put = send(fd, out.data + sent, out.len - (size_t)sent, MSG_NOSIGNAL | MSG_DONTWAIT);
                sent += put > 0 ? (int)put : 0;
        }
        close(fd);
        leat_buf_done(&out);
        test_http_stop(&test);
}

LEAT_TEST(http_abort_is_told)
{
        struct test_http test;
        start(&test);
        int before = atomic_load(&the_held.aborted), held = atomic_load(&the_held.count);
        int fd = test_http_dial(&test);
        test_http_say(&test, fd, "GET /hold HTTP/1.1\r\n%H\r\n");
        becomes(&the_held.count, held + 1);
        close(fd);
        becomes(&the_held.aborted, before + 1);
        check_answer(&test, "GET /go HTTP/1.1\r\n%H\r\n", 200, "name=");
        test_http_stop(&test);
}

LEAT_TEST(http_slow_requests_and_100_continue)
{
        struct test_http test;
        struct leat_buf buf = LEAT_BUF_INIT;
        struct leat_error err;
        CHECK_OK(leat_param_set("http.request.time", "200 ms", &err), &err);
        start(&test);
        int loris = test_http_dial(&test);
        test_http_say(&test, loris, "GET / HT");
        CHECK(strncmp(test_http_hear(loris, NULL, &buf), "HTTP/1.1 408 ", 13) == 0);
        CHECK_OK(leat_param_set("http.request.time", "20 s", &err), &err);
        int fd = test_http_dial(&test);
        test_http_say(&test, fd,
                      "POST /echo/a/x HTTP/1.1\r\n%HContent-Type: application/json\r\nExpect: 100-continue\r\n"
                      "Content-Length: 2\r\n\r\n");
        CHECK_STR(test_http_hear(fd, "\r\n\r\n", &buf), "HTTP/1.1 100 Continue\r\n\r\n");
        test_http_say(&test, fd, "{}");
        test_http_hear(fd, "body={}", &buf);
        close(fd);
        close(loris);
        leat_buf_done(&buf);
        test_http_stop(&test);
}
