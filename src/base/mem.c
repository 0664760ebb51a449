/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/base: memory.
 *
 * Design    An arena is a list of chunks; small allocations are cut from the
 *           newest normal chunk, a large one gets a chunk of its own that is
 *           put behind it, so that the room left in the normal chunk stays in
 *           use. Reset keeps the newest normal chunk.
 * Checking  In an address-sanitizer build every allocation is a chunk of its
 *           own, so that reading past it or after a reset is found.
 */
#include "leat/mem.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_SEPARATE 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_SEPARATE 1
#endif
#endif
#ifndef ARENA_SEPARATE
#define ARENA_SEPARATE 0
#endif

#define ARENA_ALIGN 16u
#define ARENA_CHUNK_BYTES 16384u

static _Noreturn void out_of_memory(size_t bytes)
{
        fprintf(stderr, "leat: out of memory: %zu bytes refused\n", bytes);
        abort();
}

void leat_malloc_keep(void)
{
#ifdef __GLIBC__
        mallopt(M_MMAP_THRESHOLD, 8 << 20);
        mallopt(M_TRIM_THRESHOLD, 32 << 20);
#endif
}

void *leat_malloc(size_t bytes)
{
        void *p = malloc(bytes > 0 ? bytes : 1);
        if (p == NULL)
                out_of_memory(bytes);
        return p;
}

void *leat_calloc(size_t count, size_t bytes)
{
        void *p = calloc(count > 0 ? count : 1, bytes > 0 ? bytes : 1);
        if (p == NULL)
                out_of_memory(count * bytes);
        return p;
}

void *leat_realloc(void *old, size_t bytes)
{
        void *p = realloc(old, bytes > 0 ? bytes : 1);
        if (p == NULL)
                out_of_memory(bytes);
        return p;
}

char *leat_strdup(const char *text)
{
        return leat_strndup(text, strlen(text));
}

char *leat_strndup(const char *text, size_t bytes)
{
        char *copy = leat_malloc(bytes + 1);
        if (bytes > 0)
                memcpy(copy, text, bytes);
        copy[bytes] = '\0';
        return copy;
}

char *leat_asprintf(const char *fmt, ...)
{
        va_list args;
        va_start(args, fmt);
        char *text = NULL;
        if (vasprintf(&text, fmt, args) < 0)
                out_of_memory(0);
        va_end(args);
        return text;
}

/* ---- arenas --------------------------------------------------------------- */

struct arena_chunk {
        struct arena_chunk *next;
        size_t cap;
        size_t used;
        size_t pad_; /* the data behind it stays 16-byte aligned */
};

struct arena_cleanup {
        struct arena_cleanup *next;
        void (*fn)(void *);
        void *arg;
};

struct leat_arena {
        struct arena_chunk *chunks; /* the first one is the one that is cut from */
        struct arena_cleanup *cleanups;
        size_t chunk_bytes;
        size_t held_bytes;
};

_Static_assert(sizeof(struct arena_chunk) % ARENA_ALIGN == 0, "data behind the head is aligned");

static uint8_t *chunk_data(struct arena_chunk *chunk)
{
        return (uint8_t *)(chunk + 1);
}

static struct arena_chunk *chunk_new(struct leat_arena *arena, size_t cap)
{
        struct arena_chunk *chunk = leat_malloc(sizeof(*chunk) + cap);
        *chunk = (struct arena_chunk){.cap = cap};
        arena->held_bytes += sizeof(*chunk) + cap;
        return chunk;
}

static void chunk_free(struct leat_arena *arena, struct arena_chunk *chunk)
{
        arena->held_bytes -= sizeof(*chunk) + chunk->cap;
        free(chunk);
}

struct leat_arena *leat_arena_new(size_t chunk_bytes)
{
        struct leat_arena *arena = leat_calloc(1, sizeof(*arena));
        if (chunk_bytes == 0)
                chunk_bytes = ARENA_CHUNK_BYTES;
        chunk_bytes = LEAT_MAX(chunk_bytes, 256u);
        arena->chunk_bytes = (chunk_bytes - sizeof(struct arena_chunk)) & ~(size_t)(ARENA_ALIGN - 1);
        arena->held_bytes = sizeof(*arena);
        return arena;
}

