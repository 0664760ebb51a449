/* SPDX-License-Identifier: Apache-2.0 */
/* leat/state: what the model does not reach: refusals, the order of values, damage, failing calls, lost power. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>

#include "leat/os_test.h"
#include "state_test.h"

static const struct leat_type pair[] = {{.id = LEAT_T_BIGINT}, {.id = LEAT_T_VARCHAR}};

static struct leat_arr_def pair_def(void)
{
        return (struct leat_arr_def){
                .id = 7, .mode = LEAT_ARR_MAP, .key_count = 1, .column_count = 2, .types = pair, .time_column = -1};
}

static struct leat_batch *pair_rows(struct leat_arena *arena, int64_t from, uint32_t count, const char *text)
{
        struct leat_batch *rows = leat_batch_new(arena, pair, 2, count);
        rows->rows = count;
        for (uint32_t i = 0; i < count; i++) {
                ((int64_t *)rows->columns[0].data)[i] = from + i;
                char *value = leat_arena_printf(arena, "%s %lld", text, (long long)(from + i));
                ((struct leat_string *)rows->columns[1].data)[i] = leat_string_borrow(leat_view_str(value));
        }
        return rows;
}

static int open_pair(const char *dir, enum leat_state_role role, struct leat_state **ret, int64_t *ret_tick,
                     struct leat_buf *extra, struct leat_error *err)
{
        struct leat_state_options options = {.role = role, .dir = dir, .memory_bytes = 100000, .lock_wait_us = 1000};
        LEAT_TRY(leat_state_open(&options, ret, ret_tick, extra, err));
        struct leat_arr_def def = pair_def();
        int rc = leat_state_define(*ret, &def, err);
        if (rc != 0)
                leat_state_close(*ret);
        return rc;
}

/* Keys [0, count) have the text. */
static void check_pair(struct leat_state *state, uint32_t count, const char *text)
{
        struct leat_error err;
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_batch *want = pair_rows(arena, 0, count + 1, text), *rows;
        uint64_t *found;
        struct leat_state_snapshot *snapshot = leat_state_snapshot_take(state);
        CHECK_OK(leat_state_lookup(snapshot, 7, first_columns(arena, want, 1), arena, &rows, &found, &err), &err);
        for (uint32_t i = 0; i < count; i++)
                CHECK(leat_cell_eq(leat_column_cell(&rows->columns[1], i), leat_column_cell(&want->columns[1], i)));
        CHECK_INT((found[count >> 6] >> (count & 63)) & 1, 0);
        leat_state_snapshot_unref(snapshot);
        leat_arena_free(arena);
}

LEAT_TEST(state_refuses)
{
        struct leat_error err;
        struct leat_type child = leat_type_of(LEAT_T_VARCHAR);
        struct leat_type list[] = {{.id = LEAT_T_LIST, .child_count = 1, .children = &child}};
        struct leat_arr_def def = {.id = 1, .mode = LEAT_ARR_MAP, .column_count = 1, .types = list, .time_column = -1};
        struct leat_state *state;
        int64_t tick;
        CHECK_OK(open_pair(leat_test_tmpdir(), LEAT_STATE_WRITER, &state, &tick, NULL, &err), &err);
        CHECK_INT(leat_state_define(state, &def, &err), LEAT_EUNSUPPORTED);
        CHECK(strstr(err.message, "VARCHAR[]") != NULL);
        def = pair_def();
        def.key_count = 2;
        CHECK_INT(leat_state_define(state, &def, &err), LEAT_EEXISTS);
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_batch *rows = pair_rows(arena, 0, 3, "x");
        CHECK_OK(leat_state_apply(state, 7, 5, rows, NULL, &err), &err);
        CHECK_INT(leat_state_apply(state, 7, 4, rows, NULL, &err), LEAT_EINVAL);
        CHECK_INT(leat_state_apply(state, 8, 6, rows, NULL, &err), LEAT_ENOTFOUND);
        CHECK_INT(leat_state_publish(state, 4, leat_view_str(""), &err), LEAT_EINVAL);
        char *large = leat_arena_alloc(arena, LEAT_ROW_TEXT_MAX + 1);
        memset(large, 'x', LEAT_ROW_TEXT_MAX + 1);
        ((struct leat_string *)rows->columns[1].data)[1] =
                leat_string_borrow(leat_view_of(large, LEAT_ROW_TEXT_MAX + 1));
        CHECK_INT(leat_state_apply(state, 7, 6, rows, NULL, &err), LEAT_ETOOBIG);
        check_pair(state, 3, "x");
        leat_state_close(state);
        leat_arena_free(arena);
}

