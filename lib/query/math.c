/* query/math.c: mathematical functions. The order of operations is part of the result: it must stay as it is. */
#include "query/math.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/banned.h"

#define PI 3.14159265358979323846
#define HALF_PI (PI / 2)
#define QUARTER_PI (PI / 4)
#define FOUR_OVER_PI 1.27323954473516268615107010698140931

static uint64_t bits_of(double x)
{
    uint64_t u;
    memcpy(&u, &x, 8);
    return u;
}

static double of_bits(uint64_t u)
{
    double x;
    memcpy(&x, &u, 8);
    return x;
}

/* ---- sine, cosine, tangent ----------------------------------------------------------------------- */

/* The binary digits of 4/pi, from 2^0 on. */
static const uint64_t four_over_pi[] = {
    0x0000000000000001, 0x45f306dc9c882a53, 0xf84eafa3ea69bb81, 0xb6c52b3278872083, 0xfca2c757bd778ac3,
    0x6e48dc74849ba5c0, 0x0c925dd413a32439, 0xfc3bd63962534e7d, 0xd1046bea5d768909, 0xd338e04d68befc82,
    0x7323ac7306a673e9, 0x3908bf177bf25076, 0x3ff12fffbc0b301f, 0xde5e2316b414da3e, 0xda6cfd9e4f96136e,
    0x9e8c7ecd3cbfd45a, 0xea4f758fd7cbe2f6, 0x7a0e73ef14a525d4, 0xd7f6bf623f1aba10, 0xac06608df8f6d757,
};

#define LARGE 536870912.0 /* 2^29: from here on pi/4 in three parts is not exact enough */

/* x is LARGE at least. The octant of x, and what remains of it, by Payne and Hanek's method. */
static double reduce_large(double x, uint64_t *octant)
{
    uint64_t u = bits_of(x);
    unsigned at = (unsigned)((int)(u >> 52 & 0x7ff) - 1023 - 52 + 61);
    u = (u & 0x000fffffffffffff) | 0x0010000000000000;
    unsigned digit = at / 64, shift = at % 64;
    uint64_t z[3];
    for (unsigned i = 0; i < 3; i++)
        z[i] = four_over_pi[digit + i] << shift | (shift ? four_over_pi[digit + i + 1] >> (64 - shift) : 0);
    unsigned __int128 product = (unsigned __int128)z[1] * u +
                                (uint64_t)(((unsigned __int128)z[2] * u) >> 64) +
                                ((unsigned __int128)(z[0] * u) << 64);
    uint64_t hi = (uint64_t)(product >> 64), lo = (uint64_t)product;
    uint64_t j = hi >> 61;
    hi = hi << 3 | lo >> 61;
    unsigned zeros = hi ? (unsigned)__builtin_clzll(hi) : 64;
    uint64_t exponent = 1023 - (zeros + 1);
    uint64_t high = zeros + 1 < 64 ? hi << (zeros + 1) : 0;
    uint64_t low = zeros + 1 <= 64 && zeros + 1 > 0 ? lo >> (64 - (zeros + 1)) : 0;
    double rest = of_bits((high | low) >> 12 | exponent << 52);
    if (j & 1) {
        j = (j + 1) & 7;
        rest--;
    }
    *octant = j;
    return rest * QUARTER_PI;
}

/* x is not negative. */
static double reduce(double x, uint64_t *octant)
{
    if (x >= LARGE)
        return reduce_large(x, octant);
    uint64_t j = (uint64_t)(x * FOUR_OVER_PI);
    j += j & 1;
    double y = (double)j;
    *octant = j & 7;
    return ((x - y * 7.85398125648498535156e-1) - y * 3.77489470793079817668e-8) -
           y * 2.69515142907905952645e-15;
}

static double sine_near(double z, double zz)
{
    return z + z * zz *
                   ((((((1.58962301576546568060e-10 * zz) + -2.50507477628578072866e-8) * zz +
                       2.75573136213857245213e-6) *
                          zz +
                      -1.98412698295895385996e-4) *
                         zz +
                     8.33333333332211858878e-3) *
                        zz +
                    -1.66666666666666307295e-1);
}

static double cosine_near(double zz)
{
    return 1.0 - 0.5 * zz +
           zz * zz *
               ((((((-1.13585365213876817300e-11 * zz) + 2.08757008419747316778e-9) * zz +
                   -2.75573141792967388112e-7) *
                      zz +
                  2.48015872888517045348e-5) *
                     zz +
                 -1.38888888888730564116e-3) *
                    zz +
                4.16666666666665929218e-2);
}

double tsm_math_sin(double x)
{
    if (x == 0 || isnan(x))
        return x;
    if (isinf(x))
        return NAN;
    bool negative = x < 0;
    uint64_t j;
    double z = reduce(fabs(x), &j);
    if (j > 3) {
        negative = !negative;
        j -= 4;
    }
    double y = j == 1 || j == 2 ? cosine_near(z * z) : sine_near(z, z * z);
    return negative ? -y : y;
}

