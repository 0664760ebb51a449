/* SPDX-License-Identifier: Apache-2.0 */
/* leat/view: ticks made by hand, applied by a follower without a thread; panels over answers made by hand. */
#include <stdio.h>

#include "leat/test.h"
#include "view_int.h"

enum { VIEW_ID = 5, ARR_ID = 50, TOPIC_ID = 3 };

static const struct leat_type types[] = {{.id = LEAT_T_VARCHAR}, {.id = LEAT_T_BIGINT}};

/* ---- a follower without a thread ------------------------------------------------- */
struct world {
        struct leat_views *views;
        struct view_follower f;
        struct view_known known;
        uint64_t input;
        struct view_ahead ahead;
        struct leat_arena *arena;
        struct leat_tick_input tick_input;
        struct leat_tick_position position;
        struct leat_tick_job job;
        struct leat_tick_section section;
        struct leat_tick tick;
        struct leat_view_sub *subs; /* made by hand, as leat_view_subscribe does */
};

static void world_open(struct world *w)
{
        struct leat_error err;
        int64_t tick;
        memset(w, 0, sizeof *w);
        CHECK_OK(leat_views_open(&(struct leat_views_options){.data_dir = leat_test_tmpdir()}, &w->views, &err), &err);
        struct leat_state_options options = {.role = LEAT_STATE_READER, .dir = leat_test_tmpdir()};
        w->f.views = w->views;
        w->f.pipeline = leat_strdup("main");
        CHECK_OK(leat_state_open(&options, &w->f.state, &tick, NULL, &err), &err);
        w->arena = leat_arena_new(0);
        w->input = TOPIC_ID;
        w->known = (struct view_known){.id = VIEW_ID, .arr = ARR_ID, .input_count = 1, .inputs = &w->input};
        w->known.def = (struct leat_arr_def){.id = ARR_ID,
                                             .mode = LEAT_ARR_MAP,
                                             .key_count = 1,
                                             .column_count = 2,
                                             .types = types,
                                             .time_column = -1};
        CHECK_OK(leat_state_define(w->f.state, &w->known.def, &err), &err);
        w->f.known = &w->known;
        w->f.known_count = 1;
        w->ahead.object_id = TOPIC_ID;
        w->f.ahead = &w->ahead;
        w->f.ahead_count = 1;
        w->views->followers = &w->f;
        memset(w->tick_input.topic.bytes, 9, 16);
        w->tick_input.object_id = TOPIC_ID;
        w->tick_input.oldest_unread_us = INT64_MIN;
        w->tick_input.newest_event_us = 1234;
        w->position = (struct leat_tick_position){.topic = w->tick_input.topic, .partition = 0, .offset = 0};
        w->job = (struct leat_tick_job){.view_id = VIEW_ID, .state = LEAT_TICK_RUNNING, .behind_us = INT64_MIN};
        w->section.arr_id = ARR_ID;
        w->tick = (struct leat_tick){.pipeline = "main",
                                     .position_count = 1,
                                     .positions = &w->position,
                                     .input_count = 1,
                                     .inputs = &w->tick_input,
                                     .job_count = 1,
                                     .jobs = &w->job,
                                     .section_count = 1,
                                     .sections = &w->section};
}

static void world_close(struct world *w)
{
        leat_picture_unref(w->f.picture);
        leat_state_close(w->f.state);
        w->views->followers = NULL;
        leat_views_close(w->views);
        free(w->f.pipeline);
        free(w->f.ignored);
        leat_arena_free(w->arena);
}

/* Sets "site" to a number; negative: deletes it. */
static void make_tick(struct world *w, const char *site, int64_t number)
{
        w->tick.tick++;
        w->position.offset += 10;
        w->section.rows = leat_batch_new(w->arena, types, 2, 1);
        w->section.rows->rows = 1;
        ((struct leat_string *)w->section.rows->columns[0].data)[0] = leat_string_borrow(leat_view_str(site));
        ((int64_t *)w->section.rows->columns[1].data)[0] = number;
        w->section.weights = leat_arena_alloc(w->arena, 8);
        w->section.weights[0] = number < 0 ? -1 : 1;
}

static void do_tick(struct world *w, const char *site, int64_t number)
{
        struct leat_error err;
        make_tick(w, site, number);
        CHECK_OK(leat_view_apply_tick(&w->f, &w->tick, &err), &err);
        leat_view_show(&w->f, &w->tick, false);
}

