/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/api: live dashboards: GET /api/dashboards/NAME/stream?site=X.
 *
 * A board is one dashboard with one set of variables: one subscription to query,
 * one hub, any number of viewers.
 *
 *   COPY (SUBSCRIBE TO DASHBOARD "name" WITH (site = 'X')) TO STDOUT
 *   tick, panel, kind (snapshot, patch, age, error), data (JSON), data_age_ms, newest_event_time
 *
 *   opening ──COPY begins──► live ──lost──► waiting (0.25 to 5 s) ──► opening …
 *      └─ error at the first time: those that wait get it as the answer; the board ends
 *
 * Each row becomes one event: its kind is the name, `data` the JSON
 * {"panel":…,"data_age_ms":…,"newest_event_time":…,"data":…}. The event `status`
 * tells {"connected":true} or {"connected":false,"error":…}; after `true` snapshots
 * of all panels follow, and the definition may have changed.
 *
 * Patches  When those that a newcomer would have to be sent outweigh the snapshots,
 *          the board subscribes anew, which starts with snapshots.
 * End      5 s after the last viewer has left.
 */
#include "api_int.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define VARIABLES_MAX 16
#define VALUE_BYTES_MAX 256
#define BOARDS_MAX 256
#define LEAVE_US (5 * 1000 * 1000)
#define RETRY_MIN_US (250 * 1000)
#define RETRY_MAX_US (5 * 1000 * 1000)
#define RENEW_US (2 * 1000 * 1000) /* at most so often because of patches */
#define STATUS_KEY (-1)
#define FIELDS 6

/* A request that is answered when the subscription has begun. */
struct waiter {
        struct waiter *next;
        struct api_board *board;
        struct leat_http_req *req; /* NULL: it has left */
};

struct api_board {
        struct leat_api *api;
        struct api_board *next;
        char *sql; /* of the subscription; names the board */
        struct leat_http_hub *hub;
        struct api_pg *pg;
        struct leat_timer *retry, *leave;
        struct waiter *waiters;
        int64_t retry_us, live_us;
        int64_t tick;
        bool is_live;
        bool was_live;
        struct leat_buf scratch, event;
};

static void board_open(struct api_board *board);

/* ---- life ---- */

static void board_free(struct api_board *board)
{
        struct api_board **at = &board->api->boards;
        while (*at != board)
                at = &(*at)->next;
        *at = board->next;
        leat_api_pg_close(board->pg);
        leat_http_hub_free(board->hub);
        leat_timer_free(board->retry);
        leat_timer_free(board->leave);
        leat_buf_done(&board->scratch);
        leat_buf_done(&board->event);
        free(board->sql);
        free(board);
}

static void leave_cb(void *arg)
{
        struct api_board *board = arg;
        if (leat_http_hub_viewers(board->hub) == 0 && !board->waiters)
                board_free(board);
}

static void on_viewers(void *arg, int viewers)
{
        struct api_board *board = arg;
        if (viewers == 0)
                leat_timer_start(board->leave, LEAVE_US, 0);
        else
                leat_timer_stop(board->leave);
}

/* ---- viewers that wait for the beginning ---- */

static void waiters_join(struct api_board *board)
{
        struct waiter *waiter = board->waiters;
        board->waiters = NULL;
        while (waiter) {
                struct waiter *next = waiter->next;
                if (waiter->req) {
                        leat_http_req_on_abort(waiter->req, NULL, NULL);
                        leat_http_hub_join(board->hub, waiter->req);
                }
                free(waiter);
                waiter = next;
        }
}

static void waiters_refuse(struct api_board *board, const struct api_pg_error *error)
{
        struct waiter *waiter = board->waiters;
        board->waiters = NULL;
        while (waiter) {
                struct waiter *next = waiter->next;
                if (waiter->req)
                        leat_api_error_respond(waiter->req, error, true);
                free(waiter);
                waiter = next;
        }
}

void leat_api_boards_free(struct leat_api *api)
{
        static const struct api_pg_error STOPPING = {.sqlstate = "57P01", .message = "the server is stopping"};
        while (api->boards) {
                waiters_refuse(api->boards, &STOPPING);
                board_free(api->boards);
        }
}

static void waiter_abort(void *arg)
{
        struct waiter *waiter = arg;
        struct api_board *board = waiter->board;
        struct waiter **at = &board->waiters;
        while (*at != waiter)
                at = &(*at)->next;
        *at = waiter->next;
        free(waiter);
        on_viewers(board, leat_http_hub_viewers(board->hub));
}

/* ---- rows to events ---- */

