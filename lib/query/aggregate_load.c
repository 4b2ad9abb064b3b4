/* query/aggregate_load.c: reading the series of an aggregate. */
#include "query/aggregate.h"
#include "query/value_sort.h"

#include "base/alloc.h"
#include "base/parallel.h"
#include "base/sort.h"
#include "base/time.h"
#include "base/banned.h"

enum {
    MOST_WINDOWS = 1 << 16, /* in a dense array */
    MOST_PER_TASK = 256,    /* series */
    TASKS = 64,             /* about as many when there are few series */
};

/* ---- waves ------------------------------------------------------------------------------------- */

void tsm_agg_add_group(struct tsm_agg_wave *w, uint32_t group, uint32_t answer)
{
    const struct tsm_plan *p = w->a->r->plan;
    const struct tsm_plan_group *g = &p->groups[group];
    for (size_t i = 0; i < g->nsets; i++) {
        const struct tsm_plan_member *m = &p->members[g->first_set + i];
        const struct tsm_unit *u = &p->units[m->unit];
        const struct tsm_plan_set *s = &u->sets[m->set];
        TSM_GROW(w->members, w->nmembers + 1, w->capmembers);
        w->members[w->nmembers++] = (struct tsm_agg_member){.unit = u,
                                                            .from = s->from,
                                                            .n = s->to - s->from,
                                                            .group = group,
                                                            .answer = answer,
                                                            .base = w->nseries};
        w->nseries += s->to - s->from;
    }
}

/* A bound for what does not depend on the number of values: the rest is met by trying. */
size_t tsm_agg_estimate(const struct tsm_agg *a, uint32_t group)
{
    const struct tsm_plan *p = a->r->plan;
    const struct tsm_plan_group *g = &p->groups[group];
    size_t n = 0;
    for (size_t i = 0; i < g->nsets; i++) {
        const struct tsm_plan_member *m = &p->members[g->first_set + i];
        const struct tsm_plan_set *s = &p->units[m->unit].sets[m->set];
        n += (s->to - s->from) * a->ncalls * (sizeof(struct tsm_partial) + 2 * sizeof(int64_t));
    }
    return n;
}

bool tsm_agg_range(const struct tsm_agg_wave *w, size_t call, int64_t *tmin, int64_t *tmax)
{
    const struct tsm_agg_call *c = &w->a->calls[call];
    *tmin = INT64_MAX;
    *tmax = INT64_MIN;
    for (size_t m = 0; m < w->nmembers; m++) {
        const struct tsm_agg_member *mb = &w->members[m];
        for (uint32_t s = 0; s < mb->n; s++) {
            uint32_t key = mb->unit->keys[(size_t)(mb->from + s) * w->a->r->plan->nfields + c->field];
            int64_t lo, hi;
            if (key == TSM_NO_KEY)
                continue;
            tsm_key_range(mb->unit->shard, key, &lo, &hi);
            *tmin = lo < *tmin ? lo : *tmin;
            *tmax = hi > *tmax ? hi : *tmax;
        }
    }
    *tmin = *tmin < c->tmin ? c->tmin : *tmin;
    *tmax = *tmax > c->tmax ? c->tmax : *tmax;
    return *tmin <= *tmax;
}

/* The intervals that the keys of all members may have values in. */
static void find_windows(struct tsm_agg_wave *w)
{
    const struct tsm_run *r = w->a->r;
    int64_t tmin = INT64_MAX, tmax = INT64_MIN, lo, hi;
    w->nwindows = 1;
    if (r->c->interval == 0)
        return;
    for (size_t c = 0; c < w->a->ncalls; c++) {
        if (!w->a->calls[c].dense || w->a->calls[c].method != TSM_AGG_FOLD || !tsm_agg_range(w, c, &lo, &hi))
            continue;
        tmin = lo < tmin ? lo : tmin;
        tmax = hi > tmax ? hi : tmax;
    }
    w->nwindows = 0;
    if (tmin > tmax)
        return;
    w->base = tsm_window_at(r->c, tmin).start;
    __int128 n = ((__int128)tsm_window_at(r->c, tmax).start - w->base) / r->c->interval + 2;
    w->nwindows = n > MOST_WINDOWS || r->c->stmt->location ? SIZE_MAX
                                                           : (size_t)n; /* in zones they differ in length */
}

