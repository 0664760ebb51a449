/* SPDX-License-Identifier: Apache-2.0 */
/* The C library's syncs of this program are here, so that SQLite's can be interrupted. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "catalog_int.h"
#include "leat/test.h"

static atomic_int interrupts, syncs;
static int sync_error;

static int sync_call(long number, int fd)
{
        atomic_fetch_add(&syncs, 1);
        if (atomic_load(&interrupts) > 0) {
                atomic_fetch_sub(&interrupts, 1);
                errno = sync_error;
                return -1;
        }
        return (int)syscall(number, fd);
}

int fsync(int fd)
{
        return sync_call(SYS_fsync, fd);
}

int fdatasync(int fd)
{
        return sync_call(SYS_fdatasync, fd);
}

static int commit(struct leat_catalog *cat, int error, int count, struct leat_error *err)
{
        uint64_t first;
        sync_error = error;
        atomic_store(&interrupts, count);
        atomic_store(&syncs, 0);
        int rc = leat_catalog_arrangement_ids(cat, 1, &first, err);
        atomic_store(&interrupts, 0);
        return rc;
}

LEAT_TEST(interrupted_syncs_are_repeated)
{
        char path[4096];
        struct leat_catalog *cat;
        struct leat_error err = {0};
        snprintf(path, sizeof path, "%s/catalog.db", leat_test_tmpdir());
        CHECK_OK(leat_catalog_open(path, &cat, &err), &err);
        CHECK_OK(commit(cat, EINTR, 0, &err), &err);
        int quiet = atomic_load(&syncs);
        CHECK(quiet > 0);
        CHECK_OK(commit(cat, EINTR, 5, &err), &err);
        CHECK_INT(atomic_load(&syncs), quiet + 5);
        /* A disk that is broken is told. */
        CHECK_INT(commit(cat, EIO, 1, &err), LEAT_EIO);
        CHECK_OK(commit(cat, EIO, 0, &err), &err);
        leat_catalog_close(cat);
}
