/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/base: last words. A process that dies by a signal of its own making
 * (a wild pointer, an assertion) says which role it was, what happened where,
 * in lines that a stranger can send to us:
 *
 *   leat: broker crashed: signal 11 (Segmentation fault), address 0x10, pid 4711
 *   build/leat(leat_log_append+0x3c)[0x4a11bc]
 *   ...
 *   leat: please report these lines; the supervisor starts the role again
 *
 * The handler runs on a stack of its own, because a stack that overflowed is
 * one of the causes, and makes async-signal-safe calls only. (backtrace() is
 * not promised to be one; calling it once beforehand loads what it loads.)
 * A sanitizer that is there has better words: its handlers stay.
 */
#include <execinfo.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "leat/diag.h"
#include "leat/mem.h"

#define CRASH_STACK_BYTES 65536
#define CRASH_FRAMES 48

static char crash_role[32];
static volatile sig_atomic_t crash_running;

static void put_text(const char *text)
{
        ssize_t ignored = write(STDERR_FILENO, text, strlen(text));
        (void)ignored;
}

static void put_number(uint64_t value, unsigned base)
{
        char text[24];
        size_t at = sizeof(text) - 1;
        text[at] = '\0';
        do
                text[--at] = "0123456789abcdef"[value % base];
        while ((value /= base) > 0);
        put_text(text + at);
}

static void on_crash(int sig, siginfo_t *info, void *context)
{
        void *frames[CRASH_FRAMES];
        (void)context;
        /* A second crash, of another thread or of this very handler, says nothing more. */
        if (!crash_running) {
                crash_running = 1;
                const char *name = sigdescr_np(sig);
                put_text("leat: ");
                put_text(crash_role);
                put_text(" crashed: signal ");
                put_number((uint64_t)sig, 10);
                put_text(" (");
                put_text(name != NULL ? name : "?");
                put_text(sig == SIGABRT ? ")" : "), address 0x");
                if (sig != SIGABRT)
                        put_number((uint64_t)(uintptr_t)info->si_addr, 16);
                put_text(", pid ");
                put_number((uint64_t)getpid(), 10);
                put_text("\n");
                backtrace_symbols_fd(frames, backtrace(frames, CRASH_FRAMES), STDERR_FILENO);
                put_text("leat: please report these lines; the supervisor starts the role again\n");
        }
        signal(sig, SIG_DFL);
        raise(sig);
}

void leat_diag_crash_install(const char *role)
{
        static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
        static uint8_t stack[CRASH_STACK_BYTES]; /* of the thread that installs: the main one */
        stack_t alternate = {.ss_sp = stack, .ss_size = sizeof(stack)};
        void *frames[1];
        snprintf(crash_role, sizeof(crash_role), "%s", role);
        backtrace(frames, 1);
        sigaltstack(&alternate, NULL);
        for (size_t i = 0; i < LEAT_ARRAY_LEN(signals); i++) {
                struct sigaction old, action = {.sa_sigaction = on_crash, .sa_flags = SA_SIGINFO | SA_ONSTACK};
                if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
                        sigaction(signals[i], &action, NULL);
        }
}
