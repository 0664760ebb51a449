/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/base: error values and failed assertions.
 *
 * An error is a plain struct on the caller's stack, so that making one never
 * allocates and never fails; texts that do not fit are cut.
 */
#include "leat/error.h"

#include <errno.h>
#include <execinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const code_texts[] = {[LEAT_OK] = "ok",
#define X(name, text) [name] = text,
                                         LEAT_ERROR_CODES(X)
#undef X
};

static const char *const code_names[] = {[LEAT_OK] = "LEAT_OK",
#define X(name, text) [name] = #name,
                                         LEAT_ERROR_CODES(X)
#undef X
};

static bool code_known(int code)
{
        return code >= 0 && (size_t)code < sizeof(code_texts) / sizeof(code_texts[0]);
}

const char *leat_code_text(int code)
{
        return code_known(code) ? code_texts[code] : "unknown error";
}

const char *leat_code_name(int code)
{
        return code_known(code) ? code_names[code] : "LEAT_?";
}

static void error_begin(struct leat_error *err, int code)
{
        err->code = code;
        err->retriable = false;
        err->fatal = false;
        err->position = 0;
        err->os_errno = 0;
        err->hint[0] = '\0';
}

int leat_error_set(struct leat_error *err, int code, const char *fmt, ...)
{
        if (err == NULL)
                return code;
        /* The arguments may be texts of the very error that is overwritten. */
        char text[sizeof(err->message)];
        va_list args;
        va_start(args, fmt);
        vsnprintf(text, sizeof(text), fmt, args);
        va_end(args);
        error_begin(err, code);
        memcpy(err->message, text, sizeof(text));
        return code;
}

static int code_of_errno(int os_errno)
{
        switch (os_errno) {
        case ENOSPC:
        case EDQUOT:
                return LEAT_EFULL;
        case ENOMEM:
                return LEAT_ENOMEM;
        case ENOENT:
                return LEAT_ENOTFOUND;
        case EEXIST:
                return LEAT_EEXISTS;
        default:
                return LEAT_EIO;
        }
}

int leat_error_sys(struct leat_error *err, int os_errno, const char *fmt, ...)
{
        int code = code_of_errno(os_errno);
        if (err == NULL)
                return code;
        char text[sizeof(err->message)];
        va_list args;
        va_start(args, fmt);
        vsnprintf(text, sizeof(text), fmt, args);
        va_end(args);
        error_begin(err, code);
        err->retriable = code == LEAT_EFULL;
        err->os_errno = os_errno;
        char reason[96];
        snprintf(err->message, sizeof(err->message), "%s: %s", text, strerror_r(os_errno, reason, sizeof(reason)));
        return code;
}

void leat_error_hint(struct leat_error *err, const char *fmt, ...)
{
        if (err == NULL)
                return;
        char text[sizeof(err->hint)];
        va_list args;
        va_start(args, fmt);
        vsnprintf(text, sizeof(text), fmt, args);
        va_end(args);
        memcpy(err->hint, text, sizeof(text));
}

void leat_error_prefix(struct leat_error *err, const char *fmt, ...)
{
        if (err == NULL)
                return;
        char text[sizeof(err->message)];
        va_list args;
        va_start(args, fmt);
        vsnprintf(text, sizeof(text), fmt, args);
        va_end(args);
        size_t len = strlen(text);
        if (len + 2 < sizeof(text))
                snprintf(text + len, sizeof(text) - len, ": %s", err->message);
        memcpy(err->message, text, sizeof(text));
}

/* Writes straight to the descriptor: the heap may be what is broken. */
void leat_assert_failed(const char *expr, const char *file, int line)
{
        char text[512];
        int len = snprintf(text, sizeof(text), "leat: assertion failed: %s at %s:%d\n", expr, file, line);
        if (len > (int)sizeof(text) - 1)
                len = (int)sizeof(text) - 1;
        ssize_t ignored = write(STDERR_FILENO, text, (size_t)len);
        (void)ignored;
        void *frames[48];
        backtrace_symbols_fd(frames, backtrace(frames, 48), STDERR_FILENO);
        abort();
}
