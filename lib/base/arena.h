/* base/arena.h: memory that is freed all at once. A zeroed struct is a valid empty arena. Not thread-safe. */
#ifndef TSM_BASE_ARENA_H
#define TSM_BASE_ARENA_H

#include <stddef.h>

#include "base/str.h"

struct tsm_arena_chunk;

struct tsm_arena {
    struct tsm_arena_chunk *head; /* the chunk that is being filled */
    size_t bytes;                 /* all memory held, for budgets */
};

void *tsm_arena_alloc(struct tsm_arena *a, size_t size);             /* 16-byte aligned, uninitialised */
void *tsm_arena_calloc(struct tsm_arena *a, size_t size);            /* zeroed */
void *tsm_arena_bytes(struct tsm_arena *a, size_t size);             /* unaligned: for text, packs tightly */
struct tsm_str tsm_arena_str(struct tsm_arena *a, struct tsm_str s); /* copy, also terminated */
char *tsm_arena_printf(struct tsm_arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void tsm_arena_release(struct tsm_arena *a); /* frees everything and leaves it empty */

#endif
