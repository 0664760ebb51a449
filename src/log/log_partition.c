/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/log: a partition: its segments in order, and what is remembered.
 *
 * Offsets: start <= high <= end. `high` is what is durable and may be read,
 * `end` the next offset to be assigned. All segments but the last are sealed;
 * the last one takes appends when it is not sealed. A sealed segment reaches
 * up to the base of its successor.
 */
#include "log_int.h"

/* ---- life ---------------------------------------------------------------------- */

static int64_t config_number(const struct leat_log_topic *topic, const char *name, int64_t otherwise)
{
        const char *text = leat_log_topic_config(topic, name);
        char *end;
        long long value;

        if (!text || !*text)
                return otherwise;
        value = strtoll(text, &end, 10);
        return *end ? otherwise : value;
}

void leat_log_partition_configure(struct leat_log_partition *part, struct leat_log_topic *topic)
{
        const char *policy = leat_log_topic_config(topic, "cleanup.policy");

        pthread_mutex_lock(&part->lock);
        if (part->topic != topic) {
                leat_log_topic_unref(part->topic);
                part->topic = leat_log_topic_ref(topic);
        }
        part->retention_ms = config_number(topic, "retention.ms", leat_param(LEAT_P_LOG_RETENTION) / 1000);
        part->retention_bytes = config_number(topic, "retention.bytes", -1);
        part->segment_bytes = config_number(topic, "segment.bytes", leat_param(LEAT_P_LOG_SEGMENT_BYTES));
        part->segment_bytes = LEAT_MAX(LEAT_MIN(part->segment_bytes, INT32_MAX), 1);
        part->segment_ms = config_number(topic, "segment.ms", leat_param(LEAT_P_LOG_SEGMENT_AGE) / 1000);
        part->deletes = !policy || strstr(policy, "delete") != NULL;
        pthread_mutex_unlock(&part->lock);
}

struct leat_log_partition *leat_log_partition_new(struct leat_log *log, struct leat_log_topic *topic, uint32_t index)
{
        struct leat_log_partition *part = leat_calloc(1, sizeof(*part));
        char id[2 * LEAT_LOG_ID_BYTES + 1];

        leat_log_id_text(topic->id, id);
        part->refs = 1;
        part->log = log;
        part->index = index;
        part->dir = leat_asprintf("%s/%s/%u", log->dir, id, index);
        part->waiters_tail = &part->waiters;
        pthread_mutex_init(&part->lock, NULL);
        leat_log_file_init(&part->checkpoint, leat_asprintf("%s/synced", part->dir));
        leat_log_partition_configure(part, topic);
        return part;
}

struct leat_log_partition *leat_log_partition_ref(struct leat_log_partition *part)
{
        atomic_fetch_add_explicit(&part->refs, 1, memory_order_relaxed);
        return part;
}

void leat_log_partition_forget(struct leat_log_partition *part)
{
        for (uint32_t i = 0; i < part->seg_count; i++)
                leat_log_segment_unref(part->segs[i]);
        leat_log_memory_done(&part->mem);
        part->mem = (struct leat_log_memory){0};
        part->seg_count = 0;
        part->start = part->high = part->end = 0;
}

void leat_log_partition_unref(struct leat_log_partition *part)
{
        if (!part || atomic_fetch_sub_explicit(&part->refs, 1, memory_order_acq_rel) != 1)
                return;
        leat_log_partition_forget(part);
        free(part->segs);
        if (part->log)
                leat_log_file_done(&part->log->files, &part->checkpoint);
        else
                free(part->checkpoint.path);
        leat_log_topic_unref(part->topic);
        leat_chain_done(&part->scratch);
        leat_buf_done(&part->scratch_heads);
        pthread_mutex_destroy(&part->lock);
        free(part->dir);
        free(part);
}

uint32_t leat_log_partition_index(const struct leat_log_partition *part)
{
        return part->index;
}

