/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/sql: CREATE DASHBOARD, and SHOW CREATE of all kinds.
 *
 * Every query of a dashboard is checked before it is stored, its errors stand at
 * their place in the statement: a panel's own position is that of its text, so
 * the place of the text is added. Columns named by X, Y and SERIES must be there.
 */
#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

#include "sql_ddl_int.h"

/* Moves a position inside @sql to the statement's text. */
static void move_error(struct ddl *d, struct leat_span sql)
{
        if (d->err == NULL)
                return;
        int start = leat_sql_position(d->stmt->text, sql.start);
        d->err->position = d->err->position > 0 ? start + d->err->position - 1 : start;
}

static int check_column(struct ddl *d, const struct leat_sql_query *query, const char *name, const char *clause,
                        struct leat_span at)
{
        for (uint32_t i = 0; i < query->column_count && name != NULL; i++) {
                if (strcasecmp(query->column_names[i], name) == 0)
                        return 0;
        }
        if (name == NULL)
                return 0;
        const char *near = leat_sql_suggest(name, query->column_names, query->column_count);
        leat_ddl_fail(d, at, LEAT_ENOCOLUMN, NULL, "the panel's query has no column \"%s\" (%s)", name, clause);
        if (near != NULL)
                leat_error_hint(d->err, "Did you mean \"%s\"?", near);
        return LEAT_ENOCOLUMN;
}

struct used_list {
        struct leat_sql_used *used;
        uint32_t count, cap;
};

static void add_used(struct ddl *d, struct used_list *list, const struct leat_sql_query *query)
{
        if (list->count + query->used_count > list->cap) {
                uint32_t cap = 2 * (list->count + query->used_count);
                struct leat_sql_used *more = leat_arena_alloc(d->arena, cap * sizeof *more);
                if (list->count != 0)
                        memcpy(more, list->used, list->count * sizeof *more);
                list->used = more;
                list->cap = cap;
        }
        if (query->used_count != 0)
                memcpy(list->used + list->count, query->used, query->used_count * sizeof *list->used);
        list->count += query->used_count;
}

static int check_panel(struct ddl *d, uint32_t n, const char *const *names, struct used_list *list)
{
        const struct leat_dashboard_def *def = d->stmt->dashboard;
        const struct leat_panel_def *panel = &def->panels[n];
        struct leat_span at = d->stmt->panel_at[n].name;
        struct leat_sql_query query;
        int rc = leat_sql_panel(d->ctx->env, d->arena, leat_view_str(panel->sql), names, def->variable_count, &query,
                                d->err);
        if (rc != 0) {
                move_error(d, d->stmt->panel_at[n].sql);
                return rc;
        }
        LEAT_TRY(check_column(d, &query, panel->x, "X", at));
        for (uint32_t i = 0; i < panel->y_count; i++)
                LEAT_TRY(check_column(d, &query, panel->y[i], "Y", at));
        LEAT_TRY(check_column(d, &query, panel->series, "SERIES", at));
        add_used(d, list, &query);
        return 0;
}

int leat_ddl_create_dashboard(struct ddl *d)
{
        const struct leat_object *old = leat_ddl_object(d, true);
        const struct leat_dashboard_def *def = d->stmt->dashboard;
        struct used_list list = {0};
        if (old != NULL && d->stmt->if_not_exists) {
                leat_ddl_notice(d, "dashboard \"%s\" already exists, skipping", old->name);
                return 0;
        }
        if (old != NULL && !d->stmt->or_replace)
                return leat_ddl_fail(d, d->stmt->name_at, LEAT_EEXISTS, "Write CREATE OR REPLACE DASHBOARD.",
                                     "dashboard \"%s\" already exists", old->name);
        for (const char *c = d->stmt->name; *c != 0; c++) {
                if (strchr("/?#%&\"'<>", *c) != NULL)
                        return leat_ddl_fail(
                                d, d->stmt->name_at, LEAT_EINVAL, NULL,
                                "the name of a dashboard is part of its address and cannot have \"%c\" in it", *c);
        }
        const char **names = leat_arena_alloc(d->arena, (def->variable_count + 1) * sizeof *names);
        for (uint32_t i = 0; i < def->variable_count; i++)
                names[i] = def->variables[i].name;
        for (uint32_t i = 0; i < def->variable_count; i++) {
                struct leat_sql_query query;
                if (def->variables[i].sql == NULL)
                        continue;
                int rc = leat_sql_panel(d->ctx->env, d->arena, leat_view_str(def->variables[i].sql), names, 0, &query,
                                        d->err);
                if (rc != 0) {
                        move_error(d, d->stmt->variable_at[i]);
                        return rc;
                }
                add_used(d, &list, &query);
        }
        for (uint32_t i = 0; i < def->panel_count; i++)
                LEAT_TRY(check_panel(d, i, names, &list));
        if (d->check_only)
                return 0;
        struct leat_object object = {
                .id = old != NULL ? old->id : 0,
                .kind = LEAT_OBJECT_DASHBOARD,
                .state = LEAT_STATE_READY,
                .name = old != NULL ? old->name : d->stmt->name,
                .sql = leat_ddl_text(d),
                .dashboard = def,
        };
        object.reads = leat_ddl_reads(d, list.used, list.count, &object.read_count);
        return leat_ddl_put(d, &object, 0, 0);
}

