/*
 * query/change_place.h: what a change is carried out on: an open engine (change_engine.c), or a directory that no daemon has
 * (directory.c). The statements themselves (ddl.c, delete.c) do not know which.
 */
#ifndef TSM_QUERY_CHANGE_PLACE_H
#define TSM_QUERY_CHANGE_PLACE_H

#include "query/change.h"
#include "store/delete.h"
#include "store/shard.h"

typedef int tsm_meta_change_fn(void *ctx, struct tsm_meta *m, struct tsm_err *err);

struct tsm_change_place {
    void *ctx;
    const struct tsm_damage *damage; /* NULL: damage ends a delete */
    const char *holder;              /* for the locks of shards */
    unsigned jobs;
    /* A copy of meta.db, the caller's. */
    int (*meta)(void *ctx, struct tsm_meta *m, struct tsm_err *err);
    /* Calls change with meta.db and makes what it changed durable. found: whether the directory has to be there already. */
    int (*change_meta)(void *ctx, bool found, tsm_meta_change_fn *change, void *change_ctx,
                       struct tsm_err *err);
    /* Database and policy in whose folder a shard is that meta.db does not know; empty when there is none. In the arena. */
    int (*find_shard)(void *ctx, uint64_t shard, struct tsm_arena *a, struct tsm_str *db, struct tsm_str *rp,
                      struct tsm_err *err);
    /* Removes everything of a database, a policy (rp not empty) or a shard (not 0), whether there is any or not. After
     * change_meta(). */
    int (*drop)(void *ctx, struct tsm_str db, struct tsm_str rp, uint64_t shard, struct tsm_err *err);
    /* TSM_ENOTFOUND: it has no folder. */
    int (*open_shard)(void *ctx, struct tsm_str db, struct tsm_str rp, uint64_t id, struct tsm_shard **s,
                      struct tsm_err *err);
    void (*close_shard)(void *ctx, struct tsm_shard *s);
    /* Fills in fs, dir and wal of d. */
    int (*delete)(void *ctx, struct tsm_str db, struct tsm_str rp, uint64_t shard, struct tsm_delete *d,
                  struct tsm_err *err);
};

/* As tsm_change_apply(). */
int tsm_change_carry_out(const struct tsm_change_place *place, const struct tsm_change *c,
                         struct tsm_err *err);

/* ddl.c: all but deletes. */
int tsm_ddl_run(const struct tsm_change_place *place, const struct tsm_statement *st,
                const struct tsm_change *c, struct tsm_err *err);
/* delete.c: DELETE, DROP SERIES and DROP MEASUREMENT. All retention policies of the database are concerned. */
int tsm_delete_statement(const struct tsm_change_place *place, const struct tsm_statement *st,
                         const struct tsm_change *c, struct tsm_err *err);

#endif
