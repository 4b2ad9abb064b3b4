/*
 * store/flush.c: writing a frozen memtable into TSM files.
 *
 * All columns are listed by shard and key. Then, shard by shard: each one's frontier is found, ranges of
 * columns are cut and encoded in parallel, and the blocks are written in order.
 */
#include "store/flush_impl.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/parallel.h"
#include "base/sort.h"
#include "store/data_dir.h"
#include "base/banned.h"

enum {
    TASK_COLUMNS = 64,
    TASK_BYTES = 512 << 10, /* raw values of one task, roughly */
};

struct runs {
    struct tsm_run *runs;
    size_t n, cap;
    struct tsm_turn *turn;
};

/* ---- the columns of a shard, in order ---- */

/* Ascending by name, for few columns. */
static void insertion_sort(struct tsm_column *columns, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        struct tsm_column c = columns[i];
        uint32_t k = i;
        for (; k > 0 && tsm_str_cmp(columns[k - 1].field->name, c.field->name) > 0; k--)
            columns[k] = columns[k - 1];
        columns[k] = c;
    }
}

static int compare_columns(const void *a, const void *b, void *columns)
{
    const struct tsm_column *c = columns;
    return tsm_str_cmp(c[*(const uint32_t *)a].field->name, c[*(const uint32_t *)b].field->name);
}

/* The same for many: sorts their numbers, then moves each column once, as there may not be memory for two of
 * each. */
static void order_sort(struct tsm_column *columns, uint32_t n)
{
    uint32_t *order = tsm_realloc_array(NULL, n, sizeof *order);
    for (uint32_t i = 0; i < n; i++)
        order[i] = i;
    qsort_r(order, n, sizeof *order, compare_columns, columns);
    for (uint32_t i = 0; i < n; i++) {
        if (order[i] == i)
            continue;
        struct tsm_column moved = columns[i];
        uint32_t to = i;
        while (order[to] != i) { /* one cycle of the permutation */
            uint32_t from = order[to];
            columns[to] = columns[from];
            order[to] = to;
            to = from;
        }
        columns[to] = moved;
        order[to] = to;
    }
    tsm_free(order);
}

static bool is_ordered(const struct tsm_slice *sl)
{
    for (uint32_t i = 1; i < sl->ncolumns; i++)
        if (tsm_str_cmp(sl->columns[i - 1].field->name, sl->columns[i].field->name) > 0)
            return false;
    return true;
}

/* A frozen memtable's columns may be put in another order: nobody but a reader looks for one any more. */
static void order_columns(struct runs *r, struct tsm_slice *sl)
{
    enum { FEW = 32 };
    if (is_ordered(sl))
        return;
    if (r->turn)
        tsm_turn_take(r->turn);
    if (sl->ncolumns <= FEW)
        insertion_sort(sl->columns, sl->ncolumns);
    else
        order_sort(sl->columns, sl->ncolumns);
    if (r->turn)
        tsm_turn_give(r->turn);
}

static void add_slice(struct runs *r, const struct tsm_mem_series *series, struct tsm_slice sl)
{
    order_columns(r, &sl);
    for (uint32_t from = 0; from < sl.ncolumns; from += TASK_COLUMNS) {
        uint32_t n = sl.ncolumns - from < TASK_COLUMNS ? sl.ncolumns - from : TASK_COLUMNS;
        TSM_GROW(r->runs, r->n + 1, r->cap);
        r->runs[r->n++] = (struct tsm_run){
            .series = series, .columns = sl.columns + from, .ncolumns = n, .shard = sl.shard};
    }
}

static void add_series(void *ctx, const struct tsm_mem_series *series)
{
    add_slice(ctx, series, series->slice);
    for (uint32_t i = 0; series->all && i < series->all->n; i++)
        if (series->all->items[i].shard != series->slice.shard)
            add_slice(ctx, series, series->all->items[i]);
}

