/*
 * query/select_raw.c: SELECT of fields and tags as they are.
 *
 * Groups are answered one after the other. What is in memory at a time is a wave: either the rows of several
 * small groups, or a slice in time of a large one. Slices of one unit follow each other in the order of the
 * answer, units do too (their times do not overlap), so the rows of a group come out in order.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "base/time.h"
#include "query/level.h"
#include "query/raw_fill.h"
#include "query/raw_load.h"
#include "base/banned.h"

enum {
    OUT_ROWS = 8192,    /* in one batch for the sink */
    FIRST_ROWS = 16384, /* aim of the first slice when there is a LIMIT */
    MOST_ROWS_IN_WAVE = 1 << 24,
    SAMPLES = 8, /* series per set whose values are counted for an estimate */
};

struct raw {
    struct tsm_run *r;
    struct tsm_raw_loader loader;
    struct tsm_scan *scan;            /* for estimates */
    size_t most;                      /* rows in a wave */
    struct tsm_raw_segment *segments; /* of the wave */
    size_t nsegments, capsegments;
    size_t estimate; /* of its rows */

    /* what has been given to the sink */
    uint32_t group;                    /* UINT32_MAX: none yet */
    bool begun;                        /* its series_begin was called */
    uint64_t seen;                     /* rows of the group before OFFSET and LIMIT */
    uint64_t unit_rows;                /* rows of the unit that count */
    struct tsm_program_space **spaces; /* per thread */
    struct tsm_raw_last *last;         /* per aux */
    bool fills;                        /* fill(previous) or fill(number) */
    bool overflow;                     /* the wave did not fit into memory */
    struct run_limits *runs;           /* LIMIT counts otherwise; or NULL */
};

/*
 * LIMIT and OFFSET of a subquery whose series the query around it does not tell apart: influxd takes one row more than
 * these from each series of a shard, and of what comes out its limit iterator, twice, counts the rows of one series that
 * follow each other.
 */
struct run_limits {
    uint64_t **counts; /* per unit and series */
    struct run_limit {
        bool any;
        uint32_t series;
        uint64_t n;
    } limits[2];
};

/* ---- output ------------------------------------------------------------------------------------ */

struct out_task {
    uint32_t segment;
    size_t from, n; /* rows of the segment, in order */
};

struct batch { /* gathered rows */
    struct tsm_run_output output;
    int64_t *t;       /* own, or in the store */
    void **buffers;   /* own memory of inputs */
    uint8_t **filled; /* per input: see tsm_run_give(); or NULL */
    uint32_t *series; /* per row, for the level; or NULL */
    size_t n;
};

struct emitting {
    struct raw *k;
    struct out_task *tasks;
    size_t ntasks, captasks;
};

static void free_batch(struct raw *k, struct batch *b)
{
    if (!b)
        return;
    for (size_t i = 0; i < 2 * k->r->shape->naux + 1; i++)
        tsm_free(b->buffers[i]);
    for (size_t i = 0; b->filled && i < k->r->shape->naux; i++)
        tsm_free(b->filled[i]);
    tsm_free(b->filled);
    tsm_free(b->buffers);
    tsm_free(b->series);
    tsm_run_output_release(&b->output);
    tsm_free(b);
}

static struct tsm_row_ref ref_at(const struct raw *k, const struct tsm_raw_segment *seg, size_t i)
{
    if (seg->order)
        return seg->order[i];
    return (struct tsm_row_ref){0, (uint32_t)(k->r->c->descending ? seg->total - 1 - i : i)};
}

/* A tag of the series, for each row. */
static void gather_tag(struct raw *k, const struct tsm_raw_segment *seg, const struct out_task *task,
                       size_t tag, struct tsm_str *to, uint8_t *nulls)
{
    size_t nt = k->r->plan->ntags;
    for (size_t i = 0; i < task->n; i++) {
        const struct tsm_raw_input *in = &seg->inputs[ref_at(k, seg, task->from + i).input];
        to[i] = in->unit->values[(size_t)in->series * nt + tag];
        nulls[i] = to[i].n == 0;
    }
}