LEAT_TEST(state_one_writer)
{
        struct leat_error err;
        struct leat_state *first, *second;
        int64_t tick;
        CHECK_OK(open_pair(leat_test_tmpdir(), LEAT_STATE_WRITER, &first, &tick, NULL, &err), &err);
        CHECK_INT(open_pair(leat_test_tmpdir(), LEAT_STATE_WRITER, &second, &tick, NULL, &err), LEAT_EBUSY);
        leat_state_close(first);
        CHECK_OK(open_pair(leat_test_tmpdir(), LEAT_STATE_WRITER, &second, &tick, NULL, &err), &err);
        leat_state_close(second);
}

static int cmp_of(enum leat_type_id id, const void *a, const void *b)
{
        struct leat_type type = leat_type_of(id);
        uint32_t width = leat_type_bytes(&type);
        return leat_cell_cmp(&type, (struct leat_cell){a, width}, (struct leat_cell){b, width});
}

LEAT_TEST(state_order_of_values)
{
        double nan = NAN, one = 1, inf = INFINITY;
        int64_t low = INT64_MIN, high = INT64_MAX;
        uint64_t top = UINT64_MAX, zero = 0;
        __int128 minus = -1, plus = 1;
        CHECK_INT(cmp_of(LEAT_T_DOUBLE, &nan, &inf), 1);
        CHECK_INT(cmp_of(LEAT_T_DOUBLE, &nan, &nan), 0);
        CHECK_INT(cmp_of(LEAT_T_DOUBLE, &one, &nan), -1);
        CHECK_INT(cmp_of(LEAT_T_BIGINT, &low, &high), -1);
        CHECK_INT(cmp_of(LEAT_T_UBIGINT, &top, &zero), 1);
        CHECK_INT(cmp_of(LEAT_T_HUGEINT, &minus, &plus), -1);
        CHECK_INT(cmp_of(LEAT_T_UHUGEINT, &minus, &plus), 1);
        CHECK_INT(cmp_of(LEAT_T_BIGINT, NULL, &low), 1);
        CHECK_INT(cmp_of(LEAT_T_BIGINT, &high, NULL), -1);
        struct leat_type text = leat_type_of(LEAT_T_VARCHAR);
        CHECK_INT(leat_cell_cmp(&text, (struct leat_cell){"ab", 2}, (struct leat_cell){"abc", 3}), -1);
        CHECK_INT(leat_cell_cmp(&text, (struct leat_cell){"b", 1}, (struct leat_cell){"abc", 3}), 1);
}

static int64_t weight_of(struct leat_state *state)
{
        struct leat_error err;
        struct leat_state_snapshot *snapshot = leat_state_snapshot_take(state);
        struct leat_scan *scan;
        const struct leat_batch *rows;
        const int64_t *weights;
        int64_t sum = 0;
        CHECK_OK(leat_scan_open(snapshot, 7, NULL, 0, &scan, &err), &err);
        for (;;) {
                CHECK_OK(leat_scan_next(scan, &rows, &weights, &err), &err);
                if (rows == NULL)
                        break;
                for (uint32_t i = 0; i < rows->rows; i++)
                        sum += weights[i];
        }
        leat_scan_close(scan);
        leat_state_snapshot_unref(snapshot);
        return sum;
}

