/* query/level_input.c: the rows of a subquery as the query around it reads them. */
#include "query/level.h"

#include <math.h>

#include "base/alloc.h"
#include "base/banned.h"

struct input {     /* a column that is read */
    size_t column; /* of the level below; SIZE_MAX: see tag */
    size_t tag;    /* of its dimensions; SIZE_MAX: there is no such thing */
    enum tsm_vec_type type;
    void *values; /* own memory */
    uint8_t *nulls;
    size_t cap;
};

struct tsm_level_reader {
    struct tsm_level *reads, *from;
    struct tsm_level_names *names; /* of the reading level */
    tsm_level_take *take;
    void *ctx;
    struct input *inputs; /* per field of the plan, per tag of it, then those of the condition */
    size_t ninputs, capinputs, nread;
    struct tsm_vec *vecs;
    struct tsm_program *filter; /* or NULL */
    struct tsm_program_space *space;
    uint8_t *mask;
    int64_t *t;
    uint32_t *series;
    size_t cap;
    uint32_t *numbers; /* per series of the level below: the number among those of the level that reads */
    size_t nnumbers, capnumbers;
    size_t work;  /* rows since the query was looked at */
    size_t *dims; /* per dimension of the level that reads: where it is among those below */
};

/* ---- what is read ------------------------------------------------------------------------------ */

static size_t find_dimension(const struct tsm_str *names, size_t n, struct tsm_str name)
{
    for (size_t i = 0; i < n; i++)
        if (tsm_str_eq(names[i], name))
            return i;
    return SIZE_MAX;
}

static void add_input(struct tsm_level_reader *r, size_t column, size_t tag, enum tsm_vec_type type)
{
    TSM_GROW(r->inputs, r->ninputs + 1, r->capinputs);
    r->inputs[r->ninputs++] = (struct input){.column = column, .tag = tag, .type = type};
}

/* A field or tag of the select list: a column, or else a tag that the subquery groups by. */
static void add_read(struct tsm_level_reader *r, struct tsm_str name, enum tsm_vec_type type)
{
    const struct tsm_level *b = r->from;
    for (size_t i = 1; i < b->shape.ncolumns; i++) {
        if (tsm_str_eq(b->shape.columns[i].name, name)) {
            add_input(r, i, SIZE_MAX, type);
            return;
        }
    }
    bool own = find_dimension(b->own, b->nown, name) != SIZE_MAX;
    add_input(r, SIZE_MAX, own ? find_dimension(b->out.dims, b->out.ndims, name) : SIZE_MAX,
              own ? TSM_VEC_STRING : type);
}

/* A variable of the condition: by the name that a column shows, or else any tag of the row. */
static size_t condition_input(void *ctx, const struct tsm_expr *e, enum tsm_vec_type *type)
{
    struct tsm_level_reader *r = ctx;
    const struct tsm_level *b = r->from;
    *type = TSM_VEC_NIL;
    if (e->kind != TSM_EXPR_VAR)
        return 0;
    size_t column = SIZE_MAX, tag = SIZE_MAX;
    for (size_t i = 1; i < b->shape.ncolumns && column == SIZE_MAX; i++)
        if (tsm_str_eq(b->shape.heads[i].name, e->u.var.name))
            column = i;
    if (column == SIZE_MAX)
        tag = find_dimension(b->out.dims, b->out.ndims, e->u.var.name);
    *type = column == SIZE_MAX ? TSM_VEC_STRING : tsm_vec_type_of(e->u.var.type);
    if (column != SIZE_MAX && *type == TSM_VEC_NIL)
        *type = b->shape.columns[column].type;
    add_input(r, column, tag, *type);
    return r->ninputs - 1;
}

