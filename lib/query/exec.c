/* query/exec.c: a SELECT from its tree to its rows: compile, plan, shape, then rows as they are or
 * aggregates. */
#include "query/exec.h"

#include "base/alloc.h"
#include "base/time.h"
#include "query/aggregate.h"
#include "query/level.h"
#include "query/run.h"
#include "base/banned.h"

int tsm_memory_error(const struct tsm_run *r, struct tsm_err *err)
{
    return tsm_err_set(err, TSM_ELIMIT, "the query needs more than its memory limit of %zu bytes",
                       r->q->opt->memory);
}

const struct tsm_expr *tsm_run_fill_value(const struct tsm_run *r)
{
    return r->c->fill == TSM_FILL_NUMBER ? r->c->stmt->fill_value : NULL;
}

struct tsm_series_head tsm_group_head(const struct tsm_run *r, const struct tsm_plan_group *g)
{
    return (struct tsm_series_head){.name = g->name,
                                    .tags = g->tags,
                                    .ntags = r->plan->ndimensions,
                                    .columns = r->shape->heads,
                                    .ncolumns = r->shape->ncolumns,
                                    .zone = r->c->stmt->location};
}

/* ---- output ------------------------------------------------------------------------------------ */

void tsm_run_output_init(struct tsm_run_output *o, const struct tsm_shape *s)
{
    *o = (struct tsm_run_output){.shape = s};
    o->inputs = tsm_calloc(s->naux + s->ncalls + 1, sizeof *o->inputs);
    o->cells = tsm_calloc(s->ncolumns, sizeof *o->cells);
    o->made = tsm_calloc(s->ncolumns, sizeof *o->made);
}

void tsm_run_output_release(struct tsm_run_output *o)
{
    for (size_t i = 0; o->made && i < o->shape->ncolumns; i++)
        tsm_free(o->made[i]);
    tsm_free(o->inputs);
    tsm_free(o->cells);
    tsm_free(o->made);
    *o = (struct tsm_run_output){0};
}

static enum tsm_cell_type cell_type(enum tsm_vec_type t)
{
    switch (t) {
    case TSM_VEC_FLOAT:
        return TSM_CELL_FLOAT;
    case TSM_VEC_INTEGER:
        return TSM_CELL_INTEGER;
    case TSM_VEC_UNSIGNED:
        return TSM_CELL_UNSIGNED;
    case TSM_VEC_BOOLEAN:
        return TSM_CELL_BOOLEAN;
    default:
        return TSM_CELL_STRING;
    }
}

/* A copy of a program's result with one value per row; NaN is null. */
static void keep(struct tsm_run_output *o, size_t column, const struct tsm_vec *v, size_t n,
                 struct tsm_cells *cells)
{
    size_t size = tsm_vec_size(v->type), step = !v->constant;
    tsm_free(o->made[column]);
    char *data = tsm_alloc(n * (size + 1) + 1);
    uint8_t *nulls = (uint8_t *)data + n * size;
    size_t missing = 0;
    for (size_t i = 0; i < n; i++) {
        nulls[i] = v->type == TSM_VEC_NIL || (v->nulls && v->nulls[i * step]);
        if (v->type == TSM_VEC_NIL)
            memset(data + i * size, 0, size);
        else
            memcpy(data + i * size, (const char *)v->v.p + i * step * size, size);
        if (v->type == TSM_VEC_FLOAT && v->v.f[i * step] != v->v.f[i * step])
            nulls[i] = 1;
        missing += nulls[i];
    }
    o->made[column] = data;
    *cells = (struct tsm_cells){.type = cell_type(v->type), .nulls = missing ? nulls : NULL};
    cells->v.s = (const struct tsm_str *)data;
}

int tsm_run_columns(struct tsm_run_output *o, struct tsm_program_space *space, const int64_t *time, size_t n,
                    struct tsm_err *err)
{
    o->cells[0] = (struct tsm_cells){.type = TSM_CELL_TIME, .v.i = time};
    for (size_t i = 1; i < o->shape->ncolumns; i++) {
        const struct tsm_out_column *col = &o->shape->columns[i];
        struct tsm_vec v = {.type = TSM_VEC_NIL, .constant = true};
        if (col->program) {
            int code = tsm_program_run(col->program, space, o->inputs, n, &v, err);
            if (code)
                return code;
        } else if (col->type != TSM_VEC_NIL) {
            v = o->inputs[col->input];
        }
        if (col->program || v.constant || v.type == TSM_VEC_NIL || !v.v.p) {
            if (!v.v.p)
                v.type = TSM_VEC_NIL;
            keep(o, i, &v, n, &o->cells[i]);
            continue;
        }
        o->cells[i] = (struct tsm_cells){.type = cell_type(v.type), .nulls = v.nulls};
        o->cells[i].v.s = v.v.s;
    }
    return TSM_OK;
}

