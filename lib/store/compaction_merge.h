/*
 * store/compaction_merge.h: the inputs of a compaction written into one file, and that file read again and checked.
 */
#ifndef TSM_STORE_COMPACTION_MERGE_H
#define TSM_STORE_COMPACTION_MERGE_H

#include "format/tsm_writer.h"
#include "store/compaction_fences.h"
#include "store/compaction_run.h"
#include "store/shard.h"

struct tsm_merge {
    const struct tsm_compaction_run *run; /* jobs, memory, io_limit, stop */
    const struct tsm_shard *inputs;
    const struct tsm_fences *fences;
    bool ordered;                          /* the output belongs to the ordered set */
    struct tsm_compaction_figures figures; /* blocks, bytes and points */
    uint64_t in_points;                    /* of the inputs, by the headers of their blocks */
    uint8_t *encoded; /* a bit for each block of the output, in its order: it is no copy */
    size_t nblocks, capencoded;
};

void tsm_merge_release(struct tsm_merge *m);

/* Writes all keys into w. TSM_ECORRUPT names a damaged block of an input; TSM_ELIMIT: more than a TSM file holds. */
int tsm_merge_write(struct tsm_merge *m, struct tsm_writer *w, struct tsm_err *err);
/* Checks the file at path, which has been written: the CRC, type and times of each block, their number of values against the
 * figures, and that nothing overlaps a fence but what did so before. TSM_EIO with what is wrong; TSM_ECORRUPT when it is an
 * input, whose blocks are copied unseen: it names the block. */
int tsm_merge_verify(struct tsm_merge *m, const char *path, struct tsm_err *err);

#endif
