/*
 * store/delete_file.c: a delete in one TSM file.
 *
 * The keys are walked once, which marks those that get a tombstone and finds out whether anything is left. Then the
 * tombstones are packed in pieces by several threads, from the keys in the mapping: a million of them needs no list.
 */
#include "store/delete_file.h"

#include <inttypes.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "format/series_key.h"
#include "format/tombstone_writer.h"
#include "format/tsm_reader.h"
#include "base/banned.h"

struct work {
    struct tsm_delete *d;
    const struct tsm_reader *r;
    uint64_t *marks; /* a bit per key: it gets a tombstone */
    size_t nmarks;
    bool remains;   /* something of the file is left */
    size_t *pieces; /* the first key of each piece of tombstones, and the end */
    size_t npieces, cappieces;
    struct tsm_tombstone_writer writer;
};

/* ---- what is to be done ------------------------------------------------------------------------ */

struct key {
    const struct tsm_reader *r;
    size_t i;
    const struct tsm_tombstone *old; /* its tombstones */
    size_t nold;
};

static bool has_tombstone_over(const struct key *k, int64_t tmin, int64_t tmax)
{
    for (size_t i = 0; i < k->nold; i++)
        if (k->old[i].tmin <= tmin && tmax <= k->old[i].tmax)
            return true;
    return false;
}

/* Whether the range touches values that are still there. */
static bool touches(const struct key *k, int64_t tmin, int64_t tmax)
{
    size_t n = tsm_reader_entries(k->r, k->i);
    for (size_t i = 0; i < n; i++) {
        struct tsm_entry e = tsm_reader_entry(k->r, k->i, i);
        if (e.tmin > tmax)
            break;
        if (e.tmax < tmin)
            continue;
        if (!has_tombstone_over(k, e.tmin > tmin ? e.tmin : tmin, e.tmax < tmax ? e.tmax : tmax))
            return true;
    }
    return false;
}

/* Moves *from behind a range that it is in; true when that is behind `last` as well. */
static bool move_behind(int64_t *from, int64_t last, int64_t tmin, int64_t tmax)
{
    if (*from < tmin || *from > tmax)
        return false;
    if (tmax >= last)
        return true;
    *from = tmax + 1;
    return false;
}

/* Whether the old tombstones from `first` on and the new one leave nothing of a block. */
static bool is_block_gone(const struct key *k, size_t first, const struct tsm_entry *e, int64_t tmin,
                          int64_t tmax)
{
    int64_t from = e->tmin;
    /* The old ones ascend and do not touch each other, so the new one fits into at most one gap of what matters. */
    for (size_t i = first; i < k->nold && k->old[i].tmin <= e->tmax; i++)
        if (move_behind(&from, e->tmax, tmin, tmax) ||
            move_behind(&from, e->tmax, k->old[i].tmin, k->old[i].tmax))
            return true;
    return move_behind(&from, e->tmax, tmin, tmax);
}

/* Whether the tombstones and, if there is to be one, the new one leave nothing of the key. */
static bool is_gone(const struct key *k, bool marked, int64_t tmin, int64_t tmax)
{
    if (!marked)
        return k->nold > 0 && tsm_reader_is_deleted(k->r, k->i, k->old, k->nold);
    size_t n = tsm_reader_entries(k->r, k->i), first = 0;
    for (size_t i = 0; i < n; i++) {
        struct tsm_entry e = tsm_reader_entry(k->r, k->i, i);
        while (first < k->nold && k->old[first].tmax < e.tmin)
            first++;
        if (!is_block_gone(k, first, &e, tmin, tmax))
            return false;
    }
    return true;
}

