/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/sql: CREATE TOPIC and ALTER TOPIC against catalog and broker.
 *
 * A topic that the broker has already is adopted: it gets columns, keeps its
 * records, and its partitions may only grow. A topic with a PRIMARY KEY is told
 * to the broker as keyed (Leat: leat.keyed; Apache Kafka, which does not know
 * that: cleanup.policy=compact) and is never cut by time.
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

#include "sql_ddl_int.h"

#define PARTITIONS_MAX 10000
#define TOPIC_NAME_MAX 238 /* room for ".quarantine" in Kafka's 249 */
#define IDLE_TIMEOUT_US 5000000
#define MAX_AHEAD_US 60000000

/* ---- checks ------------------------------------------------------------------------ */
static int check_topic_name(struct ddl *d)
{
        const char *name = d->stmt->name;
        size_t len = strlen(name);
        for (const char *c = name; *c != 0; c++) {
                if (!isalnum((uint8_t)*c) && strchr("._-", *c) == NULL)
                        return leat_ddl_fail(d, d->stmt->name_at, LEAT_EINVAL, "Use letters, digits, '.', '_' and '-'.",
                                             "the name of a topic cannot have \"%c\" in it", *c);
        }
        if (len > TOPIC_NAME_MAX) {
                static const char hint[] = "Kafka allows 249, of which the topic's quarantine needs 11.";
                return leat_ddl_fail(d, d->stmt->name_at, LEAT_EINVAL, hint,
                                     "the name of a topic has at most %d characters, this one has %zu", TOPIC_NAME_MAX,
                                     len);
        }
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
                return leat_ddl_fail(d, d->stmt->name_at, LEAT_EINVAL, NULL, "\"%s\" is no name for a topic", name);
        if (strncmp(name, "__", 2) == 0)
                return leat_ddl_fail(d, d->stmt->name_at, LEAT_EINVAL, NULL,
                                     "names that begin with \"__\" belong to internal topics");
        return 0;
}

static int check_columns(struct ddl *d, const struct leat_stmt *stmt, uint8_t format)
{
        for (uint32_t i = 0; i < stmt->column_count; i++) {
                const struct leat_sql_column *column = &stmt->columns[i];
                if (strncasecmp(column->name, "kafka_", 6) == 0)
                        return leat_ddl_fail(
                                d, column->at, LEAT_EINVAL, NULL,
                                "names that begin with \"kafka_\" belong to the columns that every topic has");
                if (column->type.id == LEAT_T_SQLNULL)
                        return leat_ddl_fail(d, column->at, LEAT_ETYPE, NULL, "a column needs a type");
                if (format == LEAT_FORMAT_RAW &&
                    (i > 0 || (column->type.id != LEAT_T_VARCHAR && column->type.id != LEAT_T_BLOB)))
                        return leat_ddl_fail(d, column->at, LEAT_EUNSUPPORTED,
                                             "Leave the columns out to get \"value\" TEXT.",
                                             "a raw topic has one column of type TEXT or BYTEA");
        }
        return 0;
}

static int option_partitions(struct ddl *d, const struct leat_sql_option *option, int32_t *ret_partitions)
{
        char *end;
        long n = strtol(option->value, &end, 10);
        if (*end != 0 || end == option->value || n < 1 || n > PARTITIONS_MAX)
                return leat_ddl_option_bad(d, option, "Write a number of partitions from 1 to 10000.");
        *ret_partitions = (int32_t)n;
        return 0;
}

static int option_format(struct ddl *d, const struct leat_sql_option *option, uint8_t *ret_format)
{
        if (strcasecmp(option->value, "json") == 0)
                *ret_format = LEAT_FORMAT_JSON;
        else if (strcasecmp(option->value, "raw") == 0)
                *ret_format = LEAT_FORMAT_RAW;
        else
                return leat_ddl_option_bad(d, option, "There are the formats 'json' and 'raw'.");
        return 0;
}

