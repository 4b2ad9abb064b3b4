/* query/aggregate_rows.c: the points of the calls of a group, joined to rows. */
#include "query/aggregate_rows.h"

#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/sort.h"
#include "base/time.h"
#include "query/fill.h"
#include "query/level.h"
#include "base/banned.h"

enum { OUT_ROWS = 4096 };

/* ---- rows -------------------------------------------------------------------------------------- */

static size_t ninputs(const struct tsm_agg_rows *k)
{
    return k->r->shape->naux + k->r->shape->ncalls;
}

static enum tsm_vec_type input_type(const struct tsm_agg_rows *k, size_t i)
{
    const struct tsm_shape *s = k->r->shape;
    return i < s->naux ? s->aux[i].vec : s->calls[i - s->naux].out;
}

/* The head of the group's series. The tags that only top() or bottom() names are none of the series'. */
static struct tsm_series_head head_of(struct tsm_agg_rows *k, const struct tsm_plan_group *g)
{
    struct tsm_series_head head = tsm_group_head(k->r, g);
    if (!k->r->plan->grouped)
        return head;
    size_t n = 0;
    for (size_t i = 0; i < head.ntags; i++)
        if (k->r->plan->grouped[i])
            k->tags[n++] = head.tags[i];
    head.tags = k->tags;
    head.ntags = n;
    return head;
}

static int flush(struct tsm_agg_rows *k, const struct tsm_plan_group *g, struct tsm_err *err)
{
    if (k->n == 0)
        return TSM_OK;
    int code = TSM_OK;
    if (!k->begun && !k->r->level) {
        struct tsm_series_head head = head_of(k, g);
        code = k->r->sink->series_begin(k->r->sink, &head, err);
    }
    k->begun = true;
    for (size_t i = 0; i < ninputs(k); i++) {
        k->output.inputs[i] = (struct tsm_vec){.type = input_type(k, i)};
        k->output.inputs[i].v.p = k->values[i];
        k->output.inputs[i].nulls = k->missing[i] ? k->nulls[i] : NULL;
        k->missing[i] = 0;
    }
    if (!code)
        code = tsm_run_columns(&k->output, k->space, k->t, k->n, err);
    if (!code)
        code = tsm_run_give(k->r, k->output.cells, k->n, k->any_filled ? k->filled : NULL, k->series, err);
    k->any_filled = false;
    k->n = 0;
    return code;
}

static void put(struct tsm_agg_rows *k, size_t i)
{
    const struct tsm_agg_cell *c = &k->cells[i];
    enum tsm_vec_type type = input_type(k, i);
    bool null = !c->set || (type == TSM_VEC_FLOAT && isnan(c->v.f));
    k->nulls[i][k->n] = null;
    k->missing[i] += null;
    k->filled[i][k->n] = !c->set && c->number;
    k->any_filled = k->any_filled || k->filled[i][k->n];
    switch (type) {
    case TSM_VEC_BOOLEAN:
        ((uint8_t *)k->values[i])[k->n] = (uint8_t)(c->set && c->v.u);
        break;
    case TSM_VEC_STRING:
        ((struct tsm_str *)k->values[i])[k->n] = c->set ? *c->v.s : (struct tsm_str){0};
        break;
    case TSM_VEC_NIL:
        break;
    default:
        ((union tsm_num *)k->values[i])[k->n] = c->set ? c->v : (union tsm_num){0};
        break;
    }
}

/* Nothing there: fill(previous) leaves what was, fill(number) puts the number, all others nothing. */
static void set_default(struct tsm_agg_rows *k, size_t i)
{
    enum tsm_fill fill = k->r->c->fill;
    if (fill == TSM_FILL_PREVIOUS)
        return;
    k->cells[i].number = fill == TSM_FILL_NUMBER;
    k->cells[i].set = k->cells[i].number &&
                      tsm_fill_number(k->r->c->stmt->fill_value, input_type(k, i), &k->cells[i].v);
}

const struct tsm_str *tsm_agg_rows_text(struct tsm_agg_rows *k, struct tsm_str s)
{
    struct tsm_str *copy = tsm_arena_alloc(&k->text, sizeof *copy);
    *copy = tsm_arena_str(&k->text, s);
    return copy;
}

