/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/base: the runner of unit tests; leat/test.h describes its use.
 *
 * All tests run in this one process, in the order of the files. A failed CHECK
 * leaves its test by siglongjmp; a crash prints which test it was in and ends
 * the program, so that a sanitizer's report has a name to it.
 *
 * Environment: LEAT_TEST_SEED, LEAT_TEST_SCALE, LEAT_TEST_KEEP=1 (keeps the
 * folders of tests that passed).
 */
#include "leat/test.h"

#include <ftw.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum outcome { PASSED, FAILED, SKIPPED };

static struct {
        struct leat_test *first, *last;
        const char *running;
        pthread_t thread; /* the one that may jump */
        sigjmp_buf leave;
        char reason[1024];
        char tmpdir[256];
} runner;

void leat_test_register(struct leat_test *test)
{
        if (runner.last != NULL)
                runner.last->next = test;
        else
                runner.first = test;
        runner.last = test;
}

void leat_test_fail(const char *file, int line, const char *fmt, ...)
{
        char text[768];
        va_list args;
        va_start(args, fmt);
        vsnprintf(text, sizeof(text), fmt, args);
        va_end(args);
        snprintf(runner.reason, sizeof(runner.reason), "%s:%d: %s", file, line, text);
        if (!pthread_equal(runner.thread, pthread_self())) {
                /* No way back into the test from another thread's stack. */
                printf("Bail out! %s in test %s, in a thread of it\n", runner.reason, runner.running);
                fflush(stdout);
                abort();
        }
        siglongjmp(runner.leave, FAILED);
}

void leat_test_skip(const char *reason)
{
        snprintf(runner.reason, sizeof(runner.reason), "%s", reason);
        siglongjmp(runner.leave, SKIPPED);
}

const char *leat_test_tmpdir(void)
{
        if (runner.tmpdir[0] != '\0')
                return runner.tmpdir;
        const char *root = getenv("TMPDIR");
        snprintf(runner.tmpdir, sizeof(runner.tmpdir), "%s/leat-%s-XXXXXX", root != NULL ? root : "/tmp",
                 runner.running);
        if (mkdtemp(runner.tmpdir) == NULL) {
                perror(runner.tmpdir);
                exit(99);
        }
        return runner.tmpdir;
}

uint64_t leat_test_seed(void)
{
        const char *text = getenv("LEAT_TEST_SEED");
        return text != NULL ? strtoull(text, NULL, 0) : 20261124;
}

int leat_test_scale(void)
{
        const char *text = getenv("LEAT_TEST_SCALE");
        int scale = text != NULL ? atoi(text) : 1;
        return scale > 0 ? scale : 1;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
        (void)st, (void)type, (void)ftw;
        return remove(path);
}

static void tmpdir_done(enum outcome outcome)
{
        if (runner.tmpdir[0] == '\0')
                return;
        if (outcome == FAILED || getenv("LEAT_TEST_KEEP") != NULL)
                printf("# folder kept: %s\n", runner.tmpdir);
        else
                nftw(runner.tmpdir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
        runner.tmpdir[0] = '\0';
}

static void on_crash(int sig)
{
        char text[256];
        int len = snprintf(text, sizeof(text), "Bail out! signal %d in test %s\n", sig, runner.running);
        ssize_t ignored = write(STDOUT_FILENO, text, (size_t)len);
        ignored = write(STDERR_FILENO, text, (size_t)len);
        (void)ignored;
        signal(sig, SIG_DFL);
        raise(sig);
}

static enum outcome run_one(struct leat_test *test)
{
        runner.running = test->name;
        runner.reason[0] = '\0';
        int outcome = sigsetjmp(runner.leave, 1);
        if (outcome == PASSED)
                test->run();
        return (enum outcome)outcome;
}

static bool wanted(const struct leat_test *test, int argc, char **argv)
{
        for (int i = 1; i < argc; i++)
                if (strstr(test->name, argv[i]) != NULL)
                        return true;
        return argc < 2;
}

static double now_s(void)
{
        struct timespec ts;
        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

int main(int argc, char **argv)
{
        static const int crashes[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
        /* A sanitizer has handlers of its own, with better reports, for all but SIGABRT. */
        for (size_t i = 0; i < sizeof(crashes) / sizeof(crashes[0]); i++) {
                struct sigaction old;
                if (sigaction(crashes[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
                        signal(crashes[i], on_crash);
        }
        signal(SIGPIPE, SIG_IGN);
        setvbuf(stdout, NULL, _IOLBF, 0);
        runner.thread = pthread_self();
        int count = 0, number = 0, failed = 0;
        for (struct leat_test *test = runner.first; test != NULL; test = test->next)
                count += wanted(test, argc, argv);
        printf("1..%d\n", count);
        for (struct leat_test *test = runner.first; test != NULL; test = test->next) {
                if (!wanted(test, argc, argv))
                        continue;
                double start_s = now_s();
                enum outcome outcome = run_one(test);
                number++;
                if (outcome == FAILED) {
                        failed++;
                        /* Standard error too: it is what a summary of many programs shows. */
                        fprintf(stderr, "%s: %s (seed %" PRIu64 ")\n", test->name, runner.reason, leat_test_seed());
                        printf("not ok %d - %s\n", number, test->name);
                } else if (outcome == SKIPPED) {
                        printf("ok %d - %s # SKIP %s\n", number, test->name, runner.reason);
                } else {
                        printf("ok %d - %s\n", number, test->name);
                }
                if (now_s() - start_s > 1.0)
                        printf("# %s took %.1f s\n", test->name, now_s() - start_s);
                tmpdir_done(outcome);
        }
        return failed > 0;
}
