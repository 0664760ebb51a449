/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/role: the processes of Leat. `leat serve` is the supervisor; it starts
 * the same binary once for each role with `leat role NAME …` (README.md).
 */
#ifndef LEAT_ROLE_H
#define LEAT_ROLE_H

#include "leat/base.h"
#include "leat/os.h"

enum leat_door { LEAT_DOOR_KAFKA, LEAT_DOOR_PG, LEAT_DOOR_HTTP, LEAT_DOOR_COUNT };

struct leat_serve_options {
        const char *data_dir;
        struct leat_addr doors[LEAT_DOOR_COUNT];
};

/* Runs Leat until SIGINT or SIGTERM, or until a role that it cannot do without keeps dying. Prints one line a door and
 * "ready in N ms" on standard output. Returns 0 after an orderly stop. */
int leat_serve(const struct leat_serve_options *options, struct leat_error *err) LEAT_NODISCARD;

/* The hidden subcommand: `role NAME --data DIR …`. Returns the exit code of the process. */
int leat_role_main(int argc, char **argv);

/* Makes the folder and its FORMAT file, or checks that it is ours: LEAT_EUNSUPPORTED names the version found and the
 * one that this program writes. */
int leat_data_dir_open(const char *dir, struct leat_error *err) LEAT_NODISCARD;
/* The same check of a folder that exists; changes nothing. */
int leat_data_dir_check(const char *dir, struct leat_error *err) LEAT_NODISCARD;

#endif