/* A manifest that is ahead of a reader waits for it; one that is behind takes no tick away and doubles none. */
LEAT_TEST(state_refresh_never_jumps)
{
        struct leat_error err;
        struct leat_state *state[2];
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_arr_def def = pair_def();
        int64_t tick;
        def.mode = LEAT_ARR_MULTISET;
        for (int i = 0; i < 2; i++) {
                struct leat_state_options options = {.role = i ? LEAT_STATE_READER : LEAT_STATE_WRITER,
                                                     .dir = leat_test_tmpdir()};
                CHECK_OK(leat_state_open(&options, &state[i], &tick, NULL, &err), &err);
                CHECK_OK(leat_state_define(state[i], &def, &err), &err);
        }
        struct leat_batch *rows = pair_rows(arena, 0, 10, "x");
        for (int64_t t = 1; t <= 5; t++)
                CHECK_OK(leat_state_apply(state[0], 7, t, rows, NULL, &err), &err);
        CHECK_OK(leat_state_publish(state[0], 5, leat_view_str(""), &err), &err);
        for (int64_t t = 1; t <= 3; t++)
                CHECK_OK(leat_state_apply(state[1], 7, t, rows, NULL, &err), &err);
        CHECK_OK(leat_state_refresh(state[1], &tick, &err), &err);
        CHECK_INT(tick, 3);
        CHECK_INT(weight_of(state[1]), 30);
        for (int64_t t = 4; t <= 8; t++) {
                CHECK_OK(leat_state_apply(state[1], 7, t, rows, NULL, &err), &err);
                CHECK_INT(weight_of(state[1]), t * 10);
        }
        CHECK_OK(leat_state_refresh(state[1], &tick, &err), &err);
        CHECK_INT(tick, 8);
        CHECK_INT(weight_of(state[1]), 80);
        CHECK(leat_state_stats(state[1], 7).disk_bytes != 0);
        leat_state_close(state[0]);
        leat_state_close(state[1]);
        leat_arena_free(arena);
}

/* ---- damage ------------------------------------------------------------------------- */

static void count_damage(void *arg, const char *file, const char *what)
{
        (void)file;
        (void)what;
        ++*(int *)arg;
}

static int scan_all(struct leat_state *state, struct leat_error *err)
{
        struct leat_state_snapshot *snapshot = leat_state_snapshot_take(state);
        struct leat_scan *scan;
        const struct leat_batch *rows;
        const int64_t *weights;
        int rc = leat_scan_open(snapshot, 7, NULL, 0, &scan, err);
        if (rc == 0) {
                do
                        rc = leat_scan_next(scan, &rows, &weights, err);
                while (rc == 0 && rows != NULL);
                leat_scan_close(scan);
        }
        leat_state_snapshot_unref(snapshot);
        return rc;
}

static int find_run(void *arg, const char *name, bool is_dir)
{
        (void)is_dir;
        if (strncmp(name, "run-", 4) == 0)
                snprintf(arg, 4096, "%s/%s", leat_test_tmpdir(), name);
        return 0;
}

