/*
 * query/aggregate_points.c: the functions that fold: points of series joined to points of a shard, of all
 * shards, of all sources. There are as many levels as influxd has, because a mean is rounded at each.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "base/sort.h"
#include "base/time.h"
#include "query/aggregate.h"
#include "base/banned.h"

void tsm_agg_add_result(struct tsm_agg_reducer *k, int64_t t, union tsm_num v, const struct tsm_agg_origin *o)
{
    struct tsm_agg_result *r = k->out;
    if (r->n == r->cap) {
        r->cap = r->cap ? 2 * r->cap : 4;
        r->t = tsm_realloc_array(r->t, r->cap, sizeof *r->t);
        r->v = tsm_realloc_array(r->v, r->cap, sizeof *r->v);
        if (o)
            r->origins = tsm_realloc_array(r->origins, r->cap, sizeof *r->origins);
        if (r->skipped)
            r->skipped = tsm_realloc_array(r->skipped, r->cap, sizeof *r->skipped);
    }
    if (r->gaps && !r->skipped)
        r->skipped = tsm_calloc(r->cap, sizeof *r->skipped);
    if (r->skipped)
        r->skipped[r->n] = (uint32_t)r->gaps;
    r->t[r->n] = t;
    r->v[r->n] = v;
    if (o)
        r->origins[r->n] = *o;
    r->n++;
    r->gaps = 0;
}

/* Without intervals the time is the start of the range; 1970 when it has none. */
int64_t tsm_agg_shown_time(const struct tsm_agg_reducer *k, int64_t window)
{
    const struct tsm_compiled *c = k->w->a->r->c;
    int64_t t = c->interval ? window : c->tmin;
    return t == TSM_TIME_MIN ? 0 : t;
}

