/* codec/time.c: timestamps of a block. */
#include "codec/time.h"

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/power10.h"
#include "codec/block.h"
#include "codec/simple8b.h"
#include "base/banned.h"

enum { RAW = 0, SIMPLE8B = 1, RLE = 2 };
enum { HEADER = 9, MAX_SCALE_LOG = 12, STACK_POINTS = 1024 };

/* v is a multiple of 5^k exactly when v * inverse[k] (modulo 2^64) is at most limit[k]; the product then is v
 * / 5^k. */
static const struct {
    uint64_t inverse, limit;
} pow5_test[MAX_SCALE_LOG + 1] = {
    {0x0000000000000001, 0xffffffffffffffff}, {0xcccccccccccccccd, 0x3333333333333333},
    {0x8f5c28f5c28f5c29, 0x0a3d70a3d70a3d70}, {0x1cac083126e978d5, 0x020c49ba5e353f7c},
    {0xd288ce703afb7e91, 0x0068db8bac710cb2}, {0x5d4e8fb00bcbe61d, 0x0014f8b588e368f0},
    {0x790fb65668c26139, 0x000431bde82d7b63}, {0xe5032477ae8d46a5, 0x0000d6bf94d5e57a},
    {0xc767074b22e90e21, 0x00002af31dc46118}, {0x8e47ce423a2e9c6d, 0x0000089705f4136b},
    {0x4fa7f60d3ed61f49, 0x000001b7cdfd9d7b}, {0x0fee64690c913975, 0x00000057f5ff85e5},
    {0x3662e0e1cf503eb1, 0x000000119799812d},
};

/* The largest k <= 12 such that 10^k divides all of v[0..n). */
static unsigned scale_log(const uint64_t *v, size_t n)
{
    uint64_t any = 0;
    for (size_t i = 0; i < n; i++)
        any |= v[i];
    unsigned k = MAX_SCALE_LOG;
    if (any && (unsigned)__builtin_ctzll(any) < k)
        k = (unsigned)__builtin_ctzll(any);
    for (size_t i = 0; i < n && k; i++)
        while (v[i] * pow5_test[k].inverse > pow5_test[k].limit)
            k--;
    return k;
}

static bool evenly_spaced(const int64_t *t, size_t n)
{
    uint64_t step = (uint64_t)t[1] - (uint64_t)t[0], differs = 0;
    size_t i = 2;
    for (; i + 8 <= n; i += 8) {
        for (size_t k = 0; k < 8; k++)
            differs |= ((uint64_t)t[i + k] - (uint64_t)t[i + k - 1]) ^ step;
        if (differs)
            return false;
    }
    for (; i < n; i++)
        differs |= ((uint64_t)t[i] - (uint64_t)t[i - 1]) ^ step;
    return !differs;
}

static void encode_rle(struct tsm_buf *out, const int64_t *t, size_t n)
{
    uint64_t step = (uint64_t)t[1] - (uint64_t)t[0];
    unsigned log = scale_log(&step, 1);
    uint8_t *p = tsm_buf_room(out, HEADER + 2 * TSM_VARINT_MAX);
    p[0] = (uint8_t)(RLE << 4 | log);
    tsm_put_be64(p + 1, (uint64_t)t[0]);
    size_t len = HEADER;
    len += tsm_put_uvarint(p + len, step / tsm_power10[log]);
    len += tsm_put_uvarint(p + len, n);
    out->len += len;
}

static void encode_deltas(struct tsm_buf *out, uint64_t first, uint64_t *deltas, size_t n)
{
    uint8_t *p = tsm_buf_room(out, HEADER + 8 * n);
    tsm_put_be64(p + 1, first);
    uint64_t any = 0;
    for (size_t i = 0; i < n; i++)
        any |= deltas[i];
    if (any > TSM_SIMPLE8B_MAX) {
        p[0] = RAW << 4;
        for (size_t i = 0; i < n; i++)
            tsm_put_be64(p + HEADER + 8 * i, deltas[i]);
        out->len += HEADER + 8 * n;
        return;
    }
    unsigned log = scale_log(deltas, n);
    if (log)
        for (size_t i = 0; i < n; i++)
            deltas[i] = deltas[i] * pow5_test[log].inverse >> log;
    p[0] = (uint8_t)(SIMPLE8B << 4 | log);
    out->len += HEADER + tsm_simple8b_encode(p + HEADER, deltas, n);
}

void tsm_time_encode(struct tsm_buf *out, const int64_t *t, size_t n)
{
    if (n > 1 && evenly_spaced(t, n)) {
        encode_rle(out, t, n);
        return;
    }
    uint64_t stack[STACK_POINTS];
    uint64_t *deltas = n <= STACK_POINTS ? stack : tsm_realloc_array(NULL, n, sizeof *deltas);
    for (size_t i = 1; i < n; i++)
        deltas[i - 1] = (uint64_t)t[i] - (uint64_t)t[i - 1];
    encode_deltas(out, (uint64_t)t[0], deltas, n - 1);
    if (deltas != stack)
        tsm_free(deltas);
}

