/*
 * query/aggregate_best.c: top() and bottom(). influxd keeps the best points of an interval in a heap (Go's container/heap) and
 * sorts them with Go's sort, neither of which is stable; where points are equal in value and time, what stands beside them
 * shows which of them was kept and which comes first.
 */
#include "query/aggregate.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/sort.h"
#include "query/value_sort.h"
#include "base/banned.h"

void tsm_agg_best_init(struct tsm_agg_best *b, const struct tsm_agg_call *c)
{
    *b = (struct tsm_agg_best){
        .most = (size_t)c->call->n, .type = c->type, .bottom = c->call->fn == TSM_FN_BOTTOM};
    b->cap = b->most < 16 ? b->most : 16;
    b->points = tsm_realloc_array(NULL, b->cap, sizeof *b->points);
}

void tsm_agg_best_release(struct tsm_agg_best *b)
{
    tsm_free(b->points);
    *b = (struct tsm_agg_best){0};
}

/* x is not as good as y: the heap's order, the worst one first. */
static inline bool worse(const struct tsm_agg_best *b, const struct tsm_agg_best_point *x,
                         const struct tsm_agg_best_point *y)
{
    if (!tsm_num_equal(b->type, x->v, y->v))
        return b->bottom ? tsm_num_less(b->type, y->v, x->v) : tsm_num_less(b->type, x->v, y->v);
    return x->t > y->t;
}

static void swap(struct tsm_agg_best *b, size_t i, size_t j)
{
    struct tsm_agg_best_point t = b->points[i];
    b->points[i] = b->points[j];
    b->points[j] = t;
}

static void sift_up(struct tsm_agg_best *b, size_t j)
{
    while (j > 0) {
        size_t parent = (j - 1) / 2;
        if (!worse(b, &b->points[j], &b->points[parent]))
            break;
        swap(b, parent, j);
        j = parent;
    }
}

static void sift_down(struct tsm_agg_best *b)
{
    for (size_t i = 0;;) {
        size_t child = 2 * i + 1;
        if (child >= b->n)
            return;
        if (child + 1 < b->n && worse(b, &b->points[child + 1], &b->points[child]))
            child++;
        if (!worse(b, &b->points[child], &b->points[i]))
            return;
        swap(b, i, child);
        i = child;
    }
}

bool tsm_agg_best_add(struct tsm_agg_best *b, int64_t t, union tsm_num v, size_t number)
{
    struct tsm_agg_best_point p = {t, v, number};
    if (b->n == b->most) {
        if (!worse(b, &b->points[0], &p))
            return false;
        b->points[0] = p;
        sift_down(b);
        return true;
    }
    if (b->n == b->cap) {
        b->cap = b->cap > b->most / 2 ? b->most : 2 * b->cap;
        b->points = tsm_realloc_array(b->points, b->cap, sizeof *b->points);
    }
    b->points[b->n] = p;
    sift_up(b, b->n++);
    return true;
}

bool tsm_agg_best_worse(const struct tsm_agg_best *b, const struct tsm_agg_best_point *x,
                        const struct tsm_agg_best_point *y)
{
    return worse(b, x, y);
}

static int compare_best(const void *x, const void *y, void *ctx)
{
    const struct tsm_agg_best_point *const *a = x, *const *b = y;
    return worse(ctx, *b, *a) ? -1 : worse(ctx, *a, *b);
}

static int compare_times(const void *x, const void *y)
{
    const struct tsm_agg_best_point *a = x, *b = y;
    if (a->t != b->t)
        return a->t < b->t ? -1 : 1;
    return a->number < b->number ? -1 : a->number > b->number;
}

void tsm_agg_best_sort(struct tsm_agg_best *b)
{
    /* Go's sort, by rank: equal points have one. */
    struct tsm_value_item *items = tsm_realloc_array(NULL, b->n + 1, sizeof *items);
    const struct tsm_agg_best_point **by_rank = tsm_realloc_array(NULL, b->n + 1, sizeof *by_rank);
    for (size_t i = 0; i < b->n; i++)
        by_rank[i] = &b->points[i];
    qsort_r(by_rank, b->n, sizeof *by_rank, compare_best, b);
    uint64_t rank = 0;
    for (size_t i = 0; i < b->n; i++) {
        rank += i > 0 && worse(b, by_rank[i], by_rank[i - 1]);
        items[by_rank[i] - b->points].v.u = rank;
    }
    for (size_t i = 0; i < b->n; i++)
        items[i].ref.row = (uint32_t)i;
    tsm_sort_values(items, b->n, TSM_VEC_UNSIGNED, NULL);
    /* Then by time, stable; the numbers that the caller gave are kept aside meanwhile. */
    struct tsm_agg_best_point *sorted = tsm_realloc_array(NULL, b->n + 1, sizeof *sorted);
    size_t *numbers = tsm_realloc_array(NULL, b->n + 1, sizeof *numbers);
    for (size_t i = 0; i < b->n; i++) {
        sorted[i] = b->points[items[i].ref.row];
        numbers[i] = sorted[i].number;
        sorted[i].number = i;
    }
    tsm_sort(sorted, b->n, sizeof *sorted, compare_times);
    for (size_t i = 0; i < b->n; i++) {
        b->points[i] = sorted[i];
        b->points[i].number = numbers[sorted[i].number];
    }
    tsm_free(numbers);
    tsm_free(sorted);
    tsm_free(by_rank);
    tsm_free(items);
}

/* ---- with tags --------------------------------------------------------------------------------- */

static bool due_before(const struct tsm_compiled *c, const struct tsm_window *x, const struct tsm_window *y)
{
    return c->descending ? x->start > y->start : x->start < y->start;
}

void tsm_agg_combine_best(const struct tsm_run *r, const struct tsm_agg_call *c,
                          const struct tsm_agg_result *in, size_t n, struct tsm_agg_result *out)
{
    size_t *at = tsm_calloc(n + 1, sizeof *at);
    struct tsm_agg_reducer k = {.c = c, .out = out};
    struct tsm_agg_best best;
    tsm_agg_best_init(&best, c);
    for (;;) {
        bool any = false;
        struct tsm_window due = {0};
        for (size_t i = 0; i < n; i++) {
            if (at[i] == in[i].n)
                continue;
            struct tsm_window w = tsm_window_at(r->c, in[i].t[at[i]]);
            if (!any || due_before(r->c, &w, &due))
                due = w;
            any = true;
        }
        if (!any)
            break;
        best.n = 0;
        for (size_t i = 0; i < n; i++)
            if (at[i] < in[i].n && in[i].t[at[i]] >= due.start && in[i].t[at[i]] < due.end) {
                tsm_agg_best_add(&best, in[i].t[at[i]], in[i].v[at[i]], i);
                at[i]++;
            }
        tsm_agg_best_sort(&best);
        for (size_t i = 0; i < best.n; i++) {
            const struct tsm_agg_result *from = &in[best.points[i].number];
            tsm_agg_add_result(&k, best.points[i].t, best.points[i].v,
                               from->origins ? &from->origins[at[best.points[i].number] - 1] : NULL);
        }
    }
    tsm_agg_best_release(&best);
    tsm_free(at);
}
