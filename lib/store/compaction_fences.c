/* store/compaction_fences.c: blocks of files that a compaction leaves alone. */
#include "store/compaction_fences.h"

#include "base/alloc.h"
#include "base/banned.h"

void tsm_fences_release(struct tsm_fences *f)
{
    for (size_t i = 0; i < f->n; i++)
        tsm_reader_close(f->files[i]);
    tsm_free(f->files);
    *f = (struct tsm_fences){0};
}

void tsm_fence_walk_begin(struct tsm_fence_walk *w, const struct tsm_fences *f)
{
    *w = (struct tsm_fence_walk){
        .fences = f,
        .at = tsm_calloc(f->n + 1, sizeof *w->at),
        .with = tsm_calloc(f->n + 1, sizeof *w->with),
    };
}

void tsm_fence_walk_release(struct tsm_fence_walk *w)
{
    tsm_free(w->at);
    tsm_free(w->with);
    *w = (struct tsm_fence_walk){0};
}

/* The first key >= key at or behind `at`, searched by doubling steps: it is mostly near. */
static size_t seek_from(const struct tsm_reader *r, size_t at, struct tsm_str key)
{
    size_t from = at, to = at, step = 1;
    while (to < r->nkeys && tsm_str_cmp(tsm_reader_key(r, to), key) < 0) {
        from = to + 1;
        to += step;
        step *= 2;
    }
    if (to > r->nkeys)
        to = r->nkeys;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (tsm_str_cmp(tsm_reader_key(r, middle), key) < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

/* Finds the files that have the key. */
static void go_to_key(struct tsm_fence_walk *w, struct tsm_str key)
{
    w->nwith = 0;
    for (size_t i = 0; i < w->fences->n; i++) {
        const struct tsm_reader *r = w->fences->files[i];
        bool back = w->at[i] > 0 && tsm_str_cmp(tsm_reader_key(r, w->at[i] - 1), key) >= 0;
        w->at[i] = seek_from(r, back ? 0 : w->at[i], key);
        if (w->at[i] < r->nkeys && tsm_str_eq(tsm_reader_key(r, w->at[i]), key))
            w->with[w->nwith++] = (struct tsm_fence){r, w->at[i]};
    }
    w->key = key;
}

/* Their number, for w->with. */
static size_t fences_of(struct tsm_fence_walk *w, struct tsm_str key)
{
    if (w->fences->n == 0)
        return 0;
    if (w->key.p != key.p || w->key.n != key.n)
        go_to_key(w, key);
    return w->nwith;
}

const struct tsm_reader *tsm_fence_find(struct tsm_fence_walk *w, struct tsm_str key, int64_t tmin,
                                        int64_t tmax, struct tsm_entry *e)
{
    size_t files = fences_of(w, key);
    for (size_t i = 0; i < files; i++) {
        const struct tsm_fence *f = &w->with[i];
        size_t n = tsm_reader_entry_at(f->file, f->key, 0, tmin);
        if (n == tsm_reader_entries(f->file, f->key))
            continue;
        *e = tsm_reader_entry(f->file, f->key, n);
        if (e->tmin <= tmax)
            return f->file;
    }
    return NULL;
}

bool tsm_fence_next(struct tsm_fence_walk *w, struct tsm_str key, int64_t t, int64_t *begin)
{
    size_t files = fences_of(w, key);
    bool found = false;
    for (size_t i = 0; i < files; i++) {
        const struct tsm_fence *f = &w->with[i];
        size_t n = tsm_reader_entry_at(f->file, f->key, 0, t), entries = tsm_reader_entries(f->file, f->key);
        if (n < entries && tsm_reader_entry(f->file, f->key, n).tmin <= t)
            n++;
        if (n == entries)
            continue;
        int64_t tmin = tsm_reader_entry(f->file, f->key, n).tmin;
        if (!found || tmin < *begin)
            *begin = tmin;
        found = true;
    }
    return found;
}
