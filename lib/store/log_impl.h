/* store/log_impl.h: the columns of a log while it is replayed. */
#ifndef TSM_STORE_LOG_IMPL_H
#define TSM_STORE_LOG_IMPL_H

#include "base/map.h"
#include "format/line.h"
#include "format/wal.h"
#include "store/log.h"

struct tsm_log_replay {
    const struct tsm_fs *fs;
    struct tsm_log *log;
    struct tsm_map map; /* key to its number in log->items */
    const struct tsm_damage *damage;
};

/* The number of the column of a TSM key, which is added when asked for; else TSM_MAP_NONE. */
uint32_t tsm_log_column(struct tsm_log_replay *r, struct tsm_str key, bool add);
/* A delete: takes what has been added before. */
void tsm_log_remove(struct tsm_log_replay *r, struct tsm_str key, int64_t tmin, int64_t tmax);

/* ---- segments of ours: store/log_segment.c ---- */

struct tsm_log_series;

/* What goes on from one segment to the next. Zeroed except for replay. */
struct tsm_log_segments {
    struct tsm_log_replay *replay;
    struct tsm_wal_order order;
    struct tsm_map map; /* raw keys to their numbers in series */
    struct tsm_log_series *series;
    size_t n, cap;
    struct tsm_map far;     /* columns of series with many: their places among the series' own */
    struct tsm_arena arena; /* raw keys */
    struct tsm_buf scratch;
    struct tsm_points points;
    const char *path;          /* of the segment in hand */
    unsigned long long offset; /* of the record in hand */
};

/* Replays one segment. TSM_ENOTFOUND when it is gone. */
int tsm_log_replay_segment(struct tsm_log_segments *s, const char *path, struct tsm_err *err);
void tsm_log_segments_release(struct tsm_log_segments *s);

#endif
