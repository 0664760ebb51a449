/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/sql: constant conditions that a scan can use.
 *
 * Purpose  WHERE kafka_partition = 3 AND kafka_offset >= 100 reads one part of a
 *          partition, key = 'x' one row of a keyed relation.
 * Safety   The query keeps its WHERE, so a scan may only leave out rows that
 *          WHERE would drop: conjuncts of the WHERE of the SELECT in whose FROM
 *          the relation stands, each with a constant (or parameter) on one side
 *          and the bare column on the other. Comparisons are never true for
 *          NULL, so outer joins do no harm; ASOF, POSITIONAL, SEMI and ANTI
 *          joins are left alone by the caller.
 */
#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

#include "sql_int.h"

#define CONDITIONS_MAX 32

struct collect {
        struct leat_arena *arena;
        struct sql_item *items;
        uint32_t count;
};

/* Column index of @name in the scan of @item, -1 when it is none that can be used. */
static int usable_column(const struct sql_item *item, const char *name, bool *ret_key)
{
        const struct sql_relation *r = &item->relation;
        uint32_t index = r->column_count, key_count = 0;
        const uint32_t *keys = NULL;
        *ret_key = false;
        for (int p = 0; p < LEAT_PSEUDO_COUNT; p++) {
                if ((item->pseudo >> p & 1) == 0)
                        continue;
                if (p <= LEAT_PSEUDO_TIMESTAMP && strcasecmp(name, leat_sql_pseudo_name((enum leat_pseudo)p)) == 0)
                        return (int)index;
                index++;
        }
        if (r->kind == LEAT_SCAN_TOPIC) {
                keys = r->object->topic->keys;
                key_count = r->object->topic->key_count;
        } else if (r->kind == LEAT_SCAN_VIEW) {
                keys = r->object->view->keys;
                key_count = r->object->view->key_count;
        }
        int column = leat_columns_find(r->columns, r->column_count, name);
        for (uint32_t i = 0; i < key_count && column >= 0; i++)
                *ret_key |= keys[i] == (uint32_t)column;
        /* Quarantine is keyed by partition and offset. */
        if (r->kind == LEAT_SCAN_QUARANTINE && (column == 0 || column == 1))
                return column;
        return *ret_key ? column : -1;
}

static struct leat_type column_type(const struct sql_item *item, uint32_t column)
{
        if (column < item->relation.column_count)
                return item->relation.columns[column].type;
        column -= item->relation.column_count;
        for (int p = 0; p < LEAT_PSEUDO_COUNT; p++) {
                if ((item->pseudo >> p & 1) != 0 && column-- == 0)
                        return leat_sql_pseudo_type((enum leat_pseudo)p);
        }
        return leat_type_of(LEAT_T_INVALID);
}

static bool integer_type(uint8_t id)
{
        return (id >= LEAT_T_TINYINT && id <= LEAT_T_BIGINT) || (id >= LEAT_T_UTINYINT && id <= LEAT_T_UBIGINT);
}

static bool integer_text(const char *text)
{
        const char *c = *text == '-' ? text + 1 : text;
        if (*c == 0 || strlen(c) > 19)
                return false;
        for (; *c != 0; c++) {
                if (!isdigit((uint8_t)*c))
                        return false;
        }
        return true;
}

/* The constant as text fit for a column of @type; NULL when it is better left to the query. */
static const char *constant_text(struct leat_arena *arena, const struct leat_json *expr, const struct leat_type *type)
{
        const struct leat_json *value = leat_json_get(expr, "value"), *inner = leat_json_get(value, "value");
        char stamp[LEAT_TIME_TEXT_MAX];
        int64_t us;
        if (inner == NULL || leat_json_bool(value, "is_null"))
                return NULL;
        const char *text = leat_json_str(value, "value"), *id = leat_json_str(leat_json_get(value, "type"), "id");
        bool string = inner->kind == LEAT_JSON_STRING && strcmp(id, "VARCHAR") == 0;
        if (integer_type(type->id))
                return inner->kind == LEAT_JSON_NUMBER && strcmp(id, "DECIMAL") != 0 && integer_text(text) ? text
                                                                                                           : NULL;
        if (type->id == LEAT_T_VARCHAR)
                return string ? text : NULL;
        if (type->id == LEAT_T_TIMESTAMPTZ && string && leat_time_parse(inner->text, &us)) {
                leat_time_format(us, stamp);
                return leat_arena_strdup(arena, stamp);
        }
        return NULL;
}

/* CAST does not matter where it only says the column's own type. */
static const struct leat_json *without_cast(const struct leat_json *expr)
{
        static const char *const fine[] = {"INTEGER", "BIGINT", "VARCHAR", "TIMESTAMP WITH TIME ZONE"};
        while (strcmp(leat_json_str(expr, "class"), "CAST") == 0 && !leat_json_bool(expr, "try_cast")) {
                const char *id = leat_json_str(leat_json_get(expr, "cast_type"), "id");
                bool ok = false;
                for (size_t i = 0; i < LEAT_ARRAY_LEN(fine); i++)
                        ok |= strcmp(id, fine[i]) == 0;
                if (!ok)
                        return NULL;
                expr = leat_json_get(expr, "child");
        }
        return expr;
}

