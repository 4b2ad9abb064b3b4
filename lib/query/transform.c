/* query/transform.c: transforms that look at one or a few points: derivative, difference, cumulative sum, elapsed, moving average. */
#include "query/transform_impl.h"

#include "base/alloc.h"
#include "base/banned.h"

int tsm_transform_room(const struct tsm_transform *t, uint64_t n, size_t size, struct tsm_err *err)
{
    uint64_t most = t->spec.memory ? t->spec.memory : SIZE_MAX / 2;
    if (n > most / size)
        return tsm_err_set(err, TSM_ELIMIT, "not enough memory for the points of a function");
    return TSM_OK;
}

/* ---- derivative, difference, elapsed: the last two points --------------------------------------- */

struct pair {
    struct tsm_transform base;
    bool has_prev, has_curr;
    int64_t prev_t, curr_t;
    union tsm_num prev, curr;
};

static void pair_begin(struct tsm_transform *base)
{
    struct pair *t = (struct pair *)base;
    t->has_prev = t->has_curr = false;
}

/* False: there are no two points to compare. Of points of one time only the first counts. */
static bool pair_step(struct pair *t, const struct tsm_transform_point *p)
{
    if (!t->has_curr || t->curr_t != p->t) {
        t->has_prev = t->has_curr;
        t->prev = t->curr;
        t->prev_t = t->curr_t;
        t->has_curr = true;
        t->curr = p->v;
        t->curr_t = p->t;
    }
    return t->has_prev;
}

static int64_t since(int64_t later, int64_t earlier)
{
    return (int64_t)((uint64_t)later - (uint64_t)earlier);
}

static int add_derivative(struct tsm_transform *base, const struct tsm_transform_point *p,
                          const struct tsm_transform_sink *out, struct tsm_err *err)
{
    (void)err;
    struct pair *t = (struct pair *)base;
    if (!pair_step(t, p))
        return TSM_OK;
    double diff;
    if (base->spec.in == TSM_VEC_FLOAT)
        diff = t->curr.f - t->prev.f;
    else if (base->spec.in == TSM_VEC_INTEGER)
        diff = (double)since(t->curr.i, t->prev.i);
    else
        diff = t->curr.u > t->prev.u ? (double)(t->curr.u - t->prev.u) : -(double)(t->prev.u - t->curr.u);
    int64_t elapsed = base->spec.ascending ? since(t->curr_t, t->prev_t) : since(t->prev_t, t->curr_t);
    t->has_prev = false;
    if (base->spec.kind == TSM_TRANSFORM_NON_NEGATIVE_DERIVATIVE && diff < 0)
        return TSM_OK;
    tsm_transform_give_float(base, out, t->curr_t, diff / ((double)elapsed / (double)base->spec.unit));
    return TSM_OK;
}

static int add_difference(struct tsm_transform *base, const struct tsm_transform_point *p,
                          const struct tsm_transform_sink *out, struct tsm_err *err)
{
    (void)err;
    struct pair *t = (struct pair *)base;
    if (!pair_step(t, p))
        return TSM_OK;
    union tsm_num diff;
    bool negative;
    if (base->spec.in == TSM_VEC_FLOAT) {
        diff.f = t->curr.f - t->prev.f;
        negative = diff.f < 0;
    } else {
        diff.u = t->curr.u - t->prev.u;
        negative = base->spec.in == TSM_VEC_UNSIGNED ? t->curr.u < t->prev.u : diff.i < 0;
    }
    if (negative && base->spec.kind == TSM_TRANSFORM_NON_NEGATIVE_DIFFERENCE)
        return TSM_OK;
    t->has_prev = false;
    tsm_transform_give(base, out, t->curr_t, diff);
    return TSM_OK;
}

/* Points of one time are 0 apart. */
static int add_elapsed(struct tsm_transform *base, const struct tsm_transform_point *p,
                       const struct tsm_transform_sink *out, struct tsm_err *err)
{
    (void)err;
    struct pair *t = (struct pair *)base;
    if (t->has_curr) {
        int64_t elapsed = since(p->t, t->curr_t);
        tsm_transform_give(base, out, p->t, (union tsm_num){.i = elapsed / base->spec.unit});
    }
    t->has_curr = true;
    t->curr_t = p->t;
    return TSM_OK;
}

static int end_nothing(struct tsm_transform *t, const struct tsm_transform_sink *out, struct tsm_err *err)
{
    (void)t, (void)out, (void)err;
    return TSM_OK;
}

static const struct tsm_transform_class derivative = {sizeof(struct pair), pair_begin, add_derivative,
                                                      end_nothing, NULL};
static const struct tsm_transform_class difference = {sizeof(struct pair), pair_begin, add_difference,
                                                      end_nothing, NULL};
static const struct tsm_transform_class elapsed_time = {sizeof(struct pair), pair_begin, add_elapsed,
                                                        end_nothing, NULL};

/* ---- cumulative_sum ------------------------------------------------------------------------------ */

struct running {
    struct tsm_transform base;
    union tsm_num sum;
};

static void running_begin(struct tsm_transform *base)
{
    ((struct running *)base)->sum = (union tsm_num){.u = 0}; /* also 0.0 */
}

static int add_running(struct tsm_transform *base, const struct tsm_transform_point *p,
                       const struct tsm_transform_sink *out, struct tsm_err *err)
{
    (void)err;
    struct running *t = (struct running *)base;
    if (base->spec.in == TSM_VEC_FLOAT)
        t->sum.f += p->v.f;
    else
        t->sum.u += p->v.u;
    tsm_transform_give(base, out, p->t, t->sum);
    return TSM_OK;
}

