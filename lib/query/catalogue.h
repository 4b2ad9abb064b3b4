/*
 * query/catalogue.h: what SHOW lists: the measurements, series and tag keys that have keys in some shards.
 * influxd keeps one index of a database for all shards and policies; this is the same, made on the spot.
 */
#ifndef TSM_QUERY_CATALOGUE_H
#define TSM_QUERY_CATALOGUE_H

#include "base/map.h"
#include "format/series_key.h"
#include "store/shard.h"

struct tsm_listed_series {
    struct tsm_str key;   /* as in the shard */
    struct tsm_tag *tags; /* ascending by key, texts unescaped */
    uint32_t ntags;
};

struct tsm_listed_measurement {
    struct tsm_str name;
    struct tsm_listed_series *series; /* ascending by tags, one by one */
    size_t nseries, capseries;
    struct tsm_str *tag_keys; /* ascending */
    size_t ntag_keys;
};

struct tsm_catalogue {
    struct tsm_arena arena;
    struct tsm_listed_measurement *measurements; /* ascending by name */
    size_t n, cap;
};

/* The measurement of a series key with its escapes: all up to the first comma that is not escaped. */
struct tsm_str tsm_raw_measurement(struct tsm_str series);

/* names_only: no series and no tag keys, for a fraction of the time. memory: limit in bytes (TSM_ELIMIT). The
 * shards stay open as long as the catalogue is used. */
int tsm_catalogue_make(struct tsm_shard *const *shards, size_t n, bool names_only, size_t memory,
                       struct tsm_catalogue *c, struct tsm_err *err);
void tsm_catalogue_release(struct tsm_catalogue *c);

#endif
