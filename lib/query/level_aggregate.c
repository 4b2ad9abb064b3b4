/*
 * query/level_aggregate.c: functions over the rows of a subquery. Rows of one answer follow each other; of each of its groups
 * what the calls need is kept, until the answer is complete. A run of rows of one interval gives a point, as with influxd,
 * whatever their order is.
 */
#include "query/level.h"

#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "query/aggregate_rows.h"
#include "base/banned.h"

struct group {
    struct tsm_unit unit; /* what points say that they are from; first */
    const struct tsm_level_aggregate *k;
    uint32_t series; /* in the level's names */
    struct tsm_plan_group head;
    struct tsm_agg_task *tasks; /* per source: of points; values of all sources are in the first */
    struct beside {
        void **values; /* per aux: what stands beside the points of the one call, in their order */
        uint8_t **nulls;
        size_t cap;
    } * beside; /* per source */
    int64_t last_t;
    bool any;
};

struct tsm_level_aggregate {
    struct tsm_level *l;
    struct tsm_agg_rows rows;
    uint32_t outer; /* of the answer that is being read */
    struct group **groups;
    size_t ngroups, capgroups;
    struct group **of; /* per series of the level's names: its group in the answer, or NULL */
    size_t nof;
    size_t bytes;
};

/* ---- groups ------------------------------------------------------------------------------------ */

static struct group *new_group(struct tsm_level_aggregate *k, uint32_t series)
{
    struct tsm_level *l = k->l;
    const struct tsm_level_series *s = &l->in.series[series];
    size_t ncalls = l->shape.ncalls;
    struct group *g = tsm_calloc(1, sizeof *g);
    g->unit = (struct tsm_unit){.level = l, .name = s->name};
    g->k = k;
    g->series = series;
    g->head.name = s->name;
    g->head.tags = tsm_calloc(l->in.ndims + 1, sizeof *g->head.tags);
    for (size_t i = 0; i < l->in.ndims; i++)
        g->head.tags[i] = (struct tsm_tag){l->in.dims[i], s->values[i]};
    g->tasks = tsm_calloc(l->nbelow, sizeof *g->tasks);
    g->beside = tsm_calloc(l->nbelow, sizeof *g->beside);
    for (size_t i = 0; i < l->nbelow; i++) {
        g->tasks[i].lists = tsm_calloc(ncalls, sizeof *g->tasks[i].lists);
        g->tasks[i].ends = tsm_calloc(ncalls, sizeof *g->tasks[i].ends);
        g->tasks[i].dense = tsm_calloc(ncalls, sizeof *g->tasks[i].dense);
        g->beside[i].values = tsm_calloc(l->shape.naux + 1, sizeof *g->beside[i].values);
        g->beside[i].nulls = tsm_calloc(l->shape.naux + 1, sizeof *g->beside[i].nulls);
    }
    return g;
}

static void group_free(struct tsm_level_aggregate *k, struct group *g)
{
    for (size_t i = 0; i < k->l->nbelow; i++) {
        struct tsm_agg_task *task = &g->tasks[i];
        for (size_t c = 0; c < k->l->shape.ncalls; c++) {
            tsm_free(task->lists[c].t);
            tsm_free(task->lists[c].p);
            tsm_free(task->lists[c].v);
        }
        for (size_t a = 0; a < k->l->shape.naux; a++) {
            tsm_free(g->beside[i].values[a]);
            tsm_free(g->beside[i].nulls[a]);
        }
        tsm_free(g->beside[i].values);
        tsm_free(g->beside[i].nulls);
        tsm_free(task->lists);
        tsm_free(task->ends);
        tsm_free(task->dense);
        tsm_arena_release(&task->text);
    }
    tsm_free(g->beside);
    tsm_free(g->tasks);
    tsm_free(g->head.tags);
    tsm_free(g);
}

static struct group *group_of(struct tsm_level_aggregate *k, uint32_t series)
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

static void drop_groups(struct tsm_level_aggregate *k)
{
    for (size_t i = 0; i < k->ngroups; i++) {
        k->of[k->groups[i]->series] = NULL;
        group_free(k, k->groups[i]);
    }
    k->ngroups = 0;
    k->bytes = 0;
}

