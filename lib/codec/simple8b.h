/*
 * codec/simple8b.h: packing of unsigned integers below 2^60 into 64-bit words (Anh and Moffat, "Index
 * compression using 64-bit words"), big-endian on disk.
 *
 *   selector (top 4 bits)    0    1   2   3   4   5   6   7  8  9 10 11 12 13 14 15
 *   values in the word     240  120  60  30  20  15  12  10  8  7  6  5  4  3  2  1
 *   bits of each             0    0   1   2   3   4   5   6  7  8 10 12 15 20 30 60
 *
 * The first value has the lowest bits. Selectors 0 and 1 are runs of ones; their low 60 bits are not used. A
 * word is never padded: it holds exactly as many values as its selector says.
 */
#ifndef TSM_CODEC_SIMPLE8B_H
#define TSM_CODEC_SIMPLE8B_H

#include <stddef.h>
#include <stdint.h>

#define TSM_SIMPLE8B_MAX ((UINT64_C(1) << 60) - 1)

/* Packs n values, each at most TSM_SIMPLE8B_MAX, into out, which has room for 8 * n bytes. Returns the bytes
 * written. The choice of words is that of InfluxDB 1.8's compaction: each word takes as many values as fit.
 */
size_t tsm_simple8b_encode(uint8_t *out, const uint64_t *v, size_t n);

/* How many values the words in [p, p + len) hold; len is a multiple of 8. At most 30 * len. */
size_t tsm_simple8b_count(const uint8_t *p, size_t len);

/* The decoders below unpack len bytes (a multiple of 8) into out, which has room for tsm_simple8b_count()
 * values. */

/* out[k] = base + scale * (sum of the first k + 1 values), modulo 2^64. */
void tsm_simple8b_decode_sums(const uint8_t *p, size_t len, uint64_t base, uint64_t scale, uint64_t *out);

/* out[k] = base + (sum of the first k + 1 values, each zigzag-decoded), modulo 2^64. */
void tsm_simple8b_decode_zigzag_sums(const uint8_t *p, size_t len, uint64_t base, uint64_t *out);

#endif