static void gather_field(struct raw *k, const struct tsm_raw_segment *seg, const struct out_task *task,
                         size_t field, size_t size, char *to, uint8_t *nulls)
{
    for (size_t i = 0; i < task->n; i++) {
        struct tsm_row_ref ref = ref_at(k, seg, task->from + i);
        const struct tsm_raw_input *in = &seg->inputs[ref.input];
        const struct tsm_raw_column *c = &in->store->columns[field];
        size_t row = in->first + ref.row;
        nulls[i] = c->nulls && c->nulls[row];
        if (size == 8)
            memcpy(to + i * 8, (const char *)c->values + row * 8, 8);
        else
            memcpy(to + i * size, (const char *)c->values + row * size, size);
    }
}

static bool any_set(const uint8_t *p, size_t n)
{
    return n && (p[0] || memchr(p, 1, n));
}

static void gather_input(struct raw *k, const struct tsm_raw_segment *seg, const struct out_task *task,
                         size_t aux, struct batch *b)
{
    const struct tsm_aux *a = &k->r->shape->aux[aux];
    struct tsm_vec *v = &b->output.inputs[aux];
    *v = (struct tsm_vec){.type = a->vec};
    if (a->vec == TSM_VEC_NIL)
        return;
    size_t size = tsm_vec_size(a->vec);
    if (a->index != SIZE_MAX && a->type != TSM_DATA_TAG && !seg->order &&
        !k->r->c->descending) { /* where it is */
        const struct tsm_raw_input *in = &seg->inputs[0];
        const struct tsm_raw_column *c = &in->store->columns[a->index];
        size_t row = in->first + task->from;
        v->v.p = (const char *)c->values + row * size;
        v->nulls = c->nulls && any_set(c->nulls + row, task->n) ? c->nulls + row : NULL;
        return;
    }
    char *values = b->buffers[2 * aux + 1] = tsm_alloc(task->n * size);
    uint8_t *nulls = b->buffers[2 * aux + 2] = tsm_alloc(task->n);
    v->v.p = values;
    if (a->index == SIZE_MAX) {
        memset(values, 0, task->n * size);
        memset(nulls, 1, task->n);
    } else if (a->type == TSM_DATA_TAG)
        gather_tag(k, seg, task, a->index, (struct tsm_str *)values, nulls);
    else
        gather_field(k, seg, task, a->index, size, values, nulls);
    if (any_set(nulls, task->n))
        v->nulls = nulls;
}

/* The level's number of each row's series. */
static void gather_series(const struct tsm_raw_segment *seg, const struct out_task *task, struct batch *b)
{
    b->series = tsm_realloc_array(NULL, task->n, sizeof *b->series);
    for (size_t i = 0; i < task->n; i++) {
        const struct tsm_raw_input *in = &seg->inputs[seg->order ? seg->order[task->from + i].input : 0];
        b->series[i] = in->unit->numbers[in->series];
    }
}

static struct tsm_program_space *space_of(struct raw *k, unsigned thread)
{
    if (!k->spaces[thread])
        k->spaces[thread] = tsm_program_space_new();
    return k->spaces[thread];
}

static int gather(void *ctx, size_t number, unsigned thread, void **slot, struct tsm_err *err)
{
    struct emitting *e = ctx;
    struct raw *k = e->k;
    const struct out_task *task = &e->tasks[number];
    const struct tsm_raw_segment *seg = &k->segments[task->segment];
    struct batch *b = tsm_calloc(1, sizeof *b);
    *slot = b;
    tsm_run_output_init(&b->output, k->r->shape);
    b->buffers = tsm_calloc(2 * k->r->shape->naux + 1, sizeof *b->buffers);
    b->n = task->n;
    if (!seg->order && !k->r->c->descending) {
        b->t = seg->inputs[0].store->t + seg->inputs[0].first + task->from;
    } else {
        b->t = b->buffers[0] = tsm_alloc(task->n * sizeof *b->t);
        for (size_t i = 0; i < task->n; i++) {
            struct tsm_row_ref ref = ref_at(k, seg, task->from + i);
            const struct tsm_raw_input *in = &seg->inputs[ref.input];
            b->t[i] = in->store->t[in->first + ref.row];
        }
    }
    for (size_t a = 0; a < k->r->shape->naux; a++)
        gather_input(k, seg, task, a, b);
    if (k->r->level)
        gather_series(seg, task, b);
    return k->fills ? TSM_OK : tsm_run_columns(&b->output, space_of(k, thread), b->t, b->n, err);
}

