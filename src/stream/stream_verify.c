/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/stream: the invariant, checked on a running server (leat verify --view v).
 *
 * Puts the pipeline together as its readers do (manifest and ticks), picks the
 * newest tick, and runs the view's query as a batch: over the records of each
 * topic between the job's start and the tick's positions, over keyed topics and
 * other views as they are in the state at that tick (of views of other pipelines
 * the state has a copy, which is compared with the view there at the tick that the
 * copy stands at, as long as that tick can still be put together). Rows are compared
 * one by one; floats to 1e-9.
 *
 * When the query fails on rows that an expression cannot take, it runs again without
 * the records that the job put into the quarantine for that.
 *
 * Rows that the view has dropped as late, and windows that are not over, are left out
 * of the query too (stream_verify_late.c).
 *
 * What cannot be repeated is refused by name: views that differ after they looked up
 * what has changed since. With a retention only rows are compared whose time the view
 * still keeps.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "stream_verify.h"

/* ---- what the query reads --------------------------------------------------------------------- */
static int64_t position_or(const struct leat_tick_position *positions, uint32_t count,
                           const struct leat_topic_id *topic, int32_t partition, int64_t otherwise)
{
        const struct leat_tick_position *at = leat_position_find(positions, count, topic, partition);
        return at != NULL ? at->offset : otherwise;
}

static int32_t name_index(const char *const *names, uint32_t count, const char *name)
{
        for (uint32_t i = 0; i < count; i++)
                if (strcmp(names[i], name) == 0)
                        return (int32_t)i;
        return -1;
}

static void late_add(struct leat_verify *v, uint64_t object_id, int32_t partition, const struct leat_format_rows *rows,
                     const struct leat_buf *offsets, struct leat_buf *io_late)
{
        for (uint32_t i = 0; v->windows.filters && i < rows->batch->rows; i++) {
                int64_t offset = ((const int64_t *)(const void *)offsets->data)[rows->records[i]];
                int64_t late = leat_late_watermark(v->spans, v->span_count, object_id, partition, offset);
                leat_buf_add(io_late, &late, sizeof late);
        }
}

static int topic_rows(struct leat_verify *v, const struct leat_object *object, const char *const *names, uint32_t count,
                      struct leat_verify_relation *rel, struct leat_error *err)
{
        struct leat_buf offsets = LEAT_BUF_INIT, late = LEAT_BUF_INIT;
        struct leat_feed_topic topic;
        struct leat_feed_reader *reader;
        struct leat_format *format;
        struct leat_record_place *places = NULL;
        uint32_t cap = 1024, place_count = 0;
        LEAT_TRY(leat_feed_topic(v->feed, object->name, &topic, err));
        if (v->without != NULL)
                LEAT_TRY(leat_verify_refused(v->feed, object->name, v->without, v->arena, &places, &place_count, err));
        LEAT_TRY(leat_format_open(object->topic, names, count, &format, err));
        struct leat_type *types = leat_arena_zalloc(v->arena, (count + 1) * sizeof *types);
        for (uint32_t i = 0; i < count; i++)
                types[i] = leat_type_copy(v->arena, leat_format_type(format, i));
        struct leat_batch *all = leat_batch_new(v->arena, types, count, cap);
        all->rows = 0;
        int rc = leat_feed_reader_open(v->feed, &reader, err);
        for (int32_t p = 0; p < topic.partitions && rc == 0; p++) {
                int64_t at = position_or(v->job->starts, v->job->start_count, &topic.id, p, 0);
                int64_t end = position_or(v->tick.positions, v->tick.position_count, &topic.id, p, 0);
                if (at < end)
                        rc = leat_feed_reader_add(reader, &topic, p, at, 0, err);
                while (rc == 0 && at < end) {
                        const struct leat_feed_batch *batches;
                        uint32_t got, tag;
                        int32_t partition;
                        rc = leat_feed_poll(reader, 1000000, 8u << 20, &batches, &got, &tag, &partition, err);
                        leat_format_reset(format);
                        leat_buf_clear(&offsets);
                        for (uint32_t b = 0; b < got && rc == 0; b++) {
                                uint32_t take = batches[b].record_count;
                                while (take > 0 && batches[b].records[take - 1].offset >= end)
                                        take--;
                                leat_verify_decode(format, batches[b].records, take, p, places, place_count, &offsets);
                                at = batches[b].next_offset;
                        }
                        struct leat_format_rows rows;
                        leat_format_rows(format, &rows);
                        if ((uint64_t)all->rows + rows.batch->rows > cap) {
                                cap = 2 * (all->rows + rows.batch->rows);
                                struct leat_batch *more = leat_batch_new(v->arena, types, count, cap);
                                more->rows = 0;
                                leat_batch_append(NULL, more, all, 0, all->rows);
                                all = more;
                        }
                        leat_batch_append(v->arena, all, rows.batch, 0, rows.batch->rows);
                        late_add(v, object->id, p, &rows, &offsets, &late);
                }
                leat_feed_reader_remove(reader, 0, p);
        }
        leat_feed_reader_close(reader);
        leat_format_close(format);
        rel->rows = all;
        if (late.len > 0)
                rel->late_us = leat_arena_copy(v->arena, late.data, late.len);
        leat_buf_done(&offsets);
        leat_buf_done(&late);
        if (object->topic->watermark_column >= 0)
                rel->time_column =
                        name_index(names, count, object->topic->columns[object->topic->watermark_column].name);
        return rc;
}