/* One option into @def; @create false: only those that ALTER TOPIC can change. */
static int topic_option(struct ddl *d, const struct leat_sql_option *option, struct leat_topic_def *def, bool create)
{
        static const char *const known[] = {"format",          "partitions",   "retention",
                                            "retention_bytes", "idle_timeout", "max_ahead"};
        const char *name = option->name;
        if (strcmp(name, "partitions") == 0)
                return option_partitions(d, option, &def->partitions);
        if (strcmp(name, "format") == 0)
                return create ? option_format(d, option, &def->format)
                              : leat_ddl_fail(d, option->name_at, LEAT_EUNSUPPORTED, "Create the topic again.",
                                              "the format of a topic cannot be changed");
        if (strcmp(name, "retention") == 0 || strcmp(name, "retention_bytes") == 0) {
                if (def->key_count != 0)
                        return leat_ddl_fail(
                                d, option->name_at, LEAT_EUNSUPPORTED, "Delete a row by a NULL value for its key.",
                                "a topic with a PRIMARY KEY keeps the newest row of every key; it has no retention");
                return strcmp(name, "retention") == 0 ? leat_ddl_option_duration(d, option, &def->retention_us)
                                                      : leat_ddl_option_bytes(d, option, &def->retention_bytes);
        }
        if (strcmp(name, "idle_timeout") == 0)
                return leat_ddl_option_duration(d, option, &def->idle_timeout_us);
        if (strcmp(name, "max_ahead") == 0)
                return leat_ddl_option_duration(d, option, &def->max_ahead_us);
        return leat_ddl_option_unknown(d, option, known, LEAT_ARRAY_LEN(known));
}

static void copy_columns(struct ddl *d, struct leat_topic_def *def)
{
        static const struct leat_column_def value[] = {{.name = "value", .type = {.id = LEAT_T_VARCHAR}}};
        const struct leat_stmt *stmt = d->stmt;
        struct leat_column_def *columns = leat_arena_zalloc(d->arena, (stmt->column_count + 1) * sizeof *columns);
        for (uint32_t i = 0; i < stmt->column_count; i++)
                columns[i] = (struct leat_column_def){.name = stmt->columns[i].name,
                                                      .type = stmt->columns[i].type,
                                                      .not_null = stmt->columns[i].not_null};
        def->columns = stmt->column_count != 0 ? columns : value;
        def->column_count = stmt->column_count != 0 ? stmt->column_count : 1;
}

static int make_def(struct ddl *d, struct leat_topic_def *def)
{
        const struct leat_stmt *stmt = d->stmt;
        *def = (struct leat_topic_def){
                .format = LEAT_FORMAT_JSON,
                .key_count = stmt->key_count,
                .keys = stmt->keys,
                .watermark_column = stmt->watermark_column,
                .watermark_delay_us = stmt->watermark_delay_us,
                .retention_us = -1,
                .retention_bytes = -1,
                .idle_timeout_us = IDLE_TIMEOUT_US,
                .max_ahead_us = MAX_AHEAD_US,
        };
        for (uint32_t i = 0; i < stmt->option_count; i++)
                LEAT_TRY(topic_option(d, &stmt->options[i], def, true));
        LEAT_TRY(check_columns(d, stmt, def->format));
        if (def->format == LEAT_FORMAT_JSON && stmt->column_count == 0)
                return leat_ddl_fail(d, stmt->name_at, LEAT_ESYNTAX, "Write CREATE TOPIC name (column type, ...).",
                                     "a JSON topic needs columns");
        if (def->format == LEAT_FORMAT_RAW && stmt->key_count != 0)
                return leat_ddl_fail(d, stmt->name_at, LEAT_EUNSUPPORTED, NULL, "a raw topic has no PRIMARY KEY");
        copy_columns(d, def);
        return 0;
}

/* ---- the broker -------------------------------------------------------------------------- */
static uint32_t broker_configs(const struct leat_topic_def *def, char (*texts)[24], struct leat_feed_config *configs)
{
        uint32_t count = 0;
        int64_t retention_ms = def->retention_us >= 0 ? LEAT_MAX(def->retention_us / 1000, 1) : -1;
        if (def->retention_us >= 0 || def->key_count != 0) {
                snprintf(texts[count], sizeof texts[count], "%" PRId64, retention_ms);
                configs[count] = (struct leat_feed_config){.name = "retention.ms", .value = texts[count]};
                count++;
        }
        if (def->retention_bytes >= 0) {
                snprintf(texts[count], sizeof texts[count], "%" PRId64, def->retention_bytes);
                configs[count] = (struct leat_feed_config){.name = "retention.bytes", .value = texts[count]};
                count++;
        }
        return count;
}

