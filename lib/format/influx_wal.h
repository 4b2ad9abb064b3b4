/*
 * format/influx_wal.h: reading influxd's write-ahead log segments (_00001.wal), for directories that influxd
 * left without flushing.
 *
 *   record         1 byte kind (1 write, 2 delete, 3 delete range), 4 bytes length, snappy block
 *   write          repeated: 1 byte type, 2 bytes key length, TSM key, 4 bytes count, count × (8 bytes time,
 *                  value); type: 1 float, 2 integer, 3 boolean (1 byte), 4 string (4 bytes length, text),
 *                  5 unsigned
 *   delete         keys, separated by newlines
 *   delete range   8 bytes smallest time, 8 bytes largest time, repeated: 4 bytes key length, key
 *
 * All integers are big-endian. Records have no checksum of their own. A delete concerns what was logged
 * before it; for what had been flushed by then influxd has written tombstones.
 *
 * Source: influxdb v1.8 tsdb/engine/tsm1/wal.go.
 */
#ifndef TSM_FORMAT_INFLUX_WAL_H
#define TSM_FORMAT_INFLUX_WAL_H

#include "codec/values.h"
#include "sys/fs.h"

struct tsm_wal_visitor {
    void *ctx;
    /* Values of one key as logged (any time order). Borrowed for the call. */
    int (*write)(void *ctx, struct tsm_str key, const struct tsm_values *values, struct tsm_err *err);
    /* Values of key with tmin <= t <= tmax logged so far are deleted. */
    int (*remove)(void *ctx, struct tsm_str key, int64_t tmin, int64_t tmax, struct tsm_err *err);
    /* A record does not check: file, offset and cause are in err. TSM_OK passes over it and goes on with the
     * next one, if its end is known. NULL: the first one is the error of the whole. */
    int (*damage)(void *ctx, struct tsm_err *err);
};

/*
 * Reads a segment from its start. A record is checked as a whole before its parts are visited. A torn last
 * record ends the segment without an error, as in influxd, and is counted in *torn (bytes); anything else
 * that does not check is TSM_ECORRUPT with file, offset and cause, after the records before it have been
 * visited.
 */
int tsm_influx_wal_read(const struct tsm_fs *fs, const char *path, const struct tsm_wal_visitor *v,
                        uint64_t *torn, struct tsm_err *err);
/* The same for a segment in memory; messages then start with the offset. */
int tsm_influx_wal_scan(const uint8_t *p, size_t len, const struct tsm_wal_visitor *v, uint64_t *torn,
                        struct tsm_err *err);

/* Appends the record of a delete range with this payload, laid out as above, which is also that of tsm_wal_delete_begin(). */
void tsm_influx_wal_delete(struct tsm_buf *out, struct tsm_str payload);

/* True for a segment's name, _00001.wal; *id is its number (may be NULL), which gives the order of
 * segments. */
bool tsm_influx_wal_name(struct tsm_str name, uint32_t *id);

#endif