/* A key with more rows than fit into many blocks, rows larger than a block commonly is, over several runs. */
LEAT_TEST(state_hot_key)
{
        static const struct leat_type types[] = {{.id = LEAT_T_INTEGER}, {.id = LEAT_T_BIGINT}, {.id = LEAT_T_VARCHAR}};
        struct leat_arr_def def = {.id = 3,
                                   .mode = LEAT_ARR_MULTISET,
                                   .key_count = 1,
                                   .order_count = 1,
                                   .column_count = 3,
                                   .types = types,
                                   .time_column = -1};
        enum { TICKS = 20, ROWS = 5000, LARGE = 1 << 20 };
        struct leat_error err;
        struct leat_state *state;
        struct leat_arena *arena = leat_arena_new(0);
        int64_t tick;
        struct leat_state_options options = {
                .role = LEAT_STATE_WRITER, .dir = leat_test_tmpdir(), .memory_bytes = 1 << 20};
        CHECK_OK(leat_state_open(&options, &state, &tick, NULL, &err), &err);
        CHECK_OK(leat_state_define(state, &def, &err), &err);
        char *large = leat_arena_alloc(arena, LARGE);
        memset(large, 'x', LARGE);
        for (int64_t t = 0; t < TICKS; t++) {
                struct leat_batch *rows = leat_batch_new(arena, types, 3, ROWS + 1);
                rows->rows = ROWS + 1;
                for (uint32_t i = 0; i <= ROWS; i++) {
                        /* Row 0 is another key with a large value; the others ascend through all ticks. */
                        ((int32_t *)rows->columns[0].data)[i] = i == 0 ? 2 : 1;
                        ((int64_t *)rows->columns[1].data)[i] = i == 0 ? t : (int64_t)(i - 1) * TICKS + t;
                        ((struct leat_string *)rows->columns[2].data)[i] =
                                leat_string_borrow(leat_view_of(large, i == 0 ? LARGE - (size_t)t : 3));
                }
                CHECK_OK(leat_state_apply(state, 3, t + 1, rows, NULL, &err), &err);
                if (t == TICKS / 2)
                        CHECK_OK(leat_state_publish(state, t + 1, leat_view_of(NULL, 0), &err), &err);
        }
        struct leat_state_snapshot *snapshot = leat_state_snapshot_take(state);
        struct leat_batch *keys = leat_batch_new(arena, types, 1, 2);
        keys->rows = 2;
        ((int32_t *)keys->columns[0].data)[0] = 1;
        ((int32_t *)keys->columns[0].data)[1] = 2;
        struct leat_gather *g;
        uint64_t next[2] = {0, 0};
        CHECK_OK(leat_gather_open(snapshot, 3, keys, NULL, &g, &err), &err);
        for (;;) {
                const struct leat_batch *rows;
                const uint32_t *ordinals;
                const int64_t *weights;
                CHECK_OK(leat_gather_next(g, &rows, &ordinals, &weights, &err), &err);
                if (rows == NULL)
                        break;
                for (uint32_t i = 0; i < rows->rows; i++) {
                        CHECK_INT(((int64_t *)rows->columns[1].data)[i], (int64_t)next[ordinals[i]]);
                        CHECK_INT(leat_column_cell(&rows->columns[2], i).len,
                                  ordinals[i] == 0 ? 3 : (int64_t)(LARGE - next[1]));
                        CHECK_INT(weights[i], 1);
                        next[ordinals[i]]++;
                }
        }
        leat_gather_close(g);
        CHECK_INT(next[0], TICKS * ROWS);
        CHECK_INT(next[1], TICKS);
        leat_state_snapshot_unref(snapshot);
        leat_state_close(state);
        leat_arena_free(arena);
}

/* Integers at both sides of each width that differences to a base can have, and text at both sides of short ends. */
LEAT_TEST(state_block_widths)
{
        static const struct leat_type types[] = {{.id = LEAT_T_SMALLINT}, {.id = LEAT_T_UINTEGER},
                                                 {.id = LEAT_T_BIGINT},   {.id = LEAT_T_HUGEINT},
                                                 {.id = LEAT_T_UHUGEINT}, {.id = LEAT_T_VARCHAR}};
        enum { COLUMNS = LEAT_ARRAY_LEN(types), ROWS = 5 };
        struct leat_arena *arena = leat_arena_new(0);
        char *text = leat_arena_alloc(arena, 1u << 17);
        memset(text, 'y', 1u << 17);
        for (uint32_t bits = 1; bits <= 128; bits++) {
                for (int more = -1; more <= 1; more++) {
                        struct leat_batch *rows = leat_batch_new(arena, types, COLUMNS, ROWS);
                        __uint128_t span = (bits == 128 ? 0 : (__uint128_t)1 << bits) + (__uint128_t)more;
                        int64_t weights[ROWS] = {1, (int64_t)((uint64_t)span + 1), 3, 4, -1};
                        rows->rows = ROWS;
                        for (uint32_t i = 0; i < ROWS; i++) {
                                /* From a low value that is negative where it can be, up by the span. */
                                __uint128_t v = (__uint128_t)-7 + (i == 1 ? span : i == 2 ? span / 2 : 0);
                                for (uint32_t c = 0; c + 1 < COLUMNS; c++)
                                        memcpy((uint8_t *)rows->columns[c].data +
                                                       (size_t)i * leat_type_bytes(&types[c]),
                                               &v, leat_type_bytes(&types[c]));
                                size_t len = i == 1 ? (size_t)(span & 0x1ffff) : i;
                                ((struct leat_string *)rows->columns[5].data)[i] =
                                        leat_string_borrow(leat_view_of(text, len));
                        }
                        leat_column_make_validity(arena, &rows->columns[1], ROWS);
                        leat_column_set_null(&rows->columns[1], bits % ROWS);
                        struct leat_buf out = LEAT_BUF_INIT;
                        CHECK(leat_block_encode(&out, rows, NULL, 0, ROWS, weights));
                        CHECK(leat_block_check(out.data, out.len, types, COLUMNS, ROWS));
                        for (uint32_t i = 0; i < ROWS; i++) {
                                for (uint32_t c = 0; c < COLUMNS; c++) {
                                        struct leat_cell_room room;
                                        CHECK(leat_cell_eq(leat_block_cell(out.data, c, i, &room),
                                                           leat_column_cell(&rows->columns[c], i)));
                                }
                                CHECK_INT(leat_block_weight(out.data, COLUMNS, i), weights[i]);
                        }
                        leat_buf_done(&out);
                }
        }
        leat_arena_free(arena);
}

