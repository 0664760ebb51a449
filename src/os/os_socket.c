/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/os: TCP sockets by numeric address. Names are not resolved: a resolver
 * blocks, and a door that is opened by name may open wider than meant.
 */
#include "leat/os.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "leat/mem.h"

union sock_addr {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
};

static int addr_invalid(const char *text, struct leat_error *err)
{
        int rc = leat_error_set(err, LEAT_EINVAL, "\"%s\" is no address", text);
        leat_error_hint(err, "write a numeric address and a port, such as 127.0.0.1:9092 or [::1]:9092");
        return rc;
}

static socklen_t addr_fill(const struct leat_addr *addr, union sock_addr *out)
{
        memset(out, 0, sizeof(*out));
        if (inet_pton(AF_INET, addr->host, &out->v4.sin_addr) == 1) {
                out->v4.sin_family = AF_INET;
                out->v4.sin_port = htons(addr->port);
                return sizeof(out->v4);
        }
        if (inet_pton(AF_INET6, addr->host, &out->v6.sin6_addr) == 1) {
                out->v6.sin6_family = AF_INET6;
                out->v6.sin6_port = htons(addr->port);
                return sizeof(out->v6);
        }
        return 0;
}

int leat_os_addr_parse(const char *text, struct leat_addr *ret_addr, struct leat_error *err)
{
        struct leat_addr addr = {.port = 0};
        const char *colon = strrchr(text, ':');
        if (colon == NULL || colon == text)
                return addr_invalid(text, err);
        const char *host = text, *host_end = colon;
        if (host[0] == '[') {
                if (host_end[-1] != ']')
                        return addr_invalid(text, err);
                host++;
                host_end--;
        } else if (memchr(host, ':', (size_t)(host_end - host)) != NULL) {
                return addr_invalid(text, err);
        }
        char *end;
        long port = strtol(colon + 1, &end, 10);
        if (colon[1] < '0' || colon[1] > '9' || *end != '\0' || port > 65535)
                return addr_invalid(text, err);
        size_t len = (size_t)(host_end - host);
        if (len == 0 || len >= sizeof(addr.host))
                return addr_invalid(text, err);
        memcpy(addr.host, host, len);
        addr.host[len] = '\0';
        if (strcmp(addr.host, "localhost") == 0)
                snprintf(addr.host, sizeof(addr.host), "127.0.0.1");
        addr.port = (uint16_t)port;
        union sock_addr filled;
        if (addr_fill(&addr, &filled) == 0)
                return addr_invalid(text, err);
        *ret_addr = addr;
        return 0;
}

bool leat_os_addr_is_loopback(const struct leat_addr *addr)
{
        union sock_addr filled;
        if (addr_fill(addr, &filled) == 0)
                return false;
        if (filled.any.sa_family == AF_INET)
                return ntohl(filled.v4.sin_addr.s_addr) >> 24 == 127;
        if (IN6_IS_ADDR_V4MAPPED(&filled.v6.sin6_addr))
                return filled.v6.sin6_addr.s6_addr[12] == 127;
        return IN6_IS_ADDR_LOOPBACK(&filled.v6.sin6_addr) != 0;
}

static int listen_error(const struct leat_addr *addr, int os_errno, struct leat_error *err)
{
        if (os_errno != EADDRINUSE)
                return leat_error_sys(err, os_errno, "cannot listen on %s port %u", addr->host, addr->port);
        int rc = leat_error_set(err, LEAT_EBUSY, "port %u of %s is in use by another program", addr->port, addr->host);
        leat_error_hint(err, "`ss -ltnp 'sport = :%u'` shows which; stop it or choose another port", addr->port);
        return rc;
}

