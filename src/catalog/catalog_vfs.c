/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/catalog: SQLite's own file access, with syncs that a signal does not end.
 *
 * SQLite repeats interrupted reads and writes, but takes an interrupted fsync
 * (EINTR) for a broken disk, and the statement fails. "leat" is the system's
 * VFS with one method in front: behind each file of the system's stands a copy
 * of its method table, in which the sync is ours.
 *
 * Memory   in the room that SQLite gives to a file (szOsFile), so freed with it.
 * Threads  registered once in a process; SQLite's list of VFSs is its own.
 */
#include "catalog_int.h"

#include <errno.h>
#include <pthread.h>

#define VFS_NAME "leat"

struct file_tail {
        sqlite3_io_methods methods;
        int (*sync)(sqlite3_file *file, int flags);
};

/* SQLite's registry is global and wants what is in it for ever. */
static struct {
        pthread_once_t once;
        sqlite3_vfs *system;
        sqlite3_vfs vfs;
        size_t tail_at;
        int rc;
} vfs_state = {.once = PTHREAD_ONCE_INIT};

static struct file_tail *tail_of(sqlite3_file *file)
{
        return (struct file_tail *)(void *)((char *)file + vfs_state.tail_at);
}

static int file_sync(sqlite3_file *file, int flags)
{
        struct file_tail *tail = tail_of(file);
        for (;;) {
                int cause = 0, rc = tail->sync(file, flags);
                if (rc != SQLITE_IOERR_FSYNC ||
                    tail->methods.xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &cause) != SQLITE_OK || cause != EINTR)
                        return rc;
        }
}

static int file_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
        (void)vfs;
        int rc = vfs_state.system->xOpen(vfs_state.system, name, file, flags, ret_flags);
        if (rc != SQLITE_OK || file->pMethods == NULL)
                return rc;
        struct file_tail *tail = tail_of(file);
        tail->methods = *file->pMethods;
        tail->sync = file->pMethods->xSync;
        tail->methods.xSync = file_sync;
        file->pMethods = &tail->methods;
        return rc;
}

static void vfs_register(void)
{
        size_t align = _Alignof(struct file_tail);
        vfs_state.system = sqlite3_vfs_find(NULL);
        LEAT_ASSERT(vfs_state.system != NULL);
        vfs_state.tail_at = ((size_t)vfs_state.system->szOsFile + align - 1) / align * align;
        vfs_state.vfs = *vfs_state.system;
        vfs_state.vfs.zName = VFS_NAME;
        vfs_state.vfs.pNext = NULL;
        vfs_state.vfs.szOsFile = (int)(vfs_state.tail_at + sizeof(struct file_tail));
        vfs_state.vfs.xOpen = file_open;
        vfs_state.rc = sqlite3_vfs_register(&vfs_state.vfs, 0);
}

int leat_catalog_vfs(const char **ret_name)
{
        pthread_once(&vfs_state.once, vfs_register);
        *ret_name = VFS_NAME;
        return vfs_state.rc;
}
