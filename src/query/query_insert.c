/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/query: INSERT INTO topic: the rows of a query, encoded by the topic's
 * format and written durably. With a key the partition follows from it as
 * Kafka's own producers choose it; without one, rows of a statement go to one
 * partition after the other in pieces. The positions written are told as a
 * NOTICE, and later SELECTs of the session wait until views have covered them.
 */
#include "leat/format.h"
#include "query_int.h"

#define INSERT_TIMEOUT_US (30LL * 1000 * 1000)
#define INSERT_LOOK_US (3LL * 1000 * 1000)
enum { INSERT_PIECE_BYTES = 256 * 1024 };

/* Records for one partition that are not sent yet. */
struct insert_part {
        struct leat_buf bytes;       /* keys and values behind each other */
        struct leat_record *records; /* data = offset into bytes until sent */
        uint32_t count, cap;
        int64_t first, last; /* offsets written; -1: none */
        uint32_t sending;    /* records of the batch under way */
};

struct insert {
        struct query_session *session;
        const struct leat_topic_def *def;
        struct leat_feed_topic topic;
        struct insert_part *parts;
        int64_t rows;
        int failed;
        struct leat_error error;
};

int leat_query_insert_prepare(struct query_stmt *st, const struct leat_type *hints, uint32_t count,
                              struct leat_error *err)
{
        LEAT_TRY(leat_sql_insert(st->session->query->env, st->arena, &st->stmt, hints, count, &st->sql, &st->topic,
                                 &st->topic_columns, err));
        st->desc.param_count = st->sql.param_count;
        st->desc.params = st->sql.param_types;
        return 0;
}

struct insert_done {
        struct insert *insert;
        struct insert_part *part;
        uint32_t count;
};

static void on_done(void *arg, int64_t base_offset, const struct leat_error *err)
{
        struct insert_done *d = arg;
        if (err != NULL && err->code != 0) {
                d->insert->failed = err->code;
                d->insert->error = *err;
        } else {
                if (d->part->first < 0)
                        d->part->first = base_offset;
                d->part->last = LEAT_MAX(d->part->last, base_offset + d->count - 1);
        }
        free(d);
}

static int send_part(struct insert *in, int32_t partition, struct leat_error *err)
{
        struct insert_part *part = &in->parts[partition];
        if (part->count == 0)
                return 0;
        for (uint32_t i = 0; i < part->count; i++) {
                struct leat_record *r = &part->records[i];
                /* Kept as offset + 1, because the buffer moves while it grows; 0 is Kafka's null. */
                r->key.data = r->key.data == NULL ? NULL : part->bytes.data + ((uintptr_t)r->key.data - 1);
                r->value.data = r->value.data == NULL ? NULL : part->bytes.data + ((uintptr_t)r->value.data - 1);
        }
        struct insert_done *d = leat_calloc(1, sizeof *d);
        d->insert = in;
        d->part = part;
        d->count = part->count;
        int rc = leat_feed_send(in->session->writer, in->topic.name, partition, part->records, part->count, 0, on_done,
                                d, err);
        part->count = 0;
        leat_buf_clear(&part->bytes);
        if (rc != 0)
                free(d);
        return rc;
}

