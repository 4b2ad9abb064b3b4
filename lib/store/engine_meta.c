/*
 * store/engine_meta.c: meta.db in the hands of an engine: policies, changes, drops.
 *
 * The writer alone changes it, and saves it; what others get is a copy.
 */
#include "store/engine_impl.h"

#include <time.h>

#include "base/alloc.h"
#include "base/num.h"
#include "store/data_dir.h"
#include "base/banned.h"

enum {
    MAX_TRIES = 5,
    WAIT_MS = 10, /* for a compaction in a shard that is dropped */
    LONGEST_WAIT_MS = 5000,
};

/* ---- policies ---- */

static struct tsm_engine_policy *new_policy(struct tsm_str db, struct tsm_str rp)
{
    struct tsm_engine_policy *p = tsm_calloc(1, sizeof *p + db.n + rp.n);
    char *names = (char *)(p + 1);
    memcpy(names, db.p, db.n);
    memcpy(names + db.n, rp.p, rp.n);
    p->db = tsm_str(names, db.n);
    p->rp = tsm_str(names + db.n, rp.n);
    return p;
}

struct tsm_engine_policy *tsm_engine_take_policy(struct tsm_engine *e, struct tsm_str db,
                                                 const struct tsm_rp *rp)
{
    struct tsm_engine_policy *p = NULL;
    for (size_t i = 0; i < e->npolicies && !p; i++)
        if (tsm_str_eq(e->policies[i]->rp, rp->name) && tsm_str_eq(e->policies[i]->db, db))
            p = e->policies[i];
    if (!p) {
        p = new_policy(db, rp->name);
        TSM_GROW(e->policies, e->npolicies + 1, e->cappolicies);
        e->policies[e->npolicies++] = p;
    }
    p->retention = rp->duration;
    return p;
}

int tsm_engine_policy(struct tsm_engine *e, struct tsm_str db, struct tsm_str rp,
                      struct tsm_engine_policy **policy, struct tsm_err *err)
{
    *policy = NULL;
    const struct tsm_database *d = tsm_meta_database(&e->meta, db);
    if (!d)
        return tsm_err_set(err, TSM_EQUERY, "database not found: \"%.*s\"", (int)db.n, db.p);
    const struct tsm_rp *found = rp.n || d->default_rp.n ? tsm_meta_rp(d, rp) : NULL;
    if (!found && !rp.n)
        return tsm_err_set(err, TSM_EQUERY, "default retention policy not set for: %.*s", (int)db.n, db.p);
    if (!found)
        return tsm_err_set(err, TSM_EQUERY, "retention policy not found: %.*s", (int)rp.n, rp.p);
    *policy = tsm_engine_take_policy(e, db, found);
    return TSM_OK;
}

int tsm_engine_choose_policy(struct tsm_engine *e, struct tsm_str name, struct tsm_str rp,
                             struct tsm_err *err)
{
    int rc = TSM_OK;
    struct tsm_database *db = tsm_meta_database(&e->meta, name);
    struct tsm_rp_spec spec = {.name = rp};
    if (!db) {
        rc = tsm_meta_create_database(&e->meta, name, rp.n ? &spec : NULL, err);
        e->meta_changed = true;
    } else if (rp.n && !tsm_meta_rp(db, rp)) {
        static const int64_t infinite = 0;
        static const uint32_t replicas = 1;
        spec.duration = &infinite;
        spec.replica_n = &replicas;
        rc = tsm_meta_create_rp(&e->meta, name, &spec, err);
        e->meta_changed = true;
    }
    if (rc != TSM_OK && rp.n)
        return tsm_err_wrap(err, rc, "database '%.*s', policy '%.*s'", (int)name.n, name.p, (int)rp.n, rp.p);
    if (rc != TSM_OK)
        return tsm_err_wrap(err, rc, "database '%.*s'", (int)name.n, name.p);
    db = tsm_meta_database(&e->meta, name);
    struct tsm_rp *policy = db ? tsm_meta_rp(db, rp) : NULL;
    if (!policy)
        return tsm_err_set(err, TSM_ENOTFOUND, "database %.*s has no default retention policy", (int)name.n,
                           name.p);
    e->policy = tsm_engine_take_policy(e, name, policy);
    return TSM_OK;
}

/* ---- meta.db ---- */

