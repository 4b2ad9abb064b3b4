/*
 * store/key_walk.c: walking over the keys of several TSM files at once.
 *
 * The files are kept in a list that is sorted by their next keys. Those with the first key are taken, moved on and put back,
 * each next to the one before it if it belongs there: so files with the same keys cost one comparison per key and file,
 * and files with keys of their own cost about one per key.
 */
#include "store/key_walk.h"

#include "base/alloc.h"
#include "base/banned.h"

struct tsm_walk_source {
    struct tsm_str key; /* the next one */
    uint32_t file, position;
    size_t n, forgotten; /* keys */
};

static int compare(const struct tsm_walk_source *a, const struct tsm_walk_source *b)
{
    int c = tsm_str_cmp(a->key, b->key);
    return c ? c : (a->file > b->file) - (a->file < b->file);
}

/* Puts src into the order; it belongs behind the first `from` of it, most likely right there. */
static size_t put(struct tsm_key_walk *w, struct tsm_walk_source *src, size_t from)
{
    size_t to = w->n;
    for (size_t step = 1; from < to; step *= 2) { /* look near first */
        size_t next = from + step - 1 < w->n ? from + step - 1 : w->n - 1;
        if (compare(src, w->order[next]) < 0) {
            to = next;
            break;
        }
        from = next + 1;
    }
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (compare(src, w->order[middle]) < 0)
            to = middle;
        else
            from = middle + 1;
    }
    memmove(w->order + from + 1, w->order + from, (w->n - from) * sizeof(struct tsm_walk_source *));
    w->order[from] = src;
    w->n++;
    return from;
}

static bool load(const struct tsm_key_walk *w, struct tsm_walk_source *src)
{
    if (src->position >= src->n)
        return false;
    src->key = tsm_reader_key(w->files[src->file], src->position);
    return true;
}

void tsm_key_walk_start(struct tsm_key_walk *w, struct tsm_reader *const *files, size_t n)
{
    *w = (struct tsm_key_walk){
        .files = files,
        .sources = tsm_calloc(n + 1, sizeof(struct tsm_walk_source)),
        .order = tsm_calloc(n + 1, sizeof(struct tsm_walk_source *)),
        .places = tsm_calloc(n + 1, sizeof(struct tsm_walk_place)),
        .taken = tsm_calloc(n + 1, sizeof(struct tsm_walk_source *)),
    };
    uint64_t indexes = 0;
    for (size_t i = 0; i < n; i++)
        indexes += files[i] ? files[i]->index_size : 0;
    w->nfiles = n;
    w->forget = indexes > TSM_INDEXES_KEPT;
    for (size_t i = 0; i < n; i++) {
        struct tsm_walk_source *src = &w->sources[i];
        *src = (struct tsm_walk_source){.file = (uint32_t)i, .n = files[i] ? files[i]->nkeys : 0};
        if (load(w, src))
            put(w, src, 0);
    }
}

/* Moves the taken files on and puts them back: ascending, so each mostly comes right behind the one before. */
static void put_back(struct tsm_key_walk *w)
{
    size_t hint = 0;
    for (size_t i = 0; i < w->nplaces; i++) {
        struct tsm_walk_source *src = w->taken[i];
        src->position++;
        if (!load(w, src))
            continue;
        if (hint > 0 && compare(src, w->order[hint - 1]) < 0)
            hint = 0;
        hint = put(w, src, hint) + 1;
    }
    w->nplaces = 0;
}

/* The pages of the indexes that have been gone through need not count as memory any more. */
static void forget(struct tsm_key_walk *w)
{
    for (size_t i = 0; i < w->nfiles; i++) {
        struct tsm_walk_source *src = &w->sources[i];
        if (w->files[i])
            tsm_reader_forget(w->files[i], src->forgotten, src->position, false);
        src->forgotten = src->position;
    }
}

bool tsm_key_walk_next(struct tsm_key_walk *w)
{
    enum { NOW_AND_THEN = 1 << 16 };
    if (w->forget && ++w->keys % NOW_AND_THEN == 0)
        forget(w);
    put_back(w);
    if (w->n == 0)
        return false;
    size_t n = 0;
    while (n < w->n && (n == 0 || tsm_str_eq(w->order[n]->key, w->order[0]->key))) {
        w->taken[n] = w->order[n];
        w->places[n] = (struct tsm_walk_place){w->order[n]->file, w->order[n]->position};
        n++;
    }
    w->nplaces = n;
    w->key = w->order[0]->key;
    w->n -= n;
    memmove(w->order, w->order + n, w->n * sizeof(struct tsm_walk_source *));
    return true;
}

void tsm_key_walk_release(struct tsm_key_walk *w)
{
    tsm_free(w->sources);
    tsm_free(w->order);
    tsm_free(w->places);
    tsm_free(w->taken);
    *w = (struct tsm_key_walk){0};
}
