/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leat/kafka: compression of record batches.
 *
 * Design    Decompression grows its output step by step and never beyond the
 *           caller's limit; a size that the compressed bytes claim for
 *           themselves is believed only within that limit (and, for snappy,
 *           within what its format can reach).
 * Format    gzip members; LZ4 frames with independent blocks (the Java client
 *           reads no others); zstd frames; snappy either raw (librdkafka) or in
 *           the Java library's framing: "\x82SNAPPY\0", two int32, then blocks
 *           with an int32 length each.
 */
#include <lz4frame.h>
#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>

#include "leat/batch.h"

#define XERIAL_HEADER_BYTES 16
#define XERIAL_BLOCK_BYTES (32u * 1024)
static const uint8_t xerial_magic[8] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0};

const char *leat_kafka_codec_name(int codec)
{
        static const char *const names[] = {"none", "gzip", "snappy", "lz4", "zstd"};
        return codec >= 0 && codec < (int)LEAT_ARRAY_LEN(names) ? names[codec] : NULL;
}

static int corrupt(const char *codec, const char *why, struct leat_error *err)
{
        return leat_error_set(err, LEAT_ECORRUPT, "records compressed with %s are damaged: %s", codec, why);
}

static int too_big(const char *codec, size_t max_bytes, struct leat_error *err)
{
        return leat_error_set(err, LEAT_ETOOBIG, "records compressed with %s take more than %zu bytes", codec,
                              max_bytes);
}

/* Room for output: what @out has left already, else some more, up to the limit. NULL when the limit is reached. */
static uint8_t *room(struct leat_buf *out, size_t start, size_t in_bytes, size_t max_bytes, size_t *ret_room)
{
        size_t used = out->len - start;
        if (used >= max_bytes)
                return NULL;
        size_t want = used > 0 ? used : LEAT_MAX(in_bytes * 4, (size_t)4096);
        if (out->cap - out->len > want / 2)
                want = out->cap - out->len;
        *ret_room = LEAT_MIN(want, max_bytes - used);
        return leat_buf_reserve(out, *ret_room);
}

/* ---- gzip -------------------------------------------------------------------------- */

static int gzip_compress(struct leat_view data, struct leat_buf *out, struct leat_error *err)
{
        z_stream z = {0};
        if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
                return leat_error_set(err, LEAT_ENOMEM, "gzip cannot start");
        size_t bound = deflateBound(&z, data.len);
        z.next_in = (Bytef *)(uintptr_t)data.data;
        z.avail_in = (uInt)data.len;
        z.next_out = leat_buf_reserve(out, bound);
        z.avail_out = (uInt)bound;
        int rc = deflate(&z, Z_FINISH);
        out->len += z.total_out;
        deflateEnd(&z);
        return rc == Z_STREAM_END ? 0 : leat_error_set(err, LEAT_EINTERNAL, "gzip failed with code %d", rc);
}

static int gzip_decompress(struct leat_view data, size_t max_bytes, struct leat_buf *out, struct leat_error *err)
{
        z_stream z = {0};
        if (inflateInit2(&z, 15 + 16) != Z_OK)
                return leat_error_set(err, LEAT_ENOMEM, "gzip cannot start");
        int rc = 0;
        size_t start = out->len;
        z.next_in = (Bytef *)(uintptr_t)data.data;
        z.avail_in = (uInt)data.len;
        for (;;) {
                size_t space;
                uint8_t *to = room(out, start, data.len, max_bytes, &space);
                /* At the limit one more byte tells the end from too much. */
                uint8_t extra;
                z.next_out = to != NULL ? to : &extra;
                z.avail_out = to != NULL ? (uInt)space : 1;
                uInt before = z.avail_out;
                int z_rc = inflate(&z, Z_NO_FLUSH);
                uInt made = before - z.avail_out;
                if (to == NULL && made > 0) {
                        rc = too_big("gzip", max_bytes, err);
                        break;
                }
                out->len += made;
                if (z_rc == Z_STREAM_END) {
                        if (z.avail_in == 0)
                                break;
                        z_rc = inflateReset(&z); /* the next member */
                }
                if (z_rc != Z_OK || (made == 0 && z.avail_in == 0)) {
                        rc = corrupt("gzip", z.msg != NULL ? z.msg : "they end too early", err);
                        break;
                }
        }
        inflateEnd(&z);
        return rc;
}

/* ---- snappy ------------------------------------------------------------------------- */

