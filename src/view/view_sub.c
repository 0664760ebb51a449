/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/view: subscriptions. For each tick that touches a subscribed view the
 * follower looks up the rows that its section replaces, applies the tick, and
 * gives every subscriber of the view one event with rows that went and rows
 * that came.
 *
 * MAP arrangements: went = the old rows of the section's keys, came = their new
 * rows. MULTISET: the section's own rows, by the sign of their weights.
 * Whole buckets that expire are not events: a row that leaves a window view by
 * its retention is history, not a change.
 *
 * The rows of a tick are kept once, however many queues hold its events. A
 * queue holds at most view.subscription.ticks events and about
 * view.subscription.bytes; a subscriber that is slower loses them all and gets
 * a snapshot again.
 */
#include "view_int.h"

#define SUB_START_US (10LL * 1000 * 1000)

struct view_rows {
        atomic_uint refs;
        struct leat_arena *arena;
        size_t bytes;
};

struct view_change {
        struct leat_arena *arena; /* scratch */
        struct view_rows *rows;   /* what the events hold */
        struct view_change_part *parts;
};

/* One subscribed arrangement of the tick. */
struct view_change_part {
        struct view_change_part *next;
        uint64_t arr;
        const struct leat_tick_section *section;
        struct leat_batch *keys; /* MAP: distinct keys of the section */
        struct leat_batch *removed, *added;
        int64_t *removed_weights, *added_weights;
};

static struct view_rows *rows_new(void)
{
        struct view_rows *rows = leat_calloc(1, sizeof *rows);
        atomic_init(&rows->refs, 1);
        rows->arena = leat_arena_new(0);
        return rows;
}

static void rows_unref(struct view_rows *rows)
{
        if (rows == NULL || atomic_fetch_sub(&rows->refs, 1) > 1)
                return;
        leat_arena_free(rows->arena);
        free(rows);
}

static bool is_subscribed(struct view_follower *f, uint64_t arr)
{
        bool found = false;
        pthread_mutex_lock(&f->views->mutex);
        for (const struct leat_view_sub *s = f->subs; s != NULL; s = s->next)
                found |= s->arr == arr;
        pthread_mutex_unlock(&f->views->mutex);
        return found;
}

/* The rows among @rows whose bit is set. */
static struct leat_batch *pick_found(struct leat_arena *arena, const struct leat_batch *rows, const uint64_t *found)
{
        uint32_t *pick = leat_arena_alloc(arena, (rows->rows + 1) * sizeof *pick), n = 0;
        for (uint32_t i = 0; i < rows->rows; i++)
                if ((found[i >> 6] >> (i & 63)) & 1)
                        pick[n++] = i;
        return leat_batch_gather(arena, rows, pick, n);
}

static struct leat_batch *lookup(struct view_follower *f, uint64_t arr, const struct leat_batch *keys,
                                 struct leat_arena *arena)
{
        struct leat_state_snapshot *snapshot = leat_state_snapshot_take(f->state);
        struct leat_batch *rows, *picked = NULL;
        uint64_t *found;
        if (leat_state_lookup(snapshot, arr, keys, arena, &rows, &found, NULL) == 0)
                picked = leat_batch_copy(arena, pick_found(arena, rows, found));
        leat_state_snapshot_unref(snapshot);
        return picked;
}

/* Key columns of the section without repeats: the text of a key is its identity. */
static struct leat_batch *distinct_keys(struct leat_arena *arena, const struct leat_batch *rows, uint32_t key_count)
{
        struct leat_batch keys = {.rows = rows->rows, .column_count = key_count, .columns = rows->columns};
        uint32_t slots = 64, *table, *pick = leat_arena_alloc(arena, (rows->rows + 1) * sizeof *pick), n = 0;
        struct leat_buf text = LEAT_BUF_INIT, other = LEAT_BUF_INIT;
        while (slots < rows->rows * 2)
                slots *= 2;
        table = leat_arena_zalloc(arena, slots * sizeof *table);
        for (uint32_t r = 0; r < rows->rows; r++) {
                leat_buf_clear(&text);
                for (uint32_t c = 0; c < key_count; c++) {
                        leat_buf_u8(&text, leat_column_print(&rows->columns[c], r, &text) ? 1 : 0);
                        leat_buf_u8(&text, 0);
                }
                uint32_t at = (uint32_t)leat_hash64(0, text.data, text.len) & (slots - 1);
                for (; table[at] != 0; at = (at + 1) & (slots - 1)) {
                        leat_buf_clear(&other);
                        for (uint32_t c = 0; c < key_count; c++) {
                                leat_buf_u8(&other,
                                            leat_column_print(&rows->columns[c], table[at] - 1, &other) ? 1 : 0);
                                leat_buf_u8(&other, 0);
                        }
                        if (leat_view_eq(leat_buf_view(&text), leat_buf_view(&other)))
                                break;
                }
                if (table[at] == 0) {
                        table[at] = r + 1;
                        pick[n++] = r;
                }
        }
        leat_buf_done(&text);
        leat_buf_done(&other);
        return leat_batch_copy(arena, leat_batch_gather(arena, &keys, pick, n));
}

