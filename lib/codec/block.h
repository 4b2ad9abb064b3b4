/*
 * codec/block.h: one TSM block: up to TSM_BLOCK_POINTS timestamps and values of one type, encoded.
 *
 *   byte 0        type (enum tsm_type)
 *   uvarint       length of the timestamp part
 *   timestamps    codec/time.h
 *   values        codec/float.h, integer.h (also unsigned), boolean.h, string.h
 *
 * The CRC-32 in front of a block belongs to the file (format/tsm_reader.h), not to the block.
 * Source: influxdb v1.8 tsdb/engine/tsm1/encoding.go.
 */
#ifndef TSM_CODEC_BLOCK_H
#define TSM_CODEC_BLOCK_H

#include "base/err.h"
#include "codec/values.h"

enum {
    TSM_BLOCK_POINTS = 1000,        /* what a writer puts into one block, as InfluxDB does */
    TSM_BLOCK_MAX_POINTS = 1 << 20, /* what a reader accepts */
};

/* Appends the encoding of values [from, to), strictly ascending in time, to out. Fails with TSM_ELIMIT when
 * a value cannot be represented (a NaN or an infinite float). */
int tsm_block_encode(struct tsm_buf *out, const struct tsm_values *c, size_t from, size_t to,
                     struct tsm_err *err);

/* Decodes a block into c, which is reset first. Every length is checked against len: any bytes may be
 * given. TSM_ECORRUPT with the cause. */
int tsm_block_decode(const uint8_t *p, size_t len, struct tsm_values *c, struct tsm_err *err);

/* The timestamps only (c->v is not filled). */
int tsm_block_decode_times(const uint8_t *p, size_t len, struct tsm_values *c, struct tsm_err *err);

/* Number of points, without decoding what is not needed for it. */
int tsm_block_count(const uint8_t *p, size_t len, size_t *n, struct tsm_err *err);

/* What is inside, for reports. The names are static: "raw", "simple8b", "rle", "gorilla", "packed",
 * "snappy". */
struct tsm_block_info {
    enum tsm_type type;
    size_t n;
    const char *time_encoding;
    const char *value_encoding;
    size_t time_bytes;
    size_t value_bytes;
};
int tsm_block_info(const uint8_t *p, size_t len, struct tsm_block_info *info, struct tsm_err *err);

#endif
