/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/sql: grammar of CREATE DASHBOARD, and the layout of its panels.
 *
 * Layout  A page is 12 columns wide, heights are in rows. Panels that have AT
 *         stay where it says. The others are placed in the order written, left
 *         to right, top to bottom, in the first gap that is large enough:
 *         numbers 3 columns by 2 rows, heat maps 12 by 5, the rest 6 by 4.
 */
#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#include "sql_parse_int.h"

#define VARIABLES_MAX 16
#define PANELS_MAX 60
#define SERIES_MAX 32
#define GRID_COLUMNS 12
#define GRID_ROWS_MAX 1000

struct dashboard_parts {
        struct leat_variable_def variables[VARIABLES_MAX];
        struct leat_span variable_at[VARIABLES_MAX];
        uint32_t variable_count;
        struct leat_panel_def panels[PANELS_MAX];
        struct leat_panel_at panel_at[PANELS_MAX];
        bool placed[PANELS_MAX];
        uint32_t panel_count;
        const char *title;
        int64_t refresh_us;
};

/* AS ( query ): the text between the parentheses. */
static int query_text(struct sql_parser *p, const char **ret_sql, struct leat_span *ret_at)
{
        LEAT_TRY(leat_sql_expect(p, "AS"));
        LEAT_TRY(leat_sql_expect_op(p, '('));
        if (sql_is_op(p, 0, ')'))
                return leat_sql_unexpected(p, "SELECT");
        LEAT_TRY(leat_sql_parens(p, ret_at));
        while (ret_at->len != 0 && isspace(p->text.data[ret_at->start + ret_at->len - 1]))
                ret_at->len--;
        *ret_sql = leat_arena_strndup(p->arena, (const char *)p->text.data + ret_at->start, ret_at->len);
        return 0;
}

static int variable_item(struct sql_parser *p, struct dashboard_parts *parts)
{
        struct leat_variable_def *variable = &parts->variables[parts->variable_count];
        struct leat_span at;
        if (parts->variable_count == VARIABLES_MAX)
                return leat_sql_unexpected(p, "at most 16 variables");
        LEAT_TRY(leat_sql_name(p, true, "the name of a variable", &variable->name, &at));
        for (uint32_t i = 0; i < parts->variable_count; i++) {
                if (strcmp(parts->variables[i].name, variable->name) == 0)
                        return leat_sql_fail(p->text, at.start, p->err, LEAT_EEXISTS, "variable \"%s\" is given twice",
                                             variable->name);
        }
        for (const char *c = variable->name; *c != 0; c++) {
                if (!isalnum((uint8_t)*c) && *c != '_')
                        return leat_sql_fail(p->text, at.start, p->err, LEAT_EINVAL,
                                             "the name of a variable has letters, digits and _ only");
        }
        if (sql_is(p, 0, "AS"))
                LEAT_TRY(query_text(p, &variable->sql, &parts->variable_at[parts->variable_count]));
        if (leat_sql_accept(p, "DEFAULT")) {
                const struct sql_token *token = sql_peek(p, 0);
                if (token->kind != TOKEN_STRING && token->kind != TOKEN_NUMBER && token->kind != TOKEN_WORD)
                        return leat_sql_unexpected(p, "a value");
                variable->default_value = leat_sql_token_value(p->arena, p->text, token, false);
                p->at++;
        }
        if (variable->sql == NULL && variable->default_value == NULL)
                return leat_sql_unexpected(p, "AS (SELECT ...) or DEFAULT value");
        parts->variable_count++;
        return 0;
}

static int number(struct sql_parser *p, double *ret_value)
{
        double sign = leat_sql_accept_op(p, '-') ? -1 : 1;
        const struct sql_token *token = sql_peek(p, 0);
        if (token->kind != TOKEN_NUMBER)
                return leat_sql_unexpected(p, "a number");
        *ret_value = sign * strtod(leat_sql_token_value(p->arena, p->text, token, false), NULL);
        p->at++;
        return 0;
}

