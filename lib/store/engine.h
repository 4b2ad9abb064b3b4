/*
 * store/engine.h: the writer of a data directory: batches of parsed points in, durable TSM files out.
 *
 * One engine per directory (it holds DIR/lock). tsm_engine_write() may be called by one thread at a time;
 * flushing runs on threads of the engine's own while writing goes on into a second memtable. Points of one
 * series, field and timestamp: the last one written wins. Points are durable after tsm_engine_sync() has
 * returned TSM_OK; with a log also before, as tsm_engine_durable() says.
 */
#ifndef TSM_STORE_ENGINE_H
#define TSM_STORE_ENGINE_H

#include "format/line.h"
#include "format/meta_db.h"
#include "store/delete.h"
#include "store/room.h"
#include "store/shard.h"
#include "sys/fs.h"

struct tsm_engine;

struct tsm_engine_options {
    const char *dir;
    struct tsm_str
        database; /* tsm_engine_write() writes to; empty: none, there are tsm_engine_write_to() and tsm_engine_read_shard() */
    struct tsm_str rp;  /* empty: the database's default, created as autogen when the database is new */
    const char *holder; /* for the lock file: "tsm-ingest" */
    size_t memory;      /* budget of all memtables in bytes */
    size_t cache;       /* memory for shards that are kept open for readers, in bytes; 0: some */
    unsigned jobs;      /* threads that encode a flush */
    bool dry_run;       /* parse and check, write nothing */
    /* A log: what has been written is visible to readers at once, and durable after each batch (0) or when so many
     * nanoseconds have passed. Batches, also empty ones, have to keep coming for that. */
    bool wal;
    int64_t sync_interval;
    int64_t
        flush_interval; /* points go to TSM files after so many nanoseconds at the latest; 0: by memory alone */
    /* Something the user should know that does not stop the work: a damaged file. May be NULL; called by any
     * thread. */
    void (*warn)(void *ctx, const char *message);
    void *warn_ctx;
    /* What happens when the disk is full. NULL: it is an error like any other. Otherwise nothing is taken in beyond the
     * reserve, and what fails for want of room is tried again, until room() gives up. */
    tsm_room_fn *room;
    void *room_ctx;
    struct tsm_reserve reserve;
};

struct tsm_engine_stats {
    uint64_t points;            /* field values accepted */
    uint64_t rows;              /* lines accepted */
    uint64_t series;            /* distinct series in this run; in very large numbers an estimate */
    uint64_t rejected;          /* lines */
    uint64_t late;              /* values that went to out-of-order files */
    uint64_t dropped_fields;    /* named "time", which InfluxDB does not store either */
    uint64_t durable_rows;      /* in files or in the fsynced log */
    uint64_t files, file_bytes; /* written */
    uint64_t waits;             /* times the writer waited for a flush */
    uint64_t log_records, log_bytes, log_syncs;
    uint64_t replayed; /* rows that an earlier run had left in the log */
};

/* Takes the lock, loads meta.db, creates database and policy when missing, removes left-over *.tmp of a
 * killed writer, and takes what it had in the log of the policy (without a database: of all policies) into TSM files. */
int tsm_engine_open(const struct tsm_fs *fs, const struct tsm_engine_options *opt, struct tsm_engine **e,
                    struct tsm_err *err);

/* Takes in a batch; an empty one gives occasion for what is due by the clock. Points that cannot be stored (invalid
 * key, field type conflict, outside the retention policy) go to reject with influxd's message; when some fields of a
 * point conflict the whole point is rejected. The batch's texts may be freed after the return. TSM_ENOSPC may mean that
 * there is no room for the batch and room() gave up: what was taken in before can still be synced. Any other error
 * means that a flush failed: nothing later will succeed. */
int tsm_engine_write(struct tsm_engine *e, const struct tsm_points *batch, tsm_reject_fn *reject, void *ctx,
                     struct tsm_err *err);

/* Flushes everything and waits until it is fsynced and visible. When that fails, at least the log is fsynced. */
int tsm_engine_sync(struct tsm_engine *e, struct tsm_err *err);

/* How far the input is durable: tsm_engine_mark() gives a number for what has been written so far, never one below an
 * earlier one, and it is durable (in TSM files or in the fsynced log) once tsm_engine_durable() gives that number or a
 * larger one. Batches that were written later may be durable before. Called by the thread that writes. */
