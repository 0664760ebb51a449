/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/broker: start, stop, and calls between loops.
 *
 * Threads   loop_count event loops for connections and partitions, and one more
 *           ("admin") whose callbacks may block for the small syncs of changes.
 *           Reads that wait for the disk have threads of their own (broker_reads.c).
 * Stopping  listener, then connections (each after its last answer), then the
 *           read threads, then the log (which completes all waiting syncs, to
 *           loops that still run), then, when no request is left, the threads.
 */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "broker_int.h"

#define DRAIN_US (5 * 1000 * 1000LL) /* for requests in work */
#define LINGER_US (300 * 1000LL)     /* for clients to take the last answers and hang up */

/* ---- calls between loops ----------------------------------------------------------------- */

struct broker_loop *leat_broker_loop_here(struct leat_broker *broker)
{
        for (int i = 0; i < broker->loop_count; i++) {
                if (leat_loop_here(broker->loops[i].loop))
                        return &broker->loops[i];
        }
        return leat_loop_here(broker->admin.loop) ? &broker->admin : NULL;
}

static void posts_retry(void *arg)
{
        struct broker_loop *here = arg;
        while (here->posts != NULL) {
                struct leat_broker_post *post = here->posts;
                if (!leat_loop_post(post->to->loop, post->fn, post->arg)) {
                        leat_timer_start(here->posts_timer, 1000, 0);
                        return;
                }
                here->posts = post->next;
                if (here->posts == NULL)
                        here->posts_end = &here->posts;
                free(post);
        }
}

void leat_broker_post(struct leat_broker *broker, struct broker_loop *to, void (*fn)(void *arg), void *arg)
{
        struct broker_loop *here = leat_broker_loop_here(broker);
        if (here == NULL) {
                leat_loop_post_wait(to->loop, fn, arg);
                return;
        }
        if (here->posts == NULL && leat_loop_post(to->loop, fn, arg))
                return;
        /* The other's queue is full: it must not be waited for, it may wait for us. Bounded by the requests in work. */
        struct leat_broker_post *post = leat_malloc(sizeof(*post));
        *post = (struct leat_broker_post){.to = to, .fn = fn, .arg = arg};
        *here->posts_end = post;
        here->posts_end = &post->next;
        if (!leat_timer_running(here->posts_timer))
                leat_timer_start(here->posts_timer, 1000, 0);
}

static int loop_open(struct leat_broker *broker, struct broker_loop *loop, int index, const char *name,
                     struct leat_error *err)
{
        loop->broker = broker;
        loop->index = index;
        loop->posts_end = &loop->posts;
        LEAT_TRY(leat_loop_new(name, &loop->loop, err));
        loop->posts_timer = leat_timer_new(loop->loop, posts_retry, loop);
        return 0;
}

static void loop_close(struct broker_loop *loop)
{
        if (loop->loop == NULL)
                return;
        leat_timer_free(loop->posts_timer);
        leat_loop_free(loop->loop);
        leat_broker_requests_free(loop);
        leat_broker_gather_free(loop);
        leat_buf_done(&loop->scratch);
        loop->loop = NULL;
}

/* ---- metrics ------------------------------------------------------------------------------- */

static void stats_open(struct leat_broker *broker)
{
        char labels[64];
        for (size_t i = 0; i < leat_kafka_api_count; i++) {
                const struct leat_kafka_api *api = &leat_kafka_apis[i];
                if (leat_broker_api_served(api->key) == NULL)
                        continue;
                snprintf(labels, sizeof(labels), "api=\"%s\"", api->name);
                broker->api_requests[api->key] = leat_stats_slot(broker->stats, LEAT_M_BROKER_REQUESTS, labels);
                broker->api_time_us[api->key] = leat_stats_slot(broker->stats, LEAT_M_BROKER_REQUEST_TIME, labels);
        }
        broker->errors = leat_stats_slot(broker->stats, LEAT_M_BROKER_BAD_REQUESTS, "");
        broker->connections = leat_stats_slot(broker->stats, LEAT_M_BROKER_CONNECTIONS, "");
        broker->cold_reads = leat_stats_slot(broker->stats, LEAT_M_BROKER_DISK_READS, "");
        broker->refused = leat_stats_slot(broker->stats, LEAT_M_BROKER_CONNECTIONS_REFUSED, "");
        broker->log_syncs = leat_stats_slot(broker->stats, LEAT_M_LOG_SYNCS, "");
        broker->log_sync_failures = leat_stats_slot(broker->stats, LEAT_M_LOG_SYNC_FAILURES, "");
        broker->log_sync_time_us = leat_stats_slot(broker->stats, LEAT_M_LOG_SYNC_TIME, "");
        broker->log_sealed = leat_stats_slot(broker->stats, LEAT_M_LOG_SEGMENTS_SEALED, "");
        broker->log_removed = leat_stats_slot(broker->stats, LEAT_M_LOG_SEGMENTS_REMOVED, "");
        broker->log_segments = leat_stats_slot(broker->stats, LEAT_M_LOG_SEGMENTS, "");
        broker->log_bytes = leat_stats_slot(broker->stats, LEAT_M_LOG_SIZE, "");
}

