/* store/engine_impl.h: the engine's inside, shared by engine*.c alone. */
#ifndef TSM_STORE_ENGINE_IMPL_H
#define TSM_STORE_ENGINE_IMPL_H

#include <pthread.h>

#include "format/batch.h"
#include "format/meta_db.h"
#include "format/tombstone.h"
#include "store/distinct.h"
#include "store/engine.h"
#include "store/flush.h"
#include "store/room.h"
#include "store/shard_cache.h"
#include "store/shard_wal.h"
#include "store/turn.h"

/* A retention policy of a database. */
struct tsm_engine_policy {
    struct tsm_str db, rp;
    int64_t retention;                /* nanoseconds; 0: all */
    struct tsm_engine_shard *current; /* of the last point */
};

/* A shard that this engine has written to. */
struct tsm_engine_shard {
    struct tsm_engine_policy *policy;
    uint64_t id;
    int64_t start, end;              /* [start, end) */
    struct tsm_memtable_shard table; /* its types are used by the writer alone */
    struct tsm_shard_files files;    /* used by the flush alone once the shard is open */
    struct tsm_flush_shard flush;
    uint64_t
        dropped_in; /* the memtable of that number was the last one to have something of it; flush.dropped is set */

    struct tsm_shard_wal *wal; /* NULL: not open */
    bool log_frozen;           /* the frozen memtable has segments: */
    uint32_t log_covered;      /* up to this one */
    uint64_t log_sequence;     /* and has seen deletes up to this one */
    uint32_t *taken;           /* points of the batch in hand that are to be logged */
    size_t ntaken, captaken;
    bool deleted_from; /* the memtable, since they were taken */
};

/* What the log's side of an engine needs; used by the writer alone. */
struct tsm_engine_wal {
    bool on;
    int64_t sync_interval, flush_interval;
    int64_t unsynced_since; /* monotonic; 0: all is fsynced */
    int64_t active_since;   /* the active memtable has something; 0: it was empty when that was looked at */
    uint64_t rows;          /* written and logged */
    size_t nopen;           /* logs */
    struct tsm_engine_shard **touched; /* by the batch in hand */
    size_t ntouched, captouched;
    struct tsm_batch_encoder *encoder;
    struct tsm_points kept; /* points without fields that are not stored */
    struct tsm_buf payload;
};

/* A memtable that is waiting for its flush, or is being flushed. */
struct tsm_engine_frozen {
    struct tsm_engine_frozen *next;
    struct tsm_memtable *table;
    uint64_t number;
    uint64_t rows, mark; /* counted from the beginning to its end */
    size_t bytes;
    struct tsm_flush_shard **shards; /* by the memtable's shard numbers; NULL: has nothing in it */
    size_t nshards;
};

struct tsm_engine {
    const struct tsm_fs *fs;
    char *dir;
    char *holder;
    size_t memory;
    unsigned jobs;
    bool dry_run;
    bool read; /* by tsm_engine_read_shard() */
    void (*warn)(void *ctx, const char *message);
    void *warn_ctx;

    struct tsm_lock lock;
    struct tsm_room room;
    struct tsm_meta meta; /* changed by the writer alone, under meta_mutex */
    pthread_mutex_t meta_mutex;
    bool meta_changed;
    _Atomic uint64_t meta_version;
    struct tsm_engine_policy **policies; /* those that were asked for */
    size_t npolicies, cappolicies;
    struct tsm_engine_policy *policy; /* of the options; NULL: they name no database */
    struct tsm_engine_shard **shards; /* by number; some may be NULL */
    size_t nshards, capshards;

    /* What readers see beside the writer, who has the lock while a few points are written. Nothing waits with it. */
    struct tsm_turn turn;
    struct tsm_memtable *active;
    _Atomic uint64_t number;           /* of the active memtable */
    struct tsm_shard_cache *cache;     /* for readers */
    struct tsm_live *lives;            /* what they have of memory */
    struct tsm_memtable_counts counts; /* of all that was written */
    struct tsm_distinct series;

    uint64_t mark;                  /* batches that were written */
    struct tsm_frontiers frontiers; /* used by the flush alone, but for their size */
    struct tsm_engine_wal wal;
    _Atomic size_t active_bytes, budget; /* for tsm_engine_is_busy() */

    /* The flush of frozen memtables; everything from here is shared with its thread under the lock. The list is changed with
     * the turn as well, so that either is enough to look at it. */
    pthread_mutex_t mutex;
    pthread_cond_t flushed; /* a memtable was, or that has failed */
    pthread_t thread;
    bool flushing;                                  /* the thread was started and not joined */
    bool done;                                      /* it has ended */
    struct tsm_engine_frozen *frozen, *last_frozen; /* the first one is being flushed */
    size_t frozen_bytes;                            /* of all of them */
    uint64_t flushed_number;                        /* of the last one that is in files */
    uint64_t durable_mark, flushed_mark;
    int code; /* the first failure; nothing is written after it */
    struct tsm_err err;
    struct tsm_engine_stats stats;
};

/* ---- engine.c ---- */

struct tsm_memtable *tsm_engine_new_memtable(const struct tsm_engine *e);
void tsm_engine_warn(void *engine, const char *message);
/* True when the active memtable has grown over its budget. */
bool tsm_engine_is_full(struct tsm_engine *e);

/* What the memtable's callbacks get. */
struct tsm_engine_writing {
    struct tsm_engine *engine;
    struct tsm_engine_policy *policy;
    int64_t oldest_allowed; /* by it; INT64_MIN: all */
    const struct tsm_points *batch;
    tsm_reject_fn *reject;
    void *ctx;
};

/* Writes the points [from, from + n) of the batch, n at most TSM_MEMTABLE_GROUP, into the active memtable. Bit i of
 * *added: point from + i was, into shard *shards[i]. */
