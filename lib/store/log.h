/*
 * store/log.h: what is in a shard's write-ahead log, replayed: for each key its values in time order, with
 * rewritten and deleted ones gone.
 */
#ifndef TSM_STORE_LOG_H
#define TSM_STORE_LOG_H

#include "base/arena.h"
#include "codec/values.h"
#include "store/damage.h"
#include "sys/fs.h"

struct tsm_logged {
    struct tsm_str key;
    struct tsm_values values; /* strictly ascending, never empty */
};

struct tsm_log {
    struct tsm_logged *items; /* ascending by key */
    size_t n, cap;
    struct tsm_arena arena; /* the keys */
};

/* Replays our own segments in the folder path and then influxd's: there are both only when influxd was started after our writer
 * was killed, as that writer had taken influxd's into files before it logged anything. *log is NULL when they hold nothing;
 * TSM_ENOTFOUND when there is no such folder. No lock is needed: what a writer has appended by now is there, an unfinished
 * record at the end is not. When segments vanish meanwhile, as they do after a flush, all is read again: the values in what is
 * left of a log would win over newer ones in the file that was flushed. */
int tsm_log_read(const struct tsm_fs *fs, const char *path, const struct tsm_damage *damage,
                 struct tsm_log **log, struct tsm_err *err);
void tsm_log_free(struct tsm_log *log); /* NULL is allowed */

#endif