struct tsm_level_reader *tsm_level_reader_new(struct tsm_level *reads, struct tsm_level *from,
                                              struct tsm_level_names *names, tsm_level_take *take, void *ctx)
{
    struct tsm_level_reader *r = tsm_calloc(1, sizeof *r);
    const struct tsm_plan *p = &reads->plan;
    r->reads = reads;
    r->from = from;
    r->names = names;
    r->take = take;
    r->ctx = ctx;
    for (size_t i = 0; i < p->nfields; i++)
        add_read(r, p->fields[i].name, tsm_vec_type_of(p->fields[i].type));
    for (size_t i = 0; i < p->ntags; i++)
        add_read(r, p->tags[i], TSM_VEC_STRING);
    r->nread = r->ninputs;
    if (reads->shape.condition && !from->filtered)
        r->filter = tsm_program_new(&reads->keys, reads->shape.condition, false, condition_input, r);
    r->vecs = tsm_calloc(r->ninputs + 1, sizeof *r->vecs);
    r->space = tsm_program_space_new();
    r->dims = tsm_calloc(names->ndims + 1, sizeof *r->dims);
    for (size_t i = 0; i < names->ndims; i++)
        r->dims[i] = find_dimension(from->out.dims, from->out.ndims, names->dims[i]);
    return r;
}

void tsm_level_reader_free(struct tsm_level_reader *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->ninputs; i++) {
        tsm_free(r->inputs[i].values);
        tsm_free(r->inputs[i].nulls);
    }
    tsm_free(r->inputs);
    tsm_free(r->vecs);
    tsm_free(r->mask);
    tsm_free(r->t);
    tsm_free(r->series);
    tsm_free(r->numbers);
    tsm_free(r->dims);
    tsm_program_space_free(r->space);
    tsm_free(r);
}

/* ---- casts ------------------------------------------------------------------------------------- */

static enum tsm_vec_type vec_of(enum tsm_cell_type t)
{
    switch (t) {
    case TSM_CELL_FLOAT:
        return TSM_VEC_FLOAT;
    case TSM_CELL_INTEGER:
        return TSM_VEC_INTEGER;
    case TSM_CELL_UNSIGNED:
        return TSM_VEC_UNSIGNED;
    case TSM_CELL_BOOLEAN:
        return TSM_VEC_BOOLEAN;
    default:
        return TSM_VEC_STRING;
    }
}

static void make_room(struct input *in, size_t n)
{
    if (n <= in->cap)
        return;
    tsm_free(in->values);
    tsm_free(in->nulls);
    in->values = tsm_realloc_array(NULL, n, tsm_vec_size(in->type) + 1);
    in->nulls = tsm_alloc(n);
    in->cap = n;
}

static struct tsm_vec nothing(struct input *in, size_t n)
{
    make_room(in, n);
    memset(in->values, 0, n * tsm_vec_size(in->type));
    memset(in->nulls, 1, n);
    struct tsm_vec v = {.type = in->type, .nulls = in->nulls};
    v.v.p = in->values;
    return v;
}

/* A null that is a NaN is none: functions meet the NaN. */
static const uint8_t *real_nulls(struct input *in, const struct tsm_cells *c, size_t n)
{
    if (!c->nulls || c->type != TSM_CELL_FLOAT)
        return c->nulls;
    make_room(in, n);
    size_t missing = 0;
    for (size_t i = 0; i < n; i++) {
        in->nulls[i] = c->nulls[i] && !isnan(c->v.f[i]);
        missing += in->nulls[i];
    }
    return missing ? in->nulls : NULL;
}

static struct tsm_vec cast(struct input *in, const struct tsm_cells *c, size_t n)
{
    enum tsm_vec_type have = vec_of(c->type);
    struct tsm_vec v = {.type = in->type};
    if (have != in->type && (have > TSM_VEC_UNSIGNED || in->type > TSM_VEC_UNSIGNED))
        return nothing(in, n);
    v.nulls = real_nulls(in, c, n);
    v.v.p = c->v.s;
    if (have == in->type || (have != TSM_VEC_FLOAT && in->type != TSM_VEC_FLOAT))
        return v;
    make_room(in, n);
    double *f = in->values;
    int64_t *s = in->values;
    uint64_t *u = in->values;
    for (size_t i = 0; i < n; i++) {
        if (in->type == TSM_VEC_INTEGER)
            s[i] = tsm_float_to_int(c->v.f[i]);
        else if (in->type == TSM_VEC_UNSIGNED)
            u[i] = tsm_float_to_unsigned(c->v.f[i]);
        else
            f[i] = have == TSM_VEC_INTEGER ? (double)c->v.i[i] : (double)c->v.u[i];
    }
    v.v.p = in->values;
    return v;
}