static bool is_dense(const struct tsm_agg_wave *w, const struct tsm_agg_call *k)
{
    return k->method == TSM_AGG_FOLD && k->dense && w->nwindows <= MOST_WINDOWS &&
           (k->rough || w->nwindows <= 4 || w->nseries >= 4 * w->nmembers);
}

/* ---- one series -------------------------------------------------------------------------------- */

struct worker {
    struct tsm_agg_wave *w;
    struct tsm_agg_task *task;
    struct tsm_agg_dense *dense; /* of the current member, per call */
    struct tsm_cursor *cursor;
    struct tsm_row_reader *reader;
    size_t *starts; /* per call: where the series' part of the list starts */
    size_t first; /* the call that values are being read for, and with it those on the same field and range */
    struct tsm_agg_best *best; /* per call */
    int64_t *best_end;         /* per call: the end of the interval that they are of */
    struct tsm_err *err;
    struct backlog { /* a series that is added up backwards */
        int64_t *t;
        union tsm_num *v;
        size_t n, cap;
    } backlog;
};

/* Bytes that the reduction of a value will need beside the list. */
static size_t reduction_bytes(const struct tsm_agg_call *c)
{
    if (c->method != TSM_AGG_VALUES)
        return 0;
    if (!c->timed)
        return sizeof(union tsm_num);
    if (c->fn == TSM_FN_RAW) /* the order, and the result */
        return sizeof(struct tsm_row_ref) + sizeof(int64_t) + sizeof(union tsm_num);
    return c->fn == TSM_FN_STDDEV ? sizeof(struct tsm_row_ref) + sizeof(union tsm_num)
                                  : sizeof(struct tsm_row_ref) + sizeof(struct tsm_value_item);
}

static int account(struct worker *k, size_t bytes)
{
    if (atomic_fetch_add(&k->w->bytes, bytes) + bytes <= k->w->most)
        return TSM_OK;
    atomic_store(&k->w->overflow, true);
    return tsm_memory_error(k->w->a->r, k->err);
}

static int grow_list(struct worker *k, const struct tsm_agg_call *c, struct tsm_agg_list *l, size_t extra)
{
    if (l->n + extra <= l->cap)
        return TSM_OK;
    size_t cap = l->cap ? l->cap + l->cap / 2 : 256, size = reduction_bytes(c), was = l->cap;
    if (cap < l->n + extra)
        cap = l->n + extra;
    if (c->method != TSM_AGG_VALUES || c->timed) {
        l->t = tsm_realloc_array(l->t, cap, sizeof *l->t);
        size += sizeof *l->t;
    }
    if (c->method == TSM_AGG_VALUES) {
        l->v = tsm_realloc_array(l->v, cap, sizeof *l->v);
        size += sizeof *l->v;
    } else {
        l->p = tsm_realloc_array(l->p, cap, sizeof *l->p);
        size += sizeof *l->p;
    }
    l->cap = cap;
    return account(k, (cap - was) * size);
}

/* The end of the run of times before `end`, from i on. Intervals are usually longer than a few rows: gallop.
 */
static size_t run_end(const int64_t *t, size_t i, size_t n, int64_t end)
{
    if (t[n - 1] < end)
        return n;
    size_t step = 1, lo = i;
    while (lo + step < n && t[lo + step] < end) {
        lo += step;
        step *= 2;
    }
    size_t hi = lo + step < n ? lo + step : n - 1; /* t[lo] < end <= t[hi] */
    while (hi - lo > 1) {
        size_t mid = (lo + hi) / 2;
        if (t[mid] < end)
            lo = mid;
        else
            hi = mid;
    }
    return hi;
}

