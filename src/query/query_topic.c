/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/query: scans of topics, declared or not, and of their quarantine.
 *
 * A scan ends at the ends that the partitions have when it begins. Conditions on
 * partition, offset and timestamp move the places where it begins and ends; the
 * engine checks them again row by row, so they only have to be safe.
 *
 * Append topics stream: poll, decode, give. Topics with a PRIMARY KEY are their
 * newest row of each key: the scan reads all records, keeps the place of each
 * key's newest row in a table, and gives the rows that are left at the end.
 *
 * Strings of a batch point into the fetched records, which live until the next
 * poll: the engine has passed on or copied them by then.
 */
#include <stdlib.h>

#include "leat/format.h"
#include "query_int.h"

enum { TOPIC_POLL_BYTES = 1024 * 1024 };
#define TOPIC_POLL_US (200LL * 1000)

struct topic_part {
        int64_t next, end;
};

struct topic_scan {
        struct query_scan scan;
        struct query_session *session;
        struct leat_arena *arena;
        const struct leat_topic_def *def; /* NULL: undeclared */
        const char *name;
        struct leat_feed_topic topic;
        struct leat_feed_reader *reader;
        struct topic_part *parts;
        int32_t left; /* partitions that are not read to their end */
        struct leat_format *format;
        uint32_t count;   /* wanted columns */
        uint32_t all;     /* those and the key columns that are not among them */
        uint32_t *key_at; /* where each key column stands */
        /* PRIMARY KEY: all rows so far, newest row of each key */
        struct leat_arena *rows_arena;
        struct leat_batch *rows;
        uint32_t rows_cap;
        uint32_t *slots, slot_count, used; /* row + 1; 0 = free */
        uint64_t *hashes;                  /* of each row's key */
        uint64_t *gone;                    /* bit: deleted or replaced */
        bool given;
        /* quarantine: which have been played back, and when */
        bool quarantine;
        uint32_t mark_at, replayed_at;
        struct query_places replayed;
        int64_t skipped; /* records that did not fit */
};

/* ---- where to begin and to end -------------------------------------------------------------- */
static bool condition_number(const struct query_session *s, const struct leat_scan_condition *c, int64_t *ret_value)
{
        char *end;
        if (c->param != 0) {
                if (s->params == NULL || c->param > s->params->column_count)
                        return false;
                const struct leat_column *col = &s->params->columns[c->param - 1];
                if (!leat_column_valid(col, 0))
                        return false;
                if (col->type.id == LEAT_T_BIGINT || col->type.id == LEAT_T_TIMESTAMPTZ ||
                    col->type.id == LEAT_T_TIMESTAMP) {
                        *ret_value = *(const int64_t *)col->data;
                        return true;
                }
                if (col->type.id == LEAT_T_INTEGER) {
                        *ret_value = *(const int32_t *)col->data;
                        return true;
                }
                return false;
        }
        *ret_value = strtoll(c->value, &end, 10);
        return *end == '\0' && end != c->value;
}

static bool condition_time(const struct query_session *s, const struct leat_scan_condition *c, int64_t *ret_us)
{
        if (c->param != 0)
                return condition_number(s, c, ret_us);
        return leat_time_parse(leat_view_str(c->value), ret_us);
}

static void limit_partition(struct topic_scan *t, const struct leat_scan_condition *c, int64_t value)
{
        for (int32_t p = 0; p < t->topic.partitions; p++) {
                bool keep = c->op == LEAT_SCAN_EQ   ? p == value
                            : c->op == LEAT_SCAN_LT ? p < value
                            : c->op == LEAT_SCAN_LE ? p <= value
                            : c->op == LEAT_SCAN_GT ? p > value
                                                    : p >= value;
                if (!keep)
                        t->parts[p].end = t->parts[p].next;
        }
}

static void limit_offset(struct topic_scan *t, const struct leat_scan_condition *c, int64_t value)
{
        for (int32_t p = 0; p < t->topic.partitions; p++) {
                struct topic_part *part = &t->parts[p];
                if (c->op == LEAT_SCAN_EQ || c->op == LEAT_SCAN_GE)
                        part->next = LEAT_MAX(part->next, value);
                if (c->op == LEAT_SCAN_GT && value < INT64_MAX)
                        part->next = LEAT_MAX(part->next, value + 1);
                if ((c->op == LEAT_SCAN_EQ || c->op == LEAT_SCAN_LE) && value < INT64_MAX)
                        part->end = LEAT_MIN(part->end, value + 1);
                if (c->op == LEAT_SCAN_LT)
                        part->end = LEAT_MIN(part->end, value);
        }
}

