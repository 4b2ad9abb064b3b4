/* query/raw_load.c: loading and ordering rows. */
#include "query/raw_load.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "base/banned.h"

enum { TASK_INPUTS = 256 }; /* series per task, at most */

/* How many of the aux influxd compares where times are equal: those that are strings, up to the first other
 * one. */
static size_t string_prefix(const struct tsm_shape *s)
{
    size_t n = 0;
    while (n < s->naux && s->aux[n].vec == TSM_VEC_STRING && s->aux[n].index != SIZE_MAX)
        n++;
    return n;
}

void tsm_raw_loader_init(struct tsm_raw_loader *l, struct tsm_run *r)
{
    *l = (struct tsm_raw_loader){.r = r};
    size_t nf = r->plan->nfields;
    l->wanted = tsm_calloc(nf + 1, sizeof *l->wanted);
    l->row_bytes = sizeof(int64_t) + sizeof(struct tsm_row_ref);
    for (size_t i = 0; i < r->shape->naux; i++) {
        const struct tsm_aux *a = &r->shape->aux[i];
        if (a->type == TSM_DATA_TAG || a->index == SIZE_MAX)
            continue;
        l->wanted[a->index] = true;
        l->row_bytes += tsm_vec_size(a->vec) + (a->vec == TSM_VEC_STRING ? 32 : 0);
    }
    for (size_t i = 0; i < string_prefix(r->shape); i++)
        l->compares_fields = l->compares_fields || r->shape->aux[i].type != TSM_DATA_TAG;
    l->readers = tsm_calloc(r->jobs, sizeof *l->readers);
}

void tsm_raw_loader_release(struct tsm_raw_loader *l)
{
    for (size_t i = 0; l->readers && i < l->r->jobs; i++)
        tsm_row_reader_free(l->readers[i]);
    tsm_free(l->readers);
    tsm_free(l->wanted);
    *l = (struct tsm_raw_loader){0};
}

/* ---- loading ----------------------------------------------------------------------------------- */

struct task { /* a run of inputs, which may go on into the next segments */
    size_t segment, input, count;
};

struct loading {
    struct tsm_raw_loader *l;
    struct tsm_raw_segment *segments;
    struct task *tasks;
    struct tsm_raw_store *stores; /* per task */
    atomic_size_t rows;
    size_t most;
};

static void reserve(struct loading *g, struct tsm_raw_store *st, size_t n)
{
    if (n <= st->cap)
        return;
    size_t cap = st->cap ? 2 * st->cap : 1024;
    if (cap < n)
        cap = n;
    st->t = tsm_realloc_array(st->t, cap, sizeof *st->t);
    const struct tsm_plan *p = g->l->r->plan;
    for (size_t f = 0; f < p->nfields; f++) {
        struct tsm_raw_column *c = &st->columns[f];
        if (!g->l->wanted[f])
            continue;
        c->values = tsm_realloc_array(c->values, cap, tsm_vec_size(tsm_vec_type_of(p->fields[f].type)));
        if (c->nulls)
            c->nulls = tsm_realloc(c->nulls, cap);
    }
    st->cap = cap;
}

static void append(struct loading *g, struct tsm_raw_store *st, const struct tsm_row_batch *b)
{
    const struct tsm_plan *p = g->l->r->plan;
    reserve(g, st, st->n + b->n);
    memcpy(st->t + st->n, b->t, b->n * sizeof *st->t);
    for (size_t f = 0; f < p->nfields; f++) {
        if (!g->l->wanted[f])
            continue;
        struct tsm_raw_column *c = &st->columns[f];
        const struct tsm_vec *v = &b->columns[f];
        size_t size = tsm_vec_size(v->type);
        if (v->type == TSM_VEC_STRING) {
            struct tsm_str *to = (struct tsm_str *)c->values + st->n;
            for (size_t i = 0; i < b->n; i++)
                to[i] = v->nulls && v->nulls[i] ? tsm_str(NULL, 0) : tsm_arena_str(&st->text, v->v.s[i]);
        } else {
            memcpy((char *)c->values + st->n * size, v->v.p, b->n * size);
        }
        if (v->nulls && !c->nulls) {
            c->nulls = tsm_alloc(st->cap);
            memset(c->nulls, 0, st->n);
        }
        if (c->nulls) {
            if (v->nulls)
                memcpy(c->nulls + st->n, v->nulls, b->n);
            else
                memset(c->nulls + st->n, 0, b->n);
        }
    }
    st->n += b->n;
}

