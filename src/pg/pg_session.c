/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/pg: the door and its sessions.
 *
 * The loop thread owns the sockets: it takes messages apart, puts them into the
 * session's line and gives the session to a worker when none has it. The worker
 * answers into session->out and hands full buffers to the loop, and waits when
 * the client does not take them (PG_QUEUE_MAX). What both touch is under the
 * session's mutex. A session is freed with its last reference (loop, worker,
 * each buffer on its way).
 *
 *   connect -> [SSL/GSS request -> 'N']* -> StartupMessage -> ready -> messages -> Terminate
 *           -> CancelRequest -> close
 */
#include <stdio.h>

#include "pg_int.h"

#define STOP_LOOK_US 100000

enum { PG_QUEUE_MAX = 4 * 1024 * 1024, PG_WAITING_MAX = 8 * 1024 * 1024 };
enum { PG_STARTUP_TIMEOUT_US = 60 * 1000 * 1000 };
enum { PG_LENGTH_MAX = 0x3fffffff }; /* PostgreSQL's own limit; what claims to be longer is not its protocol */

static void session_unref(struct leat_pg_session *s)
{
        if (atomic_fetch_sub(&s->refs, 1) != 1)
                return;
        while (s->first != NULL) {
                struct leat_pg_msg *next = s->first->next;
                free(s->first);
                s->first = next;
        }
        leat_pg_objects_free(s);
        if (s->backend != NULL)
                s->pg->options.backend->session_close(s->backend);
        leat_buf_done(&s->out);
        leat_arena_free(s->arena);
        free(s->user);
        pthread_mutex_destroy(&s->mutex);
        pthread_cond_destroy(&s->drained);
        free(s);
}

/* ---- from the worker to the loop --------------------------------------------- */
struct pg_write {
        struct leat_pg_session *session;
        struct leat_buf buf;
        bool finish;
        bool resume;
};

static void loop_write(void *arg)
{
        struct pg_write *w = arg;
        struct leat_pg_session *s = w->session;
        if (s->conn != NULL) {
                if (w->buf.len != 0)
                        leat_net_conn_write_buf(s->conn, &w->buf);
                if (w->resume)
                        leat_net_conn_resume(s->conn);
                if (w->finish)
                        leat_net_conn_finish(s->conn);
        }
        leat_buf_done(&w->buf);
        free(w);
        session_unref(s);
}

static void post_write(struct leat_pg_session *s, struct leat_buf *buf, bool finish, bool resume)
{
        struct pg_write *w = leat_calloc(1, sizeof *w);
        w->session = s;
        w->finish = finish;
        w->resume = resume;
        if (buf != NULL) {
                w->buf = *buf;
                memset(buf, 0, sizeof *buf);
        }
        atomic_fetch_add(&s->refs, 1);
        leat_loop_post_wait(s->pg->options.loop, loop_write, w);
}

bool leat_pg_flush(struct leat_pg_session *s)
{
        bool gone;
        pthread_mutex_lock(&s->mutex);
        while (s->queued_bytes > PG_QUEUE_MAX && !s->gone)
                pthread_cond_wait(&s->drained, &s->mutex);
        gone = s->gone;
        if (!gone)
                s->queued_bytes += s->out.len;
        pthread_mutex_unlock(&s->mutex);
        if (gone) {
                leat_buf_clear(&s->out);
                return false;
        }
        if (s->out.len != 0)
                post_write(s, &s->out, false, false);
        return true;
}

/* ---- starting a session (worker) ---------------------------------------------- */
static void door_notice(void *door, const char *severity, const char *message, const char *hint)
{
        struct leat_pg_session *s = door;
        leat_pg_msg_error(&s->out, severity, strcmp(severity, "WARNING") == 0 ? "01000" : "00000", message,
                          hint == NULL ? "" : hint, 0);
}

static void door_report(void *door, const char *name, const char *value)
{
        struct leat_pg_session *s = door;
        leat_pg_msg_status(&s->out, name, value);
}

static bool refuse(struct leat_pg_session *s, const char *sqlstate, const char *message, const char *hint)
{
        leat_pg_msg_error(&s->out, "FATAL", sqlstate, message, hint, 0);
        (void)leat_pg_flush(s);
        return false;
}

