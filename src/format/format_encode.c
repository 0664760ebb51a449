/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/format: rows to record bytes: values, keys, quarantine records.
 *
 * Design    What is written here reads back to the same row by the decoder. NULLs
 *           are written as null, so that every reader finds every field.
 */
#include "format_int.h"
#include "leat/catalog.h"

static bool is_raw(const struct leat_topic_def *def)
{
        return def == NULL || def->format == LEAT_FORMAT_RAW || def->column_count == 0;
}

static void add_member(struct leat_buf *out, const char *name, bool first)
{
        leat_buf_u8(out, first ? '{' : ',');
        leat_buf_json_str(out, leat_view_str(name));
        leat_buf_u8(out, ':');
}

bool leat_format_encode_value(const struct leat_topic_def *def, const struct leat_batch *batch, uint32_t row,
                              struct leat_buf *out)
{
        if (is_raw(def)) {
                const struct leat_column *col = &batch->columns[0];
                if (!leat_column_valid(col, row))
                        return false;
                leat_buf_add_view(out, leat_string_view((const struct leat_string *)col->data + row));
                return true;
        }
        for (uint32_t i = 0; i < def->column_count; i++) {
                add_member(out, def->columns[i].name, i == 0);
                leat_column_json(&batch->columns[i], row, out);
        }
        leat_buf_u8(out, '}');
        return true;
}

bool leat_format_encode_key(const struct leat_topic_def *def, const struct leat_batch *batch, uint32_t row,
                            struct leat_buf *out)
{
        if (is_raw(def) || def->key_count == 0)
                return false;
        const struct leat_column *first = &batch->columns[def->keys[0]];
        if (def->key_count == 1 && first->type.id == LEAT_T_VARCHAR) {
                leat_buf_add_view(out, leat_string_view((const struct leat_string *)first->data + row));
                return true;
        }
        for (uint32_t i = 0; i < def->key_count; i++) {
                add_member(out, def->columns[def->keys[i]].name, i == 0);
                leat_column_json(&batch->columns[def->keys[i]], row, out);
        }
        leat_buf_u8(out, '}');
        return true;
}

/* ---- quarantine ---------------------------------------------------------------------- */

static const struct leat_column_def quarantine_columns[] = {
        {.name = "partition", .type = {.id = LEAT_T_INTEGER}, .not_null = true},
        {.name = "offset", .type = {.id = LEAT_T_BIGINT}, .not_null = true},
        {.name = "key", .type = {.id = LEAT_T_BLOB}},
        {.name = "value", .type = {.id = LEAT_T_BLOB}},
        {.name = "column", .type = {.id = LEAT_T_VARCHAR}},
        {.name = "reason", .type = {.id = LEAT_T_VARCHAR}},
        {.name = "timestamp", .type = {.id = LEAT_T_TIMESTAMPTZ}},
        {.name = "mark", .type = {.id = LEAT_T_BOOLEAN}},
        {.name = "replayed", .type = {.id = LEAT_T_TIMESTAMPTZ}},
        {.name = "from", .type = {.id = LEAT_T_BIGINT}},
};
#define QUARANTINE_REFUSED 7 /* columns of a refused record; those behind them are a mark's */
static const uint32_t quarantine_keys[] = {0, 1};
static const struct leat_topic_def quarantine_def = {
        .format = LEAT_FORMAT_JSON,
        .column_count = LEAT_ARRAY_LEN(quarantine_columns),
        .columns = quarantine_columns,
        .key_count = LEAT_ARRAY_LEN(quarantine_keys),
        .keys = quarantine_keys,
        .watermark_column = -1,
};

const struct leat_topic_def *leat_format_quarantine_def(void)
{
        return &quarantine_def;
}

void leat_format_encode_quarantine(const struct leat_format_invalid *invalid, const char *column,
                                   struct leat_buf *out_key, struct leat_buf *out_value)
{
        int32_t partition = invalid->record.partition;
        int64_t offset = invalid->record.offset, timestamp = 0;
        bool timed = invalid->record.timestamp_ms >= 0 &&
                     !__builtin_mul_overflow(invalid->record.timestamp_ms, 1000, &timestamp);
        struct leat_view views[] = {
                invalid->record.key,
                invalid->record.value,
                column != NULL ? leat_view_str(column) : (struct leat_view){0},
                leat_view_str(invalid->reason),
        };
        struct leat_string texts[LEAT_ARRAY_LEN(views)];
        struct leat_column columns[QUARANTINE_REFUSED];
        struct leat_topic_def def = quarantine_def;
        uint64_t none = 0;
        def.column_count = QUARANTINE_REFUSED;
        for (uint32_t i = 0; i < LEAT_ARRAY_LEN(columns); i++)
                columns[i] = (struct leat_column){.type = quarantine_columns[i].type};
        columns[0].data = &partition;
        columns[1].data = &offset;
        for (uint32_t i = 0; i < LEAT_ARRAY_LEN(views); i++) {
                texts[i] = leat_string_borrow(views[i]);
                columns[2 + i].data = &texts[i];
                columns[2 + i].validity = views[i].data == NULL ? &none : NULL;
        }
        columns[6].data = &timestamp;
        columns[6].validity = timed ? NULL : &none;
        struct leat_batch batch = {.rows = 1, .column_count = LEAT_ARRAY_LEN(columns), .columns = columns};
        leat_format_encode_key(&quarantine_def, &batch, 0, out_key);
        leat_format_encode_value(&def, &batch, 0, out_value);
}

void leat_format_encode_mark(int32_t partition, int64_t offset, int64_t from, int64_t replayed_ms,
                             struct leat_buf *out_key, struct leat_buf *out_value)
{
        leat_buf_printf(out_key, "{\"partition\":%d,\"offset\":%lld,\"mark\":true}", partition, (long long)offset);
        leat_buf_printf(out_value,
                        "{\"partition\":%d,\"offset\":%lld,\"mark\":true,\"from\":%lld,\"replayed\":", partition,
                        (long long)offset, (long long)from);
        if (replayed_ms < 0)
                leat_buf_add_str(out_value, "null}");
        else
                leat_buf_printf(out_value, "%lld}", (long long)replayed_ms);
}
