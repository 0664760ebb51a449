/* SPDX-License-Identifier: Apache-2.0 */
/* leat/role: the broker role: the log and the Kafka door. */
#include "leat/broker.h"
#include "role_int.h"

int leat_role_broker(const struct leat_role_args *args, struct leat_error *err)
{
        struct leat_loop *loop;
        struct leat_stats *stats;
        struct leat_broker *broker;
        leat_malloc_keep();
        LEAT_TRY(leat_role_loop(args, &loop, err));
        int rc = leat_role_stats(args, &stats, err);
        if (rc == 0) {
                struct leat_broker_options options = {
                        .data_dir = args->data_dir, .listen_fd = args->listen_fd, .stats = stats};
                rc = leat_broker_start(&options, &broker, err);
                if (rc == 0) {
                        leat_role_ready(args);
                        leat_loop_run(loop);
                        leat_broker_stop(broker);
                }
                leat_stats_close(stats);
        }
        leat_loop_free(loop);
        return rc;
}
