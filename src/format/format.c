/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/format: the decoder: records to rows.
 *
 * Design    Each wanted column is a column of one growing batch. Declared columns
 *           that nobody wants are read to one row of scratch, since they are
 *           checked all the same. A record that turns out invalid leaves its
 *           row to the next one.
 * Memory    The arrays of the batch stay over a reset, since a decoder gets batches
 *           of the same size for its whole life. What hangs on rows (unescaped
 *           strings, bitmaps, elements of lists) is in an arena of its own.
 *           Strings are borrowed from the records.
 * Threads   One at a time.
 */
#include <stdio.h>

#include "format_int.h"
#include "leat/batch.h"
#include "leat/catalog.h"

/* Columns that every topic has, and those of topics without declared ones. */
enum source {
        SOURCE_PARTITION,
        SOURCE_OFFSET,
        SOURCE_TIMESTAMP,
        SOURCE_KEY,
        SOURCE_HEADERS,
        SOURCE_VALUE_BYTES,
        SOURCE_VALUE_TEXT,
        SOURCE_COUNT,
        SOURCE_FIELD, /* a declared column */
};
static const struct leat_type header_fields[] = {{.id = LEAT_T_VARCHAR}, {.id = LEAT_T_BLOB}};
static const char *const header_names[] = {"key", "value"};
static const struct leat_type header_type = {
        .id = LEAT_T_STRUCT, .child_count = 2, .children = header_fields, .child_names = header_names};
static const struct {
        const char *name;
        struct leat_type type;
} sources[SOURCE_COUNT] = {
        [SOURCE_PARTITION] = {"kafka_partition", {.id = LEAT_T_INTEGER}},
        [SOURCE_OFFSET] = {"kafka_offset", {.id = LEAT_T_BIGINT}},
        [SOURCE_TIMESTAMP] = {"kafka_timestamp", {.id = LEAT_T_TIMESTAMPTZ}},
        [SOURCE_KEY] = {"kafka_key", {.id = LEAT_T_BLOB}},
        [SOURCE_HEADERS] = {"kafka_headers", {.id = LEAT_T_LIST, .child_count = 1, .children = &header_type}},
        [SOURCE_VALUE_BYTES] = {"kafka_value", {.id = LEAT_T_BLOB}},
        [SOURCE_VALUE_TEXT] = {"value", {.id = LEAT_T_VARCHAR}},
};

struct wanted {
        enum source source;
        uint32_t field; /* SOURCE_FIELD */
};

struct leat_format {
        bool raw;
        bool keyed;
        bool text_key;      /* one TEXT column: the key's bytes */
        uint32_t key_field; /* of a text key */
        struct leat_arena *owner;
        struct leat_arena *table; /* arrays of the batch */
        struct leat_arena *rows;  /* reset with the rows */
        struct leat_walk walk;
        struct leat_format_field *fields;
        uint32_t field_count;
        struct wanted *wanted;
        struct leat_type *types;
        uint32_t wanted_count;
        bool wants_meta;
        struct leat_batch *batch;
        struct leat_batch *scratch; /* one row: fields nobody wants, then copies of the key columns */
        uint32_t *records;          /* as many as the batch has room for */
        uint64_t *deleted;          /* NULL: no deletion yet */
        uint32_t record_count;
        struct leat_format_invalid *invalids;
        uint32_t invalid_count, invalid_cap;
};

/* ---- open -------------------------------------------------------------------------- */

static int find_column(struct leat_format *f, const char *name, struct wanted *ret, struct leat_error *err)
{
        for (uint32_t i = 0; i < f->field_count; i++) {
                if (strcmp(f->fields[i].name, name) == 0) {
                        *ret = (struct wanted){.source = SOURCE_FIELD, .field = i};
                        return 0;
                }
        }
        for (int i = 0; i < SOURCE_COUNT; i++) {
                if (strcmp(sources[i].name, name) == 0 && (f->raw || i < SOURCE_VALUE_BYTES)) {
                        *ret = (struct wanted){.source = (enum source)i};
                        return 0;
                }
        }
        return leat_error_set(err, LEAT_ENOCOLUMN, "the topic has no column \"%s\"", name);
}

