/* SPDX-License-Identifier: Apache-2.0 */
/* leat/catalog: finding things by name in a snapshot, and the names of kinds and states. No I/O, no SQLite. */
#include <strings.h>

#include "leat/catalog.h"

const struct leat_object *leat_snapshot_find(const struct leat_snapshot *snapshot, const char *name, bool dashboard)
{
        const struct leat_object *near = NULL;
        uint32_t near_count = 0;
        for (uint32_t i = 0; i < snapshot->object_count; i++) {
                const struct leat_object *object = &snapshot->objects[i];
                if ((object->kind == LEAT_OBJECT_DASHBOARD) != dashboard || strcasecmp(object->name, name) != 0)
                        continue;
                if (strcmp(object->name, name) == 0)
                        return object;
                near = object;
                near_count++;
        }
        return near_count == 1 ? near : NULL;
}

const struct leat_object *leat_snapshot_get(const struct leat_snapshot *snapshot, uint64_t id)
{
        for (uint32_t i = 0; i < snapshot->object_count; i++) {
                if (snapshot->objects[i].id == id)
                        return &snapshot->objects[i];
        }
        return NULL;
}

int leat_columns_find(const struct leat_column_def *columns, uint32_t count, const char *name)
{
        int near = -1;
        for (uint32_t i = 0; i < count; i++) {
                if (strcmp(columns[i].name, name) == 0)
                        return (int)i;
                if (near < 0 && strcasecmp(columns[i].name, name) == 0)
                        near = (int)i;
        }
        return near;
}

const char *leat_object_kind_name(int kind)
{
        static const char *const names[] = {"object", "topic", "view", "materialized view", "dashboard"};
        return kind >= 0 && kind < (int)LEAT_ARRAY_LEN(names) ? names[kind] : names[0];
}

const char *leat_object_state_name(int state)
{
        static const char *const names[] = {"unknown", "creating", "ready", "dropping", "failed"};
        return state >= 0 && state < (int)LEAT_ARRAY_LEN(names) ? names[state] : names[0];
}

const char *leat_panel_type_name(int type)
{
        static const char *const names[] = {"?", "LINE", "BAR", "TABLE", "NUMBER", "HEATMAP"};
        return type >= 0 && type < (int)LEAT_ARRAY_LEN(names) ? names[type] : names[0];
}

const char *leat_job_state_name(int state)
{
        static const char *const names[] = {"unknown", "running", "filling", "paused", "failed", "down", "starting"};
        return state >= 0 && state < (int)LEAT_ARRAY_LEN(names) ? names[state] : names[0];
}