static void arena_run_cleanups(struct leat_arena *arena)
{
        /* A cleanup may register another one: take them one by one. */
        while (arena->cleanups != NULL) {
                struct arena_cleanup *cleanup = arena->cleanups;
                arena->cleanups = cleanup->next;
                cleanup->fn(cleanup->arg);
        }
}

void leat_arena_free(struct leat_arena *arena)
{
        if (arena == NULL)
                return;
        arena_run_cleanups(arena);
        while (arena->chunks != NULL) {
                struct arena_chunk *chunk = arena->chunks;
                arena->chunks = chunk->next;
                chunk_free(arena, chunk);
        }
        free(arena);
}

void leat_arena_reset(struct leat_arena *arena)
{
        arena_run_cleanups(arena);
        struct arena_chunk *kept = NULL;
        while (arena->chunks != NULL) {
                struct arena_chunk *chunk = arena->chunks;
                arena->chunks = chunk->next;
                if (kept == NULL && !ARENA_SEPARATE && chunk->cap == arena->chunk_bytes)
                        kept = chunk;
                else
                        chunk_free(arena, chunk);
        }
        if (kept != NULL) {
                kept->next = NULL;
                kept->used = 0;
                arena->chunks = kept;
        }
}

/* A chunk for this one allocation, put behind the one in use. */
static void *arena_alloc_separate(struct leat_arena *arena, size_t bytes)
{
        struct arena_chunk *chunk = chunk_new(arena, bytes);
        chunk->used = bytes;
        if (arena->chunks == NULL || ARENA_SEPARATE) {
                chunk->next = arena->chunks;
                arena->chunks = chunk;
        } else {
                chunk->next = arena->chunks->next;
                arena->chunks->next = chunk;
        }
        return chunk_data(chunk);
}

void *leat_arena_alloc(struct leat_arena *arena, size_t bytes)
{
        if (bytes > SIZE_MAX / 2)
                out_of_memory(bytes);
        if (ARENA_SEPARATE)
                return arena_alloc_separate(arena, bytes);
        size_t rounded = (bytes + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
        struct arena_chunk *chunk = arena->chunks;
        if (chunk == NULL || chunk->cap - chunk->used < rounded) {
                if (rounded > arena->chunk_bytes / 4)
                        return arena_alloc_separate(arena, rounded);
                chunk = chunk_new(arena, arena->chunk_bytes);
                chunk->next = arena->chunks;
                arena->chunks = chunk;
        }
        void *p = chunk_data(chunk) + chunk->used;
        chunk->used += rounded;
        return p;
}

void *leat_arena_zalloc(struct leat_arena *arena, size_t bytes)
{
        void *p = leat_arena_alloc(arena, bytes);
        memset(p, 0, bytes);
        return p;
}

void *leat_arena_copy(struct leat_arena *arena, const void *from, size_t bytes)
{
        return from == NULL ? NULL : memcpy(leat_arena_alloc(arena, bytes), from, bytes);
}

char *leat_arena_strdup(struct leat_arena *arena, const char *text)
{
        return leat_arena_strndup(arena, text, strlen(text));
}

char *leat_arena_strndup(struct leat_arena *arena, const char *text, size_t bytes)
{
        char *copy = leat_arena_alloc(arena, bytes + 1);
        if (bytes > 0)
                memcpy(copy, text, bytes);
        copy[bytes] = '\0';
        return copy;
}

char *leat_arena_printf(struct leat_arena *arena, const char *fmt, ...)
{
        char small[256];
        va_list args;
        va_start(args, fmt);
        int len = vsnprintf(small, sizeof(small), fmt, args);
        va_end(args);
        LEAT_ASSERT(len >= 0);
        char *text = leat_arena_alloc(arena, (size_t)len + 1);
        if ((size_t)len < sizeof(small)) {
                memcpy(text, small, (size_t)len + 1);
                return text;
        }
        va_start(args, fmt);
        vsnprintf(text, (size_t)len + 1, fmt, args);
        va_end(args);
        return text;
}

void leat_arena_cleanup(struct leat_arena *arena, void (*fn)(void *), void *arg)
{
        struct arena_cleanup *cleanup = leat_arena_alloc(arena, sizeof(*cleanup));
        *cleanup = (struct arena_cleanup){.next = arena->cleanups, .fn = fn, .arg = arg};
        arena->cleanups = cleanup;
}

size_t leat_arena_bytes(const struct leat_arena *arena)
{
        return arena->held_bytes;
}
