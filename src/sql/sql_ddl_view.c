/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/sql: CREATE VIEW, CREATE MATERIALIZED VIEW, ALTER MATERIALIZED VIEW.
 *
 * A plain view keeps its query's text and its columns' names and types; it is
 * checked as a batch query. A materialized view is bound for streaming and
 * compiled by `stream`, whose graph the catalog keeps. OR REPLACE of a
 * materialized view is a new object: its state begins anew.
 */
#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#include "sql_ddl_int.h"

/* What is there under the name: *ret_old to replace, or *ret_done with IF NOT EXISTS. */
static int check_name(struct ddl *d, uint8_t kind, const struct leat_object **ret_old, bool *ret_done)
{
        const struct leat_object *old = leat_ddl_object(d, false);
        const char *name = d->stmt->name;
        *ret_old = NULL;
        *ret_done = false;
        if (strchr(name, '$') != NULL)
                return leat_ddl_fail(d, d->stmt->name_at, LEAT_EINVAL, NULL,
                                     "the name of a view cannot have \"$\" in it");
        if (strncmp(name, "pg_", 3) == 0 || strncmp(name, "leat_", 5) == 0)
                return leat_ddl_fail(d, d->stmt->name_at, LEAT_EINVAL, NULL,
                                     "names that begin with \"pg_\" or \"leat_\" are taken");
        if (old == NULL)
                return 0;
        if (d->stmt->if_not_exists) {
                leat_ddl_notice(d, "%s \"%s\" already exists, skipping", leat_object_kind_name(old->kind), old->name);
                *ret_done = true;
                return 0;
        }
        if (!d->stmt->or_replace || old->kind != kind)
                return leat_ddl_fail(d, d->stmt->name_at, LEAT_EEXISTS,
                                     old->kind == kind ? "Write CREATE OR REPLACE to put the new one in its place."
                                                       : NULL,
                                     "%s \"%s\" already exists", leat_object_kind_name(old->kind), old->name);
        *ret_old = old;
        return 0;
}

/* The topic of that name that the broker has would never be seen again. */
static int check_hidden(struct ddl *d)
{
        struct leat_feed_topic topic;
        if (d->ctx->feed != NULL && leat_feed_topic(d->ctx->feed, d->stmt->name, &topic, NULL) == 0)
                return leat_ddl_fail(d, d->stmt->name_at, LEAT_EEXISTS, NULL, "the broker has a topic \"%s\"",
                                     d->stmt->name);
        return 0;
}

static struct leat_view body_copy(struct ddl *d)
{
        const struct leat_stmt *stmt = d->stmt;
        return leat_view_of(
                leat_arena_strndup(d->arena, (const char *)stmt->text.data + stmt->body.start, stmt->body.len),
                stmt->body.len);
}

/* A view that reads itself, over whatever many others. */
static int check_cycle(struct ddl *d, const struct leat_object *old, const struct leat_sql_used *used, uint32_t count)
{
        for (uint32_t i = 0; old != NULL && i < count; i++) {
                if (used[i].object_id == old->id)
                        return leat_ddl_fail(d, used[i].at.len != 0 ? used[i].at : d->stmt->name_at, LEAT_EUNSUPPORTED,
                                             NULL, "view \"%s\" would read itself", old->name);
        }
        return 0;
}

