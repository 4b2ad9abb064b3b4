/* store/verify_tsm.h: the part of store/verify.h that looks into TSM files. */
#ifndef TSM_STORE_VERIFY_TSM_H
#define TSM_STORE_VERIFY_TSM_H

#include "format/tsm_reader.h"
#include "store/verify.h"

/* Counts a finding and hands it on. The text is made printable. */
int tsm_verify_report(struct tsm_verify *v, enum tsm_finding kind, struct tsm_err *err, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Reports a failed library call: damage as a fault, anything else as unreadable. */
int tsm_verify_failure(struct tsm_verify *v, const struct tsm_err *failure, struct tsm_err *err);

/* Every block of every file against its index. */
int tsm_verify_blocks(struct tsm_verify *v, struct tsm_reader *const *files, size_t n, struct tsm_err *err);

/* Blocks of one key that overlap between files of the ordered set: those of n that tsmkit wrote (sealed),
 * with a generation below TSM_FIRST_LATE_GENERATION. The files are those of one shard. */
int tsm_verify_overlap(struct tsm_verify *v, struct tsm_reader *const *files, size_t n, struct tsm_err *err);

/* Appends text with control characters as \xNN. */
void tsm_add_printable(struct tsm_buf *out, struct tsm_str text);
/* Appends "'KEY' from TIME to TIME", for messages. */
void tsm_add_block_name(struct tsm_buf *out, struct tsm_str key, int64_t tmin, int64_t tmax);

#endif
