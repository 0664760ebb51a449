/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/base: diagnostics on standard error, one key=value line a call, written
 * by one write(2) so that lines of several processes do not mix.
 *
 * Repeats   A small table remembers when a (module, message) was last written.
 *           Within a second of it the line is only counted; the next one that
 *           is written carries repeated=N.
 */
#include "leat/diag.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "leat/bytes.h"
#include "leat/hash.h"
#include "leat/mem.h"
#include "leat/time.h"

#define REPEAT_SLOTS 64
#define REPEAT_US 1000000

struct repeat {
        uint64_t key;
        int64_t written_us;
        uint32_t skipped;
};

/* Diag state is the one global that libraries have. */
static struct {
        pthread_mutex_t lock;
        char role[32];
        enum leat_diag_level least;
        struct repeat repeats[REPEAT_SLOTS]; /* locked */
} diag = {.lock = PTHREAD_MUTEX_INITIALIZER, .role = "-", .least = LEAT_DIAG_INFO};

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void leat_diag_init(const char *role, enum leat_diag_level least)
{
        snprintf(diag.role, sizeof(diag.role), "%s", role);
        diag.least = least;
}

int leat_diag_level_parse(const char *text)
{
        for (int i = 0; i < (int)LEAT_ARRAY_LEN(level_names); i++)
                if (strcmp(text, level_names[i]) == 0)
                        return i;
        return -1;
}

/* False when the line is only to be counted; else sets how many were skipped. */
static bool repeat_check(const char *module, const char *message, int64_t now_us, uint32_t *ret_skipped)
{
        uint64_t key = leat_hash64(leat_hash64(1, module, strlen(module)), message, strlen(message));
        pthread_mutex_lock(&diag.lock);
        struct repeat *slot = &diag.repeats[key % REPEAT_SLOTS];
        bool write_it = slot->key != key || now_us - slot->written_us >= REPEAT_US || now_us < slot->written_us;
        if (write_it) {
                *ret_skipped = slot->key == key ? slot->skipped : 0;
                *slot = (struct repeat){.key = key, .written_us = now_us};
        } else {
                slot->skipped++;
        }
        pthread_mutex_unlock(&diag.lock);
        return write_it;
}

void leat_diag(enum leat_diag_level level, const char *module, const char *message, const char *fmt, ...)
{
        if (level < diag.least)
                return;
        struct timespec ts;
        clock_gettime(CLOCK_REALTIME, &ts);
        int64_t now_us = (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
        uint32_t skipped = 0;
        if (!repeat_check(module, message, now_us, &skipped))
                return;
        char when[LEAT_TIME_TEXT_MAX], pairs[1024];
        leat_time_format(now_us / 1000 * 1000, when);
        va_list args;
        va_start(args, fmt);
        vsnprintf(pairs, sizeof(pairs), fmt, args);
        va_end(args);
        struct leat_buf line = LEAT_BUF_INIT;
        leat_buf_printf(&line, "ts=%s level=%s role=%s mod=%s msg=", when, level_names[level], diag.role, module);
        leat_buf_json_str(&line, leat_view_str(message));
        if (pairs[0] != '\0')
                leat_buf_printf(&line, " %s", pairs);
        if (skipped > 0)
                leat_buf_printf(&line, " repeated=%u", skipped);
        leat_buf_u8(&line, '\n');
        ssize_t ignored = write(STDERR_FILENO, line.data, line.len);
        (void)ignored; /* there is nowhere else to tell it */
        leat_buf_done(&line);
}

void leat_diag_error(const char *module, const char *message, const struct leat_error *err)
{
        struct leat_buf text = LEAT_BUF_INIT;
        leat_buf_printf(&text, "code=%s error=", leat_code_name(err->code));
        leat_buf_json_str(&text, leat_view_str(err->message));
        if (err->hint[0] != '\0') {
                leat_buf_add_str(&text, " hint=");
                leat_buf_json_str(&text, leat_view_str(err->hint));
        }
        leat_diag(LEAT_DIAG_ERROR, module, message, "%s", leat_buf_cstr(&text));
        leat_buf_done(&text);
}
