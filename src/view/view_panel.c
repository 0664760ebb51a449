/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/view: the runner of dashboards' panels.
 *
 * A `watch` is one dashboard with one set of variable values. One thread goes
 * round all watches; a watch that is due (its REFRESH has passed) asks for each
 * panel whether a relation under it has moved and if so runs the panel once and
 * makes one event of the difference, whoever many watch.
 *
 * Events of a watch stand in a ring of PANEL_RING places, counted references.
 * Each watcher has its own place in the sequence; a new one, or one that the ring
 * has overtaken, first gets a snapshot of every panel and goes on behind it.
 *
 * Rows are compared by their place: a patch names the places that changed. A
 * panel whose rows all move (a window that slides) costs a snapshot.
 *
 * Lock: panels->mutex guards the lists, rings and answers; it is not held while a
 * panel runs, so `busy` keeps a watch alive meanwhile.
 */
#include <pthread.h>

#include "view_int.h"

enum { PANEL_RING = 256, PANEL_PANELS_MAX = 64 };
#define PANEL_TURN_US (10LL * 1000)
#define PANEL_AGE_US (1000LL * 1000)

struct panel_node {
        uint32_t refs; /* under the mutex */
        struct leat_panel_event event;
        struct leat_buf data;
};

struct panel_state {
        bool ran;
        uint64_t moved;
        struct leat_panel_answer answer;
        char error[4096]; /* JSON of the last error; "" = none */
        int64_t age_sent_us;
};

struct panel_watch {
        struct panel_watch *next;
        char *dashboard;
        uint64_t version;
        char **values; /* one a variable of the dashboard */
        uint32_t value_count, panel_count, watchers;
        int64_t due_us, refresh_us;
        bool gone, busy;
        struct panel_state *panels;
        struct panel_node *ring[PANEL_RING];
        uint64_t sequence; /* of the next event */
};

struct leat_panels {
        struct leat_panels_options options;
        pthread_mutex_t mutex;
        pthread_cond_t changed;
        pthread_t thread;
        bool stop;
        struct panel_watch *watches;
};

struct leat_panel_sub {
        struct leat_panels *panels;
        struct panel_watch *watch;
        uint64_t sequence;
        uint32_t snapshots_left; /* panels whose snapshot is still to be given */
        bool canceled;
        struct panel_node *given;
};

void leat_panel_answer_done(struct leat_panel_answer *answer)
{
        leat_buf_done(&answer->columns);
        leat_buf_done(&answer->rows);
        free(answer->row_ends);
        memset(answer, 0, sizeof *answer);
}

/* ---- events ----------------------------------------------------------------------- */
static void node_unref(struct panel_node *node)
{
        if (node == NULL || --node->refs != 0)
                return;
        leat_buf_done(&node->data);
        free(node);
}

static struct panel_node *node_new(uint32_t panel, const char *kind, const struct leat_panel_answer *answer,
                                   struct leat_buf *data)
{
        struct panel_node *node = leat_calloc(1, sizeof *node);
        node->refs = 1;
        node->data = *data;
        memset(data, 0, sizeof *data);
        node->event = (struct leat_panel_event){.tick = answer->tick,
                                                .panel = panel,
                                                .kind = kind,
                                                .age_ms = answer->age_us / 1000,
                                                .newest_us = answer->newest_us};
        node->event.data = leat_buf_view(&node->data);
        return node;
}

static void push(struct leat_panels *panels, struct panel_watch *w, struct panel_node *node)
{
        struct panel_node **place = &w->ring[w->sequence++ % PANEL_RING];
        node_unref(*place);
        *place = node;
        pthread_cond_broadcast(&panels->changed);
}

static struct leat_view answer_row(const struct leat_panel_answer *a, uint32_t row)
{
        uint32_t from = row == 0 ? 0 : a->row_ends[row - 1];
        return leat_view_of(a->rows.data + from, a->row_ends[row] - from);
}

