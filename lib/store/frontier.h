/*
 * store/frontier.h: the frontier of each key of a shard, in memory while a writer runs: the newest time that has been
 * flushed of it.
 *
 * A hash table from tsm_hash() of the TSM key to that time; the keys themselves are not kept. Two keys that collide share
 * the higher frontier of both. A frontier that is too high sends a point to an out-of-order file, which is right for
 * any point; one that is too low never comes about. For the same reason nothing has to be taken out of a table when
 * values are deleted or files are compacted. A key that is not in the table is not known; whoever needs its frontier
 * reads the indexes of the files.
 *
 * The tables of all shards together keep a limit. When one needs more, those of other shards that were used longest
 * ago are dropped, and in the end it is dropped itself: that costs reading indexes again, nothing else.
 */
#ifndef TSM_STORE_FRONTIER_H
#define TSM_STORE_FRONTIER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tsm_frontier_slot {
    uint64_t hash;
    int64_t newest; /* INT64_MIN: free */
};

struct tsm_frontier;

/* The tables of an engine. A zeroed struct with limit set is ready. Tables are used by one thread at a time. */
struct tsm_frontiers {
    size_t limit;                      /* bytes */
    _Atomic size_t bytes;              /* any thread may read it */
    struct tsm_frontier *first, *last; /* those that hold memory, the one used last first */
};

/* The table of one shard. A zeroed struct with all set is empty; with all NULL it stays so. */
struct tsm_frontier {
    struct tsm_frontiers *all;
    struct tsm_frontier_slot *slots;
    size_t mask, used; /* mask: number of slots - 1 */
    struct tsm_frontier *before, *behind;
};

/* To be called before a table is used for a while. */
void tsm_frontier_touch(struct tsm_frontier *f);

static inline bool tsm_frontier_empty(const struct tsm_frontier *f)
{
    return f->used == 0;
}

static inline void tsm_frontier_prefetch(const struct tsm_frontier *f, uint64_t hash)
{
    if (f->slots)
        __builtin_prefetch(&f->slots[hash & f->mask]);
}

/* Where the frontier of a key stands, or NULL. It may be raised there. Valid until the next call of another function. */
int64_t *tsm_frontier_find(const struct tsm_frontier *f, uint64_t hash);

/* Raises the frontier of a key, which need not be in the table, to newest. False when there is no room: the table
 * is empty then. */
bool tsm_frontier_raise(struct tsm_frontier *f, uint64_t hash, int64_t newest);

/* Empties a table and frees its memory; also the end of it. */
void tsm_frontier_drop(struct tsm_frontier *f);

#endif
