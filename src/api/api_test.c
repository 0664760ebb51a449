/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of the role over HTTP, against scripted stand-ins for query and broker. */
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api_test_peers.h"

/* How long a test waits for what must come at once: a busy machine is no reason to fail. */
#define PATIENCE_MS (60 * 1000)

/* ---- scripts ---- */

static bool answer_select(struct leat_buf *out)
{
        msg_error(out, 'N', "NOTICE", "00000", "be told", NULL, NULL);
        msg_columns(out, "site:25 scans:20 share:701");
        msg_row(out, "HAM2|12|0.5");
        msg_row(out, "LE\"J|-|NaN");
        msg_one_text(out, 'C', "SELECT 2");
        return true;
}

static bool answer_error(struct leat_buf *out)
{
        msg_error(out, 'E', "ERROR", "42703", "column \"x\" does not exist", "write y", "8");
        return true;
}

static bool answer_many(struct leat_buf *out)
{
        msg_one_text(out, 'C', "SET");
        msg_columns(out, "n:23");
        for (int i = 0; i < 7000; i++)
                msg_row(out, "1");
        msg_one_text(out, 'C', "SELECT 7000");
        return true;
}

static bool answer_ddl(struct leat_buf *out)
{
        msg_columns(out, "n:23");
        msg_row(out, "1");
        msg_one_text(out, 'C', "SELECT 1");
        msg_one_text(out, 'C', "CREATE TOPIC");
        return true;
}

static bool answer_never(struct leat_buf *out)
{
        (void)out;
        return false;
}

static bool answer_flow(struct leat_buf *out)
{
        msg_columns(out,
                    "kind:25 name:25 inputs:25 rows_total:20 rows_per_s:701 lag:20 data_age_ms:20 state:25 detail:25");
        msg_row(out, "topic|scans||100|2.5|0|3|running|-");
        msg_row(out, "job|inflow|scans|100|2.5|0|3|running|-");
        msg_row(out, "view|inflow|[\"job/inflow\"]|10|0.5|0|3|running|-");
        msg_row(out, "dashboard|wall|{inflow}|-|-|-|-|-|-");
        msg_one_text(out, 'C', "SHOW");
        return true;
}

static bool answer_dashboards(struct leat_buf *out)
{
        msg_columns(out, "name:25 title:25");
        msg_row(out, "wall|The wall");
        msg_row(out, "a/b c|-");
        msg_one_text(out, 'C', "SHOW");
        return true;
}

static bool answer_wall(struct leat_buf *out)
{
        msg_columns(out, "name:25 title:25 definition:114");
        msg_row(out,
                "wall|The wall|{\"title\":\"The wall\",\"variables\":[{\"name\":\"site\",\"default\":\"HAM2\",\"sql\":"
                "\"SELECT site FROM sites\"},{\"name\":\"free\"}],\"panels\":[{\"name\":\"p\",\"type\":\"line\"}]}");
        msg_one_text(out, 'C', "DESCRIBE");
        return true;
}

static bool answer_odd(struct leat_buf *out)
{
        msg_columns(out, "name:25 title:25 definition:114");
        msg_row(out, "a/b c|-|{\"panels\":[]}");
        msg_one_text(out, 'C', "DESCRIBE");
        return true;
}

static bool answer_sites(struct leat_buf *out)
{
        msg_columns(out, "site:25");
        msg_row(out, "HAM2");
        msg_row(out, "LEJ1");
        msg_one_text(out, 'C', "SELECT 2");
        return true;
}

static bool answer_subscribe(struct leat_buf *out)
{
        msg_copy_begin(out);
        msg_copy(out, "7\t0\tsnapshot\t{\"columns\":[],\"rows\":[[\"a\\\\\\\\b\"]]}\t12\t2026-01-02 03:04:05+00");
        return false;
}

static bool answer_unknown(struct leat_buf *out)
{
        msg_error(out, 'E', "ERROR", "42P01", "there is no dashboard \"no\"", NULL, NULL);
        return true;
}

