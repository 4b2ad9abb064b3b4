/* codec/integer.c: integer and unsigned values of a block. */
#include "codec/integer.h"

#include "base/alloc.h"
#include "base/bytes.h"
#include "codec/simple8b.h"
#include "base/banned.h"

enum { RAW = 0, SIMPLE8B = 1, RLE = 2 };
enum { HEADER = 9, STACK_POINTS = 1024 };

static void encode_rle(struct tsm_buf *out, uint64_t first, uint64_t delta, size_t repeats)
{
    uint8_t *p = tsm_buf_room(out, HEADER + 2 * TSM_VARINT_MAX);
    p[0] = RLE << 4;
    tsm_put_be64(p + 1, first);
    size_t len = HEADER;
    len += tsm_put_uvarint(p + len, delta);
    len += tsm_put_uvarint(p + len, repeats);
    out->len += len;
}

static void encode_deltas(struct tsm_buf *out, uint64_t first, const uint64_t *deltas, size_t n, bool fits)
{
    uint8_t *p = tsm_buf_room(out, HEADER + 8 * n);
    tsm_put_be64(p + 1, first);
    if (fits) {
        p[0] = SIMPLE8B << 4;
        out->len += HEADER + tsm_simple8b_encode(p + HEADER, deltas, n);
        return;
    }
    p[0] = RAW << 4;
    for (size_t i = 0; i < n; i++)
        tsm_put_be64(p + HEADER + 8 * i, deltas[i]);
    out->len += HEADER + 8 * n;
}

void tsm_integer_encode(struct tsm_buf *out, const int64_t *v, size_t n)
{
    uint64_t stack[STACK_POINTS];
    uint64_t *deltas = n <= STACK_POINTS ? stack : tsm_realloc_array(NULL, n, sizeof *deltas);
    uint64_t any = 0, differs = 0;
    for (size_t i = 1; i < n; i++) {
        deltas[i - 1] = tsm_zigzag((int64_t)((uint64_t)v[i] - (uint64_t)v[i - 1]));
        any |= deltas[i - 1];
        differs |= deltas[i - 1] ^ deltas[0];
    }
    uint64_t first = tsm_zigzag(v[0]);
    if (n > 2 && !differs)
        encode_rle(out, first, deltas[0], n - 1);
    else
        encode_deltas(out, first, deltas, n - 1, any <= TSM_SIMPLE8B_MAX);
    if (deltas != stack)
        tsm_free(deltas);
}

static int bad_count(struct tsm_err *err, uint64_t have, size_t want)
{
    return tsm_err_set(err, TSM_ECORRUPT, "integers: %llu values for %zu timestamps",
                       (unsigned long long)have, want);
}

static int decode_rle(const uint8_t *p, size_t len, int64_t *v, size_t n, struct tsm_err *err)
{
    uint64_t delta, repeats;
    size_t at = HEADER;
    size_t used = tsm_get_uvarint(p + at, len - at, &delta);
    if (!used)
        return tsm_err_set(err, TSM_ECORRUPT, "integers: bad delta of a run");
    at += used;
    used = tsm_get_uvarint(p + at, len - at, &repeats);
    if (!used || at + used != len)
        return tsm_err_set(err, TSM_ECORRUPT, "integers: bad length of a run");
    if (repeats != n - 1)
        return bad_count(err, repeats + 1, n);
    uint64_t first = (uint64_t)tsm_unzigzag(tsm_get_be64(p + 1));
    uint64_t step = (uint64_t)tsm_unzigzag(delta);
    for (size_t i = 0; i < n; i++)
        v[i] = (int64_t)(first + i * step);
    return TSM_OK;
}

static void decode_raw(const uint8_t *p, int64_t *v, size_t n)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (uint64_t)tsm_unzigzag(tsm_get_be64(p + 8 * i));
        v[i] = (int64_t)sum;
    }
}

int tsm_integer_decode(const uint8_t *p, size_t len, int64_t *v, size_t n, struct tsm_err *err)
{
    if (len < HEADER)
        return tsm_err_set(err, TSM_ECORRUPT, "integers: %zu bytes are too few", len);
    switch (p[0] >> 4) {
    case RAW:
        if (len - 1 != 8 * n)
            return bad_count(err, (len - 1) / 8, n);
        decode_raw(p + 1, v, n);
        return TSM_OK;
    case SIMPLE8B:
        if (len % 8 != 1)
            return tsm_err_set(err, TSM_ECORRUPT, "integers: %zu packed bytes are not whole words", len);
        size_t count = 1 + tsm_simple8b_count(p + HEADER, len - HEADER);
        if (count != n)
            return bad_count(err, count, n);
        v[0] = tsm_unzigzag(tsm_get_be64(p + 1));
        tsm_simple8b_decode_zigzag_sums(p + HEADER, len - HEADER, (uint64_t)v[0], (uint64_t *)v + 1);
        return TSM_OK;
    case RLE:
        return decode_rle(p, len, v, n, err);
    default:
        return tsm_err_set(err, TSM_ECORRUPT, "integers: unknown encoding %d", p[0] >> 4);
    }
}

const char *tsm_integer_encoding_name(uint8_t first_byte)
{
    switch (first_byte >> 4) {
    case RAW:
        return "raw";
    case SIMPLE8B:
        return "simple8b";
    case RLE:
        return "rle";
    default:
        return "unknown";
    }
}
