/* query/aggregate_values.c: the functions that need all values of an interval. */
#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/time.h"
#include "query/aggregate.h"
#include "query/value_sort.h"
#include "base/banned.h"

/* The series of member m in the order in which influxd joins them. */
static uint32_t series_at(const struct tsm_agg_reducer *k, const struct tsm_agg_member *m, uint32_t i)
{
    return k->descending ? m->n - 1 - i : i;
}

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
    if (n % 2 == 0) {
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
    }
    return out;
}

static union tsm_num stddev(const struct tsm_value_item *a, size_t n, enum tsm_vec_type type)
{
    union tsm_num out = {.f = NAN};
    if (n < 2)
        return out;
    double mean = 0, variance = 0;
    for (size_t i = 0; i < n; i++)
        mean += (as_float(type, a[i].v) - mean) / (double)(i + 1);
    for (size_t i = 0; i < n; i++) {
        double d = as_float(type, a[i].v) - mean;
        variance += d * d;
    }
    out.f = sqrt(variance / (double)(n - 1));
    return out;
}

static union tsm_num mode(struct tsm_value_item *a, size_t n, enum tsm_vec_type type)
{
    if (n == 1)
        return a[0].v;
    if (type == TSM_VEC_BOOLEAN) {
        size_t yes = 0;
        for (size_t i = 0; i < n; i++)
            yes += a[i].v.u != 0;
        return (union tsm_num){.u = yes >= n - yes};
    }
    tsm_sort_values(a, n, type);
    size_t most = 0, count = 0;
    union tsm_num current = a[0].v, best = a[0].v;
    int64_t current_time = a[0].t, best_time = a[0].t;
    for (size_t i = 0; i < n; i++) {
        if (!tsm_num_equal(type, a[i].v, current)) {
            count = 1;
            current = a[i].v;
            current_time = a[i].t;
            continue;
        }
        count++;
        if (most > count || (most == count && current_time > best_time))
            continue;
        most = count;
        best = a[i].v;
        best_time = a[i].t;
    }
    return best;
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

static int compare_distinct(const void *x, const void *y, void *ctx)
{
    const struct tsm_value_item *a = x, *b = y;
    enum tsm_vec_type type = *(enum tsm_vec_type *)ctx;
    if (a->t != b->t)
        return a->t < b->t ? -1 : 1;
    return tsm_num_less(type, a->v, b->v) ? -1 : tsm_num_less(type, b->v, a->v);
}

static uint64_t hash_num(enum tsm_vec_type type, union tsm_num v)
{
    if (type == TSM_VEC_STRING)
        return tsm_hash(*v.s);
    if (type == TSM_VEC_FLOAT && v.f == 0)
        v.f = 0; /* minus zero is equal */
    uint64_t x = v.u;
    x ^= x >> 32;
    x *= 0x9E3779B97F4A7C15u;
    return x ^ x >> 29;
}

/* Leaves each value once, as it was met first (in the order of the answer); returns how many. */
static size_t distinct(const struct tsm_agg_reducer *k, struct tsm_value_item *a, size_t n)
{
    enum tsm_vec_type type = k->c->type;
    size_t slots = 16, kept = 0;
    while (slots < 2 * n && slots < ((size_t)1 << 20))
        slots *= 2;
    uint32_t *table = tsm_calloc(slots, sizeof *table);
    for (size_t i = 0; i < n; i++) {
        size_t at = hash_num(type, a[i].v) & (slots - 1);
        while (table[at] && !tsm_num_equal(type, a[table[at] - 1].v, a[i].v))
            at = (at + 1) & (slots - 1);
        if (table[at]) {
            struct tsm_value_item *known = &a[table[at] - 1];
            if (k->descending ? a[i].t > known->t : a[i].t < known->t)
                *known = a[i];
            continue;
        }
        a[kept++] = a[i];
        table[at] = (uint32_t)kept;
        if (2 * kept > slots) {
            tsm_free(table);
            slots *= 2;
            table = tsm_calloc(slots, sizeof *table);
            for (size_t x = 0; x < kept; x++) {
                at = hash_num(type, a[x].v) & (slots - 1);
                while (table[at])
                    at = (at + 1) & (slots - 1);
                table[at] = (uint32_t)x + 1;
            }
        }
    }
    tsm_free(table);
    qsort_r(a, kept, sizeof *a, compare_distinct, &type);
    return kept;
}

struct ordered { /* the values of a group, in the order of the answer, with where each came from */
    struct tsm_value_item *items;
    size_t n;
    struct tsm_agg_origin *inputs; /* per number in item.input; t not used */
    size_t ninputs;
};

/* Reduces the values of one interval. False: influxd gives nothing, which ends its iterator. */
static bool reduce_run(struct tsm_agg_reducer *k, const struct ordered *o, int64_t window,
                       struct tsm_value_item *a, size_t n)
{
    const struct tsm_agg_call *c = k->c;
    int64_t t = tsm_agg_shown_time(k, window);
    union tsm_num v;
    size_t at;
    switch (c->call->fn) {
    case TSM_FN_STDDEV:
        v = stddev(a, n, c->type);
        break;
    case TSM_FN_MODE:
        v = mode(a, n, c->type);
        break;
    case TSM_FN_PERCENTILE:
        if (!percentile_at(n, c->call->percentile, &at))
            return false;
        tsm_sort_values(a, n, c->type);
        v = a[at].v;
        if (k->w->a->r->c->interval == 0 && k->w->a->r->shape->selector)
            t = a[at].t;
        if (c->visible) {
            struct tsm_agg_origin origin = o->inputs[a[at].input];
            origin.t = a[at].t;
            tsm_agg_add_result(k, t, v, &origin);
            return true;
        }
        break;
    case TSM_FN_COUNT:
        v.i = (int64_t)distinct(k, a, n);
        break;
    default:
        n = distinct(k, a, n);
        for (size_t i = 0; i < n; i++)
            tsm_agg_add_result(k, t, a[i].v, NULL);
        return true;
    }
    tsm_agg_add_result(k, t, v, NULL);
    return true;
}

/* Cuts what is in order by time into intervals. */
static void reduce_ordered(struct tsm_agg_reducer *k, struct ordered *o)
{
    const struct tsm_compiled *c = k->w->a->r->c;
    for (size_t i = 0; i < o->n;) {
        struct tsm_window w = tsm_window_at(c, o->items[i].t);
        size_t end = i + 1;
        while (end < o->n && o->items[end].t >= w.start && o->items[end].t < w.end)
            end++;
        if (!reduce_run(k, o, w.start, o->items + i, end - i)) {
            k->out->gaps = true;
            k->out->gap_first = k->out->gap_first || i == 0;
            if (k->out->gap_at == SIZE_MAX)
                k->out->gap_at = k->out->n;
        }
        i = end;
    }
}

/* All values of the group, by the sorted merge of its series; shard after shard, as their times do not
 * overlap. */
static void collect_ordered(struct tsm_agg_reducer *k, struct ordered *o, bool merged)
{
    const struct tsm_agg_member *members = k->w->members;
    size_t total = 0, inputs = 0;
    for (size_t m = k->from; m < k->to; m++)
        for (uint32_t s = 0; s < members[m].n; s++, inputs++)
            total += tsm_agg_part(k->w, &members[m], s, k->call).n;
    o->items = tsm_realloc_array(NULL, total + 1, sizeof *o->items);
    o->inputs = tsm_realloc_array(NULL, inputs + 1, sizeof *o->inputs);
    for (size_t x = k->from; x < k->to; x++) {
        const struct tsm_agg_member *m = &members[k->descending ? k->to - 1 - (x - k->from) : x];
        struct tsm_merge_input *in = tsm_realloc_array(NULL, m->n, sizeof *in);
        size_t n = 0;
        for (uint32_t i = 0; i < m->n; i++) {
            struct tsm_agg_part part = tsm_agg_part(k->w, m, series_at(k, m, i), k->call);
            in[i] = (struct tsm_merge_input){part.t, part.n};
            n += part.n;
            o->inputs[o->ninputs + i] = (struct tsm_agg_origin){m->unit, m->from + series_at(k, m, i), 0};
        }
        struct tsm_agg_tie tie = {k->w->a->r, m, k->descending};
        struct tsm_row_ref *order = tsm_realloc_array(NULL, n + 1, sizeof *order);
        if (merged) {
            tsm_merge_rows(in, m->n, k->descending, tsm_agg_tie_of(tie.r), &tie, order);
        } else {
            size_t at = 0;
            for (uint32_t i = 0; i < m->n; i++)
                for (uint32_t row = 0; row < in[i].n; row++)
                    order[at++] = (struct tsm_row_ref){i, row};
        }
        for (size_t i = 0; i < n; i++) {
            struct tsm_agg_part part = tsm_agg_part(k->w, m, series_at(k, m, order[i].input), k->call);
            o->items[o->n++] = (struct tsm_value_item){part.v[order[i].row], part.t[order[i].row],
                                                       (uint32_t)(o->ninputs + order[i].input)};
        }
        o->ninputs += m->n;
        tsm_free(order);
        tsm_free(in);
    }
}

static int compare_time(const void *x, const void *y, void *descending)
{
    const struct tsm_value_item *a = x, *b = y;
    int c = (a->t > b->t) - (a->t < b->t);
    return *(bool *)descending ? -c : c;
}

/* median() and percentile() where only the values count. */
static void reduce_plain(struct tsm_agg_reducer *k, int64_t window, union tsm_num *v, size_t n)
{
    size_t at;
    if (k->c->call->fn == TSM_FN_MEDIAN) {
        tsm_agg_add_result(k, tsm_agg_shown_time(k, window), median(v, n, k->c->type), NULL);
    } else if (percentile_at(n, k->c->call->percentile, &at)) {
        tsm_select_value(v, n, at, k->c->type);
        tsm_agg_add_result(k, tsm_agg_shown_time(k, window), v[at], NULL);
    } else {
        k->out->gaps = true;
        k->out->gap_first = k->out->gap_first || k->out->n == 0;
        if (k->out->gap_at == SIZE_MAX)
            k->out->gap_at = k->out->n;
    }
}

static void reduce_all_plain(struct tsm_agg_reducer *k)
{
    const struct tsm_agg_member *members = k->w->members;
    size_t total = 0;
    for (size_t m = k->from; m < k->to; m++)
        for (uint32_t s = 0; s < members[m].n; s++)
            total += tsm_agg_part(k->w, &members[m], s, k->call).n;
    if (total == 0)
        return;
    union tsm_num *v = tsm_realloc_array(NULL, total, sizeof *v);
    size_t n = 0;
    for (size_t m = k->from; m < k->to; m++) {
        for (uint32_t s = 0; s < members[m].n; s++) {
            struct tsm_agg_part part = tsm_agg_part(k->w, &members[m], s, k->call);
            if (part.n)
                memcpy(v + n, part.v, part.n * sizeof *v);
            n += part.n;
        }
    }
    reduce_plain(k, TSM_TIME_MIN, v, n);
    tsm_free(v);
}

void tsm_agg_reduce_values(struct tsm_agg_reducer *k)
{
    const struct tsm_agg_call *c = k->c;
    if (!c->timed) {
        reduce_all_plain(k);
        return;
    }
    struct ordered o = {0};
    collect_ordered(k, &o, c->ordered);
    bool several = false;
    for (size_t m = k->from + 1; m < k->to; m++)
        several = several || k->w->members[m].unit->source != k->w->members[k->from].unit->source;
    if ((!c->ordered || several) && k->w->a->r->c->interval)
        qsort_r(o.items, o.n, sizeof *o.items, compare_time, &k->descending);
    bool plain = c->call->fn == TSM_FN_MEDIAN || (c->call->fn == TSM_FN_PERCENTILE && !c->ordered);
    if (!plain) {
        reduce_ordered(k, &o);
    } else {
        union tsm_num *v = tsm_realloc_array(NULL, o.n + 1, sizeof *v);
        for (size_t i = 0; i < o.n;) {
            struct tsm_window w = tsm_window_at(k->w->a->r->c, o.items[i].t);
            size_t n = 0;
            for (; i < o.n && o.items[i].t >= w.start && o.items[i].t < w.end; i++)
                v[n++] = o.items[i].v;
            reduce_plain(k, w.start, v, n);
        }
        tsm_free(v);
    }
    tsm_free(o.items);
    tsm_free(o.inputs);
}
