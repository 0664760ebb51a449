/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/format: from the tokens of a JSON object to columns.
 *
 * Design    simdjson's first stage gives the position of every bracket, colon,
 *           comma and start of a scalar; this walks them once. A scalar reaches
 *           to the next token without the blanks before it, so a string ends
 *           with its quote, and nothing needs to be searched. Strings without
 *           a backslash are borrowed in place, others unescaped to the arena.
 * Members   The k-th member of an object is usually the k-th of the object
 *           before: that field is tried first, others are found by hash.
 * Failure   A function that returns false has set column and reason; what it has
 *           written to the row is overwritten by the next record.
 */
#include <stdarg.h>
#include <stdio.h>

#include "format_int.h"

#define EXCERPT_MAX 60
#define FIELDS_PLAIN_MAX 4 /* up to here names are compared one by one */

static bool value_read(struct leat_walk *w, struct leat_column *col, uint64_t row, uint64_t cap);
static bool value_skip(struct leat_walk *w, int depth);

bool leat_walk_fail(struct leat_walk *walk, const char *fmt, ...)
{
        va_list args;
        va_start(args, fmt);
        vsnprintf(walk->reason, sizeof walk->reason, fmt, args);
        va_end(args);
        return false;
}

/* ---- tokens ----------------------------------------------------------------------- */

/* First byte of the token at hand; 0 behind the last. */
static inline uint8_t peek(const struct leat_walk *w)
{
        return w->at < w->count ? w->data[w->tokens[w->at]] : 0;
}

