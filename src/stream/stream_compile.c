/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/stream: bound plan -> tree of operators. STREAMING.md section 1.
 *
 * The plan's columns are numbers into the child's columns, so each plan node is
 * read by itself, children first. Plan nodes that are not on the list in
 * type_read() are refused at their place, with what to write instead.
 */
#include <jansson.h>
#include <stdio.h>

#include "stream_compile.h"

int leat_compile_refuse(struct leat_compile *cc, int position, const char *hint, const char *fmt, ...)
{
        char text[400];
        va_list args;
        va_start(args, fmt);
        vsnprintf(text, sizeof text, fmt, args);
        va_end(args);
        leat_error_set(cc->err, LEAT_EUNSUPPORTED, "%s", text);
        leat_error_hint(cc->err, "%s", hint);
        if (cc->err != NULL)
                cc->err->position = position;
        return LEAT_EUNSUPPORTED;
}

struct leat_cnode *leat_cnode_new(struct leat_compile *cc, uint8_t op, uint32_t column_count)
{
        struct leat_cnode *node = leat_arena_zalloc(cc->arena, sizeof *node);
        node->op = op;
        node->column_count = column_count;
        node->types = leat_arena_zalloc(cc->arena, (column_count + 1) * sizeof *node->types);
        node->props = leat_arena_zalloc(cc->arena, (column_count + 1) * sizeof *node->props);
        node->unnest = -1;
        return node;
}

/* ---- positions: the nearest one under a plan node ---------------------------------------- */
int leat_compile_position(const json_t *json)
{
        int at = json_is_object(json) ? leat_json_position(json) : 0;
        const char *key;
        json_t *value;
        size_t i;
        if (at != 0)
                return at;
        if (json_is_object(json)) {
                json_object_foreach((json_t *)(uintptr_t)json, key,
                                    value) if ((at = leat_compile_position(value)) != 0) return at;
        } else if (json_is_array(json)) {
                json_array_foreach(json, i, value) if ((at = leat_compile_position(value)) != 0) return at;
        }
        return 0;
}

/* Every REF inside stands for a column that is there. */
struct refs_check {
        uint32_t columns;
        bool bad;
};
static void ref_check(void *arg, struct leat_expr *ref)
{
        struct refs_check *check = arg;
        check->bad |= ref->index >= check->columns;
}
bool leat_compile_refs_within(struct leat_expr *expr, uint32_t columns)
{
        struct refs_check check = {.columns = columns};
        leat_expr_refs(expr, ref_check, &check);
        return !check.bad;
}

int leat_compile_expr(struct leat_compile *cc, const json_t *json, uint32_t columns, struct leat_expr **ret_expr)
{
        LEAT_TRY(leat_expr_read(cc->arena, json, ret_expr, cc->err));
        if (!leat_compile_refs_within(*ret_expr, columns))
                return leat_error_set(cc->err, LEAT_EINTERNAL, "the plan has a column beyond its input");
        return 0;
}

static int node_read(struct leat_compile *cc, const json_t *json, struct leat_cnode **ret_node);

int leat_compile_child(struct leat_compile *cc, const json_t *json, size_t i, struct leat_cnode **ret_node)
{
        const json_t *child = json_array_get(json_object_get(json, "children"), i);
        if (child == NULL)
                return leat_error_set(cc->err, LEAT_EINTERNAL, "the plan has an operator without input");
        return node_read(cc, child, ret_node);
}

