/*
 * codec/time.h: the timestamps of a block, strictly ascending.
 *
 *   byte 0     high 4 bits: encoding; low 4 bits: log10 of the scale, which divides all deltas (simple8b, rle)
 *   raw        8 bytes first time, then 8 bytes for each delta to the time before
 *   simple8b   8 bytes first time, then the scaled deltas in simple8b words
 *   rle        8 bytes first time, uvarint scaled delta, uvarint number of times
 *
 * Source: influxdb v1.8 tsdb/engine/tsm1/batch_timestamp.go.
 */
#ifndef TSM_CODEC_TIME_H
#define TSM_CODEC_TIME_H

#include "base/buf.h"
#include "base/err.h"

/* Appends the encoding of n > 0 strictly ascending times. */
void tsm_time_encode(struct tsm_buf *out, const int64_t *t, size_t n);

/* How many times are encoded in [p, p + len): at least 1, at most TSM_BLOCK_MAX_POINTS. Reads no more than it
 * must: the header of rle, the selectors of simple8b. */
int tsm_time_count(const uint8_t *p, size_t len, size_t *n, struct tsm_err *err);

/* Decodes n times, n being what tsm_time_count() gave for the same bytes. Times that do not strictly ascend
 * are TSM_ECORRUPT. */
int tsm_time_decode(const uint8_t *p, size_t len, int64_t *t, size_t n, struct tsm_err *err);

const char *tsm_time_encoding_name(uint8_t first_byte);

#endif
