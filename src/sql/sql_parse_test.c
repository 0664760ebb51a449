/* SPDX-License-Identifier: Apache-2.0 */
/* leat/sql: each statement form, and errors at their place. */
#include <stdio.h>

#include "leat/sql.h"
#include "leat/test.h"

static struct leat_error err;
static struct leat_arena *arena;

static void fresh(void)
{
        leat_arena_free(arena);
        arena = leat_arena_new(0);
}

static struct leat_stmt parse(const char *text)
{
        struct leat_stmt stmt;
        size_t offset = 0;
        fresh();
        CHECK_OK(leat_sql_parse(arena, leat_view_str(text), &offset, &stmt, &err), &err);
        return stmt;
}

static const char *body(const struct leat_stmt *stmt)
{
        return leat_arena_strndup(arena, (const char *)stmt->text.data + stmt->body.start, stmt->body.len);
}

/* @marked has a ^ in front of the character that the error must name. */
static void refuse(int code, const char *marked, const char *message)
{
        char text[2000];
        struct leat_stmt stmt;
        size_t offset = 0, at = strcspn(marked, "^");
        int rc = 0;
        snprintf(text, sizeof text, "%.*s%s", (int)at, marked, marked[at] != 0 ? marked + at + 1 : "");
        fresh();
        memset(&err, 0, sizeof err);
        do
                rc = leat_sql_parse(arena, leat_view_str(text), &offset, &stmt, &err);
        while (rc == 0 && stmt.kind != LEAT_STMT_NONE);
        if (rc != code)
                leat_test_fail(__FILE__, __LINE__, "%s: %s (%s), not %s", text, leat_code_name(rc), err.message,
                               leat_code_name(code));
        if (strstr(err.message, message) == NULL)
                leat_test_fail(__FILE__, __LINE__, "%s: message \"%s\"", text, err.message);
        if (err.position != leat_sql_position(leat_view_str(text), at))
                leat_test_fail(__FILE__, __LINE__, "%s: position %d, not %d", text, err.position,
                               leat_sql_position(leat_view_str(text), at));
}

LEAT_TEST(texts_are_split)
{
        const char *text = "select ';' ; ; -- x;y\n select $a$;$a$ /* ; /* ; */ */, E'\\';', \"a;b\";select 3";
        struct leat_stmt stmt;
        size_t offset = 0;
        int selects = 0, empty = 0;
        fresh();
        for (;;) {
                CHECK_OK(leat_sql_parse(arena, leat_view_str(text), &offset, &stmt, &err), &err);
                if (stmt.kind == LEAT_STMT_NONE)
                        break;
                selects += stmt.kind == LEAT_STMT_SELECT;
                empty += stmt.kind == LEAT_STMT_EMPTY;
        }
        CHECK_INT(selects, 3);
        CHECK_INT(empty, 1);
        CHECK_INT(offset, strlen(text));
        CHECK(leat_sql_incomplete(leat_view_str("select 'a")) && leat_sql_incomplete(leat_view_str("select (1;")));
        CHECK(leat_sql_incomplete(leat_view_str("select 1")) && leat_sql_incomplete(leat_view_str("select 1; /* ")));
        CHECK(!leat_sql_incomplete(leat_view_str("select 1; -- x")) && !leat_sql_incomplete(leat_view_str("  ")));
}