/* ---- plain views -------------------------------------------------------------------------- */
static int plain_columns(struct ddl *d, const struct leat_sql_query *query, struct leat_view_def *def)
{
        const struct leat_stmt *stmt = d->stmt;
        struct leat_column_def *columns = leat_arena_zalloc(d->arena, (query->column_count + 1) * sizeof *columns);
        struct leat_span body = {.start = stmt->body.start, .len = stmt->body.len};
        if (query->param_count != 0)
                return leat_ddl_fail(d, body, LEAT_EUNSUPPORTED, NULL, "a view has no parameters");
        if (stmt->column_count > query->column_count)
                return leat_ddl_fail(d, stmt->columns[query->column_count].at, LEAT_ESYNTAX, NULL,
                                     "the list names %u columns, the query gives %u", stmt->column_count,
                                     query->column_count);
        for (uint32_t i = 0; i < query->column_count; i++) {
                columns[i].name = i < stmt->column_count ? stmt->columns[i].name : query->column_names[i];
                columns[i].type = query->column_types[i];
                for (uint32_t k = 0; k < i; k++) {
                        if (strcasecmp(columns[k].name, columns[i].name) == 0)
                                return leat_ddl_fail(d, body, LEAT_EAMBIGUOUS, "Give one of them another name with AS.",
                                                     "column \"%s\" comes twice in the result", columns[i].name);
                }
                if (columns[i].type.id == LEAT_T_SQLNULL)
                        columns[i].type = leat_type_of(LEAT_T_VARCHAR);
                if (columns[i].type.id == LEAT_T_INVALID)
                        return leat_ddl_fail(d, body, LEAT_ETYPE, "Write CAST(... AS type).",
                                             "the type of column \"%s\" is not supported", columns[i].name);
        }
        def->columns = columns;
        def->column_count = query->column_count;
        return 0;
}

/* Others may read the view: its columns stay, new ones come behind. */
static int check_replaced_columns(struct ddl *d, const struct leat_object *old, const struct leat_view_def *def)
{
        const struct leat_view_def *was = old->view;
        bool same = def->column_count >= was->column_count;
        for (uint32_t i = 0; i < was->column_count && same; i++)
                same = strcasecmp(was->columns[i].name, def->columns[i].name) == 0 &&
                       leat_type_eq(&was->columns[i].type, &def->columns[i].type);
        return same ? 0 : leat_ddl_check_unused(d, old, "change");
}

int leat_ddl_create_view(struct ddl *d)
{
        const struct leat_object *old;
        struct leat_sql_query query;
        struct leat_view_def def = {.body = body_copy(d), .retention_us = -1, .max_state_bytes = -1};
        bool done;
        LEAT_TRY(check_name(d, LEAT_OBJECT_VIEW, &old, &done));
        /* The same statement again changes nothing, so that a script may be run twice. */
        if (done || (old != NULL && strcmp(old->sql, leat_ddl_text(d)) == 0))
                return 0;
        if (old == NULL)
                LEAT_TRY(check_hidden(d));
        LEAT_TRY(leat_sql_select(d->ctx->env, d->arena, d->stmt->text, d->stmt->body, NULL, 0, &query, d->err));
        LEAT_TRY(plain_columns(d, &query, &def));
        LEAT_TRY(check_cycle(d, old, query.used, query.used_count));
        if (old != NULL)
                LEAT_TRY(check_replaced_columns(d, old, &def));
        if (d->check_only)
                return 0;
        struct leat_object object = {
                .id = old != NULL ? old->id : 0,
                .kind = LEAT_OBJECT_VIEW,
                .state = LEAT_STATE_READY,
                .name = old != NULL ? old->name : d->stmt->name,
                .sql = leat_ddl_text(d),
                .view = &def,
        };
        object.reads = leat_ddl_reads(d, query.used, query.used_count, &object.read_count);
        /* A materialized view on a plain one has its query inside: it must not follow another. */
        if (old != NULL) {
                uint64_t *ids = leat_arena_alloc(d->arena, (d->snapshot->object_count + 1) * sizeof *ids);
                uint32_t count = leat_ddl_readers(d, old->id, ids);
                for (uint32_t i = 0; i < count; i++) {
                        if (leat_snapshot_get(d->snapshot, ids[i])->kind == LEAT_OBJECT_MATVIEW)
                                return leat_ddl_check_unused(d, old, "change");
                }
        }
        return leat_ddl_put(d, &object, 0, 0);
}

