/* query/aggregate_reduce.c: what the series of a group gave, reduced to the answer of each call. */
#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/time.h"
#include "query/aggregate.h"
#include "query/value_sort.h"
#include "base/banned.h"

/* Points of one level of influxd's iterators, in the order of the answer. */
struct level {
    int64_t *t; /* start of the interval */
    struct tsm_point *p;
    struct tsm_agg_origin *o; /* NULL: not visible */
    size_t n, cap;
};

struct reducer {
    const struct tsm_agg_wave *w;
    const struct tsm_agg_call *c;
    size_t call;     /* its number */
    size_t from, to; /* members */
    struct tsm_agg_result *out;
    bool descending;
    struct tsm_err *err;
};

static void level_release(struct level *l)
{
    tsm_free(l->t);
    tsm_free(l->p);
    tsm_free(l->o);
}

static void level_add(struct level *l, int64_t t, const struct tsm_point *p, const struct tsm_agg_origin *o)
{
    if (l->n == l->cap) {
        l->cap = l->cap ? 2 * l->cap : 16;
        l->t = tsm_realloc_array(l->t, l->cap, sizeof *l->t);
        l->p = tsm_realloc_array(l->p, l->cap, sizeof *l->p);
        if (o)
            l->o = tsm_realloc_array(l->o, l->cap, sizeof *l->o);
    }
    l->t[l->n] = t;
    l->p[l->n] = *p;
    if (o)
        l->o[l->n] = *o;
    l->n++;
}

static void add_result(struct reducer *k, int64_t t, union tsm_num v, const struct tsm_agg_origin *o)
{
    struct tsm_agg_result *r = k->out;
    if (r->n == r->cap) {
        r->cap = r->cap ? 2 * r->cap : 4;
        r->t = tsm_realloc_array(r->t, r->cap, sizeof *r->t);
        r->v = tsm_realloc_array(r->v, r->cap, sizeof *r->v);
        if (o)
            r->origins = tsm_realloc_array(r->origins, r->cap, sizeof *r->origins);
    }
    r->t[r->n] = t;
    r->v[r->n] = v;
    if (o)
        r->origins[r->n] = *o;
    r->n++;
}

/* What the time column shows for an interval. Without intervals that is the start of the range; 1970 when it
 * has none. */
static int64_t shown_time(const struct reducer *k, int64_t window)
{
    const struct tsm_compiled *c = k->w->a->r->c;
    int64_t t = c->interval ? window : c->tmin;
    return t == TSM_TIME_MIN ? 0 : t;
}

/* ---- points
 * ------------------------------------------------------------------------------------------------- */

/* One point that is being joined from several. */
struct joining {
    struct reducer *k;
    struct level *to;
    struct tsm_point acc;
    struct tsm_agg_origin origin;
    int64_t window;
    bool any, visible;
};

static void join_flush(struct joining *j)
{
    if (!j->any)
        return;
    tsm_join_end(j->k->c->call->fn, &j->acc);
    level_add(j->to, j->window, &j->acc, j->visible ? &j->origin : NULL);
    j->any = false;
}

static void join_add(struct joining *j, int64_t window, const struct tsm_point *p,
                     const struct tsm_agg_origin *o)
{
    enum tsm_function fn = j->k->c->call->fn;
    if (j->any && window != j->window)
        join_flush(j);
    bool fresh = !j->any;
    if (fresh) {
        tsm_join_begin(fn, &j->acc);
        j->window = window;
        j->any = true;
    }
    if (tsm_join(fn, j->k->c->type, &j->acc, p, fresh) && j->visible)
        j->origin = *o;
}

/* The series of member m in the order in which influxd joins them. */
static uint32_t series_at(const struct reducer *k, const struct tsm_agg_member *m, uint32_t i)
{
    return k->descending ? m->n - 1 - i : i;
}