static int end_group(struct raw *k, struct tsm_err *err)
{
    bool begun = k->begun;
    for (size_t i = 0; k->last && i < k->r->shape->naux; i++)
        tsm_raw_last_release(&k->last[i]);
    tsm_free(k->last);
    k->last = NULL;
    k->begun = false;
    k->seen = 0;
    return begun && !k->r->level ? k->r->sink->series_end(k->r->sink, err) : TSM_OK;
}

/* Cuts [0, n) to what OFFSET and LIMIT leave of the group; returns the number of rows, the first one in
 * *from. */
static size_t limited(struct raw *k, size_t n, size_t *from)
{
    uint64_t offset = (uint64_t)k->r->c->stmt->offset, limit = (uint64_t)k->r->c->stmt->limit;
    if (offset && !limit) {
        /* influxd reads no more than OFFSET + 1 rows of each shard then. */
        uint64_t left = k->unit_rows > offset ? 0 : offset + 1 - k->unit_rows;
        if (n > left)
            n = (size_t)left;
        k->unit_rows += n;
    }
    uint64_t first = k->seen, last = k->seen + n; /* numbers of these rows in the group */
    k->seen = last;
    uint64_t lo = offset, hi = limit ? offset + limit : UINT64_MAX;
    if (first < lo)
        first = lo < last ? lo : last;
    if (last > hi)
        last = hi > first ? hi : first;
    *from = (size_t)(first - (k->seen - n));
    return (size_t)(last - first);
}

static int raw_fill(struct raw *k, struct batch *b, struct tsm_err *err);

/* Leaves n rows from `from` on. */
static void cut_batch(struct raw *k, struct batch *b, size_t from, size_t n)
{
    for (size_t a = 0; a < k->r->shape->naux; a++) {
        struct tsm_vec *v = &b->output.inputs[a];
        if (v->v.p)
            v->v.p = (const char *)v->v.p + from * tsm_vec_size(v->type);
        if (v->nulls)
            v->nulls += from;
    }
    b->t += from;
    b->n = n;
    if (b->series)
        memmove(b->series, b->series + from, n * sizeof *b->series);
}

static bool passes(const struct raw *k, struct run_limit *l, uint32_t series)
{
    uint64_t offset = (uint64_t)k->r->c->stmt->offset, limit = (uint64_t)k->r->c->stmt->limit;
    if (!l->any || l->series != series)
        *l = (struct run_limit){true, series, 0};
    l->n++;
    return l->n > offset && (!limit || l->n - offset <= limit);
}

static bool row_passes(struct raw *k, const struct tsm_raw_segment *seg, size_t row, uint32_t series)
{
    const struct tsm_plan *p = k->r->plan;
    const struct tsm_select *s = k->r->c->stmt;
    const struct tsm_raw_input *in = &seg->inputs[seg->order ? seg->order[row].input : 0];
    size_t unit = (size_t)(in->unit - p->units);
    if (!k->runs->counts[unit])
        k->runs->counts[unit] = tsm_calloc(in->unit->nseries + 1, sizeof **k->runs->counts);
    if (k->runs->counts[unit][in->series]++ > (uint64_t)(s->limit + s->offset))
        return false;
    return passes(k, &k->runs->limits[0], series) && passes(k, &k->runs->limits[1], series);
}

