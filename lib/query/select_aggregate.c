/*
 * query/select_aggregate.c: SELECT with functions: groups in waves that fit into memory, and the rows of a
 * group from the points of its calls.
 */
#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "base/time.h"
#include "query/aggregate.h"
#include "query/fill.h"
#include "base/banned.h"

enum { OUT_ROWS = 4096 };

struct cell { /* what a column shows until something else is set: the map of influxd's scanner */
    union tsm_num v;
    bool set;
    bool number; /* not set, but fill(number) puts its number there */
};

struct aggregate {
    struct tsm_run *r;
    struct tsm_agg agg;
    struct tsm_run_output output;
    struct tsm_program_space *space;
    struct cell *cells; /* per input: aux, then calls */
    void **values;      /* per input: OUT_ROWS values */
    uint8_t **nulls;    /* per input */
    uint8_t **filled;   /* per input: see tsm_run_give() */
    bool any_filled;    /* in the batch */
    size_t *missing;    /* per input: how many are null in the batch */
    int64_t *t;
    size_t n;              /* rows in the batch */
    struct tsm_arena text; /* strings of the batch */
    struct tsm_cursor cursor;
    bool begun;        /* the group's series_begin was called */
    bool ended;        /* influxd's iterator is at its end: nothing more comes */
    uint32_t *order;   /* the plan's groups in the order of the answer */
    uint32_t *answers; /* number of the series of the answer that the group there is of; or NULL */
    bool *closes;      /* the group there is the last one of a series of the answer; NULL: all are */
    struct tsm_agg_result *pending; /* of the groups since the last that does */
    size_t npending, cappending;
    size_t given; /* groups */
    struct over { /* per call: see heed_ends() */
        uint64_t rows_after;
        bool is;
    } * over;
    struct tsm_tag *tags;                /* of the series, when closes is set */
    uint64_t gaps, rows_after, any_rows; /* see heed_gaps() */
};

/* ---- rows -------------------------------------------------------------------------------------- */

static size_t ninputs(const struct aggregate *k)
{
    return k->r->shape->naux + k->r->shape->ncalls;
}

static enum tsm_vec_type input_type(const struct aggregate *k, size_t i)
{
    const struct tsm_shape *s = k->r->shape;
    return i < s->naux ? s->aux[i].vec : s->calls[i - s->naux].out;
}

/* The tags that only top() or bottom() names are none of the series'. */
static void use_grouped_tags(struct aggregate *k, struct tsm_series_head *head)
{
    size_t n = 0;
    for (size_t i = 0; i < head->ntags; i++)
        if (k->r->plan->grouped[i])
            k->tags[n++] = head->tags[i];
    head->tags = k->tags;
    head->ntags = n;
}

static int flush(struct aggregate *k, const struct tsm_plan_group *g, struct tsm_err *err)
{
    if (k->n == 0)
        return TSM_OK;
    struct tsm_sink *sink = k->r->sink;
    int code = TSM_OK;
    if (!k->begun) {
        struct tsm_series_head head = tsm_group_head(k->r, g);
        if (k->closes)
            use_grouped_tags(k, &head);
        k->begun = true;
        code = sink->series_begin(sink, &head, err);
    }
    for (size_t i = 0; i < ninputs(k); i++) {
        k->output.inputs[i] = (struct tsm_vec){.type = input_type(k, i)};
        k->output.inputs[i].v.p = k->values[i];
        k->output.inputs[i].nulls = k->missing[i] ? k->nulls[i] : NULL;
        k->missing[i] = 0;
    }
    if (!code)
        code = tsm_run_columns(&k->output, k->space, k->t, k->n, err);
    if (!code)
        code = tsm_run_give(k->r, k->output.cells, k->n, k->any_filled ? k->filled : NULL, err);
    k->any_filled = false;
    k->n = 0;
    return code;
}