/* What a manifest names stays for one manifest more, over a restart too: a reader may be opening it. */
LEAT_TEST(state_files_stay_for_a_manifest)
{
        struct leat_error err;
        struct leat_state *state;
        struct leat_arena *arena = leat_arena_new(0);
        const char *dir = leat_test_tmpdir();
        char path[4096] = "";
        int64_t tick;
        CHECK_OK(open_pair(dir, LEAT_STATE_WRITER, &state, &tick, NULL, &err), &err);
        CHECK_OK(leat_state_apply(state, 7, 1, pair_rows(arena, 0, 600, "value of"), NULL, &err), &err);
        CHECK_OK(leat_state_publish(state, 1, leat_view_str("x"), &err), &err);
        CHECK_OK(leat_os_list(dir, find_run, path, &err), &err);
        CHECK_OK(leat_state_drop(state, 7, &err), &err);
        CHECK_OK(leat_state_publish(state, 2, leat_view_str("x"), &err), &err);
        CHECK(leat_os_exists(path));
        leat_state_close(state);
        CHECK_OK(open_pair(dir, LEAT_STATE_WRITER, &state, &tick, NULL, &err), &err);
        CHECK(leat_os_exists(path));
        CHECK_OK(leat_state_publish(state, 3, leat_view_str("x"), &err), &err);
        CHECK(!leat_os_exists(path));
        leat_state_close(state);
        leat_arena_free(arena);
}

/* Sections of version 1 are read, those and runs of another one refused by name. */
LEAT_TEST(state_versions)
{
        struct leat_error err;
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_buf bytes = LEAT_BUF_INIT;
        leat_state_section_encode(7, pair_rows(arena, 0, 1, "value of"), NULL, &bytes);
        for (uint8_t version = 0; version < 4; version++) {
                uint64_t arr;
                struct leat_batch *rows;
                int64_t *weights;
                bytes.data[4] = version;
                leat_put_le32(bytes.data + bytes.len - 4, leat_crc32c(0, bytes.data, bytes.len - 4));
                int rc = leat_state_section_decode(arena, leat_buf_view(&bytes), &arr, &rows, &weights, &err);
                CHECK_INT(rc, version == 1 || version == 2 ? 0 : LEAT_EUNSUPPORTED);
                if (rc != 0)
                        CHECK(strstr(err.message, "this program reads version 2") != NULL);
        }
        leat_buf_done(&bytes);
        struct leat_arr_def def = pair_def();
        struct leat_arr *arr = leat_arr_new(&def, 1);
        struct leat_run run = {.info = {.prefix_bits = 1, .rows = 1, .keys = 1}}, read = {0};
        leat_footer_encode(arr, &run, leat_view_of(NULL, 0), &bytes);
        bytes.data[4] = 1;
        leat_put_le32(bytes.data + bytes.len - LEAT_FOOTER_TAIL,
                      leat_crc32c(0, bytes.data, bytes.len - LEAT_FOOTER_TAIL));
        CHECK_INT(leat_footer_decode(leat_buf_view(&bytes), arr, &read, &err), LEAT_EUNSUPPORTED);
        CHECK_STR(err.message, "run of version 1, this program reads version 2");
        leat_buf_done(&bytes);
        leat_arr_unref(arr);
        leat_arena_free(arena);
}

