/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/os: every system call, behind one table.
 *
 * Production code calls leat_os_*(); tests replace entries of `leat_os` and so
 * fail each call in turn (os_fault.c), or keep files in memory and drop, tear
 * and reorder what was not synced (os_simdisk.c, test library only). Calls that
 * can be cut short or interrupted (EINTR, short reads and writes) are finished
 * here; callers see all or an error.
 *
 * Paths are relative to the working directory unless absolute. Thread: any,
 * all calls may block. Errors: LEAT_EIO, LEAT_EFULL (ENOSPC, EDQUOT), LEAT_ENOTFOUND,
 * LEAT_EEXISTS as leat_error_sys() maps them; the message names the file.
 */
#ifndef LEAT_OS_H
#define LEAT_OS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "leat/bytes.h"
#include "leat/error.h"

struct iovec;
struct stat;
struct msghdr;
struct sockaddr;

/* The raw calls; each returns what the system call returns and sets errno. */
struct leat_os_table {
        int (*open)(const char *path, int flags, mode_t mode);
        int (*close)(int fd);
        ssize_t (*pread)(int fd, void *data, size_t bytes, off_t offset);
        /* preadv2 with RWF_NOWAIT: what is in memory from @offset on; EAGAIN when the first byte is not */
        ssize_t (*pread_cached)(int fd, void *data, size_t bytes, off_t offset);
        ssize_t (*pwrite)(int fd, const void *data, size_t bytes, off_t offset);
        ssize_t (*pwritev)(int fd, const struct iovec *parts, int count, off_t offset);
        int (*fdatasync)(int fd);
        int (*fsync)(int fd);
        int (*ftruncate)(int fd, off_t bytes);
        int (*fallocate)(int fd, int mode, off_t offset, off_t bytes);
        int (*fstat)(int fd, struct stat *st);
        int (*stat)(const char *path, struct stat *st);
        int (*rename)(const char *from, const char *to);
        int (*link)(const char *from, const char *to);
        int (*unlink)(const char *path);
        int (*mkdir)(const char *path, mode_t mode);
        int (*rmdir)(const char *path);
        void *(*mmap)(void *at, size_t bytes, int prot, int flags, int fd, off_t offset);
        int (*munmap)(void *at, size_t bytes);
        int64_t (*realtime_us)(void);
        int64_t (*monotonic_us)(void);
        int (*random)(void *data, size_t bytes); /* 0 or -1 */
        void (*sleep_us)(int64_t us);
        int (*accept4)(int fd, struct sockaddr *addr, unsigned *addr_len, int flags);
        ssize_t (*recv)(int fd, void *data, size_t bytes, int flags);
        ssize_t (*sendmsg)(int fd, const struct msghdr *message, int flags);
};

/* The table in use; starts as the system's. Replace entries in tests only. */
extern struct leat_os_table leat_os;
/* The system's own table. */
extern const struct leat_os_table leat_os_system;

/* ---- clocks, random ------------------------------------------------------- */
int64_t leat_os_now_us(void);       /* wall clock, microseconds since 1970 UTC */
int64_t leat_os_monotonic_us(void); /* never goes back; only differences mean anything */
void leat_os_sleep_us(int64_t us);
void leat_os_random(void *data, size_t bytes); /* never fails: aborts without entropy */

/* ---- files ---------------------------------------------------------------- */
/* @flags are O_*; O_CLOEXEC is added. Mode 0640. */
int leat_os_open(const char *path, int flags, int *ret_fd, struct leat_error *err) LEAT_NODISCARD;
/* Closes; -1 is ignored. An error of close is not reported: sync first. */
void leat_os_close(int fd);
/* Reads up to @bytes (less only at the end of the file). @name is for messages. */
int leat_os_pread(int fd, const char *name, void *data, size_t bytes, int64_t offset, size_t *ret_bytes,
                  struct leat_error *err) LEAT_NODISCARD;
/* The same without waiting for the disk: reads what is in memory, which may be less than there is. LEAT_EBUSY when not
 * even the first byte is (the system has then begun to read it). A file system that cannot tell is waited for. */
int leat_os_pread_cached(int fd, const char *name, void *data, size_t bytes, int64_t offset, size_t *ret_bytes,
                         struct leat_error *err) LEAT_NODISCARD;
/* Writes all of it or fails; after a failure any part may have been written. */
int leat_os_pwrite(int fd, const char *name, struct leat_view data, int64_t offset,
                   struct leat_error *err) LEAT_NODISCARD;
int leat_os_pwrite_chain(int fd, const char *name, const struct leat_chain *chain, int64_t offset,
                         struct leat_error *err) LEAT_NODISCARD;
int leat_os_fdatasync(int fd, const char *name, struct leat_error *err) LEAT_NODISCARD;
int leat_os_fsync(int fd, const char *name, struct leat_error *err) LEAT_NODISCARD;
int leat_os_ftruncate(int fd, const char *name, int64_t bytes, struct leat_error *err) LEAT_NODISCARD;
int leat_os_size(int fd, const char *name, int64_t *ret_bytes, struct leat_error *err) LEAT_NODISCARD;
bool leat_os_exists(const char *path);
int leat_os_rename(const char *from, const char *to, struct leat_error *err) LEAT_NODISCARD;
/* A missing file is no error. */
int leat_os_unlink(const char *path, struct leat_error *err) LEAT_NODISCARD;
/* Makes @path and its parents; existing ones are no error. */
int leat_os_mkdirs(const char *path, struct leat_error *err) LEAT_NODISCARD;
/* Makes entries of the folder durable (fsync of the folder). */
int leat_os_sync_dir(const char *path, struct leat_error *err) LEAT_NODISCARD;
/* Removes a folder with all that is in it; a missing one is no error. */
int leat_os_remove_tree(const char *path, struct leat_error *err) LEAT_NODISCARD;
/* Calls @fn for each entry but "." and "..", in no order; stops when it returns non-zero and returns that. */
int leat_os_list(const char *path, int (*fn)(void *arg, const char *name, bool is_dir), void *arg,
                 struct leat_error *err) LEAT_NODISCARD;
