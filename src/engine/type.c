/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/engine: column types: their SQL text, PostgreSQL's names for them, and
 * their flat encoding.
 *
 * Format    u8 id; DECIMAL: u8 width, u8 scale; LIST: the child; STRUCT: u8
 *           fields, then for each uvarint length, name, type. Files and the
 *           catalog hold it; the numbers of enum leat_type_id never change.
 * Bounds    nesting at most LEAT_TYPE_DEPTH_MAX, 255 fields: both in text and
 *           in encoded form, since both may come from a stranger.
 */
#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#include "engine_int.h"

static const struct {
        const char *name;
        uint8_t bytes;
} type_table[LEAT_TYPE_COUNT] = {
#define X(id, text, size) [LEAT_T_##id] = {text, size},
        LEAT_TYPES(X)
#undef X
};

/* Every accepted spelling, lower case; two-word names are written with one space. */
static const struct {
        const char *name;
        uint8_t id;
} type_names[] = {
        {"bool", LEAT_T_BOOLEAN},
        {"boolean", LEAT_T_BOOLEAN},
        {"logical", LEAT_T_BOOLEAN},
        {"tinyint", LEAT_T_TINYINT},
        {"int1", LEAT_T_TINYINT},
        {"smallint", LEAT_T_SMALLINT},
        {"int2", LEAT_T_SMALLINT},
        {"short", LEAT_T_SMALLINT},
        {"int", LEAT_T_INTEGER},
        {"integer", LEAT_T_INTEGER},
        {"int4", LEAT_T_INTEGER},
        {"bigint", LEAT_T_BIGINT},
        {"int8", LEAT_T_BIGINT},
        {"long", LEAT_T_BIGINT},
        {"hugeint", LEAT_T_HUGEINT},
        {"int128", LEAT_T_HUGEINT},
        {"utinyint", LEAT_T_UTINYINT},
        {"uint8", LEAT_T_UTINYINT},
        {"usmallint", LEAT_T_USMALLINT},
        {"uint16", LEAT_T_USMALLINT},
        {"uinteger", LEAT_T_UINTEGER},
        {"uint32", LEAT_T_UINTEGER},
        {"ubigint", LEAT_T_UBIGINT},
        {"uint64", LEAT_T_UBIGINT},
        {"uhugeint", LEAT_T_UHUGEINT},
        {"uint128", LEAT_T_UHUGEINT},
        {"real", LEAT_T_FLOAT},
        {"float", LEAT_T_FLOAT},
        {"float4", LEAT_T_FLOAT},
        {"double", LEAT_T_DOUBLE},
        {"double precision", LEAT_T_DOUBLE},
        {"float8", LEAT_T_DOUBLE},
        {"decimal", LEAT_T_DECIMAL},
        {"dec", LEAT_T_DECIMAL},
        {"numeric", LEAT_T_DECIMAL},
        {"varchar", LEAT_T_VARCHAR},
        {"text", LEAT_T_VARCHAR},
        {"string", LEAT_T_VARCHAR},
        {"char", LEAT_T_VARCHAR},
        {"character", LEAT_T_VARCHAR},
        {"character varying", LEAT_T_VARCHAR},
        {"bpchar", LEAT_T_VARCHAR},
        {"nvarchar", LEAT_T_VARCHAR},
        {"json", LEAT_T_VARCHAR},
        {"jsonb", LEAT_T_VARCHAR},
        {"blob", LEAT_T_BLOB},
        {"bytea", LEAT_T_BLOB},
        {"binary", LEAT_T_BLOB},
        {"varbinary", LEAT_T_BLOB},
        {"date", LEAT_T_DATE},
        {"time", LEAT_T_TIME},
        {"time without time zone", LEAT_T_TIME},
        {"timestamp", LEAT_T_TIMESTAMP},
        {"datetime", LEAT_T_TIMESTAMP},
        {"timestamp without time zone", LEAT_T_TIMESTAMP},
        {"timestamptz", LEAT_T_TIMESTAMPTZ},
        {"timestamp with time zone", LEAT_T_TIMESTAMPTZ},
        {"interval", LEAT_T_INTERVAL},
        {"uuid", LEAT_T_UUID},
        {"null", LEAT_T_SQLNULL},
};

