/* SPDX-License-Identifier: Apache-2.0 */
/* leat/sql: what users of PostgreSQL, Flink and ksqlDB write and Leat does not have: refused by name, with the way here. */
#include <strings.h>

#include "sql_parse_int.h"

#define NO_USERS "There are no users and rights yet: Leat listens on this machine only."
#define NO_CODE "Write it in the queries; a plain view can give an expression a name."

static const struct {
        const char *verb, *word, *hint;
} refused[] = {
        {"", "UPDATE",
         "A topic is a log: insert the new row; with a PRIMARY KEY the newest row of a key is the one that counts."},
        {"", "DELETE", "A topic is a log: insert a NULL value for the key, or let retention delete."},
        {"", "MERGE", "A topic is a log: insert the new rows."},
        {"", "REPLACE", "Write INSERT INTO; in a topic with a PRIMARY KEY the newest row of a key counts."},
        {"", "TRUNCATE", "Set the topic's retention, or drop it and create it again."},
        {"", "LISTEN", "Use COPY (SUBSCRIBE TO view) TO STDOUT."},
        {"", "NOTIFY", "Insert into a topic."},
        {"", "UNLISTEN", "Use COPY (SUBSCRIBE TO view) TO STDOUT."},
        {"", "SUBSCRIBE", "Write COPY (SUBSCRIBE TO view) TO STDOUT."},
        {"", "TAIL", "Write COPY (SUBSCRIBE TO view) TO STDOUT."},
        {"", "PRINT", "SELECT value FROM topic shows its records; COPY (SUBSCRIBE TO view) TO STDOUT follows a view."},
        {"", "GRANT", NO_USERS},
        {"", "REVOKE", NO_USERS},
        {"", "VACUUM", "There is nothing to do by hand."},
        {"", "ANALYZE", "There is nothing to do by hand."},
        {"", "CHECKPOINT", "There is nothing to do by hand."},
        {"", "CLUSTER", "There is nothing to do by hand."},
        {"", "REINDEX", "There are no indexes."},
        {"", "LOCK", "A SELECT never waits for a writer."},
        {"", "COMMENT", NULL},
        {"", "DO", NO_CODE},
        {"", "CALL", "There are no procedures."},
        {"", "PRAGMA", "SHOW and SET know the settings there are."},
        {"", "ATTACH", "Leat reads topics and views only."},
        {"", "DETACH", NULL},
        {"", "USE", "There is one database, \"leat\", and one schema, \"public\"."},
        {"", "INSTALL", "Extensions cannot be loaded."},
        {"", "LOAD", "Extensions cannot be loaded."},
        {"", "FORCE", "Extensions cannot be loaded."},
        {"", "EXPORT", "Write COPY (SELECT ...) TO STDOUT."},
        {"", "IMPORT", "Write INSERT INTO, or produce to the topic with a Kafka client."},
        {"", "SUMMARIZE", "Write it as SELECT with count, min, max and avg."},
        {"", "PIVOT", "Write it as SELECT with FILTER on the aggregates."},
        {"", "UNPIVOT", "Write it as UNION ALL of one SELECT a column."},
        {"", "REFRESH", "A materialized view is always up to date."},
        {"", "SECURITY", NO_USERS},
        {"", "REASSIGN", NO_USERS},
        {"", "PAUSE", "Write ALTER MATERIALIZED VIEW name PAUSE."},
        {"", "RESUME", "Write ALTER MATERIALIZED VIEW name RESUME."},
        {"", "TERMINATE", "Write ALTER MATERIALIZED VIEW name PAUSE, or DROP MATERIALIZED VIEW name."},
        {"CREATE", "TABLE", "Events live in topics: CREATE TOPIC name (column type, ...)."},
        {"CREATE", "STREAM",
         "CREATE TOPIC gives a topic its columns; CREATE MATERIALIZED VIEW keeps a query up to date."},
        {"CREATE", "SOURCE", "CREATE TOPIC gives a topic its columns."},
        {"CREATE", "SINK", "Read a view with COPY (SUBSCRIBE TO view) TO STDOUT."},
        {"CREATE", "CONNECTOR", "Any Kafka client can write to a topic, and read it."},
        {"CREATE", "INDEX", "A topic with a PRIMARY KEY is read by its key without an index."},
        {"CREATE", "UNIQUE", "A topic with a PRIMARY KEY keeps one row of each key."},
        {"CREATE", "SCHEMA", "There is one schema, \"public\"."},
        {"CREATE", "DATABASE", "There is one database, \"leat\"."},
        {"CREATE", "FUNCTION", NO_CODE},
        {"CREATE", "PROCEDURE", NO_CODE},
        {"CREATE", "AGGREGATE", NO_CODE},
        {"CREATE", "MACRO", NO_CODE},
        {"CREATE", "TYPE", "A column may be a STRUCT, a list, or TEXT."},
        {"CREATE", "DOMAIN", "A column may be NOT NULL; other conditions go into a view."},
        {"CREATE", "SEQUENCE",
         "gen_random_uuid() gives unique values; kafka_offset numbers the records of a partition."},
        {"CREATE", "SECRET", NULL},
        {"CREATE", "USER", NO_USERS},
        {"CREATE", "ROLE", NO_USERS},
        {"CREATE", "GROUP", NO_USERS},
        {"CREATE", "POLICY", NO_USERS},
        {"CREATE", "EXTENSION", "Extensions cannot be loaded."},
        {"CREATE", "TRIGGER",
         "A materialized view follows each record; COPY (SUBSCRIBE TO view) TO STDOUT tells of changes."},
        {"CREATE", "RULE", "A materialized view follows each record."},
        {"CREATE", "PUBLICATION", "COPY (SUBSCRIBE TO view) TO STDOUT tells of changes."},
        {"CREATE", "SUBSCRIPTION", "Any Kafka client can write to a topic."},
        {"CREATE", "SERVER", "Leat reads topics and views only."},
        {"CREATE", "FOREIGN", "Leat reads topics and views only."},
        {"CREATE", "TEMP", "WITH name AS (SELECT ...) gives a query a name for one statement."},
        {"CREATE", "TEMPORARY", "WITH name AS (SELECT ...) gives a query a name for one statement."},
        {"CREATE", "UNLOGGED", "Events live in topics: CREATE TOPIC name (column type, ...)."},
        {"CREATE", "RECURSIVE", "Write CREATE VIEW name AS WITH RECURSIVE ..."},
        {"ALTER", "TABLE", "Write ALTER TOPIC."},
        {"ALTER", "VIEW", "CREATE OR REPLACE VIEW changes a view."},
        {"ALTER", "DASHBOARD", "CREATE OR REPLACE DASHBOARD changes a dashboard."},
        {"ALTER", "SYSTEM", "SET changes the session, leat serve --set name=value the server."},
        {"ALTER", "DATABASE", "SET changes the session, leat serve --set name=value the server."},
        {"ALTER", "USER", NO_USERS},
        {"ALTER", "ROLE", NO_USERS},
        {"ALTER", "SCHEMA", "There is one schema, \"public\"."},
        {"ALTER", "INDEX", "There are no indexes."},
        {"ALTER", "SEQUENCE", "There are no sequences."},
        {"DROP", "TABLE", "Write DROP TOPIC, DROP VIEW or DROP MATERIALIZED VIEW."},
        {"DROP", "STREAM", "Write DROP TOPIC, DROP VIEW or DROP MATERIALIZED VIEW."},
        {"DROP", "JOB", "Write DROP MATERIALIZED VIEW: its job ends with it."},
        {"DROP", "INDEX", "There are no indexes."},
        {"DROP", "SCHEMA", "There is one schema, \"public\"."},
        {"DROP", "DATABASE", "There is one database, \"leat\"; it ends with its data directory."},
        {"DROP", "USER", NO_USERS},
        {"DROP", "ROLE", NO_USERS},
        {"DROP", "OWNED", NO_USERS},
        {"DROP", "FUNCTION", "There are no functions of your own."},
        {"DROP", "SEQUENCE", "There are no sequences."},
        {"DROP", "TRIGGER", "There are no triggers."},
        {"DROP", "TYPE", "There are no types of your own."},
        {"DROP", "EXTENSION", "Extensions cannot be loaded."},
        {"SHOW", "COLUMNS", "DESCRIBE name shows the columns."},
        {"SHOW", "DATABASES", "There is one database, \"leat\"."},
        {"SHOW", "SCHEMAS", "There is one schema, \"public\"."},
        {"SHOW", "STREAMS", "SHOW TOPICS and SHOW VIEWS list what there is."},
        {"SHOW", "SOURCES", "SHOW TOPICS lists them."},
        {"SHOW", "SINKS", "There are no sinks."},
        {"SHOW", "QUERIES", "SHOW JOBS tells what the views do."},
        {"SHOW", "FUNCTIONS", "The documents' page on SQL lists the common ones."},
        {"SHOW", "INDEXES", "There are no indexes."},
        {"SHOW", "USERS", NO_USERS},
        {"SHOW", "ROLES", NO_USERS},
        {"SHOW", "GRANTS", NO_USERS},
        {"SHOW", "PROPERTIES", "SHOW ALL lists the settings."},
        {"DESCRIBE", "SELECT", "Run it with LIMIT 0; psql has \\gdesc."},
};

