/*
 * query/value_sort.h: values by size, for percentile() and mode().
 *
 * influxd sorts points by value with Go's sort.Sort, which is not stable: which of several points with one
 * value ends up at a given place, and so the time that percentile() shows, depends on each exchange that the
 * sort makes. This is that sort: pattern-defeating quicksort (O. Peters) with the thresholds, the choice of
 * the pivot and the pseudo-random numbers of Go 1.19.
 */
#ifndef TSM_QUERY_VALUE_SORT_H
#define TSM_QUERY_VALUE_SORT_H

#include "query/functions.h"
#include "query/merge.h"

struct tsm_value_item {
    union tsm_num v;
    struct tsm_row_ref ref; /* where it came from: the caller's */
};

/* Stops early when control's query is to end (tsm_control_ended()). */
void tsm_sort_values(struct tsm_value_item *items, size_t n, enum tsm_vec_type type,
                     struct tsm_query_control *control);
/* Puts at items[k] (k < n) what tsm_sort_values() would put there, in linear time; the others are in no order. */
void tsm_sort_values_to(struct tsm_value_item *items, size_t n, enum tsm_vec_type type, size_t k);
/* By time, then value; the time of an item is times[item.ref.row]. */
void tsm_sort_points(struct tsm_value_item *items, const int64_t *times, size_t n, enum tsm_vec_type type);

/* Puts the k-th smallest of n numbers (k < n) at v[k], nothing larger before it and nothing smaller behind
 * it. */
void tsm_select_value(union tsm_num *v, size_t n, size_t k, enum tsm_vec_type type);

/* The distinct ones of n values, each with the earliest (latest) of its times, go to tt and tv, which may be
 * the same arrays; returns how many. */
size_t tsm_distinct_values(enum tsm_vec_type type, bool latest, const int64_t *t, const union tsm_num *v,
                           size_t n, int64_t *tt, union tsm_num *tv);

#endif
