/*
 * store/compaction_key.h: from the blocks of the inputs to those of the output, key by key.
 *
 * - A block that nothing overlaps and no tombstone cuts is handed on as it is. Its CRC is not checked here: all of the output
 *   is read again.
 * - Small ones (fewer than half of TSM_BLOCK_POINTS values) are decoded and joined with what is decoded next to them, or with
 *   small ones. A small one without such neighbours stays as it is.
 * - What overlaps or is cut comes decoded. Decoded values are encoded in blocks of TSM_BLOCK_POINTS, and the last two alike when
 *   else the last one would be small.
 * - Nothing is joined over a fence.
 *
 * What comes out depends on the blocks of a key alone, not on how often and with which limits one asks for it.
 */
#ifndef TSM_STORE_COMPACTION_KEY_H
#define TSM_STORE_COMPACTION_KEY_H

#include "store/compaction_fences.h"
#include "store/compaction_run.h"
#include "store/scan.h"

/* A block of the output. */
struct tsm_out_block {
    const uint8_t *copied; /* its CRC and bytes, in an input's mapping; NULL: … */
    size_t offset;         /* … at this place in tsm_out_blocks.bytes */
    size_t size;
    int64_t tmin, tmax;
};

/* Blocks of some keys. A zeroed struct is empty. */
struct tsm_out_blocks {
    struct tsm_out_block *blocks;
    size_t n, cap;
    struct tsm_buf bytes;
    struct tsm_out_key {
        size_t key; /* of the shard */
        size_t end; /* behind its last block */
    } * keys;
    size_t nkeys, capkeys;
    struct tsm_compaction_figures figures; /* blocks, bytes and points */
    uint64_t in_blocks, in_points;         /* of the inputs, counted by their indexes and headers */
};

void tsm_out_blocks_reset(struct tsm_out_blocks *o);
void tsm_out_blocks_release(struct tsm_out_blocks *o);

struct tsm_key_merger;

/* inputs and fences outlive it. */
struct tsm_key_merger *tsm_key_merger_new(const struct tsm_shard *inputs, const struct tsm_fences *fences);
void tsm_key_merger_free(struct tsm_key_merger *m); /* NULL is allowed */
/* Starts on the keys [from, to). */
void tsm_key_merger_begin(struct tsm_key_merger *m, size_t from, size_t to);
/* Appends blocks to out until it holds about `limit` bytes of memory, or everything: then *done. Call it again with an empty out
 * to go on. */
int tsm_key_merger_run(struct tsm_key_merger *m, struct tsm_out_blocks *out, size_t limit, bool *done,
                       struct tsm_err *err);

#endif
