/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/role: the supervisor, `leat serve`.
 *
 * Start   lock the data directory, check its format, bind the three doors (a
 *         busy port fails here, by name), start broker, query and api with the
 *         bound sockets, print the doors; a worker for each pipeline that the
 *         catalog names.
 * Run     one poll() over signals, log pipes and ready pipes. A role that dies
 *         is started again with the same listening socket: clients that connect
 *         meanwhile wait in its backlog and are not refused.
 * Stop    api, query, workers, broker, each with ROLE_STOP_SIGNAL and STOP_WAIT to end;
 *         readers go before what they read.
 *
 * Given up  The others stand on the broker: without it, or before everything was
 *         ready once, Leat stops. Later a query or api that keeps dying loses its
 *         door (clients are refused, not left waiting) and the log goes on. A
 *         worker that was given up is tried again when the definitions change.
 *
 * The supervisor keeps no connection and no data; when it is killed, the kernel
 * kills the roles (PR_SET_PDEATHSIG).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>

#include "leat/catalog.h"
#include "role_int.h"

enum { SERVE_CHILDREN_MAX = 64, SERVE_BACKLOG = 1024 };
#define SERVE_LOCK_WAIT_US (5LL * 1000 * 1000)
#define SERVE_STOP_WAIT_US (20LL * 1000 * 1000)
#define SERVE_CATALOG_US (50LL * 1000)

static const char *const door_names[] = {"kafka", "pg", "http"};
static const char *const door_roles[] = {"broker", "query", "api"};

struct serve {
        struct leat_role_args shared;
        struct leat_child children[SERVE_CHILDREN_MAX];
        int child_count;
        int signal_fd, lock_fd;
        int64_t begin_us;
        bool announced;
        bool stopping;
        struct leat_catalog *catalog;
        uint64_t catalog_version;
        int64_t catalog_us;
        struct leat_stats *stats;
};

/* Goes up when a program cannot read what an older one wrote: 2 since ticks hold what partitions have seen of time. */
#define DATA_FORMAT "leat 2"
static const char data_format[] = DATA_FORMAT "\n";

int leat_data_dir_open(const char *dir, struct leat_error *err)
{
        char path[4096];
        LEAT_TRY(leat_os_mkdirs(dir, err));
        snprintf(path, sizeof path, "%s/FORMAT", dir);
        if (!leat_os_exists(path))
                return leat_os_replace_file(path, leat_view_str(data_format), true, err);
        return leat_data_dir_check(dir, err);
}

int leat_data_dir_check(const char *dir, struct leat_error *err)
{
        struct leat_buf found = LEAT_BUF_INIT;
        char path[4096];
        snprintf(path, sizeof path, "%s/FORMAT", dir);
        int rc = leat_os_read_file(path, 4096, &found, err);
        if (rc == 0 && !leat_view_eq_str(leat_buf_view(&found), data_format)) {
                const char *text = leat_buf_cstr(&found);
                rc = leat_error_set(err, LEAT_EUNSUPPORTED,
                                    "%s says format \"%.*s\"; this program reads and writes \"" DATA_FORMAT "\"", path,
                                    (int)LEAT_MIN(strcspn(text, "\r\n"), (size_t)40), text);
                leat_error_hint(err, "Use the version of leat that wrote it, or another --data directory.");
        }
        leat_buf_done(&found);
        return rc;
}

static int open_data(struct serve *s, struct leat_error *err)
{
        char path[4096];
        LEAT_TRY(leat_os_mkdirs(s->shared.data_dir, err));
        snprintf(path, sizeof path, "%s/lock", s->shared.data_dir);
        int rc = leat_os_lock_file(path, SERVE_LOCK_WAIT_US, &s->lock_fd, err);
        if (rc != 0) {
                if (rc == LEAT_EBUSY)
                        leat_error_hint(err, "Stop the other leat, or give this one another --data directory.");
                return rc;
        }
        LEAT_TRY(leat_data_dir_open(s->shared.data_dir, err));
        snprintf(path, sizeof path, "%s/run", s->shared.data_dir);
        LEAT_TRY(leat_os_mkdirs(path, err));
        snprintf(path, sizeof path, "%s/run/supervisor.stats", s->shared.data_dir);
        return leat_stats_open(path, 64, &s->stats, err);
}

