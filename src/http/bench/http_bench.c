/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Figures of http (and of net under it): what idle connections and streams cost in
 * memory, what it costs to send events to 1,000 viewers, requests per second. Server
 * and viewers are two threads of this process; the server's processor time is its
 * thread's own.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "leat/http.h"

#define IDLE 2000
#define VIEWERS 1000
#define TURNS 200
#define EVENTS_A_TURN 8
#define EVENT_BYTES 1500
#define REQUESTS 100000

struct bench {
        struct leat_loop *loop;
        struct leat_http *http;
        struct leat_http_hub *hub;
        struct leat_addr addr;
        struct leat_timer *timer;
        int turn;
        int64_t start_us;
        double cpu_s; /* of the loop's thread, at the last look */
        int64_t sent_us[TURNS + 1];
        _Atomic int viewers;
};

static double thread_cpu_s(void)
{
        struct timespec ts;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
        return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static double rss_kb(void)
{
        struct leat_buf buf = LEAT_BUF_INIT;
        unsigned long pages = 0;
        if (leat_os_read_file("/proc/self/statm", 4096, &buf, NULL) == 0)
                sscanf(leat_buf_cstr(&buf), "%*u %lu", &pages);
        leat_buf_done(&buf);
        return (double)pages * 4;
}

static void die(const char *what, const struct leat_error *err)
{
        fprintf(stderr, "%s: %s\n", what, err ? err->message : strerror(errno));
        exit(1);
}

/* ---- server ---- */

static void join(struct leat_http_req *req, void *arg)
{
        leat_http_hub_join(((struct bench *)arg)->hub, req);
}

static void hello(struct leat_http_req *req, void *arg)
{
        struct leat_buf body = LEAT_BUF_INIT;
        (void)arg;
        leat_buf_add_str(&body, "{\"status\":\"ok\"}");
        leat_http_respond(req, 200, "application/json", &body);
}

static const struct leat_http_route ROUTES[] = {{"GET", "/stream", join}, {"GET", "/hello", hello}};

static void on_viewers(void *arg, int viewers)
{
        atomic_store(&((struct bench *)arg)->viewers, viewers);
}

static void turn_cb(void *arg)
{
        struct bench *bench = arg;
        char data[EVENT_BYTES];
        if (bench->turn == TURNS) {
                leat_timer_stop(bench->timer);
                return;
        }
        memset(data, 'x', sizeof(data));
        int digits = snprintf(data, sizeof(data), "{\"turn\":%d,\"data\":\"", ++bench->turn);
        data[digits] = 'x';
        memcpy(data + sizeof(data) - 2, "\"}", 2);
        bench->sent_us[bench->turn] = leat_os_monotonic_us();
        for (int i = 0; i < EVENTS_A_TURN; i++)
                leat_http_hub_send(bench->hub, LEAT_HTTP_SNAPSHOT, i, bench->turn,
                                   i == EVENTS_A_TURN - 1 ? "last" : "snapshot", leat_view_of(data, sizeof(data)));
}

static void begin_post(void *arg)
{
        struct bench *bench = arg;
        bench->cpu_s = thread_cpu_s();
        bench->turn = 0;
        leat_timer_start(bench->timer, 0, 50 * 1000);
}

static void look_post(void *arg)
{
        struct bench *bench = arg;
        bench->cpu_s = thread_cpu_s() - bench->cpu_s;
        atomic_store(&bench->viewers, -1);
}

static void look(struct bench *bench)
{
        leat_loop_post_wait(bench->loop, look_post, bench);
        while (atomic_load(&bench->viewers) != -1)
                leat_os_sleep_us(100);
}

static void start(struct bench *bench)
{
        struct leat_error err;
        struct leat_http_opts opts = {.routes = ROUTES, .route_count = 2, .arg = bench};
        int fd = -1;
        if (leat_os_addr_parse("127.0.0.1:0", &bench->addr, &err) != 0 ||
            leat_os_listen(&bench->addr, 1024, &fd, &bench->addr.port, &err) != 0 ||
            leat_loop_new("server", &bench->loop, &err) != 0)
                die("cannot start", &err);
        opts.port = bench->addr.port;
        if (leat_http_new(bench->loop, fd, &opts, &bench->http, &err) != 0)
                die("cannot start", &err);
        bench->hub =
                leat_http_hub_new(bench->http, &(struct leat_http_hub_opts){.on_viewers = on_viewers, .arg = bench});
        bench->timer = leat_timer_new(bench->loop, turn_cb, bench);
        if (leat_loop_spawn(bench->loop, &err) != 0)
                die("cannot start", &err);
}

/* ---- clients ---- */

static int dial(const struct bench *bench, const char *path)
{
        struct leat_error err;
        char text[128];
        int fd;
        if (leat_os_connect(&bench->addr, 5 * 1000 * 1000, &fd, &err) != 0)
                die("cannot connect", &err);
        if (path) {
                int len = snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: localhost:%u\r\n\r\n", path,
                                   bench->addr.port);
                if (send(fd, text, (size_t)len, 0) != len)
                        die("cannot send", NULL);
        }
        return fd;
}