/* Any bit that is flipped in a run file is found by verify, or lies in the padding; and reading never goes wrong. */
LEAT_TEST(state_bit_flips)
{
        struct leat_error err;
        struct leat_state *state;
        struct leat_arena *arena = leat_arena_new(0);
        const char *dir = leat_test_tmpdir();
        char path[4096] = "";
        int64_t tick;
        CHECK_OK(open_pair(dir, LEAT_STATE_WRITER, &state, &tick, NULL, &err), &err);
        CHECK_OK(leat_state_apply(state, 7, 1, pair_rows(arena, 0, 600, "value of"), NULL, &err), &err);
        CHECK_OK(leat_state_publish(state, 1, leat_view_str("x"), &err), &err);
        leat_state_close(state);
        CHECK_OK(leat_os_list(dir, find_run, path, &err), &err);
        int fd, found = 0, tried = 0;
        int64_t bytes;
        CHECK_OK(leat_os_open(path, O_RDWR, &fd, &err), &err);
        CHECK_OK(leat_os_size(fd, path, &bytes, &err), &err);
        struct rng rng = {leat_test_seed()};
        for (int i = 0; i < 300; i++, tried++) {
                int64_t at = (int64_t)(rng_next(&rng) % (uint64_t)bytes);
                uint8_t byte, bad;
                size_t got;
                CHECK_OK(leat_os_pread(fd, path, &byte, 1, at, &got, &err), &err);
                bad = byte ^ (uint8_t)(1u << rng_below(&rng, 8));
                CHECK_OK(leat_os_pwrite(fd, path, leat_view_of(&bad, 1), at, &err), &err);
                int damage = 0;
                CHECK_OK(leat_state_verify(dir, count_damage, &damage, &err), &err);
                found += damage != 0;
                int rc = open_pair(dir, LEAT_STATE_READER, &state, &tick, NULL, &err);
                if (rc == 0) {
                        rc = scan_all(state, &err);
                        if (rc == 0 && damage == 0)
                                check_pair(state, 600, "value of");
                        leat_state_close(state);
                }
                CHECK(rc == 0 || rc == LEAT_ECORRUPT || rc == LEAT_EUNSUPPORTED);
                CHECK(damage != 0 || rc == 0);
                CHECK_OK(leat_os_pwrite(fd, path, leat_view_of(&byte, 1), at, &err), &err);
        }
        CHECK(found > tried * 9 / 10);
        leat_os_close(fd);
        leat_arena_free(arena);
}

LEAT_TEST(state_damaged_manifest)
{
        struct leat_error err;
        struct leat_state *state;
        int64_t tick;
        const char *dir = leat_test_tmpdir();
        char path[4096];
        CHECK_OK(open_pair(dir, LEAT_STATE_WRITER, &state, &tick, NULL, &err), &err);
        CHECK_OK(leat_state_publish(state, 1, leat_view_str("x"), &err), &err);
        CHECK_OK(leat_state_publish(state, 2, leat_view_str("x"), &err), &err);
        leat_state_close(state);
        leat_manifest_path(dir, 2, path, sizeof path);
        CHECK_OK(leat_os_replace_file(path, leat_view_str("rubbish of some length, but no manifest at all"), false,
                                      &err),
                 &err);
        CHECK_INT(open_pair(dir, LEAT_STATE_WRITER, &state, &tick, NULL, &err), LEAT_ECORRUPT);
        CHECK(strstr(err.message, "manifest-00000000000000000002") != NULL);
}

/* ---- failing calls, lost power ---------------------------------------------------------- */

/* What a worker does: ticks, merges and manifests, until something fails. Extra is the number of the tick. */
static void work(const char *dir, int64_t ticks, int64_t *ret_published)
{
        struct leat_error err;
        struct leat_state *state = NULL;
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_buf extra = LEAT_BUF_INIT;
        int64_t tick;
        bool more;
        *ret_published = 0;
        int rc = open_pair(dir, LEAT_STATE_WRITER, &state, &tick, &extra, &err);
        if (rc != 0)
                state = NULL;
        for (int64_t i = tick + 1; rc == 0 && i <= tick + ticks; i++) {
                char text[32];
                snprintf(text, sizeof text, "%lld", (long long)i);
                rc = leat_state_apply(state, 7, i, pair_rows(arena, 0, 400, text), NULL, &err);
                if (rc == 0)
                        rc = leat_state_publish(state, i, leat_view_str(text), &err);
                if (rc == 0)
                        *ret_published = i;
                if (rc == 0)
                        rc = leat_state_merge(state, 1000, &more, &err);
        }
        if (state != NULL && rc != 0 && *ret_published != 0)
                check_pair(state, 400, leat_arena_printf(arena, "%lld", (long long)leat_state_tick(state)));
        leat_state_close(state);
        leat_buf_done(&extra);
        leat_arena_free(arena);
}

