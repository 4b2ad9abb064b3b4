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
#include "store/shard_wal.h"

/* A shard that this engine has written to. */
struct tsm_engine_shard {
    uint64_t id;
    int64_t start, end; /* [start, end) */
    struct tsm_memtable_shard table;
    struct tsm_field_types types; /* used by the writer alone */
    struct tsm_shard_files files; /* used by the flush alone once the shard is open */
    struct tsm_flush_shard flush;

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

struct tsm_engine {
    const struct tsm_fs *fs;
    char *dir;
    struct tsm_arena names; /* of database and policy */
    struct tsm_str database, rp_name;
    size_t memory;
    unsigned jobs;
    bool dry_run;
    void (*warn)(void *ctx, const char *message);
    void *warn_ctx;

    struct tsm_lock lock;
    struct tsm_room room;
    struct tsm_meta meta;
    bool meta_changed;
    int64_t retention;      /* of the policy, nanoseconds; 0: all */
    int64_t oldest_allowed; /* by it; INT64_MIN: all */
    struct tsm_engine_shard **shards;
    size_t nshards, capshards;
    struct tsm_engine_shard *current; /* of the last point */

    struct tsm_memtable *active;
    struct tsm_memtable_counts counts; /* of all that was written */
    uint64_t mark;                     /* batches that were written */
    struct tsm_distinct series;
    struct tsm_frontiers frontiers; /* used by the flush alone, but for their size */
    size_t frozen_bytes;            /* of the memtable that was frozen last */
    struct tsm_engine_wal wal;

    /* The flush of a frozen memtable; everything from here is shared with its thread under the lock. */
    pthread_mutex_t mutex;
    pthread_t thread;
    bool flushing; /* the thread was started and not joined */
    bool done;     /* it has ended */
    struct tsm_memtable *frozen;
    uint64_t frozen_rows, frozen_mark; /* counted from the beginning to its end */
    uint64_t durable_mark;
    struct tsm_flush_shard **flush_shards;
    size_t nflush_shards;
    int code; /* the first failure; nothing is written after it */
    struct tsm_err err;
    struct tsm_engine_stats stats;
};

/* ---- engine.c ---- */

void tsm_engine_warn(void *engine, const char *message);
/* Opens a shard that is not open yet, without looking at logs. */
int tsm_engine_open_shard(struct tsm_engine *e, const struct tsm_shard_group *g, struct tsm_engine_shard **s,
                          struct tsm_err *err);
/* The shard that t falls into; opened when it was not yet, and what influxd left in its log taken. */
int tsm_engine_find_shard(struct tsm_engine *e, int64_t t, struct tsm_engine_shard **s, struct tsm_err *err);
int tsm_engine_save_meta(struct tsm_engine *e, struct tsm_err *err);
/* Freezes the active memtable, if there is something in it, and starts to write it out. */
int tsm_engine_freeze(struct tsm_engine *e, struct tsm_err *err);
/* Waits until no flush is running. When one is, what has been logged is fsynced before. */
int tsm_engine_wait(struct tsm_engine *e, struct tsm_err *err);
bool tsm_engine_is_flushing(struct tsm_engine *e);
/* True when the active memtable has grown over its budget. */
bool tsm_engine_is_full(struct tsm_engine *e);

/* What the memtable's callbacks get. */
struct tsm_engine_writing {
    struct tsm_engine *engine;
    const struct tsm_points *batch;
    tsm_reject_fn *reject;
    void *ctx;
};

/* Writes the points [from, from + n) of the batch, n at most TSM_MEMTABLE_GROUP, into the active memtable. Bit i of
 * *added: point from + i was, into shard *shards[i]. */
int tsm_engine_write_group(struct tsm_engine_writing *w, size_t from, size_t n,
                           const struct tsm_memtable_shard **shards, uint32_t *added, struct tsm_err *err);

/* ---- engine_log.c ---- */

/* Takes what influxd left in the log of a shard into TSM files, then removes the log. */
int tsm_engine_take_log(struct tsm_engine *e, struct tsm_engine_shard *s, struct tsm_err *err);
/* Puts deletes that were found in a log beside all files that the shard has by now, and empties the list. The caller
 * holds the shard's lock (tsm_engine_lock_shard()). */
int tsm_engine_apply_removals(struct tsm_engine *e, struct tsm_engine_shard *s,
                              struct tsm_tombstones *removed, struct tsm_err *err);
/* Waits for a compaction or a delete in the shard to end. *lock stays empty when the shard has no folder. */
int tsm_engine_lock_shard(struct tsm_engine *e, const struct tsm_engine_shard *s, struct tsm_lock *lock,
                          struct tsm_err *err);

/* ---- engine_replay.c ---- */

/* Takes what an earlier run left in our own logs into TSM files, then removes the logs. */
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
