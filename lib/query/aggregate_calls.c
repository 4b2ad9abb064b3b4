/* query/aggregate_calls.c: how each call of an aggregate is computed. */
#include "query/aggregate.h"

#include "base/alloc.h"
#include "base/banned.h"

static bool any_series(const struct tsm_plan *p, size_t field)
{
    for (size_t u = 0; u < p->nunits; u++)
        if (p->units[u].nseries && p->units[u].readable[field])
            return true;
    return false;
}

/* influxd's name of the iterator that gives the points of the first n steps. */
static const char *iterator_name(struct tsm_run *r, const struct tsm_agg_call *k, size_t n)
{
    static const char *const types[] = {"float", "integer", "unsigned", "boolean", "string"};
    static const char *const titles[] = {"Float", "Integer", "Unsigned", "Boolean", "String"};
    const struct tsm_call *c = k->call;
    enum tsm_vec_type type = n ? c->steps[n - 1].spec.in : k->type;
    if (n == 0)
        type = c->points;
    if (n && tsm_function_row(c->steps[n - 1].fn)->result == TSM_RESULT_SAME)
        return tsm_arena_printf(&r->plan->arena, "%s%s%sIterator", types[type],
                                c->steps[n - 1].fn == TSM_FN_SAMPLE ? "Reduce" : "Stream", titles[type]);
    return tsm_arena_printf(&r->plan->arena, "%s%sIterator", types[type],
                            c->fn == TSM_FN_DISTINCT ? "Interval" : "Interrupt");
}

/* Whether all functions take the types that they get. */
static int check_types(struct tsm_run *r, const struct tsm_agg_call *k, struct tsm_err *err)
{
    const struct tsm_call *c = k->call;
    if (!tsm_function_takes(k->fn, k->type))
        return tsm_err_set(err, TSM_EQUERY, "unsupported %s iterator type: *query.%sInterruptIterator",
                           tsm_function_name(k->fn), k->type == TSM_VEC_STRING ? "string" : "boolean");
    if (!tsm_function_takes(c->fn, k->type))
        return tsm_err_set(err, TSM_EQUERY,
                           "unsupported %s iterator type: *query.booleanReduceBooleanIterator",
                           tsm_function_name(c->fn));
    for (size_t i = 0; i < c->nsteps; i++) {
        const struct tsm_function_row *row = tsm_function_row(c->steps[i].fn);
        if (!tsm_function_takes(c->steps[i].fn, c->steps[i].spec.in))
            return tsm_err_set(err, TSM_EQUERY, "unsupported %s iterator type: *query.%s",
                               row->iterator ? row->iterator : row->name, iterator_name(r, k, i));
    }
    return TSM_OK;
}

/*
 * What is read, within the shards that the statement reads. influxd's arithmetic is meant: without a lower bound, nothing is
 * left that lies before the answer, and nothing at all is read.
 */
static void find_range(struct tsm_agg_call *k, const struct tsm_compiled *c)
{
    uint64_t before = (uint64_t)c->interval * k->call->before;
    k->from = c->tmin;
    k->to = c->tmax;
    if (c->descending)
        k->to = (int64_t)((uint64_t)c->tmax + before);
    else
        k->from = (int64_t)((uint64_t)c->tmin - before);
    k->tmin = k->from < c->shard_tmin ? c->shard_tmin : k->from;
    k->tmax = k->to > c->shard_tmax ? c->shard_tmax : k->to;
}

static void choose_values(struct tsm_agg *a, struct tsm_agg_call *k)
{
    const struct tsm_compiled *c = a->r->c;
    bool interval = c->interval != 0, best = k->fn == TSM_FN_TOP || k->fn == TSM_FN_BOTTOM;
    k->method = TSM_AGG_VALUES;
    /* Of equal points influxd's heap takes the one that it saw first, which can be seen by what stands beside it: see
     * reduce_best(). With a LIMIT it sees the first ones only. */
    if (best && !c->stmt->limit && !c->stmt->offset && (a->r->shape->naux == 0 || !c->descending)) {
        k->best = (size_t)k->call->n;
        k->entered = a->r->shape->naux != 0;
    }
    k->ordered = k->fn == TSM_FN_STDDEV || k->fn == TSM_FN_MODE || k->fn == TSM_FN_RAW ||
                 (best && !k->best) || (k->fn == TSM_FN_PERCENTILE && k->visible);
    k->timed = k->ordered || best || interval || k->fn == TSM_FN_DISTINCT || k->call->count_distinct;
}

static int init_call(struct tsm_agg *a, size_t i, struct tsm_err *err)
{
    struct tsm_run *r = a->r;
    const struct tsm_call *c = &r->shape->calls[i];
    struct tsm_agg_call *k = &a->calls[i];
    bool interval = r->c->interval != 0, selector = r->shape->selector;
    *k = (struct tsm_agg_call){.call = c, .fn = c->fn, .field = c->index, .type = tsm_vec_type_of(c->arg)};
    if (c->ntags)
        k->fn = c->fn == TSM_FN_TOP ? TSM_FN_MAX : TSM_FN_MIN;
    if (c->index == SIZE_MAX || !any_series(r->plan, c->index))
        return TSM_OK;
    int code = check_types(r, k, err);
    if (code)
        return code;
    find_range(k, r->c);
    if (k->tmin > k->tmax)
        return TSM_OK;
    k->own_time = selector && (!interval || c->outer == TSM_FN_TOP || c->outer == TSM_FN_BOTTOM ||
                               c->outer == TSM_FN_SAMPLE);
    k->visible = selector && (!interval || r->shape->naux);
    if (c->count_distinct || !tsm_function_folds(k->fn)) {
        choose_values(a, k);
        return TSM_OK;
    }
    if ((k->fn == TSM_FN_FIRST || k->fn == TSM_FN_LAST) && !interval) {
        k->method = TSM_AGG_ENDS;
        return TSM_OK;
    }
    k->method = TSM_AGG_FOLD;
    k->dense = !tsm_function_needs_order(k->fn, k->type, selector && r->shape->naux > 0);
    return TSM_OK;
}

int tsm_agg_init(struct tsm_agg *a, struct tsm_run *r, struct tsm_err *err)
{
    *a = (struct tsm_agg){.r = r, .ncalls = r->shape->ncalls};
    a->calls = tsm_calloc(a->ncalls, sizeof *a->calls);
    a->readers = tsm_calloc(r->jobs, sizeof *a->readers);
    a->cursors = tsm_calloc(r->jobs, sizeof *a->cursors);
    a->none_wanted = tsm_calloc(r->plan->nfields + 1, 1);
    int code = TSM_OK;
    for (size_t i = 0; i < a->ncalls && !code; i++)
        code = init_call(a, i, err);
    return code;
}

void tsm_agg_release(struct tsm_agg *a)
{
    for (size_t i = 0; i < a->r->jobs; i++) {
        tsm_row_reader_free(a->readers[i]);
        if (a->cursors[i].scan)
            tsm_cursor_release(&a->cursors[i]);
    }
    tsm_free(a->readers);
    tsm_free(a->cursors);
    tsm_free(a->calls);
    tsm_free(a->none_wanted);
}
