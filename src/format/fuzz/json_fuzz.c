/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/format: hostile bytes into the JSON decoder. The first byte is the length of the record's key. What is valid
 * must encode to something that is valid again.
 */
#include "leat/catalog.h"
#include "leat/format.h"

static const struct leat_type text_type = {.id = LEAT_T_VARCHAR};
static const struct leat_type place_fields[] = {{.id = LEAT_T_INTEGER},
                                                {.id = LEAT_T_LIST, .child_count = 1, .children = &text_type}};
static const char *const place_names[] = {"x", "tags"};
static const struct leat_column_def columns[] = {
        {.name = "id", .type = {.id = LEAT_T_VARCHAR}},
        {.name = "n", .type = {.id = LEAT_T_BIGINT}},
        {.name = "amount", .type = {.id = LEAT_T_DECIMAL, .width = 20, .scale = 4}},
        {.name = "f", .type = {.id = LEAT_T_DOUBLE}},
        {.name = "at", .type = {.id = LEAT_T_TIMESTAMPTZ}},
        {.name = "day", .type = {.id = LEAT_T_DATE}},
        {.name = "data", .type = {.id = LEAT_T_BLOB}},
        {.name = "iv", .type = {.id = LEAT_T_INTERVAL}},
        {.name = "place",
         .type = {.id = LEAT_T_STRUCT, .child_count = 2, .children = place_fields, .child_names = place_names}},
        {.name = "text", .type = {.id = LEAT_T_VARCHAR}},
};
static const uint32_t keys[] = {0, 1};
static const char *const names[] = {"id",   "n",  "amount", "f",    "at",           "day",
                                    "data", "iv", "place",  "text", "kafka_headers"};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run(const struct leat_topic_def *def, const struct leat_record *record)
{
        struct leat_format *format;
        struct leat_format_rows rows;
        struct leat_buf key = LEAT_BUF_INIT, value = LEAT_BUF_INIT;
        if (leat_format_open(def, names, LEAT_ARRAY_LEN(names), &format, NULL) != 0)
                abort();
        leat_format_decode(format, record, 1);
        leat_format_rows(format, &rows);
        LEAT_ASSERT(rows.batch->rows + rows.invalid_count == 1);
        if (rows.batch->rows == 1 && rows.deleted == NULL) {
                bool keyed = leat_format_encode_key(def, rows.batch, 0, &key);
                leat_format_encode_value(def, rows.batch, 0, &value);
                struct leat_record again = {.key = keyed ? leat_view_of(leat_buf_cstr(&key), key.len) : record->key,
                                            .value = leat_buf_view(&value)};
                leat_format_reset(format);
                leat_format_decode(format, &again, 1);
                leat_format_rows(format, &rows);
                LEAT_ASSERT(rows.batch->rows == 1);
        }
        leat_buf_done(&key);
        leat_buf_done(&value);
        leat_format_close(format);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct leat_topic_def def = {
                .format = LEAT_FORMAT_JSON, .column_count = LEAT_ARRAY_LEN(columns), .columns = columns, .keys = keys};
        if (size == 0)
                return 0;
        size_t key_len = data[0] < size ? data[0] : 0;
        struct leat_record record = {.key = leat_view_of(data + 1, key_len),
                                     .value = leat_view_of(data + 1 + key_len, size - 1 - key_len),
                                     .headers = leat_view_of(data + 1, key_len)};
        for (def.key_count = 0; def.key_count <= 2; def.key_count++)
                run(&def, &record);
        return 0;
}