LEAT_TEST(create_topic)
{
        struct leat_stmt s =
                parse("CREATE TOPIC Scans (package_id TEXT, Site TEXT NOT NULL, w numeric(10,2), event_time "
                      "timestamp with time zone, WATERMARK FOR event_time AS event_time - INTERVAL '5 seconds') "
                      "WITH (format = 'json', partitions = 4, retention = '7 days', max_ahead='1 minute')");
        CHECK_INT(s.kind, LEAT_STMT_CREATE_TOPIC);
        CHECK_STR(s.name, "scans");
        CHECK_INT(s.column_count, 4);
        CHECK_STR(s.columns[1].name, "Site");
        CHECK(s.columns[1].not_null && !s.columns[0].not_null);
        CHECK_INT(s.columns[2].type.id, LEAT_T_DECIMAL);
        CHECK_INT(s.columns[2].type.scale, 2);
        CHECK_INT(s.columns[3].type.id, LEAT_T_TIMESTAMPTZ);
        CHECK_INT(s.watermark_column, 3);
        CHECK_INT(s.watermark_delay_us, 5000000);
        CHECK_INT(s.option_count, 4);
        CHECK_STR(s.options[1].name, "partitions");
        CHECK_STR(s.options[1].value, "4");
        CHECK_STR(s.options[2].value, "7 days");
        s = parse("create or replace topic \"Sites.v1\" (site text primary key, name text, tags text[])");
        CHECK_STR(s.name, "Sites.v1");
        CHECK(s.or_replace && s.key_count == 1 && s.keys[0] == 0 && s.columns[0].not_null);
        CHECK_INT(s.columns[2].type.id, LEAT_T_LIST);
        s = parse("create topic if not exists public.t (a int, b int, primary key (b, A))");
        CHECK(s.if_not_exists && s.key_count == 2 && s.keys[0] == 1 && s.keys[1] == 0);
        s = parse("create topic raw with (format=raw)");
        CHECK_INT(s.column_count, 0);
        CHECK_STR(s.options[0].value, "raw");
}

LEAT_TEST(create_topic_errors)
{
        refuse(LEAT_ETYPE, "CREATE TOPIC t (a ^texxt)", "texxt");
        refuse(LEAT_EEXISTS, "CREATE TOPIC t (a int, ^A int)", "given twice");
        refuse(LEAT_ENOCOLUMN, "CREATE TOPIC t (a int, PRIMARY KEY (^b))", "\"b\"");
        refuse(LEAT_ESYNTAX, "CREATE TOPIC t (a int PRIMARY KEY, ^b int PRIMARY KEY)", "second PRIMARY KEY");
        refuse(LEAT_ETYPE, "CREATE TOPIC t (a int, WATERMARK FOR ^a AS a)", "must be a TIMESTAMPTZ");
        refuse(LEAT_EUNSUPPORTED, "CREATE TOPIC t (a timestamptz, b int, WATERMARK FOR a AS ^b)", "same column");
        refuse(LEAT_EINVAL, "CREATE TOPIC t (a timestamptz, WATERMARK FOR a AS a - INTERVAL ^'5 parsecs')",
               "no length of time");
        refuse(LEAT_ESYNTAX, "CREATE TOPIC t (a int ^CHECK (a > 0))", "CHECK");
        refuse(LEAT_ESYNTAX, "CREATE TOPIC t (a int) WITH (x = 1, ^x = 2)", "given twice");
        refuse(LEAT_ESYNTAX, "CREATE TOPIC t (a int^", "end of input");
        refuse(LEAT_ESYNTAX, "CREATE TOPIC ^(a int)", "near \"(\"");
        refuse(LEAT_ENORELATION, "CREATE TOPIC ^lake.t (a int)", "schema \"lake\"");
        refuse(LEAT_EUNSUPPORTED, "CREATE ^TABLE t (a int)", "no CREATE TABLE");
        refuse(LEAT_ESYNTAX, "CREATE TOPIC t (ä int, ^1)", "near \"1\"");
        refuse(LEAT_ESYNTAX, "SELECT 1; CREATE TOPIC t (a int) ^x", "near \"x\"");
}