/* Joins the points of the series of one shard. */
static void join_series(struct reducer *k, const struct tsm_agg_member *m, struct level *to)
{
    struct joining j = {.k = k, .to = to, .visible = k->c->visible};
    struct tsm_merge_input *in = tsm_realloc_array(NULL, m->n, sizeof *in);
    struct tsm_agg_part *parts = tsm_realloc_array(NULL, m->n, sizeof *parts);
    size_t total = 0;
    for (uint32_t i = 0; i < m->n; i++) {
        parts[i] = tsm_agg_part(k->w, m, series_at(k, m, i), k->call);
        in[i] = (struct tsm_merge_input){parts[i].t, parts[i].n};
        total += parts[i].n;
    }
    struct tsm_row_ref *order = tsm_realloc_array(NULL, total + 1, sizeof *order);
    tsm_merge_windows(in, m->n, k->descending, order);
    for (size_t i = 0; i < total; i++) {
        struct tsm_row_ref ref = order[i];
        const struct tsm_agg_part *part = &parts[ref.input];
        struct tsm_agg_origin o = {m->unit, m->from + series_at(k, m, ref.input), part->p[ref.row].x.t};
        join_add(&j, part->t[ref.row], &part->p[ref.row], &o);
    }
    join_flush(&j);
    tsm_free(order);
    tsm_free(parts);
    tsm_free(in);
}

struct tie { /* inputs that are series of a member, compared by their tags */
    const struct reducer *k;
    const struct tsm_agg_member *m;
    bool descending;
};

static bool tags_less(void *ctx, struct tsm_row_ref x, struct tsm_row_ref y)
{
    const struct tie *tie = ctx;
    const struct tsm_run *r = tie->k->w->a->r;
    const struct tsm_unit *u = tie->m->unit;
    for (size_t a = 0; a < r->shape->naux && r->shape->aux[a].type == TSM_DATA_TAG; a++) {
        uint32_t sx = tie->descending ? tie->m->n - 1 - x.input : x.input;
        uint32_t sy = tie->descending ? tie->m->n - 1 - y.input : y.input;
        struct tsm_str vx = u->values[(size_t)(tie->m->from + sx) * r->plan->ntags + r->shape->aux[a].index];
        struct tsm_str vy = u->values[(size_t)(tie->m->from + sy) * r->plan->ntags + r->shape->aux[a].index];
        if (vx.n == 0 || vy.n == 0)
            return false;
        int c = tsm_str_cmp(vx, vy);
        if (c)
            return tie->descending ? c > 0 : c < 0;
    }
    return false;
}

/* first() and last() over everything: influxd asks for two rows of the sorted merge, and takes the better
 * one. */
static void join_ends(struct reducer *k, const struct tsm_agg_member *m, struct level *to)
{
    bool last = k->c->call->fn == TSM_FN_LAST;
    struct joining j = {.k = k, .to = to, .visible = k->c->visible};
    struct tie tie = {k, m, last};
    struct tsm_merge_input *in = tsm_realloc_array(NULL, m->n, sizeof *in);
    size_t total = 0;
    for (uint32_t i = 0; i < m->n; i++) {
        struct tsm_agg_part part = tsm_agg_part(k->w, m, last ? m->n - 1 - i : i, k->call);
        in[i] = (struct tsm_merge_input){part.t, part.n};
        total += part.n;
    }
    struct tsm_row_ref *order = tsm_realloc_array(NULL, total + 1, sizeof *order);
    tsm_merge_rows(in, m->n, last, k->w->a->r->shape->naux ? tags_less : NULL, &tie, order);
    for (size_t i = 0; i < total && i < 2; i++) {
        uint32_t s = last ? m->n - 1 - order[i].input : order[i].input;
        struct tsm_agg_part part = tsm_agg_part(k->w, m, s, k->call);
        struct tsm_agg_origin o = {m->unit, m->from + s, part.t[order[i].row]};
        join_add(&j, TSM_TIME_MIN, &part.p[order[i].row], &o);
    }
    join_flush(&j);
    tsm_free(order);
    tsm_free(in);
}

