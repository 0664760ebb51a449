/* SPDX-License-Identifier: Apache-2.0 */
/* leat/cli: what its files share. Every command returns the exit code: 0 done, 1 failed, 2 wrong usage. */
#ifndef LEAT_CLI_INT_H
#define LEAT_CLI_INT_H

#include "leat/base.h"
#include "leat/os.h"

#define LEAT_VERSION "0.1.0"
#define CLI_PG_DEFAULT "127.0.0.1:5433"
#define CLI_HTTP_DEFAULT "127.0.0.1:8080"
#define CLI_KAFKA_DEFAULT "127.0.0.1:9092"
#define CLI_DATA_DEFAULT "./leat-data"

int leat_cli_serve(int argc, char **argv);
int leat_cli_sql(int argc, char **argv);
int leat_cli_status(int argc, char **argv);
int leat_cli_verify(int argc, char **argv);
int leat_cli_generate(int argc, char **argv);
int leat_cli_help(int argc, char **argv);

/* ---- options (cli_option.c) ------------------------------------------------------- */
struct cli_option {
        const char *name;   /* "--data" */
        const char *letter; /* "-c" or NULL */
        const char **value; /* where the value goes; NULL: a flag */
        bool *flag;
};
/* Reads argv[1..]; "--name value" and "--name=value". Other words go to @rest (may be NULL: then they are errors).
 * Prints the error and returns 2; returns -1 after --help has been printed (@usage). */
int cli_options(const char *command, const char *usage, int argc, char **argv, const struct cli_option *options,
                size_t count, const char **rest, int *io_rest);
/* Prints message and hint of @err as "leat COMMAND: …" on standard error; returns 1. */
int cli_fail(const char *command, const struct leat_error *err);
/* --set name=value; prints the error and returns 2. */
int cli_set(const char *command, const char *text);

/* ---- PostgreSQL client (cli_pg.c) --------------------------------------------------- */
struct cli_pg;
struct cli_pg_result {
        bool has_rows;
        uint32_t column_count, row_count;
        char **names; /* column_count */
        bool *right;  /* numbers stand right */
        char **cells; /* row_count * column_count; NULL = NULL */
        char tag[64];
};
struct cli_pg_ops {
        /* One statement has answered. */
        void (*result)(void *arg, const struct cli_pg_result *result);
        /* Bytes of COPY TO STDOUT. */
        void (*copy)(void *arg, struct leat_view bytes);
        void (*notice)(void *arg, const char *severity, const char *message, const char *hint);
        void *arg;
};
/* What the server answered instead of rows. */
struct cli_pg_error {
        char severity[16], sqlstate[8], message[1024], hint[512];
        int position; /* 1-based character of the text that was sent; 0 = none */
};
int cli_pg_connect(const char *addr, struct cli_pg **ret_pg, struct leat_error *err) LEAT_NODISCARD;
void cli_pg_close(struct cli_pg *pg);
/* Runs @sql (any number of statements). LEAT_EINVAL: the server's error is in @ret_error; other codes: the connection
 * is lost. */
int cli_pg_query(struct cli_pg *pg, const char *sql, const struct cli_pg_ops *ops, struct cli_pg_error *ret_error,
                 struct leat_error *err) LEAT_NODISCARD;
/* Cancels what runs. Thread: any, also a signal handler's thread. */
void cli_pg_cancel(struct cli_pg *pg);

/* ---- lines of a terminal (cli_line.c) ----------------------------------------------- */
struct cli_line;
/* Edits lines of the terminal at standard input, with the history of @history_path (must live as long). A byte in the
 * pipe @interrupts is a Ctrl-C. NULL: this terminal cannot be edited on. Thread: the one that reads. */
struct cli_line *cli_line_open(const char *history_path, int interrupts);
/* 1: @text is the next line with its line end, valid until the next call; 0: there is none more; -1: Ctrl-C. */
int cli_line_read(struct cli_line *line, const char *prompt, const char **text) LEAT_NODISCARD;
/* Takes @statement (may have several lines) into the history. */
void cli_line_remember(struct cli_line *line, const char *statement);
/* Writes the history. */
void cli_line_close(struct cli_line *line);

/* Prints a result as psql does: a table with a head, and "(3 rows)". */
void cli_print_table(const struct cli_pg_result *result);

#endif
