/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/kafka: reading and writing messages.
 *
 * Purpose   One reader and one writer for all messages and versions: both walk
 *           the field tables made from kafka_messages.txt.
 * Format    Fixed integers big endian. Before the flexible version a string has
 *           an int16 length, bytes and arrays an int32 (-1 = null); from it on
 *           an unsigned varint of length + 1 (0 = null), and every struct ends
 *           with its tagged fields: count, then (tag, size, bytes) each.
 * Memory    Structs and arrays from the arena. What a hostile array length
 *           could claim is bounded twice: by the bytes that are left (each
 *           element takes at least its fixed part) and by a budget per message.
 * Failure   The cursor's error is sticky and is checked once per struct.
 */
#include <limits.h>

#include "kafka_int.h"

/* ---- members ------------------------------------------------------------------ */

static inline void *member(void *message, const struct leat_kafka_field *f)
{
        return (uint8_t *)message + f->at;
}

static inline const void *member_const(const void *message, const struct leat_kafka_field *f)
{
        return (const uint8_t *)message + f->at;
}

static inline int32_t *member_count(void *message, const struct leat_kafka_field *f)
{
        return (int32_t *)(void *)((uint8_t *)message + f->count_at);
}

static inline int32_t member_count_get(const void *message, const struct leat_kafka_field *f)
{
        return *(const int32_t *)(const void *)((const uint8_t *)message + f->count_at);
}

static inline bool has(const struct leat_kafka_field *f, int version)
{
        return version >= f->from && version <= f->to;
}

/* Size of one value of a type in memory. */
static size_t type_bytes(const struct leat_kafka_field *f)
{
        switch (f->type) {
        case LEAT_KAFKA_T_BOOL:
                return sizeof(bool);
        case LEAT_KAFKA_T_INT8:
                return 1;
        case LEAT_KAFKA_T_INT16:
                return 2;
        case LEAT_KAFKA_T_INT32:
                return 4;
        case LEAT_KAFKA_T_INT64:
                return 8;
        case LEAT_KAFKA_T_UUID:
                return sizeof(struct leat_topic_id);
        case LEAT_KAFKA_T_STRUCT:
                return f->sub->bytes;
        default:
                return sizeof(struct leat_view);
        }
}

static void default_set(const struct leat_kafka_field *f, void *at)
{
        switch (f->type) {
        case LEAT_KAFKA_T_BOOL:
                *(bool *)at = f->value != 0;
                break;
        case LEAT_KAFKA_T_INT8:
                *(int8_t *)at = (int8_t)f->value;
                break;
        case LEAT_KAFKA_T_INT16:
                *(int16_t *)at = (int16_t)f->value;
                break;
        case LEAT_KAFKA_T_INT32:
                *(int32_t *)at = (int32_t)f->value;
                break;
        case LEAT_KAFKA_T_INT64:
                *(int64_t *)at = f->value;
                break;
        default:
                break;
        }
}

void leat_kafka_init(const struct leat_kafka_schema *schema, void *message)
{
        memset(message, 0, schema->bytes);
        for (uint32_t i = 0; i < schema->field_count; i++) {
                const struct leat_kafka_field *f = &schema->fields[i];
                if (f->value != 0 && !f->array)
                        default_set(f, member(message, f));
        }
}

void *leat_kafka_array(const struct leat_kafka_schema *schema, struct leat_arena *arena, size_t count)
{
        LEAT_ASSERT(count <= SIZE_MAX / 2 / schema->bytes);
        uint8_t *all = leat_arena_alloc(arena, count * schema->bytes);
        for (size_t i = 0; i < count; i++)
                leat_kafka_init(schema, all + i * schema->bytes);
        return all;
}

/* ---- reading -------------------------------------------------------------------- */

struct reader {
        struct leat_cursor cur;
        struct leat_arena *arena;
        size_t budget; /* bytes that structs and arrays may still take */
        int version;
        bool flexible;
        bool too_big;
        const char *bad; /* name of the field that does not fit; NULL = none so far */
};

