/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/query: sessions and what they share.
 *
 * A session holds one DuckDB connection and one broker client, both made at
 * first use. What it reads are pictures: one tick of each pipeline, taken when a
 * statement begins and kept to its end (in a transaction: to COMMIT), so that a
 * SELECT over several views sees one tick of each pipeline.
 *
 * Freshness: before a picture is taken, the session waits until it covers what
 * the session itself has written (INSERT), or with `leat.freshness = 'now'`
 * everything that was acknowledged before the statement began.
 */
#include <stdio.h>
#include <unistd.h>

#include "query_int.h"

#define QUERY_FOLLOW_US (20LL * 1000)
#define WAIT_SLICE_US (100LL * 1000) /* then a look whether a view is paused */
#define QUERY_FIRST_PICTURE_US (10LL * 1000 * 1000)

/* ---- the shared part ------------------------------------------------------------ */
int leat_query_engine(struct leat_query *q, struct leat_engine **ret_engine, struct leat_error *err)
{
        int rc = 0;
        pthread_mutex_lock(&q->mutex);
        if (q->engine == NULL) {
                struct leat_engine_options options = {.threads = 1,
                                                      .memory_bytes = leat_param(LEAT_P_QUERY_MEMORY_BYTES),
                                                      .memory_param = leat_param_info(LEAT_P_QUERY_MEMORY_BYTES)->name};
                rc = leat_engine_open(&options, &q->engine, err);
        }
        *ret_engine = q->engine;
        pthread_mutex_unlock(&q->mutex);
        return rc;
}

static bool topic_exists(void *arg, const char *name)
{
        struct leat_query *q = arg;
        struct leat_feed_topic topic;
        pthread_mutex_lock(&q->topic_mutex);
        bool found = leat_feed_topic(q->topic_feed, name, &topic, NULL) == 0;
        pthread_mutex_unlock(&q->topic_mutex);
        return found;
}

static void ddl_context(struct leat_query *q, struct leat_sql_ddl_context *ctx)
{
        *ctx = (struct leat_sql_ddl_context){
                .catalog = q->catalog, .feed = q->feed, .env = q->env, .compile = leat_query_compile, .compile_arg = q};
}

/* Brings views up to date with the catalog; completes cut-off statements. */
static void follow_once(struct leat_query *q, uint64_t *io_version, uint64_t *io_applied)
{
        struct leat_error err = {0};
        struct leat_sql_catalog *catalog;
        /* Who holds the mutex completes them too, and may wait for us to take over a version. */
        if (!q->recovered && pthread_mutex_trylock(&q->mutex) == 0) {
                struct leat_sql_ddl_context ctx;
                ddl_context(q, &ctx);
                q->recovered = leat_sql_ddl_recover(&ctx, &err) == 0;
                pthread_mutex_unlock(&q->mutex);
                if (!q->recovered)
                        leat_diag_error("query", "statements that were cut off cannot be completed yet", &err);
        }
        if (leat_sql_env_catalog(q->env, &catalog, &err) != 0) {
                leat_diag_error("query", "the catalog cannot be read", &err);
                return;
        }
        if (catalog->snapshot->version != *io_version) {
                if (leat_views_update(q->views, catalog->snapshot, &err) != 0)
                        leat_diag_error("query", "pipelines cannot be followed", &err);
                else
                        *io_version = catalog->snapshot->version;
        }
        /* Statements wait for it, so a failure is told and tried again. */
        if (catalog->snapshot->version != *io_applied) {
                if (leat_catalog_applied_set(q->follow_catalog, "query", (int)getpid(), catalog->snapshot->version,
                                             &err) != 0)
                        leat_diag_error("query", "the version in use cannot be noted in the catalog", &err);
                else
                        *io_applied = catalog->snapshot->version;
        }
        leat_sql_catalog_unref(catalog);
}

/* Ends statements that have had their statement_timeout. */
static void end_late_statements(struct leat_query *q)
{
        int64_t now = leat_os_monotonic_us();
        pthread_mutex_lock(&q->sessions_mutex);
        for (struct query_session *s = q->sessions; s != NULL; s = s->next) {
                int64_t deadline = atomic_load(&s->deadline_us);
                if (deadline == 0 || now < deadline)
                        continue;
                atomic_store(&s->timed_out, true);
                atomic_store(&s->deadline_us, 0);
                leat_query_session_cancel(s);
        }
        pthread_mutex_unlock(&q->sessions_mutex);
}

int leat_query_canceled(struct query_session *s, struct leat_error *err)
{
        return leat_error_set(err, LEAT_ECANCELED, "canceling statement due to %s",
                              atomic_load(&s->timed_out) ? "statement timeout" : "user request");
}

