/* SPDX-License-Identifier: Apache-2.0 */
/* leat/engine: leat_scan: columns of every type, projection, errors, interrupt, LIMIT, reading anew at each run. */
#include <pthread.h>
#include <unistd.h>

#include "engine_int.h"
#include "leat/engine.h"
#include "leat/test.h"

#define COLUMNS_MAX 8

/* A relation in memory. Key "t" is its batch; "none" is missing; "fail" fails at next; "endless" never ends. */
struct memory {
        const char **names;
        struct leat_type *types;
        struct leat_batch *batch;
        uint32_t slice; /* rows a batch handed out */
        uint32_t asked[COLUMNS_MAX], asked_count;
        int open_scans, opens;
};

struct memory_scan {
        struct memory *memory;
        uint32_t at;
        bool fails, endless;
        struct leat_batch batch;
        struct leat_column columns[COLUMNS_MAX];
        uint32_t column[COLUMNS_MAX];
        struct leat_arena *arena;
};

static int memory_describe(void *arg, const char *key, struct leat_arena *arena, uint32_t *ret_count,
                           const char ***ret_names, struct leat_type **ret_types, struct leat_error *err)
{
        struct memory *m = arg;
        (void)arena;
        if (strcmp(key, "none") == 0) {
                leat_error_set(err, LEAT_ENORELATION, "relation \"none\" does not exist");
                leat_error_hint(err, "Try another.");
                err->position = 42;
                return LEAT_ENORELATION;
        }
        *ret_count = m->batch->column_count;
        *ret_names = m->names;
        *ret_types = m->types;
        return 0;
}

static int memory_open(void *arg, const char *key, const uint32_t *columns, uint32_t count, void **ret_scan,
                       struct leat_error *err)
{
        struct memory *m = arg;
        if (strcmp(key, "closed") == 0)
                return leat_error_set(err, LEAT_EBUSY, "not now");
        struct memory_scan *scan = leat_calloc(1, sizeof *scan);
        scan->memory = m;
        scan->fails = strcmp(key, "fail") == 0;
        scan->endless = strcmp(key, "endless") == 0;
        scan->arena = leat_arena_new(0);
        memcpy(m->asked, columns, count * sizeof *columns);
        memcpy(scan->column, columns, count * sizeof *columns);
        m->asked_count = scan->batch.column_count = count;
        m->open_scans++;
        m->opens++;
        *ret_scan = scan;
        return 0;
}

static int memory_next(void *arg, const struct leat_batch **ret_batch, struct leat_error *err)
{
        struct memory_scan *scan = arg;
        struct memory *m = scan->memory;
        if (scan->fails && scan->at != 0) {
                leat_error_set(err, LEAT_EIO, "disk gone at row %u", scan->at);
                leat_error_hint(err, "Replace the disk.");
                err->retriable = true;
                return LEAT_EIO;
        }
        if (scan->endless)
                scan->at = 0;
        uint32_t rows = LEAT_MIN(m->slice, m->batch->rows - scan->at);
        if (rows == 0) {
                *ret_batch = NULL;
                return 0;
        }
        /* The slice is a batch of its own, as real relations give them; only what was asked for. */
        uint32_t *index = leat_arena_alloc(scan->arena, rows * sizeof *index);
        for (uint32_t i = 0; i < rows; i++)
                index[i] = scan->at + i;
        if (scan->endless)
                leat_arena_reset(scan->arena), index = NULL;
        struct leat_batch *slice = index != NULL ? leat_batch_gather(scan->arena, m->batch, index, rows) : m->batch;
        for (uint32_t i = 0; i < scan->batch.column_count; i++)
                scan->columns[i] = slice->columns[scan->column[i]];
        scan->batch.columns = scan->columns;
        scan->batch.rows = rows;
        scan->at += rows;
        *ret_batch = &scan->batch;
        return 0;
}

static void memory_close(void *arg)
{
        struct memory_scan *scan = arg;
        scan->memory->open_scans--;
        leat_arena_free(scan->arena);
        free(scan);
}

static const struct leat_relation_ops memory_ops = {memory_describe, memory_open, memory_next, memory_close};

struct fixture {
        struct leat_engine *engine;
        struct leat_conn *conn;
        struct leat_error err;
        struct memory memory;
        struct leat_arena *arena;
};

static void open_fixture(struct fixture *f)
{
        memset(f, 0, sizeof *f);
        f->arena = leat_arena_new(0);
        f->memory.slice = 1000;
        CHECK_OK(leat_engine_open(NULL, &f->engine, &f->err), &f->err);
        CHECK_OK(leat_conn_open(f->engine, &memory_ops, &f->memory, &f->conn, &f->err), &f->err);
}