LEAT_TEST(views)
{
        struct leat_stmt s = parse("CREATE VIEW v (a, \"B\") AS SELECT 1, 2 -- the end\n");
        CHECK_INT(s.kind, LEAT_STMT_CREATE_VIEW);
        CHECK_STR(body(&s), "SELECT 1, 2");
        CHECK_INT(s.column_count, 2);
        CHECK_STR(s.columns[1].name, "B");
        s = parse("CREATE MATERIALIZED VIEW IF NOT EXISTS inflow WITH (pipeline = p2, retention='1 day') AS\n"
                  "SELECT site, count(*) FROM tumble(scans, event_time, INTERVAL '10 seconds') GROUP BY ALL EMIT "
                  "CHANGES;");
        CHECK_INT(s.kind, LEAT_STMT_CREATE_MATVIEW);
        CHECK_INT(s.emit, LEAT_EMIT_CHANGES);
        CHECK(s.if_not_exists && s.option_count == 2);
        CHECK_STR(body(&s), "SELECT site, count(*) FROM tumble(scans, event_time, INTERVAL '10 seconds') GROUP BY ALL");
        s = parse("CREATE MATERIALIZED VIEW v AS SELECT emit FROM x EMIT ON WINDOW CLOSE");
        CHECK_INT(s.emit, LEAT_EMIT_ON_WINDOW_CLOSE);
        CHECK_STR(body(&s), "SELECT emit FROM x");
        s = parse("CREATE MATERIALIZED VIEW v AS SELECT 1 AS changes");
        CHECK_INT(s.emit, 0);
        refuse(LEAT_EUNSUPPORTED, "SELECT 1 ^EMIT CHANGES", "EMIT belongs to");
        refuse(LEAT_EUNSUPPORTED, "CREATE VIEW v AS SELECT 1 ^EMIT CHANGES", "EMIT belongs to");
        refuse(LEAT_ESYNTAX, "CREATE VIEW v ^WITH (a=1) AS SELECT 1", "WITH");
        refuse(LEAT_ESYNTAX, "CREATE VIEW v AS ^INSERT INTO x VALUES (1)", "INSERT");
        refuse(LEAT_ESYNTAX, "CREATE MATERIALIZED ^VUE v AS SELECT 1", "VUE");
}

LEAT_TEST(dashboards)
{
        struct leat_stmt s =
                parse("CREATE OR REPLACE DASHBOARD wall TITLE 'The wall' VARIABLE site AS (SELECT site FROM sites) "
                      "DEFAULT 'SEA1' "
                      "VARIABLE n DEFAULT 5 REFRESH INTERVAL '1 second' "
                      "PANEL total TITLE 'Scans' NUMBER UNIT '1/s' WARN 10 ALARM -2.5 AS (SELECT count(*) FROM x WHERE "
                      "site = $site)"
                      "PANEL flow LINE X window_start Y scans, Errors SERIES site AT (0, 4, 12, 3) AS ( SELECT (1) )\n"
                      "PANEL heat HEATMAP AS (SELECT 1) PANEL tab TABLE AS (SELECT ')')");
        const struct leat_dashboard_def *d = s.dashboard;
        CHECK_INT(s.kind, LEAT_STMT_CREATE_DASHBOARD);
        CHECK(s.or_replace);
        CHECK_STR(d->title, "The wall");
        CHECK_INT(d->refresh_us, 1000000);
        CHECK_INT(d->variable_count, 2);
        CHECK_STR(d->variables[0].sql, "SELECT site FROM sites");
        CHECK_STR(d->variables[1].default_value, "5");
        CHECK_INT(d->panel_count, 4);
        CHECK_STR(d->panels[0].sql, "SELECT count(*) FROM x WHERE site = $site");
        CHECK(d->panels[0].has_warn && d->panels[0].alarm < -2.4);
        CHECK_INT(d->panels[0].at[2], 3);
        CHECK_STR(d->panels[1].sql, "SELECT (1)");
        CHECK_STR(d->panels[1].y[1], "Errors");
        CHECK_INT(d->panels[1].at[1], 4);
        CHECK_STR(d->panels[1].title, "flow");
        CHECK_INT(d->panels[2].at[1], 7);
        CHECK_INT(d->panels[3].type, LEAT_PANEL_TABLE);
        CHECK_STR(d->panels[3].sql, "SELECT ')'");
        refuse(LEAT_ESYNTAX, "CREATE DASHBOARD d^", "end of input");
        refuse(LEAT_ESYNTAX, "CREATE DASHBOARD d PANEL p ^AS (SELECT 1)", "AS");
        refuse(LEAT_ERANGE, "CREATE DASHBOARD d PANEL p LINE AT ^(8, 0, 6, 2) AS (SELECT 1)", "outside the page");
        refuse(LEAT_EEXISTS, "CREATE DASHBOARD d PANEL p LINE AS (SELECT 1) PANEL ^p LINE AS (SELECT 1)",
               "given twice");
        refuse(LEAT_ERANGE, "CREATE DASHBOARD d REFRESH ^'1 ms' PANEL p LINE AS (SELECT 1)", "REFRESH");
        refuse(LEAT_ESYNTAX, "CREATE DASHBOARD d PANEL p LINE AS ^(SELECT 1", "without");
}

