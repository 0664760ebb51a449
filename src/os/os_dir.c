/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/os: names: folders, renames, locks, free space.
 *
 * Listing, locking and free space are outside the replaceable table: they
 * change nothing that a power loss could take back.
 */
#include "leat/os.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "leat/mem.h"

#define LOCK_POLL_US 20000

bool leat_os_exists(const char *path)
{
        struct stat st;
        return leat_os.stat(path, &st) == 0;
}

int leat_os_rename(const char *from, const char *to, struct leat_error *err)
{
        if (leat_os.rename(from, to) != 0)
                return leat_error_sys(err, errno, "cannot rename %s to %s", from, to);
        return 0;
}

int leat_os_unlink(const char *path, struct leat_error *err)
{
        if (leat_os.unlink(path) != 0 && errno != ENOENT)
                return leat_error_sys(err, errno, "cannot remove %s", path);
        return 0;
}

static int mkdir_one(const char *path, struct leat_error *err)
{
        struct stat st;
        if (leat_os.mkdir(path, 0750) == 0)
                return 0;
        int os_errno = errno;
        if (os_errno == EEXIST && leat_os.stat(path, &st) == 0 && S_ISDIR(st.st_mode))
                return 0;
        if (os_errno == EEXIST)
                return leat_error_set(err, LEAT_EEXISTS, "cannot make folder %s: a file has that name", path);
        return leat_error_sys(err, os_errno, "cannot make folder %s", path);
}

int leat_os_mkdirs(const char *path, struct leat_error *err)
{
        char *copy = leat_strdup(path);
        int rc = 0;
        for (char *slash = strchr(copy + (copy[0] == '/'), '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
                struct stat st;
                *slash = '\0';
                /* Parents that exist may be read-only for us: look before making. */
                if (leat_os.stat(copy, &st) != 0)
                        LEAT_TRY_GOTO(mkdir_one(copy, err));
                *slash = '/';
        }
        LEAT_TRY_GOTO(mkdir_one(copy, err));
fail:
        free(copy);
        return rc;
}

int leat_os_sync_dir(const char *path, struct leat_error *err)
{
        int fd = -1;
        LEAT_TRY(leat_os_open(path, O_RDONLY | O_DIRECTORY, &fd, err));
        int rc = leat_os_fsync(fd, path, err);
        leat_os_close(fd);
        return rc;
}

static bool entry_is_dir(const char *path, const struct dirent *entry)
{
        if (entry->d_type != DT_UNKNOWN)
                return entry->d_type == DT_DIR;
        char *full = leat_asprintf("%s/%s", path, entry->d_name);
        struct stat st;
        bool is_dir = lstat(full, &st) == 0 && S_ISDIR(st.st_mode);
        free(full);
        return is_dir;
}

int leat_os_list(const char *path, int (*fn)(void *arg, const char *name, bool is_dir), void *arg,
                 struct leat_error *err)
{
        DIR *dir = opendir(path);
        if (dir == NULL)
                return leat_error_sys(err, errno, "cannot list folder %s", path);
        int rc = 0;
        for (;;) {
                errno = 0;
                struct dirent *entry = readdir(dir);
                if (entry == NULL) {
                        if (errno != 0)
                                rc = leat_error_sys(err, errno, "cannot list folder %s", path);
                        break;
                }
                if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                        continue;
                rc = fn(arg, entry->d_name, entry_is_dir(path, entry));
                if (rc != 0)
                        break;
        }
        closedir(dir);
        return rc;
}

struct remove_walk {
        const char *path;
        struct leat_error *err;
};

static int remove_entry(void *arg, const char *name, bool is_dir)
{
        struct remove_walk *walk = arg;
        char *full = leat_asprintf("%s/%s", walk->path, name);
        int rc = is_dir ? leat_os_remove_tree(full, walk->err) : leat_os_unlink(full, walk->err);
        free(full);
        return rc;
}

int leat_os_remove_tree(const char *path, struct leat_error *err)
{
        struct remove_walk walk = {.path = path, .err = err};
        struct stat st;
        if (lstat(path, &st) != 0 && errno == ENOENT)
                return 0;
        LEAT_TRY(leat_os_list(path, remove_entry, &walk, err));
        if (leat_os.rmdir(path) != 0 && errno != ENOENT)
                return leat_error_sys(err, errno, "cannot remove folder %s", path);
        return 0;
}

int leat_os_free_bytes(const char *path, int64_t *ret_bytes, struct leat_error *err)
{
        struct statvfs st;
        if (statvfs(path, &st) != 0)
                return leat_error_sys(err, errno, "cannot look at the file system of %s", path);
        *ret_bytes = (int64_t)st.f_bavail * (int64_t)st.f_frsize;
        return 0;
}

/* ---- locks --------------------------------------------------------------------- */

static int lock_busy(int fd, const char *path, struct leat_error *err)
{
        char text[32] = "";
        ssize_t got = pread(fd, text, sizeof(text) - 1, 0);
        text[got > 0 ? got : 0] = '\0';
        long pid = strtol(text, NULL, 10);
        int rc;
        if (pid > 0)
                rc = leat_error_set(err, LEAT_EBUSY, "%s is locked by process %ld", path, pid);
        else
                rc = leat_error_set(err, LEAT_EBUSY, "%s is locked by another process", path);
        if (err != NULL)
                err->retriable = true;
        return rc;
}

int leat_os_lock_file(const char *path, int64_t wait_us, int *ret_fd, struct leat_error *err)
{
        int fd = -1, rc = 0;
        LEAT_TRY(leat_os_open(path, O_RDWR | O_CREAT, &fd, err));
        int64_t give_up_us = leat_os_monotonic_us() + wait_us;
        while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
                if (errno == EINTR)
                        continue;
                if (errno != EWOULDBLOCK) {
                        rc = leat_error_sys(err, errno, "cannot lock %s", path);
                        goto fail;
                }
                if (leat_os_monotonic_us() >= give_up_us) {
                        rc = lock_busy(fd, path, err);
                        goto fail;
                }
                leat_os_sleep_us(LOCK_POLL_US);
        }
        char text[32];
        int len = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
        LEAT_TRY_GOTO(leat_os_ftruncate(fd, path, 0, err));
        LEAT_TRY_GOTO(leat_os_pwrite(fd, path, leat_view_of(text, (size_t)len), 0, err));
        *ret_fd = fd;
        return 0;
fail:
        leat_os_close(fd);
        return rc;
}