static const struct peer_script SCRIPTS[] = {
        {"SELECT", answer_select},
        {"SELECT x", answer_error},
        {"SET a = 1; SELECT many", answer_many},
        {"SELECT 1; CREATE TOPIC t", answer_ddl},
        {"SELECT never", answer_never},
        {"SHOW FLOW", answer_flow},
        {"SHOW DASHBOARDS", answer_dashboards},
        {"DESCRIBE DASHBOARD \"wall\"", answer_wall},
        {"DESCRIBE DASHBOARD \"a/b c\"", answer_odd},
        {"DESCRIBE DASHBOARD \"none\"", answer_unknown},
        {"SELECT site FROM sites", answer_sites},
        {"COPY (SUBSCRIBE TO DASHBOARD \"wall\" WITH (route = 'x''y', site = 'HAM2')) TO STDOUT", answer_subscribe},
        {"COPY (SUBSCRIBE TO DASHBOARD \"wall\") TO STDOUT", answer_subscribe},
        {"COPY (SUBSCRIBE TO DASHBOARD \"no\"\"w\") TO STDOUT", answer_unknown},
};

/* ---- the role under test ---- */

struct stand {
        struct peers peers;
        struct leat_api *api;
        struct leat_addr addr;
        pthread_t thread;
};

static void *run_api(void *arg)
{
        leat_api_run(arg);
        return NULL;
}

static void stand_start(struct stand *stand)
{
        struct leat_error err;
        int fd;
        memset(stand, 0, sizeof(*stand));
        peers_start(&stand->peers, SCRIPTS, (int)LEAT_ARRAY_LEN(SCRIPTS));
        CHECK_OK(leat_os_addr_parse("127.0.0.1:0", &stand->addr, &err), &err);
        CHECK_OK(leat_os_listen(&stand->addr, 512, &fd, &stand->addr.port, &err), &err);
        struct leat_api_options options = {.data_dir = leat_test_tmpdir(),
                                           .pg = stand->peers.pg,
                                           .kafka = stand->peers.kafka,
                                           .http_port = stand->addr.port};
        CHECK_OK(leat_api_new(fd, &options, &stand->api, &err), &err);
        CHECK_INT(pthread_create(&stand->thread, NULL, run_api, stand->api), 0);
}

static void stand_stop(struct stand *stand)
{
        leat_api_stop(stand->api);
        pthread_join(stand->thread, NULL);
        leat_api_free(stand->api);
        if (stand->peers.loop)
                peers_stop(&stand->peers);
}

static int ask(const struct stand *stand, const char *method, const char *path, const char *headers, const char *body)
{
        struct leat_error err;
        struct leat_buf buf = LEAT_BUF_INIT;
        int fd;
        CHECK_OK(leat_os_connect(&stand->addr, PATIENCE_MS * 1000, &fd, &err), &err);
        leat_buf_printf(&buf, "%s %s HTTP/1.1\r\nHost: localhost:%u\r\n%s", method, path, stand->addr.port, headers);
        if (body)
                leat_buf_printf(&buf, "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", strlen(body),
                                body);
        else
                leat_buf_add_str(&buf, "\r\n");
        CHECK_INT(send(fd, buf.data, buf.len, MSG_NOSIGNAL), buf.len);
        leat_buf_done(&buf);
        return fd;
}

static const char *hear(int fd, const char *until, struct leat_buf *buf)
{
        leat_buf_clear(buf);
        while (!until || !strstr(leat_buf_cstr(buf), until)) {
                struct pollfd ready = {.fd = fd, .events = POLLIN};
                if (poll(&ready, 1, PATIENCE_MS) <= 0)
                        leat_test_fail(__FILE__, __LINE__, "no \"%s\" came, only: %s", until ? until : "end",
                                       leat_buf_cstr(buf));
                ssize_t got = recv(fd, leat_buf_reserve(buf, 65536), 65536, 0);
                CHECK(got >= 0);
                if (got == 0)
                        break;
                buf->len += (size_t)got;
        }
        return leat_buf_cstr(buf);
}

static void check_answer(const struct stand *stand, const char *method, const char *path, const char *body, int status,
                         const char *part)
{
        static struct leat_buf buf;
        char want[32];
        int fd = ask(stand, method, path, "Connection: close\r\n", body);
        const char *got = hear(fd, NULL, &buf);
        snprintf(want, sizeof(want), "HTTP/1.1 %d ", status);
        if (strncmp(got, want, strlen(want)) != 0 || !strstr(got, part))
                leat_test_fail(__FILE__, __LINE__, "%s %s: not %d with %s\nbut %s", method, path, status, part, got);
        close(fd);
}

static void wait_count(_Atomic int *value, int want)
{
        for (int i = 0; i < PATIENCE_MS && atomic_load(value) < want; i++)
                leat_os_sleep_us(1000);
        CHECK(atomic_load(value) >= want);
}

/* ---- tests ---- */

