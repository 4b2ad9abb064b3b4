/*
 * store/repair.h: making damaged files whole again with what still checks in them.
 *
 * A file that is sound is left alone. Of a damaged one a new file takes the place at once, by a rename, and its bytes are kept
 * beside it as NAME.bad (.bad.2, … when that is there already), which are durable before: at any moment the name stands for the
 * damaged file or for the repaired one. A file of which nothing is left is renamed to NAME.bad.
 *
 * - TSM files: the blocks that check and belong to a key (store/salvage.h), in a file with a seal.
 * - Tombstone files: the gzip members that check. What is lost of them lets deleted values come back.
 * - Segments of our log: the records that check; for those that are lost, empty ones keep the sequence whole.
 * - Segments of influxd's log: the records that check.
 * - meta.db is not repaired: a guess there would be worse than an error.
 *
 * Locks: SHARD/lock for the files of a shard, DIR/lock and those of store/shard_wal.h for a log; taken when something has to be
 * changed.
 */
#ifndef TSM_STORE_REPAIR_H
#define TSM_STORE_REPAIR_H

#include "base/err.h"
#include "sys/fs.h"

enum tsm_repair_state {
    TSM_REPAIR_WHOLE,      /* nothing is lost */
    TSM_REPAIR_PART,       /* something is lost */
    TSM_REPAIR_NOTHING,    /* nothing is left; the file was moved aside */
    TSM_REPAIR_IMPOSSIBLE, /* left as it is */
};

/* "whole", "part", "nothing left", "not repaired" */
const char *tsm_repair_state_name(enum tsm_repair_state s);

/* A file that is damaged. Blocks are records in a log, and gzip members in a tombstone file, where each range of times counts as
 * a value. */
struct tsm_repaired {
    const char *path;
    enum tsm_repair_state state;
    const char *cause;   /* what is wrong with it; the first fault */
    const char *kept_as; /* where its bytes are now; NULL in a dry run, or when it was left as it is */
    const char *warning; /* what follows from it, or NULL */
    uint64_t keys, blocks, values;
    uint64_t lost_keys, lost_blocks, lost_bytes;
    int64_t lost_tmin, lost_tmax; /* of lost blocks whose times are known; tmin > tmax: none */
};

struct tsm_repair {
    const struct tsm_fs *fs;
    const char *holder; /* for the locks: "tsm-inspect, process 4711" */
    bool dry_run;
    struct tsm_str db, rp; /* of a data directory look at these alone; empty: all */
    /* A damaged file that has been repaired. An error stops the run. */
    int (*report)(void *ctx, const struct tsm_repaired *r, struct tsm_err *err);
    /* A lost block, for those who want to know more; may be NULL. */
    void (*lost)(void *ctx, const char *line);
    void *ctx;
    /* added to by each call */
    uint64_t files; /* that were looked at */
    uint64_t damaged, lossy;
};

/* A data directory, any other directory with TSM files or logs, or a file. TSM_ELOCKED when a writer, a compaction or a delete is
 * at work where something has to be repaired: what came before is done. */
int tsm_repair_path(struct tsm_repair *r, const char *path, struct tsm_err *err);

#endif
