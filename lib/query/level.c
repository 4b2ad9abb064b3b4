/* query/level.c: the levels of nested SELECTs: what each reads and groups by, and running them. */
#include "query/level.h"

#include "base/alloc.h"
#include "base/sort.h"
#include "base/time.h"
#include "query/aggregate.h"
#include "base/banned.h"

/* ---- the series of a level --------------------------------------------------------------------- */

void tsm_level_names_release(struct tsm_level_names *n)
{
    tsm_map_release(&n->numbers);
    tsm_map_release(&n->outers);
    tsm_arena_release(&n->keys);
    tsm_free(n->series);
    *n = (struct tsm_level_names){0};
}

/* Name and values, as a key; only the values of the marked dimensions. */
static struct tsm_str make_key(struct tsm_buf *out, struct tsm_str name, const struct tsm_str *values,
                               size_t n, const bool *marks)
{
    tsm_buf_reset(out);
    tsm_buf_str(out, name);
    for (size_t i = 0; i < n; i++) {
        if (marks && !marks[i])
            continue;
        tsm_buf_byte(out, 0);
        tsm_buf_str(out, values[i]);
    }
    return tsm_buf_view(out);
}

static uint32_t number_of(struct tsm_arena *a, struct tsm_map *map, struct tsm_str key, uint32_t next)
{
    uint64_t hash = tsm_hash(key);
    uint32_t at = tsm_map_get(map, key, hash);
    if (at != TSM_MAP_NONE)
        return at;
    tsm_map_put(map, tsm_arena_str(a, key), hash, next);
    return next;
}

uint32_t tsm_level_number(struct tsm_level_names *l, struct tsm_str name, const struct tsm_str *values)
{
    struct tsm_buf key = {0};
    uint32_t at = number_of(&l->keys, &l->numbers, make_key(&key, name, values, l->ndims, NULL),
                            (uint32_t)l->n);
    if (at == l->n) {
        TSM_GROW(l->series, l->n + 1, l->cap);
        struct tsm_level_series *s = &l->series[l->n++];
        struct tsm_str *copy = tsm_arena_alloc(&l->keys, (l->ndims + 1) * sizeof *copy);
        for (size_t i = 0; i < l->ndims; i++)
            copy[i] = tsm_arena_str(&l->keys, values[i]);
        s->name = tsm_arena_str(&l->keys, name);
        s->values = copy;
        s->outer = number_of(&l->keys, &l->outers, make_key(&key, name, values, l->ndims, l->outer),
                             l->nouters);
        l->nouters += s->outer == l->nouters;
    }
    tsm_buf_release(&key);
    return at;
}

uint32_t tsm_level_series(struct tsm_level *l, struct tsm_str name, const struct tsm_tag *tags)
{
    size_t n = l->out.ndims;
    struct tsm_str few[16] = {{0}}, *values = n > 16 ? tsm_realloc_array(NULL, n, sizeof *values) : few;
    for (size_t i = 0; i < n; i++)
        values[i] = tags[i].value;
    uint32_t number = tsm_level_number(&l->out, name, values);
    if (values != few)
        tsm_free(values);
    return number;
}

int tsm_level_rows(struct tsm_level *l, const struct tsm_cells *cells, size_t n, const uint32_t *series,
                   struct tsm_err *err)
{
    return tsm_level_reader_rows(l->reader, cells, n, series, err);
}

/* ---- preparing --------------------------------------------------------------------------------- */

static void level_free(struct tsm_level *l)
{
    if (!l)
        return;
    for (size_t i = 0; i < l->nbelow; i++)
        level_free(l->below[i]);
    tsm_free(l->below);
    tsm_level_reader_free(l->reader);
    tsm_plan_release(&l->plan);
    tsm_level_names_release(&l->out);
    tsm_level_names_release(&l->in);
    tsm_arena_release(&l->keys);
    tsm_free(l);
}