static void reader_fail(struct reader *r, const char *field)
{
        r->cur.failed = true;
        if (r->bad == NULL)
                r->bad = field;
}

/* A length: -1 for null. */
static int64_t length_read(struct reader *r, bool is_string)
{
        if (r->flexible) {
                uint64_t n = leat_cursor_uvarint(&r->cur);
                return n > (uint64_t)INT32_MAX + 1 ? INT64_MAX : (int64_t)n - 1;
        }
        if (is_string)
                return (int16_t)leat_cursor_be16(&r->cur);
        return (int32_t)leat_cursor_be32(&r->cur);
}

static struct leat_view bytes_read(struct reader *r, const struct leat_kafka_field *f)
{
        int64_t len = length_read(r, f->type == LEAT_KAFKA_T_STRING);
        if (len < 0) {
                if (len < -1 || f->null > r->version)
                        reader_fail(r, f->name);
                return (struct leat_view){0};
        }
        if ((uint64_t)len > leat_cursor_left(&r->cur)) {
                reader_fail(r, f->name);
                return (struct leat_view){0};
        }
        struct leat_view view = leat_view_of(r->cur.at, (size_t)len);
        r->cur.at += len;
        return view;
}

static void struct_read(struct reader *r, const struct leat_kafka_schema *schema, void *message);

static void value_read(struct reader *r, const struct leat_kafka_field *f, void *at)
{
        switch (f->type) {
        case LEAT_KAFKA_T_BOOL:
                *(bool *)at = leat_cursor_u8(&r->cur) != 0;
                break;
        case LEAT_KAFKA_T_INT8:
                *(int8_t *)at = (int8_t)leat_cursor_u8(&r->cur);
                break;
        case LEAT_KAFKA_T_INT16:
                *(int16_t *)at = (int16_t)leat_cursor_be16(&r->cur);
                break;
        case LEAT_KAFKA_T_INT32:
                *(int32_t *)at = (int32_t)leat_cursor_be32(&r->cur);
                break;
        case LEAT_KAFKA_T_INT64:
                *(int64_t *)at = (int64_t)leat_cursor_be64(&r->cur);
                break;
        case LEAT_KAFKA_T_UUID: {
                struct leat_view id = leat_cursor_bytes(&r->cur, sizeof(struct leat_topic_id));
                if (id.len == sizeof(struct leat_topic_id))
                        memcpy(at, id.data, id.len);
                break;
        }
        case LEAT_KAFKA_T_RECORDS:
                ((struct leat_kafka_records *)at)->view = bytes_read(r, f);
                break;
        case LEAT_KAFKA_T_STRUCT:
                struct_read(r, f->sub, at);
                break;
        default:
                *(struct leat_view *)at = bytes_read(r, f);
                break;
        }
}

/* The least bytes that one value takes on the wire. */
static size_t wire_bytes_min(const struct leat_kafka_field *f, int version, bool flexible)
{
        switch (f->type) {
        case LEAT_KAFKA_T_BOOL:
                return 1;
        case LEAT_KAFKA_T_INT8:
                return 1;
        case LEAT_KAFKA_T_INT16:
                return 2;
        case LEAT_KAFKA_T_INT32:
                return 4;
        case LEAT_KAFKA_T_INT64:
                return 8;
        case LEAT_KAFKA_T_UUID:
                return 16;
        case LEAT_KAFKA_T_STRING:
                return flexible ? 1 : 2;
        case LEAT_KAFKA_T_STRUCT:
                break;
        default:
                return flexible ? 1 : 4;
        }
        size_t sum = flexible ? 1 : 0;
        for (uint32_t i = 0; i < f->sub->field_count; i++) {
                const struct leat_kafka_field *g = &f->sub->fields[i];
                if (!has(g, version) || g->tag >= 0)
                        continue;
                if (g->array)
                        sum += flexible ? 1 : 4;
                else if (g->type == LEAT_KAFKA_T_STRUCT)
                        sum += 1;
                else
                        sum += wire_bytes_min(g, version, flexible);
        }
        return LEAT_MAX(sum, (size_t)1);
}

