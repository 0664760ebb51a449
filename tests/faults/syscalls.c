/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/faults: stands before the C library (LD_PRELOAD) and, for files of one
 * data directory, fails the N-th call of a role, or writes down every change.
 *
 * Nothing of it is in the product; the program that is tested is the one that
 * users run, its SQLite included. tests/faults/faults.py is the other side.
 *
 * LEAT_FAULTS_DIR      the data directory; calls on other files pass untouched
 * LEAT_FAULTS_CONTROL  a file of struct control, mapped by all processes and by
 *                      the test. While `armed`, each call of the chosen role,
 *                      kind and path counts one up; calls number `at` up to
 *                      `at + strikes - 1` fail with `error`. `half` makes a
 *                      write write half of its bytes and succeed. Allocations
 *                      of memory are a kind of their own, without a path.
 * LEAT_FAULTS_JOURNAL  a file to which every change is appended, in the order
 *                      in which the calls returned: one write(2) with O_APPEND
 *                      a record, so that records of all processes are in one
 *                      order. A sync is two records, its begin and its end:
 *                      what returned before the begin is durable at the end.
 *
 * Writes through mappings are not seen: the statistics files and SQLite's -shm,
 * which hold no truth. A mapping of any other file to write to ends the program.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum kind { OPEN, WRITE, SYNC, SIZE, RENAME, UNLINK, MKDIR, RMDIR, MEMORY, KINDS };
enum record { R_OPEN = 1, R_WRITE, R_SYNC_BEGIN, R_SYNC_END, R_SIZE, R_RENAME, R_UNLINK, R_MKDIR, R_RMDIR };

struct control {
        uint32_t armed;
        uint32_t at, strikes;
        int32_t error;
        uint32_t half;
        uint32_t kinds; /* a bit for each enum kind */
        uint32_t calls; /* counted up by every process */
        uint32_t hits;
        char role[32]; /* "" = any */
        char pattern[256];
        char hit[512]; /* the first call that was struck */
};

struct head {
        uint32_t bytes; /* of the record, this included */
        uint32_t record;
        uint64_t inode;
        int64_t a, b; /* write: offset, bytes; size: bytes; open: 1 when it cuts the file to 0 */
        uint32_t path_bytes, more_bytes;
};

static const char *const kind_names[KINDS] = {"open",   "write", "sync",  "size",  "rename",
                                              "unlink", "mkdir", "rmdir", "memory"};
static volatile struct control *control;
static char dir[4096], role[32];
static size_t dir_bytes;
static int journal_fd = -1;

#define REAL(name) ((__typeof__(&name))real(&real_##name, #name))
#define REAL_SLOT(name) static void *real_##name

static void *real(void **slot, const char *name)
{
        if (*slot == NULL)
                *slot = dlsym(RTLD_NEXT, name);
        return *slot;
}

REAL_SLOT(open);
REAL_SLOT(pwrite);
REAL_SLOT(pwritev);
REAL_SLOT(fsync);
REAL_SLOT(fdatasync);
REAL_SLOT(ftruncate);
REAL_SLOT(fallocate);
REAL_SLOT(mmap);
REAL_SLOT(rename);
REAL_SLOT(unlink);
REAL_SLOT(mkdir);
REAL_SLOT(rmdir);

static void find_role(void)
{
        char text[256] = "";
        int fd = (int)syscall(SYS_open, "/proc/self/cmdline", O_RDONLY | O_CLOEXEC, 0);
        ssize_t got = fd >= 0 ? (ssize_t)syscall(SYS_read, fd, text, sizeof text - 1) : 0;
        if (fd >= 0)
                syscall(SYS_close, fd);
        if (got > 0 && strncmp(text, "leat-", 5) == 0)
                snprintf(role, sizeof role, "%s", text + 5);
        else
                snprintf(role, sizeof role, "supervisor");
}

static void begin_waiting(void);