/* The folder holds a whole tick, at least @published. */
static void check_folder(const char *dir, int64_t published)
{
        struct leat_error err;
        struct leat_state *state;
        struct leat_buf extra = LEAT_BUF_INIT;
        int64_t tick;
        int damage = 0;
        CHECK_OK(open_pair(dir, LEAT_STATE_WRITER, &state, &tick, &extra, &err), &err);
        CHECK_INT(LEAT_MIN(tick, published), published);
        if (tick > 0) {
                char text[32];
                snprintf(text, sizeof text, "%lld", (long long)tick);
                CHECK_STR(leat_buf_cstr(&extra), text);
                check_pair(state, 400, text);
        }
        CHECK_OK(leat_state_verify(dir, count_damage, &damage, &err), &err);
        CHECK_INT(damage, 0);
        leat_state_close(state);
        leat_buf_done(&extra);
}

static int no_sync(int fd)
{
        (void)fd;
        return 0;
}

LEAT_TEST(state_each_call_fails)
{
        /* The real disk's syncs would take most of the time and change nothing here. */
        leat_os.fsync = leat_os.fdatasync = no_sync;
        for (uint64_t n = 1;; n++) {
                char dir[4096];
                int64_t published;
                snprintf(dir, sizeof dir, "%s/%llu", leat_test_tmpdir(), (unsigned long long)n);
                leat_fault_install();
                leat_fault_add(
                        (struct leat_fault){.kind = LEAT_FAULT_WRITES, .nth = n, .os_errno = n % 2 ? EIO : ENOSPC});
                work(dir, 10, &published);
                uint64_t fired = leat_fault_fired();
                leat_fault_remove();
                check_folder(dir, published);
                if (fired == 0)
                        break;
        }
        leat_os = leat_os_system;
}

LEAT_TEST(state_power_loss)
{
        for (int round = 0; round < 160 * leat_test_scale(); round++) {
                struct leat_error err;
                char dir[4096];
                int64_t published;
                uint64_t seed = leat_test_seed() + (uint64_t)round;
                snprintf(dir, sizeof dir, "%s/%d", leat_test_tmpdir(), round);
                struct leat_simdisk *disk = leat_simdisk_new(leat_test_tmpdir());
                leat_fault_install();
                leat_fault_add((struct leat_fault){.kind = LEAT_FAULT_WRITES,
                                                   .nth = 1 + (uint64_t)round % 160,
                                                   .times = LEAT_FAULT_FOREVER,
                                                   .os_errno = EIO});
                work(dir, 12, &published);
                leat_fault_remove();
                leat_simdisk_power_loss(disk, seed);
                check_folder(dir, published);
                leat_simdisk_free(disk);
                CHECK_OK(leat_os_remove_tree(dir, &err), &err);
        }
}

static int count_run(void *arg, const char *name, bool is_dir)
{
        (void)is_dir;
        *(int *)arg += strncmp(name, "run-", 4) == 0;
        return 0;
}

/* The names of runs are on the disk before there is a manifest that counts on them: when the power goes right before it
 * gets its name, they are there. A disk that keeps names in another order than they were made needs this. */
