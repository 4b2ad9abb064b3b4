/*
 * store/compaction_plan.h: deciding what to compact in a shard. Reads indexes only.
 *
 * - Level 2: neighbouring ordered files of level 1, when there are enough of them, or the shard is cold.
 * - Out-of-order files, with the ordered files whose blocks they overlap, when they are worth it: their number, their share of the
 *   bytes they would rewrite, or a cold shard. Those that overlap nothing are moved.
 * - A cold shard's level 1 files go straight to level 3 together with what has to be merged; files of level 2 and up that overlap
 *   nothing stay as they are.
 * - Files of which tombstones cover enough, or any in a cold shard, are rewritten; those that are deleted wholly are dropped.
 * Each plan is about one shard; plans of different shards are independent.
 */
#ifndef TSM_STORE_COMPACTION_PLAN_H
#define TSM_STORE_COMPACTION_PLAN_H

#include "store/compaction.h"
#include "store/damage.h"
#include "sys/fs.h"

struct tsm_plan_options {
    int64_t now;
    int64_t cold;       /* nanoseconds without a new file after which a shard is cold; 0: every shard is */
    uint32_t max_level; /* nothing above this level is made; 0: no limit */
    size_t memory;
};

/* The compactions of one shard that may be run now, in this order and one after the other; each is planned as if those before it
 * had been run. Everything in the list is in its arena. */
struct tsm_compactions {
    struct tsm_compaction *items;
    size_t n, cap;
    struct tsm_arena arena;
};

/* dir: the folder of the shard. Files that do not check are reported to damage and planned around. */
int tsm_compaction_plan(const struct tsm_fs *fs, const char *dir, struct tsm_str db, struct tsm_str rp,
                        uint64_t shard, const struct tsm_plan_options *opt, const struct tsm_damage *damage,
                        struct tsm_compactions *out, struct tsm_err *err);
void tsm_compactions_release(struct tsm_compactions *l);

#endif
