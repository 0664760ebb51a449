/* SPDX-License-Identifier: Apache-2.0 */
/* leat/sql: grammar of CREATE TOPIC and views, ALTER, DROP. */
#include <stdio.h>
#include <strings.h>

#include "sql_parse_int.h"

#define COLUMNS_MAX 1000

/* ---- columns ------------------------------------------------------------------- */
/* The words of a type: up to "," or ")" outside parentheses, or a constraint. */
static int column_type(struct sql_parser *p, struct leat_sql_column *column)
{
        static const char *const ends[] = {"NOT",    "NULL",       "PRIMARY", "DEFAULT",   "CHECK", "REFERENCES",
                                           "UNIQUE", "CONSTRAINT", "COLLATE", "GENERATED", "AS"};
        uint32_t first = p->at, depth = 0;
        for (; !sql_at_end(p); p->at++) {
                bool stop = depth == 0 && (sql_is_op(p, 0, ',') || sql_is_op(p, 0, ')'));
                for (size_t i = 0; i < LEAT_ARRAY_LEN(ends) && depth == 0; i++)
                        stop |= sql_is(p, 0, ends[i]);
                if (stop)
                        break;
                depth += sql_is_op(p, 0, '(');
                depth -= depth != 0 && sql_is_op(p, 0, ')');
        }
        if (p->at == first)
                return leat_sql_unexpected(p, "a type");
        const struct sql_token *from = &p->tokens[first], *to = &p->tokens[p->at - 1];
        struct leat_view text = leat_view_of(p->text.data + from->start, to->start + to->len - from->start);
        int rc = leat_type_parse(p->arena, text, &column->type, p->err);
        if (rc != 0 && p->err != NULL)
                p->err->position = leat_sql_position(p->text, from->start);
        return rc;
}

int leat_sql_column_item(struct sql_parser *p, struct leat_sql_column *ret_column, bool *ret_key)
{
        struct leat_sql_column column = {0};
        *ret_key = false;
        LEAT_TRY(leat_sql_name(p, false, "a column", &column.name, &column.at));
        LEAT_TRY(column_type(p, &column));
        while (!sql_at_end(p) && !sql_is_op(p, 0, ',') && !sql_is_op(p, 0, ')')) {
                if (leat_sql_accept(p, "NOT")) {
                        LEAT_TRY(leat_sql_expect(p, "NULL"));
                        column.not_null = true;
                } else if (leat_sql_accept(p, "PRIMARY")) {
                        LEAT_TRY(leat_sql_expect(p, "KEY"));
                        *ret_key = column.not_null = true;
                } else if (!leat_sql_accept(p, "NULL")) {
                        return leat_sql_unexpected(p,
                                                   "NOT NULL, PRIMARY KEY or \",\": topics have no other constraints");
                }
        }
        *ret_column = column;
        return 0;
}

struct topic_items {
        struct leat_sql_column *columns;
        uint32_t count, cap;
        uint32_t keys[16];
        uint32_t key_count;
        struct leat_span key_names_at[16];
        const char *key_names[16];
        bool key_given;
        const char *watermark_name;
};

/* WATERMARK FOR column AS column [- INTERVAL '…'] */
static int watermark_item(struct sql_parser *p, struct topic_items *items)
{
        const char *again;
        struct leat_span again_at;
        if (items->watermark_name != NULL)
                return leat_sql_unexpected(p, "one WATERMARK only");
        p->at++;
        LEAT_TRY(leat_sql_expect(p, "FOR"));
        LEAT_TRY(leat_sql_name(p, false, "a column", &items->watermark_name, &p->stmt->watermark_at));
        LEAT_TRY(leat_sql_expect(p, "AS"));
        LEAT_TRY(leat_sql_name(p, false, "the same column", &again, &again_at));
        if (strcasecmp(again, items->watermark_name) != 0) {
                leat_sql_fail(p->text, again_at.start, p->err, LEAT_EUNSUPPORTED,
                              "the watermark of \"%s\" must be computed from the same column", items->watermark_name);
                leat_error_hint(p->err, "Write WATERMARK FOR %s AS %s - INTERVAL '5 seconds'.", items->watermark_name,
                                items->watermark_name);
                return LEAT_EUNSUPPORTED;
        }
        if (leat_sql_accept_op(p, '-'))
                return leat_sql_interval(p, &p->stmt->watermark_delay_us);
        return 0;
}

