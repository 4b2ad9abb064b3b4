/* query/level_raw.c: fields of a subquery as they are: every row becomes one, in the order in which they come. */
#include "query/level.h"

#include "base/alloc.h"
#include "query/raw_fill.h"
#include "base/banned.h"

struct tsm_level_raw {
    struct tsm_level *l;
    struct tsm_run_output output;
    struct tsm_program_space *space;
    struct tsm_cells *cells; /* of a part of a batch */
    struct tsm_tag *tags;
    bool any, begun; /* a row has been given; the sink has the head of its series */
    uint32_t series; /* of the last row */
    uint64_t seen;   /* rows of it in a row */
    bool fills;
    struct tsm_raw_last *last; /* per aux */
    void **values;             /* per aux: what is filled */
    uint8_t **nulls;
    size_t cap;
};

struct tsm_level_raw *tsm_level_raw_new(struct tsm_level *l)
{
    struct tsm_level_raw *k = tsm_calloc(1, sizeof *k);
    size_t naux = l->shape.naux;
    k->l = l;
    tsm_run_output_init(&k->output, &l->shape);
    k->space = tsm_program_space_new();
    k->cells = tsm_calloc(l->shape.ncolumns, sizeof *k->cells);
    k->tags = tsm_calloc(l->out.ndims + 1, sizeof *k->tags);
    k->fills = l->c.fill == TSM_FILL_NUMBER || l->c.stmt->fill == TSM_FILL_PREVIOUS;
    k->last = tsm_calloc(naux + 1, sizeof *k->last);
    k->values = tsm_calloc(naux + 1, sizeof *k->values);
    k->nulls = tsm_calloc(naux + 1, sizeof *k->nulls);
    return k;
}

void tsm_level_raw_free(struct tsm_level_raw *k)
{
    for (size_t i = 0; i < k->l->shape.naux; i++) {
        tsm_raw_last_release(&k->last[i]);
        tsm_free(k->values[i]);
        tsm_free(k->nulls[i]);
    }
    tsm_free(k->last);
    tsm_free(k->values);
    tsm_free(k->nulls);
    tsm_free(k->tags);
    tsm_free(k->cells);
    tsm_program_space_free(k->space);
    tsm_run_output_release(&k->output);
    tsm_free(k);
}

/* ---- giving ------------------------------------------------------------------------------------ */

static int end_series(struct tsm_level_raw *k, struct tsm_err *err)
{
    bool begun = k->begun;
    k->begun = false;
    return begun ? k->l->run.sink->series_end(k->l->run.sink, err) : TSM_OK;
}

static int begin_series(struct tsm_level_raw *k, uint32_t number, struct tsm_err *err)
{
    const struct tsm_level *l = k->l;
    const struct tsm_level_series *s = &l->out.series[number];
    for (size_t i = 0; i < l->out.ndims; i++)
        k->tags[i] = (struct tsm_tag){l->out.dims[i], s->values[i]};
    struct tsm_series_head head = {.name = s->name, .tags = k->tags, .ntags = l->out.ndims};
    head.columns = l->shape.heads;
    head.ncolumns = l->shape.ncolumns;
    head.zone = l->c.stmt->location;
    k->begun = true;
    return l->run.sink->series_begin(l->run.sink, &head, err);
}

/* Rows [from, to) of a batch, all of one series unless there is a level above. */
static int give(struct tsm_level_raw *k, const struct tsm_cells *cells, uint8_t *const *filled,
                const uint32_t *series, size_t from, size_t to, struct tsm_err *err)
{
    struct tsm_level *l = k->l;
    uint8_t **part = filled ? tsm_calloc(l->shape.naux + 1, sizeof *part) : NULL;
    for (size_t i = 0; filled && i < l->shape.naux; i++)
        part[i] = filled[i] ? filled[i] + from : NULL;
    for (size_t i = 0; i < l->shape.ncolumns; i++)
        k->cells[i] = tsm_cells_from(cells[i], from);
    int code = TSM_OK;
    if (!l->above && !k->begun)
        code = begin_series(k, series[from], err);
    if (!code)
        code = tsm_run_give(&l->run, k->cells, to - from, part, series + from, err);
    tsm_free(part);
    return code;
}

/* Of rows [from, to), which are of one series, those that LIMIT and OFFSET leave. */
static void cut(struct tsm_level_raw *k, size_t *from, size_t *to)
{
    uint64_t offset = (uint64_t)k->l->c.stmt->offset, limit = (uint64_t)k->l->c.stmt->limit;
    uint64_t first = k->seen, n = *to - *from;
    k->seen += n;
    uint64_t lo = offset > first ? offset - first : 0;
    uint64_t hi = limit && offset + limit < first + n ? (offset + limit > first ? offset + limit - first : 0)
                                                      : n;
    if (lo > n)
        lo = n;
    if (hi < lo)
        hi = lo;
    *to = *from + hi;
    *from += lo;
}

