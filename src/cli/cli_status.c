/* SPDX-License-Identifier: Apache-2.0 */
/* leat/cli: leat status: a picture of what runs, from the PostgreSQL door. */
#include <stdio.h>

#include "cli_int.h"

static const char usage[] = "usage: leat status [--pg ADDR]\n"
                            "\n"
                            "Shows topics, views and dashboards with rows a second, lag and data age.\n"
                            "\n"
                            "  --pg ADDR    where Leat answers (LEAT_PG, else " CLI_PG_DEFAULT ")\n"
                            "\n"
                            "Exit code 1 when Leat does not answer or a job is paused or failed.\n";

struct status {
        int bad;
};

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
                s->bad |= strcmp(state, "paused") == 0 || strcmp(state, "failed") == 0;
        }
}

int leat_cli_status(int argc, char **argv)
{
        const char *addr = getenv("LEAT_PG") == NULL ? CLI_PG_DEFAULT : getenv("LEAT_PG");
        const struct cli_option options[] = {{"--pg", NULL, &addr, NULL}};
        struct leat_error err = {0};
        struct cli_pg_error e;
        struct cli_pg *pg;
        struct status s = {0};
        struct cli_pg_ops ops = {.result = on_flow, .arg = &s};
        int rc = cli_options("status", usage, argc, argv, options, LEAT_ARRAY_LEN(options), NULL, NULL);
        if (rc != 0)
                return rc < 0 ? 0 : rc;
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
        return rc != 0 ? cli_fail("status", &err) : s.bad;
}
