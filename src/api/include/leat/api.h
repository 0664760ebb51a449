/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/api: what the role `api` does: the console, health and metrics, SQL over
 * HTTP, the live drawing of the flow, live dashboards.
 *
 * It holds no data: it asks `query` by the PostgreSQL protocol, knocks at
 * `broker`, and reads the stats files of all roles. src/api/README.md lists the
 * addresses and the statements that it sends.
 */
#ifndef LEAT_API_H
#define LEAT_API_H

#include "leat/base.h"
#include "leat/net.h"

struct leat_api;

struct leat_api_options {
        const char *data_dir;     /* its run/ holds the stats files */
        struct leat_addr pg;      /* of the role query */
        struct leat_addr kafka;   /* of the broker */
        uint16_t http_port;       /* of the listening socket */
        const char *console_dir;  /* files here go before those in the program; NULL: none */
        struct leat_stats *stats; /* of this role; may be NULL */
};

/* Makes the loop and serves the listening socket @fd (which it owns from now on,
 * also when it fails) once leat_api_run is called. Texts in @options must outlive it. */
int leat_api_new(int fd, const struct leat_api_options *options, struct leat_api **ret_api,
                 struct leat_error *err) LEAT_NODISCARD;
/* Runs until leat_api_stop. */
void leat_api_run(struct leat_api *api);
/* Thread: any, also a signal handler. */
void leat_api_stop(struct leat_api *api);
/* Closes everything; not while it runs. NULL is allowed. */
void leat_api_free(struct leat_api *api);
/* For signals and timers of the role. */
struct leat_loop *leat_api_loop(struct leat_api *api);

#endif
