/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/os, for tests: the system calls of a disk that loses power.
 *
 * Each call is made on the real folder first and, when it succeeds, noted in
 * the tree (os_simdisk_int.h). Syncs only move bytes inside the tree, so a
 * test that syncs a thousand times is quick.
 *
 * Threads   One lock around the call and its note, so that the order in the
 *           tree is the order on the disk.
 */
#include "os_simdisk_int.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "leat/mem.h"

#define FDS_MAX 65536

struct leat_simdisk {
        pthread_mutex_t lock;
        struct leat_os_table under;
        struct sim_tree *tree;              /* locked, like all below */
        struct sim_node *fd_nodes[FDS_MAX]; /* NULL: not ours, or of the dead process */
        const char *fail_path;
        int fail_errno;
};

/* The one disk; the calls of the table carry no context. */
static struct leat_simdisk *sim;

static void sim_lock(void)
{
        pthread_mutex_lock(&sim->lock);
}

/* Unlocks and returns @rc, with errno kept. */
static int sim_unlock(int rc)
{
        int os_errno = errno;
        pthread_mutex_unlock(&sim->lock);
        errno = os_errno;
        return rc;
}

static struct sim_node *fd_node(int fd)
{
        return fd >= 0 && fd < FDS_MAX ? sim->fd_nodes[fd] : NULL;
}

/* The path below the root, malloced, or NULL. Relative paths start at the working directory. */
static char *inside_path(const char *path)
{
        char *absolute;
        if (path[0] == '/') {
                absolute = leat_strdup(path);
        } else {
                char cwd[4096];
                LEAT_ASSERT(getcwd(cwd, sizeof(cwd)) != NULL);
                absolute = leat_asprintf("%s/%s", cwd, path);
        }
        const char *inside = leat_sim_tree_inside(sim->tree, absolute);
        char *copy = inside != NULL ? leat_strdup(inside) : NULL;
        free(absolute);
        size_t len = copy != NULL ? strlen(copy) : 0;
        while (len > 0 && copy[len - 1] == '/')
                copy[--len] = '\0';
        return copy;
}

/* ---- descriptors ------------------------------------------------------------------ */

static int sim_open(const char *path, int flags, mode_t mode)
{
        sim_lock();
        char *inside = inside_path(path);
        int fd = sim->under.open(path, flags, mode);
        if (fd >= 0 && fd < FDS_MAX)
                sim->fd_nodes[fd] = NULL;
        if (fd >= 0 && inside != NULL) {
                LEAT_ASSERT(fd < FDS_MAX && (flags & O_TMPFILE) != O_TMPFILE);
                struct sim_node *node = leat_sim_tree_find(sim->tree, inside);
                if (node == NULL)
                        node = leat_sim_tree_create(sim->tree, inside, false);
                else if (flags & O_TRUNC)
                        leat_sim_node_resize(node, 0);
                sim->fd_nodes[fd] = node;
        }
        free(inside);
        return sim_unlock(fd);
}

static int sim_close(int fd)
{
        sim_lock();
        if (fd >= 0 && fd < FDS_MAX)
                sim->fd_nodes[fd] = NULL;
        return sim_unlock(sim->under.close(fd));
}

static ssize_t sim_pwrite(int fd, const void *data, size_t bytes, off_t offset)
{
        sim_lock();
        ssize_t put = sim->under.pwrite(fd, data, bytes, offset);
        struct sim_node *node = fd_node(fd);
        if (put > 0 && node != NULL)
                leat_sim_node_write(node, leat_view_of(data, (size_t)put), offset);
        sim_unlock(0);
        return put;
}

static ssize_t sim_pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
        sim_lock();
        ssize_t put = sim->under.pwritev(fd, parts, count, offset);
        struct sim_node *node = fd_node(fd);
        size_t left = put > 0 ? (size_t)put : 0;
        for (int i = 0; i < count && left > 0 && node != NULL; i++) {
                size_t bytes = LEAT_MIN(left, parts[i].iov_len);
                leat_sim_node_write(node, leat_view_of(parts[i].iov_base, bytes), offset);
                offset += (off_t)bytes;
                left -= bytes;
        }
        sim_unlock(0);
        return put;
}

/* True when the sync of @fd was asked to fail. */
static bool sync_fails(int fd)
{
        char *link_path, path[4096];
        if (sim->fail_path == NULL)
                return false;
        link_path = leat_asprintf("/proc/self/fd/%d", fd);
        ssize_t len = readlink(link_path, path, sizeof(path) - 1);
        free(link_path);
        path[len > 0 ? len : 0] = '\0';
        return strstr(path, sim->fail_path) != NULL;
}

static int sim_sync(int fd)
{
        sim_lock();
        struct sim_node *node = fd_node(fd);
        if (node == NULL)
                return sim_unlock(sim->under.fdatasync(fd));
        if (sync_fails(fd)) {
                sim->fail_path = NULL;
                leat_sim_node_forget(node);
                errno = sim->fail_errno;
                return sim_unlock(-1);
        }
        leat_sim_node_sync(sim->tree, node, fd);
        return sim_unlock(0);
}

static int sim_ftruncate(int fd, off_t bytes)
{
        sim_lock();
        int rc = sim->under.ftruncate(fd, bytes);
        if (rc == 0 && fd_node(fd) != NULL)
                leat_sim_node_resize(fd_node(fd), bytes);
        return sim_unlock(rc);
}