static void log_counters_show(struct leat_broker *broker)
{
        struct leat_log_counters counters;
        leat_log_counters(broker->log, &counters);
        leat_stat_set(broker->log_syncs, counters.syncs);
        leat_stat_set(broker->log_sync_failures, counters.sync_failures);
        leat_stat_set(broker->log_sync_time_us, counters.sync_time_us);
        leat_stat_set(broker->log_sealed, counters.sealed);
        leat_stat_set(broker->log_removed, counters.removed);
}

/* Adds the topic's bytes and segments to @io_bytes and @io_segments. */
static void topic_gauges(struct leat_broker *broker, const struct leat_log_topic *topic, uint64_t *io_bytes,
                         uint64_t *io_segments)
{
        int64_t bytes = 0;
        struct broker_part *first = NULL;
        for (uint32_t i = 0; i < topic->partitions; i++) {
                struct broker_part *part = leat_broker_part_get(broker, topic->id, i);
                if (part == NULL)
                        break;
                struct leat_log_state state;
                leat_log_partition_state(part->log_part, &state);
                leat_stat_set(part->end_offset, (uint64_t)state.high);
                bytes += state.bytes;
                *io_segments += state.segments;
                if (i == 0)
                        first = part;
                else
                        leat_broker_part_unref(part);
        }
        *io_bytes += (uint64_t)bytes;
        if (first != NULL) {
                leat_stat_set(first->topic_bytes, (uint64_t)bytes);
                leat_broker_part_unref(first);
        }
}

static void gauges_update(void *arg)
{
        struct leat_broker *broker = arg;
        struct leat_log_topic **topics;
        uint32_t count = leat_log_topics(broker->log, &topics);
        uint64_t bytes = 0, segments = 0;
        for (uint32_t i = 0; i < count; i++) {
                topic_gauges(broker, topics[i], &bytes, &segments);
                leat_log_topic_unref(topics[i]);
        }
        free(topics);
        leat_stat_set(broker->log_bytes, bytes);
        leat_stat_set(broker->log_segments, segments);
        log_counters_show(broker);
        leat_stat_set(broker->refused, leat_listener_refused(broker->listener));
}

/* ---- start ----------------------------------------------------------------------------------- */

/* The cluster's id: 22 characters of base64url, made at the first start. */
static int cluster_id_load(struct leat_broker *broker, const char *data_dir, struct leat_error *err)
{
        static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        int rc = 0;
        struct leat_buf text = LEAT_BUF_INIT;
        char *path = leat_asprintf("%s/cluster-id", data_dir);
        if (!leat_os_exists(path)) {
                uint8_t random[22];
                leat_os_random(random, sizeof(random));
                for (size_t i = 0; i < sizeof(random); i++)
                        leat_buf_u8(&text, (uint8_t)digits[random[i] & 63]);
                leat_buf_u8(&text, '\n');
                LEAT_TRY_GOTO(leat_os_replace_file(path, leat_buf_view(&text), true, err));
        } else {
                LEAT_TRY_GOTO(leat_os_read_file(path, 64, &text, err));
        }
        if (text.len != 23 || text.data[22] != '\n') {
                rc = leat_error_set(err, LEAT_ECORRUPT, "%s does not hold a cluster id", path);
                leat_error_hint(err, "remove the file: a new id is made, clients of this broker reconnect");
                goto fail;
        }
        memcpy(broker->cluster_id, text.data, 22);
fail:
        leat_buf_done(&text);
        free(path);
        return rc;
}

static int loops_open(struct leat_broker *broker, struct leat_error *err)
{
        int64_t wanted = leat_param(LEAT_P_BROKER_LOOPS);
        if (wanted == 0)
                wanted = LEAT_MIN(LEAT_MAX(sysconf(_SC_NPROCESSORS_ONLN), 1L), 4L);
        for (int i = 0; i < wanted; i++) {
                char name[16];
                snprintf(name, sizeof(name), "kafka-%d", i);
                LEAT_TRY(loop_open(broker, &broker->loops[i], i, name, err));
                broker->loop_count = i + 1;
        }
        return loop_open(broker, &broker->admin, -1, "kafka-admin", err);
}

static int listener_open(struct leat_broker *broker, int fd, struct leat_error *err)
{
        struct leat_loop *loops[BROKER_LOOPS_MAX];
        for (int i = 0; i < broker->loop_count; i++)
                loops[i] = broker->loops[i].loop;
        broker->opts = (struct leat_net_opts){
                .conns_max = (int)leat_param(LEAT_P_BROKER_MAX_CONNECTIONS),
                .read_max = (size_t)leat_param(LEAT_P_BROKER_MAX_FRAME) + 4,
                .queue_max = (size_t)leat_param(LEAT_P_BROKER_FETCH_MAX) + (256u << 20),
                .first_us = leat_param(LEAT_P_BROKER_IDLE_TIMEOUT),
                .message_us = leat_param(LEAT_P_BROKER_MESSAGE_TIMEOUT),
                .idle_us = leat_param(LEAT_P_BROKER_IDLE_TIMEOUT),
                .stall_us = leat_param(LEAT_P_BROKER_MESSAGE_TIMEOUT),
        };
        return leat_listener_open(loops, broker->loop_count, fd, &leat_broker_conn_ops, &broker->opts, broker,
                                  &broker->listener, err);
}

