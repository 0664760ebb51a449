/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/base: the stats file of a role; stats.h describes the bytes.
 *
 * Design    The writer makes the file aside and renames it into place, so that
 *           a reader sees a whole header or no file. Slots are taken under a
 *           lock (state is published last, with release order) and then counted
 *           in by plain atomic adds. Readers copy the file with read(2): a file
 *           that is replaced meanwhile cannot hurt them.
 * Space     The file's blocks are taken when it is made: a page of a sparse file
 *           on a full disk would end the role with SIGBUS at its first count.
 *           Without room the role counts in memory of its own, which nobody sees.
 * System calls are made directly: base stands below os, and the file holds no
 * truth whose loss would have to be tested.
 */
#include "leat/stats.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "leat/bytes.h"
#include "leat/hash.h"
#include "leat/mem.h"

#define STATS_VERSION 1u
#define STATS_SLOTS_MAX (1u << 20)

static const char stats_magic[8] = {'L', 'E', 'A', 'T', 'S', 'T', 'A', 'T'};

struct stats_header {
        char magic[8];
        uint32_t version;
        int32_t pid;
        int64_t start_us;
        uint32_t slots;
        uint8_t pad[36];
};

struct stats_slot {
        uint32_t metric;
        _Atomic uint32_t state; /* 0 free, 1 used */
        _Atomic uint64_t value;
        char labels[LEAT_STATS_LABEL_BYTES];
};

_Static_assert(sizeof(struct stats_header) == 64, "header is 64 bytes");
_Static_assert(sizeof(struct stats_slot) == 128, "a slot is 128 bytes");

struct leat_stats {
        pthread_mutex_t lock;
        struct stats_header *header;
        struct stats_slot *slots;
        uint32_t *hashes; /* by slot, 0 = free; locked. Makes looking up a short scan */
        size_t bytes;
        bool mapped;
        _Atomic uint64_t overflow;
};

static const struct leat_metric_info infos[LEAT_METRIC_COUNT] = {
#define METRIC(id, kind, name, help) [LEAT_M_##id] = {LEAT_##kind, name, help},
#include "leat/metrics.def"
#undef METRIC
};

const struct leat_metric_info *leat_metric_info(enum leat_metric id)
{
        LEAT_ASSERT(id < LEAT_METRIC_COUNT);
        return &infos[id];
}

/* ---- writing ----------------------------------------------------------------- */