LEAT_TEST(api_sql_over_http)
{
        struct stand stand;
        stand_start(&stand);
        check_answer(
                &stand, "POST", "/api/sql", "{\"sql\":\"SELECT\"}", 200,
                "{\"columns\":[{\"name\":\"site\",\"type\":\"text\"},{\"name\":\"scans\",\"type\":\"bigint\"},"
                "{\"name\":\"share\",\"type\":\"double\"}],\"rows\":[\n[\"HAM2\",12,0.5],\n[\"LE\\\"J\",null,\"NaN\"]],"
                "\"truncated\":false,\"notices\":[{\"message\":\"be "
                "told\",\"sqlstate\":\"00000\",\"severity\":\"NOTICE\"}],"
                "\"command\":\"SELECT 2\",\"statements\":[{\"command\":\"SELECT 2\",\"rows\":2}],\"elapsed_ms\":");
        check_answer(
                &stand, "POST", "/api/sql", "{\"sql\":\"SELECT x\"}", 400,
                "{\"error\":{\"message\":\"column \\\"x\\\" does not exist\",\"sqlstate\":\"42703\",\"position\":8,"
                "\"hint\":\"write y\"}");
        check_answer(
                &stand, "POST", "/api/sql", "{\"sql\":\"SET a = 1; SELECT many\"}", 200,
                "\"truncated\":true,\"notices\":[],\"command\":\"SELECT 7000\",\"statements\":[{\"command\":\"SET\","
                "\"rows\":0},{\"command\":\"SELECT 7000\",\"rows\":5000}]");
        check_answer(&stand, "POST", "/api/sql", "{\"sql\":\"SET a = 1; SELECT many\",\"max_rows\":0}", 200,
                     "\"rows\":[],\"truncated\":true");
        check_answer(&stand, "POST", "/api/sql", "{\"sql\":\"SELECT 1; CREATE TOPIC t\"}", 200,
                     "{\"columns\":[],\"rows\":[],\"truncated\":false");
        check_answer(&stand, "POST", "/api/sql", "{\"sql\":\"COPY (SUBSCRIBE TO DASHBOARD \\\"wall\\\") TO STDOUT\"}",
                     400, "not possible over HTTP");
        check_answer(&stand, "POST", "/api/sql", "{\"sql\":1}", 400, "must be a text");
        check_answer(&stand, "POST", "/api/sql", "{\"sql\":\"x\",\"max_rows\":-1}", 400, "max_rows");
        check_answer(&stand, "POST", "/api/sql", "sql", 400, "not JSON");
        stand_stop(&stand);
}

LEAT_TEST(api_sql_is_cancelled_when_the_client_leaves)
{
        struct stand stand;
        stand_start(&stand);
        int fd = ask(&stand, "POST", "/api/sql", "", "{\"sql\":\"SELECT never\"}");
        wait_count(&stand.peers.queries, 1);
        close(fd);
        wait_count(&stand.peers.cancels, 1);
        fd = ask(&stand, "POST", "/api/sql", "", "{\"sql\":\"SELECT never\"}");
        wait_count(&stand.peers.queries, 2);
        stand_stop(&stand); /* with a query under way */
        close(fd);
}

LEAT_TEST(api_sql_without_query_role)
{
        struct stand stand;
        stand_start(&stand);
        peers_stop(&stand.peers);
        check_answer(&stand, "POST", "/api/sql", "{\"sql\":\"SELECT\"}", 503, "\"sqlstate\":\"08006\"");
        check_answer(&stand, "GET", "/readyz", NULL, 503, "{\"ready\":false,\"kafka\":{\"ok\":false,");
        check_answer(&stand, "GET", "/api/flow", NULL, 503, "no connection to the query role");
        check_answer(&stand, "GET", "/healthz", NULL, 200, "ok");
        stand_stop(&stand);
}

LEAT_TEST(api_ready_when_all_doors_answer)
{
        struct stand stand;
        stand_start(&stand);
        check_answer(&stand, "GET", "/readyz", NULL, 200,
                     "{\"ready\":true,\"kafka\":{\"ok\":true},\"pg\":{\"ok\":true},\"http\":{\"ok\":true}}");
        CHECK_INT(stand.peers.queries, 0);
        stand_stop(&stand);
}