/* By shard, series key and field separator; the field decides only within a series. */
static int compare_runs(const void *a, const void *b)
{
    const struct tsm_run *ra = a, *rb = b;
    if (ra->shard != rb->shard)
        return ra->shard < rb->shard ? -1 : 1;
    if (ra->prefix != rb->prefix)
        return ra->prefix < rb->prefix ? -1 : 1;
    struct tsm_str x = tsm_mem_series_key(ra->series), y = tsm_mem_series_key(rb->series);
    size_t n = x.n < y.n ? x.n : y.n;
    int c = memcmp(x.p, y.p, n);
    if (c == 0 && x.n == y.n) /* of one wide series */
        return (ra->columns > rb->columns) - (ra->columns < rb->columns);
    if (c || x.n == y.n)
        return c;
    /* One is the beginning of the other, and goes on with the separator. */
    struct tsm_str separator = TSM_FIELD_SEPARATOR;
    struct tsm_str rest = x.n < y.n ? tsm_str(y.p + n, y.n - n) : tsm_str(x.p + n, x.n - n);
    for (size_t i = 0; i < separator.n && !c; i++)
        c = separator.p[i] - (unsigned char)(i < rest.n ? rest.p[i] : separator.p[i - rest.n]);
    if (!c)
        c = -1;
    return x.n < y.n ? c : -c;
}

static int compare_keys(const void *a, const void *b)
{
    const struct tsm_run *x = a, *y = b;
    if (x->shard != y->shard)
        return x->shard < y->shard ? -1 : 1;
    struct tsm_buf kx = {0}, ky = {0};
    tsm_run_key(&kx, x->series, x->columns);
    tsm_run_key(&ky, y->series, y->columns);
    int c = tsm_str_cmp(tsm_buf_view(&kx), tsm_buf_view(&ky));
    tsm_buf_release(&kx);
    tsm_buf_release(&ky);
    return c;
}

/* True when the keys of some run may fall among those of the next: its series key has the separator inside.
 */
static bool runs_interleave(const struct runs *r)
{
    for (size_t i = 1; i < r->n; i++) {
        struct tsm_str x = tsm_mem_series_key(r->runs[i - 1].series),
                       y = tsm_mem_series_key(r->runs[i].series);
        if (tsm_str_starts(y, x) && tsm_str_starts(tsm_str(y.p + x.n, y.n - x.n), TSM_FIELD_SEPARATOR))
            return true;
    }
    return false;
}

/* One run per column, ordered by the whole key. */
static void split_runs(struct runs *r)
{
    struct runs old = *r;
    *r = (struct runs){.turn = old.turn};
    for (size_t i = 0; i < old.n; i++) {
        for (uint32_t k = 0; k < old.runs[i].ncolumns; k++) {
            TSM_GROW(r->runs, r->n + 1, r->cap);
            r->runs[r->n] = old.runs[i];
            r->runs[r->n].columns += k;
            r->runs[r->n].ncolumns = 1;
            r->n++;
        }
    }
    tsm_free(old.runs);
    tsm_sort(r->runs, r->n, sizeof *r->runs, compare_keys);
}

/* How many bytes all series keys begin with alike. */
static size_t common_beginning(const struct runs *r)
{
    struct tsm_str first = tsm_mem_series_key(r->runs[0].series);
    size_t n = first.n;
    for (size_t i = 1; i < r->n && n > 0; i++) {
        struct tsm_str key = tsm_mem_series_key(r->runs[i].series);
        if (key.n < n)
            n = key.n;
        if (memcmp(key.p, first.p, n) == 0)
            continue;
        size_t same = 0;
        while (key.p[same] == first.p[same])
            same++;
        n = same;
    }
    return n;
}

/* Most comparisons are decided by eight bytes that the run itself holds: of the key and the separator behind
 * it. */
static void set_prefixes(struct runs *r)
{
    size_t skip = common_beginning(r);
    struct tsm_str separator = TSM_FIELD_SEPARATOR;
    for (size_t i = 0; i < r->n; i++) {
        struct tsm_str key = tsm_mem_series_key(r->runs[i].series);
        uint8_t bytes[8] = {0};
        size_t n = key.n - skip < sizeof bytes ? key.n - skip : sizeof bytes;
        memcpy(bytes, key.p + skip, n);
        for (size_t k = 0; n < sizeof bytes && k < separator.n; k++)
            bytes[n++] = (uint8_t)separator.p[k];
        r->runs[i].prefix = tsm_get_be64(bytes);
    }
}