static void close_fixture(struct fixture *f)
{
        CHECK_INT(f->memory.open_scans, 0);
        leat_conn_close(f->conn);
        leat_engine_close(f->engine);
        leat_arena_free(f->arena);
}

/* Fills the relation with the rows of a statement. */
static void load(struct fixture *f, const char *sql)
{
        struct leat_plan *plan;
        struct leat_result *result;
        const struct leat_batch *batch;
        CHECK_OK(leat_plan_prepare(f->conn, sql, &plan, &f->err), &f->err);
        uint32_t count = leat_plan_column_count(plan);
        f->memory.names = leat_arena_alloc(f->arena, count * sizeof *f->memory.names);
        f->memory.types = leat_arena_alloc(f->arena, count * sizeof *f->memory.types);
        for (uint32_t i = 0; i < count; i++) {
                struct leat_type type = leat_plan_column_type(plan, i);
                f->memory.names[i] = leat_arena_strdup(f->arena, leat_plan_column_name(plan, i));
                f->memory.types[i] = leat_type_copy(f->arena, &type);
        }
        f->memory.batch = leat_batch_new(f->arena, f->memory.types, count, 100000);
        CHECK_OK(leat_plan_run(plan, true, &result, &f->err), &f->err);
        for (;;) {
                CHECK_OK(leat_result_next(result, &batch, &f->err), &f->err);
                if (batch == NULL)
                        break;
                leat_batch_append(f->arena, f->memory.batch, batch, 0, batch->rows);
        }
        leat_result_free(result);
        leat_plan_free(plan);
}

static const char *query(struct fixture *f, const char *sql, bool stream, struct leat_buf *out)
{
        struct leat_plan *plan;
        struct leat_result *result;
        const struct leat_batch *batch;
        leat_buf_clear(out);
        CHECK_OK(leat_plan_prepare(f->conn, sql, &plan, &f->err), &f->err);
        CHECK_OK(leat_plan_run(plan, stream, &result, &f->err), &f->err);
        for (;;) {
                CHECK_OK(leat_result_next(result, &batch, &f->err), &f->err);
                if (batch == NULL)
                        break;
                for (uint32_t r = 0; r < batch->rows; r++) {
                        if (out->len != 0)
                                leat_buf_u8(out, '\n');
                        for (uint32_t c = 0; c < batch->column_count; c++) {
                                if (c != 0)
                                        leat_buf_u8(out, '|');
                                if (!leat_column_print(&batch->columns[c], r, out))
                                        leat_buf_add_str(out, "\\N");
                        }
                }
        }
        leat_result_free(result);
        leat_plan_free(plan);
        return leat_buf_cstr(out);
}

/* Everything that goes through leat_scan comes out as DuckDB has it: sums of hashes over rows of all types. */
LEAT_TEST(scan_all_types)
{
        static const char *const columns[] = {
                "i % 2 = 0",
                "i % 100 - 50",
                "(i * 7)::hugeint * 1000000000000000000",
                "(i % 255)::utinyint",
                "i / 7.0",
                "(i / 8)::float",
                "(i % 99 / 100.0)::decimal(4,2)",
                "(i / 100.0)::decimal(9,2)",
                "(i / 100.0)::decimal(18,2)",
                "(i / 100.0)::decimal(38,2)",
                "repeat(chr((65 + i % 26)::int), (i % 40)::int)",
                "repeat('\\xFF', (i % 20)::int)::blob",
                "date '2020-01-01' + (i % 1000)::int",
                "to_timestamp(i)",
                "to_timestamp(i)::timestamp",
                "to_timestamp(i)::timestamp::time",
                "to_days(i::int) + to_microseconds(i)",
                "md5(i::varchar)::uuid",
                "range(i % 5)",
                "list_transform(range(i % 4), x -> repeat('el', (x * 5)::int))",
                "list_transform(range(i % 3), x -> range(x))",
                "{'a': i, 'b': repeat('s', (i % 30)::int), 'c': [i]}",
                "map([i, i + 1], ['x', NULL])",
                "i::uhugeint",
                "CASE WHEN i < 0 THEN 1 END",
                ("list_transform(range(CASE WHEN i % 500 = 0 THEN 3000 ELSE 0 END), x -> CASE WHEN x % 3 = 0 THEN NULL "
                 "ELSE x END)"),
        };
        struct leat_buf sql = LEAT_BUF_INIT, want = LEAT_BUF_INIT, got = LEAT_BUF_INIT;
        struct fixture f;
        open_fixture(&f);
        for (size_t i = 0; i < LEAT_ARRAY_LEN(columns); i++) {
                leat_buf_clear(&sql);
                leat_buf_printf(&sql, "SELECT i, CASE WHEN i %% 11 <> 3 THEN %s END AS v FROM range(7000) t(i)",
                                columns[i]);
                leat_buf_cstr(&sql);
                load(&f, (const char *)sql.data);
                struct leat_buf text = LEAT_BUF_INIT;
                leat_buf_printf(&text, "SELECT sum(hash(i, v)), count(v) FROM (%s)", (const char *)sql.data);
                query(&f, leat_buf_cstr(&text), false, &want);
                leat_buf_done(&text);
                f.memory.slice = 100000; /* one batch: offsets into it; then odd slices */
                CHECK_STR(query(&f, "SELECT sum(hash(i, v)), count(v) FROM leat_scan('t')", false, &got),
                          leat_buf_cstr(&want));
                f.memory.slice = 777;
                CHECK_STR(query(&f, "SELECT sum(hash(i, v)), count(v) FROM leat_scan('t')", true, &got),
                          leat_buf_cstr(&want));
        }
        leat_buf_done(&sql);
        leat_buf_done(&want);
        leat_buf_done(&got);
        close_fixture(&f);
}

