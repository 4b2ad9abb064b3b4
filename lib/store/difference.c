/* store/difference.c: two sides, walked key by key and time by time. */
#include "store/difference.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/num.h"
#include "base/sort.h"
#include "format/line.h"
#include "format/series_key.h"
#include "store/scan.h"
#include "base/banned.h"

enum { WRITE_AT = 64 << 10 };

/* A key in one shard. */
struct part {
    const struct tsm_shard *shard;
    size_t key;
    int64_t tmin, tmax;
};

struct side {
    struct tsm_shard *const *shards;
    size_t n;
    size_t *next; /* per shard: the key that was not looked at yet */
    struct part *parts;
    size_t nparts, part; /* of the present key; the one that is read */
    struct tsm_scan *scan;
    const struct tsm_values *batch; /* NULL: at the end of the key */
    size_t at;
};

struct run {
    struct tsm_difference *d;
    struct side a, b;
    struct tsm_str series, field; /* of the present key */
    struct tsm_buf text;
};

/* ---- a side -------------------------------------------------------------------------------------- */

static void side_init(struct side *s, struct tsm_shard *const *shards, size_t n)
{
    *s = (struct side){
        .shards = shards,
        .n = n,
        .next = tsm_calloc(n, sizeof *s->next),
        .parts = tsm_calloc(n, sizeof *s->parts),
        .scan = tsm_scan_new(),
    };
}

static void side_release(struct side *s)
{
    tsm_free(s->next);
    tsm_free(s->parts);
    tsm_scan_free(s->scan);
}

/* Makes *key the smallest of it and of those that are not looked at yet. */
static void find_smallest(const struct side *s, struct tsm_str *key)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->next[i] == s->shards[i]->nkeys)
            continue;
        struct tsm_str k = tsm_shard_key(s->shards[i], s->next[i]);
        if (!key->p || tsm_str_cmp(k, *key) < 0)
            *key = k;
    }
}

static int compare_parts(const void *x, const void *y)
{
    const struct part *a = x, *b = y;
    return (a->tmin > b->tmin) - (a->tmin < b->tmin);
}

/* The next values of the key; s->batch is NULL when there are none. */
static int next_batch(struct side *s, struct tsm_err *err)
{
    s->at = 0;
    for (;;) {
        int rc = tsm_scan_next(s->scan, &s->batch, err);
        if (rc != TSM_OK || s->batch || s->part == s->nparts)
            return rc;
        const struct part *p = &s->parts[s->part++];
        rc = tsm_scan_start(s->scan, p->shard, p->key, INT64_MIN, INT64_MAX, err);
        if (rc != TSM_OK)
            return rc;
    }
}

/* Begins with the key, and leaves it behind in all shards that have it. */
static int open_key(struct side *s, struct tsm_str key, struct tsm_err *err)
{
    s->nparts = s->part = 0;
    s->batch = NULL;
    for (size_t i = 0; i < s->n; i++) {
        const struct tsm_shard *shard = s->shards[i];
        if (s->next[i] == shard->nkeys || !tsm_str_eq(tsm_shard_key(shard, s->next[i]), key))
            continue;
        struct part *p = &s->parts[s->nparts++];
        *p = (struct part){.shard = shard, .key = s->next[i]++};
        tsm_key_range(shard, p->key, &p->tmin, &p->tmax);
    }
    tsm_sort(s->parts, s->nparts, sizeof *s->parts, compare_parts);
    for (size_t i = 1; i < s->nparts; i++)
        if (s->parts[i].tmin <= s->parts[i - 1].tmax)
            return tsm_err_set(err, TSM_EUSAGE, "key '%.*s' is in two shards that overlap in time",
                               (int)key.n, key.p);
    if (s->nparts == 0)
        return TSM_OK;
    const struct part *p = &s->parts[s->part++];
    int rc = tsm_scan_start(s->scan, p->shard, p->key, INT64_MIN, INT64_MAX, err);
    return rc == TSM_OK ? next_batch(s, err) : rc;
}

/* Leaves n values of the batch behind. */
static int advance(struct side *s, size_t n, struct tsm_err *err)
{
    s->at += n;
    return s->at < s->batch->n ? TSM_OK : next_batch(s, err);
}

/* ---- comparing ----------------------------------------------------------------------------------- */

static int write_out(struct run *r, struct tsm_err *err)
{
    int rc = r->text.len ? r->d->write(r->d->ctx, tsm_buf_view(&r->text), err) : TSM_OK;
    tsm_buf_reset(&r->text);
    return rc;
}

