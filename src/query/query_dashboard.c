/* SPDX-License-Identifier: Apache-2.0 */
/* leat/query: DESCRIBE DASHBOARD: the definition as JSON, for the page that draws it (src/api/README.md). */
#include "query_int.h"

static void text_field(struct leat_buf *out, const char *name, const char *text)
{
        leat_buf_printf(out, ",\"%s\":", name);
        if (text != NULL)
                leat_buf_json_str(out, leat_view_str(text));
        else
                leat_buf_add_str(out, "null");
}

static void number_field(struct leat_buf *out, const char *name, bool is_set, double value)
{
        if (is_set)
                leat_buf_printf(out, ",\"%s\":%.17g", name, value);
        else
                leat_buf_printf(out, ",\"%s\":null", name);
}

static void variable_json(const struct leat_variable_def *variable, struct leat_buf *out)
{
        leat_buf_add_str(out, "{\"name\":");
        leat_buf_json_str(out, leat_view_str(variable->name));
        text_field(out, "sql", variable->sql);
        text_field(out, "default", variable->default_value);
        leat_buf_u8(out, '}');
}

static void panel_json(const struct leat_panel_def *panel, struct leat_buf *out)
{
        static const char *const types[] = {[LEAT_PANEL_LINE] = "line",
                                            [LEAT_PANEL_BAR] = "bar",
                                            [LEAT_PANEL_TABLE] = "table",
                                            [LEAT_PANEL_NUMBER] = "number",
                                            [LEAT_PANEL_HEATMAP] = "heatmap"};
        const char *type = panel->type < LEAT_ARRAY_LEN(types) ? types[panel->type] : NULL;
        leat_buf_add_str(out, "{\"name\":");
        leat_buf_json_str(out, leat_view_str(panel->name));
        text_field(out, "title", panel->title);
        text_field(out, "type", type != NULL ? type : "table");
        text_field(out, "sql", panel->sql);
        text_field(out, "x", panel->x);
        leat_buf_add_str(out, ",\"y\":[");
        for (uint32_t i = 0; i < panel->y_count; i++) {
                if (i != 0)
                        leat_buf_u8(out, ',');
                leat_buf_json_str(out, leat_view_str(panel->y[i]));
        }
        leat_buf_u8(out, ']');
        text_field(out, "series", panel->series);
        text_field(out, "unit", panel->unit);
        number_field(out, "warn", panel->has_warn, panel->warn);
        number_field(out, "alarm", panel->has_alarm, panel->alarm);
        leat_buf_printf(out, ",\"at\":[%d,%d,%d,%d]}", panel->at[0], panel->at[1], panel->at[2], panel->at[3]);
}

void leat_query_dashboard_json(const struct leat_dashboard_def *def, struct leat_buf *out)
{
        leat_buf_add_str(out, "{\"title\":");
        leat_buf_json_str(out, leat_view_str(def->title != NULL ? def->title : ""));
        leat_buf_printf(out, ",\"refresh_ms\":%lld,\"variables\":[", (long long)(def->refresh_us / 1000));
        for (uint32_t i = 0; i < def->variable_count; i++) {
                if (i != 0)
                        leat_buf_u8(out, ',');
                variable_json(&def->variables[i], out);
        }
        leat_buf_add_str(out, "],\"panels\":[");
        for (uint32_t i = 0; i < def->panel_count; i++) {
                if (i != 0)
                        leat_buf_u8(out, ',');
                panel_json(&def->panels[i], out);
        }
        leat_buf_add_str(out, "]}");
}