static int place(struct sql_parser *p, int32_t *at)
{
        double value;
        uint32_t start = sql_peek(p, 0)->start;
        LEAT_TRY(leat_sql_expect_op(p, '('));
        for (int i = 0; i < 4; i++) {
                if (i != 0)
                        LEAT_TRY(leat_sql_expect_op(p, ','));
                LEAT_TRY(number(p, &value));
                if (value < 0 || value > GRID_ROWS_MAX)
                        value = -1;
                at[i] = (int32_t)value;
        }
        LEAT_TRY(leat_sql_expect_op(p, ')'));
        if (at[0] < 0 || at[1] < 0 || at[2] < 1 || at[3] < 1 || at[0] + at[2] > GRID_COLUMNS) {
                leat_sql_fail(p->text, start, p->err, LEAT_ERANGE, "AT (x, y, w, h) lies outside the page");
                leat_error_hint(p->err, "A page is 12 columns wide: x + w is at most 12, w and h are at least 1.");
                return LEAT_ERANGE;
        }
        return 0;
}

static int y_list(struct sql_parser *p, struct leat_panel_def *panel)
{
        const char **y = leat_arena_alloc(p->arena, SERIES_MAX * sizeof *y);
        do {
                if (panel->y_count == SERIES_MAX)
                        return leat_sql_unexpected(p, "at most 32 columns");
                LEAT_TRY(leat_sql_name(p, false, "a column", &y[panel->y_count], NULL));
                panel->y_count++;
        } while (leat_sql_accept_op(p, ','));
        panel->y = y;
        return 0;
}

static int panel_clause(struct sql_parser *p, struct leat_panel_def *panel, bool *io_placed)
{
        if (leat_sql_accept(p, "TITLE"))
                return leat_sql_string(p, "a title in quotes", &panel->title);
        if (leat_sql_accept(p, "X"))
                return leat_sql_name(p, false, "a column", &panel->x, NULL);
        if (leat_sql_accept(p, "Y"))
                return y_list(p, panel);
        if (leat_sql_accept(p, "SERIES"))
                return leat_sql_name(p, false, "a column", &panel->series, NULL);
        if (leat_sql_accept(p, "UNIT"))
                return leat_sql_string(p, "a unit in quotes", &panel->unit);
        if (leat_sql_accept(p, "WARN")) {
                panel->has_warn = true;
                return number(p, &panel->warn);
        }
        if (leat_sql_accept(p, "ALARM")) {
                panel->has_alarm = true;
                return number(p, &panel->alarm);
        }
        if (leat_sql_accept(p, "AT")) {
                *io_placed = true;
                return place(p, panel->at);
        }
        for (int type = LEAT_PANEL_LINE; type <= LEAT_PANEL_HEATMAP; type++) {
                if (panel->type == 0 && leat_sql_accept(p, leat_panel_type_name(type))) {
                        panel->type = (uint8_t)type;
                        return 0;
                }
        }
        return leat_sql_unexpected(
                p, "LINE, BAR, TABLE, NUMBER, HEATMAP, TITLE, X, Y, SERIES, UNIT, WARN, ALARM, AT or AS");
}

static int panel_item(struct sql_parser *p, struct dashboard_parts *parts)
{
        uint32_t n = parts->panel_count;
        struct leat_panel_def *panel = &parts->panels[n];
        if (n == PANELS_MAX)
                return leat_sql_unexpected(p, "at most 60 panels");
        LEAT_TRY(leat_sql_name(p, true, "the name of a panel", &panel->name, &parts->panel_at[n].name));
        for (uint32_t i = 0; i < n; i++) {
                if (strcmp(parts->panels[i].name, panel->name) == 0)
                        return leat_sql_fail(p->text, parts->panel_at[n].name.start, p->err, LEAT_EEXISTS,
                                             "panel \"%s\" is given twice", panel->name);
        }
        while (!sql_is(p, 0, "AS"))
                LEAT_TRY(panel_clause(p, panel, &parts->placed[n]));
        if (panel->type == 0)
                return leat_sql_unexpected(p, "LINE, BAR, TABLE, NUMBER or HEATMAP before AS");
        if (panel->title == NULL)
                panel->title = panel->name;
        LEAT_TRY(query_text(p, &panel->sql, &parts->panel_at[n].sql));
        parts->panel_count++;
        return 0;
}