LEAT_TEST(layout_fills_rows)
{
        struct leat_panel_def panels[7] = {{.type = LEAT_PANEL_NUMBER}, {.type = LEAT_PANEL_NUMBER},
                                           {.type = LEAT_PANEL_NUMBER}, {.type = LEAT_PANEL_NUMBER},
                                           {.type = LEAT_PANEL_LINE},   {.type = LEAT_PANEL_BAR},
                                           {.type = LEAT_PANEL_HEATMAP}};
        static const int32_t want[7][4] = {{0, 0, 3, 2}, {3, 0, 3, 2}, {6, 0, 3, 2}, {9, 0, 3, 2},
                                           {0, 2, 6, 4}, {6, 2, 6, 4}, {0, 6, 12, 5}};
        leat_sql_dashboard_layout(panels, 7, NULL);
        for (int i = 0; i < 7; i++)
                CHECK(memcmp(panels[i].at, want[i], sizeof want[i]) == 0);
}

LEAT_TEST(alter_and_drop)
{
        struct leat_stmt s = parse("ALTER TOPIC scans ADD COLUMN zone text");
        CHECK(s.kind == LEAT_STMT_ALTER_TOPIC && s.alter == LEAT_ALTER_ADD);
        CHECK_STR(s.columns[0].name, "zone");
        s = parse("alter topic scans drop column zone");
        CHECK_INT(s.alter, LEAT_ALTER_DROP);
        CHECK_STR(s.column, "zone");
        s = parse("alter topic if exists scans rename a to b");
        CHECK(s.alter == LEAT_ALTER_RENAME && s.if_exists);
        CHECK_STR(s.new_name, "b");
        s = parse("alter topic scans set (partitions = 8, retention_bytes = '1 GiB')");
        CHECK(s.alter == LEAT_ALTER_SET && s.option_count == 2);
        s = parse("ALTER MATERIALIZED VIEW v PAUSE");
        CHECK(s.kind == LEAT_STMT_ALTER_JOB && s.alter == LEAT_ALTER_PAUSE);
        CHECK_INT(parse("ALTER JOB v RESUME").alter, LEAT_ALTER_RESUME);
        CHECK_INT(parse("ALTER JOB v SET (retention = '2 days')").alter, LEAT_ALTER_SET);
        s = parse("DROP MATERIALIZED VIEW IF EXISTS v CASCADE");
        CHECK(s.kind == LEAT_STMT_DROP && s.object_kind == LEAT_OBJECT_MATVIEW && s.if_exists && s.cascade);
        CHECK_INT(parse("DROP TOPIC \"A b\" RESTRICT").object_kind, LEAT_OBJECT_TOPIC);
        CHECK_INT(parse("DROP DASHBOARD d").object_kind, LEAT_OBJECT_DASHBOARD);
        refuse(LEAT_EUNSUPPORTED, "ALTER TOPIC t ADD ^a int NOT NULL", "must be nullable");
        refuse(LEAT_ESYNTAX, "ALTER TOPIC t RENAME ^TO u", "TO");
        refuse(LEAT_EUNSUPPORTED, "ALTER ^TABLE t ADD a int", "no ALTER TABLE");
        refuse(LEAT_ESYNTAX, "DROP VIEW a^, b", "\",\"");
        refuse(LEAT_ESYNTAX, "ALTER JOB v ^STOP", "STOP");
}