/* The tombstones of key i; *next is where they may begin. */
static void find_old(struct key *k, size_t *next)
{
    const struct tsm_tombstones *t = &k->r->tombstones;
    k->nold = 0;
    if (*next == t->n)
        return;
    struct tsm_str key = tsm_reader_key(k->r, k->i);
    while (*next < t->n && tsm_str_cmp(t->items[*next].key, key) < 0)
        ++*next;
    k->old = t->items + *next;
    for (; *next < t->n && tsm_str_eq(t->items[*next].key, key); ++*next)
        k->nold++;
}

/* Whether key is one of this series (the part of another key before its first separator). */
static bool is_of_series(struct tsm_str key, struct tsm_str series)
{
    struct tsm_str mark = TSM_FIELD_SEPARATOR;
    return series.p && key.n >= series.n + mark.n && memcmp(key.p, series.p, series.n) == 0 &&
           memcmp(key.p + series.n, mark.p, mark.n) == 0;
}

static void mark_keys(struct work *w)
{
    struct tsm_delete *d = w->d;
    struct key k = {.r = w->r};
    struct tsm_str last = {0};
    bool wanted = false;
    size_t next = 0;
    for (size_t i = 0; i < w->r->nkeys; i++) {
        struct tsm_str key = tsm_reader_key(w->r, i), field;
        k.i = i;
        find_old(&k, &next);
        if (!is_of_series(key, last)) {
            if (!tsm_key_split(key, &last, &field)) {
                last = (struct tsm_str){0};
                w->remains = true; /* not a key of InfluxDB's */
                continue;
            }
            wanted = d->wanted(d->ctx, last);
        }
        bool marked = wanted && touches(&k, d->tmin, d->tmax);
        if (marked)
            w->marks[i / 64] |= 1ull << (i % 64);
        w->nmarks += marked;
        if (!w->remains)
            w->remains = !is_gone(&k, marked, d->tmin, d->tmax);
    }
}

/* ---- doing it ---------------------------------------------------------------------------------- */

static bool is_marked(const struct work *w, size_t i)
{
    return w->marks[i / 64] >> (i % 64) & 1;
}

/* Cuts the marked keys into pieces of about the same number of bytes. */
static void cut_pieces(struct work *w)
{
    size_t bytes = 0;
    TSM_GROW(w->pieces, 2, w->cappieces);
    w->pieces[0] = 0;
    w->npieces = 0;
    for (size_t i = 0; i < w->r->nkeys; i++) {
        if (!is_marked(w, i))
            continue;
        bytes += tsm_reader_key(w->r, i).n + 20;
        if (bytes < TSM_TOMBSTONE_MEMBER)
            continue;
        TSM_GROW(w->pieces, w->npieces + 3, w->cappieces);
        w->pieces[++w->npieces] = i + 1;
        bytes = 0;
    }
    if (bytes)
        w->pieces[++w->npieces] = w->r->nkeys;
}

static int pack(void *ctx, size_t task, unsigned thread, void **slot, struct tsm_err *err)
{
    const struct work *w = ctx;
    struct tsm_buf plain = {0}, *member = tsm_calloc(1, sizeof *member);
    (void)thread;
    *slot = member;
    for (size_t i = w->pieces[task]; i < w->pieces[task + 1]; i++)
        if (is_marked(w, i))
            tsm_tombstone_entry(&plain, tsm_reader_key(w->r, i), w->d->tmin, w->d->tmax);
    int rc = tsm_tombstone_pack(tsm_buf_view(&plain), member, err);
    tsm_buf_release(&plain);
    return rc;
}

static void drop_member(void *ctx, void *slot)
{
    struct tsm_buf *member = slot;
    (void)ctx;
    if (!member)
        return;
    tsm_buf_release(member);
    tsm_free(member);
}

static int add_member(void *ctx, size_t task, void *slot, struct tsm_err *err)
{
    struct work *w = ctx;
    (void)task;
    int rc = tsm_tombstone_writer_add(&w->writer, slot, err);
    drop_member(NULL, slot);
    return rc;
}

