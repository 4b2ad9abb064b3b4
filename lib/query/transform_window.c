/* query/transform_window.c: transforms that start anew in each interval: integral and sample. */
#include "query/transform_impl.h"
#include "query/value_sort.h"

#include "base/alloc.h"
#include "base/time.h"
#include "base/banned.h"

/* ---- integral ------------------------------------------------------------------------------------ */

/*
 * The area between points, and up to the borders of intervals with values found between the points around them. influxd computes
 * integers otherwise than floats, and so do we: at a border, the rest of the step goes on from the value before
 * the border to the one at the border; and without GROUP BY time(), the time is the start of the statement's range.
 */
struct integral {
    struct tsm_transform base;
    bool has_prev;
    int64_t prev_t;
    double prev;
    double sum;
    int64_t start, end; /* of the interval, in the order of the answer */
};

static void integral_begin(struct tsm_transform *base)
{
    struct integral *t = (struct integral *)base;
    t->has_prev = false;
    t->sum = 0;
    t->start = t->end = 0;
}

static void enter(struct integral *t, const struct tsm_transform_point *p)
{
    bool up = t->base.spec.ascending;
    t->start = up ? p->window_start : p->window_end;
    t->end = up ? p->window_end : p->window_start;
}

static double span(const struct integral *t, int64_t to, int64_t from)
{
    return (double)(int64_t)((uint64_t)to - (uint64_t)from) / (double)t->base.spec.unit;
}

static int add_integral(struct tsm_transform *base, const struct tsm_transform_point *p,
                        const struct tsm_transform_sink *out, struct tsm_err *err)
{
    (void)err;
    struct integral *t = (struct integral *)base;
    bool floats = base->spec.in == TSM_VEC_FLOAT, windows = base->spec.interval != 0 || !floats;
    double v = tsm_transform_float(base, p->v), height = v;
    if (!t->has_prev) {
        t->has_prev = true;
        if (windows)
            enter(t, p);
        if (!floats && t->start == TSM_TIME_MIN)
            t->start = 0;
    } else if (t->prev_t != p->t) {
        if (windows && (base->spec.ascending ? p->t >= t->end : p->t <= t->end)) {
            if (t->prev_t != t->end) {
                double slope = (v - t->prev) / (double)(int64_t)((uint64_t)p->t - (uint64_t)t->prev_t);
                double border = slope * (double)(int64_t)((uint64_t)t->end - (uint64_t)t->prev_t) + t->prev;
                t->sum += 0.5 * (border + t->prev) * span(t, t->end, t->prev_t);
                t->prev_t = t->end;
                if (floats)
                    t->prev = border;
                else
                    height = border;
            }
            tsm_transform_give_float(base, out, t->start, t->sum);
            enter(t, p);
            t->sum = 0;
        }
        t->sum += 0.5 * (height + t->prev) * span(t, p->t, t->prev_t);
    }
    t->prev_t = p->t;
    t->prev = v;
    return TSM_OK;
}

static int end_integral(struct tsm_transform *base, const struct tsm_transform_sink *out, struct tsm_err *err)
{
    (void)err;
    struct integral *t = (struct integral *)base;
    if (t->has_prev && t->prev_t != t->start)
        tsm_transform_give_float(base, out, t->start, t->sum);
    return TSM_OK;
}

const struct tsm_transform_class tsm_transform_integral = {sizeof(struct integral), integral_begin,
                                                           add_integral, end_integral, NULL};

/* ---- sample -------------------------------------------------------------------------------------- */

struct sampled {
    int64_t t;
    union tsm_num v;
    uint64_t origin;
};

/* A reservoir: after n points each of them is in it with the same probability. It grows up to spec.n. */
struct sample {
    struct tsm_transform base;
    struct sampled *points;
    size_t n, cap;
    uint64_t seen; /* in this interval */
    int64_t start; /* of the interval */
    uint64_t random;
};

static void sample_begin(struct tsm_transform *base)
{
    struct sample *t = (struct sample *)base;
    t->n = 0;
    t->seen = 0;
    t->random = base->spec.seed;
}

static void sample_release(struct tsm_transform *base)
{
    tsm_free(((struct sample *)base)->points);
}

static uint64_t next_random(struct sample *t) /* splitmix64 */
{
    uint64_t z = t->random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* In influxd's order, which is that of a sort that is not stable: what stands beside points that are equal shows it. */
static void give_sample(struct sample *t, const struct tsm_transform_sink *out)
{
    struct tsm_value_item *items = tsm_realloc_array(NULL, t->n + 1, sizeof *items);
    int64_t *times = tsm_realloc_array(NULL, t->n + 1, sizeof *times);
    for (size_t i = 0; i < t->n; i++) {
        times[i] = t->points[i].t;
        items[i] = (struct tsm_value_item){t->points[i].v, {0, (uint32_t)i}};
    }
    tsm_sort_points(items, times, t->n, t->base.spec.in);
    for (size_t i = 0; i < t->n; i++) {
        const struct sampled *p = &t->points[items[i].ref.row];
        out->emit(out->ctx, p->t, p->v, p->origin);
    }
    tsm_free(times);
    tsm_free(items);
    t->n = 0;
    t->seen = 0;
}

static int add_sample(struct tsm_transform *base, const struct tsm_transform_point *p,
                      const struct tsm_transform_sink *out, struct tsm_err *err)
{
    struct sample *t = (struct sample *)base;
    if (t->seen && p->window_start != t->start)
        give_sample(t, out);
    t->start = p->window_start;
    t->seen++;
    struct sampled x = {p->t, p->v, base->n - 1};
    if (t->n < (uint64_t)base->spec.n) {
        if (t->n == t->cap) {
            int code = tsm_transform_room(base, 5 * (uint64_t)t->cap, sizeof *t->points, err);
            if (code)
                return code;
            TSM_GROW(t->points, t->n + 1, t->cap);
        }
        t->points[t->n++] = x;
        return TSM_OK;
    }
    uint64_t at = (uint64_t)(((unsigned __int128)next_random(t) * t->seen) >> 64);
    if (at < t->n)
        t->points[at] = x;
    return TSM_OK;
}

static int end_sample(struct tsm_transform *base, const struct tsm_transform_sink *out, struct tsm_err *err)
{
    (void)err;
    give_sample((struct sample *)base, out);
    return TSM_OK;
}

const struct tsm_transform_class tsm_transform_sample = {sizeof(struct sample), sample_begin, add_sample,
                                                         end_sample, sample_release};
