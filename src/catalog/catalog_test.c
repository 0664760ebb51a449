/* SPDX-License-Identifier: Apache-2.0 */
/* leat/catalog: objects, versions, transactions, damage. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "leat/catalog.h"
#include "leat/os.h"
#include "leat/test.h"

static struct leat_error err;

static struct leat_catalog *open_catalog(void)
{
        char path[512];
        struct leat_catalog *cat;
        snprintf(path, sizeof path, "%s/catalog.db", leat_test_tmpdir());
        CHECK_OK(leat_catalog_open(path, &cat, &err), &err);
        return cat;
}

static const struct leat_column_def scan_columns[] = {
        {.name = "package_id", .type = {.id = LEAT_T_VARCHAR}, .not_null = true},
        {.name = "Weight", .type = {.id = LEAT_T_DECIMAL, .width = 18, .scale = 3}},
        {.name = "event_time", .type = {.id = LEAT_T_TIMESTAMPTZ}},
};
static const uint32_t scan_keys[] = {0};
static const struct leat_topic_def scan_topic = {
        .topic_id = {1, 2, 3},
        .format = LEAT_FORMAT_JSON,
        .column_count = 3,
        .columns = scan_columns,
        .key_count = 1,
        .keys = scan_keys,
        .watermark_column = 2,
        .watermark_delay_us = 5000000,
        .partitions = 4,
        .retention_us = -1,
        .retention_bytes = 1 << 30,
        .idle_timeout_us = 5000000,
        .max_ahead_us = 60000000,
};

static uint64_t put_topic(struct leat_catalog *cat, const char *name, uint64_t *ret_version)
{
        struct leat_object object = {.kind = LEAT_OBJECT_TOPIC,
                                     .state = LEAT_STATE_READY,
                                     .name = name,
                                     .sql = "CREATE TOPIC ...",
                                     .topic = &scan_topic};
        uint64_t id, version;
        CHECK_OK(leat_catalog_begin(cat, &err), &err);
        CHECK_OK(leat_catalog_put(cat, &object, &id, &err), &err);
        CHECK_OK(leat_catalog_commit(cat, &version, &err), &err);
        if (ret_version != NULL)
                *ret_version = version;
        return id;
}

static uint64_t put_view(struct leat_catalog *cat, const char *name, uint64_t reads)
{
        const struct leat_view_def view = {
                .column_count = 2,
                .columns = scan_columns,
                .body = leat_view_str("SELECT 1"),
                .key_count = 1,
                .keys = scan_keys,
                .pipeline = "main",
                .emit = LEAT_EMIT_CHANGES,
                .late = LEAT_LATE_APPLY,
                .start = LEAT_START_EARLIEST,
                .retention_us = 86400000000,
                .max_state_bytes = -1,
                .graph = leat_view_of("\0\1\2", 3),
        };
        struct leat_object object = {.kind = LEAT_OBJECT_MATVIEW,
                                     .state = LEAT_STATE_READY,
                                     .name = name,
                                     .sql = "CREATE ...",
                                     .view = &view,
                                     .read_count = 1,
                                     .reads = &reads};
        uint64_t id, version;
        CHECK_OK(leat_catalog_begin(cat, &err), &err);
        CHECK_OK(leat_catalog_put(cat, &object, &id, &err), &err);
        CHECK_OK(leat_catalog_commit(cat, &version, &err), &err);
        return id;
}

LEAT_TEST(objects_come_back)
{
        struct leat_catalog *cat = open_catalog();
        struct leat_arena *arena = leat_arena_new(0);
        const struct leat_snapshot *snapshot;
        uint64_t topic = put_topic(cat, "scans", NULL), view = put_view(cat, "inflow", topic);
        leat_catalog_close(cat);
        cat = open_catalog();
        CHECK_OK(leat_catalog_load(cat, arena, &snapshot, &err), &err);
        CHECK_INT(snapshot->object_count, 2);
        CHECK_INT(snapshot->version, 3);
        const struct leat_object *object = leat_snapshot_find(snapshot, "SCANS", false);
        CHECK(object != NULL && object->id == topic && object->kind == LEAT_OBJECT_TOPIC);
        const struct leat_topic_def *def = object->topic;
        CHECK_INT(def->column_count, 3);
        CHECK_STR(def->columns[1].name, "Weight");
        CHECK_INT(def->columns[1].type.scale, 3);
        CHECK(def->columns[0].not_null && !def->columns[1].not_null);
        CHECK_INT(def->keys[0], 0);
        CHECK_INT(def->watermark_column, 2);
        CHECK_INT(def->watermark_delay_us, 5000000);
        CHECK_INT(def->partitions, 4);
        CHECK_INT(def->retention_us, -1);
        CHECK_INT(def->retention_bytes, 1 << 30);
        CHECK_INT(def->topic_id[2], 3);
        object = leat_snapshot_get(snapshot, view);
        CHECK(object != NULL && object->read_count == 1 && object->reads[0] == topic);
        CHECK_STR(object->view->pipeline, "main");
        CHECK_INT(object->view->graph.len, 3);
        CHECK_INT(object->view->graph.data[1], 1);
        CHECK_INT(leat_columns_find(def->columns, 3, "weight"), 1);
        CHECK_INT(leat_columns_find(def->columns, 3, "nothing"), -1);
        CHECK(leat_snapshot_find(snapshot, "scans", true) == NULL);
        leat_arena_free(arena);
        leat_catalog_close(cat);
}

LEAT_TEST(dashboards_come_back)
{
        struct leat_catalog *cat = open_catalog();
        struct leat_arena *arena = leat_arena_new(0);
        const struct leat_snapshot *snapshot;
        const char *y[] = {"a", "b"};
        const struct leat_panel_def panel = {.name = "p",
                                             .title = "P",
                                             .type = LEAT_PANEL_BAR,
                                             .sql = "SELECT 1",
                                             .y_count = 2,
                                             .y = y,
                                             .has_alarm = true,
                                             .alarm = 2.5,
                                             .at = {1, 2, 3, 4}};
        const struct leat_variable_def variable = {.name = "site", .sql = "SELECT 's'", .default_value = "SEA1"};
        const struct leat_dashboard_def dashboard = {.title = "Wall",
                                                     .refresh_us = 500000,
                                                     .variable_count = 1,
                                                     .variables = &variable,
                                                     .panel_count = 1,
                                                     .panels = &panel};
        struct leat_object object = {.kind = LEAT_OBJECT_DASHBOARD,
                                     .state = LEAT_STATE_READY,
                                     .name = "scans",
                                     .sql = "",
                                     .dashboard = &dashboard};
        uint64_t id, version;
        put_topic(cat, "scans", NULL);
        CHECK_OK(leat_catalog_begin(cat, &err), &err);
        CHECK_OK(leat_catalog_put(cat, &object, &id, &err), &err);
        CHECK_OK(leat_catalog_commit(cat, &version, &err), &err);
        CHECK_OK(leat_catalog_load(cat, arena, &snapshot, &err), &err);
        const struct leat_dashboard_def *def = leat_snapshot_find(snapshot, "scans", true)->dashboard;
        CHECK_STR(def->panels[0].y[1], "b");
        CHECK(def->panels[0].x == NULL && def->panels[0].has_alarm && !def->panels[0].has_warn);
        CHECK(def->panels[0].alarm > 2.4 && def->panels[0].alarm < 2.6);
        CHECK_INT(def->panels[0].at[3], 4);
        CHECK_STR(def->variables[0].default_value, "SEA1");
        leat_arena_free(arena);
        leat_catalog_close(cat);
}

static int64_t cpu_us(void)
{
        struct timespec used;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
        return (int64_t)used.tv_sec * 1000000 + used.tv_nsec / 1000;
}

LEAT_TEST(versions_are_seen_by_others)
{
        struct leat_catalog *writer = open_catalog(), *reader = open_catalog();
        uint64_t before, after, committed;
        CHECK_OK(leat_catalog_version(reader, &before, &err), &err);
        put_topic(writer, "a", &committed);
        CHECK_OK(leat_catalog_version(reader, &after, &err), &err);
        CHECK_INT(after, before + 1);
        CHECK_INT(after, committed);
        CHECK_OK(leat_catalog_version(writer, &after, &err), &err);
        CHECK_INT(after, committed);
        int64_t start_us = cpu_us(); /* asking is cheap; what other programs take does not count */
        for (int i = 0; i < 1000; i++)
                CHECK_OK(leat_catalog_version(reader, &after, &err), &err);
        CHECK(cpu_us() - start_us < 1000000);
        leat_catalog_close(writer);
        leat_catalog_close(reader);
}