/* Joins the levels below to one. */
static struct level join_levels(struct reducer *k, struct level *below, size_t n)
{
    struct level to = {0};
    struct joining j = {.k = k, .to = &to, .visible = k->c->visible};
    struct tsm_merge_input *in = tsm_realloc_array(NULL, n, sizeof *in);
    size_t total = 0;
    for (size_t i = 0; i < n; i++) {
        total += below[i].n;
        if (k->descending) /* the merge wants them ascending */
            for (size_t a = 0, b = below[i].n; a + 1 < b; a++) {
                b--;
                int64_t t = below[i].t[a];
                below[i].t[a] = below[i].t[b];
                below[i].t[b] = t;
            }
        in[i] = (struct tsm_merge_input){below[i].t, below[i].n};
    }
    struct tsm_row_ref *order = tsm_realloc_array(NULL, total + 1, sizeof *order);
    tsm_merge_windows(in, n, k->descending, order);
    for (size_t i = 0; i < total; i++) {
        struct level *l = &below[order[i].input];
        size_t row = k->descending ? l->n - 1 - order[i].row : order[i].row;
        join_add(&j, l->t[order[i].row], &l->p[row], l->o ? &l->o[row] : NULL);
    }
    join_flush(&j);
    tsm_free(order);
    tsm_free(in);
    for (size_t i = 0; i < n; i++)
        level_release(&below[i]);
    return to;
}

static void emit_level(struct reducer *k, const struct level *l)
{
    const struct tsm_agg_call *c = k->c;
    bool own_time = k->w->a->r->shape->selector && k->w->a->r->c->interval == 0;
    for (size_t i = 0; i < l->n; i++)
        add_result(k, own_time ? l->p[i].x.t : shown_time(k, l->t[i]),
                   tsm_fold_value(c->call->fn, c->type, &l->p[i]), l->o ? &l->o[i] : NULL);
}

/* Series, shards, sources: as many levels as influxd has, because a mean is rounded at each. */
static void reduce_points(struct reducer *k)
{
    const struct tsm_agg_member *m = k->w->members;
    size_t nsources = 0, nshards;
    struct level *sources = tsm_calloc(k->to - k->from, sizeof *sources);
    struct level *shards = tsm_calloc(k->to - k->from, sizeof *shards);
    for (size_t i = k->from; i < k->to; i += nshards) {
        unsigned source = m[i].unit->source;
        for (nshards = 0; i + nshards < k->to && m[i + nshards].unit->source == source; nshards++) {
            shards[nshards] = (struct level){0};
            if (k->c->method == TSM_AGG_ENDS)
                join_ends(k, &m[i + nshards], &shards[nshards]);
            else
                join_series(k, &m[i + nshards], &shards[nshards]);
        }
        sources[nsources] = join_levels(k, shards, nshards);
        if (k->w->a->r->c->stmt->sources[source].regex)
            sources[nsources] = join_levels(k, &sources[nsources], 1);
        nsources++;
    }
    struct level all = join_levels(k, sources, nsources);
    emit_level(k, &all);
    level_release(&all);
    tsm_free(shards);
    tsm_free(sources);
}

static const struct tsm_agg_dense *dense_of(const struct tsm_agg_wave *w, size_t member, size_t task,
                                            size_t call)
{
    const struct tsm_agg_task *t = &w->tasks[task];
    return &t->dense[(member - t->first_member) * w->a->ncalls + call];
}

static bool is_dense(const struct reducer *k)
{
    size_t task = k->w->members[k->from].base / k->w->per;
    return dense_of(k->w, k->from, task, k->call)->p != NULL;
}

static void reduce_dense(struct reducer *k)
{
    const struct tsm_agg_wave *w = k->w;
    const struct tsm_agg_call *c = k->c;
    struct tsm_point *acc = tsm_realloc_array(NULL, w->nwindows + 1, sizeof *acc);
    uint8_t *present = tsm_calloc(w->nwindows + 1, 1);
    memset(acc, 0, w->nwindows * sizeof *acc);
    for (size_t m = k->from; m < k->to; m++) {
        const struct tsm_agg_member *mb = &w->members[m];
        for (size_t t = mb->base / w->per; t <= (mb->base + mb->n - 1) / w->per; t++) {
            const struct tsm_agg_dense *d = dense_of(w, m, t, k->call);
            for (size_t i = 0; i < w->nwindows; i++) {
                if (!d->present[i])
                    continue;
                tsm_join(c->call->fn, c->type, &acc[i], &d->p[i], !present[i]);
                present[i] = 1;
            }
        }
    }
    bool own_time = w->a->r->shape->selector && w->a->r->c->interval == 0;
    for (size_t x = 0; x < w->nwindows; x++) {
        size_t i = k->descending ? w->nwindows - 1 - x : x;
        if (!present[i])
            continue;
        int64_t t = own_time ? acc[i].x.t : shown_time(k, w->base + (int64_t)i * w->a->r->c->interval);
        add_result(k, t, tsm_fold_value(c->call->fn, c->type, &acc[i]), NULL);
    }
    tsm_free(present);
    tsm_free(acc);
}

