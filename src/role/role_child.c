/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/role: one child process of the supervisor.
 *
 * Its standard error comes through a pipe: passed on at once, and the end of it
 * kept as its "last words". A child that dies is started again after a back-off
 * (role.backoff), doubled each time it dies young (within a minute of its start),
 * and given up after role.deaths of them in a row: starting it for ever would hide
 * the reason and burn the machine. A child that says that it waits for something
 * outside (ROLE_EXIT_WAITS: a full disk, a broker that is away) is not counted
 * among the dead: it heals when the cause is gone.
 */
#include <stdio.h>
#include <sys/wait.h>

#include "role_int.h"

#define CHILD_YOUNG_US (60LL * 1000 * 1000)
#define CHILD_WAITS_US (2LL * 1000 * 1000)

static void addr_text(const struct leat_addr *addr, char out[96])
{
        snprintf(out, 96, strchr(addr->host, ':') != NULL ? "[%s]:%u" : "%s:%u", addr->host, addr->port);
}

/* The command line; one --set for each parameter that is not at its default. */
static char **child_argv(struct leat_arena *arena, const struct leat_child *child, const struct leat_role_args *shared,
                         int ready_fd)
{
        static const char *const doors[] = {"--kafka", "--pg", "--http"};
        struct leat_buf changed = LEAT_BUF_INIT;
        leat_param_changed(&changed);
        size_t count = 0, room = 24;
        for (size_t i = 0; i < changed.len; i++)
                room += changed.data[i] == '\n' ? 2 : 0;
        char **argv = leat_arena_zalloc(arena, room * sizeof *argv);
        argv[count++] = leat_arena_strdup(arena, "leat");
        argv[count++] = leat_arena_strdup(arena, "role");
        argv[count++] = leat_arena_strdup(arena, child->role);
        argv[count++] = leat_arena_strdup(arena, "--data");
        argv[count++] = leat_arena_strdup(arena, shared->data_dir);
        for (int i = 0; i < LEAT_DOOR_COUNT; i++) {
                char text[96];
                addr_text(&shared->doors[i], text);
                argv[count++] = leat_arena_strdup(arena, doors[i]);
                argv[count++] = leat_arena_strdup(arena, text);
        }
        if (child->pipeline != NULL) {
                argv[count++] = leat_arena_strdup(arena, "--pipeline");
                argv[count++] = leat_arena_strdup(arena, child->pipeline);
        }
        argv[count++] = leat_arena_strdup(arena, "--listen-fd");
        argv[count++] = leat_arena_printf(arena, "%d", child->listen_fd);
        argv[count++] = leat_arena_strdup(arena, "--ready-fd");
        argv[count++] = leat_arena_printf(arena, "%d", ready_fd);
        for (char *line = (char *)(uintptr_t)leat_buf_cstr(&changed), *end; (end = strchr(line, '\n')) != NULL;
             line = end + 1) {
                argv[count++] = leat_arena_strdup(arena, "--set");
                argv[count++] = leat_arena_strndup(arena, line, (size_t)(end - line));
        }
        leat_buf_done(&changed);
        return argv;
}

int leat_child_start(struct leat_child *child, const struct leat_role_args *shared, struct leat_error *err)
{
        int log[2], ready[2];
        LEAT_TRY(leat_os_pipe(log, err));
        int rc = leat_os_pipe(ready, err);
        if (rc != 0) {
                leat_os_close(log[0]);
                leat_os_close(log[1]);
                return rc;
        }
        struct leat_arena *arena = leat_arena_new(0);
        /* The lock is inherited: it is free only when the last role is gone, also after the supervisor was killed. */
        int keep[3] = {ready[1], shared->lock_fd, child->listen_fd};
        rc = leat_os_spawn_self(child->process, child_argv(arena, child, shared, ready[1]), keep,
                                child->listen_fd >= 0 ? 3 : 2, log[1], &child->pid, err);
        leat_arena_free(arena);
        leat_os_close(log[1]);
        leat_os_close(ready[1]);
        if (rc != 0) {
                leat_os_close(log[0]);
                leat_os_close(ready[0]);
                return rc;
        }
        child->log_fd = log[0];
        child->ready_fd = ready[0];
        child->ready = false;
        child->started_us = leat_os_monotonic_us();
        child->words_len = 0;
        child->restart_us = 0;
        return 0;
}

static void remember(struct leat_child *child, const char *text, size_t len)
{
        if (len > sizeof child->words) {
                text += len - sizeof child->words;
                len = sizeof child->words;
        }
        size_t keep = LEAT_MIN(child->words_len, sizeof child->words - len);
        memmove(child->words, child->words + child->words_len - keep, keep);
        memcpy(child->words + keep, text, len);
        child->words_len = keep + len;
}

void leat_child_read_log(struct leat_child *child)
{
        char text[8192];
        ssize_t n;
        while (child->log_fd >= 0 && (n = leat_os_read(child->log_fd, text, sizeof text)) >= 0) {
                if (n == 0) {
                        leat_os_close(child->log_fd);
                        child->log_fd = -1;
                        return;
                }
                (void)!leat_os_write(2, text, (size_t)n);
                remember(child, text, (size_t)n);
        }
}

bool leat_child_read_ready(struct leat_child *child)
{
        char byte;
        ssize_t n = leat_os_read(child->ready_fd, &byte, 1);
        if (n < 0)
                return false;
        leat_os_close(child->ready_fd);
        child->ready_fd = -1;
        child->ready = n == 1;
        return child->ready;
}