LEAT_TEST(insert)
{
        struct leat_stmt s = parse("INSERT INTO scans (a, \"B\") VALUES (1, 2), (3, 4)");
        CHECK_INT(s.kind, LEAT_STMT_INSERT);
        CHECK_INT(s.column_count, 2);
        CHECK_STR(body(&s), "VALUES (1, 2), (3, 4)");
        s = parse("insert into scans select 1");
        CHECK_INT(s.column_count, 0);
        CHECK_STR(body(&s), "select 1");
        s = parse("insert into scans (select 1)");
        CHECK_STR(body(&s), "(select 1)");
        refuse(LEAT_ESYNTAX, "INSERT ^scans VALUES (1)", "scans");
        refuse(LEAT_ESYNTAX, "INSERT INTO scans ^DEFAULT VALUES", "DEFAULT");
}

LEAT_TEST(show_and_describe)
{
        CHECK_INT(parse("SHOW TOPICS").show, LEAT_SHOW_TOPICS);
        CHECK_INT(parse("show materialized views").show, LEAT_SHOW_VIEWS);
        CHECK_INT(parse("show jobs;").show, LEAT_SHOW_JOBS);
        CHECK_INT(parse("show all").show, LEAT_SHOW_ALL);
        CHECK_INT(parse("show partitions").show, LEAT_SHOW_PARTITIONS);
        struct leat_stmt s = parse("SHOW CREATE MATERIALIZED VIEW v");
        CHECK(s.kind == LEAT_STMT_SHOW_CREATE && s.object_kind == LEAT_OBJECT_MATVIEW);
        CHECK_STR(parse("SHOW leat.freshness").name, "leat.freshness");
        CHECK_STR(parse("SHOW TRANSACTION ISOLATION LEVEL").name, "transaction_isolation");
        CHECK_STR(parse("show time zone").name, "timezone");
        s = parse("DESCRIBE scans");
        CHECK(s.kind == LEAT_STMT_DESCRIBE && s.object_kind == 0);
        s = parse("DESCRIBE DASHBOARD \"the wall\"");
        CHECK(s.kind == LEAT_STMT_DESCRIBE && s.object_kind == LEAT_OBJECT_DASHBOARD);
        CHECK_STR(s.name, "the wall");
        CHECK_STR(parse("DESCRIBE dashboard").name, "dashboard");
        refuse(LEAT_ESYNTAX, "SHOW TOPICS ^LIKE 'a'", "LIKE");
        refuse(LEAT_ESYNTAX, "SHOW^", "end of input");
}

LEAT_TEST(settings)
{
        struct leat_stmt s = parse("SET leat.freshness = 'now'");
        CHECK(s.kind == LEAT_STMT_SET && !s.local);
        CHECK_STR(s.name, "leat.freshness");
        CHECK_STR(s.value, "now");
        s = parse("SET LOCAL search_path TO \"$user\", public");
        CHECK(s.local);
        CHECK_STR(s.value, "$user, public");
        CHECK_STR(parse("SET TIME ZONE 'UTC'").name, "timezone");
        CHECK_STR(parse("SET extra_float_digits = 3").value, "3");
        CHECK_STR(parse("SET x = -5").value, "-5");
        CHECK_STR(parse("SET x = ''").value, "");
        CHECK(parse("SET x TO DEFAULT").value == NULL);
        CHECK_STR(parse("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY").value, "on");
        CHECK_STR(parse("SET NAMES 'utf8'").name, "client_encoding");
        CHECK(parse("RESET ALL").name == NULL);
        CHECK_STR(parse("RESET leat.freshness").name, "leat.freshness");
        refuse(LEAT_ESYNTAX, "SET x ^5", "5");
        refuse(LEAT_EUNSUPPORTED, "SET ^ROLE x", "no users");
}

