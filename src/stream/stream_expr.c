/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/stream: bound expressions. Read from DuckDB's plan; stream_expr_sql.c prints them
 * back to SQL.
 *
 * Every call is printed as "name"(args), operators too ("+"(c0, 1) is what the
 * parser makes of c0 + 1), and every constant with its type, so that binding the
 * text again finds the function that the plan had. Classes that are not on the
 * list below are refused by name.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "stream_compile.h"

static const char *const volatile_functions[] = {
        "current_connection_id",
        "current_query",
        "current_query_id",
        "current_transaction_id",
        "currval",
        "gen_random_uuid",
        "nextval",
        "random",
        "setseed",
        "sleep_ms",
        "stats",
        "uuid",
        "uuidv4",
        "uuidv7",
        "write_log",
};
static const char *const clock_functions[] = {
        "now",   "current_timestamp",      "get_current_timestamp", "transaction_timestamp", "current_date",
        "today", "current_localtimestamp", "current_localtime",     "get_current_time",      "current_time",
};

int leat_json_position(const struct json_t *json)
{
        const json_t *at = json_object_get(json, "query_location");
        return json_is_integer(at) && json_integer_value(at) >= 0 && json_integer_value(at) < INT32_MAX
                       ? (int)json_integer_value(at) + 1
                       : 0;
}

const char *leat_json_text(const struct json_t *json, const char *key)
{
        const char *text = json_string_value(json_object_get(json, key));
        return text != NULL ? text : "";
}

static int refuse(struct leat_error *err, int position, const char *hint, const char *what, const char *name)
{
        leat_error_set(err, LEAT_EUNSUPPORTED, "%s %s cannot be used in a continuous query", what, name);
        leat_error_hint(err, "%s", hint);
        if (err != NULL)
                err->position = position;
        return LEAT_EUNSUPPORTED;
}

/* ---- types --------------------------------------------------------------------------- */
static const char *struct_type_sql(struct leat_arena *arena, const struct leat_type *type)
{
        struct leat_buf buf = LEAT_BUF_INIT;
        leat_type_print(type, &buf);
        const char *text = leat_arena_strdup(arena, leat_buf_cstr(&buf));
        leat_buf_done(&buf);
        return text;
}

static int struct_read(struct leat_arena *arena, const json_t *info, struct leat_type *type, struct leat_error *err)
{
        const json_t *fields = json_object_get(info, "child_types");
        size_t count = json_array_size(fields);
        if (count == 0 || count > 255)
                return leat_error_set(err, LEAT_EUNSUPPORTED, "a STRUCT of %zu fields is not supported", count);
        struct leat_type *children = leat_arena_zalloc(arena, count * sizeof *children);
        const char **names = leat_arena_alloc(arena, count * sizeof *names);
        for (size_t i = 0; i < count; i++) {
                const json_t *field = json_array_get(fields, i);
                names[i] = leat_arena_strdup(arena, leat_json_text(field, "first"));
                LEAT_TRY(leat_expr_type_read(arena, json_object_get(field, "second"), &children[i], NULL, err));
        }
        type->child_count = (uint8_t)count;
        type->children = children;
        type->child_names = names;
        return 0;
}

static int list_read(struct leat_arena *arena, const json_t *info, struct leat_type *type, struct leat_error *err)
{
        struct leat_type *child = leat_arena_zalloc(arena, sizeof *child);
        LEAT_TRY(leat_expr_type_read(arena, json_object_get(info, "child_type"), child, NULL, err));
        type->child_count = 1;
        type->children = child;
        return 0;
}

int leat_expr_type_read(struct leat_arena *arena, const struct json_t *json, struct leat_type *ret_type,
                        const char **ret_sql, struct leat_error *err)
{
        static const struct {
                const char *name;
                uint8_t id;
        } names[] = {
#define X(id, name, bytes) {name, LEAT_T_##id},
                LEAT_TYPES(X)
#undef X
                        {"TIMESTAMP WITH TIME ZONE", LEAT_T_TIMESTAMPTZ},
                {"CHAR", LEAT_T_VARCHAR},
        };
        const char *id = leat_json_text(json, "id");
        const json_t *info = json_object_get(json, "type_info");
        struct leat_type type = {0};
        for (size_t i = 0; i < LEAT_ARRAY_LEN(names); i++)
                if (strcmp(id, names[i].name) == 0)
                        type.id = names[i].id;
        if (type.id == LEAT_T_INVALID)
                return leat_error_set(err, LEAT_EUNSUPPORTED, "type %s cannot be used in a continuous query", id);
        if (type.id == LEAT_T_DECIMAL) {
                type.width = (uint8_t)json_integer_value(json_object_get(info, "width"));
                type.scale = (uint8_t)json_integer_value(json_object_get(info, "scale"));
        } else if (type.id == LEAT_T_STRUCT) {
                LEAT_TRY(struct_read(arena, info, &type, err));
        } else if (type.id == LEAT_T_LIST) {
                LEAT_TRY(list_read(arena, info, &type, err));
        }
        *ret_type = type;
        if (ret_sql != NULL)
                *ret_sql = strcmp(leat_json_text(info, "alias"), "JSON") == 0 ? "JSON" : struct_type_sql(arena, &type);
        return 0;
}

