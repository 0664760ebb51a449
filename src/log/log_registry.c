/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/log: the registry of topics and open partitions, and its changes.
 *
 * A sorted array and a hash table by id, changed only under topics_lock
 * (write). One change goes on at a time (lock `change`): folders first, then
 * the file of topics, then the registry.
 */
#include "log_int.h"

/* Writes what the registry has, with @changed instead of the topic with its id
 * (or in addition), and without the topic @gone. Lock `change` held. */
static int topics_save(struct leat_log *log, const struct leat_log_topic *changed, const uint8_t *gone,
                       struct leat_error *err)
{
        struct leat_buf out = LEAT_BUF_INIT;
        char *path = leat_asprintf("%s/topics", log->dir);
        uint32_t count = 0;
        int rc;

        leat_buf_le32(&out, LEAT_LOG_TOPICS_MAGIC);
        leat_buf_le32(&out, 1);
        leat_buf_le32(&out, 0);
        leat_buf_le32(&out, log->doomed_count + (gone ? 1 : 0));
        for (uint32_t i = 0; i < log->slot_count; i++) {
                const struct leat_log_topic *topic = log->slots[i].topic;

                if (gone && memcmp(topic->id, gone, LEAT_LOG_ID_BYTES) == 0)
                        continue;
                if (changed && memcmp(topic->id, changed->id, LEAT_LOG_ID_BYTES) == 0)
                        continue;
                leat_log_topic_write(&out, topic);
                count++;
        }
        if (changed)
                leat_log_topic_write(&out, changed);
        leat_put_le32(out.data + 8, count + (changed ? 1 : 0));
        for (uint32_t i = 0; i < log->doomed_count; i++)
                leat_buf_add(&out, log->doomed[i], LEAT_LOG_ID_BYTES);
        if (gone)
                leat_buf_add(&out, gone, LEAT_LOG_ID_BYTES);
        leat_buf_le32(&out, leat_crc32c(0, out.data, out.len));
        rc = leat_os_replace_file(path, leat_buf_view(&out), true, err);
        leat_buf_done(&out);
        free(path);
        return rc;
}

/* ---- the registry ---------------------------------------------------------------------------- */

static uint32_t id_hash(const uint8_t *id)
{
        return (uint32_t)leat_hash_mix(leat_get_le64(id), leat_get_le64(id + 8));
}

/* topics_lock held for writing. */
static void registry_index(struct leat_log *log)
{
        uint32_t cap = 16;

        while (cap < log->slot_count * 2)
                cap *= 2;
        free(log->by_id);
        log->by_id = leat_calloc(cap, sizeof(*log->by_id));
        log->by_id_cap = cap;
        for (uint32_t i = 0; i < log->slot_count; i++) {
                uint32_t at = id_hash(log->slots[i].topic->id) & (cap - 1);

                while (log->by_id[at])
                        at = (at + 1) & (cap - 1);
                log->by_id[at] = i + 1;
        }
        atomic_fetch_add(&log->version, 1);
}

/* topics_lock held. */
static struct leat_log_slot *slot_by_id(struct leat_log *log, const uint8_t *id)
{
        uint32_t at;

        if (log->by_id_cap == 0)
                return NULL;
        for (at = id_hash(id) & (log->by_id_cap - 1); log->by_id[at]; at = (at + 1) & (log->by_id_cap - 1)) {
                struct leat_log_slot *slot = &log->slots[log->by_id[at] - 1];

                if (memcmp(slot->topic->id, id, LEAT_LOG_ID_BYTES) == 0)
                        return slot;
        }
        return NULL;
}

/* topics_lock held. First slot whose name is not less than @name. */
static uint32_t slot_place(struct leat_log *log, struct leat_view name)
{
        uint32_t low = 0, high = log->slot_count;

        while (low < high) {
                uint32_t mid = low + (high - low) / 2;
                struct leat_view have = leat_view_str(log->slots[mid].topic->name);
                int order = memcmp(have.data, name.data, LEAT_MIN(have.len, name.len));

                if (order < 0 || (order == 0 && have.len < name.len))
                        low = mid + 1;
                else
                        high = mid;
        }
        return low;
}