static int add_row(struct insert *in, const struct leat_batch *row_batch, uint32_t row, struct leat_error *err)
{
        struct leat_buf key = LEAT_BUF_INIT, value = LEAT_BUF_INIT;
        bool has_key = leat_format_encode_key(in->def, row_batch, row, &key);
        bool has_value = leat_format_encode_value(in->def, row_batch, row, &value);
        uint32_t n = (uint32_t)in->topic.partitions;
        int32_t p = (int32_t)(has_key ? (leat_murmur2(key.data, key.len) & 0x7fffffff) % n
                                      : in->session->next_partition % n);
        struct insert_part *part = &in->parts[p];
        if (part->count == part->cap) {
                part->cap = part->cap == 0 ? 64 : part->cap * 2;
                part->records = leat_realloc(part->records, part->cap * sizeof *part->records);
        }
        struct leat_record *r = &part->records[part->count++];
        memset(r, 0, sizeof *r);
        if (has_key) {
                r->key = leat_view_of((const void *)(part->bytes.len + 1), key.len);
                leat_buf_add_view(&part->bytes, leat_buf_view(&key));
        }
        if (has_value) {
                r->value = leat_view_of((const void *)(part->bytes.len + 1), value.len);
                leat_buf_add_view(&part->bytes, leat_buf_view(&value));
        }
        leat_buf_done(&key);
        leat_buf_done(&value);
        in->rows++;
        if (part->bytes.len < INSERT_PIECE_BYTES)
                return 0;
        if (!has_key)
                in->session->next_partition++;
        return send_part(in, p, err);
}

/* The columns of the topic in their order; those that the statement does not name are NULL. */
static struct leat_batch *topic_batch(struct leat_arena *arena, const struct query_stmt *st,
                                      const struct leat_batch *rows)
{
        const struct leat_topic_def *def = st->topic->topic;
        struct leat_batch *out = leat_arena_zalloc(arena, sizeof *out);
        out->rows = rows->rows;
        out->column_count = def->column_count;
        out->columns = leat_arena_zalloc(arena, (def->column_count + 1) * sizeof *out->columns);
        uint64_t *none = leat_arena_zalloc(arena, (rows->rows / 64 + 1) * sizeof *none);
        for (uint32_t c = 0; c < def->column_count; c++) {
                out->columns[c].type = def->columns[c].type;
                out->columns[c].validity = none;
        }
        for (uint32_t c = 0; c < rows->column_count; c++)
                out->columns[st->topic_columns[c]] = rows->columns[c];
        return out;
}

static int check_not_null(const struct leat_topic_def *def, const struct leat_batch *rows, struct leat_error *err)
{
        for (uint32_t c = 0; c < def->column_count; c++) {
                bool needed = def->columns[c].not_null;
                for (uint32_t k = 0; k < def->key_count; k++)
                        needed |= def->keys[k] == c;
                for (uint32_t r = 0; needed && r < rows->rows; r++) {
                        if (leat_column_valid(&rows->columns[c], r))
                                continue;
                        leat_error_set(err, LEAT_EINVAL, "null value in column \"%s\" violates not-null constraint",
                                       def->columns[c].name);
                        return LEAT_EINVAL;
                }
        }
        return 0;
}

static bool is_infinite(const struct leat_column *col, uint32_t row)
{
        int64_t v;
        if (col->type.id == LEAT_T_DATE)
                return abs(((const int32_t *)col->data)[row]) == LEAT_DATE_INFINITY;
        if (col->type.id != LEAT_T_TIMESTAMP && col->type.id != LEAT_T_TIMESTAMPTZ)
                return false;
        v = ((const int64_t *)col->data)[row];
        return v == LEAT_TIMESTAMP_INFINITY || v == -LEAT_TIMESTAMP_INFINITY;
}

/* JSON's times are ISO 8601, which has no infinity: the record would be invalid. */
static int check_finite(const struct leat_topic_def *def, const struct leat_batch *rows, struct leat_error *err)
{
        for (uint32_t c = 0; c < def->column_count; c++) {
                const struct leat_column *col = &rows->columns[c];
                for (uint32_t r = 0; col->data != NULL && r < rows->rows; r++) {
                        if (!leat_column_valid(col, r) || !is_infinite(col, r))
                                continue;
                        leat_error_set(err, LEAT_ERANGE, "infinity in column \"%s\" cannot be kept in a topic",
                                       def->columns[c].name);
                        leat_error_hint(err, "Records hold ISO 8601 times; write NULL, or a time far away.");
                        return LEAT_ERANGE;
                }
        }
        return 0;
}