static int key_item(struct sql_parser *p, struct topic_items *items)
{
        if (items->key_given)
                return leat_sql_unexpected(p, "one PRIMARY KEY only");
        items->key_given = true;
        p->at += 2;
        LEAT_TRY(leat_sql_expect_op(p, '('));
        do {
                uint32_t n = items->key_count;
                if (n == LEAT_ARRAY_LEN(items->keys))
                        return leat_sql_unexpected(p, "at most 16 key columns");
                LEAT_TRY(leat_sql_name(p, false, "a column", &items->key_names[n], &items->key_names_at[n]));
                items->key_count++;
        } while (leat_sql_accept_op(p, ','));
        return leat_sql_expect_op(p, ')');
}

static int plain_column(struct sql_parser *p, struct topic_items *items)
{
        struct leat_sql_column column;
        bool key;
        uint32_t start = sql_peek(p, 0)->start;
        LEAT_TRY(leat_sql_column_item(p, &column, &key));
        for (uint32_t i = 0; i < items->count; i++) {
                if (strcasecmp(items->columns[i].name, column.name) == 0)
                        return leat_sql_fail(p->text, start, p->err, LEAT_EEXISTS, "column \"%s\" is given twice",
                                             column.name);
        }
        if (items->count == COLUMNS_MAX)
                return leat_sql_fail(p->text, start, p->err, LEAT_ETOOBIG, "more than %d columns", COLUMNS_MAX);
        if (key && items->key_given) {
                leat_sql_fail(p->text, start, p->err, LEAT_ESYNTAX, "a second PRIMARY KEY");
                leat_error_hint(p->err,
                                "For a key of several columns write PRIMARY KEY (a, b) at the end of the list.");
                return LEAT_ESYNTAX;
        }
        if (key) {
                items->key_given = true;
                items->key_names[0] = column.name;
                items->key_names_at[0] = column.at;
                items->key_count = 1;
        }
        if (items->count == items->cap) {
                uint32_t cap = items->cap != 0 ? items->cap * 2 : 16;
                struct leat_sql_column *more = leat_arena_alloc(p->arena, cap * sizeof *more);
                if (items->count != 0)
                        memcpy(more, items->columns, items->count * sizeof *more);
                items->columns = more;
                items->cap = cap;
        }
        items->columns[items->count++] = column;
        return 0;
}

static int find_column(struct sql_parser *p, const struct topic_items *items, const char *name, struct leat_span at,
                       uint32_t *ret_index)
{
        for (uint32_t i = 0; i < items->count; i++) {
                if (strcasecmp(items->columns[i].name, name) == 0) {
                        *ret_index = i;
                        return 0;
                }
        }
        return leat_sql_fail(p->text, at.start, p->err, LEAT_ENOCOLUMN, "column \"%s\" is not in the list", name);
}

/* Names of keys and watermark to indexes, once all columns are known. */
static int resolve_items(struct sql_parser *p, struct topic_items *items)
{
        struct leat_stmt *stmt = p->stmt;
        uint32_t index;
        uint32_t *keys = leat_arena_alloc(p->arena, items->key_count * sizeof *keys);
        for (uint32_t i = 0; i < items->key_count; i++) {
                LEAT_TRY(find_column(p, items, items->key_names[i], items->key_names_at[i], &keys[i]));
                for (uint32_t k = 0; k < i; k++) {
                        if (keys[k] == keys[i])
                                return leat_sql_fail(p->text, items->key_names_at[i].start, p->err, LEAT_ESYNTAX,
                                                     "column \"%s\" is twice in the key", items->key_names[i]);
                }
                items->columns[keys[i]].not_null = true;
        }
        if (items->watermark_name != NULL) {
                LEAT_TRY(find_column(p, items, items->watermark_name, stmt->watermark_at, &index));
                uint8_t type = items->columns[index].type.id;
                if (type != LEAT_T_TIMESTAMP && type != LEAT_T_TIMESTAMPTZ)
                        return leat_sql_fail(p->text, stmt->watermark_at.start, p->err, LEAT_ETYPE,
                                             "the watermark column \"%s\" must be a TIMESTAMPTZ or TIMESTAMP",
                                             items->watermark_name);
                stmt->watermark_column = (int32_t)index;
        }
        stmt->columns = items->columns;
        stmt->column_count = items->count;
        stmt->keys = keys;
        stmt->key_count = items->key_count;
        return 0;
}

static int create_topic(struct sql_parser *p)
{
        struct topic_items items = {0};
        p->stmt->kind = LEAT_STMT_CREATE_TOPIC;
        LEAT_TRY(leat_sql_relation_name(p, "the name of a topic"));
        if (leat_sql_accept_op(p, '(')) {
                do {
                        if (sql_is(p, 0, "WATERMARK") && sql_is(p, 1, "FOR"))
                                LEAT_TRY(watermark_item(p, &items));
                        else if (sql_is(p, 0, "PRIMARY") && sql_is(p, 1, "KEY"))
                                LEAT_TRY(key_item(p, &items));
                        else
                                LEAT_TRY(plain_column(p, &items));
                } while (leat_sql_accept_op(p, ','));
                LEAT_TRY(leat_sql_expect_op(p, ')'));
        }
        LEAT_TRY(resolve_items(p, &items));
        if (leat_sql_accept(p, "WITH"))
                LEAT_TRY(leat_sql_option_list(p));
        return leat_sql_expect_end(p);
}

