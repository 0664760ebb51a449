/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/query: SHOW FLOW: the living picture of what flows where. One row for
 * each topic, view and dashboard, with what flows into it directly, how many rows
 * have passed, how many a second, lag and data age. For a materialized view rows
 * are those that its job has read, rows_out_per_s the changes that it has made; a
 * plain view is computed by each of its readers and counts nothing. Counts come
 * from the statistics files of all roles; rates are taken between calls.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "query_int.h"

const struct query_column leat_query_flow_columns[] = {
        {"kind", LEAT_T_VARCHAR},          {"name", LEAT_T_VARCHAR},      {"inputs", LEAT_T_VARCHAR},
        {"rows_total", LEAT_T_BIGINT},     {"rows_per_s", LEAT_T_DOUBLE}, {"lag", LEAT_T_BIGINT},
        {"data_age_ms", LEAT_T_BIGINT},    {"state", LEAT_T_VARCHAR},     {"detail", LEAT_T_VARCHAR},
        {"rows_out_per_s", LEAT_T_DOUBLE},
};
const uint32_t leat_query_flow_column_count = LEAT_ARRAY_LEN(leat_query_flow_columns);

enum { FLOW_SAMPLES_MAX = 4096 };
#define FLOW_SAMPLE_US (900LL * 1000)

/* What was counted for one name at the last sample; @out: what a view gave, not what it read. */
struct flow_sample {
        char name[112];
        bool out;
        uint64_t total;
        double rate;
};

struct query_flow {
        pthread_mutex_t mutex;
        int64_t at_us;
        uint32_t count;
        struct flow_sample samples[FLOW_SAMPLES_MAX];
};

struct query_flow *leat_query_flow_new(void)
{
        struct query_flow *flow = leat_calloc(1, sizeof *flow);
        pthread_mutex_init(&flow->mutex, NULL);
        return flow;
}

void leat_query_flow_free(struct query_flow *flow)
{
        if (flow == NULL)
                return;
        pthread_mutex_destroy(&flow->mutex);
        free(flow);
}

/* ---- counting --------------------------------------------------------------------------- */
struct flow_count {
        char name[112];
        bool out;
        uint64_t total; /* since the role's start */
        uint64_t ends;  /* of a topic's partitions: older than the broker's start too */
};
struct flow_counts {
        struct flow_count *list;
        uint32_t count, cap;
};

/* `topic="scans"` → scans; the first label's value. */
static void label_value(const char *labels, char out[112])
{
        const char *from = strchr(labels, '"');
        size_t n = 0;
        for (from = from == NULL ? "" : from + 1; *from != '\0' && *from != '"' && n < 111; from++)
                out[n++] = *from;
        out[n] = '\0';
}

static void count_stat(void *arg, enum leat_metric metric, const char *labels, uint64_t value)
{
        struct flow_counts *counts = arg;
        char name[112];
        bool out = metric == LEAT_M_WORKER_ROWS_OUT, end = metric == LEAT_M_BROKER_PARTITION_END;
        if (metric != LEAT_M_BROKER_PRODUCED_RECORDS && metric != LEAT_M_WORKER_ROWS_IN && !out && !end)
                return;
        label_value(labels, name);
        for (uint32_t i = 0; i < counts->count; i++) {
                if (counts->list[i].out == out && strcmp(counts->list[i].name, name) == 0) {
                        *(end ? &counts->list[i].ends : &counts->list[i].total) += value;
                        return;
                }
        }
        if (counts->count == counts->cap) {
                counts->cap = counts->cap == 0 ? 64 : counts->cap * 2;
                counts->list = leat_realloc(counts->list, counts->cap * sizeof *counts->list);
        }
        struct flow_count *c = &counts->list[counts->count++];
        memcpy(c->name, name, sizeof c->name);
        c->out = out;
        c->total = end ? 0 : value;
        c->ends = end ? value : 0;
}

struct flow_dir {
        const char *dir;
        struct flow_counts *counts;
};

static int count_file(void *arg, const char *name, bool is_dir)
{
        struct flow_dir *d = arg;
        char path[4096];
        int32_t pid;
        int64_t start_us;
        size_t len = strlen(name);
        if (is_dir || len < 6 || strcmp(name + len - 6, ".stats") != 0)
                return 0;
        snprintf(path, sizeof path, "%s/%s", d->dir, name);
        (void)!leat_stats_read(path, count_stat, d->counts, &pid, &start_us, NULL);
        return 0;
}

