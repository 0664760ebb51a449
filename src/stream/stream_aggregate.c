/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/stream: aggregate functions -> accumulators that can be combined.
 *
 * An accumulator is one to three columns of the group's row, made for each tick
 * by aggregates of DuckDB over the tick's rows ("parts"), and combined with the
 * old ones by stream_combine.c. The function's result is an expression over the
 * row. Over an updating input every part comes twice, once for rows that come
 * and once for rows that go; what cannot be taken back (min, max) is kept in an
 * ordered arrangement instead.
 */
#include <jansson.h>
#include <strings.h>

#include "stream_int.h"

struct call {
        struct leat_compile *cc;
        struct leat_cnode *agg;
        const char *name;
        int position;
        struct leat_type result;
        struct leat_expr *args[2];
        uint32_t argc;
        struct leat_expr *filter;
        bool distinct;
        bool updating;
        uint32_t feed;
};

static struct leat_expr *not_null(struct call *call, struct leat_expr *arg)
{
        return leat_expr_text(call->cc->arena, leat_type_of(LEAT_T_BOOLEAN), "($0 IS NOT NULL)", 1, &arg);
}

static struct leat_expr *both(struct call *call, struct leat_expr *a, struct leat_expr *b)
{
        struct leat_expr *args[2] = {a, b};
        if (a == NULL || b == NULL)
                return a != NULL ? a : b;
        return leat_expr_text(call->cc->arena, leat_type_of(LEAT_T_BOOLEAN), "($0 AND $1)", 2, args);
}

/* The accumulator's first column as an expression; makes it unless there is an equal one. */
static struct leat_expr *acc_add(struct call *call, struct leat_cacc want)
{
        struct leat_cnode *agg = call->agg;
        struct leat_arena *arena = call->cc->arena;
        want.feed = call->feed;
        want.signed_parts = call->updating && want.kind != LEAT_ACC_FIRST;
        for (uint32_t i = 0; i < agg->acc_count; i++) {
                struct leat_cacc *have = &agg->accs[i];
                bool same = have->kind == want.kind && have->feed == want.feed && have->argc == want.argc &&
                            have->descending == want.descending && have->width == want.width &&
                            leat_expr_eq(have->filter, want.filter);
                for (uint32_t k = 0; same && k < want.argc; k++)
                        same = leat_expr_eq(have->args[k], want.args[k]);
                for (uint32_t k = 0; same && k < want.width; k++)
                        same = have->function[k] == want.function[k] ||
                               (have->function[k] != NULL && want.function[k] != NULL &&
                                strcmp(have->function[k], want.function[k]) == 0);
                if (same)
                        return leat_expr_ref(arena, have->column, have->types[0]);
        }
        if (agg->acc_count == agg->acc_cap) {
                uint32_t cap = agg->acc_cap == 0 ? 8 : 2 * agg->acc_cap;
                struct leat_cacc *accs = leat_arena_zalloc(arena, cap * sizeof *accs);
                if (agg->acc_count > 0)
                        memcpy(accs, agg->accs, agg->acc_count * sizeof *accs);
                agg->accs = accs;
                agg->acc_cap = cap;
        }
        want.column = agg->state_columns;
        for (uint32_t k = 0; k < want.width; k++)
                agg->types[agg->state_columns++] = want.types[k];
        agg->accs[agg->acc_count++] = want;
        return leat_expr_ref(arena, want.column, want.types[0]);
}

static struct leat_expr *one(struct call *call, uint8_t kind, const char *function, struct leat_type type,
                             struct leat_expr *arg, struct leat_expr *filter)
{
        struct leat_cacc acc = {.kind = kind,
                                .width = 1,
                                .function = {function},
                                .argc = arg != NULL ? 1 : 0,
                                .args = {arg},
                                .filter = filter,
                                .types = {type}};
        return acc_add(call, acc);
}

static struct leat_expr *counted(struct call *call, struct leat_expr *filter)
{
        return one(call, LEAT_ACC_ADD, "count(*)$F", leat_type_of(LEAT_T_BIGINT), NULL,
                   both(call, filter, call->filter));
}

