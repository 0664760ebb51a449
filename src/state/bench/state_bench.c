/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/state: upserts a second. Each tick looks 20,000 random keys up, adds to
 * their values and applies them; merges run in between, manifests every 200
 * ticks; all in one thread. The CPU is that of the whole process, system calls
 * included. Keys are loaded first and not counted.
 *
 *   bench_state [two|wide] [million keys] [million upserts] [folder]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "leat/os.h"
#include "leat/state.h"

#define TICK_ROWS 20000u

static uint64_t rng_state = 42;

static uint64_t next_random(void)
{
        rng_state += 0x9E3779B97F4A7C15ull;
        uint64_t z = rng_state;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
        return z ^ (z >> 31);
}

static double cpu_s(void)
{
        struct rusage use;
        getrusage(RUSAGE_SELF, &use);
        return (double)use.ru_utime.tv_sec + (double)use.ru_utime.tv_usec * 1e-6 + (double)use.ru_stime.tv_sec +
               (double)use.ru_stime.tv_usec * 1e-6;
}

static void need(int rc, const struct leat_error *err)
{
        if (rc == 0)
                return;
        fprintf(stderr, "%s: %s\n", leat_code_name(rc), err->message);
        exit(1);
}

struct bench {
        struct leat_state *state;
        struct leat_arr_def def;
        struct leat_arena *arena;
        uint64_t keys;
        int64_t tick;
        bool wide;
        bool lookup;
};

static void make_key(const struct bench *b, struct leat_batch *rows, uint32_t i, uint64_t key)
{
        if (!b->wide) {
                ((int64_t *)rows->columns[0].data)[i] = (int64_t)key;
                return;
        }
        char text[32];
        int len = snprintf(text, sizeof text, "package-%012llu", (unsigned long long)key);
        char *copy = leat_arena_strndup(b->arena, text, (size_t)len);
        ((struct leat_string *)rows->columns[0].data)[i] = leat_string_borrow(leat_view_of(copy, (size_t)len));
}

/* Columns 2 to 7 of a wide row: about 200 bytes with the key. */
static void fill_wide(struct leat_batch *rows, uint32_t i, uint64_t key)
{
        static const char *const stations[] = {"station-north-01", "station-south-02", "station-east-03",
                                               "station-west-04"};
        static const char text[] = "handed over at the back door to a neighbour who was at home, no signature, "
                                   "left with a card in the letter box, second try is not planned for this one, thanks";
        ((struct leat_string *)rows->columns[2].data)[i] = leat_string_borrow(leat_view_str(stations[key & 3]));
        ((int64_t *)rows->columns[3].data)[i] = (int64_t)(key * 1000);
        ((double *)rows->columns[4].data)[i] = (double)key / 7;
        ((int32_t *)rows->columns[5].data)[i] = (int32_t)(key % 30000);
        ((struct leat_string *)rows->columns[6].data)[i] =
                leat_string_borrow(leat_view_of(text + key % 16, sizeof text - 1 - 40));
}

static void tick(struct bench *b, uint64_t first_key, bool random)
{
        struct leat_error err;
        leat_arena_reset(b->arena);
        struct leat_batch *rows = leat_batch_new(b->arena, b->def.types, b->def.column_count, TICK_ROWS);
        rows->rows = TICK_ROWS;
        for (uint32_t i = 0; i < TICK_ROWS; i++) {
                uint64_t key = random ? next_random() % b->keys : first_key + i;
                make_key(b, rows, i, key);
                ((int64_t *)rows->columns[1].data)[i] = 1;
                if (b->wide)
                        fill_wide(rows, i, key);
        }
        if (b->lookup) {
                struct leat_batch keys = {.rows = TICK_ROWS, .column_count = 1, .columns = rows->columns};
                struct leat_batch *old;
                uint64_t *found;
                struct leat_state_snapshot *snapshot = leat_state_snapshot_take(b->state);
                need(leat_state_lookup(snapshot, 1, &keys, b->arena, &old, &found, &err), &err);
                for (uint32_t i = 0; i < TICK_ROWS; i++)
                        ((int64_t *)rows->columns[1].data)[i] += ((int64_t *)old->columns[1].data)[i];
                need(leat_state_apply(b->state, 1, ++b->tick, rows, NULL, &err), &err);
                leat_state_snapshot_unref(snapshot);
        } else {
                need(leat_state_apply(b->state, 1, ++b->tick, rows, NULL, &err), &err);
        }
        bool more = true;
        need(leat_state_merge(b->state, 5000, &more, &err), &err);
        if (b->tick % 200 == 0)
                need(leat_state_publish(b->state, b->tick, leat_view_of(NULL, 0), &err), &err);
}

int main(int argc, char **argv)
{
        struct leat_error err;
        struct bench b = {.wide = argc > 1 && strcmp(argv[1], "wide") == 0};
        b.keys = (uint64_t)((argc > 2 ? atof(argv[2]) : 4) * 1e6);
        uint64_t upserts = (uint64_t)((argc > 3 ? atof(argv[3]) : 20) * 1e6);
        char dir[256];
        snprintf(dir, sizeof dir, "%s/leat-bench-state-%d", argc > 4 ? argv[4] : "/tmp", (int)getpid());
        struct leat_type two[] = {leat_type_of(LEAT_T_BIGINT), leat_type_of(LEAT_T_BIGINT)};
        struct leat_type wide[] = {leat_type_of(LEAT_T_VARCHAR), leat_type_of(LEAT_T_BIGINT),
                                   leat_type_of(LEAT_T_VARCHAR), leat_type_of(LEAT_T_TIMESTAMP),
                                   leat_type_of(LEAT_T_DOUBLE),  leat_type_of(LEAT_T_INTEGER),
                                   leat_type_of(LEAT_T_VARCHAR)};
        b.def = (struct leat_arr_def){.id = 1,
                                      .mode = LEAT_ARR_MAP,
                                      .key_count = 1,
                                      .column_count = b.wide ? 7 : 2,
                                      .types = b.wide ? wide : two,
                                      .time_column = -1};
        struct leat_state_options options = {.role = LEAT_STATE_WRITER, .dir = dir};
        int64_t at;
        b.arena = leat_arena_new(1u << 20);
        need(leat_state_open(&options, &b.state, &at, NULL, &err), &err);
        need(leat_state_define(b.state, &b.def, &err), &err);
        double load_start = cpu_s();
        for (uint64_t key = 0; key < b.keys; key += TICK_ROWS)
                tick(&b, key, false);
        double load = cpu_s() - load_start;
        b.lookup = true;
        double start = cpu_s();
        int64_t wall = leat_os_monotonic_us();
        for (uint64_t done = 0; done < upserts; done += TICK_ROWS)
                tick(&b, 0, true);
        double cpu = cpu_s() - start;
        wall = leat_os_monotonic_us() - wall;
        struct leat_arr_stats stats = leat_state_stats(b.state, 1);
        printf("state %s: keys %.1f M, upserts %.1f M: %.0f ns CPU each, %.2f M/s a core, %.2f M/s by the clock; "
               "load %.0f ns a key; runs %llu, %.0f MB on disk\n",
               b.wide ? "7 columns of 200 bytes" : "2 columns", (double)b.keys * 1e-6, (double)upserts * 1e-6,
               cpu / (double)upserts * 1e9, (double)upserts / cpu * 1e-6, (double)upserts / (double)wall,
               load / (double)b.keys * 1e9, (unsigned long long)stats.runs, (double)stats.disk_bytes * 1e-6);
        leat_state_close(b.state);
        leat_arena_free(b.arena);
        need(leat_os_remove_tree(dir, &err), &err);
        return 0;
}