static void count_all(const struct leat_query *q, struct flow_counts *counts)
{
        char dir[4096];
        struct flow_dir d = {.dir = dir, .counts = counts};
        snprintf(dir, sizeof dir, "%s/run", q->options.data_dir);
        (void)!leat_os_list(dir, count_file, &d, NULL);
}

/* ---- rates --------------------------------------------------------------------------------- */
static struct flow_sample *find_sample(struct query_flow *flow, const char *name, bool out)
{
        for (uint32_t i = 0; i < flow->count; i++)
                if (flow->samples[i].out == out && strcmp(flow->samples[i].name, name) == 0)
                        return &flow->samples[i];
        return NULL;
}

/* A new sample when the last one is old enough: rates are what came between. A role that started anew counts from 0. */
static void take_sample(struct query_flow *flow, const struct flow_counts *counts)
{
        int64_t now_us = leat_os_monotonic_us(), span_us = now_us - flow->at_us;
        if (flow->at_us != 0 && span_us < FLOW_SAMPLE_US)
                return;
        for (uint32_t i = 0; i < counts->count; i++) {
                const struct flow_count *c = &counts->list[i];
                struct flow_sample *s = find_sample(flow, c->name, c->out);
                if (s == NULL && flow->count < FLOW_SAMPLES_MAX) {
                        s = &flow->samples[flow->count++];
                        memcpy(s->name, c->name, sizeof s->name);
                        s->out = c->out;
                        s->total = c->total;
                        s->rate = 0;
                }
                if (s == NULL)
                        continue;
                uint64_t more = c->total >= s->total ? c->total - s->total : c->total;
                s->rate = flow->at_us == 0 ? 0 : (double)more * 1e6 / (double)span_us;
                s->total = c->total;
        }
        flow->at_us = now_us;
}

/* ---- rows ------------------------------------------------------------------------------------- */
static void add_row(struct query_rows *rows, const char *kind, const char *name, const char *inputs)
{
        leat_query_rows_add(rows);
        leat_query_rows_text(rows, 0, kind);
        leat_query_rows_text(rows, 1, name);
        leat_query_rows_text(rows, 2, inputs);
}

static void add_counts(struct query_flow *flow, const struct flow_counts *counts, const char *name,
                       struct query_rows *rows)
{
        for (uint32_t i = 0; i < counts->count; i++)
                if (!counts->list[i].out && strcmp(counts->list[i].name, name) == 0)
                        leat_query_rows_int(rows, 3, (int64_t)LEAT_MAX(counts->list[i].total, counts->list[i].ends));
        const struct flow_sample *s = find_sample(flow, name, false), *out = find_sample(flow, name, true);
        leat_query_rows_double(rows, 4, s == NULL ? 0 : s->rate);
        if (out != NULL)
                leat_query_rows_double(rows, 9, out->rate);
}

/* Whether @o reads @id only through one of the plain views that it reads: a bound query names all of them. */
static bool read_by_view(const struct leat_snapshot *cat, const struct leat_object *o, uint64_t id)
{
        for (uint32_t i = 0; i < o->read_count; i++) {
                const struct leat_object *in = leat_snapshot_get(cat, o->reads[i]);
                if (in == NULL || in->kind != LEAT_OBJECT_VIEW)
                        continue;
                for (uint32_t r = 0; r < in->read_count; r++)
                        if (in->reads[r] == id)
                                return true;
        }
        return false;
}

static const char *input_names(struct leat_arena *arena, const struct leat_snapshot *cat, const struct leat_object *o)
{
        const char *text = NULL;
        for (uint32_t i = 0; i < o->read_count; i++) {
                const struct leat_object *in = leat_snapshot_get(cat, o->reads[i]);
                if (in != NULL && !read_by_view(cat, o, in->id))
                        text = text == NULL ? in->name : leat_arena_printf(arena, "%s,%s", text, in->name);
        }
        return text;
}

/* The topic whose refused records are in @name; NULL when that is no quarantine. */
static const char *quarantined_topic(struct leat_arena *arena, const char *name)
{
        static const char suffix[] = ".quarantine";
        size_t len = strlen(name);
        if (len < sizeof suffix || strcmp(name + len - (sizeof suffix - 1), suffix) != 0)
                return NULL;
        return leat_arena_strndup(arena, name, len - (sizeof suffix - 1));
}