uint32_t leat_type_bytes(const struct leat_type *type)
{
        if (type->id == LEAT_T_DECIMAL)
                return type->width <= 4 ? 2 : type->width <= 9 ? 4 : type->width <= 18 ? 8 : 16;
        return type->id < LEAT_TYPE_COUNT ? type_table[type->id].bytes : 0;
}

const char *leat_engine_type_name(uint8_t id)
{
        return id != 0 && id < LEAT_TYPE_COUNT ? type_table[id].name : "INVALID";
}

bool leat_type_eq(const struct leat_type *a, const struct leat_type *b)
{
        if (a->id != b->id || a->child_count != b->child_count)
                return false;
        if (a->id == LEAT_T_DECIMAL && (a->width != b->width || a->scale != b->scale))
                return false;
        for (uint32_t i = 0; i < a->child_count; i++) {
                if (!leat_type_eq(&a->children[i], &b->children[i]))
                        return false;
                if (a->id == LEAT_T_STRUCT && strcmp(a->child_names[i], b->child_names[i]) != 0)
                        return false;
        }
        return true;
}

struct leat_type leat_type_copy(struct leat_arena *arena, const struct leat_type *type)
{
        struct leat_type copy = *type;
        if (type->child_count == 0)
                return copy;
        struct leat_type *children = leat_arena_alloc(arena, type->child_count * sizeof *children);
        for (uint32_t i = 0; i < type->child_count; i++)
                children[i] = leat_type_copy(arena, &type->children[i]);
        copy.children = children;
        if (type->id == LEAT_T_STRUCT) {
                const char **names = leat_arena_alloc(arena, type->child_count * sizeof *names);
                for (uint32_t i = 0; i < type->child_count; i++)
                        names[i] = leat_arena_strdup(arena, type->child_names[i]);
                copy.child_names = names;
        }
        return copy;
}

/* ---- text ---------------------------------------------------------------- */

static void print_name(const char *name, struct leat_buf *out)
{
        bool plain = isalpha((unsigned char)name[0]) || name[0] == '_';
        for (const char *p = name; *p != '\0'; p++)
                plain = plain && (islower((unsigned char)*p) || isdigit((unsigned char)*p) || *p == '_');
        if (plain) {
                leat_buf_add_str(out, name);
                return;
        }
        leat_buf_u8(out, '"');
        for (const char *p = name; *p != '\0'; p++) {
                if (*p == '"')
                        leat_buf_u8(out, '"');
                leat_buf_u8(out, (uint8_t)*p);
        }
        leat_buf_u8(out, '"');
}

void leat_type_print(const struct leat_type *type, struct leat_buf *out)
{
        switch (type->id) {
        case LEAT_T_DECIMAL:
                leat_buf_printf(out, "DECIMAL(%u,%u)", type->width, type->scale);
                break;
        case LEAT_T_LIST:
                leat_type_print(&type->children[0], out);
                leat_buf_add_str(out, "[]");
                break;
        case LEAT_T_STRUCT:
                leat_buf_add_str(out, "STRUCT(");
                for (uint32_t i = 0; i < type->child_count; i++) {
                        if (i != 0)
                                leat_buf_add_str(out, ", ");
                        print_name(type->child_names[i], out);
                        leat_buf_u8(out, ' ');
                        leat_type_print(&type->children[i], out);
                }
                leat_buf_u8(out, ')');
                break;
        case LEAT_T_TIMESTAMPTZ:
                leat_buf_add_str(out, "TIMESTAMPTZ");
                break;
        default:
                leat_buf_add_str(out, leat_engine_type_name(type->id));
        }
}

struct parser {
        struct leat_arena *arena;
        struct leat_view text;
        const char *at, *end;
        struct leat_error *err;
};

static void skip_space(struct parser *p)
{
        while (p->at < p->end && isspace((unsigned char)*p->at))
                p->at++;
}

static bool accept(struct parser *p, char c)
{
        skip_space(p);
        if (p->at == p->end || *p->at != c)
                return false;
        p->at++;
        return true;
}

