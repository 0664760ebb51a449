/* SPDX-License-Identifier: Apache-2.0 */
/* A broker alone: broker_alone DATA_DIR HOST:PORT [name=value]...  Runs until SIGINT or SIGTERM. */
#include <signal.h>
#include <stdio.h>

#include "leat/broker.h"
#include "leat/os.h"

static int fail(const struct leat_error *err)
{
        fprintf(stderr, "%s\n", err->message);
        return 1;
}

int main(int argc, char **argv)
{
        struct leat_error err;
        struct leat_addr addr;
        struct leat_broker *broker;
        int fd;
        uint16_t port;
        if (argc < 3) {
                fprintf(stderr, "usage: %s DATA_DIR HOST:PORT [name=value]...\n", argv[0]);
                return 2;
        }
        leat_diag_init("broker", LEAT_DIAG_INFO);
        for (int i = 3; i < argc; i++) {
                char *value = strchr(argv[i], '=');
                if (value == NULL)
                        return 2;
                *value++ = '\0';
                if (leat_param_set(argv[i], value, &err) != 0)
                        return fail(&err);
        }
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGINT);
        sigaddset(&set, SIGTERM);
        pthread_sigmask(SIG_BLOCK, &set, NULL);
        if (leat_os_addr_parse(argv[2], &addr, &err) != 0 || leat_os_listen(&addr, 512, &fd, &port, &err) != 0)
                return fail(&err);
        struct leat_broker_options options = {.data_dir = argv[1], .listen_fd = fd};
        if (leat_broker_start(&options, &broker, &err) != 0)
                return fail(&err);
        printf("port %u\n", port);
        fflush(stdout);
        int signo;
        sigwait(&set, &signo);
        leat_broker_stop(broker);
        return 0;
}