static struct leat_expr *result(struct call *call, const char *text, uint32_t argc, struct leat_expr **args)
{
        return leat_expr_text(call->cc->arena, call->result, text, argc, args);
}

/* DuckDB keeps no place for aggregates: the first call by that name. */
static int position_guess(struct call *call)
{
        struct leat_view sql = call->cc->options->sql;
        size_t len = strlen(call->name);
        for (size_t i = 0; i + len < sql.len; i++) {
                if (strncasecmp((const char *)sql.data + i, call->name, len) != 0)
                        continue;
                size_t end = i + len;
                while (end < sql.len && (sql.data[end] == ' ' || sql.data[end] == '\n'))
                        end++;
                if (end < sql.len && sql.data[end] == '(')
                        return (int)i + 1;
        }
        return 0;
}

static int refused(struct call *call, const char *hint, const char *why)
{
        if (call->position == 0)
                call->position = position_guess(call);
        return leat_compile_refuse(call->cc, call->position, hint,
                                   "aggregate %s%s cannot be used in a continuous query%s", call->name,
                                   call->distinct ? " (DISTINCT)" : "", why);
}

/* ---- the functions ------------------------------------------------------------------------ */
static int count_make(struct call *call, struct leat_expr **ret)
{
        struct leat_expr *arg = call->args[0];
        if (strcmp(call->name, "count_if") == 0 || strcmp(call->name, "countif") == 0) {
                /* a sum in batch: NULL when there was nothing to look at */
                struct leat_expr *args[2] = {counted(call, arg), counted(call, not_null(call, arg))};
                struct leat_buf type = LEAT_BUF_INIT;
                leat_type_print(&call->result, &type);
                *ret = result(call,
                              leat_arena_printf(call->cc->arena, "(CASE WHEN $1 > 0 THEN CAST($0 AS %s) END)",
                                                leat_buf_cstr(&type)),
                              2, args);
                leat_buf_done(&type);
                return 0;
        }
        if (call->argc == 0 && call->filter == NULL && call->feed == 0)
                *ret = leat_expr_ref(call->cc->arena, call->agg->group_count, leat_type_of(LEAT_T_BIGINT));
        else
                *ret = call->argc == 0
                               ? counted(call, NULL)
                               : one(call, LEAT_ACC_ADD, "count($0)$F", leat_type_of(LEAT_T_BIGINT), arg, call->filter);
        return 0;
}

static bool is_float(const struct leat_type *type)
{
        return type->id == LEAT_T_DOUBLE || type->id == LEAT_T_FLOAT;
}

/* The type that sums of @arg are kept in; INVALID when it has none. */
static struct leat_type sum_type(const struct leat_type *arg)
{
        struct leat_type type = leat_type_of(LEAT_T_INVALID);
        if (is_float(arg)) {
                type.id = LEAT_T_DOUBLE;
        } else if (arg->id == LEAT_T_DECIMAL) {
                type.id = LEAT_T_DECIMAL;
                type.width = 38;
                type.scale = arg->scale;
        } else if (arg->id <= LEAT_T_UBIGINT) {
                type.id = LEAT_T_HUGEINT;
        }
        return type;
}

/* Rows that go are subtracted, which NaN and infinity do not survive: they are counted instead. */
static struct leat_expr *float_sum(struct call *call, struct leat_expr **ret_count)
{
        struct leat_expr *x = call->args[0], *args[5];
        struct leat_type flag = leat_type_of(LEAT_T_BOOLEAN), type = leat_type_of(LEAT_T_DOUBLE);
        struct leat_arena *arena = call->cc->arena;
        struct leat_expr *finite = leat_expr_text(arena, flag, "isfinite($0)", 1, &x);
        args[0] = one(call, LEAT_ACC_ADD, "sum($0)$F", type, x, both(call, finite, call->filter));
        args[1] = counted(call, not_null(call, x));
        args[2] = counted(call, leat_expr_text(arena, flag, "isnan($0)", 1, &x));
        args[3] = counted(call, leat_expr_text(arena, flag, "(isinf($0) AND $0 > 0)", 1, &x));
        args[4] = counted(call, leat_expr_text(arena, flag, "(isinf($0) AND $0 < 0)", 1, &x));
        *ret_count = args[1];
        return leat_expr_text(arena, type,
                              "(CASE WHEN $1 = 0 THEN NULL WHEN $2 > 0 OR ($3 > 0 AND $4 > 0) THEN 'nan'::DOUBLE WHEN "
                              "$3 > 0 THEN 'infinity'::DOUBLE WHEN $4 > 0 THEN '-infinity'::DOUBLE ELSE "
                              "coalesce($0, 0) END)",
                              5, args);
}