static void open_fields(struct leat_format *f, const struct leat_topic_def *def)
{
        f->field_count = def->column_count;
        f->fields = leat_arena_zalloc(f->owner, def->column_count * sizeof *f->fields);
        for (uint32_t i = 0; i < def->column_count; i++) {
                f->fields[i].type = leat_type_copy(f->owner, &def->columns[i].type);
                f->fields[i].name = leat_arena_strdup(f->owner, def->columns[i].name);
                f->fields[i].name_len = (uint32_t)strlen(f->fields[i].name);
                f->fields[i].not_null = def->columns[i].not_null;
                f->fields[i].added = def->columns[i].added;
        }
        for (uint32_t i = 0; i < def->key_count; i++)
                f->fields[def->keys[i]].is_key = true;
        f->keyed = def->key_count != 0;
        f->text_key = def->key_count == 1 && def->columns[def->keys[0]].type.id == LEAT_T_VARCHAR;
        f->key_field = f->keyed ? def->keys[0] : 0;
}

static int open_wanted(struct leat_format *f, const char *const *names, uint32_t count, struct leat_error *err)
{
        f->wanted = leat_arena_zalloc(f->owner, count * sizeof *f->wanted);
        f->types = leat_arena_zalloc(f->owner, count * sizeof *f->types);
        f->wanted_count = count;
        for (uint32_t i = 0; i < count; i++) {
                LEAT_TRY(find_column(f, names[i], &f->wanted[i], err));
                bool field = f->wanted[i].source == SOURCE_FIELD;
                f->types[i] = field ? f->fields[f->wanted[i].field].type : sources[f->wanted[i].source].type;
                f->wants_meta = f->wants_meta || !field;
                if (!field)
                        continue;
                if (f->fields[f->wanted[i].field].wanted)
                        return leat_error_set(err, LEAT_EINVAL, "column \"%s\" is wanted twice", names[i]);
                f->fields[f->wanted[i].field].wanted = true;
        }
        return 0;
}

/* Scratch lives with the rows, since lists in it grow there too. */
static void make_scratch(struct leat_format *f)
{
        struct leat_type *list = leat_arena_alloc(f->rows, (2ull * f->field_count + 1) * sizeof *list);
        uint32_t count = 0;
        for (uint32_t i = 0; i < f->field_count; i++)
                list[count++] = f->fields[i].type;
        for (uint32_t i = 0; i < f->field_count; i++)
                if (f->fields[i].is_key)
                        list[count++] = f->fields[i].type;
        f->scratch = leat_batch_new(f->rows, list, count, 1);
        uint32_t check = f->field_count;
        for (uint32_t i = 0; i < f->field_count; i++) {
                if (!f->fields[i].wanted)
                        f->fields[i].col = &f->scratch->columns[i];
                if (f->fields[i].is_key)
                        f->fields[i].check = &f->scratch->columns[check++];
        }
}

int leat_format_open(const struct leat_topic_def *def, const char *const *names, uint32_t count,
                     struct leat_format **ret_format, struct leat_error *err)
{
        struct leat_format *f = leat_calloc(1, sizeof *f);
        f->owner = leat_arena_new(0);
        f->table = leat_arena_new(64 * 1024);
        f->rows = leat_arena_new(256 * 1024);
        f->raw = def == NULL || def->format == LEAT_FORMAT_RAW || def->column_count == 0;
        uint32_t fields = f->raw ? 0 : def->column_count;
        int rc;
        if (fields > UINT16_MAX - 1) {
                rc = leat_error_set(err, LEAT_ETOOBIG, "a topic of %u columns", fields);
                goto fail;
        }
        if (!f->raw)
                open_fields(f, def);
        LEAT_TRY_GOTO(open_wanted(f, names, count, err));
        f->walk.index = leat_format_index_new();
        leat_walk_init(&f->walk, f->owner, f->fields, f->field_count);
        leat_format_reset(f);
        *ret_format = f;
        return 0;
fail:
        leat_format_close(f);
        return rc;
}

void leat_format_close(struct leat_format *format)
{
        if (format == NULL)
                return;
        if (format->walk.index != NULL)
                leat_format_index_free(format->walk.index);
        free(format->invalids);
        leat_arena_free(format->rows);
        leat_arena_free(format->table);
        leat_arena_free(format->owner);
        free(format);
}

const struct leat_type *leat_format_type(const struct leat_format *format, uint32_t index)
{
        return &format->types[index];
}

/* ---- rows ---------------------------------------------------------------------------- */

/* The columns of the batch may have moved. */
static void bind_columns(struct leat_format *f)
{
        for (uint32_t i = 0; i < f->wanted_count; i++)
                if (f->wanted[i].source == SOURCE_FIELD)
                        f->fields[f->wanted[i].field].col = &f->batch->columns[i];
}

