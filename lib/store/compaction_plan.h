/*
 * store/compaction_plan.h: deciding what to compact in a shard. Reads indexes only.
 *
 * In this order, each file in one compaction at most; what depends on another one waits for the next plan. A shard is cold when
 * its newest file is older than tsm_plan_options.cold.
 *
 * 1. Files in which everything is deleted are dropped.
 * 2. Out-of-order files that overlap nothing are moved into the ordered set, while it has a free generation.
 * 3. The other out-of-order files, up to TSM_PLAN_LATE of them, are merged with the ordered files that they overlap when it is
 *    worth it: they have at least a quarter of the bytes of those ordered files, or there are 8 and they have a sixteenth, or
 *    the shard is cold. When no generation is free for some that overlap nothing, the smallest ordered file is merged with them.
 *    While it is not worth it, 8 and more of about the same size become one out-of-order file.
 * 4. In a cold shard the same merge takes along all files of level 1, and ordered files that overlap each other, which are
 *    influxd's. Its output is of level 3 or above. Ordered files of level 2 and above that overlap nothing stay as they are.
 * 5. Neighbouring ordered files of level 1 become one of level 2 (3 in a cold shard) when there are 4 of them, or together
 *    they have 64 MiB; in a cold shard when there are 2. Inputs of more than TSM_MAX_FILE_SIZE make several outputs.
 * 6. Neighbouring small ordered files of about the same size become one: 16 of them, or 8 in a cold shard.
 * 7. A file is rewritten when tombstones delete blocks of a tenth of its bytes, in a cold shard when they delete anything in it.
 *
 * So a byte is written once by the flush, once by 3, 4 or 5, and once more by 6 for each factor of 8 to 16 by which files
 * grow; an ordered byte once more for each quarter of it that comes late. Every plan leaves fewer files, or fewer that are out of
 * order, or fewer tombstones: planning and running come to an end.
 *
 * Nothing is merged or moved past an unreadable file, and nothing out of order becomes ordered while an ordered one is
 * unreadable.
 */
#ifndef TSM_STORE_COMPACTION_PLAN_H
#define TSM_STORE_COMPACTION_PLAN_H

#include "store/compaction.h"
#include "store/damage.h"
#include "sys/fs.h"

enum {
    TSM_PLAN_LATE = 256, /* out-of-order files that are looked at at once */
    TSM_PLAN_ORDERED =
        4096, /* ordered files; while there are more, the first ones of level 1 are merged and nothing else */
    TSM_PLAN_INPUTS = 512, /* of a merge of ordered files */
};

struct tsm_plan_options {
    int64_t now;
    int64_t cold;       /* nanoseconds without a new file after which a shard is cold; 0: every shard is */
    uint32_t max_level; /* nothing above this level is made; 0: no limit */
    const struct tsm_file_name
        *avoid; /* files that turned out to be damaged: planned around like unreadable ones */
    size_t navoid;
};

/* The compactions of one shard that may be run now, in this order and one after the other: none needs another one to be run
 * before, and none is wrong after those before it. Everything in the list is in its arena. */
struct tsm_compactions {
    struct tsm_compaction *items;
    size_t n, cap;
    struct tsm_arena arena;
    bool cold; /* the shard is */
};

/* dir: the folder of the shard; a missing one gives an empty plan. Files that do not check are reported to damage, whatever its
 * skip says, and planned around. Memory: 8 bytes for each key of each file that is looked at. */
int tsm_compaction_plan(const struct tsm_fs *fs, const char *dir, struct tsm_str db, struct tsm_str rp,
                        uint64_t shard, const struct tsm_plan_options *opt, const struct tsm_damage *damage,
                        struct tsm_compactions *out, struct tsm_err *err);
void tsm_compactions_release(struct tsm_compactions *l);

#endif
