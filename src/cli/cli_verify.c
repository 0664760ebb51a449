/* SPDX-License-Identifier: Apache-2.0 */
/* leat/cli: leat verify: every checksum of a data directory; works beside a running server. */
#include <stdio.h>

#include "cli_int.h"
#include "leat/catalog.h"
#include "leat/log.h"
#include "leat/role.h"
#include "leat/state.h"
#include "leat/stream.h"

static const char usage[] =
        "usage: leat verify [--data DIR] [--view NAME [--kafka ADDR]]\n"
        "\n"
        "Reads everything under the data directory and checks every checksum. Works on a running server.\n"
        "\n"
        "  --data DIR    data directory (" CLI_DATA_DEFAULT ")\n"
        "  --view NAME   instead: that this materialized view equals its query over the records it covers\n"
        "  --kafka ADDR  the broker, for --view (LEAT_KAFKA, else that of the Leat which runs on the directory)\n"
        "\n"
        "Exit code 1 when damage was found; each is printed with file and place; or when the view differs.\n";

struct verify {
        const char *data;
        uint64_t bad, states;
};

static void on_log(void *arg, bool damage, const char *message)
{
        (void)arg;
        printf("%s: %s\n", damage ? "damaged" : "note", message);
}

static void on_state(void *arg, const char *file, const char *what)
{
        struct verify *v = arg;
        v->bad++;
        printf("damaged: %s: %s\n", file, what);
}

static int on_pipeline(void *arg, const char *name, bool is_dir)
{
        struct verify *v = arg;
        char path[4096];
        struct leat_error err = {0};
        if (!is_dir)
                return 0;
        snprintf(path, sizeof path, "%s/store/pipelines/%s", v->data, name);
        v->states++;
        if (leat_state_verify(path, on_state, v, &err) != 0) {
                v->bad++;
                printf("damaged: %s: %s\n", path, err.message);
        }
        return 0;
}

static void verify_log(struct verify *v)
{
        char path[4096];
        struct leat_log_verified log = {0};
        struct leat_error err = {0};
        snprintf(path, sizeof path, "%s/log", v->data);
        if (!leat_os_exists(path))
                return;
        if (leat_log_verify(path, on_log, NULL, &log, &err) != 0) {
                v->bad++;
                printf("damaged: %s\n", err.message);
        }
        v->bad += log.bad;
        printf("log: %llu files, %llu batches, %llu bytes, %llu damaged\n", (unsigned long long)log.files,
               (unsigned long long)log.batches, (unsigned long long)log.bytes, (unsigned long long)log.bad);
}

static void verify_catalog(struct verify *v)
{
        char path[4096];
        struct leat_catalog *catalog = NULL;
        struct leat_error err = {0};
        snprintf(path, sizeof path, "%s/catalog.db", v->data);
        if (!leat_os_exists(path))
                return;
        int rc = leat_catalog_open(path, &catalog, &err);
        if (rc == 0)
                rc = leat_catalog_verify(catalog, &err);
        leat_catalog_close(catalog);
        v->bad += rc != 0;
        if (rc == 0)
                printf("catalog: well\n");
        else
                printf("damaged: %s: %s\n", path, err.message);
}

/* Where the Leat that runs on @data answers Kafka clients; @ret has room for @size bytes. */
static void find_broker(const char *data, char *ret, size_t size)
{
        static const char door[] = "kafka ";
        char path[4096];
        struct leat_buf text = LEAT_BUF_INIT;
        snprintf(path, sizeof path, "%s/run/doors", data);
        const char *at = leat_os_read_file(path, 4096, &text, NULL) == 0 ? strstr(leat_buf_cstr(&text), door) : NULL;
        snprintf(ret, size, "%s", at == NULL ? CLI_KAFKA_DEFAULT : at + sizeof door - 1);
        ret[strcspn(ret, "\n")] = '\0';
        leat_buf_done(&text);
}

static int verify_view(const char *data, const char *view, const char *kafka)
{
        struct leat_verify_options options = {.data_dir = data, .view = view};
        struct leat_verify_result result;
        struct leat_error err = {0};
        if (leat_os_addr_parse(kafka, &options.kafka, &err) != 0 || leat_stream_verify(&options, &result, &err) != 0)
                return cli_fail("verify", &err);
        printf("view %s at tick %lld: %llu rows, its query %llu, %llu differ\n", view, (long long)result.tick,
               (unsigned long long)result.rows, (unsigned long long)result.batch_rows,
               (unsigned long long)result.differences);
        if (result.differences > 0)
                printf("first difference:\n  view  %s\n  query %s\n", result.view_row, result.batch_row);
        return result.differences > 0;
}

int leat_cli_verify(int argc, char **argv)
{
        struct verify v = {.data = CLI_DATA_DEFAULT};
        const char *view = NULL, *kafka = getenv("LEAT_KAFKA");
        const struct cli_option options[] = {
                {"--data", NULL, &v.data, NULL}, {"--view", NULL, &view, NULL}, {"--kafka", NULL, &kafka, NULL}};
        char path[4096];
        int rc = cli_options("verify", usage, argc, argv, options, LEAT_ARRAY_LEN(options), NULL, NULL);
        if (rc != 0)
                return rc < 0 ? 0 : rc;
        snprintf(path, sizeof path, "%s/FORMAT", v.data);
        if (!leat_os_exists(path)) {
                fprintf(stderr, "leat verify: %s is no data directory of Leat (it has no FORMAT file)\n", v.data);
                return 1;
        }
        struct leat_error err = {0};
        if (leat_data_dir_check(v.data, &err) != 0)
                return cli_fail("verify", &err);
        if (view != NULL) {
                char broker[256];
                find_broker(v.data, broker, sizeof broker);
                return verify_view(v.data, view, kafka != NULL ? kafka : broker);
        }
        verify_log(&v);
        verify_catalog(&v);
        snprintf(path, sizeof path, "%s/store/pipelines", v.data);
        if (leat_os_exists(path)) {
                if (leat_os_list(path, on_pipeline, &v, &err) != 0)
                        return cli_fail("verify", &err);
                printf("state: %llu pipeline%s checked\n", (unsigned long long)v.states, v.states == 1 ? "" : "s");
        }
        printf("%s\n", v.bad == 0 ? "all well" : "DAMAGED");
        return v.bad == 0 ? 0 : 1;
}
