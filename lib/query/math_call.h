/*
 * query/math_call.h: the mathematical functions of InfluxQL, over whole columns: abs(x), pow(x, y) and so on (math.h).
 */
#ifndef TSM_QUERY_MATH_CALL_H
#define TSM_QUERY_MATH_CALL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

enum tsm_math {
    TSM_MATH_ABS,
    TSM_MATH_ACOS,
    TSM_MATH_ASIN,
    TSM_MATH_ATAN,
    TSM_MATH_ATAN2,
    TSM_MATH_CEIL,
    TSM_MATH_COS,
    TSM_MATH_EXP,
    TSM_MATH_FLOOR,
    TSM_MATH_LN,
    TSM_MATH_LOG, /* log(x, base) */
    TSM_MATH_LOG10,
    TSM_MATH_LOG2,
    TSM_MATH_POW,
    TSM_MATH_ROUND,
    TSM_MATH_SIN,
    TSM_MATH_SQRT,
    TSM_MATH_TAN,
    TSM_MATHS
};

/* TSM_MATHS when it is none of them. */
enum tsm_math tsm_math_find(struct tsm_str name);
size_t tsm_math_args(enum tsm_math fn); /* 1 or 2 */
/* abs, ceil, floor, round: an integer stays one. All others make a float of whatever number. */
bool tsm_math_keeps_type(enum tsm_math fn);

/* out[i] = fn(x[i], y[i]) for n rows; of a constant column there is one value for all of them. y is not read when fn takes one
 * argument. */
void tsm_math_apply(enum tsm_math fn, const double *x, bool x_constant, const double *y, bool y_constant,
                    size_t n, double *out);

#endif