/* Forgets what hangs on the rows; the arrays stay. */
static void column_clear(struct leat_column *col)
{
        col->validity = NULL;
        col->child_rows = col->child_cap = 0;
        for (uint32_t i = 0; i < col->type.child_count; i++)
                column_clear(&col->children[i]);
}

static void make_batch(struct leat_format *f, uint32_t rows_max)
{
        leat_arena_reset(f->table);
        f->batch = leat_batch_new(f->table, f->types, f->wanted_count, rows_max);
        f->records = leat_arena_alloc(f->table, rows_max * sizeof *f->records);
        bind_columns(f);
}

void leat_format_reset(struct leat_format *f)
{
        leat_arena_reset(f->rows);
        f->walk.arena = f->rows;
        if (f->batch == NULL)
                make_batch(f, 0);
        for (uint32_t i = 0; i < f->wanted_count; i++)
                column_clear(&f->batch->columns[i]);
        f->batch->rows = 0;
        f->deleted = NULL;
        f->record_count = f->invalid_count = 0;
        make_scratch(f);
}

static void make_room(struct leat_format *f, uint32_t count)
{
        uint32_t need = f->batch->rows + count;
        if (need <= f->batch->rows_max)
                return;
        uint32_t cap = LEAT_MAX(need, f->batch->rows_max * 2);
        if (f->batch->rows == 0) {
                make_batch(f, cap);
                return;
        }
        uint32_t *records = leat_arena_alloc(f->table, cap * sizeof *records);
        memcpy(records, f->records, f->batch->rows * sizeof *records);
        f->records = records;
        if (f->deleted != NULL) {
                uint64_t *deleted = leat_arena_zalloc(f->rows, ((uint64_t)cap + 63) / 64 * 8);
                memcpy(deleted, f->deleted, ((uint64_t)f->batch->rows + 63) / 64 * 8);
                f->deleted = deleted;
        }
        leat_batch_reserve(f->batch, cap);
        bind_columns(f);
}

static void note_invalid(struct leat_format *f, const struct leat_record *record)
{
        if (f->invalid_count == f->invalid_cap) {
                f->invalid_cap = LEAT_MAX(16u, f->invalid_cap * 2);
                f->invalids = leat_realloc(f->invalids, f->invalid_cap * sizeof *f->invalids);
        }
        f->invalids[f->invalid_count++] = (struct leat_format_invalid){
                .record = *record,
                .column = f->walk.column,
                .reason = leat_arena_strdup(f->rows, f->walk.reason),
        };
}

/* ---- records --------------------------------------------------------------------------- */

static void put_bytes(struct leat_format *f, struct leat_column *col, uint32_t row, struct leat_view bytes)
{
        if (bytes.data == NULL)
                leat_walk_null(&f->walk, col, row, f->batch->rows_max);
        else
                leat_walk_text(&f->walk, col, row, f->batch->rows_max, bytes);
}

/* Text for PostgreSQL's clients: UTF-8 without zero bytes. */
static bool is_text(struct leat_view bytes)
{
        return bytes.data != NULL && memchr(bytes.data, 0, bytes.len) == NULL &&
               leat_format_index_utf8(bytes.data, bytes.len);
}

static void put_headers(struct leat_format *f, struct leat_column *col, uint32_t row, struct leat_view headers)
{
        struct leat_kafka_headers_iter iter;
        struct leat_view key, value;
        struct leat_list_entry entry = {.offset = col->child_rows};
        struct leat_column *record = &col->children[0];
        leat_kafka_headers_open(headers, &iter);
        while (headers.len != 0 && leat_kafka_headers_next(&iter, &key, &value)) {
                leat_column_child_reserve(f->rows, col, 1);
                uint64_t at = col->child_rows++;
                if (is_text(key))
                        leat_walk_text(&f->walk, &record->children[0], at, col->child_cap, key);
                else
                        leat_walk_null(&f->walk, &record->children[0], at, col->child_cap);
                if (value.data != NULL)
                        leat_walk_text(&f->walk, &record->children[1], at, col->child_cap, value);
                else
                        leat_walk_null(&f->walk, &record->children[1], at, col->child_cap);
        }
        entry.length = col->child_rows - entry.offset;
        ((struct leat_list_entry *)col->data)[row] = entry;
}

