/* SPDX-License-Identifier: Apache-2.0 */
/* leat/os: what a supervisor needs: signals as a descriptor, pipes, poll, the end of children. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "leat/os.h"

void leat_os_kill(pid_t pid, int signo)
{
        if (pid > 0)
                kill(pid, signo);
}

pid_t leat_os_reap(int *ret_status)
{
        pid_t pid;
        do
                pid = waitpid(-1, ret_status, WNOHANG);
        while (pid < 0 && errno == EINTR);
        return pid > 0 ? pid : 0;
}

int leat_os_pipe(int ret_fds[2], struct leat_error *err)
{
        if (pipe2(ret_fds, O_CLOEXEC) != 0)
                return leat_error_sys(err, errno, "cannot make a pipe");
        fcntl(ret_fds[0], F_SETFL, O_NONBLOCK);
        return 0;
}

ssize_t leat_os_read(int fd, void *data, size_t bytes)
{
        ssize_t n;
        do
                n = read(fd, data, bytes);
        while (n < 0 && errno == EINTR);
        return n;
}

ssize_t leat_os_write(int fd, const void *data, size_t bytes)
{
        ssize_t n;
        do
                n = write(fd, data, bytes);
        while (n < 0 && errno == EINTR);
        return n;
}

void leat_os_nonblock(int fd)
{
        int flags = fcntl(fd, F_GETFL);
        if (flags >= 0)
                fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

int leat_os_signal_fd(const int *signos, int *ret_fd, struct leat_error *err)
{
        sigset_t set;
        sigemptyset(&set);
        for (; *signos != 0; signos++)
                sigaddset(&set, *signos);
        if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
                return leat_error_sys(err, errno, "cannot block signals");
        int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
        if (fd < 0)
                return leat_error_sys(err, errno, "cannot make a signal descriptor");
        *ret_fd = fd;
        return 0;
}

int leat_os_signal_take(int fd)
{
        struct signalfd_siginfo info;
        return read(fd, &info, sizeof info) == sizeof info ? (int)info.ssi_signo : 0;
}

int leat_os_poll(struct pollfd *fds, int count, int64_t timeout_us)
{
        int64_t end_us = leat_os_monotonic_us() + timeout_us;
        for (;;) {
                int64_t left_us = end_us - leat_os_monotonic_us();
                int n = poll(fds, (nfds_t)count, left_us <= 0 ? 0 : (int)((left_us + 999) / 1000));
                if (n >= 0 || errno != EINTR)
                        return n < 0 ? 0 : n;
        }
}
