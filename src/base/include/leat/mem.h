/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/base: memory. Arenas by lifetime, plus the small allocations that may
 * abort. Sizes that come from a peer are checked against a limit by the caller
 * before they reach these functions.
 */
#ifndef LEAT_MEM_H
#define LEAT_MEM_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "leat/error.h"

/* malloc, calloc, realloc, strdup that abort when memory is out; strndup copies
 * exactly @bytes bytes, a NUL among them too, and adds one NUL (unlike C's it
 * does not stop early). Free with free(). Thread: any. */
void *leat_malloc(size_t bytes) __attribute__((malloc, returns_nonnull));
void *leat_calloc(size_t count, size_t bytes) __attribute__((malloc, returns_nonnull));
void *leat_realloc(void *old, size_t bytes) __attribute__((returns_nonnull));
char *leat_strdup(const char *text) __attribute__((malloc, returns_nonnull));
char *leat_strndup(const char *text, size_t bytes) __attribute__((malloc, returns_nonnull));
/* sprintf into fresh memory; free with free(). */
char *leat_asprintf(const char *fmt, ...) LEAT_PRINTF(1, 2);

/* For a process through which large buffers run all the time (frames, answers): up to 32 MiB that were freed at the end of a
 * heap stay with the process, and buffers of less than 8 MiB come from there. Otherwise the C library gives them back to the
 * system each time, which then clears the pages anew: a tenth of what the broker costs. Call it at the start. */
void leat_malloc_keep(void);

/* A growing region that is freed or reset as one. Not thread-safe. In an
 * address-sanitizer build every allocation is a malloc of its own. */
struct leat_arena;

/* @chunk_bytes is the size of a normal chunk (0 = 16 KiB). Never NULL. */
struct leat_arena *leat_arena_new(size_t chunk_bytes);
/* Frees it and runs its cleanups; NULL is allowed. */
void leat_arena_free(struct leat_arena *arena);
/* Forgets every allocation, runs cleanups, keeps one chunk for reuse. */
void leat_arena_reset(struct leat_arena *arena);
/* Returns 16-byte aligned memory, not zeroed; 0 bytes give a valid pointer. */
void *leat_arena_alloc(struct leat_arena *arena, size_t bytes) __attribute__((returns_nonnull));
void *leat_arena_zalloc(struct leat_arena *arena, size_t bytes) __attribute__((returns_nonnull));
/* Copy of @bytes at @from; NULL for NULL. */
void *leat_arena_copy(struct leat_arena *arena, const void *from, size_t bytes);
char *leat_arena_strdup(struct leat_arena *arena, const char *text);
/* Exactly @bytes bytes, a NUL among them too, and one NUL behind. */
char *leat_arena_strndup(struct leat_arena *arena, const char *text, size_t bytes);
char *leat_arena_printf(struct leat_arena *arena, const char *fmt, ...) LEAT_PRINTF(2, 3);
/* Calls @fn(@arg) at reset or free, last registered first. */
void leat_arena_cleanup(struct leat_arena *arena, void (*fn)(void *), void *arg);
/* Bytes held, overhead included. */
size_t leat_arena_bytes(const struct leat_arena *arena);

#define LEAT_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define LEAT_MIN(a, b) ((a) < (b) ? (a) : (b))
#define LEAT_MAX(a, b) ((a) > (b) ? (a) : (b))

#endif
