/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/broker: settings of topics: DescribeConfigs, IncrementalAlterConfigs.
 *
 * One table holds the settings that a topic can have; their defaults come from
 * the parameter table. The broker's own settings are those parameters: they are
 * shown, and changed only at start (leat serve --set). Any other name is
 * refused, so that nobody believes in a setting that does nothing.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "broker_int.h"

#define RESOURCES_MAX 10000 /* of one DescribeConfigs */
#define CHANGES_MAX 100     /* to one topic at a time */

enum { RESOURCE_TOPIC = 2, RESOURCE_BROKER = 4 };
enum { SOURCE_TOPIC = 1, SOURCE_STATIC = 4, SOURCE_DEFAULT = 5 };
enum { TYPE_BOOLEAN = 1, TYPE_STRING = 2, TYPE_INT = 3, TYPE_LONG = 5, TYPE_LIST = 7 };
enum { OP_SET, OP_DELETE, OP_APPEND, OP_SUBTRACT };

struct setting {
        const char *name;
        int8_t type;
        int64_t min, max;  /* of numbers */
        const char *words; /* allowed words, each between bars; NULL: any */
        const char *value; /* default, unless param >= 0 */
        int param;         /* enum leat_param */
        int64_t divide;    /* parameter's unit to ours */
        const char *doc;
};

static const struct setting settings[] = {
        {"cleanup.policy", TYPE_LIST, 0, 0, "|delete|", "delete", -1, 1,
         "What happens to old segments: they are deleted"},
        {"compression.type", TYPE_STRING, 0, 0, "|producer|", "producer", -1, 1,
         "Batches keep the compression of their producer"},
        {"leat.keyed", TYPE_BOOLEAN, 0, 0, "|true|false|", "false", -1, 1,
         "Every record needs a key, and the newest record of a key counts"},
        {"max.message.bytes", TYPE_INT, 0, INT32_MAX, NULL, NULL, LEAT_P_BROKER_MAX_MESSAGE, 1, "Largest record batch"},
        {"message.timestamp.after.max.ms", TYPE_LONG, 0, INT64_MAX, NULL, "3600000", -1, 1,
         "How far a record's timestamp may be ahead of the broker's clock"},
        {"message.timestamp.before.max.ms", TYPE_LONG, 0, INT64_MAX, NULL, "9223372036854775807", -1, 1,
         "How far a record's timestamp may be behind the broker's clock"},
        {"message.timestamp.type", TYPE_STRING, 0, 0, "|CreateTime|LogAppendTime|", "CreateTime", -1, 1,
         "Whether records keep their producer's timestamp or get that of the append"},
        {"min.insync.replicas", TYPE_INT, 1, 1, NULL, "1", -1, 1, "There is one node"},
        {"retention.bytes", TYPE_LONG, -1, INT64_MAX, NULL, "-1", -1, 1,
         "Bytes of a partition beyond which its oldest segments are deleted; -1: no limit"},
        {"retention.ms", TYPE_LONG, -1, INT64_MAX, NULL, NULL, LEAT_P_LOG_RETENTION, 1000,
         "Age at which records are deleted; -1: never"},
        {"segment.bytes", TYPE_INT, 1024 * 1024, INT32_MAX, NULL, NULL, LEAT_P_LOG_SEGMENT_BYTES, 1,
         "Size at which a segment is closed"},
        {"segment.ms", TYPE_LONG, 1, INT64_MAX, NULL, NULL, LEAT_P_LOG_SEGMENT_AGE, 1000,
         "Age at which a segment is closed"},
};

static const struct setting *setting_find(struct leat_view name)
{
        for (size_t i = 0; i < LEAT_ARRAY_LEN(settings); i++) {
                if (leat_view_eq_str(name, settings[i].name))
                        return &settings[i];
        }
        return NULL;
}

static const char *setting_default(struct leat_arena *arena, const struct setting *setting)
{
        if (setting->param < 0)
                return setting->value;
        return leat_arena_printf(arena, "%" PRId64, leat_param((enum leat_param)setting->param) / setting->divide);
}

/* ---- one value --------------------------------------------------------------------------------------------- */

static bool is_number_of(const struct setting *setting, const char *text)
{
        char *end;
        if (*text == '\0' || *text == ' ' || *text == '+')
                return false;
        errno = 0;
        long long value = strtoll(text, &end, 10);
        return *end == '\0' && errno == 0 && value >= setting->min && value <= setting->max;
}