static int refuse_at(struct sql_parser *p, uint32_t token, const char *what, const char *hint)
{
        leat_sql_fail(p->text, p->tokens[token].start, p->err, LEAT_EUNSUPPORTED, "%s", what);
        if (hint != NULL)
                leat_error_hint(p->err, "%s", hint);
        return LEAT_EUNSUPPORTED;
}

int leat_sql_refuse(struct sql_parser *p, const char *verb)
{
        for (size_t i = 0; i < LEAT_ARRAY_LEN(refused); i++) {
                if (strcmp(refused[i].verb, verb) != 0 || !sql_is(p, 0, refused[i].word))
                        continue;
                return refuse_at(
                        p, p->at,
                        leat_arena_printf(p->arena, "Leat has no %s%s%s", verb, *verb != 0 ? " " : "", refused[i].word),
                        refused[i].hint);
        }
        return 0;
}

int leat_sql_refuse_query(struct sql_parser *p, uint32_t from, uint32_t to, bool insert)
{
        const struct sql_token *t = p->tokens;
        for (uint32_t i = from; i < to; i++) {
                bool more = i + 1 < to;
                if (leat_sql_token_op(p->text, &t[i], '`')) {
                        leat_sql_fail(p->text, t[i].start, p->err, LEAT_ESYNTAX, "syntax error at or near \"`\"");
                        leat_error_hint(p->err, "Names are quoted with \"double quotes\".");
                        return LEAT_ESYNTAX;
                }
                bool label = i > from && (leat_sql_token_is(p->text, &t[i - 1], "AS") ||
                                          leat_sql_token_op(p->text, &t[i - 1], '.'));
                if (t[i].kind != TOKEN_WORD || label)
                        continue;
                if (more && leat_sql_token_is(p->text, &t[i], "FOR") &&
                    (leat_sql_token_is(p->text, &t[i + 1], "UPDATE") ||
                     leat_sql_token_is(p->text, &t[i + 1], "SHARE") || leat_sql_token_is(p->text, &t[i + 1], "KEY") ||
                     leat_sql_token_is(p->text, &t[i + 1], "NO")))
                        return refuse_at(
                                p, i, "SELECT ... FOR UPDATE or SHARE is not supported",
                                "Nothing is locked: a SELECT never waits for a writer, and rows do not change.");
                if (leat_sql_token_is(p->text, &t[i], "INTO"))
                        return refuse_at(
                                p, i, "SELECT ... INTO is not supported",
                                "Write INSERT INTO topic SELECT ..., or CREATE MATERIALIZED VIEW name AS SELECT ...");
                if (more && leat_sql_token_is(p->text, &t[i], "EMIT") &&
                    leat_sql_token_is(p->text, &t[i + 1], "CHANGES"))
                        return refuse_at(
                                p, i, "EMIT belongs to the end of CREATE MATERIALIZED VIEW",
                                "Make a view of the query and read it, or COPY (SUBSCRIBE TO view) TO STDOUT.");
                if (insert && more && leat_sql_token_is(p->text, &t[i], "ON") &&
                    leat_sql_token_is(p->text, &t[i + 1], "CONFLICT"))
                        return refuse_at(
                                p, i, "INSERT ... ON CONFLICT is not supported",
                                "In a topic with a PRIMARY KEY the newest row of a key replaces the one before.");
                if (insert && leat_sql_token_is(p->text, &t[i], "RETURNING"))
                        return refuse_at(p, i, "INSERT ... RETURNING is not supported",
                                         "The notice of an INSERT tells the positions of its records.");
        }
        return 0;
}