static int compare_fields(const void *x, const void *y)
{
    const struct tsm_unit_field *a = x, *b = y;
    return tsm_str_cmp(a->name, b->name);
}

static struct tsm_unit_field *find_column(const struct tsm_unit *u, struct tsm_str name)
{
    for (size_t i = 0; i < u->nfields; i++)
        if (tsm_str_eq(u->fields[i].name, name))
            return &u->fields[i];
    return NULL;
}

/* Of columns of one name the first one counts, but a wildcard looks at all of their types. */
static void add_column(struct tsm_unit *u, const struct tsm_out_column *col)
{
    struct tsm_unit_field *f = find_column(u, col->name);
    if (!f) {
        u->fields[u->nfields++] = (struct tsm_unit_field){col->name, col->data, col->data, col->extra};
        return;
    }
    if (col->extra)
        return;
    if (f->hidden || tsm_data_type_less(f->wildcard, col->data))
        f->wildcard = col->data;
    f->hidden = false;
}

/* The columns of a subquery are the fields of a unit, what it groups by are the tags. */
static void add_unit(struct tsm_level *l, unsigned source)
{
    struct tsm_plan *p = &l->plan;
    struct tsm_level *b = l->below[source];
    TSM_GROW(p->units, p->nunits + 1, p->capunits);
    struct tsm_unit *u = &p->units[p->nunits++];
    *u = (struct tsm_unit){.level = b, .source = source, .nseries = 1};
    u->fields = tsm_arena_calloc(&p->arena, b->shape.ncolumns * sizeof *u->fields);
    for (size_t i = 1; i < b->shape.ncolumns; i++)
        add_column(u, &b->shape.columns[i]);
    tsm_sort(u->fields, u->nfields, sizeof *u->fields, compare_fields);
    u->tags = b->own;
    u->ntags = b->nown;
}

static void note_own_dimensions(struct tsm_level *l)
{
    const struct tsm_plan *p = &l->plan;
    l->own = tsm_arena_calloc(&l->keys, (p->ndimensions + 1) * sizeof *l->own);
    for (size_t i = 0; i < p->ndimensions; i++)
        if (!p->grouped || p->grouped[i])
            l->own[l->nown++] = p->dimensions[i];
}

/* A variable of the select list that stands for a field or tag of the level above. */
static void add_variable(struct tsm_level *l, struct tsm_compiled *c, struct tsm_str name,
                         enum tsm_data_type type)
{
    struct tsm_expr *e = tsm_expr_new(&l->keys, TSM_EXPR_VAR);
    e->u.var.name = name;
    e->u.var.type = type;
    c->fields[c->nfields++] = (struct tsm_select_field){e, {0}};
}

/* A measurement beside subqueries becomes one: SELECT what is read FROM it. */
static void compile_measurement(struct tsm_level *l, size_t source, struct tsm_compiled *c)
{
    const struct tsm_plan *p = &l->plan;
    struct tsm_select *s = tsm_arena_calloc(&l->keys, sizeof *s);
    s->sources = &l->c.stmt->sources[source];
    s->nsources = 1;
    s->raw = true;
    *c = (struct tsm_compiled){.arena = l->c.arena,
                               .stmt = s,
                               .time_name = TSM_STR("time"),
                               .condition = l->c.condition,
                               .tmin = l->c.tmin,
                               .tmax = l->c.tmax,
                               .descending = l->c.descending};
    c->fields = tsm_arena_calloc(&l->keys, (p->nfields + p->ntags + 1) * sizeof *c->fields);
    c->subqueries = tsm_arena_calloc(&l->keys, sizeof *c->subqueries);
    for (size_t i = 0; i < p->nfields; i++)
        add_variable(l, c, p->fields[i].name, p->fields[i].type);
    for (size_t i = 0; i < p->ntags; i++)
        add_variable(l, c, p->tags[i], TSM_DATA_TAG);
}

