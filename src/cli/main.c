/* SPDX-License-Identifier: Apache-2.0 */
/* leat: the program. Finds the command; each command is a file of its own. */
#include <stdio.h>

#include "cli_int.h"
#include "leat/role.h"

static const char usage[] = "Leat takes event streams from the first byte to an answer.\n"
                            "\n"
                            "usage: leat COMMAND [OPTION]...\n"
                            "\n"
                            "  serve      run Leat on a data directory\n"
                            "  sql        run SQL, or a shell when no statement is given\n"
                            "  status     what runs, how fast, how late\n"
                            "  verify     check every checksum, or that a view equals its query\n"
                            "  generate   make events at a given rate\n"
                            "  help       this text; `leat help parameters` lists what --set may change\n"
                            "\n"
                            "`leat COMMAND --help` tells about one. Exit codes: 0 done, 1 failed, 2 wrong usage.\n";

static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
} commands[] = {
        {"serve", leat_cli_serve},   {"sql", leat_cli_sql},           {"status", leat_cli_status},
        {"verify", leat_cli_verify}, {"generate", leat_cli_generate}, {"help", leat_cli_help},
};

static void print_parameters(void)
{
        printf("Parameters, set with `leat serve --set name=value`:\n\n");
        for (int i = 0; i < LEAT_PARAM_COUNT; i++) {
                const struct leat_param_info *info = leat_param_info((enum leat_param)i);
                struct leat_buf value = LEAT_BUF_INIT;
                leat_param_text(info->kind, info->value, &value);
                printf("  %-28s %-10s %s\n", info->name, leat_buf_cstr(&value), info->help);
                leat_buf_done(&value);
        }
}

int leat_cli_help(int argc, char **argv)
{
        if (argc > 1 && strcmp(argv[1], "parameters") == 0) {
                print_parameters();
                return 0;
        }
        for (size_t i = 0; argc > 1 && i < LEAT_ARRAY_LEN(commands); i++) {
                char *help[] = {argv[1], (char[]){"--help"}, NULL};
                if (strcmp(argv[1], commands[i].name) == 0 && strcmp(argv[1], "help") != 0)
                        return commands[i].run(2, help);
        }
        if (argc > 1 && strcmp(argv[1], "help") != 0 && argv[1][0] != '-') {
                fprintf(stderr, "leat help: there is no command \"%s\"; `leat --help` lists the commands\n", argv[1]);
                return 2;
        }
        fputs(usage, stdout);
        return 0;
}

int main(int argc, char **argv)
{
        if (argc < 2) {
                fputs(usage, stderr);
                return 2;
        }
        if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
                fputs(usage, stdout);
                return 0;
        }
        if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0) {
                printf("leat %s\n", LEAT_VERSION);
                return 0;
        }
        if (strcmp(argv[1], "role") == 0)
                return leat_role_main(argc - 2, argv + 2);
        for (size_t i = 0; i < LEAT_ARRAY_LEN(commands); i++)
                if (strcmp(argv[1], commands[i].name) == 0)
                        return commands[i].run(argc - 1, argv + 1);
        fprintf(stderr, "leat: there is no command \"%s\"; `leat --help` lists the commands\n", argv[1]);
        return 2;
}
