/*
 * query/catalogue.h: what SHOW lists: the measurements and series that have keys in some shards. influxd keeps one index of a
 * database for all shards and policies; this is the same, made on the spot from the sorted keys of the shards.
 *
 * The order of series is that of influxd's index: by measurement, then by tags one by one (a key, then its value), all unescaped.
 * It is nearly that of the keys' bytes.
 */
#ifndef TSM_QUERY_CATALOGUE_H
#define TSM_QUERY_CATALOGUE_H

#include "format/series_key.h"
#include "query/control.h"
#include "store/shard.h"

struct tsm_str_list {
    struct tsm_str *items;
    size_t n, cap;
};

void tsm_str_list_release(struct tsm_str_list *l);
/* Ascending by bytes. */
void tsm_str_list_sort(struct tsm_str_list *l);

/* The names of the measurements in the shards, unescaped, ascending, each once. Texts are in the arena or in the shards. */
int tsm_catalogue_names(struct tsm_shard *const *shards, size_t n, struct tsm_query_control *control,
                        struct tsm_arena *a, struct tsm_str_list *names, struct tsm_err *err);

/* The series of one measurement of one shard, in the order of its keys. */
struct tsm_series_walk {
    const struct tsm_shard *shard;
    struct tsm_buf measurement; /* escaped */
    size_t at, to;
    struct tsm_str series; /* the current one, in the shard */
    size_t first, nkeys;   /* its keys */
};
void tsm_series_walk_start(struct tsm_series_walk *w, const struct tsm_shard *shard,
                           struct tsm_str measurement);
bool tsm_series_walk_next(struct tsm_series_walk *w);
void tsm_series_walk_release(struct tsm_series_walk *w);

/* The keys of the series of a measurement in all shards, in order, each once. memory: limit in bytes (TSM_ELIMIT). */
int tsm_catalogue_series(struct tsm_shard *const *shards, size_t n, struct tsm_str measurement,
                         struct tsm_query_control *control, size_t memory, struct tsm_str_list *series,
                         struct tsm_err *err);

/* The measurement of a series key with its escapes: all up to the first comma that is not escaped. */
struct tsm_str tsm_raw_measurement(struct tsm_str series);

/* Series keys in the order of the index; of two different keys neither is equal. */
int tsm_series_compare(struct tsm_str x, struct tsm_str y);
void tsm_series_sort(struct tsm_str_list *series);

#endif
