/*
 * store/engine.c: the writer of a data directory.
 *
 * One memtable takes points; those that are full are frozen and written out by a thread (engine_flush.c). Readers look at all
 * of them (engine_read.c).
 */
#include "store/engine_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/time.h"
#include "store/data_dir.h"
#include "base/banned.h"

enum {
    MEMORY_MIN = 1 << 20,
    SERIES_SHARE = 16,  /* of the memory, for counting series */
    INDEX_SHARE = 16,   /* of the memory, for the index of the file that is written */
    FRONTIER_SHARE = 8, /* of the memory, for frontiers at the most */
    CACHE_LEAST = 64 << 20,
    SERIES_SLOT = 3 * 8, /* bytes per counted series, at the worst */
};

void tsm_engine_warn(void *ctx, const char *message)
{
    struct tsm_engine *e = ctx;
    if (e->warn)
        e->warn(e->warn_ctx, message);
}

/* ---- opening and closing ---- */

/* Without a database of its own it is an engine that is read. */
struct tsm_memtable *tsm_engine_new_memtable(const struct tsm_engine *e)
{
    struct tsm_memtable *m = tsm_memtable_new();
    if (e->read)
        tsm_memtable_watch(m);
    return m;
}

static int take_lock(struct tsm_engine *e, struct tsm_err *err)
{
    int rc = tsm_fs_make_dirs(e->fs, e->dir, err);
    if (rc != TSM_OK)
        return rc;
    char *path = tsm_path_lock(e->dir);
    struct tsm_buf name = {0};
    tsm_buf_printf(&name, "%s, process %ld", e->holder, (long)getpid());
    rc = tsm_lock_take(e->fs, path, tsm_buf_cstr(&name), &e->lock, err);
    tsm_buf_release(&name);
    tsm_free(path);
    return rc;
}

/* What a killed writer has left: an unfinished file, and perhaps a new one that is not durable yet, although we read it and
 * build on it. Only with the lock is it certain that nobody is writing there. */
static int settle_meta(struct tsm_engine *e, struct tsm_err *err)
{
    char *meta = tsm_path_meta(e->dir);
    struct tsm_buf path = {0};
    tsm_buf_printf(&path, "%s.tmp", meta);
    int rc = tsm_fs_remove(e->fs, tsm_buf_cstr(&path), err);
    tsm_buf_release(&path);
    if (rc == TSM_OK)
        rc = tsm_fs_sync_parent(e->fs, meta, err);
    if (rc == TSM_ENOTFOUND)
        rc = TSM_OK;
    tsm_free(meta);
    return rc;
}

int tsm_engine_open(const struct tsm_fs *fs, const struct tsm_engine_options *opt, struct tsm_engine **out,
                    struct tsm_err *err)
{
    *out = NULL;
    struct tsm_engine *e = tsm_calloc(1, sizeof *e);
    e->fs = fs;
    e->dir = tsm_strdup(opt->dir);
    e->read = !opt->database.n;
    e->holder = tsm_strdup(opt->holder ? opt->holder : "tsmkit");
    e->memory = opt->memory > MEMORY_MIN ? opt->memory : MEMORY_MIN;
    e->jobs = opt->jobs ? opt->jobs : 1;
    e->dry_run = opt->dry_run;
    e->wal.on = opt->wal && !opt->dry_run;
    e->wal.sync_interval = opt->sync_interval;
    e->wal.flush_interval = opt->flush_interval;
    e->warn = opt->warn;
    e->warn_ctx = opt->warn_ctx;
    e->series.limit = e->memory / SERIES_SHARE / SERIES_SLOT;
    e->frontiers.limit = e->memory / FRONTIER_SHARE;
    e->active = tsm_engine_new_memtable(e);
    e->cache = tsm_shard_cache_new(fs, opt->cache ? opt->cache : e->memory / 2 + CACHE_LEAST);
    e->number = 1;
    atomic_store(&e->budget, e->memory);
    pthread_mutex_init(&e->mutex, NULL);
    pthread_mutex_init(&e->meta_mutex, NULL);
    pthread_cond_init(&e->flushed, NULL);
    tsm_turn_init(&e->turn);

    int rc = e->dry_run ? TSM_OK : take_lock(e, err);
    if (rc == TSM_OK && opt->database.n) /* without one this is the daemon itself */
        rc = tsm_data_unflushed(fs, e->dir, err);
    if (rc == TSM_OK && !e->dry_run)
        rc = settle_meta(e, err);
    if (rc == TSM_OK)
        rc = tsm_meta_load(fs, e->dir, &e->meta, err);
    atomic_store(&e->meta_version, e->meta.index);
    if (rc == TSM_OK && opt->database.n)
        rc = tsm_engine_choose_policy(e, opt->database, opt->rp, err);
    if (rc == TSM_OK)
        tsm_room_init(&e->room, fs, e->dir, opt->reserve, e->dry_run ? NULL : opt->room, opt->room_ctx);
    if (rc == TSM_OK && !e->dry_run)
        rc = tsm_engine_replay(e, err);
    if (rc != TSM_OK) {
        tsm_engine_close(e);
        return rc;
    }
    *out = e;
    return TSM_OK;
}