static int arr_rows(struct leat_verify *v, uint64_t arr, bool weighted, struct leat_delta *out, struct leat_error *err)
{
        struct leat_state_snapshot *snapshot = leat_state_snapshot_take(v->state);
        struct leat_scan *scan;
        const struct leat_batch *chunk;
        const int64_t *weights;
        int rc = leat_scan_open(snapshot, arr, NULL, 0, &scan, err);
        while (rc == 0 && (rc = leat_scan_next(scan, &chunk, &weights, err)) == 0 && chunk != NULL) {
                struct leat_batch *copy = leat_batch_copy(v->arena, chunk);
                leat_delta_add(out, copy, NULL);
                for (uint32_t i = 0; weighted && weights != NULL && i < chunk->rows; i++)
                        for (int64_t n = 1; n < weights[i]; n++)
                                leat_delta_add(out, leat_batch_gather(v->arena, copy, &i, 1), NULL);
        }
        if (rc == 0)
                leat_scan_close(scan);
        leat_state_snapshot_unref(snapshot);
        return rc;
}

/* The arrangement with the view's rows in this pipeline: its own, or the copy of it. */
static uint64_t view_arr(const struct leat_verify *v, const struct leat_object *object, uint64_t own)
{
        for (uint32_t u = 0; u < v->tick.upstream_count; u++)
                for (uint32_t k = 0; k < v->tick.upstreams[u].mirror_count; k++)
                        if (v->tick.upstreams[u].mirrors[k].view_id == object->id)
                                return v->tick.upstreams[u].mirrors[k].arr_id;
        return own;
}

/* A view's rows as its readers see them. */
static int view_rows(struct leat_verify *v, const struct leat_object *object, struct leat_batch **ret_rows,
                     struct leat_error *err)
{
        struct leat_stream_graph *graph;
        LEAT_TRY(leat_stream_graph_decode(v->arena, object->view->graph, &graph, err));
        struct leat_arr_def def = leat_stream_arr_def(graph, 0);
        def.id = view_arr(v, object, def.id);
        uint32_t base = leat_runtime_slots(&v->rt, 1);
        struct leat_slot *slot = v->rt.slots[base];
        struct leat_buf sql = LEAT_BUF_INIT;
        struct leat_plan *plan;
        char source[48];
        slot->column_count = def.column_count;
        slot->types = (struct leat_type *)(uintptr_t)def.types;
        LEAT_TRY(arr_rows(v, def.id, graph->output.weighted, &slot->delta, err));
        snprintf(source, sizeof source, "leat_scan('%u.0')", base);
        leat_stream_read_sql(graph, source, &sql);
        int rc = leat_plan_prepare(v->rt.conn, leat_buf_cstr(&sql), &plan, err);
        leat_buf_done(&sql);
        LEAT_TRY(rc);
        rc = leat_runtime_run(plan, v->arena, ret_rows, err);
        leat_plan_free(plan);
        return rc;
}

