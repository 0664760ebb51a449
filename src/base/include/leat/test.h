/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/base: unit tests. A test is a function that registers itself:
 *
 *   LEAT_TEST(segment_append) { CHECK_INT(append(), 0); }
 *
 * Linking leat_test_main gives main(), which runs all tests of the program (or
 * those whose name holds an argument) and prints TAP. A failed CHECK ends its
 * test. leat_test_tmpdir() is a fresh folder, removed when the test passes.
 */
#ifndef LEAT_TEST_H
#define LEAT_TEST_H

#include <inttypes.h>
#include <stdint.h>
#include <string.h>

#include "leat/error.h"

struct leat_test {
        const char *name;
        void (*run)(void);
        struct leat_test *next;
};
void leat_test_register(struct leat_test *test);
_Noreturn void leat_test_fail(const char *file, int line, const char *fmt, ...) LEAT_PRINTF(3, 4);
/* Ends the running test as skipped, with the reason. */
_Noreturn void leat_test_skip(const char *reason);
const char *leat_test_tmpdir(void);
/* Seed of random tests: LEAT_TEST_SEED, else fixed; printed when a test fails. */
uint64_t leat_test_seed(void);
/* Multiplies the rounds of long tests: LEAT_TEST_SCALE, default 1. */
int leat_test_scale(void);

#define LEAT_TEST(id) \
        static void leat_test_run_##id(void); \
        static struct leat_test leat_test_##id = {.name = #id, .run = leat_test_run_##id}; \
        __attribute__((constructor)) static void leat_test_reg_##id(void) \
        { \
                leat_test_register(&leat_test_##id); \
        } \
        static void leat_test_run_##id(void)

#define CHECK(expr) \
        do { \
                if (!(expr)) \
                        leat_test_fail(__FILE__, __LINE__, "%s", #expr); \
        } while (0)
#define CHECK_INT(got, want) \
        do { \
                int64_t got_ = (int64_t)(got), want_ = (int64_t)(want); \
                if (got_ != want_) \
                        leat_test_fail(__FILE__, __LINE__, "%s is %" PRId64 ", not %" PRId64, #got, got_, want_); \
        } while (0)
#define CHECK_STR(got, want) \
        do { \
                const char *got_ = (got), *want_ = (want); \
                if (strcmp(got_, want_) != 0) \
                        leat_test_fail(__FILE__, __LINE__, "%s is \"%s\", not \"%s\"", #got, got_, want_); \
        } while (0)
/* The call must return 0; its error is shown when it does not. */
#define CHECK_OK(call, err) \
        do { \
                int rc_ = (call); \
                if (rc_ != 0) \
                        leat_test_fail(__FILE__, __LINE__, "%s: %s: %s", #call, leat_code_name(rc_), (err)->message); \
        } while (0)

#endif