static struct tsm_vec tag_values(struct tsm_level_reader *r, struct input *in, const uint32_t *series,
                                 size_t n)
{
    make_room(in, n);
    struct tsm_str *to = in->values;
    for (size_t i = 0; i < n; i++)
        to[i] = in->tag == SIZE_MAX ? TSM_STR("") : r->from->out.series[series[i]].values[in->tag];
    struct tsm_vec v = {.type = TSM_VEC_STRING};
    v.v.s = to;
    return v;
}

/* ---- rows -------------------------------------------------------------------------------------- */

/* The numbers of series that are new. */
static void number_series(struct tsm_level_reader *r)
{
    const struct tsm_level *b = r->from;
    struct tsm_str *values = tsm_realloc_array(NULL, r->names->ndims + 1, sizeof *values);
    while (r->nnumbers < b->out.n) {
        const struct tsm_level_series *s = &b->out.series[r->nnumbers];
        for (size_t i = 0; i < r->names->ndims; i++)
            values[i] = r->dims[i] == SIZE_MAX ? TSM_STR("") : s->values[r->dims[i]];
        TSM_GROW(r->numbers, r->nnumbers + 1, r->capnumbers);
        r->numbers[r->nnumbers++] = tsm_level_number(r->names, s->name, values);
    }
    tsm_free(values);
}

/* Leaves the rows whose mask is set. */
static size_t compact(struct tsm_level_reader *r, size_t n, size_t count, const int64_t **t)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        if (!r->mask[i])
            continue;
        r->t[k] = (*t)[i];
        r->series[k++] = r->series[i];
    }
    *t = r->t;
    for (size_t x = 0; x < r->nread; x++) {
        struct tsm_vec *v = &r->vecs[x];
        size_t size = tsm_vec_size(v->type);
        struct input *in = &r->inputs[x];
        if (n > in->cap) { /* the values are the sender's */
            in->values = tsm_realloc_array(in->values, n, tsm_vec_size(in->type) + 1);
            in->nulls = tsm_realloc(in->nulls, n);
            in->cap = n;
        }
        k = 0;
        for (size_t i = 0; i < n; i++) {
            if (!r->mask[i])
                continue;
            memmove((char *)in->values + k * size, (const char *)v->v.p + i * size, size);
            if (v->nulls)
                in->nulls[k] = v->nulls[i];
            k++;
        }
        v->v.p = in->values;
        v->nulls = v->nulls ? in->nulls : NULL;
    }
    return count;
}

int tsm_level_reader_rows(struct tsm_level_reader *r, const struct tsm_cells *cells, size_t n,
                          const uint32_t *series, struct tsm_err *err)
{
    r->work += n;
    if (r->work > 1 << 16) {
        r->work = 0;
        int code = tsm_control_check(r->reads->plan.control, 0, err);
        if (code)
            return code;
    }
    if (n > r->cap) {
        r->cap = n;
        r->mask = tsm_realloc(r->mask, n);
        r->t = tsm_realloc_array(r->t, n, sizeof *r->t);
        r->series = tsm_realloc_array(r->series, n, sizeof *r->series);
    }
    if (r->nnumbers < r->from->out.n)
        number_series(r);
    const int64_t *t = cells[0].v.i;
    for (size_t i = 0; i < n; i++)
        r->series[i] = r->numbers[series[i]];
    for (size_t x = 0; x < r->ninputs; x++) {
        struct input *in = &r->inputs[x];
        if (in->column != SIZE_MAX)
            r->vecs[x] = cast(in, &cells[in->column], n);
        else if (in->tag != SIZE_MAX || x >= r->nread)
            r->vecs[x] = tag_values(r, in, series, n);
        else
            r->vecs[x] = nothing(in, n);
    }
    if (r->filter) {
        size_t count;
        int code = tsm_program_filter(r->filter, r->space, r->vecs, n, r->mask, &count, err);
        if (code || count == 0)
            return code;
        if (count < n)
            n = compact(r, n, count, &t);
    }
    struct tsm_level_batch b = {n, t, r->vecs, r->series, 0};
    return r->take(r->ctx, &b, err);
}
