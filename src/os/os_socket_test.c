/* SPDX-License-Identifier: Apache-2.0 */
#include "leat/test.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "leat/base.h"
#include "leat/os.h"

LEAT_TEST(addr_parse)
{
        struct leat_error err;
        struct leat_addr addr;
        static const char *const bad[] = {"",
                                          ":",
                                          "9092",
                                          "127.0.0.1",
                                          "127.0.0.1:",
                                          "127.0.0.1:x",
                                          "127.0.0.1:65536",
                                          "127.0.0.1:-1",
                                          "example.org:80",
                                          "::1:80",
                                          "[::1:80",
                                          "[]:80",
                                          ":80",
                                          "127.0.0.1: 80",
                                          "127.0.0.1:80 "};
        CHECK_OK(leat_os_addr_parse("127.0.0.1:9092", &addr, &err), &err);
        CHECK_STR(addr.host, "127.0.0.1");
        CHECK_INT(addr.port, 9092);
        CHECK(leat_os_addr_is_loopback(&addr));
        CHECK_OK(leat_os_addr_parse("localhost:0", &addr, &err), &err);
        CHECK_STR(addr.host, "127.0.0.1");
        CHECK_OK(leat_os_addr_parse("[::1]:65535", &addr, &err), &err);
        CHECK_STR(addr.host, "::1");
        CHECK(leat_os_addr_is_loopback(&addr));
        CHECK_OK(leat_os_addr_parse("0.0.0.0:80", &addr, &err), &err);
        CHECK(!leat_os_addr_is_loopback(&addr));
        CHECK_OK(leat_os_addr_parse("[::ffff:127.0.0.1]:80", &addr, &err), &err);
        CHECK(leat_os_addr_is_loopback(&addr));
        CHECK_OK(leat_os_addr_parse("[::]:80", &addr, &err), &err);
        CHECK(!leat_os_addr_is_loopback(&addr));
        for (size_t i = 0; i < LEAT_ARRAY_LEN(bad); i++) {
                CHECK_INT(leat_os_addr_parse(bad[i], &addr, &err), LEAT_EINVAL);
                CHECK(err.hint[0] != '\0');
        }
}

LEAT_TEST(socket_listen_connect)
{
        struct leat_error err;
        struct leat_addr addr;
        int door, client, other_door;
        char byte = 0;
        CHECK_OK(leat_os_addr_parse("127.0.0.1:0", &addr, &err), &err);
        CHECK_OK(leat_os_listen(&addr, 8, &door, &addr.port, &err), &err);
        CHECK(addr.port != 0);
        CHECK_INT(leat_os_listen(&addr, 8, &other_door, NULL, &err), LEAT_EBUSY);
        CHECK(strstr(err.message, "in use") != NULL && err.hint[0] != '\0');
        CHECK_OK(leat_os_connect(&addr, 1000000, &client, &err), &err);
        int server = accept(door, NULL, NULL);
        CHECK(server >= 0);
        CHECK_INT(leat_os_poll1(server, POLLIN, 1000), 0);
        CHECK_INT(leat_os_send(client, "x", 1), 1);
        CHECK_INT(leat_os_poll1(server, POLLIN, 60 * 1000000) & POLLIN, POLLIN);
        CHECK_INT(leat_os_recv(server, &byte, 1), 1);
        CHECK_INT(byte, 'x');
        close(client);
        CHECK_INT(leat_os_recv(server, &byte, 1), 0);
        close(server);
        close(door);
        CHECK(leat_os_connect(&addr, 1000000, &client, &err) != 0); /* nobody listens */
        CHECK(err.retriable);
}

/* What the child of the test below does: tells who it is. */
static void child_side(const char *fd_text)
{
        struct leat_buf cmdline = LEAT_BUF_INIT, comm = LEAT_BUF_INIT, text = LEAT_BUF_INIT;
        struct leat_error err;
        CHECK_OK(leat_os_read_file("/proc/self/cmdline", 4096, &cmdline, &err), &err);
        leat_os_set_name("leat-child");
        CHECK_OK(leat_os_read_file("/proc/self/comm", 4096, &comm, &err), &err);
        leat_buf_printf(&text, "%s %.*s", leat_buf_cstr(&cmdline), (int)comm.len - 1, leat_buf_cstr(&comm));
        CHECK_INT(write(atoi(fd_text), text.data, text.len), (int64_t)text.len);
        leat_buf_done(&cmdline);
        leat_buf_done(&comm);
        leat_buf_done(&text);
}

/* The child is this very program, told by its environment to run only this test and its own side of it. */
LEAT_TEST(process_spawn_self)
{
        struct leat_error err;
        char arg[] = "process_spawn_self", arg0[] = "ignored";
        char *argv[] = {arg0, arg, NULL};
        char text[256] = "";
        int pipe_fds[2], status;
        pid_t pid;
        if (getenv("LEAT_TEST_CHILD_FD") != NULL) {
                child_side(getenv("LEAT_TEST_CHILD_FD"));
                return;
        }
        CHECK(pipe2(pipe_fds, O_CLOEXEC) == 0);
        snprintf(text, sizeof(text), "%d", pipe_fds[1]);
        setenv("LEAT_TEST_CHILD_FD", text, 1);
        int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC); /* the parent prints the TAP */
        CHECK_OK(leat_os_spawn_self("leat-child", argv, &pipe_fds[1], 1, null_fd, &pid, &err), &err);
        close(null_fd);
        unsetenv("LEAT_TEST_CHILD_FD");
        close(pipe_fds[1]);
        CHECK(waitpid(pid, &status, 0) == pid);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        ssize_t got = read(pipe_fds[0], text, sizeof(text) - 1);
        text[got > 0 ? got : 0] = '\0';
        CHECK_STR(text, "leat-child leat-child");
        close(pipe_fds[0]);
}
