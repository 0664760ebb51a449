/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sse_viewers: a thousand browsers at one dashboard, in one epoll loop.
 *
 *   sse_viewers ADDR PATH[,PATH...] VIEWERS SECONDS PANEL
 *
 * Viewer i opens GET PATH[i mod paths] and reads Server-Sent Events for SECONDS (0: until SIGTERM). It keeps the second
 * column of the rows of panel number PANEL, as a browser would keep all: "snapshot" sets the rows, "patch" those that
 * changed. Whenever their sum has changed, one line goes to standard output:
 *
 *   viewer path arrival_us sum
 *
 * arrival: CLOCK_REALTIME when the last byte of the event had been read. At the end a line of JSON on standard error:
 * viewers, events, bytes, CPU seconds, connections that broke.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENT_MAX = 1 << 20, PATHS_MAX = 64, ROWS_MAX = 512, READ_BYTES = 64 * 1024 };

struct viewer {
        int fd;
        int path;
        size_t len, cap;
        char *event; /* bytes since the last empty line */
        int64_t values[ROWS_MAX], sum;
        int rows;
};

static volatile sig_atomic_t stop;
static char panel_mark[32];
static uint64_t events, bytes, broken;

static int64_t now_us(clockid_t clock)
{
        struct timespec ts;
        clock_gettime(clock, &ts);
        return ts.tv_sec * 1000000LL + ts.tv_nsec / 1000;
}

static void on_stop(int number)
{
        (void)number;
        stop = 1;
}

/* The second value of the row ["text",N,...] at @at; returns what stands behind the row. */
static const char *row_value(const char *at, int64_t *ret_value)
{
        const char *comma = strchr(at, ','), *end = strchr(at, ']');
        *ret_value = comma != NULL && comma < end ? atoll(comma + 1) : 0;
        return end + 1;
}

static void rows_set(struct viewer *v, const char *at)
{
        for (v->rows = 0; *at == '[' && v->rows < ROWS_MAX; at += *at == ',')
                at = row_value(at, &v->values[v->rows++]);
}

/* [[I,["text",N,...]],...] */
static void rows_patch(struct viewer *v, const char *at)
{
        while (*at == '[') {
                char *inner;
                long row = strtol(at + 1, &inner, 10);
                int64_t value;
                at = row_value(inner + 1, &value) + 1;
                if (row >= 0 && row < ROWS_MAX)
                        v->values[row] = value;
                at += *at == ',';
        }
}

static void event_done(struct viewer *v, int number, int64_t arrival_us)
{
        static const char rows_name[] = "\"rows\":[", set_name[] = "\"set\":[", count_name[] = "\"count\":";
        v->event[v->len] = '\0';
        events++;
        if (strstr(v->event, panel_mark) == NULL)
                return;
        const char *rows = strstr(v->event, rows_name), *set = strstr(v->event, set_name),
                   *count = strstr(v->event, count_name);
        if (rows != NULL) {
                rows_set(v, rows + sizeof rows_name - 1);
        } else if (set != NULL && count != NULL) {
                rows_patch(v, set + sizeof set_name - 1);
                v->rows = atoi(count + sizeof count_name - 1);
        }
        int64_t sum = 0;
        for (int i = 0; i < v->rows && i < ROWS_MAX; i++)
                sum += v->values[i];
        if (sum == v->sum)
                return;
        v->sum = sum;
        printf("%d %d %lld %lld\n", number, v->path, (long long)arrival_us, (long long)sum);
}

static void viewer_feed(struct viewer *v, int number, const char *data, size_t len, int64_t arrival_us)
{
        for (size_t i = 0; i < len;) {
                const char *line = memchr(data + i, '\n', len - i);
                size_t take = line != NULL ? (size_t)(line - data) - i + 1 : len - i;
                if (v->len + take + 1 > v->cap) {
                        v->cap = 2 * (v->len + take + 1);
                        v->event = realloc(v->event, v->cap);
                        if (v->event == NULL || v->cap > 4 * EVENT_MAX)
                                exit(1);
                }
                memcpy(v->event + v->len, data + i, take);
                v->len += take;
                i += take;
                bool empty = v->len >= 2 && v->event[v->len - 1] == '\n' &&
                             (v->event[v->len - 2] == '\n' ||
                              (v->len >= 4 && memcmp(v->event + v->len - 4, "\r\n\r\n", 4) == 0));
                if (empty) {
                        event_done(v, number, arrival_us);
                        v->len = 0;
                }
        }
}

