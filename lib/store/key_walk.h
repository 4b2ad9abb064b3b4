/*
 * store/key_walk.h: walking over the keys of several TSM files at once: for each key, in ascending order, the files that
 * have it. Nothing is kept but a position in each file.
 */
#ifndef TSM_STORE_KEY_WALK_H
#define TSM_STORE_KEY_WALK_H

#include "format/tsm_reader.h"

/* A file that has the present key. */
struct tsm_walk_place {
    uint32_t file;     /* number in the array that was given */
    uint32_t position; /* of the key in the file */
};

struct tsm_key_walk {
    struct tsm_reader *const *files; /* NULL among them are passed over */
    size_t nfiles;
    struct tsm_walk_source *sources;
    struct tsm_walk_source **order; /* ascending by next key, then by file */
    size_t n;
    struct tsm_str key;            /* the present key */
    struct tsm_walk_place *places; /* ascending by file */
    size_t nplaces;
    struct tsm_walk_source **taken; /* those behind places */
    uint64_t keys;                  /* so far */
    bool forget;                    /* what has been gone through, as there is much of it */
};

/* files lives as long as the walk. */
void tsm_key_walk_start(struct tsm_key_walk *w, struct tsm_reader *const *files, size_t n);
/* The next key; false when there are no more. */
bool tsm_key_walk_next(struct tsm_key_walk *w);
void tsm_key_walk_release(struct tsm_key_walk *w);

#endif
