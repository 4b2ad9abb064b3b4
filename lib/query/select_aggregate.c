/*
 * query/select_aggregate.c: SELECT with functions: groups in waves that fit into memory.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "query/aggregate_rows.h"
#include "base/banned.h"

struct waves {
    struct tsm_run *r;
    struct tsm_agg_rows rows;
    uint32_t *order;               /* the plan's groups in the order of the answer */
    uint32_t *answers;             /* number of the answer that the group there is of; or NULL */
    bool *closes;                  /* the group there is the last one of an answer; NULL: all are */
    struct tsm_agg_group *pending; /* the groups since the last that does */
    const struct tsm_plan_group **pending_groups;
    size_t npending, cappending, cappending_groups;
    size_t pending_bytes;
    size_t given;  /* groups */
    bool together; /* those of one answer are read in one wave */
};

/* The dimensions that tell answers apart; NULL: all do. */
static const bool *answer_dimensions(const struct tsm_plan *p)
{
    return p->outer ? p->outer : p->grouped;
}

/* Compares the values of the dimensions that are marked. */
static int compare_marked(const struct tsm_plan *p, const bool *marks, const struct tsm_plan_group *g,
                          const struct tsm_plan_group *h)
{
    int c = 0;
    for (size_t i = 0; i < p->ndimensions && !c; i++)
        if (marks[i])
            c = tsm_str_cmp(g->tags[i].value, h->tags[i].value);
    return c;
}

static bool same_answer(const struct tsm_plan *p, const struct tsm_plan_group *g,
                        const struct tsm_plan_group *h)
{
    return tsm_str_eq(g->name, h->name) && compare_marked(p, answer_dimensions(p), g, h) == 0;
}

/* By answer, the tags of GROUP BY, then all tags; answers may descend, the groups in one do not. */
static int compare_groups(const void *x, const void *y, void *ctx)
{
    const struct waves *k = ctx;
    const struct tsm_plan *p = k->r->plan;
    uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    const struct tsm_plan_group *g = &p->groups[a], *h = &p->groups[b];
    int c = tsm_str_cmp(g->name, h->name);
    if (!c)
        c = compare_marked(p, answer_dimensions(p), g, h);
    if (c)
        return k->r->c->descending ? -c : c;
    if (p->grouped)
        c = compare_marked(p, p->grouped, g, h);
    return c ? c : a < b ? -1 : a > b;
}

static void order_groups(struct waves *k)
{
    const struct tsm_plan *p = k->r->plan;
    size_t n = p->ngroups;
    k->order = tsm_realloc_array(NULL, n + 1, sizeof *k->order);
    for (size_t i = 0; i < n; i++)
        k->order[i] = (uint32_t)(k->r->c->descending ? n - 1 - i : i);
    if (!answer_dimensions(p))
        return;
    qsort_r(k->order, n, sizeof *k->order, compare_groups, k);
    k->closes = tsm_calloc(n + 1, sizeof *k->closes);
    k->answers = tsm_calloc(n + 1, sizeof *k->answers);
    for (size_t i = 0; i < n; i++) {
        k->closes[i] = i + 1 == n || !same_answer(p, &p->groups[k->order[i]], &p->groups[k->order[i + 1]]);
        k->answers[i + 1] = k->answers[i] + k->closes[i];
    }
}

/* ---- groups on their way out --------------------------------------------------------------------------- */

static void drop_pending(struct waves *k)
{
    for (size_t i = 0; i < k->npending; i++)
        tsm_agg_group_release(&k->rows.agg, &k->pending[i]);
    k->npending = 0;
    k->pending_bytes = 0;
}

/* Takes over the results, with the texts that they refer to. */
static int keep_pending(struct waves *k, const struct tsm_plan_group *g, struct tsm_agg_group *results,
                        struct tsm_err *err)
{
    TSM_GROW(k->pending, k->npending + 1, k->cappending);
    TSM_GROW(k->pending_groups, k->npending + 1, k->cappending_groups);
    k->pending_groups[k->npending] = g;
    k->pending[k->npending++] = *results;
    for (size_t c = 0; c < k->rows.agg.ncalls; c++) {
        struct tsm_agg_result *r = &results->results[c];
        k->pending_bytes += r->n * (sizeof *r->t + sizeof *r->v + (r->origins ? sizeof *r->origins : 0));
        for (size_t i = 0; i < r->n && k->rows.agg.calls[c].call->out == TSM_VEC_STRING; i++)
            r->v[i].s = tsm_agg_rows_text(&k->rows, *r->v[i].s);
    }
    *results = (struct tsm_agg_group){0};
    /* They are put in order beside themselves. */
    return 3 * k->pending_bytes + k->rows.text.bytes > k->r->memory ? tsm_memory_error(k->r, err) : TSM_OK;
}