/* ---- workers that are down ----------------------------------------------------------------- */
#define DOWN_WORDS_YOUNG_US (60LL * 1000 * 1000)

struct down {
        struct leat_job *jobs;
        uint32_t count;
        const char *data_dir;
        struct leat_arena *arena;
};

/* What the worker of a pipeline said before it ended last, as the supervisor has kept it; NULL when there is nothing.
 * @ret_again: it is started again. */
static const char *last_words(const struct down *d, const char *pipeline, bool only_young, bool *ret_again)
{
        char path[4096];
        struct stat st;
        struct leat_buf text = LEAT_BUF_INIT;
        const char *words = NULL;
        snprintf(path, sizeof path, "%s/run/worker-%s.words", d->data_dir, pipeline);
        if (leat_os.stat(path, &st) == 0 &&
            (!only_young || leat_os_now_us() - (int64_t)st.st_mtime * 1000000 < DOWN_WORDS_YOUNG_US) &&
            leat_os_read_file(path, 4096, &text, NULL) == 0)
                words = leat_arena_strndup(d->arena, (const char *)text.data, text.len);
        leat_buf_done(&text);
        *ret_again = words != NULL && strncmp(words, "again\n", 6) == 0;
        return words == NULL || strchr(words, '\n') == NULL ? words : strchr(words, '\n') + 1;
}

static void down_stat(void *arg, enum leat_metric metric, const char *labels, uint64_t value)
{
        struct down *d = arg;
        char name[112];
        if (metric != LEAT_M_ROLE_UP || value != 0)
                return;
        label_value(labels, name);
        for (uint32_t i = 0; i < d->count; i++) {
                struct leat_job *job = &d->jobs[i];
                if (strncmp(name, "worker ", 7) != 0 || strcmp(name + 7, job->pipeline) != 0)
                        continue;
                if (job->state == LEAT_JOB_PAUSED || job->state == LEAT_JOB_FAILED)
                        continue;
                bool again;
                const char *words = last_words(d, job->pipeline, false, &again);
                if (again) {
                        job->state = LEAT_JOB_STARTING;
                        job->reason =
                                leat_arena_printf(d->arena, "its worker has ended and is started again: %s", words);
                        continue;
                }
                job->state = LEAT_JOB_DOWN;
                job->reason = leat_arena_printf(d->arena,
                                                "the worker of its pipeline does not run: %s; ALTER JOB ... RESUME "
                                                "starts it again",
                                                words != NULL ? words : "the output of leat serve tells why");
        }
}

/* A row for each view whose worker has not written one: it is starting, or dies before it gets there. */
static void add_starting(struct down *d, const struct leat_snapshot *cat)
{
        struct leat_job *all = leat_arena_zalloc(d->arena, (d->count + cat->object_count + 1) * sizeof *all);
        uint32_t stored = d->count, count = stored;
        if (stored != 0)
                memcpy(all, d->jobs, stored * sizeof *all);
        for (uint32_t i = 0; i < cat->object_count; i++) {
                const struct leat_object *o = &cat->objects[i];
                bool found = o->kind != LEAT_OBJECT_MATVIEW;
                for (uint32_t j = 0; j < stored && !found; j++)
                        found = all[j].view_id == o->id;
                if (found)
                        continue;
                bool again;
                const char *words = last_words(d, o->view->pipeline, true, &again);
                all[count++] = (struct leat_job){
                        .view_id = o->id,
                        .pipeline = o->view->pipeline,
                        .state = LEAT_JOB_STARTING,
                        .reason = words != NULL ? leat_arena_printf(d->arena, "its worker has died: %s", words) : "",
                        .progress = ""};
        }
        d->jobs = all;
        d->count = count;
}

int leat_query_jobs(struct leat_query *q, const struct leat_snapshot *cat, struct leat_arena *arena,
                    struct leat_job **ret_jobs, uint32_t *ret_count, struct leat_error *err)
{
        char path[4096];
        int32_t pid;
        int64_t start_us;
        pthread_mutex_lock(&q->mutex);
        int rc = leat_catalog_jobs(q->catalog, arena, ret_jobs, ret_count, err);
        pthread_mutex_unlock(&q->mutex);
        if (rc != 0)
                return rc;
        struct down down = {.jobs = *ret_jobs, .count = *ret_count, .data_dir = q->options.data_dir, .arena = arena};
        add_starting(&down, cat);
        snprintf(path, sizeof path, "%s/run/supervisor.stats", q->options.data_dir);
        (void)!leat_stats_read(path, down_stat, &down, &pid, &start_us, NULL); /* no supervisor: nobody knows */
        *ret_jobs = down.jobs;
        *ret_count = down.count;
        return 0;
}

