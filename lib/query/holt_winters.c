/*
 * query/holt_winters.c: forecasts by the damped method of Holt and Winters. The parameters are found by the simplex method of Nelder
 * and Mead, from each of 16 starting points, in the same steps as influxd takes (query/functions.go,
 * query/neldermead): another order of additions would end in another minimum.
 */
#include "query/transform_impl.h"

#include <math.h>

#include "base/alloc.h"
#include "query/math.h"
#include "base/banned.h"

#define GUESS_LOWER 0.3
#define GUESS_UPPER 1.0
#define GUESS_STEP 0.4
#define EPSILON 1.0e-4
#define MOST_STEPS 1000

/* Parameters: these six, and then the factors of a season. */
enum { ALPHA, BETA, GAMMA, PHI, LEVEL, TREND, SEASON };

struct holt_winters {
    struct tsm_transform base;
    struct tsm_transform_point *points;
    size_t n, cap;

    double *y; /* one per interval; NaN: missing */
    size_t ny;
    size_t season; /* 0: not seasonal */
    double *forecast;
    struct tsm_err *err;
    int code; /* of the control, while the simplex is at work */
};

static void begin(struct tsm_transform *base)
{
    ((struct holt_winters *)base)->n = 0;
}

static void release(struct tsm_transform *base)
{
    tsm_free(((struct holt_winters *)base)->points);
}

static int add(struct tsm_transform *base, const struct tsm_transform_point *p,
               const struct tsm_transform_sink *out, struct tsm_err *err)
{
    (void)out;
    struct holt_winters *t = (struct holt_winters *)base;
    if (t->n == t->cap) {
        int code = tsm_transform_room(base, 3 * (uint64_t)t->cap, sizeof *t->points, err);
        if (code)
            return code;
        TSM_GROW(t->points, t->n + 1, t->cap);
    }
    t->points[t->n] = *p;
    t->points[t->n++].v.f = tsm_transform_float(base, p->v);
    return TSM_OK;
}

/* To the nearest multiple of the interval. */
static int64_t round_time(const struct holt_winters *t, int64_t time)
{
    int64_t interval = t->base.spec.interval;
    return (time / interval + (time % interval > interval / 2)) * interval;
}

/* ---- the model ----------------------------------------------------------------------------------- */

static double within_one(double x)
{
    return x > 1 ? 1 : x < 0 ? 0 : x;
}

/* Into t->forecast, ny + h values. Changes the parameters: influxd goes on with what it leaves in them. */
static void forecast(struct holt_winters *t, size_t h, double *x)
{
    for (int i = ALPHA; i <= PHI; i++)
        x[i] = within_one(x[i]);
    double alpha = x[ALPHA], beta = x[BETA], gamma = x[GAMMA], phi = x[PHI];
    double level = x[LEVEL], trend = x[TREND], value = t->y[0], damp = phi;
    double *seasons = x + SEASON; /* a ring */
    size_t m = t->season, at = 0; /* the factor of this time a season ago */
    t->forecast[0] = value;
    for (size_t i = 1; i < t->ny + h; i++) {
        double then = 1, next = 1;
        if (m) {
            at = (2 * (i - 1)) % m;
            then = seasons[at];
            next = seasons[(at + i % m) % m];
        }
        double l = alpha * (value / then) + (1 - alpha) * (level + phi * trend);
        double b = beta * (l - level) + (1 - beta) * phi * trend;
        double s = gamma * (value / (level + phi * trend)) + (1 - gamma) * then;
        value = (l + damp * b) * next;
        level = l;
        trend = b;
        damp += tsm_math_pow(phi, (double)i);
        if (m)
            seasons[at] = s;
        t->forecast[i] = value;
    }
}

/* The sum of squared errors; infinite when the model gives no number where there is one. */
static double error_of(struct holt_winters *t, double *x)
{
    if (!t->code)
        t->code = tsm_control_check(t->base.spec.control, 0, t->err);
    if (t->code) /* the rest does not matter, but must end soon */
        return 0;
    forecast(t, 0, x);
    double sum = 0;
    for (size_t i = 0; i < t->ny; i++) {
        if (isnan(t->y[i]))
            continue;
        if (isnan(t->forecast[i]))
            return INFINITY;
        double diff = t->forecast[i] - t->y[i];
        sum += diff * diff;
    }
    return sum;
}

/* ---- Nelder and Mead ----------------------------------------------------------------------------- */

struct simplex {
    struct holt_winters *t;
    size_t n;                           /* parameters */
    double *vertices;                   /* n + 1 of n */
    double *f;                          /* their errors */
    double *reflected, *other, *centre; /* a parameter each */
    size_t worst, second, best;
};

static double *vertex(const struct simplex *s, size_t i)
{
    return s->vertices + i * s->n;
}

