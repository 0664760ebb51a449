/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/sql: REPLAY QUARANTINE OF topic [USING expression] [WHERE condition].
 *
 * The user's two pieces are put into a SELECT over "<topic>$quarantine"; the map
 * keeps their places, so that mistakes in them have theirs.
 */
#include "sql_int.h"

#define COLUMNS "SELECT \"partition\", \"offset\", \"key\", \"value\", \"timestamp\", "

static int replay_topic(struct sql_rewrite *rw, const struct leat_stmt *stmt, const struct leat_object **ret_topic)
{
        const struct leat_sql_map *user =
                leat_sql_map_span(rw->arena, stmt->text, (struct leat_span){0, (uint32_t)stmt->text.len});
        struct sql_relation relation;
        LEAT_TRY(leat_sql_relation_find(rw, "", stmt->name, user, stmt->name_at.start, &relation));
        if (relation.kind != LEAT_SCAN_TOPIC) {
                leat_sql_map_fail(user, stmt->name_at.start, rw->err, LEAT_EUNSUPPORTED,
                                  "\"%s\" is no topic with columns", stmt->name);
                leat_error_hint(rw->err, "Name the topic whose quarantine is meant.");
                return LEAT_EUNSUPPORTED;
        }
        if (relation.object->topic->key_count != 0) {
                leat_sql_map_fail(user, stmt->name_at.start, rw->err, LEAT_EUNSUPPORTED,
                                  "the quarantine of a topic with a PRIMARY KEY cannot be played back: an old record "
                                  "would take the place of newer ones");
                leat_error_hint(rw->err, "INSERT the rows that are still wanted.");
                return LEAT_EUNSUPPORTED;
        }
        *ret_topic = relation.object;
        return 0;
}

/* The SELECT: the user's text from USING's expression to the end of WHERE's condition, with ours around it. */
static const struct leat_sql_map *replay_select(struct leat_arena *arena, const struct leat_stmt *stmt,
                                                const char *name)
{
        const struct leat_span *with = &stmt->using_at, *where = &stmt->where_at;
        struct leat_span span = {.start = stmt->name_at.start};
        struct sql_edits edits = {.arena = arena};
        struct leat_buf from = LEAT_BUF_INIT, relation = LEAT_BUF_INIT;
        leat_buf_printf(&relation, "%s$quarantine", name);
        leat_buf_add_str(&from, " AS leat_value FROM ");
        leat_sql_quote_name(&from, leat_buf_cstr(&relation));
        leat_buf_printf(&from, " WHERE \"replayed\" IS NULL%s", where->len != 0 ? " AND (" : "");
        const char *middle = leat_arena_strdup(arena, leat_buf_cstr(&from));
        const char *end = where->len != 0 ? ") ORDER BY 1, 2" : " ORDER BY 1, 2";
        if (with->len != 0 || where->len != 0) {
                span.start = with->len != 0 ? with->start : where->start;
                span.len = (where->len != 0 ? where->start + where->len : with->start + with->len) - span.start;
        }
        uint32_t with_end = with->len != 0 ? with->len : 0,
                 where_at = where->len != 0 ? where->start - span.start : span.len;
        leat_sql_edit_replace(&edits, 0, 0,
                              leat_arena_printf(arena, COLUMNS "%s%s%s", with->len != 0 ? "(" : "CAST(NULL AS VARCHAR)",
                                                with->len != 0 ? "" : middle, span.len == 0 ? end : ""));
        if (with->len != 0 && where->len == 0) {
                end = leat_arena_printf(arena, ")%s%s", middle, end);
        } else if (with->len != 0) {
                leat_sql_edit_replace(&edits, with_end, where_at, leat_arena_printf(arena, ")%s", middle));
        }
        if (span.len != 0)
                leat_sql_edit_replace(&edits, span.len, span.len, end);
        leat_buf_done(&from);
        leat_buf_done(&relation);
        return leat_sql_map_edit(arena, leat_sql_map_span(arena, stmt->text, span), edits.list);
}

int leat_sql_replay(struct leat_sql_env *env, struct leat_arena *arena, const struct leat_stmt *stmt,
                    struct leat_sql_query *ret_query, const struct leat_object **ret_topic, struct leat_error *err)
{
        struct sql_rewrite rw;
        LEAT_TRY(leat_sql_begin(&rw, env, arena, err));
        LEAT_TRY(replay_topic(&rw, stmt, ret_topic));
        LEAT_TRY(leat_sql_select_map(&rw, replay_select(arena, stmt, (*ret_topic)->name), ret_query));
        const struct leat_type *type = &ret_query->column_types[5];
        if (type->id != LEAT_T_VARCHAR && type->id != LEAT_T_BLOB && stmt->using_at.len != 0) {
                leat_sql_fail(stmt->text, stmt->using_at.start, err, LEAT_ETYPE,
                              "USING must give the record's new value as TEXT or BYTEA");
                leat_error_hint(err, "decode(value) is the old value as TEXT.");
                return LEAT_ETYPE;
        }
        if (ret_query->param_count != 0)
                return leat_sql_fail(stmt->text, stmt->at.start, err, LEAT_EUNSUPPORTED, "REPLAY takes no parameters");
        return 0;
}
