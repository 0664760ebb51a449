/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/os, for tests: makes chosen system calls fail.
 *
 * Design    Each entry of the table is wrapped by a function that asks
 *           fault_hit() first. Calls on descriptors find their path in
 *           /proc/self/fd, so that no table of open files has to be kept.
 * Threads   Faults and counts are under one lock; the real call is not.
 */
#include "leat/os_test.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "leat/mem.h"

#define FAULTS_MAX 16

struct fault_state {
        struct leat_fault fault;
        uint64_t matched;
};

static struct {
        pthread_mutex_t lock;
        bool installed;
        struct leat_os_table under;
        struct fault_state faults[FAULTS_MAX]; /* locked, like all below */
        int count;
        uint64_t calls[LEAT_FAULT_KINDS];
        uint64_t fired;
} faults = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool kind_matches(enum leat_fault_kind wanted, enum leat_fault_kind kind)
{
        switch (wanted) {
        case LEAT_FAULT_ANY:
                return true;
        case LEAT_FAULT_SYNCS:
                return kind == LEAT_FAULT_FDATASYNC || kind == LEAT_FAULT_FSYNC;
        case LEAT_FAULT_WRITES:
                return kind >= LEAT_FAULT_PWRITE && kind <= LEAT_FAULT_RMDIR && kind != LEAT_FAULT_FSTAT &&
                       kind != LEAT_FAULT_STAT;
        default:
                return wanted == kind;
        }
}

/* Counts the call; true when it is to fail, with the fault in @ret. */
static bool fault_hit(enum leat_fault_kind kind, const char *path, const char *path2, struct leat_fault *ret)
{
        bool hit = false;
        pthread_mutex_lock(&faults.lock);
        faults.calls[kind]++;
        for (int i = 0; i < faults.count; i++) {
                struct fault_state *state = &faults.faults[i];
                const struct leat_fault *fault = &state->fault;
                if (!kind_matches(fault->kind, kind))
                        continue;
                if (fault->path != NULL && strstr(path, fault->path) == NULL &&
                    (path2 == NULL || strstr(path2, fault->path) == NULL))
                        continue;
                state->matched++;
                uint64_t first = LEAT_MAX(fault->nth, 1u), times = LEAT_MAX(fault->times, 1u);
                if (hit || state->matched < first || state->matched - first >= times)
                        continue;
                hit = true;
                faults.fired++;
                *ret = *fault;
        }
        pthread_mutex_unlock(&faults.lock);
        return hit;
}

static bool fault_hit_fd(enum leat_fault_kind kind, int fd, struct leat_fault *ret)
{
        char link_path[64], path[4096];
        snprintf(link_path, sizeof(link_path), "/proc/self/fd/%d", fd);
        ssize_t len = readlink(link_path, path, sizeof(path) - 1);
        path[len > 0 ? len : 0] = '\0';
        return fault_hit(kind, path, NULL, ret);
}

static int fault_fail(const struct leat_fault *fault)
{
        errno = fault->os_errno;
        return -1;
}

/* ---- the wrapped calls -------------------------------------------------------- */

static int fault_open(const char *path, int flags, mode_t mode)
{
        struct leat_fault fault;
        return fault_hit(LEAT_FAULT_OPEN, path, NULL, &fault) ? fault_fail(&fault)
                                                              : faults.under.open(path, flags, mode);
}

static ssize_t fault_pread(int fd, void *data, size_t bytes, off_t offset)
{
        struct leat_fault fault;
        if (!fault_hit_fd(LEAT_FAULT_PREAD, fd, &fault))
                return faults.under.pread(fd, data, bytes, offset);
        if (fault.os_errno != 0)
                return fault_fail(&fault);
        return faults.under.pread(fd, data, LEAT_MIN(bytes, fault.short_bytes), offset);
}

static ssize_t fault_pread_cached(int fd, void *data, size_t bytes, off_t offset)
{
        struct leat_fault fault;
        if (!fault_hit_fd(LEAT_FAULT_PREAD_CACHED, fd, &fault))
                return faults.under.pread_cached(fd, data, bytes, offset);
        if (fault.os_errno != 0)
                return fault_fail(&fault);
        return faults.under.pread_cached(fd, data, LEAT_MIN(bytes, fault.short_bytes), offset);
}

static ssize_t fault_pwrite(int fd, const void *data, size_t bytes, off_t offset)
{
        struct leat_fault fault;
        if (!fault_hit_fd(LEAT_FAULT_PWRITE, fd, &fault))
                return faults.under.pwrite(fd, data, bytes, offset);
        ssize_t put = 0;
        if (fault.short_bytes > 0)
                put = faults.under.pwrite(fd, data, LEAT_MIN(bytes, fault.short_bytes), offset);
        return fault.os_errno != 0 ? fault_fail(&fault) : put;
}

static ssize_t fault_pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
        struct leat_fault fault;
        if (!fault_hit_fd(LEAT_FAULT_PWRITE, fd, &fault))
                return faults.under.pwritev(fd, parts, count, offset);
        size_t left = fault.short_bytes;
        ssize_t done = 0;
        for (int i = 0; i < count && left > 0; i++) {
                size_t bytes = LEAT_MIN(parts[i].iov_len, left);
                ssize_t put = faults.under.pwrite(fd, parts[i].iov_base, bytes, offset + done);
                if (put < 0)
                        break;
                done += put;
                left -= (size_t)put;
        }
        return fault.os_errno != 0 ? fault_fail(&fault) : done;
}

