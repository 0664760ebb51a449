/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/sql: running definitions: what all statements share, DROP, recovery.
 *
 * Journal  A statement about a topic touches catalog and broker. It is three
 *          steps: (1) one transaction marks the object (creating, dropping) and
 *          writes an intent; (2) the act in the broker; (3) one transaction makes
 *          the object ready or deletes it and removes the intent. Every act can
 *          be done twice, so recovery completes what it finds: CREATE makes the
 *          topic or finds it there, DROP deletes it or finds it gone, ALTER is
 *          done again from the definition in the intent. An act that fails while
 *          the statement runs undoes step 1.
 * Views    and dashboards are the catalog's alone: one transaction.
 * Roles    the statement returns when `query` and the workers have applied the
 *          new version; one that takes too long is named in a notice, for the
 *          change itself is made.
 */
#include <stdio.h>
#include <strings.h>

#include "sql_ddl_int.h"

#define APPLY_TIMEOUT_US 10000000

/* ---- helpers ------------------------------------------------------------------------- */
int leat_ddl_fail(struct ddl *d, struct leat_span at, int code, const char *hint, const char *fmt, ...)
{
        char message[sizeof d->err->message];
        va_list args;
        va_start(args, fmt);
        vsnprintf(message, sizeof message, fmt, args);
        va_end(args);
        leat_sql_fail(d->stmt->text, at.start, d->err, code, "%s", message);
        if (hint != NULL)
                leat_error_hint(d->err, "%s", hint);
        return code;
}

void leat_ddl_notice(struct ddl *d, const char *fmt, ...)
{
        char text[600];
        va_list args;
        if (d->ctx->notice == NULL)
                return;
        va_start(args, fmt);
        vsnprintf(text, sizeof text, fmt, args);
        va_end(args);
        d->ctx->notice(d->ctx->notice_arg, text);
}

const struct leat_object *leat_ddl_object(struct ddl *d, bool dashboard)
{
        return leat_snapshot_find(d->snapshot, d->stmt->name, dashboard);
}

int leat_ddl_missing(struct ddl *d, const char *what, bool *ret_gone)
{
        const char **names = leat_arena_alloc(d->arena, (d->snapshot->object_count + 1) * sizeof *names);
        uint32_t count = 0;
        *ret_gone = d->stmt->if_exists;
        if (d->stmt->if_exists) {
                leat_ddl_notice(d, "%s \"%s\" does not exist, skipping", what, d->stmt->name);
                return 0;
        }
        for (uint32_t i = 0; i < d->snapshot->object_count; i++)
                names[count++] = d->snapshot->objects[i].name;
        const char *near = leat_sql_suggest(d->stmt->name, names, count);
        leat_ddl_fail(d, d->stmt->name_at, LEAT_ENORELATION, NULL, "%s \"%s\" does not exist", what, d->stmt->name);
        if (near != NULL)
                leat_error_hint(d->err, "Did you mean \"%s\"?", near);
        return LEAT_ENORELATION;
}

uint32_t leat_ddl_readers(struct ddl *d, uint64_t id, uint64_t *ids)
{
        uint32_t count = 0;
        /* Rounds: those that read @id, then those that read these. */
        for (uint32_t from = 0; from <= count; from++) {
                uint64_t target = from == 0 ? id : ids[from - 1];
                for (uint32_t i = 0; i < d->snapshot->object_count; i++) {
                        const struct leat_object *o = &d->snapshot->objects[i];
                        bool reads = false, known = o->id == id;
                        for (uint32_t k = 0; k < o->read_count; k++)
                                reads |= o->reads[k] == target;
                        for (uint32_t k = 0; k < count; k++)
                                known |= ids[k] == o->id;
                        if (reads && !known)
                                ids[count++] = o->id;
                }
        }
        return count;
}

