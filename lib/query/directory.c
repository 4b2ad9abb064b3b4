/*
 * query/directory.c: a data directory as a backend, and as the place of a change.
 *
 * The mutex is held for all of a change and all of a write: there is one writer, and it has the directory's lock.
 */
#include "query/directory.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "query/change_place.h"
#include "store/data_dir.h"
#include "store/engine.h"

#include "base/banned.h"

enum { LEAST_MEMORY = 64 << 20 }; /* of an engine */

struct tsm_directory {
    struct tsm_directory_options opt;
    char holder[64];
    struct tsm_backend backend;
    struct tsm_change_place place;
    pthread_mutex_t mutex;
    struct tsm_engine *engine; /* of SELECT INTO; NULL: not open */
    struct tsm_lock lock;      /* of a change */
    bool locked;
};

/* ---- reading ----------------------------------------------------------------------------------- */

static int directory_meta(void *ctx, struct tsm_meta *m, struct tsm_err *err)
{
    const struct tsm_directory *d = ctx;
    *m = (struct tsm_meta){0};
    if (!tsm_fs_exists(d->opt.fs, d->opt.dir))
        return tsm_err_set(err, TSM_ENOTFOUND, "data directory '%s' does not exist", d->opt.dir);
    return tsm_meta_load(d->opt.fs, d->opt.dir, m, err);
}

static int directory_open_shard(void *ctx, struct tsm_str db, struct tsm_str rp, uint64_t id,
                                const struct tsm_damage *damage, struct tsm_shard **s, struct tsm_err *err)
{
    const struct tsm_directory *d = ctx;
    char *path = tsm_path_shard(d->opt.dir, db, rp, id), *wal = tsm_path_wal(d->opt.dir, db, rp, id);
    int rc = tsm_shard_open(d->opt.fs, path, wal, damage, s, err);
    if (rc == TSM_OK)
        (*s)->id = id;
    tsm_free(path);
    tsm_free(wal);
    return rc;
}

static void directory_close_shard(void *ctx, struct tsm_shard *s)
{
    (void)ctx;
    tsm_shard_close(s);
}

/* ---- SELECT INTO ------------------------------------------------------------------------------- */

static int open_engine(struct tsm_directory *d, struct tsm_err *err)
{
    struct tsm_engine_options opt = {
        .dir = d->opt.dir,
        .holder = d->holder,
        .memory = d->opt.memory > LEAST_MEMORY ? d->opt.memory : LEAST_MEMORY,
        .jobs = d->opt.jobs,
        .wal = true,
    };
    return d->engine ? TSM_OK : tsm_engine_open(d->opt.fs, &opt, &d->engine, err);
}

static int close_engine(struct tsm_directory *d, struct tsm_err *err)
{
    int rc = d->engine ? tsm_engine_sync(d->engine, err) : TSM_OK;
    tsm_engine_close(d->engine);
    d->engine = NULL;
    return rc;
}

static int directory_write(void *ctx, struct tsm_str db, struct tsm_str rp, const struct tsm_points *points,
                           tsm_reject_fn *reject, void *reject_ctx, struct tsm_err *err)
{
    struct tsm_directory *d = ctx;
    struct tsm_engine_policy *policy;
    pthread_mutex_lock(&d->mutex);
    int rc = open_engine(d, err);
    if (rc == TSM_OK)
        rc = tsm_engine_policy(d->engine, db, rp, &policy, err);
    if (rc == TSM_OK)
        rc = tsm_engine_write_to(d->engine, policy, points, reject, reject_ctx, err);
    pthread_mutex_unlock(&d->mutex);
    return rc;
}

/* ---- changes ----------------------------------------------------------------------------------- */

static int place_change_meta(void *ctx, bool found, tsm_meta_change_fn *change, void *change_ctx,
                             struct tsm_err *err)
{
    struct tsm_directory *d = ctx;
    struct tsm_buf before = {0}, after = {0};
    struct tsm_meta m = {0};
    int rc = TSM_OK;
    if (!found)
        rc = tsm_fs_make_dirs(d->opt.fs, d->opt.dir, err);
    else if (!tsm_fs_exists(d->opt.fs, d->opt.dir))
        rc = tsm_err_set(err, TSM_ENOTFOUND, "data directory '%s' does not exist", d->opt.dir);
    if (rc != TSM_OK)
        return rc;
    char *path = tsm_path_lock(d->opt.dir);
    rc = tsm_lock_take(d->opt.fs, path, d->holder, &d->lock, err);
    tsm_free(path);
    d->locked = rc == TSM_OK;
    if (rc == TSM_OK)
        rc = tsm_meta_load(d->opt.fs, d->opt.dir, &m, err);
    if (rc == TSM_OK) {
        tsm_meta_encode(&m, &before);
        rc = change(change_ctx, &m, err);
        tsm_meta_encode(&m, &after);
    }
    if (rc == TSM_OK && !tsm_str_eq(tsm_buf_view(&before), tsm_buf_view(&after)))
        rc = tsm_meta_save(d->opt.fs, d->opt.dir, &m, err);
    tsm_buf_release(&before);
    tsm_buf_release(&after);
    tsm_meta_release(&m);
    return rc;
}