/* Takes @bytes from the budget and the arena; NULL (and the sticky error) when it is used up. */
static void *memory_take(struct reader *r, size_t bytes)
{
        if (bytes > r->budget) {
                r->too_big = true;
                r->cur.failed = true;
                return NULL;
        }
        r->budget -= bytes;
        return leat_arena_alloc(r->arena, bytes);
}

static void array_read(struct reader *r, const struct leat_kafka_field *f, void *message)
{
        int64_t count = length_read(r, false);
        if (r->cur.failed)
                return;
        if (count == -1 && f->null <= r->version) {
                *member_count(message, f) = -1;
                return;
        }
        if (count < 0 || (uint64_t)count > leat_cursor_left(&r->cur) / wire_bytes_min(f, r->version, r->flexible)) {
                reader_fail(r, f->name);
                return;
        }
        size_t bytes = type_bytes(f);
        uint8_t *all = memory_take(r, (size_t)count * bytes);
        if (all == NULL)
                return;
        for (int64_t i = 0; i < count && !r->cur.failed; i++)
                value_read(r, f, all + (size_t)i * bytes);
        if (r->cur.failed)
                return;
        *(void **)member(message, f) = all;
        *member_count(message, f) = (int32_t)count;
}

static void field_read(struct reader *r, const struct leat_kafka_field *f, void *message)
{
        if (f->array) {
                array_read(r, f, message);
        } else if (f->type == LEAT_KAFKA_T_STRUCT) {
                /* By pointer: null is one byte -1, there is one byte 1 (a tagged one is never null). */
                if (f->tag < 0 && (int8_t)leat_cursor_u8(&r->cur) < 0)
                        return;
                void *sub = memory_take(r, f->sub->bytes);
                if (sub == NULL)
                        return;
                struct_read(r, f->sub, sub);
                *(void **)member(message, f) = r->cur.failed ? NULL : sub;
        } else {
                value_read(r, f, member(message, f));
        }
}

/* Tagged fields: those that are known are read, others are skipped. */
static void tags_read(struct reader *r, const struct leat_kafka_schema *schema, void *message)
{
        uint64_t count = leat_cursor_uvarint(&r->cur);
        for (uint64_t i = 0; i < count && !r->cur.failed; i++) {
                uint64_t tag = leat_cursor_uvarint(&r->cur);
                uint64_t len = leat_cursor_uvarint(&r->cur);
                if (r->cur.failed || len > leat_cursor_left(&r->cur)) {
                        reader_fail(r, "tagged fields");
                        return;
                }
                const uint8_t *behind = r->cur.at + len, *end = r->cur.end;
                r->cur.end = behind;
                for (uint32_t j = 0; schema != NULL && j < schema->field_count; j++) {
                        const struct leat_kafka_field *f = &schema->fields[j];
                        if (f->tag >= 0 && (uint64_t)f->tag == tag && has(f, r->version)) {
                                field_read(r, f, message);
                                break;
                        }
                }
                r->cur.at = behind;
                r->cur.end = end;
        }
}

static void struct_read(struct reader *r, const struct leat_kafka_schema *schema, void *message)
{
        leat_kafka_init(schema, message);
        for (uint32_t i = 0; i < schema->field_count && !r->cur.failed; i++) {
                const struct leat_kafka_field *f = &schema->fields[i];
                if (has(f, r->version) && f->tag < 0) {
                        field_read(r, f, message);
                        if (r->cur.failed && r->bad == NULL)
                                r->bad = f->name;
                }
        }
        if (r->flexible && !r->cur.failed)
                tags_read(r, schema, message);
}

