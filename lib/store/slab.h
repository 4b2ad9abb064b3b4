/*
 * store/slab.h: the memory of a memtable: pieces of 64 bytes, doubled up to any size, that can be given back
 * one by one for reuse and are freed all together.
 *
 * Every piece is aligned to 64 bytes, a cache line. A zeroed struct is a valid empty slab. Not thread-safe.
 *
 * While somebody holds the slab, what is given back stays as it is: they may still read it. It becomes free when all are gone who
 * held the slab at that time. There are two epochs for that. New holders and what is given back belong to the present one, which
 * changes when nobody holds the other any more: whoever could read what was given back in that one is gone by then.
 */
#ifndef TSM_STORE_SLAB_H
#define TSM_STORE_SLAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TSM_SLAB_MIN = 64,
    TSM_SLAB_CLASSES = 40,
};

struct tsm_slab_page;
struct tsm_slab_piece;

/* Pieces that were given back while the slab was held. */
struct tsm_slab_kept {
    struct tsm_slab_kept_piece *items;
    size_t n, cap;
    size_t holders;
};

struct tsm_slab {
    struct tsm_slab_page *pages;
    uint8_t *next, *end; /* what is left of the newest page */
    struct tsm_slab_piece *free[TSM_SLAB_CLASSES];
    struct tsm_slab_kept kept[2]; /* by epoch */
    unsigned epoch;               /* the present one: 0 or 1 */
    size_t bytes;                 /* all memory held, for budgets */
};

/* The smallest class whose pieces (64 << class bytes) hold size bytes. */
unsigned tsm_slab_class(size_t size);
void *tsm_slab_alloc(struct tsm_slab *s, unsigned class); /* uninitialised */
void tsm_slab_free(struct tsm_slab *s, void *p, unsigned class);
/* From now on nothing is reused that is in use now, until the end; hold gives the epoch for it. */
unsigned tsm_slab_hold(struct tsm_slab *s);
void tsm_slab_unhold(struct tsm_slab *s, unsigned epoch);
static inline bool tsm_slab_is_held(const struct tsm_slab *s)
{
    return s->kept[0].holders + s->kept[1].holders > 0;
}
void tsm_slab_release(struct tsm_slab *s);

#endif
