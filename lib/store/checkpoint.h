/*
 * store/checkpoint.h: how far each input file of a load is durable, in a file beside, so that a load that was killed goes
 * on where it was.
 *
 *   tsmkit checkpoint 1 TAB directory TAB database TAB policy
 *   offset TAB open TAB lines TAB size TAB digest TAB path
 *
 * One line per input. offset: in the text (decompressed), behind the last whole line that is durable; open: bytes behind
 * it that are durable, too, as a last line without an end; lines: whole ones up to the offset; size: bytes of the file
 * that had been read by then; digest: XXH3-64 of the beginning of the text, TSM_CHECKPOINT_HEAD bytes or up to offset +
 * open, in hexadecimal; path: absolute. Names are written with \t, \n, \r and \\ for a tab, the ends of a line and a backslash.
 * The file is replaced as a whole, and says no more than what is durable.
 */
#ifndef TSM_STORE_CHECKPOINT_H
#define TSM_STORE_CHECKPOINT_H

#include <stdbool.h>

#include "base/str.h"
#include "sys/fs.h"

enum { TSM_CHECKPOINT_HEAD = 4096 };

struct tsm_checkpoint_place {
    uint64_t offset, open, lines, size, digest;
};

/* Where the points go. */
struct tsm_checkpoint_target {
    struct tsm_str dir, database, rp;
};

struct tsm_checkpoint;

/* Reads the file, if there is one. TSM_EUSAGE when it belongs to another target, TSM_EPARSE when it is none. */
int tsm_checkpoint_open(const struct tsm_fs *fs, const char *path, const struct tsm_checkpoint_target *target,
                        struct tsm_checkpoint **c, struct tsm_err *err);
void tsm_checkpoint_free(struct tsm_checkpoint *c); /* does not write; NULL is allowed */
bool tsm_checkpoint_empty(const struct tsm_checkpoint *c);
/* Forgets all inputs: what they gave is no longer there. */
void tsm_checkpoint_clear(struct tsm_checkpoint *c);

/* Begins to load an input: how far it is durable (all zero: it is not). False when it has been begun before. Any thread. */
bool tsm_checkpoint_begin(struct tsm_checkpoint *c, struct tsm_str path, struct tsm_checkpoint_place *place);

/* The input has been written up to here, which is durable when `mark` is (tsm_engine_mark()). Marks never fall. The path
 * is of an input that has been begun. */
void tsm_checkpoint_note(struct tsm_checkpoint *c, struct tsm_str path,
                         const struct tsm_checkpoint_place *place, uint64_t mark);
/* Takes notes up to the mark `durable` for durable. True when there is something to save. */
bool tsm_checkpoint_advance(struct tsm_checkpoint *c, uint64_t durable);
int tsm_checkpoint_save(struct tsm_checkpoint *c, struct tsm_err *err);

#endif
