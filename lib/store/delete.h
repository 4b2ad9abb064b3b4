/*
 * store/delete.h: deleting values of a shard: InfluxDB tombstones beside its TSM files, a record in its write-ahead log.
 *
 * The caller holds no lock; the shard's (tsm_path_shard_lock) and those of the log (store/shard_wal.h) are taken for the time of
 * the call. A writer may run beside: what it appends afterwards is newer than the delete.
 *
 * Files are taken in ascending order and each is durable before the next, the log comes last: a value that had been
 * overwritten never comes back, even when the power fails in between. Tombstones are written before that, under temporary names:
 * a writer with a log waits only while they are renamed. A file of which nothing is left is removed instead of getting
 * tombstones.
 */
#ifndef TSM_STORE_DELETE_H
#define TSM_STORE_DELETE_H

#include "base/str.h"
#include "store/damage.h"
#include "sys/fs.h"

struct tsm_delete {
    const struct tsm_fs *fs;
    const char *dir;    /* folder of the shard */
    const char *wal;    /* its log folder; may be missing */
    const char *holder; /* "tsm-query, process 4711" */
    int64_t tmin, tmax; /* inclusive */
    unsigned jobs;      /* threads that pack tombstones; 0: one */
    const struct tsm_damage
        *damage; /* a file or a record that does not check may be passed over; NULL: it ends the delete */
    /* Whether the series is meant. Called for each series key once per file, by one thread at a time, ascending within a file. */
    bool (*wanted)(void *ctx, struct tsm_str series_key);
    void *ctx;
    uint64_t keys, files; /* added to: tombstones written, files that got some or were removed */
};

/* TSM_ELOCKED when a compaction or another delete works on the shard; the message has its name. After any error the delete has been
 * done in the files that come first, or in none: the same call again completes it. */
int tsm_delete_run(struct tsm_delete *d, struct tsm_err *err);

#endif