static int prepare(struct tsm_query_ctx *q, const struct tsm_compiled *c, struct tsm_level *above,
                   struct tsm_level **out, struct tsm_err *err);

/* All sources that are measurements become subqueries. */
static int read_measurements(struct tsm_level *l, struct tsm_err *err)
{
    int code = TSM_OK;
    for (size_t i = 0; i < l->nbelow && !code; i++) {
        struct tsm_compiled measurement;
        if (l->below[i])
            continue;
        compile_measurement(l, i, &measurement);
        code = prepare(l->q, &measurement, l, &l->below[i], err);
        l->below[i]->filtered = true;
    }
    return code;
}

static int prepare(struct tsm_query_ctx *q, const struct tsm_compiled *c, struct tsm_level *above,
                   struct tsm_level **out, struct tsm_err *err)
{
    struct tsm_level *l = *out = tsm_calloc(1, sizeof *l);
    l->q = q;
    l->c = *c;
    l->above = above;
    if (above) { /* the shards are those of the outermost one */
        l->c.shard_tmin = above->c.shard_tmin;
        l->c.shard_tmax = above->c.shard_tmax;
        if (l->c.ncalls && l->c.fill == TSM_FILL_NULL)
            l->c.fill = TSM_FILL_NONE;
    }
    l->run = (struct tsm_run){
        .q = q, .c = &l->c, .plan = &l->plan, .shape = &l->shape, .level = above ? l : NULL};
    l->run.jobs = q->opt->jobs ? q->opt->jobs : 1;
    l->nbelow = c->stmt->nsources;
    l->below = tsm_calloc(l->nbelow + 1, sizeof *l->below);
    int code = TSM_OK;
    for (size_t i = 0; i < l->nbelow && !code; i++)
        if (c->subqueries[i])
            code = prepare(q, c->subqueries[i], l, &l->below[i], err);
    if (!code)
        code = tsm_plan_open(&l->plan, q, &l->c, err);
    for (unsigned i = 0; i < l->nbelow && !code; i++) {
        if (l->below[i])
            add_unit(l, i);
        l->streams = l->streams || l->below[i];
    }
    if (!code)
        code = tsm_shape_make(&l->shape, &l->plan, &l->c, above != NULL, err);
    if (!code)
        note_own_dimensions(l);
    return code || !l->streams ? code : read_measurements(l, err);
}

/* ---- dimensions -------------------------------------------------------------------------------- */

static bool among(const struct tsm_str *names, size_t n, struct tsm_str name)
{
    for (size_t i = 0; i < n; i++)
        if (tsm_str_eq(names[i], name))
            return true;
    return false;
}

static int compare_names(const void *x, const void *y)
{
    const struct tsm_str *a = x, *b = y;
    return tsm_str_cmp(*a, *b);
}

/* The names of both, ascending. */
static struct tsm_str *unite(struct tsm_arena *a, const struct tsm_str *x, size_t nx, const struct tsm_str *y,
                             size_t ny, size_t *n)
{
    struct tsm_str *all = tsm_arena_calloc(a, (nx + ny + 1) * sizeof *all);
    *n = 0;
    for (size_t i = 0; i < nx; i++)
        all[(*n)++] = x[i];
    for (size_t i = 0; i < ny; i++)
        if (!among(x, nx, y[i]))
            all[(*n)++] = y[i];
    tsm_sort(all, *n, sizeof *all, compare_names);
    return all;
}

static bool *mark(struct tsm_arena *a, const struct tsm_str *names, size_t n, const struct tsm_str *marked,
                  size_t nmarked)
{
    bool *marks = tsm_arena_calloc(a, n + 1);
    for (size_t i = 0; i < n; i++)
        marks[i] = among(marked, nmarked, names[i]);
    return marks;
}

static bool all_set(const bool *marks, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!marks[i])
            return false;
    return true;
}

