/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/catalog: definitions as bytes, and names of kinds.
 *
 * Format  one version byte, then the fields in the order of the structs in
 *         leat/catalog.h: numbers as LEB128 (signed ones zigzag), texts as
 *         length + 1 and bytes (0 = none), types as leat_type_encode writes
 *         them. docs/formats.md, "catalog.db".
 * Failure decoding checks every count against the bytes that are left before it
 *         allocates; a short or long encoding is LEAT_ECORRUPT.
 */
#include "catalog_int.h"

#include <strings.h>

#define BODY_VERSION 1
#define COLUMNS_MAX 10000

static void put_text(struct leat_buf *out, const char *text)
{
        if (text == NULL) {
                leat_buf_uvarint(out, 0);
                return;
        }
        size_t len = strlen(text);
        leat_buf_uvarint(out, len + 1);
        leat_buf_add(out, text, len);
}

static void put_view(struct leat_buf *out, struct leat_view view)
{
        leat_buf_uvarint(out, view.len);
        leat_buf_add_view(out, view);
}

static void put_columns(struct leat_buf *out, const struct leat_column_def *columns, uint32_t count)
{
        leat_buf_uvarint(out, count);
        for (uint32_t i = 0; i < count; i++) {
                put_text(out, columns[i].name);
                leat_type_encode(&columns[i].type, out);
                leat_buf_u8(out, (uint8_t)(columns[i].not_null | columns[i].added << 1));
        }
}

static void put_indexes(struct leat_buf *out, const uint32_t *indexes, uint32_t count)
{
        leat_buf_uvarint(out, count);
        for (uint32_t i = 0; i < count; i++)
                leat_buf_uvarint(out, indexes[i]);
}

static void put_topic(struct leat_buf *out, const struct leat_topic_def *topic)
{
        leat_buf_add(out, topic->topic_id, sizeof topic->topic_id);
        leat_buf_u8(out, topic->adopted);
        leat_buf_u8(out, topic->format);
        put_columns(out, topic->columns, topic->column_count);
        put_indexes(out, topic->keys, topic->key_count);
        leat_buf_varint(out, topic->watermark_column);
        leat_buf_varint(out, topic->watermark_delay_us);
        leat_buf_varint(out, topic->partitions);
        leat_buf_varint(out, topic->retention_us);
        leat_buf_varint(out, topic->retention_bytes);
        leat_buf_varint(out, topic->idle_timeout_us);
        leat_buf_varint(out, topic->max_ahead_us);
}

static void put_view_def(struct leat_buf *out, const struct leat_view_def *view)
{
        put_columns(out, view->columns, view->column_count);
        put_view(out, view->body);
        put_indexes(out, view->keys, view->key_count);
        put_text(out, view->pipeline);
        leat_buf_u8(out, view->emit);
        leat_buf_u8(out, view->late);
        leat_buf_u8(out, view->start);
        leat_buf_varint(out, view->start_us);
        leat_buf_varint(out, view->grace_us);
        leat_buf_varint(out, view->retention_us);
        leat_buf_varint(out, view->max_state_bytes);
        leat_buf_u8(out, view->paused);
        put_view(out, view->graph);
}

static void put_double(struct leat_buf *out, double value)
{
        uint64_t bits;
        memcpy(&bits, &value, sizeof bits);
        leat_buf_le64(out, bits);
}

static void put_panel(struct leat_buf *out, const struct leat_panel_def *panel)
{
        put_text(out, panel->name);
        put_text(out, panel->title);
        leat_buf_u8(out, panel->type);
        put_text(out, panel->sql);
        put_text(out, panel->x);
        leat_buf_uvarint(out, panel->y_count);
        for (uint32_t i = 0; i < panel->y_count; i++)
                put_text(out, panel->y[i]);
        put_text(out, panel->series);
        put_text(out, panel->unit);
        leat_buf_u8(out, (uint8_t)(panel->has_warn | panel->has_alarm << 1));
        put_double(out, panel->warn);
        put_double(out, panel->alarm);
        for (int i = 0; i < 4; i++)
                leat_buf_varint(out, panel->at[i]);
}

static void put_dashboard(struct leat_buf *out, const struct leat_dashboard_def *dashboard)
{
        put_text(out, dashboard->title);
        leat_buf_varint(out, dashboard->refresh_us);
        leat_buf_uvarint(out, dashboard->variable_count);
        for (uint32_t i = 0; i < dashboard->variable_count; i++) {
                put_text(out, dashboard->variables[i].name);
                put_text(out, dashboard->variables[i].sql);
                put_text(out, dashboard->variables[i].default_value);
        }
        leat_buf_uvarint(out, dashboard->panel_count);
        for (uint32_t i = 0; i < dashboard->panel_count; i++)
                put_panel(out, &dashboard->panels[i]);
}

