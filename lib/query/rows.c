/*
 * query/rows.c: the join of fields by time. A batch never goes beyond the end of any field's current block,
 * so all its values, strings too, are in memory at once.
 */
#include "query/rows.h"

#include "base/alloc.h"
#include "base/banned.h"

enum { MOST_ROWS = 4096 }; /* in a batch */

struct column {
    struct tsm_cursor cursor;
    bool open;
    void *values; /* aligned or filtered */
    uint8_t *nulls;
};

struct tsm_row_reader {
    const struct tsm_plan *p;
    const struct tsm_program *const *programs;
    struct tsm_program_space *space;
    struct column *columns; /* per field of the plan */
    bool **reads;           /* per filter: the fields that it reads */
    struct tsm_vec *vecs;   /* per field, then per tag */
    int64_t *t;
    uint8_t *mask;
    const struct tsm_program *filter;
    size_t driver;
    bool *makes_rows; /* per field */
};

/* ---- filters ----------------------------------------------------------------------------------- */

static size_t find_field(const struct tsm_plan *p, const struct tsm_expr *e)
{
    for (size_t i = 0; i < p->nfields; i++)
        if (p->fields[i].type == e->u.var.type && tsm_str_eq(p->fields[i].name, e->u.var.name))
            return i;
    return SIZE_MAX;
}

static size_t filter_input(void *ctx, const struct tsm_expr *e, enum tsm_vec_type *type)
{
    const struct tsm_plan *p = ctx;
    *type = TSM_VEC_NIL;
    if (e->kind != TSM_EXPR_VAR)
        return 0;
    if (e->u.var.type == TSM_DATA_TAG || e->u.var.type == TSM_DATA_UNKNOWN) {
        *type = TSM_VEC_STRING;
        for (size_t i = 0; i < p->ntags; i++)
            if (tsm_str_eq(p->tags[i], e->u.var.name))
                return p->nfields + i;
        *type = TSM_VEC_NIL;
        return 0;
    }
    size_t i = find_field(p, e);
    if (i != SIZE_MAX)
        *type = tsm_vec_type_of(e->u.var.type);
    return i;
}

const struct tsm_program **tsm_filter_programs(struct tsm_plan *p)
{
    const struct tsm_program **out = tsm_arena_calloc(&p->arena, p->nfilters * sizeof *out);
    for (size_t i = 1; i < p->nfilters; i++)
        out[i] = tsm_program_new(&p->arena, p->filters[i], false, filter_input, p);
    return out;
}

struct mark {
    const struct tsm_plan *p;
    bool *reads;
};

static bool mark_read(void *ctx, const struct tsm_expr *e)
{
    struct mark *m = ctx;
    if (e->kind == TSM_EXPR_VAR) {
        size_t i = find_field(m->p, e);
        if (i != SIZE_MAX)
            m->reads[i] = true;
    }
    return true;
}

/* ---- the reader -------------------------------------------------------------------------------- */

struct tsm_row_reader *tsm_row_reader_new(const struct tsm_plan *p, const struct tsm_program *const *programs)
{
    struct tsm_row_reader *r = tsm_calloc(1, sizeof *r);
    r->p = p;
    r->programs = programs;
    r->space = tsm_program_space_new();
    r->columns = tsm_calloc(p->nfields + 1, sizeof *r->columns);
    for (size_t i = 0; i < p->nfields; i++) {
        tsm_cursor_init(&r->columns[i].cursor);
        r->columns[i].cursor.control = p->control;
    }
    r->vecs = tsm_calloc(p->nfields + p->ntags + 1, sizeof *r->vecs);
    r->reads = tsm_calloc(p->nfilters, sizeof *r->reads);
    for (size_t f = 1; f < p->nfilters; f++) {
        r->reads[f] = tsm_calloc(p->nfields + 1, sizeof **r->reads);
        tsm_expr_walk(p->filters[f], mark_read, &(struct mark){p, r->reads[f]});
    }
    r->t = tsm_alloc(MOST_ROWS * sizeof *r->t);
    r->mask = tsm_alloc(MOST_ROWS);
    r->makes_rows = tsm_calloc(p->nfields + 1, sizeof *r->makes_rows);
    return r;
}

void tsm_row_reader_free(struct tsm_row_reader *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->p->nfields; i++) {
        tsm_cursor_release(&r->columns[i].cursor);
        tsm_free(r->columns[i].values);
        tsm_free(r->columns[i].nulls);
    }
    for (size_t f = 0; f < r->p->nfilters; f++)
        tsm_free(r->reads[f]);
    tsm_free(r->reads);
    tsm_free(r->columns);
    tsm_free(r->vecs);
    tsm_free(r->t);
    tsm_free(r->mask);
    tsm_free(r->makes_rows);
    tsm_program_space_free(r->space);
    tsm_free(r);
}