/* Adds a run of values of one interval to a call. */
static int add_run(struct worker *k, size_t call, int64_t window, const int64_t *t, const char *v, size_t n,
                   bool backwards)
{
    const struct tsm_agg_call *c = &k->w->a->calls[call];
    tsm_fold_add *add = tsm_fold_adder(c->fn, c->type);
    if (k->dense && k->dense[call].p) {
        size_t i = k->w->a->r->c->interval ? (size_t)((window - k->w->base) / k->w->a->r->c->interval) : 0;
        if (window == TSM_TIME_MIN)
            i = 0;
        if (i >= k->w->nwindows)
            return tsm_err_set(k->err, TSM_ECORRUPT, "a value lies outside of the time range of its key");
        struct tsm_partial fresh = {0}, *p = &k->dense[call].p[i];
        add(&fresh, t, v, n, true, false, &k->task->text);
        tsm_fold_finish(c->fn, c->type, &fresh);
        tsm_join(c->fn, c->type, p, &fresh, !k->dense[call].present[i]);
        k->dense[call].present[i] = 1;
        return TSM_OK;
    }
    struct tsm_agg_list *l = &k->task->lists[call];
    bool fresh = l->n == k->starts[call] || l->t[l->n - 1] != window;
    if (fresh) {
        int code = grow_list(k, c, l, 1);
        if (code)
            return code;
        l->t[l->n++] = window;
    }
    add(&l->p[l->n - 1], t, v, n, fresh, backwards, &k->task->text);
    return TSM_OK;
}

static union tsm_num num_at(enum tsm_vec_type type, const char *v, size_t i, struct tsm_arena *text)
{
    union tsm_num out;
    if (type == TSM_VEC_BOOLEAN) {
        out.u = ((const uint8_t *)v)[i];
    } else if (type == TSM_VEC_STRING) {
        struct tsm_str *s = tsm_arena_alloc(text, sizeof *s);
        *s = tsm_arena_str(text, ((const struct tsm_str *)v)[i]);
        out.s = s;
    } else {
        out.u = ((const uint64_t *)v)[i];
    }
    return out;
}

static int add_values(struct worker *k, size_t call, const int64_t *t, const char *v, size_t n)
{
    const struct tsm_agg_call *c = &k->w->a->calls[call];
    struct tsm_agg_list *l = &k->task->lists[call];
    int code = grow_list(k, c, l, n);
    if (code)
        return code;
    if (c->timed)
        memcpy(l->t + l->n, t, n * sizeof *t);
    if (c->type <= TSM_VEC_UNSIGNED)
        memcpy(l->v + l->n, v, n * sizeof *l->v);
    else
        for (size_t i = 0; i < n; i++)
            l->v[l->n + i] = num_at(c->type, v, i, &k->task->text);
    l->n += n;
    return TSM_OK;
}

/* Sums of floats are added from the newest value on when the answer descends. */
static bool goes_backwards(const struct worker *k, const struct tsm_agg_call *c)
{
    return k->w->a->r->c->descending && c->method == TSM_AGG_FOLD && c->type == TSM_VEC_FLOAT &&
           (c->fn == TSM_FN_SUM || c->fn == TSM_FN_MEAN);
}

static void keep_backlog(struct worker *k, const int64_t *t, const char *v, size_t n)
{
    struct backlog *b = &k->backlog;
    if (b->n + n > b->cap) {
        b->cap = 2 * b->cap > b->n + n ? 2 * b->cap : b->n + n;
        b->t = tsm_realloc_array(b->t, b->cap, sizeof *b->t);
        b->v = tsm_realloc_array(b->v, b->cap, sizeof *b->v);
    }
    memcpy(b->t + b->n, t, n * sizeof *t);
    memcpy(b->v + b->n, v, n * sizeof *b->v);
    b->n += n;
}

/* Whether a call reads what call `first` reads. */
static bool reads_with(const struct tsm_agg *a, size_t call, size_t first)
{
    const struct tsm_agg_call *c = &a->calls[call], *f = &a->calls[first];
    return c->method != TSM_AGG_NONE && c->field == f->field && c->tmin == f->tmin && c->tmax == f->tmax;
}

