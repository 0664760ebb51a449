/* SPDX-License-Identifier: Apache-2.0 */
#include "leat/test.h"

#include <stdlib.h>

#include "leat/base.h"

/* RFC 3720, appendix B.4, and a long one from a bitwise calculation. */
LEAT_TEST(crc32c_vectors)
{
        uint8_t zeros[32] = {0}, ones[32], rising[32], longer[10007];
        memset(ones, 0xFF, sizeof(ones));
        for (int i = 0; i < 32; i++)
                rising[i] = (uint8_t)i;
        for (uint32_t i = 0; i < sizeof(longer); i++)
                longer[i] = (uint8_t)(i * i * 7 + i);
        CHECK_INT(leat_crc32c(0, "", 0), 0);
        CHECK_INT(leat_crc32c(0, "123456789", 9), 0xE3069283);
        CHECK_INT(leat_crc32c(0, zeros, 32), 0x8A9136AA);
        CHECK_INT(leat_crc32c(0, ones, 32), 0x62A8AB43);
        CHECK_INT(leat_crc32c(0, rising, 32), 0x46DD794E);
        CHECK_INT(leat_crc32c(0, longer, sizeof(longer)), 0x7B223D38);
}

/* The three-lane path, its joints and the tail agree with a byte at a time. */
LEAT_TEST(crc32c_any_length_and_split)
{
        size_t bytes = 9000;
        uint8_t *data = leat_malloc(bytes);
        for (size_t i = 0; i < bytes; i++)
                data[i] = (uint8_t)(i * 2654435761u >> 13);
        uint32_t slow = 0;
        for (size_t len = 0; len < bytes; len++) {
                if (len % 97 == 0 || (len > 3060 && len < 3090)) {
                        CHECK_INT(leat_crc32c(0, data, len), slow);
                        size_t cut = len / 3;
                        CHECK_INT(leat_crc32c(leat_crc32c(0, data, cut), data + cut, len - cut), slow);
                }
                slow = leat_crc32c(slow, data + len, 1);
        }
        free(data);
}

/* From org.apache.kafka.common.utils.UtilsTest, and kafka-python's for the rest. */
LEAT_TEST(murmur2_vectors)
{
        static const struct {
                const char *key;
                int32_t hash;
        } vectors[] = {
                {"21", -973932308},
                {"foobar", -790332482},
                {"a-little-bit-long-string", -985981536},
                {"a-little-bit-longer-string", -1486304829},
                {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
                {"abc", 479470107},
                {"", 275646681},
                {"a", (int32_t)0xA2D0B27C},
                {"ab", 316155434},
        };
        for (size_t i = 0; i < LEAT_ARRAY_LEN(vectors); i++)
                CHECK_INT((int32_t)leat_murmur2(vectors[i].key, strlen(vectors[i].key)), vectors[i].hash);
        CHECK_INT(leat_murmur2("\xff\xfe\x80\x00", 4), 0x86F389E3); /* bytes are unsigned */
}

LEAT_TEST(hash64_is_xxh3)
{
        uint8_t data[1024];
        for (int i = 0; i < 1024; i++)
                data[i] = (uint8_t)i;
        CHECK(leat_hash64(0, "leat", 4) == 0xED715A3AE124E62Dull);
        CHECK(leat_hash64(42, "leat", 4) == 0x026F5D744482424Bull);
        CHECK(leat_hash64(42, data, sizeof(data)) == 0x2976C34B83200DF6ull);
        CHECK(leat_hash_mix(1, 2) != leat_hash_mix(2, 1));
}
