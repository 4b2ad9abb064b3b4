/* query/aggregate_values.c: the functions that need all values of an interval. */
#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/time.h"
#include "query/aggregate.h"
#include "query/value_sort.h"
#include "base/banned.h"

struct values { /* of a group */
    struct tsm_agg_reducer *k;
    struct tsm_agg_part *parts;     /* per series */
    struct tsm_merge_input *in;     /* their times */
    struct tsm_agg_origin *origins; /* where they are */
    size_t nparts;
    struct tsm_row_ref *order; /* all values; input: the part. NULL: part by part */
    size_t n;
    bool doubtful;  /* see reduce_best() */
    uint64_t *seen; /* per member: see is_beyond_limit() */
};

static union tsm_num value_at(const struct values *g, struct tsm_row_ref r)
{
    return g->parts[r.input].v[r.row];
}

static int64_t time_at(const struct values *g, struct tsm_row_ref r)
{
    return g->parts[r.input].t[r.row];
}

/* ---- the functions over the values of an interval ---------------------------------------------- */

static double as_float(enum tsm_vec_type type, union tsm_num v)
{
    return type == TSM_VEC_FLOAT ? v.f : type == TSM_VEC_INTEGER ? (double)v.i : (double)v.u;
}

static union tsm_num median(union tsm_num *v, size_t n, enum tsm_vec_type type)
{
    union tsm_num out;
    tsm_select_value(v, n, n / 2, type);
    union tsm_num hi = v[n / 2];
    out.f = as_float(type, hi);
    if (n % 2)
        return out;
    union tsm_num lo = v[0];
    for (size_t i = 1; i < n / 2; i++)
        if (tsm_num_less(type, lo, v[i]))
            lo = v[i];
    if (type == TSM_VEC_FLOAT)
        out.f = lo.f + (hi.f - lo.f) / 2;
    else if (type == TSM_VEC_INTEGER)
        out.f = (double)lo.i + (double)(int64_t)(hi.u - lo.u) / 2;
    else
        out.f = (double)lo.u + (double)(hi.u - lo.u) / 2;
    return out;
}

static union tsm_num stddev(const union tsm_num *v, size_t n, enum tsm_vec_type type)
{
    if (n < 2)
        return (union tsm_num){.f = NAN};
    double mean = 0, variance = 0;
    for (size_t i = 0; i < n; i++)
        mean += (as_float(type, v[i]) - mean) / (double)(i + 1);
    for (size_t i = 0; i < n; i++) {
        double d = as_float(type, v[i]) - mean;
        variance += d * d;
    }
    return (union tsm_num){.f = sqrt(variance / (double)(n - 1))};
}

/* The commonest value; of several, influxd's comparison of times decides, which looks at the last point of
 * one run of equal values and the first one of another. */
static union tsm_num mode(const struct values *g, struct tsm_value_item *a, size_t n)
{
    enum tsm_vec_type type = g->k->c->type;
    if (n == 1)
        return a[0].v;
    if (type == TSM_VEC_BOOLEAN) {
        size_t yes = 0;
        for (size_t i = 0; i < n; i++)
            yes += a[i].v.u != 0;
        return (union tsm_num){.u = yes >= n - yes};
    }
    tsm_sort_values(a, n, type, g->k->w->a->r->plan->control);
    size_t most = 0, count = 0;
    struct tsm_value_item first = a[0], best = a[0]; /* of the run */
    for (size_t i = 0; i < n; i++) {
        if (!tsm_num_equal(type, a[i].v, first.v)) {
            count = 1;
            first = a[i];
            continue;
        }
        count++;
        if (most > count || (most == count && time_at(g, first.ref) > time_at(g, best.ref)))
            continue;
        most = count;
        best = a[i];
    }
    return best.v;
}

/* The position of a percentile in n sorted values; false when there is none. */
static bool percentile_at(size_t n, double percentile, size_t *at)
{
    double i = floor((double)n * percentile / 100.0 + 0.5) - 1;
    if (!(i >= 0) || i >= (double)n)
        return false;
    *at = (size_t)i;
    return true;
}

static void note_gap(struct tsm_agg_reducer *k)
{
    struct tsm_agg_result *r = k->out;
    r->gaps++;
    if (r->first_gap == SIZE_MAX)
        r->first_gap = r->n;
    if (r->n == 0)
        r->lead_gaps++;
    else if (r->gaps == 2 && r->broken_at == SIZE_MAX)
        r->broken_at = r->n;
}

