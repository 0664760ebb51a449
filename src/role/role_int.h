/* SPDX-License-Identifier: Apache-2.0 */
/* leat/role: what its files share. */
#ifndef LEAT_ROLE_INT_H
#define LEAT_ROLE_INT_H

#include <signal.h>
#include <stdatomic.h>

#include "leat/net.h"
#include "leat/role.h"

/* Exit code of a role that cannot work now and would be well if it were started later (sysexits: EX_TEMPFAIL). */
enum { ROLE_EXIT_WAITS = 75 };

/* What a role process is told on its command line. */
struct leat_role_args {
        const char *role;     /* "broker", "worker" … */
        const char *pipeline; /* worker only */
        const char *data_dir;
        struct leat_addr doors[LEAT_DOOR_COUNT]; /* as bound: real ports */
        int listen_fd;                           /* -1: listens on nothing */
        int lock_fd;  /* the supervisor's: of the lock on the data directory, which every role holds on to */
        int ready_fd; /* "R" is written when the role answers */
};

/* Asks a role to end, in the order that only the supervisor knows. SIGTERM, SIGINT and SIGHUP go to whole groups of
 * processes (a terminal's Ctrl-C, a service manager's stop) and are ignored by roles. */
#define ROLE_STOP_SIGNAL SIGUSR1

/* Each runs its role until ROLE_STOP_SIGNAL; the process exits with what it returns. */
int leat_role_broker(const struct leat_role_args *args, struct leat_error *err) LEAT_NODISCARD;
int leat_role_worker(const struct leat_role_args *args, struct leat_error *err) LEAT_NODISCARD;
int leat_role_query(const struct leat_role_args *args, struct leat_error *err) LEAT_NODISCARD;
int leat_role_api(const struct leat_role_args *args, struct leat_error *err) LEAT_NODISCARD;

/* Tells the supervisor that the role answers. */
void leat_role_ready(const struct leat_role_args *args);
/* Opens DATA/run/<role>.stats. */
int leat_role_stats(const struct leat_role_args *args, struct leat_stats **ret_stats,
                    struct leat_error *err) LEAT_NODISCARD;
/* A loop that ROLE_STOP_SIGNAL ends. */
int leat_role_loop(const struct leat_role_args *args, struct leat_loop **ret_loop,
                   struct leat_error *err) LEAT_NODISCARD;

/* ---- one child of the supervisor (role_child.c) -------------------------------- */
enum { LEAT_CHILD_WORDS_BYTES = 4096 };

struct leat_child {
        char name[80];    /* "broker", "worker main" */
        char process[16]; /* as ps shows it */
        const char *role;
        char *pipeline;       /* worker only */
        int listen_fd;        /* -1: none; kept open over restarts */
        pid_t pid;            /* 0: not running */
        int log_fd, ready_fd; /* our ends; -1 */
        bool ready, stopping, given_up;
        int64_t started_us;
        int64_t restart_us;                 /* when to start it again; 0 = now */
        int deaths;                         /* in a row, each within CHILD_YOUNG of its start */
        char words[LEAT_CHILD_WORDS_BYTES]; /* the end of what it wrote */
        size_t words_len;
        char how[32]; /* it ended last: "exit=1", "signal=11" */
};

int leat_child_start(struct leat_child *child, const struct leat_role_args *shared,
                     struct leat_error *err) LEAT_NODISCARD;
/* Passes on what it has written to our standard error and remembers the end of it. */
void leat_child_read_log(struct leat_child *child);
/* True once, when it has said that it answers. */
bool leat_child_read_ready(struct leat_child *child);
/* It has ended with @status: counts it, reports it, sets restart_us or given_up. */
void leat_child_ended(struct leat_child *child, int status);
/* For who asks later, DATA/run/<role>[-<pipeline>].words: a line "again" (it is started again) or "down" (it is not),
 * and why it ended, in one line, out of its last words. */
void leat_child_words_save(const struct leat_child *child, const char *data_dir);

#endif
