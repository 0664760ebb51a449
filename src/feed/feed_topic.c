/* SPDX-License-Identifier: Apache-2.0 */
/* leat/feed: topics: metadata, administration, offsets. */
#include <stdio.h>

#include "feed_int.h"

enum { CONFIG_TOPIC = 2, CONFIG_SET = 0 };

static void take_topic(const struct leat_kafka_metadata_topic *from, struct leat_feed_topic *to)
{
        memset(to, 0, sizeof *to);
        memcpy(to->name, from->name.data, LEAT_MIN(from->name.len, sizeof to->name - 1));
        memcpy(to->id.bytes, &from->topic_id, sizeof to->id.bytes);
        to->partitions = (int32_t)from->partitions_count;
        to->internal = from->is_internal;
}

int leat_feed_topic(struct leat_feed *feed, const char *name, struct leat_feed_topic *ret_topic, struct leat_error *err)
{
        struct leat_kafka_metadata_request request;
        struct leat_kafka_metadata_response response;
        struct leat_kafka_metadata_request_topic topic;
        LEAT_KAFKA_INIT(metadata_request, &request);
        LEAT_KAFKA_INIT(metadata_request_topic, &topic);
        topic.name = leat_view_str(name);
        request.topics = &topic;
        request.topics_count = 1;
        request.allow_auto_topic_creation = false;
        LEAT_TRY(leat_feed_call(feed, 3, 13, &request, &response, err));
        if (response.topics_count != 1)
                return leat_error_set(err, LEAT_EPROTO, "the broker's metadata have no answer for topic \"%s\"", name);
        LEAT_TRY(leat_feed_error(response.topics[0].error_code, leat_view_of(NULL, 0), name, err));
        take_topic(&response.topics[0], ret_topic);
        return 0;
}

int leat_feed_topics(struct leat_feed *feed, struct leat_arena *arena, struct leat_feed_topic **ret_topics,
                     uint32_t *ret_count, struct leat_error *err)
{
        struct leat_kafka_metadata_request request;
        struct leat_kafka_metadata_response response;
        LEAT_KAFKA_INIT(metadata_request, &request);
        request.topics = NULL;
        request.topics_count = -1;
        request.allow_auto_topic_creation = false;
        LEAT_TRY(leat_feed_call(feed, 3, 13, &request, &response, err));
        uint32_t count = response.topics_count < 0 ? 0 : (uint32_t)response.topics_count;
        struct leat_feed_topic *topics = leat_arena_alloc(arena, (count + 1) * sizeof *topics);
        for (uint32_t i = 0; i < count; i++)
                take_topic(&response.topics[i], &topics[i]);
        *ret_topics = topics;
        *ret_count = count;
        return 0;
}

int leat_feed_topic_create(struct leat_feed *feed, const char *name, int32_t partitions,
                           const struct leat_feed_config *configs, uint32_t config_count, struct leat_topic_id *ret_id,
                           struct leat_error *err)
{
        struct leat_kafka_create_topics_request request;
        struct leat_kafka_create_topics_response response;
        struct leat_kafka_create_topic topic;
        struct leat_arena *arena = leat_arena_new(1024);
        struct leat_kafka_create_topic_config *list = LEAT_KAFKA_NEW(arena, create_topic_config, config_count);
        for (uint32_t i = 0; i < config_count; i++) {
                list[i].name = leat_view_str(configs[i].name);
                list[i].value = leat_view_str(configs[i].value);
        }
        LEAT_KAFKA_INIT(create_topics_request, &request);
        LEAT_KAFKA_INIT(create_topic, &topic);
        topic.name = leat_view_str(name);
        topic.num_partitions = partitions;
        topic.replication_factor = 1;
        topic.configs = list;
        topic.configs_count = (int32_t)config_count;
        request.topics = &topic;
        request.topics_count = 1;
        int rc = leat_feed_call(feed, 19, 7, &request, &response, err);
        leat_arena_free(arena);
        if (rc != 0)
                return rc;
        if (response.topics_count != 1)
                return leat_error_set(err, LEAT_EPROTO, "the broker does not say whether topic \"%s\" was created",
                                      name);
        LEAT_TRY(leat_feed_error(response.topics[0].error_code, response.topics[0].error_message, name, err));
        if (ret_id != NULL)
                memcpy(ret_id->bytes, &response.topics[0].topic_id, sizeof ret_id->bytes);
        return 0;
}