static struct leat_log_slot *slot_by_name(struct leat_log *log, struct leat_view name)
{
        uint32_t at = name.len ? slot_place(log, name) : log->slot_count;

        if (at < log->slot_count && leat_view_eq_str(name, log->slots[at].topic->name))
                return &log->slots[at];
        return NULL;
}

/* Damage stays; any other failure may be of one moment, and a partition that is offline is so until the next start. */
#define OPEN_TRIES 3
#define OPEN_WAIT_US 50000

static void open_partition(struct leat_log_partition *part)
{
        struct leat_error err = {0};

        for (int tries = 1; leat_log_partition_recover(part, &err) != 0; tries++) {
                if (err.code == LEAT_ECORRUPT || tries == OPEN_TRIES)
                        goto offline;
                leat_log_partition_forget(part);
                leat_os_sleep_us(OPEN_WAIT_US);
        }
        return;
offline:
        leat_error_prefix(&err, "partition %s-%u cannot be opened", part->topic->name, part->index);
        leat_diag_error("log", "partition is offline", &err);
        part->broken = err;
        part->broken.fatal = true;
}

/* Makes partitions @from.. of the topic in @parts; they are to be opened. */
static void make_partitions(struct leat_log *log, struct leat_log_topic *topic, uint32_t from,
                            struct leat_log_partition **parts)
{
        for (uint32_t i = from; i < topic->partitions; i++)
                parts[i] = leat_log_partition_new(log, topic, i);
        atomic_fetch_add(&log->partition_count, topic->partitions - from);
}

static void open_partitions(struct leat_log *log, struct leat_log_topic *topic, uint32_t from,
                            struct leat_log_partition **parts)
{
        make_partitions(log, topic, from, parts);
        for (uint32_t i = from; i < topic->partitions; i++)
                open_partition(parts[i]);
}

/* All partitions at the start: opening waits for the disk, so several go on at a time. */
#define OPENERS 8

struct opening {
        struct leat_log_partition **parts;
        uint32_t count;
        _Atomic uint32_t next;
};

static void *open_main(void *arg)
{
        struct opening *opening = arg;

        for (;;) {
                uint32_t at = atomic_fetch_add(&opening->next, 1);

                if (at >= opening->count)
                        return NULL;
                open_partition(opening->parts[at]);
        }
}

static void open_all(struct leat_log *log)
{
        struct opening opening = {0};
        pthread_t threads[OPENERS];
        uint32_t started = 0;

        opening.count = leat_log_partitions(log, &opening.parts);
        while (started < OPENERS && started + 1 < opening.count / 4) {
                if (pthread_create(&threads[started], NULL, open_main, &opening) != 0)
                        break; /* this thread does it, too */
                started++;
        }
        open_main(&opening);
        for (uint32_t i = 0; i < started; i++)
                pthread_join(threads[i], NULL);
        for (uint32_t i = 0; i < opening.count; i++)
                leat_log_partition_unref(opening.parts[i]);
        free(opening.parts);
}

static void registry_add(struct leat_log *log, struct leat_log_topic *topic, struct leat_log_partition **parts)
{
        uint32_t at;

        pthread_rwlock_wrlock(&log->topics_lock);
        at = slot_place(log, leat_view_str(topic->name));
        log->slots = leat_realloc(log->slots, (log->slot_count + 1) * sizeof(*log->slots));
        memmove(log->slots + at + 1, log->slots + at, (log->slot_count - at) * sizeof(*log->slots));
        log->slots[at] = (struct leat_log_slot){.topic = topic, .parts = parts};
        log->slot_count++;
        registry_index(log);
        pthread_rwlock_unlock(&log->topics_lock);
}