LEAT_TEST(api_metrics_of_all_roles)
{
        struct stand stand;
        struct leat_stats *stats;
        struct leat_error err;
        char path[512];
        stand_start(&stand);
        check_answer(&stand, "GET", "/metrics", NULL, 200, "# TYPE leat_up gauge\n");
        snprintf(path, sizeof(path), "%s/run", leat_test_tmpdir());
        CHECK_OK(leat_os_mkdirs(path, &err), &err);
        snprintf(path, sizeof(path), "%s/run/broker.stats", leat_test_tmpdir());
        CHECK_OK(leat_stats_open(path, 16, &stats, &err), &err);
        leat_stat_add(leat_stats_slot(stats, LEAT_M_BROKER_PRODUCED_RECORDS, "topic=\"scans\""), 42);
        leat_stat_add(leat_stats_slot(stats, LEAT_M_HTTP_STREAMS, ""), 3);
        check_answer(&stand, "GET", "/metrics", NULL, 200,
                     "# TYPE leat_broker_produced_records_total counter\n"
                     "leat_broker_produced_records_total{role=\"broker\",topic=\"scans\"} 42\n");
        check_answer(&stand, "GET", "/metrics", NULL, 200, "leat_http_streams{role=\"broker\"} 3\n");
        check_answer(&stand, "GET", "/metrics", NULL, 200, "leat_up{role=\"broker\"} 1\n");
        check_answer(&stand, "GET", "/metrics", NULL, 200, "leat_process_cpu_seconds_total{role=\"broker\"} ");
        leat_stats_close(stats);
        stand_stop(&stand);
}

LEAT_TEST(api_flow_as_a_drawing)
{
        struct stand stand;
        struct leat_buf buf = LEAT_BUF_INIT;
        stand_start(&stand);
        check_answer(&stand, "GET", "/api/flow", NULL, 200,
                     "{\"nodes\":[{\"id\":\"topic/"
                     "scans\",\"kind\":\"topic\",\"name\":\"scans\",\"inputs\":[],\"rows_total\":100,"
                     "\"rows_per_s\":2.5,\"lag\":0,\"data_age_ms\":3,\"state\":\"running\",\"detail\":null}");
        check_answer(&stand, "GET", "/api/flow", NULL, 200,
                     "\"edges\":[{\"from\":\"topic/scans\",\"to\":\"job/inflow\"},{\"from\":\"job/"
                     "inflow\",\"to\":\"view/inflow\"},"
                     "{\"from\":\"job/inflow\",\"to\":\"dashboard/wall\"}]");
        int before = stand.peers.queries;
        int one = ask(&stand, "GET", "/api/flow/stream", "", NULL),
            two = ask(&stand, "GET", "/api/flow/stream", "", NULL);
        CHECK(strstr(hear(one, "event: flow\ndata: {\"nodes\":[", &buf), "text/event-stream"));
        hear(two, "event: flow\n", &buf);
        wait_count(&stand.peers.queries, before + 3);
        CHECK_INT(stand.peers.sessions, 1);
        close(one);
        close(two);
        for (int i = 0; i < 30; i++) { /* nobody listens, nobody asks: soon */
                before = stand.peers.queries;
                leat_os_sleep_us(700 * 1000);
                if (stand.peers.queries == before)
                        break;
        }
        CHECK_INT(stand.peers.queries, before);
        leat_buf_done(&buf);
        stand_stop(&stand);
}

LEAT_TEST(api_dashboard_definitions)
{
        struct stand stand;
        stand_start(&stand);
        check_answer(
                &stand, "GET", "/api/dashboards", NULL, 200,
                "{\"dashboards\":[{\"name\":\"wall\",\"title\":\"The wall\"},{\"name\":\"a/b c\",\"title\":null}]}");
        check_answer(&stand, "GET", "/api/dashboards/wall", NULL, 200,
                     "\"choices\":[\"HAM2\",\"LEJ1\"]},{\"name\":\"free\"}]");
        check_answer(&stand, "GET", "/api/dashboards/a%2Fb%20c", NULL, 200, "\"name\":\"a/b c\"");
        check_answer(&stand, "GET", "/api/dashboards/none", NULL, 404, "there is no dashboard");
        stand_stop(&stand);
}