/* ---- constants ------------------------------------------------------------------------ */
static __int128 hugeint_value(const json_t *value)
{
        if (json_is_integer(value))
                return json_integer_value(value);
        const json_t *up = json_object_get(value, "upper"), *low = json_object_get(value, "lower");
        int64_t upper = json_is_string(up) ? strtoll(json_string_value(up), NULL, 10) : json_integer_value(up);
        uint64_t lower =
                json_is_string(low) ? strtoull(json_string_value(low), NULL, 10) : (uint64_t)json_integer_value(low);
        if (json_is_string(value))
                return (__int128)strtoull(json_string_value(value), NULL, 10);
        return (__int128)(((unsigned __int128)(uint64_t)upper << 64) | lower);
}

static void hugeint_print(struct leat_buf *out, __int128 value, unsigned scale)
{
        char digits[64];
        size_t at = sizeof digits;
        unsigned __int128 left = value < 0 ? -(unsigned __int128)value : (unsigned __int128)value;
        unsigned count = 0;
        digits[--at] = 0;
        do {
                if (count == scale && count != 0)
                        digits[--at] = '.';
                digits[--at] = (char)('0' + (int)(left % 10));
                left /= 10;
                count++;
        } while (left != 0 || count <= scale);
        if (value < 0)
                digits[--at] = '-';
        leat_buf_add_str(out, digits + at);
}

static int constant_read(struct leat_arena *arena, const json_t *json, struct leat_expr **ret_expr,
                         struct leat_error *err)
{
        struct leat_expr *expr = leat_expr_new(arena, LEAT_X_CONST, 0);
        const json_t *outer = json_object_get(json, "value"), *value = json_object_get(outer, "value");
        struct leat_buf buf = LEAT_BUF_INIT;
        const char *type_sql;
        LEAT_TRY(leat_expr_type_read(arena, json_object_get(outer, "type"), &expr->type, &type_sql, err));
        bool plain = false;
        if (json_is_true(json_object_get(outer, "is_null")) || value == NULL) {
                leat_buf_add_str(&buf, "NULL");
        } else if (expr->type.id == LEAT_T_VARCHAR) {
                plain = strcmp(type_sql, "VARCHAR") == 0;
                expr->string = leat_arena_strdup(arena, json_string_value(value) ? json_string_value(value) : "");
                leat_expr_quote(&buf, expr->string, '\'');
        } else if (json_is_boolean(value)) {
                leat_buf_add_str(&buf, json_is_true(value) ? "true" : "false");
        } else if (expr->type.id == LEAT_T_DECIMAL || expr->type.id == LEAT_T_HUGEINT ||
                   expr->type.id == LEAT_T_UHUGEINT || (json_is_integer(value) && expr->type.id <= LEAT_T_UBIGINT) ||
                   json_is_string(value)) {
                leat_buf_u8(&buf, '\'');
                hugeint_print(&buf, hugeint_value(value), expr->type.scale);
                leat_buf_u8(&buf, '\'');
        } else if (json_is_number(value) && (expr->type.id == LEAT_T_DOUBLE || expr->type.id == LEAT_T_FLOAT)) {
                leat_buf_printf(&buf, "'%.17g'", json_number_value(value));
        } else {
                leat_buf_done(&buf);
                return refuse(err, leat_json_position(json), "write it as a cast of a text, e.g. TIMESTAMP '...'",
                              "a constant of type", type_sql);
        }
        if (expr->type.id == LEAT_T_INTEGER && json_is_integer(value)) /* as the parser reads it */
                expr->text = leat_arena_printf(arena, json_integer_value(value) < 0 ? "(%lld)" : "%lld",
                                               (long long)json_integer_value(value));
        else if (!plain && expr->type.id != LEAT_T_SQLNULL)
                expr->text = leat_arena_printf(arena, "CAST(%s AS %s)", leat_buf_cstr(&buf), type_sql);
        else
                expr->text = leat_arena_strdup(arena, leat_buf_cstr(&buf));
        leat_buf_done(&buf);
        *ret_expr = expr;
        return 0;
}