static void send_greeting(struct leat_pg_session *s, const struct leat_pg_startup *st)
{
        /* What PostgreSQL reports; the backend knows the values. */
        static const char *const reported[] = {
                "application_name",
                "client_encoding",
                "DateStyle",
                "default_transaction_read_only",
                "in_hot_standby",
                "integer_datetimes",
                "IntervalStyle",
                "is_superuser",
                "server_encoding",
                "server_version",
                "session_authorization",
                "standard_conforming_strings",
                "TimeZone",
        };
        size_t at;
        /* A newer minor version, or options that we do not know: tell what we speak. */
        if ((st->version & 0xffff) != 0 || st->unknown_count != 0) {
                at = leat_pg_msg_begin(&s->out, 'v');
                leat_buf_be32(&s->out, LEAT_PG_PROTOCOL_3);
                leat_buf_be32(&s->out, st->unknown_count);
                leat_buf_add_view(&s->out, leat_buf_view(&st->unknown));
                leat_pg_msg_end(&s->out, at);
        }
        at = leat_pg_msg_begin(&s->out, 'R');
        leat_buf_be32(&s->out, 0);
        leat_pg_msg_end(&s->out, at);
        for (size_t i = 0; i < LEAT_ARRAY_LEN(reported); i++) {
                const char *value = s->pg->options.backend->setting(s->backend, reported[i]);
                leat_pg_msg_status(&s->out, reported[i], value == NULL ? "" : value);
        }
        at = leat_pg_msg_begin(&s->out, 'K');
        leat_buf_be32(&s->out, (uint32_t)s->pid);
        leat_buf_be32(&s->out, (uint32_t)s->secret);
        leat_pg_msg_end(&s->out, at);
        at = leat_pg_msg_begin(&s->out, 'Z');
        leat_buf_u8(&s->out, LEAT_PG_IDLE);
        leat_pg_msg_end(&s->out, at);
}

static bool open_backend(struct leat_pg_session *s, const struct leat_pg_startup *st)
{
        struct leat_error err = {0};
        void *backend = NULL;
        s->user = leat_strdup(st->user);
        if (st->database[0] != '\0' && strcmp(st->database, "leat") != 0) {
                char text[160];
                snprintf(text, sizeof text, "database \"%.100s\" does not exist", st->database);
                return refuse(s, "3D000", text, "The only database is \"leat\": psql -d leat");
        }
        struct leat_pg_session_info info = {
                .user = s->user, .pid = s->pid, .notice = door_notice, .report = door_report, .door = s};
        if (s->pg->options.backend->session_open(s->pg->options.backend_arg, &info, &backend, &err) != 0)
                return refuse(s, leat_pg_sqlstate(err.code), err.message, err.hint);
        pthread_mutex_lock(&s->mutex);
        s->backend = backend;
        pthread_mutex_unlock(&s->mutex);
        for (uint32_t i = 0; i < st->setting_count; i++) {
                const struct leat_pg_start_setting *set = &st->settings[i];
                if (s->pg->options.backend->start_setting(backend, set->name, set->value, &err) != 0)
                        return refuse(s, leat_pg_sqlstate(err.code), err.message, err.hint);
        }
        send_greeting(s, st);
        return leat_pg_flush(s);
}

static bool start_session(struct leat_pg_session *s, const struct leat_pg_msg *msg)
{
        struct leat_error err = {0};
        struct leat_pg_startup st;
        if (leat_pg_startup_decode(s->arena, leat_view_of(msg->body, msg->len), &st, &err) != 0)
                return refuse(s, leat_pg_sqlstate(err.code), err.message, err.hint);
        bool ok = open_backend(s, &st);
        leat_buf_done(&st.unknown);
        return ok;
}