static enum tsm_vec_type vec_type(const struct tsm_row_reader *r, size_t f)
{
    return tsm_vec_type_of(r->p->fields[f].type);
}

int tsm_row_reader_start(struct tsm_row_reader *r, const struct tsm_unit *u, size_t s, const bool *wanted,
                         size_t driver, int64_t tmin, int64_t tmax, struct tsm_err *err)
{
    const struct tsm_plan *p = r->p;
    uint32_t filter = u->series[s].filter;
    r->filter = r->programs[filter];
    r->driver = driver;
    for (size_t f = 0; f < p->nfields; f++) {
        struct column *c = &r->columns[f];
        uint32_t key = u->keys[s * p->nfields + f];
        r->makes_rows[f] = driver == TSM_NO_DRIVER ? wanted[f] : f == driver;
        c->open = key != TSM_NO_KEY && (wanted[f] || f == driver || (r->filter && r->reads[filter][f]));
        r->vecs[f] = (struct tsm_vec){.type = vec_type(r, f)};
        tsm_cursor_none(&c->cursor);
        int code = c->open ? tsm_cursor_start(&c->cursor, u->shard, key, vec_type(r, f), tmin, tmax, err)
                           : TSM_OK;
        if (code)
            return code;
    }
    for (size_t t = 0; t < p->ntags; t++) {
        const struct tsm_str *v = &u->values[s * p->ntags + t];
        static const uint8_t missing = 1;
        r->vecs[p->nfields + t] = (struct tsm_vec){
            .type = TSM_VEC_STRING, .constant = true, .v.s = v, .nulls = v->n ? NULL : &missing};
    }
    return TSM_OK;
}

/* Loads blocks until every field that has values left has one at or after the next row, whose time goes to
 * *t. False in *more at the end. */
static int advance(struct tsm_row_reader *r, int64_t *t, bool *more, struct tsm_err *err)
{
    *more = false;
    for (size_t f = 0; f < r->p->nfields; f++) {
        struct tsm_cursor *c = &r->columns[f].cursor;
        if (!r->makes_rows[f] || c->n == 0)
            continue;
        if (c->pos == c->n) {
            int code = tsm_cursor_next(c, err);
            if (code)
                return code;
            if (c->n == 0)
                continue;
        }
        if (!*more || c->t[c->pos] < *t)
            *t = c->t[c->pos];
        *more = true;
    }
    if (!*more)
        return TSM_OK;
    for (size_t f = 0; f < r->p->nfields; f++) {
        struct tsm_cursor *c = &r->columns[f].cursor;
        while (c->n && (c->pos == c->n || c->t[c->n - 1] < *t)) {
            int code = tsm_cursor_next(c, err);
            if (code)
                return code;
        }
    }
    return TSM_OK;
}

/* The times up to where some block ends. Returns how many; they are in *t, which may point into a block. */
static size_t take_times(struct tsm_row_reader *r, const int64_t **t)
{
    int64_t horizon = INT64_MAX;
    size_t active = 0, one = 0;
    for (size_t f = 0; f < r->p->nfields; f++) {
        const struct tsm_cursor *c = &r->columns[f].cursor;
        if (c->n == 0)
            continue;
        if (c->t[c->n - 1] < horizon)
            horizon = c->t[c->n - 1];
        if (r->makes_rows[f]) {
            active++;
            one = f;
        }
    }
    const struct tsm_cursor *c = &r->columns[one].cursor;
    size_t n = c->n - c->pos;
    if (n > MOST_ROWS)
        n = MOST_ROWS;
    *t = c->t + c->pos;
    bool same = true; /* the fields usually have the same times */
    for (size_t f = 0; f < r->p->nfields && same && active > 1; f++) {
        const struct tsm_cursor *o = &r->columns[f].cursor;
        if (f == one || !r->makes_rows[f] || o->n == 0)
            continue;
        if (o->n - o->pos < n)
            n = o->n - o->pos;
        same = memcmp(o->t + o->pos, *t, n * sizeof **t) == 0;
    }
    if (same) {
        while (n && (*t)[n - 1] > horizon) /* a field of the filter ends earlier */
            n--;
        return n;
    }
    *t = r->t;
    size_t at[64], *next = r->p->nfields > 64 ? tsm_alloc(r->p->nfields * sizeof *next) : at;
    for (size_t f = 0; f < r->p->nfields; f++)
        next[f] = r->columns[f].cursor.pos;
    for (n = 0; n < MOST_ROWS; n++) {
        int64_t least = INT64_MAX;
        bool any = false;
        for (size_t f = 0; f < r->p->nfields; f++) {
            const struct tsm_cursor *o = &r->columns[f].cursor;
            if (r->makes_rows[f] && next[f] < o->n && o->t[next[f]] <= horizon &&
                (!any || o->t[next[f]] < least)) {
                least = o->t[next[f]];
                any = true;
            }
        }
        if (!any)
            break;
        for (size_t f = 0; f < r->p->nfields; f++) {
            const struct tsm_cursor *o = &r->columns[f].cursor;
            next[f] += r->makes_rows[f] && next[f] < o->n && o->t[next[f]] == least;
        }
        r->t[n] = least;
    }
    if (next != at)
        tsm_free(next);
    return n;
}