static void viewer_open(struct viewer *v, const struct sockaddr_in *addr, const char *host, const char *path, int epoll,
                        int number)
{
        char request[1024];
        struct epoll_event ev = {.events = EPOLLIN, .data = {.u32 = (uint32_t)number}};
        v->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (v->fd < 0 || connect(v->fd, (const struct sockaddr *)addr, sizeof *addr) != 0) {
                perror("connect");
                exit(1);
        }
        int n = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n\r\n",
                         path, host);
        if (write(v->fd, request, (size_t)n) != n) {
                perror("write");
                exit(1);
        }
        fcntl(v->fd, F_SETFL, O_NONBLOCK);
        epoll_ctl(epoll, EPOLL_CTL_ADD, v->fd, &ev);
}

static void viewer_read(struct viewer *v, int number)
{
        static char buffer[READ_BYTES];
        for (;;) {
                ssize_t n = read(v->fd, buffer, sizeof buffer);
                if (n < 0 && errno == EAGAIN)
                        return;
                if (n <= 0) {
                        broken++;
                        close(v->fd);
                        return;
                }
                bytes += (uint64_t)n;
                viewer_feed(v, number, buffer, (size_t)n, now_us(CLOCK_REALTIME));
                if ((size_t)n < sizeof buffer)
                        return;
        }
}

int main(int argc, char **argv)
{
        struct sockaddr_in addr = {.sin_family = AF_INET};
        char *paths[PATHS_MAX], host[128];
        int path_count = 0, port;
        if (argc != 6 || sscanf(argv[1], "%*[^:]:%d", &port) != 1) {
                fprintf(stderr, "usage: sse_viewers ADDR PATH[,PATH...] VIEWERS SECONDS PANEL\n");
                return 2;
        }
        snprintf(host, sizeof host, "%s", argv[1]);
        *strchr(argv[1], ':') = '\0';
        addr.sin_port = htons((uint16_t)port);
        inet_pton(AF_INET, argv[1], &addr.sin_addr);
        for (char *p = strtok(argv[2], ","); p != NULL && path_count < PATHS_MAX; p = strtok(NULL, ","))
                paths[path_count++] = p;
        int count = atoi(argv[3]), epoll = epoll_create1(EPOLL_CLOEXEC);
        int64_t end_us = atoll(argv[4]) == 0 ? INT64_MAX : now_us(CLOCK_MONOTONIC) + atoll(argv[4]) * 1000000;
        snprintf(panel_mark, sizeof panel_mark, "\"panel\":%d,", atoi(argv[5]));
        signal(SIGTERM, on_stop);
        struct viewer *viewers = calloc((size_t)count, sizeof *viewers);
        struct epoll_event got[256];
        for (int i = 0; i < count; i++) {
                viewers[i].path = i % path_count;
                viewer_open(&viewers[i], &addr, host, paths[i % path_count], epoll, i);
        }
        while (!stop && now_us(CLOCK_MONOTONIC) < end_us) {
                int n = epoll_wait(epoll, got, 256, 50);
                for (int i = 0; i < n; i++)
                        viewer_read(&viewers[got[i].data.u32], (int)got[i].data.u32);
        }
        struct rusage use;
        getrusage(RUSAGE_SELF, &use);
        fprintf(stderr, "{\"viewers\": %d, \"events\": %llu, \"bytes\": %llu, \"cpu_s\": %.2f, \"broken\": %llu}\n",
                count, (unsigned long long)events, (unsigned long long)bytes,
                (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
                        (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6,
                (unsigned long long)broken);
        return 0;
}
