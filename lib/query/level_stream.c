/*
 * query/level_stream.c: a transform of the rows of a subquery as they are: difference(x), moving_average(difference(x), 3) …
 * Points come out as rows go in, so those of different series keep the order of the rows, and nothing is kept but what the
 * transforms keep.
 */
#include "query/level.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "query/aggregate_rows.h"
#include "base/banned.h"

struct group {
    uint32_t series; /* in the level's names */
    uint32_t number; /* of the series that its points are of */
    struct tsm_plan_group head;
    struct tsm_agg_reducer reducer;
    struct tsm_agg_result out;
    struct tsm_agg_chain *chain;
};

struct tsm_level_stream {
    struct tsm_level *l;
    struct tsm_agg_rows rows;
    struct tsm_agg_wave wave; /* of nothing: a reducer wants one */
    uint32_t outer;           /* of the answer that is being read */
    struct group **groups;
    size_t ngroups, capgroups;
    struct group **of; /* per series of the level's names: its group in the answer, or NULL */
    size_t nof;
    struct tsm_arena text; /* of a batch */
};

bool tsm_level_is_stream(const struct tsm_level *l)
{
    const struct tsm_call *c = l->shape.calls;
    if (l->shape.ncalls != 1 || c->fn != TSM_FN_RAW || c->nsteps == 0 || l->shape.selector || l->plan.grouped)
        return false;
    for (size_t i = 0; i < c->nsteps; i++)
        if (tsm_function_row(c->steps[i].fn)->kind != TSM_KIND_TRANSFORM || c->steps[i].fn == TSM_FN_SAMPLE)
            return false;
    return true;
}

int tsm_level_stream_new(struct tsm_level *l, struct tsm_level_stream **out, struct tsm_err *err)
{
    struct tsm_level_stream *k = *out = tsm_calloc(1, sizeof *k);
    k->l = l;
    k->wave.a = &k->rows.agg;
    return tsm_agg_rows_init(&k->rows, &l->run, err);
}

static void drop_groups(struct tsm_level_stream *k)
{
    for (size_t i = 0; i < k->ngroups; i++) {
        struct group *g = k->groups[i];
        k->of[g->series] = NULL;
        tsm_agg_chain_free(g->chain);
        tsm_agg_result_release(&g->out);
        tsm_free(g->head.tags);
        tsm_free(g);
    }
    k->ngroups = 0;
}

void tsm_level_stream_free(struct tsm_level_stream *k)
{
    drop_groups(k);
    tsm_free(k->groups);
    tsm_free(k->of);
    tsm_arena_release(&k->text);
    tsm_agg_rows_release(&k->rows);
    tsm_free(k);
}

static struct group *new_group(struct tsm_level_stream *k, uint32_t series)
{
    struct tsm_level *l = k->l;
    const struct tsm_level_series *s = &l->in.series[series];
    struct group *g = tsm_calloc(1, sizeof *g);
    g->series = series;
    g->head.name = s->name;
    g->head.tags = tsm_calloc(l->in.ndims + 1, sizeof *g->head.tags);
    for (size_t i = 0; i < l->in.ndims; i++)
        g->head.tags[i] = (struct tsm_tag){l->in.dims[i], s->values[i]};
    g->number = tsm_agg_rows_number(&k->rows, &g->head);
    g->reducer = (struct tsm_agg_reducer){.w = &k->wave,
                                          .c = &k->rows.agg.calls[0],
                                          .from = series,
                                          .out = &g->out,
                                          .descending = l->c.descending};
    g->chain = tsm_agg_chain_new(&g->reducer, NULL, NULL);
    return g;
}

static struct group *group_of(struct tsm_level_stream *k, uint32_t series)
{
    if (series >= k->nof) {
        size_t n = k->l->in.cap > series ? k->l->in.cap : series + 1;
        k->of = tsm_realloc_array(k->of, n, sizeof *k->of);
        memset(k->of + k->nof, 0, (n - k->nof) * sizeof *k->of);
        k->nof = n;
    }
    if (!k->of[series]) {
        TSM_GROW(k->groups, k->ngroups + 1, k->capgroups);
        k->of[series] = k->groups[k->ngroups++] = new_group(k, series);
    }
    return k->of[series];
}

/* What has come out of the group's transforms. */
static int give_points(struct tsm_level_stream *k, struct group *g, struct tsm_err *err)
{
    int code = TSM_OK;
    for (size_t i = 0; i < g->out.n && !code; i++)
        code = tsm_agg_rows_point(&k->rows, &g->head, g->number, g->out.t[i], g->out.v[i], err);
    g->out.n = 0;
    return code;
}

static int compare_groups(const void *x, const void *y, void *ctx)
{
    const struct tsm_level *l = ctx;
    const struct group *a = *(struct group *const *)x, *b = *(struct group *const *)y;
    for (size_t i = 0; i < l->in.ndims; i++) {
        int c = tsm_str_cmp(a->head.tags[i].value, b->head.tags[i].value);
        if (c)
            return c;
    }
    return 0;
}

static int end_answer(struct tsm_level_stream *k, struct tsm_err *err)
{
    int code = TSM_OK;
    if (k->ngroups)
        qsort_r(k->groups, k->ngroups, sizeof *k->groups, compare_groups, k->l);
    for (size_t i = 0; i < k->ngroups && !code; i++) {
        code = tsm_agg_chain_end(k->groups[i]->chain, err);
        if (!code)
            code = give_points(k, k->groups[i], err);
    }
    if (!code)
        code = tsm_agg_rows_points_end(&k->rows, err);
    drop_groups(k);
    return code;
}

int tsm_level_stream_end(struct tsm_level_stream *k, struct tsm_err *err)
{
    return end_answer(k, err);
}

static union tsm_num num_at(struct tsm_level_stream *k, const struct tsm_vec *v, size_t i)
{
    union tsm_num out = {0};
    if (v->type == TSM_VEC_BOOLEAN) {
        out.u = v->v.b[i];
    } else if (v->type == TSM_VEC_STRING) {
        struct tsm_str *s = tsm_arena_alloc(&k->text, sizeof *s);
        *s = v->v.s[i];
        out.s = s;
    } else {
        out.u = v->v.u[i];
    }
    return out;
}

int tsm_level_stream_take(void *ctx, const struct tsm_level_batch *b, struct tsm_err *err)
{
    struct tsm_level_stream *k = ctx;
    const struct tsm_agg_call *c = &k->rows.agg.calls[0];
    if (c->method == TSM_AGG_NONE)
        return TSM_OK;
    const struct tsm_vec *v = &b->columns[c->field];
    struct group *g = NULL;
    int code = TSM_OK;
    for (size_t i = 0; i < b->n && !code; i++) {
        if (v->nulls && v->nulls[i])
            continue;
        if (!g || g->series != b->series[i]) {
            uint32_t outer = k->l->in.series[b->series[i]].outer;
            if (k->ngroups && outer != k->outer)
                code = end_answer(k, err);
            k->outer = outer;
            g = group_of(k, b->series[i]);
        }
        if (!code)
            code = tsm_agg_chain_add(g->chain, b->t[i], num_at(k, v, i), err);
        if (!code && g->out.n)
            code = give_points(k, g, err);
    }
    tsm_arena_release(&k->text);
    return code;
}
