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
 * What cannot be repeated is refused by name: views that drop late rows, and those
 * that differ after they looked up what has changed since. With a
 * retention only rows are compared whose time the view still keeps.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "leat/sql.h"
#include "stream_worker.h"

#define OPEN_TRIES 6

struct relation {
        char *key;
        struct leat_batch *rows; /* all of its columns, as describe() gives them */
        uint32_t at;
        struct relation *next;
};
struct verify {
        const struct leat_verify_options *options;
        struct leat_arena *arena;
        struct leat_catalog *catalog, *env_catalog;
        struct leat_feed *feed;
        struct leat_state *state;
        struct leat_sql_env *env;
        const struct leat_snapshot *objects;
        struct leat_sql_catalog *names;
        const struct leat_tick_job *job;
        struct leat_tick tick;
        int64_t upto;           /* the tick to stop at; 0 = the newest */
        struct leat_runtime rt; /* runs a view's read SQL and the comparison */
        struct relation *relations;
        const char *without; /* what this view put into quarantines is left out; NULL: nothing */
};

/* ---- the pipeline at its newest tick ------------------------------------------------------ */
static int arrs_define(struct verify *v, const char *pipeline, struct leat_error *err)
{
        for (uint32_t i = 0; i < v->objects->object_count; i++) {
                const struct leat_object *object = &v->objects->objects[i];
                struct leat_stream_graph *graph;
                if (object->kind != LEAT_OBJECT_MATVIEW || strcmp(object->view->pipeline, pipeline) != 0)
                        continue;
                LEAT_TRY(leat_stream_graph_decode(v->arena, object->view->graph, &graph, err));
                struct leat_arr_def def = leat_stream_arr_def(graph, 0);
                LEAT_TRY(leat_state_define(v->state, &def, err));
        }
        return 0;
}

static int keyed_define(struct verify *v, const struct leat_tick *tick, struct leat_error *err)
{
        for (uint32_t i = 0; i < tick->input_count; i++) {
                const struct leat_object *topic = leat_snapshot_get(v->objects, tick->inputs[i].object_id);
                const char **names;
                struct leat_type *types;
                uint32_t count;
                if (tick->inputs[i].arr_id == 0 || topic == NULL || topic->topic == NULL)
                        continue;
                leat_keyed_names(topic->topic, v->arena, &names, &types, &count);
                struct leat_arr_def def = {.id = tick->inputs[i].arr_id,
                                           .mode = LEAT_ARR_MAP,
                                           .key_count = topic->topic->key_count,
                                           .column_count = count,
                                           .types = types,
                                           .time_column = -1};
                LEAT_TRY(leat_state_define(v->state, &def, err));
        }
        return 0;
}

static int commit_keep(struct verify *v, struct leat_view bytes, struct leat_error *err)
{
        uint8_t *copy = leat_arena_alloc(v->arena, bytes.len + 1);
        memcpy(copy, bytes.data, bytes.len);
        LEAT_TRY(leat_tick_decode_commit(v->arena, leat_view_of(copy, bytes.len), &v->tick, err));
        LEAT_TRY(leat_mirrors_define(v->state, v->arena, v->objects, &v->tick, err));
        return keyed_define(v, &v->tick, err);
}

static int tick_take(struct verify *v, const struct leat_tick *tick, struct leat_error *err)
{
        if (v->tick.tick == 0 && tick->tick != 1)
                return leat_error_set(err, LEAT_ECORRUPT, "the ticks before tick %" PRId64 " are not there",
                                      tick->tick);
        struct leat_buf bytes = LEAT_BUF_INIT;
        leat_tick_encode_commit(tick, &bytes);
        int rc = commit_keep(v, leat_buf_view(&bytes), err);
        leat_buf_done(&bytes);
        for (uint32_t i = 0; i < tick->section_count && rc == 0; i++)
                if (leat_state_def(v->state, tick->sections[i].arr_id) != NULL)
                        rc = leat_state_apply(v->state, tick->sections[i].arr_id, tick->tick, tick->sections[i].rows,
                                              tick->sections[i].weights, err);
        for (uint32_t i = 0; i < tick->expire_count && rc == 0; i++)
                if (leat_state_def(v->state, tick->expires[i].arr_id) != NULL)
                        rc = leat_state_expire(v->state, tick->expires[i].arr_id, tick->expires[i].time_us, err);
        return rc;
}

