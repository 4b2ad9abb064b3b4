/*
 * store/salvage.h: what still checks in a TSM file: the blocks that can be tied to a key.
 *
 * The index is believed as far as it proves itself:
 * - one that checks, seal included, is taken as it is;
 * - one whose seal is there and says otherwise is put right when a single bit makes them agree (the seal is 64 bits
 *   long, so that is no chance), in the index or in the seal;
 * - of any other one the records that parse are taken, found again behind damage by entries whose blocks check.
 * A block checks when its CRC is right, it decodes, and its type and its first and last time are those of its entry. Of an entry
 * with one wrong time, or a wrong place, whose block checks otherwise where the block before it ends, the block is believed.
 */
#ifndef TSM_STORE_SALVAGE_H
#define TSM_STORE_SALVAGE_H

#include "codec/values.h"
#include "format/tsm_reader.h"
#include "sys/fs.h"

struct tsm_salvaged_key {
    struct tsm_str key;
    enum tsm_type type;
    size_t from, to; /* its blocks */
};

struct tsm_salvage {
    struct tsm_map_file map;
    struct tsm_salvaged_key *keys; /* ascending */
    size_t nkeys, capkeys;
    struct tsm_entry *blocks; /* ascending in time for each key, disjoint */
    size_t nblocks, capblocks;
    uint64_t values;
    bool sound; /* nothing is wrong with the file */
    bool
        doubted; /* the index contradicts its seal and could not be put right: a name or a block may be missing unseen */
    char cause[1020]; /* what is wrong, the first of it; with its offset, without the path */
    uint64_t lost_blocks, lost_keys, lost_bytes;
    int64_t lost_tmin, lost_tmax; /* of lost blocks whose entries are there; tmin > tmax: none */
    struct tsm_buf index;         /* a copy that was put right */
};

/* lost (may be NULL) is called for each block that is known and lost. TSM_OK whatever the file holds. */
int tsm_salvage_open(const struct tsm_fs *fs, const char *path,
                     void (*lost)(void *ctx, struct tsm_str key, const struct tsm_entry *e,
                                  const char *cause),
                     void *ctx, struct tsm_salvage *s, struct tsm_err *err);
void tsm_salvage_release(struct tsm_salvage *s);

#endif