static int load_rows(struct loading *g, struct tsm_row_reader *reader, const struct tsm_raw_segment *seg,
                     const struct tsm_raw_input *in, struct tsm_raw_store *st, struct tsm_err *err)
{
    struct tsm_row_batch b;
    int code = tsm_row_reader_start(reader, in->unit, in->series, g->l->wanted, TSM_NO_DRIVER, seg->tmin,
                                    seg->tmax, err);
    while (!code) {
        code = tsm_row_reader_next(reader, &b, err);
        if (code || b.n == 0)
            break;
        append(g, st, &b);
        if (g->l->most && !seg->merge && !g->l->r->c->descending && st->n - in->first >= g->l->most)
            break;
        if (atomic_fetch_add(&g->rows, b.n) + b.n > g->most)
            code = TSM_ESTOP;
    }
    return code;
}

static int load_input(struct loading *g, struct tsm_row_reader *reader, const struct tsm_raw_segment *seg,
                      struct tsm_raw_input *in, struct tsm_raw_store *st, struct tsm_err *err)
{
    in->store = st;
    in->first = st->n;
    int code = load_rows(g, reader, seg, in, st, err);
    in->n = st->n - in->first;
    size_t most = g->l->most;
    if (most && in->n > most) {
        if (g->l->r->c->descending)
            in->first += in->n - most;
        else
            st->n = in->first + most;
        in->n = most;
    }
    return code;
}

/* Appends rows [from, to) of a batch. */
static int append_part(struct loading *g, struct tsm_raw_store *st, const struct tsm_row_batch *b,
                       size_t from, size_t to)
{
    const struct tsm_plan *p = g->l->r->plan;
    struct tsm_vec cut[64], *columns = p->nfields > 64 ? tsm_calloc(p->nfields, sizeof *columns) : cut;
    for (size_t f = 0; f < p->nfields; f++) {
        columns[f] = b->columns[f];
        if (columns[f].v.p)
            columns[f].v.p = (const char *)columns[f].v.p + from * tsm_vec_size(columns[f].type);
        if (columns[f].nulls)
            columns[f].nulls += from;
    }
    struct tsm_row_batch part = {to - from, b->t + from, columns};
    append(g, st, &part);
    if (columns != cut)
        tsm_free(columns);
    return atomic_fetch_add(&g->rows, to - from) + to - from > g->most ? TSM_ESTOP : TSM_OK;
}

/* The rows in the segment's range and the one after it. */
static int load_ahead(struct loading *g, struct tsm_row_reader *reader, const struct tsm_raw_segment *seg,
                      struct tsm_raw_input *in, struct tsm_raw_store *st, int64_t from, struct tsm_err *err)
{
    struct tsm_row_batch b;
    int64_t end = g->l->r->c->tmax;
    int code = tsm_row_reader_start(reader, in->unit, in->series, g->l->wanted, TSM_NO_DRIVER, from, end,
                                    err);
    for (bool more = true; more && !code;) {
        code = tsm_row_reader_next(reader, &b, err);
        if (code || b.n == 0)
            break;
        size_t n = 0;
        while (n < b.n && b.t[n] <= seg->tmax)
            n++;
        more = n == b.n;
        code = append_part(g, st, &b, 0, more ? n : n + 1);
    }
    return code;
}

void tsm_raw_range(const struct tsm_raw_loader *l, const struct tsm_raw_input *in, int64_t *tmin,
                   int64_t *tmax)
{
    const struct tsm_plan *p = l->r->plan;
    *tmin = INT64_MAX;
    *tmax = INT64_MIN;
    for (size_t f = 0; f < p->nfields; f++) {
        uint32_t key = in->unit->keys[(size_t)in->series * p->nfields + f];
        int64_t lo, hi;
        if (!l->wanted[f] || key == TSM_NO_KEY)
            continue;
        tsm_key_range(in->unit->shard, key, &lo, &hi);
        *tmin = lo < *tmin ? lo : *tmin;
        *tmax = hi > *tmax ? hi : *tmax;
    }
    *tmin = *tmin < l->r->c->tmin ? l->r->c->tmin : *tmin;
    *tmax = *tmax > l->r->c->tmax ? l->r->c->tmax : *tmax;
}