static int snappy_compress_framed(struct leat_view data, struct leat_buf *out, struct leat_error *err)
{
        leat_buf_add(out, xerial_magic, sizeof(xerial_magic));
        leat_buf_be32(out, 1);
        leat_buf_be32(out, 1);
        for (size_t at = 0; at < data.len; at += XERIAL_BLOCK_BYTES) {
                size_t bytes = LEAT_MIN(data.len - at, (size_t)XERIAL_BLOCK_BYTES);
                size_t packed = snappy_max_compressed_length(bytes);
                uint8_t *to = leat_buf_reserve(out, 4 + packed);
                if (snappy_compress((const char *)data.data + at, bytes, (char *)to + 4, &packed) != SNAPPY_OK)
                        return leat_error_set(err, LEAT_EINTERNAL, "snappy failed");
                leat_put_be32(to, (uint32_t)packed);
                out->len += 4 + packed;
        }
        return 0;
}

static int snappy_block(struct leat_view block, size_t start, size_t max_bytes, struct leat_buf *out,
                        struct leat_error *err)
{
        size_t bytes;
        /* A snappy element of three bytes makes at most 64. */
        if (snappy_uncompressed_length((const char *)block.data, block.len, &bytes) != SNAPPY_OK ||
            bytes / 64 > block.len)
                return corrupt("snappy", "bad length", err);
        if (bytes > max_bytes - (out->len - start))
                return too_big("snappy", max_bytes, err);
        uint8_t *to = leat_buf_reserve(out, bytes + 1);
        if (snappy_uncompress((const char *)block.data, block.len, (char *)to, &bytes) != SNAPPY_OK)
                return corrupt("snappy", "bad block", err);
        out->len += bytes;
        return 0;
}

static int snappy_decompress(struct leat_view data, size_t max_bytes, struct leat_buf *out, struct leat_error *err)
{
        size_t start = out->len;
        if (data.len < XERIAL_HEADER_BYTES || memcmp(data.data, xerial_magic, sizeof(xerial_magic)) != 0)
                return snappy_block(data, start, max_bytes, out, err);
        struct leat_cursor cur = leat_cursor_of(data);
        leat_cursor_bytes(&cur, XERIAL_HEADER_BYTES);
        while (leat_cursor_left(&cur) > 0) {
                uint32_t bytes = leat_cursor_be32(&cur);
                struct leat_view block = leat_cursor_bytes(&cur, bytes);
                if (cur.failed)
                        return corrupt("snappy", "a block ends too early", err);
                LEAT_TRY(snappy_block(block, start, max_bytes, out, err));
        }
        return 0;
}

/* ---- lz4 ------------------------------------------------------------------------------ */

static int lz4_compress(struct leat_view data, struct leat_buf *out, struct leat_error *err)
{
        LZ4F_preferences_t prefs = {
                .frameInfo = {.blockSizeID = LZ4F_max64KB, .blockMode = LZ4F_blockIndependent},
        };
        size_t bound = LZ4F_compressFrameBound(data.len, &prefs);
        size_t n = LZ4F_compressFrame(leat_buf_reserve(out, bound), bound, data.data, data.len, &prefs);
        if (LZ4F_isError(n))
                return leat_error_set(err, LEAT_EINTERNAL, "lz4: %s", LZ4F_getErrorName(n));
        out->len += n;
        return 0;
}

static int lz4_decompress(struct leat_view data, size_t max_bytes, struct leat_buf *out, struct leat_error *err)
{
        LZ4F_dctx *ctx;
        if (LZ4F_isError(LZ4F_createDecompressionContext(&ctx, LZ4F_VERSION)))
                return leat_error_set(err, LEAT_ENOMEM, "lz4 cannot start");
        int rc = 0;
        size_t start = out->len, at = 0, hint = 1;
        while (at < data.len) {
                size_t space, in = data.len - at;
                uint8_t extra, *to = room(out, start, data.len, max_bytes, &space);
                size_t made = to != NULL ? space : 1;
                hint = LZ4F_decompress(ctx, to != NULL ? to : &extra, &made, data.data + at, &in, NULL);
                if (LZ4F_isError(hint)) {
                        rc = corrupt("lz4", LZ4F_getErrorName(hint), err);
                        break;
                }
                if (to == NULL && made > 0) {
                        rc = too_big("lz4", max_bytes, err);
                        break;
                }
                at += in;
                out->len += made;
                if (in == 0 && made == 0) {
                        rc = corrupt("lz4", "no progress", err);
                        break;
                }
        }
        if (rc == 0 && hint != 0)
                rc = corrupt("lz4", "they end too early", err);
        LZ4F_freeDecompressionContext(ctx);
        return rc;
}

/* ---- zstd ------------------------------------------------------------------------------- */