/* Timestamps need not grow with offsets: the first record at or after the time is a safe start; ends are not cut. */
static int limit_time(struct topic_scan *t, const struct leat_scan_condition *c, int64_t us, struct leat_error *err)
{
        int64_t *at = leat_arena_alloc(t->arena, (size_t)t->topic.partitions * sizeof *at);
        if (c->op == LEAT_SCAN_LT || c->op == LEAT_SCAN_LE)
                return 0;
        LEAT_TRY(leat_feed_offsets(t->session->feed, t->topic.name, us / 1000, at, t->topic.partitions, err));
        for (int32_t p = 0; p < t->topic.partitions; p++)
                t->parts[p].next = LEAT_MAX(t->parts[p].next, at[p]);
        return 0;
}

static int limit(struct topic_scan *t, const struct leat_scan_key *key, const char *const *names,
                 struct leat_error *err)
{
        for (uint32_t i = 0; i < key->condition_count; i++) {
                const struct leat_scan_condition *c = &key->conditions[i];
                const char *name = names[c->column];
                int64_t value;
                if (strcmp(name, "kafka_partition") == 0 && condition_number(t->session, c, &value))
                        limit_partition(t, c, value);
                else if (strcmp(name, "kafka_offset") == 0 && condition_number(t->session, c, &value))
                        limit_offset(t, c, value);
                else if (strcmp(name, "kafka_timestamp") == 0 && condition_time(t->session, c, &value))
                        LEAT_TRY(limit_time(t, c, value, err));
        }
        return 0;
}

static int start_reading(struct topic_scan *t, struct leat_error *err)
{
        for (int32_t p = 0; p < t->topic.partitions; p++) {
                if (t->parts[p].next >= t->parts[p].end)
                        continue;
                LEAT_TRY(leat_feed_reader_add(t->reader, &t->topic, p, t->parts[p].next, 0, err));
                t->left++;
        }
        return 0;
}

static int find_ends(struct topic_scan *t, struct leat_error *err)
{
        struct leat_feed *feed = t->session->feed;
        int32_t n = t->topic.partitions;
        int64_t *starts = leat_arena_alloc(t->arena, (size_t)n * sizeof *starts);
        int64_t *ends = leat_arena_alloc(t->arena, (size_t)n * sizeof *ends);
        LEAT_TRY(leat_feed_offsets(feed, t->topic.name, LEAT_FEED_EARLIEST, starts, n, err));
        LEAT_TRY(leat_feed_offsets(feed, t->topic.name, LEAT_FEED_LATEST, ends, n, err));
        t->parts = leat_arena_zalloc(t->arena, ((size_t)n + 1) * sizeof *t->parts);
        for (int32_t p = 0; p < n; p++)
                t->parts[p] = (struct topic_part){.next = starts[p], .end = ends[p]};
        return 0;
}

/* ---- reading ------------------------------------------------------------------------------------ */
/* What the decoder refused goes to the quarantine, on the side, and into a notice. */
static void skip_refused(struct topic_scan *t)
{
        struct leat_format_rows rows;
        leat_format_rows(t->format, &rows);
        if (rows.invalid_count == 0 || t->def == NULL || t->quarantine)
                return;
        t->skipped += rows.invalid_count;
        leat_query_session_skipped(t->session, t->name, t->skipped);
        leat_query_refused_add(t->session->query->refused, &t->topic, t->def, rows.invalids, rows.invalid_count);
}

/* The next batches into the decoder; false in *ret_more at the end. */
static int read_more(struct topic_scan *t, bool *ret_more, struct leat_error *err)
{
        const struct leat_feed_batch *batches;
        uint32_t count, tag;
        int32_t partition;
        leat_format_reset(t->format);
        *ret_more = t->left > 0;
        if (t->left == 0)
                return 0;
        if (atomic_load(&t->session->canceled))
                return leat_error_set(err, LEAT_ECANCELED, "canceling statement due to user request");
        LEAT_TRY(leat_feed_poll(t->reader, TOPIC_POLL_US, TOPIC_POLL_BYTES, &batches, &count, &tag, &partition, err));
        for (uint32_t i = 0; i < count; i++) {
                const struct leat_feed_batch *b = &batches[i];
                struct topic_part *part = &t->parts[b->partition];
                uint32_t n = b->record_count;
                if (part->next >= part->end)
                        continue;
                while (n > 0 && b->records[n - 1].offset >= part->end)
                        n--;
                leat_format_decode(t->format, b->records, n);
                part->next = b->next_offset;
                if (part->next >= part->end) {
                        leat_feed_reader_remove(t->reader, 0, b->partition);
                        t->left--;
                }
        }
        skip_refused(t);
        return 0;
}

