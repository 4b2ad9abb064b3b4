/*
 * query/transform.h: functions over a stream of points in the order of the answer: derivative, difference, moving averages and
 * the like, integral, sample, holt_winters. What they give, to the last digit, is what influxd's reducers give (influxdb v1.8
 * query/functions.go, functions.gen.go, iterator.gen.go: the stream and window iterators).
 *
 * A transform sees the points of one series (group) between begin and end; points without a value are not given to it.
 */
#ifndef TSM_QUERY_TRANSFORM_H
#define TSM_QUERY_TRANSFORM_H

#include "query/control.h"
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
    int64_t unit;           /* derivative, elapsed, integral: nanoseconds */
    int64_t n;              /* moving averages: points; sample: how many; holt_winters: predictions */
    int64_t season;         /* holt_winters */
    int64_t hold;           /* technical analysis: hold period; -1: not given */
    enum tsm_warmup warmup; /* without an argument: exponential; chande_momentum_oscillator: none */
    int64_t interval;       /* of GROUP BY time(); 0: none */
    int64_t offset;         /* of its intervals, also that of the time zone at the time (holt_winters) */
    uint64_t seed;          /* sample */
    size_t memory;          /* most bytes that it may keep; 0: no limit */
    struct tsm_query_control *control; /* holt_winters() takes its time; NULL is allowed */
};

struct tsm_transform;

struct tsm_transform *tsm_transform_new(const struct tsm_transform_spec *spec);
void tsm_transform_free(struct tsm_transform *t);
/* The type of what comes out: integer for elapsed, that of the input for difference, cumulative_sum and sample, else float. */
enum tsm_vec_type tsm_transform_out(const struct tsm_transform_spec *spec);

/* A point that comes out. origin: the number of the point that went in (from 0 since begin) and that it is, for sample;
 * otherwise that of the latest one. A float may be NaN or infinite. */
typedef void tsm_transform_emit(void *ctx, int64_t t, union tsm_num v, uint64_t origin);

/*
 * begin resets. add and end call emit any number of times; times are in the order of the answer, but sample gives the points of
 * one interval in ascending order even when the answer descends, as influxd does.
 *
 * window: the interval [start, end) that the point is in, for integral and sample; the reducer starts anew in each. Without GROUP BY
 * time() it is the time range of the statement, [tmin, tmax + 1), as in influxd's IteratorOptions.Window(). A string that is given
 * to sample must stay valid until its interval has been given out.
 *
 * TSM_ELIMIT: more than spec.memory. end also fails with what tsm_control_check() says.
 */
void tsm_transform_begin(struct tsm_transform *t);
int tsm_transform_add(struct tsm_transform *t, int64_t time, union tsm_num v, int64_t window_start,
                      int64_t window_end, tsm_transform_emit *emit, void *ctx, struct tsm_err *err);
int tsm_transform_end(struct tsm_transform *t, tsm_transform_emit *emit, void *ctx, struct tsm_err *err);

#endif