static inline bool is_blank(uint8_t c)
{
        return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* The scalar at hand, quotes included. */
static inline struct leat_view token_view(const struct leat_walk *w)
{
        uint32_t start = w->tokens[w->at];
        uint32_t end = w->at + 1 < w->count ? w->tokens[w->at + 1] : w->len;
        while (end > start + 1 && is_blank(w->data[end - 1]))
                end--;
        return leat_view_of(w->data + start, end - start);
}

static bool fail_syntax(struct leat_walk *w)
{
        if (w->at >= w->count)
                return leat_walk_fail(w, "the JSON ends too early");
        return leat_walk_fail(w, "JSON syntax error at byte %u", w->tokens[w->at] + 1);
}

/* A piece of @text for a message, cut between characters. */
static void excerpt(struct leat_view text, char *out)
{
        size_t len = LEAT_MIN(text.len, (size_t)EXCERPT_MAX);
        if (len < text.len)
                while (len != 0 && (text.data[len] & 0xc0) == 0x80)
                        len--;
        memcpy(out, text.data, len);
        for (size_t i = 0; i < len; i++)
                if ((uint8_t)out[i] < ' ')
                        out[i] = ' ';
        memcpy(out + len, len < text.len ? "..." : "", len < text.len ? 4 : 1);
}

static bool fail_value(struct leat_walk *w, struct leat_view token, const char *why, const struct leat_type *type)
{
        char piece[EXCERPT_MAX + 8];
        struct leat_buf name = LEAT_BUF_INIT;
        excerpt(token, piece);
        leat_type_print(type, &name);
        leat_walk_fail(w, "%s %s (%.80s)", piece, why, leat_buf_cstr(&name));
        leat_buf_done(&name);
        return false;
}

/* ---- strings -------------------------------------------------------------------------- */

/* The text of the string token at hand; moves on. */
static inline bool string_take(struct leat_walk *w, struct leat_view *ret_text, bool *ret_nul)
{
        struct leat_view token = token_view(w);
        if (token.len < 2 || token.data[token.len - 1] != '"')
                return fail_syntax(w);
        struct leat_view text = leat_view_of(token.data + 1, token.len - 2);
        *ret_nul = false;
        if (__builtin_expect(w->escapes && memchr(text.data, '\\', text.len) != NULL, 0)) {
                uint8_t *out = leat_arena_alloc(w->arena, text.len);
                size_t len = 0;
                const char *why = leat_format_unescape(text, out, &len, ret_nul);
                if (why != NULL) {
                        char piece[EXCERPT_MAX + 8];
                        excerpt(token, piece);
                        return leat_walk_fail(w, "%s %s", piece, why);
                }
                text = leat_view_of(out, len);
        }
        *ret_text = text;
        w->at++;
        return true;
}

/* ---- values nobody wants ------------------------------------------------------------------ */

static bool scalar_skip(struct leat_walk *w)
{
        struct leat_view token = token_view(w);
        if (token.data[0] == '"') {
                struct leat_view text;
                bool nul;
                return string_take(w, &text, &nul);
        }
        if (!leat_format_is_number(token) && !leat_view_eq_str(token, "true") && !leat_view_eq_str(token, "false") &&
            !leat_view_eq_str(token, "null"))
                return fail_syntax(w);
        w->at++;
        return true;
}

static bool nested_skip(struct leat_walk *w, int depth)
{
        bool object = peek(w) == '{';
        uint8_t close = object ? '}' : ']';
        w->at++;
        if (peek(w) == close) {
                w->at++;
                return true;
        }
        for (;;) {
                if (object) {
                        struct leat_view name;
                        bool nul;
                        if (peek(w) != '"')
                                return fail_syntax(w);
                        if (!string_take(w, &name, &nul))
                                return false;
                        if (peek(w) != ':')
                                return fail_syntax(w);
                        w->at++;
                }
                if (!value_skip(w, depth + 1))
                        return false;
                uint8_t c = peek(w);
                if (c != ',' && c != close)
                        return fail_syntax(w);
                w->at++;
                if (c == close)
                        return true;
        }
}

static bool value_skip(struct leat_walk *w, int depth)
{
        uint8_t c = peek(w);
        if (depth > LEAT_FORMAT_DEPTH_MAX)
                return leat_walk_fail(w, "the JSON is nested more than %d deep", LEAT_FORMAT_DEPTH_MAX);
        if (c == '{' || c == '[')
                return nested_skip(w, depth);
        if (c == 0 || c == '}' || c == ']' || c == ',' || c == ':')
                return fail_syntax(w);
        return scalar_skip(w);
}

/* ---- values to columns ---------------------------------------------------------------------- */

/* leat_string_borrow without calls, as two words straight to the column: short strings are put together from
 * overlapping words. */
static inline void string_put(struct leat_string *to, struct leat_view text)
{
        uint64_t low = 0, high = 0, words[2]; /* the first eight bytes, the four behind them */
        if (text.len > 12) {
                uint32_t prefix;
                memcpy(&prefix, text.data, 4);
                words[0] = text.len | (uint64_t)prefix << 32;
                words[1] = (uint64_t)(uintptr_t)text.data;
                memcpy(to, words, 16);
                return;
        }
        if (text.len >= 8) {
                memcpy(&low, text.data, 8);
                memcpy(&high, text.data + text.len - 8, 8);
                high = text.len == 8 ? 0 : high >> (16 - text.len) * 8;
        } else if (text.len >= 4) {
                uint32_t first, last;
                memcpy(&first, text.data, 4);
                memcpy(&last, text.data + text.len - 4, 4);
                low = first | (uint64_t)last << (text.len - 4) * 8;
        } else {
                for (size_t i = 0; i < text.len; i++)
                        low |= (uint64_t)text.data[i] << i * 8;
        }
        words[0] = text.len | low << 32;
        words[1] = low >> 32 | high << 32;
        memcpy(to, words, 16);
}

static inline void set_valid(struct leat_column *col, uint64_t row)
{
        if (col->validity != NULL)
                col->validity[row >> 6] |= 1ull << (row & 63);
}

void leat_walk_null(struct leat_walk *walk, struct leat_column *col, uint64_t row, uint64_t cap)
{
        leat_column_make_validity(walk->arena, col, (uint32_t)cap);
        leat_column_set_null(col, (uint32_t)row);
        if (col->type.id == LEAT_T_LIST)
                ((struct leat_list_entry *)col->data)[row] = (struct leat_list_entry){.offset = col->child_rows};
        else if (col->type.id == LEAT_T_STRUCT)
                for (uint32_t i = 0; i < col->type.child_count; i++)
                        leat_walk_null(walk, &col->children[i], row, cap);
        else
                memset((char *)col->data + row * leat_type_bytes(&col->type), 0, leat_type_bytes(&col->type));
}

bool leat_walk_text(struct leat_walk *walk, struct leat_column *col, uint64_t row, uint64_t cap, struct leat_view text)
{
        (void)cap;
        if (text.len > UINT32_MAX / 2)
                return leat_walk_fail(walk, "a text of %zu bytes is too long", text.len);
        ((struct leat_string *)col->data)[row] = leat_string_borrow(text);
        set_valid(col, row);
        return true;
}

/* The source of the array or object at hand, which is checked and passed. */
static bool nested_source(struct leat_walk *w, struct leat_view *ret_text)
{
        uint32_t start = w->tokens[w->at];
        if (!nested_skip(w, 1))
                return false;
        *ret_text = leat_view_of(w->data + start, w->tokens[w->at - 1] + 1 - start);
        return true;
}

static inline bool text_read(struct leat_walk *w, struct leat_column *col, uint64_t row, uint8_t c)
{
        struct leat_view text;
        bool nul;
        if (c == '"') {
                if (!string_take(w, &text, &nul))
                        return false;
                if (nul)
                        return leat_walk_fail(w, "the text has \\u0000, which TEXT cannot hold");
        } else if (c == '{' || c == '[') {
                if (!nested_source(w, &text))
                        return false;
        } else {
                text = token_view(w);
                if (!scalar_skip(w))
                        return false;
        }
        string_put((struct leat_string *)col->data + row, text);
        set_valid(col, row);
        return true;
}

static bool blob_read(struct leat_walk *w, struct leat_column *col, uint64_t row, uint8_t c)
{
        struct leat_view text, token = token_view(w);
        bool nul;
        if (c != '"')
                return fail_value(w, token, "is no base64 text", &col->type);
        if (!string_take(w, &text, &nul))
                return false;
        uint8_t *out = leat_arena_alloc(w->arena, text.len);
        int64_t len = leat_format_base64(text, out);
        if (len < 0)
                return fail_value(w, token, "is no base64 text", &col->type);
        ((struct leat_string *)col->data)[row] = leat_string_borrow(leat_view_of(out, (size_t)len));
        set_valid(col, row);
        return true;
}

static bool list_read(struct leat_walk *w, struct leat_column *col, uint64_t row)
{
        struct leat_list_entry entry = {.offset = col->child_rows};
        if (peek(w) != '[')
                return fail_value(w, token_view(w), "is no array", &col->type);
        w->at++;
        if (peek(w) == ']') {
                w->at++;
                ((struct leat_list_entry *)col->data)[row] = entry;
                set_valid(col, row);
                return true;
        }
        for (;;) {
                leat_column_child_reserve(w->arena, col, 1);
                if (!value_read(w, &col->children[0], col->child_rows, col->child_cap))
                        return false;
                col->child_rows++;
                uint8_t c = peek(w);
                if (c != ',' && c != ']')
                        return fail_syntax(w);
                w->at++;
                if (c == ']')
                        break;
        }
        entry.length = col->child_rows - entry.offset;
        ((struct leat_list_entry *)col->data)[row] = entry;
        set_valid(col, row);
        return true;
}

static bool struct_read(struct leat_walk *w, struct leat_column *col, uint64_t row, uint64_t cap)
{
        if (peek(w) != '{')
                return fail_value(w, token_view(w), "is no object", &col->type);
        w->at++;
        set_valid(col, row);
        for (uint32_t i = 0; i < col->type.child_count; i++)
                leat_walk_null(w, &col->children[i], row, cap);
        if (peek(w) == '}') {
                w->at++;
                return true;
        }
        for (;;) {
                struct leat_view name;
                bool nul;
                if (peek(w) != '"')
                        return fail_syntax(w);
                if (!string_take(w, &name, &nul))
                        return false;
                if (peek(w) != ':')
                        return fail_syntax(w);
                w->at++;
                uint32_t i = 0;
                while (i < col->type.child_count && !leat_view_eq_str(name, col->type.child_names[i]))
                        i++;
                if (i == col->type.child_count ? !value_skip(w, 1) : !value_read(w, &col->children[i], row, cap))
                        return false;
                uint8_t c = peek(w);
                if (c != ',' && c != '}')
                        return fail_syntax(w);
                w->at++;
                if (c == '}')
                        return true;
        }
}

/* Every type but text, list and struct. */
static inline bool scalar_read(struct leat_walk *w, struct leat_column *col, uint64_t row, uint8_t c)
{
        struct leat_view token = token_view(w), text = token;
        bool is_string = c == '"', nul;
        if (is_string) {
                if (!string_take(w, &text, &nul))
                        return false;
        } else {
                if (c == '{' || c == '[')
                        return fail_value(w, token, c == '{' ? "(an object) does not fit" : "(an array) does not fit",
                                          &col->type);
                w->at++;
        }
        uint32_t bytes = leat_type_bytes(&col->type);
        const char *why = leat_format_scalar(&col->type, text, is_string, (char *)col->data + row * bytes);
        if (__builtin_expect(why != NULL, 0))
                return fail_value(w, token, why, &col->type);
        set_valid(col, row);
        return true;
}

static bool value_read(struct leat_walk *w, struct leat_column *col, uint64_t row, uint64_t cap)
{
        uint8_t c = peek(w);
        if (c == 0 || c == '}' || c == ']' || c == ',' || c == ':')
                return fail_syntax(w);
        if (c == 'n') {
                if (!leat_view_eq_str(token_view(w), "null"))
                        return fail_syntax(w);
                w->at++;
                leat_walk_null(w, col, row, cap);
                return true;
        }
        switch (col->type.id) {
        case LEAT_T_VARCHAR:
                return text_read(w, col, row, c);
        case LEAT_T_BLOB:
                return blob_read(w, col, row, c);
        case LEAT_T_LIST:
                return list_read(w, col, row);
        case LEAT_T_STRUCT:
                return struct_read(w, col, row, cap);
        default:
                return scalar_read(w, col, row, c);
        }
}

/* ---- members of the record ------------------------------------------------------------------- */

/* Of the length and both ends: names of one topic rarely differ in the middle only. */
static inline uint32_t name_hash(const uint8_t *name, size_t len)
{
        uint64_t head = 0, tail = 0;
        if (len >= 8) {
                memcpy(&head, name, 8);
                memcpy(&tail, name + len - 8, 8);
        } else if (len >= 4) {
                memcpy(&head, name, 4);
                memcpy(&tail, name + len - 4, 4);
        } else if (len != 0) {
                head = name[0] | (uint64_t)name[len / 2] << 8 | (uint64_t)name[len - 1] << 16;
        }
        return (uint32_t)leat_hash_mix(head ^ len << 56, tail);
}

void leat_walk_init(struct leat_walk *walk, struct leat_arena *owner, struct leat_format_field *fields,
                    uint32_t field_count)
{
        walk->fields = fields;
        walk->field_count = field_count;
        walk->guess_count = field_count + 16;
        walk->guess = leat_arena_alloc(owner, walk->guess_count * sizeof *walk->guess);
        for (uint32_t i = 0; i < walk->guess_count; i++)
                walk->guess[i] = i < field_count ? (int32_t)i : -1;
        if (field_count <= FIELDS_PLAIN_MAX)
                return;
        uint32_t size = 16;
        while (size < field_count * 2)
                size *= 2;
        walk->hash_mask = size - 1;
        walk->hash = leat_arena_zalloc(owner, size * sizeof *walk->hash);
        for (uint32_t i = 0; i < field_count; i++) {
                uint32_t h = name_hash((const uint8_t *)fields[i].name, fields[i].name_len);
                while (walk->hash[h & walk->hash_mask] != 0)
                        h++;
                walk->hash[h & walk->hash_mask] = (uint16_t)(i + 1);
        }
}

static inline bool name_is(const struct leat_format_field *field, struct leat_view name)
{
        if (field->name_len != name.len)
                return false;
        if (name.len < 8)
                return memcmp(field->name, name.data, name.len) == 0;
        /* Overlapping words: no call for the usual 8 to 16 bytes. */
        uint64_t a, b, c, d;
        memcpy(&a, field->name, 8);
        memcpy(&b, name.data, 8);
        memcpy(&c, field->name + name.len - 8, 8);
        memcpy(&d, name.data + name.len - 8, 8);
        if (((a ^ b) | (c ^ d)) != 0)
                return false;
        return name.len <= 16 || memcmp(field->name + 8, name.data + 8, name.len - 16) == 0;
}

static int32_t field_find(const struct leat_walk *w, struct leat_view name)
{
        if (w->hash_mask == 0) {
                for (uint32_t i = 0; i < w->field_count; i++)
                        if (name_is(&w->fields[i], name))
                                return (int32_t)i;
                return -1;
        }
        uint32_t h = name_hash(name.data, name.len);
        for (;; h++) {
                uint32_t i = w->hash[h & w->hash_mask];
                if (i == 0)
                        return -1;
                if (name_is(&w->fields[i - 1], name))
                        return (int32_t)i - 1;
        }
}

/* The field of the member at hand, the @k-th; moves to its value. -1: unknown, -2: failure. */
static inline int32_t member_take(struct leat_walk *w, uint32_t k)
{
        if (peek(w) != '"' || w->at + 1 >= w->count || w->data[w->tokens[w->at + 1]] != ':') {
                fail_syntax(w);
                return -2;
        }
        /* The name as it is written: the quote stands before the colon and blanks. */
        uint32_t start = w->tokens[w->at] + 1, end = w->tokens[w->at + 1] - 1;
        while (end > start && is_blank(w->data[end]))
                end--;
        struct leat_view name = leat_view_of(w->data + start, end - start);
        int32_t guess = k < w->guess_count ? w->guess[k] : -1;
        if (guess >= 0 && name_is(&w->fields[guess], name)) {
                w->at += 2;
                return guess;
        }
        bool nul;
        if (!string_take(w, &name, &nul))
                return -2;
        w->at++;
        int32_t found = field_find(w, name);
        if (k < w->guess_count)
                w->guess[k] = found;
        return found;
}

/* The value's copy of a key column must be the same as the key. */
static bool key_agrees(struct leat_walk *w, const struct leat_format_field *field, uint32_t row)
{
        uint32_t at = field->wanted ? row : 0;
        if (field->type.id == LEAT_T_VARCHAR && leat_column_valid(field->check, 0) &&
            leat_view_eq(leat_string_view((struct leat_string *)field->col->data + at),
                         leat_string_view(field->check->data)))
                return true;
        struct leat_buf a = LEAT_BUF_INIT, b = LEAT_BUF_INIT;
        leat_column_json(field->col, at, &a);
        leat_column_json(field->check, 0, &b);
        bool same = leat_view_eq(leat_buf_view(&a), leat_buf_view(&b));
        if (!same) {
                char mine[EXCERPT_MAX + 8], key[EXCERPT_MAX + 8];
                excerpt(leat_buf_view(&a), key);
                excerpt(leat_buf_view(&b), mine);
                leat_walk_fail(w, "the value has %s, the key has %s", mine, key);
        }
        leat_buf_done(&a);
        leat_buf_done(&b);
        return same;
}

/*
 * A column that came by ALTER TOPIC: jobs have counted records that do not fit it,
 * and go on without it. It must not make them invalid: such a value is NULL.
 */
static bool added_read(struct leat_walk *w, struct leat_format_field *field, uint32_t row, uint32_t cap)
{
        uint32_t at = w->at;
        if (value_read(w, field->col, row, cap))
                return true;
        w->at = at;
        w->column = -1;
        leat_walk_null(w, field->col, row, cap);
        return value_skip(w, 1);
}

static inline bool member_read(struct leat_walk *w, int32_t index, uint32_t row, uint32_t cap, bool only_keys)
{
        struct leat_format_field *field = &w->fields[index];
        if (__builtin_expect(only_keys || field->is_key, 0)) {
                if (only_keys && !field->is_key)
                        return value_skip(w, 1);
                if (!only_keys) {
                        w->column = index;
                        if (!value_read(w, field->check, 0, 1))
                                return false;
                        return key_agrees(w, field, row);
                }
        }
        w->column = index;
        field->seen = w->number;
        if (__builtin_expect(field->added, 0))
                return added_read(w, field, field->wanted ? row : 0, field->wanted ? cap : 1);
        return field->wanted ? value_read(w, field->col, row, cap) : value_read(w, field->col, 0, 1);
}

/* Fields that the object did not have, and NOT NULL. */
static bool object_finish(struct leat_walk *w, uint32_t row, uint32_t cap, bool only_keys)
{
        for (uint32_t i = 0; i < w->field_count; i++) {
                struct leat_format_field *field = &w->fields[i];
                if (field->is_key != only_keys)
                        continue;
                uint32_t at = field->wanted ? row : 0;
                if (field->seen != w->number)
                        leat_walk_null(w, field->col, at, field->wanted ? cap : 1);
                if (!(field->not_null || field->is_key) || leat_column_valid(field->col, at))
                        continue;
                w->column = (int32_t)i;
                return leat_walk_fail(w,
                                      field->is_key ? "the key has no value for %.80s"
                                                    : "%.80s is NOT NULL, and there is no value",
                                      field->name);
        }
        return true;
}

bool leat_walk_object(struct leat_walk *walk, struct leat_view value, uint32_t row, uint32_t cap, bool only_keys)
{
        struct leat_walk *w = walk;
        w->column = -1;
        if (value.len >= UINT32_MAX / 2)
                return leat_walk_fail(w, "a value of %zu bytes is too large", value.len);
        const char *why = leat_format_index_run(w->index, value.data, value.len, &w->tokens, &w->count);
        if (__builtin_expect(why != NULL, 0))
                return leat_walk_fail(w, "the %s %s", only_keys ? "key" : "value", why);
        w->data = value.data;
        w->len = (uint32_t)value.len;
        w->escapes = memchr(value.data, '\\', value.len) != NULL;
        w->at = 0;
        if (peek(w) != '{') {
                char piece[EXCERPT_MAX + 8];
                excerpt(value, piece);
                return leat_walk_fail(w, "the %s is no JSON object: %s", only_keys ? "key" : "value", piece);
        }
        w->at = 1;
        if (peek(w) == '}') {
                w->at++;
        } else {
                for (uint32_t k = 0;; k++) {
                        w->column = -1;
                        int32_t index = member_take(w, k);
                        if (index == -2)
                                return false;
                        if (index < 0 ? !value_skip(w, 1) : !member_read(w, index, row, cap, only_keys))
                                return false;
                        uint8_t c = peek(w);
                        w->column = -1;
                        if (c != ',' && c != '}')
                                return fail_syntax(w);
                        w->at++;
                        if (c == '}')
                                break;
                }
        }
        if (w->at != w->count)
                return fail_syntax(w);
        return object_finish(w, row, cap, only_keys);
}