static int append_next(struct query_scan *scan, const struct leat_batch **ret_batch, struct leat_error *err)
{
        struct topic_scan *t = (struct topic_scan *)scan;
        struct leat_format_rows rows;
        bool more;
        do {
                LEAT_TRY(read_more(t, &more, err));
                leat_format_rows(t->format, &rows);
        } while (more && rows.batch->rows == 0);
        *ret_batch = rows.batch->rows == 0 ? NULL : rows.batch;
        return 0;
}

/* ---- newest row of each key ------------------------------------------------------------------------ */
/* The text of the key columns, with lengths, is the key's identity. */
static uint64_t row_key(const struct topic_scan *t, const struct leat_batch *rows, uint32_t row, struct leat_buf *text)
{
        leat_buf_clear(text);
        for (uint32_t k = 0; k < t->def->key_count; k++) {
                size_t at = text->len;
                leat_buf_le32(text, 0);
                (void)leat_column_print(&rows->columns[t->key_at[k]], row, text);
                leat_put_le32(text->data + at, (uint32_t)(text->len - at));
        }
        return leat_hash64(0, text->data, text->len);
}

static void rows_reserve(struct topic_scan *t, uint32_t more)
{
        uint32_t need = (t->rows == NULL ? 0 : t->rows->rows) + more;
        if (need <= t->rows_cap && t->rows != NULL)
                return;
        uint32_t cap = LEAT_MAX(t->rows_cap * 2, LEAT_MAX(need, 4096u)), count = t->all;
        struct leat_type *types = leat_arena_alloc(t->rows_arena, count * sizeof *types);
        for (uint32_t c = 0; c < count; c++)
                types[c] = *leat_format_type(t->format, c);
        struct leat_batch *bigger = leat_batch_new(t->rows_arena, types, count, cap);
        if (t->rows != NULL)
                leat_batch_append(NULL, bigger, t->rows, 0, t->rows->rows);
        t->rows = bigger;
        t->hashes = leat_realloc(t->hashes, cap * sizeof *t->hashes);
        uint32_t had = t->gone == NULL ? 0 : t->rows_cap / 64 + 1, words = cap / 64 + 1;
        t->gone = leat_realloc(t->gone, words * sizeof *t->gone);
        memset(t->gone + had, 0, (words - had) * sizeof *t->gone);
        t->rows_cap = cap;
}

static void slots_grow(struct topic_scan *t)
{
        uint32_t count = t->slot_count == 0 ? 8192 : t->slot_count * 2;
        uint32_t *slots = leat_calloc(count, sizeof *slots);
        for (uint32_t i = 0; i < t->slot_count; i++) {
                if (t->slots[i] == 0)
                        continue;
                uint32_t at = (uint32_t)t->hashes[t->slots[i] - 1] & (count - 1);
                while (slots[at] != 0)
                        at = (at + 1) & (count - 1);
                slots[at] = t->slots[i];
        }
        free(t->slots);
        t->slots = slots;
        t->slot_count = count;
}

static void keep_row(struct topic_scan *t, uint32_t row, bool deleted, struct leat_buf *key, struct leat_buf *other)
{
        uint64_t hash = row_key(t, t->rows, row, key);
        if (t->used * 2 >= t->slot_count)
                slots_grow(t);
        uint32_t at = (uint32_t)hash & (t->slot_count - 1);
        t->hashes[row] = hash;
        for (; t->slots[at] != 0; at = (at + 1) & (t->slot_count - 1)) {
                uint32_t old = t->slots[at] - 1;
                if (t->hashes[old] != hash)
                        continue;
                (void)row_key(t, t->rows, old, other);
                if (leat_view_eq(leat_buf_view(key), leat_buf_view(other))) {
                        t->gone[old >> 6] |= 1ull << (old & 63);
                        break;
                }
        }
        t->used += t->slots[at] == 0;
        t->slots[at] = row + 1;
        if (deleted)
                t->gone[row >> 6] |= 1ull << (row & 63);
}