LEAT_TEST(state_runs_are_kept_before_their_manifest)
{
        struct leat_error err;
        char dir[4096];
        snprintf(dir, sizeof dir, "%s/state", leat_test_tmpdir());
        struct leat_simdisk *disk = leat_simdisk_new(leat_test_tmpdir());
        struct leat_arena *arena = leat_arena_new(0);
        struct leat_state *state;
        int64_t tick;
        int runs = 0;
        CHECK_OK(open_pair(dir, LEAT_STATE_WRITER, &state, &tick, NULL, &err), &err);
        CHECK_OK(leat_state_apply(state, 7, 1, pair_rows(arena, 0, 100, "x"), NULL, &err), &err);
        leat_fault_install();
        leat_fault_add((struct leat_fault){.kind = LEAT_FAULT_RENAME, .path = "manifest", .os_errno = EIO});
        CHECK_INT(leat_state_publish(state, 1, leat_view_str("1"), &err), LEAT_EIO);
        CHECK_INT(leat_fault_fired(), 1);
        leat_fault_remove();
        leat_simdisk_power_loss(disk, 0); /* nothing that was not synced */
        CHECK_OK(leat_os_list(dir, count_run, &runs, &err), &err);
        CHECK(runs > 0);
        leat_state_close(state);
        leat_simdisk_free(disk);
        leat_arena_free(arena);
}

/* ---- threads -------------------------------------------------------------------------- */

struct readers {
        pthread_mutex_t mutex;
        struct leat_state_snapshot *snapshot; /* the newest */
        bool stop;
};

/* Every snapshot holds whole ticks: all keys have the same text. */
static void *read_on(void *arg)
{
        struct readers *r = arg;
        for (;;) {
                pthread_mutex_lock(&r->mutex);
                struct leat_state_snapshot *snapshot =
                        r->snapshot != NULL ? leat_state_snapshot_ref(r->snapshot) : NULL;
                bool stop = r->stop;
                pthread_mutex_unlock(&r->mutex);
                if (stop) {
                        leat_state_snapshot_unref(snapshot);
                        return NULL;
                }
                struct leat_error err;
                struct leat_arena *arena = leat_arena_new(0);
                struct leat_batch *want = pair_rows(arena, 0, 300, "x"), *rows;
                uint64_t *found;
                int64_t same = 0;
                if (snapshot != NULL) {
                        LEAT_ASSERT(leat_state_lookup(snapshot, 7, first_columns(arena, want, 1), arena, &rows, &found,
                                                      &err) == 0);
                        for (uint32_t i = 0; i < 300; i++) {
                                struct leat_cell cell = leat_column_cell(&rows->columns[1], i);
                                int64_t tick = strtoll(leat_arena_strndup(arena, cell.data, cell.len), NULL, 10);
                                LEAT_ASSERT(i == 0 || tick == same);
                                same = tick;
                        }
                        LEAT_ASSERT(same == leat_state_snapshot_tick(snapshot));
                }
                leat_state_snapshot_unref(snapshot);
                leat_arena_free(arena);
        }
}

LEAT_TEST(state_snapshots_in_threads)
{
        struct leat_error err;
        struct leat_state *state;
        struct readers r = {.mutex = PTHREAD_MUTEX_INITIALIZER};
        pthread_t threads[2];
        int64_t tick;
        bool more;
        CHECK_OK(open_pair(leat_test_tmpdir(), LEAT_STATE_WRITER, &state, &tick, NULL, &err), &err);
        for (int i = 0; i < 2; i++)
                CHECK_INT(pthread_create(&threads[i], NULL, read_on, &r), 0);
        for (int64_t t = 1; t <= 150; t++) {
                struct leat_arena *arena = leat_arena_new(0);
                char text[32];
                snprintf(text, sizeof text, "%lld", (long long)t);
                CHECK_OK(leat_state_apply(state, 7, t, pair_rows(arena, 0, 300, text), NULL, &err), &err);
                if (t % 5 == 0)
                        CHECK_OK(leat_state_publish(state, t, leat_view_str(text), &err), &err);
                CHECK_OK(leat_state_merge(state, 500, &more, &err), &err);
                pthread_mutex_lock(&r.mutex);
                leat_state_snapshot_unref(r.snapshot);
                r.snapshot = leat_state_snapshot_take(state);
                pthread_mutex_unlock(&r.mutex);
                leat_arena_free(arena);
        }
        pthread_mutex_lock(&r.mutex);
        r.stop = true;
        pthread_mutex_unlock(&r.mutex);
        for (int i = 0; i < 2; i++)
                pthread_join(threads[i], NULL);
        leat_state_snapshot_unref(r.snapshot);
        leat_state_close(state);
}
