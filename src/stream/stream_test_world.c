/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/stream: jobs in process beside an oracle, a DuckDB of its own that runs the
 * views' queries as a batch over all rows so far. Every tick goes through the
 * codec; the state is published and merged now and then.
 */
#include <math.h>
#include <stdio.h>

#include "leat/os.h"
#include "leat/test.h"
#include "stream_test_world.h"

#define BASE_US 1700000000000000ll

uint32_t world_random(struct world *w, uint32_t limit)
{
        w->random = w->random * 6364136223846793005ull + 1442695040888963407ull;
        return (uint32_t)((w->random >> 33) % limit);
}

/* ---- the oracle's relations -------------------------------------------------------------- */
static struct oracle_relation *oracle_find(struct world *w, const char *key)
{
        return strcmp(key, "scans") == 0 ? &w->scans : strcmp(key, "stations") == 0 ? &w->stations : NULL;
}
static int oracle_describe(void *arg, const char *key, struct leat_arena *arena, uint32_t *ret_count,
                           const char ***ret_names, struct leat_type **ret_types, struct leat_error *err)
{
        struct oracle_relation *rel = oracle_find(arg, key);
        if (rel == NULL)
                return leat_error_set(err, LEAT_ENORELATION, "%s", key);
        *ret_count = rel->column_count;
        *ret_names = leat_arena_alloc(arena, rel->column_count * sizeof(char *));
        *ret_types = leat_arena_alloc(arena, rel->column_count * sizeof **ret_types);
        memcpy((void *)*ret_names, rel->names, rel->column_count * sizeof(char *));
        memcpy(*ret_types, rel->types, rel->column_count * sizeof **ret_types);
        return 0;
}
struct oracle_scan {
        struct oracle_relation *rel;
        uint32_t columns[64], count, at;
        struct leat_column data[64];
        struct leat_batch batch;
};
static int oracle_open(void *arg, const char *key, const uint32_t *columns, uint32_t count, void **ret_scan,
                       struct leat_error *err)
{
        (void)err;
        struct oracle_scan *scan = leat_calloc(1, sizeof *scan);
        scan->rel = oracle_find(arg, key);
        scan->count = count;
        if (count > 0)
                memcpy(scan->columns, columns, count * sizeof *columns);
        scan->batch.columns = scan->data;
        scan->batch.column_count = count;
        *ret_scan = scan;
        return 0;
}
static int oracle_next(void *arg, const struct leat_batch **ret_batch, struct leat_error *err)
{
        (void)err;
        struct oracle_scan *scan = arg;
        *ret_batch = NULL;
        if (scan->at >= scan->rel->delta.count)
                return 0;
        const struct leat_batch *from = scan->rel->delta.batches[scan->at++];
        scan->batch.rows = from->rows;
        for (uint32_t i = 0; i < scan->count; i++)
                scan->data[i] = from->columns[scan->columns[i]];
        *ret_batch = &scan->batch;
        return 0;
}
static const struct leat_relation_ops oracle_ops = {oracle_describe, oracle_open, oracle_next, free};

/* ---- building -------------------------------------------------------------------------------- */
static const char *const scans_names[] = {"package_id", "site", "weight",          "ts",
                                          "price",      "f",    "kafka_timestamp", "w_at"};
static const struct leat_type scans_types[] = {{.id = LEAT_T_VARCHAR},
                                               {.id = LEAT_T_VARCHAR},
                                               {.id = LEAT_T_INTEGER},
                                               {.id = LEAT_T_TIMESTAMPTZ},
                                               {.id = LEAT_T_DECIMAL, .width = 10, .scale = 2},
                                               {.id = LEAT_T_DOUBLE},
                                               {.id = LEAT_T_TIMESTAMPTZ},
                                               {.id = LEAT_T_TIMESTAMPTZ}};
static const char *const stations_names[] = {"id", "name", "region"};
static const struct leat_type stations_types[] = {
        {.id = LEAT_T_VARCHAR}, {.id = LEAT_T_VARCHAR}, {.id = LEAT_T_VARCHAR}};

static struct leat_string string_of(struct leat_arena *arena, const char *text)
{
        return leat_string_borrow(leat_view_str(leat_arena_strdup(arena, text)));
}