int leat_broker_start(const struct leat_broker_options *options, struct leat_broker **ret_broker,
                      struct leat_error *err)
{
        int rc, fd = options->listen_fd;
        char *log_dir = leat_asprintf("%s/log", options->data_dir);
        struct leat_broker *broker = leat_calloc(1, sizeof(*broker));
        pthread_mutex_init(&broker->parts_lock, NULL);
        broker->sessions = leat_broker_sessions_new((uint32_t)leat_param(LEAT_P_BROKER_FETCH_SESSIONS));
        broker->reads = leat_broker_reads_new(broker);
        broker->stats = options->stats;
        if (broker->stats == NULL) {
                LEAT_TRY_GOTO(leat_stats_open(NULL, 4096, &broker->own_stats, err));
                broker->stats = broker->own_stats;
        }
        stats_open(broker);
        LEAT_TRY_GOTO(leat_os_mkdirs(options->data_dir, err));
        LEAT_TRY_GOTO(cluster_id_load(broker, options->data_dir, err));
        LEAT_TRY_GOTO(leat_log_open(log_dir, &broker->log, err));
        leat_log_listen(broker->log, leat_broker_part_moved, broker);
        LEAT_TRY_GOTO(loops_open(broker, err));
        rc = listener_open(broker, fd, err);
        fd = -1;
        if (rc != 0)
                goto fail;
        broker->gauges = leat_timer_new(broker->loops[0].loop, gauges_update, broker);
        leat_timer_start(broker->gauges, 1, leat_param(LEAT_P_BROKER_METRICS_INTERVAL));
        LEAT_TRY_GOTO(leat_loop_spawn(broker->admin.loop, err));
        for (int i = 0; i < broker->loop_count; i++)
                LEAT_TRY_GOTO(leat_loop_spawn(broker->loops[i].loop, err));
        free(log_dir);
        *ret_broker = broker;
        return 0;
fail:
        free(log_dir);
        leat_os_close(fd);
        leat_broker_stop(broker);
        return rc;
}

/* ---- stop -------------------------------------------------------------------------------------- */

static void drain_begin(void *arg)
{
        struct broker_loop *loop = arg;
        if (loop->index == 0) {
                leat_listener_close(loop->broker->listener);
                loop->broker->listener = NULL;
                leat_timer_free(loop->broker->gauges);
                loop->broker->gauges = NULL;
        }
        leat_broker_conns_drain(loop);
}

static void drain_end(void *arg)
{
        leat_broker_conns_close(arg);
}

static void wait_for_zero(_Atomic int *count, int64_t limit_us)
{
        int64_t until_us = leat_os_monotonic_us() + limit_us;
        while (atomic_load(count) > 0 && leat_os_monotonic_us() < until_us)
                leat_os_sleep_us(1000);
}

void leat_broker_stop(struct leat_broker *broker)
{
        if (broker == NULL)
                return;
        for (int i = 0; i < broker->loop_count; i++)
                leat_loop_post_wait(broker->loops[i].loop, drain_begin, &broker->loops[i]);
        wait_for_zero(&broker->requests, DRAIN_US);
        wait_for_zero(&broker->conns, LINGER_US);
        for (int i = 0; i < broker->loop_count; i++)
                leat_loop_post_wait(broker->loops[i].loop, drain_end, &broker->loops[i]);
        leat_broker_reads_stop(broker->reads);
        leat_log_close(broker->log);
        /* Nothing waits for the log any more, so every request ends. */
        while (atomic_load(&broker->requests) > 0)
                leat_os_sleep_us(1000);
        if (broker->admin.loop != NULL)
                leat_loop_join(broker->admin.loop);
        for (int i = 0; i < broker->loop_count; i++)
                leat_loop_join(broker->loops[i].loop);
        leat_listener_close(broker->listener);
        leat_timer_free(broker->gauges);
        broker->listener = NULL;
        broker->gauges = NULL;
        loop_close(&broker->admin);
        for (int i = 0; i < broker->loop_count; i++)
                loop_close(&broker->loops[i]);
        leat_broker_parts_free(broker);
        leat_broker_sessions_free(broker->sessions);
        leat_broker_reads_free(broker->reads);
        leat_stats_close(broker->own_stats);
        pthread_mutex_destroy(&broker->parts_lock);
        free(broker);
}

int leat_broker_connections(const struct leat_broker *broker)
{
        return atomic_load(&broker->conns);
}

struct leat_log *leat_broker_log(struct leat_broker *broker)
{
        return broker->log;
}