/* A row of a quarantine that says that a record was played back, or is about to be: no row of the relation. */
static bool take_mark(struct topic_scan *t, uint32_t row)
{
        const struct leat_column *columns = t->rows->columns;
        if (!t->quarantine || !leat_column_valid(&columns[t->mark_at], row))
                return false;
        t->gone[row >> 6] |= 1ull << (row & 63);
        if (leat_column_valid(&columns[t->replayed_at], row))
                leat_query_places_put(&t->replayed,
                                      leat_query_place(((const int32_t *)columns[t->key_at[0]].data)[row],
                                                       ((const int64_t *)columns[t->key_at[1]].data)[row]),
                                      ((const int64_t *)columns[t->replayed_at].data)[row]);
        return true;
}

/* The time at which each row was played back, from the marks. */
static void fill_replayed(struct topic_scan *t, struct leat_batch *picked, const uint32_t *pick)
{
        if (!t->quarantine || t->replayed_at >= t->count || t->replayed.count == 0)
                return;
        struct leat_column *to = &picked->columns[t->replayed_at];
        leat_column_make_validity(t->rows_arena, to, picked->rows);
        for (uint32_t i = 0; i < picked->rows; i++) {
                const struct leat_column *keys = t->rows->columns;
                uint64_t place = leat_query_place(((const int32_t *)keys[t->key_at[0]].data)[pick[i]],
                                                  ((const int64_t *)keys[t->key_at[1]].data)[pick[i]]);
                if (leat_query_places_find(&t->replayed, place, &((int64_t *)to->data)[i]))
                        to->validity[i >> 6] |= 1ull << (i & 63);
        }
}

static int keyed_read(struct topic_scan *t, struct leat_error *err)
{
        struct leat_buf key = LEAT_BUF_INIT, other = LEAT_BUF_INIT;
        bool more = true;
        int rc;
        while ((rc = read_more(t, &more, err)) == 0 && more) {
                struct leat_format_rows rows;
                leat_format_rows(t->format, &rows);
                rows_reserve(t, rows.batch->rows);
                uint32_t first = t->rows->rows;
                leat_batch_append(t->rows_arena, t->rows, rows.batch, 0, rows.batch->rows);
                for (uint32_t i = 0; i < rows.batch->rows; i++)
                        if (!take_mark(t, first + i))
                                keep_row(t, first + i, rows.deleted != NULL && ((rows.deleted[i >> 6] >> (i & 63)) & 1),
                                         &key, &other);
                if ((int64_t)leat_arena_bytes(t->rows_arena) > leat_param(LEAT_P_QUERY_MEMORY_BYTES)) {
                        rc = leat_error_set(err, LEAT_ETOOBIG,
                                            "topic \"%s\" has more rows than query.memory.bytes holds", t->name);
                        leat_error_hint(err, "Read it through a materialized view, or raise query.memory.bytes.");
                        break;
                }
        }
        leat_buf_done(&key);
        leat_buf_done(&other);
        return rc;
}

static int keyed_next(struct query_scan *scan, const struct leat_batch **ret_batch, struct leat_error *err)
{
        struct topic_scan *t = (struct topic_scan *)scan;
        *ret_batch = NULL;
        if (t->given)
                return 0;
        t->given = true;
        LEAT_TRY(keyed_read(t, err));
        if (t->rows == NULL)
                return 0;
        uint32_t *pick = leat_arena_alloc(t->rows_arena, (t->rows->rows + 1) * sizeof *pick), n = 0;
        for (uint32_t i = 0; i < t->rows->rows; i++)
                if (!((t->gone[i >> 6] >> (i & 63)) & 1))
                        pick[n++] = i;
        struct leat_batch narrow = {.rows = t->rows->rows, .column_count = t->count, .columns = t->rows->columns};
        struct leat_batch *picked = leat_batch_gather(t->rows_arena, &narrow, pick, n);
        fill_replayed(t, picked, pick);
        if (n != 0)
                *ret_batch = picked;
        return 0;
}

