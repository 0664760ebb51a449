/* SPDX-License-Identifier: Apache-2.0 */
/* leat/sql: a broker for the tests of definitions: feed's functions over a table that outlives the process that dies. */
#ifndef LEAT_SQL_TEST_FEED_H
#define LEAT_SQL_TEST_FEED_H

#include "leat/feed.h"

struct test_topic {
        char name[64];
        int32_t partitions;
        char configs[200]; /* "retention.ms=1000 …" */
};
enum test_feed_act { TEST_FEED_CREATE = 1, TEST_FEED_CONFIGURE, TEST_FEED_GROW, TEST_FEED_DELETE };
/* In shared memory. */
struct test_broker {
        struct test_topic topics[16];
        uint32_t count, made;
        enum test_feed_act fail, die_before, die_after; /* at the next act of this kind */
        bool knows_keyed;                               /* false: Apache Kafka */
};
extern struct test_broker *test_broker;
/* An empty broker; the feed to pass on. */
struct leat_feed *test_broker_reset(void);
struct test_topic *test_broker_find(const char *name);
void test_broker_add(const char *name, int32_t partitions);

#endif