int tsm_level_aggregate_new(struct tsm_level *l, struct tsm_level_aggregate **out, struct tsm_err *err)
{
    struct tsm_level_aggregate *k = *out = tsm_calloc(1, sizeof *k);
    k->l = l;
    int code = tsm_agg_rows_init(&k->rows, &l->run, err);
    for (size_t c = 0; c < l->shape.ncalls && !code; c++) {
        struct tsm_agg_call *call = &k->rows.agg.calls[c];
        if (call->method == TSM_AGG_ENDS)
            call->method = TSM_AGG_FOLD;
        call->best = 0; /* all points are kept, in the order in which they come */
        call->entered = false;
    }
    return code;
}

void tsm_level_aggregate_free(struct tsm_level_aggregate *k)
{
    drop_groups(k);
    tsm_free(k->groups);
    tsm_free(k->of);
    tsm_agg_rows_release(&k->rows);
    tsm_free(k);
}

/* ---- the answer -------------------------------------------------------------------------------- */

static int compare_groups(const void *x, const void *y, void *ctx)
{
    const struct tsm_plan *p = ctx;
    const struct group *a = *(struct group *const *)x, *b = *(struct group *const *)y;
    for (int round = p->grouped ? 0 : 1; round < 2; round++) {
        for (size_t i = 0; i < p->ndimensions; i++) {
            int c = round == 0 && !p->grouped[i] ? 0
                                                 : tsm_str_cmp(a->head.tags[i].value, b->head.tags[i].value);
            if (c)
                return c;
        }
    }
    return 0;
}

static int reduce_group(struct tsm_level_aggregate *k, struct group *g, struct tsm_agg_group *out,
                        struct tsm_err *err)
{
    size_t n = k->l->nbelow;
    struct tsm_agg_member member = {.unit = &g->unit, .n = (uint32_t)n};
    struct tsm_agg_wave w = {.a = &k->rows.agg, .members = &member, .nmembers = 1, .nseries = n, .per = 1};
    w.tasks = g->tasks;
    w.ntasks = n;
    w.nwindows = 1;
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < k->l->shape.ncalls; c++)
            g->tasks[i].ends[c] = g->tasks[i].lists[c].n;
    return tsm_agg_reduce(&w, 0, 1, out, err);
}

static int give_answer(struct tsm_level_aggregate *k, struct tsm_err *err)
{
    size_t n = k->ngroups;
    if (n == 0)
        return TSM_OK;
    qsort_r(k->groups, n, sizeof *k->groups, compare_groups, &k->l->plan);
    struct tsm_agg_group *results = tsm_calloc(n, sizeof *results);
    const struct tsm_plan_group **heads = tsm_calloc(n, sizeof *heads);
    int code = TSM_OK;
    for (size_t i = 0; i < n && !code; i++) {
        heads[i] = &k->groups[i]->head;
        code = reduce_group(k, k->groups[i], &results[i], err);
    }
    if (!code && !k->rows.ended)
        code = tsm_agg_rows_give(&k->rows, heads, results, n, err);
    for (size_t i = 0; i < n; i++)
        tsm_agg_group_release(&k->rows.agg, &results[i]);
    tsm_free(heads);
    tsm_free(results);
    drop_groups(k);
    return code;
}

int tsm_level_aggregate_end(struct tsm_level_aggregate *k, struct tsm_err *err)
{
    return give_answer(k, err);
}

/* ---- what stands beside points ----------------------------------------------------------------- */

static void keep_aux(struct tsm_level_aggregate *k, struct beside *to, struct tsm_arena *text,
                     const struct tsm_level_batch *b, size_t row, size_t at)
{
    const struct tsm_shape *s = &k->l->shape;
    if (at >= to->cap) {
        size_t cap = to->cap ? 2 * to->cap : 8;
        for (size_t a = 0; a < s->naux; a++) {
            to->values[a] = tsm_realloc_array(to->values[a], cap, sizeof(struct tsm_str));
            to->nulls[a] = tsm_realloc(to->nulls[a], cap);
        }
        k->bytes += (cap - to->cap) * s->naux * (sizeof(struct tsm_str) + 1);
        to->cap = cap;
    }
    for (size_t a = 0; a < s->naux; a++) {
        const struct tsm_aux *aux = &s->aux[a];
        to->nulls[a][at] = 1;
        if (aux->index == SIZE_MAX)
            continue;
        const struct tsm_vec *v =
            &b->columns[aux->type == TSM_DATA_TAG ? k->l->plan.nfields + aux->index : aux->index];
        if (v->type == TSM_VEC_NIL || (v->nulls && v->nulls[row]))
            continue;
        to->nulls[a][at] = 0;
        if (v->type == TSM_VEC_STRING)
            ((struct tsm_str *)to->values[a])[at] = tsm_arena_str(text, v->v.s[row]);
        else
            ((union tsm_num *)to->values[a])[at].u = v->type == TSM_VEC_BOOLEAN ? v->v.b[row] : v->v.u[row];
    }
}