int16_t leat_broker_config_check(struct leat_arena *arena, struct leat_view name, struct leat_view value,
                                 struct leat_view *ret_message)
{
        const struct setting *setting = setting_find(name);
        if (setting == NULL) {
                *ret_message = leat_broker_text(arena, "Unknown topic config name: %.*s",
                                                (int)LEAT_MIN(name.len, (size_t)250), name.data);
                return LEAT_KAFKA_E_INVALID_CONFIG;
        }
        if (value.data == NULL)
                return 0;
        const char *text = leat_arena_strndup(arena, (const char *)value.data, value.len);
        bool fits;
        if (setting->words != NULL) {
                const char *word = leat_arena_printf(arena, "|%s|", text);
                fits = strchr(text, '|') == NULL && strstr(setting->words, word) != NULL;
        } else {
                fits = is_number_of(setting, text);
        }
        if (fits)
                return 0;
        if (strcmp(setting->name, "cleanup.policy") == 0 && strstr(text, "compact") != NULL)
                *ret_message =
                        leat_broker_text(arena,
                                         "Invalid value %.100s for configuration cleanup.policy: compaction is not "
                                         "supported, only delete",
                                         text);
        else if (setting->words != NULL)
                *ret_message =
                        leat_broker_text(arena, "Invalid value %.100s for configuration %s: allowed is %.*s", text,
                                         setting->name, (int)strlen(setting->words) - 2, setting->words + 1);
        else
                *ret_message = leat_broker_text(
                        arena,
                        "Invalid value %.100s for configuration %s: it must be a number from %" PRId64 " to %" PRId64,
                        text, setting->name, setting->min, setting->max);
        return LEAT_KAFKA_E_INVALID_CONFIG;
}

static int64_t number_of(const struct leat_log_topic *topic, const char *name, int64_t otherwise)
{
        const char *text = leat_log_topic_config(topic, name);
        return text == NULL ? otherwise : strtoll(text, NULL, 10);
}

static bool word_is(const struct leat_log_topic *topic, const char *name, const char *word)
{
        const char *text = leat_log_topic_config(topic, name);
        return text != NULL && strcmp(text, word) == 0;
}

void leat_broker_topic_config_read(const struct leat_log_topic *topic, struct broker_topic_config *ret_config)
{
        *ret_config = (struct broker_topic_config){
                .max_message_bytes = number_of(topic, "max.message.bytes", leat_param(LEAT_P_BROKER_MAX_MESSAGE)),
                .before_max_ms = number_of(topic, "message.timestamp.before.max.ms", INT64_MAX),
                .after_max_ms = number_of(topic, "message.timestamp.after.max.ms", 3600000),
                .append_time = word_is(topic, "message.timestamp.type", "LogAppendTime"),
                .keyed = word_is(topic, "leat.keyed", "true"),
        };
}

struct leat_kafka_created_topic_config *leat_broker_config_created(struct leat_arena *arena,
                                                                   const struct leat_log_topic *topic,
                                                                   int32_t *ret_count)
{
        struct leat_kafka_created_topic_config *out =
                LEAT_KAFKA_NEW(arena, created_topic_config, LEAT_ARRAY_LEN(settings));
        for (size_t i = 0; i < LEAT_ARRAY_LEN(settings); i++) {
                const char *value = leat_log_topic_config(topic, settings[i].name);
                out[i].name = leat_view_str(settings[i].name);
                out[i].config_source = value != NULL ? SOURCE_TOPIC : SOURCE_DEFAULT;
                out[i].value = leat_view_str(value != NULL ? leat_arena_strdup(arena, value)
                                                           : setting_default(arena, &settings[i]));
        }
        *ret_count = (int32_t)LEAT_ARRAY_LEN(settings);
        return out;
}

/* ---- DescribeConfigs ------------------------------------------------------------------------------------------ */

static bool wanted(const struct leat_kafka_describe_configs_resource *in, const char *name)
{
        for (int32_t i = 0; i < in->configuration_keys_count; i++) {
                if (leat_view_eq_str(in->configuration_keys[i], name))
                        return true;
        }
        return in->configuration_keys_count < 0;
}

static void synonym_add(struct leat_kafka_described_config *out, const char *name, struct leat_view value,
                        int8_t source)
{
        struct leat_kafka_described_config_synonym *synonym = &out->synonyms[out->synonyms_count++];
        synonym->name = leat_view_str(name);
        synonym->value = value;
        synonym->source = source;
}

