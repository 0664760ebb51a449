/* SPDX-License-Identifier: Apache-2.0 */
#include "leat/test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "leat/base.h"
#include "leat/os.h"

static const char *tmp_path(const char *name)
{
        static char paths[4][512];
        static int next;
        char *path = paths[next++ % 4];
        snprintf(path, sizeof(paths[0]), "%s/%s", leat_test_tmpdir(), name);
        return path;
}

LEAT_TEST(file_replace_and_read)
{
        struct leat_error err;
        struct leat_buf got = LEAT_BUF_INIT;
        const char *path = tmp_path("state");
        CHECK_OK(leat_os_replace_file(path, leat_view_str("one"), true, &err), &err);
        CHECK_OK(leat_os_replace_file(path, leat_view_str("two"), false, &err), &err);
        CHECK(!leat_os_exists(tmp_path("state.tmp")));
        CHECK_OK(leat_os_read_file(path, 3, &got, &err), &err);
        CHECK_STR(leat_buf_cstr(&got), "two");
        CHECK_INT(leat_os_read_file(path, 2, &got, &err), LEAT_ETOOBIG);
        CHECK_INT(got.len, 3);
        CHECK_INT(leat_os_read_file(tmp_path("none"), 9, &got, &err), LEAT_ENOTFOUND);
        CHECK(strstr(err.message, "none") != NULL);
        leat_buf_done(&got);
}

LEAT_TEST(file_read_proc)
{
        struct leat_error err;
        struct leat_buf got = LEAT_BUF_INIT;
        CHECK_OK(leat_os_read_file("/proc/self/stat", 65536, &got, &err), &err); /* says its size is 0 */
        CHECK_INT(strtol(leat_buf_cstr(&got), NULL, 10), getpid());
        leat_buf_done(&got);
}

LEAT_TEST(file_chain_longer_than_one_call)
{
        struct leat_error err;
        struct leat_chain chain = LEAT_CHAIN_INIT;
        struct leat_buf want = LEAT_BUF_INIT, got = LEAT_BUF_INIT;
        for (int i = 0; i < 1000; i++) {
                struct leat_buf part = LEAT_BUF_INIT;
                leat_buf_printf(&part, "part %d;", i);
                leat_buf_add_view(&want, leat_buf_view(&part));
                leat_chain_add_buf(&chain, &part);
        }
        int fd;
        const char *path = tmp_path("chain");
        CHECK_OK(leat_os_open(path, O_RDWR | O_CREAT, &fd, &err), &err);
        CHECK_OK(leat_os_pwrite_chain(fd, path, &chain, 7, &err), &err);
        CHECK_OK(leat_os_fdatasync(fd, path, &err), &err);
        CHECK_OK(leat_os_read_file(path, 1 << 20, &got, &err), &err);
        CHECK_INT(got.len, want.len + 7);
        CHECK(memcmp(got.data + 7, want.data, want.len) == 0);
        uint8_t bytes[16];
        size_t n;
        CHECK_OK(leat_os_pread(fd, path, bytes, sizeof(bytes), (int64_t)got.len - 4, &n, &err), &err);
        CHECK_INT(n, 4);
        int64_t size;
        CHECK_OK(leat_os_ftruncate(fd, path, 10, &err), &err);
        CHECK_OK(leat_os_size(fd, path, &size, &err), &err);
        CHECK_INT(size, 10);
        leat_os_close(fd);
        leat_chain_done(&chain);
        leat_buf_done(&want);
        leat_buf_done(&got);
}

LEAT_TEST(file_map)
{
        struct leat_error err;
        const char *path = tmp_path("map");
        int fd;
        uint8_t *rw;
        const uint8_t *ro;
        int64_t size;
        CHECK_OK(leat_os_open(path, O_RDWR | O_CREAT, &fd, &err), &err);
        CHECK_OK(leat_os_map_rw(fd, path, 10000, &rw, &err), &err);
        CHECK_OK(leat_os_size(fd, path, &size, &err), &err);
        CHECK_INT(size, 10000);
        rw[9999] = 42;
        CHECK_OK(leat_os_map(fd, path, 10000, &ro, &err), &err);
        CHECK_INT(ro[9999], 42);
        CHECK_INT(leat_os_map(fd, path, 0, &ro, &err), LEAT_EINVAL);
        leat_os_unmap(rw, 10000);
        leat_os_unmap(ro, 10000);
        leat_os_close(fd);
}

