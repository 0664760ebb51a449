/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/os: processes.
 *
 * A child reports a failed exec through a pipe that closes by itself when the
 * exec works. PR_SET_PDEATHSIG is bound to the thread that forks: spawn from
 * the supervisor's main thread only.
 */
#include "leat/os.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "leat/mem.h"

/* Everything below runs in the child between fork and exec: async-signal-safe calls only. */

static int child_fds(const int *keep_fds, int keep_count, int log_fd)
{
        int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0)
                return -1;
        if (log_fd >= 0 && (dup2(log_fd, STDOUT_FILENO) < 0 || dup2(log_fd, STDERR_FILENO) < 0))
                return -1;
        /* Kernels before 5.11 do not know the flag; then O_CLOEXEC of each opener has to do. */
        if (close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) != 0 && errno != ENOSYS && errno != EINVAL)
                return -1;
        for (int i = 0; i < keep_count; i++)
                if (fcntl(keep_fds[i], F_SETFD, 0) != 0)
                        return -1;
        return 0;
}

static void child_signals(void)
{
        sigset_t none;
        sigemptyset(&none);
        for (int sig = 1; sig < SIGRTMIN; sig++)
                signal(sig, SIG_DFL);
        sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void child_run(char **argv, const int *keep_fds, int keep_count, int log_fd, pid_t parent,
                                int report_fd)
{
        child_signals();
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent &&
            child_fds(keep_fds, keep_count, log_fd) == 0)
                execv("/proc/self/exe", argv);
        int os_errno = errno;
        ssize_t ignored = write(report_fd, &os_errno, sizeof(os_errno));
        (void)ignored;
        _exit(127);
}

/* argv with the process name in front, so that ps shows it. */
static char **argv_named(const char *name, char *const argv[])
{
        size_t count = 0;
        while (argv[count] != NULL)
                count++;
        char **named = leat_calloc(LEAT_MAX(count, (size_t)1) + 1, sizeof(named[0]));
        named[0] = (char *)(uintptr_t)name;
        for (size_t i = 1; i < count; i++)
                named[i] = argv[i];
        return named;
}

int leat_os_spawn_self(const char *name, char *const argv[], const int *keep_fds, int keep_count, int log_fd,
                       pid_t *ret_pid, struct leat_error *err)
{
        int report[2];
        if (pipe2(report, O_CLOEXEC) != 0)
                return leat_error_sys(err, errno, "cannot make a pipe for %s", name);
        char **named = argv_named(name, argv);
        pid_t parent = getpid();
        pid_t pid = fork();
        if (pid == 0)
                child_run(named, keep_fds, keep_count, log_fd, parent, report[1]);
        int os_errno = pid < 0 ? errno : 0;
        free(named);
        close(report[1]);
        ssize_t got = 0;
        while (pid > 0 && (got = read(report[0], &os_errno, sizeof(os_errno))) < 0 && errno == EINTR)
                ;
        close(report[0]);
        if (pid > 0 && got != sizeof(os_errno)) {
                *ret_pid = pid;
                return 0;
        }
        if (pid > 0)
                waitpid(pid, NULL, 0);
        return leat_error_sys(err, os_errno, "cannot start %s", name);
}

void leat_os_set_name(const char *name)
{
        prctl(PR_SET_NAME, name);
}

bool leat_os_pid_alive(pid_t pid)
{
        return pid > 0 && (kill(pid, 0) == 0 || errno == EPERM);
}
