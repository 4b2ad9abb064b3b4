/*
 * store/compaction_check.h: the rules of a compaction (store/compaction.h), for those who plan one and for those who run one.
 */
#ifndef TSM_STORE_COMPACTION_CHECK_H
#define TSM_STORE_COMPACTION_CHECK_H

#include "store/compaction.h"
#include "store/file_set.h"
#include "store/overlap.h"

/* TSM_OK when c keeps the rules of store/compaction.h in the shard as it is now, TSM_ENOTFOUND when an input is gone or the
 * output is there already, TSM_ECORRUPT when rule 4 forbids it, TSM_EPARSE when it breaks another one; the message says
 * which. Where no file but the inputs is concerned no file is opened, so an input that does not check shows later. Tombstones and
 * files may change until the caller takes the shard's lock. */
int tsm_compaction_check(const struct tsm_fs *fs, const char *dir, const struct tsm_compaction *c,
                         struct tsm_err *err);

/* ---- for the planner: the files of a shard, and what a merge of some of them has to take along ---- */

struct tsm_compaction_view {
    struct tsm_file_set set;
    struct tsm_reader **readers; /* of the set's files, by number; NULL as there */
    struct tsm_overlaps overlaps;
};

/* Finds what overlaps, among the files of the set that have been opened. */
void tsm_compaction_view_compare(struct tsm_compaction_view *v);
void tsm_compaction_view_release(struct tsm_compaction_view *v);

enum tsm_compaction_rule {
    TSM_RULE_NONE,
    TSM_RULE_LATE_BEFORE,     /* an out-of-order file before one that is an input */
    TSM_RULE_ORDERED_OVERLAP, /* an ordered file that overlaps an input */
    TSM_RULE_BETWEEN,         /* lies between the output's place and an input that it overlaps */
    TSM_RULE_UNREADABLE,      /* is needed, or in between, and cannot be read */
};

/* Inputs of a merge. A set of file numbers is a row of bits, like one of the overlaps. */
struct tsm_merge_set {
    uint64_t *in;
    uint32_t least_level; /* of the output */
    bool
        into_order; /* the ordered files that out-of-order inputs overlap are wanted, also when no input is ordered yet */
    bool disjoint; /* an ordered output takes every ordered file that overlaps any of its inputs */
    struct tsm_file_name output; /* out */
    enum tsm_compaction_rule
        rule;    /* out: the first reason for which a file was added or the merge cannot be … */
    size_t file; /* … and that file */
};

/* Adds files to m->in until the rules hold, and names the output. False when an unreadable file forbids it. m->in is not
 * empty. */
bool tsm_merge_set_close(const struct tsm_compaction_view *v, struct tsm_merge_set *m);
bool tsm_file_bit(const uint64_t *set, size_t i);
void tsm_file_bit_set(uint64_t *set, size_t i);

#endif