static int message_read(struct reader *r, const struct leat_kafka_api *api, const struct leat_kafka_schema *schema,
                        void *message, struct leat_error *err)
{
        if (!r->cur.failed)
                struct_read(r, schema, message);
        if (r->too_big)
                return leat_error_set(err, LEAT_ETOOBIG, "%s version %d: the message has more parts than fit in %u MiB",
                                      api->name, r->version, LEAT_KAFKA_DECODE_BYTES_MAX >> 20);
        if (r->cur.failed)
                return leat_error_set(err, LEAT_EPROTO, "%s version %d: field %s does not fit the message's %zu bytes",
                                      api->name, r->version, r->bad != NULL ? r->bad : "header",
                                      (size_t)(r->cur.end - r->cur.start));
        return 0;
}

/* ---- requests and responses, reading ----------------------------------------------- */

static bool header_read(struct leat_cursor *cur, struct leat_kafka_header *header)
{
        header->api_key = (int16_t)leat_cursor_be16(cur);
        header->api_version = (int16_t)leat_cursor_be16(cur);
        header->correlation_id = (int32_t)leat_cursor_be32(cur);
        int16_t len = (int16_t)leat_cursor_be16(cur);
        header->client_id = len < 0 ? (struct leat_view){0} : leat_cursor_bytes(cur, (size_t)len);
        return !cur->failed && len >= -1;
}

int leat_kafka_header_parse(struct leat_view frame, struct leat_kafka_header *ret_header, struct leat_error *err)
{
        struct leat_kafka_header header;
        struct leat_cursor cur = leat_cursor_of(frame);
        if (!header_read(&cur, &header))
                return leat_error_set(err, LEAT_EPROTO, "a request of %zu bytes has no whole header", frame.len);
        *ret_header = header;
        return 0;
}

int leat_kafka_request_decode(const struct leat_kafka_api *api, struct leat_view frame, struct leat_arena *arena,
                              void *ret_message, struct leat_error *err)
{
        struct leat_kafka_header header;
        struct reader r = {.cur = leat_cursor_of(frame), .arena = arena, .budget = LEAT_KAFKA_DECODE_BYTES_MAX};
        if (!header_read(&r.cur, &header))
                return leat_error_set(err, LEAT_EPROTO, "a request of %zu bytes has no whole header", frame.len);
        LEAT_ASSERT(header.api_version >= api->min_version && header.api_version <= api->max_version);
        r.version = header.api_version;
        r.flexible = header.api_version >= api->flexible;
        if (r.flexible)
                tags_read(&r, NULL, NULL);
        return message_read(&r, api, api->request, ret_message, err);
}

int32_t leat_kafka_response_correlation(struct leat_view frame)
{
        return frame.len < 4 ? -1 : (int32_t)leat_get_be32(frame.data);
}

int leat_kafka_response_decode(const struct leat_kafka_api *api, int16_t version, struct leat_view frame,
                               struct leat_arena *arena, void *ret_message, struct leat_error *err)
{
        struct reader r = {.cur = leat_cursor_of(frame), .arena = arena, .budget = LEAT_KAFKA_DECODE_BYTES_MAX};
        leat_cursor_be32(&r.cur);
        r.version = version;
        /* A broker that does not know our version of ApiVersions answers at version 0; every header of it has no tags. */
        if (api->key == LEAT_KAFKA_API_VERSIONS && leat_cursor_left(&r.cur) >= 2 &&
            leat_get_be16(r.cur.at) == LEAT_KAFKA_E_UNSUPPORTED_VERSION)
                r.version = 0;
        r.flexible = r.version >= api->flexible;
        if (r.flexible && api->key != LEAT_KAFKA_API_VERSIONS)
                tags_read(&r, NULL, NULL);
        return message_read(&r, api, api->response, ret_message, err);
}

/* ---- writing -------------------------------------------------------------------------- */

struct writer {
        struct leat_buf buf; /* bytes that are not in the chain yet */
        struct leat_chain *out;
        int version;
        bool flexible;
};

static void length_write(struct writer *w, int64_t len, bool is_string)
{
        if (w->flexible)
                leat_buf_uvarint(&w->buf, (uint64_t)(len + 1));
        else if (is_string)
                leat_buf_be16(&w->buf, (uint16_t)(int16_t)len);
        else
                leat_buf_be32(&w->buf, (uint32_t)(int32_t)len);
}