static int keyed_rows(struct leat_verify *v, const struct leat_object *object, const char *const *names,
                      const struct leat_type *all_types, uint32_t count, struct leat_batch **ret_rows,
                      struct leat_error *err)
{
        const char **have;
        struct leat_type *types;
        uint32_t have_count, total = 0;
        uint64_t arr = 0;
        struct leat_delta delta = {0};
        for (uint32_t i = 0; i < v->tick.input_count; i++)
                if (v->tick.inputs[i].object_id == object->id)
                        arr = v->tick.inputs[i].arr_id;
        leat_keyed_names(object->topic, v->arena, &have, &types, &have_count);
        LEAT_TRY(arr_rows(v, arr, false, &delta, err));
        for (uint32_t b = 0; b < delta.count; b++)
                total += delta.batches[b]->rows;
        struct leat_batch *all = leat_batch_new(v->arena, types, have_count, total + 1);
        all->rows = 0;
        for (uint32_t b = 0; b < delta.count; b++)
                leat_batch_append(NULL, all, delta.batches[b], 0, delta.batches[b]->rows);
        leat_delta_done(&delta);
        struct leat_batch *out = leat_arena_zalloc(v->arena, sizeof *out);
        out->rows = all->rows;
        out->column_count = count;
        out->columns = leat_arena_zalloc(v->arena, (count + 1) * sizeof *out->columns);
        for (uint32_t i = 0; i < count; i++) {
                uint32_t k = 0;
                while (k < have_count && strcmp(have[k], names[i]) != 0)
                        k++;
                if (k < have_count) {
                        out->columns[i] = all->columns[k];
                        continue;
                }
                /* kafka_offset and its kin, which no view can read from a keyed topic */
                struct leat_batch *none = leat_batch_new(v->arena, &all_types[i], 1, total + 1);
                leat_column_make_validity(v->arena, &none->columns[0], total + 1);
                memset(none->columns[0].validity, 0, ((size_t)total + 64) / 64 * 8);
                out->columns[i] = none->columns[0];
        }
        *ret_rows = out;
        return 0;
}

/* ---- the batch query's relations ------------------------------------------------------------------- */
static int key_columns(struct leat_verify *v, const char *text, struct leat_arena *arena, struct leat_scan_key *key,
                       uint32_t *ret_count, const char ***ret_names, struct leat_type **ret_types,
                       struct leat_error *err)
{
        LEAT_TRY(leat_sql_scan_key_parse(arena, text, key, err));
        return leat_sql_scan_columns(v->names, key, arena, ret_count, ret_names, ret_types, err);
}

static int describe(void *arg, const char *text, struct leat_arena *arena, uint32_t *ret_count, const char ***ret_names,
                    struct leat_type **ret_types, struct leat_error *err)
{
        struct leat_scan_key key;
        return key_columns(arg, text, arena, &key, ret_count, ret_names, ret_types, err);
}

struct scan {
        struct leat_batch batch;
        bool given;
};

static int view_relation(struct leat_verify *v, const struct leat_object *object, const char *const *names,
                         uint32_t count, struct leat_verify_relation *rel, struct leat_error *err)
{
        struct leat_stream_graph *graph;
        LEAT_TRY(leat_stream_graph_decode(v->arena, object->view->graph, &graph, err));
        if (graph->output.append_only && graph->output.time_column >= 0)
                rel->time_column = name_index(names, count, graph->output.names[graph->output.time_column]);
        return view_rows(v, object, &rel->rows, err);
}

/* Without the rows that the view has dropped, or not emitted. */
static const struct leat_batch *relation_rows(struct leat_verify *v, struct leat_verify_relation *rel)
{
        if (!v->windows.filters || rel->time_column < 0)
                return rel->rows;
        if (rel->chosen == NULL || rel->chosen_class != v->windows.at_class)
                rel->chosen =
                        leat_verify_choose(&v->windows, v->arena, rel->rows, (uint32_t)rel->time_column, rel->late_us);
        rel->chosen_class = v->windows.at_class;
        return rel->chosen;
}

