/* SPDX-License-Identifier: Apache-2.0 */
/* Every message, in every version, both ways; and bytes that do not fit. */
#include <stdio.h>

#include "leat/test.h"

#include "kafka_int.h"

static uint64_t seed;

static uint64_t any(void)
{
        seed = seed * 6364136223846793005ull + 1442695040888963407ull;
        return seed >> 33;
}

/* ---- messages with random content ------------------------------------------------------------ */

static void struct_fill(struct leat_arena *arena, const struct leat_kafka_schema *schema, int version, void *message);

static struct leat_view view_any(struct leat_arena *arena, bool may_be_null)
{
        if (may_be_null && any() % 4 == 0)
                return (struct leat_view){0};
        return leat_view_str(leat_arena_printf(arena, "t%u", (unsigned)(any() % 1000)));
}

static void value_fill(struct leat_arena *arena, const struct leat_kafka_field *f, int version, void *at)
{
        switch (f->type) {
        case LEAT_KAFKA_T_BOOL:
                *(bool *)at = any() % 2 != 0;
                break;
        case LEAT_KAFKA_T_INT8:
                *(int8_t *)at = (int8_t)any();
                break;
        case LEAT_KAFKA_T_INT16:
                *(int16_t *)at = (int16_t)any();
                break;
        case LEAT_KAFKA_T_INT32:
                *(int32_t *)at = (int32_t)any();
                break;
        case LEAT_KAFKA_T_INT64:
                *(int64_t *)at = (int64_t)(any() << 32 | any());
                break;
        case LEAT_KAFKA_T_UUID:
                memset(at, (int)(any() % 255 + 1), sizeof(struct leat_topic_id));
                break;
        case LEAT_KAFKA_T_RECORDS:
                ((struct leat_kafka_records *)at)->view = view_any(arena, version >= f->null);
                break;
        case LEAT_KAFKA_T_STRUCT:
                struct_fill(arena, f->sub, version, at);
                break;
        default:
                *(struct leat_view *)at = view_any(arena, version >= f->null);
                break;
        }
}

static size_t value_bytes(const struct leat_kafka_field *f)
{
        static const size_t sizes[] = {sizeof(bool),
                                       1,
                                       2,
                                       4,
                                       8,
                                       16,
                                       sizeof(struct leat_view),
                                       sizeof(struct leat_view),
                                       sizeof(struct leat_kafka_records)};
        return f->type == LEAT_KAFKA_T_STRUCT ? f->sub->bytes : sizes[f->type];
}

static void struct_fill(struct leat_arena *arena, const struct leat_kafka_schema *schema, int version, void *message)
{
        leat_kafka_init(schema, message);
        for (uint32_t i = 0; i < schema->field_count; i++) {
                const struct leat_kafka_field *f = &schema->fields[i];
                uint8_t *at = (uint8_t *)message + f->at;
                if (version < f->from || version > f->to)
                        continue;
                if (f->array) {
                        int32_t count = version >= f->null && any() % 4 == 0 ? -1 : (int32_t)(any() % 3);
                        uint8_t *all = leat_arena_zalloc(arena, 3 * value_bytes(f));
                        for (int32_t j = 0; j < count; j++)
                                value_fill(arena, f, version, all + (size_t)j * value_bytes(f));
                        memcpy(at, &all, sizeof(all));
                        memcpy((uint8_t *)message + f->count_at, &count, sizeof(count));
                } else if (f->type == LEAT_KAFKA_T_STRUCT) {
                        void *sub = any() % 2 ? leat_arena_alloc(arena, f->sub->bytes) : NULL;
                        if (sub != NULL)
                                struct_fill(arena, f->sub, version, sub);
                        memcpy(at, &sub, sizeof(sub));
                } else {
                        value_fill(arena, f, version, at);
                }
        }
}

static struct leat_view chain_bytes(struct leat_arena *arena, struct leat_chain *chain)
{
        uint8_t *all = leat_arena_alloc(arena, chain->len);
        size_t len = chain->len;
        leat_chain_copy(chain, all);
        leat_chain_done(chain);
        return leat_view_of(all, len);
}

static struct leat_view frame_of(struct leat_view bytes)
{
        CHECK_INT(leat_get_be32(bytes.data), bytes.len - 4);
        return leat_view_of(bytes.data + 4, bytes.len - 4);
}