struct view_change *leat_view_change_begin(struct view_follower *f, const struct leat_tick *tick)
{
        struct view_change *change = NULL;
        for (uint32_t i = 0; i < tick->section_count; i++) {
                const struct leat_tick_section *s = &tick->sections[i];
                const struct leat_arr_def *def = leat_state_def(f->state, s->arr_id);
                if (def == NULL || !is_subscribed(f, s->arr_id))
                        continue;
                if (change == NULL) {
                        change = leat_calloc(1, sizeof *change);
                        change->arena = leat_arena_new(0);
                        change->rows = rows_new();
                }
                struct view_change_part *part = leat_arena_zalloc(change->arena, sizeof *part);
                part->arr = s->arr_id;
                part->section = s;
                if (def->mode == LEAT_ARR_MAP && def->order_count == 0) {
                        part->keys = distinct_keys(change->arena, s->rows, def->key_count);
                        part->removed = lookup(f, s->arr_id, part->keys, change->arena);
                }
                part->next = change->parts;
                change->parts = part;
        }
        return change;
}

/* Rows of a MULTISET section whose weight has this sign, weights made positive. */
static struct leat_batch *signed_rows(struct leat_arena *arena, const struct leat_tick_section *s, int sign,
                                      int64_t **ret_weights)
{
        uint32_t *pick = leat_arena_alloc(arena, (s->rows->rows + 1) * sizeof *pick), n = 0;
        int64_t *weights = leat_arena_alloc(arena, (s->rows->rows + 1) * sizeof *weights);
        for (uint32_t i = 0; i < s->rows->rows; i++) {
                int64_t w = (s->weights == NULL ? 1 : s->weights[i]) * sign;
                if (w <= 0)
                        continue;
                weights[n] = w;
                pick[n++] = i;
        }
        *ret_weights = weights;
        return leat_batch_copy(arena, leat_batch_gather(arena, s->rows, pick, n));
}

static void free_queued(struct view_queued *q)
{
        if (q == NULL)
                return;
        leat_picture_unref(q->event.snapshot);
        rows_unref(q->rows);
        free(q);
}

static void clear_queue(struct leat_view_sub *sub)
{
        while (sub->first != NULL) {
                struct view_queued *next = sub->first->next;
                free_queued(sub->first);
                sub->first = next;
        }
        sub->last = NULL;
        sub->queued = 0;
        sub->queued_bytes = 0;
}

static void enqueue(struct leat_view_sub *sub, struct view_queued *q)
{
        if (sub->last == NULL)
                sub->first = q;
        else
                sub->last->next = q;
        sub->last = q;
        sub->queued++;
        sub->queued_bytes += q->rows->bytes;
}

/* After the tick: what came; what events hold is copied out of the scratch, once for all subscribers. */
static void finish_part(struct view_follower *f, struct view_change *change, struct view_change_part *part)
{
        struct leat_arena *kept = change->rows->arena;
        if (part->keys != NULL) {
                part->added = lookup(f, part->arr, part->keys, change->arena);
        } else {
                part->removed = signed_rows(change->arena, part->section, -1, &part->removed_weights);
                part->added = signed_rows(change->arena, part->section, 1, &part->added_weights);
        }
        if (part->removed != NULL) {
                part->removed_weights =
                        leat_arena_copy(kept, part->removed_weights, part->removed->rows * sizeof(int64_t));
                part->removed = leat_batch_copy(kept, part->removed);
        }
        if (part->added != NULL) {
                part->added_weights = leat_arena_copy(kept, part->added_weights, part->added->rows * sizeof(int64_t));
                part->added = leat_batch_copy(kept, part->added);
        }
}

