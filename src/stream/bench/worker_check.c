/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker against a running broker, measured or checked:
 *
 *   worker_check HOST:PORT DIR bench  EVENTS KEYS [VIEW-SQL]   CPU time of the worker for a topic of EVENTS records
 *   worker_check HOST:PORT DIR crash  ROUNDS SEED              kill -9 at random, then every view against its query
 *
 * DIR is fresh; it gets a catalog and the pipeline's state. The broker must be empty.
 */
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "leat/os.h"
#include "../stream_worker.h"

static struct leat_error err;
#define OK(call) \
        do { \
                int rc_ = (call); \
                if (rc_ != 0) { \
                        fprintf(stderr, "%s: %s: %s\n", #call, leat_code_name(rc_), err.message); \
                        exit(1); \
                } \
        } while (0)

static struct leat_addr addr;
static const char *dir;
static uint64_t random_state;

static uint32_t rnd(uint32_t limit)
{
        random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
        return (uint32_t)((random_state >> 33) % limit);
}

/* ---- definitions ------------------------------------------------------------------------- */
static const struct leat_column_def event_columns[] = {{"k", {.id = LEAT_T_VARCHAR}, true},
                                                       {"v", {.id = LEAT_T_INTEGER}, false},
                                                       {"ts", {.id = LEAT_T_TIMESTAMPTZ}, false}};
static const struct leat_column_def name_columns[] = {{"id", {.id = LEAT_T_VARCHAR}, true},
                                                      {"label", {.id = LEAT_T_VARCHAR}, false}};
static const uint32_t name_keys[] = {0};
static struct leat_topic_def events_def = {.format = LEAT_FORMAT_JSON,
                                           .column_count = 3,
                                           .columns = event_columns,
                                           .watermark_column = 2,
                                           .watermark_delay_us = 2000000,
                                           .partitions = 3,
                                           .retention_us = -1,
                                           .retention_bytes = -1,
                                           .idle_timeout_us = 500000,
                                           .max_ahead_us = 60000000};
static struct leat_topic_def names_def = {.format = LEAT_FORMAT_JSON,
                                          .column_count = 2,
                                          .columns = name_columns,
                                          .key_count = 1,
                                          .keys = name_keys,
                                          .watermark_column = -1,
                                          .partitions = 1,
                                          .retention_us = -1,
                                          .retention_bytes = -1,
                                          .idle_timeout_us = 500000,
                                          .max_ahead_us = 60000000};
static uint64_t events_id, names_id, version;

struct binder {
        struct leat_engine *engine;
        struct leat_conn *conn;
        struct leat_arena *arena;
        struct leat_stream_relation relations[32];
        uint32_t count;
};

static void table_add(struct binder *b, struct leat_stream_relation rel)
{
        struct leat_buf sql = LEAT_BUF_INIT;
        leat_buf_printf(&sql, "CREATE TABLE \"%s\" (", rel.name);
        for (uint32_t i = 0; i < rel.column_count; i++) {
                leat_buf_printf(&sql, "%s\"%s\" ", i > 0 ? ", " : "", rel.names[i]);
                leat_type_print(&rel.types[i], &sql);
        }
        leat_buf_add_str(&sql, ")");
        OK(leat_conn_exec(b->conn, leat_buf_cstr(&sql), &err));
        leat_buf_done(&sql);
        b->relations[b->count++] = rel;
}

static void topic_table(struct binder *b, const char *name, const struct leat_topic_def *def, uint64_t id)
{
        const char **names = leat_arena_alloc(b->arena, def->column_count * sizeof *names);
        struct leat_type *types = leat_arena_alloc(b->arena, def->column_count * sizeof *types);
        for (uint32_t i = 0; i < def->column_count; i++) {
                names[i] = def->columns[i].name;
                types[i] = def->columns[i].type;
        }
        table_add(b, (struct leat_stream_relation){.name = name,
                                                   .kind = def->key_count > 0 ? LEAT_STREAM_KEYED : LEAT_STREAM_TOPIC,
                                                   .object_id = id,
                                                   .column_count = def->column_count,
                                                   .names = names,
                                                   .types = types,
                                                   .time_column = def->watermark_column,
                                                   .key_count = def->key_count,
                                                   .keys = def->keys});
}

static void binder_open(struct binder *b)
{
        struct leat_engine_options options = {.bind_only = true};
        b->arena = leat_arena_new(0);
        OK(leat_engine_open(&options, &b->engine, &err));
        OK(leat_conn_open(b->engine, NULL, NULL, &b->conn, &err));
        topic_table(b, "events", &events_def, events_id);
        topic_table(b, "names", &names_def, names_id);
}

static void topic_make(struct leat_feed *feed, struct leat_catalog *catalog, const char *name,
                       struct leat_topic_def *def, uint64_t *ret_id)
{
        struct leat_topic_id id;
        struct leat_object object = {
                .kind = LEAT_OBJECT_TOPIC, .state = LEAT_STATE_READY, .name = name, .sql = "", .topic = def};
        OK(leat_feed_topic_create(feed, name, def->partitions, NULL, 0, &id, &err));
        memcpy(def->topic_id, id.bytes, 16);
        OK(leat_catalog_begin(catalog, &err));
        OK(leat_catalog_put(catalog, &object, ret_id, &err));
        OK(leat_catalog_commit(catalog, &version, &err));
}

static uint64_t view_make(struct leat_catalog *catalog, struct binder *b, const char *name, const char *sql,
                          const struct leat_stream_options *options)
{
        struct leat_stream_graph *graph;
        struct leat_buf json = LEAT_BUF_INIT, bytes = LEAT_BUF_INIT;
        uint64_t first, id;
        OK(leat_conn_text(b->conn, "SELECT json_serialize_plan($1::VARCHAR)", &sql, 1, &json, &err));
        OK(leat_stream_compile(b->arena, leat_buf_view(&json), b->relations, b->count, options, &graph, &err));
        OK(leat_catalog_arrangement_ids(catalog, leat_stream_arr_count(graph), &first, &err));
        leat_stream_arr_assign(graph, first);
        leat_stream_graph_encode(graph, &bytes);
        const struct leat_stream_output *out = leat_stream_output(graph);
        struct leat_column_def *columns = leat_arena_zalloc(b->arena, out->column_count * sizeof *columns);
        for (uint32_t i = 0; i < out->column_count; i++)
                columns[i] = (struct leat_column_def){.name = out->names[i], .type = out->types[i]};
        struct leat_view_def def = {.column_count = out->column_count,
                                    .columns = columns,
                                    .body = leat_view_str(sql),
                                    .pipeline = "main",
                                    .emit = LEAT_EMIT_CHANGES,
                                    .late = LEAT_LATE_APPLY,
                                    .start = LEAT_START_EARLIEST,
                                    .retention_us = -1,
                                    .max_state_bytes = -1,
                                    .graph = leat_buf_view(&bytes)};
        struct leat_object object = {
                .kind = LEAT_OBJECT_MATVIEW, .state = LEAT_STATE_READY, .name = name, .sql = sql, .view = &def};
        OK(leat_catalog_begin(catalog, &err));
        OK(leat_catalog_put(catalog, &object, &id, &err));
        OK(leat_catalog_commit(catalog, &version, &err));
        table_add(b, (struct leat_stream_relation){.name = leat_arena_strdup(b->arena, name),
                                                   .kind = LEAT_STREAM_VIEW,
                                                   .object_id = id,
                                                   .column_count = out->column_count,
                                                   .names = out->names,
                                                   .types = out->types,
                                                   .time_column = -1,
                                                   .graph = graph});
        leat_buf_done(&json);
        leat_buf_done(&bytes);
        return id;
}

/* ---- the worker as a process ---------------------------------------------------------------- */
static _Atomic bool stop;
static void on_term(int signo)
{
        (void)signo;
        atomic_store(&stop, true);
}

static pid_t worker_start(void)
{
        pid_t pid = fork();
        if (pid != 0)
                return pid;
        signal(SIGTERM, on_term);
        leat_diag_init("worker", getenv("LEAT_DIAG") != NULL ? LEAT_DIAG_INFO : LEAT_DIAG_WARN);
        struct leat_worker_options options = {.data_dir = dir, .kafka = addr, .pipeline = "main", .stop = &stop};
        int rc = leat_worker_run(&options, &err);
        if (rc != 0)
                fprintf(stderr, "worker: %s: %s\n", leat_code_name(rc), err.message);
        _exit(rc != 0);
}

/* ---- following the ticks ------------------------------------------------------------------------ */
struct follow {
        struct leat_feed *feed;
        struct leat_feed_reader *reader;
        struct leat_tick_reader *ticks;
        int64_t tick, at, late;
        int64_t positions; /* sum over the event topic's partitions */
        uint32_t running;
};

static void follow_open(struct follow *f, struct leat_feed *feed)
{
        struct leat_feed_topic topic;
        while (leat_feed_topic(feed, "__leat_ticks_main", &topic, &err) != 0)
                leat_os_sleep_us(10000);
        OK(leat_feed_reader_open(feed, &f->reader, &err));
        f->feed = feed;
        f->ticks = leat_tick_reader_new(0);
        OK(leat_feed_reader_add(f->reader, &topic, 0, 0, 0, &err));
}

static void follow_once(struct follow *f, int64_t timeout_us)
{
        const struct leat_feed_batch *batches;
        uint32_t count, tag;
        int32_t partition;
        int rc = leat_feed_poll(f->reader, timeout_us, 8 << 20, &batches, &count, &tag, &partition, &err);
        if (rc == LEAT_ERANGE) { /* trimmed: go on at its new start */
                int64_t begin;
                struct leat_feed_topic topic;
                leat_tick_reader_free(f->ticks);
                f->ticks = leat_tick_reader_new(0);
                OK(leat_feed_topic(f->feed, "__leat_ticks_main", &topic, &err));
                OK(leat_feed_offsets(f->feed, topic.name, LEAT_FEED_EARLIEST, &begin, 1, &err));
                OK(leat_feed_reader_add(f->reader, &topic, 0, begin, 0, &err));
                return;
        }
        OK(rc);
        for (uint32_t b = 0; b < count; b++)
                for (uint32_t i = 0; i < batches[b].record_count; i++) {
                        const struct leat_tick *tick;
                        OK(leat_tick_reader_feed(f->ticks, &batches[b].records[i], &tick, &err));
                        if (tick == NULL)
                                continue;
                        f->tick = tick->tick;
                        f->positions = 0;
                        f->running = 0;
                        for (uint32_t p = 0; p < tick->position_count; p++)
                                if (memcmp(tick->positions[p].topic.bytes, events_def.topic_id, 16) == 0)
                                        f->positions += tick->positions[p].offset;
                        for (uint32_t j = 0; j < tick->job_count; j++)
                                f->running += tick->jobs[j].state == LEAT_TICK_RUNNING;
                }
}

/* ---- bench --------------------------------------------------------------------------------------- */
static void produce(struct leat_feed_writer *writer, uint64_t events, uint32_t keys, int64_t base_us,
                    uint32_t spread_us)
{
        enum { BATCH = 2000 };
        static struct leat_record records[BATCH];
        static char texts[BATCH][200];
        for (uint64_t done = 0; done < events;) {
                uint32_t count = (uint32_t)LEAT_MIN(events - done, BATCH);
                for (uint32_t i = 0; i < count; i++) {
                        char time_text[LEAT_TIME_TEXT_MAX];
                        leat_time_format(base_us + rnd(spread_us + 1) - spread_us / 2, time_text);
                        int len = snprintf(texts[i], sizeof texts[i], "{\"k\":\"key-%06u\",\"v\":%u,\"ts\":\"%s\"}",
                                           rnd(keys), rnd(1000), time_text);
                        records[i] = (struct leat_record){.value = leat_view_of(texts[i], (size_t)len)};
                }
                OK(leat_feed_send(writer, "events", (int32_t)rnd(3), records, count, 0, NULL, NULL, &err));
                done += count;
        }
}

static int bench(int argc, char **argv)
{
        uint64_t events = strtoull(argv[0], NULL, 10);
        uint32_t keys = (uint32_t)strtoul(argv[1], NULL, 10);
        const char *sql = argc > 2 ? argv[2] : "SELECT k, count(*) AS n FROM events GROUP BY k";
        struct leat_feed *feed;
        struct leat_feed_writer *writer;
        struct leat_catalog *catalog;
        struct binder b = {0};
        struct follow f = {0};
        char path[4096];
        struct rusage usage;
        random_state = 7;
        snprintf(path, sizeof path, "%s/catalog.db", dir);
        OK(leat_catalog_open(path, &catalog, &err));
        OK(leat_feed_open(&addr, "check", &feed, &err));
        OK(leat_feed_writer_open(feed, &writer, &err));
        topic_make(feed, catalog, "events", &events_def, &events_id);
        topic_make(feed, catalog, "names", &names_def, &names_id);
        binder_open(&b);
        produce(writer, events, keys, leat_os_now_us(), 60000000);
        OK(leat_feed_flush(writer, 60000000, &err));
        view_make(catalog, &b, "v", sql, NULL);
        int64_t begun = leat_os_monotonic_us();
        pid_t pid = worker_start();
        follow_open(&f, feed);
        while (f.positions < (int64_t)events || f.running < 1)
                follow_once(&f, 100000);
        int64_t wall = leat_os_monotonic_us() - begun;
        kill(pid, SIGTERM);
        waitpid(pid, NULL, 0);
        getrusage(RUSAGE_CHILDREN, &usage);
        double cpu = (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec +
                     (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
        printf("events %" PRIu64 " keys %u wall %.2f s worker cpu %.2f s: %.0f thousand events a CPU-second; %" PRId64
               " ticks, rss %ld MB\n",
               events, keys, (double)wall / 1e6, cpu, (double)events / cpu / 1e3, f.tick, usage.ru_maxrss / 1024);
        return 0;
}

/* ---- crash -------------------------------------------------------------------------------------------- */
struct check_view {
        const char *name, *sql, *oracle; /* NULL: the same */
};
static const struct check_view check_views[] = {
        {"a", "SELECT k, count(*) AS n, sum(v) AS s, min(v) AS mi, max(v) AS ma, count(DISTINCT v % 7) AS d FROM "
              "events GROUP BY k"},
        {"b", "SELECT k, window_start, count(*) AS n FROM (SELECT *, leat_window_start(ts, INTERVAL '10 seconds') AS "
              "window_start FROM "
              "events) WHERE v > 100 GROUP BY ALL"},
        {"c", "SELECT n % 5 AS m, count(*) AS c, max(n) AS x, min(s) AS y FROM a GROUP BY 1"},
        {"d", "SELECT window_start, count(*) AS n, max(k) AS m FROM (SELECT k, unnest(leat_hop_starts(ts, INTERVAL '5 "
              "seconds', "
              "INTERVAL '20 seconds')) AS window_start FROM events) GROUP BY ALL"},
        {"e", "SELECT DISTINCT k, v % 3 AS m FROM events WHERE v IS NOT NULL"},
        {"f",
         "SELECT n.label, count(*) AS c, sum(e.v) AS s FROM events e LEFT JOIN names n ON e.k = n.id GROUP BY ALL"},
        {"g", "SELECT count(*) AS c, sum(v) AS s FROM events"},
        {"h", "SELECT sum(n) AS s, max(window_start) AS m FROM b"},
        {"i", "SELECT label, count(*) AS c FROM names GROUP BY label"},
        {"j", "SELECT CAST(substring(k, 5) AS INTEGER) % 10 AS m, count(*) AS c FROM events GROUP BY 1",
         "SELECT CAST(substring(k, 5) AS INTEGER) % 10 AS m, count(*) AS c FROM events WHERE k <> 'key-none' GROUP BY "
         "1"},
};

static void names_produce(struct leat_feed_writer *writer, uint32_t count)
{
        for (uint32_t i = 0; i < count; i++) {
                char key[64], value[64];
                int k = snprintf(key, sizeof key, "key-%06u", i * 3),
                    v = snprintf(value, sizeof value, "{\"label\":\"l%u\"}", i % 4);
                struct leat_record record = {.key = leat_view_of(key, (size_t)k),
                                             .value = leat_view_of(value, (size_t)v)};
                OK(leat_feed_send(writer, "names", 0, &record, 1, 0, NULL, NULL, &err));
        }
}

/* Every record of a topic, decoded as the worker does it. */
static void topic_read(struct leat_feed *feed, const char *name, const struct leat_topic_def *def,
                       const char *const *names, uint32_t count, struct leat_arena *arena, struct leat_slot *slot)
{
        struct leat_feed_reader *reader;
        struct leat_feed_topic topic;
        struct leat_format *format;
        int64_t ends[16];
        OK(leat_feed_topic(feed, name, &topic, &err));
        OK(leat_feed_offsets(feed, name, LEAT_FEED_LATEST, ends, topic.partitions, &err));
        OK(leat_feed_reader_open(feed, &reader, &err));
        OK(leat_format_open(def, names, count, &format, &err));
        for (int32_t p = 0; p < topic.partitions; p++)
                OK(leat_feed_reader_add(reader, &topic, p, 0, 0, &err));
        int64_t left = 0;
        for (int32_t p = 0; p < topic.partitions; p++)
                left += ends[p];
        while (left > 0) {
                const struct leat_feed_batch *batches;
                uint32_t got, tag;
                int32_t partition;
                OK(leat_feed_poll(reader, 1000000, 8 << 20, &batches, &got, &tag, &partition, &err));
                leat_format_reset(format);
                for (uint32_t b = 0; b < got; b++) {
                        leat_format_decode(format, batches[b].records, batches[b].record_count);
                        left -= batches[b].next_offset - batches[b].base_offset;
                }
                struct leat_format_rows rows;
                leat_format_rows(format, &rows);
                leat_delta_add(&slot->delta, leat_batch_copy(arena, rows.batch), NULL);
        }
        slot->column_count = count;
        slot->types = leat_arena_zalloc(arena, count * sizeof *slot->types);
        for (uint32_t i = 0; i < count; i++)
                slot->types[i] = leat_type_copy(arena, leat_format_type(format, i));
        leat_format_close(format);
        leat_feed_reader_close(reader);
}

static void state_read(struct leat_state *state, const struct leat_stream_graph *graph, struct leat_arena *arena,
                       struct leat_slot *slot)
{
        struct leat_arr_def def = leat_stream_arr_def(graph, 0);
        struct leat_state_snapshot *snapshot;
        struct leat_scan *scan;
        const struct leat_batch *chunk;
        const int64_t *weights;
        OK(leat_state_define(state, &def, &err));
        snapshot = leat_state_snapshot_take(state);
        OK(leat_scan_open(snapshot, def.id, NULL, 0, &scan, &err));
        for (;;) {
                OK(leat_scan_next(scan, &chunk, &weights, &err));
                if (chunk == NULL)
                        break;
                leat_delta_add(&slot->delta, leat_batch_copy(arena, chunk), NULL);
        }
        slot->column_count = def.column_count;
        slot->types = leat_arena_zalloc(arena, def.column_count * sizeof *slot->types);
        for (uint32_t i = 0; i < def.column_count; i++)
                slot->types[i] = leat_type_copy(arena, &def.types[i]);
        leat_scan_close(scan);
        leat_state_snapshot_unref(snapshot);
}

static int64_t number(struct leat_runtime *rt, struct leat_arena *arena, const char *sql)
{
        struct leat_plan *plan;
        struct leat_batch *rows;
        OK(leat_plan_prepare(rt->conn, sql, &plan, &err));
        OK(leat_runtime_run(plan, arena, &rows, &err));
        leat_plan_free(plan);
        return ((const int64_t *)rows->columns[0].data)[0];
}

/* Every view against its query over all records. */
static int views_compare(struct leat_feed *feed, struct binder *b, uint32_t view_count)
{
        static const char *const columns[] = {"k", "v", "ts"}, *const name_names[] = {"id", "label"};
        struct leat_runtime rt;
        struct leat_state *state;
        struct leat_buf extra = LEAT_BUF_INIT;
        struct leat_arena *arena = leat_arena_new(1 << 20);
        int64_t tick;
        char path[4096];
        int bad = 0;
        OK(leat_runtime_open(&rt, 0, &err));
        leat_worker_state_dir(dir, "main", path);
        struct leat_state_options options = {.role = LEAT_STATE_READER, .dir = path};
        OK(leat_state_open(&options, &state, &tick, &extra, &err));
        leat_runtime_slots(&rt, 40);
        topic_read(feed, "events", &events_def, columns, 3, arena, rt.slots[0]);
        topic_read(feed, "names", &names_def, name_names, 2, arena, rt.slots[1]);
        OK(leat_conn_exec(rt.conn, "CREATE VIEW events AS SELECT c0 AS k, c1 AS v, c2 AS ts FROM leat_scan('0.0')",
                          &err));
        OK(leat_conn_exec(rt.conn, "CREATE VIEW names AS SELECT c0 AS id, c1 AS label FROM leat_scan('0.1')", &err));
        for (uint32_t i = 0; i < view_count; i++) {
                const struct leat_stream_graph *graph = b->relations[2 + i].graph;
                struct leat_buf sql = LEAT_BUF_INIT;
                char source[64];
                state_read(state, graph, arena, rt.slots[2 + i]);
                snprintf(source, sizeof source, "leat_scan('0.%u')", 2 + i);
                leat_buf_printf(&sql, "CREATE VIEW %s AS %s", check_views[i].name,
                                check_views[i].oracle != NULL ? check_views[i].oracle : check_views[i].sql);
                OK(leat_conn_exec(rt.conn, leat_buf_cstr(&sql), &err));
                leat_buf_clear(&sql);
                leat_buf_add_str(&sql, "SELECT count(*) FROM ((SELECT * FROM (");
                leat_stream_read_sql(graph, source, &sql);
                leat_buf_printf(&sql,
                                ") EXCEPT ALL SELECT * FROM %s) UNION ALL (SELECT * FROM %s EXCEPT ALL SELECT * FROM (",
                                check_views[i].name, check_views[i].name);
                leat_stream_read_sql(graph, source, &sql);
                leat_buf_add_str(&sql, ")))");
                int64_t differences = number(&rt, arena, leat_buf_cstr(&sql));
                leat_buf_clear(&sql);
                leat_buf_printf(&sql, "SELECT count(*) FROM %s", check_views[i].name);
                printf("view %s: %" PRId64 " rows, %" PRId64 " differences\n", check_views[i].name,
                       number(&rt, arena, leat_buf_cstr(&sql)), differences);
                bad |= differences != 0;
                leat_buf_done(&sql);
        }
        leat_state_close(state);
        leat_runtime_close(&rt);
        leat_arena_free(arena);
        leat_buf_done(&extra);
        return bad;
}

static int crash(int argc, char **argv)
{
        int rounds = atoi(argv[0]);
        uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1, produced = 0;
        struct leat_feed *feed, *reading;
        struct leat_feed_writer *writer;
        struct leat_catalog *catalog;
        struct binder b = {0};
        struct follow f = {0};
        uint32_t views = 0, kills = 0;
        char path[4096];
        random_state = seed;
        /* small ticks and many manifests: more places to die in */
        OK(leat_param_set("worker.tick.records", "3000", &err));
        OK(leat_param_set("worker.manifest.interval", "150 ms", &err));
        snprintf(path, sizeof path, "%s/catalog.db", dir);
        OK(leat_catalog_open(path, &catalog, &err));
        OK(leat_feed_open(&addr, "check", &feed, &err));
        OK(leat_feed_open(&addr, "check-ticks", &reading, &err));
        OK(leat_feed_writer_open(feed, &writer, &err));
        topic_make(feed, catalog, "events", &events_def, &events_id);
        topic_make(feed, catalog, "names", &names_def, &names_id);
        binder_open(&b);
        names_produce(writer, 20);
        pid_t pid = worker_start();
        follow_open(&f, reading);
        for (int round = 0; round < rounds; round++) {
                uint32_t events = rnd(4) == 0 ? rnd(60000) : rnd(2000);
                produce(writer, events, 100, leat_os_now_us(), 30000000);
                produced += events;
                if (rnd(4) == 0) { /* fits the columns, but not view j's cast */
                        struct leat_record record = {.value = leat_view_str("{\"k\":\"key-none\",\"v\":3}")};
                        OK(leat_feed_send(writer, "events", (int32_t)rnd(3), &record, 1, 0, NULL, NULL, &err));
                        produced++;
                }
                if (rnd(6) == 0) { /* what fits no column steps aside */
                        struct leat_record record = {.value = leat_view_str("{\"k\":1.5e999,\"v\":\"x\"}")};
                        OK(leat_feed_send(writer, "events", 0, &record, 1, 0, NULL, NULL, &err));
                        produced++;
                }
                OK(leat_feed_flush(writer, 60000000, &err));
                if (views < LEAT_ARRAY_LEN(check_views) && rnd(3) == 0) {
                        view_make(catalog, &b, check_views[views].name, check_views[views].sql, NULL);
                        views++;
                }
                leat_os_sleep_us(rnd(3) == 0 ? rnd(300000) : rnd(30000));
                follow_once(&f, 0);
                if (rnd(5) == 0) {
                        kill(pid, SIGKILL);
                        waitpid(pid, NULL, 0);
                        kills++;
                        pid = worker_start();
                }
        }
        for (; views < LEAT_ARRAY_LEN(check_views); views++)
                view_make(catalog, &b, check_views[views].name, check_views[views].sql, NULL);
        int64_t give_up = leat_os_monotonic_us() + 60000000;
        while ((f.positions < (int64_t)produced || f.running < views) && leat_os_monotonic_us() < give_up)
                follow_once(&f, 100000);
        kill(pid, SIGTERM);
        int status;
        waitpid(pid, &status, 0);
        printf("seed %" PRIu64 ": %d rounds, %u kills, %" PRIu64 " records, %" PRId64
               " ticks, %u of %u views run, worker ends with %d\n",
               seed, rounds, kills, produced, f.tick, f.running, views, status);
        return views_compare(feed, &b, views) || status != 0 || f.running < views;
}

int main(int argc, char **argv)
{
        if (argc < 6) {
                fprintf(stderr, "usage: %s HOST:PORT DIR bench EVENTS KEYS [SQL] | crash ROUNDS SEED\n", argv[0]);
                return 2;
        }
        OK(leat_os_addr_parse(argv[1], &addr, &err));
        dir = argv[2];
        OK(leat_os_mkdirs(dir, &err));
        int rc = 2;
        if (strcmp(argv[3], "bench") == 0)
                rc = bench(argc - 4, argv + 4);
        if (strcmp(argv[3], "crash") == 0)
                rc = crash(argc - 4, argv + 4);
        fflush(stdout);
        _exit(rc); /* what is open goes with the process */
}
