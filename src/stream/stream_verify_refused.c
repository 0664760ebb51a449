/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/stream: records that a view left out because an expression could not take
 * them, as the topic's quarantine names them. `leat verify` leaves them out too.
 */
#include <stdio.h>
#include <stdlib.h>

#include "stream_verify.h"

#define WAIT_US 10000000ll

static void places_take(const struct leat_format_rows *rows, const char *prefix, struct leat_buf *out)
{
        const struct leat_batch *batch = rows->batch;
        for (uint32_t i = 0; i < batch->rows; i++) {
                struct leat_record_place place = {.partition = ((const int32_t *)batch->columns[0].data)[i],
                                                  .offset = ((const int64_t *)batch->columns[1].data)[i]};
                if (!leat_column_valid(&batch->columns[2], i)) /* a mark, or deleted */
                        continue;
                struct leat_view reason = leat_string_view(&((const struct leat_string *)batch->columns[2].data)[i]);
                if (reason.len > strlen(prefix) && memcmp(reason.data, prefix, strlen(prefix)) == 0)
                        leat_buf_add(out, &place, sizeof place);
        }
}

static int by_place(const void *a, const void *b)
{
        const struct leat_record_place *x = a, *y = b;
        if (x->partition != y->partition)
                return x->partition < y->partition ? -1 : 1;
        return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static int quarantine_read(struct leat_feed *feed, const struct leat_feed_topic *topic, struct leat_format *format,
                           const char *prefix, struct leat_buf *out, struct leat_error *err)
{
        struct leat_feed_reader *reader;
        int64_t at, end, until = leat_os_monotonic_us() + WAIT_US;
        LEAT_TRY(leat_feed_offsets(feed, topic->name, LEAT_FEED_EARLIEST, &at, 1, err));
        LEAT_TRY(leat_feed_offsets(feed, topic->name, LEAT_FEED_LATEST, &end, 1, err));
        LEAT_TRY(leat_feed_reader_open(feed, &reader, err));
        int rc = leat_feed_reader_add(reader, topic, 0, at, 0, err);
        while (rc == 0 && at < end) {
                const struct leat_feed_batch *batches;
                struct leat_format_rows rows;
                uint32_t got, tag;
                int32_t partition;
                rc = leat_feed_poll(reader, 1000000, 8u << 20, &batches, &got, &tag, &partition, err);
                leat_format_reset(format);
                for (uint32_t b = 0; b < got && rc == 0; b++) {
                        leat_format_decode(format, batches[b].records, batches[b].record_count);
                        at = batches[b].next_offset;
                        until = leat_os_monotonic_us() + WAIT_US;
                }
                leat_format_rows(format, &rows);
                places_take(&rows, prefix, out);
                if (rc == 0 && leat_os_monotonic_us() > until)
                        rc = leat_error_set(err, LEAT_ETIMEOUT, "topic %s cannot be read to its end", topic->name);
        }
        leat_feed_reader_close(reader);
        return rc;
}

int leat_verify_refused(struct leat_feed *feed, const char *topic, const char *view, struct leat_arena *arena,
                        struct leat_record_place **ret_places, uint32_t *ret_count, struct leat_error *err)
{
        static const char *const names[] = {"partition", "offset", "reason"};
        const char *name = leat_arena_printf(arena, "%s.quarantine", topic);
        const char *prefix = leat_arena_printf(arena, "view %s: ", view);
        struct leat_buf places = LEAT_BUF_INIT;
        struct leat_feed_topic info;
        struct leat_format *format;
        *ret_count = 0;
        *ret_places = NULL;
        int rc = leat_feed_topic(feed, name, &info, err);
        if (rc == LEAT_ENORELATION)
                return 0; /* nothing was ever refused */
        LEAT_TRY(rc);
        LEAT_TRY(leat_format_open(leat_format_quarantine_def(), names, 3, &format, err));
        rc = quarantine_read(feed, &info, format, prefix, &places, err);
        leat_format_close(format);
        if (rc == 0 && places.len > 0) {
                *ret_count = (uint32_t)(places.len / sizeof **ret_places);
                *ret_places = leat_arena_alloc(arena, places.len);
                memcpy(*ret_places, places.data, places.len);
                qsort(*ret_places, *ret_count, sizeof **ret_places, by_place);
        }
        leat_buf_done(&places);
        return rc;
}

static void decode(struct leat_format *format, const struct leat_record *records, uint32_t count,
                   struct leat_buf *io_offsets)
{
        for (uint32_t i = 0; i < count; i++)
                leat_buf_add(io_offsets, &records[i].offset, sizeof records[i].offset);
        leat_format_decode(format, records, count);
}

void leat_verify_decode(struct leat_format *format, const struct leat_record *records, uint32_t count,
                        int32_t partition, const struct leat_record_place *places, uint32_t place_count,
                        struct leat_buf *io_offsets)
{
        uint32_t from = 0;
        for (uint32_t i = 0; i < count && place_count > 0; i++) {
                struct leat_record_place place = {.partition = partition, .offset = records[i].offset};
                if (bsearch(&place, places, place_count, sizeof *places, by_place) == NULL)
                        continue;
                decode(format, records + from, i - from, io_offsets);
                from = i + 1;
        }
        decode(format, records + from, count - from, io_offsets);
}
