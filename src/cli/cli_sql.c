/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/cli: leat sql: statements from -c, from a file, from standard input, or
 * from a line-editing shell (libedit) on a terminal.
 *
 * Ctrl-C cancels the statement that runs; at the prompt it throws the line away.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "cli_int.h"
#include "leat/sql.h"

static const char usage[] =
        "usage: leat sql [-c STATEMENT | -f FILE] [--pg ADDR]\n"
        "\n"
        "Runs SQL. Without -c and -f it reads statements from standard input; on a terminal it is a shell\n"
        "with history and line editing.\n"
        "\n"
        "  -c STATEMENT    run this and exit\n"
        "  -f FILE         run the statements of a file (- = standard input)\n"
        "  --pg ADDR       where Leat answers (LEAT_PG, else " CLI_PG_DEFAULT ")\n"
        "\n"
        "In the shell: \\q ends it, \\d lists relations, \\d NAME describes one, \\? helps.\n"
        "Exit code 1 when a statement failed; the rest of a file is not run then.\n";

struct shell {
        struct cli_pg *pg;
        int line;              /* where the statements that run begin in their file, from 1 */
        int interrupts[2];     /* a pipe: Ctrl-C while no statement runs; -1: that ends the program */
        pthread_mutex_t mutex; /* guards running */
        bool running;
};

static void on_result(void *arg, const struct cli_pg_result *result)
{
        (void)arg;
        if (result->has_rows)
                cli_print_table(result);
        else
                printf("%s\n", result->tag);
        fflush(stdout);
}

static void on_copy(void *arg, struct leat_view bytes)
{
        (void)arg;
        fwrite(bytes.data, 1, bytes.len, stdout);
        fflush(stdout);
}

static void on_notice(void *arg, const char *severity, const char *message, const char *hint)
{
        (void)arg;
        fprintf(stderr, "%s:  %s\n", severity, message);
        if (hint[0] != '\0')
                fprintf(stderr, "HINT:  %s\n", hint);
}

/* The line of the statement with a caret under the place, as psql shows it. */
static void print_place(const char *text, int number, int position)
{
        const char *at = text, *line = text;
        for (int n = 1; n < position && *at != '\0';) {
                if (*at == '\n') {
                        line = at + 1;
                        number++;
                }
                at++;
                n += ((unsigned char)*at & 0xC0) != 0x80;
        }
        char head[32];
        int head_len = snprintf(head, sizeof head, "LINE %d: ", number), before = 0;
        for (const char *p = line; p < at; p++)
                before += ((unsigned char)*p & 0xC0) != 0x80;
        fprintf(stderr, "%s%.*s\n%*s^\n", head, (int)strcspn(line, "\n"), line, head_len + before, "");
}

static bool run(struct shell *sh, const char *sql)
{
        struct cli_pg_ops ops = {.result = on_result, .copy = on_copy, .notice = on_notice};
        struct cli_pg_error e = {0};
        struct leat_error err = {0};
        pthread_mutex_lock(&sh->mutex);
        sh->running = true;
        pthread_mutex_unlock(&sh->mutex);
        int rc = cli_pg_query(sh->pg, sql, &ops, &e, &err);
        pthread_mutex_lock(&sh->mutex);
        sh->running = false;
        pthread_mutex_unlock(&sh->mutex);
        if (rc == LEAT_EINVAL) {
                fprintf(stderr, "%s:  %s\n", e.severity, e.message);
                if (e.position > 0)
                        print_place(sql, sh->line, e.position);
                if (e.hint[0] != '\0')
                        fprintf(stderr, "HINT:  %s\n", e.hint);
        } else if (rc != 0) {
                (void)cli_fail("sql", &err);
                exit(1);
        }
        return rc == 0;
}

/* Waits for SIGINT in a thread of its own: canceling needs a connection, which no signal handler may open. */
static void *interrupts(void *arg)
{
        struct shell *sh = arg;
        sigset_t set;
        int signo;
        sigemptyset(&set);
        sigaddset(&set, SIGINT);
        while (sigwait(&set, &signo) == 0) {
                pthread_mutex_lock(&sh->mutex);
                bool running = sh->running;
                pthread_mutex_unlock(&sh->mutex);
                if (running)
                        cli_pg_cancel(sh->pg);
                else if (sh->interrupts[1] < 0 || write(sh->interrupts[1], "", 1) != 1)
                        _exit(130);
        }
        return NULL;
}

static bool shell_command(struct shell *sh, const char *line)
{
        char sql[512];
        char *name = leat_strdup(line[1] != '\0' ? line + 2 : "");
        char *word = name + strspn(name, " ");
        word[strcspn(word, " ;\n")] = '\0';
        if (line[1] == 'd' && word[0] != '\0') {
                snprintf(sql, sizeof sql, "DESCRIBE \"%.200s\"", word);
                (void)run(sh, sql);
        } else if (line[1] == 'd') {
                (void)run(sh, "SHOW TABLES");
        } else if (line[1] == '?' || line[1] == 'h') {
                fputs("Statements end with ;\n\\q ends the shell, \\d lists relations, \\d NAME describes one.\n",
                      stdout);
        } else if (line[1] != 'q') {
                fprintf(stderr, "unknown command %.2s; \\? helps\n", line);
        }
        free(name);
        return line[1] != 'q';
}