static int sum_make(struct call *call, struct leat_expr **ret)
{
        struct leat_expr *x = call->args[0], *args[2];
        struct leat_type type = sum_type(&x->type);
        bool avg = strcmp(call->name, "avg") == 0 || strcmp(call->name, "mean") == 0;
        if (type.id == LEAT_T_INVALID || (avg && call->result.id != LEAT_T_DOUBLE))
                return refused(call, "use numbers", " over this type");
        if (call->updating && type.id == LEAT_T_DOUBLE) {
                args[0] = float_sum(call, &args[1]);
        } else {
                args[0] = one(call, LEAT_ACC_ADD, "sum($0)$F", type, x, call->filter);
                if (avg || call->updating)
                        args[1] = one(call, LEAT_ACC_ADD, "count($0)$F", leat_type_of(LEAT_T_BIGINT), x, call->filter);
        }
        if (avg)
                *ret = result(call, "(CASE WHEN $1 > 0 THEN CAST($0 AS DOUBLE) / $1 END)", 2, args);
        else if (call->updating && type.id != LEAT_T_DOUBLE)
                *ret = result(call, "(CASE WHEN $1 > 0 THEN $0 END)", 2, args);
        else
                *ret = args[0];
        (*ret)->type = call->result;
        return 0;
}

static int minmax_make(struct call *call, struct leat_expr **ret)
{
        bool max = call->name[1] == 'a';
        struct leat_expr *x = call->args[0];
        if (call->argc != 1)
                return refused(call, "use min or max of one value", " with a count");
        if (x->type.id == LEAT_T_LIST || x->type.id == LEAT_T_STRUCT || x->type.id == LEAT_T_INTERVAL)
                return refused(call, "use a part of it", " over LIST, STRUCT or INTERVAL");
        if (!call->updating) {
                *ret = one(call, max ? LEAT_ACC_MAX : LEAT_ACC_MIN, max ? "max($0)$F" : "min($0)$F", x->type, x,
                           call->filter);
                return 0;
        }
        struct leat_cacc acc = {.kind = LEAT_ACC_FIRST,
                                .width = 1,
                                .argc = 1,
                                .args = {x},
                                .types = {x->type},
                                .filter = both(call, not_null(call, x), call->filter),
                                .descending = max};
        *ret = acc_add(call, acc);
        return 0;
}

static int bool_make(struct call *call, struct leat_expr **ret)
{
        bool all = strcmp(call->name, "bool_and") == 0;
        struct leat_expr *x = call->args[0], *args[2];
        struct leat_type flag = leat_type_of(LEAT_T_BOOLEAN);
        if (!call->updating) {
                *ret = one(call, all ? LEAT_ACC_MIN : LEAT_ACC_MAX, all ? "min($0)$F" : "max($0)$F", flag, x,
                           call->filter);
                return 0;
        }
        args[0] = counted(call, x);
        args[1] = counted(call, leat_expr_text(call->cc->arena, flag, "(NOT $0)", 1, &x));
        *ret = result(call,
                      all ? "(CASE WHEN $1 > 0 THEN false WHEN $0 > 0 THEN true END)"
                          : "(CASE WHEN $0 > 0 THEN true WHEN $1 > 0 THEN false END)",
                      2, args);
        return 0;
}

