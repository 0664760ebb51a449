/* SPDX-License-Identifier: Apache-2.0 */
/* A request frame, as a server reads it, and what was read written again. */
#include "leat/kafka.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct leat_kafka_header header;
        struct leat_view frame = leat_view_of(data, size);
        if (leat_kafka_header_parse(frame, &header, NULL) != 0)
                return 0;
        const struct leat_kafka_api *api = leat_kafka_api_find(header.api_key);
        if (api == NULL || header.api_version < api->min_version || header.api_version > api->max_version)
                return 0;
        struct leat_arena *arena = leat_arena_new(0);
        void *message = leat_kafka_array(api->request, arena, 1);
        if (leat_kafka_request_decode(api, frame, arena, message, NULL) == 0) {
                struct leat_chain chain = LEAT_CHAIN_INIT;
                leat_kafka_request_encode(api, header.api_version, 1, leat_view_str("fuzz"), message, &chain);
                leat_chain_done(&chain);
        }
        leat_arena_free(arena);
        return 0;
}