/* ---- working (worker) ----------------------------------------------------------- */
static struct leat_pg_msg *next_msg(struct leat_pg_session *s, bool *ret_resume)
{
        struct leat_pg_msg *msg;
        pthread_mutex_lock(&s->mutex);
        msg = s->gone || s->ending ? NULL : s->first;
        if (msg != NULL) {
                s->first = msg->next;
                if (s->first == NULL)
                        s->last = NULL;
                s->waiting_bytes -= msg->len;
                if (s->paused && s->waiting_bytes < PG_WAITING_MAX / 2) {
                        s->paused = false;
                        *ret_resume = true;
                }
        } else {
                s->running = false;
        }
        pthread_mutex_unlock(&s->mutex);
        return msg;
}

void leat_pg_session_work(struct leat_pg_session *s)
{
        struct leat_pg_msg *msg;
        bool resume = false;
        while ((msg = next_msg(s, &resume)) != NULL) {
                if (resume)
                        post_write(s, NULL, false, true);
                resume = false;
                if (msg->type == 'Q' || msg->type == 'E')
                        leat_stat_add(s->pg->queries, 1);
                bool go_on = msg->type == LEAT_PG_MSG_STARTUP ? start_session(s, msg) : leat_pg_handle(s, msg);
                free(msg);
                if (go_on)
                        continue;
                pthread_mutex_lock(&s->mutex);
                s->ending = true;
                pthread_mutex_unlock(&s->mutex);
                post_write(s, NULL, true, false);
        }
        session_unref(s);
}

/* ---- the loop's side --------------------------------------------------------------- */
static void enqueue(struct leat_pg_session *s, uint16_t type, struct leat_view body)
{
        struct leat_pg_msg *msg = leat_malloc(sizeof *msg + body.len + 1);
        bool start = false, pause = false;
        msg->next = NULL;
        msg->type = type;
        msg->len = (uint32_t)body.len;
        memcpy(msg->body, body.data, body.len);
        pthread_mutex_lock(&s->mutex);
        if (s->last == NULL)
                s->first = msg;
        else
                s->last->next = msg;
        s->last = msg;
        s->waiting_bytes += body.len;
        if (s->waiting_bytes > PG_WAITING_MAX)
                pause = s->paused = true;
        if (!s->running && !s->ending && s->pg->pool != NULL)
                start = s->running = true;
        pthread_mutex_unlock(&s->mutex);
        if (pause)
                leat_net_conn_pause(s->conn);
        if (start) {
                atomic_fetch_add(&s->refs, 1);
                leat_pg_pool_add(s->pg->pool, s);
        }
}

static void cancel_backend(struct leat_pg_session *s)
{
        pthread_mutex_lock(&s->mutex);
        if (s->backend != NULL && s->running)
                s->pg->options.backend->cancel(s->backend);
        pthread_mutex_unlock(&s->mutex);
}

static void cancel_request(struct leat_pg *pg, struct leat_view body)
{
        struct leat_cursor cur = leat_cursor_of(body);
        (void)leat_cursor_be32(&cur);
        int32_t pid = (int32_t)leat_cursor_be32(&cur);
        int32_t secret = (int32_t)leat_cursor_be32(&cur);
        for (struct leat_pg_session *s = pg->sessions; !cur.failed && s != NULL; s = s->next)
                if (s->pid == pid && s->secret == secret)
                        cancel_backend(s);
}

static void fatal(struct leat_pg_session *s, const char *sqlstate, const char *message)
{
        struct leat_buf out = LEAT_BUF_INIT;
        leat_pg_msg_error(&out, "FATAL", sqlstate, message, "", 0);
        leat_net_conn_write_buf(s->conn, &out);
        leat_net_conn_finish(s->conn);
}

/* The packets before the session has begun: no type byte. Returns bytes used. */
static size_t read_startup(struct leat_pg_session *s, struct leat_view data)
{
        if (data.len < 8)
                return 0;
        uint32_t len = leat_get_be32(data.data), code = leat_get_be32(data.data + 4);
        if (len < 8 || len > LEAT_PG_STARTUP_MAX) {
                fatal(s, "08P01", "invalid length of startup packet");
                return data.len;
        }
        if (data.len < len)
                return 0;
        struct leat_view body = leat_view_of(data.data + 4, len - 4);
        if (code == LEAT_PG_SSL || code == LEAT_PG_GSS) {
                leat_net_conn_write_block(s->conn, NULL, leat_view_str("N"));
        } else if (code == LEAT_PG_CANCEL) {
                cancel_request(s->pg, body);
                leat_net_conn_close(s->conn);
        } else {
                s->started = true;
                leat_net_conn_deadline(s->conn, 0);
                enqueue(s, LEAT_PG_MSG_STARTUP, body);
        }
        return len;
}

