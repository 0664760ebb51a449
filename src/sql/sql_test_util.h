/* SPDX-License-Identifier: Apache-2.0 */
/* leat/sql: a catalog with some relations, for the tests. */
#ifndef LEAT_SQL_TEST_UTIL_H
#define LEAT_SQL_TEST_UTIL_H

#include "leat/sql.h"

struct sql_fixture {
        struct leat_catalog *cat, *env_cat;
        struct leat_sql_env *env;
        struct leat_arena *arena;
        struct leat_error err;
};
/* scans(package_id, site NOT NULL, weight_g INT, event_time) with watermark; sites(site PRIMARY KEY, name, region);
 * raw: format raw; inflow: materialized view (site, window_start, scans) keyed by the first two; heavy: plain view of scans;
 * the broker has an undeclared topic "clicks". pg_catalog.pg_class exists. */
struct sql_fixture *sql_fixture_new(void);
void sql_fixture_free(struct sql_fixture *fx);
uint64_t sql_fixture_put(struct sql_fixture *fx, const struct leat_object *object);
/* Removes the ^ from @marked; its byte place in *ret_at (the length when there is none). */
char *sql_unmark(struct sql_fixture *fx, const char *marked, size_t *ret_at);

#endif
