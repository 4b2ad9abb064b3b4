/*
 * base/alloc.h: memory.
 *
 * These functions never return NULL: when memory is exhausted they write one line to stderr and end the
 * process with status 1. A tool may be killed at any time without losing what it acknowledged, so
 * this is as safe as any other end, and it keeps a thousand unreachable error paths out of the code.
 * Sizes that come from disk or the network are range-checked before they get here.
 */
#ifndef TSM_BASE_ALLOC_H
#define TSM_BASE_ALLOC_H

#include <stddef.h>

void *tsm_alloc(size_t size);                                /* uninitialised; size 0 gives a valid pointer */
void *tsm_calloc(size_t count, size_t size);                 /* zeroed; the product is checked */
void *tsm_realloc(void *p, size_t size);                     /* p may be NULL */
void *tsm_realloc_array(void *p, size_t count, size_t size); /* the product is checked */
char *tsm_strdup(const char *s);
char *tsm_strndup(const char *s, size_t n);
void tsm_free(void *p); /* NULL is allowed */

/* For zlib's z_stream: zalloc and zfree. Otherwise a want of memory in the midst of data would look like damage. */
void *tsm_zlib_alloc(void *ctx, unsigned count, unsigned size);
void tsm_zlib_free(void *ctx, void *p);

/* Makes room for at least want elements of *array, at least doubling it. */
#define TSM_GROW(array, want, cap)                                                \
    do {                                                                          \
        if ((want) > (cap)) {                                                     \
            (cap) = (want) > 2 * (cap) ? ((want) < 16 ? 16 : (want)) : 2 * (cap); \
            (array) = tsm_realloc_array((array), (cap), sizeof *(array));         \
        }                                                                         \
    } while (0)

#endif
