/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/state: upserts a second. Each tick looks 20,000 random keys up, adds to
 * their values and applies them; merges run in between, manifests every 200
 * ticks; all in one thread. Keys are loaded first and not counted.
 *
 *   bench_state [two|wide] [million upserts a round] [rounds] [million keys]... [folder]
 *
 * With several sizes (default 4 and 50) each has a state of its own, and rounds
 * take turns: what others do to the machine falls on all of them. A large state
 * merges its largest runs once in some hundred million upserts: rounds should
 * see that at least once. Figures are medians over the rounds, of CPU time of the whole
 * process, system calls included; the sums name where it went, and the
 * slowest tick by the clock and by CPU.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "leat/os.h"
#include "leat/state.h"

#define TICK_ROWS 20000u
#define SIZES_MAX 4
#define ROUNDS_MAX 100

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
        struct timespec now;
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
        return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void need(int rc, const struct leat_error *err)
{
        if (rc == 0)
                return;
        fprintf(stderr, "%s: %s\n", leat_code_name(rc), err->message);
        exit(1);
}

enum phase { MAKE, LOOKUP, APPLY, MERGE, PUBLISH, PHASES };

struct bench {
        struct leat_state *state;
        struct leat_arr_def def;
        struct leat_arena *arena;
        char dir[256];
        uint64_t keys;
        int64_t tick;
        bool wide;
        bool lookup;
        double cpu[PHASES];
        double worst_cpu;
        int64_t worst_us;
        double rounds[ROUNDS_MAX]; /* CPU seconds */
};