static void status_send(struct api_board *board, const struct api_pg_error *error)
{
        struct leat_buf buf = LEAT_BUF_INIT;
        leat_buf_printf(&buf, "{\"connected\":%s", error ? "false,\"error\":" : "true");
        if (error)
                leat_api_error_json(&buf, error);
        leat_buf_u8(&buf, '}');
        leat_http_hub_send(board->hub, LEAT_HTTP_NOTE, STATUS_KEY, board->tick, "status", leat_buf_view(&buf));
        leat_buf_done(&buf);
}

static bool read_int(struct leat_view text, int64_t *ret_value)
{
        char digits[24], *end;
        if (text.len == 0 || text.len >= sizeof(digits))
                return false;
        memcpy(digits, text.data, text.len);
        digits[text.len] = '\0';
        *ret_value = strtoll(digits, &end, 10);
        return *end == '\0';
}

static void event_encode(struct leat_buf *out, int64_t panel, const struct leat_view fields[FIELDS])
{
        int64_t age_ms;
        leat_buf_clear(out);
        leat_buf_printf(out, "{\"panel\":%lld,\"data_age_ms\":", (long long)panel);
        if (read_int(fields[4], &age_ms))
                leat_buf_printf(out, "%lld", (long long)age_ms);
        else
                leat_buf_add_str(out, "null");
        leat_buf_add_str(out, ",\"newest_event_time\":");
        if (fields[5].data)
                leat_buf_json_str(out, fields[5]);
        else
                leat_buf_add_str(out, "null");
        if (fields[3].len > 0) {
                leat_buf_add_str(out, ",\"data\":");
                leat_buf_add_view(out, fields[3]);
        }
        leat_buf_u8(out, '}');
}

static void renew_if_heavy(struct api_board *board)
{
        size_t snapshots = leat_http_hub_snapshot_bytes(board->hub), patches = leat_http_hub_patch_bytes(board->hub);
        if (patches <= LEAT_MAX(API_PATCH_LIMIT, 4 * snapshots))
                return;
        if (leat_loop_now_us(board->api->loop) - board->live_us < RENEW_US)
                return;
        leat_api_pg_close(board->pg);
        board->pg = NULL;
        board->is_live = false;
        leat_timer_start(board->retry, 0, 0);
}

static void on_copy(void *arg, struct leat_view line)
{
        struct api_board *board = arg;
        struct leat_view fields[FIELDS];
        int64_t panel;
        if (leat_api_copy_split(line, &board->scratch, fields, FIELDS) != FIELDS ||
            !read_int(fields[0], &board->tick) || !read_int(fields[1], &panel) || panel < 0 || panel > 10000) {
                leat_diag(LEAT_DIAG_WARN, "api", "a subscription brought a line that cannot be read", "line=\"%.*s\"",
                          (int)LEAT_MIN(line.len, (size_t)200), (const char *)line.data);
                return;
        }
        event_encode(&board->event, panel, fields);
        enum leat_http_event kind = LEAT_HTTP_NOTE; /* age, error */
        if (leat_view_eq_str(fields[2], "snapshot"))
                kind = LEAT_HTTP_SNAPSHOT;
        else if (leat_view_eq_str(fields[2], "patch"))
                kind = LEAT_HTTP_PATCH;
        char name[16];
        snprintf(name, sizeof(name), "%.*s", (int)fields[2].len, fields[2].data ? (const char *)fields[2].data : "");
        /* EventSource calls its own troubles "error"; ours must not be taken for them. */
        leat_http_hub_send(board->hub, kind, (int)panel, board->tick, strcmp(name, "error") == 0 ? "failed" : name,
                           leat_buf_view(&board->event));
        renew_if_heavy(board);
}

/* ---- the subscription ---- */

static void on_ready(void *arg)
{
        struct api_board *board = arg;
        if (!board->is_live)
                leat_api_pg_query(board->pg, board->sql);
}

static void on_copy_begin(void *arg)
{
        struct api_board *board = arg;
        board->is_live = true;
        board->retry_us = 0;
        board->live_us = leat_loop_now_us(board->api->loop);
        leat_http_hub_reset(board->hub);
        status_send(board, NULL);
        waiters_join(board);
        board->was_live = true;
}

/* The subscription has ended or never begun: try again, as long as somebody looks. */
static void board_lost(struct api_board *board, const struct api_pg_error *error)
{
        leat_api_pg_close(board->pg);
        board->pg = NULL;
        board->is_live = false;
        status_send(board, error);
        board->retry_us = board->retry_us == 0 ? RETRY_MIN_US : LEAT_MIN(board->retry_us * 2, RETRY_MAX_US);
        leat_timer_start(board->retry, board->retry_us, 0);
}

static void on_error(void *arg, const struct api_pg_error *error)
{
        struct api_board *board = arg;
        bool is_new = !board->was_live;
        if (is_new)
                waiters_refuse(board, error);
        if (is_new && leat_http_hub_viewers(board->hub) == 0)
                board_free(board);
        else
                board_lost(board, error);
}