/* The best points of the interval are complete; a list ascends in time. */
static int compare_times(const void *x, const void *y)
{
    const struct tsm_agg_best_point *a = x, *b = y;
    return (a->t > b->t) - (a->t < b->t);
}

static int flush_best(struct worker *k, size_t call)
{
    struct tsm_agg_best *b = &k->best[call];
    struct tsm_agg_list *l = &k->task->lists[call];
    int code = grow_list(k, &k->w->a->calls[call], l, b->n);
    if (code)
        return code;
    tsm_sort(b->points, b->n, sizeof *b->points, compare_times);
    for (size_t i = 0; i < b->n; i++) {
        l->t[l->n] = b->points[i].t;
        l->v[l->n++] = b->points[i].v;
    }
    b->n = 0;
    return TSM_OK;
}

static int add_best(struct worker *k, size_t call, const int64_t *t, const char *v, size_t n)
{
    const struct tsm_agg_call *c = &k->w->a->calls[call];
    const union tsm_num *values = (const union tsm_num *)(const void *)v;
    struct tsm_agg_best *b = &k->best[call];
    int code = TSM_OK;
    for (size_t i = 0; i < n && !code;) {
        if (b->n && t[i] >= k->best_end[call]) {
            if (c->entered)
                b->n = 0;
            else
                code = flush_best(k, call);
        }
        if (b->n == 0)
            k->best_end[call] = tsm_window_at(k->w->a->r->c, t[i]).end;
        if (!b->points)
            tsm_agg_best_init(b, c);
        size_t end = run_end(t, i, n, k->best_end[call]);
        if (k->best_end[call] == INT64_MAX)
            end = n;
        for (; i < end && !code; i++)
            if (tsm_agg_best_add(b, t[i], values[i], 0) && c->entered)
                code = add_values(k, call, t + i, v + 8 * i, 1);
    }
    return code;
}

/* A batch of a series' values goes to the calls that read them. */
static int feed(struct worker *k, const int64_t *t, const char *v, size_t n)
{
    const struct tsm_agg *a = k->w->a;
    bool folds = false, backlog = false;
    int code = TSM_OK;
    size_t size = 8;
    for (size_t c = 0; c < a->ncalls && !code; c++) {
        if (!reads_with(a, c, k->first))
            continue;
        size = tsm_vec_size(a->calls[c].type);
        if (a->calls[c].best)
            code = add_best(k, c, t, v, n);
        else if (a->calls[c].method == TSM_AGG_VALUES)
            code = add_values(k, c, t, v, n);
        else if (goes_backwards(k, &a->calls[c]))
            backlog = true;
        else if (a->calls[c].method == TSM_AGG_FOLD)
            folds = true;
    }
    if (backlog)
        keep_backlog(k, t, v, n);
    for (size_t i = 0; i < n && folds && !code;) {
        struct tsm_window w = tsm_window_at(a->r->c, t[i]);
        size_t end = run_end(t, i, n, w.end);
        for (size_t c = 0; c < a->ncalls && !code; c++)
            if (reads_with(a, c, k->first) && a->calls[c].method == TSM_AGG_FOLD &&
                !goes_backwards(k, &a->calls[c]))
                code = add_run(k, c, w.start, t + i, v + i * size, end - i, false);
        i = end;
    }
    return code;
}

static int flush_backlog(struct worker *k)
{
    const struct tsm_agg *a = k->w->a;
    struct backlog *b = &k->backlog;
    int code = TSM_OK;
    for (size_t i = 0; i < b->n && !code;) {
        struct tsm_window w = tsm_window_at(a->r->c, b->t[i]);
        size_t end = run_end(b->t, i, b->n, w.end);
        for (size_t c = 0; c < a->ncalls && !code; c++)
            if (reads_with(a, c, k->first) && goes_backwards(k, &a->calls[c]))
                code = add_run(k, c, w.start, b->t + i, (const char *)(b->v + i), end - i, true);
        i = end;
    }
    b->n = 0;
    return code;
}