static void put(struct aggregate *k, size_t i)
{
    const struct cell *c = &k->cells[i];
    enum tsm_vec_type type = input_type(k, i);
    bool null = !c->set || (type == TSM_VEC_FLOAT && isnan(c->v.f));
    k->nulls[i][k->n] = null;
    k->missing[i] += null;
    k->filled[i][k->n] = !c->set && c->number;
    k->any_filled = k->any_filled || k->filled[i][k->n];
    switch (type) {
    case TSM_VEC_BOOLEAN:
        ((uint8_t *)k->values[i])[k->n] = (uint8_t)(c->set && c->v.u);
        break;
    case TSM_VEC_STRING:
        ((struct tsm_str *)k->values[i])[k->n] = c->set ? *c->v.s : (struct tsm_str){0};
        break;
    case TSM_VEC_NIL:
        break;
    default:
        ((union tsm_num *)k->values[i])[k->n] = c->set ? c->v : (union tsm_num){0};
        break;
    }
}

/* Nothing there: fill(previous) leaves what was, fill(number) puts the number, all others nothing. */
static void set_default(struct aggregate *k, size_t i)
{
    enum tsm_fill fill = k->r->c->fill;
    if (fill == TSM_FILL_PREVIOUS)
        return;
    k->cells[i].number = fill == TSM_FILL_NUMBER;
    k->cells[i].set = k->cells[i].number &&
                      tsm_fill_number(k->r->c->stmt->fill_value, input_type(k, i), &k->cells[i].v);
}

static const struct tsm_str *keep_text(struct aggregate *k, struct tsm_str s)
{
    struct tsm_str *copy = tsm_arena_alloc(&k->text, sizeof *copy);
    *copy = tsm_arena_str(&k->text, s);
    return copy;
}

/* The value of a field of the series that a point came from, at the point's time. */
static int fetch(struct aggregate *k, size_t i, const struct tsm_agg_origin *o, struct tsm_err *err)
{
    const struct tsm_aux *a = &k->r->shape->aux[i];
    const struct tsm_plan *p = k->r->plan;
    struct cell *cell = &k->cells[i];
    if (a->type == TSM_DATA_TAG) {
        const struct tsm_str *v = &o->unit->values[(size_t)o->series * p->ntags + a->index];
        if (v->n == 0)
            set_default(k, i);
        else
            *cell = (struct cell){{.s = v}, true, false};
        return TSM_OK;
    }
    uint32_t key = a->index == SIZE_MAX ? TSM_NO_KEY
                                        : o->unit->keys[(size_t)o->series * p->nfields + a->index];
    struct tsm_cursor *c = &k->cursor;
    tsm_cursor_none(c);
    int code = key == TSM_NO_KEY ? TSM_OK : tsm_cursor_start(c, o->unit->shard, key, a->vec, o->t, o->t, err);
    if (code)
        return code;
    if (c->n == 0)
        set_default(k, i);
    else if (a->vec == TSM_VEC_STRING)
        *cell = (struct cell){{.s = keep_text(k, c->v.s[0])}, true, false};
    else
        *cell = (struct cell){{.u = a->vec == TSM_VEC_BOOLEAN ? c->v.b[0] : c->v.u[0]}, true, false};
    return TSM_OK;
}

static int set_aux(struct aggregate *k, const struct tsm_agg_origin *o, struct tsm_err *err)
{
    int code = TSM_OK;
    for (size_t i = 0; i < k->r->shape->naux && !code; i++) {
        if (o)
            code = fetch(k, i, o, err);
        else
            set_default(k, i);
    }
    return code;
}

struct feed { /* a call's rows, one ahead */
    struct tsm_fill_stream stream;
    struct tsm_fill_row row;
    bool more;
};

/* The row of the next time among all calls goes to the batch. */
static int join_row(struct aggregate *k, struct feed *feeds, struct tsm_err *err)
{
    const struct tsm_shape *s = k->r->shape;
    bool down = k->r->c->descending, any = false;
    int64_t t = 0;
    for (size_t c = 0; c < s->ncalls; c++) {
        if (!feeds[c].more)
            continue;
        if (!any || (down ? feeds[c].row.t > t : feeds[c].row.t < t))
            t = feeds[c].row.t;
        any = true;
    }
    k->t[k->n] = t;
    for (size_t c = 0; c < s->ncalls; c++) {
        struct cell *cell = &k->cells[s->naux + c];
        if (!s->calls[c].known)
            continue;
        if (!feeds[c].more || feeds[c].row.t != t) {
            set_default(k, s->naux + c);
            continue;
        }
        const struct tsm_fill_row *row = &feeds[c].row;
        if (row->null)
            set_default(k, s->naux + c);
        else
            *cell = (struct cell){row->v, true, false};
        int code = s->naux ? set_aux(k, row->origin, err) : TSM_OK;
        if (code)
            return code;
        feeds[c].more = tsm_fill_next(&feeds[c].stream, &feeds[c].row);
    }
    for (size_t i = 0; i < ninputs(k); i++)
        put(k, i);
    k->n++;
    return TSM_OK;
}