/* ---- open, close -------------------------------------------------------------------------------------- */
static void topic_close(struct query_scan *scan)
{
        struct topic_scan *t = (struct topic_scan *)scan;
        leat_format_close(t->format);
        leat_feed_reader_close(t->reader);
        leat_arena_free(t->rows_arena);
        leat_arena_free(t->arena);
        free(t->slots);
        free(t->hashes);
        free(t->gone);
        leat_query_places_done(&t->replayed);
        free(t);
}

static int find_topic(struct topic_scan *t, const struct leat_scan_key *key, struct leat_error *err)
{
        t->name = leat_arena_strdup(t->arena, key->name);
        if (key->kind == LEAT_SCAN_QUARANTINE) {
                t->def = leat_format_quarantine_def();
                t->quarantine = true;
                t->name = leat_arena_printf(t->arena, "%s.quarantine", key->name);
                leat_query_refused_wait(t->session->query->refused, key->name);
        } else if (key->kind == LEAT_SCAN_TOPIC) {
                const struct leat_object *o = leat_snapshot_get(t->session->catalog->snapshot, key->object_id);
                if (o == NULL || o->topic == NULL)
                        return leat_error_set(err, LEAT_ENORELATION, "relation \"%s\" does not exist", key->name);
                t->def = o->topic;
        }
        LEAT_TRY(leat_query_session_feed(t->session, err));
        return leat_feed_topic(t->session->feed, t->name, &t->topic, err);
}

/* Names of the wanted columns; for keyed topics the key columns that are not among them follow. */
static int open_format(struct topic_scan *t, const char *const *names, const uint32_t *columns, struct leat_error *err)
{
        uint32_t keys = t->def == NULL ? 0 : t->def->key_count;
        const char **wanted = leat_arena_alloc(t->arena, (t->count + keys + 2) * sizeof *wanted);
        t->key_at = leat_arena_alloc(t->arena, (keys + 1) * sizeof *t->key_at);
        for (t->all = 0; t->all < t->count; t->all++)
                wanted[t->all] = names[columns[t->all]];
        for (uint32_t k = 0; k < keys; k++) {
                const char *name = t->def->columns[t->def->keys[k]].name;
                uint32_t at = 0;
                while (at < t->all && strcmp(wanted[at], name) != 0)
                        at++;
                if (at == t->all)
                        wanted[t->all++] = name;
                t->key_at[k] = at;
        }
        if (t->quarantine) {
                while (t->replayed_at < t->all && strcmp(wanted[t->replayed_at], "replayed") != 0)
                        t->replayed_at++;
                if (t->replayed_at == t->all)
                        wanted[t->all++] = "replayed";
                t->mark_at = t->all;
                wanted[t->all++] = "mark";
        }
        return leat_format_open(t->def, wanted, t->all, &t->format, err);
}

static int topic_start(struct topic_scan *t, const struct leat_scan_key *key, const uint32_t *columns,
                       struct leat_error *err)
{
        const char **names;
        struct leat_type *types;
        uint32_t all;
        LEAT_TRY(leat_sql_scan_columns(t->session->catalog, key, t->arena, &all, &names, &types, err));
        int rc = find_topic(t, key, err);
        /* Nothing was ever quarantined: the topic is not there yet. */
        if (rc == LEAT_ENORELATION && key->kind == LEAT_SCAN_QUARANTINE) {
                t->given = true;
                return open_format(t, names, columns, err);
        }
        if (rc != 0)
                return rc;
        LEAT_TRY(open_format(t, names, columns, err));
        LEAT_TRY(leat_feed_reader_open(t->session->feed, &t->reader, err));
        LEAT_TRY(find_ends(t, err));
        if (t->def == NULL || t->def->key_count == 0)
                LEAT_TRY(limit(t, key, names, err));
        return start_reading(t, err);
}

int leat_query_topic_open(struct query_session *s, const struct leat_scan_key *key, const uint32_t *columns,
                          uint32_t count, struct query_scan **ret_scan, struct leat_error *err)
{
        struct topic_scan *t = leat_calloc(1, sizeof *t);
        t->session = s;
        t->arena = leat_arena_new(0);
        t->rows_arena = leat_arena_new(256 * 1024);
        t->count = count;
        t->scan.close = topic_close;
        int rc = topic_start(t, key, columns, err);
        if (rc != 0) {
                topic_close(&t->scan);
                return rc;
        }
        t->scan.next = t->def != NULL && t->def->key_count != 0 ? keyed_next : append_next;
        *ret_scan = &t->scan;
        return 0;
}
