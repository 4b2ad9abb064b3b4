/*
 * store/slab.h: the memory of a memtable: pieces of 64 bytes, doubled up to any size, that can be given back
 * one by one for reuse and are freed all together.
 *
 * Every piece is aligned to 64 bytes, a cache line. A zeroed struct is a valid empty slab. Not thread-safe.
 */
#ifndef TSM_STORE_SLAB_H
#define TSM_STORE_SLAB_H

#include <stddef.h>
#include <stdint.h>

enum {
    TSM_SLAB_MIN = 64,
    TSM_SLAB_CLASSES = 40,
};

struct tsm_slab_page;
struct tsm_slab_piece;

struct tsm_slab {
    struct tsm_slab_page *pages;
    uint8_t *next, *end; /* what is left of the newest page */
    struct tsm_slab_piece *free[TSM_SLAB_CLASSES];
    size_t bytes; /* all memory held, for budgets */
};

/* The smallest class whose pieces (64 << class bytes) hold size bytes. */
unsigned tsm_slab_class(size_t size);
void *tsm_slab_alloc(struct tsm_slab *s, unsigned class); /* uninitialised */
void tsm_slab_free(struct tsm_slab *s, void *p, unsigned class);
void tsm_slab_release(struct tsm_slab *s);

#endif
