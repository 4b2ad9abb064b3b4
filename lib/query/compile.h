/*
 * query/compile.h: a SELECT after the checks that need no data: condition and time range apart, dimensions
 * taken apart, fields reduced, with influxd's error texts (influxdb v1.6 query/compile.go).
 */
#ifndef TSM_QUERY_COMPILE_H
#define TSM_QUERY_COMPILE_H

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
    TSM_FUNCTIONS
};

/* TSM_FUNCTIONS when it is none of them. */
enum tsm_function tsm_function_find(struct tsm_str name);
const char *tsm_function_name(enum tsm_function fn);
/* Gives one of the points, so that it has a time of its own and other fields and tags may stand beside it. */
bool tsm_function_selects(enum tsm_function fn);

struct tsm_compiled {
    struct tsm_arena *arena;
    const struct tsm_select *stmt;
    struct tsm_select_field *fields; /* without time; DISTINCT x is distinct(x) */
    size_t nfields;
    struct tsm_str time_name;     /* of the time column */
    struct tsm_expr *condition;   /* without time; NULL: none */
    int64_t tmin, tmax;           /* inclusive; TSM_TIME_MIN: no lower bound */
    int64_t interval, offset;     /* of GROUP BY time(); 0: none */
    struct tsm_expr **dimensions; /* variables, wildcards, regexes */
    size_t ndimensions;
    bool descending;
    size_t ncalls;
};

/* What c refers to is in the arena or in the statement's. TSM_EQUERY. */
int tsm_compile(struct tsm_arena *a, const struct tsm_select *s, int64_t now, struct tsm_compiled *c,
                struct tsm_err *err);

#endif
