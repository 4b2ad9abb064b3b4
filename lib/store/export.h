/*
 * store/export.h: all points of a shard as line protocol, series by series, each in time order, the fields of
 * one instant joined in one line (up to 128 of them). Overlap is resolved and tombstones are applied.
 */
#ifndef TSM_STORE_EXPORT_H
#define TSM_STORE_EXPORT_H

#include "store/shard.h"

struct tsm_export {
    unsigned jobs;
    int64_t tmin, tmax;              /* inclusive */
    const struct tsm_damage *damage; /* that of the shard; may be NULL */
    /* Takes whole lines, in order. An error stops the run. */
    int (*write)(void *ctx, struct tsm_str text, struct tsm_err *err);
    void *ctx;
    uint64_t lines, values; /* added to by each call */
};

/* Memory: the text and the decoded values of about SLICE_BLOCKS (export.c) blocks for each thread. */
int tsm_export_shard(struct tsm_export *e, const struct tsm_shard *shard, struct tsm_err *err);

#endif
