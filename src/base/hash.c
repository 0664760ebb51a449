/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/base: checksums and hashes.
 *
 * CRC32C runs on three independent streams of 1 KiB at once, because the crc32
 * instruction takes three cycles but one can start in each; the three sums are
 * joined by multiplying with x^(8n) mod P, done here with small tables made at
 * first use. Without SSE4.2 a table of 8 x 256 entries does 8 bytes a step.
 */
#include "leat/hash.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define CRC32C_POLY 0x82F63B78u /* reversed */

#ifdef __SSE4_2__
#include <nmmintrin.h>

#define CRC_LANE 1024

/* shift_table[k][b] = the register that holds byte b at position k, moved over
 * CRC_LANE zero bytes. Moving is linear, so a register is moved by four looks. */
static uint32_t shift_table[4][256];

static uint32_t crc_zeros(uint32_t crc, size_t bytes)
{
        for (size_t i = 0; i < bytes * 8; i++)
                crc = (crc >> 1) ^ (crc & 1 ? CRC32C_POLY : 0);
        return crc;
}

/* Before main() so that threads need no check. */
__attribute__((constructor)) static void shift_table_init(void)
{
        uint32_t bit[32];
        for (int i = 0; i < 32; i++)
                bit[i] = crc_zeros(1u << i, CRC_LANE);
        for (int k = 0; k < 4; k++)
                for (int b = 0; b < 256; b++) {
                        uint32_t sum = 0;
                        for (int i = 0; i < 8; i++)
                                if (b & (1 << i))
                                        sum ^= bit[k * 8 + i];
                        shift_table[k][b] = sum;
                }
}

static inline uint32_t crc_shift(uint32_t crc)
{
        return shift_table[0][crc & 0xFF] ^ shift_table[1][(crc >> 8) & 0xFF] ^ shift_table[2][(crc >> 16) & 0xFF] ^
               shift_table[3][crc >> 24];
}

static inline uint64_t load64(const uint8_t *p)
{
        uint64_t v;
        memcpy(&v, p, 8);
        return v;
}

static uint32_t crc_update(uint32_t crc, const uint8_t *p, size_t bytes)
{
        uint64_t a = crc;
        while (bytes >= 3 * CRC_LANE) {
                uint64_t b = 0, c = 0;
                for (size_t i = 0; i < CRC_LANE; i += 8) {
                        a = _mm_crc32_u64(a, load64(p + i));
                        b = _mm_crc32_u64(b, load64(p + CRC_LANE + i));
                        c = _mm_crc32_u64(c, load64(p + 2 * CRC_LANE + i));
                }
                a = crc_shift((uint32_t)a) ^ b;
                a = crc_shift((uint32_t)a) ^ c;
                p += 3 * CRC_LANE;
                bytes -= 3 * CRC_LANE;
        }
        for (; bytes >= 8; bytes -= 8, p += 8)
                a = _mm_crc32_u64(a, load64(p));
        uint32_t sum = (uint32_t)a;
        for (; bytes > 0; bytes--, p++)
                sum = _mm_crc32_u8(sum, *p);
        return sum;
}

#else

static uint32_t byte_table[8][256];

__attribute__((constructor)) static void byte_table_init(void)
{
        for (uint32_t b = 0; b < 256; b++) {
                uint32_t crc = b;
                for (int i = 0; i < 8; i++)
                        crc = (crc >> 1) ^ (crc & 1 ? CRC32C_POLY : 0);
                byte_table[0][b] = crc;
        }
        for (uint32_t b = 0; b < 256; b++)
                for (int k = 1; k < 8; k++)
                        byte_table[k][b] = (byte_table[k - 1][b] >> 8) ^ byte_table[0][byte_table[k - 1][b] & 0xFF];
}

static uint32_t crc_update(uint32_t crc, const uint8_t *p, size_t bytes)
{
        for (; bytes >= 8; bytes -= 8, p += 8) {
                uint32_t lo =
                        crc ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
                crc = byte_table[7][lo & 0xFF] ^ byte_table[6][(lo >> 8) & 0xFF] ^ byte_table[5][(lo >> 16) & 0xFF] ^
                      byte_table[4][lo >> 24] ^ byte_table[3][p[4]] ^ byte_table[2][p[5]] ^ byte_table[1][p[6]] ^
                      byte_table[0][p[7]];
        }
        for (; bytes > 0; bytes--, p++)
                crc = (crc >> 8) ^ byte_table[0][(crc ^ *p) & 0xFF];
        return crc;
}

#endif

uint32_t leat_crc32c(uint32_t crc, const void *data, size_t bytes)
{
        return ~crc_update(~crc, data, bytes);
}

uint64_t leat_hash64(uint64_t seed, const void *data, size_t bytes)
{
        return XXH3_64bits_withSeed(data, bytes, seed);
}

/* As org.apache.kafka.common.utils.Utils.murmur2. */
uint32_t leat_murmur2(const void *data, size_t bytes)
{
        const uint32_t m = 0x5bd1e995;
        const uint8_t *p = data;
        uint32_t h = 0x9747b28cu ^ (uint32_t)bytes;
        for (; bytes >= 4; bytes -= 4, p += 4) {
                uint32_t k = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
                k *= m;
                k ^= k >> 24;
                k *= m;
                h = (h * m) ^ k;
        }
        if (bytes >= 3)
                h ^= (uint32_t)p[2] << 16;
        if (bytes >= 2)
                h ^= (uint32_t)p[1] << 8;
        if (bytes >= 1)
                h = (h ^ p[0]) * m;
        h ^= h >> 13;
        h *= m;
        return h ^ (h >> 15);
}