/* ---- functions -------------------------------------------------------------------------- */
/* leat_window_start(ts, size[, offset]), leat_hop_starts(ts, slide, size[, offset]): what tumble() and hop() are made
 * of. */
static int window_read(struct leat_expr *call, bool hop, struct leat_error *err)
{
        uint32_t first = 1, need = hop ? 3 : 2;
        int64_t values[3] = {0};
        if (call->argc < need || call->argc > need + 1)
                return leat_error_set(err, LEAT_EINVAL, "%s needs %u or %u arguments", call->name, need, need + 1);
        for (uint32_t i = first; i < call->argc; i++) {
                if (leat_expr_interval(call->args[i], &values[i - 1]))
                        continue;
                leat_error_set(err, LEAT_EINVAL, "the size of a window must be a constant interval without months");
                leat_error_hint(err, "write e.g. INTERVAL '10 seconds' or INTERVAL '1 day'");
                if (err != NULL)
                        err->position = call->args[i]->position;
                return LEAT_EINVAL;
        }
        struct leat_time_prop window = {.kind = LEAT_TIME_START,
                                        .slide_us = values[0],
                                        .size_us = hop ? values[1] : values[0],
                                        .offset_us = hop ? values[2] : values[1]};
        if (window.slide_us <= 0 || window.size_us < window.slide_us || window.size_us / window.slide_us > 10000) {
                leat_error_set(err, LEAT_EINVAL, "a window needs a size greater than 0%s",
                               hop ? ", a slide greater than 0 and at most the size, and at most 10,000 slides" : "");
                leat_error_hint(err, "%s", hop ? "hop(topic, time, slide, size)" : "tumble(topic, time, size)");
                if (err != NULL)
                        err->position = call->position;
                return LEAT_EINVAL;
        }
        window.offset_us %= window.slide_us;
        call->cls = LEAT_X_WINDOW;
        call->window = window;
        call->argc = 1;
        if (!hop)
                call->type = call->args[0]->type;
        return 0;
}
static int args_read(struct leat_arena *arena, const json_t *list, struct leat_expr *expr, struct leat_error *err)
{
        for (uint32_t i = 0; i < expr->argc; i++)
                LEAT_TRY(leat_expr_read(arena, json_array_get(list, i), &expr->args[i], err));
        return 0;
}

static int function_read(struct leat_arena *arena, const json_t *json, struct leat_expr **ret_expr,
                         struct leat_error *err)
{
        const json_t *children = json_object_get(json, "children");
        const char *name = leat_json_text(json, "name");
        int position = leat_json_position(json);
        for (size_t i = 0; i < LEAT_ARRAY_LEN(volatile_functions); i++)
                if (strcmp(name, volatile_functions[i]) == 0)
                        return refuse(err, position,
                                      "its value differs from call to call, so a view could never equal "
                                      "its query; compute it before the row is written to the topic",
                                      "volatile function", name);
        for (size_t i = 0; i < LEAT_ARRAY_LEN(clock_functions); i++)
                if (strcmp(name, clock_functions[i]) == 0)
                        return refuse(err, position,
                                      "use the event time or kafka_timestamp of the row, and filter by "
                                      "the clock when you read the view",
                                      "function", name);
        if (json_object_get(json_object_get(json, "function_data"), "lambda_expr") != NULL)
                return refuse(err, position, "use a function without a lambda", "lambda function", name);
        struct leat_expr *expr = leat_expr_new(arena, LEAT_X_CALL, (uint32_t)json_array_size(children));
        expr->name = leat_arena_strdup(arena, name);
        expr->position = position;
        LEAT_TRY(leat_expr_type_read(arena, json_object_get(json, "return_type"), &expr->type, &expr->type_sql, err));
        LEAT_TRY(args_read(arena, children, expr, err));
        *ret_expr = expr;
        if (strcmp(name, "leat_window_start") == 0 || strcmp(name, "leat_hop_starts") == 0)
                return window_read(expr, strcmp(name, "leat_hop_starts") == 0, err);
        if (strcmp(name, "struct_pack") == 0 && expr->type.id == LEAT_T_STRUCT && expr->type.child_count == expr->argc)
                expr->cls = LEAT_X_STRUCT;
        return 0;
}

