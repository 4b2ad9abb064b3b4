/*
 * format/wal.h: tsmkit's own write-ahead log: segments of records.
 *
 *   segment   records one after the other, in a file 000000001.log, whose number gives the order of segments
 *   record    4 bytes magic "TSMR"
 *             1 byte kind, 3 bytes zero
 *             4 bytes length of the payload, 4 bytes length of the stored payload
 *             8 bytes sequence: one more than that of the record before, across segments; the first one of a log is 1
 *             4 bytes check of these 24 bytes: the low half of their XXH3-64
 *             8 bytes XXH3-64 of the stored payload
 *             stored payload: an LZ4 block, or the payload itself when both lengths are equal
 *   payload   kind 1, points: format/batch.h
 *             kind 2, delete: 8 bytes smallest time, 8 bytes largest time, and then for each key that was in
 *             the log: 4 bytes length, TSM key
 *
 * All integers are big-endian. A delete concerns the records before it and nothing behind it; what was in TSM files by then
 * has got tombstones. A record that does not check loses only itself: the next one begins where its header says, if a header
 * checks there; else, and when its own header does not check, the next header that does is searched for. Bytes at the end of a
 * segment that begin a record and do not finish it are what a writer was just about to write, or was killed at: they were never
 * acknowledged. That a record is missing shows by the sequence.
 *
 * InfluxDB looks at _*.wal only and passes over these files.
 */
#ifndef TSM_FORMAT_WAL_H
#define TSM_FORMAT_WAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum tsm_wal_kind {
    TSM_WAL_POINTS = 1,
    TSM_WAL_DELETE = 2,
};

enum {
    TSM_WAL_HEADER = 36,
    TSM_WAL_PAYLOAD_MAX = 1 << 30, /* bytes */
    TSM_WAL_NAME_MAX = 20,
};
#define TSM_WAL_SEGMENT_MAX (8ull << 30) /* bytes; a reader takes nothing larger for a segment */

/* Appends a whole record. payload: at most TSM_WAL_PAYLOAD_MAX bytes. */
void tsm_wal_encode(struct tsm_buf *out, enum tsm_wal_kind kind, uint64_t sequence, struct tsm_str payload);

struct tsm_wal_record {
    enum tsm_wal_kind kind;
    uint64_t sequence;
    uint64_t offset, size;  /* of the record in its segment */
    struct tsm_str payload; /* decompressed; valid until the next call */
};

/* Reading a segment from memory. Set p and len (and nothing else) to begin. */
struct tsm_wal_reader {
    const uint8_t *p;
    size_t len;
    size_t at; /* offset of what is read next */
    bool torn; /* set at the end: the bytes from `at` on are an unfinished record */
    struct tsm_buf payload;
};

/* The next record. TSM_ENOTFOUND at the end; TSM_ECORRUPT (offset and cause) for a stretch that does not check: the next
 * call goes on behind it. */
int tsm_wal_next(struct tsm_wal_reader *r, struct tsm_wal_record *record, struct tsm_err *err);
void tsm_wal_reader_release(struct tsm_wal_reader *r);

/* The sequence of records, across the segments of a log. A zeroed struct is ready. */
struct tsm_wal_order {
    uint64_t last;      /* sequence; 0: none has been seen */
    uint64_t stretches; /* that did not check since then: each stands for a record */
};

/* A stretch that tsm_wal_next() reported. */
void tsm_wal_order_damage(struct tsm_wal_order *o);
/* The record that comes next. TSM_ECORRUPT when others are missing before it, or when its sequence has been there: it may be used
 * all the same. What is missing at the very beginning is not noticed: it has been flushed. */
int tsm_wal_order_next(struct tsm_wal_order *o, uint64_t sequence, struct tsm_err *err);

/* The payload of a delete. */
void tsm_wal_delete_begin(struct tsm_buf *payload, int64_t tmin, int64_t tmax);
void tsm_wal_delete_key(struct tsm_buf *payload, struct tsm_str tsm_key);
/* Calls each for every key. TSM_ECORRUPT before the first call when the payload is none. */
int tsm_wal_delete_read(struct tsm_str payload,
                        int (*each)(void *ctx, struct tsm_str tsm_key, int64_t tmin, int64_t tmax,
                                    struct tsm_err *err),
                        void *ctx, struct tsm_err *err);

/* "000000001.log"; terminated. */
void tsm_wal_name_format(char out[TSM_WAL_NAME_MAX], uint32_t number);
bool tsm_wal_name_parse(struct tsm_str name, uint32_t *number); /* number may be NULL */

#endif
