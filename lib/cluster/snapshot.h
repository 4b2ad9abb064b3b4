/*
 * cluster/snapshot.h: a snapshot of the state machine: meta.db and the list of the files that hold everything up to an index.
 * Their bytes are not in it: they are where they are.
 *
 *   byte      version, 1
 *   uvarint   index
 *   uvarint   length, meta.db (format/meta_db.h, without a seal)
 *   uvarint   number of shards, each:
 *               uvarint length, database; uvarint length, retention policy; uvarint shard
 *               uvarint number of files, each: uvarint length, name; uvarint bytes; svarint time of its last change;
 *                                              8 bytes XXH3-64 of its content, big-endian; 0: not known yet
 *
 * Of files that were there before the first snapshot only some are read for each, so digests may come later than the file.
 */
#ifndef TSM_CLUSTER_SNAPSHOT_H
#define TSM_CLUSTER_SNAPSHOT_H

#include "base/arena.h"
#include "format/meta_db.h"

struct tsm_snapshot_file {
    struct tsm_str name;
    uint64_t size, digest;
    int64_t mtime; /* nanoseconds */
};

struct tsm_snapshot_shard {
    struct tsm_str db, rp;
    uint64_t shard;
    struct tsm_snapshot_file *files; /* ascending by name */
    size_t n, cap;
};

/* Texts and arrays are in the arena, or what was decoded. A zeroed struct is empty. */
struct tsm_snapshot {
    uint64_t index;
    struct tsm_str meta;
    struct tsm_snapshot_shard *shards; /* in the order of meta.db */
    size_t n, cap;
    struct tsm_arena arena;
};

void tsm_snapshot_encode(const struct tsm_snapshot *s, struct tsm_buf *out);
/* Texts borrow from p. Any bytes may be given: TSM_ECORRUPT. */
int tsm_snapshot_decode(const uint8_t *p, size_t len, struct tsm_snapshot *s, struct tsm_err *err);
void tsm_snapshot_release(struct tsm_snapshot *s);

/* Adds the files of all shards that meta names and that have a folder in dir. A digest is taken from before when the
 * file there has the same name, size and time; of the others at most `budget` bytes are read. before may be NULL. */
int tsm_snapshot_list(const struct tsm_fs *fs, const char *dir, const struct tsm_meta *meta,
                      const struct tsm_snapshot *before, uint64_t budget, struct tsm_snapshot *s,
                      struct tsm_err *err);

#endif
