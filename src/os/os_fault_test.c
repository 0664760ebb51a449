/* SPDX-License-Identifier: Apache-2.0 */
#include "leat/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "leat/base.h"
#include "leat/os_test.h"

static const char *state_path(void)
{
        static char path[512];
        snprintf(path, sizeof(path), "%s/state", leat_test_tmpdir());
        return path;
}

static void check_holds(const char *a, const char *b)
{
        struct leat_error err;
        struct leat_buf got = LEAT_BUF_INIT;
        CHECK_OK(leat_os_read_file(state_path(), 100, &got, &err), &err);
        const char *text = leat_buf_cstr(&got);
        if (strcmp(text, a) != 0)
                CHECK_STR(text, b);
        leat_buf_done(&got);
}

/* Whatever call fails, replacing a file leaves the old one or the new one, and tells which error it was. */
LEAT_TEST(fault_each_call_of_replace)
{
        struct leat_error err;
        uint64_t n = 1, fired = 1;
        CHECK_OK(leat_os_replace_file(state_path(), leat_view_str("old"), true, &err), &err);
        for (; fired > 0; n++) {
                leat_fault_install();
                leat_fault_add((struct leat_fault){.kind = LEAT_FAULT_ANY, .nth = n, .os_errno = ENOSPC});
                int rc = leat_os_replace_file(state_path(), leat_view_str("new"), true, &err);
                fired = leat_fault_fired();
                leat_fault_remove();
                CHECK_INT(rc, fired > 0 ? LEAT_EFULL : 0);
                check_holds("old", "new");
        }
        CHECK_INT(n, 8); /* open, pwrite, fsync, rename, open, fsync of the folder, then the clean run */
        check_holds("new", "new");
}

LEAT_TEST(fault_eintr_and_short_are_finished)
{
        struct leat_error err;
        leat_fault_install();
        leat_fault_add((struct leat_fault){.kind = LEAT_FAULT_PWRITE, .os_errno = EINTR, .times = 3});
        leat_fault_add((struct leat_fault){.kind = LEAT_FAULT_PWRITE, .nth = 4, .short_bytes = 2, .times = 2});
        leat_fault_add((struct leat_fault){.kind = LEAT_FAULT_PREAD, .short_bytes = 1, .times = LEAT_FAULT_FOREVER});
        leat_fault_add((struct leat_fault){.kind = LEAT_FAULT_SYNCS, .os_errno = EINTR});
        leat_fault_add((struct leat_fault){.kind = LEAT_FAULT_OPEN, .os_errno = EINTR});
        int rc = leat_os_replace_file(state_path(), leat_view_str("0123456789"), true, &err);
        CHECK_INT(leat_fault_calls(LEAT_FAULT_PWRITE), 6);
        check_holds("0123456789", "");
        leat_fault_remove();
        CHECK_OK(rc, &err);
}

LEAT_TEST(fault_by_path_until_cleared)
{
        struct leat_error err;
        char other[512];
        snprintf(other, sizeof(other), "%s/other", leat_test_tmpdir());
        leat_fault_install();
        leat_fault_add((struct leat_fault){
                .kind = LEAT_FAULT_WRITES, .path = "/state", .os_errno = EIO, .times = LEAT_FAULT_FOREVER});
        int first = leat_os_replace_file(state_path(), leat_view_str("x"), true, &err);
        int second = leat_os_replace_file(state_path(), leat_view_str("x"), true, NULL);
        int elsewhere = leat_os_replace_file(other, leat_view_str("x"), true, NULL);
        leat_fault_clear();
        int after = leat_os_replace_file(state_path(), leat_view_str("x"), true, NULL);
        leat_fault_remove();
        CHECK_INT(first, LEAT_EIO);
        CHECK_INT(err.os_errno, EIO);
        CHECK_INT(second, LEAT_EIO);
        CHECK_INT(elsewhere, 0);
        CHECK_INT(after, 0);
}

/* A write that fails half-way has changed the file. */
LEAT_TEST(fault_torn_write_then_error)
{
        struct leat_error err;
        struct leat_chain chain = LEAT_CHAIN_INIT;
        int fd, rc;
        leat_chain_add(&chain, NULL, leat_view_str("abc"));
        leat_chain_add(&chain, NULL, leat_view_str("def"));
        CHECK_OK(leat_os_open(state_path(), O_RDWR | O_CREAT, &fd, &err), &err);
        leat_fault_install();
        leat_fault_add((struct leat_fault){.kind = LEAT_FAULT_PWRITE, .os_errno = EIO, .short_bytes = 4});
        rc = leat_os_pwrite_chain(fd, "state", &chain, 0, &err);
        leat_fault_remove();
        CHECK_INT(rc, LEAT_EIO);
        check_holds("abcd", "");
        leat_os_close(fd);
        leat_chain_done(&chain);
}
