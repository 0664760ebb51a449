/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/role: a role process: reads what the supervisor tells it, runs, exits.
 *
 * ROLE_STOP_SIGNAL ends it in order. SIGINT, SIGHUP and SIGTERM reach all
 * processes of a terminal session or a service at once; they are the
 * supervisor's business, so they are ignored here.
 */
#include <stdio.h>
#include <stdlib.h>

#include "role_int.h"

static const struct {
        const char *name;
        int (*run)(const struct leat_role_args *args, struct leat_error *err);
} roles[] = {
        {"broker", leat_role_broker},
        {"worker", leat_role_worker},
        {"query", leat_role_query},
        {"api", leat_role_api},
};

static int take_set(const char *text, struct leat_error *err)
{
        const char *equals = strchr(text, '=');
        if (equals == NULL)
                return leat_error_set(err, LEAT_EINVAL, "--set %s: name=value expected", text);
        char *name = leat_strndup(text, (size_t)(equals - text));
        int rc = leat_param_set(name, equals + 1, err);
        free(name);
        return rc;
}

static int take_option(struct leat_role_args *args, const char *name, const char *value, struct leat_error *err)
{
        if (strcmp(name, "--data") == 0)
                args->data_dir = value;
        else if (strcmp(name, "--pipeline") == 0)
                args->pipeline = value;
        else if (strcmp(name, "--listen-fd") == 0)
                args->listen_fd = atoi(value);
        else if (strcmp(name, "--ready-fd") == 0)
                args->ready_fd = atoi(value);
        else if (strcmp(name, "--kafka") == 0)
                return leat_os_addr_parse(value, &args->doors[LEAT_DOOR_KAFKA], err);
        else if (strcmp(name, "--pg") == 0)
                return leat_os_addr_parse(value, &args->doors[LEAT_DOOR_PG], err);
        else if (strcmp(name, "--http") == 0)
                return leat_os_addr_parse(value, &args->doors[LEAT_DOOR_HTTP], err);
        else if (strcmp(name, "--set") == 0)
                return take_set(value, err);
        else
                return leat_error_set(err, LEAT_EINVAL, "unknown option %s", name);
        return 0;
}

void leat_role_ready(const struct leat_role_args *args)
{
        if (args->ready_fd < 0)
                return;
        (void)!leat_os_write(args->ready_fd, "R", 1);
        leat_os_close(args->ready_fd);
}

int leat_role_stats(const struct leat_role_args *args, struct leat_stats **ret_stats, struct leat_error *err)
{
        char path[4096];
        if (args->pipeline != NULL)
                snprintf(path, sizeof path, "%s/run/%s-%s.stats", args->data_dir, args->role, args->pipeline);
        else
                snprintf(path, sizeof path, "%s/run/%s.stats", args->data_dir, args->role);
        return leat_stats_open(path, 8192, ret_stats, err);
}

static void loop_signal(void *arg, int signo)
{
        (void)signo;
        leat_loop_stop(arg);
}

int leat_role_loop(const struct leat_role_args *args, struct leat_loop **ret_loop, struct leat_error *err)
{
        struct leat_loop *loop;
        LEAT_TRY(leat_loop_new(args->role, &loop, err));
        int rc = leat_loop_on_signal(loop, ROLE_STOP_SIGNAL, loop_signal, loop, err);
        if (rc != 0) {
                leat_loop_free(loop);
                return rc;
        }
        *ret_loop = loop;
        return 0;
}

int leat_role_main(int argc, char **argv)
{
        struct leat_role_args args = {.listen_fd = -1, .ready_fd = -1};
        struct leat_error err = {0};
        char process[16];
        args.role = argc > 0 ? argv[0] : "";
        for (int i = 1; i + 1 < argc; i += 2) {
                if (take_option(&args, argv[i], argv[i + 1], &err) != 0) {
                        fprintf(stderr, "leat role: %s\n", err.message);
                        return 2;
                }
        }
        signal(SIGPIPE, SIG_IGN);
        signal(SIGINT, SIG_IGN);
        signal(SIGHUP, SIG_IGN);
        signal(SIGTERM, SIG_IGN);
        snprintf(process, sizeof process, "leat-%s", args.role);
        leat_os_set_name(process);
        leat_diag_init(args.role, LEAT_DIAG_INFO);
        leat_diag_crash_install(args.role);
        for (size_t i = 0; i < LEAT_ARRAY_LEN(roles); i++) {
                if (strcmp(roles[i].name, args.role) != 0)
                        continue;
                if (roles[i].run(&args, &err) == 0)
                        return 0;
                leat_diag_error("role", "the role ends with an error", &err);
                return err.code == LEAT_EFULL || err.retriable ? ROLE_EXIT_WAITS : 1;
        }
        fprintf(stderr, "leat role: there is no role \"%s\"; `leat serve` starts the roles\n", args.role);
        return 2;
}