static int open_scan(void *arg, const char *text, const uint32_t *columns, uint32_t count, void **ret_scan,
                     struct leat_error *err)
{
        struct leat_verify *v = arg;
        struct leat_verify_relation *rel = v->relations;
        while (rel != NULL && strcmp(rel->key, text) != 0)
                rel = rel->next;
        if (rel == NULL) {
                struct leat_scan_key key;
                const char **names;
                struct leat_type *types;
                uint32_t all;
                rel = leat_arena_zalloc(v->arena, sizeof *rel);
                rel->key = leat_arena_strdup(v->arena, text);
                rel->time_column = -1;
                LEAT_TRY(key_columns(v, text, v->arena, &key, &all, &names, &types, err));
                const struct leat_object *object = leat_snapshot_get(v->objects, key.object_id);
                if (object == NULL || (key.kind != LEAT_SCAN_TOPIC && key.kind != LEAT_SCAN_VIEW))
                        return leat_error_set(err, LEAT_EUNSUPPORTED, "%s cannot be verified", key.name);
                if (key.kind == LEAT_SCAN_VIEW)
                        LEAT_TRY(view_relation(v, object, names, all, rel, err));
                else if (object->topic->key_count > 0)
                        LEAT_TRY(keyed_rows(v, object, names, types, all, &rel->rows, err));
                else
                        LEAT_TRY(topic_rows(v, object, names, all, rel, err));
                rel->next = v->relations;
                v->relations = rel;
        }
        const struct leat_batch *rows = relation_rows(v, rel);
        struct scan *scan = leat_arena_zalloc(v->arena, sizeof *scan);
        scan->batch.rows = rows->rows;
        scan->batch.column_count = count;
        scan->batch.columns = leat_arena_zalloc(v->arena, (count + 1) * sizeof *scan->batch.columns);
        for (uint32_t i = 0; i < count; i++)
                scan->batch.columns[i] = rows->columns[columns[i]];
        *ret_scan = scan;
        return 0;
}

static int next_batch(void *arg, const struct leat_batch **ret_batch, struct leat_error *err)
{
        struct scan *scan = arg;
        (void)err;
        *ret_batch = scan->given || scan->batch.rows == 0 ? NULL : &scan->batch;
        scan->given = true;
        return 0;
}

static void close_scan(void *arg)
{
        (void)arg; /* in the arena */
}

static const struct leat_relation_ops batch_ops = {describe, open_scan, next_batch, close_scan};

/* The query's rows in the windows of one class. */
static int class_run(struct leat_verify *v, const char *sql, struct leat_batch **ret_rows, struct leat_error *err)
{
        struct leat_buf text = LEAT_BUF_INIT, macro = LEAT_BUF_INIT;
        struct leat_conn *conn;
        struct leat_plan *plan;
        LEAT_TRY(leat_conn_open(v->rt.engine, &batch_ops, v, &conn, err));
        int rc = leat_conn_exec(conn, leat_sql_macros(), err);
        if (v->windows.classes > 1) {
                leat_verify_hops(&v->windows, sql, &text, &macro);
                sql = leat_buf_cstr(&text);
                if (rc == 0)
                        rc = leat_conn_exec(conn, leat_buf_cstr(&macro), err);
        }
        if (rc == 0)
                rc = leat_plan_prepare(conn, sql, &plan, err);
        if (rc == 0) {
                rc = leat_runtime_run(plan, v->arena, ret_rows, err);
                leat_plan_free(plan);
        }
        leat_conn_close(conn);
        leat_buf_done(&text);
        leat_buf_done(&macro);
        return rc;
}

/* The rows of both; strings are shared. */
static struct leat_batch *joined(struct leat_arena *arena, const struct leat_batch *a, const struct leat_batch *b)
{
        struct leat_type *types = leat_arena_zalloc(arena, (a->column_count + 1) * sizeof *types);
        for (uint32_t i = 0; i < a->column_count; i++)
                types[i] = a->columns[i].type;
        struct leat_batch *all = leat_batch_new(arena, types, a->column_count, a->rows + b->rows + 1);
        all->rows = 0;
        leat_batch_append(NULL, all, a, 0, a->rows);
        leat_batch_append(NULL, all, b, 0, b->rows);
        return all;
}

