/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/sql: names of result columns as PostgreSQL gives them: a function's own
 * name, "case", a cast's argument or type, "?column?" for the rest. DuckDB would
 * give the expression's text. Only for what a client sees; inside a query the
 * engine's names hold.
 */
#include <strings.h>

#include "sql_int.h"

static const char *type_name(const char *id)
{
        static const char *const names[][2] = {{"VARCHAR", "text"},
                                               {"INTEGER", "int4"},
                                               {"BIGINT", "int8"},
                                               {"SMALLINT", "int2"},
                                               {"BOOLEAN", "bool"},
                                               {"DOUBLE", "float8"},
                                               {"FLOAT", "float4"},
                                               {"DECIMAL", "numeric"},
                                               {"HUGEINT", "numeric"},
                                               {"TIMESTAMP", "timestamp"},
                                               {"TIMESTAMP WITH TIME ZONE", "timestamptz"},
                                               {"DATE", "date"},
                                               {"TIME", "time"},
                                               {"INTERVAL", "interval"},
                                               {"UUID", "uuid"},
                                               {"BLOB", "bytea"}};
        for (size_t i = 0; i < LEAT_ARRAY_LEN(names); i++)
                if (strcasecmp(names[i][0], id) == 0)
                        return names[i][1];
        return NULL;
}

static const char *function_name(const struct leat_json *expr)
{
        static const char *const names[][2] = {{"count_star", "count"},  {"list_value", "array"},
                                               {"struct_pack", "row"},   {"row", "row"},
                                               {"date_part", "extract"}, {"len", "length"}};
        const char *name = leat_json_str(expr, "function_name");
        if (leat_json_bool(expr, "is_operator") || strpbrk(name, "<>=~+-*/%^|&#!@") != NULL)
                return NULL;
        for (size_t i = 0; i < LEAT_ARRAY_LEN(names); i++)
                if (strcasecmp(names[i][0], name) == 0)
                        return names[i][1];
        return name;
}

/* The name that an expression has of its own; NULL: none. */
static const char *own_name(const struct leat_json *expr)
{
        const char *class = leat_json_str(expr, "class"), *type = leat_json_str(expr, "type");
        if (leat_json_str(expr, "alias")[0] != 0)
                return leat_json_str(expr, "alias");
        if (strcmp(class, "COLUMN_REF") == 0) {
                const struct leat_json *names = leat_json_get(expr, "column_names");
                return names == NULL || names->count == 0
                               ? NULL
                               : (const char *)leat_json_at(names, names->count - 1)->text.data;
        }
        if (strcmp(class, "FUNCTION") == 0 || strcmp(class, "WINDOW") == 0)
                return function_name(expr);
        if (strcmp(class, "CASE") == 0)
                return "case";
        if (strcmp(class, "OPERATOR") == 0)
                return strcmp(type, "OPERATOR_COALESCE") == 0   ? "coalesce"
                       : strcmp(type, "ARRAY_CONSTRUCTOR") == 0 ? "array"
                                                                : NULL;
        if (strcmp(class, "CAST") == 0) {
                const char *name = own_name(leat_json_get(expr, "child"));
                return name != NULL ? name : type_name(leat_json_str(leat_json_get(expr, "cast_type"), "id"));
        }
        if (strcmp(class, "SUBQUERY") == 0) {
                const struct leat_json *node = leat_json_get(leat_json_get(expr, "subquery"), "node");
                const struct leat_json *list = leat_json_get(node, "select_list");
                if (strcmp(leat_json_str(expr, "subquery_type"), "EXISTS") == 0)
                        return "exists";
                return strcmp(leat_json_str(expr, "subquery_type"), "SCALAR") != 0 || list == NULL || list->count != 1
                               ? NULL
                               : own_name(leat_json_at(list, 0));
        }
        return NULL;
}

static const struct leat_json *select_list(const struct leat_json *node)
{
        for (int depth = 0; node != NULL && depth < 100; depth++) {
                const struct leat_json *list = leat_json_get(node, "select_list");
                if (list != NULL)
                        return list;
                const struct leat_json *children = leat_json_get(node, "children");
                node = children != NULL && children->count != 0 ? leat_json_at(children, 0)
                                                                : leat_json_get(node, "left");
        }
        return NULL;
}

void leat_sql_result_names(struct leat_arena *arena, const struct leat_json *node, const char **names, uint32_t count)
{
        const struct leat_json *list = select_list(node);
        uint32_t stars = 0, at = 0;
        if (list == NULL)
                return;
        LEAT_JSON_EACH(item, list)
        stars += strcmp(leat_json_str(item, "class"), "STAR") == 0;
        if ((stars == 0 && list->count != count) || (stars != 0 && list->count - stars > count))
                return;
        /* Behind one star the columns are counted from the end; between two nobody can tell. */
        LEAT_JSON_EACH(item, list)
        {
                if (strcmp(leat_json_str(item, "class"), "STAR") == 0) {
                        if (stars != 1)
                                return;
                        at += count - (list->count - 1);
                        continue;
                }
                bool aliased = leat_json_str(item, "alias")[0] != 0;
                const char *name = own_name(item);
                /* A column keeps the spelling of its relation. */
                if (!aliased && strcmp(leat_json_str(item, "class"), "COLUMN_REF") != 0)
                        names[at] = leat_arena_strdup(arena, name == NULL ? "?column?" : name);
                at++;
        }
}
