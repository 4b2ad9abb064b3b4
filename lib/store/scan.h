/*
 * store/scan.h: reading the values of one key of one shard in time order, with overlap resolved (the later
 * file wins, the log over all), tombstones applied, and every CRC checked.
 *
 * A scan yields batches, ascending and disjoint in time. Where blocks do not overlap a batch is one decoded
 * block; where they do, it is the merge of all blocks that overlap each other.
 */
#ifndef TSM_STORE_SCAN_H
#define TSM_STORE_SCAN_H

#include "store/shard.h"

struct tsm_scan; /* reusable: keeps its buffers between keys; one per thread */

struct tsm_scan *tsm_scan_new(void);
void tsm_scan_free(struct tsm_scan *sc);

/* Starts reading key (an index into shard->keys) in [tmin, tmax]. Blocks outside are not touched. */
int tsm_scan_start(struct tsm_scan *sc, const struct tsm_shard *shard, size_t key, int64_t tmin, int64_t tmax,
                   struct tsm_err *err);
/* The next batch, cut to [tmin, tmax] and never empty, valid until the next call; *batch is NULL at the end.
 */
int tsm_scan_next(struct tsm_scan *sc, const struct tsm_values **batch, struct tsm_err *err);

/* How many values there are in [tmin, tmax]; decodes only where time ranges overlap, are cut by the range or
 * by a tombstone, and otherwise reads block headers. */
int tsm_scan_count(struct tsm_scan *sc, const struct tsm_shard *shard, size_t key, int64_t tmin, int64_t tmax,
                   uint64_t *count, struct tsm_err *err);

/* The first and last time that the index gives for a key (before tombstones). */
void tsm_key_range(const struct tsm_shard *shard, size_t key, int64_t *tmin, int64_t *tmax);
/* Number of blocks of a key in [tmin, tmax], for estimates. */
size_t tsm_key_blocks(const struct tsm_shard *shard, size_t key, int64_t tmin, int64_t tmax);

#endif
