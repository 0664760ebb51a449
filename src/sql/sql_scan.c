/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/sql: scan keys, the text in leat_scan('…').
 *
 * Format   system relations: their name, "pg_catalog.pg_class".
 *          others: kind and id | name | pseudo columns | by key | conditions,
 *          e.g. t12|scans|3|0|5,5,0,100&5,2,0,200. In names and values the
 *          characters % | & , and those below 32 are written %XX.
 *          Keys are made by us and checked when read: a user cannot call
 *          leat_scan, but a key that makes no sense must not crash.
 */
#include <ctype.h>
#include <stdio.h>

#include "sql_int.h"

static const char kind_letters[] = "?tuqv";

static void put_escaped(struct leat_buf *out, const char *text)
{
        for (const char *c = text; *c != 0; c++) {
                if ((uint8_t)*c < 32 || strchr("%|&,", *c) != NULL)
                        leat_buf_printf(out, "%%%02X", (uint8_t)*c);
                else
                        leat_buf_u8(out, (uint8_t)*c);
        }
}

void leat_sql_scan_key_print(const struct leat_scan_key *key, struct leat_buf *out)
{
        if (key->kind == LEAT_SCAN_SYSTEM) {
                leat_buf_add_str(out, key->name);
                return;
        }
        leat_buf_printf(out, "%c%llu|", kind_letters[key->kind], (unsigned long long)key->object_id);
        put_escaped(out, key->name);
        leat_buf_printf(out, "|%u|%d|", key->pseudo, key->by_key);
        for (uint32_t i = 0; i < key->condition_count; i++) {
                const struct leat_scan_condition *c = &key->conditions[i];
                leat_buf_printf(out, "%s%u,%u,%u,", i != 0 ? "&" : "", c->column, c->op, c->param);
                put_escaped(out, c->value != NULL ? c->value : "");
        }
}

/* Text up to one of @ends, unescaped; *io_at moves onto the end. */
static char *get_escaped(struct leat_arena *arena, const char **io_at, const char *ends)
{
        const char *at = *io_at;
        size_t len = strcspn(at, ends), out_len = 0;
        char *out = leat_arena_alloc(arena, len + 1);
        for (size_t i = 0; i < len; i++) {
                if (at[i] == '%' && i + 2 < len + 1 && isxdigit((uint8_t)at[i + 1]) && isxdigit((uint8_t)at[i + 2])) {
                        char digits[3] = {at[i + 1], at[i + 2], 0};
                        out[out_len++] = (char)strtol(digits, NULL, 16);
                        i += 2;
                } else {
                        out[out_len++] = at[i];
                }
        }
        out[out_len] = 0;
        *io_at = at + len;
        return out;
}

static bool get_number(const char **io_at, char end, uint64_t *ret_value)
{
        char *stop;
        if (!isdigit((uint8_t) * *io_at))
                return false;
        *ret_value = strtoull(*io_at, &stop, 10);
        if (*stop != end)
                return false;
        *io_at = stop + 1;
        return true;
}

static bool get_conditions(struct leat_arena *arena, const char *at, struct leat_scan_key *key)
{
        uint32_t cap = 0;
        struct leat_scan_condition *conditions;
        for (const char *c = at; *c != 0; c++)
                cap += *c == '&';
        conditions = leat_arena_zalloc(arena, (cap + 1) * sizeof *conditions);
        key->conditions = conditions;
        while (*at != 0) {
                uint64_t column, op, param;
                if (key->condition_count > cap || !get_number(&at, ',', &column) || !get_number(&at, ',', &op) ||
                    !get_number(&at, ',', &param) || op < LEAT_SCAN_EQ || op > LEAT_SCAN_GE || column > UINT16_MAX ||
                    param > UINT16_MAX)
                        return false;
                conditions[key->condition_count++] = (struct leat_scan_condition){
                        .column = (uint32_t)column,
                        .op = (uint8_t)op,
                        .param = (uint32_t)param,
                        .value = get_escaped(arena, &at, "&"),
                };
                if (*at == '&')
                        at++;
        }
        return true;
}

