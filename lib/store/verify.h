/*
 * store/verify.h: proving that data on disk is whole: every checksum, every block decoded and compared with
 * its index, the order of keys and blocks, overlap inside the ordered set, tombstones, log
 * segments (influxd's and ours), meta.db.
 *
 * All faults are reported, not the first. Files are opened one shard at a time; memory is 8 bytes per key of
 * the shard and a few blocks per thread.
 */
#ifndef TSM_STORE_VERIFY_H
#define TSM_STORE_VERIFY_H

#include "base/err.h"
#include "sys/fs.h"

enum tsm_finding {
    TSM_FINDING_FAULT,      /* damage */
    TSM_FINDING_UNREADABLE, /* the disk or a permission was in the way */
    TSM_FINDING_NOTE,       /* worth knowing, harmless */
};

struct tsm_verify_stats {
    uint64_t files;                       /* TSM files */
    uint64_t tombstones;                  /* tombstone files */
    uint64_t segments;                    /* of logs, influxd's and ours */
    uint64_t metas;                       /* meta.db files */
    uint64_t keys, blocks, values, bytes; /* in TSM files */
    uint64_t faults, unreadable, notes;
};

struct tsm_verify {
    const struct tsm_fs *fs;
    unsigned jobs;
    struct tsm_str db, rp; /* of a data directory look at these alone; empty: all */
    /* One finding: "PATH: offset N: cause", printable, without a newline. Called by one thread at a time; an
     * error stops the run. */
    int (*report)(void *ctx, enum tsm_finding kind, const char *line, struct tsm_err *err);
    void *ctx;
    struct tsm_verify_stats stats; /* added to by each call */
};

/*
 * Verifies a file (TSM, tombstone, log segment, meta.db; by its name, anything else is taken for TSM) or a
 * directory with all below it. TSM_EUSAGE when db or rp is given and path is not a data directory. TSM_OK
 * also when there were faults; TSM_ENOTFOUND when path does not exist or holds nothing to verify.
 */
int tsm_verify_path(struct tsm_verify *v, const char *path, struct tsm_err *err);

#endif
