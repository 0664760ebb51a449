/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/base: bytes.
 *
 *   leat_view    borrowed bytes, two words, passed by value
 *   leat_buf     owned, growing bytes
 *   leat_block   reference-counted bytes, immutable once shared
 *   leat_chain   a list of views, each kept alive by a block; what a socket writes
 *   leat_cursor  a reader with a sticky error, checked once per structure
 *
 * Only leat_block_ref/unref may be called from several threads at once.
 */
#ifndef LEAT_BYTES_H
#define LEAT_BYTES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "leat/error.h"

struct leat_view {
        const uint8_t *data;
        size_t len;
};

static inline struct leat_view leat_view_of(const void *data, size_t len)
{
        return (struct leat_view){.data = data, .len = len};
}
static inline struct leat_view leat_view_str(const char *text)
{
        return leat_view_of(text, strlen(text));
}
static inline bool leat_view_eq(struct leat_view a, struct leat_view b)
{
        return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}
static inline bool leat_view_eq_str(struct leat_view a, const char *text)
{
        return leat_view_eq(a, leat_view_str(text));
}

/* Bytes of the UTF-8 character at @p, of which @left can be read (at least 1); 0: there is none (overlong form, surrogate,
 * above U+10FFFF, cut off). */
size_t leat_utf8_len(const uint8_t *p, size_t left);

/* ---- owned bytes -------------------------------------------------------- */
/* Zero-initialize (or LEAT_BUF_INIT); leat_buf_done frees. Appends abort when
 * memory is out. */
struct leat_buf {
        uint8_t *data;
        size_t len;
        size_t cap;
};
#define LEAT_BUF_INIT \
        { \
                0 \
        }

void leat_buf_done(struct leat_buf *buf);
static inline void leat_buf_clear(struct leat_buf *buf)
{
        buf->len = 0;
}
/* Makes room for @bytes more and returns the place where they go; the caller
 * then adds to buf->len what it wrote. */
uint8_t *leat_buf_reserve(struct leat_buf *buf, size_t bytes);
void leat_buf_add(struct leat_buf *buf, const void *data, size_t len);
void leat_buf_add_view(struct leat_buf *buf, struct leat_view view);
void leat_buf_add_str(struct leat_buf *buf, const char *text);
void leat_buf_printf(struct leat_buf *buf, const char *fmt, ...) LEAT_PRINTF(2, 3);
void leat_buf_u8(struct leat_buf *buf, uint8_t value);
/* Big endian (network order): Kafka, PostgreSQL. */
void leat_buf_be16(struct leat_buf *buf, uint16_t value);
void leat_buf_be32(struct leat_buf *buf, uint32_t value);
void leat_buf_be64(struct leat_buf *buf, uint64_t value);
/* Little endian: our own files. */
void leat_buf_le16(struct leat_buf *buf, uint16_t value);
void leat_buf_le32(struct leat_buf *buf, uint32_t value);
void leat_buf_le64(struct leat_buf *buf, uint64_t value);
/* LEB128: unsigned, and zigzag signed as in Kafka records. */
void leat_buf_uvarint(struct leat_buf *buf, uint64_t value);
void leat_buf_varint(struct leat_buf *buf, int64_t value);
/* Appends @text as a JSON string with quotes; bytes that are not UTF-8 become
 * U+FFFD. */
void leat_buf_json_str(struct leat_buf *buf, struct leat_view text);
/* NUL-terminates without counting the NUL and returns the text. */
const char *leat_buf_cstr(struct leat_buf *buf);
static inline struct leat_view leat_buf_view(const struct leat_buf *buf)
{
        return leat_view_of(buf->data, buf->len);
}

