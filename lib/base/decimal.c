/*
 * base/decimal.c: doubles and decimals.
 *
 * Both directions need powers of ten as 128-bit numbers: power(k) is the integer part of 10^k * 2^(127 -
 * floor(log2 10^k)), so its top bit is set. They are made from a table of every 27th one, the exact powers of
 * five up to 5^26, and two bits that say how far the product falls short.
 *
 * Reading follows D. Lemire, "Number parsing at a gigabyte per second" (2021); writing follows R. Giulietti,
 * "The Schubfach way to render doubles" (2020).
 */
#include "base/decimal.h"

#include <string.h>

#include "base/power10.h"
#include "base/banned.h"

typedef unsigned __int128 uint128;

enum {
    POWER_MIN = -351,
    POWER_MAX = 347,
    POWER_STEP = 27,
    SIGNIFICAND_BITS = 52,
    EXPONENT_BIAS = 1023,
    EXPONENT_LIMIT = 0x7ff,
};

struct power {
    uint64_t high, low;
};

/* power(POWER_MIN + POWER_STEP * i) */
static const struct power coarse_powers[] = {
    {0x8049a4ac0c5811ae, 0x205b896d777d6278}, {0xcf42894a5dce35ea, 0x52064cac828675b9},
    {0xa76c582338ed2621, 0xaf2af2b80af6f24e}, {0x873e4f75e2224e68, 0x5a7744a6e804a291},
    {0xda7f5bf590966848, 0xaf39a475506a899e}, {0xb080392cc4349dec, 0xbd8d794d96aacfb3},
    {0x8e938662882af53e, 0x547eb47b7282ee9c}, {0xe65829b3046b0afa, 0x0cb4a5a3112a5112},
    {0xba121a4650e4ddeb, 0x92f34d62616ce413}, {0x964e858c91ba2655, 0x3a6a07f8d510f86f},
    {0xf2d56790ab41c2a2, 0xfae27299423fb9c3}, {0xc428d05aa4751e4c, 0xaa97e14c3c26b886},
    {0x9e74d1b791e07e48, 0x775ea264cf55347d}, {0x8000000000000000, 0x0000000000000000},
    {0xcecb8f27f4200f3a, 0x0000000000000000}, {0xa70c3c40a64e6c51, 0x999090b65f67d924},
    {0x86f0ac99b4e8dafd, 0x69a028bb3ded71a3}, {0xda01ee641a708de9, 0xe80e6f4820cc9495},
    {0xb01ae745b101e9e4, 0x5ec05dcff72e7f8f}, {0x8e41ade9fbebc27d, 0x14588f13be847307},
    {0xe5d3ef282a242e81, 0x8f1668c8a86da5fa}, {0xb9a74a0637ce2ee1, 0x6d953e2bd7173692},
    {0x95f83d0a1fb69cd9, 0x4abdaf101564f98e}, {0xf24a01a73cf2dccf, 0xbc633b39673c8cec},
    {0xc3b8358109e84f07, 0x0a862f80ec4700c8}, {0x9e19db92b4e31ba9, 0x6c07a2c26a8346d1},
};

static const uint64_t powers_of_five[POWER_STEP] = {1u,
                                                    5u,
                                                    25u,
                                                    125u,
                                                    625u,
                                                    3125u,
                                                    15625u,
                                                    78125u,
                                                    390625u,
                                                    1953125u,
                                                    9765625u,
                                                    48828125u,
                                                    244140625u,
                                                    1220703125u,
                                                    6103515625u,
                                                    30517578125u,
                                                    152587890625u,
                                                    762939453125u,
                                                    3814697265625u,
                                                    19073486328125u,
                                                    95367431640625u,
                                                    476837158203125u,
                                                    2384185791015625u,
                                                    11920928955078125u,
                                                    59604644775390625u,
                                                    298023223876953125u,
                                                    1490116119384765625u};

