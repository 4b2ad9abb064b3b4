/* query/catalogue.c: measurements and series, gathered from the keys of shards. */
#include "query/catalogue.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/sort.h"

#include "base/banned.h"

void tsm_str_list_release(struct tsm_str_list *l)
{
    tsm_free(l->items);
    *l = (struct tsm_str_list){0};
}

static void add(struct tsm_str_list *l, struct tsm_str s)
{
    TSM_GROW(l->items, l->n + 1, l->cap);
    l->items[l->n++] = s;
}

/* ---- order ------------------------------------------------------------------------------------ */

struct prefixed { /* a string with the first bytes behind what all have in common, as a number */
    uint64_t prefix;
    struct tsm_str s;
};

static int compare_prefixed(const void *a, const void *b)
{
    const struct prefixed *x = a, *y = b;
    if (x->prefix != y->prefix)
        return x->prefix < y->prefix ? -1 : 1;
    return tsm_str_cmp(x->s, y->s);
}

static size_t common_length(const struct tsm_str_list *l)
{
    size_t common = l->items[0].n;
    for (size_t i = 1; i < l->n; i++) {
        size_t k = 0, most = l->items[i].n < common ? l->items[i].n : common;
        while (k < most && l->items[i].p[k] == l->items[0].p[k])
            k++;
        common = k;
    }
    return common;
}

static bool is_sorted(const struct tsm_str_list *l, int (*compare)(struct tsm_str x, struct tsm_str y))
{
    for (size_t i = 1; i < l->n; i++)
        if (compare(l->items[i - 1], l->items[i]) > 0)
            return false;
    return true;
}

void tsm_str_list_sort(struct tsm_str_list *l)
{
    if (l->n < 2 || is_sorted(l, tsm_str_cmp))
        return;
    size_t common = common_length(l);
    struct prefixed *all = tsm_realloc_array(NULL, l->n, sizeof *all);
    for (size_t i = 0; i < l->n; i++) {
        struct tsm_str s = l->items[i];
        uint64_t prefix = 0;
        for (size_t k = 0; k < 8; k++)
            prefix = prefix << 8 | (common + k < s.n ? (uint8_t)s.p[common + k] : 0);
        all[i] = (struct prefixed){prefix, s};
    }
    tsm_sort(all, l->n, sizeof *all, compare_prefixed);
    for (size_t i = 0; i < l->n; i++)
        l->items[i] = all[i].s;
    tsm_free(all);
}

/* The tags of two keys with escapes. */
static int compare_parsed(struct tsm_str x, struct tsm_str y)
{
    struct tsm_arena a = {0};
    struct tsm_series s, t;
    int c = tsm_str_cmp(x, y);
    if (tsm_series_parse(x, &a, &s, NULL) == TSM_OK && tsm_series_parse(y, &a, &t, NULL) == TSM_OK) {
        int d = tsm_str_cmp(s.measurement, t.measurement);
        for (size_t i = 0; i < s.ntags && i < t.ntags && d == 0; i++) {
            d = tsm_str_cmp(s.tags[i].key, t.tags[i].key);
            if (d == 0)
                d = tsm_str_cmp(s.tags[i].value, t.tags[i].value);
        }
        if (d == 0)
            d = (s.ntags > t.ntags) - (s.ntags < t.ntags);
        if (d)
            c = d;
    }
    tsm_arena_release(&a);
    return c;
}

int tsm_series_compare(struct tsm_str x, struct tsm_str y)
{
    size_t n = x.n < y.n ? x.n : y.n, i = 0;
    while (i + 8 <= n && memcmp(x.p + i, y.p + i, 8) == 0)
        i += 8;
    while (i < n && x.p[i] == y.p[i])
        i++;
    if (memchr(x.p, '\\', x.n) || memchr(y.p, '\\', y.n))
        return compare_parsed(x, y);
    if (i == n)
        return (x.n > y.n) - (x.n < y.n);
    /* Where a name or a value ends, it is the smaller one. */
    bool x_ends = x.p[i] == ',' || x.p[i] == '=', y_ends = y.p[i] == ',' || y.p[i] == '=';
    if (x_ends != y_ends)
        return x_ends ? -1 : 1;
    return (uint8_t)x.p[i] < (uint8_t)y.p[i] ? -1 : 1;
}

static int compare_series(const void *a, const void *b)
{
    return tsm_series_compare(*(const struct tsm_str *)a, *(const struct tsm_str *)b);
}

void tsm_series_sort(struct tsm_str_list *series)
{
    if (!is_sorted(series, tsm_series_compare))
        tsm_sort(series->items, series->n, sizeof *series->items, compare_series);
}

struct tsm_str tsm_raw_measurement(struct tsm_str series)
{
    for (size_t i = 0; i < series.n; i++) {
        if (series.p[i] == '\\')
            i++;
        else if (series.p[i] == ',')
            return tsm_str(series.p, i);
    }
    return series;
}

/* ---- measurements ----------------------------------------------------------------------------- */

struct namer {
    struct tsm_query_control *control;
    struct tsm_arena *a;
    struct tsm_str_list *names;
    struct tsm_map known;
    struct tsm_err *err;
};