static int fault_fdatasync(int fd)
{
        struct leat_fault fault;
        return fault_hit_fd(LEAT_FAULT_FDATASYNC, fd, &fault) ? fault_fail(&fault) : faults.under.fdatasync(fd);
}

static int fault_fsync(int fd)
{
        struct leat_fault fault;
        return fault_hit_fd(LEAT_FAULT_FSYNC, fd, &fault) ? fault_fail(&fault) : faults.under.fsync(fd);
}

static int fault_ftruncate(int fd, off_t bytes)
{
        struct leat_fault fault;
        return fault_hit_fd(LEAT_FAULT_FTRUNCATE, fd, &fault) ? fault_fail(&fault) : faults.under.ftruncate(fd, bytes);
}

static int fault_fallocate(int fd, int mode, off_t offset, off_t bytes)
{
        struct leat_fault fault;
        return fault_hit_fd(LEAT_FAULT_FALLOCATE, fd, &fault) ? fault_fail(&fault)
                                                              : faults.under.fallocate(fd, mode, offset, bytes);
}

static int fault_fstat(int fd, struct stat *st)
{
        struct leat_fault fault;
        return fault_hit_fd(LEAT_FAULT_FSTAT, fd, &fault) ? fault_fail(&fault) : faults.under.fstat(fd, st);
}

static int fault_stat(const char *path, struct stat *st)
{
        struct leat_fault fault;
        return fault_hit(LEAT_FAULT_STAT, path, NULL, &fault) ? fault_fail(&fault) : faults.under.stat(path, st);
}

static int fault_rename(const char *from, const char *to)
{
        struct leat_fault fault;
        return fault_hit(LEAT_FAULT_RENAME, from, to, &fault) ? fault_fail(&fault) : faults.under.rename(from, to);
}

static int fault_link(const char *from, const char *to)
{
        struct leat_fault fault;
        return fault_hit(LEAT_FAULT_LINK, from, to, &fault) ? fault_fail(&fault) : faults.under.link(from, to);
}

static int fault_unlink(const char *path)
{
        struct leat_fault fault;
        return fault_hit(LEAT_FAULT_UNLINK, path, NULL, &fault) ? fault_fail(&fault) : faults.under.unlink(path);
}

static int fault_mkdir(const char *path, mode_t mode)
{
        struct leat_fault fault;
        return fault_hit(LEAT_FAULT_MKDIR, path, NULL, &fault) ? fault_fail(&fault) : faults.under.mkdir(path, mode);
}

static int fault_rmdir(const char *path)
{
        struct leat_fault fault;
        return fault_hit(LEAT_FAULT_RMDIR, path, NULL, &fault) ? fault_fail(&fault) : faults.under.rmdir(path);
}

static void *fault_mmap(void *at, size_t bytes, int prot, int flags, int fd, off_t offset)
{
        struct leat_fault fault;
        if (!fault_hit_fd(LEAT_FAULT_MMAP, fd, &fault))
                return faults.under.mmap(at, bytes, prot, flags, fd, offset);
        errno = fault.os_errno;
        return MAP_FAILED;
}

/* ---- control ------------------------------------------------------------------- */

void leat_fault_install(void)
{
        LEAT_ASSERT(!faults.installed);
        faults.installed = true;
        faults.under = leat_os;
        faults.count = 0;
        faults.fired = 0;
        memset(faults.calls, 0, sizeof(faults.calls));
        leat_os.open = fault_open;
        leat_os.pread = fault_pread;
        leat_os.pread_cached = fault_pread_cached;
        leat_os.pwrite = fault_pwrite;
        leat_os.pwritev = fault_pwritev;
        leat_os.fdatasync = fault_fdatasync;
        leat_os.fsync = fault_fsync;
        leat_os.ftruncate = fault_ftruncate;
        leat_os.fallocate = fault_fallocate;
        leat_os.fstat = fault_fstat;
        leat_os.stat = fault_stat;
        leat_os.rename = fault_rename;
        leat_os.link = fault_link;
        leat_os.unlink = fault_unlink;
        leat_os.mkdir = fault_mkdir;
        leat_os.rmdir = fault_rmdir;
        leat_os.mmap = fault_mmap;
}

void leat_fault_remove(void)
{
        if (!faults.installed)
                return;
        leat_os = faults.under;
        faults.installed = false;
}

void leat_fault_add(struct leat_fault fault)
{
        LEAT_ASSERT(fault.os_errno != 0 || fault.short_bytes > 0);
        pthread_mutex_lock(&faults.lock);
        LEAT_ASSERT(faults.count < FAULTS_MAX);
        faults.faults[faults.count++] = (struct fault_state){.fault = fault};
        pthread_mutex_unlock(&faults.lock);
}

void leat_fault_clear(void)
{
        pthread_mutex_lock(&faults.lock);
        faults.count = 0;
        pthread_mutex_unlock(&faults.lock);
}

uint64_t leat_fault_calls(enum leat_fault_kind kind)
{
        uint64_t sum = 0;
        pthread_mutex_lock(&faults.lock);
        for (int i = 0; i < LEAT_FAULT_KINDS; i++)
                if (kind_matches(kind, (enum leat_fault_kind)i))
                        sum += faults.calls[i];
        pthread_mutex_unlock(&faults.lock);
        return sum;
}

uint64_t leat_fault_fired(void)
{
        pthread_mutex_lock(&faults.lock);
        uint64_t fired = faults.fired;
        pthread_mutex_unlock(&faults.lock);
        return fired;
}