LEAT_TEST(names_are_unique_and_ids_never_come_again)
{
        struct leat_catalog *cat = open_catalog();
        struct leat_object object = {
                .kind = LEAT_OBJECT_TOPIC, .state = LEAT_STATE_READY, .name = "a", .sql = "", .topic = &scan_topic};
        uint64_t id, first = put_topic(cat, "a", NULL), version;
        CHECK_OK(leat_catalog_begin(cat, &err), &err);
        CHECK_INT(leat_catalog_put(cat, &object, &id, &err), LEAT_EEXISTS);
        CHECK_STR(err.message, "topic \"a\" already exists");
        leat_catalog_rollback(cat);
        CHECK_OK(leat_catalog_begin(cat, &err), &err);
        CHECK_OK(leat_catalog_delete(cat, first, &err), &err);
        CHECK_OK(leat_catalog_commit(cat, &version, &err), &err);
        CHECK(put_topic(cat, "a", NULL) > first);
        leat_catalog_close(cat);
}

LEAT_TEST(rollback_leaves_nothing)
{
        struct leat_catalog *cat = open_catalog();
        struct leat_arena *arena = leat_arena_new(0);
        const struct leat_snapshot *snapshot;
        struct leat_object object = {
                .kind = LEAT_OBJECT_TOPIC, .state = LEAT_STATE_READY, .name = "a", .sql = "", .topic = &scan_topic};
        uint64_t id, before, after;
        CHECK_OK(leat_catalog_version(cat, &before, &err), &err);
        CHECK_OK(leat_catalog_begin(cat, &err), &err);
        CHECK_OK(leat_catalog_put(cat, &object, &id, &err), &err);
        leat_catalog_rollback(cat);
        CHECK_OK(leat_catalog_load(cat, arena, &snapshot, &err), &err);
        CHECK_INT(snapshot->object_count, 0);
        CHECK_OK(leat_catalog_version(cat, &after, &err), &err);
        CHECK_INT(after, before);
        leat_arena_free(arena);
        leat_catalog_close(cat);
}