LEAT_TEST(transactions)
{
        CHECK_INT(parse("BEGIN").kind, LEAT_STMT_BEGIN);
        CHECK(parse("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY").read_only);
        CHECK_INT(parse("START TRANSACTION READ WRITE").kind, LEAT_STMT_BEGIN);
        CHECK_INT(parse("COMMIT").kind, LEAT_STMT_COMMIT);
        CHECK_INT(parse("END TRANSACTION").kind, LEAT_STMT_COMMIT);
        CHECK_INT(parse("ROLLBACK WORK").kind, LEAT_STMT_ROLLBACK);
        CHECK_INT(parse("ABORT").kind, LEAT_STMT_ROLLBACK);
        CHECK_INT(parse("SAVEPOINT s").kind, LEAT_STMT_SAVEPOINT);
        CHECK_INT(parse("RELEASE SAVEPOINT s").kind, LEAT_STMT_RELEASE);
        CHECK_INT(parse("ROLLBACK TO SAVEPOINT s").kind, LEAT_STMT_ROLLBACK_TO);
        refuse(LEAT_ESYNTAX, "START ^WORK", "WORK");
        refuse(LEAT_ESYNTAX, "COMMIT ^PREPARED 'x'", "PREPARED");
}

LEAT_TEST(copy)
{
        struct leat_stmt s = parse("COPY (SELECT (1)) TO STDOUT WITH (HEADER, DELIMITER ';', FORMAT csv)");
        CHECK_INT(s.kind, LEAT_STMT_COPY);
        CHECK_STR(body(&s), "SELECT (1)");
        CHECK(s.copy_format == LEAT_COPY_CSV && s.copy_header && s.copy_delimiter == ';');
        s = parse("COPY ( SELECT 1 ) TO STDOUT");
        CHECK_STR(body(&s), "SELECT 1");
        CHECK_INT(s.copy_delimiter, '\t');
        s = parse("copy (select 1) to stdout csv header null 'x'");
        CHECK(s.copy_header && s.copy_delimiter == ',');
        CHECK_STR(s.copy_null, "x");
        s = parse("COPY (SUBSCRIBE TO inflow) TO STDOUT");
        CHECK_INT(s.kind, LEAT_STMT_SUBSCRIBE);
        CHECK_STR(s.name, "inflow");
        s = parse("COPY (SUBSCRIBE TO DASHBOARD wall WITH (site = 'SEA1', n=5)) TO STDOUT");
        CHECK_INT(s.kind, LEAT_STMT_SUBSCRIBE_DASHBOARD);
        CHECK_STR(s.name, "wall");
        CHECK_STR(s.options[0].value, "SEA1");
        refuse(LEAT_EUNSUPPORTED, "COPY (SELECT 1) TO STDOUT (FORMAT ^binary)", "format binary");
        refuse(LEAT_EDENIED, "COPY (SELECT 1) TO ^'/etc/passwd'", "STDOUT only");
        refuse(LEAT_EDENIED, "COPY (SELECT 1) TO ^PROGRAM 'rm'", "STDOUT only");
        refuse(LEAT_EUNSUPPORTED, "COPY ^scans FROM STDIN", "FROM is not supported");
        refuse(LEAT_EUNSUPPORTED, "COPY ^scans TO STDOUT", "needs a query");
}