uint64_t tsm_engine_mark(const struct tsm_engine *e);
uint64_t tsm_engine_durable(struct tsm_engine *e); /* without a log: in TSM files */

/* ---- for a daemon: many databases, reading beside the writer ---- */

/* A database's policy that points go to. */
struct tsm_engine_policy;

/* The policy of that name, rp empty: the default. TSM_EQUERY with influxd's text when there is none. The result is valid
 * until the next change of meta.db. By the thread that writes, as all below unless they say otherwise. */
int tsm_engine_policy(struct tsm_engine *e, struct tsm_str db, struct tsm_str rp,
                      struct tsm_engine_policy **policy, struct tsm_err *err);
/* As tsm_engine_write(), into a policy, which may be NULL with an empty batch. */
int tsm_engine_write_to(struct tsm_engine *e, struct tsm_engine_policy *policy,
                        const struct tsm_points *batch, tsm_reject_fn *reject, void *ctx,
                        struct tsm_err *err);
/* Begins to take what has been written so far into files, and does not wait (with a log: for the flush before). */
int tsm_engine_flush(struct tsm_engine *e, struct tsm_err *err);
/* Waits until everything up to mark is in files, or a flush has failed; tsm_engine_flush() has been called since mark. Any
 * thread. */
int tsm_engine_wait_flushed(struct tsm_engine *e, uint64_t mark, struct tsm_err *err);
/* Whether a write would have to wait for a flush now. Any thread. */
bool tsm_engine_is_busy(struct tsm_engine *e);

/* A copy of meta.db, the caller's. Any thread. */
int tsm_engine_meta(struct tsm_engine *e, struct tsm_meta *m, struct tsm_err *err);
/* A number that changes whenever that does. Any thread. */
uint64_t tsm_engine_meta_version(struct tsm_engine *e);
/* Calls change with meta.db, and makes what it changed durable. When change or the disk fails nothing has changed. */
int tsm_engine_change_meta(struct tsm_engine *e,
                           int (*change)(void *ctx, struct tsm_meta *m, struct tsm_err *err), void *ctx,
                           struct tsm_err *err);
/* Database and policy in whose folder a shard is that meta.db does not know any more, in the arena; empty: there is none. */
int tsm_engine_find_folder(struct tsm_engine *e, uint64_t shard, struct tsm_arena *a, struct tsm_str *db,
                           struct tsm_str *rp, struct tsm_err *err);
/* Waits some seconds for compactions. Removes what memory and disk hold of a database, a policy (rp not empty) or one shard (not 0) that meta.db has no longer. */
int tsm_engine_drop(struct tsm_engine *e, struct tsm_str db, struct tsm_str rp, uint64_t shard,
                    struct tsm_err *err);
/* Deletes values of a shard, in memory and in files. The engine fills in fs, dir and wal of d. For a compaction in the shard it
 * waits some seconds, then gives TSM_ELOCKED. */
int tsm_engine_delete(struct tsm_engine *e, struct tsm_str db, struct tsm_str rp, uint64_t shard,
                      struct tsm_delete *d, struct tsm_err *err);

/*
 * A shard as it is now, with what is not in files yet, for reading by any thread. It is a snapshot: rows that are written
 * later are not seen, and a row is seen as a whole or not at all. TSM_ENOTFOUND when there is no such folder and nothing in
 * memory. What has been opened is kept for the next who asks; that another process changed the folder (a compaction) is noticed.
 * Any thread; give it back with tsm_engine_release_shard(). Who keeps it while flush follows flush may find that reading fails
 * with TSM_ELIMIT: memory is bounded.
 */
int tsm_engine_read_shard(struct tsm_engine *e, struct tsm_str db, struct tsm_str rp, uint64_t shard,
                          const struct tsm_damage *damage, struct tsm_shard **s, struct tsm_err *err);
void tsm_engine_release_shard(struct tsm_engine *e, struct tsm_shard *s);

/* ---- */

/* The retention policy that tsm_engine_write() writes to. */
struct tsm_str tsm_engine_rp(const struct tsm_engine *e);
/* Any thread. */
void tsm_engine_stats(const struct tsm_engine *e, struct tsm_engine_stats *st);
/* Releases; what was not synced is lost (it was never acknowledged). */
void tsm_engine_close(struct tsm_engine *e);

#endif