int leat_feed_topic_delete(struct leat_feed *feed, const char *name, struct leat_error *err)
{
        struct leat_kafka_delete_topics_request request;
        struct leat_kafka_delete_topics_response response;
        struct leat_kafka_delete_topic topic;
        struct leat_view names = leat_view_str(name);
        LEAT_KAFKA_INIT(delete_topics_request, &request);
        LEAT_KAFKA_INIT(delete_topic, &topic);
        topic.name = names;
        request.topics = &topic;
        request.topics_count = 1;
        request.topic_names = &names;
        request.topic_names_count = 1;
        request.timeout_ms = 10000;
        LEAT_TRY(leat_feed_call(feed, 20, 6, &request, &response, err));
        if (response.responses_count != 1)
                return leat_error_set(err, LEAT_EPROTO, "the broker does not say whether topic \"%s\" was deleted",
                                      name);
        return leat_feed_error(response.responses[0].error_code, response.responses[0].error_message, name, err);
}

int leat_feed_topic_configure(struct leat_feed *feed, const char *name, const struct leat_feed_config *configs,
                              uint32_t config_count, struct leat_error *err)
{
        struct leat_kafka_incremental_alter_configs_request request;
        struct leat_kafka_incremental_alter_configs_response response;
        struct leat_kafka_alter_configs_resource resource;
        struct leat_arena *arena = leat_arena_new(1024);
        struct leat_kafka_alter_config *list = LEAT_KAFKA_NEW(arena, alter_config, config_count);
        for (uint32_t i = 0; i < config_count; i++) {
                list[i].name = leat_view_str(configs[i].name);
                list[i].config_operation = CONFIG_SET;
                list[i].value = leat_view_str(configs[i].value);
        }
        LEAT_KAFKA_INIT(incremental_alter_configs_request, &request);
        LEAT_KAFKA_INIT(alter_configs_resource, &resource);
        resource.resource_type = CONFIG_TOPIC;
        resource.resource_name = leat_view_str(name);
        resource.configs = list;
        resource.configs_count = (int32_t)config_count;
        request.resources = &resource;
        request.resources_count = 1;
        int rc = leat_feed_call(feed, 44, 1, &request, &response, err);
        leat_arena_free(arena);
        if (rc != 0)
                return rc;
        if (response.responses_count != 1)
                return leat_error_set(err, LEAT_EPROTO, "the broker does not say whether topic \"%s\" was changed",
                                      name);
        return leat_feed_error(response.responses[0].error_code, response.responses[0].error_message, name, err);
}

int leat_feed_topic_configs(struct leat_feed *feed, const char *name, struct leat_arena *arena,
                            struct leat_feed_config *configs, uint32_t config_count, struct leat_error *err)
{
        struct leat_kafka_describe_configs_request request;
        struct leat_kafka_describe_configs_response response;
        struct leat_kafka_describe_configs_resource resource;
        LEAT_KAFKA_INIT(describe_configs_request, &request);
        LEAT_KAFKA_INIT(describe_configs_resource, &resource);
        resource.resource_type = CONFIG_TOPIC;
        resource.resource_name = leat_view_str(name);
        resource.configuration_keys = NULL;
        resource.configuration_keys_count = -1;
        request.resources = &resource;
        request.resources_count = 1;
        LEAT_TRY(leat_feed_call(feed, 32, 4, &request, &response, err));
        if (response.results_count != 1)
                return leat_error_set(err, LEAT_EPROTO, "the broker does not tell the settings of topic \"%s\"", name);
        const struct leat_kafka_described_configs *result = &response.results[0];
        LEAT_TRY(leat_feed_error(result->error_code, result->error_message, name, err));
        for (uint32_t i = 0; i < config_count; i++) {
                configs[i].value = NULL;
                for (int32_t k = 0; k < result->configs_count; k++)
                        if (leat_view_eq_str(result->configs[k].name, configs[i].name) &&
                            result->configs[k].value.data != NULL)
                                configs[i].value =
                                        leat_arena_strndup(arena, (const char *)result->configs[k].value.data,
                                                           result->configs[k].value.len);
        }
        return 0;
}

