/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/cli: `leat generate`: events from a spec, or the lines of a file, to Kafka or to a file.
 *
 * Pacing    Event i is meant for start + i / rate and carries that time. When the
 *           receiver stalls, the events behind it are late, but their times
 *           are not: a latency taken from the event's time holds the stall. The
 *           loop never leaves out events to catch up.
 * Files     are not paced: they are input that is made beforehand.
 * Exit      0 all events are there; 1 some are not; 2 the command line is wrong.
 */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>

#include "cli_gen_int.h"
#include "cli_int.h"
#include "leat/os.h"

#define SPEC_BYTES_MAX (64u << 20)
#define CHUNK 256      /* events between two looks at the clock */
#define LINGER_US 5000 /* how long events are collected to batches */
#define REPORT_US 5000000

static volatile sig_atomic_t stop_asked;

static void on_signal(int number)
{
        (void)number;
        stop_asked = 1;
}

struct options {
        const char *spec, *lines, *kafka, *out;
        const char *topics[64];
        int topic_count;
        double rate;
        uint64_t seed;
        int64_t count; /* -1: no end */
        int64_t for_us, start_us, at_us;
        uint32_t batch;
        int32_t partitions; /* of a topic for lines */
        bool contents, quiet, start_given, at_given;
};

static const char help[] = "usage: leat generate -f SPEC.json [options]\n"
                           "       leat generate --lines FILE -t TOPIC [options]\n"
                           "\n"
                           "Makes events from a spec and sends them to Kafka, or writes them to a file; or\n"
                           "sends events that were made before.\n"
                           "\n"
                           "  -f, --file SPEC     the spec (docs/generate.md)\n"
                           "  -l, --lines FILE    the lines of a file instead; - is standard input\n"
                           "  -r, --rate N        events a second (default 1000); \"max\" as fast as it goes\n"
                           "  -n, --count N       stop after N events\n"
                           "      --for TIME      stop after this time, as \"10 minutes\"\n"
                           "  -s, --seed N        another seed gives other events (default 1)\n"
                           "  -t, --topic NAME    only this topic of the spec; may be repeated\n"
                           "      --kafka ADDR    the broker (default 127.0.0.1:9092, or LEAT_KAFKA)\n"
                           "  -o, --out FILE      write lines instead, unpaced; - is standard output\n"
                           "      --start TIME    time of the first event (default now)\n"
                           "      --at TIME       waits until then before it sends the first event\n"
                           "      --partitions N  of the topic for lines, when there is none yet (default 1)\n"
                           "      --batch N       at most N records in a batch (default 10000)\n"
                           "      --no-contents   leave out topics with fixed contents\n"
                           "  -q, --quiet         no progress\n"
                           "\n"
                           "Topics that do not exist are created. Stops in order at Ctrl-C.\n";

static int usage(const char *fmt, const char *value)
{
        fprintf(stderr, "leat generate: ");
        fprintf(stderr, fmt, value);
        fprintf(stderr, "\nTry: leat generate --help\n");
        return 2;
}

static bool read_int(const char *text, int64_t min, int64_t *ret)
{
        char *end;
        long long v = strtoll(text, &end, 10);
        if (*text == '\0' || *end != '\0' || v < min)
                return false;
        *ret = v;
        return true;
}

