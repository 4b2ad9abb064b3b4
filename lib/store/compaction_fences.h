/*
 * store/compaction_fences.h: the files of the ordered set that a compaction leaves alone. No block of its output may reach over
 * one of theirs, so blocks on both sides of one are not joined.
 */
#ifndef TSM_STORE_COMPACTION_FENCES_H
#define TSM_STORE_COMPACTION_FENCES_H

#include "format/tsm_reader.h"

struct tsm_fences {
    struct tsm_reader **files;
    size_t n, cap;
};

void tsm_fences_release(struct tsm_fences *f); /* closes the files */

/* A place in the fences, for one thread that asks for ascending keys. */
struct tsm_fence_walk {
    const struct tsm_fences *fences;
    size_t *at;         /* per file: the first key that may be asked for next */
    struct tsm_str key; /* the one that `with` is for; p NULL: none */
    struct tsm_fence {
        const struct tsm_reader *file;
        size_t key; /* its number there */
    } * with;       /* the files that have it */
    size_t nwith;
};

void tsm_fence_walk_begin(struct tsm_fence_walk *w, const struct tsm_fences *f);
void tsm_fence_walk_release(struct tsm_fence_walk *w); /* accepts a zeroed one */

/* A block of key in some file that has times in [tmin, tmax]: the file, or NULL when there is none; *e is that block. The key
 * stays where it is until the next call. */
const struct tsm_reader *tsm_fence_find(struct tsm_fence_walk *w, struct tsm_str key, int64_t tmin,
                                        int64_t tmax, struct tsm_entry *e);

/* The first time behind t at which a block of key begins in some file: what has values on both sides of it must not be in
 * one block. False when there is none. (A fence that begins before t and reaches over it overlapped an input: InfluxDB's
 * files may.) */
bool tsm_fence_next(struct tsm_fence_walk *w, struct tsm_str key, int64_t t, int64_t *begin);

#endif