static struct leat_view_sub *subscribe(struct world *w)
{
        struct leat_view_sub *sub = leat_calloc(1, sizeof *sub);
        *sub = (struct leat_view_sub){
                .views = w->views, .follower = &w->f, .view_id = VIEW_ID, .arr = ARR_ID, .overrun = true};
        sub->next = w->f.subs;
        w->f.subs = sub;
        return sub;
}

static const struct leat_view_event *next(struct leat_view_sub *sub)
{
        struct leat_error err;
        const struct leat_view_event *event;
        CHECK_OK(leat_view_sub_next(sub, 1000, &event, &err), &err);
        return event;
}

static int64_t number_of(const struct leat_batch *rows)
{
        return ((const int64_t *)rows->columns[1].data)[0];
}

/* Sum over all rows of the picture. */
static int64_t sum_of(const struct leat_picture *picture)
{
        struct leat_error err;
        struct leat_scan *scan;
        const struct leat_batch *rows;
        const int64_t *weights;
        int64_t sum = 0;
        CHECK_OK(leat_scan_open(leat_picture_state(picture), ARR_ID, NULL, 0, &scan, &err), &err);
        for (;;) {
                CHECK_OK(leat_scan_next(scan, &rows, &weights, &err), &err);
                if (rows == NULL)
                        break;
                for (uint32_t i = 0; i < rows->rows; i++)
                        sum += ((const int64_t *)rows->columns[1].data)[i];
        }
        leat_scan_close(scan);
        return sum;
}

/* A picture outlives the bytes that its tick was read from. */
LEAT_TEST(view_picture_keeps_its_tick)
{
        struct world w;
        struct leat_tick_refused refused = {.view_id = VIEW_ID, .object_id = TOPIC_ID, .count = 3};
        world_open(&w);
        w.tick.refused = &refused;
        w.tick.refused_count = 1;
        do_tick(&w, "SEA1", 1);
        refused.count = 99;
        w.position.offset = w.job.late_rows = 99;
        const struct leat_tick *tick = leat_picture_tick(w.f.picture);
        CHECK_INT(tick->refused_count, 1);
        CHECK_INT(tick->refused[0].count, 3);
        CHECK_INT(tick->positions[0].offset, 10);
        CHECK_INT(tick->jobs[0].late_rows, 0);
        world_close(&w);
}

LEAT_TEST(view_pictures)
{
        struct world w;
        struct leat_error err;
        struct leat_picture *first, *second;
        world_open(&w);
        CHECK_INT(leat_picture_get(w.views, "main", 1000, &first, &err), LEAT_EBUSY);
        do_tick(&w, "SEA1", 7);
        int64_t moved = leat_views_moved(w.views, VIEW_ID);
        CHECK_OK(leat_picture_get(w.views, "main", 1000, &first, &err), &err);
        do_tick(&w, "PDX2", 5);
        CHECK(leat_views_moved(w.views, VIEW_ID) > moved);
        CHECK_OK(leat_picture_get(w.views, "main", 1000, &second, &err), &err);
        CHECK_INT(sum_of(first), 7);
        CHECK_INT(sum_of(second), 12);
        CHECK_INT(leat_picture_tick(first)->tick, 1);
        CHECK_INT(leat_picture_tick(second)->tick, 2);
        CHECK_INT(leat_picture_newest_us(second, VIEW_ID), 1234);
        CHECK_OK(leat_picture_check(second, VIEW_ID, "v", &err), &err);
        CHECK_INT(leat_picture_check(second, 99, "w", &err), LEAT_EBUSY);
        leat_picture_unref(first);
        leat_picture_unref(second);
        world_close(&w);
}

LEAT_TEST(view_wait_for_positions)
{
        struct world w;
        struct leat_error err;
        world_open(&w);
        do_tick(&w, "SEA1", 1);
        struct leat_tick_position want = w.position;
        CHECK_OK(leat_views_wait(w.views, "main", VIEW_ID, &want, 1, 1000, &err), &err);
        want.offset++;
        CHECK_INT(leat_views_wait(w.views, "main", VIEW_ID, &want, 1, 1000, &err), LEAT_ETIMEOUT);
        CHECK(err.retriable);
        memset(want.topic.bytes, 1, 16); /* no input of the pipeline */
        CHECK_OK(leat_views_wait(w.views, "main", VIEW_ID, &want, 1, 1000, &err), &err);
        w.job.state = LEAT_TICK_FILLING;
        do_tick(&w, "SEA1", 2);
        CHECK_INT(leat_views_wait(w.views, "main", VIEW_ID, &want, 1, 1000, &err), LEAT_ETIMEOUT);
        world_close(&w);
}