/* What has to be added to the product, two bits for each power from POWER_MIN on. */
static const uint64_t corrections[] = {
    0x0011555555455550, 0x0001051414005404, 0x5565115040140005, 0x50151151045a5595, 0x5456594955550415,
    0x0111041500144105, 0x0000401000550041, 0x55a5550000000000, 0x0001410045965545, 0x5104541455500040,
    0x1151441546551455, 0x0000000000000000, 0x0000000000000000, 0x9695556400000000, 0x5555551554165a65,
    0x5554515154454140, 0x5040004404000041, 0x1411155151555455, 0x0000000550511054, 0x0010010000000040,
    0x0000000000000000, 0x0000514014010400};

static struct power power(int k)
{
    unsigned n = (unsigned)(k - POWER_MIN);
    struct power c = coarse_powers[n / POWER_STEP];
    uint64_t five = powers_of_five[n % POWER_STEP];
    five <<= __builtin_clzll(five);
    uint128 low = (uint128)c.low * five;
    uint128 p = (uint128)c.high * five + (uint64_t)(low >> 64);
    if (!(p >> 127))
        p = p << 1 | (uint64_t)low >> 63;
    p += corrections[n / 32] >> (2 * (n % 32)) & 3;
    return (struct power){(uint64_t)(p >> 64), (uint64_t)p};
}

/* floor(log2(10^k)) */
static int log2_of_power(int k)
{
    return k * 1741647 >> 19;
}

/* ---- reading ---- */

/* The product of a normalised factor and a power of ten: 128 bits, and whether the bits below can still
 * matter. */
static bool multiply(uint64_t factor, struct power p, uint128 *product)
{
    uint128 x = (uint128)factor * p.high;
    /* The table cuts the power off, so the true product is less than factor * 2^-64 above x. Only when nine
     * bits or more would all carry can that change the rounding. */
    if (((uint64_t)(x >> 64) & 0x1ff) == 0x1ff && (uint64_t)x + factor < factor) {
        uint128 y = (uint128)factor * p.low;
        uint128 sum = x + (uint64_t)(y >> 64);
        if (((uint64_t)(sum >> 64) & 0x1ff) == 0x1ff && (uint64_t)sum == UINT64_MAX &&
            (uint64_t)y + factor < factor)
            return false;
        x = sum;
    }
    *product = x;
    return true;
}

bool tsm_decimal_to_double(struct tsm_decimal d, double *v)
{
    if (d.digits == 0) {
        *v = 0;
        return true;
    }
    if (d.exponent < POWER_MIN || d.exponent > POWER_MAX)
        return false;
    int shift = __builtin_clzll(d.digits);
    uint128 product;
    if (!multiply(d.digits << shift, power(d.exponent), &product))
        return false;
    uint64_t high = (uint64_t)(product >> 64), low = (uint64_t)product;
    /* 53 bits and one for rounding; the rest is sticky. */
    unsigned top = (unsigned)(high >> 63);
    uint64_t significand = high >> (top + 9);
    if (low == 0 && (high & 0x1ff) == 0 && (significand & 3) == 1)
        return false; /* perhaps exactly between two doubles */
    int exponent = log2_of_power(d.exponent) + 63 - shift + (int)top + EXPONENT_BIAS;
    significand = (significand + (significand & 1)) >> 1;
    if (significand >> (SIGNIFICAND_BITS + 1)) {
        significand >>= 1;
        exponent++;
    }
    if (exponent <= 0 || exponent >= EXPONENT_LIMIT)
        return false;
    uint64_t bits = (uint64_t)exponent << SIGNIFICAND_BITS |
                    (significand & ((UINT64_C(1) << SIGNIFICAND_BITS) - 1));
    memcpy(v, &bits, sizeof *v);
    return true;
}

/* ---- writing ---- */

/* The integer part of p * factor / 2^128, and its lowest bit set when there is a fraction: enough to compare
 * it with integers. */
