/* store/key_table.c: the keys of a shard in files and memory, numbered. */
#include <stdatomic.h>

#include "base/alloc.h"
#include "base/sort.h"
#include "store/shard_cache.h"
#include "base/banned.h"

struct tsm_extra_texts *tsm_extra_texts_new(void)
{
    struct tsm_extra_texts *t = tsm_calloc(1, sizeof *t);
    atomic_init(&t->shares, 1);
    return t;
}

void tsm_extra_texts_free(struct tsm_extra_texts *t)
{
    if (!t || atomic_fetch_sub(&t->shares, 1) > 1)
        return;
    tsm_arena_release(&t->arena);
    tsm_free(t);
}

struct tsm_key_table *tsm_key_table_share(struct tsm_key_table *t)
{
    atomic_fetch_add(&t->shares, 1);
    return t;
}

void tsm_key_table_free(struct tsm_key_table *t)
{
    if (!t || atomic_fetch_sub(&t->shares, 1) > 1)
        return;
    if (t->nextras) {
        tsm_free(t->places);
        tsm_free(t->first);
    }
    tsm_free(t->extras);
    tsm_extra_texts_free(t->texts);
    tsm_open_files_close(t->files);
    tsm_free(t);
}

static int by_key(const void *a, const void *b)
{
    return tsm_str_cmp(((const struct tsm_extra_key *)a)->key, ((const struct tsm_extra_key *)b)->key);
}

/* Where a key belongs among those from `from` on. */
static size_t find_place(const struct tsm_extra_key *keys, size_t from, size_t n, struct tsm_str key)
{
    while (from < n) {
        size_t middle = from + (n - from) / 2;
        if (tsm_str_cmp(keys[middle].key, key) < 0)
            from = middle + 1;
        else
            n = middle;
    }
    return from;
}

/* Both ascending, without common keys; b has few, mostly. */
static void merge_extras(struct tsm_key_table *t, const struct tsm_extra_key *a, size_t na,
                         const struct tsm_extra_key *b, size_t nb)
{
    size_t at = 0;
    t->extras = tsm_realloc_array(NULL, na + nb, sizeof *t->extras);
    for (size_t i = 0; i < nb; i++) {
        size_t to = na ? find_place(a, at, na, b[i].key) : 0;
        if (to > at)
            memcpy(t->extras + t->nextras, a + at, (to - at) * sizeof *a);
        t->nextras += to - at;
        at = to;
        t->extras[t->nextras++] = b[i];
    }
    if (na > at)
        memcpy(t->extras + t->nextras, a + at, (na - at) * sizeof *a);
    t->nextras += na - at;
}

/* The first of the files' keys from `from` on that is behind the key: near `from`, mostly. */
static size_t seek(const struct tsm_shard *files, size_t from, struct tsm_str key)
{
    size_t step = 1, to = from;
    while (to < files->nkeys && tsm_str_cmp(tsm_shard_key(files, to), key) < 0) {
        from = to + 1;
        to += step;
        step *= 2;
    }
    if (to > files->nkeys)
        to = files->nkeys;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (tsm_str_cmp(tsm_shard_key(files, middle), key) < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

struct numbering {
    struct tsm_key_table *t;
    size_t nplaces;
};

/* Keys [from, to) of the files. */
static void add_files(struct numbering *n, size_t from, size_t to)
{
    struct tsm_key_table *t = n->t;
    const struct tsm_open_files *o = t->files;
    if (from == to)
        return;
    if (!o->places) {
        for (size_t i = from; i < to; i++) {
            t->first[t->nkeys++] = (uint32_t)n->nplaces;
            t->places[n->nplaces++] = (struct tsm_place){0, (uint32_t)i};
        }
        return;
    }
    uint32_t first = o->first[from], count = o->first[to] - first;
    memcpy(t->places + n->nplaces, o->places + first, count * sizeof *t->places);
    for (size_t i = from; i < to; i++)
        t->first[t->nkeys++] = (uint32_t)n->nplaces + (o->first[i] - first);
    n->nplaces += count;
}

static void number_keys(struct tsm_key_table *t)
{
    const struct tsm_open_files *o = t->files;
    struct tsm_shard files = {
        .files = o->files, .nfiles = o->nfiles, .nkeys = o->nkeys, .places = o->places, .first = o->first};
    struct numbering n = {t, 0};
    size_t nplaces = (o->places ? o->first[o->nkeys] : o->nkeys) + t->nextras, at = 0;
    t->first = tsm_realloc_array(NULL, o->nkeys + t->nextras + 1, sizeof *t->first);
    t->places = tsm_realloc_array(NULL, nplaces, sizeof *t->places);
    for (size_t i = 0; i < t->nextras; i++) {
        size_t to = seek(&files, at, t->extras[i].key);
        add_files(&n, at, to);
        at = to;
        t->first[t->nkeys++] = (uint32_t)n.nplaces;
        t->places[n.nplaces++] = (struct tsm_place){(uint32_t)o->nfiles, (uint32_t)i};
    }
    add_files(&n, at, o->nkeys);
    t->first[t->nkeys] = (uint32_t)n.nplaces;
}

struct tsm_key_table *tsm_key_table_new(struct tsm_open_files *files, struct tsm_extra_texts *texts,
                                        const struct tsm_key_table *old, struct tsm_extra_key *fresh,
                                        size_t nfresh)
{
    struct tsm_key_table *t = tsm_calloc(1, sizeof *t);
    atomic_init(&t->shares, 1);
    t->files = tsm_open_files_share(files);
    t->texts = texts;
    atomic_fetch_add(&texts->shares, 1);
    tsm_sort(fresh, nfresh, sizeof *fresh, by_key);
    merge_extras(t, old ? old->extras : NULL, old ? old->nextras : 0, fresh, nfresh);
    if (t->nextras) {
        number_keys(t);
        return t;
    }
    t->nkeys = files->nkeys;
    t->places = files->places;
    t->first = files->first;
    return t;
}
