/*
 * query/transform.h: functions over a stream of points in the order of the answer: derivative, difference, moving averages and
 * the like, integral, sample, holt_winters. What they give, to the last digit, is what influxd's reducers give (influxdb v1.8
 * query/functions.go, functions.gen.go, iterator.gen.go: the stream and window iterators).
 *
 * A transform sees the points of one series (group) between begin and end; points without a value are not given to it.
 */
#ifndef TSM_QUERY_TRANSFORM_H
#define TSM_QUERY_TRANSFORM_H

#include "query/functions.h"

enum tsm_transform_kind {
    TSM_TRANSFORM_DERIVATIVE,
    TSM_TRANSFORM_NON_NEGATIVE_DERIVATIVE,
    TSM_TRANSFORM_DIFFERENCE,
    TSM_TRANSFORM_NON_NEGATIVE_DIFFERENCE,
    TSM_TRANSFORM_MOVING_AVERAGE,
    TSM_TRANSFORM_CUMULATIVE_SUM,
    TSM_TRANSFORM_ELAPSED,
    TSM_TRANSFORM_INTEGRAL,
    TSM_TRANSFORM_SAMPLE,
    TSM_TRANSFORM_HOLT_WINTERS,
    TSM_TRANSFORM_HOLT_WINTERS_WITH_FIT,
    TSM_TRANSFORM_EXPONENTIAL_MOVING_AVERAGE,
    TSM_TRANSFORM_DOUBLE_EXPONENTIAL_MOVING_AVERAGE,
    TSM_TRANSFORM_TRIPLE_EXPONENTIAL_MOVING_AVERAGE,
    TSM_TRANSFORM_TRIPLE_EXPONENTIAL_DERIVATIVE,
    TSM_TRANSFORM_RELATIVE_STRENGTH_INDEX,
    TSM_TRANSFORM_KAUFMANS_EFFICIENCY_RATIO,
    TSM_TRANSFORM_KAUFMANS_ADAPTIVE_MOVING_AVERAGE,
    TSM_TRANSFORM_CHANDE_MOMENTUM_OSCILLATOR,
};

enum tsm_warmup { TSM_WARMUP_EXPONENTIAL, TSM_WARMUP_SIMPLE, TSM_WARMUP_NONE };

struct tsm_transform_spec {
    enum tsm_transform_kind kind;
    enum tsm_vec_type in; /* float, integer, unsigned; elapsed and sample also boolean and string */
    bool ascending;
    int64_t unit;   /* derivative, elapsed, integral: nanoseconds */
    int64_t n;      /* moving averages: points; sample: how many; holt_winters: predictions */
    int64_t season; /* holt_winters */
    int64_t hold;   /* technical analysis: hold period; -1: not given */
    enum tsm_warmup warmup;
    int64_t interval; /* of GROUP BY time(); 0: none */
    int64_t offset;   /* of its intervals, also that of the time zone at the time (holt_winters) */
    uint64_t seed;    /* sample */
};

struct tsm_transform;

struct tsm_transform *tsm_transform_new(const struct tsm_transform_spec *spec);
void tsm_transform_free(struct tsm_transform *t);
enum tsm_vec_type tsm_transform_out(const struct tsm_transform_spec *spec);

/* A point that comes out. origin: the number of the point that went in (from 0 since begin) and that it is, for sample. */
typedef void tsm_transform_emit(void *ctx, int64_t t, union tsm_num v, uint64_t origin);

/* begin resets. add and end call emit any number of times. window: start of the point's interval (integral, sample with GROUP BY
 * time(): the reducer starts anew in each); times are in the order of the answer. */
void tsm_transform_begin(struct tsm_transform *t);
void tsm_transform_add(struct tsm_transform *t, int64_t time, union tsm_num v, int64_t window_start,
                       int64_t window_end, tsm_transform_emit *emit, void *ctx);
void tsm_transform_end(struct tsm_transform *t, tsm_transform_emit *emit, void *ctx);

#endif