LEAT_TEST(prepare_and_others)
{
        struct leat_stmt s = parse("PREPARE p (int, text) AS SELECT $1, $2");
        CHECK(s.kind == LEAT_STMT_PREPARE && s.inner->kind == LEAT_STMT_SELECT);
        CHECK_STR(body(s.inner), "SELECT $1, $2");
        s = parse("EXECUTE p (1, f(2, 3), 'a,b')");
        CHECK_INT(s.argument_count, 3);
        CHECK_INT(s.arguments[1].len, 7);
        CHECK(parse("DEALLOCATE ALL").name == NULL);
        CHECK_STR(parse("DEALLOCATE PREPARE p").name, "p");
        CHECK_INT(parse("DISCARD ALL").kind, LEAT_STMT_DISCARD);
        s = parse("EXPLAIN CREATE MATERIALIZED VIEW v AS SELECT 1 EMIT CHANGES");
        CHECK(s.kind == LEAT_STMT_EXPLAIN && s.inner->kind == LEAT_STMT_CREATE_MATVIEW && s.inner->emit != 0);
        s = parse("VALIDATE DROP TOPIC t");
        CHECK(s.kind == LEAT_STMT_VALIDATE && s.inner->kind == LEAT_STMT_DROP);
        refuse(LEAT_EUNSUPPORTED, "EXPLAIN ^ANALYZE SELECT 1", "no EXPLAIN ANALYZE");
        refuse(LEAT_EUNSUPPORTED, "EXPLAIN (^ANALYZE) SELECT 1", "no EXPLAIN ANALYZE");
        refuse(LEAT_EUNSUPPORTED, "^LISTEN x", "no LISTEN");
        refuse(LEAT_EUNSUPPORTED, "^UPDATE x SET a = 1", "no UPDATE");
        refuse(LEAT_EUNSUPPORTED, "^ATTACH 'x'", "no ATTACH");
        refuse(LEAT_EUNSUPPORTED, "^INSTALL httpfs", "no INSTALL");
        refuse(LEAT_EUNSUPPORTED, "^PRAGMA version", "no PRAGMA");
        refuse(LEAT_ESYNTAX, "^SELEC 1", "SELEC");
        refuse(LEAT_ESYNTAX, "SELECT ^'abc", "unterminated quoted string");
        refuse(LEAT_ESYNTAX, "SELECT 1 ^/* x", "unterminated comment");
        refuse(LEAT_ESYNTAX, "SELECT ^$x$ abc", "unterminated dollar");
        refuse(LEAT_ESYNTAX, "EXECUTE p (1,^)", "near \")\"");
        refuse(LEAT_ESYNTAX, "VALIDATE VALIDATE VALIDATE VALIDATE VALIDATE ^VALIDATE SELECT 1", "VALIDATE");
}

LEAT_TEST(what_others_have_is_refused_by_name)
{
        refuse(LEAT_EUNSUPPORTED, "CREATE ^RULE r", "no CREATE RULE");
        refuse(LEAT_EUNSUPPORTED, "CREATE OR REPLACE ^FUNCTION f() ...", "no CREATE FUNCTION");
        refuse(LEAT_EUNSUPPORTED, "ALTER ^TABLE t ADD COLUMN a INT", "no ALTER TABLE");
        refuse(LEAT_EUNSUPPORTED, "DROP ^TABLE t", "no DROP TABLE");
        refuse(LEAT_EUNSUPPORTED, "SHOW ^COLUMNS FROM t", "no SHOW COLUMNS");
        refuse(LEAT_EUNSUPPORTED, "DESCRIBE ^SELECT 1", "no DESCRIBE SELECT");
        refuse(LEAT_EUNSUPPORTED, "SELECT * FROM t ^FOR UPDATE", "FOR UPDATE");
        refuse(LEAT_EUNSUPPORTED, "SELECT * FROM (SELECT 1 FROM t ^FOR NO KEY UPDATE) s", "FOR UPDATE");
        refuse(LEAT_EUNSUPPORTED, "COPY (SELECT 1 ^INTO t) TO STDOUT", "INTO");
        refuse(LEAT_EUNSUPPORTED, "SELECT 1 FROM t ^EMIT CHANGES LIMIT 3", "EMIT");
        refuse(LEAT_EUNSUPPORTED, "INSERT INTO t VALUES (1) ^ON CONFLICT DO NOTHING", "ON CONFLICT");
        refuse(LEAT_EUNSUPPORTED, "INSERT INTO t VALUES (1) ^RETURNING *", "RETURNING");
        refuse(LEAT_ESYNTAX, "SELECT ^`a` FROM t", "near \"`\"");
        CHECK_INT(parse("SELECT 1 AS into, t.for, 'FOR UPDATE', substring(a FROM 1 FOR 2), 2 AS returning").kind,
                  LEAT_STMT_SELECT);
        CHECK_STR(parse("DESCRIBE TOPIC scans").name, "scans");
        CHECK_STR(parse("DESCRIBE MATERIALIZED VIEW v").name, "v");
        CHECK_STR(parse("DESCRIBE topic").name, "topic");
}