static void give_part(const struct leat_tick *tick, const struct view_change_part *part, struct view_rows *rows,
                      struct leat_view_sub *sub)
{
        /* One event, of whatever size, always has room. */
        if (sub->queued >= (uint32_t)leat_param(LEAT_P_VIEW_SUBSCRIPTION_TICKS) ||
            (sub->queued != 0 &&
             sub->queued_bytes + rows->bytes > (size_t)leat_param(LEAT_P_VIEW_SUBSCRIPTION_BYTES))) {
                clear_queue(sub);
                sub->overrun = true;
        }
        if (sub->overrun) {
                sub->need_tick = tick->tick; /* the snapshot that it gets next must have this tick inside */
                return;
        }
        struct view_queued *q = leat_calloc(1, sizeof *q);
        atomic_fetch_add(&rows->refs, 1);
        q->rows = rows;
        q->event.tick = tick->tick;
        q->event.time_us = tick->time_us;
        q->event.removed = part->removed;
        q->event.removed_weights = part->removed_weights;
        q->event.added = part->added;
        q->event.added_weights = part->added_weights;
        enqueue(sub, q);
}

static struct view_change_part *find_part(const struct view_change *change, uint64_t arr)
{
        struct view_change_part *p = change != NULL ? change->parts : NULL;
        while (p != NULL && p->arr != arr)
                p = p->next;
        return p;
}

/* Subscribers that came while the tick was being applied have the snapshot before it, and there is no event for them:
 * they get a snapshot with the tick inside. */
static void resend(struct view_follower *f, const struct view_change *change, const struct leat_tick *tick)
{
        for (struct leat_view_sub *s = f->subs; s != NULL; s = s->next)
                for (uint32_t i = 0; i < tick->section_count; i++)
                        if (tick->sections[i].arr_id == s->arr && find_part(change, s->arr) == NULL) {
                                clear_queue(s);
                                s->overrun = true;
                                s->need_tick = tick->tick;
                        }
}

void leat_view_change_end(struct view_follower *f, struct view_change *change, const struct leat_tick *tick)
{
        if (tick != NULL) {
                for (struct view_change_part *p = change != NULL ? change->parts : NULL; p != NULL; p = p->next)
                        finish_part(f, change, p);
                if (change != NULL)
                        change->rows->bytes = leat_arena_bytes(change->rows->arena);
                pthread_mutex_lock(&f->views->mutex);
                for (struct view_change_part *p = change != NULL ? change->parts : NULL; p != NULL; p = p->next)
                        for (struct leat_view_sub *s = f->subs; s != NULL; s = s->next)
                                if (s->arr == p->arr)
                                        give_part(tick, p, change->rows, s);
                resend(f, change, tick);
                pthread_mutex_unlock(&f->views->mutex);
        }
        if (change == NULL)
                return;
        leat_arena_free(change->arena);
        rows_unref(change->rows);
        free(change);
}

void leat_view_subs_drop(struct view_follower *f, uint64_t view_id)
{
        for (struct leat_view_sub **at = &f->subs; *at != NULL;) {
                struct leat_view_sub *s = *at;
                if (view_id != 0 && s->view_id != view_id) {
                        at = &s->next;
                        continue;
                }
                *at = s->next;
                s->follower = NULL;
        }
        pthread_cond_broadcast(&f->views->changed);
}

