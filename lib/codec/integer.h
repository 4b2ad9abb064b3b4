/*
 * codec/integer.h: the values of an integer or unsigned block (an unsigned one holds the same 64 bits).
 *
 *   byte 0   high 4 bits: encoding
 *   raw      8 bytes for each zigzag-encoded delta to the value before; the first one is the delta to 0
 *   simple8b 8 bytes zigzag-encoded first value, then the zigzag-encoded deltas in simple8b words
 *   rle      8 bytes zigzag-encoded first value, uvarint zigzag-encoded delta, uvarint number of deltas
 *
 * Source: influxdb v1.8 tsdb/engine/tsm1/batch_integer.go.
 */
#ifndef TSM_CODEC_INTEGER_H
#define TSM_CODEC_INTEGER_H

#include "base/buf.h"
#include "base/err.h"

/* Appends the encoding of n > 0 values. */
void tsm_integer_encode(struct tsm_buf *out, const int64_t *v, size_t n);

/* Decodes exactly n > 0 values; TSM_ECORRUPT when there are more or fewer. */
int tsm_integer_decode(const uint8_t *p, size_t len, int64_t *v, size_t n, struct tsm_err *err);

const char *tsm_integer_encoding_name(uint8_t first_byte);

#endif