static int for_each_batch(struct worker *k, const struct tsm_unit *u, size_t s, size_t field, int64_t tmin,
                          int64_t tmax,
                          int (*fn)(struct worker *k, const int64_t *t, const char *v, size_t n))
{
    const struct tsm_plan *p = k->w->a->r->plan;
    uint32_t key = u->keys[s * p->nfields + field];
    if (u->series[s].filter == TSM_NO_FILTER) {
        int code = tsm_cursor_start(k->cursor, u->shard, key, tsm_vec_type_of(p->fields[field].type), tmin,
                                    tmax, k->err);
        while (!code && k->cursor->n) {
            code = fn(k, k->cursor->t, k->cursor->v.p, k->cursor->n);
            if (!code)
                code = tsm_cursor_next(k->cursor, k->err);
        }
        return code;
    }
    struct tsm_row_batch b;
    int code = tsm_row_reader_start(k->reader, u, s, k->w->a->none_wanted, field, tmin, tmax, k->err);
    while (!code) {
        code = tsm_row_reader_next(k->reader, &b, k->err);
        if (code || b.n == 0)
            break;
        code = fn(k, b.t, b.columns[field].v.p, b.n);
    }
    return code;
}

/* ---- first() and last() over the whole range: the two outermost rows --------------------------- */

struct ends {
    struct tsm_partial p[2];
    size_t n;
    bool last; /* keep the last two; else the first two */
    enum tsm_vec_type type;
    struct tsm_arena *text;
};

static void push_end(struct ends *e, int64_t t, const char *v, size_t i)
{
    struct tsm_partial p = {.v = num_at(e->type, v, i, e->text), .x.t = t};
    if (e->n == 2) {
        e->p[0] = e->p[1];
        e->p[1] = p;
    } else {
        e->p[e->n++] = p;
    }
}

static int find_ends(struct worker *k, const struct tsm_unit *u, size_t s, size_t field, struct ends *e,
                     int64_t tmin, int64_t tmax)
{
    const struct tsm_plan *p = k->w->a->r->plan;
    bool filtered = u->series[s].filter != TSM_NO_FILTER;
    int code;
    e->n = 0;
    if (filtered)
        code = tsm_row_reader_start(k->reader, u, s, k->w->a->none_wanted, field, tmin, tmax, k->err);
    else
        code = tsm_cursor_start(k->cursor, u->shard, u->keys[s * p->nfields + field], e->type, tmin, tmax,
                                k->err);
    while (!code) {
        struct tsm_row_batch b = {.n = k->cursor->n, .t = k->cursor->t};
        const char *v = k->cursor->v.p;
        if (filtered) {
            code = tsm_row_reader_next(k->reader, &b, k->err);
            v = b.n ? b.columns[field].v.p : NULL;
        }
        if (code || b.n == 0)
            break;
        for (size_t i = e->last && b.n > 2 ? b.n - 2 : 0; i < b.n && (e->last || e->n < 2); i++)
            push_end(e, b.t[i], v, i);
        if (!e->last && e->n == 2)
            break;
        if (!filtered)
            code = tsm_cursor_next(k->cursor, k->err);
    }
    return code;
}

static int add_ends(struct worker *k, const struct tsm_unit *u, size_t s, size_t call)
{
    const struct tsm_run *r = k->w->a->r;
    const struct tsm_agg_call *c = &k->w->a->calls[call];
    struct ends e = {.last = c->fn == TSM_FN_LAST, .type = c->type, .text = &k->task->text};
    uint32_t key = u->keys[s * r->plan->nfields + c->field];
    int code;
    if (!e.last) {
        code = find_ends(k, u, s, c->field, &e, r->c->tmin, r->c->tmax);
    } else {
        /* Backwards, a few blocks at a time. */
        int64_t lo, hi;
        tsm_key_range(u->shard, key, &lo, &hi);
        lo = lo < r->c->tmin ? r->c->tmin : lo;
        hi = hi > r->c->tmax ? r->c->tmax : hi;
        if (lo > hi)
            return TSM_OK;
        size_t blocks = tsm_key_blocks(u->shard, key, lo, hi);
        double width = ((double)hi - (double)lo) / (double)(blocks ? blocks : 1);
        for (;;) {
            bool all = width >= (double)hi - (double)lo;
            code = find_ends(k, u, s, c->field, &e, all ? lo : hi - (int64_t)width, hi);
            if (code || all || e.n == 2)
                break;
            width = 4 * width + 1;
        }
    }
    struct tsm_agg_list *l = &k->task->lists[call];
    if (!code)
        code = grow_list(k, c, l, 2);
    if (code)
        return code;
    for (size_t i = 0; i < e.n; i++) {
        l->t[l->n] = e.p[i].x.t;
        l->p[l->n++] = e.p[i];
    }
    return TSM_OK;
}