int leat_log_topics_load(struct leat_log *log, struct leat_error *err)
{
        struct leat_log_topics_file file = {0};
        struct leat_buf bytes = LEAT_BUF_INIT;
        char *path = leat_asprintf("%s/topics", log->dir);
        int rc = leat_os_read_file(path, LEAT_LOG_TOPICS_FILE_MAX, &bytes, err);
        uint32_t total = 0;

        if (rc == LEAT_ENOTFOUND) {
                rc = topics_save(log, NULL, NULL, err);
        } else if (rc == 0) {
                rc = leat_log_topics_parse(leat_buf_view(&bytes), &file, err);
                if (rc != 0) {
                        leat_error_prefix(err, "%s", path);
                        leat_error_hint(err, "restore the file from a backup; nothing else was touched");
                }
        }
        for (uint32_t i = 0; i < file.count; i++)
                total += file.topics[i]->partitions;
        for (uint32_t i = 0; i < file.count; i++) {
                struct leat_log_partition **parts = leat_calloc(file.topics[i]->partitions, sizeof(*parts));

                make_partitions(log, file.topics[i], 0, parts);
                registry_add(log, leat_log_topic_ref(file.topics[i]), parts);
        }
        open_all(log);
        LEAT_ASSERT(atomic_load(&log->partition_count) == total);
        log->doomed = file.doomed;
        log->doomed_count = file.doomed_count;
        file.doomed = NULL;
        leat_log_topics_file_done(&file);
        leat_buf_done(&bytes);
        free(path);
        return rc;
}

void leat_log_topics_free(struct leat_log *log)
{
        for (uint32_t i = 0; i < log->slot_count; i++) {
                for (uint32_t p = 0; p < log->slots[i].topic->partitions; p++)
                        leat_log_partition_unref(log->slots[i].parts[p]);
                free(log->slots[i].parts);
                leat_log_topic_unref(log->slots[i].topic);
        }
        free(log->slots);
        free(log->by_id);
        free(log->doomed);
}

uint32_t leat_log_partitions(struct leat_log *log, struct leat_log_partition ***ret_parts)
{
        struct leat_log_partition **parts;
        uint32_t n = 0;

        pthread_rwlock_rdlock(&log->topics_lock);
        for (uint32_t i = 0; i < log->slot_count; i++)
                n += log->slots[i].topic->partitions;
        parts = leat_malloc((n + 1) * sizeof(*parts));
        n = 0;
        for (uint32_t i = 0; i < log->slot_count; i++) {
                for (uint32_t p = 0; p < log->slots[i].topic->partitions; p++)
                        parts[n++] = leat_log_partition_ref(log->slots[i].parts[p]);
        }
        pthread_rwlock_unlock(&log->topics_lock);
        *ret_parts = parts;
        return n;
}

struct leat_log_topic *leat_log_topic_find(struct leat_log *log, struct leat_view name)
{
        struct leat_log_slot *slot;
        struct leat_log_topic *topic = NULL;

        pthread_rwlock_rdlock(&log->topics_lock);
        slot = slot_by_name(log, name);
        if (slot)
                topic = leat_log_topic_ref(slot->topic);
        pthread_rwlock_unlock(&log->topics_lock);
        return topic;
}

struct leat_log_topic *leat_log_topic_find_id(struct leat_log *log, const uint8_t id[LEAT_LOG_ID_BYTES])
{
        struct leat_log_slot *slot;
        struct leat_log_topic *topic = NULL;

        pthread_rwlock_rdlock(&log->topics_lock);
        slot = slot_by_id(log, id);
        if (slot)
                topic = leat_log_topic_ref(slot->topic);
        pthread_rwlock_unlock(&log->topics_lock);
        return topic;
}

