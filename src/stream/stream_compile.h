/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/stream: the compiler, as its files share it. Plan -> tree (stream_compile*.c)
 * -> smaller tree (stream_prune.c) -> graph (stream_finish.c).
 */
#ifndef LEAT_STREAM_COMPILE_H
#define LEAT_STREAM_COMPILE_H

#include "stream_int.h"

/* ---- expressions (stream_expr_sql.c) ------------------------------------------------------- */
struct leat_expr *leat_expr_new(struct leat_arena *arena, uint8_t cls, uint32_t argc);
/* Appends @text between two @mark, those inside doubled. */
void leat_expr_quote(struct leat_buf *out, const char *text, char mark);

/* ---- a plan node (stream_compile.c) ---------------------------------------------------------- */
/* The nearest place in the SQL under a plan node; 0 = none. */
int leat_compile_position(const struct json_t *json);
/* Every column in @expr is below @columns. */
bool leat_compile_refs_within(struct leat_expr *expr, uint32_t columns);
/* Reads child @i of a plan node. */
int leat_compile_child(struct leat_compile *cc, const struct json_t *json, size_t i, struct leat_cnode **ret_node);

/* ---- SELECT, sources, UNION (stream_compile_select.c) ------------------------------------------- */
bool leat_expr_is_window(const struct leat_expr *expr);
bool leat_expr_has_window(const struct leat_expr *expr);
/* What an expression over columns with @props knows about time. */
struct leat_time_prop leat_expr_time(const struct leat_expr *expr, const struct leat_time_prop *props);
struct leat_cnode *leat_compile_select_new(struct leat_compile *cc, struct leat_cnode *input, uint32_t column_count);
/* Types and properties of a SELECT whose expressions are set. */
int leat_compile_select_finish(struct leat_compile *cc, struct leat_cnode *node);
/* @a AND @b; either may be NULL. */
struct leat_expr *leat_compile_and(struct leat_compile *cc, struct leat_expr *a, struct leat_expr *b);
int leat_compile_get(struct leat_compile *cc, const struct json_t *json, struct leat_cnode **ret_node);
int leat_compile_projection(struct leat_compile *cc, const struct json_t *json, struct leat_cnode **ret_node);
int leat_compile_filter(struct leat_compile *cc, const struct json_t *json, struct leat_cnode **ret_node);
/* Takes "time IS NOT NULL" out from @node down, for an aggregate that drops rows whose window is NULL by itself. */
void leat_compile_time_check_drop(struct leat_cnode *node);
int leat_compile_union(struct leat_compile *cc, const struct json_t *json, struct leat_cnode **ret_node);
int leat_compile_unnest(struct leat_compile *cc, const struct json_t *json, struct leat_cnode **ret_node);

/* ---- GROUP BY, DISTINCT, joins (stream_compile_group.c, stream_compile_join.c) --------------------- */
int leat_compile_group(struct leat_compile *cc, const struct json_t *json, struct leat_cnode **ret_node);
int leat_compile_distinct(struct leat_compile *cc, const struct json_t *json, struct leat_cnode **ret_node);
int leat_compile_join(struct leat_compile *cc, const struct json_t *json, struct leat_cnode **ret_node);

/* ---- making it smaller (stream_prune.c) -------------------------------------------------------------- */
/* Aggregates over hopping windows count by pane where they can. */
void leat_compile_panes(struct leat_compile *cc, struct leat_cnode *node);
/* Drops the columns of @node that are not in @need, and what only they need below; gives old column -> new. */
uint32_t *leat_compile_prune(struct leat_compile *cc, struct leat_cnode *node, bool *need);

#endif