static void topic_rows(struct leat_query *q, const struct flow_counts *counts, struct query_rows *rows)
{
        struct leat_feed_topic *topics;
        uint32_t count;
        pthread_mutex_lock(&q->mutex);
        int rc = leat_feed_topics(q->feed, rows->arena, &topics, &count, NULL);
        pthread_mutex_unlock(&q->mutex);
        for (uint32_t i = 0; rc == 0 && i < count; i++) {
                if (topics[i].internal)
                        continue;
                add_row(rows, "topic", topics[i].name, quarantined_topic(rows->arena, topics[i].name));
                add_counts(q->flow, counts, topics[i].name, rows);
                leat_query_rows_text(rows, 7, "ready");
                leat_query_rows_text(rows, 8,
                                     leat_arena_printf(rows->arena, "%d partition%s", topics[i].partitions,
                                                       topics[i].partitions == 1 ? "" : "s"));
        }
}

static void view_row(struct leat_query *q, const struct leat_snapshot *cat, const struct leat_object *view,
                     const struct leat_job *job, const struct flow_counts *counts, struct query_rows *rows)
{
        struct leat_picture *pic;
        add_row(rows, "view", view->name, input_names(rows->arena, cat, view));
        add_counts(q->flow, counts, view->name, rows);
        leat_query_rows_text(rows, 7, job == NULL ? "starting" : leat_job_state_name(job->state));
        leat_query_rows_text(rows, 8, job == NULL ? NULL : job->reason[0] != '\0' ? job->reason : job->progress);
        if (leat_picture_get(q->views, view->view->pipeline, 0, &pic, NULL) != 0)
                return;
        const struct leat_tick *tick = leat_picture_tick(pic);
        int64_t lag = 0;
        for (uint32_t i = 0; i < tick->input_count; i++)
                for (uint32_t r = 0; r < view->read_count; r++)
                        lag += tick->inputs[i].object_id == view->reads[r] ? tick->inputs[i].lag_records : 0;
        leat_query_rows_int(rows, 5, lag);
        leat_query_rows_int(rows, 6, leat_picture_age_us(q->views, pic, view->id) / 1000);
        leat_picture_unref(pic);
}

static void object_rows(struct leat_query *q, const struct leat_snapshot *cat, const struct flow_counts *counts,
                        struct query_rows *rows)
{
        struct leat_job *jobs = NULL;
        uint32_t job_count = 0;
        (void)!leat_query_jobs(q, cat, rows->arena, &jobs, &job_count, NULL);
        for (uint32_t i = 0; i < cat->object_count; i++) {
                const struct leat_object *o = &cat->objects[i];
                const struct leat_job *job = NULL;
                for (uint32_t j = 0; j < job_count; j++)
                        job = jobs[j].view_id == o->id ? &jobs[j] : job;
                if (o->kind == LEAT_OBJECT_MATVIEW) {
                        view_row(q, cat, o, job, counts, rows);
                } else if (o->kind == LEAT_OBJECT_VIEW) {
                        add_row(rows, "view", o->name, input_names(rows->arena, cat, o));
                        leat_query_rows_text(rows, 7, "plain");
                        leat_query_rows_text(rows, 8, "computed by its readers");
                } else if (o->kind == LEAT_OBJECT_DASHBOARD) {
                        add_row(rows, "dashboard", o->name, input_names(rows->arena, cat, o));
                        leat_query_rows_text(rows, 7, "ready");
                        leat_query_rows_text(rows, 8, o->dashboard->title);
                }
        }
}

void leat_query_flow_rows(struct leat_query *q, const struct leat_snapshot *cat, struct query_rows *rows)
{
        struct flow_counts counts = {0};
        count_all(q, &counts);
        pthread_mutex_lock(&q->flow->mutex);
        take_sample(q->flow, &counts);
        topic_rows(q, &counts, rows);
        object_rows(q, cat, &counts, rows);
        pthread_mutex_unlock(&q->flow->mutex);
        free(counts.list);
}
