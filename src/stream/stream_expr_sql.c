/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/stream: expressions by themselves: made, printed as SQL, compared,
 * rewritten. stream_expr.c reads them from a plan.
 */
#include <inttypes.h>
#include <stdio.h>

#include "stream_compile.h"

/* ---- building ------------------------------------------------------------------------ */
struct leat_expr *leat_expr_new(struct leat_arena *arena, uint8_t cls, uint32_t argc)
{
        struct leat_expr *expr = leat_arena_zalloc(arena, sizeof *expr);
        expr->cls = cls;
        expr->argc = argc;
        expr->args = leat_arena_zalloc(arena, (argc + 1) * sizeof(*expr->args));
        return expr;
}

struct leat_expr *leat_expr_ref(struct leat_arena *arena, uint32_t index, struct leat_type type)
{
        struct leat_expr *expr = leat_expr_new(arena, LEAT_X_REF, 0);
        expr->index = index;
        expr->type = type;
        return expr;
}

struct leat_expr *leat_expr_text(struct leat_arena *arena, struct leat_type type, const char *text, uint32_t argc,
                                 struct leat_expr **args)
{
        struct leat_expr *expr = leat_expr_new(arena, LEAT_X_TEXT, argc);
        expr->type = type;
        expr->text = leat_arena_strdup(arena, text);
        for (uint32_t i = 0; i < argc; i++)
                expr->args[i] = args[i];
        return expr;
}

bool leat_expr_interval(const struct leat_expr *expr, int64_t *ret_us)
{
        static const struct {
                const char *name;
                int64_t us;
        } units[] = {{"to_microseconds", 1},    {"to_milliseconds", 1000}, {"to_seconds", 1000000},
                     {"to_minutes", 60000000},  {"to_hours", 3600000000},  {"to_days", 86400000000},
                     {"to_weeks", 604800000000}};
        if (expr->cls == LEAT_X_CAST && expr->type.id == LEAT_T_INTERVAL && expr->args[0]->cls == LEAT_X_CONST &&
            expr->args[0]->string != NULL)
                return leat_duration_parse(leat_view_str(expr->args[0]->string), ret_us);
        if (expr->cls != LEAT_X_CALL || expr->argc != 1)
                return false;
        for (size_t i = 0; i < LEAT_ARRAY_LEN(units); i++) {
                if (strcmp(expr->name, units[i].name) != 0)
                        continue;
                const struct leat_expr *at = expr->args[0];
                while ((at->cls == LEAT_X_CAST || (at->cls == LEAT_X_CALL && strcmp(at->name, "trunc") == 0)) &&
                       at->argc == 1)
                        at = at->args[0];
                const char *digits = at->cls == LEAT_X_CONST ? strpbrk(at->text, "0123456789-") : NULL;
                if (digits == NULL)
                        return false;
                double value = strtod(digits, NULL) * (double)units[i].us;
                if (value > 9e15 || value < -9e15)
                        return false;
                *ret_us = (int64_t)value;
                return true;
        }
        return false;
}

/* ---- printing ------------------------------------------------------------------------------ */
void leat_expr_quote(struct leat_buf *out, const char *text, char mark)
{
        leat_buf_u8(out, (uint8_t)mark);
        for (; *text != 0; text++) {
                if (*text == mark)
                        leat_buf_u8(out, (uint8_t)mark);
                leat_buf_u8(out, (uint8_t)*text);
        }
        leat_buf_u8(out, (uint8_t)mark);
}

static void args_print(const struct leat_expr *expr, uint32_t from, const char *between, struct leat_buf *out)
{
        for (uint32_t i = from; i < expr->argc; i++) {
                if (i > from)
                        leat_buf_add_str(out, between);
                leat_expr_print(expr->args[i], out);
        }
}

static void text_print(const struct leat_expr *expr, struct leat_buf *out)
{
        for (const char *at = expr->text; *at != 0; at++) {
                if (*at == '$' && at[1] >= '0' && at[1] <= '9') {
                        leat_expr_print(expr->args[at[1] - '0'], out);
                        at++;
                } else {
                        leat_buf_u8(out, (uint8_t)*at);
                }
        }
}