static uint64_t scale_to_odd(struct power p, uint64_t factor)
{
    uint128 low = (uint128)p.low * factor;
    uint128 high = (uint128)p.high * factor + (uint64_t)(low >> 64);
    return (uint64_t)(high >> 64) | ((uint64_t)high > 1);
}

static struct tsm_decimal without_zeros(uint64_t digits, int exponent)
{
    if (digits % 100000000 == 0) {
        digits /= 100000000;
        exponent += 8;
    }
    if (digits % 10000 == 0) {
        digits /= 10000;
        exponent += 4;
    }
    while (digits % 10 == 0) {
        digits /= 10;
        exponent++;
    }
    return (struct tsm_decimal){digits, exponent};
}

/* Finds the decimal of at most 15 digits, none of them beyond the 15th after the point, that is v, for v <
 * 1e15. There is at most one of at most 15 digits. Scaled to 15 digits, v is off by less than half a unit
 * after two roundings, so the nearest integer is the only candidate; and the division of two exact numbers
 * shows whether it is right. */
static bool few_digits(double v, struct tsm_decimal *d)
{
    if (!(v >= 1e-5 && v < 1e15))
        return false;
    int scale = 15;
    for (int step = 8; step; step /= 2)
        if (scale >= step && v >= tsm_power10_double[15 - scale + step - 1])
            scale -= step;
    uint64_t digits = (uint64_t)(v * tsm_power10_double[scale] + 0.5);
    if (digits > UINT64_C(1000000000000000) || (double)digits / tsm_power10_double[scale] != v)
        return false;
    *d = without_zeros(digits, -scale);
    return true;
}

/* The numbers that read back as v = c * 2^q are those between the middles to its neighbours, both included
 * when c is even. In units of 10^k the distance between the middles is 1 to 10, so 10^(k+1) has at most one
 * multiple in between, which then is the shortest; otherwise the nearest multiple of 10^k is. All is done in
 * quarters of that unit. */
static struct tsm_decimal schubfach(uint64_t c, int q, bool narrow_below)
{
    bool even = c % 2 == 0;
    int k = (q * 1262611 - (narrow_below ? 524031 : 0)) >> 22;
    int shift = q + log2_of_power(-k) + 1;
    struct power p = power(-k);
    bool exact = -k >= 0 && -k <= 55;
    p.low += !exact; /* rounded up; the low half never is all ones */
    uint64_t below = scale_to_odd(p, (4 * c - 2 + narrow_below) << shift) + !even;
    uint64_t value = scale_to_odd(p, 4 * c << shift);
    uint64_t above = scale_to_odd(p, (4 * c + 2) << shift) - !even;

    uint64_t s = value / 4;
    uint64_t tens = s / 10;
    bool down = below <= 40 * tens, up = 40 * tens + 40 <= above;
    if (s >= 10 && down != up)
        return without_zeros(tens + up, k + 1);
    down = below <= 4 * s;
    up = 4 * s + 4 <= above;
    if (down == up)
        up = value > 4 * s + 2 || (value == 4 * s + 2 && s % 2 == 1);
    return without_zeros(s + up, k);
}

struct tsm_decimal tsm_decimal_shortest(double v)
{
    struct tsm_decimal d;
    if (few_digits(v, &d))
        return d;
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    uint64_t significand = bits & ((UINT64_C(1) << SIGNIFICAND_BITS) - 1);
    int exponent = (int)(bits >> SIGNIFICAND_BITS & EXPONENT_LIMIT);
    if (exponent == 0)
        return schubfach(significand, 1 - EXPONENT_BIAS - SIGNIFICAND_BITS, false);
    return schubfach(significand | UINT64_C(1) << SIGNIFICAND_BITS,
                     exponent - EXPONENT_BIAS - SIGNIFICAND_BITS, significand == 0 && exponent > 1);
}