static bool any_left(const struct feed *feeds, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (feeds[i].more)
            return true;
    return false;
}

/*
 * An interval without a percentile looks like the end to what reads influxd's iterator. It tries once more
 * when there have been rows since the last such end, so what ends the answer is two of them in a row, or one
 * at the start. With fill(), each uses up one of the rows that are being filled in and is seen only where
 * there is none left, between two groups.
 */
static void heed_gaps(struct aggregate *k, struct tsm_agg_result *res)
{
    const struct tsm_compiled *c = k->r->c;
    enum tsm_function fn = k->agg.calls[0].call->outer;
    if (k->r->shape->ncalls != 1 ||
        (fn != TSM_FN_PERCENTILE && fn != TSM_FN_HOLT_WINTERS && fn != TSM_FN_HOLT_WINTERS_WITH_FIT))
        return;
    k->gaps += res->lead_gaps;
    bool filling = fn == TSM_FN_PERCENTILE && c->interval && c->fill != TSM_FILL_NONE;
    uint64_t seen = k->gaps > k->rows_after ? k->gaps - k->rows_after : 0;
    if (seen > k->any_rows) {
        k->ended = true;
        res->n = 0;
    } else if (!filling && res->broken_at != SIZE_MAX) {
        k->ended = true;
        res->n = res->broken_at;
    }
    if (res->n == 0)
        return;
    k->any_rows = 1;
    k->gaps = filling ? 0 : res->gaps;
    int64_t last = tsm_window_at(c, c->descending ? c->tmin : c->tmax).start, t = res->t[res->n - 1];
    if (filling && (!c->descending || c->tmin != TSM_TIME_MIN))
        k->rows_after = (uint64_t)((c->descending ? t - last : last - t) / c->interval);
}

/* The same below a transform, which does not try once more: nothing comes for this group and those behind it. */
static void heed_ends(struct aggregate *k, size_t call, struct tsm_agg_result *res)
{
    struct over *over = &k->over[call];
    if (k->agg.calls[call].call->nsteps == 0)
        return;
    if (k->agg.calls[call].fn == TSM_FN_PERCENTILE && res->lead_gaps > over->rows_after)
        over->is = true;
    if (over->is)
        res->n = 0;
    over->is = over->is || res->ends;
    over->rows_after = res->after;
}

static int give_group(struct aggregate *k, const struct tsm_plan_group *g, struct tsm_agg_group *results,
                      struct tsm_err *err)
{
    size_t ncalls = k->r->shape->ncalls;
    struct feed few[8], *feeds = ncalls > 8 ? tsm_calloc(ncalls, sizeof *feeds) : few;
    for (size_t c = 0; c < ncalls; c++)
        heed_ends(k, c, &results->results[c]);
    heed_gaps(k, &results->results[0]);
    for (size_t i = 0; i < ninputs(k); i++)
        k->cells[i] = (struct cell){0};
    for (size_t c = 0; c < ncalls; c++) {
        tsm_fill_begin(&feeds[c].stream, k->r, &k->agg.calls[c], &results->results[c]);
        feeds[c].more = tsm_fill_next(&feeds[c].stream, &feeds[c].row);
    }
    int code = TSM_OK;
    k->begun = false;
    while (!code && any_left(feeds, ncalls)) {
        code = join_row(k, feeds, err);
        if (!code && k->n == OUT_ROWS)
            code = flush(k, g, err);
    }
    if (!code)
        code = flush(k, g, err);
    if (!code && k->begun)
        code = k->r->sink->series_end(k->r->sink, err);
    k->begun = false;
    tsm_arena_release(&k->text);
    if (feeds != few)
        tsm_free(feeds);
    return code;
}

