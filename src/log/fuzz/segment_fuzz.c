/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recovery and reading of a partition whose files hold anything.
 *
 * Input: flags (1 byte: bit 0 = make the CRCs of batches right, bit 1 = there is a checkpoint, bit 2 = and its CRC is
 * right, bit 3 = there is an index, bit 4 = a second segment begins at the last quarter), length of the index (2 bytes,
 * little endian), 64 bytes of checkpoint, index, log.
 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "../log_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[64];
static char part_dir[160];

static void make_topic(void)
{
        struct leat_log *log;
        struct leat_log_topic *topic;
        char id[2 * LEAT_LOG_ID_BYTES + 1];
        int rc;

        snprintf(dir, sizeof(dir), "%s/leat-fuzz-%d", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp",
                 (int)getpid());
        leat_diag_init("fuzz", LEAT_DIAG_ERROR + 1);
        rc = leat_log_open(dir, &log, NULL);
        LEAT_ASSERT(rc == 0);
        rc = leat_log_topic_create(log, "t", 1, NULL, 0, &topic, NULL);
        LEAT_ASSERT(rc == 0);
        leat_log_id_text(topic->id, id);
        snprintf(part_dir, sizeof(part_dir), "%s/%s/0", dir, id);
        leat_log_topic_unref(topic);
        leat_log_close(log);
}

static void put_file(const char *name, const uint8_t *data, size_t len)
{
        char path[256];
        int fd;

        snprintf(path, sizeof(path), "%s/%s", part_dir, name);
        fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
        LEAT_ASSERT(fd >= 0 && write(fd, data, len) == (ssize_t)len);
        close(fd);
}

static void mend_crcs(uint8_t *log, size_t len)
{
        struct leat_log_batch batch;

        for (size_t at = 0; at + LEAT_LOG_BATCH_HEADER_BYTES <= len; at += batch.bytes) {
                if (!leat_log_batch_parse(log + at, &batch) || batch.bytes > len - at)
                        break;
                leat_put_be32(log + at + 17, leat_crc32c(0, log + at + 21, batch.bytes - 21));
        }
}

static void read_all(struct leat_log_partition *part)
{
        struct leat_log_state state;
        int64_t offset, rounds = 0;

        leat_log_partition_state(part, &state);
        for (offset = state.start; offset < state.high && rounds < 1000; rounds++) {
                struct leat_chain chain = LEAT_CHAIN_INIT;
                struct leat_log_read got;
                int rc = leat_log_read(part, offset, 4096, &chain, &got, NULL);

                LEAT_ASSERT(rc == 0 || rc == LEAT_ECORRUPT);
                LEAT_ASSERT(got.next > offset && got.next <= state.high);
                offset = got.next;
                leat_chain_done(&chain);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct leat_log_verified verified;
        struct leat_log_partition *part;
        struct leat_log_topic *topic;
        struct leat_log *log;
        uint8_t checkpoint[64], *bytes;
        size_t index_len, len, half;

        if (size < 67 || size > (1 << 20))
                return 0;
        if (!dir[0])
                make_topic();
        if (leat_os_remove_tree(part_dir, NULL) != 0 || leat_os_mkdirs(part_dir, NULL) != 0)
                abort();
        index_len = LEAT_MIN((size_t)(data[1] | data[2] << 8), size - 67);
        memcpy(checkpoint, data + 3, sizeof(checkpoint));
        if (data[0] & 4)
                leat_put_le32(checkpoint + 60, leat_crc32c(0, checkpoint, 60));
        if (data[0] & 2)
                put_file("synced", checkpoint, sizeof(checkpoint));
        if (data[0] & 8)
                put_file("00000000000000000000.index", data + 67, index_len);
        len = size - 67 - index_len;
        bytes = leat_malloc(len + 1);
        memcpy(bytes, data + 67 + index_len, len);
        if (data[0] & 1)
                mend_crcs(bytes, len);
        half = data[0] & 16 ? len / 4 * 3 : len;
        put_file("00000000000000000000.log", bytes, half);
        if (half < len)
                put_file("00000000000000000003.log", bytes + half, len - half);
        free(bytes);
        if (leat_log_open(dir, &log, NULL) != 0)
                abort();
        topic = leat_log_topic_find(log, leat_view_str("t"));
        part = leat_log_partition_find(log, topic->id, 0);
        leat_log_topic_unref(topic);
        read_all(part);
        if (leat_log_verify(dir, NULL, NULL, &verified, NULL) != 0)
                abort();
        leat_log_close(log);
        leat_log_partition_unref(part);
        return 0;
}
