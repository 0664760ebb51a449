/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/base: shared bytes (leat_block), lists of them (leat_chain), and the
 * reader with a sticky error (leat_cursor).
 *
 * Memory    A block is freed by whoever drops the last reference; the counter
 *           is the only field that several threads touch.
 */
#include "leat/bytes.h"

#include <stdlib.h>

#include "leat/mem.h"

/* ---- blocks ----------------------------------------------------------------- */

struct leat_block *leat_block_new(size_t bytes)
{
        LEAT_ASSERT(bytes <= SIZE_MAX / 4);
        struct leat_block *block = leat_malloc(sizeof(*block) + bytes);
        atomic_init(&block->refs, 1);
        block->len = bytes;
        block->data = (uint8_t *)(block + 1);
        block->release = NULL;
        block->owner = NULL;
        return block;
}

static void block_release_buf(struct leat_block *block)
{
        free(block->data);
        free(block);
}

struct leat_block *leat_block_from_buf(struct leat_buf *buf)
{
        struct leat_block *block = leat_block_new(0);
        block->data = buf->data;
        block->len = buf->len;
        block->release = block_release_buf;
        *buf = (struct leat_buf)LEAT_BUF_INIT;
        return block;
}

struct leat_block *leat_block_ref(struct leat_block *block)
{
        uint32_t before = atomic_fetch_add_explicit(&block->refs, 1, memory_order_relaxed);
        LEAT_ASSERT(before > 0 && before < UINT32_MAX / 2);
        return block;
}

void leat_block_unref(struct leat_block *block)
{
        if (block == NULL)
                return;
        uint32_t before = atomic_fetch_sub_explicit(&block->refs, 1, memory_order_acq_rel);
        LEAT_ASSERT(before > 0);
        if (before > 1)
                return;
        if (block->release != NULL)
                block->release(block);
        else
                free(block);
}

/* ---- chains ------------------------------------------------------------------ */

void leat_chain_done(struct leat_chain *chain)
{
        for (uint32_t i = 0; i < chain->count; i++)
                leat_block_unref(chain->slices[i].block);
        free(chain->slices);
        *chain = (struct leat_chain)LEAT_CHAIN_INIT;
}

static void chain_reserve(struct leat_chain *chain, uint32_t more)
{
        LEAT_ASSERT(more <= UINT32_MAX / 2 - chain->count);
        if (chain->cap - chain->count >= more)
                return;
        uint32_t cap = LEAT_MAX(chain->cap * 2, 4u);
        cap = LEAT_MAX(cap, chain->count + more);
        chain->slices = leat_realloc(chain->slices, cap * sizeof(chain->slices[0]));
        chain->cap = cap;
}

/* Appends and takes over the caller's reference on @block. */
static void chain_push(struct leat_chain *chain, struct leat_block *block, struct leat_view view)
{
        chain_reserve(chain, 1);
        chain->slices[chain->count++] = (struct leat_slice){.block = block, .view = view};
        chain->len += view.len;
}

void leat_chain_add(struct leat_chain *chain, struct leat_block *block, struct leat_view view)
{
        if (view.len == 0)
                return;
        chain_push(chain, block != NULL ? leat_block_ref(block) : NULL, view);
}

void leat_chain_add_buf(struct leat_chain *chain, struct leat_buf *buf)
{
        if (buf->len == 0) {
                leat_buf_done(buf);
                return;
        }
        struct leat_block *block = leat_block_from_buf(buf);
        chain_push(chain, block, leat_view_of(block->data, block->len));
}

void leat_chain_move(struct leat_chain *to, struct leat_chain *from)
{
        if (to->count == 0) {
                leat_chain_done(to);
                *to = *from;
        } else if (from->count > 0) {
                chain_reserve(to, from->count);
                memcpy(to->slices + to->count, from->slices, from->count * sizeof(from->slices[0]));
                to->count += from->count;
                to->len += from->len;
                free(from->slices);
        } else {
                free(from->slices);
        }
        *from = (struct leat_chain)LEAT_CHAIN_INIT;
}

void leat_chain_copy(const struct leat_chain *chain, uint8_t *out)
{
        for (uint32_t i = 0; i < chain->count; i++) {
                memcpy(out, chain->slices[i].view.data, chain->slices[i].view.len);
                out += chain->slices[i].view.len;
        }
}

/* ---- cursors ------------------------------------------------------------------ */

/* The next @len bytes, or NULL (and the sticky error) when there are fewer. */
static const uint8_t *cursor_take(struct leat_cursor *cur, size_t len)
{
        if (cur->failed || (size_t)(cur->end - cur->at) < len) {
                cur->failed = true;
                return NULL;
        }
        const uint8_t *p = cur->at;
        if (len > 0)
                cur->at += len;
        return p;
}

struct leat_view leat_cursor_bytes(struct leat_cursor *cur, size_t len)
{
        const uint8_t *p = cursor_take(cur, len);
        return leat_view_of(p, p != NULL ? len : 0);
}

uint8_t leat_cursor_u8(struct leat_cursor *cur)
{
        const uint8_t *p = cursor_take(cur, 1);
        return p != NULL ? p[0] : 0;
}

uint16_t leat_cursor_be16(struct leat_cursor *cur)
{
        const uint8_t *p = cursor_take(cur, 2);
        return p != NULL ? leat_get_be16(p) : 0;
}

uint32_t leat_cursor_be32(struct leat_cursor *cur)
{
        const uint8_t *p = cursor_take(cur, 4);
        return p != NULL ? leat_get_be32(p) : 0;
}

uint64_t leat_cursor_be64(struct leat_cursor *cur)
{
        const uint8_t *p = cursor_take(cur, 8);
        return p != NULL ? leat_get_be64(p) : 0;
}

uint16_t leat_cursor_le16(struct leat_cursor *cur)
{
        const uint8_t *p = cursor_take(cur, 2);
        return p != NULL ? (uint16_t)(p[0] | p[1] << 8) : 0;
}

uint32_t leat_cursor_le32(struct leat_cursor *cur)
{
        const uint8_t *p = cursor_take(cur, 4);
        return p != NULL ? leat_get_le32(p) : 0;
}

uint64_t leat_cursor_le64(struct leat_cursor *cur)
{
        const uint8_t *p = cursor_take(cur, 8);
        return p != NULL ? leat_get_le64(p) : 0;
}

/* At most ten bytes, and the tenth holds one bit only: anything longer is no
 * 64-bit number. */
uint64_t leat_cursor_uvarint(struct leat_cursor *cur)
{
        uint64_t value = 0;
        for (unsigned shift = 0; shift < 64; shift += 7) {
                const uint8_t *p = cursor_take(cur, 1);
                if (p == NULL)
                        return 0;
                if (shift == 63 && p[0] > 1)
                        break;
                value |= (uint64_t)(p[0] & 0x7F) << shift;
                if (p[0] < 0x80)
                        return value;
        }
        cur->failed = true;
        return 0;
}

int64_t leat_cursor_varint(struct leat_cursor *cur)
{
        uint64_t raw = leat_cursor_uvarint(cur);
        return (int64_t)(raw >> 1) ^ -(int64_t)(raw & 1);
}
