/*
 * store/data_dir.h: the layout of a data directory: paths of its parts, and what to do to them as a whole.
 */
#ifndef TSM_STORE_DATA_DIR_H
#define TSM_STORE_DATA_DIR_H

#include "base/arena.h"
#include "base/buf.h"
#include "sys/fs.h"

/* Paths, allocated (tsm_free). dir may end in a slash. Names are used as they are: tsm_meta_decode() and
 * tsm_meta_create_* let no name pass that would leave its folder. */
char *tsm_path_join(const char *dir, const char *name);
char *tsm_path_meta(const char *dir); /* DIR/meta/meta.db */
char *tsm_path_lock(const char *dir);
char *tsm_path_rp(const char *dir, struct tsm_str db, struct tsm_str rp);
char *tsm_path_shard(const char *dir, struct tsm_str db, struct tsm_str rp, uint64_t shard);
char *tsm_path_shard_lock(const char *shard_dir); /* of compactions and deletes in the shard: SHARD/lock */
char *tsm_path_raft(const char *dir);             /* DIR/raft */
char *tsm_path_socket(const char *dir);           /* DIR/raftd.sock */
char *tsm_path_wal(const char *dir, struct tsm_str db, struct tsm_str rp,
                   uint64_t shard); /* log folder of a shard */

/* While a daemon has the directory, and after it was killed, there are points that only its log has. TSM_EAGAIN: so it is, and
 * the message says what to do. */
int tsm_data_unflushed(const struct tsm_fs *fs, const char *dir, struct tsm_err *err);
/* The same only while no daemon has the directory: with one, files can be worked on. */
int tsm_data_abandoned(const struct tsm_fs *fs, const char *dir, struct tsm_err *err);
/* Durably: before the daemon takes in the first point, and after the last one is in a file. */
int tsm_data_mark_unflushed(const struct tsm_fs *fs, const char *dir, struct tsm_err *err);
int tsm_data_clear_unflushed(const struct tsm_fs *fs, const char *dir, struct tsm_err *err);

/* Makes a shard's folder (a path of tsm_path_shard()), and every entry on the way from DIR down durable, also
 * those that were there: whoever made them may have been killed before the fsync. */
int tsm_data_make_shard(const struct tsm_fs *fs, const char *path, struct tsm_err *err);

/* Removes the data and the logs of a database, or of one of its policies (rp not empty). Their absence is
 * success. */
int tsm_data_remove(const struct tsm_fs *fs, const char *dir, struct tsm_str db, struct tsm_str rp,
                    struct tsm_err *err);

/* Looks for the folder of a shard, of its data or its log, in all databases: database and policy, in the arena; empty when there
 * is none. */
int tsm_data_find_shard(const struct tsm_fs *fs, const char *dir, uint64_t shard, struct tsm_arena *a,
                        struct tsm_str *db, struct tsm_str *rp, struct tsm_err *err);

/* Removes data and log of one shard. Their absence is success. */
int tsm_data_remove_shard(const struct tsm_fs *fs, const char *dir, struct tsm_str db, struct tsm_str rp,
                          uint64_t shard, struct tsm_err *err);

#endif
