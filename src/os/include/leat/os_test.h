/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/os, for tests: failing system calls and a disk that loses power. Both
 * replace the entries of `leat_os`; code under test notices nothing. Linked
 * into test programs only (leat_os_test, os_test_dep).
 *
 * Fail each call of a scenario in turn:
 *
 *   for (uint64_t n = 1;; n++) {
 *           leat_fault_install();
 *           leat_fault_add((struct leat_fault){.kind = LEAT_FAULT_WRITES, .nth = n, .os_errno = EIO});
 *           scenario();
 *           uint64_t fired = leat_fault_fired();
 *           leat_fault_remove();
 *           check_promises();
 *           if (fired == 0)
 *                   break;
 *   }
 *
 * Lose power after a scenario:
 *
 *   struct leat_simdisk *disk = leat_simdisk_new(leat_test_tmpdir());
 *   scenario();                       everything below the folder is watched
 *   leat_simdisk_power_loss(disk, seed);
 *   check_promises();                 open the files again as after a reboot
 *   leat_simdisk_free(disk);
 *
 * Faults may be installed over a simulated disk (disk first). Thread: the
 * calls under test may come from any; install and remove from one.
 */
#ifndef LEAT_OS_TEST_H
#define LEAT_OS_TEST_H

#include <stdbool.h>
#include <stdint.h>

#include "leat/os.h"

/* ---- faults ---------------------------------------------------------------- */

enum leat_fault_kind {
        LEAT_FAULT_OPEN,
        LEAT_FAULT_PREAD,
        LEAT_FAULT_PREAD_CACHED,
        LEAT_FAULT_PWRITE, /* pwritev too */
        LEAT_FAULT_FDATASYNC,
        LEAT_FAULT_FSYNC,
        LEAT_FAULT_FTRUNCATE,
        LEAT_FAULT_FALLOCATE,
        LEAT_FAULT_FSTAT,
        LEAT_FAULT_STAT,
        LEAT_FAULT_RENAME,
        LEAT_FAULT_LINK,
        LEAT_FAULT_UNLINK,
        LEAT_FAULT_MKDIR,
        LEAT_FAULT_RMDIR,
        LEAT_FAULT_MMAP,
        LEAT_FAULT_KINDS,
        LEAT_FAULT_ANY,    /* every kind above */
        LEAT_FAULT_WRITES, /* those that change the disk: PWRITE to RMDIR without FSTAT and STAT, and MMAP not */
        LEAT_FAULT_SYNCS,  /* FDATASYNC and FSYNC */
};

#define LEAT_FAULT_FOREVER UINT64_MAX

struct leat_fault {
        enum leat_fault_kind kind;
        const char *path;   /* only calls on paths that hold this text; NULL = all. Must outlive the fault */
        uint64_t nth;       /* first call that fails, counted from 1 among those that match; 0 = 1 */
        uint64_t times;     /* how many calls fail from there on; 0 = 1, or LEAT_FAULT_FOREVER */
        int os_errno;       /* errno of the failure; 0 only together with short_bytes */
        size_t short_bytes; /* PWRITE, PREAD: so many bytes are transferred first. Without os_errno: a short success */
};

/* Wraps the table in use, with no faults and all counts at 0. */
void leat_fault_install(void);
/* Puts the table back as it was. Does nothing when not installed. */
void leat_fault_remove(void);
/* Adds one; at most 16. Of several that match a call the first added wins. */
void leat_fault_add(struct leat_fault fault);
/* Forgets all faults (the disk is well again); counts go on. */
void leat_fault_clear(void);
/* Calls of this kind since install, failed ones included. */
uint64_t leat_fault_calls(enum leat_fault_kind kind);
/* How many calls were made to fail, or cut short, since install. */
uint64_t leat_fault_fired(void);

/* ---- a disk that loses power ------------------------------------------------- */
/*
 * What survives is what the strictest file system would keep:
 *   data     as of the last successful fdatasync or fsync of the file, plus any
 *            subset of what was written since, torn at 512-byte sectors; areas
 *            between that were not written read as zeros
 *   names    as of the last fsync of the folder, plus a prefix of what was done
 *            in that folder since; a rename happens whole or not at all
 */
struct leat_simdisk;

/* Watches the folder @root (absolute; what is in it counts as synced) through
 * `leat_os`. One disk at a time. */
struct leat_simdisk *leat_simdisk_new(const char *root);
/* Stops watching; the files stay as they are. */
void leat_simdisk_free(struct leat_simdisk *disk);
/* Puts the folder into a state that a power loss now could leave; the same
 * @seed and history give the same one. Descriptors opened before belong to the
 * dead process: close them, nothing done with them reaches the disk. Seeds 0
 * and 1 are the extremes: nothing, everything that was not synced survives. */
void leat_simdisk_power_loss(struct leat_simdisk *disk, uint64_t seed);
/* The next sync of a file whose path holds @path fails with @os_errno, and, as
 * Linux does, forgets what it should have written: a later sync succeeds, but
 * those bytes are not on the disk. @path must live until then. */
void leat_simdisk_fail_sync(struct leat_simdisk *disk, const char *path, int os_errno);
/* Bytes written and not yet synced. */
uint64_t leat_simdisk_unsynced_bytes(struct leat_simdisk *disk);

#endif