static int refused_read(struct leat_compile *cc, const json_t *json, const char *type)
{
        static const char *const hints[][3] = {
                {"LOGICAL_ORDER_BY", "ORDER BY", "a view has no order: leave it out and order when you read the view"},
                {"LOGICAL_LIMIT", "LIMIT", "leave it out and use LIMIT when you read the view"},
                {"LOGICAL_TOP_N", "ORDER BY with LIMIT", "leave it out and use it when you read the view"},
                {"LOGICAL_WINDOW", "a window function (OVER, QUALIFY)", "use GROUP BY with arg_max, max or min"},
                {"LOGICAL_CROSS_PRODUCT", "a cross join", "join ON the PRIMARY KEY of a keyed topic"},
                {"LOGICAL_DELIM_JOIN", "a correlated subquery", "join ON the PRIMARY KEY of a keyed topic"},
                {"LOGICAL_EXCEPT", "EXCEPT", "use a filter"},
                {"LOGICAL_INTERSECT", "INTERSECT", "use a filter"},
                {"LOGICAL_SAMPLE", "SAMPLE", "use a filter, e.g. hash(id) % 10 = 0"},
                {"LOGICAL_RECURSIVE_CTE", "a recursive CTE", "write it without recursion"},
                {"LOGICAL_EXPRESSION_GET", "VALUES", "read at least one topic or view"},
                {"LOGICAL_CHUNK_GET", "VALUES", "read at least one topic or view"},
                {"LOGICAL_DUMMY_SCAN", "a SELECT without FROM", "read at least one topic or view"},
                {"LOGICAL_EMPTY_RESULT", "a query that never has rows", "remove the contradiction in its conditions"},
                {"LOGICAL_PIVOT", "PIVOT", "write the columns with FILTER"},
        };
        for (size_t i = 0; i < LEAT_ARRAY_LEN(hints); i++)
                if (strcmp(type, hints[i][0]) == 0)
                        return leat_compile_refuse(cc, leat_compile_position(json), hints[i][2],
                                                   "%s cannot be used in a continuous query", hints[i][1]);
        return leat_compile_refuse(cc, leat_compile_position(json),
                                   "write the query with SELECT, WHERE, GROUP BY, UNION ALL",
                                   "%s cannot be used in a continuous query", type);
}

/* WITH: children are the definition and the query that names it. */
static int cte_read(struct leat_compile *cc, const json_t *json, struct leat_cnode **ret_node)
{
        struct leat_cte *cte = leat_arena_zalloc(cc->arena, sizeof *cte);
        *cte = (struct leat_cte){.index = json_integer_value(json_object_get(json, "table_index")),
                                 .definition = json_array_get(json_object_get(json, "children"), 0),
                                 .next = cc->ctes};
        cc->ctes = cte;
        return leat_compile_child(cc, json, 1, ret_node);
}

static int cte_ref_read(struct leat_compile *cc, const json_t *json, struct leat_cnode **ret_node)
{
        json_int_t index = json_integer_value(json_object_get(json, "cte_index"));
        struct leat_cte *cte = cc->ctes;
        while (cte != NULL && cte->index != index)
                cte = cte->next;
        if (cte == NULL || cte->definition == NULL)
                return refused_read(cc, json, "LOGICAL_RECURSIVE_CTE");
        return node_read(cc, cte->definition, ret_node);
}

static int type_read(struct leat_compile *cc, const json_t *json, struct leat_cnode **ret_node)
{
        static const struct {
                const char *type;
                int (*read)(struct leat_compile *cc, const json_t *json, struct leat_cnode **ret_node);
        } list[] = {
                {"LOGICAL_GET", leat_compile_get},           {"LOGICAL_PROJECTION", leat_compile_projection},
                {"LOGICAL_FILTER", leat_compile_filter},     {"LOGICAL_AGGREGATE_AND_GROUP_BY", leat_compile_group},
                {"LOGICAL_DISTINCT", leat_compile_distinct}, {"LOGICAL_UNION", leat_compile_union},
                {"LOGICAL_UNNEST", leat_compile_unnest},     {"LOGICAL_COMPARISON_JOIN", leat_compile_join},
                {"LOGICAL_ANY_JOIN", leat_compile_join},     {"LOGICAL_MATERIALIZED_CTE", cte_read},
                {"LOGICAL_CTE_REF", cte_ref_read},
        };
        const char *type = leat_json_text(json, "type");
        if (strcmp(type, "LOGICAL_UNION") == 0 && !json_is_true(json_object_get(json, "setop_all")))
                return leat_compile_refuse(cc, leat_compile_position(json), "write UNION ALL", "UNION");
        for (size_t i = 0; i < LEAT_ARRAY_LEN(list); i++)
                if (strcmp(type, list[i].type) == 0)
                        return list[i].read(cc, json, ret_node);
        return refused_read(cc, json, type);
}

