/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/log: definitions of topics, and the file that holds them.
 *
 * All definitions are in one small file, DATA/log/topics, which is replaced as
 * a whole and synced with every change. Making a topic makes its folders first;
 * the file decides whether it exists. Deleting writes the file without it, with
 * its id on the list of doomed ones, and then removes the files at leisure, so
 * a crash in between leaves nothing behind and takes nothing else along.
 *
 * File (little endian): "LTOP" u32, version u32, topics u32, doomed u32; per
 * topic: id 16 bytes, created i64 (us), partitions u32, name (u16 length and
 * bytes), settings u32, per setting name and value (u16 length and bytes
 * each); per doomed topic its id; CRC32C of everything before.
 */
#include "log_int.h"

void leat_log_id_text(const uint8_t id[LEAT_LOG_ID_BYTES], char out[2 * LEAT_LOG_ID_BYTES + 1])
{
        static const char digits[] = "0123456789abcdef";

        for (int i = 0; i < LEAT_LOG_ID_BYTES; i++) {
                out[2 * i] = digits[id[i] >> 4];
                out[2 * i + 1] = digits[id[i] & 15];
        }
        out[2 * LEAT_LOG_ID_BYTES] = 0;
}

/* ---- a definition ----------------------------------------------------------------- */

struct leat_log_topic_own *leat_log_topic_new(const uint8_t *id, const char *name, uint32_t partitions,
                                              int64_t created_us)
{
        struct leat_log_topic_own *topic = leat_calloc(1, sizeof(*topic));

        memcpy(topic->pub.id, id, LEAT_LOG_ID_BYTES);
        topic->name = leat_strdup(name);
        topic->pub.name = topic->name;
        topic->pub.partitions = partitions;
        topic->pub.created_us = created_us;
        topic->refs = 1;
        return topic;
}

/* Sets or removes (@value NULL) a setting; keeps the order by name. */
void leat_log_topic_put(struct leat_log_topic_own *topic, const char *name, const char *value)
{
        uint32_t at = 0, count = topic->pub.config_count;

        while (at < count && strcmp(topic->configs[at].name, name) < 0)
                at++;
        if (at < count && strcmp(topic->configs[at].name, name) == 0) {
                free((char *)topic->configs[at].name);
                free((char *)topic->configs[at].value);
                count--;
                memmove(topic->configs + at, topic->configs + at + 1, (count - at) * sizeof(*topic->configs));
        }
        if (value) {
                topic->configs = leat_realloc(topic->configs, (count + 1) * sizeof(*topic->configs));
                memmove(topic->configs + at + 1, topic->configs + at, (count - at) * sizeof(*topic->configs));
                topic->configs[at] = (struct leat_log_config){.name = leat_strdup(name), .value = leat_strdup(value)};
                count++;
        }
        topic->pub.config_count = count;
        topic->pub.configs = topic->configs;
}

struct leat_log_topic *leat_log_topic_ref(const struct leat_log_topic *topic)
{
        struct leat_log_topic_own *own = (struct leat_log_topic_own *)topic;

        atomic_fetch_add_explicit(&own->refs, 1, memory_order_relaxed);
        return &own->pub;
}

void leat_log_topic_unref(const struct leat_log_topic *topic)
{
        struct leat_log_topic_own *own = (struct leat_log_topic_own *)topic;

        if (!own || atomic_fetch_sub_explicit(&own->refs, 1, memory_order_acq_rel) != 1)
                return;
        for (uint32_t i = 0; i < own->pub.config_count; i++) {
                free((char *)own->configs[i].name);
                free((char *)own->configs[i].value);
        }
        free(own->configs);
        free(own->name);
        free(own);
}

const char *leat_log_topic_config(const struct leat_log_topic *topic, const char *name)
{
        for (uint32_t i = 0; i < topic->config_count; i++) {
                if (strcmp(topic->configs[i].name, name) == 0)
                        return topic->configs[i].value;
        }
        return NULL;
}

bool leat_log_topic_name_good(const char *name)
{
        size_t len = strlen(name);

        return len >= 1 && len <= 249 && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
               strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == len;
}

/* ---- the file ---------------------------------------------------------------------------- */