/* The value of a field of the series that a point came from, at the point's time. */
static int fetch(struct tsm_agg_rows *k, size_t i, const struct tsm_agg_origin *o, struct tsm_err *err)
{
    const struct tsm_aux *a = &k->r->shape->aux[i];
    const struct tsm_plan *p = k->r->plan;
    struct tsm_agg_cell *cell = &k->cells[i];
    if (o->unit->level) {
        union tsm_num v;
        if (tsm_level_aux(o, i, &v))
            *cell = (struct tsm_agg_cell){v, true, false};
        else
            set_default(k, i);
        return TSM_OK;
    }
    if (a->type == TSM_DATA_TAG) {
        const struct tsm_str *v = &o->unit->values[(size_t)o->series * p->ntags + a->index];
        if (v->n == 0)
            set_default(k, i);
        else
            *cell = (struct tsm_agg_cell){{.s = v}, true, false};
        return TSM_OK;
    }
    uint32_t key = a->index == SIZE_MAX ? TSM_NO_KEY
                                        : o->unit->keys[(size_t)o->series * p->nfields + a->index];
    struct tsm_cursor *c = &k->cursor;
    tsm_cursor_none(c);
    int code = key == TSM_NO_KEY ? TSM_OK : tsm_cursor_start(c, o->unit->shard, key, a->vec, o->t, o->t, err);
    if (code)
        return code;
    if (c->n == 0)
        set_default(k, i);
    else if (a->vec == TSM_VEC_STRING)
        *cell = (struct tsm_agg_cell){{.s = tsm_agg_rows_text(k, c->v.s[0])}, true, false};
    else
        *cell = (struct tsm_agg_cell){{.u = a->vec == TSM_VEC_BOOLEAN ? c->v.b[0] : c->v.u[0]}, true, false};
    return TSM_OK;
}

static int set_aux(struct tsm_agg_rows *k, const struct tsm_agg_origin *o, struct tsm_err *err)
{
    int code = TSM_OK;
    for (size_t i = 0; i < k->r->shape->naux && !code; i++) {
        if (o)
            code = fetch(k, i, o, err);
        else
            set_default(k, i);
    }
    return code;
}

/* The points of one call in several groups, in the order in which influxd's iterator gives them. */
struct tsm_agg_sequence {
    struct tsm_agg_result all;
    uint32_t *group; /* per point */
    size_t at;       /* where the next run of points of one group begins */
    struct tsm_agg_result run;
};

static void next_row(struct tsm_agg_rows *k, size_t call, struct tsm_agg_feed *f)
{
    f->more = tsm_fill_next(&f->stream, &f->row);
    struct tsm_agg_sequence *s = f->sequence;
    while (s && !f->more && s->at < s->all.n) {
        size_t from = s->at, to = from + 1;
        while (to < s->all.n && s->group[to] == s->group[from])
            to++;
        s->run = (struct tsm_agg_result){.t = s->all.t + from, .v = s->all.v + from, .n = to - from};
        if (s->all.origins)
            s->run.origins = s->all.origins + from;
        s->at = to;
        f->group = s->group[from];
        tsm_fill_begin(&f->stream, k->r, &k->agg.calls[call], &s->run);
        f->more = tsm_fill_next(&f->stream, &f->row);
    }
}

/* Whether the row of x comes before that of y: by group, then by time. */
static bool comes_before(const struct tsm_agg_rows *k, const struct tsm_agg_feed *x,
                         const struct tsm_agg_feed *y)
{
    if (k->r->c->descending)
        return x->group != y->group ? x->group > y->group : x->row.t > y->row.t;
    return x->group != y->group ? x->group < y->group : x->row.t < y->row.t;
}

static const struct tsm_agg_feed *first_feed(const struct tsm_agg_rows *k, const struct tsm_agg_feed *feeds)
{
    const struct tsm_agg_feed *first = NULL;
    for (size_t c = 0; c < k->r->shape->ncalls; c++)
        if (feeds[c].more && (!first || comes_before(k, &feeds[c], first)))
            first = &feeds[c];
    return first;
}