/* ---- views ---------------------------------------------------------------------- */
static int column_names(struct sql_parser *p)
{
        struct leat_sql_column columns[256];
        uint32_t count = 0;
        do {
                if (count == LEAT_ARRAY_LEN(columns))
                        return leat_sql_unexpected(p, "at most 256 columns");
                columns[count] = (struct leat_sql_column){0};
                LEAT_TRY(leat_sql_name(p, false, "a column", &columns[count].name, &columns[count].at));
                for (uint32_t i = 0; i < count; i++) {
                        if (strcasecmp(columns[i].name, columns[count].name) == 0)
                                return leat_sql_fail(p->text, columns[count].at.start, p->err, LEAT_EEXISTS,
                                                     "column \"%s\" is given twice", columns[count].name);
                }
                count++;
        } while (leat_sql_accept_op(p, ','));
        LEAT_TRY(leat_sql_expect_op(p, ')'));
        struct leat_sql_column *copy = leat_arena_alloc(p->arena, count * sizeof *copy);
        memcpy(copy, columns, count * sizeof *copy);
        p->stmt->columns = copy;
        p->stmt->column_count = count;
        return 0;
}

static int create_view(struct sql_parser *p, bool materialized)
{
        p->stmt->kind = materialized ? LEAT_STMT_CREATE_MATVIEW : LEAT_STMT_CREATE_VIEW;
        LEAT_TRY(leat_sql_relation_name(p, "the name of a view"));
        if (leat_sql_accept_op(p, '('))
                LEAT_TRY(column_names(p));
        if (sql_is(p, 0, "WITH") && !materialized)
                return leat_sql_unexpected(p, "AS: a plain view has no options");
        if (leat_sql_accept(p, "WITH"))
                LEAT_TRY(leat_sql_option_list(p));
        LEAT_TRY(leat_sql_expect(p, "AS"));
        LEAT_TRY(leat_sql_body(p, materialized));
        return leat_sql_expect_end(p);
}

/* ---- CREATE -------------------------------------------------------------------------- */
int leat_sql_create(struct sql_parser *p)
{
        struct leat_stmt *stmt = p->stmt;
        bool dashboard, topic, view, materialized = false;
        if (leat_sql_accept(p, "OR")) {
                LEAT_TRY(leat_sql_expect(p, "REPLACE"));
                stmt->or_replace = true;
        }
        topic = leat_sql_accept(p, "TOPIC");
        dashboard = !topic && leat_sql_accept(p, "DASHBOARD");
        if (!topic && !dashboard && leat_sql_accept(p, "MATERIALIZED")) {
                LEAT_TRY(leat_sql_expect(p, "VIEW"));
                materialized = true;
        }
        view = materialized || leat_sql_accept(p, "VIEW");
        if (!topic && !dashboard && !view) {
                LEAT_TRY(leat_sql_refuse(p, "CREATE"));
                return leat_sql_unexpected(p, "TOPIC, VIEW, MATERIALIZED VIEW or DASHBOARD");
        }
        if (sql_is(p, 0, "IF") && sql_is(p, 1, "NOT")) {
                if (stmt->or_replace)
                        return leat_sql_unexpected(p, "either OR REPLACE or IF NOT EXISTS");
                p->at += 2;
                LEAT_TRY(leat_sql_expect(p, "EXISTS"));
                stmt->if_not_exists = true;
        }
        if (topic)
                return create_topic(p);
        return dashboard ? leat_sql_create_dashboard(p) : create_view(p, materialized);
}

/* ---- ALTER, DROP --------------------------------------------------------------------------- */
static int if_exists(struct sql_parser *p)
{
        if (!sql_is(p, 0, "IF") || !sql_is(p, 1, "EXISTS"))
                return 0;
        p->at += 2;
        p->stmt->if_exists = true;
        return 0;
}

