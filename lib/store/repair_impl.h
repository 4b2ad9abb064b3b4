/* store/repair_impl.h: what the parts of store/repair.h share. */
#ifndef TSM_STORE_REPAIR_IMPL_H
#define TSM_STORE_REPAIR_IMPL_H

#include "base/buf.h"
#include "store/repair.h"

/* The file's bytes under a free name (*aside, tsm_free), durably. The file stays. */
int tsm_repair_keep(const struct tsm_repair *r, const char *path, struct tsm_str bytes, char **aside,
                    struct tsm_err *err);
/* Moves the file there, durably. */
int tsm_repair_move(const struct tsm_repair *r, const char *path, char **aside, struct tsm_err *err);
/* Puts `bytes` into the place of what the file has, `old`, which is kept. */
int tsm_repair_replace(const struct tsm_repair *r, const char *path, struct tsm_str old, struct tsm_str bytes,
                       char **aside, struct tsm_err *err);
/* Counts and reports. */
int tsm_repair_tell(struct tsm_repair *r, struct tsm_repaired *what, struct tsm_err *err);

/* Each: one file, or the log of a folder. *damaged tells; nothing is changed and nothing told unless `act`. */
int tsm_repair_tsm(struct tsm_repair *r, const char *path, bool act, bool *damaged, struct tsm_err *err);
int tsm_repair_tombstone(struct tsm_repair *r, const char *path, bool act, bool *damaged,
                         struct tsm_err *err);
int tsm_repair_influx_segment(struct tsm_repair *r, const char *path, bool act, bool *damaged,
                              struct tsm_err *err);
/* Our segments of a folder, which belong together by the sequence of their records. Counts the files. */
int tsm_repair_segments(struct tsm_repair *r, const char *dir, bool act, bool *damaged, struct tsm_err *err);

#endif