/* ---- materialized views ----------------------------------------------------------------------- */
static int option_late(struct ddl *d, const struct leat_sql_option *option, struct leat_view_def *def)
{
        const char *hint = "Write 'apply', 'drop', 'grace 10 seconds' or 'reemit'.";
        if (strcasecmp(option->value, "apply") == 0)
                def->late = LEAT_LATE_APPLY;
        else if (strcasecmp(option->value, "drop") == 0)
                def->late = LEAT_LATE_DROP;
        else if (strcasecmp(option->value, "reemit") == 0)
                def->late = LEAT_LATE_REEMIT;
        else if (strncasecmp(option->value, "grace ", 6) == 0 &&
                 leat_duration_parse(leat_view_str(option->value + 6), &def->grace_us))
                def->late = LEAT_LATE_GRACE;
        else
                return leat_ddl_option_bad(d, option, hint);
        if (def->late == LEAT_LATE_REEMIT && def->emit != LEAT_EMIT_ON_WINDOW_CLOSE)
                return leat_ddl_option_bad(d, option, "'reemit' belongs to EMIT ON WINDOW CLOSE.");
        if (def->late == LEAT_LATE_APPLY && def->emit == LEAT_EMIT_ON_WINDOW_CLOSE)
                return leat_ddl_option_bad(d, option,
                                           "With EMIT ON WINDOW CLOSE write 'drop', 'grace 10 seconds' or 'reemit'.");
        return 0;
}

static int option_start(struct ddl *d, const struct leat_sql_option *option, struct leat_view_def *def)
{
        if (strcasecmp(option->value, "earliest") == 0) {
                def->start = LEAT_START_EARLIEST;
        } else if (strcasecmp(option->value, "latest") == 0) {
                def->start = LEAT_START_LATEST;
        } else if (leat_time_parse(leat_view_str(option->value), &def->start_us)) {
                def->start = LEAT_START_TIME;
        } else {
                return leat_ddl_option_bad(d, option, "Write 'earliest', 'latest' or a time: '2026-11-24 10:00:00Z'.");
        }
        return 0;
}

static int option_pipeline(struct ddl *d, const struct leat_sql_option *option, struct leat_view_def *def)
{
        for (const char *c = option->value; *c != 0; c++) {
                if (!isalnum((uint8_t)*c) && *c != '_' && *c != '-')
                        return leat_ddl_option_bad(d, option,
                                                   "The name of a pipeline has letters, digits, '_' and '-'.");
        }
        if (option->value[0] == 0 || strlen(option->value) > 60)
                return leat_ddl_option_bad(d, option, "The name of a pipeline has 1 to 60 characters.");
        def->pipeline = option->value;
        return 0;
}

static int view_options(struct ddl *d, struct leat_view_def *def)
{
        static const char *const known[] = {"pipeline", "start", "late", "retention", "max_state"};
        for (uint32_t i = 0; i < d->stmt->option_count; i++) {
                const struct leat_sql_option *option = &d->stmt->options[i];
                if (strcmp(option->name, "pipeline") == 0)
                        LEAT_TRY(option_pipeline(d, option, def));
                else if (strcmp(option->name, "start") == 0)
                        LEAT_TRY(option_start(d, option, def));
                else if (strcmp(option->name, "late") == 0)
                        LEAT_TRY(option_late(d, option, def));
                else if (strcmp(option->name, "retention") == 0)
                        LEAT_TRY(leat_ddl_option_duration(d, option, &def->retention_us));
                else if (strcmp(option->name, "max_state") == 0)
                        LEAT_TRY(leat_ddl_option_bytes(d, option, &def->max_state_bytes));
                else
                        return leat_ddl_option_unknown(d, option, known, LEAT_ARRAY_LEN(known));
        }
        return 0;
}

