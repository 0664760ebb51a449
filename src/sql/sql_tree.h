/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/sql: the walk through DuckDB's tree, as its files share it.
 */
#ifndef LEAT_SQL_TREE_H
#define LEAT_SQL_TREE_H

#include "sql_int.h"

/* A CTE that can be named. */
struct sql_scope {
        const char *name;
        const struct sql_scope *up;
};

struct sql_select_scope {
        struct sql_item *items;
        uint32_t count, cap;
        bool no_pushdown;
};

struct sql_walk {
        struct sql_rewrite *rw;
        const struct leat_sql_map *in;
        struct leat_view text;
        struct sql_token *tokens;
        uint32_t token_count;
        struct sql_edits edits;
        /* Relations whose text waits for the conditions of their SELECT. */
        struct sql_select_scope *select;
};

/* Arguments of a function call in the text. */
struct sql_arguments {
        uint32_t first[6], last[6]; /* tokens of each */
        uint32_t count;
        uint32_t close;
};

int leat_sql_walk_value(struct sql_walk *w, const struct leat_json *json, const struct sql_scope *scope);
int leat_sql_walk_fail(struct sql_walk *w, int64_t at, int code, const char *hint, const char *fmt, ...)
        LEAT_PRINTF(5, 6);

/* ---- tokens by place (sql_tree_relation.c) ------------------------------------------------ */
/* Index of the token that starts at byte @at; token_count when there is none. */
uint32_t leat_sql_walk_token(const struct sql_walk *w, int64_t at);
bool leat_sql_walk_op(const struct sql_walk *w, uint32_t i, char op);
bool leat_sql_walk_is(const struct sql_walk *w, uint32_t i, const char *word);
bool leat_sql_walk_name(const struct sql_walk *w, uint32_t i);
uint32_t leat_sql_walk_end(const struct sql_walk *w, uint32_t i);
/* Last token of the name a.b.c that begins at @i. */
uint32_t leat_sql_walk_chain(const struct sql_walk *w, uint32_t i);
const char *leat_sql_walk_text(const struct sql_walk *w, uint32_t i);
const char *leat_sql_walk_quoted(struct sql_walk *w, const char *name);

/* ---- relations (sql_tree_relation.c) ---------------------------------------------------------- */
bool leat_sql_walk_is_cte(const struct sql_scope *scope, const char *name);
/* Resolves the name [first, last] and adds "before relation after" to @edit. */
int leat_sql_walk_relation(struct sql_walk *w, uint32_t first, uint32_t last, const char *alias, bool renamed,
                           struct sql_edit *edit, struct sql_relation *ret_relation);
int leat_sql_walk_finish(struct sql_walk *w, const struct leat_json *where);
int leat_sql_walk_base_table(struct sql_walk *w, const struct leat_json *ref, const struct sql_scope *scope);

/* ---- windows (sql_tree_window.c) ----------------------------------------------------------------- */
bool leat_sql_walk_arguments(const struct sql_walk *w, uint32_t open, struct sql_arguments *args);
/* Adds argument @n as it stands. */
void leat_sql_walk_piece(struct sql_walk *w, struct sql_edit *edit, const struct sql_arguments *args, uint32_t n);
int leat_sql_walk_window(struct sql_walk *w, const struct leat_json *ref, const struct leat_json *function,
                         uint32_t name_token, const struct sql_scope *scope);
/* In PostgreSQL the column of generate_series(…) s is called s; psql's \d counts on it. */
void leat_sql_walk_name_column(struct sql_walk *w, uint32_t token, const char *alias);

#endif