/* Tells a level and those below it what the levels above it group by. outermost: the level that decides the order. */
static int inherit(struct tsm_level *l, const struct tsm_level *outermost, struct tsm_err *err)
{
    struct tsm_plan *p = &l->plan;
    struct tsm_str *tops = p->dimensions; /* with those that top() or bottom() names */
    size_t ntops = p->ndimensions;
    if (!l->above) {
        l->out.dims = l->own;
        l->out.ndims = l->nown;
    } else {
        const struct tsm_plan *above = &l->above->plan;
        l->out.dims = unite(&l->keys, l->own, l->nown, l->above->out.dims, l->above->out.ndims,
                            &l->out.ndims);
        l->out.dims = unite(&l->keys, l->out.dims, l->out.ndims, above->dimensions, above->ndimensions,
                            &l->out.ndims);
        p->dimensions = unite(&l->keys, l->out.dims, l->out.ndims, tops, ntops, &p->ndimensions);
        p->grouped = mark(&l->keys, p->dimensions, p->ndimensions, l->out.dims, l->out.ndims);
        if (all_set(p->grouped, p->ndimensions))
            p->grouped = NULL;
        p->outer = mark(&l->keys, p->dimensions, p->ndimensions, outermost->own, outermost->nown);
        if (all_set(p->outer, p->ndimensions))
            p->outer = NULL;
    }
    l->out.outer = mark(&l->keys, l->out.dims, l->out.ndims, outermost->own, outermost->nown);
    l->in.dims = p->dimensions;
    l->in.ndims = p->ndimensions;
    l->in.outer = mark(&l->keys, p->dimensions, p->ndimensions, outermost->own, outermost->nown);
    /* Transforms of shards give points of several series in the order of their rows. */
    int code = TSM_OK;
    if (!l->streams && !all_set(l->out.outer, l->out.ndims) && tsm_level_is_stream(l)) {
        l->streams = true;
        code = read_measurements(l, err);
    }
    for (size_t i = 0; i < l->nbelow && !code; i++)
        if (l->below[i])
            code = inherit(l->below[i], outermost, err);
    return code;
}

/* ---- times ------------------------------------------------------------------------------------- */

/* Functions that look back read some intervals more of what is below, unless that has bounds of its own. */
static void extend(struct tsm_level *l)
{
    __int128 extra = 0;
    for (size_t i = 0; i < l->shape.ncalls; i++) {
        __int128 before = (__int128)l->c.interval * l->shape.calls[i].before;
        extra = before > extra ? before : extra;
    }
    for (size_t i = 0; i < l->nbelow; i++) {
        struct tsm_level *b = l->below[i];
        if (!b)
            continue;
        __int128 lo = l->c.tmin - extra, hi = l->c.tmax + extra;
        if (!l->c.descending && b->c.tmin == l->c.tmin)
            b->c.tmin = lo < TSM_TIME_MIN ? TSM_TIME_MIN : (int64_t)lo;
        if (l->c.descending && b->c.tmax == l->c.tmax)
            b->c.tmax = hi > TSM_TIME_MAX ? TSM_TIME_MAX : (int64_t)hi;
        extend(b);
    }
}

/* ---- running ----------------------------------------------------------------------------------- */

/* Whether influxd makes an iterator at all. A subquery has tags that can be read alone, a measurement has not. */
static bool reads_something(const struct tsm_level *l)
{
    const struct tsm_shape *s = &l->shape;
    for (size_t i = 0; i < s->naux && s->ncalls == 0; i++)
        if (s->aux[i].index != SIZE_MAX && (l->streams || s->aux[i].type != TSM_DATA_TAG))
            return true;
    for (size_t i = 0; i < s->ncalls; i++)
        if (s->calls[i].index != SIZE_MAX)
            return true;
    return false;
}

