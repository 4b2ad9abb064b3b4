/* store/engine_impl.h: the engine's inside, shared by engine*.c alone. */
#ifndef TSM_STORE_ENGINE_IMPL_H
#define TSM_STORE_ENGINE_IMPL_H

#include <pthread.h>

#include "format/meta_db.h"
#include "store/distinct.h"
#include "store/engine.h"
#include "store/flush.h"

/* A shard that this engine has written to. */
struct tsm_engine_shard {
    uint64_t id;
    int64_t start, end; /* [start, end) */
    struct tsm_memtable_shard table;
    struct tsm_field_types types; /* used by the writer alone */
    struct tsm_shard_files files; /* used by the flush alone once the shard is open */
    struct tsm_flush_shard flush;
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
    struct tsm_meta meta;
    bool meta_changed;
    int64_t oldest_allowed; /* by the retention policy; INT64_MIN: all */
    struct tsm_engine_shard **shards;
    size_t nshards, capshards;
    struct tsm_engine_shard *current; /* of the last point */

    struct tsm_memtable *active;
    struct tsm_memtable_counts counts; /* of all that was written */
    uint64_t mark;                     /* batches that were written */
    struct tsm_distinct series;
    struct tsm_frontiers frontiers; /* used by the flush alone, but for their size */
    size_t frozen_bytes; /* of the memtable that was frozen last */

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

/* Freezes the active memtable, if there is something in it, and starts to write it out. */
int tsm_engine_freeze(struct tsm_engine *e, struct tsm_err *err);
/* Waits until no flush is running. */
int tsm_engine_wait(struct tsm_engine *e, struct tsm_err *err);
/* True when the active memtable has grown over its budget. */
bool tsm_engine_is_full(struct tsm_engine *e);
/* Takes what influxd left in the log of a shard into TSM files, then removes the log. */
int tsm_engine_take_log(struct tsm_engine *e, struct tsm_engine_shard *s, struct tsm_err *err);

#endif