struct leat_log_partition *leat_log_partition_find(struct leat_log *log, const uint8_t id[LEAT_LOG_ID_BYTES],
                                                   uint32_t index)
{
        struct leat_log_partition *part = NULL;
        struct leat_log_slot *slot;

        pthread_rwlock_rdlock(&log->topics_lock);
        slot = slot_by_id(log, id);
        if (slot && index < slot->topic->partitions)
                part = leat_log_partition_ref(slot->parts[index]);
        pthread_rwlock_unlock(&log->topics_lock);
        return part;
}

uint32_t leat_log_topics(struct leat_log *log, struct leat_log_topic ***ret_topics)
{
        struct leat_log_topic **topics;
        uint32_t count;

        pthread_rwlock_rdlock(&log->topics_lock);
        count = log->slot_count;
        topics = leat_malloc((count + 1) * sizeof(*topics));
        for (uint32_t i = 0; i < count; i++)
                topics[i] = leat_log_topic_ref(log->slots[i].topic);
        pthread_rwlock_unlock(&log->topics_lock);
        *ret_topics = topics;
        return count;
}

uint64_t leat_log_topics_version(const struct leat_log *log)
{
        return atomic_load(&log->version);
}

/* ---- changes ------------------------------------------------------------------------------------ */

/* Makes the folders of partitions @from.. and their names durable. */
static int make_folders(struct leat_log *log, const struct leat_log_topic *topic, uint32_t from, struct leat_error *err)
{
        char id[2 * LEAT_LOG_ID_BYTES + 1];
        char *dir;
        int rc = 0;

        leat_log_id_text(topic->id, id);
        dir = leat_asprintf("%s/%s", log->dir, id);
        for (uint32_t i = from; rc == 0 && i < topic->partitions; i++) {
                char *path = leat_asprintf("%s/%u", dir, i);

                rc = leat_os_mkdirs(path, err);
                free(path);
        }
        if (rc == 0)
                rc = leat_os_sync_dir(dir, err);
        if (rc == 0 && from == 0)
                rc = leat_os_sync_dir(log->dir, err);
        free(dir);
        return rc;
}

static int check_new(struct leat_log *log, const char *name, uint32_t partitions, struct leat_error *err)
{
        struct leat_log_topic *old;

        if (!leat_log_topic_name_good(name))
                return leat_error_set(
                        err, LEAT_EINVAL,
                        "\"%s\" is no name for a topic: 1 to 249 of letters, digits, \".\", \"_\" and \"-\"", name);
        if (partitions < 1 || partitions > LEAT_LOG_PARTITIONS_MAX)
                return leat_error_set(err, LEAT_EINVAL, "a topic has 1 to %d partitions, not %u",
                                      LEAT_LOG_PARTITIONS_MAX, partitions);
        old = leat_log_topic_find(log, leat_view_str(name));
        if (old) {
                leat_log_topic_unref(old);
                return leat_error_set(err, LEAT_EEXISTS, "topic %s exists already", name);
        }
        return 0;
}

int leat_log_topic_create(struct leat_log *log, const char *name, uint32_t partitions,
                          const struct leat_log_config *configs, uint32_t config_count,
                          struct leat_log_topic **ret_topic, struct leat_error *err)
{
        uint8_t id[LEAT_LOG_ID_BYTES];
        struct leat_log_partition **parts;
        struct leat_log_topic_own *topic = NULL;
        int rc;

