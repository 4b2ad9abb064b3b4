/*
 * query/transform_impl.h: what a kind of transform is made of. Private to transform*.c and holt_winters.c.
 */
#ifndef TSM_QUERY_TRANSFORM_IMPL_H
#define TSM_QUERY_TRANSFORM_IMPL_H

#include "query/transform.h"

/* Where points go. */
struct tsm_transform_sink {
    tsm_transform_emit *emit;
    void *ctx;
};

struct tsm_transform_point {
    int64_t t;
    union tsm_num v;
    int64_t window_start, window_end;
};

/* Functions of a kind. What begins with struct tsm_transform is of the size given here, and zeroed first. */
struct tsm_transform_class {
    size_t size;
    void (*begin)(struct tsm_transform *t);
    int (*add)(struct tsm_transform *t, const struct tsm_transform_point *p,
               const struct tsm_transform_sink *out, struct tsm_err *err);
    int (*end)(struct tsm_transform *t, const struct tsm_transform_sink *out, struct tsm_err *err);
    void (*release)(struct tsm_transform *t); /* NULL: nothing is held */
};

struct tsm_transform {
    struct tsm_transform_spec spec;
    const struct tsm_transform_class *class;
    uint64_t n; /* points since begin, the one being added included */
};

extern const struct tsm_transform_class tsm_transform_integral, tsm_transform_sample; /* transform_window.c */
extern const struct tsm_transform_class tsm_transform_average, tsm_transform_ratio; /* transform_average.c */
extern const struct tsm_transform_class tsm_transform_holt_winters;                 /* holt_winters.c */

static inline void tsm_transform_give(const struct tsm_transform *t, const struct tsm_transform_sink *out,
                                      int64_t time, union tsm_num v)
{
    out->emit(out->ctx, time, v, t->n - 1);
}

static inline void tsm_transform_give_float(const struct tsm_transform *t,
                                            const struct tsm_transform_sink *out, int64_t time, double v)
{
    tsm_transform_give(t, out, time, (union tsm_num){.f = v});
}

/* The value as a float. */
static inline double tsm_transform_float(const struct tsm_transform *t, union tsm_num v)
{
    return t->spec.in == TSM_VEC_FLOAT ? v.f : t->spec.in == TSM_VEC_UNSIGNED ? (double)v.u : (double)v.i;
}

/* TSM_ELIMIT when n elements of this size are more than the transform may keep. */
int tsm_transform_room(const struct tsm_transform *t, uint64_t n, size_t size, struct tsm_err *err);

#endif