int leat_sql_scan_key_parse(struct leat_arena *arena, const char *text, struct leat_scan_key *ret_key,
                            struct leat_error *err)
{
        struct leat_scan_key key = {0};
        const char *at = text, *letter = *at != 0 ? strchr(kind_letters + 1, *at) : NULL;
        uint64_t pseudo, by_key;
        if (strchr(text, '|') == NULL) {
                *ret_key = (struct leat_scan_key){.kind = LEAT_SCAN_SYSTEM, .name = leat_arena_strdup(arena, text)};
                return 0;
        }
        if (letter == NULL)
                goto bad;
        key.kind = (enum leat_scan_kind)(letter - kind_letters);
        at++;
        if (!get_number(&at, '|', &key.object_id))
                goto bad;
        key.name = get_escaped(arena, &at, "|");
        if (*at++ != '|' || !get_number(&at, '|', &pseudo) || !get_number(&at, '|', &by_key) ||
            pseudo >= 1u << LEAT_PSEUDO_COUNT || !get_conditions(arena, at, &key))
                goto bad;
        key.pseudo = (uint32_t)pseudo;
        key.by_key = by_key != 0;
        *ret_key = key;
        return 0;
bad:
        return leat_error_set(err, LEAT_ENORELATION, "\"%.100s\" is no scan", text);
}

struct leat_type leat_sql_pseudo_type(enum leat_pseudo pseudo)
{
        static const struct leat_type fields[] = {{.id = LEAT_T_VARCHAR}, {.id = LEAT_T_BLOB}};
        static const char *const names[] = {"key", "value"};
        static const struct leat_type header = {
                .id = LEAT_T_STRUCT, .child_count = 2, .children = fields, .child_names = names};
        static const struct leat_type types[] = {
#define X(pseudo_id, column, column_type) [LEAT_PSEUDO_##pseudo_id] = {.id = LEAT_T_##column_type},
                LEAT_PSEUDO_COLUMNS(X)
#undef X
        };
        struct leat_type type = types[pseudo];
        if (type.id == LEAT_T_LIST) {
                type.child_count = 1;
                type.children = &header;
        }
        return type;
}

const char *leat_sql_pseudo_name(enum leat_pseudo pseudo)
{
        static const char *const names[] = {
#define X(id, name, type) [LEAT_PSEUDO_##id] = name,
                LEAT_PSEUDO_COLUMNS(X)
#undef X
        };
        return names[pseudo];
}

uint32_t leat_sql_pseudo_of(const struct leat_topic_def *topic)
{
        uint32_t all = (1u << LEAT_PSEUDO_COUNT) - 1;
        return topic == NULL || topic->format == LEAT_FORMAT_RAW ? all : all & ~(1u << LEAT_PSEUDO_VALUE);
}

const struct leat_column_def *leat_sql_quarantine_columns(uint32_t *ret_count)
{
        static const struct leat_column_def columns[] = {
                {.name = "partition", .type = {.id = LEAT_T_INTEGER}},
                {.name = "offset", .type = {.id = LEAT_T_BIGINT}},
                {.name = "key", .type = {.id = LEAT_T_BLOB}},
                {.name = "value", .type = {.id = LEAT_T_BLOB}},
                {.name = "column", .type = {.id = LEAT_T_VARCHAR}},
                {.name = "reason", .type = {.id = LEAT_T_VARCHAR}},
                {.name = "timestamp", .type = {.id = LEAT_T_TIMESTAMPTZ}},
                {.name = "replayed", .type = {.id = LEAT_T_TIMESTAMPTZ}},
        };
        *ret_count = LEAT_ARRAY_LEN(columns);
        return columns;
}

static const struct leat_column_def value_column[] = {{.name = "value", .type = {.id = LEAT_T_VARCHAR}}};