int leat_os_listen(const struct leat_addr *addr, int backlog, int *ret_fd, uint16_t *ret_port, struct leat_error *err)
{
        union sock_addr filled;
        socklen_t len = addr_fill(addr, &filled);
        int rc = 0, on = 1;
        if (len == 0)
                return addr_invalid(addr->host, err);
        int fd = socket(filled.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return leat_error_sys(err, errno, "cannot make a socket");
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        if (filled.any.sa_family == AF_INET6)
                setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
        if (bind(fd, &filled.any, len) != 0 || listen(fd, backlog) != 0) {
                rc = listen_error(addr, errno, err);
                goto fail;
        }
        len = sizeof(filled);
        if (getsockname(fd, &filled.any, &len) != 0) {
                rc = leat_error_sys(err, errno, "cannot read the address of a socket");
                goto fail;
        }
        if (ret_port != NULL)
                *ret_port = ntohs(filled.any.sa_family == AF_INET ? filled.v4.sin_port : filled.v6.sin6_port);
        *ret_fd = fd;
        return 0;
fail:
        close(fd);
        return rc;
}

/* Waits for a non-blocking connect; returns 0 or an errno. */
static int connect_wait(int fd, int64_t timeout_us)
{
        int ready = leat_os_poll1(fd, POLLOUT, timeout_us);
        if (ready <= 0)
                return ready == 0 ? ETIMEDOUT : errno;
        int os_errno = 0;
        socklen_t len = sizeof(os_errno);
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &os_errno, &len) != 0)
                return errno;
        return os_errno;
}

int leat_os_connect(const struct leat_addr *addr, int64_t timeout_us, int *ret_fd, struct leat_error *err)
{
        union sock_addr filled;
        socklen_t len = addr_fill(addr, &filled);
        int on = 1, os_errno = 0;
        if (len == 0)
                return addr_invalid(addr->host, err);
        int fd = socket(filled.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return leat_error_sys(err, errno, "cannot make a socket");
        if (connect(fd, &filled.any, len) != 0) {
                os_errno = errno;
                if (os_errno == EINPROGRESS || os_errno == EINTR)
                        os_errno = connect_wait(fd, timeout_us);
        }
        if (os_errno == 0 && fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK) != 0)
                os_errno = errno;
        if (os_errno != 0) {
                close(fd);
                int code = leat_error_sys(err, os_errno, "cannot connect to %s port %u", addr->host, addr->port);
                if (os_errno == ETIMEDOUT)
                        code = LEAT_ETIMEOUT;
                if (err != NULL) {
                        err->code = code;
                        err->retriable = true;
                }
                return code;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        *ret_fd = fd;
        return 0;
}

ssize_t leat_os_recv(int fd, void *data, size_t bytes)
{
        ssize_t got;
        do
                got = leat_os.recv(fd, data, bytes, 0);
        while (got < 0 && errno == EINTR);
        return got;
}

ssize_t leat_os_sendv(int fd, const struct iovec *parts, int count)
{
        struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)parts, .msg_iovlen = (size_t)count};
        ssize_t put;
        do
                put = leat_os.sendmsg(fd, &message, MSG_NOSIGNAL);
        while (put < 0 && errno == EINTR);
        return put;
}

ssize_t leat_os_send(int fd, const void *data, size_t bytes)
{
        struct iovec part = {.iov_base = (void *)(uintptr_t)data, .iov_len = bytes};
        return leat_os_sendv(fd, &part, 1);
}

int leat_os_accept(int fd, struct sockaddr *addr, unsigned *io_len)
{
        return leat_os.accept4(fd, addr, io_len, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

int leat_os_poll1(int fd, short want, int64_t timeout_us)
{
        struct pollfd poll_fd = {.fd = fd, .events = want};
        int64_t until_us = leat_os_monotonic_us() + timeout_us;
        for (;;) {
                int64_t left_us = LEAT_MAX(until_us - leat_os_monotonic_us(), 0);
                struct timespec ts = {.tv_sec = left_us / 1000000, .tv_nsec = left_us % 1000000 * 1000};
                int rc = ppoll(&poll_fd, 1, timeout_us < 0 ? NULL : &ts, NULL);
                if (rc > 0)
                        return poll_fd.revents;
                if (rc == 0)
                        return 0;
                if (errno != EINTR)
                        return -1;
        }
}