static const char *piece(const struct leat_stmt *s, struct leat_span at)
{
        static char text[200];
        snprintf(text, sizeof text, "%.*s", (int)at.len, (const char *)s->text.data + at.start);
        return text;
}

LEAT_TEST(replay)
{
        struct leat_stmt s = parse("REPLAY QUARANTINE OF scans");
        CHECK(s.kind == LEAT_STMT_REPLAY && s.using_at.len == 0 && s.where_at.len == 0);
        CHECK_STR(s.name, "scans");
        s = parse("replay quarantine of public.\"My Topic\" using f(value, (SELECT 1 WHERE true)) where a = 1 AND b -- "
                  "x");
        CHECK_STR(s.name, "My Topic");
        CHECK_STR(piece(&s, s.using_at), "f(value, (SELECT 1 WHERE true))");
        CHECK_STR(piece(&s, s.where_at), "a = 1 AND b");
        s = parse("VALIDATE REPLAY QUARANTINE OF t WHERE \"offset\" = 7");
        CHECK(s.kind == LEAT_STMT_VALIDATE && s.inner->kind == LEAT_STMT_REPLAY);
        CHECK_STR(piece(s.inner, s.inner->where_at), "\"offset\" = 7");
        refuse(LEAT_ESYNTAX, "REPLAY ^t", "near \"t\"");
        refuse(LEAT_ESYNTAX, "REPLAY QUARANTINE ^t", "near \"t\"");
        refuse(LEAT_ESYNTAX, "REPLAY QUARANTINE OF^", "end of input");
        refuse(LEAT_ESYNTAX, "REPLAY QUARANTINE OF t ^u", "near \"u\"");
        refuse(LEAT_ESYNTAX, "REPLAY QUARANTINE OF t USING^", "end of input");
        refuse(LEAT_ESYNTAX, "REPLAY QUARANTINE OF t USING ^WHERE a", "near \"WHERE\"");
        refuse(LEAT_ESYNTAX, "REPLAY QUARANTINE OF t WHERE^", "end of input");
        refuse(LEAT_ESYNTAX, "REPLAY QUARANTINE OF t WHERE a = 1^) OR (true", "near \")\"");
        refuse(LEAT_ESYNTAX, "REPLAY QUARANTINE OF t USING (a^", "end of input");
}

LEAT_TEST(quoting)
{
        struct leat_buf out = LEAT_BUF_INIT;
        leat_sql_quote_name(&out, "plain_1");
        leat_sql_quote_name(&out, " Order");
        leat_sql_quote_name(&out, "select");
        leat_sql_quote_text(&out, leat_view_str("it's"));
        CHECK_STR(leat_buf_cstr(&out), "plain_1\" Order\"\"select\"'it''s'");
        leat_buf_done(&out);
}