/* ---- distinct() -------------------------------------------------------------------------------- */

/* Leaves each value once per interval in the series' part of the list, so that it takes no more memory than
 * its different values do. */
static void drop_repeats(struct worker *k, size_t call)
{
    struct tsm_agg_list *l = &k->task->lists[call];
    const struct tsm_agg_call *c = &k->w->a->calls[call];
    size_t from = k->starts[call], to = from;
    for (size_t i = from; i < l->n;) {
        struct tsm_window w = tsm_window_at(k->w->a->r->c, l->t[i]);
        size_t end = run_end(l->t, i, l->n, w.end);
        to += tsm_distinct_values(c->type, k->w->a->r->c->descending, l->t + i, l->v + i, end - i, l->t + to,
                                  l->v + to);
        i = end;
    }
    l->n = to;
}

/* ---- tasks ------------------------------------------------------------------------------------- */

/* count() of a field with nothing else to ask: from the index and block headers. */
static bool only_counts(const struct tsm_agg_wave *w, const struct tsm_unit *u, size_t s, size_t field)
{
    const struct tsm_agg *a = w->a;
    if (a->r->c->interval || u->series[s].filter != TSM_NO_FILTER)
        return false;
    for (size_t c = 0; c < a->ncalls; c++)
        if (a->calls[c].field == field && a->calls[c].method != TSM_AGG_NONE &&
            (a->calls[c].fn != TSM_FN_COUNT || a->calls[c].method != TSM_AGG_FOLD))
            return false;
    return true;
}

static int count_only(struct worker *k, const struct tsm_unit *u, size_t s, size_t field)
{
    const struct tsm_agg *a = k->w->a;
    uint64_t n;
    int code = tsm_control_check(a->r->plan->control, 0, k->err);
    if (code)
        return code;
    code = tsm_scan_count(k->cursor->scan, u->shard, u->keys[s * a->r->plan->nfields + field], a->r->c->tmin,
                          a->r->c->tmax, &n, k->err);
    for (size_t c = 0; c < a->ncalls && !code && n; c++)
        if (a->calls[c].field == field && a->calls[c].method == TSM_AGG_FOLD)
            code = add_run(k, c, TSM_TIME_MIN, NULL, NULL, (size_t)n, false);
    return code;
}

static bool is_first_reader(const struct tsm_agg *a, size_t call)
{
    for (size_t c = 0; c < call; c++)
        if (reads_with(a, c, call))
            return false;
    return a->calls[call].method != TSM_AGG_NONE;
}

static bool needs_batches(const struct tsm_agg *a, size_t first)
{
    for (size_t c = 0; c < a->ncalls; c++)
        if (reads_with(a, c, first) &&
            (a->calls[c].method == TSM_AGG_FOLD || a->calls[c].method == TSM_AGG_VALUES))
            return true;
    return false;
}