static int save(struct tsm_engine *e, struct tsm_meta *m, struct tsm_err *err)
{
    struct tsm_err cause = {0};
    int rc;
    do
        rc = tsm_meta_save(e->fs, e->dir, m, &cause);
    while (rc == TSM_ENOSPC && tsm_room_wait_after(&e->room, &cause));
    if (rc == TSM_OK)
        tsm_room_found(&e->room);
    else if (err)
        *err = cause;
    return rc;
}

int tsm_engine_save_meta(struct tsm_engine *e, struct tsm_err *err)
{
    if (!e->meta_changed)
        return TSM_OK;
    struct tsm_meta m = e->meta; /* of which saving changes the index */
    int rc = save(e, &m, err);
    pthread_mutex_lock(&e->meta_mutex);
    e->meta.index = m.index;
    pthread_mutex_unlock(&e->meta_mutex);
    e->meta_changed = rc != TSM_OK;
    return rc;
}

uint64_t tsm_engine_meta_version(struct tsm_engine *e)
{
    return atomic_load(&e->meta_version);
}

int tsm_engine_meta(struct tsm_engine *e, struct tsm_meta *m, struct tsm_err *err)
{
    struct tsm_buf bytes = {0};
    pthread_mutex_lock(&e->meta_mutex);
    tsm_meta_encode(&e->meta, &bytes);
    pthread_mutex_unlock(&e->meta_mutex);
    int rc = tsm_meta_decode(bytes.data, bytes.len, m, err);
    tsm_buf_release(&bytes);
    return rc;
}

/* A policy that is gone keeps its object until it is dropped; what others have of it is looked up anew. */
static void refresh_policies(struct tsm_engine *e)
{
    for (size_t i = 0; i < e->npolicies; i++) {
        struct tsm_engine_policy *p = e->policies[i];
        const struct tsm_database *db = tsm_meta_database(&e->meta, p->db);
        const struct tsm_rp *rp = db ? tsm_meta_rp(db, p->rp) : NULL;
        p->current = NULL;
        if (rp)
            p->retention = rp->duration;
    }
}

int tsm_engine_change_meta(struct tsm_engine *e,
                           int (*change)(void *ctx, struct tsm_meta *m, struct tsm_err *err), void *ctx,
                           struct tsm_err *err)
{
    struct tsm_buf before = {0}, after = {0};
    struct tsm_meta changed = {0};
    tsm_meta_encode(&e->meta, &before);
    int rc = tsm_meta_decode(before.data, before.len, &changed, err);
    if (rc == TSM_OK)
        rc = change(ctx, &changed, err);
    if (rc == TSM_OK)
        tsm_meta_encode(&changed, &after);
    bool same = tsm_str_eq(tsm_buf_view(&before), tsm_buf_view(&after));
    if (rc == TSM_OK && (!same || e->meta_changed)) /* what was made in memory by writes goes along */
        rc = save(e, &changed, err);
    tsm_buf_release(&before);
    tsm_buf_release(&after);
    if (rc == TSM_OK) {
        pthread_mutex_lock(&e->meta_mutex);
        struct tsm_meta old = e->meta;
        e->meta = changed;
        pthread_mutex_unlock(&e->meta_mutex);
        changed = old;
        e->meta_changed = false;
        if (!same)
            atomic_fetch_add(&e->meta_version, 1);
        refresh_policies(e);
    }
    tsm_meta_release(&changed);
    return rc;
}

/* ---- drops ---- */

/* The open shards that are meant are left out of the next flush; what memory has of them is hidden from readers. */
static void drop_from_memory(struct tsm_engine *e, struct tsm_str db, struct tsm_str rp, uint64_t shard)
{
    tsm_turn_take(&e->turn);
    for (size_t i = 0; i < e->nshards; i++) {
        struct tsm_engine_shard *s = e->shards[i];
        if (!s || s->flush.dropped || !tsm_str_eq(s->policy->db, db) ||
            (rp.n && !tsm_str_eq(s->policy->rp, rp)) || (shard && s->id != shard))
            continue;
        s->flush.dropped = true;
        s->dropped_in = e->number;
        if (s->policy->current == s)
            s->policy->current = NULL;
    }
    tsm_turn_give(&e->turn);
}

static void forget_readers(struct tsm_engine *e, struct tsm_str db, struct tsm_str rp, uint64_t shard)
{
    char *dir = shard ? tsm_path_shard(e->dir, db, rp, shard) : tsm_path_rp(e->dir, db, rp);
    tsm_shard_cache_drop(e->cache, dir);
    tsm_free(dir);
}

