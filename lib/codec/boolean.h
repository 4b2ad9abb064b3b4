/*
 * codec/boolean.h: the values of a boolean block.
 *
 *   byte 0   high 4 bits: encoding, always 1 (packed)
 *   uvarint  number of values
 *   bits     one per value, the first in the highest bit of the first byte, filled up with zeros
 *
 * Source: influxdb v1.8 tsdb/engine/tsm1/bool.go.
 */
#ifndef TSM_CODEC_BOOLEAN_H
#define TSM_CODEC_BOOLEAN_H

#include "base/buf.h"
#include "base/err.h"

/* Appends the encoding of n values, each 0 or 1. */
void tsm_boolean_encode(struct tsm_buf *out, const uint8_t *v, size_t n);

/* Decodes exactly n values; TSM_ECORRUPT when there are more or fewer. */
int tsm_boolean_decode(const uint8_t *p, size_t len, uint8_t *v, size_t n, struct tsm_err *err);

const char *tsm_boolean_encoding_name(uint8_t first_byte);

#endif