struct leat_log_topic *leat_log_partition_topic(struct leat_log_partition *part)
{
        struct leat_log_topic *topic;

        pthread_mutex_lock(&part->lock);
        topic = leat_log_topic_ref(part->topic);
        pthread_mutex_unlock(&part->lock);
        return topic;
}

void leat_log_partition_set_user(struct leat_log_partition *part, void *user)
{
        atomic_store(&part->user, user);
}

void *leat_log_partition_user(struct leat_log_partition *part)
{
        return atomic_load(&part->user);
}

int leat_log_partition_usable(const struct leat_log_partition *part, struct leat_error *err)
{
        if (part->deleted)
                return leat_error_set(err, LEAT_ENOTFOUND, "topic %s was deleted", part->topic->name);
        if (part->closed)
                return leat_error_set(err, LEAT_ECLOSED, "the log is closed");
        if (part->broken.code != 0) {
                if (err)
                        *err = part->broken;
                return part->broken.code;
        }
        return 0;
}

void leat_log_partition_state(struct leat_log_partition *part, struct leat_log_state *ret_state)
{
        struct leat_log_state state = {0};

        pthread_mutex_lock(&part->lock);
        state.start = part->start;
        state.high = part->high;
        state.end = part->end;
        state.segments = part->seg_count;
        state.read_only = part->read_only || part->broken.code != 0;
        state.deleted = part->deleted;
        for (uint32_t i = 0; i < part->seg_count; i++)
                state.bytes += part->segs[i]->bytes;
        pthread_mutex_unlock(&part->lock);
        *ret_state = state;
}

/* ---- segments --------------------------------------------------------------------- */

struct leat_log_segment *leat_log_partition_active(struct leat_log_partition *part)
{
        struct leat_log_segment *last = part->seg_count ? part->segs[part->seg_count - 1] : NULL;

        return last && !last->sealed ? last : NULL;
}

void leat_log_partition_push(struct leat_log_partition *part, struct leat_log_segment *seg)
{
        if (part->seg_count == part->seg_cap) {
                part->seg_cap = part->seg_cap ? part->seg_cap * 2 : 2;
                part->segs = leat_realloc(part->segs, part->seg_cap * sizeof(struct leat_log_segment *));
        }
        part->segs[part->seg_count++] = seg;
}

struct leat_log_segment *leat_log_partition_take_seg(struct leat_log_partition *part, uint32_t at)
{
        struct leat_log_segment *seg = part->segs[at];

        part->seg_count--;
        memmove(part->segs + at, part->segs + at + 1, (part->seg_count - at) * sizeof(struct leat_log_segment *));
        return seg;
}

int leat_log_partition_seg_at(const struct leat_log_partition *part, int64_t offset)
{
        uint32_t low = 0, high = part->seg_count;

        while (low < high) {
                uint32_t mid = low + (high - low) / 2;

                if (part->segs[mid]->base <= offset)
                        low = mid + 1;
                else
                        high = mid;
        }
        return (int)low - 1;
}

bool leat_log_segment_dirty(const struct leat_log_segment *seg)
{
        return seg->bytes > seg->synced || (seg->sealed && seg->index_ready && !seg->index_closed);
}

void leat_log_segment_unpin(struct leat_log_segment *seg)
{
        if (seg->pinned && seg->synced >= seg->bytes) {
                seg->pinned = false;
                leat_log_file_put(seg->files, &seg->log);
        }
}

void leat_log_partition_roll(struct leat_log_partition *part)
{
        struct leat_log_segment *seg = leat_log_partition_active(part);

        if (!seg || seg->bytes == 0)
                return;
        atomic_fetch_add(&part->log->counters.sealed, 1);
        seg->sealed = true;
        seg->end = part->end;
        leat_buf_clear(&seg->roll_snapshot);
        leat_log_memory_write(&part->mem, part->end, &seg->roll_snapshot);
        leat_log_partition_want_sync(part);
}