/* ---- top() and bottom() with tags -------------------------------------------------------------- */

/* Computes anew, from all of its points, the only call of a group. */
static int untie(struct aggregate *k, uint32_t group, struct tsm_agg_group *results, struct tsm_err *err)
{
    struct tsm_agg_call call = k->agg.calls[0];
    struct tsm_agg all = k->agg;
    struct tsm_agg_wave w = {.a = &all, .most = k->r->memory / 4 * 3};
    call.best = 0;
    call.entered = false;
    call.ordered = true;
    all.calls = &call;
    tsm_agg_group_release(&k->agg, results);
    tsm_agg_add_group(&w, group, 0);
    int code = tsm_agg_load(&w, err);
    if (!code)
        code = tsm_agg_join(&w, err);
    if (!code)
        code = tsm_agg_reduce(&w, 0, w.nmembers, results, err);
    tsm_agg_wave_release(&w);
    return code;
}

/* Gives the group at a place in the order; or keeps it until the last one of its series comes. */
static int give_or_wait(struct aggregate *k, size_t place, const struct tsm_plan_group *g,
                        struct tsm_agg_group *results, struct tsm_err *err)
{
    if (results->results[0].tied) {
        int code = untie(k, k->order[place], results, err);
        if (code)
            return code;
    }
    if (!k->closes)
        return give_group(k, g, results, err);
    TSM_GROW(k->pending, k->npending + 1, k->cappending);
    k->pending[k->npending++] = results->results[0];
    results->results[0] = (struct tsm_agg_result){0};
    if (!k->closes[place])
        return TSM_OK;
    struct tsm_agg_result all = {.broken_at = SIZE_MAX};
    struct tsm_agg_group whole = {&all};
    tsm_agg_combine_best(k->r, &k->agg.calls[0], k->pending, k->npending, &all);
    for (size_t i = 0; i < k->npending; i++)
        tsm_agg_result_release(&k->pending[i]);
    k->npending = 0;
    int code = give_group(k, g, &whole, err);
    tsm_agg_result_release(&all);
    return code;
}

static bool same_series(const struct aggregate *k, const struct tsm_plan_group *x,
                        const struct tsm_plan_group *y)
{
    if (!tsm_str_eq(x->name, y->name))
        return false;
    for (size_t i = 0; i < k->r->plan->ndimensions; i++)
        if (k->r->plan->grouped[i] && !tsm_str_eq(x->tags[i].value, y->tags[i].value))
            return false;
    return true;
}

/* By name, the tags of GROUP BY, then all tags; the series of the answer may descend, those in one do not. */
static int compare_groups(const void *x, const void *y, void *ctx)
{
    const struct aggregate *k = ctx;
    const struct tsm_plan *p = k->r->plan;
    uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    const struct tsm_plan_group *g = &p->groups[a], *h = &p->groups[b];
    int c = tsm_str_cmp(g->name, h->name);
    for (size_t i = 0; i < p->ndimensions && !c; i++)
        if (k->r->plan->grouped[i])
            c = tsm_str_cmp(g->tags[i].value, h->tags[i].value);
    if (c)
        return k->r->c->descending ? -c : c;
    return a < b ? -1 : a > b;
}

static void order_groups(struct aggregate *k)
{
    const struct tsm_plan *p = k->r->plan;
    size_t n = p->ngroups;
    k->order = tsm_realloc_array(NULL, n + 1, sizeof *k->order);
    for (size_t i = 0; i < n; i++)
        k->order[i] = (uint32_t)(k->r->c->descending ? n - 1 - i : i);
    if (!k->r->plan->grouped)
        return;
    qsort_r(k->order, n, sizeof *k->order, compare_groups, k);
    k->closes = tsm_calloc(n + 1, sizeof *k->closes);
    k->tags = tsm_calloc(p->ndimensions + 1, sizeof *k->tags);
    k->answers = tsm_calloc(n + 1, sizeof *k->answers);
    for (size_t i = 0; i < n; i++) {
        k->closes[i] = i + 1 == n || !same_series(k, &p->groups[k->order[i]], &p->groups[k->order[i + 1]]);
        k->answers[i + 1] = k->answers[i] + k->closes[i];
    }
}

