/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/base: diagnostics, one line of key=value on standard error:
 *
 *   ts=2026-11-24T21:54:55.123Z level=warn role=broker mod=log msg="segment sealed" topic=scans partition=0
 *
 * The same line (module and message) repeated within a second is counted, and
 * the count is added to the next one. Thread: any.
 */
#ifndef LEAT_DIAG_H
#define LEAT_DIAG_H

#include "leat/error.h"

enum leat_diag_level { LEAT_DIAG_DEBUG, LEAT_DIAG_INFO, LEAT_DIAG_WARN, LEAT_DIAG_ERROR };

/* Sets the role that every line names, and the least level that is written. */
void leat_diag_init(const char *role, enum leat_diag_level least);
/* "debug", "info", "warn", "error"; -1 when it is none of them. */
int leat_diag_level_parse(const char *text);
/* @fmt makes the key=value part, e.g. "topic=%s offset=%" PRId64; "" for none. */
void leat_diag(enum leat_diag_level level, const char *module, const char *message, const char *fmt, ...)
        LEAT_PRINTF(4, 5);
/* Writes message and hint of @err under @message. */
void leat_diag_error(const char *module, const char *message, const struct leat_error *err);
/* From now on a crash of this process (SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT) prints role, signal, address and
 * call stack on standard error before it ends. Thread: main, once, at the start. */
void leat_diag_crash_install(const char *role);

#endif