/* By microseconds, so that no constant has to be read again. */
static void window_print(const struct leat_expr *expr, struct leat_buf *out)
{
        const struct leat_time_prop *w = &expr->window;
        bool list = expr->type.id == LEAT_T_LIST;
        leat_buf_add_str(out, list ? "leat_hop_starts(" : "leat_window_start(");
        leat_expr_print(expr->args[0], out);
        leat_buf_printf(out, ", to_microseconds(%" PRId64 ")", w->slide_us);
        if (list)
                leat_buf_printf(out, ", to_microseconds(%" PRId64 ")", w->size_us);
        if (w->offset_us != 0)
                leat_buf_printf(out, ", to_microseconds(%" PRId64 ")", w->offset_us);
        leat_buf_u8(out, ')');
}

/*
 * Arithmetic on TIMESTAMPTZ goes through ICU's calendar, at half a microsecond a
 * value. Jobs run in UTC, where it is the same as that of TIMESTAMP: the plain
 * kind is taken, except for infinite times, which have no microseconds.
 */
static bool utc_print(const struct leat_expr *expr, struct leat_buf *out)
{
        struct leat_buf a = LEAT_BUF_INIT, b = LEAT_BUF_INIT;
        uint32_t tz = LEAT_T_TIMESTAMPTZ;
        bool plus = strcmp(expr->name, "+") == 0, minus = strcmp(expr->name, "-") == 0;
        bool trunc = strcmp(expr->name, "date_trunc") == 0;
        if (expr->argc != 2 || !(plus || minus || trunc) || expr->args[trunc ? 1 : 0]->type.id != tz)
                return false;
        if (!trunc && expr->args[1]->type.id != LEAT_T_INTERVAL && !(minus && expr->args[1]->type.id == tz))
                return false;
        leat_expr_print(expr->args[0], &a);
        leat_expr_print(expr->args[1], &b);
        const char *x = leat_buf_cstr(&a), *y = leat_buf_cstr(&b);
        if (trunc)
                leat_buf_printf(out,
                                "(CASE WHEN isfinite(%s) THEN make_timestamptz(epoch_us(date_trunc(%s, "
                                "make_timestamp(epoch_us(%s))))) "
                                "ELSE date_trunc(%s, %s) END)",
                                y, x, y, x, y);
        else if (expr->args[1]->type.id == tz)
                leat_buf_printf(out,
                                "(CASE WHEN isfinite(%s) AND isfinite(%s) THEN make_timestamp(epoch_us(%s)) - "
                                "make_timestamp(epoch_us(%s)) ELSE %s - %s END)",
                                x, y, x, y, x, y);
        else
                leat_buf_printf(out,
                                "(CASE WHEN isfinite(%s) THEN make_timestamptz(epoch_us(make_timestamp(epoch_us(%s)) "
                                "%s %s)) ELSE %s %s "
                                "%s END)",
                                x, x, plus ? "+" : "-", y, x, plus ? "+" : "-", y);
        leat_buf_done(&a);
        leat_buf_done(&b);
        return true;
}

static void case_print(const struct leat_expr *expr, struct leat_buf *out)
{
        leat_buf_add_str(out, "(CASE");
        for (uint32_t i = 0; i + 1 < expr->argc; i += 2) {
                leat_buf_add_str(out, " WHEN ");
                leat_expr_print(expr->args[i], out);
                leat_buf_add_str(out, " THEN ");
                leat_expr_print(expr->args[i + 1], out);
        }
        leat_buf_add_str(out, " ELSE ");
        leat_expr_print(expr->args[expr->argc - 1], out);
        leat_buf_add_str(out, " END)");
}