        pthread_mutex_lock(&log->change);
        LEAT_TRY_GOTO(check_new(log, name, partitions, err));
        leat_os_random(id, sizeof(id));
        id[6] = (uint8_t)((id[6] & 0x0f) | 0x40); /* a random UUID, version 4 */
        id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
        topic = leat_log_topic_new(id, name, partitions, leat_os_now_us());
        for (uint32_t i = 0; i < config_count; i++)
                leat_log_topic_put(topic, configs[i].name, configs[i].value);
        LEAT_TRY_GOTO(make_folders(log, &topic->pub, 0, err));
        LEAT_TRY_GOTO(topics_save(log, &topic->pub, NULL, err));
        parts = leat_calloc(partitions, sizeof(*parts));
        open_partitions(log, &topic->pub, 0, parts);
        registry_add(log, leat_log_topic_ref(&topic->pub), parts);
        if (ret_topic)
                *ret_topic = leat_log_topic_ref(&topic->pub);
fail:
        if (topic)
                leat_log_topic_unref(&topic->pub);
        pthread_mutex_unlock(&log->change);
        return rc;
}

/* The partition is gone: nobody waits on it any more. */
static void partition_delete(struct leat_log_partition *part)
{
        struct leat_log_waiter *waiters;
        struct leat_error err;

        pthread_mutex_lock(&part->lock);
        part->deleted = true;
        leat_log_partition_usable(part, &err);
        waiters = leat_log_partition_take_waiters(part, false);
        pthread_mutex_unlock(&part->lock);
        leat_log_waiters_finish(waiters, &err);
        if (part->log->moved)
                part->log->moved(part->log->moved_arg, part);
}

int leat_log_topic_delete(struct leat_log *log, const uint8_t id[LEAT_LOG_ID_BYTES], struct leat_error *err)
{
        struct leat_log_slot *slot, gone;
        int rc;

        pthread_mutex_lock(&log->change);
        slot = slot_by_id(log, id);
        if (!slot) {
                rc = leat_error_set(err, LEAT_ENOTFOUND, "there is no topic with this id");
                goto fail;
        }
        LEAT_TRY_GOTO(topics_save(log, NULL, id, err));
        pthread_rwlock_wrlock(&log->topics_lock);
        gone = *slot;
        log->slot_count--;
        memmove(slot, slot + 1, (size_t)(log->slots + log->slot_count - slot) * sizeof(*slot));
        registry_index(log);
        log->doomed = leat_realloc(log->doomed, (log->doomed_count + 1) * sizeof(*log->doomed));
        memcpy(log->doomed[log->doomed_count++], gone.topic->id, LEAT_LOG_ID_BYTES);
        pthread_rwlock_unlock(&log->topics_lock);
        for (uint32_t i = 0; i < gone.topic->partitions; i++) {
                partition_delete(gone.parts[i]);
                leat_log_partition_unref(gone.parts[i]);
        }
        atomic_fetch_sub(&log->partition_count, gone.topic->partitions);
        leat_log_topic_unref(gone.topic);
        free(gone.parts);
fail:
        pthread_mutex_unlock(&log->change);
        if (rc == 0) {
                pthread_mutex_lock(&log->wake_lock);
                log->tidy_now = true;
                pthread_cond_signal(&log->wake);
                pthread_mutex_unlock(&log->wake_lock);
        }
        return rc;
}

void leat_log_topics_sweep(struct leat_log *log)
{
        uint32_t done = 0;

        pthread_mutex_lock(&log->change);
        while (done < log->doomed_count) {
                char id[2 * LEAT_LOG_ID_BYTES + 1];
                struct leat_error err;
                char *dir;
                int rc;

                leat_log_id_text(log->doomed[done], id);
                dir = leat_asprintf("%s/%s", log->dir, id);
                rc = leat_os_remove_tree(dir, &err);
                free(dir);
                if (rc != 0) {
                        leat_diag_error("log", "files of a deleted topic not removed", &err);
                        break;
                }
                done++;
        }
        if (done > 0) {
                log->doomed_count -= done;
                memmove(log->doomed, log->doomed + done, log->doomed_count * sizeof(*log->doomed));
                struct leat_error err;

                if (topics_save(log, NULL, NULL, &err) != 0) /* the ids stay listed, which is harmless */
                        leat_diag_error("log", "the end of a deletion is not noted", &err);
        }
        pthread_mutex_unlock(&log->change);
}

