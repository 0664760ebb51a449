/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/query: the engine's plan of a SELECT (its JSON) as rows of EXPLAIN, in
 * the same columns as the operators of a view: one row an operator, those that
 * it reads below it and one step further in; `inputs` names them by number.
 */
#include <jansson.h>

#include "query_int.h"

enum { PLAN_DEPTH_MAX = 200 };

/* {"Groups": "#0", "Aggregates": ["sum(#1)", …]} as text. */
static const char *plan_detail(struct leat_arena *arena, json_t *info)
{
        const char *text = "", *key;
        json_t *value, *item;
        size_t i;
        json_object_foreach(info, key, value)
        {
                const char *of = json_string_value(value);
                json_array_foreach(value, i, item) of =
                        leat_arena_printf(arena, "%s%s%s", i == 0 ? "" : of, i == 0 ? "" : ", ",
                                          json_is_string(item) ? json_string_value(item) : "");
                if (of != NULL && of[0] != '\0' && strcmp(key, "Estimated Cardinality") != 0)
                        text = leat_arena_printf(arena, "%s%s%s: %s", text, text[0] == '\0' ? "" : "; ", key, of);
        }
        return text;
}

/* Operators of a tree: they are numbered from the top, each before those below it. */
static int plan_size(json_t *node, int depth)
{
        int size = 1;
        size_t i;
        json_t *child;
        json_array_foreach(json_object_get(node, "children"), i, child) size +=
                depth < PLAN_DEPTH_MAX ? plan_size(child, depth + 1) : 0;
        return size;
}

static void plan_add(struct query_rows *rows, json_t *node, int depth, int number)
{
        const char *name = json_string_value(json_object_get(node, "name")), *inputs = NULL;
        const char *rows_expected =
                json_string_value(json_object_get(json_object_get(node, "extra_info"), "Estimated Cardinality"));
        json_t *child, *children = json_object_get(node, "children");
        size_t len = name == NULL ? 0 : strlen(name), i;
        int below = number + 1;
        while (len > 0 && name[len - 1] == ' ')
                len--;
        json_array_foreach(children, i, child)
        {
                if (depth == PLAN_DEPTH_MAX)
                        break;
                inputs = inputs == NULL ? leat_arena_printf(rows->arena, "%d", below)
                                        : leat_arena_printf(rows->arena, "%s, %d", inputs, below);
                below += plan_size(child, depth + 1);
        }
        leat_query_rows_add(rows);
        leat_query_rows_int(rows, 0, number);
        leat_query_rows_text(
                rows, 1, leat_arena_printf(rows->arena, "%*s%.*s", depth * 2, "", (int)len, name == NULL ? "" : name));
        leat_query_rows_text(rows, 2, plan_detail(rows->arena, json_object_get(node, "extra_info")));
        if (rows_expected != NULL)
                leat_query_rows_text(rows, 3, leat_arena_printf(rows->arena, "about %s rows", rows_expected));
        leat_query_rows_text(rows, 4, inputs);
        below = number + 1;
        json_array_foreach(children, i, child)
        {
                if (depth == PLAN_DEPTH_MAX)
                        break;
                plan_add(rows, child, depth + 1, below);
                below += plan_size(child, depth + 1);
        }
}

bool leat_query_plan_rows(struct leat_view text, struct query_rows *rows)
{
        json_t *root = json_loadb((const char *)text.data, text.len, 0, NULL), *top = json_array_get(root, 0);
        if (json_is_object(top))
                plan_add(rows, top, 0, 0);
        bool found = json_is_object(top);
        json_decref(root);
        return found;
}