static int operator_read(struct leat_arena *arena, const json_t *json, struct leat_expr **ret_expr,
                         struct leat_error *err)
{
        static const struct {
                const char *type;
                uint8_t cls;
                const char *name;
        } ops[] = {
                {"OPERATOR_IS_NULL", LEAT_X_POST, "IS NULL"},    {"OPERATOR_IS_NOT_NULL", LEAT_X_POST, "IS NOT NULL"},
                {"OPERATOR_NOT", LEAT_X_TEXT, "(NOT $0)"},       {"COMPARE_IN", LEAT_X_IN, "IN"},
                {"COMPARE_NOT_IN", LEAT_X_IN, "NOT IN"},         {"OPERATOR_COALESCE", LEAT_X_CALL, "coalesce"},
                {"OPERATOR_NULLIF", LEAT_X_CALL, "nullif"},      {"OPERATOR_TRY", LEAT_X_TEXT, "TRY($0)"},
                {"ARRAY_EXTRACT", LEAT_X_CALL, "array_extract"}, {"STRUCT_EXTRACT", LEAT_X_CALL, "struct_extract"},
        };
        const char *type = leat_json_text(json, "type");
        const json_t *children = json_object_get(json, "children");
        for (size_t i = 0; i < LEAT_ARRAY_LEN(ops); i++) {
                if (strcmp(type, ops[i].type) != 0)
                        continue;
                struct leat_expr *expr = leat_expr_new(arena, ops[i].cls, (uint32_t)json_array_size(children));
                expr->name = expr->text = ops[i].name;
                LEAT_TRY(leat_expr_type_read(arena, json_object_get(json, "return_type"), &expr->type, NULL, err));
                *ret_expr = expr;
                return args_read(arena, children, expr, err);
        }
        return refuse(err, leat_json_position(json), "rewrite the expression without it", "operator", type);
}

static int comparison_read(struct leat_arena *arena, const json_t *json, struct leat_expr **ret_expr,
                           struct leat_error *err)
{
        static const char *const ops[][2] = {
                {"COMPARE_EQUAL", "="},
                {"COMPARE_NOTEQUAL", "<>"},
                {"COMPARE_LESSTHAN", "<"},
                {"COMPARE_GREATERTHAN", ">"},
                {"COMPARE_LESSTHANOREQUALTO", "<="},
                {"COMPARE_GREATERTHANOREQUALTO", ">="},
                {"COMPARE_DISTINCT_FROM", "IS DISTINCT FROM"},
                {"COMPARE_NOT_DISTINCT_FROM", "IS NOT DISTINCT FROM"},
        };
        const char *type = leat_json_text(json, "type");
        for (size_t i = 0; i < LEAT_ARRAY_LEN(ops); i++) {
                if (strcmp(type, ops[i][0]) != 0)
                        continue;
                struct leat_expr *expr = leat_expr_new(arena, LEAT_X_INFIX, 2);
                expr->name = ops[i][1];
                expr->type = leat_type_of(LEAT_T_BOOLEAN);
                LEAT_TRY(leat_expr_read(arena, json_object_get(json, "left"), &expr->args[0], err));
                LEAT_TRY(leat_expr_read(arena, json_object_get(json, "right"), &expr->args[1], err));
                *ret_expr = expr;
                return 0;
        }
        return refuse(err, leat_json_position(json), "rewrite the condition", "comparison", type);
}

static int between_read(struct leat_arena *arena, const json_t *json, struct leat_expr **ret_expr,
                        struct leat_error *err)
{
        struct leat_expr *expr = leat_expr_new(arena, LEAT_X_TEXT, 3);
        bool low = json_is_true(json_object_get(json, "lower_inclusive"));
        bool high = json_is_true(json_object_get(json, "upper_inclusive"));
        expr->type = leat_type_of(LEAT_T_BOOLEAN);
        expr->text = leat_arena_printf(arena, "($0 %s $1 AND $0 %s $2)", low ? ">=" : ">", high ? "<=" : "<");
        LEAT_TRY(leat_expr_read(arena, json_object_get(json, "input"), &expr->args[0], err));
        LEAT_TRY(leat_expr_read(arena, json_object_get(json, "lower"), &expr->args[1], err));
        LEAT_TRY(leat_expr_read(arena, json_object_get(json, "upper"), &expr->args[2], err));
        *ret_expr = expr;
        return 0;
}

static int case_read(struct leat_arena *arena, const json_t *json, struct leat_expr **ret_expr, struct leat_error *err)
{
        const json_t *checks = json_object_get(json, "case_checks");
        uint32_t count = (uint32_t)json_array_size(checks);
        struct leat_expr *expr = leat_expr_new(arena, LEAT_X_CASE, 2 * count + 1);
        LEAT_TRY(leat_expr_type_read(arena, json_object_get(json, "return_type"), &expr->type, NULL, err));
        for (uint32_t i = 0; i < count; i++) {
                const json_t *check = json_array_get(checks, i);
                LEAT_TRY(leat_expr_read(arena, json_object_get(check, "when_expr"), &expr->args[2 * i], err));
                LEAT_TRY(leat_expr_read(arena, json_object_get(check, "then_expr"), &expr->args[2 * i + 1], err));
        }
        LEAT_TRY(leat_expr_read(arena, json_object_get(json, "else_expr"), &expr->args[2 * count], err));
        *ret_expr = expr;
        return 0;
}

