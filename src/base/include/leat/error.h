/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/base: errors.
 *
 * Every fallible function returns 0 or one of the codes below and fills the
 * `struct leat_error` that the caller passed last (NULL is allowed). The
 * message says what went wrong, with which value; the hint says what to do.
 * Codes are translated to Kafka codes, SQLSTATE and HTTP status in the doors
 * only. Library code returns errors, the edges log them.
 */
#ifndef LEAT_ERROR_H
#define LEAT_ERROR_H

#include <stdarg.h>
#include <stdbool.h>

/* X(name, text): the one list of codes. */
#define LEAT_ERROR_CODES(X) \
        X(LEAT_ENOMEM, "out of memory") \
        X(LEAT_EIO, "input/output error") \
        X(LEAT_EFULL, "no space left") \
        X(LEAT_EINVAL, "invalid value") \
        X(LEAT_ECORRUPT, "damaged data") \
        X(LEAT_ENOTFOUND, "not found") \
        X(LEAT_EEXISTS, "already exists") \
        X(LEAT_ETIMEOUT, "timed out") \
        X(LEAT_ECLOSED, "closed") \
        X(LEAT_EBUSY, "busy") \
        X(LEAT_ETOOBIG, "too large") \
        X(LEAT_EUNSUPPORTED, "not supported") \
        X(LEAT_EFENCED, "fenced by a newer owner") \
        X(LEAT_ECANCELED, "canceled") \
        X(LEAT_EPROTO, "protocol violation") \
        X(LEAT_ERANGE, "out of range") \
        X(LEAT_ESEQUENCE, "out of sequence") \
        X(LEAT_EDUPLICATE, "duplicate") \
        X(LEAT_ESYNTAX, "syntax error") \
        X(LEAT_ENORELATION, "relation does not exist") \
        X(LEAT_ENOCOLUMN, "column does not exist") \
        X(LEAT_ENOFUNCTION, "function does not exist") \
        X(LEAT_ETYPE, "type mismatch") \
        X(LEAT_EAMBIGUOUS, "ambiguous name") \
        X(LEAT_EDEPENDENT, "other objects depend on it") \
        X(LEAT_EDENIED, "not allowed") \
        X(LEAT_ECONFLICT, "conflict") \
        X(LEAT_EINTERNAL, "internal error")

enum leat_code {
        LEAT_OK = 0,
#define X(name, text) name,
        LEAT_ERROR_CODES(X)
#undef X
};

/* What failed. Lives on the caller's stack; holds no pointers. */
struct leat_error {
        int code;       /* enum leat_code; 0 = none */
        bool retriable; /* the same call may succeed later */
        bool fatal;     /* the object that returned it is unusable now */
        int position;   /* 1-based character in the user's statement; 0 = none */
        int os_errno;   /* errno behind it; 0 = none */
        char message[512];
        char hint[256];
};

#define LEAT_NODISCARD __attribute__((warn_unused_result))
#define LEAT_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* Returns the English text of a code; never NULL. Thread: any. */
const char *leat_code_text(int code);
/* Returns the name of a code, "LEAT_EIO"; never NULL. Thread: any. */
const char *leat_code_name(int code);

/* Fills @err (when not NULL) and returns @code, so that a caller can write
 * `return leat_error_set(err, LEAT_EINVAL, "...", ...)`. Clears hint,
 * position and flags. Thread: any. */
int leat_error_set(struct leat_error *err, int code, const char *fmt, ...) LEAT_PRINTF(3, 4);
/* As leat_error_set, from errno @os_errno: ENOSPC and EDQUOT become
 * LEAT_EFULL (retriable), ENOMEM LEAT_ENOMEM, ENOENT LEAT_ENOTFOUND, EEXIST
 * LEAT_EEXISTS, anything else LEAT_EIO; ": <strerror>" is appended. */
int leat_error_sys(struct leat_error *err, int os_errno, const char *fmt, ...) LEAT_PRINTF(3, 4);
/* Sets the hint; does nothing when @err is NULL. */
void leat_error_hint(struct leat_error *err, const char *fmt, ...) LEAT_PRINTF(2, 3);
/* Puts "<text>: " in front of the message; does nothing when @err is NULL. */
void leat_error_prefix(struct leat_error *err, const char *fmt, ...) LEAT_PRINTF(2, 3);

/* Returns the error of the enclosing function when @call fails. */
#define LEAT_TRY(call) \
        do { \
                int leat_try_rc_ = (call); \
                if (leat_try_rc_ != 0) \
                        return leat_try_rc_; \
        } while (0)
/* Sets `rc` and goes to the single `fail:` label when @call fails. */
#define LEAT_TRY_GOTO(call) \
        do { \
                rc = (call); \
                if (rc != 0) \
                        goto fail; \
        } while (0)

/* Assertions stay on in release builds. Never for input of a peer. */
_Noreturn void leat_assert_failed(const char *expr, const char *file, int line);
#define LEAT_ASSERT(expr) ((expr) ? (void)0 : leat_assert_failed(#expr, __FILE__, __LINE__))
#ifdef LEAT_DEBUG
#define LEAT_DCHECK(expr) LEAT_ASSERT(expr)
#else
#define LEAT_DCHECK(expr) ((void)0)
#endif

#endif