/* Throws away what is there of a message that is too large; the worker answers once all of it has passed, as clients
 * send it whole before they listen. Returns bytes used. */
static size_t skip_message(struct leat_pg_session *s, struct leat_view data)
{
        size_t n = LEAT_MIN(s->skip_bytes, data.len);
        s->skip_bytes -= n;
        if (s->skip_bytes == 0)
                enqueue(s, LEAT_PG_MSG_TOO_BIG, leat_view_of(s->skip_head, sizeof s->skip_head));
        return n;
}

/* One message of a started session. Returns bytes used, 0: more must arrive. */
static size_t read_message(struct leat_pg_session *s, struct leat_view data)
{
        if (s->skip_bytes != 0)
                return skip_message(s, data);
        if (data.len < 5)
                return 0;
        uint32_t len = leat_get_be32(data.data + 1);
        bool large = (int64_t)len > leat_param(LEAT_P_PG_MESSAGE_BYTES);
        if (len < 4 || len > PG_LENGTH_MAX || (large && memchr("QPBFd", data.data[0], 5) == NULL)) {
                fatal(s, "08P01", "invalid message length");
                return data.len;
        }
        if (large) {
                memcpy(s->skip_head, data.data, sizeof s->skip_head);
                s->skip_bytes = (size_t)len - 4;
                return 5;
        }
        if (data.len < (size_t)len + 1) {
                leat_net_conn_want(s->conn, (size_t)len + 1);
                return 0;
        }
        enqueue(s, data.data[0], leat_view_of(data.data + 5, len - 4));
        return (size_t)len + 1;
}

static size_t on_data(struct leat_net_conn *conn, void *user, struct leat_view data)
{
        struct leat_pg_session *s = user;
        size_t used = 0;
        while (used < data.len && !leat_net_conn_closing(conn)) {
                struct leat_view rest = leat_view_of(data.data + used, data.len - used);
                size_t n = s->started ? read_message(s, rest) : read_startup(s, rest);
                if (n == 0)
                        return used;
                used += n;
        }
        return leat_net_conn_closing(conn) ? data.len : used;
}

static void on_open(struct leat_net_conn *conn, void *user)
{
        struct leat_pg *pg = user;
        struct leat_pg_session *s = leat_calloc(1, sizeof *s);
        s->magic = LEAT_PG_SESSION_MAGIC;
        s->pg = pg;
        s->conn = conn;
        s->pid = ++pg->next_pid;
        leat_os_random(&s->secret, sizeof s->secret);
        s->arena = leat_arena_new(0);
        atomic_init(&s->refs, 1);
        pthread_mutex_init(&s->mutex, NULL);
        pthread_cond_init(&s->drained, NULL);
        s->next = pg->sessions;
        if (s->next != NULL)
                s->next->prev = s;
        pg->sessions = s;
        leat_net_conn_set_user(conn, s);
        leat_net_conn_deadline(conn, PG_STARTUP_TIMEOUT_US);
        leat_stat_set(pg->connections, (uint64_t)leat_listener_count(pg->listener));
}

static void on_drain(struct leat_net_conn *conn, void *user)
{
        struct leat_pg_session *s = user;
        (void)conn;
        pthread_mutex_lock(&s->mutex);
        s->queued_bytes = 0; /* buffers still in the loop's line are few: at most one a wake-up */
        pthread_cond_broadcast(&s->drained);
        pthread_mutex_unlock(&s->mutex);
}

