/*
 * store/scan.h: reading the values of one key of one shard in time order, with overlap resolved (the later
 * file wins, the log over all), tombstones applied, and every CRC checked.
 *
 * A scan yields batches, ascending and disjoint in time. Where blocks do not overlap a batch is one decoded
 * block; where they do, it is a stretch of their merge. At most one block of each file is held at a time. A
 * damaged block is left out, and reported once per shard, when the shard's damage says so; else it ends the
 * scan with TSM_ECORRUPT and file, offset and cause.
 */
#ifndef TSM_STORE_SCAN_H
#define TSM_STORE_SCAN_H

#include "store/shard.h"

struct tsm_scan; /* reusable: keeps its buffers between keys; one per thread */

struct tsm_scan *tsm_scan_new(void);
void tsm_scan_free(struct tsm_scan *sc); /* NULL is allowed */

/* Starts reading key (a number of the shard's) in [tmin, tmax]. Blocks outside are not touched. The shard
 * stays open until the scan has ended or been started on something else. */
int tsm_scan_start(struct tsm_scan *sc, const struct tsm_shard *shard, size_t key, int64_t tmin, int64_t tmax,
                   struct tsm_err *err);
/* The next batch, cut to [tmin, tmax] and never empty, valid until the next call; *batch is NULL at the end.
 */
int tsm_scan_next(struct tsm_scan *sc, const struct tsm_values **batch, struct tsm_err *err);

/* The same in pieces that keep encoded what can stay so, for those who write files. Starts reading all of a key. */
int tsm_scan_start_pieces(struct tsm_scan *sc, const struct tsm_shard *shard, size_t key,
                          struct tsm_err *err);
/* Either a whole block that nothing overlaps and no tombstone cuts (file not NULL, values NULL; its CRC is not checked
 * yet), or decoded values (file NULL). At the end both are NULL. */
struct tsm_piece {
    const struct tsm_reader *file;
    size_t key; /* its number there */
    struct tsm_entry entry;
    const struct tsm_values *values; /* valid until the next call */
};
int tsm_scan_piece(struct tsm_scan *sc, struct tsm_piece *piece, struct tsm_err *err);

/* What the scan has met since it was made, other than in tsm_scan_count(). */
struct tsm_scan_figures {
    uint64_t overwritten, deleted; /* values that were not handed out, as a newer file or a tombstone says */
    uint64_t merged, merged_bytes; /* blocks that were decoded, and their sizes */
};
const struct tsm_scan_figures *tsm_scan_figures(const struct tsm_scan *sc);

/* How many values there are in [tmin, tmax]; decodes only the times of blocks that overlap, or are cut by the
 * range or by a tombstone, and of all others reads the headers. */
int tsm_scan_count(struct tsm_scan *sc, const struct tsm_shard *shard, size_t key, int64_t tmin, int64_t tmax,
                   uint64_t *count, struct tsm_err *err);

/* The first and last time that index and log give for a key (before tombstones). */
void tsm_key_range(const struct tsm_shard *shard, size_t key, int64_t *tmin, int64_t *tmax);
/* Number of blocks of a key in [tmin, tmax], for estimates. */
size_t tsm_key_blocks(const struct tsm_shard *shard, size_t key, int64_t tmin, int64_t tmax);

struct tsm_key_cost {
    uint64_t files, blocks, bytes; /* blocks that tombstones delete as a whole are left out */
    uint64_t cached;               /* values in the log */
};
/* Adds what reading a key in [tmin, tmax] touches. */
void tsm_key_cost(const struct tsm_shard *shard, size_t key, int64_t tmin, int64_t tmax,
                  struct tsm_key_cost *cost);

#endif
