/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of event streams: state for newcomers, resuming, slow viewers, many viewers. */
#include "http_test_util.h"

struct board {
        struct test_http test;
        struct leat_http_hub *hub;
        _Atomic int viewers;
};

static void on_viewers(void *arg, int viewers)
{
        atomic_store(&((struct board *)arg)->viewers, viewers);
}

static void join(struct leat_http_req *req, void *arg)
{
        leat_http_hub_join(((struct board *)arg)->hub, req);
}

static const struct leat_http_route ROUTES[] = {{"GET", "/stream", join}};

static void board_start(struct board *board, size_t slow_bytes)
{
        struct leat_http_opts opts = {.routes = ROUTES, .route_count = 1, .arg = board};
        memset(board, 0, sizeof(*board));
        test_http_start(&board->test, &opts);
        board->hub = leat_http_hub_new(
                board->test.http,
                &(struct leat_http_hub_opts){.slow_bytes = slow_bytes, .on_viewers = on_viewers, .arg = board});
        test_http_run(&board->test);
}

static void board_stop(struct board *board)
{
        leat_loop_join(board->test.loop);
        leat_http_hub_free(board->hub);
        test_http_stop(&board->test);
}

struct say {
        struct board *board;
        enum leat_http_event kind;
        int key;
        int64_t tick;
        const char *name, *data;
        size_t repeat; /* data is @repeat times its first byte */
        _Atomic bool done;
};

static void say_post(void *arg)
{
        struct say *say = arg;
        struct leat_buf buf = LEAT_BUF_INIT;
        if (!say->name) {
                leat_http_hub_reset(say->board->hub);
        } else if (say->repeat > 0) {
                memset(leat_buf_reserve(&buf, say->repeat), say->data[0], say->repeat);
                buf.len = say->repeat;
        } else {
                leat_buf_add_str(&buf, say->data);
        }
        if (say->name)
                leat_http_hub_send(say->board->hub, say->kind, say->key, say->tick, say->name, leat_buf_view(&buf));
        leat_buf_done(&buf);
        atomic_store(&say->done, true);
}

static void say(struct board *board, struct say what)
{
        what.board = board;
        leat_loop_post_wait(board->test.loop, say_post, &what);
        while (!atomic_load(&what.done))
                leat_os_sleep_us(100);
}

static void viewers_become(struct board *board, int viewers)
{
        for (int i = 0; i < PATIENCE_MS && atomic_load(&board->viewers) != viewers; i++)
                leat_os_sleep_us(1000);
        CHECK_INT(atomic_load(&board->viewers), viewers);
}

static int view(struct board *board, const char *last_id)
{
        char text[200];
        int before = atomic_load(&board->viewers);
        int fd = test_http_dial(&board->test);
        snprintf(text, sizeof(text), "GET /stream HTTP/1.1\r\n%%H%s%s\r\n\r\n",
                 last_id ? "Last-Event-ID: " : "X: ", last_id ? last_id : "");
        test_http_say(&board->test, fd, text);
        viewers_become(board, before + 1);
        return fd;
}

static void id_of(const char *text, const char *data, char out[64])
{
        const char *at = strstr(text, data);
        CHECK(at != NULL);
        while (strncmp(at, "id: ", 4) != 0)
                at--;
        snprintf(out, 64, "%.*s", (int)strcspn(at + 4, "\n"), at + 4);
}

