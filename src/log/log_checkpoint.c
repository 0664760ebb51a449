/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/log: the synced end, and small files that hold one number.
 *
 * The checkpoint says how far a partition was synced. It is written without a
 * sync after each sync of the segment, in turn into one of two slots, so that
 * a torn write leaves the other. It may be stale after a loss of power, never
 * too far ahead: recovery then only checks more bytes than it must.
 */
#include "log_int.h"

#define CHECKPOINT_MAGIC 0x504b434cu /* "LCKP" */
#define NUMBER_MAGIC 0x4d554e4cu     /* "LNUM" */

void leat_log_checkpoint_format(const struct leat_log_checkpoint *ck, uint8_t out[LEAT_LOG_CHECKPOINT_SLOT])
{
        memset(out, 0, LEAT_LOG_CHECKPOINT_SLOT);
        leat_put_le32(out, CHECKPOINT_MAGIC);
        leat_put_le32(out + 4, 1);
        leat_put_le64(out + 8, ck->number);
        leat_put_le64(out + 16, (uint64_t)ck->segment);
        leat_put_le64(out + 24, (uint64_t)ck->pos);
        leat_put_le64(out + 32, (uint64_t)ck->offset);
        leat_put_le32(out + 60, leat_crc32c(0, out, 60));
}

bool leat_log_checkpoint_parse(struct leat_view file, struct leat_log_checkpoint *ret_ck)
{
        bool found = false;

        for (size_t at = 0; at + LEAT_LOG_CHECKPOINT_SLOT <= file.len && at < 2 * LEAT_LOG_CHECKPOINT_SLOT;
             at += LEAT_LOG_CHECKPOINT_SLOT) {
                const uint8_t *p = file.data + at;
                struct leat_log_checkpoint ck = {.number = leat_get_le64(p + 8),
                                                 .segment = (int64_t)leat_get_le64(p + 16),
                                                 .pos = (int64_t)leat_get_le64(p + 24),
                                                 .offset = (int64_t)leat_get_le64(p + 32)};
                if (leat_get_le32(p) != CHECKPOINT_MAGIC || leat_get_le32(p + 4) != 1 ||
                    leat_get_le32(p + 60) != leat_crc32c(0, p, 60))
                        continue;
                if (ck.segment < 0 || ck.pos < 0 || ck.offset < ck.segment)
                        continue;
                if (!found || ck.number > ret_ck->number)
                        *ret_ck = ck;
                found = true;
        }
        return found;
}

int leat_log_number_write(const char *path, uint64_t value, struct leat_error *err)
{
        uint8_t out[20];

        leat_put_le32(out, NUMBER_MAGIC);
        leat_put_le32(out + 4, 1);
        leat_put_le64(out + 8, value);
        leat_put_le32(out + 16, leat_crc32c(0, out, 16));
        return leat_os_replace_file(path, leat_view_of(out, sizeof(out)), true, err);
}

int leat_log_number_read(const char *path, uint64_t *ret_value, struct leat_error *err)
{
        struct leat_buf file = LEAT_BUF_INIT;
        int rc = leat_os_read_file(path, 64, &file, err);

        if (rc == 0 &&
            (file.len != 20 || leat_get_le32(file.data) != NUMBER_MAGIC || leat_get_le32(file.data + 4) != 1 ||
             leat_get_le32(file.data + 16) != leat_crc32c(0, file.data, 16)))
                rc = leat_error_set(err, LEAT_ECORRUPT, "%s is damaged", path);
        if (rc == 0)
                *ret_value = leat_get_le64(file.data + 8);
        leat_buf_done(&file);
        return rc;
}
