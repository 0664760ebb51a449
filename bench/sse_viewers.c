/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sse_viewers: a thousand browsers at one dashboard, in one epoll loop.
 *
 *   sse_viewers ADDR PATH[,PATH...] VIEWERS SECONDS
 *
 * Viewer i opens GET PATH[i mod paths] and reads Server-Sent Events for SECONDS. Whenever a complete event with
 * "newest_event_time" has come, and the time in it is newer than the last one that this viewer saw, one line goes to
 * standard output:
 *
 *   viewer path arrival_us newest_us panel
 *
 * arrival: CLOCK_REALTIME when the last byte of the event had been read; newest: microseconds since 1970. Lines of the
 * same path and event are as many as viewers. At the end a line of JSON on standard error: viewers, events, bytes, CPU
 * seconds, connections that broke.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
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

enum { EVENT_MAX = 1 << 20, PATHS_MAX = 64, READ_BYTES = 64 * 1024 };

struct viewer {
        int fd;
        int path;
        size_t len, cap;
        char *event;       /* bytes since the last empty line */
        int64_t newest_us; /* the newest time seen */
};

static uint64_t events, bytes, broken;

static int64_t now_us(clockid_t clock)
{
        struct timespec ts;
        clock_gettime(clock, &ts);
        return ts.tv_sec * 1000000LL + ts.tv_nsec / 1000;
}

/* "2026-11-24T23:35:10.153Z" or "2026-11-24 23:35:10.153+00" */
static int64_t time_read(const char *text)
{
        struct tm tm = {0};
        char fraction[7] = "000000";
        const char *rest = strptime(text, "%Y-%m-%d", &tm);
        if (rest == NULL || (*rest != 'T' && *rest != ' '))
                return INT64_MIN;
        rest = strptime(rest + 1, "%H:%M:%S", &tm);
        if (rest == NULL)
                return INT64_MIN;
        if (*rest == '.')
                for (int i = 0; i < 6 && rest[i + 1] >= '0' && rest[i + 1] <= '9'; i++)
                        fraction[i] = rest[i + 1];
        return (int64_t)timegm(&tm) * 1000000 + atoll(fraction);
}

static void event_done(struct viewer *v, int number, int64_t arrival_us)
{
        static const char name[] = "\"newest_event_time\":\"", panel_name[] = "\"panel\":\"";
        char panel[64] = "-";
        v->event[v->len] = '\0';
        events++;
        const char *at = strstr(v->event, name), *p = strstr(v->event, panel_name);
        if (at == NULL)
                return;
        int64_t newest = time_read(at + sizeof name - 1);
        if (newest <= v->newest_us)
                return;
        v->newest_us = newest;
        if (p != NULL)
                sscanf(p + sizeof panel_name - 1, "%63[^\"]", panel);
        printf("%d %d %lld %lld %s\n", number, v->path, (long long)arrival_us, (long long)newest, panel);
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
        v->newest_us = INT64_MIN;
        if (v->fd < 0 || connect(v->fd, (const struct sockaddr *)addr, sizeof *addr) != 0) {
                perror("connect");
                exit(1);
        }
        int n = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n\r\n", path, host);
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
        if (argc != 5 || sscanf(argv[1], "%*[^:]:%d", &port) != 1) {
                fprintf(stderr, "usage: sse_viewers ADDR PATH[,PATH...] VIEWERS SECONDS\n");
                return 2;
        }
        snprintf(host, sizeof host, "%s", argv[1]);
        *strchr(argv[1], ':') = '\0';
        addr.sin_port = htons((uint16_t)port);
        inet_pton(AF_INET, argv[1], &addr.sin_addr);
        for (char *p = strtok(argv[2], ","); p != NULL && path_count < PATHS_MAX; p = strtok(NULL, ","))
                paths[path_count++] = p;
        int count = atoi(argv[3]), epoll = epoll_create1(EPOLL_CLOEXEC);
        int64_t end_us = now_us(CLOCK_MONOTONIC) + atoll(argv[4]) * 1000000;
        struct viewer *viewers = calloc((size_t)count, sizeof *viewers);
        struct epoll_event got[256];
        for (int i = 0; i < count; i++) {
                viewers[i].path = i % path_count;
                viewer_open(&viewers[i], &addr, host, paths[i % path_count], epoll, i);
        }
        while (now_us(CLOCK_MONOTONIC) < end_us) {
                int n = epoll_wait(epoll, got, 256, 50);
                for (int i = 0; i < n; i++)
                        viewer_read(&viewers[got[i].data.u32], (int)got[i].data.u32);
        }
        struct rusage use;
        getrusage(RUSAGE_SELF, &use);
        fprintf(stderr, "{\"viewers\": %d, \"events\": %llu, \"bytes\": %llu, \"cpu_s\": %.2f, \"broken\": %llu}\n", count,
                (unsigned long long)events, (unsigned long long)bytes,
                (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
                        (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6,
                (unsigned long long)broken);
        return 0;
}
