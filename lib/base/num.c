/* base/num.c: numbers to and from text. */
#include "base/num.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/decimal.h"
#include "base/power10.h"
#include "base/banned.h"

/* ---- reading ---- */

static bool is_digit(char c)
{
    return (unsigned char)(c - '0') < 10;
}

bool tsm_parse_uint(struct tsm_str s, uint64_t *v)
{
    uint64_t x = 0;
    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        unsigned digit = (unsigned char)(s.p[i] - '0');
        if (digit > 9)
            return false;
        if (i >= 19 && (__builtin_mul_overflow(x, 10, &x) || __builtin_add_overflow(x, digit, &x)))
            return false;
        if (i < 19)
            x = 10 * x + digit;
    }
    *v = x;
    return true;
}

bool tsm_parse_int(struct tsm_str s, int64_t *v)
{
    bool minus = s.n && s.p[0] == '-';
    if (minus || (s.n && s.p[0] == '+'))
        s = tsm_str(s.p + 1, s.n - 1);
    uint64_t x;
    if (!tsm_parse_uint(s, &x) || x > (uint64_t)INT64_MAX + minus)
        return false;
    *v = (int64_t)(minus ? 0 - x : x);
    return true;
}

/* The value of text that is known to have the right form. */
static double parse_slowly(struct tsm_str s)
{
    char small[64];
    char *text = s.n < sizeof small ? small : tsm_alloc(s.n + 1);
    memcpy(text, s.p, s.n);
    text[s.n] = 0;
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    double v = strtod_l(text, NULL, c);
    freelocale(c);
    if (text != small)
        tsm_free(text);
    return v;
}

/* The digits and the decimal exponent of a number. */
struct scanned {
    uint64_t digits; /* the first 19 significant ones */
    int64_t exponent;
    bool cut; /* there are more, not all of them zero */
};

/* Adds a run of digits from p; returns its end. after_point: 1 when each digit lowers the exponent. */
static const char *scan_digits(const char *p, const char *end, struct scanned *s, int after_point)
{
    for (; p < end && is_digit(*p); p++) {
        unsigned digit = (unsigned char)(*p - '0');
        if (s->digits < UINT64_C(1000000000000000000)) {
            s->digits = 10 * s->digits + digit;
            s->exponent -= after_point;
        } else {
            s->cut |= digit != 0;
            s->exponent += 1 - after_point;
        }
    }
    return p;
}

/* The part after e or E; NULL when it is not an exponent. */
static const char *scan_exponent(const char *p, const char *end, int64_t *exponent)
{
    bool minus = p < end && *p == '-';
    if (minus || (p < end && *p == '+'))
        p++;
    if (p == end || !is_digit(*p))
        return NULL;
    int64_t e = 0;
    for (; p < end && is_digit(*p); p++)
        if (e < INT64_C(1000000000000000)) /* more than any run of digits in memory can make up for */
            e = 10 * e + (*p - '0');
    *exponent += minus ? -e : e;
    return p;
}

/* False when only the slow way can tell. */
static bool nearest(const struct scanned *s, double *v)
{
    if (s->exponent < -400 || s->exponent > 400)
        return false;
    struct tsm_decimal d = {s->digits, (int)s->exponent};
    if (!tsm_decimal_to_double(d, v))
        return false;
    double above;
    d.digits++; /* digits that were cut off lie between the two */
    return !s->cut || (tsm_decimal_to_double(d, &above) && above == *v);
}

bool tsm_parse_float(struct tsm_str s, double *v)
{
    if (s.n == 0)
        return false;
    const char *p = s.p, *end = s.p + s.n;
    bool minus = p < end && *p == '-';
    if (minus || (p < end && *p == '+'))
        p++;
    struct scanned number = {0};
    const char *start = p;
    p = scan_digits(p, end, &number, 0);
    size_t ndigits = (size_t)(p - start);
    if (p < end && *p == '.') {
        start = ++p;
        p = scan_digits(p, end, &number, 1);
        ndigits += (size_t)(p - start);
    }
    if (ndigits == 0)
        return false;
    if (p < end && (*p == 'e' || *p == 'E') && !(p = scan_exponent(p + 1, end, &number.exponent)))
        return false;
    if (p != end)
        return false;

    /* Both operands are exact, so the one operation rounds correctly. */
    if (!number.cut && number.digits <= UINT64_C(1) << 53 && number.exponent >= -22 &&
        number.exponent <= 22) {
        double x = (double)number.digits;
        x = number.exponent < 0 ? x / tsm_power10_double[-number.exponent]
                                : x * tsm_power10_double[number.exponent];
        *v = minus ? -x : x;
        return true;
    }
    double x;
    if (!nearest(&number, &x)) {
        x = parse_slowly(s);
        if (isinf(x))
            return false;
        *v = x;
    } else {
        *v = minus ? -x : x;
    }
    return true;
}

bool tsm_parse_size(struct tsm_str s, uint64_t *v)
{
    size_t digits = 0;
    while (digits < s.n && is_digit(s.p[digits]))
        digits++;
    uint64_t x;
    if (!tsm_parse_uint(tsm_str(s.p, digits), &x))
        return false;
    s = tsm_str(s.p + digits, s.n - digits);
    static const char units[] = "kmgt";
    unsigned shift = 0;
    if (s.n) {
        const char *unit = memchr(units, s.p[0] | 0x20, 4);
        if (unit) {
            shift = 10 * (unsigned)(unit - units + 1);
            s = tsm_str(s.p + 1, s.n - 1);
            if (s.n == 2 && (s.p[0] | 0x20) == 'i' && (s.p[1] | 0x20) == 'b')
                s.n = 0;
        }
        if (s.n == 1 && (s.p[0] | 0x20) == 'b')
            s.n = 0;
    }
    if (s.n || x > UINT64_MAX >> shift)
        return false;
    *v = x << shift;
    return true;
}