/* The row of the next time among all calls goes to the batch. */
static int join_row(struct tsm_agg_rows *k, struct tsm_agg_feed *feeds, const struct tsm_agg_feed *first,
                    struct tsm_err *err)
{
    const struct tsm_shape *s = k->r->shape;
    int64_t t = first->row.t;
    uint32_t group = first->group;
    k->t[k->n] = t;
    if (k->series)
        k->series[k->n] = k->current;
    for (size_t c = 0; c < s->ncalls; c++) {
        struct tsm_agg_cell *cell = &k->cells[s->naux + c];
        if (!s->calls[c].known)
            continue;
        if (!feeds[c].more || feeds[c].row.t != t || feeds[c].group != group) {
            set_default(k, s->naux + c);
            continue;
        }
        const struct tsm_fill_row *row = &feeds[c].row;
        if (row->null)
            set_default(k, s->naux + c);
        else
            *cell = (struct tsm_agg_cell){row->v, true, false};
        int code = s->naux ? set_aux(k, row->origin, err) : TSM_OK;
        if (code)
            return code;
        next_row(k, c, &feeds[c]);
    }
    for (size_t i = 0; i < ninputs(k); i++)
        put(k, i);
    k->n++;
    return TSM_OK;
}

/*
 * An interval without a percentile looks like the end to what reads influxd's iterator. It tries once more
 * when there have been rows since the last such end, so what ends the answer is two of them in a row, or one
 * at the start. With fill(), each uses up one of the rows that are being filled in and is seen only where
 * there is none left, between two groups.
 */
static void heed_gaps(struct tsm_agg_rows *k, struct tsm_agg_result *res)
{
    const struct tsm_compiled *c = k->r->c;
    enum tsm_function fn = k->agg.calls[0].call->outer;
    if (k->r->shape->ncalls != 1 ||
        (fn != TSM_FN_PERCENTILE && fn != TSM_FN_HOLT_WINTERS && fn != TSM_FN_HOLT_WINTERS_WITH_FIT))
        return;
    k->gaps += res->lead_gaps;
    bool filling = fn == TSM_FN_PERCENTILE && c->interval && c->fill != TSM_FILL_NONE;
    uint64_t seen = k->gaps > k->rows_after ? k->gaps - k->rows_after : 0;
    if (seen > k->any_rows) {
        k->ended = true;
        res->n = 0;
    } else if (!filling && res->broken_at != SIZE_MAX) {
        k->ended = true;
        res->n = res->broken_at;
    }
    if (res->n == 0)
        return;
    k->any_rows = 1;
    k->gaps = filling ? 0 : res->gaps;
    int64_t last = tsm_window_at(c, c->descending ? c->tmin : c->tmax).start, t = res->t[res->n - 1];
    if (filling && (!c->descending || c->tmin != TSM_TIME_MIN))
        k->rows_after = (uint64_t)((c->descending ? t - last : last - t) / c->interval);
}

/* The same below a transform, which does not try once more: nothing comes for this group and those behind it. */
static void heed_ends(struct tsm_agg_rows *k, size_t call, struct tsm_agg_result *res)
{
    struct over *over = &k->over[call];
    if (k->agg.calls[call].call->nsteps == 0)
        return;
    if (k->agg.calls[call].fn == TSM_FN_PERCENTILE && res->lead_gaps > over->rows_after)
        over->is = true;
    if (over->is)
        res->n = 0;
    over->is = over->is || res->ends;
    over->rows_after = res->after;
}

uint32_t tsm_agg_rows_number(struct tsm_agg_rows *k, const struct tsm_plan_group *g)
{
    if (!k->r->level)
        return 0;
    struct tsm_series_head head = head_of(k, g);
    return tsm_level_series(k->r->level, head.name, head.tags);
}

static void clear_cells(struct tsm_agg_rows *k)
{
    for (size_t i = 0; i < ninputs(k); i++)
        k->cells[i] = (struct tsm_agg_cell){0};
}

static int give_group(struct tsm_agg_rows *k, const struct tsm_plan_group *g, struct tsm_agg_group *results,
                      struct tsm_err *err)
{
    size_t ncalls = k->r->shape->ncalls;
    struct tsm_agg_feed few[8], *feeds = ncalls > 8 ? tsm_calloc(ncalls, sizeof *feeds) : few;
    for (size_t c = 0; c < ncalls; c++)
        heed_ends(k, c, &results->results[c]);
    heed_gaps(k, &results->results[0]);
    clear_cells(k);
    for (size_t c = 0; c < ncalls; c++) {
        feeds[c] = (struct tsm_agg_feed){0};
        tsm_fill_begin(&feeds[c].stream, k->r, &k->agg.calls[c], &results->results[c]);
        next_row(k, c, &feeds[c]);
    }
    int code = TSM_OK;
    const struct tsm_agg_feed *first;
    k->begun = false;
    k->current = tsm_agg_rows_number(k, g);
    while (!code && (first = first_feed(k, feeds))) {
        code = join_row(k, feeds, first, err);
        if (!code && k->n == OUT_ROWS)
            code = flush(k, g, err);
    }
    if (!code)
        code = flush(k, g, err);
    if (!code && k->begun && !k->r->level)
        code = k->r->sink->series_end(k->r->sink, err);
    k->begun = false;
    if (feeds != few)
        tsm_free(feeds);
    return code;
}

