/*
 * store/engine_delete.c: deletes in the hands of an engine.
 *
 * Nothing of the shard is on its way from memory to files meanwhile: a flush that runs is waited for. The files come first, as what
 * memory has is newer: a value that it overwrites never comes back. Readers see all of them before or after the delete, and who has
 * seen them before sees memory as it was before.
 */
#include "store/engine_impl.h"

#include <time.h>

#include "base/alloc.h"
#include "store/data_dir.h"
#include "base/banned.h"

enum { WAIT_MS = 10, LONGEST_WAIT_MS = 10000 }; /* for a compaction in the shard */

static int delete_from_files(struct tsm_delete *d, struct tsm_err *err)
{
    int rc = tsm_delete_run(d, err);
    for (int waited = 0; rc == TSM_ELOCKED && waited < LONGEST_WAIT_MS; waited += WAIT_MS) {
        nanosleep(&(struct timespec){.tv_nsec = WAIT_MS * 1000000L}, NULL);
        rc = tsm_delete_run(d, err);
    }
    return rc;
}

int tsm_engine_delete(struct tsm_engine *e, struct tsm_str db, struct tsm_str rp, uint64_t shard,
                      struct tsm_delete *d, struct tsm_err *err)
{
    char *dir = tsm_path_shard(e->dir, db, rp, shard), *wal = tsm_path_wal(e->dir, db, rp, shard);
    struct tsm_engine_shard *s = tsm_engine_known_shard(e, shard);
    d->fs = e->fs;
    d->dir = dir;
    d->wal = wal;
    int rc = !s ? TSM_OK : e->wal.on ? tsm_engine_sync(e, err) : tsm_engine_wait(e, err);
    struct tsm_cached_shard *c = tsm_engine_keep_files(e, dir);
    if (rc == TSM_OK)
        rc = delete_from_files(d, err);
    tsm_engine_renew_files(e, c);
    if (rc == TSM_OK && s)
        rc = tsm_memtable_delete(e->active, &s->table, d->wanted, d->ctx, d->tmin, d->tmax, &e->turn, err);
    if (rc == TSM_OK && s)
        rc = tsm_engine_learn_types(e, s, err);
    d->dir = d->wal = NULL;
    tsm_free(dir);
    tsm_free(wal);
    return rc;
}
