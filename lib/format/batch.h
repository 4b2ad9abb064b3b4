/*
 * format/batch.h: points as bytes: the payload of a record of the write-ahead log (and of whatever else carries
 * parsed points from one process to another).
 *
 *   uvarint number of series keys,  each: uvarint length, key as written in the line
 *   uvarint number of field names,  each: uvarint length, name
 *   uvarint number of points,       each: uvarint series, svarint time less that of the point before,
 *                                         uvarint fields, each: uvarint name << 3 | type, value
 *   value: float 8 bytes, big-endian; integer svarint; unsigned uvarint; boolean 1 byte, 0 or 1; string uvarint length, bytes
 *
 * The numbers of types are those of codec/values.h; the point before the first one has time 0; differences of times wrap at
 * 64 bits; an svarint is the uvarint of 2v, or of -2v - 1 when v is negative. A point has at least one field. What no line
 * can hold does not stand here either: an empty key or name, a series key and a name that make a TSM key too long, a time out of
 * range, a float that is no finite number. Keys and names stand once, in the order of their first use. Nothing is compressed here: the record is.
 */
#ifndef TSM_FORMAT_BATCH_H
#define TSM_FORMAT_BATCH_H

#include "format/line.h"

/* Reusable working memory of an encoder. A zeroed struct is ready. */
struct tsm_batch_encoder;
struct tsm_batch_encoder *tsm_batch_encoder_new(void);
void tsm_batch_encoder_free(struct tsm_batch_encoder *e); /* NULL is allowed */

/* Appends the points with the numbers which[0 … n) of points, in that order. */
void tsm_batch_encode(struct tsm_batch_encoder *e, const struct tsm_points *points, const uint32_t *which,
                      size_t n, struct tsm_buf *out);

/* Appends the points in p to out, hashes filled, each point's text its key. Keys and strings borrow from p. Any bytes may
 * be given: TSM_ECORRUPT with the offset and the cause, and out may then hold some of the points. */
int tsm_batch_decode(const uint8_t *p, size_t len, struct tsm_points *out, struct tsm_err *err);

#endif
