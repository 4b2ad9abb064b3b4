/*
 * store/overlap.h: which of several files have blocks of one key that overlap in time, and what a merge of files would do
 * to their blocks; from their indexes alone.
 */
#ifndef TSM_STORE_OVERLAP_H
#define TSM_STORE_OVERLAP_H

#include "format/tsm_reader.h"

/* A zeroed struct is valid: no files. */
struct tsm_overlaps {
    size_t n, words;
    uint64_t *bits; /* n rows of `words` words */
    uint32_t *most; /* of each file: entries of the key that has the most */
};

/* files may hold NULL, which overlaps nothing. Blocks that tombstones delete count as well. */
void tsm_overlaps_find(struct tsm_overlaps *o, struct tsm_reader *const *files, size_t n);
bool tsm_overlaps_get(const struct tsm_overlaps *o, size_t a, size_t b);
void tsm_overlaps_release(struct tsm_overlaps *o);

/* Blocks of one file, and those of which tombstones leave nothing. */
struct tsm_dead_blocks {
    uint64_t blocks, dead;
    uint64_t dead_bytes;
    uint64_t cut; /* of which they leave a part */
};
struct tsm_dead_blocks tsm_dead_blocks_count(const struct tsm_reader *r);

/* What would become of the blocks of a merge; the ones that are deleted are not in it. */
struct tsm_merge_estimate {
    uint64_t copy, join, merge;
};
struct tsm_merge_estimate tsm_merge_estimate(struct tsm_reader *const *files, size_t n);

#endif