LEAT_TEST(api_dashboard_stream)
{
        struct stand stand;
        struct leat_buf buf = LEAT_BUF_INIT;
        stand_start(&stand);
        int one = ask(&stand, "GET", "/api/dashboards/wall/stream?site=HAM2&route=x%27y", "", NULL);
        const char *got = hear(one, "\"rows\":[[\"a\\\\b\"]]}}\n\n", &buf);
        CHECK(strstr(got, "event: status\ndata: {\"connected\":true}\n\n"));
        CHECK(strstr(got, "\nevent: snapshot\ndata: {\"panel\":0,\"data_age_ms\":12,\"newest_event_time\":\"2026-01-02 "
                          "03:04:05+00\",\"data\":{\"columns\":[],"));
        CHECK(strstr(got, "id: 7."));
        int two = ask(&stand, "GET", "/api/dashboards/wall/stream?route=x%27y&site=HAM2", "", NULL);
        hear(two, "event: snapshot\n", &buf);
        CHECK_INT(stand.peers.sessions, 1); /* one subscription for both */
        peers_copy(&stand.peers, "8\t0\tpatch\t{\"set\":[[1]],\"remove\":[],\"keys\":1}\t0\t\\N");
        peers_copy(&stand.peers, "8\t0\tage\t\\N\t40\t\\N");
        hear(one, "event: age\ndata: {\"panel\":0,\"data_age_ms\":40,\"newest_event_time\":null}\n\n", &buf);
        hear(two, "event: age\n", &buf);
        peers_copy(&stand.peers, "not a line");
        peers_copy(&stand.peers, "9\t1\terror\t{\"message\":\"m\"}\t\\N\t\\N");
        got = hear(two, "\"message\":\"m\"", &buf);
        CHECK(strstr(got, "event: failed\ndata: {\"panel\":1,\"data_age_ms\":null"));
        close(one);
        close(two);
        leat_buf_done(&buf);
        stand_stop(&stand);
}

LEAT_TEST(api_dashboard_stream_refusals)
{
        struct stand stand;
        stand_start(&stand);
        check_answer(&stand, "GET", "/api/dashboards/no%22w/stream", NULL, 404, "there is no dashboard");
        check_answer(&stand, "GET", "/api/dashboards/wall/stream?Bad=1", NULL, 400, "is no variable");
        check_answer(&stand, "GET", "/api/dashboards/wall/stream?a%20b=1", NULL, 400, "is no variable");
        stand_stop(&stand);
}

LEAT_TEST(api_dashboard_stream_survives_the_query_role)
{
        struct stand stand;
        struct leat_buf buf = LEAT_BUF_INIT;
        stand_start(&stand);
        int fd = ask(&stand, "GET", "/api/dashboards/wall/stream", "", NULL);
        hear(fd, "event: snapshot\n", &buf);
        peers_stop(&stand.peers);
        hear(fd, "{\"connected\":false,\"error\":{", &buf);
        peers_start(&stand.peers, SCRIPTS, (int)LEAT_ARRAY_LEN(SCRIPTS));
        const char *got = hear(fd, "event: snapshot\n", &buf);
        CHECK(strstr(got, "{\"connected\":true}"));
        close(fd);
        leat_buf_done(&buf);
        stand_stop(&stand);
}

LEAT_TEST(api_dashboard_stream_renews_when_patches_are_heavy)
{
        struct stand stand;
        struct leat_buf buf = LEAT_BUF_INIT, line = LEAT_BUF_INIT;
        stand_start(&stand);
        int64_t begun_us = leat_os_monotonic_us();
        int fd = ask(&stand, "GET", "/api/dashboards/wall/stream", "", NULL);
        hear(fd, "event: snapshot\n", &buf);
        leat_buf_add_str(&line, "8\t0\tpatch\t[\"");
        memset(leat_buf_reserve(&line, API_PATCH_LIMIT), 'x', API_PATCH_LIMIT);
        line.len += API_PATCH_LIMIT;
        leat_buf_add_str(&line, "\"]\t0\t\\N");
        peers_copy(&stand.peers, leat_buf_cstr(&line));
        hear(fd, "\"]}\n\n", &buf);
        int sessions = stand.peers.sessions;
        if (leat_os_monotonic_us() - begun_us < 2 * 1000 * 1000)
                CHECK_INT(sessions, 1); /* not at once again */
        leat_os_sleep_us(2 * 1000 * 1000);
        peers_copy(&stand.peers, "9\t0\tpatch\t[]\t0\t\\N");
        hear(fd, "event: snapshot\n", &buf);
        if (sessions == 1)
                CHECK_INT(stand.peers.sessions, 2);
        close(fd);
        leat_buf_done(&buf);
        leat_buf_done(&line);
        stand_stop(&stand);
}

LEAT_TEST(api_console_is_there)
{
        struct stand stand;
        stand_start(&stand);
        check_answer(&stand, "GET", "/", NULL, 200, "<title>Leat");
        check_answer(&stand, "GET", "/home.js", NULL, 200, "text/javascript");
        check_answer(&stand, "GET", "/d/wall", NULL, 200, "/dashboard.js");
        stand_stop(&stand);
}
