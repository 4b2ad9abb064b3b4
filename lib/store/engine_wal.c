/*
 * store/engine_wal.c: the engine's side of the write-ahead log.
 *
 * A batch goes into the memtable first, which knows best what of it can be stored; that is then appended to the log of
 * each shard. A delete that another process has appended in between is older than the batch in the log, so the
 * batch goes into the memtable once more after it. Memtables are frozen between batches, so that every batch is in
 * one memtable and in the segments that belong to it.
 *
 * Invariant: what is in a memtable and has a mark is in the log.
 */
#include "store/engine_impl.h"

#include <stddef.h>

#include "base/alloc.h"
#include "base/time.h"
#include "store/data_dir.h"
#include "base/banned.h"

enum { MAX_OPEN_LOGS = 128 }; /* each has four descriptors at the most */

/* ---- logs that are open ---- */

static void close_logs(struct tsm_engine *e)
{
    for (size_t i = 0; i < e->nshards; i++) {
        if (!e->shards[i])
            continue;
        tsm_shard_wal_close(e->shards[i]->wal);
        e->shards[i]->wal = NULL;
    }
    e->wal.nopen = 0;
}

void tsm_engine_wal_release(struct tsm_engine *e)
{
    close_logs(e);
    tsm_batch_encoder_free(e->wal.encoder);
    tsm_points_release(&e->wal.kept);
    tsm_buf_release(&e->wal.payload);
    tsm_free(e->wal.touched);
}

static int open_log(struct tsm_engine *e, struct tsm_engine_shard *s, struct tsm_err *err)
{
    char *dir = tsm_path_wal(e->dir, s->policy->db, s->policy->rp, s->id);
    struct tsm_err cause = {0};
    int rc;
    do
        rc = tsm_shard_wal_open(e->fs, dir, &s->wal, &cause);
    while (rc == TSM_ENOSPC && tsm_room_wait_after(&e->room, &cause));
    tsm_free(dir);
    e->wal.nopen += rc == TSM_OK;
    if (rc == TSM_OK)
        tsm_room_found(&e->room);
    else if (err)
        *err = cause;
    return rc;
}

/* Opens the shards and logs of the points from `from` on; *to is the first one for which that would be too many. A shard
 * is opened before anything of the batch is in the memtable: that may flush. */
static int open_logs(struct tsm_engine_writing *w, size_t from, size_t *to, struct tsm_err *err)
{
    struct tsm_engine *e = w->engine;
    struct tsm_engine_policy *p = w->policy;
    int rc = TSM_OK;
    for (*to = from; *to < w->batch->n && rc == TSM_OK; ++*to) {
        int64_t t = w->batch->points[*to].time;
        if (t < w->oldest_allowed)
            continue;
        if (!p->current || t < p->current->start || t >= p->current->end)
            rc = tsm_engine_find_shard(e, p, t, &p->current, err);
        if (rc == TSM_OK && !p->current->wal) {
            if (e->wal.nopen == MAX_OPEN_LOGS && *to > from)
                break;
            if (e->wal.nopen == MAX_OPEN_LOGS) { /* after a flush of everything none is needed */
                rc = tsm_engine_sync(e, err);
                close_logs(e);
            }
            if (rc == TSM_OK)
                rc = open_log(e, p->current, err);
        }
    }
    /* A shard that has a log is in meta.db. */
    return rc == TSM_OK ? tsm_engine_save_meta(e, err) : rc;
}

/* ---- fsyncs ---- */

int tsm_engine_wal_sync(struct tsm_engine *e, struct tsm_err *err)
{
    int rc = TSM_OK;
    if (!e->wal.unsynced_since)
        return TSM_OK;
    for (size_t i = 0; i < e->nshards && rc == TSM_OK; i++) {
        if (!e->shards[i] || !e->shards[i]->wal || tsm_shard_wal_synced(e->shards[i]->wal))
            continue;
        rc = tsm_shard_wal_sync(e->shards[i]->wal, err);
        e->stats.log_syncs++;
    }
    if (rc != TSM_OK)
        return rc;
    e->wal.unsynced_since = 0;
    pthread_mutex_lock(&e->mutex);
    e->durable_mark = e->mark;
    if (e->stats.durable_rows < e->wal.rows)
        e->stats.durable_rows = e->wal.rows;
    pthread_mutex_unlock(&e->mutex);
    return TSM_OK;
}

/* ---- appending ---- */

