/*
 * store/sources.h: what operands of a command stand for: the shards of a data directory, of a single
 * directory with TSM files, or loose files.
 */
#ifndef TSM_STORE_SOURCES_H
#define TSM_STORE_SOURCES_H

#include "store/shard.h"

/* One shard. All texts belong to the list. */
struct tsm_source {
    struct tsm_str db, rp; /* empty outside of a data directory */
    uint64_t id;           /* number of the shard; 0 outside of a data directory */
    const char *path;      /* its folder; may be missing when wal is there */
    const char *wal;       /* its log folder, ours and influxd's, or NULL */
    char **files;          /* loose files instead of a folder */
    size_t nfiles;
};

struct tsm_sources {
    struct tsm_source *items;
    size_t n, cap;
    struct tsm_arena arena;
};

/*
 * Adds what path stands for. A data directory gives its shards, by database, policy and number, those of db
 * and rp alone when these are not empty (TSM_ENOTFOUND when there are none). Any other directory gives each
 * directory in it with TSM files; all files given make one shard in which a later one wins; there db and rp
 * (which may come from the environment) mean nothing. TSM_ENOTFOUND when a directory holds nothing of the
 * kind.
 */
int tsm_sources_add(const struct tsm_fs *fs, const char *path, struct tsm_str db, struct tsm_str rp,
                    struct tsm_sources *s, struct tsm_err *err);
void tsm_sources_release(struct tsm_sources *s);

int tsm_source_open(const struct tsm_fs *fs, const struct tsm_source *s, const struct tsm_damage *damage,
                    struct tsm_shard **shard, struct tsm_err *err);

/* Whether path is a directory; one that is not there is none, any other failure is an error: nothing is
 * passed over because the disk failed. */
int tsm_is_dir(const struct tsm_fs *fs, const char *path, bool *is, struct tsm_err *err);
/* DIR has a folder data or a meta/meta.db. */
bool tsm_is_data_dir(const struct tsm_fs *fs, const char *dir);

#endif