static void make_room(struct column *c, enum tsm_vec_type type)
{
    if (c->values)
        return;
    c->values = tsm_alloc(MOST_ROWS * tsm_vec_size(type));
    c->nulls = tsm_alloc(MOST_ROWS);
}

/* The field's values at n ascending times. */
static struct tsm_vec align(struct column *col, enum tsm_vec_type type, const int64_t *t, size_t n)
{
    struct tsm_cursor *c = &col->cursor;
    struct tsm_vec out = {.type = type};
    size_t size = tsm_vec_size(type), left = c->n - c->pos;
    while (left && c->t[c->pos] < t[0]) { /* behind the driver */
        c->pos++;
        left--;
    }
    if (left >= n && memcmp(c->t + c->pos, t, n * sizeof *t) == 0) {
        out.v.p = c->v.p + c->pos * size;
        c->pos += n;
        return out;
    }
    make_room(col, type);
    char *to = col->values;
    size_t missing = 0;
    for (size_t i = 0; i < n; i++) {
        while (c->pos < c->n && c->t[c->pos] < t[i])
            c->pos++;
        bool found = c->pos < c->n && c->t[c->pos] == t[i];
        col->nulls[i] = !found;
        missing += !found;
        if (found)
            memcpy(to + i * size, c->v.p + c->pos++ * size, size);
        else
            memset(to + i * size, 0, size);
    }
    out.v.p = to;
    out.nulls = missing ? col->nulls : NULL;
    return out;
}

/* Keeps the rows whose mask is set: `count` of n. */
static void compact(struct tsm_row_reader *r, const int64_t **t, size_t n, size_t count)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++)
        if (r->mask[i])
            r->t[k++] = (*t)[i];
    *t = r->t;
    for (size_t f = 0; f < r->p->nfields; f++) {
        struct tsm_vec *v = &r->vecs[f];
        if (!r->columns[f].open || !v->v.p)
            continue;
        make_room(&r->columns[f], v->type);
        size_t size = tsm_vec_size(v->type);
        const char *from = v->v.p;
        char *to = r->columns[f].values;
        k = 0;
        for (size_t i = 0; i < n; i++) {
            if (!r->mask[i])
                continue;
            memmove(to + k * size, from + i * size, size);
            if (v->nulls)
                r->columns[f].nulls[k] = v->nulls[i];
            k++;
        }
        v->v.p = to;
        if (v->nulls)
            v->nulls = r->columns[f].nulls;
    }
    (void)count;
}

static const uint8_t all_null[MOST_ROWS] = {[0 ... MOST_ROWS - 1] = 1};
static const struct tsm_str no_values[MOST_ROWS];

int tsm_row_reader_next(struct tsm_row_reader *r, struct tsm_row_batch *batch, struct tsm_err *err)
{
    for (;;) {
        int64_t first = 0;
        bool more;
        batch->n = 0;
        int code = advance(r, &first, &more, err);
        if (code || !more)
            return code;
        const int64_t *t;
        size_t n = take_times(r, &t);
        for (size_t f = 0; f < r->p->nfields; f++) {
            enum tsm_vec_type type = vec_type(r, f);
            if (r->columns[f].open && r->columns[f].cursor.n)
                r->vecs[f] = align(&r->columns[f], type, t, n);
            else
                r->vecs[f] = (struct tsm_vec){.type = type, .v.p = no_values, .nulls = all_null};
        }
        if (r->filter) {
            size_t count;
            code = tsm_program_filter(r->filter, r->space, r->vecs, n, r->mask, &count, err);
            if (code)
                return code;
            if (count == 0)
                continue;
            if (count < n)
                compact(r, &t, n, count);
            n = count;
        }
        *batch = (struct tsm_row_batch){n, t, r->vecs};
        return TSM_OK;
    }
}
