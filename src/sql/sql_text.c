/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/sql: texts that remember where they come from.
 *
 * Purpose  Queries are rewritten as text, never as trees: what we do not touch
 *          stays as the user wrote it, and DuckDB's places can be led back.
 * Design   A map is a list of segments over our text. An edit replaces a range
 *          by literals and by ranges of the same input (so tumble's arguments
 *          may change their order); ranges inside pieces are edited too.
 *          Composing is automatic: the output's segments are made from those of
 *          the input.
 */
#include <stdio.h>

#include "sql_int.h"

struct writer {
        struct leat_arena *arena;
        const struct leat_sql_map *in;
        struct sql_edit **edits; /* sorted by start, outer ones first */
        uint32_t edit_count;
        struct leat_buf out;
        struct sql_segment *segments;
        uint32_t count, cap;
};

const struct leat_sql_map *leat_sql_map_span(struct leat_arena *arena, struct leat_view user, struct leat_span span)
{
        struct leat_sql_map *map = leat_arena_zalloc(arena, sizeof *map);
        map->user = user;
        map->text = leat_view_of(user.data + span.start, span.len);
        map->segments = leat_arena_zalloc(arena, sizeof *map->segments);
        map->segments[0] = (struct sql_segment){.out = 0, .user = span.start, .verbatim = true};
        map->count = 1;
        return map;
}

const struct leat_sql_map *leat_sql_map_nowhere(struct leat_arena *arena, struct leat_view text)
{
        struct leat_sql_map *map = leat_arena_zalloc(arena, sizeof *map);
        map->user = map->text = text;
        map->segments = leat_arena_zalloc(arena, sizeof *map->segments);
        map->segments[0].user = SQL_NOWHERE;
        map->count = 1;
        return map;
}

static const struct sql_segment *find_segment(const struct leat_sql_map *map, uint32_t at)
{
        uint32_t low = 0, high = map->count;
        while (high - low > 1) {
                uint32_t middle = low + (high - low) / 2;
                if (map->segments[middle].out <= at)
                        low = middle;
                else
                        high = middle;
        }
        return &map->segments[low];
}

uint32_t leat_sql_map_byte(const struct leat_sql_map *map, uint32_t at)
{
        if (map->count == 0)
                return SQL_NOWHERE;
        const struct sql_segment *s = find_segment(map, at);
        return s->user == SQL_NOWHERE || !s->verbatim ? s->user : s->user + (at - s->out);
}

int leat_sql_map_position(const struct leat_sql_map *map, int64_t offset)
{
        if (offset < 0 || (uint64_t)offset > map->text.len)
                return 0;
        uint32_t byte = leat_sql_map_byte(map, (uint32_t)offset);
        return byte == SQL_NOWHERE ? 0 : leat_sql_position(map->user, byte);
}

int leat_sql_map_user_position(const struct leat_sql_map *map, uint32_t byte)
{
        return leat_sql_position(map->user, byte);
}

void leat_sql_map_error(const struct leat_sql_map *map, struct leat_error *err)
{
        if (err == NULL || err->position == 0)
                return;
        size_t byte = 0;
        for (int chars = 1; byte < map->text.len && chars < err->position; chars++) {
                byte++;
                while (byte < map->text.len && (map->text.data[byte] & 0xC0) == 0x80)
                        byte++;
        }
        err->position = leat_sql_map_position(map, (int64_t)byte);
}

int leat_sql_map_fail(const struct leat_sql_map *map, int64_t at, struct leat_error *err, int code, const char *fmt,
                      ...)
{
        char message[sizeof err->message];
        va_list args;
        va_start(args, fmt);
        vsnprintf(message, sizeof message, fmt, args);
        va_end(args);
        leat_error_set(err, code, "%s", message);
        if (err != NULL)
                err->position = leat_sql_map_position(map, at);
        return code;
}

static void add_segment(struct writer *w, uint32_t user, bool verbatim)
{
        if (w->count == w->cap) {
                struct sql_segment *more = leat_arena_alloc(w->arena, 2 * (size_t)w->cap * sizeof *more);
                memcpy(more, w->segments, w->count * sizeof *more);
                w->segments = more;
                w->cap *= 2;
        }
        w->segments[w->count++] = (struct sql_segment){.out = (uint32_t)w->out.len, .user = user, .verbatim = verbatim};
}