/* ---- waves ------------------------------------------------------------------------------------- */

struct giving {
    struct aggregate *k;
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
        tsm_agg_group_release(&g->k->agg, slot);
    tsm_free(slot);
}

static int give_task(void *ctx, size_t number, void *slot, struct tsm_err *err)
{
    struct giving *g = ctx;
    uint32_t group = g->w->members[g->starts[number]].group;
    int code = g->k->ended ? TSM_OK
                           : give_or_wait(g->k, g->k->given++, &g->k->r->plan->groups[group], slot, err);
    drop_group(ctx, slot);
    return code;
}

/* Reads and gives the groups of the wave. */
static int run_wave(struct aggregate *k, struct tsm_agg_wave *w, struct tsm_err *err)
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
static int run_call(struct aggregate *k, uint32_t group, size_t call, struct tsm_agg_result *out,
                    struct tsm_err *err)
{
    struct tsm_agg_call *c = &k->agg.calls[call];
    struct tsm_agg_call saved = *c;
    int code;
    for (;;) {
        struct tsm_agg_wave w = {.a = &k->agg, .most = k->r->memory / 4 * 3};
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
                out->v[i].s = keep_text(k, *out->v[i].s);
        }
        tsm_agg_group_release(&k->agg, &one);
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
    struct aggregate *k;
    uint32_t group;
    struct tsm_agg agg; /* with the only call, for a slice */
    struct tsm_agg_call call;
    struct tsm_agg_reducer reducer;
    struct tsm_agg_result out;
    struct tsm_agg_chain *chain;
    struct feed feed;
};

static bool can_slice(const struct aggregate *k)
{
    const struct tsm_agg_call *c = &k->agg.calls[0];
    return k->r->shape->ncalls == 1 && c->fn == TSM_FN_RAW && c->method == TSM_AGG_VALUES && !c->visible;
}

