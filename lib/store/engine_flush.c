/*
 * store/engine_flush.c: frozen memtables on their way into files.
 *
 * They stand in a list, the oldest first, and one thread writes them out one after the other. It ends when the list is empty. With
 * a log there is never more than one, as the log knows only of one.
 *
 * Invariant: meta.db names a shard, durably, before a flush that writes to it starts.
 */
#include "store/engine_impl.h"

#include "base/alloc.h"
#include "base/banned.h"

enum { INDEX_SHARE = 16 }; /* of the memory, for the index of the file that is written */

static int flush_table(struct tsm_engine *e, const struct tsm_engine_frozen *z, struct tsm_flush *f,
                       struct tsm_err *err)
{
    *f = (struct tsm_flush){
        .fs = e->fs,
        .table = z->table,
        .shards = z->shards,
        .nshards = z->nshards,
        .turn = &e->turn,
        .jobs = e->jobs,
        .index_memory = e->memory / INDEX_SHARE,
        .damage = tsm_engine_warn,
        .begin = tsm_engine_wal_begin,
        .end = tsm_engine_wal_end,
        .ctx = e,
    };
    int rc;
    do {
        rc = tsm_flush_run(f, err);
        if (rc == TSM_OK)
            rc = tsm_engine_wal_finish(e, err);
    } while (rc == TSM_ENOSPC && tsm_room_wait_after(&e->room, err));
    if (rc == TSM_OK)
        tsm_room_found(&e->room);
    return rc;
}

static void free_frozen(struct tsm_engine_frozen *z)
{
    tsm_memtable_free(z->table);
    tsm_free(z->shards);
    tsm_free(z);
}

/* Takes the first of the list out: it is in files. True when there are more. */
static bool take_out(struct tsm_engine *e, struct tsm_engine_frozen *z, const struct tsm_flush *f)
{
    tsm_turn_take(&e->turn);
    pthread_mutex_lock(&e->mutex);
    e->frozen = z->next;
    if (!e->frozen)
        e->last_frozen = NULL;
    e->frozen_bytes -= z->bytes;
    e->flushed_number = z->number;
    e->flushed_mark = z->mark;
    if (e->durable_mark < z->mark)
        e->durable_mark = z->mark;
    if (e->stats.durable_rows < z->rows) /* the log may be further */
        e->stats.durable_rows = z->rows;
    e->stats.late += f->late;
    e->stats.files += f->files;
    e->stats.file_bytes += f->file_bytes;
    bool more = e->frozen;
    e->done = !more;
    tsm_engine_limit_readers(e);
    pthread_cond_broadcast(&e->flushed);
    pthread_mutex_unlock(&e->mutex);
    tsm_turn_give(&e->turn);
    return more;
}

/* What has failed stays where it is, for those who read. */
static void fail(struct tsm_engine *e, int rc, const struct tsm_err *err, const struct tsm_flush *f)
{
    pthread_mutex_lock(&e->mutex);
    e->stats.late += f->late;
    e->stats.files += f->files;
    e->stats.file_bytes += f->file_bytes;
    e->code = rc;
    e->err = *err;
    e->done = true;
    pthread_cond_broadcast(&e->flushed);
    pthread_mutex_unlock(&e->mutex);
}

static void *flush_main(void *arg)
{
    struct tsm_engine *e = arg;
    bool more;
    do {
        pthread_mutex_lock(&e->mutex);
        struct tsm_engine_frozen *z = e->frozen;
        pthread_mutex_unlock(&e->mutex);
        struct tsm_flush f;
        struct tsm_err err = {0};
        int rc = flush_table(e, z, &f, &err);
        if (rc != TSM_OK) {
            fail(e, rc, &err, &f);
            return NULL;
        }
        tsm_engine_prepare_files(e, z);
        more = take_out(e, z, &f);
        tsm_shard_cache_sweep(e->cache);
        free_frozen(z);
    } while (more);
    return NULL;
}