/* Copies [from, to) of the input, taking over its segments. */
static void copy_range(struct writer *w, uint32_t from, uint32_t to)
{
        while (from < to) {
                const struct sql_segment *s = find_segment(w->in, from);
                const struct sql_segment *end = w->in->segments + w->in->count;
                uint32_t stop = s + 1 < end ? LEAT_MIN(s[1].out, to) : to;
                add_segment(w, leat_sql_map_byte(w->in, from), s->verbatim);
                leat_buf_add(&w->out, w->in->text.data + from, stop - from);
                from = stop;
        }
}

static void write_range(struct writer *w, uint32_t from, uint32_t to, uint32_t edit_from);

static void write_edit(struct writer *w, uint32_t index)
{
        const struct sql_edit *edit = w->edits[index];
        for (uint32_t i = 0; i < edit->piece_count; i++) {
                const struct sql_piece *piece = &edit->pieces[i];
                if (piece->literal == NULL) {
                        write_range(w, piece->from, piece->to, index + 1);
                } else if (piece->literal[0] != 0) {
                        add_segment(w, leat_sql_map_byte(w->in, piece->from), false);
                        leat_buf_add_str(&w->out, piece->literal);
                }
        }
}

static void write_range(struct writer *w, uint32_t from, uint32_t to, uint32_t edit_from)
{
        for (uint32_t i = edit_from; i < w->edit_count && w->edits[i]->start <= to; i++) {
                const struct sql_edit *edit = w->edits[i];
                if (edit->start < from || edit->end > to)
                        continue;
                copy_range(w, from, edit->start);
                write_edit(w, i);
                from = edit->end;
        }
        copy_range(w, from, to);
}

static int compare_edits(const void *a, const void *b)
{
        const struct sql_edit *x = *(const struct sql_edit *const *)a, *y = *(const struct sql_edit *const *)b;
        if (x->start != y->start)
                return x->start < y->start ? -1 : 1;
        /* What is put in before a place comes before what replaces it. */
        if ((x->end == x->start) != (y->end == y->start))
                return x->end == x->start ? -1 : 1;
        return x->end == y->end ? 0 : x->end > y->end ? -1 : 1;
}

const struct leat_sql_map *leat_sql_map_edit(struct leat_arena *arena, const struct leat_sql_map *in,
                                             struct sql_edit *edits)
{
        struct writer w = {.arena = arena, .in = in, .cap = 16};
        struct leat_sql_map *map = leat_arena_zalloc(arena, sizeof *map);
        uint32_t n = 0;
        for (struct sql_edit *edit = edits; edit != NULL; edit = edit->next)
                w.edit_count++;
        w.edits = leat_arena_alloc(arena, w.edit_count * sizeof *w.edits);
        for (struct sql_edit *edit = edits; edit != NULL; edit = edit->next)
                w.edits[n++] = edit;
        qsort(w.edits, n, sizeof *w.edits, compare_edits);
        w.segments = leat_arena_alloc(arena, w.cap * sizeof *w.segments);
        write_range(&w, 0, (uint32_t)in->text.len, 0);
        map->user = in->user;
        map->text = leat_view_of(leat_arena_strndup(arena, leat_buf_cstr(&w.out), w.out.len), w.out.len);
        map->segments = w.segments;
        map->count = w.count;
        leat_buf_done(&w.out);
        return map;
}

struct sql_edit *leat_sql_edit_new(struct sql_edits *edits, uint32_t start, uint32_t end)
{
        struct sql_edit *edit = leat_arena_zalloc(edits->arena, sizeof *edit);
        edit->start = start;
        edit->end = end;
        edit->next = edits->list;
        edits->list = edit;
        return edit;
}

void leat_sql_edit_literal(struct sql_edit *edit, const char *literal, uint32_t at)
{
        LEAT_ASSERT(edit->piece_count < LEAT_ARRAY_LEN(edit->pieces));
        edit->pieces[edit->piece_count++] = (struct sql_piece){.literal = literal, .from = at};
}

void leat_sql_edit_piece(struct sql_edit *edit, uint32_t from, uint32_t to)
{
        LEAT_ASSERT(edit->piece_count < LEAT_ARRAY_LEN(edit->pieces));
        edit->pieces[edit->piece_count++] = (struct sql_piece){.from = from, .to = to};
}

void leat_sql_edit_replace(struct sql_edits *edits, uint32_t start, uint32_t end, const char *literal)
{
        leat_sql_edit_literal(leat_sql_edit_new(edits, start, end), literal, start);
}

int leat_sql_map_word(const struct leat_sql_map *map, const char *word)
{
        struct sql_token token;
        uint32_t at = 0;
        while (leat_sql_token_next(map->user, &at, &token, NULL) == 0 && token.kind != TOKEN_END)
                if (leat_sql_token_is(map->user, &token, word))
                        return leat_sql_position(map->user, token.start);
        return 0;
}