static int give_rows(struct tsm_level_raw *k, const struct tsm_cells *cells, uint8_t *const *filled,
                     const uint32_t *series, size_t n, struct tsm_err *err)
{
    const struct tsm_select *s = k->l->c.stmt;
    if (k->l->above && !s->limit && !s->offset)
        return give(k, cells, filled, series, 0, n, err);
    int code = TSM_OK;
    for (size_t i = 0, end; i < n && !code; i = end) {
        for (end = i + 1; end < n && series[end] == series[i];)
            end++;
        if (!k->any || k->series != series[i]) {
            code = end_series(k, err);
            k->series = series[i];
            k->any = true;
            k->seen = 0;
        }
        size_t from = i, to = end;
        cut(k, &from, &to);
        if (!code && from < to)
            code = give(k, cells, filled, series, from, to, err);
    }
    return code;
}

/* ---- rows -------------------------------------------------------------------------------------- */

/* fill() looks back within a series only. */
static int fill_rows(struct tsm_level_raw *k, const struct tsm_level_batch *b, size_t from, size_t n,
                     struct tsm_err *err)
{
    const struct tsm_shape *s = &k->l->shape;
    const struct tsm_expr *value = tsm_run_fill_value(&k->l->run);
    uint8_t **filled = tsm_calloc(s->naux + 1, sizeof *filled);
    if (n > k->cap) {
        for (size_t a = 0; a < s->naux; a++) {
            k->values[a] = tsm_realloc(k->values[a], n * sizeof(struct tsm_str));
            k->nulls[a] = tsm_realloc(k->nulls[a], n);
        }
        k->cap = n;
    }
    for (size_t a = 0; a < s->naux; a++) {
        struct tsm_vec *v = &k->output.inputs[a];
        size_t size = tsm_vec_size(v->type);
        if (v->v.p) {
            memcpy(k->values[a], (const char *)v->v.p + from * size, n * size);
            v->v.p = k->values[a];
        }
        if (v->nulls)
            v->nulls += from;
        if (value)
            filled[a] = tsm_raw_fill_number(value, v, n);
        else if (v->v.p)
            tsm_raw_fill_previous(&k->last[a], v, k->nulls[a], n);
    }
    int code = tsm_run_columns(&k->output, k->space, b->t + from, n, err);
    if (!code)
        code = give_rows(k, k->output.cells, value ? filled : NULL, b->series + from, n, err);
    for (size_t a = 0; a < s->naux; a++)
        tsm_free(filled[a]);
    tsm_free(filled);
    return code;
}

static void set_inputs(struct tsm_level_raw *k, const struct tsm_level_batch *b)
{
    const struct tsm_level *l = k->l;
    for (size_t a = 0; a < l->shape.naux; a++) {
        const struct tsm_aux *aux = &l->shape.aux[a];
        k->output.inputs[a] = (struct tsm_vec){.type = TSM_VEC_NIL};
        if (aux->index != SIZE_MAX)
            k->output.inputs[a] =
                b->columns[aux->type == TSM_DATA_TAG ? l->plan.nfields + aux->index : aux->index];
    }
}

int tsm_level_raw_take(void *ctx, const struct tsm_level_batch *b, struct tsm_err *err)
{
    struct tsm_level_raw *k = ctx;
    int code = TSM_OK;
    if (!k->fills) {
        set_inputs(k, b);
        code = tsm_run_columns(&k->output, k->space, b->t, b->n, err);
        return code ? code : give_rows(k, k->output.cells, NULL, b->series, b->n, err);
    }
    for (size_t i = 0, end; i < b->n && !code; i = end) {
        for (end = i + 1; end < b->n && b->series[end] == b->series[i];)
            end++;
        for (size_t a = 0; a < k->l->shape.naux && (!k->any || k->series != b->series[i]); a++)
            tsm_raw_last_release(&k->last[a]);
        if (!k->any || k->series != b->series[i]) {
            code = end_series(k, err);
            k->any = true;
            k->series = b->series[i];
            k->seen = 0;
        }
        set_inputs(k, b);
        if (!code)
            code = fill_rows(k, b, i, end - i, err);
    }
    return code;
}

int tsm_level_raw_end(struct tsm_level_raw *k, struct tsm_err *err)
{
    return end_series(k, err);
}