static int dashboard_items(struct sql_parser *p, struct dashboard_parts *parts)
{
        while (!sql_at_end(p)) {
                if (leat_sql_accept(p, "PANEL")) {
                        LEAT_TRY(panel_item(p, parts));
                        leat_sql_accept_op(p, ',');
                } else if (parts->panel_count != 0) {
                        return leat_sql_unexpected(p, "PANEL or the end of the statement");
                } else if (leat_sql_accept(p, "TITLE")) {
                        LEAT_TRY(leat_sql_string(p, "a title in quotes", &parts->title));
                } else if (leat_sql_accept(p, "VARIABLE")) {
                        LEAT_TRY(variable_item(p, parts));
                } else if (leat_sql_accept(p, "REFRESH")) {
                        uint32_t start = sql_peek(p, 0)->start;
                        LEAT_TRY(leat_sql_interval(p, &parts->refresh_us));
                        if (parts->refresh_us < 100000 || parts->refresh_us > 3600000000ll)
                                return leat_sql_fail(p->text, start, p->err, LEAT_ERANGE,
                                                     "REFRESH must be between 100 ms and 1 hour");
                } else {
                        return leat_sql_unexpected(p, "TITLE, VARIABLE, REFRESH or PANEL");
                }
        }
        return parts->panel_count != 0 ? 0 : leat_sql_unexpected(p, "PANEL");
}

static void *copy_array(struct leat_arena *arena, const void *from, size_t bytes)
{
        void *to = leat_arena_alloc(arena, bytes);
        if (bytes != 0)
                memcpy(to, from, bytes);
        return to;
}

int leat_sql_create_dashboard(struct sql_parser *p)
{
        struct dashboard_parts *parts = leat_arena_zalloc(p->arena, sizeof *parts);
        struct leat_dashboard_def *dashboard = leat_arena_zalloc(p->arena, sizeof *dashboard);
        parts->refresh_us = 500000;
        p->stmt->kind = LEAT_STMT_CREATE_DASHBOARD;
        LEAT_TRY(leat_sql_name(p, true, "the name of a dashboard", &p->stmt->name, &p->stmt->name_at));
        LEAT_TRY(dashboard_items(p, parts));
        leat_sql_dashboard_layout(parts->panels, parts->panel_count, parts->placed);
        dashboard->title = parts->title != NULL ? parts->title : p->stmt->name;
        dashboard->refresh_us = parts->refresh_us;
        dashboard->variable_count = parts->variable_count;
        dashboard->variables =
                copy_array(p->arena, parts->variables, parts->variable_count * sizeof parts->variables[0]);
        dashboard->panel_count = parts->panel_count;
        dashboard->panels = copy_array(p->arena, parts->panels, parts->panel_count * sizeof parts->panels[0]);
        p->stmt->dashboard = dashboard;
        p->stmt->panel_at = copy_array(p->arena, parts->panel_at, parts->panel_count * sizeof parts->panel_at[0]);
        p->stmt->variable_at =
                copy_array(p->arena, parts->variable_at, parts->variable_count * sizeof parts->variable_at[0]);
        return 0;
}

/* ---- layout --------------------------------------------------------------------------- */
static void default_size(const struct leat_panel_def *panel, int32_t *ret_w, int32_t *ret_h)
{
        *ret_w = panel->type == LEAT_PANEL_NUMBER ? 3 : panel->type == LEAT_PANEL_HEATMAP ? 12 : 6;
        *ret_h = panel->type == LEAT_PANEL_NUMBER ? 2 : panel->type == LEAT_PANEL_HEATMAP ? 5 : 4;
}

static bool overlaps(const int32_t *a, const int32_t *b)
{
        return a[0] < b[0] + b[2] && b[0] < a[0] + a[2] && a[1] < b[1] + b[3] && b[1] < a[1] + a[3];
}

void leat_sql_dashboard_layout(struct leat_panel_def *panels, uint32_t count, const bool *placed)
{
        bool done[PANELS_MAX] = {false};
        LEAT_ASSERT(count <= PANELS_MAX);
        for (uint32_t i = 0; i < count; i++)
                done[i] = placed != NULL && placed[i];
        for (uint32_t i = 0; i < count; i++) {
                int32_t *at = panels[i].at;
                bool taken = !done[i];
                if (taken)
                        default_size(&panels[i], &at[2], &at[3]);
                /* Ends: below the lowest panel everything is free. */
                for (int32_t spot = 0; taken; spot++) {
                        int32_t across = GRID_COLUMNS / at[2];
                        at[0] = spot % across * at[2];
                        at[1] = spot / across;
                        taken = false;
                        for (uint32_t k = 0; k < count && !taken; k++)
                                taken = done[k] && overlaps(at, panels[k].at);
                }
                done[i] = true;
        }
}