/* max-select-buckets, where the range has a lower bound. */
static int check_buckets(const struct tsm_level *l, struct tsm_err *err)
{
    const struct tsm_compiled *c = &l->c;
    if (l->above || c->interval == 0 || c->tmin <= TSM_TIME_MIN || !l->q->opt->control ||
        l->shape.ncalls == 0)
        return TSM_OK;
    __int128 span = (__int128)tsm_window_at(c, c->tmax - 1).start - tsm_window_at(c, c->tmin).start;
    return span < 0 ? TSM_OK
                    : tsm_control_buckets(l->q->opt->control, (uint64_t)(span / c->interval) + 1, err);
}

static size_t count_levels(const struct tsm_level *l)
{
    size_t n = 1;
    for (size_t i = 0; i < l->nbelow; i++)
        if (l->below[i])
            n += count_levels(l->below[i]);
    return n;
}

/* The rows of shards, as they are, are put in order by what the outermost level groups by. */
static void group_raw_rows(struct tsm_level *l)
{
    struct tsm_plan *p = &l->plan;
    size_t n = 0;
    for (size_t i = 0; i < l->out.ndims; i++)
        tsm_plan_tag(p, l->out.dims[i]);
    struct tsm_str *outer = tsm_arena_calloc(&l->keys, (l->out.ndims + 1) * sizeof *outer);
    for (size_t i = 0; i < l->out.ndims; i++)
        if (l->out.outer[i])
            outer[n++] = l->out.dims[i];
    p->dimensions = outer;
    p->ndimensions = n;
    p->outer = NULL;
}

/* Which of the level's series each series of the shards is of. */
static void number_series(struct tsm_level *l)
{
    struct tsm_plan *p = &l->plan;
    size_t *at = tsm_arena_calloc(&l->keys, (l->out.ndims + 1) * sizeof *at);
    struct tsm_str *values = tsm_arena_calloc(&l->keys, (l->out.ndims + 1) * sizeof *values);
    for (size_t i = 0; i < l->out.ndims; i++)
        at[i] = tsm_plan_tag(p, l->out.dims[i]);
    for (size_t k = 0; k < p->nunits; k++) {
        struct tsm_unit *u = &p->units[k];
        u->numbers = tsm_arena_alloc(&l->keys, (u->nseries + 1) * sizeof *u->numbers);
        for (size_t s = 0; s < u->nseries; s++) {
            for (size_t i = 0; i < l->out.ndims; i++)
                values[i] = u->values[s * p->ntags + at[i]];
            u->numbers[s] = tsm_level_number(&l->out, u->name, values);
        }
    }
}

static int run_shards(struct tsm_level *l, size_t share, struct tsm_err *err)
{
    bool raw = l->shape.ncalls == 0;
    if (l->above && raw)
        group_raw_rows(l);
    int64_t slimit = 0, soffset = 0; /* those of the levels above count, too */
    for (const struct tsm_level *up = l; up; up = up->above) {
        slimit += up->c.stmt->slimit;
        soffset += up->c.stmt->soffset;
    }
    int code = tsm_plan_series(&l->plan, l->shape.condition, slimit, soffset, err);
    if (code)
        return code;
    size_t used = tsm_plan_bytes(&l->plan);
    if (used >= share)
        return tsm_memory_error(&l->run, err);
    l->run.memory = share - used;
    l->run.filters = tsm_filter_programs(&l->plan);
    if (!l->q->planned)
        l->q->planned = tsm_monotonic();
    if (l->above && raw)
        number_series(l);
    return raw ? tsm_run_raw(&l->run, err) : tsm_run_aggregate(&l->run, err);
}

static int run_level(struct tsm_level *l, size_t share, struct tsm_err *err);

/* Without a field for any of its functions influxd does not even look at the rows of a subquery. */
static bool drives(const struct tsm_level *l, unsigned source)
{
    for (size_t u = 0; u < l->plan.nunits; u++) {
        const struct tsm_unit *unit = &l->plan.units[u];
        if (unit->source != source)
            continue;
        for (size_t i = 0; i < l->shape.ncalls; i++)
            if (l->shape.calls[i].index != SIZE_MAX && unit->readable[l->shape.calls[i].index])
                return true;
    }
    return l->shape.ncalls == 0;
}