static void bytes_write(struct writer *w, const struct leat_kafka_field *f, struct leat_view view)
{
        bool is_string = f->type == LEAT_KAFKA_T_STRING;
        LEAT_ASSERT(view.len <= (is_string ? (size_t)INT16_MAX : (size_t)INT32_MAX));
        if (view.data == NULL && f->null <= w->version) {
                length_write(w, -1, is_string);
                return;
        }
        length_write(w, (int64_t)view.len, is_string);
        leat_buf_add_view(&w->buf, view);
}

static void records_write(struct writer *w, const struct leat_kafka_field *f, const struct leat_kafka_records *records)
{
        if (records->chain == NULL) {
                bytes_write(w, f, records->view);
                return;
        }
        LEAT_ASSERT(records->chain->len <= INT32_MAX);
        length_write(w, (int64_t)records->chain->len, false);
        leat_chain_add_buf(w->out, &w->buf);
        leat_chain_move(w->out, records->chain);
}

static void struct_write(struct writer *w, const struct leat_kafka_schema *schema, const void *message);

static void value_write(struct writer *w, const struct leat_kafka_field *f, const void *at)
{
        switch (f->type) {
        case LEAT_KAFKA_T_BOOL:
                leat_buf_u8(&w->buf, *(const bool *)at ? 1 : 0);
                break;
        case LEAT_KAFKA_T_INT8:
                leat_buf_u8(&w->buf, *(const uint8_t *)at);
                break;
        case LEAT_KAFKA_T_INT16:
                leat_buf_be16(&w->buf, *(const uint16_t *)at);
                break;
        case LEAT_KAFKA_T_INT32:
                leat_buf_be32(&w->buf, *(const uint32_t *)at);
                break;
        case LEAT_KAFKA_T_INT64:
                leat_buf_be64(&w->buf, *(const uint64_t *)at);
                break;
        case LEAT_KAFKA_T_UUID:
                leat_buf_add(&w->buf, at, sizeof(struct leat_topic_id));
                break;
        case LEAT_KAFKA_T_RECORDS:
                records_write(w, f, at);
                break;
        case LEAT_KAFKA_T_STRUCT:
                struct_write(w, f->sub, at);
                break;
        default:
                bytes_write(w, f, *(const struct leat_view *)at);
                break;
        }
}

static void field_write(struct writer *w, const struct leat_kafka_field *f, const void *message)
{
        if (f->array) {
                int32_t count = member_count_get(message, f);
                if (count < 0 && f->null > w->version)
                        count = 0;
                length_write(w, count, false);
                const uint8_t *all = *(const uint8_t *const *)member_const(message, f);
                for (int32_t i = 0; i < count; i++)
                        value_write(w, f, all + (size_t)i * type_bytes(f));
        } else if (f->type == LEAT_KAFKA_T_STRUCT) {
                const void *sub = *(const void *const *)member_const(message, f);
                if (f->tag < 0)
                        leat_buf_u8(&w->buf, sub != NULL ? 1 : 0xff);
                if (sub != NULL)
                        struct_write(w, f->sub, sub);
        } else {
                value_write(w, f, member_const(message, f));
        }
}

/* True when a tagged field has its default, and so is left out. */
static bool is_default(const struct leat_kafka_field *f, const void *message)
{
        const void *at = member_const(message, f);
        if (f->array)
                return member_count_get(message, f) <= 0;
        switch (f->type) {
        case LEAT_KAFKA_T_BOOL:
                return *(const bool *)at == (f->value != 0);
        case LEAT_KAFKA_T_INT8:
                return *(const int8_t *)at == f->value;
        case LEAT_KAFKA_T_INT16:
                return *(const int16_t *)at == f->value;
        case LEAT_KAFKA_T_INT32:
                return *(const int32_t *)at == f->value;
        case LEAT_KAFKA_T_INT64:
                return *(const int64_t *)at == f->value;
        case LEAT_KAFKA_T_UUID: {
                const struct leat_topic_id none = {0};
                return memcmp(at, &none, sizeof(none)) == 0;
        }
        case LEAT_KAFKA_T_STRUCT:
                return *(const void *const *)at == NULL;
        default:
                return ((const struct leat_view *)at)->data == NULL;
        }
}