static void snapshot_json(const struct leat_panel_answer *a, struct leat_buf *out)
{
        leat_buf_add_str(out, "{\"columns\":");
        leat_buf_add_view(out, leat_buf_view(&a->columns));
        leat_buf_add_str(out, ",\"rows\":[");
        for (uint32_t i = 0; i < a->row_count; i++) {
                if (i != 0)
                        leat_buf_u8(out, ',');
                leat_buf_add_view(out, answer_row(a, i));
        }
        leat_buf_add_str(out, "]}");
}

/* The difference; false when a snapshot is not larger. */
static bool patch_json(const struct leat_panel_answer *old, const struct leat_panel_answer *now, struct leat_buf *out)
{
        bool first = true;
        if (!leat_view_eq(leat_buf_view(&old->columns), leat_buf_view(&now->columns)))
                return false;
        leat_buf_printf(out, "{\"count\":%u,\"set\":[", now->row_count);
        for (uint32_t i = 0; i < now->row_count; i++) {
                struct leat_view row = answer_row(now, i);
                if (i < old->row_count && leat_view_eq(answer_row(old, i), row))
                        continue;
                leat_buf_printf(out, "%s[%u,", first ? "" : ",", i);
                leat_buf_add_view(out, row);
                leat_buf_u8(out, ']');
                first = false;
                if (out->len > now->rows.len / 2 + 64)
                        return false;
        }
        leat_buf_add_str(out, "]}");
        return true;
}

/* ---- running ------------------------------------------------------------------------ */
static void take_answer(struct leat_panels *panels, struct panel_watch *w, uint32_t panel,
                        struct leat_panel_answer *answer)
{
        struct panel_state *p = &w->panels[panel];
        struct leat_buf data = LEAT_BUF_INIT;
        bool patch = p->ran && p->error[0] == '\0' && patch_json(&p->answer, answer, &data);
        if (!patch) {
                leat_buf_clear(&data);
                snapshot_json(answer, &data);
        }
        leat_panel_answer_done(&p->answer);
        p->answer = *answer;
        p->error[0] = '\0';
        p->ran = true;
        push(panels, w, node_new(panel, patch ? "patch" : "snapshot", &p->answer, &data));
}

static void take_error(struct leat_panels *panels, struct panel_watch *w, uint32_t panel, const struct leat_error *err)
{
        struct panel_state *p = &w->panels[panel];
        struct leat_buf data = LEAT_BUF_INIT;
        leat_buf_add_str(&data, "{\"message\":");
        leat_buf_json_str(&data, leat_view_str(err->message));
        leat_buf_add_str(&data, ",\"hint\":");
        leat_buf_json_str(&data, leat_view_str(err->hint));
        leat_buf_add_str(&data, "}");
        p->ran = false; /* tried again at the next turn, whatever moves */
        if (data.len < sizeof p->error && strcmp(p->error, leat_buf_cstr(&data)) != 0) {
                memcpy(p->error, data.data, data.len);
                p->error[data.len] = '\0';
                push(panels, w, node_new(panel, "error", &p->answer, &data));
        }
        leat_buf_done(&data);
}

static void run_panel(struct leat_panels *panels, struct panel_watch *w, const struct leat_object *o, uint32_t panel)
{
        struct panel_state *p = &w->panels[panel];
        struct leat_panel_answer answer = {.newest_us = INT64_MIN};
        struct leat_error err = {0};
        uint64_t moved = 0;
        void *arg = panels->options.arg;
        const char *const *values = (const char *const *)w->values;
        int rc = panels->options.moved(arg, o, panel, &moved, &err);
        bool run = rc == 0 && (!p->ran || moved != p->moved);
        if (run)
                rc = panels->options.run(arg, o, panel, values, &answer, &err);
        pthread_mutex_lock(&panels->mutex);
        if (rc != 0) {
                take_error(panels, w, panel, &err);
                leat_panel_answer_done(&answer);
        } else if (run) {
                take_answer(panels, w, panel, &answer);
                p->moved = moved;
                p->age_sent_us = leat_os_monotonic_us();
        } else if (leat_os_monotonic_us() - p->age_sent_us >= PANEL_AGE_US) {
                struct leat_buf data = LEAT_BUF_INIT;
                leat_buf_add_str(&data, "{}");
                p->age_sent_us = leat_os_monotonic_us();
                if (panels->options.age != NULL)
                        panels->options.age(arg, o, panel, &p->answer.age_us, &p->answer.newest_us);
                push(panels, w, node_new(panel, "age", &p->answer, &data));
        }
        pthread_mutex_unlock(&panels->mutex);
}