static int write_tombstones(struct work *w, const char *path, char **tmp, struct tsm_err *err)
{
    int rc = tsm_tombstone_writer_open(w->d->fs, path, &w->r->tombstones, w->nmarks, &w->writer, err);
    if (rc != TSM_OK)
        return rc;
    cut_pieces(w);
    struct tsm_parallel p = {
        .jobs = w->d->jobs ? w->d->jobs : 1,
        .tasks = w->npieces,
        .ctx = w,
        .work = pack,
        .emit = add_member,
        .drop = drop_member,
    };
    if (p.jobs > p.tasks)
        p.jobs = (unsigned)p.tasks;
    rc = tsm_parallel_run(&p, err);
    if (rc == TSM_OK)
        return tsm_tombstone_writer_finish(&w->writer, tmp, err);
    tsm_tombstone_writer_abandon(&w->writer);
    return rc;
}

int tsm_delete_prepare(struct tsm_delete *d, const char *path, struct tsm_delete_step *step,
                       struct tsm_err *err)
{
    struct tsm_reader *r;
    *step = (struct tsm_delete_step){.path = tsm_strdup(path)};
    int rc = tsm_reader_open(d->fs, path, &r, err);
    if (rc == TSM_ENOTFOUND)
        return TSM_OK; /* the whole shard is being dropped */
    if (rc == TSM_ECORRUPT)
        return tsm_damage_pass(d->damage, err);
    if (rc != TSM_OK)
        return rc;
    struct work w = {.d = d, .r = r};
    w.marks = tsm_calloc(r->nkeys / 64 + 1, sizeof *w.marks);
    if (d->tmin <= r->tmax && d->tmax >= r->tmin) {
        mark_keys(&w);
        step->keys = w.nmarks;
        step->remove = !w.remains && r->nkeys > 0;
    }
    if (w.nmarks > 0 && !step->remove) {
        char *beside = tsm_tombstone_path(path);
        rc = write_tombstones(&w, beside, &step->tmp, err);
        tsm_free(beside);
    }
    tsm_free(w.marks);
    tsm_free(w.pieces);
    tsm_reader_close(r);
    return rc;
}

/* The TSM file first: its tombstones alone delete nothing, the file alone would have everything back. */
static int remove_both(const struct tsm_fs *fs, const char *path, const char *beside, struct tsm_err *err)
{
    int rc = tsm_fs_remove(fs, path, err);
    if (rc == TSM_OK)
        rc = tsm_fs_sync_parent(fs, path, err);
    if (rc != TSM_OK || !tsm_fs_exists(fs, beside))
        return rc;
    rc = tsm_fs_remove(fs, beside, err);
    return rc == TSM_OK ? tsm_fs_sync_parent(fs, beside, err) : rc;
}

static int install(const struct tsm_fs *fs, struct tsm_delete_step *step, const char *beside,
                   struct tsm_err *err)
{
    int e = fs->rename(fs->ctx, step->tmp, beside);
    if (e < 0)
        return tsm_err_sys(err, -e, "rename %s to %s", step->tmp, beside);
    tsm_free(step->tmp);
    step->tmp = NULL;
    return tsm_fs_sync_parent(fs, beside, err);
}

int tsm_delete_commit(struct tsm_delete *d, struct tsm_delete_step *step, struct tsm_err *err)
{
    if (!step->remove && !step->tmp)
        return TSM_OK;
    char *beside = tsm_tombstone_path(step->path);
    int rc = step->remove ? remove_both(d->fs, step->path, beside, err) : install(d->fs, step, beside, err);
    tsm_free(beside);
    if (rc == TSM_OK) {
        d->keys += step->keys;
        d->files++;
    }
    return rc;
}

void tsm_delete_step_release(const struct tsm_delete *d, struct tsm_delete_step *step)
{
    if (step->tmp)
        d->fs->unlink(d->fs->ctx, step->tmp);
    tsm_free(step->tmp);
    tsm_free(step->path);
    *step = (struct tsm_delete_step){0};
}