/* ---- a group, piece by piece -------------------------------------------------------------------------- */

void tsm_agg_rows_begin(struct tsm_agg_rows *k, const struct tsm_plan_group *g,
                        const struct tsm_agg_call *call, const struct tsm_agg_result *points,
                        struct tsm_agg_feed *feed)
{
    *feed = (struct tsm_agg_feed){0};
    clear_cells(k);
    k->begun = false;
    k->current = tsm_agg_rows_number(k, g);
    tsm_fill_begin(&feed->stream, k->r, call, points);
}

int tsm_agg_rows_piece(struct tsm_agg_rows *k, const struct tsm_plan_group *g, struct tsm_agg_feed *feed,
                       struct tsm_err *err)
{
    int code = TSM_OK;
    feed->stream.at = 0;
    feed->more = tsm_fill_next(&feed->stream, &feed->row);
    while (!code && feed->more) {
        code = join_row(k, feed, feed, err);
        if (!code && k->n == OUT_ROWS)
            code = flush(k, g, err);
    }
    if (!code)
        code = flush(k, g, err);
    uint64_t limit = feed->stream.limit; /* the stream is done for good only then */
    feed->stream.done = limit && feed->stream.given >= feed->stream.offset + limit;
    return code;
}

int tsm_agg_rows_end(struct tsm_agg_rows *k, struct tsm_err *err)
{
    int code = k->begun && !k->r->level ? k->r->sink->series_end(k->r->sink, err) : TSM_OK;
    k->begun = false;
    return code;
}

/* ---- points one by one --------------------------------------------------------------------------------- */

static int next_group(struct tsm_agg_rows *k, const struct tsm_plan_group *g, uint32_t number,
                      struct tsm_err *err)
{
    int code = TSM_OK;
    if (!k->r->level) { /* a batch of a level may have rows of several series */
        if (k->group)
            code = flush(k, k->group, err);
        if (!code)
            code = tsm_agg_rows_end(k, err);
    }
    clear_cells(k);
    k->group = g;
    k->points = 0;
    k->current = number;
    return code;
}

int tsm_agg_rows_point(struct tsm_agg_rows *k, const struct tsm_plan_group *g, uint32_t number, int64_t t,
                       union tsm_num v, struct tsm_err *err)
{
    uint64_t offset = (uint64_t)k->r->c->stmt->offset, limit = (uint64_t)k->r->c->stmt->limit;
    int code = g == k->group ? TSM_OK : next_group(k, g, number, err);
    if (code || k->points++ < offset || (limit && k->points > offset + limit))
        return code;
    size_t call = k->r->shape->naux;
    k->t[k->n] = t;
    if (k->series)
        k->series[k->n] = k->current;
    k->cells[call] = (struct tsm_agg_cell){v, true, false};
    for (size_t i = 0; i < ninputs(k); i++)
        put(k, i);
    k->n++;
    return k->n == OUT_ROWS ? flush(k, g, err) : TSM_OK;
}

int tsm_agg_rows_points_end(struct tsm_agg_rows *k, struct tsm_err *err)
{
    int code = k->group ? flush(k, k->group, err) : TSM_OK;
    return code ? code : next_group(k, NULL, 0, err);
}

/* ---- groups of a subquery that the query around it does not tell apart -------------------------------- */

struct place {   /* of a point */
    int64_t key; /* ascending in the order of the answer */
    uint32_t group, row;
};

static int compare_places(const void *x, const void *y)
{
    const struct place *a = x, *b = y;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    if (a->group != b->group)
        return a->group < b->group ? -1 : 1;
    return a->row < b->row ? -1 : a->row > b->row;
}