static void text_write(struct leat_buf *out, const char *text)
{
        size_t len = LEAT_MIN(strlen(text), (size_t)UINT16_MAX);

        leat_buf_le16(out, (uint16_t)len);
        leat_buf_add(out, text, len);
}

static char *text_read(struct leat_cursor *cur)
{
        size_t len = leat_cursor_le16(cur);
        struct leat_view view = leat_cursor_bytes(cur, len);

        return leat_strndup(view.len ? (const char *)view.data : "", view.len);
}

void leat_log_topic_write(struct leat_buf *out, const struct leat_log_topic *topic)
{
        leat_buf_add(out, topic->id, LEAT_LOG_ID_BYTES);
        leat_buf_le64(out, (uint64_t)topic->created_us);
        leat_buf_le32(out, topic->partitions);
        text_write(out, topic->name);
        leat_buf_le32(out, topic->config_count);
        for (uint32_t i = 0; i < topic->config_count; i++) {
                text_write(out, topic->configs[i].name);
                text_write(out, topic->configs[i].value);
        }
}

static struct leat_log_topic_own *topic_read(struct leat_cursor *cur)
{
        struct leat_view id = leat_cursor_bytes(cur, LEAT_LOG_ID_BYTES);
        int64_t created_us = (int64_t)leat_cursor_le64(cur);
        uint32_t partitions = leat_cursor_le32(cur), configs;
        char *name = text_read(cur);
        struct leat_log_topic_own *topic = NULL;

        configs = leat_cursor_le32(cur);
        if (!cur->failed && leat_log_topic_name_good(name) && partitions >= 1 &&
            partitions <= LEAT_LOG_PARTITIONS_MAX) {
                topic = leat_log_topic_new(id.data, name, partitions, created_us);
                for (uint32_t i = 0; i < configs && !cur->failed; i++) {
                        char *key = text_read(cur), *value = text_read(cur);

                        if (!cur->failed)
                                leat_log_topic_put(topic, key, value);
                        free(key);
                        free(value);
                }
        }
        free(name);
        if (topic && cur->failed) {
                leat_log_topic_unref(&topic->pub);
                topic = NULL;
        }
        return topic;
}

void leat_log_topics_file_done(struct leat_log_topics_file *file)
{
        for (uint32_t i = 0; i < file->count; i++)
                leat_log_topic_unref(file->topics[i]);
        free(file->topics);
        free(file->doomed);
        *file = (struct leat_log_topics_file){0};
}

int leat_log_topics_parse(struct leat_view bytes, struct leat_log_topics_file *ret_file, struct leat_error *err)
{
        struct leat_log_topics_file file = {0};
        struct leat_cursor cur = leat_cursor_of(leat_view_of(bytes.data, bytes.len >= 4 ? bytes.len - 4 : 0));
        uint32_t topics, doomed;
        bool good;

        good = bytes.len >= 20 &&
               leat_get_le32(bytes.data + bytes.len - 4) == leat_crc32c(0, bytes.data, bytes.len - 4) &&
               leat_cursor_le32(&cur) == LEAT_LOG_TOPICS_MAGIC && leat_cursor_le32(&cur) == 1;
        topics = leat_cursor_le32(&cur);
        doomed = leat_cursor_le32(&cur);
        good = good && topics <= bytes.len / 34 && doomed <= bytes.len / LEAT_LOG_ID_BYTES;
        if (good) {
                file.topics = leat_calloc(topics + 1, sizeof(struct leat_log_topic *));
                file.doomed = leat_calloc(doomed + 1, LEAT_LOG_ID_BYTES);
        }
        for (uint32_t i = 0; good && i < topics; i++) {
                struct leat_log_topic_own *topic = topic_read(&cur);

                good = topic != NULL;
                if (good)
                        file.topics[file.count++] = &topic->pub;
        }
        for (uint32_t i = 0; good && i < doomed; i++) {
                struct leat_view id = leat_cursor_bytes(&cur, LEAT_LOG_ID_BYTES);

                good = !cur.failed;
                if (good)
                        memcpy(file.doomed[file.doomed_count++], id.data, LEAT_LOG_ID_BYTES);
        }
        if (!good || cur.failed || leat_cursor_left(&cur) != 0) {
                leat_log_topics_file_done(&file);
                return leat_error_set(err, LEAT_ECORRUPT, "the list of topics is damaged");
        }
        *ret_file = file;
        return 0;
}