/* Runs @with once for Leat's broker and, when that does not know leat.keyed, once for Apache Kafka. */
static int keyed_try(const struct leat_topic_def *def, struct leat_feed_config *configs, uint32_t count,
                     int (*with)(void *arg, const struct leat_feed_config *configs, uint32_t count,
                                 struct leat_error *err),
                     void *arg, struct leat_error *err)
{
        if (def->key_count == 0)
                return with(arg, configs, count, err);
        configs[count] = (struct leat_feed_config){.name = "leat.keyed", .value = "true"};
        int rc = with(arg, configs, count + 1, err);
        if (rc != LEAT_EINVAL && rc != LEAT_EUNSUPPORTED)
                return rc;
        configs[count] = (struct leat_feed_config){.name = "cleanup.policy", .value = "compact"};
        return with(arg, configs, count + 1, err);
}

struct broker_call {
        struct leat_feed *feed;
        const char *name;
        int32_t partitions;
        struct leat_topic_id id;
};

static int call_create(void *arg, const struct leat_feed_config *configs, uint32_t count, struct leat_error *err)
{
        struct broker_call *call = arg;
        return leat_feed_topic_create(call->feed, call->name, call->partitions, configs, count, &call->id, err);
}

static int call_configure(void *arg, const struct leat_feed_config *configs, uint32_t count, struct leat_error *err)
{
        struct broker_call *call = arg;
        return count == 0 ? 0 : leat_feed_topic_configure(call->feed, call->name, configs, count, err);
}

/* A quarantine is kept as long as its topic's records. */
static int quarantine_retain(struct leat_sql_ddl_context *ctx, const char *name, const struct leat_topic_def *def,
                             struct leat_error *err)
{
        char quarantine[300], text[24];
        struct leat_feed_topic topic;
        struct leat_feed_config config = {.name = "retention.ms", .value = text};
        if (def->retention_us < 0)
                return 0;
        snprintf(quarantine, sizeof quarantine, "%s.quarantine", name);
        snprintf(text, sizeof text, "%" PRId64, LEAT_MAX(def->retention_us / 1000, (int64_t)1));
        int rc = leat_feed_topic(ctx->feed, quarantine, &topic, err);
        if (rc == 0)
                rc = leat_feed_topic_configure(ctx->feed, quarantine, &config, 1, err);
        return rc == LEAT_ENORELATION ? 0 : rc;
}

int leat_ddl_broker_alter(struct leat_sql_ddl_context *ctx, const char *name, struct leat_topic_def *def,
                          struct leat_error *err)
{
        struct leat_feed_topic topic;
        struct leat_feed_config configs[4];
        char texts[4][24];
        struct broker_call call = {.feed = ctx->feed, .name = name};
        int rc = leat_feed_topic(ctx->feed, name, &topic, err);
        if (rc == LEAT_ENORELATION) {
                /* Somebody deleted it behind our back: the definition is wanted, so make it again. */
                call.partitions = LEAT_MAX(def->partitions, 1);
                LEAT_TRY(keyed_try(def, configs, broker_configs(def, texts, configs), call_create, &call, err));
                memcpy(def->topic_id, call.id.bytes, sizeof def->topic_id);
                def->partitions = call.partitions;
                return 0;
        }
        if (rc != 0)
                return rc;
        memcpy(def->topic_id, topic.id.bytes, sizeof def->topic_id);
        LEAT_TRY(keyed_try(def, configs, broker_configs(def, texts, configs), call_configure, &call, err));
        LEAT_TRY(quarantine_retain(ctx, name, def, err));
        if (def->partitions > topic.partitions)
                LEAT_TRY(leat_feed_topic_grow(ctx->feed, name, def->partitions, err));
        def->partitions = LEAT_MAX(def->partitions, topic.partitions);
        return 0;
}

