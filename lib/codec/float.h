/*
 * codec/float.h: the values of a float block.
 *
 *   byte 0    high 4 bits: encoding
 *   gorilla   8 bytes first value, then a stream of bits, highest first, for each further value and for a NaN
 *             that ends the stream; each value is XORed with the one before:
 *               0                            the same value
 *               10 + M bits                  leading and trailing zeros as in the last value that stated them
 *               11 + 5 bits + 6 bits + M bits
 *                                            number of leading zeros modulo 32, M (64 as 0), then the M bits
 *                                            between leading and trailing zeros
 *             filled up with zeros to a whole byte
 *   raw       8 bytes per value. InfluxDB reserves the number 0 for it and never writes it; it is only read
 *
 * Source: influxdb v1.8 tsdb/engine/tsm1/batch_float.go.
 */
#ifndef TSM_CODEC_FLOAT_H
#define TSM_CODEC_FLOAT_H

#include "base/buf.h"
#include "base/err.h"

/* Appends the encoding of n > 0 values. TSM_ELIMIT when one of them is a NaN (which ends the stream) or
 * infinite (which no query language of InfluxDB can express); out is then unchanged. */
int tsm_float_encode(struct tsm_buf *out, const double *v, size_t n, struct tsm_err *err);

/* Decodes exactly n > 0 values; TSM_ECORRUPT when there are more or fewer. */
int tsm_float_decode(const uint8_t *p, size_t len, double *v, size_t n, struct tsm_err *err);

const char *tsm_float_encoding_name(uint8_t first_byte);

#endif