static int sim_fallocate(int fd, int mode, off_t offset, off_t bytes)
{
        sim_lock();
        struct stat before;
        int rc = sim->under.fstat(fd, &before) == 0 ? sim->under.fallocate(fd, mode, offset, bytes) : -1;
        struct sim_node *node = fd_node(fd);
        if (rc == 0 && node != NULL) {
                LEAT_ASSERT((mode & ~FALLOC_FL_KEEP_SIZE) == 0);
                if (!(mode & FALLOC_FL_KEEP_SIZE) && offset + bytes > before.st_size)
                        leat_sim_node_resize(node, offset + bytes);
        }
        return sim_unlock(rc);
}

static void *sim_mmap(void *at, size_t bytes, int prot, int flags, int fd, off_t offset)
{
        sim_lock();
        void *got = sim->under.mmap(at, bytes, prot, flags, fd, offset);
        if (got != MAP_FAILED && (prot & PROT_WRITE) && (flags & MAP_SHARED) && fd_node(fd) != NULL)
                fd_node(fd)->mapped = true;
        sim_unlock(0);
        return got;
}

/* ---- names --------------------------------------------------------------------------- */

static int sim_rename(const char *from, const char *to)
{
        sim_lock();
        char *inside_from = inside_path(from), *inside_to = inside_path(to);
        int rc = sim->under.rename(from, to);
        LEAT_ASSERT((inside_from == NULL) == (inside_to == NULL));
        if (rc == 0 && inside_from != NULL)
                leat_sim_tree_rename(sim->tree, inside_from, inside_to);
        free(inside_from);
        free(inside_to);
        return sim_unlock(rc);
}

static int sim_link(const char *from, const char *to)
{
        sim_lock();
        char *inside_from = inside_path(from), *inside_to = inside_path(to);
        int rc = sim->under.link(from, to);
        if (rc == 0 && inside_to != NULL) {
                struct sim_node *node = inside_from != NULL ? leat_sim_tree_find(sim->tree, inside_from) : NULL;
                LEAT_ASSERT(node != NULL);
                leat_sim_tree_link(sim->tree, node, inside_to);
        }
        free(inside_from);
        free(inside_to);
        return sim_unlock(rc);
}

/* unlink and rmdir look alike to the tree. */
static int sim_remove(const char *path, int (*call)(const char *))
{
        sim_lock();
        char *inside = inside_path(path);
        int rc = call(path);
        if (rc == 0 && inside != NULL)
                leat_sim_tree_unlink(sim->tree, inside);
        free(inside);
        return sim_unlock(rc);
}

static int sim_unlink(const char *path)
{
        return sim_remove(path, sim->under.unlink);
}

static int sim_rmdir(const char *path)
{
        return sim_remove(path, sim->under.rmdir);
}

static int sim_mkdir(const char *path, mode_t mode)
{
        sim_lock();
        char *inside = inside_path(path);
        int rc = sim->under.mkdir(path, mode);
        if (rc == 0 && inside != NULL)
                leat_sim_tree_create(sim->tree, inside, true);
        free(inside);
        return sim_unlock(rc);
}

/* ---- control -------------------------------------------------------------------------- */

struct leat_simdisk *leat_simdisk_new(const char *root)
{
        LEAT_ASSERT(sim == NULL);
        struct leat_simdisk *disk = leat_calloc(1, sizeof(*disk));
        pthread_mutex_init(&disk->lock, NULL);
        disk->under = leat_os;
        disk->tree = leat_sim_tree_new(root);
        sim = disk;
        leat_os.open = sim_open;
        leat_os.close = sim_close;
        leat_os.pwrite = sim_pwrite;
        leat_os.pwritev = sim_pwritev;
        leat_os.fdatasync = sim_sync;
        leat_os.fsync = sim_sync;
        leat_os.ftruncate = sim_ftruncate;
        leat_os.fallocate = sim_fallocate;
        leat_os.rename = sim_rename;
        leat_os.link = sim_link;
        leat_os.unlink = sim_unlink;
        leat_os.mkdir = sim_mkdir;
        leat_os.rmdir = sim_rmdir;
        leat_os.mmap = sim_mmap;
        return disk;
}

void leat_simdisk_free(struct leat_simdisk *disk)
{
        if (disk == NULL)
                return;
        leat_os = disk->under;
        sim = NULL;
        leat_sim_tree_free(disk->tree);
        pthread_mutex_destroy(&disk->lock);
        free(disk);
}

void leat_simdisk_power_loss(struct leat_simdisk *disk, uint64_t seed)
{
        pthread_mutex_lock(&disk->lock);
        leat_sim_tree_power_loss(disk->tree, seed);
        memset(disk->fd_nodes, 0, sizeof(disk->fd_nodes));
        disk->fail_path = NULL;
        pthread_mutex_unlock(&disk->lock);
}

void leat_simdisk_fail_sync(struct leat_simdisk *disk, const char *path, int os_errno)
{
        pthread_mutex_lock(&disk->lock);
        disk->fail_path = path;
        disk->fail_errno = os_errno;
        pthread_mutex_unlock(&disk->lock);
}

uint64_t leat_simdisk_unsynced_bytes(struct leat_simdisk *disk)
{
        pthread_mutex_lock(&disk->lock);
        uint64_t bytes = leat_sim_tree_unsynced_bytes(disk->tree);
        pthread_mutex_unlock(&disk->lock);
        return bytes;
}
