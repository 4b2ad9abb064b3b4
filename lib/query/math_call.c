/* query/math_call.c: the table of mathematical functions, and their loops. */
#include "query/math_call.h"

#include <math.h>

#include "query/math.h"
#include "base/banned.h"

static const struct {
    const char *name;
    size_t args;
    bool keeps_type;
    double (*one)(double x);
    double (*two)(double x, double y);
} functions[TSM_MATHS] = {
    [TSM_MATH_ABS] = {"abs", 1, true, fabs, NULL},
    [TSM_MATH_ACOS] = {"acos", 1, false, tsm_math_acos, NULL},
    [TSM_MATH_ASIN] = {"asin", 1, false, tsm_math_asin, NULL},
    [TSM_MATH_ATAN] = {"atan", 1, false, tsm_math_atan, NULL},
    [TSM_MATH_ATAN2] = {"atan2", 2, false, NULL, tsm_math_atan2},
    [TSM_MATH_CEIL] = {"ceil", 1, true, ceil, NULL},
    [TSM_MATH_COS] = {"cos", 1, false, tsm_math_cos, NULL},
    [TSM_MATH_EXP] = {"exp", 1, false, tsm_math_exp, NULL},
    [TSM_MATH_FLOOR] = {"floor", 1, true, floor, NULL},
    [TSM_MATH_LN] = {"ln", 1, false, tsm_math_log, NULL},
    [TSM_MATH_LOG] = {"log", 2, false, NULL, NULL},
    [TSM_MATH_LOG10] = {"log10", 1, false, tsm_math_log10, NULL},
    [TSM_MATH_LOG2] = {"log2", 1, false, tsm_math_log2, NULL},
    [TSM_MATH_POW] = {"pow", 2, false, NULL, tsm_math_pow},
    [TSM_MATH_ROUND] = {"round", 1, true, tsm_math_round, NULL},
    [TSM_MATH_SIN] = {"sin", 1, false, tsm_math_sin, NULL},
    [TSM_MATH_SQRT] = {"sqrt", 1, false, sqrt, NULL},
    [TSM_MATH_TAN] = {"tan", 1, false, tsm_math_tan, NULL},
};

enum tsm_math tsm_math_find(struct tsm_str name)
{
    for (int fn = 0; fn < TSM_MATHS; fn++)
        if (tsm_str_eq(name, tsm_str_of(functions[fn].name)))
            return (enum tsm_math)fn;
    return TSM_MATHS;
}

size_t tsm_math_args(enum tsm_math fn)
{
    return functions[fn].args;
}

bool tsm_math_keeps_type(enum tsm_math fn)
{
    return functions[fn].keeps_type;
}

/* Those that the processor has an instruction for are written out. */
static void apply_one(enum tsm_math fn, const double *x, size_t n, double *out)
{
    double (*f)(double) = functions[fn].one;
    switch (fn) {
    case TSM_MATH_ABS:
        for (size_t i = 0; i < n; i++)
            out[i] = fabs(x[i]);
        break;
    case TSM_MATH_SQRT:
        for (size_t i = 0; i < n; i++)
            out[i] = sqrt(x[i]);
        break;
    default:
        for (size_t i = 0; i < n; i++)
            out[i] = f(x[i]);
        break;
    }
}

static void apply_log(const double *x, bool x_constant, const double *y, bool y_constant, size_t n,
                      double *out)
{
    double base = y_constant ? tsm_math_log(*y) : 0;
    for (size_t i = 0; i < n; i++)
        out[i] = tsm_math_log(x[x_constant ? 0 : i]) / (y_constant ? base : tsm_math_log(y[i]));
}

/* Rounded once, as pow() does it, unless the result is so small that it is rounded again. */
static void apply_square(const double *x, bool x_constant, size_t n, double *out)
{
    for (size_t i = 0; i < n; i++) {
        double v = x[x_constant ? 0 : i];
        out[i] = v * v;
        if (!(out[i] >= 0x1p-1000))
            out[i] = tsm_math_pow(v, 2);
    }
}

void tsm_math_apply(enum tsm_math fn, const double *x, bool x_constant, const double *y, bool y_constant,
                    size_t n, double *out)
{
    if (functions[fn].one) {
        apply_one(fn, x, x_constant ? 1 : n, out);
        for (size_t i = 1; x_constant && i < n; i++)
            out[i] = out[0];
        return;
    }
    if (fn == TSM_MATH_LOG) {
        apply_log(x, x_constant, y, y_constant, n, out);
        return;
    }
    if (fn == TSM_MATH_POW && y_constant && *y == 2) {
        apply_square(x, x_constant, n, out);
        return;
    }
    double (*f)(double, double) = functions[fn].two;
    size_t xs = !x_constant, ys = !y_constant;
    for (size_t i = 0; i < n; i++)
        out[i] = f(x[i * xs], y[i * ys]);
}
