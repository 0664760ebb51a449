/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/stream: the tree is made smaller. Hopping windows become panes, columns
 * that nobody uses are dropped (the topic's decoder then skips them).
 */
#include "stream_compile.h"

/* ---- panes ------------------------------------------------------------------------------- */
struct taint {
        const bool *columns;
        bool hit;
};
static void taint_ref(void *arg, struct leat_expr *ref)
{
        struct taint *taint = arg;
        taint->hit |= taint->columns[ref->index];
}
static bool tainted(struct leat_expr *expr, const bool *columns)
{
        struct taint taint = {.columns = columns};
        leat_expr_refs(expr, taint_ref, &taint);
        return taint.hit;
}

/* Whether the window's start goes from the unnest at path[count-1] up to @agg only as itself or as the window's end. */
static bool pane_fits(struct leat_compile *cc, struct leat_cnode *agg, struct leat_cnode **path, uint32_t count)
{
        struct leat_cnode *hop = path[count - 1];
        bool *below = leat_arena_zalloc(cc->arena, hop->column_count + 1);
        below[hop->unnest] = true;
        for (uint32_t i = count - 1; i-- > 0;) {
                bool *above = leat_arena_zalloc(cc->arena, path[i]->column_count + 1);
                if (path[i]->where != NULL && tainted(path[i]->where, below))
                        return false;
                for (uint32_t k = 0; k < path[i]->column_count; k++) {
                        above[k] = tainted(path[i]->exprs[k], below);
                        if (above[k] && path[i]->exprs[k]->cls != LEAT_X_REF && path[i]->props[k].kind != LEAT_TIME_END)
                                return false;
                }
                below = above;
        }
        for (uint32_t i = 0; i < agg->group_count; i++)
                if (tainted(agg->groups[i], below) && i != (uint32_t)agg->agg->start_group &&
                    i != (uint32_t)agg->agg->end_group)
                        return false;
        for (uint32_t i = 0; i < agg->acc_count; i++) {
                for (uint32_t k = 0; k < agg->accs[i].argc; k++)
                        if (tainted(agg->accs[i].args[k], below))
                                return false;
                if (agg->accs[i].filter != NULL && tainted(agg->accs[i].filter, below))
                        return false;
        }
        return agg->agg->start_group >= 0;
}

static int64_t gcd(int64_t a, int64_t b)
{
        while (b != 0) {
                int64_t rest = a % b;
                a = b;
                b = rest;
        }
        return a;
}

static void pane_make(struct leat_compile *cc, struct leat_cnode *agg)
{
        struct leat_cnode *path[64], *node = agg->inputs[0];
        uint32_t count = 0;
        while (node->op == LEAT_OP_SELECT && count < LEAT_ARRAY_LEN(path)) {
                path[count++] = node;
                if (node->unnest >= 0)
                        break;
                node = node->inputs[0];
        }
        if (count == 0 || path[count - 1]->unnest < 0 || path[count - 1]->hop.kind != LEAT_TIME_START)
                return;
        struct leat_cnode *hop = path[count - 1];
        if (!agg->agg->late_check || agg->distinct_count > 0 || agg->agg->set_only || !pane_fits(cc, agg, path, count))
                return;
        int64_t pane = gcd(hop->hop.slide_us, hop->hop.size_us);
        struct leat_expr *window = leat_arena_zalloc(cc->arena, sizeof *window);
        *window = *hop->exprs[hop->unnest]->args[0];
        window->type = window->args[0]->type;
        window->window.slide_us = window->window.size_us = pane;
        window->window.offset_us %= pane;
        hop->exprs[hop->unnest] = window;
        hop->unnest = -1;
        agg->agg->pane_us = pane;
}

void leat_compile_panes(struct leat_compile *cc, struct leat_cnode *node)
{
        if (node->op == LEAT_OP_AGG)
                pane_make(cc, node);
        for (uint32_t i = 0; i < node->input_count; i++)
                leat_compile_panes(cc, node->inputs[i]);
}

/* ---- dropping columns ----------------------------------------------------------------------- */
static void need_ref(void *arg, struct leat_expr *ref)
{
        ((bool *)arg)[ref->index] = true;
}

static struct leat_expr **refs_of(struct leat_compile *cc, const struct leat_cnode *node, const uint32_t *map,
                                  uint32_t old_count, const struct leat_type *old_types)
{
        struct leat_expr **with = leat_arena_zalloc(cc->arena, (old_count + 1) * sizeof *with);
        (void)node;
        for (uint32_t i = 0; i < old_count; i++)
                with[i] = leat_expr_ref(cc->arena, map[i] == UINT32_MAX ? 0 : map[i], old_types[i]);
        return with;
}

uint32_t *leat_compile_prune(struct leat_compile *cc, struct leat_cnode *node, bool *need);

/* Prunes the input and gives references to its columns by their old numbers. */
static struct leat_expr **input_prune(struct leat_compile *cc, struct leat_cnode *node, bool *need)
{
        struct leat_cnode *input = node->inputs[0];
        uint32_t old = input->column_count;
        struct leat_type *types = leat_arena_zalloc(cc->arena, (old + 1) * sizeof *types);
        memcpy(types, input->types, old * sizeof *types);
        uint32_t *map = leat_compile_prune(cc, input, need);
        return refs_of(cc, input, map, old, types);
}

static uint32_t *columns_keep(struct leat_compile *cc, struct leat_cnode *node, const bool *need)
{
        uint32_t *map = leat_arena_alloc(cc->arena, (node->column_count + 1) * sizeof *map), count = 0;
        for (uint32_t i = 0; i < node->column_count; i++) {
                map[i] = UINT32_MAX;
                if (!need[i])
                        continue;
                node->types[count] = node->types[i];
                node->props[count] = node->props[i];
                if (node->exprs != NULL)
                        node->exprs[count] = node->exprs[i];
                if (node->aliases != NULL)
                        node->aliases[count] = node->aliases[i];
                if (node->op == LEAT_OP_SOURCE)
                        node->source_columns[count] = node->source_columns[i];
                map[i] = count++;
        }
        node->column_count = count;
        if (node->op == LEAT_OP_SOURCE)
                node->source_count = count;
        return map;
}

static uint32_t *select_prune(struct leat_compile *cc, struct leat_cnode *node, bool *need)
{
        bool any = false;
        for (uint32_t i = 0; i < node->column_count; i++)
                any |= need[i];
        if (!any && node->column_count > 0)
                need[0] = true;
        if (node->unnest >= 0)
                need[node->unnest] = true;
        uint32_t *map = columns_keep(cc, node, need);
        if (node->unnest >= 0)
                node->unnest = (int32_t)map[node->unnest];
        bool *below = leat_arena_zalloc(cc->arena, node->inputs[0]->column_count + 1);
        for (uint32_t i = 0; i < node->column_count; i++)
                leat_expr_refs(node->exprs[i], need_ref, below);
        leat_expr_refs(node->where, need_ref, below);
        struct leat_expr **with = input_prune(cc, node, below);
        for (uint32_t i = 0; i < node->column_count; i++)
                node->exprs[i] = leat_expr_replace(cc->arena, node->exprs[i], with);
        node->where = leat_expr_replace(cc->arena, node->where, with);
        return map;
}

static uint32_t *agg_prune(struct leat_compile *cc, struct leat_cnode *node)
{
        uint32_t *map = leat_arena_alloc(cc->arena, (node->column_count + 1) * sizeof *map);
        bool *below = leat_arena_zalloc(cc->arena, node->inputs[0]->column_count + 1);
        for (uint32_t i = 0; i < node->column_count; i++)
                map[i] = i;
        for (uint32_t i = 0; i < node->group_count; i++)
                leat_expr_refs(node->groups[i], need_ref, below);
        for (uint32_t i = 0; i < node->distinct_count; i++) {
                leat_expr_refs(node->distincts[i].value, need_ref, below);
                leat_expr_refs(node->distincts[i].filter, need_ref, below);
        }
        for (uint32_t i = 0; i < node->acc_count; i++)
                for (uint32_t k = 0; node->accs[i].feed == 0 && k <= node->accs[i].argc; k++)
                        leat_expr_refs(k < node->accs[i].argc ? node->accs[i].args[k] : node->accs[i].filter, need_ref,
                                       below);
        struct leat_expr **with = input_prune(cc, node, below);
        for (uint32_t i = 0; i < node->group_count; i++)
                node->groups[i] = leat_expr_replace(cc->arena, node->groups[i], with);
        for (uint32_t i = 0; i < node->distinct_count; i++) {
                node->distincts[i].value = leat_expr_replace(cc->arena, node->distincts[i].value, with);
                node->distincts[i].filter = leat_expr_replace(cc->arena, node->distincts[i].filter, with);
        }
        for (uint32_t i = 0; i < node->acc_count; i++) {
                struct leat_cacc *acc = &node->accs[i];
                if (acc->feed != 0)
                        continue;
                for (uint32_t k = 0; k < acc->argc; k++)
                        acc->args[k] = leat_expr_replace(cc->arena, acc->args[k], with);
                acc->filter = leat_expr_replace(cc->arena, acc->filter, with);
        }
        return map;
}

static uint32_t *lookup_prune(struct leat_compile *cc, struct leat_cnode *node, const bool *need)
{
        uint32_t nl = node->inputs[0]->column_count, nr = node->source_count, old = node->column_count, count = 0;
        uint32_t *map = leat_arena_alloc(cc->arena, (old + 1) * sizeof *map);
        bool *below = leat_arena_zalloc(cc->arena, nl + 1);
        struct leat_type *types = leat_arena_zalloc(cc->arena, (old + 1) * sizeof *types);
        struct leat_time_prop *props = leat_arena_zalloc(cc->arena, (old + 1) * sizeof *props);
        for (uint32_t i = 0; i < nl; i++)
                below[i] = need[i];
        for (uint32_t k = 0; k < node->relation->key_count; k++)
                leat_expr_refs(node->keys[k], need_ref, below);
        struct leat_expr **with = input_prune(cc, node, below);
        for (uint32_t k = 0; k < node->relation->key_count; k++)
                node->keys[k] = leat_expr_replace(cc->arena, node->keys[k], with);
        struct leat_cnode *input = node->inputs[0];
        for (uint32_t i = 0; i < old; i++)
                map[i] = UINT32_MAX;
        /* everything that the pruned input still has goes through, in its order */
        for (uint32_t i = 0; i < nl; i++)
                if (below[i])
                        map[i] = with[i]->index;
        memcpy(types, input->types, input->column_count * sizeof *types);
        memcpy(props, input->props, input->column_count * sizeof *props);
        count = input->column_count;
        node->source_count = 0;
        for (uint32_t i = 0; i < nr; i++) {
                if (!need[nl + i])
                        continue;
                map[nl + i] = count;
                node->source_columns[node->source_count++] = node->source_columns[i];
                types[count++] = node->types[nl + i];
        }
        map[old - 1] = count;
        types[count++] = leat_type_of(LEAT_T_BOOLEAN);
        node->column_count = count;
        node->types = types;
        node->props = props;
        return map;
}

uint32_t *leat_compile_prune(struct leat_compile *cc, struct leat_cnode *node, bool *need)
{
        switch (node->op) {
        case LEAT_OP_SELECT:
                return select_prune(cc, node, need);
        case LEAT_OP_AGG:
                return agg_prune(cc, node);
        case LEAT_OP_LOOKUP:
                return lookup_prune(cc, node, need);
        case LEAT_OP_UNION: {
                bool any = false;
                for (uint32_t i = 0; i < node->column_count; i++)
                        any |= need[i];
                if (!any)
                        need[0] = true;
                for (uint32_t i = 0; i < node->input_count; i++)
                        leat_compile_prune(cc, node->inputs[i], need);
                return columns_keep(cc, node, need);
        }
        default:
                return columns_keep(cc, node, need);
        }
}
