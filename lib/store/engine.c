/*
 * store/engine.c: the writer of a data directory.
 *
 * Two memtables: one takes points, the other one, frozen, is written out by a thread. What the two threads
 * share is the frozen memtable (read-only), the list of shards that goes with it, and the fields behind
 * the mutex.
 *
 * Invariant: meta.db names a shard, durably, before a flush that writes to it starts.
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
    SERIES_SHARE = 16,   /* of the memory, for counting series */
    INDEX_SHARE = 16,    /* of the memory, for the index of the file that is written */
    FRONTIER_SHARE = 8,  /* of the memory, for frontiers at the most */
    SERIES_SLOT = 3 * 8, /* bytes per counted series, at the worst */
};

void tsm_engine_warn(void *ctx, const char *message)
{
    struct tsm_engine *e = ctx;
    if (e->warn)
        e->warn(e->warn_ctx, message);
}

/* ---- opening and closing ---- */

static int take_lock(struct tsm_engine *e, const char *holder, struct tsm_err *err)
{
    int rc = tsm_fs_make_dirs(e->fs, e->dir, err);
    if (rc != TSM_OK)
        return rc;
    char *path = tsm_path_lock(e->dir);
    struct tsm_buf name = {0};
    tsm_buf_printf(&name, "%s, process %ld", holder ? holder : "tsmkit", (long)getpid());
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

/* Database and policy in meta, created when missing. */
static int find_policy(struct tsm_engine *e, struct tsm_str rp, struct tsm_err *err)
{
    int rc = TSM_OK;
    struct tsm_database *db = tsm_meta_database(&e->meta, e->database);
    struct tsm_rp_spec spec = {.name = rp};
    if (!db) {
        rc = tsm_meta_create_database(&e->meta, e->database, rp.n ? &spec : NULL, err);
        e->meta_changed = true;
    } else if (rp.n && !tsm_meta_rp(db, rp)) {
        static const int64_t infinite = 0;
        static const uint32_t replicas = 1;
        spec.duration = &infinite;
        spec.replica_n = &replicas;
        rc = tsm_meta_create_rp(&e->meta, e->database, &spec, err);
        e->meta_changed = true;
    }
    if (rc != TSM_OK && rp.n)
        return tsm_err_wrap(err, rc, "database '%.*s', policy '%.*s'", (int)e->database.n, e->database.p,
                            (int)rp.n, rp.p);
    if (rc != TSM_OK)
        return tsm_err_wrap(err, rc, "database '%.*s'", (int)e->database.n, e->database.p);
    db = tsm_meta_database(&e->meta, e->database);
    struct tsm_rp *policy = db ? tsm_meta_rp(db, rp) : NULL;
    if (!policy)
        return tsm_err_set(err, TSM_ENOTFOUND, "database %.*s has no default retention policy",
                           (int)e->database.n, e->database.p);
    e->rp_name = tsm_arena_str(&e->names, policy->name);
    e->retention = policy->duration;
    return TSM_OK;
}

int tsm_engine_open(const struct tsm_fs *fs, const struct tsm_engine_options *opt, struct tsm_engine **out,
                    struct tsm_err *err)
{
    *out = NULL;
    struct tsm_engine *e = tsm_calloc(1, sizeof *e);
    e->fs = fs;
    e->dir = tsm_strdup(opt->dir);
    e->database = tsm_arena_str(&e->names, opt->database);
    e->memory = opt->memory > MEMORY_MIN ? opt->memory : MEMORY_MIN;
    e->jobs = opt->jobs ? opt->jobs : 1;
    e->dry_run = opt->dry_run;
    e->wal.on = opt->wal && !opt->dry_run;
    e->wal.sync_interval = opt->sync_interval;
    e->wal.flush_interval = opt->flush_interval;
    e->oldest_allowed = INT64_MIN;
    e->warn = opt->warn;
    e->warn_ctx = opt->warn_ctx;
    e->series.limit = e->memory / SERIES_SHARE / SERIES_SLOT;
    e->frontiers.limit = e->memory / FRONTIER_SHARE;
    e->active = tsm_memtable_new();
    pthread_mutex_init(&e->mutex, NULL);

    int rc = opt->database.n ? TSM_OK : tsm_err_set(err, TSM_EUSAGE, "no database given");
    if (rc == TSM_OK && !e->dry_run)
        rc = take_lock(e, opt->holder, err);
    if (rc == TSM_OK && !e->dry_run)
        rc = settle_meta(e, err);
    if (rc == TSM_OK)
        rc = tsm_meta_load(fs, e->dir, &e->meta, err);
    if (rc == TSM_OK)
        rc = find_policy(e, opt->rp, err);
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

static void join(struct tsm_engine *e)
{
    if (!e->flushing)
        return;
    pthread_join(e->thread, NULL);
    e->flushing = false;
}

void tsm_engine_close(struct tsm_engine *e)
{
    if (!e)
        return;
    join(e);
    tsm_engine_wal_release(e);
    tsm_memtable_free(e->active);
    for (size_t i = 0; i < e->nshards; i++) {
        tsm_field_types_release(&e->shards[i]->types);
        tsm_shard_files_release(&e->shards[i]->files);
        tsm_frontier_drop(&e->shards[i]->flush.frontier);
        tsm_free(e->shards[i]->taken);
        tsm_free(e->shards[i]);
    }
    tsm_free(e->shards);
    tsm_free(e->flush_shards);
    tsm_distinct_release(&e->series);
    tsm_meta_release(&e->meta);
    tsm_lock_release(&e->lock);
    tsm_arena_release(&e->names);
    pthread_mutex_destroy(&e->mutex);
    tsm_free(e->dir);
    tsm_free(e);
}

/* ---- shards ---- */

struct opening {
    struct tsm_engine *engine;
    struct tsm_engine_shard *shard;
};

static void learn_types(void *ctx, const struct tsm_reader *r)
{
    struct tsm_field_types *types = &((struct opening *)ctx)->shard->types;
    for (size_t i = 0; i < r->nkeys; i++) {
        struct tsm_str key = tsm_reader_key(r, i), series, field;
        /* A key of which everything in the file is deleted has no type any more. */
        if (tsm_key_split(key, &series, &field) && !tsm_reader_key_is_deleted(r, i))
            tsm_field_types_add(types, tsm_key_measurement(series), field, tsm_reader_type(r, i));
    }
}

static void report_damage(void *ctx, const char *message)
{
    tsm_engine_warn(((struct opening *)ctx)->engine, message);
}

int tsm_engine_open_shard(struct tsm_engine *e, const struct tsm_shard_group *g,
                          struct tsm_engine_shard **out, struct tsm_err *err)
{
    *out = NULL;
    if (g->nshards == 0)
        return tsm_err_set(err, TSM_ECORRUPT, "meta.db: shard group %llu has no shard",
                           (unsigned long long)g->id);
    struct tsm_engine_shard *s = tsm_calloc(1, sizeof *s);
    s->id = g->shards[0];
    s->start = g->start;
    s->end = g->truncated_at && g->truncated_at < g->end ? g->truncated_at : g->end;
    s->table = (struct tsm_memtable_shard){&s->types, (uint32_t)e->nshards};
    s->flush.files = &s->files;
    s->flush.frontier.all = &e->frontiers;
    struct opening o = {e, s};
    char *dir = tsm_path_shard(e->dir, e->database, e->rp_name, s->id);
    int rc = tsm_shard_files_open(e->fs, dir, learn_types, report_damage, &o, &s->files, err);
    tsm_free(dir);
    if (rc != TSM_OK) {
        tsm_field_types_release(&s->types);
        tsm_free(s);
        return rc;
    }
    TSM_GROW(e->shards, e->nshards + 1, e->capshards);
    e->shards[e->nshards++] = s;
    *out = s;
    return TSM_OK;
}

int tsm_engine_find_shard(struct tsm_engine *e, int64_t t, struct tsm_engine_shard **out, struct tsm_err *err)
{
    struct tsm_rp *rp = tsm_meta_rp(tsm_meta_database(&e->meta, e->database), e->rp_name);
    bool created;
    const struct tsm_shard_group *g = tsm_meta_group_for(&e->meta, rp, t, &created);
    e->meta_changed |= created;
    for (size_t i = e->nshards; i-- > 0;) {
        if (g->nshards && e->shards[i]->id == g->shards[0]) {
            *out = e->shards[i];
            return TSM_OK;
        }
    }
    int rc = tsm_engine_open_shard(e, g, out, err);
    return rc == TSM_OK && !e->dry_run ? tsm_engine_take_log(e, *out, err) : rc;
}

/* ---- flushing ---- */

static void *flush_main(void *arg)
{
    struct tsm_engine *e = arg;
    struct tsm_flush f = {
        .fs = e->fs,
        .table = e->frozen,
        .shards = e->flush_shards,
        .nshards = e->nflush_shards,
        .jobs = e->jobs,
        .index_memory = e->memory / INDEX_SHARE,
        .damage = tsm_engine_warn,
        .begin = tsm_engine_wal_begin,
        .end = tsm_engine_wal_end,
        .ctx = e,
    };
    struct tsm_err err = {0};
    int rc;
    do {
        rc = tsm_flush_run(&f, &err);
        if (rc == TSM_OK)
            rc = tsm_engine_wal_finish(e, &err);
    } while (rc == TSM_ENOSPC && tsm_room_wait_after(&e->room, &err));
    if (rc == TSM_OK)
        tsm_room_found(&e->room);
    tsm_memtable_free(e->frozen);
    e->frozen = NULL;
    pthread_mutex_lock(&e->mutex);
    e->stats.late += f.late;
    e->stats.files += f.files;
    e->stats.file_bytes += f.file_bytes;
    if (rc == TSM_OK) {
        if (e->stats.durable_rows < e->frozen_rows) /* the log may be further */
            e->stats.durable_rows = e->frozen_rows;
        if (e->durable_mark < e->frozen_mark)
            e->durable_mark = e->frozen_mark;
    } else {
        e->code = rc;
        e->err = err;
    }
    e->done = true;
    pthread_mutex_unlock(&e->mutex);
    return NULL;
}

/* The failure of a flush, if there was one. */
static int check_failure(struct tsm_engine *e, struct tsm_err *err)
{
    pthread_mutex_lock(&e->mutex);
    int rc = e->code;
    if (rc != TSM_OK && err)
        *err = e->err;
    pthread_mutex_unlock(&e->mutex);
    return rc;
}

int tsm_engine_wait(struct tsm_engine *e, struct tsm_err *err)
{
    /* With a full disk it may take hours. */
    int rc = tsm_engine_is_flushing(e) ? tsm_engine_wal_sync(e, err) : TSM_OK;
    join(e);
    return rc == TSM_OK ? check_failure(e, err) : rc;
}

int tsm_engine_save_meta(struct tsm_engine *e, struct tsm_err *err)
{
    if (!e->meta_changed)
        return TSM_OK;
    struct tsm_err cause = {0};
    int rc;
    do
        rc = tsm_meta_save(e->fs, e->dir, &e->meta, &cause);
    while (rc == TSM_ENOSPC && tsm_room_wait_after(&e->room, &cause));
    e->meta_changed = rc != TSM_OK;
    if (rc == TSM_OK)
        tsm_room_found(&e->room);
    else if (err)
        *err = cause;
    return rc;
}

int tsm_engine_freeze(struct tsm_engine *e, struct tsm_err *err)
{
    int rc = tsm_engine_wait(e, err);
    if (rc == TSM_OK && !e->dry_run)
        rc = tsm_engine_save_meta(e, err);
    if (rc != TSM_OK || tsm_memtable_empty(e->active))
        return rc;
    rc = tsm_engine_wal_freeze(e, err);
    if (rc != TSM_OK)
        return rc;
    e->frozen_bytes = tsm_memtable_bytes(e->active, e->jobs);
    e->frozen = e->active;
    e->frozen_rows = e->counts.rows;
    e->frozen_mark = e->mark; /* the batch that is just being written is not in it as a whole */
    e->active = tsm_memtable_new();
    if (e->dry_run) {
        tsm_memtable_free(e->frozen);
        e->frozen = NULL;
        return TSM_OK;
    }
    e->flush_shards = tsm_realloc_array(e->flush_shards, e->nshards, sizeof *e->flush_shards);
    e->nflush_shards = e->nshards;
    for (size_t i = 0; i < e->nshards; i++)
        e->flush_shards[i] = &e->shards[i]->flush;
    e->done = false;
    e->flushing = pthread_create(&e->thread, NULL, flush_main, e) == 0;
    if (!e->flushing) { /* no thread to be had: it takes longer, that is all */
        flush_main(e);
        return check_failure(e, err);
    }
    return TSM_OK;
}

int tsm_engine_sync(struct tsm_engine *e, struct tsm_err *err)
{
    int rc = tsm_engine_freeze(e, err);
    if (rc == TSM_OK)
        rc = tsm_engine_wait(e, err);
    if (rc != TSM_OK) /* what no file has is replayed by the next run */
        tsm_engine_wal_sync(e, NULL);
    return rc;
}

/* ---- writing ---- */

static size_t lasting_bytes(const struct tsm_engine *e)
{
    size_t bytes = tsm_distinct_bytes(&e->series) + atomic_load(&e->frontiers.bytes);
    for (size_t i = 0; i < e->nshards; i++)
        bytes += sizeof *e->shards[i] + tsm_field_types_bytes(&e->shards[i]->types);
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

bool tsm_engine_is_flushing(struct tsm_engine *e)
{
    if (!e->flushing)
        return false;
    pthread_mutex_lock(&e->mutex);
    bool running = !e->done;
    pthread_mutex_unlock(&e->mutex);
    return running;
}

/* A memtable may grow to two thirds of the budget, so that much gets into one file. Then the next one has a
 * third until the first is written. */
static int keep_budget(struct tsm_engine *e, size_t budget, struct tsm_err *err)
{
    size_t bytes = tsm_memtable_bytes(e->active, e->jobs);
    if (bytes < budget / 3)
        return TSM_OK;
    if (bytes + e->frozen_bytes >= budget && tsm_engine_is_flushing(e)) {
        e->stats.waits++;
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
        uint64_t unflushed = tsm_engine_is_flushing(e) ? e->frozen_bytes : 0;
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
    w->engine->stats.rejected++;
    if (w->reject)
        w->reject(w->ctx, line, text, cause);
}

int tsm_engine_write_group(struct tsm_engine_writing *w, size_t from, size_t n,
                           const struct tsm_memtable_shard **shards, uint32_t *added, struct tsm_err *err)
{
    struct tsm_engine *e = w->engine;
    const struct tsm_point *points = &w->batch->points[from];
    for (size_t i = 0; i < n; i++) {
        const struct tsm_point *p = &points[i];
        if (__builtin_expect(p->time < e->oldest_allowed, 0)) {
            shards[i] = NULL;
            count_reject(w, p->line, p->text, "points beyond retention policy");
            continue;
        }
        if (!e->current || p->time < e->current->start || p->time >= e->current->end) {
            int rc = tsm_engine_find_shard(e, p->time, &e->current, err);
            if (rc != TSM_OK)
                return rc;
        }
        shards[i] = &e->current->table;
    }
    *added = tsm_memtable_write(e->active, w->batch, points, shards, n, &e->counts, count_series,
                                count_reject, w);
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

int tsm_engine_write(struct tsm_engine *e, const struct tsm_points *batch, tsm_reject_fn *reject, void *ctx,
                     struct tsm_err *err)
{
    struct tsm_engine_writing w = {e, batch, reject, ctx};
    size_t budget = 0;
    int rc = check_failure(e, err);
    if (rc == TSM_OK && batch->n)
        rc = find_room(e, err);
    if (rc == TSM_OK)
        rc = find_budget(e, &budget, err);
    if (e->retention > 0) /* time goes on while a pipe is open */
        e->oldest_allowed = tsm_now() - e->retention;
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
    return e->rp_name;
}

void tsm_engine_stats(const struct tsm_engine *e, struct tsm_engine_stats *st)
{
    struct tsm_engine *shared = (struct tsm_engine *)e; /* only to take the lock */
    pthread_mutex_lock(&shared->mutex);
    *st = e->stats;
    pthread_mutex_unlock(&shared->mutex);
    st->points = e->counts.points;
    st->rows = e->counts.rows;
    st->dropped_fields = e->counts.dropped_fields;
    st->series = tsm_distinct_count(&e->series);
}
