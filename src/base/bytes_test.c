/* SPDX-License-Identifier: Apache-2.0 */
#include "leat/test.h"

#include <stdlib.h>

#include "leat/base.h"

static void check_bytes(const struct leat_buf *buf, const char *want, size_t len)
{
        CHECK(leat_view_eq(leat_buf_view(buf), leat_view_of(want, len)));
}

LEAT_TEST(buf_numbers)
{
        struct leat_buf buf = LEAT_BUF_INIT;
        leat_buf_u8(&buf, 0xAB);
        leat_buf_be16(&buf, 0x0102);
        leat_buf_be32(&buf, 0x03040506);
        leat_buf_be64(&buf, 0x0708090A0B0C0D0Eull);
        leat_buf_le16(&buf, 0x0102);
        leat_buf_le32(&buf, 0x03040506);
        leat_buf_le64(&buf, 0x0708090A0B0C0D0Eull);
        check_bytes(&buf, "\xAB\1\2\3\4\5\6\7\10\11\12\13\14\15\16\2\1\6\5\4\3\16\15\14\13\12\11\10\7", 29);
        struct leat_cursor cur = leat_cursor_of(leat_buf_view(&buf));
        CHECK_INT(leat_cursor_u8(&cur), 0xAB);
        CHECK_INT(leat_cursor_be16(&cur), 0x0102);
        CHECK_INT(leat_cursor_be32(&cur), 0x03040506);
        CHECK(leat_cursor_be64(&cur) == 0x0708090A0B0C0D0Eull);
        CHECK_INT(leat_cursor_le16(&cur), 0x0102);
        CHECK_INT(leat_cursor_le32(&cur), 0x03040506);
        CHECK_INT(leat_cursor_pos(&cur), 21);
        CHECK_INT(leat_cursor_left(&cur), 8);
        CHECK(leat_cursor_le64(&cur) == 0x0708090A0B0C0D0Eull);
        CHECK(!cur.failed);
        leat_buf_done(&buf);
}

/* Protocol Buffers' and Kafka's examples of LEB128 and zigzag. */
LEAT_TEST(buf_varints)
{
        struct leat_buf buf = LEAT_BUF_INIT;
        leat_buf_uvarint(&buf, 0);
        leat_buf_uvarint(&buf, 127);
        leat_buf_uvarint(&buf, 128);
        leat_buf_uvarint(&buf, 300);
        leat_buf_varint(&buf, -1);
        leat_buf_varint(&buf, 1);
        leat_buf_varint(&buf, -65);
        check_bytes(&buf, "\x00\x7F\x80\x01\xAC\x02\x01\x02\x81\x01", 10);
        static const int64_t values[] = {0,         1,         -1,        63,        -64,       64,  -65,
                                         INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, 1LL << 34, 8191};
        leat_buf_clear(&buf);
        for (size_t i = 0; i < LEAT_ARRAY_LEN(values); i++) {
                leat_buf_varint(&buf, values[i]);
                leat_buf_uvarint(&buf, (uint64_t)values[i]);
        }
        struct leat_cursor cur = leat_cursor_of(leat_buf_view(&buf));
        for (size_t i = 0; i < LEAT_ARRAY_LEN(values); i++) {
                CHECK(leat_cursor_varint(&cur) == values[i]);
                CHECK(leat_cursor_uvarint(&cur) == (uint64_t)values[i]);
        }
        CHECK(!cur.failed && leat_cursor_left(&cur) == 0);
        leat_buf_done(&buf);
}

LEAT_TEST(cursor_error_sticks)
{
        struct leat_cursor cur = leat_cursor_of(leat_view_of("\1\2\3", 3));
        CHECK_INT(leat_cursor_be32(&cur), 0);
        CHECK(cur.failed);
        CHECK_INT(leat_cursor_u8(&cur), 0); /* although there are bytes */
        CHECK_INT(leat_cursor_left(&cur), 0);
        cur = leat_cursor_of(leat_view_of("\1\2\3", 3));
        CHECK_INT(leat_cursor_bytes(&cur, SIZE_MAX).len, 0);
        CHECK(cur.failed);
        cur = leat_cursor_of(leat_view_of(NULL, 0));
        CHECK_INT(leat_cursor_bytes(&cur, 0).len, 0);
        CHECK_INT(leat_cursor_uvarint(&cur), 0);
        CHECK(cur.failed);
}