/* Interval by interval, in each group by group; forecasts group by group; transforms of a field as it is give points at its times. */
static void make_sequence(const struct tsm_agg_rows *k, size_t call, const struct tsm_agg_group *results,
                          size_t n, struct tsm_agg_sequence *s)
{
    const struct tsm_compiled *c = k->r->c;
    enum tsm_function outer = k->agg.calls[call].call->outer; /* forecasts come when all has been read */
    bool at_end = outer == TSM_FN_HOLT_WINTERS || outer == TSM_FN_HOLT_WINTERS_WITH_FIT;
    bool raw = k->agg.calls[call].fn == TSM_FN_RAW, origins = false, sorted = true;
    size_t total = 0;
    for (size_t g = 0; g < n; g++) {
        total += results[g].results[call].n;
        origins = origins || results[g].results[call].origins;
    }
    struct place *places = tsm_realloc_array(NULL, total + 1, sizeof *places);
    size_t at = 0;
    for (uint32_t g = 0; g < n; g++) {
        const struct tsm_agg_result *r = &results[g].results[call];
        for (uint32_t i = 0; i < r->n; i++) {
            int64_t key = at_end ? 0 : raw ? r->t[i] : tsm_window_at(c, r->t[i]).start;
            places[at] = (struct place){c->descending ? -1 - key : key, g, i};
            sorted = sorted && (at == 0 || places[at - 1].key <= places[at].key);
            at++;
        }
    }
    if (!sorted)
        tsm_sort(places, total, sizeof *places, compare_places);
    s->all.n = total;
    s->all.t = tsm_realloc_array(NULL, total + 1, sizeof *s->all.t);
    s->all.v = tsm_realloc_array(NULL, total + 1, sizeof *s->all.v);
    s->all.origins = origins ? tsm_realloc_array(NULL, total + 1, sizeof *s->all.origins) : NULL;
    s->group = tsm_realloc_array(NULL, total + 1, sizeof *s->group);
    for (size_t i = 0; i < total; i++) {
        const struct tsm_agg_result *r = &results[places[i].group].results[call];
        s->all.t[i] = r->t[places[i].row];
        s->all.v[i] = r->v[places[i].row];
        if (origins)
            s->all.origins[i] = r->origins[places[i].row];
        s->group[i] = places[i].group;
    }
    tsm_free(places);
}

static int give_sequences(struct tsm_agg_rows *k, const struct tsm_plan_group *const *groups,
                          struct tsm_agg_feed *feeds, const uint32_t *numbers, struct tsm_err *err)
{
    int code = TSM_OK;
    bool any = false;
    uint32_t group = 0;
    const struct tsm_agg_feed *first;
    while (!code && (first = first_feed(k, feeds))) {
        if (!any || first->group != group)
            clear_cells(k);
        any = true;
        group = first->group;
        k->current = numbers[group];
        code = join_row(k, feeds, first, err);
        if (!code && k->n == OUT_ROWS)
            code = flush(k, groups[0], err);
    }
    return code ? code : flush(k, groups[0], err);
}

static int give_interleaved(struct tsm_agg_rows *k, const struct tsm_plan_group *const *groups,
                            const struct tsm_agg_group *results, size_t n, struct tsm_err *err)
{
    size_t ncalls = k->r->shape->ncalls;
    struct tsm_agg_feed *feeds = tsm_calloc(ncalls, sizeof *feeds);
    struct tsm_agg_sequence *sequences = tsm_calloc(ncalls, sizeof *sequences);
    uint32_t *numbers = tsm_realloc_array(NULL, n, sizeof *numbers);
    for (size_t g = 0; g < n; g++)
        numbers[g] = tsm_agg_rows_number(k, groups[g]);
    for (size_t c = 0; c < ncalls; c++) {
        make_sequence(k, c, results, n, &sequences[c]);
        feeds[c].sequence = &sequences[c];
        feeds[c].stream.done = true;
        next_row(k, c, &feeds[c]);
    }
    int code = give_sequences(k, groups, feeds, numbers, err);
    for (size_t c = 0; c < ncalls; c++) {
        tsm_agg_result_release(&sequences[c].all);
        tsm_free(sequences[c].group);
    }
    tsm_free(numbers);
    tsm_free(sequences);
    tsm_free(feeds);
    return code;
}

/* ---- all of it --------------------------------------------------------------------------------- */

