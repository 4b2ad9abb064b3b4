/*
 * store/difference.h: what one set of points has that another has not, as line protocol.
 *
 * Both sides are a number of shards, the values of a key in order of time over all of them. They are walked side by side, key by
 * key; overlap is resolved and tombstones are applied (store/scan.h). Memory: the decoded blocks of two keys.
 */
#ifndef TSM_STORE_DIFFERENCE_H
#define TSM_STORE_DIFFERENCE_H

#include "store/shard.h"

struct tsm_difference {
    /* Takes whole lines, one field each. An error stops the run. */
    int (*write)(void *ctx, struct tsm_str text, struct tsm_err *err);
    void *ctx;
    /* added to by each call, in values */
    uint64_t missing;   /* that the second side has and the first has not: written */
    uint64_t different; /* that both have with another value or type: that of the second is written */
    uint64_t extra;     /* that only the first one has */
    uint64_t equal;
};

/* From a to b. TSM_EUSAGE when the shards of a side overlap in time, so that they do not belong to one policy. */
int tsm_difference_run(struct tsm_difference *d, struct tsm_shard *const *a, size_t na,
                       struct tsm_shard *const *b, size_t nb, struct tsm_err *err);

#endif
