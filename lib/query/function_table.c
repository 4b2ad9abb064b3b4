/* query/function_table.c: the table of functions. */
#include "query/function_table.h"

#include "query/transform.h"
#include "base/banned.h"

#define ALL .unsigneds = true, .booleans = true, .strings = true
#define NUMBERS .unsigneds = true
#define NUMBERS_BOOLEANS .unsigneds = true, .booleans = true

static const struct tsm_function_row table[TSM_FUNCTIONS] = {
    [TSM_FN_COUNT] = {"count", TSM_KIND_AGGREGATE, TSM_ARGS_COUNT, TSM_RESULT_INTEGER, ALL},
    [TSM_FN_SUM] = {"sum", TSM_KIND_AGGREGATE, TSM_ARGS_FIELD, TSM_RESULT_SAME, NUMBERS},
    [TSM_FN_MEAN] = {"mean", TSM_KIND_AGGREGATE, TSM_ARGS_FIELD, TSM_RESULT_FLOAT, NUMBERS},
    [TSM_FN_MIN] = {"min", TSM_KIND_SELECTOR, TSM_ARGS_FIELD, TSM_RESULT_SAME, NUMBERS_BOOLEANS},
    [TSM_FN_MAX] = {"max", TSM_KIND_SELECTOR, TSM_ARGS_FIELD, TSM_RESULT_SAME, NUMBERS_BOOLEANS},
    [TSM_FN_FIRST] = {"first", TSM_KIND_SELECTOR, TSM_ARGS_FIELD, TSM_RESULT_SAME, ALL},
    [TSM_FN_LAST] = {"last", TSM_KIND_SELECTOR, TSM_ARGS_FIELD, TSM_RESULT_SAME, ALL},
    [TSM_FN_SPREAD] = {"spread", TSM_KIND_AGGREGATE, TSM_ARGS_FIELD, TSM_RESULT_SAME, NUMBERS},
    [TSM_FN_STDDEV] = {"stddev", TSM_KIND_AGGREGATE, TSM_ARGS_FIELD, TSM_RESULT_FLOAT, NUMBERS},
    [TSM_FN_MEDIAN] = {"median", TSM_KIND_AGGREGATE, TSM_ARGS_FIELD, TSM_RESULT_FLOAT, NUMBERS},
    [TSM_FN_MODE] = {"mode", TSM_KIND_AGGREGATE, TSM_ARGS_FIELD, TSM_RESULT_SAME, ALL},
    [TSM_FN_PERCENTILE] = {"percentile", TSM_KIND_SELECTOR, TSM_ARGS_PERCENTILE, TSM_RESULT_SAME, NUMBERS},
    [TSM_FN_DISTINCT] = {"distinct", TSM_KIND_AGGREGATE, TSM_ARGS_DISTINCT, TSM_RESULT_SAME, ALL},
    [TSM_FN_TOP] = {"top", TSM_KIND_SELECTOR, TSM_ARGS_TOP, TSM_RESULT_SAME, NUMBERS},
    [TSM_FN_BOTTOM] = {"bottom", TSM_KIND_SELECTOR, TSM_ARGS_TOP, TSM_RESULT_SAME, NUMBERS},
    [TSM_FN_RAW] = {"", TSM_KIND_AGGREGATE, TSM_ARGS_FIELD, TSM_RESULT_SAME, ALL},

#define STREAM(fn, text, shape, type, extends, ...)                                                      \
    [TSM_FN_##fn] = {                                                                                    \
        text,       TSM_KIND_TRANSFORM, shape, type, .transform = TSM_TRANSFORM_##fn, .before = extends, \
        __VA_ARGS__}

    STREAM(DERIVATIVE, "derivative", TSM_ARGS_STREAM_UNIT, TSM_RESULT_FLOAT, true, NUMBERS),
    STREAM(NON_NEGATIVE_DERIVATIVE, "non_negative_derivative", TSM_ARGS_STREAM_UNIT, TSM_RESULT_FLOAT, true,
           NUMBERS, .iterator = "derivative"),
    STREAM(DIFFERENCE, "difference", TSM_ARGS_STREAM, TSM_RESULT_SAME, true, NUMBERS),
    STREAM(NON_NEGATIVE_DIFFERENCE, "non_negative_difference", TSM_ARGS_STREAM, TSM_RESULT_SAME, true,
           NUMBERS, .iterator = "difference"),
    STREAM(MOVING_AVERAGE, "moving_average", TSM_ARGS_STREAM_POINTS, TSM_RESULT_FLOAT, true, NUMBERS,
           .iterator = "moving average"),
    STREAM(CUMULATIVE_SUM, "cumulative_sum", TSM_ARGS_STREAM, TSM_RESULT_SAME, false, NUMBERS,
           .iterator = "cumulative sum"),
    STREAM(ELAPSED, "elapsed", TSM_ARGS_STREAM_UNIT, TSM_RESULT_INTEGER, true, ALL),
    STREAM(INTEGRAL, "integral", TSM_ARGS_INTEGRAL, TSM_RESULT_FLOAT, false, NUMBERS),
    STREAM(SAMPLE, "sample", TSM_ARGS_SAMPLE, TSM_RESULT_SAME, false, ALL),
    STREAM(HOLT_WINTERS, "holt_winters", TSM_ARGS_SEASON, TSM_RESULT_FLOAT, false, .iterator = "elapsed"),
    STREAM(HOLT_WINTERS_WITH_FIT, "holt_winters_with_fit", TSM_ARGS_SEASON, TSM_RESULT_FLOAT, false,
           .iterator = "elapsed"),
    STREAM(EXPONENTIAL_MOVING_AVERAGE, "exponential_moving_average", TSM_ARGS_STREAM_WARMUP, TSM_RESULT_FLOAT,
           true, NUMBERS, .iterator = "exponential moving average"),
    STREAM(DOUBLE_EXPONENTIAL_MOVING_AVERAGE, "double_exponential_moving_average", TSM_ARGS_STREAM_WARMUP,
           TSM_RESULT_FLOAT, true, NUMBERS, .iterator = "double exponential moving average"),
    STREAM(TRIPLE_EXPONENTIAL_MOVING_AVERAGE, "triple_exponential_moving_average", TSM_ARGS_STREAM_WARMUP,
           TSM_RESULT_FLOAT, true, NUMBERS, .iterator = "triple exponential moving average"),
    STREAM(TRIPLE_EXPONENTIAL_DERIVATIVE, "triple_exponential_derivative", TSM_ARGS_STREAM_WARMUP,
           TSM_RESULT_FLOAT, true, NUMBERS, .iterator = "triple exponential derivative", .needs_hold = true),
    STREAM(RELATIVE_STRENGTH_INDEX, "relative_strength_index", TSM_ARGS_STREAM_WARMUP, TSM_RESULT_FLOAT, true,
           NUMBERS, .iterator = "relative strength index"),
    STREAM(KAUFMANS_EFFICIENCY_RATIO, "kaufmans_efficiency_ratio", TSM_ARGS_STREAM_HOLD, TSM_RESULT_FLOAT,
           true, NUMBERS, .iterator = "kaufmans efficiency ratio"),
    STREAM(KAUFMANS_ADAPTIVE_MOVING_AVERAGE, "kaufmans_adaptive_moving_average", TSM_ARGS_STREAM_HOLD,
           TSM_RESULT_FLOAT, true, NUMBERS, .iterator = "kaufmans adaptive moving average"),
    STREAM(CHANDE_MOMENTUM_OSCILLATOR, "chande_momentum_oscillator", TSM_ARGS_STREAM_WARMUP_NONE,
           TSM_RESULT_FLOAT, true, NUMBERS, .iterator = "chande momentum oscillator"),

#define MATH(fn, text) [TSM_FN_##fn] = {text, TSM_KIND_MATH, TSM_ARGS_MATH, TSM_RESULT_SAME, NUMBERS}
#define MATH_TWO(fn, text) [TSM_FN_##fn] = {text, TSM_KIND_MATH, TSM_ARGS_MATH_TWO, TSM_RESULT_SAME, NUMBERS}

    MATH(ABS, "abs"),
    MATH(SIN, "sin"),
    MATH(COS, "cos"),
    MATH(TAN, "tan"),
    MATH(ASIN, "asin"),
    MATH(ACOS, "acos"),
    MATH(ATAN, "atan"),
    MATH_TWO(ATAN2, "atan2"),
    MATH(EXP, "exp"),
    MATH_TWO(LOG, "log"),
    MATH(LN, "ln"),
    MATH(LOG2, "log2"),
    MATH(LOG10, "log10"),
    MATH(SQRT, "sqrt"),
    MATH_TWO(POW, "pow"),
    MATH(FLOOR, "floor"),
    MATH(CEIL, "ceil"),
    MATH(ROUND, "round"),
};