double tsm_math_cos(double x)
{
    if (isnan(x) || isinf(x))
        return NAN;
    uint64_t j;
    double z = reduce(fabs(x), &j);
    bool negative = j > 3;
    if (j > 3)
        j -= 4;
    if (j > 1)
        negative = !negative;
    double y = j == 1 || j == 2 ? sine_near(z, z * z) : cosine_near(z * z);
    return negative ? -y : y;
}

double tsm_math_tan(double x)
{
    if (x == 0 || isnan(x))
        return x;
    if (isinf(x))
        return NAN;
    uint64_t j;
    double z = reduce(fabs(x), &j), zz = z * z, y = z;
    if (zz > 1e-14) {
        double p = ((-1.30936939181383777646e4 * zz) + 1.15351664838587416140e6) * zz +
                   -1.79565251976484877988e7;
        double q = (((zz + 1.36812963470692954678e4) * zz + -1.32089234440210967447e6) * zz +
                    2.50083801823357915839e7) *
                       zz +
                   -5.38695755929454629881e7;
        y = z + z * (zz * p / q);
    }
    if (j & 2)
        y = -1 / y;
    return x < 0 ? -y : y;
}

/* ---- their inverses ------------------------------------------------------------------------------ */

/* x is in [0, 0.66]. */
static double atan_near(double x)
{
    double z = x * x;
    double p = (((-8.750608600031904122785e-01 * z + -1.615753718733365076637e+01) * z +
                 -7.500855792314704667340e+01) *
                    z +
                -1.228866684490136173410e+02) *
                   z +
               -6.485021904942025371773e+01;
    double q = ((((z + 2.485846490142306297962e+01) * z + 1.650270098316988542046e+02) * z +
                 4.328810604912902668951e+02) *
                    z +
                4.853903996359136964868e+02) *
                   z +
               1.945506571482613964425e+02;
    z = z * p / q;
    return x * z + x;
}

#define MORE_BITS 6.123233995736765886130e-17 /* of pi/2 */

/* x is positive. */
static double atan_of(double x)
{
    if (x <= 0.66)
        return atan_near(x);
    if (x > 2.41421356237309504880) /* the tangent of 3/8 pi */
        return HALF_PI - atan_near(1 / x) + MORE_BITS;
    return QUARTER_PI + atan_near((x - 1) / (x + 1)) + 0.5 * MORE_BITS;
}

double tsm_math_atan(double x)
{
    if (x == 0)
        return x;
    return x > 0 ? atan_of(x) : -atan_of(-x);
}

double tsm_math_asin(double x)
{
    if (x == 0)
        return x;
    double a = fabs(x);
    if (a > 1)
        return NAN;
    double other = sqrt(1 - a * a);
    double y = a > 0.7 ? HALF_PI - atan_of(other / a) : atan_of(a / other);
    return x < 0 ? -y : y;
}

double tsm_math_acos(double x)
{
    return HALF_PI - tsm_math_asin(x);
}

double tsm_math_atan2(double y, double x)
{
    if (isnan(y) || isnan(x))
        return NAN;
    if (y == 0)
        return copysign(signbit(x) ? PI : 0, y);
    if (x == 0)
        return copysign(HALF_PI, y);
    if (isinf(x)) {
        if (x > 0)
            return copysign(isinf(y) ? QUARTER_PI : 0, y);
        return copysign(isinf(y) ? 2.35619449019234492884698253745962716 : PI, y);
    }
    if (isinf(y))
        return copysign(HALF_PI, y);
    double q = tsm_math_atan(y / x);
    if (x >= 0)
        return q;
    return q <= 0 ? q + PI : q - PI;
}

/* ---- powers and logarithms ----------------------------------------------------------------------- */

#define LOG2_E 1.4426950408889634073599246810018920
#define LN2_UPPER 0.69314718055966295651160180568695068359375
#define LN2_LOWER 0.28235290563031577122588448175013436025525412068e-12

/* 1 + x + x^2/2! … to x^9/9!, without the 1 and over x; MA(a, b, c) is a * b + c. */
#define EXP_SERIES(x, MA)                                                           \
    MA(MA(MA(MA(MA(MA(MA(2.4801587301587301587e-5, x, 1.9841269841269841270e-4), x, \
                      1.3888888888888888889e-3),                                    \
                   x, 8.3333333333333333333e-3),                                    \
                x, 4.1666666666666666667e-2),                                       \
             x, 1.6666666666666666667e-1),                                          \
          x, 0.5),                                                                  \
       x, 1.0)

#define SEPARATE(a, b, c) ((a) * (b) + (c))

/* exp(x) without the power of two k. Processors with fused multiplication take the second, in Go as well. */
static double exp_near(double x, double k)
{
    x = x - LN2_UPPER * k;
    x = x - LN2_LOWER * k;
    x *= 0.0625;
    x *= EXP_SERIES(x, SEPARATE);
    for (int i = 0; i < 4; i++)
        x *= 2.0 + x;
    return x + 1.0;
}

#if defined(__x86_64__)
__attribute__((target("fma"))) static double exp_near_fused(double x, double k)
{
    x = __builtin_fma(-LN2_UPPER, k, x);
    x = __builtin_fma(-LN2_LOWER, k, x);
    x *= 0.0625;
    x *= EXP_SERIES(x, __builtin_fma);
    for (int i = 0; i < 3; i++)
        x *= 2.0 + x;
    return __builtin_fma(x, 2.0 + x, 1.0);
}

