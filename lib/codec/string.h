/*
 * codec/string.h: the values of a string block.
 *
 *   byte 0   high 4 bits: encoding, always 1 (snappy)
 *   snappy   block of: for each value a uvarint length and the bytes
 *
 * Source: influxdb v1.8 tsdb/engine/tsm1/string.go.
 */
#ifndef TSM_CODEC_STRING_H
#define TSM_CODEC_STRING_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/* Appends the encoding of n values. Fails with TSM_ELIMIT when their bytes exceed what snappy can take (4
 * GiB). */
int tsm_string_encode(struct tsm_buf *out, const struct tsm_str *v, size_t n, struct tsm_err *err);

/* Decodes exactly n values, which point into text (emptied first); TSM_ECORRUPT when there are more or
 * fewer. */
int tsm_string_decode(const uint8_t *p, size_t len, struct tsm_buf *text, struct tsm_str *v, size_t n,
                      struct tsm_err *err);

const char *tsm_string_encoding_name(uint8_t first_byte);

#endif