/* A process that dies between begin and commit leaves no trace; one that dies after commit leaves all. */
LEAT_TEST(death_inside_a_change)
{
        for (int committed = 0; committed < 2; committed++) {
                struct leat_arena *arena = leat_arena_new(0);
                const struct leat_snapshot *snapshot;
                leat_catalog_close(open_catalog());
                pid_t pid = fork();
                if (pid == 0) {
                        struct leat_catalog *child = open_catalog();
                        struct leat_object object = {.kind = LEAT_OBJECT_TOPIC,
                                                     .state = LEAT_STATE_CREATING,
                                                     .name = "a",
                                                     .sql = "",
                                                     .topic = &scan_topic};
                        struct leat_intent intent = {.kind = LEAT_INTENT_CREATE};
                        uint64_t version;
                        bool ok = leat_catalog_begin(child, NULL) == 0 &&
                                  leat_catalog_put(child, &object, &intent.object_id, NULL) == 0 &&
                                  leat_catalog_intent_add(child, &intent, &intent.id, NULL) == 0 &&
                                  (!committed || leat_catalog_commit(child, &version, NULL) == 0);
                        _exit(ok ? 0 : 1);
                }
                int status;
                CHECK(waitpid(pid, &status, 0) == pid && status == 0);
                struct leat_catalog *cat = open_catalog();
                struct leat_intent *intents;
                uint32_t count;
                CHECK_OK(leat_catalog_load(cat, arena, &snapshot, &err), &err);
                CHECK_INT(snapshot->object_count, committed);
                CHECK_OK(leat_catalog_intents(cat, arena, &intents, &count, &err), &err);
                CHECK_INT(count, committed);
                leat_catalog_close(cat);
                leat_arena_free(arena);
        }
}

