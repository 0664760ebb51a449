/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/cli: lines of a terminal, edited with libedit, with a history.
 *
 * Ctrl-C reaches a program at any moment: while libedit draws its prompt, just before it reads, while it switches the
 * terminal over. A signal handler that has to break off a read() is lost whenever it runs before that read. Here no
 * thread that reads lines takes the signal at all: whoever takes it writes a byte into a pipe, and characters are read
 * by a function of ours that waits for the terminal and for the pipe alike.
 */
#include <errno.h>
#include <histedit.h>
#include <locale.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <wchar.h>

#include "cli_int.h"

#define HISTORY_LINES 1000

struct cli_line {
        EditLine *edit;
        History *history;
        const char *prompt, *path;
        int interrupts; /* a pipe: a byte is a Ctrl-C */
        bool interrupted;
};

static char *prompt_of(EditLine *edit)
{
        struct cli_line *line;
        el_get(edit, EL_CLIENTDATA, &line);
        return (char *)line->prompt;
}

/* Waits for a byte of the terminal: 1 a byte, 0 the end or a Ctrl-C. */
static int next_byte(struct cli_line *line, char *byte)
{
        struct pollfd doors[2] = {{.fd = line->interrupts, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
        for (;;) {
                if (poll(doors, 2, -1) < 0) {
                        if (errno == EINTR)
                                continue;
                        return 0;
                }
                if (doors[0].revents != 0) {
                        char all[16];
                        line->interrupted = read(line->interrupts, all, sizeof all) > 0;
                        return 0;
                }
                ssize_t n = read(0, byte, 1);
                if (n < 0 && (errno == EINTR || errno == EAGAIN))
                        continue;
                return n == 1;
        }
}

/* For libedit: 1 = one character in @wide, 0 = end. Bytes that are no character of the locale are left out. */
static int next_character(EditLine *edit, wchar_t *wide)
{
        struct cli_line *line;
        mbstate_t state = {0};
        char byte;
        el_get(edit, EL_CLIENTDATA, &line);
        while (next_byte(line, &byte) == 1) {
                size_t n = mbrtowc(wide, &byte, 1, &state);
                if (n == 0 || n == 1)
                        return 1;
                if (n == (size_t)-1)
                        memset(&state, 0, sizeof state);
        }
        return 0;
}

struct cli_line *cli_line_open(const char *history_path, int interrupts)
{
        struct cli_line *line = leat_calloc(1, sizeof *line);
        HistEvent event;
        /* Without a locale, or with one of bytes, characters beyond ASCII could not be typed. */
        if (setlocale(LC_CTYPE, "") == NULL || MB_CUR_MAX == 1)
                (void)setlocale(LC_CTYPE, "C.UTF-8");
        *line = (struct cli_line){.prompt = "", .path = history_path, .interrupts = interrupts};
        line->edit = el_init("leat", stdin, stdout, stderr);
        line->history = history_init();
        if (line->edit == NULL || line->history == NULL) {
                cli_line_close(line);
                return NULL;
        }
        history(line->history, &event, H_SETSIZE, HISTORY_LINES);
        history(line->history, &event, H_LOAD, history_path);
        el_set(line->edit, EL_CLIENTDATA, line);
        el_set(line->edit, EL_PROMPT, prompt_of);
        el_set(line->edit, EL_EDITOR, "emacs");
        el_set(line->edit, EL_HIST, history, line->history);
        el_set(line->edit, EL_GETCFN, next_character);
        el_set(line->edit, EL_BIND, "^R", "em-inc-search-prev", NULL);
        el_source(line->edit, NULL);
        return line;
}

int cli_line_read(struct cli_line *line, const char *prompt, const char **text)
{
        int len = 0;
        line->prompt = prompt;
        line->interrupted = false;
        *text = el_gets(line->edit, &len);
        if (line->interrupted) {
                fputs("^C\n", stdout);
                return -1;
        }
        return *text != NULL && len > 0;
}

void cli_line_remember(struct cli_line *line, const char *statement)
{
        HistEvent event;
        history(line->history, &event, H_ENTER, statement);
}

void cli_line_close(struct cli_line *line)
{
        HistEvent event;
        if (line->history != NULL) {
                history(line->history, &event, H_SAVE, line->path);
                history_end(line->history);
        }
        if (line->edit != NULL)
                el_end(line->edit);
        free(line);
}