static void request_round_trip(const struct leat_kafka_api *api, int16_t version, struct leat_arena *arena)
{
        struct leat_error err;
        struct leat_kafka_header header;
        struct leat_chain chain = LEAT_CHAIN_INIT;
        void *message = leat_kafka_array(api->request, arena, 1), *again = leat_kafka_array(api->request, arena, 1);
        struct_fill(arena, api->request, version, message);
        leat_kafka_request_encode(api, version, 77, leat_view_str("me"), message, &chain);
        struct leat_view bytes = chain_bytes(arena, &chain);
        CHECK_OK(leat_kafka_header_parse(frame_of(bytes), &header, &err), &err);
        CHECK_INT(header.api_key, api->key);
        CHECK_INT(header.api_version, version);
        CHECK_INT(header.correlation_id, 77);
        CHECK(leat_view_eq_str(header.client_id, "me"));
        CHECK_OK(leat_kafka_request_decode(api, frame_of(bytes), arena, again, &err), &err);
        leat_kafka_request_encode(api, version, 77, leat_view_str("me"), again, &chain);
        CHECK(leat_view_eq(bytes, chain_bytes(arena, &chain)));
        /* Cut anywhere, it is refused or (at the very end of optional parts) read, never more. */
        for (size_t len = 0; len < bytes.len - 4; len += 1 + len / 16)
                CHECK(leat_kafka_request_decode(api, leat_view_of(bytes.data + 4, len), arena, again, &err) != 0);
}

static void response_round_trip(const struct leat_kafka_api *api, int16_t version, struct leat_arena *arena)
{
        struct leat_error err;
        struct leat_chain chain = LEAT_CHAIN_INIT;
        void *message = leat_kafka_array(api->response, arena, 1), *again = leat_kafka_array(api->response, arena, 1);
        struct_fill(arena, api->response, version, message);
        if (api->key == LEAT_KAFKA_API_VERSIONS)
                ((struct leat_kafka_api_versions_response *)message)->error_code = 0;
        leat_kafka_response_encode(api, version, 78, message, &chain);
        struct leat_view bytes = chain_bytes(arena, &chain);
        CHECK_INT(leat_kafka_response_correlation(frame_of(bytes)), 78);
        CHECK_OK(leat_kafka_response_decode(api, version, frame_of(bytes), arena, again, &err), &err);
        leat_kafka_response_encode(api, version, 78, again, &chain);
        CHECK(leat_view_eq(bytes, chain_bytes(arena, &chain)));
}

LEAT_TEST(codec_round_trip)
{
        struct leat_arena *arena = leat_arena_new(0);
        seed = leat_test_seed();
        for (size_t i = 0; i < leat_kafka_api_count; i++) {
                const struct leat_kafka_api *api = &leat_kafka_apis[i];
                for (int16_t version = api->min_version; version <= api->max_version; version++) {
                        for (int round = 0; round < 20; round++) {
                                request_round_trip(api, version, arena);
                                response_round_trip(api, version, arena);
                                leat_arena_reset(arena);
                        }
                }
        }
        leat_arena_free(arena);
}

/* ---- bytes of Apache Kafka's own Java classes ---------------------------------------------------- */

static size_t hex(const char *text, uint8_t *out)
{
        size_t len = 0;
        unsigned byte;
        for (; text[0] != '\0'; text += text[0] == ' ' ? 1 : 2) {
                if (text[0] != ' ' && sscanf(text, "%2x", &byte) == 1)
                        out[len++] = (uint8_t)byte;
        }
        return len;
}

#include "kafka_golden_test.h"

LEAT_TEST(codec_golden)
{
        struct leat_arena *arena = leat_arena_new(0);
        for (size_t i = 0; i < LEAT_ARRAY_LEN(goldens); i++) {
                struct leat_error err;
                struct leat_chain chain = LEAT_CHAIN_INIT;
                uint8_t bytes[4096];
                struct leat_view frame = leat_view_of(bytes, hex(goldens[i].hex, bytes));
                const struct leat_kafka_api *api = leat_kafka_api_find(goldens[i].key);
                if (goldens[i].request) {
                        void *message = leat_kafka_array(api->request, arena, 1);
                        CHECK_OK(leat_kafka_request_decode(api, frame, arena, message, &err), &err);
                        leat_kafka_request_encode(api, goldens[i].version, 7, leat_view_str("java"), message, &chain);
                } else {
                        void *message = leat_kafka_array(api->response, arena, 1);
                        CHECK_OK(leat_kafka_response_decode(api, goldens[i].version, frame, arena, message, &err),
                                 &err);
                        leat_kafka_response_encode(api, goldens[i].version, 7, message, &chain);
                }
                struct leat_view ours = chain_bytes(arena, &chain);
                CHECK(leat_view_eq(frame_of(ours), frame));
        }
        leat_arena_free(arena);
}

