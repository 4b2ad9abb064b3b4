/*
 * query/transform_average.c: the functions of technical analysis: exponential moving averages and what is built of them, and
 * Kaufman's and Chande's ratios. Operations are in influxd's order (query/internal/gota), so that results agree to
 * the last digit.
 */
#include "query/transform_impl.h"

#include <math.h>

#include "base/alloc.h"
#include "base/banned.h"

/* ---- exponential moving average ------------------------------------------------------------------ */

struct ema {
    double last, alpha;
    int64_t period, count; /* count stays at period */
    bool simple;           /* until then the average is a simple one */
};

static int64_t plus(int64_t n, int64_t more) /* as Go adds */
{
    return (int64_t)((uint64_t)n + (uint64_t)more);
}

static struct ema new_ema(int64_t period, enum tsm_warmup warmup)
{
    return (struct ema){
        .period = period, .alpha = 2 / (double)plus(period, 1), .simple = warmup == TSM_WARMUP_SIMPLE};
}

static bool warm(const struct ema *e)
{
    return e->count == e->period;
}

static double ema_add(struct ema *e, double v)
{
    double avg;
    if (e->count == 0)
        avg = v;
    else if (warm(e))
        avg = (v - e->last) * e->alpha + e->last;
    else if (e->simple)
        avg = (e->last * (double)e->count + v) / (double)(e->count + 1);
    else /* so that the first values do not weigh too much */
        avg = (v - e->last) * (2 / (double)(e->count + 2)) + e->last;
    e->last = avg;
    if (e->count < e->period)
        e->count++;
    return avg;
}

/* The next stage of a chain begins when this one is warm. */
static bool passes(const struct ema *e)
{
    return warm(e) || !e->simple;
}

/* ---- what is built of them ----------------------------------------------------------------------- */

struct average {
    struct tsm_transform base;
    struct ema e1, e2, e3; /* a chain; or of gains and of losses */
    double last;           /* value, or result, before */
    uint32_t hold, count;
};

static bool of_gains(const struct tsm_transform *t)
{
    return t->spec.kind == TSM_TRANSFORM_RELATIVE_STRENGTH_INDEX ||
           t->spec.kind == TSM_TRANSFORM_CHANDE_MOMENTUM_OSCILLATOR;
}

/* How many points are kept back when the query does not say. */
static int64_t warm_count(const struct average *t)
{
    int64_t one = plus(t->e1.period, -1);
    bool simple = t->e1.simple;
    switch (t->base.spec.kind) {
    case TSM_TRANSFORM_DOUBLE_EXPONENTIAL_MOVING_AVERAGE:
        return simple ? plus(one, one) : one;
    case TSM_TRANSFORM_TRIPLE_EXPONENTIAL_MOVING_AVERAGE:
        return simple ? plus(one, plus(one, one)) : one;
    case TSM_TRANSFORM_TRIPLE_EXPONENTIAL_DERIVATIVE:
        return plus(simple ? plus(one, plus(one, one)) : one, 1);
    default:
        return one;
    }
}

static void average_begin(struct tsm_transform *base)
{
    struct average *t = (struct average *)base;
    const struct tsm_transform_spec *s = &base->spec;
    t->e1 = new_ema(of_gains(base) ? plus(s->n, 1) : s->n, s->warmup);
    if (of_gains(base))
        t->e1.alpha = 1 / (double)s->n;
    t->e2 = t->e3 = t->e1;
    t->last = 0;
    t->count = 0;
    t->hold = (uint32_t)(s->hold == -1 ? warm_count(t) : s->hold);
}

static double add_double(struct average *t, double v)
{
    double avg1 = ema_add(&t->e1, v);
    double avg2 = passes(&t->e1) ? ema_add(&t->e2, avg1) : avg1;
    return 2 * avg1 - avg2;
}

static double add_triple(struct average *t, double v)
{
    double avg1 = ema_add(&t->e1, v);
    double avg2 = passes(&t->e1) ? ema_add(&t->e2, avg1) : avg1;
    double avg3 = passes(&t->e2) ? ema_add(&t->e3, avg2) : avg2;
    return 3 * avg1 - 3 * avg2 + avg3;
}

