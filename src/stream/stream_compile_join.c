/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/stream: joins of a plan. The only join here is the lookup of a PRIMARY KEY
 * topic. Its right side may be filtered and projected in the plan; both move
 * behind the lookup (right_read), so that the operator itself only gives each
 * row the topic's row under its key, or none.
 */
#include <jansson.h>

#include "stream_compile.h"

struct right_side {
        struct leat_cnode *source;
        struct leat_expr *where;    /* over the topic's columns, or NULL */
        struct leat_expr **columns; /* the plan's right columns over the topic's */
        uint32_t column_count;
};

/* Flattens SELECTs over a keyed topic; false when it is anything else. */
static bool right_read(struct leat_compile *cc, struct leat_cnode *node, struct right_side *right)
{
        if (node->op == LEAT_OP_SOURCE) {
                if (node->relation->kind != LEAT_STREAM_KEYED)
                        return false;
                right->source = node;
                right->column_count = node->column_count;
                right->columns = leat_arena_zalloc(cc->arena, (node->column_count + 1) * sizeof(*right->columns));
                for (uint32_t i = 0; i < node->column_count; i++)
                        right->columns[i] = leat_expr_ref(cc->arena, i, node->types[i]);
                return true;
        }
        if (node->op != LEAT_OP_SELECT || node->unnest >= 0 || !right_read(cc, node->inputs[0], right))
                return false;
        struct leat_expr **below = right->columns;
        right->where = leat_compile_and(cc, right->where, leat_expr_replace(cc->arena, node->where, below));
        right->columns = leat_arena_zalloc(cc->arena, (node->column_count + 1) * sizeof(*right->columns));
        right->column_count = node->column_count;
        for (uint32_t i = 0; i < node->column_count; i++)
                right->columns[i] = leat_expr_replace(cc->arena, node->exprs[i], below);
        return true;
}

/* Splits a condition into its AND parts. */
static void parts_of(struct leat_expr *cond, struct leat_expr **parts, uint32_t *count, uint32_t max)
{
        if (cond->cls == LEAT_X_INFIX && strcmp(cond->name, "AND") == 0) {
                for (uint32_t i = 0; i < cond->argc; i++)
                        parts_of(cond->args[i], parts, count, max);
        } else if (*count < max) {
                parts[(*count)++] = cond;
        }
}

struct side_check {
        uint32_t split; /* columns below it are the left's */
        bool left, right;
};
static void side_ref(void *arg, struct leat_expr *ref)
{
        struct side_check *check = arg;
        if (ref->index < check->split)
                check->left = true;
        else
                check->right = true;
}
static struct side_check side_of(struct leat_expr *expr, uint32_t split)
{
        struct side_check check = {.split = split};
        leat_expr_refs(expr, side_ref, &check);
        return check;
}

/* The key column of the topic that @part compares with an expression of the left; -1 when it is no such part. */
static int32_t key_part(struct leat_expr *part, uint32_t left_columns, const struct right_side *right,
                        struct leat_expr **ret_left)
{
        if (part->cls != LEAT_X_INFIX || strcmp(part->name, "=") != 0)
                return -1;
        for (uint32_t i = 0; i < 2; i++) {
                struct leat_expr *a = part->args[i], *b = part->args[1 - i];
                if (b->cls != LEAT_X_REF || b->index < left_columns || side_of(a, left_columns).right)
                        continue;
                struct leat_expr *column = right->columns[b->index - left_columns];
                if (column->cls != LEAT_X_REF)
                        continue;
                uint32_t at = right->source->source_columns[column->index];
                for (uint32_t k = 0; k < right->source->relation->key_count; k++)
                        if (right->source->relation->keys[k] == at) {
                                *ret_left = a;
                                return (int32_t)k;
                        }
        }
        return -1;
}

