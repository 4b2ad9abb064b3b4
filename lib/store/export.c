/*
 * store/export.c: a shard as line protocol.
 *
 * The work is cut into slices, each some whole series or, of a long series, a range of time. Slices are
 * formatted by several threads and written in order.
 */
#include "store/export.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/num.h"
#include "base/parallel.h"
#include "base/sort.h"
#include "format/line.h"
#include "store/scan.h"
#include "base/banned.h"

enum {
    SLICE_BLOCKS = 32, /* about as many in a slice */
    MAX_FIELDS = 128,  /* joined in a line; a block of each is in memory at once */
};

/* Keys [from, to), which are whole pieces (see piece_end()), in [tmin, tmax]. */
struct slice {
    size_t from, to;
    int64_t tmin, tmax;
};

/* One field of the series that is being formatted. */
struct field {
    struct tsm_scan *scan;
    const struct tsm_values *batch; /* NULL: at its end */
    size_t at;                      /* in batch */
    struct tsm_buf prefix;          /* escaped name and '=' */
};

/* What one thread keeps between slices. */
struct worker {
    struct field *fields;
    size_t cap; /* fields[0, made) have a scan */
    size_t made;
};

struct text {
    struct tsm_buf lines;
    uint64_t nlines, nvalues;
};

struct run {
    struct tsm_export *e;
    const struct tsm_shard *shard;
    struct slice *slices;
    size_t n, cap;
    struct worker *workers;
};

/* ---- formatting a slice ---------------------------------------------------------------------------------
 */

static int next_batch(struct field *f, struct tsm_err *err)
{
    f->at = 0;
    return tsm_scan_next(f->scan, &f->batch, err);
}

/* The end of the piece that key `from` begins: keys of one series, MAX_FIELDS of them or those up to `to`. */
static size_t piece_end(const struct tsm_shard *shard, size_t from, size_t to, struct tsm_str *series)
{
    struct tsm_str field;
    if (!tsm_key_split(tsm_shard_key(shard, from), series, &field)) {
        *series = tsm_str(NULL, 0);
        return from + 1;
    }
    size_t i = from + 1;
    if (to - from > MAX_FIELDS)
        to = from + MAX_FIELDS;
    for (struct tsm_str other; i < to; i++)
        if (!tsm_key_split(tsm_shard_key(shard, i), &other, &field) || !tsm_str_eq(other, *series))
            break;
    return i;
}

/* Makes the fields of keys [from, to) ready; *n are those that have a value. */
static int start_fields(struct run *run, struct worker *w, const struct slice *s, size_t from, size_t to,
                        size_t *n, struct tsm_err *err)
{
    size_t cap = w->cap;
    TSM_GROW(w->fields, to - from, cap);
    w->cap = cap;
    for (; w->made < to - from; w->made++)
        w->fields[w->made] = (struct field){.scan = tsm_scan_new()};
    *n = 0;
    for (size_t i = from; i < to; i++) {
        struct field *f = &w->fields[*n];
        struct tsm_str series, name;
        int r = tsm_scan_start(f->scan, run->shard, i, s->tmin, s->tmax, err);
        if (r == TSM_OK)
            r = next_batch(f, err);
        if (r != TSM_OK)
            return r;
        tsm_key_split(tsm_shard_key(run->shard, i), &series, &name);
        tsm_buf_reset(&f->prefix);
        tsm_escape_field(&f->prefix, name);
        tsm_buf_byte(&f->prefix, '=');
        *n += f->batch != NULL;
    }
    return TSM_OK;
}

/* The earliest time of the fields; false when all have ended. */
static bool next_time(const struct field *fields, size_t n, int64_t *t)
{
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        const struct field *f = &fields[i];
        if (f->batch && (!any || f->batch->t[f->at] < *t)) {
            *t = f->batch->t[f->at];
            any = true;
        }
    }
    return any;
}

static int format_series(struct tsm_str series, struct field *fields, size_t n, struct text *out,
                         struct tsm_err *err)
{
    int64_t t = 0;
    while (next_time(fields, n, &t)) {
        char separator = ' ';
        tsm_buf_str(&out->lines, series);
        for (size_t i = 0; i < n; i++) {
            struct field *f = &fields[i];
            if (!f->batch || f->batch->t[f->at] != t)
                continue;
            tsm_buf_byte(&out->lines, (uint8_t)separator);
            separator = ',';
            tsm_buf_add(&out->lines, f->prefix.data, f->prefix.len);
            tsm_line_value(&out->lines, f->batch->type, tsm_values_get(f->batch, f->at));
            out->nvalues++;
            if (++f->at == f->batch->n) {
                int r = next_batch(f, err);
                if (r != TSM_OK)
                    return r;
            }
        }
        tsm_buf_byte(&out->lines, ' ');
        out->lines.len += tsm_format_int((char *)tsm_buf_room(&out->lines, TSM_NUM_MAX), t);
        tsm_buf_byte(&out->lines, '\n');
        out->nlines++;
    }
    return TSM_OK;
}

/* A key that is none: the index is damaged where it has no checksum. */
static int bad_key(const struct run *run, size_t key, struct tsm_err *err)
{
    struct tsm_err local;
    const struct tsm_damage *damage = run->e->damage;
    struct tsm_str s = tsm_shard_key(run->shard, key);
    tsm_err_set(&local, TSM_ECORRUPT, "key '%.*s' of %s has no field", (int)(s.n < 200 ? s.n : 200), s.p,
                run->shard->nfiles ? run->shard->files[0]->path : "the log");
    if (!damage || !damage->skip)
        return tsm_err_set(err, TSM_ECORRUPT, "%s", local.msg);
    if (damage->report)
        damage->report(damage->ctx, local.msg);
    return TSM_OK;
}