static void run_watch(struct leat_panels *panels, struct panel_watch *w)
{
        struct leat_arena *arena = leat_arena_new(4096);
        const struct leat_object *o = panels->options.dashboard(panels->options.arg, w->dashboard, arena);
        if (o == NULL || o->version != w->version) {
                pthread_mutex_lock(&panels->mutex);
                w->gone = true;
                pthread_cond_broadcast(&panels->changed);
                pthread_mutex_unlock(&panels->mutex);
        } else {
                for (uint32_t i = 0; i < w->panel_count; i++)
                        run_panel(panels, w, o, i);
        }
        leat_arena_free(arena);
}

static void watch_free(struct panel_watch *w)
{
        for (uint32_t i = 0; i < w->panel_count; i++)
                leat_panel_answer_done(&w->panels[i].answer);
        for (int i = 0; i < PANEL_RING; i++)
                node_unref(w->ring[i]);
        for (uint32_t i = 0; i < w->value_count; i++)
                free(w->values[i]);
        free(w->values);
        free(w->panels);
        free(w->dashboard);
        free(w);
}

/* Frees watches that nobody watches; the mutex is held. */
static void sweep(struct leat_panels *panels)
{
        for (struct panel_watch **at = &panels->watches; *at != NULL;) {
                struct panel_watch *w = *at;
                if (w->watchers != 0 || w->busy) {
                        at = &w->next;
                        continue;
                }
                *at = w->next;
                watch_free(w);
        }
}

static struct panel_watch *next_due(struct leat_panels *panels, int64_t now_us)
{
        struct panel_watch *due = NULL;
        for (struct panel_watch *w = panels->watches; w != NULL; w = w->next)
                if (!w->gone && w->watchers != 0 && w->due_us <= now_us && (due == NULL || w->due_us < due->due_us))
                        due = w;
        return due;
}

static void *runner(void *arg)
{
        struct leat_panels *panels = arg;
        pthread_mutex_lock(&panels->mutex);
        while (!panels->stop) {
                sweep(panels);
                struct panel_watch *w = next_due(panels, leat_os_monotonic_us());
                if (w == NULL && panels->watches == NULL) {
                        pthread_cond_wait(&panels->changed, &panels->mutex); /* for somebody who watches */
                        continue;
                }
                if (w == NULL) {
                        pthread_mutex_unlock(&panels->mutex);
                        leat_os_sleep_us(PANEL_TURN_US);
                        pthread_mutex_lock(&panels->mutex);
                        continue;
                }
                w->busy = true;
                w->due_us = leat_os_monotonic_us() + w->refresh_us;
                pthread_mutex_unlock(&panels->mutex);
                run_watch(panels, w);
                pthread_mutex_lock(&panels->mutex);
                w->busy = false;
        }
        pthread_mutex_unlock(&panels->mutex);
        return NULL;
}

int leat_panels_open(const struct leat_panels_options *options, struct leat_panels **ret_panels, struct leat_error *err)
{
        struct leat_panels *panels = leat_calloc(1, sizeof *panels);
        panels->options = *options;
        pthread_mutex_init(&panels->mutex, NULL);
        pthread_condattr_t attr;
        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        pthread_cond_init(&panels->changed, &attr);
        pthread_condattr_destroy(&attr);
        if (pthread_create(&panels->thread, NULL, runner, panels) != 0) {
                free(panels);
                return leat_error_set(err, LEAT_ENOMEM, "cannot start the thread of the panels");
        }
        *ret_panels = panels;
        return 0;
}