static void *follower(void *arg)
{
        struct leat_query *q = arg;
        uint64_t version = UINT64_MAX, applied = UINT64_MAX;
        while (!atomic_load(&q->closing)) {
                follow_once(q, &version, &applied);
                end_late_statements(q);
                leat_os_sleep_us(q->recovered ? QUERY_FOLLOW_US : 10 * QUERY_FOLLOW_US);
        }
        return NULL;
}

static int open_parts(struct leat_query *q, struct leat_error *err)
{
        char path[4096];
        struct leat_views_options views = {
                .data_dir = q->options.data_dir, .kafka = q->options.kafka, .stats = q->options.stats};
        struct leat_sql_env_options env = {
                .system_ops = &leat_query_system_ops, .system_arg = q, .topic_exists = topic_exists, .topic_arg = q};
        snprintf(path, sizeof path, "%s/catalog.db", q->options.data_dir);
        LEAT_TRY(leat_catalog_open(path, &q->catalog, err));
        LEAT_TRY(leat_catalog_open(path, &q->follow_catalog, err));
        LEAT_TRY(leat_feed_open(&q->options.kafka, "leat-query", &q->topic_feed, err));
        LEAT_TRY(leat_catalog_open(path, &q->env_catalog, err));
        int rc = leat_sql_env_open(q->env_catalog, &env, &q->env, err);
        if (rc != 0)
                return rc;
        LEAT_TRY(leat_feed_open(&q->options.kafka, "leat-query", &q->feed, err));
        LEAT_TRY(leat_views_open(&views, &q->views, err));
        struct leat_panels_options panels = {.views = q->views,
                                             .run = leat_query_panel_run,
                                             .moved = leat_query_panel_moved,
                                             .dashboard = leat_query_panel_dashboard,
                                             .arg = q};
        return leat_panels_open(&panels, &q->panels, err);
}

int leat_query_open(const struct leat_query_options *options, struct leat_query **ret_query, struct leat_error *err)
{
        struct leat_query *q = leat_calloc(1, sizeof *q);
        q->options = *options;
        q->flow = leat_query_flow_new();
        q->refused = leat_query_refused_new(&options->kafka);
        pthread_mutex_init(&q->mutex, NULL);
        pthread_mutex_init(&q->topic_mutex, NULL);
        pthread_mutex_init(&q->sessions_mutex, NULL);
        pthread_mutex_init(&q->macro_mutex, NULL);
        pthread_mutex_init(&q->zone_mutex, NULL);
        pthread_mutex_init(&q->replay_mutex, NULL);
        int rc = open_parts(q, err);
        if (rc == 0 && pthread_create(&q->follower, NULL, follower, q) != 0)
                rc = leat_error_set(err, LEAT_ENOMEM, "cannot start a thread");
        if (rc != 0) {
                atomic_store(&q->closing, true);
                q->follower = 0;
                leat_query_close(q);
                return rc;
        }
        *ret_query = q;
        return 0;
}

void leat_query_close(struct leat_query *q)
{
        if (q == NULL)
                return;
        atomic_store(&q->closing, true);
        /* Whoever waits for a broker that does not answer gives up. */
        if (q->feed != NULL)
                leat_feed_wake(q->feed);
        if (q->topic_feed != NULL)
                leat_feed_wake(q->topic_feed);
        if (q->follower != 0)
                pthread_join(q->follower, NULL);
        leat_panels_close(q->panels);
        leat_query_panel_plans_drop(q);
        if (q->panel_session != NULL)
                leat_query_session_close(q->panel_session);
        leat_views_close(q->views);
        leat_sql_env_close(q->env);
        leat_catalog_close(q->env_catalog);
        leat_engine_close(q->engine);
        leat_feed_close(q->feed);
        if (q->catalog != NULL)
                (void)!leat_catalog_applied_remove(q->catalog, "query", (int)getpid(), NULL);
        leat_catalog_close(q->catalog);
        leat_catalog_close(q->follow_catalog);
        leat_feed_close(q->topic_feed);
        pthread_mutex_destroy(&q->topic_mutex);
        pthread_mutex_destroy(&q->sessions_mutex);
        pthread_mutex_destroy(&q->macro_mutex);
        pthread_mutex_destroy(&q->zone_mutex);
        leat_query_zones_free(q);
        pthread_mutex_destroy(&q->replay_mutex);
        leat_query_flow_free(q->flow);
        leat_query_refused_free(q->refused);
        pthread_mutex_destroy(&q->mutex);
        free(q);
}

