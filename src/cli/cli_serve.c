/* SPDX-License-Identifier: Apache-2.0 */
/* leat/cli: leat serve. */
#include <stdio.h>

#include "cli_int.h"
#include "leat/role.h"

static const char usage[] =
        "usage: leat serve [--data DIR] [--kafka ADDR] [--pg ADDR] [--http ADDR] [--set NAME=VALUE]...\n"
        "\n"
        "Runs Leat until Ctrl-C. Everything is kept in one directory, made when it is missing.\n"
        "\n"
        "  --data DIR          data directory (" CLI_DATA_DEFAULT ")\n"
        "  --kafka ADDR        Kafka protocol (" CLI_KAFKA_DEFAULT ")\n"
        "  --pg ADDR           PostgreSQL protocol (" CLI_PG_DEFAULT ")\n"
        "  --http ADDR         console, metrics and HTTP APIs (" CLI_HTTP_DEFAULT ")\n"
        "  --set NAME=VALUE    change a parameter; `leat help parameters` lists them\n"
        "\n"
        "ADDR is host:port on a loopback address; port 0 takes a free one. Prints one line a door, then\n"
        "\"ready in N ms\" when all of them answer.\n";

int leat_cli_serve(int argc, char **argv)
{
        const char *data = CLI_DATA_DEFAULT, *kafka = CLI_KAFKA_DEFAULT, *pg = CLI_PG_DEFAULT, *http = CLI_HTTP_DEFAULT;
        const char *set = NULL;
        const struct cli_option options[] = {
                {"--data", NULL, &data, NULL}, {"--kafka", NULL, &kafka, NULL}, {"--pg", NULL, &pg, NULL},
                {"--http", NULL, &http, NULL}, {"--set", NULL, &set, NULL},
        };
        struct leat_error err = {0};
        struct leat_serve_options serve = {0};
        int rc = cli_options("serve", usage, argc, argv, options, LEAT_ARRAY_LEN(options), NULL, NULL);
        if (rc != 0)
                return rc < 0 ? 0 : rc;
        serve.data_dir = data;
        if (leat_os_addr_parse(kafka, &serve.doors[LEAT_DOOR_KAFKA], &err) != 0 ||
            leat_os_addr_parse(pg, &serve.doors[LEAT_DOOR_PG], &err) != 0 ||
            leat_os_addr_parse(http, &serve.doors[LEAT_DOOR_HTTP], &err) != 0) {
                (void)cli_fail("serve", &err);
                return 2;
        }
        return leat_serve(&serve, &err) == 0 ? 0 : cli_fail("serve", &err);
}
