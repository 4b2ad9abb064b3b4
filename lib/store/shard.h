/*
 * store/shard.h: a shard open for reading: its TSM files and what is in its write-ahead logs.
 *
 * A shard is a snapshot: files that appear later are not seen, files that vanish stay readable. The logs are
 * read first, then the directory is listed, then the files are mapped; when one has vanished in between, the
 * listing is repeated. Immutable once open, so any number of threads may read it.
 */
#ifndef TSM_STORE_SHARD_H
#define TSM_STORE_SHARD_H

#include "base/map.h"
#include "codec/values.h"
#include "format/tsm_reader.h"

/* What to do with a file that does not check. */
struct tsm_damage {
    bool skip; /* --skip-corrupt: leave it out and go on; else the first one is the error */
    void (*report)(void *ctx, const char *message); /* called for each one left out, by any thread (serialised
                                                       by the callee); may be NULL */
    void *ctx;
};

struct tsm_shard {
    uint64_t id;               /* 0 for loose files */
    int64_t start, end;        /* [start, end) of its group; everything for loose files */
    struct tsm_reader **files; /* ascending by name: a later one wins */
    size_t nfiles;
    struct tsm_logged *log; /* values from the logs, sorted by key; they win over all files; see shard.c */
    size_t nlog;
    struct tsm_key *keys; /* the union of all keys, ascending */
    size_t nkeys;
    struct tsm_arena arena;
    const struct tsm_damage *damage;
};

/* Where one TSM key is: files and positions, ascending by file; log -1 when not in the log. */
struct tsm_key {
    struct tsm_str key;
    enum tsm_type type; /* that of the newest file that has it */
    uint32_t nplaces;
    struct tsm_place {
        uint32_t file, position;
    } * places;
    int32_t log;
};

/* wal_path: influxd's log folder of the shard, or NULL. damage lives as long as the shard. */
int tsm_shard_open(const struct tsm_fs *fs, const char *path, const char *wal_path,
                   const struct tsm_damage *damage, struct tsm_shard **s, struct tsm_err *err);
/* Loose files, in the order given (a later one wins). */
int tsm_shard_open_files(const struct tsm_fs *fs, char *const *paths, size_t n,
                         const struct tsm_damage *damage, struct tsm_shard **s, struct tsm_err *err);
void tsm_shard_close(struct tsm_shard *s);

/* The keys whose series key is of this measurement: [*from, *to) in keys. measurement is unescaped. */
void tsm_shard_measurement(const struct tsm_shard *s, struct tsm_str measurement, size_t *from, size_t *to);
size_t tsm_shard_seek(const struct tsm_shard *s, struct tsm_str key, bool *found);

#endif