static void take(struct tsm_engine *e, struct tsm_engine_shard *s, size_t point)
{
    if (s->ntaken == 0) {
        TSM_GROW(e->wal.touched, e->wal.ntouched + 1, e->wal.captouched);
        e->wal.touched[e->wal.ntouched++] = s;
        s->deleted_from = false;
    }
    TSM_GROW(s->taken, s->ntaken + 1, s->captaken);
    s->taken[s->ntaken++] = (uint32_t)point;
}

struct removing {
    struct tsm_engine *engine;
    struct tsm_engine_shard *shard;
};

static int remove_active(void *ctx, struct tsm_str key, int64_t tmin, int64_t tmax, struct tsm_err *err)
{
    struct removing *r = ctx;
    r->shard->deleted_from = true;
    return tsm_memtable_remove(r->engine->active, &r->shard->table, key, tmin, tmax, err);
}

/* The points that were taken, into the memtable once more. They had no fault before. */
static void write_again(struct tsm_engine *e, const struct tsm_points *points,
                        const struct tsm_engine_shard *s)
{
    struct tsm_point group[TSM_MEMTABLE_GROUP];
    const struct tsm_memtable_shard *shards[TSM_MEMTABLE_GROUP];
    struct tsm_memtable_counts counted_before = {0};
    size_t n = 0;
    for (size_t i = 0; i < s->ntaken; i++) {
        group[n] = points->points[s->taken[i]];
        shards[n++] = &s->table;
        if (n == TSM_MEMTABLE_GROUP || i + 1 == s->ntaken) {
            tsm_memtable_write(e->active, points, group, shards, n, &counted_before, NULL, NULL, NULL);
            n = 0;
        }
    }
}

static int append(struct tsm_engine *e, struct tsm_engine_shard *s, const struct tsm_points *points,
                  struct tsm_err *err)
{
    struct removing r = {e, s};
    if (!e->wal.encoder)
        e->wal.encoder = tsm_batch_encoder_new();
    tsm_buf_reset(&e->wal.payload);
    tsm_batch_encode(e->wal.encoder, points, s->taken, s->ntaken, &e->wal.payload);
    struct tsm_err cause = {0};
    int rc;
    for (;;) {
        rc = tsm_shard_wal_append(s->wal, tsm_buf_view(&e->wal.payload), remove_active, &r, &cause);
        if (rc != TSM_ENOSPC)
            break;
        struct tsm_err failed;
        if (tsm_engine_wal_sync(e, &failed) != TSM_OK) { /* what came before does not have to wait for room */
            cause = failed;
            rc = failed.code;
            break;
        }
        if (!tsm_room_wait_after(&e->room, &cause))
            break;
    }
    if (s->deleted_from)
        write_again(e, points, s);
    if (rc != TSM_OK) {
        if (err)
            *err = cause;
        return rc;
    }
    tsm_room_found(&e->room);
    e->stats.log_records++;
    e->stats.log_bytes += tsm_shard_wal_last_size(s->wal);
    if (!e->wal.unsynced_since)
        e->wal.unsynced_since = tsm_monotonic();
    return TSM_OK;
}

/* A field named "time" is not stored, so the log does not have it either. */
static const struct tsm_points *drop_fields(struct tsm_engine *e, const struct tsm_points *batch)
{
    struct tsm_points *k = &e->wal.kept;
    TSM_GROW(k->points, batch->n, k->cap);
    TSM_GROW(k->fields, batch->nfields, k->capfields);
    k->n = batch->n;
    k->nfields = 0;
    for (size_t i = 0; i < batch->n; i++) {
        const struct tsm_point *p = &batch->points[i];
        k->points[i] = *p;
        k->points[i].first_field = (uint32_t)k->nfields;
        for (uint32_t f = 0; f < p->nfields; f++)
            if (!tsm_str_eq(batch->fields[p->first_field + f].name, TSM_STR("time")))
                k->fields[k->nfields++] = batch->fields[p->first_field + f];
        k->points[i].nfields = (uint32_t)k->nfields - k->points[i].first_field;
    }
    return k;
}

/* Points of which every shard's log is open. */
static int write_part(struct tsm_engine_writing *w, size_t from, size_t to, struct tsm_err *err)
{
    struct tsm_engine *e = w->engine;
    const struct tsm_memtable_shard *shards[TSM_MEMTABLE_GROUP];
    uint64_t dropped = e->counts.dropped_fields;
    uint32_t added = 0;
    int rc = TSM_OK;
    for (size_t n; from < to && rc == TSM_OK; from += n) {
        n = to - from < TSM_MEMTABLE_GROUP ? to - from : TSM_MEMTABLE_GROUP;
        rc = tsm_engine_write_group(w, from, n, shards, &added, err);
        for (size_t i = 0; i < n && rc == TSM_OK; i++)
            if (added >> i & 1)
                take(e, e->shards[shards[i]->index], from + i);
    }
    const struct tsm_points *points = w->batch;
    if (e->counts.dropped_fields != dropped)
        points = drop_fields(e, points);
    for (size_t i = 0; i < e->wal.ntouched; i++) {
        if (rc == TSM_OK)
            rc = append(e, e->wal.touched[i], points, err);
        e->wal.touched[i]->ntaken = 0;
    }
    e->wal.ntouched = 0;
    return rc;
}