struct rle {
    uint64_t first, step, n;
};

static int read_rle(const uint8_t *p, size_t len, struct rle *r, struct tsm_err *err)
{
    if (len < HEADER)
        return tsm_err_set(err, TSM_ECORRUPT, "timestamps: run of %zu bytes is too short", len);
    r->first = tsm_get_be64(p + 1);
    size_t at = HEADER;
    size_t used = tsm_get_uvarint(p + at, len - at, &r->step);
    if (!used)
        return tsm_err_set(err, TSM_ECORRUPT, "timestamps: bad delta of a run");
    at += used;
    used = tsm_get_uvarint(p + at, len - at, &r->n);
    if (!used || at + used != len)
        return tsm_err_set(err, TSM_ECORRUPT, "timestamps: bad length of a run");
    if (__builtin_mul_overflow(r->step, tsm_power10[p[0] & 15], &r->step))
        return tsm_err_set(err, TSM_ECORRUPT, "timestamps: delta of a run exceeds 64 bits");
    if (r->n == 0 || r->n > TSM_BLOCK_MAX_POINTS)
        return tsm_err_set(err, TSM_ECORRUPT, "timestamps: run of %llu", (unsigned long long)r->n);
    /* The whole run is in order when its length in time fits what is left above the first one. */
    uint64_t span;
    if (r->n > 1 && (r->step == 0 || __builtin_mul_overflow(r->step, r->n - 1, &span) ||
                     span > (uint64_t)INT64_MAX - r->first))
        return tsm_err_set(err, TSM_ECORRUPT, "timestamps: not in ascending order");
    return TSM_OK;
}

int tsm_time_count(const uint8_t *p, size_t len, size_t *n, struct tsm_err *err)
{
    if (len == 0)
        return tsm_err_set(err, TSM_ECORRUPT, "timestamps: none");
    struct rle r;
    uint64_t count;
    int rc;
    switch (p[0] >> 4) {
    case RAW:
        if (len % 8 != 1)
            return tsm_err_set(err, TSM_ECORRUPT, "timestamps: %zu raw bytes are not whole numbers", len);
        count = (len - 1) / 8;
        break;
    case SIMPLE8B:
        if (len % 8 != 1 || len < HEADER)
            return tsm_err_set(err, TSM_ECORRUPT, "timestamps: %zu packed bytes are not whole words", len);
        count = 1 + tsm_simple8b_count(p + HEADER, len - HEADER);
        break;
    case RLE:
        if ((rc = read_rle(p, len, &r, err)))
            return rc;
        count = r.n;
        break;
    default:
        return tsm_err_set(err, TSM_ECORRUPT, "timestamps: unknown encoding %d", p[0] >> 4);
    }
    if (count == 0 || count > TSM_BLOCK_MAX_POINTS)
        return tsm_err_set(err, TSM_ECORRUPT, "timestamps: count %llu is out of range",
                           (unsigned long long)count);
    *n = (size_t)count;
    return TSM_OK;
}

static bool ascends(const int64_t *t, size_t n)
{
    bool ok = true;
    for (size_t i = 1; i < n; i++)
        ok &= t[i] > t[i - 1];
    return ok;
}

static int decode_rle(const uint8_t *p, size_t len, int64_t *t, size_t n, struct tsm_err *err)
{
    struct rle r;
    int rc = read_rle(p, len, &r, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < n; i++)
        t[i] = (int64_t)(r.first + i * r.step);
    return TSM_OK;
}

int tsm_time_decode(const uint8_t *p, size_t len, int64_t *t, size_t n, struct tsm_err *err)
{
    uint64_t sum = 0;
    switch (p[0] >> 4) {
    case RLE:
        return decode_rle(p, len, t, n, err);
    case SIMPLE8B:
        sum = tsm_get_be64(p + 1);
        t[0] = (int64_t)sum;
        tsm_simple8b_decode_sums(p + HEADER, len - HEADER, sum, tsm_power10[p[0] & 15], (uint64_t *)t + 1);
        break;
    default:
        for (size_t i = 0; i < n; i++) {
            sum += tsm_get_be64(p + 1 + 8 * i);
            t[i] = (int64_t)sum;
        }
    }
    if (!ascends(t, n))
        return tsm_err_set(err, TSM_ECORRUPT, "timestamps: not in ascending order");
    return TSM_OK;
}

const char *tsm_time_encoding_name(uint8_t first_byte)
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
