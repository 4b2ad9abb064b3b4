/*
 * format/tombstone.h: InfluxDB's tombstone files (versions 1 to 4 read, 4 written).
 *
 * A tombstone says: of this key the values with tmin <= t <= tmax in the TSM file beside it are deleted.
 *
 *   version 1   text: a TSM key per line, all times
 *   version 2   4 bytes 0x1502, then entries
 *   version 3   4 bytes 0x1503, then one gzip member with entries
 *   version 4   4 bytes 0x1504, then any number of gzip members with entries: one per delete
 *   entry       4 bytes key length, key, 8 bytes smallest time, 8 bytes largest time, all big-endian
 *
 * Source: influxdb v1.8 tsdb/engine/tsm1/tombstone.go.
 */
#ifndef TSM_FORMAT_TOMBSTONE_H
#define TSM_FORMAT_TOMBSTONE_H

#include "base/arena.h"
#include "sys/fs.h"

struct tsm_tombstone {
    struct tsm_str key; /* a TSM key */
    int64_t tmin, tmax; /* inclusive */
};

/* Sorted by key, then tmin; overlapping ranges of one key are joined. A zeroed struct is empty. */
struct tsm_tombstones {
    struct tsm_tombstone *items;
    size_t n, cap;
    size_t entries; /* that were added, joined ones too */
    struct tsm_arena arena;
};

/* Where the keys of a list are already, so that it does not need copies of its own: find gives the lasting key with these
 * bytes, or an empty one (p NULL) when tombstones of it are of no interest. Asked in the order of the file, which is mostly ascending. */
struct tsm_tombstone_keys {
    struct tsm_str (*find)(void *ctx, struct tsm_str key);
    void *ctx;
};

/* "DIR/NAME.tombstone" for "DIR/NAME.tsm"; allocated. */
char *tsm_tombstone_path(const char *tsm_path);
/* Reads and sorts. A missing file is an empty list. TSM_ECORRUPT names file, offset and cause. */
int tsm_tombstones_read(const struct tsm_fs *fs, const char *path, struct tsm_tombstones *t,
                        struct tsm_err *err);
/* The same in two steps: the bytes of a file, TSM_ENOTFOUND when there is none … */
int tsm_tombstones_bytes(const struct tsm_fs *fs, const char *path, struct tsm_buf *file,
                         struct tsm_err *err);
/* … and what is in them; path is for messages, keys may be NULL. */
int tsm_tombstones_decode(const char *path, const uint8_t *p, size_t len,
                          const struct tsm_tombstone_keys *keys, struct tsm_tombstones *t,
                          struct tsm_err *err);
/* Writes version 4 under a temporary name and installs it. */
int tsm_tombstones_write(const struct tsm_fs *fs, const char *path, const struct tsm_tombstones *t,
                         struct tsm_err *err);
void tsm_tombstones_add(struct tsm_tombstones *t, struct tsm_str key, int64_t tmin,
                        int64_t tmax); /* copies key */
void tsm_tombstones_sort(struct tsm_tombstones *t);
/* The ranges of one key: [*from, *to) in items. */
void tsm_tombstones_find(const struct tsm_tombstones *t, struct tsm_str key, size_t *from, size_t *to);
void tsm_tombstones_release(struct tsm_tombstones *t);

#endif