static inline void leat_put_be16(uint8_t *p, uint16_t v)
{
        v = __builtin_bswap16(v);
        memcpy(p, &v, 2);
}
static inline void leat_put_be32(uint8_t *p, uint32_t v)
{
        v = __builtin_bswap32(v);
        memcpy(p, &v, 4);
}
static inline void leat_put_be64(uint8_t *p, uint64_t v)
{
        v = __builtin_bswap64(v);
        memcpy(p, &v, 8);
}
static inline void leat_put_le32(uint8_t *p, uint32_t v)
{
        memcpy(p, &v, 4);
}
static inline void leat_put_le64(uint8_t *p, uint64_t v)
{
        memcpy(p, &v, 8);
}
static inline uint16_t leat_get_be16(const uint8_t *p)
{
        uint16_t v;
        memcpy(&v, p, 2);
        return __builtin_bswap16(v);
}
static inline uint32_t leat_get_be32(const uint8_t *p)
{
        uint32_t v;
        memcpy(&v, p, 4);
        return __builtin_bswap32(v);
}
static inline uint64_t leat_get_be64(const uint8_t *p)
{
        uint64_t v;
        memcpy(&v, p, 8);
        return __builtin_bswap64(v);
}
static inline uint32_t leat_get_le32(const uint8_t *p)
{
        uint32_t v;
        memcpy(&v, p, 4);
        return v;
}
static inline uint64_t leat_get_le64(const uint8_t *p)
{
        uint64_t v;
        memcpy(&v, p, 8);
        return v;
}

/* ---- shared bytes ------------------------------------------------------- */
/* Immutable after it has been shared. @release is called once, by whichever
 * thread drops the last reference. */
struct leat_block {
        _Atomic uint32_t refs;
        size_t len;
        uint8_t *data;
        void (*release)(struct leat_block *block); /* NULL: free(block), data follows it */
        void *owner;
};

/* A block with @bytes of room right behind it, one reference. */
struct leat_block *leat_block_new(size_t bytes);
/* Takes over the memory of @buf, which becomes empty. */
struct leat_block *leat_block_from_buf(struct leat_buf *buf);
struct leat_block *leat_block_ref(struct leat_block *block);
void leat_block_unref(struct leat_block *block);

/* ---- chains ------------------------------------------------------------- */
struct leat_slice {
        struct leat_block *block; /* NULL: the view outlives the chain by other means */
        struct leat_view view;
};
struct leat_chain {
        struct leat_slice *slices;
        uint32_t count;
        uint32_t cap;
        size_t len; /* bytes in all slices */
};
#define LEAT_CHAIN_INIT \
        { \
                0 \
        }

void leat_chain_done(struct leat_chain *chain);
/* Takes a reference of its own on @block. */
void leat_chain_add(struct leat_chain *chain, struct leat_block *block, struct leat_view view);
/* Moves the bytes of @buf to the end of the chain; @buf becomes empty. */
void leat_chain_add_buf(struct leat_chain *chain, struct leat_buf *buf);
/* Moves all slices of @from to the end of @to; @from becomes empty. */
void leat_chain_move(struct leat_chain *to, struct leat_chain *from);
/* Copies all bytes to @out, which has room for chain->len. */
void leat_chain_copy(const struct leat_chain *chain, uint8_t *out);

/* ---- cursors ------------------------------------------------------------ */
/* Reading past the end sets `failed`; from then on every read gives 0 or an
 * empty view. Check once per structure. */
struct leat_cursor {
        const uint8_t *start;
        const uint8_t *at;
        const uint8_t *end;
        bool failed;
};

static inline struct leat_cursor leat_cursor_of(struct leat_view view)
{
        /* NULL + 0 is no pointer arithmetic in C. */
        const uint8_t *end = view.len > 0 ? view.data + view.len : view.data;
        return (struct leat_cursor){.start = view.data, .at = view.data, .end = end};
}
static inline size_t leat_cursor_left(const struct leat_cursor *cur)
{
        return cur->failed ? 0 : (size_t)(cur->end - cur->at);
}
static inline size_t leat_cursor_pos(const struct leat_cursor *cur)
{
        return (size_t)(cur->at - cur->start);
}
struct leat_view leat_cursor_bytes(struct leat_cursor *cur, size_t len);
uint8_t leat_cursor_u8(struct leat_cursor *cur);
uint16_t leat_cursor_be16(struct leat_cursor *cur);
uint32_t leat_cursor_be32(struct leat_cursor *cur);
uint64_t leat_cursor_be64(struct leat_cursor *cur);
uint16_t leat_cursor_le16(struct leat_cursor *cur);
uint32_t leat_cursor_le32(struct leat_cursor *cur);
uint64_t leat_cursor_le64(struct leat_cursor *cur);
uint64_t leat_cursor_uvarint(struct leat_cursor *cur);
int64_t leat_cursor_varint(struct leat_cursor *cur);

#endif
