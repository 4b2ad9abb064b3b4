/* store/retention.c: shards that fell out of their retention policy. */
#include "store/retention.h"

#include <inttypes.h>

#include "base/alloc.h"
#include "store/data_dir.h"
#include "store/file_set.h"
#include "base/banned.h"

static bool has_expired(const struct tsm_rp *rp, const struct tsm_shard_group *g, int64_t now)
{
    int64_t end;
    return rp->duration > 0 && !__builtin_add_overflow(g->end, rp->duration, &end) && end < now;
}

/* Whether a shard has a folder, of data or of a log. */
static bool has_folder(const struct tsm_fs *fs, const char *dir, struct tsm_str db, struct tsm_str rp,
                       uint64_t shard)
{
    char *data = tsm_path_shard(dir, db, rp, shard), *wal = tsm_path_wal(dir, db, rp, shard);
    bool has = tsm_fs_exists(fs, data) || tsm_fs_exists(fs, wal);
    tsm_free(data);
    tsm_free(wal);
    return has;
}

static bool is_wanted(struct tsm_str name, struct tsm_str filter)
{
    return filter.n == 0 || tsm_str_eq(name, filter);
}

/* ---- finding ----------------------------------------------------------------------------------- */

struct finding {
    const struct tsm_fs *fs;
    const char *dir;
    int64_t now;
    struct tsm_expired_shards *out;
};

static int add_shard(struct finding *f, struct tsm_expired_shard s, struct tsm_err *err)
{
    struct tsm_file_set set;
    struct tsm_expired_shards *l = f->out;
    char *path = tsm_path_shard(f->dir, s.db, s.rp, s.shard);
    int rc = tsm_file_set_list(f->fs, path, &set, err);
    tsm_free(path);
    if (rc != TSM_OK)
        return rc;
    for (size_t i = 0; i < set.n; i++)
        s.bytes += set.files[i].size;
    s.files = set.n;
    tsm_file_set_release(&set);
    s.db = tsm_arena_str(&l->arena, s.db);
    s.rp = tsm_arena_str(&l->arena, s.rp);
    TSM_GROW(l->items, l->n + 1, l->cap);
    l->items[l->n++] = s;
    return TSM_OK;
}

static int add_groups(struct finding *f, struct tsm_str db, const struct tsm_rp *rp, struct tsm_err *err)
{
    int rc = TSM_OK;
    for (size_t i = 0; i < rp->ngroups; i++) {
        const struct tsm_shard_group *g = &rp->groups[i];
        bool deleted = g->deleted_at != 0;
        if (!deleted && !has_expired(rp, g, f->now))
            continue;
        bool any = false;
        for (size_t j = 0; j < g->nshards && rc == TSM_OK; j++) {
            if (!has_folder(f->fs, f->dir, db, rp->name, g->shards[j]))
                continue;
            any = true;
            rc = add_shard(f, (struct tsm_expired_shard){db, rp->name, g->shards[j], deleted, 0, 0}, err);
        }
        f->out->prunable += deleted && !any;
    }
    return rc;
}

int tsm_retention_find(const struct tsm_fs *fs, const char *dir, struct tsm_str db, struct tsm_str rp,
                       int64_t now, struct tsm_expired_shards *out, struct tsm_err *err)
{
    struct finding f = {fs, dir, now, out};
    struct tsm_meta m;
    *out = (struct tsm_expired_shards){0};
    int rc = tsm_meta_load(fs, dir, &m, err);
    for (size_t i = 0; i < m.ndatabases && rc == TSM_OK; i++) {
        const struct tsm_database *d = &m.databases[i];
        for (size_t j = 0; j < d->nrps && rc == TSM_OK && is_wanted(d->name, db); j++)
            if (is_wanted(d->rps[j].name, rp))
                rc = add_groups(&f, d->name, &d->rps[j], err);
    }
    tsm_meta_release(&m);
    if (rc != TSM_OK)
        tsm_expired_shards_release(out);
    return rc;
}

void tsm_expired_shards_release(struct tsm_expired_shards *l)
{
    tsm_free(l->items);
    tsm_arena_release(&l->arena);
    *l = (struct tsm_expired_shards){0};
}

/* ---- removing ---------------------------------------------------------------------------------- */

/* Removes the TSM files, ascending, each durably before the next: a value that has been overwritten never comes back. */
static int remove_files(const struct tsm_retention *r, const char *path, struct tsm_err *err)
{
    struct tsm_file_set set;
    int rc = tsm_file_set_list(r->fs, path, &set, err);
    if (rc != TSM_OK)
        return rc;
    for (size_t i = 0; i < set.n && rc == TSM_OK; i++) {
        static const char *const suffixes[] = {".tsm", ".tombstone"};
        for (int j = 0; j < 2 && rc == TSM_OK; j++) {
            char text[TSM_NAME_MAX];
            tsm_file_name_format(text, set.files[i].name, suffixes[j]);
            char *file = tsm_path_join(path, text);
            rc = tsm_fs_remove(r->fs, file, err);
            if (rc == TSM_OK && j == 0)
                rc = tsm_fs_sync_dir(r->fs, path, err);
            tsm_free(file);
        }
    }
    tsm_file_set_release(&set);
    return rc == TSM_OK ? tsm_fs_sync_dir(r->fs, path, err) : rc;
}