static int bit_make(struct call *call, struct leat_expr **ret)
{
        uint8_t kind = strcmp(call->name, "bit_and") == 0  ? LEAT_ACC_BIT_AND
                       : strcmp(call->name, "bit_or") == 0 ? LEAT_ACC_BIT_OR
                                                           : LEAT_ACC_BIT_XOR;
        struct leat_expr *x = call->args[0];
        if (call->updating)
                return refused(call, "use it in a view that reads the topic", " over rows that change");
        if (x->type.id < LEAT_T_TINYINT || x->type.id > LEAT_T_UBIGINT)
                return refused(call, "use integers", " over this type");
        *ret = one(call, kind, leat_arena_printf(call->cc->arena, "%s($0)$F", call->name), x->type, x, call->filter);
        return 0;
}

/*
 * Over rows that change: when a large value goes, nothing that was rounded beside it comes back. Whole numbers up to
 * 2^31 have exact sums of their own, from which the mean and the sum of squared differences follow; only larger ones
 * are in the rounded accumulator, and the two are put together as any two parts are.
 */
static int var_exact_make(struct call *call, bool pop, bool root, struct leat_expr **ret)
{
        struct leat_arena *arena = call->cc->arena;
        struct leat_type flag = leat_type_of(LEAT_T_BOOLEAN), huge = leat_type_of(LEAT_T_HUGEINT),
                         type = leat_type_of(LEAT_T_DOUBLE), n = leat_type_of(LEAT_T_BIGINT);
        struct leat_expr *x = call->args[0], *args[6];
        struct leat_expr *small =
                both(call, leat_expr_text(arena, flag, "($0 BETWEEN -2147483648 AND 2147483647)", 1, &x), call->filter);
        struct leat_expr *large = both(
                call, leat_expr_text(arena, flag, "($0 NOT BETWEEN -2147483648 AND 2147483647)", 1, &x), call->filter);
        /* the square of a larger one may not fit, and FILTER does not keep it from being computed */
        struct leat_expr *square = leat_expr_text(
                arena, huge,
                "(CASE WHEN $0 BETWEEN -2147483648 AND 2147483647 THEN CAST(CAST($0 AS BIGINT) * CAST($0 AS BIGINT) AS "
                "HUGEINT) END)",
                1, &x);
        struct leat_cacc acc = {.kind = LEAT_ACC_VAR,
                                .width = 3,
                                .argc = 1,
                                .args = {x},
                                .filter = large,
                                .types = {n, type, type},
                                .function = {"count($0)$F", "avg(CAST($0 AS DOUBLE))$F",
                                             "var_pop(CAST($0 AS DOUBLE))$F * count($0)$F"}};
        args[0] = one(call, LEAT_ACC_ADD, "count($0)$F", n, x, small);
        args[1] = one(call, LEAT_ACC_ADD, "sum($0)$F", huge, x, small);
        args[2] = one(call, LEAT_ACC_ADD, "sum($0)$F", huge, square, small);
        args[3] = acc_add(call, acc);
        args[4] = leat_expr_ref(arena, args[3]->index + 1, type);
        args[5] = leat_expr_ref(arena, args[3]->index + 2, type);
        struct leat_expr *m2 = leat_expr_text(
                arena, type,
                "(CASE WHEN $3 = 0 THEN CAST($0 * $2 - $1 * $1 AS DOUBLE) / $0 WHEN $0 = 0 THEN $5 ELSE CAST($0 * $2 - "
                "$1 * "
                "$1 AS DOUBLE) / $0 + $5 + ($4 - CAST($1 AS DOUBLE) / $0) * ($4 - CAST($1 AS DOUBLE) / $0) * $0 * $3 / "
                "($0 + $3) END)",
                6, args);
        struct leat_expr *parts[3] = {args[0], args[3], m2};
        *ret = result(call,
                      pop ? (root ? "(CASE WHEN $0 + $1 > 0 THEN sqrt($2 / ($0 + $1)) END)"
                                  : "(CASE WHEN $0 + $1 > 0 THEN $2 / ($0 + $1) END)")
                          : (root ? "(CASE WHEN $0 + $1 > 1 THEN sqrt($2 / ($0 + $1 - 1)) END)"
                                  : "(CASE WHEN $0 + $1 > 1 THEN $2 / ($0 + $1 - 1) END)"),
                      3, parts);
        return 0;
}

