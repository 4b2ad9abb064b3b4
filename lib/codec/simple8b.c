/*
 * codec/simple8b.c: packing and unpacking of simple8b words.
 *
 * Each selector has code of its own, unrolled by the compiler from one inline function with constant
 * arguments: the only branch that cannot be foreseen is the one on the selector.
 */
#include "codec/simple8b.h"

#include "base/bytes.h"
#include "base/banned.h"

/* X(selector, values in the word, bits of each), without the two selectors for runs of ones. */
#define PACKINGS(X) \
    X(2, 60, 1)     \
    X(3, 30, 2)     \
    X(4, 20, 3)     \
    X(5, 15, 4)     \
    X(6, 12, 5)     \
    X(7, 10, 6)     \
    X(8, 8, 7)      \
    X(9, 7, 8)      \
    X(10, 6, 10)    \
    X(11, 5, 12)    \
    X(12, 4, 15)    \
    X(13, 3, 20)    \
    X(14, 2, 30)    \
    X(15, 1, 60)

enum { ONES_LONG = 240, ONES_SHORT = 120, FIRST_PACKED = 2 };

static const uint8_t selector_values[16] = {ONES_LONG, ONES_SHORT,
#define X(selector, values, bits) values,
                                            PACKINGS(X)
#undef X
};

static const uint8_t selector_bits[16] = {0, 0,
#define X(selector, values, bits) bits,
                                          PACKINGS(X)
#undef X
};

/* The first packed selector whose values have at least that many bits. */
static const uint8_t selector_for_bits[61] = {
    2,  2,  3,  4,  5,  6,  7,  8,  9,  10, 10, 11, 11, 12, 12, 12, 13, 13, 13, 13, 13,
    14, 14, 14, 14, 14, 14, 14, 14, 14, 14, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15,
    15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15,
};

#define INLINE static inline __attribute__((always_inline))

INLINE uint64_t pack(const uint64_t *v, uint64_t selector, unsigned values, unsigned bits)
{
    uint64_t word = selector << 60;
#pragma GCC unroll 60
    for (unsigned k = 0; k < values; k++)
        word |= v[k] << (k * bits);
    return word;
}

static uint64_t pack_word(const uint64_t *v, unsigned selector)
{
    switch (selector) {
#define X(selector, values, bits) \
    case selector:                \
        return pack(v, selector, values, bits);
        PACKINGS(X)
#undef X
    default:
        return (uint64_t)selector << 60;
    }
}

static size_t count_ones(const uint64_t *v, size_t n)
{
    size_t k = 0;
    while (k < n && v[k] == 1)
        k++;
    return k;
}

/* The selector of the next word: the first one, in the order of the table, that has no more values than there
 * are and enough bits for each of them. n > 0. */
static unsigned choose(const uint64_t *v, size_t n)
{
    if (n >= ONES_SHORT && v[0] == 1) {
        size_t window = n >= ONES_LONG ? ONES_LONG : ONES_SHORT;
        size_t ones = count_ones(v, window);
        if (ones == ONES_LONG)
            return 0;
        if (ones >= ONES_SHORT)
            return 1;
    }
    unsigned selector = FIRST_PACKED;
    while (selector_values[selector] > n)
        selector++;
    /* All values before i fit in the bits of the selector at hand. */
    for (size_t i = 0; i < selector_values[selector]; i++) {
        if (v[i] >> selector_bits[selector] == 0)
            continue;
        unsigned need = selector_for_bits[64 - __builtin_clzll(v[i])];
        do
            selector++;
        while (selector < need && selector_values[selector] > i);
    }
    return selector;
}

size_t tsm_simple8b_encode(uint8_t *out, const uint64_t *v, size_t n)
{
    uint8_t *start = out;
    for (size_t i = 0; i < n;) {
        unsigned selector = choose(v + i, n - i);
        tsm_put_be64(out, pack_word(v + i, selector));
        out += 8;
        i += selector_values[selector];
    }
    return (size_t)(out - start);
}

size_t tsm_simple8b_count(const uint8_t *p, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i += 8)
        n += selector_values[p[i] >> 4];
    return n;
}

enum transform { SCALE, ZIGZAG };

INLINE uint64_t delta(uint64_t value, enum transform transform, uint64_t scale)
{
    return transform == ZIGZAG ? (uint64_t)tsm_unzigzag(value) : value * scale;
}

INLINE uint64_t unpack(uint64_t word, unsigned values, unsigned bits, enum transform transform,
                       uint64_t scale, uint64_t sum, uint64_t *out)
{
    uint64_t mask = (UINT64_C(1) << bits) - 1;
#pragma GCC unroll 60
    for (unsigned k = 0; k < values; k++) {
        sum += delta(word >> (k * bits) & mask, transform, scale);
        out[k] = sum;
    }
    return sum;
}

INLINE uint64_t unpack_ones(unsigned values, uint64_t step, uint64_t sum, uint64_t *out)
{
    for (unsigned k = 0; k < values; k++) {
        sum += step;
        out[k] = sum;
    }
    return sum;
}

INLINE void decode(const uint8_t *p, size_t len, enum transform transform, uint64_t scale, uint64_t sum,
                   uint64_t *out)
{
    for (const uint8_t *end = p + len; p < end; p += 8) {
        uint64_t word = tsm_get_be64(p);
        switch (word >> 60) {
        case 0:
            sum = unpack_ones(ONES_LONG, delta(1, transform, scale), sum, out);
            out += ONES_LONG;
            break;
        case 1:
            sum = unpack_ones(ONES_SHORT, delta(1, transform, scale), sum, out);
            out += ONES_SHORT;
            break;
#define X(selector, values, bits)                                     \
    case selector:                                                    \
        sum = unpack(word, values, bits, transform, scale, sum, out); \
        out += values;                                                \
        break;
            PACKINGS(X)
#undef X
        }
    }
}

void tsm_simple8b_decode_sums(const uint8_t *p, size_t len, uint64_t base, uint64_t scale, uint64_t *out)
{
    if (scale == 1)
        decode(p, len, SCALE, 1, base, out);
    else
        decode(p, len, SCALE, scale, base, out);
}

void tsm_simple8b_decode_zigzag_sums(const uint8_t *p, size_t len, uint64_t base, uint64_t *out)
{
    decode(p, len, ZIGZAG, 1, base, out);
}