/* ---- sessions ---------------------------------------------------------------------- */
int leat_query_session_open(void *arg, const struct leat_pg_session_info *info, void **ret_session,
                            struct leat_error *err)
{
        struct query_session *s = leat_calloc(1, sizeof *s);
        (void)err;
        s->query = arg;
        s->info = *info;
        s->arena = leat_arena_new(1024);
        s->txn = LEAT_PG_IDLE;
        pthread_mutex_init(&s->mutex, NULL);
        pthread_mutex_lock(&s->query->sessions_mutex);
        s->next = s->query->sessions;
        if (s->next != NULL)
                s->next->prev = s;
        s->query->sessions = s;
        pthread_mutex_unlock(&s->query->sessions_mutex);
        *ret_session = s;
        return 0;
}

void leat_query_session_close(void *session)
{
        struct query_session *s = session;
        pthread_mutex_lock(&s->query->sessions_mutex);
        if (s->prev != NULL)
                s->prev->next = s->next;
        else
                s->query->sessions = s->next;
        if (s->next != NULL)
                s->next->prev = s->prev;
        pthread_mutex_unlock(&s->query->sessions_mutex);
        leat_query_named_close(s, NULL, false);
        leat_query_session_drop_pictures(s);
        while (s->prepared != NULL) {
                struct query_prepared *next = s->prepared->next;
                free(s->prepared->name);
                free(s->prepared->sql);
                free(s->prepared);
                s->prepared = next;
        }
        leat_query_setting_free(s);
        for (uint32_t i = 0; i < s->skipped_count; i++)
                free(s->skipped[i].topic);
        leat_feed_writer_close(s->writer);
        leat_feed_close(s->feed);
        leat_conn_close(s->conn);
        leat_arena_free(s->arena);
        free(s->written);
        pthread_mutex_destroy(&s->mutex);
        free(s);
}

/* PostgreSQL's functions, once for the engine: its catalog is shared by all connections, and two that define the same
 * at once refuse each other. */
static int engine_macros(struct leat_query *q, struct leat_conn *conn, struct leat_error *err)
{
        pthread_mutex_lock(&q->macro_mutex);
        int rc = q->has_macros ? 0 : leat_conn_exec(conn, leat_sql_macros(), err);
        if (rc == 0 && !q->has_macros)
                rc = leat_conn_exec(conn, leat_sql_catalog_macros(), err);
        q->has_macros = q->has_macros || rc == 0;
        pthread_mutex_unlock(&q->macro_mutex);
        return rc;
}

int leat_query_session_conn(struct query_session *s, struct leat_error *err)
{
        struct leat_conn *conn;
        if (s->conn != NULL)
                return 0;
        LEAT_TRY(leat_query_conn_open(s, &conn, err));
        pthread_mutex_lock(&s->mutex);
        s->conn = conn;
        pthread_mutex_unlock(&s->mutex);
        return 0;
}

int leat_query_conn_open(struct query_session *s, struct leat_conn **ret_conn, struct leat_error *err)
{
        struct leat_engine *engine;
        struct leat_conn *conn;
        LEAT_TRY(leat_query_engine(s->query, &engine, err));
        LEAT_TRY(leat_conn_open(engine, &leat_query_relation_ops, s, &conn, err));
        struct leat_buf who = LEAT_BUF_INIT;
        leat_sql_session_text(s->info.user, s->info.pid, &who);
        int rc = leat_conn_exec(conn, leat_buf_cstr(&who), err);
        leat_buf_done(&who);
        if (rc == 0)
                rc = engine_macros(s->query, conn, err);
        if (rc != 0) {
                leat_conn_close(conn);
                return rc;
        }
        *ret_conn = conn;
        return 0;
}

int leat_query_session_feed(struct query_session *s, struct leat_error *err)
{
        struct leat_feed *feed;
        if (s->feed != NULL)
                return 0;
        LEAT_TRY(leat_feed_open(&s->query->options.kafka, "leat-query", &feed, err));
        pthread_mutex_lock(&s->mutex);
        s->feed = feed;
        pthread_mutex_unlock(&s->mutex);
        return 0;
}

void leat_query_session_wrote(struct query_session *s, const struct leat_tick_position *position)
{
        for (uint32_t i = 0; i < s->written_count; i++) {
                struct leat_tick_position *p = &s->written[i];
                if (p->partition == position->partition && memcmp(&p->topic, &position->topic, sizeof p->topic) == 0) {
                        p->offset = LEAT_MAX(p->offset, position->offset);
                        return;
                }
        }
        if (s->written_count == s->written_cap) {
                s->written_cap = s->written_cap == 0 ? 16 : s->written_cap * 2;
                s->written = leat_realloc(s->written, s->written_cap * sizeof *s->written);
        }
        s->written[s->written_count++] = *position;
}

