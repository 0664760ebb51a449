/* SPDX-License-Identifier: Apache-2.0 */
/* Requests from bytes: whole and cut into single bytes they must mean the same. */
#include "../http_int.h"

#include <stdlib.h>

struct outcome {
        int requests;
        int status;
        uint64_t digest;
};

static void digest_request(struct outcome *out, const struct http_reader *reader)
{
        out->requests++;
        out->digest = leat_hash_mix(out->digest, leat_hash64(1, reader->text.data, reader->text.len));
        out->digest = leat_hash_mix(out->digest, leat_hash64(2, reader->body.data, reader->body.len));
        out->digest = leat_hash_mix(out->digest, (uint64_t)reader->header_count * 2 + reader->keep_alive);
        struct leat_arena *arena = leat_arena_new(0);
        (void)leat_http_decode(arena, (const char *)reader->text.data, reader->uri.len, true);
        const char *host = leat_http_reader_header(reader, "host");
        if (host)
                out->digest = leat_hash_mix(out->digest, leat_http_host_is_ours(host, 8080));
        leat_arena_free(arena);
}

static struct outcome read_all(const uint8_t *data, size_t len, size_t step)
{
        struct outcome out = {0};
        struct http_reader reader;
        leat_http_reader_init(&reader, 1000);
        size_t at = 0;
        while (at < len && out.status == 0) {
                size_t used = 0;
                size_t left = LEAT_MIN(step, len - at);
                enum http_step got = leat_http_reader_feed(&reader, leat_view_of(data + at, left), &used);
                LEAT_ASSERT(used <= left && (used > 0 || got != HTTP_STEP_MORE));
                at += used;
                if (got == HTTP_STEP_BAD) {
                        LEAT_ASSERT(reader.status >= 400 && reader.problem);
                        out.status = reader.status;
                } else if (got == HTTP_STEP_WHOLE) {
                        digest_request(&out, &reader);
                        leat_http_reader_next(&reader);
                }
        }
        leat_http_reader_done(&reader);
        return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct outcome whole = read_all(data, len, SIZE_MAX), bytes = read_all(data, len, 1);
        LEAT_ASSERT(whole.requests == bytes.requests);
        /* Which of two faults is seen first may differ, but not that there is one. */
        LEAT_ASSERT((whole.status != 0) == (bytes.status != 0));
        LEAT_ASSERT(whole.digest == bytes.digest);
        return 0;
}
