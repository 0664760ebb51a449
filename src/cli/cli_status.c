/* SPDX-License-Identifier: Apache-2.0 */
/* leat/cli: leat status: whether the doors answer (HTTP), and a picture of what runs (the PostgreSQL door). */
#include <poll.h>
#include <stdio.h>

#include "cli_int.h"

static const char usage[] =
        "usage: leat status [--pg ADDR] [--http ADDR]\n"
        "\n"
        "Shows whether all doors answer, and topics, views and dashboards with rows a second, lag and data age.\n"
        "\n"
        "  --pg ADDR      where Leat answers SQL (LEAT_PG, else " CLI_PG_DEFAULT ")\n"
        "  --http ADDR    where it answers HTTP (LEAT_HTTP, else " CLI_HTTP_DEFAULT ")\n"
        "\n"
        "Exit code 1 when a door does not answer or a job is paused, failed or down.\n";

struct status {
        int bad;
};

#define STATUS_HTTP_US (5LL * 1000 * 1000)

/* ---- the HTTP door ------------------------------------------------------------------ */
/* GET /readyz; the answer's body in @body (bounded), the status code as result, 0 when there is no answer. */
static int ask_ready(const char *http, char *body, size_t size, struct leat_error *err)
{
        struct leat_addr addr;
        char request[160], answer[4096];
        int fd, code = 0;
        size_t got = 0;
        ssize_t n;
        int64_t end_us = leat_os_monotonic_us() + STATUS_HTTP_US;
        if (leat_os_addr_parse(http, &addr, err) != 0 || leat_os_connect(&addr, STATUS_HTTP_US, &fd, err) != 0)
                return 0;
        int len = snprintf(request, sizeof request, "GET /readyz HTTP/1.1\r\nHost: %.80s\r\nConnection: close\r\n\r\n",
                           http);
        if (leat_os_send(fd, request, (size_t)len) == len) {
                while (got < sizeof answer - 1 && leat_os_monotonic_us() < end_us) {
                        (void)leat_os_poll1(fd, POLLIN, end_us - leat_os_monotonic_us());
                        n = leat_os_recv(fd, answer + got, sizeof answer - 1 - got);
                        if (n <= 0)
                                break;
                        got += (size_t)n;
                }
        }
        leat_os_close(fd);
        answer[got] = '\0';
        const char *end = strstr(answer, "\r\n\r\n");
        if (end == NULL || sscanf(answer, "HTTP/1.%*d %d", &code) != 1)
                leat_error_set(err, LEAT_EPROTO, "%s does not answer as Leat does", http);
        else
                snprintf(body, size, "%s", end + 4);
        return code;
}

static int print_doors(const char *http)
{
        struct leat_error err = {0};
        char body[2048] = "";
        int code = ask_ready(http, body, sizeof body, &err);
        if (code == 200)
                printf("ready, console at http://%s\n\n", http);
        else if (code != 0)
                printf("NOT READY: %s\n\n", body);
        else
                printf("NO ANSWER on HTTP: %s\n\n", err.message);
        return code == 200 ? 0 : 1;
}

/* ---- what runs ------------------------------------------------------------------------ */

static const char *cell(const struct cli_pg_result *r, uint32_t row, uint32_t column)
{
        const char *text = r->cells[(size_t)row * r->column_count + column];
        return text == NULL ? "" : text;
}

static void print_age(const char *ms_text)
{
        double ms = atof(ms_text);
        if (ms_text[0] == '\0')
                printf("%10s", "");
        else if (ms < 1000)
                printf("%7.0f ms", ms);
        else
                printf("%8.1f s", ms / 1000);
}

static void on_flow(void *arg, const struct cli_pg_result *r)
{
        struct status *s = arg;
        const char *kind = "";
        if (!r->has_rows)
                return;
        if (r->row_count == 0)
                printf("nothing yet: produce to a topic, or CREATE TOPIC\n");
        for (uint32_t i = 0; i < r->row_count; i++) {
                const char *state = cell(r, i, 7);
                if (strcmp(kind, cell(r, i, 0)) != 0) {
                        kind = cell(r, i, 0);
                        printf("%s%-28s %14s %12s %10s %10s  %s\n", i == 0 ? "" : "\n", kind, "rows", "rows/s", "lag",
                               "age", "state");
                }
                printf("  %-26s %14s %12.0f %10s ", cell(r, i, 1), cell(r, i, 3), atof(cell(r, i, 4)), cell(r, i, 5));
                print_age(cell(r, i, 6));
                printf("  %s%s%s\n", state, cell(r, i, 8)[0] == '\0' ? "" : ": ", cell(r, i, 8));
                s->bad |= strcmp(state, "paused") == 0 || strcmp(state, "failed") == 0 || strcmp(state, "down") == 0;
        }
}

int leat_cli_status(int argc, char **argv)
{
        const char *addr = getenv("LEAT_PG") == NULL ? CLI_PG_DEFAULT : getenv("LEAT_PG");
        const char *http = getenv("LEAT_HTTP") == NULL ? CLI_HTTP_DEFAULT : getenv("LEAT_HTTP");
        const struct cli_option options[] = {{"--pg", NULL, &addr, NULL}, {"--http", NULL, &http, NULL}};
        struct leat_error err = {0};
        struct cli_pg_error e;
        struct cli_pg *pg;
        struct status s = {0};
        struct cli_pg_ops ops = {.result = on_flow, .arg = &s};
        int rc = cli_options("status", usage, argc, argv, options, LEAT_ARRAY_LEN(options), NULL, NULL);
        if (rc != 0)
                return rc < 0 ? 0 : rc;
        int doors = print_doors(http);
        fflush(stdout);
        if (cli_pg_connect(addr, &pg, &err) != 0)
                return cli_fail("status", &err);
        /* Rates need two looks, a second apart. */
        struct cli_pg_ops quiet = {0};
        rc = cli_pg_query(pg, "SHOW FLOW", &quiet, &e, &err);
        if (rc == 0) {
                leat_os_sleep_us(1000 * 1000);
                rc = cli_pg_query(pg, "SHOW FLOW", &ops, &e, &err);
        }
        cli_pg_close(pg);
        return rc != 0 ? cli_fail("status", &err) : s.bad | doors;
}