/* The last row before the segment's range, looked for further and further back. */
static int load_before(struct loading *g, struct tsm_row_reader *reader, const struct tsm_raw_segment *seg,
                       struct tsm_raw_input *in, struct tsm_raw_store *st, struct tsm_err *err)
{
    int64_t lo, hi;
    tsm_raw_range(g->l, in, &lo, &hi);
    if (seg->tmin <= lo || lo > hi)
        return TSM_OK;
    hi = hi < seg->tmin ? hi : seg->tmin - 1;
    for (double width = ((double)hi - (double)lo) / 64 + 1;; width *= 4) {
        bool all = width >= (double)hi - (double)lo;
        struct tsm_row_batch b;
        bool found = false;
        int code = tsm_row_reader_start(reader, in->unit, in->series, g->l->wanted, TSM_NO_DRIVER,
                                        all ? lo : hi - (int64_t)width, hi, err);
        while (!code) {
            code = tsm_row_reader_next(reader, &b, err);
            if (code || b.n == 0)
                break;
            if (found)
                st->n--; /* a later one */
            code = append_part(g, st, &b, b.n - 1, b.n);
            found = true;
        }
        if (code || found || all)
            return code;
    }
}

/* An input of a merge that goes on: what is due in this slice, and the next row. */
static int load_merged(struct loading *g, struct tsm_row_reader *reader, const struct tsm_raw_segment *seg,
                       size_t i, struct tsm_raw_store *st, struct tsm_err *err)
{
    const struct tsm_raw_merge *m = seg->merge;
    struct tsm_raw_input *in = &seg->inputs[i];
    bool down = g->l->r->c->descending;
    in->store = st;
    in->first = st->n;
    in->n = 0;
    if (m->begun &&
        (m->over[i] || (!g->l->compares_fields && (down ? m->due[i] < seg->tmin : m->due[i] > seg->tmax))))
        return TSM_OK;
    int code;
    if (!down) {
        code = load_ahead(g, reader, seg, in, st, m->begun ? m->due[i] : g->l->r->c->tmin, err);
    } else if (m->begun && m->due[i] < seg->tmin) {
        struct tsm_raw_segment due = {.tmin = m->due[i], .tmax = m->due[i]};
        code = load_rows(g, reader, &due, in, st, err);
    } else {
        code = load_before(g, reader, seg, in, st, err);
        if (!code)
            code = load_rows(g, reader, seg, in, st, err);
    }
    in->n = st->n - in->first;
    return code;
}

static int load_task(void *ctx, size_t number, unsigned thread, void **slot, struct tsm_err *err)
{
    struct loading *g = ctx;
    struct tsm_raw_loader *l = g->l;
    struct task task = g->tasks[number];
    (void)slot;
    if (!l->readers[thread])
        l->readers[thread] = tsm_row_reader_new(l->r->plan, l->r->filters);
    int code = TSM_OK;
    while (task.count && !code) {
        struct tsm_raw_segment *seg = &g->segments[task.segment];
        if (task.input == seg->ninputs) {
            task.segment++;
            task.input = 0;
            continue;
        }
        if (seg->merge)
            code = load_merged(g, l->readers[thread], seg, task.input, &g->stores[number], err);
        else
            code = load_input(g, l->readers[thread], seg, &seg->inputs[task.input], &g->stores[number], err);
        task.input++;
        task.count--;
    }
    return code;
}

/* ---- ordering ---------------------------------------------------------------------------------- */

struct ties { /* what influxd compares at equal times: the strings that come first in the order of names */
    const struct tsm_run *r;
    const struct tsm_raw_segment *seg;
    size_t prefix; /* how many of the aux are strings */
    bool descending;
};

/* An aux that is a string; *missing when it has none here. */
static struct tsm_str tie_string(const struct ties *k, size_t aux, struct tsm_row_ref ref, bool *missing)
{
    const struct tsm_raw_input *in = &k->seg->inputs[ref.input];
    const struct tsm_aux *a = &k->r->shape->aux[aux];
    if (a->type == TSM_DATA_TAG) {
        struct tsm_str s = in->unit->values[(size_t)in->series * k->r->plan->ntags + a->index];
        *missing = s.n == 0;
        return s;
    }
    size_t row = in->first + ref.row;
    const struct tsm_raw_column *c = &in->store->columns[a->index];
    *missing = c->nulls && c->nulls[row];
    return ((const struct tsm_str *)c->values)[row];
}

/* Less than 0, 0, more than 0; a string that is missing makes all that follows equal. */
static int tie_compare(const struct ties *k, struct tsm_row_ref x, struct tsm_row_ref y)
{
    for (size_t a = 0; a < k->prefix; a++) {
        bool no_x, no_y;
        struct tsm_str sx = tie_string(k, a, x, &no_x), sy = tie_string(k, a, y, &no_y);
        if (no_x || no_y)
            return 0;
        int c = tsm_str_cmp(sx, sy);
        if (c)
            return c;
    }
    return 0;
}

static bool tie_less(void *ctx, struct tsm_row_ref x, struct tsm_row_ref y)
{
    const struct ties *k = ctx;
    int c = tie_compare(k, x, y);
    return k->descending ? c > 0 : c < 0;
}