static int ticks_follow(struct verify *v, const char *pipeline, int64_t after, struct leat_error *err)
{
        char name[250];
        struct leat_feed_topic topic;
        struct leat_feed_reader *reader;
        int64_t begin, end;
        leat_tick_topic_name(pipeline, name);
        LEAT_TRY(leat_feed_topic(v->feed, name, &topic, err));
        LEAT_TRY(leat_feed_offsets(v->feed, name, LEAT_FEED_EARLIEST, &begin, 1, err));
        LEAT_TRY(leat_feed_offsets(v->feed, name, LEAT_FEED_LATEST, &end, 1, err));
        LEAT_TRY(leat_feed_reader_open(v->feed, &reader, err));
        struct leat_tick_reader *ticks = leat_tick_reader_new(after);
        int rc = leat_feed_reader_add(reader, &topic, 0, begin, 0, err);
        while (rc == 0 && begin < end && (v->upto == 0 || v->tick.tick < v->upto)) {
                const struct leat_feed_batch *batches;
                uint32_t count, tag;
                int32_t partition;
                rc = leat_feed_poll(reader, 1000000, 16u << 20, &batches, &count, &tag, &partition, err);
                for (uint32_t b = 0; b < count && rc == 0; b++) {
                        for (uint32_t i = 0; i < batches[b].record_count && rc == 0; i++) {
                                const struct leat_tick *tick;
                                rc = leat_tick_reader_feed(ticks, &batches[b].records[i], &tick, err);
                                if (rc == 0 && tick != NULL && (v->upto == 0 || tick->tick <= v->upto))
                                        rc = tick_take(v, tick, err);
                        }
                        begin = batches[b].next_offset;
                }
        }
        leat_tick_reader_free(ticks);
        leat_feed_reader_close(reader);
        return rc;
}

static int pipeline_open(struct verify *v, const char *pipeline, struct leat_error *err)
{
        char dir[4096];
        struct leat_buf extra = LEAT_BUF_INIT;
        int64_t tick = 0;
        leat_worker_state_dir(v->options->data_dir, pipeline, dir);
        struct leat_state_options options = {.role = LEAT_STATE_READER, .dir = dir};
        int rc = leat_state_open(&options, &v->state, &tick, &extra, err);
        if (rc == 0)
                rc = arrs_define(v, pipeline, err);
        if (rc == 0 && tick > 0)
                rc = commit_keep(v, leat_buf_view(&extra), err);
        leat_buf_done(&extra);
        return rc != 0 ? rc : ticks_follow(v, pipeline, tick, err);
}

/* The worker may write the next manifest meanwhile, cut the ticks below it and delete files: then from that one. */
static int pipeline_open_again(struct verify *v, const char *pipeline, struct leat_error *err)
{
        int rc = pipeline_open(v, pipeline, err);
        for (int i = 1; i < OPEN_TRIES && rc != 0; i++) {
                if (v->state != NULL)
                        leat_state_close(v->state);
                v->state = NULL;
                v->tick = (struct leat_tick){0};
                leat_os_sleep_us(20000ll * i);
                rc = pipeline_open(v, pipeline, err);
        }
        return rc;
}

/* ---- what the query reads --------------------------------------------------------------------- */
static int64_t position_or(const struct leat_tick_position *positions, uint32_t count,
                           const struct leat_topic_id *topic, int32_t partition, int64_t otherwise)
{
        const struct leat_tick_position *at = leat_position_find(positions, count, topic, partition);
        return at != NULL ? at->offset : otherwise;
}

static int topic_rows(struct verify *v, const struct leat_object *object, const char *const *names, uint32_t count,
                      struct leat_batch **ret_rows, struct leat_error *err)
{
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
                        for (uint32_t b = 0; b < got && rc == 0; b++) {
                                uint32_t take = batches[b].record_count;
                                while (take > 0 && batches[b].records[take - 1].offset >= end)
                                        take--;
                                leat_verify_decode(format, batches[b].records, take, p, places, place_count);
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
                }
                leat_feed_reader_remove(reader, 0, p);
        }
        leat_feed_reader_close(reader);
        leat_format_close(format);
        *ret_rows = all;
        return rc;
}

static int arr_rows(struct verify *v, uint64_t arr, bool weighted, struct leat_delta *out, struct leat_error *err)
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
static uint64_t view_arr(const struct verify *v, const struct leat_object *object, uint64_t own)
{
        for (uint32_t u = 0; u < v->tick.upstream_count; u++)
                for (uint32_t k = 0; k < v->tick.upstreams[u].mirror_count; k++)
                        if (v->tick.upstreams[u].mirrors[k].view_id == object->id)
                                return v->tick.upstreams[u].mirrors[k].arr_id;
        return own;
}