static int lookup_build(struct leat_compile *cc, struct leat_cnode *left, struct right_side *right, bool outer,
                        struct leat_expr *cond, int position, struct leat_cnode **ret_node)
{
        const struct leat_stream_relation *topic = right->source->relation;
        struct leat_expr *parts[64], *rest = NULL;
        uint32_t part_count = 0, nl = left->column_count, nr = right->source->column_count;
        struct leat_cnode *node = leat_cnode_new(cc, LEAT_OP_LOOKUP, nl + nr + 1);
        if (!left->append_only)
                return leat_compile_refuse(cc, position, "join before you aggregate",
                                           "a lookup join whose left side changes (an updating view or aggregate)");
        node->input_count = 1;
        node->inputs[0] = left;
        node->append_only = true;
        node->relation = topic;
        node->source_columns = right->source->source_columns;
        node->source_count = nr;
        node->keys = leat_arena_zalloc(cc->arena, (topic->key_count + 1) * sizeof(*node->keys));
        memcpy(node->types, left->types, nl * sizeof *node->types);
        memcpy(node->props, left->props, nl * sizeof *node->props);
        memcpy(node->types + nl, right->source->types, nr * sizeof *node->types);
        node->types[nl + nr] = leat_type_of(LEAT_T_BOOLEAN);
        parts_of(cond, parts, &part_count, LEAT_ARRAY_LEN(parts));
        /* over the lookup's columns: the left's stay, the right's become expressions over the topic's */
        struct leat_expr **with = leat_arena_zalloc(cc->arena, (nl + right->column_count + 1) * sizeof *with);
        struct leat_expr **shift = leat_arena_zalloc(cc->arena, (nr + 1) * sizeof *shift);
        for (uint32_t i = 0; i < nr; i++)
                shift[i] = leat_expr_ref(cc->arena, nl + i, right->source->types[i]);
        for (uint32_t i = 0; i < nl; i++)
                with[i] = leat_expr_ref(cc->arena, i, left->types[i]);
        for (uint32_t i = 0; i < right->column_count; i++)
                with[nl + i] = leat_expr_replace(cc->arena, right->columns[i], shift);
        for (uint32_t i = 0; i < part_count; i++) {
                struct leat_expr *key = NULL;
                int32_t at = key_part(parts[i], nl, right, &key);
                if (at >= 0 && node->keys[at] == NULL)
                        node->keys[at] = key;
                else
                        rest = leat_compile_and(cc, rest, leat_expr_replace(cc->arena, parts[i], with));
        }
        for (uint32_t k = 0; k < topic->key_count; k++)
                if (node->keys[k] == NULL)
                        return leat_compile_refuse(cc, position, "join ON every column of its PRIMARY KEY with =",
                                                   "the join does not compare the key column \"%s\" of the keyed topic",
                                                   topic->names[topic->keys[k]]);
        struct leat_expr *matched = leat_expr_ref(cc->arena, nl + nr, node->types[nl + nr]);
        struct leat_expr *hit = leat_compile_and(cc, matched, rest);
        hit = leat_compile_and(cc, hit, leat_expr_replace(cc->arena, right->where, shift));
        struct leat_cnode *out = leat_compile_select_new(cc, node, nl + right->column_count);
        for (uint32_t i = 0; i < out->column_count; i++) {
                struct leat_expr *args[2] = {hit, with[i]};
                out->exprs[i] = with[i];
                /* a plain column of a row that is not there is NULL by itself */
                if (outer && i >= nl && (hit != matched || with[i]->cls != LEAT_X_REF))
                        out->exprs[i] = leat_expr_text(cc->arena, with[i]->type, "(CASE WHEN $0 THEN $1 END)", 2, args);
                if (i < nl && left->aliases != NULL)
                        out->aliases[i] = left->aliases[i];
        }
        out->where = outer ? NULL : hit;
        *ret_node = out;
        return leat_compile_select_finish(cc, out);
}

/* Puts the columns of a join whose sides were changed back into the plan's order. */
static int swap_back(struct leat_compile *cc, struct leat_cnode *join, uint32_t moved, struct leat_cnode **ret_node)
{
        struct leat_cnode *node = leat_compile_select_new(cc, join, join->column_count);
        uint32_t first = join->column_count - moved;
        for (uint32_t i = 0; i < join->column_count; i++) {
                uint32_t at = i < moved ? first + i : i - moved;
                node->exprs[i] = leat_expr_ref(cc->arena, at, join->types[at]);
        }
        *ret_node = node;
        return leat_compile_select_finish(cc, node);
}