int leat_ddl_broker_create(struct leat_sql_ddl_context *ctx, struct leat_object *object, struct leat_error *err)
{
        struct leat_topic_def *def = (struct leat_topic_def *)(uintptr_t)object->topic;
        struct leat_feed_config configs[4];
        char texts[4][24];
        struct broker_call call = {.feed = ctx->feed, .name = object->name, .partitions = def->partitions};
        if (!def->adopted) {
                int rc = keyed_try(def, configs, broker_configs(def, texts, configs), call_create, &call, err);
                if (rc == 0) {
                        memcpy(def->topic_id, call.id.bytes, sizeof def->topic_id);
                        return 0;
                }
                /* Made by an attempt that a crash cut off, or by somebody in the same moment: it is there, take it. */
                if (rc != LEAT_EEXISTS)
                        return rc;
        }
        return leat_ddl_broker_alter(ctx, object->name, def, err);
}

int leat_ddl_broker_drop(struct leat_sql_ddl_context *ctx, const char *name, struct leat_error *err)
{
        char quarantine[300];
        struct leat_feed_topic topic;
        const char *names[] = {name, quarantine};
        snprintf(quarantine, sizeof quarantine, "%s.quarantine", name);
        for (size_t i = 0; i < LEAT_ARRAY_LEN(names); i++) {
                int rc = leat_feed_topic(ctx->feed, names[i], &topic, err);
                if (rc == 0)
                        rc = leat_feed_topic_delete(ctx->feed, names[i], err);
                if (rc != 0 && rc != LEAT_ENORELATION)
                        return rc;
        }
        return 0;
}

/* ---- CREATE ---------------------------------------------------------------------------------- */
/* What the broker has already decides: partitions and whether the topic is adopted. */
static int look_at_broker(struct ddl *d, const char *name, struct leat_topic_def *def)
{
        struct leat_feed_topic topic;
        struct leat_span at = d->stmt->name_at;
        if (d->ctx->feed == NULL)
                return leat_ddl_fail(d, at, LEAT_EUNSUPPORTED, NULL, "topics cannot be created without a broker");
        int rc = leat_feed_topic(d->ctx->feed, name, &topic, d->err);
        if (rc == LEAT_ENORELATION) {
                def->partitions = LEAT_MAX(def->partitions, 1);
                return 0;
        }
        if (rc != 0)
                return rc;
        for (uint32_t i = 0; i < d->stmt->option_count; i++) {
                if (strcmp(d->stmt->options[i].name, "partitions") == 0)
                        at = d->stmt->options[i].value_at;
        }
        if (def->partitions != 0 && def->partitions < topic.partitions)
                return leat_ddl_fail(d, at, LEAT_EINVAL, "Leave the option out to keep them.",
                                     "topic \"%s\" has %d partitions already; their number can only grow",
                                     d->stmt->name, topic.partitions);
        def->adopted = true;
        def->partitions = LEAT_MAX(def->partitions, topic.partitions);
        return 0;
}

/* Columns that others use must stay as they are; those that come to them are as ALTER would add them. */
static int check_replace(struct ddl *d, const struct leat_object *old, struct leat_topic_def *def)
{
        const struct leat_topic_def *was = old->topic;
        uint64_t *ids = leat_arena_alloc(d->arena, (d->snapshot->object_count + 1) * sizeof *ids);
        if (leat_ddl_readers(d, old->id, ids) == 0)
                return 0;
        bool same = was->format == def->format && was->key_count == def->key_count &&
                    def->column_count >= was->column_count &&
                    (was->key_count == 0 || def->column_count == was->column_count) &&
                    was->watermark_column == def->watermark_column;
        for (uint32_t i = 0; i < was->key_count && same; i++)
                same = was->keys[i] == def->keys[i];
        for (uint32_t i = 0; i < was->column_count && same; i++)
                same = strcmp(was->columns[i].name, def->columns[i].name) == 0 &&
                       leat_type_eq(&was->columns[i].type, &def->columns[i].type) &&
                       was->columns[i].not_null == def->columns[i].not_null;
        for (uint32_t i = was->column_count; i < def->column_count && same; i++)
                same = !def->columns[i].not_null;
        if (!same)
                return leat_ddl_check_unused(d, old, "change");
        struct leat_column_def *columns = leat_arena_zalloc(d->arena, def->column_count * sizeof *columns);
        for (uint32_t i = 0; i < def->column_count; i++) {
                columns[i] = def->columns[i];
                columns[i].added = i >= was->column_count || was->columns[i].added;
        }
        def->columns = columns;
        return 0;
}

