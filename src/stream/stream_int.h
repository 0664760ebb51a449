/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/stream: the graph, as its files share it.
 *
 * A node has columns; every edge carries batches of them, with a weight column
 * when the node is not append-only. Expressions are SQL text over the columns
 * c0 ... cn of the node's input. Nodes stand after their inputs in the array.
 *
 *   SOURCE  rows of a relation as they come
 *   SELECT  expressions and a filter; with `unnest`, one expression gives many rows
 *   UNION   all rows of all inputs
 *   LOOKUP  each row with the row of a keyed topic that its key names: the input's
 *           columns, the topic's columns, and a BOOLEAN, whether there was one
 *   AGG     one row a group: group columns, row counter, accumulators
 */
#ifndef LEAT_STREAM_INT_H
#define LEAT_STREAM_INT_H

#include "leat/stream.h"

#define LEAT_STREAM_NODES_MAX 256
#define LEAT_STREAM_COLUMNS_MAX 1024
#define LEAT_STREAM_ARRS_MAX 64
#define LEAT_STREAM_DEPTH_MAX 200
#define LEAT_STREAM_TEXT_MAX (1u << 20)

/* The numbers are on disk: add at the end only. */
enum leat_node_op { LEAT_OP_SOURCE = 1, LEAT_OP_SELECT = 2, LEAT_OP_UNION = 3, LEAT_OP_LOOKUP = 4, LEAT_OP_AGG = 5 };

/* What a column knows about time. */
enum leat_time_kind { LEAT_TIME_NONE = 0, LEAT_TIME_EVENT = 1, LEAT_TIME_START = 2, LEAT_TIME_END = 3 };
struct leat_time_prop {
        uint8_t kind;      /* enum leat_time_kind */
        int64_t size_us;   /* START, END: of the window */
        int64_t slide_us;  /* distance of the starts; = size for tumble */
        int64_t offset_us; /* starts are at slide * n + offset */
};

/* How two accumulators become one. On disk. */
enum leat_acc_kind {
        LEAT_ACC_ADD = 1, /* BIGINT, HUGEINT, DECIMAL(38,s), DOUBLE; NULL is nothing */
        LEAT_ACC_MIN = 2,
        LEAT_ACC_MAX = 3,
        LEAT_ACC_BIT_AND = 4,
        LEAT_ACC_BIT_OR = 5,
        LEAT_ACC_BIT_XOR = 6,
        LEAT_ACC_VAR = 7,     /* three columns: n BIGINT, mean DOUBLE, M2 DOUBLE */
        LEAT_ACC_ARG_MIN = 8, /* two columns: value, argument */
        LEAT_ACC_ARG_MAX = 9,
        LEAT_ACC_FIRST = 10, /* the least (or greatest) value of an ordered arrangement; replaced */
};

struct leat_acc {
        uint8_t kind;
        bool signed_parts;   /* updating input: twice as many parts, first of rows that come, then of rows that go */
        uint32_t column;     /* first column in the node's row */
        uint32_t width;      /* its columns */
        uint32_t feed;       /* 0: the input's rows; k: the values of distinct[k-1] that come and go */
        uint32_t part_count; /* aggregates in the partial SELECT: width, or 2 * width */
        const char **parts;  /* SQL over the feed's columns */
        /* FIRST: */
        uint32_t arr; /* ordered arrangement: groups, value */
        bool descending;
        const char *value;  /* SQL over the input's columns */
        const char *filter; /* or NULL */
};

/* A set of values a group, each with how many rows have it; feeds DISTINCT aggregates. Arrangement: groups, value,
 * count BIGINT. */
struct leat_distinct {
        uint32_t arr;
        struct leat_type type;
        const char *value;  /* SQL over the input's columns */
        const char *filter; /* or NULL */
};

struct leat_agg {
        uint32_t group_count;
        const char **groups; /* SQL over the input's columns */
        uint32_t acc_count;
        struct leat_acc *accs;
        uint32_t distinct_count;
        struct leat_distinct *distincts;
        uint32_t arr;
        bool set_only;       /* DISTINCT: only groups that come and go matter downstream */
        bool always;         /* no GROUP BY: there is one row even when there are none */
        int32_t start_group; /* window columns among the groups; -1 = none */
        int32_t end_group;
        struct leat_time_prop window; /* when one of them is there and the input is append-only: rows can be late */
        bool late_check;
        int64_t pane_us; /* > 0: start_group comes as the start of a pane, and is expanded to windows here */
};