/* ---- SHOW CREATE -------------------------------------------------------------------------- */
static void put_text(struct leat_buf *out, const char *text)
{
        leat_sql_quote_text(out, leat_view_str(text));
}

static void put_duration(struct leat_buf *out, int64_t us)
{
        static const struct {
                int64_t us;
                const char *name;
        } units[] = {{86400000000, "day"}, {3600000000, "hour"}, {60000000, "minute"}, {1000000, "second"}};
        for (size_t i = 0; i < LEAT_ARRAY_LEN(units); i++) {
                if (us != 0 && us % units[i].us == 0) {
                        leat_buf_printf(out, "'%" PRId64 " %s%s'", us / units[i].us, units[i].name,
                                        us == units[i].us ? "" : "s");
                        return;
                }
        }
        if (us % 1000 == 0)
                leat_buf_printf(out, "'%" PRId64 " ms'", us / 1000);
        else
                leat_buf_printf(out, "'%" PRId64 " us'", us);
}

static void show_columns(const struct leat_topic_def *def, struct leat_buf *out)
{
        leat_buf_add_str(out, " (");
        for (uint32_t i = 0; i < def->column_count; i++) {
                const struct leat_column_def *column = &def->columns[i];
                bool key = false;
                for (uint32_t k = 0; k < def->key_count; k++)
                        key |= def->keys[k] == i;
                leat_buf_add_str(out, i != 0 ? ",\n    " : "\n    ");
                leat_sql_quote_name(out, column->name);
                leat_buf_u8(out, ' ');
                leat_type_print(&column->type, out);
                leat_buf_add_str(out, key && def->key_count == 1 ? " PRIMARY KEY"
                                      : column->not_null && !key ? " NOT NULL"
                                                                 : "");
        }
        for (uint32_t k = 0; k < def->key_count && def->key_count > 1; k++) {
                leat_buf_add_str(out, k != 0 ? ", " : ",\n    PRIMARY KEY (");
                leat_sql_quote_name(out, def->columns[def->keys[k]].name);
                leat_buf_add_str(out, k + 1 == def->key_count ? ")" : "");
        }
        if (def->watermark_column >= 0) {
                const char *name = def->columns[def->watermark_column].name;
                leat_buf_add_str(out, ",\n    WATERMARK FOR ");
                leat_sql_quote_name(out, name);
                leat_buf_add_str(out, " AS ");
                leat_sql_quote_name(out, name);
                if (def->watermark_delay_us != 0) {
                        leat_buf_add_str(out, " - INTERVAL ");
                        put_duration(out, def->watermark_delay_us);
                }
        }
        leat_buf_add_str(out, "\n)");
}

static void show_topic(const struct leat_object *object, struct leat_buf *out)
{
        const struct leat_topic_def *def = object->topic;
        leat_buf_add_str(out, "CREATE TOPIC ");
        leat_sql_quote_name(out, object->name);
        show_columns(def, out);
        leat_buf_printf(out, "\nWITH (format = '%s', partitions = %d", def->format == LEAT_FORMAT_RAW ? "raw" : "json",
                        def->partitions);
        if (def->retention_us >= 0) {
                leat_buf_add_str(out, ", retention = ");
                put_duration(out, def->retention_us);
        }
        if (def->retention_bytes >= 0)
                leat_buf_printf(out, ", retention_bytes = %" PRId64, def->retention_bytes);
        if (def->watermark_column >= 0) {
                leat_buf_add_str(out, ", idle_timeout = ");
                put_duration(out, def->idle_timeout_us);
                leat_buf_add_str(out, ", max_ahead = ");
                put_duration(out, def->max_ahead_us);
        }
        leat_buf_add_str(out, ")");
}