static int compare(const void *a, const void *b)
{
        int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
        return (left > right) - (left < right);
}

/* Reads all streams until the last event of the last turn has come on each; the
 * latency of a turn on a stream is that of its last event. */
static void watch(struct bench *bench, const int *fds)
{
        int poll_fd = epoll_create1(0), done = 0;
        size_t count = 0;
        int64_t *latencies = leat_calloc((size_t)VIEWERS * TURNS, sizeof(latencies[0]));
        static char buf[256 * 1024];
        for (int i = 0; i < VIEWERS; i++) {
                struct epoll_event event = {.events = EPOLLIN, .data.fd = fds[i]};
                epoll_ctl(poll_fd, EPOLL_CTL_ADD, fds[i], &event);
        }
        leat_loop_post_wait(bench->loop, begin_post, bench);
        while (done < VIEWERS) {
                struct epoll_event events[256];
                int ready = epoll_wait(poll_fd, events, 256, 5000);
                if (ready <= 0)
                        break;
                for (int i = 0; i < ready; i++) {
                        ssize_t got = recv(events[i].data.fd, buf, sizeof(buf) - 1, 0);
                        if (got <= 0)
                                die("a stream has ended", NULL);
                        buf[got] = '\0';
                        int64_t now_us = leat_os_monotonic_us();
                        for (char *at = buf; (at = strstr(at, "event: last\ndata: {\"turn\":")) != NULL; at++) {
                                int turn = atoi(at + 26);
                                if (count < (size_t)VIEWERS * TURNS && turn >= 1 && turn <= TURNS)
                                        latencies[count++] = now_us - bench->sent_us[turn];
                                done += turn == TURNS;
                        }
                }
        }
        look(bench);
        qsort(latencies, count, sizeof(latencies[0]), compare);
        printf("%d viewers, %d turns of %d events of %d bytes: server %.2f us a viewer and turn, latency p50 %.1f ms, "
               "p99 %.1f "
               "ms, %.2f %% seen whole\n",
               VIEWERS, TURNS, EVENTS_A_TURN, EVENT_BYTES, bench->cpu_s * 1e6 / VIEWERS / TURNS,
               count > 0 ? (double)latencies[count / 2] / 1000 : 0,
               count > 0 ? (double)latencies[count * 99 / 100] / 1000 : 0, 100.0 * (double)count / VIEWERS / TURNS);
        free(latencies);
        close(poll_fd);
}

static void requests(struct bench *bench)
{
        char text[16 * 100], buf[256 * 1024];
        int fd = dial(bench, NULL), len = 0;
        for (int i = 0; i < 16; i++)
                len += snprintf(text + len, sizeof(text) - (size_t)len,
                                "GET /hello HTTP/1.1\r\nHost: localhost:%u\r\n\r\n", bench->addr.port);
        int64_t start_us = leat_os_monotonic_us();
        int answers = 0;
        for (int sent = 0; sent < REQUESTS; sent += 16) {
                if (send(fd, text, (size_t)len, 0) != len)
                        die("cannot send", NULL);
                while (answers < sent + 16) {
                        ssize_t got = recv(fd, buf, sizeof(buf) - 1, 0);
                        if (got <= 0)
                                die("the connection has ended", NULL);
                        buf[got] = '\0';
                        for (char *at = buf; (at = strstr(at, "\"status\"")) != NULL; at++)
                                answers++;
                }
        }
        printf("requests over one connection, 16 at a time: %.0f /s\n",
               REQUESTS / ((double)(leat_os_monotonic_us() - start_us) / 1e6));
        close(fd);
}

int main(void)
{
        static struct bench bench;
        static int idle[IDLE], fds[VIEWERS];
        struct rlimit limit = {.rlim_cur = 20000, .rlim_max = 20000};
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0 && getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
            limit.rlim_cur < 2 * (IDLE + VIEWERS) + 100)
                die("too few descriptors (ulimit -n)", NULL);
        start(&bench);
        requests(&bench);
        double before_kb = rss_kb();
        for (int i = 0; i < IDLE; i++)
                idle[i] = dial(&bench, NULL);
        leat_os_sleep_us(200 * 1000);
        printf("%d idle connections: %.2f KB each\n", IDLE, (rss_kb() - before_kb) / IDLE);
        before_kb = rss_kb();
        for (int i = 0; i < VIEWERS; i++)
                fds[i] = dial(&bench, "/stream");
        while (atomic_load(&bench.viewers) < VIEWERS)
                leat_os_sleep_us(1000);
        printf("%d streams: %.2f KB each\n", VIEWERS, (rss_kb() - before_kb) / VIEWERS);
        watch(&bench, fds);
        for (int i = 0; i < VIEWERS; i++)
                close(fds[i]);
        for (int i = 0; i < IDLE; i++)
                close(idle[i]);
        leat_loop_join(bench.loop);
        leat_http_hub_free(bench.hub);
        leat_timer_free(bench.timer);
        leat_http_free(bench.http);
        leat_loop_free(bench.loop);
        return 0;
}