int leat_ddl_check_unused(struct ddl *d, const struct leat_object *object, const char *verb)
{
        uint64_t *ids = leat_arena_alloc(d->arena, (d->snapshot->object_count + 1) * sizeof *ids);
        uint32_t count = leat_ddl_readers(d, object->id, ids);
        struct leat_buf list = LEAT_BUF_INIT;
        if (count == 0)
                return 0;
        for (uint32_t i = 0; i < count && list.len < 300; i++) {
                const struct leat_object *o = leat_snapshot_get(d->snapshot, ids[i]);
                leat_buf_printf(&list, "%s%s %s", i != 0 ? ", " : "", leat_object_kind_name(o->kind), o->name);
        }
        leat_ddl_fail(d, d->stmt->name_at, LEAT_EDEPENDENT, NULL, "cannot %s %s \"%s\" because others depend on it: %s",
                      verb, leat_object_kind_name(object->kind), object->name, leat_buf_cstr(&list));
        leat_buf_done(&list);
        if (strcmp(verb, "drop") == 0)
                leat_error_hint(d->err, "Drop these first, or write DROP ... CASCADE to drop them too.");
        else
                leat_error_hint(d->err, "Drop these first.");
        return LEAT_EDEPENDENT;
}

void leat_ddl_wait(struct ddl *d, uint64_t version)
{
        static const char *const roles[] = {"query", "worker:"};
        struct leat_error late = {0};
        int64_t timeout_us = d->ctx->timeout_us != 0 ? d->ctx->timeout_us : APPLY_TIMEOUT_US;
        if (leat_catalog_applied_wait(d->ctx->catalog, roles, 2, version, timeout_us, &late) != 0)
                leat_ddl_notice(d, "the change is made, but %s", late.message);
}

int leat_ddl_put(struct ddl *d, struct leat_object *object, uint64_t delete_id, uint64_t remove_intent)
{
        uint64_t version;
        LEAT_TRY(leat_catalog_begin(d->ctx->catalog, d->err));
        int rc = delete_id != 0 ? leat_catalog_delete(d->ctx->catalog, delete_id, d->err) : 0;
        if (rc == 0)
                rc = leat_catalog_put(d->ctx->catalog, object, &object->id, d->err);
        if (rc == 0 && remove_intent != 0)
                rc = leat_catalog_intent_remove(d->ctx->catalog, remove_intent, d->err);
        if (rc == 0)
                rc = leat_catalog_commit(d->ctx->catalog, &version, d->err);
        if (rc != 0) {
                leat_catalog_rollback(d->ctx->catalog);
                return rc;
        }
        leat_ddl_wait(d, version);
        return 0;
}

const char *leat_ddl_text(struct ddl *d)
{
        return leat_arena_strndup(d->arena, (const char *)d->stmt->text.data + d->stmt->at.start, d->stmt->at.len);
}

const uint64_t *leat_ddl_reads(struct ddl *d, const struct leat_sql_used *used, uint32_t count, uint32_t *ret_count)
{
        uint64_t *ids = leat_arena_alloc(d->arena, (count + 1) * sizeof *ids);
        uint32_t n = 0;
        for (uint32_t i = 0; i < count; i++) {
                bool known = used[i].object_id == 0;
                for (uint32_t k = 0; k < n && !known; k++)
                        known = ids[k] == used[i].object_id;
                if (!known)
                        ids[n++] = used[i].object_id;
        }
        *ret_count = n;
        return ids;
}

/* ---- options ------------------------------------------------------------------------------ */
int leat_ddl_option_unknown(struct ddl *d, const struct leat_sql_option *option, const char *const *known,
                            uint32_t count)
{
        const char *near = leat_sql_suggest(option->name, known, count);
        struct leat_buf list = LEAT_BUF_INIT;
        leat_ddl_fail(d, option->name_at, LEAT_EINVAL, NULL, "there is no option \"%s\" here", option->name);
        for (uint32_t i = 0; i < count; i++)
                leat_buf_printf(&list, "%s%s", i != 0 ? ", " : "", known[i]);
        if (near != NULL)
                leat_error_hint(d->err, "Did you mean \"%s\"?", near);
        else
                leat_error_hint(d->err, "There are %s.", leat_buf_cstr(&list));
        leat_buf_done(&list);
        return LEAT_EINVAL;
}