struct leat_node {
        uint8_t op;
        bool append_only;
        uint32_t input_count;
        uint32_t inputs[LEAT_STREAM_ARRS_MAX > 16 ? 16 : LEAT_STREAM_ARRS_MAX];
        uint32_t column_count;
        struct leat_type *types;
        struct leat_time_prop *props;
        /* SOURCE, LOOKUP */
        uint8_t kind; /* enum leat_stream_kind */
        uint64_t object_id;
        const char *relation;
        const char **names; /* of the relation's columns that are used; LOOKUP: right side */
        uint32_t name_count;
        const char *time_name; /* TOPIC: the column that carries its watermark; NULL = none */
        int64_t time_delay_us; /* VIEW: its time column lags its watermark by this */
        /* SELECT */
        const char **exprs;
        const char *where; /* or NULL */
        int32_t unnest;    /* this expression gives many rows; -1 = none */
        /* LOOKUP */
        uint32_t key_count;
        const char **keys; /* SQL over the input's columns, in the order of the PRIMARY KEY */
        struct leat_type *key_types;
        /* AGG */
        struct leat_agg *agg;
};

/* How the view's rows are kept. On disk. */
enum leat_out_mode {
        LEAT_OUT_AGG = 1,    /* the aggregate's own arrangement; SELECTs above it when it is read */
        LEAT_OUT_CLOSED = 2, /* EMIT ON WINDOW CLOSE: a copy of the aggregate's closed rows, likewise */
        LEAT_OUT_APPEND = 3, /* MAP by a sequence number: tick << 22 | row */
        LEAT_OUT_ROWS = 4,   /* MULTISET of whole rows */
};

struct leat_stream_graph {
        struct leat_arena *arena;
        uint32_t node_count;
        struct leat_node *nodes;
        uint32_t arr_count;
        struct leat_arr_def *arrs; /* id = number in the graph; leat_stream_arr_def adds first_arr_id */
        uint64_t first_arr_id;
        uint8_t emit, late, mode; /* mode: enum leat_out_mode */
        int64_t grace_us, retention_us;
        uint32_t agg_node; /* AGG, CLOSED: the aggregate */
        uint32_t top_node; /* the last node: the view's columns */
        struct leat_stream_output output;
        uint32_t object_count;
        uint64_t *objects;     /* inputs */
        int64_t time_delay_us; /* output's time column lags the watermark by this when append-only */
};

/* ---- expressions while compiling (stream_expr.c) ----------------------------------- */
enum leat_expr_class {
        LEAT_X_REF = 1,
        LEAT_X_CONST, /* text: SQL literal */
        LEAT_X_CAST,
        LEAT_X_TRY_CAST,
        LEAT_X_CALL,   /* "name"(args) */
        LEAT_X_INFIX,  /* (a name b name c) */
        LEAT_X_POST,   /* (a name) */
        LEAT_X_IN,     /* (a [NOT] IN (b, ...)) */
        LEAT_X_CASE,   /* when, then, when, then, ..., else */
        LEAT_X_STRUCT, /* {'name': a, ...} */
        LEAT_X_TEXT,   /* text with $0 ... for arguments */
        LEAT_X_WINDOW, /* start of a tumbling window, or the list of starts of hopping ones */
        LEAT_X_UNNEST,
};
struct leat_expr {
        uint8_t cls;
        struct leat_type type;
        const char *type_sql; /* CAST: as printed */
        const char *name;     /* CALL, INFIX, POST, IN */
        const char *text;     /* CONST, TEXT; string constants keep their value in `string` */
        const char *string;
        uint32_t index; /* REF */
        uint32_t argc;
        struct leat_expr **args;
        struct leat_time_prop window; /* WINDOW */
        int position;
};

struct json_t;
/* Reads a bound expression. */
int leat_expr_read(struct leat_arena *arena, const struct json_t *json, struct leat_expr **ret_expr,
                   struct leat_error *err) LEAT_NODISCARD;
int leat_expr_type_read(struct leat_arena *arena, const struct json_t *json, struct leat_type *ret_type,
                        const char **ret_sql, struct leat_error *err) LEAT_NODISCARD;
void leat_expr_print(const struct leat_expr *expr, struct leat_buf *out);
char *leat_expr_sql(struct leat_arena *arena, const struct leat_expr *expr);
struct leat_expr *leat_expr_ref(struct leat_arena *arena, uint32_t index, struct leat_type type);
struct leat_expr *leat_expr_text(struct leat_arena *arena, struct leat_type type, const char *text, uint32_t argc,
                                 struct leat_expr **args);
