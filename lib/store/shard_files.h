/*
 * store/shard_files.h: the TSM files of a shard as its writer sees them: which generations are taken, and
 * what each file covers, so that a flush opens only those that may hold something as new as what it writes.
 */
#ifndef TSM_STORE_SHARD_FILES_H
#define TSM_STORE_SHARD_FILES_H

#include "format/tsm_file.h"
#include "format/tsm_reader.h"
#include "sys/fs.h"

struct tsm_covered_file {
    struct tsm_file_name name;
    int64_t tmin, tmax;
    char *first, *last; /* keys */
    size_t nfirst, nlast;
};

struct tsm_shard_files {
    char *dir;
    struct tsm_covered_file *files; /* ascending by name */
    size_t n, cap;
    uint32_t next_ordered, next_late; /* generations */
    bool damaged;                     /* some file cannot be read: nothing is known to be newest */
};

/* Called for each file that is opened. */
typedef void tsm_shard_file_fn(void *ctx, const struct tsm_reader *r);
/* Called for a file that does not check. */
typedef void tsm_shard_damage_fn(void *ctx, const char *message);

/* Lists the shard in dir (copied; it may be missing) and removes what a killed writer left there. */
int tsm_shard_files_open(const struct tsm_fs *fs, const char *dir, tsm_shard_file_fn *each,
                         tsm_shard_damage_fn *damage, void *ctx, struct tsm_shard_files *s,
                         struct tsm_err *err);
/* Lists again: another process may have compacted. each and damage are called for files not yet known. */
int tsm_shard_files_refresh(const struct tsm_fs *fs, struct tsm_shard_files *s, tsm_shard_file_fn *each,
                            tsm_shard_damage_fn *damage, void *ctx, struct tsm_err *err);
/* Notes a file that was written; the keys are copied. */
void tsm_shard_files_add(struct tsm_shard_files *s, struct tsm_file_name name, int64_t tmin, int64_t tmax,
                         struct tsm_str first, struct tsm_str last);
/* The path of a file (tsm_free). */
char *tsm_shard_files_path(const struct tsm_shard_files *s, struct tsm_file_name name);
void tsm_shard_files_release(struct tsm_shard_files *s);

#endif