void leat_panels_close(struct leat_panels *panels)
{
        if (panels == NULL)
                return;
        pthread_mutex_lock(&panels->mutex);
        panels->stop = true;
        pthread_cond_broadcast(&panels->changed);
        pthread_mutex_unlock(&panels->mutex);
        pthread_join(panels->thread, NULL);
        sweep(panels);
        pthread_mutex_destroy(&panels->mutex);
        pthread_cond_destroy(&panels->changed);
        free(panels);
}

/* ---- watching --------------------------------------------------------------------------- */
/* The values in the dashboard's order; LEAT_ENOTFOUND for a variable that it has not. */
static int order_values(const struct leat_dashboard_def *d, const char *const *names, const char *const *values,
                        uint32_t count, const char **ordered, struct leat_error *err)
{
        for (uint32_t v = 0; v < d->variable_count; v++)
                ordered[v] = d->variables[v].default_value;
        for (uint32_t i = 0; i < count; i++) {
                uint32_t v = 0;
                while (v < d->variable_count && strcmp(d->variables[v].name, names[i]) != 0)
                        v++;
                if (v == d->variable_count)
                        return leat_error_set(err, LEAT_ENOTFOUND, "the dashboard has no variable \"%s\"", names[i]);
                if (values[i] != NULL)
                        ordered[v] = values[i];
        }
        return 0;
}

static bool same_values(const struct panel_watch *w, const char *const *values, uint32_t count)
{
        for (uint32_t i = 0; i < count; i++) {
                if ((w->values[i] == NULL) != (values[i] == NULL))
                        return false;
                if (values[i] != NULL && strcmp(w->values[i], values[i]) != 0)
                        return false;
        }
        return w->value_count == count;
}

static struct panel_watch *find_watch(struct leat_panels *panels, const struct leat_object *o,
                                      const char *const *values)
{
        for (struct panel_watch *w = panels->watches; w != NULL; w = w->next)
                if (!w->gone && w->version == o->version && strcmp(w->dashboard, o->name) == 0 &&
                    same_values(w, values, o->dashboard->variable_count))
                        return w;
        return NULL;
}

static struct panel_watch *watch_new(struct leat_panels *panels, const struct leat_object *o, const char *const *values)
{
        struct panel_watch *w = leat_calloc(1, sizeof *w);
        w->dashboard = leat_strdup(o->name);
        w->version = o->version;
        w->value_count = o->dashboard->variable_count;
        w->values = leat_calloc(w->value_count + 1, sizeof *w->values);
        for (uint32_t i = 0; i < w->value_count; i++)
                w->values[i] = values[i] == NULL ? NULL : leat_strdup(values[i]);
        w->panel_count = LEAT_MIN(o->dashboard->panel_count, (uint32_t)PANEL_PANELS_MAX);
        w->panels = leat_calloc(w->panel_count + 1, sizeof *w->panels);
        for (uint32_t i = 0; i < w->panel_count; i++)
                w->panels[i].answer.newest_us = INT64_MIN;
        w->refresh_us = o->dashboard->refresh_us;
        w->next = panels->watches;
        panels->watches = w;
        pthread_cond_broadcast(&panels->changed);
        return w;
}

int leat_panels_watch(struct leat_panels *panels, const char *dashboard, const char *const *names,
                      const char *const *values, uint32_t value_count, struct leat_panel_sub **ret_sub,
                      struct leat_error *err)
{
        struct leat_arena *arena = leat_arena_new(4096);
        const struct leat_object *o = panels->options.dashboard(panels->options.arg, dashboard, arena);
        int rc = 0;
        if (o == NULL) {
                rc = leat_error_set(err, LEAT_ENOTFOUND, "dashboard \"%s\" does not exist", dashboard);
                leat_error_hint(err, "SHOW DASHBOARDS lists what there is.");
        } else {
                const char **ordered = leat_arena_zalloc(arena, (o->dashboard->variable_count + 1) * sizeof *ordered);
                rc = order_values(o->dashboard, names, values, value_count, ordered, err);
                if (rc == 0) {
                        struct leat_panel_sub *sub = leat_calloc(1, sizeof *sub);
                        pthread_mutex_lock(&panels->mutex);
                        sub->panels = panels;
                        sub->watch = find_watch(panels, o, ordered);
                        if (sub->watch == NULL)
                                sub->watch = watch_new(panels, o, ordered);
                        sub->watch->watchers++;
                        sub->sequence = sub->watch->sequence;
                        sub->snapshots_left = sub->watch->panel_count;
                        pthread_mutex_unlock(&panels->mutex);
                        *ret_sub = sub;
                }
        }
        leat_arena_free(arena);
        return rc;
}