static int stats_map(struct leat_stats *stats, const char *path, struct leat_error *err)
{
        char *tmp = leat_asprintf("%s.tmp", path);
        int rc = 0;
        int fd = TEMP_FAILURE_RETRY(open(tmp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640));
        if (fd < 0 || TEMP_FAILURE_RETRY(ftruncate(fd, (off_t)stats->bytes)) != 0)
                rc = errno;
        while (rc == 0 && (rc = posix_fallocate(fd, 0, (off_t)stats->bytes)) == EINTR)
                rc = 0;
        if (rc != 0) {
                unlink(tmp);
                unlink(path); /* what an earlier life counted would be taken for ours */
                rc = rc == ENOSPC || rc == EDQUOT ? 0 : leat_error_sys(err, rc, "cannot make stats file %s", tmp);
                goto done;
        }
        void *at = mmap(NULL, stats->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (at == MAP_FAILED) {
                rc = leat_error_sys(err, errno, "cannot map stats file %s", tmp);
                goto done;
        }
        stats->header = at;
        stats->mapped = true;
done:
        if (fd >= 0)
                close(fd);
        free(tmp);
        return rc;
}

static void stats_header_fill(struct stats_header *header, uint32_t slots)
{
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        header->version = STATS_VERSION;
        header->pid = (int32_t)getpid();
        header->start_us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
        header->slots = slots;
        memcpy(header->magic, stats_magic, sizeof(stats_magic));
}

static int stats_publish(const char *path, struct leat_error *err)
{
        char *tmp = leat_asprintf("%s.tmp", path);
        int rc = 0;
        if (rename(tmp, path) != 0)
                rc = leat_error_sys(err, errno, "cannot rename stats file %s to %s", tmp, path);
        free(tmp);
        return rc;
}

int leat_stats_open(const char *path, uint32_t slots, struct leat_stats **ret_stats, struct leat_error *err)
{
        if (slots == 0 || slots > STATS_SLOTS_MAX)
                return leat_error_set(err, LEAT_ERANGE, "%u stats slots, allowed is 1 to %u", slots, STATS_SLOTS_MAX);
        int rc = 0;
        struct leat_stats *stats = leat_calloc(1, sizeof(*stats));
        pthread_mutex_init(&stats->lock, NULL);
        stats->bytes = sizeof(struct stats_header) + (size_t)slots * sizeof(struct stats_slot);
        stats->hashes = leat_calloc(slots, sizeof(stats->hashes[0]));
        if (path != NULL)
                LEAT_TRY_GOTO(stats_map(stats, path, err));
        if (stats->header == NULL)
                stats->header = leat_calloc(1, stats->bytes);
        stats->slots = (struct stats_slot *)(stats->header + 1);
        stats_header_fill(stats->header, slots);
        if (stats->mapped)
                LEAT_TRY_GOTO(stats_publish(path, err));
        *ret_stats = stats;
        return 0;
fail:
        leat_stats_close(stats);
        return rc;
}

void leat_stats_close(struct leat_stats *stats)
{
        if (stats == NULL)
                return;
        if (stats->mapped)
                munmap(stats->header, stats->bytes);
        else
                free(stats->header);
        pthread_mutex_destroy(&stats->lock);
        free(stats->hashes);
        free(stats);
}

static uint32_t slot_hash(enum leat_metric metric, const char *labels)
{
        uint32_t hash = (uint32_t)leat_hash64((uint64_t)metric, labels, strlen(labels));
        return hash != 0 ? hash : 1;
}

_Atomic uint64_t *leat_stats_slot(struct leat_stats *stats, enum leat_metric metric, const char *labels)
{
        LEAT_ASSERT(metric < LEAT_METRIC_COUNT);
        if (strlen(labels) >= LEAT_STATS_LABEL_BYTES)
                return &stats->overflow;
        uint32_t hash = slot_hash(metric, labels), count = stats->header->slots, first_free = count;
        _Atomic uint64_t *found = NULL;
        pthread_mutex_lock(&stats->lock);
        for (uint32_t i = 0; i < count && found == NULL; i++) {
                struct stats_slot *slot = &stats->slots[i];
                if (stats->hashes[i] == 0 && first_free == count)
                        first_free = i;
                else if (stats->hashes[i] == hash && slot->metric == (uint32_t)metric &&
                         strcmp(slot->labels, labels) == 0)
                        found = &slot->value;
        }
        if (found == NULL && first_free < count) {
                struct stats_slot *slot = &stats->slots[first_free];
                slot->metric = (uint32_t)metric;
                snprintf(slot->labels, sizeof(slot->labels), "%s", labels);
                atomic_store_explicit(&slot->value, 0, memory_order_relaxed);
                atomic_store_explicit(&slot->state, 1, memory_order_release);
                stats->hashes[first_free] = hash;
                found = &slot->value;
        }
        pthread_mutex_unlock(&stats->lock);
        return found != NULL ? found : &stats->overflow;
}

void leat_stats_drop(struct leat_stats *stats, const char *labels)
{
        pthread_mutex_lock(&stats->lock);
        for (uint32_t i = 0; i < stats->header->slots; i++) {
                struct stats_slot *slot = &stats->slots[i];
                if (stats->hashes[i] == 0 || strcmp(slot->labels, labels) != 0)
                        continue;
                atomic_store_explicit(&slot->state, 0, memory_order_release);
                stats->hashes[i] = 0;
        }
        pthread_mutex_unlock(&stats->lock);
}

/* ---- reading ----------------------------------------------------------------- */

static int stats_load(const char *path, struct leat_buf *out, struct leat_error *err)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return leat_error_sys(err, errno, "cannot open stats file %s", path);
        const size_t limit = sizeof(struct stats_header) + (size_t)STATS_SLOTS_MAX * sizeof(struct stats_slot);
        ssize_t got;
        do {
                got = read(fd, leat_buf_reserve(out, 65536), 65536);
                if (got > 0)
                        out->len += (size_t)got;
        } while ((got > 0 && out->len <= limit) || (got < 0 && errno == EINTR));
        int rc = got < 0 ? leat_error_sys(err, errno, "cannot read stats file %s", path) : 0;
        close(fd);
        return rc;
}

int leat_stats_read(const char *path, leat_stats_fn *fn, void *arg, int32_t *ret_pid, int64_t *ret_start_us,
                    struct leat_error *err)
{
        struct leat_buf bytes = LEAT_BUF_INIT;
        struct stats_header header;
        int rc = 0;
        LEAT_TRY_GOTO(stats_load(path, &bytes, err));
        if (bytes.len >= sizeof(header))
                memcpy(&header, bytes.data, sizeof(header));
        if (bytes.len < sizeof(header) || memcmp(header.magic, stats_magic, sizeof(stats_magic)) != 0 ||
            header.version != STATS_VERSION ||
            bytes.len != sizeof(header) + (size_t)header.slots * sizeof(struct stats_slot)) {
                rc = leat_error_set(err, LEAT_ECORRUPT, "%s is no stats file of this version", path);
                goto fail;
        }
        const struct stats_slot *slots = (const struct stats_slot *)(bytes.data + sizeof(header));
        for (uint32_t i = 0; i < header.slots; i++) {
                const struct stats_slot *slot = &slots[i];
                if (slot->state != 1 || slot->metric >= LEAT_METRIC_COUNT ||
                    memchr(slot->labels, '\0', sizeof(slot->labels)) == NULL)
                        continue;
                fn(arg, (enum leat_metric)slot->metric, slot->labels, slot->value);
        }
        if (ret_pid != NULL)
                *ret_pid = header.pid;
        if (ret_start_us != NULL)
                *ret_start_us = header.start_us;
fail:
        leat_buf_done(&bytes);
        return rc;
}