/* ---- the subscriber's side --------------------------------------------------------------- */
int leat_view_subscribe(struct leat_views *views, const struct leat_object *view, struct leat_view_sub **ret_sub,
                        struct leat_error *err)
{
        struct leat_picture *picture;
        struct leat_stream_graph *graph;
        /* A view that was just made needs a moment until its pipeline has it; what then is missing, check tells. */
        (void)!leat_views_wait(views, view->view->pipeline, view->id, NULL, 0, SUB_START_US, NULL);
        LEAT_TRY(leat_picture_get(views, view->view->pipeline, SUB_START_US, &picture, err));
        int rc = leat_picture_check(picture, view->id, view->name, err);
        leat_picture_unref(picture);
        if (rc != 0)
                return rc;
        struct leat_arena *arena = leat_arena_new(0);
        rc = leat_stream_graph_decode(arena, view->view->graph, &graph, err);
        if (rc == 0) {
                struct leat_view_sub *sub = leat_calloc(1, sizeof *sub);
                sub->views = views;
                sub->view_id = view->id;
                sub->arr = leat_stream_arr_def(graph, 0).id;
                sub->overrun = true; /* a snapshot first */
                pthread_mutex_lock(&views->mutex);
                sub->follower = leat_view_follower_find(views, view->view->pipeline);
                sub->next = sub->follower->subs;
                sub->follower->subs = sub;
                pthread_mutex_unlock(&views->mutex);
                *ret_sub = sub;
        }
        leat_arena_free(arena);
        return rc;
}

/* A snapshot event, if the subscriber needs one and there is a picture. The mutex is held: ticks that come later are
 * not in the picture yet, so none is lost and none comes twice. */
static struct view_queued *take_snapshot(struct leat_view_sub *sub)
{
        if (!sub->overrun || sub->follower->picture == NULL || sub->follower->picture->tick->tick < sub->need_tick)
                return NULL;
        struct view_queued *q = leat_calloc(1, sizeof *q);
        sub->overrun = false;
        q->event.snapshot = leat_picture_ref(sub->follower->picture);
        q->event.tick = q->event.snapshot->tick->tick;
        q->event.time_us = q->event.snapshot->tick->time_us;
        return q;
}

int leat_view_sub_next(struct leat_view_sub *sub, int64_t timeout_us, const struct leat_view_event **ret_event,
                       struct leat_error *err)
{
        int64_t end_us = leat_os_monotonic_us() + timeout_us;
        struct timespec until = {.tv_sec = end_us / 1000000, .tv_nsec = end_us % 1000000 * 1000};
        int rc = 0;
        free_queued(sub->given);
        sub->given = NULL;
        pthread_mutex_lock(&sub->views->mutex);
        for (;;) {
                if (sub->canceled)
                        rc = leat_error_set(err, LEAT_ECANCELED, "the subscription was canceled");
                else if (sub->follower == NULL)
                        rc = leat_error_set(err, LEAT_ENORELATION,
                                            "the view has been dropped, or its pipeline was opened anew");
                if (rc != 0)
                        break;
                sub->given = take_snapshot(sub);
                /* Ticks between the picture and the event queue: those at or below the snapshot's are inside it. */
                while (sub->given == NULL && sub->first != NULL) {
                        struct view_queued *q = sub->first;
                        sub->first = q->next;
                        if (sub->first == NULL)
                                sub->last = NULL;
                        sub->queued--;
                        sub->queued_bytes -= q->rows->bytes;
                        if (q->event.tick <= sub->seen_tick)
                                free_queued(q);
                        else
                                sub->given = q;
                }
                if (sub->given != NULL || pthread_cond_timedwait(&sub->views->changed, &sub->views->mutex, &until) != 0)
                        break;
        }
        pthread_mutex_unlock(&sub->views->mutex);
        if (rc != 0)
                return rc;
        if (sub->given != NULL && sub->given->event.snapshot != NULL)
                sub->seen_tick = sub->given->event.tick;
        *ret_event = sub->given == NULL ? NULL : &sub->given->event;
        return 0;
}

void leat_view_sub_cancel(struct leat_view_sub *sub)
{
        pthread_mutex_lock(&sub->views->mutex);
        sub->canceled = true;
        pthread_cond_broadcast(&sub->views->changed);
        pthread_mutex_unlock(&sub->views->mutex);
}

void leat_view_sub_close(struct leat_view_sub *sub)
{
        if (sub == NULL)
                return;
        pthread_mutex_lock(&sub->views->mutex);
        if (sub->follower != NULL) {
                struct leat_view_sub **at = &sub->follower->subs;
                while (*at != sub)
                        at = &(*at)->next;
                *at = sub->next;
        }
        clear_queue(sub);
        pthread_mutex_unlock(&sub->views->mutex);
        free_queued(sub->given);
        free(sub);
}