void tsm_engine_close(struct tsm_engine *e)
{
    if (!e)
        return;
    tsm_engine_join(e);
    tsm_engine_wal_release(e);
    tsm_memtable_free(e->active);
    tsm_shard_cache_free(e->cache);
    tsm_engine_free_shards(e, true);
    for (size_t i = 0; i < e->npolicies; i++)
        tsm_free(e->policies[i]);
    tsm_free(e->policies);
    tsm_distinct_release(&e->series);
    tsm_meta_release(&e->meta);
    tsm_lock_release(&e->lock);
    tsm_turn_destroy(&e->turn);
    pthread_cond_destroy(&e->flushed);
    pthread_mutex_destroy(&e->meta_mutex);
    pthread_mutex_destroy(&e->mutex);
    tsm_free(e->holder);
    tsm_free(e->dir);
    tsm_free(e);
}

/* ---- writing ---- */

static size_t lasting_bytes(const struct tsm_engine *e)
{
    size_t bytes = tsm_distinct_bytes(&e->series) + atomic_load(&e->frontiers.bytes);
    for (size_t i = 0; i < e->nshards; i++)
        if (e->shards[i])
            bytes += sizeof *e->shards[i] + tsm_field_types_bytes(e->shards[i]->table.types);
    return bytes;
}

/* What both memtables may take together. */
static int find_budget(const struct tsm_engine *e, size_t *budget, struct tsm_err *err)
{
    size_t lasting = lasting_bytes(e), index = e->memory / INDEX_SHARE;
    if (lasting > e->memory / 2)
        return tsm_err_set(err, TSM_ELIMIT,
                           "the names of the fields alone take more than half of the memory limit");
    *budget = e->memory - lasting - index;
    return TSM_OK;
}

/* A memtable may grow to two thirds of the budget, so that much gets into one file. Then the next one has a
 * third until the first is written. */
static int keep_budget(struct tsm_engine *e, size_t budget, struct tsm_err *err)
{
    size_t bytes = tsm_memtable_bytes(e->active, e->jobs);
    atomic_store(&e->active_bytes, bytes);
    if (bytes < budget / 3)
        return TSM_OK;
    if (bytes + tsm_engine_frozen_bytes(e) >= budget && tsm_engine_is_flushing(e)) {
        pthread_mutex_lock(&e->mutex);
        e->stats.waits++;
        pthread_mutex_unlock(&e->mutex);
        int rc = tsm_engine_wait(e, err);
        if (rc != TSM_OK)
            return rc;
    }
    return bytes < budget / 3 * 2 ? TSM_OK : tsm_engine_freeze(e, err);
}

/* Waits until the disk has room for what is in memory and the reserve. Before it stops taking in, it writes out
 * what it has: encoded that is a small part of what it may have become. */
static int find_room(struct tsm_engine *e, struct tsm_err *err)
{
    for (;;) {
        uint64_t unflushed = tsm_engine_frozen_bytes(e);
        if (!tsm_memtable_empty(e->active))
            unflushed += tsm_memtable_bytes(e->active, 1);
        if (tsm_room_enough(&e->room, unflushed)) {
            tsm_room_found(&e->room);
            return TSM_OK;
        }
        if (unflushed) {
            int rc = tsm_engine_sync(e, err);
            if (rc != TSM_OK)
                return rc;
        } else if (!tsm_room_wait(&e->room, err)) {
            return TSM_ENOSPC;
        }
    }
}

bool tsm_engine_is_full(struct tsm_engine *e)
{
    size_t budget = 0;
    return find_budget(e, &budget, NULL) != TSM_OK || tsm_memtable_bytes(e->active, e->jobs) >= budget / 2;
}

static void count_series(void *ctx, struct tsm_str key)
{
    tsm_distinct_add(&((struct tsm_engine_writing *)ctx)->engine->series, tsm_hash(key));
}

static void count_reject(void *ctx, uint32_t line, struct tsm_str text, const char *cause)
{
    struct tsm_engine_writing *w = ctx;
    pthread_mutex_lock(&w->engine->mutex);
    w->engine->stats.rejected++;
    pthread_mutex_unlock(&w->engine->mutex);
    if (w->reject)
        w->reject(w->ctx, line, text, cause);
}

