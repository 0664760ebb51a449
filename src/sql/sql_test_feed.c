/* SPDX-License-Identifier: Apache-2.0 */
#include "sql_test_feed.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

struct test_broker *test_broker;

struct leat_feed *test_broker_reset(void)
{
        if (test_broker == NULL)
                test_broker =
                        mmap(NULL, sizeof *test_broker, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        memset(test_broker, 0, sizeof *test_broker);
        test_broker->knows_keyed = true;
        return (struct leat_feed *)test_broker;
}

struct test_topic *test_broker_find(const char *name)
{
        for (uint32_t i = 0; i < test_broker->count; i++) {
                if (strcmp(test_broker->topics[i].name, name) == 0)
                        return &test_broker->topics[i];
        }
        return NULL;
}

void test_broker_add(const char *name, int32_t partitions)
{
        struct test_topic *topic = &test_broker->topics[test_broker->count++];
        memset(topic, 0, sizeof *topic);
        snprintf(topic->name, sizeof topic->name, "%s", name);
        topic->partitions = partitions;
}

static int begin_act(enum test_feed_act act, struct leat_error *err)
{
        if (test_broker->die_before == act)
                _exit(0);
        return test_broker->fail == act ? leat_error_set(err, LEAT_ETIMEOUT, "the broker does not answer") : 0;
}

static int end_act(enum test_feed_act act)
{
        if (test_broker->die_after == act)
                _exit(0);
        return 0;
}

static int set_configs(struct test_topic *topic, const struct leat_feed_config *configs, uint32_t count,
                       struct leat_error *err)
{
        for (uint32_t i = 0; i < count; i++) {
                if (strcmp(configs[i].name, "leat.keyed") == 0 && !test_broker->knows_keyed)
                        return leat_error_set(err, LEAT_EINVAL, "unknown config leat.keyed");
        }
        for (uint32_t i = 0; i < count && topic != NULL; i++) {
                size_t len = strlen(topic->configs);
                snprintf(topic->configs + len, sizeof topic->configs - len, "%s=%s ", configs[i].name,
                         configs[i].value);
        }
        return 0;
}

int leat_feed_topic(struct leat_feed *feed, const char *name, struct leat_feed_topic *ret_topic, struct leat_error *err)
{
        struct test_topic *topic = test_broker_find(name);
        (void)feed;
        if (topic == NULL)
                return leat_error_set(err, LEAT_ENORELATION, "there is no topic %s", name);
        memset(ret_topic, 0, sizeof *ret_topic);
        snprintf(ret_topic->name, sizeof ret_topic->name, "%s", name);
        ret_topic->partitions = topic->partitions;
        ret_topic->id.bytes[0] = 7;
        ret_topic->internal = strncmp(name, "__", 2) == 0;
        return 0;
}

int leat_feed_topic_create(struct leat_feed *feed, const char *name, int32_t partitions,
                           const struct leat_feed_config *configs, uint32_t config_count, struct leat_topic_id *ret_id,
                           struct leat_error *err)
{
        (void)feed;
        LEAT_TRY(begin_act(TEST_FEED_CREATE, err));
        if (test_broker_find(name) != NULL)
                return leat_error_set(err, LEAT_EEXISTS, "topic %s exists", name);
        LEAT_TRY(set_configs(NULL, configs, config_count, err));
        test_broker_add(name, partitions);
        (void)!set_configs(test_broker_find(name), configs, config_count, NULL);
        test_broker->made++;
        memset(ret_id, 0, sizeof *ret_id);
        ret_id->bytes[0] = 7;
        return end_act(TEST_FEED_CREATE);
}

int leat_feed_topic_delete(struct leat_feed *feed, const char *name, struct leat_error *err)
{
        struct test_topic *topic = test_broker_find(name);
        (void)feed;
        LEAT_TRY(begin_act(TEST_FEED_DELETE, err));
        if (topic == NULL)
                return leat_error_set(err, LEAT_ENORELATION, "there is no topic %s", name);
        *topic = test_broker->topics[--test_broker->count];
        return end_act(TEST_FEED_DELETE);
}

int leat_feed_topic_configure(struct leat_feed *feed, const char *name, const struct leat_feed_config *configs,
                              uint32_t config_count, struct leat_error *err)
{
        (void)feed;
        LEAT_TRY(begin_act(TEST_FEED_CONFIGURE, err));
        LEAT_TRY(set_configs(test_broker_find(name), configs, config_count, err));
        return end_act(TEST_FEED_CONFIGURE);
}

int leat_feed_topic_grow(struct leat_feed *feed, const char *name, int32_t partitions, struct leat_error *err)
{
        (void)feed;
        LEAT_TRY(begin_act(TEST_FEED_GROW, err));
        test_broker_find(name)->partitions = partitions;
        return end_act(TEST_FEED_GROW);
}
