/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/log: open descriptors, so that ten thousand segments need a few hundred.
 *
 * A pinned file stays open; an unpinned one is closed when more than `max` are
 * open, least recently used first. A file with bytes that are not synced must
 * stay pinned: closing it could lose the report of a failed write.
 */
#include <fcntl.h>

#include "log_int.h"

void leat_log_files_init(struct leat_log_files *files, uint32_t max)
{
        pthread_mutex_init(&files->lock, NULL);
        files->lru = (struct leat_log_file){.fd = -1, .prev = &files->lru, .next = &files->lru};
        files->open = 0;
        files->max = max;
}

void leat_log_files_done(struct leat_log_files *files)
{
        pthread_mutex_destroy(&files->lock);
}

void leat_log_file_init(struct leat_log_file *file, char *path)
{
        *file = (struct leat_log_file){.path = path, .fd = -1};
}

static void lru_remove(struct leat_log_file *file)
{
        if (!file->prev)
                return;
        file->prev->next = file->next;
        file->next->prev = file->prev;
        file->prev = file->next = NULL;
}

static void file_close(struct leat_log_files *files, struct leat_log_file *file)
{
        lru_remove(file);
        if (file->fd >= 0) {
                leat_os_close(file->fd);
                file->fd = -1;
                files->open--;
        }
}

void leat_log_file_done(struct leat_log_files *files, struct leat_log_file *file)
{
        pthread_mutex_lock(&files->lock);
        file_close(files, file);
        pthread_mutex_unlock(&files->lock);
        free(file->path);
        file->path = NULL;
}

/* Lock held. */
static void file_pin(struct leat_log_file *file, int *ret_fd)
{
        lru_remove(file);
        file->pins++;
        *ret_fd = file->fd;
}

int leat_log_file_get(struct leat_log_files *files, struct leat_log_file *file, bool create, int *ret_fd,
                      struct leat_error *err)
{
        int fd = -1;

        if (leat_log_file_get_open(files, file, ret_fd))
                return 0;
        /* Opening may wait for the disk, so the lock is not held; another may be faster. */
        LEAT_TRY(leat_os_open(file->path, O_RDWR | (create ? O_CREAT : 0), &fd, err));
        pthread_mutex_lock(&files->lock);
        if (file->fd < 0) {
                while (files->open >= files->max && files->lru.next != &files->lru)
                        file_close(files, files->lru.next);
                file->fd = fd;
                files->open++;
                fd = -1;
        }
        file_pin(file, ret_fd);
        pthread_mutex_unlock(&files->lock);
        leat_os_close(fd);
        return 0;
}

bool leat_log_file_get_open(struct leat_log_files *files, struct leat_log_file *file, int *ret_fd)
{
        bool open;

        pthread_mutex_lock(&files->lock);
        open = file->fd >= 0;
        if (open)
                file_pin(file, ret_fd);
        pthread_mutex_unlock(&files->lock);
        return open;
}

void leat_log_file_put(struct leat_log_files *files, struct leat_log_file *file)
{
        pthread_mutex_lock(&files->lock);
        LEAT_ASSERT(file->pins > 0);
        if (--file->pins == 0) {
                file->prev = files->lru.prev;
                file->next = &files->lru;
                file->prev->next = file;
                files->lru.prev = file;
                while (files->open > files->max && files->lru.next != &files->lru)
                        file_close(files, files->lru.next);
        }
        pthread_mutex_unlock(&files->lock);
}
