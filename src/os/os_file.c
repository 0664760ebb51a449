/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/os: calls on open files.
 *
 * Failure   EINTR and short transfers are finished here. A failed sync is
 *           reported once and never tried again: after it the kernel may have
 *           dropped the dirty pages, and a second sync that succeeds would
 *           prove nothing. What follows is the caller's decision.
 */
#include "leat/os.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "leat/mem.h"

#define IOV_BATCH 64

int leat_os_open(const char *path, int flags, int *ret_fd, struct leat_error *err)
{
        int fd;
        do
                fd = leat_os.open(path, flags | O_CLOEXEC, 0640);
        while (fd < 0 && errno == EINTR);
        if (fd < 0)
                return leat_error_sys(err, errno, "cannot open %s", path);
        *ret_fd = fd;
        return 0;
}

void leat_os_close(int fd)
{
        if (fd >= 0)
                leat_os.close(fd);
}

int leat_os_pread(int fd, const char *name, void *data, size_t bytes, int64_t offset, size_t *ret_bytes,
                  struct leat_error *err)
{
        size_t done = 0;
        while (done < bytes) {
                ssize_t got = leat_os.pread(fd, (uint8_t *)data + done, bytes - done, offset + (int64_t)done);
                if (got < 0 && errno == EINTR)
                        continue;
                if (got < 0)
                        return leat_error_sys(err, errno, "cannot read %zu bytes of %s at %lld", bytes, name,
                                              (long long)offset);
                if (got == 0)
                        break;
                done += (size_t)got;
        }
        *ret_bytes = done;
        return 0;
}

int leat_os_pread_cached(int fd, const char *name, void *data, size_t bytes, int64_t offset, size_t *ret_bytes,
                         struct leat_error *err)
{
        ssize_t got;
        do
                got = leat_os.pread_cached(fd, data, bytes, offset);
        while (got < 0 && errno == EINTR);
        if (got >= 0) {
                *ret_bytes = (size_t)got;
                return 0;
        }
        if (errno == EAGAIN)
                return leat_error_set(err, LEAT_EBUSY, "the disk must be waited for");
        if (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL) /* neither file system nor kernel can tell */
                return leat_os_pread(fd, name, data, bytes, offset, ret_bytes, err);
        return leat_error_sys(err, errno, "cannot read %zu bytes of %s at %lld", bytes, name, (long long)offset);
}

int leat_os_pwrite(int fd, const char *name, struct leat_view data, int64_t offset, struct leat_error *err)
{
        size_t done = 0;
        while (done < data.len) {
                ssize_t put = leat_os.pwrite(fd, data.data + done, data.len - done, offset + (int64_t)done);
                if (put < 0 && errno == EINTR)
                        continue;
                /* 0 would loop for ever; no file system of ours answers it, a broken one may. */
                if (put <= 0)
                        return leat_error_sys(err, put < 0 ? errno : EIO, "cannot write %zu bytes to %s at %lld",
                                              data.len, name, (long long)offset);
                done += (size_t)put;
        }
        return 0;
}

/* Fills @iov with the slices from byte @skip of slice @first on. */
static int chain_to_iov(const struct leat_chain *chain, uint32_t first, size_t skip, struct iovec *iov)
{
        int count = 0;
        for (uint32_t i = first; i < chain->count && count < IOV_BATCH; i++, skip = 0) {
                struct leat_view view = chain->slices[i].view;
                iov[count].iov_base = (void *)(uintptr_t)(view.data + skip);
                iov[count++].iov_len = view.len - skip;
        }
        return count;
}

int leat_os_pwrite_chain(int fd, const char *name, const struct leat_chain *chain, int64_t offset,
                         struct leat_error *err)
{
        struct iovec iov[IOV_BATCH];
        uint32_t slice = 0;
        size_t skip = 0;
        while (slice < chain->count) {
                int count = chain_to_iov(chain, slice, skip, iov);
                ssize_t put = leat_os.pwritev(fd, iov, count, offset);
                if (put < 0 && errno == EINTR)
                        continue;
                if (put <= 0)
                        return leat_error_sys(err, put < 0 ? errno : EIO, "cannot write %zu bytes to %s at %lld",
                                              chain->len, name, (long long)offset);
                offset += put;
                skip += (size_t)put;
                while (slice < chain->count && skip >= chain->slices[slice].view.len)
                        skip -= chain->slices[slice++].view.len;
        }
        return 0;
}

int leat_os_fdatasync(int fd, const char *name, struct leat_error *err)
{
        int rc;
        do
                rc = leat_os.fdatasync(fd);
        while (rc != 0 && errno == EINTR);
        return rc == 0 ? 0 : leat_error_sys(err, errno, "cannot sync %s", name);
}

int leat_os_fsync(int fd, const char *name, struct leat_error *err)
{
        int rc;
        do
                rc = leat_os.fsync(fd);
        while (rc != 0 && errno == EINTR);
        return rc == 0 ? 0 : leat_error_sys(err, errno, "cannot sync %s", name);
}

