/* query/change_engine.c: an open engine as the place of a change. */
#include "query/change_place.h"
#include "store/engine.h"

#include "base/banned.h"

static int engine_meta(void *e, struct tsm_meta *m, struct tsm_err *err)
{
    return tsm_engine_meta(e, m, err);
}

static int engine_change_meta(void *e, bool found, tsm_meta_change_fn *change, void *ctx, struct tsm_err *err)
{
    (void)found;
    return tsm_engine_change_meta(e, change, ctx, err);
}

static int engine_find_shard(void *e, uint64_t shard, struct tsm_arena *a, struct tsm_str *db,
                             struct tsm_str *rp, struct tsm_err *err)
{
    return tsm_engine_find_folder(e, shard, a, db, rp, err);
}

static int engine_drop(void *e, struct tsm_str db, struct tsm_str rp, uint64_t shard, struct tsm_err *err)
{
    return tsm_engine_drop(e, db, rp, shard, err);
}

static int engine_open_shard(void *e, struct tsm_str db, struct tsm_str rp, uint64_t id, struct tsm_shard **s,
                             struct tsm_err *err)
{
    return tsm_engine_read_shard(e, db, rp, id, NULL, s, err);
}

static void engine_close_shard(void *e, struct tsm_shard *s)
{
    tsm_engine_release_shard(e, s);
}

static int engine_delete(void *e, struct tsm_str db, struct tsm_str rp, uint64_t shard, struct tsm_delete *d,
                         struct tsm_err *err)
{
    return tsm_engine_delete(e, db, rp, shard, d, err);
}

int tsm_change_apply(struct tsm_engine *e, const struct tsm_change *c, struct tsm_err *err)
{
    struct tsm_change_place place = {
        .ctx = e,
        .holder = "tsm-raftd",
        .meta = engine_meta,
        .change_meta = engine_change_meta,
        .find_shard = engine_find_shard,
        .drop = engine_drop,
        .open_shard = engine_open_shard,
        .close_shard = engine_close_shard,
        .delete = engine_delete,
    };
    return tsm_change_carry_out(&place, c, err);
}