static void damage(const char *path, size_t offset, const char *bytes, size_t len)
{
        int fd = open(path, O_RDWR);
        CHECK(fd >= 0 && pwrite(fd, bytes, len, (off_t)offset) == (ssize_t)len);
        close(fd);
}

LEAT_TEST(damaged_file_is_refused_by_name)
{
        char path[512];
        struct leat_catalog *cat = open_catalog();
        snprintf(path, sizeof path, "%s/catalog.db", leat_test_tmpdir());
        for (int i = 0; i < 50; i++) {
                char name[16];
                snprintf(name, sizeof name, "topic%d", i);
                put_topic(cat, name, NULL);
        }
        leat_catalog_close(cat);
        struct leat_buf bytes = LEAT_BUF_INIT;
        CHECK_OK(leat_os_read_file(path, 1 << 24, &bytes, &err), &err);
        char noise[3000];
        memset(noise, 0x5A, sizeof noise);
        damage(path, 8192, noise, sizeof noise);
        CHECK_INT(leat_catalog_open(path, &cat, &err), LEAT_ECORRUPT);
        CHECK(strstr(err.message, path) != NULL);
        damage(path, 0, "no database at all", 18);
        CHECK_INT(leat_catalog_open(path, &cat, &err), LEAT_ECORRUPT);
        CHECK(strstr(err.message, path) != NULL && err.hint[0] != 0);
        leat_buf_done(&bytes);
}

LEAT_TEST(flipped_bit_in_a_definition)
{
        char path[512];
        struct leat_catalog *cat = open_catalog();
        struct leat_arena *arena = leat_arena_new(0);
        const struct leat_snapshot *snapshot;
        struct leat_buf bytes = LEAT_BUF_INIT;
        snprintf(path, sizeof path, "%s/catalog.db", leat_test_tmpdir());
        put_topic(cat, "scans", NULL);
        leat_catalog_close(cat);
        CHECK_OK(leat_os_read_file(path, 1 << 24, &bytes, &err), &err);
        uint8_t *at = memmem(bytes.data, bytes.len, "package_id", 10);
        CHECK(at != NULL);
        damage(path, (size_t)(at - bytes.data), "qackage_id", 10);
        cat = open_catalog();
        CHECK_INT(leat_catalog_load(cat, arena, &snapshot, &err), LEAT_ECORRUPT);
        CHECK(strstr(err.message, "\"scans\" is damaged") != NULL);
        CHECK_INT(leat_catalog_verify(cat, &err), LEAT_ECORRUPT);
        leat_catalog_close(cat);
        leat_buf_done(&bytes);
        leat_arena_free(arena);
}

LEAT_TEST(short_definitions_are_refused)
{
        struct leat_buf bytes = LEAT_BUF_INIT;
        struct leat_object object = {.kind = LEAT_OBJECT_TOPIC, .topic = &scan_topic}, back;
        leat_object_encode(&object, &bytes);
        for (size_t len = 0; len <= bytes.len; len++) {
                struct leat_arena *arena = leat_arena_new(0);
                int rc = leat_object_decode(arena, LEAT_OBJECT_TOPIC, leat_view_of(bytes.data, len), &back, &err);
                CHECK_INT(rc, len == bytes.len ? 0 : LEAT_ECORRUPT);
                leat_arena_free(arena);
        }
        leat_buf_done(&bytes);
}

/* The roles of a new data directory all open it in the same moment; one makes the tables. */
LEAT_TEST(catalog_new_opened_by_several)
{
        for (int round = 0; round < 40; round++) {
                char path[512];
                int bad = 0, status;
                snprintf(path, sizeof path, "%s/new-%d.db", leat_test_tmpdir(), round);
                for (int i = 0; i < 4; i++) {
                        if (fork() == 0) {
                                struct leat_catalog *cat;
                                if (leat_catalog_open(path, &cat, &err) != 0) {
                                        fprintf(stderr, "# %s\n", err.message);
                                        _exit(1);
                                }
                                leat_catalog_close(cat);
                                _exit(0);
                        }
                }
                for (int i = 0; i < 4; i++)
                        bad += wait(&status) <= 0 || status != 0;
                CHECK_INT(bad, 0);
        }
}