/* What a watcher that is new or was overtaken must see first: each panel as it is; NULL when all was given. */
static struct panel_node *first_snapshot(struct leat_panel_sub *sub)
{
        while (sub->snapshots_left > 0) {
                uint32_t panel = sub->watch->panel_count - sub->snapshots_left--;
                struct panel_state *p = &sub->watch->panels[panel];
                struct leat_buf data = LEAT_BUF_INIT;
                if (p->error[0] != '\0') {
                        leat_buf_add_str(&data, p->error);
                        return node_new(panel, "error", &p->answer, &data);
                }
                if (!p->ran)
                        continue; /* its first run makes a snapshot event */
                snapshot_json(&p->answer, &data);
                return node_new(panel, "snapshot", &p->answer, &data);
        }
        return NULL;
}

static struct panel_node *next_node(struct leat_panel_sub *sub)
{
        struct panel_watch *w = sub->watch;
        if (w->sequence - sub->sequence > PANEL_RING) {
                sub->sequence = w->sequence;
                sub->snapshots_left = w->panel_count;
        }
        /* Snapshots show the newest answers: events up to then are inside them. */
        if (sub->snapshots_left == w->panel_count)
                sub->sequence = w->sequence;
        struct panel_node *node = first_snapshot(sub);
        if (node != NULL || sub->sequence == w->sequence)
                return node;
        node = w->ring[sub->sequence++ % PANEL_RING];
        node->refs++;
        return node;
}

int leat_panel_sub_next(struct leat_panel_sub *sub, int64_t timeout_us, const struct leat_panel_event **ret_event,
                        struct leat_error *err)
{
        struct leat_panels *panels = sub->panels;
        int64_t end_us = leat_os_monotonic_us() + timeout_us;
        struct timespec until = {.tv_sec = end_us / 1000000, .tv_nsec = end_us % 1000000 * 1000};
        int rc = 0;
        pthread_mutex_lock(&panels->mutex);
        node_unref(sub->given);
        sub->given = NULL;
        for (;;) {
                if (sub->canceled)
                        rc = leat_error_set(err, LEAT_ECANCELED, "the subscription was canceled");
                else if (sub->watch->gone)
                        rc = leat_error_set(err, LEAT_ENOTFOUND, "dashboard \"%s\" was dropped or changed",
                                            sub->watch->dashboard);
                if (rc != 0 || (sub->given = next_node(sub)) != NULL)
                        break;
                if (pthread_cond_timedwait(&panels->changed, &panels->mutex, &until) != 0)
                        break;
        }
        pthread_mutex_unlock(&panels->mutex);
        *ret_event = sub->given == NULL ? NULL : &sub->given->event;
        return rc;
}

void leat_panel_sub_cancel(struct leat_panel_sub *sub)
{
        pthread_mutex_lock(&sub->panels->mutex);
        sub->canceled = true;
        pthread_cond_broadcast(&sub->panels->changed);
        pthread_mutex_unlock(&sub->panels->mutex);
}

void leat_panel_sub_close(struct leat_panel_sub *sub)
{
        if (sub == NULL)
                return;
        pthread_mutex_lock(&sub->panels->mutex);
        sub->watch->watchers--;
        node_unref(sub->given);
        pthread_mutex_unlock(&sub->panels->mutex);
        free(sub);
}
