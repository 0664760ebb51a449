/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/role: the worker role: the jobs of one pipeline. The worker's loop blocks
 * on its own thread; ROLE_STOP_SIGNAL only sets the flag that it looks at.
 */
#include "leat/stream.h"
#include "role_int.h"

static _Atomic bool worker_stop; /* set by the signal handler, so not in a struct */

static void worker_signal(int signo)
{
        (void)signo;
        atomic_store(&worker_stop, true);
}

int leat_role_worker(const struct leat_role_args *args, struct leat_error *err)
{
        struct leat_stats *stats;
        struct sigaction action = {.sa_handler = worker_signal};
        leat_malloc_keep();
        LEAT_TRY(leat_role_stats(args, &stats, err));
        sigaction(ROLE_STOP_SIGNAL, &action, NULL);
        struct leat_worker_options options = {.data_dir = args->data_dir,
                                              .kafka = args->doors[LEAT_DOOR_KAFKA],
                                              .pipeline = args->pipeline,
                                              .stats = stats,
                                              .stop = &worker_stop};
        leat_role_ready(args);
        int rc = leat_worker_run(&options, err);
        leat_stats_close(stats);
        return rc;
}