static int place_find_shard(void *ctx, uint64_t shard, struct tsm_arena *a, struct tsm_str *db,
                            struct tsm_str *rp, struct tsm_err *err)
{
    const struct tsm_directory *d = ctx;
    return tsm_data_find_shard(d->opt.fs, d->opt.dir, shard, a, db, rp, err);
}

/* A compaction or a delete may be at work in the shard, which the directory's lock does not keep out. */
static int drop_shard(const struct tsm_directory *d, struct tsm_str db, struct tsm_str rp, uint64_t shard,
                      struct tsm_err *err)
{
    struct tsm_lock lock = {0};
    char *dir = tsm_path_shard(d->opt.dir, db, rp, shard), *path = tsm_path_shard_lock(dir);
    int rc = tsm_fs_exists(d->opt.fs, dir) ? tsm_lock_take(d->opt.fs, path, d->holder, &lock, err) : TSM_OK;
    if (rc == TSM_OK)
        rc = tsm_data_remove_shard(d->opt.fs, d->opt.dir, db, rp, shard, err);
    tsm_lock_release(&lock);
    tsm_free(path);
    tsm_free(dir);
    return rc;
}

static int place_drop(void *ctx, struct tsm_str db, struct tsm_str rp, uint64_t shard, struct tsm_err *err)
{
    const struct tsm_directory *d = ctx;
    return shard ? drop_shard(d, db, rp, shard, err) : tsm_data_remove(d->opt.fs, d->opt.dir, db, rp, err);
}

static int place_open_shard(void *ctx, struct tsm_str db, struct tsm_str rp, uint64_t id,
                            struct tsm_shard **s, struct tsm_err *err)
{
    const struct tsm_directory *d = ctx;
    return directory_open_shard(ctx, db, rp, id, d->opt.damage, s, err);
}

static int place_delete(void *ctx, struct tsm_str db, struct tsm_str rp, uint64_t shard,
                        struct tsm_delete *run, struct tsm_err *err)
{
    const struct tsm_directory *d = ctx;
    char *dir = tsm_path_shard(d->opt.dir, db, rp, shard), *wal = tsm_path_wal(d->opt.dir, db, rp, shard);
    run->fs = d->opt.fs;
    run->dir = dir;
    run->wal = wal;
    int rc = tsm_delete_run(run, err);
    run->dir = run->wal = NULL;
    tsm_free(dir);
    tsm_free(wal);
    return rc;
}

static int directory_change(void *ctx, const struct tsm_change *c, struct tsm_err *err)
{
    struct tsm_directory *d = ctx;
    pthread_mutex_lock(&d->mutex);
    int rc = close_engine(d, err); /* which has the lock */
    if (rc == TSM_OK)
        rc = tsm_change_carry_out(&d->place, c, err);
    if (d->locked)
        tsm_lock_release(&d->lock);
    d->locked = false;
    pthread_mutex_unlock(&d->mutex);
    return rc;
}

/* ---- the directory ----------------------------------------------------------------------------- */

struct tsm_directory *tsm_directory_new(const struct tsm_directory_options *opt)
{
    struct tsm_directory *d = tsm_calloc(1, sizeof *d);
    d->opt = *opt;
    snprintf(d->holder, sizeof d->holder, "%s, process %ld", opt->program, (long)getpid());
    pthread_mutex_init(&d->mutex, NULL);
    d->backend = (struct tsm_backend){
        .ctx = d,
        .meta = directory_meta,
        .open_shard = directory_open_shard,
        .close_shard = directory_close_shard,
        .change = directory_change,
        .write = directory_write,
    };
    d->place = (struct tsm_change_place){
        .ctx = d,
        .damage = opt->damage,
        .holder = d->holder,
        .jobs = opt->jobs,
        .meta = directory_meta,
        .change_meta = place_change_meta,
        .find_shard = place_find_shard,
        .drop = place_drop,
        .open_shard = place_open_shard,
        .close_shard = directory_close_shard,
        .delete = place_delete,
    };
    return d;
}

const struct tsm_backend *tsm_directory_backend(struct tsm_directory *d)
{
    return &d->backend;
}

int tsm_directory_close(struct tsm_directory *d, struct tsm_err *err)
{
    if (!d)
        return TSM_OK;
    int rc = close_engine(d, err);
    pthread_mutex_destroy(&d->mutex);
    tsm_free(d);
    return rc;
}