int tsm_engine_failure(struct tsm_engine *e, struct tsm_err *err)
{
    pthread_mutex_lock(&e->mutex);
    int rc = e->code;
    if (rc != TSM_OK && err)
        *err = e->err;
    pthread_mutex_unlock(&e->mutex);
    return rc;
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

size_t tsm_engine_frozen_bytes(struct tsm_engine *e)
{
    pthread_mutex_lock(&e->mutex);
    size_t bytes = e->frozen_bytes;
    pthread_mutex_unlock(&e->mutex);
    return bytes;
}

static void join(struct tsm_engine *e)
{
    if (!e->flushing)
        return;
    pthread_join(e->thread, NULL);
    e->flushing = false;
}

void tsm_engine_join(struct tsm_engine *e)
{
    join(e);
    for (struct tsm_engine_frozen *z = e->frozen, *next; z; z = next) {
        next = z->next;
        free_frozen(z);
    }
    e->frozen = e->last_frozen = NULL;
}

int tsm_engine_wait(struct tsm_engine *e, struct tsm_err *err)
{
    /* With a full disk it may take hours. */
    int rc = tsm_engine_is_flushing(e) ? tsm_engine_wal_sync(e, err) : TSM_OK;
    join(e);
    return rc == TSM_OK ? tsm_engine_failure(e, err) : rc;
}

/* Puts the active memtable behind the frozen ones; true when a thread for them has to be started. */
static bool put_in(struct tsm_engine *e, struct tsm_engine_frozen *z)
{
    struct tsm_memtable *fresh = tsm_engine_new_memtable(e);
    tsm_turn_take(&e->turn);
    pthread_mutex_lock(&e->mutex);
    z->table = e->active;
    z->number = e->number++;
    e->active = fresh;
    bool first = !e->frozen;
    *(e->last_frozen ? &e->last_frozen->next : &e->frozen) = z;
    e->last_frozen = z;
    e->frozen_bytes += z->bytes;
    e->done = false;
    pthread_mutex_unlock(&e->mutex);
    tsm_turn_give(&e->turn);
    atomic_store(&e->active_bytes, 0);
    return first;
}

static int start(struct tsm_engine *e, struct tsm_err *err)
{
    struct tsm_engine_frozen *z = tsm_calloc(1, sizeof *z);
    z->bytes = tsm_memtable_bytes(e->active, e->jobs);
    z->rows = e->counts.rows;
    z->mark = e->mark; /* the batch that is just being written is not in it as a whole */
    tsm_engine_free_shards(e, false);
    z->nshards = e->nshards;
    z->shards = tsm_calloc(z->nshards, sizeof *z->shards);
    for (size_t i = 0; i < z->nshards; i++)
        z->shards[i] = e->shards[i] ? &e->shards[i]->flush : NULL;
    if (!put_in(e, z))
        return TSM_OK; /* the thread that is running takes it, too */
    join(e);
    e->flushing = pthread_create(&e->thread, NULL, flush_main, e) == 0;
    if (e->flushing)
        return TSM_OK;
    flush_main(e); /* no thread to be had: it takes longer, that is all */
    return tsm_engine_failure(e, err);
}

static void discard(struct tsm_engine *e)
{
    tsm_memtable_free(e->active);
    e->active = tsm_engine_new_memtable(e);
}

int tsm_engine_freeze(struct tsm_engine *e, struct tsm_err *err)
{
    int rc = e->wal.on ? tsm_engine_wait(e, err) : tsm_engine_failure(e, err);
    if (rc == TSM_OK && !e->dry_run)
        rc = tsm_engine_save_meta(e, err);
    if (rc != TSM_OK || tsm_memtable_empty(e->active))
        return rc;
    rc = tsm_engine_wal_freeze(e, err);
    if (rc != TSM_OK)
        return rc;
    if (!e->dry_run)
        return start(e, err);
    discard(e);
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

int tsm_engine_flush(struct tsm_engine *e, struct tsm_err *err)
{
    int rc = tsm_engine_freeze(e, err);
    pthread_mutex_lock(&e->mutex);
    if (rc == TSM_OK && e->last_frozen)
        e->last_frozen->mark = e->mark; /* everything since was rejected */
    else if (rc == TSM_OK)
        e->flushed_mark = e->durable_mark = e->mark;
    pthread_cond_broadcast(&e->flushed);
    pthread_mutex_unlock(&e->mutex);
    return rc;
}

int tsm_engine_wait_flushed(struct tsm_engine *e, uint64_t mark, struct tsm_err *err)
{
    pthread_mutex_lock(&e->mutex);
    while (e->code == TSM_OK && e->flushed_mark < mark)
        pthread_cond_wait(&e->flushed, &e->mutex);
    int rc = e->flushed_mark < mark ? e->code : TSM_OK;
    if (rc != TSM_OK && err)
        *err = e->err;
    pthread_mutex_unlock(&e->mutex);
    return rc;
}
