/*
 * query/functions.h: the functions that reduce the values of one series to one point per interval, and join
 * such points: count, sum, mean, min, max, first, last, spread. What they keep, and in which order they add,
 * is what influxd does (query/call_iterator.go, functions.go), so that floats come out to the last digit.
 */
#ifndef TSM_QUERY_FUNCTIONS_H
#define TSM_QUERY_FUNCTIONS_H

#include "query/compile.h"
#include "query/eval.h"

union tsm_num {
    double f;
    int64_t i;
    uint64_t u; /* also booleans */
    const struct tsm_str *s;
};

struct tsm_partial {
    union tsm_num v;
    union {
        int64_t t;        /* min, max, first, last: when */
        uint64_t n;       /* mean: of how many values; sum, count: not used */
        union tsm_num hi; /* spread: the largest, v is the smallest */
    } x;
};

/* Whether the function takes values of this type at all. */
bool tsm_function_takes(enum tsm_function fn, enum tsm_vec_type type);
/* Whether it is one of those above. */
bool tsm_function_folds(enum tsm_function fn);
/* Whether the result may depend on the order in which points are joined. times: a point's time or what stands
 * beside it can be seen. */
bool tsm_function_needs_order(enum tsm_function fn, enum tsm_vec_type type, bool visible);

/* Takes n values, ascending in time, into p. fresh: p has none yet. backwards: adds from the last one on. v
 * points to values of the type; a string that is kept is copied to the arena. */
typedef void tsm_fold_add(struct tsm_partial *p, const int64_t *t, const void *v, size_t n, bool fresh,
                          bool backwards, struct tsm_arena *a);
tsm_fold_add *tsm_fold_adder(enum tsm_function fn, enum tsm_vec_type type);

/* A series' point is complete. */
void tsm_fold_finish(enum tsm_function fn, enum tsm_vec_type type, struct tsm_partial *p);

/* Joins finished points: begin, any number of joins, end. true when p became the one that is kept (min, max,
 * first, last). */
void tsm_join_begin(enum tsm_function fn, struct tsm_partial *acc);
bool tsm_join(enum tsm_function fn, enum tsm_vec_type type, struct tsm_partial *acc,
              const struct tsm_partial *p, bool fresh);
void tsm_join_end(enum tsm_function fn, struct tsm_partial *acc);

/* The value of the function. */
union tsm_num tsm_fold_value(enum tsm_function fn, enum tsm_vec_type type, const struct tsm_partial *p);

/* x before y in the order of values. */
bool tsm_num_less(enum tsm_vec_type type, union tsm_num x, union tsm_num y);
bool tsm_num_equal(enum tsm_vec_type type, union tsm_num x, union tsm_num y);

#endif
