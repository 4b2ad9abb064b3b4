/*
 * codec/float.c: float values of a block.
 *
 * Both directions work on 64-bit windows at any bit position. Decoding runs without bounds checks as long as
 * the longest code fits in the input; the last bytes are copied in front of zeros and decoded by the same
 * code, which then looks after each value whether it used bits beyond the end.
 */
#include "codec/float.h"

#include "base/bytes.h"
#include "base/banned.h"

enum { RAW = 0, GORILLA = 1 };
enum {
    HEADER = 9,
    REACH = 12, /* bytes that one step can touch from the byte where it starts: 13 bits, then 9 bytes */
    CODE_MAX_BITS = 2 + 5 + 6 + 64,
};

#define END_OF_STREAM UINT64_C(0x7ff8000000000001) /* Go's NaN */

static uint64_t bits_of(double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

/* ---- encoding ---- */

/* Bits that were written but do not fill a byte yet are in the top of pending. */
struct bit_writer {
    uint8_t *p;
    uint64_t pending;
    unsigned used; /* 0 … 7 */
};

/* Appends the low n bits of v, which has no others; n <= 56. Writes eight bytes. */
static inline void put_bits(struct bit_writer *w, uint64_t v, unsigned n)
{
    unsigned used = w->used + n;
    uint64_t pending = w->pending | v << (64 - used);
    tsm_put_be64(w->p, pending);
    w->p += used >> 3;
    w->pending = pending << (used & 56);
    w->used = used & 7;
}

/* As put_bits, for n up to 64. */
static inline void put_long(struct bit_writer *w, uint64_t v, unsigned n)
{
    if (n > 56) {
        put_bits(w, v >> 32, n - 32);
        v &= UINT32_MAX;
        n = 32;
    }
    put_bits(w, v, n);
}

struct gorilla_writer {
    struct bit_writer bits;
    uint64_t last;
    unsigned leading, trailing; /* as stated last; leading 64: not yet */
};

static inline void put_value(struct gorilla_writer *w, uint64_t value)
{
    uint64_t x = value ^ w->last;
    w->last = value;
    if (x == 0) {
        put_bits(&w->bits, 0, 1);
        return;
    }
    unsigned leading = (unsigned)__builtin_clzll(x) & 31, trailing = (unsigned)__builtin_ctzll(x);
    if (leading >= w->leading && trailing >= w->trailing) {
        unsigned n = 64 - w->leading - w->trailing;
        x >>= w->trailing;
        if (n <= 54) {
            put_bits(&w->bits, UINT64_C(2) << n | x, n + 2);
        } else {
            put_bits(&w->bits, 2, 2);
            put_long(&w->bits, x, n);
        }
        return;
    }
    w->leading = leading;
    w->trailing = trailing;
    unsigned n = 64 - leading - trailing;
    put_bits(&w->bits, 3u << 11 | leading << 6 | (n & 63), 13);
    put_long(&w->bits, x >> trailing, n);
}

int tsm_float_encode(struct tsm_buf *out, const double *v, size_t n, struct tsm_err *err)
{
    /* Every put_bits() writes eight bytes, so seven more than the stream needs. */
    uint8_t *start = tsm_buf_room(out, HEADER + (n + 1) * CODE_MAX_BITS / 8 + 16);
    start[0] = GORILLA << 4;
    tsm_put_be64(start + 1, bits_of(v[0]));
    struct gorilla_writer w = {.bits = {.p = start + HEADER}, .last = bits_of(v[0]), .leading = 64};
    bool finite = (w.last & UINT64_C(0x7ff0000000000000)) != UINT64_C(0x7ff0000000000000);
    for (size_t i = 1; i < n; i++) {
        uint64_t value = bits_of(v[i]);
        finite &= (value & UINT64_C(0x7ff0000000000000)) != UINT64_C(0x7ff0000000000000);
        put_value(&w, value);
    }
    if (!finite)
        return tsm_err_set(err, TSM_ELIMIT, "floats: NaN and infinity cannot be stored");
    put_value(&w, END_OF_STREAM);
    out->len += (size_t)(w.bits.p - start) + (w.bits.used != 0);
    return TSM_OK;
}

/* ---- decoding ---- */

struct gorilla_reader {
    uint64_t last;
    unsigned meaningful, trailing; /* as stated last */
    bool bad;                      /* a statement made no sense */
};

/* The 64 bits from bit position pos; reads nine bytes. */
static inline uint64_t window(const uint8_t *p, size_t pos)
{
    p += pos >> 3;
    unsigned shift = pos & 7;
    return tsm_get_be64(p) << shift | (uint64_t)p[8] >> (8 - shift);
}

/* Reads the code of a value that differs from the last one; w is the window at pos. Returns the position
 * after it. */
static inline size_t get_change(struct gorilla_reader *r, const uint8_t *p, size_t pos, uint64_t w)
{
    if (w >> 62 & 1) {
        unsigned leading = w >> 57 & 31;
        r->meaningful = ((w >> 51 & 63) + 63) % 64 + 1;
        unsigned zeros = 64 - r->meaningful;
        r->bad |= leading > zeros;
        r->trailing = (zeros - leading) & 63;
        pos += 13;
        w = window(p, pos);
    } else {
        pos += 2;
        w = r->meaningful > 62 ? window(p, pos) : w << 2;
    }
    r->last ^= w >> (64 - r->meaningful) << r->trailing;
    return pos + r->meaningful;
}

/* Decodes values [i, n) as long as the code at *pos begins before byte `safe`. Stops early at the
 * end-of-stream value. Returns the number of values there are now. */
static inline size_t get_values(struct gorilla_reader *r, const uint8_t *p, size_t *pos, size_t safe,
                                double *v, size_t i, size_t n)
{
    size_t at = *pos;
    while (i < n && at >> 3 < safe) {
        uint64_t w = window(p, at);
        if (w >> 63) {
            at = get_change(r, p, at, w);
            if (r->last == END_OF_STREAM)
                break;
            memcpy(&v[i++], &r->last, sizeof *v);
            continue;
        }
        size_t same = w ? (size_t)__builtin_clzll(w) : 64;
        if (same > n - i)
            same = n - i;
        at += same;
        for (size_t end = i + same; i < end; i++)
            memcpy(&v[i], &r->last, sizeof *v);
    }
    *pos = at;
    return i;
}

static int decode_gorilla(const uint8_t *p, size_t len, double *v, size_t n, struct tsm_err *err)
{
    struct gorilla_reader r = {.last = tsm_get_be64(p), .meaningful = 64};
    if (r.last == END_OF_STREAM)
        return tsm_err_set(err, TSM_ECORRUPT, "floats: no values for %zu timestamps", n);
    memcpy(&v[0], &r.last, sizeof *v);
    p += 8;
    len -= 8;
    size_t pos = 0, i = 1;
    if (len > REACH)
        i = get_values(&r, p, &pos, len - REACH, v, i, n);
    if (i < n && r.last == END_OF_STREAM)
        return tsm_err_set(err, TSM_ECORRUPT, "floats: %zu values for %zu timestamps", i, n);

    /* The rest: at most REACH bytes, and perhaps more when the values are complete. */
    uint8_t tail[3 * REACH] = {0};
    size_t from = pos >> 3;
    size_t rest = len > from ? len - from : 0;
    memcpy(tail, p + from, rest < 2 * REACH ? rest : 2 * REACH);
    pos &= 7;
    i = get_values(&r, tail, &pos, rest < REACH ? rest : REACH, v, i, n);
    if (i < n || pos > 8 * rest)
        return tsm_err_set(err, TSM_ECORRUPT, "floats: %zu values for %zu timestamps", i, n);
    /* The value that ends the stream. */
    uint64_t w = window(tail, pos);
    if (w >> 63 && pos < 8 * rest)
        pos = get_change(&r, tail, pos, w);
    if (r.bad || r.last != END_OF_STREAM || pos > 8 * rest)
        return tsm_err_set(err, TSM_ECORRUPT, "floats: no end after %zu values", n);
    return TSM_OK;
}

int tsm_float_decode(const uint8_t *p, size_t len, double *v, size_t n, struct tsm_err *err)
{
    if (len < HEADER)
        return tsm_err_set(err, TSM_ECORRUPT, "floats: %zu bytes are too few", len);
    switch (p[0] >> 4) {
    case GORILLA:
        return decode_gorilla(p + 1, len - 1, v, n, err);
    case RAW:
        if (len - 1 != 8 * n)
            return tsm_err_set(err, TSM_ECORRUPT, "floats: %zu raw bytes for %zu timestamps", len - 1, n);
        for (size_t i = 0; i < n; i++) {
            uint64_t bits = tsm_get_be64(p + 1 + 8 * i);
            memcpy(&v[i], &bits, sizeof *v);
        }
        return TSM_OK;
    default:
        return tsm_err_set(err, TSM_ECORRUPT, "floats: unknown encoding %d", p[0] >> 4);
    }
}

const char *tsm_float_encoding_name(uint8_t first_byte)
{
    switch (first_byte >> 4) {
    case RAW:
        return "raw";
    case GORILLA:
        return "gorilla";
    default:
        return "unknown";
    }
}