/* Steps 1 to 3 of CREATE (new object) and of ALTER (object->id set): intent, act, end. */
static int journalled(struct ddl *d, struct leat_object *object, const struct leat_object *old)
{
        struct leat_intent intent = {.kind = old != NULL ? LEAT_INTENT_ALTER : LEAT_INTENT_CREATE};
        struct leat_buf payload = LEAT_BUF_INIT;
        uint64_t version;
        struct leat_catalog *cat = d->ctx->catalog;
        object->state = LEAT_STATE_CREATING;
        LEAT_TRY(leat_catalog_begin(cat, d->err));
        int rc = old == NULL ? leat_catalog_put(cat, object, &object->id, d->err) : 0;
        if (old != NULL) {
                leat_object_encode(object, &payload);
                intent.payload = leat_buf_view(&payload);
        }
        intent.object_id = object->id;
        if (rc == 0)
                rc = leat_catalog_intent_add(cat, &intent, &intent.id, d->err);
        if (rc == 0)
                rc = leat_catalog_commit(cat, &version, d->err);
        leat_buf_done(&payload);
        if (rc != 0) {
                leat_catalog_rollback(cat);
                return rc;
        }
        rc = old == NULL ? leat_ddl_broker_create(d->ctx, object, d->err)
                         : leat_ddl_broker_alter(d->ctx, object->name,
                                                 (struct leat_topic_def *)(uintptr_t)object->topic, d->err);
        if (rc == 0) {
                object->state = LEAT_STATE_READY;
                return leat_ddl_put(d, object, 0, intent.id);
        }
        /* Undo step 1; when that fails too, recovery completes the statement. */
        if (leat_catalog_begin(cat, NULL) == 0) {
                int undo = old == NULL ? leat_catalog_delete(cat, object->id, NULL) : 0;
                if (undo == 0)
                        undo = leat_catalog_intent_remove(cat, intent.id, NULL);
                if (undo != 0 || leat_catalog_commit(cat, &version, NULL) != 0)
                        leat_catalog_rollback(cat);
        }
        return rc;
}

int leat_ddl_create_topic(struct ddl *d)
{
        const struct leat_object *old = leat_ddl_object(d, false);
        struct leat_topic_def def;
        LEAT_TRY(check_topic_name(d));
        if (old != NULL && d->stmt->if_not_exists) {
                leat_ddl_notice(d, "%s \"%s\" already exists, skipping", leat_object_kind_name(old->kind), old->name);
                return 0;
        }
        if (old != NULL && (!d->stmt->or_replace || old->kind != LEAT_OBJECT_TOPIC))
                return leat_ddl_fail(d, d->stmt->name_at, LEAT_EEXISTS,
                                     old->kind == LEAT_OBJECT_TOPIC ? "Write CREATE OR REPLACE TOPIC, or ALTER TOPIC."
                                                                    : NULL,
                                     "%s \"%s\" already exists", leat_object_kind_name(old->kind), old->name);
        LEAT_TRY(make_def(d, &def));
        if (old != NULL)
                LEAT_TRY(check_replace(d, old, &def));
        LEAT_TRY(look_at_broker(d, old != NULL ? old->name : d->stmt->name, &def));
        if (old != NULL)
                def.adopted = old->topic->adopted;
        if (d->check_only)
                return 0;
        if (def.adopted && old == NULL)
                leat_ddl_notice(d, "topic \"%s\" was there already; it keeps its records and its %d partition%s",
                                d->stmt->name, def.partitions, def.partitions == 1 ? "" : "s");
        struct leat_object object = {
                .id = old != NULL ? old->id : 0,
                .kind = LEAT_OBJECT_TOPIC,
                .name = old != NULL ? old->name : d->stmt->name,
                .sql = leat_ddl_text(d),
                .topic = &def,
        };
        return journalled(d, &object, old);
}