/* Gives the rows that pass the limits, run by run. */
static int emit_runs(struct raw *k, const struct tsm_raw_segment *seg, size_t from, struct batch *b,
                     struct tsm_err *err)
{
    struct tsm_cells *cells = tsm_calloc(k->r->shape->ncolumns, sizeof *cells);
    int code = k->fills ? raw_fill(k, b, err) : TSM_OK;
    for (size_t i = 0, end; i < b->n && !code; i = end) {
        for (end = i; end < b->n && row_passes(k, seg, from + end, b->series[end]);)
            end++;
        for (size_t c = 0; c < k->r->shape->ncolumns; c++)
            cells[c] = tsm_cells_from(b->output.cells[c], i);
        if (end > i)
            code = tsm_run_give(k->r, cells, end - i, NULL, b->series + i, err);
        end += end < b->n; /* the one that does not pass */
    }
    tsm_free(cells);
    return code;
}

static int emit(void *ctx, size_t number, void *slot, struct tsm_err *err)
{
    struct emitting *e = ctx;
    struct raw *k = e->k;
    struct batch *b = slot;
    const struct tsm_raw_segment *seg = &k->segments[e->tasks[number].segment];
    struct tsm_sink *sink = k->r->sink;
    int code = TSM_OK;
    if (seg->group != k->group) {
        code = end_group(k, err);
        k->group = seg->group;
        k->unit_rows = 0;
    } else if (seg->first_of_unit && e->tasks[number].from == 0) {
        k->unit_rows = 0;
    }
    if (k->runs) {
        code = code ? code : emit_runs(k, seg, e->tasks[number].from, b, err);
        free_batch(k, b);
        return code;
    }
    size_t from, n = limited(k, b->n, &from);
    if (!code && k->fills && n) {
        cut_batch(k, b, from, n); /* what LIMIT leaves out fills nothing either */
        from = 0;
        code = raw_fill(k, b, err);
    }
    if (!code && n && !k->begun && !k->r->level) {
        struct tsm_series_head head = tsm_group_head(k->r, &k->r->plan->groups[k->group]);
        code = sink->series_begin(sink, &head, err);
        k->begun = true;
    }
    if (!code && n) {
        for (size_t i = 0; i < k->r->shape->ncolumns && from; i++)
            b->output.cells[i] = tsm_cells_from(b->output.cells[i], from);
        code = tsm_run_give(k->r, b->output.cells, n, b->filled, b->series ? b->series + from : NULL, err);
    }
    free_batch(k, b);
    return code;
}

static void drop(void *ctx, void *slot)
{
    free_batch(((struct emitting *)ctx)->k, slot);
}

/* ---- fill() without an aggregate --------------------------------------------------------------------------
 */

static int raw_fill(struct raw *k, struct batch *b, struct tsm_err *err)
{
    const struct tsm_shape *s = k->r->shape;
    const struct tsm_expr *value = tsm_run_fill_value(k->r);
    if (!k->last)
        k->last = tsm_calloc(s->naux + 1, sizeof *k->last);
    b->filled = tsm_calloc(s->naux + 1, sizeof *b->filled);
    for (size_t a = 0; a < s->naux; a++) {
        struct tsm_vec *v = &b->output.inputs[a];
        size_t size = tsm_vec_size(v->type);
        if (v->v.p && !b->buffers[2 * a + 1]) { /* it is in the store, which is not ours to change */
            b->buffers[2 * a + 1] = tsm_alloc(b->n * size);
            memcpy(b->buffers[2 * a + 1], v->v.p, b->n * size);
            v->v.p = b->buffers[2 * a + 1];
            b->buffers[2 * a + 2] = tsm_alloc(b->n);
        }
        if (value)
            b->filled[a] = tsm_raw_fill_number(value, v, b->n);
        else if (v->v.p)
            tsm_raw_fill_previous(&k->last[a], v, b->buffers[2 * a + 2], b->n);
    }
    return tsm_run_columns(&b->output, space_of(k, 0), b->t, b->n, err);
}

/* ---- waves ------------------------------------------------------------------------------------- */

static void clear_wave(struct raw *k)
{
    for (size_t i = 0; i < k->nsegments; i++)
        tsm_free(k->segments[i].inputs);
    k->nsegments = 0;
    k->estimate = 0;
}

