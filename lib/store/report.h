/*
 * store/report.h: what is in a data directory: series and their cardinality, values, bytes, encodings.
 *
 * Series, fields and tag values are counted by the XXH3-64 of their names: 16 to 32 bytes of memory for each
 * distinct one, whatever its length. Counts are of what is on disk: what a tombstone deletes counts until a
 * compaction takes it out.
 */
#ifndef TSM_STORE_REPORT_H
#define TSM_STORE_REPORT_H

#include "codec/values.h"
#include "store/shard.h"

struct tsm_report; /* one thread at a time */

struct tsm_report_tag {
    struct tsm_str db, measurement, name;
    uint64_t values; /* distinct */
    uint64_t series; /* that have the tag */
};

struct tsm_report_measurement {
    struct tsm_str db, name;
    uint64_t series, fields, tags;  /* distinct */
    uint64_t blocks, values, bytes; /* in TSM files */
};

struct tsm_report_encoding {
    enum tsm_type type;
    const char *time_encoding, *value_encoding;
    uint64_t blocks, values, time_bytes, value_bytes;
};

/* All of it; belongs to the report. */
struct tsm_report_view {
    uint64_t shards, files, file_bytes, series, blocks, values;
    int64_t tmin, tmax;                          /* tmin > tmax: no values */
    struct tsm_report_measurement *measurements; /* most series first */
    size_t nmeasurements;
    struct tsm_report_tag *tags; /* most values first */
    size_t ntags;
    struct tsm_report_encoding *encodings; /* by type, then most values first */
    size_t nencodings;
};

struct tsm_report *tsm_report_new(void);
/* Adds a shard; its blocks are looked at by `jobs` threads. */
int tsm_report_add(struct tsm_report *r, struct tsm_str db, const struct tsm_shard *shard, unsigned jobs,
                   struct tsm_err *err);
/* Sorts; nothing can be added afterwards. */
const struct tsm_report_view *tsm_report_finish(struct tsm_report *r);
void tsm_report_free(struct tsm_report *r);

#endif