void leat_object_encode(const struct leat_object *object, struct leat_buf *out)
{
        leat_buf_u8(out, BODY_VERSION);
        switch (object->kind) {
        case LEAT_OBJECT_TOPIC:
                put_topic(out, object->topic);
                break;
        case LEAT_OBJECT_VIEW:
        case LEAT_OBJECT_MATVIEW:
                put_view_def(out, object->view);
                break;
        default:
                put_dashboard(out, object->dashboard);
                break;
        }
}

static char *get_text(struct leat_arena *arena, struct leat_cursor *cur)
{
        uint64_t len = leat_cursor_uvarint(cur);
        if (len == 0)
                return NULL;
        struct leat_view view = leat_cursor_bytes(cur, (size_t)(len - 1));
        return leat_arena_strndup(arena, view.len != 0 ? (const char *)view.data : "", view.len);
}

/* A text that must be there. */
static char *need_text(struct leat_arena *arena, struct leat_cursor *cur)
{
        char *text = get_text(arena, cur);
        if (text != NULL)
                return text;
        cur->failed = true;
        return leat_arena_strdup(arena, "");
}

static struct leat_view get_view(struct leat_arena *arena, struct leat_cursor *cur)
{
        struct leat_view view = leat_cursor_bytes(cur, (size_t)leat_cursor_uvarint(cur));
        /* Bytes, not text: a NUL inside is one of them. */
        uint8_t *copy = leat_arena_alloc(arena, view.len);
        if (view.len != 0)
                memcpy(copy, view.data, view.len);
        return leat_view_of(copy, view.len);
}

/* A count of things that take at least one byte each. */
static uint32_t get_count(struct leat_cursor *cur)
{
        uint64_t count = leat_cursor_uvarint(cur);
        if (count > leat_cursor_left(cur) || count > COLUMNS_MAX)
                cur->failed = true;
        return cur->failed ? 0 : (uint32_t)count;
}

static int get_columns(struct leat_arena *arena, struct leat_cursor *cur, const struct leat_column_def **ret_columns,
                       uint32_t *ret_count, struct leat_error *err)
{
        uint32_t count = get_count(cur);
        struct leat_column_def *columns = leat_arena_zalloc(arena, count * sizeof *columns);
        for (uint32_t i = 0; i < count; i++) {
                columns[i].name = need_text(arena, cur);
                LEAT_TRY(leat_type_decode(arena, cur, &columns[i].type, err));
                uint8_t flags = leat_cursor_u8(cur);
                columns[i].not_null = (flags & 1) != 0;
                columns[i].added = (flags & 2) != 0;
        }
        *ret_columns = columns;
        *ret_count = count;
        return 0;
}

/* Indexes into @limit things. */
static const uint32_t *get_indexes(struct leat_arena *arena, struct leat_cursor *cur, uint32_t limit,
                                   uint32_t *ret_count)
{
        uint32_t count = get_count(cur);
        uint32_t *indexes = leat_arena_alloc(arena, count * sizeof *indexes);
        for (uint32_t i = 0; i < count; i++) {
                uint64_t index = leat_cursor_uvarint(cur);
                if (index >= limit)
                        cur->failed = true;
                indexes[i] = (uint32_t)index;
        }
        *ret_count = count;
        return indexes;
}

static int get_topic(struct leat_arena *arena, struct leat_cursor *cur, const struct leat_topic_def **ret_topic,
                     struct leat_error *err)
{
        struct leat_topic_def *topic = leat_arena_zalloc(arena, sizeof *topic);
        struct leat_view id = leat_cursor_bytes(cur, sizeof topic->topic_id);
        if (id.len == sizeof topic->topic_id)
                memcpy(topic->topic_id, id.data, id.len);
        topic->adopted = leat_cursor_u8(cur) != 0;
        topic->format = leat_cursor_u8(cur);
        LEAT_TRY(get_columns(arena, cur, &topic->columns, &topic->column_count, err));
        topic->keys = get_indexes(arena, cur, topic->column_count, &topic->key_count);
        int64_t watermark = leat_cursor_varint(cur);
        if (watermark < -1 || watermark >= (int64_t)topic->column_count)
                cur->failed = true;
        topic->watermark_column = (int32_t)watermark;
        topic->watermark_delay_us = leat_cursor_varint(cur);
        topic->partitions = (int32_t)leat_cursor_varint(cur);
        topic->retention_us = leat_cursor_varint(cur);
        topic->retention_bytes = leat_cursor_varint(cur);
        topic->idle_timeout_us = leat_cursor_varint(cur);
        topic->max_ahead_us = leat_cursor_varint(cur);
        *ret_topic = topic;
        return 0;
}