/* A copy of the topic to be changed; NULL when there is none. Lock `change` held. */
static struct leat_log_topic_own *topic_copy(struct leat_log *log, const uint8_t *id, struct leat_error *err)
{
        struct leat_log_slot *slot = slot_by_id(log, id);
        struct leat_log_topic_own *copy;

        if (!slot) {
                leat_error_set(err, LEAT_ENOTFOUND, "there is no topic with this id");
                return NULL;
        }
        copy = leat_log_topic_new(id, slot->topic->name, slot->topic->partitions, slot->topic->created_us);
        for (uint32_t i = 0; i < slot->topic->config_count; i++)
                leat_log_topic_put(copy, slot->topic->configs[i].name, slot->topic->configs[i].value);
        return copy;
}

/* Puts the changed topic into the registry and to its partitions. */
static void registry_replace(struct leat_log *log, struct leat_log_topic_own *topic, struct leat_log_partition **parts)
{
        struct leat_log_slot *slot = slot_by_id(log, topic->pub.id);
        struct leat_log_topic *old = slot->topic;

        pthread_rwlock_wrlock(&log->topics_lock);
        slot->topic = leat_log_topic_ref(&topic->pub);
        if (parts) {
                free(slot->parts);
                slot->parts = parts;
        }
        atomic_fetch_add(&log->version, 1);
        pthread_rwlock_unlock(&log->topics_lock);
        for (uint32_t i = 0; i < topic->pub.partitions; i++)
                leat_log_partition_configure(slot->parts[i], &topic->pub);
        leat_log_topic_unref(old);
}

int leat_log_topic_grow(struct leat_log *log, const uint8_t id[LEAT_LOG_ID_BYTES], uint32_t partitions,
                        struct leat_error *err)
{
        struct leat_log_partition **parts;
        struct leat_log_topic_own *topic;
        uint32_t before;
        int rc = LEAT_ENOTFOUND;

        pthread_mutex_lock(&log->change);
        topic = topic_copy(log, id, err);
        if (!topic)
                goto fail;
        before = topic->pub.partitions;
        if (partitions <= before || partitions > LEAT_LOG_PARTITIONS_MAX) {
                rc = leat_error_set(err, LEAT_EINVAL,
                                    "topic %s has %u partitions; they can only grow, up to %d, not to %u",
                                    topic->pub.name, before, LEAT_LOG_PARTITIONS_MAX, partitions);
                goto fail;
        }
        topic->pub.partitions = partitions;
        LEAT_TRY_GOTO(make_folders(log, &topic->pub, before, err));
        LEAT_TRY_GOTO(topics_save(log, &topic->pub, NULL, err));
        parts = leat_calloc(partitions, sizeof(*parts));
        memcpy(parts, slot_by_id(log, id)->parts, before * sizeof(*parts));
        open_partitions(log, &topic->pub, before, parts);
        registry_replace(log, topic, parts);
fail:
        if (topic)
                leat_log_topic_unref(&topic->pub);
        pthread_mutex_unlock(&log->change);
        return rc;
}

int leat_log_topic_set(struct leat_log *log, const uint8_t id[LEAT_LOG_ID_BYTES], const struct leat_log_config *configs,
                       uint32_t config_count, struct leat_error *err)
{
        struct leat_log_topic_own *topic;
        int rc = LEAT_ENOTFOUND;

        pthread_mutex_lock(&log->change);
        topic = topic_copy(log, id, err);
        if (!topic)
                goto fail;
        for (uint32_t i = 0; i < config_count; i++)
                leat_log_topic_put(topic, configs[i].name, configs[i].value);
        LEAT_TRY_GOTO(topics_save(log, &topic->pub, NULL, err));
        registry_replace(log, topic, NULL);
fail:
        if (topic)
                leat_log_topic_unref(&topic->pub);
        pthread_mutex_unlock(&log->change);
        return rc;
}