struct leat_batch *world_rows(struct world *w, uint32_t rows)
{
        struct leat_batch *batch = leat_batch_new(w->rows_arena, scans_types, 8, rows + 1);
        batch->rows = rows;
        for (uint32_t c = 0; c < 8; c++)
                leat_column_make_validity(w->rows_arena, &batch->columns[c], rows + 1);
        for (uint32_t i = 0; i < rows; i++) {
                char text[64];
                snprintf(text, sizeof text, "package-with-a-long-name-%u", world_random(w, 40));
                ((struct leat_string *)batch->columns[0].data)[i] = string_of(w->rows_arena, text);
                snprintf(text, sizeof text, world_random(w, 2) ? "S%u" : "site-name-%u-long", world_random(w, 6));
                ((struct leat_string *)batch->columns[1].data)[i] = string_of(w->rows_arena, text);
                ((int32_t *)batch->columns[2].data)[i] = (int32_t)world_random(w, 20) - 5;
                int64_t ts = BASE_US + w->tick * 2000000 + world_random(w, 4000000) -
                             world_random(w, 3) * world_random(w, 9000000);
                ((int64_t *)batch->columns[3].data)[i] = ts;
                if (ts - 2000000 > w->next_watermark_us)
                        w->next_watermark_us = ts - 2000000;
                ((int64_t *)batch->columns[4].data)[i] = world_random(w, 10000);
                ((double *)batch->columns[5].data)[i] = 1000.0 + (double)world_random(w, 1000000) / 1000.0;
                ((int64_t *)batch->columns[6].data)[i] = BASE_US + w->tick * 2000000;
                ((int64_t *)batch->columns[7].data)[i] = w->watermark_us == INT64_MIN ? 0 : w->watermark_us;
                if (world_random(w, 10) == 0)
                        leat_column_set_null(&batch->columns[1], i);
                if (world_random(w, 10) == 0)
                        leat_column_set_null(&batch->columns[2], i);
                if (world_random(w, 10) == 0)
                        leat_column_set_null(&batch->columns[5], i);
        }
        return batch;
}

struct world *world_new(uint64_t seed)
{
        struct world *w = leat_calloc(1, sizeof *w);
        struct leat_error err = {0};
        w->fx = stream_fixture_new();
        w->random = seed;
        w->watermark_us = w->next_watermark_us = INT64_MIN;
        w->rows_arena = leat_arena_new(1 << 20);
        w->tick_arena = leat_arena_new(1 << 16);
        CHECK_OK(leat_runtime_open(&w->rt, 0, &err), &err);
        static int worlds;
        char dir[256];
        snprintf(dir, sizeof dir, "%s/%d", leat_test_tmpdir(), worlds++);
        struct leat_state_options options = {.role = LEAT_STATE_WRITER, .dir = dir};
        int64_t tick;
        struct leat_buf extra = LEAT_BUF_INIT;
        CHECK_OK(leat_state_open(&options, &w->state, &tick, &extra, &err), &err);
        leat_buf_done(&extra);
        CHECK_OK(leat_engine_open(NULL, &w->engine, &err), &err);
        CHECK_OK(leat_conn_open(w->engine, &oracle_ops, w, &w->conn, &err), &err);
        w->scans = (struct oracle_relation){
                .name = "scans", .column_count = 8, .names = scans_names, .types = scans_types};
        w->stations = (struct oracle_relation){
                .name = "stations", .column_count = 3, .names = stations_names, .types = stations_types};
        CHECK_OK(leat_conn_exec(w->conn, "CREATE VIEW scans AS FROM leat_scan('scans')", &err), &err);
        CHECK_OK(leat_conn_exec(w->conn, "CREATE VIEW stations AS FROM leat_scan('stations')", &err), &err);
        w->next_arr = 1000;
        struct leat_arr_def def = {.id = 1,
                                   .mode = LEAT_ARR_MAP,
                                   .key_count = 1,
                                   .column_count = 3,
                                   .types = stations_types,
                                   .time_column = -1};
        CHECK_OK(leat_state_define(w->state, &def, &err), &err);
        struct leat_batch *rows = leat_batch_new(w->rows_arena, stations_types, 3, 8);
        for (uint32_t i = 0; i < 5; i++) {
                char text[32];
                snprintf(text, sizeof text, "S%u", i);
                ((struct leat_string *)rows->columns[0].data)[i] = string_of(w->rows_arena, text);
                ((struct leat_string *)rows->columns[1].data)[i] =
                        string_of(w->rows_arena, i == 2 ? "x" : "a station's name");
                ((struct leat_string *)rows->columns[2].data)[i] = string_of(w->rows_arena, i % 2 ? "north" : "south");
        }
        rows->rows = 5;
        leat_delta_add(&w->stations.delta, rows, NULL);
        CHECK_OK(leat_state_apply(w->state, 1, 1, rows, NULL, &err), &err);
        w->tick = 1;
        return w;
}

