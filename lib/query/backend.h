/*
 * query/backend.h: what statements work on.
 *
 * Over a data directory they read meta.db and the shards on disk, and take the directory's locks for what they change
 * (directory.c). Inside a daemon the same statements see its state, with what has not been flushed yet, and change it by way of
 * the raft log. Both stand behind this table. Any thread may call, several at a time.
 */
#ifndef TSM_QUERY_BACKEND_H
#define TSM_QUERY_BACKEND_H

#include "format/line.h"
#include "format/meta_db.h"
#include "query/change.h"
#include "store/shard.h"

struct tsm_backend {
    void *ctx;
    /* A copy of meta.db as it is now, the caller's (tsm_meta_release()). TSM_ENOTFOUND: there is no such directory. */
    int (*meta)(void *ctx, struct tsm_meta *m, struct tsm_err *err);
    /* A shard with everything that has been written by now, immutable while it is held. The folder may be missing:
     * TSM_ENOTFOUND. start and end are set by the caller. */
    int (*open_shard)(void *ctx, struct tsm_str db, struct tsm_str rp, uint64_t id,
                      const struct tsm_damage *damage, struct tsm_shard **s, struct tsm_err *err);
    void (*close_shard)(void *ctx, struct tsm_shard *s);
    /* Carries out a statement that changes something; durable when it returns TSM_OK. TSM_EQUERY with influxd's text,
     * TSM_ELOCKED, TSM_EAGAIN (no leader). */
    int (*change)(void *ctx, const struct tsm_change *c, struct tsm_err *err);
    /* SELECT INTO: durable when it returns TSM_OK. Points that cannot be stored go to reject. */
    int (*write)(void *ctx, struct tsm_str db, struct tsm_str rp, const struct tsm_points *points,
                 tsm_reject_fn *reject, void *reject_ctx, struct tsm_err *err);
};

/* A backend over a directory, for programs that have no daemon. holder names the program in the locks it takes. */
struct tsm_directory; /* query/directory.h */

#endif