static void topic_describe(struct broker_request *req, const struct leat_kafka_describe_configs_resource *in,
                           struct leat_kafka_described_configs *out)
{
        const struct leat_kafka_describe_configs_request *msg = req->message;
        struct leat_log_topic *topic =
                leat_broker_topic_lookup(req->home->broker, in->resource_name, NULL, &out->error_code);
        if (topic == NULL) {
                const char *bad = leat_broker_topic_name_bad(req->arena, in->resource_name);
                if (bad != NULL)
                        out->error_code = LEAT_KAFKA_E_INVALID_TOPIC_EXCEPTION;
                out->error_message = leat_view_str(bad != NULL ? bad : leat_kafka_error_text(out->error_code));
                return;
        }
        out->configs = LEAT_KAFKA_NEW(req->arena, described_config, LEAT_ARRAY_LEN(settings));
        for (size_t i = 0; i < LEAT_ARRAY_LEN(settings); i++) {
                const struct setting *setting = &settings[i];
                if (!wanted(in, setting->name))
                        continue;
                struct leat_kafka_described_config *config = &out->configs[out->configs_count++];
                const char *value = leat_log_topic_config(topic, setting->name);
                struct leat_view standard = leat_view_str(setting_default(req->arena, setting));
                config->name = leat_view_str(setting->name);
                config->value = value != NULL ? leat_view_str(leat_arena_strdup(req->arena, value)) : standard;
                config->config_source = value != NULL ? SOURCE_TOPIC : SOURCE_DEFAULT;
                config->config_type = setting->type;
                if (msg->include_documentation)
                        config->documentation = leat_view_str(setting->doc);
                if (msg->include_synonyms) {
                        config->synonyms = LEAT_KAFKA_NEW(req->arena, described_config_synonym, 2);
                        if (value != NULL)
                                synonym_add(config, setting->name, config->value, SOURCE_TOPIC);
                        synonym_add(config, setting->name, standard, SOURCE_DEFAULT);
                }
        }
        leat_log_topic_unref(topic);
}

static void broker_add(struct broker_request *req, const struct leat_kafka_describe_configs_resource *in,
                       struct leat_kafka_described_configs *out, const char *name, const char *value, int8_t type,
                       bool is_default, const char *doc)
{
        const struct leat_kafka_describe_configs_request *msg = req->message;
        if (!wanted(in, name))
                return;
        struct leat_kafka_described_config *config = &out->configs[out->configs_count++];
        config->name = leat_view_str(name);
        config->value = leat_view_str(value);
        config->read_only = true;
        config->config_source = is_default ? SOURCE_DEFAULT : SOURCE_STATIC;
        config->config_type = type;
        if (msg->include_documentation)
                config->documentation = leat_view_str(doc);
        if (msg->include_synonyms) {
                config->synonyms = LEAT_KAFKA_NEW(req->arena, described_config_synonym, 1);
                synonym_add(config, name, config->value, config->config_source);
        }
}

/* Names under which clients of Apache Kafka look for some of our parameters. */
static const struct {
        const char *name;
        int param;
        int64_t divide;
        const char *value;
        int8_t type;
} aliases[] = {
        {"auto.create.topics.enable", LEAT_P_BROKER_AUTO_CREATE, 0, NULL, TYPE_BOOLEAN},
        {"broker.id", -1, 1, "1", TYPE_INT},
        {"default.replication.factor", -1, 1, "1", TYPE_INT},
        {"log.cleanup.policy", -1, 1, "delete", TYPE_LIST},
        {"log.retention.ms", LEAT_P_LOG_RETENTION, 1000, NULL, TYPE_LONG},
        {"log.segment.bytes", LEAT_P_LOG_SEGMENT_BYTES, 1, NULL, TYPE_INT},
        {"message.max.bytes", LEAT_P_BROKER_MAX_MESSAGE, 1, NULL, TYPE_INT},
        {"min.insync.replicas", -1, 1, "1", TYPE_INT},
        {"node.id", -1, 1, "1", TYPE_INT},
        {"num.partitions", LEAT_P_BROKER_DEFAULT_PARTITIONS, 1, NULL, TYPE_INT},
};

static bool alias_exists(const char *name)
{
        for (size_t i = 0; i < LEAT_ARRAY_LEN(aliases); i++) {
                if (strcmp(aliases[i].name, name) == 0)
                        return true;
        }
        return false;
}

/* Parameters of the other roles do not belong here. */
static bool is_ours(const char *name)
{
        return strncmp(name, "broker.", 7) == 0 || strncmp(name, "log.", 4) == 0 || strncmp(name, "net.", 4) == 0;
}