void world_free(struct world *w)
{
        for (uint32_t i = 0; i < w->job_count; i++)
                leat_stream_job_close(w->jobs[i]);
        leat_state_close(w->state);
        leat_runtime_close(&w->rt);
        leat_conn_close(w->conn);
        leat_engine_close(w->engine);
        leat_delta_done(&w->scans.delta);
        leat_delta_done(&w->stations.delta);
        leat_arena_free(w->rows_arena);
        leat_arena_free(w->tick_arena);
        stream_fixture_free(w->fx);
        free(w);
}

/* Adds a job for @sql; @want: the oracle's query, NULL = the same. */
void world_job_add(struct world *w, const char *name, const char *sql, const char *want,
                   const struct leat_stream_options *options)
{
        struct leat_error err = {0};
        struct leat_stream_graph *graph, *copy;
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_buf bytes = LEAT_BUF_INIT;
        if (stream_fixture_compile(w->fx, sql, options, &graph, &err) != 0)
                leat_test_fail(__FILE__, __LINE__, "%s: %s", sql, err.message);
        leat_stream_arr_assign(graph, w->next_arr);
        w->next_arr += leat_stream_arr_count(graph);
        leat_stream_graph_encode(graph, &bytes); /* what runs has been bytes */
        CHECK_OK(leat_stream_graph_decode(arena, leat_buf_view(&bytes), &copy, &err), &err);
        leat_buf_done(&bytes);
        struct leat_stream_job *job;
        if (leat_stream_job_open(&w->rt, arena, copy, w->job_count + 1, name, &job, &err) != 0)
                leat_test_fail(__FILE__, __LINE__, "%s: %s", sql, err.message);
        CHECK_OK(leat_stream_job_define(job, w->state, &err), &err);
        for (uint32_t i = 0; i < copy->node_count; i++)
                job->lookups[i] = (struct leat_lookup){.arr_id = 1, .column_count = 3, .names = stations_names};
        struct leat_buf create = LEAT_BUF_INIT;
        leat_buf_printf(&create, "CREATE VIEW %s AS %s", name, want != NULL ? want : sql);
        CHECK_OK(leat_conn_exec(w->conn, leat_buf_cstr(&create), &err), &err);
        leat_buf_done(&create);
        stream_fixture_view(w->fx, name, graph);
        w->jobs[w->job_count] = job;
        w->sql[w->job_count] = sql;
        w->job_count++;
}

static struct leat_stream_job *job_find(struct world *w, const char *name)
{
        for (uint32_t i = 0; i < w->job_count; i++)
                if (strcmp(w->jobs[i]->name, name) == 0)
                        return w->jobs[i];
        return NULL;
}

static uint32_t column_index(const char *const *names, uint32_t count, const char *name)
{
        for (uint32_t i = 0; i < count; i++)
                if (strcmp(names[i], name) == 0)
                        return i;
        leat_test_fail(__FILE__, __LINE__, "no column %s", name);
}

