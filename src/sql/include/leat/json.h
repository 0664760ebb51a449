/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/sql: JSON documents as DuckDB gives its trees and plans. Numbers keep
 * their text (query_location goes up to 2^64-1, HUGEINT beyond), everything
 * lives in one arena, depth and size are bounded. Thread: any, no state.
 */
#ifndef LEAT_JSON_H
#define LEAT_JSON_H

#include "leat/bytes.h"
#include "leat/mem.h"

enum leat_json_kind {
        LEAT_JSON_NULL,
        LEAT_JSON_BOOL,
        LEAT_JSON_NUMBER,
        LEAT_JSON_STRING,
        LEAT_JSON_ARRAY,
        LEAT_JSON_OBJECT
};

struct leat_json {
        uint8_t kind;            /* enum leat_json_kind */
        bool flag;               /* BOOL */
        uint32_t count;          /* ARRAY, OBJECT: members */
        struct leat_view text;   /* STRING: decoded; NUMBER: as written; NUL-terminated */
        const char *name;        /* its name inside an OBJECT; else NULL */
        struct leat_json *first; /* ARRAY, OBJECT: first member */
        struct leat_json *next;  /* next member of the same parent */
};

/* Reads one document. LEAT_EPROTO at bad JSON, LEAT_ETOOBIG when nested deeper than 1,000. */
int leat_json_parse(struct leat_arena *arena, struct leat_view text, struct leat_json **ret_json,
                    struct leat_error *err) LEAT_NODISCARD;
/* All accept NULL and other kinds and then give NULL, "", 0, false or @other. */
const struct leat_json *leat_json_get(const struct leat_json *json, const char *name);
const struct leat_json *leat_json_at(const struct leat_json *json, uint32_t index);
const char *leat_json_str(const struct leat_json *json, const char *name); /* member's text; "" when none */
bool leat_json_bool(const struct leat_json *json, const char *name);
int64_t leat_json_int(const struct leat_json *json, const char *name, int64_t other); /* @other: none or no int64 */
/* `query_location` of a node as a byte offset, -1 when it has none. */
int64_t leat_json_location(const struct leat_json *json);

#define LEAT_JSON_EACH(item, json) \
        for (const struct leat_json *item = (json) != NULL ? (json)->first : NULL; item != NULL; item = item->next)

#endif