static struct leat_child *add_child(struct serve *s, const char *role, const char *pipeline, int listen_fd)
{
        if (s->child_count == SERVE_CHILDREN_MAX)
                return NULL;
        struct leat_child *c = &s->children[s->child_count++];
        memset(c, 0, sizeof *c);
        c->role = role;
        c->listen_fd = listen_fd;
        c->log_fd = c->ready_fd = -1;
        if (pipeline != NULL) {
                c->pipeline = leat_strdup(pipeline);
                snprintf(c->name, sizeof c->name, "%s %s", role, pipeline);
        } else {
                snprintf(c->name, sizeof c->name, "%s", role);
        }
        snprintf(c->process, sizeof c->process, "leat-%s", role);
        return c;
}

static int bind_doors(struct serve *s, const struct leat_serve_options *options, struct leat_error *err)
{
        for (int i = 0; i < LEAT_DOOR_COUNT; i++) {
                int fd;
                uint16_t port;
                s->shared.doors[i] = options->doors[i];
                if (!leat_os_addr_is_loopback(&options->doors[i])) {
                        int rc = leat_error_set(err, LEAT_EDENIED, "--%s %s is not a loopback address", door_names[i],
                                                options->doors[i].host);
                        leat_error_hint(err,
                                        "Leat has no users and no TLS yet, so it listens on 127.0.0.1 or [::1] only.");
                        return rc;
                }
                LEAT_TRY(leat_os_listen(&options->doors[i], SERVE_BACKLOG, &fd, &port, err));
                s->shared.doors[i].port = port;
                (void)add_child(s, door_roles[i], NULL, fd);
        }
        return 0;
}

static void announce_doors(const struct serve *s)
{
        for (int i = 0; i < LEAT_DOOR_COUNT; i++)
                printf("%-6s %s%s:%u\n", door_names[i], i == LEAT_DOOR_HTTP ? "http://" : "", s->shared.doors[i].host,
                       s->shared.doors[i].port);
        fflush(stdout);
}

/* DATA/run/doors, for commands that know the data directory only. */
static int write_doors(const struct serve *s, struct leat_error *err)
{
        char path[4096];
        struct leat_buf text = LEAT_BUF_INIT;
        for (int i = 0; i < LEAT_DOOR_COUNT; i++)
                leat_buf_printf(&text, "%s %s:%u\n", door_names[i], s->shared.doors[i].host, s->shared.doors[i].port);
        snprintf(path, sizeof path, "%s/run/doors", s->shared.data_dir);
        int rc = leat_os_replace_file(path, leat_buf_view(&text), false, err);
        leat_buf_done(&text);
        return rc;
}

/* ---- running ------------------------------------------------------------------- */
static void count_child(struct serve *s, const struct leat_child *c, bool died)
{
        char labels[LEAT_STATS_LABEL_BYTES];
        snprintf(labels, sizeof labels, "name=\"%s\"", c->name);
        leat_stat_set(leat_stats_slot(s->stats, LEAT_M_ROLE_UP, labels), c->pid != 0);
        leat_stat_add(leat_stats_slot(s->stats, LEAT_M_ROLE_RESTARTS, labels), died);
}

static void start_due(struct serve *s)
{
        int64_t now_us = leat_os_monotonic_us();
        for (int i = 0; i < s->child_count; i++) {
                struct leat_child *c = &s->children[i];
                struct leat_error err = {0};
                if (c->pid != 0 || c->stopping || c->given_up || c->restart_us > now_us)
                        continue;
                if (leat_child_start(c, &s->shared, &err) != 0) {
                        leat_diag_error("role", "a role cannot be started", &err);
                        c->restart_us = now_us + 1000 * 1000;
                }
                count_child(s, c, false);
        }
}