int leat_ddl_option_bad(struct ddl *d, const struct leat_sql_option *option, const char *hint)
{
        return leat_ddl_fail(d, option->value_at, LEAT_EINVAL, hint, "\"%s\" is no value for option %s", option->value,
                             option->name);
}

int leat_ddl_option_duration(struct ddl *d, const struct leat_sql_option *option, int64_t *ret_us)
{
        if (leat_duration_parse(leat_view_str(option->value), ret_us))
                return 0;
        return leat_ddl_option_bad(d, option, "Write a length of time: '500 ms', '5 seconds', '7 days'.");
}

int leat_ddl_option_bytes(struct ddl *d, const struct leat_sql_option *option, int64_t *ret_bytes)
{
        if (leat_size_parse(leat_view_str(option->value), ret_bytes) && *ret_bytes > 0)
                return 0;
        return leat_ddl_option_bad(d, option, "Write a size: '64 MiB', '10 GiB'.");
}

/* ---- DROP ----------------------------------------------------------------------------------- */
/* A topic that was never declared: the broker's alone. */
static int drop_undeclared(struct ddl *d, bool *ret_done)
{
        struct leat_feed_topic topic;
        *ret_done = false;
        if (d->stmt->object_kind != LEAT_OBJECT_TOPIC || d->ctx->feed == NULL)
                return 0;
        int rc = leat_feed_topic(d->ctx->feed, d->stmt->name, &topic, d->err);
        if (rc == LEAT_ENORELATION)
                return 0;
        if (rc == 0 && topic.internal)
                rc = leat_ddl_fail(d, d->stmt->name_at, LEAT_EDENIED, NULL, "topic \"%s\" is internal", d->stmt->name);
        if (rc == 0 && !d->check_only)
                rc = leat_feed_topic_delete(d->ctx->feed, d->stmt->name, d->err);
        *ret_done = true;
        return rc;
}

/* Step 1: topics are marked, everything else is gone. */
static int drop_mark(struct ddl *d, const uint64_t *ids, uint32_t count, uint64_t *intents, uint64_t *ret_version)
{
        struct leat_catalog *cat = d->ctx->catalog;
        for (uint32_t i = 0; i < count; i++) {
                const struct leat_object *o = leat_snapshot_get(d->snapshot, ids[i]);
                intents[i] = 0;
                if (o->kind != LEAT_OBJECT_TOPIC) {
                        LEAT_TRY(leat_catalog_delete(cat, o->id, d->err));
                        continue;
                }
                struct leat_object marked = *o;
                struct leat_intent intent = {.kind = LEAT_INTENT_DROP, .object_id = o->id};
                marked.state = LEAT_STATE_DROPPING;
                LEAT_TRY(leat_catalog_put(cat, &marked, &marked.id, d->err));
                LEAT_TRY(leat_catalog_intent_add(cat, &intent, &intents[i], d->err));
        }
        return leat_catalog_commit(cat, ret_version, d->err);
}

static int drop_finish(struct leat_sql_ddl_context *ctx, uint64_t id, uint64_t intent, uint64_t *ret_version,
                       struct leat_error *err)
{
        LEAT_TRY(leat_catalog_begin(ctx->catalog, err));
        int rc = leat_catalog_delete(ctx->catalog, id, err);
        if (rc == 0)
                rc = leat_catalog_intent_remove(ctx->catalog, intent, err);
        if (rc == 0)
                rc = leat_catalog_commit(ctx->catalog, ret_version, err);
        if (rc != 0)
                leat_catalog_rollback(ctx->catalog);
        return rc;
}