/* ---- folders ---- */

/* Takes the lock of a shard's folder when nobody has it; else waits for a while, then goes on without. */
static void lock_folder(struct tsm_engine *e, const char *dir, struct tsm_lock *lock)
{
    char *path = tsm_path_shard_lock(dir);
    int rc = tsm_lock_take(e->fs, path, e->holder, lock, NULL);
    for (int waited = 0; rc == TSM_ELOCKED && waited < LONGEST_WAIT_MS; waited += WAIT_MS) {
        nanosleep(&(struct timespec){.tv_nsec = WAIT_MS * 1000000L}, NULL);
        rc = tsm_lock_take(e->fs, path, e->holder, lock, NULL);
    }
    tsm_free(path);
}

/* A compaction that works on the shard would put another file there. */
static int remove_shard(struct tsm_engine *e, struct tsm_str db, struct tsm_str rp, uint64_t shard,
                        struct tsm_err *err)
{
    struct tsm_lock lock = {0};
    char *dir = tsm_path_shard(e->dir, db, rp, shard);
    int rc = TSM_OK;
    if (tsm_fs_exists(e->fs, dir))
        lock_folder(e, dir, &lock);
    for (int i = 0; i < MAX_TRIES; i++) {
        rc = tsm_data_remove_shard(e->fs, e->dir, db, rp, shard, err);
        if (rc == TSM_OK)
            break;
    }
    tsm_lock_release(&lock);
    tsm_free(dir);
    return rc;
}

/* The shards in the folder of a policy. */
static int remove_shards(struct tsm_engine *e, struct tsm_str db, struct tsm_str rp, struct tsm_err *err)
{
    struct tsm_names names;
    struct tsm_fs_stat st;
    char *dir = tsm_path_rp(e->dir, db, rp);
    bool is_dir = e->fs->stat(e->fs->ctx, dir, &st) == 0 && st.is_dir;
    int rc = is_dir ? tsm_fs_list(e->fs, dir, &names, err) : TSM_ENOTFOUND;
    tsm_free(dir);
    if (rc != TSM_OK)
        return rc == TSM_ENOTFOUND ? TSM_OK : rc;
    for (size_t i = 0; i < names.n && rc == TSM_OK; i++) {
        uint64_t id;
        if (tsm_parse_uint(tsm_str_of(names.names[i]), &id) && names.names[i][0] != '0')
            rc = remove_shard(e, db, rp, id, err);
    }
    tsm_names_release(&names);
    return rc;
}

static int remove_policies(struct tsm_engine *e, struct tsm_str db, struct tsm_err *err)
{
    struct tsm_names names;
    char *dir = tsm_path_rp(e->dir, db, TSM_STR(""));
    int rc = tsm_fs_list(e->fs, dir, &names, err);
    tsm_free(dir);
    if (rc != TSM_OK)
        return rc == TSM_ENOTFOUND ? TSM_OK : rc;
    for (size_t i = 0; i < names.n && rc == TSM_OK; i++)
        rc = remove_shards(e, db, tsm_str_of(names.names[i]), err);
    tsm_names_release(&names);
    return rc;
}

static int remove_files(struct tsm_engine *e, struct tsm_str db, struct tsm_str rp, uint64_t shard,
                        struct tsm_err *err)
{
    if (shard)
        return remove_shard(e, db, rp, shard, err);
    int rc = rp.n ? remove_shards(e, db, rp, err) : remove_policies(e, db, err);
    return rc == TSM_OK ? tsm_data_remove(e->fs, e->dir, db, rp, err) : rc;
}

int tsm_engine_drop(struct tsm_engine *e, struct tsm_str db, struct tsm_str rp, uint64_t shard,
                    struct tsm_err *err)
{
    int rc = tsm_engine_wait(e, err);
    if (rc != TSM_OK)
        return rc;
    drop_from_memory(e, db, rp, shard);
    rc = remove_files(e, db, rp, shard, err);
    forget_readers(e, db, rp, shard);
    return rc;
}

int tsm_engine_find_folder(struct tsm_engine *e, uint64_t shard, struct tsm_arena *a, struct tsm_str *db,
                           struct tsm_str *rp, struct tsm_err *err)
{
    return tsm_data_find_shard(e->fs, e->dir, shard, a, db, rp, err);
}