/* One worker for each pipeline that has a materialized view. */
static void follow_catalog(struct serve *s)
{
        int64_t now_us = leat_os_monotonic_us();
        char path[4096];
        uint64_t version;
        struct leat_error err = {0};
        const struct leat_snapshot *snap;
        if (now_us - s->catalog_us < SERVE_CATALOG_US)
                return;
        s->catalog_us = now_us;
        snprintf(path, sizeof path, "%s/catalog.db", s->shared.data_dir);
        if (s->catalog == NULL && (!leat_os_exists(path) || leat_catalog_open(path, &s->catalog, &err) != 0))
                return;
        if (leat_catalog_version(s->catalog, &version, &err) != 0 || version == s->catalog_version)
                return;
        struct leat_arena *arena = leat_arena_new(0);
        if (leat_catalog_load(s->catalog, arena, &snap, &err) == 0) {
                s->catalog_version = snap->version;
                for (uint32_t i = 0; i < snap->object_count; i++) {
                        const struct leat_object *o = &snap->objects[i];
                        bool known = false;
                        if (o->kind != LEAT_OBJECT_MATVIEW)
                                continue;
                        for (int c = 0; c < s->child_count; c++) {
                                struct leat_child *worker = &s->children[c];
                                if (worker->pipeline == NULL || strcmp(worker->pipeline, o->view->pipeline) != 0)
                                        continue;
                                known = true;
                                if (!worker->given_up)
                                        continue;
                                worker->given_up = false; /* what killed it may have been dropped or paused */
                                worker->deaths = 0;
                                worker->restart_us = 0;
                        }
                        if (!known && add_child(s, "worker", o->view->pipeline, -1) == NULL)
                                leat_diag(LEAT_DIAG_ERROR, "role", "too many pipelines: no worker is started",
                                          "pipeline=%s", o->view->pipeline);
                }
        } else {
                leat_diag_error("role", "the catalog cannot be read", &err);
        }
        leat_arena_free(arena);
}

/* Nobody will answer at this door any more. */
static void door_close(const struct serve *s, struct leat_child *c)
{
        leat_os_close(c->listen_fd);
        c->listen_fd = -1;
        if (s->announced && strcmp(c->role, "broker") != 0)
                leat_diag(LEAT_DIAG_ERROR, "role", "its door is closed, the other roles go on",
                          "name=\"%s\" hint=\"stop leat serve and start it again\"", c->name);
}

static void reap(struct serve *s)
{
        int status;
        pid_t pid;
        while ((pid = leat_os_reap(&status)) != 0) {
                for (int i = 0; i < s->child_count; i++) {
                        if (s->children[i].pid == pid) {
                                leat_child_ended(&s->children[i], status);
                                if (!s->children[i].stopping)
                                        leat_child_words_save(&s->children[i], s->shared.data_dir);
                                if (s->children[i].given_up && s->children[i].listen_fd >= 0)
                                        door_close(s, &s->children[i]);
                                count_child(s, &s->children[i], !s->children[i].stopping);
                        }
                }
        }
}

/* Waits for something to happen, at most @wait_us; true when we were told to stop. */
static bool wait_event(struct serve *s, int64_t wait_us)
{
        struct pollfd fds[1 + 2 * SERVE_CHILDREN_MAX];
        int count = 0, signo;
        bool stop = false;
        fds[count++] = (struct pollfd){.fd = s->signal_fd, .events = POLLIN};
        for (int i = 0; i < s->child_count; i++) {
                fds[count++] = (struct pollfd){.fd = s->children[i].log_fd, .events = POLLIN};
                fds[count++] = (struct pollfd){.fd = s->children[i].ready_fd, .events = POLLIN};
        }
        (void)leat_os_poll(fds, count, wait_us);
        for (int i = 0; i < s->child_count; i++) {
                if (s->children[i].log_fd >= 0)
                        leat_child_read_log(&s->children[i]);
                if (s->children[i].ready_fd >= 0)
                        (void)leat_child_read_ready(&s->children[i]);
        }
        while ((signo = leat_os_signal_take(s->signal_fd)) != 0)
                stop |= signo == SIGINT || signo == SIGTERM || signo == SIGHUP;
        reap(s);
        return stop;
}