static void on_close(struct leat_net_conn *conn, void *user, const struct leat_error *reason)
{
        struct leat_pg_session *s = user;
        struct leat_pg *pg = s->pg;
        (void)conn;
        (void)reason;
        if (s->prev != NULL)
                s->prev->next = s->next;
        else
                pg->sessions = s->next;
        if (s->next != NULL)
                s->next->prev = s->prev;
        s->conn = NULL;
        pthread_mutex_lock(&s->mutex);
        s->gone = true;
        pthread_cond_broadcast(&s->drained);
        if (s->backend != NULL && s->running)
                pg->options.backend->cancel(s->backend);
        pthread_mutex_unlock(&s->mutex);
        session_unref(s);
        leat_stat_set(pg->connections, (uint64_t)leat_listener_count(pg->listener));
}

static const struct leat_net_ops pg_net_ops = {
        .on_open = on_open, .on_data = on_data, .on_drain = on_drain, .on_close = on_close};

/* "sorry, too many clients already", as PostgreSQL says it. */
static struct leat_view refusal(void)
{
        static uint8_t bytes[256];
        static size_t len;
        if (len == 0) {
                struct leat_buf out = LEAT_BUF_INIT;
                leat_pg_msg_error(&out, "FATAL", "53300", "sorry, too many clients already", "Raise pg.connections.",
                                  0);
                LEAT_ASSERT(out.len <= sizeof bytes);
                memcpy(bytes, out.data, out.len);
                len = out.len;
                leat_buf_done(&out);
        }
        return leat_view_of(bytes, len);
}

int leat_pg_start(const struct leat_pg_options *options, struct leat_pg **ret_pg, struct leat_error *err)
{
        struct leat_pg *pg = leat_calloc(1, sizeof *pg);
        pg->options = *options;
        pg->pool = leat_pg_pool_new((int)leat_param(LEAT_P_PG_THREADS));
        pg->errors = leat_stats_slot(options->stats, LEAT_M_PG_ERRORS, "");
        pg->queries = leat_stats_slot(options->stats, LEAT_M_PG_QUERIES, "");
        pg->connections = leat_stats_slot(options->stats, LEAT_M_PG_CONNECTIONS, "");
        struct leat_net_opts opts = {
                .conns_max = (int)leat_param(LEAT_P_PG_CONNECTIONS),
                .read_max = (size_t)leat_param(LEAT_P_PG_MESSAGE_BYTES) + 64 * 1024,
                /* What the worker lets wait (PG_QUEUE_MAX), and one largest row that came on top. */
                .queue_max = 2 * (size_t)leat_param(LEAT_P_PG_ROW_BYTES) + 4 * PG_QUEUE_MAX,
                .drain_bytes = 1,
                .message_us = PG_STARTUP_TIMEOUT_US,
                .refuse = refusal(),
        };
        struct leat_loop *loops[] = {options->loop};
        int rc = leat_listener_open(loops, 1, options->listen_fd, &pg_net_ops, &opts, pg, &pg->listener, err);
        if (rc != 0) {
                leat_pg_pool_free(pg->pool);
                free(pg);
                return rc;
        }
        *ret_pg = pg;
        return 0;
}

void leat_pg_stop(struct leat_pg *pg)
{
        leat_listener_close(pg->listener);
        for (struct leat_pg_session *s = pg->sessions; s != NULL; s = s->next) {
                pthread_mutex_lock(&s->mutex);
                s->gone = true; /* a worker that waits for this client waits no longer */
                pthread_cond_broadcast(&s->drained);
                if (s->backend != NULL && s->running)
                        pg->options.backend->cancel(s->backend);
                pthread_mutex_unlock(&s->mutex);
                if (s->conn != NULL)
                        fatal(s, "57P01", "terminating connection due to administrator command");
        }
        /* A statement may begin to wait for something else after it was canceled: canceled again, it does not. */
        while (!leat_pg_pool_end(pg->pool, STOP_LOOK_US)) {
                for (struct leat_pg_session *s = pg->sessions; s != NULL; s = s->next) {
                        pthread_mutex_lock(&s->mutex);
                        if (s->backend != NULL && s->running)
                                pg->options.backend->cancel(s->backend);
                        pthread_mutex_unlock(&s->mutex);
                }
        }
        leat_pg_pool_free(pg->pool);
        pg->pool = NULL;
}

void leat_pg_free(struct leat_pg *pg)
{
        free(pg);
}