/* Reads a whole file of at most @max_bytes into @out (LEAT_ETOOBIG beyond). */
int leat_os_read_file(const char *path, size_t max_bytes, struct leat_buf *out, struct leat_error *err) LEAT_NODISCARD;
/* Replaces a file in one step: write "<path>.tmp", fsync, rename, fsync of the
 * folder. After a crash there is the old file or the new one. @sync false
 * leaves both syncs out (a hint that may be lost, never torn by kill -9). */
int leat_os_replace_file(const char *path, struct leat_view data, bool sync, struct leat_error *err) LEAT_NODISCARD;
/* Maps @bytes of a file to read; unmap with leat_os_unmap. */
int leat_os_map(int fd, const char *name, size_t bytes, const uint8_t **ret_data,
                struct leat_error *err) LEAT_NODISCARD;
/* Maps @bytes of a file, shared and writable; the file is grown first. */
int leat_os_map_rw(int fd, const char *name, size_t bytes, uint8_t **ret_data, struct leat_error *err) LEAT_NODISCARD;
void leat_os_unmap(const void *data, size_t bytes);
/* Bytes free for us on the file system of @path. */
int leat_os_free_bytes(const char *path, int64_t *ret_bytes, struct leat_error *err) LEAT_NODISCARD;
/* Takes an exclusive lock on @path (made when missing), writes our pid into
 * it and keeps it until close or death. LEAT_EBUSY names the holder's pid when
 * it is still held after @wait_us. */
int leat_os_lock_file(const char *path, int64_t wait_us, int *ret_fd, struct leat_error *err) LEAT_NODISCARD;

/* ---- sockets --------------------------------------------------------------- */
/* Parses "host:port" or "[v6]:port" into a numeric address; names other than
 * "localhost" are refused. */
struct leat_addr {
        char host[64];
        uint16_t port;
};
int leat_os_addr_parse(const char *text, struct leat_addr *ret_addr, struct leat_error *err) LEAT_NODISCARD;
bool leat_os_addr_is_loopback(const struct leat_addr *addr);
/* Binds and listens, SO_REUSEADDR; LEAT_EBUSY names address and remedy when the port is taken. Port 0
 * picks one, *ret_port tells which. */
int leat_os_listen(const struct leat_addr *addr, int backlog, int *ret_fd, uint16_t *ret_port,
                   struct leat_error *err) LEAT_NODISCARD;
/* Connects a blocking TCP socket with TCP_NODELAY within @timeout_us. */
int leat_os_connect(const struct leat_addr *addr, int64_t timeout_us, int *ret_fd,
                    struct leat_error *err) LEAT_NODISCARD;
/* Raw socket I/O; return bytes (of sending: at least 1), 0 at the end of the stream, -1 with errno. */
ssize_t leat_os_recv(int fd, void *data, size_t bytes);
ssize_t leat_os_send(int fd, const void *data, size_t bytes);
/* Sends from @count parts in one call. */
ssize_t leat_os_sendv(int fd, const struct iovec *parts, int count);
/* Accepts a non-blocking socket, closed at exec; @io_len is the size of @addr, then of the address. -1 with errno. */
int leat_os_accept(int fd, struct sockaddr *addr, unsigned *io_len);
/* Makes recv, send, read and write of @fd give up with EAGAIN instead of waiting. */
void leat_os_nonblock(int fd);
/* Waits until @fd is ready: @want is POLLIN|POLLOUT; returns the ready events, 0 at timeout, -1 with errno. */
int leat_os_poll1(int fd, short want, int64_t timeout_us);

/* ---- processes -------------------------------------------------------------- */
/* Starts our own binary (/proc/self/exe) with @argv (NULL-terminated), process
 * name @name; the descriptors in @keep_fds stay open with their numbers, all
 * others close at exec. The child is killed by the kernel when the supervisor dies. */
int leat_os_spawn_self(const char *name, char *const argv[], const int *keep_fds, int keep_count, int log_fd,
                       pid_t *ret_pid, struct leat_error *err) LEAT_NODISCARD;
/* Sets the name that ps and top show. */
void leat_os_set_name(const char *name);
/* Sends a signal; a process that is gone is no error. */
void leat_os_kill(pid_t pid, int signo);
/* Collects one child that has ended, without waiting: its pid and status (as waitpid), 0 when there is none. */
pid_t leat_os_reap(int *ret_status);
/* A pipe whose ends close at exec; reading never blocks. */
int leat_os_pipe(int ret_fds[2], struct leat_error *err) LEAT_NODISCARD;
/* read(2) from a pipe: bytes, 0 at the end, -1 with errno. */
ssize_t leat_os_read(int fd, void *data, size_t bytes);
/* write(2) to a pipe or the terminal. */
ssize_t leat_os_write(int fd, const void *data, size_t bytes);
/* A descriptor that becomes readable when one of @signos (0-terminated) comes; they are blocked in this thread. */
int leat_os_signal_fd(const int *signos, int *ret_fd, struct leat_error *err) LEAT_NODISCARD;
/* The signal that waits in it, 0 when none does. */
int leat_os_signal_take(int fd);
struct pollfd;
/* poll(2), restarted after signals; returns ready descriptors, 0 at timeout. */
int leat_os_poll(struct pollfd *fds, int count, int64_t timeout_us);
/* True when a process with this pid exists. */
bool leat_os_pid_alive(pid_t pid);

#endif