static void level_add(struct tsm_agg_level *l, int64_t t, const struct tsm_partial *p,
                      const struct tsm_agg_origin *o)
{
    if (l->n == l->cap) {
        l->cap = l->cap ? 2 * l->cap : 1; /* usually there is one */
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

static void level_release(struct tsm_agg_level *l)
{
    tsm_free(l->t);
    tsm_free(l->p);
    tsm_free(l->o);
    *l = (struct tsm_agg_level){0};
}

/* ---- joining ----------------------------------------------------------------------------------- */

/* One point that is being joined from several. */
struct joining {
    const struct tsm_agg_call *c;
    struct tsm_agg_level *to;
    struct tsm_partial acc;
    struct tsm_agg_origin origin;
    int64_t window;
    bool any;
};

static void join_flush(struct joining *j)
{
    if (!j->any)
        return;
    tsm_join_end(j->c->fn, &j->acc);
    level_add(j->to, j->window, &j->acc, j->c->visible ? &j->origin : NULL);
    j->any = false;
}

static void join_add(struct joining *j, int64_t window, const struct tsm_partial *p,
                     const struct tsm_agg_origin *o)
{
    if (j->any && window != j->window)
        join_flush(j);
    bool fresh = !j->any;
    if (fresh) {
        tsm_join_begin(j->c->fn, &j->acc);
        j->window = window;
        j->any = true;
    }
    if (tsm_join(j->c->fn, j->c->type, &j->acc, p, fresh) && j->c->visible)
        j->origin = *o;
}

/* The order in which the points of the series of a shard are joined; kept, because the calls of a statement mostly have points
 * for the same intervals. */
struct series_order {
    struct tsm_merge_input *in;
    struct tsm_row_ref *refs;
    size_t n;
};

static void series_order_release(struct series_order *o)
{
    tsm_free(o->in);
    tsm_free(o->refs);
    *o = (struct series_order){0};
}

static bool same_inputs(const struct tsm_merge_input *x, const struct tsm_merge_input *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (x[i].n != y[i].n || (x[i].n && memcmp(x[i].t, y[i].t, x[i].n * sizeof *x[i].t) != 0))
            return false;
    return true;
}

static void order_series(struct series_order *o, struct tsm_merge_input *in, size_t n, bool descending,
                         struct tsm_query_control *control)
{
    if (o->in && same_inputs(o->in, in, n)) {
        tsm_free(in);
        return;
    }
    series_order_release(o);
    for (size_t i = 0; i < n; i++)
        o->n += in[i].n;
    o->in = in;
    o->refs = tsm_realloc_array(NULL, o->n + 1, sizeof *o->refs);
    tsm_merge_windows(in, n, descending, o->refs, control);
}

/* Joins the points of the series of one shard. */
static void join_series(const struct tsm_agg_wave *w, const struct tsm_agg_member *m, size_t call,
                        struct series_order *order, struct tsm_agg_level *to)
{
    bool descending = w->a->r->c->descending;
    struct joining j = {.c = &w->a->calls[call], .to = to};
    struct tsm_merge_input *in = tsm_realloc_array(NULL, m->n, sizeof *in);
    struct tsm_agg_part *parts = tsm_realloc_array(NULL, m->n, sizeof *parts);
    for (uint32_t i = 0; i < m->n; i++) {
        parts[i] = tsm_agg_part(w, m, descending ? m->n - 1 - i : i, call);
        in[i] = (struct tsm_merge_input){parts[i].t, parts[i].n};
    }
    order_series(order, in, m->n, descending, w->a->r->plan->control);
    for (size_t i = 0; i < order->n; i++) {
        struct tsm_row_ref ref = order->refs[i];
        const struct tsm_agg_part *part = &parts[ref.input];
        uint32_t series = descending ? m->n - 1 - ref.input : ref.input;
        struct tsm_agg_origin o = {m->unit, m->from + series, part->p[ref.row].x.t, 0};
        join_add(&j, part->t[ref.row], &part->p[ref.row], &o);
    }
    join_flush(&j);
    tsm_free(parts);
}

void tsm_agg_ties_init(struct tsm_agg_ties *t, const struct tsm_run *r, bool descending)
{
    *t = (struct tsm_agg_ties){.r = r, .descending = descending};
}

void tsm_agg_ties_release(struct tsm_agg_ties *t)
{
    for (size_t i = 0; i < 2; i++)
        if (t->cursors[i].scan)
            tsm_cursor_release(&t->cursors[i]);
}

/* A tag of the series, or a field of it at the point's time. False when there is none. */
static bool aux_string(struct tsm_agg_ties *t, const struct tsm_aux *a, const struct tsm_agg_origin *o,
                       struct tsm_cursor *c, struct tsm_str *s)
{
    const struct tsm_plan *p = t->r->plan;
    if (a->type == TSM_DATA_TAG) {
        *s = o->unit->values[o->series * p->ntags + a->index];
        return s->n != 0;
    }
    uint32_t key = o->unit->keys[o->series * p->nfields + a->index];
    if (key == TSM_NO_KEY)
        return false;
    if (!c->scan)
        tsm_cursor_init(c);
    if (tsm_cursor_start(c, o->unit->shard, key, TSM_VEC_STRING, o->t, o->t, NULL) || c->n == 0)
        return false; /* an error shows when the field is read for the answer */
    *s = c->v.s[0];
    return true;
}

bool tsm_agg_ties_less(struct tsm_agg_ties *t, const struct tsm_agg_origin *x, const struct tsm_agg_origin *y)
{
    const struct tsm_shape *s = t->r->shape;
    for (size_t i = 0; i < s->naux; i++) {
        const struct tsm_aux *a = &s->aux[i];
        struct tsm_str sx, sy;
        if (a->vec != TSM_VEC_STRING || a->index == SIZE_MAX || !aux_string(t, a, x, &t->cursors[0], &sx) ||
            !aux_string(t, a, y, &t->cursors[1], &sy))
            return false;
        int c = tsm_str_cmp(sx, sy);
        if (c)
            return t->descending ? c > 0 : c < 0;
    }
    return false;
}

struct tie { /* the series of m, as inputs of a merge */
    struct tsm_agg_ties ties;
    const struct tsm_agg_member *m;
    const struct tsm_merge_input *in;
};

static struct tsm_agg_origin origin_of(const struct tie *tie, struct tsm_row_ref ref)
{
    uint32_t s = tie->ties.descending ? tie->m->n - 1 - ref.input : ref.input;
    return (struct tsm_agg_origin){tie->m->unit, tie->m->from + s, tie->in[ref.input].t[ref.row], 0};
}

static bool ends_less(void *ctx, struct tsm_row_ref x, struct tsm_row_ref y)
{
    struct tie *tie = ctx;
    struct tsm_agg_origin ox = origin_of(tie, x), oy = origin_of(tie, y);
    return tsm_agg_ties_less(&tie->ties, &ox, &oy);
}

/* first() and last() over everything: influxd asks for two rows of the sorted merge, and takes the better
 * one. */
static void join_ends(const struct tsm_agg_wave *w, const struct tsm_agg_member *m, size_t call,
                      struct tsm_agg_level *to)
{
    bool last = w->a->calls[call].fn == TSM_FN_LAST;
    struct joining j = {.c = &w->a->calls[call], .to = to};
    struct tie tie = {.m = m};
    struct tsm_merge_input *in = tsm_realloc_array(NULL, m->n, sizeof *in);
    size_t total = 0;
    for (uint32_t i = 0; i < m->n; i++) {
        struct tsm_agg_part part = tsm_agg_part(w, m, last ? m->n - 1 - i : i, call);
        in[i] = (struct tsm_merge_input){part.t, part.n};
        total += part.n;
    }
    struct tsm_row_ref *order = tsm_realloc_array(NULL, total + 1, sizeof *order);
    tsm_agg_ties_init(&tie.ties, w->a->r, last);
    tie.in = in;
    tsm_merge_rows(in, m->n, last, w->a->r->shape->naux ? ends_less : NULL, &tie, order,
                   w->a->r->plan->control);
    tsm_agg_ties_release(&tie.ties);
    for (size_t i = 0; i < total && i < 2; i++) {
        uint32_t s = last ? m->n - 1 - order[i].input : order[i].input;
        struct tsm_agg_part part = tsm_agg_part(w, m, s, call);
        struct tsm_agg_origin o = {m->unit, m->from + s, part.t[order[i].row], 0};
        join_add(&j, TSM_TIME_MIN, &part.p[order[i].row], &o);
    }
    join_flush(&j);
    tsm_free(order);
    tsm_free(in);
}

static bool joins(const struct tsm_agg_wave *w, size_t call)
{
    const struct tsm_agg_call *c = &w->a->calls[call];
    bool points = c->method == TSM_AGG_FOLD || c->method == TSM_AGG_ENDS;
    return points && w->ntasks && !w->tasks[0].dense[call].p;
}

/* ---- families of members ----------------------------------------------------------------------- */

static int compare_members(const void *x, const void *y, void *ctx)
{
    const struct tsm_agg_wave *w = ctx;
    size_t a = *(const size_t *)x, b = *(const size_t *)y;
    const struct tsm_agg_member *m = &w->members[a], *n = &w->members[b];
    if (m->answer != n->answer)
        return m->answer < n->answer ? -1 : 1;
    if (m->unit != n->unit)
        return m->unit < n->unit ? -1 : 1;
    return a < b ? -1 : a > b;
}

/* Whether it can be seen that influxd merges all groups of an answer together: their series, or their points from shards. */
static bool merges_groups(const struct tsm_agg *a, bool shards)
{
    const struct tsm_plan *p = a->r->plan;
    bool ordered = false, several = false;
    for (size_t c = 0; c < a->ncalls; c++)
        ordered = ordered || (a->calls[c].method == TSM_AGG_FOLD &&
                              tsm_function_needs_order(a->calls[c].fn, a->calls[c].type, false));
    for (size_t u = 0; u < p->nunits && !several; u++)
        for (size_t s = 0; s < p->units[u].nsets && !several; s++)
            several = p->units[u].sets[s].to - p->units[u].sets[s].from > 1;
    return (p->grouped && a->r->shape->naux) || (p->outer && ordered && (several || shards));
}

bool tsm_agg_together(const struct tsm_agg *a)
{
    return merges_groups(a, a->r->plan->nunits > 2);
}

static void find_families(struct tsm_agg_wave *w)
{
    size_t n = w->nmembers;
    w->family_members = tsm_realloc_array(NULL, n + 1, sizeof *w->family_members);
    w->families = tsm_calloc(n + 1, sizeof *w->families);
    for (size_t i = 0; i < n; i++)
        w->family_members[i] = i;
    bool together = merges_groups(w->a, false);
    if (together)
        qsort_r(w->family_members, n, sizeof *w->family_members, compare_members, w);
    for (size_t i = 0; i < n; i++) {
        const struct tsm_agg_member *m = &w->members[w->family_members[i]];
        const struct tsm_agg_member *last = i ? &w->members[w->family_members[i - 1]] : NULL;
        if (!together || !last || last->answer != m->answer || last->unit != m->unit)
            w->families[w->nfamilies++].members = &w->family_members[i];
        w->families[w->nfamilies - 1].n++;
    }
}

struct relative { /* a series of a family */
    struct tsm_str key;
    size_t member; /* of the family */
    uint32_t series;
};

static int compare_relatives(const void *x, const void *y)
{
    const struct relative *a = x, *b = y;
    return tsm_str_cmp(a->key, b->key);
}

static struct relative *list_relatives(const struct tsm_agg_wave *w, const struct tsm_agg_family *f,
                                       size_t *n)
{
    struct relative *all = NULL;
    size_t cap = 0;
    *n = 0;
    for (size_t i = 0; i < f->n; i++) {
        const struct tsm_agg_member *m = &w->members[f->members[i]];
        TSM_GROW(all, *n + m->n, cap);
        for (uint32_t s = 0; s < m->n; s++)
            all[(*n)++] = (struct relative){tsm_plan_series_key(m->unit, &m->unit->series[m->from + s]), i,
                                            s};
    }
    tsm_sort(all, *n, sizeof *all, compare_relatives);
    for (size_t i = 0; i < *n / 2 && w->a->r->c->descending; i++) {
        struct relative t = all[i];
        all[i] = all[*n - 1 - i];
        all[*n - 1 - i] = t;
    }
    return all;
}

/* As join_series(), but the members' points are joined in the order in which those of the whole family come. */
static void join_family(const struct tsm_agg_wave *w, const struct tsm_agg_family *f, size_t call)
{
    size_t n, total = 0;
    struct relative *all = list_relatives(w, f, &n);
    struct joining *j = tsm_calloc(f->n, sizeof *j);
    struct tsm_merge_input *in = tsm_realloc_array(NULL, n + 1, sizeof *in);
    struct tsm_agg_part *parts = tsm_realloc_array(NULL, n + 1, sizeof *parts);
    for (size_t i = 0; i < f->n; i++)
        j[i] = (struct joining){.c = &w->a->calls[call],
                                .to = &w->levels[f->members[i] * w->a->ncalls + call]};
    for (size_t i = 0; i < n; i++) {
        parts[i] = tsm_agg_part(w, &w->members[f->members[all[i].member]], all[i].series, call);
        in[i] = (struct tsm_merge_input){parts[i].t, parts[i].n};
        total += parts[i].n;
    }
    struct tsm_row_ref *order = tsm_realloc_array(NULL, total + 1, sizeof *order);
    tsm_merge_windows(in, n, w->a->r->c->descending, order, w->a->r->plan->control);
    for (size_t i = 0; i < total; i++) {
        struct tsm_row_ref ref = order[i];
        const struct relative *from = &all[ref.input];
        const struct tsm_agg_member *m = &w->members[f->members[from->member]];
        const struct tsm_partial *p = &parts[ref.input].p[ref.row];
        struct tsm_agg_origin o = {m->unit, m->from + from->series, p->x.t, 0};
        join_add(&j[from->member], parts[ref.input].t[ref.row], p, &o);
    }
    for (size_t i = 0; i < f->n; i++)
        join_flush(&j[i]);
    tsm_free(order);
    tsm_free(parts);
    tsm_free(in);
    tsm_free(j);
    tsm_free(all);
}

static int join_task(void *ctx, size_t number, unsigned thread, void **slot, struct tsm_err *err)
{
    struct tsm_agg_wave *w = ctx;
    const struct tsm_agg_family *f = &w->families[number];
    size_t member = f->members[0];
    (void)thread;
    (void)slot;
    struct series_order order = {0};
    int code = TSM_OK;
    for (size_t c = 0; c < w->a->ncalls && !code; c++) {
        struct tsm_agg_level *to = &w->levels[member * w->a->ncalls + c];
        if (!joins(w, c))
            continue;
        if (f->n > 1 && w->a->calls[c].method == TSM_AGG_FOLD)
            join_family(w, f, c);
        else if (w->a->calls[c].method == TSM_AGG_ENDS)
            for (size_t i = 0; i < f->n; i++)
                join_ends(w, &w->members[f->members[i]], c, &w->levels[f->members[i] * w->a->ncalls + c]);
        else
            join_series(w, &w->members[member], c, &order, to);
        code = tsm_control_check(w->a->r->plan->control, 0, err); /* what ended early is in no order */
    }
    series_order_release(&order);
    return code;
}

/* ---- all groups of a wave ---------------------------------------------------------------------- */

int tsm_agg_join(struct tsm_agg_wave *w, struct tsm_err *err)
{
    size_t ncalls = w->a->ncalls;
    bool any = false;
    for (size_t c = 0; c < ncalls; c++)
        any = any || joins(w, c);
    w->levels = tsm_calloc(w->nmembers * ncalls + 1, sizeof *w->levels);
    w->orders = tsm_calloc(ncalls, sizeof *w->orders);
    if (!any)
        return TSM_OK;
    find_families(w);
    struct tsm_parallel p = {.jobs = w->a->r->jobs, .tasks = w->nfamilies, .ctx = w, .work = join_task};
    int code = tsm_parallel_run(&p, err);
    for (size_t c = 0; c < ncalls && !code; c++) {
        const struct tsm_agg_call *k = &w->a->calls[c];
        if (joins(w, c) && w->a->r->plan->nunits > 2 && k->method == TSM_AGG_FOLD &&
            tsm_function_needs_order(k->fn, k->type, false))
            tsm_agg_order_call(w, c);
    }
    return code ? code : tsm_control_check(w->a->r->plan->control, 0, err);
}

/* ---- one group --------------------------------------------------------------------------------- */

/* Joins n levels to one. */
static struct tsm_agg_level join_levels(const struct tsm_agg_reducer *k, const struct tsm_agg_level *below,
                                        size_t n)
{
    struct tsm_agg_level to = {0};
    struct joining j = {.c = k->c, .to = &to};
    struct tsm_merge_input *in = tsm_realloc_array(NULL, n, sizeof *in);
    int64_t **backwards = tsm_calloc(n, sizeof *backwards); /* the merge wants ascending times */
    size_t total = 0;
    for (size_t i = 0; i < n; i++) {
        in[i] = (struct tsm_merge_input){below[i].t, below[i].n};
        total += below[i].n;
        if (!k->descending)
            continue;
        backwards[i] = tsm_realloc_array(NULL, below[i].n + 1, sizeof **backwards);
        for (size_t x = 0; x < below[i].n; x++)
            backwards[i][x] = below[i].t[below[i].n - 1 - x];
        in[i].t = backwards[i];
    }
    struct tsm_row_ref *order = tsm_realloc_array(NULL, total + 1, sizeof *order);
    tsm_merge_windows(in, n, k->descending, order, k->w->a->r->plan->control);
    for (size_t i = 0; i < total; i++) {
        const struct tsm_agg_level *l = &below[order[i].input];
        size_t row = k->descending ? l->n - 1 - order[i].row : order[i].row;
        join_add(&j, l->t[row], &l->p[row], l->o ? &l->o[row] : NULL);
    }
    join_flush(&j);
    tsm_free(order);
    for (size_t i = 0; i < n; i++)
        tsm_free(backwards[i]);
    tsm_free(backwards);
    tsm_free(in);
    return to;
}

/* Joins the shards of a source, members [from, to). */
static struct tsm_agg_level join_shards(const struct tsm_agg_reducer *k, size_t from, size_t to)
{
    const struct tsm_agg_wave *w = k->w;
    size_t ncalls = w->a->ncalls;
    struct tsm_agg_level out = {0};
    const struct tsm_agg_order *order = &w->orders[k->call];
    if (order->refs && order->from[from] != SIZE_MAX) {
        struct joining j = {.c = k->c, .to = &out};
        size_t total = 0;
        for (size_t m = from; m < to; m++)
            total += w->levels[m * ncalls + k->call].n;
        for (size_t i = 0; i < total; i++) {
            struct tsm_row_ref ref = order->refs[order->from[from] + i];
            const struct tsm_agg_level *l = &w->levels[ref.input * ncalls + k->call];
            join_add(&j, l->t[ref.row], &l->p[ref.row], l->o ? &l->o[ref.row] : NULL);
        }
        join_flush(&j);
        return out;
    }
    struct tsm_agg_level *shards = tsm_realloc_array(NULL, to - from, sizeof *shards);
    for (size_t m = from; m < to; m++)
        shards[m - from] = w->levels[m * ncalls + k->call];
    out = join_levels(k, shards, to - from);
    tsm_free(shards);
    return out;
}

static void emit_level(struct tsm_agg_reducer *k, const struct tsm_agg_level *l)
{
    const struct tsm_agg_call *c = k->c;
    for (size_t i = 0; i < l->n; i++)
        tsm_agg_add_result(k, c->own_time ? l->p[i].x.t : tsm_agg_shown_time(k, l->t[i]),
                           tsm_fold_value(c->fn, c->type, &l->p[i]), l->o ? &l->o[i] : NULL);
}

static void reduce_joined(struct tsm_agg_reducer *k)
{
    const struct tsm_agg_member *m = k->w->members;
    size_t nsources = 0;
    struct tsm_agg_level *sources = tsm_calloc(k->to - k->from, sizeof *sources);
    for (size_t i = k->from, end; i < k->to; i = end) {
        unsigned source = m[i].unit->source;
        for (end = i; end < k->to && m[end].unit->source == source; end++)
            ;
        sources[nsources] = join_shards(k, i, end);
        if (k->w->a->r->c->stmt->sources[source].regex) {
            struct tsm_agg_level once_more = join_levels(k, &sources[nsources], 1);
            level_release(&sources[nsources]);
            sources[nsources] = once_more;
        }
        nsources++;
    }
    struct tsm_agg_level all = join_levels(k, sources, nsources);
    emit_level(k, &all);
    level_release(&all);
    for (size_t i = 0; i < nsources; i++)
        level_release(&sources[i]);
    tsm_free(sources);
}

static const struct tsm_agg_dense *dense_of(const struct tsm_agg_wave *w, size_t member, size_t task,
                                            size_t call)
{
    const struct tsm_agg_task *t = &w->tasks[task];
    return &t->dense[(member - t->first_member) * w->a->ncalls + call];
}

static void reduce_dense(struct tsm_agg_reducer *k)
{
    const struct tsm_agg_wave *w = k->w;
    const struct tsm_agg_call *c = k->c;
    struct tsm_partial *acc = tsm_calloc(w->nwindows + 1, sizeof *acc);
    uint8_t *present = tsm_calloc(w->nwindows + 1, 1);
    for (size_t m = k->from; m < k->to; m++) {
        const struct tsm_agg_member *mb = &w->members[m];
        for (size_t t = mb->base / w->per; t <= (mb->base + mb->n - 1) / w->per; t++) {
            const struct tsm_agg_dense *d = dense_of(w, m, t, k->call);
            for (size_t i = 0; i < w->nwindows; i++) {
                if (!d->present[i])
                    continue;
                struct tsm_partial p = d->p[i];
                tsm_join_end(c->fn, &p);
                tsm_join(c->fn, c->type, &acc[i], &p, !present[i]);
                present[i] = 1;
            }
        }
    }
    for (size_t x = 0; x < w->nwindows; x++) {
        size_t i = k->descending ? w->nwindows - 1 - x : x;
        if (!present[i])
            continue;
        tsm_join_end(c->fn, &acc[i]);
        int64_t t = c->own_time ? acc[i].x.t
                                : tsm_agg_shown_time(k, w->base + (int64_t)i * w->a->r->c->interval);
        tsm_agg_add_result(k, t, tsm_fold_value(c->fn, c->type, &acc[i]), NULL);
    }
    tsm_free(present);
    tsm_free(acc);
}

/* The rows of subqueries are one series for each source; their points are joined once. */
static void reduce_subqueries(struct tsm_agg_reducer *k)
{
    const struct tsm_agg_call *c = k->c;
    const struct tsm_agg_member *m = &k->w->members[k->from];
    struct tsm_agg_level *sources = tsm_calloc(m->n, sizeof *sources);
    size_t n = 0;
    for (uint32_t s = 0; s < m->n; s++) {
        struct tsm_agg_part part = tsm_agg_part(k->w, m, s, k->call);
        for (uint32_t i = 0; i < part.n; i++) {
            struct tsm_partial p = part.p[i];
            tsm_fold_finish(c->fn, c->type, &p);
            struct tsm_agg_origin o = {m->unit, s, p.x.t, i};
            level_add(&sources[n], part.t[i], &p, c->visible ? &o : NULL);
        }
        n += part.n > 0; /* influxd leaves out those that have nothing */
    }
    struct tsm_agg_level all = join_levels(k, sources, n);
    emit_level(k, &all);
    level_release(&all);
    for (size_t i = 0; i < n; i++)
        level_release(&sources[i]);
    tsm_free(sources);
}

void tsm_agg_reduce_points(struct tsm_agg_reducer *k)
{
    if (k->w->members[k->from].unit->level)
        reduce_subqueries(k);
    else if (joins(k->w, k->call))
        reduce_joined(k);
    else
        reduce_dense(k);
}

static int reduce_call(struct tsm_agg_reducer *k, struct tsm_err *err)
{
    int code = TSM_OK;
    k->out->broken_at = k->out->first_gap = SIZE_MAX;
    if (k->c->method == TSM_AGG_VALUES)
        code = tsm_agg_reduce_values(k, err);
    else if (k->c->method != TSM_AGG_NONE)
        tsm_agg_reduce_points(k);
    if (!code && k->c->call->nsteps && k->c->fn != TSM_FN_RAW)
        code = tsm_agg_transform(k, err);
    return code;
}

int tsm_agg_reduce(const struct tsm_agg_wave *w, size_t from, size_t to, struct tsm_agg_group *g,
                   struct tsm_err *err)
{
    int code = TSM_OK;
    g->results = tsm_calloc(w->a->ncalls, sizeof *g->results);
    for (size_t c = 0; c < w->a->ncalls && !code; c++) {
        struct tsm_agg_reducer k = {w, &w->a->calls[c], c, from, to, &g->results[c], w->a->r->c->descending};
        code = reduce_call(&k, err);
    }
    return code;
}

void tsm_agg_result_release(struct tsm_agg_result *r)
{
    tsm_free(r->t);
    tsm_free(r->v);
    tsm_free(r->origins);
    tsm_free(r->skipped);
    *r = (struct tsm_agg_result){0};
}

void tsm_agg_group_release(const struct tsm_agg *a, struct tsm_agg_group *g)
{
    for (size_t c = 0; g->results && c < a->ncalls; c++)
        tsm_agg_result_release(&g->results[c]);
    tsm_free(g->results);
    *g = (struct tsm_agg_group){0};
}