/* All runs of the memtable, by shard and key. */
static void collect(const struct tsm_memtable *table, struct runs *r)
{
    tsm_memtable_each(table, add_series, r);
    if (r->n == 0)
        return;
    set_prefixes(r);
    tsm_sort(r->runs, r->n, sizeof *r->runs, compare_runs);
    if (runs_interleave(r))
        split_runs(r);
}

static void number_columns(struct tsm_shard_flush *s)
{
    for (size_t i = 0; i < s->nruns; i++) {
        s->runs[i].first = (uint32_t)s->ncolumns;
        s->ncolumns += s->runs[i].ncolumns;
    }
}

/* ---- cutting in parallel, writing in order ---- */

struct output {
    struct tsm_cut_output cut;
    size_t ends[]; /* by column of the task: where its blocks end */
};

static void plan_tasks(struct tsm_shard_flush *s)
{
    size_t columns = 0, bytes = 0;
    for (size_t i = 0; i <= s->nruns; i++) {
        if (i == 0 || i == s->nruns || columns >= TASK_COLUMNS || bytes >= TASK_BYTES) {
            TSM_GROW(s->tasks, s->ntasks + 1, s->captasks);
            s->tasks[s->ntasks++] = i;
            columns = bytes = 0;
        }
        for (uint32_t k = 0; i < s->nruns && k < s->runs[i].ncolumns; k++) {
            columns++;
            bytes += tsm_column_raw_bytes(&s->runs[i].columns[k]);
        }
    }
    s->ntasks--; /* the last one is the end */
}

static size_t task_columns(const struct tsm_shard_flush *s, size_t task)
{
    size_t end = s->tasks[task + 1];
    return (end == s->nruns ? s->ncolumns : s->runs[end].first) - s->runs[s->tasks[task]].first;
}

static void free_output(void *ctx, void *slot)
{
    struct output *out = slot;
    (void)ctx;
    if (out)
        tsm_cut_output_release(&out->cut);
    tsm_free(out);
}

static int work(void *ctx, size_t task, unsigned thread, void **slot, struct tsm_err *err)
{
    struct tsm_shard_flush *s = ctx;
    struct output *out = tsm_calloc(1, sizeof *out + task_columns(s, task) * sizeof out->ends[0]);
    size_t column = 0;
    *slot = out;
    for (size_t i = s->tasks[task]; i < s->tasks[task + 1]; i++) {
        const struct tsm_run *run = &s->runs[i];
        for (uint32_t k = 0; k < run->ncolumns; k++) {
            const struct tsm_column *c = &run->columns[k];
            int64_t frontier = s->frontiers ? s->frontiers[run->first + k] : INT64_MIN;
            if (!tsm_column_is_empty(c)) {
                int rc = tsm_column_cut(&s->cutters[thread], c, frontier, &out->cut, err);
                if (rc != TSM_OK)
                    return rc;
            }
            out->ends[column++] = out->cut.n;
        }
    }
    return TSM_OK;
}

static int emit(void *ctx, size_t task, void *slot, struct tsm_err *err)
{
    struct tsm_shard_flush *s = ctx;
    struct output *out = slot;
    size_t column = 0, b = 0;
    int rc = TSM_OK;
    for (size_t i = s->tasks[task]; i < s->tasks[task + 1] && rc == TSM_OK; i++) {
        const struct tsm_run *run = &s->runs[i];
        for (uint32_t k = 0; k < run->ncolumns && rc == TSM_OK; k++, column++) {
            tsm_run_key(&s->key, run->series, &run->columns[k]);
            for (; b < out->ends[column] && rc == TSM_OK; b++) {
                const struct tsm_cut_block *block = &out->cut.blocks[b];
                const uint8_t *bytes = block->bytes ? block->bytes : out->cut.bytes.data + block->offset;
                rc = tsm_flush_file_block(block->late ? &s->late : &s->ordered, tsm_buf_view(&s->key),
                                          run->columns[k].field->type, block->tmin, block->tmax, bytes,
                                          block->len, err);
                if (block->late)
                    s->f->late += block->n;
            }
        }
    }
    free_output(NULL, out);
    return rc;
}