/* ---- hostile bytes ---------------------------------------------------------------------------------- */

static int decode_hex(const char *text, struct leat_error *err)
{
        uint8_t bytes[4096];
        struct leat_kafka_header header;
        struct leat_view frame = leat_view_of(bytes, hex(text, bytes));
        int rc = leat_kafka_header_parse(frame, &header, err);
        if (rc != 0)
                return rc;
        const struct leat_kafka_api *api = leat_kafka_api_find(header.api_key);
        struct leat_arena *arena = leat_arena_new(0);
        rc = leat_kafka_request_decode(api, frame, arena, leat_kafka_array(api->request, arena, 1), err);
        CHECK(leat_arena_bytes(arena) < 1 << 20);
        leat_arena_free(arena);
        return rc;
}

LEAT_TEST(codec_hostile)
{
        struct leat_error err;
        CHECK_INT(decode_hex("0003", &err), LEAT_EPROTO);
        /* Metadata 1: an array of 2^31-1 topics, of -2, a name of 32,767 bytes. */
        CHECK_INT(decode_hex("0003 0001 00000001 ffff 7fffffff", &err), LEAT_EPROTO);
        CHECK_INT(decode_hex("0003 0001 00000001 ffff fffffffe", &err), LEAT_EPROTO);
        CHECK_INT(decode_hex("0003 0001 00000001 ffff 00000001 7fff 61", &err), LEAT_EPROTO);
        /* A null name where none may be. */
        CHECK_INT(decode_hex("0003 0001 00000001 ffff 00000001 ffff", &err), LEAT_EPROTO);
        /* Metadata 9: a compact length without end, and a tag that is longer than the frame. */
        CHECK_INT(decode_hex("0003 0009 00000001 ffff 00 ffffffffffffffffffffff", &err), LEAT_EPROTO);
        CHECK_INT(decode_hex("0003 0009 00000001 ffff 00 00 01 00 00 01 05 ff", &err), LEAT_EPROTO);
        /* Unknown tags are skipped. */
        CHECK_OK(decode_hex("0003 0009 00000001 ffff 00 00 01 00 00 01 05 02 aaaa", &err), &err);
}

/* A frame of the largest size, all small structs, is refused before it takes much memory. */
LEAT_TEST(codec_budget)
{
        size_t count = 20u << 20;
        struct leat_error err;
        struct leat_buf frame = LEAT_BUF_INIT;
        leat_buf_be16(&frame, LEAT_KAFKA_DELETE_TOPICS);
        leat_buf_be16(&frame, 4);
        leat_buf_be32(&frame, 1);
        leat_buf_be16(&frame, 0xffff);
        leat_buf_u8(&frame, 0);
        leat_buf_uvarint(&frame, count + 1);
        memset(leat_buf_reserve(&frame, count), 1, count);
        frame.len += count;
        leat_buf_be32(&frame, 0);
        leat_buf_u8(&frame, 0);
        struct leat_arena *arena = leat_arena_new(0);
        const struct leat_kafka_api *api = leat_kafka_api_find(LEAT_KAFKA_DELETE_TOPICS);
        struct leat_kafka_delete_topics_request message;
        CHECK_INT(leat_kafka_request_decode(api, leat_buf_view(&frame), arena, &message, &err), LEAT_ETOOBIG);
        leat_arena_free(arena);
        leat_buf_done(&frame);
}

LEAT_TEST(codec_names)
{
        CHECK_STR(leat_kafka_api_name(11), "JoinGroup");
        CHECK(leat_kafka_api_name(1000) == NULL && leat_kafka_api_name(-1) == NULL);
        CHECK_STR(leat_kafka_error_name(56), "KAFKA_STORAGE_ERROR");
        CHECK(leat_kafka_error_retriable(56) && !leat_kafka_error_retriable(87));
}