static int class_read(struct leat_arena *arena, const json_t *json, struct leat_expr **ret_expr, struct leat_error *err)
{
        const char *cls = leat_json_text(json, "expression_class");
        if (strcmp(cls, "BOUND_REF") == 0) {
                struct leat_expr *expr = leat_expr_new(arena, LEAT_X_REF, 0);
                expr->index = (uint32_t)json_integer_value(json_object_get(json, "index"));
                *ret_expr = expr;
                return leat_expr_type_read(arena, json_object_get(json, "return_type"), &expr->type, NULL, err);
        }
        if (strcmp(cls, "BOUND_CONSTANT") == 0)
                return constant_read(arena, json, ret_expr, err);
        if (strcmp(cls, "BOUND_FUNCTION") == 0)
                return function_read(arena, json, ret_expr, err);
        if (strcmp(cls, "BOUND_COMPARISON") == 0)
                return comparison_read(arena, json, ret_expr, err);
        if (strcmp(cls, "BOUND_OPERATOR") == 0)
                return operator_read(arena, json, ret_expr, err);
        if (strcmp(cls, "BOUND_CASE") == 0)
                return case_read(arena, json, ret_expr, err);
        if (strcmp(cls, "BOUND_BETWEEN") == 0)
                return between_read(arena, json, ret_expr, err);
        if (strcmp(cls, "BOUND_CAST") == 0 || strcmp(cls, "BOUND_UNNEST") == 0) {
                bool cast = cls[6] == 'C';
                uint8_t kind = !cast                                             ? LEAT_X_UNNEST
                               : json_is_true(json_object_get(json, "try_cast")) ? LEAT_X_TRY_CAST
                                                                                 : LEAT_X_CAST;
                struct leat_expr *expr = leat_expr_new(arena, kind, 1);
                *ret_expr = expr;
                LEAT_TRY(leat_expr_type_read(arena, json_object_get(json, "return_type"), &expr->type, &expr->type_sql,
                                             err));
                LEAT_TRY(leat_expr_read(arena, json_object_get(json, "child"), &expr->args[0], err));
                if (cast && leat_type_eq(&expr->type, &expr->args[0]->type) && strcmp(expr->type_sql, "JSON") != 0 &&
                    (expr->args[0]->cls != LEAT_X_CAST || strcmp(expr->args[0]->type_sql, "JSON") != 0))
                        *ret_expr = expr->args[0]; /* nothing to do */
                return 0;
        }
        if (strcmp(cls, "BOUND_CONJUNCTION") == 0) {
                const json_t *children = json_object_get(json, "children");
                struct leat_expr *expr = leat_expr_new(arena, LEAT_X_INFIX, (uint32_t)json_array_size(children));
                expr->name = strcmp(leat_json_text(json, "type"), "CONJUNCTION_OR") == 0 ? "OR" : "AND";
                expr->type = leat_type_of(LEAT_T_BOOLEAN);
                *ret_expr = expr;
                return args_read(arena, children, expr, err);
        }
        if (strcmp(cls, "BOUND_PARAMETER") == 0)
                return refuse(err, leat_json_position(json),
                              "use the event time or kafka_timestamp of the row, and "
                              "filter by the clock when you read the view",
                              "a parameter or the clock", "(now())");
        return refuse(err, leat_json_position(json), "rewrite the expression without it", "expression", cls);
}

int leat_expr_read(struct leat_arena *arena, const struct json_t *json, struct leat_expr **ret_expr,
                   struct leat_error *err)
{
        static _Thread_local unsigned depth;
        if (depth >= LEAT_STREAM_DEPTH_MAX)
                return leat_error_set(err, LEAT_ETOOBIG, "an expression is nested more than %u deep",
                                      LEAT_STREAM_DEPTH_MAX);
        depth++;
        struct leat_expr *expr = NULL;
        int rc = class_read(arena, json, &expr, err);
        depth--;
        if (rc == 0) {
                expr->position = leat_json_position(json);
                *ret_expr = expr;
        } else if (err != NULL && err->position == 0) {
                err->position = leat_json_position(json);
        }
        return rc;
}