/* ---- ALTER --------------------------------------------------------------------------------------- */
/* SELECT *, x FROM topic would put the new column before x. */
static int check_star_views(struct ddl *d, const struct leat_object *topic)
{
        for (uint32_t i = 0; i < d->snapshot->object_count; i++) {
                const struct leat_object *o = &d->snapshot->objects[i];
                struct sql_token *tokens;
                uint32_t count = 0;
                bool reads = false, star = false;
                for (uint32_t k = 0; k < o->read_count; k++)
                        reads |= o->reads[k] == topic->id;
                if (o->kind != LEAT_OBJECT_VIEW || !reads ||
                    leat_sql_tokens(d->arena, o->view->body, 0, (uint32_t)o->view->body.len, false, &tokens, &count,
                                    NULL) != 0)
                        continue;
                for (uint32_t t = 0; t < count; t++) {
                        bool first = t == 0 || leat_sql_token_is(o->view->body, &tokens[t - 1], "SELECT") ||
                                     leat_sql_token_is(o->view->body, &tokens[t - 1], "DISTINCT") ||
                                     leat_sql_token_op(o->view->body, &tokens[t - 1], ',') ||
                                     leat_sql_token_op(o->view->body, &tokens[t - 1], '.');
                        star |= first && leat_sql_token_op(o->view->body, &tokens[t], '*');
                }
                if (star)
                        return leat_ddl_fail(
                                d, d->stmt->name_at, LEAT_EDEPENDENT,
                                "Drop the view and create it again afterwards, best with a list of columns.",
                                "view \"%s\" reads * of topic \"%s\", which must keep its columns", o->name,
                                topic->name);
        }
        return 0;
}

static int alter_add(struct ddl *d, const struct leat_object *topic, struct leat_topic_def *def)
{
        const struct leat_sql_column *column = &d->stmt->columns[0];
        struct leat_column_def *columns = leat_arena_zalloc(d->arena, (def->column_count + 1) * sizeof *columns);
        LEAT_TRY(check_columns(d, d->stmt, LEAT_FORMAT_JSON));
        if (def->format == LEAT_FORMAT_RAW)
                return leat_ddl_fail(d, column->at, LEAT_EUNSUPPORTED, NULL, "a raw topic has one column");
        if (leat_columns_find(def->columns, def->column_count, column->name) >= 0)
                return leat_ddl_fail(d, column->at, LEAT_EEXISTS, NULL, "column \"%s\" of topic \"%s\" already exists",
                                     column->name, topic->name);
        LEAT_TRY(check_star_views(d, topic));
        if (def->key_count > 0) /* views keep its rows as state, with the columns that there were */
                LEAT_TRY(leat_ddl_check_unused(d, topic, "change"));
        memcpy(columns, def->columns, def->column_count * sizeof *columns);
        columns[def->column_count] =
                (struct leat_column_def){.name = column->name, .type = column->type, .added = true};
        def->columns = columns;
        def->column_count++;
        return 0;
}

static int find_alter_column(struct ddl *d, const struct leat_object *topic, uint32_t *ret_column)
{
        const struct leat_topic_def *def = topic->topic;
        int column = leat_columns_find(def->columns, def->column_count, d->stmt->column);
        if (column < 0)
                return leat_ddl_fail(d, d->stmt->column_at, LEAT_ENOCOLUMN, "DESCRIBE shows the columns.",
                                     "column \"%s\" of topic \"%s\" does not exist", d->stmt->column, topic->name);
        for (uint32_t i = 0; i < def->key_count; i++) {
                if (def->keys[i] == (uint32_t)column)
                        return leat_ddl_fail(d, d->stmt->column_at, LEAT_EUNSUPPORTED, "Create the topic again.",
                                             "column \"%s\" belongs to the PRIMARY KEY", d->stmt->column);
        }
        *ret_column = (uint32_t)column;
        return leat_ddl_check_unused(d, topic, "change");
}

static int alter_drop_column(struct ddl *d, const struct leat_object *topic, struct leat_topic_def *def)
{
        struct leat_column_def *columns = leat_arena_zalloc(d->arena, (def->column_count + 1) * sizeof *columns);
        uint32_t *keys = leat_arena_zalloc(d->arena, (def->key_count + 1) * sizeof *keys);
        uint32_t column, count = 0;
        LEAT_TRY(find_alter_column(d, topic, &column));
        if (def->watermark_column == (int32_t)column)
                return leat_ddl_fail(d, d->stmt->column_at, LEAT_EUNSUPPORTED, NULL,
                                     "column \"%s\" carries the watermark", d->stmt->column);
        if (def->column_count == 1)
                return leat_ddl_fail(d, d->stmt->column_at, LEAT_EUNSUPPORTED, NULL,
                                     "a topic needs one column at least");
        for (uint32_t i = 0; i < def->column_count; i++) {
                if (i != column)
                        columns[count++] = def->columns[i];
        }
        for (uint32_t i = 0; i < def->key_count; i++)
                keys[i] = def->keys[i] - (def->keys[i] > column);
        def->watermark_column -= def->watermark_column > (int32_t)column;
        def->columns = columns;
        def->column_count = count;
        def->keys = keys;
        return 0;
}