/* Takes one line in; runs the statements that it completes. False: the shell is to end. */
static bool take_line(struct shell *sh, struct cli_line *lines, struct leat_buf *text, const char *line)
{
        if (text->len == 0 && line[0] == '\\')
                return shell_command(sh, line);
        if (text->len != 0)
                leat_buf_u8(text, '\n');
        size_t len = strlen(line); /* a line out of the history may hold several */
        leat_buf_add(text, line, len > 0 && line[len - 1] == '\n' ? len - 1 : len);
        if (strspn(leat_buf_cstr(text), " \t\n") == text->len) {
                leat_buf_clear(text);
        } else if (!leat_sql_incomplete(leat_buf_view(text))) {
                cli_line_remember(lines, leat_buf_cstr(text));
                (void)run(sh, leat_buf_cstr(text));
                leat_buf_clear(text);
        }
        return true;
}

static int interactive(struct shell *sh)
{
        struct leat_buf text = LEAT_BUF_INIT;
        char *home = getenv("HOME"), history_path[4096];
        const char *line;
        snprintf(history_path, sizeof history_path, "%s/.leat_history", home == NULL ? "." : home);
        struct cli_line *lines = cli_line_open(history_path, sh->interrupts[0]);
        if (lines == NULL) {
                fprintf(stderr, "leat sql: cannot edit lines on this terminal\n");
                return 1;
        }
        printf("leat %s: SQL shell. \\? helps, \\q ends.\n", LEAT_VERSION);
        for (;;) {
                int rc = cli_line_read(lines, text.len == 0 ? "leat=> " : "leat-> ", &line);
                if (rc < 0)
                        leat_buf_clear(&text);
                else if (rc == 0 || !take_line(sh, lines, &text, line))
                        break;
        }
        cli_line_close(lines);
        leat_buf_done(&text);
        return 0;
}

/* Statement by statement, where one ends with its line: a file may be larger than a message may be. */
static int run_file(struct shell *sh, const char *path)
{
        struct leat_buf text = LEAT_BUF_INIT;
        FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
        char *line = NULL;
        size_t size = 0;
        ssize_t n;
        bool ok = true;
        int number = 0;
        if (file == NULL) {
                fprintf(stderr, "leat sql: cannot open %s\n", path);
                return 1;
        }
        while (ok && (n = getline(&line, &size, file)) > 0) {
                number++;
                if (text.len == 0)
                        sh->line = number;
                leat_buf_add(&text, line, (size_t)n);
                if (memchr(line, ';', (size_t)n) == NULL || leat_sql_incomplete(leat_buf_view(&text)))
                        continue;
                ok = run(sh, leat_buf_cstr(&text));
                leat_buf_clear(&text);
        }
        if (ok && strspn(leat_buf_cstr(&text), " \t\r\n") < text.len)
                ok = run(sh, leat_buf_cstr(&text));
        if (file != stdin)
                fclose(file);
        free(line);
        leat_buf_done(&text);
        return ok ? 0 : 1;
}

int leat_cli_sql(int argc, char **argv)
{
        const char *pg = getenv("LEAT_PG") == NULL ? CLI_PG_DEFAULT : getenv("LEAT_PG"), *statement = NULL,
                   *file = NULL;
        const char *http = NULL; /* taken as by every client command, and not needed */
        const struct cli_option options[] = {{"--command", "-c", &statement, NULL},
                                             {"--file", "-f", &file, NULL},
                                             {"--pg", NULL, &pg, NULL},
                                             {"--http", NULL, &http, NULL}};
        struct shell sh = {.line = 1, .interrupts = {-1, -1}, .mutex = PTHREAD_MUTEX_INITIALIZER};
        struct leat_error err = {0};
        sigset_t set;
        pthread_t thread;
        int rc = cli_options("sql", usage, argc, argv, options, LEAT_ARRAY_LEN(options), NULL, NULL);
        if (rc != 0)
                return rc < 0 ? 0 : rc;
        if (statement != NULL && file != NULL) {
                fprintf(stderr, "leat sql: give -c or -f, not both\n");
                return 2;
        }
        if (cli_pg_connect(pg, &sh.pg, &err) != 0)
                return cli_fail("sql", &err);
        bool terminal = statement == NULL && file == NULL && isatty(0);
        if (terminal && pipe2(sh.interrupts, O_CLOEXEC | O_NONBLOCK) != 0) {
                perror("leat sql: pipe");
                return 1;
        }
        sigemptyset(&set);
        sigaddset(&set, SIGINT);
        pthread_sigmask(SIG_BLOCK, &set, NULL);
        if (pthread_create(&thread, NULL, interrupts, &sh) == 0)
                pthread_detach(thread);
        if (statement != NULL)
                rc = run(&sh, statement) ? 0 : 1;
        else if (terminal)
                rc = interactive(&sh);
        else
                rc = run_file(&sh, file == NULL ? "-" : file);
        cli_pg_close(sh.pg);
        return rc;
}
