/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/query: a prepared statement after the catalog has changed.
 *
 * A statement is prepared over the catalog of that moment. A view that was
 * replaced, a topic with one more column: a later execution means those of now.
 * So each execution looks whether the catalog is still the same, and prepares the
 * text once more when not. The renewed statement stands beside the client's, for
 * all executions until the next change; while a portal still reads it and the
 * catalog changes again, an execution makes one for itself.
 */
#include "query_int.h"

static bool is_bound(const struct query_stmt *st)
{
        switch (st->stmt.kind) {
        case LEAT_STMT_SELECT:
        case LEAT_STMT_COPY:
        case LEAT_STMT_INSERT:
        case LEAT_STMT_REPLAY:
        case LEAT_STMT_SUBSCRIBE:
        case LEAT_STMT_SUBSCRIBE_DASHBOARD:
                return true;
        default:
                return false; /* looks everything up when it is executed */
        }
}

/* The client has been told of columns and parameters once, and goes by that. */
static bool same_desc(const struct leat_pg_desc *a, const struct leat_pg_desc *b)
{
        bool same = a->param_count == b->param_count && a->column_count == b->column_count;
        for (uint32_t i = 0; same && i < a->param_count; i++)
                same = leat_type_eq(&a->params[i], &b->params[i]);
        for (uint32_t i = 0; same && i < a->column_count; i++)
                same = leat_type_eq(&a->columns[i], &b->columns[i]) && strcmp(a->names[i], b->names[i]) == 0;
        return same;
}

int leat_query_catalog_version(struct query_session *s, uint64_t *ret_version, struct leat_error *err)
{
        struct leat_sql_catalog *catalog;
        LEAT_TRY(leat_sql_env_catalog(s->query->env, &catalog, err));
        *ret_version = catalog->snapshot->version;
        leat_sql_catalog_unref(catalog);
        return 0;
}

int leat_query_stmt_current(struct query_stmt *st, struct query_stmt **ret_stmt, bool *ret_own, struct leat_error *err)
{
        struct query_stmt *fresh;
        uint64_t version;
        *ret_stmt = st;
        *ret_own = false;
        if (!is_bound(st))
                return 0;
        LEAT_TRY(leat_query_catalog_version(st->session, &version, err));
        if (st->version == version)
                return 0;
        if (st->renewed != NULL && st->renewed->version == version) {
                *ret_stmt = st->renewed;
                return 0;
        }
        LEAT_TRY(leat_query_stmt_new(st->session, st->text, st->desc.params, st->desc.param_count, &fresh, err));
        if (!same_desc(&st->desc, &fresh->desc)) {
                leat_query_stmt_free(fresh);
                leat_error_set(err, LEAT_EUNSUPPORTED, "cached plan must not change result type");
                leat_error_hint(err, "What it reads was defined anew with other columns: prepare the statement again.");
                return LEAT_EUNSUPPORTED;
        }
        *ret_stmt = fresh;
        *ret_own = st->renewed != NULL && st->renewed->cursors > 0;
        if (!*ret_own) {
                leat_query_stmt_free(st->renewed);
                st->renewed = fresh;
        }
        return 0;
}
