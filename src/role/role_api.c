/* SPDX-License-Identifier: Apache-2.0 */
/* leat/role: the api role: console, health, metrics, SQL over HTTP. */
#include <stdlib.h>

#include "leat/api.h"
#include "role_int.h"

static void api_signal(void *arg, int signo)
{
        (void)signo;
        leat_api_stop(arg);
}

int leat_role_api(const struct leat_role_args *args, struct leat_error *err)
{
        struct leat_stats *stats;
        struct leat_api *api;
        LEAT_TRY(leat_role_stats(args, &stats, err));
        struct leat_api_options options = {.data_dir = args->data_dir,
                                           .pg = args->doors[LEAT_DOOR_PG],
                                           .kafka = args->doors[LEAT_DOOR_KAFKA],
                                           .http_port = args->doors[LEAT_DOOR_HTTP].port,
                                           .console_dir = getenv("LEAT_CONSOLE_DIR"), /* for work on the console */
                                           .stats = stats};
        int rc = leat_api_new(args->listen_fd, &options, &api, err);
        if (rc == 0) {
                rc = leat_loop_on_signal(leat_api_loop(api), ROLE_STOP_SIGNAL, api_signal, api, err);
                if (rc == 0) {
                        leat_role_ready(args);
                        leat_api_run(api);
                }
                leat_api_free(api);
        }
        leat_stats_close(stats);
        return rc;
}