static const char *param_text(struct leat_arena *arena, enum leat_param id, int64_t divide)
{
        if (leat_param_info(id)->kind == LEAT_PARAM_BOOL)
                return leat_param(id) ? "true" : "false";
        return leat_arena_printf(arena, "%" PRId64, leat_param(id) / divide);
}

static void broker_describe(struct broker_request *req, const struct leat_kafka_describe_configs_resource *in,
                            struct leat_kafka_described_configs *out)
{
        if (in->resource_name.len > 0 && !leat_view_eq_str(in->resource_name, "1")) {
                out->error_code = LEAT_KAFKA_E_INVALID_REQUEST;
                out->error_message =
                        leat_broker_text(req->arena, "There is one broker, with the id %d.", BROKER_NODE_ID);
                return;
        }
        out->configs = LEAT_KAFKA_NEW(req->arena, described_config, LEAT_ARRAY_LEN(aliases) + LEAT_PARAM_COUNT);
        if (in->resource_name.len == 0)
                return; /* cluster-wide dynamic settings: there are none */
        for (size_t i = 0; i < LEAT_ARRAY_LEN(aliases); i++) {
                enum leat_param id = (enum leat_param)LEAT_MAX(aliases[i].param, 0);
                bool fixed = aliases[i].param < 0;
                broker_add(req, in, out, aliases[i].name,
                           fixed ? aliases[i].value : param_text(req->arena, id, LEAT_MAX(aliases[i].divide, 1)),
                           aliases[i].type, fixed || leat_param(id) == leat_param_info(id)->value,
                           fixed ? "Fixed: there is one node" : leat_param_info(id)->help);
        }
        for (int i = 0; i < LEAT_PARAM_COUNT; i++) {
                enum leat_param id = (enum leat_param)i;
                const struct leat_param_info *info = leat_param_info(id);
                if (alias_exists(info->name) || !is_ours(info->name))
                        continue;
                broker_add(req, in, out, info->name, param_text(req->arena, id, 1),
                           info->kind == LEAT_PARAM_BOOL ? TYPE_BOOLEAN : TYPE_LONG, leat_param(id) == info->value,
                           info->help);
        }
}

void leat_broker_describe_configs(struct broker_request *req)
{
        const struct leat_kafka_describe_configs_request *msg = req->message;
        struct leat_kafka_describe_configs_response res;
        if (msg->resources_count > RESOURCES_MAX) {
                leat_broker_respond_close(req, "DescribeConfigs of too many resources");
                return;
        }
        LEAT_KAFKA_INIT(describe_configs_response, &res);
        res.results = LEAT_KAFKA_NEW(req->arena, described_configs, (size_t)msg->resources_count);
        res.results_count = msg->resources_count;
        for (int32_t i = 0; i < msg->resources_count; i++) {
                const struct leat_kafka_describe_configs_resource *in = &msg->resources[i];
                struct leat_kafka_described_configs *out = &res.results[i];
                out->resource_type = in->resource_type;
                out->resource_name = in->resource_name;
                if (in->resource_type == RESOURCE_TOPIC) {
                        topic_describe(req, in, out);
                } else if (in->resource_type == RESOURCE_BROKER) {
                        broker_describe(req, in, out);
                } else {
                        out->error_code = LEAT_KAFKA_E_INVALID_REQUEST;
                        out->error_message = leat_broker_text(req->arena,
                                                              "Unsupported resource type: %d; only topics and the "
                                                              "broker have settings here",
                                                              in->resource_type);
                }
        }
        leat_broker_respond(req, &res);
}

/* ---- IncrementalAlterConfigs ------------------------------------------------------------------------------------- */

static int16_t alter_refuse(struct leat_kafka_altered_configs *out, int16_t code, struct leat_view message)
{
        out->error_code = code;
        out->error_message = message;
        return code;
}

