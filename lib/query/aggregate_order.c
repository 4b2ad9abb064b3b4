/*
 * query/aggregate_order.c: the order in which the points of several shards are joined, where sums of floats tell.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/sort.h"
#include "base/time.h"
#include "query/aggregate.h"
#include "base/banned.h"

struct stream { /* the points of one shard, group after group */
    const struct tsm_unit *unit;
    int64_t *keys; /* number of the group and the interval, ascending in the order of the answer */
    struct tsm_row_ref *refs;
    size_t n, cap;
};

struct ordering {
    struct tsm_agg_wave *w;
    size_t call;
    struct stream *streams;
    size_t nstreams, capstreams;
    struct tsm_agg_order *out;
    size_t given; /* refs in out */
};

/* Of members [from, to) with one measurement, those of one source. */
static bool is_source(const struct tsm_agg_wave *w, size_t m, unsigned source)
{
    return w->members[m].unit->source == source;
}

static struct stream *stream_of(struct ordering *o, const struct tsm_unit *unit)
{
    for (size_t i = 0; i < o->nstreams; i++)
        if (o->streams[i].unit == unit)
            return &o->streams[i];
    TSM_GROW(o->streams, o->nstreams + 1, o->capstreams);
    o->streams[o->nstreams] = (struct stream){.unit = unit};
    return &o->streams[o->nstreams++];
}

static int compare_streams(const void *x, const void *y)
{
    const struct stream *a = x, *b = y;
    return (a->unit > b->unit) - (a->unit < b->unit); /* units are in one array, in the order of shards */
}

struct keyed {
    int64_t key;
    struct tsm_row_ref ref;
};

static int compare_keyed(const void *x, const void *y)
{
    const struct keyed *a = x, *b = y;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return a->ref.input < b->ref.input ? -1 : a->ref.input > b->ref.input;
}

static void sort_stream(struct stream *s)
{
    struct keyed *all = tsm_realloc_array(NULL, s->n + 1, sizeof *all);
    for (size_t i = 0; i < s->n; i++)
        all[i] = (struct keyed){s->keys[i], s->refs[i]};
    tsm_sort(all, s->n, sizeof *all, compare_keyed);
    for (size_t i = 0; i < s->n; i++) {
        s->keys[i] = all[i].key;
        s->refs[i] = all[i].ref;
    }
    tsm_free(all);
}

/* Makes the streams. False when the keys do not fit. */
static bool fill_streams(struct ordering *o, size_t from, size_t to, unsigned source)
{
    const struct tsm_agg_wave *w = o->w;
    const struct tsm_compiled *c = w->a->r->c;
    int64_t lo = INT64_MAX, hi = INT64_MIN, step = c->interval ? c->interval : 1;
    if (c->stmt->location && step > TSM_SEC)
        step = TSM_SEC; /* intervals differ in length by whole seconds */
    for (size_t m = from; m < to; m++) {
        const struct tsm_agg_level *l = &w->levels[m * w->a->ncalls + o->call];
        for (size_t i = 0; i < l->n; i++) {
            lo = l->t[i] < lo ? l->t[i] : lo;
            hi = l->t[i] > hi ? l->t[i] : hi;
        }
    }
    if (lo > hi)
        return false;
    __int128 width = ((__int128)hi - lo) / step + 1;
    if (width * (__int128)(to - from + 1) > INT64_MAX)
        return false;
    bool answers =
        w->a->r->plan->outer; /* a shard gives an interval of all groups of an answer, then the next */
    int64_t group = -1;
    for (size_t m = from; m < to; m++) {
        const struct tsm_agg_level *l = &w->levels[m * w->a->ncalls + o->call];
        group += m == from || (answers ? w->members[m].answer != w->members[m - 1].answer
                                       : w->members[m].group != w->members[m - 1].group);
        if (!is_source(w, m, source))
            continue;
        struct stream *s = stream_of(o, w->members[m].unit);
        if (s->n + l->n > s->cap) {
            s->cap = 2 * s->cap > s->n + l->n ? 2 * s->cap : s->n + l->n;
            s->keys = tsm_realloc_array(s->keys, s->cap, sizeof *s->keys);
            s->refs = tsm_realloc_array(s->refs, s->cap, sizeof *s->refs);
        }
        for (size_t i = 0; i < l->n; i++) {
            int64_t at = (int64_t)((c->descending ? (__int128)hi - l->t[i] : (__int128)l->t[i] - lo) / step);
            s->keys[s->n] = group * (int64_t)width + at;
            s->refs[s->n++] = (struct tsm_row_ref){(uint32_t)m, (uint32_t)i};
        }
    }
    for (size_t i = 0; i < o->nstreams && answers; i++)
        sort_stream(&o->streams[i]);
    return true;
}