int leat_ddl_drop(struct ddl *d)
{
        const struct leat_stmt *stmt = d->stmt;
        const struct leat_object *object = leat_ddl_object(d, stmt->object_kind == LEAT_OBJECT_DASHBOARD);
        const char *what = leat_object_kind_name(stmt->object_kind);
        uint64_t version;
        bool done;
        if (object == NULL) {
                LEAT_TRY(drop_undeclared(d, &done));
                return done ? 0 : leat_ddl_missing(d, what, &done);
        }
        if (object->kind != stmt->object_kind)
                return leat_ddl_fail(d, stmt->name_at, LEAT_ENORELATION,
                                     leat_arena_printf(d->arena, "Write DROP %s %s.",
                                                       object->kind == LEAT_OBJECT_TOPIC     ? "TOPIC"
                                                       : object->kind == LEAT_OBJECT_MATVIEW ? "MATERIALIZED VIEW"
                                                                                             : "VIEW",
                                                       object->name),
                                     "\"%s\" is a %s, not a %s", object->name, leat_object_kind_name(object->kind),
                                     what);
        uint64_t *ids = leat_arena_alloc(d->arena, (d->snapshot->object_count + 1) * sizeof *ids);
        uint64_t *intents = leat_arena_zalloc(d->arena, (d->snapshot->object_count + 1) * sizeof *intents);
        ids[0] = object->id;
        uint32_t count = 1;
        if (!stmt->cascade)
                LEAT_TRY(leat_ddl_check_unused(d, object, "drop"));
        else
                count += leat_ddl_readers(d, object->id, ids + 1);
        if (object->kind == LEAT_OBJECT_TOPIC && d->ctx->feed == NULL)
                return leat_error_set(d->err, LEAT_EUNSUPPORTED, "topics cannot be dropped without a broker");
        if (d->check_only)
                return 0;
        for (uint32_t i = 1; i < count; i++) {
                const struct leat_object *o = leat_snapshot_get(d->snapshot, ids[i]);
                leat_ddl_notice(d, "drop cascades to %s %s", leat_object_kind_name(o->kind), o->name);
        }
        LEAT_TRY(leat_catalog_begin(d->ctx->catalog, d->err));
        int rc = drop_mark(d, ids, count, intents, &version);
        if (rc != 0) {
                leat_catalog_rollback(d->ctx->catalog);
                return rc;
        }
        leat_ddl_wait(d, version);
        for (uint32_t i = 0; i < count; i++) {
                if (intents[i] == 0)
                        continue;
                /* A failure here is made good by recovery: the object stays marked. */
                LEAT_TRY(leat_ddl_broker_drop(d->ctx, leat_snapshot_get(d->snapshot, ids[i])->name, d->err));
                LEAT_TRY(drop_finish(d->ctx, ids[i], intents[i], &version, d->err));
                leat_ddl_wait(d, version);
        }
        return 0;
}

/* ---- recovery --------------------------------------------------------------------------------- */
static int recover_object(struct leat_sql_ddl_context *ctx, struct leat_object *object, uint64_t intent,
                          struct leat_error *err)
{
        uint64_t version;
        LEAT_TRY(leat_catalog_begin(ctx->catalog, err));
        int rc = leat_catalog_put(ctx->catalog, object, &object->id, err);
        if (rc == 0)
                rc = leat_catalog_intent_remove(ctx->catalog, intent, err);
        if (rc == 0)
                rc = leat_catalog_commit(ctx->catalog, &version, err);
        if (rc != 0)
                leat_catalog_rollback(ctx->catalog);
        return rc;
}

static int recover_intent(struct leat_sql_ddl_context *ctx, struct leat_arena *arena, const struct leat_intent *intent,
                          const struct leat_object *found, struct leat_error *err)
{
        struct leat_object object;
        struct leat_topic_def def;
        uint64_t version;
        if (found == NULL || found->topic == NULL)
                return drop_finish(ctx, intent->object_id, intent->id, &version, err);
        object = *found;
        switch (intent->kind) {
        case LEAT_INTENT_CREATE:
                def = *found->topic;
                object.topic = &def;
                LEAT_TRY(leat_ddl_broker_create(ctx, &object, err));
                object.state = LEAT_STATE_READY;
                return recover_object(ctx, &object, intent->id, err);
        case LEAT_INTENT_ALTER:
                LEAT_TRY(leat_object_decode(arena, LEAT_OBJECT_TOPIC, intent->payload, &object, err));
                def = *object.topic;
                object.topic = &def;
                LEAT_TRY(leat_ddl_broker_alter(ctx, object.name, &def, err));
                return recover_object(ctx, &object, intent->id, err);
        default:
                LEAT_TRY(leat_ddl_broker_drop(ctx, object.name, err));
                return drop_finish(ctx, object.id, intent->id, &version, err);
        }
}