int leat_log_partition_begin(struct leat_log_partition *part, struct leat_error *err)
{
        struct leat_log_segment *seg = leat_log_segment_new(&part->log->files, part->dir, part->end);
        int fd, rc;

        rc = leat_log_file_get(seg->files, &seg->log, true, &fd, err);
        if (rc == 0) {
                seg->pinned = true;
                /* Files of that name can only be the rest of an earlier failure. */
                LEAT_LOG_IGNORE(leat_os_unlink(seg->index.path, NULL)); /* there is none, as a rule */
                rc = leat_os_ftruncate(fd, seg->log.path, 0, err);
        }
        if (rc != 0) {
                leat_log_segment_unref(seg);
                return rc;
        }
        seg->index_ready = true;
        seg->entry_dirty = true;
        seg->created_us = leat_os_now_us();
        leat_log_partition_push(part, seg);
        return 0;
}

int64_t leat_log_partition_snapshot_every(const struct leat_log_partition *part)
{
        /* All partitions together leave at most some 256 MiB to be read again after a crash. */
        int64_t share = (256 << 20) / (int64_t)LEAT_MAX(1u, atomic_load(&part->log->partition_count));

        return LEAT_MAX(64 << 10, LEAT_MIN(share, 16 << 20));
}

int leat_log_segment_locate(struct leat_log_segment *seg, int64_t offset, struct leat_log_entry *ret_entry,
                            struct leat_error *err)
{
        uint32_t rel = (uint32_t)(offset - seg->base);
        int rc;

        if (!seg->index_ready)
                LEAT_TRY(leat_log_index_load(seg, seg->bytes, err));
        for (int attempt = 0;; attempt++) {
                if (leat_log_index_pending(seg, rel, ret_entry))
                        return 0;
                rc = seg->index_count ? leat_log_index_find(seg, false, seg->index_count, rel, ret_entry, err)
                                      : LEAT_ENOTFOUND;
                if (rc != LEAT_ECORRUPT || attempt > 0)
                        break;
                LEAT_TRY(leat_log_index_rebuild(seg, err));
        }
        if (rc == LEAT_ENOTFOUND) {
                *ret_entry = (struct leat_log_entry){.max_before_ms = -1};
                rc = 0;
        }
        return rc;
}

int leat_log_partition_set_aside(struct leat_log_partition *part, const char *path, struct leat_error *err)
{
        char *dir = leat_asprintf("%s/cut", part->dir);
        const char *name = strrchr(path, '/');
        char *to = leat_asprintf("%s/%s.%lld", dir, name ? name + 1 : path, (long long)leat_os_now_us());
        int rc;

        rc = leat_os_mkdirs(dir, err);
        if (rc == 0)
                rc = leat_os_rename(path, to, err);
        if (rc == 0)
                leat_diag(LEAT_DIAG_WARN, "log", "file put aside", "file=%s", to);
        free(dir);
        free(to);
        return rc;
}

/* ---- memory of producers and epochs ---------------------------------------------------- */

struct remember {
        struct leat_log_partition *part;
        int64_t from;
        int64_t now_ms;
};

static int remember_batch(void *arg, const struct leat_log_batch *batch, int64_t pos)
{
        struct remember *rem = arg;

        (void)pos;
        if (batch->base >= rem->from)
                leat_log_memory_note(&rem->part->mem, batch, rem->now_ms);
        return 0;
}

/* Takes the newer of the two snapshots that does not reach beyond @end. */
static int64_t remember_snapshot(struct leat_log_partition *part, int64_t end)
{
        enum { CASUAL, KEPT, SNAPSHOTS };
        static const char *const names[SNAPSHOTS] = {[CASUAL] = "producers", [KEPT] = "producers.roll"};
        int64_t best = -1;

        for (size_t i = 0; i < SNAPSHOTS; i++) {
                struct leat_log_memory mem = {0};
                struct leat_buf file = LEAT_BUF_INIT;
                char *path = leat_asprintf("%s/%s", part->dir, names[i]);
                int64_t offset;

                if (leat_os_read_file(path, 64 << 20, &file, NULL) == 0 &&
                    leat_log_memory_parse(leat_buf_view(&file), &mem, &offset, NULL) == 0 && offset <= end) {
                        if (i == KEPT)
                                part->kept_offset = offset;
                        if (offset > best) {
                                leat_log_memory_done(&part->mem);
                                part->mem = mem;
                                mem = (struct leat_log_memory){0};
                                best = offset;
                        }
                }
                leat_log_memory_done(&mem);
                leat_buf_done(&file);
                free(path);
        }
        return best;
}