static int fail_text(struct parser *p, const char *why)
{
        return leat_error_set(p->err, LEAT_ETYPE, "type \"%.*s\": %s", (int)LEAT_MIN(p->text.len, (size_t)100),
                              (const char *)p->text.data, why);
}

/* Reads an identifier as it is written ("quoted" or plain), NULL when there is none. */
static char *read_word(struct parser *p)
{
        skip_space(p);
        if (p->at < p->end && *p->at == '"') {
                char *word = leat_arena_alloc(p->arena, (size_t)(p->end - p->at)), *to = word;
                for (p->at++; p->at < p->end; p->at++) {
                        if (*p->at == '"' && (p->at + 1 == p->end || p->at[1] != '"'))
                                break;
                        if (*p->at == '"')
                                p->at++;
                        *to++ = *p->at;
                }
                if (p->at == p->end)
                        return NULL;
                p->at++;
                *to = '\0';
                return word;
        }
        const char *start = p->at;
        while (p->at < p->end && (isalnum((unsigned char)*p->at) || *p->at == '_' || (*p->at & 0x80)))
                p->at++;
        return p->at == start ? NULL : leat_arena_strndup(p->arena, start, (size_t)(p->at - start));
}

static uint8_t name_lookup(const char *name)
{
        for (size_t i = 0; i < LEAT_ARRAY_LEN(type_names); i++)
                if (strcasecmp(type_names[i].name, name) == 0)
                        return type_names[i].id;
        return LEAT_T_INVALID;
}

static int edit_distance(const char *a, const char *b)
{
        size_t n = strlen(a), m = strlen(b);
        int row[32];
        if (n >= 32 || m >= 32)
                return 99;
        for (size_t j = 0; j <= m; j++)
                row[j] = (int)j;
        for (size_t i = 1; i <= n; i++) {
                int diagonal = row[0];
                row[0] = (int)i;
                for (size_t j = 1; j <= m; j++) {
                        int up = row[j];
                        int best = diagonal + (tolower((unsigned char)a[i - 1]) != b[j - 1]);
                        best = LEAT_MIN(best, LEAT_MIN(up, row[j - 1]) + 1);
                        diagonal = up;
                        row[j] = best;
                }
        }
        return row[m];
}

static int fail_name(struct parser *p, const char *name)
{
        int code = leat_error_set(p->err, LEAT_ETYPE, "type \"%.100s\" does not exist", name);
        const char *near = NULL;
        int best = 3;
        for (size_t i = 0; i < LEAT_ARRAY_LEN(type_names); i++) {
                int d = edit_distance(name, type_names[i].name);
                if (d < best) {
                        best = d;
                        near = type_names[i].name;
                }
        }
        if (near != NULL)
                leat_error_hint(p->err, "Did you mean %s?", near);
        else
                leat_error_hint(p->err,
                                "Types are boolean, smallint, integer, bigint, decimal(p,s), real, double, text, "
                                "bytea, date, time, timestamp, timestamptz, interval, uuid, T[], STRUCT(...).");
        return code;
}

/* Continues two- to four-word names: "double precision", "timestamp with time zone". */
static uint8_t read_tail(struct parser *p, const char *first, uint8_t id)
{
        static const char *const tails[][2] = {
                {"double", "double precision"},
                {"character", "character varying"},
                {"time", "time without time zone"},
                {"timestamp", "timestamp without time zone"},
                {"timestamp", "timestamp with time zone"},
        };
        for (size_t i = 0; i < LEAT_ARRAY_LEN(tails); i++) {
                if (strcasecmp(first, tails[i][0]) != 0)
                        continue;
                const char *saved = p->at, *want = tails[i][1] + strlen(tails[i][0]);
                bool match = true;
                while (match && *want == ' ') {
                        size_t len = strcspn(want + 1, " ");
                        skip_space(p);
                        match = (size_t)(p->end - p->at) >= len && strncasecmp(p->at, want + 1, len) == 0 &&
                                (p->at + len == p->end || !isalnum((unsigned char)p->at[len]));
                        p->at += match ? len : 0;
                        want += 1 + len;
                }
                if (match)
                        return name_lookup(tails[i][1]);
                p->at = saved;
        }
        return id;
}