/* ---- values
 * ------------------------------------------------------------------------------------------------- */

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
static size_t distinct(const struct reducer *k, struct tsm_value_item *a, size_t n)
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
static bool reduce_run(struct reducer *k, const struct ordered *o, int64_t window, struct tsm_value_item *a,
                       size_t n)
{
    const struct tsm_agg_call *c = k->c;
    int64_t t = shown_time(k, window);
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
            add_result(k, t, v, &origin);
            return true;
        }
        break;
    case TSM_FN_COUNT:
        v.i = (int64_t)distinct(k, a, n);
        break;
    default:
        n = distinct(k, a, n);
        for (size_t i = 0; i < n; i++)
            add_result(k, t, a[i].v, NULL);
        return true;
    }
    add_result(k, t, v, NULL);
    return true;
}

/* Cuts what is in order by time into intervals. */
static void reduce_ordered(struct reducer *k, struct ordered *o)
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
static void collect_ordered(struct reducer *k, struct ordered *o, bool merged)
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
        struct tie tie = {k, m, k->descending};
        struct tsm_row_ref *order = tsm_realloc_array(NULL, n + 1, sizeof *order);
        if (merged) {
            tsm_merge_rows(in, m->n, k->descending, k->w->a->r->shape->naux ? tags_less : NULL, &tie, order);
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
static void reduce_plain(struct reducer *k, int64_t window, union tsm_num *v, size_t n)
{
    size_t at;
    if (k->c->call->fn == TSM_FN_MEDIAN) {
        add_result(k, shown_time(k, window), median(v, n, k->c->type), NULL);
    } else if (percentile_at(n, k->c->call->percentile, &at)) {
        tsm_select_value(v, n, at, k->c->type);
        add_result(k, shown_time(k, window), v[at], NULL);
    } else {
        k->out->gaps = true;
        k->out->gap_first = k->out->gap_first || k->out->n == 0;
        if (k->out->gap_at == SIZE_MAX)
            k->out->gap_at = k->out->n;
    }
}

static void reduce_all_plain(struct reducer *k)
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

static void reduce_values(struct reducer *k)
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

int tsm_agg_reduce(const struct tsm_agg_wave *w, size_t from, size_t to, struct tsm_agg_group *g,
                   struct tsm_err *err)
{
    *g = (struct tsm_agg_group){0};
    g->results = tsm_calloc(w->a->ncalls, sizeof *g->results);
    for (size_t c = 0; c < w->a->ncalls; c++) {
        struct reducer k = {
            .w = w, .c = &w->a->calls[c], .call = c, .from = from, .to = to, .out = &g->results[c]};
        k.descending = w->a->r->c->descending;
        k.err = err;
        k.out->gap_at = SIZE_MAX;
        switch (k.c->method) {
        case TSM_AGG_NONE:
            break;
        case TSM_AGG_VALUES:
            reduce_values(&k);
            break;
        default:
            if (is_dense(&k))
                reduce_dense(&k);
            else
                reduce_points(&k);
            break;
        }
    }
    return TSM_OK;
}

void tsm_agg_group_release(const struct tsm_agg *a, struct tsm_agg_group *g)
{
    for (size_t c = 0; g->results && c < a->ncalls; c++) {
        tsm_free(g->results[c].t);
        tsm_free(g->results[c].v);
        tsm_free(g->results[c].origins);
    }
    tsm_free(g->results);
    *g = (struct tsm_agg_group){0};
}
