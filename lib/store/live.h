/*
 * store/live.h: what memory has of a shard, for those who read it beside the writer.
 *
 * A shard that an engine gives out (tsm_engine_read_shard()) has the memtables with it as they were then. What they have of a series
 * is copied, by column and without the values, when somebody asks for one of its keys the first time; all of its fields at once, so that a row is seen as a
 * whole or not at all. What was written to a series between the opening and that moment is seen, unless it came with a field that the
 * series did not have: then nothing from there on is.
 *
 * Who reads for long keeps memtables in memory that are in files already. When that is too much, those who keep the oldest are told
 * to give up: what they read next fails with TSM_ELIMIT.
 */
#ifndef TSM_STORE_LIVE_H
#define TSM_STORE_LIVE_H

#include <pthread.h>
#include <stdatomic.h>

#include "store/memtable.h"
#include "store/shard.h"
#include "store/turn.h"

/* What memory has of a key: columns of its type, those of the older memtable first. In each the late part is newer than the rest. */
struct tsm_key_view {
    size_t n;
    const struct tsm_column *columns[];
};

/* A key that no file has. */
struct tsm_extra_key {
    struct tsm_str key;
    enum tsm_type type;
};

struct tsm_live_table {
    struct tsm_memtable *memtable; /* shared and held */
    uint64_t number;
    unsigned epoch;
    uint32_t limit; /* columns with this number or a larger one came later */
};

struct tsm_live {
    struct tsm_turn *turn;
    uint32_t shard; /* its number in the memtables */
    struct tsm_live_table *tables;
    size_t ntables;
    const struct tsm_extra_key *extras; /* ascending */
    struct tsm_live *before, *behind;   /* in the engine's list, in turn with others */
    atomic_bool outdated;               /* it has to be given up */

    pthread_mutex_t mutex; /* of what follows */
    struct tsm_arena arena;
    _Atomic(const struct tsm_key_view *) *views; /* by key; NULL: not copied yet */
    size_t next;                                 /* the key behind those that were copied last */
    size_t ahead;                                /* series to be copied with the next one */
};

/* TSM_ELIMIT when it is outdated. */
int tsm_live_check(const struct tsm_shard *s, struct tsm_err *err);

/* Any thread. It lives as long as the shard. */
const struct tsm_key_view *tsm_live_view(const struct tsm_shard *s, size_t key);

#endif
