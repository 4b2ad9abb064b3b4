/*
 * store/shard.h: a shard open for reading: its TSM files and what is in its write-ahead logs.
 *
 * A shard is a snapshot: files that appear later are not seen, files that vanish stay readable. The logs are
 * read first, then the directory is listed, then the files are mapped; when one has vanished in between, the
 * listing is repeated. Immutable once open, so any number of threads may read it.
 */
#ifndef TSM_STORE_SHARD_H
#define TSM_STORE_SHARD_H

#include "codec/values.h"
#include "format/tsm_reader.h"
#include "store/damage.h"

/* Where a key is: a file (or nfiles: the log, or the keys that only memory has) and the key's position there. */
struct tsm_place {
    uint32_t file, position;
};

/*
 * The keys of a shard, the union of the keys of its files and its log, are numbered [0, nkeys) in ascending
 * order. A key that tombstones delete entirely from a file is not in that file. For tsm_shard_key_*() see
 * below; places and first are for store/ alone.
 */
struct tsm_shard {
    uint64_t id;               /* number of its folder; 0 for loose files */
    int64_t start, end;        /* [start, end) of its group, set by the opener; everything until then */
    struct tsm_reader **files; /* ascending by name: a later one wins */
    size_t nfiles;
    struct tsm_log *log;   /* values from the logs, which win over all files; NULL: none */
    struct tsm_live *live; /* values that an engine has in memory, which win over all files; NULL: none */
    size_t nkeys;
    struct tsm_place *places; /* of key i: [first[i], first[i + 1]), ascending by file; NULL: key i is … */
    uint32_t *first;          /* … key i of the only file */
    const struct tsm_damage *damage; /* may be NULL: nothing is skipped */
    struct tsm_reported *reported;   /* damage that has been reported */
};

/* wal_path: influxd's log folder of the shard, or NULL; either folder may be missing (TSM_ENOTFOUND when both
 * are). damage (may be NULL) lives as long as the shard. TSM_ECORRUPT names file, offset and cause. */
int tsm_shard_open(const struct tsm_fs *fs, const char *path, const char *wal_path,
                   const struct tsm_damage *damage, struct tsm_shard **s, struct tsm_err *err);
/* The same with a log that has been read (NULL: none), which becomes the shard's whatever happens. */
int tsm_shard_open_over(const struct tsm_fs *fs, const char *path, struct tsm_log *log,
                        const struct tsm_damage *damage, struct tsm_shard **s, struct tsm_err *err);
/* Loose files, in the order given (a later one wins). */
int tsm_shard_open_files(const struct tsm_fs *fs, char *const *paths, size_t n,
                         const struct tsm_damage *damage, struct tsm_shard **s, struct tsm_err *err);
void tsm_shard_close(struct tsm_shard *s); /* NULL is allowed */

struct tsm_str tsm_shard_key(const struct tsm_shard *s, size_t i); /* lives as long as the shard */
enum tsm_type tsm_shard_key_type(const struct tsm_shard *s,
                                 size_t i); /* that of the newest file that has it */
size_t tsm_shard_seek(const struct tsm_shard *s, struct tsm_str key, bool *found); /* the first key >= key */

/* All keys of this measurement (unescaped) are in [*from, *to). Keys of others may be among them, as
 * measurement cpu$ comes between cpu without tags and cpu with tags. */
void tsm_shard_measurement(const struct tsm_shard *s, struct tsm_str measurement, size_t *from, size_t *to);
/* The places of a key, ascending by file; *single is room for the only one of a key that has no array. */
const struct tsm_place *tsm_shard_places(const struct tsm_shard *s, size_t key, struct tsm_place *single,
                                         size_t *n);

#endif