static bool same_series(const struct tsm_agg_rows *k, const struct tsm_plan_group *x,
                        const struct tsm_plan_group *y)
{
    for (size_t i = 0; i < k->r->plan->ndimensions; i++)
        if (k->r->plan->grouped[i] && !tsm_str_eq(x->tags[i].value, y->tags[i].value))
            return false;
    return true;
}

/* The groups that the tags of top() or bottom() make of one become one. */
static int give_combined(struct tsm_agg_rows *k, const struct tsm_plan_group *const *groups,
                         struct tsm_agg_group *results, size_t n, struct tsm_err *err)
{
    struct tsm_agg_result *all = tsm_calloc(n, sizeof *all), *parts = tsm_calloc(n, sizeof *parts);
    struct tsm_agg_group *whole = tsm_calloc(n, sizeof *whole);
    const struct tsm_plan_group **heads = tsm_calloc(n, sizeof *heads);
    size_t m = 0;
    for (size_t i = 0, end; i < n; i = end, m++) {
        for (end = i; end < n && same_series(k, groups[i], groups[end]); end++)
            parts[end - i] = results[end].results[0];
        all[m].broken_at = SIZE_MAX;
        tsm_agg_combine_best(k->r, &k->agg.calls[0], parts, end - i, &all[m]);
        whole[m].results = &all[m];
        heads[m] = groups[i];
    }
    int code = m == 1 ? give_group(k, heads[0], whole, err) : give_interleaved(k, heads, whole, m, err);
    for (size_t i = 0; i < m; i++)
        tsm_agg_result_release(&all[i]);
    tsm_free(heads);
    tsm_free(whole);
    tsm_free(parts);
    tsm_free(all);
    return code;
}

int tsm_agg_rows_give(struct tsm_agg_rows *k, const struct tsm_plan_group *const *groups,
                      struct tsm_agg_group *results, size_t n, struct tsm_err *err)
{
    int code = TSM_OK;
    if (k->r->plan->grouped && n)
        code = give_combined(k, groups, results, n, err);
    else if (n == 1)
        code = give_group(k, groups[0], results, err);
    else if (n)
        code = give_interleaved(k, groups, results, n, err);
    tsm_arena_release(&k->text);
    return code;
}

int tsm_agg_rows_init(struct tsm_agg_rows *k, struct tsm_run *r, struct tsm_err *err)
{
    *k = (struct tsm_agg_rows){.r = r};
    int code = tsm_agg_init(&k->agg, r, err);
    size_t n = ninputs(k);
    tsm_run_output_init(&k->output, r->shape);
    k->space = tsm_program_space_new();
    tsm_cursor_init(&k->cursor);
    k->cursor.control = r->plan->control;
    k->cells = tsm_calloc(n, sizeof *k->cells);
    k->over = tsm_calloc(r->shape->ncalls, sizeof *k->over);
    k->values = tsm_calloc(n, sizeof *k->values);
    k->nulls = tsm_calloc(n, sizeof *k->nulls);
    k->filled = tsm_calloc(n, sizeof *k->filled);
    k->missing = tsm_calloc(n, sizeof *k->missing);
    k->t = tsm_realloc_array(NULL, OUT_ROWS, sizeof *k->t);
    k->tags = tsm_calloc(r->plan->ndimensions + 1, sizeof *k->tags);
    if (r->level)
        k->series = tsm_realloc_array(NULL, OUT_ROWS, sizeof *k->series);
    for (size_t i = 0; i < n; i++) {
        k->values[i] = tsm_calloc(OUT_ROWS, tsm_vec_size(input_type(k, i)));
        k->nulls[i] = tsm_calloc(OUT_ROWS, 1);
        k->filled[i] = tsm_calloc(OUT_ROWS, 1);
    }
    return code;
}

void tsm_agg_rows_release(struct tsm_agg_rows *k)
{
    for (size_t i = 0; i < ninputs(k); i++) {
        tsm_free(k->values[i]);
        tsm_free(k->nulls[i]);
        tsm_free(k->filled[i]);
    }
    tsm_free(k->values);
    tsm_free(k->nulls);
    tsm_free(k->filled);
    tsm_free(k->missing);
    tsm_free(k->cells);
    tsm_free(k->over);
    tsm_free(k->t);
    tsm_free(k->tags);
    tsm_free(k->series);
    tsm_arena_release(&k->text);
    tsm_cursor_release(&k->cursor);
    tsm_program_space_free(k->space);
    tsm_run_output_release(&k->output);
    tsm_agg_release(&k->agg);
}