static void tags_write(struct writer *w, const struct leat_kafka_schema *schema, const void *message)
{
        uint32_t count = 0;
        int highest = -1;
        for (uint32_t i = 0; i < schema->field_count; i++) {
                const struct leat_kafka_field *f = &schema->fields[i];
                if (f->tag >= 0 && has(f, w->version) && !is_default(f, message)) {
                        count++;
                        highest = LEAT_MAX(highest, (int)f->tag);
                }
        }
        leat_buf_uvarint(&w->buf, count);
        for (int tag = 0; tag <= highest; tag++) {
                for (uint32_t i = 0; i < schema->field_count; i++) {
                        const struct leat_kafka_field *f = &schema->fields[i];
                        if (f->tag != tag || !has(f, w->version) || is_default(f, message))
                                continue;
                        struct writer sub = {.version = w->version, .flexible = true};
                        field_write(&sub, f, message);
                        leat_buf_uvarint(&w->buf, (uint64_t)tag);
                        leat_buf_uvarint(&w->buf, sub.buf.len);
                        leat_buf_add_view(&w->buf, leat_buf_view(&sub.buf));
                        leat_buf_done(&sub.buf);
                }
        }
}

static void struct_write(struct writer *w, const struct leat_kafka_schema *schema, const void *message)
{
        for (uint32_t i = 0; i < schema->field_count; i++) {
                const struct leat_kafka_field *f = &schema->fields[i];
                if (has(f, w->version) && f->tag < 0)
                        field_write(w, f, message);
        }
        if (w->flexible)
                tags_write(w, schema, message);
}

/* Moves the rest to the chain and writes the frame's length into its first bytes. */
static void frame_finish(struct writer *w, uint32_t first_slice, size_t len_before)
{
        leat_chain_add_buf(w->out, &w->buf);
        size_t bytes = w->out->len - len_before - 4;
        LEAT_ASSERT(bytes <= INT32_MAX);
        /* Nobody else has seen the block yet. */
        leat_put_be32((uint8_t *)(uintptr_t)w->out->slices[first_slice].view.data, (uint32_t)bytes);
}

void leat_kafka_response_encode(const struct leat_kafka_api *api, int16_t version, int32_t correlation_id,
                                const void *message, struct leat_chain *out)
{
        struct writer w = {.out = out, .version = version, .flexible = version >= api->flexible};
        uint32_t first_slice = out->count;
        size_t len_before = out->len;
        leat_buf_be32(&w.buf, 0);
        leat_buf_be32(&w.buf, (uint32_t)correlation_id);
        if (w.flexible && api->key != LEAT_KAFKA_API_VERSIONS)
                leat_buf_u8(&w.buf, 0);
        struct_write(&w, api->response, message);
        frame_finish(&w, first_slice, len_before);
}

void leat_kafka_request_encode(const struct leat_kafka_api *api, int16_t version, int32_t correlation_id,
                               struct leat_view client_id, const void *message, struct leat_chain *out)
{
        struct writer w = {.out = out, .version = version, .flexible = version >= api->flexible};
        uint32_t first_slice = out->count;
        size_t len_before = out->len;
        LEAT_ASSERT(version >= api->min_version && version <= api->max_version && client_id.len <= INT16_MAX);
        leat_buf_be32(&w.buf, 0);
        leat_buf_be16(&w.buf, (uint16_t)api->key);
        leat_buf_be16(&w.buf, (uint16_t)version);
        leat_buf_be32(&w.buf, (uint32_t)correlation_id);
        leat_buf_be16(&w.buf, client_id.data != NULL ? (uint16_t)client_id.len : 0xffff);
        leat_buf_add_view(&w.buf, client_id);
        if (w.flexible)
                leat_buf_u8(&w.buf, 0);
        struct_write(&w, api->request, message);
        frame_finish(&w, first_slice, len_before);
}
