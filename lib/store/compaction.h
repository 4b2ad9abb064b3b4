/*
 * store/compaction.h: one compaction, and its text: a line of a plan.
 *
 *   action TAB db TAB rp TAB shard TAB inputs TAB output TAB copy=N TAB join=N TAB merge=N TAB bytes=N
 *
 *   action   merge  inputs, ascending, separated by commas, become output
 *            move   an out-of-order file that overlaps nothing gets a name in the ordered set: one rename
 *            drop   files in which everything is deleted; output is -
 *            expire a shard that fell out of its retention policy; inputs and output are -
 *   names    without their suffix: 000000007-000000002
 *   db, rp   with \t, \n, \r and \\ for a tab, the ends of a line and a backslash
 *   N        blocks that will be copied, joined and merged, and bytes of the inputs; a plan that is read may leave these out
 *
 * The rules that every merge keeps, whoever made the plan (store/compaction_check.h):
 * 1. The output has the lowest generation of the ordered inputs, or, when all inputs are out of order, the lowest of all and is
 *    out of order itself; a level above that of every input, by 100 at the most; and a name that nothing in the folder
 *    has.
 * 2. When an out-of-order file becomes part of an ordered output, so do all out-of-order files before it, and every ordered file
 *    one of whose blocks overlaps one of its blocks.
 * 3. A file that lies between the output's place and an input, overlaps that input and is not an input itself, would come to
 *    win over it, or lose: there is none.
 * 4. No input, and no file between the output's place and the last input, is unreadable.
 * A move goes to a free generation below the highest one of the ordered files, level and all else unchanged; the file has no
 * tombstones, and overlaps no ordered file and no out-of-order file before it. A drop takes files whose blocks are all deleted.
 * The same inputs give the same bytes.
 */
#ifndef TSM_STORE_COMPACTION_H
#define TSM_STORE_COMPACTION_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "format/tsm_file.h"

enum tsm_compaction_action {
    TSM_COMPACTION_MERGE,
    TSM_COMPACTION_MOVE,
    TSM_COMPACTION_DROP,
    TSM_COMPACTION_EXPIRE,
};

struct tsm_compaction {
    enum tsm_compaction_action action;
    struct tsm_str db, rp; /* owned by whoever made it */
    uint64_t shard;
    struct tsm_file_name *inputs; /* ascending */
    size_t ninputs;
    struct tsm_file_name output;
    uint64_t copy, join, merge; /* blocks, estimated */
    uint64_t bytes;             /* of the inputs */
};

const char *tsm_compaction_action_name(enum tsm_compaction_action action);
/* The order of files: by generation, then by level. */
int tsm_file_name_compare(struct tsm_file_name a, struct tsm_file_name b);
bool tsm_file_name_late(struct tsm_file_name name); /* out of order */
/* Appends the line, its newline included. */
void tsm_compaction_print(struct tsm_buf *out, const struct tsm_compaction *c);
/* Parses a line without its newline; what *c points to is in the arena. TSM_EPARSE with the column's name and the cause. The
 * form is checked, and what can be known without looking at the shard: that names may be folders, that inputs ascend, that a
 * level is above those of the inputs. */
int tsm_compaction_parse(struct tsm_str line, struct tsm_arena *a, struct tsm_compaction *c,
                         struct tsm_err *err);

#endif