int tsm_engine_write_group(struct tsm_engine_writing *w, size_t from, size_t n,
                           const struct tsm_memtable_shard **shards, uint32_t *added, struct tsm_err *err)
{
    struct tsm_engine *e = w->engine;
    struct tsm_engine_policy *policy = w->policy;
    const struct tsm_point *points = &w->batch->points[from];
    for (size_t i = 0; i < n; i++) {
        const struct tsm_point *p = &points[i];
        if (__builtin_expect(p->time < w->oldest_allowed, 0)) {
            shards[i] = NULL;
            count_reject(w, p->line, p->text, "points beyond retention policy");
            continue;
        }
        if (!policy->current || p->time < policy->current->start || p->time >= policy->current->end) {
            int rc = tsm_engine_find_shard(e, policy, p->time, &policy->current, err);
            if (rc != TSM_OK)
                return rc;
        }
        shards[i] = &policy->current->table;
    }
    tsm_turn_take(&e->turn);
    *added = tsm_memtable_write(e->active, w->batch, points, shards, n, &e->counts, count_series,
                                count_reject, w);
    tsm_turn_give(&e->turn);
    return TSM_OK;
}

/* Without a log. */
static int write_points(struct tsm_engine_writing *w, size_t budget, struct tsm_err *err)
{
    const struct tsm_memtable_shard *shards[TSM_MEMTABLE_GROUP];
    uint32_t added;
    int rc = TSM_OK;
    for (size_t from = 0, n; from < w->batch->n && rc == TSM_OK; from += n) {
        n = w->batch->n - from < TSM_MEMTABLE_GROUP ? w->batch->n - from : TSM_MEMTABLE_GROUP;
        rc = tsm_engine_write_group(w, from, n, shards, &added, err);
        if (rc == TSM_OK)
            rc = keep_budget(w->engine, budget, err);
    }
    return rc;
}

int tsm_engine_write_to(struct tsm_engine *e, struct tsm_engine_policy *policy,
                        const struct tsm_points *batch, tsm_reject_fn *reject, void *ctx, struct tsm_err *err)
{
    struct tsm_engine_writing w = {e, policy, INT64_MIN, batch, reject, ctx};
    size_t budget = 0;
    int rc = tsm_engine_failure(e, err);
    if (rc == TSM_OK && batch->n)
        rc = find_room(e, err);
    if (rc == TSM_OK)
        rc = find_budget(e, &budget, err);
    if (rc == TSM_OK)
        atomic_store(&e->budget, budget);
    if (batch->n && policy->retention > 0) /* time goes on while a pipe is open */
        w.oldest_allowed = tsm_now() - policy->retention;
    if (rc == TSM_OK && batch->n && !e->wal.on)
        rc = write_points(&w, budget, err);
    if (rc == TSM_OK && batch->n && e->wal.on)
        rc = tsm_engine_wal_write(&w, err);
    if (rc != TSM_OK)
        return rc;
    e->mark += batch->n > 0;
    rc = tsm_engine_wal_tick(e, err);
    return rc == TSM_OK && e->wal.on ? keep_budget(e, budget, err) : rc;
}

int tsm_engine_write(struct tsm_engine *e, const struct tsm_points *batch, tsm_reject_fn *reject, void *ctx,
                     struct tsm_err *err)
{
    if (!e->policy && batch->n)
        return tsm_err_set(err, TSM_EUSAGE, "no database given");
    return tsm_engine_write_to(e, e->policy, batch, reject, ctx, err);
}

bool tsm_engine_is_busy(struct tsm_engine *e)
{
    size_t bytes = atomic_load(&e->active_bytes), budget = atomic_load(&e->budget);
    return bytes >= budget / 3 && bytes + tsm_engine_frozen_bytes(e) >= budget;
}

uint64_t tsm_engine_mark(const struct tsm_engine *e)
{
    return e->mark;
}

uint64_t tsm_engine_durable(struct tsm_engine *e)
{
    bool nothing = tsm_memtable_empty(e->active) && !tsm_engine_is_flushing(e); /* all of it was rejected */
    pthread_mutex_lock(&e->mutex);
    if (nothing && e->code == TSM_OK)
        e->durable_mark = e->mark;
    uint64_t mark = e->durable_mark;
    pthread_mutex_unlock(&e->mutex);
    return mark;
}

struct tsm_str tsm_engine_rp(const struct tsm_engine *e)
{
    return e->policy ? e->policy->rp : TSM_STR("");
}

void tsm_engine_stats(const struct tsm_engine *e, struct tsm_engine_stats *st)
{
    struct tsm_engine *shared = (struct tsm_engine *)e; /* only to take the locks */
    tsm_turn_take(&shared->turn);
    pthread_mutex_lock(&shared->mutex);
    *st = e->stats;
    pthread_mutex_unlock(&shared->mutex);
    st->points = e->counts.points;
    st->rows = e->counts.rows;
    st->dropped_fields = e->counts.dropped_fields;
    st->series = tsm_distinct_count(&e->series);
    tsm_turn_give(&shared->turn);
}
