/*
 * query/compile.h: a SELECT after the checks that need no data: condition and time range apart, dimensions
 * taken apart, fields reduced, with influxd's error texts (influxdb v1.6 query/compile.go).
 */
#ifndef TSM_QUERY_COMPILE_H
#define TSM_QUERY_COMPILE_H

#include "query/function_table.h"

struct tsm_compiled {
    struct tsm_arena *arena;
    const struct tsm_select *stmt;
    struct tsm_select_field *fields; /* without time; DISTINCT x is distinct(x) */
    size_t nfields;
    struct tsm_str time_name;       /* of the time column */
    struct tsm_expr *condition;     /* without time; NULL: none */
    int64_t tmin, tmax;             /* inclusive; TSM_TIME_MIN: no lower bound */
    int64_t shard_tmin, shard_tmax; /* of the shards that are read: some intervals more for what looks back */
    int64_t interval, offset;       /* of GROUP BY time(); 0: none */
    bool inherited_interval;        /* of the query around this one */
    enum tsm_fill fill;             /* fill(), or what it is without one */
    struct tsm_expr **dimensions;   /* variables, wildcards, regexes */
    size_t ndimensions;
    bool descending;
    size_t ncalls;                    /* but mathematical ones; calls in calls count */
    struct tsm_compiled **subqueries; /* per source; NULL: it is none */
};

/* What c refers to is in the arena or in the statement's. TSM_EQUERY. */
int tsm_compile(struct tsm_arena *a, const struct tsm_select *s, int64_t now, struct tsm_compiled *c,
                struct tsm_err *err);

#endif