static int read_series(struct worker *k, const struct tsm_unit *u, size_t s)
{
    const struct tsm_agg *a = k->w->a;
    int code = TSM_OK;
    for (size_t c = 0; c < a->ncalls; c++)
        k->starts[c] = k->task->lists[c].n;
    for (size_t c = 0; c < a->ncalls && !code; c++) {
        size_t field = a->calls[c].field;
        if (a->calls[c].method == TSM_AGG_NONE || u->keys[s * a->r->plan->nfields + field] == TSM_NO_KEY)
            continue;
        if (a->calls[c].method == TSM_AGG_ENDS)
            code = add_ends(k, u, s, c);
        if (code || !is_first_reader(a, c) || !needs_batches(a, c))
            continue;
        k->first = c;
        if (only_counts(k->w, u, s, field)) {
            code = count_only(k, u, s, field);
            continue;
        }
        code = for_each_batch(k, u, s, field, a->calls[c].tmin, a->calls[c].tmax, feed);
        if (!code && k->backlog.n)
            code = flush_backlog(k);
    }
    for (size_t c = 0; c < a->ncalls; c++) {
        struct tsm_agg_list *l = &k->task->lists[c];
        if (!code && k->best[c].n && !a->calls[c].entered)
            code = flush_best(k, c);
        k->best[c].n = 0;
        if (a->calls[c].method == TSM_AGG_VALUES &&
            (a->calls[c].fn == TSM_FN_DISTINCT || a->calls[c].call->count_distinct))
            drop_repeats(k, c);
        for (size_t i = k->starts[c]; i < l->n && a->calls[c].method == TSM_AGG_FOLD; i++)
            tsm_fold_finish(a->calls[c].fn, a->calls[c].type, &l->p[i]);
    }
    return code;
}

static int make_dense(struct worker *k, size_t member)
{
    struct tsm_agg_wave *w = k->w;
    size_t bytes = 0;
    k->dense = k->task->dense + member * w->a->ncalls;
    for (size_t c = 0; c < w->a->ncalls; c++) {
        if (!is_dense(w, &w->a->calls[c]))
            continue;
        k->dense[c].p = tsm_calloc(w->nwindows + 1, sizeof *k->dense[c].p);
        k->dense[c].present = tsm_calloc(w->nwindows + 1, 1);
        bytes += w->nwindows * (sizeof *k->dense[c].p + 1);
    }
    return account(k, bytes);
}