static int alter_rename(struct ddl *d, const struct leat_object *topic, struct leat_topic_def *def)
{
        struct leat_column_def *columns = leat_arena_zalloc(d->arena, (def->column_count + 1) * sizeof *columns);
        uint32_t column;
        LEAT_TRY(find_alter_column(d, topic, &column));
        int other = leat_columns_find(def->columns, def->column_count, d->stmt->new_name);
        if ((other >= 0 && other != (int)column) || strncasecmp(d->stmt->new_name, "kafka_", 6) == 0)
                return leat_ddl_fail(d, d->stmt->column_at, LEAT_EEXISTS, NULL, "the name \"%s\" is taken",
                                     d->stmt->new_name);
        memcpy(columns, def->columns, def->column_count * sizeof *columns);
        columns[column].name = d->stmt->new_name;
        def->columns = columns;
        if (def->format == LEAT_FORMAT_JSON)
                leat_ddl_notice(d, "the column is now read from the JSON field \"%s\"", d->stmt->new_name);
        return 0;
}

static int alter_set(struct ddl *d, struct leat_topic_def *def)
{
        int32_t partitions = def->partitions;
        for (uint32_t i = 0; i < d->stmt->option_count; i++) {
                const struct leat_sql_option *option = &d->stmt->options[i];
                LEAT_TRY(topic_option(d, option, def, false));
                if (def->partitions < partitions)
                        return leat_ddl_fail(d, option->value_at, LEAT_EINVAL, NULL,
                                             "topic \"%s\" has %d partitions; their number can only grow",
                                             d->stmt->name, partitions);
                if (strcmp(option->name, "partitions") == 0 && def->key_count != 0 && def->partitions != partitions)
                        return leat_ddl_fail(
                                d, option->value_at, LEAT_EUNSUPPORTED, NULL,
                                "a topic with a PRIMARY KEY keeps its number of partitions, or its keys would move");
        }
        return 0;
}

int leat_ddl_alter_topic(struct ddl *d)
{
        const struct leat_object *old = leat_ddl_object(d, false);
        bool gone;
        if (old == NULL)
                return leat_ddl_missing(d, "topic", &gone);
        if (old->kind != LEAT_OBJECT_TOPIC)
                return leat_ddl_fail(d, d->stmt->name_at, LEAT_ENORELATION, NULL, "\"%s\" is a %s, not a topic",
                                     old->name, leat_object_kind_name(old->kind));
        struct leat_topic_def def = *old->topic;
        struct leat_object object = *old;
        object.topic = &def;
        switch (d->stmt->alter) {
        case LEAT_ALTER_ADD:
                LEAT_TRY(alter_add(d, old, &def));
                break;
        case LEAT_ALTER_DROP:
                LEAT_TRY(alter_drop_column(d, old, &def));
                break;
        case LEAT_ALTER_RENAME:
                LEAT_TRY(alter_rename(d, old, &def));
                break;
        default:
                LEAT_TRY(alter_set(d, &def));
                break;
        }
        if (d->check_only)
                return 0;
        struct leat_buf sql = LEAT_BUF_INIT;
        leat_sql_show_create(&object, &sql);
        object.sql = leat_arena_strdup(d->arena, leat_buf_cstr(&sql));
        leat_buf_done(&sql);
        if (d->stmt->alter != LEAT_ALTER_SET)
                return leat_ddl_put(d, &object, 0, 0);
        if (d->ctx->feed == NULL)
                return leat_error_set(d->err, LEAT_EUNSUPPORTED, "topics cannot be changed without a broker");
        return journalled(d, &object, old);
}
