/* SPDX-License-Identifier: Apache-2.0 */
/* leat/role: the query role: SQL behind the PostgreSQL door. */
#include "leat/query.h"
#include "role_int.h"

#define QUERY_GOODBYE_US (100LL * 1000) /* for the clients to hear that the server ends */

static void goodbye_over(void *loop)
{
        leat_loop_stop(loop);
}

/* Runs until ROLE_STOP_SIGNAL; then ends the sessions while the loop still sends. */
static void query_run(struct leat_loop *loop, struct leat_pg *pg)
{
        leat_loop_run(loop);
        leat_pg_stop(pg);
        struct leat_timer *timer = leat_timer_new(loop, goodbye_over, loop);
        leat_timer_start(timer, QUERY_GOODBYE_US, 0);
        leat_loop_run(loop);
        leat_timer_free(timer);
}

static int query_serve(const struct leat_role_args *args, struct leat_stats *stats, struct leat_error *err)
{
        struct leat_query *query;
        struct leat_loop *loop;
        struct leat_pg *pg = NULL;
        struct leat_query_options options = {
                .data_dir = args->data_dir, .kafka = args->doors[LEAT_DOOR_KAFKA], .stats = stats};
        LEAT_TRY(leat_query_open(&options, &query, err));
        int rc = leat_role_loop(args, &loop, err);
        if (rc != 0) {
                leat_query_close(query);
                return rc;
        }
        struct leat_pg_options door = {.loop = loop,
                                       .listen_fd = args->listen_fd,
                                       .backend = &leat_query_backend,
                                       .backend_arg = query,
                                       .stats = stats};
        rc = leat_pg_start(&door, &pg, err);
        if (rc == 0) {
                leat_role_ready(args);
                query_run(loop, pg);
        }
        /* The loop closes the connections, and with them the sessions: before what they stand on. */
        leat_loop_free(loop);
        leat_pg_free(pg);
        leat_query_close(query);
        return rc;
}

int leat_role_query(const struct leat_role_args *args, struct leat_error *err)
{
        struct leat_stats *stats;
        LEAT_TRY(leat_role_stats(args, &stats, err));
        int rc = query_serve(args, stats, err);
        leat_stats_close(stats);
        return rc;
}