static int batch_run(struct leat_verify *v, const struct leat_object *view, struct leat_batch **ret_rows,
                     struct leat_error *err)
{
        struct leat_sql_query query;
        struct leat_span span = {.start = 0, .len = (uint32_t)view->view->body.len};
        struct leat_batch *rows, *all = NULL;
        LEAT_TRY(leat_sql_select(v->env, v->arena, view->view->body, span, NULL, 0, &query, err));
        for (v->windows.at_class = 0; v->windows.at_class < v->windows.classes; v->windows.at_class++) {
                LEAT_TRY(class_run(v, query.sql, &rows, err));
                all = all == NULL ? rows : joined(v->arena, all, rows);
        }
        *ret_rows = all;
        return 0;
}

/* ---- comparing ----------------------------------------------------------------------------------------- */
static bool is_float(const struct leat_type *type)
{
        return type->id == LEAT_T_DOUBLE || type->id == LEAT_T_FLOAT;
}

/* @time_column < 0: all rows; else those that have a time, from @horizon on. */
static int sorted(struct leat_verify *v, struct leat_batch *rows, int32_t time_column, int64_t horizon,
                  struct leat_batch **ret_rows, struct leat_error *err)
{
        uint32_t base = leat_runtime_slots(&v->rt, 1), terms = 0;
        struct leat_slot *slot = v->rt.slots[base];
        struct leat_buf sql = LEAT_BUF_INIT;
        struct leat_plan *plan;
        slot->column_count = rows->column_count;
        slot->types = leat_arena_zalloc(v->arena, (rows->column_count + 1) * sizeof *slot->types);
        for (uint32_t i = 0; i < rows->column_count; i++)
                slot->types[i] = rows->columns[i].type;
        leat_delta_add(&slot->delta, rows, NULL);
        leat_buf_printf(&sql, "FROM leat_scan('%u.0')", base);
        if (time_column >= 0)
                leat_buf_printf(&sql, " WHERE epoch_us(c%d) >= %" PRId64, time_column, horizon);
        for (uint32_t pass = 0; pass < 2; pass++) /* floats last: they may differ in their last digits */
                for (uint32_t i = 0; i < rows->column_count; i++)
                        if (is_float(&rows->columns[i].type) == (pass == 1))
                                leat_buf_printf(&sql, "%sc%u", terms++ == 0 ? " ORDER BY " : ", ", i);
        int rc = leat_plan_prepare(v->rt.conn, leat_buf_cstr(&sql), &plan, err);
        leat_buf_done(&sql);
        LEAT_TRY(rc);
        rc = leat_runtime_run(plan, v->arena, ret_rows, err);
        leat_plan_free(plan);
        return rc;
}

static double float_at(const struct leat_column *col, uint32_t row)
{
        return col->type.id == LEAT_T_DOUBLE ? ((const double *)col->data)[row]
                                             : (double)((const float *)col->data)[row];
}

static bool same(const struct leat_batch *a, const struct leat_batch *b, uint32_t row)
{
        for (uint32_t i = 0; i < a->column_count; i++) {
                const struct leat_column *x = &a->columns[i], *y = &b->columns[i];
                bool valid = leat_column_valid(x, row);
                if (valid != leat_column_valid(y, row))
                        return false;
                if (!valid)
                        continue;
                if (is_float(&x->type)) {
                        double p = float_at(x, row), q = float_at(y, row);
                        if (!(p == q || (isnan(p) && isnan(q)) || fabs(p - q) <= 1e-9 * fmax(fabs(p), fabs(q))))
                                return false;
                        continue;
                }
                struct leat_buf s = LEAT_BUF_INIT, t = LEAT_BUF_INIT;
                leat_column_print(x, row, &s);
                leat_column_print(y, row, &t);
                bool eq = leat_view_eq(leat_buf_view(&s), leat_buf_view(&t));
                leat_buf_done(&s);
                leat_buf_done(&t);
                if (!eq)
                        return false;
        }
        return true;
}

static void row_text(const struct leat_batch *batch, uint32_t row, struct leat_buf *out)
{
        for (uint32_t i = 0; row < batch->rows && i < batch->column_count; i++) {
                leat_buf_add_str(out, i > 0 ? " | " : "");
                if (!leat_column_print(&batch->columns[i], row, out))
                        leat_buf_add_str(out, "NULL");
        }
        if (row >= batch->rows)
                leat_buf_add_str(out, "no row");
}