static int compare_tags(const void *x, const void *y, void *ctx)
{
    const uint32_t *a = x, *b = y;
    return tie_compare(ctx, (struct tsm_row_ref){*a, 0}, (struct tsm_row_ref){*b, 0});
}

/* When tags alone tell all inputs apart, the inputs in that order; else NULL. */
static uint32_t *rank_inputs(const struct ties *ties)
{
    const struct tsm_raw_segment *seg = ties->seg;
    struct ties k = *ties;
    for (k.prefix = 0; k.prefix < ties->prefix; k.prefix++)
        if (k.r->shape->aux[k.prefix].type != TSM_DATA_TAG)
            break;
    if (k.prefix == 0)
        return NULL;
    uint32_t *rank = tsm_realloc_array(NULL, seg->ninputs, sizeof *rank);
    for (size_t i = 0; i < seg->ninputs; i++) {
        rank[i] = (uint32_t)i;
        for (size_t a = 0; a < k.prefix; a++) {
            bool missing;
            tie_string(&k, a, (struct tsm_row_ref){(uint32_t)i, 0}, &missing);
            if (missing) {
                tsm_free(rank);
                return NULL;
            }
        }
    }
    bool sorted = true;
    for (size_t i = 1; i < seg->ninputs && sorted; i++)
        sorted = compare_tags(&rank[i - 1], &rank[i], &k) < 0;
    if (!sorted)
        qsort_r(rank, seg->ninputs, sizeof *rank, compare_tags, &k);
    for (size_t i = 1; i < seg->ninputs && !sorted; i++) {
        if (compare_tags(&rank[i - 1], &rank[i], &k) == 0) {
            tsm_free(rank);
            return NULL;
        }
    }
    return rank;
}

void tsm_raw_merge_init(struct tsm_raw_merge *m, size_t ninputs)
{
    *m = (struct tsm_raw_merge){0};
    m->due = tsm_calloc(ninputs, sizeof *m->due);
    m->over = tsm_calloc(ninputs, sizeof *m->over);
}

void tsm_raw_merge_release(struct tsm_raw_merge *m)
{
    tsm_merge_end(&m->heap);
    tsm_free(m->due);
    tsm_free(m->over);
}

bool tsm_raw_needs_merge(const struct tsm_run *r, const struct tsm_raw_segment *seg)
{
    struct ties ties = {r, seg, string_prefix(r->shape), r->c->descending};
    uint32_t *rank = seg->ninputs > 1 ? rank_inputs(&ties) : NULL;
    tsm_free(rank);
    return seg->ninputs > 1 && !rank;
}

/* A slice of a merge that goes on. */
static void order_slice(const struct tsm_run *r, struct tsm_raw_segment *seg)
{
    struct tsm_raw_merge *m = seg->merge;
    struct ties ties = {r, seg, string_prefix(r->shape), r->c->descending};
    tsm_tie_less *less = ties.prefix ? tie_less : NULL;
    struct tsm_merge_input *in = tsm_realloc_array(NULL, seg->ninputs, sizeof *in);
    size_t rows = 0;
    for (size_t i = 0; i < seg->ninputs; i++) {
        in[i] = (struct tsm_merge_input){seg->inputs[i].store->t + seg->inputs[i].first, seg->inputs[i].n};
        rows += in[i].n;
    }
    if (!m->begun)
        tsm_merge_begin(&m->heap, in, seg->ninputs, ties.descending, less, &ties);
    m->begun = true;
    seg->order = tsm_realloc_array(NULL, rows + 1, sizeof *seg->order);
    seg->total = tsm_merge_slice(&m->heap, in, ties.descending ? seg->tmin : seg->tmax, less, &ties,
                                 seg->order, r->plan->control);
    for (size_t i = 0; i < seg->ninputs; i++)
        m->over[i] = true;
    for (size_t i = 0; i < m->heap.n; i++) {
        uint32_t input;
        int64_t t = tsm_merge_due(&m->heap, i, &input);
        m->due[input] = t;
        m->over[input] = false;
    }
    tsm_free(in);
}