static int var_make(struct call *call, struct leat_expr **ret)
{
        struct leat_type type = leat_type_of(LEAT_T_DOUBLE), n = leat_type_of(LEAT_T_BIGINT);
        bool pop = strstr(call->name, "_pop") != NULL, root = strncmp(call->name, "stddev", 6) == 0;
        /* the plan casts what it is given to DOUBLE */
        struct leat_expr *given = call->args[0]->cls == LEAT_X_CAST ? call->args[0]->args[0] : call->args[0];
        if (call->updating && given->type.id >= LEAT_T_TINYINT && given->type.id <= LEAT_T_UBIGINT) {
                call->args[0] = given;
                return var_exact_make(call, pop, root, ret);
        }
        struct leat_cacc acc = {.kind = LEAT_ACC_VAR,
                                .width = 3,
                                .argc = 1,
                                .args = {call->args[0]},
                                .filter = call->filter,
                                .types = {n, type, type},
                                .function = {"count($0)$F", "avg(CAST($0 AS DOUBLE))$F",
                                             "var_pop(CAST($0 AS DOUBLE))$F * count($0)$F"}};
        struct leat_expr *args[2] = {acc_add(call, acc), NULL};
        args[1] = leat_expr_ref(call->cc->arena, args[0]->index + 2, type);
        const char *text =
                pop ? (root ? "(CASE WHEN $0 > 0 THEN sqrt($1 / $0) END)" : "(CASE WHEN $0 > 0 THEN $1 / $0 END)")
                    : (root ? "(CASE WHEN $0 > 1 THEN sqrt($1 / ($0 - 1)) END)"
                            : "(CASE WHEN $0 > 1 THEN $1 / ($0 - 1) END)");
        *ret = result(call, text, 2, args);
        return 0;
}

static int arg_make(struct call *call, struct leat_expr **ret)
{
        bool max = strstr(call->name, "max") != NULL;
        struct leat_expr *x = call->args[0], *y = call->args[1];
        if (call->argc != 2)
                return refused(call, "use arg_min(value, by) or arg_max(value, by)", " with a count");
        if (call->updating)
                return refused(call, "use it in a view that reads the topic", " over rows that change");
        if (y->type.id == LEAT_T_LIST || y->type.id == LEAT_T_STRUCT || y->type.id == LEAT_T_INTERVAL ||
            x->type.id == LEAT_T_LIST || x->type.id == LEAT_T_STRUCT)
                return refused(call, "use parts of it", " over LIST or STRUCT");
        struct leat_cacc acc = {
                .kind = max ? LEAT_ACC_ARG_MAX : LEAT_ACC_ARG_MIN,
                .width = 2,
                .argc = 2,
                .args = {x, y},
                .filter = both(call, not_null(call, x), call->filter),
                .types = {y->type, x->type},
                .function = {max ? "max($1)$F" : "min($1)$F", max ? "arg_max($0, $1)$F" : "arg_min($0, $1)$F"}};
        struct leat_expr *by = acc_add(call, acc);
        *ret = leat_expr_ref(call->cc->arena, by->index + 1, x->type);
        return 0;
}

static const struct {
        const char *name;
        uint8_t argc_min, argc_max;
        bool same_when_distinct;
        int (*make)(struct call *call, struct leat_expr **ret);
} functions[] = {
        {"count_star", 0, 0, false, count_make}, {"count", 0, 1, false, count_make},
        {"count_if", 1, 1, false, count_make},   {"countif", 1, 1, false, count_make},
        {"sum", 1, 1, false, sum_make},          {"avg", 1, 1, false, sum_make},
        {"mean", 1, 1, false, sum_make},         {"min", 1, 2, true, minmax_make},
        {"max", 1, 2, true, minmax_make},        {"bool_and", 1, 1, true, bool_make},
        {"bool_or", 1, 1, true, bool_make},      {"bit_and", 1, 1, true, bit_make},
        {"bit_or", 1, 1, true, bit_make},        {"bit_xor", 1, 1, false, bit_make},
        {"var_samp", 1, 1, false, var_make},     {"variance", 1, 1, false, var_make},
        {"var_pop", 1, 1, false, var_make},      {"stddev_samp", 1, 1, false, var_make},
        {"stddev", 1, 1, false, var_make},       {"stddev_pop", 1, 1, false, var_make},
        {"arg_min", 2, 3, true, arg_make},       {"argmin", 2, 3, true, arg_make},
        {"min_by", 2, 3, true, arg_make},        {"arg_max", 2, 3, true, arg_make},
        {"argmax", 2, 3, true, arg_make},        {"max_by", 2, 3, true, arg_make},
};

