/* SPDX-License-Identifier: Apache-2.0 */
/* leat/sql: statements that fail or die between catalog and broker. */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "leat/test.h"
#include "sql_test_feed.h"
#include "sql_test_util.h"

static struct leat_sql_ddl_context context(struct sql_fixture *fx)
{
        return (struct leat_sql_ddl_context){
                .catalog = fx->cat, .feed = (struct leat_feed *)test_broker, .env = fx->env, .timeout_us = 1000};
}

static int run(struct sql_fixture *fx, const char *sql)
{
        struct leat_sql_ddl_context ctx = context(fx);
        struct leat_stmt stmt;
        size_t offset = 0;
        LEAT_TRY(leat_sql_parse(fx->arena, leat_view_str(sql), &offset, &stmt, &fx->err));
        return leat_sql_ddl(&ctx, &stmt, &fx->err);
}

static const struct leat_object *find(struct sql_fixture *fx, const char *name)
{
        const struct leat_snapshot *snapshot;
        CHECK_OK(leat_catalog_load(fx->cat, fx->arena, &snapshot, &fx->err), &fx->err);
        return leat_snapshot_find(snapshot, name, false);
}

static uint32_t intent_count(struct sql_fixture *fx)
{
        struct leat_intent *intents;
        uint32_t count;
        CHECK_OK(leat_catalog_intents(fx->cat, fx->arena, &intents, &count, &fx->err), &fx->err);
        return count;
}

LEAT_TEST(failing_acts_are_undone)
{
        struct sql_fixture *fx = sql_fixture_new();
        test_broker_reset();
        test_broker->fail = TEST_FEED_CREATE;
        CHECK_INT(run(fx, "CREATE TOPIC t (a INT)"), LEAT_ETIMEOUT);
        CHECK(find(fx, "t") == NULL && intent_count(fx) == 0);
        test_broker->fail = 0;
        CHECK_OK(run(fx, "CREATE TOPIC t (a INT)"), &fx->err);
        test_broker->fail = TEST_FEED_GROW;
        CHECK_INT(run(fx, "ALTER TOPIC t SET (partitions = 5)"), LEAT_ETIMEOUT);
        CHECK(find(fx, "t")->topic->partitions == 1 && find(fx, "t")->state == LEAT_STATE_READY &&
              intent_count(fx) == 0);
        /* A topic that cannot be deleted stays marked, and the next start goes on. */
        test_broker->fail = TEST_FEED_DELETE;
        CHECK_INT(run(fx, "DROP TOPIC t"), LEAT_ETIMEOUT);
        CHECK(find(fx, "t")->state == LEAT_STATE_DROPPING && intent_count(fx) == 1);
        test_broker->fail = 0;
        struct leat_sql_ddl_context ctx = context(fx);
        CHECK_OK(leat_sql_ddl_recover(&ctx, &fx->err), &fx->err);
        CHECK(find(fx, "t") == NULL && intent_count(fx) == 0 && test_broker_find("t") == NULL);
        sql_fixture_free(fx);
}

/* Runs @sql in a child that dies at the act; then recovers twice. */
static void die_and_recover(struct sql_fixture *fx, const char *sql, enum test_feed_act act, bool after)
{
        int status;
        pid_t pid = fork();
        if (pid == 0) {
                /* Handles of a database do not survive fork: the child opens its own. */
                char path[512];
                struct leat_catalog *cat;
                snprintf(path, sizeof path, "%s/catalog.db", leat_test_tmpdir());
                if (leat_catalog_open(path, &fx->cat, NULL) != 0 || leat_catalog_open(path, &cat, NULL) != 0 ||
                    leat_sql_env_open(cat, NULL, &fx->env, NULL) != 0)
                        _exit(2);
                *(after ? &test_broker->die_after : &test_broker->die_before) = act;
                (void)!run(fx, sql);
                _exit(3);
        }
        CHECK(waitpid(pid, &status, 0) == pid);
        CHECK_INT(status, 0);
        test_broker->die_before = test_broker->die_after = 0;
        CHECK_INT(intent_count(fx), 1);
        struct leat_sql_ddl_context ctx = context(fx);
        CHECK_OK(leat_sql_ddl_recover(&ctx, &fx->err), &fx->err);
        CHECK_OK(leat_sql_ddl_recover(&ctx, &fx->err), &fx->err);
        CHECK_INT(intent_count(fx), 0);
}

LEAT_TEST(death_at_each_step)
{
        for (int after = 0; after < 2; after++) {
                struct sql_fixture *fx = sql_fixture_new();
                test_broker_reset();
                die_and_recover(fx, "CREATE TOPIC t (a INT) WITH (partitions = 2)", TEST_FEED_CREATE, after);
                CHECK(find(fx, "t")->state == LEAT_STATE_READY && test_broker_find("t")->partitions == 2 &&
                      test_broker->made == 1);
                CHECK_INT(find(fx, "t")->topic->topic_id[0], 7);
                die_and_recover(fx, "ALTER TOPIC t SET (partitions = 5, retention = '1 day')", TEST_FEED_CONFIGURE,
                                after);
                CHECK(find(fx, "t")->topic->partitions == 5 && test_broker_find("t")->partitions == 5);
                die_and_recover(fx, "ALTER TOPIC t SET (partitions = 7)", TEST_FEED_GROW, after);
                CHECK_INT(test_broker_find("t")->partitions, 7);
                die_and_recover(fx, "DROP TOPIC t", TEST_FEED_DELETE, after);
                CHECK(find(fx, "t") == NULL && test_broker_find("t") == NULL);
                char path[512];
                leat_sql_env_close(fx->env);
                leat_catalog_close(fx->cat);
                leat_catalog_close(fx->env_cat);
                leat_arena_free(fx->arena);
                free(fx);
                snprintf(path, sizeof path, "%s/catalog.db", leat_test_tmpdir());
                unlink(path);
        }
}
