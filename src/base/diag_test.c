/* SPDX-License-Identifier: Apache-2.0 */
#include "leat/test.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "leat/base.h"

/* What @fn writes to standard error. */
static const char *stderr_of(void (*fn)(void))
{
        static char text[4096];
        int saved = dup(STDERR_FILENO), pipe_fds[2];
        CHECK(pipe(pipe_fds) == 0);
        dup2(pipe_fds[1], STDERR_FILENO);
        fn();
        dup2(saved, STDERR_FILENO);
        close(saved);
        close(pipe_fds[1]);
        ssize_t got = read(pipe_fds[0], text, sizeof(text) - 1);
        text[got > 0 ? got : 0] = '\0';
        close(pipe_fds[0]);
        return text;
}

static void one_line(void)
{
        leat_diag(LEAT_DIAG_DEBUG, "test", "not shown", "%s", "");
        leat_diag(LEAT_DIAG_WARN, "test", "segment \"x\" sealed", "topic=%s partition=%d", "scans", 3);
}

static void with_error(void)
{
        struct leat_error err;
        leat_error_set(&err, LEAT_EFULL, "disk is full");
        leat_error_hint(&err, "delete something");
        leat_diag_error("test", "append failed", &err);
}

static void repeated(void)
{
        for (int i = 0; i < 100; i++)
                leat_diag(LEAT_DIAG_INFO, "test", "again and again", "n=%d", i);
        usleep(1010000);
        leat_diag(LEAT_DIAG_INFO, "test", "again and again", "n=last");
}

LEAT_TEST(diag_lines)
{
        leat_diag_init("unit", LEAT_DIAG_INFO);
        const char *text = stderr_of(one_line);
        CHECK(strncmp(text, "ts=20", 5) == 0);
        CHECK(strstr(text,
                     "Z level=warn role=unit mod=test msg=\"segment \\\"x\\\" sealed\" topic=scans partition=3\n") !=
              NULL);
        CHECK(strstr(text, "not shown") == NULL);
        text = stderr_of(with_error);
        CHECK(strstr(text, "level=error") != NULL);
        CHECK(strstr(text, "code=LEAT_EFULL error=\"disk is full\" hint=\"delete something\"") != NULL);
}

LEAT_TEST(diag_repeats_are_counted)
{
        const char *text = stderr_of(repeated);
        CHECK(strstr(text, " n=0\n") != NULL);
        CHECK(strstr(text, " n=1\n") == NULL);
        CHECK(strstr(text, " n=last repeated=99\n") != NULL);
}

LEAT_TEST(diag_levels)
{
        CHECK_INT(leat_diag_level_parse("debug"), LEAT_DIAG_DEBUG);
        CHECK_INT(leat_diag_level_parse("error"), LEAT_DIAG_ERROR);
        CHECK_INT(leat_diag_level_parse("loud"), -1);
}

static void crash_in_child(void)
{
        pid_t child = fork();
        if (child == 0) {
                static const int crashes[] = {SIGSEGV, SIGABRT};
                for (int i = 0; i < 2; i++)
                        signal(crashes[i], SIG_DFL); /* not the test runner's */
                leat_diag_crash_install("broker");
                raise(SIGSEGV);
        }
        int status;
        waitpid(child, &status, 0);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV); /* dies of it all the same */
}

LEAT_TEST(diag_last_words)
{
        const char *text = stderr_of(crash_in_child);
        CHECK(strncmp(text, "leat: broker crashed: signal 11 (Segmentation fault), address 0x", 64) == 0);
        CHECK(strstr(text, ", pid ") != NULL);
        CHECK(strstr(text, "test_base") != NULL); /* a frame of the call stack */
        CHECK(strstr(text, "please report") != NULL);
}
