/* SPDX-License-Identifier: Apache-2.0 */
/* leat/role: the query role: SQL behind the PostgreSQL door. */
#include "leat/query.h"
#include "role_int.h"

static int query_serve(const struct leat_role_args *args, struct leat_loop *loop, struct leat_stats *stats,
                       struct leat_error *err)
{
        struct leat_query *query;
        struct leat_pg *pg;
        struct leat_query_options options = {
                .data_dir = args->data_dir, .kafka = args->doors[LEAT_DOOR_KAFKA], .stats = stats};
        LEAT_TRY(leat_query_open(&options, &query, err));
        struct leat_pg_options door = {.loop = loop,
                                       .listen_fd = args->listen_fd,
                                       .backend = &leat_query_backend,
                                       .backend_arg = query,
                                       .stats = stats};
        int rc = leat_pg_start(&door, &pg, err);
        if (rc == 0) {
                leat_role_ready(args);
                leat_loop_run(loop);
                leat_pg_stop(pg);
        }
        leat_query_close(query);
        return rc;
}

int leat_role_query(const struct leat_role_args *args, struct leat_error *err)
{
        struct leat_loop *loop;
        struct leat_stats *stats;
        LEAT_TRY(leat_role_loop(args, &loop, err));
        int rc = leat_role_stats(args, &stats, err);
        if (rc == 0) {
                rc = query_serve(args, loop, stats, err);
                leat_stats_close(stats);
        }
        leat_loop_free(loop);
        return rc;
}