/* A relation's own columns. */
static int own_columns(const struct leat_sql_catalog *catalog, const struct leat_scan_key *key,
                       const struct leat_column_def **ret_columns, uint32_t *ret_count, struct leat_error *err)
{
        const struct leat_object *object;
        switch (key->kind) {
        case LEAT_SCAN_UNDECLARED:
                *ret_columns = value_column;
                *ret_count = 1;
                return 0;
        case LEAT_SCAN_QUARANTINE:
                *ret_columns = leat_sql_quarantine_columns(ret_count);
                return 0;
        case LEAT_SCAN_TOPIC:
        case LEAT_SCAN_VIEW:
                object = leat_snapshot_get(catalog->snapshot, key->object_id);
                if (object != NULL && key->kind == LEAT_SCAN_TOPIC && object->topic != NULL) {
                        *ret_columns = object->topic->columns;
                        *ret_count = object->topic->column_count;
                        return 0;
                }
                if (object != NULL && key->kind == LEAT_SCAN_VIEW && object->view != NULL) {
                        *ret_columns = object->view->columns;
                        *ret_count = object->view->column_count;
                        return 0;
                }
                break;
        default:
                break;
        }
        return leat_error_set(err, LEAT_ENORELATION, "relation \"%s\" does not exist", key->name);
}

int leat_sql_scan_columns(const struct leat_sql_catalog *catalog, const struct leat_scan_key *key,
                          struct leat_arena *arena, uint32_t *ret_count, const char ***ret_names,
                          struct leat_type **ret_types, struct leat_error *err)
{
        const struct leat_column_def *columns;
        uint32_t count;
        LEAT_TRY(own_columns(catalog, key, &columns, &count, err));
        const char **names = leat_arena_alloc(arena, (count + LEAT_PSEUDO_COUNT) * sizeof *names);
        struct leat_type *types = leat_arena_alloc(arena, (count + LEAT_PSEUDO_COUNT) * sizeof *types);
        for (uint32_t i = 0; i < count; i++) {
                names[i] = leat_arena_strdup(arena, columns[i].name);
                types[i] = leat_type_copy(arena, &columns[i].type);
        }
        for (int p = 0; p < LEAT_PSEUDO_COUNT; p++) {
                if ((key->pseudo >> p & 1) == 0)
                        continue;
                names[count] = leat_sql_pseudo_name((enum leat_pseudo)p);
                types[count++] = leat_sql_pseudo_type((enum leat_pseudo)p);
        }
        *ret_count = count;
        *ret_names = names;
        *ret_types = types;
        return 0;
}

/* ---- finding a relation ---------------------------------------------------------- */
#define QUARANTINE_SUFFIX "$quarantine"

static int not_found(struct sql_rewrite *rw, const char *name, const struct leat_sql_map *map, int64_t at)
{
        const struct leat_snapshot *snapshot = rw->catalog->snapshot;
        const char **names = leat_arena_alloc(rw->arena, (snapshot->object_count + 1) * sizeof *names);
        uint32_t count = 0;
        for (uint32_t i = 0; i < snapshot->object_count; i++) {
                if (snapshot->objects[i].kind != LEAT_OBJECT_DASHBOARD)
                        names[count++] = snapshot->objects[i].name;
        }
        const char *near = leat_sql_suggest(name, names, count);
        leat_sql_map_fail(map, at, rw->err, LEAT_ENORELATION, "relation \"%s\" does not exist", name);
        if (near != NULL)
                leat_error_hint(rw->err, "Did you mean \"%s\"?", near);
        else if (count != 0)
                leat_error_hint(rw->err, "SHOW TABLES lists the relations there are.");
        else
                leat_error_hint(rw->err, "There are no relations yet: CREATE TOPIC makes one.");
        return LEAT_ENORELATION;
}