static bool any_call(const struct tsm_level *l)
{
    for (unsigned i = 0; i < l->nbelow; i++)
        if (drives(l, i))
            return true;
    return false;
}

static int run_below(struct tsm_level *l, size_t share, struct tsm_level_names *names, tsm_level_take *take,
                     void *ctx, struct tsm_err *err)
{
    struct tsm_level_merge *m = l->nbelow > 1 ? tsm_level_merge_new(l, names) : NULL;
    int code = TSM_OK;
    for (unsigned i = 0; i < l->nbelow && !code; i++) {
        struct tsm_level *b = l->below[i];
        if (!drives(l, i))
            continue;
        b->reader = m ? tsm_level_reader_new(l, b, names, tsm_level_merge_take, tsm_level_merge_source(m, i))
                      : tsm_level_reader_new(l, b, names, take, ctx);
        code = run_level(b, share, err);
    }
    if (m && !code)
        code = tsm_level_merge_end(m, take, ctx, err);
    tsm_level_merge_free(m);
    return code;
}

static bool has_name(const struct tsm_unit *u, struct tsm_str name)
{
    return find_column(u, name) || among(u->tags, u->ntags, name);
}

/* Which sources have what is read. A function of something that none has gives nothing, and does not care for its type. */
static void note_readable(struct tsm_level *l)
{
    const struct tsm_plan *p = &l->plan;
    for (size_t i = 0; i < p->nunits; i++) {
        struct tsm_unit *u = &p->units[i];
        u->nseries = 1; /* there is something */
        u->readable = tsm_arena_alloc(&l->keys, p->nfields + 1);
        for (size_t f = 0; f < p->nfields; f++)
            u->readable[f] = has_name(u, p->fields[f].name);
    }
}

static int run_streams(struct tsm_level *l, size_t share, struct tsm_err *err)
{
    int code;
    l->run.memory = share;
    note_readable(l);
    if (!any_call(l))
        return TSM_OK;
    if (l->shape.ncalls == 0) {
        struct tsm_level_raw *k = tsm_level_raw_new(l);
        code = run_below(l, share, &l->out, tsm_level_raw_take, k, err);
        if (!code)
            code = tsm_level_raw_end(k, err);
        tsm_level_raw_free(k);
        return code;
    }
    if (tsm_level_is_stream(l)) {
        struct tsm_level_stream *k;
        code = tsm_level_stream_new(l, &k, err);
        if (!code)
            code = run_below(l, share, &l->in, tsm_level_stream_take, k, err);
        if (!code)
            code = tsm_level_stream_end(k, err);
        tsm_level_stream_free(k);
        return code;
    }
    struct tsm_level_aggregate *k;
    code = tsm_level_aggregate_new(l, &k, err);
    if (!code)
        code = run_below(l, share, &l->in, tsm_level_aggregate_take, k, err);
    if (!code)
        code = tsm_level_aggregate_end(k, err);
    tsm_level_aggregate_free(k);
    return code;
}

static int run_level(struct tsm_level *l, size_t share, struct tsm_err *err)
{
    int code = check_buckets(l, err);
    if (code || !reads_something(l))
        return code;
    return l->streams ? run_streams(l, share, err) : run_shards(l, share, err);
}

int tsm_level_run(struct tsm_query_ctx *q, const struct tsm_compiled *c, struct tsm_sink *sink,
                  struct tsm_err *err)
{
    struct tsm_level *l;
    int code = prepare(q, c, NULL, &l, err);
    if (!code) {
        l->run.sink = sink;
        code = inherit(l, l, err);
        extend(l);
    }
    if (!code)
        code = run_level(l, q->opt->memory / count_levels(l), err);
    level_free(l);
    return code;
}
