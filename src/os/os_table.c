/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/os: the table of system calls, clocks and random bytes.
 */
#include "leat/os.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* open(2) is variadic; the table's entry is not. */
static int sys_open(const char *path, int flags, mode_t mode)
{
        return open(path, flags, mode);
}

static int64_t clock_us(clockid_t id)
{
        struct timespec ts;
        clock_gettime(id, &ts);
        return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static int64_t sys_realtime_us(void)
{
        return clock_us(CLOCK_REALTIME);
}

static int64_t sys_monotonic_us(void)
{
        return clock_us(CLOCK_MONOTONIC);
}

static int sys_random(void *data, size_t bytes)
{
        uint8_t *at = data;
        while (bytes > 0) {
                ssize_t got = getrandom(at, bytes, 0);
                if (got < 0 && errno == EINTR)
                        continue;
                if (got < 0)
                        return -1;
                at += got;
                bytes -= (size_t)got;
        }
        return 0;
}

static ssize_t sys_pread_cached(int fd, void *data, size_t bytes, off_t offset)
{
        struct iovec part = {.iov_base = data, .iov_len = bytes};
        return preadv2(fd, &part, 1, offset, RWF_NOWAIT);
}

/* The C library declares its addresses as a transparent union. */
static int sys_accept4(int fd, struct sockaddr *addr, unsigned *addr_len, int flags)
{
        return accept4(fd, addr, addr_len, flags);
}

static void sys_sleep_us(int64_t us)
{
        struct timespec left = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
        while (us > 0 && nanosleep(&left, &left) != 0 && errno == EINTR)
                ;
}

#define SYSTEM_TABLE \
        { \
                .open = sys_open, .close = close, .pread = pread, .pread_cached = sys_pread_cached, .pwrite = pwrite, \
                .pwritev = pwritev, .fdatasync = fdatasync, .fsync = fsync, .ftruncate = ftruncate, \
                .fallocate = fallocate, .fstat = fstat, .stat = stat, .rename = rename, .link = link, \
                .unlink = unlink, .mkdir = mkdir, .rmdir = rmdir, .mmap = mmap, .munmap = munmap, \
                .realtime_us = sys_realtime_us, .monotonic_us = sys_monotonic_us, .random = sys_random, \
                .sleep_us = sys_sleep_us, .accept4 = sys_accept4, .recv = recv, .sendmsg = sendmsg, \
        }

const struct leat_os_table leat_os_system = SYSTEM_TABLE;
struct leat_os_table leat_os = SYSTEM_TABLE;

int64_t leat_os_now_us(void)
{
        return leat_os.realtime_us();
}

int64_t leat_os_monotonic_us(void)
{
        return leat_os.monotonic_us();
}

void leat_os_sleep_us(int64_t us)
{
        leat_os.sleep_us(us);
}

void leat_os_random(void *data, size_t bytes)
{
        if (leat_os.random(data, bytes) == 0)
                return;
        fprintf(stderr, "leat: the system gives no random bytes\n");
        abort();
}
