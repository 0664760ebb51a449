/* SPDX-License-Identifier: Apache-2.0 */
#include "leat/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "leat/base.h"
#include "leat/os_test.h"

#define SEEDS 200

static const char *disk_path(const char *name)
{
        static char paths[4][512];
        static int next;
        char *path = paths[next++ % 4];
        snprintf(path, sizeof(paths[0]), "%s/%s", leat_test_tmpdir(), name);
        return path;
}

static int open_new(const char *name)
{
        struct leat_error err;
        int fd;
        CHECK_OK(leat_os_open(disk_path(name), O_RDWR | O_CREAT, &fd, &err), &err);
        return fd;
}

static void put(int fd, const char *text, int64_t offset)
{
        struct leat_error err;
        CHECK_OK(leat_os_pwrite(fd, "file", leat_view_str(text), offset, &err), &err);
}

static void sync_top(void)
{
        struct leat_error err;
        CHECK_OK(leat_os_sync_dir(leat_test_tmpdir(), &err), &err);
}

/* The content, or NULL when there is no such file. */
static const char *content(const char *name, struct leat_buf *out)
{
        leat_buf_clear(out);
        return leat_os_read_file(disk_path(name), 1 << 20, out, NULL) == 0 ? leat_buf_cstr(out) : NULL;
}

LEAT_TEST(simdisk_extremes)
{
        struct leat_error err;
        struct leat_buf got = LEAT_BUF_INIT;
        for (uint64_t seed = 0; seed < 2; seed++) {
                struct leat_simdisk *disk = leat_simdisk_new(leat_test_tmpdir());
                int fd = open_new("a");
                sync_top();
                put(fd, "synced", 0);
                CHECK_INT(leat_simdisk_unsynced_bytes(disk), 6);
                CHECK_OK(leat_os_fdatasync(fd, "a", &err), &err);
                CHECK_INT(leat_simdisk_unsynced_bytes(disk), 0);
                put(fd, "SYN", 0);
                put(fd, " more", 6);
                leat_os_close(open_new("never synced"));
                CHECK_STR(content("a", &got), "SYNced more"); /* the process sees its own writes */
                leat_simdisk_power_loss(disk, seed);
                leat_os_close(fd);
                CHECK_STR(content("a", &got), seed == 0 ? "synced" : "SYNced more");
                CHECK_INT(leat_os_exists(disk_path("never synced")), seed);
                leat_simdisk_free(disk);
                CHECK_OK(leat_os_unlink(disk_path("a"), &err), &err);
        }
        leat_buf_done(&got);
}

/* A name that was not synced may be gone although the file was. */
LEAT_TEST(simdisk_file_without_folder_sync)
{
        struct leat_error err;
        struct leat_simdisk *disk = leat_simdisk_new(leat_test_tmpdir());
        CHECK_OK(leat_os_mkdirs(disk_path("d/e"), &err), &err);
        int fd = open_new("d/e/f");
        put(fd, "x", 0);
        CHECK_OK(leat_os_fsync(fd, "f", &err), &err);
        CHECK_OK(leat_os_sync_dir(disk_path("d/e"), &err), &err);
        CHECK_OK(leat_os_sync_dir(disk_path("d"), &err), &err);
        leat_simdisk_power_loss(disk, 0);
        CHECK(!leat_os_exists(disk_path("d")));
        leat_os_close(fd);
        leat_simdisk_free(disk);
}

/* Over many seeds, unsynced sectors are seen lost, kept, torn and out of order; synced ones are never touched. */
LEAT_TEST(simdisk_tears_and_reorders)
{
        struct leat_error err;
        struct leat_buf got = LEAT_BUF_INIT;
        char block[1025] = {0};
        int lost = 0, whole = 0, torn = 0, reordered = 0;
        for (uint64_t seed = 2; seed < SEEDS; seed++) {
                struct leat_simdisk *disk = leat_simdisk_new(leat_test_tmpdir());
                int fd = open_new("a");
                sync_top();
                memset(block, 's', 1024);
                put(fd, block, 0);
                CHECK_OK(leat_os_fdatasync(fd, "a", &err), &err);
                memset(block, '1', 1024);
                put(fd, block, 1024);
                memset(block, '2', 1024);
                put(fd, block, 2048);
                leat_simdisk_power_loss(disk, seed);
                leat_os_close(fd);
                content("a", &got);
                CHECK(got.len >= 1024 && got.len <= 3072);
                for (size_t i = 0; i < 1024; i++)
                        CHECK(got.data[i] == 's');
                bool has1 = got.len > 1024 && got.data[1024] == '1', has1b = got.len > 1536 && got.data[1536] == '1';
                bool has2 = got.len > 2048 && got.data[2048] == '2', has2b = got.len > 2560 && got.data[2560] == '2';
                lost += !has1 && !has1b && !has2 && !has2b;
                whole += has1 && has1b && has2 && has2b;
                torn += has1 != has1b;
                reordered += !has1 && !has1b && (has2 || has2b);
                leat_simdisk_free(disk);
                CHECK_OK(leat_os_unlink(disk_path("a"), &err), &err);
        }
        CHECK(lost > 5 && whole > 5 && torn > 5 && reordered > 5);
        leat_buf_done(&got);
}