static int emit_wave(struct raw *k, struct tsm_err *err)
{
    struct emitting e = {.k = k};
    for (size_t i = 0; i < k->nsegments; i++) {
        for (size_t from = 0; from < k->segments[i].total; from += OUT_ROWS) {
            size_t left = k->segments[i].total - from;
            TSM_GROW(e.tasks, e.ntasks + 1, e.captasks);
            e.tasks[e.ntasks++] = (struct out_task){(uint32_t)i, from, left < OUT_ROWS ? left : OUT_ROWS};
        }
    }
    struct tsm_parallel p = {
        .jobs = k->r->jobs, .tasks = e.ntasks, .ctx = &e, .work = gather, .emit = emit, .drop = drop};
    int code = tsm_parallel_run(&p, err);
    tsm_free(e.tasks);
    return code;
}

/* Loads and emits what is in k->segments. k->overflow tells that nothing was emitted because it does not fit.
 */
static int run_wave(struct raw *k, struct tsm_err *err)
{
    struct tsm_raw_load load;
    k->overflow = false;
    if (k->nsegments == 0)
        return TSM_OK;
    int code = tsm_raw_load(&k->loader, k->segments, k->nsegments, k->most + k->most / 2, &load, err);
    if (code) {
        k->overflow = code == TSM_ESTOP;
        return k->overflow ? tsm_memory_error(k->r, err) : code;
    }
    code = emit_wave(k, err);
    tsm_raw_load_release(&load, k->segments, k->nsegments);
    return code;
}

struct part { /* the sets that a segment is made of, usually one */
    const struct tsm_unit *unit;
    const struct tsm_plan_set *set;
};

struct series_list { /* in influxd's order */
    uint32_t group;
    struct tsm_raw_input *inputs;
    size_t n;
};

static struct series_list list_series(const struct raw *k, uint32_t group, const struct part *parts,
                                      size_t nparts)
{
    struct series_list l = {.group = group};
    for (size_t i = 0; i < nparts; i++)
        l.n += parts[i].set->to - parts[i].set->from;
    l.inputs = tsm_calloc(l.n, sizeof *l.inputs);
    size_t n = 0;
    for (size_t i = 0; i < nparts; i++) {
        uint32_t count = parts[i].set->to - parts[i].set->from;
        for (uint32_t s = 0; s < count; s++) {
            uint32_t series = k->r->c->descending ? parts[i].set->to - 1 - s : parts[i].set->from + s;
            l.inputs[n++] = (struct tsm_raw_input){.unit = parts[i].unit, .series = series};
        }
    }
    return l;
}

/* Takes over the list's array. */
static struct tsm_raw_segment *add_segment(struct raw *k, struct series_list l, int64_t tmin, int64_t tmax)
{
    TSM_GROW(k->segments, k->nsegments + 1, k->capsegments);
    struct tsm_raw_segment *seg = &k->segments[k->nsegments++];
    *seg = (struct tsm_raw_segment){.group = l.group, .tmin = tmin, .tmax = tmax, .first_of_unit = true};
    seg->inputs = l.inputs;
    seg->ninputs = l.n;
    return seg;
}

static int estimate_rows(struct raw *k, const struct part *part, double *rows, struct tsm_err *err)
{
    const struct tsm_plan *p = k->r->plan;
    const struct tsm_compiled *c = k->r->c;
    uint32_t n = part->set->to - part->set->from, step = n / SAMPLES + 1, sampled = 0;
    uint64_t total = 0;
    for (uint32_t s = part->set->from; s < part->set->to; s += step, sampled++) {
        uint64_t most = 0, count;
        for (size_t f = 0; f < p->nfields; f++) {
            uint32_t key = part->unit->keys[(size_t)s * p->nfields + f];
            if (key == TSM_NO_KEY || !k->loader.wanted[f])
                continue;
            int code = tsm_scan_count(k->scan, part->unit->shard, key, c->tmin, c->tmax, &count, err);
            if (code)
                return code;
            most = count > most ? count : most;
        }
        total += most;
    }
    if (sampled)
        *rows += (double)total * n / sampled;
    return TSM_OK;
}

static bool satisfied(const struct raw *k, uint32_t group)
{
    const struct tsm_select *s = k->r->c->stmt;
    if (k->group != group || k->runs)
        return false;
    if (s->limit)
        return k->seen >= (uint64_t)(s->offset + s->limit);
    return s->offset && k->unit_rows > (uint64_t)s->offset;
}