void leat_query_session_drop_pictures(struct query_session *s)
{
        for (uint32_t i = 0; i < s->picture_count; i++)
                leat_picture_unref(s->pictures[i]);
        s->picture_count = 0;
}

int leat_query_session_picture(struct query_session *s, const char *pipeline, struct leat_picture **ret_picture,
                               struct leat_error *err)
{
        for (uint32_t i = 0; i < s->picture_count; i++) {
                if (strcmp(leat_picture_tick(s->pictures[i])->pipeline, pipeline) == 0) {
                        *ret_picture = s->pictures[i];
                        return 0;
                }
        }
        if (s->picture_count == QUERY_PIPELINES_MAX)
                return leat_error_set(err, LEAT_ETOOBIG, "one statement reads more than %d pipelines",
                                      QUERY_PIPELINES_MAX);
        LEAT_TRY(leat_picture_get(s->query->views, pipeline, QUERY_FIRST_PICTURE_US, ret_picture, err));
        s->pictures[s->picture_count++] = *ret_picture;
        return 0;
}

/* ---- freshness ------------------------------------------------------------------------ */
/* A topic that the pipeline reads, by itself or by others. */
static bool tick_reads(const struct leat_tick *tick, const struct leat_topic_id *topic)
{
        for (uint32_t i = 0; i < tick->upstream_count; i++)
                if (memcmp(&tick->upstreams[i].topic, topic, sizeof *topic) == 0)
                        return false; /* ticks there are no records that anybody has written */
        for (uint32_t i = 0; i < tick->input_count; i++)
                if (memcmp(&tick->inputs[i].topic, topic, sizeof *topic) == 0)
                        return true;
        for (uint32_t i = 0; i < tick->upstream_count; i++)
                for (uint32_t m = 0; m < tick->upstreams[i].mirror_count; m++) {
                        const struct leat_tick_mirror *mirror = &tick->upstreams[i].mirrors[m];
                        for (uint32_t k = 0; k < mirror->cover_count; k++)
                                if (memcmp(&mirror->covers[k].topic, topic, sizeof *topic) == 0)
                                        return true;
                }
        return false;
}

/* Ends of all partitions of the topics that the view's pipeline reads, as they are now. */
static int ends_now(struct query_session *s, const char *pipeline, struct leat_arena *arena,
                    struct leat_tick_position **ret_positions, uint32_t *ret_count, struct leat_error *err)
{
        struct leat_picture *pic;
        struct leat_feed_topic *topics;
        uint32_t topic_count, count = 0, room = 0;
        LEAT_TRY(leat_query_session_feed(s, err));
        LEAT_TRY(leat_picture_get(s->query->views, pipeline, QUERY_FIRST_PICTURE_US, &pic, err));
        const struct leat_tick *tick = leat_picture_tick(pic);
        int rc = leat_feed_topics(s->feed, arena, &topics, &topic_count, err);
        for (uint32_t t = 0; rc == 0 && t < topic_count; t++)
                room += (uint32_t)topics[t].partitions;
        struct leat_tick_position *positions = leat_arena_zalloc(arena, (room + 1) * sizeof *positions);
        for (uint32_t t = 0; rc == 0 && t < topic_count; t++) {
                if (!tick_reads(tick, &topics[t].id))
                        continue;
                int64_t *ends = leat_arena_alloc(arena, (size_t)topics[t].partitions * sizeof *ends);
                rc = leat_feed_offsets(s->feed, topics[t].name, LEAT_FEED_LATEST, ends, topics[t].partitions, err);
                for (int32_t p = 0; rc == 0 && p < topics[t].partitions; p++)
                        positions[count++] =
                                (struct leat_tick_position){.topic = topics[t].id, .partition = p, .offset = ends[p]};
        }
        leat_picture_unref(pic);
        *ret_positions = positions;
        *ret_count = count;
        return rc;
}