__attribute__((constructor)) static void begin(void)
{
        const char *path = getenv("LEAT_FAULTS_CONTROL");
        const char *folder = getenv("LEAT_FAULTS_DIR");
        if (folder == NULL)
                return;
        snprintf(dir, sizeof dir, "%s", folder);
        dir_bytes = strlen(dir);
        find_role();
        if (path != NULL) {
                int fd = (int)syscall(SYS_open, path, O_RDWR | O_CLOEXEC, 0);
                void *at = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
                syscall(SYS_close, fd);
                control = at == MAP_FAILED ? NULL : at;
        }
        path = getenv("LEAT_FAULTS_JOURNAL");
        if (path != NULL)
                journal_fd = (int)syscall(SYS_open, path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        if (journal_fd >= 0)
                begin_waiting();
}

static bool watched(const char *path)
{
        return dir_bytes != 0 && strncmp(path, dir, dir_bytes) == 0 && (path[dir_bytes] == '/' || path[dir_bytes] == 0);
}

/* The path of @fd when it is one of ours; leaves errno alone. */
static bool fd_path(int fd, char out[4096])
{
        char link[64];
        int kept = errno;
        if (dir_bytes == 0 || (journal_fd < 0 && (control == NULL || !control->armed)))
                return false;
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t got = readlink(link, out, 4095);
        errno = kept;
        if (got <= 0)
                return false;
        out[got] = 0;
        return watched(out);
}

/* Are calls of this kind counted in this role? */
static bool armed(enum kind kind)
{
        return control != NULL && control->armed && (control->kinds & 1u << kind) != 0 &&
               (control->role[0] == 0 || strcmp((const char *)control->role, role) == 0);
}

/* Counts a call; true when it is one of those that fail. @what names it, below the data directory. */
static bool counted(enum kind kind, const char *what)
{
        uint32_t call = __atomic_add_fetch(&control->calls, 1, __ATOMIC_SEQ_CST);
        if (call < control->at || call - control->at >= control->strikes)
                return false;
        if (__atomic_fetch_add(&control->hits, 1, __ATOMIC_SEQ_CST) == 0)
                snprintf((char *)control->hit, sizeof control->hit, "%s %s %s", role, kind_names[kind], what);
        return true;
}

/* True when this call has to fail; errno is set. @half: may be answered with half the bytes instead. */
static bool struck(enum kind kind, const char *path, bool *half)
{
        if (!armed(kind) || !watched(path) || (control->half && half == NULL) ||
            fnmatch((const char *)control->pattern, path + dir_bytes, 0) != 0 || !counted(kind, path + dir_bytes))
                return false;
        if (control->half) {
                *half = true;
                return false;
        }
        errno = control->error;
        return true;
}

/* ---- the journal ---------------------------------------------------------------------------------- */
static void note(enum record record, uint64_t inode, int64_t a, int64_t b, const char *path, const struct iovec *more,
                 int count, size_t more_bytes)
{
        struct iovec parts[66];
        struct head head = {.record = record, .inode = inode, .a = a, .b = b};
        int kept = errno, used = 2;
        size_t left = more_bytes;
        if (journal_fd < 0)
                return;
        head.path_bytes = (uint32_t)strlen(path);
        head.more_bytes = (uint32_t)more_bytes;
        head.bytes = (uint32_t)sizeof head + head.path_bytes + head.more_bytes;
        parts[0] = (struct iovec){&head, sizeof head};
        parts[1] = (struct iovec){(void *)(uintptr_t)path, head.path_bytes};
        for (int i = 0; i < count && left > 0; i++) {
                size_t bytes = more[i].iov_len < left ? more[i].iov_len : left;
                parts[used++] = (struct iovec){more[i].iov_base, bytes};
                left -= bytes;
        }
        if (writev(journal_fd, parts, used) != (ssize_t)head.bytes) {
                fprintf(stderr, "tests/faults: the journal is cut short\n");
                abort();
        }
        errno = kept;
}

static uint64_t inode_of(int fd)
{
        struct stat st;
        return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

static void note_path(enum record record, const char *path, const char *more)
{
        struct iovec part = {(void *)(uintptr_t)more, more != NULL ? strlen(more) : 0};
        note(record, 0, 0, 0, path + dir_bytes, &part, 1, part.iov_len);
}

/* A kill -9 between a call and its record would leave a change that the journal does not have, and the process that starts
 * again would build on it. So a test that records asks for a death: it makes the file JOURNAL.die.PID, and a thread here
 * waits until every call has its record, lets no other begin, and ends the process. */
static pthread_rwlock_t calls = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;

static int enter(void)
{
        return journal_fd >= 0 ? pthread_rwlock_rdlock(&calls) : -1;
}

static void leave(const int *entered)
{
        if (*entered == 0)
                pthread_rwlock_unlock(&calls);
}

/* Stands first in a function that makes a call and its record. */
#define ONE_STEP __attribute__((cleanup(leave), unused)) int entered = enter()

static char order[4200];

static void *wait_for_death(void *arg)
{
        const struct timespec pause = {.tv_nsec = 2000000};
        (void)arg;
        while (syscall(SYS_access, order, F_OK) != 0)
                nanosleep(&pause, NULL);
        pthread_rwlock_wrlock(&calls);
        kill(getpid(), SIGKILL);
        return NULL;
}

static void begin_waiting(void)
{
        pthread_t thread;
        sigset_t all, kept;
        snprintf(order, sizeof order, "%s.die.%d", getenv("LEAT_FAULTS_JOURNAL"), (int)getpid());
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &kept);
        if (pthread_create(&thread, NULL, wait_for_death, NULL) == 0)
                pthread_detach(thread);
        pthread_sigmask(SIG_SETMASK, &kept, NULL);
}

/* ---- the calls --------------------------------------------------------------------------------------- */
static int do_open(const char *path, int flags, mode_t mode)
{
        ONE_STEP;
        bool changes = (flags & (O_CREAT | O_TRUNC | O_DIRECTORY)) != 0 || (flags & O_ACCMODE) != O_RDONLY;
        if (changes && struck(OPEN, path, NULL))
                return -1;
        int fd = REAL(open)(path, flags, mode);
        if (fd >= 0 && journal_fd >= 0 && (flags & (O_CREAT | O_TRUNC)) != 0 && watched(path))
                note(R_OPEN, inode_of(fd), (flags & O_TRUNC) != 0, 0, path + dir_bytes, NULL, 0, 0);
        return fd;
}

int open(const char *path, int flags, ...)
{
        va_list args;
        va_start(args, flags);
        mode_t mode = (flags & O_CREAT) != 0 ? va_arg(args, mode_t) : 0;
        va_end(args);
        return do_open(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
        va_list args;
        va_start(args, flags);
        mode_t mode = (flags & O_CREAT) != 0 ? va_arg(args, mode_t) : 0;
        va_end(args);
        return do_open(path, flags, mode);
}

ssize_t pwrite(int fd, const void *data, size_t bytes, off_t offset)
{
        ONE_STEP;
        char path[4096];
        bool half = false, ours = fd_path(fd, path);
        if (ours && struck(WRITE, path, bytes > 1 ? &half : NULL))
                return -1;
        ssize_t put = REAL(pwrite)(fd, data, half ? bytes / 2 : bytes, offset);
        struct iovec part = {(void *)(uintptr_t)data, bytes};
        if (ours && put > 0)
                note(R_WRITE, inode_of(fd), offset, put, path + dir_bytes, &part, 1, (size_t)put);
        return put;
}

ssize_t pwrite64(int fd, const void *data, size_t bytes, off_t offset)
{
        return pwrite(fd, data, bytes, offset);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
        ONE_STEP;
        char path[4096];
        bool half = false, ours = fd_path(fd, path);
        if (ours && struck(WRITE, path, parts[0].iov_len > 1 ? &half : NULL))
                return -1;
        ssize_t put = half ? REAL(pwrite)(fd, parts[0].iov_base, parts[0].iov_len / 2, offset)
                           : REAL(pwritev)(fd, parts, count, offset);
        if (ours && put > 0)
                note(R_WRITE, inode_of(fd), offset, put, path + dir_bytes, parts, count, (size_t)put);
        return put;
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t offset)
{
        return pwritev(fd, parts, count, offset);
}

static int do_sync(int fd, int (*call)(int))
{
        ONE_STEP;
        char path[4096];
        if (!fd_path(fd, path))
                return call(fd);
        if (struck(SYNC, path, NULL))
                return -1;
        note(R_SYNC_BEGIN, inode_of(fd), 0, 0, path + dir_bytes, NULL, 0, 0);
        /* With a journal the power never goes for real: the order is what counts, and the test is quicker. */
        int rc = journal_fd >= 0 ? 0 : call(fd);
        if (rc == 0)
                note(R_SYNC_END, inode_of(fd), 0, 0, path + dir_bytes, NULL, 0, 0);
        return rc;
}

int fsync(int fd)
{
        return do_sync(fd, REAL(fsync));
}

int fdatasync(int fd)
{
        return do_sync(fd, REAL(fdatasync));
}

int ftruncate(int fd, off_t bytes)
{
        ONE_STEP;
        char path[4096];
        bool ours = fd_path(fd, path);
        if (ours && struck(SIZE, path, NULL))
                return -1;
        int rc = REAL(ftruncate)(fd, bytes);
        if (ours && rc == 0)
                note(R_SIZE, inode_of(fd), bytes, 0, path + dir_bytes, NULL, 0, 0);
        return rc;
}

int ftruncate64(int fd, off_t bytes)
{
        return ftruncate(fd, bytes);
}

int fallocate(int fd, int mode, off_t offset, off_t bytes)
{
        ONE_STEP;
        char path[4096];
        bool ours = fd_path(fd, path);
        if (ours && struck(SIZE, path, NULL))
                return -1;
        int rc = REAL(fallocate)(fd, mode, offset, bytes);
        struct stat st;
        if (ours && rc == 0 && mode == 0 && fstat(fd, &st) == 0)
                note(R_SIZE, st.st_ino, st.st_size, 0, path + dir_bytes, NULL, 0, 0);
        return rc;
}

int fallocate64(int fd, int mode, off_t offset, off_t bytes)
{
        return fallocate(fd, mode, offset, bytes);
}

/* The C library's own grows the file where the file system cannot; here an error tells so. */
int posix_fallocate(int fd, off_t offset, off_t bytes)
{
        return fallocate(fd, 0, offset, bytes) == 0 ? 0 : errno;
}

int posix_fallocate64(int fd, off_t offset, off_t bytes)
{
        return posix_fallocate(fd, offset, bytes);
}

int rename(const char *from, const char *to)
{
        ONE_STEP;
        if (!watched(from) || !watched(to))
                return REAL(rename)(from, to);
        if (struck(RENAME, from, NULL))
                return -1;
        int rc = REAL(rename)(from, to);
        if (rc == 0)
                note_path(R_RENAME, from, to + dir_bytes);
        return rc;
}

int unlink(const char *path)
{
        ONE_STEP;
        if (!watched(path))
                return REAL(unlink)(path);
        if (struck(UNLINK, path, NULL))
                return -1;
        int rc = REAL(unlink)(path);
        if (rc == 0)
                note_path(R_UNLINK, path, NULL);
        return rc;
}

int mkdir(const char *path, mode_t mode)
{
        ONE_STEP;
        struct stat st;
        if (!watched(path))
                return REAL(mkdir)(path, mode);
        if (struck(MKDIR, path, NULL))
                return -1;
        int rc = REAL(mkdir)(path, mode);
        if (rc == 0)
                note(R_MKDIR, stat(path, &st) == 0 ? st.st_ino : 0, 0, 0, path + dir_bytes, NULL, 0, 0);
        return rc;
}

int rmdir(const char *path)
{
        ONE_STEP;
        if (!watched(path))
                return REAL(rmdir)(path);
        if (struck(RMDIR, path, NULL))
                return -1;
        int rc = REAL(rmdir)(path);
        if (rc == 0)
                note_path(R_RMDIR, path, NULL);
        return rc;
}

/* ---- memory ------------------------------------------------------------------------------------------- */
/* By their names inside the C library: dlsym allocates. */
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *old, size_t bytes);
void *__libc_memalign(size_t align, size_t bytes);

static bool refused(size_t bytes)
{
        char what[32];
        if (!armed(MEMORY))
                return false;
        snprintf(what, sizeof what, "%zu", bytes);
        if (!counted(MEMORY, what))
                return false;
        errno = ENOMEM;
        return true;
}

void *malloc(size_t bytes)
{
        return refused(bytes) ? NULL : __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
        return refused(count * bytes) ? NULL : __libc_calloc(count, bytes);
}

void *realloc(void *old, size_t bytes)
{
        return refused(bytes) ? NULL : __libc_realloc(old, bytes);
}

void *aligned_alloc(size_t align, size_t bytes)
{
        return refused(bytes) ? NULL : __libc_memalign(align, bytes);
}

int posix_memalign(void **ret_at, size_t align, size_t bytes)
{
        void *at = refused(bytes) ? NULL : __libc_memalign(align, bytes);
        if (at == NULL)
                return ENOMEM;
        *ret_at = at;
        return 0;
}

/* DuckDB takes pages from the system for itself. */
void *mmap(void *at, size_t bytes, int prot, int flags, int fd, off_t offset)
{
        char path[4096];
        const char *below = path + dir_bytes;
        if (fd >= 0 && (prot & PROT_WRITE) != 0 && (flags & MAP_SHARED) != 0 && fd_path(fd, path) &&
            fnmatch("/run/*", below, 0) != 0 && fnmatch("*-shm", below, 0) != 0) {
                fprintf(stderr, "tests/faults: %s is written through a mapping: changes are not seen\n", below);
                abort();
        }
        if (fd < 0 && refused(bytes))
                return MAP_FAILED;
        return REAL(mmap)(at, bytes, prot, flags, fd, offset);
}

void *mmap64(void *at, size_t bytes, int prot, int flags, int fd, off_t offset)
{
        return mmap(at, bytes, prot, flags, fd, offset);
}