/* Computes anew, from all of its points, the only call of a group. */
static int untie(struct waves *k, uint32_t group, struct tsm_agg_group *results, struct tsm_err *err)
{
    struct tsm_agg_call call = k->rows.agg.calls[0];
    struct tsm_agg all = k->rows.agg;
    struct tsm_agg_wave w = {.a = &all, .most = k->r->memory / 4 * 3};
    call.best = 0;
    call.entered = false;
    call.ordered = true;
    all.calls = &call;
    tsm_agg_group_release(&all, results);
    tsm_agg_add_group(&w, group, 0);
    int code = tsm_agg_load(&w, err);
    if (!code)
        code = tsm_agg_join(&w, err);
    if (!code)
        code = tsm_agg_reduce(&w, 0, w.nmembers, results, err);
    tsm_agg_wave_release(&w);
    return code;
}

/* Gives the group at a place in the order; or keeps it until the last one of its answer comes. */
static int give_or_wait(struct waves *k, size_t place, const struct tsm_plan_group *g,
                        struct tsm_agg_group *results, struct tsm_err *err)
{
    if (results->results[0].tied) {
        int code = untie(k, k->order[place], results, err);
        if (code)
            return code;
    }
    if (!k->closes)
        return tsm_agg_rows_give(&k->rows, &g, results, 1, err);
    int code = keep_pending(k, g, results, err);
    if (!code && k->closes[place]) {
        code = tsm_agg_rows_give(&k->rows, k->pending_groups, k->pending, k->npending, err);
        drop_pending(k);
    }
    return code;
}

/* ---- waves ------------------------------------------------------------------------------------- */

struct giving {
    struct waves *k;
    struct tsm_agg_wave *w;
    size_t *starts; /* per group of the wave: its first member */
};

static int reduce_task(void *ctx, size_t number, unsigned thread, void **slot, struct tsm_err *err)
{
    struct giving *g = ctx;
    struct tsm_agg_group *out = tsm_calloc(1, sizeof *out);
    (void)thread;
    *slot = out;
    int code = tsm_control_check(g->k->r->plan->control, 0, err);
    if (!code)
        code = tsm_agg_reduce(g->w, g->starts[number], g->starts[number + 1], out, err);
    return code ? code
                : tsm_control_check(g->k->r->plan->control, 0, err); /* what ended early is no result */
}

static void drop_group(void *ctx, void *slot)
{
    struct giving *g = ctx;
    if (slot)
        tsm_agg_group_release(&g->k->rows.agg, slot);
    tsm_free(slot);
}

static int give_task(void *ctx, size_t number, void *slot, struct tsm_err *err)
{
    struct giving *g = ctx;
    uint32_t group = g->w->members[g->starts[number]].group;
    int code = g->k->rows.ended ? TSM_OK
                                : give_or_wait(g->k, g->k->given++, &g->k->r->plan->groups[group], slot, err);
    drop_group(ctx, slot);
    return code;
}

/* Reads and gives the groups of the wave. */
static int run_wave(struct waves *k, struct tsm_agg_wave *w, struct tsm_err *err)
{
    int code = tsm_agg_load(w, err);
    if (!code)
        code = tsm_agg_join(w, err);
    if (code)
        return code;
    struct giving g = {.k = k, .w = w};
    g.starts = tsm_realloc_array(NULL, w->nmembers + 1, sizeof *g.starts);
    size_t n = 0;
    for (size_t m = 0; m < w->nmembers; m++)
        if (m == 0 || w->members[m].group != w->members[m - 1].group)
            g.starts[n++] = m;
    g.starts[n] = w->nmembers;
    struct tsm_parallel p = {
        .jobs = k->r->jobs, .tasks = n, .ctx = &g, .work = reduce_task, .emit = give_task};
    p.drop = drop_group;
    code = tsm_parallel_run(&p, err);
    tsm_free(g.starts);
    return code;
}