/* The first member of the group and source. */
static size_t first_member(const struct ordering *o, size_t m)
{
    const struct tsm_agg_member *of = &o->w->members[m];
    while (m > 0 && o->w->members[m - 1].group == of->group && is_source(o->w, m - 1, of->unit->source))
        m--;
    return m;
}

static void merge_streams(struct ordering *o)
{
    struct tsm_merge_input *in = tsm_realloc_array(NULL, o->nstreams, sizeof *in);
    size_t total = 0;
    tsm_sort(o->streams, o->nstreams, sizeof *o->streams, compare_streams);
    for (size_t i = 0; i < o->nstreams; i++) {
        in[i] = (struct tsm_merge_input){o->streams[i].keys, o->streams[i].n};
        total += o->streams[i].n;
    }
    struct tsm_row_ref *order = tsm_realloc_array(NULL, total + 1, sizeof *order);
    tsm_merge_windows(in, o->nstreams, false, order, o->w->a->r->plan->control);
    /* Those of each group together, in that order. */
    size_t n = o->w->nmembers, *counts = tsm_calloc(n + 1, sizeof *counts);
    for (size_t i = 0; i < o->nstreams; i++)
        for (size_t x = 0; x < o->streams[i].n; x++)
            counts[first_member(o, o->streams[i].refs[x].input)]++;
    for (size_t m = 0; m < n; m++) {
        if (counts[m] == 0)
            continue;
        o->out->from[m] = o->given;
        o->given += counts[m];
        counts[m] = o->out->from[m];
    }
    for (size_t i = 0; i < total; i++) {
        struct tsm_row_ref ref = o->streams[order[i].input].refs[order[i].row];
        o->out->refs[counts[first_member(o, ref.input)]++] = ref;
    }
    tsm_free(counts);
    tsm_free(order);
    tsm_free(in);
}

/* Orders the points of the shards of one measurement in one source, when there are enough of them to matter.
 */
static void order_source(struct ordering *o, size_t from, size_t to, unsigned source)
{
    o->nstreams = 0;
    if (fill_streams(o, from, to, source) && o->nstreams > 2)
        merge_streams(o);
    for (size_t i = 0; i < o->nstreams; i++) {
        tsm_free(o->streams[i].keys);
        tsm_free(o->streams[i].refs);
    }
}

void tsm_agg_order_call(struct tsm_agg_wave *w, size_t call)
{
    struct ordering o = {.w = w, .call = call, .out = &w->orders[call]};
    size_t total = 0;
    for (size_t m = 0; m < w->nmembers; m++)
        total += w->levels[m * w->a->ncalls + call].n;
    o.out->refs = tsm_realloc_array(NULL, total + 1, sizeof *o.out->refs);
    o.out->from = tsm_realloc_array(NULL, w->nmembers, sizeof *o.out->from);
    for (size_t m = 0; m < w->nmembers; m++)
        o.out->from[m] = SIZE_MAX;
    for (size_t from = 0, to; from < w->nmembers; from = to) {
        struct tsm_str name = w->members[from].unit->name;
        for (to = from; to < w->nmembers && tsm_str_eq(w->members[to].unit->name, name); to++)
            ;
        for (unsigned s = 0; s < w->a->r->c->stmt->nsources; s++)
            order_source(&o, from, to, s);
    }
    tsm_free(o.streams);
}