static int node_read(struct leat_compile *cc, const json_t *json, struct leat_cnode **ret_node)
{
        if (cc->depth >= LEAT_STREAM_DEPTH_MAX || ++cc->node_count > LEAT_STREAM_NODES_MAX)
                return leat_error_set(cc->err, LEAT_ETOOBIG,
                                      "the query has more than %u operators or is nested too deep",
                                      LEAT_STREAM_NODES_MAX);
        cc->depth++;
        int rc = type_read(cc, json, ret_node);
        cc->depth--;
        if (rc == 0 && (*ret_node)->column_count > LEAT_STREAM_COLUMNS_MAX / 2)
                return leat_error_set(cc->err, LEAT_ETOOBIG, "the query has more than %u columns",
                                      LEAT_STREAM_COLUMNS_MAX / 2);
        return rc;
}

/* jansson refuses numbers beyond 64 bits signed; DuckDB writes 2^64 - 1 for "no place". Long numbers become texts. */
static void numbers_quote(struct leat_view json, struct leat_buf *out)
{
        bool quoted = false;
        for (size_t i = 0; i < json.len;) {
                size_t end = i;
                while (!quoted && end < json.len && json.data[end] >= '0' && json.data[end] <= '9')
                        end++;
                if (end - i >= 19 && !(end < json.len && (json.data[end] == '.' || json.data[end] == 'e'))) {
                        leat_buf_u8(out, '"');
                        leat_buf_add(out, json.data + i, end - i);
                        leat_buf_u8(out, '"');
                        i = end;
                        continue;
                }
                if (end > i) {
                        leat_buf_add(out, json.data + i, end - i);
                        i = end;
                        continue;
                }
                if (quoted && json.data[i] == '\\' && i + 1 < json.len)
                        leat_buf_u8(out, json.data[i++]);
                else if (json.data[i] == '"')
                        quoted = !quoted;
                leat_buf_u8(out, json.data[i++]);
        }
}

int leat_stream_compile(struct leat_arena *arena, struct leat_view plan_json,
                        const struct leat_stream_relation *relations, uint32_t relation_count,
                        const struct leat_stream_options *options, struct leat_stream_graph **ret_graph,
                        struct leat_error *err)
{
        static const struct leat_stream_options defaults;
        struct leat_compile cc = {.arena = arena,
                                  .relations = relations,
                                  .relation_count = relation_count,
                                  .options = options != NULL ? options : &defaults,
                                  .err = err};
        struct leat_buf text = LEAT_BUF_INIT;
        struct leat_cnode *top = NULL;
        json_error_t bad;
        int rc = 0;
        numbers_quote(plan_json, &text);
        json_t *json = json_loadb((const char *)text.data, text.len, JSON_ALLOW_NUL, &bad);
        leat_buf_done(&text);
        const json_t *plans = json_object_get(json, "plans");
        const json_t *plan = json_array_get(plans, 0);
        if (plan == NULL && json_object_get(json, "type") != NULL)
                plan = json;
        if (json == NULL && (bad.text[0] == '\0' || json_error_code(&bad) == json_error_out_of_memory)) {
                rc = leat_error_set(err, LEAT_ENOMEM, "out of memory for a plan of %zu bytes", plan_json.len);
        } else if (json == NULL || plan == NULL || json_array_size(plans) > 1) {
                rc = leat_error_set(err, LEAT_EINVAL, "no plan of one statement: %s",
                                    json == NULL ? bad.text : leat_json_text(json, "error_message"));
        } else {
                rc = node_read(&cc, plan, &top);
        }
        if (rc == 0)
                rc = leat_compile_finish(&cc, top);
        json_decref(json);
        if (rc == 0)
                *ret_graph = cc.graph;
        return rc;
}