/* One change; value NULL = back to the default. */
static int16_t change_check(struct broker_request *req, const struct leat_kafka_alter_configs_resource *in,
                            int32_t index, struct leat_log_config *change, struct leat_kafka_altered_configs *out)
{
        const struct leat_kafka_alter_config *config = &in->configs[index];
        struct leat_arena *arena = req->arena;
        struct leat_view value = config->value, message;
        for (int32_t i = 0; i < index; i++) {
                if (leat_view_eq(in->configs[i].name, config->name))
                        return alter_refuse(out, LEAT_KAFKA_E_INVALID_REQUEST,
                                            leat_broker_text(arena, "Error due to duplicate config keys"));
        }
        int op = config->config_operation;
        const struct setting *setting = setting_find(config->name);
        if (op < OP_SET || op > OP_SUBTRACT)
                return alter_refuse(out, LEAT_KAFKA_E_INVALID_REQUEST,
                                    leat_broker_text(arena, "Unknown operation %d", op));
        if (op == OP_SET && value.data == NULL)
                return alter_refuse(out, LEAT_KAFKA_E_INVALID_REQUEST,
                                    leat_broker_text(arena, "Null value not supported for %.*s",
                                                     (int)LEAT_MIN(config->name.len, (size_t)250), config->name.data));
        if ((op == OP_APPEND || op == OP_SUBTRACT) && setting != NULL && setting->type != TYPE_LIST)
                return alter_refuse(out, LEAT_KAFKA_E_INVALID_CONFIG,
                                    leat_broker_text(arena, "%s is not allowed for config key %s, it is no list",
                                                     op == OP_APPEND ? "APPEND" : "SUBTRACT", setting->name));
        if (op == OP_SUBTRACT && leat_view_eq_str(value, "delete"))
                return alter_refuse(out, LEAT_KAFKA_E_INVALID_CONFIG,
                                    leat_broker_text(arena, "cleanup.policy must not be empty"));
        if (op == OP_DELETE)
                value = (struct leat_view){0};
        int16_t code = leat_broker_config_check(arena, config->name, value, &message);
        if (code != 0)
                return alter_refuse(out, code, message);
        change->name = leat_arena_strndup(arena, (const char *)config->name.data, config->name.len);
        change->value = value.data == NULL ? NULL : leat_arena_strndup(arena, (const char *)value.data, value.len);
        return 0;
}

static void topic_alter(struct broker_request *req, const struct leat_kafka_alter_configs_resource *in,
                        struct leat_kafka_altered_configs *out)
{
        const struct leat_kafka_incremental_alter_configs_request *msg = req->message;
        struct leat_broker *broker = req->home->broker;
        struct leat_error err;
        struct leat_log_topic *topic = leat_broker_topic_lookup(broker, in->resource_name, NULL, &out->error_code);
        if (topic == NULL) {
                out->error_message =
                        leat_broker_text(req->arena, "The topic '%.*s' does not exist.",
                                         (int)LEAT_MIN(in->resource_name.len, (size_t)250), in->resource_name.data);
                return;
        }
        if (in->configs_count > CHANGES_MAX) {
                alter_refuse(out, LEAT_KAFKA_E_INVALID_REQUEST, leat_view_str("Too many settings for one topic."));
                leat_log_topic_unref(topic);
                return;
        }
        struct leat_log_config *changes = leat_arena_alloc(req->arena, (size_t)in->configs_count * sizeof(*changes));
        int16_t code = 0;
        for (int32_t i = 0; i < in->configs_count && code == 0; i++)
                code = change_check(req, in, i, &changes[i], out);
        if (code == 0 && !msg->validate_only &&
            leat_log_topic_set(broker->log, topic->id, changes, (uint32_t)in->configs_count, &err) != 0)
                alter_refuse(out, leat_broker_error_of(&err), leat_broker_error_message(req->arena, &err));
        leat_log_topic_unref(topic);
}

static void alter_configs_answer(void *arg)
{
        struct broker_request *req = arg;
        leat_broker_respond(req, req->op);
}

/* Thread: admin. */
static void alter_configs_run(void *arg)
{
        struct broker_request *req = arg;
        const struct leat_kafka_incremental_alter_configs_request *msg = req->message;
        struct leat_kafka_incremental_alter_configs_response *res = req->op;
        res->responses = LEAT_KAFKA_NEW(req->arena, altered_configs, (size_t)msg->resources_count);
        res->responses_count = msg->resources_count;
        for (int32_t i = 0; i < msg->resources_count; i++) {
                const struct leat_kafka_alter_configs_resource *in = &msg->resources[i];
                struct leat_kafka_altered_configs *out = &res->responses[i];
                out->resource_type = in->resource_type;
                out->resource_name = in->resource_name;
                if (in->resource_type == RESOURCE_TOPIC)
                        topic_alter(req, in, out);
                else
                        alter_refuse(
                                out, LEAT_KAFKA_E_INVALID_REQUEST,
                                leat_broker_text(req->arena,
                                                 "Only settings of topics can be changed while running; the "
                                                 "broker's are parameters of its start: leat serve --set name=value"));
        }
        leat_broker_go_home(req, alter_configs_answer);
}

void leat_broker_alter_configs(struct broker_request *req)
{
        req->op = LEAT_KAFKA_NEW(req->arena, incremental_alter_configs_response, 1);
        leat_broker_go_admin(req, alter_configs_run);
}
