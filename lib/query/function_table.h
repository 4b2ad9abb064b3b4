/*
 * query/function_table.h: the functions of InfluxQL, one row each: how they are called, what they give.
 */
#ifndef TSM_QUERY_FUNCTION_TABLE_H
#define TSM_QUERY_FUNCTION_TABLE_H

#include "query/ast.h"

enum tsm_function {
    TSM_FN_COUNT,
    TSM_FN_SUM,
    TSM_FN_MEAN,
    TSM_FN_MIN,
    TSM_FN_MAX,
    TSM_FN_FIRST,
    TSM_FN_LAST,
    TSM_FN_SPREAD,
    TSM_FN_STDDEV,
    TSM_FN_MEDIAN,
    TSM_FN_MODE,
    TSM_FN_PERCENTILE,
    TSM_FN_DISTINCT,
    TSM_FN_TOP,
    TSM_FN_BOTTOM,
    TSM_FN_RAW, /* no function: the values of a field as they are, below a transform; without a name */

    /* Transforms: what query/transform.h does with a stream of points. */
    TSM_FN_DERIVATIVE,
    TSM_FN_NON_NEGATIVE_DERIVATIVE,
    TSM_FN_DIFFERENCE,
    TSM_FN_NON_NEGATIVE_DIFFERENCE,
    TSM_FN_MOVING_AVERAGE,
    TSM_FN_CUMULATIVE_SUM,
    TSM_FN_ELAPSED,
    TSM_FN_INTEGRAL,
    TSM_FN_SAMPLE,
    TSM_FN_HOLT_WINTERS,
    TSM_FN_HOLT_WINTERS_WITH_FIT,
    TSM_FN_EXPONENTIAL_MOVING_AVERAGE,
    TSM_FN_DOUBLE_EXPONENTIAL_MOVING_AVERAGE,
    TSM_FN_TRIPLE_EXPONENTIAL_MOVING_AVERAGE,
    TSM_FN_TRIPLE_EXPONENTIAL_DERIVATIVE,
    TSM_FN_RELATIVE_STRENGTH_INDEX,
    TSM_FN_KAUFMANS_EFFICIENCY_RATIO,
    TSM_FN_KAUFMANS_ADAPTIVE_MOVING_AVERAGE,
    TSM_FN_CHANDE_MOMENTUM_OSCILLATOR,

    /* Mathematics: per value, in arithmetic and in conditions (query/eval.h). */
    TSM_FN_ABS,
    TSM_FN_SIN,
    TSM_FN_COS,
    TSM_FN_TAN,
    TSM_FN_ASIN,
    TSM_FN_ACOS,
    TSM_FN_ATAN,
    TSM_FN_ATAN2,
    TSM_FN_EXP,
    TSM_FN_LOG,
    TSM_FN_LN,
    TSM_FN_LOG2,
    TSM_FN_LOG10,
    TSM_FN_SQRT,
    TSM_FN_POW,
    TSM_FN_FLOOR,
    TSM_FN_CEIL,
    TSM_FN_ROUND,
    TSM_FUNCTIONS
};

enum tsm_function_kind {
    TSM_KIND_AGGREGATE,
    TSM_KIND_SELECTOR, /* gives one of the points, so that it has a time of its own and other fields and tags
                          may stand beside it */
    TSM_KIND_TRANSFORM,
    TSM_KIND_MATH,
};

enum tsm_function_args {                              /* x: a field, a wildcard or a regex */
                         TSM_ARGS_FIELD,              /* x */
                         TSM_ARGS_COUNT,              /* x, or distinct(field) */
                         TSM_ARGS_DISTINCT,           /* a field */
                         TSM_ARGS_PERCENTILE,         /* x, a number */
                         TSM_ARGS_SAMPLE,             /* x, how many */
                         TSM_ARGS_TOP,                /* a field, tags …, how many */
                         TSM_ARGS_INTEGRAL,           /* x, a duration or nothing */
                         TSM_ARGS_STREAM,             /* x or a call */
                         TSM_ARGS_STREAM_UNIT,        /* x or a call, a duration or nothing */
                         TSM_ARGS_STREAM_POINTS,      /* x or a call, how many points */
                         TSM_ARGS_STREAM_HOLD,        /* x or a call, period, hold period or nothing */
                         TSM_ARGS_STREAM_WARMUP,      /* the same, how it warms up or nothing */
                         TSM_ARGS_STREAM_WARMUP_NONE, /* the same, and 'none' is such a way, too */
                         TSM_ARGS_SEASON,             /* a call, how many points, length of a season */
                         TSM_ARGS_MATH,               /* any expression */
                         TSM_ARGS_MATH_TWO,           /* two of them */
};

enum tsm_function_result { TSM_RESULT_SAME, TSM_RESULT_FLOAT, TSM_RESULT_INTEGER };

struct tsm_function_row {
    const char *name;
    enum tsm_function_kind kind;
    enum tsm_function_args args;
    enum tsm_function_result result;
    /* What a wildcard stands for beside floats and integers. */
    bool unsigneds, booleans, strings;
    int transform;        /* enum tsm_transform_kind */
    bool needs_hold;      /* its hold period is not 0 */
    bool before;          /* reads one interval more, before the first of the answer */
    const char *iterator; /* what influxd's errors call it; NULL: its name */
};

/* TSM_FUNCTIONS when it is none of them. */
enum tsm_function tsm_function_find(struct tsm_str name);
const struct tsm_function_row *tsm_function_row(enum tsm_function fn); /* not of TSM_FUNCTIONS */
const char *tsm_function_name(enum tsm_function fn);
/* Whether it takes values of the type: a field's, not a tag's. */
bool tsm_function_row_takes(const struct tsm_function_row *row, enum tsm_data_type type);
bool tsm_function_selects(enum tsm_function fn);
/* Whether a call is one of the mathematical functions, which are no calls to influxd's planner. */
bool tsm_function_is_math(struct tsm_str name);
bool tsm_expr_is_math(const struct tsm_expr *e);

#endif