LEAT_TEST(cursor_varint_too_long)
{
        static const char *const bad[] = {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
                                          "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "\x80\x80"};
        for (size_t i = 0; i < LEAT_ARRAY_LEN(bad); i++) {
                struct leat_cursor cur = leat_cursor_of(leat_view_str(bad[i]));
                leat_cursor_uvarint(&cur);
                CHECK(cur.failed);
        }
        struct leat_cursor cur = leat_cursor_of(leat_view_str("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"));
        CHECK(leat_cursor_uvarint(&cur) == UINT64_MAX && !cur.failed);
}

LEAT_TEST(buf_text)
{
        struct leat_buf buf = LEAT_BUF_INIT;
        char *longer = leat_malloc(5001);
        memset(longer, 'x', 5000);
        longer[5000] = '\0';
        CHECK_STR(leat_buf_cstr(&buf), "");
        leat_buf_printf(&buf, "%d %s", 7, "seven");
        leat_buf_add_str(&buf, "!");
        leat_buf_add(&buf, NULL, 0);
        CHECK_STR(leat_buf_cstr(&buf), "7 seven!");
        CHECK_INT(buf.len, 8);
        leat_buf_printf(&buf, "%s|", longer); /* longer than the first guess */
        CHECK_INT(buf.len, 5009);
        CHECK_INT(buf.data[5008], '|');
        free(longer);
        leat_buf_done(&buf);
        CHECK(buf.data == NULL && buf.cap == 0);
}

static void check_json(const char *text, size_t len, const char *want)
{
        struct leat_buf buf = LEAT_BUF_INIT;
        leat_buf_json_str(&buf, leat_view_of(text, len));
        CHECK_STR(leat_buf_cstr(&buf), want);
        leat_buf_done(&buf);
}

LEAT_TEST(buf_json_str)
{
        check_json("", 0, "\"\"");
        check_json("plain", 5, "\"plain\"");
        check_json("a\"b\\c\n\r\t\0\x1f\x7f", 11, "\"a\\\"b\\\\c\\n\\r\\t\\u0000\\u001f\x7f\"");
        check_json("\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80", 9, "\"\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80\"");
        /* a lone continuation, an overlong slash, a surrogate, beyond U+10FFFF, a cut character */
        check_json("\x80", 1, "\"\xEF\xBF\xBD\"");
        check_json("\xC0\xAF", 2, "\"\xEF\xBF\xBD\xEF\xBF\xBD\"");
        check_json("\xED\xA0\x80", 3, "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
        check_json("\xF4\x90\x80\x80", 4, "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
        check_json("x\xE2\x82", 3, "\"x\xEF\xBF\xBD\xEF\xBF\xBD\"");
}

static int released;

static void count_release(struct leat_block *block)
{
        released++;
        free(block);
}

LEAT_TEST(block_and_chain)
{
        struct leat_chain chain = LEAT_CHAIN_INIT, other = LEAT_CHAIN_INIT;
        struct leat_block *block = leat_block_new(6);
        struct leat_buf buf = LEAT_BUF_INIT;
        uint8_t out[32];
        released = 0;
        block->release = count_release;
        memcpy(block->data, "abcdef", 6);
        leat_chain_add(&chain, block, leat_view_of(block->data, 3));
        leat_chain_add(&chain, block, leat_view_of(block->data + 3, 3));
        leat_chain_add(&chain, NULL, leat_view_str("-"));
        leat_chain_add(&chain, block, leat_view_of(block->data, 0)); /* nothing, and no reference */
        leat_block_unref(block);
        CHECK_INT(released, 0);
        leat_buf_add_str(&buf, "owned");
        leat_chain_add_buf(&other, &buf);
        leat_chain_add_buf(&other, &buf); /* empty now */
        CHECK(buf.data == NULL);
        leat_chain_move(&chain, &other);
        CHECK_INT(other.count, 0);
        CHECK_INT(chain.len, 12);
        CHECK_INT(chain.count, 4);
        leat_chain_copy(&chain, out);
        CHECK(memcmp(out, "abcdef-owned", 12) == 0);
        leat_chain_move(&other, &chain);
        leat_chain_move(&other, &chain);
        CHECK_INT(other.len, 12);
        leat_chain_done(&other);
        CHECK_INT(released, 1);
        leat_block_unref(NULL);
}