/* The promise of leat_os_replace_file, and that leaving out the sync loses it. */
static int replace_survives(bool sync, uint64_t seed)
{
        struct leat_error err;
        struct leat_buf got = LEAT_BUF_INIT;
        struct leat_simdisk *disk = leat_simdisk_new(leat_test_tmpdir());
        CHECK_OK(leat_os_replace_file(disk_path("a"), leat_view_str("old"), true, &err), &err);
        CHECK_OK(leat_os_replace_file(disk_path("a"), leat_view_str("newer"), sync, &err), &err);
        leat_simdisk_power_loss(disk, seed);
        const char *text = content("a", &got);
        int outcome = text == NULL ? -1 : strcmp(text, "newer") == 0 ? 2 : strcmp(text, "old") == 0 ? 1 : 0;
        leat_buf_done(&got);
        leat_simdisk_free(disk);
        return outcome;
}

LEAT_TEST(simdisk_replace_file)
{
        int bad = 0;
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
                CHECK_INT(replace_survives(true, seed), 2);
                bad += replace_survives(false, seed) <= 0;
        }
        CHECK(bad > 0);
}

/* As on Linux: the sync after a failed one succeeds, and the bytes are gone all the same. */
LEAT_TEST(simdisk_failed_sync_forgets)
{
        struct leat_error err;
        struct leat_buf got = LEAT_BUF_INIT;
        struct leat_simdisk *disk = leat_simdisk_new(leat_test_tmpdir());
        int fd = open_new("a");
        sync_top();
        put(fd, "one", 0);
        CHECK_OK(leat_os_fdatasync(fd, "a", &err), &err);
        put(fd, "two", 3);
        leat_simdisk_fail_sync(disk, "/a", EIO);
        CHECK_INT(leat_os_fdatasync(fd, "a", &err), LEAT_EIO);
        CHECK_OK(leat_os_fdatasync(fd, "a", &err), &err);
        leat_simdisk_power_loss(disk, 1);
        CHECK_STR(content("a", &got), "one");
        leat_os_close(fd);
        leat_simdisk_free(disk);
        leat_buf_done(&got);
}

LEAT_TEST(simdisk_rename_link_truncate_map)
{
        struct leat_error err;
        struct leat_buf got = LEAT_BUF_INIT;
        struct leat_simdisk *disk = leat_simdisk_new(leat_test_tmpdir());
        int fd = open_new("a");
        uint8_t *map;
        put(fd, "0123456789", 0);
        CHECK_OK(leat_os_ftruncate(fd, "a", 4, &err), &err);
        CHECK_OK(leat_os_mkdirs(disk_path("d"), &err), &err);
        CHECK_OK(leat_os_rename(disk_path("a"), disk_path("d/b"), &err), &err);
        CHECK_INT(leat_os.link(disk_path("d/b"), disk_path("c")), 0);
        CHECK_OK(leat_os_fsync(fd, "a", &err), &err);
        sync_top();
        CHECK_OK(leat_os_sync_dir(disk_path("d"), &err), &err);
        CHECK_OK(leat_os_map_rw(fd, "a", 8, &map, &err), &err);
        memcpy(map, "mapped..", 8);
        leat_simdisk_power_loss(disk, 0);
        leat_os_unmap(map, 8);
        leat_os_close(fd);
        CHECK(!leat_os_exists(disk_path("a")));
        CHECK_STR(content("d/b", &got), "0123");
        CHECK_STR(content("c", &got), "0123");
        CHECK_OK(leat_os_open(disk_path("c"), O_RDWR, &fd, &err), &err);
        CHECK_OK(leat_os_map_rw(fd, "c", 8, &map, &err), &err);
        memcpy(map, "mapped..", 8);
        CHECK_OK(leat_os_fdatasync(fd, "c", &err), &err);
        leat_simdisk_power_loss(disk, 0);
        CHECK_STR(content("d/b", &got), "mapped.."); /* still one file */
        leat_os_unmap(map, 8);
        leat_os_close(fd);
        leat_simdisk_free(disk);
        leat_buf_done(&got);
}

LEAT_TEST(simdisk_same_seed_same_disk)
{
        struct leat_error err;
        struct leat_buf first = LEAT_BUF_INIT, again = LEAT_BUF_INIT;
        for (int round = 0; round < 2; round++) {
                struct leat_simdisk *disk = leat_simdisk_new(leat_test_tmpdir());
                int fd = open_new("a");
                sync_top();
                for (int i = 0; i < 200; i++)
                        put(fd, "some bytes of a record\n", i * 100);
                leat_simdisk_power_loss(disk, 4711);
                leat_os_close(fd);
                content("a", round == 0 ? &first : &again);
                leat_simdisk_free(disk);
                CHECK_OK(leat_os_unlink(disk_path("a"), &err), &err);
        }
        CHECK(leat_view_eq(leat_buf_view(&first), leat_buf_view(&again)));
        leat_buf_done(&first);
        leat_buf_done(&again);
}