static void put_meta(struct leat_format *f, uint32_t row, const struct leat_record *record)
{
        for (uint32_t i = 0; i < f->wanted_count; i++) {
                struct leat_column *col = &f->batch->columns[i];
                switch (f->wanted[i].source) {
                case SOURCE_PARTITION:
                        ((int32_t *)col->data)[row] = record->partition;
                        break;
                case SOURCE_OFFSET:
                        ((int64_t *)col->data)[row] = record->offset;
                        break;
                case SOURCE_TIMESTAMP:
                        if (__builtin_mul_overflow(record->timestamp_ms, 1000, &((int64_t *)col->data)[row]) ||
                            record->timestamp_ms < 0)
                                leat_walk_null(&f->walk, col, row, f->batch->rows_max); /* Kafka's -1: none */
                        break;
                case SOURCE_KEY:
                        put_bytes(f, col, row, record->key);
                        break;
                case SOURCE_HEADERS:
                        put_headers(f, col, row, record->headers);
                        break;
                case SOURCE_VALUE_BYTES:
                        put_bytes(f, col, row, record->value);
                        break;
                case SOURCE_VALUE_TEXT:
                        put_bytes(f, col, row, is_text(record->value) ? record->value : (struct leat_view){0});
                        break;
                default:
                        break;
                }
        }
}

static bool read_key(struct leat_format *f, uint32_t row, const struct leat_record *record)
{
        struct leat_format_field *field = &f->fields[f->key_field];
        uint32_t cap = f->batch->rows_max;
        f->walk.column = f->text_key ? (int32_t)f->key_field : -1;
        if (record->key.data == NULL)
                return leat_walk_fail(&f->walk, "the record has no key, and the topic has a PRIMARY KEY");
        if (!f->text_key)
                return leat_walk_object(&f->walk, record->key, row, cap, true);
        if (!is_text(record->key))
                return leat_walk_fail(&f->walk, "the key is no UTF-8 text");
        return field->wanted ? leat_walk_text(&f->walk, field->col, row, cap, record->key)
                             : leat_walk_text(&f->walk, field->col, 0, 1, record->key);
}

static void put_deleted(struct leat_format *f, uint32_t row)
{
        if (f->deleted == NULL)
                f->deleted = leat_arena_zalloc(f->rows, ((uint64_t)f->batch->rows_max + 63) / 64 * 8);
        f->deleted[row >> 6] |= 1ull << (row & 63);
        for (uint32_t i = 0; i < f->field_count; i++)
                if (!f->fields[i].is_key && f->fields[i].wanted)
                        leat_walk_null(&f->walk, f->fields[i].col, row, f->batch->rows_max);
}

static bool read_record(struct leat_format *f, uint32_t row, const struct leat_record *record)
{
        f->walk.number++;
        if (f->keyed) {
                if (!read_key(f, row, record))
                        return false;
                if (record->value.data == NULL) {
                        put_deleted(f, row);
                        return true;
                }
        }
        f->walk.column = -1;
        if (record->value.len == 0)
                return leat_walk_fail(&f->walk,
                                      record->value.data == NULL ? "the value is NULL" : "the value is empty");
        return leat_walk_object(&f->walk, record->value, row, f->batch->rows_max, false);
}

/* Scratch lists would grow for ever: nobody reads them. */
static void scratch_forget(struct leat_format *f)
{
        for (uint32_t i = 0; i < f->scratch->column_count; i++)
                f->scratch->columns[i].child_rows = 0;
}

void leat_format_decode(struct leat_format *f, const struct leat_record *records, uint32_t count)
{
        make_room(f, count);
        for (uint32_t i = 0; i < count; i++) {
                uint32_t row = f->batch->rows;
                if (!f->raw && __builtin_expect(!read_record(f, row, &records[i]), 0)) {
                        note_invalid(f, &records[i]);
                        f->record_count++;
                        continue;
                }
                if (f->wants_meta)
                        put_meta(f, row, &records[i]);
                f->records[row] = f->record_count++;
                f->batch->rows++;
        }
        scratch_forget(f);
}

void leat_format_rows(struct leat_format *format, struct leat_format_rows *ret_rows)
{
        *ret_rows = (struct leat_format_rows){
                .batch = format->batch,
                .records = format->records,
                .deleted = format->deleted,
                .record_count = format->record_count,
                .invalid_count = format->invalid_count,
                .invalids = format->invalids,
        };
}
