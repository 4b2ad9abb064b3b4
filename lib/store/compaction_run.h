/*
 * store/compaction_run.h: running one compaction. The caller holds the shard's lock (tsm_path_shard_lock).
 *
 * Key by key the inputs are merged (store/scan.h): a block that nothing overlaps and no tombstone cuts is copied as it is,
 * neighbours that are much too small are joined, only what overlaps is decoded and merged. The output is written under a
 * temporary name, fsynced, read again and checked: keys and times in order, as many points as the inputs have less what was
 * overwritten and deleted, and no overlap with a file of the ordered set that is no input. Then it is renamed, and the
 * inputs are unlinked in ascending order, each durably before the next: a file that is left over by a crash is then never
 * one whose values have been overwritten by one that is gone.
 *
 * The output names its inputs (origins, format/tsm_file.h). So what a crash between rename and unlink left is known,
 * and tsm_compaction_clean() removes it.
 */
#ifndef TSM_STORE_COMPACTION_RUN_H
#define TSM_STORE_COMPACTION_RUN_H

#include "store/compaction.h"
#include "store/compaction_check.h"
#include "store/damage.h"
#include "store/room.h"
#include "sys/fs.h"

struct tsm_compaction_figures {
    uint64_t compactions, inputs, outputs, moved, dropped; /* files, but for the first */
    uint64_t copied, joined, merged;                       /* blocks of the inputs, by what became of them */
    uint64_t copied_bytes, joined_bytes, merged_bytes;
    uint64_t read_bytes, written_bytes;    /* of files */
    uint64_t points, overwritten, deleted; /* points in the outputs, and what is no longer there */
};

struct tsm_compaction_run {
    const struct tsm_fs *fs;
    const char *dir; /* folder of the shard */
    unsigned jobs;
    size_t memory;
    uint64_t io_limit;          /* bytes written per second; 0: none */
    struct tsm_reserve reserve; /* of the disk, that an output leaves free */
    bool (*stop)(
        void *ctx); /* asked now and then: true abandons the compaction with TSM_ESTOP; may be NULL */
    void *ctx;
    struct tsm_compaction_figures figures; /* added to by each call */
};

/* Removes unfinished outputs and inputs of compactions that have been finished. */
int tsm_compaction_clean(struct tsm_compaction_run *r, struct tsm_err *err);

/* Checks and runs a merge, move or drop. TSM_ECORRUPT names the damaged input, which stays where it is; nothing has changed
 * then, nor after any other error. TSM_ENOSPC when there is not room for the output. */
int tsm_compaction_execute(struct tsm_compaction_run *r, const struct tsm_compaction *c, struct tsm_err *err);

#endif