static void simplex_start(struct simplex *s, const double *start)
{
    double n = (double)s->n;
    double p = (sqrt(n + 1) - 1 + n) / (n * sqrt(2)), q = (sqrt(n + 1) - 1) / (n * sqrt(2));
    memcpy(vertex(s, 0), start, s->n * sizeof *start);
    for (size_t i = 1; i <= s->n; i++)
        for (size_t j = 0; j < s->n; j++)
            vertex(s, i)[j] = (i - 1 == j ? p : q) + start[j];
    for (size_t i = 0; i <= s->n; i++)
        s->f[i] = error_of(s->t, vertex(s, i));
}

static void simplex_rank(struct simplex *s)
{
    const double *f = s->f;
    s->worst = s->best = 0;
    for (size_t i = 0; i <= s->n; i++) {
        if (f[i] > f[s->worst])
            s->worst = i;
        if (f[i] < f[s->best])
            s->best = i;
    }
    s->second = s->best;
    for (size_t i = 0; i <= s->n; i++)
        if (f[i] > f[s->second] && f[i] < f[s->worst])
            s->second = i;
}

static void simplex_replace(struct simplex *s, const double *x, double f)
{
    memcpy(vertex(s, s->worst), x, s->n * sizeof *x);
    s->f[s->worst] = f;
}

static void simplex_step(struct simplex *s)
{
    const size_t n = s->n;
    double *bad = vertex(s, s->worst);
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (size_t m = 0; m <= n; m++)
            if (m != s->worst)
                sum += vertex(s, m)[i];
        s->centre[i] = sum / (double)n;
    }
    for (size_t i = 0; i < n; i++)
        s->reflected[i] = s->centre[i] + (s->centre[i] - bad[i]);
    double fr = error_of(s->t, s->reflected);
    if (fr < s->f[s->second] && fr >= s->f[s->best])
        simplex_replace(s, s->reflected, fr);
    if (fr < s->f[s->best]) { /* further in this direction */
        for (size_t i = 0; i < n; i++)
            s->other[i] = s->centre[i] + 2.0 * (s->reflected[i] - s->centre[i]);
        double fe = error_of(s->t, s->other);
        if (fe < fr)
            simplex_replace(s, s->other, fe);
        else
            simplex_replace(s, s->reflected, fr);
    }
    if (!(fr >= s->f[s->second]))
        return;
    bool outside = fr < s->f[s->worst]; /* a contraction */
    for (size_t i = 0; i < n; i++)
        s->other[i] = outside ? s->centre[i] + 0.5 * (s->reflected[i] - s->centre[i])
                              : s->centre[i] - 0.5 * (s->centre[i] - bad[i]);
    double fc = error_of(s->t, s->other);
    if (fc < s->f[s->worst]) {
        simplex_replace(s, s->other, fc);
        return;
    }
    const double *best = vertex(s, s->best);
    for (size_t m = 0; m <= n; m++)
        for (size_t i = 0; i < n && m != s->best; i++)
            vertex(s, m)[i] = best[i] + (vertex(s, m)[i] - best[i]) / 2.0;
    s->f[s->worst] = error_of(s->t, vertex(s, s->worst));
    s->f[s->second] = error_of(s->t, vertex(s, s->second));
}

static bool simplex_settled(const struct simplex *s)
{
    double sum = 0, spread = 0, n = (double)s->n;
    for (size_t i = 0; i <= s->n; i++)
        sum += s->f[i];
    double mean = sum / (n + 1);
    for (size_t i = 0; i <= s->n; i++)
        spread += tsm_math_pow(s->f[i] - mean, 2) / n;
    return sqrt(spread) < EPSILON;
}

/* The parameters of the least error that is found from here, into best. Returns the error. */
static double minimise(struct simplex *s, const double *start, double *best)
{
    simplex_start(s, start);
    for (int step = 1; step <= MOST_STEPS && !s->t->code; step++) {
        simplex_rank(s);
        simplex_step(s);
        if (simplex_settled(s))
            break;
    }
    size_t least = 0;
    for (size_t i = 0; i <= s->n; i++)
        if (s->f[i] < s->f[least])
            least = i;
    memcpy(best, vertex(s, least), s->n * sizeof *best);
    return error_of(s->t, vertex(s, least));
}

/* ---- from points to points ----------------------------------------------------------------------- */

/* One value per interval. influxd drops a point that falls into the interval of the one before. */
static void set_values(struct holt_winters *t)
{
    int64_t interval = t->base.spec.interval, at = round_time(t, t->points[0].t);
    t->y[0] = t->points[0].v.f;
    t->ny = 1;
    for (size_t i = 1; i < t->n; i++) {
        int64_t to = round_time(t, t->points[i].t);
        if (to <= at)
            continue;
        for (at += interval; at != to; at += interval)
            t->y[t->ny++] = NAN;
        t->y[t->ny++] = t->points[i].v.f;
    }
}