int leat_os_ftruncate(int fd, const char *name, int64_t bytes, struct leat_error *err)
{
        int rc;
        do
                rc = leat_os.ftruncate(fd, bytes);
        while (rc != 0 && errno == EINTR);
        return rc == 0 ? 0 : leat_error_sys(err, errno, "cannot set the size of %s to %lld", name, (long long)bytes);
}

int leat_os_size(int fd, const char *name, int64_t *ret_bytes, struct leat_error *err)
{
        struct stat st;
        if (leat_os.fstat(fd, &st) != 0)
                return leat_error_sys(err, errno, "cannot look at %s", name);
        *ret_bytes = st.st_size;
        return 0;
}

/* ---- whole files ------------------------------------------------------------- */

int leat_os_read_file(const char *path, size_t max_bytes, struct leat_buf *out, struct leat_error *err)
{
        int fd = -1, rc = 0;
        int64_t size;
        LEAT_TRY(leat_os_open(path, O_RDONLY, &fd, err));
        LEAT_TRY_GOTO(leat_os_size(fd, path, &size, err));
        /* Files of /proc say 0: read on until the end, one byte past the limit to notice more. */
        size_t start = out->len, got;
        do {
                size_t want = LEAT_MAX((size_t)size + 1, (size_t)4096);
                want = LEAT_MIN(want, max_bytes - (out->len - start) + 1);
                uint8_t *at = leat_buf_reserve(out, want);
                LEAT_TRY_GOTO(leat_os_pread(fd, path, at, want, (int64_t)(out->len - start), &got, err));
                out->len += got;
                if (out->len - start > max_bytes) {
                        out->len = start;
                        rc = leat_error_set(err, LEAT_ETOOBIG, "%s is larger than %zu bytes", path, max_bytes);
                        goto fail;
                }
        } while (got > 0);
fail:
        leat_os_close(fd);
        return rc;
}

static int replace_write(const char *tmp, struct leat_view data, bool sync, struct leat_error *err)
{
        int fd = -1, rc = 0;
        LEAT_TRY(leat_os_open(tmp, O_WRONLY | O_CREAT | O_TRUNC, &fd, err));
        LEAT_TRY_GOTO(leat_os_pwrite(fd, tmp, data, 0, err));
        if (sync)
                LEAT_TRY_GOTO(leat_os_fsync(fd, tmp, err));
fail:
        leat_os_close(fd);
        return rc;
}

static int sync_parent(const char *path, struct leat_error *err)
{
        const char *slash = strrchr(path, '/');
        if (slash == NULL)
                return leat_os_sync_dir(".", err);
        char *dir = leat_strndup(path, slash == path ? 1 : (size_t)(slash - path));
        int rc = leat_os_sync_dir(dir, err);
        free(dir);
        return rc;
}

int leat_os_replace_file(const char *path, struct leat_view data, bool sync, struct leat_error *err)
{
        char *tmp = leat_asprintf("%s.tmp", path);
        int rc = 0;
        LEAT_TRY_GOTO(replace_write(tmp, data, sync, err));
        LEAT_TRY_GOTO(leat_os_rename(tmp, path, err));
        if (sync)
                LEAT_TRY_GOTO(sync_parent(path, err));
        free(tmp);
        return 0;
fail:
        leat_os.unlink(tmp); /* best effort: a full disk wants the room back */
        free(tmp);
        return rc;
}

/* ---- mapping ------------------------------------------------------------------ */

static int map_bytes(int fd, const char *name, size_t bytes, int prot, uint8_t **ret_data, struct leat_error *err)
{
        if (bytes == 0)
                return leat_error_set(err, LEAT_EINVAL, "cannot map 0 bytes of %s", name);
        void *at = leat_os.mmap(NULL, bytes, prot, MAP_SHARED, fd, 0);
        if (at == MAP_FAILED)
                return leat_error_sys(err, errno, "cannot map %zu bytes of %s", bytes, name);
        *ret_data = at;
        return 0;
}

int leat_os_map(int fd, const char *name, size_t bytes, const uint8_t **ret_data, struct leat_error *err)
{
        uint8_t *data;
        LEAT_TRY(map_bytes(fd, name, bytes, PROT_READ, &data, err));
        *ret_data = data;
        return 0;
}

/* The blocks are allocated too where the file system can: a store to a mapped
 * hole of a full disk would be a SIGBUS instead of an error. */
int leat_os_map_rw(int fd, const char *name, size_t bytes, uint8_t **ret_data, struct leat_error *err)
{
        int64_t size;
        int rc;
        LEAT_TRY(leat_os_size(fd, name, &size, err));
        do
                rc = leat_os.fallocate(fd, 0, 0, (off_t)bytes);
        while (rc != 0 && errno == EINTR);
        if (rc != 0) {
                if (errno != EOPNOTSUPP && errno != ENOSYS)
                        return leat_error_sys(err, errno, "cannot grow %s to %zu bytes", name, bytes);
                if (size < (int64_t)bytes)
                        LEAT_TRY(leat_os_ftruncate(fd, name, (int64_t)bytes, err));
        }
        return map_bytes(fd, name, bytes, PROT_READ | PROT_WRITE, ret_data, err);
}

void leat_os_unmap(const void *data, size_t bytes)
{
        if (data != NULL)
                leat_os.munmap((void *)(uintptr_t)data, bytes);
}