/* Makes the removal of a shard's folders durable. */
static int sync_parents(const struct tsm_retention *r, const struct tsm_expired_shard *s, struct tsm_err *err)
{
    char *paths[] = {tsm_path_shard(r->dir, s->db, s->rp, s->shard),
                     tsm_path_wal(r->dir, s->db, s->rp, s->shard)};
    int rc = TSM_OK;
    for (int i = 0; i < 2; i++) {
        if (rc == TSM_OK)
            rc = tsm_fs_sync_parent(r->fs, paths[i], err);
        if (rc == TSM_ENOTFOUND)
            rc = TSM_OK; /* there is not even a folder of the policy */
        tsm_free(paths[i]);
    }
    return rc;
}

static int remove_shard(struct tsm_retention *r, const struct tsm_expired_shard *s, struct tsm_err *err)
{
    struct tsm_lock lock = {0};
    char *path = tsm_path_shard(r->dir, s->db, s->rp, s->shard);
    int rc = TSM_OK;
    bool there = tsm_fs_exists(r->fs, path);
    if (there) {
        char *lock_path = tsm_path_shard_lock(path);
        rc = tsm_lock_take(r->fs, lock_path, r->holder, &lock, err);
        tsm_free(lock_path);
    }
    if (rc == TSM_OK && !r->writer) {
        rc = tsm_data_remove_shard(r->fs, r->dir, s->db, s->rp, s->shard, err);
        if (rc == TSM_OK)
            rc = sync_parents(r, s, err);
    } else if (rc == TSM_OK && there) {
        rc = remove_files(r, path, err);
    }
    tsm_lock_release(&lock);
    tsm_free(path);
    if (rc == TSM_OK)
        r->removed++;
    return rc;
}

/* ---- meta.db ----------------------------------------------------------------------------------- */

/* The expired group of a shard, or NULL. */
static struct tsm_shard_group *find_group(const struct tsm_retention *r, const struct tsm_meta *m,
                                          const struct tsm_expired_shard *s)
{
    struct tsm_database *db;
    struct tsm_rp *rp;
    struct tsm_shard_group *g;
    if (!tsm_meta_find_shard(m, s->shard, &db, &rp, &g) || !tsm_str_eq(db->name, s->db) ||
        !tsm_str_eq(rp->name, s->rp))
        return NULL;
    return g->deleted_at || has_expired(rp, g, r->now) ? g : NULL;
}

/* Marks the groups of the shards; those that have not expired get NULL in *groups. */
static bool mark(const struct tsm_retention *r, const struct tsm_meta *m, struct tsm_expired_shard *shards,
                 size_t n, bool *expired)
{
    bool changed = false;
    for (size_t i = 0; i < n; i++) {
        struct tsm_shard_group *g = find_group(r, m, &shards[i]);
        expired[i] = g != NULL;
        if (!g || g->deleted_at || r->writer)
            continue;
        g->deleted_at = r->now;
        changed = true;
    }
    return changed;
}

/* Takes out deleted groups that have no folders any more. */
static bool prune(struct tsm_retention *r, const struct tsm_meta *m)
{
    bool changed = false;
    for (size_t i = 0; i < m->ndatabases; i++) {
        for (size_t j = 0; j < m->databases[i].nrps; j++) {
            struct tsm_rp *rp = &m->databases[i].rps[j];
            size_t kept = 0;
            for (size_t k = 0; k < rp->ngroups; k++) {
                const struct tsm_shard_group *g = &rp->groups[k];
                bool stays = g->deleted_at == 0;
                for (size_t s = 0; s < g->nshards && !stays; s++)
                    stays = has_folder(r->fs, r->dir, m->databases[i].name, rp->name, g->shards[s]);
                if (stays)
                    rp->groups[kept++] = *g;
            }
            r->pruned += rp->ngroups - kept;
            changed |= kept < rp->ngroups;
            rp->ngroups = kept;
        }
    }
    return changed;
}

static int run(struct tsm_retention *r, struct tsm_meta *m, struct tsm_expired_shard *shards, size_t n,
               struct tsm_err *err)
{
    bool *expired = tsm_calloc(n + 1, sizeof *expired);
    int rc = TSM_OK;
    if (mark(r, m, shards, n, expired))
        rc = tsm_meta_save(r->fs, r->dir, m, err);
    for (size_t i = 0; i < n && rc == TSM_OK; i++) {
        struct tsm_err cause = {0};
        if (r->writer && expired[i] && shards[i].files == 0)
            continue; /* the rest is for a run without a writer */
        int code = expired[i] ? remove_shard(r, &shards[i], &cause)
                              : tsm_err_set(&cause, TSM_ENOTFOUND, "shard %" PRIu64 " has not expired",
                                            shards[i].shard);
        if (r->done)
            r->done(r->ctx, &shards[i], code, &cause);
    }
    if (rc == TSM_OK && !r->writer && prune(r, m))
        rc = tsm_meta_save(r->fs, r->dir, m, err);
    tsm_free(expired);
    return rc;
}

int tsm_retention_run(struct tsm_retention *r, struct tsm_expired_shard *shards, size_t n,
                      struct tsm_err *err)
{
    struct tsm_lock lock = {0};
    char *path = tsm_path_lock(r->dir);
    int rc = tsm_lock_take(r->fs, path, r->holder, &lock, err);
    tsm_free(path);
    r->writer = rc == TSM_ELOCKED;
    if (r->writer)
        rc = TSM_OK;
    struct tsm_meta m = {0};
    if (rc == TSM_OK)
        rc = tsm_meta_load(r->fs, r->dir, &m, err);
    if (rc == TSM_OK)
        rc = run(r, &m, shards, n, err);
    tsm_meta_release(&m);
    tsm_lock_release(&lock);
    return rc;
}
