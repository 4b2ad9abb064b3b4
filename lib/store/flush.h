/*
 * store/flush.h: writing a frozen memtable into TSM files.
 *
 * Of each key, values newer than the frontier (the newest time that any file of the shard has for it)
 * go to an ordered file, the others to an out-of-order file.
 */
#ifndef TSM_STORE_FLUSH_H
#define TSM_STORE_FLUSH_H

#include "store/frontier.h"
#include "store/memtable.h"
#include "store/shard_files.h"
#include "store/turn.h"

struct tsm_flush_shard {
    struct tsm_shard_files *files;
    struct tsm_frontier frontier;
    bool dropped;         /* what the memtable has of it is left out */
    bool made;            /* its folder, durably */
    bool derived_removed; /* fields.idx, which influxd would otherwise take for the whole truth */
};

struct tsm_flush {
    const struct tsm_fs *fs;
    const struct tsm_memtable *table;
    struct tsm_flush_shard **shards; /* by the memtable's shard numbers; NULL: it has nothing of that one */
    struct tsm_turn
        *turn; /* of those who read the memtable, taken while its columns change places; may be NULL */
    size_t nshards;
    unsigned jobs;
    size_t index_memory; /* for the index of a file that is written */
    tsm_shard_damage_fn *damage;
    /* Around the writing of each shard; NULL: nothing to do. Without a begin that succeeded there is no end. */
    int (*begin)(void *ctx, uint32_t shard, struct tsm_err *err);
    int (*end)(void *ctx, uint32_t shard, bool flushed, struct tsm_err *err);
    void *ctx;
    uint32_t done; /* shards below this number have been written: 0 at first */
    /* out, added to */
    uint64_t late;
    uint64_t files, file_bytes;
};

/* When it fails, files that were installed before stay; no unfinished one does. Called once more with the same
 * struct, it goes on with the shard that failed; where only the end did, with the next one. */
int tsm_flush_run(struct tsm_flush *f, struct tsm_err *err);

#endif