static int format_slice(void *ctx, size_t number, unsigned thread, void **slot, struct tsm_err *err)
{
    struct run *run = ctx;
    const struct slice *s = &run->slices[number];
    struct text *out = tsm_calloc(1, sizeof *out);
    *slot = out;
    int r = TSM_OK;
    for (size_t from = s->from, to; from < s->to && r == TSM_OK; from = to) {
        struct tsm_str series;
        struct worker *w = &run->workers[thread];
        size_t n;
        to = piece_end(run->shard, from, s->to, &series);
        if (!series.p) {
            r = bad_key(run, from, err);
            continue;
        }
        r = start_fields(run, w, s, from, to, &n, err);
        if (r == TSM_OK)
            r = format_series(series, w->fields, n, out, err);
    }
    return r;
}

static void drop_text(void *ctx, void *slot)
{
    (void)ctx;
    struct text *t = slot;
    if (t)
        tsm_buf_release(&t->lines);
    tsm_free(t);
}

static int write_text(void *ctx, size_t number, void *slot, struct tsm_err *err)
{
    (void)number;
    struct run *run = ctx;
    struct text *t = slot;
    run->e->lines += t->nlines;
    run->e->values += t->nvalues;
    int r = t->lines.len ? run->e->write(run->e->ctx, tsm_buf_view(&t->lines), err) : TSM_OK;
    drop_text(NULL, t);
    return r;
}

/* ---- cutting the work -----------------------------------------------------------------------------------
 */

static void add_slice(struct run *run, size_t from, size_t to, int64_t tmin, int64_t tmax)
{
    TSM_GROW(run->slices, run->n + 1, run->cap);
    run->slices[run->n++] = (struct slice){from, to, tmin, tmax};
}

static int compare_times(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The first times of all blocks of a key within the export's range, ascending; *n of them. */
static int64_t *block_times(const struct run *run, size_t key, size_t *n)
{
    int64_t *times = NULL;
    size_t cap = 0;
    *n = 0;
    for (size_t i = 0; i < run->shard->nfiles; i++) {
        const struct tsm_reader *r = run->shard->files[i];
        bool found;
        size_t at = tsm_reader_seek(r, tsm_shard_key(run->shard, key), &found);
        size_t entries = found ? tsm_reader_entries(r, at) : 0;
        for (size_t j = 0; j < entries; j++) {
            struct tsm_entry e = tsm_reader_entry(r, at, j);
            if (e.tmin <= run->e->tmin || e.tmin > run->e->tmax)
                continue;
            TSM_GROW(times, *n + 1, cap);
            times[(*n)++] = e.tmin;
        }
    }
    tsm_sort(times, *n, sizeof *times, compare_times);
    return times;
}

/* A series with many blocks, cut at the beginnings of the blocks of its longest field. */
static void slice_by_time(struct run *run, size_t from, size_t to, size_t longest)
{
    size_t n, fields = to - from;
    int64_t *times = block_times(run, longest, &n);
    int64_t start = run->e->tmin;
    size_t step = SLICE_BLOCKS / fields + 1;
    for (size_t i = step; i < n; i += step) {
        if (times[i] == start)
            continue;
        add_slice(run, from, to, start, times[i] - 1);
        start = times[i];
    }
    add_slice(run, from, to, start, run->e->tmax);
    tsm_free(times);
}

static void plan_slices(struct run *run)
{
    const struct tsm_shard *shard = run->shard;
    int64_t tmin = run->e->tmin, tmax = run->e->tmax;
    size_t begin = 0, collected = 0;
    for (size_t from = 0, to; from < shard->nkeys; from = to) {
        struct tsm_str series;
        size_t blocks = 0, most = 0, longest = from;
        to = piece_end(shard, from, shard->nkeys, &series);
        for (size_t i = from; i < to; i++) {
            size_t b = tsm_key_blocks(shard, i, tmin, tmax);
            blocks += b;
            if (b > most) {
                most = b;
                longest = i;
            }
        }
        if (collected && collected + blocks > SLICE_BLOCKS) {
            add_slice(run, begin, from, tmin, tmax);
            begin = from;
            collected = 0;
        }
        if (blocks > SLICE_BLOCKS) {
            if (from > begin)
                add_slice(run, begin, from, tmin, tmax);
            slice_by_time(run, from, to, longest);
            begin = to;
            collected = 0;
        } else {
            collected += blocks ? blocks : 1; /* the log may have values of a key without blocks */
        }
    }
    if (begin < shard->nkeys)
        add_slice(run, begin, shard->nkeys, tmin, tmax);
}

static void free_workers(struct run *run, unsigned jobs)
{
    for (unsigned i = 0; i < jobs; i++) {
        struct worker *w = &run->workers[i];
        for (size_t j = 0; j < w->made; j++) {
            tsm_scan_free(w->fields[j].scan);
            tsm_buf_release(&w->fields[j].prefix);
        }
        tsm_free(w->fields);
    }
    tsm_free(run->workers);
}

int tsm_export_shard(struct tsm_export *e, const struct tsm_shard *shard, struct tsm_err *err)
{
    unsigned jobs = e->jobs ? e->jobs : 1;
    struct run run = {.e = e, .shard = shard, .workers = tsm_calloc(jobs, sizeof(struct worker))};
    plan_slices(&run);
    struct tsm_parallel p = {
        .jobs = jobs,
        .tasks = run.n,
        .ahead = jobs + 2,
        .ctx = &run,
        .work = format_slice,
        .emit = write_text,
        .drop = drop_text,
    };
    int r = run.n ? tsm_parallel_run(&p, err) : TSM_OK;
    free_workers(&run, jobs);
    tsm_free(run.slices);
    return r;
}