LEAT_TEST(view_age)
{
        struct world w;
        struct leat_error err;
        struct leat_picture *p;
        world_open(&w);
        int64_t now_us = leat_os_now_us();
        do_tick(&w, "SEA1", 1);
        CHECK_OK(leat_picture_get(w.views, "main", 1000, &p, &err), &err);
        CHECK_INT(leat_picture_age_us(w.views, p, VIEW_ID), 0);
        /* A look a second ago saw records that this picture has by now. */
        w.ahead = (struct view_ahead){.object_id = TOPIC_ID, .since_us = now_us - 1000000, .end = w.position.offset};
        CHECK_INT(leat_picture_age_us(w.views, p, VIEW_ID), 0);
        w.ahead.end++;
        CHECK(leat_picture_age_us(w.views, p, VIEW_ID) >= 1000000);
        CHECK_INT(leat_picture_age_us(w.views, p, 99), 0);
        leat_picture_unref(p);
        w.ahead.since_us = 0;
        w.tick_input.oldest_unread_us = now_us - 5000000;
        do_tick(&w, "SEA1", 2);
        CHECK_OK(leat_picture_get(w.views, "main", 1000, &p, &err), &err);
        CHECK(leat_picture_age_us(w.views, p, VIEW_ID) >= 5000000);
        leat_picture_unref(p);
        world_close(&w);
}

LEAT_TEST(view_subscription)
{
        struct world w;
        const struct leat_view_event *e;
        world_open(&w);
        do_tick(&w, "SEA1", 7);
        struct leat_view_sub *sub = subscribe(&w);
        e = next(sub);
        CHECK(e != NULL && e->snapshot != NULL);
        CHECK_INT(e->tick, 1);
        CHECK_INT(sum_of(e->snapshot), 7);
        CHECK(next(sub) == NULL);
        do_tick(&w, "SEA1", 8);
        do_tick(&w, "SEA1", -1);
        e = next(sub);
        CHECK(e != NULL && e->snapshot == NULL);
        CHECK_INT(e->tick, 2);
        CHECK_INT(number_of(e->removed), 7);
        CHECK_INT(number_of(e->added), 8);
        e = next(sub);
        CHECK_INT(e->tick, 3);
        CHECK_INT(number_of(e->removed), 8);
        CHECK_INT(e->added->rows, 0);
        CHECK(next(sub) == NULL);
        leat_view_sub_close(sub);
        world_close(&w);
}

/* Who subscribes while a tick is being applied gets a snapshot that has it, or an event; never neither. */
LEAT_TEST(view_subscription_in_a_tick)
{
        struct world w;
        const struct leat_view_event *e;
        world_open(&w);
        do_tick(&w, "SEA1", 7);
        make_tick(&w, "SEA1", 9);
        struct view_change *change = leat_view_change_begin(&w.f, &w.tick);
        CHECK(change == NULL);
        struct leat_view_sub *sub = subscribe(&w);
        e = next(sub);
        CHECK_INT(sum_of(e->snapshot), 7);
        struct leat_error err;
        CHECK_OK(leat_state_apply(w.f.state, ARR_ID, w.tick.tick, w.section.rows, w.section.weights, &err), &err);
        leat_view_change_end(&w.f, change, &w.tick);
        leat_view_show(&w.f, &w.tick, false);
        e = next(sub);
        CHECK(e != NULL && e->snapshot != NULL);
        CHECK_INT(sum_of(e->snapshot), 9);
        leat_view_sub_close(sub);
        world_close(&w);
}

LEAT_TEST(view_subscription_two_sections)
{
        struct world w;
        struct leat_error err;
        const struct leat_view_event *e;
        world_open(&w);
        do_tick(&w, "SEA1", 7);
        struct leat_view_sub *sub = subscribe(&w);
        CHECK(next(sub)->snapshot != NULL);
        make_tick(&w, "SEA1", 8);
        struct leat_tick_section two[2] = {w.section};
        make_tick(&w, "PDX2", 3);
        two[1] = w.section;
        w.tick.section_count = 2;
        w.tick.sections = two;
        CHECK_OK(leat_view_apply_tick(&w.f, &w.tick, &err), &err);
        leat_view_show(&w.f, &w.tick, false);
        int64_t sum = 0;
        int events = 0;
        while ((e = next(sub)) != NULL) {
                sum += number_of(e->added);
                events++;
        }
        CHECK_INT(events, 2);
        CHECK_INT(sum, 11);
        leat_view_sub_close(sub);
        world_close(&w);
}

