/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/api: GET /metrics, Prometheus' text format: every slot of every role's stats
 * file with a label role, and of each process whether it lives, its memory and its
 * processor time. The format wants all samples of a metric together, so they are
 * collected first; two files never give the same sample, since roles differ.
 */
#include "api_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FILES_MAX 256

struct sample {
        enum leat_metric metric;
        int file;
        char labels[LEAT_STATS_LABEL_BYTES];
        uint64_t value;
};

struct stats_file {
        char role[64];
        int32_t pid;
        int64_t start_us;
        bool is_alive;
        double rss_bytes, cpu_s;
};

struct collection {
        const char *dir;
        struct sample *samples;
        int count, cap;
        struct stats_file files[FILES_MAX];
        int file_count;
};

static void add_sample(void *arg, enum leat_metric metric, const char *labels, uint64_t value)
{
        struct collection *all = arg;
        if (all->count == all->cap) {
                all->cap = LEAT_MAX(all->cap * 2, 256);
                all->samples = leat_realloc(all->samples, (size_t)all->cap * sizeof(all->samples[0]));
        }
        struct sample *sample = &all->samples[all->count++];
        *sample = (struct sample){.metric = metric, .file = all->file_count, .value = value};
        snprintf(sample->labels, sizeof(sample->labels), "%s", labels);
}

/* Resident memory and processor time out of /proc. */
static void process_read(struct stats_file *file)
{
        char path[64];
        struct leat_buf buf = LEAT_BUF_INIT;
        unsigned long pages = 0, user = 0, system = 0;
        snprintf(path, sizeof(path), "/proc/%d/statm", (int)file->pid);
        if (leat_os_read_file(path, 4096, &buf, NULL) == 0 && sscanf(leat_buf_cstr(&buf), "%*u %lu", &pages) == 1)
                file->rss_bytes = (double)pages * (double)sysconf(_SC_PAGESIZE);
        leat_buf_clear(&buf);
        snprintf(path, sizeof(path), "/proc/%d/stat", (int)file->pid);
        if (leat_os_read_file(path, 4096, &buf, NULL) == 0) {
                const char *name_end = strrchr(leat_buf_cstr(&buf), ')'); /* the name may have spaces */
                if (name_end &&
                    sscanf(name_end + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) == 2)
                        file->cpu_s = (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
        }
        leat_buf_done(&buf);
}

static int read_stats(void *arg, const char *name, bool is_dir)
{
        struct collection *all = arg;
        const char *dot = strrchr(name, '.');
        char path[1024];
        if (is_dir || !dot || strcmp(dot, ".stats") != 0 || all->file_count == FILES_MAX)
                return 0;
        struct stats_file *file = &all->files[all->file_count];
        snprintf(file->role, sizeof(file->role), "%.*s", (int)(dot - name), name);
        snprintf(path, sizeof(path), "%s/%s", all->dir, name);
        int before = all->count;
        if (leat_stats_read(path, add_sample, all, &file->pid, &file->start_us, NULL) != 0) {
                all->count = before; /* just being made, or not one of ours */
                return 0;
        }
        file->is_alive = leat_os_pid_alive(file->pid);
        if (file->is_alive)
                process_read(file);
        all->file_count++;
        return 0;
}

static int compare(const void *a, const void *b)
{
        const struct sample *left = a, *right = b;
        if (left->metric != right->metric)
                return left->metric < right->metric ? -1 : 1;
        if (left->file != right->file)
                return left->file - right->file;
        return strcmp(left->labels, right->labels);
}

static void head_write(struct leat_buf *out, const char *name, const char *help, const char *type)
{
        leat_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void samples_write(struct leat_buf *out, struct collection *all)
{
        if (all->count == 0)
                return;
        qsort(all->samples, (size_t)all->count, sizeof(all->samples[0]), compare);
        for (int i = 0; i < all->count; i++) {
                const struct sample *sample = &all->samples[i];
                const struct leat_metric_info *info = leat_metric_info(sample->metric);
                if (i == 0 || sample[-1].metric != sample->metric)
                        head_write(out, info->name, info->help, info->kind == LEAT_COUNTER ? "counter" : "gauge");
                leat_buf_printf(out, "%s{role=\"%s\"%s%s} %llu\n", info->name, all->files[sample->file].role,
                                sample->labels[0] != '\0' ? "," : "", sample->labels,
                                (unsigned long long)sample->value);
        }
}

static void processes_write(struct leat_buf *out, const struct collection *all)
{
        head_write(out, "leat_up", "1 while the process of a role lives", "gauge");
        for (int i = 0; i < all->file_count; i++)
                leat_buf_printf(out, "leat_up{role=\"%s\"} %d\n", all->files[i].role, all->files[i].is_alive);
        head_write(out, "leat_process_start_time_seconds", "When the process of a role started, since 1970", "gauge");
        for (int i = 0; i < all->file_count; i++)
                leat_buf_printf(out, "leat_process_start_time_seconds{role=\"%s\"} %.3f\n", all->files[i].role,
                                (double)all->files[i].start_us / 1e6);
        head_write(out, "leat_process_resident_bytes", "Resident memory of the process of a role", "gauge");
        for (int i = 0; i < all->file_count; i++) {
                if (all->files[i].is_alive)
                        leat_buf_printf(out, "leat_process_resident_bytes{role=\"%s\"} %.0f\n", all->files[i].role,
                                        all->files[i].rss_bytes);
        }
        head_write(out, "leat_process_cpu_seconds_total", "Processor time of the process of a role", "counter");
        for (int i = 0; i < all->file_count; i++) {
                if (all->files[i].is_alive)
                        leat_buf_printf(out, "leat_process_cpu_seconds_total{role=\"%s\"} %.2f\n", all->files[i].role,
                                        all->files[i].cpu_s);
        }
}

void leat_api_metrics_get(struct leat_http_req *req, void *arg)
{
        struct leat_api *api = arg;
        struct leat_error err;
        char dir[900];
        struct collection *all = leat_calloc(1, sizeof(*all));
        snprintf(dir, sizeof(dir), "%s/run", api->options.data_dir);
        all->dir = dir;
        int rc = leat_os_list(dir, read_stats, all, &err);
        if (rc != 0 && rc != LEAT_ENOTFOUND) {
                leat_http_respond_error(req, 500, NULL, "%s", err.message);
        } else {
                struct leat_buf body = LEAT_BUF_INIT;
                samples_write(&body, all);
                processes_write(&body, all);
                leat_http_respond(req, 200, "text/plain; version=0.0.4; charset=utf-8", &body);
        }
        free(all->samples);
        free(all);
}