/* Waits for the acknowledgements; a full disk is not waited for until the end. */
static int flush_rows(struct leat_feed_writer *writer, struct leat_error *err)
{
        int64_t end_us = leat_os_monotonic_us() + INSERT_TIMEOUT_US;
        int rc;
        do {
                rc = leat_feed_flush(writer, INSERT_LOOK_US, err);
        } while (rc == LEAT_ETIMEOUT && leat_os_monotonic_us() < end_us);
        if (rc == LEAT_EFULL)
                leat_error_hint(err, "Free disk space and run the statement again.");
        return rc;
}

static int write_rows(struct insert *in, struct query_cursor *cur, struct leat_error *err)
{
        const struct leat_batch *rows;
        struct leat_arena *arena = leat_arena_new(0);
        int rc;
        while ((rc = leat_result_next(cur->result, &rows, err)) == 0 && rows != NULL) {
                leat_arena_reset(arena);
                struct leat_batch *batch = topic_batch(arena, cur->stmt, rows);
                rc = check_not_null(in->def, batch, err);
                if (rc == 0)
                        rc = check_finite(in->def, batch, err);
                for (uint32_t r = 0; rc == 0 && r < batch->rows; r++)
                        rc = add_row(in, batch, r, err);
                if (rc != 0)
                        break;
        }
        for (int32_t p = 0; rc == 0 && p < in->topic.partitions; p++)
                rc = send_part(in, p, err);
        if (rc == 0)
                rc = flush_rows(in->session->writer, err);
        if (rc == 0 && in->failed != 0) {
                rc = in->failed;
                *err = in->error;
        }
        leat_arena_free(arena);
        return rc;
}

static void tell_positions(struct insert *in)
{
        struct leat_buf text = LEAT_BUF_INIT;
        for (int32_t p = 0; p < in->topic.partitions; p++) {
                const struct insert_part *part = &in->parts[p];
                if (part->first < 0)
                        continue;
                struct leat_tick_position position = {.topic = in->topic.id, .partition = p, .offset = part->last + 1};
                leat_query_session_wrote(in->session, &position);
                leat_buf_printf(&text, "%s%s partition %d offset %lld", text.len == 0 ? "written: " : ", ",
                                in->topic.name, p, (long long)part->first);
                if (part->last != part->first)
                        leat_buf_printf(&text, " to %lld", (long long)part->last);
        }
        if (text.len != 0)
                leat_query_notice(in->session, "NOTICE", leat_buf_cstr(&text));
        leat_buf_done(&text);
}

int leat_query_insert_open(struct query_cursor *cur, const struct leat_batch *params, struct leat_error *err)
{
        struct query_stmt *st = cur->stmt;
        struct insert in = {.session = st->session, .def = st->topic->topic};
        LEAT_TRY(leat_query_session_feed(in.session, err));
        if (in.session->writer == NULL)
                LEAT_TRY(leat_feed_writer_open(in.session->feed, &in.session->writer, err));
        LEAT_TRY(leat_feed_topic(in.session->feed, st->topic->name, &in.topic, err));
        LEAT_TRY(leat_query_select_open(cur, params, err));
        in.parts = leat_calloc((size_t)in.topic.partitions, sizeof *in.parts);
        for (int32_t p = 0; p < in.topic.partitions; p++)
                in.parts[p].first = in.parts[p].last = -1;
        in.session->next_partition++;
        int rc = write_rows(&in, cur, err);
        if (rc == 0)
                tell_positions(&in);
        cur->affected = in.rows;
        for (int32_t p = 0; p < in.topic.partitions; p++) {
                leat_buf_done(&in.parts[p].bytes);
                free(in.parts[p].records);
        }
        free(in.parts);
        leat_result_free(cur->result);
        cur->result = NULL;
        if (rc != 0) {
                /* What is in flight may still call back into our stack: end the writer. */
                leat_feed_writer_close(in.session->writer);
                in.session->writer = NULL;
        }
        return rc;
}
