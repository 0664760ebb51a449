/* SPDX-License-Identifier: Apache-2.0 */
/* leat/sql: running definitions, inside. */
#ifndef LEAT_SQL_DDL_INT_H
#define LEAT_SQL_DDL_INT_H

#include "sql_int.h"

/* One statement being run. */
struct ddl {
        struct leat_sql_ddl_context *ctx;
        const struct leat_stmt *stmt;
        struct leat_arena *arena;
        struct leat_sql_catalog *catalog; /* before the statement */
        const struct leat_snapshot *snapshot;
        bool check_only;
        struct leat_error *err;
};

int leat_ddl_fail(struct ddl *d, struct leat_span at, int code, const char *hint, const char *fmt, ...)
        LEAT_PRINTF(5, 6);
void leat_ddl_notice(struct ddl *d, const char *fmt, ...) LEAT_PRINTF(2, 3);
/* The object that the statement names; NULL when there is none. Relations, or dashboards. */
const struct leat_object *leat_ddl_object(struct ddl *d, bool dashboard);
/* "relation does not exist" with a suggestion, or a notice and 0 with IF EXISTS (*ret_gone true). */
int leat_ddl_missing(struct ddl *d, const char *what, bool *ret_gone) LEAT_NODISCARD;
/* Objects that read @id, directly or not, the nearest first; @ids has room for all of the snapshot. */
uint32_t leat_ddl_readers(struct ddl *d, uint64_t id, uint64_t *ids);
/* LEAT_EDEPENDENT with the list of those that read @object; 0 when nobody does. */
int leat_ddl_check_unused(struct ddl *d, const struct leat_object *object, const char *verb) LEAT_NODISCARD;
/* One transaction with one object in it; waits for the roles afterwards unless @quiet. */
int leat_ddl_put(struct ddl *d, struct leat_object *object, uint64_t delete_id, uint64_t remove_intent) LEAT_NODISCARD;
/* The roles have taken over @version, or a notice says who has not. */
void leat_ddl_wait(struct ddl *d, uint64_t version);
/* The statement's text, as the catalog keeps it. */
const char *leat_ddl_text(struct ddl *d);
/* Ids of the objects in @used, each once. */
const uint64_t *leat_ddl_reads(struct ddl *d, const struct leat_sql_used *used, uint32_t count, uint32_t *ret_count);
int leat_ddl_option_unknown(struct ddl *d, const struct leat_sql_option *option, const char *const *known,
                            uint32_t count);
int leat_ddl_option_duration(struct ddl *d, const struct leat_sql_option *option, int64_t *ret_us) LEAT_NODISCARD;
int leat_ddl_option_bytes(struct ddl *d, const struct leat_sql_option *option, int64_t *ret_bytes) LEAT_NODISCARD;
/* A bad value of an option. */
int leat_ddl_option_bad(struct ddl *d, const struct leat_sql_option *option, const char *hint);

int leat_ddl_create_topic(struct ddl *d) LEAT_NODISCARD;
int leat_ddl_alter_topic(struct ddl *d) LEAT_NODISCARD;
int leat_ddl_create_view(struct ddl *d) LEAT_NODISCARD;
int leat_ddl_create_matview(struct ddl *d) LEAT_NODISCARD;
int leat_ddl_alter_job(struct ddl *d) LEAT_NODISCARD;
int leat_ddl_create_dashboard(struct ddl *d) LEAT_NODISCARD;
int leat_ddl_drop(struct ddl *d) LEAT_NODISCARD;

/* Broker acts, each done already when it is done again. */
int leat_ddl_broker_create(struct leat_sql_ddl_context *ctx, struct leat_object *object,
                           struct leat_error *err) LEAT_NODISCARD;
int leat_ddl_broker_alter(struct leat_sql_ddl_context *ctx, const char *name, struct leat_topic_def *def,
                          struct leat_error *err) LEAT_NODISCARD;
int leat_ddl_broker_drop(struct leat_sql_ddl_context *ctx, const char *name, struct leat_error *err) LEAT_NODISCARD;

#endif
