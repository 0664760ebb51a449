/* SPDX-License-Identifier: Apache-2.0 */
/* leat/http: what its tests share: a server in a thread, blocking clients. */
#ifndef LEAT_HTTP_TEST_UTIL_H
#define LEAT_HTTP_TEST_UTIL_H

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http_int.h"
#include "leat/test.h"

/* How long a test waits for what must come at once: a busy machine is no reason to fail. */
#define PATIENCE_MS (60 * 1000)

struct test_http {
        struct leat_loop *loop;
        struct leat_http *http;
        struct leat_addr addr;
};

static inline void test_http_start(struct test_http *test, const struct leat_http_opts *opts)
{
        struct leat_error err;
        struct leat_http_opts mine = *opts;
        int fd;
        CHECK_OK(leat_os_addr_parse("127.0.0.1:0", &test->addr, &err), &err);
        CHECK_OK(leat_os_listen(&test->addr, 512, &fd, &test->addr.port, &err), &err);
        CHECK_OK(leat_loop_new("http", &test->loop, &err), &err);
        mine.port = test->addr.port;
        CHECK_OK(leat_http_new(test->loop, fd, &mine, &test->http, &err), &err);
}

static inline void test_http_run(struct test_http *test)
{
        struct leat_error err;
        CHECK_OK(leat_loop_spawn(test->loop, &err), &err);
}

static inline void test_http_stop(struct test_http *test)
{
        leat_loop_join(test->loop);
        leat_http_free(test->http);
        leat_loop_free(test->loop);
}

static inline int test_http_dial(const struct test_http *test)
{
        struct leat_error err;
        int fd;
        CHECK_OK(leat_os_connect(&test->addr, PATIENCE_MS * 1000, &fd, &err), &err);
        return fd;
}

/* Sends @fmt with %H replaced by the Host header's line. */
static inline void test_http_say(const struct test_http *test, int fd, const char *text)
{
        struct leat_buf buf = LEAT_BUF_INIT;
        const char *at = text, *mark;
        while ((mark = strstr(at, "%H")) != NULL) {
                leat_buf_add(&buf, at, (size_t)(mark - at));
                leat_buf_printf(&buf, "Host: 127.0.0.1:%u\r\n", test->addr.port);
                at = mark + 2;
        }
        leat_buf_add_str(&buf, at);
        CHECK_INT(send(fd, buf.data, buf.len, MSG_NOSIGNAL), buf.len);
        leat_buf_done(&buf);
}

/* Reads until @until has come (or the end of the stream) and returns all. */
static inline const char *test_http_hear(int fd, const char *until, struct leat_buf *buf)
{
        leat_buf_clear(buf);
        while (!until || !strstr(leat_buf_cstr(buf), until)) {
                struct pollfd ready = {.fd = fd, .events = POLLIN};
                if (poll(&ready, 1, PATIENCE_MS) <= 0)
                        leat_test_fail(__FILE__, __LINE__, "no \"%s\" came, only: %s", until ? until : "end",
                                       leat_buf_cstr(buf));
                ssize_t got = recv(fd, leat_buf_reserve(buf, 65536), 65536, 0);
                CHECK(got >= 0);
                if (got == 0)
                        break;
                buf->len += (size_t)got;
        }
        return leat_buf_cstr(buf);
}

#endif