int leat_ddl_create_matview(struct ddl *d)
{
        const struct leat_object *old;
        struct leat_sql_bound bound;
        struct leat_sql_compiled compiled = {0};
        bool done;
        struct leat_view_def def = {
                .body = body_copy(d),
                .pipeline = "main",
                .emit = d->stmt->emit != 0 ? d->stmt->emit : LEAT_EMIT_CHANGES,
                .start = LEAT_START_EARLIEST,
                .retention_us = -1,
                .max_state_bytes = -1,
        };
        def.late = def.emit == LEAT_EMIT_CHANGES ? LEAT_LATE_APPLY : LEAT_LATE_DROP;
        LEAT_TRY(check_name(d, LEAT_OBJECT_MATVIEW, &old, &done));
        if (done)
                return 0;
        if (old == NULL)
                LEAT_TRY(check_hidden(d));
        LEAT_TRY(view_options(d, &def));
        LEAT_TRY(leat_sql_bind_stream(d->ctx->env, d->arena, d->stmt, &bound, d->err));
        LEAT_TRY(check_cycle(d, old, bound.used, bound.used_count));
        if (old != NULL)
                LEAT_TRY(leat_ddl_check_unused(d, old, "replace"));
        if (d->ctx->compile != NULL)
                LEAT_TRY(d->ctx->compile(d->ctx->compile_arg, d->arena, &bound, &def, &compiled, d->err));
        if (d->check_only)
                return 0;
        def.columns = bound.columns;
        def.column_count = bound.column_count;
        def.graph = compiled.graph;
        def.keys = compiled.keys;
        def.key_count = compiled.key_count;
        struct leat_object object = {
                .kind = LEAT_OBJECT_MATVIEW,
                .state = LEAT_STATE_READY,
                .name = d->stmt->name,
                .sql = leat_ddl_text(d),
                .view = &def,
        };
        object.reads = leat_ddl_reads(d, bound.used, bound.used_count, &object.read_count);
        LEAT_TRY(leat_ddl_put(d, &object, old != NULL ? old->id : 0, 0));
        if (compiled.notice != NULL)
                leat_ddl_notice(d, "%s", compiled.notice);
        return 0;
}

/* ---- ALTER MATERIALIZED VIEW | JOB ---------------------------------------------------------------- */
int leat_ddl_alter_job(struct ddl *d)
{
        static const char *const known[] = {"max_state"};
        const struct leat_object *old = leat_ddl_object(d, false);
        bool gone;
        if (old == NULL)
                return leat_ddl_missing(d, "materialized view", &gone);
        if (old->kind != LEAT_OBJECT_MATVIEW)
                return leat_ddl_fail(d, d->stmt->name_at, LEAT_ENORELATION, NULL,
                                     "\"%s\" is a %s; only materialized views have jobs", old->name,
                                     leat_object_kind_name(old->kind));
        struct leat_view_def def = *old->view;
        struct leat_object object = *old;
        object.view = &def;
        for (uint32_t i = 0; i < d->stmt->option_count; i++) {
                const struct leat_sql_option *option = &d->stmt->options[i];
                static const char *const fixed[] = {"pipeline", "start", "late", "retention"};
                for (size_t k = 0; k < LEAT_ARRAY_LEN(fixed); k++) {
                        if (strcmp(option->name, fixed[k]) == 0)
                                return leat_ddl_fail(d, option->name_at, LEAT_EUNSUPPORTED,
                                                     "Write CREATE OR REPLACE MATERIALIZED VIEW with the new value.",
                                                     "option %s of a view cannot be changed while it runs",
                                                     option->name);
                }
                if (strcmp(option->name, "max_state") != 0)
                        return leat_ddl_option_unknown(d, option, known, 1);
                LEAT_TRY(leat_ddl_option_bytes(d, option, &def.max_state_bytes));
        }
        if (d->stmt->alter == LEAT_ALTER_PAUSE || d->stmt->alter == LEAT_ALTER_RESUME)
                def.paused = d->stmt->alter == LEAT_ALTER_PAUSE;
        return d->check_only ? 0 : leat_ddl_put(d, &object, 0, 0);
}