struct distinct { /* for sorting by time, then value */
    int64_t t;
    union tsm_num v;
};

static int compare_distinct(const void *x, const void *y, void *ctx)
{
    const struct distinct *a = x, *b = y;
    enum tsm_vec_type type = *(enum tsm_vec_type *)ctx;
    if (a->t != b->t)
        return a->t < b->t ? -1 : 1;
    return tsm_num_less(type, a->v, b->v) ? -1 : tsm_num_less(type, b->v, a->v);
}

static void reduce_distinct(struct values *g, int64_t t, size_t from, size_t to)
{
    enum tsm_vec_type type = g->k->c->type;
    size_t n = to - from;
    int64_t *tt = tsm_realloc_array(NULL, n, sizeof *tt);
    union tsm_num *tv = tsm_realloc_array(NULL, n, sizeof *tv);
    for (size_t i = 0; i < n; i++) {
        tt[i] = time_at(g, g->order[from + i]);
        tv[i] = value_at(g, g->order[from + i]);
    }
    n = tsm_distinct_values(type, g->k->descending, tt, tv, n, tt, tv);
    if (g->k->c->call->count_distinct) {
        tsm_agg_add_result(g->k, t, (union tsm_num){.i = (int64_t)n}, NULL);
    } else {
        struct distinct *d = tsm_realloc_array(NULL, n, sizeof *d);
        for (size_t i = 0; i < n; i++)
            d[i] = (struct distinct){tt[i], tv[i]};
        qsort_r(d, n, sizeof *d, compare_distinct, &type);
        for (size_t i = 0; i < n; i++)
            tsm_agg_add_result(g->k, t, d[i].v, NULL);
        tsm_free(d);
    }
    tsm_free(tt);
    tsm_free(tv);
}

/* Sorts the values as influxd does, because the time of the chosen one is seen. */
static void reduce_sorted(struct values *g, int64_t t, size_t from, size_t to, size_t at)
{
    struct tsm_agg_reducer *k = g->k;
    size_t n = to - from;
    struct tsm_value_item *a = tsm_realloc_array(NULL, n, sizeof *a);
    for (size_t i = 0; i < n; i++)
        a[i] = (struct tsm_value_item){value_at(g, g->order[from + i]), g->order[from + i]};
    if (k->c->fn == TSM_FN_MODE) {
        tsm_agg_add_result(k, t, mode(g, a, n), NULL);
    } else {
        tsm_sort_values_to(a, n, k->c->type, at);
        struct tsm_agg_origin o = g->origins[a[at].ref.input];
        o.t = time_at(g, a[at].ref);
        o.row = a[at].ref.row;
        tsm_agg_add_result(k, k->c->own_time ? o.t : t, a[at].v, &o);
    }
    tsm_free(a);
}

/* With LIMIT or OFFSET, influxd gives top() and bottom() no more points of each shard than these ask for, and one. */
static bool is_beyond_limit(struct values *g, struct tsm_row_ref ref)
{
    const struct tsm_select *s = g->k->w->a->r->c->stmt;
    uint64_t most = (uint64_t)s->limit + (uint64_t)s->offset + 1;
    if (g->k->c->call->ntags || g->origins[0].unit->level || (s->limit == 0 && s->offset == 0))
        return false;
    if (!g->seen)
        g->seen = tsm_calloc(g->k->to - g->k->from, sizeof *g->seen);
    size_t member = 0; /* the shard and source that the point is of */
    while (g->k->w->members[g->k->from + member].unit != g->origins[ref.input].unit)
        member++;
    return g->seen[member]++ >= most;
}

/* Whether other points than these could be the best ones, or these come in another order: there are equal ones. */
static bool has_ties(struct values *g, struct tsm_agg_best *best, size_t from, size_t to)
{
    const struct tsm_agg_best_point *worst = &best->points[0];
    size_t inside = 0, all = 0;
    for (size_t i = 0; i < best->n; i++)
        inside += !tsm_agg_best_worse(best, worst, &best->points[i]);
    for (size_t i = from; i < to; i++) {
        struct tsm_agg_best_point p = {time_at(g, g->order[i]), value_at(g, g->order[i]), 0};
        all += !tsm_agg_best_worse(best, worst, &p) && !tsm_agg_best_worse(best, &p, worst);
    }
    tsm_agg_best_sort(best);
    for (size_t i = 1; i < best->n; i++)
        if (best->points[i].t == best->points[i - 1].t &&
            tsm_num_equal(best->type, best->points[i].v, best->points[i - 1].v))
            return true;
    return all != inside;
}