static int distinct_feed(struct call *call)
{
        struct leat_cnode *agg = call->agg;
        struct leat_arena *arena = call->cc->arena;
        struct leat_expr *x = call->args[0];
        if (call->argc != 1 || x->type.id == LEAT_T_LIST || x->type.id == LEAT_T_STRUCT || x->type.id == LEAT_T_SQLNULL)
                return refused(call, "use DISTINCT over one column of a simple type", "");
        struct leat_expr *filter = both(call, not_null(call, x), call->filter);
        uint32_t i = 0;
        while (i < agg->distinct_count &&
               !(leat_expr_eq(agg->distincts[i].value, x) && leat_expr_eq(agg->distincts[i].filter, filter)))
                i++;
        if (i == agg->distinct_count) {
                if (i == 16)
                        return refused(call, "make a view for each",
                                       ": more than 16 different DISTINCT sets in one GROUP BY");
                if (agg->distincts == NULL)
                        agg->distincts = leat_arena_zalloc(arena, 16 * sizeof *agg->distincts);
                agg->distincts[i] = (struct leat_cdistinct){.value = x, .filter = filter};
                agg->distinct_count++;
        }
        call->feed = i + 1;
        call->filter = NULL;
        call->args[0] = leat_expr_ref(arena, agg->group_count, x->type);
        return 0;
}

static int args_read(struct call *call, const json_t *json)
{
        const json_t *children = json_object_get(json, "children"), *filter = json_object_get(json, "filter");
        uint32_t columns = call->agg->inputs[0]->column_count;
        call->argc = (uint32_t)json_array_size(children);
        for (uint32_t i = 0; i < call->argc && i < 2; i++)
                LEAT_TRY(leat_compile_expr(call->cc, json_array_get(children, i), columns, &call->args[i]));
        if (filter != NULL && !json_is_null(filter))
                LEAT_TRY(leat_compile_expr(call->cc, filter, columns, &call->filter));
        return leat_expr_type_read(call->cc->arena, json_object_get(json, "return_type"), &call->result, NULL,
                                   call->cc->err);
}

int leat_compile_aggregate(struct leat_compile *cc, struct leat_cnode *agg, const struct json_t *json,
                           struct leat_expr **ret_result)
{
        struct call call = {.cc = cc,
                            .agg = agg,
                            .name = leat_arena_strdup(cc->arena, leat_json_text(json, "name")),
                            .position = leat_json_position(json),
                            .distinct = strcmp(leat_json_text(json, "aggregate_type"), "DISTINCT") == 0,
                            .updating = !agg->inputs[0]->append_only};
        if (agg->state_columns + 16 > LEAT_STREAM_COLUMNS_MAX)
                return leat_error_set(cc->err, LEAT_ETOOBIG, "too many aggregates in one GROUP BY");
        for (size_t i = 0; i < LEAT_ARRAY_LEN(functions); i++) {
                if (strcmp(call.name, functions[i].name) != 0)
                        continue;
                LEAT_TRY(args_read(&call, json));
                if (call.argc < functions[i].argc_min || call.argc > functions[i].argc_max)
                        break;
                if (call.distinct && !functions[i].same_when_distinct)
                        LEAT_TRY(distinct_feed(&call));
                return functions[i].make(&call, ret_result);
        }
        bool order = strcmp(call.name, "first") == 0 || strcmp(call.name, "last") == 0 ||
                     strcmp(call.name, "any_value") == 0 || strcmp(call.name, "arbitrary") == 0;
        return refused(&call,
                       order ? "say which: arg_min(value, by) or arg_max(value, by)"
                             : "use count, sum, avg, min, max, bool_and, bool_or, bit_and, bit_or, bit_xor, "
                               "stddev, variance, arg_min, arg_max",
                       "");
}