bool tsm_level_aux(const struct tsm_agg_origin *o, size_t i, union tsm_num *v)
{
    const struct group *g = (const struct group *)o->unit;
    const struct tsm_aux *aux = &g->k->l->shape.aux[i];
    const struct beside *b = &g->beside[o->series];
    if (o->row >= b->cap || b->nulls[i][o->row])
        return false;
    if (aux->vec == TSM_VEC_STRING)
        v->s = &((const struct tsm_str *)b->values[i])[o->row];
    else
        *v = ((const union tsm_num *)b->values[i])[o->row];
    return true;
}

/* ---- rows -------------------------------------------------------------------------------------- */

static void reserve(struct tsm_level_aggregate *k, struct tsm_agg_list *l, bool values, size_t n)
{
    if (l->n + n <= l->cap)
        return;
    size_t cap = l->cap ? l->cap + l->cap / 2 : 4;
    cap = cap < l->n + n ? l->n + n : cap;
    l->t = tsm_realloc_array(l->t, cap, sizeof *l->t);
    if (values)
        l->v = tsm_realloc_array(l->v, cap, sizeof *l->v);
    else
        l->p = tsm_realloc_array(l->p, cap, sizeof *l->p);
    /* Values are put in order beside the list. */
    k->bytes += (cap - l->cap) * (values ? 4 * sizeof *l->v : sizeof *l->t + sizeof *l->p);
    l->cap = cap;
}

static union tsm_num num_at(const struct tsm_vec *v, size_t i, struct tsm_arena *text)
{
    union tsm_num out = {0};
    if (v->type == TSM_VEC_BOOLEAN) {
        out.u = v->v.b[i];
    } else if (v->type == TSM_VEC_STRING) {
        struct tsm_str *s = tsm_arena_alloc(text, sizeof *s);
        *s = tsm_arena_str(text, v->v.s[i]);
        out.s = s;
    } else {
        out.u = v->v.u[i];
    }
    return out;
}

static const void *value_at(const struct tsm_vec *v, size_t i)
{
    return (const char *)v->v.p + i * tsm_vec_size(v->type);
}

/* The point of the interval that t is in: the last one, or a new one. */
static struct tsm_partial *point_of(struct tsm_level_aggregate *k, struct tsm_agg_list *l, int64_t window,
                                    bool *fresh)
{
    *fresh = l->n == 0 || l->t[l->n - 1] != window;
    if (*fresh) {
        reserve(k, l, false, 1);
        l->t[l->n++] = window;
    }
    return &l->p[l->n - 1];
}

static bool is_selector(enum tsm_function fn)
{
    return fn == TSM_FN_MIN || fn == TSM_FN_MAX || fn == TSM_FN_FIRST || fn == TSM_FN_LAST;
}

/* Rows [from, to), one by one: for selectors, where times do not ascend or something stands beside the point. */
static void fold_rows(struct tsm_level_aggregate *k, struct group *g, size_t call,
                      const struct tsm_level_batch *b, size_t from, size_t to)
{
    const struct tsm_agg_call *c = &k->rows.agg.calls[call];
    const struct tsm_vec *v = &b->columns[c->field];
    tsm_fold_add *add = tsm_fold_adder(c->fn, c->type);
    struct tsm_agg_task *task = &g->tasks[b->source];
    bool beside = c->visible && k->l->shape.naux;
    for (size_t i = from; i < to; i++) {
        if (v->nulls && v->nulls[i])
            continue;
        bool fresh;
        struct tsm_partial *p = point_of(k, &task->lists[call], tsm_window_at(&k->l->c, b->t[i]).start,
                                         &fresh);
        if (!is_selector(c->fn)) {
            add(p, &b->t[i], value_at(v, i), 1, fresh, false, &task->text);
            continue;
        }
        struct tsm_partial one = {.v.u = 0};
        add(&one, &b->t[i], value_at(v, i), 1, true, false, &task->text);
        if (tsm_join(c->fn, c->type, p, &one, fresh) && beside)
            keep_aux(k, &g->beside[b->source], &task->text, b, i, task->lists[call].n - 1);
    }
}

