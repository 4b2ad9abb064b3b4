/* query/aggregate_chain.c: the steps of a call: transforms, each fed with what the one below it gives. */
#include "query/aggregate.h"

#include "base/alloc.h"
#include "base/time.h"
#include "query/fill.h"
#include "base/banned.h"

struct link {
    struct tsm_agg_chain *chain;
    size_t number;
    struct tsm_transform *transform;
    bool any_in, any_out;
};

struct tsm_agg_chain {
    struct tsm_agg_reducer *k;
    struct link *links;
    size_t n;
    struct tsm_window window; /* that the last point was in */
    tsm_agg_origin_of *origin;
    void *ctx;
    struct tsm_err *err;
    int code; /* of what a link below another one gave to that */
};

static struct tsm_window window_of(struct tsm_agg_chain *c, int64_t t)
{
    const struct tsm_compiled *compiled = c->k->w->a->r->c;
    if (compiled->interval == 0)
        return (struct tsm_window){compiled->tmin,
                                   compiled->tmax == INT64_MAX ? INT64_MAX : compiled->tmax + 1};
    if (t < c->window.start || t >= c->window.end)
        c->window = tsm_window_at(compiled, t);
    return c->window;
}

static void emit(void *ctx, int64_t t, union tsm_num v, uint64_t origin);

static int add(struct tsm_agg_chain *c, size_t number, int64_t t, union tsm_num v)
{
    c->links[number].any_in = true;
    struct tsm_window w = number == 0 ? window_of(c, t) : (struct tsm_window){0};
    return tsm_transform_add(c->links[number].transform, t, v, w.start, w.end, emit, &c->links[number],
                             c->err);
}

static void emit(void *ctx, int64_t t, union tsm_num v, uint64_t origin)
{
    struct link *l = ctx;
    struct tsm_agg_chain *c = l->chain;
    l->any_out = true;
    if (c->code)
        return;
    if (l->number + 1 < c->n) {
        c->code = add(c, l->number + 1, t, v);
        return;
    }
    struct tsm_agg_origin o;
    if (c->origin)
        o = c->origin(c->ctx, origin);
    tsm_agg_add_result(c->k, t, v, c->origin ? &o : NULL);
}

struct tsm_agg_chain *tsm_agg_chain_new(struct tsm_agg_reducer *k, tsm_agg_origin_of *origin, void *ctx)
{
    const struct tsm_call *call = k->c->call;
    struct tsm_agg_chain *c = tsm_calloc(1, sizeof *c);
    *c = (struct tsm_agg_chain){.k = k, .n = call->nsteps, .origin = origin, .ctx = ctx};
    c->links = tsm_calloc(c->n, sizeof *c->links);
    for (size_t i = 0; i < c->n; i++) {
        struct tsm_transform_spec spec = call->steps[i].spec;
        const struct tsm_run *r = k->w->a->r;
        spec.seed = (uint64_t)r->q->opt->now ^ (uint64_t)k->from << 32;
        spec.memory = r->memory / 4;
        spec.control = r->q->opt->control;
        c->links[i] = (struct link){.chain = c, .number = i, .transform = tsm_transform_new(&spec)};
        tsm_transform_begin(c->links[i].transform);
    }
    return c;
}

int tsm_agg_chain_add(struct tsm_agg_chain *c, int64_t t, union tsm_num v, struct tsm_err *err)
{
    c->err = err;
    int code = add(c, 0, t, v);
    return code ? code : c->code;
}

/* A forecast of too little gives nothing, which looks like the end to what reads influxd's iterator. */
static void heed_nothing(struct tsm_agg_chain *c, size_t number)
{
    const struct link *l = &c->links[number];
    enum tsm_function fn = c->k->c->call->steps[number].fn;
    if ((fn != TSM_FN_HOLT_WINTERS && fn != TSM_FN_HOLT_WINTERS_WITH_FIT) || !l->any_in || l->any_out)
        return;
    if (number + 1 < c->n)
        c->k->out->ends = true;
    else
        c->k->out->gaps = c->k->out->lead_gaps = 1;
}

int tsm_agg_chain_end(struct tsm_agg_chain *c, struct tsm_err *err)
{
    int code = c->code;
    c->err = err;
    for (size_t i = 0; i < c->n && !code; i++) {
        code = tsm_transform_end(c->links[i].transform, emit, &c->links[i], err);
        code = code ? code : c->code;
        heed_nothing(c, i);
    }
    return code;
}

void tsm_agg_chain_free(struct tsm_agg_chain *c)
{
    for (size_t i = 0; i < c->n; i++)
        tsm_transform_free(c->links[i].transform);
    tsm_free(c->links);
    tsm_free(c);
}

/* Intervals that influxd fills in behind the last point of a group. */
static uint64_t rows_behind(const struct tsm_agg_reducer *k, const struct tsm_agg_result *in)
{
    const struct tsm_compiled *c = k->w->a->r->c;
    if (in->n == 0 || c->fill == TSM_FILL_NONE || (c->descending && k->c->from == TSM_TIME_MIN))
        return 0;
    int64_t last = tsm_window_at(c, c->descending ? k->c->from : k->c->to).start, t = in->t[in->n - 1];
    return (uint64_t)((c->descending ? t - last : last - t) / c->interval);
}

int tsm_agg_transform(struct tsm_agg_reducer *k, struct tsm_err *err)
{
    struct tsm_agg_result in = *k->out;
    struct tsm_fill_stream filled;
    struct tsm_fill_row row;
    *k->out = (struct tsm_agg_result){.broken_at = SIZE_MAX, .first_gap = in.first_gap};
    k->out->after = rows_behind(k, &in);
    if (in.first_gap != SIZE_MAX && k->w->a->r->c->fill == TSM_FILL_NONE) {
        in.n = in.first_gap;
        k->out->ends = true;
    } else if (k->c->fn == TSM_FN_PERCENTILE) {
        k->out->lead_gaps = in.lead_gaps;
    }
    struct tsm_agg_chain *c = tsm_agg_chain_new(k, NULL, NULL);
    tsm_fill_begin_points(&filled, k->w->a->r, k->c, &in);
    int code = TSM_OK;
    while (!code && tsm_fill_next(&filled, &row))
        if (!row.null)
            code = tsm_agg_chain_add(c, row.t, row.v, err);
    if (!code)
        code = tsm_agg_chain_end(c, err);
    tsm_agg_chain_free(c);
    tsm_agg_result_release(&in);
    return code;
}