int tsm_engine_write_group(struct tsm_engine_writing *w, size_t from, size_t n,
                           const struct tsm_memtable_shard **shards, uint32_t *added, struct tsm_err *err);

/* ---- engine_shard.c ---- */

/* Opens a shard that is not open yet, without looking at logs. */
int tsm_engine_open_shard(struct tsm_engine *e, struct tsm_engine_policy *p, const struct tsm_shard_group *g,
                          struct tsm_engine_shard **s, struct tsm_err *err);
/* The shard that t falls into; opened when it was not yet, and what influxd left in its log taken. */
int tsm_engine_find_shard(struct tsm_engine *e, struct tsm_engine_policy *p, int64_t t,
                          struct tsm_engine_shard **s, struct tsm_err *err);
/* Forgets which types fields have, and takes them from the files and the active memtable; no other has anything of the shard. */
int tsm_engine_learn_types(struct tsm_engine *e, struct tsm_engine_shard *s, struct tsm_err *err);
/* An open shard, or NULL. */
struct tsm_engine_shard *tsm_engine_known_shard(const struct tsm_engine *e, uint64_t id);
/* Frees dropped shards that no memtable has anything of; all: every shard. */
void tsm_engine_free_shards(struct tsm_engine *e, bool all);

/* ---- engine_meta.c ---- */

/* The options' database and policy, created when missing. */
int tsm_engine_choose_policy(struct tsm_engine *e, struct tsm_str db, struct tsm_str rp, struct tsm_err *err);
/* The policy of a database that meta.db has. */
struct tsm_engine_policy *tsm_engine_take_policy(struct tsm_engine *e, struct tsm_str db,
                                                 const struct tsm_rp *rp);
/* Saves meta.db when it has changed. */
int tsm_engine_save_meta(struct tsm_engine *e, struct tsm_err *err);

/* ---- engine_flush.c ---- */

/* Freezes the active memtable, if there is something in it, and starts to write it out. With a log it waits for the flush before. */
int tsm_engine_freeze(struct tsm_engine *e, struct tsm_err *err);
/* Waits until no flush is running. When one is, what has been logged is fsynced before. */
int tsm_engine_wait(struct tsm_engine *e, struct tsm_err *err);
/* The failure of a flush, if there was one. */
int tsm_engine_failure(struct tsm_engine *e, struct tsm_err *err);
bool tsm_engine_is_flushing(struct tsm_engine *e);
size_t tsm_engine_frozen_bytes(struct tsm_engine *e);
/* Waits for the flush's thread, at the end. */
void tsm_engine_join(struct tsm_engine *e);

/* ---- engine_read.c ---- */

/* Readers see the files of a shard's folder as they are now, until tsm_engine_renew_files(). */
struct tsm_cached_shard *tsm_engine_keep_files(struct tsm_engine *e, const char *dir);
void tsm_engine_renew_files(struct tsm_engine *e, struct tsm_cached_shard *c);
/* By the flush: opens the files that have come of a memtable, for the readers to come. */
void tsm_engine_prepare_files(struct tsm_engine *e, const struct tsm_engine_frozen *z);

/* When readers keep too much memory that is in files, tells those to give up that keep the oldest. In turn with them. */
void tsm_engine_limit_readers(struct tsm_engine *e);

/* ---- engine_log.c ---- */

/* Takes what influxd left in the log of a shard into TSM files, then removes the log. An engine that is read passes over damage, and sets
 * aside segments that have some. */
int tsm_engine_take_log(struct tsm_engine *e, struct tsm_engine_shard *s, struct tsm_err *err);
/* A segment with damage in folder dir is kept under another name for whoever wants to look at it. */
int tsm_engine_set_aside(struct tsm_engine *e, const char *dir, const char *path, struct tsm_err *err);
/* Puts deletes that were found in a log beside all files that the shard has by now, and empties the list. The caller
 * holds the shard's lock (tsm_engine_lock_shard()). */
int tsm_engine_apply_removals(struct tsm_engine *e, struct tsm_engine_shard *s,
                              struct tsm_tombstones *removed, struct tsm_err *err);
/* Waits for a compaction or a delete in the shard to end. *lock stays empty when the shard has no folder. */
int tsm_engine_lock_shard(struct tsm_engine *e, const struct tsm_engine_shard *s, struct tsm_lock *lock,
                          struct tsm_err *err);

/* ---- engine_replay.c ---- */

/* Takes what an earlier run left in our own logs into TSM files, then removes the logs: those of the options' policy, or of all. */
int tsm_engine_replay(struct tsm_engine *e, struct tsm_err *err);

/* ---- engine_wal.c ---- */

/* Writes a batch into the memtable and into the log. */
int tsm_engine_wal_write(struct tsm_engine_writing *w, struct tsm_err *err);
/* fsyncs what has been logged. */
int tsm_engine_wal_sync(struct tsm_engine *e, struct tsm_err *err);
/* What is due by the clock: an fsync of the log, a flush. */
int tsm_engine_wal_tick(struct tsm_engine *e, struct tsm_err *err);
/* The active memtable is about to be frozen. */
int tsm_engine_wal_freeze(struct tsm_engine *e, struct tsm_err *err);
/* Around the flush of the shard with this number in the frozen memtable: see struct tsm_flush. */
int tsm_engine_wal_begin(void *engine, uint32_t shard, struct tsm_err *err);
int tsm_engine_wal_end(void *engine, uint32_t shard, bool flushed, struct tsm_err *err);
/* Removes the segments of shards of which nothing was left to flush. */
int tsm_engine_wal_finish(struct tsm_engine *e, struct tsm_err *err);
void tsm_engine_wal_release(struct tsm_engine *e);

#endif