/* Between two measurements the search jumps over all keys of the first. */
static int add_names(struct namer *m, const struct tsm_shard *shard)
{
    struct tsm_buf jump = {0};
    int rc = TSM_OK;
    for (size_t i = 0; i < shard->nkeys && rc == TSM_OK;) {
        struct tsm_str series, field;
        struct tsm_series s;
        bool found;
        if (!tsm_key_split(tsm_shard_key(shard, i), &series, &field)) {
            i++;
            continue;
        }
        rc = tsm_series_parse(series, m->a, &s, m->err);
        if (rc == TSM_OK)
            rc = tsm_control_check(m->control, 0, m->err);
        if (rc != TSM_OK)
            break;
        uint64_t hash = tsm_hash(s.measurement);
        if (tsm_map_get(&m->known, s.measurement, hash) == TSM_MAP_NONE) {
            tsm_map_put(&m->known, s.measurement, hash, 0);
            add(m->names, s.measurement);
        }
        tsm_buf_reset(&jump);
        tsm_escape_measurement(&jump, s.measurement);
        bool tagged = series.n > jump.len;
        tsm_buf_byte(&jump, tagged ? ',' + 1 : '#' + 1);
        size_t next = tsm_shard_seek(shard, tsm_buf_view(&jump), &found);
        i = next > i ? next : i + 1;
    }
    tsm_buf_release(&jump);
    return rc;
}

int tsm_catalogue_names(struct tsm_shard *const *shards, size_t n, struct tsm_query_control *control,
                        struct tsm_arena *a, struct tsm_str_list *names, struct tsm_err *err)
{
    struct namer m = {.control = control, .a = a, .names = names, .err = err};
    int rc = TSM_OK;
    for (size_t i = 0; i < n && rc == TSM_OK; i++)
        rc = add_names(&m, shards[i]);
    tsm_map_release(&m.known);
    tsm_str_list_sort(names);
    return rc;
}

/* ---- series ----------------------------------------------------------------------------------- */

void tsm_series_walk_start(struct tsm_series_walk *w, const struct tsm_shard *shard,
                           struct tsm_str measurement)
{
    w->shard = shard;
    tsm_buf_reset(&w->measurement);
    tsm_escape_measurement(&w->measurement, measurement);
    tsm_shard_measurement(shard, measurement, &w->at, &w->to);
    w->series = (struct tsm_str){0};
}

bool tsm_series_walk_next(struct tsm_series_walk *w)
{
    struct tsm_str name = tsm_buf_view(&w->measurement), field;
    for (;; w->at++) {
        if (w->at >= w->to)
            return false;
        if (tsm_key_split(tsm_shard_key(w->shard, w->at), &w->series, &field) &&
            tsm_str_starts(w->series, name) && (w->series.n == name.n || w->series.p[name.n] == ','))
            break;
    }
    struct tsm_str before = tsm_str(w->series.p, w->series.n + TSM_FIELD_SEPARATOR.n);
    w->first = w->at++;
    while (w->at < w->to && tsm_str_starts(tsm_shard_key(w->shard, w->at), before))
        w->at++;
    w->nkeys = w->at - w->first;
    return true;
}

void tsm_series_walk_release(struct tsm_series_walk *w)
{
    tsm_buf_release(&w->measurement);
    *w = (struct tsm_series_walk){0};
}

/* Both in order, without duplicates of their own; the union goes to *l, more is released. */
static void join(struct tsm_str_list *l, struct tsm_str_list *more)
{
    struct tsm_str_list all = {0};
    size_t x = 0, y = 0;
    if (l->n == 0) {
        all = *l;
        *l = *more;
        *more = all;
        tsm_str_list_release(more);
        return;
    }
    all.cap = l->n + more->n;
    all.items = tsm_realloc_array(NULL, all.cap, sizeof *all.items);
    while (x < l->n && y < more->n) {
        int c = tsm_series_compare(l->items[x], more->items[y]);
        all.items[all.n++] = c <= 0 ? l->items[x] : more->items[y];
        x += c <= 0;
        y += c >= 0;
    }
    while (x < l->n)
        all.items[all.n++] = l->items[x++];
    while (y < more->n)
        all.items[all.n++] = more->items[y++];
    tsm_str_list_release(l);
    tsm_str_list_release(more);
    *l = all;
}

int tsm_catalogue_series(struct tsm_shard *const *shards, size_t n, struct tsm_str measurement,
                         struct tsm_query_control *control, size_t memory, struct tsm_str_list *series,
                         struct tsm_err *err)
{
    struct tsm_series_walk w = {0};
    unsigned rounds = 0;
    int rc = TSM_OK;
    series->n = 0;
    for (size_t i = 0; i < n && rc == TSM_OK; i++) {
        struct tsm_str_list more = {0};
        tsm_series_walk_start(&w, shards[i], measurement);
        while (rc == TSM_OK && tsm_series_walk_next(&w)) {
            add(&more, w.series);
            rc = tsm_control_round(control, &rounds, err);
            if (rc == TSM_OK && (2 * series->n + 3 * more.n) * sizeof *more.items > memory)
                rc = tsm_err_set(err, TSM_ELIMIT,
                                 "the list of series needs more than the memory limit of %zu bytes", memory);
        }
        tsm_series_sort(&more);
        join(series, &more);
    }
    tsm_series_walk_release(&w);
    return rc;
}
