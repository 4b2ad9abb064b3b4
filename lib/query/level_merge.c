/*
 * query/level_merge.c: the rows of several sources, some of which are subqueries, in the order in which influxd merges them.
 * All of them are kept until the last source has given its rows.
 */
#include "query/level.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/sort.h"
#include "base/banned.h"

enum { BATCH = 4096 };

struct column {
    void *values;
    uint8_t *nulls;
};

struct source {
    struct tsm_level_merge *m;
    int64_t *t;
    uint32_t *series;
    struct column *columns;
    size_t n, cap;
    struct tsm_arena text;
    size_t at; /* the next row */
};

struct tsm_level_merge {
    struct tsm_level *l;
    struct tsm_level_names *names;
    struct source *sources;
    size_t nsources, ncolumns;
    enum tsm_vec_type *types;
    bool sorted;      /* by time; else by interval */
    uint32_t *places; /* per outer number of the names: its place in the order of the answer */
    size_t *heap;     /* sources */
    size_t nheap;
    size_t bytes;
};

/* ---- keeping ----------------------------------------------------------------------------------- */

struct tsm_level_merge *tsm_level_merge_new(struct tsm_level *l, struct tsm_level_names *names)
{
    const struct tsm_plan *p = &l->plan;
    struct tsm_level_merge *m = tsm_calloc(1, sizeof *m);
    m->l = l;
    m->names = names;
    m->nsources = l->nbelow;
    m->sources = tsm_calloc(m->nsources, sizeof *m->sources);
    m->ncolumns = p->nfields + p->ntags;
    m->types = tsm_calloc(m->ncolumns + 1, sizeof *m->types);
    for (size_t i = 0; i < m->ncolumns; i++)
        m->types[i] = i < p->nfields ? tsm_vec_type_of(p->fields[i].type) : TSM_VEC_STRING;
    for (size_t i = 0; i < m->nsources; i++) {
        m->sources[i].m = m;
        m->sources[i].columns = tsm_calloc(m->ncolumns + 1, sizeof *m->sources[i].columns);
    }
    m->sorted = l->shape.ncalls == 0;
    return m;
}

void tsm_level_merge_free(struct tsm_level_merge *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->nsources; i++) {
        struct source *s = &m->sources[i];
        for (size_t c = 0; c < m->ncolumns; c++) {
            tsm_free(s->columns[c].values);
            tsm_free(s->columns[c].nulls);
        }
        tsm_free(s->columns);
        tsm_free(s->t);
        tsm_free(s->series);
        tsm_arena_release(&s->text);
    }
    tsm_free(m->sources);
    tsm_free(m->types);
    tsm_free(m->places);
    tsm_free(m->heap);
    tsm_free(m);
}

void *tsm_level_merge_source(struct tsm_level_merge *m, size_t i)
{
    return &m->sources[i];
}

static void reserve(struct source *s, size_t n)
{
    struct tsm_level_merge *m = s->m;
    if (s->n + n <= s->cap)
        return;
    size_t cap = 2 * s->cap > s->n + n ? 2 * s->cap : s->n + n, row = sizeof *s->t + sizeof *s->series;
    s->t = tsm_realloc_array(s->t, cap, sizeof *s->t);
    s->series = tsm_realloc_array(s->series, cap, sizeof *s->series);
    for (size_t c = 0; c < m->ncolumns; c++) {
        s->columns[c].values = tsm_realloc_array(s->columns[c].values, cap, tsm_vec_size(m->types[c]) + 1);
        s->columns[c].nulls = tsm_realloc(s->columns[c].nulls, cap);
        row += tsm_vec_size(m->types[c]) + 1;
    }
    m->bytes += (cap - s->cap) * row;
    s->cap = cap;
}

int tsm_level_merge_take(void *ctx, const struct tsm_level_batch *b, struct tsm_err *err)
{
    struct source *s = ctx;
    struct tsm_level_merge *m = s->m;
    size_t text = s->text.bytes;
    reserve(s, b->n);
    memcpy(s->t + s->n, b->t, b->n * sizeof *s->t);
    memcpy(s->series + s->n, b->series, b->n * sizeof *s->series);
    for (size_t c = 0; c < m->ncolumns; c++) {
        const struct tsm_vec *v = &b->columns[c];
        size_t size = tsm_vec_size(m->types[c]);
        char *to = (char *)s->columns[c].values + s->n * size;
        uint8_t *nulls = s->columns[c].nulls + s->n;
        if (v->nulls)
            memcpy(nulls, v->nulls, b->n);
        else
            memset(nulls, 0, b->n);
        if (m->types[c] != TSM_VEC_STRING) {
            memcpy(to, v->v.p, b->n * size);
            continue;
        }
        for (size_t i = 0; i < b->n; i++)
            ((struct tsm_str *)to)[i] = nulls[i] ? (struct tsm_str){0} : tsm_arena_str(&s->text, v->v.s[i]);
    }
    s->n += b->n;
    m->bytes += s->text.bytes - text;
    return m->bytes > m->l->run.memory ? tsm_memory_error(&m->l->run, err) : TSM_OK;
}

/* ---- order ------------------------------------------------------------------------------------- */

struct placed {
    const struct tsm_level_names *names;
    const struct tsm_level_series *series;
};

static int compare_placed(const void *x, const void *y)
{
    const struct placed *a = x, *b = y;
    int c = tsm_str_cmp(a->series->name, b->series->name);
    for (size_t i = 0; i < a->names->ndims && !c; i++)
        if (a->names->outer[i])
            c = tsm_str_cmp(a->series->values[i], b->series->values[i]);
    return c;
}