struct tsm_cells tsm_cells_from(struct tsm_cells c, size_t from)
{
    size_t size = c.type == TSM_CELL_STRING ? sizeof(struct tsm_str) : c.type == TSM_CELL_BOOLEAN ? 1 : 8;
    c.v.b += from * size;
    if (c.nulls)
        c.nulls += from;
    return c;
}

static const uint8_t *filled_column(const struct tsm_shape *s, size_t column, uint8_t *const *filled)
{
    const struct tsm_out_column *c = &s->columns[column];
    return column && !c->program && c->input != SIZE_MAX ? filled[c->input] : NULL;
}

/* The end of the run of rows, from `from` on, in which no column changes its type. */
static size_t same_types(const struct tsm_shape *s, size_t from, size_t n, uint8_t *const *filled)
{
    size_t end = n;
    for (size_t i = 1; i < s->ncolumns; i++) {
        const uint8_t *f = filled_column(s, i, filled);
        for (size_t k = from + 1; f && k < end; k++)
            if (f[k] != f[from])
                end = k;
    }
    return end;
}

static int give(struct tsm_run *r, const struct tsm_cells *cells, size_t n, const uint32_t *series,
                struct tsm_err *err)
{
    if (r->level)
        return tsm_level_rows(r->level, cells, n, series, err);
    struct tsm_rows rows = {n, cells};
    return r->sink->rows(r->sink, &rows, err);
}

int tsm_run_give(struct tsm_run *r, const struct tsm_cells *cells, size_t n, uint8_t *const *filled,
                 const uint32_t *series, struct tsm_err *err)
{
    const struct tsm_shape *s = r->shape;
    const struct tsm_expr *value = tsm_run_fill_value(r);
    if (!filled || !value)
        return give(r, cells, n, series, err);
    struct tsm_cells *part = tsm_calloc(s->ncolumns, sizeof *part);
    bool integer = value->kind == TSM_EXPR_INTEGER;
    void *numbers = tsm_alloc(n * 8 + 1);
    for (size_t i = 0; i < n; i++)
        memcpy((char *)numbers + 8 * i,
               integer ? (const void *)&value->u.integer : (const void *)&value->u.number, 8);
    int code = TSM_OK;
    for (size_t from = 0, end; from < n && !code; from = end) {
        end = same_types(s, from, n, filled);
        for (size_t i = 0; i < s->ncolumns; i++) {
            const uint8_t *f = filled_column(s, i, filled);
            part[i] = tsm_cells_from(cells[i], from);
            if (f && f[from]) {
                part[i] = (struct tsm_cells){.type = integer ? TSM_CELL_INTEGER : TSM_CELL_FLOAT};
                part[i].v.i = numbers;
            }
        }
        code = give(r, part, end - from, series ? series + from : NULL, err);
    }
    tsm_free(numbers);
    tsm_free(part);
    return code;
}

/* ---- the statement ----------------------------------------------------------------------------- */

int tsm_select_check_sources(struct tsm_query_ctx *q, const struct tsm_select *s, struct tsm_err *err)
{
    for (size_t i = 0; i < s->nsources; i++) {
        struct tsm_str name;
        int code = s->sources[i].subquery ? tsm_select_check_sources(q, s->sources[i].subquery, err) : TSM_OK;
        if (code)
            return code;
        if (s->sources[i].subquery)
            continue;
        code = tsm_query_ctx_database(q, s->sources[i].database, &name, err);
        if (!code)
            code = tsm_query_ctx_meta(q, err);
        if (code)
            return code;
        if (!q->loose && !tsm_meta_database(&q->meta, name))
            return tsm_err_set(err, TSM_EQUERY, "database not found: %.*s", (int)name.n, name.p);
    }
    return TSM_OK;
}

int tsm_select_run(struct tsm_query_ctx *q, const struct tsm_select *s, struct tsm_sink *sink,
                   struct tsm_err *err)
{
    struct tsm_arena arena = {0};
    struct tsm_compiled c;
    int code = tsm_select_check_sources(q, s, err);
    if (!code)
        code = tsm_compile(&arena, s, q->opt->now, &c, err);
    if (!code)
        code = tsm_level_run(q, &c, sink, err);
    tsm_arena_release(&arena);
    return code;
}