static int found_object(struct sql_rewrite *rw, const struct leat_object *object, const struct leat_sql_map *map,
                        int64_t at, struct sql_relation *relation)
{
        if (object->state == LEAT_STATE_DROPPING || object->state == LEAT_STATE_CREATING) {
                leat_sql_map_fail(map, at, rw->err, LEAT_ENORELATION, "%s \"%s\" is being %s",
                                  leat_object_kind_name(object->kind), object->name,
                                  object->state == LEAT_STATE_DROPPING ? "dropped" : "created");
                return LEAT_ENORELATION;
        }
        relation->object = object;
        relation->name = object->name;
        if (object->kind == LEAT_OBJECT_TOPIC) {
                relation->kind = LEAT_SCAN_TOPIC;
                relation->columns = object->topic->columns;
                relation->column_count = object->topic->column_count;
                relation->pseudo = leat_sql_pseudo_of(object->topic);
        } else {
                relation->kind = LEAT_SCAN_VIEW;
                relation->columns = object->view->columns;
                relation->column_count = object->view->column_count;
        }
        return 0;
}

/* "<topic>$quarantine" */
static const struct leat_object *quarantine_topic(struct sql_rewrite *rw, const char *name)
{
        size_t len = strlen(name), suffix = strlen(QUARANTINE_SUFFIX);
        if (len <= suffix || strcmp(name + len - suffix, QUARANTINE_SUFFIX) != 0)
                return NULL;
        const struct leat_object *object =
                leat_snapshot_find(rw->catalog->snapshot, leat_arena_strndup(rw->arena, name, len - suffix), false);
        return object != NULL && object->kind == LEAT_OBJECT_TOPIC ? object : NULL;
}

int leat_sql_relation_find(struct sql_rewrite *rw, const char *schema, const char *name, const struct leat_sql_map *map,
                           int64_t at, struct sql_relation *ret_relation)
{
        struct sql_relation relation = {.name = name};
        bool system = strcmp(schema, "pg_catalog") == 0 || strcmp(schema, "information_schema") == 0;
        if (schema[0] != 0 && !system && strcmp(schema, "public") != 0) {
                leat_sql_map_fail(map, at, rw->err, LEAT_ENORELATION, "schema \"%s\" does not exist", schema);
                leat_error_hint(rw->err,
                                "All relations are in the schema \"public\"; quote a name that has a dot in it.");
                return LEAT_ENORELATION;
        }
        const struct leat_object *object = system ? NULL : leat_snapshot_find(rw->catalog->snapshot, name, false);
        if (object != NULL) {
                LEAT_TRY(found_object(rw, object, map, at, &relation));
                *ret_relation = relation;
                return 0;
        }
        if (system || strncmp(name, "pg_", 3) == 0) {
                char *key = leat_arena_printf(rw->arena, "%s.%s", system ? schema : "pg_catalog", name);
                if (leat_sql_env_system(rw->env, key)) {
                        *ret_relation = (struct sql_relation){.kind = LEAT_SCAN_SYSTEM, .name = key};
                        return 0;
                }
        }
        if ((object = quarantine_topic(rw, name)) != NULL) {
                relation.kind = LEAT_SCAN_QUARANTINE;
                relation.object = object;
                relation.name = object->name;
                relation.columns = leat_sql_quarantine_columns(&relation.column_count);
                *ret_relation = relation;
                return 0;
        }
        if (!system && rw->env->options.topic_exists != NULL &&
            rw->env->options.topic_exists(rw->env->options.topic_arg, name)) {
                relation.kind = LEAT_SCAN_UNDECLARED;
                relation.columns = value_column;
                relation.column_count = 1;
                relation.pseudo = leat_sql_pseudo_of(NULL);
                *ret_relation = relation;
                return 0;
        }
        return not_found(rw, name, map, at);
}

const char *leat_sql_table_name(struct leat_arena *arena, const struct sql_relation *relation)
{
        if (relation->kind == LEAT_SCAN_UNDECLARED)
                return "leat_undeclared";
        return leat_arena_printf(arena, relation->kind == LEAT_SCAN_QUARANTINE ? "leat_q%llu" : "leat_%llu",
                                 (unsigned long long)relation->object->id);
}