/* The rows of the points that have come out so far. */
static int give_slice(struct sliced *s, struct tsm_err *err)
{
    struct aggregate *k = s->k;
    const struct tsm_plan_group *g = &k->r->plan->groups[s->group];
    int code = TSM_OK;
    s->feed.stream.at = 0;
    s->feed.more = tsm_fill_next(&s->feed.stream, &s->feed.row);
    while (!code && s->feed.more) {
        code = join_row(k, &s->feed, err);
        if (!code && k->n == OUT_ROWS)
            code = flush(k, g, err);
    }
    if (!code)
        code = flush(k, g, err);
    s->out.n = 0;
    uint64_t limit = s->feed.stream.limit; /* the stream is done for good only then */
    s->feed.stream.done = limit && s->feed.stream.given >= s->feed.stream.offset + limit;
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

static int run_sliced_group(struct aggregate *k, uint32_t group, struct tsm_err *err)
{
    struct sliced s = {.k = k, .group = group, .agg = k->agg, .call = k->agg.calls[0]};
    struct tsm_agg_wave w = {.a = &s.agg};
    int64_t tmin, tmax;
    int code = TSM_OK;
    s.agg.calls = &s.call;
    s.reducer = (struct tsm_agg_reducer){
        .w = &w, .c = &s.call, .out = &s.out, .descending = k->r->c->descending};
    s.out.broken_at = SIZE_MAX;
    for (size_t i = 0; i < ninputs(k); i++)
        k->cells[i] = (struct cell){0};
    k->begun = false;
    tsm_fill_begin(&s.feed.stream, k->r, &s.call, &s.out);
    s.chain = tsm_agg_chain_new(&s.reducer, NULL, NULL);
    tsm_agg_add_group(&w, group, 0);
    if (tsm_agg_range(&w, 0, &tmin, &tmax))
        code = run_slices(&s, tmin, tmax, err);
    s.reducer.w = &w;
    if (!code)
        code = tsm_agg_chain_end(s.chain, err);
    if (!code && !s.feed.stream.done)
        code = give_slice(&s, err);
    if (!code && k->begun)
        code = k->r->sink->series_end(k->r->sink, err);
    k->begun = false;
    tsm_agg_chain_free(s.chain);
    tsm_agg_result_release(&s.out);
    tsm_agg_wave_release(&w);
    return code;
}

/* A group that does not fit into memory with all calls at once. */
static int run_call_by_call(struct aggregate *k, uint32_t group, struct tsm_err *err)
{
    size_t ncalls = k->agg.ncalls;
    struct tsm_agg_group all = {.results = tsm_calloc(ncalls, sizeof *all.results)};
    enum tsm_agg_method *methods = tsm_calloc(ncalls, sizeof *methods);
    for (size_t c = 0; c < ncalls; c++) {
        methods[c] = k->agg.calls[c].method;
        k->agg.calls[c].method = TSM_AGG_NONE;
    }
    int code = TSM_OK;
    for (size_t c = 0; c < ncalls && !code; c++) {
        k->agg.calls[c].method = methods[c];
        code = run_call(k, group, c, &all.results[c], err);
        k->agg.calls[c].method = TSM_AGG_NONE;
    }
    for (size_t c = 0; c < ncalls; c++)
        k->agg.calls[c].method = methods[c];
    if (!code)
        code = give_or_wait(k, k->given++, &k->r->plan->groups[group], &all, err);
    tsm_agg_group_release(&k->agg, &all);
    tsm_free(methods);
    return code;
}

static int run_groups(struct aggregate *k, struct tsm_err *err)
{
    size_t total = k->r->plan->ngroups, most = total;
    for (size_t i = 0; i < total && !k->ended;) {
        struct tsm_agg_wave w = {.a = &k->agg, .most = k->r->memory / 4 * 3};
        size_t n = 0, estimate = 0;
        while (i + n < total && n < most) {
            uint32_t group = k->order[i + n];
            estimate += tsm_agg_estimate(&k->agg, group);
            if (n && estimate > w.most / 2 && (!k->closes || k->closes[i + n - 1]))
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

int tsm_run_aggregate(struct tsm_run *r, struct tsm_err *err)
{
    struct aggregate k = {.r = r};
    int code = tsm_agg_init(&k.agg, r, err);
    size_t n = ninputs(&k);
    tsm_run_output_init(&k.output, r->shape);
    k.space = tsm_program_space_new();
    tsm_cursor_init(&k.cursor);
    k.cursor.control = r->plan->control;
    k.cells = tsm_calloc(n, sizeof *k.cells);
    k.over = tsm_calloc(r->shape->ncalls, sizeof *k.over);
    k.values = tsm_calloc(n, sizeof *k.values);
    k.nulls = tsm_calloc(n, sizeof *k.nulls);
    k.filled = tsm_calloc(n, sizeof *k.filled);
    k.missing = tsm_calloc(n, sizeof *k.missing);
    k.t = tsm_realloc_array(NULL, OUT_ROWS, sizeof *k.t);
    for (size_t i = 0; i < n; i++) {
        k.values[i] = tsm_calloc(OUT_ROWS, tsm_vec_size(input_type(&k, i)));
        k.nulls[i] = tsm_calloc(OUT_ROWS, 1);
        k.filled[i] = tsm_calloc(OUT_ROWS, 1);
    }
    order_groups(&k);
    if (!code)
        code = run_groups(&k, err);
    for (size_t i = 0; i < k.npending; i++)
        tsm_agg_result_release(&k.pending[i]);
    tsm_free(k.pending);
    tsm_free(k.tags);
    tsm_free(k.closes);
    tsm_free(k.answers);
    tsm_free(k.order);
    for (size_t i = 0; i < n; i++) {
        tsm_free(k.values[i]);
        tsm_free(k.nulls[i]);
        tsm_free(k.filled[i]);
    }
    tsm_free(k.values);
    tsm_free(k.nulls);
    tsm_free(k.filled);
    tsm_free(k.missing);
    tsm_free(k.cells);
    tsm_free(k.over);
    tsm_free(k.t);
    tsm_arena_release(&k.text);
    tsm_cursor_release(&k.cursor);
    tsm_program_space_free(k.space);
    tsm_run_output_release(&k.output);
    tsm_agg_release(&k.agg);
    return code;
}