enum { OPT_FOR = 256, OPT_KAFKA, OPT_START, OPT_AT, OPT_BATCH, OPT_PARTITIONS, OPT_NO_CONTENTS };
static const struct option long_options[] = {
        {"file", required_argument, NULL, 'f'},
        {"lines", required_argument, NULL, 'l'},
        {"rate", required_argument, NULL, 'r'},
        {"count", required_argument, NULL, 'n'},
        {"for", required_argument, NULL, OPT_FOR},
        {"seed", required_argument, NULL, 's'},
        {"topic", required_argument, NULL, 't'},
        {"kafka", required_argument, NULL, OPT_KAFKA},
        {"out", required_argument, NULL, 'o'},
        {"start", required_argument, NULL, OPT_START},
        {"at", required_argument, NULL, OPT_AT},
        {"batch", required_argument, NULL, OPT_BATCH},
        {"partitions", required_argument, NULL, OPT_PARTITIONS},
        {"no-contents", no_argument, NULL, OPT_NO_CONTENTS},
        {"quiet", no_argument, NULL, 'q'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
};

static bool read_rate(const char *text, double *ret)
{
        char *end;
        if (strcmp(text, "max") == 0) {
                *ret = 0;
                return true;
        }
        *ret = strtod(text, &end);
        return *text != '\0' && *end == '\0' && *ret > 0 && *ret <= 1e9;
}

/* Options with a value that can be wrong. Returns -1 to go on, else the exit code. */
static int read_value(int option, const char *text, struct options *o)
{
        int64_t number;
        switch (option) {
        case 'r':
                return read_rate(text, &o->rate) ? -1 : usage("--rate takes events a second or max, not \"%s\"", text);
        case 'n':
                return read_int(text, 0, &o->count) ? -1 : usage("--count takes a number of events, not \"%s\"", text);
        case OPT_FOR:
                return leat_duration_parse(leat_view_str(text), &o->for_us)
                               ? -1
                               : usage("--for takes a time, as \"10 minutes\", not \"%s\"", text);
        case 's':
                if (!read_int(text, INT64_MIN, &number))
                        return usage("--seed takes a number, not \"%s\"", text);
                o->seed = (uint64_t)number;
                return -1;
        case 't':
                if (o->topic_count == (int)LEAT_ARRAY_LEN(o->topics))
                        return usage("more than 64 topics, at \"%s\"", text);
                o->topics[o->topic_count++] = text;
                return -1;
        case OPT_BATCH:
                if (!read_int(text, 1, &number) || number > LEAT_GEN_BATCH_RECORDS_MAX)
                        return usage("--batch takes 1 to 10000 records, not \"%s\"", text);
                o->batch = (uint32_t)number;
                return -1;
        case OPT_PARTITIONS:
                if (!read_int(text, 1, &number) || number > 10000)
                        return usage("--partitions takes 1 to 10000, not \"%s\"", text);
                o->partitions = (int32_t)number;
                return -1;
        case OPT_AT:
                o->at_given = true;
                return leat_time_parse(leat_view_str(text), &o->at_us)
                               ? -1
                               : usage("--at takes a time, as 2026-11-24T08:00:00Z, not \"%s\"", text);
        default:
                o->start_given = true;
                return leat_time_parse(leat_view_str(text), &o->start_us)
                               ? -1
                               : usage("--start takes a time, as 2026-11-24T08:00:00Z, not \"%s\"", text);
        }
}

static int read_option(int option, const char *text, struct options *o)
{
        switch (option) {
        case 'f':
                o->spec = text;
                return -1;
        case 'l':
                o->lines = text;
                return -1;
        case OPT_KAFKA:
                o->kafka = text;
                return -1;
        case 'o':
                o->out = text;
                return -1;
        case OPT_NO_CONTENTS:
                o->contents = false;
                return -1;
        case 'q':
                o->quiet = true;
                return -1;
        case 'h':
                fputs(help, stdout);
                return 0;
        case '?':
                fprintf(stderr, "Try: leat generate --help\n");
                return 2;
        default:
                return read_value(option, text, o);
        }
}

/* Returns -1 to go on, else the exit code. */
static int read_options(int argc, char **argv, struct options *o)
{
        const char *address = getenv("LEAT_KAFKA");
        *o = (struct options){.kafka = address != NULL && *address != '\0' ? address : "127.0.0.1:9092",
                              .rate = 1000,
                              .seed = 1,
                              .count = -1,
                              .for_us = -1,
                              .partitions = 1,
                              .batch = LEAT_GEN_BATCH_RECORDS_MAX,
                              .contents = true};
        optind = 1;
        for (int c; (c = getopt_long(argc, argv, "f:l:r:n:s:t:o:qh", long_options, NULL)) != -1;) {
                int code = read_option(c, optarg, o);
                if (code >= 0)
                        return code;
        }
        if (optind < argc)
                return usage("unexpected argument \"%s\"", argv[optind]);
        if (o->lines != NULL && (o->spec != NULL || o->out != NULL || o->topic_count != 1))
                return usage("%s", "--lines goes to Kafka and takes one --topic, and no spec");
        if (o->lines != NULL)
                return -1;
        if (o->spec == NULL)
                return usage("%s", "-f SPEC.json is missing");
        if (o->out != NULL && o->count < 0 && o->for_us < 0)
                return usage("%s", "a file needs an end: give --count or --for");
        if (o->rate == 0 && o->out != NULL && o->count < 0)
                return usage("%s", "--rate max into a file needs --count");
        return -1;
}

/* ---- the loop --------------------------------------------------------------------------- */

struct run {
        const struct options *options;
        struct leat_gen *gen;
        struct leat_gen_lines *lines; /* NULL: events are drawn */
        struct leat_gen_out *out;
        int64_t total; /* events to make, -1: no end */
        int64_t made;
        uint64_t contents;           /* records of fixed contents, acknowledged before the events */
        int64_t start_us;            /* wall clock of event 0 */
        int64_t behind_us, worst_us; /* of the newest event, and the most ever */
        int64_t begun_us, reported_us, reported;
};

static int send_contents(struct run *run, struct leat_error *err)
{
        struct leat_gen_event event;
        for (uint32_t i = 0; i < run->gen->topic_count; i++) {
                if (!run->gen->topics[i].selected)
                        continue;
                for (uint32_t row = 0; leat_gen_content(run->gen, i, row, &event); row++)
                        LEAT_TRY(run->out->ops->put(run->out, &event, err));
        }
        LEAT_TRY(run->out->ops->flush(run->out, true, err));
        run->contents = run->out->done;
        return 0;
}

/* Time that event @i is meant for. */
static int64_t intended(const struct run *run, int64_t i)
{
        return run->start_us + (int64_t)((double)i * 1e6 / run->options->rate);
}

static void report(struct run *run, int64_t now_us)
{
        double seconds = (double)(now_us - run->reported_us) / 1e6;
        fprintf(stderr, "%" PRId64 " events, %.0f/s, %" PRIu64 " acknowledged, %.1f ms behind\n", run->made,
                (double)(run->made - run->reported) / seconds, run->out->done - run->contents,
                (double)run->behind_us / 1000);
        run->reported_us = now_us;
        run->reported = run->made;
}

/* The next event; the last line of a file ends the run. */
static int next_event(struct run *run, int64_t time_us, struct leat_gen_event *ret_event, struct leat_error *err)
{
        bool end;
        if (run->lines == NULL) {
                leat_gen_next(run->gen, time_us, ret_event);
                return 0;
        }
        LEAT_TRY(leat_gen_lines_next(run->lines, ret_event, &end, err));
        if (end) {
                run->total = run->made;
                return 0;
        }
        ret_event->time_us = time_us;
        run->gen->topics[0].events++;
        return 0;
}

/* Makes the events that are due at @now_us, at most CHUNK. */
static int make_due(struct run *run, int64_t now_us, bool paced, bool *ret_idle, struct leat_error *err)
{
        struct leat_gen_event event;
        double rate = run->options->rate;
        *ret_idle = false;
        for (int i = 0; i < CHUNK && (run->total < 0 || run->made < run->total); i++) {
                int64_t time_us = rate > 0 ? intended(run, run->made) : now_us;
                if (paced && time_us > now_us) {
                        *ret_idle = true;
                        break;
                }
                LEAT_TRY(next_event(run, time_us, &event, err));
                if (run->made == run->total)
                        break;
                LEAT_TRY(run->out->ops->put(run->out, &event, err));
                run->made++;
                if (paced)
                        run->behind_us = now_us - time_us;
        }
        run->worst_us = LEAT_MAX(run->worst_us, run->behind_us);
        return 0;
}

static int loop(struct run *run, struct leat_error *err)
{
        const struct options *o = run->options;
        bool to_kafka = o->out == NULL, paced = to_kafka && o->rate > 0, idle;
        int64_t shift = 0; /* with --start the events' times run beside the clock */
        run->begun_us = run->reported_us = o->at_given ? o->at_us : leat_os_now_us();
        if (paced)
                shift = run->start_us - run->begun_us;
        int64_t flushed_us = run->begun_us;
        while (!stop_asked && (run->total < 0 || run->made < run->total)) {
                int64_t now = leat_os_now_us();
                if (o->rate == 0 && o->for_us >= 0 && now - run->begun_us >= o->for_us)
                        break; /* with a rate --for is a number of events, and none is left out */
                LEAT_TRY(make_due(run, now + shift, paced, &idle, err));
                if (to_kafka && (idle || now - flushed_us >= LINGER_US)) {
                        if (now - flushed_us >= LINGER_US) {
                                LEAT_TRY(run->out->ops->flush(run->out, false, err));
                                flushed_us = now;
                        }
                        if (idle) {
                                int64_t next = intended(run, run->made) - shift;
                                leat_os_sleep_us(LEAT_MAX(LEAT_MIN(next, flushed_us + LINGER_US) - now, (int64_t)200));
                        }
                }
                if (!o->quiet && now - run->reported_us >= REPORT_US)
                        report(run, now);
        }
        return run->out->ops->flush(run->out, true, err);
}

static void summary(const struct run *run)
{
        double seconds = (double)(leat_os_now_us() - run->begun_us) / 1e6;
        for (uint32_t i = 0; i < run->gen->topic_count; i++) {
                const struct leat_gen_topic *t = &run->gen->topics[i];
                if (!t->selected || t->events == 0)
                        continue;
                fprintf(stderr, "%s: %" PRIu64 " records", t->name, t->events);
                if (t->flawed != 0)
                        fprintf(stderr, ", %" PRIu64 " with errors", t->flawed);
                if (t->late != 0)
                        fprintf(stderr, ", %" PRIu64 " late", t->late);
                if (t->duplicates != 0)
                        fprintf(stderr, ", %" PRIu64 " duplicates", t->duplicates);
                fputc('\n', stderr);
        }
        fprintf(stderr, "%" PRId64 " events in %.1f s, %.0f/s, at most %.1f ms behind\n", run->made, seconds,
                (double)run->made / LEAT_MAX(seconds, 1e-6), (double)run->worst_us / 1000);
}

static int open_source(struct run *run, struct leat_error *err)
{
        const struct options *o = run->options;
        struct leat_buf text = LEAT_BUF_INIT;
        int64_t start = o->start_given ? o->start_us : leat_os_now_us();
        if (o->lines != NULL) {
                LEAT_TRY(leat_gen_lines_spec(o->topics[0], o->partitions, &run->gen, err));
                return leat_gen_lines_open(o->lines, &run->lines, err);
        }
        int rc = leat_os_read_file(o->spec, SPEC_BYTES_MAX, &text, err);
        if (rc == 0)
                rc = leat_gen_open(leat_buf_view(&text), o->spec, o->seed, start, &run->gen, err);
        leat_buf_done(&text);
        return rc;
}

static void wait_until(int64_t at_us)
{
        for (int64_t left; !stop_asked && (left = at_us - leat_os_now_us()) > 0;)
                leat_os_sleep_us(LEAT_MIN(left, (int64_t)100000));
}

static int run_all(struct run *run, struct leat_error *err)
{
        const struct options *o = run->options;
        LEAT_TRY(open_source(run, err));
        for (int i = 0; i < o->topic_count; i++)
                LEAT_TRY(leat_gen_select(run->gen, o->topics[i], err));
        run->total = o->count;
        if (o->for_us >= 0 && o->rate > 0) {
                int64_t most = (int64_t)((double)o->for_us / 1e6 * o->rate);
                run->total = run->total < 0 ? most : LEAT_MIN(run->total, most);
        }
        LEAT_TRY(leat_gen_start(run->gen, false, err));
        if (run->gen->share_count == 0)
                run->total = 0; /* only fixed contents */
        uint32_t selected = 0;
        for (uint32_t i = 0; i < run->gen->topic_count; i++)
                selected += run->gen->topics[i].selected;
        LEAT_TRY(o->out != NULL ? leat_gen_out_file(run->gen, o->out, selected > 1, &run->out, err)
                                : leat_gen_out_kafka(run->gen, o->kafka, o->batch, &run->out, err));
        run->begun_us = leat_os_now_us();
        if (o->contents)
                LEAT_TRY(send_contents(run, err));
        if (o->at_given)
                wait_until(o->at_us);
        run->start_us = o->start_given ? o->start_us : o->at_given ? o->at_us : leat_os_now_us();
        return loop(run, err);
}

int leat_cli_generate(int argc, char **argv)
{
        struct options options;
        struct leat_error err = {0};
        struct run run = {.options = &options};
        int code = read_options(argc, argv, &options);
        if (code >= 0)
                return code;
        struct sigaction action = {.sa_handler = on_signal};
        sigaction(SIGINT, &action, NULL);
        sigaction(SIGTERM, &action, NULL);
        signal(SIGPIPE, SIG_IGN);
        int rc = run_all(&run, &err);
        if (rc != 0) {
                fprintf(stderr, "leat generate: %s\n", err.message);
                if (err.hint[0] != '\0')
                        fprintf(stderr, "%s\n", err.hint);
        }
        if (run.out != NULL && run.out->lost != 0) {
                fprintf(stderr, "leat generate: %" PRIu64 " records were refused: %s\n", run.out->lost,
                        run.out->lost_error.message);
                rc = LEAT_EIO;
        }
        if (run.out != NULL && !options.quiet)
                summary(&run);
        if (run.out != NULL)
                run.out->ops->close(run.out);
        leat_gen_lines_close(run.lines);
        leat_gen_close(run.gen);
        return rc != 0;
}
