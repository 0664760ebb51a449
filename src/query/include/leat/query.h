/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/query: what the query role does with a statement: the backend behind the
 * PostgreSQL door. README.md tells which file does which statement.
 */
#ifndef LEAT_QUERY_H
#define LEAT_QUERY_H

#include "leat/pg.h"

struct leat_query;

struct leat_query_options {
        const char *data_dir;
        struct leat_addr kafka;
        struct leat_stats *stats;
};

/* Opens the catalog, completes statements that a crash cut off once the broker answers, follows the pipelines. DuckDB
 * is opened by the first statement that needs it. */
int leat_query_open(const struct leat_query_options *options, struct leat_query **ret_query,
                    struct leat_error *err) LEAT_NODISCARD;
/* All sessions must be closed. */
void leat_query_close(struct leat_query *query);
/* For leat_pg_options; its arg is the leat_query. */
extern const struct leat_pg_backend leat_query_backend;

#endif
