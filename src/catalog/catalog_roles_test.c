/* SPDX-License-Identifier: Apache-2.0 */
/* leat/catalog: applied versions, leases, jobs, arrangement ids. */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "leat/catalog.h"
#include "leat/os.h"
#include "leat/test.h"

static struct leat_error err;

static struct leat_catalog *open_catalog(void)
{
        char path[512];
        struct leat_catalog *cat;
        snprintf(path, sizeof path, "%s/catalog.db", leat_test_tmpdir());
        CHECK_OK(leat_catalog_open(path, &cat, &err), &err);
        return cat;
}

LEAT_TEST(wait_for_roles)
{
        static const char *const roles[] = {"worker:", "query"};
        struct leat_catalog *cat = open_catalog();
        CHECK_OK(leat_catalog_applied_wait(cat, roles, 2, 5, 0, &err), &err);
        CHECK_OK(leat_catalog_applied_set(cat, "worker:main", getpid(), 4, &err), &err);
        CHECK_OK(leat_catalog_applied_set(cat, "api", getpid(), 1, &err), &err);
        CHECK_INT(leat_catalog_applied_wait(cat, roles, 2, 5, 5000, &err), LEAT_ETIMEOUT);
        CHECK(strstr(err.message, "worker:main") != NULL);
        CHECK_OK(leat_catalog_applied_set(cat, "worker:main", getpid(), 5, &err), &err);
        CHECK_OK(leat_catalog_applied_wait(cat, roles, 2, 5, 0, &err), &err);
        CHECK_OK(leat_catalog_applied_remove(cat, "worker:main", getpid(), &err), &err);
        CHECK_OK(leat_catalog_applied_wait(cat, roles, 2, 9, 0, &err), &err);
        leat_catalog_close(cat);
}

LEAT_TEST(the_dead_are_not_waited_for)
{
        static const char *const roles[] = {"worker:"};
        struct leat_catalog *cat = open_catalog();
        pid_t pid = fork();
        if (pid == 0)
                _exit(0);
        waitpid(pid, NULL, 0);
        CHECK_OK(leat_catalog_applied_set(cat, "worker:main", pid, 1, &err), &err);
        CHECK_OK(leat_catalog_applied_wait(cat, roles, 1, 5, 60 * 1000000, &err), &err);
        leat_catalog_close(cat);
}

LEAT_TEST(leases_fence)
{
        struct leat_catalog *cat = open_catalog();
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_lease *leases;
        struct leat_job *jobs;
        uint64_t first, second;
        uint32_t count;
        CHECK_OK(leat_catalog_lease_take(cat, "main", 10, &first, &err), &err);
        CHECK_OK(leat_catalog_lease_take(cat, "main", 11, &second, &err), &err);
        CHECK_INT(first, 1);
        CHECK_INT(second, 2);
        CHECK_OK(leat_catalog_leases(cat, arena, &leases, &count, &err), &err);
        CHECK_INT(count, 1);
        CHECK_INT(leases[0].pid, 11);
        struct leat_job job = {.view_id = 7, .pipeline = "main", .state = LEAT_JOB_FILLING, .progress = "42 %"};
        CHECK_INT(leat_catalog_job_set(cat, &job, first, &err), LEAT_EFENCED);
        CHECK_OK(leat_catalog_job_set(cat, &job, second, &err), &err);
        CHECK_OK(leat_catalog_jobs(cat, arena, &jobs, &count, &err), &err);
        CHECK_INT(count, 1);
        CHECK_STR(jobs[0].progress, "42 %");
        CHECK_STR(jobs[0].reason, "");
        CHECK_INT(jobs[0].state, LEAT_JOB_FILLING);
        leat_arena_free(arena);
        leat_catalog_close(cat);
}

LEAT_TEST(two_processes_never_share_an_incarnation_or_an_id)
{
        int pipes[2];
        leat_catalog_close(open_catalog());
        CHECK(pipe(pipes) == 0);
        for (int child = 0; child < 2; child++) {
                if (fork() != 0)
                        continue;
                struct leat_catalog *cat = open_catalog();
                for (int i = 0; i < 20; i++) {
                        uint64_t numbers[2] = {0, 0};
                        if (leat_catalog_lease_take(cat, "p", 1, &numbers[0], NULL) != 0 ||
                            leat_catalog_arrangement_ids(cat, 3, &numbers[1], NULL) != 0)
                                _exit(1);
                        if (write(pipes[1], numbers, sizeof numbers) != sizeof numbers)
                                _exit(1);
                }
                _exit(0);
        }
        for (int child = 0; child < 2; child++) {
                int status;
                CHECK(wait(&status) > 0 && status == 0);
        }
        bool seen[200] = {false}, ids[200] = {false};
        for (int i = 0; i < 40; i++) {
                uint64_t numbers[2];
                CHECK_INT(read(pipes[0], numbers, sizeof numbers), sizeof numbers);
                CHECK(numbers[0] < 200 && !seen[numbers[0]]);
                seen[numbers[0]] = true;
                for (int k = 0; k < 3; k++) {
                        CHECK(numbers[1] + 2 < 200 && !ids[numbers[1] + (uint64_t)k]);
                        ids[numbers[1] + (uint64_t)k] = true;
                }
        }
        close(pipes[0]);
        close(pipes[1]);
}