/* One call of one group, which is alone in memory. Where even that does not fit, sums are added in the order of series, not
 * of influxd's heap: the last digit may differ. */
static int run_call(struct waves *k, uint32_t group, size_t call, struct tsm_agg_result *out,
                    struct tsm_err *err)
{
    struct tsm_agg_call *c = &k->rows.agg.calls[call];
    struct tsm_agg_call saved = *c;
    int code;
    for (;;) {
        struct tsm_agg_wave w = {.a = &k->rows.agg, .most = k->r->memory / 4 * 3};
        struct tsm_agg_group one = {0};
        tsm_agg_add_group(&w, group, 0);
        code = tsm_agg_load(&w, err);
        bool overflow = code && atomic_load(&w.overflow);
        if (!code)
            code = tsm_agg_join(&w, err);
        if (!code) {
            code = tsm_agg_reduce(&w, 0, w.nmembers, &one, err);
        }
        if (!code) {
            *out = one.results[call];
            one.results[call] = (struct tsm_agg_result){0};
            for (size_t i = 0; i < out->n && c->call->out == TSM_VEC_STRING; i++)
                out->v[i].s = tsm_agg_rows_text(&k->rows, *out->v[i].s);
        }
        tsm_agg_group_release(&k->rows.agg, &one);
        tsm_agg_wave_release(&w);
        if (!overflow || c->rough || c->method != TSM_AGG_FOLD || c->dense)
            break;
        c->dense = c->rough = true;
    }
    *c = saved;
    return code;
}

/* ---- slices ------------------------------------------------------------------------------------ */

/* A group whose values go through a transform as they are, when there is not the memory for all of them: one slice of time
 * after the other. The points of several series at one time may come in another order at the border of a slice. */
struct sliced {
    struct waves *k;
    uint32_t group;
    struct tsm_agg agg; /* with the only call, for a slice */
    struct tsm_agg_call call;
    struct tsm_agg_reducer reducer;
    struct tsm_agg_result out;
    struct tsm_agg_chain *chain;
    struct tsm_agg_feed feed;
};

static bool can_slice(const struct waves *k)
{
    const struct tsm_agg_call *c = &k->rows.agg.calls[0];
    return !k->closes && k->r->shape->ncalls == 1 && c->fn == TSM_FN_RAW && c->method == TSM_AGG_VALUES &&
           !c->visible;
}

/* The rows of the points that have come out so far. */
static int give_slice(struct sliced *s, struct tsm_err *err)
{
    int code = tsm_agg_rows_piece(&s->k->rows, &s->k->r->plan->groups[s->group], &s->feed, err);
    s->out.n = 0;
    return code;
}

/* Reads what lies in the call's range and gives its rows. *overflow: there was not the memory, and nothing was done. */
static int run_slice(struct sliced *s, bool *overflow, struct tsm_err *err)
{
    struct tsm_agg_wave w = {.a = &s->agg, .most = s->k->r->memory / 4};
    tsm_agg_add_group(&w, s->group, 0);
    int code = tsm_agg_load(&w, err);
    *overflow = code && atomic_load(&w.overflow);
    s->reducer.w = &w;
    s->reducer.to = w.nmembers;
    if (!code)
        code = tsm_agg_feed_values(&s->reducer, s->chain, err);
    if (!code)
        code = give_slice(s, err);
    tsm_agg_wave_release(&w);
    return code;
}

static int run_slices(struct sliced *s, int64_t tmin, int64_t tmax, struct tsm_err *err)
{
    bool down = s->k->r->c->descending;
    uint64_t width = (uint64_t)tmax - (uint64_t)tmin;
    while (tmin <= tmax && !s->feed.stream.done) {
        bool overflow, last = width >= (uint64_t)tmax - (uint64_t)tmin;
        s->call.tmin = !down || last ? tmin : (int64_t)((uint64_t)tmax - width);
        s->call.tmax = down || last ? tmax : (int64_t)((uint64_t)tmin + width);
        int code = run_slice(s, &overflow, err);
        if (overflow && width) {
            width /= 4;
            continue;
        }
        if (code || last)
            return code;
        if (down)
            tmax = s->call.tmin - 1;
        else
            tmin = s->call.tmax + 1;
    }
    return TSM_OK;
}

