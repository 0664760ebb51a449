/* SPDX-License-Identifier: Apache-2.0 */
/* leat/base: checksums and hashes. Thread: any, no state. */
#ifndef LEAT_HASH_H
#define LEAT_HASH_H

#include <stddef.h>
#include <stdint.h>

/* CRC32C (Castagnoli). Start with @crc 0 and feed on: crc32c(crc32c(0,a),b) is
 * the sum of a followed by b. Uses SSE4.2 where the processor has it. */
uint32_t leat_crc32c(uint32_t crc, const void *data, size_t bytes);
/* Seeded 64-bit hash (XXH3) of keys that come from strangers. */
uint64_t leat_hash64(uint64_t seed, const void *data, size_t bytes);
/* Kafka's default partitioner: murmur2 of the key bytes. */
uint32_t leat_murmur2(const void *data, size_t bytes);
/* Mixes one 64-bit value into a running hash. */
static inline uint64_t leat_hash_mix(uint64_t hash, uint64_t value)
{
        __uint128_t m = (__uint128_t)(hash ^ 0x9E3779B97F4A7C15ull) * (value ^ 0xD1B54A32D192ED03ull);
        return (uint64_t)m ^ (uint64_t)(m >> 64);
}

#endif