/*
 * What influxd's heap keeps of equal points depends on the order in which it gets them. When only those are here that entered the
 * heap of their series (the others it would turn away), their order is that of time, and at one time that of the first
 * thing that stands beside them, when it is a tag that all series have. Where that leaves a doubt, all points have to be read.
 */
static void reduce_best(struct values *g, size_t from, size_t to)
{
    struct tsm_agg_reducer *k = g->k;
    struct tsm_agg_best best;
    tsm_agg_best_init(&best, k->c);
    for (size_t i = from; i < to; i++)
        if (!is_beyond_limit(g, g->order[i]))
            tsm_agg_best_add(&best, time_at(g, g->order[i]), value_at(g, g->order[i]), i);
    if (g->doubtful && has_ties(g, &best, from, to))
        k->out->tied = true;
    else if (!g->doubtful)
        tsm_agg_best_sort(&best);
    for (size_t i = 0; i < best.n; i++) {
        struct tsm_agg_origin o = g->origins[g->order[best.points[i].number].input];
        o.t = best.points[i].t;
        o.row = g->order[best.points[i].number].row;
        tsm_agg_add_result(k, o.t, best.points[i].v, k->c->visible ? &o : NULL);
    }
    tsm_agg_best_release(&best);
}

/* The values [from, to) in order are those of one interval. */
static void reduce_run(struct values *g, int64_t window, size_t from, size_t to)
{
    struct tsm_agg_reducer *k = g->k;
    enum tsm_function fn = k->c->fn;
    int64_t t = tsm_agg_shown_time(k, window);
    size_t n = to - from, at = 0;
    if (fn == TSM_FN_DISTINCT || k->c->call->count_distinct) {
        reduce_distinct(g, t, from, to);
        return;
    }
    if (fn == TSM_FN_TOP || fn == TSM_FN_BOTTOM) {
        reduce_best(g, from, to);
        return;
    }
    if (fn == TSM_FN_PERCENTILE && !percentile_at(n, k->c->call->percentile, &at)) {
        note_gap(k);
        return;
    }
    if (fn == TSM_FN_MODE || (fn == TSM_FN_PERCENTILE && k->c->visible)) {
        reduce_sorted(g, t, from, to, at);
        return;
    }
    union tsm_num *v = tsm_realloc_array(NULL, n, sizeof *v), out;
    for (size_t i = 0; i < n; i++)
        v[i] = value_at(g, g->order[from + i]);
    if (fn == TSM_FN_STDDEV) {
        out = stddev(v, n, k->c->type);
    } else if (fn == TSM_FN_MEDIAN) {
        out = median(v, n, k->c->type);
    } else {
        tsm_select_value(v, n, at, k->c->type);
        out = v[at];
    }
    tsm_agg_add_result(k, t, out, NULL);
    tsm_free(v);
}

/* median() and percentile() without intervals, where only the values count. */
static void reduce_untimed(struct values *g)
{
    struct tsm_agg_reducer *k = g->k;
    union tsm_num *v = tsm_realloc_array(NULL, g->n, sizeof *v), out;
    size_t n = 0, at;
    for (size_t i = 0; i < g->nparts; i++) {
        if (g->parts[i].n)
            memcpy(v + n, g->parts[i].v, g->parts[i].n * sizeof *v);
        n += g->parts[i].n;
    }
    int64_t t = tsm_agg_shown_time(k, TSM_TIME_MIN);
    if (k->c->fn == TSM_FN_MEDIAN) {
        tsm_agg_add_result(k, t, median(v, n, k->c->type), NULL);
    } else if (percentile_at(n, k->c->call->percentile, &at)) {
        tsm_select_value(v, n, at, k->c->type);
        out = v[at];
        tsm_agg_add_result(k, t, out, NULL);
    } else {
        note_gap(k);
    }
    tsm_free(v);
}

/* ---- the values of a group --------------------------------------------------------------------- */