/* The member that series `number` of the wave belongs to. */
static size_t member_of(const struct tsm_agg_wave *w, size_t number)
{
    size_t lo = 0, hi = w->nmembers;
    while (hi - lo > 1) {
        size_t mid = (lo + hi) / 2;
        if (w->members[mid].base <= number)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

/* Gives back what a list did not need. */
static void shrink_list(struct tsm_agg_wave *w, const struct tsm_agg_call *c, struct tsm_agg_list *l)
{
    size_t size = reduction_bytes(c), spare = l->cap - l->n;
    if (spare == 0)
        return;
    if (l->t) {
        l->t = tsm_realloc_array(l->t, l->n + 1, sizeof *l->t);
        size += sizeof *l->t;
    }
    if (l->v) {
        l->v = tsm_realloc_array(l->v, l->n + 1, sizeof *l->v);
        size += sizeof *l->v;
    }
    if (l->p) {
        l->p = tsm_realloc_array(l->p, l->n + 1, sizeof *l->p);
        size += sizeof *l->p;
    }
    l->cap = l->n;
    atomic_fetch_sub(&w->bytes, spare * size);
}

static int run_task(void *ctx, size_t number, unsigned thread, void **slot, struct tsm_err *err)
{
    struct tsm_agg_wave *w = ctx;
    struct tsm_agg *a = w->a;
    struct tsm_agg_task *task = &w->tasks[number];
    (void)slot;
    if (!a->cursors[thread].scan) {
        tsm_cursor_init(&a->cursors[thread]);
        a->cursors[thread].control = a->r->plan->control;
        a->readers[thread] = tsm_row_reader_new(a->r->plan, a->r->filters);
    }
    size_t from = number * w->per, to = from + w->per < w->nseries ? from + w->per : w->nseries;
    size_t m = member_of(w, from);
    task->first_member = m;
    task->nmembers = member_of(w, to - 1) - m + 1;
    task->lists = tsm_calloc(a->ncalls, sizeof *task->lists);
    task->ends = tsm_realloc_array(NULL, (to - from) * a->ncalls, sizeof *task->ends);
    task->dense = tsm_calloc(task->nmembers * a->ncalls, sizeof *task->dense);
    struct worker k = {
        .w = w, .task = task, .cursor = &a->cursors[thread], .reader = a->readers[thread], .err = err};
    k.starts = tsm_calloc(a->ncalls, sizeof *k.starts);
    k.best = tsm_calloc(a->ncalls, sizeof *k.best);
    k.best_end = tsm_calloc(a->ncalls, sizeof *k.best_end);
    int code = make_dense(&k, 0);
    for (size_t i = from; i < to && !code; i++) {
        while (i >= w->members[m].base + w->members[m].n) {
            m++;
            code = code ? code : make_dense(&k, m - task->first_member);
        }
        const struct tsm_agg_member *mb = &w->members[m];
        if (!code)
            code = read_series(&k, mb->unit, mb->from + (i - mb->base));
        for (size_t c = 0; c < a->ncalls; c++)
            task->ends[(i - from) * a->ncalls + c] = task->lists[c].n;
    }
    for (size_t c = 0; c < a->ncalls; c++)
        shrink_list(w, &a->calls[c], &task->lists[c]);
    for (size_t c = 0; c < a->ncalls; c++)
        tsm_agg_best_release(&k.best[c]);
    tsm_free(k.best);
    tsm_free(k.best_end);
    tsm_free(k.starts);
    tsm_free(k.backlog.t);
    tsm_free(k.backlog.v);
    return code;
}

int tsm_agg_load(struct tsm_agg_wave *w, struct tsm_err *err)
{
    find_windows(w);
    w->per = w->nseries / TASKS + 1; /* not by the number of threads, on which no digit may depend */
    if (w->per > MOST_PER_TASK)
        w->per = MOST_PER_TASK;
    w->ntasks = (w->nseries + w->per - 1) / w->per;
    w->tasks = tsm_calloc(w->ntasks + 1, sizeof *w->tasks);
    struct tsm_parallel p = {
        .jobs = w->a->r->jobs, .tasks = w->ntasks, .ahead = w->ntasks + 1, .ctx = w, .work = run_task};
    return tsm_parallel_run(&p, err);
}

void tsm_agg_wave_release(struct tsm_agg_wave *w)
{
    for (size_t i = 0; i < w->ntasks; i++) {
        struct tsm_agg_task *t = &w->tasks[i];
        for (size_t c = 0; t->lists && c < w->a->ncalls; c++) {
            tsm_free(t->lists[c].t);
            tsm_free(t->lists[c].p);
            tsm_free(t->lists[c].v);
        }
        for (size_t d = 0; t->dense && d < t->nmembers * w->a->ncalls; d++) {
            tsm_free(t->dense[d].p);
            tsm_free(t->dense[d].present);
        }
        tsm_free(t->lists);
        tsm_free(t->ends);
        tsm_free(t->dense);
        tsm_arena_release(&t->text);
    }
    for (size_t i = 0; w->levels && i < w->nmembers * w->a->ncalls; i++) {
        tsm_free(w->levels[i].t);
        tsm_free(w->levels[i].p);
        tsm_free(w->levels[i].o);
    }
    for (size_t c = 0; w->orders && c < w->a->ncalls; c++) {
        tsm_free(w->orders[c].refs);
        tsm_free(w->orders[c].from);
    }
    tsm_free(w->families);
    tsm_free(w->family_members);
    tsm_free(w->levels);
    tsm_free(w->orders);
    tsm_free(w->tasks);
    tsm_free(w->members);
    *w = (struct tsm_agg_wave){.a = w->a, .most = w->most};
}

struct tsm_agg_part tsm_agg_part(const struct tsm_agg_wave *w, const struct tsm_agg_member *m, uint32_t i,
                                 size_t call)
{
    size_t number = m->base + i, n = w->a->ncalls;
    const struct tsm_agg_task *t = &w->tasks[number / w->per];
    size_t local = number % w->per;
    size_t to = t->ends[local * n + call], from = local ? t->ends[(local - 1) * n + call] : 0;
    const struct tsm_agg_list *l = &t->lists[call];
    return (struct tsm_agg_part){l->t ? l->t + from : NULL, l->p ? l->p + from : NULL,
                                 l->v ? l->v + from : NULL, to - from};
}
