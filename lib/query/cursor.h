/*
 * query/cursor.h: the values of one field of one series in time order, batch by batch, in the type that the
 * query wants.
 */
#ifndef TSM_QUERY_CURSOR_H
#define TSM_QUERY_CURSOR_H

#include "query/control.h"
#include "query/eval.h"
#include "store/scan.h"

struct tsm_cursor { /* reusable, one per thread */
    struct tsm_scan *scan;
    enum tsm_vec_type want;
    const int64_t *t; /* the batch; values that were read are before pos */
    union {
        const double *f;
        const int64_t *i;
        const uint64_t *u;
        const uint8_t *b;
        const struct tsm_str *s;
        const char *p;
    } v;
    size_t n, pos; /* n 0: the end */
    void *converted;
    size_t cap;
    struct tsm_query_control
        *control; /* asked now and then whether the query goes on; set after tsm_cursor_init(), NULL: none */
    size_t work;
};

void tsm_cursor_init(struct tsm_cursor *c);
void tsm_cursor_release(struct tsm_cursor *c);

/* Starts reading and loads the first batch. */
int tsm_cursor_start(struct tsm_cursor *c, const struct tsm_shard *shard, size_t key, enum tsm_vec_type want,
                     int64_t tmin, int64_t tmax, struct tsm_err *err);
/* Loads the next batch; strings of the last one are gone then. */
int tsm_cursor_next(struct tsm_cursor *c, struct tsm_err *err);
/* A cursor at its end. */
void tsm_cursor_none(struct tsm_cursor *c);

/* What Go's conversions give on amd64, out of range too. */
int64_t tsm_float_to_int(double v);
uint64_t tsm_float_to_unsigned(double v);

#endif