/* Reads "(n)" or "(n, m)"; *ret_count tells how many there were. */
static int read_numbers(struct parser *p, long numbers[2], int *ret_count)
{
        *ret_count = 0;
        if (!accept(p, '('))
                return 0;
        do {
                skip_space(p);
                if (*ret_count == 2 || p->at == p->end || !isdigit((unsigned char)*p->at))
                        return fail_text(p, "expected a number in the parentheses");
                long n = 0;
                for (; p->at < p->end && isdigit((unsigned char)*p->at); p->at++)
                        n = LEAT_MIN(n * 10 + (*p->at - '0'), 100000000L);
                numbers[(*ret_count)++] = n;
        } while (accept(p, ','));
        return accept(p, ')') ? 0 : fail_text(p, "a \")\" is missing");
}

static int read_type(struct parser *p, int depth, struct leat_type *ret_type);

/* STRUCT(name type, ...) or ROW(...), after the word; MAP(key, value) is a list of {key, value}. */
static int read_struct(struct parser *p, int depth, bool map, struct leat_type *ret_type)
{
        struct leat_type *children = leat_arena_alloc(p->arena, 255 * sizeof *children);
        const char **names = leat_arena_alloc(p->arena, 255 * sizeof *names);
        uint32_t count = 0;
        if (!accept(p, '('))
                return fail_text(p, "a \"(\" with the fields is missing");
        do {
                if (count == 255 || (map && count == 2))
                        return fail_text(p, map ? "MAP takes a key and a value type" : "more than 255 fields");
                names[count] = map ? (count == 0 ? "key" : "value") : read_word(p);
                if (names[count] == NULL)
                        return fail_text(p, "expected the name of a field");
                LEAT_TRY(read_type(p, depth + 1, &children[count]));
                count++;
        } while (accept(p, ','));
        if (!accept(p, ')'))
                return fail_text(p, "a \")\" is missing");
        if (map && count != 2)
                return fail_text(p, "MAP takes a key and a value type");
        *ret_type = (struct leat_type){
                .id = LEAT_T_STRUCT, .child_count = (uint8_t)count, .children = children, .child_names = names};
        return 0;
}

static void wrap_list(struct leat_arena *arena, struct leat_type *type)
{
        struct leat_type *child = leat_arena_alloc(arena, sizeof *child);
        *child = *type;
        *type = (struct leat_type){.id = LEAT_T_LIST, .child_count = 1, .children = child};
}

static int read_scalar(struct parser *p, const char *word, struct leat_type *ret_type)
{
        uint8_t id = name_lookup(word);
        if (id == LEAT_T_INVALID)
                return fail_name(p, word);
        uint8_t full = read_tail(p, word, id);
        long numbers[2];
        int count;
        LEAT_TRY(read_numbers(p, numbers, &count));
        if (full == id) /* timestamp(3) with time zone */
                full = read_tail(p, word, id);
        *ret_type = leat_type_of(full);
        if (full == LEAT_T_DECIMAL) {
                long width = count >= 1 ? numbers[0] : 18, scale = count == 2 ? numbers[1] : count == 1 ? 0 : 3;
                if (width < 1 || width > 38 || scale > width)
                        return fail_text(p, "DECIMAL takes a width of 1 to 38 and a scale of at most the width");
                ret_type->width = (uint8_t)width;
                ret_type->scale = (uint8_t)scale;
        } else if (count != 0 && strcasecmp(word, "float") == 0) {
                ret_type->id = numbers[0] > 24 ? LEAT_T_DOUBLE : LEAT_T_FLOAT;
        } else if (count == 2 || (count == 1 && full != LEAT_T_VARCHAR && full != LEAT_T_TIMESTAMP &&
                                  full != LEAT_T_TIMESTAMPTZ && full != LEAT_T_TIME)) {
                return fail_text(p, "takes no length");
        }
        return 0;
}