LEAT_TEST(view_slow_subscriber)
{
        struct world w;
        const struct leat_view_event *e;
        world_open(&w);
        do_tick(&w, "SEA1", 1);
        struct leat_view_sub *sub = subscribe(&w);
        CHECK(next(sub)->snapshot != NULL);
        int64_t limit = leat_param(LEAT_P_VIEW_SUBSCRIPTION_TICKS);
        for (int64_t i = 0; i < limit + 5; i++)
                do_tick(&w, "SEA1", 2 + i);
        e = next(sub);
        CHECK(e->snapshot != NULL);
        CHECK_INT(sum_of(e->snapshot), limit + 6);
        CHECK(next(sub) == NULL);
        do_tick(&w, "SEA1", 1);
        CHECK_INT(number_of(next(sub)->added), 1);
        leat_view_sub_cancel(sub);
        struct leat_error err;
        CHECK_INT(leat_view_sub_next(sub, 1000, &e, &err), LEAT_ECANCELED);
        leat_view_sub_close(sub);
        world_close(&w);
}

/* ---- panels ---------------------------------------------------------------------- */
struct panels_world {
        pthread_mutex_t mutex; /* guards all below */
        uint64_t moved, version;
        int rows, runs;
        int64_t first;
        bool fail;
};

static int fake_run(void *arg, const struct leat_object *dashboard, uint32_t panel, const char *const *values,
                    struct leat_panel_answer *answer, struct leat_error *err)
{
        struct panels_world *w = arg;
        (void)dashboard;
        (void)panel;
        pthread_mutex_lock(&w->mutex);
        w->runs++;
        int rows = w->rows;
        int64_t first = w->first;
        bool fail = w->fail;
        pthread_mutex_unlock(&w->mutex);
        if (fail)
                return leat_error_set(err, LEAT_EBUSY, "view \"%s\" is still being filled", values[0]);
        leat_buf_add_str(&answer->columns, "[{\"name\":\"n\",\"type\":\"BIGINT\"}]");
        answer->row_ends = leat_malloc(((size_t)rows + 1) * sizeof *answer->row_ends);
        for (int i = 0; i < rows; i++) {
                leat_buf_printf(&answer->rows, "[\"%s\",%lld]", values[0], (long long)(i == 0 ? first : i));
                answer->row_ends[answer->row_count++] = (uint32_t)answer->rows.len;
        }
        answer->tick = 3;
        return 0;
}

static int fake_moved(void *arg, const struct leat_object *dashboard, uint32_t panel, uint64_t *ret,
                      struct leat_error *err)
{
        struct panels_world *w = arg;
        (void)dashboard;
        (void)panel;
        (void)err;
        pthread_mutex_lock(&w->mutex);
        *ret = w->moved;
        pthread_mutex_unlock(&w->mutex);
        return 0;
}

static const struct leat_object *fake_dashboard(void *arg, const char *name, struct leat_arena *arena)
{
        struct panels_world *w = arg;
        if (strcmp(name, "wall") != 0)
                return NULL;
        struct leat_object *o = leat_arena_zalloc(arena, sizeof *o);
        struct leat_dashboard_def *d = leat_arena_zalloc(arena, sizeof *d);
        static const struct leat_variable_def variable = {.name = "site", .default_value = "SEA1"};
        d->variable_count = 1;
        d->variables = &variable;
        d->panel_count = 1;
        d->refresh_us = 1000;
        o->name = "wall";
        o->dashboard = d;
        pthread_mutex_lock(&w->mutex);
        o->version = w->version;
        pthread_mutex_unlock(&w->mutex);
        return o;
}

static void change(struct panels_world *w, int rows, int64_t first, bool fail)
{
        pthread_mutex_lock(&w->mutex);
        w->rows = rows;
        w->first = first;
        w->fail = fail;
        w->moved++;
        pthread_mutex_unlock(&w->mutex);
}