static int condition_read(struct leat_compile *cc, const json_t *json, uint32_t left_columns, uint32_t right_columns,
                          struct leat_expr **ret_cond)
{
        const json_t *list = json_object_get(json, "conditions");
        struct leat_expr **shift = leat_arena_zalloc(cc->arena, (right_columns + 1) * sizeof *shift);
        for (uint32_t i = 0; i < right_columns; i++)
                shift[i] = leat_expr_ref(cc->arena, left_columns + i, leat_type_of(LEAT_T_INVALID));
        *ret_cond = NULL;
        if (list == NULL)
                return leat_compile_expr(cc, json_object_get(json, "condition"), left_columns + right_columns,
                                         ret_cond);
        for (size_t i = 0; i < json_array_size(list); i++) {
                const json_t *one = json_array_get(list, i);
                /* a condition is a comparison without its class */
                json_t *cmp = json_pack("{s:s,s:O,s:O,s:O}", "expression_class", "BOUND_COMPARISON", "type",
                                        json_object_get(one, "comparison"), "left", json_object_get(one, "left"),
                                        "right", json_object_get(one, "right"));
                struct leat_expr *cond = NULL;
                if (cmp == NULL)
                        return leat_compile_refuse(cc, leat_compile_position(json), "join ON columns = key",
                                                   "this join condition");
                int rc = leat_expr_read(cc->arena, cmp, &cond, cc->err);
                json_decref(cmp);
                LEAT_TRY(rc);
                if (!leat_compile_refs_within(cond->args[0], left_columns) ||
                    !leat_compile_refs_within(cond->args[1], right_columns))
                        return leat_error_set(cc->err, LEAT_EINTERNAL,
                                              "a join condition has a column beyond its input");
                cond->args[1] = leat_expr_replace(cc->arena, cond->args[1], shift);
                *ret_cond = leat_compile_and(cc, *ret_cond, cond);
                if (i > 0)
                        (*ret_cond)->cls = LEAT_X_INFIX, (*ret_cond)->name = "AND";
        }
        return 0;
}

/* The same condition with left and right columns exchanged. */
static struct leat_expr *condition_swap(struct leat_compile *cc, struct leat_expr *cond, uint32_t left_columns,
                                        uint32_t right_columns)
{
        struct leat_expr **with = leat_arena_zalloc(cc->arena, (left_columns + right_columns + 1) * sizeof *with);
        for (uint32_t i = 0; i < left_columns + right_columns; i++)
                with[i] = leat_expr_ref(cc->arena, i < left_columns ? right_columns + i : i - left_columns,
                                        leat_type_of(LEAT_T_INVALID));
        return leat_expr_replace(cc->arena, cond, with);
}

int leat_compile_join(struct leat_compile *cc, const json_t *json, struct leat_cnode **ret_node)
{
        static const char hint[] = "join a topic or an append-only view with a PRIMARY KEY topic: FROM scans s JOIN "
                                   "stations t ON s.station = t.id (or LEFT JOIN)";
        const char *kind = leat_json_text(json, "join_type");
        int position = leat_compile_position(json_object_get(json, "conditions"));
        struct leat_cnode *left, *right_node;
        struct right_side right = {0};
        struct leat_expr *cond;
        if (position == 0)
                position = leat_compile_position(json_object_get(json, "condition"));
        LEAT_TRY(leat_compile_child(cc, json, 0, &left));
        LEAT_TRY(leat_compile_child(cc, json, 1, &right_node));
        bool inner = strcmp(kind, "INNER") == 0;
        if (!inner && strcmp(kind, "LEFT") != 0 && strcmp(kind, "RIGHT") != 0)
                return leat_compile_refuse(cc, position, hint, "a %s join cannot be used in a continuous query yet",
                                           kind);
        uint32_t nl = left->column_count, nr = right_node->column_count;
        LEAT_TRY(condition_read(cc, json, nl, nr, &cond));
        if (cond == NULL)
                return leat_compile_refuse(cc, position, hint, "a join without condition");
        if (strcmp(kind, "RIGHT") != 0 && right_read(cc, right_node, &right))
                return lookup_build(cc, left, &right, !inner, cond, position, ret_node);
        if (strcmp(kind, "LEFT") != 0 && right_read(cc, left, &right)) {
                struct leat_cnode *join;
                cond = condition_swap(cc, cond, nl, nr);
                LEAT_TRY(lookup_build(cc, right_node, &right, !inner, cond, position, &join));
                return swap_back(cc, join, nl, ret_node);
        }
        return leat_compile_refuse(cc, position, hint,
                                   "only joins with a PRIMARY KEY topic can be used in a continuous query yet");
}
