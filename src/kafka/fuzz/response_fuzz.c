/* SPDX-License-Identifier: Apache-2.0 */
/* A response frame, as a client reads it; the first two bytes choose API and version. */
#include "leat/kafka.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        if (size < 2)
                return 0;
        const struct leat_kafka_api *api = &leat_kafka_apis[data[0] % leat_kafka_api_count];
        int16_t version = (int16_t)(api->min_version + data[1] % (api->max_version - api->min_version + 1));
        struct leat_view frame = leat_view_of(data + 2, size - 2);
        struct leat_arena *arena = leat_arena_new(0);
        void *message = leat_kafka_array(api->response, arena, 1);
        if (leat_kafka_response_decode(api, version, frame, arena, message, NULL) == 0) {
                struct leat_chain chain = LEAT_CHAIN_INIT;
                leat_kafka_response_encode(api, version, 1, message, &chain);
                leat_chain_done(&chain);
        }
        leat_arena_free(arena);
        return 0;
}
