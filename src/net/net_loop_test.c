/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of loops: posts, timers, signals, stopping. */
#include "net_int.h"

#include <signal.h>

#include "leat/test.h"

static struct leat_loop *loop_new(void)
{
        struct leat_error err;
        struct leat_loop *loop = NULL;
        CHECK_OK(leat_loop_new("test", &loop, &err), &err);
        return loop;
}

struct tally {
        struct leat_loop *loop;
        int calls;
        int64_t at_us;
};

static void count_one(void *arg)
{
        struct tally *tally = arg;
        CHECK(leat_loop_here(tally->loop));
        tally->calls++;
}

static void *post_many(void *arg)
{
        for (int i = 0; i < 50000; i++)
                leat_loop_post_wait(((struct tally *)arg)->loop, count_one, arg);
        return NULL;
}

LEAT_TEST(net_posts_of_many_threads_all_arrive)
{
        struct leat_error err;
        struct tally tally = {.loop = loop_new()};
        CHECK_OK(leat_loop_spawn(tally.loop, &err), &err);
        pthread_t posters[3];
        for (int i = 0; i < 3; i++)
                pthread_create(&posters[i], NULL, post_many, &tally);
        for (int i = 0; i < 3; i++)
                pthread_join(posters[i], NULL);
        leat_loop_join(tally.loop); /* posts before the stop are run */
        CHECK_INT(tally.calls, 150000);
        leat_loop_free(tally.loop);
}

struct gathering {
        struct leat_loop *loop;
        int rounds;
        bool waited;
};

static bool gather_thrice(void *arg)
{
        struct gathering *gathering = arg;
        return ++gathering->rounds < 3;
}

static void gather_start(void *arg)
{
        struct gathering *gathering = arg;
        leat_loop_gather(gathering->loop, gather_thrice, gathering);
        leat_loop_gather(gathering->loop, gather_thrice, gathering); /* it is called already */
}

static void gather_stop(void *arg)
{
        struct gathering *gathering = arg;
        gathering->waited = gathering->rounds == 3; /* long before the timer */
        leat_loop_stop(gathering->loop);
}

LEAT_TEST(net_gather_looks_without_waiting)
{
        struct gathering gathering = {.loop = loop_new()};
        CHECK(leat_loop_post(gathering.loop, gather_start, &gathering));
        int64_t begun_us = leat_os_monotonic_us();
        struct leat_timer *timer;
        atomic_store(&gathering.loop->thread, (uintptr_t)pthread_self());
        timer = leat_timer_new(gathering.loop, gather_stop, &gathering);
        leat_timer_start(timer, 30000, 0);
        atomic_store(&gathering.loop->thread, 0);
        leat_loop_run(gathering.loop);
        CHECK_INT(gathering.rounds, 3);
        CHECK(gathering.waited);
        CHECK(leat_os_monotonic_us() - begun_us >= 29000);
        leat_loop_free(gathering.loop);
}

LEAT_TEST(net_post_refuses_when_full)
{
        struct tally tally = {.loop = loop_new()};
        int taken = 0;
        while (leat_loop_post(tally.loop, count_one, &tally))
                CHECK(++taken < 10 * 1000 * 1000);
        CHECK(taken >= (int)leat_param(LEAT_P_NET_POST_SLOTS));
        leat_loop_stop(tally.loop);
        leat_loop_run(tally.loop);
        CHECK_INT(tally.calls, taken);
        CHECK(leat_loop_post(tally.loop, count_one, &tally)); /* room again */
        leat_loop_stop(tally.loop);
        leat_loop_run(tally.loop);
        CHECK_INT(tally.calls, taken + 1);
        leat_loop_free(tally.loop);
}

static void tick(void *arg)
{
        struct tally *tally = arg;
        if (++tally->calls == 3)
                leat_loop_stop(tally->loop);
}

LEAT_TEST(net_timer_repeats_and_is_not_early)
{
        struct tally tally = {.loop = loop_new()};
        struct leat_timer *timer = leat_timer_new(tally.loop, tick, &tally);
        CHECK(!leat_timer_running(timer));
        int64_t from_us = leat_os_monotonic_us();
        leat_timer_start(timer, 20 * 1000, 10 * 1000);
        CHECK(leat_timer_running(timer));
        leat_loop_run(tally.loop);
        CHECK(leat_os_monotonic_us() - from_us >= 39 * 1000);
        CHECK_INT(tally.calls, 3);
        leat_timer_free(timer);
        leat_loop_free(tally.loop);
}

static void on_signal(void *arg, int signo)
{
        struct tally *tally = arg;
        tally->calls = signo;
        leat_loop_stop(tally->loop);
}

LEAT_TEST(net_signal_reaches_the_loop)
{
        struct leat_error err;
        struct tally tally = {.loop = loop_new()};
        CHECK_OK(leat_loop_on_signal(tally.loop, SIGUSR1, on_signal, &tally, &err), &err);
        kill(getpid(), SIGUSR1);
        leat_loop_run(tally.loop);
        CHECK_INT(tally.calls, SIGUSR1);
        leat_loop_free(tally.loop);
}