static const struct leat_panel_event *next_panel(struct leat_panel_sub *sub)
{
        struct leat_error err;
        const struct leat_panel_event *event;
        do
                CHECK_OK(leat_panel_sub_next(sub, 5000000, &event, &err), &err);
        while (event != NULL && strcmp(event->kind, "age") == 0);
        CHECK(event != NULL);
        return event;
}

static void check_event(struct leat_panel_sub *sub, const char *kind, const char *data)
{
        const struct leat_panel_event *e = next_panel(sub);
        char text[512];
        snprintf(text, sizeof text, "%.*s", (int)e->data.len, (const char *)e->data.data);
        CHECK_STR(e->kind, kind);
        CHECK_STR(text, data);
}

LEAT_TEST(view_panels)
{
        struct panels_world w = {
                .mutex = PTHREAD_MUTEX_INITIALIZER, .moved = 1, .version = 1, .rows = 30, .first = 100};
        struct leat_error err;
        struct leat_panels *panels;
        struct leat_panel_sub *a, *b;
        const struct leat_panel_event *e;
        struct leat_panels_options options = {
                .run = fake_run, .moved = fake_moved, .dashboard = fake_dashboard, .arg = &w};
        CHECK_OK(leat_panels_open(&options, &panels, &err), &err);
        CHECK_INT(leat_panels_watch(panels, "none", NULL, NULL, 0, &a, &err), LEAT_ENOTFOUND);
        const char *names[] = {"site", "nowhere"}, *values[] = {"SEA1", "x"};
        CHECK_INT(leat_panels_watch(panels, "wall", names + 1, values, 1, &a, &err), LEAT_ENOTFOUND);
        CHECK_OK(leat_panels_watch(panels, "wall", names, values, 1, &a, &err), &err);
        CHECK_OK(leat_panels_watch(panels, "wall", NULL, NULL, 0, &b, &err), &err); /* the default is the same */
        CHECK_STR(next_panel(a)->kind, "snapshot");
        CHECK_STR(next_panel(b)->kind, "snapshot");
        CHECK_INT(w.runs, 1);
        change(&w, 30, 101, false);
        check_event(a, "patch", "{\"count\":30,\"set\":[[0,[\"SEA1\",101]]]}");
        check_event(b, "patch", "{\"count\":30,\"set\":[[0,[\"SEA1\",101]]]}");
        CHECK_INT(w.runs, 2);
        change(&w, 0, 0, true);
        CHECK_STR(next_panel(a)->kind, "error");
        change(&w, 1, 5, false);
        check_event(a, "snapshot", "{\"columns\":[{\"name\":\"n\",\"type\":\"BIGINT\"}],\"rows\":[[\"SEA1\",5]]}");
        /* A dashboard that was changed ends its watches. */
        pthread_mutex_lock(&w.mutex);
        w.version++;
        pthread_mutex_unlock(&w.mutex);
        int rc;
        do
                rc = leat_panel_sub_next(a, 5000000, &e, &err);
        while (rc == 0 && e != NULL);
        CHECK_INT(rc, LEAT_ENOTFOUND);
        leat_panel_sub_close(a);
        leat_panel_sub_close(b);
        leat_panels_close(panels);
}

/* Many changes while nobody reads: the slow one gets the newest snapshot, not the history. */
LEAT_TEST(view_panel_slow_watcher)
{
        struct panels_world w = {.mutex = PTHREAD_MUTEX_INITIALIZER, .moved = 1, .version = 1, .rows = 1, .first = 0};
        struct leat_error err;
        struct leat_panels *panels;
        struct leat_panel_sub *a, *fast;
        struct leat_panels_options options = {
                .run = fake_run, .moved = fake_moved, .dashboard = fake_dashboard, .arg = &w};
        CHECK_OK(leat_panels_open(&options, &panels, &err), &err);
        CHECK_OK(leat_panels_watch(panels, "wall", NULL, NULL, 0, &a, &err), &err);
        CHECK_OK(leat_panels_watch(panels, "wall", NULL, NULL, 0, &fast, &err), &err);
        (void)next_panel(a);
        (void)next_panel(fast);
        for (int i = 1; i <= 300; i++) {
                change(&w, 1, i, false);
                (void)next_panel(fast);
        }
        check_event(a, "snapshot", "{\"columns\":[{\"name\":\"n\",\"type\":\"BIGINT\"}],\"rows\":[[\"SEA1\",300]]}");
        leat_panel_sub_close(a);
        leat_panel_sub_close(fast);
        leat_panels_close(panels);
}