static void add_condition(struct collect *c, const struct leat_json *column, uint8_t op, const struct leat_json *value)
{
        const struct leat_json *names = leat_json_get(column, "column_names");
        value = without_cast(value);
        if (names == NULL || names->count < 1 || names->count > 2 || value == NULL)
                return;
        const char *name = (const char *)leat_json_at(names, names->count - 1)->text.data;
        const char *alias = names->count == 2 ? (const char *)leat_json_at(names, 0)->text.data : NULL;
        for (uint32_t i = 0; i < c->count; i++) {
                struct sql_item *item = &c->items[i];
                struct leat_scan_key *key = item->key;
                struct leat_scan_condition condition = {.op = op};
                bool is_key;
                if (item->renamed || (alias != NULL && strcasecmp(alias, item->alias) != 0) ||
                    key->condition_count == CONDITIONS_MAX)
                        continue;
                int index = usable_column(item, name, &is_key);
                if (index < 0 || (is_key && op != LEAT_SCAN_EQ))
                        continue;
                condition.column = (uint32_t)index;
                struct leat_type type = column_type(item, condition.column);
                if (strcmp(leat_json_str(value, "class"), "PARAMETER") == 0)
                        condition.param = (uint32_t)leat_json_int(value, "identifier", 0);
                else if (strcmp(leat_json_str(value, "class"), "CONSTANT") == 0)
                        condition.value = constant_text(c->arena, value, &type);
                if (condition.param == 0 && condition.value == NULL)
                        continue;
                struct leat_scan_condition *list = (struct leat_scan_condition *)(uintptr_t)key->conditions;
                if (list == NULL)
                        key->conditions = list = leat_arena_zalloc(c->arena, CONDITIONS_MAX * sizeof *list);
                list[key->condition_count++] = condition;
        }
}

static bool is_column(const struct leat_json *expr)
{
        return strcmp(leat_json_str(expr, "class"), "COLUMN_REF") == 0;
}

static void comparison(struct collect *c, const struct leat_json *expr)
{
        static const struct {
                const char *type;
                uint8_t op, turned;
        } ops[] = {{"COMPARE_EQUAL", LEAT_SCAN_EQ, LEAT_SCAN_EQ},
                   {"COMPARE_LESSTHAN", LEAT_SCAN_LT, LEAT_SCAN_GT},
                   {"COMPARE_LESSTHANOREQUALTO", LEAT_SCAN_LE, LEAT_SCAN_GE},
                   {"COMPARE_GREATERTHAN", LEAT_SCAN_GT, LEAT_SCAN_LT},
                   {"COMPARE_GREATERTHANOREQUALTO", LEAT_SCAN_GE, LEAT_SCAN_LE}};
        const struct leat_json *left = leat_json_get(expr, "left"), *right = leat_json_get(expr, "right");
        for (size_t i = 0; i < LEAT_ARRAY_LEN(ops); i++) {
                if (strcmp(leat_json_str(expr, "type"), ops[i].type) != 0)
                        continue;
                if (is_column(left))
                        add_condition(c, left, ops[i].op, right);
                else if (is_column(right))
                        add_condition(c, right, ops[i].turned, left);
        }
}

static void conjuncts(struct collect *c, const struct leat_json *expr)
{
        const char *class = leat_json_str(expr, "class");
        if (strcmp(leat_json_str(expr, "type"), "CONJUNCTION_AND") == 0) {
                LEAT_JSON_EACH(child, leat_json_get(expr, "children"))
                conjuncts(c, child);
        } else if (strcmp(class, "COMPARISON") == 0) {
                comparison(c, expr);
        } else if (strcmp(class, "BETWEEN") == 0 && is_column(leat_json_get(expr, "input"))) {
                add_condition(c, leat_json_get(expr, "input"), LEAT_SCAN_GE, leat_json_get(expr, "lower"));
                add_condition(c, leat_json_get(expr, "input"), LEAT_SCAN_LE, leat_json_get(expr, "upper"));
        }
}

/* One value for each key column? */
static bool covers_key(const struct sql_item *item)
{
        const struct sql_relation *r = &item->relation;
        const uint32_t *keys = r->kind == LEAT_SCAN_TOPIC  ? r->object->topic->keys
                               : r->kind == LEAT_SCAN_VIEW ? r->object->view->keys
                                                           : NULL;
        uint32_t count = keys == NULL                 ? 0
                         : r->kind == LEAT_SCAN_TOPIC ? r->object->topic->key_count
                                                      : r->object->view->key_count;
        for (uint32_t k = 0; k < count; k++) {
                bool found = false;
                for (uint32_t i = 0; i < item->key->condition_count; i++)
                        found |= item->key->conditions[i].column == keys[k] &&
                                 item->key->conditions[i].op == LEAT_SCAN_EQ;
                if (!found)
                        return false;
        }
        return count != 0;
}

void leat_sql_pushdown(struct leat_arena *arena, const struct leat_json *where, struct sql_item *items, uint32_t count)
{
        struct collect c = {.arena = arena, .items = items, .count = count};
        if (where == NULL || where->kind != LEAT_JSON_OBJECT)
                return;
        conjuncts(&c, where);
        for (uint32_t i = 0; i < count; i++)
                items[i].key->by_key = covers_key(&items[i]);
}