void leat_expr_print(const struct leat_expr *expr, struct leat_buf *out)
{
        switch (expr->cls) {
        case LEAT_X_REF:
                leat_buf_printf(out, "c%u", expr->index);
                return;
        case LEAT_X_CONST:
                leat_buf_add_str(out, expr->text);
                return;
        case LEAT_X_CAST:
        case LEAT_X_TRY_CAST:
                leat_buf_add_str(out, expr->cls == LEAT_X_CAST ? "CAST(" : "TRY_CAST(");
                leat_expr_print(expr->args[0], out);
                leat_buf_printf(out, " AS %s)", expr->type_sql);
                return;
        case LEAT_X_CALL:
                if (utc_print(expr, out))
                        return;
                if (strcmp(expr->name, "coalesce") == 0 || strcmp(expr->name, "nullif") == 0)
                        leat_buf_add_str(out, expr->name); /* keywords */
                else
                        leat_expr_quote(out, expr->name, '"');
                leat_buf_u8(out, '(');
                args_print(expr, 0, ", ", out);
                leat_buf_u8(out, ')');
                return;
        case LEAT_X_INFIX: {
                char between[40];
                snprintf(between, sizeof between, " %s ", expr->name);
                leat_buf_u8(out, '(');
                args_print(expr, 0, between, out);
                leat_buf_u8(out, ')');
                return;
        }
        case LEAT_X_POST:
                leat_buf_u8(out, '(');
                leat_expr_print(expr->args[0], out);
                leat_buf_printf(out, " %s)", expr->name);
                return;
        case LEAT_X_IN:
                leat_buf_u8(out, '(');
                leat_expr_print(expr->args[0], out);
                leat_buf_printf(out, " %s (", expr->name);
                args_print(expr, 1, ", ", out);
                leat_buf_add_str(out, "))");
                return;
        case LEAT_X_CASE:
                case_print(expr, out);
                return;
        case LEAT_X_STRUCT:
                leat_buf_u8(out, '{');
                for (uint32_t i = 0; i < expr->argc; i++) {
                        leat_buf_add_str(out, i > 0 ? ", " : "");
                        leat_expr_quote(out, expr->type.child_names[i], '\'');
                        leat_buf_add_str(out, ": ");
                        leat_expr_print(expr->args[i], out);
                }
                leat_buf_u8(out, '}');
                return;
        case LEAT_X_WINDOW:
                window_print(expr, out);
                return;
        case LEAT_X_UNNEST:
                leat_buf_add_str(out, "unnest(");
                leat_expr_print(expr->args[0], out);
                leat_buf_u8(out, ')');
                return;
        default:
                text_print(expr, out);
                return;
        }
}

char *leat_expr_sql(struct leat_arena *arena, const struct leat_expr *expr)
{
        if (expr == NULL)
                return NULL;
        struct leat_buf buf = LEAT_BUF_INIT;
        leat_expr_print(expr, &buf);
        char *text = leat_arena_strdup(arena, leat_buf_cstr(&buf));
        leat_buf_done(&buf);
        return text;
}

/* ---- looking at ------------------------------------------------------------------------------ */
bool leat_expr_eq(const struct leat_expr *a, const struct leat_expr *b)
{
        struct leat_buf x = LEAT_BUF_INIT, y = LEAT_BUF_INIT;
        if (a == NULL || b == NULL)
                return a == b;
        leat_expr_print(a, &x);
        leat_expr_print(b, &y);
        bool eq = leat_view_eq(leat_buf_view(&x), leat_buf_view(&y));
        leat_buf_done(&x);
        leat_buf_done(&y);
        return eq;
}

void leat_expr_refs(struct leat_expr *expr, void (*fn)(void *arg, struct leat_expr *ref), void *arg)
{
        if (expr == NULL)
                return;
        if (expr->cls == LEAT_X_REF)
                fn(arg, expr);
        for (uint32_t i = 0; i < expr->argc; i++)
                leat_expr_refs(expr->args[i], fn, arg);
}

struct leat_expr *leat_expr_replace(struct leat_arena *arena, const struct leat_expr *expr, struct leat_expr **with)
{
        if (expr == NULL)
                return NULL;
        if (expr->cls == LEAT_X_REF)
                return with[expr->index];
        struct leat_expr *copy = leat_expr_new(arena, expr->cls, expr->argc);
        struct leat_expr **args = copy->args;
        *copy = *expr;
        copy->args = args;
        for (uint32_t i = 0; i < expr->argc; i++)
                copy->args[i] = leat_expr_replace(arena, expr->args[i], with);
        return copy;
}