int leat_sql_ddl_recover(struct leat_sql_ddl_context *ctx, struct leat_error *err)
{
        struct leat_arena *arena = leat_arena_new(0);
        const struct leat_snapshot *snapshot;
        struct leat_intent *intents;
        uint32_t count = 0;
        int rc = leat_catalog_load(ctx->catalog, arena, &snapshot, err);
        if (rc == 0)
                rc = leat_catalog_intents(ctx->catalog, arena, &intents, &count, err);
        if (rc == 0 && count != 0 && ctx->feed == NULL)
                rc = leat_error_set(err, LEAT_EUNSUPPORTED, "statements cut off by a crash wait for the broker");
        for (uint32_t i = 0; i < count && rc == 0; i++)
                rc = recover_intent(ctx, arena, &intents[i], leat_snapshot_get(snapshot, intents[i].object_id), err);
        leat_arena_free(arena);
        return rc;
}

/* ---- entry ------------------------------------------------------------------------------------- */
bool leat_sql_is_ddl(const struct leat_stmt *stmt)
{
        switch (stmt->kind) {
        case LEAT_STMT_CREATE_TOPIC:
        case LEAT_STMT_CREATE_VIEW:
        case LEAT_STMT_CREATE_MATVIEW:
        case LEAT_STMT_CREATE_DASHBOARD:
        case LEAT_STMT_ALTER_TOPIC:
        case LEAT_STMT_ALTER_JOB:
        case LEAT_STMT_DROP:
                return true;
        default:
                return false;
        }
}

static int run(struct ddl *d)
{
        switch (d->stmt->kind) {
        case LEAT_STMT_CREATE_TOPIC:
                return leat_ddl_create_topic(d);
        case LEAT_STMT_CREATE_VIEW:
                return leat_ddl_create_view(d);
        case LEAT_STMT_CREATE_MATVIEW:
                return leat_ddl_create_matview(d);
        case LEAT_STMT_CREATE_DASHBOARD:
                return leat_ddl_create_dashboard(d);
        case LEAT_STMT_ALTER_TOPIC:
                return leat_ddl_alter_topic(d);
        case LEAT_STMT_ALTER_JOB:
                return leat_ddl_alter_job(d);
        case LEAT_STMT_DROP:
                return leat_ddl_drop(d);
        default:
                return leat_sql_fail(d->stmt->text, d->stmt->at.start, d->err, LEAT_EUNSUPPORTED,
                                     "this statement defines nothing");
        }
}

static int run_statement(struct leat_sql_ddl_context *ctx, const struct leat_stmt *stmt, bool check_only,
                         struct leat_error *err)
{
        struct ddl d = {.ctx = ctx, .stmt = stmt, .check_only = check_only, .err = err};
        d.arena = leat_arena_new(0);
        int rc = leat_sql_env_catalog(ctx->env, &d.catalog, err);
        if (rc == 0) {
                d.snapshot = d.catalog->snapshot;
                leat_sql_catalog_keep(d.arena, d.catalog);
                rc = run(&d);
        }
        leat_arena_free(d.arena);
        return rc;
}

int leat_sql_ddl(struct leat_sql_ddl_context *ctx, const struct leat_stmt *stmt, struct leat_error *err)
{
        return run_statement(ctx, stmt, false, err);
}

int leat_sql_ddl_check(struct leat_sql_ddl_context *ctx, const struct leat_stmt *stmt, struct leat_error *err)
{
        return run_statement(ctx, stmt, true, err);
}
