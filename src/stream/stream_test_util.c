/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "leat/test.h"
#include "stream_test.h"

static const char *const scans_names[] = {"package_id", "site", "weight", "ts", "price", "f", "kafka_timestamp"};
static const struct leat_type scans_types[] = {{.id = LEAT_T_VARCHAR},
                                               {.id = LEAT_T_VARCHAR},
                                               {.id = LEAT_T_INTEGER},
                                               {.id = LEAT_T_TIMESTAMPTZ},
                                               {.id = LEAT_T_DECIMAL, .width = 10, .scale = 2},
                                               {.id = LEAT_T_DOUBLE},
                                               {.id = LEAT_T_TIMESTAMPTZ}};
static const char *const stations_names[] = {"id", "name", "region"};
static const struct leat_type stations_types[] = {
        {.id = LEAT_T_VARCHAR}, {.id = LEAT_T_VARCHAR}, {.id = LEAT_T_VARCHAR}};
static const uint32_t stations_keys[] = {0};

static void relation_add(struct stream_fixture *fx, struct leat_stream_relation relation)
{
        struct leat_buf sql = LEAT_BUF_INIT;
        struct leat_error err = {0};
        leat_buf_printf(&sql, "CREATE TABLE \"%s\" (", relation.name);
        for (uint32_t i = 0; i < relation.column_count; i++) {
                leat_buf_printf(&sql, "%s\"%s\" ", i > 0 ? ", " : "", relation.names[i]);
                leat_type_print(&relation.types[i], &sql);
        }
        leat_buf_add_str(&sql, ")");
        CHECK_OK(leat_conn_exec(fx->conn, leat_buf_cstr(&sql), &err), &err);
        leat_buf_done(&sql);
        fx->relations[fx->relation_count++] = relation;
}

struct stream_fixture *stream_fixture_new(void)
{
        struct stream_fixture *fx = leat_calloc(1, sizeof *fx);
        struct leat_error err = {0};
        struct leat_engine_options options = {.threads = 1, .bind_only = true};
        fx->arena = leat_arena_new(0);
        CHECK_OK(leat_engine_open(&options, &fx->engine, &err), &err);
        CHECK_OK(leat_conn_open(fx->engine, NULL, NULL, &fx->conn, &err), &err);
        relation_add(fx, (struct leat_stream_relation){.name = "scans",
                                                       .kind = LEAT_STREAM_TOPIC,
                                                       .object_id = 1,
                                                       .column_count = 7,
                                                       .names = scans_names,
                                                       .types = scans_types,
                                                       .time_column = 3});
        relation_add(fx, (struct leat_stream_relation){.name = "stations",
                                                       .kind = LEAT_STREAM_KEYED,
                                                       .object_id = 2,
                                                       .column_count = 3,
                                                       .names = stations_names,
                                                       .types = stations_types,
                                                       .time_column = -1,
                                                       .key_count = 1,
                                                       .keys = stations_keys});
        return fx;
}

void stream_fixture_free(struct stream_fixture *fx)
{
        leat_conn_close(fx->conn);
        leat_engine_close(fx->engine);
        leat_arena_free(fx->arena);
        free(fx);
}

void stream_fixture_view(struct stream_fixture *fx, const char *name, const struct leat_stream_graph *graph)
{
        const struct leat_stream_output *out = leat_stream_output(graph);
        relation_add(fx, (struct leat_stream_relation){.name = name,
                                                       .kind = LEAT_STREAM_VIEW,
                                                       .object_id = 100 + fx->relation_count,
                                                       .column_count = out->column_count,
                                                       .names = out->names,
                                                       .types = out->types,
                                                       .time_column = -1,
                                                       .graph = graph});
}

int stream_fixture_compile(struct stream_fixture *fx, const char *sql, const struct leat_stream_options *options,
                           struct leat_stream_graph **ret_graph, struct leat_error *err)
{
        struct leat_buf json = LEAT_BUF_INIT;
        int rc = leat_conn_text(fx->conn, "SELECT json_serialize_plan($1::VARCHAR)", &sql, 1, &json, err);
        if (rc == 0)
                rc = leat_stream_compile(fx->arena, leat_buf_view(&json), fx->relations, fx->relation_count, options,
                                         ret_graph, err);
        leat_buf_done(&json);
        return rc;
}

void stream_corpus_add(const char *what, struct leat_view bytes)
{
        static int number;
        const char *dir = getenv("LEAT_STREAM_CORPUS");
        char path[512];
        if (dir == NULL || bytes.len > 4096)
                return;
        snprintf(path, sizeof path, "%s/%s/%03d", dir, what, number++);
        FILE *file = fopen(path, "wb");
        CHECK(file != NULL && fwrite(bytes.data, 1, bytes.len, file) == bytes.len && fclose(file) == 0);
}
