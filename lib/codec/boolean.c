/* codec/boolean.c: boolean values of a block. */
#include "codec/boolean.h"

#include "base/bytes.h"
#include "base/banned.h"

enum { PACKED = 1 };

void tsm_boolean_encode(struct tsm_buf *out, const uint8_t *v, size_t n)
{
    uint8_t *p = tsm_buf_room(out, 1 + TSM_VARINT_MAX + n / 8 + 1);
    uint8_t *start = p;
    *p++ = PACKED << 4;
    p += tsm_put_uvarint(p, n);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        unsigned byte = 0;
        for (size_t k = 0; k < 8; k++)
            byte = byte << 1 | (v[i + k] & 1);
        *p++ = (uint8_t)byte;
    }
    if (i < n) {
        unsigned byte = 0;
        for (size_t k = 0; i + k < n; k++)
            byte |= (v[i + k] & 1u) << (7 - k);
        *p++ = (uint8_t)byte;
    }
    out->len += (size_t)(p - start);
}

/* Eight bits into eight bytes of 0 or 1, the highest bit first. */
static void spread(uint8_t *v, uint8_t bits)
{
    uint64_t each = (bits * UINT64_C(0x0101010101010101)) & UINT64_C(0x8040201008040201);
    tsm_put_be64(v, (each + UINT64_C(0x7f7f7f7f7f7f7f7f)) >> 7 & UINT64_C(0x0101010101010101));
}

int tsm_boolean_decode(const uint8_t *p, size_t len, uint8_t *v, size_t n, struct tsm_err *err)
{
    if (len == 0)
        return tsm_err_set(err, TSM_ECORRUPT, "booleans: none");
    if (p[0] >> 4 != PACKED)
        return tsm_err_set(err, TSM_ECORRUPT, "booleans: unknown encoding %d", p[0] >> 4);
    uint64_t count;
    size_t used = tsm_get_uvarint(p + 1, len - 1, &count);
    if (!used)
        return tsm_err_set(err, TSM_ECORRUPT, "booleans: bad count");
    if (count != n)
        return tsm_err_set(err, TSM_ECORRUPT, "booleans: %llu values for %zu timestamps",
                           (unsigned long long)count, n);
    p += 1 + used;
    len -= 1 + used;
    if (len != n / 8 + (n % 8 != 0))
        return tsm_err_set(err, TSM_ECORRUPT, "booleans: %zu bytes for %zu values", len, n);
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        spread(v + i, *p++);
    for (size_t k = 0; i + k < n; k++)
        v[i + k] = *p >> (7 - k) & 1;
    return TSM_OK;
}

const char *tsm_boolean_encoding_name(uint8_t first_byte)
{
    return first_byte >> 4 == PACKED ? "packed" : "unknown";
}