static int read_type(struct parser *p, int depth, struct leat_type *ret_type)
{
        if (depth > LEAT_TYPE_DEPTH_MAX)
                return fail_text(p, "nested too deeply");
        skip_space(p);
        char *word = read_word(p);
        if (word == NULL)
                return fail_text(p, "expected the name of a type");
        bool map = strcasecmp(word, "map") == 0;
        if (map || strcasecmp(word, "struct") == 0 || strcasecmp(word, "row") == 0)
                LEAT_TRY(read_struct(p, depth, map, ret_type));
        else
                LEAT_TRY(read_scalar(p, word, ret_type));
        if (map)
                wrap_list(p->arena, ret_type);
        for (int lists = 0; accept(p, '['); lists++) {
                if (lists + depth >= LEAT_TYPE_DEPTH_MAX)
                        return fail_text(p, "nested too deeply");
                if (!accept(p, ']'))
                        return fail_text(p, "arrays of a fixed length are not supported; write T[]");
                wrap_list(p->arena, ret_type);
        }
        return 0;
}

int leat_type_parse(struct leat_arena *arena, struct leat_view text, struct leat_type *ret_type, struct leat_error *err)
{
        struct parser p = {
                .arena = arena,
                .text = text,
                .at = (const char *)text.data,
                .end = (const char *)text.data + text.len,
                .err = err,
        };
        struct leat_type type;
        LEAT_TRY(read_type(&p, 0, &type));
        skip_space(&p);
        if (p.at != p.end)
                return fail_text(&p, "something follows the type");
        *ret_type = type;
        return 0;
}

/* ---- flat encoding --------------------------------------------------------- */

void leat_type_encode(const struct leat_type *type, struct leat_buf *out)
{
        leat_buf_u8(out, type->id);
        if (type->id == LEAT_T_DECIMAL) {
                leat_buf_u8(out, type->width);
                leat_buf_u8(out, type->scale);
        } else if (type->id == LEAT_T_LIST) {
                leat_type_encode(&type->children[0], out);
        } else if (type->id == LEAT_T_STRUCT) {
                leat_buf_u8(out, type->child_count);
                for (uint32_t i = 0; i < type->child_count; i++) {
                        size_t len = strlen(type->child_names[i]);
                        leat_buf_uvarint(out, len);
                        leat_buf_add(out, type->child_names[i], len);
                        leat_type_encode(&type->children[i], out);
                }
        }
}

static int decode_type(struct leat_arena *arena, struct leat_cursor *cur, int depth, struct leat_type *ret_type,
                       struct leat_error *err)
{
        struct leat_type type = {.id = leat_cursor_u8(cur)};
        if (cur->failed || type.id == 0 || type.id >= LEAT_TYPE_COUNT || depth > LEAT_TYPE_DEPTH_MAX)
                return leat_error_set(err, LEAT_ECORRUPT, "damaged column type (number %u, depth %d)", type.id, depth);
        if (type.id == LEAT_T_DECIMAL) {
                type.width = leat_cursor_u8(cur);
                type.scale = leat_cursor_u8(cur);
                if (cur->failed || type.width == 0 || type.width > 38 || type.scale > type.width)
                        return leat_error_set(err, LEAT_ECORRUPT, "damaged column type: DECIMAL(%u,%u)", type.width,
                                              type.scale);
        }
        if (type.id == LEAT_T_LIST)
                type.child_count = 1;
        else if (type.id == LEAT_T_STRUCT)
                type.child_count = leat_cursor_u8(cur);
        if (type.child_count != 0) {
                struct leat_type *children = leat_arena_zalloc(arena, type.child_count * sizeof *children);
                const char **names = leat_arena_zalloc(arena, type.child_count * sizeof *names);
                for (uint32_t i = 0; i < type.child_count; i++) {
                        if (type.id == LEAT_T_STRUCT) {
                                struct leat_view name = leat_cursor_bytes(cur, leat_cursor_uvarint(cur));
                                if (cur->failed)
                                        return leat_error_set(err, LEAT_ECORRUPT, "damaged column type: field name");
                                names[i] = leat_arena_strndup(arena, (const char *)name.data, name.len);
                        }
                        LEAT_TRY(decode_type(arena, cur, depth + 1, &children[i], err));
                }
                type.children = children;
                type.child_names = type.id == LEAT_T_STRUCT ? names : NULL;
        }
        *ret_type = type;
        return 0;
}

int leat_type_decode(struct leat_arena *arena, struct leat_cursor *cur, struct leat_type *ret_type,
                     struct leat_error *err)
{
        return decode_type(arena, cur, 0, ret_type, err);
}