static void find_places(struct tsm_level_merge *m)
{
    const struct tsm_level_names *names = m->names;
    size_t n = names->nouters, at = 0;
    struct placed *all = tsm_calloc(n + 1, sizeof *all);
    m->places = tsm_calloc(n + 1, sizeof *m->places);
    for (size_t i = 0; i < names->n; i++) /* numbers are given in order */
        if (names->series[i].outer == at)
            all[at++] = (struct placed){names, &names->series[i]};
    tsm_sort(all, n, sizeof *all, compare_placed);
    for (size_t i = 0; i < n; i++)
        m->places[all[i].series->outer] = (uint32_t)(m->l->c.descending ? n - 1 - i : i);
    tsm_free(all);
}

static uint32_t place_of(const struct tsm_level_merge *m, const struct source *s)
{
    return m->places[m->names->series[s->series[s->at]].outer];
}

/* At equal times influxd compares the strings that come first in the order of names. */
static int compare_strings(const struct tsm_level_merge *m, const struct source *x, const struct source *y)
{
    const struct tsm_shape *s = &m->l->shape;
    for (size_t a = 0; a < s->naux; a++) {
        const struct tsm_aux *aux = &s->aux[a];
        if (aux->vec != TSM_VEC_STRING || aux->index == SIZE_MAX)
            return 0;
        size_t c = aux->type == TSM_DATA_TAG ? m->l->plan.nfields + aux->index : aux->index;
        if (x->columns[c].nulls[x->at] || y->columns[c].nulls[y->at])
            return 0;
        int order = tsm_str_cmp(((struct tsm_str *)x->columns[c].values)[x->at],
                                ((struct tsm_str *)y->columns[c].values)[y->at]);
        if (order)
            return order;
    }
    return 0;
}

static bool item_less(const struct tsm_level_merge *m, size_t i, size_t j)
{
    const struct source *x = &m->sources[m->heap[i]], *y = &m->sources[m->heap[j]];
    bool down = m->l->c.descending;
    uint32_t px = place_of(m, x), py = place_of(m, y);
    if (px != py)
        return px < py;
    int64_t tx = x->t[x->at], ty = y->t[y->at];
    if (!m->sorted) {
        tx = tsm_window_at(&m->l->c, tx).start;
        ty = tsm_window_at(&m->l->c, ty).start;
    }
    if (tx != ty)
        return down ? tx > ty : tx < ty;
    int c = m->sorted ? compare_strings(m, x, y) : 0;
    return down ? c > 0 : c < 0;
}

static void swap(struct tsm_level_merge *m, size_t i, size_t j)
{
    size_t s = m->heap[i];
    m->heap[i] = m->heap[j];
    m->heap[j] = s;
}

static void sift_down(struct tsm_level_merge *m, size_t i, size_t n)
{
    for (size_t j; (j = 2 * i + 1) < n; i = j) {
        j += j + 1 < n && item_less(m, j + 1, j);
        if (!item_less(m, j, i))
            break;
        swap(m, i, j);
    }
}

static void sift_up(struct tsm_level_merge *m, size_t j)
{
    while (j > 0) {
        size_t i = (j - 1) / 2;
        if (!item_less(m, j, i))
            break;
        swap(m, i, j);
        j = i;
    }
}

/* The end of the run that influxd takes of a source at once. */
static size_t run_end(const struct tsm_level_merge *m, const struct source *s)
{
    size_t end = s->at + 1;
    if (m->sorted)
        return end;
    uint32_t outer = m->names->series[s->series[s->at]].outer;
    struct tsm_window w = tsm_window_at(&m->l->c, s->t[s->at]);
    bool down = m->l->c.descending;
    while (end < s->n && m->names->series[s->series[end]].outer == outer &&
           (down ? s->t[end] >= w.start : s->t[end] < w.end))
        end++;
    return end;
}

/* ---- giving ------------------------------------------------------------------------------------ */

static int give(struct tsm_level_merge *m, const struct source *s, size_t from, size_t n,
                tsm_level_take *take, void *ctx, struct tsm_err *err)
{
    struct tsm_vec *columns = tsm_calloc(m->ncolumns + 1, sizeof *columns);
    for (size_t c = 0; c < m->ncolumns; c++) {
        const uint8_t *nulls = s->columns[c].nulls + from;
        columns[c] = (struct tsm_vec){.type = m->types[c], .nulls = memchr(nulls, 1, n) ? nulls : NULL};
        columns[c].v.p = (const char *)s->columns[c].values + from * tsm_vec_size(m->types[c]);
    }
    struct tsm_level_batch b = {n, s->t + from, columns, s->series + from, (unsigned)(s - m->sources)};
    int code = take(ctx, &b, err);
    tsm_free(columns);
    return code;
}

int tsm_level_merge_end(struct tsm_level_merge *m, tsm_level_take *take, void *ctx, struct tsm_err *err)
{
    int code = TSM_OK;
    find_places(m);
    m->heap = tsm_calloc(m->nsources + 1, sizeof *m->heap);
    for (size_t i = 0; i < m->nsources; i++)
        if (m->sources[i].n)
            m->heap[m->nheap++] = i;
    for (size_t i = m->nheap / 2; i-- > 0;)
        sift_down(m, i, m->nheap);
    while (m->nheap && !code) {
        swap(m, 0, m->nheap - 1);
        sift_down(m, 0, --m->nheap);
        size_t number = m->heap[m->nheap], from;
        struct source *s = &m->sources[number];
        bool last = m->nheap == 0;
        from = s->at;
        size_t end = last && from + BATCH < s->n ? from + BATCH : last ? s->n : run_end(m, s);
        code = give(m, s, from, end - from, take, ctx, err);
        s->at = end;
        if (s->at < s->n) {
            m->heap[m->nheap++] = number;
            sift_up(m, m->nheap - 1);
        }
    }
    return code;
}