struct seen {
        int files, dirs;
};

static int count_entry(void *arg, const char *name, bool is_dir)
{
        struct seen *seen = arg;
        (void)name;
        seen->files += !is_dir;
        seen->dirs += is_dir;
        return 0;
}

static int stop_at_once(void *arg, const char *name, bool is_dir)
{
        (void)arg, (void)name, (void)is_dir;
        return 77;
}

LEAT_TEST(dir_make_list_remove)
{
        struct leat_error err;
        struct seen seen = {0};
        CHECK_OK(leat_os_mkdirs(tmp_path("a/b/c"), &err), &err);
        CHECK_OK(leat_os_mkdirs(tmp_path("a/b/c"), &err), &err);
        CHECK_OK(leat_os_replace_file(tmp_path("a/file"), leat_view_str("x"), false, &err), &err);
        CHECK_INT(leat_os_mkdirs(tmp_path("a/file"), &err), LEAT_EEXISTS);
        CHECK(symlink("/etc", tmp_path("a/link")) == 0); /* removed, not followed */
        CHECK_OK(leat_os_list(tmp_path("a"), count_entry, &seen, &err), &err);
        CHECK_INT(seen.files, 2);
        CHECK_INT(seen.dirs, 1);
        CHECK_INT(leat_os_list(tmp_path("a"), stop_at_once, NULL, &err), 77);
        CHECK_OK(leat_os_sync_dir(tmp_path("a"), &err), &err);
        CHECK_OK(leat_os_rename(tmp_path("a/file"), tmp_path("a/b/file"), &err), &err);
        CHECK_INT(leat_os_rename(tmp_path("a/file"), tmp_path("x"), &err), LEAT_ENOTFOUND);
        CHECK_OK(leat_os_unlink(tmp_path("a/never"), &err), &err);
        CHECK_OK(leat_os_remove_tree(tmp_path("a"), &err), &err);
        CHECK_OK(leat_os_remove_tree(tmp_path("a"), &err), &err);
        CHECK(!leat_os_exists(tmp_path("a")));
        CHECK(leat_os_exists("/etc/passwd"));
        int64_t free_bytes;
        CHECK_OK(leat_os_free_bytes(leat_test_tmpdir(), &free_bytes, &err), &err);
        CHECK(free_bytes > 0);
}

LEAT_TEST(lock_names_its_holder)
{
        struct leat_error err;
        const char *path = tmp_path("lock");
        int fd, second, ready[2];
        CHECK(pipe(ready) == 0);
        pid_t child = fork();
        if (child == 0) {
                if (leat_os_lock_file(path, 0, &fd, NULL) != 0)
                        _exit(1);
                ssize_t put = write(ready[1], "x", 1);
                (void)put;
                pause();
                _exit(0);
        }
        char byte;
        CHECK_INT(read(ready[0], &byte, 1), 1);
        char pid_text[32];
        snprintf(pid_text, sizeof(pid_text), "process %d", (int)child);
        int64_t before_us = leat_os_monotonic_us();
        CHECK_INT(leat_os_lock_file(path, 100000, &second, &err), LEAT_EBUSY);
        CHECK(leat_os_monotonic_us() - before_us >= 100000);
        CHECK(strstr(err.message, pid_text) != NULL);
        CHECK(leat_os_pid_alive(child));
        CHECK(kill(child, 9) == 0);
        waitpid(child, NULL, 0);
        CHECK(!leat_os_pid_alive(child));
        CHECK_OK(leat_os_lock_file(path, 1000000, &fd, &err), &err);
        leat_os_close(fd);
        close(ready[0]);
        close(ready[1]);
}

LEAT_TEST(clock_and_random)
{
        uint8_t a[32] = {0}, b[32] = {0};
        leat_os_random(a, sizeof(a));
        leat_os_random(b, sizeof(b));
        CHECK(memcmp(a, b, sizeof(a)) != 0);
        int64_t start_us = leat_os_monotonic_us();
        leat_os_sleep_us(2000);
        CHECK(leat_os_monotonic_us() - start_us >= 2000);
        CHECK(leat_os_now_us() > INT64_C(1700000000000000));
}
