/* SPDX-License-Identifier: Apache-2.0 */
#include "leat/test.h"

#include <fcntl.h>
#include <stdio.h>

#include "leat/base.h"
#include "leat/os.h"

static char *tmp_path(const char *name)
{
        static char path[512];
        snprintf(path, sizeof(path), "%s/%s", leat_test_tmpdir(), name);
        return path;
}

LEAT_TEST(file_replace_and_read)
{
        struct leat_error err;
        struct leat_buf got = LEAT_BUF_INIT;
        const char *path = tmp_path("state");
        CHECK_OK(leat_os_replace_file(path, leat_view_str("one"), true, &err), &err);
        CHECK_OK(leat_os_replace_file(path, leat_view_str("two"), false, &err), &err);
        CHECK_OK(leat_os_read_file(path, 3, &got, &err), &err);
        CHECK_STR(leat_buf_cstr(&got), "two");
        CHECK_INT(leat_os_read_file(path, 2, &got, &err), LEAT_ETOOBIG);
        CHECK_INT(leat_os_read_file(tmp_path("none"), 9, &got, &err), LEAT_ENOTFOUND);
        leat_buf_done(&got);
}