/* Values [from, to) of a batch as lines. */
static int put_lines(struct run *r, const struct tsm_values *v, size_t from, size_t to, struct tsm_err *err)
{
    int rc = TSM_OK;
    for (size_t i = from; i < to && rc == TSM_OK; i++) {
        tsm_buf_str(&r->text, r->series);
        tsm_buf_byte(&r->text, ' ');
        tsm_escape_field(&r->text, r->field);
        tsm_buf_byte(&r->text, '=');
        tsm_line_value(&r->text, v->type, tsm_values_get(v, i));
        tsm_buf_byte(&r->text, ' ');
        r->text.len += tsm_format_int((char *)tsm_buf_room(&r->text, TSM_NUM_MAX), v->t[i]);
        tsm_buf_byte(&r->text, '\n');
        if (r->text.len > WRITE_AT)
            rc = write_out(r, err);
    }
    return rc;
}

static bool same_value(const struct tsm_values *a, size_t i, const struct tsm_values *b, size_t k)
{
    union tsm_value x = tsm_values_get(a, i), y = tsm_values_get(b, k);
    if (a->type != b->type)
        return false;
    if (a->type == TSM_STRING)
        return tsm_str_eq(x.s, y.s);
    return a->type == TSM_BOOLEAN ? x.b == y.b : x.u == y.u; /* of floats the bits */
}

/* How many values of both batches, from where they stand, are the same. */
static size_t count_same(const struct side *a, const struct side *b)
{
    size_t n = a->batch->n - a->at, most = b->batch->n - b->at, i = 0;
    if (most < n)
        n = most;
    while (i < n && a->batch->t[a->at + i] == b->batch->t[b->at + i] &&
           same_value(a->batch, a->at + i, b->batch, b->at + i))
        i++;
    return i;
}

/* How many values of s are before time t. */
static size_t count_before(const struct side *s, int64_t t)
{
    size_t i = s->at;
    while (i < s->batch->n && s->batch->t[i] < t)
        i++;
    return i - s->at;
}

static int pass_extra(struct run *r, size_t n, struct tsm_err *err)
{
    r->d->extra += n;
    return advance(&r->a, n, err);
}

static int pass_missing(struct run *r, size_t n, struct tsm_err *err)
{
    r->d->missing += n;
    int rc = put_lines(r, r->b.batch, r->b.at, r->b.at + n, err);
    return rc == TSM_OK ? advance(&r->b, n, err) : rc;
}

/* Both stand at values of one time. */
static int pass_both(struct run *r, struct tsm_err *err)
{
    size_t same = count_same(&r->a, &r->b);
    int rc = TSM_OK;
    r->d->equal += same;
    if (same == 0) {
        r->d->different++;
        same = 1;
        rc = put_lines(r, r->b.batch, r->b.at, r->b.at + 1, err);
    }
    if (rc == TSM_OK)
        rc = advance(&r->a, same, err);
    return rc == TSM_OK ? advance(&r->b, same, err) : rc;
}

static int compare_key(struct run *r, struct tsm_str key, struct tsm_err *err)
{
    if (!tsm_key_split(key, &r->series, &r->field))
        return tsm_err_set(err, TSM_ECORRUPT, "key '%.*s' has no field", (int)(key.n < 200 ? key.n : 200),
                           key.p);
    int rc = open_key(&r->a, key, err);
    if (rc == TSM_OK)
        rc = open_key(&r->b, key, err);
    while (rc == TSM_OK && (r->a.batch || r->b.batch)) {
        const struct tsm_values *a = r->a.batch, *b = r->b.batch;
        if (!b)
            rc = pass_extra(r, a->n - r->a.at, err);
        else if (!a)
            rc = pass_missing(r, b->n - r->b.at, err);
        else if (a->t[r->a.at] < b->t[r->b.at])
            rc = pass_extra(r, count_before(&r->a, b->t[r->b.at]), err);
        else if (a->t[r->a.at] > b->t[r->b.at])
            rc = pass_missing(r, count_before(&r->b, a->t[r->a.at]), err);
        else
            rc = pass_both(r, err);
    }
    return rc;
}

int tsm_difference_run(struct tsm_difference *d, struct tsm_shard *const *a, size_t na,
                       struct tsm_shard *const *b, size_t nb, struct tsm_err *err)
{
    struct run r = {.d = d};
    int rc = TSM_OK;
    side_init(&r.a, a, na);
    side_init(&r.b, b, nb);
    while (rc == TSM_OK) {
        struct tsm_str key = {0};
        find_smallest(&r.a, &key);
        find_smallest(&r.b, &key);
        if (!key.p)
            break;
        rc = compare_key(&r, key, err);
    }
    if (rc == TSM_OK)
        rc = write_out(&r, err);
    side_release(&r.a);
    side_release(&r.b);
    tsm_buf_release(&r.text);
    return rc;
}