static int zstd_compress(struct leat_view data, struct leat_buf *out, struct leat_error *err)
{
        size_t bound = ZSTD_compressBound(data.len);
        size_t n = ZSTD_compress(leat_buf_reserve(out, bound), bound, data.data, data.len, ZSTD_CLEVEL_DEFAULT);
        if (ZSTD_isError(n))
                return leat_error_set(err, LEAT_EINTERNAL, "zstd: %s", ZSTD_getErrorName(n));
        out->len += n;
        return 0;
}

/* Frames that do not tell their size (the Java client's), or several of them. */
static int zstd_stream(struct leat_view data, size_t max_bytes, struct leat_buf *out, struct leat_error *err)
{
        ZSTD_DCtx *ctx = ZSTD_createDCtx();
        if (ctx == NULL)
                return leat_error_set(err, LEAT_ENOMEM, "zstd cannot start");
        int rc = 0;
        size_t start = out->len, left = 1;
        ZSTD_inBuffer in = {.src = data.data, .size = data.len};
        while (rc == 0 && (in.pos < in.size || left > 0)) {
                size_t space, in_before = in.pos;
                uint8_t extra, *to = room(out, start, data.len, max_bytes, &space);
                ZSTD_outBuffer part = {.dst = to != NULL ? to : &extra, .size = to != NULL ? space : 1};
                left = ZSTD_decompressStream(ctx, &part, &in);
                if (ZSTD_isError(left))
                        rc = corrupt("zstd", ZSTD_getErrorName(left), err);
                else if (to == NULL && part.pos > 0)
                        rc = too_big("zstd", max_bytes, err);
                else if (part.pos == 0 && in.pos == in_before && left > 0)
                        rc = corrupt("zstd", "they end too early", err);
                else if (to != NULL)
                        out->len += part.pos;
        }
        ZSTD_freeDCtx(ctx);
        return rc;
}

static int zstd_decompress(struct leat_view data, size_t max_bytes, struct leat_buf *out, struct leat_error *err)
{
        unsigned long long bytes = ZSTD_getFrameContentSize(data.data, data.len);
        if (bytes == ZSTD_CONTENTSIZE_ERROR)
                return corrupt("zstd", "no frame", err);
        if (bytes == ZSTD_CONTENTSIZE_UNKNOWN || ZSTD_findFrameCompressedSize(data.data, data.len) != data.len)
                return zstd_stream(data, max_bytes, out, err);
        if (bytes > max_bytes)
                return too_big("zstd", max_bytes, err);
        size_t n = ZSTD_decompress(leat_buf_reserve(out, (size_t)bytes + 1), (size_t)bytes, data.data, data.len);
        if (ZSTD_isError(n))
                return corrupt("zstd", ZSTD_getErrorName(n), err);
        out->len += n;
        return 0;
}

/* ---- by number ---------------------------------------------------------------------------- */

int leat_kafka_compress(int codec, struct leat_view data, struct leat_buf *out, struct leat_error *err)
{
        switch (codec) {
        case LEAT_KAFKA_CODEC_NONE:
                leat_buf_add_view(out, data);
                return 0;
        case LEAT_KAFKA_CODEC_GZIP:
                return gzip_compress(data, out, err);
        case LEAT_KAFKA_CODEC_SNAPPY:
                return snappy_compress_framed(data, out, err);
        case LEAT_KAFKA_CODEC_LZ4:
                return lz4_compress(data, out, err);
        case LEAT_KAFKA_CODEC_ZSTD:
                return zstd_compress(data, out, err);
        default:
                return leat_error_set(err, LEAT_EUNSUPPORTED, "compression number %d is none of Kafka's", codec);
        }
}

int leat_kafka_decompress(int codec, struct leat_view data, size_t max_bytes, struct leat_buf *out,
                          struct leat_error *err)
{
        if (data.len == 0 && codec != LEAT_KAFKA_CODEC_NONE)
                return corrupt(leat_kafka_codec_name(codec) != NULL ? leat_kafka_codec_name(codec) : "an unknown codec",
                               "nothing there", err);
        switch (codec) {
        case LEAT_KAFKA_CODEC_NONE:
                if (data.len > max_bytes)
                        return leat_error_set(err, LEAT_ETOOBIG, "records take more than %zu bytes", max_bytes);
                leat_buf_add_view(out, data);
                return 0;
        case LEAT_KAFKA_CODEC_GZIP:
                return gzip_decompress(data, max_bytes, out, err);
        case LEAT_KAFKA_CODEC_SNAPPY:
                return snappy_decompress(data, max_bytes, out, err);
        case LEAT_KAFKA_CODEC_LZ4:
                return lz4_decompress(data, max_bytes, out, err);
        case LEAT_KAFKA_CODEC_ZSTD:
                return zstd_decompress(data, max_bytes, out, err);
        default:
                return leat_error_set(err, LEAT_EUNSUPPORTED, "compression number %d is none of Kafka's", codec);
        }
}