/* The end of the run of times before `end`. */
static size_t run_end(const int64_t *t, size_t i, size_t n, int64_t end)
{
    if (t[n - 1] < end)
        return n;
    while (i < n && t[i] < end)
        i++;
    return i;
}

/* The same for rows without nulls whose times ascend. */
static void fold_run(struct tsm_level_aggregate *k, struct group *g, size_t call,
                     const struct tsm_level_batch *b, size_t from, size_t to)
{
    const struct tsm_agg_call *c = &k->rows.agg.calls[call];
    const struct tsm_vec *v = &b->columns[c->field];
    struct tsm_agg_task *task = &g->tasks[b->source];
    tsm_fold_add *add = tsm_fold_adder(c->fn, c->type);
    for (size_t i = from, end; i < to; i = end) {
        struct tsm_window w = tsm_window_at(&k->l->c, b->t[i]);
        end = run_end(b->t, i, to, w.end);
        bool fresh;
        struct tsm_partial *p = point_of(k, &task->lists[call], w.start, &fresh);
        add(p, b->t + i, value_at(v, i), end - i, fresh, false, &task->text);
    }
}

static void keep_values(struct tsm_level_aggregate *k, struct group *g, size_t call,
                        const struct tsm_level_batch *b, size_t from, size_t to)
{
    const struct tsm_agg_call *c = &k->rows.agg.calls[call];
    const struct tsm_vec *v = &b->columns[c->field];
    struct tsm_agg_task *task = &g->tasks[0];
    struct tsm_agg_list *l = &task->lists[call];
    bool beside = c->visible && k->l->shape.naux;
    reserve(k, l, true, to - from);
    for (size_t i = from; i < to; i++) {
        if (v->nulls && v->nulls[i])
            continue;
        if (beside)
            keep_aux(k, &g->beside[0], &task->text, b, i, l->n);
        l->t[l->n] = b->t[i];
        l->v[l->n++] = num_at(v, i, &task->text);
    }
}

static bool any_nan(const struct tsm_vec *v, size_t from, size_t to)
{
    bool any = false;
    for (size_t i = from; v->type == TSM_VEC_FLOAT && i < to; i++)
        any |= v->v.f[i] != v->v.f[i];
    return any;
}

/* Rows [from, to), which are of one group. */
static void take_run(struct tsm_level_aggregate *k, const struct tsm_level_batch *b, size_t from, size_t to)
{
    struct group *g = group_of(k, b->series[from]);
    bool ascend = !g->any || g->last_t < b->t[from];
    for (size_t i = from + 1; i < to && ascend; i++)
        ascend = b->t[i - 1] < b->t[i];
    for (size_t c = 0; c < k->l->shape.ncalls; c++) {
        const struct tsm_agg_call *call = &k->rows.agg.calls[c];
        if (call->method == TSM_AGG_NONE)
            continue;
        const struct tsm_vec *v = &b->columns[call->field];
        if (call->method == TSM_AGG_VALUES)
            keep_values(k, g, c, b, from, to);
        else if (!ascend || v->nulls || (call->visible && k->l->shape.naux) ||
                 (call->fn != TSM_FN_COUNT && any_nan(v, from, to)))
            fold_rows(k, g, c, b, from, to);
        else
            fold_run(k, g, c, b, from, to);
    }
    g->any = true;
    g->last_t = b->t[to - 1];
}

int tsm_level_aggregate_take(void *ctx, const struct tsm_level_batch *b, struct tsm_err *err)
{
    struct tsm_level_aggregate *k = ctx;
    int code = TSM_OK;
    for (size_t i = 0, end; i < b->n && !code; i = end) {
        for (end = i + 1; end < b->n && b->series[end] == b->series[i];)
            end++;
        uint32_t outer = k->l->in.series[b->series[i]].outer;
        if (k->ngroups && outer != k->outer)
            code = give_answer(k, err);
        k->outer = outer;
        if (!code)
            take_run(k, b, i, end);
        if (!code && k->bytes > k->l->run.memory)
            code = tsm_memory_error(&k->l->run, err);
    }
    return code;
}