static bool has_fma(void)
{
    return __builtin_cpu_supports("avx") && __builtin_cpu_supports("fma");
}
#else
#define exp_near_fused exp_near
static bool has_fma(void)
{
    return false;
}
#endif

double tsm_math_exp(double x)
{
    if (isnan(x))
        return x;
    if (x > 7.09782712893384e+02)
        return INFINITY;
    if (x < -800)
        return 0;
    int k = (int)lrint(x * LOG2_E);
    double y = has_fma() ? exp_near_fused(x, k) : exp_near(x, k);
    k += 1023;
    if (k >= 0x7ff)
        return INFINITY;
    if (k > 0)
        return y * of_bits((uint64_t)k << 52);
    if (k < -52)
        return 0;
    return y * of_bits((uint64_t)(k + 1022) << 52) * of_bits((uint64_t)1 << 52);
}

/* A denormal number is taken for one whose highest bit is set, as on influxd's amd64. */
double tsm_math_log(double x)
{
    if (x == 0)
        return -INFINITY;
    if (isnan(x) || x == INFINITY)
        return x;
    if (x < 0)
        return NAN;
    uint64_t u = bits_of(x);
    double k = (double)((int)(u >> 52) - 1022);
    double f = of_bits((u & 0x000fffffffffffff) | 0x3fe0000000000000);
    if (f <= 0.70710678118654752440) {
        f *= 2;
        k--;
    }
    f -= 1;
    double s = f / (2 + f), s2 = s * s, s4 = s2 * s2;
    double odd = s2 * (6.666666666666735130e-01 +
                       s4 * (2.857142874366239149e-01 +
                             s4 * (1.818357216161805012e-01 + s4 * 1.479819860511658591e-01)));
    double even = s4 * (3.999999999940941908e-01 +
                        s4 * (2.222219843214978396e-01 + s4 * 1.531383769920937332e-01));
    double half = 0.5 * f * f;
    return k * 6.93147180369123816490e-01 -
           ((half - (s * (half + (odd + even)) + k * 1.90821492927058770002e-10)) - f);
}

double tsm_math_log2(double x)
{
    int exponent = 0;
    double f = frexp(x, &exponent);
    if (!isfinite(x))
        exponent = 0;
    if (f == 0.5)
        return (double)(exponent - 1);
    return tsm_math_log(f) * 1.4426950408889634073599246810018920 + (double)exponent;
}

double tsm_math_log10(double x)
{
    return tsm_math_log(x) * 0.43429448190325182765112891891660508229;
}

static bool is_odd(double x)
{
    return fabs(x) < 9007199254740992.0 && x == trunc(x) && ((int64_t)x & 1);
}

/* Where x or y is 0 or infinite; neither is NaN. */
static double pow_edge(double x, double y)
{
    if (x == 0) {
        double v = y < 0 ? INFINITY : 0;
        return is_odd(y) ? copysign(v, x) : v;
    }
    if (isinf(y)) {
        if (x == -1)
            return 1;
        return (fabs(x) < 1) == (y > 0) ? 0 : INFINITY;
    }
    if (x < 0)
        return pow_edge(-0.0, -y);
    return y < 0 ? 0 : INFINITY;
}

/* The whole part of y by squaring, what is left by exp() and log(). */
static double pow_finite(double x, double y)
{
    double whole, rest = modf(fabs(y), &whole);
    if (rest != 0 && x < 0)
        return NAN;
    if (whole >= 9223372036854775808.0) {
        if (x == -1)
            return 1;
        return (fabs(x) < 1) == (y > 0) ? 0 : INFINITY;
    }
    double result = 1;
    int exponent = 0, e;
    if (rest != 0) {
        if (rest > 0.5) {
            rest--;
            whole++;
        }
        result = tsm_math_exp(rest * tsm_math_log(x));
    }
    double square = frexp(x, &e);
    for (int64_t i = (int64_t)whole; i != 0; i >>= 1) {
        if (e < -4096 || 4096 < e) { /* far beyond what can be a result */
            exponent += e;
            break;
        }
        if (i & 1) {
            result *= square;
            exponent += e;
        }
        square *= square;
        e *= 2;
        if (square < 0.5) {
            square += square;
            e--;
        }
    }
    if (y < 0) {
        result = 1 / result;
        exponent = -exponent;
    }
    return ldexp(result, exponent);
}

double tsm_math_pow(double x, double y)
{
    if (y == 0 || x == 1)
        return 1;
    if (y == 1)
        return x;
    if (isnan(x) || isnan(y))
        return NAN;
    if (x == 0 || isinf(x) || isinf(y))
        return pow_edge(x, y);
    if (y == 0.5)
        return sqrt(x);
    if (y == -0.5)
        return 1 / sqrt(x);
    return pow_finite(x, y);
}

double tsm_math_round(double x)
{
    double t = trunc(x);
    return fabs(x - t) >= 0.5 ? t + copysign(1, x) : t;
}