int leat_log_partition_remember(struct leat_log_partition *part, int64_t end, struct leat_error *err)
{
        struct remember rem = {.part = part, .now_ms = leat_os_now_us() / 1000};
        int at;

        leat_log_memory_done(&part->mem);
        rem.from = remember_snapshot(part, end);
        at = LEAT_MAX(leat_log_partition_seg_at(part, rem.from), 0);
        part->snapshot_bytes = 0;
        for (; at < (int)part->seg_count && part->segs[at]->base < end; at++) {
                struct leat_log_segment *seg = part->segs[at];
                struct leat_log_walk walk = {.limit = seg->bytes,
                                             .epoch_max = INT32_MAX,
                                             .offset = seg->base,
                                             .offset_limit = seg->sealed ? LEAT_MIN(seg->end, end) : end};
                struct leat_log_entry entry;

                if (rem.from >= end)
                        break;
                if (rem.from > seg->base) {
                        LEAT_TRY(leat_log_segment_locate(seg, rem.from, &entry, err));
                        walk.pos = entry.pos;
                        walk.offset = seg->base + entry.rel;
                }
                part->snapshot_bytes += seg->bytes - walk.pos;
                LEAT_TRY(leat_log_segment_walk_around(seg, &walk, remember_batch, &rem, err));
        }
        leat_log_memory_trim(&part->mem, part->start, end);
        return 0;
}

void leat_log_epoch_end(struct leat_log_partition *part, int32_t epoch, int32_t *ret_epoch, int64_t *ret_end)
{
        *ret_epoch = -1;
        *ret_end = -1;
        pthread_mutex_lock(&part->lock);
        for (uint32_t i = 0; i < part->mem.epoch_count && part->mem.epochs[i].epoch <= epoch; i++) {
                *ret_epoch = part->mem.epochs[i].epoch;
                *ret_end = i + 1 < part->mem.epoch_count ? part->mem.epochs[i + 1].start : part->high;
        }
        pthread_mutex_unlock(&part->lock);
}

int32_t leat_log_last_epoch(struct leat_log_partition *part)
{
        int32_t epoch;

        pthread_mutex_lock(&part->lock);
        epoch = part->mem.epoch_count ? part->mem.epochs[part->mem.epoch_count - 1].epoch : -1;
        pthread_mutex_unlock(&part->lock);
        return epoch;
}

uint32_t leat_log_producers(struct leat_log_partition *part, struct leat_log_producer **ret_producers)
{
        struct leat_log_producer *list;
        uint32_t n = 0;

        pthread_mutex_lock(&part->lock);
        list = leat_malloc((part->mem.prods.count + 1) * sizeof(*list));
        for (uint32_t i = 0; i < part->mem.prods.cap; i++) {
                const struct leat_log_prod *prod = &part->mem.prods.slots[i];
                const struct leat_log_seq *last = prod->count ? &prod->batches[prod->count - 1] : NULL;

                if (prod->id != -1)
                        list[n++] = (struct leat_log_producer){.id = prod->id,
                                                               .epoch = prod->epoch,
                                                               .last_sequence = last ? last->last : -1,
                                                               .last_offset = last ? last->end - 1 : -1,
                                                               .last_time_ms = prod->time_ms};
        }
        pthread_mutex_unlock(&part->lock);
        *ret_producers = list;
        return n;
}