/* ---- writing ---- */

static const char digit_pairs[] =
    "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
    "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
    "8081828384858687888990919293949596979899";

static unsigned count_digits(uint64_t v)
{
    unsigned guess = (unsigned)(64 - __builtin_clzll(v | 1)) * 1233 >> 12;
    return guess + ((v | 1) >= tsm_power10[guess]);
}

/* Writes the last n digits of v, filled up with zeros. */
static void put_digits(char *p, uint64_t v, unsigned n)
{
    while (n >= 2) {
        n -= 2;
        memcpy(p + n, digit_pairs + 2 * (v % 100), 2);
        v /= 100;
    }
    if (n)
        p[0] = (char)('0' + v % 10);
}

size_t tsm_format_uint(char *p, uint64_t v)
{
    unsigned n = count_digits(v);
    put_digits(p, v, n);
    return n;
}

size_t tsm_format_int(char *p, int64_t v)
{
    if (v >= 0)
        return tsm_format_uint(p, (uint64_t)v);
    *p = '-';
    return 1 + tsm_format_uint(p + 1, 0 - (uint64_t)v);
}

/* Most floats that people store: 0 < v < 1e9 with at most six digits after the point. Those are 15 digits at
 * most, so there is only one such decimal that reads back as v, and the division of two exact numbers shows
 * whether it does. Returns 0 when there is none. */
static size_t put_fixed(char *p, double v)
{
    if (!(v < 1e9))
        return 0;
    uint64_t digits = (uint64_t)(v * 1e6 + 0.5);
    if ((double)digits / 1e6 != v)
        return 0;
    uint64_t fraction = digits % 1000000;
    size_t n = tsm_format_uint(p, digits / 1000000);
    if (fraction == 0)
        return n;
    p[n] = '.';
    put_digits(p + n + 1, fraction, 6);
    n += 7;
    while (p[n - 1] == '0')
        n--;
    return n;
}

static size_t put_plain(char *p, struct tsm_decimal d)
{
    char *start = p;
    unsigned n = count_digits(d.digits);
    int whole = (int)n + d.exponent; /* digits before the point */
    if (d.exponent >= 0) {
        put_digits(p, d.digits, n);
        memset(p + n, '0', (size_t)d.exponent);
        p += n + (size_t)d.exponent;
    } else if (whole > 0) {
        put_digits(p + 1, d.digits, n);
        memmove(p, p + 1, (size_t)whole);
        p[whole] = '.';
        p += n + 1;
    } else {
        memcpy(p, "0.", 2);
        memset(p + 2, '0', (size_t)-whole);
        p += 2 - whole;
        put_digits(p, d.digits, n);
        p += n;
    }
    return (size_t)(p - start);
}

/* d.ddde±XX with an exponent of at least min_exponent_digits digits. */
static size_t put_exponent(char *p, struct tsm_decimal d, unsigned min_exponent_digits)
{
    char *start = p;
    unsigned n = count_digits(d.digits);
    int exponent = (int)n + d.exponent - 1;
    put_digits(p + 1, d.digits, n);
    p[0] = p[1];
    p[1] = '.';
    p += n > 1 ? n + 1 : 1;
    *p++ = 'e';
    *p++ = exponent < 0 ? '-' : '+';
    unsigned e = (unsigned)(exponent < 0 ? -exponent : exponent), width = count_digits(e);
    if (width < min_exponent_digits)
        width = min_exponent_digits;
    put_digits(p, e, width);
    return (size_t)(p - start) + width;
}

/* Writes what needs no digits: zero, NaN, infinity; and the sign. Returns true when that was all. */
static bool put_special(char **p, double *v)
{
    if (isnan(*v)) {
        memcpy(*p, "NaN", 3);
        *p += 3;
        return true;
    }
    bool minus = signbit(*v);
    if (isinf(*v)) {
        memcpy(*p, minus ? "-Inf" : "+Inf", 4);
        *p += 4;
        return true;
    }
    if (minus) {
        *(*p)++ = '-';
        *v = -*v;
    }
    if (*v == 0) {
        *(*p)++ = '0';
        return true;
    }
    return false;
}

size_t tsm_format_float_plain(char *p, double v)
{
    char *start = p;
    if (put_special(&p, &v))
        return (size_t)(p - start);
    size_t n = put_fixed(p, v);
    return (size_t)(p - start) + (n ? n : put_plain(p, tsm_decimal_shortest(v)));
}

size_t tsm_format_float_json(char *p, double v)
{
    if (!(v < 1e-6 && v > -1e-6) && v < 1e21 && v > -1e21)
        return tsm_format_float_plain(p, v);
    char *start = p;
    if (!put_special(&p, &v))
        p += put_exponent(p, tsm_decimal_shortest(v), 1);
    return (size_t)(p - start);
}

size_t tsm_format_float_g(char *p, double v)
{
    char *start = p;
    if (!put_special(&p, &v)) {
        struct tsm_decimal d = tsm_decimal_shortest(v);
        int exponent = (int)count_digits(d.digits) + d.exponent - 1;
        p += exponent < -4 || exponent >= 6 ? put_exponent(p, d, 2) : put_plain(p, d);
    }
    return (size_t)(p - start);
}
