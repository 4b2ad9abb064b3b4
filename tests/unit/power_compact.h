/* tests/unit/power_compact.h: what another process does to a directory beside its writer: compactions and deletes. */
#ifndef TESTS_POWER_COMPACT_H
#define TESTS_POWER_COMPACT_H

#include "power_fs.h"
#include "store/engine.h"

/* Plans and runs in every shard, as tsm-compact does; random choices come from *random. Counts what was run in *n. TSM_ELOCKED when
 * another one works on a shard. */
int power_compact(const struct tsm_fs *fs, const char *dir, int64_t now, uint64_t *random, unsigned long *n,
                  struct tsm_err *err);

/* Deletes these times of a series ("m,host=…" with this number; -1: all) in every shard, one after the other; by the engine that
 * has the directory open, or (NULL) beside it. */
int power_delete(const struct tsm_fs *fs, const char *dir, struct tsm_engine *e, int series, int64_t tmin,
                 int64_t tmax, struct tsm_err *err);

#endif