/* Refuses when @paused is the id of a view that is paused, by its job: the newest tick may be older than a RESUME. */
static int check_paused(struct query_session *s, uint64_t paused, struct leat_arena *arena, struct leat_error *err)
{
        struct leat_job *jobs;
        uint32_t count;
        struct leat_sql_catalog *catalog;
        LEAT_TRY(leat_sql_env_catalog(s->query->env, &catalog, err));
        int rc = leat_query_jobs(s->query, catalog->snapshot, arena, &jobs, &count, err);
        const struct leat_object *object = leat_snapshot_get(catalog->snapshot, paused);
        const char *name = object != NULL ? leat_arena_strdup(arena, object->name) : "?";
        int64_t changed_us = object != NULL ? object->changed_us : INT64_MAX;
        leat_sql_catalog_unref(catalog);
        LEAT_TRY(rc);
        for (uint32_t i = 0; i < count; i++) {
                if (jobs[i].view_id != paused || jobs[i].changed_us < changed_us ||
                    (jobs[i].state != LEAT_JOB_PAUSED && jobs[i].state != LEAT_JOB_FAILED))
                        continue;
                leat_error_set(err, LEAT_EBUSY, "view \"%s\" is paused and has not covered the newest records", name);
                leat_error_hint(err,
                                "ALTER JOB %s RESUME lets it go on; SET leat.freshness = 'none' reads what there is.",
                                name);
                return LEAT_EBUSY;
        }
        return 0;
}

/* Waits for @positions, and gives up at once when a paused view will never come to them. */
static int wait_covered(struct query_session *s, const struct leat_object *view, struct leat_arena *arena,
                        const struct leat_tick_position *positions, uint32_t count, int64_t wait_us,
                        struct leat_error *err)
{
        int64_t end_us = leat_os_monotonic_us() + wait_us;
        for (;;) {
                int64_t left_us = LEAT_MAX(end_us - leat_os_monotonic_us(), 0);
                int rc = leat_views_wait(s->query->views, view->view->pipeline, view->id, positions, count,
                                         LEAT_MIN(left_us, WAIT_SLICE_US), err);
                uint64_t paused =
                        rc == 0 ? 0
                                : leat_views_paused(s->query->views, view->view->pipeline, view->id, positions, count);
                if (paused != 0)
                        LEAT_TRY(check_paused(s, paused, arena, err));
                if (rc != LEAT_ETIMEOUT)
                        return rc;
                if (left_us > WAIT_SLICE_US)
                        continue;
                leat_error_set(err, rc, "pipeline \"%s\" has not covered the newest records within %lld ms",
                               view->view->pipeline, (long long)(wait_us / 1000));
                leat_error_hint(err, "SHOW JOBS tells lag and state; SET leat.freshness = 'none' reads what there is.");
                if (err != NULL)
                        err->retriable = true;
                return rc;
        }
}

int leat_query_session_wait_fresh(struct query_session *s, const struct leat_object *view, struct leat_arena *arena,
                                  struct leat_error *err)
{
        const char *mode = leat_query_setting_get(s, "leat.freshness");
        int64_t wait_us = leat_query_setting_duration_us(s, "leat.wait_timeout");
        struct leat_tick_position *positions = s->written;
        uint32_t count = s->written_count;
        if (strcmp(mode, "none") == 0)
                return 0;
        if (strcmp(mode, "now") == 0) {
                /* what a view reads is known once it runs */
                (void)!leat_views_wait(s->query->views, view->view->pipeline, view->id, NULL, 0, wait_us, NULL);
                LEAT_TRY(ends_now(s, view->view->pipeline, arena, &positions, &count, err));
        }
        /* A view that was just made is there in a moment; when it is not, the picture's check says why. */
        if (count == 0) {
                (void)!leat_views_wait(s->query->views, view->view->pipeline, view->id, NULL, 0, wait_us, NULL);
                return 0;
        }
        return wait_covered(s, view, arena, positions, count, wait_us, err);
}

enum leat_pg_txn leat_query_session_txn(void *session)
{
        return ((struct query_session *)session)->txn;
}

void leat_query_session_failed(void *session)
{
        struct query_session *s = session;
        if (s->txn == LEAT_PG_IN_TXN)
                s->txn = LEAT_PG_FAILED;
        else if (s->txn == LEAT_PG_IDLE)
                leat_query_session_drop_pictures(s);
}

void leat_query_session_cancel(void *session)
{
        struct query_session *s = session;
        atomic_store(&s->canceled, true);
        pthread_mutex_lock(&s->mutex);
        if (s->running != NULL)
                leat_conn_interrupt(s->running);
        if (s->feed != NULL)
                leat_feed_wake(s->feed);
        if (s->defining != NULL)
                leat_feed_wake(s->defining);
        if (s->sub != NULL)
                leat_view_sub_cancel(s->sub);
        if (s->panel_sub != NULL)
                leat_panel_sub_cancel(s->panel_sub);
        pthread_mutex_unlock(&s->mutex);
}