static void first_guess(const struct holt_winters *t, double *x)
{
    size_t m = t->season;
    const double *y = t->y;
    if (!m) {
        x[LEVEL] = 0.5 * y[0];
        x[TREND] = isnan(y[1]) ? 0 : 0.5 * (y[1] - y[0]);
        return;
    }
    double level = 0, trend = 0;
    for (size_t i = 0; i < m; i++)
        if (!isnan(y[i]))
            level += (1 / (double)m) * y[i];
    for (size_t i = 0; i < m && m + i < t->ny; i++)
        if (!isnan(y[i]) && !isnan(y[m + i]))
            trend += 1 / (double)(m * m) * (y[m + i] - y[i]);
    for (size_t i = 0; i < m; i++)
        x[SEASON + i] = isnan(y[i]) ? 0 : y[i] / level;
    x[LEVEL] = level;
    x[TREND] = trend;
}

static void fit(struct holt_winters *t, double *best)
{
    size_t n = SEASON + t->season;
    struct simplex s = {.t = t, .n = n};
    double *room = tsm_calloc((n + 1) * n + (n + 1) + 5 * n, sizeof *room);
    s.vertices = room;
    s.f = s.vertices + (n + 1) * n;
    s.reflected = s.f + n + 1;
    s.other = s.reflected + n;
    s.centre = s.other + n;
    double *start = s.centre + n, *found = start + n;
    first_guess(t, start);
    double least = INFINITY;
    bool any = false;
    for (double a = GUESS_LOWER; a < GUESS_UPPER; a += GUESS_STEP)
        for (double b = GUESS_LOWER; b < GUESS_UPPER; b += GUESS_STEP)
            for (double g = GUESS_LOWER; g < GUESS_UPPER; g += GUESS_STEP)
                for (double p = GUESS_LOWER; p < GUESS_UPPER && !t->code; p += GUESS_STEP) {
                    start[ALPHA] = a;
                    start[BETA] = b;
                    start[GAMMA] = g;
                    start[PHI] = p;
                    double e = minimise(&s, start, found);
                    if (e < least || !any) {
                        least = e;
                        any = true;
                        memcpy(best, found, n * sizeof *best);
                    }
                }
    tsm_free(room);
}

static void give(struct holt_winters *t, const struct tsm_transform_sink *out)
{
    bool all = t->base.spec.kind == TSM_TRANSFORM_HOLT_WINTERS_WITH_FIT;
    uint64_t interval = (uint64_t)t->base.spec.interval;
    uint64_t time = (uint64_t)t->points[all ? 0 : t->n - 1].t + (all ? 0 : interval);
    for (size_t i = all ? 0 : t->ny; i < t->ny + (size_t)t->base.spec.n; i++, time += interval)
        if (!isnan(t->forecast[i]))
            tsm_transform_give_float(&t->base, out, (int64_t)time, t->forecast[i]);
}

static int end(struct tsm_transform *base, const struct tsm_transform_sink *out, struct tsm_err *err)
{
    struct holt_winters *t = (struct holt_winters *)base;
    const struct tsm_transform_spec *s = &base->spec;
    if (t->n < 2 || s->n <= 0 || s->interval <= 0)
        return TSM_OK;
    t->season = s->season < 2 ? 0 : (size_t)s->season;
    if (t->n < t->season)
        return TSM_OK;
    int64_t first = round_time(t, t->points[0].t), last = round_time(t, t->points[t->n - 1].t);
    if (last <= first)
        return TSM_OK;
    uint64_t count = ((uint64_t)last - (uint64_t)first) / (uint64_t)s->interval + 1, n = SEASON + t->season;
    if (count < t->season) /* points that shared an interval: influxd cannot go on from here */
        return TSM_OK;
    int code = tsm_transform_room(base, 2 * count + (uint64_t)s->n, sizeof *t->y, err);
    if (!code)
        code = tsm_transform_room(base, n, (size_t)n * sizeof *t->y, err);
    if (code)
        return code;
    t->y = tsm_alloc(count * sizeof *t->y);
    t->forecast = tsm_alloc((count + (uint64_t)s->n) * sizeof *t->forecast);
    double *best = tsm_alloc(n * sizeof *best);
    t->err = err;
    t->code = TSM_OK;
    set_values(t);
    fit(t, best);
    if (!t->code) {
        forecast(t, (size_t)s->n, best);
        give(t, out);
    }
    tsm_free(best);
    tsm_free(t->y);
    tsm_free(t->forecast);
    t->n = 0;
    return t->code;
}

const struct tsm_transform_class tsm_transform_holt_winters = {sizeof(struct holt_winters), begin, add, end,
                                                               release};