static void show_view_options(const struct leat_view_def *def, struct leat_buf *out)
{
        char stamp[LEAT_TIME_TEXT_MAX];
        leat_buf_add_str(out, "\nWITH (pipeline = ");
        put_text(out, def->pipeline);
        if (def->start == LEAT_START_LATEST)
                leat_buf_add_str(out, ", start = 'latest'");
        if (def->start == LEAT_START_TIME) {
                leat_time_format(def->start_us, stamp);
                leat_buf_printf(out, ", start = '%s'", stamp);
        }
        if (def->late == LEAT_LATE_GRACE) {
                struct leat_buf length = LEAT_BUF_INIT;
                put_duration(&length, def->grace_us);
                leat_buf_printf(out, ", late = 'grace %s", leat_buf_cstr(&length) + 1);
                leat_buf_done(&length);
        } else {
                leat_buf_printf(out, ", late = '%s'",
                                def->late == LEAT_LATE_DROP     ? "drop"
                                : def->late == LEAT_LATE_REEMIT ? "reemit"
                                                                : "apply");
        }
        if (def->retention_us > 0) {
                leat_buf_add_str(out, ", retention = ");
                put_duration(out, def->retention_us);
        }
        if (def->max_state_bytes > 0)
                leat_buf_printf(out, ", max_state = %" PRId64, def->max_state_bytes);
        leat_buf_add_str(out, ")");
}

static void show_view(const struct leat_object *object, struct leat_buf *out)
{
        const struct leat_view_def *def = object->view;
        bool materialized = object->kind == LEAT_OBJECT_MATVIEW;
        leat_buf_add_str(out, materialized ? "CREATE MATERIALIZED VIEW " : "CREATE VIEW ");
        leat_sql_quote_name(out, object->name);
        for (uint32_t i = 0; i < def->column_count; i++) {
                leat_buf_add_str(out, i != 0 ? ", " : " (");
                leat_sql_quote_name(out, def->columns[i].name);
        }
        leat_buf_add_str(out, ")");
        if (materialized)
                show_view_options(def, out);
        leat_buf_add_str(out, "\nAS ");
        leat_buf_add_view(out, def->body);
        if (materialized)
                leat_buf_add_str(out,
                                 def->emit == LEAT_EMIT_ON_WINDOW_CLOSE ? "\nEMIT ON WINDOW CLOSE" : "\nEMIT CHANGES");
}

static void show_panel(const struct leat_panel_def *panel, struct leat_buf *out)
{
        leat_buf_add_str(out, "\nPANEL ");
        leat_sql_quote_name(out, panel->name);
        leat_buf_add_str(out, " TITLE ");
        put_text(out, panel->title);
        leat_buf_printf(out, " %s", leat_panel_type_name(panel->type));
        if (panel->x != NULL) {
                leat_buf_add_str(out, " X ");
                leat_sql_quote_name(out, panel->x);
        }
        for (uint32_t i = 0; i < panel->y_count; i++) {
                leat_buf_add_str(out, i != 0 ? ", " : " Y ");
                leat_sql_quote_name(out, panel->y[i]);
        }
        if (panel->series != NULL) {
                leat_buf_add_str(out, " SERIES ");
                leat_sql_quote_name(out, panel->series);
        }
        if (panel->unit != NULL) {
                leat_buf_add_str(out, " UNIT ");
                put_text(out, panel->unit);
        }
        if (panel->has_warn)
                leat_buf_printf(out, " WARN %.15g", panel->warn);
        if (panel->has_alarm)
                leat_buf_printf(out, " ALARM %.15g", panel->alarm);
        leat_buf_printf(out, " AT (%d, %d, %d, %d) AS (\n  %s\n)", panel->at[0], panel->at[1], panel->at[2],
                        panel->at[3], panel->sql);
}

static void show_dashboard(const struct leat_object *object, struct leat_buf *out)
{
        const struct leat_dashboard_def *def = object->dashboard;
        leat_buf_add_str(out, "CREATE DASHBOARD ");
        leat_sql_quote_name(out, object->name);
        leat_buf_add_str(out, " TITLE ");
        put_text(out, def->title);
        for (uint32_t i = 0; i < def->variable_count; i++) {
                leat_buf_add_str(out, "\nVARIABLE ");
                leat_sql_quote_name(out, def->variables[i].name);
                if (def->variables[i].sql != NULL)
                        leat_buf_printf(out, " AS (\n  %s\n)", def->variables[i].sql);
                if (def->variables[i].default_value != NULL) {
                        leat_buf_add_str(out, " DEFAULT ");
                        put_text(out, def->variables[i].default_value);
                }
        }
        leat_buf_add_str(out, "\nREFRESH ");
        put_duration(out, def->refresh_us);
        for (uint32_t i = 0; i < def->panel_count; i++)
                show_panel(&def->panels[i], out);
}

void leat_sql_show_create(const struct leat_object *object, struct leat_buf *out)
{
        switch (object->kind) {
        case LEAT_OBJECT_TOPIC:
                show_topic(object, out);
                break;
        case LEAT_OBJECT_VIEW:
        case LEAT_OBJECT_MATVIEW:
                show_view(object, out);
                break;
        default:
                show_dashboard(object, out);
                break;
        }
}