static void order_segment(const struct tsm_run *r, struct tsm_raw_segment *seg)
{
    if (seg->merge) {
        order_slice(r, seg);
        return;
    }
    size_t active = 0;
    for (size_t i = 0; i < seg->ninputs; i++) {
        seg->total += seg->inputs[i].n;
        if (seg->inputs[i].n)
            seg->inputs[active++] = seg->inputs[i]; /* influxd leaves empty ones out of its heap as well */
    }
    seg->ninputs = active;
    if (active < 2)
        return;
    bool descending = r->c->descending;
    struct ties ties = {r, seg, string_prefix(r->shape), descending};
    uint32_t *rank = rank_inputs(&ties);
    struct tsm_merge_input *in = tsm_realloc_array(NULL, active, sizeof *in);
    struct tsm_merge_place *places = tsm_realloc_array(NULL, active, sizeof *places);
    for (size_t i = 0; i < active; i++) {
        const struct tsm_raw_input *x = &seg->inputs[rank ? rank[i] : i];
        in[i] = (struct tsm_merge_input){x->store->t + x->first, x->n};
        places[i] = (struct tsm_merge_place){x->unit->source, x->unit};
    }
    seg->order = tsm_realloc_array(NULL, seg->total, sizeof *seg->order);
    if (rank) {
        tsm_merge_ranked(in, active, descending, seg->order, r->plan->control);
        bool same = true;
        for (size_t i = 0; i < active && same; i++)
            same = rank[i] == i;
        for (size_t i = 0; i < seg->total && !same; i++)
            seg->order[i].input = rank[seg->order[i].input];
    } else {
        tsm_merge_places(in, places, active, descending, ties.prefix ? tie_less : NULL, &ties, seg->order,
                         r->plan->control);
    }
    tsm_free(places);
    tsm_free(in);
    tsm_free(rank);
}

static int order_task(void *ctx, size_t number, unsigned thread, void **slot, struct tsm_err *err)
{
    struct loading *g = ctx;
    (void)thread;
    (void)slot;
    int code = tsm_control_check(g->l->r->plan->control, 0, err);
    if (!code)
        order_segment(g->l->r, &g->segments[number]);
    return code ? code : tsm_control_check(g->l->r->plan->control, 0, err);
}

/* ---- all of it --------------------------------------------------------------------------------- */

static size_t make_tasks(struct loading *g, size_t n)
{
    size_t inputs = 0, count = 0, cap = 0;
    for (size_t i = 0; i < n; i++)
        inputs += g->segments[i].ninputs;
    size_t per = inputs / (g->l->r->jobs * 8) + 1;
    if (per > TASK_INPUTS)
        per = TASK_INPUTS;
    struct task next = {0};
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < g->segments[i].ninputs; k++) {
            if (next.count == 0)
                next = (struct task){i, k, 0};
            if (++next.count < per)
                continue;
            TSM_GROW(g->tasks, count + 1, cap);
            g->tasks[count++] = next;
            next.count = 0;
        }
    }
    if (next.count) {
        TSM_GROW(g->tasks, count + 1, cap);
        g->tasks[count++] = next;
    }
    return count;
}

int tsm_raw_load(struct tsm_raw_loader *l, struct tsm_raw_segment *segments, size_t n, size_t most,
                 struct tsm_raw_load *load, struct tsm_err *err)
{
    struct loading g = {.l = l, .segments = segments, .most = most};
    *load = (struct tsm_raw_load){.nfields = l->r->plan->nfields};
    load->nstores = make_tasks(&g, n);
    load->stores = g.stores = tsm_calloc(load->nstores + 1, sizeof *g.stores);
    for (size_t i = 0; i < load->nstores; i++)
        g.stores[i].columns = tsm_calloc(load->nfields + 1, sizeof *g.stores[i].columns);
    struct tsm_parallel p = {
        .jobs = l->r->jobs, .tasks = load->nstores, .ahead = load->nstores + 1, .ctx = &g};
    p.work = load_task;
    int code = tsm_parallel_run(&p, err);
    if (!code) {
        p.tasks = n;
        p.ahead = n + 1;
        p.work = order_task;
        code = tsm_parallel_run(&p, err);
    }
    tsm_free(g.tasks);
    if (code)
        tsm_raw_load_release(load, segments, n);
    return code;
}

void tsm_raw_load_release(struct tsm_raw_load *load, struct tsm_raw_segment *segments, size_t n)
{
    for (size_t i = 0; i < load->nstores; i++) {
        struct tsm_raw_store *st = &load->stores[i];
        for (size_t f = 0; f < load->nfields; f++) {
            tsm_free(st->columns[f].values);
            tsm_free(st->columns[f].nulls);
        }
        tsm_free(st->columns);
        tsm_free(st->t);
        tsm_arena_release(&st->text);
    }
    tsm_free(load->stores);
    for (size_t i = 0; i < n; i++) {
        tsm_free(segments[i].order);
        segments[i].order = NULL;
        segments[i].total = 0;
    }
    *load = (struct tsm_raw_load){0};
}