static const struct tsm_transform_class running_sum = {sizeof(struct running), running_begin, add_running,
                                                       end_nothing, NULL};

/* ---- moving_average ------------------------------------------------------------------------------ */

/* Keeps the latest points in a ring that grows up to spec.n: the number in the query may be any. */
struct moving {
    struct tsm_transform base;
    union tsm_num *ring;
    size_t n, cap;
    size_t at; /* the oldest, once n is spec.n */
    union tsm_num sum;
};

static void moving_begin(struct tsm_transform *base)
{
    struct moving *t = (struct moving *)base;
    t->n = t->at = 0;
    t->sum = (union tsm_num){.u = 0};
}

static void moving_release(struct tsm_transform *base)
{
    tsm_free(((struct moving *)base)->ring);
}

static int add_moving(struct tsm_transform *base, const struct tsm_transform_point *p,
                      const struct tsm_transform_sink *out, struct tsm_err *err)
{
    struct moving *t = (struct moving *)base;
    bool floats = base->spec.in == TSM_VEC_FLOAT;
    if (t->n < (uint64_t)base->spec.n) {
        if (t->n == t->cap) {
            int code = tsm_transform_room(base, 3 * (uint64_t)t->cap, sizeof *t->ring, err);
            if (code)
                return code;
            TSM_GROW(t->ring, t->n + 1, t->cap);
        }
        t->ring[t->n++] = p->v;
    } else {
        if (floats)
            t->sum.f -= t->ring[t->at].f;
        else
            t->sum.u -= t->ring[t->at].u;
        t->ring[t->at] = p->v;
        if (++t->at == t->n)
            t->at = 0;
    }
    if (floats)
        t->sum.f += p->v.f;
    else
        t->sum.u += p->v.u;
    if (t->n == (uint64_t)base->spec.n)
        tsm_transform_give_float(base, out, p->t, tsm_transform_float(base, t->sum) / (double)t->n);
    return TSM_OK;
}

static const struct tsm_transform_class moving_average = {sizeof(struct moving), moving_begin, add_moving,
                                                          end_nothing, moving_release};

/* ---- all of them --------------------------------------------------------------------------------- */

static const struct tsm_transform_class *class_of(enum tsm_transform_kind kind)
{
    switch (kind) {
    case TSM_TRANSFORM_DERIVATIVE:
    case TSM_TRANSFORM_NON_NEGATIVE_DERIVATIVE:
        return &derivative;
    case TSM_TRANSFORM_DIFFERENCE:
    case TSM_TRANSFORM_NON_NEGATIVE_DIFFERENCE:
        return &difference;
    case TSM_TRANSFORM_ELAPSED:
        return &elapsed_time;
    case TSM_TRANSFORM_CUMULATIVE_SUM:
        return &running_sum;
    case TSM_TRANSFORM_MOVING_AVERAGE:
        return &moving_average;
    case TSM_TRANSFORM_INTEGRAL:
        return &tsm_transform_integral;
    case TSM_TRANSFORM_SAMPLE:
        return &tsm_transform_sample;
    case TSM_TRANSFORM_HOLT_WINTERS:
    case TSM_TRANSFORM_HOLT_WINTERS_WITH_FIT:
        return &tsm_transform_holt_winters;
    case TSM_TRANSFORM_KAUFMANS_EFFICIENCY_RATIO:
    case TSM_TRANSFORM_KAUFMANS_ADAPTIVE_MOVING_AVERAGE:
        return &tsm_transform_ratio;
    case TSM_TRANSFORM_CHANDE_MOMENTUM_OSCILLATOR: /* by its warm-up: see there */
    default:
        return &tsm_transform_average;
    }
}

struct tsm_transform *tsm_transform_new(const struct tsm_transform_spec *spec)
{
    const struct tsm_transform_class *class = class_of(spec->kind);
    if (spec->kind == TSM_TRANSFORM_CHANDE_MOMENTUM_OSCILLATOR && spec->warmup == TSM_WARMUP_NONE)
        class = &tsm_transform_ratio;
    struct tsm_transform *t = tsm_calloc(1, class->size);
    t->spec = *spec;
    t->class = class;
    tsm_transform_begin(t);
    return t;
}

void tsm_transform_free(struct tsm_transform *t)
{
    if (!t)
        return;
    if (t->class->release)
        t->class->release(t);
    tsm_free(t);
}

enum tsm_vec_type tsm_transform_out(const struct tsm_transform_spec *spec)
{
    switch (spec->kind) {
    case TSM_TRANSFORM_ELAPSED:
        return TSM_VEC_INTEGER;
    case TSM_TRANSFORM_DIFFERENCE:
    case TSM_TRANSFORM_NON_NEGATIVE_DIFFERENCE:
    case TSM_TRANSFORM_CUMULATIVE_SUM:
    case TSM_TRANSFORM_SAMPLE:
        return spec->in;
    default:
        return TSM_VEC_FLOAT;
    }
}

void tsm_transform_begin(struct tsm_transform *t)
{
    t->n = 0;
    t->class->begin(t);
}

int tsm_transform_add(struct tsm_transform *t, int64_t time, union tsm_num v, int64_t window_start,
                      int64_t window_end, tsm_transform_emit *emit, void *ctx, struct tsm_err *err)
{
    struct tsm_transform_point p = {time, v, window_start, window_end};
    struct tsm_transform_sink out = {emit, ctx};
    t->n++;
    return t->class->add(t, &p, &out, err);
}

int tsm_transform_end(struct tsm_transform *t, tsm_transform_emit *emit, void *ctx, struct tsm_err *err)
{
    struct tsm_transform_sink out = {emit, ctx};
    return t->class->end(t, &out, err);
}