LEAT_TEST(scan_projection)
{
        struct fixture f;
        struct leat_buf out = LEAT_BUF_INIT;
        open_fixture(&f);
        load(&f, "SELECT i AS a, i * 2 AS b, 'text number ' || i AS c FROM range(5000) t(i)");
        CHECK_STR(query(&f, "SELECT count(*) FROM leat_scan('t')", false, &out), "5000");
        CHECK(f.memory.asked_count <= 1);
        CHECK_STR(query(&f, "SELECT sum(b) FROM leat_scan('t') WHERE c = 'text number 17'", false, &out), "34");
        CHECK_INT(f.memory.asked_count, 2);
        CHECK_STR(query(&f, "SELECT c, a FROM leat_scan('t') ORDER BY a DESC LIMIT 2", false, &out),
                  "text number 4999|4999\ntext number 4998|4998");
        CHECK_STR(query(&f, "SELECT max(c), min(c), count(DISTINCT c) FROM leat_scan('t')", false, &out),
                  "text number 999|text number 0|5000");
        CHECK_STR(query(&f, "SELECT count(*) FROM leat_scan('t') x JOIN leat_scan('t') y ON x.a = y.b", false, &out),
                  "2500");
        leat_buf_done(&out);
        close_fixture(&f);
}

/* Long strings are borrowed from the scan: results that flow straight through must still be right. */
LEAT_TEST(scan_streams_strings)
{
        struct fixture f;
        struct leat_buf out = LEAT_BUF_INIT, want = LEAT_BUF_INIT;
        open_fixture(&f);
        load(&f, "SELECT i AS a, 'a rather long text for row ' || i AS c FROM range(10000) t(i)");
        f.memory.slice = 500;
        for (int i = 0; i < 10000; i++)
                if (i % 3 == 0)
                        leat_buf_printf(&want, "%sa rather long text for row %d", want.len != 0 ? "\n" : "", i);
        leat_buf_cstr(&want);
        for (int stream = 0; stream < 2; stream++)
                CHECK_STR(query(&f, "SELECT c FROM leat_scan('t') WHERE a % 3 = 0", stream, &out),
                          (const char *)want.data);
        leat_buf_done(&out);
        leat_buf_done(&want);
        close_fixture(&f);
}

LEAT_TEST(scan_reads_anew_at_each_run)
{
        struct fixture f;
        open_fixture(&f);
        load(&f, "SELECT i AS a FROM range(10) t(i)");
        struct leat_plan *plan;
        CHECK_OK(leat_plan_prepare(f.conn, "SELECT count(*), sum(a) FROM leat_scan('t')", &plan, &f.err), &f.err);
        for (uint32_t run = 1; run <= 10; run++) {
                struct leat_result *result;
                const struct leat_batch *batch;
                f.memory.batch->rows = run;
                CHECK_OK(leat_plan_run(plan, false, &result, &f.err), &f.err);
                CHECK_INT(f.memory.open_scans, 0);
                CHECK_OK(leat_result_next(result, &batch, &f.err), &f.err);
                CHECK_INT(((int64_t *)batch->columns[0].data)[0], run);
                leat_result_free(result);
        }
        CHECK_INT(f.memory.opens, 10);
        leat_plan_free(plan);
        close_fixture(&f);
}