bool leat_expr_eq(const struct leat_expr *a, const struct leat_expr *b);
/* Calls @fn for every REF inside. */
void leat_expr_refs(struct leat_expr *expr, void (*fn)(void *arg, struct leat_expr *ref), void *arg);
/* Deep copy with REF i replaced by with[i]. */
struct leat_expr *leat_expr_replace(struct leat_arena *arena, const struct leat_expr *expr, struct leat_expr **with);
/* The value of a constant interval; false when it is none (or has months). */
bool leat_expr_interval(const struct leat_expr *expr, int64_t *ret_us);
int leat_json_position(const struct json_t *json);
const char *leat_json_text(const struct json_t *json, const char *key);

/* ---- the compiler's tree (stream_compile.c and friends) ------------------------------ */
struct leat_cnode {
        uint8_t op;
        bool append_only;
        uint32_t input_count;
        struct leat_cnode *inputs[16];
        uint32_t column_count;
        struct leat_type *types;
        struct leat_time_prop *props;
        const struct leat_stream_relation *relation; /* SOURCE, LOOKUP */
        uint32_t *source_columns;                    /* SOURCE, LOOKUP: the relation's columns */
        uint32_t source_count;
        struct leat_expr **exprs; /* SELECT */
        const char **aliases;
        struct leat_expr *where;
        int32_t unnest;
        struct leat_time_prop hop; /* SELECT with unnest of hop's windows */
        struct leat_expr **keys;   /* LOOKUP */
        struct leat_expr **groups; /* AGG */
        uint32_t group_count;
        struct leat_cacc *accs;
        uint32_t acc_count, acc_cap;
        struct leat_cdistinct *distincts;
        uint32_t distinct_count;
        uint32_t state_columns; /* groups + 1 + accumulators */
        struct leat_agg *agg;
        int position;
};
struct leat_cacc {
        uint8_t kind;
        bool signed_parts;
        uint32_t column, width, feed;
        const char *function[3]; /* aggregate call with $0, $1 ... */
        uint32_t argc;
        struct leat_expr *args[2];
        struct leat_expr *filter;
        bool descending;
        struct leat_type types[3];
};
struct leat_cdistinct {
        struct leat_expr *value, *filter;
};
/* A WITH of the plan: its definition takes the place of each reference. */
struct leat_cte {
        int64_t index;
        const struct json_t *definition;
        struct leat_cte *next;
};
struct leat_compile {
        struct leat_arena *arena;
        const struct leat_stream_relation *relations;
        uint32_t relation_count;
        const struct leat_stream_options *options;
        struct leat_stream_graph *graph;
        uint32_t node_count, depth;
        struct leat_cte *ctes;
        struct leat_error *err;
};
int leat_compile_refuse(struct leat_compile *cc, int position, const char *hint, const char *fmt, ...)
        LEAT_PRINTF(4, 5);
/* Reads an expression over an input of @columns columns. */
int leat_compile_expr(struct leat_compile *cc, const struct json_t *json, uint32_t columns,
                      struct leat_expr **ret_expr);
/* Adds one aggregate function to @agg and gives the expression over its row that is the result. */
int leat_compile_aggregate(struct leat_compile *cc, struct leat_cnode *agg, const struct json_t *json,
                           struct leat_expr **ret_result);
/* Drops columns that nobody uses, turns the tree into nodes, chooses how the rows are kept. */
int leat_compile_finish(struct leat_compile *cc, struct leat_cnode *top);
struct leat_cnode *leat_cnode_new(struct leat_compile *cc, uint8_t op, uint32_t column_count);

/* ---- SQL of the running graph (stream_sql.c) ------------------------------------------- */
/* True when the node's rows stand in a batch of their own while a tick runs; others are text inside their users. */
static inline bool leat_node_materialized(const struct leat_node *node)
{
        return node->op == LEAT_OP_SOURCE || node->op == LEAT_OP_LOOKUP || node->op == LEAT_OP_AGG;
}
/* SELECT text of a node's delta: columns c0 ..., and w when it is not append-only; materialized nodes are
 * leat_scan('<prefix><number>'). */
void leat_node_sql(const struct leat_stream_graph *graph, uint32_t node, const char *prefix, struct leat_buf *out);
/* As leat_stream_read_sql, for changes: columns c0 ... and w; @source has w too. */
void leat_view_delta_sql(const struct leat_stream_graph *graph, const char *source, struct leat_buf *out);

#endif