/* How many rows the first slice aims at: no more than a LIMIT asks for. */
static double first_aim(const struct raw *k)
{
    const struct tsm_select *s = k->r->c->stmt;
    double aim = s->limit || s->offset ? 2.0 * (double)(s->limit + s->offset) : (double)k->most;
    if (aim < FIRST_ROWS)
        aim = FIRST_ROWS;
    return aim > (double)k->most ? (double)k->most : aim;
}

/* A large set, slice by slice. Their width is what the rows would need if they were spread evenly; one that
 * does not fit is cut down and tried again. */
static int run_slices_of(struct raw *k, const struct series_list *l, double rows, struct tsm_raw_merge *merge,
                         struct tsm_err *err)
{
    bool down = k->r->c->descending, first = true;
    int64_t tmin = INT64_MAX, tmax = INT64_MIN, lo, hi;
    for (size_t i = 0; i < l->n; i++) {
        tsm_raw_range(&k->loader, &l->inputs[i], &lo, &hi);
        tmin = lo < tmin ? lo : tmin;
        tmax = hi > tmax ? hi : tmax;
    }
    double span = (double)tmax - (double)tmin + 1, aim = first_aim(k);
    while (tmin <= tmax) {
        double width = span * aim / (rows + 1);
        bool last = width >= (double)tmax - (double)tmin;
        int64_t from = !down || last ? tmin : tmax - (int64_t)width,
                to = down || last ? tmax : tmin + (int64_t)width;
        struct series_list copy = *l;
        copy.inputs = tsm_realloc_array(NULL, l->n, sizeof *copy.inputs);
        memcpy(copy.inputs, l->inputs, l->n * sizeof *copy.inputs);
        struct tsm_raw_segment *seg = add_segment(k, copy, from, to);
        seg->merge = merge;
        seg->first_of_unit = first;
        int code = run_wave(k, err);
        clear_wave(k);
        if (k->overflow) {
            if (from == to)
                return code;
            aim /= 4;
            continue;
        }
        if (code || last || satisfied(k, l->group))
            return code;
        first = false;
        if (down)
            tmax = from - 1;
        else
            tmin = to + 1;
        aim = aim * 4 > (double)k->most ? (double)k->most : aim * 4;
    }
    return TSM_OK;
}

static int run_slices(struct raw *k, const struct series_list *l, double rows, struct tsm_err *err)
{
    struct tsm_raw_merge merge;
    struct tsm_raw_segment all = {.inputs = l->inputs, .ninputs = l->n};
    bool needed = tsm_raw_needs_merge(k->r, &all);
    if (needed)
        tsm_raw_merge_init(&merge, l->n);
    int code = run_slices_of(k, l, rows, needed ? &merge : NULL, err);
    if (needed)
        tsm_raw_merge_release(&merge);
    return code;
}

/* Runs the wave that has been gathered, or, when it turns out not to fit, each of its segments in slices. */
static int flush_wave(struct raw *k, struct tsm_err *err)
{
    int code = run_wave(k, err);
    if (!k->overflow) {
        clear_wave(k);
        return code;
    }
    struct tsm_raw_segment *segments = k->segments;
    size_t n = k->nsegments;
    k->segments = NULL;
    k->nsegments = k->capsegments = k->estimate = 0;
    code = TSM_OK;
    for (size_t i = 0; i < n; i++) {
        struct series_list l = {segments[i].group, segments[i].inputs, segments[i].ninputs};
        if (!code && !satisfied(k, l.group))
            code = run_slices(k, &l, 2.0 * (double)k->most, err);
        tsm_free(l.inputs);
    }
    tsm_free(segments);
    return code;
}