static int run_sliced_group(struct waves *k, uint32_t group, struct tsm_err *err)
{
    struct sliced s = {.k = k, .group = group, .agg = k->rows.agg, .call = k->rows.agg.calls[0]};
    struct tsm_agg_wave w = {.a = &s.agg};
    int64_t tmin, tmax;
    int code = TSM_OK;
    s.agg.calls = &s.call;
    s.reducer = (struct tsm_agg_reducer){
        .w = &w, .c = &s.call, .out = &s.out, .descending = k->r->c->descending};
    s.out.broken_at = SIZE_MAX;
    tsm_agg_rows_begin(&k->rows, &k->r->plan->groups[group], &s.call, &s.out, &s.feed);
    s.chain = tsm_agg_chain_new(&s.reducer, NULL, NULL);
    tsm_agg_add_group(&w, group, 0);
    if (tsm_agg_range(&w, 0, &tmin, &tmax))
        code = run_slices(&s, tmin, tmax, err);
    s.reducer.w = &w;
    if (!code)
        code = tsm_agg_chain_end(s.chain, err);
    if (!code && !s.feed.stream.done)
        code = give_slice(&s, err);
    if (!code)
        code = tsm_agg_rows_end(&k->rows, err);
    tsm_agg_chain_free(s.chain);
    tsm_agg_result_release(&s.out);
    tsm_agg_wave_release(&w);
    return code;
}

/* A group that does not fit into memory with all calls at once. */
static int run_call_by_call(struct waves *k, uint32_t group, struct tsm_err *err)
{
    size_t ncalls = k->rows.agg.ncalls;
    struct tsm_agg_group all = {.results = tsm_calloc(ncalls, sizeof *all.results)};
    enum tsm_agg_method *methods = tsm_calloc(ncalls, sizeof *methods);
    for (size_t c = 0; c < ncalls; c++) {
        methods[c] = k->rows.agg.calls[c].method;
        k->rows.agg.calls[c].method = TSM_AGG_NONE;
    }
    int code = TSM_OK;
    for (size_t c = 0; c < ncalls && !code; c++) {
        k->rows.agg.calls[c].method = methods[c];
        code = run_call(k, group, c, &all.results[c], err);
        k->rows.agg.calls[c].method = TSM_AGG_NONE;
    }
    for (size_t c = 0; c < ncalls; c++)
        k->rows.agg.calls[c].method = methods[c];
    if (!code)
        code = give_or_wait(k, k->given++, &k->r->plan->groups[group], &all, err);
    tsm_agg_group_release(&k->rows.agg, &all);
    tsm_free(methods);
    return code;
}

/* Groups [from, to) of the order. */
static int run_range(struct waves *k, size_t from, size_t to, struct tsm_err *err)
{
    size_t total = to, most = total;
    k->given = from;
    for (size_t i = from; i < total && !k->rows.ended;) {
        struct tsm_agg_wave w = {.a = &k->rows.agg, .most = k->r->memory / 4 * 3};
        size_t n = 0, estimate = 0;
        while (i + n < total && n < most) {
            uint32_t group = k->order[i + n];
            estimate += tsm_agg_estimate(&k->rows.agg, group);
            if (n && estimate > w.most / 2 && (!k->together || k->closes[i + n - 1]))
                break;
            tsm_agg_add_group(&w, group, k->closes ? k->answers[i + n] : (uint32_t)(i + n));
            n++;
        }
        int code = run_wave(k, &w, err);
        bool overflow = code && atomic_load(&w.overflow);
        tsm_agg_wave_release(&w);
        if (overflow && n > 1) {
            most = n / 2;
            continue;
        }
        if (overflow && can_slice(k))
            code = run_sliced_group(k, k->order[i], err);
        else if (overflow)
            code = run_call_by_call(k, k->order[i], err);
        if (code)
            return code;
        i += n;
    }
    return TSM_OK;
}

/* ---- answers of a subquery, whose groups come interval by interval ------------------------------------ */

/* Whether an answer may be made one slice of time after the other: nothing goes on from interval to interval. */
static bool comes_in_intervals(const struct waves *k)
{
    const struct tsm_compiled *c = k->r->c;
    if (!k->closes || !k->r->level || k->r->plan->grouped || !c->interval || c->fill != TSM_FILL_NONE ||
        c->stmt->limit || c->stmt->offset || c->stmt->location)
        return false;
    for (size_t i = 0; i < k->rows.agg.ncalls; i++) {
        const struct tsm_agg_call *call = &k->rows.agg.calls[i];
        if (call->method != TSM_AGG_NONE && (call->method != TSM_AGG_FOLD || call->call->nsteps))
            return false;
    }
    return true;
}