static double add_rate(struct average *t, double v)
{
    double now = ema_add(&t->e1, v);
    if (passes(&t->e1)) {
        now = ema_add(&t->e2, now);
        if (passes(&t->e2))
            now = ema_add(&t->e3, now);
    }
    double rate = ((now / t->last) - 1) * 100;
    t->last = now;
    return rate;
}

/* Averages of gains and losses; influxd takes the value before the first for 0. */
static double add_gain(struct average *t, double v)
{
    ema_add(&t->e1, v > t->last ? v - t->last : 0);
    ema_add(&t->e2, v < t->last ? t->last - v : 0);
    t->last = v;
    double up = t->e1.last, down = t->e2.last;
    if (t->base.spec.kind == TSM_TRANSFORM_CHANDE_MOMENTUM_OSCILLATOR)
        return 100.0 * ((up - down) / (up + down));
    return 100 - (100 / (1 + up / down));
}

static int average_add(struct tsm_transform *base, const struct tsm_transform_point *p,
                       const struct tsm_transform_sink *out, struct tsm_err *err)
{
    (void)err;
    struct average *t = (struct average *)base;
    double v = tsm_transform_float(base, p->v), result;
    switch (base->spec.kind) {
    case TSM_TRANSFORM_DOUBLE_EXPONENTIAL_MOVING_AVERAGE:
        result = add_double(t, v);
        break;
    case TSM_TRANSFORM_TRIPLE_EXPONENTIAL_MOVING_AVERAGE:
        result = add_triple(t, v);
        break;
    case TSM_TRANSFORM_TRIPLE_EXPONENTIAL_DERIVATIVE:
        result = add_rate(t, v);
        break;
    case TSM_TRANSFORM_RELATIVE_STRENGTH_INDEX:
    case TSM_TRANSFORM_CHANDE_MOMENTUM_OSCILLATOR:
        result = add_gain(t, v);
        break;
    default:
        result = ema_add(&t->e1, v);
        break;
    }
    t->count++;
    if (t->count <= t->hold)
        return TSM_OK;
    if (base->spec.kind == TSM_TRANSFORM_TRIPLE_EXPONENTIAL_DERIVATIVE && isinf(result))
        return TSM_OK;
    tsm_transform_give_float(base, out, p->t, result);
    return TSM_OK;
}

static int average_end(struct tsm_transform *t, const struct tsm_transform_sink *out, struct tsm_err *err)
{
    (void)t, (void)out, (void)err;
    return TSM_OK;
}

const struct tsm_transform_class tsm_transform_average = {sizeof(struct average), average_begin, average_add,
                                                          average_end, NULL};

/* ---- ratios over a ring of the latest points ----------------------------------------------------- */

struct change {
    double value, diff;
};

/* The ring has `size` places, all zero at first; those from n on have not been written yet and need no memory. */
struct ratio {
    struct tsm_transform base;
    struct change *ring;
    size_t n, cap;
    uint64_t size;
    uint64_t at; /* the newest */
    double noise, up, down, last;
    uint64_t seen; /* up to size + 2 */
    uint32_t hold, count;
};

static void ratio_begin(struct tsm_transform *base)
{
    struct ratio *t = (struct ratio *)base;
    const struct tsm_transform_spec *s = &base->spec;
    t->size = (uint64_t)s->n - (s->kind == TSM_TRANSFORM_CHANDE_MOMENTUM_OSCILLATOR);
    t->n = 0;
    t->at = 0;
    t->seen = 0;
    t->noise = t->up = t->down = t->last = 0;
    t->count = 0;
    t->hold = (uint32_t)(s->hold == -1 ? (int64_t)t->size : s->hold);
}

static void ratio_release(struct tsm_transform *base)
{
    tsm_free(((struct ratio *)base)->ring);
}

