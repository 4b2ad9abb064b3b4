/*
 * store/retention.h: shards that fell out of their retention policy.
 *
 * As in influxd a shard group has expired when its end plus the duration of its policy is before now; a policy with duration 0
 * keeps everything. A truncated group counts to its end, too: it may hold points from behind the place where it was cut.
 *
 * With DIR/lock the groups are marked as deleted in meta.db first, durably, so that nobody looks at their files any more; then
 * the folders of their shards are removed, data and log, each under the shard's lock; then the groups that have no folder left
 * are taken out of meta.db. What a killed run left is marked, and removed by the next one. While a writer has DIR/lock only TSM
 * files are removed, in the order of who wins; a later run does the rest.
 */
#ifndef TSM_STORE_RETENTION_H
#define TSM_STORE_RETENTION_H

#include "format/meta_db.h"

struct tsm_expired_shard {
    struct tsm_str db, rp;
    uint64_t shard;
    bool deleted;          /* its group is marked in meta.db already */
    uint64_t files, bytes; /* TSM files it has; filled by tsm_retention_find() */
};

/* All texts are in the arena. */
struct tsm_expired_shards {
    struct tsm_expired_shard *items;
    size_t n, cap;
    size_t prunable; /* groups that have no folder left */
    struct tsm_arena arena;
};

/* The shards of dir, of database db and policy rp alone when these are not empty, that have expired and are not yet
 * removed: those with a folder. */
int tsm_retention_find(const struct tsm_fs *fs, const char *dir, struct tsm_str db, struct tsm_str rp,
                       int64_t now, struct tsm_expired_shards *out, struct tsm_err *err);
void tsm_expired_shards_release(struct tsm_expired_shards *l);

struct tsm_retention {
    const struct tsm_fs *fs;
    const char *dir;
    const char *holder; /* of the locks: "tsm-compact, process 4711" */
    int64_t now;
    /* Called for each shard: code TSM_OK when its data are removed, else err says why not, TSM_ELOCKED that its lock is held. May
     * be NULL. */
    void (*done)(void *ctx, const struct tsm_expired_shard *shard, int code, const struct tsm_err *err);
    void *ctx;
    /* out */
    bool writer;              /* DIR/lock was held: meta.db follows later */
    uint64_t removed, pruned; /* shards, groups */
};

/* Removes these shards, after having looked in meta.db once more: one that has not expired (any more) gets TSM_ENOTFOUND. With none
 * it only takes groups without folders out of meta.db. The error of the whole, as of meta.db; those of single shards go to
 * done. */
int tsm_retention_run(struct tsm_retention *r, struct tsm_expired_shard *shards, size_t n,
                      struct tsm_err *err);

#endif