void world_tick(struct world *w, struct leat_batch *rows)
{
        struct leat_error err = {0};
        struct leat_tick_run run = {.arena = w->tick_arena, .state = w->state, .tick = ++w->tick};
        for (uint32_t k = 0; k < w->job_count; k++) {
                struct leat_stream_job *job = w->jobs[k];
                for (uint32_t i = 0; i < job->graph->node_count; i++) {
                        const struct leat_node *node = &job->graph->nodes[i];
                        struct leat_slot *slot = leat_stream_job_source(job, i);
                        if (node->op != LEAT_OP_SOURCE)
                                continue;
                        uint32_t *map = leat_arena_alloc(w->tick_arena, (node->name_count + 1) * sizeof *map);
                        leat_delta_clear(&slot->delta);
                        if (node->kind == LEAT_STREAM_TOPIC) {
                                for (uint32_t c = 0; c < node->name_count; c++)
                                        map[c] = column_index(scans_names, 8, node->names[c]);
                                leat_delta_add(&slot->delta, rows, NULL);
                        } else {
                                struct leat_stream_job *view = job_find(w, node->relation);
                                struct leat_batch *out;
                                CHECK_OK(leat_stream_job_out(view, &run, &out, &err), &err);
                                for (uint32_t c = 0; c < node->name_count; c++)
                                        map[c] = column_index(view->graph->output.names,
                                                              view->graph->output.column_count, node->names[c]);
                                leat_delta_add(&slot->delta, out, out->columns[out->column_count - 1].data);
                        }
                        slot->map = map;
                }
                job->next_watermark_us = w->next_watermark_us;
                leat_delta_clear(&job->out);
                if (leat_stream_job_run(job, &run, &err) != 0)
                        leat_test_fail(__FILE__, __LINE__, "%s: %s", w->sql[k], err.message);
        }
        /* the tick as records, and back */
        struct leat_tick tick = {.pipeline = "main",
                                 .incarnation = 7,
                                 .tick = w->tick,
                                 .time_us = 5,
                                 .sections = run.sections,
                                 .section_count = run.section_count,
                                 .expires = run.expires,
                                 .expire_count = run.expire_count};
        struct leat_tick_refused refused[] = {{.object_id = 9, .count = w->tick}, {.view_id = 3, .object_id = 9}};
        tick.refused = refused;
        tick.refused_count = (uint32_t)w->tick % 3;
        struct leat_view *values;
        uint32_t count, sections = 0;
        CHECK_OK(leat_tick_encode(w->tick_arena, &tick, world_random(w, 2) ? 2000 : 0, &values, &count, &err), &err);
        if (w->tick == 5) {
                struct leat_buf seed = LEAT_BUF_INIT;
                for (uint32_t i = 0; i < count; i++) {
                        leat_buf_le16(&seed, (uint16_t)values[i].len);
                        leat_buf_add_view(&seed, values[i]);
                }
                stream_corpus_add("tick", leat_buf_view(&seed));
                leat_buf_done(&seed);
        }
        struct leat_tick_reader *reader = leat_tick_reader_new(w->tick - 1);
        for (uint32_t i = 0; i < count; i++) {
                struct leat_record record = {.offset = i, .value = values[i]};
                const struct leat_tick *got;
                CHECK_OK(leat_tick_reader_feed(reader, &record, &got, &err), &err);
                CHECK((got != NULL) == (i + 1 == count));
                if (got != NULL) {
                        CHECK_INT(got->tick, w->tick);
                        CHECK_INT(got->expire_count, run.expire_count);
                        CHECK_INT(got->refused_count, tick.refused_count);
                        if (got->refused_count != 0)
                                CHECK_INT(got->refused[0].count, w->tick);
                        uint64_t in = 0, back = 0;
                        for (uint32_t s = 0; s < run.section_count; s++)
                                in += run.sections[s].rows->rows;
                        for (uint32_t s = 0; s < got->section_count; s++)
                                back += got->sections[s].rows->rows;
                        CHECK_INT(in, back);
                        sections = got->section_count;
                }
        }
        CHECK_INT(sections + 1, count);
        leat_tick_reader_free(reader);
        leat_tick_run_done(&run);
        free(run.sections);
        free(run.expires);
        free(run.snapshots);
        leat_arena_reset(w->tick_arena);
        if (rows->rows > 0)
                leat_delta_add(&w->scans.delta, rows, NULL);
        w->watermark_us = w->next_watermark_us;
        if (world_random(w, 8) == 0)
                CHECK_OK(leat_state_publish(w->state, w->tick, leat_view_of("x", 1), &err), &err);
        bool more;
        CHECK_OK(leat_state_merge(w->state, 1000, &more, &err), &err);
}

/* ---- comparing -------------------------------------------------------------------------------------- */
static struct leat_batch *query(struct leat_conn *conn, struct leat_arena *arena, const char *sql)
{
        struct leat_plan *plan;
        struct leat_batch *rows;
        struct leat_error err = {0};
        if (leat_plan_prepare(conn, sql, &plan, &err) != 0 || leat_runtime_run(plan, arena, &rows, &err) != 0)
                leat_test_fail(__FILE__, __LINE__, "%s: %s", sql, err.message);
        leat_plan_free(plan);
        return rows;
}