int leat_feed_topic_grow(struct leat_feed *feed, const char *name, int32_t partitions, struct leat_error *err)
{
        struct leat_kafka_create_partitions_request request;
        struct leat_kafka_create_partitions_response response;
        struct leat_kafka_create_partitions_topic topic;
        LEAT_KAFKA_INIT(create_partitions_request, &request);
        LEAT_KAFKA_INIT(create_partitions_topic, &topic);
        topic.name = leat_view_str(name);
        topic.count = partitions;
        topic.assignments = NULL;
        topic.assignments_count = -1;
        request.topics = &topic;
        request.topics_count = 1;
        request.timeout_ms = 10000;
        LEAT_TRY(leat_feed_call(feed, 37, 3, &request, &response, err));
        if (response.results_count != 1)
                return leat_error_set(err, LEAT_EPROTO, "the broker does not say whether topic \"%s\" has grown", name);
        return leat_feed_error(response.results[0].error_code, response.results[0].error_message, name, err);
}

int leat_feed_topic_trim(struct leat_feed *feed, const char *name, int32_t partition, int64_t offset,
                         struct leat_error *err)
{
        struct leat_kafka_delete_records_request request;
        struct leat_kafka_delete_records_response response;
        struct leat_kafka_delete_records_topic topic;
        struct leat_kafka_delete_records_partition part;
        LEAT_KAFKA_INIT(delete_records_request, &request);
        LEAT_KAFKA_INIT(delete_records_topic, &topic);
        LEAT_KAFKA_INIT(delete_records_partition, &part);
        part.partition_index = partition;
        part.offset = offset;
        topic.name = leat_view_str(name);
        topic.partitions = &part;
        topic.partitions_count = 1;
        request.topics = &topic;
        request.topics_count = 1;
        request.timeout_ms = 10000;
        LEAT_TRY(leat_feed_call(feed, 21, 2, &request, &response, err));
        if (response.topics_count != 1 || response.topics[0].partitions_count != 1)
                return leat_error_set(err, LEAT_EPROTO, "the broker does not say whether topic \"%s\" was trimmed",
                                      name);
        return leat_feed_error(response.topics[0].partitions[0].error_code, leat_view_of(NULL, 0), name, err);
}

int leat_feed_offsets(struct leat_feed *feed, const char *name, int64_t timestamp_ms, int64_t *ret_offsets,
                      int32_t count, struct leat_error *err)
{
        struct leat_kafka_list_offsets_request request;
        struct leat_kafka_list_offsets_response response;
        struct leat_kafka_list_offsets_topic topic;
        struct leat_arena *arena = leat_arena_new(1024);
        struct leat_kafka_list_offsets_partition *parts = LEAT_KAFKA_NEW(arena, list_offsets_partition, (size_t)count);
        for (int32_t i = 0; i < count; i++) {
                parts[i].partition_index = i;
                parts[i].timestamp = timestamp_ms;
        }
        LEAT_KAFKA_INIT(list_offsets_request, &request);
        LEAT_KAFKA_INIT(list_offsets_topic, &topic);
        topic.name = leat_view_str(name);
        topic.partitions = parts;
        topic.partitions_count = count;
        request.topics = &topic;
        request.topics_count = 1;
        request.timeout_ms = 10000;
        int rc = leat_feed_call(feed, 2, 11, &request, &response, err);
        leat_arena_free(arena);
        if (rc != 0)
                return rc;
        if (response.topics_count != 1 || response.topics[0].partitions_count != count)
                return leat_error_set(err, LEAT_EPROTO, "the broker does not tell the offsets of topic \"%s\"", name);
        bool none = false;
        for (int32_t i = 0; i < count; i++) {
                const struct leat_kafka_listed_offsets_partition *p = &response.topics[0].partitions[i];
                LEAT_TRY(leat_feed_error(p->error_code, leat_view_of(NULL, 0), name, err));
                if (p->partition_index < 0 || p->partition_index >= count)
                        return leat_error_set(err, LEAT_EPROTO,
                                              "the broker tells the offset of another partition of topic \"%s\"", name);
                ret_offsets[p->partition_index] = p->offset;
                none |= p->offset < 0;
        }
        if (!none)
                return 0;
        /* No record is that new: the end is the place. */
        int64_t *ends = leat_malloc((size_t)count * sizeof *ends);
        rc = timestamp_ms == LEAT_FEED_LATEST ? LEAT_EPROTO
                                              : leat_feed_offsets(feed, name, LEAT_FEED_LATEST, ends, count, err);
        for (int32_t i = 0; rc == 0 && i < count; i++)
                if (ret_offsets[i] < 0)
                        ret_offsets[i] = ends[i];
        free(ends);
        return rc;
}
