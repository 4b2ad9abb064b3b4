/*
 * base/decimal.h: between doubles and decimal numbers digits * 10^exponent. The arithmetic behind base/num.h.
 */
#ifndef TSM_BASE_DECIMAL_H
#define TSM_BASE_DECIMAL_H

#include <stdbool.h>
#include <stdint.h>

struct tsm_decimal {
    uint64_t digits;
    int exponent;
};

/* The shortest decimal that reads back as v, and of those the one nearest to it: at most 17 digits, without
 * zeros at the end. v is finite and > 0. */
struct tsm_decimal tsm_decimal_shortest(double v);

/* The double nearest to d, ties to even. False in the few cases that 128 bits cannot decide, and when the
 * result would be infinite or not a normal number; *v is then unchanged. */
bool tsm_decimal_to_double(struct tsm_decimal d, double *v);

#endif