/* Lists the series' parts, in influxd's order of series. */
static void list_parts(struct values *g)
{
    struct tsm_agg_reducer *k = g->k;
    const struct tsm_agg_member *members = k->w->members;
    size_t count = 0;
    for (size_t m = k->from; m < k->to; m++)
        count += members[m].n;
    g->parts = tsm_realloc_array(NULL, count, sizeof *g->parts);
    g->in = tsm_realloc_array(NULL, count, sizeof *g->in);
    g->origins = tsm_realloc_array(NULL, count, sizeof *g->origins);
    for (size_t x = k->from; x < k->to; x++) {
        const struct tsm_agg_member *m = &members[k->descending ? k->to - 1 - (x - k->from) : x];
        for (uint32_t i = 0; i < m->n; i++) {
            uint32_t s = k->descending ? m->n - 1 - i : i;
            struct tsm_agg_part part = tsm_agg_part(k->w, m, s, k->call);
            g->parts[g->nparts] = part;
            g->in[g->nparts] = (struct tsm_merge_input){part.t, part.n};
            g->origins[g->nparts++] = (struct tsm_agg_origin){.unit = m->unit, .series = m->from + s};
            g->n += part.n;
        }
    }
}

struct tie {
    struct tsm_agg_ties ties;
    const struct values *g;
};

static bool values_less(void *ctx, struct tsm_row_ref x, struct tsm_row_ref y)
{
    struct tie *tie = ctx;
    struct tsm_agg_origin ox = tie->g->origins[x.input], oy = tie->g->origins[y.input];
    ox.t = time_at(tie->g, x);
    oy.t = time_at(tie->g, y);
    return tsm_agg_ties_less(&tie->ties, &ox, &oy);
}

static void order_merged(struct values *g)
{
    const struct tsm_run *r = g->k->w->a->r;
    struct tie tie = {.g = g};
    struct tsm_merge_place *places = tsm_realloc_array(NULL, g->nparts, sizeof *places);
    for (size_t i = 0; i < g->nparts; i++)
        places[i] = (struct tsm_merge_place){g->origins[i].unit->source, g->origins[i].unit};
    tsm_agg_ties_init(&tie.ties, r, g->k->descending);
    tsm_merge_places(g->in, places, g->nparts, g->k->descending, r->shape->naux ? values_less : NULL, &tie,
                     g->order, r->plan->control);
    tsm_agg_ties_release(&tie.ties);
    tsm_free(places);
}

/* The first thing that stands beside the points of a part; empty when it is no tag. */
static struct tsm_str first_beside(const struct values *g, uint32_t part)
{
    const struct tsm_run *r = g->k->w->a->r;
    const struct tsm_aux *a = &r->shape->aux[0];
    const struct tsm_agg_origin *o = &g->origins[part];
    if (a->type != TSM_DATA_TAG)
        return (struct tsm_str){0};
    return o->unit->values[(size_t)o->series * r->plan->ntags + a->index];
}

static int compare_entered(const void *x, const void *y, void *ctx)
{
    const struct values *g = ctx;
    const struct tsm_row_ref *a = x, *b = y;
    int64_t s = time_at(g, *a), t = time_at(g, *b);
    if (s != t)
        return s < t ? -1 : 1;
    int c = tsm_str_cmp(first_beside(g, a->input), first_beside(g, b->input));
    return c ? c : (a->input > b->input) - (a->input < b->input);
}

static void order_entered(struct values *g)
{
    size_t at = 0;
    for (uint32_t i = 0; i < g->nparts; i++) {
        g->doubtful = g->doubtful || first_beside(g, i).n == 0;
        for (uint32_t row = 0; row < g->parts[i].n; row++)
            g->order[at++] = (struct tsm_row_ref){i, row};
    }
    qsort_r(g->order, g->n, sizeof *g->order, compare_entered, g);
    for (size_t i = 1; i < g->n && !g->doubtful; i++)
        g->doubtful = time_at(g, g->order[i]) == time_at(g, g->order[i - 1]) &&
                      tsm_str_eq(first_beside(g, g->order[i].input), first_beside(g, g->order[i - 1].input));
}

static void order_values(struct values *g)
{
    const struct tsm_agg_call *c = g->k->c;
    g->order = tsm_realloc_array(NULL, g->n + 1, sizeof *g->order);
    if (g->origins[0].unit->level) {             /* a subquery has put its rows in order */
        for (uint32_t i = 0; i < g->nparts; i++) /* only one has some */
            for (uint32_t row = 0; row < g->parts[i].n; row++)
                g->order[row] = (struct tsm_row_ref){i, row};
    } else if (c->entered) {
        order_entered(g);
    } else if (c->ordered) {
        order_merged(g);
    } else if (g->k->w->a->r->c->interval) {
        tsm_merge_ranked(g->in, g->nparts, g->k->descending, g->order, g->k->w->a->r->plan->control);
    } else {
        size_t at = 0;
        for (uint32_t i = 0; i < g->nparts; i++)
            for (uint32_t row = 0; row < g->parts[i].n; row++)
                g->order[at++] = (struct tsm_row_ref){i, row};
    }
}