/* The last lines of what it wrote, indented. */
static void print_words(const struct leat_child *child)
{
        size_t at = child->words_len;
        int lines = 0;
        while (at > 0 && lines <= 12)
                lines += child->words[--at] == '\n';
        if (at > 0)
                at++;
        fprintf(stderr, "leat: last words of %s:\n", child->name);
        while (at < child->words_len) {
                const char *end = memchr(child->words + at, '\n', child->words_len - at);
                size_t len = end == NULL ? child->words_len - at : (size_t)(end - (child->words + at));
                fprintf(stderr, "    %.*s\n", (int)len, child->words + at);
                at += len + 1;
        }
}

/* The value of key @key (with its opening quote) in a log line; empty when it is not there. */
static struct leat_view line_value(struct leat_view line, const char *key)
{
        const char *at = memmem(line.data, line.len, key, strlen(key)), *end = (const char *)line.data + line.len;
        if (at == NULL)
                return leat_view_of(NULL, 0);
        at += strlen(key);
        const char *close = at;
        while (close < end && *close != '"')
                close += *close == '\\' ? 2 : 1;
        return leat_view_of(at, close >= end ? 0 : (size_t)(close - at));
}

/* As it was before the log put it into quotes. */
static void unquoted(struct leat_view text, struct leat_buf *out)
{
        for (size_t i = 0; i < text.len; i++) {
                i += text.data[i] == '\\' && i + 1 < text.len;
                leat_buf_u8(out, text.data[i]);
        }
}

void leat_child_words_save(const struct leat_child *child, const char *data_dir)
{
        static const char no_memory[] = "leat: out of memory: "; /* its abort is told after it, and says less */
        struct leat_buf text = LEAT_BUF_INIT;
        struct leat_view last = {0}, why = {0};
        char path[4096];
        /* The line of a crash is followed by others; of errors the last one counts. */
        for (size_t at = 0, end; at < child->words_len; at = end + 1) {
                const char *eol = memchr(child->words + at, '\n', child->words_len - at);
                end = eol == NULL ? child->words_len : (size_t)(eol - child->words);
                struct leat_view line = leat_view_of(child->words + at, end - at);
                if (memmem(line.data, line.len, " crashed: signal ", 17) != NULL ||
                    (line.len > sizeof no_memory && memcmp(line.data, no_memory, sizeof no_memory - 1) == 0))
                        why = memmem(why.data, why.len, no_memory, sizeof no_memory - 1) != NULL ? why : line;
                else if (memmem(line.data, line.len, " level=error ", 13) != NULL)
                        why = line_value(line, " error=\"").len != 0 ? line_value(line, " error=\"")
                                                                     : line_value(line, " msg=\"");
                last = line.len != 0 ? line : last;
        }
        if (why.len == 0)
                why = last;
        leat_buf_printf(&text, "%s\n%s, ", child->given_up ? "down" : "again", child->how);
        unquoted(leat_view_of(why.data, LEAT_MIN(why.len, (size_t)600)), &text);
        snprintf(path, sizeof path, "%s/run/%s%s%s.words", data_dir, child->role, child->pipeline != NULL ? "-" : "",
                 child->pipeline != NULL ? child->pipeline : "");
        (void)!leat_os_replace_file(path, leat_buf_view(&text), false, NULL); /* best effort: the log has it too */
        leat_buf_done(&text);
}

void leat_child_ended(struct leat_child *child, int status)
{
        int64_t now_us = leat_os_monotonic_us();
        leat_child_read_log(child);
        if (child->log_fd >= 0)
                leat_os_close(child->log_fd);
        if (child->ready_fd >= 0)
                leat_os_close(child->ready_fd);
        child->log_fd = child->ready_fd = -1;
        child->pid = 0;
        child->ready = false;
        if (child->stopping)
                return;
        if (WIFSIGNALED(status))
                snprintf(child->how, sizeof child->how, "signal=%d", WTERMSIG(status));
        else
                snprintf(child->how, sizeof child->how, "exit=%d", WEXITSTATUS(status));
        if (WIFEXITED(status) && WEXITSTATUS(status) == ROLE_EXIT_WAITS) {
                child->restart_us = now_us + CHILD_WAITS_US;
                leat_diag(LEAT_DIAG_WARN, "role", "a role cannot work now and is started again",
                          "name=\"%s\" wait_ms=%lld", child->name, CHILD_WAITS_US / 1000);
                return;
        }
        child->deaths = now_us - child->started_us < CHILD_YOUNG_US ? child->deaths + 1 : 1;
        child->given_up = child->deaths >= leat_param(LEAT_P_ROLE_DEATHS);
        int64_t wait_us = leat_param(LEAT_P_ROLE_BACKOFF) << LEAT_MIN(child->deaths - 1, 6);
        child->restart_us = now_us + wait_us;
        if (!child->given_up) {
                leat_diag(LEAT_DIAG_WARN, "role", "a role has ended and is started again",
                          "name=\"%s\" %s deaths=%d wait_ms=%lld", child->name, child->how, child->deaths,
                          (long long)(wait_us / 1000));
                return;
        }
        leat_diag(LEAT_DIAG_ERROR, "role", "a role keeps dying and is not started again", "name=\"%s\" %s deaths=%d",
                  child->name, child->how, child->deaths);
        print_words(child);
}
