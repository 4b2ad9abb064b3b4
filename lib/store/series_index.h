/*
 * store/series_index.h: series in memory by name: a hash table, open addressing, at most 3/4 full.
 *
 * Entries belong to the caller and begin with a struct tsm_series_name, whose text stays in place as long as the
 * index. Nothing is ever removed. Finding is inline, as every point of an ingest passes it; in time order each
 * point hits another series, so there are prefetches for whoever looks up many at once.
 *
 * A B-tree takes less memory and is many times slower in everything but prefix scans, which no tool needs in memory: see
 * tests/bench/series_index.c, which measures both behind one interface.
 */
#ifndef TSM_STORE_SERIES_INDEX_H
#define TSM_STORE_SERIES_INDEX_H

#include "base/str.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct tsm_series_name {
    const char *p;
    uint32_t n;
};

struct tsm_series_slot {
    uint64_t hash;
    struct tsm_series_name *entry; /* NULL: free */
};

struct tsm_series_index {
    struct tsm_series_slot *slots;
    size_t mask; /* number of slots - 1 */
    size_t used;
};

void tsm_series_index_init(struct tsm_series_index *x);
void tsm_series_index_release(struct tsm_series_index *x); /* accepts a zeroed index */
/* name must not be in the index. hash is tsm_hash() of it. */
void tsm_series_index_insert(struct tsm_series_index *x, struct tsm_series_name *entry, uint64_t hash);
size_t tsm_series_index_bytes(const struct tsm_series_index *x); /* without the entries */

/* The entry of that name, or NULL. */
static inline struct tsm_series_name *tsm_series_index_find(const struct tsm_series_index *x,
                                                            struct tsm_str name, uint64_t hash)
{
    for (size_t i = hash & x->mask;; i = (i + 1) & x->mask) {
        const struct tsm_series_slot *s = &x->slots[i];
        if (!s->entry)
            return NULL;
        if (s->hash == hash && s->entry->n == name.n && memcmp(s->entry->p, name.p, name.n) == 0)
            return s->entry;
    }
}

/* The entry that is most probably the one of this hash, or NULL: a hint, for prefetching. */
static inline struct tsm_series_name *tsm_series_index_guess(const struct tsm_series_index *x, uint64_t hash)
{
    return x->slots[hash & x->mask].entry;
}

static inline void tsm_series_index_prefetch(const struct tsm_series_index *x, uint64_t hash)
{
    __builtin_prefetch(&x->slots[hash & x->mask]);
}

#endif