static int get_view_def(struct leat_arena *arena, struct leat_cursor *cur, const struct leat_view_def **ret_view,
                        struct leat_error *err)
{
        struct leat_view_def *view = leat_arena_zalloc(arena, sizeof *view);
        LEAT_TRY(get_columns(arena, cur, &view->columns, &view->column_count, err));
        view->body = get_view(arena, cur);
        view->keys = get_indexes(arena, cur, view->column_count, &view->key_count);
        view->pipeline = get_text(arena, cur);
        view->emit = leat_cursor_u8(cur);
        view->late = leat_cursor_u8(cur);
        view->start = leat_cursor_u8(cur);
        view->start_us = leat_cursor_varint(cur);
        view->grace_us = leat_cursor_varint(cur);
        view->retention_us = leat_cursor_varint(cur);
        view->max_state_bytes = leat_cursor_varint(cur);
        view->paused = leat_cursor_u8(cur) != 0;
        view->graph = get_view(arena, cur);
        *ret_view = view;
        return 0;
}

static double get_double(struct leat_cursor *cur)
{
        uint64_t bits = leat_cursor_le64(cur);
        double value;
        memcpy(&value, &bits, sizeof value);
        return value;
}

static void get_panel(struct leat_arena *arena, struct leat_cursor *cur, struct leat_panel_def *panel)
{
        panel->name = need_text(arena, cur);
        panel->title = need_text(arena, cur);
        panel->type = leat_cursor_u8(cur);
        if (panel->type < LEAT_PANEL_LINE || panel->type > LEAT_PANEL_HEATMAP)
                cur->failed = true;
        panel->sql = need_text(arena, cur);
        panel->x = get_text(arena, cur);
        panel->y_count = get_count(cur);
        const char **y = leat_arena_alloc(arena, panel->y_count * sizeof *y);
        for (uint32_t i = 0; i < panel->y_count; i++)
                y[i] = need_text(arena, cur);
        panel->y = y;
        panel->series = get_text(arena, cur);
        panel->unit = get_text(arena, cur);
        uint8_t flags = leat_cursor_u8(cur);
        panel->has_warn = flags & 1;
        panel->has_alarm = (flags & 2) != 0;
        panel->warn = get_double(cur);
        panel->alarm = get_double(cur);
        for (int i = 0; i < 4; i++)
                panel->at[i] = (int32_t)leat_cursor_varint(cur);
}

static const struct leat_dashboard_def *get_dashboard(struct leat_arena *arena, struct leat_cursor *cur)
{
        struct leat_dashboard_def *dashboard = leat_arena_zalloc(arena, sizeof *dashboard);
        dashboard->title = need_text(arena, cur);
        dashboard->refresh_us = leat_cursor_varint(cur);
        dashboard->variable_count = get_count(cur);
        struct leat_variable_def *variables = leat_arena_zalloc(arena, dashboard->variable_count * sizeof *variables);
        for (uint32_t i = 0; i < dashboard->variable_count; i++) {
                variables[i].name = need_text(arena, cur);
                variables[i].sql = get_text(arena, cur);
                variables[i].default_value = get_text(arena, cur);
        }
        dashboard->variables = variables;
        dashboard->panel_count = get_count(cur);
        struct leat_panel_def *panels = leat_arena_zalloc(arena, dashboard->panel_count * sizeof *panels);
        for (uint32_t i = 0; i < dashboard->panel_count; i++)
                get_panel(arena, cur, &panels[i]);
        dashboard->panels = panels;
        return dashboard;
}

int leat_object_decode(struct leat_arena *arena, int kind, struct leat_view bytes, struct leat_object *ret_object,
                       struct leat_error *err)
{
        struct leat_cursor cur = leat_cursor_of(bytes);
        struct leat_object object = {.kind = (uint8_t)kind};
        if (leat_cursor_u8(&cur) != BODY_VERSION)
                return leat_error_set(err, LEAT_ECORRUPT, "definition of an unknown version");
        switch (kind) {
        case LEAT_OBJECT_TOPIC:
                LEAT_TRY(get_topic(arena, &cur, &object.topic, err));
                break;
        case LEAT_OBJECT_VIEW:
        case LEAT_OBJECT_MATVIEW:
                LEAT_TRY(get_view_def(arena, &cur, &object.view, err));
                break;
        case LEAT_OBJECT_DASHBOARD:
                object.dashboard = get_dashboard(arena, &cur);
                break;
        default:
                return leat_error_set(err, LEAT_ECORRUPT, "definition of unknown kind %d", kind);
        }
        if (cur.failed || leat_cursor_left(&cur) != 0)
                return leat_error_set(err, LEAT_ECORRUPT, "damaged definition of a %s", leat_object_kind_name(kind));
        ret_object->kind = object.kind;
        ret_object->topic = object.topic;
        ret_object->view = object.view;
        ret_object->dashboard = object.dashboard;
        return 0;
}