/* A view's rows as its readers see them. */
static int view_rows(struct verify *v, const struct leat_object *object, struct leat_batch **ret_rows,
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

static int keyed_rows(struct verify *v, const struct leat_object *object, const char *const *names,
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
static int key_columns(struct verify *v, const char *text, struct leat_arena *arena, struct leat_scan_key *key,
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

static int open_scan(void *arg, const char *text, const uint32_t *columns, uint32_t count, void **ret_scan,
                     struct leat_error *err)
{
        struct verify *v = arg;
        struct relation *rel = v->relations;
        while (rel != NULL && strcmp(rel->key, text) != 0)
                rel = rel->next;
        if (rel == NULL) {
                struct leat_scan_key key;
                const char **names;
                struct leat_type *types;
                uint32_t all;
                rel = leat_arena_zalloc(v->arena, sizeof *rel);
                rel->key = leat_arena_strdup(v->arena, text);
                LEAT_TRY(key_columns(v, text, v->arena, &key, &all, &names, &types, err));
                const struct leat_object *object = leat_snapshot_get(v->objects, key.object_id);
                if (object == NULL || (key.kind != LEAT_SCAN_TOPIC && key.kind != LEAT_SCAN_VIEW))
                        return leat_error_set(err, LEAT_EUNSUPPORTED, "%s cannot be verified", key.name);
                if (key.kind == LEAT_SCAN_VIEW)
                        LEAT_TRY(view_rows(v, object, &rel->rows, err));
                else if (object->topic->key_count > 0)
                        LEAT_TRY(keyed_rows(v, object, names, types, all, &rel->rows, err));
                else
                        LEAT_TRY(topic_rows(v, object, names, all, &rel->rows, err));
                rel->next = v->relations;
                v->relations = rel;
        }
        struct scan *scan = leat_arena_zalloc(v->arena, sizeof *scan);
        scan->batch.rows = rel->rows->rows;
        scan->batch.column_count = count;
        scan->batch.columns = leat_arena_zalloc(v->arena, (count + 1) * sizeof *scan->batch.columns);
        for (uint32_t i = 0; i < count; i++)
                scan->batch.columns[i] = rel->rows->columns[columns[i]];
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

static int batch_run(struct verify *v, const struct leat_object *view, struct leat_batch **ret_rows,
                     struct leat_error *err)
{
        struct leat_sql_query query;
        struct leat_conn *conn;
        struct leat_plan *plan;
        struct leat_span span = {.start = 0, .len = (uint32_t)view->view->body.len};
        LEAT_TRY(leat_sql_select(v->env, v->arena, view->view->body, span, NULL, 0, &query, err));
        LEAT_TRY(leat_conn_open(v->rt.engine, &batch_ops, v, &conn, err));
        int rc = leat_conn_exec(conn, leat_sql_macros(), err);
        if (rc == 0)
                rc = leat_plan_prepare(conn, query.sql, &plan, err);
        if (rc == 0) {
                rc = leat_runtime_run(plan, v->arena, ret_rows, err);
                leat_plan_free(plan);
        }
        leat_conn_close(conn);
        return rc;
}

/* ---- comparing ----------------------------------------------------------------------------------------- */
static bool is_float(const struct leat_type *type)
{
        return type->id == LEAT_T_DOUBLE || type->id == LEAT_T_FLOAT;
}

/* @time_column < 0: all rows; else those that have a time, from @horizon on. */
static int sorted(struct verify *v, struct leat_batch *rows, int32_t time_column, int64_t horizon,
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
static int upstream_rows(struct verify *v, const struct leat_tick_upstream *up, struct leat_batch **ret_rows,
                         struct leat_error *err)
{
        struct leat_state *state = v->state;
        struct leat_tick tick = v->tick;
        v->state = NULL;
        v->tick = (struct leat_tick){0};
        v->upto = up->tick;
        int rc = pipeline_open(v, up->pipeline, err);
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
static int mirrors_compare(struct verify *v, const struct leat_tick_upstream *up, struct leat_verify_result *ret,
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

static int compare(struct verify *v, const struct leat_object *view, struct leat_verify_result *ret,
                   struct leat_error *err)
{
        struct leat_stream_graph *graph;
        struct leat_batch *have, *want;
        LEAT_TRY(leat_stream_graph_decode(v->arena, view->view->graph, &graph, err));
        const struct leat_arr_def *def = &graph->arrs[0];
        int64_t horizon = INT64_MIN, w = v->job->watermark_us;
        bool drops = graph->mode == LEAT_OUT_CLOSED || graph->late != LEAT_STREAM_LATE_APPLY;
        if (drops || (graph->retention_us > 0 && graph->output.time_column < 0)) {
                leat_error_set(err, LEAT_EUNSUPPORTED, "view %s cannot be verified afterwards: %s", view->name,
                               drops ? "it drops late rows, which depend on when they came"
                                     : "it has a retention but does not show its time");
                return LEAT_EUNSUPPORTED;
        }
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
        struct verify v = {.options = options, .arena = leat_arena_new(1 << 20)};
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
        LEAT_TRY_GOTO(pipeline_open_again(&v, view->view->pipeline, err));
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