/* A lookup gave the keyed row of its time, which may have changed since: then the query over today's is another one. */
static int lookup_doubt(const struct leat_stream_graph *graph, const char *view, uint64_t differences,
                        struct leat_error *err)
{
        for (uint32_t i = 0; i < graph->node_count && differences > 0; i++) {
                if (graph->nodes[i].op != LEAT_OP_LOOKUP)
                        continue;
                return leat_error_set(err, LEAT_EUNSUPPORTED,
                                      "view %s cannot be verified afterwards: it looked up %s as it was when each row "
                                      "came, and differs by %" PRIu64 " rows from its query over %s as it is now",
                                      view, graph->nodes[i].relation, differences, graph->nodes[i].relation);
        }
        return 0;
}

static void differences(const struct leat_batch *have, const struct leat_batch *want, struct leat_verify_result *ret)
{
        for (uint32_t i = 0; i < LEAT_MAX(have->rows, want->rows); i++) {
                if (i < have->rows && i < want->rows && same(have, want, i))
                        continue;
                if (ret->differences++ > 0)
                        continue;
                struct leat_buf text = LEAT_BUF_INIT;
                row_text(have, i, &text);
                snprintf(ret->view_row, sizeof ret->view_row, "%s", leat_buf_cstr(&text));
                leat_buf_clear(&text);
                row_text(want, i, &text);
                snprintf(ret->batch_row, sizeof ret->batch_row, "%s", leat_buf_cstr(&text));
                leat_buf_done(&text);
        }
}

/* The pipeline @up at the tick that we have of it: its views' rows, as @ret_rows[i] of mirror i; NULL when that tick can
 * no longer be put together. */
static int upstream_rows(struct leat_verify *v, const struct leat_tick_upstream *up, struct leat_batch **ret_rows,
                         struct leat_error *err)
{
        struct leat_state *state = v->state;
        struct leat_tick tick = v->tick;
        v->state = NULL;
        v->tick = (struct leat_tick){0};
        v->upto = up->tick;
        int rc = leat_verify_pipeline_open(v, up->pipeline, err);
        for (uint32_t i = 0; rc == 0 && v->tick.tick == up->tick && i < up->mirror_count; i++) {
                const struct leat_object *view = leat_snapshot_get(v->objects, up->mirrors[i].view_id);
                if (view != NULL && up->mirrors[i].state != LEAT_MIRROR_LOADING)
                        rc = view_rows(v, view, &ret_rows[i], err);
        }
        if (v->state != NULL)
                leat_state_close(v->state);
        v->state = state;
        v->tick = tick;
        return rc;
}

/* Copies of views of another pipeline against these views, at the tick where the copies stand. */
static int mirrors_compare(struct leat_verify *v, const struct leat_tick_upstream *up, struct leat_verify_result *ret,
                           struct leat_error *err)
{
        struct leat_batch **rows = leat_arena_zalloc(v->arena, (up->mirror_count + 1) * sizeof(*rows));
        LEAT_TRY(upstream_rows(v, up, rows, err));
        for (uint32_t i = 0; i < up->mirror_count; i++) {
                struct leat_batch *copy;
                if (rows[i] == NULL)
                        continue;
                LEAT_TRY(view_rows(v, leat_snapshot_get(v->objects, up->mirrors[i].view_id), &copy, err));
                LEAT_TRY(sorted(v, copy, -1, INT64_MIN, &copy, err));
                LEAT_TRY(sorted(v, rows[i], -1, INT64_MIN, &rows[i], err));
                differences(copy, rows[i], ret);
        }
        return 0;
}