/* ---- as they are ------------------------------------------------------------------------------- */

/* Whether the parts follow each other in time, as those of one series do that is in several shards. */
static bool is_sequential(const struct values *g)
{
    bool any = false;
    int64_t last = 0;
    for (size_t i = 0; i < g->nparts; i++) {
        const struct tsm_agg_part *p = &g->parts[i];
        if (p->n == 0)
            continue;
        if (any && (g->k->descending ? p->t[p->n - 1] >= last : p->t[0] <= last))
            return false;
        any = true;
        last = g->k->descending ? p->t[0] : p->t[p->n - 1];
    }
    return true;
}

static struct tsm_row_ref ref_at(const struct values *g, uint32_t part, size_t row)
{
    return (struct tsm_row_ref){part, (uint32_t)(g->k->descending ? g->parts[part].n - 1 - row : row)};
}

/* Of point `number` in the order of the answer. */
static struct tsm_agg_origin origin_of(void *ctx, uint64_t number)
{
    const struct values *g = ctx;
    struct tsm_row_ref ref;
    if (g->order) {
        ref = g->order[number];
    } else {
        uint32_t part = 0;
        while (number >= g->parts[part].n)
            number -= g->parts[part++].n;
        ref = ref_at(g, part, number);
    }
    struct tsm_agg_origin o = g->origins[ref.input];
    o.t = time_at(g, ref);
    o.row = ref.row;
    return o;
}

static int feed_chain(struct values *g, struct tsm_agg_chain *chain, struct tsm_err *err)
{
    int code = TSM_OK;
    for (size_t i = 0; g->order && i < g->n && !code; i++)
        code = tsm_agg_chain_add(chain, time_at(g, g->order[i]), value_at(g, g->order[i]), err);
    for (uint32_t p = 0; !g->order && p < g->nparts; p++) {
        for (size_t i = 0; i < g->parts[p].n && !code; i++) {
            struct tsm_row_ref ref = ref_at(g, p, i);
            code = tsm_agg_chain_add(chain, time_at(g, ref), value_at(g, ref), err);
        }
    }
    return code;
}

/* The values go through the call's steps. */
static int transform_values(struct values *g, struct tsm_err *err)
{
    bool visible = g->k->c->visible;
    struct tsm_agg_chain *chain = tsm_agg_chain_new(g->k, visible ? origin_of : NULL, g);
    int code = feed_chain(g, chain, err);
    if (!code)
        code = tsm_agg_chain_end(chain, err);
    tsm_agg_chain_free(chain);
    return code;
}

static void release_values(struct values *g)
{
    tsm_free(g->seen);
    tsm_free(g->order);
    tsm_free(g->origins);
    tsm_free(g->in);
    tsm_free(g->parts);
}

int tsm_agg_feed_values(struct tsm_agg_reducer *k, struct tsm_agg_chain *chain, struct tsm_err *err)
{
    struct values g = {.k = k};
    list_parts(&g);
    if (g.n && !is_sequential(&g))
        order_values(&g);
    int code = feed_chain(&g, chain, err);
    release_values(&g);
    return code;
}

static void reduce_runs(struct values *g)
{
    for (size_t i = 0, end; i < g->n; i = end) {
        struct tsm_window w = tsm_window_at(g->k->w->a->r->c, time_at(g, g->order[i]));
        for (end = i + 1; end < g->n; end++) {
            int64_t t = time_at(g, g->order[end]);
            if (t < w.start || t >= w.end)
                break;
        }
        reduce_run(g, w.start, i, end);
    }
}

int tsm_agg_reduce_values(struct tsm_agg_reducer *k, struct tsm_err *err)
{
    struct values g = {.k = k};
    int code = TSM_OK;
    bool raw = k->c->fn == TSM_FN_RAW;
    list_parts(&g);
    if (g.n && !k->c->timed) {
        reduce_untimed(&g);
    } else if (g.n) {
        if (!raw || g.origins[0].unit->level || !is_sequential(&g))
            order_values(&g);
        if (raw)
            code = transform_values(&g, err);
        else
            reduce_runs(&g);
    }
    release_values(&g);
    return code;
}