static int alter_topic_column(struct sql_parser *p)
{
        struct leat_stmt *stmt = p->stmt;
        bool key;
        if (leat_sql_accept(p, "ADD")) {
                struct leat_sql_column *column = leat_arena_zalloc(p->arena, sizeof *column);
                stmt->alter = LEAT_ALTER_ADD;
                leat_sql_accept(p, "COLUMN");
                LEAT_TRY(leat_sql_column_item(p, column, &key));
                if (column->not_null) {
                        leat_sql_fail(p->text, column->at.start, p->err, LEAT_EUNSUPPORTED,
                                      "a column that is added must be nullable");
                        leat_error_hint(p->err, "The records that are there already do not have it.");
                        return LEAT_EUNSUPPORTED;
                }
                stmt->columns = column;
                stmt->column_count = 1;
                return 0;
        }
        if (leat_sql_accept(p, "DROP")) {
                stmt->alter = LEAT_ALTER_DROP;
                leat_sql_accept(p, "COLUMN");
                return leat_sql_name(p, false, "a column", &stmt->column, &stmt->column_at);
        }
        p->at++;
        stmt->alter = LEAT_ALTER_RENAME;
        if (sql_is(p, 0, "TO"))
                return leat_sql_unexpected(p, "a column: a topic keeps its name");
        leat_sql_accept(p, "COLUMN");
        LEAT_TRY(leat_sql_name(p, false, "a column", &stmt->column, &stmt->column_at));
        LEAT_TRY(leat_sql_expect(p, "TO"));
        return leat_sql_name(p, false, "the new name", &stmt->new_name, NULL);
}

int leat_sql_alter(struct sql_parser *p)
{
        struct leat_stmt *stmt = p->stmt;
        if (leat_sql_accept(p, "TOPIC")) {
                stmt->kind = LEAT_STMT_ALTER_TOPIC;
                LEAT_TRY(if_exists(p));
                LEAT_TRY(leat_sql_relation_name(p, "the name of a topic"));
                if (sql_is(p, 0, "ADD") || sql_is(p, 0, "DROP") || sql_is(p, 0, "RENAME")) {
                        LEAT_TRY(alter_topic_column(p));
                } else {
                        if (!leat_sql_accept(p, "SET"))
                                return leat_sql_unexpected(p, "ADD COLUMN, DROP COLUMN, RENAME COLUMN or SET");
                        stmt->alter = LEAT_ALTER_SET;
                        LEAT_TRY(leat_sql_option_list(p));
                }
                return leat_sql_expect_end(p);
        }
        bool materialized = leat_sql_accept(p, "MATERIALIZED");
        if (materialized)
                LEAT_TRY(leat_sql_expect(p, "VIEW"));
        if (!materialized && !leat_sql_accept(p, "JOB")) {
                LEAT_TRY(leat_sql_refuse(p, "ALTER"));
                return leat_sql_unexpected(p, "TOPIC, MATERIALIZED VIEW or JOB");
        }
        stmt->kind = LEAT_STMT_ALTER_JOB;
        LEAT_TRY(if_exists(p));
        LEAT_TRY(leat_sql_relation_name(p, "the name of a materialized view"));
        if (leat_sql_accept(p, "PAUSE")) {
                stmt->alter = LEAT_ALTER_PAUSE;
        } else if (leat_sql_accept(p, "RESUME")) {
                stmt->alter = LEAT_ALTER_RESUME;
        } else if (leat_sql_accept(p, "SET")) {
                stmt->alter = LEAT_ALTER_SET;
                LEAT_TRY(leat_sql_option_list(p));
        } else {
                return leat_sql_unexpected(p, "PAUSE, RESUME or SET");
        }
        return leat_sql_expect_end(p);
}

int leat_sql_drop(struct sql_parser *p)
{
        struct leat_stmt *stmt = p->stmt;
        stmt->kind = LEAT_STMT_DROP;
        if (leat_sql_accept(p, "TOPIC")) {
                stmt->object_kind = LEAT_OBJECT_TOPIC;
        } else if (leat_sql_accept(p, "VIEW")) {
                stmt->object_kind = LEAT_OBJECT_VIEW;
        } else if (leat_sql_accept(p, "DASHBOARD")) {
                stmt->object_kind = LEAT_OBJECT_DASHBOARD;
        } else if (leat_sql_accept(p, "MATERIALIZED")) {
                LEAT_TRY(leat_sql_expect(p, "VIEW"));
                stmt->object_kind = LEAT_OBJECT_MATVIEW;
        } else {
                LEAT_TRY(leat_sql_refuse(p, "DROP"));
                return leat_sql_unexpected(p, "TOPIC, VIEW, MATERIALIZED VIEW or DASHBOARD");
        }
        LEAT_TRY(if_exists(p));
        LEAT_TRY(leat_sql_relation_name(p, "a name"));
        if (sql_is_op(p, 0, ','))
                return leat_sql_unexpected(p, "one name: drop one object in a statement");
        if (leat_sql_accept(p, "CASCADE"))
                stmt->cascade = true;
        else
                leat_sql_accept(p, "RESTRICT");
        return leat_sql_expect_end(p);
}