LEAT_TEST(http_stream_newcomers_and_resuming)
{
        struct board board;
        struct leat_buf buf = LEAT_BUF_INIT;
        char id[64];
        board_start(&board, 0);
        say(&board, (struct say){.key = 1, .tick = 4, .name = "snapshot", .data = "{\"old\":1}"});
        say(&board,
            (struct say){.kind = LEAT_HTTP_PATCH, .key = 1, .tick = 4, .name = "patch", .data = "{\"oldp\":1}"});
        say(&board, (struct say){.key = 1, .tick = 5, .name = "snapshot", .data = "{\"s\":1}"});
        say(&board, (struct say){.key = 2, .tick = 5, .name = "snapshot", .data = "{\n\"s\":2}"});
        say(&board, (struct say){.kind = LEAT_HTTP_PATCH, .key = 1, .tick = 6, .name = "patch", .data = "{\"p\":1}"});
        say(&board, (struct say){.kind = LEAT_HTTP_NOTE, .key = 1, .tick = 6, .name = "age", .data = "{\"age\":1}"});
        say(&board, (struct say){.kind = LEAT_HTTP_NOTE, .key = 1, .tick = 6, .name = "age", .data = "{\"age\":2}"});
        int fd = view(&board, NULL);
        const char *got = test_http_hear(fd, "\"age\":2}", &buf);
        CHECK(strstr(got, "Content-Type: text/event-stream\r\n"));
        CHECK(strstr(got, "retry: "));
        CHECK(!strstr(got, "old") && !strstr(got, "\"age\":1"));
        CHECK(strstr(got, "\nevent: snapshot\ndata: {\ndata: \"s\":2}\n\n"));
        CHECK(strstr(got, "\"s\":1") < strstr(got, "\"p\":1"));
        id_of(got, "\"s\":2", id);
        CHECK(strncmp(id, "5.", 2) == 0);
        say(&board, (struct say){.kind = LEAT_HTTP_PATCH, .key = 2, .tick = 7, .name = "patch", .data = "{\"p\":2}"});
        test_http_hear(fd, "{\"p\":2}", &buf);
        close(fd);
        viewers_become(&board, 0);

        int again = view(&board, id);
        got = test_http_hear(again, "{\"p\":2}", &buf);
        CHECK(!strstr(got, "\"s\":") && strstr(got, "\"p\":1"));
        int foreign = view(&board, "5.17");
        got = test_http_hear(foreign, "{\"p\":2}", &buf);
        CHECK(strstr(got, "\"s\":1"));

        say(&board, (struct say){.name = NULL}); /* reset */
        say(&board, (struct say){.key = 1, .tick = 1, .name = "snapshot", .data = "{\"new\":1}"});
        int late = view(&board, id); /* what was before the reset does not come back */
        got = test_http_hear(late, "{\"new\":1}", &buf);
        CHECK(!strstr(got, "\"p\":"));
        int ahead = view(&board, "5.99999999999999999"); /* of a clock that was ahead */
        test_http_hear(ahead, "{\"new\":1}", &buf);
        close(ahead);
        close(again);
        close(foreign);
        close(late);
        leat_buf_done(&buf);
        board_stop(&board);
}

LEAT_TEST(http_stream_slow_viewer_skips)
{
        struct board board;
        struct leat_buf buf = LEAT_BUF_INIT;
        board_start(&board, 4096);
        int slow = view(&board, NULL), quick = view(&board, NULL);
        const int rounds = 300;
        for (int i = 1; i <= rounds; i++) { /* 300 times 64 KB: no socket buffer holds that */
                char name[16];
                snprintf(name, sizeof(name), "%s", i == rounds ? "last" : "snapshot");
                say(&board, (struct say){.key = 1, .tick = i, .name = name, .data = "x", .repeat = 65536});
                if (i % 8 == 0) {
                        char until[32];
                        snprintf(until, sizeof(until), "id: %d.", i);
                        test_http_hear(quick, until, &buf);
                }
        }
        struct leat_buf all = LEAT_BUF_INIT;
        const char *got = test_http_hear(slow, "event: last\n", &all);
        int events = 0;
        for (const char *at = got; (at = strstr(at, "event: ")) != NULL; at++)
                events++;
        CHECK(events < rounds / 2); /* it has skipped, and has the newest */
        CHECK_INT(board.viewers, 2);
        close(slow);
        close(quick);
        leat_buf_done(&all);
        leat_buf_done(&buf);
        board_stop(&board);
}

LEAT_TEST(http_stream_many_viewers)
{
        struct board board;
        struct leat_buf buf = LEAT_BUF_INIT;
        enum { VIEWERS = 400 };
        static int fds[VIEWERS];
        board_start(&board, 0);
        for (int i = 0; i < VIEWERS; i++)
                fds[i] = view(&board, NULL);
        for (int tick = 1; tick <= 5; tick++)
                say(&board, (struct say){.key = 1, .tick = tick, .name = "snapshot", .data = "{\"rows\":[1,2,3]}"});
        for (int i = 0; i < VIEWERS; i++) {
                test_http_hear(fds[i], "id: 5.", &buf);
                close(fds[i]);
        }
        viewers_become(&board, 0);
        leat_buf_done(&buf);
        board_stop(&board);
}