static bool doors_ready(const struct serve *s)
{
        for (int i = 0; i < LEAT_DOOR_COUNT; i++)
                if (!s->children[i].ready)
                        return false;
        return true;
}

/* A role without which it makes no sense to go on. */
static const struct leat_child *lost_child(const struct serve *s)
{
        for (int i = 0; i < (s->announced ? 1 : LEAT_DOOR_COUNT); i++)
                if (s->children[i].given_up)
                        return &s->children[i];
        return NULL;
}

/* ---- stopping --------------------------------------------------------------------- */
static void stop_role(struct serve *s, const char *role)
{
        int64_t end_us = leat_os_monotonic_us() + SERVE_STOP_WAIT_US;
        bool running = true;
        for (int i = 0; i < s->child_count; i++) {
                if (strcmp(s->children[i].role, role) != 0)
                        continue;
                s->children[i].stopping = true;
                leat_os_kill(s->children[i].pid, ROLE_STOP_SIGNAL);
        }
        while (running) {
                (void)wait_event(s, 100 * 1000);
                running = false;
                for (int i = 0; i < s->child_count; i++)
                        running |= strcmp(s->children[i].role, role) == 0 && s->children[i].pid != 0;
                if (running && leat_os_monotonic_us() > end_us) {
                        leat_diag(LEAT_DIAG_ERROR, "role", "a role does not end and is killed", "role=%s", role);
                        for (int i = 0; i < s->child_count; i++)
                                if (strcmp(s->children[i].role, role) == 0)
                                        leat_os_kill(s->children[i].pid, SIGKILL);
                        end_us += SERVE_STOP_WAIT_US;
                }
        }
}

static void stop_all(struct serve *s)
{
        static const char *const order[] = {"api", "query", "worker", "broker"};
        s->stopping = true;
        for (size_t i = 0; i < LEAT_ARRAY_LEN(order); i++)
                stop_role(s, order[i]);
}

static int serve_run(struct serve *s, struct leat_error *err)
{
        for (;;) {
                const struct leat_child *lost = lost_child(s);
                if (lost != NULL) {
                        int rc = leat_error_set(err, LEAT_EINTERNAL, "%s has died %d times in a row; Leat stops",
                                                lost->name, lost->deaths);
                        leat_error_hint(err, "Its last words stand above.");
                        stop_all(s);
                        return rc;
                }
                start_due(s);
                if (!s->announced && doors_ready(s)) {
                        s->announced = true;
                        printf("ready in %lld ms\n", (long long)((leat_os_monotonic_us() - s->begin_us) / 1000));
                        fflush(stdout);
                }
                if (wait_event(s, SERVE_CATALOG_US)) {
                        stop_all(s);
                        return 0;
                }
                follow_catalog(s);
        }
}

int leat_serve(const struct leat_serve_options *options, struct leat_error *err)
{
        static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGCHLD, 0};
        struct serve *s = leat_calloc(1, sizeof *s);
        int rc;
        s->begin_us = leat_os_monotonic_us();
        s->shared.data_dir = options->data_dir;
        s->lock_fd = s->signal_fd = -1;
        signal(SIGPIPE, SIG_IGN);
        leat_os_set_name("leat");
        leat_diag_init("supervisor", LEAT_DIAG_INFO);
        leat_diag_crash_install("supervisor");
        LEAT_TRY_GOTO(open_data(s, err));
        s->shared.lock_fd = s->lock_fd;
        LEAT_TRY_GOTO(bind_doors(s, options, err));
        LEAT_TRY_GOTO(leat_os_signal_fd(signals, &s->signal_fd, err));
        LEAT_TRY_GOTO(write_doors(s, err));
        announce_doors(s);
        rc = serve_run(s, err);
fail:
        for (int i = 0; i < s->child_count; i++) {
                leat_os_close(s->children[i].listen_fd);
                free(s->children[i].pipeline);
        }
        leat_catalog_close(s->catalog);
        leat_stats_close(s->stats);
        leat_os_close(s->signal_fd);
        leat_os_close(s->lock_fd);
        free(s);
        return rc;
}
