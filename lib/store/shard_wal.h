/*
 * store/shard_wal.h: the write-ahead log of a shard, from the side of those who write: the engine, which appends
 * points and removes what has been flushed, and a delete, which may come from another process while the engine
 * runs.
 *
 *   wal/DB/RP/SHARD/000000001.log   segments: format/wal.h
 *   wal/DB/RP/SHARD/append.lock     held for the time of one append
 *   wal/DB/RP/SHARD/flush.lock      held for the time of one flush, removal of its segments included
 *
 * Rules, which together keep a delete exact beside a running writer:
 * - Records get their order by append.lock. Before a writer appends, it reads what others have appended since (a delete)
 *   and applies it to its memtable. So all points in a memtable are older than a delete that it has not applied yet.
 * - A flush takes flush.lock, then applies the deletes that its memtable has not seen, then writes its files, then
 *   removes the segments that it covers.
 * - A delete holds the shard's lock (tsm_path_shard_lock), then flush.lock, then append.lock, all to its end. So
 *   all points of the shard are in TSM files or in the log while it works, and none is on its way between the two.
 * - Segments are removed in ascending order, each removal durable before the next: what a loss of power leaves is
 *   always the newest part of the log, and replaying that over the files gives the right values.
 * - A segment belongs to one memtable: a new one is begun when the memtable is frozen, and when one has become large, so
 *   that whoever reads a log does not need memory for all of it.
 */
#ifndef TSM_STORE_SHARD_WAL_H
#define TSM_STORE_SHARD_WAL_H

#include "format/wal.h"
#include "sys/fs.h"

struct tsm_shard_wal;

/* Deletes that another process has appended. */
typedef int tsm_wal_remove_fn(void *ctx, struct tsm_str tsm_key, int64_t tmin, int64_t tmax,
                              struct tsm_err *err);

/* Opens the log in folder dir for appending, making the folder, durably. What is in it is left there: appending begins in a new
 * segment behind it, with the next sequence. */
int tsm_shard_wal_open(const struct tsm_fs *fs, const char *dir, struct tsm_shard_wal **w,
                       struct tsm_err *err);
void tsm_shard_wal_close(struct tsm_shard_wal *w); /* NULL is allowed */

/* Appends a record of points: visible to readers when it returns, durable after tsm_shard_wal_sync(). Before, it calls remove
 * for what others have deleted since the last call. When the disk is full (TSM_ENOSPC) nothing is left of the record and it
 * may be tried again. */
int tsm_shard_wal_append(struct tsm_shard_wal *w, struct tsm_str payload, tsm_wal_remove_fn *remove,
                         void *ctx, struct tsm_err *err);
/* fsyncs what has been appended since the last time. */
int tsm_shard_wal_sync(struct tsm_shard_wal *w, struct tsm_err *err);
/* Whether there is nothing for it to do; false for good once it has failed. */
bool tsm_shard_wal_synced(struct tsm_shard_wal *w);
uint64_t
tsm_shard_wal_last_size(const struct tsm_shard_wal *w); /* bytes of the record that was appended last */

/* The memtable is frozen: fsyncs and ends the segment, calls remove for what others have deleted so far. *covered is the number of the last
 * segment that belongs to the frozen memtable, *sequence that of the last record it has seen. */
int tsm_shard_wal_freeze(struct tsm_shard_wal *w, uint32_t *covered, uint64_t *sequence,
                         tsm_wal_remove_fn *remove, void *ctx, struct tsm_err *err);

/* Around a flush, in the flush's thread, while another thread may append. begin waits for flush.lock (it has not got it
 * when it fails) and calls remove for the deletes behind `sequence`. end, with flushed true (the files are durable), removes the segments up to `covered`; it
 * always gives the lock back. */
int tsm_shard_wal_flush_begin(struct tsm_shard_wal *w, uint64_t sequence, tsm_wal_remove_fn *remove,
                              void *ctx, struct tsm_err *err);
int tsm_shard_wal_flush_end(struct tsm_shard_wal *w, uint32_t covered, bool flushed, struct tsm_err *err);

/* The numbers of the segments in folder dir, ascending (tsm_free). TSM_ENOTFOUND when there is no such folder. */
int tsm_wal_list(const struct tsm_fs *fs, const char *dir, uint32_t **numbers, size_t *n,
                 struct tsm_err *err);
/* fsyncs what a killed writer may have left visible but not durable. */
int tsm_wal_settle(const struct tsm_fs *fs, const char *dir, const uint32_t *numbers, size_t n,
                   struct tsm_err *err);
/* Removes these segments in this order, each durably before the next. */
int tsm_wal_remove(const struct tsm_fs *fs, const char *dir, const uint32_t *numbers, size_t n,
                   struct tsm_err *err);

/* ---- a delete ---- */

/* Holds flush.lock and append.lock of the log in folder dir. *lock is empty, and all is well, when there is no such folder. */
struct tsm_wal_guard {
    const struct tsm_fs *fs;
    char *dir;
    struct tsm_lock flush, append;
};

int tsm_wal_guard_take(const struct tsm_fs *fs, const char *dir, struct tsm_wal_guard *g,
                       struct tsm_err *err);
/* Appends a delete (a payload of tsm_wal_delete_begin) to the newest segment, durably. */
int tsm_wal_guard_delete(struct tsm_wal_guard *g, struct tsm_str payload, struct tsm_err *err);
void tsm_wal_guard_release(struct tsm_wal_guard *g); /* accepts a zeroed guard */

#endif