static bool same_value(const struct leat_column *a, const struct leat_column *b, uint32_t row)
{
        if (leat_column_valid(a, row) != leat_column_valid(b, row))
                return false;
        if (!leat_column_valid(a, row))
                return true;
        if (a->type.id != LEAT_T_DOUBLE)
                return leat_column_compare(a, row, b, row) == 0;
        double x = ((const double *)a->data)[row], y = ((const double *)b->data)[row];
        return x == y || fabs(x - y) <= 1e-9 * fmax(fabs(x), fabs(y)) || (fabs(x) < 1e-5 && fabs(y) < 1e-5) ||
               (isnan(x) && isnan(y));
}

static void row_print(const struct leat_batch *batch, uint32_t row, struct leat_buf *out)
{
        for (uint32_t c = 0; c < batch->column_count; c++) {
                leat_buf_add_str(out, c > 0 ? " | " : "");
                if (row >= batch->rows || !leat_column_print(&batch->columns[c], row, out))
                        leat_buf_add_str(out, "NULL");
        }
}

void world_check(struct world *w, uint32_t k)
{
        struct leat_stream_job *job = w->jobs[k];
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_error err = {0};
        struct leat_buf sql = LEAT_BUF_INIT;
        /* the view: arrangement 0 through its read SQL */
        struct leat_slot *slot = w->rt.slots[job->slot_base + job->out_slot];
        struct leat_state_snapshot *snapshot = leat_state_snapshot_take(w->state);
        struct leat_scan *scan;
        const struct leat_batch *chunk;
        const int64_t *weights;
        leat_delta_clear(&slot->delta);
        CHECK_OK(leat_scan_open(snapshot, job->graph->first_arr_id, NULL, 0, &scan, &err), &err);
        for (;;) {
                CHECK_OK(leat_scan_next(scan, &chunk, &weights, &err), &err);
                if (chunk == NULL)
                        break;
                struct leat_batch *copy = leat_batch_copy(arena, chunk);
                for (int64_t n = 1; n <= 1; n++) /* rows of multisets as often as they weigh */
                        leat_delta_add(&slot->delta, copy, NULL);
                if (weights != NULL && job->graph->output.weighted) {
                        for (uint32_t i = 0; i < chunk->rows; i++)
                                for (int64_t n = 1; n < weights[i]; n++)
                                        leat_delta_add(&slot->delta, leat_batch_gather(arena, copy, &i, 1), NULL);
                }
        }
        leat_scan_close(scan);
        char source[64];
        snprintf(source, sizeof source, "leat_scan('%u.%u')", job->slot_base, job->out_slot);
        leat_buf_add_str(&sql, "SELECT * FROM (");
        leat_stream_read_sql(job->graph, source, &sql);
        leat_buf_add_str(&sql, ") ORDER BY ALL");
        struct leat_batch *have = query(w->rt.conn, arena, leat_buf_cstr(&sql));
        leat_buf_clear(&sql);
        leat_buf_printf(&sql, "SELECT * FROM %s ORDER BY ALL", job->name);
        struct leat_batch *want = query(w->conn, arena, leat_buf_cstr(&sql));
        leat_buf_clear(&sql);
        CHECK_INT(have->column_count, want->column_count);
        uint32_t rows = LEAT_MAX(have->rows, want->rows);
        for (uint32_t i = 0; i < rows; i++) {
                bool same = i < have->rows && i < want->rows;
                for (uint32_t c = 0; same && c < have->column_count; c++)
                        same = same_value(&have->columns[c], &want->columns[c], i);
                if (same)
                        continue;
                leat_buf_add_str(&sql, "view  ");
                row_print(have, i, &sql);
                leat_buf_add_str(&sql, "\nbatch ");
                row_print(want, i, &sql);
                leat_test_fail(__FILE__, __LINE__, "%s\ntick %d row %u of %u/%u\n%s", w->sql[k], (int)w->tick, i,
                               have->rows, want->rows, leat_buf_cstr(&sql));
        }
        leat_state_snapshot_unref(snapshot);
        leat_delta_clear(&slot->delta);
        leat_buf_done(&sql);
        leat_arena_free(arena);
}

void world_run(struct world *w, int ticks)
{
        for (int t = 0; t < ticks; t++) {
                world_tick(w, world_rows(w, world_random(w, 5) == 0 ? 0 : world_random(w, 200)));
                for (uint32_t k = 0; k < w->job_count; k++)
                        world_check(w, k);
        }
}