static int compare(struct leat_verify *v, const struct leat_object *view, struct leat_verify_result *ret,
                   struct leat_error *err)
{
        struct leat_stream_graph *graph;
        struct leat_batch *have, *want;
        LEAT_TRY(leat_stream_graph_decode(v->arena, view->view->graph, &graph, err));
        const struct leat_arr_def *def = &graph->arrs[0];
        int64_t horizon = INT64_MIN, w = v->job->watermark_us;
        if (graph->retention_us > 0 && graph->output.time_column < 0)
                return leat_error_set(err, LEAT_EUNSUPPORTED,
                                      "view %s cannot be verified afterwards: it has a retention but does not show its "
                                      "time",
                                      view->name);
        LEAT_TRY(leat_verify_windows_open(graph, v->job, view->name, &v->windows, err));
        if (v->windows.filters && v->job->late_rows > 0)
                LEAT_TRY(leat_late_read(v->state, v->job->late_arr, v->arena, &v->spans, &v->span_count, err));
        if (graph->retention_us > 0 && w != INT64_MIN &&
            def->bucket_us > 0) /* one bucket more: what came late for it is gone */
                horizon = w - graph->retention_us + 2 * def->bucket_us;
        LEAT_TRY(view_rows(v, view, &have, err));
        int rc = batch_run(v, view, &want, err);
        if (rc == LEAT_EINVAL || rc == LEAT_ERANGE || rc == LEAT_ETYPE) { /* the job left out what cannot be computed */
                v->without = view->name;
                v->relations = NULL;
                rc = batch_run(v, view, &want, err);
        }
        LEAT_TRY(rc);
        int32_t time = graph->retention_us > 0 ? graph->output.time_column : -1;
        LEAT_TRY(sorted(v, have, time, horizon, &have, err));
        LEAT_TRY(sorted(v, want, time, horizon, &want, err));
        ret->tick = v->tick.tick;
        ret->rows = have->rows;
        ret->batch_rows = want->rows;
        differences(have, want, ret);
        LEAT_TRY(lookup_doubt(graph, view->name, ret->differences, err));
        for (uint32_t u = 0; u < v->tick.upstream_count; u++)
                LEAT_TRY(mirrors_compare(v, &v->tick.upstreams[u], ret, err));
        return 0;
}

int leat_stream_verify(const struct leat_verify_options *options, struct leat_verify_result *ret_result,
                       struct leat_error *err)
{
        struct leat_verify v = {.options = options, .arena = leat_arena_new(1 << 20)};
        struct leat_verify_result result = {0};
        char path[4096];
        int rc;
        snprintf(path, sizeof path, "%s/catalog.db", options->data_dir);
        LEAT_TRY_GOTO(leat_catalog_open(path, &v.catalog, err));
        LEAT_TRY_GOTO(leat_catalog_open(path, &v.env_catalog, err));
        LEAT_TRY_GOTO(leat_feed_open(&options->kafka, "leat-verify", &v.feed, err));
        LEAT_TRY_GOTO(leat_sql_env_open(v.env_catalog, NULL, &v.env, err));
        LEAT_TRY_GOTO(leat_sql_env_catalog(v.env, &v.names, err));
        LEAT_TRY_GOTO(leat_catalog_load(v.catalog, v.arena, &v.objects, err));
        LEAT_TRY_GOTO(leat_runtime_open(&v.rt, 0, err));
        const struct leat_object *view = leat_snapshot_find(v.objects, options->view, false);
        if (view == NULL || view->kind != LEAT_OBJECT_MATVIEW) {
                rc = leat_error_set(err, LEAT_ENORELATION, "there is no materialized view \"%s\"", options->view);
                goto fail;
        }
        LEAT_TRY_GOTO(leat_verify_pipeline_open_again(&v, view->view->pipeline, err));
        for (uint32_t i = 0; i < v.tick.job_count; i++)
                if (v.tick.jobs[i].view_id == view->id && v.tick.jobs[i].state == LEAT_TICK_RUNNING)
                        v.job = &v.tick.jobs[i];
        if (v.job == NULL) {
                rc = leat_error_set(err, LEAT_EBUSY, "view \"%s\" is not running: SHOW JOBS tells why", options->view);
                goto fail;
        }
        LEAT_TRY_GOTO(compare(&v, view, &result, err));
        *ret_result = result;
        rc = 0;
fail:
        if (v.rt.engine != NULL)
                leat_runtime_close(&v.rt);
        if (v.state != NULL)
                leat_state_close(v.state);
        if (v.names != NULL)
                leat_sql_catalog_unref(v.names);
        if (v.env != NULL)
                leat_sql_env_close(v.env);
        if (v.env_catalog != NULL)
                leat_catalog_close(v.env_catalog);
        if (v.feed != NULL)
                leat_feed_close(v.feed);
        if (v.catalog != NULL)
                leat_catalog_close(v.catalog);
        leat_arena_free(v.arena);
        return rc;
}