static struct change ring_get(const struct ratio *t, uint64_t i)
{
    return i < t->n ? t->ring[i] : (struct change){0, 0};
}

/* The place of the oldest point, which the next one takes: written soon, so there is memory for it now. */
static int ring_oldest(struct ratio *t, uint64_t *oldest, struct tsm_err *err)
{
    *oldest = t->at + 1 >= t->size ? 0 : t->at + 1;
    if (*oldest < t->n)
        return TSM_OK;
    if (*oldest >= t->cap) {
        int code = tsm_transform_room(&t->base, 3 * (*oldest + 1), sizeof *t->ring, err);
        if (code)
            return code;
        TSM_GROW(t->ring, *oldest + 1, t->cap);
    }
    while (t->n <= *oldest)
        t->ring[t->n++] = (struct change){0, 0};
    return TSM_OK;
}

static int add_efficiency(struct ratio *t, double v, double *result, struct tsm_err *err)
{
    uint64_t oldest;
    int code = ring_oldest(t, &oldest, err);
    if (code)
        return code;
    struct change old = t->ring[oldest], now = {v, fabs(v - ring_get(t, t->at).value)};
    double signal = fabs(v - old.value);
    t->noise -= old.diff;
    t->noise += now.diff;
    t->at = oldest;
    t->ring[oldest] = now;
    if (t->seen != t->size + 1)
        t->seen++;
    *result = signal == 0 || t->noise == 0 ? 0 : signal / t->noise;
    return TSM_OK;
}

static int add_adaptive(struct ratio *t, double v, double *result, struct tsm_err *err)
{
    if (t->seen != t->size + 1)
        t->last = ring_get(t, t->at).value;
    double efficiency;
    int code = add_efficiency(t, v, &efficiency, err);
    if (code)
        return code;
    /* Between the constants of averages over 30 and 2 points: 2/31, and 2/3 - 2/31 more, rounded once. */
    double root = efficiency * (56.0 / 93.0) + 2.0 / 31.0;
    t->last = t->last + root * root * (v - t->last);
    *result = t->last;
    return TSM_OK;
}

/* Of the sums of gains and of losses; influxd leaves the newest of them in while it adds. */
static int add_momentum(struct ratio *t, double v, double *result, struct tsm_err *err)
{
    uint64_t oldest;
    int code = ring_oldest(t, &oldest, err);
    if (code)
        return code;
    double diff = 0;
    if (t->seen != 0) {
        diff = v - ring_get(t, t->at).value;
        if (diff > 0)
            t->up += diff;
        else if (diff < 0)
            t->down -= diff;
    }
    *result = t->up != 0 || t->down != 0 ? 100.0 * ((t->up - t->down) / (t->up + t->down)) : 0;
    double gone = t->ring[oldest].diff;
    if (gone > 0)
        t->up -= gone;
    else if (gone < 0)
        t->down += gone;
    t->ring[oldest] = (struct change){v, diff};
    t->at = oldest;
    if (t->seen != t->size + 2)
        t->seen++;
    return TSM_OK;
}

static int ratio_add(struct tsm_transform *base, const struct tsm_transform_point *p,
                     const struct tsm_transform_sink *out, struct tsm_err *err)
{
    struct ratio *t = (struct ratio *)base;
    double v = tsm_transform_float(base, p->v), result;
    bool momentum = base->spec.kind == TSM_TRANSFORM_CHANDE_MOMENTUM_OSCILLATOR;
    int code = momentum ? add_momentum(t, v, &result, err)
               : base->spec.kind == TSM_TRANSFORM_KAUFMANS_EFFICIENCY_RATIO
                   ? add_efficiency(t, v, &result, err)
                   : add_adaptive(t, v, &result, err);
    if (code)
        return code;
    t->count++;
    if (t->count > t->hold && (momentum || !isinf(result)))
        tsm_transform_give_float(base, out, p->t, result);
    return TSM_OK;
}

const struct tsm_transform_class tsm_transform_ratio = {sizeof(struct ratio), ratio_begin, ratio_add,
                                                        average_end, ratio_release};