static void make_key(const struct bench *b, struct leat_batch *rows, uint32_t i, uint64_t key)
{
        if (!b->wide) {
                ((int64_t *)rows->columns[0].data)[i] = (int64_t)key;
                return;
        }
        char text[32] = "package-000000000000";
        for (char *at = text + 19; key != 0; key /= 10)
                *at-- = (char)('0' + key % 10);
        char *copy = leat_arena_strndup(b->arena, text, 20);
        ((struct leat_string *)rows->columns[0].data)[i] = leat_string_borrow(leat_view_of(copy, 20));
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

static void lap(struct bench *b, enum phase phase, double *from)
{
        double now = cpu_s();
        b->cpu[phase] += now - *from;
        *from = now;
}

static void tick(struct bench *b, uint64_t first_key, bool random)
{
        struct leat_error err;
        double at = cpu_s();
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
        lap(b, MAKE, &at);
        double start = at;
        int64_t wall = leat_os_monotonic_us();
        struct leat_state_snapshot *snapshot = NULL;
        if (b->lookup) {
                struct leat_batch keys = {.rows = TICK_ROWS, .column_count = 1, .columns = rows->columns};
                struct leat_batch *old;
                uint64_t *found;
                snapshot = leat_state_snapshot_take(b->state);
                need(leat_state_lookup(snapshot, 1, &keys, b->arena, &old, &found, &err), &err);
                for (uint32_t i = 0; i < TICK_ROWS; i++)
                        ((int64_t *)rows->columns[1].data)[i] += ((int64_t *)old->columns[1].data)[i];
                lap(b, LOOKUP, &at);
        }
        need(leat_state_apply(b->state, 1, ++b->tick, rows, NULL, &err), &err);
        leat_state_snapshot_unref(snapshot);
        lap(b, APPLY, &at);
        bool more = true;
        need(leat_state_merge(b->state, 5000, &more, &err), &err);
        lap(b, MERGE, &at);
        if (b->tick % 200 == 0) {
                need(leat_state_publish(b->state, b->tick, leat_view_of(NULL, 0), &err), &err);
                lap(b, PUBLISH, &at);
        }
        wall = leat_os_monotonic_us() - wall;
        b->worst_us = wall > b->worst_us ? wall : b->worst_us;
        b->worst_cpu = at - start > b->worst_cpu ? at - start : b->worst_cpu;
}

static void forget(struct bench *b)
{
        memset(b->cpu, 0, sizeof b->cpu);
        b->worst_cpu = 0;
        b->worst_us = 0;
}

static void load(struct bench *b, const char *base, int number)
{
        static const struct leat_type two[] = {{.id = LEAT_T_BIGINT}, {.id = LEAT_T_BIGINT}};
        static const struct leat_type wide[] = {{.id = LEAT_T_VARCHAR},   {.id = LEAT_T_BIGINT}, {.id = LEAT_T_VARCHAR},
                                                {.id = LEAT_T_TIMESTAMP}, {.id = LEAT_T_DOUBLE}, {.id = LEAT_T_INTEGER},
                                                {.id = LEAT_T_VARCHAR}};
        struct leat_error err;
        snprintf(b->dir, sizeof b->dir, "%s/leat-bench-state-%d-%d", base, (int)getpid(), number);
        b->def = (struct leat_arr_def){.id = 1,
                                       .mode = LEAT_ARR_MAP,
                                       .key_count = 1,
                                       .column_count = b->wide ? 7 : 2,
                                       .types = b->wide ? wide : two,
                                       .time_column = -1};
        struct leat_state_options options = {.role = LEAT_STATE_WRITER, .dir = b->dir};
        int64_t at;
        b->arena = leat_arena_new(1u << 20);
        need(leat_state_open(&options, &b->state, &at, NULL, &err), &err);
        need(leat_state_define(b->state, &b->def, &err), &err);
        double start = cpu_s();
        for (uint64_t key = 0; key < b->keys; key += TICK_ROWS)
                tick(b, key, false);
        double cpu = cpu_s() - start;
        printf("%.1f M keys loaded, %.0f ns CPU each, slowest tick %.0f ms\n", (double)b->keys * 1e-6,
               cpu / (double)b->keys * 1e9, (double)b->worst_us * 1e-3);
        fflush(stdout);
        forget(b);
        b->lookup = true;
}

/* Kilobytes of the process by kind: its own memory, and pages of mapped files, which the system may take back. */
static void resident(long *ret_anon, long *ret_file)
{
        char line[256];
        FILE *f = fopen("/proc/self/status", "r");
        *ret_anon = *ret_file = 0;
        while (f != NULL && fgets(line, sizeof line, f) != NULL) {
                if (sscanf(line, "RssAnon: %ld", ret_anon) != 1 && sscanf(line, "RssFile: %ld", ret_file) != 1)
                        continue;
        }
        if (f != NULL)
                fclose(f);
}

static int double_cmp(const void *x, const void *y)
{
        double a = *(const double *)x, b = *(const double *)y;
        return (a > b) - (a < b);
}

static double report(struct bench *b, uint64_t upserts, uint32_t rounds)
{
        double all = 0, total = (double)upserts * rounds;
        for (uint32_t i = 0; i < rounds; i++)
                all += b->rounds[i];
        qsort(b->rounds, rounds, sizeof *b->rounds, double_cmp);
        double median = b->rounds[rounds / 2] / (double)upserts * 1e9;
        struct leat_arr_stats stats = leat_state_stats(b->state, 1);
        printf("%s, %.1f M keys: median %.0f ns CPU an upsert (%.0f to %.0f), %.2f M/s a core; all %.0f ns: lookup "
               "%.0f, "
               "apply %.0f, merge %.0f, publish %.0f; slowest tick %.0f ms by the clock, %.0f ms of CPU; %llu runs, "
               "%.0f MB on disk\n",
               b->wide ? "7 columns of 200 bytes" : "2 columns", (double)b->keys * 1e-6, median,
               b->rounds[0] / (double)upserts * 1e9, b->rounds[rounds - 1] / (double)upserts * 1e9, 1e3 / median,
               all / total * 1e9, b->cpu[LOOKUP] / total * 1e9, b->cpu[APPLY] / total * 1e9,
               b->cpu[MERGE] / total * 1e9, b->cpu[PUBLISH] / total * 1e9, (double)b->worst_us * 1e-3,
               b->worst_cpu * 1e3, (unsigned long long)stats.runs, (double)stats.disk_bytes * 1e-6);
        return median;
}

static struct bench benches[SIZES_MAX];

int main(int argc, char **argv)
{
        struct leat_error err;
        bool wide = argc > 1 && strcmp(argv[1], "wide") == 0;
        uint64_t upserts = (uint64_t)((argc > 2 ? atof(argv[2]) : 10) * 1e6) / TICK_ROWS * TICK_ROWS;
        uint32_t rounds = argc > 3 ? (uint32_t)atoi(argv[3]) : 5, sizes = 0;
        rounds = rounds == 0 || rounds > ROUNDS_MAX ? 5 : rounds;
        const char *base = "/tmp";
        for (int i = 4; i < argc; i++) {
                if (atof(argv[i]) <= 0)
                        base = argv[i];
                else if (sizes < SIZES_MAX)
                        benches[sizes++].keys = (uint64_t)(atof(argv[i]) * 1e6);
        }
        if (sizes == 0) {
                benches[sizes++].keys = 4000000;
                benches[sizes++].keys = wide ? 10000000 : 50000000;
        }
        for (uint32_t s = 0; s < sizes; s++) {
                benches[s].wide = wide;
                load(&benches[s], base, (int)s);
        }
        for (uint32_t r = 0; r < rounds; r++)
                for (uint32_t s = 0; s < sizes; s++) {
                        struct bench *b = &benches[s];
                        double before = b->cpu[MAKE], start = cpu_s();
                        for (uint64_t done = 0; done < upserts; done += TICK_ROWS)
                                tick(b, 0, true);
                        /* Making the rows is the caller's. */
                        b->rounds[r] = cpu_s() - start - (b->cpu[MAKE] - before);
                        printf("round %u, %.1f M keys: %.0f ns\n", r + 1, (double)b->keys * 1e-6,
                               b->rounds[r] / (double)upserts * 1e9);
                        fflush(stdout);
                }
        double median[SIZES_MAX];
        for (uint32_t s = 0; s < sizes; s++)
                median[s] = report(&benches[s], upserts, rounds);
        for (uint32_t s = 1; s < sizes; s++)
                printf("ratio of %.1f M to %.1f M keys: %.2f\n", (double)benches[s].keys * 1e-6,
                       (double)benches[0].keys * 1e-6, median[s] / median[0]);
        long anon, file;
        resident(&anon, &file);
        printf("resident: %ld MB own memory, %ld MB of mapped run files\n", anon / 1024, file / 1024);
        for (uint32_t s = 0; s < sizes; s++) {
                leat_state_close(benches[s].state);
                leat_arena_free(benches[s].arena);
                need(leat_os_remove_tree(benches[s].dir, &err), &err);
        }
        return 0;
}
