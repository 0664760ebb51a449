/* SPDX-License-Identifier: Apache-2.0 */
/* leat/format: records a second of decoding 207-byte JSON events with seven columns, one thread. */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "leat/catalog.h"
#include "leat/format.h"

#define RECORDS 20000

static const struct leat_column_def columns[] = {
        {.name = "package_id", .type = {.id = LEAT_T_VARCHAR}, .not_null = true},
        {.name = "station", .type = {.id = LEAT_T_VARCHAR}},
        {.name = "route", .type = {.id = LEAT_T_VARCHAR}},
        {.name = "associate", .type = {.id = LEAT_T_INTEGER}},
        {.name = "weight_g", .type = {.id = LEAT_T_INTEGER}},
        {.name = "volume_l", .type = {.id = LEAT_T_DOUBLE}},
        {.name = "event_time", .type = {.id = LEAT_T_TIMESTAMPTZ}},
};
static const struct leat_topic_def def = {
        .format = LEAT_FORMAT_JSON, .column_count = 7, .columns = columns, .watermark_column = -1};

/* CPU time: other work on the machine does not count. */
static int64_t cpu_us(void)
{
        return (int64_t)clock() * 1000000 / CLOCKS_PER_SEC;
}

static struct leat_record *make_records(struct leat_buf *text)
{
        struct leat_record *records = leat_calloc(RECORDS, sizeof *records);
        size_t *starts = leat_calloc(RECORDS + 1, sizeof *starts);
        uint64_t x = 1;
        for (int i = 0; i < RECORDS; i++) {
                x = leat_hash_mix(x, (uint64_t)i);
                starts[i] = text->len;
                leat_buf_printf(
                        text,
                        "{\"package_id\":\"PKG-%012" PRIu64 "\",\"station\":\"STATION-%04d\",\"route\":\"R%05d\","
                        "\"associate\":%d,\"weight_g\":%d,\"volume_l\":%d.%02d,\"location\":\"aisle 17 shelf B\","
                        "\"event_time\":\"2026-11-24T21:%02d:%02d.%03dZ\"}",
                        x % 1000000000000, (int)(x % 500), (int)(x % 20000), 100000 + (int)(x % 90000),
                        1000 + (int)(x % 9000), 10 + (int)(x % 80), 10 + (int)(x % 89), i / 60 % 60, i % 60, i % 1000);
        }
        starts[RECORDS] = text->len;
        for (int i = 0; i < RECORDS; i++)
                records[i] =
                        (struct leat_record){.offset = i,
                                             .timestamp_ms = 1764021295000,
                                             .value = leat_view_of(text->data + starts[i], starts[i + 1] - starts[i])};
        printf("%zu bytes a record\n", text->len / RECORDS);
        free(starts);
        return records;
}

static void bench(const char *name, const char *const *names, uint32_t count, const struct leat_record *records,
                  uint32_t chunk)
{
        struct leat_format *format;
        struct leat_error err = {0};
        struct leat_format_rows rows;
        if (leat_format_open(&def, names, count, &format, &err) != 0) {
                fprintf(stderr, "%s\n", err.message);
                exit(1);
        }
        int rounds = 100;
        int64_t start = cpu_us();
        for (int i = 0; i < rounds; i++) {
                leat_format_reset(format);
                for (uint32_t at = 0; at < RECORDS; at += chunk)
                        leat_format_decode(format, records + at, chunk);
                leat_format_rows(format, &rows);
        }
        double us = (double)(cpu_us() - start);
        printf("%-40s %5.2f M records/s, %4.0f ns each (%u rows, %u invalid)\n", name, rounds * RECORDS / us,
               us * 1000 / rounds / RECORDS, rows.batch->rows, rows.invalid_count);
        leat_format_close(format);
}

int main(void)
{
        static const char *const all[] = {"package_id", "station",  "route",     "associate",
                                          "weight_g",   "volume_l", "event_time"};
        static const char *const two[] = {"station", "event_time", "kafka_offset"};
        struct leat_buf text = LEAT_BUF_INIT;
        struct leat_record *records = make_records(&text);
        bench("seven columns", all, 7, records, RECORDS);
        bench("two columns and the offset", two, 3, records, RECORDS);
        bench("seven columns, batches of 50", all, 7, records, 50);
        ((uint8_t *)(uintptr_t)records[100].value.data)[0] = 'x';
        for (int i = 0; i < RECORDS; i += 10)
                ((uint8_t *)(uintptr_t)records[i].value.data)[0] = 'x';
        bench("one in ten invalid", all, 7, records, RECORDS);
        free(records);
        leat_buf_done(&text);
        return 0;
}