enum tsm_function tsm_function_find(struct tsm_str name)
{
    for (int i = 0; i < TSM_FUNCTIONS && name.n; i++)
        if (tsm_str_eq(name, tsm_str_of(table[i].name)))
            return (enum tsm_function)i;
    return TSM_FUNCTIONS;
}

const struct tsm_function_row *tsm_function_row(enum tsm_function fn)
{
    return &table[fn];
}

const char *tsm_function_name(enum tsm_function fn)
{
    return table[fn].name;
}

bool tsm_function_row_takes(const struct tsm_function_row *row, enum tsm_data_type type)
{
    switch (type) {
    case TSM_DATA_FLOAT:
    case TSM_DATA_INTEGER:
        return true;
    case TSM_DATA_UNSIGNED:
        return row->unsigneds;
    case TSM_DATA_BOOLEAN:
        return row->booleans;
    case TSM_DATA_STRING:
        return row->strings;
    default:
        return false;
    }
}

bool tsm_function_selects(enum tsm_function fn)
{
    return table[fn].kind == TSM_KIND_SELECTOR || fn == TSM_FN_SAMPLE;
}

bool tsm_function_is_math(struct tsm_str name)
{
    enum tsm_function fn = tsm_function_find(name);
    return fn != TSM_FUNCTIONS && table[fn].kind == TSM_KIND_MATH;
}

bool tsm_expr_is_math(const struct tsm_expr *e)
{
    return e->kind == TSM_EXPR_CALL && tsm_function_is_math(e->u.call.name);
}