/* One segment's worth of the group: into the wave when it is small. */
static int run_parts(struct raw *k, uint32_t group, const struct part *parts, size_t nparts,
                     struct tsm_err *err)
{
    const struct tsm_select *s = k->r->c->stmt;
    double rows = 0;
    for (size_t i = 0; i < nparts; i++) {
        int code = estimate_rows(k, &parts[i], &rows, err);
        if (code)
            return code;
    }
    double most = 0;
    for (size_t i = 0; i < nparts; i++)
        most += (double)k->loader.most * (parts[i].set->to - parts[i].set->from);
    if (k->loader.most && rows > most)
        rows = most;
    size_t small = k->most;
    if ((s->limit || s->offset) && small > 4 * FIRST_ROWS)
        small = 4 * FIRST_ROWS;
    if (k->nsegments && (double)k->estimate + rows > (double)small) {
        int code = flush_wave(k, err);
        if (code || satisfied(k, group))
            return code;
    }
    struct series_list l = list_series(k, group, parts, nparts);
    if (rows > (double)small) {
        int code = run_slices(k, &l, rows, err);
        tsm_free(l.inputs);
        return code;
    }
    k->estimate += (size_t)rows + 1;
    add_segment(k, l, k->r->c->tmin, k->r->c->tmax);
    return TSM_OK;
}

static int run_group(struct raw *k, uint32_t number, struct tsm_err *err)
{
    const struct tsm_plan *p = k->r->plan;
    const struct tsm_plan_group *g = &p->groups[number];
    struct part *parts = tsm_realloc_array(NULL, g->nsets, sizeof *parts);
    bool several = false; /* sources that name the measurement: their times may overlap */
    for (size_t i = 0; i < g->nsets; i++) {
        size_t m = g->first_set + (k->r->c->descending ? g->nsets - 1 - i : i);
        const struct tsm_unit *u = &p->units[p->members[m].unit];
        parts[i] = (struct part){u, &u->sets[p->members[m].set]};
        several = several || u->source != parts[0].unit->source;
    }
    int code = TSM_OK;
    if (several)
        code = run_parts(k, number, parts, g->nsets, err);
    else
        for (size_t i = 0; i < g->nsets && !code && !satisfied(k, number); i++)
            code = run_parts(k, number, &parts[i], 1, err);
    tsm_free(parts);
    return code;
}

int tsm_run_raw(struct tsm_run *r, struct tsm_err *err)
{
    struct raw k = {.r = r, .group = UINT32_MAX, .scan = tsm_scan_new()};
    tsm_raw_loader_init(&k.loader, r);
    k.spaces = tsm_calloc(r->jobs, sizeof *k.spaces);
    if (r->level && (r->c->stmt->limit || r->c->stmt->offset) &&
        r->level->out.ndims != r->plan->ndimensions) {
        k.runs = tsm_calloc(1, sizeof *k.runs);
        k.loader.most = (size_t)(r->c->stmt->limit + r->c->stmt->offset + 1);
        k.runs->counts = tsm_calloc(r->plan->nunits + 1, sizeof *k.runs->counts);
    }
    k.fills = r->c->fill == TSM_FILL_NUMBER || r->c->stmt->fill == TSM_FILL_PREVIOUS;
    k.most = r->memory / 4 * 3 / k.loader.row_bytes;
    if (k.most > MOST_ROWS_IN_WAVE)
        k.most = MOST_ROWS_IN_WAVE;

    int code = k.most < 1024 ? tsm_memory_error(r, err) : TSM_OK;
    for (size_t i = 0; i < r->plan->ngroups && !code; i++)
        code = run_group(&k, (uint32_t)(r->c->descending ? r->plan->ngroups - 1 - i : i), err);
    if (!code)
        code = flush_wave(&k, err);
    clear_wave(&k);
    if (code)
        k.begun = false; /* the statement's end tells */
    int ended = end_group(&k, err);
    code = code ? code : ended;

    for (size_t i = 0; i < r->jobs; i++)
        tsm_program_space_free(k.spaces[i]);
    tsm_free(k.spaces);
    for (size_t i = 0; k.runs && i < r->plan->nunits; i++)
        tsm_free(k.runs->counts[i]);
    if (k.runs)
        tsm_free(k.runs->counts);
    tsm_free(k.runs);
    tsm_free(k.segments);
    tsm_scan_free(k.scan);
    tsm_raw_loader_release(&k.loader);
    return code;
}