int tsm_engine_wal_write(struct tsm_engine_writing *w, struct tsm_err *err)
{
    int rc = TSM_OK;
    for (size_t from = 0, to; from < w->batch->n && rc == TSM_OK; from = to) {
        rc = open_logs(w, from, &to, err);
        if (rc == TSM_OK)
            rc = write_part(w, from, to, err);
    }
    if (rc == TSM_OK)
        w->engine->wal.rows = w->engine->counts.rows;
    return rc;
}

/* ---- by the clock ---- */

int tsm_engine_wal_tick(struct tsm_engine *e, struct tsm_err *err)
{
    bool empty = tsm_memtable_empty(e->active);
    if (empty)
        e->wal.active_since = 0;
    if (!e->wal.unsynced_since && (empty || e->wal.flush_interval <= 0))
        return TSM_OK;
    int64_t now = tsm_monotonic();
    if (e->wal.unsynced_since && now - e->wal.unsynced_since >= e->wal.sync_interval) {
        int rc = tsm_engine_wal_sync(e, err);
        if (rc != TSM_OK)
            return rc;
    }
    if (empty || e->wal.flush_interval <= 0)
        return TSM_OK;
    if (!e->wal.active_since)
        e->wal.active_since = now;
    if (now - e->wal.active_since < e->wal.flush_interval || tsm_engine_is_flushing(e))
        return TSM_OK;
    return tsm_engine_freeze(e, err);
}

/* ---- flushing ---- */

int tsm_engine_wal_freeze(struct tsm_engine *e, struct tsm_err *err)
{
    int rc = TSM_OK;
    e->wal.active_since = 0;
    for (size_t i = 0; i < e->nshards && rc == TSM_OK; i++) {
        struct tsm_engine_shard *s = e->shards[i];
        struct removing r = {e, s};
        if (!s || !s->wal)
            continue;
        rc = tsm_shard_wal_freeze(s->wal, &s->log_covered, &s->log_sequence, remove_active, &r, err);
        s->log_frozen = rc == TSM_OK;
    }
    return rc;
}

/* The list of all shards belongs to the writer; that of the flush does not change. */
static struct tsm_engine_shard *flushed_shard(const struct tsm_engine *e, uint32_t shard)
{
    return (struct tsm_engine_shard *)((char *)e->frozen->shards[shard] -
                                       offsetof(struct tsm_engine_shard, flush));
}

static int remove_frozen(void *ctx, struct tsm_str key, int64_t tmin, int64_t tmax, struct tsm_err *err)
{
    struct removing *r = ctx;
    struct tsm_memtable_shard table = {.index = r->shard->table.index};
    return tsm_memtable_remove(r->engine->frozen->table, &table, key, tmin, tmax, err);
}

int tsm_engine_wal_begin(void *engine, uint32_t shard, struct tsm_err *err)
{
    struct tsm_engine *e = engine;
    struct removing r = {e, flushed_shard(e, shard)};
    return r.shard->log_frozen
               ? tsm_shard_wal_flush_begin(r.shard->wal, r.shard->log_sequence, remove_frozen, &r, err)
               : TSM_OK;
}

int tsm_engine_wal_end(void *engine, uint32_t shard, bool flushed, struct tsm_err *err)
{
    struct tsm_engine_shard *s = flushed_shard(engine, shard);
    if (!s->log_frozen)
        return TSM_OK;
    int rc = tsm_shard_wal_flush_end(s->wal, s->log_covered, flushed, err);
    s->log_frozen = !flushed || rc != TSM_OK;
    return rc;
}

int tsm_engine_wal_finish(struct tsm_engine *e, struct tsm_err *err)
{
    int rc = TSM_OK;
    for (uint32_t i = 0; i < e->frozen->nshards && rc == TSM_OK; i++) {
        if (!e->frozen->shards[i] || !flushed_shard(e, i)->log_frozen)
            continue;
        rc = tsm_engine_wal_begin(e, i, err);
        if (rc == TSM_OK)
            rc = tsm_engine_wal_end(e, i, true, err);
    }
    return rc;
}