static void on_command(void *arg, const char *tag)
{
        struct api_pg_error error = {.severity = "ERROR", .sqlstate = "57P01", .message = "the subscription has ended"};
        (void)tag;
        board_lost(arg, &error);
}

static void on_closed(void *arg, const struct api_pg_error *error)
{
        struct api_board *board = arg;
        board->pg = NULL;
        waiters_join(board); /* the page shows that it is disconnected, and recovers with us */
        board_lost(board, error);
}

static const struct api_pg_ops OPS = {.on_ready = on_ready,
                                      .on_copy_begin = on_copy_begin,
                                      .on_copy = on_copy,
                                      .on_command = on_command,
                                      .on_error = on_error,
                                      .on_closed = on_closed};

static void board_open(struct api_board *board)
{
        board->pg = leat_api_pg_open(board->api->loop, &board->api->options.pg, &OPS, board);
}

static void retry_cb(void *arg)
{
        board_open(arg);
}

/* ---- requests ---- */

/* [a-z_][a-z0-9_]*: such a name needs no quotes. */
static bool is_plain_name(const char *name)
{
        if (!(islower((unsigned char)name[0]) || name[0] == '_') || strlen(name) > 63)
                return false;
        return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(name);
}

static int compare_names(const void *a, const void *b)
{
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Writes the subscription's SQL; false when it has answered with an error. */
static bool sql_write(struct leat_http_req *req, struct leat_buf *out)
{
        const char *names[VARIABLES_MAX], *name, *value;
        int count = 0;
        for (int i = 0; leat_http_req_query_at(req, i, &name, &value); i++) {
                if (!is_plain_name(name) || strlen(value) > VALUE_BYTES_MAX || count == VARIABLES_MAX) {
                        leat_http_respond_error(req, 400,
                                                "variables are name=value, at most 16, values of at most 256 bytes",
                                                "\"%s\" is no variable", name);
                        return false;
                }
                names[count++] = name;
        }
        if (count > 0)
                qsort(names, (size_t)count, sizeof(names[0]), compare_names);
        leat_buf_add_str(out, "COPY (SUBSCRIBE TO DASHBOARD ");
        leat_api_sql_name(out, leat_http_req_param(req, "name"));
        for (int i = 0; i < count; i++) {
                if (i > 0 && strcmp(names[i], names[i - 1]) == 0)
                        continue;
                leat_buf_printf(out, "%s%s = ", i > 0 ? ", " : " WITH (", names[i]);
                leat_api_sql_literal(out, leat_http_req_query(req, names[i]));
        }
        leat_buf_add_str(out, count > 0 ? ")) TO STDOUT" : ") TO STDOUT");
        return true;
}

static struct api_board *board_find(struct leat_api *api, const char *sql, int *ret_count)
{
        *ret_count = 0;
        for (struct api_board *board = api->boards; board; board = board->next) {
                if (strcmp(board->sql, sql) == 0)
                        return board;
                ++*ret_count;
        }
        return NULL;
}

static struct api_board *board_new(struct leat_api *api, const char *sql)
{
        struct api_board *board = leat_calloc(1, sizeof(*board));
        board->api = api;
        board->sql = leat_strdup(sql);
        board->hub = leat_http_hub_new(api->http, &(struct leat_http_hub_opts){.on_viewers = on_viewers, .arg = board});
        board->retry = leat_timer_new(api->loop, retry_cb, board);
        board->leave = leat_timer_new(api->loop, leave_cb, board);
        board->next = api->boards;
        api->boards = board;
        board_open(board);
        return board;
}

void leat_api_board_stream_get(struct leat_http_req *req, void *arg)
{
        struct leat_api *api = arg;
        struct leat_buf sql = LEAT_BUF_INIT;
        int count;
        if (!sql_write(req, &sql)) {
                leat_buf_done(&sql);
                return;
        }
        struct api_board *board = board_find(api, leat_buf_cstr(&sql), &count);
        if (!board && count >= BOARDS_MAX) {
                leat_http_respond_error(req, 503, "close some dashboards; each choice of variables counts as one",
                                        "%d dashboards are live, which is the limit", count);
        } else {
                if (!board)
                        board = board_new(api, leat_buf_cstr(&sql));
                leat_timer_stop(board->leave);
                if (board->was_live || leat_http_hub_viewers(board->hub) > 0) {
                        leat_http_hub_join(board->hub, req);
                } else {
                        struct waiter *waiter = leat_calloc(1, sizeof(*waiter));
                        *waiter = (struct waiter){.next = board->waiters, .board = board, .req = req};
                        board->waiters = waiter;
                        leat_http_req_on_abort(req, waiter_abort, waiter);
                }
        }
        leat_buf_done(&sql);
}