struct span { /* of time; empty: min > max */
    int64_t min, max;
};

/* Where the groups [from, to) have values. */
static struct span find_span(const struct waves *k, size_t from, size_t to)
{
    struct tsm_agg_wave w = {.a = (struct tsm_agg *)(uintptr_t)&k->rows.agg};
    struct span s = {INT64_MAX, INT64_MIN};
    for (size_t i = from; i < to; i++)
        tsm_agg_add_group(&w, k->order[i], 0);
    for (size_t c = 0; c < k->rows.agg.ncalls; c++) {
        int64_t lo, hi;
        if (k->rows.agg.calls[c].method == TSM_AGG_NONE || !tsm_agg_range(&w, c, &lo, &hi))
            continue;
        s.min = lo < s.min ? lo : s.min;
        s.max = hi > s.max ? hi : s.max;
    }
    tsm_agg_wave_release(&w);
    return s;
}

/* How many intervals of all groups fit into memory, with what it takes to put them in order. */
static int64_t intervals_at_once(const struct waves *k, size_t groups)
{
    size_t point = 2 * sizeof(struct tsm_partial) + 2 * (sizeof(int64_t) + sizeof(union tsm_num)) + 32;
    for (size_t c = 0; c < k->rows.agg.ncalls; c++)
        if (k->rows.agg.calls[c].visible)
            point += 2 * sizeof(struct tsm_agg_origin);
    size_t n = k->r->memory / 4 / (point * k->rows.agg.ncalls * groups);
    return n ? (int64_t)n : 1;
}

/* The groups [from, to), which are one answer. */
static int run_answer(struct waves *k, size_t from, size_t to, struct tsm_err *err)
{
    const struct tsm_compiled *c = k->r->c;
    struct tsm_agg_call *calls = k->rows.agg.calls;
    size_t ncalls = k->rows.agg.ncalls;
    struct span s = find_span(k, from, to);
    if (s.min > s.max)
        return TSM_OK;
    int64_t most = intervals_at_once(k, to - from);
    if (((__int128)s.max - s.min) / c->interval + 2 <= most)
        return run_range(k, from, to, err);
    struct span *all = tsm_calloc(ncalls, sizeof *all);
    for (size_t i = 0; i < ncalls; i++)
        all[i] = (struct span){calls[i].tmin, calls[i].tmax};
    __int128 width = (__int128)most * c->interval, lo = tsm_window_at(c, s.min).start,
             end = tsm_window_at(c, s.max).end, count = (end - lo + width - 1) / width;
    int code = TSM_OK;
    for (__int128 n = 0; n < count && !code; n++) {
        __int128 start = lo + width * (c->descending ? count - 1 - n : n), last = start + width - 1;
        for (size_t i = 0; i < ncalls; i++) {
            calls[i].tmin = start > all[i].min ? (int64_t)start : all[i].min;
            calls[i].tmax = last < all[i].max ? (int64_t)last : all[i].max;
        }
        code = run_range(k, from, to, err);
    }
    for (size_t i = 0; i < ncalls; i++) {
        calls[i].tmin = all[i].min;
        calls[i].tmax = all[i].max;
    }
    tsm_free(all);
    return code;
}

static int run_groups(struct waves *k, struct tsm_err *err)
{
    size_t total = k->r->plan->ngroups;
    if (!comes_in_intervals(k))
        return run_range(k, 0, total, err);
    int code = TSM_OK;
    for (size_t from = 0, to; from < total && !code; from = to) {
        for (to = from; !k->closes[to++];)
            ;
        code = run_answer(k, from, to, err);
    }
    return code;
}

int tsm_run_aggregate(struct tsm_run *r, struct tsm_err *err)
{
    struct waves k = {.r = r};
    int code = tsm_agg_rows_init(&k.rows, r, err);
    order_groups(&k);
    k.together = k.closes && (r->plan->grouped || tsm_agg_together(&k.rows.agg));
    if (!code)
        code = run_groups(&k, err);
    drop_pending(&k);
    tsm_free(k.pending);
    tsm_free(k.pending_groups);
    tsm_free(k.closes);
    tsm_free(k.answers);
    tsm_free(k.order);
    tsm_agg_rows_release(&k.rows);
    return code;
}