/* influxd trusts its list of fields over the files; without it, it reads the files. */
static int remove_derived(struct tsm_shard_flush *s, struct tsm_err *err)
{
    static const char *const names[] = {"fields.idx", "fields.idxl"};
    const char *dir = s->shard->files->dir;
    bool any = false;
    int rc = TSM_OK;
    for (size_t i = 0; i < sizeof names / sizeof *names && rc == TSM_OK && !s->shard->derived_removed; i++) {
        char *path = tsm_path_join(dir, names[i]);
        if (tsm_fs_exists(s->f->fs, path)) {
            rc = tsm_fs_remove(s->f->fs, path, err);
            any = true;
        }
        tsm_free(path);
    }
    if (rc == TSM_OK && any)
        rc = tsm_fs_sync_dir(s->f->fs, dir, err);
    s->shard->derived_removed |= rc == TSM_OK;
    return rc;
}

static int write_shard(struct tsm_shard_flush *s, struct tsm_err *err)
{
    int rc = s->shard->made ? TSM_OK : tsm_data_make_shard(s->f->fs, s->shard->files->dir, err);
    s->shard->made = rc == TSM_OK;
    if (rc == TSM_OK)
        rc = tsm_flush_frontiers(s, err);
    if (rc == TSM_OK)
        rc = remove_derived(s, err);
    if (rc != TSM_OK)
        return rc;
    plan_tasks(s);
    unsigned jobs = s->f->jobs ? s->f->jobs : 1;
    s->cutters = tsm_calloc(jobs, sizeof *s->cutters);
    struct tsm_parallel p = {
        .jobs = jobs, .tasks = s->ntasks, .ctx = s, .work = work, .emit = emit, .drop = free_output};
    rc = tsm_parallel_run(&p, err);
    for (unsigned i = 0; i < jobs; i++)
        tsm_cutter_release(&s->cutters[i]);
    tsm_free(s->cutters);
    if (rc == TSM_OK)
        rc = tsm_flush_file_finish(&s->ordered, err);
    if (rc == TSM_OK)
        rc = tsm_flush_file_finish(&s->late, err);
    return rc;
}

static int flush_shard(struct tsm_flush *f, struct tsm_run *runs, size_t n, struct tsm_err *err)
{
    struct tsm_flush_shard *shard = f->shards[runs[0].shard];
    struct tsm_shard_flush s = {.f = f, .shard = shard, .runs = runs, .nruns = n};
    s.ordered = (struct tsm_flush_file){.fs = f->fs, .files = shard->files, .index_memory = f->index_memory};
    s.late = s.ordered;
    s.late.late = true;
    number_columns(&s);
    int rc = write_shard(&s, err);
    if (rc != TSM_OK) /* it says of values that they are in files, which they are not */
        tsm_frontier_drop(&shard->frontier);
    f->files += s.ordered.count + s.late.count;
    f->file_bytes += s.ordered.bytes + s.late.bytes;
    tsm_flush_file_release(&s.ordered);
    tsm_flush_file_release(&s.late);
    tsm_buf_release(&s.key);
    tsm_free(s.frontiers);
    tsm_free(s.unknown);
    tsm_free(s.tasks);
    return rc;
}

/* The same, between what others have to do before and afterwards. */
static int flush_guarded(struct tsm_flush *f, struct tsm_run *runs, size_t n, struct tsm_err *err)
{
    uint32_t shard = runs[0].shard;
    int rc = f->begin ? f->begin(f->ctx, shard, err) : TSM_OK;
    if (rc != TSM_OK)
        return rc;
    rc = flush_shard(f, runs, n, err);
    if (rc == TSM_OK) /* whatever becomes of the end: once more, its values would all be late */
        f->done = shard + 1;
    int ended = f->end ? f->end(f->ctx, shard, rc == TSM_OK, rc == TSM_OK ? err : NULL) : TSM_OK;
    return rc == TSM_OK ? ended : rc;
}

int tsm_flush_run(struct tsm_flush *f, struct tsm_err *err)
{
    struct runs r = {.turn = f->turn};
    collect(f->table, &r);
    int rc = TSM_OK;
    for (size_t from = 0, to; from < r.n && rc == TSM_OK; from = to) {
        uint32_t shard = r.runs[from].shard;
        for (to = from + 1; to < r.n && r.runs[to].shard == shard; to++)
            ;
        if (shard >= f->done && !f->shards[shard]->dropped)
            rc = flush_guarded(f, r.runs + from, to - from, err);
    }
    tsm_free(r.runs);
    return rc;
}