LEAT_TEST(scan_errors_come_back_as_they_were)
{
        struct fixture f;
        struct leat_plan *plan;
        struct leat_result *result;
        const struct leat_batch *batch;
        open_fixture(&f);
        load(&f, "SELECT i AS a FROM range(5000) t(i)");
        CHECK_INT(leat_plan_prepare(f.conn, "SELECT * FROM leat_scan('none')", &plan, &f.err), LEAT_ENORELATION);
        CHECK_STR(f.err.message, "relation \"none\" does not exist");
        CHECK_STR(f.err.hint, "Try another.");
        CHECK_INT(f.err.position, 42);

        CHECK_OK(leat_plan_prepare(f.conn, "SELECT * FROM leat_scan('closed')", &plan, &f.err), &f.err);
        for (int stream = 0; stream < 2; stream++) {
                int rc = leat_plan_run(plan, stream, &result, &f.err);
                if (rc == 0) {
                        rc = leat_result_next(result, &batch, &f.err);
                        leat_result_free(result);
                }
                CHECK_INT(rc, LEAT_EBUSY);
                CHECK_STR(f.err.message, "not now");
        }
        leat_plan_free(plan);

        CHECK_OK(leat_plan_prepare(f.conn, "SELECT * FROM leat_scan('fail')", &plan, &f.err), &f.err);
        CHECK_INT(leat_plan_run(plan, false, &result, &f.err), LEAT_EIO);
        CHECK_STR(f.err.message, "disk gone at row 1000");
        CHECK_STR(f.err.hint, "Replace the disk.");
        CHECK(f.err.retriable);
        result = NULL; /* a streaming result may fail at once or later */
        int rc = leat_plan_run(plan, true, &result, &f.err);
        while (rc == 0 && (rc = leat_result_next(result, &batch, &f.err)) == 0 && batch != NULL)
                ;
        CHECK_INT(rc, LEAT_EIO);
        leat_result_free(result);
        leat_plan_free(plan);

        /* The connection goes on, and an old error does not come back. */
        CHECK_INT(leat_conn_exec(f.conn, "SELECT 'x'::int FROM leat_scan('t')", &f.err), LEAT_EINVAL);
        CHECK_OK(leat_conn_exec(f.conn, "SELECT * FROM leat_scan('t')", &f.err), &f.err);
        CHECK_INT(leat_conn_exec(f.conn, "SELECT * FROM leat_scan(NULL)", &f.err) == 0, 1);
        struct leat_conn *bare;
        CHECK_OK(leat_conn_open(f.engine, NULL, NULL, &bare, &f.err), &f.err);
        CHECK_INT(leat_conn_exec(bare, "SELECT * FROM leat_scan('t')", &f.err), LEAT_EINVAL);
        leat_conn_close(bare);
        close_fixture(&f);
}

LEAT_TEST(scan_limit_stops_endless)
{
        struct fixture f;
        struct leat_buf out = LEAT_BUF_INIT;
        open_fixture(&f);
        load(&f, "SELECT i AS a FROM range(10) t(i)");
        CHECK_STR(query(&f, "SELECT a FROM leat_scan('endless') LIMIT 12 OFFSET 9", true, &out),
                  "9\n0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n0");
        leat_buf_done(&out);
        close_fixture(&f);
}

struct interrupter {
        struct leat_conn *conn;
        _Atomic bool done;
};

/* Until it is done: an interrupt before the query has begun is none. */
static void *interrupt_often(void *arg)
{
        struct interrupter *interrupter = arg;
        while (!atomic_load(&interrupter->done)) {
                usleep(50000);
                leat_conn_interrupt(interrupter->conn);
        }
        return NULL;
}

LEAT_TEST(scan_interrupt)
{
        struct fixture f;
        open_fixture(&f);
        load(&f, "SELECT i AS a FROM range(10) t(i)");
        struct interrupter interrupter = {.conn = f.conn};
        pthread_t thread;
        CHECK_INT(pthread_create(&thread, NULL, interrupt_often, &interrupter), 0);
        CHECK_INT(leat_conn_exec(f.conn, "SELECT count(*) FROM leat_scan('endless')", &f.err), LEAT_ECANCELED);
        atomic_store(&interrupter.done, true);
        pthread_join(thread, NULL);
        CHECK_OK(leat_conn_exec(f.conn, "SELECT count(*) FROM leat_scan('t')", &f.err), &f.err);
        close_fixture(&f);
}
