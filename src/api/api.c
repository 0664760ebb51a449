/* SPDX-License-Identifier: Apache-2.0 */
/* leat/api: the role's loop, its addresses, start and end. */
#include "api_int.h"

#include <stdio.h>
#include <stdlib.h>

static void health_get(struct leat_http_req *req, void *arg)
{
        struct leat_buf body = LEAT_BUF_INIT;
        (void)arg;
        leat_buf_add_str(&body, "{\"status\":\"ok\"}\n");
        leat_http_respond(req, 200, "application/json", &body);
}

/* The page reads the dashboard's name out of its own address. */
static void board_page_get(struct leat_http_req *req, void *arg)
{
        (void)arg;
        leat_http_respond_file(req, "/dashboard.html");
}

/* People type addresses without the ending. */
static void page_get(struct leat_http_req *req, void *arg)
{
        char path[64];
        (void)arg;
        snprintf(path, sizeof path, "%s.html", leat_http_req_path(req));
        leat_http_respond_file(req, path);
}

static const struct leat_http_route ROUTES[] = {
        {"GET", "/healthz", health_get},
        {"GET", "/readyz", leat_api_ready_get},
        {"GET", "/metrics", leat_api_metrics_get},
        {"POST", "/api/sql", leat_api_sql_post},
        {"GET", "/api/flow", leat_api_flow_get},
        {"GET", "/api/flow/stream", leat_api_flow_stream_get},
        {"GET", "/api/dashboards", leat_api_dashboards_get},
        {"GET", "/api/dashboards/{name}", leat_api_dashboard_get},
        {"GET", "/api/dashboards/{name}/stream", leat_api_board_stream_get},
        {"GET", "/d/{name}", board_page_get},
        {"GET", "/sql", page_get},
        {"GET", "/dashboards", page_get},
};

int leat_api_new(int fd, const struct leat_api_options *options, struct leat_api **ret_api, struct leat_error *err)
{
        struct leat_api *api = leat_calloc(1, sizeof(*api));
        api->options = *options;
        int rc = leat_loop_new("leat-api", &api->loop, err);
        if (rc != 0) {
                leat_os_close(fd);
                free(api);
                return rc;
        }
        struct leat_http_opts http = {
                .port = options->http_port,
                .routes = ROUTES,
                .route_count = (int)LEAT_ARRAY_LEN(ROUTES),
                .files = leat_api_files,
                .file_count = leat_api_file_count,
                .file_dir = options->console_dir,
                .arg = api,
                .stats = options->stats,
        };
        rc = leat_http_new(api->loop, fd, &http, &api->http, err);
        if (rc != 0) {
                leat_loop_free(api->loop);
                free(api);
                return rc;
        }
        api->asker = leat_api_asker_new(api->loop, &options->pg);
        api->flow = leat_api_flow_new(api);
        *ret_api = api;
        return 0;
}

void leat_api_run(struct leat_api *api)
{
        leat_loop_run(api->loop);
}

void leat_api_stop(struct leat_api *api)
{
        leat_loop_stop(api->loop);
}

void leat_api_free(struct leat_api *api)
{
        if (!api)
                return;
        api->is_ending = true;
        leat_api_asker_free(api->asker);
        leat_api_flow_free(api->flow);
        leat_api_boards_free(api);
        leat_http_free(api->http); /* what still waits for SQL is aborted as its connection closes */
        leat_loop_free(api->loop);
        free(api);
}

struct leat_loop *leat_api_loop(struct leat_api *api)
{
        return api->loop;
}
